package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// converge makes the machines that lack, sets what each server should be and
// waits until all that were touched have reported.
func (r *run) converge(ctx context.Context) (Status, error) {
	status := StatusDeploying
	if r.op.Kind == KindCreate {
		status = StatusCreating
	}
	touched := map[string]Status{}
	for _, v := range r.env.Servers {
		if slices.Contains(r.op.Apps, v.App) {
			touched[v.ID] = status
			if v.Generation == 0 {
				touched[v.ID] = StatusCreating
			}
		}
	}
	if err := r.Ledger.Start(ctx, r.op.ID, r.Now(), status, touched); err != nil {
		return "", err
	}
	target, err := r.target()
	if err != nil {
		return "", err
	}
	return r.build(ctx, target)
}

// build makes the machines that lack, points each server at what it should be and waits for it.
func (r *run) build(ctx context.Context, target Target) (Status, error) {
	if err := r.ports(ctx, target); err != nil {
		return "", err
	}
	if target.Module == "local" {
		// The address is known before the machine is: everything starts at once.
		if err := r.address(ctx, nil); err != nil {
			return "", err
		}
		if err := r.desireAll(ctx); err != nil {
			return "", err
		}
	}
	unmade, err := r.unmade(ctx)
	if err != nil {
		return "", err
	}
	closed, err := r.closed(ctx, target)
	if err != nil {
		return "", err
	}
	if r.op.Kind != KindDeploy || unmade || closed {
		machines, err := r.apply(ctx, target)
		if err != nil {
			return "", err
		}
		if err := r.address(ctx, machines); err != nil {
			return "", err
		}
	}
	if err := r.desireAll(ctx); err != nil {
		return "", err
	}
	return r.await(ctx)
}

// unmade says whether machines may lack or be half gone: then even a deploy
// has to make them first.
func (r *run) unmade(ctx context.Context) (bool, error) {
	if slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.Machine == MachineMissing }) {
		return true, nil
	}
	ops, err := r.Operations.Operations(ctx, r.env.ID) // newest first
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if op.ID == r.op.ID || op.StartedAt == nil || !op.Status.Ended() || op.Kind.Label() {
			continue
		}
		if op.Status == OperationSucceeded {
			return false, nil
		}
		if op.Kind == KindDeploy {
			continue
		}
		return op.Kind == KindDestroy || op.Kind == KindServerDestroy ||
			slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.LastSeen == nil }), nil
	}
	return false, nil
}

// ports gives each server that this operation changes the port that the
// catalog has for its app now; on this machine one of its own, and another one
// where a foreign program has taken it.
func (r *run) ports(ctx context.Context, target Target) error {
	own := target.Module == "local"
	for _, ch := range r.op.Changes {
		a, ok := r.Catalogs.Current().App(ch.App)
		i := slices.IndexFunc(r.env.Servers, func(v Server) bool { return v.App == ch.App })
		if !ok || i < 0 {
			continue
		}
		v := r.env.Servers[i]
		if own && a.Port != 0 && v.Port != 0 {
			last, err := r.Servers.LastReport(ctx, v.ID, v.Generation)
			if err != nil {
				return err
			}
			if last == nil || last.Healthy || !last.PortTaken {
				continue
			}
			r.say(ctx, v.Name, "configuring", fmt.Sprintf("another program has taken port %d: it gets another one", v.Port))
		} else if a.Port == v.Port {
			continue
		}
		if err := r.Servers.SetPort(ctx, v.ID, a.Port, own && a.Port != 0); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// address notes where each server is; machines is nil for the local target.
func (r *run) address(ctx context.Context, machines map[string]Machine) error {
	for _, v := range r.env.Servers {
		address, public := "127.0.0.1", "127.0.0.1"
		if machines != nil {
			m, ok := machines[v.ID]
			if !ok || m.Address == "" {
				continue
			}
			address, public = m.Address, m.Address
			if m.PrivateAddress != "" {
				address = m.PrivateAddress
			}
		}
		if v.Address == address && v.URL == urlAt(public, v.Port) {
			continue
		}
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			s.Address, s.URL = address, urlAt(public, s.Port)
			return nil
		}); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// await waits until every server that this operation has given a generation
// is ready or failed, and says which.
func (r *run) await(ctx context.Context) (Status, error) {
	changed, stop := r.Watcher.Watch()
	defer stop()
	started := r.Now()
	var tick <-chan time.Time
	for due := true; ; {
		if err := r.reload(ctx); err != nil {
			return "", err
		}
		if due {
			r.wake(ctx)
			due, tick = false, r.After(10*time.Second)
		}
		waiting, sum := false, Diagnosis{Outcome: OutcomeFailed}
		failed, silent := map[string]int{}, false
		for _, v := range r.env.Servers {
			if !r.mine(v) {
				continue
			}
			switch v.Status {
			case StatusCreating, StatusDeploying:
				if c := machineTrouble(v); c != nil {
					sum.Causes, silent = append(sum.Causes, *c), true
				} else if c := r.overdue(v, started); c != nil {
					sum.Causes, silent = append(sum.Causes, *c), true
				} else {
					waiting = true
				}
			case StatusFailed:
				d, err := r.diagnose(ctx, v)
				if err != nil {
					return "", err
				}
				sum.add(d)
				failed[v.ID] = v.Generation
			}
		}
		if !waiting {
			if len(sum.Causes) > 0 {
				return StatusFailed, &failure{servers: failed, silent: silent, diagnosis: sum}
			}
			return r.settled(), nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-changed:
		case <-tick:
			due = true
		}
	}
}

// wake wakes the agents that this operation waits for.
func (r *run) wake(ctx context.Context) {
	if r.Wake == nil {
		return
	}
	for _, v := range r.env.Servers {
		if !r.mine(v) || v.Status != StatusCreating && v.Status != StatusDeploying {
			continue
		}
		if err := r.Wake(ctx, v); err != nil && ctx.Err() == nil {
			r.Log.Warn("an agent was not woken", "server", v.Name, "error", err)
		}
	}
}

// settled is the environment's status when this operation's servers are ready.
func (r *run) settled() Status {
	for _, v := range r.env.Servers {
		if v.Status == StatusFailed {
			return StatusFailed
		}
	}
	return StatusReady
}

// mine says whether this operation gave the server its generation.
func (r *run) mine(v Server) bool {
	var d Desired
	return len(v.Desired) > 0 && json.Unmarshal(v.Desired, &d) == nil && d.Operation == r.op.ID
}

// overdue says what is known of a server that should have reported by now.
func (r *run) overdue(v Server, started time.Time) *Cause {
	waited := r.Now().Sub(started)
	var c Cause
	switch {
	case v.LastSeen == nil && waited > r.CallHome:
		c = ownNeverHeard.awaited(v, Duration(waited), started)
	case v.LastSeen != nil && waited > r.CallHome && r.Now().Sub(*v.LastSeen) > r.CallHome:
		c = ownSilent.awaited(v, Duration(r.Now().Sub(*v.LastSeen)), started)
	case waited > r.Converge:
		c = ownSlow.awaited(v, Duration(r.Converge), started)
	default:
		return nil
	}
	return &c
}
