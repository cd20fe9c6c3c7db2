package bot

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Canonical is the one text for a command: apps in alphabetical order, then
// ttl, size, target, name, env. Parse of it gives the command again.
func Canonical(c o.Command) string {
	parts := []string{string(c.Noun), string(c.Verb)}
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	name := c.Environment
	if c.App != "" && name != "" {
		name += "/" + c.App
	}
	setting := func(key, val string) {
		if val != "" {
			add(key + "=" + val)
		}
	}
	switch {
	case c.Verb == o.VerbHelp:
		add(c.Name)
		return strings.Join(parts, " ")
	case c.Verb == o.VerbList:
		if c.Mine {
			add("mine")
		}
		setting("app", c.App)
		return strings.Join(parts, " ")
	case c.Noun == o.NounServer && c.Verb == o.VerbCreate:
		add(quoteWord(c.App))
		add(quoteBranch(c.Branches[c.App], c.App, true))
	case c.Noun == o.NounServer && c.Verb == o.VerbDeploy:
		add(quoteWord(name))
		switch ref, ok := c.Branches[c.App]; {
		case ok:
			add(quoteBranch(ref, c.App, c.App != ""))
		default:
			addApps(add, c.Branches)
		}
	case c.Verb == o.VerbExtend:
		add(quoteWord(name))
		if c.TTL != 0 {
			add(formatTTL(c.TTL))
		}
		return strings.Join(parts, " ")
	default:
		add(quoteWord(name))
		add(quoteWord(c.Blueprint))
		addApps(add, c.Branches)
		add(quoteWord(c.NewName))
		add(string(c.Detail))
	}
	if c.TTL != 0 {
		setting("ttl", formatTTL(c.TTL))
	}
	setting("size", c.Size)
	setting("target", c.Target)
	setting("name", c.Name)
	if c.Noun == o.NounServer && c.Verb == o.VerbCreate {
		setting("env", c.Environment)
	}
	return strings.Join(parts, " ")
}

func addApps(add func(string), branches map[string]string) {
	for _, app := range slices.Sorted(maps.Keys(branches)) {
		ref := quoteRef(branches[app])
		if likeTTL(app, value{text: ref}) || app == "blueprint" && ref == branches[app] {
			ref = quoted(ref)
		}
		add(app + "=" + ref)
	}
}

// meaningful reports whether the grammar gives a bare word after the verb a
// meaning of its own, so that it needs quotes to be a name or a branch.
func meaningful(w string) bool {
	_, noun := nouns[w]
	return noun || fillers[w] || prepositions[w] || reservedKeys[w] || whyFillers[w] || lifetimes[w] || everything[w] || listFillers[w] ||
		w == "named" || w == "called" || w == "help" || w == "branch" || w == "thank" || w == "lasting" || w == "lasts"
}

func quoteWord(name string) string {
	if meaningful(name) {
		return `"` + name + `"`
	}
	return name
}

var (
	plainRef = lazyregexp.New(`^[A-Za-z0-9#_][A-Za-z0-9._/#@+%-]*$`)
	plainURL = lazyregexp.New(`^https?://[A-Za-z0-9._/%+#@-]+$`)
)

// quoteRef writes a branch after its key, in quotes where it needs them.
func quoteRef(ref string) string {
	if plainURL.MatchString(ref) && githubAddress.MatchString(ref) || plainRef.MatchString(ref) && normalRef(ref) == ref && !strings.HasSuffix(ref, "_") && !strings.HasPrefix(ref, "_") {
		return ref
	}
	return quoted(ref)
}

// quoteBranch writes a branch that stands alone. One that has the form of
// KEY=VALUE is written with the key branch where quotes would not tell them
// apart; see quotedSetting.
func quoteBranch(ref, app string, appKnown bool) string {
	s := quoteRef(ref)
	if s == ref && meaningful(lower(ref)) {
		s = quoted(ref)
	}
	if key, _, ok := strings.Cut(ref, "="); ok && keyForm.MatchString(key) {
		shouted := settingKey(key)
		key = lower(strings.TrimLeft(key, "-"))
		if !appKnown || key == app || shouted || reservedKeys[key] || key == "branch" || key == "environment" {
			return "branch=" + s
		}
	}
	return s
}

// quoted puts s in quotes so that Parse gives s again. The backslash, which no
// branch has, keeps quotation marks inside from ending it.
func quoted(s string) string {
	rs := []rune(s)
	spaced := slices.ContainsFunc(rs, unicode.IsSpace)
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range rs {
		rest := string(rs[i:])
		switch {
		case isQuote(r) && (r == '"' || spaced || i == len(rs)-1 || closes(rs, i)):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '&' && (strings.HasPrefix(rest, "&amp;") || strings.HasPrefix(rest, "&lt;") || strings.HasPrefix(rest, "&gt;")):
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
