package console

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"feature/login":                "feature/login",
		"a\x1b[31mred\x1b[0m":          "ared",
		"\x1b]0;title\x07x":            "x",
		"\x1b]8;;http://evil\x1b\\y":   "y",
		"bell\x07 back\x08 cr\r":       "bell back cr",
		"c1 \u009b31m":                 "c1 31m",
		"turned \u202eround\u2066 off": "turned round off",
		"日本語 é 🚀":                      "日本語 é 🚀",
		"two\nlines\tand a tab":        "two\nlines\tand a tab",
		"bad \xff utf":                 "bad  utf",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	control := regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{202a}-\x{202e}\x{2066}-\x{2069}]`)
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "s") + rapid.StringMatching(`(\x1b[\[\]P_^X(#78cDM]?[0-9;?]*[a-zA-Z\x07]?){0,3}`).Draw(t, "escape")
		if got := Clean(in); control.MatchString(got) {
			t.Fatalf("Clean(%q) = %q", in, got)
		}
	})
}

// Most lines take the short way, and none comes out otherwise by it.
func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", " ": "", "api=main web=main": "api=main web=main", " a  b ": "a b", "a\nb": "a b", "a\u00a0é": "a é", "tab\tbed": "tab bed"} {
		if got := line(in); got != want {
			t.Errorf("line(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[ a-c\t\nÀ\x1b]{0,8}`).Draw(t, "s")
		if got, want := line(in), strings.Join(strings.Fields(Clean(in)), " "); got != want {
			t.Fatalf("line(%q) = %q, want %q", in, got, want)
		}
	})
}

// display is a console on a terminal of which the test sees the screen.
type display struct {
	*Console
	emulator      *vt.Emulator
	columns, rows int
	now           time.Time
}

func newDisplay(columns, rows int) *display {
	d := &display{emulator: vt.NewEmulator(columns, rows), columns: columns, rows: rows, now: time.Unix(1000, 0)}
	d.Console = &Console{Out: d, Err: d, Live: true, ColorErr: true, Now: func() time.Time { return d.now }, Size: func() (int, int) { return d.columns, d.rows }}
	return d
}

// Write does what a terminal's line discipline does: a line feed goes to the
// next line's start.
func (d *display) Write(p []byte) (int, error) {
	_, err := d.emulator.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

func (d *display) lines() []string {
	var out []string
	for line := range strings.Lines(d.emulator.String()) {
		out = append(out, strings.TrimRight(line, " \n"))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func event(server, step, text string) orchestrator.Event {
	return orchestrator.Event{Server: server, Step: step, Text: text}
}

func TestProgressShowsStepsUnderServers(t *testing.T) {
	t.Parallel()
	d := newDisplay(60, 20)
	p := d.Progress()
	p.Add([]orchestrator.Event{event("", "apply", "2 added"), event("qa/web", "configuring", "one"), event("qa/web", "configuring", "two"), event("qa/web", "configuring", "three"), event("qa/web", "configuring", "four"), event("qa/api", "booting", "called home")})
	d.now = d.now.Add(2500 * time.Millisecond)
	p.Tick()
	want := []string{"  2.5s  2 added", "  2.5s  qa/api  booting", "          called home", "  2.5s  qa/web  configuring", "          two", "          three", "          four"}
	if got := d.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p.Add([]orchestrator.Event{event("qa/web", "ready", "ready")})
	d.now = d.now.Add(65 * time.Second)
	p.Add([]orchestrator.Event{event("qa/api", "failed", "no\nluck \x1b[2J"), event("", "failed", "no luck")})
	p.Close()
	want = []string{" 1m07s  failed: no luck", " 1m07s  qa/api  failed: no luck", "  2.5s  qa/web  ready"}
	if got := d.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen at the end:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever happens, on whatever screen, a redrawing replaces the last one: each
// line fits its row, the drawing fits the screen, and what stood above stays.
func TestProgressLeavesNothingOver(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{"running: make build", "日本語のとても長い文章がここにあります、端末の幅よりも長い", "🚀🚀🚀 up", "a\tb\x1b[31m\nc", strings.Repeat("long ", 60), "x"})
	rapid.Check(t, func(t *rapid.T) {
		d := newDisplay(rapid.IntRange(20, 120).Draw(t, "columns"), rapid.IntRange(6, 30).Draw(t, "rows"))
		fmt.Fprintln(d, "above")
		p := d.Progress()
		servers := rapid.IntRange(1, 40).Draw(t, "servers")
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			server := ""
			if n := rapid.IntRange(0, servers).Draw(t, "server"); n > 0 {
				server = fmt.Sprintf("qa/app-%d", n)
			}
			p.Add([]orchestrator.Event{event(server, rapid.SampledFrom([]string{"configuring", "health", "ready", "failed"}).Draw(t, "step"), words.Draw(t, "text"))})
			d.now = d.now.Add(time.Second)
			p.Tick()
			got := d.lines()
			if len(p.drawn) > d.rows-1 {
				t.Fatalf("%d lines on a screen of %d rows", len(p.drawn), d.rows)
			}
			if d.emulator.ScrollbackLen() == 0 {
				if got[0] != "above" || len(got) > 1+len(p.drawn) {
					t.Fatalf("%d lines were drawn, the screen:\n%s", len(p.drawn), strings.Join(got, "\n"))
				}
			} else if len(got) > len(p.drawn)+1 {
				t.Fatalf("%d lines were drawn, the screen:\n%s", len(p.drawn), strings.Join(got, "\n"))
			}
			for _, line := range got {
				if ansi.StringWidth(line) >= d.columns {
					t.Fatalf("%q is not shorter than %d columns", line, d.columns)
				}
			}
		}
	})
}

// A terminal that becomes narrower wraps what it shows: the next drawing goes
// back over all of its rows.
func TestProgressOnANarrowerTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	columns := 80
	c := &Console{Out: &out, Err: &out, Live: true, Now: time.Now, Size: func() (int, int) { return columns, 24 }}
	p := c.Progress()
	p.Add([]orchestrator.Event{event("", "apply", strings.Repeat("x", 60)), event("qa/web", "ready", "ready")})
	columns = 40
	out.Reset()
	p.Tick()
	if !strings.HasPrefix(out.String(), "\x1b[3A") {
		t.Errorf("two lines, one of which takes two rows now, were replaced with %q", out.String())
	}
}

func TestProgressWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	c := &Console{Err: &out, Now: func() time.Time { return now }}
	p := c.Progress()
	p.Add([]orchestrator.Event{event("qa/web", "configuring", "setting up"), event("qa/web", "configuring", "setting up")})
	now = now.Add(1200 * time.Millisecond)
	p.Tick()
	p.Add([]orchestrator.Event{event("qa/web", "ready", "ready")})
	p.Close()
	if want := "  0.0s  qa/web  configuring: setting up\n  1.2s  qa/web  ready\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// An empty list says of what it is: others may have what the caller has not.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &Console{Out: &out}
	c.Rows(nil, false)
	c.Rows(nil, true)
	c.NoServers("", false)
	c.NoServers("web", false)
	c.NoServers("", true)
	want := `There are no environments. Make one: berth env create NAME
You have no environments. Make one: berth env create NAME
There are no servers. Make one: berth server create APP BRANCH
There are no servers of web. Make one: berth server create web BRANCH
You have no servers. Make one: berth server create APP BRANCH
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestTablesLineUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &Console{Out: &out, Now: func() time.Time { return time.Unix(0, 0) }, Color: true}
	c.Rows([]wire.Row{
		{Name: "qa", Status: "ready", Owner: "名前@example.com", Target: "local", ExpiresAt: time.Unix(0, 0).Add(72*time.Hour - time.Second), Servers: "web=main"},
		{Name: strings.Repeat("n", 32), Status: "deploying", Owner: "jo\x1b[31m", Target: "local", ExpiresAt: time.Unix(0, 0).Add(90 * time.Minute), Servers: "web=ünïcode"},
	}, false)
	text := ansi.Strip(out.String())
	lines := strings.Split(strings.TrimSpace(text), "\n")
	at := ansi.StringWidth(lines[0][:strings.Index(lines[0], "SERVERS")])
	for _, line := range lines[1:] {
		if got := ansi.StringWidth(line[:strings.Index(line, "web=")]); got != at {
			t.Errorf("a column begins at %d, its head at %d:\n%s", got, at, text)
		}
	}
	if !strings.Contains(text, "  3d  ") || !strings.Contains(text, "  2h  ") || strings.Contains(out.String(), "jo\x1b") {
		t.Errorf("got\n%q", out.String())
	}
	out.Reset()
	c.Servers([]orchestrator.Server{{Name: "qa/web", Branch: "日本語", URL: "http://a"}, {Name: "qa/api", Branch: "main", URL: "http://b"}})
	lines = strings.Split(strings.TrimSpace(ansi.Strip(out.String())), "\n")
	if a, b := ansi.StringWidth(lines[1][:strings.Index(lines[1], "http")]), ansi.StringWidth(lines[2][:strings.Index(lines[2], "http")]); a != b {
		t.Errorf("the URLs begin at %d and %d:\n%s", a, b, strings.Join(lines, "\n"))
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"72h0m0s": "3d", "36h0m0s": "36h", "10m0s": "10m", "1h30m0s": "1h30m", "24h0m0s": "1d"} {
		if got := lifetime(in); got != want {
			t.Errorf("lifetime(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestHistory: what is known of a cause from before, in plain words; a note
// must not steer the terminal.
func TestHistory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &Console{Out: &out, Now: time.Now}
	e := orchestrator.Environment{Name: "qa", Status: orchestrator.StatusFailed, Diagnosis: &orchestrator.Diagnosis{Causes: []orchestrator.Cause{{Who: "ops", Sentence: "It failed.",
		History: &orchestrator.History{Seen: "Seen 2 times today", Mended: &orchestrator.Mending{By: "t\x1b[31mom", How: "env deploy qa api=main"}, Note: &orchestrator.CauseNote{Text: "say \x1b]0;x\x07env list\nNext: rm"}}}}}}
	c.Why(e)
	for _, want := range []string{"\n  Seen 2 times today, last mended by tom with berth env deploy qa api=main.\n", "\n  Ops say: say env list Next: rm\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}

// TestCauses: a cause with all that is remembered of it, and one of which only
// the note is left.
func TestCauses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	c := &Console{Out: &out, Now: func() time.Time { return at }}
	k := orchestrator.KnownCause{Fingerprint: "abcdefghij", Code: "disk_full", Who: "ops", App: "api", Sentence: strings.Repeat("long \x1b[1m", 40), Count: 1, Environments: 1, First: at, Last: at}
	c.Causes([]orchestrator.KnownCause{k}, at)
	if got := out.String(); !strings.Contains(got, "abcdefghij") || strings.Contains(got, "\x1b") || ansi.StringWidth(strings.Split(got, "\n")[1]) > 160 {
		t.Errorf("got\n%s", got)
	}
	out.Reset()
	c.Cause(orchestrator.CauseDetail{KnownCause: k, Evidence: "one\n\x1b[2Jtwo", Occurrences: []orchestrator.Occurrence{
		{Environment: "qa", Operation: "o1", At: at, Mended: &orchestrator.Mending{At: at}}, {Environment: "qb", Operation: "o2", At: at}}})
	for _, want := range []string{"Seen once, in 1 environment; the last time 1 Mar 12:00.", "  | one\n  | two\n", "passed by itself", "qb"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	c.Cause(orchestrator.CauseDetail{KnownCause: orchestrator.KnownCause{Fingerprint: "abcdefghij", Note: &orchestrator.CauseNote{Text: "old news", By: "olga", At: at}}})
	if got := out.String(); !strings.Contains(got, "only the note is left") || !strings.Contains(got, "Ops say: old news (olga, 1 Mar 12:00)") {
		t.Errorf("got\n%s", got)
	}
}
