package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// history has these commits between the two that it expects; none: it cannot
// say.
type history struct {
	from, to string
	commits  []orchestrator.Commit
	total    int
}

func (h history) Between(_ context.Context, _ orchestrator.App, from, to string, most int) ([]orchestrator.Commit, int, error) {
	if from != h.from || to != h.to || h.total == 0 {
		return nil, 0, errors.New("it does not come after that")
	}
	return h.commits[:min(most, len(h.commits))], h.total, nil
}

// What failed on this commit and went well on the last one of the branch says
// so, with the commits between; a commit that goes well elsewhere is not the
// reason.
func TestCompared(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	var many []orchestrator.Commit
	for i := range 9 {
		many = append(many, orchestrator.Commit{ID: fmt.Sprintf("%040d", i), Subject: fmt.Sprintf("change %d", i), Author: "tom"})
	}
	hostile := []orchestrator.Commit{{ID: b, Author: "x\x1b[2J\ny", Subject: "fix \"x\"\r\n\x00<!channel> " + strings.Repeat("long ", 60)}}
	for _, tt := range []struct {
		name    string
		branch  string
		commit  string
		code    string
		history history
		want    string
	}{
		{"one commit", "main", b, "command_failed", history{a, b, []orchestrator.Commit{{ID: b, Author: "tom", Subject: "fix x"}}, 1},
			`It worked with aaaaaaaaaa of the same branch; 1 commit since: bbbbbbbbbb "fix x" (tom).`},
		{"many commits", "main", b, "command_failed", history{a, b, many, 9},
			`It worked with aaaaaaaaaa of the same branch; 9 commits since, the newest 5: 0000000000 "change 0" (tom), 0000000000 "change 1" (tom), 0000000000 "change 2" (tom), 0000000000 "change 3" (tom), 0000000000 "change 4" (tom).`},
		{"nobody can say what came between", "main", b, "command_failed", history{}, "It worked with aaaaaaaaaa of the same branch."},
		{"the same commit", "main", a, "command_failed", history{}, "It worked with the same commit, aaaaaaaaaa, before: it is likely not the code."},
		{"another branch", "feature", b, "command_failed", history{}, ""},
		{"not of the code", "main", b, "branch_not_found", history{}, ""},
		{"hostile words", "main", b, "command_failed", history{a, b, hostile, 1},
			`It worked with aaaaaaaaaa of the same branch; 1 commit since: bbbbbbbbbb "fix \"x\" <!channel> ` + strings.TrimSpace(strings.Repeat("long ", 10)) + `…" (x [2J y).`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			w.made()
			w.x.Works, w.x.History = w.Store, tt.history
			w.x.Diagnoser = finds{Code: tt.code, Who: "developer", Sentence: "It failed."}
			sub := storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web")
			sub.Operation.Changes[0].Branch, sub.Operation.Changes[0].Commit = tt.branch, tt.commit
			w.submit(sub)
			w.runsTo("qa", "o1", 1, "web")
			e, err := w.Environment(t.Context(), "qa") // as it was kept
			if err != nil || e.Diagnosis == nil {
				t.Fatal(e.Diagnosis, err)
			}
			got := ""
			if c := e.Diagnosis.Causes[0].Compared; c != nil {
				got = c.Sentence
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Where the same commit is ready in another environment, that is said instead;
// a branch that has gone well elsewhere is compared with that.
func TestComparedElsewhere(t *testing.T) {
	w := newWorks(t)
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	w.submit(storetest.NewEnvironment("blue", "tom", "web"))
	w.runsTo("blue", "o-blue", 0, "web")
	w.x.Works, w.x.History, w.x.RetryAfter = w.Store, history{a, b, []orchestrator.Commit{{ID: b, Subject: "fix x"}}, 1}, 0
	w.x.Diagnoser = finds{Code: "health_failed", Who: "developer", Sentence: "It failed."}
	if c := w.fails("one", "web").Causes[0].Compared; c == nil || c.Environment != "blue" || c.Sentence != "The same commit, aaaaaaaaaa, works in blue: it is likely not the code." {
		t.Errorf("%+v", c)
	}
	sub := storetest.NewEnvironment("two", "maria", "web")
	sub.Operation.Changes[0].Commit = b
	w.submit(sub)
	w.runsTo("two", "o-two", 1, "web")
	op, err := w.Operation(t.Context(), "o-two")
	if err != nil || op.Diagnosis.Causes[0].Compared == nil ||
		op.Diagnosis.Causes[0].Compared.Sentence != `It worked with aaaaaaaaaa of the same branch; 1 commit since: bbbbbbbbbb "fix x".` {
		t.Errorf("%+v, %v", op.Diagnosis.Causes[0].Compared, err)
	}
}

// Code that never came up lies on its server all the same: it is not said to
// have worked, neither of itself nor of the next commit.
func TestComparedWithWhatNeverWorked(t *testing.T) {
	w := newWorks(t)
	w.x.Works, w.x.History, w.x.RetryAfter = w.Store, history{}, 0
	w.x.Diagnoser = finds{Code: "health_failed", Who: "developer", Sentence: "It failed."}
	next := storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web")
	next.Operation.Changes[0].Branch, next.Operation.Changes[0].Commit = "main", strings.Repeat("b", 40)
	for id, sub := range []orchestrator.Submission{storetest.NewEnvironment("qa", "maria", "web"), next} {
		w.submit(sub)
		done := w.begin(t.Context(), sub.Operation.ID)
		w.desiredOf("qa", "web", sub.Operation.ID)
		w.reportsOf("qa", "web", orchestrator.Report{Exit: 0, Healthy: false})
		w.ended(done)
		if e, err := w.Environment(t.Context(), "qa"); err != nil || e.Servers[0].Revision != e.Servers[0].Commit {
			t.Fatal("the code is not on the server", err)
		}
		op, err := w.Operation(t.Context(), sub.Operation.ID)
		if err != nil || op.Diagnosis == nil {
			t.Fatal(op, err)
		}
		if c := op.Diagnosis.Causes[0].Compared; c != nil {
			t.Errorf("%d: %s", id, c.Sentence)
		}
	}
}
