package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/orchestrator/branch"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/jobs"
	"github.com/berth-dev/berth/orchestrator/logbook"
	"github.com/berth-dev/berth/orchestrator/policy"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/terraform"
	"github.com/berth-dev/berth/templates"
)

// firstAppUID is the first of the users under which servers of the local
// target run when Berth is root; far above what distributions hand out.
const firstAppUID, appUIDs = 2_000_000, 60_000

// house is a running Berth: every part, wired.
type house struct {
	options serveOptions
	// ca is what agents pin, tls what the network is shown; nil: no TLS.
	ca     string
	tls    *tls.Config
	log    *slog.Logger
	source *catalog.Source
	store  *store.Store
	jobs   *jobs.Jobs
	// provisioner knows which environments Terraform is at work on.
	provisioner *terraform.Provisioner
	binaries    binaries // that new machines fetch
	logs        *logbook.Book
	checker     *branch.Checker
	service     *orchestrator.Service
	fleet       *orchestrator.Fleet
	recipes     *recipes
	slack       *slack.Slack // nil: Slack is off
	uidBase     int
	// folders is held by whoever wakes or sweeps a local server.
	folders  sync.Mutex
	machines *orchestrator.MachineWatch
	ready    atomic.Bool
}

func newHouse(ctx context.Context, o serveOptions, ca string, source *catalog.Source, log *slog.Logger) (*house, error) {
	h := &house{options: o, ca: ca, log: log, source: source}
	h.recipes = newRecipes(filepath.Join(o.Data, "states"), log, source.Current, compiles)
	source.Check = func(c *orchestrator.Catalog) error {
		if err := catalog.CheckSettings(c); err != nil {
			return err
		}
		return h.recipes.accept(c)
	}
	if os.Getuid() == 0 {
		h.uidBase = firstAppUID
	}
	var err error
	if h.logs, err = logbook.Open(filepath.Join(o.Data, "logs")); err != nil {
		return nil, dataError(o.Data, err)
	}
	if h.store, err = store.Open(ctx, store.Options{Path: o.Database, Now: now, UIDBase: h.uidBase}); err != nil {
		return nil, err
	}
	installation, err := h.installation()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding Berth's own program: %w", err)
	}
	if h.binaries, err = agentBinaries(o.Data); err != nil {
		return nil, err
	}
	h.provisioner = terraform.New(terraform.Options{
		Workspaces: filepath.Join(o.Data, "workspaces"),
		Berth:      self,
		Data:       o.Data,
		Find:       terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: o.Data},
		Constraint: func() string { return source.Current().Terraform },
		Settle:     render.Backend,
		Place:      render.Place,
		Render: func(dir string, w orchestrator.Workspace) error {
			return render.Write(dir, w, render.Options{
				CatalogDir: source.Current().Dir, Berth: self, Root: h.serversDir(), SaltCall: os.Getenv("BERTH_SALT_CALL"), GitConfig: os.Getenv("GIT_CONFIG_GLOBAL"),
			})
		},
	})
	h.checker = branch.New(branch.Options{GitHubAPIURL: os.Getenv("BERTH_GITHUB_API_URL"), Token: o.Secrets.GitHubToken,
		AppID: o.Secrets.GitHubAppID, AppKeyFile: o.Secrets.GitHubAppKey})
	diagnoser := diagnose.Diagnoser{}
	executor := &orchestrator.Executor{
		Checker: h.checker, History: h.checker, Works: h.store,
		Logs: h.logText, RunLog: h.provisioner.Log,
		Operations: h.store, Environments: h.store, Ledger: h.store, Servers: h.store, Watcher: h.store, Catalogs: source,
		Provisioner: h.provisioner, Diagnoser: diagnoser, Settings: catalog.Settings, States: h.recipes.digest, UserData: userDataOf,
		Sweep: h.sweep, Wake: h.wake, Present: h.present, Now: now, After: time.After, Log: log, PublicURL: o.PublicURL, CA: ca, CallHome: 3 * time.Minute, Converge: 40 * time.Minute, Limit: 2 * time.Hour, RetryAfter: o.RetryAfter, InstallationID: installation,
	}
	h.jobs, err = jobs.New(jobs.Options{
		DB: h.store.DB(), Execute: executor.Execute, Workers: 8, Timeout: 4 * time.Hour, Logger: log, // an operation ends itself after half of it
		Deliver: h.deliver,
		Periodic: []jobs.Periodic{
			{Every: 15 * time.Second, Name: "machines", Run: h.watchMachines},
			{Every: 10 * time.Minute, Name: "plans", Run: func(context.Context) error {
				_, err := h.provisioner.Tidy()
				return err
			}},
			{Every: 30 * time.Second, Name: "destroys", Run: func(ctx context.Context) error { return h.service.FinishDestroys(ctx) }},
			{Every: time.Minute, Name: "lifetimes", Run: func(ctx context.Context) error { return h.lifetimes().Run(ctx) }},
			{Every: 15 * time.Second, Name: "agents", Run: h.watchAgents},
			{Every: 15 * time.Second, Name: "incidents", Run: (&orchestrator.Chronicle{Records: h.store, Now: now, Log: log}).Run},
			{Every: time.Hour, Name: "causes", Run: func(ctx context.Context) error {
				return h.store.ForgetOccurrences(ctx, now().Add(-orchestrator.RememberCauses))
			}},
			{Every: time.Hour, Name: "deliveries", Run: func(ctx context.Context) error { return h.store.ForgetDeliveries(ctx, now().Add(-24*time.Hour)) }},
		},
	})
	if err != nil {
		return nil, err
	}
	h.store.SetEnqueue(h.jobs.Enqueue)
	h.store.SetEnqueueDelivery(h.jobs.EnqueueDelivery)
	h.service = &orchestrator.Service{
		Submitter: h.store, Environments: h.store, Live: h.store, Operations: h.store, Events: h.store, Causes: h.store, Incidents: h.store, Catalogs: source, Policy: policy.Rules{TeamsOf: h.teamsOf},
		Checker:  h.checker,
		Settings: catalog.Settings, Able: h.able, Explain: executor.Explain, Evidence: executor.Evidence, NewID: newID, Now: now, Hide: diagnose.Hide, Canonical: bot.Canonical,
	}
	h.fleet = &orchestrator.Fleet{Records: h.store, Environments: h.store, Operations: h.store, Events: h.store, Diagnoser: diagnoser, Catalogs: source,
		Watcher: h.store, Logs: h.logs, Settings: catalog.Settings, Logins: h.checker, Now: now}
	h.machines = &orchestrator.MachineWatch{Environments: h.store, Records: h.store, Notices: h.store, Catalogs: source, Look: h.provisioner.Look, Present: h.present,
		Now: now, Log: log, Every: o.LookEvery, Silence: silence}
	if err := h.openSlack(); err != nil {
		return nil, err
	}
	if h.slack != nil {
		h.service.ExpiryFrom = h.slack.Expiry
		executor.OwnersPlace = h.slack.Expiry
		h.machines.Notifier = h.slack
	}
	return h, nil
}

// reader is what doors look up: the store, with what is known of causes from
// before.
type reader struct {
	*store.Store
	service *orchestrator.Service
}

func (r reader) Operation(ctx context.Context, id string) (orchestrator.Operation, error) {
	return r.service.Operation(ctx, id)
}

func (r reader) EnvironmentByID(ctx context.Context, id string) (orchestrator.Environment, error) {
	return r.service.EnvironmentByID(ctx, id)
}

func now() time.Time { return time.Now().UTC() }

func (h *house) close() {
	if err := h.store.Close(); err != nil {
		h.log.Error("closing the database", "error", err)
	}
}

func (h *house) serversDir() string { return filepath.Join(h.options.Data, "servers") }

// installation reads this Berth's own ID, made at its first start.
func (h *house) installation() (string, error) {
	path := filepath.Join(h.options.Data, "installation")
	raw, err := os.ReadFile(path)
	if err == nil && len(raw) > 0 {
		return string(raw), nil
	}
	id := newID("b")
	if err := writeFile(path, id, 0o600); err != nil {
		return "", dataError(h.options.Data, err)
	}
	return id, nil
}

// start takes up the work: agents that should run, jobs, the catalog's changes.
func (h *house) start(ctx context.Context) error {
	if err := passable(h.serversDir()); err != nil {
		return err
	}
	if err := h.bringBack(ctx); err != nil {
		return err
	}
	// Every operation that has not ended has its job, whatever was killed.
	unended, err := h.store.Unended(ctx)
	if err != nil {
		return err
	}
	var running []string
	for _, op := range unended {
		if op.Status == orchestrator.OperationRunning {
			running = append(running, op.ID)
		}
	}
	if err := h.jobs.Ensure(ctx, running...); err != nil {
		return err
	}
	if h.slack != nil {
		waiting, err := h.store.WaitingDeliveries(ctx)
		if err != nil {
			return err
		}
		if err := h.jobs.EnsureDeliveries(ctx, waiting...); err != nil {
			return err
		}
	}
	if err := h.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	onChange := func(err error) {
		if err != nil {
			h.log.Error("the catalog has an error: the last good one stays in force", "error", err)
			return
		}
		h.log.Info("the catalog has been read again")
	}
	go func() {
		if err := h.source.Watch(ctx, onChange); err != nil && ctx.Err() == nil {
			h.log.Error("the catalog is not watched: use berth reload", "error", err)
		}
	}()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				onChange(h.source.Reload())
			}
		}
	}()
	return nil
}

// bringBack starts the agents of local servers that should run and sweeps the
// folders of servers that are no more.
func (h *house) bringBack(ctx context.Context) error {
	all, err := h.store.Environments(ctx, "")
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, e := range all {
		for _, v := range e.Servers {
			live[v.ID] = true
		}
	}
	h.wakeAll(ctx, all)
	entries, err := os.ReadDir(h.serversDir())
	if err != nil {
		return dataError(h.options.Data, err)
	}
	for _, entry := range entries {
		if !live[entry.Name()] {
			if err := h.sweepDir(ctx, entry.Name(), 0); err != nil {
				h.log.Error("a folder was not swept", "folder", entry.Name(), "error", err)
			}
		}
	}
	return nil
}

// wakeAll starts the agents of local servers that should run and do not.
func (h *house) wakeAll(ctx context.Context, all []orchestrator.Environment) {
	for _, e := range all {
		if h.provisioner.Running(e.ID) {
			continue // Terraform starts and stops agents itself
		}
		for _, v := range e.Servers {
			if err := h.wake(ctx, v); err != nil && ctx.Err() == nil {
				h.log.Error("an agent did not start", "server", v.Name, "error", err)
			}
		}
	}
}

// watchAgents starts agents again that died while serve ran.
func (h *house) watchAgents(ctx context.Context) error {
	all, err := h.store.Environments(ctx, "")
	if err != nil {
		return err
	}
	h.wakeAll(ctx, all)
	return nil
}

// silence is how long an agent in a cloud may be silent before its machine is
// looked at.
const silence = 3 * time.Minute

// watchMachines notices machines that are gone or stand still.
func (h *house) watchMachines(ctx context.Context) error { return h.machines.Run(ctx) }

// present says whether a server of this machine has its folder.
func (h *house) present(v orchestrator.Server) bool {
	_, err := os.Stat(filepath.Join(h.serversDir(), filepath.Base(v.ID), agent.ConfigFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// able says what this machine lacks to make servers on a target: the Terraform
// that ops named, and Salt where servers are to run here.
func (h *house) able(ctx context.Context, t orchestrator.Target) error {
	if h.provisioner.Find.Path != "" { // else one may still be fetched
		if _, err := h.provisioner.Terraform(ctx, nil); err != nil {
			return terraform.Lacking(err)
		}
	}
	if t.Module != "local" {
		return nil
	}
	named := os.Getenv("BERTH_SALT_CALL")
	salt, found := agent.FindSaltCall(named)
	if !found {
		return noSetup("Salt is missing: there is no salt-call on the PATH, and BERTH_SALT_CALL is not set")
	}
	if _, err := exec.LookPath(salt); err != nil && named != "" {
		return noSetup("Salt is missing: BERTH_SALT_CALL names %s, which cannot be run (%v)", salt, reason(err))
	} else if err != nil {
		return noSetup("Salt is missing: %s cannot be run (%v)", salt, reason(err))
	}
	return nil
}

// noSetup is what a person is told who wants servers on a machine without Salt:
// why it lacks is for ops, in the log and in berth doctor.
func noSetup(format string, args ...any) error {
	e := orchestrator.Errorf(orchestrator.CodeState, "Berth's machine lacks the program that sets up servers.").
		WithHint("only ops can mend this: berth doctor tells them what is missing")
	e.Cause = fmt.Errorf(format, args...)
	return e
}

// tellLacks tells ops what they will be asked for otherwise.
func (h *house) tellLacks(ctx context.Context) {
	told := map[string]bool{}
	for _, t := range h.source.Current().Targets {
		if err := h.able(ctx, t); err != nil && ctx.Err() == nil && !told[err.Error()] {
			told[err.Error()] = true
			h.log.Warn("no server can be made yet", "target", t.Name, "reason", cause(err))
		}
	}
}

// cause is what an error hides from people and ops need.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// wake starts a local server's agent if it does not run, and tells it where
// Berth is: this Berth may have come back on another port, also since
// Terraform began to start it. A server that is elsewhere is left alone.
func (h *house) wake(ctx context.Context, v orchestrator.Server) error {
	dir := filepath.Join(h.serversDir(), filepath.Base(v.ID))
	if _, err := os.Stat(filepath.Join(dir, agent.ConfigFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// What is being removed must not come back.
	h.folders.Lock()
	defer h.folders.Unlock()
	switch now, err := h.store.Server(ctx, v.ID); {
	case err != nil:
		return err
	case now.Status == orchestrator.StatusDestroying || now.Status == orchestrator.StatusDestroyed:
		return nil
	}
	if err := agent.Point(dir, h.options.PublicURL, h.ca); err != nil {
		return err
	}
	if agent.Alive(dir) {
		return nil
	}
	h.log.Info("starting an agent again", "server", v.Name)
	return agent.Restart(ctx, dir)
}

// sweep ends what is left of a local server: processes and folder.
func (h *house) sweep(ctx context.Context, v orchestrator.Server) error {
	return h.sweepDir(ctx, v.ID, v.UID)
}

func (h *house) sweepDir(ctx context.Context, id string, uid int) error {
	dir := filepath.Join(h.serversDir(), filepath.Base(id))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && uid == 0 {
		return nil
	}
	h.folders.Lock()
	defer h.folders.Unlock()
	if err := agent.Stop(ctx, dir, uid); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// lifetimes warns of, and brings about, the end of environments.
func (h *house) lifetimes() *orchestrator.Lifetimes {
	l := &orchestrator.Lifetimes{Records: h.store, Catalogs: h.source, Now: now, Log: h.log,
		Destroy: func(ctx context.Context, e orchestrator.Environment) error { return h.service.Expire(ctx, e) }}
	if h.slack != nil {
		l.Warner = h.slack
	}
	return l
}

func (h *house) person(osUser string) orchestrator.Actor {
	return policy.ActorFor(h.source.Current(), osUser)
}

func (h *house) peers() peers {
	p := peers{person: h.person}
	if h.uidBase > 0 {
		p.apps = [2]int{h.uidBase, h.uidBase + appUIDs}
	}
	return p
}

func (h *house) api() *httpapi.API {
	return &httpapi.API{
		Doer: h.service, Lister: h.service, Reader: reader{h.store, h.service}, Tokens: apiTokens{h.store}, Causes: h.service, Logs: h.logs, Names: h.names, Branches: h.branches, Reload: h.source.Reload, Person: h.personByName, Log: h.log,
		State: h.state,
		Parse: func(text string) (orchestrator.Command, error) {
			p, err := bot.Parse(text)
			return p.Command, err
		},
	}
}

// personByName makes an actor of a catalog's name, for tokens.
func (h *house) personByName(name string) orchestrator.Actor {
	return policy.ActorNamed(h.source.Current(), name)
}

// private is what the Unix socket serves.
func (h *house) private() http.Handler { return h.api().Handler() }

// public is what the network sees: the API with tokens, agents, the probes.
func (h *house) public() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", h.api().Handler())
	agents := &httpapi.Agents{Fleet: h.fleet, Enroller: h.store, Keys: h.store, States: h.recipes.archive, Binary: h.binaries.path, Now: now, Log: h.log}
	mux.Handle("/agent/v1/", agents.Handler())
	if h.slack != nil {
		mux.Handle("/slack/", h.slack.Handler())
	}
	mux.Handle("/", httpapi.Probes(func(ctx context.Context) error {
		if !h.ready.Load() {
			return errors.New("starting or stopping")
		}
		if h.slack != nil {
			if err := h.slack.Ready(); err != nil {
				return err
			}
		}
		return h.store.DB().PingContext(ctx)
	}))
	return mux
}

// userDataOf renders a server's user-data from its target's template.
func userDataOf(t orchestrator.Target, b orchestrator.Boot) (string, error) {
	return templates.UserDataFrom(t.UserData, b)
}

// branches lists an app's branches, for completion.
func (h *house) branches(ctx context.Context, app string) ([]string, error) {
	a, ok := h.source.Current().App(app)
	if !ok {
		return nil, nil
	}
	return h.checker.Branches(ctx, a)
}

func (h *house) names(ctx context.Context) (wire.Names, error) {
	var n wire.Names
	all, err := h.store.Environments(ctx, "")
	if err != nil {
		return n, err
	}
	for _, e := range all {
		n.Environments = append(n.Environments, e.Name)
		for _, v := range e.Servers {
			n.Servers = append(n.Servers, e.Name+"/"+v.App)
		}
	}
	c := h.source.Current()
	for _, a := range c.Apps {
		n.Apps = append(n.Apps, a.Name)
	}
	for _, b := range c.Blueprints {
		n.Blueprints = append(n.Blueprints, b.Name)
	}
	for _, z := range c.Sizes {
		n.Sizes = append(n.Sizes, z.Name)
	}
	for _, t := range c.Targets {
		n.Targets = append(n.Targets, t.Name)
	}
	return n, nil
}
