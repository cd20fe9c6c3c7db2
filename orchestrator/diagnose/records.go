package diagnose

import "strings"

// What to do next, where many causes share it. NAME stands for the environment.
const (
	askOps       = `Send ops this message; after that: "berth env retry NAME".`
	askOpsRecipe = `Send ops this message, the recipe is theirs; after that: "berth env retry NAME".`
	askSettings  = `Send ops this message, the settings are theirs; after that: "berth env retry NAME".`
	tryAgain     = `Try again in a few minutes with "berth env retry NAME"; tell ops if it stays.`
	pushAgain    = `Mend it on the branch, push, then "berth env deploy NAME".`
	nextBranch   = `Push the branch or name another one: "berth env deploy NAME {app}=BRANCH".`
	nextDisk     = `Ask ops to make room on the server's disk or to give it a larger one; then "berth env retry NAME".`
	nextRepo     = `Send ops this message: the repository's address and who may read it are theirs to set; after that: "berth env retry NAME".`
)

// Texts of the operating system, which turn up behind any door.
const (
	diskFull    = `(?i)No space left on device|ENOSPC|Disk quota exceeded|\[Errno 28\]|not enough (?:free )?(?:disk )?space|out of disk space|disk (?:is )?full|You don't have enough free space`
	outOfMemory = `JavaScript heap out of memory|(?i:cannot allocate memory)|\bENOMEM\b|(?m:^MemoryError)|java\.lang\.OutOfMemoryError|(?i:out of memory)|Killed signal terminated program|std::bad_alloc|signal: killed|died of signal 9|\(signal: 9, SIGKILL|Allocation failed - `
	portInUse   = `EADDRINUSE|(?i:address already in use)|(?i:port is already allocated)|\[Errno 98\]|Only one usage of each socket address|bind\(\) to \S+ failed \(98`
	denied      = `(?i:permission denied)|\bEACCES\b|\bEPERM\b|Operation not permitted|Read-only file system|PermissionError|\[Errno 13\]|AccessDeniedException`
	offline     = `(?i)could not resolve (?:host|proxy)|unable to resolve host|temporary failure in name resolution|name or service not known|network is unreachable|no route to host|connection refused|connection reset|connection timed out|\bECONNREFUSED\b|\bENOTFOUND\b|\bETIMEDOUT\b|\bECONNRESET\b|\bEAI_AGAIN\b|couldn't connect|failed to connect|NewConnectionError|no such host|i/o timeout|(?:connection|connect|connecting|read|request|operation|handshake|socket|dial)\S* (?:has )?timed out|timed out (?:connecting|after \d+ (?:milliseconds|ms))`
)

// stateRecords are what a state says when it fails. The order is a part of the
// meaning: the first record that fits is taken.
var stateRecords = join(
	startRecords,
	exceptionRecords,
	templateRecords,
	only("git", gitRecords),
	only("pkg pkgrepo", packageRecords),
	gitStateRecords,
	packageStateRecords,
	serviceRecords,
	fileRecords,
	accountRecords,
	archiveRecords,
	systemRecords,
	workdirRecords,
	only("pip virtualenv pip3 venv conda poetry", pipRecords),
	pipStateRecords,
	only("npm yarn bower", nodeRecords),
	npmStateRecords,
	only("docker*", imageRecords),
	checkRecords,
	commandRecords,
	anyRecords,
	foundOtherwise,
)

// families are what is said when no record fits: what kind of thing failed is
// known from the module, what it said is not.
var families = []record{
	{code: "salt_exception", who: ops, in: "git", sentence: `The repository "{repo}" could not be checked out, and Berth does not know why: {line}`, next: askOps, refine: commentLine,
		samples: []sample{{step: "git.latest git@git.acme.io:shop/billing.git", says: "The bosun was asleep", names: []string{"billing", "The bosun was asleep"}}}},
	{code: "salt_exception", who: ops, sentence: `The step "{step}" failed with a message that Berth does not know: {line}`, next: askOps, refine: unknownStep,
		samples: []sample{{step: "shop.deployed x", says: "The bosun was asleep", names: []string{"The bosun was asleep"}}}},
}

func join(tables ...[]record) []record {
	var out []record
	for _, t := range tables {
		out = append(out, t...)
	}
	return out
}

// only restricts a table to modules; a record's own restriction stays.
func only(modules string, table []record) []record {
	out := make([]record, len(table))
	for i, r := range table {
		if r.in == "" {
			r.in = modules
		}
		out[i] = r
	}
	return out
}

func onlyOutput(modules string, table []record) []record {
	var out []record
	for _, r := range table {
		if r.in == "" && r.text != comment {
			r.in, r.text, r.samples, r.borrowed = modules, output, nil, true
			out = append(out, r)
		}
	}
	return out
}

func when(cond func(*failure) bool, table []record) []record {
	out := make([]record, len(table))
	for i, r := range table {
		inner := r.when
		r.when = func(f *failure) bool { return cond(f) && (inner == nil || inner(f)) }
		out[i] = r
	}
	return out
}

// coalesce gives the first var of several alternatives of one expression.
func coalesce(f *failure, key string, others ...string) string {
	for _, k := range others {
		if v := f.vars[k]; v != "" {
			f.vars[key] = v
			delete(f.vars, k)
		}
	}
	return f.vars[key]
}

// first is the first match of a pattern, trimmed.
func first(s, pattern string) string { return strings.TrimSpace(re(pattern).FindString(s)) }

// unknownStep says what the step was about, where neither its ID nor its message do.
func unknownStep(f *failure, x *finding) {
	commentLine(f, x)
	if n := f.vars["name"]; n != f.vars["step"] && len(n) < 80 && !strings.Contains(f.vars["line"], n) {
		x.sentence = strings.Replace(x.sentence, `"{step}"`, `"{step}" for "{name}"`, 1)
	}
}

// commentLine is what a comment tells, in one line.
func commentLine(f *failure, _ *finding) {
	l := telling(f.comment, "")
	if l == "" {
		l = strings.TrimSpace(f.comment)
	}
	if l == "" {
		if l = telling(f.stderr, f.stdout); l == "" {
			l = "(no message)"
		}
	}
	f.vars["line"] = l
}
