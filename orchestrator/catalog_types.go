package orchestrator

import (
	"slices"
	"time"
)

// Catalog is what ops allow to be built; package catalog reads it from
// berth.hcl. Slices keep the file's order.
type Catalog struct {
	File    string // absolute path of berth.hcl
	Dir     string // its folder: all relative paths start here
	Targets []Target
	Salt    Salt
	Apps    []App
	// Credentials are named by apps, which have their own.
	Credentials []Credential
	Blueprints  []Blueprint
	Sizes       []Size
	People      []Person
	Policy      PolicySettings
	Terraform   string // version constraint, empty for the default
	State       Backend
}

// Target is where servers run. Variables are JSON-like values for its module;
// Environment names the only variables passed on from serve's environment.
// Version is that of a module from a registry.
type Target struct {
	Name        string
	Module      string
	Version     string
	Variables   map[string]any
	Environment []string
	AllowSystem bool
	// UserData is the path (absolute) of ops' own template; empty: Berth's.
	UserData string
}

// Salt says where the recipes are (absolute; empty: starter recipes only).
type Salt struct {
	States  string
	Version string
}

// App is one deployable repository. Needs maps a variable to the app whose
// address it gets. Settings is the absolute path of ops' .env, empty for none.
type App struct {
	Name          string
	Repository    string
	Branch        string
	States        []string
	Port          int
	Health        string
	HealthTimeout time.Duration // default 60 s
	Settings      string
	Build         string
	Start         string
	Needs         map[string]string
	Public        []string
	// Credential is ops' own way to read the repository; nil: none.
	Credential *Credential
	// Submodules are further repositories that its servers may read as they
	// read its own.
	Submodules []string
}

// Credential is how ops let servers read code that is not public. Of Token, Key
// and GitHubToken one is set. Files are absolute paths.
type Credential struct {
	Name     string
	Username string // with Token
	Token    string // file with a token or password
	// Key is a file with a private key for ssh, KnownHosts one with the lines by
	// which the hosts are known.
	Key        string
	KnownHosts string
	// GitHubToken hands out the token that Berth itself asks GitHub with.
	GitHubToken bool
}

// Blueprint is the set of apps that makes a full environment.
type Blueprint struct {
	Name   string
	Apps   []string
	Target string // empty: the catalog's first
}

// Size gives variables of a target's module: target name → variables.
type Size struct {
	Name      string
	Variables map[string]map[string]any
}

// Person is somebody the catalog lists.
type Person struct {
	Name   string
	Slack  string
	Email  string
	OSUser string
	Teams  []string
}

// PolicySettings is the catalog's policy block. Create, Deploy and Destroy are
// own, team or all; zero EnvironmentsPerPerson means no limit.
type PolicySettings struct {
	Lifetime              time.Duration // default 72 h
	MaxLifetime           time.Duration // default 14 d
	EnvironmentsPerPerson int
	// Warnings are how long before an environment's end its owner is warned,
	// Grace how long it lives on after a warning that came late.
	Warnings []time.Duration // default 24 h, 2 h, 30 min
	Grace    time.Duration   // default 30 min
	Ops      []string
	Create   string // default all
	Deploy   string // default all
	Destroy  string // default own
}

// Target returns the named target.
func (c *Catalog) Target(name string) (Target, bool) {
	return byName(c.Targets, name, func(t Target) string { return t.Name })
}

// App returns the named app.
func (c *Catalog) App(name string) (App, bool) {
	return byName(c.Apps, name, func(a App) string { return a.Name })
}

// Blueprint returns the named blueprint.
func (c *Catalog) Blueprint(name string) (Blueprint, bool) {
	return byName(c.Blueprints, name, func(b Blueprint) string { return b.Name })
}

// Size returns the named size.
func (c *Catalog) Size(name string) (Size, bool) {
	return byName(c.Sizes, name, func(s Size) string { return s.Name })
}

// StateVariables names the variables that reach the place of the states whatever
// is worked on: those of the block state, and those that every target passes on.
func (c *Catalog) StateVariables() []string {
	out := slices.Clone(c.State.Environment)
	if len(c.Targets) == 0 {
		return out
	}
	for _, name := range c.Targets[0].Environment {
		everywhere := !slices.ContainsFunc(c.Targets, func(t Target) bool { return !slices.Contains(t.Environment, name) })
		if everywhere && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func byName[T any](all []T, name string, key func(T) string) (T, bool) {
	for _, v := range all {
		if key(v) == name {
			return v, true
		}
	}
	var zero T
	return zero, false
}
