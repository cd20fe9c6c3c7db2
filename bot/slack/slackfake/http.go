package slackfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Where the app takes requests in HTTP mode, below Options.RequestURL.
const (
	CommandsPath     = "/slack/commands"
	InteractionsPath = "/slack/interactions"
	EventsPath       = "/slack/events"
)

// Sign gives the headers with which Slack signs a body.
func Sign(secret string, at time.Time, body []byte) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "v0:%s:%s", stamp, body)
	h := http.Header{}
	h.Set("X-Slack-Request-Timestamp", stamp)
	h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return h
}

// Client that follows no redirect, as Slack's.
var outgoing = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// encoded is a delivery as HTTP carries it.
func (d *delivery) encoded() (path, kind string, body []byte) {
	switch d.kind {
	case slashCommands:
		form := url.Values{}
		for k, v := range d.payload {
			switch v := v.(type) {
			case string:
				form.Set(k, v)
			case bool:
				form.Set(k, strconv.FormatBool(v))
			}
		}
		return CommandsPath, "application/x-www-form-urlencoded", []byte(form.Encode())
	case interactive:
		return InteractionsPath, "application/x-www-form-urlencoded", []byte(url.Values{"payload": {string(encode(d.payload))}}.Encode())
	}
	return EventsPath, "application/json", encode(d.payload)
}

// post makes an attempt in HTTP mode.
func (s *Server) post(base string, d *delivery) {
	path, kind, body := d.encoded()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.mu.Lock()
	s.record(Entry{Kind: "delivery", Delivery: d.kind, Envelope: d.id, Attempt: d.attempt, Payload: d.payload})
	s.arm(d)
	copies := 1
	if s.faults.duplicate > 0 {
		s.faults.duplicate--
		s.log.stats.Duplicates++
		copies = 2
	}
	attempt := d.attempt
	s.mu.Unlock()
	stop := s.clock.AfterFunc(ackWithin, cancel)
	defer stop()

	var answer Object
	var reason string
	noRetry := false
	for range copies {
		answer, noRetry, reason = s.request(ctx, base+path, kind, body, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[d.id] != d || d.attempt != attempt {
		return // the timer was first
	}
	if reason == "" {
		s.acknowledge(d, answer)
		return
	}
	if noRetry {
		d.attempt = len(retryAfter)
	}
	failure := DispatchFailed
	if reason == "http_timeout" {
		failure = OperationTimeout
	}
	s.missed(d, failure, reason)
}

// request posts once. A reason is why it does not count as taken.
func (s *Server) request(ctx context.Context, to, kind string, body []byte, d *delivery) (answer Object, noRetry bool, reason string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, false, "unknown_error"
	}
	for key, v := range Sign(s.opts.SigningSecret, s.clock.Now(), body) {
		r.Header[key] = v
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	if d.attempt > 0 {
		r.Header.Set("X-Slack-Retry-Num", strconv.Itoa(d.attempt))
		r.Header.Set("X-Slack-Retry-Reason", d.reason)
	}
	response, err := outgoing.Do(r)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, false, "http_timeout"
		}
		return nil, false, "connection_failed"
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	if err != nil {
		return nil, false, "http_timeout"
	}
	noRetry = response.Header.Get("X-Slack-No-Retry") == "1"
	if response.StatusCode != http.StatusOK {
		return nil, noRetry, "http_error"
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, noRetry, ""
	}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); media == "application/json" {
		if decode(content, &answer) == nil {
			return answer, noRetry, ""
		}
	}
	if d.kind == slashCommands {
		return Object{"text": string(content)}, noRetry, ""
	}
	return nil, noRetry, ""
}

// VerifyURL asks the app to prove that the events' address is its own, as
// Slack does when it is entered.
func (s *Server) VerifyURL(ctx context.Context) error {
	s.mu.Lock()
	base := s.requestURL
	challenge := s.secret("challenge-")
	s.mu.Unlock()
	body := encode(Object{"token": s.opts.VerificationToken, "challenge": challenge, "type": "url_verification"})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+EventsPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = Sign(s.opts.SigningSecret, s.clock.Now(), body)
	r.Header.Set("Content-Type", "application/json")
	response, err := outgoing.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	if err != nil {
		return err
	}
	var answer struct {
		Challenge string `json:"challenge"`
	}
	if decode(content, &answer) != nil {
		answer.Challenge = strings.TrimSpace(string(content))
	}
	if response.StatusCode != http.StatusOK || answer.Challenge != challenge {
		return fmt.Errorf("slackfake: the address did not answer the challenge: %s: %s", response.Status, content)
	}
	return nil
}
