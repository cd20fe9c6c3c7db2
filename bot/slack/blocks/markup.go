package blocks

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	// joiner is invisible and keeps Slack from reading what stands around it
	// as formatting. The zero-width space would do the opposite: Slack takes
	// it for the edge of a word.
	joiner = "\u2060"
	// edge is taken for the edge of a word, beside which formatting works.
	edge     = "\u200b"
	ellipsis = "…"
	// grave stands for the backtick, which cannot be shown within code.
	grave = "ˋ"
)

var breaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", "    ")

// clean takes out of text what would steer a screen instead of being read:
// escape sequences and control characters go, what turns the direction of
// text is shown by its number. Line breaks stay; tabs become spaces.
func clean(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	s = ansi.Strip(strings.ToValidUTF8(s, "\ufffd"))
	s = breaks.Replace(s)
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case turns(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		case unicode.IsControl(r), hidden(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// turns reports whether r changes the direction of the text around it.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// hidden reports whether r is drawn as nothing. The joiners U+200C and U+200D
// belong to some scripts and to emoji, and stay.
func hidden(r rune) bool {
	return r == 0x200b || r >= 0x2060 && r <= 0x2064 || r >= 0x206a && r <= 0x206f || r == 0xfeff || r == 0x00ad || r >= 0xe0000 && r <= 0xe007f
}

// oneLine is clean without line breaks, for places that have no room for them.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// size is the length of text as Slack counts it at worst: in UTF-16 units.
func size(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// Clip cuts text to at most limit characters, with an ellipsis. A character
// beyond Unicode's first plane counts twice, as it does for Slack.
func Clip(s string, limit int) string {
	if size(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		w := size(string(r))
		if n+w > limit-1 {
			return s[:i] + ellipsis
		}
		n += w
	}
	return s
}

// head is as much of text as cannot be shown within limit units: the rest
// need not be looked at.
func head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	n := 0
	for i := range text {
		if n++; n > limit+1 {
			return text[:i]
		}
	}
	return text
}

// tail is the last n runes of text.
func tail(text string, n int) string {
	for i := len(text); i > 0; n-- {
		if n == 0 {
			return text[i:]
		}
		_, w := utf8.DecodeLastRuneInString(text[:i])
		i -= w
	}
	return text
}

// clipMiddle cuts text to at most limit units and keeps its beginning and end,
// where branches differ.
func clipMiddle(s string, limit int) string {
	if size(s) <= limit {
		return s
	}
	rs := []rune(s)
	head, tail, n := 0, len(rs), 1
	for head < tail {
		if w := size(string(rs[head])); n+w <= limit {
			n += w
			head++
		} else {
			break
		}
		if head >= tail {
			break
		}
		if w := size(string(rs[tail-1])); n+w <= limit {
			n += w
			tail--
		} else {
			break
		}
	}
	return string(rs[:head]) + ellipsis + string(rs[tail:])
}

var escapes = map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;"}

// escape makes text harmless for Slack's parser of entities.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace

func wordly(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// emojiName reports whether rs begins with the rest of :name:.
func emojiName(rs []rune) bool {
	for i, r := range rs {
		if r == ':' {
			return i > 0
		}
		if !wordly(r) && !strings.ContainsRune("_+-'`", r) {
			return false
		}
	}
	return false
}

// pieces cuts text into pieces of mrkdwn that show exactly what stands in it,
// and that may be cut apart. LineStart says that nothing stands before it on
// its line.
func pieces(text string, lineStart, inLink bool) []string {
	rs := []rune(text)
	out := make([]string, 0, len(rs))
	at := func(i int) rune {
		if i < 0 || i >= len(rs) {
			return 0
		}
		return rs[i]
	}
	for i, r := range rs {
		piece, before, after := string(r), wordly(at(i-1)), wordly(at(i+1))
		switch r {
		case '&', '<':
			piece = escapes[r]
		case '>':
			piece = escapes[r]
			if lineStart { // a quotation
				piece = joiner + piece
			}
		case '`':
			piece = grave
		case '*', '~', '_':
			if !before || !after { // inside a word it is only itself
				piece = joiner + piece + joiner
			}
		case ':':
			// An address; in a link's text Slack looks for none.
			if emojiName(rs[i+1:]) || at(i+1) == '/' && at(i+2) == '/' && !inLink {
				piece += joiner
			}
		case '@', '#':
			if unicode.IsLetter(at(i+1)) || r == '@' && after {
				piece += joiner
			}
		}
		out = append(out, piece)
		lineStart = r == '\n' || lineStart && unicode.IsSpace(r)
	}
	return out
}

// codePieces is pieces of what stands between backticks.
func codePieces(text string) []string {
	out := make([]string, 0, len(text))
	for _, r := range text {
		switch e, ok := escapes[r]; {
		case ok:
			out = append(out, e)
		case r == '`':
			out = append(out, grave)
		default:
			out = append(out, string(r))
		}
	}
	return out
}

// writer collects mrkdwn up to a limit. What does not fit any more ends in an
// ellipsis, with no entity or mention cut and whatever is open closed.
type writer struct {
	b     strings.Builder
	used  int
	limit int
	full  bool
	last  rune // the last rune written
}

func (w *writer) raw(s string) {
	w.b.WriteString(s)
	w.used += size(s)
	if r, n := utf8.DecodeLastRuneInString(s); n > 0 {
		w.last = r
	}
}

// whole writes s or nothing of it.
func (w *writer) whole(s string) {
	if w.full {
		return
	}
	if w.used+size(s) > w.limit-1 {
		w.full = true
		w.raw(ellipsis)
		return
	}
	w.raw(s)
}

// enclosed writes pieces between two marks.
func (w *writer) enclosed(left string, all []string, right string) {
	if w.full || len(all) == 0 {
		return
	}
	if w.used+size(left)+size(all[0])+size(right) > w.limit-1 {
		w.full = true
		w.raw(ellipsis)
		return
	}
	w.raw(left)
	for _, p := range all {
		if w.used+size(p)+size(right) > w.limit-1 {
			w.full = true
			w.raw(ellipsis)
			break
		}
		w.raw(p)
	}
	w.raw(right)
}

// newLine reports whether what comes next begins a line.
func (w *writer) newLine() bool {
	s := w.b.String()
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:]) == ""
}

// separate keeps a mark that formats apart from a word before it.
func (w *writer) separate() {
	if w.last != 0 && !unicode.IsSpace(w.last) && !strings.ContainsRune("([“‘\"'", w.last) && !w.full {
		w.whole(edge)
	}
}

var userID = lazyregexp.New(`^[UW][A-Z0-9]{2,}$`)

// address is raw as it may stand in a link, or false where it may not: only
// the web's addresses, without a user in them and with a plain host.
func address(raw string) (string, bool) {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(raw) > 2000 {
		return "", false
	}
	for i := range len(u.Host) {
		if c := u.Host[i]; c <= ' ' || c > '~' || strings.IndexByte("<>|\"`%\\^{}&", c) >= 0 {
			return "", false
		}
	}
	var b strings.Builder
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c > '~' || strings.IndexByte("<>|\"`\\^{}*", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > 2500 {
		return "", false
	}
	return b.String(), true
}

// span writes one span that settle has left.
func (w *writer) span(s view.Span) {
	text := head(s.Text, w.limit)
	switch {
	case s.Code:
		w.separate()
		w.enclosed("`", codePieces(text), "`")
	case s.URL != "":
		left, label := "<"+escape(s.URL)+"|", pieces(strings.ReplaceAll(text, "|", "¦"), false, true)
		if w.used+size(left)+size(label[0])+2 > w.limit { // rather the text alone than nothing
			w.whole(joiner)
			w.plain(text)
			return
		}
		w.enclosed(left, label, ">")
	case s.Person != "":
		w.whole("<@" + s.Person + ">")
	case !s.Time.IsZero():
		fallback := strings.ReplaceAll(Clip(oneLine(text), 80), "|", "¦")
		w.whole(fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", s.Time.Unix(), escape(fallback)))
	case s.Strong:
		w.separate()
		w.enclosed("*", pieces(text, false, false), "*")
	default:
		w.plain(text)
	}
}

// settle decides what each span can be in Slack: what cannot be shown as it
// asks is mere text. Neighbours that are mere text are joined, so that nothing
// can be put together from two of them that would be refused in one.
func settle(spans []view.Span, o Options) []view.Span {
	var out []view.Span
	joins := false
	add := func(s view.Span) {
		plain := s == view.Span{Text: s.Text}
		switch {
		case s.Text == "" && plain:
		case plain && joins:
			out[len(out)-1].Text += s.Text
		default:
			out = append(out, s)
			joins = plain
		}
	}
	for _, s := range spans {
		text := clean(s.Text)
		if s.Command {
			text = o.Typed(text)
		}
		switch {
		case s.Code:
			if text = strings.TrimSpace(strings.ReplaceAll(text, "\n", " ")); !blank(text) {
				add(view.Span{Text: text, Code: true})
			}
		case s.URL != "":
			link, ok := address(s.URL)
			if text = oneLine(text); blank(text) {
				text = oneLine(s.URL)
			}
			if ok {
				add(view.Span{Text: text, URL: link})
			} else {
				add(view.Span{Text: text})
			}
		case s.Person != "":
			if o.Person != nil {
				if id, ok := o.Person(s.Person); ok && userID.MatchString(id) {
					add(view.Span{Person: id})
					continue
				}
			}
			if blank(text) {
				text = clean(s.Person)
			}
			add(view.Span{Text: text})
		case !s.Time.IsZero():
			if blank(text) {
				text = s.Time.UTC().Format("2 Jan 15:04 MST")
			}
			if s.Time.Unix() <= 0 || s.Time.Year() > 9999 {
				add(view.Span{Text: text})
			} else {
				add(view.Span{Text: text, Time: s.Time})
			}
		case s.Strong:
			// Slack can be relied upon for bold on one line, without a star in it.
			inner := strings.TrimSpace(text)
			if blank(inner) || strings.ContainsAny(inner, "*\n") {
				add(view.Span{Text: text})
				continue
			}
			before, after, _ := strings.Cut(text, inner)
			add(view.Span{Text: before})
			add(view.Span{Text: inner, Strong: true})
			add(view.Span{Text: after})
		default:
			add(view.Span{Text: text})
		}
	}
	return out
}

func (w *writer) plain(text string) {
	if text == "" {
		return
	}
	if w.last == '`' || w.last == '*' { // the end of something formatted, which a letter would undo
		if r, _ := utf8.DecodeRuneInString(text); wordly(r) {
			w.whole(edge)
		}
	}
	for _, p := range pieces(text, w.newLine(), false) {
		w.whole(p)
	}
}

// mrkdwn is spans as Slack's markup of at most limit units.
func mrkdwn(spans []view.Span, o Options, limit int) string {
	w := writer{limit: limit}
	for _, s := range settle(spans, o) {
		w.span(s)
	}
	return strings.TrimSpace(w.b.String())
}

// plainMarkup is text, unformatted, as mrkdwn of at most limit units.
func plainMarkup(text string, limit int) string {
	return mrkdwn([]view.Span{{Text: text}}, Options{}, limit)
}

// fence is text that is clean as a block of code of at most limit units.
func fence(text string, limit int) string {
	w := writer{limit: limit}
	w.enclosed("```\n", fencePieces(text), "\n```")
	return w.b.String()
}

// fencePieces is pieces of what stands in a block of code.
func fencePieces(text string) []string {
	all := make([]string, 0, len(text))
	ticks := 0
	for _, r := range text {
		piece := string(r)
		if e, ok := escapes[r]; ok {
			piece = e
		}
		if r == '`' {
			if ticks++; ticks > 1 { // three in a row would end the block
				piece = joiner + piece
			}
		} else {
			ticks = 0
		}
		all = append(all, piece)
	}
	return all
}

// blank reports whether nothing of s is to be seen.
func blank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.In(r, unicode.Cf, unicode.Mn, unicode.Variation_Selector)
	})
}
