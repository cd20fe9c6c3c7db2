package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
			if err := s.targetStays(e); err != nil {
				return Answer{}, err
			}
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
	n, last := failedDestroys(ops)
	if n > 0 && s.Now().Before(destroyAgain(last, n)) {
		return nil
	}
	actor := Actor{Name: Itself, Ops: true}
	// Of what is only tried again the owner sees the end; see toOwner.
	if n == 0 && s.ExpiryFrom != nil {
		actor.From = s.ExpiryFrom(ctx, e)
	}
	_, err = s.Destroy(ctx, e, actor, "env destroy "+e.Name)
	return err
}

// destroyTries is how often Berth tries to destroy an environment before only a
// person can: the waits between them come to some eight hours.
const destroyTries = 8

// failedDestroys counts the destroys in a row that have not succeeded, of
// operations that come newest first, and gives the end of the last.
func failedDestroys(ops []Operation) (n int, last time.Time) {
	for _, op := range ops {
		if op.Kind.Label() {
			continue
		}
		if op.Kind != KindDestroy || op.EndedAt == nil {
			break
		}
		if n++; n == 1 {
			last = *op.EndedAt
		}
	}
	return n, last
}

// destroyAgain is when a destroy is tried again after n that failed: two
// minutes later at first, then twice as long each time, six hours at most.
func destroyAgain(last time.Time, n int) time.Time {
	return last.Add(min(time.Minute<<min(n, 12), 6*time.Hour))
}

// FinishDestroys tries again the destroys that have failed and whose time has
// come. That they have is in their history: a restart forgets none. What a
// person canceled or has changed since is left alone.
func (s *Service) FinishDestroys(ctx context.Context) error {
	all, err := s.Environments.Environments(ctx, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		if op := e.Operation; op == nil || op.Kind != KindDestroy || op.Status != OperationFailed || e.Status != StatusFailed {
			continue
		}
		ops, err := s.Operations.Operations(ctx, e.ID)
		if err != nil {
			return err
		}
		n, last := failedDestroys(ops)
		if n >= destroyTries || s.Now().Before(destroyAgain(last, n)) {
			continue
		}
		if _, err := s.Destroy(ctx, e, Actor{Name: Itself, Ops: true}, "env destroy "+e.Name); err != nil {
			errs = append(errs, fmt.Errorf("destroying %s again: %w", e.ID, err))
		}
	}
	return errors.Join(errs...)
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

// destroy ends the whole environment: Terraform first, then a sweep of what
// Terraform cannot see. It never asks the catalog for apps or a branch.
func (r *run) destroy(ctx context.Context) (Status, error) {
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), StatusDestroying, r.all(StatusDestroying)); err != nil {
		return "", err
	}
	r.say(ctx, "", "destroy", "removing the servers")
	err := r.Provisioner.Destroy(ctx, r.env.ID, r.op.ID, r.tell(ctx))
	if err := r.provisioned(ctx, err, true); err != nil {
		return "", err
	}
	for _, v := range r.env.Servers {
		if err := r.sweep(ctx, v); err != nil {
			return "", err
		}
	}
	return StatusDestroyed, nil
}

// destroyServers removes the operation's servers and points the others anew.
func (r *run) destroyServers(ctx context.Context) (Status, error) {
	going := map[string]Status{}
	for _, v := range r.env.Servers {
		if slices.Contains(r.op.Apps, v.App) {
			going[v.ID] = StatusDestroying
		}
	}
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), StatusDeploying, going); err != nil {
		return "", err
	}
	target, err := r.target()
	if err != nil {
		return "", err
	}
	if _, err := r.apply(ctx, target, r.op.Apps...); err != nil {
		return "", err
	}
	for _, v := range r.env.Servers {
		if _, ok := going[v.ID]; !ok {
			continue
		}
		if err := r.sweep(ctx, v); err != nil {
			return "", err
		}
		if err := r.Servers.RemoveServer(ctx, v.ID); err != nil {
			return "", err
		}
	}
	if err := r.reload(ctx); err != nil {
		return "", err
	}
	if err := r.desireAll(ctx); err != nil {
		return "", err
	}
	return r.await(ctx)
}

func (r *run) sweep(ctx context.Context, v Server) error {
	if r.Sweep == nil {
		return nil
	}
	if err := r.Sweep(ctx, v); err != nil {
		return fmt.Errorf("sweeping what is left of %s: %w", v.ID, err)
	}
	return nil
}

func (r *run) all(s Status) map[string]Status {
	out := map[string]Status{}
	for _, v := range r.env.Servers {
		out[v.ID] = s
	}
	return out
}
