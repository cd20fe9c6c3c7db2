package bot

import (
	"slices"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
)

// setting is KEY=VALUE, in whichever form it was typed. The key is folded.
type setting struct {
	key string
	value
}

// body is what follows the verb.
type body struct {
	words    []word
	settings []setting
	// to holds the prepositions that stood between the first words.
	to []preposition
	// help says that help was asked for with an option.
	help bool
}

type word struct {
	value
	whole bool
}

type preposition struct {
	text string
	at   int // how many words stood before it
}

// putIn reports whether one of prepositions stands before word i.
func (b body) putIn(i int, prepositions string) bool {
	among := set(prepositions)
	return slices.ContainsFunc(b.to, func(to preposition) bool { return to.at == i && among[to.text] })
}

func (b body) texts() []string {
	var out []string
	for _, w := range b.words {
		out = append(out, w.text)
	}
	return out
}

// bareKey gives the key for which w stands when a value follows without any
// separator: ttl 3d.
func (p *parser) bareKey(w string) string {
	switch {
	case w == "ttl" || w == "size" || w == "target" || w == "name":
		return w
	case p.noun == o.NounServer && (w == "env" || w == "environment"):
		return "env"
	case p.noun == o.NounServer && w == "app":
		return "app"
	case w == "named" || w == "called":
		return "name"
	case w == "branch" && p.noun == o.NounServer && (p.verb == o.VerbCreate || p.verb == o.VerbDeploy) && p.bareAt(p.pos) != "":
		return w
	}
	return ""
}

// body reads the rest of the tokens.
func (p *parser) body() (body, *o.Error) {
	var b body
	for p.pos < len(p.toks) {
		t := p.toks[p.pos]
		p.pos++
		if err := p.token(&b, t); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (p *parser) token(b *body, t token) *o.Error {
	if t.sep && strings.Contains(t.key, "/") {
		// ENV/APP=BRANCH; everywhere else fix/a=b is a branch.
		if p.noun == o.NounServer && p.verb == o.VerbDeploy && len(b.words) == 0 && !t.whole {
			b.words = append(b.words, word{value: value{text: t.key}})
			return p.take(b, "branch", t)
		}
		b.words = append(b.words, word{value{t.text, t.quoted}, t.whole})
		return nil
	}
	w := lower(t.text)
	option := strings.HasPrefix(t.text, "-") && len(strings.TrimLeft(t.text, "-")) > 0 && !isDigit(strings.TrimLeft(t.text, "-")[0])
	switch {
	case t.sep && t.key == "":
		return o.Errorf(o.CodeGrammar, "%s stands alone: what it belongs to is missing.", show(t.text)).WithHint("write key=value without spaces")
	case t.sep && t.whole && !p.quotedSetting(b, t):
		if settingKey(t.key) {
			return settingsBelongToOps(t.key)
		}
		b.words = append(b.words, word{value{t.text, true}, true})
		return nil
	case t.sep:
		return p.take(b, t.key, t)
	case option && !t.quoted:
		return p.option(b, strings.TrimLeft(w, "-"), t)
	case !t.quoted && p.pos < len(p.toks) && p.toks[p.pos].sep && p.toks[p.pos].key == "":
		// KEY = VALUE or KEY =VALUE
		next := p.toks[p.pos]
		p.pos++
		return p.take(b, t.text, next)
	case !t.quoted && p.bareKey(w) != "":
		return p.take(b, p.bareKey(w), token{})
	case p.polite(p.pos-1) > 0:
		p.pos += p.polite(p.pos-1) - 1
		if w == "me" && p.verb == o.VerbList {
			b.words = append(b.words, word{value: value{text: "mine"}})
		}
		return nil
	case !t.quoted && w == "for" && p.lives() && p.durationAt(p.pos):
		return p.take(b, "ttl", token{})
	case !t.quoted && p.lives() && p.lasting(w):
		return p.take(b, "ttl", token{})
	case !t.quoted && prepositions[w]:
		b.to = append(b.to, preposition{w, len(b.words)})
		return nil
	case !t.quoted && nouns[w] == p.noun && nouns[w] != "":
		return nil
	}
	b.words = append(b.words, word{value{t.text, t.quoted}, t.whole})
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// quotedSetting decides about "K=V", quoted as a whole: a setting, or a branch
// that has the form of one.
func (p *parser) quotedSetting(b *body, t token) bool {
	if p.noun != o.NounServer || p.verb != o.VerbCreate && p.verb != o.VerbDeploy || len(b.words) == 0 {
		return true
	}
	key := lower(strings.TrimLeft(t.key, "-"))
	if reservedKeys[key] || key == "branch" || key == "environment" {
		return true
	}
	if p.verb == o.VerbCreate {
		return key == lower(b.words[0].text)
	}
	_, app, _ := strings.Cut(b.words[0].text, "/")
	return key == lower(app)
}

// lives reports whether the verb takes a lifetime.
func (p *parser) lives() bool {
	return p.verb == o.VerbCreate || p.verb == o.VerbPlan || p.verb == o.VerbExtend
}

// durationAt reports whether a lifetime begins at token i.
func (p *parser) durationAt(i int) bool {
	w := p.bareAt(i)
	return numberForm.MatchString(w) || partForm.MatchString(w) || counts[w] != "" && p.unitAt(i+1)
}

// lasting reads "expires in 3 days" and "until tomorrow", which are offered as
// a ttl. It moves to the lifetime.
func (p *parser) lasting(w string) bool {
	if !lifetimes[w] && w != "lasting" && w != "lasts" || w == "for" {
		return false
	}
	i := p.pos
	for v := p.bareAt(i); v == "in" || v == "of" || v == "for" || v == "is" || v == "after"; v = p.bareAt(i) {
		i++
	}
	if !p.durationAt(i) && p.bareAt(i) != "tomorrow" {
		return false
	}
	p.correct(o.Errorf(o.CodeGrammar, "Berth does not know %s.", show(w)).WithHint("%s", p.usage()), false)
	p.pos = i
	return true
}

func (p *parser) unitAt(i int) bool {
	return i < len(p.toks) && p.toks[i].bare() && units[lower(p.toks[i].text)] != 0
}

func (p *parser) option(b *body, name string, t token) *o.Error {
	switch {
	case name == "help" || name == "h":
		b.help = true
		return nil
	case mine[name]:
		b.words = append(b.words, word{value: value{text: "mine"}})
		return nil
	case p.verb == o.VerbWhy && details[name] != "":
		p.detail = details[name]
		return nil
	case terminalFlags[name]:
		return nil
	case p.pos < len(p.toks) && p.toks[p.pos].sep && p.toks[p.pos].key == "":
		next := p.toks[p.pos]
		p.pos++
		return p.take(b, name, next)
	case p.bareKey(name) != "":
		return p.take(b, p.bareKey(name), token{})
	case dryRuns[name] && p.verb == o.VerbCreate && p.noun == o.NounEnv:
		p.correct(o.Errorf(o.CodeGrammar, "Berth has no option %s.", show(t.text)).WithHint("env plan says what would be made"), false)
		p.verb = o.VerbPlan
		return nil
	case hasty[name]:
		p.correct(o.Errorf(o.CodeGrammar, "Berth has no option %s.", show(t.text)).WithHint("%s", p.usage()), false)
		return nil
	case p.branchOption(name):
		p.correct(o.Errorf(o.CodeGrammar, "Berth has no option %s.", show(t.text)).WithHint("%s", p.usage()), false)
		return p.take(b, name, token{})
	case settingVerbs[name] || settingKey(strings.TrimLeft(t.text, "-")) || name == "e" || strings.HasPrefix(name, "env-"):
		return settingsBelongToOps(t.text)
	}
	if err := foreign("an option", t.text); err != nil {
		return err
	}
	return o.Errorf(o.CodeGrammar, "Berth has no option %s.", show(t.text)).WithHint("%s", p.usage())
}

var (
	dryRuns = set("dry-run dryrun dry plan what-if whatif n preview")
	// hasty options ask for what Berth does anyway or never skips.
	hasty = set("force auto-approve quiet q verbose v wait no-wait now i")
)

// branchOption reports whether --NAME may be an app whose branch follows.
func (p *parser) branchOption(name string) bool {
	takes := p.verb == o.VerbCreate || p.verb == o.VerbPlan || p.verb == o.VerbDeploy
	return takes && nameForm.MatchString(name) && len(name) > 1 && !reservedName(name) && !settingVerbs[name] && !strings.HasPrefix(name, "no-") && p.bareAt(p.pos) != ""
}

// take adds the setting of key; its value is that of t or what follows.
func (p *parser) take(b *body, key string, t token) *o.Error {
	if settingKey(key) {
		return settingsBelongToOps(key)
	}
	if name := lower(strings.TrimLeft(key, "-")); name != lower(key) && (settingVerbs[name] || name == "e" || strings.HasPrefix(name, "env-")) {
		return settingsBelongToOps(key)
	} else if name != lower(key) && p.bareKey(name) == "" && name != "branch" && name != "env" {
		p.correct(o.Errorf(o.CodeGrammar, "Berth has no option %s.", show(key)).WithHint("%s", p.usage()), false)
	}
	key = strings.TrimLeft(key, "-")
	if trimmed := strings.Trim(key, "_"); trimmed != key && trimmed != "" {
		p.correct(o.Errorf(o.CodeInvalidName, "%s cannot be the name of an app.", show(key)), false)
		key = trimmed
		if !t.valQuoted {
			t.val = strings.TrimRight(t.val, "_") // _web=main_
		}
	}
	key = lower(key)
	if err := foreign("a key", key); err != nil {
		return err
	}
	v := value{t.val, t.valQuoted}
	if rest := strings.TrimLeft(v.text, "=:"); rest != v.text && rest != "" && !v.quoted {
		p.correct(o.Errorf(o.CodeInvalidValue, "%s has a separator too many.", show(t.text)).WithHint("a branch that begins with = needs quotes"), false)
		v.text = rest
	}
	if v.text == "" && !v.quoted && strings.HasSuffix(t.text, ":") && !reservedKeys[key] && p.pos < len(p.toks) && p.toks[p.pos].sep && !p.toks[p.pos].whole && p.toks[p.pos].key != "" && len(b.words) < 2 {
		// env create qa: web=main
		p.correct(o.Errorf(o.CodeInvalidValue, "%s has no branch: %s follows.", show(key+":"), show(p.toks[p.pos].key+"=")), false)
		b.words = append(b.words, word{value: value{text: key}})
		return nil
	}
	if v.text == "" && !v.quoted {
		next, err := p.following(key)
		if err != nil {
			return err
		}
		v = next
	}
	if p.lives() && likeTTL(key, v) {
		p.correct(o.Errorf(o.CodeGrammar, "Berth does not know %s.", show(key+"=")).WithHint("%s", p.usage()), false)
		key = "ttl"
	}
	if key == "ttl" && !v.quoted {
		v.text += p.moreDuration(v.text)
	}
	b.settings = append(b.settings, setting{key, v})
	return nil
}

// following is the value that stands apart from its key.
func (p *parser) following(key string) (value, *o.Error) {
	for p.pos < len(p.toks) {
		t := p.toks[p.pos]
		last := p.pos+1 >= len(p.toks)
		switch {
		case key == "ttl" && (p.bareAt(p.pos) == "of" || p.bareAt(p.pos) == "is" || p.bareAt(p.pos) == "to") && p.durationAt(p.pos+1):
			p.pos++
			continue
		case t.sep && t.key == "" && t.val == "" && !t.valQuoted && !last:
			p.pos++
			continue
		case p.politeness() > 0:
			p.pos += p.politeness()
			continue
		case t.sep && !t.whole && !strings.Contains(t.key, "/"):
			return value{}, o.Errorf(o.CodeInvalidValue, "%s= has no value: %s follows.", key, show(t.key+"=")).WithHint("write %s=VALUE without spaces", key)
		}
		p.pos++
		return value{t.text, t.quoted}, nil
	}
	what := "value"
	if !reservedKeys[key] {
		what = "branch"
	}
	return value{}, o.Errorf(o.CodeInvalidValue, "%s= has no %s.", key, what).WithHint("write %s=VALUE, or leave it out", key)
}

// polite is how many words at token i mean nothing.
func (p *parser) polite(i int) int {
	switch w := p.bareAt(i); {
	case w == "thank" && p.bareAt(i+1) == "you":
		return 2
	case fillers[w]:
		return 1
	}
	return 0
}

// politeness counts the fillers here if the value comes after them, as in
// ttl = please 3d. Otherwise the first of them is the value.
func (p *parser) politeness() int {
	i := p.pos
	for p.polite(i) > 0 {
		i += p.polite(i)
	}
	if i >= len(p.toks) || p.toks[i].sep || p.bareKey(lower(p.toks[i].text)) != "" || i+1 < len(p.toks) && p.toks[i+1].sep && p.toks[i+1].key == "" {
		return 0
	}
	return i - p.pos
}

// likeTTL reports whether key may be a slip for ttl; an app may have that name
// too, so that the value must look like a lifetime besides.
func likeTTL(key string, v value) bool {
	return (lifetimes[key] || len(key) < 5 && key != "ttl" && distance(key, "ttl") == 1) && !v.quoted && partForm.MatchString(v.text)
}

var (
	moreFillers = set("more additional extra full whole further")
	// longUnits are no units of Berth's; taken along, they are named.
	longUnits = set("mo month months y yr year years quarter quarters fortnight fortnights")
)

// moreDuration takes the words that go on with a lifetime: ttl=3 days.
func (p *parser) moreDuration(v string) string {
	more := ""
	for p.pos < len(p.toks) && p.toks[p.pos].bare() {
		w := lower(p.toks[p.pos].text)
		last := lower(v + more)
		if i := strings.LastIndexByte(last, ' '); i >= 0 {
			last = last[i+1:]
		}
		counted := partForm.MatchString(last) || units[last] != 0
		switch {
		case moreFillers[w] && p.unitAt(p.pos+1) && (numberForm.MatchString(last) || counts[last] != ""):
			p.pos++
		case (numberForm.MatchString(last) || counts[last] != "") && units[w] != 0,
			numberForm.MatchString(last) && longUnits[w],
			counted && partForm.MatchString(w),
			counted && numberForm.MatchString(w) && p.unitAt(p.pos+1):
			more += " " + w
			p.pos++
		case counted && w == "and" && p.pos+1 < len(p.toks) && (partForm.MatchString(p.toks[p.pos+1].text) || numberForm.MatchString(p.toks[p.pos+1].text) && p.unitAt(p.pos+2)):
			more += " and"
			p.pos++
			more += " " + lower(p.toks[p.pos].text)
			p.pos++
		default:
			return more
		}
	}
	return more
}

func (p *parser) usage() string {
	r, ok := recordOf(p.noun, p.verb)
	if !ok {
		return p.verbsHint()
	}
	return strings.TrimSpace(string(r.Noun) + " " + string(r.Verb) + " " + r.Usage)
}
