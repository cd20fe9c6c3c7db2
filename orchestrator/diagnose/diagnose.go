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
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Who can mend a cause.
const (
	developer = "developer"
	ops       = "ops"
	retry     = "retry"
)

// Diagnoser implements orchestrator.Diagnoser.
type Diagnoser struct{}

var _ orchestrator.Diagnoser = Diagnoser{}

// Report diagnoses what a server's agent sent. branch is what was asked for,
// hide takes the settings out of a text; nil: only what looks like a secret is
// hidden.
func (d Diagnoser) Report(app orchestrator.App, branch string, r orchestrator.Report, hide func(string) string) orchestrator.Diagnosis {
	c := context{app: app, branch: branch, appLog: r.AppLog, settings: hide}
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
	if r.Installing {
		return c.installing(r)
	}
	m := c.masker(r.Problem + r.Stderr)
	f := &failure{comment: r.Problem, stderr: r.Stderr, vars: vars{"line": r.Problem, "step": c.app.Name, "name": c.app.Name, "app": c.app.Name}}
	found := match(fetchRecords, f)
	if found == nil {
		found = match(problemRecords, f)
	}
	if found == nil {
		found = &finding{code: "unknown", who: ops, sentence: `The server could not begin its setup: {line}`, next: askOps}
	}
	cause := found.cause(f, m, 0)
	cause.Where = c.app.Name
	cause.Evidence = m.evidence(r.Problem, r.Stderr)
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Causes: []orchestrator.Cause{cause}}
}

// installing is a report of an agent whose machine has not got Salt: what its
// installers print is what a first start fails with.
func (c context) installing(r orchestrator.Report) orchestrator.Diagnosis {
	m := c.masker(r.Problem + r.Stderr)
	text := firstStart(r.Stderr)
	f := &failure{vars: vars{"line": quoteSalt(telling(text, "")), "name": c.app.Name, "app": c.app.Name}}
	if f.vars["line"] == "" {
		f.vars["line"] = r.Problem
	}
	found := firstStartCause(f, text)
	if found == nil {
		found = &finding{code: "salt_missing", who: ops, sentence: `The program that sets up servers could not be installed on the machine: {line}`, next: askOps}
	}
	cause := found.cause(f, m, 0)
	cause.Where = c.app.Name
	cause.Evidence = m.evidence(r.Problem, tail(r.Stderr))
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Causes: []orchestrator.Cause{cause}}
}

var problemRecords = []record{
	{code: "salt_missing", who: ops, re: lazyregexp.New(`(?i)salt`), when: func(f *failure) bool {
		return re(`(?i)not found|missing|not installed|no such file|cannot be (?:found|run)|isn't`).MatchString(f.comment)
	}, sentence: `The program that sets up the server is not there: "{line}"`, next: askOps,
		samples: []sample{{says: "salt-call was not found in PATH", names: []string{"salt-call"}}, {says: "fork/exec /opt/berth/salt/bin/salt-call: no such file or directory", names: []string{"/opt/berth/salt/bin/salt-call"}}}},
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The server's disk is full: {line}`, next: nextDisk,
		samples: []sample{{says: "write /var/lib/berth/desired.json: no space left on device", names: []string{"/var/lib/berth"}}}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(`(?i)permission denied|not permitted|read-only|unwritable|not writable`),
		sentence: `The server could not begin its setup, a permission is missing: {line}`, next: askOps,
		samples: []sample{{says: "The folder /srv/shop is not writable: permission denied", names: []string{"/srv/shop"}}, {says: "open /etc/berth/agent.json: permission denied", names: []string{"/etc/berth/agent.json"}}}},
	{code: "workdir_missing", who: ops, re: lazyregexp.New(`(?i)no such file or directory`), sentence: `The server could not begin its setup, a folder is missing: {line}`, next: askOps,
		samples: []sample{{says: "open /var/lib/berth/states: no such file or directory", names: []string{"/var/lib/berth/states"}}}},
}

// ofAgentItself is what the agent notes among the app's own output.
var ofAgentItself = lazyregexp.New(`(?m)^\[berth\] .*$`)

// health is the cause when everything was set up and the app is not well.
func (c context) health(r orchestrator.Report) orchestrator.Cause {
	m := c.masker(r.HealthDetail + r.AppLog + r.Stdout)
	said := ofAgentItself.ReplaceAllString(r.AppLog, "")
	line := telling(said, "")
	f := &failure{module: "app", comment: r.HealthDetail, stderr: said, vars: vars{"app": c.app.Name, "detail": r.HealthDetail, "line": line, "step": c.app.Name, "name": c.app.Name, "cmd": c.app.Start, "start": c.app.Start, "path": c.app.Health}}
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
		f.vars["later"] = "yes"
	}
	f.vars["what"] = what
	found := match(healthRecords, f)
	if r.PortTaken {
		// How often the app ended for it would leave no room for it.
		f.vars["detail"] = r.HealthDetail[max(0, strings.Index(r.HealthDetail, "port ")):]
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
		if !r.Later && re(`^nothing listened on port \d+ within `).MatchString(r.HealthDetail) {
			found.next = `If it only needs longer, ask ops for a longer health_timeout; else look` + strings.TrimPrefix(nextHealth, "Look")
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

const nextMemory = `Make the app use less memory, push, then "berth env deploy NAME"; or ask ops to give this size more memory.`

const nextHealth = `Look at its output with "berth env logs NAME", mend the app, then "berth env deploy NAME".`

const (
	nextReach = `Ask ops whether what it needs runs, and whether its setting has the right address; then "berth env retry NAME".`
	// endedHow is how an agent says that an app ended.
	endedHow = `^the app (?P<how>ended(?: with exit status \d+)?|was ended by signal \d+)(?: \((?P<n>\d+) times\))?`
)

// healthRecords are why an app that was set up and started is not well. They
// look at what its agent saw, or at what the app printed.
var healthRecords = []record{
	{code: "port_in_use", who: ops, text: output, re: lazyregexp.New(portInUse), sentence: `{app} could not start: its port{port} is already taken on the server.`, next: askOps, refine: findPort,
		samples: []sample{{says: "the app ended with exit status 1", prints: "OSError: [Errno 98] Address already in use: ('', 8080)", names: []string{"shop", "8080"}}, {says: "nothing listened on port 3000 within 1m0s", prints: "Error: listen EADDRINUSE: address already in use :::3000", names: []string{"3000"}}}},
	{code: "out_of_memory", who: ops, text: output, re: lazyregexp.New(outOfMemory), sentence: `{app} could not stay alive: the server ran out of memory.`, next: nextMemory,
		samples: []sample{{says: "the app was ended by signal 6 (2 times)", prints: "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", names: []string{"shop"}}}},
	{code: "disk_full", who: ops, text: output, re: lazyregexp.New(diskFull), sentence: `{app} could not start: the server's disk is full.`, next: nextDisk,
		samples: []sample{{says: "the app ended with exit status 1", prints: "OSError: [Errno 28] No space left on device: '/srv/shop/cache'", names: []string{"shop"}}}},
	{code: "settings_error", who: ops, text: output, re: lazyregexp.New(`KeyError: '(?P<key>[A-Z][A-Z0-9_]{2,})'|(?i:environment variable|env var)\W+(?P<key2>[A-Z][A-Z0-9_]{2,})\W+(?i:is )?(?i:not set|missing|required|undefined)|(?P<key3>[A-Z][A-Z0-9_]{2,}):? (?i:is not set|must be set|is required|is missing|not set|parameter not set)|key not found: "(?P<key4>[A-Z][A-Z0-9_]{2,})"|(?i:missing|required) (?i:required )?(?i:environment variable|env var|setting)s?:? ['"]?(?P<key5>[A-Z][A-Z0-9_]{2,})|could not find environment variable "(?P<key6>[A-Z][A-Z0-9_]{2,})"|(?P<key7>[A-Z][A-Z0-9_]{2,})['"]? (?i:(?:environment|env) var(?:iable)?) (?i:is )?(?i:not set|missing|required|undefined)`), refine: func(f *failure, _ *finding) { coalesce(f, "key", "key2", "key3", "key4", "key5", "key6", "key7") },
		sentence: `{app} was started and misses the setting "{key}".`, next: `Ask ops to put it into the settings of the app; then "berth env retry NAME".`,
		samples: []sample{
			{says: "the app ended with exit status 1", prints: "Traceback (most recent call last):\n  File \"app.py\", line 1\nKeyError: 'DATABASE_URL'", names: []string{"DATABASE_URL"}},
			{says: "the app ended with exit status 1", prints: "Error: Missing required environment variable: STRIPE_KEY", names: []string{"STRIPE_KEY"}},
			{says: "the app ended with exit status 1", prints: "Configuration error: API_BASE environment variable is not set", names: []string{"API_BASE"}},
			{says: "the app ended with exit status 2", prints: "/bin/sh: 1: SMTP_HOST: parameter not set", names: []string{"SMTP_HOST"}},
			{says: "the app ended with exit status 1", prints: "config.rb:3:in 'fetch': key not found: \"REDIS_URL\" (KeyError)", names: []string{"REDIS_URL"}},
		}},
	{code: "settings_error", who: ops, text: output, re: lazyregexp.New(`(?m)^.*(?:password authentication failed for user|Access denied for user|NOAUTH|WRONGPASS|SCRAM authentication failed|role "[^"\n]+" does not exist|database "[^"\n]+" does not exist|Unknown database).*$`), when: notRefusing, refine: outputLine,
		sentence: `{app} was started, but its database does not let it in: {line}`, next: `Ask ops to check the database's name, user and password in the settings of the app; then "berth env retry NAME".`,
		samples: []sample{
			{says: "the app ended with exit status 1 (4 times)", prints: `psycopg.OperationalError: connection failed: FATAL:  password authentication failed for user "shop"`, names: []string{"shop", "password authentication failed"}},
			{says: "GET /healthz answered 503 within 1m0s", prints: `pq: database "shop_qa" does not exist`, names: []string{"shop_qa"}},
		}},
	{code: "dependency_unreachable", who: ops, text: output, re: lazyregexp.New(`(?m)^.*(?:connect E(?:CONNREFUSED|TIMEDOUT|HOSTUNREACH) \S+|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) \S+|dial tcp:? [^\n]*(?:refused|no such host|i/o timeout|unreachable|misbehaving)|connection to server at [^\n]*failed|[Cc]ould not (?:connect to server|translate host name)|Can't connect to (?:MySQL|MariaDB|local) |[Ee]rror -?\d+ connecting to \S+|\[Errno (?:110|111|113|-2|-3)\]|Connection(?: to \S+)? refused|Name or service not known|Temporary failure in name resolution|Max retries exceeded with url|Mongo\w*ServerSelectionError|ServerSelectionTimeoutError).*$`), when: notRefusing, refine: outputLine,
		sentence: `{app} was started, but does not reach what it needs: {line}`, next: nextReach,
		samples: []sample{
			{says: "the app ended with exit status 1 (5 times); nothing listened on port 41001", prints: "Error: connect ECONNREFUSED 127.0.0.1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)", names: []string{"127.0.0.1:5432"}},
			{says: "the app ended with exit status 1", prints: `psycopg2.OperationalError: connection to server at "db" (10.0.0.3), port 5432 failed: Connection refused`, names: []string{"port 5432"}},
			{says: "GET /healthz answered 503 within 1m0s", prints: "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379. Connection refused.", names: []string{"cache:6379"}},
			{says: "the app ended with exit status 1", prints: "panic: dial tcp: lookup orders-api on 127.0.0.53:53: no such host", names: []string{"orders-api"}},
			{says: "the app ended with exit status 1", prints: "Error: getaddrinfo ENOTFOUND mongo.acme.io", names: []string{"mongo.acme.io"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^there is nothing to start`), sentence: `{app} was set up, but nothing says how it is started.`, next: `Give its Makefile a target "run" or "start" and push, or ask ops to set its start command; then "berth env deploy NAME".`,
		samples: []sample{{says: "there is nothing to start: the catalog has no start for this app, and its Makefile no target run or start", names: []string{"shop"}}}},
	{code: "health_failed", who: developer, text: output, re: lazyregexp.New(`(?m)^(?:/bin/)?(?:ba|da)?sh: (?:line )?(?:\d+: )?(?:exec: )?(?P<cmd>[^\s:]+): (?:command )?(?:not found|[Pp]ermission denied)|^make: (?P<c2>[^\s:]+): (?:No such file or directory|Permission denied)`), when: func(f *failure) bool { return re(endedHow).MatchString(f.comment) }, refine: func(f *failure, x *finding) {
		coalesce(f, "cmd", "c2")
		if strings.Contains(f.vars["start"], f.vars["cmd"]) {
			x.next = `Let the build install it, push, then "berth env deploy NAME"; if the start command is wrong, ask ops: it is in their catalog.`
		}
	},
		sentence: `{app} could not be started: its start command needs "{cmd}", which is not on the server or can't be run.`, next: `Mend the start command, or let the build install what it needs; push, then "berth env deploy NAME".`,
		samples: []sample{
			{says: "the app ended with exit status 127 (6 times); nothing listened on port 41001", prints: "/bin/sh: 1: gunicorn: not found", names: []string{"gunicorn"}},
			{says: "the app ended with exit status 126", prints: "/bin/sh: 1: ./start.sh: Permission denied", names: []string{"./start.sh"}},
			{says: "the app ended with exit status 2", prints: "make: uvicorn: No such file or directory\nmake: *** [Makefile:4: run] Error 127", names: []string{"uvicorn"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^the app could not be started: (?P<why>[^;]+?)(?: \(\d+ times\))?(?:;.*)?$`), sentence: `{app} could not be started: {why}.`, next: nextHealth,
		samples: []sample{{says: "the app could not be started: the folder /srv/shop is not there (3 times); nothing listened on port 41001", names: []string{"/srv/shop is not there"}}}},
	{code: "out_of_memory", who: ops, re: lazyregexp.New(`^the app was ended by signal 9(?: \((?P<n>\d+) times\))?`), refine: times,
		sentence: `{app} does not stay up: it was killed from outside{times}, most likely for want of memory.`, next: nextMemory,
		samples: []sample{{says: "the app was ended by signal 9 (3 times); nothing listened on port 41001", prints: "Loading model ...", names: []string{"3 times", "memory"}}}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^the app ended with exit status 0(?: \((?P<n>\d+) times\))?(?:;.*)?$`), refine: times,
		sentence: `{app} does not stay up: it ended without an error{times} (exit status 0). Its start command has to stay in the foreground.`, next: nextHealth,
		samples: []sample{{says: "the app ended with exit status 0 (4 times); it has to stay in the foreground; nothing listened on port 41001", prints: "started in the background", names: []string{"4 times", "foreground"}}}},
	{code: "health_failed", who: developer, re: lazyregexp.New(endedHow), refine: func(f *failure, x *finding) {
		times(f, x)
		lastWords(f, x)
	}, sentence: `{app} does not stay up: it {how}{times}.`, next: nextHealth,
		samples: []sample{
			{says: "the app ended with exit status 3 (7 times); nothing listened on port 41001", prints: "RuntimeError: no such table: orders", names: []string{"exit status 3", "7 times", "no such table: orders"}},
			{says: "the app was ended by signal 11; nothing listened on port 41001", names: []string{"signal 11"}},
			{says: "the app ended (4 times); it was started again each time", prints: "RuntimeError: no such table: orders", names: []string{"4 times", "no such table: orders"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^nothing (?:listened|took a connection) on port (?P<port>\d+) within \S+; the app listens on (?P<where>port [\d, ]*\d) instead`),
		sentence: `{app} runs, but listens on {where} instead of port {port}: it has to take its port from PORT.`, next: `Let the app listen on the port that the variable PORT has, push, then "berth env deploy NAME".`,
		samples: []sample{
			{says: "nothing listened on port 41001 within 1m0s; the app listens on port 3000 instead", names: []string{"port 3000", "41001"}},
			{says: "nothing took a connection on port 41001 within 20s; the app listens on port 3000, 9229 instead", prints: "Debugger listening on ws://127.0.0.1:9229/x", names: []string{"port 3000, 9229", "41001"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^nothing (?:listened|took a connection) on port (?P<port>\d+)`), when: elsewhere, sentence: `{app} runs, but listens on {where} instead of port {port}: it has to take its port from PORT.`, next: `Let the app listen on the port that the variable PORT has, push, then "berth env deploy NAME".`,
		samples: []sample{
			{says: "nothing listened on port 41001 within 1m0s", prints: "Server listening on port 3000", names: []string{"port 3000", "41001"}},
			{says: "nothing listened on port 41001 within 1m0s", prints: "[2026-11-24 10:00:00 +0000] [7] [INFO] Listening at: http://127.0.0.1:8000 (7)", names: []string{"port 8000"}},
			{says: "nothing listened on port 41001 within 1m0s", prints: "Tomcat started on port(s): 8080 (http) with context path ''", names: []string{"port 8080"}},
			{says: "nothing took a connection on port 41001 within 1m0s", prints: "  > Local:    http://localhost:5173/", names: []string{"port 5173"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^nothing (?:listened|took a connection) on port (?P<port>\d+)`), when: atAnother, sentence: `{app} runs, but listens on the address {where} alone: it has to listen on 0.0.0.0 or 127.0.0.1, port {port}.`, next: `Let the app listen on 0.0.0.0, push, then "berth env deploy NAME".`,
		samples: []sample{{says: "nothing listened on port 41001 within 1m0s", prints: "Listening on http://10.0.0.5:41001", names: []string{"10.0.0.5", "41001"}}}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^GET (?P<path>\S+) answered (?P<status>404|405|410)\b`), when: atFirst,
		sentence: `{app} runs, but does not know "{path}", by which Berth sees whether it is well: it answered {status}.`, next: `Let the app answer there, or ask ops to set another health path; then "berth env deploy NAME".`,
		samples: []sample{{says: "GET /healthz answered 404 within 1m0s", names: []string{"/healthz", "404"}}}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^GET (?P<path>\S+) answered (?P<status>401|403|407)\b`), when: atFirst,
		sentence: `{app} runs, but wants a sign-in at "{path}", by which Berth sees whether it is well: it answered {status}.`, next: `Let the app answer there without a sign-in, or ask ops to set another health path; then "berth env deploy NAME".`,
		samples: []sample{{says: "GET /healthz answered 401 within 1m0s", names: []string{"/healthz", "401"}}}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^GET (?P<path>\S+) answered (?P<status>\d+)`), when: atFirst, refine: lastWords,
		sentence: `{app} runs, but "{path}" answered {status}.`, next: nextHealth,
		samples: []sample{
			{says: "GET /healthz answered 500 within 1m0s", prints: "RuntimeError: no such table: orders", names: []string{"/healthz", "500", "no such table: orders"}},
			{says: "GET /healthz answered 503 within 1m0s", names: []string{"503"}},
		}},
	{code: "health_failed", who: developer, re: lazyregexp.New(`^GET (?P<path>\S+) on port (?P<port>\d+) gave no answer(?: within (?P<for>\S+))?`), when: atFirst, refine: func(f *failure, x *finding) {
		if f.vars["within"] = ""; f.vars["for"] != "" {
			f.vars["within"] = " within " + f.vars["for"]
		}
		lastWords(f, x)
	},
		sentence: `{app} takes connections on port {port}, but "{path}" gave no answer{within}.`, next: nextHealth,
		samples: []sample{{says: "GET /healthz on port 41001 gave no answer within 1m0s", prints: "waiting for migrations", names: []string{"/healthz", "41001", "no answer within 1m0s"}}}},
}

// notRefusing says that the app is not just asked for what it does not serve.
func notRefusing(f *failure) bool { return !re(`\banswered 4\d\d\b`).MatchString(f.comment) }

// atFirst says that the app has not been well before.
func atFirst(f *failure) bool { return f.vars["later"] == "" }

// outputLine quotes the line of the app's output that the record knew.
func outputLine(f *failure, x *finding) {
	line, _, _ := strings.Cut(x.of.re.FindString(f.output()), "\n")
	f.vars["line"] = strings.TrimSpace(prefixes.ReplaceAllString(strings.TrimSpace(line), ""))
}

// times says how often an app ended.
func times(f *failure, _ *finding) {
	if f.vars["times"] = ""; f.vars["n"] != "" {
		f.vars["times"] = " (" + f.vars["n"] + " times)"
	}
}

// lastWords adds the most telling line of the app's output.
func lastWords(f *failure, x *finding) {
	f.told = true
	if f.vars["line"] = telling(f.stderr, ""); f.vars["line"] != "" && f.vars["line"] != f.comment {
		x.sentence += ` Its last words: "{line}"`
	}
}

// listens is how servers say where they listen.
const listens = `(?im)(?:\b(?:listening|running|serving|started|available|bound)(?: [\w'-]+){0,2}? ?(?:on|at|to):? +(?:port(?:\(s\))?:? *)?|\b(?:local|network):\s+)(?:\w+://)?(?:(\[[0-9a-f:]*\]|localhost|\*|\d+\.\d+\.\d+\.\d+|):)?([1-9]\d{1,4})(?:[/\s,;)(.]|$)`

// listening is where the app said last that it listens.
func listening(f *failure) (host, port string) {
	all := re(listens).FindAllStringSubmatch(f.output(), -1)
	if len(all) == 0 {
		return "", ""
	}
	last := all[len(all)-1]
	return last[1], last[2]
}

// elsewhere says that the app listens on another port than it should.
func elsewhere(f *failure) bool {
	_, port := listening(f)
	f.vars["where"] = "port " + port
	return port != "" && !strings.Contains(f.comment+" ", " on port "+port+" ")
}

// atAnother says that the app listens on another address than it should.
func atAnother(f *failure) bool {
	host, port := listening(f)
	f.vars["where"] = host
	return port != "" && re(`^\d`).MatchString(host) && !re(`^(?:0\.0\.0\.0|127\.)`).MatchString(host)
}

// compiled keeps the expressions of refinements, which run once for each failure.
var compiled sync.Map

// re compiles one of this package's own expressions.
func re(s string) *regexp.Regexp {
	if r, ok := compiled.Load(s); ok {
		return r.(*regexp.Regexp)
	}
	r := regexp.MustCompile(s)
	compiled.Store(s, r)
	return r
}
