package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/jobs"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// TestMain lets the test binary be the process that gets killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("BERTH_TEST_VICTIM"); path != "" {
		victim(path)
	}
	os.Exit(m.Run())
}

// bench is a store with jobs on it.
type bench struct {
	*store.Store
	*jobs.Jobs
}

func open(t testing.TB, path string, o jobs.Options) bench {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	o.DB = s.DB()
	o.Logger = slog.New(slog.DiscardHandler)
	j, err := jobs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetEnqueue(j.Enqueue)
	s.SetEnqueueDelivery(j.EnqueueDelivery)
	return bench{s, j}
}

func (b bench) start(t testing.TB) {
	t.Helper()
	if err := b.Jobs.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stop(t) })
}

func (b bench) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Jobs.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := b.Store.Close(); err != nil {
		t.Error(err)
	}
}

func database(t testing.TB) string { return filepath.Join(t.TempDir(), "berth.db") }

// after waits for something that has to come.
func after[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func submit(t testing.TB, s *store.Store, sub orchestrator.Submission) {
	t.Helper()
	if _, err := s.Submit(context.Background(), sub); err != nil {
		t.Fatal(err)
	}
}

func end(ctx context.Context, s *store.Store, id string) error {
	return s.End(ctx, orchestrator.Ending{OperationID: id, Status: orchestrator.OperationSucceeded, At: storetest.Start, Environment: orchestrator.StatusReady})
}

// Each operation of an environment runs alone and in its turn; environments
// run side by side.
func TestOrder(t *testing.T) {
	t.Parallel()
	const environments, each = 5, 6
	var (
		mu    sync.Mutex
		order = map[string][]string{}
		busy  = map[string]bool{}
		b     bench
		done  = make(chan string, environments*each)
	)
	b = open(t, database(t), jobs.Options{Execute: func(ctx context.Context, id string) error {
		op, err := b.Operation(ctx, id)
		if err != nil {
			return err
		}
		mu.Lock()
		if busy[op.EnvironmentID] {
			t.Errorf("two operations of %s at once", op.EnvironmentID)
		}
		busy[op.EnvironmentID] = true
		order[op.EnvironmentID] = append(order[op.EnvironmentID], id)
		mu.Unlock()
		if err := b.AddEvents(ctx, []orchestrator.Event{{OperationID: id, Step: "apply"}}); err != nil {
			return err
		}
		mu.Lock()
		busy[op.EnvironmentID] = false
		mu.Unlock()
		defer func() { done <- id }()
		return end(ctx, b.Store, id)
	}})
	b.start(t)
	var wg sync.WaitGroup
	for e := range environments {
		wg.Go(func() {
			name := fmt.Sprintf("qa%d", e)
			submit(t, b.Store, storetest.NewEnvironment(name, "maria", "web"))
			for i := 1; i < each; i++ {
				submit(t, b.Store, storetest.Change("e-"+name, fmt.Sprintf("%s-%d", name, i), orchestrator.KindDeploy, "web"))
			}
		})
	}
	wg.Wait()
	for range environments * each {
		after(t, "the end of an operation", done)
	}
	for e := range environments {
		name := fmt.Sprintf("qa%d", e)
		want := []string{"o-" + name}
		for i := 1; i < each; i++ {
			want = append(want, fmt.Sprintf("%s-%d", name, i))
		}
		if got := order["e-"+name]; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// An error or a panic puts an operation off and never loses it.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	var (
		b     bench
		mu    sync.Mutex
		calls int
		waits []int
		done  = make(chan struct{})
	)
	b = open(t, database(t), jobs.Options{
		Backoff: func(n int) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, n)
			return 0
		},
		Execute: func(ctx context.Context, id string) error {
			mu.Lock()
			calls++
			n := calls
			mu.Unlock()
			switch {
			case n == 2:
				panic("a bug")
			case n < 5:
				return errors.New("the disk is full")
			}
			defer close(done)
			return end(ctx, b.Store, id)
		},
	})
	b.start(t)
	submit(t, b.Store, storetest.NewEnvironment("qa", "maria", "web"))
	after(t, "the end", done)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(waits, []int{1, 2, 3, 4}) {
		t.Errorf("tries %v", waits)
	}
}

// Stop ends the context of what runs, with no person's cause, and the next
// start runs it again at once.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	path := database(t)
	begun := make(chan string, 1)
	cause := make(chan error, 1)
	first := open(t, path, jobs.Options{Execute: func(ctx context.Context, id string) error {
		begun <- id
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	}})
	if err := first.Jobs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	submit(t, first.Store, storetest.NewEnvironment("qa", "maria", "web"))
	after(t, "the beginning", begun)
	first.stop(t)
	if err := after(t, "the cause", cause); errors.Is(err, orchestrator.ErrCanceled) {
		t.Error("a shutdown looks like a person's cancel")
	}
	again := make(chan string, 1)
	var second bench
	second = open(t, path, jobs.Options{Execute: func(ctx context.Context, id string) error {
		again <- id
		return end(ctx, second.Store, id)
	}})
	second.start(t)
	if id := after(t, "the second run", again); id != "o-qa" {
		t.Errorf("ran %s", id)
	}
}

// victim begins an operation, says so and waits to be killed.
func victim(path string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	s, err := store.Open(context.Background(), store.Options{Path: path})
	fail(err)
	j, err := jobs.New(jobs.Options{DB: s.DB(), Workers: 1, Logger: slog.New(slog.DiscardHandler), Execute: func(context.Context, string) error {
		fmt.Println("begun")
		select {}
	}})
	fail(err)
	s.SetEnqueue(j.Enqueue)
	fail(j.Start(context.Background()))
	for _, name := range []string{"qa", "qb"} { // one runs, one still waits for a worker
		_, err = s.Submit(context.Background(), storetest.NewEnvironment(name, "maria", "web"))
		fail(err)
	}
	_, err = s.Submit(context.Background(), storetest.Change("e-qa", "o1", orchestrator.KindDeploy, "web"))
	fail(err)
	fmt.Println("submitted")
	select {}
}

// A process that was killed in the midst of an operation: the next one opens
// the same database, and everything that was accepted comes to its end.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := database(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "BERTH_TEST_VICTIM="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for len(lines) < 2 {
		var line string
		if _, err := fmt.Fscanln(out, &line); err != nil {
			t.Fatalf("the process that is to be killed: %v after %v", err, lines)
		}
		lines[line] = true
	}
	if !lines["begun"] || !lines["submitted"] {
		t.Fatalf("it said %v", lines)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it should be

	ran := make(chan string, 3)
	chore := make(chan struct{}, 1)
	var b bench
	b = open(t, path, jobs.Options{
		Execute: func(ctx context.Context, id string) error {
			if err := end(ctx, b.Store, id); err != nil {
				return err
			}
			ran <- id
			return nil
		},
		Periodic: []jobs.Periodic{{Name: "expire", Every: time.Hour, Run: func(context.Context) error { chore <- struct{}{}; return nil }}},
	})
	b.start(t)
	var got []string
	for range 3 {
		got = append(got, after(t, "an operation", ran))
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"o-qa", "o-qb", "o1"}) {
		t.Errorf("ran %v", got)
	}
	after(t, "the chore", chore) // does not wait for the dead one's leadership to lapse
	left, err := b.Unended(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("not ended: %v, %v", left, err)
	}
}

// A job is inserted with its operation or not at all, and once.
func TestEnqueueIsInTheTransaction(t *testing.T) {
	t.Parallel()
	b := open(t, database(t), jobs.Options{Execute: func(context.Context, string) error { return nil }})
	defer b.Store.Close()
	count := func() (n int) {
		if err := b.DB().QueryRow(`SELECT count(*) FROM river_job`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	undo := errors.New("undo")
	b.SetEnqueue(func(ctx context.Context, tx *sql.Tx, id string) error {
		return errors.Join(b.Enqueue(ctx, tx, id), undo)
	})
	if _, err := b.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", "web")); !errors.Is(err, undo) {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d jobs of an operation that was never accepted", n)
	}
	b.SetEnqueue(b.Enqueue)
	submit(t, b.Store, storetest.NewEnvironment("qa", "maria", "web"))
	if err := b.Ensure(t.Context(), "o-qa", "o-qa"); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d jobs of one operation", n)
	}
}

// Chores run at the start, and again although one of them fails or panics.
func TestChores(t *testing.T) {
	t.Parallel()
	ran := make(chan string, 100)
	chore := func(name string, run func() error) jobs.Periodic {
		return jobs.Periodic{Name: name, Every: time.Second, Run: func(context.Context) error {
			select {
			case ran <- name:
			default:
			}
			return run()
		}}
	}
	b := open(t, database(t), jobs.Options{
		Execute: func(context.Context, string) error { return nil },
		Periodic: []jobs.Periodic{
			chore("fails", func() error { return errors.New("no") }),
			chore("panics", func() error { panic("no") }),
		},
	})
	b.start(t)
	seen := map[string]int{}
	for seen["fails"] < 2 || seen["panics"] < 2 {
		seen[after(t, "a chore", ran)]++
	}
}

// A delivery is worked through at once, tried again when that fails, and not
// lost when Berth stops in between; one that comes again starts nothing.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	path := database(t)
	worked := make(chan string, 10)
	var failures atomic.Int32
	failures.Store(1)
	deliver := func(b *bench) func(ctx context.Context, key string) error {
		return func(ctx context.Context, key string) error {
			if key == "flaky" && failures.Add(-1) >= 0 {
				return errors.New("not now")
			}
			if err := b.EndDelivery(ctx, key, storetest.Start); err != nil {
				return err
			}
			worked <- key
			return nil
		}
	}
	accept := func(b bench, key string) bool {
		t.Helper()
		fresh, err := b.AcceptDelivery(t.Context(), orchestrator.Delivery{Key: key, Door: "slack", Kind: "command", Body: []byte("{}"), ReceivedAt: storetest.Start})
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	var b bench
	b = open(t, path, jobs.Options{Execute: func(context.Context, string) error { return nil }, Deliver: deliver(&b),
		Backoff: func(int) time.Duration { return time.Millisecond }})
	accept(b, "early") // before Start: it waits in the table
	if err := b.Jobs.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := after(t, "the early one", worked); got != "early" {
		t.Errorf("got %s", got)
	}
	accept(b, "flaky")
	if got := after(t, "the second try", worked); got != "flaky" {
		t.Errorf("got %s", got)
	}
	if accept(b, "flaky") {
		t.Error("the same delivery was taken twice")
	}
	b.stop(t)

	var again bench
	again = open(t, path, jobs.Options{Execute: func(context.Context, string) error { return nil }, Deliver: deliver(&again)})
	accept(again, "late")
	again.start(t)
	if got := after(t, "the late one", worked); got != "late" {
		t.Errorf("got %s", got)
	}
	if keys, err := again.WaitingDeliveries(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("still waiting: %v, %v", keys, err)
	}
}

func TestBadChores(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), store.Options{Path: database(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := func(context.Context) error { return nil }
	for _, p := range [][]jobs.Periodic{
		{{Every: time.Second, Run: run}},
		{{Name: "a", Run: run}},
		{{Name: "a", Every: time.Second}},
		{{Name: "a", Every: time.Second, Run: run}, {Name: "a", Every: time.Second, Run: run}},
	} {
		if _, err := jobs.New(jobs.Options{DB: s.DB(), Periodic: p}); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
}

// BenchmarkLatency is how long after Submit's return an operation begins, and
// how long Open, New and Start take together.
func BenchmarkLatency(b *testing.B) {
	path := database(b)
	begun := make(chan time.Time)
	ended := make(chan struct{})
	var s bench
	opened := time.Now()
	s = open(b, path, jobs.Options{Execute: func(ctx context.Context, id string) error {
		begun <- time.Now()
		err := end(ctx, s.Store, id)
		ended <- struct{}{}
		return err
	}})
	s.start(b)
	b.Logf("open and start of an empty database: %v", time.Since(opened))
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		submit(b, s.Store, storetest.NewEnvironment(fmt.Sprintf("qa%d", i), "maria", "web"))
		from := time.Now()
		took = append(took, (<-begun).Sub(from))
		<-ended
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
