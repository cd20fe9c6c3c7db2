package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// ErrCanceled is the cause of a context that a person's cancel has ended.
var ErrCanceled = errors.New("canceled by a person")

// ErrOverdue is the cause of a context that an operation's limit has ended.
var ErrOverdue = errors.New("the operation took too long")

// Interrupted says whether ctx was ended so that its work is to be stopped: by
// a person or by a limit, not by the end of this process, which leaves the
// work to the next one.
func Interrupted(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, ErrCanceled) || errors.Is(cause, ErrOverdue)
}

// Submitter writes accepted commands.
type Submitter interface {
	Submit(ctx context.Context, s Submission) (Operation, error)
	// Relabel changes what is only written down (name, expiry) and notes it as
	// an operation that has already succeeded.
	Relabel(ctx context.Context, s Submission, change func(*Environment) error) (Operation, error)
	CancelQueued(ctx context.Context, operationID string, at time.Time) (bool, error)
	RequestCancel(ctx context.Context, operationID string) error
}

// Environments reads what there is; live environments only, but by ID.
type Environments interface {
	Environment(ctx context.Context, name string) (Environment, error)
	EnvironmentByID(ctx context.Context, id string) (Environment, error)
	Environments(ctx context.Context, owner string) ([]Environment, error)
	CountOwned(ctx context.Context, owner string) (int, error)
}

// Operations reads the history.
type Operations interface {
	Operation(ctx context.Context, id string) (Operation, error)
	Operations(ctx context.Context, environmentID string) ([]Operation, error)
	// OperationByOrigin gives the operation that a delivery has started.
	OperationByOrigin(ctx context.Context, key string) (Operation, bool, error)
}

// SettingsReader reads an app's settings file: its bytes and its values.
type SettingsReader func(path string) (raw []byte, values map[string]string, err error)

// Service is the use cases that every door offers.
type Service struct {
	Submitter    Submitter
	Environments Environments
	Operations   Operations
	Catalogs     Catalogs
	Policy       Policy
	Checker      Checker
	Settings     SettingsReader
	NewID        func(prefix string) string
	Now          func() time.Time
	// Able says what this machine lacks to make servers on a target, before
	// anything is stored. Nil: nothing is known to lack.
	Able func(ctx context.Context, t Target) error
	// Explain says why servers of an environment fail although its operation
	// succeeded; nil: nobody knows.
	Explain func(ctx context.Context, e Environment) (*Diagnosis, error)
	// Canonical gives a command's canonical text, for the history.
	Canonical func(Command) string
}

// Do runs one command for actor: reads answer at once, changes are accepted
// (checked, stored, queued) and answer with their operation.
func (s *Service) Do(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	if cmd.Changes() {
		if a, ok, err := s.repeated(ctx, actor); ok || err != nil {
			return a, err
		}
	}
	switch cmd.Verb {
	case VerbList:
		return s.list(ctx, actor, cmd)
	case VerbShow, VerbWhy, VerbLogs:
		return s.show(ctx, cmd)
	case VerbHistory:
		return s.history(ctx, cmd)
	case VerbPlan:
		return s.plan(ctx, actor, cmd)
	case VerbCreate:
		if cmd.Noun == NounServer {
			return s.createServer(ctx, actor, cmd)
		}
		return s.createEnvironment(ctx, actor, cmd)
	case VerbDeploy:
		return s.deploy(ctx, actor, cmd)
	case VerbRetry:
		return s.retry(ctx, actor, cmd)
	case VerbCancel:
		return s.cancel(ctx, actor, cmd)
	case VerbDestroy:
		return s.destroy(ctx, actor, cmd)
	case VerbExtend:
		return s.extend(ctx, actor, cmd)
	case VerbRename:
		return s.rename(ctx, actor, cmd)
	}
	return Answer{}, Errorf(CodeGrammar, "Berth has no command %q.", string(cmd.Noun)+" "+string(cmd.Verb)).WithHint("berth env --help")
}

// Allowed answers nil, or why actor may not do what cmd asks for to the
// environment that it names; it changes nothing and asks no repository. A door
// that wants a person's confirmation asks this first.
func (s *Service) Allowed(ctx context.Context, actor Actor, cmd Command) error {
	_, err := s.changeable(ctx, actor, cmd.Environment, cmd.Verb)
	return err
}

func (s *Service) list(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	owner := ""
	if cmd.Mine {
		owner = actor.Name
	}
	all, err := s.Environments.Environments(ctx, owner)
	if err != nil {
		return Answer{}, err
	}
	if cmd.Noun == NounEnv {
		return Answer{Environments: &all}, nil
	}
	// An app may have servers that the catalog no longer has.
	if runs := slices.ContainsFunc(all, func(e Environment) bool { return hasApp(e, cmd.App) }); cmd.App != "" && !runs {
		if _, err := s.app(cmd.App); err != nil {
			return Answer{}, err
		}
	}
	servers := []Server{}
	for _, e := range all {
		for _, v := range e.Servers {
			if cmd.App == "" || v.App == cmd.App {
				v.Environment = e.Name
				servers = append(servers, v)
			}
		}
	}
	return Answer{Servers: &servers}, nil
}

func (s *Service) show(ctx context.Context, cmd Command) (Answer, error) {
	e, err := s.Environments.Environment(ctx, cmd.Environment)
	if err != nil {
		return Answer{}, err
	}
	if e.Status == StatusFailed && e.Diagnosis == nil && s.Explain != nil {
		if e.Diagnosis, err = s.Explain(ctx, e); err != nil {
			return Answer{}, err
		}
	}
	if cmd.Noun == NounEnv {
		return Answer{Environment: &e}, nil
	}
	v, err := pickServer(e, cmd.App)
	if err != nil {
		return Answer{}, err
	}
	v.Environment = e.Name
	return Answer{Environment: &e, Server: &v}, nil
}

func (s *Service) history(ctx context.Context, cmd Command) (Answer, error) {
	e, err := s.Environments.Environment(ctx, cmd.Environment)
	if err != nil {
		return Answer{}, err
	}
	ops, err := s.Operations.Operations(ctx, e.ID)
	if err != nil {
		return Answer{}, err
	}
	return Answer{History: &ops}, nil
}

// pickServer finds the server that a command means: the named app's, or the
// only one.
func pickServer(e Environment, app string) (Server, error) {
	var apps []string
	for _, v := range e.Servers {
		if v.App == app || app == "" && len(e.Servers) == 1 {
			return v, nil
		}
		apps = append(apps, e.Name+"/"+v.App)
	}
	hint := "berth env show " + e.Name
	if app == "" {
		return Server{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("%s has %d servers: say which one: %s.", e.Name, len(e.Servers), strings.Join(apps, " or ")), Hint: hint, Suggestions: apps}
	}
	return Server{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("There is no server %s/%s.", e.Name, app), Hint: hint, Suggestions: apps}
}

func (s *Service) app(name string) (App, error) {
	c := s.Catalogs.Current()
	if a, ok := c.App(name); ok {
		return a, nil
	}
	return App{}, s.unknownApp(name, names(c.Apps, func(a App) string { return a.Name }))
}

// appOf is an app for a change of e. Ops may have taken it out of the catalog
// while its server runs on.
func (s *Service) appOf(e Environment, name string) (App, error) {
	a, err := s.app(name)
	if err == nil || !hasApp(e, name) {
		return a, err
	}
	gone := Errorf(CodeAppUnknown, "%s/%s runs on as it is: its app %s is no longer in the catalog, so nothing can be deployed to it.", e.Name, name, name)
	for _, v := range e.Servers {
		if _, err := s.app(v.App); err == nil {
			return a, gone.WithHint("to deploy another app: berth env deploy %s %s=%s; to remove this one: berth server destroy %s/%s; ops can put %s back",
				e.Name, v.App, plainRef(v.Branch), e.Name, name, name)
		}
	}
	return a, gone.WithHint("ops can put %s back; berth env destroy %s needs no catalog", name, e.Name)
}

// targetStays refuses a change of e that needs its target when ops have taken
// that out of the catalog.
func (s *Service) targetStays(e Environment) error {
	if _, ok := s.Catalogs.Current().Target(e.Target); ok {
		return nil
	}
	return Errorf(CodeTargetUnknown, "%s runs on as it is: its target %s is no longer in the catalog, so nothing can be changed on it.", e.Name, e.Target).
		WithHint("ops can put %s back; berth env destroy %s needs no catalog", e.Target, e.Name)
}

// unknownApp is the refusal of an app that the catalog lacks. Whoever wrote
// GREETING=hi meant a setting, and hears whose those are.
func (s *Service) unknownApp(name string, known []string) *Error {
	e := unknown(CodeAppUnknown, "app", name, known)
	if len(e.Suggestions) > 0 {
		return e
	}
	var files []string
	for _, a := range s.Catalogs.Current().Apps {
		if _, ok := byName(known, a.Name, func(k string) string { return k }); ok && a.Settings != "" {
			files = append(files, path.Base(a.Settings))
		}
	}
	if len(files) == 0 {
		return e
	}
	return e.WithHint("%s; if %s was meant as a setting: settings belong to ops, who keep them in files of theirs (%s)", e.Hint, name, strings.Join(files, ", "))
}

// draft is a create command after the catalog has been asked, before the
// branches have been.
type draft struct {
	name      string
	blueprint string
	target    Target
	size      string
	lifetime  time.Duration
	apps      []App
	refs      map[string]string
}

func (s *Service) draftEnvironment(ctx context.Context, actor Actor, cmd Command) (draft, error) {
	c := s.Catalogs.Current()
	d := draft{name: cmd.Environment, refs: cmd.Branches, size: cmd.Size}
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
		return d, Errorf(CodeAppUnknown, "The blueprint %s has no app %s: it has %s.", b.Name, name, strings.Join(b.Apps, " and ")).
			WithHint("to add a server to an environment that exists: berth server create %s BRANCH env=%s", name, cmd.Environment)
	}
	return s.checkDraft(ctx, actor, d, cmd.TTL, target)
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
		return d, err
	}
	if taken, err := s.Environments.Environment(ctx, d.name); err == nil {
		return d, NameTaken(d.name, taken.Owner)
	} else if !isCode(err, CodeNotFound) {
		return d, err
	}
	n, err := s.Environments.CountOwned(ctx, actor.Name)
	if err != nil {
		return d, err
	}
	if err := s.Policy.Quota(c, actor, n); err != nil {
		return d, err
	}
	return d, s.checkNeeds(d.apps, d.apps)
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

// checkNeeds refuses an app whose need neither the set nor its settings meet.
func (s *Service) checkNeeds(apps, set []App) error {
	for _, a := range apps {
		if err := s.needsMet(a, func(app string) bool {
			_, ok := byName(set, app, func(x App) string { return x.Name })
			return ok
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) needsMet(a App, has func(app string) bool) error {
	values, err := s.settingsOf(a)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(a.Needs) {
		if values[key] == "" && !has(a.Needs[key]) {
			return Errorf(CodeNeedsUnmet, "%s needs the address of %s (%s), and neither this environment nor its settings have one.", a.Name, a.Needs[key], key).
				WithHint("create %s in the same environment, or ask ops to put %s into the settings of %s", a.Needs[key], key, a.Name)
		}
	}
	return nil
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

// joinErrors makes one error of several: the first one's code and hint, every
// one's message.
func joinErrors(errs []error) error {
	var first *Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			return err
		}
		if first == nil {
			c := *e
			first = &c
		} else if e.Message != first.Message {
			first.Message += " " + e.Message
		}
	}
	if first == nil {
		return nil
	}
	return first
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
	return s.submit(ctx, sub)
}

func (s *Service) newServer(e Environment, a App, c Change) Server {
	return Server{ID: s.NewID("s"), EnvironmentID: e.ID, Name: e.Name + "/" + a.Name, App: a.Name, Repository: a.Repository,
		Branch: c.Branch, Commit: c.Commit, Status: StatusCreating, Port: a.Port, Agent: AgentNever}
}

func (s *Service) submission(actor Actor, e Environment, kind Kind, text string, changes []Change) Submission {
	now := s.Now()
	op := Operation{ID: s.NewID("o"), EnvironmentID: e.ID, Kind: kind, Actor: actor.Name, Text: text, CreatedAt: now, Changes: changes}
	for _, c := range changes {
		op.Apps = append(op.Apps, c.App)
	}
	return Submission{Environment: e, Operation: op, Origin: actor.From,
		Event: Event{OperationID: op.ID, At: now, Step: "accepted", Text: actor.Name + " asked for: " + text}}
}

func (s *Service) submit(ctx context.Context, sub Submission) (Answer, error) {
	op, err := s.Submitter.Submit(ctx, sub)
	if err != nil {
		return Answer{}, err
	}
	e, err := s.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Operation: &op, Environment: &e}
	if op.Status == OperationQueued {
		a.Note = fmt.Sprintf("%s is busy: this is number %d in its queue and starts by itself.", e.Name, op.Position)
	}
	return a, nil
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
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	target, err := chooseTarget(c, e.Target)
	if err != nil {
		return Answer{}, err
	}
	if err := s.able(ctx, target); err != nil {
		return Answer{}, err
	}
	if err := checkSize(c, cmd.Size); err != nil {
		return Answer{}, err
	}
	if err := s.needsMet(a, func(app string) bool { return hasApp(e, app) }); err != nil {
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

// changeable reads an environment that actor may change with verb and that is
// not on its way out.
func (s *Service) changeable(ctx context.Context, actor Actor, name string, verb Verb) (Environment, error) {
	e, err := s.Environments.Environment(ctx, name)
	if err != nil {
		return e, err
	}
	if err := s.Policy.Allow(s.Catalogs.Current(), actor, verb, e.Owner); err != nil {
		return e, err
	}
	if e.Status == StatusDestroying && verb != VerbDestroy && verb != VerbRetry && verb != VerbCancel {
		return e, Errorf(CodeState, "%s is being destroyed.", e.Name).WithHint("berth env show %s", e.Name)
	}
	return e, nil
}

func (s *Service) deploy(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbDeploy)
	if err != nil {
		return Answer{}, err
	}
	refs := map[string]string{}
	for app, ref := range cmd.Branches {
		refs[app] = ref
	}
	if cmd.Noun == NounServer {
		v, err := pickServer(e, cmd.App)
		if err != nil {
			return Answer{}, err
		}
		if ref, ok := refs[""]; ok {
			delete(refs, "")
			refs[v.App] = ref
		}
		if len(refs) == 0 {
			refs[v.App] = v.Branch
		}
	}
	if len(refs) == 0 {
		for _, v := range e.Servers {
			refs[v.App] = v.Branch
		}
	}
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	var apps []App
	for _, name := range sortedKeys(refs) {
		a, err := s.appOf(e, name)
		if err != nil {
			return Answer{}, err
		}
		if !hasApp(e, name) {
			return Answer{}, Errorf(CodeNotFound, "%s has no server for %s.", e.Name, name).
				WithHint("to add one: berth server create %s %s env=%s", name, plainRef(refs[name]), e.Name)
		}
		if err := s.needsMet(a, func(app string) bool { return hasApp(e, app) }); err != nil {
			return Answer{}, err
		}
		apps = append(apps, a)
	}
	changes, err := s.resolve(ctx, apps, refs)
	if err != nil {
		return Answer{}, err
	}
	return s.submit(ctx, s.submission(actor, e, KindDeploy, s.Canonical(cmd), changes))
}

func (s *Service) retry(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbRetry)
	if err != nil {
		return Answer{}, err
	}
	if e.Operation == nil || e.Status != StatusFailed {
		return Answer{}, Errorf(CodeState, "There is nothing to retry: %s is %s.", e.Name, e.Status).WithHint("berth env show %s", e.Name)
	}
	if e.Operation.Kind == KindDestroy {
		return s.submit(ctx, s.submission(actor, e, KindDestroy, s.Canonical(cmd), nil))
	}
	last, err := s.Operations.Operation(ctx, e.Operation.ID)
	if err != nil {
		return Answer{}, err
	}
	if last.Kind == KindServerDestroy && last.Status != OperationSucceeded {
		sub := s.submission(actor, e, KindServerDestroy, s.Canonical(cmd), nil)
		sub.Operation.Apps = last.Apps
		return s.submit(ctx, sub)
	}
	if err := s.targetStays(e); err != nil {
		return Answer{}, err
	}
	var apps []App
	refs := map[string]string{}
	for _, v := range e.Servers {
		if v.Status == StatusReady {
			continue
		}
		a, err := s.appOf(e, v.App)
		if err != nil {
			return Answer{}, err
		}
		apps, refs[v.App] = append(apps, a), v.Branch
	}
	changes, err := s.resolve(ctx, apps, refs)
	if err != nil {
		return Answer{}, err
	}
	return s.submit(ctx, s.submission(actor, e, KindRetry, s.Canonical(cmd), changes))
}

func (s *Service) cancel(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbCancel)
	if err != nil {
		return Answer{}, err
	}
	ops, err := s.Operations.Operations(ctx, e.ID) // newest first
	if err != nil {
		return Answer{}, err
	}
	for _, op := range ops {
		if op.Status.Ended() {
			continue
		}
		if op.Status == OperationQueued {
			done, err := s.Submitter.CancelQueued(ctx, op.ID, s.Now())
			if err != nil {
				return Answer{}, err
			}
			if done {
				return s.canceledQueued(ctx, e, op)
			}
		}
		if err := s.Submitter.RequestCancel(ctx, op.ID); err != nil {
			return Answer{}, err
		}
		return Answer{Operation: &op, Environment: &e, Note: "Berth is stopping it; what has been made so far stays, and can be retried or destroyed."}, nil
	}
	return Answer{}, Errorf(CodeState, "Nothing is running or waiting for %s.", e.Name).WithHint("berth env show %s", e.Name)
}

// canceledQueued answers for an operation that had not begun.
func (s *Service) canceledQueued(ctx context.Context, e Environment, op Operation) (Answer, error) {
	e, err := s.Environments.EnvironmentByID(ctx, e.ID)
	if err != nil {
		return Answer{}, err
	}
	op.Status = OperationCanceled
	return Answer{Operation: &op, Environment: &e, Note: "It was still waiting: nothing had been changed."}, nil
}

func (s *Service) destroy(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbDestroy)
	if err != nil {
		return Answer{}, err
	}
	text := s.Canonical(cmd)
	if cmd.Noun == NounServer {
		v, err := pickServer(e, cmd.App)
		if err != nil {
			return Answer{}, err
		}
		if len(e.Servers) > 1 {
			if err := s.missedBy(e, v.App); err != nil {
				return Answer{}, err
			}
			sub := s.submission(actor, e, KindServerDestroy, text, nil)
			sub.Operation.Apps = []string{v.App}
			return s.submit(ctx, sub)
		}
	}
	return s.Destroy(ctx, e, actor, text)
}

// Destroy submits the end of an environment. What runs is interrupted; a
// branch or the catalog is never asked.
func (s *Service) Destroy(ctx context.Context, e Environment, actor Actor, text string) (Answer, error) {
	ops, err := s.Operations.Operations(ctx, e.ID)
	if err != nil {
		return Answer{}, err
	}
	for _, op := range ops {
		if op.Status.Ended() {
			continue
		}
		if op.Kind == KindDestroy {
			return Answer{Operation: &op, Environment: &e, Note: e.Name + " is already being destroyed."}, nil
		}
	}
	a, err := s.submit(ctx, s.submission(actor, e, KindDestroy, text, nil))
	if err != nil || a.Operation.Status != OperationQueued {
		return a, err
	}
	for _, op := range ops {
		switch op.Status {
		case OperationQueued:
			if _, err := s.Submitter.CancelQueued(ctx, op.ID, s.Now()); err != nil {
				return a, err
			}
		case OperationRunning:
			if err := s.Submitter.RequestCancel(ctx, op.ID); err != nil {
				return a, err
			}
		}
	}
	a.Note = "Berth first stops what is running on " + e.Name + "."
	return a, nil
}

// Expire submits the end of an environment whose lifetime is over. After
// destroys that failed it waits before the next one, twice as long each time:
// two minutes at first, six hours at most.
func (s *Service) Expire(ctx context.Context, e Environment) error {
	ops, err := s.Operations.Operations(ctx, e.ID)
	if err != nil {
		return err
	}
	wait := time.Minute
	var last time.Time
	for _, op := range ops {
		if op.Kind != KindDestroy || op.EndedAt == nil {
			break
		}
		if last.IsZero() {
			last = *op.EndedAt
		}
		wait = min(2*wait, 6*time.Hour)
	}
	if !last.IsZero() && s.Now().Before(last.Add(wait)) {
		return nil
	}
	_, err = s.Destroy(ctx, e, Actor{Name: "berth", Ops: true}, "env destroy "+e.Name)
	return err
}

// missedBy refuses the destroy of a server that another one cannot do without.
func (s *Service) missedBy(e Environment, app string) error {
	c := s.Catalogs.Current()
	for _, v := range e.Servers {
		a, ok := c.App(v.App)
		if v.App == app || !ok {
			continue
		}
		for key, need := range a.Needs {
			if need != app {
				continue
			}
			values, err := s.settingsOf(a)
			if err != nil {
				return err
			}
			if values[key] == "" {
				return Errorf(CodeNeedsUnmet, "%s/%s needs %s/%s (%s), and its settings name no other.", e.Name, v.App, e.Name, app, key).
					WithHint("destroy %s/%s first or the whole environment (berth env destroy %s), or ask ops to put %s into the settings of %s", e.Name, v.App, e.Name, key, v.App)
			}
		}
	}
	return nil
}

func (s *Service) extend(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbExtend)
	if err != nil {
		return Answer{}, err
	}
	if cmd.TTL <= 0 {
		return Answer{}, Errorf(CodeInvalidValue, "Say by how long to extend %s.", e.Name).WithHint("berth env extend %s 2d", e.Name)
	}
	until := e.ExpiresAt
	if now := s.Now(); until.Before(now) {
		until = now
	}
	until = until.Add(cmd.TTL)
	if _, err := s.Policy.Lifetime(s.Catalogs.Current(), until.Sub(s.Now())); err != nil {
		if isCode(err, CodeLifetime) {
			err = s.tooLong(e)
		}
		return Answer{}, err
	}
	return s.relabel(ctx, s.submission(actor, e, KindExtend, s.Canonical(cmd), nil), func(x *Environment) error { x.ExpiresAt = until; return nil })
}

// tooLong refuses to extend an environment beyond the longest lifetime, and
// says by how much it can be extended at most.
func (s *Service) tooLong(e Environment) error {
	longest := s.Catalogs.Current().Policy.MaxLifetime
	if left := longest - e.ExpiresAt.Sub(s.Now()); left >= time.Hour {
		return Errorf(CodeLifetime, "That is too long: from now on %s may live %s at most, so %s more.", e.Name, wholeHours(longest), wholeHours(left)).
			WithHint("berth env extend %s %s", e.Name, wholeHours(left))
	}
	return Errorf(CodeLifetime, "That is too long: from now on %s may live %s at most, and it has that already.", e.Name, wholeHours(longest)).
		WithHint("extend it later: berth env show %s says when it ends", e.Name)
}

// wholeHours writes a lifetime in whole days, where it is some, or hours.
func wholeHours(d time.Duration) string {
	if hours := int(d / time.Hour); hours%24 != 0 || hours == 0 {
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func (s *Service) rename(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	e, err := s.changeable(ctx, actor, cmd.Environment, VerbRename)
	if err != nil {
		return Answer{}, err
	}
	if taken, err := s.Environments.Environment(ctx, cmd.NewName); err == nil && taken.ID != e.ID {
		return Answer{}, NameTaken(cmd.NewName, taken.Owner)
	}
	return s.relabel(ctx, s.submission(actor, e, KindRename, s.Canonical(cmd), nil), func(x *Environment) error { x.Name = cmd.NewName; return nil })
}

func (s *Service) relabel(ctx context.Context, sub Submission, change func(*Environment) error) (Answer, error) {
	op, err := s.Submitter.Relabel(ctx, sub, change)
	if err != nil {
		return Answer{}, err
	}
	e, err := s.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	return Answer{Environment: &e}, err
}

// unknown is the refusal of a name that the catalog lacks, with near ones.
func unknown(code Code, what, name string, known []string) *Error {
	e := Errorf(code, "There is no %s %q in the catalog.", what, name)
	e.Suggestions = Near(name, known)
	switch {
	case len(e.Suggestions) > 0:
		return e.WithHint("did you mean %s?", strings.Join(e.Suggestions, " or "))
	case len(known) > 0:
		return e.WithHint("there is %s; ops can add another to the catalog", strings.Join(known, ", "))
	}
	return e.WithHint("ask ops to add it to the catalog")
}

// Near gives up to three of known that are close to name, nearest first: at
// most one edit for short names, two from six characters on, or a shared
// prefix of three.
func Near(name string, known []string) []string {
	type hit struct {
		name string
		d    int
	}
	var hits []hit
	limit := 1
	if len(name) >= 6 {
		limit = 2
	}
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if d <= limit || len(name) >= 3 && strings.HasPrefix(k, name[:3]) {
			hits = append(hits, hit{k, d})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].d < hits[j].d })
	var out []string
	for _, h := range hits[:min(3, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// distance is the number of single-character edits, a swap of neighbours
// counting as one (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}

func isCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

func names[T any](all []T, key func(T) string) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = key(v)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
