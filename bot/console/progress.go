package console

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/jedib0t/go-pretty/v6/text"
)

// stepsShown is how many steps stand under a server while it is worked on.
const stepsShown = 3

// Progress follows one operation: a line for the whole and one for each
// server, with its latest steps under it, redrawn in place on a terminal;
// otherwise a line for each event as it comes.
type Progress struct {
	c       *Console
	started time.Time
	order   []string
	tracks  map[string]*track
	drawn   []int // the widths of the lines on the screen
}

// track is what is known of one server, or of the whole.
type track struct {
	last  orchestrator.Event
	steps []string
	took  time.Duration // set once it has ended
	ended bool
}

// Progress starts following.
func (c *Console) Progress() *Progress {
	return &Progress{c: c, started: c.Now(), tracks: map[string]*track{}}
}

// Add takes new events.
func (p *Progress) Add(events []orchestrator.Event) {
	for _, e := range events {
		t := p.tracks[e.Server]
		if t == nil {
			t = &track{}
			p.tracks[e.Server] = t
			p.order = append(p.order, e.Server)
			slices.Sort(p.order)
		}
		if t.last.Text == e.Text && t.last.Step == e.Step {
			continue
		}
		t.last, t.took, t.ended = e, p.c.Now().Sub(p.started), ended(e.Step)
		if !t.ended {
			t.steps = append(t.steps, line(e.Text))
		}
		if !p.c.Live {
			fmt.Fprintf(p.c.Err, "%6s  %s\n", elapsed(t.took), describe(e))
		}
	}
	p.Tick()
}

func ended(step string) bool {
	return slices.Contains([]string{"ready", "succeeded", "failed", "canceled", "destroyed"}, step)
}

// Tick redraws, so that the elapsed time moves.
func (p *Progress) Tick() {
	if !p.c.Live || len(p.order) == 0 {
		return
	}
	p.draw(false)
}

// Close leaves one line for each server, without the steps.
func (p *Progress) Close() {
	if !p.c.Live || len(p.order) == 0 {
		return
	}
	p.draw(true)
	p.drawn = nil
}

// draw replaces what is on the screen, in one write so that nothing flickers.
func (p *Progress) draw(last bool) {
	columns, rows := p.c.Size()
	var b strings.Builder
	if up := p.rows(columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
	p.drawn = p.drawn[:0]
	// The last column stays free: some terminals wrap as soon as it is written.
	put := func(s string, color text.Color) {
		s = fit(s, columns-1)
		p.drawn = append(p.drawn, width(s))
		fmt.Fprintf(&b, "%s\x1b[K\n", paint(p.c.ColorErr, s, color))
	}
	shown, steps := p.room(rows, last)
	for _, server := range shown {
		t := p.tracks[server]
		color, took := text.FgYellow, t.took
		switch t.last.Step {
		case "ready", "succeeded", "destroyed":
			color = text.FgGreen
		case "failed", "canceled":
			color = text.FgRed
		}
		if !t.ended {
			took = p.c.Now().Sub(p.started)
		}
		// While a server has steps under it they say the rest.
		if head := steps > 0 && server != "" && !t.ended; head {
			put(fmt.Sprintf("%6s  %s  %s", elapsed(took), line(server), line(t.last.Step)), color)
			for _, s := range t.steps[max(0, len(t.steps)-steps):] {
				put("          "+s, text.Faint)
			}
			continue
		}
		put(fmt.Sprintf("%6s  %s", elapsed(took), describe(t.last)), color)
	}
	if hidden := len(p.order) - len(shown); hidden > 0 {
		put(fmt.Sprintf("        … and %d more", hidden), text.Faint)
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(p.c.Err, b.String())
}

// rows is how many rows of the screen the last drawing takes now: terminals
// that became narrower have wrapped its lines.
func (p *Progress) rows(columns int) int {
	n := 0
	for _, w := range p.drawn {
		n += max(1, (w+columns-1)/max(columns, 1))
	}
	return n
}

// room decides what fits on a screen of so many rows: which servers, and how
// many steps under each. What is drawn must never be higher than the screen,
// for what has scrolled away cannot be replaced.
func (p *Progress) room(rows int, last bool) (shown []string, steps int) {
	space := rows - 1 // the cursor's own
	if last {
		return p.order, 0
	}
	if len(p.order) > space {
		// What has ended well is the least interesting; failures come first.
		rank := func(server string) int {
			switch t := p.tracks[server]; {
			case server == "":
				return 0
			case t.last.Step == "failed":
				return 1
			case !t.ended:
				return 2
			}
			return 3
		}
		byRank := slices.Clone(p.order)
		slices.SortStableFunc(byRank, func(a, b string) int { return rank(a) - rank(b) })
		shown = byRank[:max(0, min(space-1, len(byRank)))]
		slices.Sort(shown)
		return shown, 0
	}
	working := 0
	for server, t := range p.tracks {
		if server != "" && !t.ended {
			working++
		}
	}
	if working > 0 {
		steps = min(stepsShown, (space-len(p.order))/working)
	}
	return p.order, steps
}

func elapsed(d time.Duration) string {
	d = d.Round(100 * time.Millisecond)
	if d >= time.Minute {
		d = d.Truncate(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

func describe(e orchestrator.Event) string {
	words := e.Words()
	if e.Server == "" {
		return line(words)
	}
	return line(e.Server) + "  " + line(words)
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
