package bot

import (
	"maps"
	"slices"
	"strings"
	"testing"

	o "github.com/berth-dev/berth/orchestrator"
)

// A name that can be given can be used: what create and rename accept as it is
// typed, a shell can also destroy as it is typed, and change and look at; the
// canonical text, which has quotes where a sentence needs them, means the same
// everywhere. Otherwise an environment could be made that nobody can destroy.
func TestAnyNewNameCanBeUsed(t *testing.T) {
	t.Parallel()
	words := []string{"qa", "x"}
	for _, m := range []map[string]bool{plurals, greetings, wishes, fillers, prepositions, articles, reservedKeys, settingVerbs, terminalFlags, lifetimes, mine, everything, turns, whyFillers} {
		words = append(words, slices.Collect(maps.Keys(m))...)
	}
	words = append(words, slices.Collect(maps.Keys(nouns))...)
	words = append(words, slices.Collect(maps.Keys(verbs))...)
	words = append(words, slices.Collect(maps.Keys(unclear))...)
	words = append(words, slices.Collect(maps.Keys(units))...)
	for p := range phrases {
		words = append(words, strings.Fields(p)...)
	}
	used := map[string]string{"show": "", "logs": "", "history": "", "deploy": "", "retry": "", "cancel": "", "destroy": "", "rename": "other"}
	for _, w := range words {
		made, err := ParseArgs([]string{"env", "create", w, "shop"})
		if err != nil || made.Command.Environment != w {
			continue // refused, so it is no name
		}
		for verb, more := range used {
			args := append([]string{"env", verb, w}, strings.Fields(more)...)
			got, err := ParseArgs(args)
			if err != nil || got.Command.Environment != w || got.Command.Verb != o.Verb(verb) {
				t.Errorf("%q can be made, and %q is %q, %v", w, strings.Join(args, " "), got.Canonical, err)
			}
			if again, err := Parse(got.Canonical); got.Canonical != "" && (err != nil || again.Command.Environment != w) {
				t.Errorf("%q can be made, and the canonical %q is %q, %v", w, got.Canonical, again.Canonical, err)
			}
		}
	}
}
