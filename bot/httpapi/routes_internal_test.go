package httpapi

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
)

// doors knows the tokens "developer", "ops", "expired" and "revoked".
type doors struct{ Tokens }

func (doors) TokenByHash(_ context.Context, hash string) (wire.Token, error) {
	for _, t := range []wire.Token{{Name: "developer"}, {Name: "ops", Ops: true}, {Name: "expired", Ops: true, Expired: true}, {Name: "revoked", Ops: true, Revoked: true}} {
		if hash == hashOf(t.Name) {
			t.Person = "jo"
			return t, nil
		}
	}
	return wire.Token{}, orchestrator.Errorf(orchestrator.CodeNotAllowed, "This token is not known.")
}

// at is a request for a pattern, with something in each place of a name.
func at(pattern string) *http.Request {
	method, path, _ := strings.Cut(pattern, " ")
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		path = before + "x" + after
	}
	return httptest.NewRequest(method, path, strings.NewReader("{}"))
}

// Each route of the API, and who gets through to it. A new one has to be added
// here.
func TestRoutes(t *testing.T) {
	t.Parallel()
	const everybody, opsOnly = "developer ops root", "ops root"
	table := map[string]string{
		"POST /api/v1/commands":                  everybody, // the policy decides
		"GET /api/v1/operations/{id}":            everybody,
		"GET /api/v1/environments/{name}/logs":   everybody,
		"POST /api/v1/environments/{name}/state": opsOnly,
		"GET /api/v1/names":                      everybody,
		"GET /api/v1/apps/{app}/branches":        everybody,
		"GET /api/v1/tokens":                     opsOnly,
		"POST /api/v1/tokens":                    opsOnly,
		"DELETE /api/v1/tokens/{id}":             opsOnly,
		"GET /api/v1/causes":                     everybody, // asks who it is, as the next two
		"GET /api/v1/causes/{fingerprint}":       everybody,
		"PUT /api/v1/causes/{fingerprint}/note":  everybody,
		"POST /api/v1/reload":                    opsOnly,
	}
	reached := false
	a := &API{Tokens: doors{}, Person: func(name string) orchestrator.Actor { return orchestrator.Actor{Name: name} }, Log: slog.New(slog.DiscardHandler)}
	routes := a.routes()
	for i := range routes {
		routes[i].do = func(http.ResponseWriter, *http.Request, orchestrator.Actor) error {
			reached = true
			return nil
		}
	}
	handler := a.serve(routes)
	var all []string
	for _, r := range routes {
		all = append(all, r.pattern)
		for _, who := range []string{"developer", "ops", "expired", "revoked", "unknown", "", "Basic", "root", "app"} {
			ask := at(r.pattern)
			switch who {
			case "":
			case "Basic":
				ask.SetBasicAuth("jo", "ops")
			case "root": // on the socket
				ask = ask.WithContext(WithActor(ask.Context(), orchestrator.Actor{Name: "root", Ops: true}))
			case "app": // of a server on this machine, on the socket: a token does not help it
				ask.Header.Set("Authorization", "Bearer ops")
				ask = ask.WithContext(WithActor(ask.Context(), orchestrator.Actor{}))
			default:
				ask.Header.Set("Authorization", "Bearer "+who)
			}
			reached = false
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, ask)
			if want := who != "" && slices.Contains(strings.Fields(table[r.pattern]), who); reached != want || !want && w.Code != http.StatusForbidden {
				t.Errorf("%s as %q: through is %v, want %v (%d %s)", r.pattern, who, reached, want, w.Code, w.Body)
			}
		}
	}
	if want := slices.Sorted(maps.Keys(table)); !slices.Equal(slices.Sorted(slices.Values(all)), want) {
		t.Errorf("the routes are %q, the table has %q", all, want)
	}
}

// servers have a key each; gone is destroyed, new has not enrolled.
type servers map[string]ed25519.PrivateKey

func (s servers) ServerKey(_ context.Context, id string) ([]byte, bool, error) {
	if id == "new" {
		return nil, true, nil
	}
	key, ok := s[id]
	if !ok {
		return nil, false, orchestrator.Errorf(orchestrator.CodeNotFound, "There is no server %s.", id)
	}
	return key.Public().(ed25519.PublicKey), id != "gone", nil
}

// No server reads or reports for another one, on any route; see also TestRoutes.
func TestAgentRoutes(t *testing.T) {
	t.Parallel()
	keys := servers{}
	for _, id := range []string{"mine", "other", "gone"} {
		var err error
		if _, keys[id], err = ed25519.GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	reached := ""
	a := &Agents{Keys: keys, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	routes := a.routes()
	if len(routes) != 5 {
		t.Errorf("there are %d routes", len(routes))
	}
	for pattern := range routes {
		routes[pattern] = func(_ http.ResponseWriter, _ *http.Request, serverID string, _ []byte) { reached = serverID }
	}
	handler := a.serve(routes)
	sign := func(r *http.Request, id, by string, late time.Duration) {
		agent.Sign(r, []byte("{}"), id, keys[by], time.Now().Add(late))
	}
	for pattern := range routes {
		for _, c := range []struct {
			name    string
			prepare func(r *http.Request)
			status  int
		}{
			{"its own", func(r *http.Request) { sign(r, "mine", "mine", 0) }, http.StatusOK},
			{"nothing", func(*http.Request) {}, http.StatusUnauthorized},
			{"a name alone", func(r *http.Request) { r.Header.Set(agent.HeaderServer, "mine") }, http.StatusUnauthorized},
			{"another's key", func(r *http.Request) { sign(r, "other", "mine", 0) }, http.StatusUnauthorized},
			{"another's name put in afterwards", func(r *http.Request) {
				sign(r, "mine", "mine", 0)
				r.Header.Set(agent.HeaderServer, "other")
			}, http.StatusUnauthorized},
			{"another address", func(r *http.Request) {
				sign(r, "mine", "mine", 0)
				r.URL.RawQuery = "after=7"
			}, http.StatusUnauthorized},
			{"another method", func(r *http.Request) {
				was := r.Method
				r.Method = http.MethodPatch
				sign(r, "mine", "mine", 0)
				r.Method = was
			}, http.StatusUnauthorized},
			{"not enrolled", func(r *http.Request) { sign(r, "new", "mine", 0) }, http.StatusUnauthorized},
			{"unknown", func(r *http.Request) { sign(r, "nobody", "mine", 0) }, http.StatusUnauthorized},
			{"long ago", func(r *http.Request) { sign(r, "mine", "mine", -2*agent.MaxSkew) }, http.StatusForbidden},
			{"not yet", func(r *http.Request) { sign(r, "mine", "mine", 2*agent.MaxSkew) }, http.StatusForbidden},
			{"destroyed", func(r *http.Request) { sign(r, "gone", "gone", 0) }, http.StatusGone},
		} {
			r := at(pattern)
			c.prepare(r)
			reached = ""
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.status || (reached == "mine") != (c.status == http.StatusOK) || reached != "" && reached != "mine" {
				t.Errorf("%s, %s: %d %s, reached as %q; want %d", pattern, c.name, w.Code, w.Body, reached, c.status)
			}
		}
	}
}
