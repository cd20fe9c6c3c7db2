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

// ErrBusy is the answer of a look at an environment that is being changed.
var ErrBusy = errors.New("the environment is being changed")

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
	CancelQueued(ctx context.Context, c Cancellation) (bool, error)
	RequestCancel(ctx context.Context, c Cancellation) error
}

// Environments reads what there is; live environments only, but by ID.
type Environments interface {
	Environment(ctx context.Context, name string) (Environment, error)
	EnvironmentByID(ctx context.Context, id string) (Environment, error)
	Environments(ctx context.Context, owner string) ([]Environment, error)
	CountOwned(ctx context.Context, owner string) (int, error)
}

// Live reads all live environments without copying them: do must neither change
// nor keep what it is given, whose servers lack what Hear sets.
type Live interface {
	EachEnvironment(ctx context.Context, owner string, do func(*Environment) error) error
	// Hear sets when a server's agent was last heard and what that makes of it.
	Hear(v *Server)
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
	Live         Live
	Operations   Operations
	// Events are what operations have told; nil: nobody asks for servers' steps.
	Events interface {
		Events(ctx context.Context, operationID string, afterSeq int64) ([]Event, error)
	}
	// Causes is the memory of what has failed; nil: nothing is remembered.
	Causes   CauseRecords
	Catalogs Catalogs
	Policy   Policy
	Checker  Checker
	Settings SettingsReader
	NewID    func(prefix string) string
	Now      func() time.Time
	// Able says what this machine lacks to make servers on a target, before
	// anything is stored. Nil: nothing is known to lack.
	Able func(ctx context.Context, t Target) error
	// Incidents knows what several environments have for one reason. Nil: nobody
	// does.
	Incidents IncidentRecords
	// Explain says why servers of an environment fail although its operation
	// succeeded; nil: nobody knows.
	Explain func(ctx context.Context, e Environment) (*Diagnosis, error)
	// Evidence gathers what is known of e, or of its server that runs app; nil:
	// nothing is.
	Evidence func(ctx context.Context, e Environment, app string, detail Detail) (*Evidence, error)
	// ExpiryFrom says where an owner is shown the end of an environment whose
	// lifetime is over; nil: nowhere.
	ExpiryFrom func(ctx context.Context, e Environment) Origin
	// Hide takes out of a text what looks like a secret; nil: passwords in
	// addresses alone.
	Hide func(text string) string
	// Canonical gives a command's canonical text, for the history.
	Canonical func(Command) string

	// creating is held from the count of a person's environments until the new
	// one is stored.
	creating sync.Mutex
}

// Do runs one command for actor: reads answer at once, changes are accepted
// (checked, stored, queued) and answer with their operation.
func (s *Service) Do(ctx context.Context, actor Actor, cmd Command) (Answer, error) {
	if cmd.Changes() {
		if a, ok, err := s.repeated(ctx, actor, cmd); ok || err != nil {
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
	case VerbRepair:
		return s.repair(ctx, actor, cmd)
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
	if cmd.Noun == NounEnv {
		all := []Environment{}
		err := s.EachDetailed(ctx, owner, func(e *Environment) error {
			kept := *e
			kept.Servers = slices.Clone(e.Servers)
			if e.Operation != nil {
				operation := *e.Operation
				kept.Operation = &operation
			}
			all = append(all, kept)
			return nil
		})
		return Answer{Environments: &all}, err
	}
	all, err := s.Environments.Environments(ctx, owner)
	if err != nil {
		return Answer{}, err
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

// EachEnvironment reads the live environments by name, those of owner only
// unless it is empty, as they are stored.
func (s *Service) EachEnvironment(ctx context.Context, owner string, do func(*Environment) error) error {
	return s.Live.EachEnvironment(ctx, owner, do)
}

// EachDetailed calls do with each environment that a list has, until it gives
// an error: a list of thousands need not be kept whole. What do is given holds
// until it returns, and its Needs and diagnosis must not be changed.
func (s *Service) EachDetailed(ctx context.Context, owner string, do func(*Environment) error) error {
	// What is known of causes from before is asked for once for all.
	known := map[*Diagnosis]*Diagnosis{}
	var own []*Diagnosis
	err := s.Live.EachEnvironment(ctx, owner, func(e *Environment) error {
		if e.Diagnosis != nil {
			d := e.Diagnosis.clone()
			known[e.Diagnosis], own = d, append(own, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.recall(ctx, own...); err != nil {
		return err
	}
	var e Environment
	var servers []Server
	return s.Live.EachEnvironment(ctx, owner, func(stored *Environment) error {
		e = *stored
		servers = append(servers[:0], stored.Servers...)
		for i := range servers {
			s.Live.Hear(&servers[i])
		}
		if stored.Servers != nil {
			e.Servers = servers
		}
		if d := stored.Diagnosis; d != nil {
			if e.Diagnosis = known[d]; e.Diagnosis == nil { // failed since
				e.Diagnosis = d.clone()
				if err := s.recall(ctx, e.Diagnosis); err != nil {
					return err
				}
			}
		}
		return do(&e)
	})
}

// explain says of each failed server why it failed, also of one that the last
// operation that failed had nothing to do with.
func (s *Service) explain(ctx context.Context, e *Environment) error {
	if e.Status != StatusFailed || s.Explain == nil {
		return nil
	}
	part := *e
	if e.Diagnosis != nil {
		said := func(v Server) bool {
			return slices.ContainsFunc(e.Diagnosis.Causes, func(c Cause) bool { return c.Server == v.Name || slices.Contains(c.Servers, v.Name) })
		}
		part.Servers = slices.DeleteFunc(slices.Clone(e.Servers), func(v Server) bool {
			return v.Status != StatusFailed || e.Operation == nil || len(e.Operation.Apps) == 0 || slices.Contains(e.Operation.Apps, v.App) || said(v)
		})
		if len(part.Servers) == 0 {
			return nil
		}
	}
	d, err := s.Explain(ctx, part)
	if err != nil || d == nil {
		return err
	}
	if e.Diagnosis != nil {
		more := *d
		d = e.Diagnosis.clone()
		d.add(more)
	}
	e.Diagnosis = d
	return nil
}

func (s *Service) show(ctx context.Context, cmd Command) (Answer, error) {
	e, err := s.Environments.Environment(ctx, cmd.Environment)
	if err != nil {
		return Answer{}, err
	}
	if err := s.explain(ctx, &e); err != nil {
		return Answer{}, err
	}
	if err := s.recall(ctx, e.Diagnosis); err != nil {
		return Answer{}, err
	}
	if err := s.steps(ctx, &e); err != nil {
		return Answer{}, err
	}
	if cmd.Noun == NounEnv {
		a := Answer{Environment: &e}
		if cmd.Verb == VerbWhy && cmd.Detail != DetailShort && s.Evidence != nil {
			if cmd.App != "" {
				if _, err := pickServer(e, cmd.App); err != nil {
					return Answer{}, err
				}
			}
			a.Evidence, err = s.Evidence(ctx, e, cmd.App, cmd.Detail)
		}
		return a, err
	}
	v, err := pickServer(e, cmd.App)
	if err != nil {
		return Answer{}, err
	}
	v.Environment = e.Name
	return Answer{Environment: &e, Server: &v}, nil
}

// steps says of the servers that an operation waits for what they are at.
func (s *Service) steps(ctx context.Context, e *Environment) error {
	if s.Events == nil || e.Operation == nil || e.Operation.Status != OperationRunning {
		return nil
	}
	events, err := s.Events.Events(ctx, e.Operation.ID, 0)
	if err != nil {
		return err
	}
	for i, v := range e.Servers {
		if v.Status != StatusCreating && v.Status != StatusDeploying {
			continue
		}
		for _, told := range events { // in their order
			if told.Server == v.Name && told.Text != "" {
				e.Servers[i].Step = told.Words()
			}
		}
	}
	return nil
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
	_, err := targetOf(s.Catalogs.Current(), e)
	return err
}

func targetOf(c *Catalog, e Environment) (Target, error) {
	if t, ok := c.Target(e.Target); ok {
		return t, nil
	}
	return Target{}, Errorf(CodeTargetUnknown, "%s runs on as it is: its target %s is no longer in the catalog, so nothing can be changed on it.", e.Name, e.Target).
		WithHint("ops can put %s back; berth env destroy %s needs no catalog", e.Target, e.Name)
}

// unknownApp is the refusal of an app that the catalog lacks. Whoever wrote
// GREETING=hi meant a setting, and hears whose those are.
func (s *Service) unknownApp(name string, known []string) *Error {
	e := unknown(CodeAppUnknown, "app", name, known)
	e.Subject.App = name
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
