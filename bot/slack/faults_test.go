package slack_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
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
			opened := func() int { return len(o.fake.Calls("apps.connections.open")) }
			before := opened()
			trouble(o)
			// A connection that has gone is seen by the one that takes its place.
			o.until("connections anew", func() bool { return (opened() > before || name == "delivered twice") && o.fake.Connections() == 2 })
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

// With Slack away operations go on; their ends are told later, in the order in
// which they came.
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
			o.runs(500)
			for began := o.clock.Now(); o.clock.Now().Sub(began) < 5*time.Minute; {
				<-o.after(10 * time.Second)
			}
			o.runs(5)
			for _, name := range []string{"two", "one"} { // not as they began
				o.ends(name)
				o.await("the end", func() bool { return must(o.store.Environment(t.Context(), name)).Status == "ready" })
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
			if strings.Join(order, " ") != "two one" {
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

// Scopes that lack are said in the log and to the probe, with what they are for.
func TestMissingScopes(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{fake: slackfake.Options{Scopes: []string{"commands", "chat:write", "users:read", "users:read.email"}}})
	o.await("the probe to say so", func() bool {
		err := o.door.Ready()
		return err != nil && strings.Contains(err.Error(), "files:write (logs as files)")
	})
	if log := o.log.String(); !strings.Contains(log, "files:write") || strings.Count(log, "less than it needs") != 1 {
		t.Errorf("log:\n%s", log)
	}
	mustSay(t, o.answered(o.types(maria, dev, "/env list")), "no environments") // the rest works
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
	path := slackfake.CommandsPath
	post := func(h http.Header, body []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+path, strings.NewReader(string(body)))
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
	// Slack does not sign that a request is a retry, and repeats events alone.
	retry := good.Clone()
	retry.Set("X-Slack-Retry-Num", "1")
	if status := post(retry, body); status != http.StatusUnauthorized {
		t.Errorf("a command played again as a retry: %d", status)
	}
	path = slackfake.EventsPath
	body = fmt.Appendf(nil, `{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention","user":%q,"text":"<@%s> env create qa","channel":%q,"ts":"1.2"}}`,
		maria, o.fake.BotUserID(), dev)
	good = slackfake.Sign(o.fake.SigningSecret(), now(), body)
	if status := post(good, body); status != http.StatusOK {
		t.Errorf("an event: %d", status)
	}
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
	ask := o.answered(o.types(maria, dev, "/env destroy qa"))
	o.clicks(maria, ask, "Destroy")
	o.ends("qa")
	o.card(dev, "qa is gone")
	retry = good.Clone()
	retry.Set("X-Slack-Retry-Num", "1")
	if status := post(retry, body); status != http.StatusOK {
		t.Errorf("Slack's own retry: %d", status)
	}
	o.worked()
	if all := must(o.store.Environments(t.Context(), "")); len(all) != 0 {
		t.Errorf("an event played again was done again: %+v", all)
	}
	lists := 0
	for _, m := range o.fake.Ephemerals(maria) {
		if shows(m, "no environments") {
			lists++
		}
	}
	if lists != 1 {
		t.Errorf("the command was answered %d times", lists)
	}
	if err := o.fake.VerifyURL(o.ctx()); err != nil {
		t.Error(err)
	}
}

// A hundred operations at the same time: nothing that Slack allows is
// exceeded, first cards, failures and ends go before mere progress, and all
// end right.
func TestManyCards(t *testing.T) {
	t.Parallel()
	const n, half = 100, 50
	var channels []slackfake.Channel
	for i := range n + 1 {
		channels = append(channels, slackfake.Channel{ID: fmt.Sprintf("C0MANY%03d", i), Name: fmt.Sprintf("many-%d", i), Members: []string{maria, slackfake.BotUser}})
	}
	o := newOffice(t, settings{clock: true, fake: slackfake.Options{Channels: channels}})
	create := func(i int) { o.types(maria, channels[i].ID, fmt.Sprintf("/env create e%d", i)) }
	say := func(from, to int, text string) {
		for i := from; i < to; i++ {
			o.say(fmt.Sprintf("e%d", i), fmt.Sprintf("e%d/web", i), "configuring", text)
		}
	}
	for i := range n {
		create(i)
	}
	for i := range n {
		o.card(channels[i].ID, fmt.Sprintf("Making e%d", i))
	}
	say(0, n, "make build")
	o.runs(40)
	updates := func() []slackfake.Entry { return o.fake.Calls("chat.update") }
	o.until("progress on cards", func() bool { return len(updates()) >= 10 })
	o.runs(0) // so that everything below happens at one moment
	before := len(updates())
	say(half, n, "make test") // the others have something to show, too
	for i := range half {
		if i%2 == 0 {
			o.ends(fmt.Sprintf("e%d", i))
		} else {
			o.fails(fmt.Sprintf("e%d", i), "it does not build.")
		}
	}
	create(n)
	for i := range half {
		o.await("the end", func() bool {
			return must(o.store.Environment(t.Context(), fmt.Sprintf("e%d", i))).Operation.Status.Ended()
		})
	}
	o.card(channels[n].ID, "Making e100") // waits for no edit
	o.runs(40)
	ends := func(i int) {
		words := "is ready"
		if i%2 == 1 && i < half {
			words = "failed"
		}
		o.once(channels[i].ID, fmt.Sprintf("e%d", i), words)
	}
	for i := range half {
		ends(i)
	}
	// What was under way when they ended may still have been progress.
	left := half
	for i, e := range updates()[before:] {
		text, _ := e.Request["text"].(string)
		end := strings.Contains(text, "is ready") || strings.Contains(text, "failed")
		if end {
			left--
		} else if left > 0 && i >= 6 {
			t.Errorf("edit %d was progress while %d ends waited: %s", i, left, text)
		}
	}
	for i := half; i <= n; i++ {
		o.ends(fmt.Sprintf("e%d", i))
	}
	for i := half; i <= n; i++ {
		ends(i)
	}
	if limited := o.fake.Stats().RateLimited; limited > 0 {
		t.Errorf("%d calls were too many", limited)
	}
}

// arrive waits until there are so many environments, and says whether they came
// within a time.
func (o *office) arrive(n int, within time.Duration) bool {
	changed, stop := o.store.Watch()
	defer stop()
	over := time.After(within)
	for len(must(o.store.Environments(o.t.Context(), ""))) < n {
		select {
		case <-changed:
		case <-over:
			return false
		}
	}
	return true
}

// Disconnects of every kind, cuts before the acknowledgement and deliveries
// that come twice, all while people write: everything is done once.
func TestTrafficInTrouble(t *testing.T) {
	t.Parallel()
	const n = 6
	var channels []slackfake.Channel
	for i := range n {
		channels = append(channels, slackfake.Channel{ID: fmt.Sprintf("C0BUSY%d", i), Name: fmt.Sprintf("busy-%d", i), Members: []string{maria, slackfake.BotUser}})
	}
	o := newOffice(t, settings{speed: 2, fake: slackfake.Options{Channels: channels}})
	o.fake.SetLimit("apps.connections.open", slackfake.Limit{}) // so much trouble in a minute is more than Slack makes
	made := 0
	for round, trouble := range []func(){
		func() { o.fake.Disconnect(slackfake.Warning) },
		func() { o.fake.Disconnect(slackfake.RefreshRequested) },
		func() { o.fake.CutDeliveries(3) },
		func() { o.fake.DuplicateDeliveries(4) },
		func() { o.fake.DropConnections() },
		func() { o.fake.DisconnectOne(slackfake.TooManyWebsockets) },
		func() { o.fake.SetSocketMode(false); o.fake.SetSocketMode(true) },
	} {
		o.until("connections", func() bool { return o.fake.Connections() == 2 })
		for i := range n {
			if i == n/2 {
				trouble()
			}
			if _, err := o.fake.User(maria).Message(o.ctx(), channels[i].ID, fmt.Sprintf("@berth env create e%d-%d", round, i), ""); err != nil {
				t.Fatal(err)
			}
			o.ends(fmt.Sprintf("e%d-%d", round, i))
			made++
		}
	}
	// What could not be delivered, or could not be kept within three seconds on
	// a busy machine, comes again after a minute and after five, in peace.
	o.fake.CutDeliveries(0)
	o.until("connections", func() bool { return o.fake.Connections() == 2 })
	o.runs(0)
	for _, later := range []time.Duration{time.Minute, 5 * time.Minute, 5 * time.Minute} {
		o.clock.Advance(later)
		if o.arrive(made, 3*time.Second) {
			break
		}
	}
	o.await("everything to arrive", func() bool { return len(must(o.store.Environments(t.Context(), ""))) == made })
	o.runs(10)
	for i := range n {
		o.until("all cards of a channel", func() bool {
			ready := 0
			for _, m := range o.cardsOf(channels[i].ID) {
				if shows(m, "is ready") {
					ready++
				}
			}
			return ready == made/n && o.told(channels[i].ID) == made/n
		})
	}
	o.worked()
	all := must(o.store.Environments(t.Context(), ""))
	if len(all) != made {
		t.Errorf("%d environments of %d", len(all), made)
	}
	for _, e := range all {
		if ops := must(o.store.Operations(t.Context(), e.ID)); len(ops) != 1 {
			t.Errorf("%s: %d operations", e.Name, len(ops))
		}
	}
	for i := range n {
		if cards, told := len(o.cardsOf(channels[i].ID)), o.told(channels[i].ID); cards != made/n || told != made/n {
			t.Errorf("%d cards, %d ends told, of %d", cards, told, made/n)
		}
	}
}

// Slack's retries over HTTP are one command, also when they come at the same
// time; and a retry may be the first that arrives.
func TestRetries(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true, speed: 4})
	body := fmt.Appendf(nil, `{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"app_mention","user":%q,"text":"<@%s> env create qa","channel":%q,"ts":"1.2"}}`,
		maria, o.fake.BotUserID(), dev)
	var wg sync.WaitGroup
	for retry := range 4 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+slackfake.EventsPath, strings.NewReader(string(body)))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header = slackfake.Sign(o.fake.SigningSecret(), now().Add(-time.Duration(retry)*time.Second), body)
			req.Header.Set("X-Slack-Retry-Num", fmt.Sprint(3-retry))
			res, err := http.DefaultClient.Do(req)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("retry %d: %v, %v", retry, res, err)
				return
			}
			res.Body.Close()
		})
	}
	wg.Wait()
	o.card(dev, "Making qa")
	o.ends("qa")
	o.once(dev, "qa is ready")
	o.worked()
	o.once(dev, "qa is ready")
}

// Everything works when each answer of Slack's takes two seconds.
func TestLatency(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{clock: true})
	o.fake.SetLatency(2 * time.Second)
	o.runs(8)
	if _, err := o.types(maria, dev, "/env create").Modal(o.ctx()); err != nil {
		t.Error(err)
	}
	o.types(maria, dev, "/env create qa")
	o.card(dev, "Making qa")
	mustSay(t, o.answered(o.types(maria, dev, "/env list")), "1 environment")
	o.ends("qa")
	o.once(dev, "qa is ready")
}
