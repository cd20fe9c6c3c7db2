package diagnose

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/berth-dev/berth/orchestrator/salt"
)

func count(n int) string { return strconv.Itoa(n) }

// salt diagnoses a run of Salt.
func (c context) salt(stdout, stderr []byte, exit int) orchestrator.Diagnosis {
	r := salt.Read(stdout)
	errs := cleanStderr(string(stderr))
	s := saltRun{context: c, stderr: errs, exit: exit, truncated: r.Truncated}
	s.masker = c.masker(errs)
	for _, v := range r.Servers {
		name := ""
		if v.ID != "local" {
			name = v.ID
		}
		s.server(name, v)
	}
	if len(r.Servers) == 0 {
		s.nothing(r)
	}
	return s.end(r)
}

// saltRun gathers what is found.
type saltRun struct {
	context
	masker    masker
	stderr    string
	exit      int
	truncated bool

	found                     []said
	folds                     map[string]int // where in found a server's cause is
	alike                     map[string]*alike
	rest                      int // where in found those are that are only counted
	blocked, total, succeeded int
	busy                      bool // some server waits or is busy
	silent                    bool // some server did not answer
	failed                    bool
	ran                       bool // states were seen
}

// said is a cause with what folds it.
type said struct {
	fold, server, where string
	f                   *failure
	x                   *finding
	m                   masker
	evidence            string
	more, rest          int

	blocked []string // what it kept from running: the first ones
	total   int
}

// add tells where in found the cause is: one like it may be there.
func (s *saltRun) add(v said) int {
	if v.fold != "" {
		key := v.server + "\x00" + v.fold
		if i, ok := s.folds[key]; ok {
			s.found[i].more++
			return i
		}
		if s.folds == nil {
			s.folds = map[string]int{}
		}
		s.folds[key] = len(s.found)
	}
	s.found = append(s.found, v)
	return len(s.found) - 1
}

func (s *saltRun) server(name string, v salt.Server) {
	switch v.Kind {
	case salt.KindStates:
		s.states(name, v)
	case salt.KindMessages:
		s.messages(name, v.Messages)
	case salt.KindQueued:
		s.busy = true
		f := &failure{comment: strings.Join(v.Messages, "\n"), vars: vars{}}
		s.add(said{server: name, f: f, m: s.masker, evidence: s.masker.evidence(f.comment),
			x: &finding{code: "salt_busy", who: retry, sentence: queuedSentence(f.comment), next: tryAgain}})
	case salt.KindSilent:
		s.silent = true
		f := &failure{comment: strings.Join(v.Messages, "\n"), vars: vars{"name": name}}
		s.add(said{server: name, f: f, m: s.masker, evidence: s.masker.evidence(f.comment, s.stderr),
			x: &finding{code: "unreadable", who: retry, sentence: `The server did not answer in time, so it is not known whether it was set up.`, next: tryAgain}})
	case salt.KindEmpty:
		if s.truncated {
			return
		}
		s.failed = true
		f := &failure{comment: s.stderr, vars: vars{}}
		sentence := `Nothing was set up: the recipe of this server is empty, or ops have switched off all of it.`
		if m := re(`The renderer "([^"\n]+)" is not available`).FindStringSubmatch(s.stderr); m != nil {
			f.vars["what"] = m[1]
			sentence = `A recipe is written in a form, "{what}", that the server can't read: nothing was set up.`
		}
		s.add(said{server: name, f: f, m: s.masker, evidence: s.masker.evidence(s.stderr),
			x: &finding{code: "recipe_error", who: ops, sentence: sentence, next: askOpsRecipe}})
	}
}

func queuedSentence(said string) string {
	if said == salt.Started {
		return `The setup was started and has not answered yet.`
	}
	return `The server is still busy with an earlier setup; this one waits for it.`
}

func (s *saltRun) states(name string, v salt.Server) {
	tree := salt.Roots(v.States)
	s.ran = true
	s.blocked += tree.Blocked
	s.total += tree.Total
	s.succeeded += tree.Succeeded
	groups := map[int][]int{} // the roots of each cause
	for i, root := range tree.Roots {
		s.failed = true
		at := s.addRoot(name, root)
		groups[at] = append(groups[at], i)
	}
	var at []int
	var roots [][]int
	for i := range s.found {
		if groups[i] != nil {
			at, roots = append(at, i), append(roots, groups[i])
		}
	}
	for i, reach := range tree.Reach(roots, maxBlocked) {
		c := &s.found[at[i]]
		c.total = reach.Total
		for _, k := range reach.First {
			c.blocked = append(c.blocked, s.masker.name(v.States[k].Place()))
		}
	}
}

// A server with a thousand failures has one or two reasons. Each is told fully,
// but of those that say the same words about other things, only the first
// alikeTold, and of all only the first maxCauses: nobody reads more, and to
// understand one takes a thousand times as long as to count it.
const (
	alikeTold = 20
	maxCauses = 50
)

// addRoot adds a root's cause, or counts it at one that stands for it, and
// tells where in found that is.
func (s *saltRun) addRoot(name string, root salt.Root) int {
	key := ""
	if root.Cause == salt.Own {
		key = name + "\x00" + words(root.State)
		if a := s.alike[key]; a != nil && a.n >= alikeTold {
			s.found[a.at].more++
			return a.at
		}
	}
	if s.found != nil && len(s.found) >= maxCauses {
		return s.addRest(root)
	}
	at := s.add(s.root(name, root))
	if key != "" {
		if s.alike == nil {
			s.alike = map[string]*alike{}
		}
		if s.alike[key] == nil {
			s.alike[key] = &alike{}
		}
		s.alike[key].n++
		s.alike[key].at = at
	}
	return at
}

// alike counts the roots that said the same words; at is the last one's cause.
type alike struct{ n, at int }

// words are what a failed step says, without what it is called.
func words(st salt.State) string {
	text := strings.Join([]string{st.Comment, st.Changes["stderr"], st.Changes["stdout"], st.Changes["retcode"], st.Changes["comment"]}, "\x00")
	for _, own := range []string{st.Name, st.ID} {
		if len(own) > 2 {
			text = strings.ReplaceAll(text, own, "\x01")
		}
	}
	return st.Module + "." + st.Function + "\x00" + text
}

// addRest takes in a root that is not told by itself: its name and first line
// are among the evidence of one cause for all of them.
func (s *saltRun) addRest(root salt.Root) int {
	if s.rest == 0 {
		s.rest = len(s.found)
		s.found = append(s.found, said{f: &failure{vars: vars{}}, m: s.masker,
			x: &finding{code: "unknown", who: ops, sentence: `{rest} more steps failed, each in its own way: mend those that are told before, then try again.`, next: askOps}})
	}
	v := &s.found[s.rest]
	v.rest++
	if len(v.evidence) < maxEvidence {
		line, _, _ := strings.Cut(strings.TrimSpace(root.State.Comment), "\n")
		if len(line) > 200 {
			line = line[:200]
		}
		v.evidence += s.masker.mask(strings.ToValidUTF8(root.Name+": "+line+"\n", "�"))
	}
	return s.rest
}

// maxBlocked is how many of the steps that a cause kept from running are named.
const maxBlocked = 100

// root says what a root was.
func (s *saltRun) root(name string, root salt.Root) said {
	if root.Cause == salt.Lost {
		x := &finding{code: "salt_exception", who: ops, sentence: `{n} steps wait on "{step}", which failed; why is not in the result.`, next: askOps}
		if root.State.Tag != "" {
			x.sentence = `"{step}" waits on a step that failed; which one, and why, is not in the result.`
		}
		return said{server: name, where: s.masker.mask(root.Name), f: &failure{vars: vars{"step": lastPart(root.Name)}}, m: s.masker, x: x}
	}
	f, m := s.failure(root.State)
	f, x := explainStep(f)
	if root.Cause == salt.Circle {
		x = &finding{code: "requisite_cycle", who: ops, sentence: `Steps of the recipe wait on each other in a circle; "{step}" is one of them.`, next: askOpsRecipe}
	}
	logged, unknown := "", x == nil
	if unknown {
		x, logged = match(families, f), tail(s.stderr)
	}
	where := root.State.Place()
	if root.State.Module == "no" { // "No States": not a step of any recipe
		where = ""
	}
	fold := ""
	if subject := fill(x.subject, f.vars, masker{}, 2000); x.subject != "" && strings.TrimSpace(subject) != "" {
		fold = x.code + "\x00" + subject
	} else if key := signature(root.State, f); key != "" {
		fold = x.code + "\x00" + key
	}
	if unknown && root.State.Module != "test" && root.State.Module != "cmd" { // nobody knows it: the same words are the same cause
		fold = x.code + "\x00" + words(root.State)
	}
	return said{fold: fold, server: name, where: m.mask(where), f: f, x: x, m: m,
		evidence: m.evidence(root.State.Comment, section("stderr", f.stderr), section("stdout", f.stdout), f.vars["npmlog"], logged)}
}

func section(name, text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return name + ": " + text
}

func lastPart(key string) string { return key[strings.LastIndex(key, ".")+1:] }

var runScope = lazyregexp.New(`run-[0-9a-f]+\.scope|pid \d+|0x[0-9a-f]+|\d{2}:\d{2}:\d{2}\S*`)

// signature folds what fails in the same words for the same reason: a module,
// and what it says, if that says enough to be one and the same.
func signature(s salt.State, f *failure) string {
	out := strings.TrimSpace(clip(f.stderr) + clip(f.stdout))
	if s.Module == "cmd" {
		if out == "" {
			return ""
		}
		return "cmd\x00" + s.Name + "\x00" + runScope.ReplaceAllString(out, "")
	}
	if strings.TrimSpace(s.Comment) == "" || s.Module == "test" {
		return ""
	}
	return s.Module + "\x00" + s.Name + "\x00" + runScope.ReplaceAllString(clip(s.Comment), "") + "\x00" + out
}

var (
	attempts = lazyregexp.New(`(?s)^Attempt \d+: Returned a result of "\w+", with the following comment: "`)
	delayed  = lazyregexp.New(`\n?Delayed return for [\d.]+ seconds?`)
)

// lastAttempt is the comment of a retried state's last attempt. Each earlier
// one is quoted, and its quote may hold anything; the last is what follows.
func lastAttempt(comment string) string {
	if !attempts.MatchString(comment) {
		return comment
	}
	all := strings.Split(comment, "\nAttempt ")
	last := all[len(all)-1]
	// The quoted comment of the last failed attempt ends with a quotation mark
	// at the end of a line, and the final comment follows it.
	if _, quoted, ok := strings.Cut(last, `with the following comment: "`); ok {
		if i := strings.LastIndex(quoted, "\"\n"); i >= 0 && strings.TrimSpace(quoted[i+2:]) != "" {
			// The final comment may be of several lines that end so too: the
			// quoted one is likely the same text, so try that first.
			for j := 0; ; {
				k := strings.Index(quoted[j:], "\"\n")
				if k < 0 {
					break
				}
				if final := quoted[j+k+2:]; strings.TrimSpace(final) == strings.TrimSpace(quoted[:j+k]) {
					return final
				}
				j += k + 2
			}
			return quoted[i+2:]
		}
		return strings.TrimSuffix(strings.TrimSpace(quoted), `"`)
	}
	return last
}

// unwrapped is a comment without what Salt puts around other programs' words.
func unwrapped(comment string) string {
	c := strings.ReplaceAll(lastAttempt(clip(comment)), "\r\n", "\n")
	c = delayed.ReplaceAllString(c, "")
	if before, _, ok := strings.Cut(c, "\n\nChanges already made: "); ok {
		c = before
	}
	c = failedCall.ReplaceAllString(c, "$1: $2")
	// With an identity every failure is said to be one of authentication.
	const wrapper = "Unable to authenticate using identity file:\n\n"
	if i := strings.Index(c, wrapper); i >= 0 && strings.TrimSpace(c[i+len(wrapper):]) != "" {
		c = c[:i] + c[i+len(wrapper):]
	}
	return strings.TrimSpace(c)
}

// failedCall is a command that Salt could not start, with everything that it
// was called with before the reason.
var failedCall = lazyregexp.New(`(Unable to run command '[^\n]*?') with the context '\{[^\n]*\}', reason: ([^\n]+)`)

// failure gathers what is known of a failed state.
func (s *saltRun) failure(st salt.State) (*failure, masker) {
	f := &failure{module: st.Module, function: st.Function, comment: unwrapped(st.Comment), exit: st.Changes["retcode"]}
	f.stdout, f.stderr = st.Changes["stdout"], st.Changes["stderr"]
	if f.module == "test" && f.comment == "Failure!" {
		f.comment = ""
	}
	m := s.context.masker(strings.Join([]string{st.Name, st.ID, st.Comment, f.stderr, s.stderr}, "\n"))
	f.vars = vars{"step": st.Written(), "recipe": st.SLS, "name": st.Name, "fullcmd": st.Name, "cmd": command(st.Name), "module": st.Module, "function": st.Function,
		"app": s.app.Name, "asked": s.branch, "applog": s.appLog, "stderr": s.stderr}
	if f.vars["app"] == "" {
		f.vars["app"] = "APP"
	}
	if st.Module == "module" && f.stderr == "" {
		f.stderr = st.Changes["comment"]
		if f.stderr == "" && strings.Contains(f.comment, untold) {
			if f.stderr = logged(s.stderr, f.comment); f.stderr != "" {
				f.comment = strings.Replace(f.comment, untold, telling(f.stderr, ""), 1)
			}
		}
	}
	if strings.HasPrefix(st.Module, "git") || st.Module == "cmd" && strings.Contains(st.Name, "git") {
		address := st.Name
		if st.Module == "cmd" {
			address = first(st.Name, `(?:\w+://|[\w.-]+@)[^\s'"]+`)
			if address == "" {
				address = first(f.stderr, `(?:\w+://|[\w.-]+@[\w.-]+:)[^\s'"]+`)
			}
			if address == "" {
				address = s.app.Repository
			}
		}
		if m2 := regexp.MustCompile(`(?:clone of|repository|access) '((?:\w+://|\w+@)[^']+)'`).FindStringSubmatch(f.comment); m2 != nil && !looksLikeAddress(address) {
			address = m2[1]
		}
		f.vars["url"], f.vars["repo"], f.vars["host"] = address, repoOf(address), hostOf(address)
		if f.vars["repo"] == "" && st.Module != "cmd" {
			f.vars["repo"] = st.Written()
		}
	}
	if st.Module == "npm" || st.Module == "pkg" {
		// Their comments leave out the reason: it is on standard error alone.
		f.vars["npmlog"] = strings.Join(regexp.MustCompile(`(?m)^npm (?:error|ERR!).*$`).FindAllString(s.stderr, -1), "\n")
	}
	return f, m
}

// untold is what Salt says of a called function that does not say why it failed.
const untold = "(error message N/A)"

// logged is what a command wrote to its standard error, from the log: Salt
// writes that before it says that the command has failed.
func logged(stderr, failed string) string {
	before, _, ok := strings.Cut(stderr, "] "+failed)
	if !ok {
		return ""
	}
	i := strings.LastIndex(before, "] stderr: ")
	if i < 0 {
		return ""
	}
	said, _, _ := strings.Cut(before[i+len("] stderr: "):], "\n[")
	return said
}

func looksLikeAddress(s string) bool {
	return strings.Contains(s, "/") || strings.Contains(s, "@")
}

// command shortens a command line to what tells it apart.
func command(s string) string {
	s = strings.TrimPrefix(oneLine(s), "salt://")
	s = regexp.MustCompile(`^(?:(?:[A-Z_][A-Z0-9_]*=\S*|set -\w+;?|cd \S+ &&)\s+)+`).ReplaceAllString(s, "")
	if fields := strings.Fields(s); len(fields) > 0 && strings.HasPrefix(fields[0], "/") && len(s) > 60 {
		s = path.Base(fields[0]) + s[strings.Index(s, fields[0])+len(fields[0]):]
	}
	return s
}

// noReason is what standard error holds besides the failure.
var noReason = lazyregexp.New(`(?m)^.*(?:DeprecationWarning|import crypt|PendingDeprecation|CryptographyDeprecation|UserWarning|pkg_resources).*\n?|^  import .*\n?`)

func cleanStderr(s string) string {
	return strings.TrimSpace(noReason.ReplaceAllString(strings.ToValidUTF8(clip(s), "�"), ""))
}

// messages diagnoses a refusal in words: nothing ran.
func (s *saltRun) messages(name string, all []string) {
	if strings.HasPrefix(strings.Join(all, "\n"), "Pillar failed to render") && len(all) > 1 {
		all = all[1:]
		for i := range all {
			all[i] = "Pillar: " + all[i]
		}
	}
	seen := false
	for _, msg := range consequential(all) {
		f := &failure{module: "message", comment: clip(msg), stderr: s.stderr, vars: vars{"line": commentOf(strings.TrimPrefix(msg, "Pillar: ")), "step": "", "name": name}}
		x := match(messageRecords, f)
		if x == nil {
			continue
		}
		seen = true
		if x.code == "salt_busy" {
			s.busy = true
		} else {
			s.failed = true
		}
		s.add(said{fold: x.code + "\x00" + fill(x.subject, f.vars, masker{}, 2000), server: name, f: f, x: x, m: s.masker, where: f.vars["sls"],
			evidence: s.masker.evidence(strings.TrimPrefix(msg, "Pillar: "), s.stderr)})
	}
	if !seen {
		s.failed = true
		msg := strings.Join(all, "\n")
		f := &failure{comment: msg, vars: vars{"line": commentOf(msg)}}
		s.add(said{server: name, f: f, m: s.masker, evidence: s.masker.evidence(msg, s.stderr),
			x: refusal(msg)})
	}
}

// consequential leaves out the messages that follow from others: the same one
// again, a recipe that is missing from a set that is not there, and what can't
// be read as a step because it is no list.
func consequential(all []string) []string {
	text := strings.Join(all, "\n")
	var out []string
	for _, msg := range all {
		if slices.Contains(out, msg) {
			continue
		}
		if m := re(`^No matching sls found for '.*' in env '([^'\n]+)'`).FindStringSubmatch(msg); m != nil && strings.Contains(text, "No matching salt environment for environment '"+m[1]+"' found") {
			continue
		}
		if m := re(`^ID (include|exclude) in SLS (\S+) is not a dictionary`).FindStringSubmatch(msg); m != nil && re(`(?i)`+m[1]+` Declaration in SLS '?`+regexp.QuoteMeta(m[2])+`'? is not formed`).MatchString(text) {
			continue
		}
		if m := re(`^Too many functions declared in state '([^'\n]+)'`).FindStringSubmatch(msg); m != nil && strings.Contains(text, `in state "`+m[1]+`" in SLS`) {
			continue
		}
		out = append(out, msg)
	}
	return out
}

// refusal is a message that no record knows: what speaks of recipes comes from
// reading them.
func refusal(msg string) *finding {
	if re(`\bSLS\b|\brequisite|\bstate '|\bsls\b`).MatchString(msg) {
		return &finding{code: "recipe_error", who: ops, sentence: `A recipe was refused with a message that Berth does not know: {line}`, next: askOpsRecipe}
	}
	return &finding{code: "salt_exception", who: ops, sentence: `The setup was refused with a message that Berth does not know: {line}`, next: askOps}
}

// commentOf is the line of a message that tells most.
func commentOf(msg string) string {
	if strings.Contains(msg, "Traceback (most recent call last)") {
		return lastException(msg)
	}
	l := regexp.MustCompile(`^\[\w+\s*\]\s*`).ReplaceAllString(telling(msg, ""), "")
	if l == "" {
		l = strings.TrimSpace(msg)
	}
	return l
}

var killedExits = map[int]bool{137: true, 143: true, 124: true, 130: true, 129: true, 139: true}

// nothing diagnoses an output without any JSON.
func (s *saltRun) nothing(r salt.Result) {
	noise := clip(r.Noise)
	if pageForm.MatchString(noise) { // a web server's page instead of an answer
		noise = strings.TrimSpace(tags.ReplaceAllString(noise, "\n"))
	} else if m := outputter.FindStringSubmatch(noise); m != nil { // the form for people, which says no more than this
		noise = m[1]
	}
	text := strings.TrimSpace(s.stderr + "\n" + noise)
	f := &failure{module: "stderr", comment: text, vars: vars{"line": commentOf(text), "exit": count(s.exit)}}
	ev := s.masker.evidence(s.stderr, r.Noise)
	if killedExits[s.exit] {
		x := match(killedRecords, f)
		s.add(said{f: f, x: x, m: s.masker, evidence: ev})
		return
	}
	if s.exit == 0 && text == "" {
		s.add(said{f: f, m: s.masker, evidence: ev, x: &finding{code: "unreadable", who: retry, sentence: `The setup ended without saying anything, so it is not known what it did.`, next: tryAgain}})
		return
	}
	// Standard error first: on standard output Salt may print its manual.
	for _, try := range []struct {
		records []record
		text    string
	}{{messageRecords, s.stderr}, {messageRecords, firstLines(noise)}, {stderrRecords, text}} {
		if strings.TrimSpace(try.text) == "" {
			continue
		}
		f := &failure{module: "stderr", comment: try.text, stderr: s.stderr, vars: vars{"line": commentOf(try.text), "exit": count(s.exit)}}
		if x := match(try.records, f); x != nil {
			s.failed = x.code != "salt_busy"
			s.busy = x.code == "salt_busy"
			s.add(said{f: f, x: x, m: s.masker, evidence: ev})
			return
		}
	}
	sentence := `The server's answer can't be read: {line}`
	if text == "" {
		sentence = `The setup ended with exit status {exit} and said nothing, so it is not known what it did.`
	}
	s.add(said{f: f, m: s.masker, evidence: ev, x: &finding{code: "unreadable", who: retry, sentence: sentence, next: tryAgain}})
}

var (
	pageForm  = lazyregexp.New(`(?i)<html|<!doctype html`)
	tags      = lazyregexp.New(`(?is)<(?:style|script|title)\b.*?</(?:style|script|title)>|<[^>]*>`)
	outputter = lazyregexp.New(`(?m)^\s*(?:\x1b\[[\d;]*m)*\s*Result: False(?:\x1b\[[\d;]*m)*\n\s*(?:\x1b\[[\d;]*m)*\s*(Comment: [^\n]*)`)
)

// firstLines is the beginning of a text: what follows may be a manual.
func firstLines(s string) string {
	return strings.Join(strings.SplitN(s, "\n", 6)[:min(5, strings.Count(s, "\n")+1)], "\n")
}

// end puts it together.
func (s *saltRun) end(r salt.Result) orchestrator.Diagnosis {
	d := orchestrator.Diagnosis{Causes: []orchestrator.Cause{}, Blocked: s.blocked, Total: s.total, Succeeded: s.succeeded, Cut: s.truncated}
	if s.truncated && !s.failed {
		s.found = append(s.found, said{f: &failure{vars: vars{"n": count(s.total)}}, m: s.masker, evidence: s.masker.evidence(tail(s.stderr)),
			x: &finding{code: "unreadable", who: retry, sentence: `The setup was cut off while it answered: it is not known what it did after its first {n} steps.`, next: tryAgain}})
	}
	for _, v := range s.found {
		if v.total > 0 {
			v.f.vars["n"] = count(v.total)
		}
		if v.rest > 0 {
			v.f.vars["rest"] = count(v.rest)
			if v.rest == 1 {
				v.x.sentence = strings.Replace(v.x.sentence, "steps failed, each in its own way", "step failed", 1)
			}
		}
		cause := v.x.cause(v.f, v.m, v.more)
		cause.Where, cause.Server, cause.Evidence = v.where, v.server, v.evidence
		cause.Blocked, cause.BlockedTotal = v.blocked, v.total
		d.Causes = append(d.Causes, cause)
	}
	switch {
	case s.failed:
		d.Outcome = orchestrator.OutcomeFailed
	case s.truncated:
		d.Outcome = orchestrator.OutcomeUnreadable
	case s.busy:
		d.Outcome = orchestrator.OutcomeBusy
	case s.silent || !s.ran && len(s.found) > 0:
		d.Outcome = orchestrator.OutcomeUnreadable
	case s.exit > 0 && !killedExits[s.exit]:
		// Every step went well and the exit status says otherwise.
		d.Outcome = orchestrator.OutcomeFailed
		f := &failure{module: "stderr", comment: s.stderr, vars: vars{"line": commentOf(s.stderr), "exit": count(s.exit)}}
		x := match(messageRecords, f)
		if x == nil {
			x = &finding{code: "unknown", who: ops, sentence: fmt.Sprintf(`No step of the setup failed, but it ended with exit status %d: {line}`, s.exit), next: askOps}
			if f.vars["line"] == "" {
				x.sentence = fmt.Sprintf(`No step of the setup failed, but it ended with exit status %d and did not say why.`, s.exit)
			}
		}
		cause := x.cause(f, s.masker, 0)
		cause.Evidence = s.masker.evidence(s.stderr)
		d.Causes = append(d.Causes, cause)
	default:
		d.Outcome = orchestrator.OutcomeOK
	}
	return d
}

func tail(s string) string {
	if len(s) > 2000 {
		return strings.ToValidUTF8(s[len(s)-2000:], "")
	}
	return s
}
