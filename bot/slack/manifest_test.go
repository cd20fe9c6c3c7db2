package slack_test

import (
	"encoding/json"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The manifest as it is for both modes, and within Slack's limits.
func TestManifest(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]slack.ManifestOptions{
		"socket": {},
		"http":   {PublicURL: "https://berth.example.com/", EnvCommand: "/berth-env", ServerCommand: "/berth-server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := o.Check(); err != nil {
				t.Fatal(err)
			}
			text := slack.Manifest(o)
			path := filepath.Join("testdata", "manifest-"+name+".json")
			if *update {
				if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if golden, err := os.ReadFile(path); err != nil || string(golden) != text+"\n" {
				t.Errorf("%s is not what it was (%v); with -update it becomes:\n%s", path, err, text)
			}
			var m struct {
				Display struct {
					Name, Description string
				} `json:"display_information"`
				Features struct {
					Home     map[string]bool `json:"app_home"`
					Bot      map[string]any  `json:"bot_user"`
					Commands []struct {
						Command, Description, URL string
						Usage                     string `json:"usage_hint"`
						Escape                    bool   `json:"should_escape"`
					} `json:"slash_commands"`
					Shortcuts []struct{ Name, Type, Description string } `json:"shortcuts"`
				}
				OAuth    struct{ Scopes struct{ Bot []string } } `json:"oauth_config"`
				Settings struct {
					Events struct {
						Bot []string `json:"bot_events"`
						URL string   `json:"request_url"`
					} `json:"event_subscriptions"`
					Interactivity map[string]any
					Socket        bool `json:"socket_mode_enabled"`
				}
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err)
			}
			within := func(what, s string, limit int) {
				t.Helper()
				if n := utf8.RuneCountInString(s); n == 0 || n > limit {
					t.Errorf("%s has %d characters; Slack takes up to %d", what, n, limit)
				}
			}
			within("name", m.Display.Name, 35)
			within("description", m.Display.Description, 140)
			for _, c := range m.Features.Commands {
				within("command", c.Command, 32)
				within("description", c.Description, 2000)
				within("usage_hint", c.Usage, 1000)
				if !c.Escape {
					t.Errorf("%s is not escaped", c.Command)
				}
			}
			for _, s := range m.Features.Shortcuts {
				within("shortcut", s.Name, 24)
				within("description", s.Description, 150)
			}
			if len(m.Features.Commands) != 2 || m.Features.Home["messages_tab_read_only_enabled"] || !m.Features.Home["home_tab_enabled"] || !m.Features.Home["messages_tab_enabled"] {
				t.Errorf("features %+v", m.Features)
			}
			if m.Settings.Socket != (o.PublicURL == "") {
				t.Error("the wrong mode")
			}
			if strings.Contains(text, "url\"") != (o.PublicURL != "") {
				t.Error("addresses belong into HTTP mode, and only there")
			}
			if o.PublicURL != "" && (m.Settings.Events.URL != "https://berth.example.com/slack/events" || m.Features.Commands[0].URL != "https://berth.example.com/slack/commands" ||
				m.Settings.Interactivity["request_url"] != "https://berth.example.com/slack/interactions" || m.Settings.Interactivity["message_menu_options_url"] != "https://berth.example.com/slack/interactions") {
				t.Errorf("addresses: %s", text)
			}
			// The link carries the same manifest.
			link, err := url.Parse(slack.InstallURL(text))
			if err != nil || link.Host != "api.slack.com" || link.Query().Get("new_app") != "1" || len(link.String()) > 8000 {
				t.Fatalf("%s, %v", link, err)
			}
			var a, b any
			if json.Unmarshal([]byte(link.Query().Get("manifest_yaml")), &a) != nil || json.Unmarshal([]byte(text), &b) != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("the link carries %s", link.Query().Get("manifest_yaml"))
			}
			// What the app subscribes to and may do is what the stand-in has.
			for _, s := range m.OAuth.Scopes.Bot {
				if !slices.Contains(slackfake.DefaultScopes, s) {
					t.Errorf("slackfake does not know the scope %s", s)
				}
			}
			if !slices.Equal(slices.Sorted(slices.Values(m.Settings.Events.Bot)), []string{"app_home_opened", "app_mention", "message.im"}) {
				t.Errorf("events %v", m.Settings.Events.Bot)
			}
		})
	}
}

// Options that Slack would refuse are refused at once.
func TestManifestCheck(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]slack.ManifestOptions{
		`"env" cannot be a slash command`:                {EnvCommand: "env"},
		`"/Env" cannot be a slash command`:               {EnvCommand: "/Env"},
		`"/a b" cannot be a slash command`:               {ServerCommand: "/a b"},
		`cannot be a slash command`:                      {ServerCommand: "/" + strings.Repeat("x", 32)},
		`have the same name, /server`:                    {EnvCommand: "/server"},
		`Slack calls https addresses only`:               {PublicURL: "http://berth.example.com"},
		`--url is no address: "berth.example.com"`:       {PublicURL: "berth.example.com"},
		`Slack cannot call https://localhost:7878: that`: {PublicURL: "https://localhost:7878"},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// A bot that has just the manifest's scopes can do all that the tests do.
func TestScopesSuffice(t *testing.T) {
	t.Parallel()
	var scopes []string
	for _, s := range slack.Scopes {
		scopes = append(scopes, s.Name)
	}
	o := newOffice(t, settings{fake: slackfake.Options{Scopes: scopes}})
	o.types(maria, ops, "/env create qa") // where Berth cannot post
	o.card(o.fake.IM(maria), "Making qa")
	o.fails("qa", "make build failed.")
	failed := o.card(o.fake.IM(maria), "qa: failed")
	o.clicks(maria, failed, "Show log")
	o.until("the log", func() bool {
		for _, m := range o.fake.DM(maria) {
			if len(m.Files) > 0 {
				return true
			}
		}
		return false
	})
	o.clicks(maria, failed, "Retry")
	o.card(o.fake.IM(maria), "Trying again")
	o.stop()
	o.start(false)
	o.ends("qa")
	o.card(o.fake.IM(maria), "qa is ready")
	if _, err := o.door.Warn(t.Context(), must(o.store.Environment(t.Context(), "qa")), time.Hour, now()); err != nil {
		t.Error(err)
	}
	for code, n := range o.fake.Stats().Errors {
		if code == "missing_scope" {
			t.Errorf("%d times %s", n, code)
		}
	}
}

// The page for admins has every scope with its reason, and every variable.
func TestDocs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "slack.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	_, table, _ := strings.Cut(page, "| scope |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, s := range slack.Scopes {
		if !strings.Contains(table, "| `"+s.Name+"` | "+s.Why+" |\n") && !strings.HasSuffix(table, "| `"+s.Name+"` | "+s.Why+" |") {
			t.Errorf("docs/slack.md lacks the row | `%s` | %s |", s.Name, s.Why)
		}
	}
	if n := strings.Count(table, "\n| `"); n != len(slack.Scopes) {
		t.Errorf("docs/slack.md has %d scopes, the manifest %d", n, len(slack.Scopes))
	}
	sources, err := filepath.Glob(filepath.Join("..", "app", "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	for _, path := range sources {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`"(BERTH_SLACK_[A-Z_]+[A-Z])"`).FindAllStringSubmatch(string(source), -1) {
			if !strings.Contains(page, "`"+name[1]+"`") {
				t.Errorf("docs/slack.md does not explain %s (%s)", name[1], path)
			}
		}
	}
}
