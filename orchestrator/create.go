package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// draft is a create command after the catalog has been asked, before the
// branches have been.
type draft struct {
	name      string
	blueprint string
	target    Target
	size      string
	lifetime  time.Duration
	planned   bool  // is only to be shown
	full      error // why a planned one could not be made now
	apps      []App
	refs      map[string]string
}

func (s *Service) draftEnvironment(ctx context.Context, actor Actor, cmd Command) (draft, error) {
	c := s.Catalogs.Current()
	d := draft{name: cmd.Environment, refs: cmd.Branches, size: cmd.Size, planned: cmd.Verb == VerbPlan}
	b, err := chooseBlueprint(c, cmd.Blueprint)
	if err != nil {
		return d, err
	}
	d.blueprint = b.Name
	target := cmd.Target
	if target == "" {
		target = b.Target
	}
	for _, name := range b.Apps {
		a, err := s.app(name)
		if err != nil {
			return d, err
		}
		d.apps = append(d.apps, a)
	}
	for _, name := range sortedKeys(cmd.Branches) {
		if _, ok := byName(d.apps, name, func(a App) string { return a.Name }); ok {
			continue
		}
		if _, ok := c.App(name); !ok {
			return d, s.unknownApp(name, b.Apps)
		}
		lacks := Errorf(CodeAppUnknown, "The blueprint %s has no app %s: it has %s.", b.Name, name, strings.Join(b.Apps, " and "))
		if other, ok := blueprintOf(c, cmd.Branches); ok {
			cmd.Blueprint = other
			return d, lacks.WithHint("the blueprint %s has it: berth %s", other, s.Canonical(cmd))
		}
		return d, lacks.WithHint("to add it once %s is there: berth server create %s %s env=%s", cmd.Environment, name, plainRef(cmd.Branches[name]), cmd.Environment)
	}
	return s.checkDraft(ctx, actor, d, cmd.TTL, target)
}

// blueprintOf gives the first blueprint that has all these apps.
func blueprintOf(c *Catalog, apps map[string]string) (string, bool) {
	for _, b := range c.Blueprints {
		has := 0
		for name := range apps {
			if slices.Contains(b.Apps, name) {
				has++
			}
		}
		if has == len(apps) {
			return b.Name, true
		}
	}
	return "", false
}

// checkDraft asks everything that needs no repository: permission, target,
// size, lifetime, quota, name and needs.
func (s *Service) checkDraft(ctx context.Context, actor Actor, d draft, ttl time.Duration, target string) (draft, error) {
	c := s.Catalogs.Current()
	if err := s.Policy.Allow(c, actor, VerbCreate, actor.Name); err != nil {
		return d, err
	}
	var err error
	if d.target, err = chooseTarget(c, target); err != nil {
		return d, err
	}
	if err := s.able(ctx, d.target); err != nil {
		return d, err
	}
	if err = checkSize(c, d.size); err != nil {
		return d, err
	}
	if d.lifetime, err = s.Policy.Lifetime(c, ttl); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return d, e.WithHint("%s", placeholder.ReplaceAllLiteralString(e.Hint, d.name))
		}
		return d, err
	}
	if taken, err := s.Environments.Environment(ctx, d.name); err == nil {
		return d, NameTaken(d.name, taken.Owner)
	} else if !isCode(err, CodeNotFound) {
		return d, err
	}
	if d.full = s.quota(ctx, actor); d.full != nil && !(d.planned && isCode(d.full, CodeQuota)) {
		return d, d.full
	}
	return d, s.checkNeeds(d, func(needed []string) string {
		// What is needed comes from the catalog's branches.
		whole := Command{Noun: NounEnv, Verb: VerbCreate, Environment: d.name, Branches: map[string]string{}, TTL: ttl, Size: d.size, Target: target}
		all := map[string]string{}
		for _, a := range d.apps {
			all[a.Name] = ""
			whole.Branches[a.Name] = plainRef(cmp.Or(d.refs[a.Name], a.Branch))
		}
		for _, app := range needed {
			all[app] = ""
		}
		var ok bool
		if whole.Blueprint, ok = blueprintOf(c, all); !ok {
			return ""
		}
		return "berth " + s.Canonical(whole)
	})
}

func (s *Service) able(ctx context.Context, t Target) error {
	if s.Able == nil {
		return nil
	}
	return s.Able(ctx, t)
}

// NameTaken is the refusal of a name that a live environment has.
func NameTaken(name, owner string) *Error {
	return Errorf(CodeNameTaken, "The name %s is taken: %s has an environment called that.", name, owner).
		WithHint("choose another name, or look at it with berth env show %s", name)
}

func chooseBlueprint(c *Catalog, name string) (Blueprint, error) {
	all := names(c.Blueprints, func(b Blueprint) string { return b.Name })
	if name != "" {
		if b, ok := c.Blueprint(name); ok {
			return b, nil
		}
		return Blueprint{}, unknown(CodeBlueprintUnknown, "blueprint", name, all)
	}
	if len(c.Blueprints) == 1 {
		return c.Blueprints[0], nil
	}
	if b, ok := c.Blueprint("default"); ok {
		return b, nil
	}
	if len(all) == 0 {
		return Blueprint{}, Errorf(CodeBlueprintUnknown, "The catalog has no blueprint, so there is no full environment to make.").
			WithHint("ops can add a blueprint to the catalog; to make one server: berth server create APP BRANCH")
	}
	return Blueprint{}, &Error{Code: CodeBlueprintUnknown, Message: "Say which blueprint you want: " + strings.Join(all, ", ") + ".", Hint: "berth env create NAME " + all[0], Suggestions: all}
}

func chooseTarget(c *Catalog, name string) (Target, error) {
	if name == "" {
		if len(c.Targets) == 0 {
			return Target{}, Errorf(CodeTargetUnknown, "The catalog has no target to make servers on.").WithHint("ops can add one to the catalog: target \"local\" { module = \"local\" }")
		}
		return c.Targets[0], nil
	}
	if t, ok := c.Target(name); ok {
		return t, nil
	}
	return Target{}, unknown(CodeTargetUnknown, "target", name, names(c.Targets, func(t Target) string { return t.Name }))
}

func checkSize(c *Catalog, name string) error {
	if name == "" {
		return nil
	}
	if _, ok := c.Size(name); ok {
		return nil
	}
	return unknown(CodeSizeUnknown, "size", name, names(c.Sizes, func(z Size) string { return z.Name }))
}

// checkNeeds refuses the apps with needs that neither the set nor their
// settings meet. alone is the command that makes a lone server with everything
// that it needs, where a blueprint has it.
func (s *Service) checkNeeds(d draft, alone func(needed []string) string) error {
	var errs []error
	for _, a := range d.apps {
		keys, err := s.unmet(a, func(app string) bool {
			_, ok := byName(d.apps, app, func(x App) string { return x.Name })
			return ok
		})
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			continue
		}
		var ways []string
		if d.blueprint != "" {
			ways = append(ways, "take another blueprint")
		} else {
			needed := neededApps(a, keys)
			if command := alone(needed); command != "" {
				ways = append(ways, command)
			}
			ways = append(ways, "take an environment that has "+oneOr(len(needed), "one", "them")+" (env=NAME)")
		}
		errs = append(errs, needsUnmet(a, keys, d.name+" would have", ways))
	}
	return joinErrors(errs)
}

// needsMet refuses an app on an environment that there is, when neither that
// nor the app's settings meet its needs.
func (s *Service) needsMet(a App, e Environment) error {
	keys, err := s.unmet(a, func(app string) bool { return hasApp(e, app) })
	if err != nil || len(keys) == 0 {
		return err
	}
	var commands []string
	for _, app := range neededApps(a, keys) {
		branch := "BRANCH"
		if need, ok := s.Catalogs.Current().App(app); ok && need.Branch != "" {
			branch = plainRef(need.Branch)
		}
		commands = append(commands, fmt.Sprintf("berth server create %s %s env=%s", app, branch, e.Name))
	}
	return needsUnmet(a, keys, e.Name+" has", []string{strings.Join(commands, ", then ")})
}

// needsUnmet says which needs of an app nothing meets, and the ways out; that
// through its settings is always there.
func needsUnmet(a App, keys []string, lacks string, ways []string) *Error {
	var addresses, none []string
	for _, app := range neededApps(a, keys) {
		its := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return a.Needs[key] != app })
		addresses = append(addresses, app+" ("+list(its)+")")
		none = append(none, "no "+app)
	}
	e := Errorf(CodeNeedsUnmet, "%s needs the %s of %s: %s %s, and the settings of %s name none.",
		a.Name, oneOr(len(addresses), "address", "addresses"), list(addresses), lacks, list(none), a.Name).
		WithHint("%s, or ask ops to put %s into the settings of %s", strings.Join(ways, ", or "), list(keys), a.Name)
	e.Subject.App = a.Name
	return e
}

func oneOr(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// neededApps are the apps that an app's needs name, each once.
func neededApps(a App, keys []string) []string {
	var apps []string
	for _, key := range keys {
		if !slices.Contains(apps, a.Needs[key]) {
			apps = append(apps, a.Needs[key])
		}
	}
	return apps
}

// unmet are an app's needs that neither has nor its settings meet.
func (s *Service) unmet(a App, has func(app string) bool) (keys []string, err error) {
	values, err := s.settingsOf(a)
	if err != nil {
		return nil, err
	}
	for _, key := range sortedKeys(a.Needs) {
		if values[key] == "" && !has(a.Needs[key]) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (s *Service) settingsOf(a App) (map[string]string, error) {
	if a.Settings == "" {
		return nil, nil
	}
	_, values, err := s.Settings(a.Settings)
	return values, err
}

// resolve checks every app's branch at the same time; all that fail are told.
func (s *Service) resolve(ctx context.Context, apps []App, refs map[string]string) ([]Change, error) {
	changes := make([]Change, len(apps))
	errs := make([]error, len(apps))
	var wg sync.WaitGroup
	for i, a := range apps {
		ref := refs[a.Name]
		if ref == "" {
			ref = a.Branch
		}
		wg.Go(func() {
			r, err := s.Checker.Resolve(ctx, a, ref)
			var e *Error
			if errors.As(err, &e) {
				about := *e
				about.Subject.App = a.Name
				err = &about
			}
			changes[i], errs[i] = Change{App: a.Name, Branch: r.Branch, Commit: r.Commit}, err
		})
	}
	wg.Wait()
	return changes, joinErrors(errs)
}

// joinErrors makes one error of several: the first one's code, every one's
// message, and every one's hint with its app before it.
func joinErrors(errs []error) error {
	var all []*Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			return err
		}
		if !slices.ContainsFunc(all, func(x *Error) bool { return x.Message == e.Message }) {
			all = append(all, e)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	joined := &Error{Code: all[0].Code, Hint: all[0].Hint, Cause: all[0].Cause, All: all}
	var messages, hints []string
	same := true
	for _, e := range all {
		messages = append(messages, e.Message)
		same = same && e.Hint == joined.Hint
		if e.Hint != "" {
			hints = append(hints, e.Subject.App+": "+strings.TrimSuffix(e.Hint, "?"))
		}
	}
	joined.Message = strings.Join(messages, " ")
	if !same {
		joined.Hint = strings.Join(hints, "; ")
	}
	return joined
}

func (s *Service) plan(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	d, err := s.draftEnvironment(ctx, actor, cmd)
	if err != nil {
		return Answer{}, err
	}
	changes, err := s.resolve(ctx, d.apps, d.refs)
	if err != nil {
		return Answer{}, err
	}
	p := &Plan{Name: d.name, Blueprint: d.blueprint, Target: d.target.Name, Size: d.size, Lifetime: d.lifetime.String()}
	if d.full != nil {
		p.Note = "It could not be made now. " + d.full.Error()
		var e *Error
		if errors.As(d.full, &e) && e.Hint != "" {
			p.Note += " Next: " + e.Hint
		}
	}
	for i, c := range changes {
		v := PlanServer{App: c.App, Branch: c.Branch, Commit: c.Commit}
		for _, key := range sortedKeys(d.apps[i].Needs) {
			from := d.apps[i].Needs[key]
			if _, ok := byName(d.apps, from, func(a App) string { return a.Name }); !ok {
				from = "the settings"
			}
			v.Needs = append(v.Needs, key+" from "+from)
		}
		p.Servers = append(p.Servers, v)
	}
	return Answer{Plan: p}, nil
}

func (s *Service) createEnvironment(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	if a, ok, err := s.again(ctx, actor, cmd, cmd.Environment); ok || err != nil {
		return a, err
	}
	d, err := s.draftEnvironment(ctx, actor, cmd)
	if err != nil {
		return Answer{}, err
	}
	return s.create(ctx, actor, cmd, d)
}

// create checks the draft's branches and stores the new environment.
func (s *Service) create(ctx context.Context, actor Actor, cmd Command, d draft) (Answer, error) {
	changes, err := s.resolve(ctx, d.apps, d.refs)
	if err != nil {
		return Answer{}, err
	}
	now := s.Now()
	e := Environment{ID: s.NewID("e"), Name: d.name, Owner: actor.Name, Target: d.target.Name, Blueprint: d.blueprint, Size: d.size,
		Status: StatusCreating, CreatedAt: now, ExpiresAt: now.Add(d.lifetime)}
	sub := s.submission(actor, e, KindCreate, s.Canonical(cmd), changes)
	sub.New, sub.NeedPort = true, d.target.Module == "local"
	for i, c := range changes {
		sub.Servers = append(sub.Servers, s.newServer(e, d.apps[i], c))
	}
	// While the branches were asked for, another of the same person's commands
	// may have taken the last place of the quota.
	s.creating.Lock()
	defer s.creating.Unlock()
	if err := s.quota(ctx, actor); err != nil {
		return Answer{}, err
	}
	return s.submit(ctx, sub)
}

// quota refuses another environment to who has as many as the policy allows.
func (s *Service) quota(ctx context.Context, actor Actor) error {
	n, err := s.Environments.CountOwned(ctx, actor.Name)
	if err != nil {
		return err
	}
	return s.Policy.Quota(s.Catalogs.Current(), actor, n)
}

func (s *Service) newServer(e Environment, a App, c Change) Server {
	return Server{ID: s.NewID("s"), EnvironmentID: e.ID, Name: e.Name + "/" + a.Name, App: a.Name, Repository: a.Repository,
		Branch: c.Branch, Commit: c.Commit, Status: StatusCreating, Port: a.Port, Agent: AgentNever}
}

func (s *Service) createServer(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	a, err := s.app(cmd.App)
	if err != nil {
		return Answer{}, err
	}
	if cmd.Environment != "" {
		return s.addServer(ctx, actor, cmd, a)
	}
	d := draft{name: cmd.Name, size: cmd.Size, apps: []App{a}, refs: cmd.Branches}
	if d.name == "" {
		ref := cmd.Branches[a.Name]
		if ref == "" {
			ref = a.Branch
		}
		d.name = a.Name + "-" + Slug(ref)
		d.name = strings.TrimRight(d.name[:min(len(d.name), 32)], "-")
	}
	if a, ok, err := s.again(ctx, actor, cmd, d.name); ok || err != nil {
		return a, err
	}
	if d, err = s.checkDraft(ctx, actor, d, cmd.TTL, cmd.Target); err != nil {
		return Answer{}, err
	}
	return s.create(ctx, actor, cmd, d)
}

// Slug makes a part of a name out of a branch: lower-case letters, digits and
// single dashes, never empty.
func Slug(branch string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(branch) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug
	}
	return "branch"
}

func (s *Service) addServer(ctx context.Context, actor Actor, cmd Command, a App) (Answer, error) {
	c := s.Catalogs.Current()
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbDeploy)
	if err != nil {
		return Answer{}, err
	}
	for _, v := range e.Servers {
		if v.App == a.Name {
			return Answer{}, Errorf(CodeNameTaken, "%s already has a server for %s.", e.Name, a.Name).
				WithHint("to put that branch on it: berth env deploy %s %s=%s", e.Name, a.Name, plainRef(cmd.Branches[a.Name]))
		}
	}
	if cmd.Target != "" && cmd.Target != e.Target {
		return Answer{}, Errorf(CodeTargetUnknown, "%s runs on %s: a server of it cannot be on %s.", e.Name, e.Target, cmd.Target).WithHint("leave target= out")
	}
	target, err := targetOf(c, e)
	if err != nil {
		return Answer{}, err
	}
	if err := s.able(ctx, target); err != nil {
		return Answer{}, err
	}
	if err := checkSize(c, cmd.Size); err != nil {
		return Answer{}, err
	}
	if err := s.needsMet(a, e); err != nil {
		return Answer{}, err
	}
	changes, err := s.resolve(ctx, []App{a}, cmd.Branches)
	if err != nil {
		return Answer{}, err
	}
	sub := s.submission(actor, e, KindServerCreate, s.Canonical(cmd), changes)
	sub.NeedPort = target.Module == "local"
	sub.Servers = []Server{s.newServer(e, a, changes[0])}
	return s.submit(ctx, sub)
}

// plainRef is a branch as it may stand in a command that is offered to be
// pasted; one with anything that a shell could take for more is left to the
// person.
func plainRef(ref string) string {
	for _, r := range ref {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+-", r) {
			return "BRANCH"
		}
	}
	return ref
}

func hasApp(e Environment, app string) bool {
	for _, v := range e.Servers {
		if v.App == app {
			return true
		}
	}
	return false
}
