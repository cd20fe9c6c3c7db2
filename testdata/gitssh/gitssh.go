// Package gitssh is a git server over ssh for tests: real git behind the real
// protocol, for who has the one key.
package gitssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Server is one server. Its repositories are those of this machine, by path.
type Server struct {
	// Address is its host and port.
	Address string
	// Key is the private key that may read, in PEM form.
	Key string
	// KnownHosts is the line by which the server is known.
	KnownHosts string

	mu      sync.Mutex
	refused int
	login   func()
}

// OnLogin has f called while somebody logs in who has the key.
func (s *Server) OnLogin(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = f
}

// Refused is how many keys were refused.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// NewKey makes a private key, in PEM form.
func NewKey(t testing.TB) (pemText string, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer.PublicKey()
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		if os.Getenv("BERTH_REQUIRE_TOOLS") != "" {
			t.Fatal("there is no ssh: make test installs what it can")
		}
		t.Skip("there is no ssh on the PATH: apt-get install openssh-client")
	}
	s := &Server{}
	key, may := NewKey(t)
	host, _ := NewKey(t)
	hostKey, err := ssh.ParsePrivateKey([]byte(host))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, shown ssh.PublicKey) (*ssh.Permissions, error) {
		if string(shown.Marshal()) == string(may.Marshal()) {
			return nil, nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused++
		return nil, errors.New("unknown key")
	}}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address, s.Key = l.Addr().String(), key
	s.KnownHosts = knownhosts.Line([]string{s.Address}, hostKey.PublicKey()) + "\n"
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(c, config) })
		}
	})
	return s
}

func (s *Server) serve(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	login := s.login
	s.mu.Unlock()
	if login != nil {
		login()
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range asked {
			var run struct{ Command string }
			if r.Type != "exec" || ssh.Unmarshal(r.Payload, &run) != nil {
				_ = r.Reply(r.Type == "env", nil)
				continue
			}
			_ = r.Reply(true, nil)
			status := uploadPack(channel, run.Command)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			channel.Close()
			break
		}
	}
}

// uploadPack is the one command that may be run: git-upload-pack 'PATH'.
func uploadPack(channel ssh.Channel, command string) uint32 {
	path, ok := strings.CutPrefix(command, "git-upload-pack ")
	path = strings.Trim(path, "'")
	if !ok || strings.Contains(path, "'") {
		fmt.Fprintln(channel.Stderr(), "only git-upload-pack may be run here")
		return 1
	}
	cmd := exec.Command("git", "-c", "safe.directory=*", "upload-pack", path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	// A pipe of our own: Run would wait for the client to close its side.
	in, err := cmd.StdinPipe()
	if err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(in, channel)
		in.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}
