package slackfake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Person acts as somebody in front of Slack.
type Person struct {
	s  *Server
	id string
}

// User is a person to act as.
func (s *Server) User(id string) *Person { return &Person{s: s, id: id} }

// ID is the person's user ID.
func (p *Person) ID() string { return p.id }

// Outcome is what a person sees of something that they did.
type Outcome struct {
	// Failure is what Slack shows instead of an answer: operation_timeout,
	// dispatch_failed, or a sentence of Slack's own.
	Failure string
	// Fields are errors at a form's fields, by block_id.
	Fields map[string]string
	// Confirm is a question that has to be answered first, with Yes or No.
	Confirm *Confirm
	// Message is what the person wrote.
	Message Message
	// Options are what a menu suggests.
	Options []Option
	// Opened is the link that a button opened.
	Opened string
	// Took is how long the acknowledgement took.
	Took time.Duration

	person    *Person
	deliver   []*delivery
	confirmed func(ctx context.Context) (*Outcome, error)
}

// Yes answers the question with its confirming button.
func (o *Outcome) Yes(ctx context.Context) (*Outcome, error) {
	if o.confirmed == nil {
		return nil, fmt.Errorf("slackfake: nothing was asked")
	}
	return o.confirmed(ctx)
}

// Answers are the messages that came through the response_url, or with the
// acknowledgement, as they stand now.
func (o *Outcome) Answers() []Message {
	s := o.person.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Message
	for _, d := range o.deliver {
		if d.hook == nil {
			continue
		}
		for _, m := range s.ws.ephemeral[d.hook.user] {
			if m.Via == d.id {
				all = append(all, m.copy())
			}
		}
		for _, m := range s.ws.messages[d.hook.channel] {
			if m.Via == d.id {
				all = append(all, m.copy())
			}
		}
	}
	return all
}

// Answer waits for the first answer.
func (o *Outcome) Answer(ctx context.Context) (Message, error) { return o.AnswerNumber(ctx, 1) }

// AnswerNumber waits for the n-th answer, counted from 1.
func (o *Outcome) AnswerNumber(ctx context.Context, n int) (Message, error) {
	var got []Message
	err := o.person.s.Wait(ctx, func() bool {
		got = o.Answers()
		return len(got) >= n
	})
	if err != nil {
		return Message{}, fmt.Errorf("no answer %d (%d came, failure %q): %w", n, len(got), o.Failure, err)
	}
	return got[n-1], nil
}

// Modal waits for a modal to be open before the person.
func (o *Outcome) Modal(ctx context.Context) (View, error) {
	var v *View
	err := o.person.s.Wait(ctx, func() bool {
		v = o.person.s.Modal(o.person.id)
		return v != nil
	})
	if err != nil {
		return View{}, err
	}
	return *v, nil
}

// Acknowledged waits until the app took what was sent, or will not.
func (o *Outcome) Acknowledged(ctx context.Context) error {
	for _, d := range o.deliver {
		if err := o.await(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// await waits for a delivery's end.
func (o *Outcome) await(ctx context.Context, d *delivery) error {
	select {
	case <-d.done:
	case <-ctx.Done():
		return fmt.Errorf("slackfake: %s %s is not acknowledged: %w\n%s", d.kind, d.id, context.Cause(ctx), o.person.s.tail(20))
	}
	s := o.person.s
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Took = d.latency
	if d.failure != "" {
		o.Failure = d.failure
	}
	if d.fieldErrors != nil {
		o.Fields = d.fieldErrors
	}
	return nil
}

// sent sends a delivery and waits for its end; mu is held and let go.
func (p *Person) sent(ctx context.Context, d *delivery) (*Outcome, error) {
	o := &Outcome{person: p, deliver: []*delivery{d}}
	p.s.send(d)
	p.s.mu.Unlock()
	return o, o.await(ctx, d)
}

// here finds the person and the conversation in which they act; mu is held.
func (p *Person) here(channel string) (*User, *Channel, error) {
	u, ch := p.s.ws.users[p.id], p.s.ws.channels[channel]
	switch {
	case u == nil:
		return nil, nil, fmt.Errorf("slackfake: there is no user %s", p.id)
	case u.Deleted:
		return nil, nil, fmt.Errorf("slackfake: %s is deactivated and cannot do anything", u.Name)
	case ch == nil:
		return nil, nil, fmt.Errorf("slackfake: there is no channel %s", channel)
	case !ch.has(p.id):
		return nil, nil, fmt.Errorf("slackfake: %s is not a member of %s", u.Name, channel)
	}
	return u, ch, nil
}

func (p *Person) outcome(failure string) *Outcome { return &Outcome{person: p, Failure: failure} }

// Command types a slash command and waits for its acknowledgement. The text is
// what is typed; Slack's escaping and linking are done here. Use
// [Outcome.Answer] for what the app says.
func (p *Person) Command(ctx context.Context, channel, command, text string) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	u, ch, err := p.here(channel)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	i := slices.IndexFunc(s.opts.Commands, func(c Command) bool { return c.Name == command })
	switch {
	case i < 0, u.IsStranger: // people of other workspaces have only their own apps' commands
		s.mu.Unlock()
		return p.outcome(command + " is not a valid command. In Slack, all messages that start with the \"/\" character are interpreted as commands."), nil
	case ch.Archived:
		s.mu.Unlock()
		return p.outcome("This channel is archived."), nil
	case !s.has("commands"):
		s.mu.Unlock()
		return p.outcome(command + " is not a valid command."), nil
	}
	text = strings.TrimSpace(text)
	if s.opts.Commands[i].ShouldEscape {
		text = s.ws.markup(s.ws.typed(text), true)
	}
	d := &delivery{kind: slashCommands, accepts: true, id: s.secret("env-")}
	d.hook = &hook{via: d.id, user: p.id, channel: ch.ID}
	d.payload = Object{
		"token": s.opts.VerificationToken, "team_id": s.ws.team.ID, "team_domain": s.ws.team.Domain,
		"channel_id": ch.ID, "channel_name": ch.payloadName(), "user_id": u.ID, "user_name": u.Name,
		"command": command, "text": text, "api_app_id": s.ws.appID, "is_enterprise_install": "false",
		"response_url": s.newHook("commands", *d.hook), "trigger_id": s.newTrigger(p.id),
	}
	d.onAck = func(answer Object) string {
		if len(answer) == 0 {
			return ""
		}
		if problem := s.respond(d.hook, answer); problem != nil && problem.code != "no_text" {
			return problem.code
		}
		return ""
	}
	return p.sent(ctx, d)
}

// CommandInThread types a slash command in a thread, where custom ones do not
// work.
func (p *Person) CommandInThread(_ context.Context, channel, _, command, _ string) (*Outcome, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if _, _, err := p.here(channel); err != nil {
		return nil, err
	}
	return p.outcome(command + " is not supported in threads. Sorry!"), nil
}

// Message writes to a channel, or with threadTS to a thread. It does not wait
// for the app; see [Outcome.Acknowledged].
func (p *Person) Message(_ context.Context, channel, text, threadTS string) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ch, err := p.here(channel)
	if err != nil {
		return nil, err
	}
	if ch.Archived {
		return p.outcome("This channel is archived."), nil
	}
	parsed := s.ws.typed(text)
	m := &Message{Channel: ch.ID, User: p.id, Text: s.ws.markup(parsed, false), Blocks: s.ws.rich(parsed)}
	if threadTS != "" {
		parent := s.ws.message(ch.ID, threadTS)
		if parent == nil || parent.Ephemeral() {
			return nil, fmt.Errorf("slackfake: there is no message %s in %s to answer in a thread", threadTS, channel)
		}
		m.ThreadTS = parent.TS
		if parent.ThreadTS != "" {
			m.ThreadTS = parent.ThreadTS
		}
	}
	o := &Outcome{person: p}
	s.ws.add(m, s.clock.Now())
	s.notify(m, false, false)
	s.change(Change{Kind: "message", Channel: ch.ID, TS: m.TS})
	o.deliver = s.messageEvents(m)
	o.Message = m.copy()
	if !ch.IM && !ch.has(s.ws.botUser) && strings.Contains(m.Text, "<@"+s.ws.botUser+">") {
		o.Failure = "not_in_channel"
		hint := &Message{
			Channel: ch.ID, User: slackbot, EphemeralTo: p.id, ThreadTS: m.ThreadTS,
			Text: fmt.Sprintf("You mentioned <@%s>, but they’re not in this channel.", s.ws.botUser),
		}
		s.ws.add(hint, s.clock.Now())
		s.change(Change{Kind: "ephemeral", Channel: ch.ID, User: p.id, TS: hint.TS})
	}
	return o, nil
}

// Edit changes a message of the person's own.
func (p *Person) Edit(_ context.Context, m Message, text string) error {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.ws.message(m.Channel, m.TS)
	if now == nil || now.User != p.id {
		return fmt.Errorf("slackfake: %s has no message %s in %s", p.id, m.TS, m.Channel)
	}
	parsed := s.ws.typed(text)
	s.edit(now, content{text: s.ws.markup(parsed, false), blocks: s.ws.rich(parsed), hasBlocks: true}, false)
	return nil
}

// Delete deletes a message of the person's own.
func (p *Person) Delete(m Message) error {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.ws.message(m.Channel, m.TS)
	if now == nil || now.User != p.id {
		return fmt.Errorf("slackfake: %s has no message %s in %s", p.id, m.TS, m.Channel)
	}
	s.deleteMessage(now)
	return nil
}

// OpenHome opens the app's Home. It does not wait for the app: see
// [Server.Home] and [Server.Wait].
func (p *Person) OpenHome(_ context.Context) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.ws.users[p.id]; u == nil || u.Deleted {
		return nil, fmt.Errorf("slackfake: there is no user %s", p.id)
	}
	ch := s.ws.im(p.id, s.ws.botUser)
	inner := Object{"type": "app_home_opened", "user": p.id, "channel": ch.ID, "tab": "home", "event_ts": s.ws.newTS(s.clock.Now())}
	if v := s.ws.homes[p.id]; v != nil {
		inner["view"] = s.viewJSON(v)
	}
	o := &Outcome{person: p}
	if d := s.event("app_home_opened", inner, false); d != nil {
		o.deliver = append(o.deliver, d)
	}
	return o, nil
}

// Shortcut uses a global shortcut of the app's.
func (p *Person) Shortcut(ctx context.Context, callbackID string) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	if u := s.ws.users[p.id]; u == nil || u.Deleted {
		s.mu.Unlock()
		return nil, fmt.Errorf("slackfake: there is no user %s", p.id)
	}
	payload := s.interaction("shortcut", p.id)
	payload["callback_id"], payload["trigger_id"], payload["action_ts"] = callbackID, s.newTrigger(p.id), s.ws.newTS(s.clock.Now())
	return p.sent(ctx, &delivery{kind: interactive, payload: payload})
}

// MessageAction uses a shortcut of the app's on a message.
func (p *Person) MessageAction(ctx context.Context, m Message, callbackID string) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	_, ch, err := p.here(m.Channel)
	now := s.ws.message(m.Channel, m.TS)
	if err == nil && (now == nil || now.Ephemeral()) {
		err = fmt.Errorf("slackfake: there is no message %s in %s", m.TS, m.Channel)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	d := &delivery{kind: interactive, id: s.secret("env-")}
	d.hook = &hook{via: d.id, user: p.id, channel: ch.ID}
	d.payload = s.interaction("message_action", p.id)
	d.payload["callback_id"], d.payload["trigger_id"], d.payload["action_ts"] = callbackID, s.newTrigger(p.id), s.ws.newTS(s.clock.Now())
	d.payload["channel"] = Object{"id": ch.ID, "name": ch.payloadName()}
	d.payload["message"], d.payload["message_ts"] = s.messageJSON(now), now.TS
	d.payload["response_url"] = s.newHook("actions", *d.hook)
	return p.sent(ctx, d)
}
