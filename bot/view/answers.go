package view

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot"
	o "github.com/berth-dev/berth/orchestrator"
)

// The forms that an Action can open.
const (
	FormCreate = "create"
	FormDeploy = "deploy"
	FormExtend = "extend"
)

// ErrorView tells a person what is wrong and what to do. The commands that it
// suggests become buttons; corrected is what they probably meant, if anything.
func ErrorView(err error, typed o.Command) View {
	var e *o.Error
	if !errors.As(err, &e) {
		e = o.Errorf(o.CodeInternal, "Something went wrong on Berth's side.").WithHint("try again; if it stays, ask ops to look into Berth's log")
	}
	v := View{Text: said(e.Message, e.Hint), Parts: []Part{Paragraph{[]Span{plain(e.Message)}}}}
	var actions []Action
	for _, text := range corrections(e, typed) {
		if len(actions) < 3 {
			actions = append(actions, Action{Label: short(text, 70), Command: text})
		}
	}
	if len(actions) > 0 {
		actions[0].Style = StylePrimary
		if len(e.All) > 0 { // the button has the nearest of each alone
			v.Parts = append(v.Parts, Note{[]Span{commands("Next: " + e.Hint)}})
		}
		v.Parts = append(v.Parts, Note{[]Span{plain("Did you mean this?")}}, Actions{actions})
		return v
	}
	if e.Hint != "" {
		v.Parts = append(v.Parts, Note{[]Span{commands("Next: " + e.Hint)}})
	}
	return v
}

// corrections are whole commands: an error of the grammar suggests them, others
// suggest names, which are put in the wrong one's place.
func corrections(e *o.Error, typed o.Command) []string {
	var out []string
	for _, s := range e.Suggestions {
		if p, err := bot.Parse(s); err == nil && !p.Guess && p.Canonical == s {
			out = append(out, s)
		}
	}
	if len(out) > 0 {
		return out
	}
	return bot.Corrected(e, typed)
}

// said is the one text of an error: what is wrong, and what to do.
func said(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return bot.Commands(strings.Join(out, " Next: "))
}

func short(text string, limit int) string {
	r := []rune(text)
	if len(r) <= limit {
		return text
	}
	return string(r[:limit-1]) + "…"
}

// EnvironmentsView lists environments; mine offers what an owner can do.
func EnvironmentsView(all []o.Environment, mine bool, now time.Time) View {
	return environmentsView(all, mine, func(e o.Environment) []Span { return []Span{plain(ends(e, now))} })
}

// environmentsView is EnvironmentsView that says when one ends as the caller wants.
func environmentsView(all []o.Environment, mine bool, end func(o.Environment) []Span) View {
	if len(all) == 0 {
		text := "There are no environments."
		if mine {
			text = "You have no environments."
		}
		return View{Text: text + " Make one with: berth env create NAME", Parts: []Part{
			Paragraph{[]Span{plain(text)}},
			Actions{[]Action{newEnvironment()}},
		}}
	}
	title := fmt.Sprintf("%d environments", len(all))
	switch {
	case mine && len(all) == 1:
		title = "Your environment"
	case mine:
		title = fmt.Sprintf("Your %d environments", len(all))
	case len(all) == 1:
		title = "1 environment"
	}
	v := View{Text: title + ": " + names(all), Parts: []Part{Heading{title}}}
	const most = 15
	for _, e := range all[:min(len(all), most)] {
		v.Parts = append(v.Parts, Lines{[]Line{{State: stateOf(e.Status), Spans: environmentLine(e, end(e))}}})
		if mine {
			v.Parts = append(v.Parts, Actions{environmentActions(e)})
		}
	}
	if n := len(all) - most; n > 0 {
		v.Parts = append(v.Parts, Note{[]Span{plain(fmt.Sprintf("… and %d more.", n))}})
	}
	if mine {
		v.Parts = append(v.Parts, Divider{}, Actions{[]Action{newEnvironment()}})
	}
	return v
}

func newEnvironment() Action {
	return Action{Label: "New environment", Style: StylePrimary, Form: FormCreate}
}

func names(all []o.Environment) string {
	var out []string
	for _, e := range all[:min(len(all), 15)] {
		out = append(out, fmt.Sprintf("%s (%s)", e.Name, e.Status))
	}
	if len(all) > 15 {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

func environmentLine(e o.Environment, end []Span) []Span {
	spans := []Span{strong(e.Name), plain(" — " + e.Condition() + ", owner "), person(e.Owner), plain(", ")}
	spans = append(spans, end...)
	for _, s := range e.Servers {
		spans = append(spans, plain("\n"), link(s.App, s.URL), plain(" "), code(running(s)))
		if s.Status != e.Status || s.Machine != "" {
			spans = append(spans, plain(" "+s.Condition()))
		}
	}
	return spans
}

// running is the branch and commit that a server really runs, or is to run.
func running(s o.Server) string {
	branch, commit := s.Branch, s.Revision
	if commit == "" {
		commit = s.Commit
	} else if s.RunningBranch != "" {
		branch = s.RunningBranch
	}
	return branch + " @ " + commit[:min(len(commit), 7)]
}

func ends(e o.Environment, now time.Time) string {
	if e.ExpiresAt.IsZero() {
		return "without an end"
	}
	return "ends in " + Duration(e.ExpiresAt.Sub(now))
}

// Duration writes a duration as people say it.
func Duration(d time.Duration) string { return o.Duration(d) }

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func stateOf(s o.Status) State {
	switch s {
	case o.StatusReady:
		return StateGood
	case o.StatusFailed:
		return StateBad
	case o.StatusDestroyed:
		return StateGone
	}
	return StateWorking
}

func about(e o.Environment) About {
	a := About{Environment: e.ID}
	if e.Operation != nil {
		a.Operation = e.Operation.ID
	}
	return a
}

func environmentActions(e o.Environment) []Action {
	a := about(e)
	switch e.Status {
	case o.StatusReady:
		return []Action{
			{Label: "Extend", Command: "env extend " + e.Name + " 1d", About: a},
			{Label: "Deploy…", Form: FormDeploy, Command: "env deploy " + e.Name, About: a},
			{Label: "Details", Command: "env show " + e.Name, About: a},
			destroyAction(e),
		}
	case o.StatusFailed:
		if repairable(e) {
			return []Action{
				{Label: "Repair", Style: StylePrimary, Command: "env repair " + e.Name, About: a},
				{Label: "Why?", Command: "env why " + e.Name, About: a},
				{Label: "Details", Command: "env show " + e.Name, About: a},
				destroyAction(e),
			}
		}
		return []Action{
			{Label: "Retry", Style: StylePrimary, Command: "env retry " + e.Name, About: a},
			{Label: "Why?", Command: "env why " + e.Name, About: a},
			{Label: "Details", Command: "env show " + e.Name, About: a},
			destroyAction(e),
		}
	case o.StatusDestroying:
		return []Action{{Label: "Details", Command: "env show " + e.Name, About: a}}
	}
	return []Action{
		{Label: "Details", Command: "env show " + e.Name, About: a},
		{Label: "Cancel", Command: "env cancel " + e.Name, About: a},
		destroyAction(e),
	}
}

// repairable says that a machine of e is gone or stands still.
func repairable(e o.Environment) bool {
	return slices.ContainsFunc(e.Servers, func(s o.Server) bool {
		return s.Machine == o.MachineGone || s.Machine == o.MachineStopped
	})
}

// NoticeView tells an owner what has befallen the machines of an environment.
func NoticeView(e o.Environment, causes []o.Cause) View {
	v := View{}
	said := ""
	for _, c := range causes {
		v.Text += c.Sentence + " "
		v.Parts = append(v.Parts, Paragraph{[]Span{plain(c.Sentence)}})
		if c.Next != said { // once for all that need the same
			said = c.Next
			v.Parts = append(v.Parts, Note{[]Span{commands("Next: " + c.Next)}})
		}
	}
	v.Text += "Repair " + e.Name + ", or let it go."
	a := about(e)
	v.Parts = append(v.Parts, Actions{[]Action{
		{Label: "Repair", Style: StylePrimary, Command: "env repair " + e.Name, About: a},
		{Label: "Details", Command: "env show " + e.Name, About: a},
		destroyAction(e),
	}})
	return v
}

// OverView is what a notice says when what it told is so no more.
func OverView(e o.Environment) View {
	text := "What was told here is over: nothing is known to be wrong with the machines of " + e.Name + "."
	switch {
	case e.Status == o.StatusDestroyed:
		text = "What was told here is over: " + e.Name + " is gone."
	case slices.ContainsFunc(e.Servers, func(s o.Server) bool { return s.Machine != "" }):
		text = "What was told here has changed; what is wrong with the machines of " + e.Name + " now is told below."
	}
	return View{Text: text, Parts: []Part{Paragraph{[]Span{plain(text)}}}}
}

// destroyAction asks before it ends an environment, naming all that goes.
func destroyAction(e o.Environment) Action {
	return Action{Label: "Destroy", Style: StyleDanger, Command: "env destroy " + e.Name, About: about(e), Confirm: confirmDestroy(e, "")}
}

func confirmDestroy(e o.Environment, app string) *Confirm {
	whole := app == "" || len(e.Servers) == 1
	title, what := e.Name, "the environment "+e.Name
	var going []string
	for _, s := range e.Servers {
		if app == "" || s.App == app {
			going = append(going, fmt.Sprintf("%s (%s)", s.Name, s.Branch))
		}
	}
	switch {
	case !whole:
		title, what = e.Name+"/"+app, "the server "+list(going)
	case len(going) == 1:
		what += " and its only server, " + going[0]
	case len(going) > 1:
		what += " and its servers " + list(going)
	}
	return &Confirm{Title: short("Destroy "+title+"?", 100), Text: short("This ends "+what+". It cannot be undone.", 300), Yes: "Destroy", No: "Keep it"}
}

func list(all []string) string {
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// ConfirmDestroyView answers a destroy that was typed: it asks, and its button
// does it. App narrows it to one server.
func ConfirmDestroyView(e o.Environment, app, command string) View {
	c := confirmDestroy(e, app)
	return View{Text: c.Title + " " + c.Text, Parts: []Part{
		Paragraph{[]Span{strong(c.Title), plain(" " + c.Text)}},
		Actions{[]Action{
			{Label: c.Yes, Style: StyleDanger, Command: command, About: about(e)},
			{Label: c.No, Command: "env show " + e.Name, About: about(e)},
		}},
	}}
}

// EnvironmentView shows every detail of one environment.
func EnvironmentView(e o.Environment, now time.Time) View {
	v := View{Text: fmt.Sprintf("%s is %s; %s.", e.Name, e.Condition(), ends(e, now)), Parts: []Part{
		Heading{e.Name + " — " + e.Condition()},
		Facts{[]Fact{
			{"Owner", []Span{person(e.Owner)}},
			{"Ends", []Span{when(e.ExpiresAt), plain(" (" + strings.TrimPrefix(ends(e, now), "ends ") + ")")}},
			{"Target", []Span{plain(e.Target)}},
			{"Made", []Span{when(e.CreatedAt)}},
		}},
		detailLines(e.Servers),
	}}
	if e.Status == o.StatusFailed && e.Diagnosis != nil {
		v.Parts = append(v.Parts, diagnosisParts(*e.Diagnosis, e)...)
		v.Text += " " + diagnosisText(*e.Diagnosis)
	}
	v.Parts = append(v.Parts, Actions{without(environmentActions(e), "Details")})
	return v
}

func without(all []Action, label string) []Action {
	return slices.DeleteFunc(all, func(a Action) bool { return a.Label == label })
}

func serverLines(all []o.Server) Lines {
	var l Lines
	for _, s := range all {
		l.Lines = append(l.Lines, Line{State: stateOf(s.Status), Spans: serverLine(s)})
	}
	return l
}

// detailLines are serverLines with the settings that come from other servers.
func detailLines(all []o.Server) Lines {
	l := serverLines(all)
	for i, s := range all {
		for _, key := range slices.Sorted(maps.Keys(s.Needs)) {
			l.Lines[i].Spans = append(l.Lines[i].Spans, plain("\n"+key+" "), code(s.Needs[key]))
		}
	}
	return l
}

func serverLine(s o.Server) []Span {
	spans := []Span{strong(s.Name), plain(" — " + s.Condition() + " "), code(running(s))}
	if s.URL != "" && s.Status == o.StatusReady {
		spans = append(spans, plain(" "), link(s.URL, s.URL))
	}
	if s.Agent == o.AgentSilent {
		spans = append(spans, plain(" (not heard of"))
		if s.LastSeen != nil {
			spans = append(spans, plain(" since "), when(*s.LastSeen))
		}
		spans = append(spans, plain(")"))
	}
	return spans
}

// ServersView lists servers.
func ServersView(all []o.Server) View {
	if len(all) == 0 {
		return View{Text: "There are no servers. Make one with: berth server create APP BRANCH",
			Parts: []Part{Paragraph{[]Span{plain("There are no servers.")}}, Note{[]Span{plain("Make one with "), typed("server create APP BRANCH")}}}}
	}
	const most = 40
	var ns []string
	for _, s := range all[:min(len(all), most)] {
		ns = append(ns, fmt.Sprintf("%s (%s)", s.Name, s.Status))
	}
	v := View{Text: count(len(all), "server") + ": " + strings.Join(ns, ", "), Parts: []Part{Heading{count(len(all), "server")}, serverLines(all[:min(len(all), most)])}}
	if n := len(all) - most; n > 0 {
		v.Parts = append(v.Parts, Note{[]Span{commands(fmt.Sprintf("… and %d more; server list app=APP narrows it down.", n))}})
	}
	return v
}

// ServerView shows one server.
func ServerView(e o.Environment, s o.Server, now time.Time) View {
	facts := []Fact{
		{"Branch", []Span{code(s.Branch)}},
		{"Revision", []Span{code(s.Revision)}},
		{"Last heard of", []Span{plain(heard(s, now))}},
		{"Owner", []Span{person(e.Owner)}},
	}
	if s.URL != "" {
		facts = append(facts, Fact{"Address", []Span{link(s.URL, s.URL)}})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Needs)) {
		facts = append(facts, Fact{key, []Span{code(s.Needs[key])}})
	}
	return View{Text: fmt.Sprintf("%s is %s and runs %s.", s.Name, s.Status, running(s)), Parts: []Part{
		Heading{s.Name + " — " + string(s.Status)}, Facts{facts},
		Actions{[]Action{
			{Label: "Log", Command: "env logs " + s.Name, About: about(e)},
			{Label: "Destroy", Style: StyleDanger, Command: "server destroy " + s.Name, About: about(e), Confirm: confirmDestroy(e, s.App)},
		}},
	}}
}

// heard is when a server last called home.
func heard(s o.Server, now time.Time) string {
	if s.LastSeen == nil {
		return "never"
	}
	return Duration(max(now.Sub(*s.LastSeen), 0)) + " ago"
}

// WhyView tells why something failed and what to do.
func WhyView(e o.Environment) View {
	if e.Diagnosis == nil || len(e.Diagnosis.Causes) == 0 {
		text := fmt.Sprintf("%s is %s: nothing has failed.", e.Name, e.Status)
		return View{Text: text, Parts: []Part{Paragraph{[]Span{plain(text)}}}}
	}
	parts := append([]Part{Heading{"Why " + e.Name + " failed"}}, diagnosisParts(*e.Diagnosis, e)...)
	parts = append(parts, askParts(e.Diagnosis)...)
	return View{Text: e.Name + ": " + diagnosisText(*e.Diagnosis), Parts: append(parts, Actions{append([]Action{{Label: "All of it", Command: "env why " + e.Name + " all", About: about(e)}}, without(environmentActions(e), "Why?")...)})}
}

// askParts are the messages to ops, to be copied from where they stand.
func askParts(d *o.Diagnosis) []Part {
	var parts []Part
	for _, ask := range d.Asks() {
		parts = append(parts, Note{[]Span{plain("The message to ops, ready to be sent on:")}}, Code{Text: ask})
	}
	return parts
}

// WhyAllView shows the tree of a failure.
func WhyAllView(e o.Environment, tree string) View {
	v := WhyView(e)
	v.Parts = []Part{Heading{"Why " + e.Name + " failed"}, Code{Text: tree}}
	if e.Status != o.StatusFailed {
		v.Parts[0] = Heading{e.Name + " — " + string(e.Status)}
	}
	v.Parts = append(v.Parts, Actions{append([]Action{{Label: "Evidence", Command: "env why " + e.Name + " raw", About: about(e)}}, without(environmentActions(e), "Why?")...)})
	return v
}

// whoCan says who can mend a cause.
var whoCan = map[string]string{"developer": "You can mend this.", "ops": "Ops can mend this.", "retry": "Trying again may be enough."}

// manyCauses is how many causes are told where there is little room.
const manyCauses = 5

func diagnosisText(d o.Diagnosis) string {
	var out []string
	for _, c := range d.Causes[:min(len(d.Causes), manyCauses)] {
		out = append(out, c.Sentence)
		if c.Common != nil {
			out = append(out, c.Common.Sentence)
		}
	}
	if n := len(d.Causes) - manyCauses; n > 0 {
		out = append(out, fmt.Sprintf("There are %d more causes.", n))
		if n == 1 {
			out[len(out)-1] = "There is 1 more cause."
		}
	}
	return strings.Join(out, " ")
}

func diagnosisParts(d o.Diagnosis, e o.Environment) []Part {
	var parts []Part
	for _, c := range d.Causes[:min(len(d.Causes), manyCauses)] {
		spans := []Span{}
		if place := c.Place(); place != "" {
			spans = append(spans, strong(place), plain(": "))
		}
		spans = append(spans, plain(c.Sentence+"\n"))
		if c.Compared != nil {
			spans = append(spans, plain(c.Compared.Sentence+"\n"))
		}
		if c.Common != nil {
			spans = append(spans, plain(c.Common.Sentence+"\n"))
		}
		if c.Canceled() {
			if c.Next != "" {
				spans = append(spans, commands("Next: "+c.Next))
			}
			parts = append(parts, Lines{[]Line{{State: StateGone, Spans: spans}}})
			continue
		}
		spans = append(spans, plain(whoCan[c.Who]))
		if c.Next != "" {
			spans = append(spans, commands(" Next: "+c.Next)) // often a sentence
		}
		spans = append(spans, history(c.History)...)
		parts = append(parts, Lines{[]Line{{State: StateBad, Spans: spans}}})
	}
	if n := len(d.Causes) - manyCauses; n > 0 {
		parts = append(parts, Note{[]Span{commands(fmt.Sprintf("… and %d more; env why %s all shows them.", n, e.Name))}})
	}
	if back := o.GoBack(e); back != "" {
		parts = append(parts, Note{[]Span{plain("To go back to what ran before: "), typed(back)}})
	}
	return parts
}

// history is what is known of a cause from before. What ops say is their text.
func history(h *o.History) []Span {
	var spans []Span
	if text, command := h.Words(); text != "" {
		spans = append(spans, plain("\n"+text))
		if command != "" {
			spans = append(spans, plain(" "), typed(command), plain("."))
		}
	}
	if h != nil && h.Note != nil {
		spans = append(spans, plain("\nOps say: "+h.Note.Text))
	}
	return spans
}

// HistoryView lists what was done to an environment.
func HistoryView(name string, ops []o.Operation) View {
	v := View{Text: count(len(ops), "operation") + " on " + name, Parts: []Part{Heading{"What was done to " + name}}}
	const most = 20
	for _, op := range ops[:min(len(ops), most)] {
		state := StateWorking
		switch op.Status {
		case o.OperationSucceeded:
			state = StateGood
		case o.OperationFailed:
			state = StateBad
		case o.OperationCanceled:
			state = StateGone
		case o.OperationQueued:
			state = StateWaiting
		}
		v.Parts = append(v.Parts, Lines{[]Line{{State: state, Spans: []Span{when(op.CreatedAt), plain(" "), person(op.Actor), plain(" "), typed(op.Text), plain(" — " + string(op.Status) + commits(op))}}}})
	}
	return v
}

// commits are what an operation put on servers, in a form that a deploy takes.
func commits(op o.Operation) string {
	if len(op.Changes) == 0 {
		return ""
	}
	var out []string
	for _, c := range op.Changes {
		out = append(out, c.App+"="+c.Commit[:min(len(c.Commit), 10)])
	}
	return ", " + strings.Join(out, " ")
}

// PlanView shows what env create would make.
func PlanView(p o.Plan) View {
	v := View{Text: fmt.Sprintf("%s would have %s on %s; nothing has been changed.", p.Name, count(len(p.Servers), "server"), p.Target),
		Parts: []Part{Heading{"What " + p.Name + " would be"}}}
	var l Lines
	for _, s := range p.Servers {
		spans := []Span{strong(p.Name + "/" + s.App), plain(" "), code(s.Branch + " @ " + s.Commit[:min(7, len(s.Commit))])}
		if len(s.Needs) > 0 {
			spans = append(spans, plain(" "+strings.Join(s.Needs, ", ")))
		}
		l.Lines = append(l.Lines, Line{State: StateWaiting, Spans: spans})
	}
	v.Parts = append(v.Parts, l, Note{[]Span{plain("On " + p.Target + ", for " + lifetime(p.Lifetime) + ". Nothing has been changed.")}})
	if p.Note != "" {
		v.Parts = append(v.Parts, Note{[]Span{commands(p.Note)}})
	}
	return v
}

// lifetime writes a Plan's lifetime as people say it.
func lifetime(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil {
		return s
	}
	return Duration(d)
}

// HelpView is the help for a verb, or for everything.
func HelpView(noun, verb string) View {
	text := bot.ProgramHelp(noun, verb)
	return View{Text: "How to use Berth", Parts: []Part{Code{Text: text, Commands: true}, Actions{[]Action{newEnvironment(), {Label: "My environments", Command: "env list mine"}}}}}
}

// AnswerView shows what a command was answered with, except for the card of
// an operation; see CardView.
func AnswerView(cmd o.Command, a o.Answer, now time.Time) View {
	switch {
	case a.Environments != nil:
		return EnvironmentsView(*a.Environments, cmd.Mine, now)
	case a.Servers != nil:
		return ServersView(*a.Servers)
	case a.History != nil:
		return HistoryView(cmd.Environment, *a.History)
	case a.Plan != nil:
		return PlanView(*a.Plan)
	case cmd.Verb == o.VerbWhy:
		return WhyView(*a.Environment)
	case cmd.Verb == o.VerbExtend:
		text := fmt.Sprintf("%s now ends in %s.", a.Environment.Name, Duration(a.Environment.ExpiresAt.Sub(now)))
		return View{Text: text, Public: true, Parts: []Part{Paragraph{[]Span{strong(a.Environment.Name), plain(" now ends "), when(a.Environment.ExpiresAt), plain(".")}}}}
	case cmd.Verb == o.VerbRename:
		text := fmt.Sprintf("%s is now called %s.", cmd.Environment, a.Environment.Name)
		return View{Text: text, Public: true, Parts: []Part{Paragraph{[]Span{plain(cmd.Environment + " is now called "), strong(a.Environment.Name), plain(".")}}}}
	case a.Server != nil:
		return ServerView(*a.Environment, *a.Server, now)
	case a.Note != "":
		return View{Text: a.Note, Parts: []Part{Paragraph{[]Span{plain(a.Note)}}}}
	}
	return EnvironmentView(*a.Environment, now)
}

// HomeViews is a person's home: their environments with what can be done, what
// runs now, and everybody else's below. It says at what time things end, not in
// how long: it stands for a while and is the same until something changes.
func HomeViews(name string, all []o.Environment) []View {
	end := func(e o.Environment) []Span {
		if e.ExpiresAt.IsZero() {
			return []Span{plain("without an end")}
		}
		return []Span{plain("ends "), when(e.ExpiresAt)}
	}
	var mine, others, busy []o.Environment
	for _, e := range all {
		if e.Owner == name {
			mine = append(mine, e)
		} else {
			others = append(others, e)
		}
		if e.Operation != nil && !e.Operation.Status.Ended() {
			busy = append(busy, e)
		}
	}
	views := []View{environmentsView(mine, true, end)}
	if len(busy) > 0 {
		v := View{Text: "Running now: " + names(busy), Parts: []Part{Heading{"Running now"}}}
		for _, e := range busy[:min(len(busy), 10)] {
			v.Parts = append(v.Parts, Lines{[]Line{{State: StateWorking, Spans: []Span{person(e.Operation.Actor), plain(" "), typed(e.Operation.Text)}}}})
		}
		views = append(views, v)
	}
	if len(others) > 0 {
		v := environmentsView(others, false, end)
		v.Parts[0] = Heading{"Everybody else's"}
		views = append(views, v)
	}
	return views
}

// IncidentView tells ops what several environments have for one reason.
func IncidentView(i o.Incident, now time.Time) View {
	words := i.Words(now)
	state := StateBad
	if i.Ended != nil {
		state = StateGood
		words += " It is over."
	}
	const most = 15
	names := i.Environments[:min(len(i.Environments), most)]
	affected := strings.Join(names, ", ")
	if n := len(i.Environments) - most; n > 0 {
		affected += fmt.Sprintf(" and %d more", n)
	}
	v := View{Text: words + " Environments: " + affected + ".", Public: true, Parts: []Part{
		Lines{[]Line{{State: state, Spans: []Span{strong(words)}}}},
		Facts{[]Fact{{"Environments", []Span{plain(affected)}}, {"First seen", []Span{when(i.Since)}}}},
	}}
	if i.Sentence != "" && !strings.Contains(words, i.Sentence) {
		v.Parts = append(v.Parts, Paragraph{[]Span{plain(i.Sentence)}})
	}
	if i.Ended == nil && len(names) > 0 {
		v.Parts = append(v.Parts, Note{[]Span{commands("This message is kept up to date. All that is known: env why " + names[len(names)-1] + " all")}})
	}
	return v
}
