package slack

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Scope is a right that the app asks for, and why.
type Scope struct{ Name, Why string }

// Scopes are the bot's; each is used by what Why says.
var Scopes = []Scope{
	{"commands", "the slash commands"},
	{"chat:write", "cards, answers and warnings"},
	{"chat:write.public", "cards in public channels that Berth was not invited to"},
	{"app_mentions:read", "commands by mention"},
	{"im:history", "commands in a direct message; finding a card again after a crash"},
	{"im:write", "opening the conversation for warnings and for cards that cannot stand where they were asked for"},
	{"channels:history", "finding a card again after a crash, in public channels"},
	{"groups:history", "the same in private channels that Berth was invited to"},
	{"users:read", "who asks: deactivated accounts and guests are refused"},
	{"users:read.email", "people that the catalog lists by e-mail, or not at all"},
	{"usergroups:read", "user groups as teams of the policy"},
	{"files:write", "logs as files"},
}

// ManifestOptions say for which installation a manifest is.
type ManifestOptions struct {
	EnvCommand, ServerCommand string
	// PublicURL is where Slack reaches Berth in HTTP mode; empty: Socket Mode.
	PublicURL string
}

// Manifest is the app's manifest as JSON, which Slack takes as well as YAML. It
// is made from the same records as the help.
func Manifest(o ManifestOptions) string {
	if o.EnvCommand == "" {
		o.EnvCommand = "/env"
	}
	if o.ServerCommand == "" {
		o.ServerCommand = "/server"
	}
	socket := o.PublicURL == ""
	base := strings.TrimSuffix(o.PublicURL, "/")
	at := func(m map[string]any, key, path string) map[string]any {
		if !socket {
			m[key] = base + path
		}
		return m
	}
	command := func(name string, noun orchestrator.Noun, what string) map[string]any {
		return at(map[string]any{"command": name, "description": what, "usage_hint": usage(noun), "should_escape": true}, "url", "/slack/commands")
	}
	var scopes []string
	for _, s := range Scopes {
		scopes = append(scopes, s.Name)
	}
	interactivity := at(at(map[string]any{"is_enabled": true}, "request_url", "/slack/interactions"), "message_menu_options_url", "/slack/interactions")
	m := map[string]any{
		"_metadata": map[string]any{"major_version": 1},
		"display_information": map[string]any{"name": "Berth", "description": "Test servers and environments for every branch",
			"background_color": "#0b3d5c"},
		"features": map[string]any{
			"app_home":  map[string]any{"home_tab_enabled": true, "messages_tab_enabled": true, "messages_tab_read_only_enabled": false},
			"bot_user":  map[string]any{"display_name": "berth", "always_online": true},
			"shortcuts": []any{map[string]any{"name": "New environment", "type": "global", "callback_id": "berth_new", "description": "Make a test environment"}},
			"slash_commands": []any{
				command(o.EnvCommand, orchestrator.NounEnv, "Make, change, look at and end environments"),
				command(o.ServerCommand, orchestrator.NounServer, "Make, change, look at and end single servers"),
			},
		},
		"oauth_config": map[string]any{"scopes": map[string]any{"bot": scopes}},
		"settings": map[string]any{
			"event_subscriptions":    at(map[string]any{"bot_events": []string{"app_home_opened", "app_mention", "message.im"}}, "request_url", "/slack/events"),
			"interactivity":          interactivity,
			"org_deploy_enabled":     false,
			"socket_mode_enabled":    socket,
			"token_rotation_enabled": false,
		},
	}
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(err) // plain values: they cannot fail
	}
	return string(out)
}

// usage is a hint at the verbs of a noun.
func usage(noun orchestrator.Noun) string {
	var verbs []string
	for _, r := range bot.Records {
		if r.Noun == noun {
			verbs = append(verbs, string(r.Verb))
		}
	}
	return strings.Join(append(verbs, "help"), " | ")
}

// InstallURL opens Slack's page for a new app with the manifest filled in. JSON
// is YAML too, which that page takes; without its blanks the link is shorter.
func InstallURL(manifest string) string {
	var short bytes.Buffer
	if err := json.Compact(&short, []byte(manifest)); err != nil {
		panic(err) // Manifest wrote it
	}
	return "https://api.slack.com/apps?new_app=1&manifest_yaml=" + strings.ReplaceAll(url.QueryEscape(short.String()), "+", "%20")
}

// Check says what is wrong with the options, in words for people.
func (o ManifestOptions) Check() error {
	for _, c := range []struct{ flag, name string }{{"--env-command", o.EnvCommand}, {"--server-command", o.ServerCommand}} {
		if c.name != "" && !commandPattern.MatchString(c.name) {
			return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q cannot be a slash command.", c.name).
				WithHint("%s takes a slash, then small letters, digits, hyphens and underscores, 32 in all, such as /berth-env", c.flag)
		}
	}
	if cmp.Or(o.EnvCommand, "/env") == cmp.Or(o.ServerCommand, "/server") {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The two slash commands have the same name, %s.", cmp.Or(o.EnvCommand, "/env")).WithHint("give --env-command and --server-command different ones")
	}
	if o.PublicURL == "" {
		return nil
	}
	if k := publicURL(o.PublicURL); !k.OK {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s.", strings.ReplaceAll(k.Found, "BERTH_PUBLIC_URL", "--url")).WithHint("--url https://berth.example.com, or leave it out for Socket Mode")
	}
	return nil
}

// commandPattern is what Slack takes as a slash command's name.
var commandPattern = lazyregexp.New(`^/[a-z0-9_-]{1,31}$`)
