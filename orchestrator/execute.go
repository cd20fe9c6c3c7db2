package orchestrator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

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

// end writes the operation's end; a shutdown is no end and comes back as an
// error, so that the job runs again.
func (r *run) end(ctx context.Context, status Status, err error) error {
	ending := Ending{OperationID: r.op.ID, At: r.Now(), Environment: status, Status: OperationSucceeded}
	canceled := errors.Is(context.Cause(ctx), ErrCanceled)
	var f *failure
	switch {
	case err == nil:
	case canceled:
		r.halt(ctx)
		ending.Status = OperationCanceled
		ending.Diagnosis = &Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownCanceled.of("", "")}}
	case errors.Is(context.Cause(ctx), ErrOverdue):
		r.halt(ctx)
		ending.Status = OperationFailed
		ending.Diagnosis = &Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownOverdue.of("", Duration(r.limit()))}}
	case ctx.Err() != nil:
		return err
	case errors.As(err, &f):
		ending.Status, ending.Diagnosis = OperationFailed, &f.diagnosis
		r.tried(ending.Diagnosis, ending.At)
	default:
		d := r.surprise(err)
		ending.Status, ending.Diagnosis = OperationFailed, &d
	}
	if err != nil && status == "" {
		ending.Environment = StatusFailed
	}
	text := string(ending.Status)
	if err == nil && len(r.op.Tries) > 0 {
		text += ", at the second try"
	}
	r.destroysAgain(ctx, &ending)
	if d := ending.Diagnosis; d != nil {
		d.unnamed()
		d.fingerprint(r.env, r.op.ID)
		ending.Occurrences = d.occurrences(r.env, r.op.ID, ending.At)
		d.fold()
		d.ask(r.env, r.op, ending.At)
		if len(d.Causes) > 0 {
			text = named(d.Causes[0].Sentence, r.env.Name)
		}
	}
	ending.Event = Event{OperationID: r.op.ID, At: ending.At, Step: string(ending.Status), Text: text}
	ending.Show = r.toOwner(ctx, ending)
	return r.Ledger.End(context.WithoutCancel(ctx), ending)
}

// halt tells the agents that this operation still waits for to give up.
func (r *run) halt(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if err := r.reload(ctx); err != nil {
		r.Log.Warn("the agents were not told to give up", "operation", r.op.ID, "error", err)
		return
	}
	for _, v := range r.env.Servers {
		if !r.mine(v) || v.Status != StatusCreating && v.Status != StatusDeploying {
			continue
		}
		_, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			var d Desired
			if err := json.Unmarshal(s.Desired, &d); err != nil {
				return fmt.Errorf("reading the desired state of %s: %w", s.ID, err)
			}
			s.Generation++
			d.Generation, d.Halt = s.Generation, true
			doc, err := json.Marshal(d)
			s.Desired = doc
			return err
		})
		if err != nil {
			r.Log.Warn("an agent was not told to give up", "server", v.Name, "error", err)
		}
	}
}

// surprise makes a diagnosis of an error that nobody foresaw: an Error keeps
// its words, the rest is for the log.
func (r *run) surprise(err error) Diagnosis {
	c := ownSurprise.of("", r.op.ID)
	var e *Error
	if errors.As(err, &e) {
		c.Code, c.Sentence, c.Next = string(e.Code), e.Message, "berth env retry "+itself
		switch {
		case strings.Contains(e.Hint, "env retry"):
			c.Next = e.Hint
		case e.Hint != "":
			c.Next = strings.TrimSuffix(e.Hint, ".") + "; then: " + c.Next
		}
		if e.Cause != nil {
			r.Log.Error("operation failed", "operation", r.op.ID, "environment", r.env.ID, "error", e.Cause)
		}
	} else {
		r.Log.Error("operation failed", "operation", r.op.ID, "environment", r.env.ID, "error", err)
	}
	return Diagnosis{Outcome: OutcomeFailed, Causes: []Cause{c}, Total: 1}
}

func (r *run) say(ctx context.Context, server, step, text string) {
	err := r.Ledger.AddEvents(ctx, []Event{{OperationID: r.op.ID, At: r.Now(), Server: server, Step: step, Text: text}})
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("an event was not written", "operation", r.op.ID, "error", err)
	}
}

// converge makes the machines that lack, sets what each server should be and
// waits until all that were touched have reported.
func (r *run) converge(ctx context.Context) (Status, error) {
	status := StatusDeploying
	if r.op.Kind == KindCreate {
		status = StatusCreating
	}
	touched := map[string]Status{}
	for _, v := range r.env.Servers {
		if slices.Contains(r.op.Apps, v.App) {
			touched[v.ID] = status
			if v.Generation == 0 {
				touched[v.ID] = StatusCreating
			}
		}
	}
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), status, touched); err != nil {
		return "", err
	}
	target, err := r.target()
	if err != nil {
		return "", err
	}
	return r.build(ctx, target)
}

// build makes the machines that lack, points each server at what it should be and waits for it.
func (r *run) build(ctx context.Context, target Target) (Status, error) {
	if err := r.ports(ctx, target); err != nil {
		return "", err
	}
	if target.Module == "local" {
		// The address is known before the machine is: everything starts at once.
		if err := r.address(ctx, nil); err != nil {
			return "", err
		}
		if err := r.desireAll(ctx); err != nil {
			return "", err
		}
	}
	unmade, err := r.unmade(ctx)
	if err != nil {
		return "", err
	}
	closed, err := r.closed(ctx, target)
	if err != nil {
		return "", err
	}
	if r.op.Kind != KindDeploy || unmade || closed {
		machines, err := r.apply(ctx, target)
		if err != nil {
			return "", err
		}
		if err := r.address(ctx, machines); err != nil {
			return "", err
		}
	}
	if err := r.desireAll(ctx); err != nil {
		return "", err
	}
	return r.await(ctx)
}

// unmade says whether machines may lack or be half gone: then even a deploy
// has to make them first.
func (r *run) unmade(ctx context.Context) (bool, error) {
	if slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.Machine == MachineMissing }) {
		return true, nil
	}
	ops, err := r.Operations.Operations(ctx, r.env.ID) // newest first
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if op.ID == r.op.ID || op.StartedAt == nil || !op.Status.Ended() || op.Kind.Label() {
			continue
		}
		if op.Status == OperationSucceeded {
			return false, nil
		}
		if op.Kind == KindDeploy {
			continue
		}
		return op.Kind == KindDestroy || op.Kind == KindServerDestroy ||
			slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.LastSeen == nil }), nil
	}
	return false, nil
}

func (r *run) target() (Target, error) { return targetOf(r.Catalogs.Current(), r.env) }

func (r *run) reload(ctx context.Context) error {
	e, err := r.Environments.EnvironmentByID(ctx, r.env.ID)
	if err == nil {
		r.env = e
	}
	return err
}

// ports gives each server that this operation changes the port that the
// catalog has for its app now; on this machine one of its own, and another one
// where a foreign program has taken it.
func (r *run) ports(ctx context.Context, target Target) error {
	own := target.Module == "local"
	for _, ch := range r.op.Changes {
		a, ok := r.Catalogs.Current().App(ch.App)
		i := slices.IndexFunc(r.env.Servers, func(v Server) bool { return v.App == ch.App })
		if !ok || i < 0 {
			continue
		}
		v := r.env.Servers[i]
		if own && a.Port != 0 && v.Port != 0 {
			last, err := r.Servers.LastReport(ctx, v.ID, v.Generation)
			if err != nil {
				return err
			}
			if last == nil || last.Healthy || !last.PortTaken {
				continue
			}
			r.say(ctx, v.Name, "configuring", fmt.Sprintf("another program has taken port %d: it gets another one", v.Port))
		} else if a.Port == v.Port {
			continue
		}
		if err := r.Servers.SetPort(ctx, v.ID, a.Port, own && a.Port != 0); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// address notes where each server is; machines is nil for the local target.
func (r *run) address(ctx context.Context, machines map[string]Machine) error {
	for _, v := range r.env.Servers {
		address, public := "127.0.0.1", "127.0.0.1"
		if machines != nil {
			m, ok := machines[v.ID]
			if !ok || m.Address == "" {
				continue
			}
			address, public = m.Address, m.Address
			if m.PrivateAddress != "" {
				address = m.PrivateAddress
			}
		}
		if v.Address == address && v.URL == urlAt(public, v.Port) {
			continue
		}
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			s.Address, s.URL = address, urlAt(public, s.Port)
			return nil
		}); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// apply renders the workspace as the environment's servers are and applies it.
func (r *run) apply(ctx context.Context, target Target, without ...string) (map[string]Machine, error) {
	if err := r.reconcile(ctx, r.provisioning()); err != nil {
		return nil, err
	}
	if err := r.renewGone(ctx, target); err != nil {
		return nil, err
	}
	w, err := r.workspace(ctx, target, without)
	if err != nil {
		return nil, err
	}
	r.say(ctx, "", "apply", "making the servers")
	machines, err := r.Provisioner.Apply(ctx, w, r.provisioning(), r.tell(ctx))
	if err := r.noteMachines(ctx, target, w, machines, err); err != nil {
		return nil, err
	}
	return machines, r.provisioned(ctx, err, target.Module != "local")
}

// tell says how far Terraform has come.
func (r *run) tell(ctx context.Context) func(step, text string) {
	return func(step, text string) { r.say(ctx, "", step, text) }
}

// provisioned turns a failed Terraform run into a failure with its causes. What
// broke off elsewhere than on this machine may have left machines that nobody
// knows of; here another run takes up whatever is there.
func (r *run) provisioned(ctx context.Context, err error, elsewhere bool) error {
	var p *ProvisionError
	if err == nil || ctx.Err() != nil || !errors.As(err, &p) {
		return err
	}
	r.Log.Error("provisioning failed", "operation", r.op.ID, "environment", r.env.ID, "lost", p.Lost, "error", p.Err)
	if len(p.Unknown) > 0 {
		return r.unknown(p)
	}
	if p.Lost {
		// What it has made is looked for now: after that another try is safe.
		if elsewhere && r.op.Kind != KindDestroy {
			if err := r.reconcile(ctx, r.attemptName(1)); err != nil {
				return err
			}
		}
		return &failure{machines: true, diagnosis: Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownLost.of("", "")}}}
	}
	f := &failure{machines: true, begun: elsewhere && p.Began, diagnosis: r.Diagnoser.Terraform(p.Log)}
	if elsewhere && p.Known {
		f.also = r.stock(p)
	}
	return f
}

func (r *run) workspace(ctx context.Context, target Target, without []string) (Workspace, error) {
	c := r.Catalogs.Current()
	w := Workspace{EnvironmentID: r.env.ID, Target: target, State: c.State, Tags: map[string]string{
		TagEnvironment: r.env.ID, TagOwner: r.env.Owner, TagInstallation: r.InstallationID}}
	size, _ := c.Size(r.env.Size)
	waiting, err := r.waiting(ctx)
	if err != nil {
		return w, err
	}
	without = append(slices.Clip(without), waiting...)
	for _, v := range r.env.Servers {
		if slices.Contains(without, v.App) {
			continue
		}
		if v.UserData == "" {
			if v, err = r.userData(ctx, c, target, v); err != nil {
				return w, err
			}
		} else if v.LastSeen == nil {
			// Its machine may only be made now, long after its token was.
			if err := r.Servers.ProlongToken(ctx, v.ID, r.Now().Add(tokenLife), false); err != nil {
				return w, err
			}
		}
		w.Servers = append(w.Servers, WorkspaceServer{ID: v.ID, App: v.App, Variables: size.Variables[target.Name], UserData: v.UserData, Port: v.Port, UID: v.UID})
	}
	for i := range w.Servers {
		w.Servers[i].NeededBy = neededBy(c, r.env, w.Servers, w.Servers[i].App)
	}
	return w, nil
}

// waiting names the apps whose servers belong to an operation that still
// waits: they may be canceled with it.
func (r *run) waiting(ctx context.Context) ([]string, error) {
	ops, err := r.Operations.Operations(ctx, r.env.ID)
	if err != nil {
		return nil, err
	}
	var apps []string
	for _, op := range ops {
		if op.Status == OperationQueued && op.Kind == KindServerCreate {
			apps = append(apps, op.Apps...)
		}
	}
	return apps, nil
}

// neededBy names the apps of a set that need one of them. An app that has left
// the catalog needs what its server was pointed at.
func neededBy(c *Catalog, e Environment, set []WorkspaceServer, app string) []string {
	var out []string
	for _, s := range set {
		a, known := c.App(s.App)
		needs := slices.Contains(slices.Collect(maps.Values(a.Needs)), app)
		if !known {
			needs = e.pointed(s.App, app)
		}
		if s.App != app && needs {
			out = append(out, s.App)
		}
	}
	slices.Sort(out)
	return out
}

// pointed reports whether one app's server has been given the address of
// another's.
func (e Environment) pointed(app, at string) bool {
	this := slices.IndexFunc(e.Servers, func(v Server) bool { return v.App == app })
	that := slices.IndexFunc(e.Servers, func(v Server) bool { return v.App == at })
	if this < 0 || that < 0 || URLOf(e.Servers[that]) == "" {
		return false
	}
	return slices.Contains(slices.Collect(maps.Values(e.Servers[this].Needs)), URLOf(e.Servers[that]))
}

// tokenLife is how long a new machine may take until it first calls home.
const tokenLife = 24 * time.Hour

// userData renders a server's user-data once, with a fresh enrolment token.
func (r *run) userData(ctx context.Context, c *Catalog, target Target, v Server) (Server, error) {
	token := rand.Text()
	sum := sha256.Sum256([]byte(token))
	// The token first: user-data whose token nobody knows would strand the
	// server, a token without user-data is merely replaced.
	if err := r.Servers.SetToken(ctx, v.ID, hex.EncodeToString(sum[:]), r.Now().Add(tokenLife)); err != nil {
		return v, err
	}
	text, err := r.UserData(target, Boot{ServerID: v.ID, URL: r.PublicURL, Token: token, SaltVersion: c.Salt.Version, CA: r.CA})
	if err != nil {
		return v, fmt.Errorf("rendering the user-data of %s: %w", v.ID, err)
	}
	return r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error { s.UserData = text; return nil })
}

// desireAll gives a new generation to every server that this operation
// touches, once, and to every other one whose peers' addresses have changed.
func (r *run) desireAll(ctx context.Context) error {
	c := r.Catalogs.Current()
	for _, v := range r.env.Servers {
		a, ok := c.App(v.App)
		if !ok {
			continue // no longer in the catalog: it keeps what it has
		}
		i := slices.IndexFunc(r.op.Changes, func(ch Change) bool { return ch.App == v.App })
		moved := v.Generation > 0 && !maps.Equal(v.Needs, addresses(a, r.env))
		if i < 0 && !moved && !r.anew(v) {
			continue
		}
		var stored Desired
		if len(v.Desired) > 0 {
			if err := json.Unmarshal(v.Desired, &stored); err != nil {
				return fmt.Errorf("reading the desired state of %s: %w", v.ID, err)
			}
		}
		anew := r.anew(v)
		if stored.Operation == r.op.ID && !moved && !anew {
			continue // done before an interruption
		}
		if i >= 0 {
			v.Branch, v.Commit = r.op.Changes[i].Branch, r.op.Changes[i].Commit
		}
		d, needs, err := desire(c, r.env, v, r.Settings, r.States)
		if err != nil {
			return err
		}
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			s.Generation++
			s.Branch, s.Commit, s.Needs = v.Branch, v.Commit, needs
			if anew && (r.op.Kind == KindCreate || r.op.Kind == KindServerCreate) {
				s.Status = StatusCreating
			} else if s.Status != StatusCreating {
				s.Status = StatusDeploying
			}
			d.Generation, d.Operation, d.Formerly = s.Generation, r.op.ID, formerly(stored, d)
			doc, err := json.Marshal(d)
			s.Desired = doc
			return err
		}); err != nil {
			return err
		}
		if i < 0 && moved {
			r.say(ctx, v.Name, "configuring", "pointing it at its peers' new addresses")
		}
	}
	return r.reload(ctx)
}

// await waits until every server that this operation has given a generation
// is ready or failed, and says which.
func (r *run) await(ctx context.Context) (Status, error) {
	changed, stop := r.Watcher.Watch()
	defer stop()
	started := r.Now()
	var tick <-chan time.Time
	for due := true; ; {
		if err := r.reload(ctx); err != nil {
			return "", err
		}
		if due {
			r.wake(ctx)
			due, tick = false, r.After(10*time.Second)
		}
		waiting, sum := false, Diagnosis{Outcome: OutcomeFailed}
		failed, silent := map[string]int{}, false
		for _, v := range r.env.Servers {
			if !r.mine(v) {
				continue
			}
			switch v.Status {
			case StatusCreating, StatusDeploying:
				if c := machineTrouble(v); c != nil {
					sum.Causes, silent = append(sum.Causes, *c), true
				} else if c := r.overdue(v, started); c != nil {
					sum.Causes, silent = append(sum.Causes, *c), true
				} else {
					waiting = true
				}
			case StatusFailed:
				d, err := r.diagnose(ctx, v)
				if err != nil {
					return "", err
				}
				sum.add(d)
				failed[v.ID] = v.Generation
			}
		}
		if !waiting {
			if len(sum.Causes) > 0 {
				return StatusFailed, &failure{servers: failed, silent: silent, diagnosis: sum}
			}
			return r.settled(), nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-changed:
		case <-tick:
			due = true
		}
	}
}

// wake wakes the agents that this operation waits for.
func (r *run) wake(ctx context.Context) {
	if r.Wake == nil {
		return
	}
	for _, v := range r.env.Servers {
		if !r.mine(v) || v.Status != StatusCreating && v.Status != StatusDeploying {
			continue
		}
		if err := r.Wake(ctx, v); err != nil && ctx.Err() == nil {
			r.Log.Warn("an agent was not woken", "server", v.Name, "error", err)
		}
	}
}

// settled is the environment's status when this operation's servers are ready.
func (r *run) settled() Status {
	for _, v := range r.env.Servers {
		if v.Status == StatusFailed {
			return StatusFailed
		}
	}
	return StatusReady
}

// mine says whether this operation gave the server its generation.
func (r *run) mine(v Server) bool {
	var d Desired
	return len(v.Desired) > 0 && json.Unmarshal(v.Desired, &d) == nil && d.Operation == r.op.ID
}

// overdue says what is known of a server that should have reported by now.
func (r *run) overdue(v Server, started time.Time) *Cause {
	waited := r.Now().Sub(started)
	var c Cause
	switch {
	case v.LastSeen == nil && waited > r.CallHome:
		c = ownNeverHeard.awaited(v, Duration(waited), started)
	case v.LastSeen != nil && waited > r.CallHome && r.Now().Sub(*v.LastSeen) > r.CallHome:
		c = ownSilent.awaited(v, Duration(r.Now().Sub(*v.LastSeen)), started)
	case waited > r.Converge:
		c = ownSlow.awaited(v, Duration(r.Converge), started)
	default:
		return nil
	}
	return &c
}

// Explain diagnoses each failed server of an environment by its last report.
func (x *Executor) Explain(ctx context.Context, e Environment) (*Diagnosis, error) {
	out := &Diagnosis{Outcome: OutcomeFailed}
	r := &run{Executor: x, env: e}
	for _, v := range e.Servers {
		if v.Status != StatusFailed {
			continue
		}
		d, err := r.diagnose(ctx, v)
		if err != nil {
			return nil, err
		}
		out.add(d)
	}
	if len(out.Causes) == 0 {
		return nil, nil
	}
	out.unnamed()
	out.fingerprint(e, "")
	var last Operation
	if e.Operation != nil {
		last = *e.Operation
	}
	out.fold()
	out.ask(e, last, x.Now())
	out.Name(e.Name)
	return out, nil
}

// hide gives the causes of a server's report as they may be shown.
func hide(causes []Cause, v Server, mask func(string) string) []Cause {
	out := slices.Clone(causes)
	for i := range out {
		c := &out[i]
		c.Server, c.Where, c.Sentence, c.Next, c.Evidence, c.Telling = nameOf(v), mask(c.Where), mask(c.Sentence), mask(c.Next), mask(c.Evidence), mask(c.Telling)
		c.Blocked = slices.Clone(c.Blocked)
		for j := range c.Blocked {
			c.Blocked[j] = mask(c.Blocked[j])
		}
	}
	return out
}

func (r *run) diagnose(ctx context.Context, v Server) (Diagnosis, error) {
	if c := machineTrouble(v); c != nil {
		return Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{*c}}, nil
	}
	report, err := r.Servers.LastReport(ctx, v.ID, v.Generation)
	if err != nil {
		return Diagnosis{}, err
	}
	if report == nil {
		return Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownNoReport.of(nameOf(v), "")}}, nil
	}
	a, _ := r.Catalogs.Current().App(v.App)
	mask := r.masks.server(a, v, r.Settings).text
	d := r.Diagnoser.Report(a, v.Branch, *report, mask)
	d.Causes = hide(d.Causes, v, mask)
	if len(d.Causes) == 0 {
		d.Causes = []Cause{ownNoReason.of(nameOf(v), "")}
	}
	return d, nil
}

// destroy ends the whole environment: Terraform first, then a sweep of what
// Terraform cannot see. It never asks the catalog for apps or a branch.
func (r *run) destroy(ctx context.Context) (Status, error) {
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), StatusDestroying, r.all(StatusDestroying)); err != nil {
		return "", err
	}
	r.say(ctx, "", "destroy", "removing the servers")
	err := r.Provisioner.Destroy(ctx, r.env.ID, r.op.ID, r.tell(ctx))
	if err := r.provisioned(ctx, err, true); err != nil {
		return "", err
	}
	for _, v := range r.env.Servers {
		if err := r.sweep(ctx, v); err != nil {
			return "", err
		}
	}
	return StatusDestroyed, nil
}

func (r *run) all(s Status) map[string]Status {
	out := map[string]Status{}
	for _, v := range r.env.Servers {
		out[v.ID] = s
	}
	return out
}

func (r *run) sweep(ctx context.Context, v Server) error {
	if r.Sweep == nil {
		return nil
	}
	if err := r.Sweep(ctx, v); err != nil {
		return fmt.Errorf("sweeping what is left of %s: %w", v.ID, err)
	}
	return nil
}

// destroyServers removes the operation's servers and points the others anew.
func (r *run) destroyServers(ctx context.Context) (Status, error) {
	going := map[string]Status{}
	for _, v := range r.env.Servers {
		if slices.Contains(r.op.Apps, v.App) {
			going[v.ID] = StatusDestroying
		}
	}
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), StatusDeploying, going); err != nil {
		return "", err
	}
	target, err := r.target()
	if err != nil {
		return "", err
	}
	if _, err := r.apply(ctx, target, r.op.Apps...); err != nil {
		return "", err
	}
	for _, v := range r.env.Servers {
		if _, ok := going[v.ID]; !ok {
			continue
		}
		if err := r.sweep(ctx, v); err != nil {
			return "", err
		}
		if err := r.Servers.RemoveServer(ctx, v.ID); err != nil {
			return "", err
		}
	}
	if err := r.reload(ctx); err != nil {
		return "", err
	}
	if err := r.desireAll(ctx); err != nil {
		return "", err
	}
	return r.await(ctx)
}
