package slackfake

import (
	"slices"
	"strings"
)

// eventScopes are what the app must be allowed to get an event.
var eventScopes = map[string]string{
	"app_mention": "app_mentions:read", "message.im": "im:history", "message.channels": "channels:history", "message.groups": "groups:history",
}

// event sends an event if the app has subscribed to it; mu is held.
func (s *Server) event(subscription string, inner Object, shared bool) *delivery {
	if !slices.Contains(s.opts.Events, subscription) {
		return nil
	}
	if scope, needed := eventScopes[subscription]; needed && !s.has(scope) {
		return nil
	}
	s.ws.serial++
	d := &delivery{kind: eventsAPI, payload: Object{
		"token": s.opts.VerificationToken, "team_id": s.ws.team.ID, "context_team_id": s.ws.team.ID, "context_enterprise_id": nil,
		"api_app_id": s.ws.appID, "event": inner, "type": "event_callback", "event_id": s.ws.newID("Ev"), "event_time": s.clock.Now().Unix(),
		"authorizations": []any{Object{
			"enterprise_id": nil, "team_id": s.ws.team.ID, "user_id": s.ws.botUser, "is_bot": true, "is_enterprise_install": false,
		}},
		"is_ext_shared_channel": shared, "event_context": s.secret("4-"),
	}}
	s.send(d)
	return d
}

func (ch *Channel) subscription() string {
	switch {
	case ch.IM:
		return "message.im"
	case ch.Private:
		return "message.groups"
	}
	return "message.channels"
}

func (ch *Channel) kind() string {
	switch {
	case ch.IM:
		return "im"
	case ch.Private:
		return "group"
	}
	return "channel"
}

// messageEvents tells the app of a new message where it is a member: of its
// own as well; mu is held.
func (s *Server) messageEvents(m *Message) []*delivery {
	ch := s.ws.channels[m.Channel]
	if !ch.has(s.ws.botUser) {
		return nil
	}
	inner := s.messageJSON(m)
	for _, key := range []string{"reply_count", "reply_users", "reply_users_count", "latest_reply", "metadata"} {
		delete(inner, key)
	}
	inner["channel"], inner["channel_type"], inner["event_ts"] = ch.ID, ch.kind(), m.TS
	if m.BotID == "" {
		inner["client_msg_id"] = s.secret("")
	}
	if u := s.ws.users[m.User]; u != nil && u.TeamID != s.ws.team.ID {
		inner["team"], inner["user_team"], inner["source_team"] = u.TeamID, u.TeamID, u.TeamID
	}
	var sent []*delivery
	if d := s.event(ch.subscription(), inner, ch.Shared); d != nil {
		sent = append(sent, d)
	}
	if !ch.IM && m.BotID == "" && strings.Contains(m.Text, "<@"+s.ws.botUser+">") {
		mention := clone(inner)
		mention["type"] = "app_mention"
		delete(mention, "channel_type")
		if d := s.event("app_mention", mention, ch.Shared); d != nil {
			sent = append(sent, d)
		}
	}
	return sent
}

// changedEvents tells the app of an edit; mu is held.
func (s *Server) changedEvents(m *Message, before Object) {
	ch := s.ws.channels[m.Channel]
	if !ch.has(s.ws.botUser) {
		return
	}
	s.event(ch.subscription(), Object{
		"type": "message", "subtype": "message_changed", "channel": ch.ID, "channel_type": ch.kind(), "hidden": true,
		"ts": m.EditedTS, "event_ts": m.EditedTS, "message": s.messageJSON(m), "previous_message": before,
	}, ch.Shared)
}
