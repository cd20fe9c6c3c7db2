// Package salt turns what Salt prints into typed results: the states of each
// server, the messages where Salt ran none, and the failed states that nothing
// failed before them. It knows Salt's shapes and rules; what a failure means to
// people is package diagnose's business.
package salt

import (
	"bytes"
	"encoding/json"
	"sort"
	"strconv"
	"strings"
)

// Result is all that was found in one output.
type Result struct {
	// Servers holds one entry for each server that the document tells of, in
	// the document's order; salt-call gives one, whose ID is "local".
	Servers []Server
	// Truncated says that the document ends early; the states that came through
	// whole are there all the same.
	Truncated bool
	// Noise is what stood around the JSON, at most 64 KiB.
	Noise string
}

// Kind is what a server answered with.
type Kind string

// The kinds of answer.
const (
	// KindStates is a run of states.
	KindStates Kind = "states"
	// KindMessages is a refusal in words: nothing ran.
	KindMessages Kind = "messages"
	// KindQueued is a run that waits for another one, or has only been started.
	KindQueued Kind = "queued"
	// KindSilent is a server that did not answer.
	KindSilent Kind = "silent"
	// KindEmpty is an answer without a single state.
	KindEmpty Kind = "empty"
)

// Server is what one server answered.
type Server struct {
	ID       string
	Kind     Kind
	States   []State // in the order in which they ran
	Messages []string
	// Retcode is the exit code that came with the answer, if HasRetcode.
	Retcode    int
	HasRetcode bool
}

// Outcome is the result of a state.
type Outcome int

// The results of a state. Pending is Salt's null: test mode, or the target of
// a prereq that did not come to run.
const (
	Pending Outcome = iota
	Succeeded
	Failed
)

// State is one state that ran, or that was kept from running.
type State struct {
	Tag      string // module_|-id_|-name_|-function
	Module   string
	Function string
	ID       string
	SLS      string // empty where Salt leaves it out
	Name     string
	Comment  string
	Outcome  Outcome
	Order    int
	// Changes holds the stdout, stderr, retcode and comment of what a state that
	// failed by itself has called, their two ends where they are long; it is
	// empty for others. What else it has changed is not read: it may be large,
	// and says nothing of a failure.
	Changes  map[string]string
	Warnings []string
}

// Key is how Salt names a state in another one's comment.
func (s State) Key() string {
	if s.SLS == "" {
		return s.ID
	}
	return s.SLS + "." + s.ID
}

// Written is the ID as the recipe has it. What a "listen" does at the end Salt
// calls "listener_ID" (call_listen in salt/state.py), which nobody has written.
func (s State) Written() string {
	if s.Function != "mod_watch" { // of a "watch" the tag keeps the function
		return s.ID
	}
	return strings.TrimPrefix(s.ID, "listener_")
}

// Place is where the state is among the recipes: sls.id, as its author wrote it.
func (s State) Place() string {
	s.ID = s.Written()
	return s.Key()
}

// Read reads the standard output of salt-call, the salt command, salt-api or a
// job's return. It never fails: what cannot be read is Noise.
func Read(stdout []byte) Result {
	docs, noise := documents(stdout)
	r := Result{Noise: noise}
	for _, d := range docs {
		r.Truncated = r.Truncated || !d.whole
		if list := items(d.val); list != nil {
			r.unwrapList("", d.val, list)
			continue
		}
		r.unwrap("", d.val)
	}
	return r
}

func (r *Result) add(s Server) { r.Servers = append(r.Servers, s) }

// field is one field of an object, in the document's order.
type field struct {
	key   string
	val   []byte
	whole bool
}

func object(val []byte) []field {
	var out []field
	fields(val, func(k string, v []byte, whole bool) { out = append(out, field{k, v, whole}) })
	return out
}

func get(all []field, key string) []byte {
	for _, f := range all {
		if f.key == key {
			return f.val
		}
	}
	return nil
}

func first(val []byte) byte {
	if len(val) == 0 {
		return 0
	}
	return val[0]
}

// unwrap finds the payloads in the envelopes of Salt's doors and adds them.
// id is the server that the value belongs to, if that is known by now.
func (r *Result) unwrap(id string, val []byte) {
	switch first(val) {
	case '{':
	case '[':
		r.unwrapList(id, val, items(val))
		return
	case '"':
		r.message(id, []string{text(val)})
		return
	case 'f':
		r.add(Server{ID: id, Kind: KindSilent})
		return
	default:
		return
	}
	all := object(val)
	if len(all) == 0 {
		if id == "" { // an envelope without a single server: none has answered
			r.add(Server{Kind: KindSilent, Messages: []string{"No server has answered."}})
			return
		}
		r.add(Server{ID: id, Kind: KindEmpty})
		return
	}
	if chunks(all) {
		r.add(Server{ID: id, Kind: KindStates, States: states(all)})
		return
	}
	ret, res, info := get(all, "return"), get(all, "Result"), get(all, "info")
	switch {
	case res != nil && first(res) == '{': // jobs.list_job
		answered := map[string]bool{}
		for _, f := range object(res) {
			answered[f.key] = true
			r.unwrapReturn(f.key, f.val)
		}
		r.started(id, get(all, "Minions"), answered)
	case first(info) == '[' && ret != nil: // GET /jobs/JID: its info is what list_job gives, and tells more
		r.unwrapJob(info, ret)
	case get(all, "Function") != nil && get(all, "StartTime") != nil: // a list of jobs is nobody's answer
		r.unknown(val)
	case ret != nil && (get(all, "retcode") != nil || get(all, "jid") != nil || get(all, "fun") != nil || get(all, "success") != nil):
		// a job's return as it lies on the event bus or in the job cache
		if name := text(get(all, "id")); name != "" && id == "" {
			id = name
		}
		r.unwrapReturn(id, val)
	case ret != nil && first(ret) == '[': // salt-api
		for _, v := range items(ret) {
			r.unwrap(id, v)
		}
	case ret != nil:
		r.unwrap(id, ret)
	case get(all, "data") != nil && get(all, "outputter") != nil:
		r.unwrap(id, get(all, "data"))
	case get(all, "jid") != nil && get(all, "minions") != nil:
		r.started(id, get(all, "minions"), nil)
	case get(all, "ret") != nil && (get(all, "jid") != nil || get(all, "retcode") != nil):
		r.unwrapReturn(id, val)
	case get(all, "comment") != nil && get(all, "result") != nil:
		k := KindMessages
		if q := get(all, "queued"); q != nil && text(q) == "true" {
			k = KindQueued
		}
		r.add(Server{ID: id, Kind: k, Messages: []string{text(get(all, "comment"))}})
	default:
		// Servers by name, or an object that is none of Salt's shapes.
		for _, f := range all {
			if f.key == "jid" && first(f.val) == '"' || f.key == "retcode" { // of salt --batch, beside the servers
				continue
			}
			switch first(f.val) {
			case '{', '[', '"', 'f':
				if id != "" { // deeper than servers: not known
					r.message(id, []string{text(val)})
					return
				}
				r.unwrap(f.key, f.val)
			}
		}
	}
}

// Started is the message of a run that has not answered yet.
const Started = "The run has been started and has not answered yet."

// started adds those of the asked servers that have not answered.
func (r *Result) started(id string, asked []byte, answered map[string]bool) {
	waiting := false
	for _, v := range items(asked) {
		if name := text(v); first(v) == '"' && !answered[name] {
			waiting = true
			r.add(Server{ID: name, Kind: KindQueued, Messages: []string{Started}})
		}
	}
	if !waiting && len(answered) == 0 {
		r.add(Server{ID: id, Kind: KindQueued, Messages: []string{Started}})
	}
}

// unwrapJob adds what salt-api tells of one job, in two forms.
func (r *Result) unwrapJob(info, ret []byte) {
	before := len(r.Servers)
	for _, v := range items(info) {
		if res := get(object(v), "Result"); first(res) == '{' {
			r.unwrap("", v)
		}
	}
	if len(r.Servers) > before {
		return
	}
	if first(ret) != '[' {
		r.unwrap("", ret)
		return
	}
	for _, v := range items(ret) {
		r.unwrap("", v)
	}
}

// unknown keeps what is none of Salt's answers, to be quoted.
func (r *Result) unknown(val []byte) {
	if room := maxNoise - len(r.Noise); room > 0 {
		r.Noise += "\n" + strings.ToValidUTF8(string(val[:min(room, len(val))]), "�")
	}
}

// unwrapReturn adds a payload that comes with its exit code.
func (r *Result) unwrapReturn(id string, val []byte) {
	all := object(val)
	payload := get(all, "return")
	if payload == nil {
		payload = get(all, "ret")
	}
	before := len(r.Servers)
	if payload == nil {
		r.unwrap(id, val)
		return
	}
	r.unwrap(id, payload)
	if code, err := strconv.Atoi(string(bytes.TrimSpace(get(all, "retcode")))); err == nil {
		for i := before; i < len(r.Servers); i++ {
			r.Servers[i].Retcode, r.Servers[i].HasRetcode = code, true
		}
	}
}

func (r *Result) unwrapList(id string, val []byte, list [][]byte) {
	var words []string
	for _, v := range list {
		if first(v) == '{' {
			r.unwrap(id, v)
			continue
		}
		words = append(words, text(v))
	}
	if len(words) > 0 {
		r.message(id, words)
	} else if len(list) == 0 && id != "" {
		r.add(Server{ID: id, Kind: KindEmpty})
	}
}

func (r *Result) message(id string, words []string) {
	s := Server{ID: id, Kind: KindMessages, Messages: words}
	for _, w := range words {
		if strings.HasPrefix(w, "Minion did not return") {
			s.Kind = KindSilent
		}
	}
	r.add(s)
}

// chunks says whether an object holds states: some key is a tag.
func chunks(all []field) bool {
	for _, f := range all {
		if first(f.val) == '{' && strings.Count(f.key, "_|-") >= 3 {
			return true
		}
	}
	return false
}

func states(all []field) []State {
	out := make([]State, 0, len(all))
	for i, f := range all {
		// Values that are no objects may leak in ("__FAILHARD__": true); what
		// is cut off tells nothing certain.
		if first(f.val) != '{' || !f.whole {
			continue
		}
		if s, ok := state(f.key, f.val, i); ok {
			out = append(out, s)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Order < out[j].Order })
	return out
}

// splitTag takes a tag apart. Names and IDs may hold the separator, so the
// module is the first part and the function the last one.
func splitTag(tag string) (module, id, name, function string) {
	parts := strings.Split(tag, "_|-")
	module, function = parts[0], parts[len(parts)-1]
	if len(parts) > 2 {
		id = parts[1]
		name = strings.Join(parts[2:len(parts)-1], "_|-")
	}
	return module, id, name, function
}

func state(tag string, val []byte, at int) (State, bool) {
	s := State{Tag: tag, Order: at}
	s.Module, s.ID, s.Name, s.Function = splitTag(tag)
	var changes, warnings []byte
	known := false
	fields(val, func(k string, v []byte, _ bool) {
		switch k {
		case "result":
			known = true
			switch string(v) {
			case "true", `"True"`:
				s.Outcome = Succeeded
			case "false", `"False"`:
				s.Outcome = Failed
			}
		case "comment":
			s.Comment = joined(v)
		case "name":
			if n := text(v); n != "" && first(v) == '"' {
				s.Name = n
			}
		case "__id__":
			if n := text(v); n != "" {
				s.ID = n
			}
		case "__sls__":
			s.SLS = text(v)
		case "__run_num__":
			if n, err := strconv.Atoi(string(v)); err == nil {
				s.Order = n
			}
		case "changes":
			changes = v
		case "warnings":
			warnings = v
		}
	})
	if s.Outcome == Failed && !s.Blocked() && first(changes) == '{' {
		s.Changes = map[string]string{}
		fields(changes, func(k string, v []byte, _ bool) {
			if tells(k) {
				s.Changes[k] = text(v)
			} else if first(v) == '{' { // module.run, cmd.wait_call: what the function gave
				fields(v, func(k string, v []byte, _ bool) {
					if tells(k) {
						s.Changes[k] = text(v)
					}
				})
			}
		})
	}
	for _, w := range items(warnings) {
		s.Warnings = append(s.Warnings, text(w))
	}
	if s.SLS == "" {
		s.SLS = quotedSLS(s.Comment)
	}
	return s, known
}

// joined is a comment: a string, or (some states) a list of strings.
// tells reports a key of changes that says how a step went.
func tells(key string) bool {
	return key == "stdout" || key == "stderr" || key == "retcode" || key == "comment"
}

func joined(v []byte) string {
	if first(v) != '[' {
		return text(v)
	}
	var parts []string
	for _, w := range items(v) {
		parts = append(parts, text(w))
	}
	return strings.Join(parts, "\n")
}

// quotedSLS is the SLS that a comment names, where a chunk has none.
func quotedSLS(comment string) string {
	_, rest, ok := strings.Cut(comment, "SLS '")
	if !ok {
		return ""
	}
	sls, _, ok := strings.Cut(rest, "'")
	if !ok || strings.ContainsAny(sls, " \n") {
		return ""
	}
	return sls[strings.Index(sls, ":")+1:]
}

// MarshalJSON keeps outcomes readable in golden files and logs.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return json.Marshal([]string{"pending", "succeeded", "failed"}[o])
}
