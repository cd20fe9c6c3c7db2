package bot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

var nameForm = lazyregexp.New(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// lower folds the case of a to z alone: the capital look-alikes that Unicode
// would fold to plain letters (such as the Kelvin sign) stay what they are.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// checkName folds and checks the name of a what.
func checkName(what, typed string) (string, *o.Error) {
	name := lower(typed)
	if nameForm.MatchString(name) {
		return name, nil
	}
	if err := foreign(what, typed); err != nil {
		return "", err
	}
	e := o.Errorf(o.CodeInvalidName, "%s cannot be the name of %s.", show(typed), what)
	switch {
	case name == "":
		return "", o.Errorf(o.CodeInvalidName, "The name of %s is missing.", what).WithHint("names are lower-case letters, digits and dashes")
	case len(name) > 32:
		e = o.Errorf(o.CodeInvalidName, "%s is too long for the name of %s: it has %d characters, 32 are allowed.", show(typed), what, len(name))
	case name[0] < 'a' || name[0] > 'z':
		e.Message = fmt.Sprintf("%s cannot be the name of %s: a name begins with a letter.", show(typed), what)
	case strings.HasSuffix(name, "-"):
		e.Message = fmt.Sprintf("%s cannot be the name of %s: a name does not end with a dash.", show(typed), what)
	}
	return "", e.WithHint("names are lower-case letters, digits and dashes, begin with a letter and have at most 32 characters")
}

// mended makes a name out of what is none, or "" where nothing is left.
func mended(typed string) string {
	var b strings.Builder
	for _, r := range lower(typed) {
		if plain, ok := lookalikes[r]; ok {
			r = unicode.ToLower(plain)
		}
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-") && r < 0x80:
			b.WriteByte('-')
		}
	}
	s := b.String()
	return strings.TrimRight(s[:min(len(s), 32)], "-")
}

// show quotes a person's word for a message, and keeps it short.
func show(s string) string {
	rs := []rune(s)
	if len(rs) > 60 {
		rs = append(rs[:57], '…')
	}
	return "“" + strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || invisible(r) {
			return '·'
		}
		return r
	}, string(rs)) + "”"
}

// lookalikes are letters that are drawn like plain ones.
var lookalikes = func() map[rune]rune {
	m := map[rune]rune{}
	add := func(strange, plain string) {
		p := []rune(plain)
		for i, r := range []rune(strange) {
			m[r] = p[i]
		}
	}
	add("асеорхуіјѕһԁԛԝӏьк", "aceopxyijshdqwlbk")
	add("АВЕКМНОРСТУХІЈЅԌ", "ABEKMHOPCTYXIJSG")
	add("αινορυκχγ", "aivopukxy")
	add("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX")
	add("ıɡɑ\u212Aℓſ", "igaKls")
	add("∕⁄⧸․꞉∶ː﹦꞊", "///.:::==")
	for i := range 26 {
		for block := range 13 { // mathematical letters, thirteen alphabets
			m[rune(0x1D400+52*block+i)] = rune('A' + i)
			m[rune(0x1D400+52*block+26+i)] = rune('a' + i)
		}
	}
	return m
}()

// alike are letters that pass for plain ones only in company of plain ones.
var alike = map[rune]rune{'м': 'm', 'т': 't', 'п': 'n', 'и': 'u', 'г': 'r', 'н': 'h', 'в': 'b', 'З': '3', 'μ': 'u', 'η': 'n', 'τ': 't', 'ω': 'w'}

// plainLetters replaces look-alikes by what they look like.
func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if p, ok := lookalikes[r]; ok {
			return p
		}
		if p, ok := alike[r]; ok {
			return p
		}
		return r
	}, s)
}

// foreign refuses a word for a character that no name, verb or key has.
func foreign(what, typed string) *o.Error {
	for _, r := range typed {
		if r >= 0x80 {
			return o.Errorf(o.CodeInvalidName, "%s contains %s, which %s cannot have.", show(typed), describe(r), what).
				WithHint("type it with the letters a to z")
		}
	}
	return nil
}

// describe names a character so that a person can tell it from its double.
func describe(r rune) string {
	where := "not one of a to z"
	for _, script := range []string{"Cyrillic", "Greek", "Armenian", "Cherokee", "Han", "Hangul", "Hebrew", "Arabic"} {
		if unicode.Is(unicode.Scripts[script], r) {
			where = "a " + script + " letter"
		}
	}
	if invisible(r) {
		return fmt.Sprintf("an invisible character (U+%04X)", r)
	}
	return fmt.Sprintf("“%c” (U+%04X, %s)", r, r, where)
}

// value is what a person gave for something; quoted values are exact.
type value struct {
	text   string
	quoted bool
}

var (
	pullNumber    = lazyregexp.New(`^#[0-9]{1,9}$`)
	githubAddress = lazyregexp.New(`^https?://[^/\s]+/[^/\s]+/[^/\s]+/(?:tree|pull|commit)/\S+$`)
	bareGitHub    = lazyregexp.New(`^(?i:www\.)?(?i:github\.com)/[^/\s]+/[^/\s]+/(?:tree|pull|commit)/\S+$`)
	remotePrefix  = lazyregexp.New(`^(?:(?:refs/)?remotes/origin/|refs/heads/|origin/)`)
)

// normalRef takes the remote's name or refs/heads from before a branch and
// completes an address of GitHub. Everything else stays as it was typed.
func normalRef(ref string) string {
	if bareGitHub.MatchString(ref) {
		return "https://" + ref
	}
	if rest := remotePrefix.ReplaceAllString(ref, ""); rest != "" {
		return rest
	}
	return ref
}

// checkRef checks a branch, or what stands for one: a commit, #123, or an
// address on GitHub.
func checkRef(v value, exact bool) (string, *o.Error) {
	ref := strings.TrimSpace(v.text)
	if !v.quoted {
		ref = normalRef(ref)
	}
	invalid := func(why string, args ...any) (string, *o.Error) {
		return "", o.Errorf(o.CodeInvalidValue, "%s cannot be a branch: %s.", show(v.text), fmt.Sprintf(why, args...)).
			WithHint("give a branch, a commit, #123 or an address on GitHub")
	}
	if ref == "" {
		return "", o.Errorf(o.CodeInvalidValue, "A branch is missing.").WithHint("write app=branch")
	}
	if len(ref) > 250 {
		return invalid("it has %d bytes, git takes 250", len(ref))
	}
	prev := rune(0)
	for _, r := range ref {
		// Emoji may carry a variation selector or a joiner; nothing else may
		// hide in a name.
		if invisible(r) && !((r == 0xFE0F || r == 0x200D) && prev > 0x2000) {
			return invalid("it contains %s", describe(r))
		}
		if unicode.IsControl(r) || r == '\ufffd' {
			return invalid("it contains a control or broken character (U+%04X)", r)
		}
		prev = r
	}
	if r, ok := mixed(ref); ok {
		return invalid("it mixes letters of two scripts in one word: %s stands among plain ones", describe(r))
	}
	if r, ok := disguised(ref); ok {
		return invalid("it contains %s, which looks like a plain character", describe(r))
	}
	if pullNumber.MatchString(ref) || githubAddress.MatchString(ref) && !strings.Contains(ref, `\`) {
		return ref, nil
	}
	if strings.Contains(ref, "://") {
		return invalid("it is an address, but none of a branch, pull request or commit on GitHub")
	}
	if !v.quoted && !exact && strings.Contains(ref, `"`) {
		return invalid("it has a quotation mark in it; if the branch really has, put the whole of it in quotes")
	}
	if why := refused(ref); why != "" {
		return invalid("%s", why)
	}
	return ref, nil
}

// refused says why git takes ref for no branch (git check-ref-format), or "".
func refused(ref string) string {
	switch {
	case strings.HasPrefix(ref, "-"):
		return "it begins with a dash"
	case ref == "@":
		return "git means something else by @"
	case strings.HasPrefix(ref, "/"), strings.HasSuffix(ref, "/"), strings.Contains(ref, "//"):
		return "a slash stands at its edge or twice in a row"
	case strings.Contains(ref, ".."):
		return "it has two dots in a row"
	case strings.HasSuffix(ref, "."):
		return "it ends with a dot"
	case strings.Contains(ref, "@{"):
		return "it has @{ in it"
	}
	for _, r := range ref {
		if r <= ' ' || r == 0x7F || strings.ContainsRune(`~^:?*[\`, r) {
			if r == ' ' {
				return "it has a space in it"
			}
			return fmt.Sprintf("git allows no %c in it", r)
		}
	}
	for part := range strings.SplitSeq(ref, "/") {
		if strings.HasPrefix(part, ".") {
			return "a part of it begins with a dot"
		}
		if strings.HasSuffix(part, ".lock") {
			return "a part of it ends with .lock"
		}
	}
	return ""
}

// confusable are the scripts whose letters are drawn like plain ones.
var confusable = []*unicode.RangeTable{unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic}

// mixed finds a letter of a confusable script in a word that has plain ones
// too. No language writes so; Han or accents beside plain letters are honest.
func mixed(ref string) (rune, bool) {
	for _, word := range strings.FieldsFunc(ref, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
		strange := strings.IndexFunc(word, func(r rune) bool { return unicode.In(r, confusable...) })
		if strange >= 0 && strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
			return []rune(word[strange:])[0], true
		}
	}
	return 0, false
}

// disguised finds a letter of another script in a part of ref where all such
// letters look plain. A word really written in that script has others too.
func disguised(ref string) (rune, bool) {
	for _, part := range strings.FieldsFunc(ref, func(r rune) bool { return strings.ContainsRune("/-_.#", r) }) {
		var first rune
		honest := false
		for _, r := range part {
			if _, ok := lookalikes[r]; ok {
				if !unicode.IsLetter(r) {
					return r, true
				}
				if first == 0 {
					first = r
				}
			} else if r >= 0x80 && unicode.IsLetter(r) {
				honest = true
			}
		}
		if first != 0 && !honest {
			return first, true
		}
	}
	return 0, false
}

// counts are the numbers that people write as words.
var counts = map[string]string{
	"a": "1", "an": "1", "one": "1", "another": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
	"seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12",
}

var units = map[string]time.Duration{}

func init() {
	for words, d := range map[string]time.Duration{
		"s sec secs second seconds": time.Second, "m min mins minute minutes": time.Minute, "h hr hrs hour hours": time.Hour,
		"d day days": 24 * time.Hour, "w wk wks week weeks": 7 * 24 * time.Hour,
	} {
		for _, w := range strings.Fields(words) {
			units[w] = d
		}
	}
}

var (
	durationPart = lazyregexp.New(`^\s*([0-9]+(?:[.,][0-9]+)?)\s*([a-z]+)\s*(?:and\s+)?`)
	numberForm   = lazyregexp.New(`^[+-]?[0-9]+(?:[.,][0-9]+)?$`)
	// partForm is a number with its unit, several in a row.
	partForm = lazyregexp.New(`^[+-]?(?:[0-9]+(?:[.,][0-9]+)?[A-Za-z]+)+$`)
)

// longest is beyond what anybody may ask for, and far below what overflows.
const longest = 100 * 365 * 24 * time.Hour

// Span reads a length of time as the grammar takes it: 12h, 3d, 2 weeks.
func Span(typed string) (time.Duration, error) {
	d, e := parseTTL(typed)
	if e != nil {
		return 0, e
	}
	return d, nil
}

// parseTTL reads a lifetime: 3d, 3 days, 1d12h, +4h, 90m, tomorrow.
func parseTTL(typed string) (time.Duration, *o.Error) {
	s := strings.TrimSpace(lower(plainSpaces(typed)))
	no := func(format string, args ...any) (time.Duration, *o.Error) {
		return 0, o.Errorf(o.CodeInvalidValue, format, args...).WithHint("write how long it should live, such as ttl=90m, ttl=36h or ttl=3d")
	}
	if s == "" {
		return no("ttl= has no value.")
	}
	for _, r := range s {
		if r >= 0x80 {
			return no("%s is no lifetime: it contains %s.", show(typed), describe(r))
		}
	}
	negative := strings.HasPrefix(s, "-")
	s = strings.TrimSpace(strings.TrimLeft(s, "+-"))
	switch s {
	case "tomorrow":
		s = "24h"
	case "infinity", "forever", "never", "none", "unlimited", "permanent":
		return no("%s is no lifetime: every environment has an end.", show(typed))
	}
	words := strings.Fields(s)
	if len(words) > 1 && words[0] == "another" && (numberForm.MatchString(words[1]) || partForm.MatchString(words[1])) {
		words = words[1:]
	}
	for i, w := range words {
		if n := counts[w]; n != "" {
			words[i] = n
		}
	}
	s = strings.Join(words, " ")
	if numberForm.MatchString(s) {
		if strings.Trim(s, "0.,+-") == "" {
			return no("A lifetime of %s is zero: nothing would live.", show(typed))
		}
		return no("%s is no lifetime: it lacks its unit.", show(typed))
	}
	total := 0.0
	for rest := s; rest != ""; {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return no("%s is no lifetime.", show(typed))
		}
		unit, ok := units[m[2]]
		if !ok {
			return no("%s is no lifetime: Berth does not know %s as a unit.", show(typed), show(m[2]))
		}
		n, err := strconv.ParseFloat(strings.Replace(m[1], ",", ".", 1), 64)
		if err != nil && !math.IsInf(n, 0) {
			return no("%s is no lifetime.", show(typed))
		}
		total += n * unit.Seconds()
		rest = rest[len(m[0]):]
	}
	switch {
	case total == 0:
		return no("A lifetime of %s is zero: nothing would live.", show(typed))
	case negative:
		return no("A lifetime of %s is negative: it would have ended already.", show(typed))
	case total > longest.Seconds():
		return 0, o.Errorf(o.CodeLifetime, "%s is longer than anything may live.", show(typed)).WithHint("write a shorter lifetime, such as ttl=3d")
	case math.Abs(total-math.Round(total)) > 1e-6 || math.Round(total) == 0:
		return no("%s is no whole number of seconds.", show(typed))
	}
	return time.Duration(math.Round(total)) * time.Second, nil
}

func plainSpaces(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, s)
}

// formatTTL writes a lifetime in hours, or in minutes or seconds where it is
// no whole number of the bigger unit.
func formatTTL(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
