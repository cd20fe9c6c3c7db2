package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// sentenceInTable is how much of a sentence a table shows, in columns.
const sentenceInTable = 72

// Causes prints a table of what has failed before; since is from when on, for
// an empty one.
func (c *Console) Causes(all []orchestrator.KnownCause, since time.Time) {
	if len(all) == 0 {
		fmt.Fprintf(c.Out, "Nothing of it has failed since %s.\n", c.day(since))
		return
	}
	var rows []table.Row
	for _, k := range all {
		mended := "-"
		if k.Mended != nil {
			mended = line(k.Mended.By)
		}
		note := ""
		if k.Note != nil {
			note = "yes"
		}
		rows = append(rows, table.Row{line(k.Fingerprint), k.Count, c.moment(k.Last), line(k.App), c.who(k.Who), line(k.Code), mended, note, fit(line(k.Sentence), sentenceInTable)})
	}
	c.table(table.Row{"fingerprint", "seen", "last", "app", "who", "code", "mended by", "note", "cause"}, rows)
}

// who paints who can mend a cause.
func (c *Console) who(who string) string {
	switch who {
	case "ops":
		return c.paint(who, text.FgYellow)
	case "developer":
		return c.paint(who, text.FgCyan)
	}
	return who
}

// Cause prints all that is remembered of one cause.
func (c *Console) Cause(d orchestrator.CauseDetail) {
	fmt.Fprintln(c.Out, c.paint(line(d.Fingerprint), text.Bold))
	if d.Count > 0 {
		fmt.Fprintf(c.Out, "%s %s\n\n", c.paint("✗", text.FgRed), line(d.Sentence))
		rows := []table.Row{{"code", line(d.Code)}, {"who can mend it", c.who(d.Who)}}
		for _, fact := range [][2]string{{"app", d.App}, {"where", d.Where}} {
			if fact[1] != "" {
				rows = append(rows, table.Row{fact[0], line(fact[1])})
			}
		}
		c.table(nil, rows)
		seen := orchestrator.Seen(d.Count, d.First, c.Now())
		if seen == "" {
			seen = "Seen once"
		}
		fmt.Fprintf(c.Out, "\n%s, in %s; the last time %s.\n", seen, environments(d.Environments), c.moment(d.Last))
	} else {
		fmt.Fprintln(c.Out, "It has not been seen for so long that only the note is left.")
	}
	if m := d.Mended; m != nil {
		fmt.Fprintf(c.Out, "Last mended by %s, %s: %s\n", line(m.By), c.moment(m.At), bot.Commands(line(m.How)))
	}
	c.CauseNote(d.KnownCause)
	if d.Evidence != "" {
		fmt.Fprintln(c.Out, "\nWhat was said the last time:")
		for l := range strings.Lines(Clean(d.Evidence)) {
			fmt.Fprintln(c.Out, strings.TrimRight("  | "+strings.TrimRight(l, "\n"), " "))
		}
	}
	if len(d.Occurrences) == 0 {
		return
	}
	fmt.Fprintln(c.Out)
	var rows []table.Row
	for _, o := range d.Occurrences {
		mended, how := "-", ""
		if m := o.Mended; m != nil {
			mended, how = line(m.By), bot.Commands(line(m.How))
			if m.By == "" {
				mended = "passed by itself"
			}
		}
		rows = append(rows, table.Row{c.moment(o.At), line(o.Environment), line(o.Operation), mended, how})
	}
	c.table(table.Row{"when", "environment", "operation", "mended by", "with"}, rows)
}

// CauseNote prints what ops say of a cause, if anything.
func (c *Console) CauseNote(k orchestrator.KnownCause) {
	if n := k.Note; n != nil {
		fmt.Fprintf(c.Out, "Ops say: %s (%s, %s)\n", line(n.Text), line(n.By), c.moment(n.At))
	}
}

func environments(n int) string {
	if n == 1 {
		return "1 environment"
	}
	return fmt.Sprintf("%d environments", n)
}

// moment is a time within the last months, day is one without its hour.
func (c *Console) moment(t time.Time) string { return t.Local().Format("2 Jan 15:04") }
func (c *Console) day(t time.Time) string    { return t.Local().Format("2 January") }
