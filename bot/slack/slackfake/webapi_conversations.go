package slackfake

import (
	"slices"
	"strings"
)

// scopeFor is the scope that a conversation's kind needs.
func (ch *Channel) scopeFor(right string) string {
	switch {
	case ch.IM:
		return "im:" + right
	case ch.Private:
		return "groups:" + right
	}
	return "channels:" + right
}

// visible finds a conversation that the bot may see.
func (c *call) visible(right string) (*Channel, *refusal) {
	w := c.s.ws
	ch := w.channels[c.str("channel")]
	if ch == nil || (ch.Private || ch.IM) && !ch.has(w.botUser) {
		return nil, refuse("channel_not_found")
	}
	if problem := c.s.needs(ch.scopeFor(right)); problem != nil {
		return nil, problem
	}
	return ch, nil
}

func (s *Server) channelJSON(ch *Channel) Object {
	w := s.ws
	o := Object{
		"id": ch.ID, "created": 1700000000, "updated": 1700000000000, "creator": slackbot, "context_team_id": w.team.ID,
		"is_channel": !ch.Private && !ch.IM, "is_group": ch.Private, "is_im": ch.IM, "is_mpim": false, "is_private": ch.Private || ch.IM,
		"is_archived": ch.Archived, "is_general": false, "is_shared": ch.Shared, "is_ext_shared": ch.Shared, "is_org_shared": false,
		"shared_team_ids": []any{w.team.ID},
	}
	if ch.IM {
		partner := ch.partner(w.botUser)
		o["user"] = partner
		o["is_open"] = true
		o["is_user_deleted"] = w.users[partner] != nil && w.users[partner].Deleted
		return o
	}
	o["name"], o["name_normalized"] = ch.Name, ch.Name
	o["is_member"] = ch.has(w.botUser)
	o["num_members"] = len(ch.Members)
	o["topic"] = Object{"value": "", "creator": "", "last_set": 0}
	o["purpose"] = Object{"value": "", "creator": "", "last_set": 0}
	return o
}

func (c *call) openConversation() (Object, *refusal) {
	w := c.s.ws
	var ch *Channel
	if id := c.str("channel"); id != "" {
		if ch = w.channels[id]; ch == nil || !ch.IM || !ch.has(w.botUser) {
			return nil, refuse("channel_not_found")
		}
	} else {
		users := strings.Split(c.str("users"), ",")
		switch {
		case users[0] == "":
			return nil, refuse("users_list_not_supplied")
		case len(users) > 1:
			return nil, refuse("not_enough_users", "[ERROR] this workspace has no conversations of several people")
		}
		u := w.users[users[0]]
		if u == nil {
			return nil, refuse("user_not_found")
		}
		if problem := w.reachable(u); problem != nil {
			return nil, problem
		}
		if problem := c.s.needs("im:write"); problem != nil {
			return nil, problem
		}
		ch = w.im(u.ID, w.botUser)
	}
	if c.bool("return_im") {
		return Object{"channel": c.s.channelJSON(ch), "no_op": true, "already_open": true}, nil
	}
	return Object{"channel": Object{"id": ch.ID}, "no_op": true, "already_open": true}, nil
}

func (c *call) conversationInfo() (Object, *refusal) {
	ch, problem := c.visible("read")
	if problem != nil {
		return nil, problem
	}
	return Object{"channel": c.s.channelJSON(ch)}, nil
}

func (c *call) conversationList() (Object, *refusal) {
	types := strings.Split(c.str("types"), ",")
	if types[0] == "" {
		types = []string{"public_channel"}
	}
	kinds := map[string]string{"public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read"}
	for _, t := range types {
		scope, known := kinds[strings.TrimSpace(t)]
		if !known {
			return nil, refuse("invalid_types")
		}
		if problem := c.s.needs(scope); problem != nil {
			return nil, problem
		}
	}
	var all []*Channel
	for _, ch := range c.s.ws.channels {
		kind := "public_channel"
		switch {
		case ch.IM:
			kind = "im"
		case ch.Private:
			kind = "private_channel"
		}
		if !slices.Contains(types, kind) || kind != "public_channel" && !ch.has(c.s.ws.botUser) || ch.Archived && c.bool("exclude_archived") {
			continue
		}
		all = append(all, ch)
	}
	slices.SortFunc(all, func(a, b *Channel) int { return strings.Compare(a.ID, b.ID) })
	part, next, problem := page(c, all, 100)
	if problem != nil {
		return nil, problem
	}
	out := []any{}
	for _, ch := range part {
		out = append(out, c.s.channelJSON(ch))
	}
	return Object{"channels": out, "response_metadata": cursor(next)}, nil
}

func (c *call) conversationMembers() (Object, *refusal) {
	ch, problem := c.visible("read")
	if problem != nil {
		return nil, problem
	}
	part, next, problem := page(c, ch.Members, 100)
	if problem != nil {
		return nil, problem
	}
	return Object{"members": slices.Clone(part), "response_metadata": cursor(next)}, nil
}

// readable finds a conversation whose messages the bot may read.
func (c *call) readable() (*Channel, *refusal) {
	ch, problem := c.visible("history")
	if problem == nil && !ch.has(c.s.ws.botUser) {
		return nil, refuse("not_in_channel")
	}
	return ch, problem
}

// between keeps the messages that oldest and latest allow.
func (c *call) between(all []*Message) []*Message {
	oldest, latest, inclusive := c.str("oldest"), c.str("latest"), c.bool("inclusive")
	return slices.DeleteFunc(slices.Clone(all), func(m *Message) bool {
		return oldest != "" && (m.TS < oldest || m.TS == oldest && !inclusive) ||
			latest != "" && (m.TS > latest || m.TS == latest && !inclusive)
	})
}

// messagesJSON are messages without the metadata that was not asked for.
func (c *call) messagesJSON(all []*Message) []any {
	out := []any{}
	for _, m := range all {
		o := c.s.messageJSON(m)
		if !c.bool("include_all_metadata") {
			delete(o, "metadata")
		}
		out = append(out, o)
	}
	return out
}

func (c *call) conversationHistory() (Object, *refusal) {
	ch, problem := c.readable()
	if problem != nil {
		return nil, problem
	}
	all := c.between(slices.DeleteFunc(slices.Clone(c.s.ws.messages[ch.ID]), func(m *Message) bool { return m.ThreadTS != "" && !m.Broadcast }))
	slices.Reverse(all) // the newest first
	part, next, problem := page(c, all, 100)
	if problem != nil {
		return nil, problem
	}
	return Object{"messages": c.messagesJSON(part), "has_more": next != "", "pin_count": 0, "response_metadata": cursor(next)}, nil
}

func (c *call) conversationReplies() (Object, *refusal) {
	ch, problem := c.readable()
	if problem != nil {
		return nil, problem
	}
	m := c.s.ws.message(ch.ID, c.str("ts"))
	if m == nil || m.Ephemeral() {
		return nil, refuse("thread_not_found")
	}
	ts := m.TS
	if m.ThreadTS != "" {
		ts = m.ThreadTS
	}
	all := c.between(c.s.ws.thread(ch.ID, ts))
	part, next, problem := page(c, all, 1000)
	if problem != nil {
		return nil, problem
	}
	return Object{"messages": c.messagesJSON(part), "has_more": next != "", "response_metadata": cursor(next)}, nil
}
