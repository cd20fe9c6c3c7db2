package blocks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	o "github.com/berth-dev/berth/orchestrator"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// qa is an environment of two servers.
func qa(status o.Status) o.Environment {
	seen := now.Add(-time.Minute)
	return o.Environment{ID: "e1", Name: "qa", Owner: "maria", Target: "local", Status: status, CreatedAt: now.Add(-90 * time.Second), ExpiresAt: now.Add(71 * time.Hour),
		Operation: &o.Operation{ID: "o1", Actor: "maria", Text: "env create qa", Status: o.OperationRunning},
		Servers: []o.Server{
			{Name: "qa/api", App: "api", Branch: "main", Commit: strings.Repeat("a", 40), Revision: strings.Repeat("a", 40), Status: o.StatusReady, URL: "http://127.0.0.1:41233", LastSeen: &seen},
			{Name: "qa/web", App: "web", Branch: "feature/login", Commit: strings.Repeat("b", 40), Status: status, URL: "http://127.0.0.1:41234",
				Needs: map[string]string{"API_URL": "http://127.0.0.1:41233"}},
		}}
}

func card(status o.OperationStatus, env o.Environment) view.View {
	started, ended := now.Add(-90*time.Second), now.Add(-time.Second)
	op := o.Operation{ID: "o1", Kind: o.KindCreate, Status: status, Actor: "maria", Text: "env create qa shop web=feature/login", CreatedAt: started}
	if status == o.OperationQueued {
		op.Position = 2
	} else {
		op.StartedAt = &started
	}
	if status.Ended() {
		op.EndedAt = &ended
	}
	if status == o.OperationFailed {
		op.Diagnosis = &o.Diagnosis{Outcome: o.OutcomeFailed, Causes: []o.Cause{{Code: "build", Who: "developer", Server: "qa/web",
			Sentence: "make build failed: <no rule> to make target 'all' & more.", Next: "mend it, then env deploy qa"}}}
	}
	events := []o.Event{{Step: "apply", Text: "making the servers"}, {Server: "qa/web", Step: "configuring", Text: "make build"}}
	return view.CardView(op, env, events, now)
}

func correction(t *testing.T) view.View {
	t.Helper()
	e := o.Errorf(o.CodeBranchNotFound, "web (app web) has no branch feature/logn.").WithHint("did you mean feature/login?")
	e.Suggestions, e.Subject.App = []string{"feature/login", "feature/logout"}, "web"
	return view.ErrorView(e, o.Command{Noun: o.NounEnv, Verb: o.VerbCreate, Environment: "qa", Blueprint: "shop", Branches: map[string]string{"web": "feature/logn"}})
}

func samples(t *testing.T) map[string]view.View {
	t.Helper()
	failed := qa(o.StatusFailed)
	failed.Name, failed.ID = "qa-2", "e2"
	return map[string]view.View{
		"error":        correction(t),
		"list-mine":    view.EnvironmentsView([]o.Environment{qa(o.StatusReady), failed}, true, now),
		"list-none":    view.EnvironmentsView(nil, true, now),
		"environment":  view.EnvironmentView(qa(o.StatusReady), now),
		"card-queued":  card(o.OperationQueued, qa(o.StatusDeploying)),
		"card-running": card(o.OperationRunning, qa(o.StatusCreating)),
		"card-failed":  card(o.OperationFailed, qa(o.StatusFailed)),
		"card-ready":   card(o.OperationSucceeded, qa(o.StatusReady)),
		"warning":      view.WarningView(qa(o.StatusReady), qa(o.StatusReady).ExpiresAt, now),
		"destroy":      view.ConfirmDestroyView(qa(o.StatusReady), "", "env destroy qa"),
		"help":         view.HelpView("", ""),
		"help-verb":    view.HelpView("env", "create"),
	}
}

func createForm() blocks.CreateForm {
	return blocks.CreateForm{Blueprints: []string{"shop", "back"}, Blueprint: "shop", Apps: []string{"api", "web"}, Branches: map[string]string{"api": "main", "web": "feature/login"},
		Sizes: []string{"small", "large"}, Targets: []string{"local", "aws"}, Target: "local", Name: "maria-1", Lifetime: 36 * time.Hour, MaxLifetime: 7 * 24 * time.Hour, Private: `{"form":"create"}`}
}

func modals() map[string]slackgo.ModalViewRequest {
	return map[string]slackgo.ModalViewRequest{
		"modal-create": createForm().View(),
		"modal-deploy": blocks.DeployForm{Environment: "qa", Apps: []string{"api", "web"}, Branches: map[string]string{"api": "main", "web": "feature/login"}, Private: "p"}.View(),
		"modal-extend": blocks.ExtendForm{Environment: "qa", Private: "p"}.View(),
		"modal-notice": blocks.Notice("Checking…", "Berth is checking the branches."),
	}
}

func homeViews() []view.View {
	other := qa(o.StatusReady)
	other.Name, other.ID, other.Owner = "staging", "e3", "jonas"
	return view.HomeViews("maria", []o.Environment{qa(o.StatusCreating), other})
}

func golden(t *testing.T, name string, value any) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s is not what it was; with -update it becomes:\n%s", path, b.String())
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, v := range samples(t) {
		m := blocks.Render(v, directory)
		golden(t, name, m)
		if found := problems(m, "U024BE7LH"); len(found) > 0 {
			t.Errorf("%s: %s", name, strings.Join(found, "\n"))
		}
	}
	for name, m := range modals() {
		golden(t, name, m)
		if found := viewProblems(m); len(found) > 0 {
			t.Errorf("%s: %s", name, strings.Join(found, "\n"))
		}
	}
	golden(t, "home", blocks.Home(homeViews(), directory))
}

// What is mere text for Berth stays mere text in Slack, and what stands beside
// it keeps its meaning.
func TestHostileText(t *testing.T) {
	t.Parallel()
	const j = "\u2060"
	for _, test := range []struct {
		name  string
		spans []view.Span
		want  string
	}{
		{"mention of all", []view.Span{{Text: "<!channel> hi"}}, "&lt;!channel&gt; hi"},
		{"mention of a person", []view.Span{{Text: "<@U1>", Strong: true}}, "*&lt;@" + j + "U1&gt;*"},
		{"bare mention", []view.Span{{Text: "@here and #general, #123"}}, "@" + j + "here and #" + j + "general, #123"},
		{"entity", []view.Span{{Text: "&lt;!here&gt;"}}, "&amp;lt;!here&amp;gt;"},
		{"emoji", []view.Span{{Text: "a:smile:b"}}, "a:" + j + "smile:b"},
		{"emoji of two spans", []view.Span{{Text: ":smi"}, {Text: "le:"}}, ":" + j + "smile:"},
		{"emoji of a person's name", []view.Span{{Text: ":smi"}, {Text: "le:", Person: "le:"}}, ":" + j + "smile:"},
		{"time of day", []view.Span{{Text: "at 12:30:15"}}, "at 12:" + j + "30:15"},
		{"bold", []view.Span{{Text: "*b*"}}, j + "*" + j + "b" + j + "*" + j},
		{"name with lines below", []view.Span{{Text: "feature_login_form"}}, "feature_login_form"},
		{"backtick", []view.Span{{Text: "a`b`"}}, "aˋbˋ"},
		{"quotation", []view.Span{{Text: "> a\n  >>> b > c"}}, j + "&gt; a\n  " + j + "&gt;&gt;&gt; b &gt; c"},
		{"address", []view.Span{{Text: "see https://evil.test now"}}, "see https:" + j + "//evil.test now"},
		{"mail", []view.Span{{Text: "maria@example.com"}}, "maria@" + j + "example.com"},
		{"code", []view.Span{{Text: "a `b` *c* <!here> :x:\nd", Code: true}}, "`a ˋbˋ *c* &lt;!here&gt; :x: d`"},
		{"star in bold", []view.Span{{Text: "a*", Strong: true}}, "a" + j + "*" + j},
		{"bold beside a word", []view.Span{{Text: "a"}, {Text: "b", Strong: true}, {Text: "c"}}, "a\u200b*b*\u200bc"},
		{"control", []view.Span{{Text: "a\x00\x1b[31mb\x1b[0m\u200bc\r\nd"}}, "abc\nd"},
		{"direction", []view.Span{{Text: "a\u202eb"}}, "a⟨U+202E⟩b"},
		{"link", []view.Span{{Text: "web|*", URL: "http://x.test/a b|c>d?e=1&f"}}, "<http://x.test/a%20b%7Cc%3Ed?e=1&amp;f|web¦" + j + "*" + j + ">"},
		{"link to a script", []view.Span{{Text: "web", URL: "javascript:alert(1)"}}, "web"},
		{"link with a password", []view.Span{{Text: "web", URL: "https://good.test@evil.test/"}}, "web"},
		{"link without text", []view.Span{{URL: "https://x.test/"}}, "<https://x.test/|https://x.test/>"},
		{"known person", []view.Span{{Text: "maria", Person: "maria"}, {Text: " asked"}}, "<@U024BE7LH> asked"},
		{"unknown person", []view.Span{{Text: "<jonas>", Person: "jonas"}}, "&lt;jonas&gt;"},
		{"forged person", []view.Span{{Text: "f", Person: "forged"}}, "f"},
		{"time", []view.Span{{Text: "1 Mar|x>", Time: now}}, "<!date^1772366400^{date_short_pretty} {time}|1 Mar¦x&gt;>"},
		{"no time", []view.Span{{Text: "never", Time: time.Time{}.Add(time.Second)}}, "never"},
	} {
		m := blocks.Render(view.View{Text: "x", Parts: []view.Part{view.Paragraph{Spans: test.spans}}}, directory)
		if got := m.Blocks[0].(*slackgo.SectionBlock).Text.Text; got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func shown(t *testing.T, parts ...view.Part) string {
	t.Helper()
	var b strings.Builder
	for _, block := range blocks.Render(view.View{Text: "x", Parts: parts}, directory).Blocks {
		switch block := block.(type) {
		case *slackgo.SectionBlock:
			if block.Text != nil {
				b.WriteString(block.Text.Text + "\n")
			}
			for _, f := range block.Fields {
				b.WriteString(f.Text + "\n")
			}
		case *slackgo.ContextBlock:
			b.WriteString(block.ContextElements.Elements[0].(*slackgo.TextBlockObject).Text + "\n")
		case *slackgo.HeaderBlock:
			b.WriteString(block.Text.Text + "\n")
		}
	}
	return b.String()
}

func TestCodeStaysInItsBlock(t *testing.T) {
	t.Parallel()
	got := shown(t, view.Code{Text: "\na ``` <b> `````\n  c:smile:"})
	if want := "```\na `\u2060`\u2060` &lt;b&gt; `\u2060`\u2060`\u2060`\u2060`\n  c:smile:\n```\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Of much output the end is kept: there the reason stands. It is cut between
// lines.
func TestCodeKeepsItsEnd(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	got := shown(t, view.Code{Text: b.String()})
	if !strings.HasSuffix(got, "line 1998\nline 1999\n```\n") || !strings.Contains(got, "the end of it") {
		t.Errorf("%q", got[max(0, len(got)-300):])
	}
	for line := range strings.SplitSeq(got, "\n") {
		if strings.HasPrefix(line, "line") != (line != "```" && line != "" && line != "… the end of it:") {
			t.Errorf("half a line: %q", line)
		}
	}
	if !strings.Contains(shown(t, view.HelpView("", "").Parts...), strings.TrimSpace(strings.SplitN(view.HelpView("", "").Parts[0].(view.Code).Text, "\n", 2)[0])) {
		t.Error("the help begins somewhere in the middle")
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	got := shown(t, view.Table{Header: []string{"NAME", "BRANCH", "STATUS"}, Rows: [][]string{{"日本語", "main", "ready"}, {"qa", "a\nb", "failed"}, {"👍🏽", "x"}}})
	var at []int
	for _, line := range strings.Split(got, "\n")[1:4] {
		for _, word := range []string{"STATUS", "ready", "failed"} {
			if i := strings.Index(line, word); i >= 0 {
				at = append(at, ansi.StringWidth(line[:i]))
			}
		}
	}
	if len(at) != 3 || at[0] != at[1] || at[1] != at[2] {
		t.Errorf("columns at %v:\n%s", at, got)
	}
	var many view.Table
	for i := range 500 {
		many.Rows = append(many.Rows, []string{fmt.Sprint(i), strings.Repeat("x", 30)})
	}
	if got := shown(t, many); !strings.Contains(got, "… and ") {
		t.Errorf("nothing says that rows are missing: %s", got)
	}
}

// A state has a word beside its glyph, and not twice.
func TestStatesHaveWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line view.Line
		want string
	}{
		{view.Line{State: view.StateGood, Spans: []view.Span{{Text: "qa"}}}, "✓ good qa"},
		{view.Line{State: view.StateGood, Spans: []view.Span{{Text: "qa — ready"}}}, "✓ qa — ready"},
		{view.Line{State: view.StateBad, Spans: []view.Span{{Text: "qa is not ready"}}}, "✗ failed qa is not ready"},
		{view.Line{State: view.StateBad, Spans: []view.Span{{Text: "make failed"}}}, "✗ make failed"},
		{view.Line{State: view.StateGone, Spans: []view.Span{{Text: "qa"}}}, "– gone qa"},
		{view.Line{State: view.StateWorking, Spans: []view.Span{{Text: "qa"}}}, "◔ working qa"},
		{view.Line{State: view.StateWaiting}, "◌ waiting"},
	} {
		if got := strings.TrimSpace(shown(t, view.Lines{Lines: []view.Line{test.line}})); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	far := view.Line{State: view.StateBad, Spans: []view.Span{{Text: strings.Repeat("x ", 5000) + "failed"}}}
	if got := shown(t, view.Lines{Lines: []view.Line{far}}); !strings.HasPrefix(got, "✗ failed x") {
		t.Errorf("a word that is cut off counts: %.40q", got)
	}
}

// Of lines that do not fit each is counted, and the buttons stay.
func TestTooManyLines(t *testing.T) {
	t.Parallel()
	var l view.Lines
	for i := range 500 {
		l.Lines = append(l.Lines, view.Line{Spans: []view.Span{{Text: fmt.Sprintf("line %03d ", i) + strings.Repeat("x", 400)}}})
	}
	parts := []view.Part{l, view.Actions{Actions: []view.Action{{Label: "Refresh", Command: "env list"}}}}
	text, all := shown(t, parts...), buttons(blocks.Render(view.View{Text: "x", Parts: parts}, directory).Blocks)
	said := strings.Count(text, "line ")
	if want := fmt.Sprintf("… and %d more that do not fit here.", 500-said); said < 10 || !strings.Contains(text, want) || len(all) != 1 {
		t.Errorf("%d are shown with %d buttons, and not said: %q", said, len(all), want)
	}
}

// Buttons that read alike are told apart for who listens.
func TestRepeatedButtons(t *testing.T) {
	t.Parallel()
	m := blocks.Render(samples(t)["list-mine"], directory)
	spoken := map[string]bool{}
	for _, b := range buttons(m.Blocks) {
		name := b.AccessibilityLabel
		if name == "" {
			name = b.Text.Text
		}
		if spoken[name] {
			t.Errorf("two buttons are called %q", name)
		}
		spoken[name] = true
	}
	for _, name := range []string{"Destroy qa", "Destroy qa-2", "Details qa"} {
		if !spoken[name] {
			t.Errorf("no button is called %q: %v", name, spoken)
		}
	}
}

func TestButtonsComeBack(t *testing.T) {
	t.Parallel()
	a := view.Action{Label: "Deploy…", Form: view.FormDeploy, Command: `env deploy qa web="a <b> & \"c\""`, About: view.About{Environment: "e1", Operation: "o1"}}
	m := blocks.Render(view.View{Text: "x", Parts: []view.Part{view.Actions{Actions: []view.Action{a, {Label: "Open", URL: "http://x.test/?a=1&b", Command: "env list"}}}}}, blocks.Options{})
	all := buttons(m.Blocks)
	got, ok := blocks.DecodeAction(all[0].ActionID, all[0].Value)
	if want := (blocks.Action{Command: a.Command, Form: a.Form, About: a.About}); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if all[1].URL != "http://x.test/?a=1&b" || all[1].Value != "" {
		t.Errorf("%+v", all[1])
	}
	for _, bad := range [][2]string{{"other:1", all[0].Value}, {all[0].ActionID, ""}, {all[0].ActionID, "{}"}, {all[0].ActionID, all[0].Value + "x"}, {all[1].ActionID, all[1].Value}} {
		if a, ok := blocks.DecodeAction(bad[0], bad[1]); ok {
			t.Errorf("%q is taken for %+v", bad, a)
		}
	}
}

// A command that no button can carry is shown instead of lost.
func TestCommandTooLongForAButton(t *testing.T) {
	t.Parallel()
	long := "env create qa web=" + strings.Repeat("x", 2000)
	v := view.View{Text: "x", Parts: []view.Part{view.Actions{Actions: []view.Action{{Label: "Do it", Command: long}, {Label: "Details", Command: "env show qa"}}}}}
	m := blocks.Render(v, blocks.Options{})
	if all := buttons(m.Blocks); len(all) != 1 || all[0].Text.Text != "Details" {
		t.Errorf("%+v", all)
	}
	if got := shown(t, v.Parts...); !strings.Contains(got, "Do it: `"+long+"`") {
		t.Errorf("%q", got)
	}
}

// What does not fit is counted, and what can be done last stays.
func TestTooMuchForAMessage(t *testing.T) {
	t.Parallel()
	var envs []o.Environment
	for i := range 15 {
		e := qa(o.StatusReady)
		e.Name, e.ID = fmt.Sprintf("environment-number-%02d", i), fmt.Sprintf("e%024d", i)
		e.Operation.ID = fmt.Sprintf("o%024d", i)
		envs = append(envs, e)
	}
	v := view.EnvironmentsView(envs, true, now)
	m := blocks.Render(v, directory)
	if found := problems(m, "U024BE7LH"); len(found) > 0 {
		t.Fatal(strings.Join(found, "\n"))
	}
	all := buttons(m.Blocks)
	if last := all[len(all)-1]; last.Text.Text != "New environment" {
		t.Errorf("the last button is %q", last.Text.Text)
	}
	text := shown(t, v.Parts...)
	said := strings.Count(text, "environment-number-")
	if want := fmt.Sprintf("… and %d more that do not fit here.", 15-said); said < 5 || !strings.Contains(text, want) {
		t.Errorf("%d are shown, and not said: %q", said, want)
	}
	home := blocks.Home([]view.View{v, {Text: "b", Parts: []view.Part{view.Heading{Text: "Running now"}, view.Divider{}}}, v, v, v}, directory)
	if found := viewProblems(home, "U024BE7LH"); len(found) > 0 {
		t.Error(strings.Join(found, "\n"))
	}
	if !strings.Contains(string(jsonOf(home)), "Running now") {
		t.Error("a long list pushes what runs now out of the home")
	}
}

func TestTopText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		v    view.View
		want string
	}{
		{view.View{Text: " qa is ready. "}, "qa is ready."},
		{view.View{Text: "<!here> & all"}, "&lt;!here&gt; &amp; all"},
		{view.View{Parts: []view.Part{view.Heading{Text: "Qa"}, view.Paragraph{Spans: []view.Span{{Text: "is gone"}}}}}, "Qa is gone"},
		{view.View{Text: "\u200b\x00"}, "Berth"},
	} {
		m := blocks.Render(test.v, directory)
		if m.Text != test.want || len(m.Blocks) == 0 {
			t.Errorf("%q, want %q; %d blocks", m.Text, test.want, len(m.Blocks))
		}
	}
}

func state(values map[string]slackgo.BlockAction, m slackgo.ModalViewRequest) *slackgo.ViewState {
	s := &slackgo.ViewState{Values: map[string]map[string]slackgo.BlockAction{}}
	for _, b := range m.Blocks.BlockSet {
		in, ok := b.(*slackgo.InputBlock)
		if !ok {
			continue
		}
		id, a := "", slackgo.BlockAction{}
		switch e := in.Element.(type) {
		case *slackgo.PlainTextInputBlockElement:
			id, a.Value = e.ActionID, e.InitialValue
		case *slackgo.SelectBlockElement:
			id = e.ActionID
			if e.InitialOption != nil {
				a.SelectedOption = *e.InitialOption
			}
		}
		if v, given := values[in.BlockID]; given {
			a = v
		}
		s.Values[in.BlockID] = map[string]slackgo.BlockAction{id: a}
	}
	return s
}

// A form submitted as it was opened asks for what it showed; what was chosen
// instead takes its place.
func TestFormsComeBack(t *testing.T) {
	t.Parallel()
	m := createForm().View()
	got := blocks.DecodeCreate(state(nil, m))
	want := o.Command{Noun: o.NounEnv, Verb: o.VerbCreate, Environment: "maria-1", Blueprint: "shop", Target: "local", TTL: 36 * time.Hour, Branches: map[string]string{"api": "main", "web": "feature/login"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	pick := func(value string) slackgo.BlockAction {
		return slackgo.BlockAction{SelectedOption: slackgo.OptionBlockObject{Value: value}}
	}
	got = blocks.DecodeCreate(state(map[string]slackgo.BlockAction{blocks.BlockName: {Value: " QA "}, blocks.AppBlock("web"): pick("hotfix/1"), blocks.BlockTTL: pick("4h0m0s"), blocks.BlockSize: pick("large"), blocks.BlockTarget: pick("aws"), blocks.BlockBlueprint: pick("back")}, m))
	want = o.Command{Noun: o.NounEnv, Verb: o.VerbCreate, Environment: "qa", Blueprint: "back", Target: "aws", Size: "large", TTL: 4 * time.Hour, Branches: map[string]string{"api": "main", "web": "hotfix/1"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if d := blocks.DecodeExtend(state(nil, modals()["modal-extend"])); d != 24*time.Hour {
		t.Errorf("extends by %s", d)
	}
	if b := blocks.DecodeBranches(state(nil, modals()["modal-deploy"])); fmt.Sprint(b) != "map[api:main web:feature/login]" {
		t.Errorf("deploys %v", b)
	}
	if c := blocks.DecodeCreate(nil); c.Environment != "" || len(c.Branches) != 0 {
		t.Errorf("%+v of nothing", c)
	}
}

// Lifetimes beyond the longest one are not offered, whatever was asked for.
func TestLifetimesOffered(t *testing.T) {
	t.Parallel()
	for _, most := range []time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour} {
		f := createForm()
		f.MaxLifetime, f.TTL = most, 20*24*time.Hour
		found := false
		for _, b := range f.View().Blocks.BlockSet {
			if in, ok := b.(*slackgo.InputBlock); ok && in.BlockID == blocks.BlockTTL {
				menu := in.Element.(*slackgo.SelectBlockElement)
				found = menu.InitialOption != nil && len(menu.Options) > 0
				for _, option := range menu.Options {
					if d, err := time.ParseDuration(option.Value); err != nil || d > most {
						t.Errorf("at most %s: offers %s", most, option.Value)
					}
				}
			}
		}
		if !found {
			t.Errorf("at most %s: nothing is offered", most)
		}
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	branches := []string{"main", "feature/logout", "feature/login", "login", "Login", "old/catalogin", "login-2", "l/o/g/i/n", "release/login", strings.Repeat("login", 31), "main"}
	values := func(query string) []string {
		var out []string
		for _, option := range blocks.Suggestions(branches, query).Options {
			out = append(out, option.Value)
		}
		return out
	}
	for query, want := range map[string][]string{
		"login":         {"login", "Login", "login-2", "feature/login", "release/login", "old/catalogin", "l/o/g/i/n"},
		" Login ":       {"Login", "login", "login-2", "feature/login", "release/login", "old/catalogin", "l/o/g/i/n"},
		"":              {"main", "feature/logout", "feature/login", "login", "Login", "old/catalogin", "login-2", "l/o/g/i/n", "release/login"},
		"feature/login": {"feature/login"},
		"#123":          {"#123"},
		"log":           {"login", "Login", "login-2", "feature/logout", "feature/login", "release/login", "old/catalogin", "l/o/g/i/n"},
		"fl":            {"feature/logout", "feature/login", "fl"},
		"deadbee":       {"deadbee"},
	} {
		if got := values(query); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	long := "feature/" + strings.Repeat("日", 20) + strings.Repeat("x", 70) + "-the-end"
	text := blocks.Suggestions([]string{long}, "").Options[0].Text.Text
	if len([]rune(text)) > 75 || !strings.HasPrefix(text, "feature/") || !strings.HasSuffix(text, "-the-end") || !strings.Contains(text, "…") {
		t.Errorf("%q", text)
	}
	if _, err := json.Marshal(blocks.Suggestions(nil, "")); err != nil {
		t.Error(errors.Unwrap(err))
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本語", 2, "日…"}, {"👍👍", 3, "👍…"}, {"👍👍", 4, "👍👍"}, {"", 1, ""}} {
		if got := blocks.Clip(test.text, test.limit); got != test.want {
			t.Errorf("%q at %d: %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

// Commands stand as they are typed in this workspace; what people wrote stays.
func TestTyped(t *testing.T) {
	t.Parallel()
	v := view.ErrorView(o.Errorf(o.CodeState, "The branch env show is busy.").WithHint("berth env show qa, or server list"), o.Command{})
	for options, want := range map[string]string{"": "/env show qa, or /server list", "/try": "/try-env show qa, or /try-server list"} {
		at := blocks.Options{}
		if options != "" {
			at = blocks.Options{Env: options + "-env", Server: options + "-server"}
		}
		m := blocks.Render(v, at)
		raw, err := json.Marshal(m.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Text, "Next: "+want) || !strings.Contains(string(raw), "Next: "+want) || !strings.Contains(string(raw), "The branch env show is busy.") {
			t.Errorf("%s\n%s", m.Text, raw)
		}
	}
}
