package slack_test

import (
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// The story that Berth is for: a mistyped branch is answered in one sentence,
// seen by nobody else, with the right name on a button; pressing it makes the
// environment.
func TestMistypedBranch(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"socket", "http"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{http: mode == "http"})
			m := o.answered(o.types(maria, dev, "/env create qa shop web=feature/logn"))
			if !m.Ephemeral() || m.EphemeralTo != maria {
				t.Errorf("everybody sees it: %+v", m)
			}
			mustSay(t, m, "feature/logn", "feature/login")
			var buttons []slackfake.Element
			for _, e := range m.Elements() {
				if e.Type == "button" {
					buttons = append(buttons, e)
				}
			}
			if len(buttons) != 1 || !strings.Contains(buttons[0].Label, "web=feature/login") {
				t.Fatalf("buttons %+v", buttons)
			}
			if n := len(o.fake.Messages(dev)); n != 0 {
				t.Errorf("%d messages in the channel already", n)
			}
			o.clicks(maria, m, buttons[0].ActionID)
			card := o.card(dev, "qa", "feature/login", "<@"+maria+">")
			o.say("qa", "qa/web", "configuring", "make build")
			o.card(dev, "make build")
			o.ends("qa")
			card = o.card(dev, "qa is ready", "http://127.0.0.1:")
			if card.Edits == 0 {
				t.Error("another message instead of an edit")
			}
			o.until("the end told", func() bool { return len(o.fake.Thread(dev, card.TS)) == 2 })
			told := o.fake.Thread(dev, card.TS)[1]
			mustSay(t, told, "<@"+maria+">", "qa is ready")
			if told.Broadcast {
				t.Error("a success is sent to the whole channel")
			}
		})
	}
}
