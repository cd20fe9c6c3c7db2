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

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/orchestrator"
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
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	var silent errSilent
	if err == nil {
		return 0
	}
	if errors.As(err, &silent) {
		return silent.status
	}
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		// What cobra refuses (an unknown command or flag) is not understood.
		e = orchestrator.Errorf(orchestrator.CodeGrammar, "%s.", strings.TrimSuffix(err.Error(), ".")).WithHint("berth --help")
	}
	if slices.Contains(args, "--json") {
		writeJSON(out, map[string]any{"error": e})
	} else {
		console.New(out, errw).Error(e)
	}
	return orchestrator.ExitStatus(e)
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
		Use:           "berth",
		Short:         "Test servers and environments for developers, from one command",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().String("data", "", "Berth's data folder (BERTH_DATA; default: the XDG data folder)")
	root.AddCommand(
		newNounCommand(orchestrator.NounEnv),
		newNounCommand(orchestrator.NounServer),
		newServeCommand(),
		newStateCommand(),
		newTokenCommand(),
		newReloadCommand(),
		newDoctorCommand(),
		newParseCommand(),
		newDiagnoseCommand(),
		newValidateCommand(),
		newInitCommand(),
		newAgentCommand(),
		newRunCommand(),
		newVersionCommand(),
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
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), "berth", version())
	}}
}

func newReloadCommand() *cobra.Command {
	return &cobra.Command{Use: "reload", Short: "Read the catalog again (ops)", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := connect(dataFolder(cmd)).Reload(cmd.Context()); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The catalog has been read again.")
		return nil
	}}
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
		return client.URL(url, os.Getenv("BERTH_TOKEN"))
	}
	return client.Socket(socketPath(data))
}

// interruptible ends with SIGINT, so that a client can say what goes on.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
