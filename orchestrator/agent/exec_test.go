package agent_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// An .env in which readers of such files differ.
const trickyEnv = "# a comment\r\nexport A=one\nB=\"two \\\"quoted\\\" \\n$HOME `id` \\\\\"\nC='three \\n # \"x\"'\nD=back\\slash\\\nE=plain # comment\nF=with#hash\n" +
	"KEY=\"-----BEGIN\nab=c\n-----END\"\nG = spaced \nH=\nnot a pair\nQ=\"never ends\n"

// An app gets the same variables from `agent exec`, which systemd calls, and
// from an agent that starts it itself.
func TestExecMeansTheSame(t *testing.T) {
	t.Parallel()
	needs := map[string]string{"API_URL": "http://127.0.0.1:9"}
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	show := "env -0 > seen; exec sleep 600"
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"a": "b"}), Port: s.port, HealthTimeout: 1}
	text := trickyEnv + "API_URL=http://127.0.0.1:9\n"
	b.want(d, orchestrator.Pillar{App: orchestrator.PillarApp{Start: show}, Env: text, Needs: needs})
	s.start()
	b.report()
	checkout := filepath.Join(s.dir, "root", "app")
	ours := variables(t, filepath.Join(checkout, "seen"))

	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "agent", "exec", "--env-file", filepath.Join(checkout, ".env"), "--set", "API_URL=http://127.0.0.1:9", "--port", strconv.Itoa(s.port), "--", "/bin/sh", "-c", "env -0 > seen")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "not KEY=VALUE: [13]") {
		t.Fatalf("%v: %s", err, out)
	}
	theirs := variables(t, filepath.Join(dir, "seen"))
	if !slices.Equal(ours, theirs) || len(ours) != 12 {
		t.Errorf("started by the agent the app gets\n%q, by agent exec\n%q", ours, theirs)
	}
}

// variables are what `env -0` wrote, without those of where and by whom it was
// called.
func variables(t *testing.T, name string) []string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pairs := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
	pairs = slices.DeleteFunc(pairs, func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return slices.Contains([]string{"BERTH_APP_RUN", "BERTH_SERVER_DIR", "HOME", "LANG", "LC_ALL", "OLDPWD", "PATH", "PWD", "SHLVL", "TMPDIR", "TZ", "_"}, key) || strings.HasSuffix(strings.ToLower(key), "_proxy") || strings.HasPrefix(key, "SSL_CERT_")
	})
	slices.Sort(pairs)
	return pairs
}
