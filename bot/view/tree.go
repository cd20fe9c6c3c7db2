package view

import (
	"fmt"
	"strings"

	pretty "github.com/jedib0t/go-pretty/v6/list"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/berth-dev/berth/bot"
	o "github.com/berth-dev/berth/orchestrator"
)

// TreeStyle is how a tree looks.
type TreeStyle struct {
	// Width is how many columns there are; 0: nothing is wrapped.
	Width int
	// Paint colours a text that says how something fares; nil: nothing does.
	Paint func(State, string) string
	// Commands writes the commands in a sentence as they are typed; nil: as in a
	// shell.
	Commands func(string) string
	// Clean takes what a screen must not be told out of a text; nil: nothing is.
	Clean func(string) string
}

const (
	// manyNames is how many of the steps that a cause stopped a tree names,
	// manyLines how many lines of what was said.
	manyNames = 12
	manyLines = 40
)

// Tree is all that is known of a failure as lines of text: of each server how
// far it came, and of each cause the step, its code, what it kept from running
// and what was said.
func Tree(e o.Environment, ev o.Evidence, style TreeStyle) string {
	t := tree{style: style, w: pretty.NewWriter(), name: e.Name}
	if t.style.Paint == nil {
		t.style.Paint = func(_ State, s string) string { return s }
	}
	if t.style.Clean == nil {
		t.style.Clean = func(s string) string { return s }
	}
	if t.style.Commands == nil {
		t.style.Commands = bot.Commands
	}
	lines := pretty.StyleConnectedLight
	lines.CharItemSingle, lines.CharItemTop = lines.CharItemBottom, lines.CharItemFirst
	t.w.SetStyle(lines)
	var causes []o.Cause
	if e.Diagnosis != nil {
		causes = e.Diagnosis.Causes
	}
	told := map[int]bool{}
	for _, v := range ev.Servers {
		t.server(v)
		for i, c := range causes {
			if c.Server == v.Server {
				told[i] = true
				t.cause(1, c)
			}
		}
	}
	// Of machines, or of servers that are no more.
	for i, c := range causes {
		if !told[i] && c.Server == "" {
			t.cause(0, c)
		}
	}
	return t.style.Clean(e.Name) + " " + t.style.Paint(stateOf(e.Status), string(e.Status)) + "\n" + t.w.Render() + "\n"
}

type tree struct {
	style TreeStyle
	w     pretty.Writer
	depth int
	name  string
}

// item adds lines at a depth; the branches take three columns a level.
func (t *tree) item(depth int, lines ...string) {
	for ; t.depth < depth; t.depth++ {
		t.w.Indent()
	}
	for ; t.depth > depth; t.depth-- {
		t.w.UnIndent()
	}
	var out []string
	for _, l := range lines {
		if room := t.style.Width - 3*depth - 3; t.style.Width > 0 && room > 20 {
			l = wrapped(l, room)
		}
		out = append(out, l)
	}
	t.w.AppendItem(strings.Join(out, "\n"))
}

// wrapped breaks a line, with what follows the break below its beginning.
func wrapped(l string, width int) string {
	rest := strings.TrimLeft(l, " │")
	lead := l[:len(l)-len(rest)]
	var out []string
	for part := range strings.SplitSeq(text.WrapSoft(rest, width-text.StringWidth(lead)), "\n") {
		out = append(out, lead+strings.TrimRight(part, " "))
	}
	return strings.Join(out, "\n")
}

func (t *tree) server(v o.ServerEvidence) {
	line := fmt.Sprintf("%s %s @ %s — %s", t.style.Clean(v.Server), t.style.Clean(v.Branch), v.Commit[:min(len(v.Commit), 10)], t.style.Paint(stateOf(v.Status), string(v.Status)))
	lines := []string{line + steps(v)}
	if v.Problem != "" {
		lines = append(lines, "  "+oneLine(t.style.Clean(v.Problem)))
	}
	t.item(0, lines...)
}

// steps says how far a server came.
func steps(v o.ServerEvidence) string {
	if v.Total == 0 {
		return ""
	}
	out := fmt.Sprintf(": %d of %s succeeded", v.Succeeded, count(v.Total, "step"))
	if v.Failed > 0 {
		out += fmt.Sprintf(", %d failed", v.Failed)
	}
	if v.Blocked > 0 {
		out += fmt.Sprintf(", %d did not run because of that", v.Blocked)
	}
	return out
}

func (t *tree) cause(depth int, c o.Cause) {
	clean := t.style.Clean
	head := c.Code
	if c.Where != "" {
		head = clean(c.Where) + " (" + c.Code + ")"
	}
	lines := []string{t.style.Paint(StateBad, "✗ "+head), "  " + oneLine(clean(c.Sentence))}
	if c.Compared != nil {
		lines = append(lines, "  "+oneLine(clean(c.Compared.Sentence)))
	}
	if c.Common != nil {
		lines = append(lines, "  "+oneLine(clean(c.Common.Sentence)))
	}
	if !c.Canceled() {
		lines = append(lines, "  "+whoCan[c.Who])
	}
	if c.Next != "" {
		lines = append(lines, "  Next: "+t.style.Commands(oneLine(clean(c.Next))))
	}
	if seen, command := c.History.Words(); command != "" {
		lines = append(lines, "  "+seen+" "+t.style.Commands(oneLine(clean(command)))+".")
	} else if seen != "" {
		lines = append(lines, "  "+oneLine(clean(seen)))
	}
	if c.History != nil && c.History.Note != nil {
		lines = append(lines, "  Ops say: "+oneLine(clean(c.History.Note.Text)))
	}
	if n := max(c.BlockedTotal, len(c.Blocked)); n > 0 {
		names := make([]string, 0, manyNames)
		for _, b := range c.Blocked[:min(len(c.Blocked), manyNames)] {
			names = append(names, oneLine(clean(b)))
		}
		line := fmt.Sprintf("  kept %s from running: %s", count(n, "step"), strings.Join(names, ", "))
		if more := n - len(names); more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		lines = append(lines, line)
	}
	if said := strings.Split(strings.TrimRight(clean(c.Evidence), "\n"), "\n"); c.Evidence != "" {
		lines = append(lines, "  what was said:")
		if left := len(said) - manyLines; left > 0 {
			said = append(append(said[:manyLines/4:manyLines/4], fmt.Sprintf("… %d lines are left out here: %s has all …", left, t.style.Commands("env why "+t.name+" raw"))), said[len(said)-manyLines*3/4:]...)
		}
		for _, l := range said {
			lines = append(lines, "  │ "+l)
		}
	}
	t.item(depth, lines...)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
