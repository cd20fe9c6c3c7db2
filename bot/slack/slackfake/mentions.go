package slackfake

import (
	"regexp"
	"slices"
	"strings"
)

// Notification is somebody being called by a message.
type Notification struct {
	Kind    string // channel, here, everyone, user, group; im for a message in a person's own conversation
	Target  string // the user or group; empty for the first three
	Message Message
	// Quiet says that the mention is shown but calls nobody: Slack notifies of
	// neither edits nor mentions in what only one person sees.
	Quiet bool
}

var mention = regexp.MustCompile(`<(@|!subteam\^|!)([A-Za-z0-9]+)(?:[|^][^<>]*)?>`)

var bareMention = regexp.MustCompile(`(?:^|[^\w@])@([a-z0-9][a-z0-9._-]*)`)

// mentionsIn are the mentions that Slack makes of a text.
func (w *workspace) mentionsIn(text string, linkNames bool) []Notification {
	var all []Notification
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		switch kind, name := m[1], m[2]; kind {
		case "@":
			if w.users[name] != nil {
				all = append(all, Notification{Kind: "user", Target: name})
			}
		case "!subteam^":
			all = append(all, Notification{Kind: "group", Target: name})
		default:
			if name == "channel" || name == "here" || name == "everyone" {
				all = append(all, Notification{Kind: name})
			}
		}
	}
	if !linkNames {
		return all
	}
	for _, m := range bareMention.FindAllStringSubmatch(text, -1) {
		switch name := m[1]; name {
		case "channel", "here", "everyone":
			all = append(all, Notification{Kind: name})
		default:
			if u := w.userByName(name); u != nil {
				all = append(all, Notification{Kind: "user", Target: u.ID})
			}
			for _, g := range w.groups {
				if g.Handle == name {
					all = append(all, Notification{Kind: "group", Target: g.ID})
				}
			}
		}
	}
	return all
}

// mentions are those of a message: in its text, in the formatted texts of its
// blocks and attachments, in rich text. Plain text makes none.
func (w *workspace) mentions(m *Message, linkNames bool) []Notification {
	all := w.mentionsIn(m.Text, linkNames)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []Object:
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case Object:
			switch str(v, "type") {
			case "plain_text":
				return
			case "mrkdwn", "markdown":
				all = append(all, w.mentionsIn(str(v, "text"), linkNames)...)
				return
			case "user":
				all = append(all, Notification{Kind: "user", Target: str(v, "user_id")})
			case "usergroup":
				all = append(all, Notification{Kind: "group", Target: str(v, "usergroup_id")})
			case "broadcast":
				all = append(all, Notification{Kind: str(v, "range")})
			}
			if _, attachment := v["fallback"]; attachment {
				all = append(all, w.mentionsIn(str(v, "text")+" "+str(v, "pretext"), linkNames)...)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(m.Blocks)
	walk(m.Attachments)
	slices.SortFunc(all, func(a, b Notification) int { return strings.Compare(a.Kind+a.Target, b.Kind+b.Target) })
	return slices.CompactFunc(all, func(a, b Notification) bool { return a.Kind == b.Kind && a.Target == b.Target })
}

// notify records whom a message calls; mu is held.
func (s *Server) notify(m *Message, linkNames, edited bool) {
	found := s.ws.mentions(m, linkNames)
	if ch := s.ws.channels[m.Channel]; ch != nil && ch.IM && !edited && !m.Ephemeral() && m.ThreadTS == "" {
		found = append(found, Notification{Kind: "im", Target: ch.partner(m.User)})
	}
	for _, n := range found {
		n.Message = m.copy()
		n.Quiet = edited || m.Ephemeral()
		s.pings = append(s.pings, n)
	}
	if len(s.pings) >= 2*s.opts.Keep {
		s.pings = slices.Clone(s.pings[len(s.pings)-s.opts.Keep:])
	}
}

// Notifications are whom the app's messages called, in order, as far back as
// the transcript is kept. Mentions that
// are shown but call nobody are Quiet.
func (s *Server) Notifications() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.pings), func(n Notification) bool { return n.Message.BotID == "" })
}
