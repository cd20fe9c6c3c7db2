package catalog

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/berth-dev/berth/orchestrator"
)

// Known is what the program itself brings, which a catalog may name.
type Known struct {
	Modules []string // built-in Terraform modules
	Recipes []string // starter recipes
}

// Verify checks what Load does, and goes on to what the catalog names: modules,
// the settings' contents, and the text of the team's recipes. Warnings, each
// with its place, are no reason to refuse the catalog.
func Verify(path string, known Known) (c *orchestrator.Catalog, warnings []string, err error) {
	src, err := readCatalog(path)
	if err != nil {
		return nil, nil, err
	}
	l, err := parse(path, src)
	if err != nil {
		return nil, nil, err
	}
	v := verifier{loader: l, known: known, seen: map[string]bool{}}
	v.modules()
	v.settings()
	v.recipes()
	return l.cat, v.warnings, l.err()
}

type verifier struct {
	*loader
	known    Known
	seen     map[string]bool // files of recipes already read
	warnings []string
}

func (v *verifier) modules() {
	for _, t := range v.cat.Targets {
		bare := t.Module != "" && !strings.ContainsAny(t.Module, "/.:")
		if bare && !slices.Contains(v.known.Modules, t.Module) {
			v.at(v.module[t.Name], "module: Berth brings no module %q.%s", t.Module, v.didYouMean(t.Module, v.known.Modules))
		}
	}
}

// settings parses every settings file, and looks for needs that no environment
// of a blueprint could meet.
func (v *verifier) settings() {
	values := map[string]map[string]string{}
	for _, a := range v.cat.Apps {
		if a.Settings == "" || settingsThere(a.Settings) != nil {
			continue // Load has told
		}
		_, found, err := Settings(a.Settings)
		if err != nil {
			v.at(hcl.Range{Start: hcl.InitialPos}, "settings of app %s: %s", a.Name, err)
			continue
		}
		values[a.Name] = found
	}
	for _, b := range v.cat.Blueprints {
		for _, name := range b.Apps {
			a, _ := v.cat.App(name)
			for _, key := range sortedNeeds(a.Needs) {
				if !slices.Contains(b.Apps, a.Needs[key]) && values[name][key] == "" {
					v.warn(v.path, v.needs[name][key].Start.Line, "blueprint %s has %s but not %s, and the settings of %s give no %s: its environments will be refused.", b.Name, name, a.Needs[key], name, key)
				}
			}
		}
	}
	if len(v.cat.Apps) == 0 && len(v.problems) == 0 {
		v.warn(v.path, 1, "the catalog has no app yet, so there is nothing to deploy.")
	}
}

func (v *verifier) warn(file string, line int, format string, args ...any) {
	v.warnings = append(v.warnings, fmt.Sprintf("%s:%d: ", file, line)+fmt.Sprintf(format, args...))
}

// recipes checks that each recipe exists and reads those of the team.
func (v *verifier) recipes() {
	local := ""
	for _, t := range v.cat.Targets {
		if t.Module == "local" && !t.AllowSystem {
			local = t.Name
		}
	}
	mine := teamRecipes(v.cat.Salt.States)
	for _, a := range v.cat.Apps {
		for i, name := range a.States {
			file := recipeFile(v.cat.Salt.States, name)
			switch {
			case file != "":
				v.recipe(file, local)
			case slices.Contains(v.known.Recipes, name):
			case statePattern.MatchString(name) && i < len(v.states[a.Name]):
				where := "there is no folder of recipes (salt { states = … })"
				if v.cat.Salt.States != "" {
					where = "not in " + v.cat.Salt.States
				}
				v.at(v.states[a.Name][i], "states: there is no recipe %q: %s, and no starter recipe is called that.%s", name, where,
					v.didYouMean(name, append(slices.Clone(mine), v.known.Recipes...)))
			}
		}
	}
}

// recipeFile is where the recipe's SLS is, or empty.
func recipeFile(states, name string) string {
	if states == "" || !statePattern.MatchString(name) {
		return ""
	}
	base := filepath.Join(states, filepath.FromSlash(strings.ReplaceAll(name, ".", "/")))
	// Salt's own order.
	for _, file := range []string{base + ".sls", filepath.Join(base, "init.sls")} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

func teamRecipes(states string) []string {
	if states == "" {
		return nil
	}
	var out []string
	_ = filepath.WalkDir(states, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".sls" {
			return nil // what cannot be read cannot be offered
		}
		rel, err := filepath.Rel(states, file)
		if err == nil {
			name := strings.TrimSuffix(filepath.ToSlash(rel), ".sls")
			if path.Base(name) == "init" {
				name = path.Dir(name)
			}
			out = append(out, strings.ReplaceAll(name, "/", "."))
		}
		return nil
	})
	sort.Strings(out)
	return out
}

// recipe reads one SLS of the team and what it includes.
func (v *verifier) recipe(file, local string) {
	if v.seen[file] {
		return
	}
	v.seen[file] = true
	raw, err := os.ReadFile(file)
	if err != nil {
		v.problems = append(v.problems, problem{hcl.Range{Start: hcl.InitialPos}, fmt.Sprintf("the recipe %s cannot be read: %s.", file, plain(err))})
		return
	}
	found := inspectRecipe(string(raw))
	if found.program {
		v.warn(file, 1, "this recipe is a program, which Berth does not read: see for yourself that it changes nothing outside of berth.root.")
		return
	}
	if local != "" {
		for _, use := range found.system {
			v.problems = append(v.problems, problem{hcl.Range{Start: hcl.InitialPos}, fmt.Sprintf(
				"%s:%d: the recipe uses %s, which changes the machine itself, and target %q is this machine. Put it inside {%% if pillar['berth']['systemd'] %%}, or set allow_system = true in the target.",
				file, use.line, use.text, local)})
		}
	}
	for _, use := range found.unquoted {
		v.warn(file, use.line, "{{ %s }} puts a value from pillar into the recipe as it is: write {{ (%s)|json }}.", use.text, use.text)
	}
	for _, name := range found.includes {
		if strings.HasPrefix(name, ".") {
			continue // relative to this recipe: below
		}
		if inner := recipeFile(v.cat.Salt.States, name); inner != "" {
			v.recipe(inner, local)
		}
	}
	v.relative(file, found.includes, local)
}

func (v *verifier) relative(file string, includes []string, local string) {
	for _, name := range includes {
		rest, ok := strings.CutPrefix(name, ".")
		if !ok {
			continue
		}
		dir := filepath.Dir(file)
		for strings.HasPrefix(rest, ".") {
			dir, rest = filepath.Dir(dir), rest[1:]
		}
		if inside, err := filepath.Rel(v.cat.Salt.States, dir); err != nil || inside == ".." || strings.HasPrefix(inside, "../") {
			continue
		}
		if inner := recipeFile(dir, rest); inner != "" {
			v.recipe(inner, local)
		}
	}
}

// use is something noteworthy in a recipe.
type use struct {
	line int
	text string
}

type inspection struct {
	program  bool
	system   []use    // system modules outside of a guard
	unquoted []use    // expressions with pillar values and without |json
	includes []string // other recipes
}

// systemModules change the machine rather than files below berth.root.
var systemModules = []string{
	"alternatives", "apache", "apparmor", "aptpkg", "at", "blockdev", "chocolatey", "cron", "debconf", "firewalld", "group", "group_present", "grub",
	"host", "hosts", "iptables", "ipset", "kernelpkg", "keyboard", "kmod", "locale", "lvm", "mount", "network", "nftables", "ntp", "pkg", "pkgbuild", "pkgrepo",
	"quota", "raid", "reg", "selinux", "service", "shadow", "snap", "ssh_auth", "sudo", "sysctl", "sysfs", "sysrc", "system", "timezone", "ufw", "user", "zfs",
}

var (
	statementPattern  = regexp.MustCompile(`\{%[-+]?\s*(\w+)((?:[^%]|%[^}])*?)[-+]?%\}`)
	expressionPattern = regexp.MustCompile(`(?s)\{\{[-+]?(.*?)[-+]?\}\}`)
	commentPattern    = regexp.MustCompile(`(?s)\{#.*?#\}`)
	rawPattern        = regexp.MustCompile(`(?s)\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}`)
	functionPattern   = regexp.MustCompile(`^\s*-?\s*["']?([a-z][a-z0-9_]*)(\.[a-z_]+)?["']?(?:\s*(?:#.*)?|\s*:(?:\s.*)?)$`)
	includePattern    = regexp.MustCompile(`(?m)^include:\s*\n((?:[ \t]*(?:-.*|#.*)?\n)+)`)
	callPattern       = regexp.MustCompile(`\bsalt(?:\[\s*["']([a-z_0-9]+)\.[a-z_0-9]+["']\s*\]|\.([a-z_0-9]+)\.[a-z_0-9]+)\s*\(`)
	setPattern        = regexp.MustCompile(`^\s*([A-Za-z_][\w, ]*?)\s*=([^=].*)$`)
	forPattern        = regexp.MustCompile(`^\s*(.+?)\s+in\s+(.+)$`)
	setBlockPattern   = regexp.MustCompile(`(?s)\{%[-+]?\s*set\s+(\w+)\s*[-+]?%\}.*?\{%[-+]?\s*endset\s*[-+]?%\}`)
	wordPattern       = regexp.MustCompile(`[A-Za-z_]\w*`)
	stringPattern     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	jsonPattern       = regexp.MustCompile(`\|\s*(json|tojson)\b(\s*\([^)]*\))?\s*$`)
	notLocalPattern   = regexp.MustCompile(`target['"]?\s*\]?\s*!=`)
	negatedPattern    = regexp.MustCompile(`\bnot\b`)
	orPattern         = regexp.MustCompile(`\bor\b`)
	andPattern        = regexp.MustCompile(`\band\b`)
	choicePattern     = regexp.MustCompile(`\bif\b.*?\belse\b`)
	groupPattern      = regexp.MustCompile(`\([^()]*\)|\[[^\[\]]*\]`)
	operatorPattern   = regexp.MustCompile(`[~+]|\b(if|else|or|and)\b`)
)

// inspectRecipe reads an SLS as text, without running it: Jinja and YAML
// together can only be compiled with data. It is a help against mistakes, not
// a sandbox: recipes are ops' own code.
func inspectRecipe(text string) inspection {
	var out inspection
	if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "#!") {
		renderers := strings.FieldsFunc(strings.TrimPrefix(first, "#!"), func(r rune) bool { return r == '|' || r == ' ' || r == '\r' })
		for _, r := range renderers {
			if !slices.Contains([]string{"jinja", "yaml", "yamlex", "json"}, r) {
				out.program = true
				return out
			}
		}
	}
	text = blank(commentPattern, text)
	for _, m := range includePattern.FindAllStringSubmatch(text+"\n", -1) {
		for line := range strings.Lines(m[1]) {
			line, _, _ = strings.Cut(line, "#")
			if name := strings.Trim(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "-")), `"'`); name != "" {
				out.includes = append(out.includes, name)
			}
		}
	}
	guarded := guards(text)
	inclusion := includeLines(text)
	start := 0
	for n, line := range strings.SplitAfter(text, "\n") {
		if !inclusion[n] && !strings.HasPrefix(strings.TrimSpace(line), "#") && !guarded(start) {
			if m := functionPattern.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && isState(m, line) {
				out.system = append(out.system, use{n + 1, m[1] + m[2]})
			}
			for _, m := range callPattern.FindAllStringSubmatch(line, -1) {
				if name := m[1] + m[2]; slices.Contains(systemModules, name) && name != "host" {
					out.system = append(out.system, use{n + 1, "salt['" + name + ".…']"})
				}
			}
		}
		start += len(line)
	}
	out.unquoted = unquoted(blank(rawPattern, text))
	return out
}

// isState tells pkg.installed: and a short declaration pkg: below an ID from a
// key that only has the same name.
func isState(m []string, line string) bool {
	if !slices.Contains(systemModules, m[1]) && !strings.HasPrefix(m[1], "win_") {
		return false
	}
	indented := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
	if m[2] != "" {
		// An entry of a list is a requisite's or an argument's, not a state.
		return indented && !strings.HasPrefix(strings.TrimSpace(line), "- ")
	}
	return indented && !strings.HasPrefix(strings.TrimSpace(line), "-") && strings.Contains(line, ":") && len(line)-len(strings.TrimLeft(line, " \t")) <= 2
}

func includeLines(text string) map[int]bool {
	out := map[int]bool{}
	for _, m := range includePattern.FindAllStringIndex(text+"\n", -1) {
		first := strings.Count(text[:min(m[0], len(text))], "\n")
		for i := range strings.Count((text + "\n")[m[0]:m[1]], "\n") {
			out[first+i] = true
		}
	}
	return out
}

// blank replaces what matches with spaces, so that places stay true.
func blank(p *regexp.Regexp, text string) string {
	return p.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s)
	})
}

// guards tells which places are inside of an {% if %} that is never true on
// the local target: one that asks for systemd, or for another target.
func guards(text string) func(offset int) bool {
	// elseSafe: the condition fails only where the guard holds.
	type level struct{ safe, elseSafe bool }
	type span struct{ from, to int }
	var stack []level
	var spans []span
	last := 0
	top := func(set func(*level)) {
		if n := len(stack); n > 0 {
			set(&stack[n-1])
		}
	}
	for _, m := range statementPattern.FindAllStringSubmatchIndex(text, -1) {
		word, condition := text[m[2]:m[3]], text[m[4]:m[5]]
		if slices.ContainsFunc(stack, func(l level) bool { return l.safe }) {
			spans = append(spans, span{last, m[0]})
		}
		last = m[1]
		switch word {
		case "if":
			stack = append(stack, level{neverLocal(condition), alwaysLocal(condition)})
		case "elif":
			top(func(l *level) {
				l.safe, l.elseSafe = l.elseSafe || neverLocal(condition), l.elseSafe || alwaysLocal(condition)
			})
		case "else":
			top(func(l *level) { l.safe = l.elseSafe })
		case "endif":
			stack = stack[:max(len(stack)-1, 0)]
		}
	}
	return func(offset int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return offset >= s.from && offset < s.to })
	}
}

// neverLocal: the condition cannot hold on the local target.
func neverLocal(condition string) bool {
	if orPattern.MatchString(condition) {
		return false
	}
	return strings.Contains(condition, "systemd") && !negatedPattern.MatchString(condition) && !strings.Contains(condition, "==") ||
		notLocalPattern.MatchString(condition)
}

// alwaysLocal: where the condition fails, this is not the local target.
func alwaysLocal(condition string) bool {
	return !andPattern.MatchString(condition) && strings.Contains(condition, "systemd") && strings.HasPrefix(strings.TrimSpace(condition), "not ")
}

// unquoted finds {{ … }} with a value from pillar that does not end in |json.
func unquoted(text string) []use {
	tainted := map[string]bool{"pillar": true}
	fromPillar := func(expression string) bool {
		// What chooses between two values is not itself a value.
		expression = choicePattern.ReplaceAllString(expression, ",")
		for _, word := range wordPattern.FindAllString(stringPattern.ReplaceAllString(expression, `""`), -1) {
			if tainted[word] {
				return true
			}
		}
		return strings.Contains(expression, "pillar.get") || strings.Contains(expression, "pillar.item")
	}
	// A name may be used above where the text sets it (in a loop): twice.
	for range 2 {
		for _, m := range statementPattern.FindAllStringSubmatch(text, -1) {
			var names, value string
			switch m[1] {
			case "set":
				if s := setPattern.FindStringSubmatch(m[2]); s != nil {
					names, value = s[1], s[2]
				}
			case "for":
				if s := forPattern.FindStringSubmatch(m[2]); s != nil {
					names, value = s[1], s[2]
				}
			}
			if value != "" && fromPillar(value) && !asJSON(value) {
				for _, name := range wordPattern.FindAllString(names, -1) {
					tainted[name] = true
				}
			}
		}
	}
	// What a {% set x %} … {% endset %} gathers is a value, not yet the recipe.
	for _, m := range setBlockPattern.FindAllStringSubmatch(text, -1) {
		for _, inner := range expressionPattern.FindAllStringSubmatch(m[0], -1) {
			if fromPillar(inner[1]) {
				tainted[m[1]] = true
			}
		}
	}
	text = blank(setBlockPattern, text)
	var out []use
	for _, m := range expressionPattern.FindAllStringSubmatchIndex(text, -1) {
		expression := strings.TrimSpace(text[m[2]:m[3]])
		if fromPillar(expression) && !asJSON(expression) {
			out = append(out, use{1 + strings.Count(text[:m[0]], "\n"), strings.Join(strings.Fields(expression), " ")})
		}
	}
	return out
}

// asJSON reports whether the whole expression goes through |json: a filter
// binds more tightly than an operator, so a ~ b|json leaves a as it is.
func asJSON(expression string) bool {
	expression = strings.TrimSpace(stringPattern.ReplaceAllString(expression, `""`))
	if !jsonPattern.MatchString(expression) {
		return false
	}
	for {
		inner := groupPattern.ReplaceAllString(expression, "")
		if inner == expression {
			return !operatorPattern.MatchString(expression)
		}
		expression = inner
	}
}
