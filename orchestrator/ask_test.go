package orchestrator_test

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// Where ops can mend it, there is one message for them about all that failed;
// it says what and where, and follows the environment's name.
func TestMessageToOps(t *testing.T) {
	w := newWorks(t)
	w.made()
	sub := storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "api", "web")
	sub.Operation.Text = "env deploy qa web=\"a\nb\""
	sub.Operation.Changes[1].Branch, sub.Operation.Changes[1].Commit = "feature/login", strings.Repeat("b", 40)
	w.submit(sub)
	done := w.begin(context.Background(), "o1")
	for app, problem := range map[string]string{"api": "developer command_failed 0", "web": "ops disk_full 0"} {
		w.desired(app, "o1")
		w.troubled(app, problem)
	}
	w.ended(done)
	ask := func(name string) string {
		t.Helper()
		e, err := w.Environment(t.Context(), name)
		if err != nil || e.Diagnosis == nil || len(e.Diagnosis.Causes) != 2 {
			t.Fatalf("%+v, %v", e.Diagnosis, err)
		}
		if e.Diagnosis.Causes[0].Ask != "" {
			t.Errorf("a developer's own cause has a message to ops: %+v", e.Diagnosis.Causes[0])
		}
		if all := e.Diagnosis.Asks(); len(all) != 1 || all[0] != e.Diagnosis.Causes[1].Ask {
			t.Errorf("messages %q", all)
		}
		return e.Diagnosis.Causes[1].Ask
	}
	want := `Berth needs ops for NAME (target local):
- NAME/web, feature/login@bbbbbbbbbb: It is disk_full.
Operation o1: maria asked for "env deploy qa web=\"a\nb\"", 1 Mar 2026 12:00 UTC
Look at: berth env why NAME --all, berth causes show `
	got := ask("qa")
	if !strings.HasPrefix(got, strings.ReplaceAll(want, "NAME", "qa")) {
		t.Errorf("%s", got)
	}
	if _, err := w.Relabel(t.Context(), storetest.Change("e-qa", "o-rename", orchestrator.KindRename), func(e *orchestrator.Environment) error {
		e.Name = "blue"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := ask("blue"); !strings.HasPrefix(got, strings.ReplaceAll(want, "NAME", "blue")) {
		t.Errorf("%s", got)
	}

	// So has an app that fails by itself, long after it was deployed.
	e, err := w.EnvironmentByID(t.Context(), "e-qa")
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.x.Explain(t.Context(), e)
	if err != nil || len(d.Asks()) != 1 || !strings.Contains(d.Asks()[0], "- blue/web, main@aaaaaaaaaa: It is disk_full.") && !strings.Contains(d.Asks()[0], "- blue/web, feature/login@bbbbbbbbbb: It is disk_full.") {
		t.Errorf("%+v, %v", d, err)
	}
}
