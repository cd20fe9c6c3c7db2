package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

// Known is what the program itself brings, and what it has found.
type Known struct {
	Modules []string // built-in Terraform modules
	// ModuleFiles holds them, a folder each; nil: they are not checked.
	ModuleFiles fs.FS
	SaltCall    string // path of salt-call; empty: recipes are read, not compiled
}

// Verify checks what Load does, and goes on to what the catalog names: modules,
// the settings' contents, and the recipes, which Salt compiles with values that
// would break out of a careless one. Warnings, each with its place, are no
// reason to refuse the catalog.
func Verify(ctx context.Context, path string, known Known) (c *orchestrator.Catalog, warnings []string, err error) {
	src, err := readCatalog(path)
	if err != nil {
		return nil, nil, err
	}
	l, err := parse(path, src)
	if err != nil {
		return nil, nil, err
	}
	v := verifier{loader: l, known: known, starter: starterRecipes(), seen: map[string]inspection{}, values: map[string]map[string]string{}}
	v.modules()
	v.userData()
	v.people()
	v.settings()
	v.recipes()
	v.compile(ctx)
	return l.cat, v.warnings, l.err()
}

// Recipes says what is wrong with the recipes of a catalog that is good itself,
// if anything is: they are read and compiled, as Verify does.
func Recipes(ctx context.Context, c *orchestrator.Catalog, known Known) error {
	if c.Salt.States == "" {
		return nil
	}
	l := &loader{path: c.File, cat: c}
	v := verifier{loader: l, known: known, starter: starterRecipes(), seen: map[string]inspection{}, values: map[string]map[string]string{}}
	for _, a := range c.Apps {
		if a.Settings == "" {
			continue
		}
		if _, found, err := Settings(a.Settings); err == nil { // else the app is not compiled with any
			v.values[a.Name] = found
		}
	}
	for _, a := range c.Apps {
		for _, name := range a.States {
			if recipeFile(c.Salt.States, name) == "" && !slices.Contains(v.starter, name) {
				v.at(hcl.Range{Filename: c.File, Start: hcl.Pos{Line: 1}}, "app %s: there is no recipe %q in %s.", a.Name, name, c.Salt.States)
			}
		}
	}
	v.recipes()
	v.compile(ctx)
	err := l.err()
	var e *orchestrator.Error
	if errors.As(err, &e) {
		return e.WithHint("berth validate says it again; until it is mended, the last recipes that compiled stay in force")
	}
	return err
}

// CheckSettings says what is wrong in the settings files of a catalog that is
// good itself, if anything is.
func CheckSettings(c *orchestrator.Catalog) error {
	v := verifier{loader: &loader{path: c.File, cat: c}, values: map[string]map[string]string{}}
	v.readSettings()
	return v.err()
}

type verifier struct {
	*loader
	known    Known
	starter  []string                     // Berth's own recipes
	values   map[string]map[string]string // app → its settings
	unknown  []string                     // state functions that recipes use and Salt does not have here
	seen     map[string]inspection        // files of recipes already read
	warnings []string
}

// inFile tells of something that is wrong in another file than the catalog.
func (v *verifier) inFile(file string, line int, format string, args ...any) {
	v.at(hcl.Range{Filename: file, Start: hcl.Pos{Line: line}}, format, args...)
}

// people warns of ops whom the catalog does not list but may have meant: a name
// that is not listed is that of an account.
func (v *verifier) people() {
	var known []string
	for _, p := range v.cat.People {
		known = append(known, p.Name)
	}
	for i, name := range v.cat.Policy.Ops {
		if near := orchestrator.Near(name, known); !slices.Contains(known, name) && i < len(v.ops) && len(near) > 0 {
			v.warn(v.path, v.ops[i].Start.Line, "ops: there is no person %q, so this is taken for an account's name. Did you mean %s?", name, quoted(near, "or"))
		}
	}
}

// userData checks the targets' templates of user-data.
func (v *verifier) userData() {
	for _, t := range v.cat.Targets {
		if info, err := os.Stat(t.UserData); t.UserData == "" || err != nil || !info.Mode().IsRegular() {
			continue // Load has told
		}
		if err := templates.CheckTemplate(t.UserData); err != nil {
			v.at(v.loader.userData[t.Name], "%v", err)
		}
	}
}

// readSettings parses every settings file.
func (v *verifier) readSettings() {
	for _, a := range v.cat.Apps {
		if a.Settings == "" || settingsThere(a.Settings) != nil {
			continue // Load has told
		}
		_, found, err := Settings(a.Settings)
		if err != nil {
			v.problems = append(v.problems, problem{text: fmt.Sprintf("%s It is the settings file of app %s.", err, a.Name)})
			continue
		}
		v.values[a.Name] = found
	}
}

// settings parses every settings file, and looks for needs that no environment
// of a blueprint could meet.
func (v *verifier) settings() {
	v.readSettings()
	for _, a := range v.cat.Apps {
		if _, read := v.values[a.Name]; !read {
			continue
		}
		if info, err := os.Stat(a.Settings); err == nil && info.Mode().Perm()&0o004 != 0 && passable(a.Settings) {
			v.warn(a.Settings, 1, "everybody on this machine can read these settings, the apps of servers included: chmod o-r %s.", a.Settings)
		}
	}
	for _, a := range v.cat.Apps {
		v.open(a)
	}
	for _, b := range v.cat.Blueprints {
		for _, name := range b.Apps {
			a, _ := v.cat.App(name)
			for _, key := range sortedNeeds(a.Needs) {
				if !slices.Contains(b.Apps, a.Needs[key]) && v.values[name][key] == "" {
					v.warn(v.path, v.needs[name][key].Start.Line, "blueprint %s has %s but not %s, and the settings of %s give no %s: its environments will be refused.", b.Name, name, a.Needs[key], name, key)
				}
			}
		}
	}
	if len(v.cat.Apps) == 0 && len(v.problems) == 0 {
		v.warn(v.path, 1, "the catalog has no app yet, so there is nothing to deploy.")
	}
}

// open looks at the settings that may be shown: a name that the settings lack
// was probably meant to be another one, and one that is called like a secret
// may be one.
func (v *verifier) open(a orchestrator.App) {
	given, read := v.values[a.Name]
	if a.Settings != "" && !read {
		return // the file is told about already
	}
	for i, name := range a.Public {
		place := v.public[a.Name][i]
		_, has := given[name]
		_, need := a.Needs[name]
		switch {
		case !has && !need && name != "PORT": // Berth sets these
			v.warn(v.path, place.Start.Line, "public: the settings of app %s have no %s, so nothing of it is shown.%s", a.Name, name, v.didYouMean(name, slices.Sorted(maps.Keys(given))))
		case has && orchestrator.LooksSecret(name):
			v.warn(v.path, place.Start.Line, "public: %s of app %s is called like a secret, and its value will be shown in logs and answers.", name, a.Name)
		}
	}
}

// passable: others may enter every folder above the file.
func passable(file string) bool {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func (v *verifier) warn(file string, line int, format string, args ...any) {
	v.warnings = append(v.warnings, fmt.Sprintf("%s:%d: ", file, line)+fmt.Sprintf(format, args...))
}

// recipeName is the name of the recipe at a path without .sls.
func recipeName(name string) string {
	if path.Base(name) == "init" {
		name = path.Dir(name)
	}
	return strings.ReplaceAll(name, "/", ".")
}

// protected is a target whose recipes may not change the machine; empty: none.
func (v *verifier) protected() string {
	for _, t := range v.cat.Targets {
		if t.Module == "local" && !t.AllowSystem {
			return t.Name
		}
	}
	return ""
}

// recipes checks that each recipe exists and reads those of the team.
func (v *verifier) recipes() {
	local := v.protected()
	mine := teamRecipes(v.cat.Salt.States)
	for _, a := range v.cat.Apps {
		for i, name := range a.States {
			file := recipeFile(v.cat.Salt.States, name)
			switch {
			case file != "":
				v.recipe(file, local)
			case slices.Contains(v.starter, name):
			case statePattern.MatchString(name) && i < len(v.states[a.Name]):
				where := "there is no folder of recipes (salt { states = … })"
				if v.cat.Salt.States != "" {
					where = "not in " + v.cat.Salt.States
				}
				v.at(v.states[a.Name][i], "states: there is no recipe %q: %s, and no starter recipe is called that.%s", name, where,
					v.didYouMean(name, append(slices.Clone(mine), v.starter...)))
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
			out = append(out, recipeName(strings.TrimSuffix(filepath.ToSlash(rel), ".sls")))
		}
		return nil
	})
	sort.Strings(out)
	return out
}

// starterRecipes names Berth's own recipes.
func starterRecipes() []string {
	var out []string
	_ = fs.WalkDir(templates.Recipes(), ".", func(name string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(name, ".sls"); ok && err == nil {
			out = append(out, recipeName(name))
		}
		return nil // they are embedded: reading them does not fail
	})
	return out
}

// recipe reads one SLS of the team and what it includes.
func (v *verifier) recipe(file, local string) {
	if _, done := v.seen[file]; done {
		return
	}
	v.seen[file] = inspection{}
	raw, err := readRegular(file)
	if err != nil {
		v.inFile(file, 1, "the recipe cannot be read: %s.", plain(err))
		return
	}
	found := inspectRecipe(string(raw))
	v.seen[file] = found
	if found.program {
		if v.known.SaltCall == "" {
			v.warn(file, 1, "this recipe is a program, which Berth does not read: see for yourself that it changes nothing outside of berth.root.")
		}
		return
	}
	if local != "" {
		for _, use := range found.system {
			v.system(file, use.line, use.text, local)
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

// system refuses what changes the machine itself, where that is Berth's own.
func (v *verifier) system(file string, line int, what, local string) {
	v.inFileOnce(file, line, "the recipe uses %s, which changes the machine itself, and target %q is this machine. Put it inside {%% if pillar['berth']['systemd'] %%}, or set allow_system = true in the target.", what, local)
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
