package agent_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/templates"
	"github.com/berth-dev/berth/testdata/ports"
)

// The test binary is the berth program too: `agent run` is what Start starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "agent" && os.Args[2] == "run" {
		var o agent.RunOptions
		f := flag.NewFlagSet("agent run", flag.ExitOnError)
		f.StringVar(&o.Dir, "dir", "", "")
		f.BoolVar(&o.Detached, "detached", false, "")
		f.IntVar(&o.UID, "uid", 0, "")
		f.StringVar(&o.BootFile, "boot", "", "")
		_ = f.Parse(os.Args[3:])
		if o.BootFile != "" {
			raw, err := os.ReadFile(o.BootFile)
			boot, badBoot := templates.ParseBoot(raw)
			if err = errors.Join(err, badBoot); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			o.Boot = &boot
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := agent.Main(ctx, o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == "agent" && os.Args[2] == "exec" {
		var o agent.ExecOptions
		f := flag.NewFlagSet("agent exec", flag.ExitOnError)
		f.StringVar(&o.EnvFile, "env-file", "", "")
		f.IntVar(&o.Port, "port", 0, "")
		f.Func("set", "", func(pair string) error { o.Set = append(o.Set, pair); return nil })
		_ = f.Parse(os.Args[3:])
		o.Command = f.Args()
		fmt.Fprintln(os.Stderr, agent.Exec(o)) // it comes back only when it failed
		os.Exit(1)
	}
	if len(os.Args) > 3 && os.Args[1] == "agent" && os.Args[2] == "credential" {
		if err := agent.Credential(os.Args[3], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const patience = 40 * time.Second

// berth is Berth as an agent sees it.
type berth struct {
	t      *testing.T
	url    string
	states []byte
	digest string

	mu       sync.Mutex
	key      ed25519.PublicKey
	token    string
	desired  orchestrator.Desired
	changed  chan struct{}
	gone     bool
	refuse   int  // reports to answer with 503
	never    bool // reports with Salt's output are answered with 413
	lose     int  // enrolments whose answer is lost
	reports  chan orchestrator.Report
	seen     map[string]int
	refused  chan struct{}
	progress []orchestrator.Progress
	fetched  int
	asked    int                 // how often for the desired state
	login    *orchestrator.Login // nil: none is needed
	noLogin  string              // why there is none
	logins   []orchestrator.LoginRequest
}

func newBerth(t *testing.T) *berth {
	t.Helper()
	b := &berth{t: t, token: "token-" + t.Name(), changed: make(chan struct{}), reports: make(chan orchestrator.Report, 100), refused: make(chan struct{}, 100), seen: map[string]int{}}
	var err error
	if b.states, b.digest, err = templates.States(""); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+agent.PathEnroll, b.enroll)
	mux.HandleFunc("GET "+agent.PathDesired, b.signed(b.serveDesired))
	mux.HandleFunc("GET "+agent.PathStates+"{digest}", b.signed(b.serveStates))
	mux.HandleFunc("POST "+agent.PathCredential, b.signed(b.giveLogin))
	mux.HandleFunc("POST "+agent.PathProgress, b.signed(b.takeProgress))
	mux.HandleFunc("POST "+agent.PathReport, b.signed(b.takeReport))
	s := httptest.NewServer(mux)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	b.url = s.URL
	return b
}

func (b *berth) enroll(w http.ResponseWriter, r *http.Request) {
	var e agent.Enrollment
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key, err := e.Key()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case e.Token != b.token:
		http.Error(w, "unknown token", http.StatusForbidden)
	case b.key != nil && !b.key.Equal(key):
		http.Error(w, "another key", http.StatusForbidden)
	case b.lose > 0:
		b.lose--
		b.key = key
		http.Error(w, "the answer was lost", http.StatusBadGateway)
	default:
		b.key = key
		fmt.Fprint(w, "{}")
	}
}

func (b *berth) signed(next func(http.ResponseWriter, *http.Request, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		key, gone := b.key, b.gone
		b.mu.Unlock()
		if gone {
			http.Error(w, "destroyed", http.StatusGone)
			return
		}
		if err := agent.Verify(r, body, key, time.Now()); err != nil {
			b.t.Errorf("%s %s: %v", r.Method, r.URL, err)
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next(w, r, body)
	}
}

func (b *berth) serveDesired(w http.ResponseWriter, r *http.Request, _ []byte) {
	after, _ := strconv.Atoi(r.URL.Query().Get(agent.QueryAfter))
	b.mu.Lock()
	b.asked++
	b.mu.Unlock()
	for {
		b.mu.Lock()
		d, changed, gone := b.desired, b.changed, b.gone
		b.mu.Unlock()
		switch {
		case gone:
			w.WriteHeader(http.StatusGone)
			return
		case d.Generation > after:
			_ = json.NewEncoder(w).Encode(d)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}

func (b *berth) serveStates(w http.ResponseWriter, r *http.Request, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetched++
	if r.PathValue("digest") != b.digest {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(b.states)
}

func (b *berth) giveLogin(w http.ResponseWriter, _ *http.Request, body []byte) {
	var ask orchestrator.LoginRequest
	if err := json.Unmarshal(body, &ask); err != nil {
		b.t.Errorf("asking for a login: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins = append(b.logins, ask)
	if b.noLogin != "" {
		http.Error(w, b.noLogin, http.StatusUnprocessableEntity)
		return
	}
	if b.login == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_ = json.NewEncoder(w).Encode(b.login)
}

// desiredNow is what the server was asked to be last.
func (b *berth) desiredNow() orchestrator.Desired {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.desired
}

func (b *berth) takeProgress(w http.ResponseWriter, _ *http.Request, body []byte) {
	var lines []orchestrator.Progress
	if err := json.Unmarshal(body, &lines); err != nil {
		b.t.Errorf("progress: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = append(b.progress, lines...)
	w.WriteHeader(http.StatusNoContent)
}

func (b *berth) takeReport(w http.ResponseWriter, _ *http.Request, body []byte) {
	var r orchestrator.Report
	if err := json.Unmarshal(body, &r); err != nil {
		b.t.Errorf("report: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse > 0 {
		b.refuse--
		b.refused <- struct{}{}
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	if b.never && r.Stdout != "" {
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return
	}
	b.seen[r.Run]++
	b.reports <- r
	w.WriteHeader(http.StatusNoContent)
}

// want sets the desired state of the next generation.
func (b *berth) want(d orchestrator.Desired, p orchestrator.Pillar) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	p.App.Repository, p.App.Branch, p.App.Revision, p.App.Port = d.Repository, d.Branch, d.Commit, d.Port
	raw, err := json.Marshal(map[string]any{"berth": p})
	if err != nil {
		b.t.Fatal(err)
	}
	d.Generation, d.Pillar, d.ServerID = b.desired.Generation+1, raw, "s1"
	if d.StatesDigest == "" {
		d.StatesDigest = b.digest
	}
	if d.States == nil {
		d.States = []string{"app"}
	}
	b.desired = d
	close(b.changed)
	b.changed = make(chan struct{})
}

// report waits for the report about the newest generation.
func (b *berth) report() orchestrator.Report {
	b.t.Helper()
	b.mu.Lock()
	generation := b.desired.Generation
	b.mu.Unlock()
	timeout := time.After(patience)
	for {
		select {
		case r := <-b.reports:
			if r.Generation == generation {
				return r
			}
		case <-timeout:
			b.t.Fatalf("no report of generation %d", generation)
		}
	}
}

// text is all progress so far.
func (b *berth) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out strings.Builder
	for _, p := range b.progress {
		fmt.Fprintf(&out, "%d %s %s: %s\n", p.Generation, p.Step, p.Source, p.Text)
	}
	return out.String()
}

// saltCall is a real Salt.
func saltCall(t *testing.T) string {
	t.Helper()
	name := os.Getenv("BERTH_SALT_CALL")
	if name == "" {
		name, _ = filepath.Abs(filepath.Join("..", "..", ".berth", "salt", "bin", "salt-call"))
	}
	if _, err := os.Stat(name); err != nil {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatalf("no Salt: %v", err)
		}
		t.Skipf("no Salt at %s: set BERTH_SALT_CALL, or run make test, which installs it", name)
	}
	return name
}

// server is one agent under test.
type server struct {
	t       *testing.T
	berth   *berth
	dir     string
	port    int
	options agent.StartOptions
}

func newServer(t *testing.T, b *berth) *server {
	t.Helper()
	port, free, err := ports.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	s := &server{t: t, berth: b, dir: filepath.Join(t.TempDir(), "s1"), port: port}
	s.options = agent.StartOptions{Dir: s.dir, SaltCall: saltCall(t), Boot: orchestrator.Boot{ServerID: "s1", URL: b.url, Token: b.token, SaltVersion: "3008.3"}}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			for _, name := range []string{"agent.log", "app.log"} {
				raw, _ := os.ReadFile(filepath.Join(s.dir, name))
				t.Logf("%s:\n%s", name, raw)
			}
			t.Logf("progress:\n%s", b.text())
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	if err := agent.Start(context.Background(), s.options); err != nil {
		s.t.Fatal(err)
	}
	if !agent.Alive(s.dir) {
		s.t.Fatal("the agent started and does not live")
	}
}

func (s *server) stop() {
	s.t.Helper()
	if err := agent.Stop(context.Background(), s.dir, s.options.UID); err != nil {
		s.t.Error(err)
	}
	if left := marked(s.dir); len(left) > 0 || agent.Alive(s.dir) {
		s.t.Errorf("after the stop there are still %q", left)
	}
}

// pid is the agent's.
func (s *server) pid() int {
	s.t.Helper()
	var r struct{ Agent struct{ PID int } }
	raw, err := os.ReadFile(filepath.Join(s.dir, "processes.json"))
	if err != nil || json.Unmarshal(raw, &r) != nil || r.Agent.PID == 0 {
		s.t.Fatalf("no agent in processes.json: %v", err)
	}
	return r.Agent.PID
}

// marked finds processes by an independent way: the environment of every one.
func marked(dir string) []string {
	var out []string
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err == nil && bytes.Contains(raw, []byte("BERTH_SERVER_DIR="+dir+"\x00")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
			out = append(out, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

// get asks the app.
func (s *server) get(path string) string {
	s.t.Helper()
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path))
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// eventually waits for a condition that no channel tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// repo is a bare repository with a clone to work in.
type repo struct {
	t          *testing.T
	bare, work string
}

const webApp = `import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/version": open("version").read(), "/peer": os.environ.get("API_URL", ""), "/env": "\n".join(sorted(os.environ)), "/healthz": "ok"}.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write((body or "").encode())
print("app listens, built:", open("builds").read().strip(), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{t: t, bare: filepath.Join(t.TempDir(), "app.git"), work: filepath.Join(t.TempDir(), "work")}
	r.git("", "init", "-q", "--bare", "-b", "main", r.bare)
	r.git("", "init", "-q", "-b", "main", r.work)
	return r
}

func (r *repo) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, pushes them to a branch and gives the commit.
func (r *repo) commit(branch string, files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.work, name), []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "-m", "x")
	r.git(r.work, "push", "-q", r.bare, "HEAD:refs/heads/"+branch)
	return r.git(r.work, "rev-parse", "HEAD")
}

// One server through its life: created, deployed, given another peer, refused
// a broken build, killed, brought back, stopped.
func TestLife(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	first := r.commit("main", map[string]string{"app.py": webApp, "version": "one"})
	const secret = "hunter2-hunter2"
	app := orchestrator.PillarApp{Name: "web", Health: "/healthz", Start: "exec python3 app.py", Build: "echo built >> builds; echo compiling"}
	env := "# ops' own\r\nDB_PASSWORD=" + secret + "\r\nGREETING='hello  world'\n\n\n"
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "{{salt.cmd.run('touch " + s.dir + "/pwned')}}", Commit: first, Health: "/healthz", Port: s.port}
	b.want(d, orchestrator.Pillar{App: app, Env: env})
	s.start()
	s.start() // idempotent

	one := b.report()
	if one.Exit != 0 || !one.Healthy || one.Revision != first || one.Problem != "" {
		t.Fatalf("the first report: exit %d, healthy %v (%s), revision %s, problem %q\n%s\n%s", one.Exit, one.Healthy, one.HealthDetail, one.Revision, one.Problem, one.Stdout, one.Stderr)
	}
	if !json.Valid([]byte(one.Stdout)) {
		t.Errorf("standard output is not Salt's document: %.200s", one.Stdout)
	}
	checkout := filepath.Join(s.dir, "root", "app")
	if raw, err := os.ReadFile(filepath.Join(checkout, ".env")); err != nil || string(raw) != env {
		t.Errorf(".env is %q (%v), want %q", raw, err, env)
	}
	if info, err := os.Stat(filepath.Join(checkout, ".env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf(".env: %v, %v", info, err)
	}
	if got := s.get("/env"); !strings.Contains(got, "DB_PASSWORD") || strings.Contains(got, "GIT_CONFIG") || strings.Contains(got, "PYTHONPATH") {
		t.Errorf("the app's environment has %q", got)
	}
	for what, text := range map[string]string{"stdout": one.Stdout, "stderr": one.Stderr, "progress": b.text()} {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells the password", what)
		}
	}
	if text := b.text(); !strings.Contains(text, "1 configuring : fetching the code from file://"+r.bare) || !strings.Contains(text, "log salt: compiling") || !strings.Contains(text, "log app: app listens") {
		t.Errorf("progress lacks something:\n%s", text)
	}
	for _, line := range cmdlines(s.dir) {
		if strings.Contains(line, secret) || strings.Contains(line, b.token) {
			t.Errorf("an argument tells a secret: %s", line)
		}
	}

	// An earlier recipe had its notes in the checkout: that stays as it is, and
	// is built anew.
	if err := os.RemoveAll(filepath.Join(s.dir, "starter")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"code": "Checked out by Berth", "env": "Written by Berth", "built": "of whatever commit"} {
		if err := os.WriteFile(filepath.Join(checkout, ".git", "berth-"+name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// A new commit on another branch.
	second := r.commit("feature/two", map[string]string{"version": "two"})
	d.Branch, d.Commit = "feature/two", second
	b.want(d, orchestrator.Pillar{App: app, Env: env})
	if two := b.report(); !two.Healthy || two.Revision != second || s.get("/version") != "two" {
		t.Errorf("the second generation: %+v, serving %q", two, s.get("/version"))
	}

	for name, want := range map[string]bool{filepath.Join("starter", "cloned"): true, filepath.Join("starter", "built"): true, filepath.Join("root", "app", ".git", "berth-built"): false} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Another peer, the same commit: the app is restarted, not built.
	b.want(d, orchestrator.Pillar{App: app, Env: env + "API_URL=http://127.0.0.1:9\n"})
	if three := b.report(); !three.Healthy || s.get("/peer") != "http://127.0.0.1:9" {
		t.Errorf("the third generation: %+v, peer %q", three, s.get("/peer"))
	}
	if raw, _ := os.ReadFile(filepath.Join(checkout, "builds")); string(raw) != "built\nbuilt\n" {
		t.Errorf("builds: %q", raw)
	}

	// A build that fails leaves the server as it was.
	third := r.commit("main", map[string]string{"version": "three"})
	broken := app
	broken.Build = "echo cannot compile >&2; exit 7"
	d.Commit = third
	b.want(d, orchestrator.Pillar{App: broken, Env: env})
	if four := b.report(); four.Exit != 2 || four.Healthy || !strings.Contains(four.Stdout, "cannot compile") || s.get("/peer") != "http://127.0.0.1:9" {
		t.Errorf("the broken build: exit %d, healthy %v, peer %q\n%s", four.Exit, four.Healthy, s.get("/peer"), four.Stdout)
	}
	eventually(t, "the checkout is as the app runs it", func() bool {
		raw, _ := os.ReadFile(filepath.Join(checkout, ".env"))
		state, _ := os.ReadFile(filepath.Join(s.dir, "state.json"))
		return r.git(checkout, "rev-parse", "HEAD") == second && strings.Contains(string(raw), "API_URL") && strings.Contains(string(state), `"dirty":false`)
	})

	// Killed and brought back: the app runs again, and Salt does not.
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	before := len(b.text())
	if err := agent.Restart(context.Background(), s.dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the app is back", func() bool { return s.get("/version") == "two" })
	if text := b.text()[before:]; strings.Contains(text, "configuring") {
		t.Errorf("Salt ran again:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "pwned")); err == nil {
		t.Error("a branch's name was run")
	}
	s.stop()
	if got := s.get("/version"); !strings.HasPrefix(got, "no answer") {
		t.Errorf("after the stop the app answers %q", got)
	}
}

func cmdlines(dir string) []string {
	var out []string
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err == nil && bytes.Contains(raw, []byte(dir)) {
			out = append(out, string(raw))
		}
	}
	return out
}

// Runs that fail say why, in Salt's own words or in one sentence.
func TestFailures(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	commit := r.commit("main", map[string]string{"version": "one"})
	good := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: commit}
	s.start()
	for _, tt := range []struct {
		name    string
		desired func(*orchestrator.Desired)
		app     orchestrator.PillarApp
		exit    int
		stdout  string
		problem string
		detail  string
	}{
		{name: "no such commit", desired: func(d *orchestrator.Desired) { d.Commit = strings.Repeat("0123456789", 4) }, exit: 2, stdout: "reference is not a tree"},
		{name: "no such repository", desired: func(d *orchestrator.Desired) { d.Repository += "x" }, exit: 2, stdout: "does not appear to be a git repository"},
		{name: "no such recipe", desired: func(d *orchestrator.Desired) { d.States = []string{"nope"} }, exit: 1, stdout: "No matching sls found for 'nope'"},
		{name: "no recipes", desired: func(d *orchestrator.Desired) { d.StatesDigest = strings.Repeat("a", 64) }, problem: "Berth does not have the recipes"},
		{name: "option for a recipe", desired: func(d *orchestrator.Desired) { d.States = []string{"pillar={}"} }, problem: "has a name that Salt does not take"},
		{name: "branch for a commit", desired: func(d *orchestrator.Desired) { d.Commit = "main" }, problem: "no full commit"},
		{name: "helper for a repository", desired: func(d *orchestrator.Desired) { d.Repository = "ext::sh -c id" }, problem: "not an address"},
		{name: "nothing to start", exit: 0, detail: "nothing to start"},
		{name: "ends at once", app: orchestrator.PillarApp{Start: "echo dying >&2; exit 3"}, desired: func(d *orchestrator.Desired) { d.HealthTimeout = 2 }, exit: 0, detail: "ended with exit status 3"},
		{name: "listens nowhere", app: orchestrator.PillarApp{Start: "exec sleep 60"}, desired: func(d *orchestrator.Desired) { d.HealthTimeout, d.Port = 1, s.port }, exit: 0, detail: fmt.Sprintf("nothing took a connection on port %d within 1s", s.port)},
		{name: "listens on another port", app: orchestrator.PillarApp{Start: `exec python3 -c 'import socket, time; s = socket.create_server(("", 0)); time.sleep(60)'`}, desired: func(d *orchestrator.Desired) { d.HealthTimeout, d.Port = 4, s.port }, exit: 0, detail: fmt.Sprintf("nothing took a connection on port %d within 4s; the app listens on port ", s.port)},
	} {
		d := good
		if tt.desired != nil {
			tt.desired(&d)
		}
		b.want(d, orchestrator.Pillar{App: tt.app})
		got := b.report()
		if got.Exit != tt.exit || got.Healthy || !strings.Contains(got.Stdout, tt.stdout) || !strings.Contains(got.Problem, tt.problem) || (tt.problem == "") != (got.Problem == "") || !strings.Contains(got.HealthDetail, tt.detail) {
			t.Errorf("%s: exit %d, healthy %v, problem %q, detail %q\n%s\n%s", tt.name, got.Exit, got.Healthy, got.Problem, got.HealthDetail, got.Stdout, got.Stderr)
		}
		if tt.name == "ends at once" && !strings.Contains(got.AppLog, "dying") {
			t.Errorf("%s: the app's output is %q", tt.name, got.AppLog)
		}
	}
	// From the Makefile, without a port: alive for five seconds.
	made := r.commit("main", map[string]string{"Makefile": "build:\n\techo built > made\nrun:\n\t@test -f made && exec sleep 600\n"})
	d := good
	d.Commit = made
	b.want(d, orchestrator.Pillar{})
	if got := b.report(); !got.Healthy || got.Exit != 0 || got.EndedAt.Sub(got.StartedAt) < 5*time.Second {
		t.Errorf("the Makefile's app: %+v", got)
	}
	if text := b.text(); !strings.Contains(text, "running: make build") {
		t.Errorf("the build is not told:\n%s", text)
	}
}

// An app that fails after it was healthy is reported, and that it is well
// again, also by an agent that was killed meanwhile.
func TestAppFailsLater(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	commit := r.commit("main", map[string]string{"app.py": webApp, "version": "one", "builds": "none"})
	app := orchestrator.PillarApp{Start: "test ! -e broken || exit 9; exec python3 app.py"}
	b.want(orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: commit, Port: s.port}, orchestrator.Pillar{App: app})
	s.start()
	if got := b.report(); !got.Healthy {
		t.Fatalf("the first report: %+v", got)
	}
	broken := filepath.Join(s.dir, "root", "app", "broken")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// As if the app had crashed.
	for _, line := range processesWith(t, s.dir, "app.py") {
		if err := syscall.Kill(line, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	crash := b.report()
	if crash.Healthy || !crash.Later || crash.Generation != 1 || !strings.Contains(crash.HealthDetail, "ended with exit status 9") || crash.Revision != commit {
		t.Errorf("after the crash: %+v", crash)
	}
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	s.start()
	got := b.report()
	if got.Run == crash.Run { // the kill came before it was known to have arrived
		got = b.report()
	}
	if !got.Healthy || !got.Later || got.Generation != 1 || got.HealthDetail != "" {
		t.Errorf("well again: %+v", got)
	}
}

// An app that ends again and again is not well, though each time it is looked at
// it answers.
func TestAppKeepsEnding(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	commit := r.commit("main", map[string]string{"app.py": webApp, "version": "one", "builds": "none"})
	b.want(orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: commit, Port: s.port},
		orchestrator.Pillar{App: orchestrator.PillarApp{Start: "exec python3 app.py"}})
	s.start()
	if got := b.report(); !got.Healthy {
		t.Fatalf("the first report: %+v", got)
	}
	for range 3 {
		was := processesWith(t, s.dir, "app.py")
		for _, pid := range was {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the app runs again", func() bool {
			now := processesWith(t, s.dir, "app.py")
			return len(now) > 0 && fmt.Sprint(now) != fmt.Sprint(was) && s.get("/version") == "one"
		})
	}
	if got := b.report(); got.Healthy || !got.Later || !strings.HasPrefix(got.HealthDetail, "the app was ended by signal 15") || s.get("/version") != "one" {
		t.Errorf("after three ends: %+v", got)
	}
}

// A cancel while the app is waited for brings back what ran before, and what
// becomes of that is told, also after a restart.
func TestCancelInHealthWait(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	first := r.commit("main", map[string]string{"app.py": webApp, "version": "one", "builds": "none"})
	second := r.commit("main", map[string]string{"version": "two"})
	app := orchestrator.PillarApp{Start: "test ! -e ../broken || exit 9; export RUNS_$(cat version)=1; exec python3 app.py"}
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: first, Port: s.port, Health: "/healthz"}
	b.want(d, orchestrator.Pillar{App: app})
	s.start()
	runs := func(version string) bool { return strings.Contains(s.get("/env"), "RUNS_"+version) }
	waited := func(generation int) {
		t.Helper()
		eventually(t, fmt.Sprintf("generation %d is waited for", generation), func() bool {
			return strings.Contains(b.text(), fmt.Sprintf("%d health : ", generation)) && runs("two")
		})
	}
	if got := b.report(); !got.Healthy || !runs("one") {
		t.Fatalf("the first report: %+v", got)
	}
	checkout := filepath.Join(s.dir, "root", "app")
	back := func(what string) {
		t.Helper()
		eventually(t, "the first generation is back "+what, func() bool {
			state, _ := os.ReadFile(filepath.Join(s.dir, "state.json"))
			return runs("one") && r.git(checkout, "rev-parse", "HEAD") == first && strings.Contains(string(state), `"dirty":false`)
		})
	}
	wait := d
	wait.Commit, wait.Health, wait.HealthTimeout = second, "/never", 1200
	cancel := wait
	cancel.Halt = true
	b.want(wait, orchestrator.Pillar{App: app})
	waited(2)
	b.want(cancel, orchestrator.Pillar{App: app})
	back("after a cancel")

	// Nor does what was canceled come back with an agent that was killed
	// meanwhile.
	b.want(wait, orchestrator.Pillar{App: app})
	waited(4)
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	b.want(cancel, orchestrator.Pillar{App: app})
	s.start()
	back("after a restart")

	// What became of the change that replaced it is not the first one's.
	b.want(wait, orchestrator.Pillar{App: app})
	waited(6)
	broken := wait
	broken.Commit = strings.Repeat("0123456789", 4)
	b.want(broken, orchestrator.Pillar{App: app})
	if got := b.report(); got.Exit == 0 || got.Healthy {
		t.Errorf("a commit that is not there: %+v", got)
	}
	back("after a change that failed")

	if err := os.WriteFile(filepath.Join(s.dir, "root", "broken"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, pid := range processesWith(t, s.dir, "app.py") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	timeout := time.After(patience)
	for {
		select {
		case got := <-b.reports:
			if !got.Later {
				continue
			}
			if got.Healthy || got.Generation != 1 || got.Revision != first || !strings.Contains(got.HealthDetail, "ended with exit status 9") {
				t.Errorf("after the crash: %+v", got)
			}
			return
		case <-timeout:
			t.Fatal("nobody looked after what was brought back")
		}
	}
}

// A first deploy that is canceled while its app is waited for leaves nothing
// that runs.
func TestCancelFirst(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"app.py": webApp, "version": "one", "builds": "none"}),
		Port: s.port, Health: "/never", HealthTimeout: 1200}
	app := orchestrator.PillarApp{Start: "exec python3 app.py"}
	b.want(d, orchestrator.Pillar{App: app})
	s.start()
	eventually(t, "the app is waited for", func() bool { return strings.Contains(b.text(), "1 health : ") && s.get("/version") == "one" })
	d.Halt = true
	b.want(d, orchestrator.Pillar{App: app})
	eventually(t, "the app has ended", func() bool { return len(processesWith(t, s.dir, "app.py")) == 0 })
	d.Halt, d.Health = false, "/healthz"
	b.want(d, orchestrator.Pillar{App: app})
	if got := b.report(); !got.Healthy || s.get("/version") != "one" {
		t.Errorf("deployed again: %+v", got)
	}
}

// processesWith are the processes of a server whose arguments have a word.
func processesWith(t *testing.T, dir, word string) []int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, name := range names {
		env, _ := os.ReadFile(name)
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if bytes.Contains(env, []byte("BERTH_SERVER_DIR="+dir+"\x00")) && bytes.Contains(args, []byte(word)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
	}
	return out
}

// An answer on the app's port is not the app's when another program gives it;
// the addresses of peers hold whatever stands before them in .env.
func TestStrangerOnPort(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	stranger := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", s.port), Handler: http.NotFoundHandler()}
	l, err := net.Listen("tcp", stranger.Addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = stranger.Serve(l) }()
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"app.py": webApp, "version": "one", "builds": "none"}), Port: s.port, HealthTimeout: 2}
	// It lives, but does not get the port.
	b.want(d, orchestrator.Pillar{App: orchestrator.PillarApp{Start: "exec sleep 600"}})
	s.start()
	if got := b.report(); got.Healthy || !got.PortTaken || !strings.Contains(got.HealthDetail, fmt.Sprintf("port %d is taken by another program on this machine (process %d)", s.port, os.Getpid())) {
		t.Errorf("with a stranger on the port: %+v", got)
	}
	// Nobody waits long for what will not come about.
	d.HealthTimeout = 1200
	for _, start := range []string{"exec sleep 600", "exec python3 app.py"} {
		b.want(d, orchestrator.Pillar{App: orchestrator.PillarApp{Start: start}})
		if got := b.report(); got.Healthy || !got.PortTaken || !strings.Contains(got.HealthDetail, fmt.Sprintf("port %d is taken by another program on this machine (process %d)", s.port, os.Getpid())) {
			t.Errorf("%s with a stranger on the port: %+v", start, got)
		}
	}
	stranger.Close()
	b.want(d, orchestrator.Pillar{App: orchestrator.PillarApp{Start: "exec python3 app.py"}, Env: "A='\nAPI_URL=http://127.0.0.1:9\nB='\n", Needs: map[string]string{"API_URL": "http://127.0.0.1:9"}})
	if got := b.report(); !got.Healthy || s.get("/peer") != "http://127.0.0.1:9" {
		t.Errorf("without it: %+v, peer %q", got, s.get("/peer"))
	}
}

// hidden starts programs that have left their session and their environment
// behind, one of which ignores SIGTERM, and stays.
const hidden = `import os, sys, time
for code in ("import time; time.sleep(600)", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", code, sys.argv[1]], {})
        os._exit(0)
    os.wait()
time.sleep(600)
`

// What an app has hidden ends with it: at the next generation, and at the
// server's end, also when the agent was killed before.
func TestHiddenProcesses(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	mark := filepath.Base(s.dir) + "-" + strconv.Itoa(s.port)
	d := orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"hide.py": hidden})}
	start := func(name string) {
		t.Helper()
		b.want(d, orchestrator.Pillar{App: orchestrator.PillarApp{Start: "exec python3 hide.py " + name}})
		if got := b.report(); !got.Healthy {
			t.Fatalf("%+v", got)
		}
		eventually(t, "two are hidden", func() bool { return len(hiddenBy(name)) == 2 })
	}
	s.start()
	start(mark + "-one")
	start(mark + "-two")
	if left := hiddenBy(mark + "-one"); len(left) > 0 {
		t.Errorf("the first generation left %v", left)
	}
	eventually(t, "the agent has written them down", func() bool {
		raw, err := os.ReadFile(filepath.Join(s.dir, "processes.json"))
		return err == nil && strings.Contains(string(raw), `"strays":[{`)
	})
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	s.stop()
	if left := hiddenBy(mark); len(left) > 0 {
		t.Errorf("the server left %v", left)
	}
}

// hiddenBy are the processes with an environment of nothing whose last argument
// begins with name.
func hiddenBy(name string) []string {
	var out []string
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range names {
		args, _ := os.ReadFile(file)
		fields := strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
		if env, err := os.ReadFile(filepath.Join(filepath.Dir(file), "environ")); err == nil && len(env) == 0 && strings.HasPrefix(fields[len(fields)-1], name) {
			out = append(out, file)
		}
	}
	return out
}

// A repository's submodules come along.
func TestSubmodules(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	library, r := newRepo(t), newRepo(t)
	library.commit("main", map[string]string{"lib.txt": "borrowed"})
	r.commit("main", map[string]string{"a": "b"})
	r.git(r.work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "file://"+library.bare, "vendor/lib")
	commit := r.commit("main", map[string]string{"a": "c"})
	// What ops' configuration for git allows, holds for submodules too.
	config := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte("[protocol \"file\"]\n\tallow = always\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.options.GitConfig = config
	b.want(orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: commit}, orchestrator.Pillar{App: orchestrator.PillarApp{Start: "cat vendor/lib/lib.txt && exec sleep 600"}})
	s.start()
	if got := b.report(); !got.Healthy || !strings.Contains(got.AppLog, "borrowed") {
		t.Errorf("healthy %v (%s), exit %d, %s\n%s", got.Healthy, got.HealthDetail, got.Exit, got.AppLog, got.Stdout)
	}
}

// A report that Berth will never take gives way to one that says so.
func TestReportNeverTaken(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	b.never = true
	s := newServer(t, b)
	r := newRepo(t)
	b.want(orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"a": "b"})}, orchestrator.Pillar{})
	s.start()
	if got := b.report(); got.Generation != 1 || got.Healthy || !strings.Contains(got.Problem, "did not take its report (413 the request is too large)") {
		t.Errorf("the report in its place: %+v", got)
	}
}

// A report that Berth did not take is sent after the restart, once, and Salt
// does not run again.
func TestSpool(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	b.refuse, b.lose = 1000, 1
	s := newServer(t, b)
	r := newRepo(t)
	b.want(orchestrator.Desired{Repository: "file://" + r.bare, Branch: "main", Commit: r.commit("main", map[string]string{"a": "b"})}, orchestrator.Pillar{})
	s.start()
	select {
	case <-b.refused:
	case <-time.After(patience):
		t.Fatal("no report came")
	}
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	b.mu.Lock()
	b.refuse = 0
	b.mu.Unlock()
	s.start()
	got := b.report()
	eventually(t, "the spool is empty", func() bool {
		left, _ := filepath.Glob(filepath.Join(s.dir, "spool", "*"))
		return len(left) == 0
	})
	if got.Exit != 0 || b.seen[got.Run] != 1 || len(b.seen) != 1 || b.fetched != 1 {
		t.Errorf("report %+v, seen %v, recipes fetched %d times", got, b.seen, b.fetched)
	}
	if text := b.text(); strings.Contains(text, "make build") || !strings.Contains(text, "fetching the code") {
		t.Errorf("a step that is not taken is told:\n%s", text)
	}
}

// A destroyed server stops everything, what left the app's session too.
func TestGone(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	commit := r.commit("main", map[string]string{"version": "v", "builds": "none", "app.py": webApp})
	b.want(orchestrator.Desired{Repository: r.bare, Branch: "main", Commit: commit, Port: s.port},
		orchestrator.Pillar{App: orchestrator.PillarApp{Start: "setsid sleep 1000 & exec python3 app.py"}})
	s.start()
	if got := b.report(); !got.Healthy {
		t.Fatalf("not healthy: %+v", got)
	}
	b.mu.Lock()
	b.gone = true
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
	eventually(t, "the agent ended", func() bool { return !agent.Alive(s.dir) && len(marked(s.dir)) == 0 })
}

// Stop finds everything although the agent was killed.
func TestStopAfterKill(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	commit := r.commit("main", map[string]string{"version": "v", "builds": "none", "app.py": webApp})
	b.want(orchestrator.Desired{Repository: r.bare, Branch: "main", Commit: commit, Port: s.port},
		orchestrator.Pillar{App: orchestrator.PillarApp{Start: "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & env -i PATH=\"$PATH\" PORT=$PORT python3 app.py"}})
	s.start()
	if got := b.report(); !got.Healthy {
		t.Fatalf("not healthy: %+v", got)
	}
	if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent is dead", func() bool { return !agent.Alive(s.dir) })
	s.stop()
	if got := s.get("/version"); !strings.HasPrefix(got, "no answer") {
		t.Errorf("the app, which has left no mark in its environment, answers %q", got)
	}
}

// Berth coming back on another port is found.
func TestPoint(t *testing.T) {
	t.Parallel()
	b := newBerth(t)
	s := newServer(t, b)
	s.options.Boot.URL = "http://127.0.0.1:1"
	s.start()
	if err := agent.Point(s.dir, b.url, ""); err != nil {
		t.Fatal(err)
	}
	b.want(orchestrator.Desired{Repository: "nowhere", Branch: "main", Commit: "x"}, orchestrator.Pillar{})
	if got := b.report(); got.Problem == "" {
		t.Errorf("%+v", got)
	}
}

// As root, a server with a user of its own is that user in all it does, and
// reads a repository that is root's.
func TestUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a server a user of its own")
	}
	uid := 3_000_000 + os.Getpid()%1_000_000 // two runs of the tests at once must not end each other
	salt := saltCall(t)
	try := exec.Command(salt, "--help")
	try.Dir = "/"
	try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	_, err := try.CombinedOutput()
	var exit *exec.ExitError
	if errors.Is(err, os.ErrPermission) || errors.As(err, &exit) && exit.ExitCode() == 126 {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatalf("%s is closed to other users than root: make test installs one that is open", salt)
		}
		t.Skipf("%s is closed to other users than root", salt)
	}
	b := newBerth(t)
	s := newServer(t, b)
	r := newRepo(t)
	open, err := os.MkdirTemp("/tmp", "berth-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(open) })
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	library := newRepo(t)
	library.commit("main", map[string]string{"lib.txt": "borrowed"})
	r.commit("main", map[string]string{"version": "v", "builds": "none", "app.py": webApp})
	r.git("", "clone", "-q", "--bare", library.bare, filepath.Join(open, "lib.git"))
	r.git(r.work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "file://"+open+"/lib.git", "lib")
	commit := r.commit("main", nil)
	r.git("", "clone", "-q", "--bare", r.bare, filepath.Join(open, "app.git"))
	s.dir = filepath.Join(open, "servers", "s1")
	s.options.Dir, s.options.UID = s.dir, uid
	config := filepath.Join(t.TempDir(), "gitconfig") // in a folder that is closed to others
	if err := os.WriteFile(config, []byte("[url \"file://"+open+"/\"]\n\tinsteadOf = https://git.example.com/\n[protocol \"file\"]\n\tallow = always\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.options.GitConfig = config
	b.want(orchestrator.Desired{Repository: "https://git.example.com/app.git", Branch: "main", Commit: commit, Port: s.port},
		orchestrator.Pillar{Env: "A=1\n", App: orchestrator.PillarApp{Start: "id -u > who; setsid sleep 1000 & cat lib/lib.txt && exec python3 app.py"}})
	s.start()
	got := b.report()
	if !got.Healthy || got.Revision != commit {
		t.Fatalf("%+v", got)
	}
	if raw, err := os.ReadFile(filepath.Join(s.dir, "root", "app", "who")); err != nil || string(raw) != strconv.Itoa(uid)+"\n" {
		t.Errorf("the app ran as %q, %v", raw, err)
	}
	err = filepath.WalkDir(s.dir, func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != uint32(uid) {
			t.Errorf("%s is not the server's own", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.stop()
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "s1")
	for name, tt := range map[string]struct {
		change func(*agent.StartOptions)
		code   orchestrator.Code
	}{
		"open network": {func(o *agent.StartOptions) { o.Boot.URL = "http://192.0.2.1" }, orchestrator.CodeInvalidValue},
		"no server":    {func(o *agent.StartOptions) { o.Boot.ServerID = "" }, orchestrator.CodeInvalidValue},
		"no salt-call": {func(o *agent.StartOptions) { o.SaltCall = "/nowhere/salt-call" }, orchestrator.CodeNotFound},
	} {
		o := agent.StartOptions{Dir: dir, Boot: orchestrator.Boot{ServerID: "s1", URL: "http://127.0.0.1:1", Token: "t"}}
		tt.change(&o)
		var e *orchestrator.Error
		if err := agent.Start(context.Background(), o); !errors.As(err, &e) || e.Code != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	var e *orchestrator.Error
	if err := agent.Restart(context.Background(), dir); !errors.As(err, &e) || e.Code != orchestrator.CodeNotFound {
		t.Errorf("restarting what never was: %v", err)
	}
	if err := agent.Stop(context.Background(), dir, 0); err != nil {
		t.Errorf("stopping what never was: %v", err)
	}
}
