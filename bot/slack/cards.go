package slack

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

const (
	// editEvery is the least time between two edits of one card.
	editEvery = 3 * time.Second
	// moveEvery is how often a card's elapsed time moves when nothing else does.
	moveEvery = 20 * time.Second
	// lookEvery is how often changes are looked for, however many there are.
	lookEvery = 200 * time.Millisecond
	// callWithin bounds one call to Slack.
	callWithin = 20 * time.Second
	// callsAtOnce is how many calls about cards run at the same time.
	callsAtOnce = 6
)

// The metadata of what Berth posts about an operation: after a crash it is
// found again by this.
const (
	metaCard = "berth_card"
	metaEnd  = "berth_end"
)

// cardState is what has been shown of an operation; it is kept in the card's
// row, written after each step.
type cardState struct {
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	Direct  bool   `json:"direct,omitempty"` // in the person's own conversation instead
	// Posting and Telling say that a message was about to be posted: whether it
	// was, is to be looked up.
	Posting bool `json:"posting,omitempty"`
	Telling bool `json:"telling,omitempty"`
	// Final says that the card shows the end (or cannot be edited any more),
	// Told that the person was told.
	Final bool `json:"final,omitempty"`
	Told  bool `json:"told,omitempty"`
}

// card is one open card in memory.
type card struct {
	op     string
	place  place
	state  cardState
	status orchestrator.OperationStatus
	// last is the operation's last event, shown what the card shows of it.
	last, shown int64
	shownStatus orchestrator.OperationStatus
	edited      time.Time
	// busy says that a call about it runs, in the conversation where; until the
	// call ends, the state is the call's alone. After a failure the card rests.
	busy   bool
	where  string
	resume time.Time
	fails  int
	// found says that what Posting and Telling left open has been looked up.
	found bool
}

// cards keeps every open card as it should be, with as few calls as possible:
// first cards, failures and ends go before mere progress.
type cards struct {
	slack *Slack
	pace  *pace
	wake  chan struct{}

	mu    sync.Mutex
	order []*card
	known map[string]*card
	calls int
	// away is until when Slack is left alone because it cannot be reached.
	away  time.Time
	fails int
}

func newCards(s *Slack) *cards {
	return &cards{slack: s, pace: newPace(s.Now), wake: make(chan struct{}, 1), known: map[string]*card{}}
}

// kick makes run look at once.
func (c *cards) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *cards) run(ctx context.Context) {
	changed, stop := c.slack.Reader.Watch()
	defer stop()
	for ctx.Err() == nil {
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			c.slack.Log.Error("reading the open cards", "error", err)
		}
		wait := c.start(ctx)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-c.slack.After(wait):
		case <-changed:
			// Many changes are one look.
			select {
			case <-ctx.Done():
			case <-c.wake:
			case <-c.slack.After(lookEvery):
			}
		}
	}
	c.drain()
}

// drain waits for the calls that run; they end with the context.
func (c *cards) drain() {
	for {
		c.mu.Lock()
		n := c.calls
		c.mu.Unlock()
		if n == 0 {
			return
		}
		<-c.wake
	}
}

// refresh brings the cards in memory up to the rows.
func (c *cards) refresh(ctx context.Context) error {
	open, err := c.slack.Cards.OpenCards(ctx, Door)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	order := make([]*card, 0, len(open))
	for _, row := range open {
		k := c.known[row.OperationID]
		if k == nil {
			k = &card{op: row.OperationID}
			if err := errors.Join(json.Unmarshal(row.Place, &k.place), json.Unmarshal(row.State, &k.state)); err != nil {
				c.slack.Log.Error("a card cannot be read", "operation", row.OperationID, "error", err)
				continue
			}
			c.known[row.OperationID] = k
		}
		k.status, k.last = row.Status, row.LastEvent
		order = append(order, k)
	}
	for _, k := range c.order {
		if !k.busy && k.state.Final && k.state.Told {
			delete(c.known, k.op)
		}
	}
	c.order = order
	return nil
}

// The steps of a card, the most urgent first.
const (
	stepPost = iota // the first message
	stepTell        // the end, told to the person
	stepEnd         // the end, on the card
	stepMove        // progress
	steps
)

// start begins as many calls as may run now and answers how long to wait for
// the next. Two calls never go to one conversation at the same time, so that
// what happened first is told first.
func (c *cards) start(ctx context.Context) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.slack.Now()
	if now.Before(c.away) {
		return c.away.Sub(now)
	}
	wait := moveEvery
	busy := map[string]bool{}
	for _, k := range c.known {
		if k.busy {
			busy[k.where] = true
		}
	}
	urgent := false
	for step := range steps {
		for _, k := range c.order {
			due, in := k.due(step, now)
			if !due {
				if in > 0 {
					wait = min(wait, in)
				}
				continue
			}
			if step == stepMove && urgent {
				continue // edits are scarce: the ends first
			}
			if c.calls >= callsAtOnce || busy[k.channel()] {
				urgent = urgent || step == stepEnd
				continue // the call that ends wakes this loop
			}
			if in := c.leave(step, k); in > 0 {
				urgent = urgent || step == stepEnd
				wait = min(wait, in)
				continue
			}
			k.busy, k.where = true, k.channel()
			busy[k.where] = true
			c.calls++
			go c.call(ctx, k, step)
		}
	}
	return wait
}

// channel is the conversation that a card belongs to.
func (k *card) channel() string {
	if k.state.Channel != "" {
		return k.state.Channel
	}
	if k.place.Channel != "" {
		return k.place.Channel
	}
	return k.place.User
}

// due says whether a step has to be taken now, else in how long (0: unknown).
func (k *card) due(step int, now time.Time) (bool, time.Duration) {
	if k.busy {
		return false, 0
	}
	if now.Before(k.resume) {
		return false, k.resume.Sub(now)
	}
	posted, ended := k.state.TS != "" || k.state.Final, k.status.Ended()
	switch step {
	case stepPost:
		return !posted, 0
	case stepTell:
		return posted && ended && !k.state.Told, 0
	case stepEnd:
		return posted && ended && !k.state.Final, 0
	}
	if !posted || ended || k.state.Final {
		return false, 0
	}
	next := k.edited.Add(moveEvery)
	if k.last != k.shown || k.status != k.shownStatus {
		next = k.edited.Add(editEvery)
	}
	return !now.Before(next), next.Sub(now)
}

// leave asks the pace for leave to take a step.
func (c *cards) leave(step int, k *card) time.Duration {
	switch step {
	case stepPost, stepTell:
		return c.pace.take(methodPost, k.channel(), 0)
	case stepEnd:
		return c.pace.take(methodUpdate, "", 0)
	}
	return c.pace.take(methodUpdate, "", spare)
}

// call takes one step of a card and notes how that went.
func (c *cards) call(ctx context.Context, k *card, step int) {
	err := c.step(ctx, k, step)
	c.mu.Lock()
	defer c.kick()
	defer c.mu.Unlock()
	c.calls--
	k.busy = false
	now := c.slack.Now()
	switch {
	case err == nil:
		k.fails, c.fails = 0, 0
	case ctx.Err() != nil:
	case c.slack.limited(methodOf(step), err):
	case refused(err):
		// Only this card has trouble; it rests, and is not given up.
		k.fails++
		k.resume = now.Add(backoff(k.fails))
		c.slack.trouble("showing an operation", err)
	default:
		c.fails++
		c.away = now.Add(backoff(c.fails))
		c.slack.Log.Warn("Slack cannot be reached; cards wait", "again in", c.away.Sub(now), "error", err)
	}
}

func methodOf(step int) method {
	if step == stepPost || step == stepTell {
		return methodPost
	}
	return methodUpdate
}

// backoff doubles from half a second to half a minute.
func backoff(n int) time.Duration { return min(500*time.Millisecond<<min(n-1, 6), 30*time.Second) }

func (c *cards) step(ctx context.Context, k *card, step int) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	op, err := c.slack.Reader.Operation(ctx, k.op)
	if err != nil {
		return err
	}
	e, err := c.slack.Reader.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return err
	}
	switch step {
	case stepPost:
		return c.post(ctx, k, op, e)
	case stepTell:
		return c.tell(ctx, k, op, e)
	}
	return c.edit(ctx, k, op, e)
}

// show is the card as it should be now, and up to which event.
func (c *cards) show(ctx context.Context, op orchestrator.Operation, e orchestrator.Environment) (view.View, int64, error) {
	events, err := c.slack.Reader.Events(ctx, op.ID, 0)
	if err != nil {
		return view.View{}, 0, err
	}
	last := int64(0)
	if len(events) > 0 {
		last = events[len(events)-1].Seq
	}
	return view.CardView(op, e, events, c.slack.Now()), last, nil
}

// render writes a view about an operation; who asked for it is known by where
// they asked, whatever else is known of people.
func (c *cards) render(k *card, op orchestrator.Operation, v view.View) blocks.Message {
	return blocks.Render(v, blocks.Options{Person: func(name string) (string, bool) {
		if name == op.Actor {
			return k.place.User, true
		}
		return c.slack.people.idOf(name)
	}})
}

// save writes down what has been shown.
func (c *cards) save(ctx context.Context, k *card) error {
	state, err := json.Marshal(k.state)
	if err != nil {
		return err
	}
	return c.slack.Cards.SaveCard(context.WithoutCancel(ctx), k.op, state, k.state.Final && k.state.Told)
}

// shows notes what the card shows now.
func (c *cards) shows(k *card, op orchestrator.Operation, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.shown, k.shownStatus, k.edited = last, op.Status, c.slack.Now()
	k.state.Final = k.state.Final || op.Status.Ended()
}

// post posts the card. Where Berth may not write, the card goes to the
// person's own conversation, and they are told how to invite it.
func (c *cards) post(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) error {
	if k.state.Posting && !k.found {
		channel, ts, err := c.find(ctx, k, metaCard, op)
		if err != nil {
			return err
		}
		k.found = true
		if ts != "" {
			k.state.Channel, k.state.TS = channel, ts
			return c.save(ctx, k)
		}
	}
	v, last, err := c.show(ctx, op, e)
	if err != nil {
		return err
	}
	k.state.Posting = true
	if err := c.save(ctx, k); err != nil {
		return err
	}
	m := options(c.render(k, op, v), slackgo.MsgOptionMetadata(meta(metaCard, op)))
	channel, thread := k.place.Channel, k.place.Thread
	if k.state.Direct || channel == "" {
		if channel, err = c.slack.direct(ctx, k.place.User); err != nil {
			return err
		}
		thread = ""
	}
	m = append(m, inThread(thread)...)
	_, ts, err := c.slack.api.PostMessageContext(ctx, channel, m...)
	if cannotPost(err) && !k.state.Direct {
		k.state.Direct = true
		if err := c.save(ctx, k); err != nil {
			return err
		}
		c.invite(ctx, k)
		return c.post(ctx, k, op, e)
	}
	if err != nil {
		return err
	}
	k.state.Channel, k.state.TS = channel, ts
	c.shows(k, op, last)
	return c.save(ctx, k)
}

// invite says why the card is not where it was asked for. It is a courtesy:
// when it cannot be said, the card itself is there all the same.
func (c *cards) invite(ctx context.Context, k *card) {
	text := "I cannot write in this conversation, so the progress is in your own conversation with me. To see it here, invite me: /invite @berth"
	p := k.place
	if p.ResponseURL == "" || c.slack.Now().Sub(p.At) > responseURLLives {
		return
	}
	m := c.slack.render(view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}})
	err := slackgo.PostWebhookCustomHTTPContext(ctx, p.ResponseURL, c.slack.HTTP, &slackgo.WebhookMessage{Text: m.Text,
		Blocks: &slackgo.Blocks{BlockSet: m.Blocks}, ResponseType: slackgo.ResponseTypeEphemeral})
	if err != nil {
		c.slack.Log.Warn("a person was not told where the card is", "error", err)
	}
}

// edit brings the card up to date. One that somebody has removed is let go:
// its end is still told.
func (c *cards) edit(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) error {
	v, last, err := c.show(ctx, op, e)
	if err != nil {
		return err
	}
	_, _, _, err = c.slack.api.UpdateMessageContext(ctx, k.state.Channel, k.state.TS, options(c.render(k, op, v))...)
	switch errorCode(err) {
	case "message_not_found", "cant_update_message", "channel_not_found", "is_archived", "edit_window_closed", "is_inactive":
		c.slack.Log.Warn("a card cannot be edited any more", "operation", op.ID, "error", err)
		k.state.Final = true
		return c.save(ctx, k)
	}
	if err != nil {
		return err
	}
	c.shows(k, op, last)
	if !op.Status.Ended() {
		return nil // progress is not worth a write
	}
	return c.save(ctx, k)
}

// tell tells the end below the card to the person who asked; a failure goes to
// the conversation too.
func (c *cards) tell(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) error {
	if k.state.Telling && !k.found {
		_, ts, err := c.find(ctx, k, metaEnd, op)
		if err != nil {
			return err
		}
		k.found = true
		if ts != "" {
			k.state.Told = true
			return c.save(ctx, k)
		}
	}
	k.state.Telling = true
	if err := c.save(ctx, k); err != nil {
		return err
	}
	thread := k.place.Thread
	if thread == "" || k.state.Direct {
		thread = k.state.TS
	}
	m := options(c.render(k, op, view.EndView(op, e)), slackgo.MsgOptionMetadata(meta(metaEnd, op)))
	m = append(m, inThread(thread)...)
	if thread != "" && op.Status == orchestrator.OperationFailed {
		m = append(m, slackgo.MsgOptionBroadcast())
	}
	channel := k.state.Channel
	_, _, err := c.slack.api.PostMessageContext(ctx, channel, m...)
	if cannotPost(err) && !k.state.Direct {
		// The conversation is closed to Berth by now: the person still has one.
		if channel, err = c.slack.direct(ctx, k.place.User); err == nil {
			_, _, err = c.slack.api.PostMessageContext(ctx, channel, options(c.render(k, op, view.EndView(op, e)))...)
		}
	}
	if err != nil {
		return err
	}
	k.state.Told = true
	return c.save(ctx, k)
}

func meta(kind string, op orchestrator.Operation) slackgo.SlackMetadata {
	return slackgo.SlackMetadata{EventType: kind, EventPayload: map[string]any{"operation": op.ID}}
}

// find looks for a message that was posted just before Berth was killed. When
// Slack does not let Berth look, it is posted again: twice beats never.
func (c *cards) find(ctx context.Context, k *card, kind string, op orchestrator.Operation) (channel, ts string, err error) {
	channel = k.state.Channel
	if channel == "" {
		channel = k.place.Channel
	}
	if k.state.Direct || channel == "" {
		if channel, err = c.slack.direct(ctx, k.place.User); err != nil {
			return "", "", err
		}
	}
	thread := k.place.Thread
	if kind == metaEnd && (thread == "" || k.state.Direct) {
		thread = k.state.TS
	}
	oldest := slackTime(op.CreatedAt.Add(-time.Minute))
	var messages []slackgo.Message
	if thread != "" {
		messages, _, _, err = c.slack.api.GetConversationRepliesContext(ctx, &slackgo.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread,
			Oldest: oldest, Limit: 200, IncludeAllMetadata: true})
	} else {
		var r *slackgo.GetConversationHistoryResponse
		r, err = c.slack.api.GetConversationHistoryContext(ctx, &slackgo.GetConversationHistoryParameters{ChannelID: channel, Oldest: oldest, Limit: 200, IncludeAllMetadata: true})
		if err == nil {
			messages = r.Messages
		}
	}
	if err != nil {
		if refused(err) {
			c.slack.trouble("looking for a message that may have been posted", err)
			return "", "", nil
		}
		return "", "", err
	}
	for _, m := range messages {
		if m.Metadata.EventType == kind && m.Metadata.EventPayload["operation"] == op.ID {
			return channel, m.Timestamp, nil
		}
	}
	return "", "", nil
}
