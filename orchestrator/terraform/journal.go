package terraform

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Kind says what a journal's entry is.
type Kind string

// The kinds of entry. A journal begins with started and ends with result.
const (
	KindStarted  Kind = "started"
	KindProgress Kind = "progress"
	KindLog      Kind = "log"
	KindResult   Kind = "result"
)

// Entry is one line of a run's journal.
type Entry struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	PID  int       `json:"pid,omitempty"` // of started
	*Event
	Line   string  `json:"line,omitempty"` // of log: as Terraform wrote it, without secrets
	Result *Result `json:"result,omitempty"`
}

// Status is how a run ended.
type Status string

// The ends of a run.
const (
	StatusSucceeded Status = "succeeded"
	StatusFailed    Status = "failed"
	StatusCanceled  Status = "canceled"
)

// Result is the end of a run. Code and Hint are set when Message is one for
// people, not Terraform's.
type Result struct {
	Status   Status                          `json:"status"`
	Machines map[string]orchestrator.Machine `json:"machines,omitempty"`
	Message  string                          `json:"message,omitempty"`
	Code     orchestrator.Code               `json:"code,omitempty"`
	Hint     string                          `json:"hint,omitempty"`
	// Of a run that failed, as far as the state could be read: the IDs of the
	// servers that are whole, and all that there is.
	Known bool                 `json:"known,omitempty"`
	Made  []string             `json:"made,omitempty"`
	Left  []orchestrator.Thing `json:"left,omitempty"`
	// Nameless: see orchestrator.ProvisionError.
	Nameless bool `json:"nameless,omitempty"`
	// Unknown is what an earlier run may have made and nobody can look for,
	// Removed the IDs of the servers of which something was found and removed.
	Unknown []string `json:"unknown,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// validID is what run and environment IDs look like: they become file names.
var validID = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func checkID(what, id string) error {
	if validID.MatchString(id) {
		return nil
	}
	return orchestrator.Errorf(orchestrator.CodeInternal, "%q is no %s.", id, what).WithHint("Report this: IDs are made by Berth.")
}

// paths are the files of one run.
type paths struct{ dir, run string }

func (p paths) lock() string    { return filepath.Join(p.dir, ".berth", "lock") }
func (p paths) target() string  { return filepath.Join(p.dir, ".berth", "target.json") }
func (p paths) backend() string { return filepath.Join(p.dir, ".berth", "backend.json") }
func (p paths) initKey() string { return filepath.Join(p.dir, ".berth", "init") }
func (p paths) runs() string    { return filepath.Join(p.dir, ".berth", "runs") }
func (p paths) file(ext string) string {
	return filepath.Join(p.runs(), p.run+"."+ext)
}
func (p paths) journal() string            { return p.file("jsonl") }
func (p paths) request() string            { return p.file("request.json") }
func (p paths) cancel() string             { return p.file("cancel") }
func (p paths) seen() string               { return p.file("seen") }
func (p paths) stderr() string             { return p.file("log") }
func (p paths) settled() string            { return p.file("settled") }
func (p paths) scratch(name string) string { return filepath.Join(p.dir, ".berth", name) }
func (p paths) reserve() string            { return filepath.Join(p.dir, ".berth", "reserve") }

func (p paths) make() error { return os.MkdirAll(p.runs(), 0o700) }

// journal writes a run's entries. A full disk must not stop Terraform, so a
// failed write is only remembered.
type journal struct {
	mu   sync.Mutex
	f    *os.File
	torn bool
	now  func() time.Time
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{f: f, now: func() time.Time { return time.Now().UTC() }}, nil
}

// write appends an entry; sync waits until the disk has it.
func (j *journal) write(e Entry, sync bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.At = j.now()
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if j.torn { // end the line that a failed write left
		data = append([]byte{'\n'}, data...)
	}
	n, err := j.f.Write(data)
	j.torn = err != nil && (n > 0 || j.torn)
	if err == nil && sync {
		err = j.f.Sync()
	}
	return err
}

func (j *journal) close() error { return j.f.Close() }

// reader follows a journal from its beginning. A journal that is not there yet
// is empty.
type reader struct {
	path   string
	offset int64
}

// next calls each with every entry that was written since the last call, and
// with the offset behind it. A line without its end is left for later, a line
// that cannot be read is passed over.
func (r *reader) next(each func(e Entry, offset int64)) error {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(r.offset, io.SeekStart); err != nil {
		return err
	}
	for b := bufio.NewReader(f); ; {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.offset += int64(len(line))
		if e, ok := parseEntry(line); ok {
			each(e, r.offset)
		}
	}
}

func parseEntry(line []byte) (Entry, bool) {
	var e Entry
	if len(bytes.TrimSpace(line)) == 0 || json.Unmarshal(line, &e) != nil {
		return e, false
	}
	switch e.Kind {
	case KindStarted, KindLog:
		return e, true
	case KindProgress:
		return e, e.Event != nil
	case KindResult:
		return e, e.Result != nil
	}
	return e, false
}

// record is what a journal says so far.
type record struct {
	started bool
	// began says that something began to be made or changed.
	began bool
	// planned says that it had planned to make something, making what it was in
	// the midst of making.
	planned bool
	making  []string
	// removing are the IDs of the servers of which it began to remove something.
	removing []string
	result   *Result
	log      strings.Builder
}

func (r *record) add(e Entry) {
	switch e.Kind {
	case KindStarted:
		r.started = true
	case KindProgress:
		r.began = r.began || e.Phase == "started"
		if e.Server != "" && !slices.Contains(r.removing, e.Server) {
			r.removing = append(r.removing, e.Server)
		}
		if label, ok := strings.CutPrefix(e.Text, "creating "); ok && e.Action == "create" && e.Phase == "started" {
			r.making = append(r.making, label)
		}
		if e.Action == "create" && e.Phase == "done" {
			r.making = slices.DeleteFunc(r.making, func(label string) bool {
				return e.Text == "created "+label || strings.HasPrefix(e.Text, "created "+label+" (")
			})
		}
	case KindLog:
		r.planned = r.planned || plansToMake(e.Line)
		r.log.WriteString(e.Line)
		r.log.WriteByte('\n')
	case KindResult:
		if r.result == nil {
			r.result = e.Result
		}
	}
}

// plansToMake reports whether a line of Terraform's says that it is going to
// make something.
func plansToMake(line string) bool {
	return strings.Contains(line, `"type":"planned_change"`) && (strings.Contains(line, `"action":"create"`) || strings.Contains(line, `"action":"replace"`))
}

// load reads a whole journal.
func load(path string) (*record, error) {
	rec := &record{}
	err := (&reader{path: path}).next(func(e Entry, _ int64) { rec.add(e) })
	return rec, err
}

// Log is what Terraform logged in the runs of an operation, whose IDs begin with
// that of the operation; without secrets, and empty where there is none or where
// it is gone with its workspace.
func (p *Provisioner) Log(environmentID, operationID string) (string, error) {
	if err := errors.Join(checkID("environment", environmentID), checkID("run", operationID)); err != nil {
		return "", err
	}
	journals, err := filepath.Glob(paths{p.Dir(environmentID), operationID + "*"}.journal())
	if err != nil {
		return "", err
	}
	// The second run's name is the first one's and more.
	slices.SortFunc(journals, func(a, b string) int {
		return strings.Compare(strings.TrimSuffix(a, ".jsonl"), strings.TrimSuffix(b, ".jsonl"))
	})
	var out strings.Builder
	for _, journal := range journals {
		rec, err := load(journal)
		if err != nil {
			return "", err
		}
		out.WriteString(rec.log.String())
		if rec.log.Len() > 0 {
			continue
		}
		// It could not begin, or is an old one that only says so here.
		said, err := os.ReadFile(strings.TrimSuffix(journal, ".jsonl") + ".log")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		out.Write(said)
	}
	return out.String(), nil
}

// readSeen and writeSeen keep how far a journal has been reported, so that
// nobody is told twice after a restart.
func readSeen(path string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	var n int64
	if _, err := fmt.Sscanf(string(data), "%d", &n); err != nil {
		return 0
	}
	return n
}

func writeSeen(path string, n int64) {
	// Losing this costs a repeated line of progress, nothing else.
	_ = os.WriteFile(path, fmt.Appendf(nil, "%020d\n", n), 0o600)
}

// writeJSON replaces path with v.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
