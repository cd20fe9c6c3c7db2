package orchestrator

import (
	"context"
	"slices"
)

// Explain diagnoses each failed server of an environment by its last report.
func (x *Executor) Explain(ctx context.Context, e Environment) (*Diagnosis, error) {
	out := &Diagnosis{Outcome: OutcomeFailed}
	r := &run{Executor: x, env: e}
	for _, v := range e.Servers {
		if v.Status != StatusFailed {
			continue
		}
		d, err := r.diagnose(ctx, v)
		if err != nil {
			return nil, err
		}
		out.add(d)
	}
	if len(out.Causes) == 0 {
		return nil, nil
	}
	out.unnamed()
	out.fingerprint(e, "")
	var last Operation
	if e.Operation != nil {
		last = *e.Operation
	}
	out.fold()
	out.ask(e, last, x.Now())
	out.Name(e.Name)
	return out, nil
}

func (r *run) diagnose(ctx context.Context, v Server) (Diagnosis, error) {
	if c := machineTrouble(v); c != nil {
		return Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{*c}}, nil
	}
	report, err := r.Servers.LastReport(ctx, v.ID, v.Generation)
	if err != nil {
		return Diagnosis{}, err
	}
	if report == nil {
		return Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownNoReport.of(nameOf(v), "")}}, nil
	}
	a, _ := r.Catalogs.Current().App(v.App)
	mask := r.masks.server(a, v, r.Settings).text
	d := r.Diagnoser.Report(a, v.Branch, *report, mask)
	d.Causes = hide(d.Causes, v, mask)
	if len(d.Causes) == 0 {
		d.Causes = []Cause{ownNoReason.of(nameOf(v), "")}
	}
	return d, nil
}

// hide gives the causes of a server's report as they may be shown.
func hide(causes []Cause, v Server, mask func(string) string) []Cause {
	out := slices.Clone(causes)
	for i := range out {
		c := &out[i]
		c.Server, c.Where, c.Sentence, c.Next, c.Evidence, c.Telling = nameOf(v), mask(c.Where), mask(c.Sentence), mask(c.Next), mask(c.Evidence), mask(c.Telling)
		c.Blocked = slices.Clone(c.Blocked)
		for j := range c.Blocked {
			c.Blocked[j] = mask(c.Blocked[j])
		}
	}
	return out
}
