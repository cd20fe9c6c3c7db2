// Package jobs runs operations and periodic chores on River, from the same
// SQLite database and in the same transactions as the store.
//
// The workers are thin: what an operation is and how it ends is the executor's
// business and is kept in the store's own tables. A job only says that
// somebody has to look after an operation, and it stays until the executor
// says that the operation has ended.
package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

const (
	// operationsQueue and choresQueue are apart, so that long operations
	// never keep the expiry of environments waiting.
	operationsQueue = river.QueueDefault
	choresQueue     = "chores"
	// deliveriesQueue is what doors were told: many, and each soon done.
	deliveriesQueue = "deliveries"

	// pollEvery finds what nobody told about: jobs whose time has come (a
	// retry, a chore). New operations do not wait for it; see listener.
	pollEvery = time.Second
	// fetchCooldown is how long after one fetch the next may follow.
	fetchCooldown = 5 * time.Millisecond

	// Our own tables are the history; River's rows only show ops what its
	// workers did lately.
	keepCompleted = time.Hour
	keepDiscarded = 24 * time.Hour
)

// Options say what to run and how.
type Options struct {
	// DB is the store's writing connection.
	DB *sql.DB
	// Execute brings an operation to its end and returns nil, or returns an
	// error when that has to be tried again later. It may be called again for
	// the same operation, but never twice at the same time.
	Execute func(ctx context.Context, operationID string) error
	// Periodic are the chores, each at the start and then at its interval.
	Periodic []Periodic
	// Deliver works through what a door was told and returns nil, or returns an
	// error when that has to be tried again. It may be called again for the same
	// key, but never twice at the same time. Nil: there are no deliveries.
	Deliver func(ctx context.Context, key string) error
	// Workers is how many operations run at the same time; 0 means 8.
	Workers int
	// Deliverers is how many deliveries are worked through at the same time;
	// 0 means 16.
	Deliverers int
	// Timeout is how long one call of Execute may take before its context
	// ends; the operation is then tried again. 0 means two hours.
	Timeout time.Duration
	// Logger is where troubles go; nil means slog.Default.
	Logger *slog.Logger
	// Backoff is how long to wait after n calls of Execute in a row have
	// failed (n from 1); nil means a second, doubled each time, up to a minute.
	Backoff func(n int) time.Duration
}

// Periodic is a chore. An error is logged; the next turn comes anyway.
type Periodic struct {
	Every time.Duration
	Name  string
	Run   func(ctx context.Context) error
}

// Jobs is a River client on the store's database.
type Jobs struct {
	client *river.Client[*sql.Tx]
	db     *sql.DB
	log    *slog.Logger
	wake   bells

	// cancel ends the context of whatever runs, at Stop.
	cancel context.CancelFunc
}

// New brings River's tables up to date and makes the client. Nothing runs
// before Start; Enqueue works at once.
func New(o Options) (*Jobs, error) {
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Deliverers == 0 {
		o.Deliverers = 16
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	j := &Jobs{db: o.DB, log: o.Logger, wake: bells{operations: make(bell, 1), deliveries: make(bell, 1)}}
	d := &driver{Driver: riversqlite.New(o.DB), wake: j.wake}

	// River reports every little thing that it does; only troubles matter.
	quiet := slog.New(atLeast{o.Logger.Handler(), slog.LevelWarn})
	migrator, err := rivermigrate.New(d, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("preparing the job tables: %w", err)
	}
	if _, err := migrator.Migrate(context.Background(), rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("bringing the job tables up to date: %w", err)
	}

	workers := river.NewWorkers()
	river.AddWorker(workers, &operationWorker{execute: o.Execute, backoff: o.Backoff, log: o.Logger, timeout: o.Timeout, running: map[string]bool{}})
	chores := map[string]func(context.Context) error{}
	var periodic []*river.PeriodicJob
	for _, p := range o.Periodic {
		if p.Name == "" || p.Every <= 0 || p.Run == nil || chores[p.Name] != nil {
			return nil, fmt.Errorf("the chore %q needs a name of its own, an interval and something to run", p.Name)
		}
		chores[p.Name] = p.Run
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(p.Every),
			func() (river.JobArgs, *river.InsertOpts) { return choreArgs{Name: p.Name}, nil },
			&river.PeriodicJobOpts{RunOnStart: true}))
	}
	river.AddWorker(workers, &choreWorker{chores: chores, log: o.Logger, timeout: o.Timeout})

	queues := map[string]river.QueueConfig{
		operationsQueue: {MaxWorkers: o.Workers},
		choresQueue:     {MaxWorkers: 2},
	}
	if o.Deliver != nil {
		queues[deliveriesQueue] = river.QueueConfig{MaxWorkers: o.Deliverers}
		river.AddWorker(workers, &deliveryWorker{deliver: o.Deliver, backoff: o.Backoff, log: o.Logger})
	}
	j.client, err = river.NewClient(d, &river.Config{
		Queues:            queues,
		Workers:           workers,
		PeriodicJobs:      periodic,
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: pollEvery,
		JobTimeout:        o.Timeout,
		// A job that outlives its timeout is looked at again an hour later.
		// Should it still be at work, the worker's own list keeps a second
		// one from beginning. What a dead process left is taken back by
		// Start and does not wait for this.
		RescueStuckJobsAfter:        o.Timeout + time.Hour,
		CompletedJobRetentionPeriod: keepCompleted,
		CancelledJobRetentionPeriod: keepCompleted,
		DiscardedJobRetentionPeriod: keepDiscarded,
		// SQLite's indexes do not bloat as PostgreSQL's do.
		ReindexerSchedule: neverSchedule{},
		Logger:            quiet,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the jobs: %w", err)
	}
	return j, nil
}

// Enqueue inserts the job of an operation in tx. An operation whose job still
// waits or runs gets no second one.
func (j *Jobs) Enqueue(ctx context.Context, tx *sql.Tx, operationID string) error {
	if _, err := j.client.InsertTx(ctx, tx, operationArgs{OperationID: operationID}, nil); err != nil {
		return fmt.Errorf("inserting the job of the operation %s: %w", operationID, err)
	}
	j.wake.operations.ring()
	return nil
}

// EnqueueDelivery inserts the job of a delivery in tx, once.
func (j *Jobs) EnqueueDelivery(ctx context.Context, tx *sql.Tx, key string) error {
	if _, err := j.client.InsertTx(ctx, tx, deliveryArgs{Key: key}, nil); err != nil {
		return fmt.Errorf("inserting the job of the delivery %s: %w", key, err)
	}
	j.wake.deliveries.ring()
	return nil
}

// Ensure inserts the jobs of operations that should be running and have none.
func (j *Jobs) Ensure(ctx context.Context, operationIDs ...string) error {
	return j.ensure(ctx, j.Enqueue, operationIDs)
}

// EnsureDeliveries inserts the jobs of deliveries that wait and have none.
func (j *Jobs) EnsureDeliveries(ctx context.Context, keys ...string) error {
	return j.ensure(ctx, j.EnqueueDelivery, keys)
}

func (j *Jobs) ensure(ctx context.Context, enqueue func(context.Context, *sql.Tx, string) error, all []string) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	for _, one := range all {
		if err := enqueue(ctx, tx, one); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Start takes back what an earlier process left and begins to work. The end
// of ctx does not stop it; Stop does.
func (j *Jobs) Start(ctx context.Context) error {
	if err := j.reclaim(ctx); err != nil {
		return fmt.Errorf("taking back the jobs of an earlier process: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.cancel = cancel
	if err := j.client.Start(run); err != nil {
		cancel()
		return fmt.Errorf("starting the jobs: %w", err)
	}
	return nil
}

// reclaim makes the operations' jobs that a dead process was at, or that wait
// for another try, available at once: this process is the only one on this
// database. It also takes the dead one's leadership, which would keep the
// chores waiting until it lapses.
func (j *Jobs) reclaim(ctx context.Context) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	// River compares times as text of exactly this form.
	now := time.Now().UTC().Format("2006-01-02 15:04:05.000")
	if _, err := tx.ExecContext(ctx, `UPDATE river_job SET state = 'available', scheduled_at = ?
		WHERE kind IN (?, ?) AND state IN ('running', 'retryable', 'scheduled', 'available')`, now, operationArgs{}.Kind(), deliveryArgs{}.Kind()); err != nil {
		return err
	}
	// A chore comes again by itself.
	if _, err := tx.ExecContext(ctx, `DELETE FROM river_job WHERE kind = ? AND finalized_at IS NULL`, choreArgs{}.Kind()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM river_leader`); err != nil {
		return err
	}
	return tx.Commit()
}

// Stop ends the contexts of whatever runs, with a cause that is no person's
// cancel, and waits for it until ctx ends. What was interrupted runs again at
// the next Start.
func (j *Jobs) Stop(ctx context.Context) error {
	if j.cancel == nil {
		return nil
	}
	defer j.cancel()
	return j.client.StopAndCancel(ctx)
}

type operationArgs struct {
	OperationID string `json:"operation_id"`
}

// Kind is the job's name in River's tables.
func (operationArgs) Kind() string { return "operation" }

// InsertOpts makes an operation's job unique while it has not been completed.
func (operationArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: operationsQueue,
		// The worker never fails, it puts the job off: attempts do not count.
		MaxAttempts: 1000,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

type operationWorker struct {
	river.WorkerDefaults[operationArgs]
	execute func(ctx context.Context, operationID string) error
	backoff func(n int) time.Duration
	log     *slog.Logger
	timeout time.Duration

	mu      sync.Mutex
	running map[string]bool
}

// Timeout is River's per-job limit.
func (w *operationWorker) Timeout(*river.Job[operationArgs]) time.Duration { return w.timeout }

// Work calls Execute. Whatever goes wrong there puts the job off and never
// loses it: only the end of the operation completes it.
func (w *operationWorker) Work(ctx context.Context, job *river.Job[operationArgs]) error {
	id := job.Args.OperationID
	w.mu.Lock()
	if w.running[id] {
		w.mu.Unlock()
		return river.JobSnooze(time.Minute)
	}
	w.running[id] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.running, id)
		w.mu.Unlock()
	}()

	err := guard(func() error { return w.execute(ctx, id) })
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return river.JobSnooze(0) // Berth is stopping: first thing at the next start
	}
	tries := snoozes(job.Metadata) + 1
	wait := w.backoff(tries)
	w.log.Error("an operation has to be tried again", "operation", id, "try", tries, "wait", wait, "error", err)
	return river.JobSnooze(wait)
}

// snoozes is how often River has put a job off, as it notes there.
func snoozes(metadata []byte) int {
	var m struct {
		Snoozes int `json:"snoozes"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return 0 // then the wait is a short one
	}
	return m.Snoozes
}

// backoff doubles from a second to a minute.
func backoff(n int) time.Duration {
	return min(time.Second<<min(n-1, 6), time.Minute)
}

// guard turns a panic into an error, so that it is handled like any other.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

type deliveryArgs struct {
	Key string `json:"key"`
}

// Kind is the job's name in River's tables.
func (deliveryArgs) Kind() string { return "delivery" }

// InsertOpts makes a delivery's job unique while it has not been completed.
func (deliveryArgs) InsertOpts() river.InsertOpts {
	o := operationArgs{}.InsertOpts()
	o.Queue = deliveriesQueue
	return o
}

type deliveryWorker struct {
	river.WorkerDefaults[deliveryArgs]
	deliver func(ctx context.Context, key string) error
	backoff func(n int) time.Duration
	log     *slog.Logger
}

// deliveryTimeout bounds the work on one delivery: a branch check and a few
// calls to the door's service.
const deliveryTimeout = 2 * time.Minute

// Timeout is River's per-job limit.
func (w *deliveryWorker) Timeout(*river.Job[deliveryArgs]) time.Duration { return deliveryTimeout }

// Work calls Deliver. Whatever goes wrong puts the job off; whether it is
// worth another try is Deliver's business.
func (w *deliveryWorker) Work(ctx context.Context, job *river.Job[deliveryArgs]) error {
	err := guard(func() error { return w.deliver(ctx, job.Args.Key) })
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return river.JobSnooze(0) // Berth is stopping: first thing at the next start
	}
	tries := snoozes(job.Metadata) + 1
	wait := w.backoff(tries)
	w.log.Error("a delivery has to be tried again", "delivery", job.Args.Key, "try", tries, "wait", wait, "error", err)
	return river.JobSnooze(wait)
}

type choreArgs struct {
	Name string `json:"name"`
}

// Kind is the job's name in River's tables.
func (choreArgs) Kind() string { return "chore" }

// InsertOpts keeps a chore from piling up behind itself.
func (choreArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: choresQueue, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

type choreWorker struct {
	river.WorkerDefaults[choreArgs]
	chores  map[string]func(context.Context) error
	log     *slog.Logger
	timeout time.Duration
}

// Timeout is River's per-job limit.
func (w *choreWorker) Timeout(*river.Job[choreArgs]) time.Duration { return w.timeout }

// Work runs one turn of a chore; it is complete whatever comes of it.
func (w *choreWorker) Work(ctx context.Context, job *river.Job[choreArgs]) error {
	run := w.chores[job.Args.Name]
	if run == nil {
		return nil // of another version of Berth
	}
	if err := guard(func() error { return run(ctx) }); err != nil && ctx.Err() == nil {
		w.log.Error("a chore failed", "chore", job.Args.Name, "error", err)
	}
	return nil
}

type neverSchedule struct{}

// Next is far away.
func (neverSchedule) Next(t time.Time) time.Time { return t.AddDate(100, 0, 0) }

// atLeast passes records from a level on.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}
func (h atLeast) WithGroup(n string) slog.Handler { return atLeast{h.Handler.WithGroup(n), h.level} }

// bell wakes one waiter; ringing twice is ringing once.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}

// bells are what wakes River's queues.
type bells struct{ operations, deliveries bell }

// driver is River's SQLite driver with another way to hear of new jobs. River
// asks the database twenty times a second; but only this process inserts jobs
// here, so it can be told, sooner and without waking an idle machine.
type driver struct {
	*riversqlite.Driver
	wake bells
}

// GetListener gives the listener that River's notifier waits on.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{Listener: d.Driver.GetListener(params), wake: d.wake}
}

// listener says that there are new jobs when Enqueue says so. The
// notes of River's own services (a retry, a chore, a new leader) are left to
// its polling.
type listener struct {
	riverdriver.Listener
	wake bells
}

// WaitForNotification waits until a job was inserted and committed. The wake
// comes from within the transaction; a ping has to wait for the one connection
// and so for the transaction's end.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	var rung bell
	queue := operationsQueue
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.wake.operations:
		rung = l.wake.operations
	case <-l.wake.deliveries:
		rung, queue = l.wake.deliveries, deliveriesQueue
	}
	if err := l.Ping(ctx); err != nil {
		rung.ring() // River waits again: it must not be forgotten
		return nil, err
	}
	return &riverdriver.Notification{Topic: "river_insert", Payload: `{"queue":` + strconv.Quote(queue) + `}`}, nil
}
