package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
)

func newPlaygroundCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "playground",
		Short: "Try Berth as it is in Slack, in a browser and without an account",
		Long: `Run Berth together with a stand-in for Slack and its page: channels, slash
commands, cards, forms and Berth's Home, as anybody of a small team. The servers
are real. The people are maria, tom and whom the catalog names; #ops is a private
channel in which Berth is not.

Ctrl-C ends both. What was made stays as it is for the next playground on the
same data folder; messages do not.`,
		Example: "  berth playground --catalog ops/berth.hcl\n  berth playground --listen 127.0.0.1:8000",
		Args:    needWords(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			listen, _ := f.GetString("listen")
			path, _ := f.GetString("catalog")
			if e := os.Getenv("BERTH_CATALOG"); e != "" && !f.Changed("catalog") {
				path = e
			}
			data, _ := f.GetString("data")
			if data == "" && os.Getenv("BERTH_DATA") == "" {
				data = dataFolderOr("") + "-playground" // never the one of a Berth in earnest
			}
			return playground(cmd.Context(), playgroundOptions{Listen: listen, Catalog: path, Data: dataFolderOr(data), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()})
		},
	}
	f := c.Flags()
	f.String("listen", "127.0.0.1:0", "where the page is; port 0 takes a free one")
	f.String("catalog", "berth.hcl", "the catalog (BERTH_CATALOG)")
	return c
}

type playgroundOptions struct {
	Listen, Catalog, Data string
	Out, Err              io.Writer
}

// playground runs Berth and a stand-in for Slack until it is told to stop.
func playground(ctx context.Context, o playgroundOptions) error {
	if err := checkPlaygroundListen(o.Listen); err != nil {
		return err
	}
	c, err := catalog.Open(o.Catalog)
	if err != nil {
		return err
	}
	fake, err := slackfake.New(sampleWorkspace(c.Current(), o.Listen))
	if err != nil {
		if strings.Contains(err.Error(), "listen") {
			return orchestrator.Errorf(orchestrator.CodeState, "The playground's page cannot be at %s (%v).", o.Listen, reason(err)).WithHint("%s", otherPort(err))
		}
		return err
	}
	defer fake.Close()
	fake.Handle("/", fake.Page())
	if err := passable(o.Data); err != nil {
		return err
	}
	path := filepath.Join(o.Data, "playground.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return dataError(o.Data, err)
	}
	defer log.Close()
	secrets := takeSecrets()
	secrets.SlackBotToken, secrets.SlackAppToken, secrets.SlackSigningSecret = fake.BotToken(), fake.AppToken(), ""
	ready := &greeting{out: o.Out, text: fmt.Sprintf("\nOpen %s in a browser, and type /env there.\n\nYou are maria or tom. What Berth logs is in %s.\nCtrl-C ends the playground.\n", fake.URL(), path)}
	err = serve(ctx, serveOptions{Catalog: o.Catalog, Data: o.Data, Listen: "127.0.0.1:0", RetryAfter: retryAfter, Slack: slackOptions{APIURL: fake.APIURL()}, Secrets: secrets, Out: ready, Err: log})
	var told *orchestrator.Error
	if err != nil && !errors.As(err, &told) {
		return orchestrator.Errorf(orchestrator.CodeState, "Berth ended: %v.", err).WithHint("its log says more: %s", path)
	}
	if err == nil && ready.done {
		fmt.Fprintf(o.Out, "\nThe playground is over. What it made stays in %s.\n", o.Data)
	}
	return err
}

// greeting passes on what serve says, and adds where the page is.
type greeting struct {
	out  io.Writer
	text string
	done bool
}

func (g *greeting) Write(p []byte) (int, error) {
	// Its address looks like a page to open, and is none.
	n, err := fmt.Fprintf(g.out, "Berth is %s, for the berth command.\n", bytes.TrimRight(p, "\n"))
	if err == nil && !g.done {
		g.done = true
		_, err = io.WriteString(g.out, g.text)
	}
	if err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

// checkPlaygroundListen refuses to be reached from elsewhere: on the page
// everybody is whoever they like.
func checkPlaygroundListen(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is no address to listen on.", listen).WithHint("--listen 127.0.0.1:0")
	}
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The playground is for this machine alone: whoever can open its page can be anybody there.").
			WithHint("--listen 127.0.0.1:%s, and from another machine: ssh -L %[1]s:127.0.0.1:%[1]s HOST", port)
	}
	return nil
}

// peopleAtMost is how many of a catalog's people the playground has.
const peopleAtMost = 20

// sampleWorkspace is a small workspace for a catalog: maria and tom, and whom it
// names; channels with Berth, and one without.
func sampleWorkspace(c *orchestrator.Catalog, listen string) slackfake.Options {
	users := []slackfake.User{{ID: "U0MARIA", Name: "maria", RealName: "Maria", Email: "maria@example.com"}, {ID: "U0TOM", Name: "tom", RealName: "Tom", Email: "tom@example.com"}}
	for i, p := range c.People[:min(len(c.People), peopleAtMost)] {
		u := slackfake.User{ID: p.Slack, Name: p.Name, Email: p.Email}
		if known := p.Name == "maria" || p.Name == "tom"; known {
			// The catalog's maria takes the place of the sample one.
			n := map[string]int{"maria": 0, "tom": 1}[p.Name]
			users[n].ID, users[n].Email = cmp.Or(u.ID, users[n].ID), cmp.Or(u.Email, users[n].Email)
			continue
		}
		u.ID = cmp.Or(u.ID, fmt.Sprintf("U0PERSON%02d", i))
		u.Email = cmp.Or(u.Email, p.Name+"@example.com")
		users = append(users, u)
	}
	var all []string
	for _, u := range users {
		all = append(all, u.ID)
	}
	with := append([]string{slackfake.BotUser}, all...)
	return slackfake.Options{Listen: listen, Team: slackfake.Team{Name: "Harbour", Domain: "harbour"}, Users: users, Commands: slashCommands(),
		Channels: []slackfake.Channel{{ID: "C0DEV", Name: "dev", Members: with}, {ID: "C0SHOP", Name: "shop", Members: with}, {ID: "C0OPS", Name: "ops", Private: true, Members: all}}}
}

// slashCommands are those of the app's manifest.
func slashCommands() []slackfake.Command {
	var m struct {
		Features struct {
			Commands []struct {
				Name   string `json:"command"`
				What   string `json:"description"`
				Usage  string `json:"usage_hint"`
				Escape bool   `json:"should_escape"`
			} `json:"slash_commands"`
		} `json:"features"`
	}
	if err := json.Unmarshal([]byte(slack.Manifest(slack.ManifestOptions{})), &m); err != nil {
		panic(err) // of our own making: it cannot fail
	}
	var all []slackfake.Command
	for _, c := range m.Features.Commands {
		all = append(all, slackfake.Command{Name: c.Name, Description: c.What, UsageHint: c.Usage, ShouldEscape: c.Escape})
	}
	return all
}
