package branch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
	"github.com/berth-dev/berth/testdata/gitssh"
)

// A server's token is for its repository alone, to read; it is kept while it
// lasts, and made anew shortly before its end or when it was refused.
func TestLogin(t *testing.T) {
	t.Parallel()
	public, file := appKey(t, t.TempDir())
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	clock := now
	h := newHub(t, func(h *githubfake.Hub) {
		h.Key, h.Now = public, func() time.Time { return clock }
		h.Expires = func() time.Time { return clock.Add(time.Hour) }
	})
	c := New(Options{GitHubAPIURL: h.URL + "/api/v3", AppID: githubfake.AppID, AppKeyFile: file, Now: func() time.Time { return clock }})
	a := app("git@github.com:acme/api")
	last := ""
	ask := func(refused string, minted int) {
		t.Helper()
		l, err := c.Login(context.Background(), a, a.Repository, refused)
		if err != nil {
			t.Fatal(err)
		}
		g := h.Grants()
		newest := g[len(g)-1]
		if l.Repository != "https://github.com/acme/api.git" || l.Username != "x-access-token" || l.Password != newest.Token || !l.Until.Equal(newest.Expires) {
			t.Errorf("%#v, %s until %s; the newest is %+v", l, l.Password, l.Until, newest)
		}
		if len(g) != minted || strings.Join(newest.Repositories, " ") != "api" || len(newest.Permissions) != 1 || newest.Permissions["contents"] != "read" {
			t.Errorf("%d tokens were made, want %d; the newest is %+v", len(g), minted, newest)
		}
		last = l.Password
		if text := l.String() + l.GoString(); strings.Contains(text, last) {
			t.Errorf("the login shows its password: %s", text)
		}
	}
	ask("", 1)
	ask("", 1)
	clock = now.Add(30 * time.Minute)
	ask("", 1)
	clock = now.Add(45 * time.Minute)
	ask("", 2) // a large clone would not come to its end
	ask(hashOf("another"), 2)
	ask(hashOf(last), 3)
	ask(hashOf(last), 3) // a server cannot use up what GitHub allows
	clock = clock.Add(time.Minute)
	ask(hashOf(last), 4)
	clock = clock.Add(time.Minute)

	// The web's own address stays as it is, without a name in it.
	web := app("https://maria@github.com/acme/api")
	if l, err := c.Login(context.Background(), web, web.Repository, ""); err != nil || l.Repository != "https://github.com/acme/api" {
		t.Errorf("%v, %v", l, err)
	}
	// What is elsewhere needs none, nor anything without an App; a token of
	// Berth's own is handed to nobody.
	other := app("https://git.example.com/acme/api")
	if l, err := c.Login(context.Background(), other, other.Repository, ""); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	if l, err := New(Options{GitHubAPIURL: h.URL + "/api/v3", Token: "ghp_right"}).Login(context.Background(), a, a.Repository, ""); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}

	// What goes wrong has its sentence.
	for _, trouble := range []struct {
		is, was  func()
		code     orchestrator.Code
		sentence string
	}{
		{func() { h.Suspend(true) }, func() { h.Suspend(false) }, orchestrator.CodeGitAuth, "is suspended where acme/api"},
		{func() { h.Lack(true) }, func() { h.Lack(false) }, orchestrator.CodeGitAuth, "lacks the permission to read the contents of acme/api"},
		{func() { h.SetFault(githubfake.Fault{Status: http.StatusBadGateway}) }, func() { h.SetFault(githubfake.Fault{}) }, orchestrator.CodeGitUnreachable, "GitHub is in trouble (it answered 502)"},
	} {
		trouble.is()
		_, err := c.Login(context.Background(), a, a.Repository, hashOf(last))
		refused(t, err, trouble.code, trouble.sentence)
		trouble.was()
	}
	_, err := c.Login(context.Background(), a, "https://github.com/acme/other", "")
	refused(t, err, orchestrator.CodeGitAuth, "not installed for acme/other")
}

// An app with a credential of ops' own is asked for with that, wherever it is;
// its servers get the same.
func TestOwnCredential(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	c := New(Options{Token: "ghp_right"})
	s := gitServer(t, "deploy:glpat-right")
	a := app(s.URL + "/acme/api.git")
	token := file("token", "glpat-right\n")
	a.Credential = &orchestrator.Credential{Name: "x", Username: "deploy", Token: token}
	want{ref: "feature/login", branch: "feature/login"}.check(t, c, a)
	if l, err := c.Login(context.Background(), a, a.Repository, ""); err != nil || l.Repository != a.Repository || l.Username != "deploy" || l.Password != "glpat-right" {
		t.Errorf("%#v, %v", l, err)
	}
	file("token", "glpat-wrong\n") // read anew each time
	_, err := c.Resolve(context.Background(), a, "main")
	refused(t, err, orchestrator.CodeGitAuth)
	if strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "glpat") {
		t.Errorf("the error shows the token: %v, %v", err, errors.Unwrap(err))
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(context.Background(), a, "main")
	refused(t, err, orchestrator.CodeGitAuth, "cannot read the credential of app api")
	_, err = c.Login(context.Background(), a, a.Repository, "")
	refused(t, err, orchestrator.CodeGitAuth, "cannot read the credential of app api")

	// A key, at a host that ops know, and at one that they do not.
	host := gitssh.New(t)
	a = app("ssh://git@" + host.Address + fixtureRepo())
	a.Credential = &orchestrator.Credential{Name: "x", Key: file("key", host.Key), KnownHosts: file("hosts of ours", host.KnownHosts)}
	want{ref: "feature/login", branch: "feature/login"}.check(t, c, a)
	if l, err := c.Login(context.Background(), a, a.Repository, ""); err != nil || l.Repository != a.Repository || l.Key != host.Key || l.KnownHosts != host.KnownHosts || l.Password != "" {
		t.Errorf("%#v, %v", l, err)
	}
	file("hosts of ours", "")
	_, err = c.Resolve(context.Background(), a, "main")
	refused(t, err, orchestrator.CodeGitAuth, "does not know the ssh key")
	wrong, _ := gitssh.NewKey(t)
	file("hosts of ours", host.KnownHosts)
	file("key", wrong)
	_, err = c.Resolve(context.Background(), a, "main")
	refused(t, err, orchestrator.CodeGitAuth)
	if host.Refused() == 0 {
		t.Error("no key was refused")
	}

	// Berth's own token, where ops say so, and for GitHub alone.
	a = app("https://github.com/acme/api")
	a.Credential = &orchestrator.Credential{Name: "x", GitHubToken: true}
	if l, err := c.Login(context.Background(), a, a.Repository, ""); err != nil || l.Password != "ghp_right" || l.Username != "x-access-token" {
		t.Errorf("%#v, %v", l, err)
	}
	_, err = c.Login(context.Background(), a, "https://git.example.com/acme/api", "")
	refused(t, err, orchestrator.CodeGitAuth, "for GitHub alone")
	_, err = New(Options{}).Login(context.Background(), a, a.Repository, "")
	refused(t, err, orchestrator.CodeGitAuth, "Berth has none")
}
