// Package app is the berth program: its commands, its configuration and the
// wiring of every other package. It is the one importer of everything.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// errSilent ends the program with a status whose reason has been told.
type errSilent struct{ status int }

func (e errSilent) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// Main runs the program and gives its exit status.
func Main() int {
	return run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	root := newRoot()
	root.SetArgs(flagsBehind(args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := root.ExecuteContext(ctx)
	var silent errSilent
	if err == nil {
		return 0
	}
	if errors.As(err, &silent) {
		return silent.status
	}
	var e *orchestrator.Error
	switch {
	case errors.As(err, &e):
	case began:
		e = orchestrator.Errorf(orchestrator.CodeInternal, "Berth had a trouble that it did not foresee: %s.", strings.TrimSuffix(err.Error(), ".")).
			WithHint("berth doctor checks what Berth needs")
	default:
		e = misused(root, args, err)
	}
	if slices.Contains(args, "--json") {
		writeJSON(out, map[string]any{"error": refusal(e)})
	} else {
		console.New(out, errw).Error(e)
	}
	return orchestrator.ExitStatus(e)
}

// flagsBehind moves flags that stand before the command behind it, so that
// berth --json env list is berth env --json list: the command knows them.
func flagsBehind(args []string) []string {
	i := 0
	for i < len(args) && strings.HasPrefix(args[i], "-") && args[i] != "--" {
		if args[i] == "--data" {
			i++
		}
		i++
	}
	if i == 0 || i >= len(args) || args[i] == "--" {
		return args
	}
	return slices.Concat(args[i:i+1], args[:i], args[i+1:])
}

var (
	unknownFlag    = lazyregexp.New(`^unknown (?:shorthand )?flag: (?:'.' in )?(\S+)$`)
	unknownCommand = lazyregexp.New(`^unknown command "((?s:.*?))" for "([^"]*)"`)
)

// misused says in a person's words what cobra refused: an unknown command or
// flag, or too few or too many words.
func misused(root *cobra.Command, args []string, err error) *orchestrator.Error {
	cmd, _, findErr := root.Find(flagsBehind(args))
	if findErr != nil {
		cmd = root
	}
	if words := flagsBehind(args); cmd == root && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return unknownSubcommand(root, words[0])
	}
	help := cmd.CommandPath() + " --help"
	switch m := unknownFlag.FindStringSubmatch(err.Error()); {
	case m != nil:
		name, _, _ := strings.Cut(m[1], "=")
		e := orchestrator.Errorf(orchestrator.CodeGrammar, "%s has no option %s.", cmd.CommandPath(), name).WithHint("%s", help)
		var known []string
		add := func(f *pflag.Flag) { known = append(known, "--"+f.Name) }
		cmd.LocalFlags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if near := orchestrator.Near(name, known); len(near) > 0 && len(name) > 3 {
			e = e.WithHint("did you mean %s? %s lists all", near[0], help)
		}
		return e
	}
	if m := unknownCommand.FindStringSubmatch(err.Error()); m != nil && (cmd.HasSubCommands() || cmd == root) {
		return unknownSubcommand(cmd, m[1])
	}
	if m := unknownCommand.FindStringSubmatch(err.Error()); m != nil {
		return orchestrator.Errorf(orchestrator.CodeGrammar, "%s takes no word such as %q.", cmd.CommandPath(), m[1]).WithHint("%s", help)
	}
	text := err.Error()
	if text != "" {
		text = strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".")
	}
	return orchestrator.Errorf(orchestrator.CodeGrammar, "%s.", text).WithHint("%s", help)
}

func unknownSubcommand(cmd *cobra.Command, word string) *orchestrator.Error {
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	e := orchestrator.Errorf(orchestrator.CodeGrammar, "%s has no command %q.", cmd.CommandPath(), word).
		WithHint("%s --help lists them: %s", cmd.CommandPath(), strings.Join(known, ", "))
	if near := orchestrator.Near(word, known); len(near) > 0 {
		e.Suggestions = near
		e = e.WithHint("did you mean: %s %s", cmd.CommandPath(), near[0])
	}
	return e
}

// newHelpCommand is berth help COMMAND …: what COMMAND … --help prints.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND]", Short: "Help about any command", Example: "  berth help env create\n  berth help token",
		ValidArgsFunction: func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			cmd, _, err := root.Find(args)
			if err != nil {
				return nil, nothing
			}
			var out []string
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() {
					out = append(out, sub.Name()+"\t"+sub.Short)
				}
			}
			return matching(out, prefix), nothing
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == string(orchestrator.NounEnv) || args[0] == string(orchestrator.NounServer)) {
				return printNounHelp(cmd, orchestrator.Noun(args[0]), args[1:])
			}
			of, rest, err := root.Find(args)
			if err != nil {
				of, rest = root, args
			}
			if len(rest) > 0 {
				return unknownSubcommand(of, rest[0])
			}
			return of.Help()
		}}
}

// group makes a command that has only subcommands: alone it shows its help,
// and a word that is none of them is refused.
func group(c *cobra.Command) *cobra.Command {
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownSubcommand(cmd, args[0])
		}
		return nil
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return c
}

// needWords refuses a wrong number of words with the command's usage.
func needWords(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return orchestrator.Errorf(orchestrator.CodeGrammar, "%s needs a word more.", cmd.CommandPath()).WithHint("%s", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		case len(args) > most:
			return orchestrator.Errorf(orchestrator.CodeGrammar, "%s has no use for %q.", cmd.CommandPath(), args[most]).WithHint("%s", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// writeJSON prints one value; standard output that has gone away is nobody's
// error.
func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Test servers and environments for developers, from one command",
		Long: `Berth gives every branch a place to run: developers make environments and
servers with berth env and berth server, ops run berth serve and own the
catalog of what can be built.`,
		Example: `  berth env create qa shop web=feature/login   make an environment
  berth env list                                what there is
  berth env help                                every verb for environments
  berth doctor                                  what this machine lacks`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownSubcommand(cmd, args[0])
			}
			return cmd.Help()
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetHelpCommand(newHelpCommand(root))
	root.SetVersionTemplate("berth {{.Version}}\n")
	root.PersistentFlags().String("data", "", "Berth's data folder (BERTH_DATA; default: the XDG data folder)")
	root.AddCommand(
		newNounCommand(orchestrator.NounEnv),
		newNounCommand(orchestrator.NounServer),
		newServeCommand(),
		newStateCommand(),
		newCausesCommand(),
		newTokenCommand(),
		newSlackCommand(),
		newPlaygroundCommand(),
		newReloadCommand(),
		newDoctorCommand(),
		newParseCommand(),
		newDiagnoseCommand(),
		newValidateCommand(),
		newInitCommand(),
		group(newAgentCommand()),
		newRunCommand(),
		newVersionCommand(),
		newCompletionCommand(),
	)
	return root
}

// Version is set by the build; otherwise the module's own is told.
var Version string

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func newVersionCommand() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: needWords(0, 0), Run: func(cmd *cobra.Command, _ []string) {
		if asked, _ := cmd.Flags().GetBool("json"); asked {
			writeJSON(cmd.OutOrStdout(), map[string]string{"version": version()})
			return
		}
		fmt.Fprintln(cmd.OutOrStdout(), "berth", version())
	}}
	c.Flags().Bool("json", false, "print JSON")
	return c
}

func newReloadCommand() *cobra.Command {
	c := &cobra.Command{Use: "reload", Short: "Read the catalog again (ops)", Args: needWords(0, 0), RunE: func(cmd *cobra.Command, _ []string) error {
		if err := connect(dataFolder(cmd)).Reload(cmd.Context()); err != nil {
			return err
		}
		if asked, _ := cmd.Flags().GetBool("json"); asked {
			writeJSON(cmd.OutOrStdout(), map[string]bool{"reloaded": true})
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The catalog has been read again.")
		return nil
	}}
	c.Flags().Bool("json", false, "print JSON")
	return c
}

// dataFolder is --data, BERTH_DATA or the XDG data folder.
func dataFolder(cmd *cobra.Command) string {
	dir, _ := cmd.Flags().GetString("data")
	return dataFolderOr(dir)
}

func dataFolderOr(dir string) string {
	if dir == "" {
		dir = os.Getenv("BERTH_DATA")
	}
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				home = "."
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "berth")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	return abs
}

// connect gives a client of BERTH_URL, or of the serve on this data folder.
func connect(data string) *client.Client {
	if url := os.Getenv("BERTH_URL"); url != "" {
		return client.URL(url, os.Getenv("BERTH_TOKEN"), os.Getenv("BERTH_CA"))
	}
	return client.Socket(socketPath(data))
}

// interruptible ends with SIGINT, so that a client can say what goes on.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// refusal is e as --json shows it: several errors as one, with the near names of
// each, and nothing that is for the offer of a corrected command alone.
func refusal(e *orchestrator.Error) *orchestrator.Error {
	shown := orchestrator.Error{Code: e.Code, Message: e.Message, Hint: e.Hint, Suggestions: e.Suggestions}
	for _, one := range e.All {
		for _, name := range one.Suggestions {
			if !slices.Contains(shown.Suggestions, name) {
				shown.Suggestions = append(slices.Clip(shown.Suggestions), name)
			}
		}
	}
	return &shown
}
