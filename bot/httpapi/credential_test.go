package httpapi_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
)

// lender has a login for one repository.
type lender struct{ httpapi.Fleet }

func (lender) Login(_ context.Context, serverID string, ask orchestrator.LoginRequest) (*orchestrator.Login, error) {
	switch ask.Repository {
	case "https://github.com/acme/" + serverID:
		return &orchestrator.Login{Repository: ask.Repository, Password: "ghs_secret"}, nil
	case "public":
		return nil, nil
	case "old":
		return nil, orchestrator.Errorf(orchestrator.CodeState, "There is something newer.")
	case "suspended":
		return nil, orchestrator.Errorf(orchestrator.CodeGitAuth, "The App is suspended.").WithHint("ops: lift it")
	case "broken":
		return nil, io.ErrUnexpectedEOF
	}
	return nil, orchestrator.Errorf(orchestrator.CodeNotAllowed, "The server %s may not read %s.", serverID, ask.Repository)
}

type oneKey struct{ key ed25519.PublicKey }

func (k oneKey) ServerKey(context.Context, string) ([]byte, bool, error) { return k.key, true, nil }

type noKey struct{}

func (noKey) ServerKey(_ context.Context, serverID string) ([]byte, bool, error) {
	return nil, false, orchestrator.Errorf(orchestrator.CodeNotFound, "There is no server %s.", serverID)
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("what a stranger sends is read")
	return 0, io.EOF
}

// What an unknown server sends is not read.
func TestStranger(t *testing.T) {
	t.Parallel()
	agents := &httpapi.Agents{Keys: noKey{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, path := range []string{agent.PathCredential, agent.PathProgress, agent.PathReport} {
		r := httptest.NewRequest(http.MethodPost, path, unread{t})
		r.Header.Set(agent.HeaderServer, "s1")
		w := httptest.NewRecorder()
		agents.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A login goes to the server that has signed for it, for what is its own; every
// refusal is logged, and what was handed out is not.
func TestCredential(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	agents := &httpapi.Agents{Fleet: lender{}, Keys: oneKey{public}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}
	handler := agents.Handler()
	for _, c := range []struct {
		repository string
		key        ed25519.PrivateKey
		status     int
		says       string
	}{
		{"https://github.com/acme/s1", key, http.StatusOK, `"password":"ghs_secret"`},
		{"https://github.com/acme/s1", other, http.StatusUnauthorized, "not signed"},
		{"https://github.com/acme/s1", nil, http.StatusUnauthorized, ""},
		{"public", key, http.StatusNoContent, ""},
		{"https://github.com/acme/s2", key, http.StatusForbidden, "The server s1 may not read https://github.com/acme/s2."},
		{"old", key, http.StatusConflict, "newer"},
		{"suspended", key, http.StatusUnprocessableEntity, "The App is suspended. (ops: lift it)"},
		{"broken", key, http.StatusServiceUnavailable, "try again later"},
		{"https://long.example.com/" + strings.Repeat("é", 1000), key, http.StatusForbidden, "may not read"},
		{strings.Repeat("x", 5000), key, http.StatusBadRequest, "not a request"},
	} {
		body, err := json.Marshal(orchestrator.LoginRequest{Generation: 1, Repository: c.repository})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, agent.PathCredential, bytes.NewReader(body))
		r.Header.Set(agent.HeaderServer, "s1")
		if c.key != nil {
			agent.Sign(r, body, "s1", c.key, time.Now())
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %d %s", c.repository, w.Code, w.Body, c.status, c.says)
		}
		if w.Code == http.StatusOK && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the answer may be kept: %v", w.Header())
		}
	}
	for _, want := range []string{"level=WARN", "https://github.com/acme/s2", "may not read"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %q:\n%s", want, &log)
		}
	}
	for line := range strings.Lines(log.String()) {
		if len(line) > 1000 {
			t.Errorf("a line of the log has %d bytes: %.300s", len(line), line)
		}
	}
	if strings.Contains(log.String(), "ghs_") {
		t.Errorf("the log has the login:\n%s", &log)
	}
}
