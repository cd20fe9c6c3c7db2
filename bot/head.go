package bot

import (
	"slices"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

var lineNumber = lazyregexp.New(`^[0-9]{1,3}\)?$`)

// headWord is a token as a noun, verb or word of politeness.
func headWord(t token) (string, bool) {
	text := t.text
	if t.sep {
		if t.val != "" || t.valQuoted || t.key == "" || !strings.HasSuffix(text, ":") {
			return "", false
		}
		text = t.key
	}
	if t.quoted && !t.whole {
		return "", false
	}
	w := strings.ReplaceAll(lower(text), "’", "'")
	if verbs[w] != "" {
		return w, true
	}
	return strings.Trim(w, "/-_•"), true
}

// head reads up to the verb and the noun, in either order. Bare says that a
// noun stood alone.
func (p *parser) head() (bare bool, err *o.Error) {
	for ; p.pos < len(p.toks); p.pos++ {
		p.unwrap()
		t := p.toks[p.pos]
		w, ok := headWord(t)
		if !ok {
			return false, p.unknownVerb(t.text)
		}
		if p.pos == 0 && lineNumber.MatchString(w) {
			continue
		}
		if n, ok := nouns[strings.TrimPrefix(w, "@")]; ok {
			if p.noun == o.NounServer && w == "env" && p.writesSettings() {
				return false, settingsBelongToOps(t.text) // server env qa/web FOO=bar
			}
			p.setNoun(n)
			p.many = p.many || plurals[w]
			continue
		}
		if p.noun == "" && strings.HasPrefix(w, "@") || strings.TrimPrefix(w, "@") == "berth" {
			continue
		}
		if v, n := p.verbAt(p.pos); v != "" {
			p.verb = v
			p.pos += n
			return false, p.afterVerb()
		}
		if greetings[w] {
			p.mine = p.mine || w == "my"
			p.wants = p.wants || wishes[w]
			p.asks = p.asks || p.wants && articles[w]
			continue
		}
		if p.wrong != nil && p.noun != "" && p.pos > 0 && lower(p.toks[p.pos-1].text) == lower(t.text) {
			continue // evn evn list
		}
		if p.noun == "" && !settingVerbs[w] && unclear[w] == "" {
			n, ok := nearestNoun(w)
			if v, _ := p.verbAt(p.pos + 1); !ok && v != "" && len(w) == 2 && distance(w, "env") == 1 {
				n, ok = o.NounEnv, true // too short to guess, but for the verb after it
			}
			if ok {
				p.correct(o.Errorf(o.CodeGrammar, "Berth does not know %s.", show(t.text)).WithHint("a command begins with env or server"), true)
				p.noun, p.many = n, p.many || strings.HasSuffix(w, "s")
				continue
			}
		}
		return false, p.guessVerb(t, w)
	}
	if p.noun == "" {
		return false, o.Errorf(o.CodeGrammar, "There is no command in that.").WithHint("begin with env or server, for example: env list")
	}
	p.mine = p.mine && p.many
	if p.asks {
		p.verb = o.VerbCreate
		return false, nil
	}
	return true, nil
}

// writesSettings reports whether a name and then FOO=bar follow here, with no
// verb: the way in which other tools set variables.
func (p *parser) writesSettings() bool {
	if v, _ := p.verbAt(p.pos + 1); v != "" {
		return false
	}
	return slices.ContainsFunc(p.toks[p.pos+1:], func(t token) bool {
		return t.sep && t.key != "" && t.key == strings.ToUpper(t.key) && lower(t.key) != t.key
	})
}

// setNoun takes a noun; of two different ones the later is meant.
func (p *parser) setNoun(n o.Noun) {
	if p.noun != "" && p.noun != n {
		p.correct(o.Errorf(o.CodeGrammar, "That names both an environment and a server."), true)
	}
	p.noun = n
}

// verbAt finds a verb of one or two words at token i, and how many it has.
func (p *parser) verbAt(i int) (o.Verb, int) {
	if i >= len(p.toks) {
		return "", 0
	}
	w, ok := headWord(p.toks[i])
	if !ok {
		return "", 0
	}
	if i+1 < len(p.toks) && p.toks[i+1].bare() {
		if v := phrases[w+" "+lower(p.toks[i+1].text)]; v != "" {
			return v, 2
		}
	}
	if v := verbs[w]; v != "" {
		return v, 1
	}
	return "", 0
}

// guessVerb makes something of a word that is no verb, or says what it lacks.
func (p *parser) guessVerb(t token, w string) *o.Error {
	switch {
	case settingVerbs[w]:
		return settingsBelongToOps(t.text)
	case unclear[w] != "":
		return o.Errorf(o.CodeGrammar, "%s could mean more than one thing to Berth.", show(t.text)).WithHint("%s", unclear[w])
	case turns[w]:
		return turned(t.text)
	}
	if err := foreign("a verb", w); err != nil {
		err.Code = o.CodeGrammar
		return err
	}
	unknown := o.Errorf(o.CodeGrammar, "Berth has no verb %s.", show(t.text)).WithHint("%s", p.verbsHint())
	if p.asked(w) || p.asks && p.noun != "" {
		if p.verb == "" {
			p.verb = o.VerbCreate // I need a server for web on main
		}
		p.correct(unknown, true)
		return p.afterVerb()
	}
	found := nearestVerbs(w)
	switch v := p.nearestPhrase(w); {
	case v != "":
		p.correct(unknown.WithHint("the nearest is %s", v), true)
		p.verb = v
		p.pos += 2
		return p.afterVerb()
	case len(found) == 1:
		p.correct(unknown.WithHint("the nearest is %s", found[0]), true)
		p.verb = found[0]
		p.pos++
		return p.afterVerb()
	case len(found) > 1:
		return p.fork(unknown, found, p.pos+1)
	}
	// NAME VERB: the other way round.
	if v, n := p.verbAt(p.pos + 1); v != "" && v != o.VerbHelp {
		p.correct(o.Errorf(o.CodeGrammar, "The verb comes before the name."), true)
		rest := append([]token{t}, p.toks[p.pos+1+n:]...)
		p.toks = append(slices.Clone(p.toks[:p.pos]), rest...)
		p.verb = v
		return p.afterVerb()
	}
	if p.pos+1 == len(p.toks) && p.noun != "" && nameForm.MatchString(strings.ReplaceAll(w, "/", "-")) {
		return p.fork(unknown, []o.Verb{o.VerbShow}, p.pos) // env qa
	}
	return unknown
}

func (p *parser) unknownVerb(text string) *o.Error {
	if err := foreign("a verb", text); err != nil {
		err.Code = o.CodeGrammar
		return err
	}
	if key, _, ok := strings.Cut(text, "="); ok && settingKey(key) {
		return settingsBelongToOps(key)
	}
	return o.Errorf(o.CodeGrammar, "Berth expected a verb and read %s.", show(text)).WithHint("%s", p.verbsHint())
}

func (p *parser) verbsHint() string {
	noun := p.noun
	if noun == "" {
		noun = o.NounEnv
	}
	var all []string
	for _, r := range Records {
		if r.Noun == noun {
			all = append(all, string(r.Verb))
		}
	}
	return "the verbs of " + string(noun) + " are " + strings.Join(all, ", ")
}

// afterVerb reads a noun that follows the verb: create a new environment qa.
func (p *parser) afterVerb() *o.Error {
	my := false
	p.subject()
	for i := p.pos; i < len(p.toks) && !p.toks[i].sep && !p.toks[i].quoted; i++ {
		w, _ := headWord(p.toks[i])
		n, ok := nouns[w]
		if !ok {
			if !fillers[w] && !articles[w] && w != "all" {
				break
			}
			my = my || w == "my"
			continue
		}
		if p.noun == o.NounServer && n == o.NounEnv && !plurals[w] {
			break // server create env qa …: a key
		}
		p.setNoun(n)
		p.many = p.many || plurals[w]
		p.mine = p.mine && p.many || my && plurals[w]
		p.pos = i + 1
		p.subject()
		return nil
	}
	p.mine = false
	p.mistypedNoun()
	return nil
}

func settingsBelongToOps(what string) *o.Error {
	hint := "ask ops: they keep each app's settings in the file that the catalog names, and no command writes it"
	if strings.Contains(what, "_") && what == lower(what) {
		hint += "; if an app was meant: an app's name has no underscore"
	}
	return o.Errorf(o.CodeNotAllowed, "%s is about an app's settings, and settings belong to ops.", show(what)).WithHint("%s", hint)
}

// settingKey reports whether a key is a setting of a program, no app: it has
// an underscore or is one of the usual shouted ones.
func settingKey(key string) bool {
	key = strings.TrimLeft(key, "-")
	return strings.Contains(strings.Trim(key, "_"), "_") || shouted[key]
}
