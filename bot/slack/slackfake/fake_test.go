package slackfake_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

const (
	dev    = "C0DEV"
	secret = "G0SECRET"
	maria  = "U0MARIA"
	jonas  = "U0JONAS"
)

// newFake is a workspace of two people, a public channel with the bot, one
// without, and a private one without.
func newFake(t *testing.T, change ...func(*slackfake.Options)) *slackfake.Server {
	t.Helper()
	o := slackfake.Options{
		Users: []slackfake.User{
			{ID: maria, Name: "maria", RealName: "Maria", Email: "maria@example.com"},
			{ID: jonas, Name: "jonas", RealName: "Jonas", Email: "jonas@example.com"},
			{ID: "U0GONE", Name: "gone", Email: "gone@example.com", Deleted: true},
			{ID: "U0OTHER", Name: "other", Email: "other@example.org", TeamID: "T0OTHER", IsStranger: true},
		},
		Groups: []slackfake.UserGroup{{ID: "S0OPS", Handle: "ops", Users: []string{jonas}}},
		Channels: []slackfake.Channel{
			{ID: dev, Name: "dev", Members: []string{maria, jonas, slackfake.BotUser}},
			{ID: "C0OPEN", Name: "open", Members: []string{maria}},
			{ID: secret, Name: "secret", Private: true, Members: []string{maria}},
			{ID: "C0OLD", Name: "old", Archived: true, Members: []string{maria, slackfake.BotUser}},
		},
	}
	for _, f := range change {
		f(&o)
	}
	fake, err := slackfake.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake
}

func unlimited(o *slackfake.Options) { o.Unlimited = true }

func client(fake *slackfake.Server) *slack.Client {
	return slack.New(fake.BotToken(), slack.OptionAPIURL(fake.APIURL()), slack.OptionAppLevelToken(fake.AppToken()))
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// app is an unmodified client in Socket Mode, which acknowledges with what
// handle gives.
type app struct {
	*slack.Client
	sm *socketmode.Client
}

// startApp runs a client. handle gets each event that asks for something and
// says what to acknowledge with; silent, not to do so at all.
func startApp(t *testing.T, fake *slackfake.Server, handle func(a *app, e socketmode.Event) any) *app {
	t.Helper()
	before := fake.Connections()
	a := &app{Client: client(fake)}
	a.sm = socketmode.New(a.Client)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = a.sm.RunContext(ctx) })
	work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-a.sm.Events:
				if e.Request == nil || e.Type == socketmode.EventTypeHello || e.Type == socketmode.EventTypeDisconnect {
					continue
				}
				answer := handle(a, e)
				if answer == silent {
					continue
				}
				var payload []any
				if answer != nil {
					payload = append(payload, answer)
				}
				if len(payload) > 0 {
					_ = a.sm.Ack(*e.Request, payload[0])
				} else {
					_ = a.sm.Ack(*e.Request)
				}
			}
		}
	})
	t.Cleanup(func() { cancel(); work.Wait() })
	wait(t, fake, func() bool { return fake.Connections() > before })
	return a
}

type silence struct{}

var silent any = silence{}

func wait(t *testing.T, fake *slackfake.Server, cond func() bool) {
	t.Helper()
	if err := fake.Wait(ctxOf(t), cond); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// raw calls the API without a client, for what no client would send.
func raw(t *testing.T, fake *slackfake.Server, method string, args map[string]any) map[string]any {
	t.Helper()
	body, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctxOf(t), http.MethodPost, fake.APIURL()+method, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+fake.BotToken())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func mrkdwn(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, false)
}

// code is Slack's error code.
func code(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
