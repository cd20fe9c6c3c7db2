package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// AgentRecords is what the agents' side of Berth reads and writes.
type AgentRecords interface {
	Server(ctx context.Context, id string) (Server, error)
	Seen(ctx context.Context, serverID string, at time.Time) error
	SaveReport(ctx context.Context, serverID string, r Report) (newest bool, err error)
	// SettleServer changes a server and writes what goes with that, in one
	// transaction.
	SettleServer(ctx context.Context, id string, change func(*Server) (Settlement, error)) (Server, error)
}

// Settlement is what goes with a change of a server: the events that tell so,
// what has failed, and that what had failed on its app is well again.
type Settlement struct {
	Events      []Event
	Occurrences []Occurrence
	Mended      *Mending
}

// LogSink keeps what servers print, for env logs.
type LogSink interface {
	Append(environmentID, serverName string, lines []Progress) error
}

// Fleet is the use cases of servers' agents.
type Fleet struct {
	Records      AgentRecords
	Environments Environments
	Operations   Operations
	Events       interface {
		// AddSteps appends to the course of operations what is not above most
		// events of one operation and server; the rest is left out.
		AddSteps(ctx context.Context, events []Event, most int) error
	}
	Diagnoser Diagnoser
	Catalogs  Catalogs
	Watcher   Watcher
	Logs      LogSink
	Settings  SettingsReader
	// Logins are for code that is not public; nil: there are none.
	Logins Logins
	Now    func() time.Time

	masks masks
}

// masker hides the settings of the app that v runs.
func (f *Fleet) masker(v Server) *mask {
	a, _ := f.Catalogs.Current().App(v.App)
	return f.masks.server(a, v, f.Settings)
}

// Next waits until the server's desired generation is above after, and gives
// it; nil when ctx ends first.
func (f *Fleet) Next(ctx context.Context, serverID string, after int) (*Desired, error) {
	changed, stop := f.Watcher.Watch()
	defer stop()
	if err := f.Records.Seen(ctx, serverID, f.Now()); err != nil {
		return nil, err
	}
	for {
		v, err := f.Records.Server(ctx, serverID)
		if err != nil {
			if ctx.Err() != nil {
				return nil, nil
			}
			return nil, err
		}
		if v.Generation > after && len(v.Desired) > 0 {
			var d Desired
			if err := json.Unmarshal(v.Desired, &d); err != nil {
				return nil, fmt.Errorf("reading the desired state of %s: %w", serverID, err)
			}
			d.Formerly = nil
			return &d, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-changed:
		}
	}
}

// maxSteps is how many steps of a server one operation keeps: more than recipes
// have, and not as many as a server could send that somebody has taken over.
const maxSteps = 5000

// Progress takes what a server says while it works: steps become events of
// the operation that asked for the generation, output goes to the log.
func (f *Fleet) Progress(ctx context.Context, serverID string, lines []Progress) error {
	v, err := f.Records.Server(ctx, serverID)
	if err != nil {
		return err
	}
	hideLines(lines, f.masker(v))
	if err := f.Logs.Append(v.EnvironmentID, v.Name, lines); err != nil {
		return err
	}
	var events []Event
	for _, p := range lines {
		// Before it has heard what it should be, a new machine tells of itself.
		first := p.Generation == 0 && (p.Step == "booting" || p.Step == "installing")
		if p.Step != "log" && (p.Generation == v.Generation || first) && (v.Status == StatusCreating || v.Status == StatusDeploying) {
			events = append(events, Event{At: p.At, Server: v.Name, Step: p.Step, Text: p.Text})
		}
	}
	if len(events) == 0 {
		return nil
	}
	operation, err := f.operation(ctx, v)
	if err != nil || operation == "" {
		return err
	}
	for i := range events {
		events[i].OperationID = operation
	}
	return f.Events.AddSteps(ctx, events, maxSteps)
}

// operation is the one that waits for a server: that of its generation, before
// there is one that which makes the machine; empty: none.
func (f *Fleet) operation(ctx context.Context, v Server) (string, error) {
	if len(v.Desired) > 0 {
		var d Desired
		if json.Unmarshal(v.Desired, &d) != nil {
			return "", nil
		}
		return d.Operation, nil
	}
	all, err := f.Operations.Operations(ctx, v.EnvironmentID)
	if err != nil {
		return "", err
	}
	for _, o := range all {
		if o.Status == OperationRunning {
			return o.ID, nil
		}
	}
	return "", nil
}

// hideLines hides secrets in what a server streams. What one program prints
// goes on in its next line, whatever others print in between.
func hideLines(lines []Progress, m *mask) {
	type source struct{ step, name string }
	of := map[source][]int{}
	for i, p := range lines {
		of[source{p.Step, p.Source}] = append(of[source{p.Step, p.Source}], i)
	}
	for _, all := range of {
		texts := make([]string, len(all))
		for i, at := range all {
			texts[i] = lines[at].Text
		}
		for i, text := range m.lines(texts) {
			lines[all[i]].Text = text
		}
	}
}

// Report takes the result of one run, or what has become of an app since. A
// report about an older generation is kept as evidence and changes nothing. The
// newest one about the current generation counts however often it comes: the
// first time, Berth may have died between keeping it and heeding it.
func (f *Fleet) Report(ctx context.Context, serverID string, r Report) error {
	newest, err := f.Records.SaveReport(ctx, serverID, r)
	if err != nil || !newest {
		return err
	}
	before, err := f.Records.Server(ctx, serverID)
	if err != nil {
		return err
	}
	a, _ := f.Catalogs.Current().App(before.App)
	mask := f.masks.server(a, before, f.Settings).text
	diagnosis := f.Diagnoser.Report(a, before.Branch, r, mask)
	e, err := f.Environments.EnvironmentByID(ctx, before.EnvironmentID)
	if err != nil {
		return err
	}
	_, err = f.Records.SettleServer(ctx, serverID, func(s *Server) (Settlement, error) {
		if r.Generation != s.Generation || s.Status == StatusDestroying || s.Status == StatusDestroyed {
			return Settlement{}, nil
		}
		status, ran := s.Status, s.Revision
		if s.Machine == MachineStopped {
			s.Machine = "" // somebody has started it
		}
		// Only a run that went through has restarted the app: after a failed
		// one the server still runs what it ran before.
		if r.Revision != "" && r.Exit == 0 && r.Problem == "" {
			s.Revision, s.RunningBranch = r.Revision, s.Branch
		}
		s.Status = StatusFailed
		if diagnosis.Outcome == OutcomeOK && r.Exit == 0 && r.Problem == "" && r.Healthy && r.Revision == s.Commit {
			s.Status = StatusReady
		}
		if s.Status == status && s.Revision == ran {
			return Settlement{}, nil
		}
		var d Desired
		if err := json.Unmarshal(s.Desired, &d); err != nil {
			return Settlement{}, fmt.Errorf("reading the desired state of %s: %w", serverID, err)
		}
		at := f.Now()
		out := Settlement{Events: []Event{{OperationID: d.Operation, At: at, Server: s.Name, Step: string(s.Status), Text: reported(*s, r, diagnosis, mask)}}}
		switch {
		case status == StatusReady && s.Status == StatusFailed:
			// No operation ends with this: it is remembered here.
			mine := diagnosis
			mine.Causes = hide(diagnosis.Causes, *s, mask)
			mine.fingerprint(e, d.Operation)
			out.Occurrences = mine.occurrences(e, d.Operation, at)
		case status == StatusFailed && s.Status == StatusReady:
			out.Mended = &Mending{At: at}
		}
		return out, nil
	})
	return err
}

// reported is what a report means, in a few words.
func reported(s Server, r Report, d Diagnosis, mask func(string) string) string {
	switch {
	case s.Status == StatusReady && r.Later:
		return "the app is healthy again"
	case s.Status == StatusReady:
		return "ready"
	case len(d.Causes) > 0:
		return mask(d.Causes[0].Sentence)
	}
	return "failed"
}
