package branch

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
)

// The repository that all tests read, made once with real git.
var fixture struct {
	dir     string            // holds acme/api.git, empty.git and dead.git
	commits map[string]string // by mark
}

const history = `
commit refs/heads/main a
commit refs/heads/main b a
commit refs/heads/main c b
commit refs/heads/feature/login d a
commit refs/heads/feature/login e d
commit refs/heads/feature/logout f a
commit refs/heads/hotfix/1.2.3 g b
commit refs/heads/Release/Blue h b
commit refs/heads/origin/taken i a
commit refs/heads/fix#7 j a
commit refs/heads/feature/café k a
commit refs/heads/{{salt.cmd.run('id')}} l a
commit refs/heads/100%/&weird;$(id) m a
commit refs/heads/facade1 n a
commit refs/heads/clash o a
commit refs/heads/other p a
commit refs/heads/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa q a
commit refs/heads/fix–dash r a
commit refs/heads/wip…later s a
commit refs/heads/v1 t a
commit refs/pull/7/head fork b
commit refs/tags/v1.0 tagged a
commit refs/tags/20240101 dated a
commit refs/tags/v1 same b
`

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "berth-branch-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		for k, v := range map[string]string{
			"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
			"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*", "TMPDIR": filepath.Join(dir, "tmp"),
		} {
			os.Setenv(k, v)
		}
		os.Unsetenv("GIT_SSH_COMMAND")
		if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
			panic(err)
		}
		fixture.dir, fixture.commits = dir, map[string]string{}
		build(dir)
		return m.Run()
	}())
}

func mustGit(dir, stdin string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		panic(fmt.Sprintf("git %q: %v", args, err))
	}
	return strings.TrimSpace(string(out))
}

func build(dir string) {
	repo := filepath.Join(dir, "acme", "api.git")
	for _, r := range []string{repo, filepath.Join(dir, "acme", "empty.git")} {
		mustGit("/", "", "init", "--quiet", "--bare", "--initial-branch=main", r)
		mustGit(r, "", "config", "uploadpack.allowFilter", "true")
	}
	var stream strings.Builder
	number := map[string]int{}
	for line := range strings.Lines(strings.TrimSpace(history)) {
		f := strings.Fields(line)
		mark := f[2]
		number[mark] = len(number) + 1
		fmt.Fprintf(&stream, "commit %s\nmark :%d\ncommitter T <t@example.com> %d +0000\ndata %d\n%s\n", f[1], number[mark], 1700000000+len(number), len(mark), mark)
		if len(f) > 3 {
			fmt.Fprintf(&stream, "from :%d\n", number[f[3]])
		}
		fmt.Fprintf(&stream, "M 644 inline %s\ndata 1\nx\n\n", mark)
	}
	marks := filepath.Join(dir, "marks")
	mustGit(repo, stream.String(), "fast-import", "--quiet", "--export-marks="+marks)
	text, err := os.ReadFile(marks)
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		for mark, n := range number {
			if f[0] == fmt.Sprintf(":%d", n) {
				fixture.commits[mark] = f[1]
			}
		}
	}
	// A branch that is called like another one's commit.
	mustGit(repo, "", "update-ref", "refs/heads/"+fixture.commits["o"], fixture.commits["p"])
}

func fixtureRepo() string { return filepath.Join(fixture.dir, "acme", "api.git") }

// gitServer serves the fixtures with git's own http-backend; with a login only
// to who has it.
func gitServer(t *testing.T, login string) *httptest.Server {
	t.Helper()
	backend := filepath.Join(mustGit("/", "", "--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		if os.Getenv("BERTH_REQUIRE_TOOLS") != "" {
			t.Fatal("this git has no http-backend, which Debian's has")
		}
		t.Skip("this git has no http-backend")
	}
	handler := &cgi.Handler{Path: backend, Stderr: io.Discard, Env: []string{
		"GIT_PROJECT_ROOT=" + fixture.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/old/api"); ok {
			http.Redirect(w, r, "/acme/api.git"+strings.TrimPrefix(rest, ".git")+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		if login != "" {
			if user, password, ok := r.BasicAuth(); !ok || user+":"+password != login {
				w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// newHub is GitHub over the fixture: acme/api, which was acme/old, the private
// acme/secret, the empty acme/empty, and acme/stolen, which leads elsewhere.
func newHub(t *testing.T, change func(*githubfake.Hub)) *githubfake.Hub {
	t.Helper()
	h := &githubfake.Hub{
		Repositories: []githubfake.Repository{
			{Name: "acme/api", ID: 42, Dir: fixtureRepo(), Was: []string{"acme/old"}, Renamed: map[string]string{"before": "feature/login"}, Installed: true,
				Pulls: map[int]githubfake.Pull{
					5: {Branch: "feature/login", From: "acme/api", Commit: fixture.commits["e"]},
					6: {Branch: "main", From: "mallory/api", Commit: fixture.commits["fork"]}, // the same branch's name, another's code
					7: {Branch: "main", Commit: fixture.commits["fork"], Closed: true},        // the fork is gone
					8: {Branch: "feature/gone", From: "acme/api", Closed: true, Merged: true},
					9: {Branch: "feature/gone", From: "acme/api", Closed: true},
				}},
			{Name: "acme/secret", ID: 43, Dir: fixtureRepo(), Private: true},
			{Name: "acme/empty", ID: 44, Dir: filepath.Join(fixture.dir, "acme", "empty.git"), Empty: true},
		},
		Redirects: map[string]string{"acme/stolen": "http://127.0.0.2:1/repositories/42"},
		Tokens:    []string{"ghp_right"},
	}
	if change != nil {
		change(h)
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

var fixtureHeads = sync.OnceValue(func() []tip {
	var heads []tip
	for line := range strings.Lines(mustGit(fixtureRepo(), "", "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads")) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads = append(heads, tip{name, id})
	}
	slices.SortFunc(heads, func(a, b tip) int { return strings.Compare(a.name, b.name) })
	return heads
})

func appKey(t *testing.T, dir string) (*rsa.PublicKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey, file
}

func app(repository string) orchestrator.App {
	return orchestrator.App{Name: "api", Repository: repository, Branch: "main"}
}
