package slackfake

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// place is where an element stands within a block.
type place string

const (
	inSection place = "section"
	inActions place = "actions"
	inInput   place = "input"
	inContext place = "context"
)

type elementRule struct {
	fields []string // besides type and action_id
	in     []place
	check  func(c *checker, e Object, path string)
}

var selectFields = []string{"placeholder", "confirm", "focus_on_load"}

var elementRules = map[string]elementRule{
	"button":   {[]string{"text", "url", "value", "style", "confirm", "accessibility_label"}, []place{inSection, inActions}, (*checker).button},
	"image":    {[]string{"image_url", "alt_text", "slack_file"}, []place{inSection, inContext}, (*checker).imageSource},
	"overflow": {[]string{"options", "confirm"}, []place{inSection, inActions}, (*checker).overflow},

	"static_select":        {append([]string{"options", "option_groups", "initial_option"}, selectFields...), []place{inSection, inActions, inInput}, (*checker).staticSelect},
	"external_select":      {append([]string{"initial_option", "min_query_length"}, selectFields...), []place{inSection, inActions, inInput}, (*checker).externalSelect},
	"users_select":         {append([]string{"initial_user"}, selectFields...), []place{inSection, inActions, inInput}, (*checker).usersSelect},
	"conversations_select": {append([]string{"initial_conversation", "default_to_current_conversation", "response_url_enabled", "filter"}, selectFields...), []place{inSection, inActions, inInput}, (*checker).menu},
	"channels_select":      {append([]string{"initial_channel", "response_url_enabled"}, selectFields...), []place{inSection, inActions, inInput}, (*checker).menu},

	"multi_static_select":        {append([]string{"options", "option_groups", "initial_options", "max_selected_items"}, selectFields...), []place{inSection, inInput}, (*checker).staticSelect},
	"multi_external_select":      {append([]string{"initial_options", "min_query_length", "max_selected_items"}, selectFields...), []place{inSection, inInput}, (*checker).externalSelect},
	"multi_users_select":         {append([]string{"initial_users", "max_selected_items"}, selectFields...), []place{inSection, inInput}, (*checker).usersSelect},
	"multi_conversations_select": {append([]string{"initial_conversations", "default_to_current_conversation", "filter", "max_selected_items"}, selectFields...), []place{inSection, inInput}, (*checker).menu},
	"multi_channels_select":      {append([]string{"initial_channels", "max_selected_items"}, selectFields...), []place{inSection, inInput}, (*checker).menu},

	"checkboxes":    {[]string{"options", "initial_options", "confirm", "focus_on_load"}, []place{inSection, inActions, inInput}, (*checker).choices},
	"radio_buttons": {[]string{"options", "initial_option", "confirm", "focus_on_load"}, []place{inSection, inActions, inInput}, (*checker).choices},

	"datepicker":     {[]string{"placeholder", "initial_date", "confirm", "focus_on_load"}, []place{inSection, inActions, inInput}, (*checker).picker},
	"timepicker":     {[]string{"placeholder", "initial_time", "timezone", "confirm", "focus_on_load"}, []place{inSection, inActions, inInput}, (*checker).picker},
	"datetimepicker": {[]string{"initial_date_time", "confirm", "focus_on_load"}, []place{inActions, inInput}, (*checker).picker},

	"plain_text_input": {[]string{"placeholder", "initial_value", "multiline", "min_length", "max_length", "dispatch_action_config", "focus_on_load"}, []place{inInput}, (*checker).textInput},
	"email_text_input": {[]string{"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"}, []place{inInput}, (*checker).textInput},
	"url_text_input":   {[]string{"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"}, []place{inInput}, (*checker).textInput},
	"number_input":     {[]string{"placeholder", "initial_value", "is_decimal_allowed", "min_value", "max_value", "dispatch_action_config", "focus_on_load"}, []place{inInput}, (*checker).numberInput},
}

func (c *checker) element(v any, path string, in place, actionIDs map[string]bool) {
	e, ok := v.(Object)
	if !ok {
		c.fail(path, "must be an object")
		return
	}
	kind := str(e, "type")
	rule, known := elementRules[kind]
	if !known || !slices.Contains(rule.in, in) {
		c.fail(at(path, "type"), "unsupported type: %s", kind)
		return
	}
	fields := append([]string{"type"}, rule.fields...)
	if kind != "image" {
		fields = append(fields, "action_id")
	}
	c.only(e, path, fields...)
	if id, given := c.optionalString(e, "action_id", path, 1, maxID); given {
		if actionIDs[id] {
			c.fail(at(path, "action_id"), "`action_id` %q already exists in this block", id)
		}
		actionIDs[id] = true
	}
	if v, given := e["confirm"]; given {
		c.confirm(v, at(path, "confirm"))
	}
	c.optionalText(e, "placeholder", path, plainText, maxPlaceholder)
	c.optionalBool(e, []string{"focus_on_load", "multiline", "default_to_current_conversation", "response_url_enabled", "is_decimal_allowed"}, path)
	if flag(e, "focus_on_load") {
		if c.focused {
			c.fail(at(path, "focus_on_load"), "only one element may have focus_on_load")
		}
		c.focused = true
	}
	if c.surface == inMessage {
		if flag(e, "response_url_enabled") {
			c.fail(path, "response_url_enabled is only for modals")
		}
	}
	if strings.HasPrefix(kind, "multi_") {
		c.optionalInt(e, "max_selected_items", path, 1, 1_000_000)
	}
	rule.check(c, e, path)
}

func (c *checker) confirm(v any, path string) {
	o, ok := v.(Object)
	if !ok {
		c.fail(path, "must be an object")
		return
	}
	c.only(o, path, "title", "text", "confirm", "deny", "style")
	c.requiredText(o, "title", path, plainText, maxConfirmTitle)
	c.requiredText(o, "text", path, anyText, maxConfirmText)
	c.requiredText(o, "confirm", path, plainText, maxConfirmButton)
	c.optionalText(o, "deny", path, plainText, maxConfirmButton)
	c.optionalEnum(o, "style", path, "primary", "danger")
}

func (c *checker) button(e Object, path string) {
	c.requiredText(e, "text", path, plainText, maxButtonText)
	c.optionalURL(e, "url", path)
	c.optionalString(e, "value", path, 0, maxButtonValue)
	c.optionalEnum(e, "style", path, "primary", "danger")
	c.optionalString(e, "accessibility_label", path, 1, maxAccessibility)
}

// option checks an option; kind is the text that it may have.
func (c *checker) option(v any, path, kind string, link bool) {
	o, ok := v.(Object)
	if !ok {
		c.fail(path, "must be an object")
		return
	}
	known := []string{"text", "value", "description"}
	if link {
		known = append(known, "url")
	}
	c.only(o, path, known...)
	c.requiredText(o, "text", path, kind, maxOptionText)
	c.requiredString(o, "value", path, 1, maxOptionValue)
	c.optionalText(o, "description", path, kind, maxOptionText)
	c.optionalURL(o, "url", path)
}

func (c *checker) options(o Object, key, path, kind string, least, most int, link bool) []any {
	all := c.items(o, key, path, least, most)
	for i, v := range all {
		c.option(v, at(path, key, i), kind, link)
	}
	return all
}

func (c *checker) optionGroups(o Object, key, path string) []any {
	var all []any
	for i, v := range c.items(o, key, path, 1, maxOptionGroups) {
		g, inner := asObject(v), at(path, key, i)
		c.only(g, inner, "label", "options")
		c.requiredText(g, "label", inner, plainText, maxOptionText)
		all = append(all, c.options(g, "options", inner, plainText, 1, maxOptions, false)...)
	}
	return all
}

func (c *checker) overflow(e Object, path string) {
	c.options(e, "options", path, plainText, minOverflow, maxOverflow, true)
}

func (c *checker) staticSelect(e Object, path string) {
	_, flat := e["options"]
	_, grouped := e["option_groups"]
	var all []any
	switch {
	case flat == grouped:
		c.fail(path, "must define either `options` or `option_groups`")
	case flat:
		all = c.options(e, "options", path, plainText, 1, maxOptions, false)
	default:
		all = c.optionGroups(e, "option_groups", path)
	}
	c.initial(e, path, all, plainText)
}

func (c *checker) externalSelect(e Object, path string) {
	c.optionalInt(e, "min_query_length", path, 0, 1000)
	c.initial(e, path, nil, plainText)
}

func (c *checker) choices(e Object, path string) {
	c.initial(e, path, c.options(e, "options", path, anyText, 1, maxChoices, false), anyText)
}

// initial checks what is chosen at first: exactly one of the options, where
// those are known.
func (c *checker) initial(e Object, path string, options []any, kind string) {
	check := func(v any, path string) {
		c.option(v, path, kind, false)
		if options != nil && !slices.ContainsFunc(options, func(o any) bool { return sameOption(o, v) }) {
			c.fail(path, "must exactly match one of the provided options")
		}
	}
	if v, given := e["initial_option"]; given {
		check(v, at(path, "initial_option"))
	}
	if _, given := e["initial_options"]; given {
		for i, v := range c.items(e, "initial_options", path, 1, maxOptions) {
			check(v, at(path, "initial_options", i))
		}
	}
}

// sameOption compares options as Slack does, which takes an absent emoji for
// true.
func sameOption(a, b any) bool {
	x, y := clone(asObject(a)), clone(asObject(b))
	for _, o := range []Object{x, y} {
		for _, key := range []string{"text", "description"} {
			if t := obj(o, key); str(t, "type") == plainText && t["emoji"] == nil {
				t["emoji"] = true
			}
		}
	}
	return reflect.DeepEqual(x, y)
}

func (c *checker) usersSelect(e Object, path string) {
	check := func(v any, path string) {
		if id, ok := v.(string); !ok || !c.users(id) {
			c.fail(path, "invalid user")
		}
	}
	if v, given := e["initial_user"]; given {
		check(v, at(path, "initial_user"))
	}
	for i, v := range list(e, "initial_users") {
		check(v, at(path, "initial_users", i))
	}
}

func (c *checker) menu(e Object, path string) {
	for _, key := range []string{"initial_conversation", "initial_channel"} {
		c.optionalString(e, key, path, 1, maxID)
	}
	if v, given := e["filter"]; given {
		c.only(asObject(v), at(path, "filter"), "include", "exclude_external_shared_channels", "exclude_bot_users")
	}
}

func (c *checker) picker(e Object, path string) {
	c.optionalString(e, "initial_date", path, 10, 10)
	c.optionalString(e, "initial_time", path, 5, 5)
	c.optionalString(e, "timezone", path, 1, maxID)
	c.optionalInt(e, "initial_date_time", path, 1_000_000_000, 9_999_999_999)
}

func (c *checker) textInput(e Object, path string) {
	c.optionalString(e, "initial_value", path, 0, maxInputValue)
	least, _ := c.optionalInt(e, "min_length", path, 0, maxInputValue)
	if most, given := c.optionalInt(e, "max_length", path, 1, maxInputValue); given && most < least {
		c.fail(at(path, "max_length"), "must be at least min_length")
	}
	c.dispatch(e, path)
}

func (c *checker) numberInput(e Object, path string) {
	if _, given := e["is_decimal_allowed"]; !given {
		c.fail(path, "missing required field: is_decimal_allowed")
	}
	for _, key := range []string{"initial_value", "min_value", "max_value"} {
		if s, given := c.optionalString(e, key, path, 1, 100); given {
			if _, err := json.Number(s).Float64(); err != nil {
				c.fail(at(path, key), "must be a number")
			}
		}
	}
	c.dispatch(e, path)
}

func (c *checker) dispatch(e Object, path string) {
	v, given := e["dispatch_action_config"]
	if !given {
		return
	}
	o, inner := asObject(v), at(path, "dispatch_action_config")
	c.only(o, inner, "trigger_actions_on")
	for i, v := range c.items(o, "trigger_actions_on", inner, 1, 2) {
		if s, _ := v.(string); s != "on_enter_pressed" && s != "on_character_entered" {
			c.fail(at(inner, "trigger_actions_on", i), "must be on_enter_pressed or on_character_entered")
		}
	}
}

// view checks a modal's or a Home's definition.
func (c *checker) view(v Object, path string) {
	known := []string{"type", "blocks", "private_metadata", "callback_id", "external_id"}
	if c.surface == inModal {
		known = append(known, "title", "close", "submit", "clear_on_close", "notify_on_close")
		c.requiredText(v, "title", path, plainText, maxViewTitle)
		c.optionalText(v, "close", path, plainText, maxViewTitle)
		c.optionalText(v, "submit", path, plainText, maxViewTitle)
		c.optionalBool(v, []string{"clear_on_close", "notify_on_close"}, path)
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if v[key] == nil && key != "blocks" {
			c.fail(at(path, key), "must not be null")
		}
	}
	c.only(v, path, known...)
	c.optionalString(v, "private_metadata", path, 0, maxPrivateMetadata)
	c.optionalString(v, "callback_id", path, 0, maxID)
	c.optionalString(v, "external_id", path, 0, maxID)
	least := 0
	if c.surface == inModal {
		least = 1
	}
	blocks := c.items(v, "blocks", path, least, maxViewBlocks)
	for i, b := range blocks {
		c.block(b, at(path, "blocks", i))
	}
	if c.surface == inModal && v["submit"] == nil && slices.ContainsFunc(blocks, func(b any) bool { return str(asObject(b), "type") == "input" }) {
		c.fail(path, "missing required field: submit")
	}
}
