package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
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
	json, detach, yes, follow, help bool
	data                            string
}

// clientFlags are what nounFlags are called, with their short forms.
var clientFlags = []string{"--json", "--detach", "-d", "--yes", "-y", "--follow", "-f", "--all", "--raw", "--data", "--help", "-h"}

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
			if os.Getenv("GOGC") == "" {
				// It is over in milliseconds: a long list is shown a sixth sooner
				// when less is collected on the way.
				debug.SetGCPercent(400)
			}
			f, words, err := splitFlags(args)
			if err != nil {
				return err
			}
			if f.help || len(words) == 0 || words[0] == "help" {
				words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "help" })
				return printNounHelp(cmd, noun, words)
			}
			parsed, err := bot.ParseArgs(append([]string{string(noun)}, words...))
			if err != nil {
				return forShell(unknownOption(err, words))
			}
			if parsed.Command.Verb == orchestrator.VerbHelp {
				return printNounHelp(cmd, noun, []string{parsed.Command.Name})
			}
			if f.follow && parsed.Command.Verb != orchestrator.VerbLogs {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "--follow goes with logs alone, not with %s.", parsed.Command.Verb).
					WithHint("berth env logs NAME --follow")
			}
			if parsed.Guess {
				fmt.Fprintf(cmd.ErrOrStderr(), "Understood as: berth %s\n", forShellText(parsed.Canonical))
			}
			s := session{flags: f, cmd: parsed.Command, text: parsed.Canonical, in: cmd.InOrStdin(), console: console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()),
				client: connect(dataFolderOr(f.data))}
			return forShell(corrected(s.run(cmd.Context()), parsed.Command))
		},
	}
	return c
}

// unknownOption offers the flag that was probably meant.
func unknownOption(err error, words []string) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) || e.Code != orchestrator.CodeGrammar || len(e.Suggestions) > 0 {
		return err
	}
	for _, w := range words {
		name, _, _ := strings.Cut(w, "=")
		if !strings.HasPrefix(name, "--") || !strings.Contains(e.Message, "“"+w+"”") && !strings.Contains(e.Message, "“"+name+"”") {
			continue
		}
		if near := orchestrator.Near(name, clientFlags); len(near) > 0 {
			return e.WithHint("did you mean %s?", near[0])
		}
	}
	return err
}

// printNounHelp prints the help of the verb that words begin with, or of the
// noun.
func printNounHelp(cmd *cobra.Command, noun orchestrator.Noun, words []string) error {
	verb := ""
	if len(words) > 0 {
		verb = words[0]
	}
	if verb != "" && !bot.HasHelp(string(noun), verb) {
		if _, err := bot.ParseArgs([]string{string(noun), verb, "x"}); err != nil {
			return forShell(err)
		}
		verb = ""
	}
	fmt.Fprint(cmd.OutOrStdout(), nounHelp(noun, verb))
	return nil
}

// nounHelp is the help of a verb, or of the noun, as the terminal shows it.
func nounHelp(noun orchestrator.Noun, verb string) string {
	return bot.ProgramHelp(string(noun), verb) + `
Flags:
  --json        one JSON value on standard output, progress on standard error
  -d, --detach  do not wait for the end of a change
  -y, --yes     do not ask before a destroy
  --all, --raw  with why: every step and what it kept from running; what the
                programs printed
  -f, --follow  with logs: go on as lines arrive; with --json one object a line
  --data DIR    the data folder of the serve to talk to (BERTH_DATA); or
                BERTH_URL and BERTH_TOKEN for one on another machine, with
                BERTH_CA=FILE where its certificate is from no public authority
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
	// env is the environment as Berth last told it.
	env *orchestrator.Environment
}

func (s *session) run(ctx context.Context) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if s.cmd.Verb == orchestrator.VerbLogs {
		return s.logs(ctx)
	}
	if s.cmd.Verb == orchestrator.VerbDestroy && !s.flags.yes {
		if err := s.confirm(ctx); err != nil {
			return s.interrupted(ctx, err, "")
		}
	}
	if s.cmd.Verb == orchestrator.VerbList && s.cmd.Noun == orchestrator.NounEnv {
		return s.interrupted(ctx, s.list(ctx), "")
	}
	answer, err := s.client.Do(ctx, s.text)
	if err != nil {
		if ctx.Err() != nil && s.cmd.Changes() {
			fmt.Fprintf(s.console.Err, "\nInterrupted before Berth had answered: it may have accepted this all the same. Look with: berth env list\n")
		}
		return s.interrupted(ctx, err, "")
	}
	if answer.Operation == nil || !s.cmd.Changes() {
		s.show(answer)
		return nil
	}
	s.env = answer.Environment
	if answer.Note != "" {
		fmt.Fprintln(s.console.Err, console.Clean(answer.Note))
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
		s.console.Rows(rows, s.cmd.Mine)
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

// interrupted says what goes on when a person presses Ctrl-C. With --json
// standard output still gets its one value.
func (s *session) interrupted(ctx context.Context, err error, operationID string) error {
	if ctx.Err() == nil {
		return err
	}
	if operationID != "" {
		fmt.Fprintf(s.console.Err, "\nThis goes on without you (operation %s).\n  Look at it: berth env show %s\n  Stop it:    berth env cancel %s\n", operationID, s.env.Name, s.env.Name)
	}
	if s.flags.json {
		if s.env != nil {
			writeJSON(s.console.Out, s.env)
		} else {
			writeJSON(s.console.Out, map[string]any{"error": orchestrator.Errorf(orchestrator.CodeInterrupted, "Interrupted.")})
		}
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
	what := goes(*answer.Environment, s.cmd.App)
	fmt.Fprintf(s.console.Err, "This destroys %s. Type its name (%s) to go on: ", console.Clean(what), name)
	typed := make(chan string, 1)
	go func() {
		// What ends without a line end is an answer too.
		line, _ := bufio.NewReader(s.in).ReadString('\n')
		typed <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.console.Err, "\nNothing has been destroyed.")
		return ctx.Err()
	case line := <-typed:
		if strings.TrimSpace(line) != name {
			return orchestrator.Errorf(orchestrator.CodeConfirm, "That was not %q: nothing has been destroyed.", name).
				WithHint("to destroy it without a question: berth %s --yes", s.text)
		}
	}
	return nil
}

// goes is what a destroy takes with it; app narrows it to one server.
func goes(e orchestrator.Environment, app string) string {
	var servers []string
	for _, v := range e.Servers {
		servers = append(servers, v.Name)
	}
	switch {
	case app != "" && len(servers) > 1:
		return "the server " + e.Name + "/" + app
	case len(servers) == 0:
		return "the environment " + e.Name
	case len(servers) == 1:
		return "the environment " + e.Name + " and its only server, " + servers[0]
	}
	return "the environment " + e.Name + " and its servers " + strings.Join(servers, ", ")
}

func (s *session) show(a orchestrator.Answer) {
	if s.flags.json {
		writeJSON(s.console.Out, jsonOf(s.cmd, a))
		return
	}
	c := s.console
	switch {
	case a.Servers != nil && len(*a.Servers) == 0:
		c.NoServers(s.cmd.App, s.cmd.Mine)
	case a.Servers != nil:
		c.Servers(*a.Servers)
	case a.History != nil:
		c.History(*a.History)
	case a.Plan != nil:
		c.Plan(*a.Plan)
	case s.cmd.Verb == orchestrator.VerbWhy && a.Evidence != nil && s.cmd.Detail == orchestrator.DetailRaw:
		c.Files(*a.Environment, a.Evidence.Files)
	case s.cmd.Verb == orchestrator.VerbWhy && a.Evidence != nil:
		c.WhyAll(*a.Environment, *a.Evidence)
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
		return whyOf(*a.Environment, a.Evidence)
	case a.Server != nil:
		return a.Server
	}
	return a.Environment
}

// why is what env why --json prints: the diagnosis and, after a failed deploy,
// the command that goes back; with all and raw the evidence too.
type why struct {
	*orchestrator.Diagnosis
	Back string `json:"back,omitempty"`
	*orchestrator.Evidence
}

// whyOf is nil where nothing has failed and no evidence was asked for.
func whyOf(e orchestrator.Environment, ev *orchestrator.Evidence) *why {
	if e.Diagnosis == nil && ev == nil {
		return nil
	}
	w := &why{Diagnosis: e.Diagnosis, Evidence: ev}
	if w.Diagnosis == nil {
		w.Diagnosis = &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK, Causes: []orchestrator.Cause{}}
	}
	if back := orchestrator.GoBack(e); back != "" {
		w.Back = "berth " + back
	}
	return w
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
			progress.Close()
			return s.interrupted(ctx, s.lost(r.err, op), op.ID)
		}
		s.env = &r.Environment
		progress.Add(r.Events)
		for _, e := range r.Events {
			seq = max(seq, e.Seq)
		}
		if r.Operation.Status.Ended() {
			progress.Close()
			return s.ended(r.Watch)
		}
	}
}

// lost explains that Berth went away in the middle: the operation goes on.
func (s *session) lost(err error, op orchestrator.Operation) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) || e.Code != orchestrator.CodeNoBerth {
		return err
	}
	out := orchestrator.Errorf(orchestrator.CodeNoBerth, "Berth went away while this ran (operation %s): it goes on when Berth is back.", op.ID).
		WithHint("berth env show %s", s.env.Name)
	out.Cause = err
	return out
}

func (s *session) ended(w wire.Watch) error {
	failed := w.Operation.Status != orchestrator.OperationSucceeded
	switch {
	case s.flags.json:
		writeJSON(s.console.Out, w.Environment)
	case failed:
		s.console.Failure(w.Environment, w.Diagnosis)
	case w.Environment.Status == orchestrator.StatusDestroyed:
		fmt.Fprintf(s.console.Out, "%s is gone.\n", w.Environment.Name)
	default:
		fmt.Fprintln(s.console.Out)
		s.console.Servers(w.Environment.Servers)
	}
	if failed {
		return errSilent{1}
	}
	return nil
}
