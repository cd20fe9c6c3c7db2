package slackfake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Change says that something is different now. Read the state to see how.
type Change struct {
	Kind    string // message, ephemeral, view, home, channel, user, delivery, call, socket; or "all"
	Channel string
	User    string
	TS      string
}

// maxPendingChanges is how far a reader may fall behind before it is only told
// to look at everything again.
const maxPendingChanges = 4096

// Subscription collects changes until they are read. Nobody waits for its
// reader.
type Subscription struct {
	server  *Server
	mu      sync.Mutex
	pending []Change
	ready   chan struct{}
	done    chan struct{}
	once    sync.Once
}

// Subscribe collects what changes from now on. Stop it when it is not needed.
func (s *Server) Subscribe() *Subscription {
	sub := &Subscription{server: s, ready: make(chan struct{}, 1), done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[sub] = true
	if s.ctx.Err() != nil {
		sub.end()
	}
	return sub
}

// Next waits for changes and gives all that have come since the last call. It
// fails when ctx or the subscription ends.
func (sub *Subscription) Next(ctx context.Context) ([]Change, error) {
	for {
		sub.mu.Lock()
		changes := sub.pending
		sub.pending = nil
		sub.mu.Unlock()
		if len(changes) > 0 {
			return changes, nil
		}
		select {
		case <-sub.ready:
		case <-sub.done:
			return nil, fmt.Errorf("slackfake: the subscription has ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Stop ends the subscription.
func (sub *Subscription) Stop() {
	sub.server.mu.Lock()
	delete(sub.server.subs, sub)
	sub.server.mu.Unlock()
	sub.end()
}

func (sub *Subscription) end() { sub.once.Do(func() { close(sub.done) }) }

func (sub *Subscription) put(c Change) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if len(sub.pending) >= maxPendingChanges {
		sub.pending = []Change{{Kind: "all"}}
	}
	sub.pending = append(sub.pending, c)
	select {
	case sub.ready <- struct{}{}:
	default:
	}
}

// change wakes whoever waits; mu is held.
func (s *Server) change(c Change) {
	close(s.signal)
	s.signal = make(chan struct{})
	for sub := range s.subs {
		sub.put(c)
	}
}

// Wait returns when cond holds. It looks again at every change, not in
// between; cond may use all that reads the stand-in's state. When ctx ends
// first, the error carries the last of the transcript.
func (s *Server) Wait(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.signal
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("slackfake: what was waited for did not happen: %w\n%s", context.Cause(ctx), s.tail(30))
		}
	}
}

func (s *Server) tail(n int) string {
	all := s.Transcript()
	var b strings.Builder
	for _, e := range all[max(0, len(all)-n):] {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// Messages are a channel's messages, replies included, in order.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.ws.messages[channel])
}

// Message is one message, ephemeral or not.
func (s *Server) Message(channel, ts string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ws.message(channel, ts)
	if m == nil {
		return Message{}, false
	}
	return m.copy(), true
}

// Thread is a thread: its first message, then the replies.
func (s *Server) Thread(channel, ts string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.ws.thread(channel, ts))
}

// Ephemerals are what only that person sees, in all channels, in order.
func (s *Server) Ephemerals(user string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.ws.ephemeral[user])
}

// IM is the conversation of a person with the app.
func (s *Server) IM(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws.im(user, s.ws.botUser).ID
}

// DM are the messages of a person's conversation with the app.
func (s *Server) DM(user string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.ws.messages[s.ws.im(user, s.ws.botUser).ID])
}

// Home is what a person's Home shows; nil before the app published one.
func (s *Server) Home(user string) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return shown(s.ws.homes[user])
}

// Modal is the modal on top of a person's stack; nil if none is open.
func (s *Server) Modal(user string) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return shown(s.ws.top(user))
}

// Modals are a person's open modals, the visible one last.
func (s *Server) Modals(user string) []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []View
	for _, v := range s.ws.modals[user] {
		all = append(all, v.copy())
	}
	return all
}

// Users are all accounts, Channels all conversations, in the order of IDs.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []User
	for _, u := range s.ws.users {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Channels are all conversations, direct messages included, in the order of
// IDs.
func (s *Server) Channels() []Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Channel
	for _, c := range s.ws.channels {
		copied := *c
		copied.Members = slices.Clone(c.Members)
		all = append(all, copied)
	}
	slices.SortFunc(all, func(a, b Channel) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// File is an uploaded file.
func (s *Server) File(id string) (File, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.ws.files[id]
	if f == nil {
		return File{}, false
	}
	c := *f
	c.Content = slices.Clone(f.Content)
	return c, true
}

func copies(all []*Message) []Message {
	var out []Message
	for _, m := range all {
		out = append(out, m.copy())
	}
	return out
}

func shown(v *View) *View {
	if v == nil {
		return nil
	}
	c := v.copy()
	return &c
}
