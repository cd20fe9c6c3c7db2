package agent_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// The program for arm64 runs, and its agent begins: make arm64 builds it and
// names it in BERTH_TEST_ARM64.
func TestARM64(t *testing.T) {
	t.Parallel()
	program := os.Getenv("BERTH_TEST_ARM64")
	if program == "" {
		t.Skip("BERTH_TEST_ARM64 names no program for arm64 (make arm64 builds it and runs this)")
	}
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Skip("there is no qemu-aarch64 here (apt-get install -y qemu-user)")
	}
	if out, err := exec.Command(qemu, program, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "berth ") {
		t.Fatalf("%v: %s", err, out)
	}
	b := newBerth(t)
	dir := filepath.Join(t.TempDir(), "machine")
	boot := filepath.Join(t.TempDir(), "boot.json")
	writeBoot(t, boot, orchestrator.Boot{ServerID: "s1", URL: b.url, Token: b.token, SaltVersion: "3008.3"})
	// Without a program on its PATH it installs nothing on this machine.
	cmd := exec.Command(qemu, program, "agent", "run", "--dir", dir, "--boot", boot)
	cmd.Env = []string{"PATH=" + t.TempDir(), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	// qemu's user mode knows no PR_SET_CHILD_SUBREAPER, and the agent asks for it
	// before it signs in.
	if err == nil || !strings.Contains(string(out), "adopting orphans: invalid argument") {
		t.Fatalf("%v: %s", err, out)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "agent.json")); err != nil || !strings.Contains(string(raw), b.url) {
		t.Errorf("what it was told lies nowhere: %v: %s", err, raw)
	}
}
