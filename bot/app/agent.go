package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/templates"
)

// userDataVariable may hold user-data, as modules/local gives it.
const userDataVariable = "BERTH_USER_DATA"

// newAgentCommand is `berth agent`: what runs on servers.
func newAgentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "agent", Short: "The program on each server"}
	cmd.AddCommand(newAgentStartCommand(), newAgentStopCommand(), newAgentRunCommand(), newAgentExecCommand(), newAgentCredentialCommand())
	return cmd
}

func newAgentStartCommand() *cobra.Command {
	var o agent.StartOptions
	var file string
	cmd := &cobra.Command{
		Use:   "start --dir DIR",
		Short: "Start a server's agent on this machine, unless it runs already",
		Long: "Start a server's agent on this machine, unless it runs already. Its user-data is read from\n" +
			"--user-data-file, else from " + userDataVariable + ", else from standard input.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := userData(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			if o.Boot, err = templates.ParseUserData(text); err != nil {
				return err
			}
			if o.SaltCall == "" {
				o.SaltCall = os.Getenv("BERTH_SALT_CALL")
			}
			return internalError(agent.Start(cmd.Context(), o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "the server's own folder")
	f.StringVar(&o.URL, "berth-url", "", "Berth's address, instead of the user-data's")
	f.IntVar(&o.UID, "uid", 0, "the user that the server runs as (root only; 0: the caller)")
	f.StringVar(&o.SaltCall, "salt-call", "", "path of salt-call (BERTH_SALT_CALL; default: the one on PATH)")
	f.StringVar(&o.GitConfig, "git-config", "", "a git configuration to clone with")
	f.StringVar(&file, "user-data-file", "", "file with the server's user-data")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

// userData reads user-data from where no list of processes shows it.
func userData(in io.Reader, file string) (string, error) {
	const most = 1 << 20
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", orchestrator.Errorf(orchestrator.CodeNotFound, "The user-data file %s cannot be read.", file)
		}
		defer f.Close()
		in = f
	} else if text := os.Getenv(userDataVariable); text != "" {
		return text, nil
	}
	raw, err := io.ReadAll(io.LimitReader(in, most))
	return string(raw), err
}

func newAgentStopCommand() *cobra.Command {
	var dir string
	var uid int
	cmd := &cobra.Command{
		Use:   "stop --dir DIR",
		Short: "Stop a server's agent, its app and all that they started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return internalError(agent.Stop(cmd.Context(), dir, uid))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the server's own folder")
	cmd.Flags().IntVar(&uid, "uid", 0, "the server's own user, if it has one")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func newAgentRunCommand() *cobra.Command {
	var o agent.RunOptions
	var file string
	cmd := &cobra.Command{
		Use:   "run --dir DIR",
		Short: "Run a server's agent in the foreground",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				raw, err := os.ReadFile(file)
				if errors.Is(err, fs.ErrNotExist) {
					return orchestrator.Errorf(orchestrator.CodeNotFound, "The boot file %s does not exist.", file)
				}
				if err != nil {
					return err
				}
				boot, err := templates.ParseBoot(raw)
				if err != nil {
					return err
				}
				o.Boot, o.BootFile = &boot, file
			}
			ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			signal.Ignore(syscall.SIGHUP)
			return internalError(agent.Main(ctx, o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "the server's own folder")
	f.StringVar(&file, "boot", "", "file with what the server needs to call home (default: what the folder has)")
	f.BoolVar(&o.Systemd, "systemd", false, "systemd keeps the app running")
	f.BoolVar(&o.Detached, "detached", false, "as berth agent start calls it")
	f.IntVar(&o.UID, "uid", 0, "the user to become, with --detached")
	_ = f.MarkHidden("detached")
	_ = f.MarkHidden("uid")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func newAgentExecCommand() *cobra.Command {
	var o agent.ExecOptions
	cmd := &cobra.Command{
		Use:   "exec [--env-file FILE] -- COMMAND",
		Short: "Run a command with the variables that an app gets",
		Long: "Run a command with the variables that an app gets: those of an .env file, the peers' addresses and\n" +
			"PORT. A unit of systemd starts the app through it, so that .env means the same on every target.",
		RunE: func(_ *cobra.Command, args []string) error {
			o.Command = args
			return internalError(agent.Exec(o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.EnvFile, "env-file", "", "the app's .env (default: none)")
	f.StringArrayVar(&o.Set, "set", nil, "KEY=VALUE that holds whatever the file says; may be given again")
	f.IntVar(&o.Port, "port", 0, "the app's PORT (default: none)")
	return cmd
}

func newAgentCredentialCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "credential get",
		Short: "Answer git, which asks how to log in where a server's code is",
		Long: "Answer git, which asks how to log in where a server's code is. It is git's credential helper while\n" +
			"the agent fetches code that is not public, and knows nothing when anything else starts it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return internalError(agent.Credential(args[0], cmd.InOrStdin(), cmd.OutOrStdout()))
		},
	}
}

// internalError keeps an error's own words: whoever runs an agent by hand is
// ops, and wants the detail.
func internalError(err error) error {
	var e *orchestrator.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	wrapped := orchestrator.Errorf(orchestrator.CodeOperationFailed, "The agent failed: %v.", err)
	wrapped.Cause = err
	return wrapped
}
