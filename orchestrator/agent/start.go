package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// StartOptions says how to start an agent on this machine.
type StartOptions struct {
	// Dir is the server's own folder.
	Dir  string
	Boot orchestrator.Boot
	// URL, if set, stands for the Boot's address: the local Berth may have
	// come back on another port.
	URL string
	// UID is the user that the agent and all that it starts run as; only root
	// can set it. 0: the caller's.
	UID int
	// SaltCall is the path of salt-call; empty: the one on PATH.
	SaltCall string
	// GitConfig is a git configuration to clone with; empty: git's own.
	GitConfig string
	// Program is the berth binary; empty: this one.
	Program string
}

// Start starts the agent of a server, detached from the caller: a session of
// its own, no descriptors shared. It returns when the agent runs. An agent
// that runs already stays, and learns a new address.
func Start(ctx context.Context, o StartOptions) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	if o.URL != "" {
		o.Boot.URL = o.URL
	}
	c := config{Boot: o.Boot, SaltCall: o.SaltCall, GitConfig: o.GitConfig}
	if err := c.check(); err != nil {
		return err
	}
	uid := o.UID
	if uid != 0 && os.Getuid() != 0 {
		if uid != os.Getuid() {
			return orchestrator.Errorf(orchestrator.CodeNotAllowed, "Only root can start an agent as user %d.", uid).
				WithHint("Run Berth as root, or without --uid.")
		}
		uid = 0
	}
	for name, p := range map[string]*string{"salt-call": &c.SaltCall, "git configuration": &c.GitConfig} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
		if _, err := os.Stat(*p); err != nil {
			return orchestrator.Errorf(orchestrator.CodeNotFound, "The %s %s cannot be read.", name, *p).WithHint("Check BERTH_SALT_CALL and GIT_CONFIG_GLOBAL where Berth was started.")
		}
	}
	if c.GitConfig != "" && uid != 0 && !readableAs(ctx, uid, c.GitConfig) {
		text, err := os.ReadFile(c.GitConfig)
		if err != nil {
			return err
		}
		c.GitConfigText = string(text)
	}
	if Alive(dir) {
		same, err := repoint(dir, c)
		if err != nil || same {
			return err
		}
		// It belongs to a machine that has been replaced since.
		if err := Stop(ctx, dir, uid); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if uid != 0 {
		if err := os.Lchown(dir, uid, uid); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return spawn(ctx, dir, uid, o.Program, raw)
}

// Restart starts the agent whose folder is dir again, with the options that it
// was started with, as the user that the folder belongs to.
func Restart(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if Alive(dir) {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, ConfigFile)); err != nil {
		return orchestrator.Errorf(orchestrator.CodeNotFound, "The folder %s holds no agent.", dir)
	}
	return spawn(ctx, dir, ownerOf(dir), "", nil)
}

// Point tells the agent in dir, running or not, where Berth is now, and which
// authority to believe it (PEM; empty: the machine's own).
func Point(dir, url, ca string) error {
	if err := CheckURL(url); err != nil {
		return err
	}
	return rewrite(dir, func(c *config) bool { c.Boot.URL, c.Boot.CA = url, ca; return true })
}

// repoint brings a running agent's options up to date, and reports whether it
// is the agent that c describes.
func repoint(dir string, c config) (same bool, err error) {
	err = rewrite(dir, func(old *config) bool {
		same = old.Boot.ServerID == c.Boot.ServerID && old.Boot.Token == c.Boot.Token
		if !same {
			return false
		}
		// Options that this call left out stay.
		old.Boot = c.Boot
		if c.SaltCall != "" {
			old.SaltCall = c.SaltCall
		}
		if c.GitConfig != "" {
			old.GitConfig, old.GitConfigText = c.GitConfig, c.GitConfigText
		}
		return true
	})
	return same, err
}

// rewrite changes agent.json. The folder may belong to a user who is not to be
// trusted, so it is never left, whatever links lie in it.
func rewrite(dir string, change func(*config) bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	was, err := root.OpenFile(ConfigFile, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer was.Close()
	old, err := io.ReadAll(io.LimitReader(was, 4<<20))
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(old, &c); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(dir, ConfigFile), err)
	}
	if !change(&c) {
		return nil
	}
	raw, err := json.Marshal(c)
	if err != nil || bytes.Equal(bytes.TrimSpace(old), raw) {
		return err
	}
	const temp = ".new-" + ConfigFile
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if uid := ownerOf(dir); err == nil && uid != 0 {
		err = f.Chown(uid, uid)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return root.Rename(temp, ConfigFile)
}

// ownerOf is the user that a server's folder was given to; 0 for the caller's
// own. The folder above it is Berth's, so nobody else can have changed it.
func ownerOf(dir string) int {
	info, err := os.Lstat(dir)
	if err != nil || os.Getuid() != 0 {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return 0
}

// readableAs asks the kernel, as the user, for all folders on the way count.
func readableAs(ctx context.Context, uid int, name string) bool {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `test -r "$1"`, "sh", name)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return cmd.Run() == nil
}

// spawn starts `agent run` and waits until it says that it runs. The
// configuration, which holds a token, goes over a pipe: nothing secret is in
// the arguments, and root writes nothing in a folder that is another user's.
func spawn(ctx context.Context, dir string, uid int, program string, configuration []byte) error {
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	ready, said, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	args := []string{"agent", "run", "--detached", "--dir", dir}
	if uid != 0 {
		args = append(args, "--uid", strconv.Itoa(uid))
	}
	cmd := exec.Command(program, args...)
	cmd.Env = minimalEnv(dir, os.Getenv)
	for _, name := range ownPassedOn {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{said}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		said.Close()
		return err
	}
	err = cmd.Start()
	said.Close()
	if err != nil {
		in.Close()
		return fmt.Errorf("starting the agent: %w", err)
	}
	// A caller that stays, such as serve, must take the agent's exit status
	// one day.
	go func() { _ = cmd.Wait() }()
	go func() {
		_, _ = in.Write(configuration)
		in.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := io.ReadAll(io.LimitReader(ready, 4096))
	switch text := string(answer); {
	case text == readyText:
		return nil
	case text != "":
		return orchestrator.Errorf(orchestrator.CodeOperationFailed, "The agent in %s did not start: %s.", dir, strings.TrimSuffix(text, ".")).
			WithHint("Look into %s.", filepath.Join(dir, agentLog))
	case err != nil:
		return fmt.Errorf("waiting for the agent in %s: %w", dir, err)
	}
	return orchestrator.Errorf(orchestrator.CodeOperationFailed, "The agent in %s ended while it started.", dir).
		WithHint("Look into %s.", filepath.Join(dir, agentLog))
}

const readyText = "ready"

// Alive reports whether the agent of a folder runs: it holds a lock for as
// long as it lives.
func Alive(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// lock takes the folder's lock for this process. Alive holds it for an
// instant, so it is tried for a while.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Second); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if time.Now().After(deadline) {
			f.Close()
			return nil, orchestrator.Errorf(orchestrator.CodeState, "An agent runs in %s already.", dir)
		}
		_ = pause(context.Background(), 20*time.Millisecond)
	}
}

// Stop ends the agent of a folder, its app and everything else that they
// started, also when the agent itself was killed before. uid is the server's
// own user, if it has one: as root, every process of that user is ended. It
// returns when none is left; the folder stays.
func Stop(ctx context.Context, dir string, uid int) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		uid = 0
	} else if uid == 0 {
		// Only in an agent's folder does the owner mean anything.
		if _, err := os.Lstat(filepath.Join(dir, ConfigFile)); err == nil {
			uid = ownerOf(dir)
		}
	}
	if Alive(dir) {
		// Asked first, it stops its app in order.
		if p, ok := readProcess(readRecord(dir).Agent.PID); ok && p.Start == readRecord(dir).Agent.Start && (uid == 0 || p.uid() == uid) {
			signal([]process{p}, syscall.SIGTERM)
			for deadline := time.Now().Add(2*grace + 2*time.Second); Alive(dir) && time.Now().Before(deadline); {
				if err := pause(ctx, 20*time.Millisecond); err != nil {
					return err
				}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 4*grace)
	defer cancel()
	if err := end(ctx, func() ([]process, error) { return belongs(dir, uid) }); err != nil {
		left, _ := belongs(dir, uid)
		e := orchestrator.Errorf(orchestrator.CodeOperationFailed, "%d processes of the server in %s did not end.", len(left), dir).
			WithHint("Look at them with ps, end them and destroy the server again.")
		e.Cause = err
		return e
	}
	return nil
}
