package agent

import (
	"context"
	"crypto/rand"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const (
	// watchEvery is how often an app that was started is looked at again, and
	// watchTimes how often in a row it must look otherwise than Berth was told
	// until Berth is told anew.
	watchEvery = 5 * time.Second
	watchTimes = 3
	// tooOften is how often an app may not end within endsWithin, however well
	// it answers in between, and calmFor how long it must then run without an
	// end until it counts as well. With half of endsWithin, an app that ends at
	// a steady pace is not told to be well and unwell in turn.
	tooOften   = 3
	endsWithin = 5 * time.Minute
	calmFor    = endsWithin / 2
)

// endings are the times at which an app has ended lately.
type endings struct {
	at    []time.Time
	often bool
}

// note takes how often the app has ended since it was looked at last, and
// reports whether it does not stay up.
func (e *endings) note(now time.Time, ends int) bool {
	for range min(ends, tooOften) {
		e.at = append(e.at, now)
	}
	e.at = slices.DeleteFunc(e.at, func(t time.Time) bool { return now.Sub(t) >= endsWithin })
	switch {
	case len(e.at) >= tooOften:
		e.often = true
	case len(e.at) == 0:
		e.often = false
	}
	if e.often && now.Sub(e.at[len(e.at)-1]) >= calmFor {
		*e = endings{}
	}
	return e.often
}

// health is what Berth knows of the app.
type health struct {
	Generation int  `json:"generation"`
	Healthy    bool `json:"healthy"`
}

// watcher looks after the app of one generation until it is stopped.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *watcher) stop() {
	if w == nil {
		return
	}
	w.cancel()
	<-w.done
}

// watchApp begins to look after d's app, p where the agent supervises it; told
// is what Berth knows. The worker stops it before it stops the app.
func (a *agent) watchApp(d *orchestrator.Desired, p *app, told bool) {
	ctx, cancel := context.WithCancel(context.Background())
	a.watcher = &watcher{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.watcher.done)
		a.lookAfter(ctx, d, p, told)
	}()
}

func (a *agent) lookAfter(ctx context.Context, d *orchestrator.Desired, p *app, told bool) {
	began := time.Now()
	// How often it had ended at the last look, and when it was well last.
	seen, _ := a.ends(ctx, p, -1)
	before, otherwise := seen, 0
	var lately endings
	for pause(ctx, watchEvery) == nil {
		detail := ""
		err := a.look(ctx, d, p, began)
		if err != nil {
			detail = err.Error()
		}
		ends, last := a.ends(ctx, p, seen)
		if seen < 0 || ends < seen { // started by hand, systemd counts anew
			seen, before = ends, ends
		}
		often := lately.note(time.Now(), ends-seen)
		switch {
		// Between two looks it may have ended and been started again.
		case err != nil && ends > before || ends > seen:
			detail = endedDetail(max(ends-before, len(lately.at)), last, detail)
		case often && err == nil:
			detail = endedDetail(len(lately.at), last, "it was started again each time")
		}
		if seen = ends; detail == "" {
			before = ends
		}
		if ctx.Err() != nil {
			return
		}
		if (detail == "") == told {
			otherwise = 0
			continue
		}
		if otherwise++; otherwise < watchTimes {
			continue
		}
		told, otherwise = !told, 0
		if err := a.reportLater(ctx, d, p, told, detail); err != nil {
			a.log.Error("how the app is was not reported", "error", err)
		}
	}
}

// ends says how often the app has ended and been started again, before where
// that is not known now, and how it ended last: of one that systemd keeps
// running, just that it did.
func (a *agent) ends(ctx context.Context, p *app, before int) (ends int, last string) {
	if p != nil {
		_, ends, last = p.state()
		return ends, last
	}
	if !a.config.Systemd {
		return max(before, 0), ""
	}
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property=NRestarts", "--value", unitName).Output()
	if err == nil {
		ends, err = strconv.Atoi(strings.TrimSpace(string(out)))
	}
	if err != nil {
		ends = before
	}
	return ends, "ended"
}

// reportLater tells Berth that an app has become healthy or ceased to be.
func (a *agent) reportLater(ctx context.Context, d *orchestrator.Desired, p *app, healthy bool, detail string) error {
	now := time.Now().UTC()
	r := orchestrator.Report{Generation: d.Generation, Run: rand.Text(), StartedAt: now, EndedAt: now, Later: true, Healthy: healthy,
		HealthDetail: detail, Revision: a.head(ctx)}
	if p != nil {
		r.Revision = p.commit
	}
	if !healthy {
		r.PortTaken = p.displaced(d.Port) != nil
		r.AppLog = a.appLog(ctx, &r)
	}
	if err := a.update(func(s *state) { s.Health = health{d.Generation, healthy} }); err != nil {
		return err
	}
	return a.spoolReport(r)
}
