package bot

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// maxText is the longest command, in bytes.
const maxText = 4096

// ch is one character of a command on its way to a token. Literal characters
// stand in quotes, or came as an argument of a shell: nothing folds them.
type ch struct {
	r   rune
	lit bool
}

// mark stands where a quotation began, so that "" is not lost.
var mark = ch{r: 0, lit: true}

// token is one word of a command. A token with a separator is a setting,
// KEY=VALUE; without one it is text alone.
type token struct {
	text      string // all of it
	quoted    bool   // some of it stands in quotes
	whole     bool   // all of it stands in one pair of quotes
	sep       bool
	key, val  string
	valQuoted bool
}

// bare reports whether t is a plain unquoted word.
func (t token) bare() bool { return !t.sep && !t.quoted }

// checkText refuses what can be no command, before anything looks at it.
func checkText(text string) *orchestrator.Error {
	if len(text) > maxText {
		return orchestrator.Errorf(orchestrator.CodeGrammar, "That is too long: a command has at most 4 KB, this has %d bytes.", len(text)).
			WithHint("name fewer apps in one command")
	}
	if !utf8.ValidString(text) {
		return orchestrator.Errorf(orchestrator.CodeGrammar, "That is not readable text (it is not UTF-8).").WithHint("type the command again")
	}
	for _, r := range text {
		switch {
		case r == 0:
			return orchestrator.Errorf(orchestrator.CodeGrammar, "That contains a NUL character, which no command has.").WithHint("type the command again")
		case unicode.IsControl(r) && !unicode.IsSpace(r):
			return orchestrator.Errorf(orchestrator.CodeGrammar, "That contains a control character (U+%04X), which no command has.", r).WithHint("type the command again")
		case r == utf8.RuneError:
			return orchestrator.Errorf(orchestrator.CodeGrammar, "That contains a character that could not be read (U+FFFD).").WithHint("type the command again")
		}
	}
	return nil
}

// lex cuts text into tokens.
func lex(text string) []token {
	return tokens(fold(unmarked(quotes([]rune(unslack(text)), true))))
}

// unslack undoes Slack's own encoding: entities, mentions and links.
func unslack(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		switch rest[0] {
		case '&':
			if r, n := entity(rest); n > 0 {
				b.WriteByte(r)
				i += n
				continue
			}
		case '<':
			if end := strings.IndexByte(rest, '>'); end > 0 {
				if s, ok := slackMarkup(rest[1:end]); ok {
					b.WriteString(s)
					i += end + 1
					continue
				}
			}
		}
		b.WriteByte(rest[0])
		i++
	}
	return b.String()
}

func entity(s string) (byte, int) {
	for e, r := range map[string]byte{"&amp;": '&', "&lt;": '<', "&gt;": '>'} {
		if strings.HasPrefix(s, e) {
			return r, len(e)
		}
	}
	return 0, 0
}

// entities undoes the entities alone.
var entities = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")

// slackMarkup gives the text that a person typed for the inside of <…>.
func slackMarkup(inner string) (string, bool) {
	target, label, labeled := strings.Cut(inner, "|")
	target, label = entities.Replace(target), entities.Replace(label)
	switch {
	case strings.HasPrefix(target, "@") || strings.HasPrefix(target, "#"):
		if len(target) < 2 {
			return "", false
		}
		if labeled && label != "" {
			return target[:1] + strings.TrimLeft(label, "@#"), true
		}
		return target, true
	case strings.HasPrefix(target, "!") && len(target) > 1:
		name := target[1:]
		if labeled && label != "" {
			if strings.HasPrefix(name, "date^") {
				return label, true
			}
			return "@" + strings.TrimPrefix(label, "@"), true
		}
		name = strings.TrimPrefix(name, "subteam^")
		return "@" + name, true
	case strings.HasPrefix(target, "mailto:"):
		if labeled && label != "" {
			return label, true
		}
		return strings.TrimPrefix(target, "mailto:"), true
	case strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://"):
		// Slack makes links of host names that a person typed bare: the label
		// is what was typed. Any other label is not trusted. An address on
		// GitHub is kept whole, it says more than its label.
		_, bare, _ := strings.Cut(target, "://")
		if labeled && !githubAddress.MatchString(target) && strings.EqualFold(strings.TrimSuffix(bare, "/"), strings.TrimSuffix(label, "/")) {
			return label, true
		}
		return target, true
	}
	return "", false
}

const (
	doubleQuotes = "\"“”„‟«»″〝〞＂"
	singleQuotes = "'‘’‚‛′‹›＇"
	decorations  = "*~`_"
	trailing     = ",.;?!"
	// ends is what may end a sentence before anything is folded.
	ends = trailing + "…，．；！？。、"
)

func isQuote(r rune) bool { return strings.ContainsRune(doubleQuotes+singleQuotes, r) }

// invisible reports whether r is drawn as nothing.
func invisible(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x180E, r == 0xFEFF,
		r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E,
		r >= 0x2060 && r <= 0x206F, r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE007F:
		return true
	}
	return false
}

func isSpace(r rune) bool { return unicode.IsSpace(r) }

func isSeparator(r rune) bool { return r == '=' || r == ':' || r == '＝' || r == '：' }

// reach is how far the lexer looks past what is invisible or decorates. It
// keeps a text of nothing else from costing the square of its length.
const reach = 32

// neighbour is the next character from i in direction d that can be seen and
// is none of skip, or 0 at the text's edge.
func neighbour(rs []rune, i, d int, skip string) rune {
	i += d
	for steps := 0; i >= 0 && i < len(rs); i, steps = i+d, steps+1 {
		if steps == reach || !invisible(rs[i]) && !strings.ContainsRune(skip, rs[i]) {
			return rs[i]
		}
	}
	return 0
}

func opens(rs []rune, i int) bool {
	prev, next := neighbour(rs, i, -1, decorations), neighbour(rs, i, 1, "")
	if next == 0 || unicode.IsSpace(next) {
		return false
	}
	return prev == 0 || unicode.IsSpace(prev) || isSeparator(prev) || strings.ContainsRune(",;>•", prev)
}

// closes reports whether a quotation may end with the mark at i.
func closes(rs []rune, i int) bool {
	next := neighbour(rs, i, 1, decorations)
	return next == 0 || unicode.IsSpace(next) || isSeparator(next) || strings.ContainsRune(ends, next)
}

// quotes marks what stands in quotes as literal. Marks of any kind pair with
// one another, for keyboards mix them; one that has no other end is dropped.
// A text that is quoted as a whole counts as not quoted.
func quotes(rs []rune, outer bool) []ch {
	var out []ch
	for i := 0; i < len(rs); i++ {
		r := rs[i]
		if !isQuote(r) || !opens(rs, i) {
			out = append(out, ch{r: r})
			continue
		}
		inner, end, ok := quotation(rs, i)
		if !ok {
			continue
		}
		if outer && neighbour(rs, i, -1, decorations) == 0 && neighbour(rs, end, 1, decorations) == 0 && strings.ContainsFunc(strings.TrimSpace(string(inner)), unicode.IsSpace) {
			return quotes(rs[i+1:end], false)
		}
		out = append(out, mark)
		for _, r := range []rune(strings.TrimSpace(string(inner))) {
			out = append(out, ch{r, true})
		}
		i = end
	}
	return out
}

// quotation reads the quotation that begins at i: its text and the index of
// its last mark. A backslash before a quotation mark makes it text.
func quotation(rs []rune, i int) (inner []rune, end int, ok bool) {
	space := false
	for j := i + 1; j < len(rs); j++ {
		r := rs[j]
		switch {
		case r == '\\' && j+1 < len(rs) && (isQuote(rs[j+1]) || rs[j+1] == '\\'):
			j++
			r = rs[j]
		case isQuote(r) && closes(rs, j):
			return inner, j, true
		case isQuote(r) && space && opens(rs, j):
			// Another quotation begins: this one was never ended.
			return nil, 0, false
		}
		space = space || unicode.IsSpace(r)
		inner = append(inner, r)
	}
	return nil, 0, false
}

// marked is a text with the marks of decoration that it has.
type marked []ch

// at is the character at i: a quotation mark for all that is literal, a space
// beyond the edges.
func (cs marked) at(i int) rune {
	switch {
	case i < 0 || i >= len(cs):
		return ' '
	case cs[i].lit:
		return '"'
	}
	return cs[i].r
}

// edge is the next character from i in direction d that can be seen and is
// none of skip.
func (cs marked) edge(i, d int, skip string) rune {
	for steps := 0; steps < reach && i >= 0 && i < len(cs) && !cs[i].lit && (invisible(cs[i].r) || strings.ContainsRune(skip, cs[i].r)); steps++ {
		i += d
	}
	return cs.at(i)
}

// spaced reports whether a space stands between from and to.
func (cs marked) spaced(from, to int) bool {
	return slices.ContainsFunc(cs[from:to], func(c ch) bool { return !c.lit && unicode.IsSpace(c.r) })
}

// unmarked takes *bold*, ~struck~, _slanted_ and `code` marks from around
// words. All but code go in pairs only: a lone star or tilde may be a pattern or
// a parent commit, which no branch is, and is better refused than dropped. An
// underscore at a word's edge may be its own: a pair goes if it is around
// several words.
func unmarked(text []ch) []ch {
	cs := marked(text)
	drop := make([]bool, len(cs))
	open := map[rune][]int{}
	for i := 0; i < len(cs); i++ {
		m := cs.at(i)
		if !strings.ContainsRune(decorations, m) {
			continue
		}
		start := i
		for cs.at(i+1) == m {
			i++
		}
		before, after := cs.edge(start-1, -1, decorations), cs.edge(i+1, 1, decorations)
		begins := unicode.IsSpace(before) || strings.ContainsRune(">•,;\"", before) || isSeparator(before) && m != '_'
		finishes := unicode.IsSpace(after) || strings.ContainsRune(ends+"\"", after) || isSeparator(after) && m != '_'
		run := []int{}
		for k := start; k <= i; k++ {
			run = append(run, k)
		}
		switch {
		case m == '`':
			for _, k := range run {
				drop[k] = begins || finishes
			}
		case finishes && !unicode.IsSpace(cs.edge(start-1, -1, "")) && len(open[m]) > 0:
			for _, k := range append(open[m], run...) {
				drop[k] = m != '_' || cs.spaced(open[m][0], start)
			}
			open[m] = nil
		case begins && !unicode.IsSpace(cs.edge(i+1, 1, "")) && len(open[m]) == 0:
			open[m] = run
		}
	}
	var out []ch
	for i, c := range cs {
		if !drop[i] {
			out = append(out, c)
		}
	}
	return out
}

// foldings are single characters that stand for plain ones.
var foldings = map[rune]string{
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "--", '―': "--", '−': "-", '﹘': "--", '﹣': "-",
	'…': "...", '。': ".", '、': ",", '→': " to ", '⇒': " to ", '➔': " to ", '➜': " to ",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '«': `"`, '»': `"`, '″': `"`,
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '′': "'", '‹': "'", '›': "'",
}

// fold makes the unquoted characters plain.
func fold(cs []ch) []ch {
	var out []ch
	for _, c := range cs {
		s, folded := foldings[c.r]
		switch {
		case c.lit:
			out = append(out, c)
		case folded:
			for _, r := range s {
				out = append(out, ch{r: r})
			}
		case invisible(c.r):
		case unicode.IsSpace(c.r):
			out = append(out, ch{r: ' '})
		case c.r >= 0xFF01 && c.r <= 0xFF5E:
			out = append(out, ch{r: c.r - 0xFF01 + '!'})
		default:
			out = append(out, c)
		}
	}
	return out
}

func foldText(s string) string {
	var cs []ch
	for _, r := range s {
		cs = append(cs, ch{r: r})
	}
	return plain(fold(cs))
}

// joined is a setting that follows a comma without a space: api=a,web=b.
var joined = lazyregexp.New(`^[,;]-*[A-Za-z][A-Za-z0-9_-]*[=:]`)

func tokens(cs []ch) []token {
	var words [][]ch
	var word []ch
	flush := func() {
		if len(word) > 0 {
			words = append(words, word)
			word = nil
		}
	}
	for i, c := range cs {
		if !c.lit && c.r == ' ' || !c.lit && (c.r == ',' || c.r == ';') && joined.MatchString(plain(cs[i:min(len(cs), i+48)])) {
			flush()
			continue
		}
		word = append(word, c)
	}
	flush()
	var out []token
	for _, w := range words {
		if t, ok := newToken(trimWord(w)); ok {
			out = append(out, t)
		}
	}
	return out
}

// plain is the text of cs up to the first literal character.
func plain(cs []ch) string {
	var b strings.Builder
	for _, c := range cs {
		if c.lit {
			break
		}
		b.WriteRune(c.r)
	}
	return b.String()
}

// trimWord takes what ends a sentence, begins a quoted line or is half of a
// quotation from around a word.
func trimWord(w []ch) []ch {
	inner := 0 // quotation marks inside the word make its last one a part of it
	for _, c := range w[:len(w)-1] {
		if !c.lit && c.r == '"' {
			inner++
		}
	}
	for len(w) > 0 {
		last := w[len(w)-1]
		if last.lit || !strings.ContainsRune(trailing, last.r) && (inner > 0 || last.r != '"' && last.r != '\'') {
			break
		}
		w = w[:len(w)-1]
	}
	for len(w) > 0 && !w[0].lit && strings.ContainsRune(">•‣◦·", w[0].r) {
		w = w[1:]
	}
	return w
}

// newToken makes a token of a word; a word of nothing but bullets is none.
func newToken(w []ch) (token, bool) {
	var t token
	var b strings.Builder
	marks, lits, sep := 0, 0, -1
	for _, c := range w {
		switch {
		case c == mark:
			marks++
			if sep >= 0 {
				t.valQuoted = true
			}
			continue
		case c.lit:
			lits++
		case sep < 0 && (c.r == '=' || c.r == ':'):
			sep = b.Len()
		}
		b.WriteRune(c.r)
	}
	t.text, t.quoted = b.String(), marks > 0
	t.whole = marks == 1 && len(w) > 0 && w[0] == mark && lits == len(w)-1
	if t.whole {
		sep = strings.IndexAny(t.text, "=:")
	}
	if !t.quoted && strings.Trim(t.text, "-*•+>&~·") == "" {
		return t, false
	}
	t.split(sep)
	switch {
	case t.sep && t.whole:
		t.valQuoted = true
	case t.sep && t.text[len(t.key)] == '=' && !t.valQuoted:
		t.val = strings.TrimPrefix(t.val, ">") // web=>main
	}
	return t, true
}

var (
	// keyForm is what may stand before a separator to make a setting: letters
	// of any script, so that a strange one is named and not overlooked.
	keyForm = lazyregexp.New(`^-{0,2}[\p{L}_][\p{L}\p{M}0-9_.-]*$`)
	// serverKey is ENV/APP before a separator.
	serverKey = lazyregexp.New(`^[A-Za-z][A-Za-z0-9-]*/[A-Za-z][A-Za-z0-9-]*$`)
)

// split cuts a token into key and value at byte sep, unless what stands before
// it can be no key: then it belongs to a branch, as in fix/a=b.
func (t *token) split(sep int) {
	if sep < 0 || strings.HasPrefix(t.text[sep:], "://") {
		return
	}
	key := t.text[:sep]
	if t.whole && !keyForm.MatchString(key) {
		// In quotes nothing is folded; but a key is no value.
		key = foldText(key)
	}
	if key != "" && !keyForm.MatchString(key) && !serverKey.MatchString(key) {
		return
	}
	if key == "" && t.whole {
		return
	}
	t.sep, t.key, t.val = true, key, t.text[sep+1:]
}

// argument is the token of one word of an argv: exact but for quotes around
// it or around its value.
func argument(arg string) token {
	var t token
	t.text = arg
	if s, ok := unquote(arg); ok {
		t.text, t.quoted, t.whole = s, true, true
	}
	t.split(strings.IndexAny(t.text, "=:"))
	if t.sep {
		if s, ok := unquote(t.val); ok {
			t.val, t.valQuoted = s, true
		}
		t.valQuoted = t.valQuoted || t.whole
	}
	return t
}

func unquote(s string) (string, bool) {
	rs := []rune(s)
	if len(rs) < 2 || !isQuote(rs[0]) || !isQuote(rs[len(rs)-1]) {
		return s, false
	}
	return string(rs[1 : len(rs)-1]), true
}
