package view

import (
	"fmt"
	"strings"
	"time"

	o "github.com/berth-dev/berth/orchestrator"
)

// doing and done name a kind of operation while it runs and when it ended well.
var doing = map[o.Kind]string{
	o.KindCreate: "Making", o.KindServerCreate: "Adding a server to", o.KindDeploy: "Deploying to",
	o.KindRetry: "Trying again on", o.KindRepair: "Repairing", o.KindDestroy: "Destroying", o.KindServerDestroy: "Removing a server from",
}

// CardView is the card of one operation: who asked, what each server is doing,
// and in the end the links or the causes. It is made anew for each edit.
func CardView(op o.Operation, e o.Environment, events []o.Event, now time.Time) View {
	v := View{Public: true}
	title := cardTitle(op, e)
	v.Parts = append(v.Parts, Heading{title},
		Paragraph{cardReason(op, e)})
	if e.Status != o.StatusDestroyed {
		v.Parts = append(v.Parts, cardLines(op, e, events))
	}
	text := title + "."
	if op.Status.Ended() {
		if op.Diagnosis != nil && op.Status != o.OperationSucceeded {
			v.Parts = append(v.Parts, diagnosisParts(*op.Diagnosis, e)...)
			text += " " + diagnosisText(*op.Diagnosis)
		}
		v.Parts = append(v.Parts, Note{cardEnd(op, e)})
		if actions := cardActions(op, e); len(actions) > 0 {
			v.Parts = append(v.Parts, Actions{actions})
		}
	} else {
		v.Parts = append(v.Parts, Note{cardProgress(op, e, events, now)})
		v.Parts = append(v.Parts, Actions{[]Action{{Label: "Cancel", Command: "env cancel " + e.Name, About: About{e.ID, op.ID}},
			{Label: "Details", Command: "env show " + e.Name, About: About{e.ID, op.ID}}}})
	}
	v.Text = text
	return v
}

// ForWhom is the person whom an operation's end is told to: who asked for it,
// or the owner of what Berth ends by itself.
func ForWhom(op o.Operation, e o.Environment) string {
	if op.Actor == o.Itself {
		return e.Owner
	}
	return op.Actor
}

// cardReason says why this is being done.
func cardReason(op o.Operation, e o.Environment) []Span {
	if op.Actor == o.Itself && e.ExpiresAt.After(op.CreatedAt) {
		return []Span{plain("Berth tried again by itself to destroy "), strong(e.Name), plain(", "), person(e.Owner), plain(".")}
	}
	if op.Actor == o.Itself {
		return []Span{plain("The lifetime of "), strong(e.Name), plain(" is over, "), person(e.Owner), plain(".")}
	}
	return []Span{person(op.Actor), plain(" asked: "), typed(op.Text)}
}

func cardTitle(op o.Operation, e o.Environment) string {
	switch op.Status {
	case o.OperationQueued:
		return fmt.Sprintf("Waiting: number %d in the queue of %s", op.Position, e.Name)
	case o.OperationRunning:
		return doing[op.Kind] + " " + e.Name
	case o.OperationCanceled:
		return e.Name + ": canceled"
	case o.OperationFailed:
		return e.Name + ": failed"
	}
	switch op.Kind {
	case o.KindDestroy:
		return e.Name + " is gone"
	case o.KindServerDestroy:
		return fmt.Sprintf("%s: %s removed", e.Name, strings.Join(op.Apps, ", "))
	case o.KindDeploy:
		return e.Name + " is deployed and ready"
	}
	return e.Name + " is ready"
}

// cardLines has a line for each server that the operation touches.
func cardLines(op o.Operation, e o.Environment, events []o.Event) Lines {
	last := map[string]o.Event{}
	for _, ev := range events {
		if ev.Server != "" {
			last[ev.Server] = ev
		}
	}
	var l Lines
	for _, s := range e.Servers {
		line := Line{State: stateOf(s.Status), Spans: serverLine(s)}
		ev, touched := last[s.Name]
		if !op.Status.Ended() && s.Status != o.StatusReady && s.Status != o.StatusFailed {
			line.Spans = []Span{strong(s.Name), plain(" — "), code(s.Branch + " @ " + s.Commit[:min(7, len(s.Commit))])}
			switch {
			case op.Status == o.OperationQueued:
				line.State = StateWaiting
				line.Spans = append(line.Spans, plain(" waiting"))
			case touched && ev.Text != "":
				line.Spans = append(line.Spans, plain(" "+step(ev)))
			default:
				line.Spans = append(line.Spans, plain(" "+string(s.Status)))
			}
		}
		l.Lines = append(l.Lines, line)
	}
	return l
}

// step is an event in a few words.
func step(ev o.Event) string {
	return short(strings.Join(strings.Fields(ev.Words()), " "), 120)
}

// clock is how long something takes, for who watches it: 45 s, 1 min 30 s.
func clock(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour && d%time.Minute != 0:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return Duration(d)
}

// cardProgress tells the step, the time so far and what is left.
func cardProgress(op o.Operation, e o.Environment, events []o.Event, now time.Time) []Span {
	if op.Status == o.OperationQueued {
		return []Span{plain("Starts by itself when what runs on " + e.Name + " has ended.")}
	}
	since := op.CreatedAt
	if op.StartedAt != nil {
		since = *op.StartedAt
	}
	elapsed := now.Sub(since)
	text := "starting"
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Server == "" {
			text = step(events[i])
			break
		}
	}
	left, all := 0, 0
	for _, s := range e.Servers {
		all++
		if s.Status != o.StatusReady && s.Status != o.StatusFailed {
			left++
		}
	}
	return []Span{plain(fmt.Sprintf("%s · %s so far · %d of %s left", text, clock(elapsed), left, count(all, "server")))}
}

func cardEnd(op o.Operation, e o.Environment) []Span {
	took := ""
	if op.Status == o.OperationCanceled && op.StartedAt == nil {
		took = "Nothing had been changed. "
	}
	if op.StartedAt != nil && op.EndedAt != nil {
		took = "Took " + clock(op.EndedAt.Sub(*op.StartedAt))
		if len(op.Tries) > 0 && op.Status == o.OperationSucceeded {
			took += ", at the second try"
		}
		took += ". "
	}
	if e.Status == o.StatusDestroyed {
		return []Span{plain(took + "Nothing of it is left.")}
	}
	return []Span{plain(took + e.Name + " ends "), when(e.ExpiresAt), plain(".")}
}

func cardActions(op o.Operation, e o.Environment) []Action {
	a := About{e.ID, op.ID}
	if e.Status == o.StatusDestroyed {
		return nil
	}
	if op.Status != o.OperationSucceeded && e.Status != o.StatusFailed {
		var out []Action // there is nothing to try again
		for _, action := range environmentActions(e) {
			action.About = a
			out = append(out, action)
		}
		return out
	}
	if op.Status != o.OperationSucceeded {
		out := []Action{{Label: "Retry", Style: StylePrimary, Command: "env retry " + e.Name, About: a}}
		if op.Kind == o.KindDestroy && op.Status == o.OperationCanceled {
			// A retry would destroy what was to be kept, without asking.
			out = []Action{{Label: "Deploy…", Form: FormDeploy, Command: "env deploy " + e.Name, About: a}}
		}
		if len(op.Diagnosis.Asks()) > 0 {
			out = append(out, Action{Label: "Message to ops", Command: "env why " + e.Name, About: a})
		}
		return append(out, []Action{
			{Label: "Show log", Command: "env logs " + e.Name, About: a},
			{Label: "Evidence", Command: "env why " + e.Name + " raw", About: a},
			{Label: "Destroy", Style: StyleDanger, Command: "env destroy " + e.Name, About: a, Confirm: confirmDestroy(e, "")},
		}...)
	}
	var out []Action
	for _, s := range e.Servers {
		if s.URL != "" && s.Status == o.StatusReady && len(out) < 3 {
			out = append(out, Action{Label: "Open " + s.App, URL: s.URL})
		}
	}
	return append(out,
		Action{Label: "Deploy…", Form: FormDeploy, Command: "env deploy " + e.Name, About: a},
		Action{Label: "Extend", Command: "env extend " + e.Name + " 1d", About: a},
		Action{Label: "Destroy", Style: StyleDanger, Command: "env destroy " + e.Name, About: a, Confirm: confirmDestroy(e, "")})
}

// EndView is what the person who asked is told when an operation has ended.
func EndView(op o.Operation, e o.Environment) View {
	spans := []Span{person(ForWhom(op, e)), plain(" ")}
	text := cardTitle(op, e) + "."
	if op.Diagnosis != nil && op.Status == o.OperationFailed {
		text = e.Name + " failed: " + diagnosisText(*op.Diagnosis)
	}
	spans = append(spans, plain(text))
	if op.Diagnosis != nil && op.Status == o.OperationFailed {
		spans = append(spans, endHistory(*op.Diagnosis)...)
	}
	for _, s := range e.Servers {
		if op.Status == o.OperationSucceeded && s.URL != "" && s.Status == o.StatusReady {
			spans = append(spans, plain("\n"+s.App+" "), link(s.URL, s.URL))
		}
	}
	return View{Text: text, Public: true, Parts: []Part{Paragraph{spans}}}
}

// endHistory is what is known from before of the causes that diagnosisText
// tells. Where it tells several, each history says what of.
func endHistory(d o.Diagnosis) []Span {
	var spans []Span
	for _, c := range d.Causes[:min(len(d.Causes), manyCauses)] {
		h := history(c.History)
		if len(h) > 0 && len(d.Causes) > 1 {
			h[0].Text = "\n" + short(c.Headline(), 100) + " — " + strings.TrimPrefix(h[0].Text, "\n")
		}
		spans = append(spans, h...)
	}
	return spans
}

// WarningView warns an owner of an environment's end.
func WarningView(e o.Environment, end, now time.Time) View {
	text := fmt.Sprintf("%s ends in %s.", e.Name, Duration(end.Sub(now)))
	a := about(e)
	return View{Text: text + " Extend it, or let it go.", Parts: []Part{
		Paragraph{[]Span{strong(e.Name), plain(" ends in " + Duration(end.Sub(now)) + ", "), when(end), plain(".")}},
		Actions{[]Action{
			{Label: "Extend by a day", Style: StylePrimary, Command: "env extend " + e.Name + " 1d", About: a},
			{Label: "Extend…", Form: FormExtend, Command: "env extend " + e.Name, About: a},
			{Label: "Destroy now", Style: StyleDanger, Command: "env destroy " + e.Name, About: a, Confirm: confirmDestroy(e, "")},
		}},
	}}
}
