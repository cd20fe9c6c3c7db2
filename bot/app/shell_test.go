package app

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
)

// What is offered to be pasted is the same command after a real shell has read
// it, and runs nothing, whatever a branch is called.
func TestForShellText(t *testing.T) {
	t.Parallel()
	check := func(t interface{ Fatalf(string, ...any) }, branch string) {
		text := bot.Canonical(orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbDeploy, Environment: "qa", Branches: map[string]string{"web": branch}})
		meant, err := bot.Parse(text)
		if err != nil {
			return // no branch
		}
		text = meant.Canonical
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+forShellText(text)).Output()
		if err != nil {
			t.Fatalf("%s: %v", forShellText(text), err)
		}
		words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		p, err := bot.ParseArgs(words)
		if err != nil || p.Canonical != text {
			t.Fatalf("%s\npasted is %q: %q, %v", forShellText(text), words, p.Canonical, err)
		}
	}
	for _, branch := range []string{"main", "feature/login", "$(touch${IFS}pwned)", "`id`", "a'b", `a"b`, `x"`, "a&lt;b", "a&amp;b", "a;b", "a|b", "#123", "!x", "a b", "{a,b}", "日本語", "all", "a=b"} {
		check(t, branch)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`[a-z$(){}'"&;|<>!#%@=,+ ]{1,12}`).Draw(t, "branch"))
	})
}

func TestForShell(t *testing.T) {
	t.Parallel()
	_, err := bot.ParseArgs([]string{"env", "crate", "qa", "web=$(touch x)"})
	var e *orchestrator.Error
	if !errors.As(forShell(err), &e) {
		t.Fatal("no error")
	}
	if strings.Contains(e.Hint, "$(") && !strings.Contains(e.Hint, "'web=") {
		t.Errorf("the hint %q is dangerous to paste", e.Hint)
	}
	_, err = bot.ParseArgs([]string{"env", "create"})
	if !errors.As(forShell(err), &e) || !strings.HasPrefix(e.Hint, "berth env create NAME") {
		t.Errorf("the hint %q is no command of a shell", e.Hint)
	}
}

func TestCorrected(t *testing.T) {
	t.Parallel()
	cmd := orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbCreate, Environment: "qa", Blueprint: "shop", Branches: map[string]string{"api": "main", "web": "feature/logn"}}
	refused := func(code orchestrator.Code, message string, near ...string) error {
		return &orchestrator.Error{Code: code, Message: message, Hint: "as it was", Suggestions: near}
	}
	missing := func(app, message string, near ...string) *orchestrator.Error {
		return &orchestrator.Error{Code: orchestrator.CodeBranchNotFound, Message: message, Suggestions: near, Subject: orchestrator.Subject{App: app}}
	}
	several := func(all ...*orchestrator.Error) error {
		return &orchestrator.Error{Code: orchestrator.CodeBranchNotFound, Message: "web and api.", Hint: "as it was", All: all}
	}
	web, api := missing("web", "web has no branch feature/logn.", "feature/login"), missing("api", "api has no branch man.", "main")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{several(web, api), "did you mean: berth env create qa shop api=main web=feature/login"},
		{several(web, missing("api", "", "main", "man/x")), "as it was; with the nearest of each: berth env create qa shop api=main web=feature/login"},
		{several(web, missing("api", "")), "as it was"},
		// Whose branch it is stands beside the message, which may hold other branches' names.
		{missing("web", "web has no branch feature/logn, but main.", "feature/login"), "did you mean: berth env create qa shop api=main web=feature/login"},
		{&orchestrator.Error{Code: orchestrator.CodeBranchNotFound, Hint: "did you mean x?; ops: mend the catalog", Suggestions: []string{"x"}, Subject: orchestrator.Subject{App: "web"}}, "did you mean: berth env create qa shop api=main web=x; ops: mend the catalog"},
		{refused(orchestrator.CodeBranchNotFound, "web has no branch feature/logn.", "feature/login"), "did you mean: berth env create qa shop api=main web=feature/login"},
		{refused(orchestrator.CodeBranchNotFound, "web has no branch feature/logn.", "feature/login", "x$(id)"), "did you mean: berth env create qa shop api=main web=feature/login   or: berth env create qa shop api=main 'web=\"x$(id)\"'"},
		{refused(orchestrator.CodeBranchNotFound, "web has no branch feature/logn. api has no branch main.", "feature/login"), "as it was"},
		{refused(orchestrator.CodeBlueprintUnknown, `There is no blueprint "shop".`, "ship"), "did you mean: berth env create qa ship api=main web=feature/logn"},
		{refused(orchestrator.CodeAppUnknown, `There is no app "web".`, "www"), "did you mean: berth env create qa shop api=main www=feature/logn"},
		{refused(orchestrator.CodeNotFound, "There is no such thing."), "as it was"},
	} {
		var e *orchestrator.Error
		if !errors.As(corrected(tt.err, cmd), &e) || e.Hint != tt.want {
			t.Errorf("%v: the hint is %q, want %q", tt.err, e.Hint, tt.want)
		}
	}
	again := orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbRetry, Environment: "qa"}
	gone := &orchestrator.Error{Code: orchestrator.CodeBranchNotFound, Hint: "as it was", Suggestions: []string{"main"}, Subject: orchestrator.Subject{App: "web"}}
	if err := corrected(gone, again); err.(*orchestrator.Error).Hint != "as it was" {
		t.Errorf("a retry takes no branches: %q", err.(*orchestrator.Error).Hint)
	}
	if cmd.Branches["web"] != "feature/logn" {
		t.Error("the command itself was changed")
	}
}

func TestGoes(t *testing.T) {
	t.Parallel()
	e := orchestrator.Environment{Name: "qa", Servers: []orchestrator.Server{{Name: "qa/api"}, {Name: "qa/web"}}}
	alone := orchestrator.Environment{Name: "web-main", Servers: []orchestrator.Server{{Name: "web-main/web"}}}
	for _, tt := range []struct {
		e         orchestrator.Environment
		app, want string
	}{
		{e, "", "the environment qa and its servers qa/api, qa/web"},
		{e, "web", "the server qa/web"},
		{alone, "web", "the environment web-main and its only server, web-main/web"},
		{orchestrator.Environment{Name: "qa"}, "", "the environment qa"},
	} {
		if got := goes(tt.e, tt.app); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
