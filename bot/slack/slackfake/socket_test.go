package slackfake_test

import (
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

func TestCommandOverSocket(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	commands := make(chan slack.SlashCommand, 10)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any {
		cmd, ok := e.Data.(slack.SlashCommand)
		if !ok {
			t.Errorf("got %T", e.Data)
			return nil
		}
		commands <- cmd
		return map[string]any{"text": "Working on it"}
	})
	o, err := fake.User(maria).Command(ctxOf(t), dev, "/env", `create qa web=<b> see api.example.com @jonas #dev a@b.com https://x.dev/y?a=1&b=2.`)
	if err != nil || o.Failure != "" {
		t.Fatal(o, err)
	}
	cmd := <-commands
	want := `create qa web=&lt;b&gt; see <http://api.example.com|api.example.com> <@U0JONAS|jonas> <#C0DEV|dev> <mailto:a@b.com|a@b.com> <https://x.dev/y?a=1&amp;b=2>.`
	if cmd.Text != want {
		t.Errorf("text\n got %s\nwant %s", cmd.Text, want)
	}
	if cmd.UserID != maria || cmd.ChannelID != dev || cmd.ChannelName != "dev" || cmd.TriggerID == "" || cmd.ResponseURL == "" || cmd.APIAppID == "" || cmd.TeamID == "" {
		t.Errorf("incomplete: %+v", cmd)
	}
	m, err := o.Answer(ctxOf(t))
	if err != nil || m.Text != "Working on it" || m.EphemeralTo != maria {
		t.Fatal(m, err)
	}
	if _, _, err := a.PostMessage("", slack.MsgOptionResponseURL(cmd.ResponseURL, slack.ResponseTypeInChannel), slack.MsgOptionText("All can see", false)); err != nil {
		t.Fatal(err)
	}
	if m, err = o.AnswerNumber(ctxOf(t), 2); err != nil || m.Ephemeral() || m.Channel != dev {
		t.Fatal(m, err)
	}
	stats := fake.Stats()
	if stats.Acks != 1 || stats.Deliveries["slash_commands"] != 1 || stats.Percentile(0.99) <= 0 {
		t.Errorf("%+v", stats)
	}
}

func TestUnansweredCommandTimesOut(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	requests := make(chan socketmode.Request, 10)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any { requests <- *e.Request; return silent })
	done := make(chan *slackfake.Outcome)
	go func() { done <- must(fake.User(maria).Command(t.Context(), dev, "/env", "list")) }()
	r := <-requests
	clock.Advance(3 * time.Second)
	if o := <-done; o.Failure != slackfake.OperationTimeout {
		t.Fatalf("failure %q", o.Failure)
	}
	if err := a.sm.Ack(r); err != nil {
		t.Fatal(err)
	}
	wait(t, fake, func() bool { return fake.Stats().LateAcks == 1 })
	clock.Advance(10 * time.Minute)
	if n := fake.Stats().Redeliveries; n != 0 {
		t.Errorf("a command came again %d times", n)
	}
}

func TestEventsComeAgain(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	type got struct {
		id      string
		attempt int
		reason  string
	}
	seen := make(chan got, 10)
	startApp(t, fake, func(_ *app, e socketmode.Event) any {
		event := e.Data.(slackevents.EventsAPIEvent)
		inner := event.Data.(*slackevents.EventsAPICallbackEvent)
		seen <- got{inner.EventID, e.Request.RetryAttempt, e.Request.RetryReason}
		if e.Request.RetryAttempt == 3 {
			return nil
		}
		return silent
	})
	o := must(fake.User(maria).Message(t.Context(), dev, "@berth env list", ""))
	if o.Message.Text != "<@"+fake.BotUserID()+"> env list" {
		t.Errorf("text %q", o.Message.Text)
	}
	first := <-seen
	for attempt, after := range []time.Duration{0, time.Minute, 5 * time.Minute} {
		clock.Advance(3 * time.Second) // nobody acknowledges
		if after > 0 {
			select {
			case g := <-seen:
				t.Fatalf("came again early: %+v", g)
			default:
			}
			clock.Advance(after)
		}
		if g := <-seen; g.id != first.id || g.attempt != attempt+1 || g.reason == "" {
			t.Fatalf("attempt %d: %+v", attempt, g)
		}
	}
	if err := o.Acknowledged(ctxOf(t)); err != nil || o.Failure != "" {
		t.Fatal(err, o.Failure)
	}
}
