package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/orchestrator"
)

func newCausesCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "causes", Short: "Look at what has failed before, and say what helps (ops)",
		Long: `Look at what has failed before, and say what helps. Whatever fails is remembered
for 90 days by its fingerprint, which is the same wherever and whenever it fails
in the same way. A note is shown with the cause the next time it happens, on
the card, in the terminal and by env why.`,
		Example: "  berth causes list\n  berth causes list --app web --since 7d\n  berth causes show k3fq\n  berth causes note k3fq The package mirror moves on Fridays: try again on Saturday."})
	c.PersistentFlags().Bool("json", false, "print JSON")
	list := &cobra.Command{
		Use: "list", Short: "List what has failed, the most frequent first", Args: needWords(0, 0),
		Example: "  berth causes list\n  berth causes list --app web --code command_failed --since 7d\n  berth causes list --since 2026-11-01",
		RunE: func(cmd *cobra.Command, _ []string) error {
			app, _ := cmd.Flags().GetString("app")
			code, _ := cmd.Flags().GetString("code")
			typed, _ := cmd.Flags().GetString("since")
			since, err := sinceTime(typed, now())
			if err != nil {
				return err
			}
			all, err := connect(dataFolder(cmd)).Causes(cmd.Context(), orchestrator.CauseFilter{App: app, Code: code, Since: since})
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), all)
				return nil
			}
			console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()).Causes(all, since)
			return nil
		},
	}
	list.Flags().String("app", "", "of this app alone")
	list.Flags().String("code", "", "with this code alone, such as command_failed")
	list.Flags().String("since", "30d", "from when on: 12h, 7d, 2w or a day such as 2026-11-01")
	for flag, complete := range map[string]cobra.CompletionFunc{"app": completeApp, "code": completeCode,
		"since": cobra.FixedCompletions([]string{"1d", "7d", "30d", "90d"}, nothing)} {
		if err := list.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // the flag is defined above
		}
	}
	show := &cobra.Command{
		Use: "show FINGERPRINT", Short: "Show each time that it was seen, its evidence and who mended it", Args: needWords(1, 1), ValidArgsFunction: completeCause,
		Long:    "Show each time that a cause was seen, its evidence and who mended it. The beginning of the fingerprint is enough where no other begins so.",
		Example: "  berth causes show k3fq",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := connect(dataFolder(cmd)).Cause(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), d)
				return nil
			}
			console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()).Cause(d)
			return nil
		},
	}
	note := &cobra.Command{
		Use: "note FINGERPRINT TEXT…", Short: "Say what helps, to everybody who meets it", ValidArgsFunction: completeCause,
		Long: `Say what helps, to everybody who meets a cause: the text is shown with it, in at
most 500 characters. It replaces an earlier note; an empty text or --remove takes
the note away.`,
		Example: "  berth causes note k3fq 'The licence server is down until Monday: https://status.example.com'\n  berth causes note k3fq --remove",
		Args: func(cmd *cobra.Command, args []string) error {
			if remove, _ := cmd.Flags().GetBool("remove"); remove {
				return needWords(1, 1)(cmd, args)
			}
			if len(args) == 1 {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "Say what the note of %s should be.", args[0]).
					WithHint("berth causes note %s TEXT, or berth causes note %s --remove", args[0], args[0])
			}
			return needWords(2, 1000)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := connect(dataFolder(cmd)).NoteCause(cmd.Context(), args[0], strings.Join(args[1:], " "))
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), k)
				return nil
			}
			if k.Note == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s has no note any more.\n", k.Fingerprint)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Whoever meets %s is told this from now on.\n", k.Fingerprint)
			console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()).CauseNote(k)
			return nil
		},
	}
	note.Flags().Bool("remove", false, "take the note away")
	c.AddCommand(list, show, note)
	return c
}

// sinceTime reads how long back, or a day, which begins where the person is.
func sinceTime(typed string, now time.Time) (time.Time, error) {
	if day, err := time.ParseInLocation(time.DateOnly, typed, time.Local); err == nil {
		return day.UTC(), nil
	}
	if d, err := bot.Span(typed); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "--since %q is neither a time back nor a day.", typed).WithHint("--since 12h, --since 7d or --since 2026-11-01")
}
