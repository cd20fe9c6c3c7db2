package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Notifier tells an owner of what has befallen their environment; Notice.Key
// says which time it is: the same one is told once. It answers false when there
// is nobody whom it could ever tell, and an error when it could not just now.
type Notifier interface {
	Notify(ctx context.Context, e Environment, n Notice) (told bool, err error)
	// Withdraw says of what was told, by its Key, that it is so no more. What is
	// not there any more is no error.
	Withdraw(ctx context.Context, e Environment, n Notice) error
}

// Notice is what has befallen the machines of an environment; it was not told
// before Since.
type Notice struct {
	Key    string
	Causes []Cause
	Since  time.Time
}

// Noticed is one trouble with a machine that an owner was told of, and that was
// not over yet when it was last looked at; Notice is the key of what told it.
type Noticed struct {
	EnvironmentID, Key, Notice string
	At                         time.Time
}

// MachineRecords is what a look at machines writes.
type MachineRecords interface {
	SettleServer(ctx context.Context, id string, change func(*Server) (Settlement, error)) (Server, error)
	LastReport(ctx context.Context, serverID string, generation int) (*Report, error)
}

// NoticeRecords remember what owners were told and what is not over yet.
type NoticeRecords interface {
	// Notices gives all, those of one environment in the order of their keys.
	Notices(ctx context.Context) ([]Noticed, error)
	NoteNotice(ctx context.Context, n Noticed) error
	ForgetNotice(ctx context.Context, n Noticed) error
}

// MachineWatch notices machines that are gone or stand still without Berth's
// doing. Run is called again and again; when it looks is gentle to a cloud's
// limits.
type MachineWatch struct {
	Environments Environments
	Records      MachineRecords
	Notices      NoticeRecords
	Catalogs     Catalogs
	Look         func(ctx context.Context, environmentID string) (Sight, error)
	// Present says whether a server of this machine has what it runs in.
	Present  func(v Server) bool
	Notifier Notifier // nil: nobody is told
	Now      func() time.Time
	Log      *slog.Logger
	// Every is how often an environment in a cloud is looked at, 0 for never;
	// one whose agent has been silent for Silence is looked at then, too.
	Every, Silence time.Duration

	mu     sync.Mutex
	looked map[string]time.Time
	said   map[string]string // what ops were told of last, by environment
	// strange is what ops were told of last of environments whose target is no
	// longer in the catalog.
	strange string
}

// looksAtOnce is how many environments are looked at in one turn.
const looksAtOnce = 4

// Run looks at what is due.
func (w *MachineWatch) Run(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.Environments.Environments(ctx, "")
	if err != nil {
		return err
	}
	if w.looked == nil {
		w.looked, w.said = map[string]time.Time{}, map[string]string{}
	}
	notices, err := w.Notices.Notices(ctx)
	if err != nil {
		return err
	}
	told := map[string][]Noticed{}
	for _, n := range notices {
		told[n.EnvironmentID] = append(told[n.EnvironmentID], n)
	}
	live := map[string]bool{}
	var errs []error
	fails := func(id string, err error) {
		if err != nil && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("looking at the machines of %s: %w", id, err))
		}
	}
	looks := 0
	for _, e := range all {
		live[e.ID] = true
		target, ok := w.Catalogs.Current().Target(e.Target)
		if !ok || !atRest(e) {
			continue
		}
		switch {
		case target.Module == "local":
			err = w.here(ctx, e)
		case w.due(e) && looks < looksAtOnce:
			looks++
			w.looked[e.ID] = w.Now()
			err = w.there(ctx, e)
		default:
			err = nil
		}
		if err == nil {
			err = w.notify(ctx, e.ID, told[e.ID])
		}
		fails(e.ID, err)
	}
	for id, of := range told {
		if !live[id] {
			fails(id, w.notify(ctx, id, of))
		}
	}
	w.tellStrange(all)
	for id := range w.looked {
		if !live[id] {
			delete(w.looked, id)
			delete(w.said, id)
		}
	}
	return errors.Join(errs...)
}

// Strange names the environments whose target is no longer in the catalog, by
// target: nobody looks at their machines, and nothing can be changed on them.
func Strange(c *Catalog, all []Environment) map[string][]string {
	out := map[string][]string{}
	for _, e := range all {
		if _, ok := c.Target(e.Target); !ok {
			out[e.Target] = append(out[e.Target], e.Name)
		}
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}

// tellStrange notes in the log, whenever there are others, at which machines
// nobody looks.
func (w *MachineWatch) tellStrange(all []Environment) {
	strange := Strange(w.Catalogs.Current(), all)
	text := fmt.Sprint(strange) // sorted by target
	if text == w.strange {
		return
	}
	w.strange = text
	for _, target := range slices.Sorted(maps.Keys(strange)) {
		w.Log.Warn("a target is no longer in the catalog, and nobody looks at the machines that are on it: put it back, or end its environments with berth env destroy NAME",
			"target", target, "environments", strings.Join(strange[target], ", "))
	}
}

// atRest says that nothing changes an environment now, and that it is meant to
// be there.
func atRest(e Environment) bool {
	if e.Status != StatusReady && e.Status != StatusFailed || e.Operation == nil || !e.Operation.Status.Ended() {
		return false
	}
	return e.Operation.Kind != KindDestroy
}

// due says whether to look at an environment in a cloud now. The first look
// comes at a moment of its own, so that a start does not ask for all at once.
func (w *MachineWatch) due(e Environment) bool {
	if w.Every <= 0 {
		return false
	}
	now := w.Now()
	last, ok := w.looked[e.ID]
	if !ok {
		h := fnv.New64a()
		h.Write([]byte(e.ID))
		last = now.Add(-time.Duration(h.Sum64() % uint64(w.Every)))
		w.looked[e.ID] = last
	}
	if !now.Before(last.Add(w.Every)) {
		return true
	}
	return slices.ContainsFunc(e.Servers, func(v Server) bool {
		if v.LastSeen == nil {
			return false
		}
		if v.Machine != "" {
			// It is heard of: somebody may have started it.
			return v.LastSeen.After(last) && !now.Before(last.Add(w.Silence))
		}
		silent := v.LastSeen.Add(w.Silence)
		return !now.Before(silent) && last.Before(silent)
	})
}

// here looks at servers of this machine.
func (w *MachineWatch) here(ctx context.Context, e Environment) error {
	var s Sight
	for _, v := range e.Servers {
		if w.Present != nil && v.LastSeen != nil && !w.Present(v) {
			s.Gone = append(s.Gone, v.ID)
		}
	}
	return w.settle(ctx, e, s)
}

// there looks at machines in a cloud.
func (w *MachineWatch) there(ctx context.Context, e Environment) error {
	s, err := w.Look(ctx, e.ID)
	if errors.Is(err, ErrBusy) || isCode(err, CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// What has been asked for meanwhile may have made what was seen.
	now, err := w.Environments.EnvironmentByID(ctx, e.ID)
	if err != nil || !atRest(now) || now.Operation.ID != e.Operation.ID {
		return err
	}
	w.tellOps(e, s)
	return w.settle(ctx, now, s)
}

// tellOps notes in the log, once, what only they can judge.
func (w *MachineWatch) tellOps(e Environment, s Sight) {
	var parts []string
	for _, t := range s.Stray {
		parts = append(parts, "not known to it, though it carries its tag: "+t.String())
	}
	for _, address := range s.Changed {
		parts = append(parts, "changed outside: "+address)
	}
	text := strings.Join(parts, "; ")
	if text != w.said[e.ID] && text != "" {
		w.Log.Warn("an environment in the cloud is not as Berth left it; berth state plan shows the difference", "environment", e.ID, "name", e.Name, "found", text)
	}
	w.said[e.ID] = text
}

// settle writes down what a look has shown.
func (w *MachineWatch) settle(ctx context.Context, e Environment, s Sight) error {
	for _, v := range e.Servers {
		is := MachineStatus("")
		switch {
		case v.Machine == MachineMissing:
			continue // told already, by the operation that could not make it
		case slices.Contains(s.Gone, v.ID):
			is = MachineGone
		case slices.Contains(s.Stopped, v.ID):
			is = MachineStopped
		}
		to := moved(v, s.Addresses[v.ID])
		if v.Machine == is && to == "" {
			continue
		}
		report, err := w.Records.LastReport(ctx, v.ID, v.Generation)
		if err != nil {
			return err
		}
		if _, err := w.Records.SettleServer(ctx, v.ID, func(v *Server) (Settlement, error) {
			if to != "" {
				v.URL = to
			}
			if v.Machine == is {
				return Settlement{}, nil
			}
			return w.change(e, v, is, report), nil
		}); err != nil {
			return err
		}
		if is != "" {
			w.Log.Warn("a machine is not as Berth left it", "environment", e.ID, "server", v.Name, "machine", v.ProviderID, "is", string(is))
		}
	}
	return nil
}

func (w *MachineWatch) change(e Environment, v *Server, is MachineStatus, report *Report) Settlement {
	if v.Status != StatusReady && v.Status != StatusFailed {
		return Settlement{}
	}
	at := w.Now()
	was := v.Status
	v.Machine = is
	event := Event{At: at, Server: v.Name}
	var d Desired
	if json.Unmarshal(v.Desired, &d) == nil {
		event.OperationID = d.Operation
	}
	var out Settlement
	if c := machineTrouble(*v); c != nil {
		v.Status = StatusFailed
		event.Step, event.Text = string(StatusFailed), named(c.Sentence, e.Name)
		if was == StatusReady {
			d := Diagnosis{Outcome: OutcomeFailed, Total: 1, Causes: []Cause{*c}}
			d.fingerprint(e, event.OperationID)
			out.Occurrences = d.occurrences(e, event.OperationID, at)
		}
	} else {
		event.Step, event.Text = "machine", "the machine runs again"
		if report != nil && report.Healthy && report.Exit == 0 && report.Problem == "" {
			v.Status = StatusReady
			out.Mended = &Mending{At: at}
		}
	}
	if event.OperationID != "" {
		out.Events = []Event{event}
	}
	return out
}

// notify tells the owner of machines that are gone or stand still, once each
// time, and withdraws what is so no more.
func (w *MachineWatch) notify(ctx context.Context, environmentID string, told []Noticed) error {
	if w.Notifier == nil {
		return nil
	}
	e, err := w.Environments.EnvironmentByID(ctx, environmentID)
	if err != nil {
		return err
	}
	var n Notice
	var keys []string
	holds := map[string]bool{}
	for _, v := range e.Servers {
		if v.Machine == MachineMissing && e.Status != StatusDestroyed {
			// It is being made anew, or could not be: it is not over.
			for _, was := range told {
				holds[was.Key] = holds[was.Key] || strings.HasPrefix(was.Key, v.ID+" ")
			}
		}
		c := machineTrouble(v)
		if c == nil || e.Status == StatusDestroyed {
			continue
		}
		key := fmt.Sprintf("%s %s %s", v.ID, v.Machine, v.ProviderID)
		holds[key] = true
		if !slices.ContainsFunc(told, func(n Noticed) bool { return n.Key == key }) {
			c.Server, c.Sentence, c.Next = v.Name, named(c.Sentence, e.Name), named(c.Next, e.Name)
			keys, n.Causes = append(keys, key), append(n.Causes, *c)
		}
	}
	if err := w.withdraw(ctx, e, told, holds); err != nil {
		w.Log.Warn("an owner could not be told that it is over", "environment", e.ID, "owner", e.Owner, "error", err)
	}
	if len(keys) == 0 {
		return nil
	}
	// The same after a crash, and another one when the same befalls it again.
	n.Key = strings.Join([]string{e.ID, e.Operation.ID, strings.Join(keys, ", ")}, " ")
	if n.Since = w.Now(); e.Operation.EndedAt != nil {
		n.Since = *e.Operation.EndedAt
	}
	reached, err := w.Notifier.Notify(ctx, e, n)
	if err != nil {
		w.Log.Warn("an owner could not be told", "environment", e.ID, "owner", e.Owner, "error", err)
		return nil // at the next turn
	}
	if !reached {
		w.Log.Warn("nobody can be told that a machine is not as Berth left it", "environment", e.ID, "owner", e.Owner, "servers", serversOf(n.Causes))
	}
	for _, key := range keys {
		if err := w.Notices.NoteNotice(ctx, Noticed{EnvironmentID: e.ID, Key: key, Notice: n.Key, At: w.Now()}); err != nil {
			return err
		}
	}
	return nil
}

func serversOf(causes []Cause) string {
	var names []string
	for _, c := range causes {
		names = append(names, c.Server)
	}
	return strings.Join(names, ", ")
}

// withdraw takes back what holds no more; what told of several machines, with
// the last of them.
func (w *MachineWatch) withdraw(ctx context.Context, e Environment, told []Noticed, holds map[string]bool) error {
	done := map[string]bool{}
	for _, n := range told {
		if holds[n.Key] {
			continue
		}
		if !done[n.Notice] && !slices.ContainsFunc(told, func(o Noticed) bool { return o.Notice == n.Notice && holds[o.Key] }) {
			if err := w.Notifier.Withdraw(ctx, e, Notice{Key: n.Notice, Since: n.At.Add(-tellWithin)}); err != nil {
				return err
			}
			done[n.Notice] = true
		}
		if err := w.Notices.ForgetNotice(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// tellWithin is how long before it was noted something may have been told.
const tellWithin = 24 * time.Hour
