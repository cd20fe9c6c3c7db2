// Package storetest is what every store has to pass, whichever database is
// behind it.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

// Open gives an empty store with these options; it is closed when the test
// ends. Path may be empty: open chooses it.
type Open func(t *testing.T, o store.Options) *store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"submit":                 testSubmit,
		"submit is one":          testSubmitIsOne,
		"names":                  testNames,
		"ports":                  testPorts,
		"no port":                testPortless,
		"at rest":                testRest,
		"queue":                  testQueue,
		"concurrent submits":     testConcurrent,
		"end":                    testEnd,
		"tries":                  testTries,
		"destroy":                testDestroy,
		"cancel":                 testCancel,
		"diagnosis":              testDiagnosis,
		"diagnosis holds":        testDiagnosisHolds,
		"listing":                testListing,
		"rename and extend":      testRelabel,
		"expiry":                 testExpired,
		"events":                 testEvents,
		"watch":                  testWatch,
		"servers":                testServers,
		"settling a server":      testSettle,
		"enrolment":              testEnroll,
		"agents":                 testAgents,
		"reports":                testReports,
		"tokens":                 testTokens,
		"text is only ever text": testHostileText,
		"origin":                 testOrigin,
		"deliveries":             testDeliveries,
		"cards":                  testCards,
		"machines":               testMachines,
		"warnings":               testWarnings,
		"causes":                 testCauses,
		"what fails later":       testFailsLater,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Start is the time at which every test begins.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// Now gives the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.t.IsZero() {
		c.t = Start
	}
	return c.t
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = now.Add(d)
}

// Queue notes which operations' jobs were inserted.
type Queue struct {
	mu  sync.Mutex
	ids []string
	err error
}

// Enqueue is for store.Options.
func (q *Queue) Enqueue(_ context.Context, _ *sql.Tx, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.ids = append(q.ids, id)
	return nil
}

// Take gives what was inserted since the last call.
func (q *Queue) Take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := q.ids
	q.ids = nil
	return ids
}

// NewEnvironment is the submission of an environment called name with these apps.
func NewEnvironment(name, owner string, apps ...string) orchestrator.Submission {
	id := "e-" + name
	sub := Change(id, "o-"+name, orchestrator.KindCreate, apps...)
	sub.New = true
	sub.Environment = orchestrator.Environment{ID: id, Name: name, Owner: owner, Target: "local", Blueprint: "shop", Size: "small",
		Status: orchestrator.StatusCreating, CreatedAt: Start, ExpiresAt: Start.Add(72 * time.Hour)}
	for _, a := range apps {
		sub.Servers = append(sub.Servers, orchestrator.Server{ID: "s-" + name + "-" + a, App: a, Repository: "https://example.com/" + a,
			Branch: "main", Commit: strings.Repeat("a", 40), Status: orchestrator.StatusCreating, Port: 8080})
	}
	return sub
}

// Change is the submission of an operation on an environment that exists.
func Change(environment, id string, kind orchestrator.Kind, apps ...string) orchestrator.Submission {
	op := orchestrator.Operation{ID: id, EnvironmentID: environment, Kind: kind, Actor: "maria", Text: "env " + string(kind), Apps: apps, CreatedAt: Start}
	for _, a := range apps {
		op.Changes = append(op.Changes, orchestrator.Change{App: a, Branch: "main", Commit: strings.Repeat("a", 40)})
	}
	return orchestrator.Submission{Environment: orchestrator.Environment{ID: environment}, Operation: op,
		Event: orchestrator.Event{OperationID: id, At: Start, Step: "accepted", Text: "maria asked"}}
}

func submit(t *testing.T, s *store.Store, sub orchestrator.Submission) orchestrator.Operation {
	t.Helper()
	op, err := s.Submit(t.Context(), sub)
	if err != nil {
		t.Fatalf("submit %s: %v", sub.Operation.ID, err)
	}
	return op
}

func end(t *testing.T, s *store.Store, id string, status orchestrator.OperationStatus, environment orchestrator.Status) {
	t.Helper()
	err := s.End(t.Context(), orchestrator.Ending{OperationID: id, Status: status, At: Start.Add(time.Minute), Environment: environment,
		Event: orchestrator.Event{OperationID: id, At: Start.Add(time.Minute), Step: string(status), Text: "over"}})
	if err != nil {
		t.Fatalf("end %s: %v", id, err)
	}
}

func environment(t *testing.T, s *store.Store, name string) orchestrator.Environment {
	t.Helper()
	e, err := s.Environment(t.Context(), name)
	if err != nil {
		t.Fatalf("environment %s: %v", name, err)
	}
	return e
}

// refused checks that err is an Error with this code, a message that names
// every word, and a hint.
func refused(t *testing.T, err error, code orchestrator.Code, words ...string) *orchestrator.Error {
	t.Helper()
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error with the code %s", err, code)
	}
	if e.Code != code {
		t.Errorf("code %s, want %s (%s)", e.Code, code, e.Message)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("%q does not name %q", e.Message, w)
		}
	}
	if e.Hint == "" {
		t.Errorf("%q has no hint", e.Message)
	}
	return e
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func testSubmit(t *testing.T, open Open) {
	q := &Queue{}
	clock := &Clock{}
	s := open(t, store.Options{Enqueue: q.Enqueue, Now: clock.Now})
	op := submit(t, s, NewEnvironment("qa", "maria", "web", "api"))
	same(t, "status", op.Status, orchestrator.OperationRunning)
	same(t, "position", op.Position, 0)
	same(t, "environment", op.EnvironmentID, "e-qa")
	same(t, "changes", len(op.Changes), 2)
	same(t, "created", op.CreatedAt, Start)
	if op.StartedAt != nil || op.EndedAt != nil {
		t.Errorf("started %v, ended %v before anything was done", op.StartedAt, op.EndedAt)
	}
	if ids := q.Take(); !slices.Equal(ids, []string{"o-qa"}) {
		t.Errorf("jobs %v", ids)
	}
	e := environment(t, s, "qa")
	same(t, "owner", e.Owner, "maria")
	same(t, "expires", e.ExpiresAt, Start.Add(72*time.Hour))
	same(t, "servers", len(e.Servers), 2)
	same(t, "first server", e.Servers[0].Name, "qa/api")
	same(t, "second server", e.Servers[1].Name, "qa/web")
	same(t, "agent", e.Servers[0].Agent, orchestrator.AgentNever)
	same(t, "catalog's port", e.Servers[0].Port, 8080)
	if e.Operation == nil || e.Operation.ID != "o-qa" {
		t.Errorf("operation %+v", e.Operation)
	}
	byID, err := s.EnvironmentByID(t.Context(), "e-qa")
	if err != nil || byID.Name != "qa" {
		t.Errorf("by ID: %v, %v", byID.Name, err)
	}
	n, err := s.CountOwned(t.Context(), "maria")
	if err != nil || n != 1 {
		t.Errorf("owned: %d, %v", n, err)
	}
	_, err = s.Environment(t.Context(), "qb")
	miss := refused(t, err, orchestrator.CodeNotFound, `There is no environment "qb".`)
	same(t, "hint", miss.Hint, "berth env list")
	if !slices.Equal(miss.Suggestions, []string{"qa"}) {
		t.Errorf("suggestions %v", miss.Suggestions)
	}
	_, err = s.EnvironmentByID(t.Context(), "e-none")
	refused(t, err, orchestrator.CodeNotFound, "e-none")
	_, err = s.Operation(t.Context(), "o-none")
	refused(t, err, orchestrator.CodeNotFound, "o-none")
	_, err = s.Submit(t.Context(), Change("e-none", "o-x", orchestrator.KindDeploy))
	refused(t, err, orchestrator.CodeNotFound, "e-none")
}

// A submission whose job cannot be inserted leaves nothing behind.
func testSubmitIsOne(t *testing.T, open Open) {
	q := &Queue{err: errors.New("no job")}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	if _, err := s.Submit(t.Context(), NewEnvironment("qa", "maria", "web")); !errors.Is(err, q.err) {
		t.Fatalf("got %v", err)
	}
	_, err := s.Environment(t.Context(), "qa")
	refused(t, err, orchestrator.CodeNotFound)
	_, err = s.Operation(t.Context(), "o-qa")
	refused(t, err, orchestrator.CodeNotFound)
	_, err = s.Server(t.Context(), "s-qa-web")
	refused(t, err, orchestrator.CodeNotFound, "s-qa-web")
	events, err := s.Events(t.Context(), "o-qa", 0)
	if err != nil || len(events) != 0 {
		t.Errorf("events %v, %v", events, err)
	}
	q.err = nil
	submit(t, s, NewEnvironment("qa", "maria", "web"))
}

func testNames(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	second := NewEnvironment("qa", "tom", "web")
	second.Environment.ID, second.Operation.ID, second.Servers[0].ID = "e2", "o2", "s2"
	_, err := s.Submit(t.Context(), second)
	refused(t, err, orchestrator.CodeNameTaken, "qa", "maria")

	add := Change("e-qa", "o3", orchestrator.KindServerCreate, "web")
	add.Environment.Name = "qa"
	add.Servers = []orchestrator.Server{{ID: "s3", App: "web", Status: orchestrator.StatusCreating}}
	_, err = s.Submit(t.Context(), add)
	refused(t, err, orchestrator.CodeNameTaken, "qa", "web")

	// A removed server frees its app's place, a destroyed environment its name.
	if err := s.RemoveServer(t.Context(), "s-qa-web"); err != nil {
		t.Fatal(err)
	}
	same(t, "servers", len(environment(t, s, "qa").Servers), 0)
	submit(t, s, add)
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusDestroyed)
	submit(t, s, second)
	same(t, "owner", environment(t, s, "qa").Owner, "tom")
}

func testPorts(t *testing.T, open Open) {
	s := open(t, store.Options{PortRange: [2]int{41000, 41002}, UIDBase: 20000, PortFree: func(p int) bool { return p != 41001 }})
	sub := NewEnvironment("qa", "maria", "api", "web")
	sub.NeedPort = true
	submit(t, s, sub)
	e := environment(t, s, "qa")
	ports := []int{e.Servers[0].Port, e.Servers[1].Port}
	slices.Sort(ports)
	if !slices.Equal(ports, []int{41000, 41002}) {
		t.Errorf("ports %v", ports)
	}
	for _, v := range e.Servers {
		same(t, "user", v.UID, 20000+v.Port-41000)
	}
	third := NewEnvironment("qb", "maria", "api")
	third.NeedPort = true
	_, err := s.Submit(t.Context(), third)
	refused(t, err, orchestrator.CodeState, "41000", "41002")

	free := e.Servers[1].Port
	if err := s.RemoveServer(t.Context(), e.Servers[1].ID); err != nil {
		t.Fatal(err)
	}
	submit(t, s, third)
	same(t, "the freed port", environment(t, s, "qb").Servers[0].Port, free)
	// Without a range of one's own it is one that no connection is given.
	s = open(t, store.Options{})
	submit(t, s, sub)
	if p := environment(t, s, "qa").Servers[0].Port; p < 1024 || p >= 32768 {
		t.Errorf("port %d", p)
	}
	// In a cloud every server may have the same one.
	submit(t, s, NewEnvironment("qc", "maria", "api", "web"))
}

// An app that listens nowhere has no port, but a user of its own.
func testPortless(t *testing.T, open Open) {
	s := open(t, store.Options{PortRange: [2]int{41000, 41003}, UIDBase: 20000, PortFree: func(int) bool { return true }})
	users := map[int]bool{}
	for _, name := range []string{"qa", "qb"} {
		sub := NewEnvironment(name, "maria", "web", "worker")
		sub.NeedPort = true
		sub.Servers[1].Port = 0
		submit(t, s, sub)
		for _, v := range environment(t, s, name).Servers {
			if (v.Port == 0) != (v.App == "worker") || v.UID < 20000 || v.UID > 20003 || users[v.UID] {
				t.Errorf("%s: port %d, user %d", v.Name, v.Port, v.UID)
			}
			users[v.UID] = true
		}
	}
}

// A failed attempt is kept with its event, all or nothing, and only while its
// operation runs.
func testTries(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	submit(t, s, Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	try := orchestrator.Try{FailedAt: Start, AgainAt: Start.Add(time.Minute), Sentence: "The git host is away.", Servers: map[string]int{"s-qa-web": 1}}
	told := orchestrator.Event{OperationID: "o-qa", At: Start, Step: "waiting", Text: "trying again by itself in 1 min"}
	if err := s.TryAgain(t.Context(), try, told); err != nil {
		t.Fatal(err)
	}
	op, err := s.Operation(t.Context(), "o-qa")
	if err != nil || len(op.Tries) != 1 || op.Tries[0].Sentence != try.Sentence || !op.Tries[0].AgainAt.Equal(try.AgainAt) || op.Tries[0].Servers["s-qa-web"] != 1 {
		t.Errorf("tries %+v, %v", op.Tries, err)
	}
	told.OperationID = "o1" // it waits in the queue
	if err := s.TryAgain(t.Context(), try, told); err == nil {
		t.Error("an operation that does not run was tried again")
	}
	end(t, s, "o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	told.OperationID = "o-qa"
	if err := s.TryAgain(t.Context(), try, told); err == nil {
		t.Error("an operation that has ended was tried again")
	}
	events, err := s.Events(t.Context(), "o-qa", 0)
	if err != nil || len(events) != 3 || events[1].Text != told.Text {
		t.Errorf("events %+v, %v", events, err)
	}
}

func testQueue(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	for i := 1; i <= 3; i++ {
		op := submit(t, s, Change("e-qa", fmt.Sprintf("o%d", i), orchestrator.KindDeploy, "web"))
		same(t, "status", op.Status, orchestrator.OperationQueued)
		same(t, "position", op.Position, i)
	}
	same(t, "shown", environment(t, s, "qa").Operation.ID, "o-qa")
	same(t, "jobs", len(q.Take()), 1)
	for _, step := range []struct{ ends, runs string }{{"o-qa", "o1"}, {"o1", "o2"}, {"o2", "o3"}} {
		end(t, s, step.ends, orchestrator.OperationFailed, orchestrator.StatusFailed)
		if ids := q.Take(); !slices.Equal(ids, []string{step.runs}) {
			t.Fatalf("after %s: jobs %v, want %s", step.ends, ids, step.runs)
		}
		op, err := s.Operation(t.Context(), step.runs)
		if err != nil || op.Status != orchestrator.OperationRunning || op.Position != 0 {
			t.Fatalf("%s: %+v, %v", step.runs, op, err)
		}
	}
	unended, err := s.Unended(t.Context())
	if err != nil || len(unended) != 1 || unended[0].ID != "o3" {
		t.Errorf("not ended: %+v, %v", unended, err)
	}
	all, err := s.Operations(t.Context(), "e-qa")
	if err != nil || len(all) != 4 || all[0].ID != "o3" || all[3].ID != "o-qa" {
		t.Errorf("history: %+v, %v", all, err)
	}
}

// Twenty people at once: one operation runs, the others have the places 1 to
// 19, and they run in that order.
func testConcurrent(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	q.Take()
	const n = 20
	ops := make([]orchestrator.Operation, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if ops[i], err = s.Submit(t.Context(), Change("e-qa", fmt.Sprintf("o%d", i), orchestrator.KindDeploy, "web")); err != nil {
				t.Error(err)
			}
			// And one environment each, with the same name for all.
			sub := NewEnvironment("race", "maria", "web")
			sub.Environment.ID, sub.Operation.ID, sub.Servers[0].ID = fmt.Sprintf("er%d", i), fmt.Sprintf("or%d", i), fmt.Sprintf("sr%d", i)
			sub.NeedPort = true
			if _, err := s.Submit(t.Context(), sub); err != nil {
				var e *orchestrator.Error
				if !errors.As(err, &e) || e.Code != orchestrator.CodeNameTaken {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	byPlace := make([]string, n)
	for _, op := range ops {
		if byPlace[op.Position] != "" {
			t.Fatalf("two operations at place %d", op.Position)
		}
		byPlace[op.Position] = op.ID
	}
	live, err := s.Environments(t.Context(), "")
	if err != nil || len(live) != 2 {
		t.Fatalf("%d environments, %v", len(live), err)
	}
	q.Take()
	for i, id := range byPlace {
		end(t, s, id, orchestrator.OperationSucceeded, orchestrator.StatusReady)
		want := []string(nil)
		if i+1 < n {
			want = byPlace[i+1 : i+2]
		}
		if got := q.Take(); !slices.Equal(got, want) {
			t.Fatalf("after place %d: jobs %v, want %v", i, got, want)
		}
	}
}

func testEnd(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	begun := Start.Add(time.Second)
	for range 2 { // again after an interruption
		err := s.Start(t.Context(), "o-qa", begun, orchestrator.StatusDeploying, map[string]orchestrator.Status{"s-qa-web": orchestrator.StatusDeploying})
		if err != nil {
			t.Fatal(err)
		}
		begun = begun.Add(time.Hour)
	}
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusReady; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "o-qa", begun, orchestrator.StatusDeploying, map[string]orchestrator.Status{"s-qa-web": orchestrator.StatusDeploying}); err != nil {
		t.Fatal(err)
	}
	if e := environment(t, s, "qa"); e.Servers[0].Status != orchestrator.StatusReady {
		t.Errorf("beginning again made a server %s that had reported", e.Servers[0].Status)
	}
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusDeploying; return nil }); err != nil {
		t.Fatal(err)
	}
	e := environment(t, s, "qa")
	same(t, "environment", e.Status, orchestrator.StatusDeploying)
	same(t, "server", e.Servers[0].Status, orchestrator.StatusDeploying)
	if e.Operation.StartedAt == nil || !e.Operation.StartedAt.Equal(Start.Add(time.Second)) {
		t.Errorf("started at %v", e.Operation.StartedAt)
	}
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	end(t, s, "o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed) // too late
	e = environment(t, s, "qa")
	same(t, "environment", e.Status, orchestrator.StatusReady)
	same(t, "operation", e.Operation.Status, orchestrator.OperationSucceeded)
	events, err := s.Events(t.Context(), "o-qa", 0)
	if err != nil || len(events) != 2 {
		t.Errorf("events %v, %v", events, err)
	}
	err = s.Start(t.Context(), "o-qa", begun, orchestrator.StatusDeploying, nil)
	refused(t, err, orchestrator.CodeState, "o-qa", "succeeded")
	if err := s.End(t.Context(), orchestrator.Ending{OperationID: "o-qa", Status: orchestrator.OperationRunning}); err == nil {
		t.Error("an operation ended as running")
	}

	// What failed leaves nothing in motion; what stood stands.
	submit(t, s, NewEnvironment("qb", "maria", "api", "job", "web"))
	if err := s.Start(t.Context(), "o-qb", begun, orchestrator.StatusCreating, map[string]orchestrator.Status{"s-qb-api": orchestrator.StatusReady,
		"s-qb-job": orchestrator.StatusDeploying, "s-qb-web": orchestrator.StatusDestroying}); err != nil {
		t.Fatal(err)
	}
	end(t, s, "o-qb", orchestrator.OperationCanceled, orchestrator.StatusFailed)
	for i, want := range []orchestrator.Status{orchestrator.StatusReady, orchestrator.StatusFailed, orchestrator.StatusFailed} {
		same(t, "server", environment(t, s, "qb").Servers[i].Status, want)
	}
}

func testDestroy(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue, PortRange: [2]int{41000, 41000}, PortFree: func(int) bool { return true }})
	sub := NewEnvironment("qa", "maria", "web")
	sub.NeedPort = true
	submit(t, s, sub)
	submit(t, s, Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	q.Take()
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusDestroyed)
	same(t, "jobs", len(q.Take()), 0)
	op, err := s.Operation(t.Context(), "o1")
	if err != nil || op.Status != orchestrator.OperationCanceled || op.EndedAt == nil {
		t.Errorf("what waited: %+v, %v", op, err)
	}
	events, err := s.Events(t.Context(), "o1", 0)
	if err != nil || len(events) != 2 || !strings.Contains(events[1].Text, "destroyed") {
		t.Errorf("its events: %+v, %v", events, err)
	}
	_, err = s.Environment(t.Context(), "qa")
	refused(t, err, orchestrator.CodeNotFound, "qa")
	gone, err := s.EnvironmentByID(t.Context(), "e-qa")
	if err != nil || gone.Status != orchestrator.StatusDestroyed || len(gone.Servers) != 0 || gone.Operation == nil {
		t.Errorf("by ID: %+v, %v", gone, err)
	}
	v, err := s.Server(t.Context(), "s-qa-web")
	if err != nil || v.Status != orchestrator.StatusDestroyed {
		t.Errorf("server: %+v, %v", v, err)
	}
	_, err = s.Submit(t.Context(), Change("e-qa", "o9", orchestrator.KindDeploy))
	refused(t, err, orchestrator.CodeNotFound)
	n, err := s.CountOwned(t.Context(), "maria")
	if err != nil || n != 0 {
		t.Errorf("owned: %d, %v", n, err)
	}
	again := NewEnvironment("qb", "maria", "web")
	again.NeedPort = true
	submit(t, s, again) // the only port is free again
}

func testCancel(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	submit(t, s, Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	submit(t, s, Change("e-qa", "o2", orchestrator.KindDeploy, "web"))
	for _, c := range []struct {
		id   string
		want bool
	}{{"o1", true}, {"o1", false}, {"o-qa", false}} {
		got, err := s.CancelQueued(t.Context(), orchestrator.Cancellation{OperationID: c.id, At: Start})
		if err != nil || got != c.want {
			t.Errorf("cancel %s: %v, %v", c.id, got, err)
		}
	}
	op, err := s.Operation(t.Context(), "o2")
	if err != nil || op.Position != 1 {
		t.Errorf("the one behind: %+v, %v", op, err)
	}
	add := Change("e-qa", "o3", orchestrator.KindServerCreate, "api")
	add.Servers = NewEnvironment("qa", "maria", "api").Servers
	submit(t, s, add)
	if got, err := s.CancelQueued(t.Context(), orchestrator.Cancellation{OperationID: "o3", At: Start}); err != nil || !got {
		t.Errorf("cancel o3: %v, %v", got, err)
	}
	if e := environment(t, s, "qa"); len(e.Servers) != 1 {
		t.Errorf("the server that was to be made is still there: %+v", e.Servers)
	}
	asked, err := s.CancelRequested(t.Context(), "o-qa")
	if err != nil || asked {
		t.Errorf("asked %v, %v", asked, err)
	}
	if err := s.RequestCancel(t.Context(), orchestrator.Cancellation{OperationID: "o-qa"}); err != nil {
		t.Fatal(err)
	}
	asked, err = s.CancelRequested(t.Context(), "o-qa")
	if err != nil || !asked {
		t.Errorf("asked %v, %v", asked, err)
	}
	refused(t, s.RequestCancel(t.Context(), orchestrator.Cancellation{OperationID: "o-none"}), orchestrator.CodeNotFound, "o-none")
	q.Take()
	end(t, s, "o-qa", orchestrator.OperationCanceled, orchestrator.StatusFailed)
	if ids := q.Take(); !slices.Equal(ids, []string{"o2"}) {
		t.Errorf("jobs %v", ids)
	}
}

func testDiagnosis(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	d := &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: "build_failed", Who: "developer", Sentence: "The build failed."}}}
	err := s.End(t.Context(), orchestrator.Ending{OperationID: "o-qa", Status: orchestrator.OperationFailed, At: Start, Environment: orchestrator.StatusFailed, Diagnosis: d})
	if err != nil {
		t.Fatal(err)
	}
	list := func() orchestrator.Environment {
		all, err := s.Environments(t.Context(), "")
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0]
	}
	for _, e := range []orchestrator.Environment{environment(t, s, "qa"), list()} {
		if e.Diagnosis == nil || len(e.Diagnosis.Causes) != 1 || e.Diagnosis.Causes[0].Code != "build_failed" {
			t.Errorf("diagnosis %+v", e.Diagnosis)
		}
	}
	op, err := s.Operation(t.Context(), "o-qa")
	if err != nil || op.Diagnosis == nil {
		t.Errorf("operation %+v, %v", op, err)
	}
	submit(t, s, Change("e-qa", "o1", orchestrator.KindRetry, "web"))
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusReady; return nil }); err != nil {
		t.Fatal(err)
	}
	end(t, s, "o1", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	for _, e := range []orchestrator.Environment{environment(t, s, "qa"), list()} {
		if e.Diagnosis != nil {
			t.Errorf("all is well, and yet %+v", e.Diagnosis)
		}
	}
	// What fails by itself afterwards has another reason than that old one.
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Status = orchestrator.StatusFailed; return nil }); err != nil {
		t.Fatal(err)
	}
	if e := environment(t, s, "qa"); e.Status != orchestrator.StatusFailed || e.Diagnosis != nil {
		t.Errorf("%s with the diagnosis %+v", e.Status, e.Diagnosis)
	}
}

// testDiagnosisHolds: an environment's diagnosis is about what still is wrong.
func testDiagnosisHolds(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "api", "web"))
	set := func(app string, status orchestrator.Status) {
		t.Helper()
		if _, err := s.UpdateServer(t.Context(), "s-qa-"+app, func(v *orchestrator.Server) error { v.Status = status; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	set("api", orchestrator.StatusFailed)
	set("web", orchestrator.StatusFailed)
	d := &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 3, Causes: []orchestrator.Cause{
		{Code: "build_failed", Who: "developer", Server: "qa/api"}, {Code: "command_failed", Who: "developer", Server: "qa/web"},
		{Code: "disk_full", Who: "ops", Server: "qa/api", Servers: []string{"qa/api", "qa/web"}}}}
	if err := s.End(t.Context(), orchestrator.Ending{OperationID: "o-qa", Status: orchestrator.OperationFailed, At: Start, Environment: orchestrator.StatusFailed, Diagnosis: d}); err != nil {
		t.Fatal(err)
	}
	codes := func(want ...string) {
		t.Helper()
		all, err := s.Environments(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range append(all, environment(t, s, "qa")) {
			var got []string
			if e.Diagnosis != nil {
				for _, c := range e.Diagnosis.Causes {
					got = append(got, c.Code)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("causes %v, want %v", got, want)
			}
		}
	}
	codes("build_failed", "command_failed", "disk_full")
	set("web", orchestrator.StatusReady)
	codes("build_failed", "disk_full")
	set("api", orchestrator.StatusReady)
	set("web", orchestrator.StatusFailed)
	codes("command_failed", "disk_full")
}

func testListing(t *testing.T, open Open) {
	clock := &Clock{}
	s := open(t, store.Options{Now: clock.Now})
	names := func(owner string) string {
		t.Helper()
		all, err := s.Environments(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range all {
			for _, v := range e.Servers {
				if v.Name != e.Name+"/"+v.App {
					t.Errorf("%s has a server called %s", e.Name, v.Name)
				}
			}
			out = append(out, e.Name)
		}
		// The same, without copies.
		var each []string
		if err := s.EachEnvironment(t.Context(), owner, func(e *orchestrator.Environment) error { each = append(each, e.Name); return nil }); err != nil || !slices.Equal(each, out) {
			t.Errorf("each of %q: %v, %v", owner, each, err)
		}
		if stop := errors.New("stop"); len(out) > 1 {
			n := 0
			if err := s.EachEnvironment(t.Context(), owner, func(*orchestrator.Environment) error { n++; return stop }); n != 1 || !errors.Is(err, stop) {
				t.Errorf("stopped at %d: %v", n, err)
			}
		}
		return strings.Join(out, " ")
	}
	same(t, "empty", names(""), "")
	for _, n := range []string{"m", "c", "x"} {
		submit(t, s, NewEnvironment(n, "maria", "web", "api"))
	}
	same(t, "three", names(""), "c m x")
	submit(t, s, NewEnvironment("a", "tom", "web"))
	submit(t, s, NewEnvironment("z", "tom", "web"))
	submit(t, s, NewEnvironment("d", "tom", "web"))
	same(t, "six", names(""), "a c d m x z")
	same(t, "tom's", names("tom"), "a d z")
	same(t, "nobody's", names("nobody"), "")
	if err := relabel(t, s, "e-a", func(e *orchestrator.Environment) error { e.Name = "n"; return nil }); err != nil {
		t.Fatal(err)
	}
	end(t, s, "o-x", orchestrator.OperationSucceeded, orchestrator.StatusDestroyed)
	same(t, "after a rename and a destroy", names(""), "c d m n z")
	// What is handed out is the caller's own.
	all, err := s.Environments(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all[2].Servers[0].Status = "spoilt"
	all[2].Operation.Status = "spoilt"
	all, err = s.Environments(t.Context(), "")
	if err != nil || all[2].Servers[0].Status != orchestrator.StatusCreating || all[2].Operation.Status != orchestrator.OperationRunning {
		t.Errorf("%+v, %v", all[2], err)
	}
	// It agrees with reading one by one, also after a server's change.
	if _, err := s.UpdateServer(t.Context(), "s-m-web", func(v *orchestrator.Server) error { v.URL = "http://127.0.0.1:1"; return nil }); err != nil {
		t.Fatal(err)
	}
	all, err = s.Environments(t.Context(), "")
	if err != nil || all[2].Servers[1].URL != environment(t, s, "m").Servers[1].URL || all[2].Servers[1].URL == "" {
		t.Errorf("%+v, %v", all[2].Servers[1], err)
	}
}

func relabel(t *testing.T, s *store.Store, id string, f func(*orchestrator.Environment) error) error {
	t.Helper()
	sub := Change(id, fmt.Sprintf("o-relabel-%d", relabels.Add(1)), orchestrator.KindRename)
	op, err := s.Relabel(t.Context(), sub, f)
	if err == nil {
		same(t, "operation", op.Status, orchestrator.OperationSucceeded)
	}
	return err
}

var relabels atomic.Int64

func testRelabel(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	submit(t, s, NewEnvironment("qb", "tom", "web"))
	refused(t, relabel(t, s, "e-qa", func(e *orchestrator.Environment) error { e.Name = "qb"; return nil }), orchestrator.CodeNameTaken, "qb", "tom")
	same(t, "set", environment(t, s, "qa").ExpirySetAt, Start)

	sub := Change("e-qa", "o-later", orchestrator.KindExtend)
	sub.Operation.CreatedAt = Start.Add(time.Hour)
	sub.Origin = orchestrator.Origin{Door: "slack", Key: "slack:1", Place: []byte("{}")}
	for range 2 { // delivered twice, done once
		op, err := s.Relabel(t.Context(), sub, func(e *orchestrator.Environment) error {
			e.Name, e.ExpiresAt = "qc", e.ExpiresAt.Add(time.Hour)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "operation", op.ID, "o-later")
		sub.Operation.ID = "o-again"
	}
	e := environment(t, s, "qc")
	same(t, "ID", e.ID, "e-qa")
	same(t, "server", e.Servers[0].Name, "qc/web")
	same(t, "expires", e.ExpiresAt, Start.Add(73*time.Hour))
	same(t, "set", e.ExpirySetAt, Start.Add(time.Hour))
	same(t, "the operation that runs", e.Operation.ID, "o-qa")
	ops, err := s.Operations(t.Context(), "e-qa")
	if err != nil || len(ops) != 2 || ops[0].Kind != orchestrator.KindExtend || ops[0].Status != orchestrator.OperationSucceeded || ops[0].EndedAt == nil {
		t.Errorf("history %+v, %v", ops, err)
	}
	if cards, err := s.OpenCards(t.Context(), "slack"); err != nil || len(cards) != 0 {
		t.Errorf("a card of what has ended already: %+v, %v", cards, err)
	}
	stop := errors.New("no")
	if err := relabel(t, s, "e-qa", func(e *orchestrator.Environment) error { e.Name = "qd"; return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	same(t, "after a refusal", environment(t, s, "qc").Name, "qc")
	missing := Change("e-none", "o-none", orchestrator.KindRename)
	missing.Environment.Name = "none"
	_, err = s.Relabel(t.Context(), missing, func(*orchestrator.Environment) error { return nil })
	refused(t, err, orchestrator.CodeNotFound, "none")
}

func testExpired(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	forever := NewEnvironment("qb", "maria", "web")
	forever.Environment.ExpiresAt = time.Time{}
	submit(t, s, forever)
	over := Start.Add(72 * time.Hour)
	expired := func(at time.Time) int {
		t.Helper()
		all, err := s.Expired(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			same(t, "name", e.Name, "qa")
			same(t, "servers", len(e.Servers), 1)
		}
		return len(all)
	}
	same(t, "before", expired(over.Add(-time.Microsecond)), 0)
	same(t, "at the time", expired(over), 1)
	submit(t, s, Change("e-qa", "o1", orchestrator.KindDestroy))
	same(t, "while it is on its way out", expired(over), 0)
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	end(t, s, "o1", orchestrator.OperationFailed, orchestrator.StatusFailed)
	same(t, "when that has failed", expired(over), 1)
}

func testEvents(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	if err := s.AddEvents(t.Context(), []orchestrator.Event{
		{OperationID: "o-qa", At: Start, Step: "plan", Text: "2 to add"},
		{OperationID: "o-qa", At: Start, Server: "qa/web", Step: "booting", Text: "up"},
	}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Events(t.Context(), "o-qa", 0)
	if err != nil || len(all) != 3 || all[2].Server != "qa/web" || !all[2].At.Equal(Start) {
		t.Fatalf("%+v, %v", all, err)
	}
	rest, err := s.Events(t.Context(), "o-qa", all[0].Seq)
	if err != nil || len(rest) != 2 || rest[0].Step != "plan" {
		t.Errorf("%+v, %v", rest, err)
	}
	// One bad event and none is written.
	err = s.AddEvents(t.Context(), []orchestrator.Event{{OperationID: "o-qa", Step: "x"}, {OperationID: "o-none", Step: "x"}})
	if err == nil {
		t.Error("an event of no operation was written")
	}
	all, err = s.Events(t.Context(), "o-qa", 0)
	if err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	// A server that tells without end fills its own course alone.
	step := func(server, text string) orchestrator.Event {
		return orchestrator.Event{OperationID: "o-qa", At: Start, Server: server, Step: "configuring", Text: text}
	}
	for range 2 {
		if err := s.AddSteps(t.Context(), []orchestrator.Event{step("qa/web", "a"), step("qa/web", "b"), step("qa/web", "c"), step("qa/api", "d")}, 3); err != nil {
			t.Fatal(err)
		}
	}
	all, err = s.Events(t.Context(), "o-qa", 0)
	said := ""
	for _, e := range all[3:] {
		said += e.Text
	}
	if err != nil || said != "abdd" {
		t.Errorf("%q, %v", said, err)
	}
	if err := s.AddSteps(t.Context(), []orchestrator.Event{step("qa/db", "e"), {OperationID: "o-none", Step: "x"}}, 3); err == nil {
		t.Error("a step of no operation was written")
	}
}

func testWatch(t *testing.T, open Open) {
	s := open(t, store.Options{})
	changed, stop := s.Watch()
	told := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	same(t, "before", told(), false)
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	submit(t, s, NewEnvironment("qb", "maria", "web"))
	same(t, "after two changes", told(), true)
	same(t, "once is enough", told(), false)
	_, err := s.Submit(t.Context(), NewEnvironment("qb", "maria", "web"))
	refused(t, err, orchestrator.CodeNameTaken)
	same(t, "after a refusal", told(), false)
	stop()
	submit(t, s, NewEnvironment("qc", "maria", "web"))
	same(t, "after stop", told(), false)
}

// Who sees a server's new status finds the event that tells so; a change that
// is given up leaves neither.
func testSettle(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	count := func() int {
		t.Helper()
		all, err := s.Events(t.Context(), "o-qa", 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := count()
	event := orchestrator.Event{OperationID: "o-qa", At: Start, Server: "qa/web", Step: "ready", Text: "ready"}
	stop := errors.New("no")
	if _, err := s.SettleServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) (orchestrator.Settlement, error) {
		v.Status = orchestrator.StatusReady
		return orchestrator.Settlement{Events: []orchestrator.Event{event}}, stop
	}); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	same(t, "events after a refusal", count(), before)
	event.OperationID = "o-none" // an event that cannot be written takes the change with it
	if _, err := s.SettleServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) (orchestrator.Settlement, error) {
		v.Status = orchestrator.StatusReady
		return orchestrator.Settlement{Events: []orchestrator.Event{event}}, nil
	}); err == nil {
		t.Error("an event of no operation was written")
	}
	same(t, "status", environment(t, s, "qa").Servers[0].Status, orchestrator.StatusCreating)
	event.OperationID = "o-qa"
	v, err := s.SettleServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) (orchestrator.Settlement, error) {
		v.Status = orchestrator.StatusReady
		return orchestrator.Settlement{Events: []orchestrator.Event{event}}, nil
	})
	if err != nil || v.Status != orchestrator.StatusReady {
		t.Errorf("%+v, %v", v, err)
	}
	same(t, "events", count(), before+1)
}

func testServers(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	want := orchestrator.Server{ID: "other", App: "other", Repository: "r", Branch: "b", Commit: "c", Revision: "rev", RunningBranch: "rb", Generation: 3,
		Status: orchestrator.StatusReady, Address: "127.0.0.1", Port: 1, UID: 1, URL: "http://127.0.0.1:8080", Needs: map[string]string{"API_URL": "http://api"},
		UserData: "#cloud-config\n", Desired: []byte(`{"generation":3}`)}
	got, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { *v = want; return nil })
	if err != nil {
		t.Fatal(err)
	}
	stored, err := s.Server(t.Context(), "s-qa-web")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []orchestrator.Server{got, stored, environment(t, s, "qa").Servers[0]} {
		same(t, "ID stays", v.ID, "s-qa-web")
		same(t, "app stays", v.App, "web")
		same(t, "port stays", v.Port, 8080)
		same(t, "user stays", v.UID, 0)
		same(t, "branch", v.Branch, "b")
		same(t, "commit", v.Commit, "c")
		same(t, "revision", v.Revision, "rev")
		same(t, "running branch", v.RunningBranch, "rb")
		same(t, "generation", v.Generation, 3)
		same(t, "status", v.Status, orchestrator.StatusReady)
		same(t, "needs", v.Needs["API_URL"], "http://api")
		same(t, "user-data", v.UserData, "#cloud-config\n")
		same(t, "desired", string(v.Desired), `{"generation":3}`)
	}
	same(t, "environment", stored.Environment, "qa")
	stop := errors.New("no")
	_, err = s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Branch = "x"; return stop })
	if !errors.Is(err, stop) || environment(t, s, "qa").Servers[0].Branch != "b" {
		t.Errorf("a refused change: %v", err)
	}
	// Fifty at once: none is lost.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error { v.Generation++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "generation", environment(t, s, "qa").Servers[0].Generation, 53)
	for range 2 {
		if err := s.RemoveServer(t.Context(), "s-qa-web"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.UpdateServer(t.Context(), "s-qa-web", func(*orchestrator.Server) error { return nil })
	refused(t, err, orchestrator.CodeNotFound, "s-qa-web")
}

func testEnroll(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	const id = "s-qa-web"
	expires := Start.Add(time.Hour)
	if err := s.SetToken(t.Context(), id, "hash", expires); err != nil {
		t.Fatal(err)
	}
	refused(t, s.SetToken(t.Context(), "s-none", "hash", expires), orchestrator.CodeNotFound)
	key, live, err := s.ServerKey(t.Context(), id)
	if err != nil || key != nil || !live {
		t.Errorf("before: %v %v %v", key, live, err)
	}
	for _, c := range []struct {
		name, id, hash, key string
		at                  time.Time
		ok                  bool
	}{
		{"no such server", "s-none", "hash", "k1", Start, false},
		{"another token", id, "other", "k1", Start, false},
		{"no token", id, "", "k1", Start, false},
		{"no key", id, "hash", "", Start, false},
		{"too late", id, "hash", "k1", expires, false},
		{"first", id, "hash", "k1", Start, true},
		{"again", id, "hash", "k1", Start, true},
		{"again after the token's end", id, "hash", "k1", expires.Add(time.Hour), true},
		{"another key", id, "hash", "k2", Start, false},
		{"the key without the token", id, "other", "k1", Start, false},
	} {
		err := s.Enroll(t.Context(), c.id, c.hash, []byte(c.key), c.at)
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.ok {
			refused(t, err, orchestrator.CodeNotAllowed)
		}
	}
	key, live, err = s.ServerKey(t.Context(), id)
	if err != nil || string(key) != "k1" || !live {
		t.Errorf("after: %s %v %v", key, live, err)
	}
	// The same one for longer, and for a machine in place of the first.
	later := expires.Add(2 * time.Hour)
	if err := s.ProlongToken(t.Context(), id, later, false); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Enroll(t.Context(), id, "hash", []byte("k2"), expires), orchestrator.CodeNotAllowed)
	if err := s.ProlongToken(t.Context(), id, later, true); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Enroll(t.Context(), id, "hash", []byte("k2"), later), orchestrator.CodeNotAllowed)
	if err := s.Enroll(t.Context(), id, "hash", []byte("k2"), expires); err != nil {
		t.Error(err)
	}
	refused(t, s.ProlongToken(t.Context(), "s-none", later, true), orchestrator.CodeNotFound)
	// A new token is for a new machine.
	if err := s.SetToken(t.Context(), id, "hash2", expires); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Enroll(t.Context(), id, "hash", []byte("k1"), Start), orchestrator.CodeNotAllowed)
	if err := s.Enroll(t.Context(), id, "hash2", []byte("k2"), Start); err != nil {
		t.Error(err)
	}
	if err := s.RemoveServer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, live, err = s.ServerKey(t.Context(), id)
	if err != nil || live {
		t.Errorf("destroyed: %v %v", live, err)
	}
	refused(t, s.Enroll(t.Context(), id, "hash2", []byte("k2"), Start), orchestrator.CodeNotAllowed)
	_, _, err = s.ServerKey(t.Context(), "s-none")
	refused(t, err, orchestrator.CodeNotFound, "s-none")
}

func testAgents(t *testing.T, open Open) {
	clock := &Clock{}
	s := open(t, store.Options{Now: clock.Now})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	changed, stop := s.Watch()
	defer stop()
	agent := func(want orchestrator.AgentStatus) {
		t.Helper()
		all, err := s.Environments(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Server(t.Context(), "s-qa-web")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []orchestrator.Server{v, all[0].Servers[0], environment(t, s, "qa").Servers[0]} {
			same(t, "agent", v.Agent, want)
		}
	}
	see := func() {
		t.Helper()
		if err := s.Seen(t.Context(), "s-qa-web", clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	agent(orchestrator.AgentNever)
	see()
	<-changed // news
	agent(orchestrator.AgentOnline)
	clock.Advance(89 * time.Second)
	agent(orchestrator.AgentOnline)
	clock.Advance(time.Second)
	agent(orchestrator.AgentSilent)
	see()
	<-changed // news again
	clock.Advance(time.Second)
	see()
	select {
	case <-changed:
		t.Error("an agent that is online as before is no news")
	default:
	}
	v := environment(t, s, "qa").Servers[0]
	if v.LastSeen == nil || !v.LastSeen.Equal(clock.Now()) {
		t.Errorf("last seen %v, want %v", v.LastSeen, clock.Now())
	}
}

// An environment at rest follows its servers.
func testRest(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "api", "web"))
	set := func(id string, status orchestrator.Status) {
		t.Helper()
		if _, err := s.UpdateServer(t.Context(), id, func(v *orchestrator.Server) error { v.Status = status; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	set("s-qa-api", orchestrator.StatusReady)
	set("s-qa-api", orchestrator.StatusFailed)
	same(t, "while an operation runs", environment(t, s, "qa").Status, orchestrator.StatusCreating)
	set("s-qa-api", orchestrator.StatusReady)
	set("s-qa-web", orchestrator.StatusReady)
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	for _, step := range []struct {
		id           string
		status, want orchestrator.Status
	}{
		{"s-qa-web", orchestrator.StatusFailed, orchestrator.StatusFailed},
		{"s-qa-api", orchestrator.StatusFailed, orchestrator.StatusFailed},
		{"s-qa-web", orchestrator.StatusReady, orchestrator.StatusFailed},
		{"s-qa-api", orchestrator.StatusReady, orchestrator.StatusReady},
	} {
		set(step.id, step.status)
		same(t, step.id+" "+string(step.status), environment(t, s, "qa").Status, step.want)
	}
}

func testReports(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	r := orchestrator.Report{Generation: 1, Run: "r1", StartedAt: Start, EndedAt: Start.Add(time.Second), Stdout: "{}", Exit: 2, Revision: "abc", AppLog: "line\n"}
	second := r
	second.Run, second.Exit = "r2", 0
	for i, step := range []struct {
		report orchestrator.Report
		newest bool
	}{{r, true}, {r, true}, {second, true}, {r, false}, {second, true}} {
		newest, err := s.SaveReport(t.Context(), "s-qa-web", step.report)
		if err != nil || newest != step.newest {
			t.Errorf("report %d: %v, %v", i, newest, err)
		}
	}
	got, err := s.LastReport(t.Context(), "s-qa-web", 1)
	if err != nil || got == nil || *got != second {
		t.Errorf("got %+v, %v", got, err)
	}
	all, err := s.Reports(t.Context(), "s-qa-web", 1)
	if err != nil || len(all) != 2 || all[0] != second || all[1] != r {
		t.Errorf("got %+v, %v", all, err)
	}
	none, err := s.LastReport(t.Context(), "s-qa-web", 2)
	if err != nil || none != nil {
		t.Errorf("got %+v, %v", none, err)
	}
	_, err = s.SaveReport(t.Context(), "s-none", r)
	refused(t, err, orchestrator.CodeNotFound, "s-none")
	for g := 2; g < 40; g++ {
		r.Generation = g
		if _, err := s.SaveReport(t.Context(), "s-qa-web", r); err != nil {
			t.Fatal(err)
		}
	}
	kept := 0
	for g := range 40 {
		got, err := s.LastReport(t.Context(), "s-qa-web", g)
		if err != nil {
			t.Fatal(err)
		}
		if got != nil {
			kept++
		}
	}
	same(t, "kept", kept, 20)
}

func testTokens(t *testing.T, open Open) {
	clock := &Clock{}
	s := open(t, store.Options{Now: clock.Now})
	tok := store.Token{ID: "t1", Name: "ci", Person: "maria", Ops: true, CreatedAt: Start}
	if err := s.CreateToken(t.Context(), tok, "hash1"); err != nil {
		t.Fatal(err)
	}
	refused(t, s.CreateToken(t.Context(), store.Token{ID: "t2", Name: "ci"}, "hash2"), orchestrator.CodeNameTaken, "ci")
	got, err := s.TokenByHash(t.Context(), "hash1")
	if err != nil || got.Person != "maria" || !got.Ops {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = s.TokenByHash(t.Context(), "other")
	refused(t, err, orchestrator.CodeNotAllowed)
	all, err := s.ListTokens(t.Context())
	if err != nil || len(all) != 1 || all[0].LastUsed == nil || !all[0].LastUsed.Equal(Start) {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.RevokeToken(t.Context(), "ci", Start); err != nil {
		t.Fatal(err)
	}
	_, err = s.TokenByHash(t.Context(), "hash1")
	refused(t, err, orchestrator.CodeNotAllowed)
	refused(t, s.RevokeToken(t.Context(), "ci", Start), orchestrator.CodeNotFound, "ci")
	if err := s.CreateToken(t.Context(), store.Token{ID: "t2", Name: "ci", CreatedAt: Start}, "hash2"); err != nil {
		t.Errorf("the name of a revoked one: %v", err)
	}

	// One with an end is in force until then, and keeps its name no longer.
	end := Start.Add(time.Hour)
	brief := store.Token{ID: "t3", Name: "brief", Person: "jo", CreatedAt: Start, ExpiresAt: &end}
	if err := s.CreateToken(t.Context(), brief, "hash3"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.TokenByHash(t.Context(), "hash3"); err != nil || got.ExpiresAt == nil || !got.ExpiresAt.Equal(end) || got.Expired(end.Add(-time.Second)) {
		t.Errorf("before its end: %+v, %v", got, err)
	}
	clock.Advance(time.Hour)
	_, err = s.TokenByHash(t.Context(), "hash3")
	refused(t, err, orchestrator.CodeNotAllowed, "has expired, on "+end.UTC().Format("2 January 2006"))
	brief.ID, brief.CreatedAt, brief.ExpiresAt = "t4", end, nil
	if err := s.CreateToken(t.Context(), brief, "hash4"); err != nil {
		t.Errorf("the name of an expired one: %v", err)
	}
	_, err = s.TokenByHash(t.Context(), "hash3")
	refused(t, err, orchestrator.CodeNotAllowed, "has expired")
	if _, err := s.TokenByHash(t.Context(), "hash4"); err != nil {
		t.Errorf("the one without an end: %v", err)
	}
}

func testHostileText(t *testing.T, open Open) {
	s := open(t, store.Options{})
	for i, name := range []string{`'; DROP TABLE environments; --`, `"`, `%_\`, "\x00", "ünïcode ☃", `{{salt.cmd.run('id')}}`, "?1", ":a"} {
		sub := NewEnvironment("qa", name, "web")
		sub.Environment.Name, sub.Environment.ID = name, fmt.Sprintf("e%d", i)
		sub.Operation.ID, sub.Operation.Text = fmt.Sprintf("o%d", i), name
		sub.Servers[0].ID, sub.Servers[0].Branch = fmt.Sprintf("s%d", i), name
		submit(t, s, sub)
		e := environment(t, s, name)
		same(t, "name", e.Name, name)
		same(t, "owner", e.Owner, name)
		same(t, "branch", e.Servers[0].Branch, name)
		same(t, "text", e.Operation.Text, name)
		n, err := s.CountOwned(t.Context(), name)
		if err != nil || n != 1 {
			t.Errorf("%q owns %d, %v", name, n, err)
		}
	}
}

// The same delivery starts one operation, however often it is submitted.
func testOrigin(t *testing.T, open Open) {
	q := &Queue{}
	s := open(t, store.Options{Enqueue: q.Enqueue})
	sub := NewEnvironment("qa", "maria", "web")
	sub.Origin = orchestrator.Origin{Door: "slack", Key: "slack:e1", Place: []byte(`{"channel":"C1"}`)}
	submit(t, s, sub)
	again := NewEnvironment("qa", "maria", "web")
	again.Environment.ID, again.Operation.ID = "e-other", "o-other"
	again.Origin = sub.Origin
	same(t, "second", submit(t, s, again).ID, "o-qa")
	same(t, "jobs", strings.Join(q.Take(), " "), "o-qa")
	op, ok, err := s.OperationByOrigin(t.Context(), "slack:e1")
	if err != nil || !ok || op.ID != "o-qa" {
		t.Errorf("%+v, %v, %v", op, ok, err)
	}
	if _, ok, err := s.OperationByOrigin(t.Context(), "slack:e2"); ok || err != nil {
		t.Errorf("unknown: %v, %v", ok, err)
	}
	if _, ok, err := s.OperationByOrigin(t.Context(), ""); ok || err != nil {
		t.Errorf("no key: %v, %v", ok, err)
	}
}

func testDeliveries(t *testing.T, open Open) {
	s := open(t, store.Options{})
	q := &Queue{}
	s.SetEnqueueDelivery(q.Enqueue)
	changed, stop := s.Watch()
	defer stop()
	d := orchestrator.Delivery{Key: "k1", Door: "slack", Kind: "command", Body: []byte(`{"text":"create qa"}`), ReceivedAt: Start}
	accept := func(d orchestrator.Delivery, want bool) {
		t.Helper()
		fresh, err := s.AcceptDelivery(t.Context(), d)
		if err != nil || fresh != want {
			t.Errorf("%s: fresh %v, %v", d.Key, fresh, err)
		}
	}
	accept(d, true)
	accept(d, false)
	q.err = errors.New("no job")
	other := d
	other.Key = "k2"
	if _, err := s.AcceptDelivery(t.Context(), other); err == nil {
		t.Error("kept without its job")
	}
	q.err = nil
	same(t, "jobs", strings.Join(q.Take(), " "), "k1")
	got, waiting, err := s.Delivery(t.Context(), "k1")
	if err != nil || !waiting || string(got.Body) != string(d.Body) || got.Kind != "command" || !got.ReceivedAt.Equal(Start) {
		t.Errorf("%+v, %v, %v", got, waiting, err)
	}
	keys, err := s.WaitingDeliveries(t.Context())
	if err != nil || len(keys) != 1 || keys[0] != "k1" {
		t.Errorf("waiting %v, %v", keys, err)
	}
	if err := s.EndDelivery(t.Context(), "k1", Start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, waiting, err := s.Delivery(t.Context(), "k1"); waiting || err != nil {
		t.Errorf("after its end: %v, %v", waiting, err)
	}
	accept(d, false)
	accept(other, true)
	if err := s.ForgetDeliveries(t.Context(), Start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	accept(d, true) // forgotten
	accept(other, false)
	select {
	case <-changed:
		t.Error("a delivery woke those who watch for changes")
	default:
	}
}

func testCards(t *testing.T, open Open) {
	s := open(t, store.Options{})
	for i, name := range []string{"qb", "qa"} {
		sub := NewEnvironment(name, "maria", "web")
		sub.Origin = orchestrator.Origin{Door: "slack", Key: fmt.Sprint("k", i), Place: []byte(`{"channel":"` + name + `"}`)}
		submit(t, s, sub)
	}
	submit(t, s, NewEnvironment("qc", "maria", "web")) // from a terminal
	cards := func() string {
		t.Helper()
		all, err := s.OpenCards(t.Context(), "slack")
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range all {
			out = append(out, fmt.Sprintf("%s %s %s", c.OperationID, c.Place, c.State))
		}
		return strings.Join(out, "; ")
	}
	same(t, "open", cards(), `o-qb {"channel":"qb"} {}; o-qa {"channel":"qa"} {}`)
	if err := s.SaveCard(t.Context(), "o-qb", []byte(`{"ts":"1.2"}`), false); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCard(t.Context(), "o-qa", []byte(`{"ts":"1.3"}`), true); err != nil {
		t.Fatal(err)
	}
	same(t, "open", cards(), `o-qb {"channel":"qb"} {"ts":"1.2"}`)
	c, ok, err := s.Card(t.Context(), "o-qa")
	if err != nil || !ok || !c.Done || string(c.State) != `{"ts":"1.3"}` || c.Door != "slack" {
		t.Errorf("%+v, %v, %v", c, ok, err)
	}
	if _, ok, err := s.Card(t.Context(), "o-qc"); ok || err != nil {
		t.Errorf("of a terminal: %v, %v", ok, err)
	}
	before := c.LastEvent
	end(t, s, "o-qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	if c, _, err := s.Card(t.Context(), "o-qa"); err != nil || c.Status != orchestrator.OperationFailed || c.LastEvent <= before {
		t.Errorf("after its end: %+v, %v; before it the last event was %d", c, err, before)
	}
	// What has ended comes first, in the order of the ends.
	for _, name := range []string{"qd", "qe", "qf"} {
		sub := NewEnvironment(name, "maria", "web")
		sub.Origin = orchestrator.Origin{Door: "slack", Key: name, Place: []byte(`{}`)}
		submit(t, s, sub)
	}
	for i, id := range []string{"o-qf", "o-qd"} {
		if err := s.End(t.Context(), orchestrator.Ending{OperationID: id, Status: orchestrator.OperationSucceeded, At: Start.Add(time.Duration(i+1) * time.Minute),
			Environment: orchestrator.StatusReady, Event: orchestrator.Event{OperationID: id, Step: "succeeded", Text: "succeeded"}}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "open", cards(), `o-qf {} {}; o-qd {} {}; o-qb {"channel":"qb"} {"ts":"1.2"}; o-qe {} {}`)
	if all, err := s.OpenCards(t.Context(), "web"); err != nil || len(all) != 0 {
		t.Errorf("another door: %v, %v", all, err)
	}
}

func testWarnings(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	end := Start.Add(72 * time.Hour)
	note := func(w orchestrator.Warning) {
		t.Helper()
		if err := s.NoteWarning(t.Context(), "e-qa", end, w); err != nil {
			t.Fatal(err)
		}
	}
	first, second := Start.Add(48*time.Hour), Start.Add(70*time.Hour)
	note(orchestrator.Warning{Ahead: 2 * time.Hour, GivenAt: second})
	note(orchestrator.Warning{Ahead: 24 * time.Hour, GivenAt: first})
	note(orchestrator.Warning{Ahead: 24 * time.Hour, GivenAt: second})
	all, err := s.Warnings(t.Context(), "e-qa", end)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	same(t, "the day's", all[0], orchestrator.Warning{Ahead: 24 * time.Hour, GivenAt: first})
	same(t, "the hours'", all[1], orchestrator.Warning{Ahead: 2 * time.Hour, GivenAt: second})
	if all, err := s.Warnings(t.Context(), "e-qa", end.Add(time.Hour)); err != nil || len(all) != 0 {
		t.Errorf("of another end: %v, %v", all, err)
	}
}
