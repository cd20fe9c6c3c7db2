package diagnose

import (
	"path"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// commandRecords are failed commands: first what the comment says, then what
// the output tells, and in the end the exit status.
var commandRecords = join(
	[]record{
		{code: "command_timeout", who: retry, in: "cmd", text: both, re: lazyregexp.New(`Timed out after (?P<secs>[\d.]+) second`), sentence: `The command "{cmd}" (step "{step}") took too long and was stopped after {secs} seconds.`, next: tryAgain,
			samples: []sample{{step: "cmd.run sleep 20", says: "Command \"sleep 20\" run", prints: "Timed out after 1 second(s)", exit: 1, names: []string{"sleep 20", "1 second"}}}},
		{code: "command_timeout", who: retry, in: "cmd", when: func(f *failure) bool {
			return f.exit == "124" && re(`(?:^|[\s;&|/])timeout\s`).MatchString(f.vars["fullcmd"])
		}, sentence: `The command "{cmd}" (step "{step}") took too long and was stopped.`, next: tryAgain,
			samples: []sample{{step: "cmd.run timeout 60 ./tides", says: "Command \"timeout 60 ./tides\" run", exit: 124, names: []string{"timeout 60 ./tides"}}}},
		{code: "disk_full", who: ops, in: "cmd module", text: both, re: lazyregexp.New(diskFull), when: tells(diskFull), sentence: `The server's disk is full: the command "{cmd}" had no space left.`, next: nextDisk,
			samples: []sample{{step: "cmd.run make", says: "Command \"make\" run", prints: "cc1: fatal error: closing dependency file: No space left on device", exit: 2, names: []string{"make"}}}},
		{code: "out_of_memory", who: ops, in: "cmd module", text: both, re: lazyregexp.New(outOfMemory), when: tells(outOfMemory), sentence: `The command "{cmd}" (step "{step}") ran out of memory.`, next: `Ask ops to give this size more memory, or let the build use less memory; then "berth env retry NAME".`,
			samples: []sample{{step: "cmd.run npm run build", says: "Command \"npm run build\" run", prints: "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", exit: 134, names: []string{"npm run build"}}}},
		{code: "out_of_memory", who: ops, in: "cmd module", when: killed, sentence: `The command "{cmd}" (step "{step}") was killed, most likely because the server ran out of memory.`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`,
			samples: []sample{{step: "cmd.run make", says: "Command \"make\" run", exit: 137, names: []string{"make", "memory"}},
				{step: "cmd.run make", says: "Command \"make\" run", prints: "make: *** [Makefile:2: build] Killed", exit: 2, names: []string{"make", "memory"}}}},
		{code: "port_in_use", who: ops, in: "cmd module", text: both, re: lazyregexp.New(portInUse), when: tells(portInUse), refine: findPort, sentence: `The command "{cmd}" failed: the port{port} is already taken on the server.`, next: askOps,
			samples: []sample{{step: "cmd.run node server.js", says: "Command \"node server.js\" run", prints: "Error: listen EADDRINUSE: address already in use :::9000", exit: 1, names: []string{"9000"}}}},
		{code: "command_failed", who: developer, in: "cmd", re: lazyregexp.New(`^check_cmd determined the state failed`), refine: checkCommand, sentence: `The command "{cmd}" ran, but the check after it (step "{step}") did not pass{because}`, next: pushAgain,
			samples: []sample{{step: "cmd.run make site", says: "check_cmd determined the state failed", names: []string{"make site", "check"}}}},
		{code: "command_failed", who: ops, in: "cmd module", text: output, re: lazyregexp.New(`(?m)(?:^|: )(?P<tool>[^\s:]+): (?:command )?not found\s*$|(?i:executable file not found in \$PATH)|(?m)^(?:/usr/bin/)?env: ['‘]?(?P<t2>[^'’:]+)['’]?: No such file`), when: exit("127"), refine: toolMissing,
			sentence: `The command "{cmd}" failed: "{tool}" is not installed on the server.`, next: askOps, subject: "{tool}",
			samples: []sample{{step: "cmd.run yarn build", says: "Command \"yarn build\" run", prints: "/bin/bash: line 1: yarn: command not found", exit: 127, names: []string{"yarn"}}}},
		{code: "command_failed", who: ops, in: "cmd", text: output, re: lazyregexp.New(`(?m)^make(?:\[\d+\])?: (?P<tool>[\w.+-]+): (?:No such file or directory|(?i:command not found))`), refine: commandTool, sentence: `The command "{cmd}" failed: "{tool}" is not installed on the server.`, next: askOps, subject: "{tool}",
			samples: []sample{{step: "cmd.run make", says: "Command \"make\" run", prints: "make: sassc: No such file or directory\nmake: *** [Makefile:2: all] Error 127", exit: 2, names: []string{"sassc"}}}},
		// A bare name is looked for on the PATH: make says this of one that is not
		// there when the app's user may not look into one of the PATH's folders.
		{code: "command_failed", who: ops, in: "cmd", text: output, re: lazyregexp.New(`(?m)^make(?:\[\d+\])?: (?P<tool>[\w.+-]+): Permission denied`), sentence: `The command "{cmd}" failed: "{tool}" is not installed on the server, or only where the app may not run it.`, next: askOps, subject: "{tool}",
			samples: []sample{{step: "cmd.run make", says: "Command \"make\" run", prints: "make: cargo: Permission denied\nmake: *** [Makefile:2: build] Error 127", exit: 2, names: []string{"cargo", "not installed"}}}},
		{code: "command_failed", who: ops, in: "cmd", text: output, re: lazyregexp.New(`docker: unknown command: docker compose|'compose' is not a docker command|(?m)^unknown shorthand flag: 'd' in -d`), when: usesImages, sentence: `The command "{cmd}" failed: "docker compose" is not installed on the server.`, next: askOps,
			samples: []sample{{step: "cmd.run docker compose up -d", prints: "unknown shorthand flag: 'd' in -d\nSee 'docker --help'.", exit: 125, names: []string{"docker compose"}}}},
		{code: "command_failed", who: developer, in: "cmd module", text: output, re: lazyregexp.New(`(?m)(?P<script>[^\s:]+): cannot execute: required file not found|(?P<s2>[^\s:]+): (?P<tool>[^\s:]+): bad interpreter|(?:/usr/bin/)?env: ['‘]?(?P<t2>[\w.+-]+)\\?r['’]?: No such file`), when: exit("126", "127"), refine: firstLine,
			sentence: `The command "{cmd}" can't be started: the program in the first line of the script is not on the server{tool}, or the lines of the script end as on Windows.`, next: pushAgain,
			samples: []sample{
				{step: "cmd.run ./build.sh", prints: "/bin/bash: line 1: ./build.sh: cannot execute: required file not found", exit: 127, names: []string{"./build.sh", "first line"}},
				{step: "cmd.run ./build.sh", prints: "/bin/sh: 1: ./build.sh: /usr/bin/zsh: bad interpreter: No such file or directory", exit: 126, names: []string{"/usr/bin/zsh"}},
			}},
		{code: "command_failed", who: developer, in: "cmd module", text: output, re: lazyregexp.New(`(?m): Is a directory$`), when: exit("126"), sentence: `The command "{cmd}" can't be run: it names a folder, not a program.`, next: pushAgain,
			samples: []sample{{step: "cmd.run ./scripts", prints: "/bin/bash: line 1: ./scripts: Is a directory", exit: 126, names: []string{"./scripts", "folder"}}}},
		{code: "permission_denied", who: developer, in: "cmd module", when: exit("126"), refine: notExecutable, sentence: `The command "{cmd}" may not be run: permission denied (it is not executable).`, next: `Make the file executable in the repository (git update-index --chmod=+x), push, then "berth env deploy NAME".`,
			samples: []sample{{step: "cmd.run ./build", says: "Command \"./build\" run", prints: "/bin/bash: line 1: ./build: Permission denied", exit: 126, names: []string{"./build"}}}},
	},
	when(usesGit, onlyOutput("cmd", gitRecords)),
	when(usesPackages, onlyOutput("cmd", packageRecords)),
	when(usesPip, onlyOutput("cmd", pipRecords)),
	when(usesNode, onlyOutput("cmd", nodeRecords)),
	when(usesImages, onlyOutput("cmd", imageRecords)),
	[]record{
		{code: "service_unknown", who: ops, in: "cmd", text: output, re: lazyregexp.New(`Unit (?P<svc>\S+?)(?:\.service)? (?:not found|could not be found|is masked|not loaded)|Unit file (?P<s2>\S+?)(?:\.service)? (?:does not exist|is masked)`), refine: service, sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}",
			samples: []sample{{step: "cmd.run systemctl restart shop-worker", says: "Command \"systemctl restart shop-worker\" run", prints: "Failed to restart shop-worker.service: Unit shop-worker.service not found.", exit: 5, names: []string{"shop-worker"}}}},
		{code: "service_failed", who: developer, in: "cmd", text: output, re: lazyregexp.New(`Job for (?P<svc>\S+?)(?:\.service)? failed`), refine: service, sentence: `The service "{svc}" does not start.`, next: `Look at its output with "berth env logs NAME"; if it needs a setting, ask ops.`, subject: "{svc}",
			samples: []sample{{step: "cmd.run systemctl restart shop-api", says: "Command \"systemctl restart shop-api\" run", prints: "Job for shop-api.service failed because the control process exited with error code.", exit: 1, names: []string{"shop-api"}}}},
		{code: "permission_denied", who: ops, in: "cmd module", when: func(f *failure) bool { return re(denied).MatchString(f.line()) }, sentence: `The command "{cmd}" (step "{step}") has no permission for what it does: {line}`, next: askOps,
			samples: []sample{{step: "cmd.run make install", says: "Command \"make install\" run", prints: "install: cannot create regular file '/opt/shop': Permission denied", exit: 1, names: []string{"/opt/shop"}}}},
		{code: "recipe_error", who: ops, in: "cmd", re: lazyregexp.New(`^Failed parsing script output! (?P<why>[^\n]+)`), sentence: `The command "{cmd}" (step "{step}") ran, but did not print what the recipe expects of it: {why}`, next: askOpsRecipe,
			samples: []sample{{step: "cmd.run ./sync", says: "Failed parsing script output! Stdout must be JSON or a line of name=value pairs.", names: []string{"name=value"}}}},
		{code: "recipe_error", who: ops, in: "cmd", re: lazyregexp.New(`Invalidly-formatted|success_(?:retcodes|stdout|stderr) must be|getpwnam\(\) argument must be|needs a named parameter func|does not work with the watch requisite|Must be formed as`), refine: commentLine, sentence: `The recipe calls the command "{cmd}" (step "{step}") wrongly: {line}`, next: askOpsRecipe,
			samples: []sample{
				{step: "cmd.run make", says: "Invalidly-formatted 'env' parameter. See documentation.", names: []string{"'env'"}},
				{step: "cmd.run make", says: "getpwnam() argument must be str, not int", names: []string{"must be str"}},
				{step: "cmd.mod_watch make", says: "cmd.call does not work with the watch requisite, please use cmd.wait or cmd.wait_script", names: []string{"make"}},
			}},
		{code: "command_failed", who: ops, in: "cmd", when: neverRan, refine: commentLine, sentence: `The command "{cmd}" (step "{step}") could not be run: {line}`, next: askOps,
			samples: []sample{{step: "cmd.run tide 3", says: "Unable to run command '['tide', '3']' with the context '{'cwd': '/root'}', reason: [Errno 2] No such file or directory: 'tide'", names: []string{"'tide'"}}}},
		{code: "command_failed", who: developer, in: "cmd", when: ownWord, refine: ownWordWho, sentence: `The command "{cmd}" (step "{step}") failed: {line}`, next: pushAgain,
			samples: []sample{{step: "cmd.run ./reindex", says: "index is corrupt", names: []string{"index is corrupt"}}}},
		{code: "command_failed", who: developer, in: "cmd", when: exit("139", "134", "136", "132", "-11", "-6", "-8", "-4"), refine: signalOf, sentence: `The command "{cmd}" (step "{step}") crashed ({signal}){because}`, next: pushAgain,
			samples: []sample{{step: "cmd.run ./probe", says: "Command \"./probe\" run", exit: 139, names: []string{"segmentation fault"}}}},
		{code: "command_failed", who: retry, in: "cmd", when: exit("-15", "-1", "-2", "143", "129", "130"), refine: signalOf, sentence: `The command "{cmd}" (step "{step}") was stopped from outside ({signal}) before it was done{because}`, next: tryAgain,
			samples: []sample{{step: "cmd.run ./probe", says: "Command \"./probe\" run", exit: 143, names: []string{"terminated"}}}},
		{code: "command_failed", who: developer, in: "cmd", when: silent, refine: commandWho, sentence: `The command "{cmd}" (step "{step}") failed{status} and printed nothing.`, next: pushAgain,
			samples: []sample{{step: "cmd.run test -f dist/main.js", says: "Command \"test -f dist/main.js\" run", exit: 1, names: []string{"dist/main.js", "exit status 1"}}}},
		{code: "command_failed", who: developer, in: "cmd", re: lazyregexp.New(`^Command .* (?:run|failed)|^(?s:.*)$`), refine: commandWho, sentence: `The command "{cmd}" (step "{step}") failed: {line}`, next: pushAgain,
			samples: []sample{{step: "cmd.run go build ./...", says: "Command \"go build ./...\" run", prints: "# acme.io/shop\n./main.go:7:2: undefined: tide", exit: 1, names: []string{"main.go:7:2: undefined: tide"}}}},
	},
)

// workdirRecords are the folder a command runs in.
var workdirRecords = []record{
	{code: "workdir_missing", who: ops, re: lazyregexp.New(`Desired working directory "?(?P<path>[^"\n]+?)"? is not available|cwd (?P<p2>\S+) does not exist`), refine: anyPath,
		sentence: `The folder "{path}" that the command "{cmd}" should run in does not exist.`, next: askOps, subject: "{path}",
		samples: []sample{{step: "cmd.run make", says: "Desired working directory \"/srv/none/app\" is not available", names: []string{"/srv/none/app", "make"}}}},
}

// checkRecords are checks of ops' own.
var checkRecords = []record{
	{code: "settings_error", who: ops, in: "test", re: lazyregexp.New(`(?s)Pillar key "?(?P<key>[^"\n]+?)"? (?:is |was not found|must be )`), sentence: `The setting "{key}" is missing or wrong.`, next: askSettings, subject: "{key}",
		samples: []sample{{step: "test.check_pillar settings", says: "Pillar key \"shop:domain\" is missing.", names: []string{"shop:domain"}}}},
	{code: "command_failed", who: ops, in: "test", when: func(f *failure) bool { return f.comment != "" }, refine: commentLine, sentence: `A check that ops wrote stopped the setup: "{name}" ({line})`, next: askOps, subject: "{name}",
		samples: []sample{{step: "test.fail_without_changes the shop has no domain yet", says: "ask Mia", names: []string{"no domain", "ask Mia"}}}},
	{code: "command_failed", who: ops, in: "test", sentence: `A check that ops wrote stopped the setup: "{name}"`, next: askOps, subject: "{name}",
		samples: []sample{{step: "test.fail_without_changes the shop has no domain yet", says: "Failure!", names: []string{"no domain"}}}},
	{code: "command_timeout", who: retry, in: "loop", re: lazyregexp.New(`Timed out while waiting for condition (?P<what>[^\n]+)|did not produce the expected result after (?P<n>\d+) attempts`), refine: func(f *failure, _ *finding) { coalesce(f, "what", "n") }, sentence: `The step "{step}" waited for "{name}" and it did not come about in time.`, next: tryAgain, subject: "{name}",
		samples: []sample{{step: "loop.until shop.ready", says: "Timed out while waiting for condition m_ret is True", names: []string{"shop.ready"}}, {step: "loop.until_no_eval shop.ready", says: "Call did not produce the expected result after 5 attempts", names: []string{"shop.ready"}}}},
	{code: "service_failed", who: ops, in: "status process", re: lazyregexp.New(`Process signature "(?P<svc>[^"\n]+)" not found`), sentence: `The process "{svc}" should run on the server and does not.`, next: askOps, subject: "{svc}",
		samples: []sample{{step: "status.process shop-worker", says: `Process signature "shop-worker" not found`, names: []string{"shop-worker"}}}},
	{code: "command_failed", who: ops, in: "status", refine: commentLine, sentence: `A check of the server did not pass (step "{step}"): {line}`, next: askOps, subject: "{name}",
		samples: []sample{{step: "status.loadavg load", says: "Load avg above maximum of 4 at 5.2", names: []string{"5.2"}}}},
	{code: "recipe_error", who: ops, in: "loop", re: lazyregexp.New(`must be specified|Invalid operator`), refine: commentLine, sentence: `The recipe's step "{step}" is not right: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "loop.until shop.ready", says: "Period must be specified as a float in seconds", names: []string{"Period"}}}},
	{code: "command_failed", who: ops, in: "http", re: lazyregexp.New(`Status (?P<code>\d+) was not found|Match text .* was not found|(?P<any>.+)`), refine: webCheck,
		sentence: `The address "{name}" did not answer as it should{code}.`, next: tryAgain, subject: "{name}",
		samples: []sample{{step: "http.query http://127.0.0.1:80/health", says: "Status 200 was not found", names: []string{"127.0.0.1:80", "200"}}}},
}

// neverRan is a command whose comment says why it did not come to run.
func neverRan(f *failure) bool {
	return silent(f) && f.exit == "" && re(`^(?:Unable to run command|Failed to execute cmd|Attempted to render|(?i:the shell command|shell binary|unsupported shell|group argument|environment could not)|Group '|.* is not (?:available|permitted)|.* requires sudo)`).MatchString(f.comment)
}

// ownWord is a command that ran and tells in a form of its own how it ended:
// only its comment is left.
func ownWord(f *failure) bool {
	return silent(f) && f.exit == "" && f.comment != "" && !re(`^(?:Command ['"](?s:.*)['"] (?:run|failed)|Command (?:run|failed))`).MatchString(f.comment)
}

// passed is a test that went well, whatever its name says.
var passed = re(`^\s*(?:✓|✔|√|ok\b|PASS(?:ED)?\b|--- PASS|\[ *OK *\])|\.\.\. ok$|\bPASSED\b`)

// tells says whether a line that is not of a passed test holds a text.
func tells(pattern string) func(*failure) bool {
	return func(f *failure) bool {
		if re(pattern).MatchString(f.comment) {
			return true
		}
		if !re(pattern).MatchString(f.output()) {
			return false
		}
		return slices.ContainsFunc(lines(f.output()), func(l string) bool { return re(pattern).MatchString(l) && !passed.MatchString(l) })
	}
}

func exit(codes ...string) func(*failure) bool {
	return func(f *failure) bool {
		for _, c := range codes {
			if f.exit == c {
				return true
			}
		}
		return false
	}
}

func silent(f *failure) bool { return strings.TrimSpace(f.stdout+f.stderr) == "" }

// These tell which tool's texts may be looked for: a test suite can print
// anything, and only the tool's own words count.
var (
	usesGit      = tool("git", `(?m)\bgit\b`, `(?m)^fatal: |^git@\S+: Permission denied|^remote: `)
	usesPackages = tool("apt", ``, `(?m)^E: |^Err:\d+ `)
	usesPip      = tool("pip", `\bpip[\d.]*\b.*\binstall\b|\buv (?:pip|sync)\b|poetry install|pipenv (?:install|sync)|\buv run`, `No matching distribution found for|metadata-generation-failed|Could not open requirements file`)
	usesNode     = tool("npm", `\b(?:npm|pnpm|yarn|bun)\b(?:\s+\S+)*?\s+(?:ci|i|install|add)\b|^\S*yarn\s*$`, `npm (?:error|ERR!) code (?:ERESOLVE|ETARGET|E404|EUSAGE|EINTEGRITY)|ERR_PNPM_(?:OUTDATED|NO_MATCHING|FETCH)|YN00(?:28|35|82)|error Couldn't find (?:package|any versions)|error Your lockfile needs to be updated`)
	usesImages   = tool("docker", `\b(?:docker|docker-compose|podman)\b`, `Error response from daemon`)
)

// tool tells whether a command runs a tool, by its line or its output.
func tool(name, line, out string) func(*failure) bool {
	return func(f *failure) bool {
		if f.module != "cmd" {
			return false
		}
		if known, ok := f.uses[name]; ok {
			return known
		}
		if f.uses == nil {
			f.uses = map[string]bool{}
		}
		f.uses[name] = line != "" && re(line).MatchString(f.vars["fullcmd"]) || re(out).MatchString(f.output())
		return f.uses[name]
	}
}

func checkCommand(f *failure, x *finding) {
	if f.module == "cmd" {
		commandWho(f, x)
	}
	_, rest, _ := strings.Cut(f.comment, "\n")
	l := telling(rest, "")
	if l == "" && f.module != "cmd" {
		l = telling(f.stderr, f.stdout)
	}
	f.vars["because"] = "."
	if l != "" {
		f.vars["because"] = ": " + l
	}
}

func webCheck(f *failure, _ *finding) {
	if c := f.vars["code"]; c != "" {
		f.vars["code"] = " (status " + c + " was expected)"
	}
}

func findPort(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	f.vars["port"] = ""
	at := re(portInUse).FindStringIndex(text)
	if at == nil {
		return
	}
	// The port stands on the line that says so, or is told near it by name;
	// else the command may have it.
	line := text[strings.LastIndexByte(text[:at[0]], '\n')+1:]
	line, _, _ = strings.Cut(line, "\n")
	near := text[max(0, at[0]-200):min(len(text), at[1]+500)]
	for _, look := range []struct{ in, pattern string }{
		{line, `(?:[\d\]*.a-z]|::):(\d{2,5})\b`}, {line, `(?i)\bport:? (\d{2,5})`}, {line, `\('[^']*', (\d{2,5})\)`}, {line, `:::?(\d{2,5})\b`},
		{near, `(?i)\bport['"]?[:=]? ?(\d{2,5})`}, {near, `(?:\d\.\d|localhost|\*):(\d{2,5})\b`},
		{f.vars["fullcmd"], `(?i)(?:-p|--port|PORT)[ =]?(\d{2,5})\b`}, {f.vars["fullcmd"], `:(\d{2,5})\b`},
	} {
		if m := re(look.pattern).FindStringSubmatch(look.in); m != nil {
			f.vars["port"] = " " + m[1]
			return
		}
	}
}

// opsCommands set up the machine rather than the app.
var opsCommands = re(`^(?:sudo\s+|/usr/s?bin/|/s?bin/|env\s+\S+=\S+\s+)*(?:nginx|apache2ctl|apachectl|httpd|haproxy|systemctl|service|apt|apt-get|dpkg|yum|dnf|apk|snap|useradd|usermod|groupadd|adduser|addgroup|passwd|chown|chmod|chgrp|mount|umount|mkfs\S*|sysctl|modprobe|iptables|ip6tables|nft|ufw|certbot|mysql|mysqladmin|psql|createdb|createuser|pg_\w+|redis-cli|mongo|mongosh|visudo|sshd|ssh-keygen|ssh-keyscan|salt-\S+|salt://\S*|swapon|mkswap|fallocate|locale-gen|update-\S+|timedatectl|hostnamectl|loginctl|crontab|a2en\w+|a2dis\w+|supervisorctl|openssl|docker\s+(?:network|volume|login|swarm)|lvcreate|hostname)(?:\b|\s|$)`)

func commandWho(f *failure, x *finding) {
	cmd := strings.TrimSpace(f.vars["fullcmd"])
	line := f.line()
	f.vars["status"] = ""
	if f.exit != "" && f.exit != "0" {
		f.vars["status"] = " (exit status " + f.exit + ")"
	}
	if line == "" {
		f.vars["status"] = webStatus(cmd, f.exit, f.vars["status"])
	}
	switch {
	case opsCommands.MatchString(cmd):
		x.who, x.next = ops, askOps
	case re(untrusted).MatchString(line):
		x.who, x.next = ops, `Ask ops what the server should trust, or which proxy it should use; then "berth env retry NAME".`
	case re(dbRefused).MatchString(line):
		x.who, x.next = ops, `Ask ops whether the database and its account are there and set right; then "berth env retry NAME".`
	case re(noVariable).MatchString(line), strings.HasPrefix(line, "KeyError: '") && strings.Contains(f.output(), "os.environ"):
		x.who, x.next = ops, `Ask ops to put it into the settings of the app, or let the app do without it; then "berth env retry NAME".`
	case strings.Contains(f.vars["status"], "network") && !isLocalWeb(cmd):
		x.who, x.next = retry, tryAgain
	case re(offline).MatchString(line) && !isLocalWeb(cmd):
		x.who, x.next = retry, tryAgain
		if re(`(?i)127\.0\.0\.1|localhost|database|postgres|mysql|redis|OperationalError|\bdb\b`).MatchString(line + cmd) {
			x.who, x.next = ops, `Ask ops whether what it connects to runs and is set right; then "berth env retry NAME".`
		}
	case re(`returned error: 50[234]|HTTP(?:/[\d.]+)? 50[234]`).MatchString(line):
		x.who, x.next = retry, tryAgain
	case isLocalWeb(cmd):
		x.next = nextHealth
	}
	if line == "" {
		f.vars["line"] = "it did not say why" + f.vars["status"]
	}
}

// What a command's line says that ops can mend, not the developer.
const (
	untrusted  = `(?i)self[- ]signed certificate|certificate verify failed|unable to get local issuer certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT|certificate has expired|Proxy Authentication Required|from proxy after CONNECT|tunnel connection failed|PKIX path building failed`
	dbRefused  = `(?i)password authentication failed for user|Access denied for user|FATAL: +(?:database|role) .* does not exist|no pg_hba\.conf entry|Unknown database|NOAUTH|WRONGPASS|MongoServerError: (?:bad auth|Authentication failed)`
	noVariable = `(?i)environment variable:? .*(?:not found|not set|missing|required|undefined|is empty)|(?:missing|required|undefined|unset|no) environment variable|env(?:ironment)? var(?:iable)?s? .*(?:not set|missing|required)|Set the .* environment variable|The SECRET_KEY setting must not be empty`
)

// webStatus says what the exit status of a silent curl or wget means.
func webStatus(cmd, exit, status string) string {
	why := ""
	switch {
	case re(`(?:^|[\s;&|(])curl\s`).MatchString(cmd):
		why = map[string]string{"6": "network: the host was not found", "7": "network: no connection to the host", "22": "the server answered with an error", "28": "network: no answer in time", "35": "no secure connection", "60": "the certificate is not trusted"}[exit]
	case re(`(?:^|[\s;&|(])wget\s`).MatchString(cmd):
		why = map[string]string{"4": "network: no connection to the host", "5": "the certificate is not trusted", "8": "the server answered with an error"}[exit]
	}
	if why == "" {
		return status
	}
	return " (exit status " + exit + ", " + why + ")"
}

func ownWordWho(f *failure, x *finding) {
	commentLine(f, x)
	commandWho(f, x)
}

// firstLine names the program that a script asks for.
func firstLine(f *failure, _ *finding) {
	coalesce(f, "tool", "t2")
	if f.vars["tool"] != "" {
		f.vars["tool"] = ` ("` + f.vars["tool"] + `")`
	}
}

// isLocalWeb says whether a command asks the app itself whether it is well.
func isLocalWeb(cmd string) bool {
	return re(`(?:^|[\s;&|(])(?:curl|wget|https?|nc)\s.*(?:127\.0\.0\.1|localhost|\[::1\])`).MatchString(cmd)
}

// toolMissing tells a tool that the server lacks (for ops) from one that the
// app's own build should have brought along.
func toolMissing(f *failure, x *finding) {
	tool := coalesce(f, "tool", "t2")
	if tool == "" {
		tool = strings.Fields(f.vars["fullcmd"] + " it")[0]
	}
	f.vars["tool"] = path.Base(tool)
	cmd := f.vars["fullcmd"]
	if !strings.Contains(cmd, path.Base(tool)) {
		x.who = developer
		x.sentence = `The command "{cmd}" (step "{step}") failed: the tool "{tool}" is not there.`
		x.next = `If the app should bring it along, add it to its dependencies; else ask ops to install it.`
	} else if strings.HasPrefix(tool, "./") || strings.Contains(tool, "node_modules") || strings.Contains(tool, "/venv/") || strings.Contains(tool, "vendor/") {
		x.who = developer
		x.sentence = `The command "{cmd}" failed: "{tool}" is not there.`
		x.next = pushAgain
	}
}

// killed says whether a command ended by a signal that nothing but the kernel
// sends, or make says so of what it ran.
func killed(f *failure) bool {
	return f.exit == "137" || f.exit == "-9" || re(`(?m)^make(?:\[\d+\])?: \*\*\* \[[^\]\n]*\] Killed$`).MatchString(f.stderr)
}

func commandTool(f *failure, _ *finding) { f.vars["tool"] = path.Base(f.vars["tool"]) }

func notExecutable(f *failure, x *finding) {
	if strings.HasPrefix(strings.TrimSpace(f.vars["fullcmd"]), "/") && !strings.Contains(f.vars["fullcmd"], "/src/") {
		x.who, x.next = ops, askOps
	}
}

// signals are what a command's exit status says of the signal that ended it, as
// Python (negative) and shells (128 and more) give it.
var signals = map[string]string{
	"139": "segmentation fault", "-11": "segmentation fault", "134": "aborted", "-6": "aborted", "136": "arithmetic error", "-8": "arithmetic error",
	"132": "illegal instruction", "-4": "illegal instruction", "143": "terminated", "-15": "terminated", "129": "hung up", "-1": "hung up", "130": "interrupted", "-2": "interrupted",
}

func signalOf(f *failure, _ *finding) {
	f.vars["signal"], f.vars["because"] = signals[f.exit], "."
	if l := f.line(); l != "" {
		f.vars["because"] = ": " + l
	}
}
