package slackfake

import (
	"slices"
	"time"
)

// triggerLife is how long a trigger_id opens a modal.
const triggerLife = 3 * time.Second

// trigger is the right to open a modal before a person.
type trigger struct {
	user string
	at   time.Time
	used bool
}

// newTrigger is a right that an action of that person gives; mu is held.
func (s *Server) newTrigger(user string) string {
	now := s.clock.Now()
	for id, t := range s.triggers { // those long gone need no telling apart any more
		if now.Sub(t.at) > time.Hour {
			delete(s.triggers, id)
		}
	}
	id := s.triggerID(now)
	s.triggers[id] = &trigger{user: user, at: now}
	return id
}

// exchange takes the call's trigger.
func (c *call) exchange() (user string, problem *refusal) {
	t := c.s.triggers[c.str("trigger_id")]
	switch {
	case t == nil:
		return "", refuse("invalid_trigger_id")
	case c.s.clock.Now().Sub(t.at) > triggerLife:
		return "", refuse("expired_trigger_id")
	case t.used:
		return "", refuse("exchanged_trigger_id")
	}
	t.used = true
	return t.user, nil
}

// definition reads and checks the call's view.
func (c *call) definition(on surface) (Object, *refusal) {
	v, given, ok := c.json("view")
	o, isObject := v.(Object)
	if !given || !ok || !isObject {
		return nil, refuse("invalid_arguments", "[ERROR] missing required field: view")
	}
	return c.s.checkView(o, on)
}

// checkView checks a view's definition; mu is held.
func (s *Server) checkView(o Object, on surface) (Object, *refusal) {
	if len(encode(o)) > maxViewSize {
		return nil, refuse("view_too_large")
	}
	want := "modal"
	if on == inHome {
		want = "home"
	}
	check := s.newChecker(on)
	if str(o, "type") != want {
		check.fail("/view/type", "must be %s", want)
	}
	check.view(o, "/view")
	if len(check.found) > 0 {
		return nil, refuse("invalid_arguments", check.messages()...)
	}
	return o, nil
}

// newView makes a view of a definition; mu is held.
func (s *Server) newView(user string, definition Object) (*View, *refusal) {
	if external := str(definition, "external_id"); external != "" {
		if s.ws.views[s.ws.external[external]] != nil {
			return nil, refuse("duplicate_external_id")
		}
	}
	v := &View{ID: s.ws.newID("V"), User: user, state: map[string]map[string]Object{}, seenOptions: map[string][]Object{}}
	v.RootID = v.ID
	s.define(v, definition)
	s.ws.views[v.ID] = v
	return v, nil
}

// define gives a view a new content. What was typed into fields that are still
// there stays.
func (s *Server) define(v *View, o Object) {
	v.definition = o
	v.Type = str(o, "type")
	v.Title, v.Submit, v.Close = textOf(o["title"]), textOf(o["submit"]), textOf(o["close"])
	v.CallbackID, v.PrivateMetadata = str(o, "callback_id"), str(o, "private_metadata")
	v.NotifyOnClose, v.ClearOnClose = flag(o, "notify_on_close"), flag(o, "clear_on_close")
	if v.ExternalID != "" {
		delete(s.ws.external, v.ExternalID)
	}
	if v.ExternalID = str(o, "external_id"); v.ExternalID != "" {
		s.ws.external[v.ExternalID] = v.ID
	}
	v.Blocks = s.ws.named(list(o, "blocks"))
	v.Errors = nil
	now := s.clock.Now()
	s.ws.serial++
	v.Hash = s.hash(now, s.ws.serial)
	v.state = initialState(v.Blocks, v.state)
}

func (w *workspace) top(user string) *View {
	stack := w.modals[user]
	if len(stack) == 0 {
		return nil
	}
	return stack[len(stack)-1]
}

func (c *call) openView() (Object, *refusal) {
	o, problem := c.definition(inModal)
	if problem != nil {
		return nil, problem
	}
	user, problem := c.exchange()
	if problem != nil {
		return nil, problem
	}
	v, problem := c.s.newView(user, o)
	if problem != nil {
		return nil, problem
	}
	c.s.forget(c.s.ws.modals[user])
	c.s.ws.modals[user] = []*View{v}
	c.s.change(Change{Kind: "view", User: user})
	return Object{"view": c.s.viewJSON(v)}, nil
}

func (c *call) pushView() (Object, *refusal) {
	o, problem := c.definition(inModal)
	if problem != nil {
		return nil, problem
	}
	user, problem := c.exchange()
	if problem != nil {
		return nil, problem
	}
	v, problem := c.s.push(user, o)
	if problem != nil {
		return nil, problem
	}
	return Object{"view": c.s.viewJSON(v)}, nil
}

// push puts another modal on a person's open ones; mu is held.
func (s *Server) push(user string, o Object) (*View, *refusal) {
	stack := s.ws.modals[user]
	switch {
	case len(stack) == 0:
		return nil, refuse("not_found")
	case len(stack) >= maxModals:
		return nil, refuse("push_limit_reached")
	}
	v, problem := s.newView(user, o)
	if problem != nil {
		return nil, problem
	}
	v.RootID, v.PreviousID = stack[0].ID, stack[len(stack)-1].ID
	s.ws.modals[user] = append(stack, v)
	s.change(Change{Kind: "view", User: user})
	return v, nil
}

// forget ends views that nobody sees any more; mu is held.
func (s *Server) forget(views []*View) {
	for _, v := range views {
		delete(s.ws.views, v.ID)
		if v.ExternalID != "" {
			delete(s.ws.external, v.ExternalID)
		}
	}
}

func (c *call) updateView() (Object, *refusal) {
	o, problem := c.definition(inModal)
	if problem != nil {
		return nil, problem
	}
	w := c.s.ws
	id := c.str("view_id")
	if id == "" {
		id = w.external[c.str("external_id")]
	}
	v := w.views[id]
	if v == nil || v.Type != "modal" {
		return nil, refuse("not_found")
	}
	if hash := c.str("hash"); hash != "" && hash != v.Hash {
		return nil, refuse("hash_conflict")
	}
	if external := str(o, "external_id"); external != "" && w.external[external] != "" && w.external[external] != v.ID {
		return nil, refuse("duplicate_external_id")
	}
	c.s.define(v, o)
	v.Updates++
	c.s.change(Change{Kind: "view", User: v.User})
	return Object{"view": c.s.viewJSON(v)}, nil
}

func (c *call) publishView() (Object, *refusal) {
	o, problem := c.definition(inHome)
	if problem != nil {
		return nil, problem
	}
	w, user := c.s.ws, c.str("user_id")
	if u := w.users[user]; u == nil || u.IsBot {
		return nil, refuse("invalid_arguments", "[ERROR] invalid user_id")
	}
	v := w.homes[user]
	if hash := c.str("hash"); hash != "" && (v == nil || hash != v.Hash) {
		return nil, refuse("hash_conflict")
	}
	if v == nil {
		if v, problem = c.s.newView(user, o); problem != nil {
			return nil, problem
		}
		w.homes[user] = v
	} else {
		c.s.define(v, o)
		v.Updates++
	}
	c.s.change(Change{Kind: "home", User: user})
	return Object{"view": c.s.viewJSON(v)}, nil
}

// viewJSON is a view as the API and the payloads give it.
func (s *Server) viewJSON(v *View) Object {
	o := Object{
		"id": v.ID, "team_id": s.ws.team.ID, "type": v.Type, "blocks": clone(v.Blocks),
		"private_metadata": v.PrivateMetadata, "callback_id": v.CallbackID, "external_id": v.ExternalID,
		"state": v.values(), "hash": v.Hash, "root_view_id": v.RootID, "previous_view_id": nil,
		"app_id": s.ws.appID, "bot_id": s.ws.botID, "app_installed_team_id": s.ws.team.ID,
		"clear_on_close": v.ClearOnClose, "notify_on_close": v.NotifyOnClose,
		"title": clone(obj(v.definition, "title")), "submit": nil, "close": nil,
	}
	if v.PreviousID != "" {
		o["previous_view_id"] = v.PreviousID
	}
	for _, key := range []string{"submit", "close"} {
		if t := obj(v.definition, key); t != nil {
			o[key] = clone(t)
		}
	}
	return o
}

// values are a view's or a message's state as payloads carry it.
func (v *View) values() Object { return stateJSON(v.state) }

func stateJSON(state map[string]map[string]Object) Object {
	values := Object{}
	for block, actions := range state {
		inner := Object{}
		for action, value := range actions {
			inner[action] = clone(value)
		}
		values[block] = inner
	}
	return Object{"values": values}
}

// closeView takes a view off its stack, with what lies above it; mu is held.
func (s *Server) closeView(v *View) {
	stack := s.ws.modals[v.User]
	i := slices.Index(stack, v)
	if i < 0 {
		return
	}
	s.forget(stack[i:])
	s.ws.modals[v.User] = stack[:i:i]
	s.change(Change{Kind: "view", User: v.User})
}

// clearViews closes all modals of a person; mu is held.
func (s *Server) clearViews(user string) {
	s.forget(s.ws.modals[user])
	delete(s.ws.modals, user)
	s.change(Change{Kind: "view", User: user})
}
