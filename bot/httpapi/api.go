// Package httpapi is Berth's HTTP side: the JSON API of its own clients, what
// servers' agents call, and the probes.
package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/logbook"
)

// maxBody bounds what a client may send.
const maxBody = 64 << 10

// maxLifetime is the most seconds that a token may be asked to live: a hundred
// years.
const maxLifetime = 100 * 365 * 24 * 60 * 60

// maxWait bounds long polls.
const maxWait = 30 * time.Second

// Doer runs commands.
type Doer interface {
	Do(ctx context.Context, actor orchestrator.Actor, cmd orchestrator.Command) (orchestrator.Answer, error)
}

// Lister reads all environments, those of owner only unless it is empty; what
// do is given must neither be changed nor kept.
type Lister interface {
	// EachEnvironment gives what is stored: without what the agents' silence and
	// other failures make of it.
	EachEnvironment(ctx context.Context, owner string, do func(*orchestrator.Environment) error) error
	EachDetailed(ctx context.Context, owner string, do func(*orchestrator.Environment) error) error
}

// Reader is what the API reads beside commands.
type Reader interface {
	Operation(ctx context.Context, id string) (orchestrator.Operation, error)
	Events(ctx context.Context, operationID string, after int64) ([]orchestrator.Event, error)
	EnvironmentByID(ctx context.Context, id string) (orchestrator.Environment, error)
	Watch() (changed <-chan struct{}, stop func())
}

// Tokens keeps API tokens; only hashes are stored.
type Tokens interface {
	CreateToken(ctx context.Context, t wire.Token, hash string) (wire.Token, error)
	ListTokens(ctx context.Context) ([]wire.Token, error)
	RevokeToken(ctx context.Context, id string) error
	TokenByHash(ctx context.Context, hash string) (wire.Token, error)
}

// Causes is what ops ask and say of what has failed before.
type Causes interface {
	ListCauses(ctx context.Context, a orchestrator.Actor, f orchestrator.CauseFilter) ([]orchestrator.KnownCause, error)
	ShowCause(ctx context.Context, a orchestrator.Actor, fingerprint string) (orchestrator.CauseDetail, error)
	NoteCause(ctx context.Context, a orchestrator.Actor, fingerprint, text string) (orchestrator.KnownCause, error)
}

// Logs reads what servers printed.
type Logs interface {
	Read(environmentID string, offset int64) ([]logbook.Line, int64, error)
	Changed() <-chan struct{}
}

// API is the JSON API for people's clients.
type API struct {
	Doer   Doer
	Lister Lister
	Reader Reader
	Tokens Tokens
	Causes Causes
	Logs   Logs
	Parse  func(text string) (orchestrator.Command, error)
	Names  func(ctx context.Context) (wire.Names, error)
	// Branches lists the branches of an app; none for an unknown one.
	Branches func(ctx context.Context, app string) ([]string, error)
	Reload   func() error
	// State reads the Terraform state of an environment, given its name or ID.
	State func(ctx context.Context, name string, q wire.StateQuery) (wire.State, error)
	// Person makes an actor of a person's name, by the catalog in force.
	Person func(name string) orchestrator.Actor
	Log    *slog.Logger
}

type actorKey struct{}

// WithActor marks the requests of a connection as an actor's, who is known by
// the socket's peer credentials.
func WithActor(ctx context.Context, a orchestrator.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// route is what one pattern of the API does, and whether for ops alone.
type route struct {
	pattern string
	ops     bool
	do      handler
}

func (a *API) routes() []route {
	return []route{
		{"POST /api/v1/commands", false, a.command},
		{"GET /api/v1/operations/{id}", false, a.operation},
		{"GET /api/v1/environments/{name}/logs", false, a.logs},
		{"POST /api/v1/environments/{name}/state", true, a.state},
		{"GET /api/v1/names", false, a.names},
		{"GET /api/v1/apps/{app}/branches", false, a.branches},
		{"GET /api/v1/tokens", true, a.listTokens},
		{"POST /api/v1/tokens", true, a.createToken},
		{"DELETE /api/v1/tokens/{id}", true, a.revokeToken},
		{"GET /api/v1/causes", false, a.listCauses},
		{"GET /api/v1/causes/{fingerprint}", false, a.showCause},
		{"PUT /api/v1/causes/{fingerprint}/note", false, a.noteCause},
		{"POST /api/v1/reload", true, a.reload},
	}
}

// Handler gives the routes below /api/v1/.
func (a *API) Handler() http.Handler { return a.serve(a.routes()) }

func (a *API) serve(routes []route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		do := r.do
		if r.ops {
			do = ops(do)
		}
		mux.Handle(r.pattern, a.as(do))
	}
	return mux
}

type handler func(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error

// as finds out who asks and turns errors into answers.
func (a *API) as(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := a.actor(r)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			err = h(w, r, actor)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// ops refuses everybody else.
func ops(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
		if !actor.Ops {
			return orchestrator.Errorf(orchestrator.CodeNotAllowed, "Only ops may do this.").WithHint("ask somebody in ops")
		}
		return h(w, r, actor)
	}
}

func (a *API) actor(r *http.Request) (orchestrator.Actor, error) {
	if actor, ok := r.Context().Value(actorKey{}).(orchestrator.Actor); ok {
		if actor.Name == "" {
			return actor, orchestrator.Errorf(orchestrator.CodeNotAllowed, "Apps that Berth runs may not use its socket.")
		}
		return actor, nil
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return orchestrator.Actor{}, orchestrator.Errorf(orchestrator.CodeNotAllowed, "This Berth wants a token.").WithHint("set BERTH_TOKEN; ops make one with berth token create NAME --person WHO")
	}
	t, err := a.Tokens.TokenByHash(r.Context(), hashOf(secret))
	if err != nil {
		return orchestrator.Actor{}, err
	}
	if t.Revoked || t.Expired {
		return orchestrator.Actor{}, orchestrator.Errorf(orchestrator.CodeNotAllowed, "This token is not known, or it has been revoked.").WithHint("ask ops for a new one (berth token create NAME --person WHO)")
	}
	actor := a.Person(t.Person)
	actor.Ops = actor.Ops || t.Ops
	return actor, nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		if r.Context().Err() != nil {
			return // nobody listens any more
		}
		id := rand.Text()[:10]
		a.Log.Error("request failed", "id", id, "path", r.URL.Path, "error", err)
		e = orchestrator.Errorf(orchestrator.CodeInternal, "Something went wrong on Berth's side (%s).", id).WithHint("ask ops to look for %s in Berth's log", id)
	}
	status := http.StatusUnprocessableEntity
	switch e.Code {
	case orchestrator.CodeNotAllowed:
		status = http.StatusForbidden
	case orchestrator.CodeNotFound:
		status = http.StatusNotFound
	case orchestrator.CodeInternal:
		status = http.StatusInternalServerError
	}
	reply(w, status, wire.Failure{Error: *e})
}

// reply writes v as JSON; a client that has gone away is nobody's error.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func decode(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The request is not the JSON that Berth expects (%v).", err)
	}
	return nil
}

func (a *API) command(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	var c wire.Command
	if err := decode(r, &c); err != nil {
		return err
	}
	cmd, err := a.Parse(c.Text)
	if err != nil {
		return err
	}
	if c.Form != "" && cmd.Noun == orchestrator.NounEnv && cmd.Verb == orchestrator.VerbList {
		return a.list(w, r, actor, cmd.Mine, c.Form)
	}
	answer, err := a.Doer.Do(r.Context(), actor, cmd)
	if err != nil {
		return err
	}
	if answer.Environments != nil {
		w.Header().Set("Content-Type", "application/json")
		_ = writeEnvironments(w, `{"environments":`, *answer.Environments, "}\n") // a client that has gone away is nobody's error
		return nil
	}
	reply(w, http.StatusOK, answer)
	return nil
}

// list answers env list in one of its forms, for which no environment has to be
// kept until all are there.
func (a *API) list(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor, mine bool, form string) error {
	owner := ""
	if mine {
		owner = actor.Name
	}
	each, kind := a.Lister.EachDetailed, "application/json"
	whole := array{w: w}
	add, end := whole.add, func() error { return whole.end("\n") }
	if form == wire.FormBrief {
		lines := rows{w: w}
		each, kind, add, end = a.Lister.EachEnvironment, "text/tab-separated-values", lines.add, lines.flush
	}
	w.Header().Set("Content-Type", kind)
	var gone error // a client that has gone away is nobody's error
	err := each(r.Context(), owner, func(e *orchestrator.Environment) error {
		gone = add(e)
		return gone
	})
	if err == nil {
		gone = end()
	}
	if gone != nil {
		return nil
	}
	return err
}

// waiting reads after and wait, and gives a context that ends with the wait.
func waiting(r *http.Request) (after int64, ctx context.Context, stop context.CancelFunc, err error) {
	if v := r.FormValue("after"); v != "" {
		if after, err = strconv.ParseInt(v, 10, 64); err != nil {
			return 0, nil, nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "after=%q is no number.", v)
		}
	}
	var wait time.Duration
	if v := r.FormValue("wait"); v != "" {
		if wait, err = time.ParseDuration(v); err != nil {
			return 0, nil, nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "wait=%q is no duration.", v)
		}
	}
	ctx, stop = context.WithTimeout(r.Context(), min(wait, maxWait))
	return after, ctx, stop, nil
}

func (a *API) operation(w http.ResponseWriter, r *http.Request, _ orchestrator.Actor) error {
	after, wait, stop, err := waiting(r)
	if err != nil {
		return err
	}
	defer stop()
	changed, unwatch := a.Reader.Watch()
	defer unwatch()
	ctx := r.Context()
	for {
		var out wire.Watch
		if out.Operation, err = a.Reader.Operation(ctx, r.PathValue("id")); err != nil {
			return err
		}
		if out.Events, err = a.Reader.Events(ctx, out.Operation.ID, after); err != nil {
			return err
		}
		if len(out.Events) > 0 || out.Operation.Status.Ended() || wait.Err() != nil {
			out.Diagnosis = out.Operation.Diagnosis
			if out.Environment, err = a.Reader.EnvironmentByID(ctx, out.Operation.EnvironmentID); err != nil {
				return err
			}
			reply(w, http.StatusOK, out)
			return nil
		}
		select {
		case <-wait.Done():
		case <-changed:
		}
	}
}

func (a *API) logs(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	after, wait, stop, err := waiting(r)
	if err != nil {
		return err
	}
	defer stop()
	answer, err := a.Doer.Do(r.Context(), actor, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbShow, Environment: r.PathValue("name")})
	if err != nil {
		return err
	}
	for {
		changed := a.Logs.Changed()
		lines, next, err := a.Logs.Read(answer.Environment.ID, after)
		if err != nil {
			return err
		}
		if len(lines) > 0 || wait.Err() != nil {
			reply(w, http.StatusOK, wire.Logs{Lines: lines, Next: next})
			return nil
		}
		select {
		case <-wait.Done():
		case <-changed:
		}
	}
}

func (a *API) state(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	var q wire.StateQuery
	if err := decode(r, &q); err != nil {
		return err
	}
	if q.Sensitive {
		a.Log.Info("sensitive values of a state are shown", "environment", r.PathValue("name"), "to", actor.Name)
	}
	s, err := a.State(r.Context(), r.PathValue("name"), q)
	if q.What == "unlock" || q.What == "migrate" && !q.Dry {
		a.Log.Info("a state was written", "how", q.What, "environment", r.PathValue("name"), "by", actor.Name, "force", q.Force, "answer", s.Text, "error", err)
	}
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, s)
	return nil
}

func (a *API) names(w http.ResponseWriter, r *http.Request, _ orchestrator.Actor) error {
	n, err := a.Names(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, n)
	return nil
}

func (a *API) branches(w http.ResponseWriter, r *http.Request, _ orchestrator.Actor) error {
	all, err := a.Branches(r.Context(), r.PathValue("app"))
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, all)
	return nil
}

func (a *API) listTokens(w http.ResponseWriter, r *http.Request, _ orchestrator.Actor) error {
	all, err := a.Tokens.ListTokens(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, all)
	return nil
}

func (a *API) createToken(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	var t wire.Token
	if err := decode(r, &t); err != nil {
		return err
	}
	if t.Person == "" {
		t.Person = actor.Name
	}
	if t.Lifetime < 0 || t.Lifetime > maxLifetime {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "A token cannot live for %d seconds.", t.Lifetime).WithHint("give a length of time such as 30d, or none for a token that stays until it is revoked")
	}
	secret := "berth_" + rand.Text()
	t, err := a.Tokens.CreateToken(r.Context(), t, hashOf(secret))
	if err != nil {
		return err
	}
	t.Secret = secret
	reply(w, http.StatusOK, t)
	return nil
}

func (a *API) revokeToken(w http.ResponseWriter, r *http.Request, _ orchestrator.Actor) error {
	if err := a.Tokens.RevokeToken(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	reply(w, http.StatusOK, struct{}{})
	return nil
}

func (a *API) listCauses(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	f := orchestrator.CauseFilter{App: r.FormValue("app"), Code: r.FormValue("code")}
	if v := r.FormValue("since"); v != "" {
		var err error
		if f.Since, err = time.Parse(time.RFC3339, v); err != nil {
			return orchestrator.Errorf(orchestrator.CodeInvalidValue, "since=%q is no time.", v).WithHint("write it as 2026-03-01T12:00:00Z")
		}
	}
	all, err := a.Causes.ListCauses(r.Context(), actor, f)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, all)
	return nil
}

func (a *API) showCause(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	d, err := a.Causes.ShowCause(r.Context(), actor, r.PathValue("fingerprint"))
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, d)
	return nil
}

func (a *API) noteCause(w http.ResponseWriter, r *http.Request, actor orchestrator.Actor) error {
	var n wire.CauseNote
	if err := decode(r, &n); err != nil {
		return err
	}
	k, err := a.Causes.NoteCause(r.Context(), actor, r.PathValue("fingerprint"), n.Text)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, k)
	return nil
}

func (a *API) reload(w http.ResponseWriter, _ *http.Request, _ orchestrator.Actor) error {
	if err := a.Reload(); err != nil {
		return err
	}
	reply(w, http.StatusOK, struct{}{})
	return nil
}
