package orchestrator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// apply renders the workspace as the environment's servers are and applies it.
func (r *run) apply(ctx context.Context, target Target, without ...string) (map[string]Machine, error) {
	if err := r.reconcile(ctx, r.provisioning()); err != nil {
		return nil, err
	}
	if err := r.renewGone(ctx, target); err != nil {
		return nil, err
	}
	w, err := r.workspace(ctx, target, without)
	if err != nil {
		return nil, err
	}
	r.say(ctx, "", "apply", "making the servers")
	machines, err := r.Provisioner.Apply(ctx, w, r.provisioning(), r.tell(ctx))
	if err := r.noteMachines(ctx, target, w, machines, err); err != nil {
		return nil, err
	}
	return machines, r.provisioned(ctx, err, target.Module != "local")
}

// tell says how far Terraform has come.
func (r *run) tell(ctx context.Context) func(step, text string) {
	return func(step, text string) { r.say(ctx, "", step, text) }
}

// provisioned turns a failed Terraform run into a failure with its causes. What
// broke off elsewhere than on this machine may have left machines that nobody
// knows of; here another run takes up whatever is there.
func (r *run) provisioned(ctx context.Context, err error, elsewhere bool) error {
	var p *ProvisionError
	if err == nil || ctx.Err() != nil || !errors.As(err, &p) {
		return err
	}
	r.Log.Error("provisioning failed", "operation", r.op.ID, "environment", r.env.ID, "lost", p.Lost, "error", p.Err)
	if len(p.Unknown) > 0 {
		return r.unknown(p)
	}
	if p.Lost {
		// What it has made is looked for now: after that another try is safe.
		if elsewhere && r.op.Kind != KindDestroy {
			if err := r.reconcile(ctx, r.attemptName(1)); err != nil {
				return err
			}
		}
		return &failure{machines: true, diagnosis: Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{ownLost.of("", "")}}}
	}
	f := &failure{machines: true, begun: elsewhere && p.Began, diagnosis: r.Diagnoser.Terraform(p.Log)}
	if elsewhere && p.Known {
		f.also = r.stock(p)
	}
	return f
}

func (r *run) workspace(ctx context.Context, target Target, without []string) (Workspace, error) {
	c := r.Catalogs.Current()
	w := Workspace{EnvironmentID: r.env.ID, Target: target, State: c.State, Tags: map[string]string{
		TagEnvironment: r.env.ID, TagOwner: r.env.Owner, TagInstallation: r.InstallationID}}
	size, _ := c.Size(r.env.Size)
	waiting, err := r.waiting(ctx)
	if err != nil {
		return w, err
	}
	without = append(slices.Clip(without), waiting...)
	for _, v := range r.env.Servers {
		if slices.Contains(without, v.App) {
			continue
		}
		if v.UserData == "" {
			if v, err = r.userData(ctx, c, target, v); err != nil {
				return w, err
			}
		} else if v.LastSeen == nil {
			// Its machine may only be made now, long after its token was.
			if err := r.Servers.ProlongToken(ctx, v.ID, r.Now().Add(tokenLife), false); err != nil {
				return w, err
			}
		}
		w.Servers = append(w.Servers, WorkspaceServer{ID: v.ID, App: v.App, Variables: size.Variables[target.Name], UserData: v.UserData, Port: v.Port, UID: v.UID})
	}
	for i := range w.Servers {
		w.Servers[i].NeededBy = neededBy(c, r.env, w.Servers, w.Servers[i].App)
	}
	return w, nil
}

// waiting names the apps whose servers belong to an operation that still
// waits: they may be canceled with it.
func (r *run) waiting(ctx context.Context) ([]string, error) {
	ops, err := r.Operations.Operations(ctx, r.env.ID)
	if err != nil {
		return nil, err
	}
	var apps []string
	for _, op := range ops {
		if op.Status == OperationQueued && op.Kind == KindServerCreate {
			apps = append(apps, op.Apps...)
		}
	}
	return apps, nil
}

// neededBy names the apps of a set that need one of them. An app that has left
// the catalog needs what its server was pointed at.
func neededBy(c *Catalog, e Environment, set []WorkspaceServer, app string) []string {
	var out []string
	for _, s := range set {
		a, known := c.App(s.App)
		needs := slices.Contains(slices.Collect(maps.Values(a.Needs)), app)
		if !known {
			needs = e.pointed(s.App, app)
		}
		if s.App != app && needs {
			out = append(out, s.App)
		}
	}
	slices.Sort(out)
	return out
}

// pointed reports whether one app's server has been given the address of
// another's.
func (e Environment) pointed(app, at string) bool {
	this := slices.IndexFunc(e.Servers, func(v Server) bool { return v.App == app })
	that := slices.IndexFunc(e.Servers, func(v Server) bool { return v.App == at })
	if this < 0 || that < 0 || URLOf(e.Servers[that]) == "" {
		return false
	}
	return slices.Contains(slices.Collect(maps.Values(e.Servers[this].Needs)), URLOf(e.Servers[that]))
}

// tokenLife is how long a new machine may take until it first calls home.
const tokenLife = 24 * time.Hour

// userData renders a server's user-data once, with a fresh enrolment token.
func (r *run) userData(ctx context.Context, c *Catalog, target Target, v Server) (Server, error) {
	token := rand.Text()
	sum := sha256.Sum256([]byte(token))
	// The token first: user-data whose token nobody knows would strand the
	// server, a token without user-data is merely replaced.
	if err := r.Servers.SetToken(ctx, v.ID, hex.EncodeToString(sum[:]), r.Now().Add(tokenLife)); err != nil {
		return v, err
	}
	text, err := r.UserData(target, Boot{ServerID: v.ID, URL: r.PublicURL, Token: token, SaltVersion: c.Salt.Version, CA: r.CA})
	if err != nil {
		return v, fmt.Errorf("rendering the user-data of %s: %w", v.ID, err)
	}
	return r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error { s.UserData = text; return nil })
}
