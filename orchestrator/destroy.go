package orchestrator

import (
	"context"
	"time"
)

func (s *Service) destroy(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbDestroy)
	if err != nil {
		return Answer{}, err
	}
	text := s.Canonical(cmd)
	if cmd.Noun == NounServer {
		v, err := pickServer(e, cmd.App)
		if err != nil {
			return Answer{}, err
		}
		if len(e.Servers) > 1 {
			if err := s.missedBy(e, v.App); err != nil {
				return Answer{}, err
			}
			sub := s.submission(actor, e, KindServerDestroy, text, nil)
			sub.Operation.Apps = []string{v.App}
			return s.submit(ctx, sub)
		}
	}
	return s.Destroy(ctx, e, actor, text)
}

// Destroy submits the end of an environment. What runs is interrupted; a
// branch or the catalog is never asked.
func (s *Service) Destroy(ctx context.Context, e Environment, actor Actor, text string) (Answer, error) {
	ops, err := s.Operations.Operations(ctx, e.ID)
	if err != nil {
		return Answer{}, err
	}
	for _, op := range ops {
		if op.Status.Ended() {
			continue
		}
		if op.Kind == KindDestroy {
			return Answer{Operation: &op, Environment: &e, Note: e.Name + " is already being destroyed."}, nil
		}
	}
	a, err := s.submit(ctx, s.submission(actor, e, KindDestroy, text, nil))
	if err != nil || a.Operation.Status != OperationQueued {
		return a, err
	}
	for _, op := range ops {
		switch op.Status {
		case OperationQueued:
			if _, err := s.Submitter.CancelQueued(ctx, Cancellation{OperationID: op.ID, At: s.Now()}); err != nil {
				return a, err
			}
		case OperationRunning:
			if err := s.Submitter.RequestCancel(ctx, Cancellation{OperationID: op.ID, At: s.Now()}); err != nil {
				return a, err
			}
		}
	}
	a.Note = "Berth first stops what is running on " + e.Name + "."
	return a, nil
}

// Expire submits the end of an environment whose lifetime is over. After
// destroys that failed it waits before the next one, twice as long each time:
// two minutes at first, six hours at most.
func (s *Service) Expire(ctx context.Context, e Environment) error {
	ops, err := s.Operations.Operations(ctx, e.ID)
	if err != nil {
		return err
	}
	wait := time.Minute
	var last time.Time
	for _, op := range ops {
		if op.Kind.Label() {
			continue
		}
		if op.Kind != KindDestroy || op.EndedAt == nil {
			break
		}
		if last.IsZero() {
			last = *op.EndedAt
		}
		wait = min(2*wait, 6*time.Hour)
	}
	if !last.IsZero() && s.Now().Before(last.Add(wait)) {
		return nil
	}
	actor := Actor{Name: Itself, Ops: true}
	if s.ExpiryFrom != nil {
		actor.From = s.ExpiryFrom(ctx, e)
	}
	_, err = s.Destroy(ctx, e, actor, "env destroy "+e.Name)
	return err
}

// missedBy refuses the destroy of a server that another one cannot do without.
func (s *Service) missedBy(e Environment, app string) error {
	c := s.Catalogs.Current()
	for _, v := range e.Servers {
		a, ok := c.App(v.App)
		if v.App == app || !ok {
			continue
		}
		for key, need := range a.Needs {
			if need != app {
				continue
			}
			values, err := s.settingsOf(a)
			if err != nil {
				return err
			}
			if values[key] == "" {
				return Errorf(CodeNeedsUnmet, "%s/%s needs %s/%s (%s), and its settings name no other.", e.Name, v.App, e.Name, app, key).
					WithHint("destroy %s/%s first or the whole environment (berth env destroy %s), or ask ops to put %s into the settings of %s", e.Name, v.App, e.Name, key, v.App)
			}
		}
	}
	return nil
}
