package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// pausing is how long Berth waits before its second try; none: it does not try
// again, and the operation has ended.
func (w *works) pausing(done <-chan error) (time.Duration, bool) {
	w.Helper()
	select {
	case d := <-w.paused:
		return d, true
	case err := <-done:
		if err != nil {
			w.Fatal(err)
		}
		return 0, false
	case <-time.After(20 * time.Second):
		w.Fatal("neither an end nor a second try")
		return 0, false
	}
}

// generation is an app's server's.
func (w *works) generation(app string) int {
	w.Helper()
	v, err := w.Server(context.Background(), "s-qa-"+app)
	if err != nil {
		w.Fatal(err)
	}
	return v.Generation
}

// told is every text of an operation's events.
func (w *works) told(id string) string {
	w.Helper()
	all, err := w.Events(context.Background(), id, 0)
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Step+": "+e.Text)
	}
	return strings.Join(out, "\n")
}

// Berth waits as long as the reason needs, and tries again only what all its
// reasons let it.
func TestWhatIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name     string
		api, web string // empty: it is ready
		pause    time.Duration
	}{
		{"the network", "", "retry git_unreachable 0", 30 * time.Second},
		{"two of a kind", "retry git_unreachable 0", "retry package_mirror_unreachable 0", 30 * time.Second},
		{"busy", "", "retry package_busy 0", time.Minute},
		{"limited", "", "retry rate_limited 0", 2 * time.Minute},
		{"the longest of all", "retry package_busy 0", "retry rate_limited 0", 2 * time.Minute},
		{"a stated time", "", "retry rate_limited 333", 333 * time.Second},
		{"a stated time shorter than ours", "", "retry rate_limited 1", 2 * time.Minute},
		{"a stated time too long", "", "retry rate_limited 3600", 0},
		{"a developer's", "", "developer command_failed 0", 0},
		{"ops'", "", "ops disk_full 0", 0},
		{"a developer's among others", "retry git_unreachable 0", "developer command_failed 0", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
			done := w.begin(context.Background(), "o-qa")
			for app, problem := range map[string]string{"api": tt.api, "web": tt.web} {
				w.desired(app, "o-qa")
				if problem == "" {
					w.report(app, 0)
				} else {
					w.troubled(app, problem)
				}
			}
			got, _ := w.pausing(done)
			if got != tt.pause {
				t.Errorf("waits %s, want %s", got, tt.pause)
			}
			if got == 0 {
				w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "")
				return
			}
			w.clock.Advance(got)
			w.again <- time.Time{}
			for app, problem := range map[string]string{"api": tt.api, "web": tt.web} {
				want := 1
				if problem != "" {
					want = 2
				}
				w.until("the generation of "+app, func(orchestrator.Environment) bool { return w.generation(app) == want })
				if problem != "" {
					w.report(app, 0)
				}
			}
			w.ended(done)
			w.is("o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
			for _, want := range []string{"trying again by itself in ", "again: trying again", "succeeded, at the second try"} {
				if !strings.Contains(w.told("o-qa"), want) {
					t.Errorf("%q is not told:\n%s", want, w.told("o-qa"))
				}
			}
			if len(w.applies) != 1 && w.runs[0] != w.runs[1] {
				t.Errorf("machines were made again: %v", w.runs)
			}
		})
	}
}

// What fails twice is told with both times, and is not tried a third time.
func TestTriedTwice(t *testing.T) {
	w := newWorks(t)
	w.made()
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	done := w.begin(context.Background(), "o1")
	w.desired("web", "o1")
	w.troubled("web", "retry git_unreachable 0")
	d, ok := w.pausing(done)
	if !ok {
		t.Fatal("it was not tried again")
	}
	w.clock.Advance(d + time.Minute)
	w.again <- time.Time{}
	w.until("a new generation", func(orchestrator.Environment) bool { return w.generation("web") == 3 })
	w.troubled("web", "retry git_unreachable 0")
	w.ended(done)
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "git_unreachable")
	op, err := w.Operation(t.Context(), "o1")
	if err != nil {
		t.Fatal(err)
	}
	c := op.Diagnosis.Causes[0]
	if c.Sentence != "It is git_unreachable." || c.Next != `Berth tried twice, at 12:00 and 12:01 UTC; try again with "berth env retry qa".` {
		t.Errorf("%+v", c)
	}
	if len(op.Tries) != 1 || op.Tries[0].Sentence != "It is git_unreachable." || w.generation("api") != 1 {
		t.Errorf("tries %+v, api at %d", op.Tries, w.generation("api"))
	}
}

// A Berth that is killed while it waits, or while it tries for the second time,
// waits for what is left, and never tries a third time.
func TestKilledBetweenTries(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	ctx, kill := context.WithCancel(context.Background())
	done := w.begin(ctx, "o-qa")
	w.desired("api", "o-qa")
	w.desired("web", "o-qa")
	w.report("api", 0)
	w.troubled("web", "retry git_unreachable 0")
	if d, ok := w.pausing(done); !ok || d != 30*time.Second {
		t.Fatal(d, ok)
	}
	kill()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("a shutdown gave %v", err)
	}
	if w.generation("web") != 1 {
		t.Fatal("it was tried again before its time")
	}

	w.clock.Advance(10 * time.Second)
	ctx, kill = context.WithCancel(context.Background())
	done = w.begin(ctx, "o-qa")
	if d, ok := w.pausing(done); !ok || d != 20*time.Second {
		t.Fatal(d, ok)
	}
	w.clock.Advance(20 * time.Second)
	w.again <- time.Time{}
	w.until("a new generation", func(orchestrator.Environment) bool { return w.generation("web") == 2 })
	kill()
	<-done

	done = w.begin(context.Background(), "o-qa")
	w.troubled("web", "retry git_unreachable 0")
	w.ended(done)
	w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "git_unreachable")
	if w.generation("web") != 2 || w.generation("api") != 1 || strings.Count(w.told("o-qa"), "by itself in") != 1 {
		t.Errorf("web %d, api %d:\n%s", w.generation("web"), w.generation("api"), w.told("o-qa"))
	}
}

// A cancel ends the waiting.
func TestCanceledBetweenTries(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	done := w.begin(context.Background(), "o-qa")
	w.desired("web", "o-qa")
	w.troubled("web", "retry git_unreachable 0")
	if _, ok := w.pausing(done); !ok {
		t.Fatal("it was not tried again")
	}
	if err := w.RequestCancel(t.Context(), orchestrator.Cancellation{OperationID: "o-qa", At: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	w.ended(done)
	w.is("o-qa", orchestrator.OperationCanceled, orchestrator.StatusFailed, "interrupted")
}

// An operation that has little time left is not tried again.
func TestNoTimeForASecondTry(t *testing.T) {
	w := newWorks(t)
	w.made()
	w.x.CallHome, w.x.Converge = 2*time.Hour, 2*time.Hour
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	done := w.begin(context.Background(), "o1")
	w.desired("web", "o1")
	w.clock.Advance(53 * time.Minute)
	w.troubled("web", "retry git_unreachable 0")
	if d, ok := w.pausing(done); ok {
		t.Fatalf("waits %s", d)
	}
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "git_unreachable")
}

// Machines are made again only where none can be made twice, and in a run of
// their own; what is destroyed is never tried again.
func TestMachinesTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind orchestrator.Kind
		err  *orchestrator.ProvisionError
		runs []string
	}{
		{"refused", orchestrator.KindCreate, &orchestrator.ProvisionError{Log: "retry capacity", Began: true}, []string{"o-qa", "o-qa-2"}},
		{"not reached", orchestrator.KindCreate, &orchestrator.ProvisionError{Log: "retry cloud_unreachable"}, []string{"o-qa", "o-qa-2"}},
		{"reached, and then no more", orchestrator.KindCreate, &orchestrator.ProvisionError{Log: "retry cloud_unreachable", Began: true}, []string{"o-qa"}},
		{"killed", orchestrator.KindCreate, &orchestrator.ProvisionError{Lost: true}, []string{"o-qa", "o-qa-2"}}, // what it made has been looked for
		{"killed, and it cannot be looked for", orchestrator.KindCreate, &orchestrator.ProvisionError{Unknown: []string{"web"}}, []string{"o-qa"}},
		{"for ops", orchestrator.KindCreate, &orchestrator.ProvisionError{Log: "ops quota"}, []string{"o-qa"}},
		{"destroy", orchestrator.KindDestroy, &orchestrator.ProvisionError{Log: "retry rate_limited"}, []string{"o-qa"}},
		{"destroy a server", orchestrator.KindServerDestroy, &orchestrator.ProvisionError{Log: "retry rate_limited"}, []string{"o-qa", "o1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			id := "o-qa"
			tt.err.Err = errors.New("refused")
			fails := func(context.Context) error { return tt.err }
			if tt.kind == orchestrator.KindCreate {
				w.apply = fails
				w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
			} else {
				w.made()
				w.apply, id = fails, "o1"
				w.submit(storetest.Change("e-qa", id, tt.kind, "web"))
			}
			done := w.begin(context.Background(), id)
			if d, ok := w.pausing(done); ok {
				w.clock.Advance(d)
				w.again <- time.Time{}
				w.ended(done)
			}
			w.is(id, orchestrator.OperationFailed, orchestrator.StatusFailed, "")
			if !slices.Equal(w.runs, tt.runs) {
				t.Errorf("runs %v, want %v", w.runs, tt.runs)
			}
		})
	}
}
