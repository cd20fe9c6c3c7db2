package agent

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// TestLoginRefused: git is given a login until a host has refused it, and then
// told to give up; another one's refusal is none.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	shown, settings, err := showLogin(&orchestrator.Login{Repository: "https://git.example.com/acme/api.git", Username: "berth", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	defer shown.Close()
	git := func(action, more string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "git", "credential", action)
		cmd.Dir, cmd.ExtraFiles = t.TempDir(), []*os.File{shown}
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
		for i, s := range settings {
			cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
		}
		cmd.Stdin = strings.NewReader("protocol=https\nhost=git.example.com\npath=acme/api.git/info/lfs\n" + more + "\n")
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	for _, other := range []string{"", "username=berth\npassword=another\n"} {
		if other != "" {
			if said, err := git("reject", other); err != nil {
				t.Fatal(said, err)
			}
		}
		if said, err := git("fill", ""); err != nil || !strings.Contains(said, "password=hunter2\n") {
			t.Errorf("it was asked for: %s, %v", said, err)
		}
	}
	if said, err := git("reject", "username=berth\npassword=hunter2\n"); err != nil {
		t.Fatal(said, err)
	}
	if said, err := git("fill", ""); err == nil || !passwordRefused.MatchString(said) || strings.Contains(said, "hunter2") {
		t.Errorf("after it was refused: %s, %v", said, err)
	}
}
