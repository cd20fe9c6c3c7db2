package slackfake

// personJSON is the user as interactions carry it.
func (s *Server) personJSON(user string) Object {
	u := s.ws.users[user]
	return Object{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID}
}

// interaction is what all payloads of interactions have; mu is held.
func (s *Server) interaction(kind, user string) Object {
	return Object{
		"type": kind, "token": s.opts.VerificationToken, "api_app_id": s.ws.appID, "user": s.personJSON(user),
		"team": Object{"id": s.ws.team.ID, "domain": s.ws.team.Domain}, "enterprise": nil, "is_enterprise_install": false,
	}
}

// payloadName is a conversation's name as payloads give it.
func (ch *Channel) payloadName() string {
	switch {
	case ch.IM:
		return "directmessage"
	case ch.Private:
		return "privategroup"
	}
	return ch.Name
}

// within adds where an element stands; mu is held.
func (s *Server) within(payload Object, m *Message, v *View, user string) {
	if v != nil {
		payload["container"] = Object{"type": "view", "view_id": v.ID}
		payload["view"] = s.viewJSON(v)
		return
	}
	ch := s.ws.channels[m.Channel]
	container := Object{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": m.Ephemeral()}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	payload["container"] = container
	payload["channel"] = Object{"id": m.Channel, "name": ch.payloadName()}
	if !m.Ephemeral() { // of what only one person sees, Slack does not send the content
		payload["message"] = s.messageJSON(m)
	}
}

// actionJSON is a used element as block_actions carries it.
func actionJSON(e Element, value Object, ts string) Object {
	a := Object{"type": e.Type, "action_id": e.ActionID, "block_id": e.BlockID, "action_ts": ts}
	for _, key := range []string{"text", "value", "style", "placeholder", "accessibility_label"} {
		if v, given := e.json[key]; given && (e.Type == "button" || key == "placeholder") {
			a[key] = cloneValue(v)
		}
	}
	for k, v := range value {
		a[k] = cloneValue(v)
	}
	return a
}
