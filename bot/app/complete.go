package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// completionWait bounds what a person waits for after the tabulator.
const completionWait = time.Second

const nothing = cobra.ShellCompDirectiveNoFileComp

// bashWords lets cobra's script do without the package bash-completion, which
// many machines lack: without it, words are put together again here where
// bash has broken them at = and :.
const bashWords = `
__berth_words_by_ref()
{
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref "$@"
        return
    fi
    local i line=$COMP_LINE word
    words=() cword=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        # A part that follows without a space belongs to the word before it.
        if ((i > 0)) && [[ $line == "$word"* ]] && [[ $word == [=:]* || ${words[${#words[@]}-1]} == *[=:] ]]; then
            words[${#words[@]}-1]+=$word
        else
            while [[ $line == [[:space:]]* ]]; do line=${line:1}; done
            words+=("$word")
        fi
        line=${line#"$word"}
        ((i <= COMP_CWORD)) && cword=$((${#words[@]} - 1))
    done
    cur=${words[cword]}
    prev=""
    ((cword > 0)) && prev=${words[cword - 1]}
}
`

func newCompletionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion of a shell: verbs, environments, servers, apps and branches",
		Example: `  source <(berth completion bash)                                          # this shell
  berth completion bash > ~/.local/share/bash-completion/completions/berth   # every new one
  source <(berth completion zsh)
  berth completion zsh > "${fpath[1]}/_berth"
  berth completion fish | source
  berth completion fish > ~/.config/fish/completions/berth.fish`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains([]string{"bash", "zsh", "fish"}, args[0]) {
				return nil
			}
			if len(args) == 0 {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "Say for which shell.").WithHint("berth completion bash, or zsh, or fish")
			}
			return orchestrator.Errorf(orchestrator.CodeGrammar, "There is no completion for %q.", strings.Join(args, " ")).WithHint("berth completion bash, or zsh, or fish")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			case "fish":
				return cmd.Root().GenFishCompletion(out, true)
			}
			var b strings.Builder
			if err := cmd.Root().GenBashCompletionV2(&b, true); err != nil {
				return fmt.Errorf("making the completion: %w", err)
			}
			_, err := fmt.Fprint(out, strings.ReplaceAll(b.String(), "_get_comp_words_by_ref \"$@\"", "__berth_words_by_ref \"$@\""), bashWords)
			return err
		},
	}
	return c
}

// completion completes one word of berth env or berth server.
type completion struct {
	ctx    context.Context
	noun   orchestrator.Noun
	client *client.Client
	words  []string // those before it, verb first
	prefix string
	names  wire.Names
}

// completeNoun completes verbs, then environments, servers, apps, keys and
// branches. Without a Berth to ask it completes verbs, keys and flags.
func completeNoun(noun orchestrator.Noun) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		f, words, err := splitFlags(args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveFilterDirs // --data
		}
		if strings.HasPrefix(prefix, "-") {
			return matching([]string{"--json\tone JSON value", "--detach\tdo not wait", "--yes\tdo not ask", "--follow\tgo on as lines arrive", "--all\twith why: every step", "--raw\twith why: what was printed", "--data\tthe data folder", "--help"}, prefix), nothing
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
		defer cancel()
		c := completion{ctx: ctx, noun: noun, client: connect(dataFolderOr(f.data)), words: words, prefix: prefix}
		if len(words) > 0 {
			// Without an answer what needs none is completed all the same.
			c.names, _ = c.client.Names(ctx)
		}
		out := matching(c.all(), prefix)
		directive := nothing
		if slices.ContainsFunc(out, func(s string) bool { return strings.HasSuffix(s, "=") }) {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return out, directive
	}
}

// all is everything that may stand here; what does not match is left out
// afterwards.
func (c *completion) all() []string {
	if len(c.words) == 0 || c.words[0] == "help" && len(c.words) == 1 {
		out := []string{}
		for _, r := range bot.Records {
			if r.Noun == c.noun {
				out = append(out, string(r.Verb)+"\t"+r.Help)
			}
		}
		if len(c.words) == 0 {
			out = append(out, "help\tHelp about a verb")
		}
		return out
	}
	verb, place := orchestrator.Verb(c.words[0]), len(c.words)
	if key, _, ok := strings.Cut(c.prefix, "="); ok {
		return c.values(key)
	}
	if c.noun == orchestrator.NounServer {
		return c.server(verb, place)
	}
	switch {
	case verb == orchestrator.VerbList:
		return []string{"mine"}
	case verb == orchestrator.VerbCreate || verb == orchestrator.VerbPlan:
		if place == 1 {
			return nil // a new name
		}
		var out []string
		if place == 2 {
			out = append(out, c.names.Blueprints...)
		}
		return append(out, c.keys(c.names.Apps, "ttl", "size", "target")...)
	case place == 2 && verb == orchestrator.VerbWhy:
		return []string{"all\tevery step that failed and what it kept from running", "raw\twhat the programs printed"}
	case place == 1 && (verb == orchestrator.VerbLogs || verb == orchestrator.VerbWhy):
		return append(slices.Clone(c.names.Environments), c.names.Servers...)
	case place == 1:
		return c.names.Environments
	case verb == orchestrator.VerbDeploy:
		return c.keys(c.appsOf(c.words[1]))
	case verb == orchestrator.VerbExtend && place == 2:
		return []string{"1d", "2d", "1w"}
	}
	return nil
}

func (c *completion) server(verb orchestrator.Verb, place int) []string {
	switch {
	case verb == orchestrator.VerbList:
		return append([]string{"mine"}, c.keys(nil, "app")...)
	case verb == orchestrator.VerbCreate && place == 1:
		return c.names.Apps
	case verb == orchestrator.VerbCreate && place == 2:
		return c.branches(c.words[1], "")
	case verb == orchestrator.VerbCreate:
		return c.keys(nil, "name", "env", "size", "target", "ttl")
	case place == 1:
		return append(slices.Clone(c.names.Servers), c.names.Environments...)
	case verb == orchestrator.VerbDeploy && place == 2:
		name, app, one := strings.Cut(c.words[1], "/")
		if apps := c.appsOf(name); !one && len(apps) == 1 {
			app = apps[0]
		}
		return c.branches(app, "")
	}
	return nil
}

// keys gives KEY= for those that have not been given yet.
func (c *completion) keys(apps []string, keys ...string) []string {
	var out []string
	for _, key := range append(slices.Clone(apps), keys...) {
		if !slices.ContainsFunc(c.words, func(w string) bool { return strings.HasPrefix(w, key+"=") }) {
			out = append(out, key+"=")
		}
	}
	return out
}

// values gives KEY=VALUE for a key.
func (c *completion) values(key string) []string {
	var values []string
	switch key {
	case "size":
		values = c.names.Sizes
	case "target":
		values = c.names.Targets
	case "env":
		values = c.names.Environments
	case "app":
		values = c.names.Apps
	case "ttl":
		values = []string{"12h", "1d", "3d", "1w"}
	default:
		return c.branches(key, key+"=")
	}
	var out []string
	for _, v := range values {
		out = append(out, key+"="+v)
	}
	return out
}

// branches gives an app's branches. Those that a shell would read as more than
// a word are left out: what is completed here is put on its line as it is.
func (c *completion) branches(app, before string) []string {
	all, err := c.client.Branches(c.ctx, app)
	if err != nil {
		return nil
	}
	var out []string
	for _, b := range all {
		if plainWord.MatchString(before + b) {
			out = append(out, before+b)
		}
	}
	return out
}

// appsOf gives the apps of an environment's servers.
func (c *completion) appsOf(environment string) []string {
	var out []string
	for _, s := range c.names.Servers {
		if app, ok := strings.CutPrefix(s, environment+"/"); ok {
			out = append(out, app)
		}
	}
	return out
}

// completeEnvironment completes the first word of a command with environments.
func completeEnvironment(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, nothing
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	n, _ := connect(dataFolder(cmd)).Names(ctx) // without an answer there is nothing to offer
	return matching(n.Environments, prefix), nothing
}

// completeToken completes the first word of a command with the names of the
// tokens in force.
func completeToken(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, nothing
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	all, _ := connect(dataFolder(cmd)).Tokens(ctx) // without an answer there is nothing to offer
	var out []string
	for _, t := range all {
		if !t.Revoked && plainWord.MatchString(t.Name) {
			out = append(out, t.Name)
		}
	}
	return matching(out, prefix), nothing
}

// completeCause completes the first word of a command with the fingerprints of
// what has failed before, each with what it is.
func completeCause(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, nothing
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	all, _ := connect(dataFolder(cmd)).Causes(ctx, orchestrator.CauseFilter{}) // without an answer there is nothing to offer
	var out []string
	for _, k := range all {
		out = append(out, k.Fingerprint+"\t"+strings.Join(strings.Fields(console.Clean(k.Sentence)), " "))
	}
	return matching(out, prefix), nothing
}

// completeApp completes the value of a flag with the apps of the catalog.
func completeApp(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	n, _ := connect(dataFolder(cmd)).Names(ctx) // without an answer there is nothing to offer
	return matching(n.Apps, prefix), nothing
}

// completeCode completes the value of a flag with the codes that were seen.
func completeCode(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	all, _ := connect(dataFolder(cmd)).Causes(ctx, orchestrator.CauseFilter{}) // without an answer there is nothing to offer
	var out []string
	for _, k := range all {
		if k.Code != "" && !slices.Contains(out, k.Code) {
			out = append(out, k.Code)
		}
	}
	return matching(out, prefix), nothing
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
