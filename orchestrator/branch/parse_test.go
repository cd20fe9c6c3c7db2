package branch

import (
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

func TestParseRepository(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]repository{
		"https://github.com/acme/api":             {scheme: "https", host: "github.com", path: "acme/api", name: "acme/api"},
		"https://GitHub.com/acme/api.git/":        {scheme: "https", host: "github.com", path: "acme/api", name: "acme/api"},
		"git@github.com:acme/api.git":             {scheme: "ssh", host: "github.com", path: "acme/api", name: "acme/api"},
		"github.com:acme/api":                     {scheme: "ssh", host: "github.com", path: "acme/api", name: "acme/api"},
		"ssh://git@git.example.com:2222/a/b/c":    {scheme: "ssh", host: "git.example.com", port: "2222", path: "a/b/c", name: "a/b/c"},
		"me@[::1]:x/y.git":                        {scheme: "ssh", host: "::1", path: "x/y", name: "x/y"},
		"https://me:hunter2@git.example.com/a/b":  {scheme: "https", host: "git.example.com", path: "a/b", name: "a/b"},
		"/srv/repos/api.git":                      {path: "srv/repos/api", name: "api"},
		"/srv/repos/api/.git":                     {path: "srv/repos/api", name: "api"},
		"/srv/a:b/api":                            {path: "srv/a:b/api", name: "api"},
		"file:///srv/repos/api.git":               {scheme: "file", path: "srv/repos/api", name: "api"},
		"https://github.com:8443/acme/api":        {scheme: "https", host: "github.com", port: "8443", path: "acme/api", name: "acme/api"},
		"ssh://git@ssh.github.com:443/acme/api":   {scheme: "ssh", host: "github.com", path: "acme/api", name: "acme/api"},
		"https://git.example.com/scm/acme/api/w/": {scheme: "https", host: "git.example.com", path: "scm/acme/api/w", name: "scm/acme/api/w"},
	} {
		want.url = address
		if got := parseRepository(address); got != want {
			t.Errorf("%s: got %+v, want %+v", address, got, want)
		}
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	public := New(Options{})
	own := New(Options{GitHubAPIURL: "https://ghe.example.com/api/v3/"})
	local := New(Options{GitHubAPIURL: "http://127.0.0.1:5000"})
	cloud := New(Options{GitHubAPIURL: "https://api.acme.ghe.com"})
	for _, c := range []struct {
		checker *Checker
		address string
		want    bool
	}{
		{public, "https://github.com/acme/api", true},
		{public, "https://gitlab.com/acme/api", false},
		{public, "https://github.com.evil.dev/acme/api", false},
		{public, "https://github.com/acme", false},
		{public, "https://github.com/acme/..", false},
		{public, "/github.com/acme/api", false},
		{public, "file://github.com/acme/api", false},
		{own, "https://ghe.example.com/acme/api", true},
		{own, "https://ghe.example.com:443/acme/api", true},
		{own, "https://ghe.example.com:8443/acme/api", false},
		{own, "git@ghe.example.com:acme/api.git", true},
		{own, "ssh://git@GHE.example.com:2222/acme/api.git", true},
		{own, "https://github.com/acme/api", true},
		{own, "git://ghe.example.com/acme/api", true},
		{own, "git://ghe.example.com:9418/acme/api", false},
		{local, "git://127.0.0.1:9418/acme/api", false},
		{local, "http://127.0.0.1:9000/acme/api", false},
		{local, "http://127.0.0.1:5000/acme/api", true},
		{cloud, "https://acme.ghe.com/acme/api", true},
		{own, "https://ghe.example.com/group/acme/api", false},
	} {
		if got := c.checker.github.has(parseRepository(c.address)); got != c.want {
			t.Errorf("%s: %v", c.address, got)
		}
	}
}

// TestInvalidBranch holds the rules to git's own.
func TestInvalidBranch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"main", "feature/login", "a@b", "a@{b", "-a", "a-", ".a", "a/.b", "a.lock", "a.lock/b", "a.locks", "a..b", "a.", "a./b", "/a", "a/", "a//b",
		"a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a]b", "a\\b", "a\x7fb", "a\tb", "é", "{{x}}", "$(id)", "a;b", "#1", "a=b", "a%2fb", "a'b", "a\"b", "..", "...", "a@", "HEADS"} {
		refused := invalidBranch(name) != ""
		if err := exec.Command("git", "check-ref-format", "--branch", name).Run(); (err != nil) != refused {
			t.Errorf("%q: refused %v (%s), git says %v", name, refused, invalidBranch(name), err)
		}
	}
}

func TestParsePage(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		kind page
		what string
	}{
		"/tree/feature/login":         {pageTree, "feature/login"},
		"/blob/main/a/b.go":           {pageTree, "main/a/b.go"},
		"/commits/feature/login":      {pageTree, "feature/login"},
		"/commit/abcdef0/":            {pageCommit, "abcdef0"},
		"/pull/12/files":              {pagePull, "12"},
		"/pull/12/commits/abcdef0":    {pageCommit, "abcdef0"},
		"/pull/12/commits/":           {pagePull, "12"},
		"/pull/x":                     {pageOther, ""},
		"/pull/0":                     {pageOther, ""},
		"/-/tree/x/y":                 {pageTree, "x/y"},
		"/-/merge_requests/4":         {pagePull, "4"},
		"/src/branch/x/y":             {pageTree, "x/y"},
		"/src/commit/abcdef0/README":  {pageCommit, "abcdef0"},
		"/src/x/y":                    {pageTree, "x/y"},
		"/tree/":                      {pageOther, ""},
		"":                            {pageOther, ""},
		"/issues/3":                   {pageOther, ""},
		"/pull/99999999999999999999/": {pageOther, ""},
	} {
		if kind, what := parsePage(path); kind != want.kind || what != want.what {
			t.Errorf("%q: %v %q, want %v %q", path, kind, what, want.kind, want.what)
		}
	}
}

func TestNear(t *testing.T) {
	t.Parallel()
	names := []string{"main", "master", "develop", "feature/login", "feature/logout", "feature/login-form", "feature/payments", "bugfix/login", "hotfix/1.2.3", "hotfix/1.2.4", "release-2024", "user/maria/checkout", "v2"}
	for wanted, want := range map[string][]string{
		"mian":            {"main"},
		"feature/logn":    {"feature/login", "feature/logout", "bugfix/login"},
		"login":           {"bugfix/login", "feature/login", "feature/login-form"},
		"feature_login":   {"feature/login", "feature/logout"},
		"feat/login":      {"bugfix/login", "feature/login"},
		"develo":          {"develop"},
		"checkout":        {"user/maria/checkout"},
		"hotfix/1.2":      {"hotfix/1.2.3", "hotfix/1.2.4"},
		"release/2024":    {"release-2024"},
		"PAYMENTS":        {"feature/payments"},
		"feature/pyamnet": {"feature/payments"},
		"qqqqqqq":         nil,
		"x":               nil,
	} {
		got := near(wanted, names)
		if len(want) > 0 && (len(got) == 0 || got[0] != want[0]) || len(want) == 0 && len(got) > 0 {
			t.Errorf("%s: %q, want %q", wanted, got, want)
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", wanted, got, w)
			}
		}
		if len(got) > 3 {
			t.Errorf("%s: too many: %q", wanted, got)
		}
	}
}

func TestWithoutPasswords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"fatal: https://me:hunter2@x.dev/a: no":   "fatal: https://x.dev/a: no",
		"https://hunter2@x.dev/a":                 "https://x.dev/a",
		"https://me:hun@ter2@x.dev/a@b":           "https://x.dev/a@b",
		"https://x.dev/a@b and git@x.dev:a":       "https://x.dev/a@b and git@x.dev:a",
		"'ssh://me@x.dev' http://b:c@y.dev?z=a@b": "'ssh://x.dev' http://y.dev?z=a@b",
	} {
		if got := withoutPasswords(text); got != want && !(strings.Contains(text, "?") && !strings.Contains(got, "c@y")) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestMovedTo(t *testing.T) {
	t.Parallel()
	repo := parseRepository("http://git.example.com/acme/api")
	for stderr, want := range map[string]string{
		"":      "",
		"noise": "",
		"warning: redirecting to https://git.example.com/acme/api.git/\n":                     "",
		"warning: redirecting to https://git.example.com/acme/new.git/\n":                     "acme/new",
		"remote:\nremote: Project 'acme/api' was moved to 'acme/new'.\nremote:\n":             "acme/new",
		"warning: redirecting to https://me:hunter2@other.example.com/group/sub/new.git\nx\n": "group/sub/new",
	} {
		if got := movedTo(repo, stderr); got != want {
			t.Errorf("%q: %q, want %q", stderr, got, want)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, w := range both {
		f.Add(w.ref)
	}
	for _, s := range []string{"https://github.com/o/r/tree/a/b", "#1", "o/r#2", "https://[::1", "http://%", "refs/heads/", "origin/-x", "abcdef0", "\xff"} {
		f.Add(s)
	}
	repo := parseRepository("https://github.com/o/r")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReference(text)
		if err != nil {
			explained := explainReference(orchestrator.App{Name: "api"}, err)
			if e, ok := explained.(*orchestrator.Error); !ok || strings.ContainsAny(e.Message, "\n\r\x00") {
				t.Errorf("%q: %v", text, explained)
			}
			return
		}
		if r.address != nil {
			rest, _ := repo.within(r.address)
			parsePage(rest)
			display(r.address)
			return
		}
		if len(r.names) == 0 || r.wanted() == "" {
			t.Fatalf("%q: no name", text)
		}
		for _, n := range r.names {
			// What is put into a path of the API must stay one element.
			u, err := url.Parse("https://api.example.com/repos/o/r/branches/" + url.PathEscape(n))
			if err != nil || u.ResolveReference(&url.URL{}).Path != "/repos/o/r/branches/"+n {
				t.Errorf("%q: %v %v", n, u, err)
			}
			if strings.HasPrefix(n, "-") {
				t.Errorf("%q could be an option", n)
			}
		}
		near(r.wanted(), []string{"main", "feature/login", text})
	})
}

func FuzzParseRepository(f *testing.F) {
	for _, s := range []string{"https://github.com/acme/api", "git@github.com:acme/api.git", "/srv/api", "ssh://[::1]:22/x", "file:///x", "a:b:c", "https://me:hunter2@x.dev/a"} {
		f.Add(s)
	}
	c := New(Options{})
	f.Fuzz(func(t *testing.T, address string) {
		r := parseRepository(address)
		if owner, name, ok := r.owner(); ok && (strings.ContainsAny(owner+name, "/?#%\\ ") || name == ".." || owner == "..") {
			t.Errorf("%q: owner %q, name %q", address, owner, name)
		}
		c.github.has(r)
	})
}

func FuzzParseRefs(f *testing.F) {
	f.Add("0123\trefs/heads/main\n0123\trefs/tags/v1^{}\n")
	f.Fuzz(func(t *testing.T, out string) {
		heads, _ := parseRefs([]byte(out))
		for _, h := range heads {
			if strings.Contains(h.name, "\n") {
				t.Errorf("%q", h)
			}
		}
	})
}
