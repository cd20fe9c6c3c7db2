package bot

import (
	"slices"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

var serverName = lazyregexp.New(`^[A-Za-z][A-Za-z0-9-]*/[A-Za-z][A-Za-z0-9-]*$`)

// server reads NAME or ENV/APP.
func (p *parser) server(v value) (env, app string, err *o.Error) {
	name, app, one := strings.Cut(v.text, "/")
	if env, err = p.existing("a server", value{name, v.quoted}); err != nil {
		return "", "", err
	}
	if one {
		if app, err = checkName("an app", app); err != nil {
			return "", "", err
		}
	}
	return env, app, nil
}

// misplaced finds a preposition that puts the first two words the other way
// round: first lists those that the verb takes before the first word, second
// those before the second.
func misplaced(b body, first, second string) (preposition, bool) {
	taken := []map[string]bool{set(first), set(second)}
	for _, to := range b.to {
		if len(b.words) > 1 && to.at < 2 && !taken[to.at][to.text] {
			return to, true
		}
	}
	return preposition{}, false
}

func (p *parser) createServer(b body) (o.Command, *o.Error) {
	c := o.Command{Noun: o.NounServer, Verb: o.VerbCreate}
	p.createdIn(&b)
	vals, branches, err := p.settingsOf(b, "ttl size target name env app branch", true)
	if err != nil {
		return c, err
	}
	words := b.words
	// The app: by key, by app=branch, or the first word.
	switch {
	case vals["app"] != "":
		c.App = vals["app"]
		if len(words) > 0 && len(words) > 1 && lower(words[0].text) == c.App {
			words = words[1:]
		}
	case len(words) > 0 && (len(branches) == 0 || len(branches) == 1 && branches[lower(words[0].text)] != ""):
		if c.App, err = checkName("an app", words[0].text); err != nil {
			if better := mended(words[0].text); better != "" && !strings.ContainsAny(words[0].text, "/=") {
				p.correct(err, false)
				c.App = better
			} else {
				return c, err
			}
		}
		words = words[1:]
	case len(branches) == 1:
		for app := range branches {
			c.App = app
		}
	case len(branches) == 0:
		return c, o.Errorf(o.CodeGrammar, "Say which app, and which branch of it.").WithHint("%s", p.usage())
	}
	if len(branches) > 1 || len(branches) == 1 && branches[c.App] == "" {
		return c, o.Errorf(o.CodeGrammar, "server create makes one server, for one app.").WithHint("env create NAME app=branch… makes several together")
	}
	if reservedKeys[c.App] {
		return c, o.Errorf(o.CodeInvalidName, "%s cannot be the name of an app: it is a word of Berth's commands.", show(c.App)).WithHint("%s", p.usage())
	}
	var refs []string
	if ref := branches[c.App]; ref != "" {
		refs = append(refs, ref)
	}
	if ref := vals["branch"]; ref != "" && !slices.Contains(refs, ref) {
		refs = append(refs, ref)
	}
	if len(words) > 0 && len(refs) == 0 {
		ref, err := checkRef(words[0].value, p.exact)
		if err != nil {
			return c, err
		}
		refs, words = append(refs, ref), words[1:]
	}
	switch {
	case len(refs) == 0:
		return c, o.Errorf(o.CodeGrammar, "Say which branch of %s.", c.App).WithHint("for example: server create %s main", c.App)
	case len(refs) > 1:
		return c, o.Errorf(o.CodeGrammar, "Two branches are given for %s: %s and %s.", c.App, show(refs[0]), show(refs[1])).WithHint("%s", p.usage())
	case len(words) > 0:
		return c, p.tooMany(words)
	}
	c.Branches = map[string]string{c.App: refs[0]}
	c.TTL, c.Size, c.Target = ttlOf(vals), vals["size"], vals["target"]
	c.Environment = vals["env"]
	if vals["name"] != "" {
		if c.Name, err = p.fresh("a server", value{text: vals["name"]}); err != nil {
			return c, err
		}
		if c.Environment != "" {
			return c, o.Errorf(o.CodeGrammar, "name= and env= exclude each other: a server of an environment is called %s/%s.", c.Environment, c.App).
				WithHint("leave one of them out")
		}
	}
	if to, ok := misplaced(b, "for of with", "on from with at using"); ok {
		err := o.Errorf(o.CodeGrammar, "“%s” leaves open which is the app and which the branch.", to.text).WithHint("%s", p.usage())
		if app := lower(b.words[1].text); nameForm.MatchString(app) && !reservedKeys[app] {
			if ref, wrong := checkRef(b.words[0].value, p.exact); wrong == nil {
				c.App, c.Branches = app, map[string]string{app: ref}
				return c, suggest(err, Canonical(c))
			}
		}
		return c, suggest(err, Canonical(c))
	}
	return c, nil
}

// createdIn takes "web main in qa", "qa/web main", "web@main", "web#12" and
// "web main as try" for what they mean, to offer it.
func (p *parser) createdIn(b *body) {
	if len(b.words) == 0 || b.words[0].quoted {
		return
	}
	last := len(b.words) - 1
	note := p.tooMany(b.words[last:])
	first := b.words[0]
	add := func(key, val string, words ...word) {
		p.correct(note, false)
		b.settings = append(slices.Clone(b.settings), setting{key, value{text: val}})
		b.words = words
	}
	env, app, slashed := strings.Cut(first.text, "/")
	found, paired := pairs(b.words)
	switch {
	case last == 2 && b.putIn(2, "in to into") && nameForm.MatchString(lower(b.words[2].text)):
		add("env", b.words[2].text, b.words[:2]...)
	case last == 3 && !b.words[2].quoted && lower(b.words[2].text) == "as":
		note = p.tooMany(b.words[2:])
		add("name", b.words[3].text, b.words[:2]...)
	case last == 1 && slashed && serverName.MatchString(first.text):
		note = o.Errorf(o.CodeGrammar, "A new server is named by its app: its environment is env=%s.", lower(env)).WithHint("%s", p.usage())
		add("env", env, word{value: value{text: app}}, b.words[1])
	case last == 0 && len(b.settings) == 0 && paired:
		p.correct(note, false)
		b.words = []word{{value: value{text: found[0].key}}, {value: found[0].value}}
	}
}

func (p *parser) deployServer(b body) (o.Command, *o.Error) {
	c := o.Command{Noun: o.NounServer, Verb: o.VerbDeploy}
	vals, branches, err := p.settingsOf(b, "name env app branch", true)
	if err != nil {
		return c, err
	}
	words := b.words
	var name value
	switch {
	case vals["env"] != "" && vals["app"] != "":
		name.text = vals["env"] + "/" + vals["app"]
	case vals["name"] != "":
		name.text = vals["name"]
	case vals["env"] != "" || vals["app"] != "":
		return c, o.Errorf(o.CodeGrammar, "Say which server as ENV/APP.").WithHint("%s", p.usage())
	case len(words) > 0:
		name, words = words[0].value, words[1:]
	default:
		return c, o.Errorf(o.CodeGrammar, "Say which server.").WithHint("%s", p.usage())
	}
	if c.Environment, c.App, err = p.server(name); err != nil {
		return c, err
	}
	var refs []string
	if vals["branch"] != "" {
		refs = append(refs, vals["branch"])
	}
	if len(words) > 0 {
		if w := words[0]; w.whole && c.App == "" && settingForm.MatchString(w.text) {
			// Quoted as a whole it may be app=branch or a branch of that form.
			app, ref, _ := strings.Cut(w.text, "=")
			err := o.Errorf(o.CodeGrammar, "%s may be an app with its branch, or a branch.", show(w.text)).WithHint("write branch=… with the branch in quotes")
			var texts []string
			for _, branches := range []map[string]string{{lower(app): ref}, {"": w.text}} {
				c.Branches = branches
				if _, wrong := checkRef(value{branches[lower(app)] + branches[""], true}, true); wrong == nil {
					texts = append(texts, Canonical(c))
				}
			}
			return c, suggest(err, texts...)
		}
		ref, err := checkRef(words[0].value, p.exact)
		if err != nil {
			return c, err
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
		words = words[1:]
	}
	if len(words) > 0 {
		return c, p.tooMany(words)
	}
	if len(branches) > 1 {
		return c, o.Errorf(o.CodeGrammar, "A server runs one app, and %d are named.", len(branches)).WithHint("env deploy %s app=branch… deploys several", c.Environment)
	}
	for app, ref := range branches {
		switch {
		case c.App != "" && c.App != app:
			return c, o.Errorf(o.CodeGrammar, "%s/%s runs %s, not %s.", c.Environment, c.App, c.App, app).WithHint("server deploy %s/%s %s", c.Environment, app, ref)
		case len(refs) > 0 && refs[0] != ref:
			refs = append(refs, ref)
		case len(refs) == 0:
			refs = append(refs, ref)
			c.Branches = map[string]string{app: ref}
		}
	}
	if len(refs) > 1 {
		return c, o.Errorf(o.CodeGrammar, "Two branches are given: %s and %s.", show(refs[0]), show(refs[1])).WithHint("%s", p.usage())
	}
	if len(refs) == 1 && c.Branches == nil {
		c.Branches = map[string]string{c.App: refs[0]}
	}
	if to, ok := misplaced(b, "to on onto in into for of at", "with from at using"); ok {
		err := o.Errorf(o.CodeGrammar, "“%s” leaves open which is the server and which the branch.", to.text).WithHint("%s", p.usage())
		texts := []string{Canonical(c)}
		first, second := b.words[0].text, b.words[1].text
		q := *p
		if other, wrong := q.deployServer(body{words: []word{b.words[1], b.words[0]}}); wrong == nil && q.wrong == p.wrong {
			texts = append(texts, Canonical(other))
			if branchLike.MatchString(first) || !strings.Contains(first, "/") && strings.Contains(second, "/") && !branchLike.MatchString(second) {
				slices.Reverse(texts)
			}
		}
		return c, suggest(err, texts...)
	}
	return c, nil
}

// branchLike begins as branches often do; it only orders suggestions.
var branchLike = lazyregexp.New(`^(?:feature|feat|fix|hotfix|bugfix|release|chore|refactor|main$|master$|develop$)`)

// settingForm is KEY=VALUE with a key that could be an app's.
var settingForm = lazyregexp.New(`^[A-Za-z][A-Za-z0-9-]*=`)

// oneServer is server show and server destroy.
func (p *parser) oneServer(b body) (o.Command, *o.Error) {
	if inside(&b) {
		p.correct(o.Errorf(o.CodeGrammar, "A server of an environment is written ENV/APP."), true)
	}
	c := o.Command{Noun: o.NounServer, Verb: p.verb}
	vals, _, err := p.settingsOf(b, "name env app", false)
	if err != nil {
		return c, err
	}
	if len(b.words) == 1 && !strings.Contains(b.words[0].text, "/") && vals["env"] != "" && vals["app"] == "" {
		vals["app"] = lower(b.words[0].text) // server show web env=qa
		b.words = nil
	}
	switch {
	case vals["env"] != "" && vals["app"] != "" && len(b.words) == 0 && vals["name"] == "":
		p.correct(o.Errorf(o.CodeGrammar, "A server of an environment is written ENV/APP."), true)
		b.words = []word{{value: value{text: vals["env"] + "/" + vals["app"]}}}
	case vals["env"] != "" && vals["name"] != "" || vals["app"] != "":
		return c, o.Errorf(o.CodeGrammar, "Say which server as ENV/APP.").WithHint("%s", p.usage())
	case len(b.words) == 2 && len(vals) == 0 && !strings.Contains(b.words[0].text+b.words[1].text, "/") && len(b.to) == 0:
		p.correct(o.Errorf(o.CodeGrammar, "A server of an environment is written ENV/APP."), true)
		b.words = []word{{value: value{text: b.words[0].text + "/" + b.words[1].text}}}
	}
	vals = map[string]string{"name": vals["name"], "env": vals["env"]}
	if len(b.words) > 0 && vals["name"] == "" {
		delete(vals, "env")
	}
	name, err := p.nameAmong(&b, vals)
	if err != nil {
		return c, err
	}
	if c.Environment, c.App, err = p.server(name); err != nil {
		return c, err
	}
	if len(b.words) > 0 {
		return c, p.oneAtATime(c, b.words)
	}
	return c, nil
}
