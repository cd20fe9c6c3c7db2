package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"
)

// Resource is one resource of a state.
type Resource struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	ID      string `json:"id,omitempty"`
	Tainted bool   `json:"tainted,omitempty"`
}

// Change is one resource that a plan changes. Actions are Terraform's: create,
// update, delete, read; replacing is delete and create.
type Change struct {
	Address string   `json:"address"`
	Actions []string `json:"actions"`
	Before  any      `json:"before,omitempty"`
	After   any      `json:"after,omitempty"`
}

// Plan is what an apply would do now. Text is Terraform's own account of it.
type Plan struct {
	Changes []Change `json:"changes"`
	Text    string   `json:"text"`
}

// List lists the resources in a workspace's state.
func (p *Provisioner) List(ctx context.Context, dir string) ([]Resource, error) {
	state, _, err := p.show(ctx, dir)
	if err != nil {
		return nil, err
	}
	out := []Resource{}
	for _, r := range resources(state) {
		id, _ := r.AttributeValues["id"].(string)
		out = append(out, Resource{Address: r.Address, Type: r.Type, ID: id, Tainted: r.Tainted})
	}
	return out, nil
}

// Show gives one resource's attributes as indented JSON, or those of all
// resources and the outputs when addr is empty. Sensitive values are masked
// unless showSensitive.
func (p *Provisioner) Show(ctx context.Context, dir, addr string, showSensitive bool) ([]byte, error) {
	state, s, err := p.show(ctx, dir)
	if err != nil {
		return nil, err
	}
	type shown struct {
		Address    string         `json:"address"`
		Type       string         `json:"type"`
		Tainted    bool           `json:"tainted,omitempty"`
		Attributes map[string]any `json:"attributes"`
	}
	hide := func(text string) string { return text }
	if !showSensitive {
		if hide, err = hider(state, s); err != nil {
			return nil, err
		}
	}
	all := []shown{}
	var names []string
	for _, r := range resources(state) {
		names = append(names, r.Address)
		if addr != "" && addr != r.Address {
			continue
		}
		attributes := r.AttributeValues
		if !showSensitive {
			marks, err := marksOf(r.SensitiveValues)
			if err != nil {
				return nil, err
			}
			attributes, _ = mask(attributes, marks).(map[string]any)
		}
		all = append(all, shown{r.Address, r.Type, r.Tainted, attributes})
	}
	if addr != "" {
		if len(all) == 0 {
			return nil, &orchestrator.Error{Code: orchestrator.CodeNotFound, Suggestions: names,
				Message: fmt.Sprintf("The state has no resource %s.", addr), Hint: "berth state list shows what it has."}
		}
		return encode(all[0], hide)
	}
	outputs := map[string]any{}
	if state.Values != nil {
		for name, o := range state.Values.Outputs {
			if outputs[name] = o.Value; o.Sensitive && !showSensitive {
				outputs[name] = hidden
			}
		}
	}
	return encode(map[string]any{"resources": all, "outputs": outputs}, hide)
}

// Pull gives the state as Terraform stores it. Sensitive values are masked
// unless showSensitive; a masked state is for reading, not for pushing.
func (p *Provisioner) Pull(ctx context.Context, dir string, showSensitive bool) ([]byte, error) {
	tf, s, err := p.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	raw, err := tf.StatePull(ctx)
	if err != nil {
		return nil, troubled(dir, s, err)
	}
	if showSensitive || strings.TrimSpace(raw) == "" {
		return []byte(raw), nil
	}
	shown, err := tf.Show(ctx)
	if err != nil {
		return nil, troubled(dir, s, err)
	}
	marks := map[string]json.RawMessage{}
	for _, r := range resources(shown) {
		marks[r.Address] = r.SensitiveValues
	}
	var state map[string]any
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&state); err != nil {
		return nil, err
	}
	if err := maskState(state, marks); err != nil {
		return nil, err
	}
	hide, err := hider(shown, s)
	if err != nil {
		return nil, err
	}
	return encode(state, hide)
}

func marksOf(raw json.RawMessage) (marks any, err error) {
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &marks)
	}
	return marks, err
}

// hider hides, in any text, what is sensitive anywhere in the state:
// providers copy values to where Terraform does not mark them.
func hider(state *tfjson.State, s settings) (func(string) string, error) {
	var more []string
	for _, r := range resources(state) {
		marks, err := marksOf(r.SensitiveValues)
		if err != nil {
			return nil, err
		}
		more = sensitive(more, r.AttributeValues, marks)
	}
	if state.Values != nil {
		for _, o := range state.Values.Outputs {
			more = sensitive(more, o.Value, o.Sensitive)
		}
	}
	return redactor(s, more...), nil
}

// shortest is how long a sensitive text must be to be looked for elsewhere: a
// shorter one is a word like any other.
const shortest = 6

// sensitive appends the strings of v that are marked and long enough, and what
// Terraform may write of them.
func sensitive(to []string, v, marks any) []string {
	switch v := v.(type) {
	case string:
		if marks != true {
			break
		}
		if len(v) >= shortest {
			to = append(to, v)
		}
		// Terraform writes a text of many lines indented, and JSON as the
		// expression that would make it.
		if strings.Contains(v, "\n") {
			for line := range strings.Lines(v) {
				if line = strings.TrimSpace(line); len(line) >= shortest {
					to = append(to, line)
				}
			}
		}
		var inside any
		if json.Unmarshal([]byte(v), &inside) == nil {
			if _, same := inside.(string); !same {
				to = sensitive(to, inside, true)
			}
		}
	case map[string]any:
		m, _ := marks.(map[string]any)
		for key, value := range v {
			mark := m[key]
			if marks == true {
				mark = true
			}
			to = sensitive(to, value, mark)
		}
	case []any:
		m, _ := marks.([]any)
		for i, value := range v {
			var mark any
			if i < len(m) {
				mark = m[i]
			}
			if marks == true {
				mark = true
			}
			to = sensitive(to, value, mark)
		}
	}
	return to
}

// maskState masks a state file's content. What Show calls sensitive is, and
// what the file itself marks; providers' private data is opaque and goes.
func maskState(state map[string]any, marks map[string]json.RawMessage) error {
	outputs, _ := state["outputs"].(map[string]any)
	for _, o := range outputs {
		if o, ok := o.(map[string]any); ok && o["sensitive"] == true {
			o["value"] = hidden
		}
	}
	list, _ := state["resources"].([]any)
	for _, r := range list {
		r, _ := r.(map[string]any)
		instances, _ := r["instances"].([]any)
		for _, in := range instances {
			in, _ := in.(map[string]any)
			if in == nil {
				continue
			}
			if _, ok := in["private"]; ok {
				in["private"] = hidden
			}
			var mark any = true // what Show does not know, a deposed object, is hidden
			if m, known := marks[address(r, in)]; known && in["deposed"] == nil {
				var err error
				if mark, err = marksOf(m); err != nil {
					return err
				}
			}
			in["attributes"] = mask(in["attributes"], mark)
			paths, _ := in["sensitive_attributes"].([]any)
			for _, path := range paths {
				steps, _ := path.([]any)
				in["attributes"] = maskPath(in["attributes"], steps)
			}
		}
	}
	return nil
}

// address is the address of an instance in a state file.
func address(r, in map[string]any) string {
	module, _ := r["module"].(string)
	kind := fmt.Sprint(r["type"])
	if r["mode"] == "data" {
		kind = "data." + kind
	}
	return instanceAddress(module, kind, fmt.Sprint(r["name"]), in["index_key"])
}

// mask hides what marks (Terraform's sensitive_values: true, or a structure
// that holds true somewhere) says, and user-data under any name it goes by.
func mask(v, marks any) any {
	if marks == true {
		return hidden
	}
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := wrapped(v); ok {
			return map[string]any{"type": v["type"], "value": mask(inner, marks)}
		}
		m, _ := marks.(map[string]any)
		out := make(map[string]any, len(v))
		for key, value := range v {
			if strings.HasPrefix(key, "user_data") && value != nil {
				if _, isText := value.(string); isText {
					out[key] = hidden
					continue
				}
			}
			out[key] = mask(value, m[key])
		}
		return out
	case []any:
		m, _ := marks.([]any)
		out := make([]any, len(v))
		for i, value := range v {
			var mark any
			if i < len(m) {
				mark = m[i]
			}
			out[i] = mask(value, mark)
		}
		return out
	}
	return v
}

// wrapped opens a value whose type a state file keeps beside it.
func wrapped(v map[string]any) (any, bool) {
	_, typed := v["type"].([]any)
	inner, ok := v["value"]
	return inner, ok && typed && len(v) == 2
}

// maskPath hides what a path of a state file's sensitive_attributes leads to;
// where it cannot be followed, everything there.
func maskPath(v any, steps []any) any {
	if len(steps) == 0 {
		return hidden
	}
	step, _ := steps[0].(map[string]any)
	key := step["value"]
	if index, ok := key.(map[string]any); ok { // an index carries its type
		key = index["value"]
	}
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := wrapped(v); ok {
			v["value"] = maskPath(inner, steps)
			return v
		}
		if name, ok := key.(string); ok {
			if value, there := v[name]; there {
				v[name] = maskPath(value, steps[1:])
			}
			return v
		}
	case []any:
		if n, ok := key.(json.Number); ok {
			if i, err := n.Int64(); err == nil {
				if i >= 0 && i < int64(len(v)) {
					v[i] = maskPath(v[i], steps[1:])
				}
				return v
			}
		}
	case nil:
		return nil
	}
	return hidden
}

// Plan says what an apply would do now, and changes nothing: not even a lock
// is taken.
func (p *Provisioner) Plan(ctx context.Context, dir string, showSensitive bool) (Plan, error) {
	tf, s, err := p.open(ctx, dir)
	if err != nil {
		return Plan{}, err
	}
	path, done, err := planFile(filepath.Join(dir, ".berth"))
	if err != nil {
		return Plan{}, unwritable(dir, err)
	}
	defer done()
	if _, err := tf.Plan(ctx, tfexec.Out(path), tfexec.Lock(false)); err != nil {
		return Plan{}, troubled(dir, s, err)
	}
	plan, err := tf.ShowPlanFile(ctx, path)
	if err != nil {
		return Plan{}, troubled(dir, s, err)
	}
	text, err := tf.ShowPlanFileRaw(ctx, path)
	if err != nil {
		return Plan{}, troubled(dir, s, err)
	}
	hide := func(text string) string { return text }
	if !showSensitive {
		var more []string
		for _, rc := range plan.ResourceChanges {
			if rc.Change != nil {
				more = sensitive(sensitive(more, rc.Change.Before, rc.Change.BeforeSensitive), rc.Change.After, rc.Change.AfterSensitive)
			}
		}
		hide = redactor(s, more...)
	}
	out := Plan{Changes: []Change{}, Text: hide(text)}
	for _, rc := range plan.ResourceChanges {
		if rc.Change == nil || rc.Change.Actions.NoOp() {
			continue
		}
		c := Change{Address: rc.Address, Before: rc.Change.Before, After: rc.Change.After}
		for _, a := range rc.Change.Actions {
			c.Actions = append(c.Actions, string(a))
		}
		if !showSensitive {
			pair, err := encode([2]any{mask(c.Before, rc.Change.BeforeSensitive), mask(c.After, rc.Change.AfterSensitive)}, hide)
			if err != nil {
				return Plan{}, err
			}
			var clean [2]any
			if err := json.Unmarshal(pair, &clean); err != nil {
				return Plan{}, err
			}
			c.Before, c.After = clean[0], clean[1]
		}
		out.Changes = append(out.Changes, c)
	}
	return out, nil
}

// open gives terraform-exec for a workspace that has been applied.
func (p *Provisioner) open(ctx context.Context, dir string) (*tfexec.Terraform, settings, error) {
	if _, err := os.Stat(filepath.Join(dir, ".terraform")); err != nil {
		return nil, settings{}, orchestrator.Errorf(orchestrator.CodeNotFound, "There is no Terraform workspace in %s yet.", dir).
			WithHint("It appears with the environment's first apply and goes when it is destroyed.")
	}
	b, err := p.Terraform(ctx, nil)
	if err != nil {
		return nil, settings{}, err
	}
	f := paths{dir: dir}
	state, err := stored(f)
	if err != nil {
		return nil, settings{}, err
	}
	names, err := variables(f, state)
	if err != nil {
		return nil, settings{}, err
	}
	env, err := environ(names, p.LookupEnv, "")
	if err != nil {
		return nil, settings{}, err
	}
	if err := makeCache(env); err != nil {
		return nil, settings{}, err
	}
	s, err := readSettings(dir)
	if err != nil {
		return nil, settings{}, err
	}
	s.secrets = secretsOf(names, env)
	tf, err := newTerraform(dir, b.Path, env, p.WaitDelay)
	return tf, s, err
}

func (p *Provisioner) show(ctx context.Context, dir string) (*tfjson.State, settings, error) {
	tf, s, err := p.open(ctx, dir)
	if err != nil {
		return nil, s, err
	}
	state, err := tf.Show(ctx)
	if err != nil {
		return nil, s, troubled(dir, s, err)
	}
	return state, s, nil
}

func troubled(dir string, s settings, err error) error {
	text := redactor(s)(err.Error()) // Terraform quotes addresses with the passwords in them
	return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: errors.New(text),
		Message: fmt.Sprintf("Terraform cannot read the workspace %s: %s.", dir, firstLine(text)),
		Hint:    "`terraform plan` in that folder says more."}
}

// resources are all of a state's resources, by address.
func resources(state *tfjson.State) []*tfjson.StateResource {
	var out []*tfjson.StateResource
	var walk func(m *tfjson.StateModule)
	walk = func(m *tfjson.StateModule) {
		if m == nil {
			return
		}
		out = append(out, m.Resources...)
		for _, child := range m.ChildModules {
			walk(child)
		}
	}
	if state != nil && state.Values != nil {
		walk(state.Values.RootModule)
	}
	slices.SortFunc(out, func(a, b *tfjson.StateResource) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// encode is v as indented JSON, with hide applied to the text.
func encode(v any, hide func(string) string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(hide(b.String())), nil
}
