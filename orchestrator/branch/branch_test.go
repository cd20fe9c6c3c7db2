package branch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
	"github.com/berth-dev/berth/testdata/executable"
)

// A want is what a reference resolves to, or how it is refused.
type want struct {
	ref     string
	branch  string // the branch; the commit must be its tip
	mark    string // or the commit that it stands for itself
	code    orchestrator.Code
	says    []string // in message or hint
	suggest []string // the first one; empty and not nil: there are none
	renamed string   // what the branch is called now
}

// both holds for every kind of host.
var both = []want{
	{ref: "", branch: "main"},
	{ref: "main", branch: "main"},
	{ref: " main ", branch: "main"},
	{ref: "feature/login", branch: "feature/login"},
	{ref: "hotfix/1.2.3", branch: "hotfix/1.2.3"},
	{ref: "fix#7", branch: "fix#7"},
	{ref: "feature/café", branch: "feature/café"},
	{ref: "{{salt.cmd.run('id')}}", branch: "{{salt.cmd.run('id')}}"},
	{ref: "100%/&weird;$(id)", branch: "100%/&weird;$(id)"},
	{ref: "facade1", branch: "facade1"}, // could be a commit's ID
	{ref: "origin/feature/login", branch: "feature/login"},
	{ref: "origin/taken", branch: "origin/taken"},
	{ref: "refs/heads/main", branch: "main"},
	{ref: "refs/remotes/origin/main", branch: "main"},
	{ref: "commit:c", mark: "c"},
	{ref: "commit:b", mark: "b"}, // in main's history
	{ref: "commit:d", mark: "d"}, // only in feature/login's
	{ref: "short:d", mark: "d"},
	{ref: "upper:e", mark: "e"},
	{ref: "feature/logn", code: orchestrator.CodeBranchNotFound, says: []string{"acme/api", "app api", "feature/logn", "did you mean feature/login"}, suggest: []string{"feature/login"}},
	{ref: "login", code: orchestrator.CodeBranchNotFound, suggest: []string{"feature/login"}},
	{ref: "origin/feature/logn", code: orchestrator.CodeBranchNotFound, says: []string{"no branch feature/logn"}, suggest: []string{"feature/login"}},
	{ref: "release/blue", code: orchestrator.CodeBranchNotFound, says: []string{"branch names are case-sensitive: there is Release/Blue"}, suggest: []string{"Release/Blue"}},
	{ref: "feature/cafe", code: orchestrator.CodeBranchNotFound, says: []string{`"feature/café"`}},
	{ref: "zzzzzzzz", code: orchestrator.CodeBranchNotFound},
	{ref: "v1.0", code: orchestrator.CodeBranchNotFound, says: []string{"that is a tag", "the commit that the tag stands at"}, suggest: []string{}}, // v1 is another version
	{ref: "refs/tags/v1.0", code: orchestrator.CodeBranchNotFound, says: []string{"that is a tag"}},
	{ref: "20240101", code: orchestrator.CodeBranchNotFound, says: []string{"that is a tag"}}, // could be a commit's ID
	{ref: "v1", branch: "v1"}, // a tag is called so too
	{ref: "commit:t", mark: "t"},
	{ref: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", branch: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{ref: "commit:o", code: orchestrator.CodeRevisionNotFound, says: []string{"both a commit", "refs/heads/"}},
	{ref: "refs/heads/commit:o", branch: "commit:o"},
	{ref: "short:o", mark: "o"},
	{ref: "fix-dash", code: orchestrator.CodeBranchNotFound, says: []string{`there is "fix–dash"`, "quotes"}, suggest: []string{"fix–dash"}},
	{ref: "wip...later", code: orchestrator.CodeBranchNotFound, says: []string{`there is "wip…later"`}, suggest: []string{"wip…later"}},
	{ref: "feature/cafe\u0301", code: orchestrator.CodeBranchNotFound, says: []string{"look or read alike"}, suggest: []string{"feature/café"}},
	{ref: "0123456789012345678901234567890123456789", code: orchestrator.CodeRevisionNotFound, says: []string{"neither a branch nor a commit"}},
	{ref: "--upload-pack=id", code: orchestrator.CodeInvalidValue, says: []string{"hyphen"}},
	{ref: "a b", code: orchestrator.CodeInvalidValue, says: []string{"space"}},
	{ref: "a..b", code: orchestrator.CodeInvalidValue, says: []string{"two dots"}},
	{ref: "main~1", code: orchestrator.CodeInvalidValue, says: []string{"cannot contain ~"}},
	{ref: "../../secret", code: orchestrator.CodeInvalidValue},
	{ref: "a\nb", code: orchestrator.CodeInvalidValue, says: []string{`"a\nb"`, "control"}},
	{ref: "https://elsewhere.dev/x/y/tree/main", code: orchestrator.CodeForkRefused, says: []string{"elsewhere.dev/x/y/tree/main does not belong to acme/api"}},
}

func (w want) typed() string {
	if rest, ok := strings.CutPrefix(w.ref, "refs/heads/"); ok && strings.HasPrefix(rest, "commit:") {
		return "refs/heads/" + want{ref: rest}.typed()
	}
	kind, mark, _ := strings.Cut(w.ref, ":")
	switch kind {
	case "commit":
		return fixture.commits[mark]
	case "short":
		return fixture.commits[mark][:9]
	case "upper":
		return strings.ToUpper(fixture.commits[mark])
	}
	return w.ref
}

func (w want) check(t *testing.T, c *Checker, a orchestrator.App) {
	t.Helper()
	got, err := c.Resolve(context.Background(), a, w.typed())
	w.branch = want{ref: w.branch}.typed()
	if w.code == "" {
		expect := orchestrator.Resolved{Branch: w.branch, Commit: fixture.commits[w.mark]}
		if w.mark != "" {
			expect.Branch = expect.Commit
		}
		for _, h := range fixtureHeads() {
			if h.name == w.branch {
				expect.Commit = h.commit
			}
		}
		if err != nil || got != expect {
			t.Fatalf("Resolve(%q) = %+v, %v; want %+v", w.typed(), got, err, expect)
		}
		return
	}
	refused(t, err, w.code, w.says...)
	if got != (orchestrator.Resolved{}) {
		t.Errorf("refused, and yet resolved to %+v", got)
	}
	var e *orchestrator.Error
	errors.As(err, &e)
	if len(e.Suggestions) > 3 {
		t.Errorf("too many suggestions: %q", e.Suggestions)
	}
	if e.Subject.RenamedTo != w.renamed {
		t.Errorf("renamed to %q, want %q", e.Subject.RenamedTo, w.renamed)
	}
	if w.suggest != nil && !slices.Equal(e.Suggestions[:min(1, len(e.Suggestions))], w.suggest) {
		t.Errorf("suggestions %q; want %q first", e.Suggestions, w.suggest)
	}
}

func refused(t *testing.T, err error, code orchestrator.Code, says ...string) {
	t.Helper()
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *orchestrator.Error with %s", err, err, code)
	}
	if e.Code != code {
		t.Errorf("code %s, want %s: %s", e.Code, code, e.Message)
	}
	for _, s := range says {
		if !strings.Contains(e.Message+" "+e.Hint, s) {
			t.Errorf("%q (hint %q) does not say %q", e.Message, e.Hint, s)
		}
	}
	if e.Hint == "" {
		t.Errorf("no hint with %q", e.Message)
	}
	for _, secret := range []string{"hunter2", "ghp_", "ghs_", "%!"} {
		if strings.Contains(e.Message+e.Hint+fmt.Sprint(e.Cause), secret) {
			t.Errorf("%q shows up in %+v", secret, e)
		}
	}
	t.Logf("%s — %s", e.Message, e.Hint)
}

func table(t *testing.T, c *Checker, a orchestrator.App, wants []want) {
	for _, w := range wants {
		t.Run(cmp.Or(w.ref, "none"), func(t *testing.T) {
			t.Parallel()
			w.check(t, c, a)
		})
	}
}

func TestGitHosts(t *testing.T) {
	t.Parallel()
	server := gitServer(t, "")
	for name, address := range map[string]string{
		"http": server.URL + "/acme/api.git",
		"file": "file://" + fixtureRepo(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants := both
			if name == "file" { // its short name is the folder's
				wants = nil
				for _, w := range both {
					w.says = nil
					wants = append(wants, w)
				}
			}
			table(t, New(Options{}), app(address), append(wants,
				want{ref: "commit:fork", code: orchestrator.CodeRevisionNotFound},
				want{ref: "#7", code: orchestrator.CodeRevisionNotFound, says: []string{"GitHub only", "name the branch of #7"}},
			))
		})
	}
	t.Run("path", func(t *testing.T) {
		t.Parallel()
		c := New(Options{})
		want{ref: "feature/login", branch: "feature/login"}.check(t, c, app(fixtureRepo()))
		want{ref: "commit:d", mark: "d"}.check(t, c, app(fixtureRepo()))
		want{ref: "x/y/z", code: orchestrator.CodeBranchNotFound, says: []string{"api (app api) has no branch x/y/z"}}.check(t, c, app(fixtureRepo()))
	})
	t.Run("addresses", func(t *testing.T) {
		t.Parallel()
		c, a := New(Options{}), app(server.URL+"/acme/api.git")
		want{ref: server.URL + "/acme/api/-/tree/feature/login?ref_type=heads", branch: "feature/login"}.check(t, c, a)
		want{ref: server.URL + "/acme/api/src/branch/feature/login/main.go", branch: "feature/login"}.check(t, c, a)
		want{ref: server.URL + "/acme/api/-/commit/" + fixture.commits["d"], mark: "d"}.check(t, c, a)
		want{ref: server.URL + "/acme/api2/-/tree/main", code: orchestrator.CodeForkRefused}.check(t, c, a)
		want{ref: server.URL + "/acme/api/-/merge_requests/3", code: orchestrator.CodeRevisionNotFound}.check(t, c, a)
		want{ref: server.URL + "/acme/api/-/issues/3", code: orchestrator.CodeInvalidValue}.check(t, c, a)
	})
}

func TestHistoryIsRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	want{ref: "commit:d", mark: "d"}.check(t, New(Options{}), app(fixtureRepo()))
	want{ref: "abcdef0", code: orchestrator.CodeRevisionNotFound}.check(t, New(Options{}), app(fixtureRepo()))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// sshScript stands for ssh: it runs what git asks for on this machine.
const sshScript = "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n"

func TestSSH(t *testing.T) {
	script := filepath.Join(t.TempDir(), "ssh")
	write := func(text string) {
		t.Helper()
		executable.Write(t, script, text)
	}
	t.Setenv("GIT_SSH_COMMAND", script)
	write(sshScript)
	for _, address := range []string{"git@example.com:" + fixtureRepo(), "ssh://git@example.com:2222" + fixtureRepo()} {
		want{ref: "feature/login", branch: "feature/login"}.check(t, New(Options{}), app(address))
	}
	for said, code := range map[string]orchestrator.Code{
		"git@example.com: Permission denied (publickey).":                              orchestrator.CodeGitAuth,
		"Host key verification failed.":                                                orchestrator.CodeGitAuth,
		"ssh: Could not resolve hostname example.com: Name or service not known":       orchestrator.CodeGitUnreachable,
		"ssh: connect to host example.com port 22: Connection timed out":               orchestrator.CodeGitUnreachable,
		"ERROR: Repository not found.":                                                 orchestrator.CodeRepoNotFound,
		"ERROR: The project you were looking for could not be found or you don't have": orchestrator.CodeRepoNotFound,
		"something new": orchestrator.CodeGitUnreachable,
	} {
		write("#!/bin/sh\necho \"" + said + "\" >&2\nexit 255\n")
		_, err := New(Options{}).Resolve(context.Background(), app("git@example.com:acme/api.git"), "main")
		refused(t, err, code, "app api")
	}
	write("#!/bin/sh\necho \"remote: Project 'acme/api' was moved to 'acme/new'.\" >&2\nexec git-upload-pack '" + fixtureRepo() + "'\n")
	t.Setenv("PATH", mustGit("/", "", "--exec-path")+":"+os.Getenv("PATH"))
	_, err := New(Options{}).Resolve(context.Background(), app("git@example.com:acme/api.git"), "main")
	refused(t, err, orchestrator.CodeRepoMoved, "acme/new")
}

func TestGitTroubles(t *testing.T) {
	t.Parallel()
	locked := gitServer(t, "maria:hunter2")
	open := gitServer(t, "")
	hang := hanging(t)
	for name, c := range map[string]struct {
		options Options
		address string
		code    orchestrator.Code
		says    []string
	}{
		"no credentials":    {Options{}, locked.URL + "/acme/api.git", orchestrator.CodeGitAuth, []string{"has no credentials for it", "acme/api", "ops"}},
		"no TLS":            {Options{}, strings.Replace(open.URL, "http:", "https:", 1) + "/acme/api.git", orchestrator.CodeGitUnreachable, []string{"no TLS", "https or http"}},
		"wrong credentials": {Options{}, strings.Replace(locked.URL, "//", "//maria:hunter22@", 1) + "/acme/api.git", orchestrator.CodeGitAuth, []string{"refused Berth's credentials"}},
		"renamed":           {Options{}, open.URL + "/old/api.git", orchestrator.CodeRepoMoved, []string{"it is now acme/api", "ops"}},
		"not found":         {Options{}, open.URL + "/acme/nothing.git", orchestrator.CodeRepoNotFound, []string{"acme/nothing"}},
		"no such path":      {Options{}, filepath.Join(fixture.dir, "nothing"), orchestrator.CodeRepoNotFound, []string{"nothing"}},
		"no repository":     {Options{}, fixture.dir, orchestrator.CodeRepoNotFound, nil},
		"empty":             {Options{}, open.URL + "/acme/empty.git", orchestrator.CodeBranchNotFound, []string{"is empty"}},
		"refused":           {Options{}, "http://maria:hunter2@127.0.0.1:1/acme/api.git", orchestrator.CodeGitUnreachable, []string{"cannot reach 127.0.0.1"}},
		"unknown host":      {Options{}, "https://git.invalid/acme/api", orchestrator.CodeGitUnreachable, []string{"cannot find the host git.invalid"}},
		"no git":            {Options{Git: "/nowhere/git"}, open.URL + "/acme/api.git", orchestrator.CodeGitUnreachable, []string{"install git"}},
		"no git in PATH":    {Options{Git: "git-that-is-not"}, open.URL + "/acme/api.git", orchestrator.CodeGitUnreachable, []string{"install git"}},
		"silent":            {Options{Timeout: 300 * time.Millisecond}, hang.URL + "/acme/api.git", orchestrator.CodeGitUnreachable, []string{"did not answer within 300ms"}},
		"option":            {Options{}, "--upload-pack=touch /tmp/x", orchestrator.CodeInvalidCatalog, []string{"hyphen"}},
		"option for ssh":    {Options{}, "ssh://-oProxyCommand=id/acme/api", orchestrator.CodeInvalidCatalog, []string{"hyphen"}},
		"helper":            {Options{}, "ext::sh -c id", orchestrator.CodeInvalidCatalog, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(c.options).Resolve(context.Background(), app(c.address), "main")
			refused(t, err, c.code, append(c.says, "app api")...)
		})
	}
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		want{ref: "main", branch: "main"}.check(t, New(Options{}), app(strings.Replace(locked.URL, "//", "//maria:hunter2@", 1)+"/acme/api.git"))
	})
}

// TestGitDoesNotStart: git is there and the kernel starts it for nobody now.
func TestGitDoesNotStart(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "git")
	executable.Write(t, script, "#!/bin/sh\n")
	writer, err := os.OpenFile(script, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	_, err = New(Options{Git: script}).Resolve(context.Background(), app("https://git.example.com/acme/api"), "main")
	refused(t, err, orchestrator.CodeGitUnreachable, "could not be started", "(text file busy)", "app api", "try again in a minute")
}

// TestTimeoutEndsHelpers: what git has started ends with it.
func TestTimeoutEndsHelpers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script, alive := filepath.Join(dir, "git"), filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(alive, 0o600); err != nil {
		t.Fatal(err)
	}
	// The helper holds the pipe open for as long as it lives.
	executable.Write(t, script, "#!/bin/sh\nsleep 1000 > "+alive+" &\nwait\n")
	over := make(chan error, 1)
	go func() {
		pipe, err := os.Open(alive)
		if err == nil {
			defer pipe.Close()
			_, err = io.Copy(io.Discard, pipe)
		}
		over <- err
	}()
	_, err := New(Options{Git: script, Timeout: 200 * time.Millisecond}).Resolve(context.Background(), app("git://127.0.0.1:1/acme/api"), "main")
	refused(t, err, orchestrator.CodeGitUnreachable, "did not answer within 200ms", "127.0.0.1:1")
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("git's helper lives on")
	}
}

// TestPasswordIsNoArgument: what git and its helpers are started with can be
// read by everybody on the machine.
func TestPasswordIsNoArgument(t *testing.T) {
	t.Parallel()
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "git")
	text := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >> %s/args\nenv > %s/env\nexec %s \"$@\"\n", dir, dir, real)
	executable.Write(t, script, text)
	server := gitServer(t, "maria:hunter2")
	want{ref: "commit:d", mark: "d"}.check(t, New(Options{Git: script}), app(strings.Replace(server.URL, "//", "//maria:hunter2@", 1)+"/acme/api.git"))
	// A token in the place of the name, as some hosts take it.
	_, err = New(Options{Git: script}).Resolve(context.Background(), app(strings.Replace(server.URL, "//", "//hunter2@", 1)+"/acme/api.git"), "main")
	refused(t, err, orchestrator.CodeGitAuth)
	args, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil || !strings.Contains(string(args), "ls-remote\n--heads\n--tags\n--\n"+server.URL) || !strings.Contains(string(args), "fetch") {
		t.Fatalf("git was run otherwise: %s %v", args, err)
	}
	if strings.Contains(string(args), "hunter2") {
		t.Errorf("the password is among git's arguments: %s", args)
	}
	env, _ := os.ReadFile(filepath.Join(dir, "env"))
	for _, need := range []string{"GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh", "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=10", "GIT_CONFIG_GLOBAL=" + os.DevNull} {
		if !strings.Contains("\n"+string(env), "\n"+need+"\n") {
			t.Errorf("git's environment has no %s", need)
		}
	}
}

// TestRedirectTakesNoPassword: another host than the address's own gets nothing.
func TestRedirectTakesNoPassword(t *testing.T) {
	t.Parallel()
	backend := gitServer(t, "")
	var mu sync.Mutex
	var seen []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization"))
		mu.Unlock()
		if _, _, ok := r.BasicAuth(); !ok && r.Method == http.MethodPost {
			w.Header().Set("WWW-Authenticate", `Basic realm="give it to me"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(thief.Close)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user+password != "mariahunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, thief.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(first.Close)
	_, err := New(Options{}).Resolve(context.Background(), app(strings.Replace(first.URL, "//", "//maria:hunter2@", 1)+"/acme/api.git"), "main")
	if err == nil {
		t.Error("a repository elsewhere was taken for the app's")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 || strings.Join(seen, "") != "" {
		t.Errorf("the other host got %q", seen)
	}
}

// TestSSHCommandOfSettings: ops choose keys in git's own settings too.
func TestSSHCommandOfSettings(t *testing.T) {
	dir := t.TempDir()
	script, settings := filepath.Join(dir, "ssh"), filepath.Join(dir, "gitconfig")
	executable.Write(t, script, sshScript)
	if err := os.WriteFile(settings, []byte("[core]\n\tsshCommand = "+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", settings)
	want{ref: "main", branch: "main"}.check(t, New(Options{}), app("git@example.invalid:"+fixtureRepo()))
}

// TestShortIDs: one commit is another's namesake in seven characters, and only
// one of them is a branch's tip.
func TestShortIDs(t *testing.T) {
	t.Parallel()
	repo := filepath.Join(t.TempDir(), "twins.git")
	mustGit("/", "", "init", "--quiet", "--bare", repo)
	tree := mustGit(repo, "", "hash-object", "-w", "-t", "tree", os.DevNull)
	commit := func(text string, parents ...string) string {
		for _, p := range parents {
			text = "parent " + p + "\n" + text
		}
		return mustGit(repo, "tree "+tree+"\n"+text, "hash-object", "-w", "-t", "commit", "--stdin")
	}
	const by = "author T <t@example.com> 1700000000 +0000\ncommitter T <t@example.com> 1700000000 +0000\n\n"
	old, tip := commit(by+"12115\n"), commit(by+"15844\n")
	if old[:7] != tip[:7] {
		t.Fatalf("%s and %s are no twins", old, tip)
	}
	mustGit(repo, "", "update-ref", "refs/heads/main", commit(by+"x\n", old))
	mustGit(repo, "", "update-ref", "refs/heads/topic", tip)
	c, a := New(Options{}), app(repo)
	_, err := c.Resolve(context.Background(), a, tip[:7])
	refused(t, err, orchestrator.CodeRevisionNotFound, "More than one commit", "40 characters")
	for _, id := range []string{tip, tip[:12], old, old[:12]} {
		if r, err := c.Resolve(context.Background(), a, id); err != nil || !strings.HasPrefix(r.Commit, id) {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
}

// TestCatalogsBranch: a branch that nobody typed is told as the catalog's.
func TestCatalogsBranch(t *testing.T) {
	t.Parallel()
	a := app(fixtureRepo())
	a.Branch = "mian"
	_, err := New(Options{}).Resolve(context.Background(), a, "")
	refused(t, err, orchestrator.CodeBranchNotFound, "which the catalog names for it", "did you mean main?", "ops: ")
}

func TestSecretsStayOutOfGit(t *testing.T) {
	t.Setenv("BERTH_SLACK_BOT_TOKEN", "xoxb-1")
	for _, v := range environment("") {
		if strings.HasPrefix(v, "BERTH_") {
			t.Errorf("git gets %s", v)
		}
	}
}

func hanging(t *testing.T) *httptest.Server {
	t.Helper()
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(func() { close(over); s.Close() })
	return s
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	options := Options{GitHubAPIURL: h.URL + "/api/v3", Token: "ghp_right"}
	c := New(options)
	host := strings.TrimPrefix(h.URL, "http://")
	more := []want{
		{ref: "#5", branch: "feature/login"},
		{ref: "acme/api#5", branch: "feature/login"},
		{ref: "other/api#5", code: orchestrator.CodeForkRefused},
		{ref: "https://github.com/acme/api/pull/5", branch: "feature/login"},
		{ref: "https://github.com/Acme/API/pull/5/files#diff-1", branch: "feature/login"},
		{ref: "#6", code: orchestrator.CodeForkRefused, says: []string{"#6", "the fork mallory/api", "acme/api"}},
		{ref: "https://github.com/acme/api/pull/6", code: orchestrator.CodeForkRefused},
		{ref: "https://github.com/mallory/api/pull/5", code: orchestrator.CodeForkRefused, says: []string{"github.com/mallory/api/pull/5"}},
		{ref: "#7", code: orchestrator.CodeForkRefused, says: []string{"a fork that is gone"}},
		{ref: "#8", code: orchestrator.CodeBranchNotFound, says: []string{"merged into main, and its branch feature/gone is gone"}, suggest: []string{"main"}},
		{ref: "#9", code: orchestrator.CodeBranchNotFound, says: []string{"closed, and its branch feature/gone is gone"}},
		{ref: "#999", code: orchestrator.CodeRevisionNotFound, says: []string{"no pull request #999"}},
		{ref: "commit:fork", code: orchestrator.CodeForkRefused, says: []string{"on no branch of acme/api"}},
		{ref: "short:fork", code: orchestrator.CodeForkRefused},
		{ref: "commit:tagged", code: orchestrator.CodeForkRefused},
		{ref: "https://github.com/acme/api/tree/feature/login", branch: "feature/login"},
		{ref: "https://www.github.com/acme/api/tree/feature/login/cmd/main.go?x=1", branch: "feature/login"},
		{ref: "https://github.com/acme/api/tree/feature%2Flogin", branch: "feature/login"},
		{ref: "https://github.com/acme/api/blob/hotfix/1.2.3/README.md#L3", branch: "hotfix/1.2.3"},
		{ref: "https://github.com/acme/api/tree/fix%237", branch: "fix#7"},
		{ref: "github.com/acme/api/tree/main", branch: "main"},
		{ref: "https://github.com/mallory/api/tree/main", code: orchestrator.CodeForkRefused, says: []string{"the one repository that app api is built from"}},
		{ref: "https://github.com/acme/api-evil/tree/main", code: orchestrator.CodeForkRefused},
		{ref: "https://github.com/acme/api/tree/feature/logn", code: orchestrator.CodeBranchNotFound, suggest: []string{"feature/login"}},
		{ref: "https://github.com/acme/api/tree/../../mallory/api", code: orchestrator.CodeInvalidValue},
		{ref: "https://github.com/acme/api", code: orchestrator.CodeInvalidValue, says: []string{"no address of a branch"}},
		{ref: "https://maria:hunter2@github.com/acme/api", code: orchestrator.CodeInvalidValue},
		{ref: "before", code: orchestrator.CodeBranchNotFound, says: []string{"no branch before any more: it was renamed to feature/login"}, suggest: []string{"feature/login"}, renamed: "feature/login"},
		{ref: "https://github.com/acme/api/tree/refs/heads/feature/login", branch: "feature/login"},
		{ref: "https://github.com/acme/api/blob/refs/heads/hotfix/1.2.3/go.mod", branch: "hotfix/1.2.3"},
		{ref: "https://github.com/acme/api/tree/refs/tags/v1.0", code: orchestrator.CodeBranchNotFound, says: []string{"that is a tag"}},
		{ref: "2147483648", code: orchestrator.CodeRevisionNotFound},
	}
	for _, w := range []want{{ref: "commit", mark: "b"}, {ref: "tree", mark: "d"}, {ref: "pull/5/commits", mark: "d"}} {
		more = append(more, want{ref: "https://github.com/acme/api/" + w.ref + "/" + fixture.commits[w.mark], mark: w.mark})
	}
	t.Run("https", func(t *testing.T) {
		t.Parallel()
		table(t, c, app("https://github.com/acme/api"), append(both, more...))
	})
	t.Run("private", func(t *testing.T) {
		t.Parallel()
		want{ref: "main", branch: "main"}.check(t, c, app("https://github.com/acme/secret"))
	})
	t.Run("own host", func(t *testing.T) { t.Parallel(); table(t, c, app(h.URL+"/acme/api.git"), both) })
	for _, address := range []string{"https://github.com/acme/api.git/", "git@github.com:acme/api.git", "ssh://git@github.com/acme/api", "ssh://git@ssh.github.com:443/acme/api.git",
		"git@127.0.0.1:acme/api", "ssh://git@" + host + "/acme/api", "https://x-access-token:hunter2@github.com/acme/api"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			want{ref: "feature/login", branch: "feature/login"}.check(t, New(options), app(address))
			options := options
			options.GitHubAPIURL += "/" // optional
			want{ref: "feature/logn", code: orchestrator.CodeBranchNotFound, suggest: []string{"feature/login"}}.check(t, New(options), app(address))
		})
	}
}

func TestGitHubTroubles(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	reset := time.Now().Add(time.Hour) // go-github compares it with the machine's clock
	limits := fmt.Sprint(reset.Unix())
	for name, c := range map[string]struct {
		hub     func(*githubfake.Hub)
		options Options
		repo    string
		ref     string
		code    orchestrator.Code
		says    []string
	}{
		"bad token":        {options: Options{Token: "ghp_wrong"}, code: orchestrator.CodeGitAuth, says: []string{"refused Berth's token", "BERTH_GITHUB_TOKEN", "ops"}},
		"no token":         {hub: func(h *githubfake.Hub) { h.Closed = true }, code: orchestrator.CodeGitAuth, says: []string{"set BERTH_GITHUB_TOKEN"}},
		"not found":        {repo: "acme/nothing", code: orchestrator.CodeRepoNotFound, says: []string{"acme/nothing", "BERTH_GITHUB_TOKEN"}},
		"private":          {repo: "acme/secret", code: orchestrator.CodeRepoNotFound, says: []string{"acme/secret", "BERTH_GITHUB_TOKEN"}},
		"private, bad":     {repo: "acme/secret", options: Options{Token: "ghp_wrong"}, code: orchestrator.CodeGitAuth, says: []string{"refused Berth's token"}},
		"not found, token": {repo: "acme/nothing", options: Options{Token: "ghp_right"}, code: orchestrator.CodeRepoNotFound, says: []string{"Berth's GitHub token may not read it"}},
		"commit there":     {repo: "acme/nothing", ref: "abcdef0123", code: orchestrator.CodeRepoNotFound},
		"pull there":       {repo: "acme/nothing", ref: "#3", code: orchestrator.CodeRepoNotFound},
		"renamed":          {repo: "acme/old", code: orchestrator.CodeRepoMoved, says: []string{"acme/old", "it is now acme/api", "ops"}},
		"renamed, commit":  {repo: "acme/old", ref: "abcdef0123", code: orchestrator.CodeRepoMoved},
		"renamed, pull":    {repo: "acme/old", ref: "#5", code: orchestrator.CodeRepoMoved, says: []string{"it is now acme/api"}},
		"redirect away":    {repo: "acme/stolen", options: Options{Token: "ghp_right"}, code: orchestrator.CodeRepoMoved, says: []string{"renamed or moved"}},
		"empty":            {repo: "acme/empty", code: orchestrator.CodeBranchNotFound, says: []string{"is empty"}},
		"empty, commit":    {repo: "acme/empty", ref: "abcdef0123", code: orchestrator.CodeRevisionNotFound},
		"primary limit": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 403, Body: `{"message":"API rate limit exceeded for 127.0.0.1."}`, Headers: map[string]string{"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": limits}})
		}, code: orchestrator.CodeRateLimited, says: []string{reset.UTC().Format("2006-01-02 15:04:05 UTC"), "BERTH_GITHUB_TOKEN"}},
		"primary limit, 429": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 429, Body: `{"message":"API rate limit exceeded"}`, Headers: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": limits}})
		}, options: Options{Token: "ghp_right"}, code: orchestrator.CodeRateLimited, says: []string{reset.UTC().Format("15:04:05 UTC")}},
		"secondary limit": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`, Headers: map[string]string{"Retry-After": "90"}})
		}, code: orchestrator.CodeRateLimited, says: []string{"until 12:01:30 UTC"}},
		"secondary limit, 429": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 429, Body: `{"message":"secondary rate limit"}`, Headers: map[string]string{"Retry-After": now.Add(5 * time.Minute).Format(http.TimeFormat)}})
		}, code: orchestrator.CodeRateLimited, says: []string{"until 12:05:00 UTC"}},
		"secondary limit, no time": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit. Please wait."}`})
		}, code: orchestrator.CodeRateLimited, says: []string{"does not say until when"}},
		"forbidden": {hub: func(h *githubfake.Hub) {
			h.SetFault(githubfake.Fault{Status: 403, Body: `{"message":"Resource protected by organization SAML enforcement."}`})
		}, options: Options{Token: "ghp_right"}, code: orchestrator.CodeGitAuth, says: []string{"single sign-on"}},
		"stumbles twice": {hub: func(h *githubfake.Hub) { h.SetFault(githubfake.Fault{Status: 503, Times: 2}) }, code: orchestrator.CodeGitUnreachable, says: []string{"503"}},
		"in trouble":     {hub: func(h *githubfake.Hub) { h.SetFault(githubfake.Fault{Status: 502, Body: "<html>"}) }, code: orchestrator.CodeGitUnreachable, says: []string{"502"}},
		"no API":         {hub: func(h *githubfake.Hub) { h.SetFault(githubfake.Fault{Status: 200, Body: "<html>hello"}) }, code: orchestrator.CodeGitUnreachable, says: []string{"BERTH_GITHUB_API_URL"}},
		"teapot":         {hub: func(h *githubfake.Hub) { h.SetFault(githubfake.Fault{Status: 418}) }, code: orchestrator.CodeGitUnreachable, says: []string{"418"}},
		"refused":        {options: Options{GitHubAPIURL: "http://127.0.0.1:1/"}, code: orchestrator.CodeGitUnreachable, says: []string{"cannot reach 127.0.0.1:1"}},
		"no host":        {options: Options{GitHubAPIURL: "https://api.invalid"}, code: orchestrator.CodeGitUnreachable, says: []string{"cannot find the host api.invalid"}},
		"no address":     {options: Options{GitHubAPIURL: "github"}, code: orchestrator.CodeInvalidCatalog, says: []string{"BERTH_GITHUB_API_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, c.hub)
			o := c.options
			o.GitHubAPIURL = cmp.Or(o.GitHubAPIURL, h.URL+"/api/v3/")
			o.Now = func() time.Time { return now }
			_, err := New(o).Resolve(context.Background(), app("https://github.com/"+cmp.Or(c.repo, "acme/api")), cmp.Or(c.ref, "main"))
			refused(t, err, c.code, c.says...)
		})
	}
	t.Run("stumbles once", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, func(h *githubfake.Hub) { h.SetFault(githubfake.Fault{Status: 502, Times: 1}) })
		want{ref: "main", branch: "main"}.check(t, New(Options{GitHubAPIURL: h.URL + "/api/v3"}), app("https://github.com/acme/api"))
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		_, err := New(Options{GitHubAPIURL: hanging(t).URL, Timeout: 50 * time.Millisecond}).Resolve(context.Background(), app("https://github.com/acme/api"), "main")
		refused(t, err, orchestrator.CodeGitUnreachable, "did not answer within 50ms")
	})
	t.Run("certificate", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		_, err := New(Options{GitHubAPIURL: s.URL}).Resolve(context.Background(), app("https://github.com/acme/api"), "main")
		refused(t, err, orchestrator.CodeGitUnreachable, "TLS certificate")
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(context.Background())
		gone := errors.New("gone")
		cancel(gone)
		if _, err := New(Options{GitHubAPIURL: hanging(t).URL}).Resolve(ctx, app("https://github.com/acme/api"), "main"); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRateLimitIsRemembered: once the limit is used up, GitHub is left alone.
func TestRateLimitIsRemembered(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(h *githubfake.Hub) {
		h.SetFault(githubfake.Fault{Status: 403, Headers: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(time.Now().Add(time.Hour).Unix())}})
	})
	c := New(Options{GitHubAPIURL: h.URL})
	for range 3 {
		_, err := c.Resolve(context.Background(), app("https://github.com/acme/api"), "main")
		refused(t, err, orchestrator.CodeRateLimited)
	}
	if n := h.Asked(""); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestGitHubApp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public, file := appKey(t, dir)
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	clock := now
	h := newHub(t, func(h *githubfake.Hub) {
		h.Key, h.Now = public, func() time.Time { return clock }
		h.Expires = func() time.Time { return clock.Add(time.Hour) }
	})
	o := Options{GitHubAPIURL: h.URL + "/api/v3", AppID: githubfake.AppID, AppKeyFile: file, Now: func() time.Time { return clock }}
	c, a := New(o), app("https://github.com/acme/api")
	resolve := func(minted int) {
		t.Helper()
		want{ref: "feature/login", branch: "feature/login"}.check(t, c, a)
		if h.Minted() != minted {
			t.Errorf("%d tokens were made, want %d", h.Minted(), minted)
		}
	}
	resolve(1)
	resolve(1) // kept
	clock = now.Add(59 * time.Minute)
	resolve(2) // shortly before its end
	h.Revoke()
	_, err := c.Resolve(context.Background(), a, "main")
	refused(t, err, orchestrator.CodeGitAuth, "app credentials")
	resolve(3)

	_, err = c.Resolve(context.Background(), app("https://github.com/acme/other"), "main")
	refused(t, err, orchestrator.CodeGitAuth, "not installed for acme/other")
	for name, change := range map[string]func(*Options){
		"wrong id": func(o *Options) { o.AppID = "1" },
		"no key":   func(o *Options) { o.AppKeyFile = "" },
		"clock":    func(o *Options) { o.Now = func() time.Time { return clock.Add(11 * time.Minute) } },
		"late":     func(o *Options) { o.Now = func() time.Time { return clock.Add(-10 * time.Minute) } },
		"missing":  func(o *Options) { o.AppKeyFile = filepath.Join(dir, "nothing.pem") },
		"no pem":   func(o *Options) { o.AppKeyFile = os.DevNull },
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			change(&o)
			_, err := New(o).Resolve(context.Background(), a, "main")
			refused(t, err, orchestrator.CodeGitAuth, "BERTH_GITHUB_APP_ID")
		})
	}
}

func TestBranches(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{true, false} {
		h := newHub(t, func(h *githubfake.Hub) { h.Bare = bare })
		clock := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
		c := New(Options{GitHubAPIURL: h.URL + "/api/v3", Now: func() time.Time { return clock }})
		for _, a := range []orchestrator.App{app("https://github.com/acme/api"), app(fixtureRepo())} {
			got, err := c.Branches(context.Background(), a)
			if expect := namesOf(fixtureHeads()); err != nil || strings.Join(got, " ") != strings.Join(expect, " ") {
				t.Errorf("%s: got %q, %v, want %q", a.Repository, got, err, expect)
			}
		}
		before := h.Asked("")
		for range 3 {
			if _, err := c.Branches(context.Background(), app("https://github.com/acme/api")); err != nil {
				t.Error(err)
			}
		}
		if h.Asked("") != before {
			t.Error("what was just read is read again")
		}
		clock = clock.Add(time.Minute)
		if _, err := c.Branches(context.Background(), app("https://github.com/acme/api")); err != nil || h.Asked("") == before {
			t.Errorf("what is old is not read again (%v)", err)
		}
	}
	_, err := New(Options{}).Branches(context.Background(), app(filepath.Join(fixture.dir, "nothing")))
	refused(t, err, orchestrator.CodeRepoNotFound)
}
