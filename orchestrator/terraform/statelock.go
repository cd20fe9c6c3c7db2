package terraform

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// StateLock is somebody's hold on a workspace's state. What is not known is
// empty.
type StateLock struct {
	// ID is what breaks it; empty for one that ends with its holder.
	ID    string     `json:"id,omitempty"`
	Who   string     `json:"who,omitempty"` // user@host
	Since *time.Time `json:"since,omitempty"`
	// Run is the run of Berth's that took it: an operation's ID and perhaps more.
	Run string `json:"run,omitempty"`
	// Working says that a run of Berth's is at work in the workspace, Dead that
	// the lock is that of one that is no more.
	Working bool `json:"working"`
	Dead    bool `json:"dead"`
}

// Holder says who holds the lock and since when.
func (l StateLock) Holder() string {
	who := l.Who
	if who == "" {
		who = "another run"
	}
	if l.Since != nil {
		who += " since " + l.Since.UTC().Format("2006-01-02 15:04 UTC")
	}
	return who
}

// String says what is known of the lock.
func (l StateLock) String() string {
	text := "locked by " + l.Holder()
	if l.ID != "" {
		text += ", lock " + l.ID
	}
	switch {
	case l.Dead:
		text += ": left behind by Berth's run " + l.Run + ", which is dead"
	case l.Working:
		text += ": a run of Berth's is at work"
		if l.Run != "" {
			text += " (" + l.Run + ")"
		}
	}
	return text
}

// nowhere is an address that no state has: to ask for it takes the lock and
// changes nothing.
const nowhere = "terraform_data.berth_asks_for_the_lock"

// StateLock says who holds the lock on the state of the workspace in dir, nil
// for nobody. It takes the lock itself for a moment.
func (p *Provisioner) StateLock(ctx context.Context, dir string) (*StateLock, error) {
	f := paths{dir: dir}
	b, err := stored(f)
	if err != nil {
		return nil, err
	}
	tf, s, err := p.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	env, _, err := p.environOf(f, b)
	if err != nil {
		return nil, err
	}
	l, err := lookAtLock(ctx, tf, f, b, env)
	if err != nil {
		return nil, troubled(dir, s, err)
	}
	return l, nil
}

// lookAtLock tries to take the lock.
func lookAtLock(ctx context.Context, tf *tfexec.Terraform, f paths, b orchestrator.Backend, env map[string]string) (*StateLock, error) {
	var l *StateLock
	if b.Type == "http" {
		// Terraform tells of this one only its number.
		var err error
		if l, err = lockHTTP(ctx, b, filepath.Base(f.dir), env); err != nil {
			return nil, err
		}
	} else if err := tf.Untaint(ctx, nowhere, tfexec.AllowMissing(true), tfexec.LockTimeout("0s")); err != nil {
		if l = readLock(err.Error()); l == nil {
			return nil, err
		}
	}
	if l == nil {
		return nil, nil
	}
	return l, l.match(f)
}

var (
	lockRefused = lazyregexp.New(`Error (?:acquiring the state lock|locking state)`)
	// ownInfo is how backends refuse that show the caller's own numbers beside.
	ownInfo   = lazyregexp.New(`Workspace is already locked|lready locked for workspace creation`)
	lockField = lazyregexp.New(`(?m)^[\s│]*(ID|Who|Created):\s+(\S.*?)\s*$`)
)

// readLock reads Terraform's refusal to take a lock; nil for another error.
func readLock(text string) *StateLock {
	if ownInfo.MatchString(text) {
		return &StateLock{}
	}
	if !lockRefused.MatchString(text) || !strings.Contains(text, "Lock Info:") {
		return nil
	}
	l := &StateLock{}
	for _, m := range lockField.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "ID":
			l.ID = m[2]
		case "Who":
			l.Who = m[2]
		case "Created":
			if t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", m[2]); err == nil {
				l.Since = &t
			}
		}
	}
	if l.ID == "" {
		return nil
	}
	return l
}

// lockInfo is a lock as Terraform's backend "http" sends it.
type lockInfo struct {
	ID, Operation, Info, Who, Version, Path string
	Created                                 time.Time
}

// lockHTTP takes a lock and gives it back, or says who holds it.
func lockHTTP(ctx context.Context, b orchestrator.Backend, environmentID string, env map[string]string) (*StateLock, error) {
	s := newHTTPState(b, environmentID, env)
	address := s.get("lock_address")
	if address == "" {
		return nil, nil // this server knows no locks
	}
	own := func(name, otherwise string) string {
		if v := s.get(name); v != "" {
			return v
		}
		return otherwise
	}
	host, _ := os.Hostname()
	info, err := json.Marshal(lockInfo{ID: rand.Text(), Operation: "OperationTypeInvalid", Who: "berth@" + host, Created: time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	status, answer, err := s.do(ctx, own("lock_method", "LOCK"), address, string(info))
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusOK:
		_, _, err := s.do(ctx, own("unlock_method", "UNLOCK"), own("unlock_address", address), string(info))
		return nil, err
	case status != http.StatusLocked && status != http.StatusConflict:
		return nil, fmt.Errorf("the server of states answered %d", status)
	}
	var held lockInfo
	l := &StateLock{}
	if json.Unmarshal(answer, &held) == nil {
		l.ID, l.Who = held.ID, held.Who
		if !held.Created.IsZero() {
			l.Since = &held.Created
		}
	}
	return l, nil
}

// match finds the run of Berth's that took the lock: on this machine, and
// while it was still writing its journal.
func (l *StateLock) match(f paths) error {
	now, _, held := holder(f.lock())
	if rec, err := load(paths{f.dir, now}.journal()); err == nil && rec.result != nil {
		held = false // it has done its work, and is about to end
	}
	l.Working = held // whose it is, is not known
	host, err := os.Hostname()
	if err != nil || l.Since == nil || !strings.HasSuffix(l.Who, "@"+host) {
		return err
	}
	journals, err := filepath.Glob(paths{f.dir, "*"}.journal())
	if err != nil {
		return err
	}
	var latest time.Time
	for _, path := range journals {
		var began, last time.Time
		err := (&reader{path: path}).next(func(e Entry, _ int64) {
			if last = e.At; e.Kind == KindStarted {
				began = e.At
			}
		})
		if err != nil {
			return err
		}
		// Who writes the journal and who takes the lock have the same clock.
		run := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		if !began.IsZero() && began.After(latest) && !l.Since.Before(began) && (!l.Since.After(last) || held && now == run) {
			l.Run, latest = run, began
		}
	}
	if l.Run != "" {
		// Two runs are never at work in one workspace.
		l.Working = held && (now == l.Run || now == "")
		l.Dead = !l.Working
	}
	return nil
}

// NoLock says that there is no lock to break.
func NoLock() *orchestrator.Error {
	return orchestrator.Errorf(orchestrator.CodeNotFound, "Nobody holds a lock on this state.").WithHint("there is nothing to break")
}

// Unlock breaks the lock on the state of the workspace in dir: that with id, if
// one is given. It never does while the run of Berth's that may have it lives,
// and without force only when the lock's holder is dead beyond doubt.
func (p *Provisioner) Unlock(ctx context.Context, dir, id string, force bool) (StateLock, error) {
	f := paths{dir: dir}
	b, err := stored(f)
	if err != nil {
		return StateLock{}, err
	}
	tf, s, err := p.open(ctx, dir)
	if err != nil {
		return StateLock{}, err
	}
	l, err := p.StateLock(ctx, dir)
	if err != nil {
		return StateLock{}, err
	}
	switch {
	case l == nil:
		return StateLock{}, NoLock()
	case b.Local() || b.Type == "pg":
		return *l, orchestrator.Errorf(orchestrator.CodeState, "The state is %s; such a lock ends with the process that holds it, and cannot be broken.", *l).
			WithHint("find that process and end it: for pg, pg_locks shows its connection (locktype advisory), and pg_terminate_backend ends it")
	case l.ID == "":
		return *l, orchestrator.Errorf(orchestrator.CodeState, "The state is %s, and the place of the state does not say the lock's ID.", *l).WithHint("break it there")
	case id != "" && id != l.ID:
		return *l, orchestrator.Errorf(orchestrator.CodeState, "The lock is another one by now: the state is %s.", *l).WithHint("look again, and decide anew")
	case l.Working:
		return *l, orchestrator.Errorf(orchestrator.CodeState, "The state is %s.", *l).WithHint("wait for its end, or end it: berth env cancel NAME")
	case !l.Dead && !force:
		return *l, orchestrator.Errorf(orchestrator.CodeState, "The state is %s, and Berth cannot tell whether that still works.", *l).
			WithHint("ask whoever it is; if nothing runs any more, add --force")
	}
	if err := tf.ForceUnlock(ctx, l.ID); err != nil {
		return *l, troubled(dir, s, err)
	}
	return *l, nil
}
