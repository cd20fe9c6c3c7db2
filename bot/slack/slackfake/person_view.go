package slackfake

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// TroubleConnecting is what a form shows when its submission was not answered
// as it should be.
const TroubleConnecting = "We had some trouble connecting. Try again?"

// Values are what a person fills in, by action_id, label or block_id: a
// string, or []string where several can be chosen. Nil or "" empties a field.
type Values map[string]any

// Fill types into a view's fields and chooses from its menus, without sending
// the form. Fields that dispatch actions do so.
func (p *Person) Fill(ctx context.Context, v View, values Values) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		e, err := p.find(v, name)
		if err != nil {
			return err
		}
		var choices []string
		switch value := values[name].(type) {
		case nil:
		case string:
			if value != "" {
				choices = []string{value}
			}
		case []string:
			choices = value
		default:
			return fmt.Errorf("slackfake: %q: a field takes a string or several, not %T", name, value)
		}
		value, err := p.value(ctx, v, e, choices)
		if err != nil {
			return err
		}
		o, err := p.use(ctx, v, e, value)
		if err != nil {
			return err
		}
		if o.Confirm != nil {
			if _, err := o.Yes(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// FillAndSubmit fills a modal's fields and sends it. What Slack itself refuses
// (an empty field that must not be, a text too short) is not sent. The
// outcome has the errors that the app put at fields.
func (p *Person) FillAndSubmit(ctx context.Context, v View, values Values) (*Outcome, error) {
	if err := p.Fill(ctx, v, values); err != nil {
		return nil, err
	}
	return p.Submit(ctx, v)
}

// Submit sends a modal as it is filled in.
func (p *Person) Submit(ctx context.Context, v View) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	_, now, err := s.current(v, p.id)
	if err == nil && (now.Type != "modal" || s.ws.top(p.id) != now) {
		err = fmt.Errorf("slackfake: %q is not the modal that %s sees", now.Title, p.id)
	}
	if err == nil && now.Submit == "" {
		err = fmt.Errorf("slackfake: %q has no button to submit it", now.Title)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	if missing := now.incomplete(); len(missing) > 0 {
		now.Errors = missing
		s.change(Change{Kind: "view", User: p.id})
		s.mu.Unlock()
		return &Outcome{person: p, Fields: maps.Clone(missing)}, nil
	}
	now.Errors = nil
	d := &delivery{kind: interactive, accepts: true, id: s.secret("env-")}
	d.payload = s.interaction("view_submission", p.id)
	d.payload["trigger_id"], d.payload["view"], d.payload["response_urls"] = s.newTrigger(p.id), s.viewJSON(now), []any{}
	d.onAck = func(answer Object) string {
		failure, fields := s.submitted(now, answer)
		d.fieldErrors = fields
		return failure
	}
	o, err := p.sent(ctx, d)
	if o.Failure == OperationTimeout || o.Failure == DispatchFailed {
		o.Failure = TroubleConnecting
	}
	return o, err
}

// incomplete are the fields that Slack itself does not let pass.
func (v *View) incomplete() map[string]string {
	problems := map[string]string{}
	for _, e := range elements(v.Blocks) {
		if str(e.block, "type") != "input" {
			continue
		}
		value := v.state[e.BlockID][e.ActionID]
		if blank(value) {
			if !e.Optional {
				problems[e.BlockID] = "Please complete this required field."
			}
			continue
		}
		text, _ := value["value"].(string)
		bounds := call{args: e.json}
		switch e.Type {
		case "plain_text_input":
			least, most := bounds.int("min_length", 0), bounds.int("max_length", maxInputValue)
			switch n := utf8.RuneCountInString(text); {
			case n < least:
				problems[e.BlockID] = fmt.Sprintf("Please enter at least %d characters.", least)
			case n > most:
				problems[e.BlockID] = fmt.Sprintf("Please enter at most %d characters.", most)
			}
		case "number_input":
			if _, err := json.Number(text).Float64(); err != nil {
				problems[e.BlockID] = "Please enter a number."
			}
		}
	}
	return problems
}

// submitted does what the app answered to a form; mu is held.
func (s *Server) submitted(v *View, answer Object) (failure string, fields map[string]string) {
	definition := func() (Object, bool) {
		o, problem := s.checkView(obj(answer, "view"), inModal)
		if problem != nil {
			s.record(Entry{Kind: "ack", Err: problem.code, Messages: problem.messages, Note: "the view in the answer to a form"})
		}
		return o, problem == nil
	}
	switch str(answer, "response_action") {
	case "":
		if len(answer) > 0 {
			return TroubleConnecting, nil
		}
		s.closeView(v)
		return "", nil
	case "clear":
		s.clearViews(v.User)
		return "", nil
	case "errors":
		fields = map[string]string{}
		for block, text := range obj(answer, "errors") {
			input := slices.ContainsFunc(v.Blocks, func(b Object) bool {
				return str(b, "block_id") == block && str(b, "type") == "input"
			})
			said, isString := text.(string)
			if !input || !isString || said == "" {
				return TroubleConnecting, nil
			}
			fields[block] = said
		}
		if len(fields) == 0 {
			return TroubleConnecting, nil
		}
		v.Errors = maps.Clone(fields)
		s.change(Change{Kind: "view", User: v.User})
		return "", fields
	case "update":
		if o, ok := definition(); ok {
			s.define(v, o)
			v.Updates++
			s.change(Change{Kind: "view", User: v.User})
			return "", nil
		}
	case "push":
		if o, ok := definition(); ok {
			if _, problem := s.push(v.User, o); problem == nil {
				return "", nil
			}
		}
	}
	return TroubleConnecting, nil
}

// CloseView closes a modal with its cancel button, back to the one below.
func (p *Person) CloseView(ctx context.Context, v View) (*Outcome, error) {
	return p.closeView(ctx, v, false)
}

// CloseAll closes all modals with the cross in the corner.
func (p *Person) CloseAll(ctx context.Context, v View) (*Outcome, error) {
	return p.closeView(ctx, v, true)
}

func (p *Person) closeView(ctx context.Context, v View, all bool) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	_, now, err := s.current(v, p.id)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	all = all || now.ClearOnClose
	payload := s.interaction("view_closed", p.id)
	payload["view"], payload["is_cleared"] = s.viewJSON(now), all
	if all {
		s.clearViews(p.id)
	} else {
		s.closeView(now)
	}
	if !now.NotifyOnClose {
		s.mu.Unlock()
		return &Outcome{person: p}, nil
	}
	return p.sent(ctx, &delivery{kind: interactive, payload: payload})
}
