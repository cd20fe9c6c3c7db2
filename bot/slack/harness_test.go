package slack_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/jobs"
	"github.com/berth-dev/berth/orchestrator/policy"
	"github.com/berth-dev/berth/orchestrator/store"
)

// office is Berth behind a stand-in for Slack: the door, the use cases, the
// queue and the database are real; only the work on servers is the test's.
type office struct {
	t    testing.TB
	fake *slackfake.Server
	path string // the database
	door *slack.Slack

	service *orchestrator.Service
	store   *store.Store
	catalog *orchestrator.Catalog
	log     *logs
	url     string                 // of HTTP mode
	clock   *slackfake.ManualClock // nil: the machine's
	still   func()                 // stops it
	seams   seams
	at      address

	opsChannel string
	speed      int // of the clock; 0: the machine's own
	mu         sync.Mutex
	branches   map[string][]string
	check      chan struct{} // branch checks wait for it; nil: they do not
	working    map[string]chan outcome
	stop       func()
}

// outcome is how an operation is to end.
type outcome struct {
	status    orchestrator.OperationStatus
	diagnosis *orchestrator.Diagnosis
}

// logs keeps what is logged, for tests that read it.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const (
	maria = "U0MARIA"
	tom   = "U0TOM"
	guest = "U0GUEST"
	gone  = "U0GONE"
	alien = "U0ALIEN"
	dev   = "C0DEV"
	ops   = "C0OPS" // private, without Berth
)

func people() []slackfake.User {
	return []slackfake.User{
		{ID: maria, Name: "maria", RealName: "Maria", Email: "maria@example.com"},
		{ID: tom, Name: "tom", RealName: "Tom", Email: "Tom@example.com"},
		{ID: guest, Name: "guest", Email: "guest@example.com", IsRestricted: true},
		{ID: gone, Name: "gone", Email: "gone@example.com", Deleted: true},
		{ID: alien, Name: "alien", Email: "alien@example.org", TeamID: "T0OTHER", IsStranger: true},
	}
}

// address is how to reach the stand-in, in another process perhaps.
type address struct{ API, Bot, App, Secret string }

// seams are where tests come between the door and what it uses.
type seams struct {
	transport http.RoundTripper
	doer      func(slack.Doer) slack.Doer
	inbox     func(slack.Inbox) slack.Inbox
	cards     func(slack.Cards) slack.Cards
	reader    func(slack.Reader) slack.Reader
	incidents func(slack.Incidents) slack.Incidents
	branches  func(ctx context.Context, app string) ([]string, error)
}

// through wraps a part, if there is a wrapper.
func through[T any](wrap func(T) T, part T) T {
	if wrap == nil {
		return part
	}
	return wrap(part)
}

type settings struct {
	http    bool
	clock   bool // a clock that moves as the test says; see office.runs
	speed   int  // a clock that goes so many times as fast; what Slack waits for stays below 3 s of it
	seams   seams
	fake    slackfake.Options
	policy  func(*orchestrator.PolicySettings)
	cloud   bool   // servers are on machines of their own
	stopped bool   // not started yet
	ops     string // the channel where ops are told
}

// bareOffice is an office without a stand-in.
func bareOffice(t testing.TB, path string) *office {
	o := &office{t: t, path: path, log: &logs{}, working: map[string]chan outcome{},
		branches: map[string][]string{"api": {"main", "feature/login"}, "web": {"main", "feature/login", "hotfix/1.2.3"}}}
	o.catalog = &orchestrator.Catalog{
		Targets: []orchestrator.Target{{Name: "local", Module: "local"}},
		Apps: []orchestrator.App{{Name: "api", Branch: "main", Port: 8080},
			{Name: "web", Branch: "main", Port: 8081, Needs: map[string]string{"API_URL": "api"}}},
		Blueprints: []orchestrator.Blueprint{{Name: "shop", Apps: []string{"api", "web"}}, {Name: "apionly", Apps: []string{"api"}}, {Name: "default", Apps: []string{"api", "web"}}},
		Sizes:      []orchestrator.Size{{Name: "small"}, {Name: "large"}},
		People:     []orchestrator.Person{{Name: "maria", Email: "maria@example.com", Teams: []string{"shop"}}, {Name: "olga", Slack: "U0OLGA"}},
		Policy: orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, Create: "all", Deploy: "all", Destroy: "own",
			Ops: []string{"olga"}, Warnings: []time.Duration{24 * time.Hour, 2 * time.Hour}, Grace: 30 * time.Minute},
	}
	return o
}

func newOffice(t testing.TB, s settings) *office {
	t.Helper()
	o := bareOffice(t, filepath.Join(t.TempDir(), "berth.db"))
	o.seams, o.speed, o.opsChannel = s.seams, s.speed, s.ops
	if s.policy != nil {
		s.policy(&o.catalog.Policy)
	}
	if s.cloud {
		o.catalog.Targets[0].Module = "./cloud"
	}
	s.fake.Users = append(s.fake.Users, people()...)
	s.fake.Channels = append(s.fake.Channels,
		slackfake.Channel{ID: dev, Name: "dev", Members: []string{maria, tom, guest, alien, slackfake.BotUser}},
		slackfake.Channel{ID: ops, Name: "ops", Private: true, Members: []string{maria, tom}})
	s.fake.PingInterval = time.Second
	if s.clock || s.speed > 0 {
		o.clock = slackfake.NewManualClock(time.Time{})
		s.fake.Clock = o.clock
	}
	fake, err := slackfake.New(s.fake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	o.fake = fake
	if s.speed > 0 {
		o.runs(s.speed)
	}
	if !s.stopped {
		o.start(s.http)
	}
	return o
}

func (o *office) Current() *orchestrator.Catalog { return o.catalog }

// Resolve knows the branches of the test.
func (o *office) Resolve(ctx context.Context, a orchestrator.App, ref string) (orchestrator.Resolved, error) {
	o.mu.Lock()
	names, check := o.branches[a.Name], o.check
	o.mu.Unlock()
	if check != nil {
		select {
		case <-check:
		case <-ctx.Done():
			return orchestrator.Resolved{}, ctx.Err()
		}
	}
	if slices.Contains(names, ref) {
		return orchestrator.Resolved{Branch: ref, Commit: strings.Repeat(fmt.Sprintf("%x", len(ref)%16), 40)}, nil
	}
	e := orchestrator.Errorf(orchestrator.CodeBranchNotFound, "%s has no branch %s.", a.Name, ref)
	if e.Suggestions = orchestrator.Near(ref, names); len(e.Suggestions) > 0 {
		e = e.WithHint("did you mean %s?", e.Suggestions[0])
	}
	return orchestrator.Resolved{}, e
}

// Person and SlackOf are the directory.
func (o *office) Person(id, email string) (orchestrator.Actor, bool) {
	for _, p := range o.catalog.People {
		if id != "" && p.Slack == id || email != "" && strings.EqualFold(p.Email, email) {
			return policy.ActorNamed(o.catalog, p.Name), true
		}
	}
	return orchestrator.Actor{Name: strings.ToLower(email)}, false
}

func (o *office) SlackOf(name string) (id, email string) {
	for _, p := range o.catalog.People {
		if p.Name == name {
			return p.Slack, p.Email
		}
	}
	return "", name
}

// start starts Berth, or starts it again on the same database, and waits for
// its connections.
func (o *office) start(overHTTP bool) {
	o.t.Helper()
	o.open(overHTTP)
	if !overHTTP {
		o.until("two connections", func() bool { return o.fake.Connections() == 2 })
	}
}

// open starts Berth and waits for nothing.
func (o *office) open(overHTTP bool) {
	o.t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Path: o.path})
	if err != nil {
		o.t.Fatal(err)
	}
	o.store = s
	log := slog.New(slog.NewTextHandler(o.log, nil))
	var door *slack.Slack
	j, err := jobs.New(jobs.Options{DB: s.DB(), Execute: o.execute, Workers: 128, Logger: log,
		Deliver: func(ctx context.Context, key string) error { return door.Deliver(ctx, key) },
		Backoff: func(int) time.Duration { return 200 * time.Millisecond }})
	if err != nil {
		o.t.Fatal(err)
	}
	s.SetEnqueue(j.Enqueue)
	s.SetEnqueueDelivery(j.EnqueueDelivery)
	n := 0
	var ids sync.Mutex
	run := fmt.Sprint(time.Now().UnixNano())
	o.service = &orchestrator.Service{Submitter: s, Environments: s, Live: s, Operations: s, Catalogs: o, Policy: policy.Rules{TeamsOf: func(name string) []string { return door.TeamsOf(name) }}, Checker: o,
		Settings:  func(string) ([]byte, map[string]string, error) { return nil, nil, nil },
		Evidence:  o.evidence,
		Canonical: bot.Canonical, Now: o.now, NewID: func(prefix string) string {
			ids.Lock()
			defer ids.Unlock()
			n++
			return fmt.Sprintf("%s%s%d", prefix, run, n)
		}}
	if o.fake != nil {
		o.at = address{API: o.fake.APIURL(), Bot: o.fake.BotToken(), App: o.fake.AppToken(), Secret: o.fake.SigningSecret()}
	}
	options := slack.Options{BotToken: o.at.Bot, APIURL: o.at.API, Doer: through(o.seams.doer, slack.Doer(o.service)), Inbox: through(o.seams.inbox, slack.Inbox(s)),
		Cards: through(o.seams.cards, slack.Cards(s)), Reader: through(o.seams.reader, slack.Reader(s)), Directory: o,
		Incidents: through(o.seams.incidents, slack.Incidents(s)), OpsChannel: o.opsChannel,
		Catalog: o.Current, Now: o.now, Log: log,
		Branches: func(_ context.Context, app string) ([]string, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			return slices.Clone(o.branches[app]), nil
		},
		Logs: func(environmentID, app string, _ int) (string, error) { return "12:00:00 qa/web listening\n", nil }}
	if o.seams.branches != nil {
		options.Branches = o.seams.branches
	}
	if o.seams.transport != nil {
		options.HTTP = &http.Client{Timeout: 20 * time.Second, Transport: o.seams.transport}
	}
	if o.clock != nil {
		options.After = o.after
	}
	if overHTTP {
		options.SigningSecret = o.at.Secret
	} else {
		options.AppToken = o.at.App
	}
	if door, err = slack.New(options); err != nil {
		o.t.Fatal(err)
	}
	o.door = door
	o.service.ExpiryFrom = door.Expiry
	unended, err := s.Unended(ctx)
	if err != nil {
		o.t.Fatal(err)
	}
	var running []string
	for _, op := range unended {
		if op.Status == orchestrator.OperationRunning {
			running = append(running, op.ID)
		}
	}
	waiting, err := s.WaitingDeliveries(ctx)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := j.Ensure(ctx, running...); err != nil {
		o.t.Fatal(err)
	}
	if err := j.EnsureDeliveries(ctx, waiting...); err != nil {
		o.t.Fatal(err)
	}
	if err := j.Start(ctx); err != nil {
		o.t.Fatal(err)
	}
	run1, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); door.Run(run1) }()
	var web *httptest.Server
	if overHTTP {
		web = httptest.NewServer(door.Handler())
		o.url = web.URL
		o.fake.SetRequestURL(web.URL)
	}
	var once sync.Once
	o.stop = func() {
		once.Do(func() {
			if web != nil {
				web.Close()
			}
			grace, end := context.WithTimeout(context.Background(), 20*time.Second)
			defer end()
			if err := j.Stop(grace); err != nil {
				o.t.Error(err)
			}
			cancel()
			<-done
			if err := s.Close(); err != nil {
				o.t.Error(err)
			}
		})
	}
	o.t.Cleanup(o.stop)
}

func now() time.Time { return time.Now().UTC() }

func (o *office) now() time.Time {
	if o.clock == nil {
		return now()
	}
	return o.clock.Now().UTC()
}

func (o *office) after(d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	o.clock.AfterFunc(d, func() { c <- o.clock.Now() })
	return c
}

// runs lets the office's clock go speed times as fast as the machine's, until
// it is called again: 0 lets it stand.
func (o *office) runs(speed int) {
	if o.still != nil {
		o.still()
		o.still = nil
	}
	if speed == 0 {
		return
	}
	const tick = 2 * time.Millisecond
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				o.clock.Advance(time.Duration(speed) * tick)
			}
		}
	}()
	var once sync.Once
	o.still = func() { once.Do(func() { close(end); <-ended }) }
	o.t.Cleanup(o.still)
}

// execute is the work on servers: it waits for the test's word.
func (o *office) execute(ctx context.Context, id string) error {
	op, err := o.store.Operation(ctx, id)
	if err != nil || op.Status.Ended() {
		return err
	}
	if err := o.store.Start(ctx, id, o.now(), orchestrator.StatusCreating, nil); err != nil {
		return err
	}
	e, err := o.store.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return err
	}
	var end outcome
	select {
	case end = <-o.line(e.Name):
	case <-ctx.Done():
		return ctx.Err()
	}
	status := orchestrator.StatusReady
	if end.status != orchestrator.OperationSucceeded {
		status = orchestrator.StatusFailed
	} else if op.Kind == orchestrator.KindDestroy {
		status = orchestrator.StatusDestroyed
	}
	for _, v := range e.Servers {
		if _, err := o.store.UpdateServer(ctx, v.ID, func(s *orchestrator.Server) error {
			for _, c := range op.Changes {
				if c.App == s.App {
					s.Branch, s.Commit = c.Branch, c.Commit
				}
			}
			if s.Status = status; status == orchestrator.StatusReady {
				s.Revision, s.RunningBranch, s.Address = s.Commit, s.Branch, "127.0.0.1"
				s.URL = orchestrator.URLOf(*s)
			}
			if status == orchestrator.StatusReady && op.Kind == orchestrator.KindRepair {
				s.Machine = ""
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var seen []orchestrator.Occurrence
	for i := 0; end.diagnosis != nil && i < len(end.diagnosis.Causes); i++ {
		if c := end.diagnosis.Causes[i]; c.Kin != "" {
			seen = append(seen, orchestrator.Occurrence{Fingerprint: c.Kin, Kin: c.Kin, Outside: c.Outside, Code: c.Code, Who: c.Who, EnvironmentID: e.ID, Environment: e.Name, Operation: id, Sentence: c.Sentence, At: o.now()})
		}
	}
	return o.store.End(ctx, orchestrator.Ending{OperationID: id, Status: end.status, At: o.now(), Environment: status, Diagnosis: end.diagnosis, Occurrences: seen,
		Event: orchestrator.Event{OperationID: id, At: o.now(), Step: string(end.status), Text: string(end.status)}})
}

func (o *office) line(name string) chan outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.working[name]
	if c == nil {
		c = make(chan outcome, 16)
		o.working[name] = c
	}
	return c
}

// ends lets the next operation of an environment end well.
func (o *office) ends(name string) { o.line(name) <- outcome{status: orchestrator.OperationSucceeded} }

// fails lets it fail.
func (o *office) fails(name, sentence string) {
	o.line(name) <- outcome{status: orchestrator.OperationFailed, diagnosis: &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Total: 1,
		Causes: []orchestrator.Cause{{Code: "build", Who: "developer", Server: name + "/web", Sentence: sentence, Next: "env deploy " + name}}}}
}

// say adds to the course of an environment's operation.
func (o *office) say(name, server, step, text string) {
	o.t.Helper()
	e, err := o.store.Environment(o.t.Context(), name)
	if err == nil {
		err = o.store.AddEvents(o.t.Context(), []orchestrator.Event{{OperationID: e.Operation.ID, At: o.now(), Server: server, Step: step, Text: text}})
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) ctx() context.Context {
	ctx, cancel := context.WithTimeout(o.t.Context(), 40*time.Second)
	o.t.Cleanup(cancel)
	return ctx
}

// until waits for the stand-in to come into a state.
func (o *office) until(what string, cond func() bool) {
	o.t.Helper()
	if err := o.fake.Wait(o.ctx(), cond); err != nil {
		o.t.Fatalf("waiting for %s: %v\n%s", what, err, o.log)
	}
}

// await waits for something that the stand-in cannot see.
func (o *office) await(what string, cond func() bool) {
	o.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := o.ctx(); !cond(); {
		select {
		case <-ctx.Done():
			o.t.Fatalf("waiting for %s\n%s", what, o.log)
		case <-tick.C:
		}
	}
}

// types types a slash command in a channel.
func (o *office) types(who, channel, text string) *slackfake.Outcome {
	o.t.Helper()
	command, rest, _ := strings.Cut(text, " ")
	out, err := o.fake.User(who).Command(o.ctx(), channel, command, rest)
	if err != nil {
		o.t.Fatal(err)
	}
	if out.Failure != "" {
		o.t.Fatalf("%s: Slack shows %s\n%s", text, out.Failure, o.log)
	}
	return out
}

// answered is the first answer to what was typed or clicked.
func (o *office) answered(out *slackfake.Outcome) slackfake.Message {
	o.t.Helper()
	m, err := out.Answer(o.ctx())
	if err != nil {
		o.t.Fatalf("no answer: %v\n%s", err, o.log)
	}
	return m
}

// clicks presses a button and says yes where it asks.
func (o *office) clicks(who string, on slackfake.Surface, button string) *slackfake.Outcome {
	o.t.Helper()
	out, err := o.fake.User(who).Click(o.ctx(), on, button)
	if err == nil && out.Confirm != nil {
		out, err = out.Yes(o.ctx())
	}
	if err != nil {
		o.t.Fatal(err)
	}
	if out.Failure != "" {
		o.t.Fatalf("%s: Slack shows %s\n%s", button, out.Failure, o.log)
	}
	return out
}

// card waits for the card in a channel that shows words.
func (o *office) card(channel string, words ...string) slackfake.Message {
	o.t.Helper()
	var found slackfake.Message
	o.until("a card that shows "+strings.Join(words, ", "), func() bool {
		for _, m := range o.fake.Messages(channel) {
			if m.ThreadTS == "" && !m.Ephemeral() && shows(m, words...) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func shows(m slackfake.Message, words ...string) bool {
	shown := m.Shown()
	for _, w := range words {
		if !strings.Contains(shown, w) {
			return false
		}
	}
	return true
}

// mustSay checks a message for words.
func mustSay(t testing.TB, m slackfake.Message, words ...string) {
	t.Helper()
	if strings.TrimSpace(m.Text) == "" {
		t.Errorf("a message without a text for those who see nothing else: %s", m.Shown())
	}
	for _, w := range words {
		if !strings.Contains(m.Shown(), w) {
			t.Errorf("does not say %q:\n%s", w, m.Shown())
		}
	}
}

// evidence is what is known of each environment here: of one called big, much.
func (o *office) evidence(_ context.Context, e orchestrator.Environment, app string, detail orchestrator.Detail) (*orchestrator.Evidence, error) {
	ev := &orchestrator.Evidence{}
	for _, v := range e.Servers {
		if app != "" && v.App != app {
			continue
		}
		s := orchestrator.ServerEvidence{Server: v.Name, App: v.App, Status: v.Status, Branch: v.Branch, Commit: v.Commit, Succeeded: 3, Failed: 1, Blocked: 4, Total: 8}
		if e.Name == "big" {
			s.Problem = strings.Repeat("much is wrong ", 200)
		}
		ev.Servers = append(ev.Servers, s)
		if detail == orchestrator.DetailRaw && e.Name != "nothing" {
			ev.Files = append(ev.Files, orchestrator.EvidenceFile{Name: e.Name + "-" + v.App + "-result.json", Title: "What Salt answered on " + v.Name, Text: `{"local":{}}`, Bytes: 12})
		}
	}
	return ev, nil
}
