package terraform

import (
	"maps"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	tfjson "github.com/hashicorp/terraform-json"
)

// inventory is what a state knows of what there is.
type inventory struct {
	ids      map[string]bool // the cloud's, of all resources
	machines []machine
	rest     []orchestrator.Thing
}

// machine is the machine of a server.
type machine struct {
	server, app, id string
	tainted         bool
}

// bookkeeping are resources that exist in Terraform's state alone.
var bookkeeping = []string{"terraform_data", "null_resource", "random_", "time_", "tls_", "local_"}

// stock reads a state. A server's machine is the resource that is called
// server and has the server's app as its key.
func stock(state *tfjson.State, s settings) *inventory {
	inv := &inventory{ids: map[string]bool{}}
	for _, r := range resources(state) {
		if r.Mode != tfjson.ManagedResourceMode {
			continue
		}
		id, _ := r.AttributeValues["id"].(string)
		if id != "" {
			inv.ids[id] = true
		}
		app, _ := r.Index.(string)
		if r.Name == "server" && app != "" {
			inv.machines = append(inv.machines, machine{server: s.Servers[app].ID, app: app, id: id, tainted: r.Tainted})
			continue
		}
		if slices.ContainsFunc(bookkeeping, func(b string) bool { return strings.HasPrefix(r.Type, b) }) {
			continue
		}
		inv.rest = append(inv.rest, orchestrator.Thing{Kind: kind(r.Type), App: app, ID: id})
	}
	return inv
}

// kind says in words what a resource's type is: aws_security_group is a
// security group.
func kind(resourceType string) string {
	_, name, ok := strings.Cut(resourceType, "_")
	if !ok {
		return resourceType
	}
	return strings.ReplaceAll(name, "_", " ")
}

func (v *inventory) has(id string) bool { return v.ids[id] }

func (v *inventory) add(t orchestrator.Thing) { v.rest = append(v.rest, t) }

// made are the IDs of the servers whose machines are whole.
func (v *inventory) made() []string {
	var out []string
	for _, m := range v.machines {
		if !m.tainted && m.server != "" {
			out = append(out, m.server)
		}
	}
	return out
}

// things is everything, the servers first.
func (v *inventory) things() []orchestrator.Thing {
	var out []orchestrator.Thing
	for _, m := range v.machines {
		out = append(out, orchestrator.Thing{Kind: "server", App: m.app, ID: m.id})
	}
	return append(out, v.rest...)
}

// still are the words that providers have for a machine that does not run.
var still = []string{"stopped", "stopping", "off"}

// drift gives the IDs of the servers whose machines a plan has found to be
// gone, or not running.
func (v *inventory) drift(plan *tfjson.Plan) (gone, stopped map[string]bool) {
	gone, stopped = map[string]bool{}, map[string]bool{}
	for _, rc := range plan.ResourceDrift {
		app, _ := rc.Index.(string)
		i := slices.IndexFunc(v.machines, func(m machine) bool { return m.app == app })
		if rc.Change == nil || rc.Name != "server" || i < 0 {
			continue
		}
		after, _ := rc.Change.After.(map[string]any)
		state, _ := after["instance_state"].(string)
		if state == "" {
			state, _ = after["status"].(string)
		}
		switch {
		case rc.Change.Actions.Delete():
			gone[v.machines[i].server] = true
		case slices.Contains(still, state):
			stopped[v.machines[i].server] = true
		}
	}
	return gone, stopped
}

// thing is what was found, in words.
func (s settings) thing(f found) orchestrator.Thing {
	t := orchestrator.Thing{Kind: "server", ID: f.ProviderID}
	if resource, name, ok := strings.Cut(f.Resource, "."); ok && name != "server" {
		t.Kind = kind(resource)
	}
	for _, app := range slices.Sorted(maps.Keys(s.Servers)) {
		if s.Servers[app].ID == f.Server {
			t.App = app
		}
	}
	return t
}

// server is the value for a server with this ID, as the module takes it.
func (s settings) server(id string) map[string]any {
	app := "none"
	for name, v := range s.Servers {
		if v.ID == id {
			app = name
		}
	}
	return map[string]any{"id": id, "app": app, "port": 0, "uid": 0, "variables": map[string]any{}, "needed_by": []string{}}
}
