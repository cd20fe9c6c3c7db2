package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	// giveUpAfter is how long a delivery is tried again: after that nobody
	// waits for its answer any more.
	giveUpAfter = 30 * time.Minute
	// admitAfter is how long trouble on Berth's own side is kept from a person.
	admitAfter = 20 * time.Second
)

// Deliver works through one delivery; the job queue calls it. It may be called
// again for the same key: a change is known by its key and happens once.
func (s *Slack) Deliver(ctx context.Context, key string) error {
	d, waiting, err := s.Inbox.Delivery(ctx, key)
	if err != nil || !waiting {
		return err
	}
	if !s.fresh.has(key) {
		s.uncertain.again(key) // it may have been answered, also by a process that was killed
	}
	s.fresh.forget(key)
	if err := s.guarded(ctx, d); err != nil {
		if s.Now().Sub(d.ReceivedAt) < giveUpAfter && (!refused(err) || fatal[errorCode(err)] != "") {
			return err
		}
		s.trouble("working through a "+d.Kind, err)
	}
	// What was done must not be done again because Berth is being stopped.
	return s.Inbox.EndDelivery(context.WithoutCancel(ctx), key, s.Now())
}

// guarded works through a delivery. One that breaks Berth would break it again:
// it is dropped, and the person told.
func (s *Slack) guarded(ctx context.Context, d orchestrator.Delivery) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		s.Log.Error("a delivery from Slack met a mistake in Berth", "delivery", d.Key, "panic", r, "stack", string(debug.Stack()))
		p, ok := placeOf(d)
		if !ok {
			return
		}
		sorry := orchestrator.Errorf(orchestrator.CodeInternal, "That met a mistake in Berth itself, and was not done.").
			WithHint("ops find more in the log of berth serve, under the delivery %s", d.Key)
		if sayErr := s.reply(ctx, p, view.ErrorView(sorry, orchestrator.Command{})); sayErr != nil {
			s.trouble("saying that something was not done", sayErr)
		}
	}()
	return s.work(ctx, d)
}

// placeOf is where what was delivered was asked for, if a person asked.
func placeOf(d orchestrator.Delivery) (place, bool) {
	var p struct {
		UserID      string `json:"user_id"`
		ChannelID   string `json:"channel_id"`
		ResponseURL string `json:"response_url"`
		User        struct{ ID string }
		Channel     struct{ ID string }
		Event       struct {
			User, Channel string
			ChannelType   string `json:"channel_type"`
			Thread        string `json:"thread_ts"`
		}
	}
	if json.Unmarshal(d.Body, &p) != nil {
		return place{}, false
	}
	out := place{User: cmp.Or(p.UserID, p.User.ID, p.Event.User), Channel: cmp.Or(p.ChannelID, p.Channel.ID, p.Event.Channel),
		ResponseURL: p.ResponseURL, Thread: p.Event.Thread, Direct: p.Event.ChannelType == "im", At: d.ReceivedAt, Key: d.Key}
	return out, out.User != ""
}

func (s *Slack) work(ctx context.Context, d orchestrator.Delivery) error {
	switch d.Kind {
	case kindCommand:
		var c slackgo.SlashCommand
		if err := json.Unmarshal(d.Body, &c); err != nil {
			return s.unreadable(d, err)
		}
		return s.asked(ctx, ask{key: d.Key, at: d.ReceivedAt, text: s.commandText(c),
			place: place{Channel: c.ChannelID, User: c.UserID, ResponseURL: c.ResponseURL, At: d.ReceivedAt, Key: d.Key}})
	case kindInteraction:
		var c slackgo.InteractionCallback
		if err := json.Unmarshal(d.Body, &c); err != nil {
			return s.unreadable(d, err)
		}
		if c.Type == slackgo.InteractionTypeViewSubmission {
			return s.forms.work(ctx, d, c)
		}
		return s.clicked(ctx, d, c)
	case kindEvent:
		ev, err := slackevents.ParseEvent(d.Body, slackevents.OptionNoVerifyToken())
		if err != nil {
			return s.unreadable(d, err)
		}
		return s.happened(ctx, d, ev)
	}
	return s.unreadable(d, fmt.Errorf("the kind %q is not known", d.Kind))
}

// unreadable drops what can never be understood.
func (s *Slack) unreadable(d orchestrator.Delivery, err error) error {
	s.Log.Error("a delivery from Slack cannot be read", "delivery", d.Key, "error", err)
	return nil
}

// commandText is what a slash command says in the grammar.
func (s *Slack) commandText(c slackgo.SlashCommand) string {
	noun := string(orchestrator.NounEnv)
	if c.Command == s.ServerCommand {
		noun = string(orchestrator.NounServer)
	}
	return strings.TrimSpace(noun + " " + c.Text)
}

// mention is a call of a user at the head of a message.
var mention = lazyregexp.New(`<@([UW][A-Z0-9]+)(\|[^>]*)?>`)

// happened takes an event: a mention, a direct message or an opened home.
func (s *Slack) happened(ctx context.Context, d orchestrator.Delivery, ev slackevents.EventsAPIEvent) error {
	switch e := ev.InnerEvent.Data.(type) {
	case *slackevents.AppMentionEvent:
		if e.User == "" || e.BotID != "" {
			return nil
		}
		return s.asked(ctx, ask{key: d.Key, at: d.ReceivedAt, text: s.unmention(e.Text),
			place: place{Channel: e.Channel, User: e.User, Thread: e.ThreadTimeStamp, At: d.ReceivedAt, Key: d.Key}})
	case *slackevents.MessageEvent:
		if e.ChannelType != "im" || e.User == "" || e.BotID != "" || e.SubType != "" {
			return nil
		}
		return s.asked(ctx, ask{key: d.Key, at: d.ReceivedAt, text: s.unmention(e.Text),
			place: place{Channel: e.Channel, User: e.User, Thread: e.ThreadTimeStamp, At: d.ReceivedAt, Direct: true, Key: d.Key}})
	case *slackevents.AppHomeOpenedEvent:
		if e.Tab != "messages" {
			return s.homes.opened(ctx, e.User)
		}
	}
	return nil
}

// unmention takes the call of Berth itself out of a message.
func (s *Slack) unmention(text string) string {
	us, _ := s.self.get()
	first := true
	return strings.TrimSpace(mention.ReplaceAllStringFunc(text, func(m string) string {
		id := mention.FindStringSubmatch(m)[1]
		if id == us || us == "" && first {
			first = false
			return " "
		}
		return m
	}))
}

// ask is something that a person wants.
type ask struct {
	key   string
	at    time.Time
	text  string
	place place
	// confirmed says that the person has confirmed it already, by a click.
	confirmed bool
}

// begun reports whether a delivery has started or canceled an operation
// already: what has happened since is its own doing, or comes after it.
func (s *Slack) begun(ctx context.Context, key string) (bool, error) {
	_, ok, err := s.Inbox.OperationByOrigin(ctx, key)
	return ok, err
}

// late reports what lay here for so long that nobody expects it any more: it is
// not done, and the person told. What it has started already goes on.
func (s *Slack) late(ctx context.Context, at time.Time, p place) (bool, error) {
	if s.Now().Sub(at) < giveUpAfter {
		return false, nil
	}
	if begun, err := s.begun(ctx, p.Key); begun || err != nil {
		return false, err
	}
	old := orchestrator.Errorf(orchestrator.CodeState, "That was too long ago: Berth gets to it only now, and has not done it.").WithHint("ask again, if you still want it")
	if err := s.reply(ctx, p, view.ErrorView(old, orchestrator.Command{})); err != nil {
		s.trouble("saying that something was not done", err)
	}
	return true, nil
}

// asked answers what a person typed.
func (s *Slack) asked(ctx context.Context, a ask) error {
	if late, err := s.late(ctx, a.at, a.place); late || err != nil {
		return err
	}
	actor, err := s.people.actor(ctx, a.place.User)
	if err != nil {
		return s.refuse(ctx, a, err, orchestrator.Command{})
	}
	if a.text == "" {
		a.text = "env"
	}
	parsed, err := bot.Parse(a.text)
	if err != nil {
		return s.refuse(ctx, a, err, orchestrator.Command{})
	}
	return s.do(ctx, a, actor, parsed.Command)
}

// refuse tells a person why not. What is no refusal is tried again for a
// while, then admitted.
func (s *Slack) refuse(ctx context.Context, a ask, err error, cmd orchestrator.Command) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		if s.Now().Sub(a.at) < admitAfter {
			return err
		}
		s.Log.Error("a command failed", "delivery", a.key, "error", err)
		err = plainly(err)
	}
	return s.reply(ctx, a.place, view.ErrorView(err, cmd))
}

// plainly says what ops can mend in a person's words.
func plainly(err error) error {
	if why := fatal[errorCode(err)]; why != "" {
		return orchestrator.Errorf(orchestrator.CodeInternal, "Slack refuses Berth: %s. So Berth cannot tell who you are, and has done nothing.", why).
			WithHint("tell ops: berth doctor says what to do")
	}
	return err
}

// do runs a command and answers it.
func (s *Slack) do(ctx context.Context, a ask, actor orchestrator.Actor, cmd orchestrator.Command) error {
	switch {
	case cmd.Verb == orchestrator.VerbHelp:
		return s.reply(ctx, a.place, view.HelpView(string(cmd.Noun), cmd.Name))
	case cmd.Verb == orchestrator.VerbLogs:
		return s.logs(ctx, a, actor, cmd)
	case cmd.Verb == orchestrator.VerbWhy && cmd.Detail != orchestrator.DetailShort:
		return s.evidence(ctx, a, actor, cmd)
	case cmd.Verb == orchestrator.VerbDestroy && !a.confirmed:
		return s.confirm(ctx, a, actor, cmd)
	}
	if cmd.Changes() {
		actor.From = orchestrator.Origin{Door: Door, Key: a.key, Place: a.place.json()}
	}
	answer, err := s.Doer.Do(ctx, actor, cmd)
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	if answer.Operation == nil || !cmd.Changes() {
		return s.reply(ctx, a.place, view.AnswerView(cmd, answer, s.Now()))
	}
	return s.accepted(ctx, a, cmd, answer)
}

// accepted lets the operation's card speak; where it has none of this
// delivery's, the answer says what is going on.
func (s *Slack) accepted(ctx context.Context, a ask, cmd orchestrator.Command, answer orchestrator.Answer) error {
	card, ok, err := s.Cards.Card(ctx, answer.Operation.ID)
	if err != nil {
		return err
	}
	if ok && cmd.Verb != orchestrator.VerbCancel && answer.Note == "" || ok && string(card.Place) == string(a.place.json()) && cmd.Verb != orchestrator.VerbCancel {
		s.cards.kick()
		if a.place.Replace {
			return s.reply(ctx, a.place, view.View{Text: "Berth is on it: " + bot.Commands(answer.Operation.Text), Parts: []view.Part{
				view.Paragraph{Spans: []view.Span{{Text: "Berth is on it: "}, {Text: bot.Commands(answer.Operation.Text), Code: true, Command: true}}}}})
		}
		return nil
	}
	if answer.Note == "" {
		answer.Note = "It is being done: " + answer.Operation.Text
	}
	answer = orchestrator.Answer{Environment: answer.Environment, Note: answer.Note}
	return s.reply(ctx, a.place, view.AnswerView(orchestrator.Command{Noun: cmd.Noun, Verb: cmd.Verb, Environment: cmd.Environment}, answer, s.Now()))
}

// confirm asks before a destroy that was typed, naming what goes.
func (s *Slack) confirm(ctx context.Context, a ask, actor orchestrator.Actor, cmd orchestrator.Command) error {
	if err := s.Doer.Allowed(ctx, actor, cmd); err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	answer, err := s.Doer.Do(ctx, actor, orchestrator.Command{Noun: cmd.Noun, Verb: orchestrator.VerbShow, Environment: cmd.Environment, App: cmd.App})
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	app := ""
	if answer.Server != nil && len(answer.Environment.Servers) > 1 {
		app = answer.Server.App
	}
	return s.reply(ctx, a.place, view.ConfirmDestroyView(*answer.Environment, app, bot.Canonical(cmd)))
}

// clicked takes a pressed button. It is checked as if it had been typed; one
// that is about something that has changed since says so instead.
func (s *Slack) clicked(ctx context.Context, d orchestrator.Delivery, c slackgo.InteractionCallback) error {
	if len(c.ActionCallback.BlockActions) == 0 {
		return nil
	}
	pressed := c.ActionCallback.BlockActions[0]
	action, ok := blocks.DecodeAction(pressed.ActionID, pressed.Value)
	if !ok || action.Command == "" {
		return nil // a link, or a button of a version that is gone
	}
	channel := c.Channel.ID
	if channel == "" {
		channel = c.Container.ChannelID
	}
	thread := threadOf(c)
	a := ask{key: d.Key, at: d.ReceivedAt, text: action.Command, confirmed: true,
		place: place{Channel: channel, User: c.User.ID, Thread: thread, ResponseURL: c.ResponseURL, At: d.ReceivedAt, Replace: c.Container.IsEphemeral, Key: d.Key}}
	if late, err := s.late(ctx, a.at, a.place); late || err != nil {
		return err
	}
	actor, err := s.people.actor(ctx, c.User.ID)
	if err != nil {
		return s.refuse(ctx, a, err, orchestrator.Command{})
	}
	parsed, err := bot.Parse(action.Command)
	if err != nil {
		return s.refuse(ctx, a, err, orchestrator.Command{})
	}
	cmd := parsed.Command
	stale, err := s.stale(ctx, d.Key, action.About, &cmd)
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	if stale != nil {
		return s.reply(ctx, a.place, *stale)
	}
	if cmd.Verb == orchestrator.VerbCancel {
		cmd.Operation = action.About.Operation
	}
	files := cmd.Verb == orchestrator.VerbLogs || cmd.Verb == orchestrator.VerbWhy && cmd.Detail != orchestrator.DetailShort
	if files && a.place.Thread == "" && !c.Container.IsEphemeral {
		a.place.Thread = c.Container.MessageTs // they go below their card
	}
	return s.do(ctx, a, actor, cmd)
}

// threadOf is the thread that a button stands in. A message that others have
// replied to is the first of its own thread: that is no thread to answer in.
func threadOf(c slackgo.InteractionCallback) string {
	thread := c.Message.ThreadTimestamp
	if thread == "" {
		thread = c.Container.ThreadTs
	}
	if thread == c.Container.MessageTs || thread == c.Message.Timestamp {
		return ""
	}
	return thread
}

// stale answers what has happened since a button was shown, if that matters,
// and follows the environment to the name that it has now. What the delivery
// itself has started is not in its own way.
func (s *Slack) stale(ctx context.Context, key string, about view.About, cmd *orchestrator.Command) (*view.View, error) {
	if about.Environment == "" {
		return nil, nil
	}
	if begun, err := s.begun(ctx, key); begun || err != nil {
		return nil, err
	}
	e, err := s.Reader.EnvironmentByID(ctx, about.Environment)
	if err != nil {
		return nil, err
	}
	if e.Status == orchestrator.StatusDestroyed {
		text := e.Name + " is gone: it has been destroyed since."
		return &view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}}, nil
	}
	cmd.Environment = e.Name
	switch cmd.Verb {
	case orchestrator.VerbDeploy, orchestrator.VerbRetry, orchestrator.VerbRepair, orchestrator.VerbDestroy, orchestrator.VerbCancel:
	default:
		return nil, nil
	}
	if e.Operation == nil || about.Operation == "" || e.Operation.ID == about.Operation {
		return nil, nil
	}
	op, err := s.Reader.Operation(ctx, about.Operation)
	if err == nil && !op.Status.Ended() {
		return nil, nil // it waits: the one that runs is another
	}
	text := fmt.Sprintf("Something has happened to %s since: %s asked for “%s” (%s). Look again before you change it.", e.Name, e.Operation.Actor, e.Operation.Text, e.Operation.Status)
	v := view.EnvironmentView(e, s.Now())
	v.Text = text
	v.Parts = append([]view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}, v.Parts...)
	return &v, nil
}
