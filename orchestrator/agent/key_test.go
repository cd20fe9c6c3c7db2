package agent_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sshagent "golang.org/x/crypto/ssh/agent"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/gitssh"
)

// Code is read with a key that is on no disk, which nobody but git's own ssh is
// let use, and only at a host that ops know.
func TestKey(t *testing.T) {
	t.Parallel()
	host := gitssh.New(t)
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	address := "ssh://git@" + host.Address + r.bare
	b.mu.Lock()
	b.login = &orchestrator.Login{Repository: address, Key: host.Key, KnownHosts: host.KnownHosts}
	b.mu.Unlock()
	// While ssh logs in, the app's user tries to have the key used.
	tried := make(chan int, 10)
	host.OnLogin(func() {
		sockets, _ := filepath.Glob("/tmp/berth-key-*/agent")
		used := 0
		for _, name := range sockets {
			if c, err := net.Dial("unix", name); err == nil {
				if keys, err := sshagent.NewClient(c).List(); err == nil {
					used += len(keys)
				}
				c.Close()
			}
		}
		tried <- used - 100*min(0, len(sockets)-1)
	})
	b.want(orchestrator.Desired{Repository: address, Branch: "main", Commit: r.commit("main", map[string]string{"a": "b"})},
		orchestrator.Pillar{App: orchestrator.PillarApp{Start: "test -f a && exec sleep 600"}})
	s.start()
	if got := b.report(); !got.Healthy || got.Problem != "" {
		t.Fatalf("healthy %v (%s), exit %d, %s %s\n%s", got.Healthy, got.HealthDetail, got.Exit, got.Problem, got.Stderr, got.Stdout)
	}
	if used := <-tried; used != 0 {
		t.Errorf("others could use the key, or there was no socket (%d)", used)
	}
	b.mu.Lock()
	asked := b.logins
	b.mu.Unlock()
	if len(asked) != 1 || asked[0].Repository != address || asked[0].Generation != 1 {
		t.Errorf("asked %+v", asked)
	}
	// Its second line is the key itself.
	secret := strings.Split(host.Key, "\n")[1]
	if err := filepath.WalkDir(s.dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if raw, err := os.ReadFile(name); err == nil && strings.Contains(string(raw), secret) {
			t.Errorf("the key is in %s", name)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}

	// What is there already needs no login. Then the host is another one than
	// ops know, and nothing is shown to it.
	good := b.desiredNow()
	b.want(good, orchestrator.Pillar{App: orchestrator.PillarApp{Start: "test -f a && exec sleep 601"}})
	if got := b.report(); !got.Healthy {
		t.Errorf("%+v", got)
	}
	other := gitssh.New(t)
	b.mu.Lock()
	b.login = &orchestrator.Login{Repository: address, Key: host.Key, KnownHosts: strings.Replace(other.KnownHosts, other.Address[strings.LastIndex(other.Address, ":")+1:], host.Address[strings.LastIndex(host.Address, ":")+1:], 1)}
	b.mu.Unlock()
	good.Commit = r.commit("main", map[string]string{"a": "c"})
	b.want(good, orchestrator.Pillar{})
	if got := b.report(); !strings.Contains(got.Problem, "git could not fetch "+strings.Replace(address, "git@", "", 1)) || !strings.Contains(got.Stderr, "Host key verification failed") {
		t.Errorf("%q\n%s", got.Problem, got.Stderr)
	}
	b.mu.Lock()
	if len(b.logins) != 2 {
		t.Errorf("asked %+v", b.logins)
	}
	b.mu.Unlock()

	// Berth has none, and says why.
	b.mu.Lock()
	b.noLogin = "GitHub is in trouble (it answered 502)."
	b.mu.Unlock()
	b.want(good, orchestrator.Pillar{})
	if got := b.report(); got.Problem != "The code of "+strings.Replace(address, "git@", "", 1)+" could not be fetched: GitHub is in trouble (it answered 502)." {
		t.Errorf("%q", got.Problem)
	}
}
