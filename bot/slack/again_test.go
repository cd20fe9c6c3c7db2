package slack_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// interrupted is a doer whose changes of one kind are done, but answer once that
// they took too long.
type interrupted struct {
	slack.Doer
	verb  orchestrator.Verb
	times *atomic.Int32
}

func (i interrupted) Do(ctx context.Context, a orchestrator.Actor, c orchestrator.Command) (orchestrator.Answer, error) {
	answer, err := i.Doer.Do(ctx, a, c)
	if c.Verb == i.verb && err == nil && i.times.Add(-1) == 0 {
		return orchestrator.Answer{}, context.DeadlineExceeded
	}
	return answer, err
}

// What a click or a form has started itself is no news that keeps it from being
// done, however often it is worked through.
func TestOwnDoing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		verb orchestrator.Verb
		run  func(o *office) (environmentID string)
	}{
		"retry": {orchestrator.VerbRetry, func(o *office) string {
			o.types(maria, dev, "/env create qa")
			o.card(dev, "Making qa")
			o.fails("qa", "it does not build.")
			o.clicks(maria, o.card(dev, "qa: failed"), "Retry")
			o.card(dev, "Trying again on qa")
			o.worked()
			o.ends("qa")
			o.card(dev, "qa is ready")
			return must(o.store.Environment(t.Context(), "qa")).ID
		}},
		"destroy": {orchestrator.VerbDestroy, func(o *office) string {
			o.ready(maria, dev, "/env create qa", "qa")
			id := must(o.store.Environment(t.Context(), "qa")).ID
			ask := o.answered(o.types(maria, dev, "/env destroy qa"))
			o.ends("qa") // gone before it is worked through again
			o.clicks(maria, ask, "Destroy")
			o.card(dev, "qa is gone")
			o.worked()
			o.until("what the person sees", func() bool {
				all := o.fake.Ephemerals(maria)
				return len(all) == 1 && shows(all[0], "Berth is on it")
			})
			return id
		}},
		"form": {orchestrator.VerbDeploy, func(o *office) string {
			v, err := o.clicks(maria, o.ready(maria, dev, "/env create qa", "qa"), "Deploy…").Modal(o.ctx())
			if err != nil {
				o.t.Fatal(err)
			}
			o.submits(maria, v, slackfake.Values{"app:web": "hotfix/1.2.3"})
			o.card(dev, "Deploying to qa", "web=hotfix/1.2.3")
			o.until("the form's end", func() bool {
				m := o.fake.Modal(maria)
				return m != nil && m.Title != "Checking…" && m.Title != v.Title
			})
			if m := o.fake.Modal(maria); !strings.Contains(m.Title, "On its way") {
				o.t.Errorf("the form says %q", m.Title)
			}
			o.ends("qa")
			o.card(dev, "qa is deployed and ready")
			return must(o.store.Environment(t.Context(), "qa")).ID
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var times atomic.Int32
			times.Store(1)
			o := newOffice(t, settings{speed: 4, seams: seams{doer: func(d slack.Doer) slack.Doer { return interrupted{d, test.verb, &times} }}})
			id := test.run(o)
			o.worked()
			if times.Load() >= 0 {
				t.Error("it was worked through once only")
			}
			for _, m := range o.fake.Ephemerals(maria) {
				if shows(m, "has happened") || shows(m, "has been destroyed since") {
					t.Errorf("answered with its own doing: %s", m.Shown())
				}
			}
			if ops := must(o.store.Operations(t.Context(), id)); len(ops) != 2 {
				t.Errorf("%d operations", len(ops))
			}
		})
	}
}

// With a token that is revoked nobody is told that they are unknown: what they
// asked for waits for ops for a while, then they are told the truth. Whom the
// catalog lists by Slack ID is known all the same.
func TestRevokedUnknown(t *testing.T) {
	t.Parallel()
	const olga = "U0OLGA"
	o := newOffice(t, settings{clock: true, fake: slackfake.Options{Users: []slackfake.User{{ID: olga, Name: "olga"}},
		Channels: []slackfake.Channel{{ID: "C0BOSS", Name: "boss", Members: []string{olga, slackfake.BotUser}}}}})
	o.fake.SetBotToken("token_revoked")
	mustSay(t, o.answered(o.types(olga, "C0BOSS", "/env list")), "no environments")
	out := o.types(tom, dev, "/env list")
	o.await("a try", func() bool { return strings.Contains(o.log.String(), "has to be tried again") })
	if err := o.door.Ready(); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("the probe says %v", err)
	}
	o.fake.SetBotToken("")
	mustSay(t, o.answered(out), "no environments")

	o.worked() // what is left over would have the next Berth ask who tom is
	o.stop()
	o.start(false) // nobody is known any more
	o.fake.SetBotToken("token_revoked")
	out = o.types(tom, dev, "/env list")
	o.clock.Advance(21 * time.Second)
	mustSay(t, o.answered(out), "Slack refuses Berth", "the token was revoked", "ops")
	o.worked()
	for _, m := range o.fake.Ephemerals(tom) {
		if shows(m, "no e-mail") {
			t.Errorf("tom is told %s", m.Shown())
		}
	}
}

// Only an address that Slack has no account for is nobody's, and that is
// remembered; a token that is revoked says nothing of anybody.
func TestWarnNobody(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true})
	e := orchestrator.Environment{ID: "e1", Name: "qa", Owner: "tom@example.com", ExpiresAt: now().Add(time.Hour)}
	for _, problem := range []string{"token_revoked", "invalid_auth", "account_inactive"} {
		o.fake.SetBotToken(problem)
		if told, err := o.door.Warn(t.Context(), e, time.Hour, e.ExpiresAt); told || err == nil {
			t.Errorf("%s: told %v, %v: a warning that was not given would count", problem, told, err)
		}
	}
	o.fake.SetBotToken("")
	o.fake.SetScopes("chat:write", "users:read", "im:write", "im:history")
	if told, err := o.door.Warn(t.Context(), e, time.Hour, e.ExpiresAt); told || err == nil {
		t.Errorf("without a scope: told %v, %v", told, err)
	}
	o.fake.SetScopes(slackfake.DefaultScopes...)
	if told, err := o.door.Warn(t.Context(), e, time.Hour, e.ExpiresAt); !told || err != nil {
		t.Errorf("told %v, %v", told, err)
	}
	e.Owner = "nobody@example.com"
	before := len(o.fake.Calls("users.lookupByEmail"))
	for range 3 {
		if told, err := o.door.Warn(t.Context(), e, time.Hour, e.ExpiresAt); told || err != nil {
			t.Errorf("nobody: told %v, %v", told, err)
		}
	}
	if n := len(o.fake.Calls("users.lookupByEmail")) - before; n != 1 {
		t.Errorf("Slack was asked %d times for nobody", n)
	}
}

// deaf lets calls of a method through and loses the first answers.
type deaf struct {
	method string
	times  atomic.Int32
}

func (d *deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, d.method) && d.times.Add(-1) >= 0 {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return nil, errors.New("the connection was reset")
	}
	return res, err
}

// A warning is given once, although its answer is lost, although the end that
// it names moves while it is tried again, and although Berth is started anew.
func TestWarnedOnce(t *testing.T) {
	t.Parallel()
	d := &deaf{method: "chat.postMessage"}
	d.times.Store(1)
	o := newOffice(t, settings{http: true, seams: seams{transport: d}})
	e := orchestrator.Environment{ID: "e1", Name: "qa", Owner: "maria", ExpiresAt: now().Add(-time.Hour)}
	if told, err := o.door.Warn(t.Context(), e, time.Hour, now().Add(30*time.Minute)); told || err == nil {
		t.Fatalf("told %v, %v", told, err)
	}
	for range 2 {
		if told, err := o.door.Warn(t.Context(), e, time.Hour, now().Add(31*time.Minute)); !told || err != nil {
			t.Errorf("told %v, %v", told, err)
		}
		o.stop()
		o.start(true)
	}
	if n := len(o.fake.DM(maria)); n != 1 {
		t.Errorf("%d warnings", n)
	}
	if told, err := o.door.Warn(t.Context(), e, 30*time.Minute, now().Add(time.Minute)); !told || err != nil || len(o.fake.DM(maria)) != 2 {
		t.Errorf("the next warning: told %v, %v, %d in all", told, err, len(o.fake.DM(maria)))
	}
}

// What lay in the database for too long is not done, and the person told.
func TestTooLate(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true})
	o.ready(maria, dev, "/env create qa", "qa")
	qa := must(o.store.Environment(t.Context(), "qa"))
	o.until("the end told", func() bool { return o.told(dev) == 1 })
	o.worked()
	inbox := o.store
	inbox.SetEnqueueDelivery(nil) // it arrives, and Berth is killed
	arrives := func(kind, key string, age time.Duration, payload any) {
		t.Helper()
		body := must(json.Marshal(payload))
		if _, err := inbox.AcceptDelivery(t.Context(), orchestrator.Delivery{Key: "slack:" + kind + ":" + key, Door: slack.Door, Kind: kind, Body: body, ReceivedAt: now().Add(-age)}); err != nil {
			t.Fatal(err)
		}
	}
	message := func(kind, key, text string, age time.Duration) {
		arrives("event", key, age, object{"type": "event_callback", "event_id": key, "event": object{"type": kind, "user": maria, "text": text, "channel": dev, "ts": "1.2"}})
	}
	arrives("command", "1", 31*time.Minute, slackgo.SlashCommand{Command: "/env", Text: "deploy qa web=feature/login", UserID: maria, ChannelID: dev})
	arrives("interaction", "2", 60*time.Hour, object{"type": "block_actions", "user": object{"id": maria}, "channel": object{"id": dev},
		"container": object{"message_ts": "1.2"}, "actions": []object{{"type": "button", "action_id": "berth:0", "block_id": "b",
			"value": string(must(json.Marshal(object{"c": "env destroy qa", "e": qa.ID, "o": qa.Operation.ID})))}}})
	message("app_mention", "3", "<@"+o.fake.BotUserID()+"> env destroy qa", 60*time.Hour)
	arrives("event", "4", 60*time.Hour, object{"type": "event_callback", "event_id": "4", "event": object{"type": "app_home_opened", "user": maria, "tab": "home"}})
	message("app_mention", "5", "<@"+o.fake.BotUserID()+"> env create young", 29*time.Minute)
	o.stop()
	o.start(true)
	o.card(dev, "Making young")
	o.ends("young")
	o.worked()
	old := 0
	for _, m := range o.fake.Ephemerals(maria) {
		if shows(m, "too long ago", "ask again") {
			old++
		}
	}
	if old != 3 {
		t.Errorf("told %d times that it is too late: %v", old, o.fake.Ephemerals(maria))
	}
	if e := must(o.store.Environment(t.Context(), "qa")); e.Status != orchestrator.StatusReady || e.Operation.ID != qa.Operation.ID {
		t.Errorf("%s, %+v", e.Status, e.Operation)
	}
	if n := len(o.fake.DM(maria)); n != 0 {
		t.Errorf("%d messages about what nobody asked", n)
	}
}

// Killed when an answer that others see was posted, before that was noted:
// it is not posted again.
func TestKilledAnswering(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{stopped: true, speed: 4})
	o.clock.Advance(-30 * time.Second) // clocks may be set back in between
	stopped, kill := o.startVictim(victim{Points: []string{"after chat.postMessage#1"}})
	if _, err := o.fake.User(maria).Message(o.ctx(), o.fake.IM(maria), "env list", ""); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped:
	case <-o.ctx().Done():
		t.Fatal("the victim answers nothing")
	}
	kill()
	o.start(false)
	o.worked()
	answers := 0
	for _, m := range o.fake.DM(maria) {
		if shows(m, "no environments") {
			answers++
		}
	}
	if answers != 1 {
		t.Errorf("%d answers", answers)
	}
}
