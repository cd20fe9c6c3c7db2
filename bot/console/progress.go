package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Progress follows one operation: a line for the whole and one for each
// server, redrawn in place on a terminal, printed once each otherwise.
type Progress struct {
	c       *Console
	started time.Time
	order   []string
	line    map[string]orchestrator.Event
	drawn   int
}

// Progress starts following.
func (c *Console) Progress() *Progress {
	return &Progress{c: c, started: c.Now(), line: map[string]orchestrator.Event{}}
}

// Add takes new events.
func (p *Progress) Add(events []orchestrator.Event) {
	for _, e := range events {
		if !slices.Contains(p.order, e.Server) {
			p.order = append(p.order, e.Server)
			slices.Sort(p.order)
		}
		if p.line[e.Server].Text == e.Text && p.line[e.Server].Step == e.Step {
			continue
		}
		p.line[e.Server] = e
		if !p.c.Live {
			fmt.Fprintf(p.c.Err, "%6s  %s\n", p.elapsed(), describe(e))
		}
	}
	p.Tick()
}

// Tick redraws, so that the elapsed time moves.
func (p *Progress) Tick() {
	if !p.c.Live {
		return
	}
	p.clear()
	for _, server := range p.order {
		e := p.line[server]
		color := text.FgYellow
		switch e.Step {
		case "ready", "succeeded":
			color = text.FgGreen
		case "failed", "canceled":
			color = text.FgRed
		}
		line := []rune(fmt.Sprintf("%6s  %s", p.elapsed(), describe(e)))
		fmt.Fprintln(p.c.Err, p.c.paint(string(line[:min(len(line), 100)]), color))
	}
	p.drawn = len(p.order)
}

func (p *Progress) clear() {
	if p.drawn > 0 {
		fmt.Fprintf(p.c.Err, "\x1b[%dA\x1b[J", p.drawn)
	}
	p.drawn = 0
}

func (p *Progress) elapsed() string {
	return p.c.Now().Sub(p.started).Round(100 * time.Millisecond).String()
}

func describe(e orchestrator.Event) string {
	words := e.Text
	if e.Step != "" && !strings.HasPrefix(strings.ToLower(words), e.Step) {
		words = e.Step + ": " + words
	}
	if e.Server != "" {
		words = e.Server + "  " + words
	}
	return strings.Join(strings.Fields(words), " ")
}

func asError(err error) (*orchestrator.Error, bool) {
	var e *orchestrator.Error
	ok := errors.As(err, &e)
	return e, ok
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
