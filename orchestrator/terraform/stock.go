package terraform

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/terraform-exec/tfexec"
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

// stock reads a state, as Terraform stores it: that starts no provider.
func stock(ctx context.Context, tf *tfexec.Terraform, s settings) (*inventory, error) {
	raw, err := tf.StatePull(ctx)
	if err != nil {
		return nil, err
	}
	return stored4(raw, s)
}

// stored4 reads a state of version 4, which every Terraform since 0.12 and
// every OpenTofu writes. A server's machine is the resource that is called
// server and has the server's app as its key.
func stored4(raw string, s settings) (*inventory, error) {
	inv := &inventory{ids: map[string]bool{}}
	if strings.TrimSpace(raw) == "" {
		return inv, nil
	}
	var state struct {
		Resources []struct {
			Mode, Type, Name string
			Instances        []struct {
				Key        any    `json:"index_key"`
				Status     string `json:"status"`
				Attributes struct {
					ID any `json:"id"`
				} `json:"attributes"`
			}
		}
	}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&state); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	for _, r := range state.Resources {
		if r.Mode != "managed" {
			continue
		}
		for _, in := range r.Instances {
			id := ""
			if in.Attributes.ID != nil {
				id = fmt.Sprint(in.Attributes.ID)
				inv.ids[id] = true
			}
			app, _ := in.Key.(string)
			if app != "" && isMachine(r.Type, r.Name) {
				inv.machines = append(inv.machines, machine{server: s.Servers[app].ID, app: app, id: id, tainted: in.Status == "tainted"})
				continue
			}
			if slices.ContainsFunc(bookkeeping, func(b string) bool { return strings.HasPrefix(r.Type, b) }) {
				continue
			}
			inv.rest = append(inv.rest, orchestrator.Thing{Kind: kind(r.Type), App: app, ID: id})
		}
	}
	return inv, nil
}

// belongings are resources that a machine has, though they may be called after
// it.
var belongings = regexp.MustCompile(`firewall|security|rule|address|_ip\b|ips?$|volume|disk|network|record|attachment|association`)

// isMachine says that a resource is the machine of a server: by its name, for
// what a cloud calls machines differs.
func isMachine(resourceType, name string) bool {
	return name == "server" && !belongings.MatchString(resourceType)
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

// nameless says that there is something and none of it is known as a machine: a
// module may call them otherwise.
func (v *inventory) nameless() bool { return len(v.machines) == 0 && len(v.ids) > 0 }

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
		if rc.Change == nil || !isMachine(rc.Type, rc.Name) || i < 0 {
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
	for _, rc := range plan.ResourceChanges {
		app, _ := rc.Index.(string)
		i := slices.IndexFunc(v.machines, func(m machine) bool { return m.app == app })
		if rc.Change != nil && isMachine(rc.Type, rc.Name) && i >= 0 && rc.Change.Actions.Create() {
			gone[v.machines[i].server] = true
		}
	}
	return gone, stopped
}

// machine says that it is the machine of a server.
func (f found) machine() bool {
	resource, name, _ := strings.Cut(f.Resource, ".")
	return isMachine(resource, name)
}

// thing is what was found, in words.
func (s settings) thing(f found) orchestrator.Thing {
	t := orchestrator.Thing{Kind: "server", ID: f.ProviderID}
	if resource, _, ok := strings.Cut(f.Resource, "."); ok && !f.machine() {
		t.Kind = kind(resource)
	}
	for _, app := range slices.Sorted(maps.Keys(s.Servers)) {
		if s.Servers[app].ID == f.Server {
			t.App = app
		}
	}
	return t
}

// nobody is the value of a server that is there to be removed: no two have one
// ID.
func nobody(n int) map[string]any {
	id := fmt.Sprintf("stray-%d", n)
	return map[string]any{"id": id, "app": id, "port": 0, "uid": 0, "variables": map[string]any{}, "needed_by": []string{}}
}
