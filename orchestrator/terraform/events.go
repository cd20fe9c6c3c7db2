package terraform

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// Event is progress: Text for people, the rest for programs. Step is install,
// wait, init, plan or apply.
type Event struct {
	Step     string `json:"step"`
	Text     string `json:"text"`
	Resource string `json:"resource,omitempty"` // its address
	Action   string `json:"action,omitempty"`   // create, update, delete, replace, read
	Phase    string `json:"phase,omitempty"`    // planned, started, running, done, failed
	Seconds  int    `json:"seconds,omitempty"`
	// Server is the ID of the server that something belonged to which a look for
	// what is left removes.
	Server string `json:"server,omitempty"`
}

// message is a line of Terraform's machine-readable output, as far as Berth
// uses it.
type message struct {
	Level   string `json:"@level"`
	Message string `json:"@message"`
	Type    string `json:"type"`
	Hook    *struct {
		Resource resource `json:"resource"`
		Action   string   `json:"action"`
		Elapsed  int      `json:"elapsed_seconds"`
		Output   string   `json:"output"`
	} `json:"hook"`
	Change *struct {
		Resource resource `json:"resource"`
		Action   string   `json:"action"`
	} `json:"change"`
	Changes *struct {
		Add       int    `json:"add"`
		Change    int    `json:"change"`
		Remove    int    `json:"remove"`
		Operation string `json:"operation"`
	} `json:"changes"`
	Outputs map[string]struct {
		Value json.RawMessage `json:"value"`
	} `json:"outputs"`
	Diagnostic *struct {
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
	} `json:"diagnostic"`
	State json.RawMessage `json:"state"` // of an emergency state dump
}

type resource struct {
	Addr string `json:"addr"`
	Name string `json:"resource_name"`
	Key  any    `json:"resource_key"`
}

// label is what people call a resource: a server by its app, anything else by
// its address within the module.
func (r resource) label() string {
	if key, ok := r.Key.(string); ok && r.Name == "server" {
		return key
	}
	return strings.TrimPrefix(r.Addr, "module.environment.")
}

var verbs = map[string][3]string{
	"create":  {"creating", "created", "will be created"},
	"update":  {"changing", "changed", "will be changed"},
	"delete":  {"removing", "removed", "will be removed"},
	"replace": {"replacing", "replaced", "will be replaced"},
}

// counts says how much is made, changed and removed; what is nothing is left
// out.
func counts(add, change, remove int, made, changed, removed, none string) string {
	var out []string
	for _, x := range []struct {
		n    int
		text string
	}{{add, made}, {change, changed}, {remove, removed}} {
		if x.n > 0 {
			out = append(out, fmt.Sprintf(x.text, x.n))
		}
	}
	if len(out) == 0 {
		return none
	}
	return strings.Join(out, ", ")
}

// event turns a message into progress; most messages are none.
func (m message) event() (Event, bool) {
	took := func(s int) string {
		if s < 1 {
			return ""
		}
		return fmt.Sprintf(" (%d s)", s)
	}
	switch m.Type {
	case "state_lock_acquire":
		// Said when it takes longer than usual.
		return Event{Step: "wait", Text: "waiting for the lock on the record of these servers"}, true
	case "planned_change":
		if m.Change == nil {
			return Event{}, false
		}
		verb, known := verbs[m.Change.Action]
		// What is created is said when it begins; what goes is said before.
		if !known || m.Change.Action == "create" {
			return Event{}, false
		}
		return Event{Step: "plan", Text: m.Change.Resource.label() + " " + verb[2], Resource: m.Change.Resource.Addr, Action: m.Change.Action, Phase: "planned"}, true
	case "change_summary":
		if m.Changes == nil {
			return Event{}, false
		}
		if m.Changes.Operation == "plan" {
			return Event{Step: "plan", Text: counts(m.Changes.Add, m.Changes.Change, m.Changes.Remove, "%d to make", "%d to change", "%d to remove", "nothing to change")}, true
		}
		return Event{Step: "apply", Text: counts(m.Changes.Add, m.Changes.Change, m.Changes.Remove, "%d made", "%d changed", "%d removed", "nothing had to be changed")}, true
	case "apply_start", "apply_progress", "apply_complete", "apply_errored":
		if m.Hook == nil {
			return Event{}, false
		}
		verb, known := verbs[m.Hook.Action]
		if !known {
			return Event{}, false
		}
		e := Event{Step: "apply", Resource: m.Hook.Resource.Addr, Action: m.Hook.Action, Seconds: m.Hook.Elapsed}
		label := m.Hook.Resource.label()
		switch m.Type {
		case "apply_start":
			e.Phase, e.Text = "started", verb[0]+" "+label
		case "apply_progress":
			e.Phase, e.Text = "running", "still "+verb[0]+" "+label+took(e.Seconds)
		case "apply_complete":
			e.Phase, e.Text = "done", verb[1]+" "+label+took(e.Seconds)
		case "apply_errored":
			e.Phase, e.Text = "failed", verb[0]+" "+label+" failed"+took(e.Seconds)
		}
		return e, true
	}
	return Event{}, false
}

// noise reports whether a message is worth no place in the journal.
func (m message) noise() bool {
	switch m.Type {
	case "provision_progress":
		return m.Hook != nil && strings.HasPrefix(m.Hook.Output, "(output suppressed")
	case "provision_start", "provision_complete", "refresh_start", "refresh_complete":
		return true
	}
	return false
}

// machines reads the output "servers" out of an outputs message. Those of a
// plan have no values.
func (m message) machines() (map[string]orchestrator.Machine, bool) {
	if m.Type != "outputs" || m.Outputs["servers"].Value == nil {
		return nil, false
	}
	var out map[string]orchestrator.Machine
	if json.Unmarshal(m.Outputs["servers"].Value, &out) != nil {
		return nil, false
	}
	return out, true
}
