package httpapi_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
)

// listener keeps what it is told.
type listener struct {
	httpapi.Fleet
	report *orchestrator.Report
	lines  []orchestrator.Progress
}

func (l *listener) Report(_ context.Context, _ string, r orchestrator.Report) error {
	l.report = &r
	return nil
}

func (l *listener) Progress(_ context.Context, _ string, lines []orchestrator.Progress) error {
	l.lines = lines
	return nil
}

// A server that somebody has taken over tells what it likes. No more is taken of
// it than an agent has to say: a text of a megabyte was once searched for causes
// for most of a minute, and a revision came to people as part of a command.
func TestTold(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.Repeat("0123456789", 4)
	long := strings.Repeat("é!", 1<<19)
	lines := func(n int, p orchestrator.Progress) []orchestrator.Progress {
		all := make([]orchestrator.Progress, n)
		for i := range all {
			all[i] = p
		}
		return all
	}
	for name, c := range map[string]struct {
		path   string
		say    any
		status int
	}{
		"a report":                  {agent.PathReport, orchestrator.Report{Run: "r", Revision: commit, Stdout: long}, http.StatusNoContent},
		"no code":                   {agent.PathReport, orchestrator.Report{Run: "r"}, http.StatusNoContent},
		"SHA-256":                   {agent.PathReport, orchestrator.Report{Run: "r", Revision: strings.Repeat("ab", 32)}, http.StatusNoContent},
		"long texts":                {agent.PathReport, orchestrator.Report{Run: "r", Problem: long, HealthDetail: long, Stderr: long, AppLog: long}, http.StatusNoContent},
		"a revision of words":       {agent.PathReport, orchestrator.Report{Run: "r", Revision: "main --yes <!channel>"}, http.StatusBadRequest},
		"a revision and a line":     {agent.PathReport, orchestrator.Report{Run: "r", Revision: commit + "\n"}, http.StatusBadRequest},
		"a run with a long name":    {agent.PathReport, orchestrator.Report{Run: long}, http.StatusBadRequest},
		"a deep report":             {agent.PathReport, json.RawMessage(`{"run":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`), http.StatusBadRequest},
		"a batch":                   {agent.PathProgress, lines(200, orchestrator.Progress{Step: "log", Source: "app", Text: strings.Repeat("x", 2003)}), http.StatusNoContent},
		"a long line":               {agent.PathProgress, lines(3, orchestrator.Progress{Step: "configuring", Text: long}), http.StatusNoContent},
		"many lines":                {agent.PathProgress, lines(5000, orchestrator.Progress{Step: "log"}), http.StatusBadRequest},
		"a step with a long name":   {agent.PathProgress, lines(1, orchestrator.Progress{Step: long}), http.StatusBadRequest},
		"a source with a long name": {agent.PathProgress, lines(1, orchestrator.Progress{Step: "log", Source: long}), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &listener{}
			agents := &httpapi.Agents{Fleet: l, Keys: oneKey{public}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
			body, err := json.Marshal(c.say)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, c.path, bytes.NewReader(body))
			agent.Sign(r, body, "s1", key, time.Now())
			w := httptest.NewRecorder()
			agents.Handler().ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
			}
			if told := l.report != nil || l.lines != nil; told != (c.status == http.StatusNoContent) {
				t.Errorf("taken: %v", told)
			}
			if said, ok := c.say.(orchestrator.Report); ok && l.report != nil {
				if l.report.Stdout != said.Stdout || l.report.Revision != said.Revision {
					t.Error("the result has changed")
				}
				for _, s := range []struct {
					text string
					most int
				}{{l.report.Problem, 5 << 10}, {l.report.HealthDetail, 5 << 10}, {l.report.Stderr, 257 << 10}, {l.report.AppLog, 257 << 10}} {
					if len(s.text) > s.most || !utf8.ValidString(s.text) {
						t.Errorf("%d bytes are kept, %q at the end", len(s.text), s.text[len(s.text)-4:])
					}
				}
			}
			if said, ok := c.say.([]orchestrator.Progress); ok {
				for i, p := range l.lines {
					if len(p.Text) > 5<<10 || !utf8.ValidString(p.Text) || len(said[i].Text) < 2004 && p.Text != said[i].Text {
						t.Fatalf("a line of %d bytes is kept", len(p.Text))
					}
				}
			}
		})
	}
}
