package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// Migration is what moving a workspace's state came to.
type Migration struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Moved is false where there was nothing to do, or only a look was asked for.
	Moved     bool   `json:"moved"`
	Resources int    `json:"resources"`
	Serial    int64  `json:"serial"`
	Note      string `json:"note,omitempty"`
	// Backup is the file with the state as it was.
	Backup string `json:"backup,omitempty"`
}

// stateFile is a state as far as copies of it are compared.
type stateFile struct {
	Serial    int64           `json:"serial"`
	Lineage   string          `json:"lineage"`
	Resources json.RawMessage `json:"resources"`
	Outputs   json.RawMessage `json:"outputs"`
	raw       []byte
}

func readState(raw string) (stateFile, error) {
	s := stateFile{raw: []byte(raw)}
	if strings.TrimSpace(raw) == "" {
		return s, nil // there is none
	}
	if err := json.Unmarshal(s.raw, &s); err != nil {
		return s, fmt.Errorf("reading the state: %w", err)
	}
	if s.Lineage == "" {
		return stateFile{}, nil // as newer ones say that there is none
	}
	return s, nil
}

func (s stateFile) count() int {
	var all []json.RawMessage
	_ = json.Unmarshal(s.Resources, &all) // none is none
	return len(all)
}

// holds reports whether s has the content of other: Terraform counts the
// serial up when it writes the same once more.
func (s stateFile) holds(other stateFile) bool {
	compact := func(raw json.RawMessage) string {
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return string(raw)
		}
		return b.String()
	}
	return s.Lineage == other.Lineage && s.Serial >= other.Serial &&
		compact(s.Resources) == compact(other.Resources) && compact(s.Outputs) == compact(other.Outputs)
}

// The steps of a move, as its progress tells them.
const (
	stepRead    = "reading the state where it is"
	stepCopy    = "copying it to where it is to be"
	stepCompare = "comparing the copies"
	stepSwitch  = "switching over"
	stepTidy    = "putting the old file aside"
	stepReady   = "making the workspace ready"
)

// Migrate moves the state of an environment's workspace to where to says, and
// answers what it did; with dry it only looks. Nothing is switched over before
// the copy was read back and compared, and nothing is removed: a file within
// the workspace is renamed, a remote state stays where it was and is kept as a
// file besides. Whatever kills it, the state is whole and the workspace agrees
// with one place; doing it again finishes it.
func (p *Provisioner) Migrate(ctx context.Context, environmentID string, to orchestrator.Backend, dry bool, progress func(step string)) (Migration, error) {
	if err := checkID("environment", environmentID); err != nil {
		return Migration{}, err
	}
	f := paths{dir: p.Dir(environmentID)}
	if _, err := os.Stat(f.lock()); errors.Is(err, fs.ErrNotExist) {
		return Migration{To: to.Where(), Note: "nothing has been made yet"}, nil
	}
	release, err := p.idle(ctx, f)
	if err != nil {
		return Migration{}, err
	}
	defer release()
	if _, err := os.Stat(filepath.Join(f.dir, errored)); err == nil {
		return Migration{}, orchestrator.Errorf(orchestrator.CodeState, "What an earlier run has made is not noted down yet.").
			WithHint("finish that first: berth env retry NAME")
	}
	from, err := stored(f)
	if err != nil {
		return Migration{}, err
	}
	m := Migration{From: from.Where(), To: to.Where()}
	if _, err := os.Stat(f.initKey()); errors.Is(err, fs.ErrNotExist) {
		m.Note = "nothing has been made yet: the next run begins there"
		return m, nil
	}
	env, hide, err := p.environOf(f, from, to)
	if err != nil {
		return m, err
	}
	v := &mover{p: p, f: f, from: from, to: to, env: env, dry: dry, say: progress}
	if v.say == nil {
		v.say = func(string) {}
	}
	if err := v.move(ctx, &m); err != nil {
		var e *orchestrator.Error
		if errors.As(err, &e) || ctx.Err() != nil {
			return m, err
		}
		return m, &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: errors.New(hide(err.Error())),
			Message: fmt.Sprintf("The state could not be moved: %s.", said(hide(err.Error()))),
			Hint:    "it is where it was; mend what is wrong, then try again"}
	}
	return m, nil
}

// said is what Terraform says of an error, in one line: what was being done,
// its summary and the beginning of the rest.
func said(text string) string {
	what, rest, ok := strings.Cut(text, "exit status 1")
	if !ok {
		return firstLine(text)
	}
	if _, after, ok := strings.Cut(rest, "Error: "); ok {
		rest = after
	}
	rest = strings.Join(strings.Fields(strings.ReplaceAll(rest, "│", " ")), " ")
	if len(rest) > 400 {
		rest = strings.ToValidUTF8(rest[:400], "") + "…"
	}
	return strings.TrimSuffix(what+rest, ".")
}

// mover is one move at work.
type mover struct {
	p        *Provisioner
	f        paths
	from, to orchestrator.Backend
	env      map[string]string
	dry      bool
	say      func(step string)
}

func (v *mover) move(ctx context.Context, m *Migration) error {
	if samePlace(v.from, v.to) {
		m.Note = "it is there already"
		if v.dry {
			return nil
		}
		// An earlier move may have been broken off after it had switched.
		if err := writeJSON(v.f.backend(), v.to); err != nil {
			return err
		}
		return v.ready(ctx)
	}
	defer func() {
		for _, name := range []string{"from", "to"} {
			_ = os.RemoveAll(filepath.Join(v.f.dir, ".berth", name)) // the next move does, too
		}
	}()
	v.say(stepRead)
	source, err := v.open(ctx, "from", v.from)
	if err != nil {
		return fmt.Errorf("opening where the state is: %w", err)
	}
	was, err := pull(ctx, source)
	if err != nil {
		return fmt.Errorf("reading the state where it is: %w", err)
	}
	m.Resources, m.Serial = was.count(), was.Serial
	target, err := v.open(ctx, "to", v.to)
	if err != nil {
		return fmt.Errorf("opening where the state is to be: %w", err)
	}
	there, err := pull(ctx, target)
	if err != nil {
		return fmt.Errorf("reading where the state is to be: %w", err)
	}
	if there.count() > 0 && !there.holds(was) {
		return orchestrator.Errorf(orchestrator.CodeState, "There is another state already at %s: lineage %s, serial %d, %d resources.", m.To, there.Lineage, there.Serial, there.count()).
			WithHint("look at it with terraform state pull; if nobody needs it, remove it there, then try again")
	}
	if l, err := lookAtLock(ctx, source.Terraform, v.f, v.from, v.env); err != nil {
		return fmt.Errorf("locking the state where it is: %w", err)
	} else if l != nil && (l.ID != "" || l.Who != "") {
		return orchestrator.Errorf(orchestrator.CodeState, "The state is locked by %s.", l.Holder()).WithHint("wait for its end, or break the lock: berth state unlock NAME")
	}
	if v.dry {
		m.Note = "it would be moved"
		return nil
	}
	if len(was.raw) > 0 {
		if err := v.copy(ctx, source, target, was, there); err != nil {
			return err
		}
		if !v.from.Local() {
			m.Backup = filepath.Join(v.f.dir, ".berth", "moved-"+time.Now().UTC().Format("20060102T150405.000")+".tfstate")
			if err := os.WriteFile(m.Backup, was.raw, 0o600); err != nil {
				return err
			}
		}
	}
	v.say(stepSwitch)
	if err := writeJSON(v.f.backend(), v.to); err != nil {
		return err
	}
	m.Moved = true
	return v.ready(ctx)
}

// open gives Terraform in a folder where a place is all that it knows. The
// workspace's own folder is left alone.
func (v *mover) open(ctx context.Context, name string, b orchestrator.Backend) (scratch, error) {
	id := filepath.Base(v.f.dir)
	kind, attributes, workspace := "local", map[string]any{"path": filepath.Join(v.f.dir, localState)}, ""
	if !b.Local() {
		kind = b.Type
		attributes, workspace = b.For(id)
	}
	tf, err := v.p.scratch(ctx, v.f, name, kind, attributes, v.env)
	if err != nil || workspace == "" {
		return tf, err
	}
	if v.dry {
		// One that is not there is not made; then the default one is looked at,
		// which is nobody's.
		_ = tf.WorkspaceSelect(ctx, workspace)
		return tf, nil
	}
	return tf, enter(ctx, tf.Terraform, workspace, lockTimeout(b))
}

func pull(ctx context.Context, tf scratch) (stateFile, error) {
	raw, err := tf.StatePull(ctx)
	if err != nil {
		return stateFile{}, err
	}
	return readState(raw)
}

// copy writes a state to where it is to be, unless an earlier attempt has, and
// makes sure of both copies.
func (v *mover) copy(ctx context.Context, source, target scratch, was, there stateFile) error {
	v.say(stepCopy)
	if !there.holds(was) {
		path := filepath.Join(source.dir, "moving.tfstate")
		defer os.Remove(path)
		versions := [][]byte{was.raw}
		if len(there.raw) == 0 {
			// Where nothing is yet, Terraform gives what it writes another
			// lineage.
			versions = [][]byte{fmt.Appendf(nil, `{"version": 4, "serial": 0, "lineage": %q, "resources": [], "outputs": {}}`, was.Lineage), was.raw}
		}
		for _, data := range versions {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				return err
			}
			if err := target.StatePush(ctx, path, waitForLock(v.to)); err != nil {
				return fmt.Errorf("writing where the state is to be: %w", err)
			}
		}
	}
	v.say(stepCompare)
	copied, err := pull(ctx, target)
	if err != nil {
		return fmt.Errorf("reading where the state is to be: %w", err)
	}
	if !copied.holds(was) {
		return orchestrator.Errorf(orchestrator.CodeInternal, "The copy of the state differs from what was copied: serial %d of %s, not %d of %s.", copied.Serial, copied.Lineage, was.Serial, was.Lineage).
			WithHint("the state is where it was; report this")
	}
	now, err := pull(ctx, source)
	if err != nil {
		return fmt.Errorf("reading the state where it is: %w", err)
	}
	if !bytes.Equal(now.raw, was.raw) {
		return orchestrator.Errorf(orchestrator.CodeState, "Somebody has changed the state meanwhile.").WithHint("it is where it was; see that nobody works on it by hand, then try again")
	}
	return nil
}

// ready makes the workspace agree with where its state is now.
func (v *mover) ready(ctx context.Context) error {
	v.say(stepTidy)
	if _, err := v.p.settle(v.f); err != nil {
		return err
	}
	v.say(stepReady)
	b, err := v.p.Terraform(ctx, nil)
	if err != nil {
		return err
	}
	if err := makeCache(v.env); err != nil {
		return err
	}
	tf, err := newTerraform(v.f.dir, b.Path, v.env, v.p.WaitDelay)
	if err != nil {
		return err
	}
	return initState(ctx, tf, v.f.dir, v.to)
}

// idle takes a workspace's own lock, or says which run has it.
func (p *Provisioner) idle(ctx context.Context, f paths) (release func(), err error) {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	release, err = acquire(soon, f.lock(), "ops")
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return release, err
	}
	who, _, _ := holder(f.lock())
	return nil, orchestrator.Errorf(orchestrator.CodeState, "A run of Berth's (%s) is at work on this environment.", who).
		WithHint("wait for its end, or end it: berth env cancel NAME")
}
