package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// statesOf packs the recipes that a catalog names; see templates.States.
type statesOf = func(catalogStates string) (digest string, err error)

// desire builds what server v of environment e should be: its app at its
// commit, ops' settings, and the addresses of the peers that it needs.
func desire(c *Catalog, e Environment, v Server, settings SettingsReader, states statesOf) (Desired, map[string]string, error) {
	a, ok := c.App(v.App)
	if !ok {
		return Desired{}, nil, unknown(CodeAppUnknown, "app", v.App, names(c.Apps, func(a App) string { return a.Name }))
	}
	var raw []byte
	values := map[string]string{}
	if a.Settings != "" {
		var err error
		if raw, values, err = settings(a.Settings); err != nil {
			return Desired{}, nil, err
		}
	}
	digest, err := states(c.Salt.States)
	if err != nil {
		return Desired{}, nil, err
	}
	needs := addresses(a, e)
	merged := maps.Clone(values)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, needs)
	pillar, err := json.Marshal(map[string]Pillar{"berth": {
		Server: v.Name, Environment: e.Name, Target: e.Target, Settings: merged, Env: envFile(raw, needs), Needs: needs,
		App: PillarApp{Name: a.Name, Repository: a.Repository, Branch: v.Branch, Revision: v.Commit, Port: v.Port,
			Health: a.Health, Build: a.Build, Start: a.Start},
	}})
	if err != nil {
		return Desired{}, nil, fmt.Errorf("encoding the pillar of %s: %w", v.Name, err)
	}
	return Desired{ServerID: v.ID, Repository: a.Repository, Branch: v.Branch, Commit: v.Commit, Submodules: a.Submodules, States: a.States, StatesDigest: digest,
		Pillar: pillar, Health: a.Health, HealthTimeout: int(a.HealthTimeout.Seconds()), Port: v.Port}, needs, nil
}

// addresses gives each need of a that the environment can meet now.
func addresses(a App, e Environment) map[string]string {
	out := map[string]string{}
	for key, app := range a.Needs {
		for _, peer := range e.Servers {
			if peer.App == app && peer.Address != "" {
				out[key] = URLOf(peer)
			}
		}
	}
	return out
}

// URLOf is the address of a server's app as its peers use it, empty while it
// has none. People may have another one: Server.URL.
func URLOf(v Server) string { return urlAt(v.Address, v.Port) }

func urlAt(address string, port int) string {
	if address == "" || port == 0 {
		return ""
	}
	return "http://" + net.JoinHostPort(address, strconv.Itoa(port))
}

// moved is where people reach a server's app whose machine has another address
// now; empty: where they did.
func moved(v Server, address string) string {
	u, err := url.Parse(v.URL)
	if err != nil || u.Hostname() == "" || address == "" || u.Hostname() == address {
		return ""
	}
	return "http://" + net.JoinHostPort(address, u.Port())
}

// URLAt is where people reach a server's app once it listens on another port.
func URLAt(v Server, port int) string {
	if u, err := url.Parse(v.URL); err == nil && u.Hostname() != "" {
		return urlAt(u.Hostname(), port)
	}
	return urlAt(v.Address, port)
}

// envFile is ops' file byte for byte, then the addresses.
func envFile(raw []byte, needs map[string]string) string {
	var b strings.Builder
	b.Write(raw)
	if len(raw) > 0 && raw[len(raw)-1] != '\n' && len(needs) > 0 {
		b.WriteByte('\n')
	}
	for _, key := range sortedKeys(needs) {
		fmt.Fprintf(&b, "%s=%s\n", key, needs[key])
	}
	return b.String()
}

// desireAll gives a new generation to every server that this operation
// touches, once, and to every other one whose peers' addresses have changed.
func (r *run) desireAll(ctx context.Context) error {
	c := r.Catalogs.Current()
	for _, v := range r.env.Servers {
		a, ok := c.App(v.App)
		if !ok {
			continue // no longer in the catalog: it keeps what it has
		}
		i := slices.IndexFunc(r.op.Changes, func(ch Change) bool { return ch.App == v.App })
		moved := v.Generation > 0 && !maps.Equal(v.Needs, addresses(a, r.env))
		if i < 0 && !moved && !r.anew(v) {
			continue
		}
		var stored Desired
		if len(v.Desired) > 0 {
			if err := json.Unmarshal(v.Desired, &stored); err != nil {
				return fmt.Errorf("reading the desired state of %s: %w", v.ID, err)
			}
		}
		anew := r.anew(v)
		if stored.Operation == r.op.ID && !moved && !anew {
			continue // done before an interruption
		}
		if i >= 0 {
			v.Branch, v.Commit = r.op.Changes[i].Branch, r.op.Changes[i].Commit
		}
		d, needs, err := desire(c, r.env, v, r.Settings, r.States)
		if err != nil {
			return err
		}
		if _, err := r.Servers.UpdateServer(ctx, v.ID, func(s *Server) error {
			s.Generation++
			s.Branch, s.Commit, s.Needs = v.Branch, v.Commit, needs
			if anew && (r.op.Kind == KindCreate || r.op.Kind == KindServerCreate) {
				s.Status = StatusCreating
			} else if s.Status != StatusCreating {
				s.Status = StatusDeploying
			}
			d.Generation, d.Operation, d.Formerly = s.Generation, r.op.ID, formerly(stored, d)
			doc, err := json.Marshal(d)
			s.Desired = doc
			return err
		}); err != nil {
			return err
		}
		if i < 0 && moved {
			r.say(ctx, v.Name, "configuring", "pointing it at its peers' new addresses")
		}
	}
	return r.reload(ctx)
}
