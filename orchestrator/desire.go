package orchestrator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
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
