package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

func (s *Service) submission(actor Actor, e Environment, kind Kind, text string, changes []Change) Submission {
	now := s.Now()
	op := Operation{ID: s.NewID("o"), EnvironmentID: e.ID, Kind: kind, Actor: actor.Name, Text: text, CreatedAt: now, Changes: changes}
	for _, c := range changes {
		op.Apps = append(op.Apps, c.App)
	}
	return Submission{Environment: e, Operation: op, Origin: actor.From,
		Event: Event{OperationID: op.ID, At: now, Step: "accepted", Text: actor.Name + " asked for: " + text}}
}

func (s *Service) submit(ctx context.Context, sub Submission) (Answer, error) {
	op, err := s.Submitter.Submit(ctx, sub)
	if err != nil {
		return Answer{}, err
	}
	e, err := s.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Operation: &op, Environment: &e}
	if op.Status == OperationQueued {
		a.Note = fmt.Sprintf("%s is busy: this is number %d in its queue and starts by itself.", e.Name, op.Position)
	}
	return a, nil
}

// changeable reads an environment that actor may change with verb and that is
// not on its way out.
func (s *Service) changeable(ctx context.Context, actor Actor, name string, verb Verb) (Environment, error) {
	e, err := s.Environments.Environment(ctx, name)
	if err != nil {
		return e, err
	}
	if err := s.Policy.Allow(s.Catalogs.Current(), actor, verb, e.Owner); err != nil {
		return e, err
	}
	if e.Status == StatusDestroying && verb != VerbDestroy && verb != VerbRetry && verb != VerbCancel {
		return e, Errorf(CodeState, "%s is being destroyed.", e.Name).WithHint("berth env show %s", e.Name)
	}
	return e, nil
}

func (s *Service) deploy(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbDeploy)
	if err != nil {
		return Answer{}, err
	}
	refs := map[string]string{}
	for app, ref := range cmd.Branches {
		refs[app] = ref
	}
	if cmd.Noun == NounServer {
		v, err := pickServer(e, cmd.App)
		if err != nil {
			return Answer{}, err
		}
		if ref, ok := refs[""]; ok {
			delete(refs, "")
			refs[v.App] = ref
		}
		if len(refs) == 0 {
			refs[v.App] = v.Branch
		}
	}
	if len(refs) == 0 {
		for _, v := range e.Servers {
			refs[v.App] = v.Branch
		}
	}
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	var apps []App
	for _, name := range sortedKeys(refs) {
		a, err := s.appOf(e, name)
		if err != nil {
			return Answer{}, err
		}
		if !hasApp(e, name) {
			return Answer{}, Errorf(CodeNotFound, "%s has no server for %s.", e.Name, name).
				WithHint("to add one: berth server create %s %s env=%s", name, plainRef(refs[name]), e.Name)
		}
		if err := s.needsMet(a, e); err != nil {
			return Answer{}, err
		}
		apps = append(apps, a)
	}
	changes, err := s.resolve(ctx, apps, refs)
	if err != nil {
		if len(cmd.Branches) == 0 {
			err = s.branchGone(e, err)
		}
		return Answer{}, err
	}
	return s.submit(ctx, s.submission(actor, e, KindDeploy, s.Canonical(cmd), changes))
}

// branchGone words that a branch is not found that nobody typed: it was there
// when e was made, so its spelling is right.
func (s *Service) branchGone(e Environment, err error) error {
	var x *Error
	if errors.As(err, &x) && len(x.All) > 0 {
		var each []error
		for _, one := range x.All {
			each = append(each, s.branchGone(e, one))
		}
		return joinErrors(each)
	}
	if x == nil || x.Code != CodeBranchNotFound || x.Subject.RenamedTo != "" {
		return err
	}
	i := slices.IndexFunc(e.Servers, func(v Server) bool { return v.App == x.Subject.App })
	if i < 0 {
		return err
	}
	if a, err2 := s.app(x.Subject.App); err2 != nil || a.Branch == e.Servers[i].Branch {
		return err // ops are told to mend the catalog
	}
	other := "BRANCH"
	if len(x.Suggestions) > 0 {
		other = plainRef(x.Suggestions[0])
	}
	return x.WithHint("it was there when %s was deployed; push it again, or deploy another: berth env deploy %s %s=%s", e.Name, e.Name, x.Subject.App, other)
}

func (s *Service) retry(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbRetry)
	if err != nil {
		return Answer{}, err
	}
	if e.Operation == nil || e.Status != StatusFailed {
		return Answer{}, Errorf(CodeState, "There is nothing to retry: %s is %s.", e.Name, e.Status).WithHint("berth env show %s", e.Name)
	}
	if e.Operation.Kind == KindDestroy {
		return s.submit(ctx, s.submission(actor, e, KindDestroy, s.Canonical(cmd), nil))
	}
	last, err := s.Operations.Operation(ctx, e.Operation.ID)
	if err != nil {
		return Answer{}, err
	}
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	if last.Kind == KindServerDestroy && last.Status != OperationSucceeded {
		sub := s.submission(actor, e, KindServerDestroy, s.Canonical(cmd), nil)
		sub.Operation.Apps = last.Apps
		return s.submit(ctx, sub)
	}
	var apps []App
	refs := map[string]string{}
	for _, v := range e.Servers {
		if v.Status == StatusReady {
			continue
		}
		a, err := s.appOf(e, v.App)
		if err != nil {
			return Answer{}, err
		}
		apps, refs[v.App] = append(apps, a), v.Branch
	}
	changes, err := s.resolve(ctx, apps, refs)
	if err != nil {
		return Answer{}, s.branchGone(e, err)
	}
	return s.submit(ctx, s.submission(actor, e, KindRetry, s.Canonical(cmd), changes))
}

// repair submits that what has become of the machines of an environment is
// looked at and mended. What runs on them stays the same.
func (s *Service) repair(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbRepair)
	if err != nil {
		return Answer{}, err
	}
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	if e.Operation != nil && e.Operation.Kind == KindDestroy && e.Status == StatusFailed {
		return Answer{}, Errorf(CodeState, "%s was being destroyed, and is not repaired.", e.Name).
			WithHint("berth env destroy %s removes the rest; berth env deploy %s keeps it instead", e.Name, e.Name)
	}
	return s.submit(ctx, s.submission(actor, e, KindRepair, s.Canonical(cmd), nil))
}

// stopping answers a cancel of what runs.
func stopping(op Operation) string {
	if op.Kind == KindDestroy {
		return "Berth is stopping it; what has not been removed yet stays, and can be deployed again or destroyed."
	}
	return "Berth is stopping it; what has been made so far stays, and can be retried or destroyed."
}

func (s *Service) cancel(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbCancel)
	if err != nil {
		return Answer{}, err
	}
	ops, err := s.Operations.Operations(ctx, e.ID) // newest first
	if err != nil {
		return Answer{}, err
	}
	for _, op := range ops {
		if op.Status.Ended() || cmd.Operation != "" && op.ID != cmd.Operation {
			continue
		}
		c := Cancellation{OperationID: op.ID, Key: actor.From.Key, At: s.Now()}
		if op.Status == OperationQueued {
			done, err := s.Submitter.CancelQueued(ctx, c)
			if err != nil {
				return Answer{}, err
			}
			if done {
				return s.canceledQueued(ctx, e, op)
			}
		}
		if err := s.Submitter.RequestCancel(ctx, c); err != nil {
			return Answer{}, err
		}
		return Answer{Operation: &op, Environment: &e, Note: stopping(op)}, nil
	}
	if cmd.Operation != "" {
		return Answer{}, Errorf(CodeState, "That has ended already: there is nothing to cancel.").WithHint("berth env show %s", e.Name)
	}
	return Answer{}, Errorf(CodeState, "Nothing is running or waiting for %s.", e.Name).WithHint("berth env show %s", e.Name)
}

// canceledQueued answers for an operation that had not begun.
func (s *Service) canceledQueued(ctx context.Context, e Environment, op Operation) (Answer, error) {
	e, err := s.Environments.EnvironmentByID(ctx, e.ID)
	if err != nil {
		return Answer{}, err
	}
	op.Status = OperationCanceled
	return Answer{Operation: &op, Environment: &e, Note: "It was still waiting: nothing had been changed."}, nil
}

func (s *Service) extend(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbExtend)
	if err != nil {
		return Answer{}, err
	}
	if cmd.TTL <= 0 {
		return Answer{}, Errorf(CodeInvalidValue, "Say by how long to extend %s.", e.Name).WithHint("berth env extend %s 2d", e.Name)
	}
	until := e.ExpiresAt
	if now := s.Now(); until.Before(now) {
		until = now
	}
	until = until.Add(cmd.TTL)
	if _, err := s.Policy.Lifetime(s.Catalogs.Current(), until.Sub(s.Now())); err != nil {
		if isCode(err, CodeLifetime) {
			err = s.tooLong(e)
		}
		return Answer{}, err
	}
	return s.relabel(ctx, s.submission(actor, e, KindExtend, s.Canonical(cmd), nil), func(x *Environment) error { x.ExpiresAt = until; return nil })
}

// tooLong refuses to extend an environment beyond the longest lifetime, and
// says by how much it can be extended at most.
func (s *Service) tooLong(e Environment) error {
	longest := s.Catalogs.Current().Policy.MaxLifetime
	if left := longest - e.ExpiresAt.Sub(s.Now()); left >= time.Hour {
		return Errorf(CodeLifetime, "That is too long: from now on %s may live %s at most, so %s more.", e.Name, wholeHours(longest), wholeHours(left)).
			WithHint("berth env extend %s %s", e.Name, wholeHours(left))
	}
	return Errorf(CodeLifetime, "That is too long: from now on %s may live %s at most, and it has that already.", e.Name, wholeHours(longest)).
		WithHint("extend it later: berth env show %s says when it ends", e.Name)
}

// wholeHours writes a lifetime in whole days, where it is some, or hours.
func wholeHours(d time.Duration) string {
	if hours := int(d / time.Hour); hours%24 != 0 || hours == 0 {
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func (s *Service) rename(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbRename)
	if err != nil {
		return Answer{}, err
	}
	if taken, err := s.Environments.Environment(ctx, cmd.NewName); err == nil && taken.ID != e.ID {
		return Answer{}, NameTaken(cmd.NewName, taken.Owner)
	}
	return s.relabel(ctx, s.submission(actor, e, KindRename, s.Canonical(cmd), nil), func(x *Environment) error { x.Name = cmd.NewName; return nil })
}

func (s *Service) relabel(ctx context.Context, sub Submission, change func(*Environment) error) (Answer, error) {
	op, err := s.Submitter.Relabel(ctx, sub, change)
	if err != nil {
		return Answer{}, err
	}
	e, err := s.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	return Answer{Environment: &e}, err
}
