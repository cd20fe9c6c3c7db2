package console

import (
	"regexp"
	"strings"

	"github.com/berth-dev/berth/bot"
)

// command finds a command of the grammar in a sentence.
var command = func() *regexp.Regexp {
	var verbs []string
	for _, r := range bot.Records {
		verbs = append(verbs, string(r.Verb))
	}
	return regexp.MustCompile(`(^|[^\w/-])(berth )?((?:env|server) (?:` + strings.Join(verbs, "|") + `))($|[^\w-])`)
}()

// Commands puts the program's name before the commands of the grammar in a
// sentence. Every door shares the grammar and says "env show qa"; in a shell
// env is another program.
func Commands(sentence string) string {
	return command.ReplaceAllString(sentence, "${1}berth ${3}${4}")
}
