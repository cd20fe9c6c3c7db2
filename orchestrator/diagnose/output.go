package diagnose

import (
	"regexp"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// A failed command says much; one line of it tells most. These rules come from
// how tools write: compilers name the first error first, interpreters the
// exception last, and build tools end with a line of their own that tells nothing.

// maxOutput bounds what is looked at of an output, in bytes: tools say why at
// the end, and sometimes at the beginning. maxLine bounds a line.
const (
	maxOutput = 15 << 10
	maxLine   = 500
)

var (
	noiseLine = lazyregexp.New(`(?i)^(?:` +
		`exit status \d+|[.EFsxX]+\s+\[ *\d+%\]|-- (?:configuring incomplete|generating).*|see also ".*|found \d+ (?:errors?|problems?)\b.*|✖ \d+ problems?.*|\d+ (?:failing|passing|failed|passed|errors?|static files copied)\b.*|\[?elifecycle\]?.*|` +
		`=+ (?:test session starts|failures|errors|short test summary info|warnings summary.*|.*\d+ (?:failed|passed|errors?)\b.*) =+|_{3,} .* _{3,}|(?:test suites|tests|snapshots|time|ran all test suites)[:.].*|fail\s+\S+\s+(?:\[build failed\]|[\d.]+m?s)|` +
		`\s*(?:\|\s*)?raise \w[\w.]*\(.*|\s*(?:generatedmessage|actual|operator|hostname|diff|dest): .*|\s*expected: .*,|build failed with \d+ errors?:|error during build:|errors?:|exited with (?:code|status) \d+.*|` +
		`make(?:\[\d+\])?: \*\*\* \[.*\] Error \d+.*|make(?:\[\d+\])?: (?:Entering|Leaving) .*|` +
		`collect2: error: ld returned .*|compilation terminated\.?|` +
		`npm (?:err!|error) (?:a complete log|code |errno |syscall |path |command |for a full report|.*_logs/|\S*\.log$).*|npm (?:err!|error)?\s*|npm (?:warn|notice).*|npm (?:err!|error) lifecycle script .*|` +
		`error: command failed.*|error command failed with exit code.*|info visit https?://.*|` +
		`\s*at .*\(?.*:\d+:\d+\)?|\s*at [\w.$<>/@-]+\(.*\)|\s*\.\.\. \d+ more|\s*from \S+:\d+:in .*|\s*at .* in \S+:line \d+|\s*#\d+ .*|note: run with .*backtrace.*|stack backtrace:|node\.js v\d.*|\s*throw \w+;?.*|node:.*:\d+|node:internal.*|.*\{$|[\s{}\[\]^~|=_.*#+<>-]*|` +
		`traceback \(most recent call last\):|\s*file ".*", line \d+.*|during handling of the above exception.*|the above exception was the direct cause.*|` +
		`ran \d+ tests? in .*|failed \((?:failures|errors)=.*|ok|` +
		`tar(?: \(child\))?: (?:error is not recoverable|exiting with failure|child returned status).*|\[error\] (?:compilation error|failed to execute goal|build failure|re-run|to see|for more|after correcting|-> \[help).*|\[error\]\s*|` +
		`[x✗✖] build failed.*|\[info\] build failure|failed to compile\.?|> build failed because of .*|error: prisma schema validation\b.*|error code: \w+|\S* ?build failed(?: in .*)?\.?|error #\d+ .*|application failed to start|rake aborted!|command failed with status \(\d+\)|error message:|rsync error: .*|bin/(?:rails|rake) .*|\S*(?:rails|rake) aborted!|standarderror: an error has occurred, this and all later migrations canceled.*|error: command finished with error:.*|error\s+run failed: .*|running scope as unit: .*|error: process completed with exit code.*|` +
		`note: this .* (?:issue|error) .*|hint: see above.*|╰─> see above.*|\[end of output\]|` +
		`\s*(?:errno|code|syscall|address|port|path|requirestack): .*|` +
		`(?:run|try|use) .{0,60}(?:--help|--stacktrace|--info).*|\* try:|\* get more help.*|build failed(?: with an exception\.| in .*)?|` +
		`\+\+? .*|> .*|\$ .*|.* additional info follows:` +
		`)$`)
	exception  = lazyregexp.New(`^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Fault|NotFound|Refused|Denied|DoesNotExist|ImproperlyConfigured)(?:: .*| \[.*)?$|^(?:django|sqlalchemy|psycopg2?|pymysql|redis|requests|botocore)\.[\w.]+: .*`)
	strongLine = lazyregexp.New(`^Module not found: |^Cannot query field |^Unable to resolve symbol: |^Failed to configure |^Migrations are pending|^would reformat |^Plugin \[id: .* was not found|^The file "[^"]+" does not contain |^"[^"]+" does not contain valid |^rsync: |\[\w+Error\] |cannot find -l|^Type error: |^e: |(?:^|[\s:(])(?:fatal error|fatal|error|ERROR|Error|FATAL|Fatal error|panic|\[emerg\]|\[error\]|\[crit\])(?:\[\w+\])?(?: TS\d+)?:? |\berror TS\d+|undefined reference|cannot find |No rule to make target|SyntaxError|AssertionError|FAIL:|^--- FAIL|\bFAILED\b|Cannot find module|ModuleNotFoundError|unclosed|Caused by: `)
	weakLine   = lazyregexp.New(`(?i)error|fail|cannot|can't|could not|couldn't|unable|not found|no such|denied|refused|missing|invalid|unknown|undefined|unexpected|broken|expected|killed|segmentation|abort|timed out|timeout|not allowed|does not|doesn't|exceed|conflict|usage:|forbidden|unauthorized|unavailable|incompatible|mismatch|out of date|rejected|illegal|corrupt|no tests ran|fehler|nicht gefunden|erreur|échec|introuvable|ошибк|错误|失败|エラー`)
	pathOrURL  = lazyregexp.New(`\w+://\S+|\S*/\S*`)
	// announces are lines whose reason stands on the next one.
	announces = lazyregexp.New(`^(?:Error: P\d{4}|Syntax error (?:compiling|reading source|macroexpanding) .*at \(.*\)\.|CMake (?:Deprecation )?Error.*:|ERROR in \S.*|● Test suite failed to run|(?:Error: )?ERR_PNPM_\w+|\* What went wrong:|Error:|ERROR:|error:|FAILED:.*:)$`)
	// ofTest is the reason that pytest gives.
	ofTest = lazyregexp.New(`^E {2,}\S`)
	// panicked is how Rust, Ruby and Elixir begin; Rust says why on the next line.
	panicked   = lazyregexp.New(`^thread '.*' (?:\(\d+\) )?panicked at |^\S+:\d+:in [\x60'].*\((?:[A-Z]\w*::)*[A-Z]\w*\)$|^\*\* \((?:[A-Z]\w*\.)*[A-Z]\w*\) `)
	testFailed = lazyregexp.New(`^(?:FAIL\s+\S+ > .+|\S.* > \S.* FAILED|rspec \./\S+:\d+ # .+|\w+#test_\w+ \[.+\]:|Failed [A-Za-z_][\w.]+\.\w+ \[[^\]]+\]|FAILED \S+::\S+|FAIL: \S+|--- FAIL: \S+|● .+|not ok \d+ .+)`)
	pointsAt   = lazyregexp.New(`^(?:\[ERROR\] )?\S+?[:(]\[?\d+(?:[,:]\d+)?[\]:)]`)
	// prefixes are what loggers and tools put before their words.
	prefixes = lazyregexp.New(`^(?:- |e: (?:file://)?|[\w@][\w@/.-]*:(?:build|lint|test|dev|check|typecheck|compile)[\w:-]*: |E {2,}|\| +|➤ (?:YN\d+: )?(?:[│┌└·] )?|│ +|[├╰]─▶ |[×✘✖✗] |\[!\] |Caused by: |\[cause\]: |Exception in thread "[^"]*" |Unhandled exception\. |npm (?:err!|error|ERR!) |E: |\[ERROR\s*\] |\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:\[\w+\]\s+\d+#\d+:\s+)?)+`)
	// notThere is what Maven and Bundler say at the end of a long line, or below
	// much else.
	notThere = lazyregexp.New(`Could not (?:find|transfer) artifact \S+|Failure to find \S+:\S+|\bcannot find -l\S+|^An error occurred while installing \S+ \(`)
	// severalAtOnce is Python's exception of several.
	severalAtOnce = lazyregexp.New(`^(?:[\w.]+\.)?(?:Base)?ExceptionGroup: .+ \(\d+ sub-exceptions?\)$`)
	// ofTask begins a line that a tool passes on from one of its tasks.
	ofTask = lazyregexp.New(`^[\w@][\w@/.-]*:(?:build|lint|test|dev|check|typecheck|compile)[\w:-]*: `)
	// innermost begins the reasons that Gradle gives, each further in.
	innermost   = lazyregexp.New(`^\s*> \S`)
	sectionNote = lazyregexp.New(`(?i): in function|in file included from|: note: |warning: |deprecat`)
)

// lines splits an output: carriage returns of progress bars count as ends,
// colours are taken out.
func lines(s string) []string {
	s = ansi.ReplaceAllString(clip(s), "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var out []string
	for _, l := range strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimRight(l, " \t"); strings.TrimSpace(l) == "" {
			continue
		}
		if len(l) > maxLine {
			l = strings.ToValidUTF8(l[:maxLine], "")
		}
		out = append(out, l)
	}
	return out
}

// clip keeps the first third and the last two thirds of a long output.
func clip(s string) string {
	if len(s) <= maxOutput {
		return s
	}
	return strings.ToValidUTF8(s[:maxOutput/3], "") + "\n" + strings.ToValidUTF8(s[len(s)-maxOutput*2/3:], "")
}

func score(l string) int {
	t := strings.TrimSpace(l)
	n := 1
	bare := prefixes.ReplaceAllString(t, "")
	switch {
	case notThere.MatchString(t):
		n = 9
	case noiseLine.MatchString(t), ofTask.MatchString(t) && noiseLine.MatchString(bare):
		return 0
	case severalAtOnce.MatchString(bare):
		n = 10
	case testFailed.MatchString(t):
		n = 10
	case exception.MatchString(bare), panicked.MatchString(t):
		n = 9
	case strongLine.MatchString(t), announces.MatchString(t), ofTest.MatchString(t):
		n = 8
	case weakLine.MatchString(pathOrURL.ReplaceAllString(t, " ")):
		n = 5
	}
	if pointsAt.MatchString(t) && n >= 5 {
		n++
	}
	// What a line announces comes next: alone it tells little.
	if strings.HasSuffix(t, ":") && n < 8 && !pointsAt.MatchString(t) && !panicked.MatchString(t) {
		n = min(n, 4)
	}
	if sectionNote.MatchString(t) {
		n = min(n, 2)
	}
	return n
}

// telling is the line of a failed command's output that says most, or nothing.
// Standard output counts where standard error says less.
func telling(stderr, stdout string) string {
	best, line := 0, ""
	for at, text := range []string{stderr, stdout} {
		for _, l := range lines(text) {
			n := score(l)
			if n == 0 {
				continue
			}
			n = n*4 - 2*at // standard error first, where both tell the same
			if at == 1 && n < 16 && best > 0 {
				continue
			}
			// Of exceptions the last one was not caught; of anything
			// that only looks like words, the last one is nearest the end.
			later := n == best && (n/4 >= 9 && exception.MatchString(prefixes.ReplaceAllString(strings.TrimSpace(l), "")) || n/4 <= 1)
			if n > best || later {
				best, line = n, strings.TrimSpace(l)
			}
		}
	}
	// make prints a command before what the command says.
	for _, said := range saying.FindAllStringSubmatch(line, -1) {
		if words := said[1] + said[2]; at(lines(stdout), words) >= 0 || at(lines(stderr), words) >= 0 {
			line = words
		}
	}
	raw := line
	line = strings.TrimSpace(prefixes.ReplaceAllString(line, ""))
	for _, text := range []string{stderr, stdout} {
		if i := at(lines(text), raw); i >= 0 {
			line = whole(lines(text), i, line)
			break
		}
	}
	if testName.MatchString(line) {
		for _, text := range []string{stderr, stdout} {
			if d := detail(lines(text), line); d != "" {
				return line + ": " + d
			}
		}
	}
	return line
}

var (
	saying    = lazyregexp.New(`\b(?:echo|printf) +(?:"([^"$]+)"|'([^']+)')`)
	rejection = lazyregexp.New(`^UnhandledPromiseRejection: .* with the reason "(.+?)"\.?$`)
	toAdd     = lazyregexp.New(`; to add(?: it)?:$`)
	inFile    = lazyregexp.New(`^File "([^"]+)", line (\d+)`)
	located   = lazyregexp.New(`^(?:-->|❯|╭─+ ?\[|╭▸|,-\[) *([^\s\]]+:\d+(?::\d+)?)|^(\S+\.\w+) (\d+:\d+)(?: |$)`)
	itsSyntax = lazyregexp.New(`^(?:Syntax|Indentation|Tab)Error\b`)
)

// at is the index of a line, or -1.
func at(all []string, line string) int {
	if line == "" {
		return -1
	}
	return slices.IndexFunc(all, func(l string) bool { return strings.TrimSpace(l) == line })
}

// whole is a line with what belongs to it: the reason that it announces, and
// the place in a file that stands on a line of its own.
func whole(all []string, i int, line string) string {
	raw := strings.TrimSpace(all[i])
	if m := rejection.FindStringSubmatch(line); m != nil {
		return "unhandled rejection: " + m[1]
	}
	line = toAdd.ReplaceAllString(line, "")
	next := all[i+1 : min(len(all), i+6)]
	if at := notThere.FindStringIndex(line); at != nil {
		return strings.TrimSuffix(line[at[0]:], " -> [Help 1]")
	}
	if severalAtOnce.MatchString(line) {
		for _, n := range next {
			if t := strings.TrimSpace(prefixes.ReplaceAllString(strings.TrimSpace(n), "")); exception.MatchString(t) {
				return line + ": " + t
			}
		}
	}
	if raw == "* What went wrong:" {
		reason := ""
		if len(next) > 0 && strings.HasPrefix(strings.TrimSpace(next[0]), "Plugin [id: ") {
			return strings.TrimSpace(next[0])
		}
		for _, n := range next {
			if innermost.MatchString(n) && !aside.MatchString(n) {
				reason = strings.TrimPrefix(strings.TrimSpace(n), "> ")
			} else if reason != "" || strings.HasPrefix(n, "* ") {
				break
			}
		}
		if reason != "" {
			return reason
		}
	}
	if strings.HasSuffix(line, ":") && !panicked.MatchString(raw) || announces.MatchString(raw) {
		for _, n := range next {
			n = strings.TrimSpace(n)
			t := strings.TrimSpace(prefixes.ReplaceAllString(n, ""))
			if t == "" || noiseLine.MatchString(n) || strings.HasSuffix(t, ":") || strings.HasPrefix(t, "installing ") {
				continue
			}
			return strings.TrimRight(line, ":.") + ": " + t
		}
	}
	if itsSyntax.MatchString(line) { // Python tells the place before
		for j := i - 1; j >= max(0, i-5); j-- {
			if m := inFile.FindStringSubmatch(strings.TrimSpace(all[j])); m != nil {
				return line + " (" + m[1] + ", line " + m[2] + ")"
			}
		}
	}
	if !pointsAt.MatchString(line) {
		for _, n := range next {
			if m := located.FindStringSubmatch(strings.TrimSpace(n)); m != nil {
				return line + " (" + strings.TrimSpace(m[1]+m[2]+" "+m[3]) + ")"
			}
		}
	}
	return line
}

// aside is what Gradle says of where to look.
var aside = lazyregexp.New(`see the compiler error output|A failure occurred while executing|Compilation error\. See log`)

// testName is a failed test whose reason stands below it.
var (
	testName  = lazyregexp.New(`^(?:FAIL\s+\S+ > .+|thread '.*' .*panicked at \S+:|--- FAIL: \S+ \([\d.]+s\)|(?:FAIL|ERROR): \S+ \(\S+\)|● .+)$`)
	subtest   = lazyregexp.New(`^--- FAIL: ([^/\s]+)/\S+`)
	atTheTest = lazyregexp.New(`^\S+_test\.go:\d+: .+`)
)

// detail is the reason of the failed test that name tells, up to the next one.
func detail(all []string, name string) string {
	const reach = 40
	for i, l := range all {
		if strings.TrimSpace(l) != name {
			continue
		}
		for _, l := range all[i+1 : min(len(all), i+1+reach)] {
			t := strings.TrimSpace(l)
			if panicked.MatchString(name) {
				return t
			}
			if m := subtest.FindStringSubmatch(t); m != nil && strings.HasPrefix(name, "--- FAIL: "+m[1]+" ") {
				continue
			}
			if testFailed.MatchString(t) || testName.MatchString(t) {
				break
			}
			if strings.HasPrefix(t, "panic: ") || exception.MatchString(t) || atTheTest.MatchString(t) || strings.HasPrefix(t, "Expected: ") || strings.HasPrefix(t, "Error: ") {
				return t
			}
		}
	}
	return ""
}

// lastLine is the last line that is no noise: for exceptions of Python.
func lastLine(s string) string {
	all := lines(s)
	for i := len(all) - 1; i >= 0; i-- {
		l := strings.TrimSpace(all[i])
		if l == "---" || l == "[...]" || noiseLine.MatchString(l) {
			continue
		}
		return l
	}
	return ""
}

// lastException is the exception that a trace of Python ends with.
func lastException(s string) string {
	all := lines(s)
	for i, l := range all {
		if t := strings.TrimSpace(prefixes.ReplaceAllString(strings.TrimSpace(l), "")); severalAtOnce.MatchString(t) {
			return whole(all, i, t)
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		l := strings.TrimSpace(all[i])
		if l == all[i] && (exception.MatchString(l) || regexp.MustCompile(`^[A-Za-z_][\w.]*(?:: .+)?$`).MatchString(l)) {
			return l
		}
	}
	return lastLine(s)
}
