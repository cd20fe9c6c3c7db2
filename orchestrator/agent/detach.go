package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/orchestrator"
)

// runDetached tells Start, on descriptor 3, that the agent runs or why not.
func runDetached(ctx context.Context, dir string, uid int) error {
	if err := closeInherited(); err != nil {
		return err
	}
	start := os.NewFile(3, "start")
	say := func(text string) {
		_, _ = start.WriteString(text)
		start.Close()
	}
	err := detach(dir, uid)
	if err == nil {
		err = run(ctx, dir, func() { say(readyText) })
	}
	if err != nil {
		say(err.Error())
	}
	return err
}

// detach makes this process the server's own: its user, its log, nothing of
// the caller's.
func detach(dir string, uid int) error {
	if uid != 0 {
		if err := become(uid); err != nil {
			return fmt.Errorf("becoming user %d: %w", uid, err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, 4<<20))
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		if uid != 0 && errors.Is(err, fs.ErrPermission) {
			return orchestrator.Errorf(orchestrator.CodeNotAllowed, "user %d cannot reach %s: a folder above it is closed to others", uid, dir)
		}
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	out, err := os.OpenFile(filepath.Join(dir, agentLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if info, err := out.Stat(); err == nil && info.Size() > maxAppLog {
		_ = out.Truncate(0)
	}
	for fd, f := range []*os.File{null, out, out} {
		if err := unix.Dup2(int(f.Fd()), fd); err != nil {
			return err
		}
	}
	if len(raw) > 0 {
		return writeFile(filepath.Join(dir, ConfigFile), raw)
	}
	return nil
}

// closeInherited closes what a careless caller left open for this process.
// Go's own descriptors all close on exec and are thereby known.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		switch {
		case err != nil || flags&unix.FD_CLOEXEC != 0:
		case fd == 3:
			unix.CloseOnExec(fd)
		default:
			_ = unix.Close(fd)
		}
	}
	return nil
}
