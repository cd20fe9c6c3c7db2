package orchestrator

import (
	"crypto/sha256"
	"encoding/base32"
	"net/url"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Fingerprint is ten characters that are the same for a failure wherever and
// whenever it comes back. It is made of a cause's code, the app and what tells
// the cause from others of that code, without what differs from run to run:
// commits, times, durations, processes, ports, temporary paths, IDs, counters
// and places within a file. Known are words that differ too, such as the
// address of a server.
func Fingerprint(code, app, telling string, known ...string) string {
	sum := sha256.Sum256([]byte(code + "\x00" + app + "\x00" + steady(telling, known)))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
}

const months = `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*`

// changing is what differs between two runs that fail alike, the long forms
// before those that are a part of them.
var changing = []struct {
	re *lazyregexp.Regexp
	by string
}{
	{lazyregexp.New("\x1b\\[[0-9;?]*[A-Za-z]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?"), ""},
	{lazyregexp.New(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "*"},
	// Days and times, as logs, files, mails and people write them.
	{lazyregexp.New(`\b\d{4}[-/_]\d{2}[-/_]\d{2}(?:[T _]\d{2}[:_]\d{2}(?:[:_]\d{2}(?:[.,_]\d+)?)?)?(?:\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?`), "*"},
	{lazyregexp.New(`\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?(?:\d{1,2}\s+` + months + `|` + months + `\s+\d{1,2})\b,?(?:\s+\d{4}\b)?`), "*"},
	{lazyregexp.New(`\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?(?:\s?(?:Z|UTC|GMT|CES?T|[AP]M|[+-]\d{2}:?\d{2})\b)?`), "*"},
	{lazyregexp.New(`(?i)\b(at|since|until) \d{1,2}:\d{2}\b`), "$1 *"},
	// Temporary paths, known by where they are or by who makes them.
	{lazyregexp.New(`/(?:tmp|private/var/folders|var/folders)/[^\s/'":,;)\]]+`), "/tmp/*"},
	{lazyregexp.New(`\b(?:pip-(?:[a-z]+-)+|tmp-?|temp-|npm-|go-(?:build|link)-?|yarn--)[A-Za-z0-9_]{6,}`), "*"},
	{lazyregexp.New(`\b\w*tmp\.[A-Za-z0-9_]{6,}\b`), "*"},
	{lazyregexp.New(`\brun-[0-9a-zA-Z]+\.(?:scope|service)`), "*"},
	{lazyregexp.New(`(/(?:servers|workspaces)/)[a-z][a-z2-7]{12}\b`), "$1*"}, // also one without a digit
	{lazyregexp.New(`(?i)\b0x[0-9a-f]+\b`), "*"},
	{lazyregexp.New(`(?i)\b(pid|process|job|thread)((?: id)?\s?[:=#]?\s?)\d+\b`), "$1$2*"},
	// Places within a file: the file tells.
	{lazyregexp.New(`(?i)\b(lines?|columns?|col|char(?:acter)?|position|offset|row|byte)((?: number)?\s?[:=]?\s?)\d+(?:\s?[-–]\s?\d+)?\b`), "$1$2*"},
	{lazyregexp.New(`(\.[A-Za-z][A-Za-z0-9]{0,9}|file)[:(]\d+(?:[:,]\s?\d+)?(?:\)|\b)`), "$1"},
	// How long it took, how much it was.
	{lazyregexp.New(`(?i)(^|[^\w.=<>~^-])\d+(?:[.,]\d+)?\s?(?:ns|µs|us|ms|msecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?|bytes?|[kmgt]i?b)(?:\s?\d+(?:\.\d+)?(?:ms|m|s))*\b`), "$1*"},
	{lazyregexp.New(`(?i)\b(ports?\W{0,3})\d+\b`), "$1*"},
	{lazyregexp.New(`([A-Za-z0-9\])*]):\d{3,5}\b`), "$1"},
}

var (
	// hash is a commit, a digest or a part of one, or the ID of what ops have set
	// up at a cloud; id is what Berth gives to
	// what it makes.
	hash = lazyregexp.New(`(?i)\b(?:(?:ami|subnet|vpc|sg|snap)-)?[0-9a-f]{7,64}\b`)
	id   = lazyregexp.New(`\b[ebost][a-z2-7]{12}\b`)
	// A number that stands alone counts something, but after these words it is
	// an answer's or a program's status, which tells.
	token   = lazyregexp.New("[^\\s\"'`()\\[\\]{},;|<>]+")
	counter = lazyregexp.New(`^#?\d+(?:/\d+)?%?[.:!?]*$`)
	status  = lazyregexp.New(`(?i)^(?:https?(?:/[\d.]+)?|status|code|errno|exit|exited|error:)[:=]?$`)
)

// steady is a text without what differs between two runs that fail alike.
func steady(text string, known []string) string {
	known = slices.Clone(known)
	// The longest first: one may be a part of another.
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	for _, k := range known {
		text = withoutWord(text, k)
	}
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.by)
	}
	text = id.ReplaceAllStringFunc(text, func(s string) string {
		if strings.ContainsAny(s, "234567") { // else it is a word of that length
			return "*"
		}
		return s
	})
	text = hash.ReplaceAllStringFunc(text, func(s string) string {
		if strings.Contains(s, "-") { // what ops have set up at a cloud
			return s
		}
		if digits := strings.IndexAny(s, "0123456789") >= 0; digits && strings.ContainsAny(s, "abcdefABCDEF") || len(s) >= 40 {
			return "*"
		}
		return s
	})
	before := ""
	text = token.ReplaceAllStringFunc(text, func(s string) string {
		was := before
		if before = s; counter.MatchString(s) && !status.MatchString(was) {
			return "*"
		}
		return s
	})
	return strings.Join(strings.Fields(text), " ")
}

// withoutWord takes a word out of a text wherever no letter or digit is next
// to it.
func withoutWord(text, word string) string {
	if len(word) < 2 {
		return text
	}
	var b strings.Builder
	for rest := text; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			b.WriteString(rest)
			return b.String()
		}
		end := i + len(word)
		if (i == 0 && b.Len() == 0 || i > 0 && !alphanumeric(rest[i-1])) && (end == len(rest) || !alphanumeric(rest[end])) {
			b.WriteString(rest[:i] + "*")
		} else {
			b.WriteString(rest[:end])
		}
		rest = rest[end:]
	}
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// changingNames are the words that tell an environment from another one that
// runs the same. A name that is a plain word is none of them: it may well stand
// for something else in what an app prints.
func changingNames(e Environment, operationID string) []string {
	out := []string{e.ID, operationID}
	if strings.ContainsAny(e.Name, "-0123456789") {
		out = append(out, e.Name)
	}
	for _, v := range e.Servers {
		out = append(out, v.ID)
		address := v.Address
		if u, err := url.Parse(v.URL); err == nil && address == "" {
			address = u.Hostname()
		}
		if address != "127.0.0.1" && address != "localhost" {
			out = append(out, address)
		}
	}
	return out
}

// fingerprint gives every cause its fingerprints: what it is about may be told
// by who diagnosed it, else it is its sentence.
func (d *Diagnosis) fingerprint(e Environment, operationID string) {
	known := changingNames(e, operationID)
	for i := range d.Causes {
		c := &d.Causes[i]
		telling := c.Telling
		if telling == "" {
			telling = strings.NewReplacer(nameOf(Server{App: c.app()}), itself, e.Name+"/"+c.app(), itself).Replace(c.Sentence)
		}
		c.Fingerprint, c.Kin = Fingerprint(c.Code, c.app(), telling, known...), Fingerprint(c.Code, "", telling, known...)
		if c.Outside != "" { // whatever it was wanted for
			c.Kin = Fingerprint(c.Code, "", "outside "+c.Outside)
		}
	}
}

// app is the app of the server that a cause is about, or empty.
func (c Cause) app() string {
	return c.Server[strings.LastIndex(c.Server, "/")+1:]
}
