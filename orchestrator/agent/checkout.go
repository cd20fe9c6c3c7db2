package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// What is below root/ the app may change at any moment, and on a machine of its
// own the agent is root: it goes there through os.Root, which no link leads out
// of, reads regular files alone, and has git run as the user whose they are.

// maxRead is as much of a file of the app's as is looked at.
const maxRead = 1 << 20

// openCheckout opens the checkout. Whoever is not root may do no more than the
// app itself, so that for them the checkout may be a link.
func (a *agent) openCheckout() (*os.Root, error) {
	if os.Getuid() != 0 {
		return os.OpenRoot(a.checkout())
	}
	root, err := os.OpenRoot(filepath.Dir(a.checkout()))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenRoot(filepath.Base(a.checkout()))
}

// readBelow reads the beginning of a regular file. A pipe is not waited for.
func readBelow(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(name + " is no regular file")
	}
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// owner is the user whose the checkout's git configuration is; nil: the agent's
// own. A folder is looked at only while all above it are root's.
func (a *agent) owner() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"root", "root/app", "root/app/.git", "root/app/.git/config"} {
		info, err := os.Lstat(filepath.Join(a.dir, name))
		if err != nil {
			return nil
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
			return &syscall.Credential{Uid: s.Uid, Gid: groupOf(s.Uid)}
		}
	}
	return nil
}

// groupOf is a user's own group; where nobody knows it, of the same number.
func groupOf(uid uint32) uint32 {
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		if gid, err := strconv.ParseUint(u.Gid, 10, 32); err == nil {
			return uint32(gid)
		}
	}
	return uid
}

// unlockGit removes locks of a git that was killed: no other one runs here
// while the agent prepares a run.
func (a *agent) unlockGit() error {
	root, err := a.openCheckout()
	if err != nil {
		return nil // whatever is there, git itself tells of it
	}
	defer root.Close()
	for _, pattern := range []string{".git/*.lock", ".git/refs/heads/*.lock"} {
		names, err := fs.Glob(root.FS(), pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if info, err := root.Lstat(name); err != nil || info.IsDir() {
				continue // no lock of git's
			}
			if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return problemf("The checkout cannot be written: %v.", err)
			}
		}
	}
	return nil
}
