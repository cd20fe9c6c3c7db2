// Package blocks writes Views as Slack's Block Kit, and forms as its modals:
// pure values, within every limit of Slack's, whatever is in the View. Text of
// anybody's is never markup there.
package blocks

import (
	"encoding/json"
	"fmt"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/mattn/go-runewidth"

	"github.com/berth-dev/berth/bot/view"
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
}

// Action is a button as it comes back when it was pressed.
type Action struct {
	Command, Form string
	About         view.About
}

// actionPrefix marks the buttons that carry an Action.
const actionPrefix = "berth:"

// wired is an Action in a button's value.
type wired struct {
	Command     string `json:"c,omitempty"`
	Form        string `json:"f,omitempty"`
	Environment string `json:"e,omitempty"`
	Operation   string `json:"o,omitempty"`
}

// DecodeAction reads a pressed button; false means that it is none of ours.
func DecodeAction(actionID, value string) (Action, bool) {
	var w wired
	if !strings.HasPrefix(actionID, actionPrefix) || json.Unmarshal([]byte(value), &w) != nil || w.Command == "" && w.Form == "" {
		return Action{}, false
	}
	return Action{Command: w.Command, Form: w.Form, About: view.About{Environment: w.Environment, Operation: w.Operation}}, true
}

// Render writes a View as a message.
func Render(v view.View, o Options) Message {
	m := Message{Text: topText(v.Text), Blocks: (&renderer{Options: o}).parts(v.Parts, maxBlocks, maxMessage)}
	if len(m.Blocks) == 0 {
		m.Blocks = []slackgo.Block{section(plain(Clip(m.Text, maxSection/4)))}
	}
	return m
}

// Home writes Views one below the other as somebody's App Home.
func Home(views []view.View, o Options) slackgo.HomeTabViewRequest {
	r := &renderer{Options: o}
	var all []slackgo.Block
	for i, v := range views {
		if i > 0 && len(all) < maxHomeBlocks {
			all = append(all, slackgo.NewDividerBlock())
		}
		all = append(all, r.parts(v.Parts, maxHomeBlocks-len(all), 100_000)...)
	}
	return slackgo.HomeTabViewRequest{Type: slackgo.VTHomeTab, Blocks: slackgo.Blocks{BlockSet: all}}
}

// topText is the text beside the blocks: escaped, and never empty.
func topText(text string) string {
	text = strings.TrimSpace(clean(text))
	if text == "" {
		text = "Berth"
	}
	out := plain(Clip(text, maxText))
	for limit := maxText; len([]rune(out)) > maxText; {
		limit = limit * 3 / 4
		out = plain(Clip(text, limit))
	}
	return out
}

// renderer writes the parts of one message; it numbers the buttons.
type renderer struct {
	Options
	actions int
}

// parts writes as many parts as fit, and says when something was left out.
// Actions are what a person came for: the last ones are kept.
func (r *renderer) parts(parts []view.Part, limit, size int) []slackgo.Block {
	if limit <= 0 {
		return nil
	}
	var groups [][]slackgo.Block
	for _, p := range parts {
		if g := r.part(p); len(g) > 0 {
			groups = append(groups, g)
		}
	}
	count, bytes := 0, 0
	weight := func(g []slackgo.Block) int {
		raw, err := json.Marshal(g)
		if err != nil {
			return size + 1
		}
		return len(raw)
	}
	for _, g := range groups {
		count, bytes = count+len(g), bytes+weight(g)
	}
	if count <= limit && bytes <= size {
		return flat(groups)
	}
	// Too much: keep the head and the last group, leave out in between.
	last := groups[len(groups)-1]
	note := context("… there is more than fits here.")
	if len(groups) == 1 || weight(last) > size/2 || len(last) > limit/2 {
		last = nil
	}
	count, bytes = len(last)+1, weight(last)+200
	var out []slackgo.Block
	rest := groups
	if last != nil {
		rest = groups[:len(groups)-1]
	}
	for _, g := range rest {
		for _, b := range g {
			w := weight([]slackgo.Block{b})
			if count+1 > limit || bytes+w > size {
				out = append(out, note)
				return append(out, last...)
			}
			out, count, bytes = append(out, b), count+1, bytes+w
		}
	}
	return append(append(out, note), last...)
}

func flat(groups [][]slackgo.Block) []slackgo.Block {
	var out []slackgo.Block
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

// glyphs mark states; the word is in the text as well.
var glyphs = map[view.State]string{view.StateWaiting: "◌", view.StateWorking: "◔", view.StateGood: "✓", view.StateBad: "✗", view.StateGone: "–"}

func (r *renderer) part(p view.Part) []slackgo.Block {
	switch p := p.(type) {
	case view.Heading:
		text := strings.Join(strings.Fields(clean(p.Text)), " ")
		if text == "" {
			return nil
		}
		return []slackgo.Block{slackgo.NewHeaderBlock(slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(text, maxHeader), false, false))}
	case view.Paragraph:
		return sections(r.mrkdwn(p.Spans, maxSection))
	case view.Note:
		if text := r.mrkdwn(p.Spans, maxField); strings.TrimSpace(text) != "" {
			return []slackgo.Block{context(text)}
		}
	case view.Lines:
		return r.lines(p)
	case view.Facts:
		return r.facts(p)
	case view.Table:
		return code(table(p))
	case view.Code:
		return code(p.Text)
	case view.Actions:
		return r.buttons(p)
	case view.Divider:
		return []slackgo.Block{slackgo.NewDividerBlock()}
	}
	return nil
}

func section(text string) slackgo.Block {
	return slackgo.NewSectionBlock(slackgo.NewTextBlockObject(slackgo.MarkdownType, text, false, true), nil, nil)
}

// sections is one section, or none for empty text.
func sections(text string) []slackgo.Block {
	if strings.TrimSpace(strings.ReplaceAll(text, joiner, "")) == "" {
		return nil
	}
	return []slackgo.Block{section(text)}
}

func context(text string) slackgo.Block {
	return slackgo.NewContextBlock("", slackgo.NewTextBlockObject(slackgo.MarkdownType, text, false, true))
}

// lines puts as many lines into a section as it takes.
func (r *renderer) lines(l view.Lines) []slackgo.Block {
	var out []slackgo.Block
	var b strings.Builder
	room := maxSection
	flush := func() {
		out = append(out, sections(strings.TrimRight(b.String(), "\n"))...)
		b.Reset()
		room = maxSection
	}
	for _, line := range l.Lines {
		glyph := glyphs[line.State]
		if glyph == "" {
			glyph = "·"
		}
		text := glyph + " " + r.mrkdwn(line.Spans, maxSection-10) + "\n"
		n := len([]rune(text))
		if n > room {
			flush()
		}
		b.WriteString(text)
		room -= n
	}
	flush()
	return out
}

func (r *renderer) facts(f view.Facts) []slackgo.Block {
	var out []slackgo.Block
	var fields []*slackgo.TextBlockObject
	flush := func() {
		if len(fields) > 0 {
			out = append(out, slackgo.NewSectionBlock(nil, fields, nil))
		}
		fields = nil
	}
	for _, fact := range f.Facts {
		value := r.mrkdwn(fact.Spans, maxField-200)
		if strings.TrimSpace(value) == "" {
			value = "–"
		}
		fields = append(fields, slackgo.NewTextBlockObject(slackgo.MarkdownType, "*"+plain(Clip(fact.Label, 60))+"*\n"+value, false, true))
		if len(fields) == maxFields {
			flush()
		}
	}
	flush()
	return out
}

// code is text as it was printed; of a long one the end is kept, where the
// reason stands.
func code(text string) []slackgo.Block {
	text = strings.Trim(strings.ReplaceAll(clean(text), "```", "ˋˋˋ"), "\n")
	if strings.TrimSpace(text) == "" {
		return nil
	}
	escaped := entities.Replace(text)
	for r := []rune(text); len([]rune(escaped)) > maxSection-20; {
		r = r[len(r)/8+1:]
		escaped = "…" + entities.Replace(string(r))
	}
	return []slackgo.Block{section("```\n" + escaped + "\n```")}
}

// table aligns columns as wide as they look.
func table(t view.Table) string {
	rows := append([][]string{t.Header}, t.Rows...)
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], min(runewidth.StringWidth(clean(cell)), 40))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += runewidth.FillRight(runewidth.Truncate(strings.ReplaceAll(clean(cell), "\n", " "), 40, "…"), widths[i]) + "  "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func (r *renderer) buttons(a view.Actions) []slackgo.Block {
	var out []slackgo.Block
	var elements []slackgo.BlockElement
	flush := func() {
		if len(elements) > 0 {
			r.actions++
			out = append(out, slackgo.NewActionBlock(fmt.Sprintf("actions:%d", r.actions), elements...))
		}
		elements = nil
	}
	for i, action := range a.Actions {
		b := r.button(action, i)
		if b == nil {
			if action.Command != "" {
				out = append(out, sections(codeSpan(Clip(action.Command, maxSection/2)))...)
			}
			continue
		}
		if elements = append(elements, b); len(elements) == maxActions {
			flush()
		}
	}
	flush()
	return out
}

// button is one action, or nil when Slack could not carry it.
func (r *renderer) button(a view.Action, n int) slackgo.BlockElement {
	label := strings.Join(strings.Fields(clean(a.Label)), " ")
	if label == "" {
		label = "Go"
	}
	text := slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(label, maxButton), false, false)
	if a.URL != "" {
		u, ok := address(a.URL)
		if !ok {
			return nil
		}
		b := slackgo.NewButtonBlockElement(fmt.Sprintf("link:%d", n), "", text)
		b.URL = strings.ReplaceAll(u, "&amp;", "&")
		return b
	}
	value, err := json.Marshal(wired{Command: a.Command, Form: a.Form, Environment: a.About.Environment, Operation: a.About.Operation})
	if err != nil || len(value) > maxValue {
		return nil
	}
	b := slackgo.NewButtonBlockElement(fmt.Sprintf("%s%d", actionPrefix, n), string(value), text)
	switch a.Style {
	case view.StylePrimary:
		b.Style = slackgo.StylePrimary
	case view.StyleDanger:
		b.Style = slackgo.StyleDanger
	}
	if a.Command != "" && a.Command != label {
		b.AccessibilityLabel = Clip(label+": "+clean(a.Command), maxButton)
	}
	if c := a.Confirm; c != nil {
		confirm := slackgo.NewConfirmationBlockObject(
			slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(clean(c.Title), 100), false, false),
			slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(clean(c.Text), 300), false, false),
			slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(clean(c.Yes), 30), false, false),
			slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(clean(c.No), 30), false, false))
		if a.Style == view.StyleDanger {
			confirm.Style = slackgo.StyleDanger
		}
		b.Confirm = confirm
	}
	return b
}
