package branch

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
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
