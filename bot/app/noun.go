package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// nounFlags are the flags of berth env and berth server; everything else on
// the line belongs to the grammar.
type nounFlags struct {
	json, detach, yes, follow, all, help bool
	data                                 string
}

// splitFlags takes the client's own flags out of a command line. After "--"
// nothing is a flag.
func splitFlags(args []string) (f nounFlags, words []string, err error) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return f, append(words, args[i+1:]...), nil
		case arg == "--json":
			f.json = true
		case arg == "--detach" || arg == "-d":
			f.detach = true
		case arg == "--yes" || arg == "-y":
			f.yes = true
		case arg == "--follow" || arg == "-f":
			f.follow = true
		case arg == "--all":
			f.all = true
		case arg == "--help" || arg == "-h":
			f.help = true
		case arg == "--data":
			if i++; i == len(args) {
				return f, nil, orchestrator.Errorf(orchestrator.CodeGrammar, "--data needs a folder.")
			}
			f.data = args[i]
		case strings.HasPrefix(arg, "--data="):
			f.data = strings.TrimPrefix(arg, "--data=")
		default:
			words = append(words, arg)
		}
	}
	return f, words, nil
}

func newNounCommand(noun orchestrator.Noun) *cobra.Command {
	short := map[orchestrator.Noun]string{
		orchestrator.NounEnv:    "Make, change, look at and end environments",
		orchestrator.NounServer: "Make, change, look at and end single servers",
	}
	c := &cobra.Command{
		Use:                string(noun) + " VERB …",
		Short:              short[noun],
		DisableFlagParsing: true,
		ValidArgsFunction:  completeNoun(noun),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, words, err := splitFlags(args)
			if err != nil {
				return err
			}
			if f.help || len(words) == 0 || words[0] == "help" {
				verb := ""
				if len(words) > 0 && words[0] != "help" {
					verb = words[0]
				} else if len(words) > 1 {
					verb = words[1]
				}
				fmt.Fprint(cmd.OutOrStdout(), nounHelp(noun, verb))
				return nil
			}
			parsed, err := bot.ParseArgs(append([]string{string(noun)}, words...))
			if err != nil {
				return err
			}
			if parsed.Command.Verb == orchestrator.VerbHelp {
				fmt.Fprint(cmd.OutOrStdout(), nounHelp(noun, parsed.Command.Name))
				return nil
			}
			if parsed.Guess {
				fmt.Fprintf(cmd.ErrOrStderr(), "Understood as: berth %s\n", parsed.Canonical)
			}
			s := session{flags: f, cmd: parsed.Command, text: parsed.Canonical, in: cmd.InOrStdin(), console: console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()),
				client: connect(dataFolderOr(f.data))}
			return s.run(cmd.Context())
		},
	}
	return c
}

func nounHelp(noun orchestrator.Noun, verb string) string {
	return bot.Help(string(noun), verb) + `
Flags:
  --json        one JSON value on standard output, progress on standard error
  --detach      do not wait for the end of a change
  --yes         do not ask before a destroy
  -f, --follow  with logs: go on as lines arrive
  --data DIR    the data folder of the serve to talk to (BERTH_DATA)
`
}

// session is one command of one person at a terminal.
type session struct {
	flags   nounFlags
	cmd     orchestrator.Command
	text    string
	in      io.Reader
	console *console.Console
	client  *client.Client
	name    string // of the environment, once Berth has answered
}

func (s *session) run(ctx context.Context) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if s.cmd.Verb == orchestrator.VerbLogs {
		return s.logs(ctx)
	}
	if s.cmd.Verb == orchestrator.VerbDestroy && !s.flags.yes {
		if err := s.confirm(ctx); err != nil {
			return err
		}
	}
	if s.cmd.Verb == orchestrator.VerbList && s.cmd.Noun == orchestrator.NounEnv {
		return s.interrupted(ctx, s.list(ctx), "")
	}
	answer, err := s.client.Do(ctx, s.text)
	if err != nil {
		return s.interrupted(ctx, err, "")
	}
	if answer.Operation == nil || !s.cmd.Changes() {
		s.show(answer)
		return nil
	}
	s.name = answer.Environment.Name
	if answer.Note != "" {
		fmt.Fprintln(s.console.Err, answer.Note)
	}
	if s.flags.detach || s.cmd.Verb == orchestrator.VerbCancel {
		return s.accepted(answer)
	}
	return s.follow(ctx, *answer.Operation)
}

// list shows environments; --json is passed through as Berth wrote it.
func (s *session) list(ctx context.Context) error {
	if s.flags.json {
		return s.client.List(ctx, s.text, s.console.Out)
	}
	rows, err := s.client.Rows(ctx, s.text)
	if err == nil {
		s.console.Rows(rows)
	}
	return err
}

func (s *session) accepted(a orchestrator.Answer) error {
	if s.flags.json {
		writeJSON(s.console.Out, a.Environment)
		return nil
	}
	if s.flags.detach {
		fmt.Fprintf(s.console.Out, "Accepted as %s. Look at it with: berth env show %s\n", a.Operation.ID, a.Environment.Name)
	}
	return nil
}

// interrupted says what goes on when a person presses Ctrl-C.
func (s *session) interrupted(ctx context.Context, err error, operationID string) error {
	if ctx.Err() == nil {
		return err
	}
	if operationID != "" {
		fmt.Fprintf(s.console.Err, "\nThis goes on without you (operation %s). Look at it with: berth env show %s; stop it with: berth env cancel %s\n", operationID, s.name, s.name)
	}
	return errSilent{130}
}

// confirm asks before a destroy; without a terminal it refuses.
func (s *session) confirm(ctx context.Context) error {
	name := s.cmd.Environment
	if s.cmd.App != "" {
		name += "/" + s.cmd.App
	}
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || s.flags.json {
		return orchestrator.Errorf(orchestrator.CodeConfirm, "Destroying %s wants a yes, and there is no terminal to ask at.", name).
			WithHint("berth %s --yes", s.text)
	}
	answer, err := s.client.Do(ctx, "env show "+s.cmd.Environment)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.console.Err, "This destroys %s", name)
	if s.cmd.App == "" {
		var servers []string
		for _, v := range answer.Environment.Servers {
			servers = append(servers, v.Name)
		}
		fmt.Fprintf(s.console.Err, " with %s", strings.Join(servers, ", "))
	}
	fmt.Fprintf(s.console.Err, ". Type its name to go on: ")
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(line) != name {
		return orchestrator.Errorf(orchestrator.CodeConfirm, "That was not %q: nothing has been destroyed.", name)
	}
	return nil
}

func (s *session) show(a orchestrator.Answer) {
	if s.flags.json {
		writeJSON(s.console.Out, jsonOf(s.cmd, a))
		return
	}
	c := s.console
	switch {
	case a.Servers != nil:
		c.Servers(*a.Servers)
	case a.History != nil:
		c.History(*a.History)
	case a.Plan != nil:
		c.Plan(*a.Plan)
	case s.cmd.Verb == orchestrator.VerbWhy:
		c.Why(*a.Environment)
	case a.Server != nil:
		c.Server(*a.Server)
	case a.Environment != nil:
		c.Environment(*a.Environment)
	}
}

// jsonOf is the part of an answer that --json prints.
func jsonOf(cmd orchestrator.Command, a orchestrator.Answer) any {
	switch {
	case a.Servers != nil:
		return a.Servers
	case a.History != nil:
		return a.History
	case a.Plan != nil:
		return a.Plan
	case cmd.Verb == orchestrator.VerbWhy:
		return a.Environment.Diagnosis
	case a.Server != nil:
		return a.Server
	}
	return a.Environment
}

// follow shows an operation until its end and answers with its outcome.
func (s *session) follow(ctx context.Context, op orchestrator.Operation) error {
	progress := s.console.Progress()
	var seq int64
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	type result struct {
		wire.Watch
		err error
	}
	for {
		got := make(chan result, 1)
		go func() {
			w, err := s.client.Watch(ctx, op.ID, seq, 20*time.Second)
			got <- result{w, err}
		}()
		var r result
		for waiting := true; waiting; {
			select {
			case r = <-got:
				waiting = false
			case <-ticks.C:
				progress.Tick()
			}
		}
		if r.err != nil {
			return s.interrupted(ctx, r.err, op.ID)
		}
		progress.Add(r.Events)
		for _, e := range r.Events {
			seq = max(seq, e.Seq)
		}
		if r.Operation.Status.Ended() {
			return s.ended(r.Watch)
		}
	}
}

func (s *session) ended(w wire.Watch) error {
	failed := w.Operation.Status != orchestrator.OperationSucceeded
	if s.flags.json {
		writeJSON(s.console.Out, w.Environment)
	} else if failed {
		fmt.Fprintln(s.console.Err)
		if w.Diagnosis != nil {
			s.console.Diagnosis(s.console.Err, *w.Diagnosis)
		}
		if back := orchestrator.GoBack(w.Environment); back != "" {
			fmt.Fprintf(s.console.Err, "To go back to what ran before: berth %s\n", back)
		}
	} else if w.Environment.Status == orchestrator.StatusDestroyed {
		fmt.Fprintf(s.console.Out, "%s is gone.\n", w.Environment.Name)
	} else {
		fmt.Fprintln(s.console.Out)
		s.console.Servers(w.Environment.Servers)
	}
	if failed {
		return errSilent{1}
	}
	return nil
}

func (s *session) logs(ctx context.Context) error {
	wait := time.Duration(0)
	if s.flags.follow {
		wait = 20 * time.Second
	}
	var offset int64
	server := ""
	if s.cmd.App != "" {
		server = s.cmd.Environment + "/" + s.cmd.App
	}
	all := []any{}
	for {
		l, err := s.client.Logs(ctx, s.cmd.Environment, offset, wait)
		if err != nil {
			return s.interrupted(ctx, err, "")
		}
		for _, line := range l.Lines {
			if server != "" && line.Server != server {
				continue
			}
			if s.flags.json {
				all = append(all, line)
				continue
			}
			fmt.Fprintf(s.console.Out, "%s %s %s\n", line.At.Local().Format("15:04:05"), line.Server, strings.TrimRight(line.Text, "\n"))
		}
		offset = l.Next
		if !s.flags.follow && len(l.Lines) == 0 {
			break
		}
	}
	if s.flags.json {
		writeJSON(s.console.Out, all)
	}
	return nil
}

// completeNoun completes verbs, then environments, servers, apps and keys.
func completeNoun(noun orchestrator.Noun) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		f, words, err := splitFlags(args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		if len(words) == 0 {
			for _, r := range bot.Records {
				if r.Noun == noun {
					out = append(out, string(r.Verb))
				}
			}
			return matching(out, prefix), cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		c := connect(dataFolderOr(f.data))
		if app, _, ok := strings.Cut(prefix, "="); ok {
			all, err := c.Branches(ctx, app)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, b := range all {
				out = append(out, app+"="+b)
			}
			return matching(out, prefix), cobra.ShellCompDirectiveNoFileComp
		}
		if noun == orchestrator.NounServer && len(words) == 2 && words[0] == "create" {
			all, err := c.Branches(ctx, words[1])
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return matching(all, prefix), cobra.ShellCompDirectiveNoFileComp
		}
		n, err := c.Names(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if len(words) == 1 && noun == orchestrator.NounServer && words[0] == "create" {
			out = n.Apps
		} else if len(words) == 1 && noun == orchestrator.NounServer {
			out = append(n.Servers, n.Environments...)
		} else if len(words) == 1 {
			out = n.Environments
		} else {
			out = append(out, n.Blueprints...)
			for _, a := range n.Apps {
				out = append(out, a+"=")
			}
			for _, z := range n.Sizes {
				out = append(out, "size="+z)
			}
			for _, t := range n.Targets {
				out = append(out, "target="+t)
			}
			out = append(out, "ttl=")
		}
		return matching(out, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

func matching(all []string, prefix string) []string {
	var out []string
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}
