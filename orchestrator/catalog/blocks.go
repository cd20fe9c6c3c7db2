package catalog

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/dotenv"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// The defaults of what a catalog leaves out.
const (
	defaultSalt          = "3008.3"
	defaultLifetime      = 3 * 24 * time.Hour
	defaultMaxLifetime   = 14 * 24 * time.Hour
	defaultHealthTimeout = time.Minute
	// Longer than that, and the operation that waits for it has given up.
	maxHealthTimeout = 30 * time.Minute
	defaultGrace     = 30 * time.Minute
	// Ends are looked for once a minute.
	minWarning  = time.Minute
	maxWarnings = 10
)

// defaultWarnings are a day, two hours and half an hour before the end.
func defaultWarnings() []time.Duration {
	return []time.Duration{24 * time.Hour, 2 * time.Hour, 30 * time.Minute}
}

var (
	namePattern   = lazyregexp.New(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)
	personPattern = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)
	statePattern  = lazyregexp.New(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	saltPattern   = lazyregexp.New(`^[0-9]+(\.[0-9]+){0,2}$`)
	slackPattern  = lazyregexp.New(`^[UW][A-Z0-9]+$`)
	modulePattern = lazyregexp.New(`^[a-z][a-z0-9_-]*$`)
	helperPattern = lazyregexp.New(`^[A-Za-z0-9+.-]+::`)
	// tokenPattern is a login that is rather a token: by its prefix, or longer
	// than names are.
	tokenPattern       = lazyregexp.New(`^(gh[a-z]_|github_pat_|glpat-|ATB|x-token-auth).*|^[A-Za-z0-9_-]{30,}$`)
	scpPasswordPattern = lazyregexp.New(`^[^/@:]+:[^/@]*@[^/:]+:`)
	scpPattern         = lazyregexp.New(`^[^/:]+:`)
)

// reserved are the words of the grammar: a name that is one of them could not
// be told from it.
var reserved = func() map[string]string {
	m := map[string]string{}
	for _, key := range []string{"ttl", "size", "name", "env", "app", "target"} {
		m[key] = "a key of the commands"
	}
	for _, v := range []orchestrator.Verb{
		orchestrator.VerbCreate, orchestrator.VerbList, orchestrator.VerbShow, orchestrator.VerbWhy, orchestrator.VerbLogs,
		orchestrator.VerbHistory, orchestrator.VerbPlan, orchestrator.VerbDeploy, orchestrator.VerbRetry, orchestrator.VerbRepair, orchestrator.VerbCancel,
		orchestrator.VerbDestroy, orchestrator.VerbExtend, orchestrator.VerbRename, orchestrator.VerbHelp,
	} {
		m[string(v)] = "a verb of the commands"
	}
	return m
}()

// setByBerth are a module block's own arguments and what Berth gives to every
// module, localByBerth what it gives to the module local besides.
var (
	setByBerth   = []string{"source", "version", "providers", "count", "for_each", "depends_on", "lifecycle", "environment_id", "servers", "tags"}
	localByBerth = []string{"berth", "root", "salt_call", "git_config"}
)

// blockTypes is every block of a catalog, in the order of the documentation.
var blockTypes = []string{"target", "state", "salt", "terraform", "app", "credential", "blueprint", "size", "person", "policy"}

// file reads the whole catalog.
func (l *loader) file(body *hclsyntax.Body) {
	l.cat.Salt.Version = defaultSalt
	l.cat.Policy = orchestrator.PolicySettings{Lifetime: defaultLifetime, MaxLifetime: defaultMaxLifetime,
		Warnings: defaultWarnings(), Grace: defaultGrace, Create: "all", Deploy: "all", Destroy: "own"}
	for _, name := range sortedAttributes(body) {
		l.at(body.Attributes[name].NameRange, "%q stands outside of any block.%s", name, l.didYouMean(name, blockTypes))
	}
	first := map[string]hcl.Range{}
	for _, b := range body.Blocks {
		read, labels := l.reader(b.Type)
		if read == nil {
			l.at(b.TypeRange, "There is no block %q.%s", b.Type, l.didYouMean(b.Type, blockTypes))
			continue
		}
		if len(b.Labels) != labels {
			if labels == 1 {
				l.at(b.TypeRange, "%s needs one name: %s \"NAME\" { … }.", upperFirst(article(b.Type)), b.Type)
			} else {
				l.at(b.LabelRanges[0], "%s takes no name: %s { … }.", b.Type, b.Type)
			}
			continue
		}
		key, place, what := b.Type, b.TypeRange, b.Type
		if labels == 1 {
			key, place, what = b.Type+" "+b.Labels[0], b.LabelRanges[0], fmt.Sprintf("%s %q", b.Type, b.Labels[0])
			l.name(b)
		}
		if at, twice := first[key]; twice {
			l.at(place, "There is already a block %s, at line %d: give it once, or another name.", what, at.Start.Line)
			continue
		}
		first[key] = place
		read(what, b)
	}
	if len(l.cat.Targets) == 0 && len(first) == len(body.Blocks) {
		l.at(l.start(), "The catalog has no target, so there is nowhere to make servers. Expected at least: target \"local\" { module = \"local\" }.")
	}
	for _, check := range l.refs {
		check()
	}
	l.cycles()
}

func (l *loader) reader(blockType string) (func(what string, b *hclsyntax.Block), int) {
	switch blockType {
	case "target":
		return l.target, 1
	case "state":
		return l.state, 1
	case "salt":
		return l.salt, 0
	case "terraform":
		return l.terraform, 0
	case "app":
		return l.app, 1
	case "credential":
		return l.credential, 1
	case "blueprint":
		return l.blueprint, 1
	case "size":
		return l.size, 1
	case "person":
		return l.person, 1
	case "policy":
		return l.policy, 0
	}
	return nil, 0
}

func (l *loader) name(b *hclsyntax.Block) {
	name, rng := b.Labels[0], b.LabelRanges[0]
	if b.Type == "person" {
		if !personPattern.MatchString(name) {
			l.at(rng, "%q cannot name a person: expected letters, digits and . _ - @ +, at most 64.", name)
		}
		return
	}
	if !namePattern.MatchString(name) {
		l.at(rng, "%q cannot name %s: expected a small letter, then small letters, digits and hyphens, at most 32, not ending in a hyphen.%s",
			name, article(b.Type), l.fold(name))
		return
	}
	if why, ok := reserved[name]; ok {
		l.at(rng, "%s cannot be called %q: that is %s. Choose another name.", upperFirst(article(b.Type)), name, why)
	}
}

// fold offers the name that a malformed one would be.
func (l *loader) fold(name string) string {
	s := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-0123456789")
	if !namePattern.MatchString(s) || reserved[s] != "" {
		return ""
	}
	l.near = append(l.near, s)
	return fmt.Sprintf(" Did you mean %q?", s)
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func sortedAttributes(b *hclsyntax.Body) []string {
	out := make([]string, 0, len(b.Attributes))
	for name := range b.Attributes {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// attributes reports what a block does not know, and gives a lookup for what
// it does.
func (l *loader) attributes(what string, b *hclsyntax.Block, known ...string) func(name string) hclsyntax.Expression {
	for _, name := range sortedAttributes(b.Body) {
		if !slices.Contains(known, name) {
			l.at(b.Body.Attributes[name].NameRange, "%s has no attribute %q.%s", what, name, l.didYouMean(name, known))
		}
	}
	for _, inner := range b.Body.Blocks {
		if slices.Contains(known, inner.Type) {
			l.at(inner.TypeRange, "%s: write %s = { … }, with an equals sign.", what, inner.Type)
		} else {
			l.at(inner.TypeRange, "%s cannot hold a block %q.%s", what, inner.Type, l.didYouMean(inner.Type, known))
		}
	}
	return func(name string) hclsyntax.Expression {
		if a, ok := b.Body.Attributes[name]; ok {
			return a.Expr
		}
		return nil
	}
}

func (l *loader) target(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "module", "version", "variables", "environment", "allow_system", "user_data")
	t := orchestrator.Target{Name: b.Labels[0]}
	if e := get("module"); e == nil {
		l.at(b.TypeRange, "%s has no module. Expected: module = \"local\", the name of a cloud's module, or \"./modules/ours\".", what)
	} else if s, ok := l.text("module", e); ok {
		l.module[t.Name] = e.Range()
		t.Module = l.modulePath(s, e.Range())
		at := e.Range()
		if e := get("version"); e != nil {
			t.Version, _ = l.text("version", e)
			at = e.Range()
		}
		if t.Module != "" {
			l.pinned(t.Module, t.Version, e.Range(), at)
		}
	}
	if e := get("variables"); e != nil {
		variables, places, _ := l.object("variables", e)
		t.Variables, l.variablePlace[t.Name] = variables, places
		for _, name := range slices.Sorted(maps.Keys(places)) {
			switch {
			case slices.Contains(setByBerth, name):
				l.at(places[name], "variables: %q is set by Berth itself. Give the module's variable another name.", name)
			case t.Module == "local" && slices.Contains(localByBerth, name):
				l.at(places[name], "variables: the module \"local\" gets %q from Berth itself.", name)
			}
		}
	}
	if e := get("environment"); e != nil {
		names, places, _ := l.list("environment", e)
		for i, name := range names {
			switch {
			case !dotenv.IsKey(name):
				l.at(places[i], "environment: %q cannot be the name of an environment variable.", name)
			case strings.HasPrefix(name, "BERTH_"):
				l.at(places[i], "environment: %s belongs to Berth and never reaches Terraform.", name)
			default:
				t.Environment = append(t.Environment, name)
				l.environment[t.Name] = append(l.environment[t.Name], places[i])
			}
		}
	}
	if e := get("allow_system"); e != nil {
		t.AllowSystem = l.boolean("allow_system", e)
	}
	if e := get("user_data"); e != nil {
		if s, ok := l.text("user_data", e); ok {
			t.UserData = l.resolve(s)
			l.userData[t.Name] = e.Range()
			if info, err := os.Stat(t.UserData); err != nil || !info.Mode().IsRegular() {
				l.at(e.Range(), "user_data: there is no file %s.", t.UserData)
			} else if t.Module == "local" {
				l.at(e.Range(), "user_data: servers of the module \"local\" are no machines of their own, so nothing reads it.")
			}
		}
	}
	l.cat.Targets = append(l.cat.Targets, t)
}

// hasTerraform says whether a folder can be a module: Terraform reads *.tf and
// *.tf.json.
func hasTerraform(dir string) bool {
	return slices.ContainsFunc([]string{"*.tf", "*.tf.json"}, func(pattern string) bool {
		files, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is valid
		return len(files) > 0
	})
}

// modulePath makes a local module absolute; everything else is a built-in name
// or a source that Terraform understands.
func (l *loader) modulePath(s string, rng hcl.Range) string {
	switch {
	case s == "":
		l.at(rng, "module is empty. Expected: \"local\", the name of a cloud's module, or \"./modules/ours\".")
		return ""
	case strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || s == "." || s == ".." || filepath.IsAbs(s):
		dir := l.resolve(s)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			l.at(rng, "module: there is no folder %s.", dir)
		} else if !hasTerraform(dir) {
			l.at(rng, "module: the folder %s has no .tf file.", dir)
		}
		return dir
	case strings.ContainsAny(s, "\n\x00"):
		l.at(rng, "module must be one line.")
	case !strings.ContainsAny(s, "/.:") && !modulePattern.MatchString(s):
		l.at(rng, "module: %q is neither the name of a module of Berth's, nor a path (./…), nor a source of Terraform's.", s)
	}
	return s
}

// resolve makes a path of the catalog absolute.
func (l *loader) resolve(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(l.cat.Dir, s)
}

func (l *loader) salt(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "states", "version")
	if e := get("states"); e != nil {
		if s, ok := l.text("states", e); ok {
			l.cat.Salt.States = l.resolve(s)
			if info, err := os.Stat(l.cat.Salt.States); s == "" || err != nil || !info.IsDir() {
				l.at(e.Range(), "states: there is no folder %s. Make it, or leave states out to use the starter recipe alone.", l.cat.Salt.States)
			}
		}
	}
	if e := get("version"); e != nil {
		if s, ok := l.text("version", e); ok {
			if !saltPattern.MatchString(s) {
				l.at(e.Range(), "version: %q is no version of Salt. Expected such as %q.", s, defaultSalt)
			}
			l.cat.Salt.Version = s
		}
	}
}

func (l *loader) terraform(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "version")
	e := get("version")
	if e == nil {
		return
	}
	if s, ok := l.text("version", e); ok {
		if _, err := version.NewConstraint(s); err != nil {
			l.at(e.Range(), "version: %q is no version constraint. Expected such as \"~> 1.9\" or \">= 1.5.7, < 2.0\".", s)
		}
		l.cat.Terraform = s
	}
}

func (l *loader) app(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "repository", "branch", "states", "port", "health", "health_timeout", "settings", "build", "start", "needs", "public", "credential", "submodules")
	a := orchestrator.App{Name: b.Labels[0], Branch: "main", States: []string{"app"}, HealthTimeout: defaultHealthTimeout}
	if e := get("repository"); e == nil {
		l.at(b.TypeRange, "%s has no repository. Expected: repository = \"https://github.com/acme/%s\", anything that git can clone.", what, a.Name)
	} else if s, ok := l.text("repository", e); ok {
		a.Repository = l.repository(s, e.Range())
	}
	l.appText(&a, get)
	if e := get("states"); e != nil {
		if names, places, ok := l.list("states", e); ok {
			if len(names) == 0 {
				l.at(e.Range(), "states is empty. Expected at least [\"app\"], the starter recipe.")
			}
			for i, name := range names {
				if slices.Contains(names[:i], name) {
					l.at(places[i], "states names %q twice.", name)
				}
				if !statePattern.MatchString(name) {
					l.at(places[i], "states: %q is no name of a recipe. Expected such as \"app\" or \"web.nginx\", without .sls.", name)
				}
			}
			a.States, l.states[a.Name] = names, places
		}
	}
	if e := get("port"); e != nil {
		if n, ok := l.integer("port", e); ok {
			if n < 1 || n > 65535 {
				l.at(e.Range(), "port must be from 1 to 65535, not %d.", n)
			}
			a.Port = n
		}
	}
	if e := get("health"); e != nil {
		if s, ok := l.text("health", e); ok {
			if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, blankOrControl) {
				l.at(e.Range(), "health must be a path that begins with a slash, such as \"/healthz\", not %q.", s)
			} else if get("port") == nil {
				l.at(e.Range(), "%s has a health path but no port to ask it on. Expected: port = 8080.", what)
			}
			a.Health = s
		}
	}
	if e := get("health_timeout"); e != nil {
		if d, ok := l.duration("health_timeout", e); ok {
			if d > maxHealthTimeout {
				l.at(e.Range(), "health_timeout may be %s at most.", "30m")
			}
			a.HealthTimeout = d
		}
	}
	if e := get("settings"); e != nil {
		if s, ok := l.text("settings", e); ok {
			a.Settings = l.resolve(s)
			if err := settingsThere(a.Settings); err != nil {
				l.at(e.Range(), "settings: the settings file %s of app %s %s. Ops own it: ask them to write it (it may be empty).", a.Settings, a.Name, err)
			}
		}
	}
	if e := get("needs"); e != nil {
		a.Needs = l.needsOf(a.Name, e)
	}
	if e := get("public"); e != nil {
		names, places, _ := l.list("public", e)
		for i, name := range names {
			if !dotenv.IsKey(name) {
				l.at(places[i], "public: %q cannot be the name of a setting. Expected such as \"API_URL\".", name)
				continue
			}
			a.Public, l.public[a.Name] = append(a.Public, name), append(l.public[a.Name], places[i])
		}
	}
	if e := get("submodules"); e != nil {
		l.submodules(&a, e)
	}
	if e := get("credential"); e != nil {
		if s, ok := l.text("credential", e); ok {
			l.credentialOf(a.Name, e.Range(), s)
		}
	}
	l.cat.Apps = append(l.cat.Apps, a)
}

// appText reads an app's plain texts.
func (l *loader) appText(a *orchestrator.App, get func(string) hclsyntax.Expression) {
	for _, f := range []struct {
		name string
		to   *string
	}{{"branch", &a.Branch}, {"build", &a.Build}, {"start", &a.Start}} {
		e := get(f.name)
		if e == nil {
			continue
		}
		s, ok := l.text(f.name, e)
		if !ok {
			continue
		}
		if strings.ContainsRune(s, 0) || f.name == "branch" && (s == "" || strings.HasPrefix(s, "-") || strings.ContainsFunc(s, blankOrControl)) {
			l.at(e.Range(), "%s: %q cannot be a %s.", f.name, s, f.name)
			continue
		}
		*f.to = s
	}
}

func blankOrControl(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// repository accepts what git can clone without running another program, and
// makes a path absolute. Nothing that may be a secret is repeated.
func (l *loader) repository(s string, rng hcl.Range) string {
	const secret = "repository has a %s in it. Secrets never stand in the catalog: leave it out, and name a credential for the app (docs/private-code.md)."
	switch {
	case strings.TrimSpace(s) == "" || s != strings.TrimSpace(s) || strings.ContainsFunc(s, unicode.IsControl):
		l.at(rng, "repository: %q is no address. Expected such as \"https://github.com/acme/api\" or \"git@github.com:acme/api\".", s)
	case strings.HasPrefix(s, "-"):
		l.at(rng, "repository: %q begins with a hyphen, which git would take for an option.", s)
	case helperPattern.MatchString(s):
		l.at(rng, "repository: %q would run a program of git's. Expected an http, https, ssh, git or file address, or a path.", s)
	case strings.Contains(s, "://"):
		u, err := url.Parse(s)
		if err != nil {
			l.at(rng, "repository is no address. Expected such as \"https://github.com/acme/api\".")
			return s
		}
		_, password := u.User.Password()
		web := u.Scheme == "http" || u.Scheme == "https"
		switch {
		case !web && !slices.Contains([]string{"ssh", "git", "file"}, u.Scheme):
			l.at(rng, "repository: Berth clones over http, https, ssh, git and file, not %q.", u.Scheme)
		case password:
			l.at(rng, secret, "password")
		case web && tokenPattern.MatchString(u.User.Username()), web && u.RawQuery != "":
			l.at(rng, secret, "token")
		case u.Host == "" && u.Scheme != "file":
			l.at(rng, "repository: %q names no host. Expected such as \"https://github.com/acme/api\".", s)
		case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-"):
			l.at(rng, "repository: %q has a host that begins with a hyphen, which ssh would take for an option.", s)
		}
	case scpPasswordPattern.MatchString(s):
		l.at(rng, secret, "password")
	case !scpPattern.MatchString(s):
		return l.resolve(s)
	default:
		login, _, _ := strings.Cut(s, ":")
		if _, host, ok := strings.Cut(login, "@"); ok && strings.HasPrefix(host, "-") {
			l.at(rng, "repository: %q has a host that begins with a hyphen, which ssh would take for an option.", s)
		}
	}
	return s
}

func (l *loader) needsOf(app string, e hclsyntax.Expression) map[string]string {
	items, ok := l.pairs("needs", e, `{ API_URL = "api" }`)
	if !ok {
		return nil
	}
	out := map[string]string{}
	l.needs[app] = map[string]hcl.Range{}
	for _, p := range items {
		if !dotenv.IsKey(p.key) || p.key == "PORT" {
			l.at(p.keyRange, "needs: %q cannot be the variable that gets an address. Expected such as API_URL (PORT is the app's own).", p.key)
			continue
		}
		needed, ok := l.text("needs."+p.key, p.value)
		if !ok {
			continue
		}
		out[p.key] = needed
		l.needs[app][p.key] = p.value.Range()
		l.refs = append(l.refs, func() {
			switch a, ok := l.cat.App(needed); {
			case needed == app:
				l.at(p.value.Range(), "needs.%s: %s cannot need itself.", p.key, app)
			case !ok:
				l.at(p.value.Range(), "needs.%s: there is no app %q.%s", p.key, needed, l.didYouMean(needed, l.appNames(app)))
			case a.Port == 0:
				l.at(p.value.Range(), "needs.%s: app %s has no port, so it has no address to give. Add port = … to it.", p.key, needed)
			}
		})
	}
	return out
}

func (l *loader) appNames(but string) []string {
	var out []string
	for _, a := range l.cat.Apps {
		if a.Name != but {
			out = append(out, a.Name)
		}
	}
	return out
}

// cycles refuses apps that need one another in a circle: none of them could be
// the first to be ready.
func (l *loader) cycles() {
	const visiting, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		a, ok := l.cat.App(name)
		if !ok || state[name] == done {
			return
		}
		state[name] = visiting
		path = append(path, name)
		for _, p := range sortedNeeds(a.Needs) {
			needed := a.Needs[p]
			if needed == name {
				continue // told already
			}
			if state[needed] == visiting {
				circle := append(slices.Clone(path[slices.Index(path, needed):]), needed)
				l.at(l.needs[name][p], "needs go in a circle: %s. One of them must do without the other's address.", strings.Join(circle, " → "))
				continue
			}
			visit(needed)
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, a := range l.cat.Apps {
		visit(a.Name)
	}
}

func sortedNeeds(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (l *loader) blueprint(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "apps", "target")
	bp := orchestrator.Blueprint{Name: b.Labels[0]}
	if e := get("apps"); e == nil {
		l.at(b.TypeRange, "%s has no apps. Expected: apps = [\"api\", \"web\"].", what)
	} else if names, places, ok := l.list("apps", e); ok {
		if len(names) == 0 {
			l.at(e.Range(), "%s has an empty list of apps.", what)
		}
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				l.at(places[i], "%s names app %q twice: an environment has one server an app.", what, name)
			}
			l.refs = append(l.refs, func() {
				if _, ok := l.cat.App(name); !ok {
					l.at(places[i], "%s: there is no app %q.%s", what, name, l.didYouMean(name, l.appNames("")))
				}
			})
		}
		bp.Apps = names
	}
	if e := get("target"); e != nil {
		if s, ok := l.text("target", e); ok {
			bp.Target = s
			l.refs = append(l.refs, func() { l.knownTarget(what, s, e.Range()) })
		}
	}
	l.cat.Blueprints = append(l.cat.Blueprints, bp)
}

func (l *loader) knownTarget(what, name string, rng hcl.Range) {
	if _, ok := l.cat.Target(name); ok {
		return
	}
	var known []string
	for _, t := range l.cat.Targets {
		known = append(known, t.Name)
	}
	l.at(rng, "%s: there is no target %q.%s", what, name, l.didYouMean(name, known))
}

func (l *loader) size(what string, b *hclsyntax.Block) {
	z := orchestrator.Size{Name: b.Labels[0], Variables: map[string]map[string]any{}}
	for _, name := range sortedAttributes(b.Body) {
		a := b.Body.Attributes[name]
		l.refs = append(l.refs, func() { l.knownTarget(what, name, a.NameRange) })
		if variables, places, ok := l.object(name, a.Expr); ok {
			z.Variables[name] = variables
			if l.sizePlace[z.Name] == nil {
				l.sizePlace[z.Name] = map[string]map[string]hcl.Range{}
			}
			l.sizePlace[z.Name][name] = places
		}
	}
	for _, inner := range b.Body.Blocks {
		l.at(inner.TypeRange, "%s: write %s = { … }, with an equals sign.", what, inner.Type)
	}
	l.cat.Sizes = append(l.cat.Sizes, z)
}

func (l *loader) person(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "slack", "email", "os_user", "teams")
	p := orchestrator.Person{Name: b.Labels[0]}
	for _, f := range []struct {
		name, want string
		to         *string
		valid      func(string) bool
		of         func(orchestrator.Person) string
	}{
		{"slack", "a Slack member ID such as \"U024BE7LH\"", &p.Slack, slackPattern.MatchString, func(p orchestrator.Person) string { return p.Slack }},
		{"email", "an address such as \"maria@example.com\"", &p.Email, validEmail, func(p orchestrator.Person) string { return strings.ToLower(p.Email) }},
		{"os_user", "the name of an account on Berth's machine", &p.OSUser, personPattern.MatchString, func(p orchestrator.Person) string { return p.OSUser }},
	} {
		e := get(f.name)
		if e == nil {
			continue
		}
		s, ok := l.text(f.name, e)
		if !ok {
			continue
		}
		if !f.valid(s) {
			l.at(e.Range(), "%s: %q is not valid. Expected %s.", f.name, s, f.want)
			continue
		}
		*f.to = s
		for _, other := range l.cat.People {
			if f.of(other) == f.of(p) {
				// Two people with one identity: each could act as the other.
				l.at(e.Range(), "%s: %q is already that of person %q.", f.name, s, other.Name)
			}
		}
	}
	if e := get("teams"); e != nil {
		names, places, _ := l.list("teams", e)
		for i, name := range names {
			if !personPattern.MatchString(name) {
				l.at(places[i], "teams: %q cannot name a team: expected letters, digits and . _ - @ +.", name)
			}
		}
		p.Teams = names
	}
	l.cat.People = append(l.cat.People, p)
}

func validEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " \t\r\n<>")
}

func (l *loader) policy(what string, b *hclsyntax.Block) {
	get := l.attributes(what, b, "lifetime", "max_lifetime", "environments_per_person", "warnings", "grace", "ops", "create", "deploy", "destroy")
	p := &l.cat.Policy
	for _, f := range []struct {
		name string
		to   *time.Duration
	}{{"lifetime", &p.Lifetime}, {"max_lifetime", &p.MaxLifetime}} {
		if e := get(f.name); e != nil {
			if d, ok := l.duration(f.name, e); ok {
				*f.to = d
			}
		}
	}
	if p.Lifetime > p.MaxLifetime {
		switch longest, given := get("max_lifetime"), get("lifetime"); {
		case given == nil:
			// Only the maximum was given, and it is under our default.
			p.Lifetime = p.MaxLifetime
		case longest == nil:
			l.at(given.Range(), "lifetime is longer than the maximum of 14d. Give max_lifetime too.")
		default:
			l.at(given.Range(), "lifetime is longer than max_lifetime (line %d).", longest.Range().Start.Line)
		}
	}
	if e := get("warnings"); e != nil {
		p.Warnings = l.warnings(e, p.MaxLifetime)
	}
	if e := get("grace"); e != nil {
		if d, ok := l.duration("grace", e); ok {
			if d < minWarning {
				l.at(e.Range(), "grace must be 1m or more.")
			}
			p.Grace = d
		}
	}
	if e := get("environments_per_person"); e != nil {
		if n, ok := l.integer("environments_per_person", e); ok {
			if n < 0 {
				l.at(e.Range(), "environments_per_person must be 1 or more, or 0 for no limit.")
			}
			p.EnvironmentsPerPerson = n
		}
	}
	if e := get("ops"); e != nil {
		names, places, _ := l.list("ops", e)
		for i, name := range names {
			if !personPattern.MatchString(name) {
				l.at(places[i], "ops: %q cannot name a person.", name)
			}
		}
		p.Ops, l.ops = names, places
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{"create", &p.Create}, {"deploy", &p.Deploy}, {"destroy", &p.Destroy}} {
		e := get(f.name)
		if e == nil {
			continue
		}
		s, ok := l.text(f.name, e)
		if !ok {
			continue
		}
		if values := []string{"own", "team", "all"}; !slices.Contains(values, s) {
			l.at(e.Range(), "%s: %q is no rule.%s", f.name, s, l.didYouMean(s, values))
			continue
		}
		*f.to = s
	}
}

// warnings reads how long before an environment's end its owner is warned, the
// longest first. An empty list turns warnings off.
func (l *loader) warnings(e hclsyntax.Expression, longest time.Duration) []time.Duration {
	tuple, ok := e.(*hclsyntax.TupleConsExpr)
	if !ok {
		if _, valid := l.value("warnings", e); valid {
			l.at(e.Range(), "warnings must be a list of durations, such as [\"24h\", \"2h\", \"30m\"], or [] for none.")
		}
		return nil
	}
	out := []time.Duration{}
	for _, item := range tuple.Exprs {
		d, ok := l.duration("each of warnings", item)
		switch {
		case !ok:
		case d < minWarning:
			l.at(item.Range(), "warnings: a warning must come 1m before the end, or earlier.")
		case d > longest:
			l.at(item.Range(), "warnings: no environment lives that long, so this warning would never be given: see max_lifetime.")
		case slices.Contains(out, d):
			l.at(item.Range(), "warnings names %s twice.", l.code(item.Range()))
		default:
			out = append(out, d)
		}
	}
	if len(out) > maxWarnings {
		l.at(e.Range(), "warnings may be %d at most: more are no help.", maxWarnings)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}
