package slack

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
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
	// restAll is how long all cards rest when only ops can mend what is wrong.
	restAll = 30 * time.Second
	// letGoAfter is how long after an operation's end Berth tries to show it.
	letGoAfter = 72 * time.Hour
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
	// TellDirect says that the conversation is closed to Berth by now: the end
	// goes to the person's own.
	TellDirect bool `json:"tell_direct,omitempty"`
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
	// sure says that what Posting and Telling leave open is known: nothing was
	// posted.
	sure bool
	// broken says that the row cannot be read.
	broken bool
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
	rows := make(map[string]bool, len(open))
	for _, row := range open {
		rows[row.OperationID] = true
		k := c.known[row.OperationID]
		if k == nil {
			k = &card{op: row.OperationID}
			if err := errors.Join(json.Unmarshal(row.Place, &k.place), json.Unmarshal(row.State, &k.state)); err != nil {
				c.slack.Log.Error("a card cannot be read; it stays as it is", "operation", row.OperationID, "error", err)
				k.broken = true
			}
			c.known[row.OperationID] = k
		}
		if k.broken {
			continue
		}
		k.status, k.last = row.Status, row.LastEvent
		order = append(order, k)
	}
	maps.DeleteFunc(c.known, func(op string, k *card) bool { return !rows[op] && !k.busy })
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

// aside is what went wrong with something that a step needs, and not with the
// step's own call to Slack.
type aside struct{ error }

func (a aside) Unwrap() error { return a.error }

// call takes one step of a card and notes how that went.
func (c *cards) call(ctx context.Context, k *card, step int) {
	err := c.step(ctx, k, step)
	if elsewhere(err) {
		// There is nowhere left: an account that is gone, a conversation that is
		// closed and a person that cannot be written to.
		err = c.letGo(ctx, k, step, err)
	}
	c.mu.Lock()
	defer c.kick()
	defer c.mu.Unlock()
	c.calls--
	k.busy = false
	now := c.slack.Now()
	var reach *url.Error
	var status slackgo.StatusCodeError
	var beside aside
	wait, limited := retryAfter(err)
	switch _, ours := fatal[errorCode(err)]; {
	case err == nil:
		k.fails, c.fails = 0, 0
	case ctx.Err() != nil:
	case limited && errors.As(err, &beside):
		k.resume = now.Add(wait)
	case limited:
		c.slack.limited(methodOf(step), err)
	case ours && errorCode(err) != "missing_scope":
		c.away = now.Add(restAll)
		c.slack.trouble("showing an operation", err)
	case errors.As(err, &reach), errors.As(err, &status), errors.Is(err, context.DeadlineExceeded):
		c.fails++
		c.away = now.Add(backoff(c.fails))
		c.slack.Log.Warn("Slack cannot be reached; cards wait", "again in", c.away.Sub(now), "error", err)
	default:
		// Only this card has trouble; it rests.
		k.fails++
		k.resume = now.Add(backoff(k.fails))
		c.slack.trouble("showing an operation", err)
	}
}

// letGo gives a step up for good.
func (c *cards) letGo(ctx context.Context, k *card, step int, why error) error {
	c.slack.Log.Error("an operation can be shown to nobody", "operation", k.op, "person", k.place.User, "error", why)
	k.state.Told = true
	if step != stepTell {
		k.state.Final = true
	}
	return c.save(ctx, k)
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
		return aside{err}
	}
	e, err := c.slack.Reader.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return aside{err}
	}
	switch step {
	case stepPost:
		err = c.post(ctx, k, op, e)
	case stepTell:
		err = c.tell(ctx, k, op, e)
	default:
		err = c.edit(ctx, k, op, e)
	}
	if refused(err) && op.EndedAt != nil && c.slack.Now().Sub(*op.EndedAt) > letGoAfter {
		return c.letGo(ctx, k, step, err)
	}
	return err
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

// render writes a view about an operation; whom it is for is known by where it
// is shown, whatever else is known of people.
func (c *cards) render(k *card, op orchestrator.Operation, e orchestrator.Environment, v view.View) blocks.Message {
	o := c.slack.options()
	o.Person = func(name string) (string, bool) {
		if name == view.ForWhom(op, e) {
			return k.place.User, true
		}
		return c.slack.people.idOf(name)
	}
	return blocks.Render(v, o)
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

// send posts a message about an operation, once. Unless Slack refuses it or
// takes it, whether it was posted has to be looked up.
func (c *cards) send(ctx context.Context, k *card, channel string, m blocks.Message, more ...slackgo.MsgOption) (ts string, err error) {
	k.sure = false
	_, ts, err = c.slack.api.PostMessageContext(ctx, channel, options(m, more...)...)
	if unshowable(err) {
		c.slack.Log.Error("Slack does not take a message as it looks; its text alone is sent", "operation", k.op, "error", err)
		_, ts, err = c.slack.api.PostMessageContext(ctx, channel, options(plain(m), more...)...)
	}
	k.sure = refused(err)
	return ts, err
}

// direct gives the conversation of who asked with Berth.
func (c *cards) direct(ctx context.Context, k *card) (string, error) {
	channel, err := c.slack.direct(ctx, k.place.User)
	if err != nil {
		err = aside{err}
	}
	return channel, err
}

// spoken is a message about an operation that is posted once.
type spoken struct {
	kind            string // of metadata, by which it is found again
	channel, thread string
	message         blocks.Message
	broadcast       bool
	// begun is the note in the card's state that it was about to be posted.
	begun *bool
}

// once posts a message about an operation, unless it was posted before the
// process was killed or Slack's answer lost: then before is true.
func (c *cards) once(ctx context.Context, k *card, op orchestrator.Operation, m spoken) (ts string, before bool, err error) {
	if *m.begun && !k.sure {
		ts, err := c.slack.find(ctx, m.channel, m.thread, m.kind, "operation", op.ID, op.CreatedAt.Add(-time.Minute))
		if err != nil {
			return "", false, aside{err}
		}
		if k.sure = true; ts != "" {
			return ts, true, nil
		}
	}
	if !*m.begun {
		*m.begun = true
		if err := c.save(ctx, k); err != nil {
			return "", false, err
		}
	}
	more := append(inThread(m.thread), slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: m.kind, EventPayload: map[string]any{"operation": op.ID}}))
	if m.broadcast {
		more = append(more, slackgo.MsgOptionBroadcast())
	}
	ts, err = c.send(ctx, k, m.channel, m.message, more...)
	return ts, false, err
}

// post posts the card. Where Berth may not write, the card goes to the
// person's own conversation, and they are told how to invite it.
func (c *cards) post(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) (err error) {
	channel, thread := k.place.Channel, k.place.Thread
	if k.state.Direct || channel == "" {
		if channel, err = c.direct(ctx, k); err != nil {
			return err
		}
		thread = ""
	}
	v, last, err := c.show(ctx, op, e)
	if err != nil {
		return aside{err}
	}
	ts, before, err := c.once(ctx, k, op, spoken{kind: metaCard, channel: channel, thread: thread, message: c.render(k, op, e, v), begun: &k.state.Posting})
	if elsewhere(err) && !k.state.Direct {
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
	if !before { // else it shows what was so then
		c.shows(k, op, last)
	}
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
	if err := c.slack.respondTo(ctx, p.ResponseURL, m, false); err != nil {
		c.slack.Log.Warn("a person was not told where the card is", "error", err)
	}
}

// edit brings the card up to date. One that somebody has removed is let go:
// its end is still told.
func (c *cards) edit(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) error {
	v, last, err := c.show(ctx, op, e)
	if err != nil {
		return aside{err}
	}
	m := c.render(k, op, e, v)
	_, _, _, err = c.slack.api.UpdateMessageContext(ctx, k.state.Channel, k.state.TS, options(m)...)
	if unshowable(err) {
		c.slack.Log.Error("Slack does not take a card as it looks; its text alone is sent", "operation", op.ID, "error", err)
		_, _, _, err = c.slack.api.UpdateMessageContext(ctx, k.state.Channel, k.state.TS, options(plain(m))...)
	}
	if elsewhere(err) {
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
func (c *cards) tell(ctx context.Context, k *card, op orchestrator.Operation, e orchestrator.Environment) (err error) {
	channel, thread := k.state.Channel, k.place.Thread
	if thread == "" || k.state.Direct {
		thread = k.state.TS
	}
	if k.state.TellDirect || channel == "" {
		if channel, err = c.direct(ctx, k); err != nil {
			return err
		}
		thread = ""
	}
	_, _, err = c.once(ctx, k, op, spoken{kind: metaEnd, channel: channel, thread: thread, message: c.render(k, op, e, view.EndView(op, e)),
		broadcast: thread != "" && op.Status == orchestrator.OperationFailed, begun: &k.state.Telling})
	if elsewhere(err) && !k.state.TellDirect {
		// The conversation is closed to Berth by now: the person still has one.
		k.state.TellDirect = true
		if err := c.save(ctx, k); err != nil {
			return err
		}
		return c.tell(ctx, k, op, e)
	}
	if err != nil {
		return err
	}
	k.state.Told = true
	return c.save(ctx, k)
}
