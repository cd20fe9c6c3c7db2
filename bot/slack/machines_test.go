package slack_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// noteless cannot note down what was told, as often as it says: as if the
// process were killed before.
type noteless struct {
	orchestrator.NoticeRecords
	times int
}

func (f *noteless) NoteNotice(ctx context.Context, n orchestrator.Noticed) error {
	if f.times > 0 {
		f.times--
		return errors.New("killed")
	}
	return f.NoticeRecords.NoteNotice(ctx, n)
}

// An owner is told of a machine that is gone or stands still in their own
// conversation with Berth, once each time, with what to do about it; nobody else
// is. When it is over the same message says so.
func TestMachinesAreTold(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{clock: true, cloud: true})
	o.runs(20)
	o.ready(maria, dev, "/env create qa shop", "qa")
	id := map[string]string{}
	e := must(o.store.Environment(t.Context(), "qa"))
	for _, v := range e.Servers {
		id[v.App] = v.ID
		must(o.store.UpdateServer(t.Context(), v.ID, func(v *orchestrator.Server) error {
			v.Desired = []byte(`{"operation":"` + e.Operation.ID + `"}`)
			return nil
		}))
	}
	var sight orchestrator.Sight
	records := &noteless{NoticeRecords: o.store}
	watch := func() *orchestrator.MachineWatch {
		return &orchestrator.MachineWatch{Environments: o.store, Records: o.store, Notices: records, Catalogs: o, Notifier: o.door, Now: o.now,
			Log: slog.New(slog.NewTextHandler(o.log, nil)), Every: time.Minute, Silence: 3 * time.Minute,
			Look: func(context.Context, string) (orchestrator.Sight, error) { return sight, nil }}
	}
	// looks has three looks, by a Berth that was started again before them, and
	// gives what maria was told of machines.
	looks := func() (out []slackfake.Message) {
		t.Helper()
		w := watch()
		for range 3 {
			o.clock.Advance(time.Minute)
			before := records.times
			if err := w.Run(t.Context()); (err != nil) != (records.times < before) {
				t.Fatalf("with %d of %d notes still to fail: %v", records.times, before, err)
			}
		}
		for _, m := range o.fake.DM(maria) {
			if m.User == o.fake.BotUserID() && (strings.Contains(m.Text, "The machine of") || strings.Contains(m.Text, "What was told here")) {
				out = append(out, m)
			}
		}
		return out
	}
	// is checks what the last of so many notices shows, and its buttons.
	is := func(all []slackfake.Message, n int, buttons string, words ...string) slackfake.Message {
		t.Helper()
		if len(all) != n {
			t.Fatalf("%d notices, want %d: %v\n%s", len(all), n, all, o.log)
		}
		last := all[n-1]
		mustSay(t, last, words...)
		var labels []string
		for _, e := range last.Elements() {
			labels = append(labels, e.Label)
		}
		if got := strings.Join(labels, ", "); got != buttons {
			t.Errorf("buttons %q, want %q", got, buttons)
		}
		return last
	}
	const buttons = "Repair, Details, Destroy"
	is(append(looks(), slackfake.Message{Text: "none"}), 1, "")

	// A notice that was posted and could not be noted down is found, not posted
	// again.
	sight.Stopped, records.times = []string{id["web"]}, 1
	is(looks(), 1, buttons, "The machine of qa/web does not run: it was stopped outside Berth.", "Next: ask ops to start it again, or make it anew with", "/env repair qa")
	sight.Stopped = nil
	is(looks(), 1, "", "What was told here is over: nothing is known to be wrong with the machines of qa.")
	// The same once more is told once more, and is another trouble than the next.
	sight.Stopped = []string{id["web"]}
	is(looks(), 2, buttons, "The machine of qa/web does not run")
	sight.Stopped, sight.Gone = nil, []string{id["api"], id["web"]}
	all := looks()
	mustSay(t, all[1], "What was told here has changed")
	last := is(all, 3, buttons, "The machine of qa/api is gone: it was removed outside Berth.", "The machine of qa/web is gone: it was removed outside Berth.", "Next:", "/env repair qa", "makes it anew")
	if n := strings.Count(last.Shown(), "Next:"); n != 1 {
		t.Errorf("the next step is said %d times:\n%s", n, last.Shown())
	}

	o.clicks(maria, last, "Repair")
	o.card(o.fake.IM(maria), "env repair qa", "<@"+maria+">")
	is(looks(), 3, buttons) // it is not over yet
	o.ends("qa")
	o.card(o.fake.IM(maria), "qa is ready")
	sight.Gone = nil
	is(looks(), 3, "", "What was told here is over: nothing is known to be wrong with the machines of qa.")

	if n := len(o.fake.DM(tom)) + len(o.cardsOf(dev)) - 1; n != 0 {
		t.Errorf("others were told %d times", n)
	}
}
