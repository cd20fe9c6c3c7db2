package slackfake

import (
	"maps"
	"slices"
	"strings"
)

// userJSON is an account as the API gives it: the address only with the scope
// for it, and never of strangers.
func (s *Server) userJSON(u *User) Object {
	profile := Object{
		"real_name": u.RealName, "real_name_normalized": u.RealName, "display_name": u.Name, "display_name_normalized": u.Name,
		"team": u.TeamID, "title": "", "status_text": "", "status_emoji": "", "avatar_hash": "fake",
	}
	if u.Email != "" && s.has("users:read.email") && !u.IsStranger {
		profile["email"] = u.Email
	}
	o := Object{
		"id": u.ID, "team_id": u.TeamID, "name": u.Name, "deleted": u.Deleted, "profile": profile, "is_bot": u.IsBot,
		"is_app_user": false, "updated": 1700000000,
	}
	if u.Deleted {
		return o
	}
	o["real_name"], o["tz"], o["tz_label"], o["tz_offset"] = u.RealName, u.TZ, u.TZ, u.TZOffset
	o["is_admin"], o["is_owner"], o["is_primary_owner"] = u.IsAdmin, false, false
	o["is_restricted"], o["is_ultra_restricted"] = u.IsRestricted, u.IsUltraRestricted
	o["is_email_confirmed"] = u.Email != ""
	if u.IsStranger {
		o["is_stranger"] = true
	}
	if u.ID == s.ws.botUser {
		profile["api_app_id"], profile["bot_id"] = s.ws.appID, s.ws.botID
	}
	return o
}

func (c *call) userInfo() (Object, *refusal) {
	u := c.s.ws.users[c.str("user")]
	if u == nil {
		return nil, refuse("user_not_found")
	}
	return Object{"user": c.s.userJSON(u)}, nil
}

func (c *call) userByEmail() (Object, *refusal) {
	email := c.str("email")
	for _, id := range slices.Sorted(maps.Keys(c.s.ws.users)) {
		u := c.s.ws.users[id]
		if email != "" && strings.EqualFold(u.Email, email) && !u.Deleted && !u.IsStranger {
			return Object{"user": c.s.userJSON(u)}, nil
		}
	}
	return nil, refuse("users_not_found")
}

func (c *call) userList() (Object, *refusal) {
	part, next, problem := page(c, slices.Sorted(maps.Keys(c.s.ws.users)), 1000)
	if problem != nil {
		return nil, problem
	}
	members := []any{}
	for _, id := range part {
		members = append(members, c.s.userJSON(c.s.ws.users[id]))
	}
	return Object{"members": members, "cache_ts": c.s.clock.Now().Unix(), "response_metadata": cursor(next)}, nil
}

func (c *call) groupList() (Object, *refusal) {
	groups := []any{}
	for _, id := range slices.Sorted(maps.Keys(c.s.ws.groups)) {
		g := c.s.ws.groups[id]
		if g.Disabled && !c.bool("include_disabled") {
			continue
		}
		deleted := 0
		if g.Disabled {
			deleted = 1700000001
		}
		o := Object{
			"id": g.ID, "team_id": c.s.ws.team.ID, "is_usergroup": true, "is_subteam": true, "name": g.Name, "handle": g.Handle,
			"description": "", "is_external": false, "date_create": 1700000000, "date_update": 1700000000, "date_delete": deleted,
			"prefs": Object{"channels": []any{}, "groups": []any{}},
		}
		if c.bool("include_users") {
			o["users"] = append([]string{}, g.Users...)
		}
		if c.bool("include_count") {
			o["user_count"] = len(g.Users)
		}
		groups = append(groups, o)
	}
	return Object{"usergroups": groups}, nil
}

func (c *call) groupUsers() (Object, *refusal) {
	g := c.s.ws.groups[c.str("usergroup")]
	if g == nil || g.Disabled && !c.bool("include_disabled") {
		return nil, refuse("no_such_subteam")
	}
	return Object{"users": append([]string{}, g.Users...)}, nil
}
