package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// clockwork is lifetimes with one environment, on a clock that the test moves.
type clockwork struct {
	now      time.Time
	env      Environment
	warnings map[time.Time][]Warning
	catalog  Catalog
	// course is what happened, with the time since the environment's creation.
	course  []string
	offline bool
	nobody  bool
}

func (c *clockwork) Current() *Catalog { return &c.catalog }

func (c *clockwork) Expired(_ context.Context, at time.Time) ([]Environment, error) {
	if c.env.ExpiresAt.After(at) {
		return nil, nil
	}
	return []Environment{c.env}, nil
}

func (c *clockwork) Warnings(_ context.Context, _ string, end time.Time) ([]Warning, error) {
	return c.warnings[end], nil
}

func (c *clockwork) NoteWarning(_ context.Context, _ string, end time.Time, w Warning) error {
	c.warnings[end] = append(c.warnings[end], w)
	return nil
}

func (c *clockwork) note(what string) {
	c.course = append(c.course, fmt.Sprintf("%s %s", c.now.Sub(c.env.CreatedAt), what))
}

func (c *clockwork) Warn(_ context.Context, e Environment, _ time.Duration, end time.Time) (bool, error) {
	if c.offline {
		return false, errors.New("no connection")
	}
	if c.nobody {
		return false, nil
	}
	c.note("warned of " + end.Sub(e.CreatedAt).String())
	return true, nil
}

// run moves the clock to until in steps and lets lifetimes have a turn at each.
func (c *clockwork) run(t *testing.T, warner bool, until, step time.Duration) {
	t.Helper()
	l := &Lifetimes{Records: c, Catalogs: c, Now: func() time.Time { return c.now }, Log: slog.New(slog.DiscardHandler),
		Destroy: func(context.Context, Environment) error {
			c.note("destroyed")
			c.env.Status = StatusDestroying
			return nil
		}}
	if warner {
		l.Warner = c
	}
	for end := c.env.CreatedAt.Add(until); !c.now.After(end); c.now = c.now.Add(step) {
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func newClockwork(lifetime time.Duration) *clockwork {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &clockwork{now: start, warnings: map[time.Time][]Warning{},
		env: Environment{ID: "e1", Name: "qa", Owner: "maria", Status: StatusReady, CreatedAt: start, ExpirySetAt: start, ExpiresAt: start.Add(lifetime)}}
	c.catalog.Policy = PolicySettings{Warnings: []time.Duration{24 * time.Hour, 2 * time.Hour, 30 * time.Minute}, Grace: 30 * time.Minute}
	return c
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		lifetime time.Duration
		nobody   bool
		noDoor   bool
		run      func(t *testing.T, c *clockwork)
		want     []string
	}{
		"three days":                         {lifetime: 3 * day, want: []string{"48h0m0s warned of 72h0m0s", "70h0m0s warned of 72h0m0s", "71h30m0s warned of 72h0m0s", "72h0m0s destroyed"}},
		"a short life is not warned at once": {lifetime: 3 * time.Hour, want: []string{"2h30m0s warned of 3h0m0s", "3h0m0s destroyed"}},
		"a very short one not at all":        {lifetime: 40 * time.Minute, want: []string{"40m0s destroyed"}},
		"no door to warn through":            {lifetime: 3 * day, noDoor: true, want: []string{"72h0m0s destroyed"}},
		"nobody to warn":                     {lifetime: 3 * day, nobody: true, want: []string{"72h0m0s destroyed"}},
		"Berth was down over the end": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) {
			c.now = c.now.Add(80 * time.Hour)
		}, want: []string{"80h0m0s warned of 80h30m0s", "80h30m0s destroyed"}},
		"Berth was down until shortly before": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) {
			c.now = c.now.Add(71*time.Hour + 50*time.Minute)
		}, want: []string{"71h50m0s warned of 72h20m0s", "72h20m0s destroyed"}},
		"one missed warning is not made up for": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) {
			c.run(t, true, 50*time.Hour, 10*time.Minute)
			c.now = c.env.CreatedAt.Add(71*time.Hour + 40*time.Minute)
		}, want: []string{"48h0m0s warned of 72h0m0s", "71h40m0s warned of 72h0m0s", "72h0m0s destroyed"}},
		"extending moves the warnings": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) {
			c.run(t, true, 71*time.Hour, 10*time.Minute)
			c.env.ExpiresAt, c.env.ExpirySetAt = c.env.ExpiresAt.Add(12*time.Hour), c.now
		}, want: []string{"48h0m0s warned of 72h0m0s", "70h0m0s warned of 72h0m0s",
			"82h0m0s warned of 84h0m0s", "83h30m0s warned of 84h0m0s", "84h0m0s destroyed"}},
		"the door comes back": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) {
			c.offline = true
			c.run(t, true, 75*time.Hour, 10*time.Minute)
			c.offline = false
		}, want: []string{"75h10m0s warned of 75h40m0s", "75h40m0s destroyed"}},
		"the door never comes back": {lifetime: 3 * day, run: func(t *testing.T, c *clockwork) { c.offline = true },
			want: []string{"96h0m0s destroyed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClockwork(test.lifetime)
			c.nobody = test.nobody
			if test.run != nil {
				test.run(t, c)
			}
			c.run(t, !test.noDoor, 100*time.Hour, 10*time.Minute)
			if got, want := strings.Join(c.course, "\n"), strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
