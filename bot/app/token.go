package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

var tokenName = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

func newTokenCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "token", Short: "Make, list and revoke tokens for the API (ops)",
		Example: "  berth token create ci --person maria\n  berth token list\n  berth token revoke ci"})
	c.PersistentFlags().Bool("json", false, "print JSON")
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a token; it is shown once",
		Long: `Make a token for the API. Whoever has it does what its person may do, through
BERTH_URL and BERTH_TOKEN. It is shown once; Berth keeps a hash of it. With --ttl
it ends by itself; without, it stays until it is revoked.`,
		Example: "  berth token create ci --person maria --ttl 30d\n  export BERTH_URL=https://berth.example.com BERTH_TOKEN=$(berth token create laptop)", Args: needWords(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			person, _ := cmd.Flags().GetString("person")
			ops, _ := cmd.Flags().GetBool("ops")
			if !tokenName.MatchString(args[0]) {
				return orchestrator.Errorf(orchestrator.CodeInvalidName, "%q cannot be the name of a token.", args[0]).
					WithHint("use letters, digits, dots and dashes, at most 64 of them: berth token create laptop")
			}
			lifetime, err := tokenLifetime(cmd)
			if err != nil {
				return err
			}
			c := connect(dataFolder(cmd))
			t, err := c.CreateToken(cmd.Context(), wire.Token{Name: args[0], Person: person, Ops: ops, Lifetime: int64(lifetime / time.Second)})
			if err != nil {
				return err
			}
			if lifetime > 0 && t.Expires == "" { // serve is older than this program
				return errors.Join(c.RevokeToken(cmd.Context(), t.ID),
					orchestrator.Errorf(orchestrator.CodeState, "The running Berth makes no tokens that end by themselves.").WithHint("restart berth serve with this version"))
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), t)
				return nil
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Secret)
			end := ""
			if t.Expires != "" {
				end = " It ends at " + console.Clean(t.Expires) + "."
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "It is shown only now.%s Use it as BERTH_TOKEN; revoke it with: berth token revoke %s\n", end, t.Name)
			return nil
		},
	}
	create.Flags().String("person", "", "whose token it is (default: yours)")
	create.Flags().String("ttl", "", "how long it lives, such as 12h or 30d (default: until it is revoked)")
	create.Flags().Bool("ops", false, "it may do what ops may do")
	list := &cobra.Command{
		Use: "list", Short: "List the tokens", Args: needWords(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := connect(dataFolder(cmd)).Tokens(cmd.Context())
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), all)
				return nil
			}
			console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()).Tokens(all)
			return nil
		},
	}
	revoke := &cobra.Command{
		Use: "revoke NAME", Short: "End a token, given its name or ID", Args: needWords(1, 1), ValidArgsFunction: completeToken,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := connect(dataFolder(cmd)).RevokeToken(cmd.Context(), args[0]); err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), map[string]string{"revoked": args[0]})
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked.\n", console.Clean(args[0]))
			return nil
		},
	}
	c.AddCommand(create, list, revoke)
	return c
}

// tokenLifetime is what --ttl says; 0: nothing.
func tokenLifetime(cmd *cobra.Command) (time.Duration, error) {
	if !cmd.Flags().Changed("ttl") {
		return 0, nil
	}
	typed, _ := cmd.Flags().GetString("ttl")
	d, err := bot.Span(typed)
	if err == nil && d >= time.Second {
		return d, nil
	}
	return 0, orchestrator.Errorf(orchestrator.CodeInvalidValue, "--ttl %q is not how long a token may live.", typed).
		WithHint("write it as 12h, 30d or 2w, or leave it out for a token that stays until it is revoked")
}
