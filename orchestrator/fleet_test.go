package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

type oneCatalog struct{ orchestrator.Catalog }

func (c *oneCatalog) Current() *orchestrator.Catalog { return &c.Catalog }

// stored is a new store with maria's environment qa of these apps.
func stored(t *testing.T, apps ...string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", apps...)); err != nil {
		t.Fatal(err)
	}
	return s
}

// dying is a store whose process dies before it can change a server.
type dying struct {
	*store.Store
	dead bool
}

func (d *dying) SettleServer(ctx context.Context, id string, f func(*orchestrator.Server) (orchestrator.Settlement, error)) (orchestrator.Server, error) {
	if d.dead {
		return orchestrator.Server{}, errors.New("killed")
	}
	return d.Store.SettleServer(ctx, id, f)
}

// A report counts although Berth died between keeping and heeding it; and an
// app that fails later, or is well again, changes what is shown.
func TestReports(t *testing.T) {
	t.Parallel()
	s := stored(t, "web")
	const id, operation = "s-qa-web", "o-qa"
	desired, err := json.Marshal(orchestrator.Desired{Generation: 1, ServerID: id, Operation: operation})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateServer(t.Context(), id, func(v *orchestrator.Server) error {
		v.Generation, v.Desired = 1, desired
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	records := &dying{Store: s, dead: true}
	catalogs := &oneCatalog{orchestrator.Catalog{Apps: []orchestrator.App{{Name: "web", Health: "/healthz", Port: 8080}}}}
	fleet := &orchestrator.Fleet{Records: records, Environments: s, Events: s, Diagnoser: diagnose.Diagnoser{}, Catalogs: catalogs, Watcher: s, Now: time.Now}
	executor := &orchestrator.Executor{Servers: s, Environments: s, Catalogs: catalogs, Diagnoser: diagnose.Diagnoser{}, Now: time.Now}
	shown := func(want orchestrator.Status) orchestrator.Environment {
		t.Helper()
		e, err := s.Environment(t.Context(), "qa")
		if err != nil {
			t.Fatal(err)
		}
		if e.Servers[0].Status != want {
			t.Errorf("the server is %s, want %s", e.Servers[0].Status, want)
		}
		return e
	}

	const salt = `{"local":{"cmd_|-a_|-true_|-run":{"result":true,"comment":"","changes":{},"__sls__":"app","__id__":"a","__run_num__":0,"name":"true"}}}`
	first := orchestrator.Report{Generation: 1, Run: "r1", Stdout: salt, Healthy: true, Revision: strings.Repeat("a", 40)}
	if err := fleet.Report(t.Context(), id, first); err == nil {
		t.Fatal("the agent was told that its report was heeded")
	}
	shown(orchestrator.StatusCreating)
	records.dead = false
	for range 2 {
		if err := fleet.Report(t.Context(), id, first); err != nil {
			t.Fatal(err)
		}
	}
	shown(orchestrator.StatusReady)
	if err := s.End(t.Context(), orchestrator.Ending{OperationID: operation, Status: orchestrator.OperationSucceeded, At: time.Now(), Environment: orchestrator.StatusReady}); err != nil {
		t.Fatal(err)
	}

	crash := orchestrator.Report{Generation: 1, Run: "r2", Later: true, HealthDetail: "the app ended with exit status 3 (4 times)", AppLog: "out of cheese\n", Revision: first.Revision}
	if err := fleet.Report(t.Context(), id, crash); err != nil {
		t.Fatal(err)
	}
	e := shown(orchestrator.StatusFailed)
	d, err := executor.Explain(t.Context(), e)
	if err != nil || e.Status != orchestrator.StatusFailed || d == nil || len(d.Causes) != 1 || d.Causes[0].Server != "qa/web" ||
		!strings.Contains(d.Causes[0].Sentence, "exit status 3") || !strings.Contains(d.Causes[0].Next, "env logs qa") {
		t.Errorf("%s: %+v, %v", e.Status, d, err)
	}
	// It is remembered as what env why tells, by the same fingerprint.
	seen, err := s.Occurrences(t.Context(), orchestrator.CauseFilter{})
	if err != nil || len(seen) != 1 || seen[0].Fingerprint != d.Causes[0].Fingerprint || seen[0].Sentence != d.Causes[0].Sentence || seen[0].App != "web" ||
		seen[0].Environment != "qa" || seen[0].Operation != operation || seen[0].Mended != nil {
		t.Errorf("%+v, %v", seen, err)
	}
	// What was true before does not come back by being said again.
	if err := fleet.Report(t.Context(), id, first); err != nil {
		t.Fatal(err)
	}
	shown(orchestrator.StatusFailed)
	if err := fleet.Report(t.Context(), id, orchestrator.Report{Generation: 1, Run: "r3", Later: true, Healthy: true, Revision: first.Revision}); err != nil {
		t.Fatal(err)
	}
	if seen, err = s.Occurrences(t.Context(), orchestrator.CauseFilter{}); err != nil || len(seen) != 1 || seen[0].Mended == nil || seen[0].Mended.By != "" {
		t.Errorf("it passed by itself: %+v, %v", seen, err)
	}
	if e := shown(orchestrator.StatusReady); e.Status != orchestrator.StatusReady {
		t.Errorf("the environment is %s", e.Status)
	}
	events, err := s.Events(t.Context(), operation, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, ev := range events {
		if ev.Server != "" {
			texts = append(texts, ev.Step+": "+ev.Text)
		}
	}
	if got := strings.Join(texts, "\n"); len(texts) != 3 || texts[0] != "ready: ready" || texts[2] != "ready: the app is healthy again" {
		t.Errorf("events:\n%s", got)
	}
}

// kept is a log that keeps the text of what it is given last.
type kept struct{ text string }

func (k *kept) Append(_, _ string, lines []orchestrator.Progress) error {
	k.text = lines[0].Text
	return nil
}

// What servers print is hidden by settings that are read when they have
// changed, not for every line; and also while they cannot be read.
func TestProgressMasks(t *testing.T) {
	t.Parallel()
	s := stored(t, "web")
	file := filepath.Join(t.TempDir(), "web.env")
	written := time.Now().Add(-time.Hour)
	write := func(secret string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	reads, log := 0, &kept{}
	catalogs := &oneCatalog{orchestrator.Catalog{Apps: []orchestrator.App{{Name: "web", Settings: file}}}}
	fleet := &orchestrator.Fleet{Records: s, Environments: s, Events: s, Catalogs: catalogs, Watcher: s, Logs: log, Now: time.Now,
		Settings: func(path string) ([]byte, map[string]string, error) {
			reads++
			raw, err := os.ReadFile(path)
			if string(raw) == "broken" {
				err = errors.New("it cannot be read")
			}
			return raw, map[string]string{"A": string(raw)}, err
		}}
	say := func(text, want string, read int) {
		t.Helper()
		reads = 0
		for range 3 {
			if err := fleet.Progress(t.Context(), "s-qa-web", []orchestrator.Progress{{Step: "log", Text: text}}); err != nil {
				t.Fatal(err)
			}
			if log.text != want {
				t.Errorf("%q is logged as %q, want %q", text, log.text, want)
			}
		}
		if reads != read {
			t.Errorf("%q: the settings were read %d times, want %d", text, reads, read)
		}
	}
	write("hush-hush-one", written)
	say("a hush-hush-one", "a ••••", 1)
	say("b hush-hush-one", "b ••••", 0)
	write("hush-hush-two", written.Add(time.Second))
	say("hush-hush-two", "••••", 1)
	write("broken", written.Add(2*time.Second))
	say("hush-hush-two", "••••", 3)
	write("hush-hush-six", time.Now().Add(time.Hour)) // so young that another change may look alike
	say("hush-hush-six", "••••", 3)
	write("hush-hush-six", written)
	say("hush-hush-six", "••••", 1)
	catalogs.Apps[0].Public = []string{"A"}
	say("hush-hush-six", "hush-hush-six", 1)
}

// A new machine tells of its first minute before Berth has told it anything:
// that belongs to the operation that makes it.
func TestFirstMinute(t *testing.T) {
	t.Parallel()
	s := stored(t, "web")
	fleet := &orchestrator.Fleet{Records: s, Environments: s, Operations: s, Events: s, Catalogs: &oneCatalog{orchestrator.Catalog{Apps: []orchestrator.App{{Name: "web"}}}}, Watcher: s, Logs: &kept{}, Now: time.Now}
	told := func(generation int, step string) bool {
		t.Helper()
		before, err := s.Events(t.Context(), "o-qa", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := fleet.Progress(t.Context(), "s-qa-web", []orchestrator.Progress{{Generation: generation, At: time.Now(), Step: step, Text: "x"}}); err != nil {
			t.Fatal(err)
		}
		after, err := s.Events(t.Context(), "o-qa", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(after) > len(before) && (after[len(after)-1].Step != step || after[len(after)-1].Server != "qa/web") {
			t.Errorf("told as %+v", after[len(after)-1])
		}
		return len(after) > len(before)
	}
	for _, step := range []string{"booting", "installing"} {
		if !told(0, step) {
			t.Errorf("%s of a machine that has heard nothing yet is lost", step)
		}
	}
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error {
		v.Generation, v.Desired = 1, []byte(`{"generation":1,"operation":"o-qa"}`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !told(0, "installing") {
		t.Error("what it installs while its first deploy waits is lost")
	}
	if told(0, "configuring") {
		t.Error("a step of no generation is told")
	}
	// One that tells without end is not listened to for ever.
	if err := fleet.Progress(t.Context(), "s-qa-web", slices.Repeat([]orchestrator.Progress{{Generation: 1, At: time.Now(), Step: "configuring"}}, 6000)); err != nil {
		t.Fatal(err)
	}
	if told(1, "configuring") {
		t.Error("the course of an operation grows without end")
	}
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusReady; return nil }); err != nil {
		t.Fatal(err)
	}
	if told(0, "booting") {
		t.Error("a server that is ready boots again")
	}
}

// Who asks for one environment is told what its servers are at.
func TestSteps(t *testing.T) {
	t.Parallel()
	s := stored(t, "api", "web")
	event := func(server, step, text string) orchestrator.Event {
		return orchestrator.Event{OperationID: "o-qa", At: time.Now(), Server: server, Step: step, Text: text}
	}
	if err := s.AddEvents(t.Context(), []orchestrator.Event{event("", "apply", "2 made"), event("qa/web", "booting", "the machine has called home"), event("qa/api", "booting", "the machine has called home"), event("qa/web", "installing", "from packages")}); err != nil {
		t.Fatal(err)
	}
	service := &orchestrator.Service{Environments: s, Operations: s, Events: s}
	show := func() map[string]string {
		t.Helper()
		a, err := service.Do(t.Context(), orchestrator.Actor{Name: "maria"}, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbShow, Environment: "qa"})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, v := range a.Environment.Servers {
			out[v.App] = v.Step
		}
		return out
	}
	if got := show(); got["web"] != "installing: from packages" || got["api"] != "booting: the machine has called home" {
		t.Errorf("steps: %q", got)
	}
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusReady; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := show(); got["web"] != "" || got["api"] == "" {
		t.Errorf("once one is ready: %q", got)
	}
}
