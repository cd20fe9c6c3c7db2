package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

type oneLogin struct{ asked []string }

func (l *oneLogin) Login(_ context.Context, a orchestrator.App, repository, _ string) (*orchestrator.Login, error) {
	l.asked = append(l.asked, repository)
	return &orchestrator.Login{Repository: repository, Password: "secret of " + a.Name}, nil
}

// A server gets a login for its own repository, and what the catalog lists
// besides, at its newest state; for nothing else.
func TestServerLogin(t *testing.T) {
	t.Parallel()
	s := stored(t, "web")
	const id, own, glass, other = "s-qa-web", "https://github.com/acme/web", "https://github.com/acme/glass", "https://github.com/acme/api"
	logins := &oneLogin{}
	app := orchestrator.App{Name: "web", Repository: own, Submodules: []string{glass}}
	catalogs := &oneCatalog{orchestrator.Catalog{Apps: []orchestrator.App{app, {Name: "api", Repository: other}}}}
	fleet := &orchestrator.Fleet{Records: s, Catalogs: catalogs, Logins: logins, Now: time.Now}
	ask := func(generation int, repository string, want orchestrator.Code) {
		t.Helper()
		l, err := fleet.Login(t.Context(), id, orchestrator.LoginRequest{Generation: generation, Repository: repository})
		var refused *orchestrator.Error
		switch {
		case want == "" && (err != nil || l.Repository != repository || l.Password != "secret of web"):
			t.Errorf("%s: %v, %v", repository, l, err)
		case want != "" && (l != nil || !errors.As(err, &refused) || refused.Code != want):
			t.Errorf("%s at %d: %v, %v; want %s", repository, generation, l, err, want)
		}
	}
	ask(0, own, orchestrator.CodeNotAllowed) // nothing to run yet
	desired, err := json.Marshal(orchestrator.Desired{Generation: 2, ServerID: id, Repository: own})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateServer(t.Context(), id, func(v *orchestrator.Server) error {
		v.Generation, v.Desired = 2, desired
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ask(2, own, "")
	ask(2, glass, "")
	ask(2, other, orchestrator.CodeNotAllowed)
	ask(2, own+"-secrets", orchestrator.CodeNotAllowed)
	ask(1, own, orchestrator.CodeState)
	ask(3, own, orchestrator.CodeState)
	catalogs.Apps[0].Repository = "https://github.com/acme/moved"
	ask(2, own, orchestrator.CodeState)
	ask(2, "https://github.com/acme/moved", orchestrator.CodeNotAllowed)
	catalogs.Apps = catalogs.Apps[1:]
	ask(2, own, orchestrator.CodeAppUnknown)
	if len(logins.asked) != 2 {
		t.Errorf("asked for %v", logins.asked)
	}
}
