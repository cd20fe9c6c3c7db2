package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/bot"
	o "github.com/berth-dev/berth/orchestrator"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func qa(status o.Status) o.Environment {
	started := now.Add(-90 * time.Second)
	return o.Environment{ID: "e1", Name: "qa", Owner: "maria", Target: "local", Status: status, CreatedAt: started, ExpiresAt: now.Add(71 * time.Hour),
		Operation: &o.Operation{ID: "o1"},
		Servers: []o.Server{
			{Name: "qa/api", App: "api", Branch: "main", Commit: strings.Repeat("a", 40), Revision: strings.Repeat("a", 40), Status: o.StatusReady, URL: "http://127.0.0.1:1"},
			{Name: "qa/web", App: "web", Branch: "feature/login", Commit: strings.Repeat("b", 40), Status: status},
		}}
}

func actions(v View) []Action {
	var out []Action
	for _, p := range v.Parts {
		if a, ok := p.(Actions); ok {
			out = append(out, a.Actions...)
		}
	}
	return out
}

// Everything that a view says stands in plain text too, and every command that
// it offers is one that Berth understands.
func check(t *testing.T, v View) {
	t.Helper()
	if strings.TrimSpace(v.Text) == "" {
		t.Error("no text for who sees nothing else")
	}
	for _, a := range actions(v) {
		if a.Label == "" || a.Command == "" && a.Form == "" && a.URL == "" {
			t.Errorf("an action that does nothing: %+v", a)
		}
		if a.Command != "" && a.Form == "" {
			if p, err := bot.Parse(a.Command); err != nil || p.Guess {
				t.Errorf("the action %q runs %q: %v", a.Label, a.Command, err)
			}
		}
		if strings.Contains(a.Command, " destroy ") && a.Style != StyleDanger {
			t.Errorf("%q destroys and does not look like it", a.Label)
		}
	}
}

func TestMistypedBranchIsAButton(t *testing.T) {
	t.Parallel()
	p, err := bot.Parse("env create qa shop web=feature/logn api=main ttl=2d")
	if err != nil {
		t.Fatal(err)
	}
	e := o.Errorf(o.CodeBranchNotFound, "web (app web) has no branch feature/logn.").WithHint("did you mean feature/login?")
	e.Suggestions, e.Subject.App = []string{"feature/login"}, "web"
	v := ErrorView(e, p.Command)
	check(t, v)
	all := actions(v)
	if len(all) != 1 || all[0].Command != "env create qa shop api=main web=feature/login ttl=48h" {
		t.Errorf("%+v", all)
	}
	if !strings.Contains(v.Text, "feature/logn") || !strings.Contains(v.Text, "feature/login") {
		t.Errorf("text %q", v.Text)
	}
}

func TestSeveralMistypedBranchesAreOneButton(t *testing.T) {
	t.Parallel()
	p, err := bot.Parse("env create qa shop web=feature/logn api=mian")
	if err != nil {
		t.Fatal(err)
	}
	missing := func(app string, near ...string) *o.Error {
		return &o.Error{Code: o.CodeBranchNotFound, Message: app + " has not.", Suggestions: near, Subject: o.Subject{App: app}}
	}
	e := o.Errorf(o.CodeBranchNotFound, "api has not. web has not.").WithHint("api: did you mean main or main2; web: did you mean feature/login")
	e.All = []*o.Error{missing("api", "main", "main2"), missing("web", "feature/login")}
	v := ErrorView(e, p.Command)
	check(t, v)
	if all := actions(v); len(all) != 1 || all[0].Command != "env create qa shop api=main web=feature/login" {
		t.Errorf("%+v", all)
	}
	if shown := fmt.Sprint(v.Parts); !strings.Contains(shown, "main2") {
		t.Errorf("the other near names are not shown: %s", shown)
	}
}

func TestOtherErrors(t *testing.T) {
	t.Parallel()
	_, err := bot.Parse("env craete qa web=main")
	v := ErrorView(err, o.Command{})
	check(t, v)
	if all := actions(v); len(all) != 1 || all[0].Command != "env create qa web=main" {
		t.Errorf("a mistyped verb offers %+v", all)
	}
	v = ErrorView(o.Errorf(o.CodeQuota, "You have 3 environments already.").WithHint("berth env list mine shows yours"), o.Command{})
	check(t, v)
	if len(actions(v)) != 0 || strings.Contains(v.Text, "actions") {
		t.Errorf("%+v", v)
	}
	v = ErrorView(errors.New("sql: no rows"), o.Command{})
	check(t, v)
	if strings.Contains(v.Text, "sql") {
		t.Errorf("the inside is told: %s", v.Text)
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	started, ended := now.Add(-90*time.Second), now.Add(-time.Second)
	d := &o.Diagnosis{Outcome: o.OutcomeFailed, Causes: []o.Cause{{Code: "build", Who: "developer", Server: "qa/web", Sentence: "make build failed: no rule to make target 'all'.", Next: "mend it, then env deploy qa"}}}
	events := []o.Event{{Step: "apply", Text: "making the servers"}, {Server: "qa/web", Step: "configuring", Text: "make build"}}
	for name, test := range map[string]struct {
		op   o.Operation
		env  o.Environment
		says []string
		not  []string
		acts string
	}{
		"queued":  {o.Operation{Kind: o.KindDeploy, Status: o.OperationQueued, Position: 2}, qa(o.StatusDeploying), []string{"number 2"}, nil, "Cancel Details"},
		"running": {o.Operation{Kind: o.KindCreate, Status: o.OperationRunning, StartedAt: &started}, qa(o.StatusCreating), []string{"Making qa", "configuring: make build", "1 min 30 s so far", "1 of 2 servers left", "bbbbbbb"}, nil, "Cancel Details"},
		"ready":   {o.Operation{Kind: o.KindCreate, Status: o.OperationSucceeded, StartedAt: &started, EndedAt: &ended}, qa(o.StatusReady), []string{"qa is ready", "Took 1 min 29 s", "http://127.0.0.1:1"}, []string{"configuring"}, "Open api Deploy… Extend Destroy"},
		"failed": {o.Operation{Kind: o.KindCreate, Status: o.OperationFailed, StartedAt: &started, EndedAt: &ended, Diagnosis: d}, qa(o.StatusFailed),
			[]string{"qa: failed", "make build failed", "You can mend this.", "env deploy qa"}, nil, "Retry Show log Evidence Destroy"},
		"canceled": {o.Operation{Kind: o.KindCreate, Status: o.OperationCanceled, Diagnosis: d}, qa(o.StatusFailed), []string{"canceled"}, []string{"ready."}, "Retry Show log Evidence Destroy"},
		"gone":     {o.Operation{Kind: o.KindDestroy, Status: o.OperationSucceeded, StartedAt: &started, EndedAt: &ended}, qa(o.StatusDestroyed), []string{"qa is gone"}, []string{"qa/web"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.op.ID, test.op.Actor, test.op.Text, test.op.CreatedAt = "o1", "maria", "env create qa", started
			v := CardView(test.op, test.env, events, now)
			check(t, v)
			whole := words(v)
			for _, s := range append(test.says, "maria", "env create qa") {
				if !strings.Contains(whole, s) {
					t.Errorf("does not say %q:\n%s", s, whole)
				}
			}
			for _, s := range test.not {
				if strings.Contains(whole, s) {
					t.Errorf("says %q:\n%s", s, whole)
				}
			}
			var labels []string
			for _, a := range actions(v) {
				labels = append(labels, a.Label)
			}
			if got := strings.Join(labels, " "); got != test.acts {
				t.Errorf("actions %q, want %q", got, test.acts)
			}
		})
	}
}

// words is all text of a view.
func words(v View) string {
	var b strings.Builder
	b.WriteString(v.Text + "\n")
	for _, p := range v.Parts {
		switch p := p.(type) {
		case Heading:
			b.WriteString(p.Text)
		case Paragraph:
			b.WriteString(PlainText(p.Spans))
		case Note:
			b.WriteString(PlainText(p.Spans))
		case Code:
			b.WriteString(p.Text)
		case Lines:
			for _, l := range p.Lines {
				b.WriteString(string(l.State) + " " + PlainText(l.Spans) + "\n")
			}
		case Facts:
			for _, f := range p.Facts {
				b.WriteString(f.Label + " " + PlainText(f.Spans) + "\n")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	ready, failed := qa(o.StatusReady), qa(o.StatusFailed)
	failed.Diagnosis = &o.Diagnosis{Causes: []o.Cause{{Who: "ops", Sentence: "The mirror is down."}}}
	envs, none, servers := []o.Environment{ready, failed}, []o.Environment{}, ready.Servers
	noServers := []o.Server{}
	for text, a := range map[string]o.Answer{
		"env list":           {Environments: &envs},
		"env list mine":      {Environments: &none},
		"server list":        {Servers: &servers},
		"server list mine":   {Servers: &noServers},
		"env show qa":        {Environment: &failed},
		"env why qa":         {Environment: &failed},
		"server show qa/web": {Environment: &ready, Server: &ready.Servers[1]},
		"env history qa":     {History: &[]o.Operation{{Actor: "maria", Text: "env create qa", Status: o.OperationSucceeded, CreatedAt: now}}},
		"env plan qa":        {Plan: &o.Plan{Name: "qa", Target: "local", Lifetime: "72h", Servers: []o.PlanServer{{App: "web", Branch: "main", Commit: strings.Repeat("c", 40)}}}},
		"env plan qb":        {Plan: &o.Plan{Name: "qb", Target: "local", Lifetime: "72h", Note: "It could not be made now. You have 3 environments already."}},
		"env extend qa 1d":   {Environment: &ready},
		"env rename qa qb":   {Environment: &ready},
	} {
		p, err := bot.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		check(t, AnswerView(p.Command, a, now))
	}
	check(t, ConfirmDestroyView(ready, "", "env destroy qa"))
	check(t, ConfirmDestroyView(ready, "web", "server destroy qa/web"))
	check(t, WarningView(ready, ready.ExpiresAt, now))
	check(t, HelpView("env", "create"))
	if v := ConfirmDestroyView(ready, "", "env destroy qa"); !strings.Contains(v.Text, "qa/api") || !strings.Contains(v.Text, "qa/web") {
		t.Errorf("what goes with it is not named: %s", v.Text)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Second: "less than a minute", 80 * time.Second: "1 min", 3*24*time.Hour - 9*time.Second: "3 d", 2*time.Hour + 5*time.Minute: "2 h 5 min", 24 * time.Hour: "1 d",
		3*24*time.Hour + 20*time.Minute: "3 d", 25 * time.Hour: "1 d 1 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// A hint is pasted where it is read: its commands are told apart from the rest,
// so that a door can write them as they are typed there.
func TestCommandsAreMarked(t *testing.T) {
	t.Parallel()
	failed := qa(o.StatusFailed)
	failed.Servers[1].Status, failed.Servers[1].Revision = o.StatusFailed, strings.Repeat("c", 40)
	failed.Diagnosis = &o.Diagnosis{Causes: []o.Cause{{Who: "ops", Sentence: "The key env show is missing.", Next: `Send ops this message; after that: "berth env retry qa".`}}}
	v := WhyView(failed)
	var marked []string
	for _, p := range v.Parts {
		var spans []Span
		switch p := p.(type) {
		case Lines:
			spans = p.Lines[0].Spans
		case Note:
			spans = p.Spans
		}
		for _, s := range spans {
			if s.Command {
				marked = append(marked, s.Text)
			}
		}
	}
	want := []string{` Next: Send ops this message; after that: "berth env retry qa".`, "berth env deploy qa web=" + strings.Repeat("c", 40)}
	if !slices.Equal(marked, want) {
		t.Errorf("marked %q, want %q", marked, want)
	}
	e := ErrorView(o.Errorf(o.CodeState, "qa is busy.").WithHint("env show qa"), o.Command{})
	if e.Text != "qa is busy. Next: berth env show qa" {
		t.Errorf("text %q", e.Text)
	}
}

func TestWrongNamesAreButtons(t *testing.T) {
	t.Parallel()
	for typed, test := range map[string]struct {
		code o.Code
		app  string
		near string
		want string
	}{
		"env create qa shpo":            {o.CodeBlueprintUnknown, "", "shop", "env create qa shop"},
		"env create qa shop size=smal":  {o.CodeSizeUnknown, "", "small", "env create qa shop size=small"},
		"env create qa target=locl":     {o.CodeTargetUnknown, "", "local", "env create qa target=local"},
		"env create qa shop wbe=main":   {o.CodeAppUnknown, "wbe", "web", "env create qa shop web=main"},
		"server create wbe hotfix":      {o.CodeAppUnknown, "wbe", "web", "server create web hotfix"},
		"server list app=wbe":           {o.CodeAppUnknown, "wbe", "web", "server list app=web"},
		"env deploy qa web=feature/lgn": {o.CodeBranchNotFound, "web", "feature/login", "env deploy qa web=feature/login"},
	} {
		p, err := bot.Parse(typed)
		if err != nil {
			t.Fatalf("%s: %v", typed, err)
		}
		e := o.Errorf(test.code, "There is no such thing.").WithHint("did you mean %s?", test.near)
		e.Suggestions, e.Subject.App = []string{test.near}, test.app
		v := ErrorView(e, p.Command)
		check(t, v)
		if all := actions(v); len(all) != 1 || all[0].Command != test.want {
			t.Errorf("%s offers %+v, want %q", typed, all, test.want)
		}
	}
}

// What was canceled has nothing that somebody could mend, and what was never
// begun nothing to try again.
func TestCanceled(t *testing.T) {
	t.Parallel()
	op := o.Operation{ID: "o2", Kind: o.KindDeploy, Status: o.OperationCanceled, Actor: "maria", Text: "env deploy qa"}
	v := CardView(op, qa(o.StatusReady), nil, now)
	check(t, v)
	if whole := words(v); !strings.Contains(whole, "Nothing had been changed.") {
		t.Errorf("%s", whole)
	}
	for _, a := range actions(v) {
		if a.Label == "Retry" || a.About.Operation != "o2" {
			t.Errorf("offers %+v", a)
		}
	}
	op.StartedAt, op.Diagnosis = &now, &o.Diagnosis{Causes: []o.Cause{{Code: "interrupted", Who: "developer", Sentence: "This was canceled before it was done.", Next: "go on with berth env retry qa"}}}
	v = CardView(op, qa(o.StatusFailed), nil, now)
	if whole := words(v); strings.Contains(whole, "mend") || !strings.Contains(whole, "Next: go on with berth env retry qa") || strings.Contains(whole, "Nothing had") {
		t.Errorf("%s", whole)
	}
	if all := actions(v); len(all) == 0 || all[0].Label != "Retry" {
		t.Errorf("offers %+v", all)
	}
	op.Kind = o.KindDestroy
	if all := actions(CardView(op, qa(o.StatusFailed), nil, now)); len(all) == 0 || all[0].Label != "Deploy…" {
		t.Errorf("after a canceled destroy: %+v", all)
	}
}

func TestPlainWords(t *testing.T) {
	t.Parallel()
	alone := qa(o.StatusReady)
	alone.Servers = alone.Servers[:1]
	seen := now.Add(-5 * time.Minute)
	alone.Servers[0].LastSeen = &seen
	for got, want := range map[string]string{
		ConfirmDestroyView(qa(o.StatusReady), "", "env destroy qa").Text:             "Destroy qa? This ends the environment qa and its servers qa/api (main) and qa/web (feature/login). It cannot be undone.",
		ConfirmDestroyView(qa(o.StatusReady), "web", "server destroy qa/web").Text:   "Destroy qa/web? This ends the server qa/web (feature/login). It cannot be undone.",
		ConfirmDestroyView(alone, "api", "server destroy qa/api").Text:               "Destroy qa? This ends the environment qa and its only server, qa/api (main). It cannot be undone.",
		strings.SplitN(words(ServersView(alone.Servers)), "\n", 2)[0]:                "1 server: qa/api (ready)",
		HistoryView("qa", []o.Operation{{Actor: "maria", Text: "env show qa"}}).Text: "1 operation on qa",
		PlanView(o.Plan{Name: "qa", Target: "local", Lifetime: "72h0m0s"}).Text:      "qa would have 0 servers on local; nothing has been changed.",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for whole, says := range map[string]string{
		words(PlanView(o.Plan{Name: "qa", Target: "local", Lifetime: "72h0m0s"})): "On local, for 3 d.",
		words(ServerView(alone, alone.Servers[0], now)):                           "Last heard of 5 min ago",
		words(ServerView(alone, qa(o.StatusReady).Servers[1], now)):               "Last heard of never",
		words(HistoryView("qa", []o.Operation{{Actor: "maria", Text: "env deploy qa", Status: o.OperationSucceeded, Changes: []o.Change{{App: "web", Commit: "0123456789abcdef"}}}})): "succeeded, web=0123456789",
	} {
		if !strings.Contains(whole, says) {
			t.Errorf("does not say %q:\n%s", says, whole)
		}
	}
}

// What ops can mend comes with the message to them, as text and not as markup,
// once for all causes; the card leads there.
func TestMessageToOps(t *testing.T) {
	t.Parallel()
	const ask = "Berth needs ops for qa (target local):\n- qa/web, *main*@aaaaaaaaaa: <!channel> The disk is full."
	e := qa(o.StatusFailed)
	e.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed, Causes: []o.Cause{
		{Code: "command_failed", Who: "developer", Sentence: "The build failed."},
		{Code: "disk_full", Who: "ops", Sentence: "The disk is full.", Next: "Send ops this message.", Ask: ask},
		{Code: "disk_full", Who: "ops", Sentence: "The disk is full too.", Next: "Send ops this message.", Ask: ask},
	}}
	v := WhyView(e)
	check(t, v)
	var shown []string
	for _, p := range v.Parts {
		if c, ok := p.(Code); ok {
			shown = append(shown, c.Text)
		}
	}
	if len(shown) != 1 || shown[0] != ask {
		t.Errorf("shown %q", shown)
	}
	started := now
	card := CardView(o.Operation{ID: "o1", Kind: o.KindDeploy, Status: o.OperationFailed, StartedAt: &started, EndedAt: &started, Diagnosis: e.Diagnosis}, e, nil, now)
	check(t, card)
	found := false
	for _, a := range actions(card) {
		found = found || a.Label == "Message to ops" && a.Command == "env why qa"
	}
	if !found {
		t.Errorf("the card does not lead to it: %+v", actions(card))
	}
}

// The tree says of each server how far it came, and of each cause what it kept
// from running; it fits the width that there is and tells a screen nothing.
func TestTree(t *testing.T) {
	t.Parallel()
	e := qa(o.StatusFailed)
	blocked := []string{}
	for i := range 100 {
		blocked = append(blocked, fmt.Sprintf("app.step-%d", i))
	}
	e.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed, Causes: []o.Cause{
		{Code: "branch_not_found", Who: "developer", Server: "qa/web", Where: "app.code", Sentence: `There is no branch "x" in "web".`, Next: `Push it, then "env deploy qa".`,
			Evidence: "No revision\n" + strings.Repeat("a long line of words ", 20) + strings.Repeat("\nmore", 60), Blocked: blocked, BlockedTotal: 150},
		{Code: "quota_exceeded", Who: "ops", Sentence: "The limit is \x1b[2Jreached.", Next: "Ask ops."},
	}}
	ev := o.Evidence{Servers: []o.ServerEvidence{
		{Server: "qa/api", App: "api", Status: o.StatusReady, Branch: "main", Commit: strings.Repeat("a", 40), Succeeded: 7, Total: 7},
		{Server: "qa/web", App: "web", Status: o.StatusFailed, Branch: "feature/login", Commit: strings.Repeat("b", 40), Succeeded: 3, Failed: 1, Blocked: 150, Total: 154, Problem: "it ended"},
	}}
	clean := func(s string) string { return strings.ReplaceAll(s, "\x1b", "") }
	whole := Tree(e, ev, TreeStyle{Clean: clean, Paint: func(s State, text string) string { return "<" + string(s) + ">" + text }})
	for _, says := range []string{"qa <bad>failed\n", "├─ qa/api main @ aaaaaaaaaa — <good>ready: 7 of 7 steps succeeded\n", "<bad>failed: 3 of 154 steps succeeded, 1 failed, 150 did not run because of that\n", "it ended",
		"│  └─ <bad>✗ app.code (branch_not_found)\n", "You can mend this.", `Next: Push it, then "berth env deploy qa".`, "kept 150 steps from running: app.step-0, ", "app.step-11 and 138 more", "│ No revision", "lines are left out here: berth env why qa raw has all",
		"└─ <bad>✗ quota_exceeded", "The limit is [2Jreached."} {
		if !strings.Contains(whole, says) {
			t.Errorf("lacks %q:\n%s", says, whole)
		}
	}
	for _, width := range []int{60, 80, 30} {
		for l := range strings.Lines(Tree(e, ev, TreeStyle{Width: width, Clean: clean})) {
			if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > width {
				t.Errorf("%d columns of %d: %q", n, width, l)
			}
		}
	}
}

// TestHistory: what is known from before stands on every card and answer, who
// mended it with which command, and what ops say as the text that it is.
func TestHistory(t *testing.T) {
	t.Parallel()
	e := qa(o.StatusFailed)
	h := &o.History{Count: 5, Seen: "Seen 5 times since Monday", Mended: &o.Mending{By: "tom", How: "env deploy qa web=\"a b\""},
		Note: &o.CauseNote{Text: "Use *main*, run env list <!channel>", By: "olga"}}
	e.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed, Total: 1, Causes: []o.Cause{{Code: "command_failed", Who: "developer", Server: "qa/web", Sentence: "It failed.", History: h}}}
	op := o.Operation{ID: "o1", Kind: o.KindDeploy, Status: o.OperationFailed, Actor: "maria", Text: "env deploy qa", Diagnosis: e.Diagnosis}
	for name, v := range map[string]View{"card": CardView(op, e, nil, now), "why": WhyView(e), "show": EnvironmentView(e, now), "end": EndView(op, e)} {
		check(t, v)
		text := words(v)
		for _, want := range []string{"\nSeen 5 times since Monday, last mended by tom with berth env deploy qa web=\"a b\".", "\nOps say: Use *main*, run env list <!channel>"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, text)
			}
		}
		for _, p := range v.Parts {
			l, ok := p.(Lines)
			for i := 0; ok && i < len(l.Lines); i++ {
				for _, s := range l.Lines[i].Spans {
					if strings.Contains(s.Text, "Ops say") && (s.Command || s.Code || s.Person != "") {
						t.Errorf("%s: a note is taken for more than text: %+v", name, s)
					}
				}
			}
		}
	}
	tree := Tree(e, o.Evidence{Servers: []o.ServerEvidence{{Server: "qa/web"}}}, TreeStyle{})
	if !strings.Contains(tree, "last mended by tom with berth env deploy qa web=") || !strings.Contains(tree, "Ops say: Use *main*, run env list <!channel>") {
		t.Errorf("the tree:\n%s", tree)
	}
	// Of several, each is said what of.
	two := op
	two.Diagnosis = &o.Diagnosis{Causes: append([]o.Cause{{Sentence: "Other.", Code: "x", Who: "ops"}}, e.Diagnosis.Causes...)}
	if text := words(EndView(two, e)); !strings.Contains(text, "\nqa/web: It failed. — Seen 5 times since Monday, last mended by tom with ") || strings.Count(text, " — ") != 1 {
		t.Errorf("the end of two causes:\n%s", text)
	}
	// The first time there is nothing of it.
	e.Diagnosis.Causes[0].History = nil
	if text := words(WhyView(e)); strings.Contains(text, "Seen") || strings.Contains(text, "Ops say") {
		t.Errorf("the first time:\n%s", text)
	}
}

// What several servers and environments have for one reason is told as one.
func TestOneReason(t *testing.T) {
	t.Parallel()
	e := qa(o.StatusFailed)
	e.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed, Causes: []o.Cause{{Code: "git_unreachable", Who: "retry", Server: "qa/api", Servers: []string{"qa/api", "qa/web"},
		Sentence: "The git host g.example.org can't be reached.",
		Common:   &o.Common{Since: now, Environments: 4, Sentence: "The git host g.example.org has been unreachable since 10:42 UTC; 4 environments are affected."}}}}
	v := WhyView(e)
	check(t, v)
	for _, want := range []string{"qa/api and qa/web: The git host g.example.org can't be reached.", "since 10:42 UTC; 4 environments are affected."} {
		if !strings.Contains(words(v), want) {
			t.Errorf("does not say %q:\n%s", want, words(v))
		}
	}
	if !strings.Contains(v.Text, "4 environments are affected") {
		t.Errorf("the text alone: %s", v.Text)
	}
	// All of it says no less than the short answer.
	e.Diagnosis.Causes[0].Compared = &o.Compared{Sentence: "It worked with 0123456789 of the same branch; 1 commit since: abcdef0123 \"go\x1bfast\" (tom)."}
	clean := func(s string) string { return strings.ReplaceAll(s, "\x1b", "") }
	tree := Tree(e, o.Evidence{Servers: []o.ServerEvidence{{Server: "qa/api"}, {Server: "qa/web"}}}, TreeStyle{Clean: clean})
	for _, want := range []string{"since 10:42 UTC; 4 environments are affected.", `1 commit since: abcdef0123 "gofast" (tom).`} {
		if !strings.Contains(tree, want) {
			t.Errorf("the tree does not say %q:\n%s", want, tree)
		}
	}
}

// Where there are many causes, few are told and the rest are counted.
func TestManyCauses(t *testing.T) {
	t.Parallel()
	e := qa(o.StatusFailed)
	e.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed}
	for i := range 60 {
		e.Diagnosis.Causes = append(e.Diagnosis.Causes, o.Cause{Code: "command_failed", Who: "developer", Server: "qa/web", Sentence: fmt.Sprintf("Step %d failed.", i)})
	}
	op := o.Operation{ID: "o1", Kind: o.KindDeploy, Status: o.OperationFailed, Actor: "maria", Text: "env deploy qa", Diagnosis: e.Diagnosis}
	for name, v := range map[string]View{"card": CardView(op, e, nil, now), "end": EndView(op, e), "why": WhyView(e)} {
		if !strings.Contains(v.Text, "Step 4 failed. There are 55 more causes.") || strings.Contains(words(v), "Step 5 ") {
			t.Errorf("%s:\n%s", name, words(v))
		}
	}
	if whole := words(WhyView(e)); !strings.Contains(whole, "… and 55 more; berth env why qa all shows them.") {
		t.Errorf("%s", whole)
	}
}

// A developer needs links: what one server is told of another stands with the
// details.
func TestNeeds(t *testing.T) {
	t.Parallel()
	e := qa(o.StatusReady)
	e.Servers[1].Needs = o.Needs{"API_URL": "http://127.0.0.1:1/", "B_URL": "http://127.0.0.1:2/"}
	op := o.Operation{ID: "o1", Kind: o.KindCreate, Status: o.OperationSucceeded, Actor: "maria", Text: "env create qa"}
	for name, v := range map[string]View{"card": CardView(op, e, nil, now), "list": ServersView(e.Servers)} {
		if strings.Contains(words(v), "API_URL") {
			t.Errorf("%s:\n%s", name, words(v))
		}
	}
	for name, v := range map[string]View{"env show": EnvironmentView(e, now), "server show": ServerView(e, e.Servers[1], now)} {
		if !strings.Contains(words(v), "API_URL http://127.0.0.1:1/\nB_URL http://127.0.0.1:2/\n") {
			t.Errorf("%s:\n%s", name, words(v))
		}
	}
}
