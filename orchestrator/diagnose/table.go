package diagnose

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// part is the text that a record looks at.
type part int

const (
	comment part = iota // what Salt says
	output              // what a command printed
	both
)

// record is one known cause. The first record that fits is taken, so the order
// in a table is part of its meaning: the narrow ones come first. Slots in
// braces are filled with the named groups of re and with the failure's vars.
type record struct {
	code, who string
	in        string // modules, space-separated; empty: any
	text      part
	re        *lazyregexp.Regexp
	when      func(*failure) bool
	refine    func(*failure, *finding)
	sentence  string
	next      string
	// subject tells two causes of one code apart; equal ones are folded.
	subject string
	// samples are texts that this record explains; a record that is borrowed
	// from another table has them there.
	samples  []sample
	borrowed bool
}

// failure is what is known of one failure before it is understood.
type failure struct {
	module, function string
	comment          string
	stdout, stderr   string
	exit             string
	vars             vars

	out  string // both outputs, made when asked for
	uses map[string]bool
	told bool // line was looked for
}

func (f *failure) output() string {
	if f.out == "" && (f.stderr != "" || f.stdout != "") {
		f.out = strings.ReplaceAll(clip(f.stderr)+"\n"+clip(f.stdout), "\r\n", "\n")
	}
	return f.out
}

// tempScript is the name under which Salt runs a script.
var tempScript = lazyregexp.New(`/\S*/__salt\.tmp\.[^\s:]+`)

func (f *failure) line() string {
	if f.vars["line"] == "" && !f.told {
		f.told = true
		f.vars["line"] = tempScript.ReplaceAllString(telling(f.stderr, f.stdout), "the script")
	}
	return f.vars["line"]
}

// finding is a record that fits, refined.
type finding struct {
	code, who, sentence, next, subject string
	// of is the record.
	of *record
}

// match gives the first record that fits, and sets its groups as vars.
func match(table []record, f *failure) *finding {
	for i := range table {
		r := &table[i]
		if r.in != "" && !inModules(r.in, f.module) {
			continue
		}
		if r.when != nil && !r.when(f) {
			continue
		}
		if r.re != nil && !r.capture(f) {
			continue
		}
		out := &finding{code: r.code, who: r.who, sentence: r.sentence, next: r.next, subject: r.subject, of: r}
		if r.refine != nil {
			r.refine(f, out)
		}
		return out
	}
	return nil
}

// raised is the message of an exception of Salt's own: what a state says in
// words when it has caught it.
var raised = lazyregexp.New(`(?s)^An exception occurred in this state: .*\n(?:salt\.exceptions\.)(?:Command\w+|SaltInvocation|Argument\w+)Error: (.+)$`)

// explainStep explains a failed step. Where a state did not catch what a tool
// said, it is known all the same; the failure is then about that.
func explainStep(f *failure) (*failure, *finding) {
	show := f.hideName()
	var caught *failure
	if strings.HasPrefix(f.comment, "An exception occurred") && !inModules("cmd module test salt", f.module) {
		if m := raised.FindStringSubmatch(f.comment); m != nil {
			c := *f
			c.comment, c.vars = strings.TrimSpace(m[1]), maps.Clone(f.vars)
			caught = &c
		}
	}
	x := match(stateRecords, f)
	if caught != nil && x != nil && x.code == "salt_exception" && f.vars["guard"] == "" { // a guard's exception is not about the step
		if y := match(stateRecords, caught); y != nil && y.of.re != nil && y.code != "salt_exception" {
			f, x = caught, y
		}
	}
	show(f)
	return f, x
}

// hiddenName begins what stands for a name while a failure is looked at.
const hiddenName = '\u25a1'

// hideName takes the words out of the name of a file, an account or the like
// and out of what was said of it: a folder called "No space left" tells nothing
// of the disk. What it gives puts them back.
func (f *failure) hideName() (show func(*failure)) {
	name := f.vars["name"]
	if !strings.Contains(name, " ") || inModules("cmd git* test module http pkg* pip*", f.module) || strings.ContainsRune(f.comment, hiddenName) {
		return func(*failure) {}
	}
	var hide, back []string
	for i, part := range strings.Split(name, "/") {
		lead := ""
		if i > 0 {
			lead = "/" // elsewhere the same words may be a message
		}
		if token := string(hiddenName) + strconv.Itoa(len(hide)); strings.Contains(part, " ") && len(part) > 2 && !slices.Contains(hide, lead+part) {
			hide, back = append(hide, lead+part, lead+token), append(back, token, part)
		}
	}
	cover, uncover := strings.NewReplacer(hide...), strings.NewReplacer(back...)
	f.comment, f.vars["name"] = cover.Replace(f.comment), cover.Replace(name)
	return func(f *failure) {
		f.comment = uncover.Replace(f.comment)
		for k, v := range f.vars {
			f.vars[k] = uncover.Replace(v)
		}
	}
}

func inModules(list, module string) bool {
	for _, m := range strings.Fields(list) {
		if m == module || strings.HasSuffix(m, "*") && strings.HasPrefix(module, m[:len(m)-1]) {
			return true
		}
	}
	return false
}

func (r *record) capture(f *failure) bool {
	texts := []string{f.comment}
	switch r.text {
	case output:
		texts = []string{f.output()}
	case both:
		texts = []string{f.comment, f.output()}
	}
	for _, t := range texts {
		m := r.re.FindStringSubmatch(t)
		if m == nil {
			continue
		}
		for i, name := range r.re.SubexpNames() {
			if name != "" {
				// A group that did not take part leaves what is known.
				if v := strings.TrimSpace(m[i]); v != "" {
					f.vars[name] = v
				}
			}
		}
		return true
	}
	return false
}

// cause says the finding. more is how many others it stands for.
func (x *finding) cause(f *failure, m masker, more int) orchestrator.Cause {
	f.line()
	limit := sentenceLimit
	suffix := ""
	if more > 0 {
		suffix = " (And " + count(more) + " more like it.)"
		limit -= len(suffix)
	}
	sentence := x.sentence
	if f.vars["repo"] == "" { // of a command that does not say which
		sentence = strings.NewReplacer(` in the repository "{repo}"`, "", `The repository "{repo}" ({url})`, "The repository", `the repository "{repo}"`, "the repository", `"{repo}"`, "the repository").Replace(sentence)
	}
	if f.vars["host"] == "" {
		sentence = strings.NewReplacer(` by "{host}"`, "", ` at "{host}"`, "", `the git host "{host}"`, "the git host").Replace(sentence)
	}
	next := fill(x.next, f.vars, m, 400)
	if s := f.vars["step"]; strings.HasPrefix(s, "berth-app-") || plain(s) != s {
		// The starter recipe's own steps say nothing to anybody, nor does an ID
		// in the words of the tools.
		sentence = strings.Replace(sentence, ` (step "{step}")`, "", 1)
	}
	about := x.about(f, m)
	return orchestrator.Cause{Code: x.code, Who: x.who, Sentence: fill(sentence, f.vars, m, limit) + suffix, Next: next,
		Telling: about, Fingerprint: orchestrator.Fingerprint(x.code, "", about), Wait: stated(f, x.who), Outside: x.outside(f, m)}
}

// about is what tells this finding from others: which one it is, and the values
// that its sentence names, whole, whatever the words around them.
func (x *finding) about(f *failure, m masker) string {
	var b strings.Builder
	b.WriteString(x.sentence + "\n")
	seen := map[string]bool{}
	for _, key := range slot.FindAllStringSubmatch(x.sentence+x.subject, -1) {
		if v := oneLine(m.mask(f.vars[key[1]])); v != "" && !seen[key[1]] {
			seen[key[1]] = true
			b.WriteString(key[1] + " " + v + "\n")
		}
	}
	if seen["line"] {
		b.WriteString(m.mask(placeNear(f.output(), f.vars["line"])))
	}
	return b.String()
}

// place is a file and a line in it, as compilers and interpreters name them.
var place = lazyregexp.New(`File "([^"\n]+)", line \d|([\w@+./\\-]+\.[A-Za-z]\w{0,9})[:(]\d|\bin ([\w@+./\\-]+\.[A-Za-z]\w{0,9}) (?:on |at )?line \d`)

// placeNear gives the file that the lines around a line name, which itself may
// name none: "invalid syntax" means another thing in another file.
func placeNear(out, line string) string {
	if line == "" || place.MatchString(line) {
		return ""
	}
	all := lines(out)
	at := slices.IndexFunc(all, func(l string) bool { return strings.Contains(l, line) })
	if at < 0 {
		return ""
	}
	for _, i := range []int{at - 1, at - 2, at - 3, at - 4, at + 1, at + 2} {
		if i < 0 || i >= len(all) {
			continue
		}
		if m := place.FindStringSubmatch(all[i]); m != nil {
			return m[1] + m[2] + m[3]
		}
	}
	return ""
}

var statedWait = lazyregexp.New(`(?i)retry[-_ ]?after["']?\s*[:=]?\s*["']?(?P<n>\d+)\s*(?P<unit>[a-z]*)|\b(?:try|retry|wait)\w*\s+(?:again\s+)?(?:in|after|for)\s+(?P<n2>\d+)\s*(?P<unit2>[a-z]*)`)

// stated is how long whoever refused asked to wait before the next try.
func stated(f *failure, who string) time.Duration {
	if who != retry {
		return 0
	}
	for _, text := range []string{f.comment, f.output()} {
		m := statedWait.FindStringSubmatch(clip(text))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1] + m[3])
		if err != nil || n > 1_000_000 {
			continue
		}
		switch unit := strings.ToLower(m[2] + m[4]); {
		case unit == "ms":
			return time.Duration(n) * time.Millisecond
		case strings.HasPrefix(unit, "m"):
			return time.Duration(n) * time.Minute
		case strings.HasPrefix(unit, "h"):
			return time.Duration(n) * time.Hour
		}
		return time.Duration(n) * time.Second
	}
	return 0
}

// host is what the name of a machine, with or without a port, looks like.
var host = lazyregexp.New(`^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d+)?$`)

// outside names the machine, elsewhere than the servers, that could not be
// reached. It is empty where that is not known, or where it was reached and
// lacks something.
func (x *finding) outside(f *failure, m masker) string {
	if x.who != retry {
		return ""
	}
	var v string
	switch x.code {
	case "git_unreachable", "cloud_unreachable":
		v = f.vars["host"]
	case "package_mirror_unreachable":
		if v = f.vars["host"] + f.vars["h"]; re(`404\s+Not Found|Hash Sum mismatch`).MatchString(f.comment + f.output()) {
			return ""
		}
	case "python_dependency":
		v = f.vars["index"]
	case "node_dependency":
		if v = f.vars["url"]; v == "" {
			v = first(f.output(), `https?://[^\s'"\]]+`)
		}
	case "source_missing", "archive_failed":
		v = f.vars["src"]
	case "image_not_found":
		name, _, _ := strings.Cut(f.vars["image"], "/")
		if v = "docker.io"; strings.ContainsAny(name, ".:") && name != f.vars["image"] {
			v = name
		}
	}
	if q := re(`"([^"]+)"`).FindStringSubmatch(v); q != nil {
		v = q[1]
	}
	v = m.mask(strings.TrimSpace(v))
	if strings.Contains(v, "://") {
		v = hostOf(v)
	}
	if !host.MatchString(v) {
		return ""
	}
	return strings.ToLower(v)
}
