package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

// failing ends an operation as failed, with one occurrence for each
// fingerprint, on the app of that name; "" is none in particular.
func failing(t *testing.T, s *store.Store, environment, operation string, at time.Time, prints map[string]string) {
	t.Helper()
	e := orchestrator.Ending{OperationID: operation, Status: orchestrator.OperationFailed, At: at, Environment: orchestrator.StatusFailed,
		Diagnosis: &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed}}
	for print, app := range prints {
		e.Occurrences = append(e.Occurrences, orchestrator.Occurrence{Fingerprint: print, Kin: "kin-" + print, Code: "command_failed", Who: "developer", App: app,
			EnvironmentID: environment, Environment: "named " + environment, Operation: operation, Server: "qa/" + app, Where: "app.build",
			Sentence: "The build of " + operation + " failed.", Evidence: "line 1\nline 2", At: at})
	}
	if err := s.End(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func known(t *testing.T, s *store.Store, f orchestrator.CauseFilter) []orchestrator.KnownCause {
	t.Helper()
	all, err := s.KnownCauses(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func prints(all []orchestrator.KnownCause) string {
	var out []string
	for _, k := range all {
		out = append(out, fmt.Sprintf("%s×%d", k.Fingerprint, k.Count))
	}
	return fmt.Sprint(out)
}

func occurrences(t *testing.T, s *store.Store, f orchestrator.CauseFilter) []orchestrator.Occurrence {
	t.Helper()
	all, err := s.Occurrences(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func testCauses(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "api", "web"))
	failing(t, s, "e-qa", "o-qa", Start, map[string]string{"aaa": "api", "www": "web", "xxx": ""})
	failing(t, s, "e-qa", "o-qa", Start, map[string]string{"aaa": "api"}) // it has ended already
	same(t, "first", len(occurrences(t, s, orchestrator.CauseFilter{})), 3)

	// What ends well on one app mends that app, and what belongs to none.
	retry := Change("e-qa", "o1", orchestrator.KindDeploy, "api")
	retry.Operation.Actor, retry.Operation.Text = "tom", "env deploy qa api=fix"
	submit(t, s, retry)
	end(t, s, "o1", orchestrator.OperationSucceeded, orchestrator.StatusFailed)
	for _, o := range occurrences(t, s, orchestrator.CauseFilter{}) {
		want := orchestrator.Mending{By: "tom", How: "env deploy qa api=fix", At: Start.Add(time.Minute)}
		switch {
		case o.App == "web" && o.Mended != nil:
			t.Errorf("web was not touched, and yet %+v", o.Mended)
		case o.App != "web" && (o.Mended == nil || *o.Mended != want):
			t.Errorf("%q is mended by %+v", o.App, o.Mended)
		}
	}
	o := occurrences(t, s, orchestrator.CauseFilter{Fingerprints: []string{"www"}})[0]
	want := orchestrator.Occurrence{Fingerprint: "www", Kin: "kin-www", Code: "command_failed", Who: "developer", App: "web", EnvironmentID: "e-qa", Environment: "named e-qa",
		Operation: "o-qa", Server: "qa/web", Where: "app.build", Sentence: "The build of o-qa failed.", Evidence: "line 1\nline 2", At: Start}
	same(t, "occurrence", o, want)

	// A second environment, later; it is destroyed, which mends nothing and
	// forgets nothing.
	later := Start.Add(24 * time.Hour)
	submit(t, s, NewEnvironment("qb", "maria", "api"))
	failing(t, s, "e-qb", "o-qb", later, map[string]string{"aaa": "api"})
	submit(t, s, Change("e-qb", "o2", orchestrator.KindDestroy))
	end(t, s, "o2", orchestrator.OperationSucceeded, orchestrator.StatusDestroyed)
	if o := occurrences(t, s, orchestrator.CauseFilter{Limit: 1})[0]; o.Operation != "o-qb" || o.Mended != nil {
		t.Errorf("the newest: %+v", o)
	}
	all := known(t, s, orchestrator.CauseFilter{})
	same(t, "all", prints(all), "[aaa×2 www×1 xxx×1]")
	if k := all[0]; k.Environments != 2 || !k.First.Equal(Start) || !k.Last.Equal(later) || k.Sentence != "The build of o-qb failed." || k.Mended == nil || k.Mended.By != "tom" {
		t.Errorf("of both: %+v", k)
	}
	for _, c := range []struct {
		f    orchestrator.CauseFilter
		want string
	}{
		{orchestrator.CauseFilter{App: "web"}, "[www×1]"},
		{orchestrator.CauseFilter{Code: "disk_full"}, "[]"},
		{orchestrator.CauseFilter{Code: "command_failed", Since: later}, "[aaa×1]"},
		{orchestrator.CauseFilter{Kin: "kin-xxx"}, "[xxx×1]"},
		{orchestrator.CauseFilter{Fingerprints: []string{"aaa", "zzz"}}, "[aaa×2]"},
		{orchestrator.CauseFilter{Fingerprints: []string{}}, "[]"},
		{orchestrator.CauseFilter{Limit: 1}, "[aaa×2]"},
	} {
		same(t, fmt.Sprintf("%+v", c.f), prints(known(t, s, c.f)), c.want)
	}
	if k := known(t, s, orchestrator.CauseFilter{Since: later})[0]; k.Mended == nil {
		t.Error("who mended it earlier is not told")
	}

	// Notes are replaced, go when they are empty, and outlive what they are of.
	note := orchestrator.CauseNote{Fingerprint: "aaa", Text: "first", By: "maria", At: Start}
	for _, text := range []string{"first", "second\n*bold* <b> {{x}} '; DROP TABLE cause_notes; --"} {
		note.Text = text
		if err := s.SetCauseNote(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	if n := known(t, s, orchestrator.CauseFilter{})[0].Note; n == nil || *n != note {
		t.Errorf("note %+v", n)
	}
	if err := s.ForgetOccurrences(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	same(t, "young", prints(known(t, s, orchestrator.CauseFilter{})), "[aaa×1]")
	if err := s.ForgetOccurrences(t.Context(), later.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	same(t, "noted", prints(known(t, s, orchestrator.CauseFilter{})), "[aaa×0]")
	same(t, "asked for", prints(known(t, s, orchestrator.CauseFilter{Fingerprints: []string{"aaa", "bbb"}})), "[aaa×0]")
	same(t, "chosen", prints(known(t, s, orchestrator.CauseFilter{Since: Start})), "[]")
	note.Text = ""
	if err := s.SetCauseNote(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	same(t, "nothing", prints(known(t, s, orchestrator.CauseFilter{})), "[]")
}

// testFailsLater: a server that fails by itself is remembered with its change,
// and so is that it is well again.
func testFailsLater(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "api", "web"))
	settle := func(status orchestrator.Status, with orchestrator.Settlement) error {
		_, err := s.SettleServer(t.Context(), "s-qa-api", func(v *orchestrator.Server) (orchestrator.Settlement, error) {
			v.Status = status
			return with, nil
		})
		return err
	}
	if err := settle(orchestrator.StatusReady, orchestrator.Settlement{}); err != nil {
		t.Fatal(err)
	}
	seen := orchestrator.Occurrence{Fingerprint: "aaa", App: "api", EnvironmentID: "e-qa", Operation: "o-none", At: Start}
	if err := settle(orchestrator.StatusFailed, orchestrator.Settlement{Occurrences: []orchestrator.Occurrence{seen}}); err == nil {
		t.Error("an occurrence of no operation was written")
	}
	same(t, "status", environment(t, s, "qa").Servers[0].Status, orchestrator.StatusReady)
	seen.Operation = "o-qa"
	web := seen
	web.Fingerprint, web.App = "www", "web"
	if err := settle(orchestrator.StatusFailed, orchestrator.Settlement{Occurrences: []orchestrator.Occurrence{seen, web}}); err != nil {
		t.Fatal(err)
	}
	if err := settle(orchestrator.StatusReady, orchestrator.Settlement{Mended: &orchestrator.Mending{At: Start.Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	all := occurrences(t, s, orchestrator.CauseFilter{})
	for _, o := range all {
		if mended := o.Mended != nil; mended != (o.App == "api") || mended && *o.Mended != (orchestrator.Mending{At: Start.Add(time.Hour)}) {
			t.Errorf("%s: %+v", o.App, o.Mended)
		}
	}
	// Nobody is said to have mended what passed by itself.
	for _, k := range known(t, s, orchestrator.CauseFilter{}) {
		if k.Mended != nil {
			t.Errorf("%s: %+v", k.Fingerprint, k.Mended)
		}
	}
}
