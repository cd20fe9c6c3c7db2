package bot_test

import (
	"errors"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot"
	o "github.com/berth-dev/berth/orchestrator"
)

// oddRefs are branches that git allows and that grammars stumble over.
var oddRefs = []string{
	"main", "feature/login", "hotfix/1.2.3", "feature-x", "a=b", "web=main", "ttl=3d", "#123", "#x", "user@fix", "@bob", "a&b", "a&amp;b", "a&lt;b", "<@U1|x>", "<a>", `a"b`, `"`, `"a"`, "don't", "don’t", "'", "'a'",
	"feature–x", "feature—x", "“a”", "a,b", "a,web=x", "x!", "x;", "(x)", "{{salt.cmd.run('id')}}", "$(id)", "`id`", "a|b", "a>b", ">a", "origin/x", "refs/heads/x", "github.com/a/b/tree/c", "the", "please", "to", "for", "env", "server", "help",
	"name", "and", "3d", "1", "0123456789abcdef0123456789abcdef01234567", "https://github.com/acme/web/tree/feature/x", "https://github.com/acme/web/pull/12", "_x_", "x_", "фича", "日本語", "a b", "fix/✈️", "％", "＝", "：x", "…", "a…b", "→", "•", "A_B=c", "branch=x", "app=x", "--", "x-",
	"é", "=", "==a", "a==", "+", "+4h", "%20", "a}b", "x.dev", "what's", "`", "a'", "'b", "\"a", "a' b", "a=\"b\"", "a\" b=\"c", "–", "̈a",
}

func genName() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`[a-z]([a-z0-9-]{0,12}[a-z0-9])?`), rapid.SampledFrom([]string{"qa", "a", "the", "my", "please", "to", "web-main", "preview", "new", "for", "x1", "why", "up", "if", "not", "all", "mine", "thank", "you", "until", "tomorrow", "two", "blueprint", "branch", "as", "is", "in", "life", "more", "evn", "status", "main"}))
}

func usable(name string) bool {
	for _, r := range bot.Records {
		if string(r.Verb) == name {
			return false
		}
	}
	return !strings.Contains(" help ttl size name env app target envs environment environments server servers machine machines ", " "+name+" ")
}

func genRef() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(oddRefs), rapid.StringMatching(`[a-z]{1,6}([/._-][a-z0-9]{1,6}){0,3}`), rapid.StringOf(rapid.RuneFrom([]rune(`ab/=:.,;!'"&<>#@|(){}$-_+%é–—“”’«»＝ `))), rapid.StringN(1, 12, 40)).Filter(func(s string) bool {
		if s != strings.TrimSpace(s) {
			return false
		}
		_, err := bot.ParseArgs([]string{"env", "create", "qa", `x="` + s + `"`})
		return err == nil
	})
}

// genCommand draws any command that the grammar can make.
func genCommand() *rapid.Generator[o.Command] {
	return rapid.Custom(func(t *rapid.T) o.Command {
		name := func(label string) string { return genName().Filter(usable).Draw(t, label) }
		maybe := func(g *rapid.Generator[string], label string) string {
			if rapid.Bool().Draw(t, "with "+label) {
				return g.Draw(t, label)
			}
			return ""
		}
		names := genName().Filter(usable)
		ttl := func() time.Duration {
			return time.Duration(rapid.IntRange(1, 500).Draw(t, "ttl")) * rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "unit")
		}
		branches := func() map[string]string {
			m := rapid.MapOfN(names, genRef(), 0, 3).Draw(t, "branches")
			if len(m) == 0 {
				return nil
			}
			return m
		}
		r := rapid.SampledFrom(bot.Records).Draw(t, "record")
		c := o.Command{Noun: r.Noun, Verb: r.Verb}
		switch {
		case c.Verb == o.VerbList:
			c.Mine = rapid.Bool().Draw(t, "mine")
			if c.Noun == o.NounServer {
				c.App = maybe(names, "app")
			}
		case c.Noun == o.NounServer && c.Verb == o.VerbCreate:
			c.App = name("app")
			c.Branches = map[string]string{c.App: genRef().Draw(t, "branch")}
			if rapid.Bool().Draw(t, "ttl given") {
				c.TTL = ttl()
			}
			c.Size, c.Target = maybe(names, "size"), maybe(names, "target")
			if rapid.Bool().Draw(t, "alone") {
				c.Name = maybe(names, "name")
			} else {
				c.Environment = name("env")
			}
		case c.Noun == o.NounServer:
			c.Environment, c.App = name("env"), maybe(names, "app")
			if c.Verb == o.VerbDeploy && rapid.Bool().Draw(t, "with branch") {
				app := c.App
				if app == "" {
					app = maybe(names.Filter(func(s string) bool { return s != "branch" }), "lone app") // branch= is a key there
				}
				c.Branches = map[string]string{app: genRef().Draw(t, "branch")}
			}
		default:
			c.Environment = name("env")
			switch c.Verb {
			case o.VerbCreate, o.VerbPlan:
				c.Blueprint, c.Branches = maybe(names, "blueprint"), branches()
				if rapid.Bool().Draw(t, "ttl given") {
					c.TTL = ttl()
				}
				c.Size, c.Target = maybe(names, "size"), maybe(names, "target")
			case o.VerbDeploy:
				c.Branches = branches()
			case o.VerbLogs:
				c.App = maybe(names, "app")
			case o.VerbWhy:
				c.App = maybe(names, "app")
				c.Detail = rapid.SampledFrom([]o.Detail{o.DetailShort, o.DetailAll, o.DetailRaw}).Draw(t, "detail")
			case o.VerbExtend:
				c.TTL = ttl()
			case o.VerbRename:
				c.NewName = name("new")
			}
		}
		return c
	})
}

// TestCanonicalRoundTrip: what is written as canonical is read as the same.
func TestCanonicalRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := genCommand().Draw(t, "command")
		text := bot.Canonical(c)
		p, err := bot.Parse(text)
		if err != nil {
			t.Fatalf("%s\nis refused: %v", text, err)
		}
		if !reflect.DeepEqual(p.Command, c) || p.Canonical != text || p.Guess {
			t.Fatalf("%s\nis read as %+v, %q, not %+v", text, p.Command, p.Canonical, c)
		}
	})
}

// TestCorrupted: a command that a keyboard, Slack or a habit has been at is
// still the same one; never is it another change.
func TestCorrupted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := genCommand().Draw(t, "command")
		canonical := bot.Canonical(c)
		text := corrupt(t, canonical)
		p, err := bot.Parse(text)
		if err != nil {
			t.Fatalf("%s\nas %q\nis refused: %v", canonical, text, err)
		}
		if !reflect.DeepEqual(p.Command, c) {
			t.Fatalf("%s\nas %q\nis read as %s", canonical, text, p.Canonical)
		}
	})
}

// TestMistyped: with letters wrong besides, it is the same, or a refusal, or a
// read; never another change than the one that was meant.
func TestMistyped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := genCommand().Draw(t, "command")
		parts := strings.SplitN(bot.Canonical(c), " ", 3)
		which := rapid.IntRange(0, 1).Draw(t, "word")
		parts[which] = mistype(t, parts[which])
		text := strings.Join(parts, " ")
		p, err := bot.Parse(text)
		if err != nil {
			return
		}
		if p.Command.Changes() && !reflect.DeepEqual(p.Command, c) {
			t.Fatalf("%q is read as the change %s", text, p.Canonical)
		}
		if p.Guess && p.Command.Changes() {
			t.Fatalf("%q: a guess would run %s", text, p.Canonical)
		}
	})
}

// TestSuggestionsAreCommands: whatever is offered can be sent as it is.
func TestSuggestionsAreCommands(t *testing.T) {
	t.Parallel()
	words := append([]string{"env", "server", "evn", "create", "craete", "destroy", "destory", "deploy", "list", "lsit", "show", "to", "on", "for", "and", "qa", "qa/web", "web", "3d", "ttl", "=", "ttl=3d", "web=", "my", "new", "a", "“", "\"", "—", "name", "help", "QA-", "my_qa", "аpi", "2", "days", "size=", "A_B=c", "stop", "set"}, oddRefs...)
	rapid.Check(t, func(t *rapid.T) {
		var text string
		for _, w := range rapid.SliceOfN(rapid.SampledFrom(words), 0, 7).Draw(t, "words") {
			text += w + rapid.SampledFrom([]string{" ", " ", " ", "", "=", ", ", "\u00a0"}).Draw(t, "gap")
		}
		invariants(t, text)
	})
}

// invariants holds what is true of every text.
func invariants(t rapid.TB, text string) {
	t.Helper()
	p, err := bot.Parse(text)
	if err == nil {
		again, err := bot.Parse(p.Canonical)
		if err != nil || !reflect.DeepEqual(again.Command, p.Command) || again.Canonical != p.Canonical || again.Guess {
			t.Fatalf("%q is read as %q, and that as %q (%v)", text, p.Canonical, again.Canonical, err)
		}
		if p.Guess && p.Command.Changes() {
			t.Fatalf("%q: a guess would run %s", text, p.Canonical)
		}
		return
	}
	var e *o.Error
	if !errors.As(err, &e) || e.Code == "" || e.Message == "" || !utf8.ValidString(e.Message+e.Hint) || o.ExitStatus(e) < 2 {
		t.Fatalf("%q: %#v is nothing to show a person", text, err)
	}
	for _, s := range e.Suggestions {
		p, err := bot.Parse(s)
		if err != nil || p.Canonical != s || p.Guess {
			t.Fatalf("%q suggests %q, which is read as %q (%v)", text, s, p.Canonical, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range bot.Records {
		for _, e := range r.Examples {
			f.Add(e)
		}
	}
	for _, ref := range oddRefs {
		f.Add("env create qa web=" + ref)
		f.Add("server create web \"" + ref + "\" ttl = 3 days")
	}
	f.Fuzz(func(t *testing.T, text string) {
		invariants(t, text)
		args, err := bot.ParseArgs(strings.Split(text, " "))
		if err == nil {
			invariants(t, args.Canonical)
			p, err := bot.Parse(args.Canonical)
			if err != nil || !reflect.DeepEqual(p.Command, args.Command) {
				t.Fatalf("the words of %q are %q, which is read as %q (%v)", text, args.Canonical, p.Canonical, err)
			}
		}
		p, err := bot.Parse(text)
		if err != nil || p.Guess {
			return
		}
		// Invisible characters and odd spaces change nothing outside quotes.
		if !strings.ContainsAny(p.Canonical, `"`) {
			worse := strings.ReplaceAll(strings.ReplaceAll(p.Canonical, " ", "\u00a0\u200b"), "=", "＝\ufeff")
			if q, err := bot.Parse(worse); err != nil || q.Canonical != p.Canonical {
				t.Fatalf("%q as %q is read as %q (%v)", p.Canonical, worse, q.Canonical, err)
			}
		}
	})
}

// TestBranchesAsGitTakesThem compares the rules for branches with git's own.
func TestBranchesAsGitTakesThem(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal("git is needed: ", err)
	}
	refs := append([]string{"a..b", "a.lock", "a.lock/b", ".a", "a/.b", "/a", "a/", "a//b", "a.", "@", "a@{b", "a~", "a^", "a:b", "a?", "a*", "a[", `a\b`, "-a", "a/-b", "@a", "a@", "a.b.", "..", "a.locks", "a{b", "é/ü", "a\tb"}, oddRefs...)
	for _, ref := range refs {
		if strings.HasPrefix(ref, "https://") {
			continue
		}
		_, err := bot.ParseArgs([]string{"env", "create", "qa", `web="` + ref + `"`})
		// As git branch does: no dash in front, and @ alone is HEAD.
		taken := exec.Command(git, "check-ref-format", "refs/heads/"+ref).Run() == nil && !strings.HasPrefix(ref, "-") && ref != "@"
		if (err == nil) != taken {
			t.Errorf("%q: git takes it: %v, Berth: %v", ref, taken, err)
		}
	}
}
