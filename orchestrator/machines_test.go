package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

func (w *works) server(app string) orchestrator.Server {
	w.Helper()
	v, err := w.Server(context.Background(), "s-qa-"+app)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *works) causes(id string) []orchestrator.Cause {
	w.Helper()
	op, err := w.Operation(context.Background(), id)
	if err != nil || op.Diagnosis == nil {
		w.Fatalf("%s: %+v, %v", id, op, err)
	}
	return op.Diagnosis.Causes
}

// What a lost run has made is looked for at once; its servers are made anew
// with another token, without anybody asking.
func TestLostMachinesAreMadeAnew(t *testing.T) {
	w := newWorks(t)
	lost := true
	w.apply = func(context.Context) error {
		if !lost {
			return nil
		}
		lost = false
		return &orchestrator.ProvisionError{Lost: true, Err: errors.New("killed")}
	}
	var first string
	var asked []string
	w.reconcile = func(run string) ([]string, error) {
		asked = append(asked, run)
		if run == "o-qa" {
			return nil, nil
		}
		if first == "" {
			first = w.server("web").UserData
			// An old token tells it from the new one.
			if _, err := w.UpdateServer(context.Background(), "s-qa-web", func(v *orchestrator.Server) error { v.UserData = "old"; return nil }); err != nil {
				t.Error(err)
			}
		}
		return []string{"s-qa-web", "s-gone-long-ago"}, nil
	}
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	done := w.begin(context.Background(), "o-qa")
	d, ok := w.pausing(done)
	if !ok {
		t.Fatalf("it is not tried again: %+v", w.causes("o-qa"))
	}
	if v := w.server("web"); v.Machine != orchestrator.MachineMissing || v.UserData != "" || v.Address != "" {
		t.Errorf("meanwhile %+v", v)
	}
	w.clock.Advance(d)
	w.again <- time.Time{}
	w.desired("web", "o-qa")
	w.report("web", 0)
	w.ended(done)
	w.is("o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	if v := w.server("web"); v.Machine != "" || v.UserData == "" || v.UserData == "old" {
		t.Errorf("in the end %+v", v)
	}
	if want := []string{"o-qa", "o-qa-2", "o-qa-2"}; !slices.Equal(asked, want) {
		t.Errorf("looked before %v, want %v", asked, want)
	}
}

// What nobody can look for is told to ops and repeated by nobody.
func TestUnknownMachines(t *testing.T) {
	w := newWorks(t)
	w.reconcile = func(string) ([]string, error) {
		return nil, &orchestrator.ProvisionError{Err: errors.New("unknown"), Unknown: []string{"api", "web"}}
	}
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	w.ended(w.begin(context.Background(), "o-qa"))
	w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "unreconciled")
	c := w.causes("o-qa")[0]
	if c.Who != "ops" || !strings.Contains(c.Sentence, "while it made api and web") || !strings.Contains(c.Next, "berth state settle qa") ||
		!strings.Contains(c.Evidence, "e-qa") {
		t.Errorf("%+v", c)
	}
	if len(w.applies) != 0 {
		t.Errorf("applied %v", w.applies)
	}
}

// A half-made set says what is there and what is missing, and is completed by
// a retry; what is there keeps its token.
func TestHalfMadeSet(t *testing.T) {
	w := newWorks(t)
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("full"), Log: "ops quota", Began: true, Known: true, Made: []string{"s-qa-api"},
			Left: []orchestrator.Thing{{Kind: "server", App: "api", ID: "i-1"}, {Kind: "security group", ID: "sg-1"}}}
	}
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	w.ended(w.begin(context.Background(), "o-qa"))
	w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "quota")
	c := w.causes("o-qa")[1]
	if c.Code != "half_made" || c.Sentence != "Made: api. Not made: web. What is there is kept." ||
		!strings.HasPrefix(c.Next, "berth env retry qa makes only what is missing") || !strings.Contains(c.Evidence, "the server api (i-1)") || !strings.Contains(c.Evidence, "the security group (sg-1)") {
		t.Errorf("%+v", c)
	}
	api, web := w.server("api"), w.server("web")
	if api.Machine != "" || api.UserData == "" || web.Machine != orchestrator.MachineMissing || web.UserData != "" {
		t.Errorf("api %+v\nweb %+v", api, web)
	}
	w.apply = nil
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRetry, "api", "web"))
	done := w.begin(context.Background(), "o1")
	for _, app := range []string{"api", "web"} {
		w.desired(app, "o1")
		w.report(app, 0)
	}
	w.ended(done)
	w.is("o1", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	if v := w.server("api"); v.UserData != api.UserData {
		t.Error("api got another token")
	}
	if v := w.server("web"); v.Machine != "" {
		t.Errorf("web is %q", v.Machine)
	}
}

// A destroy that fails says what is left and when it is tried again, is tried
// again by itself, so often and no more, and its end is shown to the owner.
func TestDestroyIsTriedAgain(t *testing.T) {
	w := newWorks(t)
	w.x.OwnersPlace = func(context.Context, orchestrator.Environment) orchestrator.Origin {
		return orchestrator.Origin{Door: "slack", Place: []byte(`{}`)}
	}
	n := 0
	s := &orchestrator.Service{Submitter: w.Store, Environments: w.Store, Operations: w.Store, Catalogs: w.x.Catalogs, Now: w.clock.Now,
		NewID: func(prefix string) string { n++; return fmt.Sprintf("%s-again-%d", prefix, n) }}
	turn := func() string { // gives the destroy that was begun, if any
		t.Helper()
		if err := s.FinishDestroys(t.Context()); err != nil {
			t.Fatal(err)
		}
		ops, err := w.Operations(t.Context(), "e-qa")
		if err != nil {
			t.Fatal(err)
		}
		if ops[0].Status != orchestrator.OperationRunning {
			return ""
		}
		w.ended(w.begin(context.Background(), ops[0].ID))
		return ops[0].ID
	}
	cards := func() int {
		t.Helper()
		all, err := w.OpenCards(t.Context(), "slack")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	w.made()
	if id := turn(); id != "" {
		t.Fatal("what nobody destroys is destroyed")
	}
	fails := func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("in use"), Log: "retry in_use", Known: true, Left: []orchestrator.Thing{
			{Kind: "server", App: "web", ID: "i-1"}, {Kind: "security group", App: "web", ID: "sg-1"}}}
	}
	w.apply = fails
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o1"))
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "in_use")
	c := w.causes("o1")[1]
	if c.Code != "left_over" || c.Sentence != "It is not gone yet: the server web is still there, and 1 other thing is left." ||
		!strings.Contains(c.Next, "Berth tries again by itself at 12:02 UTC (try 2 of 8); at once: berth env destroy qa") || c.Evidence != "the server web (i-1)\nthe security group of web (sg-1)" {
		t.Errorf("%+v", c)
	}
	w.clock.Advance(119 * time.Second)
	if turn() != "" {
		t.Error("it does not wait")
	}
	w.clock.Advance(time.Second)
	if turn() == "" || cards() != 0 {
		t.Errorf("it is not tried again, or tells each time: %d cards", cards())
	}
	tried := 2
	for ; tried < 20; tried++ {
		w.clock.Advance(6 * time.Hour)
		id := turn()
		if id == "" {
			break
		}
		if next := w.causes(id)[1].Next; tried == 7 && !strings.Contains(next, "Berth has tried 8 times and stops") {
			t.Errorf("the last one says %q", next)
		}
		if got := cards(); got != tried/7 {
			t.Errorf("after try %d there are %d cards", tried+1, got)
		}
	}
	if tried != 8 {
		t.Errorf("it was tried %d times", tried)
	}
	// A person can always; what follows is counted anew only after a success.
	w.apply = nil
	w.submit(storetest.Change("e-qa", "o-last", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o-last"))
	if e, err := w.EnvironmentByID(t.Context(), "e-qa"); err != nil || e.Status != orchestrator.StatusDestroyed {
		t.Errorf("%+v, %v", e, err)
	}
}

// told keeps what an owner is told, and what is withdrawn of it.
type told struct {
	by   map[string][]string // by the notice's key
	all  []string
	over []string
}

func (o *told) Notify(_ context.Context, e orchestrator.Environment, n orchestrator.Notice) (bool, error) {
	for _, c := range n.Causes {
		text := c.Sentence + " → " + c.Next
		o.all, o.by[n.Key] = append(o.all, text), append(o.by[n.Key], text)
	}
	return true, nil
}

func (o *told) Withdraw(_ context.Context, e orchestrator.Environment, n orchestrator.Notice) error {
	o.over = append(o.over, o.by[n.Key]...)
	delete(o.by, n.Key)
	return nil
}

// is compares how often an owner was told, and of how much it was withdrawn.
func (o *told) is(t *testing.T, when string, all, over int) {
	t.Helper()
	if len(o.all) != all || len(o.over) != over {
		t.Errorf("%s: told %q, over is %q; want %d and %d", when, o.all, o.over, all, over)
	}
}

// A machine that vanishes or is stopped is noticed, told once each time, taken
// back when it is over, and repaired: the new one has another token, the others
// stay as they are.
func TestMachineGone(t *testing.T) {
	w := newWorks(t)
	w.ids = map[string]string{"s-qa-api": "i-1", "s-qa-web": "i-2"}
	owner := &told{by: map[string][]string{}}
	looks, log := 0, &strings.Builder{}
	var meanwhile func()
	watch := &orchestrator.MachineWatch{Environments: w.Store, Records: w.Store, Notices: w.Store, Catalogs: w.x.Catalogs, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
		Every: 10 * time.Minute, Silence: 3 * time.Minute, Notifier: owner,
		Look: func(ctx context.Context, id string) (orchestrator.Sight, error) {
			looks++
			if meanwhile != nil {
				meanwhile()
			}
			return w.Look(ctx, id)
		}}
	turn := func(after time.Duration) {
		t.Helper()
		w.clock.Advance(after)
		if err := watch.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.made()
	turn(0)
	turn(10 * time.Minute)
	before := looks
	for range 9 {
		turn(time.Minute)
	}
	if looks != before {
		t.Errorf("it looks %d times in nine minutes", looks-before)
	}
	w.sight.Stopped = []string{"s-qa-web"}
	turn(time.Minute)
	is := func(environment orchestrator.Status, machine orchestrator.MachineStatus) {
		t.Helper()
		e, err := w.Environment(t.Context(), "qa")
		if err != nil || e.Status != environment || e.Servers[1].Machine != machine || e.Servers[0].Status != orchestrator.StatusReady {
			t.Errorf("%+v, %v", e, err)
		}
	}
	is(orchestrator.StatusFailed, orchestrator.MachineStopped)
	if !strings.Contains(log.String(), `server=qa/web machine=i-2 is=stopped`) {
		t.Errorf("the log says nothing of it:\n%s", log)
	}

	// A deploy, and what applies, pass over it and end at once; the owner has
	// been told already.
	for i, kind := range []orchestrator.Kind{orchestrator.KindDeploy, orchestrator.KindRetry} {
		id := fmt.Sprintf("o-over-%d", i)
		w.submit(storetest.Change("e-qa", id, kind, "web"))
		w.ended(w.begin(context.Background(), id))
		w.is(id, orchestrator.OperationFailed, orchestrator.StatusFailed, "machine_stopped")
		is(orchestrator.StatusFailed, orchestrator.MachineStopped)
		if v := w.server("web"); v.Status != orchestrator.StatusFailed || v.ProviderID != "i-2" {
			t.Errorf("after %s: %+v", kind, v)
		}
	}
	if len(w.applies) != 2 {
		t.Errorf("applied %v", w.applies)
	}
	turn(10 * time.Minute)
	owner.is(t, "passed over", 1, 0)

	// Somebody starts it: its agent does what it was told meanwhile.
	w.sight.Stopped = nil
	w.report("web", 0)
	is(orchestrator.StatusReady, "")
	turn(time.Minute)
	owner.is(t, "started", 1, 1)
	w.sight.Stopped = []string{"s-qa-web"}
	turn(10 * time.Minute)
	owner.is(t, "stopped anew", 2, 1)
	// Started with nothing to do: it is heard of, and looked at before its time.
	w.sight.Stopped = nil
	w.clock.Advance(time.Minute)
	if err := w.Seen(t.Context(), "s-qa-web", w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	turn(time.Minute)
	is(orchestrator.StatusFailed, orchestrator.MachineStopped)
	if _, err := w.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.URL = "http://192.0.2.1:8081"; return nil }); err != nil {
		t.Fatal(err)
	}
	w.sight.Addresses = map[string]string{"s-qa-web": "192.0.2.9"}
	turn(time.Minute)
	is(orchestrator.StatusReady, "")
	owner.is(t, "started anew", 2, 2)
	w.sight.Addresses["s-qa-web"] = "2001:db8::9"
	for _, want := range []string{"http://192.0.2.9:8081", "http://[2001:db8::9]:8081"} {
		if v := w.server("web"); v.URL != want || v.Address != "192.0.2.1" {
			t.Errorf("its app is at %s, its peers reach it at %s; want %s", v.URL, v.Address, want)
		}
		turn(10 * time.Minute)
	}
	w.sight.Stopped = []string{"s-qa-web"}
	turn(10 * time.Minute)
	// Stopped, and then gone: that is another trouble.
	w.sight.Stopped, w.sight.Gone = nil, []string{"s-qa-web"}
	turn(10 * time.Minute)
	turn(10 * time.Minute)
	is(orchestrator.StatusFailed, orchestrator.MachineGone)
	owner.is(t, "gone", 4, 3)
	if owner.all[3] != "The machine of qa/web is gone: it was removed outside Berth. → berth env repair qa makes it anew" ||
		!strings.HasPrefix(owner.all[2], "The machine of qa/web does not run: it was stopped outside Berth.") {
		t.Errorf("told: %q", owner.all)
	}
	e, err := w.Environment(t.Context(), "qa")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := w.x.Explain(t.Context(), e); err != nil || d == nil || d.Causes[0].Code != "machine_gone" {
		t.Errorf("why: %+v, %v", d, err)
	}

	// A deploy makes no machines: it says so at once.
	w.submit(storetest.Change("e-qa", "o-gone", orchestrator.KindDeploy, "web"))
	w.ended(w.begin(context.Background(), "o-gone"))
	w.is("o-gone", orchestrator.OperationFailed, orchestrator.StatusFailed, "machine_gone")
	turn(15 * time.Second)
	owner.is(t, "deployed though gone", 4, 3)
	if len(w.applies) != 2 {
		t.Errorf("applied %v", w.applies)
	}

	was, api := w.server("web"), w.server("api")
	if _, err := w.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.UserData = "old"; return nil }); err != nil {
		t.Fatal(err)
	}
	repair := storetest.Change("e-qa", "o1", orchestrator.KindRepair)
	w.submit(repair)
	done := w.begin(context.Background(), "o1")
	w.desired("web", "o1")
	w.report("web", 0)
	w.ended(done)
	w.is("o1", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	web := w.server("web")
	if web.Machine != "" || web.UserData == "old" || web.UserData == "" || web.Commit != was.Commit || web.Generation != was.Generation+1 {
		t.Errorf("repaired: %+v", web)
	}
	if now := w.server("api"); now.Generation != api.Generation || now.UserData != api.UserData {
		t.Errorf("api was touched: %+v", now)
	}
	w.sight.Gone = nil
	turn(15 * time.Second)
	owner.is(t, "repaired", 4, 4)
	// Nothing lacks: nothing is made.
	applies := len(w.applies)
	w.submit(storetest.Change("e-qa", "o2", orchestrator.KindRepair))
	w.ended(w.begin(context.Background(), "o2"))
	w.is("o2", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	if len(w.applies) != applies {
		t.Error("it made what was there")
	}

	// What was seen while something began is not believed.
	meanwhile = func() { w.submit(storetest.Change("e-qa", "o3", orchestrator.KindRepair)) }
	w.sight.Gone = []string{"s-qa-api", "s-qa-web"}
	turn(10 * time.Minute)
	is(orchestrator.StatusReady, "")
	meanwhile = nil
	// A repair that cannot make it is no end of it, either.
	w.sight.Gone = nil
	w.ended(w.begin(context.Background(), "o3"))
	w.sight.Gone = []string{"s-qa-api", "s-qa-web"}
	turn(10 * time.Minute)
	owner.is(t, "both gone", 6, 4)
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("full"), Log: "ops quota", Known: true}
	}
	w.submit(storetest.Change("e-qa", "o4", orchestrator.KindRepair))
	w.ended(w.begin(context.Background(), "o4"))
	turn(15 * time.Second)
	owner.is(t, "not repaired", 6, 4)
	// With its environment it is over.
	w.apply = nil
	w.submit(storetest.Change("e-qa", "o5", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o5"))
	turn(15 * time.Second)
	owner.is(t, "destroyed", 6, 6)
	if left, err := w.Notices(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// At what ops have taken the target of nobody looks; they are told once of
// each, by name.
func TestTargetGone(t *testing.T) {
	w := newWorks(t)
	log := &strings.Builder{}
	watch := &orchestrator.MachineWatch{Environments: w.Store, Records: w.Store, Notices: w.Store, Catalogs: fixed{&orchestrator.Catalog{Targets: []orchestrator.Target{{Name: "other", Module: "./cloud"}}}},
		Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(log, nil)), Every: time.Minute, Silence: time.Minute,
		Look: func(context.Context, string) (orchestrator.Sight, error) {
			return orchestrator.Sight{}, errors.New("looked")
		}}
	w.made()
	for i, want := range []string{"environments=qa", "environments=qa", `environments="qa, qb"`} {
		if i == 2 {
			w.submit(storetest.NewEnvironment("qb", "maria", "web"))
		}
		w.clock.Advance(time.Hour)
		if err := watch.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if last := lines[len(lines)-1]; len(lines) != 1+i/2 || !strings.Contains(last, "target=local "+want) || !strings.Contains(last, "put it back, or end its environments") {
			t.Errorf("at turn %d the log says:\n%s", i, log)
		}
	}
}

// A machine that is replaced for what ops have changed gets the same user-data:
// its token is good once more, those of the others are not. That of a machine
// that was never made does not run out before it is.
func TestTokenOfAReplacedMachine(t *testing.T) {
	w := newWorks(t)
	w.ids = map[string]string{"s-qa-api": "i-1", "s-qa-web": "i-2"}
	w.made()
	enroll := func(app, key string) error {
		return w.Enroll(t.Context(), "s-qa-"+app, "hash", []byte(key), w.clock.Now())
	}
	for _, app := range []string{"api", "web"} {
		if err := errors.Join(w.SetToken(t.Context(), "s-qa-"+app, "hash", w.clock.Now().Add(time.Hour)), enroll(app, "k1")); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Advance(48 * time.Hour)
	w.ids["s-qa-web"] = "i-3"
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRetry, "web"))
	done := w.begin(context.Background(), "o1")
	w.desired("web", "o1")
	if err := enroll("web", "k2"); err != nil {
		t.Error(err)
	}
	if enroll("api", "k2") == nil {
		t.Error("api's token is good for another machine")
	}
	w.report("web", 0)
	w.ended(done)

	w.submit(storetest.NewEnvironment("qb", "maria", "web"))
	w.apply = func(context.Context) error { return errors.New("broken off") }
	w.ended(w.begin(context.Background(), "o-qb"))
	if err := w.SetToken(t.Context(), "s-qb-web", "hash", w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.submit(storetest.Change("e-qb", "o2", orchestrator.KindRetry, "web"))
	w.ended(w.begin(context.Background(), "o2"))
	if err := w.Enroll(t.Context(), "s-qb-web", "hash", []byte("k"), w.clock.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

// A module that calls its machines otherwise has them all the same: after a
// failure none of them is taken for missing and made anew.
func TestMachinesByAnotherName(t *testing.T) {
	w := newWorks(t)
	w.made()
	if _, err := w.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.UserData = "old"; return nil }); err != nil {
		t.Fatal(err)
	}
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("full"), Log: "ops quota", Began: true, Known: true, Nameless: true,
			Left: []orchestrator.Thing{{Kind: "box", App: "api", ID: "i-1"}, {Kind: "box", App: "web", ID: "i-2"}}}
	}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRetry, "web"))
	w.ended(w.begin(context.Background(), "o1"))
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "quota")
	if v := w.server("web"); v.Machine != "" || v.UserData != "old" {
		t.Errorf("%+v", v)
	}
	// One that never had a machine gets another token with its first.
	add := storetest.NewEnvironment("qb", "maria", "web")
	w.submit(add)
	w.ended(w.begin(context.Background(), "o-qb"))
	if v, err := w.Server(t.Context(), "s-qb-web"); err != nil || v.Machine != orchestrator.MachineMissing || v.UserData != "" {
		t.Errorf("%+v, %v", v, err)
	}
}

// What an unfinished destroy has removed is made anew with another token when
// the environment is kept after all.
func TestDeployAfterDestroy(t *testing.T) {
	w := newWorks(t)
	w.made()
	for app, id := range map[string]string{"api": "i-1", "web": "i-2"} {
		if _, err := w.UpdateServer(t.Context(), "s-qa-"+app, func(v *orchestrator.Server) error { v.UserData, v.ProviderID = "old", id; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("in use"), Log: "retry in_use"}
	}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o1"))
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "in_use")
	w.apply = nil
	w.sight = orchestrator.Sight{Listed: true, Recorded: map[string]bool{"i-1": true, "sg-1": true}}
	w.submit(storetest.Change("e-qa", "o2", orchestrator.KindDeploy, "api", "web"))
	done := w.begin(context.Background(), "o2")
	for _, app := range []string{"api", "web"} {
		w.desired(app, "o2")
		w.report(app, 0)
	}
	w.ended(done)
	w.is("o2", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	if v := w.server("web"); v.UserData == "old" || v.UserData == "" {
		t.Errorf("web's new machine has the old one's token: %+v", v)
	}
	if v := w.server("api"); v.UserData != "old" {
		t.Errorf("api got another token: %+v", v)
	}
}

// A repair mends what is gone also while another server waits to be made, and
// leaves that one to its own operation.
func TestRepairBeforeAServerThatWaits(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	done := w.begin(context.Background(), "o-qa")
	w.desired("web", "o-qa")
	w.report("web", 0)
	w.ended(done)
	w.sight.Gone = []string{"s-qa-web"}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRepair))
	add := storetest.Change("e-qa", "o2", orchestrator.KindServerCreate, "api")
	add.Servers = storetest.NewEnvironment("qa", "maria", "api").Servers
	w.submit(add)
	done = w.begin(context.Background(), "o1")
	w.desired("web", "o1")
	w.report("web", 0)
	w.ended(done)
	if op, err := w.Operation(t.Context(), "o1"); err != nil || op.Status != orchestrator.OperationSucceeded {
		t.Errorf("%+v, %v", op, err)
	}
	if v := w.server("api"); v.Generation != 0 || v.Status != orchestrator.StatusCreating {
		t.Errorf("the one that waits: %+v", v)
	}
}

// An agent that falls silent has its machine looked at once, at once.
func TestSilentAgentIsLookedAt(t *testing.T) {
	w := newWorks(t)
	looks := 0
	watch := &orchestrator.MachineWatch{Environments: w.Store, Records: w.Store, Notices: w.Store, Catalogs: w.x.Catalogs, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
		Every: 1000 * time.Hour, Silence: 3 * time.Minute,
		Look: func(context.Context, string) (orchestrator.Sight, error) { looks++; return orchestrator.Sight{}, nil }}
	w.made()
	for i, want := range []int{0, 0, 1, 1, 1} {
		if err := watch.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if looks != want {
			t.Errorf("turn %d: %d looks, want %d", i, looks, want)
		}
		w.clock.Advance(90 * time.Second)
	}
}
