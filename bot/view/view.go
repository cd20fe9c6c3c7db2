// Package view is what Berth says, without how a door shows it: answers,
// errors and the card of an operation as plain data. Slack, the terminal and a
// web page show the same Views.
package view

import (
	"strings"
	"time"

	"github.com/berth-dev/berth/bot"
)

// View is an answer as every door can show it: plain data without markup. A
// door decides how it looks; what it says is decided here.
type View struct {
	// Text says all that matters in plain words: for notifications, screen
	// readers and doors that show nothing else.
	Text  string
	Parts []Part
	// Public says that everybody who sees the conversation may see it; else it
	// is for the person who asked.
	Public bool
}

// Part is one part of a View: a Heading, Paragraph, Facts, Lines, Table, Code,
// Note, Actions or Divider.
type Part interface{ part() }

// Heading is a title.
type Heading struct{ Text string }

// Paragraph is running text.
type Paragraph struct{ Spans []Span }

// Facts are labelled values.
type Facts struct{ Facts []Fact }

// Fact is one of Facts.
type Fact struct {
	Label string
	Spans []Span
}

// Lines are things with a state each, such as servers.
type Lines struct{ Lines []Line }

// Line is one of Lines. The state's word is always in the text too: no door
// tells it by a colour or a picture alone.
type Line struct {
	State State
	Spans []Span
}

// Table is rows of plain text below a header.
type Table struct {
	Header []string
	Rows   [][]string
}

// Code is text as a program printed it.
type Code struct {
	Text     string
	Commands bool // as in a Span: it is about Berth's own commands
}

// Note is small print.
type Note struct{ Spans []Span }

// Actions are things that a person can do next.
type Actions struct{ Actions []Action }

// Divider separates.
type Divider struct{}

func (Heading) part()   {}
func (Paragraph) part() {}
func (Facts) part()     {}
func (Lines) part()     {}
func (Table) part()     {}
func (Code) part()      {}
func (Note) part()      {}
func (Actions) part()   {}
func (Divider) part()   {}

// State is how a thing fares.
type State string

// The states of a Line.
const (
	StateWaiting State = "waiting"
	StateWorking State = "working"
	StateGood    State = "good"
	StateBad     State = "bad"
	StateGone    State = "gone"
)

// Span is a piece of text. At most one of Strong, Code, URL, Person and Time
// is set.
type Span struct {
	Text   string
	Strong bool
	Code   bool
	// Command says that Text, which may be Code, speaks of commands of Berth.
	// They stand there as a shell takes them ("berth env show qa"); a door
	// writes them as they are typed there. So do View.Text and Code.
	Command bool
	URL     string // Text is a link to it
	Person  string // a person's name in Berth; a door may know how to call them
	Time    time.Time
}

// Action is a button: it runs a command, opens a form or follows a link.
type Action struct {
	Label string
	Style Style
	// Command is a command's canonical text, run as if the person had typed it.
	Command string
	// Form names a form to open, with Command as what is filled in already.
	Form string
	URL  string
	// About is the environment that the action is about and what was known of
	// it: an action on something that has changed since says so instead.
	About About
	// Confirm is asked before.
	Confirm *Confirm
}

// About pins an action to what the person saw.
type About struct {
	Environment string // ID
	Operation   string // ID of the operation that was the last one then
}

// Style is how prominent an Action is.
type Style string

// The styles of an Action.
const (
	StylePlain   Style = ""
	StylePrimary Style = "primary"
	StyleDanger  Style = "danger"
)

// Confirm asks before an Action.
type Confirm struct{ Title, Text, Yes, No string }

func plain(text string) Span  { return Span{Text: text} }
func strong(text string) Span { return Span{Text: text, Strong: true} }
func code(text string) Span   { return Span{Text: text, Code: true} }

// commands is a sentence of Berth's own with commands in it.
func commands(text string) Span { return Span{Text: bot.Commands(text), Command: true} }

// typed is a command and nothing else.
func typed(text string) Span { return Span{Text: bot.Commands(text), Code: true, Command: true} }

func person(name string) Span { return Span{Text: name, Person: name} }
func when(t time.Time) Span   { return Span{Text: t.UTC().Format("2 Jan 15:04 MST"), Time: t} }
func link(text, url string) Span {
	if url == "" {
		return plain(text)
	}
	return Span{Text: text, URL: url}
}

// PlainText is spans without their looks.
func PlainText(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}
