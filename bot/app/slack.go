package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/policy"
)

// directory knows the catalog's people for Slack.
type directory struct{ house *house }

// Person finds somebody by Slack ID or e-mail address. Who is not listed is
// called by the address.
func (d directory) Person(slackID, email string) (orchestrator.Actor, bool) {
	c := d.house.source.Current()
	for _, p := range c.People {
		if slackID != "" && p.Slack == slackID || email != "" && strings.EqualFold(p.Email, email) {
			return policy.ActorNamed(c, p.Name), true
		}
	}
	return orchestrator.Actor{Name: strings.ToLower(email)}, false
}

// SlackOf says how to reach somebody.
func (d directory) SlackOf(name string) (slackID, email string) {
	for _, p := range d.house.source.Current().People {
		if p.Name == name {
			return p.Slack, p.Email
		}
	}
	if strings.Contains(name, "@") {
		return "", name
	}
	return "", ""
}

// openSlack makes the door to Slack, or none when it is off.
func (h *house) openSlack() error {
	s := h.options.Secrets
	mode, err := slack.ModeOf(s.SlackBotToken, s.SlackAppToken, s.SlackSigningSecret)
	if err != nil || mode == slack.ModeOff {
		return err
	}
	h.slack, err = slack.New(slack.Options{
		BotToken: s.SlackBotToken, AppToken: s.SlackAppToken, SigningSecret: s.SlackSigningSecret,
		APIURL: h.options.Slack.APIURL, EnvCommand: h.options.Slack.EnvCommand, ServerCommand: h.options.Slack.ServerCommand,
		Doer: h.service, Inbox: h.store, Cards: h.store, Reader: reader{h.store, h.service}, Directory: directory{h},
		Incidents: h.store, OpsChannel: h.options.Slack.OpsChannel,
		Catalog: h.source.Current, Branches: h.branches, Logs: h.logText, Now: now, Log: h.log,
	})
	return err
}

// teamsOf are a person's teams beside the catalog's.
func (h *house) teamsOf(name string) []string {
	if h.slack == nil {
		return nil
	}
	return h.slack.TeamsOf(name)
}

// runSlack lets the door to Slack work until stop is called, if there is one.
func (h *house) runSlack() (stop func()) {
	if h.slack == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.slack.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// logText is what the servers of an environment printed, as lines of text: of
// more than so many bytes the end, which is longer than that by a line at most.
func (h *house) logText(environmentID, app string, bytes int) (string, error) {
	var b tail
	for offset := int64(0); ; {
		lines, next, err := h.logs.Read(environmentID, offset)
		if err != nil || len(lines) == 0 {
			return b.String(), err
		}
		for _, l := range lines {
			if app == "" || strings.HasSuffix(l.Server, "/"+app) {
				b.add(fmt.Sprintf("%s %s %s\n", l.At.UTC().Format("15:04:05"), l.Server, strings.TrimRight(l.Text, "\n")), bytes)
			}
		}
		offset = next
	}
}

// tail is the end of a text, in pieces.
type tail struct {
	pieces []string
	size   int
}

// add adds a piece, and drops from the beginning what is not needed for so many
// bytes.
func (t *tail) add(piece string, bytes int) {
	t.pieces, t.size = append(t.pieces, piece), t.size+len(piece)
	for t.size-len(t.pieces[0]) > bytes {
		t.size -= len(t.pieces[0])
		t.pieces = t.pieces[1:]
	}
}

func (t *tail) String() string { return strings.Join(t.pieces, "") }

// deliver works through what Slack delivered, also what came before a restart
// that turned Slack off: it waits for Slack to be back.
func (h *house) deliver(ctx context.Context, key string) error {
	if h.slack == nil {
		return nil
	}
	return h.slack.Deliver(ctx, key)
}

func newSlackCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "slack", Short: "Set Berth up in Slack"})
	var o slack.ManifestOptions
	manifest := &cobra.Command{
		Use:   "manifest",
		Short: "Print the app's manifest, and a link that opens Slack with it",
		Long: `Print the manifest of Berth's app for Slack as JSON on standard output, and on
standard error a link that opens Slack's page for a new app with it filled in.
Without --url it is for Socket Mode, which needs no address that Slack can reach.`,
		Example: "  berth slack manifest\n  berth slack manifest --url https://berth.example.com",
		Args:    needWords(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			text := slack.Manifest(o)
			fmt.Fprintln(cmd.OutOrStdout(), text)
			fmt.Fprintf(cmd.ErrOrStderr(), "\nMake the app with one click:\n%s\n", slack.InstallURL(text))
			return nil
		},
	}
	f := manifest.Flags()
	f.StringVar(&o.PublicURL, "url", "", "where Slack reaches Berth: HTTP mode instead of Socket Mode")
	f.StringVar(&o.EnvCommand, "env-command", "/env", "the slash command for environments (BERTH_SLACK_ENV_COMMAND in serve)")
	f.StringVar(&o.ServerCommand, "server-command", "/server", "the slash command for servers (BERTH_SLACK_SERVER_COMMAND in serve)")
	c.AddCommand(manifest)
	return c
}
