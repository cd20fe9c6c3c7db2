package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/orchestrator"
)

// maxSocketPath is what fits sockaddr_un with its closing zero (unix(7)).
const maxSocketPath = 107

// socketPath is where serve on this data folder listens. A path that a socket
// address cannot hold moves to a short private folder, found from the same
// data folder by its clients.
func socketPath(data string) string {
	path := filepath.Join(data, "berth.sock")
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(data))
	return filepath.Join(os.TempDir(), "berth-"+strconv.Itoa(ownerOf(data))+"-"+hex.EncodeToString(sum[:6]), "berth.sock")
}

// ownerOf is the user that a data folder belongs to: its serve's.
func ownerOf(dir string) int {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return os.Getuid()
	}
	return int(st.Uid)
}

// listenSocket opens the socket; the caller holds the data folder's lock, so a
// socket file that is there already belongs to nobody.
func listenSocket(path string) (net.Listener, error) {
	if dir := filepath.Dir(path); filepath.Base(dir) != "" {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("making the socket's folder: %w", err)
		}
		if ownerOf(dir) != os.Getuid() {
			return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The folder %s belongs to somebody else.", dir).WithHint("choose a data folder with a shorter path")
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on the socket: %w", err)
	}
	// Anybody on this machine may connect: who they are is asked of the kernel.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, fmt.Errorf("opening the socket to others: %w", err)
	}
	return l, nil
}

// removeSocket removes the socket, and the folder that was made for it where
// the data folder's path is too long.
func removeSocket(path, data string) {
	_ = os.Remove(path) // the next serve does it otherwise
	if dir := filepath.Dir(path); dir != data {
		_ = os.Remove(dir)
	}
}

// peers names the callers of the Unix socket.
type peers struct {
	// person makes an actor of an operating-system name.
	person func(osUser string) orchestrator.Actor
	// apps is the range of user IDs under which apps run: they get nothing.
	apps [2]int
}

// context is http.Server's ConnContext: it asks the kernel who is calling.
func (p peers) context(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return httpapi.WithActor(ctx, orchestrator.Actor{})
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		return httpapi.WithActor(ctx, orchestrator.Actor{})
	}
	return httpapi.WithActor(ctx, p.actor(int(cred.Uid)))
}

func (p peers) actor(uid int) orchestrator.Actor {
	if p.apps[0] > 0 && uid >= p.apps[0] && uid < p.apps[1] {
		return orchestrator.Actor{}
	}
	name := "uid-" + strconv.Itoa(uid)
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = u.Username
	}
	a := p.person(name)
	if uid == 0 || uid == os.Getuid() {
		a.Ops = true
	}
	return a
}
