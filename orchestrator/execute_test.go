package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// works is an executor on a real store, with a stand-in for Terraform.
type works struct {
	*testing.T
	*store.Store
	x     *orchestrator.Executor
	clock *storetest.Clock
	// limit is what the operation's limit waits for, tick every other wait.
	limit, tick chan time.Time
	// paused gets what is waited for before a second try, again ends that.
	paused chan time.Duration
	again  chan time.Time

	mu      sync.Mutex
	applies [][]string // the apps of each apply
	runs    []string   // the name of each apply
	last    orchestrator.Workspace
	private string // the machines' address in their network
	woken   chan string
	apply   func(ctx context.Context) error

	reconcile func(run string) ([]string, error)
	sight     orchestrator.Sight
	ids       map[string]string // the cloud's, by server
}

type fixed struct{ c *orchestrator.Catalog }

func (f fixed) Current() *orchestrator.Catalog { return f.c }

// Apply makes every machine at once, unless the test says otherwise.
func (w *works) Apply(ctx context.Context, ws orchestrator.Workspace, run string, _ func(step, text string)) (map[string]orchestrator.Machine, error) {
	machines := map[string]orchestrator.Machine{}
	var apps []string
	for _, v := range ws.Servers {
		machines[v.ID] = orchestrator.Machine{Address: "192.0.2.1", PrivateAddress: w.private, ProviderID: w.ids[v.ID]}
		apps = append(apps, v.App)
	}
	w.mu.Lock()
	w.applies, w.runs, w.last = append(w.applies, apps), append(w.runs, run), ws
	apply := w.apply
	w.mu.Unlock()
	if apply != nil {
		return machines, apply(ctx)
	}
	return machines, nil
}

// Reconcile finds nothing, unless the test says otherwise.
func (w *works) Reconcile(_ context.Context, _, run string, _ func(step, text string)) ([]string, error) {
	w.mu.Lock()
	reconcile := w.reconcile
	w.mu.Unlock()
	if reconcile != nil {
		return reconcile(run)
	}
	return nil, nil
}

// Look sees what the test says, or that all is well.
func (w *works) Look(context.Context, string) (orchestrator.Sight, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sight, nil
}

func (w *works) Destroy(ctx context.Context, _, _ string, _ func(step, text string)) error {
	w.mu.Lock()
	apply := w.apply
	w.mu.Unlock()
	if apply != nil {
		return apply(ctx)
	}
	return nil
}

// diagnoser finds nothing wrong.
type diagnoser struct{}

func (diagnoser) Report(_ orchestrator.App, _ string, r orchestrator.Report, _ func(string) string) orchestrator.Diagnosis {
	if r.Problem != "" { // WHO CODE WAIT
		var who, code string
		var seconds int
		fmt.Sscan(r.Problem, &who, &code, &seconds)
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: code, Who: who, Wait: time.Duration(seconds) * time.Second,
			Sentence: "It is " + code + ".", Next: `Try again with "berth env retry NAME".`}}}
	}
	if r.Exit != 0 {
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: "command_failed", Who: "developer", Sentence: "The build failed."}}}
	}
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK}
}

func (diagnoser) Terraform(log string) orchestrator.Diagnosis {
	if who, code, ok := strings.Cut(log, " "); ok {
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: code, Who: who, Sentence: "It is " + code + "."}}}
	}
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: "unknown", Who: "ops", Sentence: log}}}
}

func newWorks(t *testing.T) *works {
	t.Helper()
	t.Parallel()
	w := &works{T: t, clock: &storetest.Clock{}, limit: make(chan time.Time, 1), tick: make(chan time.Time, 1), woken: make(chan string, 100),
		paused: make(chan time.Duration, 10), again: make(chan time.Time, 1)}
	var err error
	w.Store, err = store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "berth.db"), Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Store.Close() })
	c := &orchestrator.Catalog{Targets: []orchestrator.Target{{Name: "local", Module: "./cloud"}},
		Apps: []orchestrator.App{{Name: "api", Repository: "r"}, {Name: "web", Repository: "r"}}}
	w.x = &orchestrator.Executor{
		Operations: w.Store, Environments: w.Store, Ledger: w.Store, Servers: w.Store, Watcher: w.Store, Catalogs: fixed{c},
		Provisioner: w, Diagnoser: diagnoser{}, Log: slog.New(slog.DiscardHandler), Now: w.clock.Now,
		States:   func(string) (string, error) { return "digest", nil },
		UserData: func(_ orchestrator.Target, b orchestrator.Boot) (string, error) { return "for " + b.ServerID, nil },
		Settings: func(string) ([]byte, map[string]string, error) { return nil, nil, nil },
		Wake: func(_ context.Context, v orchestrator.Server) error {
			w.woken <- v.App
			return nil
		},
		After: func(d time.Duration) <-chan time.Time {
			switch {
			case d >= 10*time.Minute:
				return w.limit
			case d == 10*time.Second:
				return w.tick
			}
			w.paused <- d
			return w.again
		},
		CallHome: 3 * time.Minute, Converge: 40 * time.Minute, Limit: time.Hour, RetryAfter: 30 * time.Second,
	}
	return w
}

func (w *works) submit(sub orchestrator.Submission) {
	w.Helper()
	if _, err := w.Submit(context.Background(), sub); err != nil {
		w.Fatal(err)
	}
}

// begin executes an operation; the channel gives what Execute returns.
func (w *works) begin(ctx context.Context, id string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- w.x.Execute(ctx, id) }()
	return done
}

// until waits for a committed state.
func (w *works) until(what string, is func(e orchestrator.Environment) bool) {
	w.Helper()
	w.untilIn("qa", what, is)
}

func (w *works) untilIn(environment, what string, is func(e orchestrator.Environment) bool) {
	w.Helper()
	changed, stop := w.Watch()
	defer stop()
	deadline := time.After(20 * time.Second)
	for {
		e, err := w.EnvironmentByID(context.Background(), "e-"+environment)
		if err != nil {
			w.Fatal(err)
		}
		if is(e) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			w.Fatalf("%s did not come: %+v", what, e)
		}
	}
}

// desired waits until an app's server has been given something by operation.
func (w *works) desired(app, operation string) {
	w.Helper()
	w.desiredOf("qa", app, operation)
}

func (w *works) desiredOf(environment, app, operation string) {
	w.Helper()
	w.untilIn(environment, app+"'s desired state", func(e orchestrator.Environment) bool {
		return slices.ContainsFunc(e.Servers, func(v orchestrator.Server) bool {
			return v.App == app && strings.Contains(string(v.Desired), `"operation":"`+operation+`"`)
		})
	})
}

// report lets the app's agent report on its generation.
func (w *works) report(app string, exit int) {
	w.Helper()
	w.reports(app, orchestrator.Report{Exit: exit, Healthy: exit == 0})
}

// troubled lets the app's agent report a problem of this kind: WHO CODE SECONDS.
func (w *works) troubled(app, problem string) {
	w.Helper()
	w.reports(app, orchestrator.Report{Problem: problem})
}

func (w *works) reports(app string, r orchestrator.Report) {
	w.Helper()
	w.reportsOf("qa", app, r)
}

func (w *works) reportsOf(environment, app string, r orchestrator.Report) {
	w.Helper()
	v, err := w.Server(context.Background(), "s-"+environment+"-"+app)
	if err != nil {
		w.Fatal(err)
	}
	f := &orchestrator.Fleet{Records: w.Store, Environments: w.Store, Events: w.Store, Diagnoser: diagnoser{}, Catalogs: w.x.Catalogs,
		Watcher: w.Store, Settings: w.x.Settings, Now: w.clock.Now}
	if err := w.Seen(context.Background(), v.ID, w.clock.Now()); err != nil {
		w.Fatal(err)
	}
	r.Generation, r.Revision = v.Generation, v.Commit
	if err := f.Report(context.Background(), v.ID, r); err != nil {
		w.Fatal(err)
	}
}

func (w *works) ended(done <-chan error) {
	w.Helper()
	select {
	case err := <-done:
		if err != nil {
			w.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		w.Fatal("the operation does not end")
	}
}

// is checks how an operation ended, and what of its environment is true.
func (w *works) is(id string, op orchestrator.OperationStatus, environment orchestrator.Status, cause string) {
	w.Helper()
	o, err := w.Operation(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	e, err := w.EnvironmentByID(context.Background(), "e-qa")
	if err != nil {
		w.Fatal(err)
	}
	if o.Status != op || e.Status != environment {
		w.Errorf("%s is %s and its environment %s, want %s and %s", id, o.Status, e.Status, op, environment)
	}
	if cause != "" && (o.Diagnosis == nil || o.Diagnosis.Causes[0].Code != cause) {
		w.Errorf("%s: %+v, want the cause %s", id, o.Diagnosis, cause)
	}
	for _, v := range e.Servers {
		if v.Status != orchestrator.StatusReady && v.Status != orchestrator.StatusFailed {
			w.Errorf("%s is %s, and nothing moves it", v.Name, v.Status)
		}
	}
}

// made brings up an environment of api and web.
func (w *works) made() {
	w.Helper()
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	done := w.begin(context.Background(), "o-qa")
	for _, app := range []string{"api", "web"} {
		w.desired(app, "o-qa")
		w.report(app, 0)
	}
	w.ended(done)
	w.is("o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	for len(w.woken) > 0 {
		<-w.woken
	}
}

// Whoever takes an operation up again waits only for the servers that have not
// reported: no report comes twice.
func TestTakenUpAgain(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	ctx, stop := context.WithCancel(context.Background())
	done := w.begin(ctx, "o-qa")
	w.desired("api", "o-qa")
	w.desired("web", "o-qa")
	w.report("api", 0)
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("a shutdown gave %v", err)
	}
	done = w.begin(context.Background(), "o-qa")
	w.report("web", 0)
	w.ended(done)
	w.is("o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
}

// An operation that takes too long interrupts its Terraform and fails; it is
// not tried for ever.
func TestLimit(t *testing.T) {
	w := newWorks(t)
	interrupted := make(chan bool, 1)
	begun := make(chan struct{})
	w.apply = func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		interrupted <- orchestrator.Interrupted(ctx)
		return &orchestrator.ProvisionError{Err: orchestrator.ErrCanceled}
	}
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	done := w.begin(context.Background(), "o-qa")
	<-begun
	w.limit <- time.Time{}
	w.ended(done)
	if !<-interrupted {
		t.Error("Terraform was not interrupted")
	}
	w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "timeout")
}

// Agents are woken when an operation begins to wait for them, and again.
func TestWake(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	done := w.begin(context.Background(), "o-qa")
	for _, want := range []string{"api", "web"} {
		w.isWoken(want)
	}
	w.report("api", 0)
	w.tick <- time.Time{}
	w.isWoken("web") // api is ready
	w.report("web", 0)
	w.ended(done)
}

func (w *works) isWoken(app string) {
	w.Helper()
	select {
	case got := <-w.woken:
		if got != app {
			w.Errorf("woken: %s, want %s", got, app)
		}
	case <-time.After(20 * time.Second):
		w.Fatalf("%s was not woken", app)
	}
}

// A server that was heard once and is no more is not waited for to the end.
func TestSilence(t *testing.T) {
	w := newWorks(t)
	w.made()
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	done := w.begin(context.Background(), "o1")
	w.isWoken("web") // from now on it waits
	w.clock.Advance(w.x.CallHome + time.Minute)
	w.tick <- time.Time{}
	w.ended(done)
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "timeout")
	told := func(name string) {
		t.Helper()
		op, err := w.Operation(t.Context(), "o1")
		if err != nil {
			t.Fatal(err)
		}
		c := op.Diagnosis.Causes[0]
		if c.Server != name+"/web" || c.Sentence != "The server "+name+"/web (192.0.2.1) has fallen silent: it was last heard of 4 min ago." || c.Who != "retry" ||
			!strings.HasPrefix(c.Next, "berth env retry "+name+";") || !strings.Contains(c.Evidence, "last heard of: 2026-03-01T12:00:00Z") {
			t.Errorf("as %s: %+v", name, c)
		}
		e, err := w.Environment(t.Context(), name)
		if err != nil || e.Diagnosis == nil || !reflect.DeepEqual(e.Diagnosis.Causes[0], c) {
			t.Errorf("as %s: %+v, %v", name, e.Diagnosis, err)
		}
	}
	told("qa")
	// What is kept knows its environment by the name that it has when it is read.
	if _, err := w.Relabel(t.Context(), storetest.Change("e-qa", "o-rename", orchestrator.KindRename), func(e *orchestrator.Environment) error {
		e.Name = "blue"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	told("blue")
}

// A machine that was made and whose agent never called home is told with what is
// known of it, and is the same failure wherever the machine is.
func TestNeverCalledHome(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	done := w.begin(context.Background(), "o-qa")
	w.isWoken("web") // from now on it waits
	w.clock.Advance(w.x.CallHome + 2*time.Minute)
	w.tick <- time.Time{}
	w.ended(done)
	w.is("o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed, "timeout")
	op, err := w.Operation(t.Context(), "o-qa")
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Server(t.Context(), "s-qa-web")
	if err != nil {
		t.Fatal(err)
	}
	c := op.Diagnosis.Causes[0]
	if c.Sentence != "The server qa/web ("+v.Address+") was made, but it has not been heard of for 5 min." || v.Address == "" || c.Who != "retry" ||
		!strings.HasPrefix(c.Next, "berth env retry qa;") || !strings.Contains(c.Next, "cloud-init-output.log") {
		t.Errorf("%+v at %q", c, v.Address)
	}
	for _, known := range []string{"server: s-qa-web", "address: " + v.Address, "last heard of: never"} {
		if !strings.Contains(c.Evidence, known) {
			t.Errorf("%q does not tell %q", c.Evidence, known)
		}
	}
	if want := orchestrator.Fingerprint("timeout", "web", "The server \ue000 was made, but it has not been heard of for 9 min."); c.Fingerprint != want {
		t.Errorf("the fingerprint is %q, not %q", c.Fingerprint, want)
	}
}

// Whoever is told that something went wrong is told how to go on.
func TestSurprise(t *testing.T) {
	for _, tt := range []struct {
		err  *orchestrator.Error
		next string
	}{
		{orchestrator.Errorf(orchestrator.CodeSettings, "The settings of web are missing.").WithHint("ask ops to put them back."), "ask ops to put them back; then: berth env retry qa"},
		{orchestrator.Errorf(orchestrator.CodeSettings, "The settings of web are missing."), "berth env retry qa"},
		{orchestrator.Errorf(orchestrator.CodeSettings, "The settings of web are missing.").WithHint("berth env retry NAME when DB_NAME is set"), "berth env retry qa when DB_NAME is set"},
	} {
		t.Run(tt.next, func(t *testing.T) {
			w := newWorks(t)
			w.apply = func(context.Context) error { return tt.err }
			w.submit(storetest.NewEnvironment("qa", "maria", "web"))
			w.ended(w.begin(context.Background(), "o-qa"))
			op, err := w.Operation(t.Context(), "o-qa")
			if err != nil || op.Diagnosis == nil || op.Diagnosis.Causes[0].Sentence != tt.err.Message || op.Diagnosis.Causes[0].Next != tt.next {
				t.Errorf("%+v, %v", op.Diagnosis, err)
			}
		})
	}
}

// Who cancels a destroy is not sent to a retry, which would destroy the rest.
func TestDestroyThatIsCanceled(t *testing.T) {
	w := newWorks(t)
	w.made()
	ctx, cancel := context.WithCancelCause(t.Context())
	w.apply = func(context.Context) error {
		cancel(orchestrator.ErrCanceled)
		return &orchestrator.ProvisionError{Err: orchestrator.ErrCanceled}
	}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDestroy))
	w.ended(w.begin(ctx, "o1"))
	w.is("o1", orchestrator.OperationCanceled, orchestrator.StatusFailed, "interrupted")
	op, err := w.Operation(t.Context(), "o1")
	if err != nil {
		t.Fatal(err)
	}
	if next := op.Diagnosis.Causes[0].Next; strings.Contains(next, "retry") || !strings.Contains(next, "berth env deploy") {
		t.Errorf("next: %s", next)
	}
}

// Machines that a destroy has taken are made again before a deploy waits for
// them; a deploy by itself makes none.
func TestDeployAfterDestroyThatFailed(t *testing.T) {
	w := newWorks(t)
	w.made()
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Err: errors.New("refused"), Log: "refused"}
	}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindDestroy))
	w.ended(w.begin(context.Background(), "o1"))
	w.is("o1", orchestrator.OperationFailed, orchestrator.StatusFailed, "unknown")
	w.apply = nil
	// What is only written down makes no machine come back.
	if _, err := w.Relabel(t.Context(), storetest.Change("e-qa", "o-extend", orchestrator.KindExtend), func(e *orchestrator.Environment) error {
		e.ExpiresAt = e.ExpiresAt.Add(time.Hour)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"o2", "o3"} {
		w.submit(storetest.Change("e-qa", id, orchestrator.KindDeploy, "api", "web"))
		done := w.begin(context.Background(), id)
		for _, app := range []string{"api", "web"} {
			w.desired(app, id)
			w.report(app, 0)
		}
		w.ended(done)
		w.is(id, orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
		if len(w.applies) != 2 {
			t.Errorf("after %s there were %d applies, want 2", id, len(w.applies))
		}
	}
}

// A server whose own operation still waits is not made by the one before it,
// and goes when its operation is canceled.
func TestServerThatWaits(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	add := storetest.Change("e-qa", "o1", orchestrator.KindServerCreate, "api")
	add.Servers = storetest.NewEnvironment("qa", "maria", "api").Servers
	w.submit(add)
	done := w.begin(context.Background(), "o-qa")
	w.desired("web", "o-qa")
	if ok, err := w.CancelQueued(t.Context(), orchestrator.Cancellation{OperationID: "o1", At: w.clock.Now()}); err != nil || !ok {
		t.Fatal(ok, err)
	}
	w.report("web", 0)
	w.ended(done)
	if len(w.applies) != 1 || !slices.Equal(w.applies[0], []string{"web"}) {
		t.Errorf("applied %v", w.applies)
	}
	w.is("o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady, "")
	e, err := w.Environment(t.Context(), "qa")
	if err != nil || len(e.Servers) != 1 {
		t.Errorf("servers: %+v, %v", e.Servers, err)
	}
}

// A cloud is told whose its machines are and who needs whom; also of an app
// that has left the catalog.
func TestWhatACloudIsTold(t *testing.T) {
	w := newWorks(t)
	w.x.InstallationID = "b1"
	c := w.x.Catalogs.Current()
	c.Apps[0].Port, c.Apps[1].Port = 8080, 8081
	c.Apps[1].Needs = map[string]string{"API_URL": "api"}
	neededBy := func() map[string][]string {
		out := map[string][]string{}
		for _, s := range w.last.Servers {
			out[s.App] = s.NeededBy
		}
		return out
	}
	w.made()
	if want := map[string]string{"berth:environment": "e-qa", "berth:owner": "maria", "berth:installation": "b1"}; !maps.Equal(w.last.Tags, want) {
		t.Errorf("tags: %v", w.last.Tags)
	}
	if got := neededBy(); !slices.Equal(got["api"], []string{"web"}) || len(got["web"]) != 0 {
		t.Errorf("needed by: %v", got)
	}
	c.Apps = slices.Delete(c.Apps, 1, 2)
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindCreate, "api"))
	done := w.begin(context.Background(), "o1")
	w.desired("api", "o1")
	w.report("api", 0)
	w.ended(done)
	if got := neededBy(); len(w.applies) != 2 || !slices.Equal(got["api"], []string{"web"}) || len(got["web"]) != 0 {
		t.Errorf("needed by once the catalog lacks web: %v", got)
	}
}

// A deploy makes no machines anew, but lets in whom the catalog has them let in
// now; whatever it is that broke off before that was done.
func TestDeployOpens(t *testing.T) {
	w := newWorks(t)
	c := w.x.Catalogs.Current()
	c.Apps[0].Port, c.Apps[1].Port = 8080, 8081
	w.made()
	deploys := func(op string, applies int, status orchestrator.OperationStatus) {
		t.Helper()
		w.submit(storetest.Change("e-qa", op, orchestrator.KindDeploy, "web"))
		done := w.begin(context.Background(), op)
		if status == orchestrator.OperationSucceeded {
			w.desired("web", op)
			w.report("web", 0)
		}
		w.ended(done)
		if e, err := w.Operation(t.Context(), op); err != nil || e.Status != status || len(w.applies) != applies {
			t.Errorf("%s: %s, %d applies, want %d; %v", op, e.Status, len(w.applies), applies, err)
		}
	}
	deploys("o1", 1, orchestrator.OperationSucceeded)
	c.Apps[1].Port = 9090
	w.apply = func(context.Context) error {
		return &orchestrator.ProvisionError{Log: "ops quota", Err: errors.New("refused")}
	}
	deploys("o2", 2, orchestrator.OperationFailed)
	w.apply = nil
	deploys("o3", 3, orchestrator.OperationSucceeded)
	if s := w.last.Servers[1]; s.App != "web" || s.Port != 9090 {
		t.Errorf("it was made with %+v", s)
	}
	deploys("o4", 3, orchestrator.OperationSucceeded)
	c.Apps[1].Needs = map[string]string{"API_URL": "api"}
	deploys("o5", 4, orchestrator.OperationSucceeded)
	if s := w.last.Servers[0]; !slices.Equal(s.NeededBy, []string{"web"}) {
		t.Errorf("nobody lets web in: %+v", s)
	}
	deploys("o6", 4, orchestrator.OperationSucceeded)
}

// Where a machine has two addresses, its peers use the one in their network,
// and people the other; also once another port is the app's.
func TestAddresses(t *testing.T) {
	w := newWorks(t)
	w.private = "10.77.0.2"
	c := w.x.Catalogs.Current()
	c.Apps[0].Port, c.Apps[1].Port = 8080, 8081
	c.Apps[1].Needs = map[string]string{"API_URL": "api"}
	w.made()
	e, err := w.Environment(t.Context(), "qa")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Servers {
		if v.Address != "10.77.0.2" || v.Port == 0 || v.URL != "http://192.0.2.1:"+strconv.Itoa(v.Port) {
			t.Errorf("%s is at %s for its peers, at %s for people", v.Name, v.Address, v.URL)
		}
		if v.App == "web" && !strings.HasPrefix(v.Needs["API_URL"], "http://10.77.0.2:") {
			t.Errorf("web looks for the api at %q", v.Needs["API_URL"])
		}
		if err := w.x.Servers.SetPort(t.Context(), v.ID, 9000, false); err != nil {
			t.Fatal(err)
		}
	}
	if e, err = w.Environment(t.Context(), "qa"); err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Servers {
		if v.URL != "http://192.0.2.1:9000" {
			t.Errorf("%s is at %s for people once its port is another", v.Name, v.URL)
		}
	}
}
