package orchestrator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// looks is what a repository has by now: a commit or an error for each ref.
type looks map[string]any

func (l looks) Resolve(_ context.Context, _ orchestrator.App, ref string) (orchestrator.Resolved, error) {
	switch v := l[ref].(type) {
	case string:
		return orchestrator.Resolved{Branch: ref, Commit: v}, nil
	case error:
		return orchestrator.Resolved{}, v
	}
	return orchestrator.Resolved{}, fmt.Errorf("nobody expected a look at %q", ref)
}

// What has become of a branch that was there when it was checked is looked up
// when a server does not find it.
func TestGoneSince(t *testing.T) {
	const branch = "feature/login"
	was, is := strings.Repeat("a", 40), strings.Repeat("b", 40)
	missing := orchestrator.Errorf(orchestrator.CodeBranchNotFound, "It has no such branch.")
	renamed := orchestrator.Errorf(orchestrator.CodeBranchNotFound, "It has no such branch any more.")
	renamed.Subject.RenamedTo = "feature/sign-in"
	stray := orchestrator.Errorf(orchestrator.CodeForkRefused, "It is on no branch.")
	noCommit := orchestrator.Errorf(orchestrator.CodeRevisionNotFound, "There is no such commit.")
	away := orchestrator.Errorf(orchestrator.CodeGitUnreachable, "It does not answer.")
	plain := `There is no branch "feature/login" in the repository "web".`
	for _, tt := range []struct {
		name           string
		branch         string
		code           string
		found          string // the sentence of who did not find it
		looks          looks
		who            string
		sentence, next string
	}{
		{"deleted", branch, "branch_not_found", plain, looks{branch: missing}, "developer",
			`The branch "feature/login" of web was deleted after 12:00 UTC, when Berth last saw it.`, "Push it again, then: berth env retry qa; or take another branch: berth env deploy qa web=BRANCH"},
		{"renamed", branch, "branch_not_found", plain, looks{branch: renamed}, "developer",
			`The branch "feature/login" of web was renamed to "feature/sign-in" after 12:00 UTC, when Berth last saw it.`, "berth env deploy qa web=feature/sign-in"},
		{"rewritten", branch, "revision_not_found", "The commit aaaaaaaaaa is gone.", looks{branch: is, was: stray}, "developer",
			`The branch "feature/login" of web was rewritten after 12:00 UTC: the commit aaaaaaaaaa, which was to be deployed, is on no branch any more.`, "Deploy what the branch has now: berth env deploy qa web=feature/login"},
		{"rewritten, and the old commit swept", branch, "revision_not_found", "The commit aaaaaaaaaa is gone.", looks{branch: is, was: noCommit}, "developer",
			`The branch "feature/login" of web was rewritten after 12:00 UTC: the commit aaaaaaaaaa, which was to be deployed, is on no branch any more.`, "Deploy what the branch has now: berth env deploy qa web=feature/login"},
		{"a commit by itself", was, "revision_not_found", "The commit aaaaaaaaaa is gone.", looks{was: stray}, "developer",
			`The commit aaaaaaaaaa of web is on no branch any more: it was on one at 12:00 UTC, when Berth last looked.`, "Push it to a branch again, then: berth env retry qa; or take a branch: berth env deploy qa web=BRANCH"},
		{"still there", branch, "branch_not_found", plain, looks{branch: was}, "ops",
			`The branch "feature/login" of web is there, with the commit aaaaaaaaaa, but the server does not find it in its repository.`,
			"Send ops this message: the server reads another repository than Berth, an older copy of it, or as somebody who may not see the branch; after that: berth env retry qa"},
		{"moved on, and the commit still there", branch, "revision_not_found", "The commit aaaaaaaaaa is gone.", looks{branch: is, was: was}, "ops",
			`The branch "feature/login" of web is there, with the commit aaaaaaaaaa, but the server does not find it in its repository.`, "Send ops this message"},
		{"nobody can say", branch, "branch_not_found", plain, looks{branch: away}, "developer", plain, "as before"},
		{"nobody can say of the commit", branch, "revision_not_found", "The commit aaaaaaaaaa is gone.", looks{branch: is, was: away}, "developer", "The commit aaaaaaaaaa is gone.", "as before"},
		{"another repository's", branch, "branch_not_found", `There is no branch "main" in the repository "tools".`, looks{}, "developer", `There is no branch "main" in the repository "tools".`, "as before"},
		{"another failure", branch, "command_failed", plain, looks{}, "developer", plain, "as before"},
		{"a long name", strings.Repeat("x", 200), "branch_not_found", `There is no branch "` + strings.Repeat("x", 200) + `".`, looks{strings.Repeat("x", 200): missing}, "developer",
			`The branch "` + strings.Repeat("x", 59) + `…" of web was deleted after 12:00 UTC, when Berth last saw it.`, "Push it again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			w.made()
			w.x.Checker = tt.looks
			w.x.Diagnoser = finds{Code: tt.code, Who: "developer", Sentence: tt.found, Next: "as before"}
			sub := storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web")
			sub.Operation.Changes[0].Branch, sub.Operation.Changes[0].Commit = tt.branch, was
			w.submit(sub)
			w.clock.Advance(5 * time.Minute)
			done := w.begin(context.Background(), "o1")
			w.desired("web", "o1")
			w.report("web", 1)
			w.ended(done)
			op, err := w.Operation(t.Context(), "o1")
			if err != nil || op.Diagnosis == nil {
				t.Fatal(op, err)
			}
			c := op.Diagnosis.Causes[0]
			if c.Who != tt.who || c.Sentence != tt.sentence || !strings.HasPrefix(c.Next, tt.next) || c.Code != tt.code {
				t.Errorf("%s\n%s\n%s", c.Who, c.Sentence, c.Next)
			}
			if utf8.RuneCountInString(c.Sentence) > 240 && tt.sentence != tt.found {
				t.Errorf("%d characters", utf8.RuneCountInString(c.Sentence))
			}
			if (c.Who == "ops") != (c.Ask != "") {
				t.Errorf("the message to ops: %q", c.Ask)
			}
		})
	}
}

// finds diagnoses the same cause in every report.
type finds orchestrator.Cause

func (f finds) Report(orchestrator.App, string, orchestrator.Report, func(string) string) orchestrator.Diagnosis {
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{orchestrator.Cause(f)}}
}

func (f finds) Terraform(string) orchestrator.Diagnosis {
	return f.Report(orchestrator.App{}, "", orchestrator.Report{}, nil)
}
