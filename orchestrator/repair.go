package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// repair makes anew the machines that are gone, or stand still, and leaves the
// others alone. The new ones get what the old ones were meant to run; their
// peers follow to the new addresses.
func (r *run) repair(ctx context.Context) (Status, error) {
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), StatusDeploying, nil); err != nil {
		return "", err
	}
	if err := r.reload(ctx); err != nil {
		return "", err
	}
	target, err := r.target()
	if err != nil {
		return "", err
	}
	lost, err := r.lost(ctx, target)
	if err != nil {
		return "", err
	}
	// Only when all are noted down as without a machine is the first one begun
	// with: what is interrupted in between finds them all again.
	for _, v := range lost {
		r.say(ctx, v.Name, "repair", "its machine is made anew")
		if target.Module == "local" {
			if err := r.sweep(ctx, v); err != nil {
				return "", err
			}
		}
		if err := r.renew(ctx, v.ID); err != nil {
			return "", err
		}
	}
	for _, v := range lost {
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(v *Server) error {
			v.Status = StatusCreating
			return nil
		}); err != nil {
			return "", err
		}
	}
	if err := r.reload(ctx); err != nil {
		return "", err
	}
	// After an interruption the servers that this operation has begun with are
	// known by their state.
	waiting, err := r.waiting(ctx)
	if err != nil {
		return "", err
	}
	for _, v := range r.env.Servers {
		if moves(v) && !slices.Contains(waiting, v.App) {
			r.op.Changes = append(r.op.Changes, Change{App: v.App, Branch: v.Branch, Commit: v.Commit})
		}
	}
	if len(r.op.Changes) == 0 {
		r.say(ctx, "", "repair", "every server has its machine: nothing had to be made")
		return r.settled(), nil
	}
	return r.build(ctx, target)
}

// lost are the servers that need another machine. Those that are known to be
// making already are none.
func (r *run) lost(ctx context.Context, target Target) ([]Server, error) {
	var lost []Server
	waiting, err := r.waiting(ctx)
	if err != nil {
		return nil, err
	}
	servers := slices.DeleteFunc(slices.Clone(r.env.Servers), func(v Server) bool { return slices.Contains(waiting, v.App) })
	if target.Module == "local" {
		for _, v := range servers {
			if v.Status != StatusCreating && r.Present != nil && !r.Present(v) {
				lost = append(lost, v)
			}
		}
		return lost, nil
	}
	if slices.ContainsFunc(servers, moves) {
		// Interrupted since: all have been looked at and are without a machine,
		// and not each may have been begun with.
		for _, v := range servers {
			if v.Machine == MachineMissing && !moves(v) {
				lost = append(lost, v)
			}
		}
		return lost, nil
	}
	r.say(ctx, "", "repair", "looking at the machines")
	sight, err := r.Provisioner.Look(ctx, r.env.ID)
	if err != nil {
		var p *ProvisionError
		if errors.As(err, &p) {
			return nil, r.provisioned(ctx, err, false)
		}
		return nil, fmt.Errorf("looking at the machines of %s: %w", r.env.ID, err)
	}
	for _, v := range servers {
		if sight.lacks(v) || slices.Contains(sight.Stopped, v.ID) || v.Machine == MachineMissing {
			lost = append(lost, v)
		}
	}
	return lost, nil
}

// moves says that an operation has begun with a server.
func moves(v Server) bool { return v.Status == StatusCreating || v.Status == StatusDeploying }
