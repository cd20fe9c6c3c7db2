package slackfake

import (
	"regexp"
	"strings"
	"testing"
)

func typist(t testing.TB) *workspace {
	t.Helper()
	w, err := newWorkspace(Options{
		Users:    []User{{ID: "U1", Name: "bob"}},
		Groups:   []UserGroup{{ID: "S1", Handle: "ops"}},
		Channels: []Channel{{ID: "C1", Name: "dev", Members: []string{"U1"}}, {ID: "G1", Name: "secret", Private: true, Members: []string{"U1"}}},
	}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTyped(t *testing.T) {
	t.Parallel()
	w := typist(t)
	for typed, want := range map[string]string{
		"create qa":                      "create qa",
		"a<b> & c":                       "a&lt;b&gt; &amp; c",
		"<!channel> <@U1>":               "&lt;!channel&gt; &lt;@U1&gt;",
		"@bob, @ops. @nobody x@bob":      "<@U1|bob>, <!subteam^S1|@ops>. @nobody x@bob",
		"#dev #secret #123":              "<#C1|dev> #secret #123",
		"x.dev (see api.x.dev/a?b=1).":   "<http://x.dev|x.dev> (see <http://api.x.dev/a?b=1|api.x.dev/a?b=1>).",
		"https://github.com/o/r/pull/7,": "<https://github.com/o/r/pull/7>,",
		"bob@x.com":                      "<mailto:bob@x.com|bob@x.com>",
		"`x.dev <b>` web=x.dev":          "`x.dev &lt;b&gt;` web=x.dev",
		"release/1.2.3 v1.2 a.b":         "release/1.2.3 v1.2 a.b",
	} {
		if got := w.markup(w.typed(typed), true); got != want {
			t.Errorf("%s\n got %s\nwant %s", typed, got, want)
		}
	}
}

var knownMarkup = regexp.MustCompile(`<(?:@U1\|bob|#C1\|dev|!subteam\^S1\|@ops|!(?:channel|here|everyone)|https?://[^<>]*|mailto:[^<>]*)>`)

// FuzzTyped: whatever is typed, only markup of Slack's own making comes out,
// and nothing of what was typed is lost.
func FuzzTyped(f *testing.F) {
	for _, s := range []string{"<!channel>", "@bob@bob", "`", "a&amp;b", "http://", "x.dev/`<", "@@bob", "##dev", "é.dev", "https://x.dev?)'", " @BoB #DEV @OPS"} {
		f.Add(s)
	}
	w := typist(f)
	f.Fuzz(func(t *testing.T, s string) {
		parts := w.typed(s)
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(p.text)
		}
		if b.String() != s {
			t.Fatalf("%q became %q", s, b.String())
		}
		if rest := knownMarkup.ReplaceAllString(w.markup(parts, true), ""); strings.ContainsAny(rest, "<>") {
			t.Fatalf("%q: %q is left", s, rest)
		}
	})
}
