package diagnose

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Terraform diagnoses the lines of `terraform apply -json` (or another command
// with -json, or init's text); stderr is what it printed beside them.
func Terraform(log, stderr []byte) orchestrator.Diagnosis { return terraform(log, stderr, -1) }

// event is a line of Terraform's JSON log; only what is looked at.
type event struct {
	Level      string      `json:"@level"`
	Message    string      `json:"@message"`
	At         time.Time   `json:"@timestamp"`
	Type       string      `json:"type"`
	Diagnostic *diagnostic `json:"diagnostic"`
	Changes    *struct {
		Operation string `json:"operation"`
	} `json:"changes"`
	Hook *struct {
		Resource struct {
			Addr string `json:"addr"`
		} `json:"resource"`
	} `json:"hook"`
}

// diagnostic is one of Terraform's own errors or warnings.
type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *struct {
		Filename string `json:"filename"`
		Start    struct {
			Line int `json:"line"`
		} `json:"start"`
	} `json:"range"`
	Snippet *struct {
		Code string `json:"code"`
	} `json:"snippet"`

	at time.Time
}

// initializing is how Terraform and OpenTofu begin to say what they do.
var initializing = lazyregexp.New(`(?m)^\s*Initializing (?:the backend|provider plugins|modules)`)

func isTerraform(b []byte) bool {
	head := b[:min(len(b), 16<<10)]
	for _, l := range bytes.Split(head, []byte("\n")) {
		l = bytes.TrimSpace(l)
		if bytes.HasPrefix(l, []byte("{")) && bytes.Contains(l, []byte(`"@level"`)) && bytes.Contains(l, []byte(`"@message"`)) {
			return true
		}
	}
	return initializing.Match(ansi.ReplaceAll(head, nil)) || bytes.HasPrefix(bytes.TrimSpace(head), []byte("╷")) ||
		(bytes.Contains(head, []byte("Terraform v")) || bytes.Contains(head, []byte("OpenTofu v"))) && bytes.Contains(head, []byte("Error:"))
}

func terraform(log, stderr []byte, exit int) orchestrator.Diagnosis {
	all := string(log) + "\n" + string(stderr)
	m := newMasker(all)
	d := orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK, Causes: []orchestrator.Cause{}}
	var diags []diagnostic
	var text []string
	summary, planned, applying, began := false, false, false, false
	resources := map[string]bool{}
	for _, l := range bytes.Split(log, []byte("\n")) {
		l = bytes.TrimSpace(l)
		var e event
		if !bytes.HasPrefix(l, []byte("{")) || json.Unmarshal(l, &e) != nil || e.Level == "" && e.Type == "" {
			text = append(text, string(l)) // empty ones too: they end a summary and a snippet
			continue
		}
		began = true
		switch {
		case e.Diagnostic != nil && e.Diagnostic.Severity == "error":
			e.Diagnostic.at = e.At
			diags = append(diags, *e.Diagnostic)
		case e.Type == "change_summary" && e.Changes != nil && e.Changes.Operation != "plan":
			summary = true
		case e.Type == "change_summary":
			planned = true
		case e.Type == "apply_start" || e.Type == "apply_progress" || e.Type == "apply_complete":
			applying = true
		}
		if e.Hook != nil && e.Hook.Resource.Addr != "" {
			resources[e.Hook.Resource.Addr] = true
		}
	}
	d.Total = len(resources)
	if len(diags) == 0 {
		diags = append(diags, plainErrors(strings.Join(text, "\n"))...)
	}
	// The reason of a failed init is in its text; what comes after it only
	// says that it was not run.
	if only := plainErrors(string(stderr)); len(only) > 0 && (len(diags) == 0 || initFirst(diags)) {
		diags = append(only, slices.DeleteFunc(diags, func(g diagnostic) bool { return unprepared.MatchString(g.Summary) })...)
	}
	local := onBerthsMachine(log)
	d.Causes = terraformCauses(diags, m, local)
	if len(d.Causes) > 0 {
		d.Outcome = orchestrator.OutcomeFailed
		return d
	}
	if summary || exit == 0 || planned && !applying && exit < 0 {
		return d
	}
	rest := strings.TrimSpace(strings.Join(text, "\n") + "\n" + string(stderr))
	if !began && rest == "" && exit < 0 {
		d.Outcome = orchestrator.OutcomeUnreadable
	} else {
		d.Outcome = orchestrator.OutcomeFailed
	}
	f := &failure{module: "backend", comment: rest, vars: vars{"line": plainly(commentOf(rest)), "what": "the machines"}}
	if local {
		f.vars["local"] = "yes"
	}
	var x *finding
	if rest != "" {
		x = match(machineRecords, f)
	}
	switch {
	case x != nil && (!killedExits[exit] || x.code == "disk_full" || x.code == "out_of_memory"):
	case !began && rest != "" && !killedExits[exit]:
		x = unknownMachineRecord.finding()
	default: // it was writing its log, and the log just ends
		x = killedRun.finding()
		lost(f, x)
	}
	cause := x.cause(f, m, 0)
	cause.Evidence = m.evidence(redactUserData(rest), redactUserData(tail(string(log))))
	d.Causes = append(d.Causes, cause)
	return d
}

// unprepared is what a run says whose preparation has failed.
var unprepared = lazyregexp.New(`^(?:Inconsistent dependency lock file|Module not installed|Backend (?:initialization required|configuration changed)|Missing required provider|Required plugins are not installed)`)

func initFirst(diags []diagnostic) bool {
	for _, g := range diags {
		if !re(`Inconsistent dependency lock file|Module not installed|Backend (?:initialization required|configuration changed)|Missing required provider|Required plugins are not installed|(?i:^Error (?:loading|refreshing|inspecting|configuring|reading))|Failed to get existing|Error acquiring the state lock|Argument or block|Reference to|Duplicate|Invalid|Unsupported|Unterminated|Unclosed`).MatchString(g.Summary) {
			return false
		}
	}
	return true
}

// plainErrors finds the errors of Terraform's text for people.
func plainErrors(text string) []diagnostic {
	text = ansi.ReplaceAllString(text, "")
	text = strings.NewReplacer("│ ", "", "│", "", "╷", "", "╵", "").Replace(text)
	var out []diagnostic
	for i, part := range re(`(?m)^\s*Error: `).Split(text, -1) {
		if i == 0 {
			continue
		}
		if len(out) > 0 && strings.HasPrefix(part, "operation error ") { // what an error ends with
			out[len(out)-1].Detail += "\n\n" + strings.TrimSpace(part)
			continue
		}
		// A long summary is wrapped; a blank line ends it.
		summary, detail, _ := strings.Cut(strings.TrimSpace(part), "\n\n")
		if first, rest, ok := strings.Cut(summary, "\n"); ok && (len(first) < 60 || len(rest) > 400 || re(`(?m)^ `).MatchString(rest)) {
			summary, detail = first, rest+"\n\n"+detail
		}
		g := diagnostic{Severity: "error", Summary: oneLine(summary), Detail: strings.TrimSpace(detail)}
		if m := re(`(?m)^\s*on (\S+) line (\d+)`).FindStringSubmatch(detail); m != nil {
			where := re(`(?ms)^\s*on \S+ line \d+.*?(?:\n\n|\z)`)
			g.Snippet = &struct {
				Code string `json:"code"`
			}{where.FindString(detail)}
			g.Detail = strings.TrimSpace(where.ReplaceAllString(detail, ""))
			g.Summary += "\x00" + m[1] + ":" + m[2]
		}
		if m := re(`(?m)^\s*with (\S+?),$`).FindStringSubmatch(detail); m != nil {
			g.Address = m[1]
			g.Detail = strings.TrimSpace(re(`(?m)^\s*with \S+?,$`).ReplaceAllString(g.Detail, ""))
		}
		out = append(out, g)
	}
	return out
}

// failure is what the tables are asked with.
func (g diagnostic) failure(local bool) *failure {
	summary, place, _ := strings.Cut(g.Summary, "\x00")
	comment := strings.TrimSpace(summary + "\n" + g.Detail)
	if len(comment) > 32<<10 {
		comment = clip(comment)
	}
	f := &failure{module: "machine", comment: comment, vars: vars{"summary": summary, "detail": g.Detail, "address": g.Address}}
	if g.Address == "" {
		f.module = "backend"
	}
	if local {
		f.vars["local"] = "yes"
	}
	if g.Range != nil {
		place = g.Range.Filename + ":" + count(g.Range.Start.Line)
	}
	file, ln, _ := strings.Cut(place, ":")
	f.vars["file"] = file[strings.LastIndex(file, "/")+1:]
	if file != "" {
		f.vars["place"] = ` (file "` + f.vars["file"] + `", line ` + ln + ")"
	}
	if g.Snippet != nil {
		f.vars["snippet"] = g.Snippet.Code
	}
	f.vars["what"] = resourceName(g.Address)
	a := answerOf(comment)
	f.vars["answer"], f.vars["call"], f.vars["said"] = a.code, a.call, plainly(a.said)
	if a.said == "" {
		f.vars["said"] = plainly(strings.SplitN(summary, "\n", 2)[0])
	}
	f.vars["line"] = f.vars["said"]
	if det := oneLine(g.Detail); a.said == "" && det != "" && len(summary) < 60 {
		f.vars["line"] = plainly(summary + ": " + det)
	}
	if !g.at.IsZero() {
		f.vars["now"] = g.at.Format(time.RFC3339)
	}
	return f
}

// terraformCauses finds the causes behind diagnostics: equal ones are folded,
// and what only follows from another is left out.
func terraformCauses(diags []diagnostic, m masker, local bool) []orchestrator.Cause {
	type one struct {
		key, code string
		f         *failure
		x         *finding
		evidence  string
		prefer    int
	}
	var found []one
	codes := map[string]bool{}
next:
	for _, g := range diags {
		if preface.MatchString(g.Summary) || len(diags) > 1 && unconfigured.MatchString(g.Detail) {
			continue
		}
		f := g.failure(local)
		x := match(machineRecords, f)
		if x == nil {
			x = unknownMachineRecord.finding()
		}
		codes[x.code] = true
		o := one{code: x.code, f: f, x: x, evidence: m.evidence(redactUserData(f.comment), g.Address)}
		o.key = x.code + "\x00" + fill(x.subject, f.vars, masker{}, 4000)
		if x.code == "module_invalid" && strings.Contains(f.vars["summary"], "Unsupported argument") {
			o.prefer = 1
		}
		for i := range found {
			if found[i].key == o.key {
				if o.prefer > found[i].prefer {
					found[i] = o
				}
				continue next
			}
		}
		found = append(found, o)
	}
	// A full disk, a lost record or an interruption shows in several errors.
	shadowed := map[string]bool{}
	for code, others := range follows {
		if codes[code] {
			for _, o := range others {
				shadowed[o] = true
			}
		}
	}
	out := []orchestrator.Cause{}
	for _, o := range found {
		if shadowed[o.code] && (o.code != "command_failed" || brokenOff.MatchString(o.f.comment)) {
			continue
		}
		cause := o.x.cause(o.f, m, 0)
		cause.Where = m.mask(o.f.vars["address"])
		cause.Evidence = o.evidence
		out = append(out, cause)
	}
	return out
}

// follows are the codes that one code brings along, which then say nothing.
var follows = map[string][]string{
	"disk_full":         {"state_unreachable", "state_corrupt"},
	"state_corrupt":     {"state_locked", "state_unreachable"},
	"permission_denied": {"state_unreachable"},
	"provider_missing":  {"module_invalid"},
	"interrupted":       {"command_failed"},
}

var (
	// preface is the heading of a list of errors.
	preface = lazyregexp.New(`(?:encountered problems during initiali[sz]ation|^There are some problems with the configuration)`)
	// unconfigured follows when a provider without a block of its own refuses
	// what it got from the environment.
	unconfigured = lazyregexp.New(`^Provider "[^"]+" requires explicit\s+configuration`)
	brokenOff    = lazyregexp.New(`signal: |context cancel`)
)

// redactUserData takes a machine's start-up data out of an error: it holds the
// enrolment token.
func redactUserData(s string) string {
	return regexp.MustCompile(`(?s)(user_data\b.{0,80}?, got ).*`).ReplaceAllString(s, "${1}(left out)")
}

// resourceName says a resource's address in words: the server "api".
func resourceName(address string) string {
	if m := regexp.MustCompile(`(?:server|instance|vm|machine|droplet)\w*\.[\w-]+\["([^"]+)"\]`).FindStringSubmatch(address); m != nil {
		return `the server "` + m[1] + `"`
	}
	if m := regexp.MustCompile(`\["([^"]+)"\]$`).FindStringSubmatch(address); m != nil {
		return `"` + m[1] + `"`
	}
	if address == "" {
		return "the machines"
	}
	return `"` + address[strings.LastIndex(address[:max(0, strings.LastIndex(address, "."))], ".")+1:] + `"`
}
