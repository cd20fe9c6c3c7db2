package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// errSuperseded ends what waited for Salt: something newer is to be done, or the
// agent ends.
var errSuperseded = errors.New("superseded")

// work brings the server from one desired state to the next.
func (a *agent) work(ctx context.Context) error {
	if good, err := a.good(); err == nil {
		soft := a.begin(ctx)
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
