package bot

import (
	"slices"
	"strings"
	"time"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// rest reads what follows noun and verb and makes the Command.
func (p *parser) rest() (o.Command, *o.Error) {
	if p.verb == o.VerbHelp {
		return p.help(), nil
	}
	if err := p.settle(); err != nil {
		return o.Command{}, err
	}
	b, err := p.body()
	if err != nil {
		return o.Command{}, err
	}
	if b.help || len(b.words) == 1 && len(b.settings) == 0 && !b.words[0].quoted && lower(b.words[0].text) == "help" {
		return o.Command{Noun: p.noun, Verb: o.VerbHelp, Name: string(p.verb)}, nil
	}
	if err := p.turn(b); err != nil {
		return o.Command{}, err
	}
	if p.question && len(b.words) > 1 {
		b.words = without(b.words, stateFillers, 0)
	}
	if p.verb == o.VerbWhy {
		b.words = slices.DeleteFunc(b.words, func(w word) bool { return !w.quoted && whyFillers[lower(w.text)] })
		b.words = p.detailed(b.words)
	}
	if most := mostWords[string(p.noun)+" "+string(p.verb)]; most > 0 && len(b.words) > most && !b.words[0].quoted && articles[lower(b.words[0].text)] {
		p.correct(p.tooMany(b.words[most:]), false)
		b.words = b.words[1:]
	}
	if len(b.words) < 1 && len(b.to) == 1 && !p.changes() && p.verb != o.VerbList {
		b.words = []word{{value: value{text: b.to[0].text}}} // a name that reads like a preposition
	}
	switch {
	case p.verb == o.VerbList:
		return p.list(b)
	case p.noun == o.NounServer && p.verb == o.VerbCreate:
		return p.createServer(b)
	case p.noun == o.NounServer && p.verb == o.VerbDeploy:
		return p.deployServer(b)
	case p.noun == o.NounServer:
		return p.oneServer(b)
	case p.verb == o.VerbCreate, p.verb == o.VerbPlan:
		return p.create(b)
	case p.verb == o.VerbDeploy:
		return p.deploy(b)
	case p.verb == o.VerbExtend:
		return p.extend(b)
	case p.verb == o.VerbRename:
		return p.rename(b)
	}
	return p.oneEnvironment(b)
}

// mostWords is how many plain words a verb takes; one more than that, and an
// article before them was meant as one.
var mostWords = map[string]int{"env create": 2, "env plan": 2, "env rename": 2, "env deploy": 1, "env destroy": 1, "env show": 1, "server create": 2, "server deploy": 2, "server destroy": 1, "server show": 1}

var whyFillers = set("did do does is has was fail fails failed failing broken red down not working happened it")

// details are the words for how much why tells.
var details = map[string]o.Detail{
	"all": o.DetailAll, "everything": o.DetailAll, "full": o.DetailAll, "tree": o.DetailAll, "details": o.DetailAll,
	"raw": o.DetailRaw, "evidence": o.DetailRaw, "files": o.DetailRaw,
}

// detailed takes the word for how much is to be told out of words. The first
// one is the name, whatever it is, unless a name follows.
func (p *parser) detailed(words []word) []word {
	is := func(i int) bool { return !words[i].quoted && details[lower(words[i].text)] != "" }
	if len(words) > 1 && is(0) && !is(1) {
		words = append([]word{words[1], words[0]}, words[2:]...)
	}
	for len(words) > 1 && is(1) {
		p.detail = details[lower(words[1].text)]
		words = append(words[:1:1], words[2:]...)
	}
	return words
}

// turn refuses a change with a word too many that turns it round, puts it off
// or makes it one of everything. In a shell a word is what it is: an
// environment may be called mine, and whoever types its name there means it.
func (p *parser) turn(b body) *o.Error {
	if !p.changes() {
		return nil
	}
	most := mostWords[string(p.noun)+" "+string(p.verb)]
	for i, w := range b.words {
		if text := lower(w.text); !w.quoted && len(b.words) > max(most, 1) && turns[text] && !(p.verb == o.VerbExtend && (i == 0 || text == "tomorrow")) {
			return turned(w.text)
		} else if i == 0 && !w.quoted && !p.exact && everything[text] && (most == 1 || p.verb != o.VerbCreate && len(b.words) == 1) {
			return o.Errorf(o.CodeGrammar, "%s would be every one: %s %s takes one name.", show(w.text), p.noun, p.verb).WithHint("%s list shows them", p.noun)
		}
	}
	return nil
}

func (p *parser) changes() bool { return o.Command{Verb: p.verb}.Changes() }

// help reads which verb help is wanted for; nothing about it can be wrong.
func (p *parser) help() o.Command {
	c := o.Command{Noun: p.noun, Verb: o.VerbHelp}
	for _, t := range p.toks[p.pos:] {
		w, _ := headWord(t)
		if n := nouns[w]; n != "" && c.Noun == "" {
			c.Noun = n
		}
		if v := verbs[w]; v != "" && v != o.VerbHelp && c.Name == "" {
			c.Name = string(v)
		}
	}
	if c.Noun == "" {
		c.Noun = o.NounEnv
	}
	if _, ok := recordOf(c.Noun, o.Verb(c.Name)); !ok {
		c.Name = ""
	}
	return c
}

// settle makes sure that noun and verb go together.
func (p *parser) settle() *o.Error {
	_, env := recordOf(o.NounEnv, p.verb)
	_, server := recordOf(o.NounServer, p.verb)
	switch {
	case p.noun == "" && env && !server:
		p.noun = o.NounEnv
	case p.noun == "":
		p.noun = o.NounEnv
		for _, t := range p.toks[p.pos:] {
			if strings.Contains(t.text, "/") && !t.sep {
				p.noun = o.NounServer
			}
			if !t.sep && !fillers[lower(t.text)] && !articles[lower(t.text)] {
				break
			}
		}
		if p.verb == o.VerbDeploy && p.deploysServer() {
			p.noun = o.NounServer
		}
		p.correct(o.Errorf(o.CodeGrammar, "Say whether you mean an environment or a server.").WithHint("a command begins with env or server"), true)
	case p.noun == o.NounServer && !server:
		p.noun = o.NounEnv
		if p.verb != o.VerbLogs && p.verb != o.VerbWhy {
			p.correct(o.Errorf(o.CodeGrammar, "There is no server %s: it is for whole environments.", p.verb), true)
		}
	}
	// "show envs" without a name is a list.
	if p.verb == o.VerbShow && p.many && p.pos >= len(p.toks) {
		p.verb = o.VerbList
	}
	return nil
}

// deploysServer finds "to ENV/APP" at the end: deploy main to qa/web.
func (p *parser) deploysServer() bool {
	for i := p.pos; i+1 < len(p.toks); i++ {
		if set("to on onto in into at")[p.bareAt(i)] && serverName.MatchString(p.toks[i+1].text) {
			return true
		}
	}
	return false
}

// settingsOf sorts the settings: those of the keys that the verb takes, and
// app=branch where it takes apps. The same key twice must say the same.
func (p *parser) settingsOf(b body, keys string, apps bool) (map[string]string, map[string]string, *o.Error) {
	vals, branches := map[string]string{}, map[string]string{}
	allowed := set(keys)
	for _, s := range b.settings {
		key, known := s.key, true
		if key == "environment" && p.noun == o.NounServer {
			key = "env"
		}
		known = allowed[key]
		if !known && !reservedKeys[key] && apps {
			app, err := checkName("an app", key)
			if err != nil {
				return nil, nil, err
			}
			ref, err := checkRef(s.value, p.exact)
			if err != nil {
				return nil, nil, err
			}
			if before, ok := branches[app]; ok && before != ref {
				return nil, nil, o.Errorf(o.CodeGrammar, "%s is named twice, with %s and with %s.", app, show(before), show(ref)).
					WithHint("name each app once")
			}
			branches[app] = ref
			continue
		}
		if !known {
			return nil, nil, o.Errorf(o.CodeGrammar, "%s= means nothing to %s %s.", key, p.noun, p.verb).WithHint("%s", p.usage())
		}
		text, err := p.settingText(key, s.value)
		if err != nil {
			return nil, nil, err
		}
		if before, ok := vals[key]; ok && before != text {
			return nil, nil, o.Errorf(o.CodeGrammar, "%s= is given twice, as %s and as %s.", key, show(before), show(text)).
				WithHint("give %s= once", key)
		}
		vals[key] = text
	}
	return vals, branches, nil
}

// settingText checks the value of a key and gives its canonical form.
func (p *parser) settingText(key string, v value) (string, *o.Error) {
	switch key {
	case "ttl":
		d, err := parseTTL(v.text)
		if err != nil && p.verb == o.VerbExtend && err.Code == o.CodeInvalidValue {
			return "", err.WithHint("write by how long, such as env extend NAME 36h or env extend NAME 2d")
		}
		if err != nil {
			return "", err
		}
		return formatTTL(d), nil
	case "size", "target":
		if v.text == "" {
			return "", o.Errorf(o.CodeInvalidValue, "%s= has no value.", key).WithHint("write %s=NAME, or leave it out", key)
		}
		return checkName("a "+key, v.text)
	case "branch":
		return checkRef(v, p.exact)
	case "app":
		return checkName("an app", v.text)
	}
	return p.existing("an environment", v)
}

// ttlOf gives back the lifetime that settingText has checked.
func ttlOf(vals map[string]string) time.Duration {
	d, _ := time.ParseDuration(vals["ttl"])
	return d
}

// existing checks the name of what there is; one that is not well formed is
// mended, to suggest the command.
func (p *parser) existing(what string, v value) (string, *o.Error) {
	name, err := checkName(what, v.text)
	if err == nil {
		return name, nil
	}
	better := mended(v.text)
	if better == "" || strings.ContainsAny(v.text, "=/ @#()<>") || len(v.text) > 40 {
		return "", err
	}
	p.correct(err, false)
	return better, nil
}

// fresh checks a name that is to be given.
func (p *parser) fresh(what string, v value) (string, *o.Error) {
	name, err := p.existing(what, v)
	if err != nil {
		return "", err
	}
	if reservedName(name) {
		return "", o.Errorf(o.CodeNameReserved, "%s cannot be the name of %s: it is a word of Berth's commands.", show(name), what).
			WithHint("choose another name, for example %s-1", name)
	}
	return name, nil
}

// nameAmong gives the command's name: its first word or the key env or name.
func (p *parser) nameAmong(b *body, vals map[string]string) (value, *o.Error) {
	var given []value
	for _, key := range []string{"name", "env"} {
		if vals[key] != "" && (len(given) == 0 || given[0].text != vals[key]) {
			given = append(given, value{vals[key], false})
		}
	}
	if len(given) == 0 && len(b.words) > 0 {
		given = append(given, b.words[0].value)
		b.words = b.words[1:]
	} else if len(given) == 1 && len(b.words) > 0 && lower(b.words[0].text) == given[0].text {
		b.words = b.words[1:]
	}
	switch len(given) {
	case 0:
		what := "Say which environment"
		switch {
		case p.noun == o.NounServer:
			what = "Say which server"
		case p.verb == o.VerbCreate || p.verb == o.VerbPlan:
			what = "Say what the environment is to be called"
		}
		return value{}, o.Errorf(o.CodeGrammar, "%s.", what).WithHint("%s", p.usage())
	case 2:
		return value{}, o.Errorf(o.CodeGrammar, "Two names are given: %s and %s.", show(given[0].text), show(given[1].text)).WithHint("%s", p.usage())
	}
	return given[0], nil
}

// shoutedForm is the usual form of a setting's name.
var shoutedForm = lazyregexp.New(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// tooMany refuses words that are left over.
func (p *parser) tooMany(words []word) *o.Error {
	for _, w := range words {
		if !w.quoted && (settingVerbs[lower(w.text)] || shouted[w.text] || shoutedForm.MatchString(w.text)) {
			return settingsBelongToOps(w.text)
		}
	}
	if err := foreign("a name", words[0].text); err != nil {
		return err
	}
	e := o.Errorf(o.CodeGrammar, "Berth does not know what %s means here.", show(words[0].text)).WithHint("%s", p.usage())
	if app, branch, ok := strings.Cut(words[0].text, "@"); ok && nameForm.MatchString(app) {
		return e.WithHint("write %s=%s", app, branch)
	}
	return e
}

// paired makes settings of leftover words, to suggest them: web feature/x.
func (p *parser) paired(b *body, keep int) {
	rest := b.words[min(keep, len(b.words)):]
	if len(rest) == 0 {
		return
	}
	fix := b.settings
	if len(rest) == 1 && p.noun == o.NounEnv && p.verb != o.VerbDeploy && partForm.MatchString(rest[0].text) {
		fix = append(fix, setting{"ttl", rest[0].value})
	} else {
		found, ok := pairs(rest)
		if !ok {
			found, ok = pairs(without(rest, pairNoise, 0))
		}
		if !ok {
			return
		}
		fix = append(fix, found...)
	}
	p.correct(p.tooMany(rest), false)
	b.settings, b.words = fix, b.words[:keep]
}

func (p *parser) create(b body) (o.Command, *o.Error) {
	for _, to := range b.to {
		if to.text == "on" || to.text == "onto" || to.text == "in" || to.text == "into" || to.text == "at" {
			if to.at == 1 && len(b.words) == 2 && nameForm.MatchString(lower(b.words[1].text)) {
				p.correct(o.Errorf(o.CodeGrammar, "Berth does not know what “%s %s” means here.", to.text, b.words[1].text).WithHint("%s", p.usage()), false)
				b.settings = append(b.settings, setting{"target", b.words[1].value})
				b.words = b.words[:1]
				break
			}
		}
	}
	named := 1
	for _, s := range b.settings {
		if s.key == "name" || s.key == "env" {
			named = 0
		}
	}
	p.blueprintNamed(&b, named)
	p.leftover(&b, named)
	vals, branches, err := p.settingsOf(b, "ttl size target name env", true)
	if err != nil {
		return o.Command{}, err
	}
	name, err := p.nameAmong(&b, vals)
	if err != nil {
		return o.Command{}, err
	}
	c := o.Command{Noun: o.NounEnv, Verb: p.verb, Branches: branches, TTL: ttlOf(vals), Size: vals["size"], Target: vals["target"]}
	if len(branches) == 0 {
		c.Branches = nil
	}
	if c.Environment, err = p.fresh("an environment", name); err != nil {
		return c, err
	}
	if len(b.words) > 0 {
		if c.Blueprint, err = checkName("a blueprint", b.words[0].text); err != nil {
			return c, err
		}
		b.words = b.words[1:]
	}
	if len(b.words) > 0 {
		return c, p.tooMany(b.words)
	}
	return c, nil
}

// leftover makes settings of the words after name and blueprint.
func (p *parser) leftover(b *body, named int) {
	n := len(b.words) - named
	if n < 1 {
		return
	}
	second := b.words[named]
	if _, ref := linked(second); n == 1 && !partForm.MatchString(second.text) && ref == "" {
		return // a blueprint
	}
	if first, ref := linked(b.words[named]); n == 2 && ref == "" && first == b.words[named].text {
		switch last := b.words[named+1]; {
		case !last.quoted && partForm.MatchString(last.text):
			p.paired(b, named+1)
			return
		case !likeBranch(last):
			return // a blueprint, and one word too many
		case p.tooMany(b.words[named:]).Code == o.CodeGrammar:
			p.correct(o.Errorf(o.CodeGrammar, "Berth does not know what %s means here: a branch is written APP=BRANCH.", show(last.text)), false)
		}
	}
	if n == 3 && !likeBranch(b.words[named+2]) {
		return // blueprint, app, and what is no branch
	}
	for _, keep := range []int{named, named + 1} {
		if _, paired := pairs(without(b.words[keep:], pairNoise, 0)); paired || n == 1 {
			p.paired(b, keep)
			return
		}
	}
}

// usualBranches are branches whose names read like any other word.
var usualBranches = set("main master trunk dev develop development devel next stable staging stage production prod release")

// likeBranch says whether a word reads like a branch: any word may be one, but
// after a blueprint most are something else.
func likeBranch(w word) bool {
	return w.quoted || usualBranches[lower(w.text)] || strings.ContainsFunc(w.text, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r == '-') })
}

// blueprintNamed takes "blueprint shop", "the shop blueprint", blueprint=shop
// and "shop as qa" for what they mean, to offer it.
func (p *parser) blueprintNamed(b *body, named int) {
	note := o.Errorf(o.CodeGrammar, "The blueprint is the second word.").WithHint("%s", p.usage())
	if i := slices.IndexFunc(b.settings, func(s setting) bool { return s.key == "blueprint" && !s.quoted }); i >= 0 && len(b.words) == named {
		p.correct(note, false)
		b.words = append(slices.Clone(b.words), word{value: b.settings[i].value})
		b.settings = slices.Delete(slices.Clone(b.settings), i, i+1)
		return
	}
	if rest := without(b.words, set("blueprint template"), named); len(b.words) > named+1 && len(rest) < len(b.words) {
		p.correct(note, false)
		b.words = rest
	}
	if len(b.words) == 3 && !b.words[1].quoted && lower(b.words[1].text) == "as" {
		p.correct(note, false)
		b.words = []word{b.words[2], b.words[0]}
	}
}

// deployTo puts the name first: web main to qa. It is offered.
func (p *parser) deployTo(b *body) {
	last := len(b.words) - 1
	if last < 1 {
		return
	}
	if _, paired := pairs(b.words[:last]); paired && b.putIn(last, "to on onto in into at") && nameForm.MatchString(lower(b.words[last].text)) {
		b.words = append([]word{b.words[last]}, b.words[:last]...)
		p.correct(o.Errorf(o.CodeGrammar, "The environment comes first.").WithHint("%s", p.usage()), false)
	}
}

func (p *parser) deploy(b body) (o.Command, *o.Error) {
	p.deployTo(&b)
	if len(b.words) == 2 && len(b.to) == 1 && b.to[0].at == 1 && nameForm.MatchString(lower(b.words[1].text)) {
		return o.Command{}, o.Errorf(o.CodeGrammar, "Say for which app of %s %s is.", show(b.words[1].text), show(b.words[0].text)).
			WithHint("env deploy %s APP=%s", lower(b.words[1].text), b.words[0].text)
	}
	if len(b.words) == 2 && len(b.to) == 1 && b.to[0].at == 1 && serverName.MatchString(b.words[1].text) {
		p.noun = o.NounServer
		p.correct(o.Errorf(o.CodeGrammar, "%s is one server: env deploy is for whole environments.", show(b.words[1].text)), false)
		return p.deployServer(body{words: []word{b.words[1], b.words[0]}, settings: b.settings})
	}
	if len(b.words) > 0 && strings.Contains(b.words[0].text, "/") && serverName.MatchString(b.words[0].text) {
		p.noun = o.NounServer
		p.correct(o.Errorf(o.CodeGrammar, "%s is one server: env deploy is for whole environments.", show(b.words[0].text)), false)
		return p.deployServer(b)
	}
	p.paired(&b, 1)
	vals, branches, err := p.settingsOf(b, "name env", true)
	if err != nil {
		return o.Command{}, err
	}
	name, err := p.nameAmong(&b, vals)
	if err != nil {
		return o.Command{}, err
	}
	c := o.Command{Noun: o.NounEnv, Verb: o.VerbDeploy, Branches: branches}
	if len(branches) == 0 {
		c.Branches = nil
	}
	if c.Environment, err = p.existing("an environment", name); err != nil {
		return c, err
	}
	if len(b.words) > 0 {
		err := p.tooMany(b.words)
		if err.Code == o.CodeGrammar && refused(b.words[0].text) == "" {
			err = err.WithHint("say for which app: env deploy %s APP=%s", c.Environment, b.words[0].text)
		}
		return c, err
	}
	return c, nil
}

func (p *parser) list(b body) (o.Command, *o.Error) {
	c := o.Command{Noun: p.noun, Verb: o.VerbList, Mine: p.mine}
	keys := ""
	if p.many {
		b.words = without(b.words, listFillers, 0)
	}
	if p.noun == o.NounServer && len(b.words) == 1 && len(b.to) == 1 && nameForm.MatchString(lower(b.words[0].text)) && !mine[lower(b.words[0].text)] && (b.to[0].text == "in" || b.to[0].text == "of") {
		p.correct(o.Errorf(o.CodeGrammar, "server list takes no environment: env show lists the servers of one."), true)
		return o.Command{Noun: o.NounEnv, Verb: o.VerbShow, Environment: lower(b.words[0].text)}, nil
	}
	if p.noun == o.NounServer {
		keys = "app"
		for _, s := range b.settings {
			if (s.key == "env" || s.key == "environment") && len(b.settings) == 1 && nameForm.MatchString(lower(s.text)) {
				p.correct(o.Errorf(o.CodeGrammar, "server list takes no environment: env show lists the servers of one."), true)
				return o.Command{Noun: o.NounEnv, Verb: o.VerbShow, Environment: lower(s.text)}, nil
			}
		}
	}
	vals, _, err := p.settingsOf(b, keys, false)
	if err != nil {
		return c, err
	}
	c.App = vals["app"]
	for _, w := range b.words {
		name := lower(w.text)
		switch {
		case mine[name]:
			c.Mine = true
		case name == "all" || name == "everything" || name == "everyone":
		case distance(name, "mine") == 1:
			p.correct(p.tooMany(b.words), true)
			c.Mine = true
		case p.noun == o.NounServer && c.App == "" && nameForm.MatchString(name):
			p.correct(p.tooMany(b.words), true)
			c.App = name
		default:
			if err := p.tooMany([]word{w}); err.Code != o.CodeGrammar {
				return c, err
			}
			p.correct(p.tooMany([]word{w}), false)
		}
	}
	return c, nil
}

func (p *parser) oneEnvironment(b body) (o.Command, *o.Error) {
	if inside(&b) {
		p.correct(o.Errorf(o.CodeGrammar, "A server of an environment is written ENV/APP."), true)
	}
	vals, _, err := p.settingsOf(b, "name env", false)
	if err != nil {
		return o.Command{}, err
	}
	name, err := p.nameAmong(&b, vals)
	if err != nil {
		return o.Command{}, err
	}
	c := o.Command{Noun: o.NounEnv, Verb: p.verb, Detail: p.detail}
	env, app, one := strings.Cut(name.text, "/")
	if c.Environment, err = p.existing("an environment", value{env, name.quoted}); err != nil {
		return c, err
	}
	if one {
		if c.App, err = checkName("an app", app); err != nil {
			return c, err
		}
		switch p.verb {
		case o.VerbLogs, o.VerbWhy:
		case o.VerbShow, o.VerbDestroy:
			p.correct(o.Errorf(o.CodeGrammar, "%s is one server: env %s is for whole environments.", show(name.text), p.verb), p.verb == o.VerbShow)
			c.Noun = o.NounServer
		default:
			p.correct(o.Errorf(o.CodeGrammar, "%s is one server: env %s is for whole environments.", show(name.text), p.verb), p.verb == o.VerbHistory)
			c.App = ""
		}
	}
	if len(b.words) > 0 {
		return c, p.oneAtATime(c, b.words)
	}
	return c, nil
}

// oneAtATime refuses a second name.
func (p *parser) oneAtATime(c o.Command, left []word) *o.Error {
	err := p.tooMany(left)
	if err.Code == o.CodeGrammar && nameForm.MatchString(lower(left[0].text)) && p.wrong == nil {
		err = o.Errorf(o.CodeGrammar, "One at a time: %s %s takes one name, and %s is a second.", p.noun, p.verb, show(left[0].text)).WithHint("%s", p.usage())
		return suggest(err, Canonical(c))
	}
	return err
}

func (p *parser) extend(b body) (o.Command, *o.Error) {
	c := o.Command{Noun: o.NounEnv, Verb: o.VerbExtend}
	named := slices.ContainsFunc(b.settings, func(s setting) bool { return s.key == "name" || s.key == "env" })
	if first := len(b.words) - 1; first > 0 && partForm.MatchString(b.words[0].text) && nameForm.MatchString(lower(b.words[first].text)) {
		p.correct(o.Errorf(o.CodeGrammar, "The name comes before the lifetime.").WithHint("%s", p.usage()), false)
		b.words = append([]word{b.words[first]}, b.words[:first]...)
	}
	if len(b.words) > 1 && b.putIn(1, "of") && set("life lifetime ttl")[lower(b.words[0].text)] {
		p.correct(p.tooMany(b.words[:1]), false) // the life of qa
		b.words = b.words[1:]
	}
	if !named && len(b.words) > 1 || named && len(b.words) > 0 {
		first := 1
		if named {
			first = 0
		}
		ttl := strings.Join(b.texts()[first:], " ")
		b.settings = append(b.settings, setting{"ttl", value{ttl, true}})
		b.words = b.words[:first]
	}
	vals, _, err := p.settingsOf(b, "ttl name env", false)
	if err != nil {
		return c, err
	}
	name, err := p.nameAmong(&b, vals)
	if err != nil {
		return c, err
	}
	if c.Environment, err = p.existing("an environment", name); err != nil {
		return c, err
	}
	if c.TTL = ttlOf(vals); c.TTL == 0 {
		return c, o.Errorf(o.CodeInvalidValue, "Say by how long to extend %s.", c.Environment).WithHint("env extend %s 2d", c.Environment)
	}
	for _, to := range b.to {
		if to.text == "to" {
			p.correct(o.Errorf(o.CodeGrammar, "extend is by how long, not to when."), false)
		}
	}
	return c, nil
}

func (p *parser) rename(b body) (o.Command, *o.Error) {
	c := o.Command{Noun: o.NounEnv, Verb: o.VerbRename}
	vals, _, err := p.settingsOf(b, "name env", false)
	if err != nil {
		return c, err
	}
	words := b.words
	if vals["env"] != "" {
		words = append([]word{{value: value{text: vals["env"]}}}, words...)
	}
	if vals["name"] != "" {
		words = append(slices.Clone(words), word{value: value{text: vals["name"]}})
	}
	switch {
	case len(words) < 2:
		return c, o.Errorf(o.CodeGrammar, "Say which environment, and its new name.").WithHint("%s", p.usage())
	case len(words) > 2:
		return c, p.tooMany(words[2:])
	}
	if c.Environment, err = p.existing("an environment", words[0].value); err != nil {
		return c, err
	}
	if c.NewName, err = p.fresh("an environment", words[1].value); err != nil {
		return c, err
	}
	for _, to := range b.to {
		if to.text != "to" || to.at != 1 {
			p.correct(o.Errorf(o.CodeGrammar, "Berth is not sure which name is the new one."), false)
		}
	}
	return c, nil
}
