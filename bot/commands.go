package bot

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// command finds a command of the grammar in a sentence.
var command = func() *lazyregexp.Regexp {
	var verbs []string
	for _, r := range Records {
		verbs = append(verbs, string(r.Verb))
	}
	return lazyregexp.New(`(^|[^\w/-])(berth )?((?:env|server) (?:` + strings.Join(verbs, "|") + `))($|[^\w-])`)
}()

// Commands puts the program's name before the commands of the grammar in a
// sentence. Every door shares the grammar and says "env show qa"; in a shell
// env is another program.
func Commands(sentence string) string {
	return command.ReplaceAllString(sentence, "${1}berth ${3}${4}")
}

// ProgramHelp is Help with the program's name before the commands. What a
// message alone may begin with is no command of the program and is left out.
func ProgramHelp(noun, verb string) string {
	examples := false
	var b strings.Builder
	for line := range strings.Lines(Help(noun, verb)) {
		rest, indented := strings.CutPrefix(line, "  ")
		if examples && indented && Commands(rest) == rest {
			continue
		}
		examples = examples || line == "Examples:\n"
		b.WriteString(Commands(line))
	}
	return b.String()
}
