package terraform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/terraform-exec/tfexec"
	"golang.org/x/sys/unix"
)

// Action is what a run does.
type Action string

// The actions.
const (
	ActionApply     Action = "apply"
	ActionDestroy   Action = "destroy"
	ActionReconcile Action = "reconcile"
)

// RunOptions name one run. Everything else is in its request file.
type RunOptions struct {
	Dir    string // the workspace
	Run    string // the run's ID
	Action Action
	// LookupEnv reads the environment (default os.LookupEnv).
	LookupEnv func(string) (string, bool)
}

// request is what the process that starts a run leaves for it.
type request struct {
	Action      Action   `json:"action"`
	Binary      Binary   `json:"binary"`
	Environment []string `json:"environment"`
	// State is where the workspace's state is.
	State     orchestrator.Backend `json:"state"`
	Cache     string               `json:"cache"`     // plugin cache, shared by all workspaces
	InitLock  string               `json:"init_lock"` // one init at a time fills it
	WaitDelay time.Duration        `json:"wait_delay"`
	Rest      time.Duration        `json:"rest"` // see Options
}

// Run carries out one run to its end: it is what `berth run` does, in a
// process of its own. It holds the workspace's lock, writes the journal, and
// ends it with a result whatever happens; a run that has been carried out
// before is left alone. SIGTERM and SIGINT interrupt Terraform, which then
// finishes what it is in the midst of. Errors that are in the journal are not
// returned.
func Run(ctx context.Context, o RunOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	signal.Ignore(syscall.SIGHUP)
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if err := checkID("run", o.Run); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	p := paths{dir, o.Run}
	var req request
	if err := readJSON(p.request(), &req); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	if req.Action != o.Action {
		return fmt.Errorf("run %s is one to %s", o.Run, req.Action)
	}
	release, err := acquire(ctx, p.lock(), o.Run)
	if err != nil {
		return fmt.Errorf("waiting for the workspace: %w", err)
	}
	defer release()
	if rec, err := load(p.journal()); err != nil || rec.started {
		return err
	}
	j, err := openJournal(p.journal())
	if err != nil {
		return err
	}
	defer j.close()
	if err := j.write(Entry{Kind: KindStarted, PID: os.Getpid()}, true); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	var result Result
	if _, err := os.Stat(p.cancel()); err == nil {
		result = Result{Status: StatusCanceled, Message: "canceled before it began"}
	} else if now, err := stored(p); err != nil || !samePlace(now, req.State) {
		// Between the start of this process and its lock. With another state it
		// would make everything once more.
		result = Result{Status: StatusFailed, Code: orchestrator.CodeState, Message: "The record of this environment's servers was moved just now.", Hint: "berth env retry NAME"}
	} else {
		result = (&worker{paths: p, request: req, journal: j, lookup: o.LookupEnv}).work(ctx)
	}
	return j.write(Entry{Kind: KindResult, Result: &result}, true)
}

// worker is one run at work.
type worker struct {
	paths
	request
	journal  *journal
	lookup   func(string) (string, bool)
	settings settings
	redact   func(string) string
	// What Terraform's messages have said.
	machines map[string]orchestrator.Machine
	failure  string // the first error's summary
	// What is known when a run has failed, and what a reconciliation did.
	known   *inventory
	unknown []string
	removed []string
	// raced says that Terraform gave up on a lock that was free by then.
	raced bool
	// tellHolder tells who holds the lock that Terraform waits for.
	tellHolder func()
}

// work does the run and makes its result of whatever comes of it.
func (w *worker) work(ctx context.Context) (result Result) {
	defer func() {
		if r := recover(); r != nil {
			result = Result{Status: StatusFailed, Message: fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
		}
	}()
	// terraform-exec has the kernel kill Terraform with the thread that
	// started it; this one stays as long as the process does.
	runtime.LockOSThread()
	err := w.terraform(ctx)
	var e *orchestrator.Error
	switch {
	case err == nil:
		return Result{Status: StatusSucceeded, Machines: w.machines, Removed: w.removed}
	case ctx.Err() != nil:
		return Result{Status: StatusCanceled, Message: "canceled while it ran"}
	case errors.As(err, &e):
		return Result{Status: StatusFailed, Message: w.redact(e.Message), Code: e.Code, Hint: e.Hint}
	}
	result = Result{Status: StatusFailed, Message: w.failure, Unknown: w.unknown}
	if w.failure == "" {
		result.Message = w.redact(err.Error())
	}
	if w.known != nil {
		result.Known, result.Made, result.Left, result.Nameless = true, w.known.made(), w.known.things(), w.known.nameless()
	}
	return result
}

func (w *worker) terraform(ctx context.Context) error {
	w.redact = func(s string) string { return s } // nothing is known to hide
	var err error
	if w.settings, err = readSettings(w.dir); err != nil {
		return fmt.Errorf("reading the workspace's values: %w", err)
	}
	w.redact = redactor(w.settings)
	env, err := environ(w.Environment, w.lookup, w.Cache)
	if err != nil {
		return err
	}
	w.redact = redactor(w.settings, secretsOf(w.Environment, env)...)
	if err := makeCache(env); err != nil {
		return err
	}
	tf, err := newTerraform(w.dir, w.Binary.Path, env, w.WaitDelay)
	if err != nil {
		return err
	}
	// terraform-exec asks for the version before its first JSON command; by
	// the side of init that costs nothing.
	version := make(chan error, 1)
	go func() {
		_, _, err := tf.Version(ctx, false)
		version <- err
	}()
	err = w.init(ctx, env)
	if versionErr := <-version; err == nil {
		err = versionErr
	}
	if err != nil {
		return err
	}
	if err := w.repair(ctx, tf); err != nil {
		return err
	}
	if err := reserve(w.reserve()); err != nil {
		return unwritable(w.dir, err)
	}
	defer os.Remove(w.reserve())
	w.tellHolder = func() {
		other, err := newTerraform(w.dir, w.Binary.Path, env, w.WaitDelay)
		if err != nil {
			return
		}
		// It may well be free by now.
		if l, err := lookAtLock(ctx, other, w.paths, w.State, env); err == nil && l != nil {
			w.progress(Event{Step: "wait", Text: "the lock is held by " + l.Holder()})
		}
	}
	if w.Action == ActionReconcile {
		return w.reconcile(ctx, tf, env)
	}
	err = w.stream(ctx, tf)
	if err != nil {
		w.takeStock(ctx, tf)
		return err
	}
	if w.Action == ActionDestroy {
		// Terraform has removed what it knows of; the cloud has the last word.
		return w.reconcile(ctx, tf, env)
	}
	return w.complete(ctx, tf)
}

// stream runs Terraform's apply or destroy.
func (w *worker) stream(ctx context.Context, tf *tfexec.Terraform) error {
	// What else Terraform is asked for is not for the journal: a state is full of
	// secrets.
	defer tf.SetStdout(io.Discard)
	var err error
	for range 5 {
		w.raced = false
		out := &lineWriter{line: w.line}
		if w.Action == ActionApply {
			err = tf.ApplyJSON(ctx, out, waitForLock(w.State))
		} else {
			err = tf.DestroyJSON(ctx, out, waitForLock(w.State))
		}
		out.flush()
		if err == nil || !w.raced || ctx.Err() != nil {
			break
		}
	}
	if err != nil && w.failure == "" { // nothing in JSON: standard error is all there is
		w.log(err.Error())
	}
	return err
}

// newTerraform is terraform-exec with Berth's settings.
func newTerraform(dir, path string, env map[string]string, wait time.Duration) (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(dir, path)
	if err != nil {
		return nil, err
	}
	if wait == 0 {
		// An interrupted Terraform waits for its providers: killing it
		// earlier loses what they just made.
		wait = time.Hour
	}
	return tf, errors.Join(tf.SetEnv(env), tf.SetWaitDelay(wait))
}

// init prepares the workspace, unless nothing has changed since it last did.
func (w *worker) init(ctx context.Context, env map[string]string) error {
	key, local, err := initKey(w.dir, w.Binary)
	if err != nil {
		return err
	}
	if done, err := os.ReadFile(w.initKey()); err == nil && local && string(done) == key {
		_, err := os.Stat(filepath.Join(w.dir, ".terraform", "modules", "modules.json"))
		if err == nil && selected(w.dir) == ownWorkspace(w.State, w.dir) {
			return nil
		}
	}
	w.progress(Event{Step: "init", Text: "getting ready"})
	if w.InitLock != "" {
		release, err := acquire(ctx, w.InitLock, w.run)
		if err != nil {
			return err
		}
		defer release()
	}
	// One of its own: what it prints must not mix with the apply's.
	tf, err := newTerraform(w.dir, w.Binary.Path, env, w.WaitDelay)
	if err != nil {
		return err
	}
	if _, _, err := tf.Version(ctx, false); err != nil {
		return err
	}
	var out bytes.Buffer
	tf.SetStdout(&out)
	if err := initState(ctx, tf, w.dir, w.State); err != nil {
		if ctx.Err() != nil {
			return err
		}
		for line := range strings.Lines(out.String() + "\n" + err.Error()) {
			w.log(strings.TrimRight(line, "\n"))
		}
		w.failure = "terraform init failed"
		return err
	}
	// The lock file may be new.
	if key, _, err = initKey(w.dir, w.Binary); err != nil {
		return err
	}
	return os.WriteFile(w.initKey(), []byte(key), 0o600)
}

// localSource matches a module that is a folder within the workspace, whose
// name carries its digest.
var localSource = lazyregexp.New(`(?m)^\s*source\s*=\s*"\./`)

// initKey digests all that init depends on. local is false for a module from
// elsewhere, which can change without a trace here.
func initKey(dir string, b Binary) (key string, local bool, err error) {
	h := sha256.New()
	fmt.Fprintln(h, b.Path, b.Version)
	for _, name := range []string{"main.tf", ".terraform.lock.hcl"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", false, err
		}
		if name == "main.tf" {
			local = localSource.Match(data)
		}
		fmt.Fprintln(h, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil)), local, nil
}

// reserved is how much room a run keeps for a state that finds the disk full:
// that of some hundred machines.
const reserved = 1 << 20

// reserve takes that room, and fails when there is none: better before
// anything is made.
func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserved)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, reserved))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// errored is where Terraform leaves a state that it could not save.
const errored = "errored.tfstate"

// repair pushes a state that an earlier run could not save: without it,
// Terraform would make those machines once more.
func (w *worker) repair(ctx context.Context, tf *tfexec.Terraform) error {
	path := filepath.Join(w.dir, errored)
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if info.Size() == 0 && w.Action != ActionApply {
		return nil // a trace of what is to be looked for, by a destroy too
	}
	if info.Size() == 0 {
		// The disk was full to the last byte: there is nothing to restore, and
		// Terraform refuses to read it.
		w.progress(Event{Step: "init", Text: "the earlier run could not note down what it had made"})
		return os.Remove(path)
	}
	w.progress(Event{Step: "init", Text: "noting down what the earlier run has made"})
	if err := tf.StatePush(ctx, errored, waitForLock(w.State)); err != nil {
		detail := fmt.Errorf("the state %s cannot be pushed (compare it with terraform state pull in that folder, push the right one, then remove the file): %w", path, err)
		w.log(detail.Error())
		return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: detail,
			Message: "What an earlier run has made was not noted down, and cannot be noted down now.",
			Hint:    "Send ops this message: Berth's log says what to compare"}
	}
	return os.Rename(path, path+".restored")
}

// complete makes sure that Terraform answered for every server: without its
// address nobody reaches it, without the cloud's ID nobody sees that it is gone.
func (w *worker) complete(ctx context.Context, tf *tfexec.Terraform) error {
	if w.machines == nil {
		tf.SetStdout(io.Discard)
		outputs, err := tf.Output(ctx)
		if err != nil {
			return err
		}
		if servers, ok := outputs["servers"]; ok {
			if err := json.Unmarshal(servers.Value, &w.machines); err != nil {
				w.log(fmt.Sprintf("reading the output servers: %v", err))
				return badOutput("The target's module says where its servers are in a form that Berth cannot read.")
			}
		}
	}
	var silent, short, lacks []string
	for app, s := range w.settings.Servers {
		m, ok := w.machines[s.ID]
		if !ok {
			silent = append(silent, app)
			continue
		}
		if m.Address == "" {
			lacks = append(lacks, "address")
		}
		if m.ProviderID == "" {
			lacks = append(lacks, "provider_id")
		}
		if m.Address == "" || m.ProviderID == "" {
			short = append(short, app)
		}
	}
	slices.Sort(silent)
	slices.Sort(short)
	slices.Sort(lacks)
	switch {
	case len(silent) > 0:
		return badOutput("The target's module says nothing of the server for %s.", strings.Join(silent, ", "))
	case len(short) > 0:
		return badOutput("The target's module gives no %s of the server for %s.", strings.Join(slices.Compact(lacks), " and no "), strings.Join(short, ", "))
	}
	return nil
}

// badOutput is a module that does not keep the contract of docs/modules.md,
// where validate could not see it: one from elsewhere.
func badOutput(format string, args ...any) error {
	return orchestrator.Errorf(orchestrator.CodeInvalidCatalog, format, args...).
		WithHint("Ask ops to correct the module: its output servers must map each server's ID to {address, private_address, provider_id}")
}

// lockGone is what Terraform 1.5 and OpenTofu say then, each in its words.
var lockGone = lazyregexp.New(`unexpected end of JSON input|no lock info found for`)

// line takes one line of Terraform's output.
func (w *worker) line(raw []byte) {
	var m message
	if json.Unmarshal(raw, &m) != nil {
		w.log(w.redact(string(raw)))
		return
	}
	if len(m.State) > 0 {
		// Neither the state nor errored.tfstate could be written whole. This
		// may be the one copy of what was made: write it where room was kept
		// for it, and keep it out of the journal, for it holds secrets.
		_ = os.Remove(w.reserve())
		if kept, err := os.ReadFile(filepath.Join(w.dir, errored)); err != nil || !json.Valid(kept) {
			_ = os.WriteFile(filepath.Join(w.dir, errored), m.State, 0o600)
		}
		w.log(`{"@level":"error","@message":"Emergency state dump","type":"log"}`)
		return
	}
	if machines, ok := m.machines(); ok {
		w.machines = machines
	}
	if m.noise() {
		return
	}
	if d := m.Diagnostic; d != nil && d.Summary == "Error acquiring the state lock" && lockGone.MatchString(d.Detail) {
		// The backend s3 was refused by a lock, which was gone when it asked
		// whose it was: Terraform takes that for an error and does not wait.
		w.raced = true
		return
	}
	if m.Diagnostic != nil && m.Diagnostic.Severity == "error" && w.failure == "" {
		w.failure = w.redact(m.Diagnostic.Summary)
	}
	w.log(w.redact(string(raw)))
	if e, ok := m.event(); ok {
		w.progress(e)
	}
	if m.Type == "state_lock_acquire" && w.tellHolder != nil {
		go w.tellHolder()
	}
}

// log and progress are best effort: see journal.
func (w *worker) log(line string) {
	// That something may be made must be known even after a power cut.
	_ = w.journal.write(Entry{Kind: KindLog, Line: w.redact(line)}, plansToMake(line))
}

func (w *worker) progress(e Event) {
	e.Text = w.redact(e.Text)
	_ = w.journal.write(Entry{Kind: KindProgress, Event: &e}, false)
}

// lineWriter cuts a stream into lines.
type lineWriter struct {
	line func([]byte)
	rest []byte
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if i > 0 {
			l.line(l.rest[:i])
		}
		l.rest = l.rest[i+1:]
	}
}

func (l *lineWriter) flush() {
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = nil
	}
}
