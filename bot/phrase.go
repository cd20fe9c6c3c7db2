package bot

import (
	"slices"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
)

// What is here understands sentences that are no commands. All of it ends in
// a guess, which may run a read, or in the offer of the command that is meant.

// turned refuses a sentence that a word turns round or puts off.
func turned(word string) *o.Error {
	return o.Errorf(o.CodeGrammar, "I read %s, and so nothing is done.", show(word)).WithHint("say what to do now; there is no need to say what not to do, or when")
}

// unwrap opens a whole command in quotes that has something before it.
func (p *parser) unwrap() {
	t := p.toks[p.pos]
	if p.noun != "" || p.exact || !t.whole || !strings.ContainsFunc(strings.TrimSpace(t.text), isSpace) {
		return
	}
	inside := tokens(fold(unmarked(quotes([]rune(t.text), true))))
	if len(inside) > 0 {
		p.toks = slices.Replace(slices.Clone(p.toks), p.pos, p.pos+1, inside...)
	}
}

// bareAt is the unquoted word at token i, or "".
func (p *parser) bareAt(i int) string {
	if i >= len(p.toks) || !p.toks[i].bare() {
		return ""
	}
	return lower(p.toks[i].text)
}

// significant is the first token from i on that is no filler, article or
// preposition.
func (p *parser) significant(i int) int {
	for {
		w := p.bareAt(i)
		switch n := p.polite(i); {
		case n > 0:
			i += n
		case articles[w] || prepositions[w]:
			i++
		default:
			return i
		}
	}
}

var (
	whichWords = set("what which are whose any")
	stateWords = set("what's whats how how's hows is what where who when")
	// stateFillers surround the name in a question about one thing.
	stateFillers = set("is are how's what's the doing up ok okay running alive there going does do owns own expire expires it")
	// listFillers surround the noun in a question about all.
	listFillers = set("are is there exist exists existing running now currently available do does i we have got live alive up")
)

// asked understands a question: what environments are there, is qa up. It
// sets the verb that answers.
func (p *parser) asked(w string) bool {
	if whichWords[w] {
		for i := p.pos + 1; i < len(p.toks) && i < p.pos+6; i++ {
			if n, word := nouns[p.bareAt(i)], p.bareAt(i); n != "" && plurals[word] {
				p.setNoun(n)
				p.verb, p.many, p.pos = o.VerbList, true, i+1
				return true
			}
		}
		if p.many && p.noun != "" { // envs are there
			p.verb = o.VerbList
			p.pos++
			return true
		}
	}
	if !stateWords[w] {
		return false
	}
	i := p.pos + 1
	for stateFillers[p.bareAt(i)] {
		i++
	}
	if i >= len(p.toks) {
		return false
	}
	p.verb, p.question, p.pos = o.VerbShow, true, i
	return true
}

// subject takes "show the logs of qa" as logs, and so on: the thing shown is a
// reading verb and a name follows it.
func (p *parser) subject() {
	if p.verb != o.VerbShow {
		return
	}
	i := p.significant(p.pos)
	switch v := verbs[p.bareAt(i)]; v {
	case o.VerbLogs, o.VerbHistory, o.VerbShow:
		if next := p.significant(i + 1); next < len(p.toks) && !p.toks[next].sep {
			p.correct(o.Errorf(o.CodeGrammar, "“%s %s” is %s.", p.verb, p.bareAt(i), v), true)
			p.verb, p.pos = v, i+1
		}
	}
}

// nearestPhrase finds a mistyped verb of two words at the parser's place.
func (p *parser) nearestPhrase(w string) o.Verb {
	next := p.bareAt(p.pos + 1)
	if next == "" {
		return ""
	}
	typed, best, found := w+" "+next, 3, o.Verb("")
	for phrase, v := range phrases {
		d := distance(typed, phrase)
		if d > 0 && (d == 1 || d == 2 && len(typed) >= 9) && (d < best || d == best && v < found) {
			best, found = d, v
		}
	}
	return found
}

// mistypedNoun takes the word after the verb for a noun, if it is nearly one,
// no noun was named and another word follows: destroy evn qa.
func (p *parser) mistypedNoun() {
	i := p.significant(p.pos)
	if p.verb == o.VerbList && p.bareAt(i) == "all" {
		i = p.significant(i + 1)
	}
	w := p.bareAt(i)
	if p.noun != "" || w == "" || nouns[w] != "" {
		return
	}
	if next := p.significant(i + 1); p.verb != o.VerbList {
		if next >= len(p.toks) || p.toks[next].sep && len(w) < 5 {
			return // the word is the name
		}
		if p.verb == o.VerbExtend && p.durationAt(next) || p.verb == o.VerbRename && p.significant(next+1) >= len(p.toks) {
			return
		}
	}
	if n, ok := nearestNoun(w); ok {
		p.correct(o.Errorf(o.CodeGrammar, "Berth does not know %s.", show(p.toks[i].text)).WithHint("a command begins with env or server"), p.verb != o.VerbPlan)
		p.noun, p.pos = n, i+1
	}
}

// without takes the unquoted words of a set out of words, from index keep on.
func without(words []word, of map[string]bool, keep int) []word {
	keep = min(keep, len(words))
	rest := slices.DeleteFunc(slices.Clone(words[keep:]), func(w word) bool { return !w.quoted && of[lower(w.text)] })
	return append(slices.Clone(words[:keep]), rest...)
}

var pairNoise = set("branch branches app apps service services is runs running version its it")

// pairs makes settings of words that stand for app and branch: web main,
// web@main, web#12, web->main. It reports whether all of them do.
func pairs(words []word) ([]setting, bool) {
	var found []setting
	for i := 0; i < len(words); i++ {
		app, ref := linked(words[i])
		branch := value{text: ref}
		if ref == "" {
			if i++; i == len(words) {
				return nil, false
			}
			if _, next := linked(words[i]); next != "" {
				return nil, false // shop api@main
			}
			branch = words[i].value
		}
		app = lower(app)
		if !nameForm.MatchString(app) || reservedName(app) || app == "as" || app == "then" || settingVerbs[app] {
			return nil, false
		}
		found = append(found, setting{app, branch})
	}
	return found, len(found) > 0
}

// linked cuts web@main, web#12 and web->main; any other word has no ref.
func linked(w word) (app, ref string) {
	if w.quoted {
		return w.text, ""
	}
	if before, after, ok := strings.Cut(w.text, "->"); ok {
		return strings.TrimRight(before, "-"), after
	}
	if at := strings.IndexAny(w.text, "@#"); at > 0 && nameForm.MatchString(lower(w.text[:at])) {
		return w.text[:at], strings.TrimPrefix(w.text[at:], "@")
	}
	return w.text, ""
}

// inside reads “web in qa” as qa/web.
func inside(b *body) bool {
	if len(b.words) != 2 || !b.putIn(1, "in of on from for") {
		return false
	}
	app, env := lower(b.words[0].text), lower(b.words[1].text)
	if !nameForm.MatchString(app) || !nameForm.MatchString(env) {
		return false
	}
	b.words = []word{{value: value{text: env + "/" + app}}}
	return true
}
