package orchestrator

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	// gram is the length of the piece of a secret from which on the piece is
	// known as one where a text breaks off.
	gram = 12
	// unwrapped is the length from which on a secret is looked for across the
	// ends of lines.
	unwrapped = 12
	// fewEncoded is how many characters of a longer text in base64 are enough to
	// know a secret in it.
	fewEncoded = 5
	// window is how much of a text is looked at in one go, in bytes.
	window = 256 << 10
)

// mask finds secrets and hides them. It is safe for concurrent use.
type mask struct {
	patterns []string
	byStart  map[[aloneBelow]byte][]int // patterns, the longest first
	second   [1 << 16]bool              // whether any pattern begins with these two bytes
	grams    map[string][]place         // where in which pattern a piece stands
	alone    *regexp.Regexp             // what is hidden only where it stands alone
	spaces   bool                       // some secret has one: + may be one in a URL
	longest  int
}

type place struct{ pattern, at int }

// isSecret says whether the value of a setting is to be hidden.
func isSecret(key, value string, public []string) bool {
	if strings.TrimSpace(value) == "" || slices.Contains(public, key) {
		return false
	}
	return len(value) >= longSecret || secretKey.MatchString(key) && !slices.Contains(openValues, strings.ToLower(value))
}

// newMask makes the mask of all the settings, whose keys may be the same.
func newMask(public []string, settings ...map[string]string) *mask {
	m := &mask{byStart: map[[aloneBelow]byte][]int{}, grams: map[string][]place{}}
	seen, alone := map[string]bool{}, map[string]bool{}
	add := func(s string) {
		if len(s) < aloneBelow {
			alone[s] = true
		} else if !seen[s] {
			seen[s] = true
			m.patterns = append(m.patterns, s)
		}
	}
	for _, values := range settings {
		for key, value := range values {
			if !isSecret(key, value, public) {
				continue
			}
			m.spaces = m.spaces || strings.Contains(value, " ")
			for _, form := range forms(value) {
				add(form)
			}
			if !strings.Contains(value, "\n") {
				continue
			}
			// Logs show a key of several lines line by line.
			for line := range strings.Lines(value) {
				switch line = strings.TrimSpace(line); {
				case len(line) >= longSecret:
					for _, form := range forms(line) {
						add(form)
					}
				case len(line) >= aloneBelow:
					alone[line] = true
				}
			}
		}
	}
	sort.Strings(m.patterns)
	for i, p := range m.patterns {
		key := [aloneBelow]byte([]byte(p[:aloneBelow]))
		m.byStart[key] = append(m.byStart[key], i)
		m.second[uint16(p[0])<<8|uint16(p[1])] = true
		m.longest = max(m.longest, len(p))
		for at := 0; at+gram <= len(p); at++ {
			m.grams[p[at:at+gram]] = append(m.grams[p[at:at+gram]], place{i, at})
		}
	}
	for _, all := range m.byStart {
		slices.SortFunc(all, func(a, b int) int { return len(m.patterns[b]) - len(m.patterns[a]) })
	}
	if len(alone) > 0 {
		var quoted []string
		for s := range alone {
			quoted = append(quoted, regexp.QuoteMeta(s))
		}
		slices.SortFunc(quoted, func(a, b string) int { return len(b) - len(a) })
		m.alone = regexp.MustCompile(`(?:^|[^\pL\pN_])(` + strings.Join(quoted, "|") + `)(?:$|[^\pL\pN_])`)
	}
	return m
}

// forms are those in which a secret may be printed that reading a text anew
// (see views) does not bring back: quoted for a shell, in hex, and in base64,
// also within a longer text in base64.
func forms(secret string) []string {
	plain := hex.EncodeToString([]byte(secret))
	out := []string{secret, plain, strings.ToUpper(plain)}
	if strings.Contains(secret, "'") {
		out = append(out, strings.ReplaceAll(secret, "'", `'\''`), strings.ReplaceAll(secret, "'", `'"'"'`))
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		out = append(out, encoding.EncodeToString([]byte(secret)), encoding.WithPadding(base64.NoPadding).EncodeToString([]byte(secret)))
		for before := range 3 {
			// Six bits a character: those that hold bits of the secret alone.
			from, to := (before*8+5)/6, (before+len(secret))*8/6
			if to-from >= fewEncoded {
				out = append(out, encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))[from:to])
			}
		}
	}
	return out
}

// text hides what is secret in a text.
func (m *mask) text(s string) string { return m.replace(s, m.find(s), false) }

// lines hides what is secret in lines that follow one another: a secret may be
// wrapped, or the last one go on in what comes later.
func (m *mask) lines(all []string) []string {
	whole := strings.Join(all, "\n")
	found, at := m.find(whole), 0
	for _, l := range all {
		if strings.HasSuffix(l, "…") { // it was longer
			for _, x := range m.broken(l) {
				found = append(found, span{at + x.from, at + x.to})
			}
		}
		at += len(l) + 1
	}
	hidden := strings.Split(m.replace(whole, apart(found), true), "\n")
	out := make([]string, len(all))
	for i, l := range all {
		n := 1 + strings.Count(l, "\n")
		out[i], hidden = strings.Join(hidden[:n], "\n"), hidden[n:]
	}
	return out
}

// looks finds what is secret whoever's it is.
func looks(s string) (out []span) {
	hide := func(re *lazyregexp.Regexp, group, after, before int) {
		for _, x := range re.FindAllStringSubmatchIndex(s, -1) {
			from, to := x[2*group], x[2*group+1]
			if after > 0 {
				from = x[2*after+1]
			}
			out = append(out, span{from, to - before})
		}
	}
	if strings.Contains(s, "://") && strings.Contains(s, "@") {
		for _, x := range urlPassword.FindAllStringSubmatchIndex(s, -1) {
			out = append(out, span{x[3] + len(":"), x[1] - len("@")})
		}
		hide(urlToken, 0, 1, len("@"))
	}
	if strings.Contains(s, "PRIVATE KEY-----") {
		hide(keyBlock, 0, 0, 0)
	}
	if slices.ContainsFunc(starts, func(start string) bool { return strings.Contains(s, start) }) {
		hide(knownToken, 0, 0, 0)
	}
	low := strings.ToLower(s)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(low, w) })
	}
	if has("bearer", "basic", "token") {
		hide(bearer, 2, 0, 0)
	}
	if has("pass", "pwd", "secret", "token", "key") {
		hide(assigned, 2, 0, 0)
	}
	return out
}

// span is a piece of a text that is to be hidden.
type span struct{ from, to int }

// replace hides spans, which are in order and apart; with keep the ends of lines
// within them stay.
func (m *mask) replace(s string, spans []span, keep bool) string {
	if len(spans) == 0 {
		return s
	}
	var b strings.Builder
	at := 0
	for _, x := range spans {
		b.WriteString(s[at:x.from])
		at = x.to
		if !keep {
			b.WriteString(masked)
			continue
		}
		for i, piece := range strings.Split(s[x.from:x.to], "\n") {
			if i > 0 {
				b.WriteByte('\n')
			}
			if piece != "" {
				b.WriteString(masked)
			}
		}
	}
	b.WriteString(s[at:])
	return b.String()
}

// find gives the pieces of a text that are secret.
func (m *mask) find(s string) []span {
	if s == "" {
		return nil
	}
	found := looks(s)
	if len(m.patterns) == 0 && m.alone == nil {
		return apart(found)
	}
	// What is encoded is longer: six bytes for one at most, twice.
	reach := 12*m.longest + 64
	for from := 0; from < len(s); from += window {
		start := max(0, from-reach)
		for _, x := range m.within(s[start:min(len(s), from+window)]) {
			found = append(found, span{start + x.from, start + x.to})
		}
	}
	return apart(append(found, m.broken(s)...))
}

// apart puts spans in order and joins those that touch.
func apart(found []span) []span {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var out []span
	for _, x := range found {
		if n := len(out); n > 0 && x.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, x.to)
			continue
		}
		out = append(out, x)
	}
	return out
}

// within looks at a text in each of the ways in which it may be read.
func (m *mask) within(s string) (out []span) {
	for _, v := range m.views(view{text: s}) {
		out = append(out, m.scan(v, 0)...)
		if strings.Contains(v.text, "\n") {
			out = append(out, m.scan(v.read(joined), unwrapped)...)
		}
		if m.alone == nil {
			continue
		}
		for at := 0; ; {
			// One's end may be the next one's beginning.
			x := m.alone.FindStringSubmatchIndex(v.text[at:])
			if x == nil {
				break
			}
			out = append(out, v.span(at+x[2], at+x[3]))
			at += x[3]
		}
	}
	return out
}

// scan finds patterns of at least so many bytes.
func (m *mask) scan(v view, least int) (out []span) {
	s := v.text
	for i := 0; i+aloneBelow <= len(s); i++ {
		if !m.second[uint16(s[i])<<8|uint16(s[i+1])] {
			continue
		}
		for _, p := range m.byStart[[aloneBelow]byte([]byte(s[i:i+aloneBelow]))] {
			if p := m.patterns[p]; len(p) >= least && strings.HasPrefix(s[i:], p) {
				out = append(out, v.span(i, i+len(p)))
				break // the longest
			}
		}
	}
	return out
}

// broken finds pieces of secrets where a text begins and ends: it may be a part
// of a longer one.
func (m *mask) broken(s string) (out []span) {
	end := len(strings.TrimRight(strings.TrimSuffix(strings.TrimRight(s, " \n"), "…"), " \n"))
	if end < gram {
		return nil
	}
	for _, x := range m.grams[s[end-gram:end]] {
		if n := x.at + gram; n <= end && s[end-n:end] == m.patterns[x.pattern][:n] {
			out = append(out, span{end - n, end})
		}
	}
	for _, x := range m.grams[s[:gram]] {
		rest := m.patterns[x.pattern][x.at:]
		if strings.HasPrefix(s, rest) {
			out = append(out, span{0, len(rest)})
		} else if strings.HasPrefix(rest, s[:end]) {
			out = append(out, span{0, end})
		}
	}
	return out
}

// view is a text as it reads with something undone, and where each of its bytes
// stands in the text that it was made from; nil: at the same place.
type view struct {
	text     string
	from, to []int32
}

func (v view) span(from, to int) span {
	if v.from == nil {
		return span{from, to}
	}
	return span{int(v.from[from]), int(v.to[to-1])}
}

// reader reads what stands at the beginning of a text: the bytes that it is
// read as and how many it takes; 0: nothing that it knows. What it knows begins
// with one of the characters of first.
type reader struct {
	first string
	read  func(s string) (read string, n int)
}

var (
	joined  = reader{"\r\n", readJoined}
	escaped = reader{`\`, readEscaped}
	percent = reader{"%", readPercent}
	form    = reader{"+%", readForm}
	entity  = reader{"&", readEntity}
)

// read makes the view of a view.
func (v view) read(r reader) view {
	read := make([]byte, 0, len(v.text))
	out := view{from: make([]int32, 0, len(v.text)), to: make([]int32, 0, len(v.text))}
	for i := 0; i < len(v.text); {
		n, as := 0, ""
		if strings.IndexByte(r.first, v.text[i]) >= 0 {
			as, n = r.read(v.text[i:])
		}
		if n == 0 {
			x := v.span(i, i+1)
			read, out.from, out.to = append(read, v.text[i]), append(out.from, int32(x.from)), append(out.to, int32(x.to))
			i++
			continue
		}
		x := v.span(i, i+n)
		for range len(as) {
			out.from, out.to = append(out.from, int32(x.from)), append(out.to, int32(x.to))
		}
		read = append(read, as...)
		i += n
	}
	out.text = string(read)
	return out
}

// views are the ways in which a text may be read: as it is, with what JSON,
// programming languages and shells escape (a log of JSON in JSON does so several
// times), what URLs and what HTML encode.
func (m *mask) views(v view) []view {
	out := []view{v}
	for range 3 {
		last := out[len(out)-1]
		if !strings.Contains(last.text, `\`) {
			break
		}
		out = append(out, last.read(escaped))
	}
	for _, v := range slices.Clip(out) {
		if strings.Contains(v.text, "%") || m.spaces && strings.Contains(v.text, "+") {
			out = append(out, v.read(percent))
			if m.spaces && strings.Contains(v.text, "+") {
				out = append(out, v.read(form))
			}
		}
		if strings.Contains(v.text, "&") && strings.Contains(v.text, ";") {
			out = append(out, v.read(entity))
		}
	}
	return out
}

// readJoined reads lines that were wrapped as one.
func readJoined(s string) (string, int) {
	n := 0
	if strings.HasPrefix(s, "\r\n") {
		n = 2
	} else if s[0] == '\n' {
		n = 1
	}
	if n == 0 {
		return "", 0
	}
	for n < len(s) && (s[n] == ' ' || s[n] == '\t') {
		n++
	}
	return "", n
}

var controls = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f", 'v': "\v", 'a': "\a", '0': "\x00"}

// readEscaped reads \n, \u00e4, \xe4 and a character that a backslash quotes.
func readEscaped(s string) (string, int) {
	if s[0] != '\\' || len(s) < 2 {
		return "", 0
	}
	switch c := s[1]; {
	case c == 'u':
		r, ok := unit(s)
		if !ok {
			return "", 0
		}
		if low, ok := unit(s[6:]); ok && utf16.IsSurrogate(r) {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return string(r), 12
			}
		}
		return string(r), 6
	case c == 'x' && len(s) >= 4:
		if n, err := strconv.ParseUint(s[2:4], 16, 8); err == nil {
			return string([]byte{byte(n)}), 4
		}
	case controls[c] != "":
		return controls[c], 2
	case c < utf8.RuneSelf && !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'):
		return s[1:2], 2
	}
	return "", 0
}

func unit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}

// readPercent reads %2B.
func readPercent(s string) (string, int) {
	if s[0] != '%' || len(s) < 3 {
		return "", 0
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(n)}), 3
}

// readForm reads what forms send: percent, and + for a space.
func readForm(s string) (string, int) {
	if s[0] == '+' {
		return " ", 1
	}
	return readPercent(s)
}

// readEntity reads &lt;.
func readEntity(s string) (string, int) {
	if s[0] != '&' {
		return "", 0
	}
	end := strings.IndexByte(s[:min(len(s), 10)], ';')
	if end < 0 {
		return "", 0
	}
	if read := html.UnescapeString(s[:end+1]); read != s[:end+1] {
		return read, end + 1
	}
	return "", 0
}
