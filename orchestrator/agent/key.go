package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"
	"golang.org/x/sys/unix"
)

// keyholder answers ssh, as ssh-agent does, for the git that the agent has
// started: the key stays in memory, and whatever else connects, under whichever
// user, is sent away.
type keyholder struct {
	dir     string
	listen  *net.UnixListener
	keyring sshagent.Agent

	mu  sync.Mutex
	pid int // of git

	wg sync.WaitGroup
}

// holdKey takes a key, and hosts' keys in the form of known_hosts.
func holdKey(key, knownHosts string) (_ *keyholder, err error) {
	raw, err := ssh.ParseRawPrivateKey([]byte(key))
	if err != nil {
		return nil, errors.New("it is no private key that can be used") // the error could quote it
	}
	k := &keyholder{keyring: sshagent.NewKeyring()}
	if err := k.keyring.Add(sshagent.AddedKey{PrivateKey: raw}); err != nil {
		return nil, errors.New("it is no private key that can be used")
	}
	// A socket's path has 108 bytes, and the server's folder may be deep down.
	if k.dir, err = os.MkdirTemp("/tmp", "berth-key-"); err != nil { // mode 0700
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(k.dir)
		}
	}()
	if err := os.WriteFile(k.hosts(), []byte(knownHosts), 0o600); err != nil {
		return nil, err
	}
	if k.listen, err = net.ListenUnix("unix", &net.UnixAddr{Name: k.socket(), Net: "unix"}); err != nil {
		return nil, err
	}
	if err := os.Chmod(k.socket(), 0o600); err != nil {
		k.listen.Close()
		return nil, err
	}
	k.wg.Go(k.serve)
	return k, nil
}

func (k *keyholder) socket() string { return filepath.Join(k.dir, "agent") }
func (k *keyholder) hosts() string  { return filepath.Join(k.dir, "known_hosts") }

// command is the ssh that git is to run: with this key, to hosts that ops know,
// whatever this machine's users have set.
func (k *keyholder) command() string {
	return fmt.Sprintf("ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=30 -o IdentityFile=none -o ForwardAgent=no -o ControlPath=none"+
		" -o UpdateHostKeys=no -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=%s", k.hosts())
}

// start starts git; until its process is known nobody is answered.
func (k *keyholder) start(git *exec.Cmd, start func(*exec.Cmd) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := start(git)
	if err == nil {
		k.pid = git.Process.Pid
	}
	return err
}

func (k *keyholder) serve() {
	for {
		c, err := k.listen.AcceptUnix()
		if err != nil {
			return // closed
		}
		k.wg.Go(func() {
			defer c.Close()
			if k.known(c) {
				_ = sshagent.ServeAgent(k.keyring, c) // it ends with ssh, which says what went wrong
			}
		})
	}
}

// known says whether a caller is below the git that the key is for.
func (k *keyholder) known(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	const deepest = 20
	for pid, i := int(peer.Pid), 0; pid > 1 && i < deepest; i++ {
		if pid == k.pid {
			return true
		}
		p, ok := readProcess(pid)
		if !ok {
			return false
		}
		pid = p.Parent
	}
	return false
}

func (k *keyholder) close() {
	k.listen.Close()
	os.RemoveAll(k.dir)
}
