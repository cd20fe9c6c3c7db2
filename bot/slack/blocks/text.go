package blocks

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berth-dev/berth/bot/view"
)

// Slack's limits, in characters unless it says otherwise; see its reference of
// Block Kit.
const (
	maxBlocks     = 50
	maxHomeBlocks = 100
	maxSection    = 3000
	maxField      = 2000
	maxFields     = 10
	maxHeader     = 150
	maxButton     = 75
	maxValue      = 2000
	maxContext    = 10
	maxActions    = 25
	maxOptions    = 50 // Slack takes 100, but an acknowledgement only 20 KB
	maxOption     = 75
	maxOptionID   = 150
	maxText       = 3900
	// maxMessage is how many bytes of blocks a message may have: about a
	// thousand below where Slack was seen to refuse.
	maxMessage = 12_000
)

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// joiner is an invisible sign that keeps Slack from taking what stands around
// it for markup.
const joiner = "\u2060"

// Clip cuts text to a number of characters, with an ellipsis.
func Clip(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	r := []rune(text)
	return string(r[:limit-1]) + "…"
}

// clean takes out what would steer a terminal, turn the reading direction or
// is not text at all. Lines stay.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Cc, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return -1
		case unicode.Is(unicode.Cf, r) && r != '\u200d':
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// plain is text of anybody's as mrkdwn that shows just that text: nothing in it
// is a mention, a link, a picture or a style. Text in which Slack would see
// nothing stays as it is, so that it can be searched for and copied.
func plain(text string) string {
	text = emoji.ReplaceAllString(clean(text), ":"+joiner+"$1")
	r := []rune(text)
	var b strings.Builder
	for i, c := range r {
		switch {
		case c == '>' && startsLine(r, i):
			b.WriteString(joiner)
		case strings.ContainsRune("*_~`", c) && (i == 0 || !isWord(r[i-1])):
			// A style begins here only if something follows at once.
			b.WriteRune(c)
			b.WriteString(joiner)
			continue
		case c == '•' && startsLine(r, i):
			b.WriteString(joiner)
		}
		b.WriteRune(c)
	}
	return entities.Replace(b.String())
}

// emoji is a picture's name between colons.
var emoji = regexp.MustCompile(`:([a-zA-Z0-9_+'-]+:)`)

func startsLine(r []rune, i int) bool {
	for i--; i >= 0 && r[i] == ' '; i-- {
	}
	return i < 0 || r[i] == '\n'
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// codeSpan is text between backticks. Slack has no way to write one there, so
// that a look-alike stands in for it.
func codeSpan(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(clean(text), "`", "ˋ")), " ")
	if text == "" {
		return ""
	}
	return "`" + entities.Replace(text) + "`"
}

// userID is how Slack names people; nothing else is ever mentioned.
var userID = regexp.MustCompile(`^[UW][A-Z0-9]{2,20}$`)

// span writes one span as mrkdwn, cut to a number of characters of its text.
func (o Options) span(s view.Span, limit int) string {
	text := Clip(s.Text, limit)
	switch {
	case s.Person != "":
		if o.Person != nil {
			if id, ok := o.Person(s.Person); ok && userID.MatchString(id) {
				return "<@" + id + ">"
			}
		}
		return "*" + strings.Trim(plain(text), joiner) + "*"
	case !s.Time.IsZero():
		return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", s.Time.Unix(), entities.Replace(s.Time.UTC().Format(time.RFC822)))
	case s.URL != "":
		if u, ok := address(s.URL); ok {
			return "<" + u + "|" + linkText(text) + ">"
		}
		return plain(text)
	case s.Code:
		return codeSpan(text)
	case s.Strong:
		p := plain(strings.TrimSpace(text))
		if p == "" || strings.ContainsRune(p, '\n') {
			return p
		}
		return "*" + p + "*"
	}
	return plain(text)
}

// address is a web address as it may stand in a link; no other kind may.
func address(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(text) > 2000 {
		return "", false
	}
	return strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C", " ", "%20", "\n", "%0A", "\"", "%22").Replace(u.String()), true
}

func linkText(text string) string {
	return strings.ReplaceAll(entities.Replace(strings.Join(strings.Fields(clean(text)), " ")), "|", "❘")
}

// mrkdwn writes spans within a number of characters, cutting text and never
// markup.
func (o Options) mrkdwn(spans []view.Span, limit int) string {
	var b strings.Builder
	room := limit
	for _, s := range spans {
		out := o.span(s, room)
		// What is escaped is longer than it looks: less of it then.
		for n := utf8.RuneCountInString(s.Text); utf8.RuneCountInString(out) > room && n > 1; {
			n = min(n, room) * 3 / 4
			out = o.span(s, max(n, 1))
			if n <= 1 {
				break
			}
		}
		if utf8.RuneCountInString(out) > room {
			break
		}
		b.WriteString(out)
		room -= utf8.RuneCountInString(out)
	}
	return b.String()
}
