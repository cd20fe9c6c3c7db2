package branch

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/berth-dev/berth/orchestrator"
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

// hub is GitHub's protocol over the real fixture: acme/api, private
// acme/secret, renamed acme/old, empty acme/empty, limited acme/busy.
type hub struct {
	*httptest.Server
	token   string            // needed, if set
	status  int               // for every request, if set
	headers map[string]string // with it
	times   int               // for so many requests alone, if set
	body    string
	key     *rsa.PublicKey // of the GitHub App
	bare    bool           // no Link to the last page

	mu       sync.Mutex
	requests []string
	minted   int
	revoked  bool
	expires  time.Time
}

func newHub(t *testing.T, change func(*hub)) *hub {
	t.Helper()
	h := &hub{}
	if change != nil {
		change(h)
	}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) asked(part string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.EscapedPath())
	h.mu.Unlock()
	if h.status != 0 && (h.times == 0 || h.asked("") <= h.times) {
		for k, v := range h.headers {
			w.Header().Set(k, v)
		}
		w.WriteHeader(h.status)
		fmt.Fprint(w, h.body)
		return
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v3/")
	if !ok {
		refuse(w, 404, "Not Found")
		return
	}
	if r.Header.Get("User-Agent") == "" {
		refuse(w, 403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
		return
	}
	if r.Method != http.MethodGet && !strings.HasSuffix(path, "/access_tokens") {
		refuse(w, 404, "Not Found")
		return
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if strings.HasSuffix(path, "/installation") || strings.HasPrefix(path, "app/") {
		h.serveApp(w, r, path, bearer)
		return
	}
	h.mu.Lock()
	wrong := h.token != "" && bearer != h.token || h.key != nil && (h.revoked || bearer != fmt.Sprintf("ghs_%d", h.minted))
	h.revoked = false
	h.mu.Unlock()
	if wrong {
		refuse(w, 401, "Bad credentials")
		return
	}
	if rest, ok := strings.CutPrefix(path, "repositories/42"); ok {
		path = "repos/acme/api" + rest
	}
	f := strings.SplitN(path, "/", 4)
	if len(f) < 3 || f[0] != "repos" {
		refuse(w, 404, "Not Found")
		return
	}
	rest := ""
	if len(f) > 3 {
		rest = f[3]
	}
	switch strings.ToLower(f[1] + "/" + f[2]) {
	case "acme/api":
		h.serveRepository(w, r, rest)
	case "acme/old":
		to := h.URL + "/api/v3/repositories/42"
		if rest != "" {
			to += "/" + rest
		}
		w.Header().Set("Location", to)
		answer(w, 301, map[string]string{"message": "Moved Permanently", "url": to})
	case "acme/stolen": // a redirect to somebody else's host
		w.Header().Set("Location", "http://127.0.0.2:1/repositories/42")
		refuse(w, 301, "Moved Permanently")
	case "acme/empty":
		switch {
		case rest == "branches":
			answer(w, 200, []any{})
		case strings.HasPrefix(rest, "commits/"):
			refuse(w, 409, "Git Repository is empty.")
		default:
			refuse(w, 404, "Not Found")
		}
	default:
		refuse(w, 404, "Not Found")
	}
}

func (h *hub) serveRepository(w http.ResponseWriter, r *http.Request, rest string) {
	// As the real one, every answer counts against the limit.
	w.Header().Set("X-RateLimit-Limit", "5000")
	w.Header().Set("X-RateLimit-Remaining", "4999")
	kind, arg, _ := strings.Cut(rest, "/")
	commit := func(id string) map[string]any { return map[string]any{"sha": id} }
	self := map[string]any{"id": 42, "full_name": "acme/api", "default_branch": "main"}
	switch {
	case rest == "":
		answer(w, 200, self)
	case rest == "branches":
		heads := fixtureHeads()
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page = max(page, 1)
		// Small pages, whatever is asked for: the client must follow the links.
		const per = 4
		last := (len(heads) + per - 1) / per
		if page < last {
			link := fmt.Sprintf(`<%s/api/v3/repositories/42/branches?page=%d>; rel="next"`, h.URL, page+1)
			if !h.bare {
				link += fmt.Sprintf(`, <%s/api/v3/repositories/42/branches?page=%d>; rel="last"`, h.URL, last)
			}
			w.Header().Set("Link", link)
		}
		list := []any{}
		for _, t := range heads[min(len(heads), (page-1)*per):min(len(heads), page*per)] {
			list = append(list, map[string]any{"name": t.name, "commit": commit(t.commit)})
		}
		answer(w, 200, list)
	case kind == "branches":
		name, _ := url.PathUnescape(arg)
		if name == "before" {
			w.Header().Set("Location", h.URL+"/api/v3/repositories/42/branches/feature%2Flogin")
			refuse(w, 301, "Moved Permanently")
			return
		}
		for _, t := range fixtureHeads() {
			if t.name == name {
				answer(w, 200, map[string]any{"name": name, "commit": commit(t.commit)})
				return
			}
		}
		refuse(w, 404, "Branch not found")
	case kind == "commits" && strings.HasSuffix(arg, "/branches-where-head"):
		list := []any{}
		for _, t := range fixtureHeads() {
			if t.commit+"/branches-where-head" == arg {
				list = append(list, map[string]any{"name": t.name, "commit": commit(t.commit)})
			}
		}
		answer(w, 200, list)
	case kind == "commits":
		// Any name and, as the real one, any commit of the network of forks.
		out, err := exec.Command("git", "-C", fixtureRepo(), "rev-parse", "--verify", "--quiet", "--end-of-options", arg+"^{commit}").Output()
		if err != nil {
			refuse(w, 422, "No commit found for SHA: "+arg)
			return
		}
		answer(w, 200, commit(strings.TrimSpace(string(out))))
	case kind == "compare":
		arg, _ = url.PathUnescape(arg)
		base, head, _ := strings.Cut(arg, "...")
		b, err := exec.Command("git", "-C", fixtureRepo(), "rev-parse", "--verify", "--quiet", "--end-of-options", base+"^{commit}").Output()
		if err != nil {
			refuse(w, 404, "Not Found")
			return
		}
		m, err := exec.Command("git", "-C", fixtureRepo(), "merge-base", strings.TrimSpace(string(b)), head).Output()
		if err != nil {
			refuse(w, 404, "No common ancestor")
			return
		}
		baseID, merge := strings.TrimSpace(string(b)), strings.TrimSpace(string(m))
		status := "diverged"
		switch {
		case baseID == head:
			status = "identical"
		case merge == head:
			status = "behind"
		case merge == baseID:
			status = "ahead"
		}
		answer(w, 200, map[string]any{"status": status, "base_commit": commit(baseID), "merge_base_commit": commit(merge)})
	case strings.HasPrefix(rest, "git/ref/tags/"):
		name, _ := url.PathUnescape(strings.TrimPrefix(rest, "git/ref/"))
		out, err := exec.Command("git", "-C", fixtureRepo(), "rev-parse", "--verify", "--quiet", "--end-of-options", "refs/"+name).Output()
		if err != nil {
			refuse(w, 404, "Not Found")
			return
		}
		answer(w, 200, map[string]any{"ref": "refs/" + name, "object": commit(strings.TrimSpace(string(out)))})
	case kind == "pulls":
		fork := map[string]any{"id": 43, "full_name": "mallory/api"}
		pull := func(state, ref string, from any, merged bool) {
			answer(w, 200, map[string]any{"number": 1, "state": state, "merged": merged,
				"head": map[string]any{"ref": ref, "sha": fixture.commits["fork"], "repo": from},
				"base": map[string]any{"ref": "main", "repo": self}})
		}
		switch arg {
		case "5":
			pull("open", "feature/login", self, false)
		case "6":
			pull("open", "main", fork, false) // the same branch's name, another's code
		case "7":
			pull("closed", "main", nil, false) // the fork is gone
		case "8":
			pull("closed", "feature/gone", self, true)
		case "9":
			pull("closed", "feature/gone", self, false)
		default:
			refuse(w, 404, "Not Found")
		}
	default:
		refuse(w, 404, "Not Found")
	}
}

// serveApp is GitHub's side of an app's authentication.
func (h *hub) serveApp(w http.ResponseWriter, r *http.Request, path, bearer string) {
	parts := strings.Split(bearer, ".")
	if h.key == nil || len(parts) != 3 {
		refuse(w, 401, "A JSON web token could not be decoded")
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if rsa.VerifyPKCS1v15(h.key, crypto.SHA256, digest[:], signature) != nil || json.Unmarshal(text, &claims) != nil ||
		claims.Iss != "1234" || claims.Exp-claims.Iat > 600 {
		refuse(w, 401, "A JSON web token could not be decoded")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case path == "repos/acme/api/installation":
		answer(w, 200, map[string]any{"id": 99})
	case path == "app/installations/99/access_tokens" && r.Method == http.MethodPost:
		h.minted++
		answer(w, 201, map[string]any{"token": fmt.Sprintf("ghs_%d", h.minted), "expires_at": h.expires.Format(time.RFC3339)})
	default:
		refuse(w, 404, "Not Found")
	}
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
