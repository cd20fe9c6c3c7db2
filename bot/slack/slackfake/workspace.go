package slackfake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// BotUser stands for the app's own user in Options.Channels' members; the real
// ID, Options.BotUserID, does as well.
const BotUser = "@bot"

// slackbot is the user under whose name Slack itself speaks.
const slackbot = "USLACKBOT"

// Team is the workspace.
type Team struct {
	ID, Name, Domain string
}

// User is an account.
type User struct {
	ID       string
	TeamID   string // of another workspace for people of shared channels; by default the workspace's
	Name     string // the handle
	RealName string
	Email    string
	TZ       string
	TZOffset int // seconds east of UTC

	Deleted           bool // deactivated
	IsBot             bool
	IsAdmin           bool
	IsRestricted      bool // a guest of several channels
	IsUltraRestricted bool // a guest of one channel
	IsStranger        bool // of another workspace, seen through a shared channel
}

// UserGroup is a named set of people.
type UserGroup struct {
	ID, Handle, Name string
	Users            []string
	Disabled         bool
}

// Channel is a conversation: public, private, or a direct message (IM) of two.
type Channel struct {
	ID       string
	Name     string
	Members  []string
	Private  bool
	IM       bool
	Archived bool
	Shared   bool // with another workspace
}

// Command is a slash command of the app's manifest.
type Command struct {
	Name         string // with the slash
	Description  string
	UsageHint    string
	ShouldEscape bool
}

// File is an uploaded file. It is visible where a message shares it.
type File struct {
	ID, Name, Title, URL string
	Content              []byte
	Complete             bool

	length int // announced
}

// Message is a message as it stands now.
type Message struct {
	Channel  string
	TS       string
	ThreadTS string // the thread's first message, if this one is in a thread
	User     string // who wrote it
	BotID    string // set when an app wrote it
	Text     string
	Blocks   []Object
	Files    []File
	Metadata Object

	Attachments []any

	Broadcast   bool   // a reply shown in the channel as well
	EphemeralTo string // the one person who sees it; empty for messages that stay
	Edits       int    // how often it was changed
	EditedTS    string
	Deleted     bool

	// Via is the delivery whose response_url brought it.
	Via string
	// At is when it was posted, ChangedAt when it last changed.
	At, ChangedAt time.Time
	Reactions     map[string][]string // name to users

	states map[string]map[string]map[string]Object // what each person chose
}

// Ephemeral says that only one person sees the message.
func (m Message) Ephemeral() bool { return m.EphemeralTo != "" }

func (m *Message) copy() Message {
	c := *m
	c.Blocks = clone(m.Blocks)
	c.Attachments = clone(m.Attachments)
	c.Metadata = clone(m.Metadata)
	c.Files = slices.Clone(m.Files)
	c.Reactions = maps.Clone(m.Reactions)
	c.states = nil
	return c
}

// View is a modal or somebody's Home as it stands now.
type View struct {
	ID, Type, Hash         string
	User                   string
	Title, Submit, Close   string
	CallbackID, ExternalID string
	PrivateMetadata        string
	Blocks                 []Object
	NotifyOnClose          bool
	ClearOnClose           bool
	RootID, PreviousID     string
	Errors                 map[string]string // by block_id, as shown at the fields
	Updates                int
	state                  map[string]map[string]Object
	definition             Object
	seenOptions            map[string][]Object // last suggestions by action_id
}

func (v *View) copy() View {
	c := *v
	c.Blocks = clone(v.Blocks)
	c.Errors = maps.Clone(v.Errors)
	c.definition = clone(v.definition)
	c.state = map[string]map[string]Object{}
	for block, actions := range v.state {
		c.state[block] = map[string]Object{}
		for action, value := range actions {
			c.state[block][action] = clone(value)
		}
	}
	c.seenOptions = maps.Clone(v.seenOptions)
	return c
}

// workspace is all that there is; Server.mu guards it.
type workspace struct {
	team      Team
	botUser   string
	botID     string
	appID     string
	appName   string
	users     map[string]*User
	groups    map[string]*UserGroup
	channels  map[string]*Channel
	messages  map[string][]*Message // by channel, in order of ts; no ephemeral ones
	byTS      map[string]*Message   // channel/ts, ephemeral ones as well
	ephemeral map[string][]*Message // by user
	files     map[string]*File
	modals    map[string][]*View // by user; the last is on top
	homes     map[string]*View
	views     map[string]*View
	external  map[string]string // external_id to view ID

	lastTS int64 // microseconds
	serial int
}

func newWorkspace(o Options) (*workspace, error) {
	w := &workspace{
		team: o.Team, botUser: o.BotUserID, botID: o.BotID, appID: o.AppID, appName: o.AppName,
		users: map[string]*User{}, groups: map[string]*UserGroup{}, channels: map[string]*Channel{},
		messages: map[string][]*Message{}, byTS: map[string]*Message{}, ephemeral: map[string][]*Message{},
		files: map[string]*File{}, modals: map[string][]*View{}, homes: map[string]*View{}, views: map[string]*View{},
		external: map[string]string{},
	}
	w.users[w.botUser] = &User{ID: w.botUser, TeamID: w.team.ID, Name: strings.ToLower(o.AppName), RealName: o.AppName, IsBot: true}
	w.users[slackbot] = &User{ID: slackbot, TeamID: w.team.ID, Name: "slackbot", RealName: "Slackbot"}
	for _, u := range o.Users {
		if err := w.addUser(u); err != nil {
			return nil, err
		}
	}
	for _, c := range o.Channels {
		if err := w.addChannel(c); err != nil {
			return nil, err
		}
	}
	for _, g := range o.Groups {
		if err := w.addGroup(g); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *workspace) addUser(u User) error {
	if u.ID == "" || u.Name == "" {
		return fmt.Errorf("slackfake: a user needs an ID and a name: %+v", u)
	}
	u.TeamID = cmp.Or(u.TeamID, w.team.ID)
	u.RealName = cmp.Or(u.RealName, u.Name)
	u.TZ = cmp.Or(u.TZ, "Europe/Amsterdam")
	w.users[u.ID] = &u
	return nil
}

func (w *workspace) addGroup(g UserGroup) error {
	if g.ID == "" || g.Handle == "" {
		return fmt.Errorf("slackfake: a user group needs an ID and a handle: %+v", g)
	}
	g.Name = cmp.Or(g.Name, g.Handle)
	g.Users = slices.Clone(g.Users)
	w.groups[g.ID] = &g
	return nil
}

func (w *workspace) addChannel(c Channel) error {
	if c.ID == "" || c.Name == "" && !c.IM {
		return fmt.Errorf("slackfake: a channel needs an ID and a name: %+v", c)
	}
	c.Members = slices.Clone(c.Members)
	for i, m := range c.Members {
		if m == BotUser {
			c.Members[i] = w.botUser
		}
		if w.users[c.Members[i]] == nil {
			return fmt.Errorf("slackfake: channel %s has a member %s who does not exist", c.ID, m)
		}
	}
	w.channels[c.ID] = &c
	return nil
}

// newID makes an ID as Slack's look.
func (w *workspace) newID(prefix string) string {
	w.serial++
	return fmt.Sprintf("%s0FAKE%05X", prefix, w.serial)
}

// newTS makes a message's identity, which is also its time: no two are alike.
func (w *workspace) newTS(now time.Time) string {
	w.lastTS = max(w.lastTS+1, now.UnixMicro())
	return formatTS(w.lastTS)
}

func formatTS(micro int64) string { return fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6) }

// im is the conversation of two people, made when it is first needed.
func (w *workspace) im(a, b string) *Channel {
	for _, c := range w.channels {
		if c.IM && slices.Contains(c.Members, a) && slices.Contains(c.Members, b) {
			return c
		}
	}
	c := &Channel{ID: w.newID("D"), IM: true, Members: []string{a, b}}
	w.channels[c.ID] = c
	return c
}

// partner is the other one in a direct message.
func (c *Channel) partner(of string) string {
	for _, m := range c.Members {
		if m != of {
			return m
		}
	}
	return of
}

func (c *Channel) has(user string) bool { return slices.Contains(c.Members, user) }

func (w *workspace) message(channel, ts string) *Message { return w.byTS[channel+"/"+ts] }

// add stores a message under a new ts.
func (w *workspace) add(m *Message, now time.Time) {
	m.TS = w.newTS(now)
	m.At, m.ChangedAt = now, now
	w.byTS[m.Channel+"/"+m.TS] = m
	if m.EphemeralTo != "" {
		w.ephemeral[m.EphemeralTo] = append(w.ephemeral[m.EphemeralTo], m)
		return
	}
	w.messages[m.Channel] = append(w.messages[m.Channel], m)
}

func (w *workspace) remove(m *Message, now time.Time) {
	m.Deleted, m.ChangedAt = true, now
	delete(w.byTS, m.Channel+"/"+m.TS)
	gone := func(o *Message) bool { return o == m }
	if m.EphemeralTo != "" {
		w.ephemeral[m.EphemeralTo] = slices.DeleteFunc(w.ephemeral[m.EphemeralTo], gone)
		return
	}
	w.messages[m.Channel] = slices.DeleteFunc(w.messages[m.Channel], gone)
}

// thread is a thread's first message and its replies, in order.
func (w *workspace) thread(channel, ts string) []*Message {
	var all []*Message
	for _, m := range w.messages[channel] {
		if m.TS == ts || m.ThreadTS == ts {
			all = append(all, m)
		}
	}
	return all
}

func (w *workspace) userByName(name string) *User {
	for _, u := range w.users {
		if strings.EqualFold(u.Name, name) {
			return u
		}
	}
	return nil
}

func (w *workspace) channelByName(name string) *Channel {
	for _, c := range w.channels {
		if !c.IM && strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}
