package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// end writes the operation's end; a shutdown is no end and comes back as an
// error, so that the job runs again.
func (r *run) end(ctx context.Context, status Status, err error) error {
	ending := Ending{OperationID: r.op.ID, At: r.Now(), Environment: status, Status: OperationSucceeded}
	canceled := errors.Is(context.Cause(ctx), ErrCanceled)
	var f *failure
	switch {
	case err == nil:
	case canceled:
		r.halt(ctx)
		ending.Status = OperationCanceled
		cause := ownCanceled
		if r.op.Kind == KindDestroy {
			cause = ownDestroyCanceled
		}
		ending.Diagnosis = &Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{cause.of("", "")}}
	case errors.Is(context.Cause(ctx), ErrOverdue):
		r.halt(ctx)
		ending.Status = OperationFailed
		ending.Diagnosis = &Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownOverdue.of("", Duration(r.limit()))}}
	case ctx.Err() != nil:
		return err
	case errors.As(err, &f):
		ending.Status, ending.Diagnosis = OperationFailed, &f.diagnosis
		r.tried(ending.Diagnosis, ending.At)
	default:
		d := r.surprise(err)
		ending.Status, ending.Diagnosis = OperationFailed, &d
	}
	if err != nil && status == "" {
		ending.Environment = StatusFailed
	}
	text := string(ending.Status)
	if err == nil && len(r.op.Tries) > 0 {
		text += ", at the second try"
	}
	r.destroysAgain(ctx, &ending)
	if d := ending.Diagnosis; d != nil {
		d.unnamed()
		d.fingerprint(r.env, r.op.ID)
		ending.Occurrences = d.occurrences(r.env, r.op.ID, ending.At)
		d.fold()
		d.ask(r.env, r.op, ending.At)
		if len(d.Causes) > 0 {
			text = named(d.Causes[0].Sentence, r.env.Name)
		}
	}
	ending.Event = Event{OperationID: r.op.ID, At: ending.At, Step: string(ending.Status), Text: text}
	ending.Show = r.toOwner(ctx, ending)
	return r.Ledger.End(context.WithoutCancel(ctx), ending)
}

// halt tells the agents that this operation still waits for to give up.
func (r *run) halt(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if err := r.reload(ctx); err != nil {
		r.Log.Warn("the agents were not told to give up", "operation", r.op.ID, "error", err)
		return
	}
	for _, v := range r.env.Servers {
		if !r.mine(v) || v.Status != StatusCreating && v.Status != StatusDeploying {
			continue
		}
		_, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			var d Desired
			if err := json.Unmarshal(s.Desired, &d); err != nil {
				return fmt.Errorf("reading the desired state of %s: %w", s.ID, err)
			}
			s.Generation++
			d.Generation, d.Halt = s.Generation, true
			doc, err := json.Marshal(d)
			s.Desired = doc
			return err
		})
		if err != nil {
			r.Log.Warn("an agent was not told to give up", "server", v.Name, "error", err)
		}
	}
}

// surprise makes a diagnosis of an error that nobody foresaw: an Error keeps
// its words, the rest is for the log.
func (r *run) surprise(err error) Diagnosis {
	c := ownSurprise.of("", r.op.ID)
	var e *Error
	if errors.As(err, &e) {
		c.Code, c.Sentence, c.Next = string(e.Code), e.Message, "berth env retry "+itself
		switch {
		case strings.Contains(e.Hint, "env retry"):
			c.Next = e.Hint
		case e.Hint != "":
			c.Next = strings.TrimSuffix(e.Hint, ".") + "; then: " + c.Next
		}
		if e.Cause != nil {
			r.Log.Error("operation failed", "operation", r.op.ID, "environment", r.env.ID, "error", e.Cause)
		}
	} else {
		r.Log.Error("operation failed", "operation", r.op.ID, "environment", r.env.ID, "error", err)
	}
	return Diagnosis{Outcome: OutcomeFailed, Causes: []Cause{c}, Total: 1}
}
