package httpapi_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

type catalog struct{ orchestrator.Catalog }

func (c *catalog) Current() *orchestrator.Catalog { return &c.Catalog }

// keys are tokens by the hash of their secret.
type keys struct {
	httpapi.Tokens
	byHash map[string]wire.Token
}

func (k keys) TokenByHash(_ context.Context, hash string) (wire.Token, error) {
	t, ok := k.byHash[hash]
	if !ok {
		return t, errors.New("no such token")
	}
	return t, nil
}

func hashOf(secret string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(secret))) }

// TestCauses asks the routes of causes through the client that Berth's own
// commands use, over a real store.
func TestCauses(t *testing.T) {
	t.Parallel()
	now := storetest.Start
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "berth.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", "api")); err != nil {
		t.Fatal(err)
	}
	const print = "abcdefgh23"
	if err := s.End(t.Context(), orchestrator.Ending{OperationID: "o-qa", Status: orchestrator.OperationFailed, At: now, Environment: orchestrator.StatusFailed,
		Occurrences: []orchestrator.Occurrence{{Fingerprint: print, Code: "disk_full", Who: "ops", App: "api", EnvironmentID: "e-qa", Environment: "qa", Operation: "o-qa",
			Sentence: "The disk is full.", Evidence: "No space left", At: now}}}); err != nil {
		t.Fatal(err)
	}
	service := &orchestrator.Service{Causes: s, Catalogs: &catalog{orchestrator.Catalog{Apps: []orchestrator.App{{Name: "api"}}}}, Now: func() time.Time { return now }}
	api := &httpapi.API{Causes: service, Tokens: keys{byHash: map[string]wire.Token{hashOf("ops"): {Person: "olga", Ops: true}, hashOf("jo"): {Person: "jo"}}}, Log: slog.New(slog.DiscardHandler),
		Person: func(name string) orchestrator.Actor { return orchestrator.Actor{Name: name} }}
	server := httptest.NewServer(api.Handler())
	defer server.Close()
	ops, jo := client.URL(server.URL, "ops", ""), client.URL(server.URL, "jo", "")

	all, err := ops.Causes(t.Context(), orchestrator.CauseFilter{App: "api", Code: "disk_full", Since: now})
	if err != nil || len(all) != 1 || all[0].Fingerprint != print || all[0].Count != 1 || !all[0].Last.Equal(now) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err = ops.Causes(t.Context(), orchestrator.CauseFilter{Since: now.Add(time.Minute)}); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	k, err := ops.NoteCause(t.Context(), print[:3], `ask <olga> & "wait"`)
	if err != nil || k.Note == nil || k.Note.Text != `ask <olga> & "wait"` || k.Note.By != "olga" {
		t.Errorf("%+v, %v", k.Note, err)
	}
	d, err := ops.Cause(t.Context(), print)
	if err != nil || d.Evidence != "No space left" || len(d.Occurrences) != 1 || d.Note == nil || d.Note.Text != k.Note.Text {
		t.Errorf("%+v, %v", d, err)
	}
	if k, err = ops.NoteCause(t.Context(), print, ""); err != nil || k.Note != nil {
		t.Errorf("%+v, %v", k.Note, err)
	}

	if _, err := jo.Causes(t.Context(), orchestrator.CauseFilter{}); orchestrator.ExitStatus(err) != 3 || !strings.Contains(err.Error(), "Only ops") {
		t.Errorf("a developer: %v", err)
	}
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		words                     string
	}{
		{"GET", "/api/v1/causes", "jo", "", 403, "Only ops"},
		{"GET", "/api/v1/causes", "", "", 403, "token"},
		{"GET", "/api/v1/causes/" + print, "jo", "", 403, "Only ops"},
		{"PUT", "/api/v1/causes/" + print + "/note", "jo", `{"text":"x"}`, 403, "Only ops"},
		{"GET", "/api/v1/causes?since=yore", "ops", "", 422, "yore"},
		{"GET", "/api/v1/causes?app=apj", "ops", "", 422, "--app api"},
		{"GET", "/api/v1/causes/zzzz", "ops", "", 404, "zzzz"},
		{"GET", "/api/v1/causes/" + print[:9] + "4", "ops", "", 404, print},
		{"GET", "/api/v1/causes/a%2F..%2Fb", "ops", "", 422, "is no fingerprint"},
		{"PUT", "/api/v1/causes/" + print + "/note", "ops", `{"text":`, 422, "JSON"},
		{"PUT", "/api/v1/causes/" + print + "/note", "ops", `{"text":"` + strings.Repeat("x", 501) + `"}`, 422, "501 characters"},
		{"DELETE", "/api/v1/causes/" + print, "ops", "", 405, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.words) {
			t.Errorf("%s %s as %s: %d %s", c.method, c.path, c.token, res.StatusCode, body)
		}
	}
}
