package orchestrator

import (
	"context"
	"time"
)

// Checker resolves what a person typed for an app's branch (a branch, commit,
// pull request or GitHub address) to a pinned commit, or answers an *Error.
type Checker interface {
	Resolve(ctx context.Context, app App, ref string) (Resolved, error)
}

// Resolved is a checked branch. Branch is the real branch's name.
type Resolved struct {
	Branch string
	Commit string
}

// Catalogs gives the catalog in force.
type Catalogs interface {
	Current() *Catalog
}

// Policy says who may do what; each answers nil or an *Error. Count is how
// many live environments the actor owns.
type Policy interface {
	Allow(c *Catalog, a Actor, verb Verb, owner string) error
	Quota(c *Catalog, a Actor, count int) error
	Lifetime(c *Catalog, asked time.Duration) (time.Duration, error)
}

// Provisioner makes and destroys machines. Apply and Destroy are safe to call
// again with the same run ID: they attach to what still runs, or give the
// result of what has ended. Canceling ctx with cause ErrCanceled interrupts
// the run and waits for its end; any other cancelation detaches and leaves it
// running. A failure is a *ProvisionError.
type Provisioner interface {
	Apply(ctx context.Context, w Workspace, run string, progress func(step, text string)) (map[string]Machine, error)
	Destroy(ctx context.Context, environmentID, run string, progress func(step, text string)) error
	// Reconcile is to be called before an apply that is going to have the name
	// run. Where an earlier run has died it looks for what that one has made and
	// nobody knows of, removes it, and gives the IDs of the servers that it was
	// meant for. What it cannot find out about is a *ProvisionError with Unknown.
	Reconcile(ctx context.Context, environmentID, run string, progress func(step, text string)) (removed []string, err error)
	// Look compares what an environment should have with what there is. It
	// changes nothing.
	Look(ctx context.Context, environmentID string) (Sight, error)
}

// ProvisionError is a failed Terraform run: Log is its JSON event log (lines
// of `terraform apply -json`, or init's text), to be diagnosed. Lost says that
// the run died without a result and the outcome is uncertain, Began that it had
// begun to make or change something. Of a run that failed, Known says that
// Made (the IDs of the servers that are whole) and Left (all that there is) are
// known; Nameless that among what there is no machine could be told, so that Made
// says nothing. Unknown is what an earlier run had begun to make when it died and that
// the target's module cannot look for.
type ProvisionError struct {
	Log         string
	Lost, Began bool
	Known       bool
	Made        []string
	Left        []Thing
	Nameless    bool
	Unknown     []string
	Err         error
}

func (e *ProvisionError) Error() string { return e.Err.Error() }
func (e *ProvisionError) Unwrap() error { return e.Err }

// Diagnoser turns evidence into causes.
type Diagnoser interface {
	// Report explains what a server has reported; hide takes what is secret out
	// of a text.
	Report(app App, branch string, r Report, hide func(string) string) Diagnosis
	Terraform(log string) Diagnosis
}

// Submission is what one accepted command writes, in one transaction: the
// environment when New, servers to add, the operation (queued, with its place,
// when another one of the environment has not ended; running needs its job)
// and its first event.
type Submission struct {
	New         bool
	Environment Environment // without Servers
	Servers     []Server    // to insert; Port (but for an app without one) and UID are allotted in the transaction when NeedPort
	NeedPort    bool
	Operation   Operation
	Event       Event
	Origin      Origin
}

// Cancellation asks for the end of an operation. Key names the delivery that
// brought it, empty for none: it counts once.
type Cancellation struct {
	OperationID string
	Key         string
	At          time.Time
}

// Ending is the end of an operation, written in one transaction together with
// the start of the next queued one of the environment.
type Ending struct {
	OperationID string
	Status      OperationStatus
	At          time.Time
	Environment Status
	Diagnosis   *Diagnosis
	// Occurrences are its causes, to be remembered.
	Occurrences []Occurrence
	Event       Event
	// Show is where the end is shown although nobody has followed the
	// operation; empty: nowhere.
	Show Origin
}

// Ledger is where an operation's course is written.
type Ledger interface {
	Start(ctx context.Context, operationID string, at time.Time, environment Status, servers map[string]Status) error
	End(ctx context.Context, e Ending) error
	AddEvents(ctx context.Context, events []Event) error
	CancelRequested(ctx context.Context, operationID string) (bool, error)
	// TryAgain notes that an attempt has failed and that another one follows.
	TryAgain(ctx context.Context, t Try, e Event) error
}

// Servers is what the executor changes on servers.
type Servers interface {
	UpdateServer(ctx context.Context, id string, change func(*Server) error) (Server, error)
	RemoveServer(ctx context.Context, id string) error
	// SetPort gives a server another port: with own a free one of this
	// machine, whatever port is, else port itself. 0: it listens nowhere.
	SetPort(ctx context.Context, id string, port int, own bool) error
	SetToken(ctx context.Context, serverID, tokenHash string, expires time.Time) error
	// ProlongToken lets a server's token be presented until expires; with unbind
	// by another machine than the one that has presented it.
	ProlongToken(ctx context.Context, serverID string, expires time.Time, unbind bool) error
	LastReport(ctx context.Context, serverID string, generation int) (*Report, error)
	// Reports gives those that are kept, the newest first.
	Reports(ctx context.Context, serverID string, generation int) ([]Report, error)
}

// Watcher tells of every committed change; stop ends it.
type Watcher interface {
	Watch() (changed <-chan struct{}, stop func())
}
