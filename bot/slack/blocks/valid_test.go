package blocks_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
)

// What Slack documents about blocks, checked on their JSON: this knows nothing
// of how they were made.

type object = map[string]any

type validator struct {
	found   []string
	blocks  map[string]bool
	actions map[string]bool
	people  map[string]bool // who may be mentioned
}

func (v *validator) fail(format string, args ...any) {
	if len(v.found) < 10 {
		v.found = append(v.found, fmt.Sprintf(format, args...))
	}
}

func jsonOf(value any) []byte {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return raw
}

func generic(value any) any {
	var out any
	if err := json.Unmarshal(jsonOf(value), &out); err != nil {
		panic(err)
	}
	return out
}

// problems are all that is wrong with a message.
func problems(m blocks.Message, people ...string) []string {
	v := newValidator(people)
	v.markup("text", m.Text, 3900)
	if n := len(jsonOf(m.Blocks)); n > 12_500 {
		v.fail("%d bytes of blocks", n)
	}
	if len(m.Blocks) == 0 {
		v.fail("no blocks")
	}
	v.list(m.Blocks, 50)
	return v.found
}

// viewProblems are all that is wrong with a modal or a Home.
func viewProblems(view any, people ...string) []string {
	v := newValidator(people)
	if n := len(jsonOf(view)); n > 250_000 {
		v.fail("%d bytes of view", n)
	}
	o := generic(view).(object)
	all, _ := o["blocks"].([]any)
	v.listOf(all, 100)
	if o["type"] == "modal" {
		v.text("title", o["title"], 24, false)
		if len(all) == 0 {
			v.fail("an empty modal")
		}
		if o["submit"] == nil && strings.Contains(string(jsonOf(all)), `"type":"input"`) {
			v.fail("no submit")
		}
	}
	if len(fmt.Sprint(o["private_metadata"])) > 3000 {
		v.fail("private_metadata")
	}
	return v.found
}

func newValidator(people []string) *validator {
	v := &validator{blocks: map[string]bool{}, actions: map[string]bool{}, people: map[string]bool{}}
	for _, p := range people {
		v.people[p] = true
	}
	return v
}

func (v *validator) list(all []slackgo.Block, most int) {
	if all == nil {
		return
	}
	v.listOf(generic(all).([]any), most)
}

func (v *validator) listOf(all []any, most int) {
	if len(all) > most {
		v.fail("%d blocks", len(all))
	}
	for i, b := range all {
		v.block(i, b.(object))
	}
}

func (v *validator) once(what string, seen map[string]bool, id any) {
	s, _ := id.(string)
	if s == "" {
		return
	}
	if len(s) > 255 {
		v.fail("%s has %d bytes", what, len(s))
	}
	if seen[s] {
		v.fail("%s %q twice", what, s)
	}
	seen[s] = true
}

func (v *validator) block(i int, b object) {
	v.once("block_id", v.blocks, b["block_id"])
	at := fmt.Sprintf("%d %v", i, b["type"])
	switch b["type"] {
	case "divider":
	case "header":
		v.text(at, b["text"], 150, false)
	case "section":
		if b["text"] != nil {
			v.text(at, b["text"], 3000, true)
		}
		fields, _ := b["fields"].([]any)
		if b["text"] == nil && len(fields) == 0 || len(fields) > 10 {
			v.fail("%s: %d fields", at, len(fields))
		}
		for _, f := range fields {
			v.text(at+" field", f, 2000, true)
		}
	case "context":
		all := b["elements"].([]any)
		if len(all) < 1 || len(all) > 10 {
			v.fail("%s: %d elements", at, len(all))
		}
		for _, e := range all {
			v.text(at, e, 2000, true)
		}
	case "actions":
		all := b["elements"].([]any)
		if len(all) < 1 || len(all) > 25 {
			v.fail("%s: %d elements", at, len(all))
		}
		for _, e := range all {
			v.button(at, e.(object))
		}
	case "input":
		v.text(at, b["label"], 2000, false)
		if b["hint"] != nil {
			v.text(at, b["hint"], 2000, false)
		}
		v.field(at, b["element"].(object))
	default:
		v.fail("%s: unknown", at)
	}
}

func (v *validator) button(at string, e object) {
	if e["type"] != "button" {
		v.fail("%s: a %v", at, e["type"])
	}
	if e["action_id"] == nil {
		v.fail("%s: no action_id", at)
	}
	v.once("action_id", v.actions, e["action_id"])
	v.text(at+" button", e["text"], 75, false)
	value, _ := e["value"].(string)
	link, _ := e["url"].(string)
	if link != "" && value != "" || link == "" && value == "" {
		v.fail("%s: a button with value %q and url %q", at, value, link)
	}
	if utf8.RuneCountInString(value) > 2000 || len(link) > 3000 {
		v.fail("%s: value of %d, url of %d", at, len(value), len(link))
	}
	if link != "" && !strings.HasPrefix(strings.ToLower(link), "http://") && !strings.HasPrefix(strings.ToLower(link), "https://") {
		v.fail("%s: url %q", at, link)
	}
	if s, given := e["accessibility_label"].(string); given && (s == "" || utf8.RuneCountInString(s) > 75) {
		v.fail("%s: accessibility_label %q", at, s)
	}
	if c, given := e["confirm"].(object); given {
		v.text(at+" confirm title", c["title"], 100, false)
		v.text(at+" confirm text", c["text"], 300, false)
		v.text(at+" confirm yes", c["confirm"], 30, false)
		v.text(at+" confirm no", c["deny"], 30, false)
	}
}

func (v *validator) field(at string, e object) {
	if p := e["placeholder"]; p != nil {
		v.text(at+" placeholder", p, 150, false)
	}
	switch e["type"] {
	case "plain_text_input":
	case "external_select":
		if o := e["initial_option"]; o != nil {
			v.option(at, o)
		}
	case "static_select":
		all, _ := e["options"].([]any)
		if len(all) < 1 || len(all) > 100 {
			v.fail("%s: %d options", at, len(all))
		}
		found := e["initial_option"] == nil
		values := map[string]bool{}
		for _, o := range all {
			v.option(at, o)
			v.once("option of "+at, values, o.(object)["value"])
			found = found || string(jsonOf(o)) == string(jsonOf(e["initial_option"]))
		}
		if !found {
			v.fail("%s: the initial option is none of the options", at)
		}
	default:
		v.fail("%s: a field of type %v", at, e["type"])
	}
}

func (v *validator) option(at string, o any) {
	v.text(at+" option", o.(object)["text"], 75, false)
	if s, _ := o.(object)["value"].(string); s == "" || len(s) > 150 {
		v.fail("%s: option value %q", at, s)
	}
}

func (v *validator) text(at string, o any, most int, markup bool) {
	t, ok := o.(object)
	if !ok {
		v.fail("%s: no text", at)
		return
	}
	s, _ := t["text"].(string)
	if markup && t["type"] == "mrkdwn" {
		if t["verbatim"] != true {
			v.fail("%s: Slack looks for names in it", at)
		}
		v.markup(at, s, most)
		return
	}
	if t["type"] != "plain_text" {
		v.fail("%s: %v", at, t["type"])
	}
	if emoji, _ := t["emoji"].(bool); emoji || t["emoji"] == nil {
		v.fail("%s: emoji are drawn", at)
	}
	v.plain(at, s, most)
}

// plain checks what holds for every text.
func (v *validator) plain(at, s string, most int) {
	if n := utf8.RuneCountInString(s); n > most || strings.TrimSpace(s) == "" {
		v.fail("%s: %d characters: %.80q", at, n, s)
	}
	if !utf8.ValidString(s) {
		v.fail("%s: broken characters in %.80q", at, s)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) || r == 0xfeff {
			v.fail("%s: %U in %.80q", at, r, s)
		}
	}
}

var (
	angle      = regexp.MustCompile(`<[^<>]*>`)
	goodEntity = regexp.MustCompile(`&(amp|lt|gt);`)
	goodPerson = regexp.MustCompile(`^<@([UW][A-Z0-9]{2,})>$`)
	goodDate   = regexp.MustCompile(`^<!date\^[0-9]+\^\{date_short_pretty\} \{time\}\|[^|]+>$`)
	goodLink   = regexp.MustCompile(`^<(?i:https?)://[^|\s]+\|[^|]+>$`)
	emoji      = regexp.MustCompile(`:[\pL\pN_+'-]+:`)
	bareURL    = regexp.MustCompile(`[a-z]://`)
	bareName   = regexp.MustCompile(`@(here|channel|everyone)`)
)

// markup checks that a text means nothing but what Berth itself says in it.
func (v *validator) markup(at, s string, most int) {
	v.plain(at, s, most)
	for _, token := range angle.FindAllString(s, -1) {
		if m := goodPerson.FindStringSubmatch(token); m != nil {
			if !v.people[m[1]] {
				v.fail("%s: mentions %s", at, token)
			}
		} else if !goodDate.MatchString(token) && !goodLink.MatchString(token) {
			v.fail("%s: %q", at, token)
		}
	}
	rest := angle.ReplaceAllString(s, "·")
	if strings.ContainsAny(rest, "<>") {
		v.fail("%s: a bracket in %.200q", at, rest)
	}
	if n := strings.Count(s, "&"); n != len(goodEntity.FindAllString(s, -1)) {
		v.fail("%s: an ampersand in %.200q", at, s)
	}
	// Within code nothing is drawn; around it must stay nothing that would be.
	if n := strings.Count(rest, "```"); n != 0 && (n != 2 || !strings.HasPrefix(s, "```\n") || !strings.HasSuffix(s, "\n```")) {
		v.fail("%s: the block of code is broken: %.200q", at, s)
		return
	} else if n == 2 {
		return
	}
	if strings.Count(rest, "`")%2 != 0 {
		v.fail("%s: code is open in %.200q", at, s)
	}
	rest = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(rest, "·")
	for _, bad := range []*regexp.Regexp{emoji, bareURL, bareName} {
		if found := bad.FindString(rest); found != "" {
			v.fail("%s: %q is drawn in %.200q", at, found, s)
		}
	}
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "&gt;") {
			v.fail("%s: a quotation: %.80q", at, line)
		}
	}
}
