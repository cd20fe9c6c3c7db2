package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

// errStop is a desired state that asks the agent to stop.
var errStop = errors.New("Berth asked this agent to stop")

// errSuperseded ends what waited for Salt: something newer is to be done, or the
// agent ends.
var errSuperseded = errors.New("superseded")

func permanent(err error) error { return backoff.Permanent(err) }

// state is state.json.
type state struct {
	// Handled is the generation whose report has been spooled.
	Handled int `json:"handled"`
	// Dirty says that a run has touched the checkout since what an app runs
	// from it was kept.
	Dirty bool `json:"dirty"`
	// Health is what Berth was told last of the app.
	Health health `json:"health"`
}

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

// runDetached tells Start, on descriptor 3, that the agent runs or why not.
func runDetached(ctx context.Context, dir string, uid int) error {
	if err := closeInherited(); err != nil {
		return err
	}
	start := os.NewFile(3, "start")
	say := func(text string) {
		_, _ = start.WriteString(text)
		start.Close()
	}
	err := detach(dir, uid)
	if err == nil {
		err = run(ctx, dir, func() { say(readyText) })
	}
	if err != nil {
		say(err.Error())
	}
	return err
}

// detach makes this process the server's own: its user, its log, nothing of
// the caller's.
func detach(dir string, uid int) error {
	if uid != 0 {
		if err := become(uid); err != nil {
			return fmt.Errorf("becoming user %d: %w", uid, err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, 4<<20))
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		if uid != 0 && errors.Is(err, fs.ErrPermission) {
			return orchestrator.Errorf(orchestrator.CodeNotAllowed, "user %d cannot reach %s: a folder above it is closed to others", uid, dir)
		}
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	out, err := os.OpenFile(filepath.Join(dir, agentLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if info, err := out.Stat(); err == nil && info.Size() > maxAppLog {
		_ = out.Truncate(0)
	}
	for fd, f := range []*os.File{null, out, out} {
		if err := unix.Dup2(int(f.Fd()), fd); err != nil {
			return err
		}
	}
	if len(raw) > 0 {
		return writeFile(filepath.Join(dir, ConfigFile), raw)
	}
	return nil
}

// closeInherited closes what a careless caller left open for this process.
// Go's own descriptors all close on exec and are thereby known.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		switch {
		case err != nil || flags&unix.FD_CLOEXEC != 0:
		case fd == 3:
			unix.CloseOnExec(fd)
		default:
			_ = unix.Close(fd)
		}
	}
	return nil
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
		a.setup = newSetup(a.newInstaller().install, a.takeUp)
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

// enroll binds the token to this agent's key, once.
func (a *agent) enroll(ctx context.Context) error {
	sum := sha256.Sum256([]byte(a.config.Boot.Token))
	name, want := filepath.Join(a.dir, enrolledFile), hex.EncodeToString(sum[:])
	if raw, err := os.ReadFile(name); err == nil && (string(raw) == want || a.config.Boot.Token == "") {
		a.forgetToken()
		return nil
	}
	if a.config.Boot.Token == "" {
		return orchestrator.Errorf(orchestrator.CodeNotAllowed, "The server %s has neither signed in to Berth nor a token to do so.", a.config.Boot.ServerID).
			WithHint("Destroy the server and create it again.")
	}
	refusals := 0
	err := retry(ctx, a.warn("enrolling"), func() error {
		err := a.client.enroll(ctx, a.config.Boot.Token)
		var refused *statusError
		if errors.As(err, &refused) && refused.Status == 403 {
			if refusals++; refusals == 3 {
				return permanent(orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth knows the server %s by another key.", a.config.Boot.ServerID).
					WithHint("Destroy the server and create it again."))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := writeFile(name, []byte(want)); err != nil {
		return err
	}
	a.forgetToken()
	return nil
}

// cloudInitCopies are cloud-init's own copies of the user-data that it can do
// without: it fetches them anew at each start.
var cloudInitCopies = []string{
	"/var/lib/cloud/instance/user-data.txt", "/var/lib/cloud/instance/user-data.txt.i", "/var/lib/cloud/instance/cloud-config.txt",
}

// forgetToken takes the token, which is dead now, from where it lies on a
// machine of its own. On Berth's machine it says which agent a folder is of.
func (a *agent) forgetToken() {
	file := a.config.BootFile
	if file == "" || a.config.Boot.Token == "" {
		return
	}
	boot := a.config.Boot
	boot.Token = ""
	err := writeJSON(file, boot)
	if err == nil {
		err = rewrite(a.dir, func(c *config) bool { c.Boot.Token = ""; return true })
	}
	if err != nil {
		a.log.Warn("the dead token was not removed", "error", err)
		return
	}
	a.config.Boot.Token = ""
	if file != templates.BootFile {
		return // this is no machine that cloud-init has made
	}
	for _, name := range cloudInitCopies {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("a copy of the user-data was not removed", "error", err)
		}
	}
}

// poll asks for what the server should be, again and again.
func (a *agent) poll(ctx context.Context) error {
	after := a.handled()
	for ctx.Err() == nil {
		var d *orchestrator.Desired
		err := retry(ctx, a.warn("asking for the desired state"), func() (err error) {
			d, err = a.client.desired(ctx, after)
			return err
		})
		switch {
		case err != nil:
			return err
		case d == nil:
		case d.Stop:
			return errStop
		case d.Generation <= after:
			// Nothing new, at once: no reason to ask without a rest.
			_ = pause(ctx, time.Second)
		default:
			after = d.Generation
			a.deliver(d)
		}
	}
	return nil
}

// deliver hands a desired state to the worker; an older one that still waits
// is forgotten.
func (a *agent) deliver(d *orchestrator.Desired) {
	a.mailMu.Lock()
	a.mail = d
	if a.supersede != nil {
		a.supersede()
	}
	a.mailMu.Unlock()
	select {
	case a.mailed <- struct{}{}:
	default:
	}
}

// takeUp goes on with what could not be applied for want of Salt, unless Berth
// has asked for something newer since.
func (a *agent) takeUp() {
	a.mailMu.Lock()
	defer a.mailMu.Unlock()
	if a.pending == nil || a.mail != nil {
		return
	}
	a.mail, a.pending = a.pending, nil
	select {
	case a.mailed <- struct{}{}:
	default:
	}
}

// collect takes the newest desired state, and gives a context that ends when
// a newer one comes.
func (a *agent) collect(ctx context.Context) (*orchestrator.Desired, context.Context) {
	a.mailMu.Lock()
	defer a.mailMu.Unlock()
	d := a.mail
	a.mail = nil
	if d != nil {
		a.pending = nil
	}
	soft, cancel := context.WithCancel(ctx)
	if a.supersede != nil {
		a.supersede()
	}
	a.supersede = cancel
	return d, soft
}

// work brings the server from one desired state to the next.
func (a *agent) work(ctx context.Context) error {
	if good, err := a.good(); err == nil {
		_, soft := a.collect(ctx)
		a.stream.at(good.Generation)
		a.comeBack(soft, good)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.mailed:
		}
		d, soft := a.collect(ctx)
		if d == nil {
			continue
		}
		if d.Halt {
			err := a.halt(soft, d)
			if err != nil {
				return err
			}
			continue
		}
		if err := a.apply(ctx, soft, d); err != nil {
			return err
		}
	}
}

// halt leaves the server as it ran before what was given up; nobody waits for a
// report.
func (a *agent) halt(soft context.Context, d *orchestrator.Desired) error {
	a.log.Info("giving up", "generation", d.Generation)
	if err := a.update(func(s *state) { s.Handled = max(s.Handled, d.Generation) }); err != nil {
		return err
	}
	return a.goBack(soft, d)
}

// goBack leaves the server as it ran before d, which failed or was given up,
// unless something newer is to be done anyway.
func (a *agent) goBack(soft context.Context, d *orchestrator.Desired) error {
	if !a.dirty() || soft.Err() != nil {
		return nil
	}
	good, err := a.good()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Nothing ran before.
		a.stopApp()
		if a.config.Systemd && d.Halt {
			_ = exec.Command("systemctl", "disable", "--now", unitName).Run()
		}
		return nil
	case err != nil:
		a.log.Error("what ran before is not known", "error", err)
		return nil
	}
	if a.restore(soft, good) {
		a.resume(good)
		return nil
	}
	if !d.Halt || soft.Err() != nil || a.app == nil || a.app.generation == good.Generation {
		return nil // what runs is what Berth knows of, or it has been told why not
	}
	// What was given up runs, and will go on: Berth has to know.
	if err := a.reportLater(soft, d, a.app, false, "this was given up, and what ran before could not be brought back"); err != nil {
		return err
	}
	a.watchApp(d, a.app, false)
	return nil
}

// stopApp ends the app, where the agent supervises it, and looks after it no
// more.
func (a *agent) stopApp() {
	a.watcher.stop()
	a.watcher = nil
	a.app.stop()
	a.app = nil
}

// resume has the app run as it did at a generation, and looked after, unless it
// does already.
func (a *agent) resume(good *orchestrator.Desired) {
	if !a.config.Systemd && (a.app == nil || a.app.generation != good.Generation) {
		a.stopApp()
		if command := a.appCommand(good); command != "" {
			a.app = a.startApp(good, command)
			if a.dirty() {
				// The checkout could not be restored yet: this is no generation.
				a.app.generation, a.app.commit = 0, a.head(context.Background())
			}
		}
	}
	a.stateMu.Lock()
	known := a.state.Health
	a.stateMu.Unlock()
	if a.watcher == nil && known.Generation == good.Generation {
		a.watchApp(good, a.app, known.Healthy)
	}
}

// comeBack starts the app again after a restart of the agent: without Salt,
// unless a run was cut off.
func (a *agent) comeBack(soft context.Context, good *orchestrator.Desired) {
	if a.dirty() {
		a.restore(soft, good)
	}
	a.resume(good)
}

// apply does one generation. Its error is only what ends the agent.
func (a *agent) apply(ctx, soft context.Context, d *orchestrator.Desired) error {
	a.stream.at(d.Generation)
	a.log.Info("applying", "generation", d.Generation, "commit", d.Commit)
	if a.setup == nil && a.handled() == 0 {
		a.stream.add("booting", "", "the server's agent has called home")
	}
	r := orchestrator.Report{Generation: d.Generation, Run: rand.Text(), StartedAt: time.Now().UTC()}
	if err := a.configure(ctx, soft, d, &r); errors.Is(err, errSuperseded) {
		return nil
	} else if err != nil {
		return err
	}
	r.Revision = a.head(ctx)
	if r.Problem == "" && r.Exit == 0 {
		if err := a.runApp(ctx, soft, d, &r); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // not finished, so it is done again after the restart
	}
	r.AppLog = a.appLog(ctx, &r)
	r.EndedAt = time.Now().UTC()
	a.stream.drain(ctx)
	if r.Installing {
		// Nothing has been touched, and it is not done with: it is taken up
		// when Salt is there, also by an agent that was started again.
		a.mailMu.Lock()
		if soft.Err() == nil {
			a.pending = d
		}
		a.mailMu.Unlock()
		return a.spoolReport(r)
	}
	if err := a.keepReport(r); err != nil {
		return err
	}
	return a.goBack(soft, d)
}

// configure runs Salt for a generation, until a newer one comes.
func (a *agent) configure(ctx, soft context.Context, d *orchestrator.Desired, r *orchestrator.Report) error {
	var p problem
	err := check(d, a.config.Boot.ServerID)
	if err == nil && a.setup != nil {
		_, err = a.setup.wait(soft)
		var failed *failedInstall
		switch {
		case errors.As(err, &failed):
			r.Problem, r.Stderr, r.Installing = failed.text, failed.output, true
			return nil
		case err != nil:
			return errSuperseded
		}
	}
	if err == nil {
		a.stream.add("configuring", "", "setting the server up")
		err = a.prepare(ctx, soft, d)
	}
	var res result
	if err == nil {
		if err := a.update(func(s *state) { s.Dirty = true }); err != nil {
			return err
		}
		res, err = a.applySalt(soft, d, false)
	}
	switch {
	case errors.As(err, &p):
		r.Problem, r.Stderr = p.text, p.said
		return nil
	case err != nil:
		return err
	}
	r.Stdout, r.Stderr, r.Exit = res.stdout, res.stderr, res.exit
	return nil
}

// runApp starts the app anew at a generation, and waits for its health. Until
// that is known, what ran before is what the agent goes back to.
func (a *agent) runApp(ctx, soft context.Context, d *orchestrator.Desired, r *orchestrator.Report) error {
	a.watcher.stop()
	a.watcher = nil
	if !a.config.Systemd {
		a.stream.add("starting", "", "the app starts")
		a.stopApp()
		a.output.fresh()
		command := a.appCommand(d)
		switch {
		case command != "":
			a.waitForPort(ctx, d.Port)
			a.app = a.startApp(d, command)
		case len(d.States) == 0 || slices.Equal(d.States, []string{"app"}):
			r.HealthDetail = "there is nothing to start: the catalog has no start for this app, and its Makefile no target run or start"
			return a.keep(d, func(*state) {})
		}
	}
	a.stream.add("health", "", "waiting for the app to be healthy")
	r.Healthy, r.HealthDetail = a.awaitHealth(soft, d, a.app)
	if soft.Err() != nil {
		return nil
	}
	r.PortTaken = !r.Healthy && a.app.displaced(d.Port) != nil
	if err := a.keep(d, func(s *state) { s.Health = health{d.Generation, r.Healthy} }); err != nil {
		return err
	}
	a.watchApp(d, a.app, r.Healthy)
	return nil
}

// keep makes d what the agent starts again, and goes back to.
func (a *agent) keep(d *orchestrator.Desired, change func(*state)) error {
	if err := writeJSON(filepath.Join(a.dir, goodFile), d); err != nil {
		return err
	}
	a.forgetStates(d.StatesDigest)
	return a.update(func(s *state) {
		s.Dirty = false
		change(s)
	})
}

// forgetStates removes the recipes that nothing will apply any more.
func (a *agent) forgetStates(digest string) {
	names, _ := filepath.Glob(filepath.Join(a.dir, "states", "*"))
	for _, name := range names {
		if filepath.Base(name) != digest {
			if err := os.RemoveAll(name); err != nil {
				a.log.Warn("old recipes were not removed", "error", err)
			}
		}
	}
}

// restore brings the checkout back to what ran before, and reports whether it
// could.
func (a *agent) restore(soft context.Context, good *orchestrator.Desired) bool {
	if soft.Err() != nil {
		return false
	}
	a.log.Info("restoring", "generation", good.Generation, "commit", good.Commit)
	err := a.prepare(soft, soft, good)
	if err == nil {
		var res result
		if res, err = a.applySalt(soft, good, true); err == nil && res.exit != 0 {
			err = fmt.Errorf("salt-call ended with %d", res.exit)
		}
	}
	if err == nil {
		err = a.update(func(s *state) { s.Dirty = false })
	}
	if err != nil {
		a.log.Warn("the last good state was not restored", "error", err)
	}
	return err == nil
}

// appLog is the tail of the app's output.
func (a *agent) appLog(ctx context.Context, r *orchestrator.Report) string {
	if !a.config.Systemd {
		return a.output.String()
	}
	if r.Healthy {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "journalctl", "--unit", unitName, "--lines", "200", "--output", "cat", "--no-pager").Output()
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(out[max(0, len(out)-appLogTail):]), "�")
}

// keepReport stores a report until Berth has taken it, then counts the
// generation as handled.
func (a *agent) keepReport(r orchestrator.Report) error {
	if err := a.spoolReport(r); err != nil {
		return err
	}
	return a.update(func(s *state) { s.Handled = max(s.Handled, r.Generation) })
}

func (a *agent) spoolReport(r orchestrator.Report) error {
	a.spoolMu.Lock()
	defer a.spoolMu.Unlock()
	// In the order in which they were made, also after a restart.
	a.spooled = max(a.spooled+1, time.Now().UnixMilli())
	if err := writeJSON(filepath.Join(a.dir, spoolFolder, fmt.Sprintf("%014d-%s.json", a.spooled, rand.Text())), r); err != nil {
		return err
	}
	select {
	case a.spool <- struct{}{}:
	default:
	}
	return nil
}

// sendReports posts what is in the spool, the oldest first.
func (a *agent) sendReports(ctx context.Context) error {
	for {
		names, err := filepath.Glob(filepath.Join(a.dir, spoolFolder, "*.json"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := a.sendReport(ctx, name); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.spool:
		}
	}
}

func (a *agent) sendReport(ctx context.Context, name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !json.Valid(raw) {
		return os.Rename(name, name+".damaged")
	}
	err = retry(ctx, a.warn("reporting"), func() error {
		err := a.client.report(ctx, json.RawMessage(bytes.TrimSpace(raw)))
		var refused *statusError
		if errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 413 || refused.Status == 422) {
			return permanent(err)
		}
		return err
	})
	var refused *statusError
	switch {
	case errors.As(err, &refused):
		a.log.Error("Berth does not take a report", "file", name, "error", err)
		return a.replaceReport(name, raw, refused)
	case err != nil:
		return err
	}
	return os.Remove(name)
}

// replaceReport puts a short report in the place of one that Berth will never
// take, so that nobody waits for it; of a short one nothing can be made.
func (a *agent) replaceReport(name string, raw []byte, refused *statusError) error {
	var r orchestrator.Report
	if err := json.Unmarshal(raw, &r); err == nil && (r.Stdout != "" || r.Stderr != "" || r.AppLog != "") {
		r.Stdout, r.Stderr, r.AppLog, r.Healthy = "", "", "", false
		r.Problem = fmt.Sprintf("The server ran its recipes, but Berth did not take its report (%d %s).", refused.Status, refused.Text)
		if err := a.spoolReport(r); err != nil {
			return err
		}
	}
	return os.Rename(name, name+".refused")
}

// reapAll takes adopted children that have ended and writes down those that
// have left everything behind by which they could be known.
func (a *agent) reapAll(ctx context.Context) error {
	for pause(ctx, 5*time.Second) == nil {
		if all, err := processes(); err == nil {
			reapOf(all)
			a.noteStrays(all)
		}
	}
	return nil
}

// noteStrays writes down the sessions of descendants that have changed both
// their session and their environment: once this agent is dead, nothing else
// tells whose they are.
func (a *agent) noteStrays(all []process) {
	table := map[int]process{}
	for _, p := range all {
		table[p.PID] = p
	}
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	known := len(a.record.Strays)
	a.record.Strays = slices.DeleteFunc(a.record.Strays, func(l leader) bool {
		return !slices.ContainsFunc(all, func(p process) bool { return l.holds(p, table) && !p.Zombie })
	})
	changed := len(a.record.Strays) != known
	for _, p := range below(os.Getpid(), all) {
		if p.Zombie || p.marked(serverDirVariable+"="+a.dir) ||
			slices.ContainsFunc(slices.Concat(a.record.Sessions, a.record.Strays, []leader{a.record.Agent}), func(l leader) bool { return l.holds(p, table) }) {
			continue
		}
		l := leader{p.Session, p.Start}
		if head, ok := table[p.Session]; ok {
			l.Start = head.Start
		}
		a.record.Strays, changed = append(a.record.Strays, l), true
	}
	if !changed {
		return
	}
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
}

func (a *agent) good() (*orchestrator.Desired, error) {
	var d orchestrator.Desired
	if err := readJSON(filepath.Join(a.dir, goodFile), &d); err != nil {
		return nil, err
	}
	return &d, check(&d, a.config.Boot.ServerID)
}

func (a *agent) handled() int {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	return a.state.Handled
}

func (a *agent) dirty() bool {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	return a.state.Dirty
}

func (a *agent) update(change func(*state)) error {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	change(&a.state)
	return writeJSON(filepath.Join(a.dir, stateFile), a.state)
}

// start starts a command in a session of its own and writes that down.
func (a *agent) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	p, _ := readProcess(cmd.Process.Pid)
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	a.record.Sessions = append(a.record.Sessions, leader{cmd.Process.Pid, p.Start})
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
	return nil
}

// ended forgets a session when nothing is left in it.
func (a *agent) ended(cmd *exec.Cmd) {
	all, err := processes()
	if err != nil {
		return
	}
	for _, p := range all {
		if p.Session == cmd.Process.Pid && !p.Zombie {
			return
		}
	}
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	a.record.Sessions = slices.DeleteFunc(a.record.Sessions, func(l leader) bool { return l.PID == cmd.Process.Pid })
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
}

func (a *agent) saveRecord() error {
	return writeJSON(filepath.Join(a.dir, processesFile), a.record)
}

// killSession kills a command and everything below it.
func (a *agent) killSession(session int) error {
	all, err := processes()
	if err != nil {
		return syscall.Kill(-session, syscall.SIGKILL)
	}
	below := map[int]bool{session: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !below[p.PID] && (below[p.Parent] || p.Session == session) {
				below[p.PID], grown = true, true
			}
		}
	}
	all = slices.DeleteFunc(all, func(p process) bool { return !below[p.PID] || p.Zombie })
	signal(all, syscall.SIGKILL)
	return nil
}
