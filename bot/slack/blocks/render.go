package blocks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Message is what a post, an edit and an answer take. Text is the whole in
// plain words.
type Message struct {
	Text   string
	Blocks []slackgo.Block
}

// Options say how to call people.
type Options struct {
	// Person gives the Slack ID of somebody whom a View names.
	Person func(name string) (userID string, ok bool)
	// Env and Server are the slash commands that stand for berth env and berth
	// server; empty: /env and /server.
	Env, Server string
}

// Typed writes the commands in text as they are typed in Slack.
func (o Options) Typed(text string) string {
	return strings.NewReplacer("berth env ", cmp.Or(o.Env, "/env")+" ", "berth server ", cmp.Or(o.Server, "/server")+" ").Replace(text)
}

// Action is a button as it comes back when it was pressed.
type Action struct {
	Command, Form string
	About         view.About
}

// The action_ids of buttons: those that carry an Action, and those that only
// follow a link.
const (
	actionPrefix = "berth:"
	linkPrefix   = "link:"
)

// wired is an Action in a button's value.
type wired struct {
	Command     string `json:"c,omitempty"`
	Form        string `json:"f,omitempty"`
	Environment string `json:"e,omitempty"`
	Operation   string `json:"o,omitempty"`
}

// DecodeAction reads a pressed button; false means that it is none of ours, or
// damaged.
func DecodeAction(actionID, value string) (Action, bool) {
	var w wired
	if !strings.HasPrefix(actionID, actionPrefix) || json.Unmarshal([]byte(value), &w) != nil || w.Command == "" && w.Form == "" {
		return Action{}, false
	}
	return Action{Command: w.Command, Form: w.Form, About: view.About{Environment: w.Environment, Operation: w.Operation}}, true
}

// encode is an action as a button's value; false if a button cannot carry it.
func encode(a view.Action) (string, bool) {
	if a.Command == "" && a.Form == "" {
		return "", false
	}
	for _, s := range []string{a.Command, a.Form, a.About.Environment, a.About.Operation} {
		if !utf8.ValidString(s) { // it would come back as something else
			return "", false
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(wired{Command: a.Command, Form: a.Form, Environment: a.About.Environment, Operation: a.About.Operation}); err != nil {
		return "", false
	}
	value := strings.TrimSpace(b.String())
	return value, len(value) <= maxValue
}

// Render writes a View as a message.
func Render(v view.View, o Options) Message {
	v.Text = o.Typed(v.Text)
	m := Message{Text: topText(v), Blocks: newRenderer(o, v).fit(v.Parts, room{maxBlocks, maxMessage})}
	if len(m.Blocks) == 0 {
		text := mrkdwn([]view.Span{{Text: v.Text}}, o, maxSection/2)
		if blank(text) {
			text = m.Text
		}
		m.Blocks = []slackgo.Block{section(text)}
	}
	return m
}

// Home writes Views one below the other as somebody's App Home. What does not
// fit is taken from the longest.
func Home(views []view.View, o Options) slackgo.HomeTabViewRequest {
	r := newRenderer(o, views...)
	needs := make([]int, len(views))
	for i, v := range views {
		needs[i] = len(newRenderer(o, v).fit(v.Parts, room{maxViewBlocks, maxView}))
	}
	all := []slackgo.Block{}
	left := maxViewBlocks
	for i, v := range views {
		later := 0
		for _, n := range needs[i+1:] {
			later += min(n, maxViewBlocks/len(views)-1) + 1
		}
		if i > 0 && left > 1 {
			all = append(all, slackgo.NewDividerBlock())
			left--
		}
		part := r.fit(v.Parts, room{left - later, maxView / len(views)})
		all = append(all, part...)
		left -= len(part)
	}
	return slackgo.HomeTabViewRequest{Type: slackgo.VTHomeTab, Blocks: slackgo.Blocks{BlockSet: all[:min(len(all), maxViewBlocks)]}}
}

// topText is the text beside the blocks: for notifications and for who listens.
func topText(v view.View) string {
	if text := plainMarkup(v.Text, maxText); !blank(text) {
		return text
	}
	var words []string
	for _, p := range v.Parts {
		switch p := p.(type) {
		case view.Heading:
			words = append(words, p.Text)
		case view.Paragraph:
			words = append(words, view.PlainText(p.Spans))
		case view.Note:
			words = append(words, view.PlainText(p.Spans))
		}
	}
	if text := plainMarkup(strings.Join(words, " "), maxText); !blank(text) {
		return text
	}
	return "Berth"
}

// renderer writes the parts of one surface; it numbers the buttons.
type renderer struct {
	Options
	buttons int
	labels  map[string]int // how often a label stands on a button
	// most is how many bytes there is room for: lines beyond are only counted.
	most int
}

func newRenderer(o Options, views ...view.View) *renderer {
	r := &renderer{Options: o, labels: map[string]int{}}
	for _, v := range views {
		for _, p := range v.Parts {
			if a, ok := p.(view.Actions); ok {
				for _, action := range a.Actions {
					r.labels[action.Label]++
				}
			}
		}
	}
	return r
}

// units writes parts with no text longer than limit.
func (r *renderer) units(parts []view.Part, limit int) []unit {
	var out []unit
	for _, p := range parts {
		out = append(out, r.part(p, limit)...)
	}
	return out
}

func (r *renderer) part(p view.Part, limit int) []unit {
	switch p := p.(type) {
	case view.Heading:
		if text := Clip(oneLine(p.Text), maxHeader); !blank(text) {
			return []unit{newUnit(0, slackgo.NewHeaderBlock(plainText(text, maxHeader)))}
		}
	case view.Paragraph:
		if text := mrkdwn(p.Spans, r.Options, limit); !blank(text) {
			return []unit{newUnit(0, section(text))}
		}
	case view.Note:
		if text := mrkdwn(p.Spans, r.Options, min(limit, maxField)); !blank(text) {
			return []unit{newUnit(0, note(text))}
		}
	case view.Lines:
		return r.lines(p, limit)
	case view.Facts:
		return r.facts(p, limit)
	case view.Table:
		if text := table(p, limit-len(fenced)); !blank(text) {
			return []unit{newUnit(0, section(fence(text, limit)))}
		}
	case view.Code:
		if p.Commands {
			p.Text = r.Typed(p.Text)
		}
		return code(p.Text, limit)
	case view.Actions:
		return r.actions(p, limit)
	case view.Divider:
		return []unit{newUnit(0, slackgo.NewDividerBlock())}
	}
	return nil
}

// plainText is text that Slack shows as it is, without emoji of it.
func plainText(text string, limit int) *slackgo.TextBlockObject {
	text = Clip(oneLine(text), limit)
	if blank(text) {
		text = "–"
	}
	return slackgo.NewTextBlockObject(slackgo.PlainTextType, text, false, false)
}

// section shows markup. Verbatim keeps Slack from finding more in it.
func section(text string) slackgo.Block {
	return slackgo.NewSectionBlock(slackgo.NewTextBlockObject(slackgo.MarkdownType, text, false, true), nil, nil)
}

// note shows markup in small print.
func note(text string) slackgo.Block {
	return slackgo.NewContextBlock("", slackgo.NewTextBlockObject(slackgo.MarkdownType, text, false, true))
}

// signs mark states. The word is put in where the line has none that says it.
var signs = map[view.State]struct {
	glyph, word string
	says        *lazyregexp.Regexp
}{
	view.StateWaiting: {"◌", "waiting", says("waiting|waits|queued|would")},
	view.StateWorking: {"◔", "working", says("working|running|creating|deploying|destroying|configuring|starting")},
	view.StateGood:    {"✓", "good", says("good|ready|succeeded|done|healthy")},
	view.StateBad:     {"✗", "failed", says("bad|failed|fails|failure|error")},
	view.StateGone:    {"–", "gone", says("gone|destroyed|removed|canceled")},
}

func says(words string) *lazyregexp.Regexp { return lazyregexp.New(`(?i)\b(?:` + words + `)\b`) }

// line is one line of Lines with its state.
func (r *renderer) line(l view.Line, limit int) string {
	text := mrkdwn(l.Spans, r.Options, limit-12)
	sign, known := signs[l.State]
	switch {
	case !known:
		return "· " + text
	case sign.says.MatchString(head(view.PlainText(l.Spans), limit)):
		return sign.glyph + " " + text
	}
	return strings.TrimSpace(sign.glyph + " " + sign.word + " " + text)
}

// lines puts as many lines into a section as it takes.
func (r *renderer) lines(l view.Lines, limit int) []unit {
	var out []unit
	var held []string
	used, bytes := 0, 0
	flush := func() {
		if len(held) > 0 {
			out = append(out, newUnit(len(held), section(strings.Join(held, "\n"))))
			bytes += out[len(out)-1].bytes
		}
		held, used = nil, 0
	}
	for i, line := range l.Lines {
		if bytes > r.most { // these do not fit already
			return append(out, unit{lines: len(held) + len(l.Lines) - i, bytes: r.most + 1})
		}
		text := r.line(line, limit)
		if used+size(text)+1 > limit {
			flush()
		}
		held = append(held, text)
		used += size(text) + 1
	}
	flush()
	return out
}

func (r *renderer) facts(f view.Facts, limit int) []unit {
	var out []unit
	for some := range slices.Chunk(f.Facts, maxFields) {
		var fields []*slackgo.TextBlockObject
		for _, fact := range some {
			name := mrkdwn([]view.Span{{Text: Clip(oneLine(fact.Label), 60), Strong: true}}, r.Options, 300)
			value := mrkdwn(fact.Spans, r.Options, min(limit, maxField-310))
			if blank(value) {
				value = "–"
			}
			fields = append(fields, slackgo.NewTextBlockObject(slackgo.MarkdownType, strings.TrimSpace(name+"\n"+value), false, true))
		}
		out = append(out, newUnit(0, slackgo.NewSectionBlock(nil, fields, nil)))
	}
	return out
}

// fenced is what a block of code needs besides its text.
const fenced = "```\n\n```…"

// code is text as it was printed, in sections that end with a line. Of a long
// one the end is kept, where the reason stands.
func code(text string, limit int) []unit {
	const most = 3
	text = strings.Trim(clean(text), "\n")
	if blank(text) {
		return nil
	}
	room := limit - len(fenced)
	end := tail(text, most*limit)
	lines := strings.Split(end, "\n")
	var chunks []string
	for len(lines) > 0 && len(chunks) < most {
		from, used := len(lines), 0
		for from > 0 {
			n := 1
			for _, p := range fencePieces(lines[from-1]) {
				n += size(p)
			}
			if used+n > room && used > 0 {
				break
			}
			used += n
			from--
		}
		chunks = append(chunks, strings.Join(lines[from:], "\n"))
		lines = lines[:from]
	}
	slices.Reverse(chunks)
	var out []unit
	if len(lines) > 0 || len(end) < len(text) {
		out = append(out, newUnit(0, note("… the end of it:")))
	}
	for _, c := range chunks {
		if !blank(c) {
			out = append(out, newUnit(0, section(fence(c, limit))))
		}
	}
	return out
}

// table aligns columns as wide as they look, within limit characters.
func table(t view.Table, limit int) string {
	const widest, columns = 40, 20
	rows := make([][]string, 0, len(t.Rows)+1)
	var widths []int
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var cells []string
		for i, cell := range row[:min(len(row), columns)] {
			cell = ansi.Truncate(oneLine(cell), widest, ellipsis)
			cells = append(cells, cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
		rows = append(rows, cells)
	}
	var out []string
	used := 0
	for n, row := range rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2)
		}
		line = strings.TrimRight(line, " ")
		if n == 0 && line == "" {
			continue // no header
		}
		need := 1
		for _, p := range fencePieces(line) {
			need += size(p)
		}
		if used+need > limit-40 && len(out) > 0 {
			out = append(out, fmt.Sprintf("… and %d more", len(rows)-n))
			break
		}
		out = append(out, line)
		used += need
	}
	return strings.Join(out, "\n")
}

// actions are rows of buttons. A command that no button can carry is shown, to
// be typed.
func (r *renderer) actions(a view.Actions, limit int) []unit {
	var elements []slackgo.BlockElement
	var typed []slackgo.Block
	for _, action := range a.Actions {
		if b := r.button(action); b != nil {
			elements = append(elements, b)
			continue
		}
		what := action.Command
		if what == "" {
			what = action.URL
		}
		if !blank(what) {
			typed = append(typed, section(mrkdwn([]view.Span{{Text: oneLine(action.Label) + ": "}, {Text: what, Code: true}}, r.Options, limit)))
		}
	}
	var out []unit
	for _, b := range typed {
		out = append(out, newUnit(0, b))
	}
	for some := range slices.Chunk(elements, maxActions) {
		// Numbered by its first button: a row is never twice on a surface.
		id := "row:" + strings.NewReplacer(actionPrefix, "", linkPrefix, "").Replace(some[0].(*slackgo.ButtonBlockElement).ActionID)
		out = append(out, newUnit(0, slackgo.NewActionBlock(id, some...)))
	}
	return out
}

// button is one action, or nil when Slack could not carry it.
func (r *renderer) button(a view.Action) slackgo.BlockElement {
	label := oneLine(a.Label)
	if blank(label) {
		if label = oneLine(a.Command); blank(label) {
			label = "Go"
		}
	}
	b := slackgo.NewButtonBlockElement("", "", plainText(label, maxButton))
	if a.URL != "" {
		link, ok := address(a.URL)
		if !ok {
			return nil
		}
		b.URL = link
		b.ActionID = fmt.Sprintf("%s%d", linkPrefix, r.buttons)
	} else {
		value, ok := encode(a)
		if !ok {
			return nil
		}
		b.Value = value
		b.ActionID = fmt.Sprintf("%s%d", actionPrefix, r.buttons)
	}
	r.buttons++
	switch a.Style {
	case view.StylePrimary:
		b.Style = slackgo.StylePrimary
	case view.StyleDanger:
		b.Style = slackgo.StyleDanger
	}
	if r.labels[a.Label] > 1 {
		b.AccessibilityLabel = Clip(whose(label, a), maxButton)
	}
	if c := a.Confirm; c != nil {
		or := func(text, otherwise string, limit int) *slackgo.TextBlockObject {
			if blank(clean(text)) {
				text = otherwise
			}
			return plainText(text, limit)
		}
		b.Confirm = slackgo.NewConfirmationBlockObject(or(c.Title, label, 100), or(c.Text, "Are you sure?", maxConfirm), or(c.Yes, "Yes", 30), or(c.No, "No", 30))
		if a.Style == view.StyleDanger {
			b.Confirm.Style = slackgo.StyleDanger
		}
	}
	return b
}

// whose tells a button from others with the same label, for who listens: by
// what its command is about, else by all of it.
func whose(label string, a view.Action) string {
	words := strings.Fields(oneLine(a.Command))
	switch {
	case a.URL != "":
		return label + " " + oneLine(a.URL)
	case len(words) >= 3:
		return label + " " + words[2]
	}
	return strings.TrimSpace(label + " " + strings.Join(words, " "))
}
