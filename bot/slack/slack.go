// Package slack is Berth's door to Slack: it takes commands, clicks and forms
// in Socket Mode or over HTTP, answers them, keeps one card for each operation
// up to date and tells its end.
//
// What Slack delivers is kept in the database before it is acknowledged and
// worked through from there, exactly once (deliver.go); only what needs a
// trigger of three seconds is answered on the way (forms.go). Cards are rows
// too (cards.go): a restarted Berth goes on editing the same message, and a
// scheduler keeps its calls within Slack's limits (pace.go).
package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/orchestrator"
)

// Door is this door's name in origins, deliveries and cards.
const Door = "slack"

// Doer runs commands, and says beforehand whether a person may.
type Doer interface {
	Allowed(ctx context.Context, actor orchestrator.Actor, cmd orchestrator.Command) error
	Do(ctx context.Context, actor orchestrator.Actor, cmd orchestrator.Command) (orchestrator.Answer, error)
}

// Inbox keeps what was delivered until it has been worked through, and which
// operation a delivery has started or canceled.
type Inbox interface {
	AcceptDelivery(ctx context.Context, d orchestrator.Delivery) (fresh bool, err error)
	Delivery(ctx context.Context, key string) (d orchestrator.Delivery, waiting bool, err error)
	EndDelivery(ctx context.Context, key string, at time.Time) error
	OperationByOrigin(ctx context.Context, key string) (op orchestrator.Operation, ok bool, err error)
}

// Cards keeps what is shown of operations.
type Cards interface {
	OpenCards(ctx context.Context, door string) ([]orchestrator.Card, error)
	Card(ctx context.Context, operationID string) (orchestrator.Card, bool, error)
	SaveCard(ctx context.Context, operationID string, state []byte, done bool) error
}

// Reader is what cards and clicks look up.
type Reader interface {
	Operation(ctx context.Context, id string) (orchestrator.Operation, error)
	Events(ctx context.Context, operationID string, after int64) ([]orchestrator.Event, error)
	EnvironmentByID(ctx context.Context, id string) (orchestrator.Environment, error)
	Watch() (changed <-chan struct{}, stop func())
}

// Directory knows people: the catalog's, and who is not listed there.
type Directory interface {
	// Person finds who has this Slack ID or, else, this e-mail address; listed
	// says whether the catalog names them.
	Person(slackID, email string) (actor orchestrator.Actor, listed bool)
	// SlackOf gives what the catalog or an unlisted person's name says of how to
	// reach somebody: a Slack ID or an e-mail address, either may be empty.
	SlackOf(name string) (slackID, email string)
}

// Options say how to reach Slack and what to do with what comes from there.
type Options struct {
	BotToken, AppToken, SigningSecret string
	// APIURL is Slack's Web API; empty: Slack's own. A trailing slash is optional.
	APIURL string
	// EnvCommand and ServerCommand are the slash commands; empty: /env, /server.
	EnvCommand, ServerCommand string

	Doer      Doer
	Inbox     Inbox
	Cards     Cards
	Reader    Reader
	Directory Directory
	Catalog   func() *orchestrator.Catalog
	// Branches lists an app's branches; it is asked in the background only.
	Branches func(ctx context.Context, app string) ([]string, error)
	// Logs gives what the servers of an environment printed, oldest first; app
	// narrows it to one. Of a log that is longer than so many bytes it gives the
	// end, whole lines that are longer than that together.
	Logs func(environmentID, app string, bytes int) (string, error)

	// Incidents are what ops are told of in OpsChannel, a channel's ID; empty:
	// they are told nothing.
	Incidents  Incidents
	OpsChannel string

	// HTTP makes every call; nil: a client with a timeout of its own.
	HTTP *http.Client
	Now  func() time.Time
	// After is time.After but in tests.
	After func(time.Duration) <-chan time.Time
	Log   *slog.Logger
}

// Mode is how Slack reaches Berth.
type Mode string

// The modes. An app token means Socket Mode, else a signing secret HTTP mode.
const (
	ModeOff    Mode = "off"
	ModeSocket Mode = "socket"
	ModeHTTP   Mode = "http"
)

// ModeOf says which mode a configuration means, or what it lacks.
func ModeOf(botToken, appToken, signingSecret string) (Mode, error) {
	mode := ModeOff
	switch {
	case appToken != "":
		mode = ModeSocket
	case signingSecret != "":
		mode = ModeHTTP
	case botToken == "":
		return ModeOff, nil
	}
	for variable, value := range map[string]string{"BERTH_SLACK_BOT_TOKEN": botToken, "BERTH_SLACK_APP_TOKEN": appToken, "BERTH_SLACK_SIGNING_SECRET": signingSecret} {
		if strings.ContainsFunc(value, unicode.IsSpace) {
			return mode, orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s holds a space or a line break.", variable).WithHint("set it again without, and without quotes around it")
		}
	}
	switch {
	case botToken == "":
		return mode, orchestrator.Errorf(orchestrator.CodeInvalidValue, "Slack's bot token is missing.").WithHint("set BERTH_SLACK_BOT_TOKEN to the token that begins with xoxb-")
	case mode == ModeOff:
		return mode, orchestrator.Errorf(orchestrator.CodeInvalidValue, "There is a bot token for Slack, but nothing by which Slack can reach Berth.").
			WithHint("set BERTH_SLACK_APP_TOKEN (xapp-…) for Socket Mode, or BERTH_SLACK_SIGNING_SECRET for HTTP mode")
	case !strings.HasPrefix(botToken, "xoxb-"):
		return mode, orchestrator.Errorf(orchestrator.CodeInvalidValue, "BERTH_SLACK_BOT_TOKEN holds no bot token.").WithHint("a bot token begins with xoxb-")
	case mode == ModeSocket && !strings.HasPrefix(appToken, "xapp-"):
		return mode, orchestrator.Errorf(orchestrator.CodeInvalidValue, "BERTH_SLACK_APP_TOKEN holds no app token.").WithHint("an app token begins with xapp-")
	}
	return mode, nil
}

// Slack is the door. Run works until its context ends; Deliver is called by
// the job queue.
type Slack struct {
	Options
	mode   Mode
	api    *slackgo.Client
	people *people
	cards  *cards
	forms  *forms
	homes  *homes
	clicks recent // clicks of the last moments: a double click is one
	// signatures are those of the last minutes, in HTTP mode.
	signatures recent
	// opened are the triggers that have opened a form.
	opened recent
	// uncertain are the messages of which nobody knows whether they were posted.
	uncertain recent
	// fresh are the deliveries that this process has accepted and not begun.
	fresh  recent
	beside beside
	health health
	self   self
	// doubt makes introduce ask at once.
	doubt chan struct{}
	// opsRest is until when ops are told nothing, after a trouble with Slack.
	opsRest struct {
		mu    sync.Mutex
		until time.Time
	}
}

// New makes the door; nothing is connected before Run. A configuration that
// cannot work is an *orchestrator.Error.
func New(o Options) (*Slack, error) {
	mode, err := ModeOf(o.BotToken, o.AppToken, o.SigningSecret)
	if err != nil {
		return nil, err
	}
	if err := CheckOpsChannel(o.OpsChannel); err != nil {
		return nil, err
	}
	if o.EnvCommand == "" {
		o.EnvCommand = "/env"
	}
	if o.ServerCommand == "" {
		o.ServerCommand = "/server"
	}
	if o.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 32 // answers go out many at a time
		o.HTTP = &http.Client{Timeout: callWithin, Transport: transport}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.APIURL = strings.TrimSuffix(o.APIURL, "/") + "/"; o.APIURL == "/" {
		o.APIURL = slackgo.APIURL
	}
	client := *o.HTTP
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = &gate{next: client.Transport, api: o.APIURL, now: o.Now, closed: map[string]time.Time{}}
	o.HTTP = &client
	s := &Slack{Options: o, mode: mode, doubt: make(chan struct{}, 1)}
	s.beside.idle = sync.NewCond(&s.beside.mu)
	s.api = slackgo.New(o.BotToken, s.apiOptions()...)
	s.people = &people{slack: s, known: map[string]known{}, ids: map[string]string{}, nobody: map[string]time.Time{}, directs: map[string]string{}}
	s.cards = newCards(s)
	s.forms = &forms{slack: s, branches: map[string]branchList{}}
	s.homes = &homes{slack: s, shown: map[string]shown{}, asked: map[string]bool{}, wake: make(chan struct{}, 1)}
	s.clicks = recent{ttl: doubleClick, now: o.Now}
	s.signatures = recent{ttl: 6 * time.Minute, now: o.Now}
	s.opened = recent{ttl: giveUpAfter, now: o.Now}
	s.uncertain = recent{ttl: giveUpAfter, now: o.Now}
	s.fresh = recent{ttl: giveUpAfter, now: o.Now}
	const notYet = "it has not been connected yet"
	s.health.app = notYet
	if mode == ModeSocket {
		s.health.sockets = slices.Repeat([]string{notYet}, connections)
	}
	return s, nil
}

func (s *Slack) apiOptions() []slackgo.Option {
	options := []slackgo.Option{slackgo.OptionHTTPClient(s.HTTP), slackgo.OptionAPIURL(s.APIURL)}
	if s.AppToken != "" {
		options = append(options, slackgo.OptionAppLevelToken(s.AppToken))
	}
	return options
}

// Mode says how Slack reaches this door.
func (s *Slack) Mode() Mode { return s.mode }

// Ready answers nil, or what keeps Slack from working.
func (s *Slack) Ready() error { return s.health.get() }

// Run connects and works until ctx ends.
func (s *Slack) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.introduce(ctx) })
	wg.Go(func() { s.cards.run(ctx) })
	wg.Go(func() { s.homes.run(ctx) })
	wg.Go(func() { s.forms.run(ctx) })
	wg.Go(func() { s.tellOps(ctx) })
	if s.mode == ModeSocket {
		for n := range connections {
			wg.Go(func() { s.connect(ctx, n) })
		}
	}
	wg.Wait()
	s.beside.wait()
}

// self is who this app is in Slack.
type self struct {
	mu           sync.Mutex
	user, bot    string
	team, domain string
}

func (s *self) get() (user, team string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user, s.team
}

// introduceEvery is how often Slack is asked whether it still knows this app.
const introduceEvery = 5 * time.Minute

// introduce asks Slack who this app is: until it answers, now and then, and
// when something makes that doubtful. A token that was revoked is known by it,
// and one that works again.
func (s *Slack) introduce(ctx context.Context) {
	wait := time.Second
	for {
		next := introduceEvery
		r, err := s.api.AuthTestContext(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.self.mu.Lock()
			s.self.user, s.self.bot, s.self.team, s.self.domain = r.UserID, r.BotID, r.TeamID, r.Team
			s.self.mu.Unlock()
			if s.health.setApp("") {
				s.Log.Info("Slack knows this app", "team", r.Team, "user", r.User)
				s.cards.kick()
			}
			wait = time.Second
			s.checkScopes(r.Header.Get("X-OAuth-Scopes"))
		default:
			s.trouble("asking Slack who this app is", err)
			next, wait = wait, min(2*wait, time.Minute)
		}
		select { // at most once a second, however much is in doubt
		case <-ctx.Done():
			return
		case <-s.After(time.Second):
		}
		select {
		case <-ctx.Done():
			return
		case <-s.doubt:
		case <-s.After(next - time.Second):
		}
	}
}

// doubts has introduce ask soon.
func (s *Slack) doubts() {
	select {
	case s.doubt <- struct{}{}:
	default:
	}
}

// health is what keeps Slack from working, for the readiness probe.
type health struct {
	mu sync.Mutex
	// app is why Slack does not know the app, empty when it does; sockets the
	// same of each connection. One that works is enough.
	app     string
	sockets []string
	// scopes says which scopes lack.
	scopes string
}

// checkScopes says in the log and to the probe which scopes lack: what they
// are for does not work, whatever else does.
func (s *Slack) checkScopes(given string) {
	why := ""
	k := scopes(given)
	if !k.OK {
		why = "scopes are " + k.Found
	}
	if s.health.setScopes(why) && why != "" {
		s.Log.Error("Slack gives Berth less than it needs: "+why, "do", k.Next)
	}
}

// setScopes notes which scopes lack, and reports a change.
func (h *health) setScopes(why string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed, h.scopes = h.scopes != why, why
	return changed
}

// setApp notes whether Slack knows the app, and reports a change.
func (h *health) setApp(why string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed, h.app = h.app != why, why
	return changed
}

func (h *health) setSocket(n int, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets[n] = why
}

func (h *health) get() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	why := h.app
	if why == "" && len(h.sockets) > 0 && !slices.Contains(h.sockets, "") {
		why = h.sockets[0]
	}
	if why == "" {
		why = h.scopes
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("Slack does not work: %s", why)
}

// trouble logs what went wrong with Slack in words that ops can act on, and
// keeps the health true.
func (s *Slack) trouble(what string, err error) {
	code := errorCode(err)
	why, isFatal := fatal[code]
	if !isFatal {
		s.Log.Warn("Slack: "+what, "error", err)
		return
	}
	var e slackgo.SlackErrorResponse
	if code == "missing_scope" && errors.As(err, &e) && e.Needed != "" {
		why = "the scope " + e.Needed + " is missing"
	}
	s.Log.Error("Slack refuses Berth: "+why, "while", what, "do", "look at the app's installation and BERTH_SLACK_… (berth doctor)")
	// A scope that lacks breaks one feature, not the connection.
	if code != "missing_scope" && s.health.setApp(why) {
		s.doubts()
	}
}

// recent remembers keys for a while.
type recent struct {
	ttl   time.Duration
	now   func() time.Time
	mu    sync.Mutex
	seen  map[string]bool
	order []seen // the oldest first
}

type seen struct {
	key string
	at  time.Time
}

// again reports whether key was seen within the time, and notes it.
func (r *recent) again(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age()
	if r.seen[key] {
		return true
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[key] = true
	r.order = append(r.order, seen{key, r.now()})
	return false
}

// has reports whether key was seen within the time.
func (r *recent) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age()
	return r.seen[key]
}

// forget lets a key be new again.
func (r *recent) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[key] {
		delete(r.seen, key)
		r.order = slices.DeleteFunc(r.order, func(s seen) bool { return s.key == key })
	}
}

// age drops what was seen too long ago; mu is held.
func (r *recent) age() {
	now, n := r.now(), 0
	for n < len(r.order) && now.Sub(r.order[n].at) > r.ttl {
		delete(r.seen, r.order[n].key)
		n++
	}
	r.order = slices.Delete(r.order, 0, n)
}

// beside counts what is done beside the acknowledgements, so that Run can wait
// for it.
type beside struct {
	mu   sync.Mutex
	n    int
	idle *sync.Cond
}

func (b *beside) run(f func()) {
	b.mu.Lock()
	b.n++
	b.mu.Unlock()
	go func() {
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.n--; b.n == 0 {
				b.idle.Broadcast()
			}
		}()
		f()
	}()
}

func (b *beside) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.n > 0 {
		b.idle.Wait()
	}
}
