package slackfake

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// content is what a message says.
type content struct {
	text        string
	hasText     bool
	blocks      []Object
	hasBlocks   bool // blocks were given, perhaps none
	attachments []any
	hasAttached bool
	metadata    Object
}

// content reads text, blocks, attachments and metadata, and refuses what does
// not hold together.
func (c *call) content() (content, *refusal) {
	var in content
	_, in.hasText = c.args["text"]
	in.text = c.str("text")
	v, given, ok := c.json("blocks")
	if given {
		all, isList := v.([]any)
		if !ok || !isList {
			return in, refuse("invalid_blocks_format")
		}
		in.hasBlocks = true
		check := c.s.newChecker(inMessage)
		check.blocks(all, "/blocks")
		if len(check.found) > 0 {
			return in, refuse("invalid_blocks", check.messages()...)
		}
		if c.method != responseURL && utf8.RuneCount(encode(all)) > maxBlocksJSON {
			return in, refuse("msg_blocks_too_long")
		}
		in.blocks = c.s.ws.named(all)
	}
	if v, given, ok = c.json("attachments"); given {
		all, isList := v.([]any)
		if !ok || !isList {
			return in, refuse("invalid_attachments")
		}
		if len(all) > 100 {
			return in, refuse("too_many_attachments")
		}
		in.attachments, in.hasAttached = all, true
		for _, a := range all {
			check := c.s.newChecker(inMessage)
			check.blocks(list(asObject(a), "blocks"), "/blocks")
			if len(check.found) > 0 {
				return in, refuse("invalid_attachments", check.messages()...)
			}
		}
	}
	if v, given, ok = c.json("metadata"); given {
		meta, isObject := v.(Object)
		if !ok || !isObject {
			return in, refuse("invalid_metadata_format")
		}
		if str(meta, "event_type") == "" || obj(meta, "event_payload") == nil {
			return in, refuse("invalid_metadata_schema")
		}
		in.metadata = meta
	}
	return in, nil
}

// named gives blocks and elements the IDs that they lack, as Slack does.
func (w *workspace) named(all []any) []Object {
	blocks := objects(all)
	for _, b := range blocks {
		if str(b, "block_id") == "" {
			b["block_id"] = w.newID("b")
		}
		for _, e := range elementsOf(b) {
			if str(e, "action_id") == "" && str(e, "type") != "image" {
				e["action_id"] = w.newID("a")
			}
		}
	}
	return blocks
}

var timestamp = regexp.MustCompile(`^\d{10}\.\d{6}$`)

// target is the conversation that the bot writes to.
func (c *call) target(public bool) (*Channel, *refusal) {
	w, id := c.s.ws, c.str("channel")
	if id == "" {
		return nil, refuse("channel_not_found")
	}
	if u := w.users[id]; u != nil && public { // a user's ID stands for the conversation with the app
		if problem := w.reachable(u); problem != nil {
			return nil, problem
		}
		return w.im(id, w.botUser), nil
	}
	ch := w.channels[id]
	if ch == nil {
		ch = w.channelByName(strings.TrimPrefix(id, "#"))
	}
	switch {
	case ch == nil, (ch.Private || ch.IM) && !ch.has(w.botUser):
		return nil, refuse("channel_not_found")
	case ch.Archived:
		return nil, refuse("is_archived")
	case !ch.has(w.botUser) && !(public && c.s.has("chat:write.public")):
		return nil, refuse("not_in_channel")
	}
	return ch, nil
}

// reachable refuses people whom the app cannot write to.
func (w *workspace) reachable(u *User) *refusal {
	switch {
	case u.Deleted:
		return refuse("user_disabled")
	case u.IsBot:
		return refuse("cannot_dm_bot")
	}
	return nil
}

func (c *call) postMessage() (Object, *refusal) {
	w := c.s.ws
	ch, problem := c.target(true)
	if problem != nil {
		return nil, problem
	}
	in, problem := c.content()
	if problem != nil {
		return nil, problem
	}
	if in.text == "" && len(in.blocks) == 0 && len(in.attachments) == 0 {
		return nil, refuse("no_text")
	}
	c.cut(&in)
	m := c.s.botMessage(ch.ID, in)
	if problem := c.thread(m); problem != nil {
		return nil, problem
	}
	w.add(m, c.s.clock.Now())
	c.s.posted(m, c.linkNames())
	return Object{"channel": ch.ID, "ts": m.TS, "message": c.s.messageJSON(m)}, nil
}

// cut shortens a text as Slack does, and warns of what a screen reader would
// miss.
func (c *call) cut(in *content) {
	if utf8.RuneCountInString(in.text) > maxPostText {
		in.text = string([]rune(in.text)[:maxPostText])
		c.warnings = append(c.warnings, "message_truncated")
	}
	if in.text == "" {
		c.warnings = append(c.warnings, "missing_text_in_message")
	}
}

// linkNames says that plain @names become mentions.
func (c *call) linkNames() bool { return c.bool("link_names") || c.str("parse") == "full" }

// thread puts a message where thread_ts says. A parent that is gone leaves the
// message outside of any thread; Slack does not refuse it.
func (c *call) thread(m *Message) *refusal {
	ts := c.str("thread_ts")
	if ts == "" {
		return nil
	}
	if !timestamp.MatchString(ts) {
		return refuse("invalid_thread_ts")
	}
	if parent := c.s.ws.message(m.Channel, ts); parent != nil && !parent.Ephemeral() {
		m.ThreadTS = parent.TS
		if parent.ThreadTS != "" {
			m.ThreadTS = parent.ThreadTS
		}
		m.Broadcast = c.bool("reply_broadcast")
	}
	return nil
}

func (s *Server) botMessage(channel string, in content) *Message {
	return &Message{Channel: channel, User: s.ws.botUser, BotID: s.ws.botID, Text: in.text, Blocks: in.blocks, Attachments: in.attachments, Metadata: in.metadata}
}

// posted tells everybody of a new message; mu is held.
func (s *Server) posted(m *Message, linkNames bool) {
	s.notify(m, linkNames, false)
	kind := "message"
	if m.Ephemeral() {
		kind = "ephemeral"
	}
	s.change(Change{Kind: kind, Channel: m.Channel, User: m.EphemeralTo, TS: m.TS})
	if !m.Ephemeral() {
		s.messageEvents(m)
	}
}

func (c *call) postEphemeral() (Object, *refusal) {
	w := c.s.ws
	ch, problem := c.target(false)
	if problem != nil {
		return nil, problem
	}
	user := c.str("user")
	switch u := w.users[user]; {
	case u == nil:
		return nil, refuse("user_not_found")
	case !ch.has(user):
		return nil, refuse("user_not_in_channel")
	}
	in, problem := c.content()
	if problem != nil {
		return nil, problem
	}
	if in.text == "" && len(in.blocks) == 0 && len(in.attachments) == 0 {
		return nil, refuse("no_text")
	}
	c.cut(&in)
	m := c.s.botMessage(ch.ID, in)
	m.EphemeralTo = user
	if problem := c.thread(m); problem != nil {
		return nil, problem
	}
	m.Broadcast = false
	w.add(m, c.s.clock.Now())
	c.s.posted(m, c.linkNames())
	return Object{"message_ts": m.TS}, nil
}

// own finds a message of the app's that it may change; cannot is the code for
// those of others.
func (c *call) own(key, cannot string) (*Message, *refusal) {
	w := c.s.ws
	ch := w.channels[c.str("channel")]
	if ch == nil || (ch.Private || ch.IM) && !ch.has(w.botUser) {
		return nil, refuse("channel_not_found")
	}
	m := w.message(ch.ID, c.str(key))
	if m == nil || m.Ephemeral() {
		return nil, refuse("message_not_found")
	}
	if ch.Archived {
		return nil, refuse("is_archived")
	}
	if m.BotID != w.botID {
		return nil, refuse(cannot)
	}
	return m, nil
}

func (c *call) updateMessage() (Object, *refusal) {
	m, problem := c.own("ts", "cant_update_message")
	if problem != nil {
		return nil, problem
	}
	if utf8.RuneCountInString(c.str("text")) > maxUpdateText {
		return nil, refuse("msg_too_long")
	}
	in, problem := c.content()
	if problem != nil {
		return nil, problem
	}
	if in.text == "" && len(in.blocks) == 0 && len(in.attachments) == 0 {
		return nil, refuse("no_text")
	}
	c.s.edit(m, in, c.linkNames())
	return Object{"channel": m.Channel, "ts": m.TS, "text": m.Text, "message": c.s.messageJSON(m)}, nil
}

// edit replaces what a message says: text without blocks takes the blocks
// away; mu is held.
func (s *Server) edit(m *Message, in content, linkNames bool) {
	before := s.messageJSON(m)
	m.Text = in.text
	m.Blocks = in.blocks
	if in.hasAttached || !in.hasBlocks {
		m.Attachments = in.attachments
	}
	if in.metadata != nil {
		m.Metadata = in.metadata
	}
	now := s.clock.Now()
	m.Edits++
	m.ChangedAt = now
	m.EditedTS = formatTS(now.UnixMicro())
	s.notify(m, linkNames, true)
	kind := "message"
	if m.Ephemeral() {
		kind = "ephemeral"
	}
	s.change(Change{Kind: kind, Channel: m.Channel, User: m.EphemeralTo, TS: m.TS})
	if !m.Ephemeral() {
		s.changedEvents(m, before)
	}
}

func (c *call) deleteMessage() (Object, *refusal) {
	m, problem := c.own("ts", "cant_delete_message")
	if problem != nil {
		return nil, problem
	}
	c.s.deleteMessage(m)
	return Object{"channel": m.Channel, "ts": m.TS}, nil
}

func (s *Server) deleteMessage(m *Message) {
	s.ws.remove(m, s.clock.Now())
	kind := "message"
	if m.Ephemeral() {
		kind = "ephemeral"
	}
	s.change(Change{Kind: kind, Channel: m.Channel, User: m.EphemeralTo, TS: m.TS})
}

func (c *call) permalink() (Object, *refusal) {
	w := c.s.ws
	ch := w.channels[c.str("channel")]
	if ch == nil || (ch.Private || ch.IM) && !ch.has(w.botUser) {
		return nil, refuse("channel_not_found")
	}
	m := w.message(ch.ID, c.str("message_ts"))
	if m == nil || m.Ephemeral() {
		return nil, refuse("message_not_found")
	}
	return Object{"channel": ch.ID, "permalink": c.s.permalinkOf(m)}, nil
}

func (s *Server) permalinkOf(m *Message) string {
	link := s.URL() + "/archives/" + m.Channel + "/p" + strings.ReplaceAll(m.TS, ".", "")
	if m.ThreadTS != "" {
		link += "?thread_ts=" + m.ThreadTS + "&cid=" + m.Channel
	}
	return link
}

func (c *call) reaction() (*Message, string, *refusal) {
	m := c.s.ws.message(c.str("channel"), c.str("timestamp"))
	name := c.str("name")
	switch {
	case m == nil:
		return nil, "", refuse("message_not_found")
	case name == "":
		return nil, "", refuse("invalid_name")
	}
	return m, name, nil
}

func (c *call) addReaction() (Object, *refusal) {
	m, name, problem := c.reaction()
	if problem != nil {
		return nil, problem
	}
	if slices.Contains(m.Reactions[name], c.s.ws.botUser) {
		return nil, refuse("already_reacted")
	}
	if m.Reactions == nil {
		m.Reactions = map[string][]string{}
	}
	m.Reactions[name] = append(m.Reactions[name], c.s.ws.botUser)
	c.s.change(Change{Kind: "message", Channel: m.Channel, TS: m.TS})
	return nil, nil
}

func (c *call) removeReaction() (Object, *refusal) {
	m, name, problem := c.reaction()
	if problem != nil {
		return nil, problem
	}
	i := slices.Index(m.Reactions[name], c.s.ws.botUser)
	if i < 0 {
		return nil, refuse("no_reaction")
	}
	m.Reactions[name] = slices.Delete(slices.Clone(m.Reactions[name]), i, i+1)
	c.s.change(Change{Kind: "message", Channel: m.Channel, TS: m.TS})
	return nil, nil
}

// messageJSON is a message as the API gives it.
func (s *Server) messageJSON(m *Message) Object {
	o := Object{"type": "message", "user": m.User, "ts": m.TS, "text": m.Text, "team": s.ws.team.ID}
	if m.BotID != "" {
		o["bot_id"] = m.BotID
		o["app_id"] = s.ws.appID
		o["bot_profile"] = Object{"id": m.BotID, "app_id": s.ws.appID, "name": s.ws.appName, "team_id": s.ws.team.ID, "deleted": false}
	}
	if m.Blocks != nil {
		o["blocks"] = clone(m.Blocks)
	}
	if m.Attachments != nil {
		o["attachments"] = clone(m.Attachments)
	}
	if m.Metadata != nil {
		o["metadata"] = clone(m.Metadata)
	}
	if m.ThreadTS != "" {
		o["thread_ts"] = m.ThreadTS
		if parent := s.ws.message(m.Channel, m.ThreadTS); parent != nil {
			o["parent_user_id"] = parent.User
		}
		if m.Broadcast {
			o["subtype"] = "thread_broadcast"
		}
	} else if replies := s.ws.replies(m); len(replies) > 0 {
		users := []string{}
		for _, r := range replies {
			if !slices.Contains(users, r.User) {
				users = append(users, r.User)
			}
		}
		o["thread_ts"] = m.TS
		o["reply_count"] = len(replies)
		o["reply_users"] = users
		o["reply_users_count"] = len(users)
		o["latest_reply"] = replies[len(replies)-1].TS
	}
	if m.EditedTS != "" {
		o["edited"] = Object{"user": m.User, "ts": m.EditedTS}
	}
	if len(m.Files) > 0 {
		var files []any
		for _, f := range m.Files {
			files = append(files, s.fileJSON(&f))
		}
		o["files"] = files
	}
	return o
}

// replies are a message's replies.
func (w *workspace) replies(m *Message) []*Message {
	var all []*Message
	for _, r := range w.messages[m.Channel] {
		if r.ThreadTS == m.TS && r.TS != m.TS {
			all = append(all, r)
		}
	}
	return all
}
