package terraform

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"
)

// inventory is what a state knows of what there is.
type inventory struct {
	// ids are the cloud's, with the resource's type before them: a cloud may
	// number each kind for itself.
	ids      map[string]bool
	machines []machine
	// all are the resources that can be machines, under whatever name; told are
	// the cloud's IDs of servers' machines as the module gave them, by server.
	all  []machine
	told map[string]string
	rest []orchestrator.Thing
}

// machine is the machine of a server.
type machine struct {
	server, app, id string
	kind, address   string // of the resource
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
	inv := &inventory{ids: map[string]bool{}, told: map[string]string{}}
	if strings.TrimSpace(raw) == "" {
		return inv, nil
	}
	var state struct {
		Outputs struct {
			Servers struct{ Value json.RawMessage } `json:"servers"`
		}
		Resources []struct {
			Module, Mode, Type, Name string
			Instances                []struct {
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
	var servers map[string]orchestrator.Machine
	if json.Unmarshal(state.Outputs.Servers.Value, &servers) == nil { // else a module without the contract
		for id, m := range servers {
			if m.ProviderID != "" {
				inv.told[id] = m.ProviderID
			}
		}
	}
	for _, r := range state.Resources {
		if r.Mode != "managed" {
			continue
		}
		for _, in := range r.Instances {
			m := machine{kind: r.Type, address: instanceAddress(r.Module, r.Type, r.Name, in.Key), tainted: in.Status == "tainted"}
			if in.Attributes.ID != nil {
				m.id = fmt.Sprint(in.Attributes.ID)
				inv.ids[r.Type+" "+m.id] = true
			}
			m.app, _ = in.Key.(string)
			m.server = s.Servers[m.app].ID
			if !belongings.MatchString(r.Type) {
				inv.all = append(inv.all, m)
			}
			if m.app != "" && isMachine(r.Type, r.Name) {
				inv.machines = append(inv.machines, m)
				continue
			}
			if slices.ContainsFunc(bookkeeping, func(b string) bool { return strings.HasPrefix(r.Type, b) }) {
				continue
			}
			inv.rest = append(inv.rest, orchestrator.Thing{Kind: kind(r.Type), App: m.app, ID: m.id})
		}
	}
	return inv, nil
}

// instanceAddress is what Terraform calls an instance of a resource.
func instanceAddress(module, kind, name string, key any) string {
	out := kind + "." + name
	if module != "" {
		out = module + "." + out
	}
	switch key := key.(type) {
	case nil:
	case string:
		out += fmt.Sprintf("[%q]", key)
	default:
		out += fmt.Sprintf("[%v]", key)
	}
	return out
}

// watched are the machines to look for: of each server the one that the module
// told of, however its resource is called, else the one that is called server.
func (v *inventory) watched() []machine {
	var out []machine
	for _, server := range slices.Sorted(maps.Keys(v.told)) {
		is := func(m machine) bool { return m.id == v.told[server] }
		// What is not this server's may have the same number, such as a key.
		i := slices.IndexFunc(v.all, func(m machine) bool { return is(m) && m.server == server })
		if i < 0 {
			i = slices.IndexFunc(v.all, is)
		}
		if i >= 0 {
			m := v.all[i]
			m.server = server
			out = append(out, m)
		}
	}
	for _, m := range v.machines {
		if m.server != "" && !slices.ContainsFunc(out, func(o machine) bool { return o.server == m.server }) {
			out = append(out, m)
		}
	}
	return out
}

// belongings are resources that a machine has, though they may be called after
// it.
var belongings = lazyregexp.New(`firewall|security|rule|address|_ip\b|ips?$|volume|disk|network|record|attachment|association`)

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

func (v *inventory) has(f found) bool { return v.ids[f.kind()+" "+f.ProviderID] }

// recorded are the cloud's IDs of what can be a machine.
func (v *inventory) recorded() map[string]bool {
	out := map[string]bool{}
	for _, m := range v.all {
		if m.id != "" {
			out[m.id] = true
		}
	}
	return out
}

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

// refreshed reads from a plan what it found of the resources of a state: what
// each is by now, by its address. What is not in it is not there.
func refreshed(plan *tfjson.Plan) map[string]*tfjson.StateResource {
	out := map[string]*tfjson.StateResource{}
	if plan.PriorState == nil || plan.PriorState.Values == nil {
		return out
	}
	modules := []*tfjson.StateModule{plan.PriorState.Values.RootModule}
	for len(modules) > 0 {
		m := modules[0]
		modules = modules[1:]
		if m == nil {
			continue
		}
		for _, r := range m.Resources {
			if r.DeposedKey == "" {
				out[r.Address] = r
			}
		}
		modules = append(modules, m.ChildModules...)
	}
	return out
}

// stands says that a machine is there and does not run.
func stands(r *tfjson.StateResource) bool {
	state, _ := r.AttributeValues["instance_state"].(string)
	if state == "" {
		state, _ = r.AttributeValues["status"].(string)
	}
	return slices.Contains(still, state)
}

// kind is the type of the resource that made it.
func (f found) kind() string {
	kind, _, _ := strings.Cut(f.Resource, ".")
	return kind
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
