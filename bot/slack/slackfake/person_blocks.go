package slackfake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Surface is where elements stand: a [Message] or a [View].
type Surface interface {
	Elements() []Element
	source() (m *Message, v *View)
}

func (m Message) source() (*Message, *View) { return &m, nil }
func (v View) source() (*Message, *View)    { return nil, &v }

// find looks an element up in what the person sees. That may be older than
// what is there now: people click on what they see.
func (p *Person) find(on Surface, name string) (Element, error) {
	e, found := pick(on.Elements(), name)
	if !found {
		var names []string
		for _, e := range on.Elements() {
			names = append(names, fmt.Sprintf("%q (%s)", e.Label, e.ActionID))
		}
		return e, fmt.Errorf("slackfake: nothing there is called %q; there are: %s", name, strings.Join(names, ", "))
	}
	return e, nil
}

// current is what a message or view is now; nil when it is gone. mu is held.
func (s *Server) current(on Surface, user string) (*Message, *View, error) {
	m, v := on.source()
	if m != nil {
		now := s.ws.message(m.Channel, m.TS)
		if now == nil {
			return nil, nil, fmt.Errorf("slackfake: that message is gone")
		}
		if now.Ephemeral() && now.EphemeralTo != user {
			return nil, nil, fmt.Errorf("slackfake: %s does not see that message", user)
		}
		return now, nil, nil
	}
	now := s.ws.views[v.ID]
	if now == nil {
		return nil, nil, fmt.Errorf("slackfake: that view is closed")
	}
	if now.User != user {
		return nil, nil, fmt.Errorf("slackfake: %s does not see that view", user)
	}
	return nil, now, nil
}

// Click clicks a button, found by action_id, text or block_id. When the button
// asks first, the outcome carries the question and nothing was sent yet.
func (p *Person) Click(ctx context.Context, on Surface, button string) (*Outcome, error) {
	var buttons []Element
	for _, e := range on.Elements() {
		if e.Type == "button" {
			buttons = append(buttons, e)
		}
	}
	e, found := pick(buttons, button)
	if !found {
		var names []string
		for _, e := range buttons {
			names = append(names, fmt.Sprintf("%q (%s)", e.Label, e.ActionID))
		}
		return nil, fmt.Errorf("slackfake: there is no button %q; there are: %s", button, strings.Join(names, ", "))
	}
	return p.use(ctx, on, e, nil)
}

// Select chooses from a menu, checkboxes or radio buttons, by option value or
// text; of users_select by user ID. Menus that can hold several take several
// choices.
func (p *Person) Select(ctx context.Context, on Surface, menu string, choices ...string) (*Outcome, error) {
	e, err := p.find(on, menu)
	if err != nil {
		return nil, err
	}
	value, err := p.value(ctx, on, e, choices)
	if err != nil {
		return nil, err
	}
	return p.use(ctx, on, e, value)
}

// use does what a click or a choice does, after the question if there is one.
func (p *Person) use(ctx context.Context, on Surface, e Element, value Object) (*Outcome, error) {
	act := func(ctx context.Context) (*Outcome, error) { return p.act(ctx, on, e, value) }
	if e.Confirm != nil {
		return &Outcome{person: p, Confirm: e.Confirm, confirmed: act}, nil
	}
	return act(ctx)
}

// act sends block_actions.
func (p *Person) act(ctx context.Context, on Surface, e Element, value Object) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	m, v, err := s.current(on, p.id)
	if err == nil && m != nil {
		_, _, err = p.here(m.Channel)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	state := p.state(m, v)
	if value != nil && e.Type != "overflow" {
		if state[e.BlockID] == nil {
			state[e.BlockID] = map[string]Object{}
		}
		state[e.BlockID][e.ActionID] = value
	}
	if str(e.block, "type") == "input" && !flag(e.block, "dispatch_action") {
		s.change(Change{Kind: "view", User: p.id})
		s.mu.Unlock()
		return &Outcome{person: p}, nil // such a field is sent with the form
	}
	d := &delivery{kind: interactive, id: s.secret("env-")}
	d.payload = s.interaction("block_actions", p.id)
	d.payload["trigger_id"] = s.newTrigger(p.id)
	s.within(d.payload, m, v, p.id)
	d.payload["state"] = stateJSON(state)
	d.payload["actions"] = []any{actionJSON(e, value, s.ws.newTS(s.clock.Now()))}
	if m != nil {
		d.hook = &hook{via: d.id, user: p.id, channel: m.Channel, source: m}
		d.payload["response_url"] = s.newHook("actions", *d.hook)
	}
	o, err := p.sent(ctx, d)
	o.Opened = e.URL
	return o, err
}

// state is what this person has chosen there; mu is held.
func (p *Person) state(m *Message, v *View) map[string]map[string]Object {
	if v != nil {
		return v.state
	}
	if m.states == nil {
		m.states = map[string]map[string]map[string]Object{}
	}
	m.states[p.id] = initialState(m.Blocks, m.states[p.id])
	return m.states[p.id]
}

// value is an element's value for what a person chose or typed.
func (p *Person) value(ctx context.Context, on Surface, e Element, choices []string) (Object, error) {
	key, holds := valueKeys[e.Type]
	if e.Type == "overflow" {
		key, holds = "selected_option", true
	}
	if !holds {
		return nil, fmt.Errorf("slackfake: a %s holds no value", e.Type)
	}
	several := key == "selected_options" || key == "selected_users" || key == "selected_conversations" || key == "selected_channels"
	if len(choices) > 1 && !several {
		return nil, fmt.Errorf("slackfake: %q takes one value", e.Label)
	}
	value := Object{"type": e.Type}
	switch key {
	case "selected_option", "selected_options":
		chosen := []any{}
		for _, c := range choices {
			o, err := p.option(ctx, on, e, c)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, clone(o.json))
		}
		value[key] = any(chosen)
		if !several {
			value[key] = nil
			if len(chosen) > 0 {
				value[key] = chosen[0]
			}
		}
	default:
		if several {
			all := []any{}
			for _, c := range choices {
				all = append(all, c)
			}
			value[key] = all
			break
		}
		value[key] = nil
		if len(choices) > 0 && choices[0] != "" {
			value[key] = choices[0]
		}
	}
	return value, nil
}

// option finds a choice by value or text: among those shown, or by typing it
// into a menu that asks the app.
func (p *Person) option(ctx context.Context, on Surface, e Element, choice string) (Option, error) {
	match := func(all []Option) (Option, bool) {
		i := slices.IndexFunc(all, func(o Option) bool { return o.Value == choice })
		if i < 0 {
			i = slices.IndexFunc(all, func(o Option) bool { return o.Text == choice })
		}
		if i < 0 {
			return Option{}, false
		}
		return all[i], true
	}
	shown := append(slices.Clone(e.Options), e.Initial...)
	if o, found := match(shown); found {
		return o, nil
	}
	if strings.HasSuffix(e.Type, "external_select") {
		o, err := p.suggest(ctx, on, e, choice)
		if err != nil {
			return Option{}, err
		}
		if found, ok := match(o.Options); ok {
			return found, nil
		}
		shown = o.Options
	}
	var names []string
	for _, o := range shown {
		names = append(names, fmt.Sprintf("%q", o.Text))
	}
	return Option{}, fmt.Errorf("slackfake: %q offers no %q, only: %s", e.Label, choice, strings.Join(names, ", "))
}

// SuggestOptions types into a menu that asks the app for its choices. Queries
// shorter than min_query_length (3 unless given) are not sent.
func (p *Person) SuggestOptions(ctx context.Context, on Surface, menu, query string) (*Outcome, error) {
	e, err := p.find(on, menu)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(e.Type, "external_select") {
		return nil, fmt.Errorf("slackfake: %q does not ask the app for its choices", menu)
	}
	return p.suggest(ctx, on, e, query)
}

// suggest asks the app for an element's choices.
func (p *Person) suggest(ctx context.Context, on Surface, e Element, query string) (*Outcome, error) {
	least := 3
	if _, given := e.json["min_query_length"]; given {
		c := call{args: e.json}
		least = c.int("min_query_length", 3)
	}
	if utf8.RuneCountInString(query) < least {
		return &Outcome{person: p}, nil
	}
	s := p.s
	s.mu.Lock()
	m, v, err := s.current(on, p.id)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	var options []Option
	d := &delivery{kind: interactive, accepts: true, id: s.secret("env-")}
	d.payload = s.interaction("block_suggestion", p.id)
	d.payload["action_id"], d.payload["block_id"], d.payload["value"] = e.ActionID, e.BlockID, query
	s.within(d.payload, m, v, p.id)
	d.onAck = func(answer Object) string {
		check := s.newChecker(inModal)
		switch {
		case answer["option_groups"] != nil:
			check.only(answer, "", "option_groups")
			for _, o := range objects(check.optionGroups(answer, "option_groups", "")) {
				options = append(options, newOption(o))
			}
		default:
			check.only(answer, "", "options")
			if answer["options"] == nil { // a client leaves an empty list away
				answer = Object{"options": []any{}}
			}
			for _, o := range objects(check.options(answer, "options", "", plainText, 0, maxOptions, false)) {
				options = append(options, newOption(o))
			}
		}
		if len(check.found) > 0 {
			options = nil
			return "invalid_options: " + strings.Join(check.found, "; ")
		}
		return ""
	}
	o, err := p.sent(ctx, d)
	if err == nil && o.Failure == "" {
		o.Options = options
	}
	return o, err
}
