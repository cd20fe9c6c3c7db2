package slackfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// surface is where blocks are shown; not every block may be shown everywhere.
type surface string

const (
	inMessage surface = "message"
	inModal   surface = "modal"
	inHome    surface = "home"
)

// checker collects what Slack would refuse. Its findings name the place with a
// JSON pointer, as Slack's do.
type checker struct {
	surface  surface
	newer    []string
	users    func(id string) bool
	found    []string
	blockIDs map[string]bool
	markdown int
	tables   int
	focused  bool
}

func (s *Server) newChecker(on surface) *checker {
	return &checker{surface: on, newer: s.opts.NewerBlocks, blockIDs: map[string]bool{}, users: func(id string) bool { return s.ws.users[id] != nil }}
}

func (c *checker) fail(path, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...)+" [json-pointer:"+path+"]")
}

// errors are the findings as response_metadata.messages carries them.
func (c *checker) messages() []string {
	var all []string
	for _, f := range c.found {
		all = append(all, "[ERROR] "+f)
	}
	return all
}

func at(path string, parts ...any) string {
	for _, p := range parts {
		path += fmt.Sprintf("/%v", p)
	}
	return path
}

// blocks checks a list of blocks.
func (c *checker) blocks(all []any, path string) {
	most := maxViewBlocks
	if c.surface == inMessage {
		most = maxMessageBlocks
	}
	if len(all) > most {
		c.fail(path, "no more than %d items allowed", most)
	}
	for i, v := range all {
		c.block(v, at(path, i))
	}
}

// blockRule is what is known of a block type.
type blockRule struct {
	fields []string // besides type and block_id
	on     []surface
	check  func(c *checker, b Object, path string)
	newer  bool // refused unless Options.NewerBlocks names it
}

var everywhere = []surface{inMessage, inModal, inHome}

var blockRules map[string]blockRule

func init() { // the rules refer to one another
	blockRules = map[string]blockRule{
		"section":  {fields: []string{"text", "fields", "accessory", "expand"}, on: everywhere, check: (*checker).section},
		"divider":  {on: everywhere, check: func(*checker, Object, string) {}},
		"header":   {fields: []string{"text", "level"}, on: everywhere, check: (*checker).header},
		"context":  {fields: []string{"elements"}, on: everywhere, check: (*checker).context},
		"actions":  {fields: []string{"elements"}, on: everywhere, check: (*checker).actions},
		"image":    {fields: []string{"image_url", "alt_text", "title", "slack_file"}, on: everywhere, check: (*checker).image},
		"input":    {fields: []string{"label", "element", "hint", "optional", "dispatch_action"}, on: everywhere, check: (*checker).input},
		"markdown": {fields: []string{"text"}, on: []surface{inMessage}, check: (*checker).markdownBlock},
		"rich_text": {fields: []string{"elements"}, on: everywhere, check: func(c *checker, b Object, path string) {
			c.richText(b, path)
		}},
		"table": {fields: []string{"rows", "column_settings"}, on: []surface{inMessage}, check: (*checker).table},
		"alert": {fields: []string{"text", "level"}, on: []surface{inModal}, check: (*checker).alert},

		"task_card": {fields: []string{"task_id", "title", "status", "details", "output", "sources", "hide_title"}, on: []surface{inMessage}, newer: true, check: (*checker).taskCard},
		"plan":      {fields: []string{"title", "tasks"}, on: []surface{inMessage}, newer: true, check: (*checker).plan},
		"card":      {fields: []string{"hero_image", "icon", "slack_icon", "title", "subtitle", "body", "subtext", "actions"}, on: everywhere, newer: true, check: (*checker).card},
	}
}

func (c *checker) block(v any, path string) {
	b, ok := v.(Object)
	if !ok {
		c.fail(path, "must be an object")
		return
	}
	kind := str(b, "type")
	rule, known := blockRules[kind]
	if !known || rule.newer && !slices.Contains(c.newer, kind) || !slices.Contains(rule.on, c.surface) {
		c.fail(at(path, "type"), "unsupported type: %s", kind)
		return
	}
	c.only(b, path, append([]string{"type", "block_id"}, rule.fields...)...)
	if id, given := c.optionalString(b, "block_id", path, 1, maxID); given {
		if c.blockIDs[id] {
			c.fail(at(path, "block_id"), "`block_id` %q already exists in this %s", id, c.surface)
		}
		c.blockIDs[id] = true
	}
	rule.check(c, b, path)
}

// only refuses fields that Slack does not know there.
func (c *checker) only(o Object, path string, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, key) {
			c.fail(path, "invalid additional property: %s", key)
		}
	}
}

func (c *checker) length(s, path string, least, most int) {
	n := utf8.RuneCountInString(s)
	if n < least {
		c.fail(path, "must be more than %d characters", least-1)
	}
	if n > most {
		c.fail(path, "must be less than %d characters", most+1)
	}
}

func (c *checker) optionalString(o Object, key, path string, least, most int) (string, bool) {
	v, given := o[key]
	if !given {
		return "", false
	}
	s, ok := v.(string)
	if !ok {
		c.fail(at(path, key), "must be a string")
		return "", false
	}
	c.length(s, at(path, key), least, most)
	return s, true
}

func (c *checker) requiredString(o Object, key, path string, least, most int) {
	if _, given := o[key]; !given {
		c.fail(path, "missing required field: %s", key)
		return
	}
	c.optionalString(o, key, path, least, most)
}

func (c *checker) optionalBool(o Object, keys []string, path string) {
	for _, key := range keys {
		if v, given := o[key]; given {
			if _, ok := v.(bool); !ok {
				c.fail(at(path, key), "must be a boolean")
			}
		}
	}
}

func (c *checker) optionalEnum(o Object, key, path string, values ...string) {
	if v, given := o[key]; given {
		if s, ok := v.(string); !ok || !slices.Contains(values, s) {
			c.fail(at(path, key), "must be one of: %s", strings.Join(values, ", "))
		}
	}
}

// integer reads a whole number; least and most bound it.
func (c *checker) optionalInt(o Object, key, path string, least, most int64) (int64, bool) {
	v, given := o[key]
	if !given {
		return 0, false
	}
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil {
		c.fail(at(path, key), "must be an integer")
		return 0, false
	}
	if n < least || n > most {
		c.fail(at(path, key), "must be between %d and %d", least, most)
	}
	return n, true
}

func (c *checker) optionalURL(o Object, key, path string) {
	if s, given := c.optionalString(o, key, path, 1, maxURL); given && s != "" {
		if u, err := url.Parse(s); err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "mailto" && u.Scheme != "slack" {
			c.fail(at(path, key), "must be a valid URL")
		}
	}
}

// items are an array's elements; its size is checked.
func (c *checker) items(o Object, key, path string, least, most int) []any {
	v, given := o[key]
	if !given || v == nil {
		c.fail(path, "missing required field: %s", key)
		return nil
	}
	all, ok := v.([]any)
	if !ok {
		c.fail(at(path, key), "must be an array")
		return nil
	}
	if len(all) < least {
		c.fail(at(path, key), "no fewer than %d items allowed", least)
	}
	if len(all) > most {
		c.fail(at(path, key), "no more than %d items allowed", most)
	}
	return all
}

// Kinds of text objects.
const (
	anyText   = ""
	plainText = "plain_text"
)

// text checks a text object.
func (c *checker) text(v any, path, kind string, most int) {
	o, ok := v.(Object)
	if !ok {
		c.fail(path, "must be a text object")
		return
	}
	switch given := str(o, "type"); {
	case given != "plain_text" && given != "mrkdwn", kind != anyText && given != kind:
		want := "plain_text or mrkdwn"
		if kind != anyText {
			want = kind
		}
		c.fail(at(path, "type"), "unsupported type: %s; must be %s", given, want)
	case given == "plain_text":
		c.only(o, path, "type", "text", "emoji")
		c.optionalBool(o, []string{"emoji"}, path)
	default:
		c.only(o, path, "type", "text", "verbatim")
		c.optionalBool(o, []string{"verbatim"}, path)
	}
	c.requiredString(o, "text", path, 1, most)
}

func (c *checker) requiredText(o Object, key, path, kind string, most int) {
	if v, given := o[key]; !given || v == nil {
		c.fail(path, "missing required field: %s", key)
	} else {
		c.text(v, at(path, key), kind, most)
	}
}

func (c *checker) optionalText(o Object, key, path, kind string, most int) {
	if v, given := o[key]; given {
		c.text(v, at(path, key), kind, most)
	}
}

func (c *checker) section(b Object, path string) {
	_, text := b["text"]
	_, fields := b["fields"]
	if !text && !fields {
		c.fail(path, "must define either `text` or `fields`")
	}
	c.optionalText(b, "text", path, anyText, maxText)
	if fields {
		for i, f := range c.items(b, "fields", path, 1, maxFields) {
			c.text(f, at(path, "fields", i), anyText, maxFieldText)
		}
	}
	c.optionalBool(b, []string{"expand"}, path)
	if v, given := b["accessory"]; given {
		c.element(v, at(path, "accessory"), inSection, map[string]bool{})
	}
}

func (c *checker) header(b Object, path string) {
	c.requiredText(b, "text", path, plainText, maxHeaderText)
	c.optionalInt(b, "level", path, 1, 4)
}

func (c *checker) context(b Object, path string) {
	for i, v := range c.items(b, "elements", path, 1, maxContext) {
		if str(asObject(v), "type") == "image" {
			c.element(v, at(path, "elements", i), inContext, map[string]bool{})
		} else {
			c.text(v, at(path, "elements", i), anyText, maxText)
		}
	}
}

func (c *checker) actions(b Object, path string) {
	actionIDs := map[string]bool{}
	for i, v := range c.items(b, "elements", path, 1, maxActions) {
		c.element(v, at(path, "elements", i), inActions, actionIDs)
	}
}

func (c *checker) image(b Object, path string) {
	c.imageSource(b, path)
	c.optionalText(b, "title", path, plainText, maxImageTitle)
}

func (c *checker) imageSource(o Object, path string) {
	_, link := o["image_url"]
	_, file := o["slack_file"]
	if link == file {
		c.fail(path, "must define either `image_url` or `slack_file`")
	}
	c.optionalURL(o, "image_url", path)
	c.requiredString(o, "alt_text", path, 1, maxAltText)
}

func (c *checker) input(b Object, path string) {
	c.requiredText(b, "label", path, plainText, maxLabel)
	c.optionalText(b, "hint", path, plainText, maxLabel)
	c.optionalBool(b, []string{"optional", "dispatch_action"}, path)
	if v, given := b["element"]; !given || v == nil {
		c.fail(path, "missing required field: element")
	} else {
		c.element(v, at(path, "element"), inInput, map[string]bool{})
	}
}

func (c *checker) markdownBlock(b Object, path string) {
	c.requiredString(b, "text", path, 1, maxMarkdownText)
	before := c.markdown
	c.markdown += utf8.RuneCountInString(str(b, "text"))
	if before > 0 && c.markdown > maxMarkdownText {
		c.fail(at(path, "text"), "all markdown blocks together must be less than %d characters", maxMarkdownText+1)
	}
}

func (c *checker) alert(b Object, path string) {
	c.requiredText(b, "text", path, anyText, maxText)
	c.optionalEnum(b, "level", path, "default", "info", "warning", "error", "success")
}

var richElements = []string{"rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"}

var richInline = map[string][]string{
	"text":      {"text", "style"},
	"link":      {"url", "text", "unsafe", "style"},
	"user":      {"user_id", "style"},
	"usergroup": {"usergroup_id", "style"},
	"channel":   {"channel_id", "style"},
	"broadcast": {"range"},
	"emoji":     {"name", "unicode", "skin_tone", "style"},
	"date":      {"timestamp", "format", "url", "fallback"},
	"color":     {"value"},
}

func (c *checker) richText(b Object, path string) {
	for i, v := range c.items(b, "elements", path, 1, 1000) {
		c.richElement(v, at(path, "elements", i), richElements)
	}
}

func (c *checker) richElement(v any, path string, allowed []string) {
	o := asObject(v)
	kind := str(o, "type")
	if !slices.Contains(allowed, kind) {
		c.fail(at(path, "type"), "unsupported type: %s", kind)
		return
	}
	c.only(o, path, "type", "elements", "style", "indent", "offset", "border", "language")
	for i, v := range c.items(o, "elements", path, 0, 10_000) {
		inner := at(path, "elements", i)
		if kind == "rich_text_list" {
			c.richElement(v, inner, []string{"rich_text_section"})
			continue
		}
		e := asObject(v)
		fields, known := richInline[str(e, "type")]
		if !known {
			c.fail(at(inner, "type"), "unsupported type: %s", str(e, "type"))
			continue
		}
		c.only(e, inner, append([]string{"type"}, fields...)...)
		switch str(e, "type") {
		case "text":
			c.requiredString(e, "text", inner, 1, 1_000_000)
		case "link":
			c.requiredString(e, "url", inner, 1, maxURL)
		case "user":
			c.requiredString(e, "user_id", inner, 1, maxID)
		}
	}
}

func (c *checker) table(b Object, path string) {
	if c.tables++; c.tables > 1 {
		c.fail(path, "only_one_table_allowed")
	}
	characters := 0
	for i, row := range c.items(b, "rows", path, 1, maxTableRows) {
		cells, ok := row.([]any)
		if !ok || len(cells) < 1 || len(cells) > maxTableColumns {
			c.fail(at(path, "rows", i), "must be an array of 1 to %d cells", maxTableColumns)
			continue
		}
		for j, v := range cells {
			cell, inner := asObject(v), at(path, "rows", i, j)
			switch str(cell, "type") {
			case "raw_text":
				c.only(cell, inner, "type", "text")
				c.requiredString(cell, "text", inner, 1, maxTableCharacters)
				characters += utf8.RuneCountInString(str(cell, "text"))
			case "raw_number":
				c.only(cell, inner, "type", "value", "text")
			case "rich_text":
				c.only(cell, inner, "type", "elements")
				c.richText(cell, inner)
			default:
				c.fail(at(inner, "type"), "unsupported type: %s", str(cell, "type"))
			}
		}
	}
	if characters > maxTableCharacters {
		c.fail(path, "all cells together must be less than %d characters", maxTableCharacters+1)
	}
}

func (c *checker) taskCard(b Object, path string) {
	c.requiredString(b, "task_id", path, 1, maxID)
	c.requiredString(b, "title", path, 1, maxText)
	c.optionalEnum(b, "status", path, "pending", "in_progress", "complete", "error")
	c.optionalBool(b, []string{"hide_title"}, path)
	for _, key := range []string{"details", "output"} {
		if v, given := b[key]; given {
			o := asObject(v)
			if str(o, "type") != "rich_text" {
				c.fail(at(path, key, "type"), "unsupported type: %s", str(o, "type"))
				continue
			}
			c.only(o, at(path, key), "type", "elements", "block_id")
			c.richText(o, at(path, key))
		}
	}
	for i, v := range list(b, "sources") {
		c.only(asObject(v), at(path, "sources", i), "type", "url", "text")
		c.optionalURL(asObject(v), "url", at(path, "sources", i))
	}
}

func (c *checker) plan(b Object, path string) {
	c.requiredString(b, "title", path, 1, maxText)
	for i, v := range list(b, "tasks") {
		inner := at(path, "tasks", i)
		c.only(asObject(v), inner, append([]string{"type", "block_id"}, blockRules["task_card"].fields...)...)
		c.taskCard(asObject(v), inner)
	}
}

func (c *checker) card(b Object, path string) {
	c.optionalText(b, "title", path, anyText, maxHeaderText)
	c.optionalText(b, "subtitle", path, anyText, maxHeaderText)
	c.optionalText(b, "body", path, anyText, maxText)
	c.optionalText(b, "subtext", path, anyText, maxHeaderText)
	if b["icon"] != nil && b["slack_icon"] != nil {
		c.fail(path, "must define either `icon` or `slack_icon`")
	}
	if _, given := b["actions"]; given {
		actionIDs := map[string]bool{}
		for i, v := range c.items(b, "actions", path, 1, 5) {
			c.element(v, at(path, "actions", i), inActions, actionIDs)
		}
	}
}

func asObject(v any) Object {
	o, _ := v.(Object)
	return o
}
