package slack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// obeyed checks that no method was called before the time that a 429 named.
// Calls that were on their way when the first 429 of a storm came are none of
// that: they are given a moment, in the machine's time. A door that does not
// obey goes on calling and is found all the same.
func (o *office) obeyed() {
	o.t.Helper()
	moment := 100 * time.Millisecond * time.Duration(max(o.speed, 1))
	type closing struct{ first, until time.Time }
	closed := map[string]closing{}
	for _, e := range o.fake.Transcript() {
		if e.Kind != "call" {
			continue
		}
		c := closed[e.Method]
		if e.At.After(c.first.Add(moment)) && e.At.Before(c.until.Add(-20*time.Millisecond)) {
			o.t.Errorf("%s was called %s too early", e.Method, c.until.Sub(e.At))
		}
		if e.Status == http.StatusTooManyRequests {
			if !e.At.Before(c.until) {
				c.first = e.At
			}
			c.until = e.At.Add(e.RetryIn)
			closed[e.Method] = c
		}
	}
	if len(closed) == 0 {
		o.t.Error("there was no storm")
	}
}

// worked waits until every delivery has been worked through.
func (o *office) worked() {
	o.t.Helper()
	o.await("all deliveries to be worked through", func() bool { return len(must(o.store.WaitingDeliveries(o.t.Context()))) == 0 })
}

// wire answers calls in Slack's place: nil lets them through.
type wire func(method string, body []byte) *http.Response

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if res := w(path.Base(r.URL.Path), body); res != nil {
		res.Request = r
		return res, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// says is an answer of Slack's.
func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// What Slack does not take as it looks is said in plain text.
func TestPlainText(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 5, seams: seams{transport: wire(func(method string, body []byte) *http.Response {
		switch {
		case strings.HasPrefix(method, "chat.") && bytes.Contains(body, []byte("blocks=%5B%7B")):
			return says(200, `{"ok":false,"error":"invalid_blocks"}`)
		case !strings.Contains(method, ".") && bytes.Contains(body, []byte(`"blocks":[`)): // a response URL
			return says(400, `{"ok":false,"error":"invalid_blocks"}`)
		}
		return nil
	})}})
	mustSay(t, o.answered(o.types(maria, dev, "/env create qa web=nothing")), "nothing")
	o.types(maria, dev, "/env create qa")
	o.card(dev, "qa")
	o.ends("qa")
	o.until("the end", func() bool { m := o.cardsOf(dev); return len(m) == 1 && shows(m[0], "ready") })
	o.until("the end told", func() bool {
		thread := o.fake.Thread(dev, o.cardsOf(dev)[0].TS)
		return len(thread) == 2 && shows(thread[1], "ready")
	})
	o.worked()
}

// Whoever can be reached nowhere does not keep Berth busy for ever.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.check = make(chan struct{})
	o.types(maria, ops, "/env create qa")
	o.await("the check", func() bool { return len(o.fake.Calls("users.info")) == 1 })
	gone := people()[0]
	gone.Deleted = true
	if err := o.fake.AddUser(gone); err != nil {
		t.Fatal(err)
	}
	close(o.check)
	o.ends("qa")
	o.worked()
	o.await("the card to be given up", func() bool {
		cards := must(o.store.OpenCards(t.Context(), slack.Door))
		return len(cards) == 0 && len(must(o.store.Environments(t.Context(), ""))) == 1
	})
	if !strings.Contains(o.log.String(), "can be shown to nobody") {
		t.Errorf("log:\n%s", o.log)
	}
}

// A conversation that closes in the midst of an operation: its end goes to the
// person's own.
func TestClosedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		channel string
		close   func(o *office) error
	}{
		"archived":     {dev, func(o *office) error { return o.fake.Archive(dev) }},
		"removed":      {"C0TEAM", func(o *office) error { return o.fake.Leave("C0TEAM", o.fake.BotUserID()) }},
		"card deleted": {dev, func(o *office) error { return o.fake.User(o.fake.BotUserID()).Delete(o.cardsOf(dev)[0]) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 5, fake: slackfake.Options{Channels: []slackfake.Channel{{ID: "C0TEAM", Name: "team", Private: true, Members: []string{maria, slackfake.BotUser}}}}})
			o.types(maria, test.channel, "/env create qa")
			o.card(test.channel, "Making qa")
			if err := test.close(o); err != nil {
				t.Fatal(err)
			}
			o.fails("qa", "qa/web does not build.")
			where := func() []slackfake.Message {
				if name == "card deleted" {
					return o.fake.Messages(dev)
				}
				return o.fake.DM(maria)
			}
			count := func() (n int) {
				for _, m := range where() {
					if !m.Deleted && shows(m, "does not build") {
						n++
					}
				}
				return n
			}
			o.until("the end told", func() bool { return count() > 0 })
			o.await("the card to be closed", func() bool { return len(must(o.store.OpenCards(t.Context(), slack.Door))) == 0 })
			if n := count(); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
}

// A call that Slack carries out although it says 429 is not made again: one
// card, one end, one answer. No 429 is ignored, whether it names a time or not.
func TestCarriedOutAnyway(t *testing.T) {
	t.Parallel()
	for _, omit := range []bool{false, true} {
		t.Run(map[bool]string{true: "without a time", false: "with a time"}[omit], func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 5})
			storm := func(calls int) {
				o.fake.SetStorm(slackfake.Storm{Methods: []string{"chat.postMessage"}, Calls: calls, RetryAfter: 2 * time.Second, DoAnyway: true, OmitHeader: omit})
			}
			storm(2)
			o.types(maria, dev, "/env create qa")
			o.card(dev, "Making qa")
			storm(2)
			o.ends("qa")
			o.once(dev, "qa is ready")
			storm(2)
			if _, err := o.fake.User(maria).Message(o.ctx(), o.fake.IM(maria), "env list", ""); err != nil {
				t.Fatal(err)
			}
			answers := func() (n int) {
				for _, m := range o.fake.DM(maria) {
					if shows(m, "1 environment") {
						n++
					}
				}
				return n
			}
			o.until("the answer", func() bool { return answers() > 0 })
			o.worked()
			if n := answers(); n != 1 {
				t.Errorf("%d answers", n)
			}
			if !omit { // a time that is not named cannot be obeyed to the second
				o.obeyed()
			}
		})
	}
}

// Storms on everything: each method is left alone for as long as Slack asks,
// and all gets done.
func TestStormOnAll(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 5})
	o.fake.SetStorm(slackfake.Storm{For: 4 * time.Second, RetryAfter: 2 * time.Second})
	for _, text := range []string{"/env create qa", "/env list", "/env show nothing"} {
		o.types(maria, dev, text)
	}
	o.types(tom, ops, "/env create qb")
	if _, err := o.fake.User(maria).OpenHome(o.ctx()); err != nil {
		t.Fatal(err)
	}
	o.card(dev, "Making qa")
	o.ends("qa")
	o.ends("qb")
	o.once(dev, "qa is ready")
	o.until("the other card", func() bool {
		for _, m := range o.fake.DM(tom) {
			if shows(m, "qb is ready") {
				return true
			}
		}
		return false
	})
	o.until("the home", func() bool { return o.fake.Home(maria) != nil })
	o.worked()
	o.obeyed()
}

// poisoned is a reader that one environment cannot be read from.
type poisoned struct {
	slack.Reader
	name string
}

func (p poisoned) EnvironmentByID(ctx context.Context, id string) (orchestrator.Environment, error) {
	e, err := p.Reader.EnvironmentByID(ctx, id)
	if err == nil && e.Name == p.name {
		err = errors.New("this row is damaged")
	}
	return e, err
}

// A card that cannot be shown keeps no other from being shown.
func TestPoisonedCard(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 10, seams: seams{reader: func(r slack.Reader) slack.Reader { return poisoned{r, "bad"} }}})
	o.types(maria, dev, "/env create bad")
	o.worked()
	o.await("trouble", func() bool { return strings.Contains(o.log.String(), "this row is damaged") })
	o.types(maria, dev, "/env create qa")
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
	if strings.Contains(o.log.String(), "cannot be reached") {
		t.Errorf("all cards were kept waiting:\n%s", o.log)
	}
}

// The answer of Slack's own trouble with one message is no reason to leave all
// others.
func TestInternalError(t *testing.T) {
	t.Parallel()
	for name, res := range map[string]string{"internal_error": `{"ok":false,"error":"internal_error"}`, "fatal_error": `{"ok":false,"error":"fatal_error"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left atomic.Int32
			left.Store(3)
			o := newOffice(t, settings{speed: 10, seams: seams{transport: wire(func(method string, body []byte) *http.Response {
				if method == "chat.postMessage" && bytes.Contains(body, []byte("bad")) && left.Add(-1) >= 0 {
					return says(200, res)
				}
				return nil
			})}})
			o.types(maria, ops, "/env create bad") // in the person's own conversation
			o.types(maria, dev, "/env create qa")
			o.card(dev, "Making qa")
			o.ends("qa")
			o.once(dev, "qa is ready")
			o.until("the card that Slack had trouble with", func() bool { return len(o.fake.DM(maria)) == 1 })
			if strings.Contains(o.log.String(), "cannot be reached") {
				t.Errorf("all cards were kept waiting:\n%s", o.log)
			}
		})
	}
}

// Slack's trouble in HTML, and answers that never come, are an outage: it is
// waited for.
func TestBadGateway(t *testing.T) {
	t.Parallel()
	var left atomic.Int32
	left.Store(6)
	o := newOffice(t, settings{speed: 10, seams: seams{transport: wire(func(method string, _ []byte) *http.Response {
		if strings.HasPrefix(method, "chat.") && left.Add(-1) >= 0 {
			return says(502, "<html><body>Bad gateway</body></html>")
		}
		return nil
	})}})
	o.types(maria, dev, "/env create qa")
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
}

// broken is a doer with a mistake.
type broken struct{ slack.Doer }

func (b broken) Do(ctx context.Context, a orchestrator.Actor, c orchestrator.Command) (orchestrator.Answer, error) {
	if c.Verb == orchestrator.VerbHistory {
		panic("a mistake")
	}
	return b.Doer.Do(ctx, a, c)
}

// A command that breaks Berth is dropped, not tried for ever, and the person is
// told, however it was given.
func TestMistake(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{seams: seams{doer: func(d slack.Doer) slack.Doer { return broken{d} }}})
	mustSay(t, o.answered(o.types(maria, dev, "/env history qa")), "mistake in Berth", "under the delivery slack")
	if _, err := o.fake.User(maria).Message(o.ctx(), o.fake.IM(maria), "env history qa", ""); err != nil {
		t.Fatal(err)
	}
	o.until("an answer", func() bool { m := o.fake.DM(maria); return len(m) == 2 && shows(m[1], "mistake in Berth") })
	o.worked()
	if !strings.Contains(o.log.String(), "broken") {
		t.Error("the log has no stack")
	}
}

// forgetful is an inbox that does not keep some kind at first.
type forgetful struct {
	slack.Inbox
	kind  string
	times *atomic.Int32
}

func (f forgetful) AcceptDelivery(ctx context.Context, d orchestrator.Delivery) (bool, error) {
	if d.Kind == f.kind && f.times.Add(-1) >= 0 {
		return false, errors.New("the disk is full")
	}
	return f.Inbox.AcceptDelivery(ctx, d)
}

// What could not be kept is not acknowledged, and a click that was not is no
// first click: the next one counts at once.
func TestNotKept(t *testing.T) {
	t.Parallel()
	var times atomic.Int32
	times.Store(1)
	o := newOffice(t, settings{http: true, seams: seams{inbox: func(i slack.Inbox) slack.Inbox { return forgetful{i, "interaction", &times} }}})
	m := o.answered(o.types(maria, dev, "/env create qa web=feature/logn"))
	button := m.Elements()[0].ActionID
	out, err := o.fake.User(maria).Click(o.ctx(), m, button)
	if err != nil || out.Failure == "" {
		t.Fatalf("a click that was not kept was acknowledged: %v", err)
	}
	o.clicks(maria, m, button)
	o.card(dev, "Making qa")
}

// A form opens once, however often its wish is delivered.
func TestFormOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.fake.DuplicateDeliveries(1)
	out := o.types(maria, dev, "/env create")
	if _, err := out.Modal(o.ctx()); err != nil {
		t.Fatal(err)
	}
	o.stop() // waits for whatever is done beside
	if n := len(o.fake.Calls("views.open")); n != 1 {
		t.Errorf("%d calls to open it", n)
	}
	if m := o.fake.Ephemerals(maria); len(m) != 0 {
		t.Errorf("answered as well: %s", m[0].Shown())
	}
}

// A person is asked about once, however many commands come at the same time.
func TestAskedOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{clock: true})
	o.fake.SetLatency(500 * time.Millisecond)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { o.types(maria, dev, "/env list") })
	}
	wg.Wait()
	o.runs(5)
	o.worked()
	if n := len(o.fake.Calls("users.info")); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := len(o.fake.Ephemerals(maria)); n != 8 {
		t.Errorf("%d answers", n)
	}
}

// The probe knows in both modes when the token is revoked, whatever the
// sockets do, and when it works again.
func TestRevokedLater(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		t.Run(map[bool]string{true: "HTTP", false: "Socket Mode"}[http], func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 10, http: http, clock: true})
			o.await("the probe to be content", func() bool { return o.door.Ready() == nil })
			o.fake.SetBotToken("token_revoked")
			o.types(maria, dev, "/env list")
			o.await("the probe to say so", func() bool { err := o.door.Ready(); return err != nil && strings.Contains(err.Error(), "revoked") })
			if !http {
				o.fake.Disconnect(slackfake.RefreshRequested)
				o.until("connections", func() bool { return o.fake.Connections() == 2 })
				if o.door.Ready() == nil {
					t.Error("content because of a socket")
				}
			}
			o.fake.SetBotToken("")
			o.await("the probe to be content again", func() bool { return o.door.Ready() == nil })
		})
	}
}

// The home of somebody whom Slack does not know any more is let go.
func TestHomeGone(t *testing.T) {
	t.Parallel()
	var refuse atomic.Bool
	var calls atomic.Int32
	o := newOffice(t, settings{speed: 10, seams: seams{transport: wire(func(method string, _ []byte) *http.Response {
		if method == "views.publish" {
			if calls.Add(1); refuse.Load() {
				return says(200, `{"ok":false,"error":"invalid_arguments"}`)
			}
		}
		return nil
	})}})
	if _, err := o.fake.User(maria).OpenHome(o.ctx()); err != nil {
		t.Fatal(err)
	}
	o.until("the home", func() bool { return o.fake.Home(maria) != nil })
	refuse.Store(true)
	for i, name := range []string{"qa", "qb"} {
		o.types(tom, dev, "/env create "+name)
		o.card(dev, "Making "+name)
		if i == 0 {
			o.await("the refusal", func() bool { return calls.Load() == 2 })
		}
	}
	o.ends("qa")
	o.ends("qb")
	o.card(dev, "qa is ready")
	o.card(dev, "qb is ready")
	o.stop()
	if n := calls.Load(); n != 2 {
		t.Errorf("published %d times", n)
	}
}
