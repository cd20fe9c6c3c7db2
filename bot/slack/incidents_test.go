package slack_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// away lets an environment fail because the git host does not answer.
func (o *office) away(name string) {
	o.line(name) <- outcome{status: orchestrator.OperationFailed, diagnosis: &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1,
		Causes: []orchestrator.Cause{{Code: "git_unreachable", Who: "retry", Kin: "kin1", Outside: "g.example.org", Fingerprint: "kin1", Server: name + "/web", Sentence: "The git host *g* <!channel> is away."}}}}
}

// alerts are the messages about incidents in a channel.
func (o *office) alerts(channel string) []slackfake.Message {
	var out []slackfake.Message
	for _, m := range o.fake.Messages(channel) {
		if m.User == o.fake.BotUserID() && strings.Contains(m.Text, "unreachable") && strings.Contains(m.Text, "Environments: ") {
			out = append(out, m)
		}
	}
	return out
}

// Ops are told of what befalls several environments in one message, which
// follows how many they are and ends with it, whatever is restarted meanwhile.
func TestOpsAreToldOnce(t *testing.T) {
	t.Parallel()
	const alerts = "C0ALERTS"
	var torn atomic.Bool
	s := settings{ops: alerts, fake: slackfake.Options{Channels: []slackfake.Channel{{ID: alerts, Name: "alerts", Private: true, Members: []string{tom, slackfake.BotUser}}}}}
	s.seams.incidents = func(in slack.Incidents) slack.Incidents { return tornNotes{in, &torn} }
	o := newOffice(t, s)
	fails := func(name string) {
		t.Helper()
		o.types(maria, dev, "/env create "+name)
		o.card(dev, "Making "+name)
		o.away(name)
		o.card(dev, name+": failed")
	}
	fails("one")
	torn.Store(true) // what was posted cannot be noted: the process is killed then
	fails("two")
	o.until("the message", func() bool { return len(o.alerts(alerts)) == 1 })
	o.stop()
	torn.Store(false)
	o.start(false)
	fails("three")
	o.until("the number", func() bool {
		all := o.alerts(alerts)
		return len(all) == 1 && shows(all[0], "3 environments are affected", "one, two, three")
	})
	if m := o.alerts(alerts)[0]; shows(m, "<!channel>") || strings.Contains(m.Text, "<!channel>") {
		t.Errorf("a cause's text became markup: %+v", m)
	}
	o.types(maria, dev, "/env retry two")
	o.card(dev, "Trying again on two")
	o.ends("two")
	o.until("its end", func() bool {
		all := o.alerts(alerts)
		return len(all) == 1 && shows(all[0], "was unreachable from", "3 environments were affected", "It is over.")
	})
	o.until("no more to say", func() bool {
		left, err := o.store.UntoldIncidents(context.Background(), false)
		return err == nil && len(left) == 0
	})
}

// tornNotes loses the note of what was just posted.
type tornNotes struct {
	slack.Incidents
	torn *atomic.Bool
}

func (n tornNotes) NoteIncident(ctx context.Context, i orchestrator.Incident) error {
	if n.torn.Load() && i.Told > 0 {
		return errors.New("torn")
	}
	return n.Incidents.NoteIncident(ctx, i)
}

// What is no channel's ID is refused before anything is connected.
func TestOpsChannel(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{"": true, "C0123456789": true, "G0OPS": true, "#ops": false, "ops": false, "U0MARIA": false, "C0 1": false} {
		if err := slack.CheckOpsChannel(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}
