package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// away diagnoses a git host that does not answer, in words about each app.
type away struct{ host, who string }

func (a away) Report(app orchestrator.App, _ string, r orchestrator.Report, _ func(string) string) orchestrator.Diagnosis {
	if r.Exit == 0 {
		return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK}
	}
	return orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1, Causes: []orchestrator.Cause{{Code: "git_unreachable", Who: a.who, Outside: a.host,
		Telling: "repo " + app.Name, Sentence: fmt.Sprintf("The server can't reach the git host %q to fetch %q.", a.host, app.Name)}}}
}

func (a away) Terraform(string) orchestrator.Diagnosis { return orchestrator.Diagnosis{} }

// fails lets every app of a new environment fail, and gives its diagnosis.
func (w *works) fails(environment string, apps ...string) *orchestrator.Diagnosis {
	w.Helper()
	w.submit(storetest.NewEnvironment(environment, "maria", apps...))
	w.runsTo(environment, "o-"+environment, 1, apps...)
	op, err := w.Operation(context.Background(), "o-"+environment)
	if err != nil || op.Diagnosis == nil {
		w.Fatal(op, err)
	}
	return op.Diagnosis
}

// runsTo runs an operation whose agents report with this exit status.
func (w *works) runsTo(environment, id string, exit int, apps ...string) {
	w.Helper()
	done := w.begin(context.Background(), id)
	for _, app := range apps {
		w.desiredOf(environment, app, id)
		w.reportsOf(environment, app, orchestrator.Report{Exit: exit, Healthy: exit == 0})
	}
	w.ended(done)
}

// What befalls several servers for one reason is told once, and names them all.
func TestOneReasonForSeveralServers(t *testing.T) {
	for _, tt := range []struct {
		name string
		by   orchestrator.Diagnoser
		want string
	}{
		{"one host", away{"git.example.org", "retry"}, "[qa/api qa/web] The git host git.example.org can't be reached."},
		{"the same words", finds{Code: "disk_full", Who: "ops", Sentence: "The server's disk is full."}, "[qa/api qa/web] The server's disk is full."},
		{"each one's own code", finds{Code: "command_failed", Who: "developer", Sentence: "The build failed."}, "qa/api The build failed.|qa/web The build failed."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			w.x.Diagnoser, w.x.RetryAfter = tt.by, 0
			d := w.fails("qa", "api", "web")
			var got []string
			for _, c := range d.Causes {
				place := c.Server
				if len(c.Servers) > 0 {
					place = fmt.Sprint(c.Servers)
				}
				got = append(got, place+" "+c.Sentence)
			}
			if strings.Join(got, "|") != tt.want {
				t.Errorf("%q", got)
			}
			if asks := d.Asks(); len(asks) > 0 && (len(asks) != 1 || !strings.Contains(asks[0], "qa/api, main@") || !strings.Contains(asks[0], "qa/web, main@")) {
				t.Errorf("the message to ops: %q", asks)
			}
		})
	}
}

// What several environments have for one reason within an hour is told as one,
// with since when and how many, until it goes well again in one of them.
func TestOneReasonForSeveralEnvironments(t *testing.T) {
	w := newWorks(t)
	w.x.Diagnoser, w.x.RetryAfter = away{"git.example.org", "retry"}, 0
	s := &orchestrator.Service{Environments: w.Store, Live: w.Store, Operations: w.Store, Causes: w.Store, Incidents: w.Store, Now: w.clock.Now}
	common := func(environment string) string {
		t.Helper()
		a, err := s.Do(t.Context(), orchestrator.Actor{Name: "maria"}, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbWhy, Environment: environment})
		if err != nil || a.Environment.Diagnosis == nil {
			t.Fatal(err)
		}
		if c := a.Environment.Diagnosis.Causes[0].Common; c != nil {
			return c.Sentence
		}
		return ""
	}
	if c := w.fails("one", "api").Causes[0].Common; c != nil {
		t.Errorf("one environment alone: %+v", c)
	}
	w.clock.Advance(50 * time.Minute)
	d := w.fails("two", "web")
	c := d.Causes[0].Common
	if c == nil || c.Environments != 2 || !c.Since.Equal(storetest.Start.Truncate(time.Microsecond)) ||
		c.Sentence != "The git host git.example.org has been unreachable since 12:00 UTC; 2 environments are affected." {
		t.Fatalf("%+v", c)
	}
	// It goes on as long as it is seen, and every reader has the present number.
	w.clock.Advance(55 * time.Minute)
	w.fails("three", "api", "web")
	for _, e := range []string{"one", "two", "three"} {
		if got := common(e); got != "The git host git.example.org has been unreachable since 12:00 UTC; 3 environments are affected." {
			t.Errorf("%s: %q", e, got)
		}
	}
	for range 2 { // what one list's reader has changed is in no other
		listed(t, s, "", 3)
		listed(t, s, "maria", 3)
		listed(t, s, "nobody", 0)
	}
	all, err := w.UntoldIncidents(t.Context(), true)
	if err != nil || len(all) != 1 || !slices.Equal(all[0].Environments, []string{"one", "two", "three"}) {
		t.Fatalf("%+v, %v", all, err)
	}

	// One of them goes well: it is over for all.
	w.clock.Advance(10 * time.Minute)
	w.submit(storetest.Change("e-two", "o1", orchestrator.KindRetry, "web"))
	w.runsTo("two", "o1", 0, "web")
	if got := common("three"); got != "" {
		t.Errorf("after its end: %q", got)
	}
	all, err = w.UntoldIncidents(t.Context(), true)
	if err != nil || len(all) != 1 || all[0].Ended == nil ||
		all[0].Words(w.clock.Now()) != "The git host git.example.org was unreachable from 12:00 UTC to 13:55 UTC; 3 environments were affected." {
		t.Fatalf("%+v, %v", all, err)
	}

	// What comes later is another one, and needs two again.
	w.clock.Advance(time.Minute)
	if c := w.fails("four", "api").Causes[0].Common; c != nil {
		t.Errorf("after its end, one environment: %+v", c)
	}
	if c := w.fails("five", "api").Causes[0].Common; c == nil || c.Environments != 2 {
		t.Errorf("after its end, two environments: %+v", c)
	}
}

// Neither another reason, nor one long ago, nor a developer's own is in common.
func TestNothingInCommon(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second orchestrator.Diagnoser
		between       time.Duration
	}{
		{"another host", away{"git.example.org", "retry"}, away{"git.example.com", "retry"}, 0},
		{"long ago", away{"git.example.org", "retry"}, away{"git.example.org", "retry"}, 61 * time.Minute},
		{"developers'", finds{Code: "command_failed", Who: "developer", Sentence: "It failed."}, finds{Code: "command_failed", Who: "developer", Sentence: "It failed."}, 0},
		{"other words", finds{Code: "disk_full", Who: "ops", Sentence: "The disk /a is full."}, finds{Code: "disk_full", Who: "ops", Sentence: "The disk /b is full."}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorks(t)
			w.x.RetryAfter, w.x.Diagnoser = 0, tt.first
			w.fails("one", "api")
			w.clock.Advance(tt.between)
			w.x.Diagnoser = tt.second
			if c := w.fails("two", "api").Causes[0].Common; c != nil {
				t.Errorf("%+v", c)
			}
		})
	}
}

// The log says once that it has begun and once that it is over, whatever is
// restarted between; what nobody tries any more is over in the end.
func TestChronicle(t *testing.T) {
	w := newWorks(t)
	w.x.Diagnoser, w.x.RetryAfter = away{"git.example.org", "retry"}, 0
	var log strings.Builder
	turn := func() string {
		t.Helper()
		log.Reset()
		c := &orchestrator.Chronicle{Records: w.Store, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	w.fails("one", "api")
	if said := turn(); said != "" {
		t.Errorf("of one environment: %s", said)
	}
	w.fails("two", "api")
	// What a door has noted of it stays.
	all, err := w.UntoldIncidents(t.Context(), false)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	all[0].Told, all[0].State = 1, []byte(`{"ts":"1"}`)
	if err := w.NoteIncident(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if said := turn(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "has been unreachable since 12:00 UTC; 2 environments are affected") || !strings.Contains(said, `environments="one two"`) {
		t.Errorf("its beginning: %s", said)
	}
	w.fails("three", "api")
	if said := turn(); said != "" {
		t.Errorf("again: %s", said)
	}
	all, err = w.UntoldIncidents(t.Context(), false)
	if err != nil || len(all) != 1 || all[0].Told != 1 || string(all[0].State) != `{"ts":"1"}` {
		t.Errorf("the door's note: %+v, %v", all, err)
	}
	w.clock.Advance(7 * time.Hour)
	if said := turn(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "was unreachable from 12:00 UTC to 12:00 UTC; 3 environments were affected") {
		t.Errorf("its end: %s", said)
	}
	if said := turn(); said != "" {
		t.Errorf("after its end: %s", said)
	}
}

// listed checks that a list has so many environments, those of owner only unless
// it is empty, with what is told of each alone, and that they are the caller's.
func listed(t *testing.T, s *orchestrator.Service, owner string, n int) {
	t.Helper()
	do := func(cmd orchestrator.Command) orchestrator.Answer {
		t.Helper()
		cmd.Noun = orchestrator.NounEnv
		a, err := s.Do(t.Context(), orchestrator.Actor{Name: owner}, cmd)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	all := *do(orchestrator.Command{Verb: orchestrator.VerbList, Mine: owner != ""}).Environments
	if all == nil || len(all) != n {
		t.Errorf("%q has %d, want %d", owner, len(all), n)
	}
	for _, e := range all {
		got, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		e.Servers[0].Name, e.Operation.Kind, e.Diagnosis.Causes[0].Sentence = "changed", "changed", "changed"
		want, err := json.Marshal(do(orchestrator.Command{Verb: orchestrator.VerbShow, Environment: e.Name}).Environment)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: in the list\n%s\nalone\n%s", err, got, want)
		}
	}
}
