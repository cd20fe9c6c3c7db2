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

// crashing stops its process before the write that comes after so many.
type crashing struct {
	orchestrator.Servers
	left int
	stop func()
}

func (c *crashing) UpdateServer(ctx context.Context, id string, change func(*orchestrator.Server) error) (orchestrator.Server, error) {
	if c.left == 0 {
		c.stop()
		return orchestrator.Server{}, context.Canceled
	}
	c.left--
	return c.Servers.UpdateServer(ctx, id, change)
}

// A repair of several machines makes all of them anew, wherever it was killed.
func TestRepairIsTakenUpAgain(t *testing.T) {
	for writes := range 5 {
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			w := newWorks(t)
			w.made()
			for _, app := range []string{"api", "web"} {
				if _, err := w.UpdateServer(t.Context(), "s-qa-"+app, func(v *orchestrator.Server) error { v.UserData = "old"; return nil }); err != nil {
					t.Fatal(err)
				}
			}
			w.sight.Stopped = []string{"s-qa-api", "s-qa-web"}
			w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRepair))
			ctx, stop := context.WithCancel(context.Background())
			w.x.Servers = &crashing{w.x.Servers, writes, stop}
			if err := <-w.begin(ctx, "o1"); !errors.Is(err, context.Canceled) {
				t.Fatalf("killed, it gave %v", err)
			}
			w.x.Servers = w.Store
			done := w.begin(context.Background(), "o1")
			for _, app := range []string{"api", "web"} {
				w.desired(app, "o1")
				w.report(app, 0)
			}
			w.ended(done)
			w.is("o1", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
			for _, app := range []string{"api", "web"} {
				if v := w.server(app); v.UserData == "old" || v.UserData == "" || v.Generation != 2 || v.Machine != "" {
					t.Errorf("%s is not made anew: %+v", app, v)
				}
			}
			if len(w.applies) != 2 {
				t.Errorf("applied %v", w.applies)
			}
		})
	}
}

// A server that still waits to be made opens no firewall: a deploy before it
// makes nothing.
func TestDeployBeforeAServerThatWaits(t *testing.T) {
	w := newWorks(t)
	w.x.Catalogs.Current().Apps[1].Needs = map[string]string{"API_URL": "api"}
	w.submit(storetest.NewEnvironment("qa", "maria", "api"))
	done := w.begin(context.Background(), "o-qa")
	w.desired("api", "o-qa")
	w.report("api", 0)
	w.ended(done)
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "api"))
	add := storetest.Change("e-qa", "o2", orchestrator.KindServerCreate, "web")
	add.Servers = storetest.NewEnvironment("qa", "maria", "web").Servers
	w.submit(add)
	done = w.begin(context.Background(), "o1")
	w.desired("api", "o1")
	w.report("api", 0)
	w.ended(done)
	if len(w.applies) != 1 {
		t.Errorf("applied %v", w.applies)
	}
	done = w.begin(context.Background(), "o2")
	w.desired("web", "o2")
	w.report("web", 0)
	w.ended(done)
	w.is("o2", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	if v := w.server("api"); v.Opening != "0 web" || len(w.applies) != 2 {
		t.Errorf("api lets in %q; applied %v", v.Opening, w.applies)
	}
}

// What was asked for before ops took the target away ends in a sentence with a
// way out, and that way is open.
func TestTargetTakenAway(t *testing.T) {
	w := newWorks(t)
	w.made()
	w.x.Catalogs = fixed{&orchestrator.Catalog{Targets: []orchestrator.Target{{Name: "other", Module: "local"}}, Apps: w.x.Catalogs.Current().Apps}}
	for i, kind := range []orchestrator.Kind{orchestrator.KindDeploy, orchestrator.KindRepair, orchestrator.KindServerDestroy} {
		id := fmt.Sprintf("o%d", i+1)
		w.submit(storetest.Change("e-qa", id, kind, "web"))
		w.ended(w.begin(context.Background(), id))
		w.is(id, orchestrator.OperationFailed, orchestrator.StatusFailed, string(orchestrator.CodeTargetUnknown))
		c := w.causes(id)[0]
		if !strings.HasPrefix(c.Sentence, "qa runs on as it is: its target local is no longer in the catalog") || !strings.Contains(c.Next, "berth env destroy qa needs no catalog") {
			t.Errorf("%s: %+v", kind, c)
		}
	}
	w.submit(storetest.Change("e-qa", "o4", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o4"))
	if e, err := w.EnvironmentByID(t.Context(), "e-qa"); err != nil || e.Status != orchestrator.StatusDestroyed {
		t.Errorf("%+v, %v", e, err)
	}
}
