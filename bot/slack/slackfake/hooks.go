package slackfake

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"
)

// responseURL is the name of response URLs among the methods, for storms.
const responseURL = "response_url"

// hookLife is how long a response_url works.
const hookLife = 30 * time.Minute

// hook is a response_url.
type hook struct {
	via     string // the delivery that it belongs to
	user    string
	channel string
	made    time.Time
	uses    int
	// source is the message whose element was used; nil for slash commands,
	// whose own message cannot be touched.
	source *Message
}

// secret is a part of an address that nobody guesses; mu is held.
func (s *Server) secret(prefix string) string {
	var b [12]byte
	for i := range b {
		b[i] = byte(s.rand.Uint32())
	}
	return prefix + hex.EncodeToString(b[:])
}

func (s *Server) triggerID(now time.Time) string {
	s.ws.serial++
	return fmt.Sprintf("%d.%d.%s", now.UnixMicro(), s.ws.serial, s.secret(""))
}

func (s *Server) hash(now time.Time, serial int) string {
	return fmt.Sprintf("%d.%08x", now.Unix(), serial)
}

// newHook makes a response_url; kind is commands or actions; mu is held.
func (s *Server) newHook(kind string, h hook) string {
	now := s.clock.Now()
	for token, old := range s.hooks {
		if now.Sub(old.made) > 2*hookLife { // long expired
			delete(s.hooks, token)
		}
	}
	h.made = now
	token := s.secret("r")
	s.hooks[token] = &h
	return s.URL() + "/hooks/" + kind + "/" + token
}

// serveHook answers a response_url.
func (s *Server) serveHook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	var args Object
	s.mu.Lock()
	defer s.mu.Unlock()
	e := Entry{Kind: "hook", Status: http.StatusOK}
	if storm := s.stormy(responseURL); storm != nil {
		s.log.stats.RateLimited++
		e.Status, e.Err, e.RetryIn = http.StatusTooManyRequests, "ratelimited", storm.RetryAfter
		s.record(e)
		tooMany(w, storm.RetryAfter, !storm.OmitHeader)
		return
	}
	if err != nil || decode(body, &args) != nil {
		e.Status, e.Err = http.StatusBadRequest, "invalid_payload"
	} else {
		e.Request = args
		h := s.hooks[r.PathValue("token")]
		if h != nil {
			e.Envelope = h.via
		}
		if problem := s.useHook(h, args); problem != nil {
			e.Err, e.Messages = problem.code, problem.messages
			e.Status = http.StatusBadRequest
			if problem.code == "used_url" || problem.code == "expired_url" {
				e.Status = http.StatusNotFound
			}
		}
	}
	s.record(e)
	if e.Err != "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(e.Status)
		_, _ = w.Write(encode(Object{"ok": false, "error": e.Err}))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok")
}

// useHook carries out what was sent to a response_url; mu is held.
func (s *Server) useHook(h *hook, args Object) *refusal {
	switch {
	case h == nil:
		return refuse("expired_url")
	case s.clock.Now().Sub(h.made) > hookLife:
		return refuse("expired_url")
	case h.uses >= maxHookUses:
		return refuse("used_url")
	}
	h.uses++
	return s.respond(h, args)
}

// respond shows an answer to a slash command or an interaction, whether it
// came through the response_url or with the acknowledgement; mu is held.
func (s *Server) respond(h *hook, args Object) *refusal {
	gone := h.source != nil && h.source.Deleted
	if flag(args, "delete_original") {
		if h.source != nil && !gone {
			s.deleteMessage(h.source)
		}
		return nil
	}
	// The client's own encoding always carries a metadata object; it says
	// nothing when it is empty.
	args = clone(args)
	if meta := obj(args, "metadata"); meta != nil && str(meta, "event_type") == "" {
		delete(args, "metadata")
	}
	for _, key := range []string{"blocks", "attachments"} {
		if args[key] == nil {
			delete(args, key)
		}
	}
	c := &call{s: s, method: responseURL, args: args}
	in, problem := c.content()
	if problem != nil {
		return problem
	}
	if in.text == "" && len(in.blocks) == 0 && len(in.attachments) == 0 {
		return refuse("no_text")
	}
	if flag(args, "replace_original") && h.source != nil && !gone {
		s.edit(h.source, in, false)
		h.source.Via = h.via
		return nil
	}
	m := s.botMessage(h.channel, in)
	m.Via = h.via
	if str(args, "response_type") != "in_channel" {
		m.EphemeralTo = h.user
	}
	if ts := str(args, "thread_ts"); ts != "" {
		if parent := s.ws.message(h.channel, ts); parent != nil && !parent.Ephemeral() {
			m.ThreadTS = parent.TS
		}
	}
	s.ws.add(m, s.clock.Now())
	s.posted(m, false)
	return nil
}
