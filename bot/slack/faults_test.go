package slack_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// cardsOf are the cards in a channel, without replies.
func (o *office) cardsOf(channel string) []slackfake.Message {
	var out []slackfake.Message
	for _, m := range o.fake.Messages(channel) {
		if m.ThreadTS == "" && !m.Ephemeral() && m.User == o.fake.BotUserID() {
			out = append(out, m)
		}
	}
	return out
}

// told counts how often people were told an end in a channel.
func (o *office) told(channel string) int {
	n := 0
	for _, m := range o.fake.Messages(channel) {
		if m.ThreadTS != "" && m.User == o.fake.BotUserID() && strings.Contains(m.Shown(), "<@"+maria+">") {
			n++
		}
	}
	return n
}

// once checks that a channel has one card that shows the end and that the end
// was told once.
func (o *office) once(channel string, words ...string) {
	o.t.Helper()
	o.card(channel, words...)
	o.until("the end told", func() bool { return o.told(channel) > 0 })
	if n := len(o.cardsOf(channel)); n != 1 {
		o.t.Errorf("%d cards", n)
	}
	if n := o.told(channel); n != 1 {
		o.t.Errorf("told %d times", n)
	}
}

// Whatever happens to the connections, each command is taken and done once.
func TestConnections(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(o *office){
		"warning":              func(o *office) { o.fake.Disconnect(slackfake.Warning) },
		"refresh":              func(o *office) { o.fake.Disconnect(slackfake.RefreshRequested) },
		"one of two":           func(o *office) { o.fake.DisconnectOne(slackfake.RefreshRequested) },
		"too many":             func(o *office) { o.fake.DisconnectOne(slackfake.TooManyWebsockets) },
		"cut":                  func(o *office) { o.fake.DropConnections() },
		"delivered twice":      func(o *office) { o.fake.DuplicateDeliveries(1) },
		"Socket Mode went off": func(o *office) { o.fake.SetSocketMode(false); o.fake.SetSocketMode(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 4})
			trouble(o)
			o.until("connections", func() bool { return o.fake.Connections() == 2 })
			o.types(maria, dev, "/env create qa")
			o.card(dev, "Making qa")
			o.ends("qa")
			o.once(dev, "qa is ready")
		})
	}
}

// An event whose connection was cut before its acknowledgement comes again and
// is done once.
func TestCutBeforeAck(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 8})
	o.fake.CutDeliveries(1)
	if _, err := o.fake.User(maria).Message(o.ctx(), dev, "@berth env create qa", ""); err != nil {
		t.Fatal(err)
	}
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
	if ops := must(o.store.Operations(t.Context(), must(o.store.Environment(t.Context(), "qa")).ID)); len(ops) != 1 {
		t.Errorf("%d operations", len(ops))
	}
}

// Restarted in the middle, Berth goes on editing the same card to its end.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		t.Run(fmt.Sprint("http ", http), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{http: http})
			o.types(maria, dev, "/env create qa")
			card := o.card(dev, "Making qa")
			o.stop()
			o.start(http)
			o.ends("qa")
			o.once(dev, "qa is ready")
			if now := o.cardsOf(dev)[0]; now.TS != card.TS {
				t.Error("another card")
			}
		})
	}
}

// With Slack away operations go on; their ends are told later, in order.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]slackfake.Outage{"503": slackfake.Unavailable, "refused": slackfake.Refused} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 5})
			for _, env := range []string{"one", "two"} {
				o.types(maria, dev, "/env create "+env)
				o.card(dev, "Making "+env)
			}
			if err := o.fake.SetOutage(outage); err != nil {
				t.Fatal(err)
			}
			changed, stop := o.store.Watch()
			defer stop()
			o.ends("two")
			o.ends("one")
			for {
				if must(o.store.Environment(t.Context(), "one")).Status == "ready" && must(o.store.Environment(t.Context(), "two")).Status == "ready" {
					break
				}
				<-changed
			}
			if o.fake.SetOutage(slackfake.NoOutage) != nil {
				t.Fatal("no end of the outage")
			}
			o.card(dev, "one is ready")
			o.card(dev, "two is ready")
			o.until("both told", func() bool { return o.told(dev) == 2 })
			var order []string
			for _, m := range o.fake.Messages(dev) {
				if m.ThreadTS != "" {
					order = append(order, strings.Fields(m.Shown())[1])
				}
			}
			if strings.Join(order, " ") != "one two" {
				t.Errorf("told in the order %v", order)
			}
			o.until("connections", func() bool { return o.fake.Connections() == 2 })
			mustSay(t, o.answered(o.types(maria, dev, "/env list")), "2 environments")
		})
	}
}

// Slack's 429 is obeyed, and everything arrives all the same.
func TestStorm(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 5})
	o.fake.SetStorm(slackfake.Storm{Methods: []string{"chat.postMessage", "chat.update"}, Calls: 4, RetryAfter: time.Second})
	o.types(maria, dev, "/env create qa")
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
	// No call came before the time that Slack had named.
	until := map[string]time.Time{}
	for _, e := range o.fake.Transcript() {
		if e.Kind != "call" {
			continue
		}
		if e.At.Before(until[e.Method].Add(-20 * time.Millisecond)) {
			t.Errorf("%s was called %s too early", e.Method, until[e.Method].Sub(e.At))
		}
		if e.Status == http.StatusTooManyRequests {
			until[e.Method] = e.At.Add(e.RetryIn)
		}
	}
	if len(until) == 0 {
		t.Error("there was no storm")
	}
}

// A revoked token is said plainly, in the log and to the probe.
func TestRevokedToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{stopped: true})
	o.fake.SetBotToken("token_revoked")
	o.fake.SetAppToken("token_revoked")
	o.open(false)
	o.await("the probe to say so", func() bool { err := o.door.Ready(); return err != nil && strings.Contains(err.Error(), "revoked") })
	if !strings.Contains(o.log.String(), "the token was revoked") {
		t.Errorf("log:\n%s", o.log)
	}
	o.fake.SetBotToken("")
	o.fake.SetAppToken("")
	o.until("connections", func() bool { return o.fake.Connections() == 2 })
	o.await("the probe to be content", func() bool { return o.door.Ready() == nil })
}

// Text from people is shown as text: nobody is called, nothing is changed.
func TestHostileText(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	for _, text := range []string{
		"/env create <!channel>", "/env create qa web=<!here>", "/env show <@" + tom + ">", "/env create qa web=`rm`<!everyone>",
		"/env create qa web=\u202egnp.exe", "/env create qa web={{salt.cmd.run('id')}}", "/env create " + strings.Repeat("x", 3000),
		"/env create qa web=\"*bold* _it_ ~no~ <http://evil.example|click>\"", "/env destroy @channel", "/env create qa web=\x1b[31mred",
		"/env create $(id)", "/env create qa web=';drop table operations;--", "/env create qa web=@here",
	} {
		m := o.answered(o.types(maria, dev, text))
		if !m.Ephemeral() {
			t.Errorf("%q: everybody sees the answer", text)
		}
		for _, bad := range []string{"<!", "<@" + tom, "\u202e", "\x1b", "<http://evil"} {
			if strings.Contains(m.Shown(), bad) || strings.Contains(m.Text, bad) {
				t.Errorf("%q is shown with %q:\n%s", text, bad, m.Shown())
			}
		}
	}
	for _, n := range o.fake.Notifications() {
		t.Errorf("%s %s was called by %s", n.Kind, n.Target, n.Message.Shown())
	}
	if all := must(o.store.Environments(t.Context(), "")); len(all) != 0 {
		t.Errorf("made %+v", all)
	}
}

// HTTP mode takes what Slack has signed just now, once.
func TestSignatures(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true})
	body := []byte("command=%2Fenv&text=list&user_id=" + maria + "&channel_id=" + dev + "&trigger_id=1.2.3")
	post := func(h http.Header, body []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+"/slack/commands", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = h
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	good := slackfake.Sign(o.fake.SigningSecret(), now(), body)
	for name, test := range map[string]struct {
		h    http.Header
		body []byte
	}{
		"another secret": {slackfake.Sign("00000000000000000000000000000000", now(), body), body},
		"too old":        {slackfake.Sign(o.fake.SigningSecret(), now().Add(-6*time.Minute), body), body},
		"from later":     {slackfake.Sign(o.fake.SigningSecret(), now().Add(6*time.Minute), body), body},
		"another body":   {slackfake.Sign(o.fake.SigningSecret(), now(), body), []byte("text=destroy")},
		"none":           {http.Header{}, body},
	} {
		if status := post(test.h, test.body); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := post(slackfake.Sign(o.fake.SigningSecret(), now(), nil), []byte(strings.Repeat("x", 2<<20))); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", status)
	}
	if status := post(good, body); status != http.StatusOK {
		t.Errorf("good: %d", status)
	}
	if status := post(good, body); status != http.StatusUnauthorized {
		t.Errorf("played again: %d", status)
	}
	retry := good.Clone()
	retry.Set("X-Slack-Retry-Num", "1")
	if status := post(retry, body); status != http.StatusOK {
		t.Errorf("Slack's own retry: %d", status)
	}
	if err := o.fake.VerifyURL(o.ctx()); err != nil {
		t.Error(err)
	}
}

// A hundred operations at the same time: nothing that Slack allows is
// exceeded, first cards and ends go before progress, and all end right.
func TestManyCards(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and more: Slack lets a card be edited 50 times a minute")
	}
	t.Parallel()
	const n = 24
	var channels []slackfake.Channel
	for i := range n {
		channels = append(channels, slackfake.Channel{ID: fmt.Sprintf("C0MANY%03d", i), Name: fmt.Sprintf("many-%d", i), Members: []string{maria, slackfake.BotUser}})
	}
	o := newOffice(t, settings{fake: slackfake.Options{Channels: channels}})
	for i := range n {
		o.types(maria, channels[i].ID, fmt.Sprintf("/env create e%d", i))
	}
	for i := range n {
		o.card(channels[i].ID, fmt.Sprintf("e%d", i))
	}
	for i := range n {
		o.say(fmt.Sprintf("e%d", i), fmt.Sprintf("e%d/web", i), "configuring", "make build")
	}
	for i := range n {
		o.ends(fmt.Sprintf("e%d", i))
	}
	for i := range n {
		o.once(channels[i].ID, fmt.Sprintf("e%d is ready", i))
	}
	if limited := o.fake.Stats().RateLimited; limited > 0 {
		t.Errorf("%d calls were too many", limited)
	}
}
