package slack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	slackgo "github.com/slack-go/slack"
)

// maxRequest bounds what Slack may send: a form's state is the largest, and a
// view has 250 KB at most.
const maxRequest = 1 << 20

// eventsPath is where Slack's events go.
const eventsPath = "/slack/events"

// Handler takes Slack's requests in HTTP mode: /slack/commands,
// /slack/interactions (also for options) and /slack/events.
func (s *Slack) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /slack/commands", s.signed(s.httpCommand))
	mux.Handle("POST /slack/interactions", s.signed(s.httpInteraction))
	mux.Handle("POST "+eventsPath, s.signed(s.httpEvent))
	return mux
}

// signed lets through what Slack has signed within the last five minutes, once.
func (s *Slack) signed(h func(body []byte) (envelope, any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.mode != ModeHTTP {
			http.Error(w, "Slack reaches this Berth through Socket Mode", http.StatusNotFound)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}
			return
		}
		verifier, err := slackgo.NewSecretsVerifier(r.Header, s.SigningSecret)
		if err == nil {
			_, err = verifier.Write(body)
		}
		if err == nil {
			err = verifier.Ensure()
		}
		if err != nil {
			s.Log.Warn("a request that Slack did not sign was refused", "path", r.URL.Path, "from", r.RemoteAddr, "error", err)
			http.Error(w, "not signed by Slack", http.StatusUnauthorized)
			return
		}
		// Slack repeats events alone, and says so in a header that is not signed:
		// an event that came before is known by its own ID.
		retried := r.URL.Path == eventsPath && r.Header.Get("X-Slack-Retry-Num") != ""
		if !retried && s.signatures.again(r.Header.Get("X-Slack-Signature")) {
			s.Log.Warn("a request that was played again was refused", "path", r.URL.Path, "from", r.RemoteAddr)
			http.Error(w, "this request was made before", http.StatusUnauthorized)
			return
		}
		s.respond(w, r, body, h)
	})
}

func (s *Slack) respond(w http.ResponseWriter, r *http.Request, body []byte, h func(body []byte) (envelope, any, error)) {
	e, reply, err := h(body)
	if err != nil {
		http.Error(w, "not understood", http.StatusBadRequest)
		return
	}
	if reply == nil && e.kind != "" {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if reply, err = s.take(ctx, e); err != nil {
			s.Log.Error("something from Slack was not accepted", "kind", e.kind, "error", err)
			http.Error(w, "not accepted", http.StatusServiceUnavailable)
			return
		}
	}
	if reply == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply) // who has gone away gets nothing
}

// httpCommand makes a slash command's form into the JSON that Socket Mode has.
func (s *Slack) httpCommand(body []byte) (envelope, any, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return envelope{}, nil, err
	}
	if form.Get("ssl_check") == "1" {
		return envelope{}, nil, nil
	}
	fields := map[string]string{}
	for key := range form {
		fields[key] = form.Get(key)
	}
	// The one field that is no text.
	delete(fields, "is_enterprise_install")
	payload, err := json.Marshal(fields)
	return envelope{kind: kindCommand, payload: payload}, nil, err
}

func (s *Slack) httpInteraction(body []byte) (envelope, any, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return envelope{}, nil, err
	}
	payload := form.Get("payload")
	if !json.Valid([]byte(payload)) {
		return envelope{}, nil, errors.New("no payload")
	}
	return envelope{kind: kindInteraction, payload: json.RawMessage(payload)}, nil, nil
}

func (s *Slack) httpEvent(body []byte) (envelope, any, error) {
	var head struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return envelope{}, nil, err
	}
	if head.Type == "url_verification" {
		return envelope{}, map[string]string{"challenge": head.Challenge}, nil
	}
	return envelope{kind: kindEvent, payload: body}, nil, nil
}
