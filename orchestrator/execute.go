package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Executor brings operations to their end. Execute may be called again for
// the same operation after any interruption: every step is idempotent.
type Executor struct {
	Operations   Operations
	Environments Environments
	Ledger       Ledger
	Servers      Servers
	Watcher      Watcher
	Catalogs     Catalogs
	Provisioner  Provisioner
	Diagnoser    Diagnoser
	// Checker looks once more at a branch that a server has not found. Nil: it
	// is not looked for.
	Checker Checker
	// History and Works tell with which code a failure did not come. Nil: nobody
	// does.
	History  Historian
	Works    Works
	Settings SettingsReader
	States   func(catalogStates string) (digest string, err error)
	UserData func(t Target, b Boot) (string, error)
	// Sweep removes what Terraform may have left of a server: its folder,
	// processes and port on the local target. Nil: nothing to sweep.
	Sweep func(ctx context.Context, v Server) error
	// Wake makes sure that the agent of a server on this machine runs and
	// knows where Berth is. Nil: no server is on this machine.
	Wake  func(ctx context.Context, v Server) error
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	Log   *slog.Logger
	// Logs gives the end of what a server has printed, at most limit bytes; nil:
	// nobody keeps it.
	Logs func(environmentID, app string, limit int) (string, error)
	// RunLog gives the log of an operation's work on machines, empty for none;
	// nil: nobody keeps it.
	RunLog func(environmentID, operationID string) (string, error)
	// OwnersPlace says where an owner is told of what Berth did by itself; nil:
	// nowhere.
	OwnersPlace func(ctx context.Context, e Environment) Origin
	// Present says whether a server of this machine has what it runs in. Nil:
	// all have.
	Present func(v Server) bool
	// PublicURL is where agents call home, CA what they pin.
	PublicURL string
	CA        string
	// CallHome is how long a server's agent may stay silent, Converge how long
	// a server may take in all.
	CallHome, Converge time.Duration
	// Limit is how long an operation may take: then what it is at is
	// interrupted, and it has failed. 0: two hours.
	Limit time.Duration
	// RetryAfter is how long Berth waits before it tries once more what failed
	// for a reason that may pass by itself; longer where that takes its time.
	// 0: it does not try by itself.
	RetryAfter     time.Duration
	InstallationID string

	masks masks
}

// Execute runs one operation to its end and returns nil, or returns an error
// when it has to be run again later (shutdown, storage trouble).
func (x *Executor) Execute(ctx context.Context, operationID string) error {
	op, err := x.Operations.Operation(ctx, operationID)
	if err != nil {
		return err
	}
	if op.Status.Ended() {
		return nil
	}
	e, err := x.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go x.watchCancel(ctx, op, cancel)

	r := &run{Executor: x, op: op, env: e, began: x.Now()}
	if op.StartedAt != nil {
		r.began = *op.StartedAt
	}
	for {
		status, err := r.attempt(ctx)
		var f *failure
		if ctx.Err() != nil || !errors.As(err, &f) {
			return r.end(ctx, status, err)
		}
		t, ok := r.again(f)
		if !ok {
			r.fresh(ctx, &f.diagnosis)
			r.compare(ctx, &f.diagnosis)
			f.diagnosis.Causes = append(f.diagnosis.Causes, f.also...)
			return r.end(ctx, status, err)
		}
		if err := x.Ledger.TryAgain(ctx, t, r.announce(t)); err != nil {
			return err
		}
		x.Log.Info("an operation is tried again", "operation", op.ID, "environment", e.ID, "at", t.AgainAt, "reason", t.Sentence)
		r.op.Tries = append(r.op.Tries, t)
	}
}

// attempt does all that the operation asks for and has not been done yet.
func (r *run) attempt(ctx context.Context) (Status, error) {
	if err := r.pause(ctx); err != nil {
		return "", err
	}
	switch r.op.Kind {
	case KindDestroy:
		return r.destroy(ctx)
	case KindServerDestroy:
		return r.destroyServers(ctx)
	case KindRepair:
		return r.repair(ctx)
	}
	if err := r.reload(ctx); err != nil {
		return "", err
	}
	return r.converge(ctx)
}

// watchCancel cancels ctx with ErrCanceled once somebody asked for it, with
// ErrOverdue when the operation's time is up.
func (x *Executor) watchCancel(ctx context.Context, op Operation, cancel context.CancelCauseFunc) {
	changed, stop := x.Watcher.Watch()
	defer stop()
	overdue := x.After(x.left(op))
	for {
		if asked, err := x.Ledger.CancelRequested(ctx, op.ID); err == nil && asked {
			cancel(ErrCanceled)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-overdue:
			cancel(ErrOverdue)
			return
		case <-changed:
		}
	}
}

// left is how long an operation may still take. One that was under way while
// Berth was down gets a while to show how far it came meanwhile.
func (x *Executor) left(op Operation) time.Duration {
	left := x.limit()
	if op.StartedAt != nil {
		left -= x.Now().Sub(*op.StartedAt)
	}
	return max(left, 10*time.Minute)
}

func (x *Executor) limit() time.Duration {
	if x.Limit == 0 {
		return 2 * time.Hour
	}
	return x.Limit
}

// run is one execution of one operation.
type run struct {
	*Executor
	op  Operation
	env Environment
	// began is when the operation did, whichever process it was.
	began time.Time
}

// failure ends an operation as failed, with what is known.
type failure struct {
	diagnosis Diagnosis
	// machines says that the machines could not be made, begun that some may be
	// half made somewhere; servers are the generations that failed.
	// silent says that a server was waited for in vain: it would not hear of
	// another try either.
	machines, begun, silent bool
	servers                 map[string]int
	// also is what is told besides the reasons: what is there now.
	also []Cause
}

func (f *failure) Error() string {
	if len(f.diagnosis.Causes) > 0 {
		return f.diagnosis.Causes[0].Sentence
	}
	return "the operation failed"
}

func (r *run) say(ctx context.Context, server, step, text string) {
	err := r.Ledger.AddEvents(ctx, []Event{{OperationID: r.op.ID, At: r.Now(), Server: server, Step: step, Text: text}})
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("an event was not written", "operation", r.op.ID, "error", err)
	}
}

func (r *run) target() (Target, error) { return targetOf(r.Catalogs.Current(), r.env) }

func (r *run) reload(ctx context.Context) error {
	e, err := r.Environments.EnvironmentByID(ctx, r.env.ID)
	if err == nil {
		r.env = e
	}
	return err
}
