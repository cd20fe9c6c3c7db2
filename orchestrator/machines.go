package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// reconcile looks, before an attempt to make machines, for what an interrupted
// one has made and nobody knows of. What is found is removed, and its servers
// are made anew with another token: the old one may be bound to the machine
// that went.
func (r *run) reconcile(ctx context.Context, attempt string) error {
	removed, err := r.Provisioner.Reconcile(ctx, r.env.ID, attempt, r.tell(ctx))
	if err != nil {
		return r.provisioned(ctx, err, false)
	}
	for _, id := range removed {
		if err := r.renew(ctx, id); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// renew makes sure that a server gets another machine: what was made for the
// old one is forgotten, its key too once there is a new token.
func (r *run) renew(ctx context.Context, serverID string) error {
	if !slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.ID == serverID }) {
		return nil // it was to be removed
	}
	_, err := r.Servers.UpdateServer(ctx, serverID, func(v *Server) error {
		if v.Machine == MachineMissing && v.UserData == "" {
			return nil
		}
		v.Machine, v.UserData, v.ProviderID, v.Address, v.URL = MachineMissing, "", "", "", ""
		v.Revision, v.RunningBranch = "", ""
		return nil
	})
	return err
}

// renewGone gives new tokens to servers whose machines are gone, before they
// are made anew: the old ones are bound to the machines that went.
func (r *run) renewGone(ctx context.Context, target Target) error {
	if target.Module == "local" || !slices.ContainsFunc(r.env.Servers, func(v Server) bool { return v.ProviderID != "" }) {
		return nil
	}
	sight, err := r.Provisioner.Look(ctx, r.env.ID)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		// What keeps Berth from looking keeps it from making, and is told then.
		r.Log.Info("the machines were not looked at", "environment", r.env.ID, "error", err)
		return nil
	}
	for _, v := range r.env.Servers {
		if sight.lacks(v) {
			if err := r.renew(ctx, v.ID); err != nil {
				return err
			}
			continue
		}
		// What stands still does so afterwards, too: nobody waits for it. Of those
		// that this operation does not touch the next look tells.
		is := v.Machine
		if !moves(v) {
			continue
		}
		switch stopped := slices.Contains(sight.Stopped, v.ID); {
		case stopped && is == "":
			is = MachineStopped
		case !stopped && is == MachineStopped:
			is = ""
		}
		if is == v.Machine {
			continue
		}
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(v *Server) error { v.Machine = is; return nil }); err != nil {
			return err
		}
	}
	return r.reload(ctx)
}

// lacks says that a server's machine is not there any more: the cloud says so,
// or the record of what was made, from which a destroy that was not finished
// has taken it. Only a module that lists what there is is held to one ID for
// both; else an empty record alone tells.
func (s Sight) lacks(v Server) bool {
	if slices.Contains(s.Gone, v.ID) {
		return true
	}
	return v.ProviderID != "" && s.Recorded != nil && !s.Recorded[v.ProviderID] && (s.Listed || s.Nothing)
}

// noteMachines writes down which of an apply's servers have a machine.
func (r *run) noteMachines(ctx context.Context, target Target, w Workspace, machines map[string]Machine, failed error) error {
	if target.Module == "local" && failed != nil {
		return nil // an agent that could not start is told by its failure
	}
	is := func(Server) (MachineStatus, string) { return "", "" }
	switch p, known := asProvisionError(failed); {
	case failed == nil:
		is = func(v Server) (MachineStatus, string) {
			if target.Module == "local" {
				return "", ""
			}
			return "", machines[v.ID].ProviderID
		}
	case known && p.Known:
		is = func(v Server) (MachineStatus, string) {
			switch {
			case slices.Contains(p.Made, v.ID):
				return "", ""
			case p.Nameless && (v.ProviderID != "" || v.LastSeen != nil):
				return v.Machine, "" // what it had may well be there
			}
			return MachineMissing, ""
		}
	default:
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	for _, s := range w.Servers {
		i := slices.IndexFunc(r.env.Servers, func(v Server) bool { return v.ID == s.ID })
		if i < 0 {
			continue
		}
		status, id := is(r.env.Servers[i])
		if v := r.env.Servers[i]; status == "" && v.Machine == MachineStopped && (id == "" || id == v.ProviderID) {
			status = MachineStopped // what stands still is passed over
		}
		if was := r.env.Servers[i].ProviderID; id != "" && was != "" && id != was {
			// Replaced without Berth's asking, for what ops have changed: with the
			// same user-data, whose token is that of the machine that went.
			if err := r.Servers.ProlongToken(ctx, s.ID, r.Now().Add(tokenLife), true); err != nil {
				return err
			}
		}
		open := r.env.Servers[i].Opening
		if failed == nil && target.Module != "local" {
			open = opening(s.Port, s.NeededBy)
		}
		if v := r.env.Servers[i]; v.Machine == status && v.Opening == open && (id == "" || v.ProviderID == id) {
			continue
		}
		if _, err := r.Servers.UpdateServer(ctx, s.ID, func(v *Server) error {
			if v.Machine = status; status == MachineMissing {
				// A machine that is not whole is replaced; it may have used its token.
				v.UserData, v.ProviderID = "", ""
			}
			if id != "" {
				v.ProviderID = id
			}
			v.Opening = open
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// opening is what a server's firewall depends on besides its target: the app's
// port, and which apps of the set need it.
func opening(port int, neededBy []string) string {
	return strings.Join(append([]string{strconv.Itoa(port)}, neededBy...), " ")
}

// closed says whether a server's machine does not let in what it has to by the
// catalog as it is now: nothing on the machine can change that. Servers that
// still wait have no machine, and none opens to them yet.
func (r *run) closed(ctx context.Context, target Target) (bool, error) {
	if target.Module == "local" {
		return false, nil
	}
	waiting, err := r.waiting(ctx)
	if err != nil {
		return false, err
	}
	servers := slices.DeleteFunc(slices.Clone(r.env.Servers), func(v Server) bool { return slices.Contains(waiting, v.App) })
	var set []WorkspaceServer
	for _, v := range servers {
		set = append(set, WorkspaceServer{ID: v.ID, App: v.App})
	}
	return slices.ContainsFunc(servers, func(v Server) bool {
		return v.Opening != opening(v.Port, neededBy(r.Catalogs.Current(), r.env, set, v.App))
	}), nil
}

func asProvisionError(err error) (*ProvisionError, bool) {
	p, ok := err.(*ProvisionError)
	return p, ok
}

// unknown is the failure of what cannot be reconciled.
func (r *run) unknown(p *ProvisionError) error {
	c := ownUnknown.of("", list(p.Unknown))
	c.Telling = ownUnknown.sentence
	c.Evidence = fmt.Sprintf("tag: berth:environment = %s\nmay be there: %s", r.env.ID, strings.Join(p.Unknown, ", "))
	return &failure{machines: true, begun: true, diagnosis: Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{c}}}
}

// stock tells what there is after a failure: of a destroy what is left, else
// which servers were made and which are missing.
func (r *run) stock(p *ProvisionError) []Cause {
	if r.op.Kind == KindDestroy {
		return r.left(p.Left)
	}
	var made, missing []string
	for _, v := range r.env.Servers {
		if slices.Contains(p.Made, v.ID) {
			made = append(made, v.App)
		} else {
			missing = append(missing, v.App)
		}
	}
	if len(made) == 0 || len(missing) == 0 || r.op.Kind == KindServerDestroy {
		return nil
	}
	c := ownKept.of("", fmt.Sprintf("Made: %s. Not made: %s.", list(made), list(missing)))
	c.Telling = ownKept.sentence
	c.Evidence = thingLines(p.Left)
	return []Cause{c}
}

func thingLines(things []Thing) string {
	var lines []string
	for _, t := range things {
		lines = append(lines, t.String())
	}
	return strings.Join(lines, "\n")
}

// left is what a destroy has not removed. People hear of servers by their
// apps; the cloud's IDs are evidence.
func (r *run) left(things []Thing) []Cause {
	if len(things) == 0 {
		return nil
	}
	var servers []string
	others := 0
	for _, t := range things {
		if t.Kind == "server" && t.App != "" {
			servers = append(servers, t.App)
		} else {
			others++
		}
	}
	value := ""
	switch {
	case len(servers) == 1:
		value = "the server " + servers[0] + " is still there"
	case len(servers) > 1:
		value = "the servers " + list(servers) + " are still there"
	}
	if others > 0 {
		if value != "" {
			value += ", and "
		}
		if others == 1 {
			value += "1 other thing"
		} else {
			value += fmt.Sprintf("%d other things", others)
		}
		if len(servers) == 0 {
			value += " of it"
		}
		if value += " is left"; others > 1 {
			value = strings.TrimSuffix(value, " is left") + " are left"
		}
	}
	c := ownLeft.of("", value)
	c.Telling = ownLeft.sentence
	c.Evidence = thingLines(things)
	return []Cause{c}
}

// destroysAgain says in the diagnosis of a destroy that failed when Berth tries
// again, or that it does not any more.
func (r *run) destroysAgain(ctx context.Context, ending *Ending) {
	if r.op.Kind != KindDestroy || ending.Status != OperationFailed || ending.Diagnosis == nil || len(ending.Diagnosis.Causes) == 0 {
		return
	}
	ops, err := r.Operations.Operations(ctx, r.env.ID)
	if err != nil {
		r.Log.Warn("the earlier tries to destroy are not known", "operation", r.op.ID, "error", err)
		return
	}
	n, _ := failedDestroys(slices.DeleteFunc(ops, func(op Operation) bool { return op.ID == r.op.ID }))
	n++
	said := fmt.Sprintf("Berth has tried %d times and stops; ask ops to look, then: berth env destroy %s", n, itself)
	at := destroyAgain(ending.At, n).UTC().Format("15:04")
	switch over := !r.env.ExpiresAt.IsZero() && !r.env.ExpiresAt.After(ending.At); {
	case over: // for as long as it takes
		said = fmt.Sprintf("Berth tries again by itself at %s UTC; at once: berth env destroy %s", at, itself)
	case n < destroyTries:
		said = fmt.Sprintf("Berth tries again by itself at %s UTC (try %d of %d); at once: berth env destroy %s", at, n+1, destroyTries, itself)
	}
	for i := range ending.Diagnosis.Causes {
		c := &ending.Diagnosis.Causes[i]
		if c.Code == ownLeft.code {
			c.Next = said + "; ops see what is left with: berth state list " + itself
			return
		}
	}
	c := &ending.Diagnosis.Causes[0]
	if c.Who == "retry" {
		c.Next = said
	} else {
		c.Next = strings.TrimSuffix(c.Next, ".") + "; " + said
	}
}

// toOwner is where an owner sees the end of what Berth has tried again by
// itself: only when it is over, one way or the other.
func (r *run) toOwner(ctx context.Context, e Ending) Origin {
	if r.OwnersPlace == nil || r.op.Actor != Itself || r.op.Kind != KindDestroy {
		return Origin{}
	}
	ops, err := r.Operations.Operations(ctx, r.env.ID)
	if err != nil {
		return Origin{}
	}
	n, _ := failedDestroys(slices.DeleteFunc(ops, func(op Operation) bool { return op.ID == r.op.ID }))
	if n == 0 || e.Status == OperationFailed && n+1 != destroyTries {
		return Origin{}
	}
	return r.OwnersPlace(ctx, r.env)
}

// machineTrouble is the cause of a server whose machine is gone or stands
// still; nil: it is there, as far as is known.
func machineTrouble(v Server) *Cause {
	var c Cause
	switch v.Machine {
	case MachineGone:
		c = ownGone.of(nameOf(v), "")
	case MachineStopped:
		c = ownStopped.of(nameOf(v), "")
	default:
		return nil
	}
	if v.ProviderID != "" {
		c.Evidence = "server: " + v.ID + "\nmachine: " + v.ProviderID
	}
	return &c
}
