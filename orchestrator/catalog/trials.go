package catalog

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/berth-dev/berth/templates"
)

const noSalt = "Salt is not installed here, so the recipes were read but not compiled: install it (make salt), or name salt-call with BERTH_SALT_CALL."

// trialRoot is where a trial's server would be. Nothing is there.
const trialRoot = "/berth-validate/root"

const (
	// innocent is a value that no recipe can trip over.
	innocent = "berthvalidatevalue"
	// cunning is a branch that git allows, made of what YAML, Jinja and quotes
	// are made of.
	cunning = `{{7*7}}{"berth'},&#!|%@`
	// unruly is a setting, which may be any text.
	unruly = "berth: {{7*7}}\n- \"c'{[,&#!|%@\n"
)

// branches are those that a recipe must take as text: one that breaks out of
// quotes, and those that YAML takes for something else.
var branches = []string{cunning, "1.10", "yes"}

// usage is one list of recipes in one kind of place.
type usage struct {
	app     orchestrator.App
	target  orchestrator.Target
	systemd bool
	// unmet are needs that a blueprint does not meet: their values come from the
	// settings, and the pillar's needs lack them.
	unmet []string
}

// where says in which kind of place that is.
func (u usage) where() string {
	where := fmt.Sprintf("for target %q", u.target.Name)
	if len(u.unmet) > 0 {
		where += fmt.Sprintf(", where its environment has no app for %s and the settings give it", strings.Join(u.unmet, ", "))
	}
	return where
}

// usages gives each app on each kind of target: this machine, and machines of
// their own.
func (v *verifier) usages() []usage {
	var out []usage
	for _, a := range v.cat.Apps {
		seen := map[bool]bool{}
		for _, t := range v.cat.Targets {
			systemd := t.Module != "local"
			// A target that forbids more is the one to ask.
			if seen[systemd] || !systemd && t.AllowSystem && v.protected() != "" {
				continue
			}
			seen[systemd] = true
			for _, unmet := range v.unmet(a) {
				out = append(out, usage{a, t, systemd, unmet})
			}
		}
	}
	return out
}

// unmet are the sets of needs that environments may leave to an app's settings:
// those of each blueprint, and all of them where it stands alone. Environments
// for which the settings lack one are refused and need no trial.
func (v *verifier) unmet(a orchestrator.App) [][]string {
	out := [][]string{nil}
	add := func(has func(app string) bool) {
		var lacks []string
		for _, key := range sortedNeeds(a.Needs) {
			if !has(a.Needs[key]) {
				if v.values[a.Name][key] == "" {
					return
				}
				lacks = append(lacks, key)
			}
		}
		if !slices.ContainsFunc(out, func(known []string) bool { return slices.Equal(known, lacks) }) {
			out = append(out, lacks)
		}
	}
	for _, b := range v.cat.Blueprints {
		if slices.Contains(b.Apps, a.Name) {
			add(func(app string) bool { return slices.Contains(b.Apps, app) })
		}
	}
	add(func(string) bool { return false })
	return out
}

// pillar is what the app's servers would get, with another branch or other
// settings where they are given.
func (v *verifier) pillar(u usage, branch string, settings map[string]string) map[string]any {
	if branch == "" {
		branch = u.app.Branch
	}
	if settings == nil {
		settings = v.values[u.app.Name]
	}
	needs := map[string]string{}
	for key := range u.app.Needs {
		if slices.Contains(u.unmet, key) {
			continue
		}
		needs[key] = "http://127.0.0.1:41234"
	}
	merged := maps.Clone(settings)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, needs)
	return map[string]any{"berth": orchestrator.Pillar{
		Server: "validate/" + u.app.Name, Environment: "validate", Target: u.target.Name, Systemd: u.systemd, Root: trialRoot,
		Settings: merged, Env: "A=1\n", EnvFile: filepath.Join(filepath.Dir(trialRoot), "env"), Program: "/usr/local/bin/berth", Needs: needs,
		App: orchestrator.PillarApp{Name: u.app.Name, Repository: u.app.Repository, Branch: branch, Revision: strings.Repeat("a", 40),
			Checkout: trialRoot + "/app", Port: u.app.Port, Health: u.app.Health, Build: u.app.Build, Start: u.app.Start},
	}}
}

// compile has Salt compile every app's recipes, first with what they would
// get, then with values that a careless recipe does not take as values.
func (v *verifier) compile(ctx context.Context) {
	if v.known.SaltCall == "" {
		if len(v.seen) > 0 {
			v.warnings = append(v.warnings, noSalt)
		}
		return
	}
	if v.changesNow() {
		return
	}
	usages := slices.DeleteFunc(v.usages(), func(u usage) bool { return !v.whole(u.app) })
	if len(usages) == 0 {
		return
	}
	c := compiler{saltCall: v.known.SaltCall, starter: templates.Recipes()}
	if v.cat.Salt.States != "" {
		c.roots = []string{v.cat.Salt.States}
	}
	var trials []trial
	var judges []func(results []compiled)
	// try adds trials, and what their results are for.
	try := func(u usage, pillars []map[string]any, judge func([]compiled)) {
		from := len(trials)
		for _, p := range pillars {
			trials = append(trials, trial{States: u.app.States, Pillar: p})
		}
		to := len(trials)
		judges = append(judges, func(all []compiled) { judge(all[from:to]) })
	}
	tried := map[string]bool{}
	for _, u := range usages {
		try(u, []map[string]any{v.pillar(u, "", nil)}, func(r []compiled) { v.judge(u, r[0]) })
		trials[len(trials)-1].Try = v.teams(u.app)
		// What is wrong with Berth's own recipes is no business of the team's;
		// and other values make the same of the same recipes.
		if key := v.sort(u); tried[key] || !v.teams(u.app) {
			continue
		} else {
			tried[key] = true
		}
		pillars := []map[string]any{v.pillar(u, innocent, nil)}
		for _, b := range branches {
			pillars = append(pillars, v.pillar(u, b, nil))
		}
		try(u, pillars, func(r []compiled) { v.compare(u, "a branch", branches, r) })
		if len(v.values[u.app.Name]) > 0 {
			try(u, []map[string]any{v.pillar(u, "", all(v.values[u.app.Name], innocent)), v.pillar(u, "", all(v.values[u.app.Name], unruly))},
				func(r []compiled) { v.compare(u, "a setting", []string{unruly}, r) })
		}
	}
	results, err := c.compile(ctx, trials)
	if err != nil {
		v.warnings = append(v.warnings, fmt.Sprintf("the recipes were read but not compiled, for Salt (%s) could not be run: %v.", v.known.SaltCall, err))
		return
	}
	v.unknown = results.Unknown
	for _, judge := range judges {
		judge(results.Trials)
	}
}

// sort is all of a usage that recipes can tell from others but for its values:
// they may look at what is given at all.
func (v *verifier) sort(u usage) string {
	a := u.app
	return fmt.Sprintf("%q %v %q %q %q %v %v %v %v", a.States, u.systemd, u.unmet, slices.Sorted(maps.Keys(v.values[a.Name])), slices.Sorted(maps.Keys(a.Needs)),
		a.Port > 0, a.Health != "", a.Build != "", a.Start != "")
}

// teams: one of the app's recipes at least is the team's own.
func (v *verifier) teams(a orchestrator.App) bool {
	return slices.ContainsFunc(a.States, func(name string) bool { return recipeFile(v.cat.Salt.States, name) != "" })
}

// changesNow: a recipe would change this machine already while it is compiled.
func (v *verifier) changesNow() bool {
	for _, file := range slices.Sorted(maps.Keys(v.seen)) {
		if calls := v.seen[file].calls; len(calls) > 0 {
			v.warn(file, calls[0].line, "%s changes the machine while the recipe is compiled, so Berth has compiled no recipe here.", calls[0].text)
			return true
		}
	}
	return false
}

// whole: every recipe of the app is there.
func (v *verifier) whole(a orchestrator.App) bool {
	return len(a.States) > 0 && !slices.ContainsFunc(a.States, func(name string) bool {
		return recipeFile(v.cat.Salt.States, name) == "" && !slices.Contains(v.starter, name)
	})
}

func all(m map[string]string, value string) map[string]string {
	out := map[string]string{}
	for key := range m {
		out[key] = value
	}
	return out
}

// judge looks at recipes as they would be on a server.
func (v *verifier) judge(u usage, r compiled) {
	if len(r.errors) > 0 {
		// Salt quotes the recipe with its values.
		mask := orchestrator.Masker(v.values[u.app.Name], u.app.Public)
		for _, text := range r.errors {
			file, line, reason := v.saltError(u, mask(text))
			v.inFileOnce(file, line, "the recipe of app %s does not compile %s: %s", u.app.Name, u.where(), reason)
		}
		return
	}
	if len(r.chunks) == 0 {
		v.inFileOnce(v.recipeOf(u, ""), 1, "the recipes of app %s (%s) give no state for target %q, which Salt takes for a failure.", u.app.Name, strings.Join(u.app.States, ", "), u.target.Name)
	}
	for _, c := range r.failing {
		v.fails(u, c)
	}
	for _, c := range r.chunks {
		v.template(c)
		if file, line := v.place(c); file != "" && !u.systemd && slices.Contains(v.unknown, c.text("state")+"."+c.text("fun")) && !isSystem(c.text("state")) {
			// Servers on this machine use the same Salt.
			v.inFileOnce(file, line, "the state %s uses %s.%s, which the Salt of this machine does not have.", c.text("__id__"), c.text("state"), c.text("fun"))
		}
		if u.systemd || u.target.AllowSystem {
			continue
		}
		file, line := v.place(c)
		if file == "" {
			continue // Berth's own
		}
		if what := systemUse(c); what != "" && !v.told(file, what) {
			v.system(file, line, what+" (state "+c.text("__id__")+")", u.target.Name)
		}
		if path := outside(c); path != "" {
			v.warnOnce(file, line, "the state %s writes %s, which is not below berth.root: on target %q recipes keep to it.", c.text("__id__"), path, u.target.Name)
		}
		if asRoot := regexp.MustCompile(`^\s*(sudo|doas|su)\s`).FindStringSubmatch(command(c)); asRoot != nil {
			v.warnOnce(file, line, "the state %s runs %s: on target %q recipes have no right to change the machine.", c.text("__id__"), asRoot[1], u.target.Name)
		}
	}
}

// fails tells of a state that fails on every server. What is wrong with a file
// that it renders is told where that stands.
func (v *verifier) fails(u usage, c chunk) {
	file, line := v.place(c)
	if file == "" {
		return // Berth's own
	}
	says := orchestrator.Masker(v.values[u.app.Name], u.app.Public)(c.text("says"))
	head, _, _ := strings.Cut(says, "\n---")
	if strings.Contains(head, "Traceback") {
		head = lastLine([]byte(head))
	}
	if m := saltLine.FindStringSubmatch(head); m != nil {
		if name, ok := strings.CutPrefix(c.text("source"), "salt://"); ok && filepath.IsLocal(name) {
			if path := filepath.Join(v.cat.Salt.States, name); isRegular(path) {
				file = path
				_, _ = fmt.Sscan(m[1], &line)
			}
		}
	}
	reason := strings.Join(strings.Fields(saltLine.ReplaceAllString(regexp.MustCompile(`^(?:Unable to manage file: |salt\.exceptions\.\w+: )+`).ReplaceAllString(head, ""), "")), " ")
	v.inFileOnce(file, line, "the state %s (%s.%s) of app %s would fail: %s", c.text("__id__"), c.text("state"), c.text("fun"), u.app.Name, sentence(reason))
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// told: the text of the recipe gave that module away already.
func (v *verifier) told(file, what string) bool {
	module, _, _ := strings.Cut(what, ".")
	return slices.ContainsFunc(v.seen[file].system, func(u use) bool {
		known, _, _ := strings.Cut(u.text, ".")
		return known == module
	})
}

// systemUse names the system module that a state uses, or nothing.
func systemUse(c chunk) string {
	if isSystem(c.text("state")) {
		return c.text("state") + "." + c.text("fun")
	}
	if c.text("state") != "module" {
		return ""
	}
	// module.run has the function as its name, or as a key.
	for _, called := range append(slices.Sorted(maps.Keys(c)), c.text("name"), c.text("m_name")) {
		if module, function, ok := strings.Cut(called, "."); ok && changes(module, function) {
			return "module." + c.text("fun") + " with " + called
		}
	}
	return ""
}

// outside is a path outside of the server's root that a state writes.
func outside(c chunk) string {
	path := ""
	switch c.text("state") {
	case "file", "archive":
		path = c.text("name")
	case "git":
		if path = c.text("target"); path == "" {
			path = c.text("name")
		}
	}
	if !filepath.IsAbs(path) {
		return ""
	}
	if path = filepath.Clean(path); path == trialRoot || strings.HasPrefix(path, trialRoot+"/") {
		return ""
	}
	return path
}

// command is what a state hands to a shell.
func command(c chunk) string {
	if c.text("state") != "cmd" {
		return ""
	}
	return c.text("name")
}

// template reads the file that a state renders with Jinja.
func (v *verifier) template(c chunk) {
	if c.text("state") != "file" || c.text("template") != "jinja" || v.cat.Salt.States == "" {
		return
	}
	sources := []any{c["source"]}
	if list, ok := c["source"].([]any); ok {
		sources = list
	}
	for _, s := range sources {
		name, _ := s.(string)
		name, ok := strings.CutPrefix(name, "salt://")
		if !ok || !filepath.IsLocal(name) {
			continue
		}
		file := filepath.Join(v.cat.Salt.States, name)
		if _, done := v.seen[file]; done {
			continue
		}
		raw, err := readRegular(file)
		if err != nil {
			continue // Salt tells of what is missing when it applies it
		}
		found := inspection{unquoted: unquotedIn(string(raw))}
		v.seen[file] = found
		for _, use := range found.unquoted {
			v.warn(file, use.line, "{{ %s }} puts a value from pillar into the file as it is: quote it, as with {{ (%s)|json }}.", use.text, use.text)
		}
	}
}

// compare looks for what a value makes of recipes: with each they must be the
// same states, with values of the same kinds. The first result is that with
// the innocent value.
func (v *verifier) compare(u usage, what string, values []string, results []compiled) {
	base := results[0]
	if len(base.errors) > 0 {
		return // told, or the recipe knows only some values
	}
	for _, c := range base.chunks {
		file, line := v.place(c)
		if file == "" {
			continue
		}
		for _, key := range []string{"name", "onlyif", "unless", "check_cmd", "stdin", "args"} {
			if c.text("state") == "cmd" && strings.Contains(fmt.Sprint(c[key]), innocent) {
				v.warnOnce(file, line, "the state %s puts %s into a command (%s), where a shell reads it as code: hand it over with env.", c.text("__id__"), what, key)
				break
			}
		}
		if text := fmt.Sprint(c["contents"]); c.text("template") != "" && strings.Contains(text, innocent) {
			v.warnOnce(file, line, "the state %s has %s in contents that are a template: its text would be run. Leave template out, or give it as context.", c.text("__id__"), what)
		}
	}
	for i, r := range results[1:] {
		file, line, why := v.differ(u, base, r, values[i])
		if file == "" || len(v.seen[file].unquoted) > 0 {
			continue // nothing, or the text of the recipe has given it away
		}
		v.warnOnce(file, line, "%s is taken for a part of the recipe: write it with |json. With the value %q: %s.", what, values[i], strings.TrimSuffix(why, "."))
		return
	}
}

// differ gives the place where a value has changed the recipe.
func (v *verifier) differ(u usage, base, r compiled, value string) (file string, line int, why string) {
	if len(r.errors) > 0 {
		file, line, reason := v.saltError(u, r.errors[0])
		return file, line, reason
	}
	for i, c := range base.chunks {
		if i < len(r.chunks) && shape(c, innocent) == shape(r.chunks[i], value) {
			continue
		}
		file, line := v.place(c)
		return file, line, "another state " + c.text("__id__")
	}
	if len(r.chunks) > len(base.chunks) {
		file, line := v.place(r.chunks[len(base.chunks)])
		return file, line, "one more state"
	}
	return "", 0, ""
}

// shape is what kinds of values something is made of.
func shape(x any, value string) string {
	switch x := x.(type) {
	case chunk:
		return shape(map[string]any(x), value)
	case map[string]any:
		var keys []string
		for key, item := range x {
			keys = append(keys, strings.ReplaceAll(key, value, "?")+":"+shape(item, value))
		}
		sort.Strings(keys)
		return "{" + strings.Join(keys, ",") + "}"
	case []any:
		items := make([]string, len(x))
		for i, item := range x {
			items[i] = shape(item, value)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return fmt.Sprintf("%T", x)
}

// place is where a state of the team's stands; for Berth's own no file.
func (v *verifier) place(c chunk) (file string, line int) {
	file = recipeFile(v.cat.Salt.States, c.text("__sls__"))
	if file == "" {
		return "", 0
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return file, 1
	}
	id := regexp.MustCompile(`(?m)^["']?` + regexp.QuoteMeta(c.text("__id__")) + `["']?\s*:`)
	if at := id.FindIndex(raw); at != nil {
		return file, 1 + strings.Count(string(raw[:at[0]]), "\n")
	}
	return file, 1
}

var (
	saltRendering = lazyregexp.New(`Rendering SLS ['"]?(?:\w+:)?([\w.-]+)['"]? failed: (?s:(.*))`)
	saltSLS       = lazyregexp.New(`\bSLS ['"]?(?:\w+:)?([\w.-]+)['"]?`)
	saltLine      = lazyregexp.New(`(?:in "<[^>]*>"|;),? line (\d+)(?:, column \d+)?\.?`)
)

// saltError is an error of Salt's compiler as one line, with its place: Salt
// adds the recipe's text to it.
func (v *verifier) saltError(u usage, text string) (file string, line int, reason string) {
	name := ""
	if m := saltRendering.FindStringSubmatch(text); m != nil {
		name, text = m[1], m[2]
	} else if m := saltSLS.FindStringSubmatch(text); m != nil {
		name = m[1]
	}
	head, _, _ := strings.Cut(text, "\n---")
	line = 1
	var parts []string
	for part := range strings.Lines(head) {
		part = strings.Trim(part, " \t\r\n:;")
		if m := saltLine.FindStringSubmatch(part); m != nil {
			_, _ = fmt.Sscan(m[1], &line)
		}
		if part = saltLine.ReplaceAllString(part, ""); part != "" && len(parts) < 2 {
			parts = append(parts, part)
		}
		if len(parts) == 1 && !strings.HasPrefix(parts[0], "while ") {
			break
		}
	}
	if file = v.recipeOf(u, name); recipeFile(v.cat.Salt.States, name) != file {
		line = 1
	}
	return file, line, sentence(strings.Join(parts, ", "))
}

// recipeOf is the file of a recipe of the team, else that of the app's first
// one, else the catalog.
func (v *verifier) recipeOf(u usage, name string) string {
	for _, name := range append([]string{name}, u.app.States...) {
		if file := recipeFile(v.cat.Salt.States, name); file != "" {
			return file
		}
	}
	return v.path
}

// warnOnce and inFileOnce say once what several trials found.
func (v *verifier) warnOnce(file string, line int, format string, args ...any) {
	before := slices.Clone(v.warnings)
	v.warn(file, line, format, args...)
	if last := len(v.warnings) - 1; slices.Contains(before, v.warnings[last]) {
		v.warnings = before
	}
}

func (v *verifier) inFileOnce(file string, line int, format string, args ...any) {
	before := slices.Clone(v.problems)
	v.inFile(file, line, format, args...)
	if last := len(v.problems) - 1; slices.Contains(before, v.problems[last]) {
		v.problems = before
	}
}
