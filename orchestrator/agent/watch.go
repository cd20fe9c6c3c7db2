package agent

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const (
	// watchEvery is how often an app that was started is looked at again, and
	// watchTimes how often in a row it must look otherwise than Berth was told
	// until Berth is told anew.
	watchEvery = 5 * time.Second
	watchTimes = 3
)

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
	seen, before, otherwise := 0, 0, 0
	if p != nil {
		_, seen, _ = p.state()
		before = seen
	}
	for pause(ctx, watchEvery) == nil {
		detail := ""
		err := a.look(ctx, d, p, began)
		if err != nil {
			detail = err.Error()
		}
		if p != nil {
			_, ends, last := p.state()
			// Between two looks it may have ended and been started again.
			if err != nil && ends > before || ends > seen {
				detail = endedDetail(ends-before, last, detail)
			}
			if seen = ends; detail == "" {
				before = ends
			}
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
