package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator/agent"
)

func TestSignature(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	body := []byte(`{"a":1}`)
	signed := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "https://berth.example.com/under/agent/v1/report?after=3", bytes.NewReader(body))
		agent.Sign(r, body, "s1", private, now)
		return r
	}
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		body   []byte
		key    ed25519.PublicKey
		now    time.Time
		want   error
	}{
		{name: "as sent"},
		{name: "the proxy took its path off", change: func(r *http.Request) { r.URL.Path = "/agent/v1/report" }},
		{name: "a little late", now: now.Add(agent.MaxSkew)},
		{name: "too late", now: now.Add(agent.MaxSkew + time.Second), want: agent.ErrClock},
		{name: "too early", now: now.Add(-agent.MaxSkew - time.Second), want: agent.ErrClock},
		{name: "other body", body: []byte(`{"a":2}`), want: agent.ErrSignature},
		{name: "other key", key: other, want: agent.ErrSignature},
		{name: "no key", key: ed25519.PublicKey{1}, want: agent.ErrSignature},
		{name: "other method", change: func(r *http.Request) { r.Method = http.MethodGet }, want: agent.ErrSignature},
		{name: "other path", change: func(r *http.Request) { r.URL.Path = "/agent/v1/progress" }, want: agent.ErrSignature},
		{name: "other query", change: func(r *http.Request) { r.URL.RawQuery = "after=4" }, want: agent.ErrSignature},
		{name: "other server", change: func(r *http.Request) { r.Header.Set(agent.HeaderServer, "s2") }, want: agent.ErrSignature},
		{name: "other time", change: func(r *http.Request) { r.Header.Set(agent.HeaderTime, "1800000001") }, want: agent.ErrSignature},
		{name: "not base64", change: func(r *http.Request) { r.Header.Set(agent.HeaderSignature, "!") }, want: agent.ErrSignature},
		{name: "nothing", change: func(r *http.Request) { r.Header = http.Header{} }, want: agent.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := signed()
			if tt.change != nil {
				tt.change(r)
			}
			if tt.body == nil {
				tt.body = body
			}
			if tt.key == nil {
				tt.key = public
			}
			if tt.now.IsZero() {
				tt.now = now
			}
			if err := agent.Verify(r, tt.body, tt.key, tt.now); !errors.Is(err, tt.want) {
				t.Errorf("Verify: %v, want %v", err, tt.want)
			}
		})
	}
}
