package slack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

type object = map[string]any // JSON

// post posts what the stand-in's people cannot do, signed as Slack's.
func (o *office) post(path, kind string, body []byte) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, o.url+path, bytes.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header = slackfake.Sign(o.fake.SigningSecret(), o.now(), body)
	req.Header.Set("Content-Type", kind)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		o.t.Fatalf("%s: %s", path, res.Status)
	}
}

func (o *office) event(id string, inner object) {
	o.t.Helper()
	o.post(slackfake.EventsPath, "application/json", must(json.Marshal(object{"type": "event_callback", "event_id": id, "event": inner})))
}

// Whom Berth does not serve is told why, and what to do.
func TestNotServed(t *testing.T) {
	t.Parallel()
	const robot, shy, listed = "U0ROBOT", "U0SHY", "U0OLGA"
	o := newOffice(t, settings{http: true, fake: slackfake.Options{Users: []slackfake.User{{ID: robot, Name: "robot", Email: "robot@example.com", IsBot: true},
		{ID: shy, Name: "shy"}, {ID: listed, Name: "olga", IsUltraRestricted: true}}}})
	for user, words := range map[string][]string{
		gone:       {"deactivated", "ask an admin"},
		robot:      {"not from other apps", "berth token create"},
		shy:        {"no e-mail address", `slack = "U0SHY"`},
		"U0NOBODY": {"no e-mail address", `slack = "U0NOBODY"`},
		listed:     {"There are no environments"},
	} {
		t.Run(user, func(t *testing.T) {
			answers := make(chan string, 4)
			there := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				answers <- string(body)
			}))
			defer there.Close()
			o.post(slackfake.CommandsPath, "application/x-www-form-urlencoded", []byte(url.Values{"command": {"/env"}, "text": {"list"}, "user_id": {user},
				"channel_id": {dev}, "trigger_id": {"1.2." + user}, "response_url": {there.URL + "/answer"}}.Encode()))
			select {
			case got := <-answers:
				var m struct {
					Text string
					Type string `json:"response_type"`
				}
				if err := json.Unmarshal([]byte(got), &m); err != nil || m.Type != "ephemeral" {
					t.Errorf("%v, %s", err, got)
				}
				for _, w := range words {
					if !strings.Contains(got, w) && !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), w) {
						t.Errorf("does not say %q: %s", w, got)
					}
				}
			case <-o.ctx().Done():
				t.Fatalf("no answer\n%s", o.log)
			}
		})
	}
}

// What is not a person's command to Berth starts nothing and is not answered:
// what other apps and Berth itself write, what is changed or deleted, what people
// say to one another.
func TestNotForBerth(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true})
	mine := "<@" + o.fake.BotUserID() + "> env create other"
	for id, inner := range map[string]object{
		"another app":         {"type": "app_mention", "user": maria, "bot_id": "B0OTHER", "app_id": "A0OTHER", "text": mine, "channel": dev, "ts": "1.1"},
		"an app without user": {"type": "app_mention", "bot_id": "B0OTHER", "text": mine, "channel": dev, "ts": "1.2"},
		"its own":             {"type": "message", "user": o.fake.BotUserID(), "bot_id": "B0BERTH", "text": "env create other", "channel": o.fake.IM(maria), "channel_type": "im", "ts": "1.3"},
		"an old bot":          {"type": "message", "subtype": "bot_message", "bot_id": "B0OTHER", "text": "env create other", "channel": o.fake.IM(maria), "channel_type": "im", "ts": "1.4"},
		"changed": {"type": "message", "subtype": "message_changed", "channel": o.fake.IM(maria), "channel_type": "im", "ts": "1.5",
			"message": object{"type": "message", "user": maria, "text": "env create other", "ts": "1.4"}},
		"deleted": {"type": "message", "subtype": "message_deleted", "channel": o.fake.IM(maria), "channel_type": "im", "ts": "1.6",
			"previous_message": object{"type": "message", "user": maria, "text": "env create other", "ts": "1.4"}},
		"to a channel": {"type": "message", "user": maria, "text": "env create other", "channel": dev, "channel_type": "channel", "ts": "1.7"},
		"to a group":   {"type": "message", "user": maria, "text": "env create other", "channel": ops, "channel_type": "group", "ts": "1.8"},
		"to several":   {"type": "message", "user": maria, "text": "env create other", "channel": "G0SOME", "channel_type": "mpim", "ts": "1.9"},
	} {
		o.event(id, inner)
	}
	o.worked()
	if all := must(o.store.Environments(t.Context(), "")); len(all) != 0 {
		t.Errorf("made %+v", all)
	}
	for _, e := range o.fake.Calls("") {
		if strings.HasPrefix(e.Method, "chat.") {
			t.Errorf("answered: %s %v", e.Method, e.Request)
		}
	}
}

// A command that is typed in somebody's own conversation with somebody else,
// where Berth is not, is done; its card is in the person's own conversation with
// Berth, and nobody else sees it.
func TestSomebodyElsesConversation(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{http: true})
	o.post(slackfake.CommandsPath, "application/x-www-form-urlencoded", []byte(url.Values{"command": {"/env"}, "text": {"create qa"}, "user_id": {maria},
		"channel_id": {"D0OTHERS"}, "channel_name": {"directmessage"}, "trigger_id": {"1.2.3"}}.Encode()))
	dm := o.fake.IM(maria)
	o.card(dm, "Making qa")
	o.ends("qa")
	card := o.card(dm, "qa is ready")
	o.until("the end told", func() bool { return len(o.fake.Thread(dm, card.TS)) == 2 })
	for _, m := range o.fake.Messages(dev) {
		t.Errorf("others see %s", m.Shown())
	}
}

// does is what buttons do, by label.
type does map[string]func(o *office, out *slackfake.Outcome)

// A button does what it says, wherever it stands.
func TestButtons(t *testing.T) {
	t.Parallel()
	modal := func(title string) func(o *office, out *slackfake.Outcome) {
		return func(o *office, out *slackfake.Outcome) {
			o.t.Helper()
			v, err := out.Modal(o.ctx())
			if err != nil || !strings.Contains(v.Shown(), title) {
				o.t.Errorf("want a form that shows %q: %v\n%s", title, err, v.Shown())
			}
		}
	}
	sees := func(words ...string) func(o *office, out *slackfake.Outcome) {
		return func(o *office, _ *slackfake.Outcome) {
			o.t.Helper()
			o.until(fmt.Sprint("what shows ", words), func() bool {
				all := slices.Concat(o.fake.Messages(dev), o.fake.DM(maria), o.fake.Ephemerals(maria))
				return slices.ContainsFunc(all, func(m slackfake.Message) bool { return shows(m, words...) })
			})
		}
	}
	ready := func(o *office) slackfake.Surface { return o.ready(maria, dev, "/env create qa", "qa") }
	running := func(o *office) slackfake.Surface {
		o.types(maria, dev, "/env create qa")
		return o.card(dev, "Making qa")
	}
	failed := func(o *office) slackfake.Surface {
		running(o)
		o.fails("qa", "it does not build.")
		return o.card(dev, "qa: failed")
	}
	warning := func(o *office) slackfake.Surface {
		ready(o)
		e := must(o.store.Environment(o.t.Context(), "qa"))
		if told, err := o.door.Warn(o.t.Context(), e, 2*time.Hour, o.now().Add(2*time.Hour)); !told || err != nil {
			o.t.Fatal(told, err)
		}
		return o.card(o.fake.IM(maria), "ends in")
	}
	typed := func(on func(*office) slackfake.Surface, text string) func(o *office) slackfake.Surface {
		return func(o *office) slackfake.Surface {
			if on != nil {
				on(o)
			}
			return o.answered(o.types(maria, dev, text))
		}
	}
	home := func(on func(*office) slackfake.Surface) func(o *office) slackfake.Surface {
		return func(o *office) slackfake.Surface {
			if on != nil {
				on(o)
			}
			if _, err := o.fake.User(maria).OpenHome(o.ctx()); err != nil {
				o.t.Fatal(err)
			}
			o.until("a home", func() bool { return o.fake.Home(maria) != nil })
			return *o.fake.Home(maria)
		}
	}
	form := func(values slackfake.Values, then func(o *office, out *slackfake.Outcome)) func(o *office, out *slackfake.Outcome) {
		return func(o *office, out *slackfake.Outcome) {
			o.t.Helper()
			shown, err := out.Modal(o.ctx())
			if err != nil {
				o.t.Fatal(err)
			}
			sent := o.submits(maria, shown, values)
			if len(sent.Fields) > 0 {
				o.t.Errorf("fields %v", sent.Fields)
			}
			then(o, sent)
		}
	}
	// Every button of each view, and what it does.
	for name, view := range map[string]struct {
		shown   func(o *office) slackfake.Surface
		buttons does
	}{
		"running card": {running, does{"Cancel": sees("Berth is stopping it"), "Details": sees("qa — creating")}},
		"ready card": {ready, does{"Deploy…": form(slackfake.Values{"app:web": "hotfix/1.2.3"}, sees("Deploying to qa", "hotfix/1.2.3")),
			"Extend": sees("now ends"), "Destroy": sees("Destroying qa")}},
		"failed card": {failed, does{"Evidence": func(o *office, _ *slackfake.Outcome) {
			o.until("the evidence", func() bool {
				for _, m := range o.fake.Messages(dev) {
					if len(m.Files) == 2 {
						return true
					}
				}
				return false
			})
		},
			"Retry": sees("Trying again on qa"), "Destroy": sees("Destroying qa"),
			"Show log": func(o *office, _ *slackfake.Outcome) {
				o.until("the log", func() bool {
					for _, m := range o.fake.Messages(dev) {
						if len(m.Files) == 1 {
							return true
						}
					}
					return false
				})
			}}},
		"warning": {warning, does{"Extend by a day": sees("now ends"),
			"Extend…": form(slackfake.Values{"ttl": "2 d"}, sees("now ends")), "Destroy now": sees("Destroying qa")}},
		"bare list, empty": {typed(nil, "/env"), does{"New environment": modal("Branch of web")}},
		"bare list": {typed(ready, "/env"), does{"New environment": modal("Branch of web"), "Extend": sees("now ends"),
			"Deploy…": form(nil, sees("Deploying to qa")), "Details": sees("qa — ready", "qa/web"), "Destroy": sees("Destroying qa")}},
		"bare list, failed": {typed(failed, "/env"), does{"New environment": modal("Branch of web"), "Retry": sees("Trying again on qa"),
			"Why?": sees("it does not build."), "Details": sees("qa — failed"), "Destroy": sees("Destroying qa")}},
		"environment":    {typed(ready, "/env show qa"), does{"Extend": sees("now ends"), "Deploy…": modal("qa"), "Destroy": sees("Destroying qa")}},
		"server":         {typed(ready, "/server show qa/web"), does{"Log": sees("log of qa/web"), "Destroy": sees("Removing a server from qa")}},
		"destroy, asked": {typed(ready, "/env destroy qa"), does{"Destroy": sees("Destroying qa"), "Keep it": sees("qa — ready")}},
		"help":           {typed(nil, "/env help"), does{"New environment": modal("Branch of web"), "My environments": sees("You have no environments")}},
		"home, empty":    {home(nil), does{"New environment": modal("Branch of web")}},
		"home": {home(ready), does{"New environment": modal("Branch of web"), "Extend": sees("now ends"), "Deploy…": modal("qa"),
			"Details": nil, "Destroy": sees("Destroying qa")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for label, then := range view.buttons {
				t.Run(label, func(t *testing.T) {
					t.Parallel()
					o := newOffice(t, settings{http: true})
					shown := view.shown(o)
					for _, e := range shown.Elements() {
						if _, ok := view.buttons[e.Label]; !ok && e.Type == "button" && e.URL == "" {
							t.Errorf("the button %q is not tested", e.Label)
						}
					}
					out := o.clicks(maria, shown, label)
					if then == nil { // at home: the answer is in her own conversation
						then = sees("qa — ready")
					}
					then(o, out)
					o.worked()
					for range 2 {
						o.ends("qa")
					}
				})
			}
		})
	}
}

// The shortcut opens the form, from wherever it is used.
func TestShortcut(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		o := newOffice(t, settings{http: http})
		out, err := o.fake.User(maria).Shortcut(o.ctx(), "berth_new")
		if err != nil || out.Failure != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		v, err := out.Modal(o.ctx())
		if err != nil {
			t.Fatal(err)
		}
		o.submits(maria, v, slackfake.Values{"name": "qa"})
		o.card(o.fake.IM(maria), "Making qa")
		o.ends("qa")
	}
}
