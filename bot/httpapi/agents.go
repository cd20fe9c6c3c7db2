package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
)

// Fleet is what agents are served from.
type Fleet interface {
	Next(ctx context.Context, serverID string, after int) (*orchestrator.Desired, error)
	Progress(ctx context.Context, serverID string, lines []orchestrator.Progress) error
	Report(ctx context.Context, serverID string, r orchestrator.Report) error
	Login(ctx context.Context, serverID string, ask orchestrator.LoginRequest) (*orchestrator.Login, error)
}

// Enroller binds enrolment tokens to keys.
type Enroller interface {
	Enroll(ctx context.Context, serverID, tokenHash string, publicKey []byte, now time.Time) error
}

// Keys gives a server's public key, and whether the server is still live.
type Keys interface {
	ServerKey(ctx context.Context, serverID string) (key []byte, live bool, err error)
}

// Agents serves the agents' protocol; see package agent.
type Agents struct {
	Fleet    Fleet
	Enroller Enroller
	Keys     Keys
	// States gives the archive with a digest, or fs.ErrNotExist.
	States func(digest string) ([]byte, error)
	// Binary gives the path of the program for a platform such as linux-amd64,
	// or fs.ErrNotExist.
	Binary func(platform string) (string, error)
	Now    func() time.Time
	Log    *slog.Logger

	sums checksums
}

// routes are those that only a server's own key opens.
func (a *Agents) routes() map[string]signedHandler {
	return map[string]signedHandler{
		"GET " + agent.PathDesired:             a.desired,
		"GET " + agent.PathStates + "{digest}": a.states,
		"POST " + agent.PathCredential:         a.credential,
		"POST " + agent.PathProgress:           a.progress,
		"POST " + agent.PathReport:             a.report,
	}
}

// Handler gives the routes below /agent/v1/.
func (a *Agents) Handler() http.Handler { return a.serve(a.routes()) }

func (a *Agents) serve(routes map[string]signedHandler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.Handle(pattern, a.signed(h))
	}
	// These two are for machines that have no key yet.
	mux.HandleFunc("POST "+agent.PathEnroll, a.enroll)
	mux.HandleFunc("GET "+agent.PathBinary+"{name}", a.binary)
	return mux
}

func (a *Agents) enroll(w http.ResponseWriter, r *http.Request) {
	var e agent.Enrollment
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&e); err != nil {
		http.Error(w, "not an enrolment", http.StatusBadRequest)
		return
	}
	key, err := e.Key()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err = a.Enroller.Enroll(r.Context(), e.ServerID, hashOf(e.Token), key, a.Now())
	var refused *orchestrator.Error
	switch {
	case errors.As(err, &refused) && refused.Code == orchestrator.CodeNotAllowed:
		a.Log.Warn("an enrolment was refused", "server", clip(e.ServerID), "from", r.RemoteAddr)
		http.Error(w, "refused", http.StatusForbidden)
	case err != nil:
		a.broken(w, r, err)
	default:
		reply(w, http.StatusOK, struct{}{})
	}
}

const (
	// maxRepository is the most bytes that a repository's address has.
	maxRepository = 4 << 10
	// maxLogged is as much of a stranger's word as a line of the log tells.
	maxLogged = 200
)

func clip(text string) string {
	if len(text) <= maxLogged {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogged], "") + "…"
}

type signedHandler func(w http.ResponseWriter, r *http.Request, serverID string, body []byte)

// signed lets only requests through that the server's own key has signed.
func (a *Agents) signed(h signedHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serverID := r.Header.Get(agent.HeaderServer)
		key, live, err := a.Keys.ServerKey(r.Context(), serverID)
		var unknown *orchestrator.Error
		if errors.As(err, &unknown) && unknown.Code == orchestrator.CodeNotFound || err == nil && len(key) == 0 {
			http.Error(w, "unknown server", http.StatusUnauthorized)
			return
		}
		if err != nil {
			a.broken(w, r, err)
			return
		}
		// Only now: who is nobody has nothing to say.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, agent.MaxBody))
		if err != nil {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		switch err := agent.Verify(r, body, key, a.Now()); {
		case errors.Is(err, agent.ErrClock):
			http.Error(w, err.Error(), http.StatusForbidden)
		case err != nil:
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case !live:
			http.Error(w, "this server has been destroyed", http.StatusGone)
		default:
			h(w, r, serverID, body)
		}
	})
}

func (a *Agents) desired(w http.ResponseWriter, r *http.Request, serverID string, _ []byte) {
	after, err := strconv.Atoi(r.FormValue(agent.QueryAfter))
	if err != nil {
		http.Error(w, "after is no number", http.StatusBadRequest)
		return
	}
	ctx, stop := context.WithTimeout(r.Context(), agent.PollTime)
	defer stop()
	d, err := a.Fleet.Next(ctx, serverID, after)
	switch {
	case err != nil:
		a.broken(w, r, err)
	case d == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		reply(w, http.StatusOK, d)
	}
}

func (a *Agents) states(w http.ResponseWriter, r *http.Request, _ string, _ []byte) {
	tar, err := a.States(r.PathValue("digest"))
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such archive", http.StatusNotFound)
		return
	}
	if err != nil {
		a.broken(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(tar))
}

// credential hands out what a server reads its code with. Neither the answer nor
// what was in it is logged.
func (a *Agents) credential(w http.ResponseWriter, r *http.Request, serverID string, body []byte) {
	var ask orchestrator.LoginRequest
	if err := json.Unmarshal(body, &ask); err != nil || len(ask.Repository) > maxRepository {
		http.Error(w, "not a request for a credential", http.StatusBadRequest)
		return
	}
	login, err := a.Fleet.Login(r.Context(), serverID, ask)
	var refused *orchestrator.Error
	switch {
	case errors.As(err, &refused):
		status := http.StatusUnprocessableEntity
		switch refused.Code {
		case orchestrator.CodeNotAllowed:
			status = http.StatusForbidden
		case orchestrator.CodeState:
			status = http.StatusConflict
		}
		a.Log.Warn("a server was given no credential", "server", serverID, "repository", clip(ask.Repository), "from", r.RemoteAddr, "reason", clip(refused.Message), "error", refused.Cause)
		text := refused.Message
		if refused.Hint != "" {
			text += " (" + refused.Hint + ")"
		}
		http.Error(w, text, status)
	case err != nil:
		a.broken(w, r, err)
	case login == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		a.Log.Info("a server was given a credential", "server", serverID, "repository", clip(ask.Repository))
		w.Header().Set("Cache-Control", "no-store")
		reply(w, http.StatusOK, login)
	}
}

func (a *Agents) progress(w http.ResponseWriter, r *http.Request, serverID string, body []byte) {
	var lines []orchestrator.Progress
	if json.Unmarshal(body, &lines) != nil || boundLines(lines) != nil {
		http.Error(w, errProgress.Error(), http.StatusBadRequest)
		return
	}
	a.done(w, r, a.Fleet.Progress(r.Context(), serverID, lines))
}

func (a *Agents) report(w http.ResponseWriter, r *http.Request, serverID string, body []byte) {
	var report orchestrator.Report
	if json.Unmarshal(body, &report) != nil || boundReport(&report) != nil {
		http.Error(w, errReport.Error(), http.StatusBadRequest)
		return
	}
	a.done(w, r, a.Fleet.Report(r.Context(), serverID, report))
}

func (a *Agents) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.broken(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// broken answers 503: an agent tries again later.
func (a *Agents) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		a.Log.Error("an agent's request failed", "path", r.URL.Path, "server", clip(r.Header.Get(agent.HeaderServer)), "error", err)
	}
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}
