package diagnose

import (
	"encoding/base64"
	"net/url"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// sentenceLimit is the contract's length of a sentence, in characters.
const sentenceLimit = 240

// maxEvidence bounds what goes along with a cause, in bytes.
const maxEvidence = 4000

var (
	ansi      = lazyregexp.New("\x1b\\[[0-9;?]*[A-Za-z]")
	urlSecret = lazyregexp.New(`(?i)\b([a-z][a-z0-9+.-]*://)([^\s/@'"]*):([^\s@'"]+)@`)
	// portAndPath is what only looks like a password: http://host:8080/file@version.
	portAndPath = lazyregexp.New(`^\d{1,5}/`)
	urlToken    = lazyregexp.New(`(?i)\b(https?://)([^\s/@:'"]{1,200})@`)
	knownToken  = lazyregexp.New(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|npm_[A-Za-z0-9]{30,}|dop_v1_[a-f0-9]{32,})`)
	bearer      = lazyregexp.New(`(?i)\b((?:authorization["']?\s*[:=]\s*["']?)?(?:bearer|basic|token)\s+)([A-Za-z0-9+/_.=-]{12,})`)
	assigned    = lazyregexp.New(`(?i)((?:passw(?:or)?d|passwd|pwd|secret(?:[_-]?key)?|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)["']?\s*[=:]\s*)("[^"\n]+"|'[^'\n]+'|[^\s"',;&]{3,})`)
	cliSecret   = lazyregexp.New(`(?i)(--?(?:password|passwd|token|secret|api-key)[ =])(\S+)`)
	keyBlock    = lazyregexp.New(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

const hidden = "***"

// masker hides secrets: those that look like ones, the values that it was told
// (as they are, URL-encoded and in base64), and what settings hides, if it is
// set.
type masker struct {
	values   []string
	settings func(string) string
}

// newMasker hides the passwords that stand in addresses in text wherever else
// they turn up, and the given values.
func newMasker(text string, values ...string) masker {
	seen := map[string]bool{}
	var m masker
	add := func(v string) {
		for _, form := range []string{v, url.QueryEscape(v), url.PathEscape(v), base64.StdEncoding.EncodeToString([]byte(v)), base64.URLEncoding.EncodeToString([]byte(v))} {
			if len(form) >= 4 && !seen[form] {
				seen[form] = true
				m.values = append(m.values, form)
			}
		}
	}
	for _, v := range values {
		if utf8.RuneCountInString(v) >= 4 {
			add(v)
		}
	}
	for _, x := range addressed(text) {
		if strings.HasPrefix(x[3], "{{") || x[3] == hidden || portAndPath.MatchString(x[3]) {
			continue
		}
		add(x[3])
		if plain, err := url.PathUnescape(x[3]); err == nil {
			add(plain)
		}
	}
	sort.Slice(m.values, func(i, j int) bool { return len(m.values[i]) > len(m.values[j]) })
	return m
}

// addressed finds the addresses with passwords in a text, at most 64. The text
// may be large: only what is near a "://" is looked at.
func addressed(text string) (out [][]string) {
	for len(out) < 64 {
		i := strings.Index(text, "://")
		if i < 0 {
			break
		}
		start := max(0, i-16)
		near := text[i:min(len(text), i+400)]
		if end := strings.IndexAny(near, " \n\t'\""); end >= 0 {
			near = near[:end]
		}
		if !strings.Contains(near, "@") {
			text = text[i+3:]
			continue
		}
		if x := urlSecret.FindStringSubmatch(text[start:min(len(text), i+400)]); x != nil {
			out = append(out, x)
		}
		text = text[i+3:]
	}
	return out
}

// Hide takes out of a text what looks like a secret: passwords, tokens and keys.
func Hide(text string) string { return newMasker(text).mask(text) }

func (m masker) mask(s string) string {
	if s == "" {
		return s
	}
	if m.settings != nil { // first: it has to see a secret whole
		s = m.settings(s)
	}
	s = keyBlock.ReplaceAllString(s, hidden)
	s = urlSecret.ReplaceAllStringFunc(s, func(x string) string {
		m := urlSecret.FindStringSubmatch(x)
		if portAndPath.MatchString(m[3]) {
			return x
		}
		return m[1] + hidden + "@"
	})
	s = urlToken.ReplaceAllStringFunc(s, func(x string) string {
		if strings.HasSuffix(x, "//git@") {
			return x
		}
		return x[:strings.Index(x, "//")+2] + hidden + "@"
	})
	s = knownToken.ReplaceAllString(s, hidden)
	s = bearer.ReplaceAllString(s, "${1}"+hidden)
	s = assigned.ReplaceAllString(s, "${1}"+hidden)
	s = cliSecret.ReplaceAllString(s, "${1}"+hidden)
	for _, v := range m.values {
		s = strings.ReplaceAll(s, v, hidden)
	}
	return s
}

// tokens are how the tokens begin that knownToken finds.
var tokens = []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-", "AKIA", "ASIA", "eyJ", "npm_", "dop_v1_"}

// name masks the name of a step. There may be many, and most cannot hold a
// secret at all.
func (m masker) name(s string) string {
	if m.settings != nil || strings.ContainsAny(s, ":=@ \n") {
		return m.mask(s)
	}
	for _, t := range tokens {
		if strings.Contains(s, t) {
			return m.mask(s)
		}
	}
	for _, v := range m.values {
		s = strings.ReplaceAll(s, v, hidden)
	}
	return s
}

// evidence is what ops want to see, masked and bounded: the beginning and the end.
func (m masker) evidence(parts ...string) string {
	var out []string
	for _, p := range parts {
		// Masking is dear: what is too long is cut first, between words, and
		// each end is masked alone, so that no half of a secret is left.
		var ends []string
		for _, end := range between(p, 2*maxEvidence) {
			ends = append(ends, m.mask(strings.ToValidUTF8(strings.TrimSpace(ansi.ReplaceAllString(end, "")), "�")))
		}
		if p = strings.TrimSpace(strings.Join(ends, "\n…")); p != "" {
			out = append(out, p)
		}
	}
	s := m.mask(strings.Join(out, "\n"))
	if len(s) <= maxEvidence {
		return s
	}
	head, tail := s[:maxEvidence/4], s[len(s)-maxEvidence*3/4:]
	return strings.ToValidUTF8(head, "") + "\n…\n" + strings.ToValidUTF8(tail, "")
}

// between keeps the first quarter and the end of a text that is too long.
func between(s string, n int) []string {
	if len(s) <= n {
		return []string{s}
	}
	head, tail := s[:n/4], s[len(s)-n*3/4:]
	if i := strings.LastIndexAny(head, " \n\t"); i >= 0 {
		head = head[:i]
	} else {
		head = ""
	}
	if i := strings.IndexAny(tail, " \n\t"); i >= 0 {
		tail = tail[i:]
	} else {
		tail = ""
	}
	return []string{head, tail}
}

// oneLine makes a text fit into a sentence: one line, no control characters.
func oneLine(s string) string {
	s = ansi.ReplaceAllString(strings.ToValidUTF8(s, "�"), "")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// shorten cuts s to n characters; the cut shows.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return strings.TrimRight(string([]rune(s)[:n-1]), " ,.;:") + "…"
}

// jargon is what a developer need not know; in quoted messages (never in names)
// it is put into their words.
var jargon = []struct {
	re   *lazyregexp.Regexp
	word string
}{
	{lazyregexp.New(`(?i)\bsalt\.(?:utils|states|modules|exceptions)\.[\w.]+ object\b`), "value"},
	{lazyregexp.New(`\bsalt\.exceptions\.`), ""},
	{lazyregexp.New(`(?i)([^a-z]|^)highstates?([^a-z]|$)`), "${1}setup${2}"},
	{lazyregexp.New(`(?i)([^a-z]|^)minions?([^a-z]|$)`), "${1}server${2}"},
	{lazyregexp.New(`(?i)([^a-z]|^)requisites?([^a-z]|$)`), "${1}dependency${2}"},
	{lazyregexp.New(`(?i)([^a-z]|^)pillars?([^a-z]|$)`), "${1}settings${2}"},
	{lazyregexp.New(`(?i)([^a-z.]|^)jinja2?([^a-z]|$)`), "${1}template${2}"},
	{lazyregexp.New(`(?i)([^a-z]|^)tracebacks?([^a-z]|$)`), "${1}error${2}"},
	{lazyregexp.New(`(?i)([^a-z.]|^)sls([^a-z]|$)`), "${1}recipe${2}"},
	{lazyregexp.New(`\b(?:on )?the salt fileserver in saltenv\b`), "among the recipes of"},
	{lazyregexp.New(`\bin saltenv\b`), "in the environment"},
	{lazyregexp.New(`(?i)\bthis state\b`), "this step"},
	{lazyregexp.New(`\b(?:the )?([a-z]\w*\.[a-z]\w*) state( function)?\b`), "${1}"},
	{lazyregexp.New(`\b(?:mod_)?beacon state function\b`), "watching of events"},
	{lazyregexp.New(`\bfor state ([a-z]\w*\.[a-z]\w*)`), "for ${1}"},
	{lazyregexp.New(`(?i)\bsalt (was|is|uses|will|has)\b`), "the setup ${1}"},
	{lazyregexp.New(`(?i)([^a-z]|^)grain(s?)([^a-z]|$)`), "${1}fact${2}${3}"},
}

// fileName is what is called what it is called: a recipe's or a template's file,
// and a whole path.
var fileName = lazyregexp.New(`(?i:[\w./-]*\w\.(?:jinja2?|sls)\b)|(?:^|[^\w.])(/[\w./-]+)`)

func plain(s string) string {
	var b strings.Builder
	from := 0
	for _, m := range fileName.FindAllStringSubmatchIndex(s, -1) {
		start := m[0]
		if m[2] >= 0 {
			start = m[2]
		}
		b.WriteString(plainWords(s[from:start]) + s[start:m[1]])
		from = m[1]
	}
	b.WriteString(plainWords(s[from:]))
	return strings.NewReplacer("_|-", "/", "__run_num__", "order").Replace(b.String())
}

func plainWords(s string) string {
	for _, j := range jargon {
		for range 2 { // neighbours share a border
			s = j.re.ReplaceAllString(s, j.word)
		}
	}
	return s
}

// recipeName is a recipe's name; one that is itself a word of the tools is told
// as its file.
func recipeName(sls string) string {
	if plain(sls) == sls {
		return sls
	}
	return strings.ReplaceAll(sls, ".", "/") + ".sls"
}

// sourceName is the name of a file among the recipes; one that is itself a word
// of the tools is told as the end of a path.
func sourceName(file string) string {
	if plain(file) == file || strings.Contains(file, "://") || strings.ContainsAny(file, " '\"") {
		return file
	}
	return "…/" + file
}

// vars are what a sentence is filled with.
type vars map[string]string

// limits of the single values; "line" gets the room that is left.
var limits = map[string]int{"step": 48, "cmd": 64, "name": 90, "path": 100, "repo": 60, "branch": 100, "host": 70, "pkg": 80, "recipe": 60, "reason": 140, "image": 90, "what": 150, "said": room + 10, "why": 120, "from": 100}

// names are said as they are; everything else is a message and is put plainly.
var names = map[string]bool{"step": true, "cmd": true, "name": true, "path": true, "repo": true, "branch": true, "host": true, "pkg": true, "recipe": true, "app": true, "user": true, "image": true, "url": true, "svc": true}

var slot = lazyregexp.New(`\{(\w+)\}`)

// fill puts the values into a template, at most n characters long. A value goes
// in as text: it is never looked at for slots again.
func fill(template string, v vars, m masker, n int) string {
	put := func(room int) string {
		return slot.ReplaceAllStringFunc(template, func(key string) string {
			key = key[1 : len(key)-1]
			val := oneLine(m.mask(v[key]))
			switch key {
			case "sls", "s2", "recipe":
				val = recipeName(val)
			case "src":
				val = sourceName(val)
			}
			// Optional fragments bring their own space.
			if val != "" && strings.HasPrefix(v[key], " ") {
				val = " " + val
			}
			if !names[key] {
				val = plain(val)
			}
			limit, ok := limits[key]
			if !ok {
				limit = 80
			}
			if key == "line" {
				limit = room
			}
			return shorten(val, limit)
		})
	}
	s := put(0)
	if strings.Contains(template, "{line}") {
		s = put(max(24, n-utf8.RuneCountInString(s)))
	}
	return shorten(s, n)
}
