package slack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// The doctor finds each thing that keeps Slack from working, and says what to
// do about it.
func TestExamine(t *testing.T) {
	t.Parallel()
	all := slackfake.DefaultScopes
	const public = "https://berth.example.com"
	for name, c := range map[string]struct {
		http    bool
		change  func(fake *slackfake.Server, o *slack.ExamineOptions)
		check   string
		ok      bool
		found   string
		next    string
		checked int // how many checks there are
	}{
		"off": {change: func(_ *slackfake.Server, o *slack.ExamineOptions) { *o = slack.ExamineOptions{} },
			check: "slack", ok: true, found: "off; to turn it on", checked: 1},
		"the app":            {check: "slack", ok: true, found: "Demo knows this app as @berth", checked: 3},
		"the scopes":         {check: "scopes", ok: true, found: "all 12 are there", checked: 3},
		"the socket":         {check: "socket", ok: true, found: "lets Berth connect", checked: 3},
		"HTTP mode":          {http: true, check: "address", ok: true, found: "Slack calls https://berth.example.com/slack/", checked: 3},
		"both ways":          {change: func(f *slackfake.Server, o *slack.ExamineOptions) { o.SigningSecret = f.SigningSecret() }, check: "socket", ok: true, found: "not used", checked: 3},
		"no bot token":       {change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.BotToken = "" }, check: "slack", found: "bot token is missing", next: "xoxb-", checked: 1},
		"the wrong token":    {change: func(f *slackfake.Server, o *slack.ExamineOptions) { o.BotToken = f.AppToken() }, check: "slack", found: "holds no bot token", next: "xoxb-", checked: 1},
		"the other token":    {change: func(f *slackfake.Server, o *slack.ExamineOptions) { o.AppToken = f.BotToken() }, check: "slack", found: "holds no app token", next: "xapp-", checked: 1},
		"a line break":       {change: func(f *slackfake.Server, o *slack.ExamineOptions) { o.BotToken += "\n" }, check: "slack", found: "BERTH_SLACK_BOT_TOKEN holds a space or a line break", next: "without", checked: 1},
		"only a bot token":   {change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.AppToken = "" }, check: "slack", found: "nothing by which Slack can reach", next: "BERTH_SLACK_SIGNING_SECRET", checked: 1},
		"a token of nobody":  {change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.BotToken = "xoxb-nobody" }, check: "slack", found: "BERTH_SLACK_BOT_TOKEN: the token is not valid", next: "OAuth & Permissions", checked: 2},
		"revoked":            {change: func(f *slackfake.Server, _ *slack.ExamineOptions) { f.SetBotToken("token_revoked") }, check: "slack", found: "the token was revoked", next: "take it anew", checked: 2},
		"removed":            {change: func(f *slackfake.Server, _ *slack.ExamineOptions) { f.SetBotToken("account_inactive") }, check: "slack", found: "removed from the workspace", next: "install it again", checked: 2},
		"a wrong app token":  {change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.AppToken = "xapp-nobody" }, check: "socket", found: "BERTH_SLACK_APP_TOKEN: the token is not valid", next: "App-Level Tokens", checked: 3},
		"Socket Mode is off": {change: func(f *slackfake.Server, _ *slack.ExamineOptions) { f.SetSocketMode(false) }, check: "socket", found: "Socket Mode is off", next: "turn it on", checked: 3},
		"two scopes missing": {change: func(f *slackfake.Server, _ *slack.ExamineOptions) {
			f.SetScopes(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "files:write" || s == "commands" })...)
		}, check: "scopes", found: "missing: commands (the slash commands); files:write (logs as files)", next: "install the app again", checked: 3},
		"an outage":      {change: func(f *slackfake.Server, _ *slack.ExamineOptions) { _ = f.SetOutage(slackfake.Unavailable) }, check: "slack", found: "Slack has trouble (503", next: "slack-status.com", checked: 2},
		"out of reach":   {change: func(f *slackfake.Server, _ *slack.ExamineOptions) { _ = f.SetOutage(slackfake.Refused) }, check: "slack", found: "Slack is out of reach at http://127.0.0.1", next: "BERTH_SLACK_API_URL", checked: 2},
		"no address":     {http: true, change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.PublicURL = "" }, check: "address", found: "BERTH_PUBLIC_URL is not set", next: "https", checked: 3},
		"plain http":     {http: true, change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.PublicURL = "http://berth.example.com" }, check: "address", found: "https addresses only", next: "https", checked: 3},
		"this machine":   {http: true, change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.PublicURL = "https://127.0.0.1:7878" }, check: "address", found: "cannot call https://127.0.0.1:7878", next: "https", checked: 3},
		"this network":   {http: true, change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.PublicURL = "https://10.1.2.3" }, check: "address", found: "cannot call", next: "https", checked: 3},
		"not an address": {http: true, change: func(_ *slackfake.Server, o *slack.ExamineOptions) { o.PublicURL = "berth" }, check: "address", found: `no address: "berth"`, next: "https", checked: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, err := slackfake.New(slackfake.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fake.Close)
			o := slack.ExamineOptions{BotToken: fake.BotToken(), AppToken: fake.AppToken(), APIURL: fake.APIURL(), PublicURL: public}
			if c.http {
				o.AppToken, o.SigningSecret = "", fake.SigningSecret()
			}
			if c.change != nil {
				c.change(fake, &o)
			}
			checks := slack.Examine(t.Context(), o)
			if len(checks) != c.checked {
				t.Errorf("%d checks: %+v", len(checks), checks)
			}
			for _, k := range checks {
				if o.BotToken != "" && strings.Contains(k.Found+k.Next, o.BotToken) || o.AppToken != "" && strings.Contains(k.Found+k.Next, o.AppToken) {
					t.Errorf("it tells a secret: %+v", k)
				}
				if !k.OK && k.Next == "" {
					t.Errorf("nothing to do: %+v", k)
				}
				if k.Name == c.check {
					if k.OK != c.ok || !strings.Contains(k.Found, c.found) || !strings.Contains(k.Next, c.next) || k.OK && k.Next != "" {
						t.Errorf("%+v", k)
					}
					return
				}
			}
			t.Errorf("no check %q: %+v", c.check, checks)
		})
	}
}
