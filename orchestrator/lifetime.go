package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Warning is one warning that an owner got of an environment's end.
type Warning struct {
	Ahead   time.Duration // of the end
	GivenAt time.Time
}

// Warner tells owners that an environment ends. Ahead, with e's expiry, says
// which warning it is: the same one is given once, whenever it is tried again.
// End is when e ends at the earliest, later than its expiry for a warning that
// is late. It answers false when there is nobody whom it could ever tell, and an
// error when it could not just now.
type Warner interface {
	Warn(ctx context.Context, e Environment, ahead time.Duration, end time.Time) (told bool, err error)
}

// WarningRecords remembers which warnings of which end were given.
type WarningRecords interface {
	Warnings(ctx context.Context, environmentID string, end time.Time) ([]Warning, error)
	NoteWarning(ctx context.Context, environmentID string, end time.Time, w Warning) error
	// Expired gives the live environments whose end is not after a time.
	Expired(ctx context.Context, at time.Time) ([]Environment, error)
}

// unwarnedAtMost is how much longer than its lifetime an environment lives
// because its owner's warning cannot be delivered.
const unwarnedAtMost = 24 * time.Hour

// Lifetimes warns owners before the end of their environments and destroys
// what is over. Run is called again and again; what it has done is in Records.
type Lifetimes struct {
	Records  WarningRecords
	Warner   Warner // nil: nobody is warned
	Catalogs Catalogs
	// Destroy submits the end of an environment whose lifetime is over.
	Destroy func(ctx context.Context, e Environment) error
	Now     func() time.Time
	Log     *slog.Logger
}

// Run does what is due now. An environment that makes trouble keeps no other
// one from its turn.
func (l *Lifetimes) Run(ctx context.Context) error {
	p := l.Catalogs.Current().Policy
	horizon := l.Now()
	if l.Warner != nil {
		for _, ahead := range p.Warnings {
			horizon = later(horizon, l.Now().Add(ahead))
		}
	}
	ending, err := l.Records.Expired(ctx, horizon)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range ending {
		if e.Status == StatusDestroying {
			continue
		}
		if err := l.turn(ctx, e, p); err != nil {
			errs = append(errs, fmt.Errorf("the lifetime of %s: %w", e.ID, err))
		}
	}
	return errors.Join(errs...)
}

// turn warns of, or brings about, the end of one environment.
func (l *Lifetimes) turn(ctx context.Context, e Environment, p PolicySettings) error {
	now := l.Now()
	until := e.ExpiresAt
	if aheads := warningsOf(e, p.Warnings); l.Warner != nil && len(aheads) > 0 {
		given, err := l.warn(ctx, e, p, aheads)
		if err != nil {
			return err
		}
		until = later(until, given.Add(grace(p, aheads)))
	}
	if now.Before(until) {
		return nil
	}
	l.Log.Info("an environment's lifetime is over", "environment", e.ID, "name", e.Name, "end", e.ExpiresAt)
	return l.Destroy(ctx, e)
}

// warn gives the warning that is due and answers when the first one was
// given. While it cannot be given the answer is now, so that nothing dies
// unwarned, for a day at most.
func (l *Lifetimes) warn(ctx context.Context, e Environment, p PolicySettings, aheads []time.Duration) (first time.Time, err error) {
	now := l.Now()
	given, err := l.Records.Warnings(ctx, e.ID, e.ExpiresAt)
	if err != nil {
		return first, err
	}
	due, isDue := dueWarning(e, aheads, now)
	for _, w := range given {
		if first.IsZero() || w.GivenAt.Before(first) {
			first = w.GivenAt
		}
		isDue = isDue && w.Ahead > due
	}
	if !isDue {
		return first, nil
	}
	end := e.ExpiresAt
	if first.IsZero() {
		end = later(end, now.Add(grace(p, aheads)))
	}
	told, err := l.Warner.Warn(ctx, e, due, end)
	if err != nil {
		if ctx.Err() != nil {
			return first, err
		}
		l.Log.Warn("an owner could not be warned", "environment", e.ID, "owner", e.Owner, "error", err)
		if first.IsZero() && now.Before(e.ExpiresAt.Add(unwarnedAtMost)) {
			first = now
		}
		return first, nil
	}
	if first.IsZero() && told {
		first = now
	}
	return first, l.Records.NoteWarning(ctx, e.ID, e.ExpiresAt, Warning{Ahead: due, GivenAt: now})
}

// warningsOf are the warnings that e gets: none that would come in the first
// half of the time that it was given, so that a short life is not all warnings.
func warningsOf(e Environment, all []time.Duration) []time.Duration {
	var out []time.Duration
	for _, ahead := range all {
		if ahead <= e.ExpiresAt.Sub(e.ExpirySetAt)/2 {
			out = append(out, ahead)
		}
	}
	return out
}

// dueWarning is the latest warning whose moment has come; older ones that were
// missed are not made up for.
func dueWarning(e Environment, aheads []time.Duration, now time.Time) (due time.Duration, ok bool) {
	for _, ahead := range aheads {
		if !now.Before(e.ExpiresAt.Add(-ahead)) && (!ok || ahead < due) {
			due, ok = ahead, true
		}
	}
	return due, ok
}

// grace is how long e lives at least after its first warning: no longer than
// the shortest of its warnings, which in good times comes that long ahead.
func grace(p PolicySettings, aheads []time.Duration) time.Duration {
	g := p.Grace
	for _, ahead := range aheads {
		g = min(g, ahead)
	}
	return g
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
