package blocks_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"
	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
)

// nasty is text that would be something in Slack.
var nasty = []string{
	"<!channel>", "<!here|here>", "<@U1>", "<@U024BE7LH>", "<#C1|general>", "<!subteam^S1>", "@here", "@channel @everyone", "<https://evil.test|click>",
	":smile:", ":+1::skin-tone-2:", ":a:b:c:", "*bold*", "_i_", "~s~", "`code`", "```\nfence\n```", "````", "> quote", ">>> all", "\n> later", "\n   > deep",
	"https://evil.test/x?a=1&b=2", "maria@example.com", "mailto:a@b", "&amp;", "&lt;!channel&gt;", "&", "<", ">", "|", "^", "<!date^1^{date}|x>", "feature/a_b_c",
	"\u202eevil\u202c", "\u2066x\u2069", "\u200bz", "\x00", "\x1b[31mred\x1b[0m", "\x1b]8;;http://evil.test\x07x", "\r\nline", "\t", "\u2028", "\xff\xfe", "\ufffd",
	"日本語のブランチ", "👩‍👩‍👧‍👦", "é", "𝒳", "", " ", "\n\n\n", "…", "javascript:alert(1)", "{{salt.cmd.run('id')}}", "\u2060", "*", "_", "`", "**", "a*b*c",
}

func text(t *rapid.T, label string) string {
	switch rapid.IntRange(0, 9).Draw(t, label+" kind") {
	case 0:
		return strings.Repeat(rapid.SampledFrom(nasty).Draw(t, label), rapid.SampledFrom([]int{1, 30, 800}).Draw(t, label+" times"))
	case 1:
		return rapid.String().Draw(t, label)
	case 2:
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, label))
	case 3:
		return strings.Repeat(rapid.SampledFrom([]string{"x", "日", "👍", "&", "a b "}).Draw(t, label), rapid.SampledFrom([]int{10, 160, 3100, 10_000}).Draw(t, label+" size"))
	}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(append([]string{"qa", " ", "feature/login", ".", "a", ":"}, nasty...)), 0, 8).Draw(t, label), "")
}

func span(t *rapid.T) view.Span {
	s := view.Span{Text: text(t, "span")}
	switch rapid.IntRange(0, 6).Draw(t, "span kind") {
	case 1:
		s.Strong = true
	case 2:
		s.Code = true
	case 3:
		s.URL = rapid.OneOf(rapid.SampledFrom([]string{"http://127.0.0.1:1", "https://qa.example.com/a|b>c d?x=1&y=<!channel>", "HTTP://x/", "javascript:alert(1)", "https://", "//x", "https://u:p@evil.test/", "http://x/\u202e", "https://[::1]:8/"}),
			rapid.Custom(func(t *rapid.T) string { return "https://x.test/" + text(t, "url") })).Draw(t, "url")
	case 4:
		s.Person = rapid.OneOf(rapid.SampledFrom([]string{"maria", "forged", "empty"}), rapid.Custom(func(t *rapid.T) string { return text(t, "person") })).Draw(t, "person")
	case 5:
		s.Time = time.Unix(rapid.Int64().Draw(t, "time"), 0)
	}
	return s
}

func spans(t *rapid.T) []view.Span {
	return rapid.SliceOfN(rapid.Custom(span), 0, 6).Draw(t, "spans")
}

// many is a number of things, sometimes far too many.
func many(t *rapid.T, most int) int {
	return rapid.OneOf(rapid.IntRange(0, 4), rapid.IntRange(0, 4), rapid.IntRange(0, 12), rapid.IntRange(0, most)).Draw(t, "how many")
}

func part(t *rapid.T) view.Part {
	switch rapid.IntRange(0, 9).Draw(t, "part") {
	case 0:
		return view.Heading{Text: text(t, "heading")}
	case 1:
		return view.Paragraph{Spans: spans(t)}
	case 2:
		f := view.Facts{}
		for range many(t, 40) {
			f.Facts = append(f.Facts, view.Fact{Label: text(t, "fact"), Spans: spans(t)})
		}
		return f
	case 3, 4:
		some := []view.Line{}
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			some = append(some, view.Line{State: rapid.SampledFrom([]view.State{view.StateGood, view.StateBad, view.StateGone, view.StateWaiting, view.StateWorking, "", "odd"}).Draw(t, "state"), Spans: spans(t)})
		}
		l := view.Lines{}
		for i := range many(t, 500) {
			l.Lines = append(l.Lines, some[i%len(some)])
		}
		return l
	case 5:
		tab := view.Table{}
		row := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return text(t, "cell") }), 0, 5)
		tab.Header = row.Draw(t, "header")
		some := rapid.SliceOfN(row, 1, 4).Draw(t, "rows")
		for i := range many(t, 500) {
			tab.Rows = append(tab.Rows, some[i%len(some)])
		}
		return tab
	case 6:
		return view.Code{Text: text(t, "code")}
	case 7:
		return view.Note{Spans: spans(t)}
	case 8:
		some := []view.Action{}
		for range rapid.IntRange(1, 4).Draw(t, "actions") {
			a := view.Action{Label: text(t, "label"), Command: text(t, "command"), Style: rapid.SampledFrom([]view.Style{"", view.StylePrimary, view.StyleDanger}).Draw(t, "style"),
				About: view.About{Environment: text(t, "environment"), Operation: text(t, "operation")}}
			switch rapid.IntRange(0, 3).Draw(t, "action kind") {
			case 1:
				a.Form = view.FormDeploy
			case 2:
				a.URL = span(t).URL
			case 3:
				a.Confirm = &view.Confirm{Title: text(t, "title"), Text: text(t, "question"), Yes: text(t, "yes"), No: text(t, "no")}
			}
			some = append(some, a)
		}
		a := view.Actions{}
		for i := range many(t, 200) {
			a.Actions = append(a.Actions, some[i%len(some)])
		}
		return a
	}
	return view.Divider{}
}

func anyView(t *rapid.T) view.View {
	return view.View{Text: text(t, "text"), Parts: rapid.SliceOfN(rapid.Custom(part), 0, 12).Draw(t, "parts")}
}

var directory = blocks.Options{Person: func(name string) (string, bool) {
	switch name {
	case "maria":
		return "U024BE7LH", true
	case "forged":
		return "U1> <!channel", true
	}
	return "", false
}}

// Whatever is in a View, Slack takes the message, it mentions nobody else, and
// each button comes back as what it was.
func TestEveryViewIsTaken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := anyView(t)
		m := blocks.Render(v, directory)
		if found := problems(m, "U024BE7LH"); len(found) > 0 {
			t.Fatalf("%s", strings.Join(found, "\n"))
		}
		offered := map[blocks.Action]bool{}
		for _, p := range v.Parts {
			if a, ok := p.(view.Actions); ok {
				for _, a := range a.Actions {
					offered[blocks.Action{Command: a.Command, Form: a.Form, About: a.About}] = true
				}
			}
		}
		for _, b := range buttons(m.Blocks) {
			a, ok := blocks.DecodeAction(b.ActionID, b.Value)
			if ok != (b.URL == "") {
				t.Fatalf("%q %q is an action: %v", b.ActionID, b.Value, ok)
			}
			if ok && !offered[a] {
				t.Fatalf("%+v was never offered", a)
			}
			if _, ok := blocks.DecodeAction(b.ActionID, b.Value[:len(b.Value)/2]); ok {
				t.Fatalf("half of %q is taken for all of it", b.Value)
			}
		}
	})
}

func TestEveryHomeIsTaken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		views := rapid.SliceOfN(rapid.Custom(anyView), 0, 4).Draw(t, "views")
		if found := viewProblems(blocks.Home(views, directory), "U024BE7LH"); len(found) > 0 {
			t.Fatalf("%s", strings.Join(found, "\n"))
		}
	})
}

func TestEveryFormIsTaken(t *testing.T) {
	t.Parallel()
	names := func(t *rapid.T, label string) []string {
		some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return text(t, label) }), 0, 5).Draw(t, label)
		for i := range many(t, 150) {
			some = append(some, string(rune('a'+i%26))+strings.Repeat("x", i/26))
		}
		return some
	}
	rapid.Check(t, func(t *rapid.T) {
		one := func(label string, all []string) string {
			if len(all) > 0 && rapid.Bool().Draw(t, label+" known") {
				return rapid.SampledFrom(all).Draw(t, label)
			}
			return text(t, label)
		}
		f := blocks.CreateForm{Blueprints: names(t, "blueprints"), Apps: names(t, "apps"), Sizes: names(t, "sizes"), Targets: names(t, "targets"), Name: text(t, "name"), Branches: map[string]string{},
			TTL: time.Duration(rapid.Int64().Draw(t, "ttl")), Lifetime: time.Duration(rapid.Int64().Draw(t, "lifetime")), MaxLifetime: time.Duration(rapid.Int64().Draw(t, "most"))}
		f.Blueprint, f.Size, f.Target = one("blueprint", f.Blueprints), one("size", f.Sizes), one("target", f.Targets)
		for _, app := range f.Apps {
			f.Branches[app] = text(t, "branch")
		}
		for _, m := range []slackgo.ModalViewRequest{f.View(), blocks.DeployForm{Environment: f.Name, Apps: f.Apps, Branches: f.Branches}.View(),
			blocks.ExtendForm{Environment: f.Name}.View(), blocks.Notice(f.Name, f.Size)} {
			if found := viewProblems(m); len(found) > 0 {
				t.Fatalf("%s: %s", m.CallbackID, strings.Join(found, "\n"))
			}
		}
	})
}

// An acknowledgement of 20 KB would never arrive.
func TestEverySuggestionIsTaken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return text(t, "branch") }), 0, 10).Draw(t, "branches")
		for i := range many(t, 500) {
			some = append(some, strings.Repeat(rapid.SampledFrom([]string{"x", "<", "日", "👍"}).Draw(t, "long"), i%150)+"/"+string(rune('a'+i%26)))
		}
		query := text(t, "query")
		out := blocks.Suggestions(some, query)
		if n := len(jsonOf(object{"envelope_id": strings.Repeat("x", 64), "payload": out})); n >= 20_000 || len(out.Options) > 50 {
			t.Fatalf("%d bytes, %d options", n, len(out.Options))
		}
		v := newValidator(nil)
		values := map[string]bool{}
		for _, o := range out.Options {
			v.option("suggestion", generic(o))
			v.once("suggestion", values, o.Value)
			if !utf8.ValidString(o.Value) || o.Value != strings.TrimSpace(query) && !contains(some, o.Value) {
				t.Fatalf("%q is no branch", o.Value)
			}
		}
		if len(v.found) > 0 {
			t.Fatalf("%s", strings.Join(v.found, "\n"))
		}
	})
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

func buttons(all []slackgo.Block) []*slackgo.ButtonBlockElement {
	var out []*slackgo.ButtonBlockElement
	for _, b := range all {
		if a, ok := b.(*slackgo.ActionBlock); ok {
			for _, e := range a.Elements.ElementSet {
				out = append(out, e.(*slackgo.ButtonBlockElement))
			}
		}
	}
	return out
}

// FuzzText puts one text everywhere.
func FuzzText(f *testing.F) {
	for _, s := range nasty {
		f.Add(s, 1)
		f.Add(s, 700)
	}
	f.Fuzz(func(t *testing.T, s string, times int) {
		if times < 1 || times > 1000 || len(s) > 1000 {
			t.Skip()
		}
		s = strings.Repeat(s, times)
		all := []view.Span{{Text: s}, {Text: s, Strong: true}, {Text: s, Code: true}, {Text: s, URL: "https://x.test/" + s}, {Text: s, Person: s}, {Text: s, Time: time.Unix(1_700_000_000, 0)}}
		v := view.View{Text: s, Parts: []view.Part{view.Heading{Text: s}, view.Paragraph{Spans: all}, view.Facts{Facts: []view.Fact{{Label: s, Spans: all}}},
			view.Lines{Lines: []view.Line{{State: view.StateBad, Spans: all}, {Spans: all[2:]}}}, view.Table{Header: []string{s, "b"}, Rows: [][]string{{"a", s}}}, view.Code{Text: s}, view.Note{Spans: all},
			view.Actions{Actions: []view.Action{{Label: s, Command: s, Confirm: &view.Confirm{Title: s, Text: s, Yes: s, No: s}}, {Label: s, URL: "http://x.test/" + s}}}}}
		if found := problems(blocks.Render(v, directory)); len(found) > 0 {
			t.Fatalf("%s", strings.Join(found, "\n"))
		}
	})
}

func FuzzDecodeAction(f *testing.F) {
	f.Add("berth:1", `{"c":"env list"}`)
	f.Add("link:1", "")
	f.Add("berth:", `{"c":`)
	f.Fuzz(func(t *testing.T, id, value string) {
		a, ok := blocks.DecodeAction(id, value)
		if ok && (a.Command == "" && a.Form == "" || !json.Valid([]byte(value))) {
			t.Fatalf("%q %q gives %+v", id, value, a)
		}
	})
}
