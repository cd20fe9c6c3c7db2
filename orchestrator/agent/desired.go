package agent

import (
	"context"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

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
	return d, a.until(ctx)
}

// begin is what the worker does before it has collected anything: its context
// ends when there is something to collect, also when that has come already.
func (a *agent) begin(ctx context.Context) context.Context {
	a.mailMu.Lock()
	defer a.mailMu.Unlock()
	soft := a.until(ctx)
	if a.mail != nil {
		a.supersede()
	}
	return soft
}

// until gives a context that the next delivery ends; mailMu is held.
func (a *agent) until(ctx context.Context) context.Context {
	soft, cancel := context.WithCancel(ctx)
	if a.supersede != nil {
		a.supersede()
	}
	a.supersede = cancel
	return soft
}
