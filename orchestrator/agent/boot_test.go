package agent_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// booted starts an agent as user-data's unit does, in the foreground, and gives
// what ends it.
func booted(t *testing.T, dir, bootFile string, env ...string) (stop func() string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(self, "agent", "run", "--dir", dir, "--boot", bootFile)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() string {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("the agent said:\n%s", said.String())
			}
		}
		return said.String()
	}
	t.Cleanup(func() { stop() })
	return stop
}

func writeBoot(t *testing.T, name string, b orchestrator.Boot) {
	t.Helper()
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Once it has been used, the token is dead and lies nowhere on the machine; the
// agent comes back without it.
func TestTokenForgotten(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	dir := filepath.Join(t.TempDir(), "machine")
	boot := filepath.Join(t.TempDir(), "boot.json")
	writeBoot(t, boot, orchestrator.Boot{ServerID: "s1", URL: b.url, Token: b.token, SaltVersion: "3008.3"})
	stop := booted(t, dir, boot)
	holds := func() []string {
		var out []string
		for _, name := range []string{boot, filepath.Join(dir, "agent.json")} {
			if raw, err := os.ReadFile(name); err != nil || strings.Contains(string(raw), b.token) {
				out = append(out, name)
			}
		}
		return out
	}
	eventually(t, "the token is gone", func() bool { return len(holds()) == 0 })
	asked := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.asked
	}
	eventually(t, "it asks for its desired state", func() bool { return asked() > 0 })
	stop()
	before := asked()
	booted(t, dir, boot)
	eventually(t, "it asks again after a restart", func() bool { return asked() > before })

	// A machine that was made from the image of another one has no way in.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(self, "agent", "run", "--dir", filepath.Join(t.TempDir(), "copy"), "--boot", boot).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "has neither signed in to Berth nor a token") {
		t.Errorf("a copy: %v\n%s", err, out)
	}
}
