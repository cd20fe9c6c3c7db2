package app

import (
	"errors"
	"slices"
	"strings"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const didYouMean = "did you mean: "

// forShell makes an error's next step one that works when it is pasted into a
// shell: the grammar, which every door shares, speaks of "env show qa", and
// env is another program there. The suggestions stay canonical text.
func forShell(err error) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	if strings.HasPrefix(e.Hint, didYouMean+"berth ") {
		return err
	}
	if strings.HasPrefix(e.Hint, didYouMean) && len(e.Suggestions) > 0 {
		var texts []string
		for _, s := range e.Suggestions {
			texts = append(texts, "berth "+forShellText(s))
		}
		c.Hint = didYouMean + strings.Join(texts, "   or: ")
		return &c
	}
	c.Hint = bot.Commands(e.Hint)
	return &c
}

// corrected offers the whole command again, with a near name in the place of
// the one that there is not.
func corrected(err error, cmd orchestrator.Command) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) || len(e.Suggestions)+len(e.All) == 0 {
		return err
	}
	var texts []string
	for _, text := range bot.Corrected(e, cmd) {
		texts = append(texts, "berth "+forShellText(text))
	}
	if len(texts) == 0 {
		return err
	}
	out := *e
	out.Hint = didYouMean + strings.Join(texts, "   or: ")
	if slices.ContainsFunc(e.All, func(x *orchestrator.Error) bool { return len(x.Suggestions) > 1 }) {
		out.Hint = e.Hint + "; with the nearest of each: " + texts[0]
	}
	if _, forOps, ok := strings.Cut(e.Hint, "; ops: "); ok && len(e.All) == 0 {
		out.Hint += "; ops: " + forOps
	}
	return &out
}

// plainWord needs no quotes in any shell.
var plainWord = lazyregexp.New(`^[A-Za-z0-9_./:,+@%^-][A-Za-z0-9_./:,+@%^#=-]*$`)

// forShellText writes a command's canonical text so that a shell hands the
// same words to berth, whatever a branch is called.
func forShellText(canonical string) string {
	var words []string
	for _, w := range canonicalWords(canonical) {
		if !plainWord.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// canonicalWords cuts canonical text at the spaces outside of quotation marks
// and takes the escapes inside of them back, for the words of a shell are
// exact.
func canonicalWords(text string) []string {
	var words []string
	var b strings.Builder
	quoted := false
	for rest := text; rest != ""; {
		r := rest[0]
		switch {
		case quoted && r == '\\' && len(rest) > 1:
			rest = rest[1:]
			n := len(rest) - len(strings.TrimLeftFunc(rest, once()))
			b.WriteString(rest[:n])
			rest = rest[n:]
			continue
		case quoted && strings.HasPrefix(rest, "&amp;"):
			b.WriteByte('&')
			rest = rest[len("&amp;"):]
			continue
		case quoted && strings.HasPrefix(rest, "&lt;"):
			b.WriteByte('<')
			rest = rest[len("&lt;"):]
			continue
		case r == '"':
			quoted = !quoted
			b.WriteByte(r)
		case r == ' ' && !quoted:
			words = append(words, b.String())
			b.Reset()
		default:
			b.WriteByte(r)
		}
		rest = rest[1:]
	}
	return append(words, b.String())
}

// once is true for one rune.
func once() func(rune) bool {
	seen := false
	return func(rune) bool {
		first := !seen
		seen = true
		return first
	}
}
