package slackfake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultScopes are the bot token's scopes unless Options says otherwise.
var DefaultScopes = []string{
	"commands", "chat:write", "chat:write.public", "app_mentions:read",
	"im:history", "im:write", "im:read", "channels:read", "groups:read", "channels:history", "groups:history",
	"users:read", "users:read.email", "usergroups:read", "files:write",
}

// Options describe a workspace and the app in it. The zero value is a
// workspace with nobody in it, listening on a free port of this machine.
type Options struct {
	Clock  Clock  // the machine's by default
	Listen string // host:port; by default a free port of 127.0.0.1

	Team     Team
	Users    []User
	Groups   []UserGroup
	Channels []Channel

	// The app, as its manifest has it.
	AppID, AppName   string
	BotUserID, BotID string
	Commands         []Command // by default /env and /server
	Events           []string  // bot_events; by default app_mention, app_home_opened and message.im
	Scopes           []string  // of the bot token; by default DefaultScopes

	BotToken, AppToken string
	SigningSecret      string
	VerificationToken  string

	// RequestURL puts the app in HTTP mode: deliveries go to /slack/commands,
	// /slack/interactions and /slack/events below it. Empty is Socket Mode.
	RequestURL string

	// Limits replace rates by method; see Limit. Unlimited takes all away.
	Limits    map[string]Limit
	Unlimited bool

	// NewerBlocks are block types that this workspace accepts besides the
	// established ones: task_card, plan, card.
	NewerBlocks []string

	// PingInterval is how often each socket is pinged, by the machine's clock;
	// by default every 5 s. Slack stays below 30 s.
	PingInterval time.Duration
	// ConnectionLife is after how long a socket is told to refresh, by Clock;
	// by default four hours.
	ConnectionLife time.Duration

	// Keep bounds the transcript; by default the last 50,000 entries stay.
	Keep int
	// Seed makes the routing between sockets repeatable when it is not zero.
	Seed uint64
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	o.Team.ID = cmp.Or(o.Team.ID, "T0BERTH")
	o.Team.Domain = cmp.Or(o.Team.Domain, "demo")
	o.Team.Name = cmp.Or(o.Team.Name, "Demo")
	o.AppID = cmp.Or(o.AppID, "A0BERTH")
	o.AppName = cmp.Or(o.AppName, "Berth")
	o.BotUserID = cmp.Or(o.BotUserID, "U0BERTHBOT")
	o.BotID = cmp.Or(o.BotID, "B0BERTH")
	o.BotToken = cmp.Or(o.BotToken, "xoxb-fake-bot-token")
	o.AppToken = cmp.Or(o.AppToken, "xapp-fake-app-token")
	o.SigningSecret = cmp.Or(o.SigningSecret, "fake-signing-secret")
	o.VerificationToken = cmp.Or(o.VerificationToken, "fake-verification-token")
	if o.Commands == nil {
		o.Commands = []Command{
			{Name: "/env", Description: "Environments of your branches", UsageHint: "create NAME app=branch…", ShouldEscape: true},
			{Name: "/server", Description: "Servers of your branches", UsageHint: "create APP BRANCH", ShouldEscape: true},
		}
	}
	if o.Events == nil {
		o.Events = []string{"app_mention", "app_home_opened", "message.im"}
	}
	if o.Scopes == nil {
		o.Scopes = DefaultScopes
	}
	o.PingInterval = cmp.Or(o.PingInterval, 5*time.Second)
	o.ConnectionLife = cmp.Or(o.ConnectionLife, 4*time.Hour)
	o.Keep = cmp.Or(o.Keep, 50_000)
	return o
}

// Server is the stand-in. Its methods can be used from any goroutine.
type Server struct {
	opts  Options
	clock Clock
	addr  string
	mux   *http.ServeMux

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	listening sync.Mutex // guards http
	http      *http.Server

	mu         sync.Mutex
	ws         *workspace
	rand       *rand.Rand
	scopes     []string
	botState   string // error that the bot token meets, if any
	appState   string
	requestURL string
	triggers   map[string]*trigger
	hooks      map[string]*hook // response URLs
	uploads    map[string]*File
	pending    map[string]*delivery // awaiting an acknowledgement, by envelope
	deliveries map[string]*delivery // all, by ID, for what people see of them
	sockets    []*socket
	tickets    map[string]bool
	socketOff  bool
	rates      rates
	faults     faults
	log        transcript
	signal     chan struct{} // closed and replaced on every change
	subs       map[*Subscription]bool
	pings      []Notification
}

// New starts a stand-in.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	ws, err := newWorkspace(o)
	if err != nil {
		return nil, err
	}
	seed := o.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := &Server{
		opts: o, clock: o.Clock, ws: ws, mux: http.NewServeMux(),
		rand:   rand.New(rand.NewPCG(seed, 1)),
		scopes: slices.Clone(o.Scopes), requestURL: strings.TrimSuffix(o.RequestURL, "/"),
		triggers: map[string]*trigger{}, hooks: map[string]*hook{}, uploads: map[string]*File{},
		pending: map[string]*delivery{}, deliveries: map[string]*delivery{}, tickets: map[string]bool{},
		rates: newRates(o), log: newTranscript(o.Keep), signal: make(chan struct{}), subs: map[*Subscription]bool{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.routes()
	if err := s.listen(o.Listen); err != nil {
		return nil, fmt.Errorf("slackfake: %w", err)
	}
	return s, nil
}

func (s *Server) routes() {
	s.mux.HandleFunc("/api/{method}", s.faulty(s.serveAPI))
	s.mux.HandleFunc("POST /hooks/{kind}/{token}", s.faulty(s.serveHook))
	s.mux.HandleFunc("POST /upload/v1/{token}", s.faulty(s.serveUpload))
	s.mux.HandleFunc("GET /files-pri/{id}/{name}", s.serveFile)
	s.mux.HandleFunc("GET /link/", s.faulty(s.serveSocket))
}

// listen starts serving; it is used again when an outage ends.
func (s *Server) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.listening.Lock()
	defer s.listening.Unlock()
	if s.addr == "" {
		s.addr = l.Addr().String()
	}
	server := &http.Server{Handler: s.mux, BaseContext: func(net.Listener) context.Context { return s.ctx }, ReadHeaderTimeout: 10 * time.Second}
	s.http = server
	s.work.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("slackfake: %v", err))
		}
	})
	return nil
}

// Close ends all connections and waits for what still runs.
func (s *Server) Close() {
	s.stop()
	s.listening.Lock()
	_ = s.http.Close()
	s.listening.Unlock()
	s.DropConnections()
	s.mu.Lock()
	for sub := range s.subs {
		sub.end()
	}
	for _, d := range s.deliveries {
		d.finish()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// URL is the stand-in's own address, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.addr }

// APIURL is what a client takes as the API's address.
func (s *Server) APIURL() string { return s.URL() + "/api/" }

// Handle adds a page of the caller's own to the stand-in's address.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// BotToken is the token of the bot (xoxb).
func (s *Server) BotToken() string { return s.opts.BotToken }

// AppToken is the app-level token (xapp), which opens sockets.
func (s *Server) AppToken() string { return s.opts.AppToken }

// SigningSecret signs the requests of HTTP mode.
func (s *Server) SigningSecret() string { return s.opts.SigningSecret }

// BotUserID is the app's own user.
func (s *Server) BotUserID() string { return s.opts.BotUserID }

// Commands are the app's slash commands.
func (s *Server) Commands() []Command { return slices.Clone(s.opts.Commands) }

// SetRequestURL moves the app to HTTP mode at that address, or with an empty
// one to Socket Mode.
func (s *Server) SetRequestURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requestURL = strings.TrimSuffix(base, "/")
}

// SetScopes changes what the bot token may do.
func (s *Server) SetScopes(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scopes = slices.Clone(scopes)
}

// SetBotToken says which error the bot token meets: token_revoked,
// account_inactive, invalid_auth, or none with "".
func (s *Server) SetBotToken(problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.botState = problem
}

// SetAppToken says the same of the app-level token.
func (s *Server) SetAppToken(problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appState = problem
}

// AddUser adds an account, or replaces the one with that ID.
func (s *Server) AddUser(u User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.change(Change{Kind: "user", User: u.ID})
	return s.ws.addUser(u)
}

// AddGroup adds a user group, or replaces the one with that ID.
func (s *Server) AddGroup(g UserGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws.addGroup(g)
}

// AddChannel adds a conversation, or replaces the one with that ID.
func (s *Server) AddChannel(c Channel) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.change(Change{Kind: "channel", Channel: c.ID})
	return s.ws.addChannel(c)
}

// Join makes a user (or BotUser) a member of a channel.
func (s *Server) Join(channel, user string) error {
	return s.changeMembers(channel, user, func(c *Channel, user string) {
		if !c.has(user) {
			c.Members = append(c.Members, user)
		}
	})
}

// Leave ends a membership.
func (s *Server) Leave(channel, user string) error {
	return s.changeMembers(channel, user, func(c *Channel, user string) {
		c.Members = slices.DeleteFunc(c.Members, func(m string) bool { return m == user })
	})
}

func (s *Server) changeMembers(channel, user string, f func(*Channel, string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user == BotUser {
		user = s.ws.botUser
	}
	c := s.ws.channels[channel]
	if c == nil || s.ws.users[user] == nil {
		return fmt.Errorf("slackfake: no channel %s or no user %s", channel, user)
	}
	f(c, user)
	s.change(Change{Kind: "channel", Channel: channel, User: user})
	return nil
}

// Archive closes a channel for new messages.
func (s *Server) Archive(channel string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.ws.channels[channel]
	if c == nil {
		return fmt.Errorf("slackfake: no channel %s", channel)
	}
	c.Archived = true
	s.change(Change{Kind: "channel", Channel: channel})
	return nil
}

// background runs f until it is done; Close waits for it.
func (s *Server) background(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backgroundLocked(f)
}

// backgroundLocked is background for those who hold mu. After Close nothing
// new starts.
func (s *Server) backgroundLocked(f func()) {
	if s.ctx.Err() == nil {
		s.work.Go(f)
	}
}
