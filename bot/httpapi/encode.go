package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// portion is how much of a list is encoded before it is sent: the client reads
// it while the next one is made, and nothing large has to be allocated.
const portion = 128 << 10

// writeEnvironments writes environments as encoding/json would. Lists of ten
// thousand are asked for interactively, and reflection takes most of the time
// that they may take.
func writeEnvironments(w io.Writer, before string, all []orchestrator.Environment, after string) error {
	out := array{w: w, before: before}
	for i := range all {
		if err := out.add(&all[i]); err != nil {
			return err
		}
	}
	return out.end(after)
}

// array writes environments as a JSON array, behind what is before it.
type array struct {
	w      io.Writer
	before string
	b      []byte
	begun  bool
}

func (a *array) add(e *orchestrator.Environment) error {
	if a.begun {
		a.b = append(a.b, ',')
	}
	a.begin()
	a.b = appendEnvironment(a.b, e)
	if len(a.b) < portion {
		return nil
	}
	_, err := a.w.Write(a.b)
	a.b = a.b[:0]
	return err
}

func (a *array) begin() {
	if !a.begun {
		a.begun = true
		a.b = append(append(make([]byte, 0, portion+8<<10), a.before...), '[')
	}
}

func (a *array) end(after string) error {
	a.begin()
	a.b = append(append(a.b, ']'), after...)
	_, err := a.w.Write(a.b)
	return err
}

// rows writes environments as lines of wire.Rows.
type rows struct {
	w          io.Writer
	b, servers []byte
}

func (r *rows) add(e *orchestrator.Environment) error {
	if r.b == nil {
		r.b = make([]byte, 0, portion+8<<10)
	}
	r.servers = r.servers[:0]
	for j := range e.Servers {
		if j > 0 {
			r.servers = append(r.servers, ' ')
		}
		r.servers = append(append(append(r.servers, e.Servers[j].App...), '='), e.Servers[j].Branch...)
	}
	r.b = wire.AppendRow(r.b, wire.Row{Name: e.Name, Status: string(e.Status), Owner: e.Owner, Target: e.Target, ExpiresAt: e.ExpiresAt, Servers: string(r.servers)})
	if len(r.b) < portion {
		return nil
	}
	return r.flush()
}

func (r *rows) flush() error {
	_, err := r.w.Write(r.b)
	r.b = r.b[:0]
	return err
}

func appendEnvironment(b []byte, e *orchestrator.Environment) []byte {
	b = field(b, `{"id":`, e.ID)
	b = field(b, `,"name":`, e.Name)
	b = field(b, `,"owner":`, e.Owner)
	b = field(b, `,"target":`, e.Target)
	b = optional(b, `,"blueprint":`, e.Blueprint)
	b = optional(b, `,"size":`, e.Size)
	b = field(b, `,"status":`, string(e.Status))
	b = moment(b, `,"created_at":`, &e.CreatedAt)
	b = moment(b, `,"expires_at":`, &e.ExpiresAt)
	if e.Servers == nil {
		b = append(b, `,"servers":null`...)
	} else {
		b = append(b, `,"servers":[`...)
		for i := range e.Servers {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendServer(b, &e.Servers[i])
		}
		b = append(b, ']')
	}
	b = append(b, `,"operation":`...)
	b = appendOperation(b, e.Operation)
	b = append(b, `,"diagnosis":`...)
	if e.Diagnosis == nil {
		b = append(b, "null"...)
	} else {
		b = other(b, e.Diagnosis)
	}
	return append(b, '}')
}

func appendServer(b []byte, v *orchestrator.Server) []byte {
	b = field(b, `{"id":`, v.ID)
	b = optional(b, `,"environment":`, v.Environment)
	b = field(b, `,"name":`, v.Name)
	b = field(b, `,"app":`, v.App)
	b = field(b, `,"repository":`, v.Repository)
	b = field(b, `,"branch":`, v.Branch)
	b = field(b, `,"commit":`, v.Commit)
	b = field(b, `,"revision":`, v.Revision)
	b = number(b, `,"generation":`, v.Generation)
	b = field(b, `,"status":`, string(v.Status))
	b = field(b, `,"agent":`, string(v.Agent))
	b = moment(b, `,"last_seen":`, v.LastSeen)
	b = field(b, `,"address":`, v.Address)
	if v.Port != 0 {
		b = number(b, `,"port":`, v.Port)
	}
	b = field(b, `,"url":`, v.URL)
	b = append(b, `,"needs":{`...)
	if len(v.Needs) > 0 { // most have none
		for i, key := range slices.Sorted(maps.Keys(v.Needs)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, key)
			b = field(b, ":", v.Needs[key])
		}
	}
	b = append(b, '}')
	b = optional(b, `,"step":`, v.Step)
	b = optional(b, `,"machine":`, string(v.Machine))
	b = optional(b, `,"provider_id":`, v.ProviderID)
	return append(b, '}')
}

func appendOperation(b []byte, op *orchestrator.Operation) []byte {
	if op == nil {
		return append(b, "null"...)
	}
	b = field(b, `{"id":`, op.ID)
	b = field(b, `,"kind":`, string(op.Kind))
	b = field(b, `,"status":`, string(op.Status))
	b = optional(b, `,"actor":`, op.Actor)
	b = optional(b, `,"text":`, op.Text)
	if len(op.Apps) > 0 {
		b = append(b, `,"apps":[`...)
		for i, app := range op.Apps {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, app)
		}
		b = append(b, ']')
	}
	if op.Position != 0 {
		b = number(b, `,"position":`, op.Position)
	}
	b = moment(b, `,"created_at":`, &op.CreatedAt)
	b = moment(b, `,"started_at":`, op.StartedAt)
	b = moment(b, `,"ended_at":`, op.EndedAt)
	if len(op.Changes) > 0 {
		b = other(append(b, `,"changes":`...), op.Changes)
	}
	if len(op.Tries) > 0 {
		b = other(append(b, `,"tries":`...), op.Tries)
	}
	return append(b, '}')
}

func field(b []byte, name, value string) []byte { return appendString(append(b, name...), value) }

func optional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return field(b, name, value)
}

func number(b []byte, name string, value int) []byte {
	return strconv.AppendInt(append(b, name...), int64(value), 10)
}

func moment(b []byte, name string, t *time.Time) []byte {
	b = append(b, name...)
	if t == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// plain are the bytes that stand for themselves in a JSON string; a table, for
// there are ten million of them in a long list.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return t
}()

// appendString quotes plain ASCII itself and leaves the rest to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			return other(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// other encodes what is rare. Neither strings nor the domain's plain values
// can fail to encode.
func other(b []byte, v any) []byte {
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(v); err != nil {
		return append(b, "null"...)
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
