// Package diagnose turns every failure into causes: what went wrong in the
// developer's words, who can mend it and what to do next. It knows the texts
// of Salt, Terraform, git, apt and the like in tables of records; what no
// record knows is quoted, and said to be unknown.
package diagnose

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/berth-dev/berth/orchestrator"
)

// Who can mend a cause.
const (
	developer = "developer"
	ops       = "ops"
	retry     = "retry"
)

// Diagnoser implements orchestrator.Diagnoser.
type Diagnoser struct {
	// Mask gives what hides an app's settings; nil: only what looks like a
	// secret is hidden.
	Mask func(app orchestrator.App) func(string) string
}

var _ orchestrator.Diagnoser = Diagnoser{}

// Report diagnoses what a server's agent sent. branch is what was asked for.
func (d Diagnoser) Report(app orchestrator.App, branch string, r orchestrator.Report) orchestrator.Diagnosis {
	c := context{app: app, branch: branch, appLog: r.AppLog}
	if d.Mask != nil {
		c.settings = d.Mask(app)
	}
	if r.Problem != "" {
		return c.problem(r)
	}
	if r.Later && !r.Healthy {
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Causes: []orchestrator.Cause{c.health(r)}, Total: 1}
	}
	if r.Later {
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK}
	}
	out := c.salt([]byte(r.Stdout), []byte(r.Stderr), r.Exit)
	if out.Outcome == orchestrator.OutcomeOK && !r.Healthy {
		out.Outcome = orchestrator.OutcomeFailed
		out.Causes = []orchestrator.Cause{c.health(r)}
	}
	return out
}

// Terraform diagnoses the log of a Terraform run.
func (d Diagnoser) Terraform(log string) orchestrator.Diagnosis {
	out := Terraform([]byte(log), nil)
	if len(out.Causes) == 0 { // it is only asked about failures
		out.Outcome = orchestrator.OutcomeFailed
		x := &finding{code: "unknown", who: ops, sentence: `The work on the machines failed, and its log does not say why.`, next: askOps}
		c := x.cause(&failure{vars: vars{}}, newMasker(log), 0)
		c.Evidence = newMasker(log).evidence(tail(log))
		out.Causes = append(out.Causes, c)
	}
	return out
}

// Salt diagnoses what salt-call printed; exit is its exit status as a shell
// sees it, or negative if it is not known.
func Salt(stdout, stderr []byte, exit int) orchestrator.Diagnosis {
	return context{}.salt(stdout, stderr, exit)
}

// Any diagnoses an output whose kind it finds out: Terraform's JSON log or
// init's text, a cloud-init log, else a result of Salt.
func Any(input, stderr []byte, exit int) orchestrator.Diagnosis {
	switch {
	case isTerraform(input) || len(bytes.TrimSpace(input)) == 0 && isTerraform(stderr):
		return terraform(input, stderr, exit)
	case isCloudInit(input):
		return CloudInit(input)
	}
	return Salt(input, stderr, exit)
}

// context is what is known beside the texts.
type context struct {
	app    orchestrator.App
	branch string
	appLog string
	// settings hides the app's, where it is set.
	settings func(string) string
}

// masker hides the passwords of addresses in text, and the app's settings.
func (c context) masker(text string) masker {
	m := newMasker(text)
	m.settings = c.settings
	return m
}

// problem is a report of an agent that could not come as far as running Salt.
func (c context) problem(r orchestrator.Report) orchestrator.Diagnosis {
	m := c.masker(r.Problem + r.Stderr)
	f := &failure{comment: r.Problem, stderr: r.Stderr, vars: vars{"line": r.Problem, "step": c.app.Name, "name": c.app.Name, "app": c.app.Name}}
	found := match(problemRecords, f)
	if found == nil {
		found = &finding{code: "unknown", who: ops, sentence: `The server could not begin its setup: {line}`, next: askOps}
	}
	cause := found.cause(f, m, 0)
	cause.Where = c.app.Name
	cause.Evidence = m.evidence(r.Problem, r.Stderr)
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Causes: []orchestrator.Cause{cause}}
}

var problemRecords = []record{
	{code: "salt_missing", who: ops, re: later(`(?i)salt`), when: func(f *failure) bool {
		return re(`(?i)not found|missing|not installed|no such file|cannot be (?:found|run)|isn't`).MatchString(f.comment)
	}, sentence: `The program that sets up the server is not there: "{line}"`, next: askOps},
	{code: "disk_full", who: ops, re: later(diskFull), sentence: `The server's disk is full: {line}`, next: nextDisk},
	{code: "permission_denied", who: ops, re: later(`(?i)permission denied|not permitted|read-only|unwritable|not writable`),
		sentence: `The server could not begin its setup, a permission is missing: {line}`, next: askOps},
	{code: "workdir_missing", who: ops, re: later(`(?i)no such file or directory`), sentence: `The server could not begin its setup, a folder is missing: {line}`, next: askOps},
}

// health is the cause when everything was set up and the app is not well.
func (c context) health(r orchestrator.Report) orchestrator.Cause {
	m := c.masker(r.HealthDetail + r.AppLog + r.Stdout)
	line := telling(r.AppLog, "")
	f := &failure{module: "app", comment: r.HealthDetail, stderr: r.AppLog, vars: vars{"app": c.app.Name, "detail": r.HealthDetail, "line": line, "step": c.app.Name, "name": c.app.Name, "cmd": c.app.Start, "path": c.app.Health}}
	what := "it was set up and started, but is not well"
	switch {
	case c.app.Health != "":
		what = fmt.Sprintf("it was started, but %s does not answer as it should", c.app.Health)
	case c.app.Port > 0:
		what = "it was started, but its port takes no connection"
	default:
		what = "it was started, but does not stay alive"
	}
	if r.Later {
		what = "it ran, but is not well any more"
	}
	f.vars["what"] = what
	found := match(healthRecords, f)
	if r.PortTaken {
		found = &finding{code: "port_in_use", who: retry, sentence: `{app} could not start: {detail}.`, next: `"berth env retry NAME" gives it another port.`}
		if r.Later {
			found.sentence = `{app} is not well any more: {detail}.`
		}
	}
	if found == nil {
		found = &finding{code: "health_failed", who: developer, sentence: `{app}: {what} ({detail}).`, next: nextHealth}
		if line != "" {
			found.sentence = `{app}: {what} ({detail}). Its last words: "{line}"`
		}
		if r.HealthDetail == "" {
			found.sentence = strings.Replace(found.sentence, " ({detail})", "", 1)
		}
	}
	cause := found.cause(f, m, 0)
	cause.Where = c.app.Name
	cause.Evidence = m.evidence(r.HealthDetail, r.AppLog)
	return cause
}

const nextHealth = `Look at its output with "berth env logs NAME", mend the app, then "berth env deploy NAME".`

var healthRecords = []record{
	{code: "port_in_use", who: ops, text: output, re: later(portInUse), sentence: `{app} could not start: its port{port} is already taken on the server.`, next: askOps, refine: findPort},
	{code: "out_of_memory", who: ops, text: output, re: later(outOfMemory), sentence: `{app} could not stay alive: the server ran out of memory.`, next: `Make the app use less memory, push, then "berth env deploy NAME"; or ask ops to give this size more memory.`},
	{code: "disk_full", who: ops, text: output, re: later(diskFull), sentence: `{app} could not start: the server's disk is full.`, next: nextDisk},
	{code: "settings_error", who: ops, text: output, re: later(`KeyError: '(?P<key>[A-Z][A-Z0-9_]{2,})'|(?i:environment variable|env var)\W+(?P<key2>[A-Z][A-Z0-9_]{2,})\W+(?i:is )?(?i:not set|missing|required|undefined)|(?P<key3>[A-Z][A-Z0-9_]{2,}) (?i:is not set|must be set|is required)`),
		sentence: `{app} was started and misses the setting "{key}{key2}{key3}".`, next: `Ask ops to put it into the settings of the app; then "berth env retry NAME".`},
}

// compiled keeps the expressions of refinements, which run once for each failure.
var compiled sync.Map

// expression is a regular expression that is compiled when it is first asked
// for: every berth command would wait for the tables' hundreds otherwise.
type expression struct{ source string }

// expressions are all of them, for the test that compiles each.
var expressions []*expression

func later(source string) *expression {
	e := &expression{source}
	expressions = append(expressions, e)
	return e
}

func (e *expression) get() *regexp.Regexp { return re(e.source) }

// re compiles one of this package's own expressions.
func re(s string) *regexp.Regexp {
	if r, ok := compiled.Load(s); ok {
		return r.(*regexp.Regexp)
	}
	r := regexp.MustCompile(s)
	compiled.Store(s, r)
	return r
}
