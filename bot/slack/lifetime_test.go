package slack_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// lifetimes is what serve runs once a minute.
func (o *office) lifetimes() *orchestrator.Lifetimes {
	return &orchestrator.Lifetimes{Records: o.store, Warner: o.door, Catalogs: o, Now: o.now, Log: slog.New(slog.NewTextHandler(o.log, nil)),
		Destroy: func(ctx context.Context, e orchestrator.Environment) error { return o.service.Expire(ctx, e) }}
}

// turn lets time pass, then the lifetimes have their turn twice: the second
// one must do nothing more. It gives all warnings that maria has got.
func (o *office) turn(passes time.Duration) []slackfake.Message {
	o.t.Helper()
	o.clock.Advance(passes)
	for range 2 {
		if err := o.lifetimes().Run(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
	}
	var out []slackfake.Message
	for _, m := range o.fake.DM(maria) {
		if m.User == o.fake.BotUserID() && strings.Contains(m.Text, "Extend it, or let it go.") {
			out = append(out, m)
		}
	}
	return out
}

// An owner is warned in Slack as the catalog says; extending moves the
// warnings, and what was warned of ends in time.
func TestLifetime(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	o := newOffice(t, settings{clock: true})
	o.runs(20)
	o.ready(maria, dev, "/env create qa ttl=3d", "qa")
	if n := len(o.turn(0)); n != 0 {
		t.Fatalf("%d warnings at once", n)
	}
	all := o.turn(2*day + time.Minute)
	if len(all) != 1 || !shows(all[0], "qa", "ends in 1 d") && !shows(all[0], "qa", "ends in 23 h") {
		t.Fatalf("a day before: %d warnings: %v", len(all), all)
	}
	ends := must(o.store.Environment(t.Context(), "qa")).ExpiresAt
	o.until("connections, renewed meanwhile", func() bool { return o.fake.Connections() == 2 })
	o.clicks(maria, all[0], "Extend by a day")
	o.card(o.fake.IM(maria), "now ends")
	if moved := must(o.store.Environment(t.Context(), "qa")).ExpiresAt.Sub(ends); moved != day {
		t.Fatalf("extended by %s", moved)
	}
	// The old end comes and goes without a warning. Less than two days were
	// left when it was moved: a day's warning of that would be one at once.
	if n := len(o.turn(22 * time.Hour)); n != 1 {
		t.Errorf("%d warnings of an end that was moved", n)
	}
	if n := len(o.turn(3 * time.Hour)); n != 1 {
		t.Errorf("%d warnings after the old end", n)
	}
	all = o.turn(21 * time.Hour)
	if len(all) != 2 || !shows(all[1], "qa", "ends in 1 h") && !shows(all[1], "qa", "ends in 2 h") {
		t.Fatalf("two hours before the new end: %d warnings", len(all))
	}
	o.turn(2 * time.Hour)
	// The owner sees that too, and nobody else does.
	card := o.card(o.fake.IM(maria), "Destroying qa", "The lifetime of", "<@"+maria+">")
	o.ends("qa")
	o.card(o.fake.IM(maria), "qa is gone")
	o.until("the end told", func() bool {
		thread := o.fake.Thread(o.fake.IM(maria), card.TS)
		return len(thread) == 2 && shows(thread[1], "<@"+maria+">", "qa is gone")
	})
	if n := len(o.cardsOf(dev)); n != 1 {
		t.Errorf("%d cards in the channel", n)
	}
}

// Each warning of the same end comes, once.
func TestEachWarning(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{clock: true, policy: func(p *orchestrator.PolicySettings) {
		p.Warnings = []time.Duration{24 * time.Hour, 2 * time.Hour, 30 * time.Minute}
	}})
	o.runs(20)
	o.ready(maria, dev, "/env create qa ttl=3d", "qa")
	for i, passes := range []time.Duration{48*time.Hour + time.Minute, 22 * time.Hour, 90 * time.Minute} {
		if n := len(o.turn(passes)); n != i+1 {
			t.Fatalf("%d warnings, want %d", n, i+1)
		}
	}
}

// Nothing dies unwarned: not after Berth was down, and not while Slack is away.
func TestLateWarning(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	o := newOffice(t, settings{clock: true})
	o.runs(20)
	o.ready(maria, dev, "/env create qa ttl=3d", "qa")
	lives := func(when string) {
		t.Helper()
		if e := must(o.store.Environment(t.Context(), "qa")); e.Status != orchestrator.StatusReady || e.Operation.Kind == orchestrator.KindDestroy {
			t.Fatalf("%s: %s, %s", when, e.Status, e.Operation.Kind)
		}
	}
	// Berth was down until after the end, and finds Slack away as well.
	if err := o.fake.SetOutage(slackfake.Unavailable); err != nil {
		t.Fatal(err)
	}
	o.turn(3*day + time.Hour)
	lives("unwarned, without Slack")
	if err := o.fake.SetOutage(slackfake.NoOutage); err != nil {
		t.Fatal(err)
	}
	all := o.turn(time.Hour)
	if len(all) != 1 || !shows(all[0], "qa", "ends in 30 min") {
		t.Fatalf("%d warnings after the end: %v", len(all), all)
	}
	lives("just warned")
	if n := len(o.turn(20 * time.Minute)); n != 1 {
		t.Errorf("%d warnings", n)
	}
	lives("within the grace")
	o.turn(11 * time.Minute)
	o.ends("qa")
	o.await("the end", func() bool {
		_, err := o.store.Environment(context.Background(), "qa")
		return err != nil
	})
}

// Without warnings in the catalog nobody is told, and what is over ends.
func TestNoWarnings(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{clock: true, policy: func(p *orchestrator.PolicySettings) { p.Warnings = nil }})
	o.runs(20)
	o.ready(maria, dev, "/env create qa ttl=3d", "qa")
	if n := len(o.turn(72*time.Hour + time.Minute)); n != 0 {
		t.Errorf("%d warnings", n)
	}
	o.ends("qa")
	o.await("the end", func() bool {
		_, err := o.store.Environment(context.Background(), "qa")
		return err != nil
	})
}
