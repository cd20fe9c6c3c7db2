package slackfake_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// limited is how long a 429 tells to wait; zero for anything else.
func limited(err error) time.Duration {
	var limit *slack.RateLimitedError
	if errors.As(err, &limit) {
		return limit.RetryAfter
	}
	return 0
}

func TestRates(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	api := client(fake)
	post := func(channel string) error {
		_, _, err := api.PostMessage(channel, slack.MsgOptionText("t", false))
		return err
	}
	for range 3 {
		if err := post(dev); err != nil {
			t.Fatal(err)
		}
	}
	if wait := limited(post(dev)); wait != time.Second {
		t.Errorf("wait %v", wait)
	}
	if err := post("C0OPEN"); err != nil {
		t.Error("each channel has its own:", err)
	}
	clock.Advance(time.Second)
	if err := post(dev); err != nil {
		t.Error(err)
	}
	if limited(post(dev)) == 0 {
		t.Error("one a second")
	}

	ts := fake.Messages(dev)[0].TS
	update := func() error { _, _, _, err := api.UpdateMessage(dev, ts, slack.MsgOptionText("t", false)); return err }
	for range 50 {
		if err := update(); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(20*time.Second + time.Millisecond)
	if wait := limited(update()); wait != 40*time.Second {
		t.Errorf("wait %v, rounded up", wait)
	}
	clock.Advance(40 * time.Second)
	if err := update(); err != nil {
		t.Error(err)
	}
	if n := fake.Stats().RateLimited; n != 3 {
		t.Errorf("%d counted", n)
	}
}

func TestStorms(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.Clock = clock })
	api := client(fake)
	test := func() error { _, err := api.AuthTest(); return err }
	fake.SetStorm(slackfake.Storm{Calls: 2, RetryAfter: 30 * time.Second})
	if a, b, c := test(), test(), test(); limited(a) != 30*time.Second || limited(b) == 0 || c != nil {
		t.Error(a, b, c)
	}
	fake.SetStorm(slackfake.Storm{For: time.Minute, Methods: []string{"chat.update"}})
	update := func() error { _, _, _, err := api.UpdateMessage(dev, "1", slack.MsgOptionText("t", false)); return err }
	if test() != nil || limited(update()) == 0 {
		t.Error("only chat.update")
	}
	clock.Advance(time.Minute)
	if limited(update()) != 0 {
		t.Error("it is over")
	}
	fake.SetStorm(slackfake.Storm{Calls: 1, OmitHeader: true})
	var status slack.StatusCodeError
	if err := test(); !errors.As(err, &status) || status.Code != http.StatusTooManyRequests {
		t.Error(err)
	}
	fake.SetStorm(slackfake.Storm{Calls: 1, DoAnyway: true})
	if _, _, err := api.PostMessage(dev, slack.MsgOptionText("t", false)); limited(err) == 0 || len(fake.Messages(dev)) != 1 {
		t.Error(err, fake.Messages(dev))
	}
	fake.SetStorm(slackfake.Storm{For: time.Hour})
	fake.SetStorm(slackfake.Storm{})
	if err := test(); err != nil {
		t.Error(err)
	}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	impatient := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	api := slack.New(fake.BotToken(), slack.OptionAPIURL(fake.APIURL()), slack.OptionHTTPClient(impatient))
	for outage, want := range map[slackfake.Outage]string{slackfake.Unavailable: "503", slackfake.Hanging: "Client.Timeout", slackfake.Refused: "connection refused"} {
		startApp(t, fake, func(*app, socketmode.Event) any { return nil })
		if err := fake.SetOutage(outage); err != nil {
			t.Fatal(err)
		}
		if _, err := api.AuthTest(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		wait(t, fake, func() bool { return fake.Connections() == 0 })
		if err := fake.SetOutage(slackfake.NoOutage); err != nil {
			t.Fatal(err)
		}
		if _, err := api.AuthTest(); err != nil {
			t.Error("after it:", err)
		}
		// The clients come back by themselves.
		wait(t, fake, func() bool { return fake.Connections() > 0 })
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	fake.SetLatency(2 * time.Second)
	done := make(chan error, 1)
	go func() { _, err := client(fake).AuthTest(); done <- err }()
	for {
		n, more := clock.Armed()
		if n > 0 {
			break
		}
		<-more
	}
	select {
	case err := <-done:
		t.Fatal("answered at once", err)
	default:
	}
	clock.Advance(2 * time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCommands is how fast people can be answered: what a load test
// measures of an app is the app's only while this is far below it.
func BenchmarkCommands(b *testing.B) {
	fake, err := slackfake.New(slackfake.Options{Users: []slackfake.User{{ID: maria, Name: "maria"}}, Channels: []slackfake.Channel{{ID: dev, Name: "dev", Members: []string{maria}}}})
	if err != nil {
		b.Fatal(err)
	}
	defer fake.Close()
	sm := socketmode.New(client(fake))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = sm.RunContext(ctx) }()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-sm.Events:
				if e.Type == socketmode.EventTypeSlashCommand {
					_ = sm.Ack(*e.Request, map[string]any{"text": "ok"})
				}
			}
		}
	}()
	if err := fake.Wait(ctx, func() bool { return fake.Connections() == 1 }); err != nil {
		b.Fatal(err)
	}
	user := fake.User(maria)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if o, err := user.Command(ctx, dev, "/env", "list"); err != nil || o.Failure != "" {
				b.Error(o, err)
			}
		}
	})
	b.ReportMetric(float64(fake.Stats().Percentile(0.99).Microseconds()), "p99-µs")
}

// accepts is an app that acknowledges commands and sends their envelopes on.
func accepts(t *testing.T, fake *slackfake.Server, got chan<- string) *app {
	return startApp(t, fake, func(_ *app, e socketmode.Event) any {
		got <- e.Request.EnvelopeID
		return nil
	})
}

func TestTwoConnections(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.Seed = 7 })
	first, second := make(chan string, 100), make(chan string, 100)
	accepts(t, fake, first)
	accepts(t, fake, second)
	for range 40 {
		if o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", "list")); o.Failure != "" {
			t.Fatal(o)
		}
	}
	if len(first)+len(second) != 40 || len(first) < 5 || len(second) < 5 {
		t.Errorf("%d and %d", len(first), len(second))
	}
}

func TestDisconnects(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	got := make(chan string, 100)
	accepts(t, fake, got)
	for _, end := range []func(){
		func() { fake.Disconnect(slackfake.Warning) },
		func() { fake.Disconnect(slackfake.RefreshRequested) },
		fake.DropConnections,
	} {
		connects := fake.Stats().Connects
		end()
		wait(t, fake, func() bool { return fake.Stats().Connects > connects && fake.Connections() == 1 })
		if o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", "list")); o.Failure != "" {
			t.Error(o)
		}
		<-got
	}
	fake.SetSocketMode(false)
	wait(t, fake, func() bool { return fake.Connections() == 0 && fake.Stats().Errors["socket_mode_not_enabled"] > 0 })
	if o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", "list")); o.Failure != slackfake.DispatchFailed {
		t.Error(o)
	}
	fake.SetSocketMode(true)
	wait(t, fake, func() bool { return fake.Connections() == 1 })
}

func TestConnectionsEndByThemselves(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.Clock = clock })
	accepts(t, fake, make(chan string, 1))
	clock.Advance(4*time.Hour - 10*time.Second)
	wait(t, fake, func() bool {
		for _, e := range fake.Transcript() {
			if e.Kind == "disconnect" && e.Note == slackfake.Warning {
				return fake.Stats().Connects == 2
			}
		}
		return false
	})
}

func TestTickets(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	dial := func(url string) (*websocket.Conn, error) {
		conn, response, err := websocket.DefaultDialer.DialContext(ctxOf(t), url, nil)
		if response != nil {
			_ = response.Body.Close()
		}
		return conn, err
	}
	_, url, err := api.StartSocketModeContext(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var hello struct {
		Type string `json:"type"`
		Num  int    `json:"num_connections"`
		Info struct {
			AppID string `json:"app_id"`
		} `json:"connection_info"`
		Debug struct {
			Time int `json:"approximate_connection_time"`
		} `json:"debug_info"`
	}
	if err := conn.ReadJSON(&hello); err != nil || hello.Type != "hello" || hello.Num != 1 || hello.Info.AppID == "" || hello.Debug.Time != 4*3600 {
		t.Errorf("%+v %v", hello, err)
	}
	if _, err := dial(url); err == nil {
		t.Error("a ticket opened two connections")
	}
	for range 9 {
		_, url, err := api.StartSocketModeContext(ctxOf(t))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dial(url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	wait(t, fake, func() bool { return fake.Connections() == 10 })
	_, url, err = api.StartSocketModeContext(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	eleventh, err := dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eleventh.Close() }()
	var bye struct{ Type, Reason string }
	if err := eleventh.ReadJSON(&bye); err != nil || bye.Type != "disconnect" || bye.Reason != slackfake.TooManyWebsockets {
		t.Errorf("%+v %v", bye, err)
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	fake := newFake(t, func(o *slackfake.Options) { o.PingInterval = 10 * time.Millisecond })
	accepts(t, fake, make(chan string, 1))
	wait(t, fake, func() bool { return fake.Stats().Pongs >= 3 })
}

func TestCutBetweenDeliveryAndAcknowledgement(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.Clock = clock })
	hold := make(chan struct{})
	ids := make(chan string, 10)
	startApp(t, fake, func(_ *app, e socketmode.Event) any {
		ids <- e.Request.EnvelopeID
		<-hold
		return nil
	})
	fake.CutDeliveries(1)
	o := must(fake.User(maria).Message(t.Context(), dev, "@berth env list", ""))
	// The client may or may not have read it before the line was cut; the
	// event comes again in any case, over the next connection.
	wait(t, fake, func() bool { return fake.Stats().Connects == 2 && fake.Connections() == 1 })
	clock.Advance(3 * time.Second)
	wait(t, fake, func() bool { return fake.Stats().Redeliveries == 1 })
	close(hold)
	if err := o.Acknowledged(ctxOf(t)); err != nil || o.Failure != "" {
		t.Fatal(err, o.Failure)
	}
	// A command is not sent again.
	fake.CutDeliveries(1)
	done := make(chan *slackfake.Outcome)
	go func() { done <- must(fake.User(maria).Command(t.Context(), dev, "/env", "list")) }()
	wait(t, fake, func() bool { return fake.Stats().Deliveries["slash_commands"] == 1 && fake.Stats().Connects == 3 })
	clock.Advance(3 * time.Second)
	if o := <-done; o.Failure != slackfake.OperationTimeout {
		t.Error(o)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	got := make(chan string, 10)
	accepts(t, fake, got)
	accepts(t, fake, got)
	fake.DuplicateDeliveries(1)
	if o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", "list")); o.Failure != "" {
		t.Fatal(o)
	}
	if a, b := <-got, <-got; a != b {
		t.Errorf("%s and %s", a, b)
	}
	wait(t, fake, func() bool { return fake.Stats().Acks == 1 && fake.Stats().StrayAcks == 1 })
}

func TestLargeAcknowledgementsAreDropped(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	_, url, err := client(fake).StartSocketModeContext(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, response, err := websocket.DefaultDialer.DialContext(ctxOf(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = response.Body.Close()
	wait(t, fake, func() bool { return fake.Connections() == 1 })
	done := make(chan *slackfake.Outcome)
	go func() { done <- must(fake.User(maria).Command(t.Context(), dev, "/env", "list")) }()
	var envelope struct {
		ID      string `json:"envelope_id"`
		Accepts bool   `json:"accepts_response_payload"`
	}
	for envelope.ID == "" {
		if err := conn.ReadJSON(&envelope); err != nil {
			t.Fatal(err)
		}
	}
	if !envelope.Accepts {
		t.Error("commands accept an answer")
	}
	frame := func(size int) []byte {
		empty := fmt.Sprintf(`{"envelope_id":%q,"payload":{"text":""}}`, envelope.ID)
		return []byte(strings.Replace(empty, `""`, `"`+strings.Repeat("x", size-len(empty))+`"`, 1))
	}
	if err := conn.WriteMessage(websocket.TextMessage, frame(20*1024)); err != nil {
		t.Fatal(err)
	}
	wait(t, fake, func() bool { return fake.Stats().DroppedAcks == 1 })
	if err := conn.WriteMessage(websocket.TextMessage, frame(20*1024-1)); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.Failure != "" || len(o.Answers()) != 1 {
		t.Error(o)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	auth, err := api.AuthTest()
	if err != nil || auth.UserID != fake.BotUserID() || auth.BotID == "" || !strings.Contains(auth.Header.Get("X-OAuth-Scopes"), "chat:write.public") {
		t.Fatalf("%+v %v", auth, err)
	}
	fake.SetScopes("chat:write")
	_, err = api.GetUserInfo(maria)
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) || refused.Err != "missing_scope" || refused.Needed != "users:read" || refused.Provided != "chat:write" {
		t.Errorf("%+v", err)
	}
	of := func(token string) error {
		_, err := slack.New(token, slack.OptionAPIURL(fake.APIURL())).AuthTest()
		return err
	}
	if code(of("xoxb-other")) != "invalid_auth" || code(of("")) != "not_authed" || code(of(fake.AppToken())) != "not_allowed_token_type" {
		t.Error(of("xoxb-other"), of(""), of(fake.AppToken()))
	}
	for _, problem := range []string{"token_revoked", "account_inactive"} {
		fake.SetBotToken(problem)
		if err := of(fake.BotToken()); code(err) != problem {
			t.Error(err)
		}
		fake.SetAppToken(problem)
		// The managed client gives up on these.
		if err := socketmode.New(api).RunContext(ctxOf(t)); code(err) != problem {
			t.Error(err)
		}
	}
}
