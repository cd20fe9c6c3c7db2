package app

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot"
)

// Reference is docs/commands.md: every command, as its help says it.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Commands\n\nMade from the help that the program prints; `go test . -update` makes it again.\n")
	for _, r := range bot.Records {
		help, _, _ := strings.Cut(nounHelp(r.Noun, string(r.Verb)), "\nFlags:\n")
		fmt.Fprintf(&b, "\n## berth %s %s\n\n```\n%s```\n", r.Noun, r.Verb, help)
	}
	_, flags, _ := strings.Cut(nounHelp(bot.Records[0].Noun, string(bot.Records[0].Verb)), "\nFlags:\n")
	fmt.Fprintf(&b, "\n## The flags of berth env and berth server\n\nThey may stand anywhere on the line.\n\n```\n%s```\n", flags)
	b.WriteString(`
What ` + "`--json`" + ` prints, always one value:

| | |
|---|---|
| ` + "`env show`" + `, and every change | the environment; a change that fails prints it too, with its diagnosis, and so does one that is interrupted |
| ` + "`env list`" + ` | an array of environments |
| ` + "`server show`, `server list`" + ` | a server with its environment's name; an array of them |
| ` + "`env why`" + ` | the diagnosis, with ` + "`back`" + `, the command that deploys what ran before; ` + "`null`" + ` where nothing has failed |
| ` + "`env why NAME all`" + ` | that, with ` + "`servers`" + `: how many steps of each succeeded, failed and did not run |
| ` + "`env why NAME raw`" + ` | that, with ` + "`files`" + `: what the programs printed, masked; ` + "`cut`" + ` where it is not all of it |
| ` + "`env plan`" + ` | what would be made |
| ` + "`env history`, `env logs`" + ` | an array of operations; of lines |
| ` + "`env logs --follow`" + ` | the one exception: an object a line, as lines arrive |
| what is refused | ` + "`{\"error\": {\"code\", \"message\", \"hint\", \"suggestions\"}}`" + ` |

Exit status: 0 done (or accepted, with --detach), 1 the operation failed, 2 not understood or not valid, 3 understood but refused, 4 no Berth to talk to, 130 interrupted.
`)
	for _, c := range newRoot().Commands() {
		reference(&b, c)
	}
	return b.String()
}

func reference(b *strings.Builder, c *cobra.Command) {
	if !c.IsAvailableCommand() || c.Name() == "env" || c.Name() == "server" || c.Name() == "help" {
		return
	}
	text := c.Long
	if text == "" {
		text = c.Short
	}
	c.InitDefaultHelpFlag()
	usage, _, _ := strings.Cut(c.UsageString(), "\nUse \"")
	fmt.Fprintf(b, "\n## %s\n\n```\n%s\n\n%s\n```\n", c.CommandPath(), text, strings.TrimRight(usage, "\n"))
	if c.Name() == "agent" {
		return // its commands are for the machines
	}
	for _, sub := range c.Commands() {
		reference(b, sub)
	}
}
