package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/fsnotify/fsnotify"
)

// Options are what a Provisioner works with.
type Options struct {
	// Workspaces is the folder that holds one workspace an environment.
	Workspaces string
	// Data is Berth's data folder: plugin cache and what Find installs.
	Data string
	// Berth is the program that has the command `run`.
	Berth string
	// Find says where Terraform is; its Constraint and Progress are set here.
	Find FindOptions
	// Constraint is the catalog's, asked for at each use (may be nil).
	Constraint func() string
	// Render writes a workspace's files.
	Render func(dir string, w orchestrator.Workspace) error
	// Settle makes a workspace's files say where its state is, Place writes a
	// main.tf that says only that. Without them states stay where they are.
	Settle func(dir string, b orchestrator.Backend, environmentID string) error
	Place  func(kind string, attributes map[string]any) ([]byte, error)
	// LookupEnv is where the variables that Terraform may see come from
	// (default os.LookupEnv).
	LookupEnv func(string) (string, bool)
	// WaitDelay is how long an interrupted Terraform may take (default 1 h).
	WaitDelay time.Duration
	// Rest is how long after a run has died what it had asked a cloud for may
	// still appear there (default 30 s).
	Rest time.Duration
	// DeepEvery is after how many looks at an environment one compares all of it
	// with what it should be, where the others only list machines (default 24).
	DeepEvery int
}

// Provisioner makes and destroys machines: it implements
// orchestrator.Provisioner with one detached process a run.
type Provisioner struct {
	Options

	mu    sync.Mutex
	found map[string]Binary // by constraint
	// looking is held by who looks into an environment's cloud.
	looking map[string]chan struct{}
	looks   map[string]int
}

var _ orchestrator.Provisioner = (*Provisioner)(nil)

// New makes a Provisioner.
func New(o Options) *Provisioner {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Rest == 0 {
		o.Rest = 30 * time.Second
	}
	if o.DeepEvery == 0 {
		o.DeepEvery = 24
	}
	return &Provisioner{Options: o, found: map[string]Binary{}, looking: map[string]chan struct{}{}, looks: map[string]int{}}
}

// Dir is an environment's workspace.
func (p *Provisioner) Dir(environmentID string) string {
	return filepath.Join(p.Workspaces, environmentID)
}

// Terraform finds the binary, once for each constraint.
func (p *Provisioner) Terraform(ctx context.Context, progress func(text string)) (Binary, error) {
	o := p.Find
	if p.Constraint != nil {
		o.Constraint = p.Constraint()
	}
	o.Progress = progress
	// Held while looking: two operations need not build two Terraforms.
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.found[o.Constraint]; ok {
		if _, err := os.Stat(b.Path); err == nil {
			return b, nil
		}
	}
	b, err := Find(ctx, o)
	if err == nil {
		p.found[o.Constraint] = b
	}
	return b, err
}

// Lacking is what a person is told who wants servers while the program that
// makes them lacks: why it does is for ops, in the log and in berth doctor.
func Lacking(err error) error {
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		return err
	}
	out := orchestrator.Errorf(orchestrator.CodeState, "Berth's machine lacks the program that makes servers.").
		WithHint("only ops can mend this: berth doctor tells them what is missing")
	out.Cause = err
	return out
}

// Running says whether a run is at work in an environment's workspace.
func (p *Provisioner) Running(environmentID string) bool {
	_, _, held := holder((paths{dir: p.Dir(environmentID)}).lock())
	return held
}

// target is what a workspace keeps of its target, so that it can be destroyed
// without the catalog.
type target struct {
	Environment []string `json:"environment"`
	Module      string   `json:"module"`
}

// Apply makes the machines of w and gives their addresses, by server ID.
func (p *Provisioner) Apply(ctx context.Context, w orchestrator.Workspace, run string, progress func(step, text string)) (map[string]orchestrator.Machine, error) {
	prepare := func(f paths) error {
		var err error
		if w.State, err = choose(f, w.State); err != nil {
			return err
		}
		if err := p.Render(f.dir, w); err != nil {
			return err
		}
		return writeJSON(f.target(), target{w.Target.Environment, w.Target.Module})
	}
	return p.do(ctx, w.EnvironmentID, run, ActionApply, prepare, progress)
}

// Destroy removes everything that the environment's workspace made, then the
// workspace. Without a workspace there is nothing to do.
func (p *Provisioner) Destroy(ctx context.Context, environmentID, run string, progress func(step, text string)) error {
	if err := checkID("environment", environmentID); err != nil {
		return err
	}
	f := paths{p.Dir(environmentID), run}
	if done, err := p.clearEmpty(ctx, f); done || err != nil {
		return err
	}
	if _, err := p.do(ctx, environmentID, run, ActionDestroy, func(paths) error { return nil }, progress); err != nil {
		return err
	}
	// The run has its result, but may not have ended yet.
	release, err := acquire(ctx, f.lock(), "remove")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	// Read only now: until this run had the lock, it could be moved.
	b, err := stored(f)
	if err != nil {
		return err
	}
	if err := p.removeState(ctx, f, b); err != nil && progress != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// The servers are gone, which is what counts.
		progress("clean", "the record of these servers is empty now, but could not be removed ("+firstLine(err.Error())+")")
	}
	return p.clear(ctx, environmentID)
}

// clearEmpty removes a workspace in which there is nothing to destroy. Where
// somebody is at work nobody can say that.
func (p *Provisioner) clearEmpty(ctx context.Context, f paths) (done bool, err error) {
	if _, err := os.Stat(f.dir); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if f.make() != nil {
		return false, nil // the run says so
	}
	release, free, err := take(f.lock(), "remove")
	if err != nil || !free {
		return false, err
	}
	defer release()
	b, err := stored(f)
	if err != nil {
		return false, err
	}
	open, err := unsettled(f.dir, f.run)
	if err != nil {
		return false, err
	}
	doubt, err := doubtful(f.dir)
	if err != nil || doubt || len(open) > 0 || !empty(f, b) {
		return false, err
	}
	return true, p.clear(ctx, filepath.Base(f.dir))
}

// clear removes a workspace: not while somebody looks, for what that writes
// would keep its folder there.
func (p *Provisioner) clear(ctx context.Context, environmentID string) error {
	done, err := p.alone(ctx, environmentID)
	if err != nil {
		return err
	}
	defer done()
	return os.RemoveAll(p.Dir(environmentID))
}

// doubtful reports whether a destroy or a look for what is left has failed here
// that the cloud can be asked about: then it has the last word, whatever the
// state knows. Such a destroy may have emptied that.
func doubtful(dir string) (bool, error) {
	if len(lists(dir)) == 0 {
		return false, nil
	}
	journals, err := filepath.Glob(paths{dir, "*"}.journal())
	if err != nil {
		return false, err
	}
	for _, journal := range journals {
		var req request
		if err := readJSON(paths{dir, strings.TrimSuffix(filepath.Base(journal), ".jsonl")}.request(), &req); err != nil || req.Action == ActionApply {
			continue // it can have emptied nothing
		}
		rec, err := load(journal)
		if err != nil || rec.started && (rec.result == nil || rec.result.Status != StatusSucceeded) {
			return true, err
		}
	}
	return false, nil
}

// empty reports whether a workspace's state has nothing to destroy.
func empty(f paths, b orchestrator.Backend) bool {
	if _, err := os.Stat(filepath.Join(f.dir, errored)); err == nil {
		return false
	}
	if !b.Local() {
		_, err := os.Stat(f.initKey())
		return errors.Is(err, fs.ErrNotExist) // nothing was ever begun
	}
	data, err := os.ReadFile(filepath.Join(f.dir, localState))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	var state struct {
		Resources []json.RawMessage `json:"resources"`
	}
	return len(data) == 0 || json.Unmarshal(data, &state) == nil && len(state.Resources) == 0
}

// do starts a run, or attaches to the one that has this ID, and follows it.
func (p *Provisioner) do(ctx context.Context, environmentID, run string, action Action, prepare func(paths) error, progress func(step, text string)) (map[string]orchestrator.Machine, error) {
	if err := errors.Join(checkID("environment", environmentID), checkID("run", run)); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(string, string) {}
	}
	f := paths{p.Dir(environmentID), run}
	rec, err := load(f.journal())
	if err != nil {
		return nil, err
	}
	var child *child
	if !rec.started {
		if child, err = p.start(ctx, f, action, prepare, progress); err != nil {
			if orchestrator.Interrupted(ctx) {
				return nil, &orchestrator.ProvisionError{Err: orchestrator.ErrCanceled}
			}
			return nil, err
		}
	}
	return p.follow(ctx, f, child, progress)
}

// child is a process that this one started.
type child struct {
	pid   int
	ended chan struct{}
}

// start prepares the workspace and starts the run's process.
func (p *Provisioner) start(ctx context.Context, f paths, action Action, prepare func(paths) error, progress func(step, text string)) (*child, error) {
	binary, err := p.Terraform(ctx, func(text string) { progress("install", text) })
	if err != nil {
		return nil, Lacking(err)
	}
	if err := f.make(); err != nil {
		return nil, unwritable(f.dir, err)
	}
	// A run from before a restart may still be at work here: its files must
	// not change under it.
	if _, _, held := holder(f.lock()); held {
		progress("wait", "waiting for the earlier work on this to end")
	}
	release, err := acquire(ctx, f.lock(), "prepare")
	if err != nil {
		return nil, err
	}
	defer release()
	if err := prepare(f); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = unwritable(f.dir, err)
		}
		return nil, err
	}
	b, err := p.settle(f)
	if err != nil {
		return nil, err
	}
	names, err := variables(f, b)
	if err != nil {
		return nil, err
	}
	cache, err := filepath.Abs(filepath.Join(p.Data, "plugins"))
	if err != nil {
		return nil, err
	}
	env, err := environ(names, p.LookupEnv, cache)
	if err != nil {
		return nil, err
	}
	initLock, err := filepath.Abs(filepath.Join(p.Workspaces, ".init.lock"))
	if err != nil {
		return nil, err
	}
	if err := writeJSON(f.request(), request{Action: action, Binary: binary, Environment: names, State: b, Cache: cache, InitLock: initLock, WaitDelay: p.WaitDelay, Rest: p.Rest}); err != nil {
		return nil, unwritable(f.dir, err)
	}
	stderr, err := os.OpenFile(f.stderr(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, unwritable(f.dir, err)
	}
	defer stderr.Close()
	// No context: this process is to outlive us. Go closes every descriptor
	// but these three in it.
	cmd := exec.Command(p.Berth, "run", "--dir", f.dir, "--run", f.run, "--action", string(action))
	cmd.Dir = f.dir
	cmd.Env = environList(env)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
			Message: fmt.Sprintf("Berth cannot start its own program %s: %v.", p.Berth, err),
			Hint:    "Is it still there? After an upgrade, restart berth serve."}
	}
	c := &child{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // what it has to say is in the journal
		close(c.ended)
	}()
	return c, nil
}

func unwritable(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
			Message: fmt.Sprintf("The disk that holds the Terraform workspace %s is full.", dir),
			Hint:    "Make room on it, then try again."}
	}
	return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
		Message: fmt.Sprintf("The Terraform workspace %s cannot be written: %v.", dir, err),
		Hint:    "Look at the disk's free space and at the folder's owner, then try again."}
}

// lively is how often a run that somebody else started is looked at.
const lively = 200 * time.Millisecond

// follow reports a run's progress until it has its result. c is nil for a run
// that another process started.
func (p *Provisioner) follow(ctx context.Context, f paths, c *child, progress func(step, text string)) (map[string]orchestrator.Machine, error) {
	rec := &record{}
	r := reader{path: f.journal()}
	seen := readSeen(f.seen())
	read := func() error {
		was := seen
		err := r.next(func(e Entry, offset int64) {
			rec.add(e)
			if e.Kind == KindProgress && offset > seen {
				progress(e.Step, e.Text)
			}
			seen = max(seen, offset)
		})
		if seen > was {
			writeSeen(f.seen(), seen)
		}
		return err
	}
	// Without notifications (no inotify left) the clock alone will do.
	var changed <-chan fsnotify.Event
	if watcher, err := fsnotify.NewWatcher(); err == nil {
		defer watcher.Close()
		if watcher.Add(f.runs()) == nil {
			changed = watcher.Events
			go func() {
				for range watcher.Errors { // a lost event costs one tick
				}
			}()
		}
	}
	tick := time.NewTicker(lively)
	defer tick.Stop()
	var ended <-chan struct{}
	if c != nil {
		ended = c.ended
	}
	done := ctx.Done()
	canceled, told := false, false
	for {
		if err := read(); err != nil {
			return nil, err
		}
		if rec.result != nil {
			return p.outcome(f, rec)
		}
		select {
		case <-changed:
			continue
		case <-ended:
		case <-done:
			if !orchestrator.Interrupted(ctx) {
				return nil, context.Cause(ctx)
			}
			done, canceled = nil, true
			progress("cancel", "stopping; what has begun is finished first")
			told = interrupt(f, c)
			continue
		case <-tick.C:
			if canceled && !told {
				told = interrupt(f, c)
			}
			if c != nil {
				continue // its end is told
			}
			// A full disk can keep the holder's name out of the lock.
			if who, _, held := holder(f.lock()); held && (who == f.run || who == "") {
				continue
			}
		}
		// Nobody is at work any more. Its last words may just have been
		// written.
		if err := read(); err != nil {
			return nil, err
		}
		switch {
		case rec.result != nil:
			return p.outcome(f, rec)
		case canceled && !rec.started:
			return nil, &orchestrator.ProvisionError{Err: orchestrator.ErrCanceled}
		case rec.started:
			return nil, &orchestrator.ProvisionError{Log: rec.log.String(), Lost: true, Began: rec.began,
				Err: fmt.Errorf("run %s of %s died without a result", f.run, filepath.Base(f.dir))}
		case c != nil:
			said, _ := os.ReadFile(f.stderr())
			return nil, &orchestrator.ProvisionError{Log: string(said),
				Err: fmt.Errorf("run %s of %s did not begin: %s", f.run, filepath.Base(f.dir), firstLine(string(said)))}
		}
	}
}

// interrupt asks a run to stop, also one that waits for its workspace. It
// reports whether it found somebody to ask.
func interrupt(f paths, c *child) bool {
	_ = os.WriteFile(f.cancel(), nil, 0o600)
	pid := 0
	if who, holds, held := holder(f.lock()); held && who == f.run {
		pid = holds // whoever holds the lock lives: this is no stranger's number
	} else if c != nil {
		pid = c.pid
	}
	return pid > 0 && syscall.Kill(pid, syscall.SIGTERM) == nil
}

// outcome turns a run's result into what the caller gets.
func (p *Provisioner) outcome(f paths, rec *record) (map[string]orchestrator.Machine, error) {
	switch rec.result.Status {
	case StatusSucceeded:
		return rec.result.Machines, nil
	case StatusCanceled:
		return nil, &orchestrator.ProvisionError{Log: rec.log.String(), Err: orchestrator.ErrCanceled}
	}
	if rec.result.Code != "" {
		return nil, &orchestrator.Error{Code: rec.result.Code, Message: rec.result.Message, Hint: rec.result.Hint}
	}
	return nil, &orchestrator.ProvisionError{Log: rec.log.String(), Began: rec.began, Err: errors.New(rec.result.Message),
		Known: rec.result.Known, Made: rec.result.Made, Left: rec.result.Left, Nameless: rec.result.Nameless, Unknown: rec.result.Unknown}
}
