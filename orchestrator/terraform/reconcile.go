package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// unsettled names the runs in a workspace, beside the one that asks, that died
// after they had planned to make something, and after which nobody has looked
// yet for what they have made. A run that is still at work is none.
func unsettled(dir, run string) ([]string, error) {
	p := paths{dir, run}
	at, _, _ := holder(p.lock())
	journals, err := filepath.Glob(filepath.Join(p.runs(), "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var out []string
	if emptied(dir) {
		out = append(out, errored)
	}
	for _, journal := range journals {
		one := paths{dir, strings.TrimSuffix(filepath.Base(journal), ".jsonl")}
		if one.run == run || one.run == at {
			continue
		}
		if _, err := os.Stat(one.settled()); err == nil {
			continue
		}
		rec, err := load(journal)
		if err != nil {
			return nil, err
		}
		if rec.started && rec.result == nil && rec.planned {
			out = append(out, one.run)
		}
	}
	return out, nil
}

// emptied says that a run could save nothing of what it had made: the disk was
// full to the last byte.
func emptied(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, errored))
	return err == nil && info.Size() == 0
}

// settle notes that what runs may have left has been looked for.
func settle(dir string, runs []string) error {
	for _, run := range runs {
		if run == errored {
			if err := os.Remove(filepath.Join(dir, errored)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := os.WriteFile((paths{dir, run}).settled(), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Looked notes that ops have looked for what a run that died may have made,
// and gives the number of those runs.
func (p *Provisioner) Looked(dir string) (int, error) {
	open, err := unsettled(dir, "")
	if err != nil {
		return 0, err
	}
	return len(open), settle(dir, open)
}

// Reconcile implements orchestrator.Provisioner.
func (p *Provisioner) Reconcile(ctx context.Context, environmentID, run string, progress func(step, text string)) ([]string, error) {
	if err := errors.Join(checkID("environment", environmentID), checkID("run", run)); err != nil {
		return nil, err
	}
	dir := p.Dir(environmentID)
	// What has begun has been reconciled before.
	if rec, err := load((paths{dir, run}).journal()); err != nil || rec.started {
		return nil, err
	}
	var removed []string
	for n := 1; ; n++ {
		own := run + "-look"
		if n > 1 {
			own = fmt.Sprintf("%s-%d", own, n)
		}
		f := paths{dir, own}
		rec, err := load(f.journal())
		if err != nil {
			return nil, err
		}
		switch who, _, held := holder(f.lock()); {
		case rec.result != nil && rec.result.Status == StatusSucceeded:
			// Told again: whoever asked may have been killed before it knew.
			removed = join(removed, rec.result.Removed)
			continue
		case rec.result != nil, rec.started && !(held && (who == own || who == "")):
			continue // it failed, or died: the next one has a name of its own
		case !rec.started:
			if open, err := unsettled(dir, own); err != nil || len(open) == 0 {
				return removed, err
			}
		}
		if _, err := p.do(ctx, environmentID, own, ActionReconcile, func(paths) error { return nil }, progress); err != nil {
			return nil, err
		}
		if rec, err = load(f.journal()); err != nil || rec.result == nil {
			return nil, err
		}
		return join(removed, rec.result.Removed), nil
	}
}

// join appends what is not there yet.
func join(to, more []string) []string {
	for _, s := range more {
		if !slices.Contains(to, s) {
			to = append(to, s)
		}
	}
	return to
}

// untold are the looks for what is left that did not come to their end, beside
// the one that asks, after which none has yet: what they have removed before,
// by its servers' IDs, nobody was told.
func untold(dir, run string) (looks, removed []string, err error) {
	journals, err := filepath.Glob(paths{dir, "*"}.journal())
	if err != nil {
		return nil, nil, err
	}
	for _, journal := range journals {
		one := paths{dir, strings.TrimSuffix(filepath.Base(journal), ".jsonl")}
		var req request
		if err := readJSON(one.request(), &req); err != nil || req.Action != ActionReconcile || one.run == run {
			continue
		}
		if _, err := os.Stat(one.settled()); err == nil {
			continue
		}
		rec, err := load(journal)
		if err != nil {
			return nil, nil, err
		}
		if rec.result == nil || rec.result.Status != StatusSucceeded {
			looks, removed = append(looks, one.run), join(removed, rec.removing)
		}
	}
	return looks, removed, nil
}

// errUnknown is the end of a run that cannot tell what another one has made.
var errUnknown = errors.New("what an earlier run has made cannot be looked for")

// errStays is the end of a run that could not remove everything.
var errStays = errors.New("something is still there")

// reconcile looks for what carries the environment's tag and that the state
// does not know, and removes it. After a destroy that is everything.
func (w *worker) reconcile(ctx context.Context, tf *tfexec.Terraform, env map[string]string) error {
	open, err := unsettled(w.dir, w.run)
	if err != nil {
		return err
	}
	if len(lists(w.dir)) == 0 {
		if w.builtIn() { // nothing of it is in a cloud
			return settle(w.dir, open)
		}
		for _, run := range open {
			rec, err := load((paths{w.dir, run}).journal())
			if err != nil {
				return err
			}
			w.unknown = append(w.unknown, rec.making...)
			if len(rec.making) == 0 {
				w.unknown = append(w.unknown, "something")
			}
		}
		if len(w.unknown) > 0 {
			return errUnknown
		}
		return nil
	}
	if err := w.rest(ctx, open); err != nil {
		return err
	}
	run := runner{binary: w.Binary, env: env, initLock: w.InitLock, name: w.run, wait: w.WaitDelay}
	// One that was broken off may have left things in its state.
	if err := os.RemoveAll(w.scratch("stray")); err != nil {
		return err
	}
	defer os.RemoveAll(w.scratch("stray"))
	looks, gone, err := untold(w.dir, w.run)
	if err != nil {
		return err
	}
	w.removed = join(w.removed, gone)
	before := -1
	for {
		stray, err := w.strays(ctx, tf, run)
		if err != nil {
			w.log(errorLog(err))
			return err
		}
		if len(stray) == 0 {
			return settle(w.dir, append(open, looks...))
		}
		all := len(stray)
		// Machines first: the rest is theirs, and cannot go before them.
		if machines := slices.DeleteFunc(slices.Clone(stray), func(f found) bool { return !f.machine() }); len(machines) > 0 {
			stray = machines
		}
		if before >= 0 && all >= before {
			for _, f := range stray {
				w.known.add(w.settings.thing(f))
			}
			return errStays
		}
		before = all
		if err := w.remove(ctx, run, stray); err != nil {
			w.known = &inventory{}
			for _, f := range stray {
				w.known.add(w.settings.thing(f))
			}
			return err
		}
		for _, f := range stray {
			if f.Server != "" {
				w.removed = join(w.removed, []string{f.Server})
			}
		}
	}
}

// builtIn says that the servers are on this machine, where starting one twice
// makes no second one.
func (w *worker) builtIn() bool {
	var t target
	return readJSON(w.target(), &t) == nil && t.Module == "local"
}

// rest waits until what a run that died has asked for can be seen: a provider
// outlives Terraform by some seconds, and a cloud's lists lag behind.
func (w *worker) rest(ctx context.Context, open []string) error {
	var until time.Time
	for _, run := range open {
		if info, err := os.Stat((paths{w.dir, run}).journal()); err == nil && info.ModTime().Add(w.Rest).After(until) {
			until = info.ModTime().Add(w.Rest)
		}
	}
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	w.progress(Event{Step: "init", Text: "an earlier attempt was interrupted: waiting until what it began can be seen"})
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// strays are what the cloud has and the state does not.
func (w *worker) strays(ctx context.Context, tf *tfexec.Terraform, run runner) ([]found, error) {
	there, _, err := look(ctx, w.dir, w.scratch("look"), true, run)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	if w.known, err = stock(ctx, tf, w.settings); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(there, func(f found) bool { return w.known.has(f) }), nil
}

var (
	// plainID is what a cloud's ID looks like, resourceName a resource's name
	// within a module: both become parts of an address.
	plainID      = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,255}$`)
	resourceName = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_-]*\.[A-Za-z_][A-Za-z0-9_-]*(\[\d+\])?$`)
)

// remove removes what the state does not know: it is taken into a state of its
// own, beside the environment's, and destroyed from there.
func (w *worker) remove(ctx context.Context, run runner, stray []found) error {
	dir := w.scratch("stray")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	modules, err := filepath.Glob(filepath.Join(w.dir, "module-*"))
	if err != nil {
		return err
	}
	for _, module := range modules {
		if err := link(module, filepath.Join(dir, filepath.Base(module))); err != nil {
			return err
		}
	}
	main, err := os.ReadFile(filepath.Join(w.dir, "main.tf"))
	if err != nil {
		return err
	}
	var values map[string]any
	if err := readJSON(filepath.Join(w.dir, "terraform.tfvars.json"), &values); err != nil {
		return err
	}
	servers, userData := map[string]any{}, map[string]string{}
	for _, f := range stray {
		if !plainID.MatchString(f.ProviderID) || !resourceName.MatchString(f.Resource) {
			return fmt.Errorf("the module's folder look gives %q as the resource of %q", f.Resource, f.ProviderID)
		}
		// Two machines may have been made for one server: the key tells them apart.
		// And things of several kinds may have one number.
		if servers[f.ProviderID] == nil {
			servers[f.ProviderID] = nobody(len(servers))
		}
		userData[f.ProviderID] = ""
	}
	values["servers"], values["user_data"] = servers, userData
	err = errors.Join(copyLock(w.dir, dir), os.WriteFile(filepath.Join(dir, "main.tf"), main, 0o600),
		// Never the environment's own state.
		writeJSON(filepath.Join(dir, "backend_override.tf.json"), map[string]any{"terraform": map[string]any{"backend": map[string]any{"local": map[string]any{}}}}),
		writeJSON(filepath.Join(dir, "terraform.tfvars.json"), values))
	if err != nil {
		return err
	}
	tf, err := run.prepare(ctx, dir)
	if err != nil {
		w.log(err.Error())
		return err
	}
	for _, f := range stray {
		thing := w.settings.thing(f)
		w.progress(Event{Step: "apply", Text: "an interrupted attempt left " + thing.String() + ": removing it", Action: "delete", Server: f.Server})
		address := "module.environment." + f.Resource
		if f.Server != "" {
			address += fmt.Sprintf("[%q]", f.ProviderID)
		}
		if err := tf.Import(ctx, address, f.ProviderID); err != nil {
			if strings.Contains(err.Error(), "Cannot import non-existent remote object") {
				continue // it has gone meanwhile
			}
			w.log(err.Error())
			return err
		}
	}
	out := &lineWriter{line: func(raw []byte) {
		// A state that could not be saved is not the environment's, and holds
		// secrets.
		var m message
		if json.Unmarshal(raw, &m) != nil || len(m.State) == 0 && m.Type != "outputs" {
			w.line(raw)
		}
	}}
	err = tf.DestroyJSON(ctx, out)
	out.flush()
	if err != nil && w.failure == "" {
		w.log(err.Error())
	}
	return err
}

// takeStock notes what there is after a run that failed.
func (w *worker) takeStock(ctx context.Context, tf *tfexec.Terraform) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if known, err := stock(ctx, tf, w.settings); err == nil {
		w.known = known
	}
}

// Look implements orchestrator.Provisioner. It gives an error while a run is
// at work there.
func (p *Provisioner) Look(ctx context.Context, environmentID string) (orchestrator.Sight, error) {
	var s orchestrator.Sight
	if err := checkID("environment", environmentID); err != nil {
		return s, err
	}
	dir := p.Dir(environmentID)
	// A run that has its result may not have ended yet.
	if who, _, held := holder((paths{dir: dir}).lock()); held && who != tidying {
		if rec, err := load((paths{dir, who}).journal()); err != nil || who == "" || rec.result == nil {
			return s, orchestrator.ErrBusy
		}
	}
	done, err := p.alone(ctx, environmentID)
	if err != nil {
		return s, err
	}
	defer done()
	tf, set, err := p.open(ctx, dir)
	if err != nil {
		return s, err
	}
	run, err := p.runner(dir, "look")
	if err != nil {
		return s, err
	}
	failed := func(err error) (orchestrator.Sight, error) {
		if ctx.Err() != nil {
			return s, context.Cause(ctx)
		}
		text := run.redact(errorLog(err))
		return s, &orchestrator.ProvisionError{Log: text, Err: errors.New(firstLine(text))}
	}
	known, err := stock(ctx, tf, set)
	if err != nil {
		return failed(err)
	}
	there, listed, err := look(ctx, dir, filepath.Join(dir, ".berth", "sight"), false, run)
	if err != nil {
		return failed(err)
	}
	s.Listed, s.Recorded, s.Nothing = listed, known.recorded(), len(known.ids) == 0
	machines := known.watched()
	gone, stopped := map[string]bool{}, map[string]bool{}
	if listed {
		running, addresses := map[string]bool{}, map[string]string{}
		for _, f := range there {
			running[f.kind()+" "+f.ProviderID] = !f.Stopped
			addresses[f.kind()+" "+f.ProviderID] = f.Address
			if !known.has(f) {
				s.Stray = append(s.Stray, set.thing(f))
			}
		}
		for _, m := range machines {
			runs, seen := running[m.kind+" "+m.id]
			gone[m.server], stopped[m.server] = !seen, seen && !runs
			if at := addresses[m.kind+" "+m.id]; runs && at != "" {
				if s.Addresses == nil {
					s.Addresses = map[string]string{}
				}
				s.Addresses[m.server] = at
			}
		}
	}
	if !listed || p.deep(environmentID) {
		plan, err := planned(ctx, tf, filepath.Join(dir, ".berth"))
		if err != nil {
			return failed(err)
		}
		now, lost := refreshed(plan), false
		for _, m := range machines {
			r := now[m.address]
			lost = lost || r == nil
			gone[m.server] = gone[m.server] || r == nil
			stopped[m.server] = stopped[m.server] || r != nil && stands(r)
		}
		for _, rc := range plan.ResourceChanges {
			// Of a machine that is gone more lacks than itself.
			if rc.Change != nil && !lost && !rc.Change.Actions.NoOp() && !rc.Change.Actions.Read() {
				s.Changed = append(s.Changed, rc.Address)
			}
		}
	}
	for _, m := range machines {
		switch {
		case gone[m.server]:
			s.Gone = append(s.Gone, m.server)
		case stopped[m.server]:
			s.Stopped = append(s.Stopped, m.server)
		}
	}
	return s, nil
}

// alone waits until nobody looks into an environment's cloud, and lets nobody
// until done is called.
func (p *Provisioner) alone(ctx context.Context, environmentID string) (done func(), err error) {
	p.mu.Lock()
	looking := p.looking[environmentID]
	if looking == nil {
		looking = make(chan struct{}, 1)
		p.looking[environmentID] = looking
	}
	p.mu.Unlock()
	select {
	case looking <- struct{}{}:
		return func() { <-looking }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// deep says whether a look is to compare everything, which costs a plan: every
// so often.
func (p *Provisioner) deep(environmentID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks[environmentID]++
	return p.looks[environmentID]%p.DeepEvery == 0
}

// errorLog is what Terraform has said of a failed look.
func errorLog(err error) string {
	var p *orchestrator.ProvisionError
	if errors.As(err, &p) {
		return strings.TrimRight(p.Log, "\n")
	}
	return err.Error()
}

// runner prepares folders of an environment in this process.
func (p *Provisioner) runner(dir, name string) (runner, error) {
	b, err := p.Terraform(context.Background(), nil)
	if err != nil {
		return runner{}, err
	}
	f := paths{dir: dir}
	state, err := stored(f)
	if err != nil {
		return runner{}, err
	}
	names, err := variables(f, state)
	if err != nil {
		return runner{}, err
	}
	cache, err := filepath.Abs(filepath.Join(p.Data, "plugins"))
	if err != nil {
		return runner{}, err
	}
	env, err := environ(names, p.LookupEnv, cache)
	if err != nil {
		return runner{}, err
	}
	if err := makeCache(env); err != nil {
		return runner{}, err
	}
	lock, err := filepath.Abs(filepath.Join(p.Workspaces, ".init.lock"))
	if err != nil {
		return runner{}, err
	}
	set, err := readSettings(dir)
	return runner{binary: b, env: env, initLock: lock, name: name, wait: p.WaitDelay, redact: redactor(set, secretsOf(names, env)...)}, err
}
