package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const (
	maxAppLog  = 5 << 20
	appLogTail = 16 << 10
	// steady is how long an app must live for its crashes to be forgotten.
	steady = time.Minute
)

// appRunVariable marks the processes of one run of the app.
const appRunVariable = "BERTH_APP_RUN"

const endedStatus = "ended with exit status %d"

// endedWell is how a program ends that goes on in the background.
var endedWell = fmt.Sprintf(endedStatus, 0)

// app is the app at one generation: a command that is kept running.
type app struct {
	agent      *agent
	generation int
	commit     string
	command    string
	env        []string
	run        string
	cancel     context.CancelFunc
	done       chan struct{}

	mu      sync.Mutex
	session int       // of the process that was started last
	born    uint64    // when the first process was started, in ticks as process.Start
	since   time.Time // when the running process started; zero: none runs
	ends    int       // how often it has ended
	last    string    // how it ended last
	holder  process   // the process that was seen with the port last
}

// appCommand is what starts the app: the catalog's start, else the Makefile's
// target run or start. Empty: there is nothing to start.
func (a *agent) appCommand(d *orchestrator.Desired) string {
	var pillar struct {
		Berth orchestrator.Pillar `json:"berth"`
	}
	if json.Unmarshal(d.Pillar, &pillar) == nil && pillar.Berth.App.Start != "" {
		return pillar.Berth.App.Start
	}
	for _, target := range []string{"run", "start"} {
		if a.makes(target) {
			return "exec make " + target
		}
	}
	return ""
}

// makes reports whether the checkout's Makefile has a target.
func (a *agent) makes(target string) bool {
	root, err := a.openCheckout()
	if err != nil {
		return false
	}
	defer root.Close()
	for _, name := range []string{"GNUmakefile", "makefile", "Makefile"} {
		if raw, err := readBelow(root, name); err == nil {
			return regexp.MustCompile(`(?m)^` + target + `[ \t]*:`).Match(raw)
		}
	}
	return false
}

// appEnv is all that the app gets: the minimum, .env and PORT.
func (a *agent) appEnv(d *orchestrator.Desired, run string) []string {
	var pillar struct {
		Berth orchestrator.Pillar `json:"berth"`
	}
	_ = json.Unmarshal(d.Pillar, &pillar)
	env := minimalEnv(a.dir, os.Getenv)
	env = setEnv(env, "HOME", filepath.Join(a.dir, "home"))
	env = setEnv(env, "TMPDIR", filepath.Join(a.dir, "tmp"))
	env, skipped := appVariables(env, pillar.Berth.Env, pillar.Berth.Needs, d.Port)
	if len(skipped) > 0 {
		a.stream.add("log", "app", skippedText(skipped))
	}
	env = setEnv(env, serverDirVariable, a.dir)
	return setEnv(env, appRunVariable, run)
}

// startApp keeps command running until stop.
func (a *agent) startApp(d *orchestrator.Desired, command string) *app {
	ctx, cancel := context.WithCancel(context.Background())
	run := rand.Text()
	p := &app{agent: a, generation: d.Generation, commit: d.Commit, command: command, env: a.appEnv(d, run), run: run, cancel: cancel, done: make(chan struct{})}
	go p.keep(ctx)
	return p
}

func (p *app) keep(ctx context.Context) {
	defer close(p.done)
	wait := newBackoff(30 * time.Second)
	for {
		began := time.Now()
		how := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.ends++
		p.last = how
		p.mu.Unlock()
		p.agent.output.note("The app " + how + ".")
		if time.Since(began) > steady {
			wait.Reset()
		}
		if pause(ctx, wait.NextBackOff()) != nil {
			return
		}
	}
}

// once runs the app until it ends or is stopped, and says how it ended.
func (p *app) once(ctx context.Context) string {
	cmd := exec.Command("/bin/sh", "-c", p.command)
	cmd.Dir = p.agent.checkout()
	cmd.Env = p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout = p.agent.output
	cmd.Stderr = p.agent.output
	cmd.WaitDelay = 2 * time.Second
	if err := p.agent.start(cmd); err != nil {
		return fmt.Sprintf("could not be started: %v", plainExec(err))
	}
	p.mu.Lock()
	p.since, p.session = time.Now(), cmd.Process.Pid
	if first, ok := readProcess(cmd.Process.Pid); ok && p.born == 0 {
		p.born = first.Start
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.since = time.Time{}
	p.mu.Unlock()
	// Also when the first process has ended by itself: what it left behind
	// would keep the port.
	err := end(context.Background(), func() ([]process, error) { return p.processes(cmd.Process.Pid) })
	if err != nil {
		p.agent.log.Error("the app's processes were not ended", "error", err)
	}
	<-ended
	p.agent.ended(cmd)
	if status := exitStatus(cmd.ProcessState); status > 128 {
		return fmt.Sprintf("was ended by signal %d", status-128)
	} else {
		return fmt.Sprintf(endedStatus, status)
	}
}

// processes are those of the app: its session, what left the session, and what
// left its environment behind too.
func (p *app) processes(session int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	own := p.own(session)
	descend := below(os.Getpid(), all)
	return slices.DeleteFunc(all, func(q process) bool { return q.Zombie || !own(q, descend) }), nil
}

// own tells whether a process is one of processes; descend are the agent's
// descendants.
func (p *app) own(session int) func(q process, descend []process) bool {
	p.agent.recordMu.Lock()
	others := slices.DeleteFunc(slices.Clone(p.agent.record.Sessions), func(l leader) bool { return l.PID == session })
	p.agent.recordMu.Unlock()
	p.mu.Lock()
	born := p.born
	p.mu.Unlock()
	return func(q process, descend []process) bool {
		switch {
		case q.PID == os.Getpid():
			return false
		// Before the app has started its session is 0, and so is every session
		// whose leader stands outside this container.
		case session > 0 && q.Session == session:
			return true
		case q.uid() == os.Getuid() && q.marked(appRunVariable+"="+p.run):
			return true
		}
		// Commands of recipes run in sessions of their own, or bear the mark.
		return born > 0 && q.Start >= born && slices.ContainsFunc(descend, func(d process) bool { return d.PID == q.PID }) &&
			!q.marked(serverDirVariable+"="+p.agent.dir) && !slices.ContainsFunc(others, func(l leader) bool { return l.PID == q.Session })
	}
}

// stranger reports whether a program that is none of the app's listens on the
// port, and names its process if it can be seen.
func (p *app) stranger(port int) (name string, ok bool) {
	sockets, err := listeners(port)
	if err != nil || len(sockets) == 0 {
		return "", false
	}
	p.mu.Lock()
	session, holder := p.session, p.holder
	p.mu.Unlock()
	// Nearly always it is the one that it was before.
	if now, alive := readProcess(holder.PID); alive && now.Start == holder.Start && now.holds(sockets) {
		return "", false
	}
	all, err := processes()
	if err != nil {
		return "", false
	}
	own, descend := p.own(session), below(os.Getpid(), all)
	for _, q := range all {
		if q.Zombie || !q.holds(sockets) {
			continue
		}
		if own(q, descend) {
			p.mu.Lock()
			p.holder = q
			p.mu.Unlock()
			return "", false
		}
		name, ok = fmt.Sprintf(" (process %d)", q.PID), true
	}
	if !ok { // it lets nobody look; its user is what is known
		for _, s := range sockets {
			ok = ok || s.uid != os.Getuid()
		}
	}
	return name, ok
}

// portTaken says that another program has the app's port.
type portTaken struct {
	port int
	name string
}

func (e *portTaken) Error() string {
	return fmt.Sprintf("port %d is taken by another program on this machine%s", e.port, e.name)
}

// displaced says that a program which is none of the app's has its port; where
// the agent does not supervise the app, that is not known.
func (p *app) displaced(port int) error {
	if p == nil || port == 0 {
		return nil
	}
	if name, ok := p.stranger(port); ok {
		return &portTaken{port, name}
	}
	return nil
}

// stop ends the app and everything that it started.
func (p *app) stop() {
	if p == nil {
		return
	}
	p.cancel()
	<-p.done
}

// state says since when the app runs (zero: not now), how often it has ended
// and how it did so last.
func (p *app) state() (since time.Time, ends int, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.ends, p.last
}

// output is where the app's output goes: a file that does not grow for ever,
// the stream, and the tail for the report.
type output struct {
	mu    sync.Mutex
	name  string
	file  *os.File
	size  int64
	tail  *ends
	lines *lineWriter
}

func newOutput(name string, line func(string)) *output {
	return &output{name: name, tail: &ends{maxTail: appLogTail}, lines: &lineWriter{line: line}}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.tail.Write(b)
	_, _ = o.lines.Write(b)
	o.save(b)
	// A full disk must not end the app.
	return len(b), nil
}

func (o *output) save(b []byte) {
	if o.file != nil && o.size > maxAppLog {
		o.file.Close()
		o.file = nil
		_ = os.Rename(o.name, o.name+".1")
	}
	if o.file == nil {
		f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		o.file, o.size = f, 0
		if info, err := f.Stat(); err == nil {
			o.size = info.Size()
		}
	}
	n, _ := o.file.Write(b)
	o.size += int64(n)
}

// note writes a line of the agent's own.
func (o *output) note(text string) { _, _ = o.Write([]byte("[berth] " + text + "\n")) }

// fresh begins a new tail: a report is about one generation.
func (o *output) fresh() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = &ends{maxTail: appLogTail}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tail.String()
}
