package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/cenkalti/backoff/v5"

	"github.com/berth-dev/berth/orchestrator"
)

// errStop is a desired state that asks the agent to stop.
var errStop = errors.New("Berth asked this agent to stop")

func permanent(err error) error { return backoff.Permanent(err) }

// agent is one server's agent while it runs.
type agent struct {
	dir    string
	config config
	client *client
	stream *stream
	output *output
	log    *slog.Logger
	named  bool // the user has an entry in passwd
	spool  chan struct{}

	spoolMu sync.Mutex
	spooled int64 // the number of the newest report in the spool

	stateMu sync.Mutex
	state   state

	recordMu sync.Mutex
	record   record

	// The newest desired state, and how to tell the worker of it.
	mailMu    sync.Mutex
	mail      *orchestrator.Desired
	supersede context.CancelFunc
	mailed    chan struct{}

	app     *app // the worker's alone, like watcher
	watcher *watcher

	// setup installs Salt on a machine of its own; nil: Berth's machine has it.
	setup *setup
	// pending is what could not be applied for want of Salt (under mailMu).
	pending *orchestrator.Desired
}

// RunOptions says how `berth agent run` was called.
type RunOptions struct {
	Dir string
	// Boot and Systemd make the configuration of a machine of its own; without
	// a Boot the folder has one.
	Boot    *orchestrator.Boot
	Systemd bool
	// BootFile is where the Boot came from: its token is taken out of there
	// when it is dead.
	BootFile string
	// Detached is how Start calls it: configuration on standard input, word of
	// the start on descriptor 3, then nothing shared with the caller.
	Detached bool
	UID      int
}

// Main is `berth agent run`.
func Main(ctx context.Context, o RunOptions) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	if o.Detached {
		return runDetached(ctx, dir, o.UID)
	}
	if o.Boot != nil {
		c := config{Boot: *o.Boot, Systemd: o.Systemd, BootFile: o.BootFile}
		if err := c.check(); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(dir, ConfigFile), c); err != nil {
			return err
		}
	}
	return Run(ctx, dir)
}

// Run is the agent in the foreground: it returns when ctx ends, when Berth
// says that the server is no more, or when Berth will never take it. The app
// is stopped then.
func Run(ctx context.Context, dir string) error { return run(ctx, dir, func() {}) }

func run(ctx context.Context, dir string, ready func()) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	syscall.Umask(0o022)
	held, err := lock(dir)
	if err != nil {
		return err
	}
	defer held.Close()
	a, err := newAgent(dir)
	if err != nil {
		return err
	}
	if err := adopt(); err != nil {
		return fmt.Errorf("adopting orphans: %w", err)
	}
	// What an agent that was killed has left: its app holds the port.
	if err := end(ctx, func() ([]process, error) { return belongs(dir, 0) }); err != nil {
		return err
	}
	self, _ := readProcess(os.Getpid())
	a.record = record{BootID: bootID(), Agent: leader{self.PID, self.Start}}
	if err := a.saveRecord(); err != nil {
		return err
	}
	ready()
	a.log.Info("the agent runs", "server", a.config.Boot.ServerID, "berth", a.config.Boot.URL)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	part := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("reaping", a.reapAll)
	part("working", a.work)
	if err := a.enroll(ctx); err != nil && ctx.Err() == nil {
		cancel(err)
	}
	if a.setup != nil {
		if a.handled() == 0 {
			a.stream.add("booting", "", "the machine has called home")
		}
		part("installing", a.setup.run)
	}
	part("asking Berth", a.poll)
	part("streaming", func(ctx context.Context) error { return a.stream.run(ctx, a.client.progress) })
	part("reporting", a.sendReports)
	wg.Wait()
	cause := context.Cause(ctx)
	a.log.Info("the agent stops", "why", cause)
	a.watcher.stop()
	if all, err := processes(); err == nil {
		a.noteStrays(all)
	}
	a.app.stop()
	if errors.Is(cause, errGone) || errors.Is(cause, errStop) {
		if a.config.Systemd {
			_ = exec.Command("systemctl", "disable", "--now", unitName).Run()
		}
		// Recipes may have started something of their own.
		return end(context.Background(), func() ([]process, error) { return belongs(dir, 0) })
	}
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

func newAgent(dir string) (*agent, error) {
	c, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	key, err := loadKey(dir)
	if err != nil {
		return nil, err
	}
	if c.Systemd {
		// The app has a user of its own, who must get to its checkout.
		if err := os.Chmod(dir, 0o711); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, spoolFolder), 0o700); err != nil {
		return nil, err
	}
	_, err = user.LookupId(strconv.Itoa(os.Getuid()))
	a := &agent{dir: dir, config: c, stream: newStream(), log: slog.New(slog.NewTextHandler(os.Stderr, nil)), named: err == nil,
		spool: make(chan struct{}, 1), mailed: make(chan struct{}, 1)}
	a.output = newOutput(filepath.Join(dir, appLog), func(line string) { a.stream.add("log", "app", line) })
	if err := readJSON(filepath.Join(dir, stateFile), &a.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("how far the agent came is not known", "error", err)
	}
	a.client = newClient(c.Boot.ServerID, key, a.berth)
	if c.Systemd {
		a.setup = newSetup(a.installSalt, a.takeUp)
	}
	return a, nil
}

// berth is where Berth is and whom to believe it, as the configuration has it
// now.
func (a *agent) berth() (url, ca string) {
	if c, err := readConfig(a.dir); err == nil {
		return c.Boot.URL, c.Boot.CA
	}
	return a.config.Boot.URL, a.config.Boot.CA
}

// warn logs failures of something that is tried again.
func (a *agent) warn(what string) func(error) {
	return func(err error) { a.log.Warn("trying again", "what", what, "error", err) }
}
