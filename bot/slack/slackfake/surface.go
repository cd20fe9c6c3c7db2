package slackfake

import (
	"slices"
	"strings"
)

// elementsOf are a block's interactive elements and images, in order.
func elementsOf(b Object) []Object {
	var all []Object
	switch str(b, "type") {
	case "section":
		if e := obj(b, "accessory"); e != nil {
			all = append(all, e)
		}
	case "input":
		if e := obj(b, "element"); e != nil {
			all = append(all, e)
		}
	case "actions":
		all = objects(list(b, "elements"))
	case "card":
		all = objects(list(b, "actions"))
	}
	return all
}

// Element is something to click, choose or fill in.
type Element struct {
	BlockID, ActionID string
	Type              string // button, static_select, plain_text_input…
	Label             string // a button's text, a field's label, or a menu's placeholder
	Value             string // of a button
	URL               string // of a button that is a link
	Style             string
	Accessibility     string // what a screen reader says of a button
	Options           []Option
	Initial           []Option
	Confirm           *Confirm
	Optional          bool // a field that may stay empty

	block, json Object
}

// Option is a choice of a menu.
type Option struct {
	Text, Value, Description string

	json Object
}

// Confirm is the question that Slack asks before it does what was clicked.
type Confirm struct {
	Title, Text, Yes, No, Style string
}

// elements describes all that can be used in blocks.
func elements(blocks []Object) []Element {
	var all []Element
	for _, b := range blocks {
		for _, e := range elementsOf(b) {
			if str(e, "type") == "image" {
				continue
			}
			found := Element{
				BlockID: str(b, "block_id"), ActionID: str(e, "action_id"), Type: str(e, "type"),
				Label: textOf(e["text"]), Value: str(e, "value"), URL: str(e, "url"), Style: str(e, "style"),
				Accessibility: str(e, "accessibility_label"),
				Optional:      flag(b, "optional"), block: b, json: e,
			}
			if found.Label == "" && str(b, "type") == "input" {
				found.Label = textOf(b["label"])
			}
			if found.Label == "" {
				found.Label = textOf(e["placeholder"])
			}
			for _, o := range objects(list(e, "options")) {
				found.Options = append(found.Options, newOption(o))
			}
			for _, g := range objects(list(e, "option_groups")) {
				for _, o := range objects(list(g, "options")) {
					found.Options = append(found.Options, newOption(o))
				}
			}
			if o := obj(e, "initial_option"); o != nil {
				found.Initial = append(found.Initial, newOption(o))
			}
			for _, o := range objects(list(e, "initial_options")) {
				found.Initial = append(found.Initial, newOption(o))
			}
			if c := obj(e, "confirm"); c != nil {
				found.Confirm = &Confirm{Title: textOf(c["title"]), Text: textOf(c["text"]), Yes: textOf(c["confirm"]), No: textOf(c["deny"]), Style: str(c, "style")}
			}
			all = append(all, found)
		}
	}
	return all
}

func newOption(o Object) Option {
	return Option{Text: textOf(o["text"]), Value: str(o, "value"), Description: textOf(o["description"]), json: o}
}

// Elements are all that a person can use in the message.
func (m Message) Elements() []Element { return elements(m.Blocks) }

// Elements are all that a person can use in the view.
func (v View) Elements() []Element { return elements(v.Blocks) }

// Element finds an element by action_id, by label, or by block_id.
func (m Message) Element(name string) (Element, bool) { return pick(m.Elements(), name) }

// Element finds an element by action_id, by label, or by block_id.
func (v View) Element(name string) (Element, bool) { return pick(v.Elements(), name) }

// Button finds a button by action_id or by its text.
func (m Message) Button(name string) (Element, bool) {
	return pick(slices.DeleteFunc(m.Elements(), func(e Element) bool { return e.Type != "button" }), name)
}

func pick(all []Element, name string) (Element, bool) {
	for _, by := range []func(Element) string{
		func(e Element) string { return e.ActionID },
		func(e Element) string { return e.Label },
		func(e Element) string { return e.BlockID },
	} {
		if i := slices.IndexFunc(all, func(e Element) bool { return by(e) == name }); i >= 0 {
			return all[i], true
		}
	}
	return Element{}, false
}

// Shown is all text that a person sees of the message, with Slack's markup as
// it was sent. When there are blocks, the text is only for notifications and
// screen readers and not part of it.
func (m Message) Shown() string {
	if len(m.Blocks) == 0 {
		return m.Text
	}
	return shownText(m.Blocks)
}

// Shown is all text that a person sees of the view.
func (v View) Shown() string {
	return strings.TrimSpace(v.Title + "\n" + shownText(v.Blocks))
}

func shownText(blocks []Object) string {
	var lines []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			lines = append(lines, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case Object:
			if s, ok := v["text"].(string); ok {
				lines = append(lines, s)
			}
			// In the order in which Slack draws them.
			for _, key := range []string{"title", "subtitle", "body", "label", "hint", "fields", "elements", "accessory", "element", "options", "option_groups", "description", "placeholder", "rows", "tasks", "details", "output", "subtext", "actions", "alt_text"} {
				walk(v[key])
			}
			if _, isText := v["text"].(Object); isText {
				walk(v["text"])
			}
		}
	}
	for _, b := range blocks {
		walk(b["text"])
		rest := clone(b)
		delete(rest, "text")
		walk(rest)
	}
	return strings.Join(lines, "\n")
}

// initialState is what fields hold when they are first shown. What prior holds
// for the same fields stays.
func initialState(blocks []Object, prior map[string]map[string]Object) map[string]map[string]Object {
	state := map[string]map[string]Object{}
	for _, e := range elements(blocks) {
		value := emptyValue(e)
		if value == nil {
			continue
		}
		if old, kept := prior[e.BlockID][e.ActionID]; kept && str(old, "type") == e.Type {
			value = old
		}
		if state[e.BlockID] == nil {
			state[e.BlockID] = map[string]Object{}
		}
		state[e.BlockID][e.ActionID] = value
	}
	return state
}

// valueKeys are where an element's value stands in state and actions.
var valueKeys = map[string]string{
	"static_select": "selected_option", "external_select": "selected_option", "radio_buttons": "selected_option",
	"users_select": "selected_user", "conversations_select": "selected_conversation", "channels_select": "selected_channel",
	"multi_static_select": "selected_options", "multi_external_select": "selected_options", "checkboxes": "selected_options",
	"multi_users_select": "selected_users", "multi_conversations_select": "selected_conversations", "multi_channels_select": "selected_channels",
	"datepicker": "selected_date", "timepicker": "selected_time", "datetimepicker": "selected_date_time",
	"plain_text_input": "value", "email_text_input": "value", "url_text_input": "value", "number_input": "value",
}

var initialKeys = map[string]string{
	"selected_option": "initial_option", "selected_options": "initial_options", "selected_user": "initial_user", "selected_users": "initial_users",
	"selected_conversation": "initial_conversation", "selected_conversations": "initial_conversations",
	"selected_channel": "initial_channel", "selected_channels": "initial_channels",
	"selected_date": "initial_date", "selected_time": "initial_time", "selected_date_time": "initial_date_time", "value": "initial_value",
}

// emptyValue is an element's value before anybody touched it; nil for what
// holds none, such as buttons.
func emptyValue(e Element) Object {
	key, holds := valueKeys[e.Type]
	if !holds {
		return nil
	}
	value, given := e.json[initialKeys[key]]
	if !given && strings.HasSuffix(key, "s") {
		value = []any{}
	}
	return Object{"type": e.Type, key: cloneValue(value)}
}

// blank says that a value is nothing.
func blank(value Object) bool {
	switch v := value[valueKeys[str(value, "type")]].(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case []any:
		return len(v) == 0
	}
	return false
}
