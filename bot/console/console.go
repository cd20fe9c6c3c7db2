// Package console shows Berth's answers in a terminal: tables, details, live
// progress and errors. It decides how things look and nothing else.
package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Console writes answers to Out and progress to Err.
type Console struct {
	Out, Err io.Writer
	// Live redraws progress in place; otherwise it is plain lines.
	Live bool
	// Color is used where it helps, on Out and on Err.
	Color, ColorErr bool
	Now             func() time.Time
	// Size gives the columns and rows of the terminal behind Err.
	Size func() (columns, rows int)
	// Columns gives the columns of the terminal behind Out; 0: it is none.
	Columns func() int
}

// New looks at the streams: colour and redrawing only on a terminal that can,
// colour never with NO_COLOR.
func New(out, errw io.Writer) *Console {
	c := &Console{Out: out, Err: errw, Now: time.Now}
	able := os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""
	color := able && os.Getenv("NO_COLOR") == ""
	c.Live = able && isTerminal(errw)
	c.Color, c.ColorErr = color && isTerminal(out), color && isTerminal(errw)
	c.Size = func() (int, int) {
		if f, ok := errw.(*os.File); ok {
			if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
				return columns, rows
			}
		}
		return 80, 24
	}
	c.Columns = func() int {
		if f, ok := out.(*os.File); ok {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
				return columns
			}
		}
		return 0
	}
	return c
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *Console) paint(s string, colors ...text.Color) string { return paint(c.Color, s, colors...) }

func paint(on bool, s string, colors ...text.Color) string {
	if !on {
		return s
	}
	return text.Colors(colors).EscapeSeq() + s + "\x1b[0m"
}

func (c *Console) status(s string) string {
	switch s {
	case "ready", "succeeded", "online":
		return c.paint(s, text.FgGreen)
	case "failed", "silent":
		return c.paint(s, text.FgRed)
	case "creating", "deploying", "destroying", "running", "queued":
		return c.paint(s, text.FgYellow)
	}
	return s
}

// condition is a status in words, in the status's colour.
func (c *Console) condition(s orchestrator.Status, words string) string {
	return c.status(string(s)) + strings.TrimPrefix(words, string(s))
}

func (c *Console) table(header table.Row, rows []table.Row) {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Name = "berth"
	style.Options = table.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatUpper
	t.SetStyle(style)
	t.AppendHeader(header)
	t.AppendRows(rows)
	for _, line := range strings.Split(t.Render(), "\n") {
		fmt.Fprintln(c.Out, strings.TrimRight(line, " "))
	}
}

// Rows prints a table of environments, of all or of the caller's. There may be
// ten thousand of them, so it does without the table writer's care for each cell.
func (c *Console) Rows(all []wire.Row, mine bool) {
	if len(all) == 0 {
		fmt.Fprintln(c.Out, none(mine)+" environments. Make one: berth env create NAME")
		return
	}
	cells := make([][6]string, 0, len(all)+1)
	cells = append(cells, [6]string{"NAME", "STATUS", "OWNER", "TARGET", "ENDS IN", "SERVERS"})
	for _, r := range all {
		cells = append(cells, [6]string{line(r.Name), r.Status, line(r.Owner), line(r.Target), c.until(r.ExpiresAt), line(r.Servers)})
	}
	var widths [6]int
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
		}
	}
	b := bufio.NewWriterSize(c.Out, 64<<10)
	for n, row := range cells {
		for i, cell := range row {
			pad := widths[i] - width(cell) + 2
			if i == 1 && n > 0 {
				cell = c.status(cell)
			}
			b.WriteString(cell)
			if i < len(row)-1 {
				for range pad {
					b.WriteByte(' ')
				}
			}
		}
		b.WriteByte('\n')
	}
	b.Flush()
}

func none(mine bool) string {
	if mine {
		return "You have no"
	}
	return "There are no"
}

// NoServers says that a list of servers is empty: of all or of one app's, of
// everybody's or of the caller's.
func (c *Console) NoServers(app string, mine bool) {
	servers := " servers"
	if app == "" {
		app = "APP"
	} else {
		servers += " of " + app
	}
	fmt.Fprintln(c.Out, none(mine)+servers+". Make one: berth server create "+app+" BRANCH")
}

// Servers prints a table of servers.
func (c *Console) Servers(all []orchestrator.Server) {
	if len(all) == 0 {
		c.NoServers("", false)
		return
	}
	var rows []table.Row
	for _, v := range all {
		rows = append(rows, table.Row{line(v.Name), c.condition(v.Status, v.Condition()), line(v.Branch), Short(v.Revision), c.status(string(v.Agent)), line(v.URL)})
	}
	c.table(table.Row{"server", "status", "branch", "revision", "agent", "url"}, rows)
}

// Environment prints every detail of one environment.
func (c *Console) Environment(e orchestrator.Environment) {
	fmt.Fprintf(c.Out, "%s  %s  owner %s, target %s, ends in %s (%s)\n\n", c.paint(line(e.Name), text.Bold), c.condition(e.Status, e.Condition()),
		line(e.Owner), line(e.Target), c.until(e.ExpiresAt), e.ExpiresAt.Local().Format("Mon 2 Jan 15:04"))
	c.Servers(e.Servers)
	for _, v := range e.Servers {
		for _, key := range sortedKeys(v.Needs) {
			fmt.Fprintf(c.Out, "\n%s uses %s = %s", line(v.Name), line(key), line(v.Needs[key]))
		}
	}
	fmt.Fprintln(c.Out)
	if op := e.Operation; op != nil {
		fmt.Fprintf(c.Out, "Last operation: %s, %s (%s)\n", op.Kind, c.status(string(op.Status)), op.ID)
	}
	for _, v := range e.Servers {
		if v.Step != "" {
			fmt.Fprintf(c.Out, "  %s  %s\n", line(v.Name), line(v.Step))
		}
	}
	if e.Status == orchestrator.StatusFailed {
		fmt.Fprintln(c.Out)
		c.Why(e)
	}
}

// Server prints every detail of one server.
func (c *Console) Server(v orchestrator.Server) {
	rows := []table.Row{{"server", line(v.Name)}, {"status", c.condition(v.Status, v.Condition())}, {"branch", line(v.Branch)}, {"revision", v.Revision},
		{"agent", c.status(string(v.Agent))}, {"url", line(v.URL)}, {"repository", line(v.Repository)}}
	if v.LastSeen != nil {
		rows = append(rows, table.Row{"last seen", v.LastSeen.Local().Format(time.RFC3339)})
	}
	for _, key := range sortedKeys(v.Needs) {
		rows = append(rows, table.Row{line(key), line(v.Needs[key])})
	}
	c.table(nil, rows)
}

// Why prints the causes of an environment's last failure.
func (c *Console) Why(e orchestrator.Environment) {
	if e.Diagnosis == nil || len(e.Diagnosis.Causes) == 0 {
		fmt.Fprintf(c.Out, "%s is %s: nothing has failed.\n", e.Name, e.Status)
		return
	}
	c.diagnosis(c.Out, c.Color, *e.Diagnosis)
	if back := orchestrator.GoBack(e); back != "" {
		fmt.Fprintf(c.Out, "To go back to what ran before: berth %s\n", line(back))
	}
}

// WhyAll prints all that is known of an environment's last failure, as a tree.
func (c *Console) WhyAll(e orchestrator.Environment, ev orchestrator.Evidence) {
	style := view.TreeStyle{Clean: Clean, Paint: func(s view.State, text string) string { return c.paint(text, colors[s]...) }}
	if c.Columns != nil {
		style.Width = c.Columns()
	}
	fmt.Fprint(c.Out, view.Tree(e, ev, style))
	if back := orchestrator.GoBack(e); back != "" {
		fmt.Fprintf(c.Out, "To go back to what ran before: berth %s\n", line(back))
	}
}

var colors = map[view.State][]text.Color{view.StateGood: {text.FgGreen}, view.StateBad: {text.FgRed}, view.StateWorking: {text.FgYellow}}

// Files prints what programs printed, each below its name.
func (c *Console) Files(e orchestrator.Environment, all []orchestrator.EvidenceFile) {
	if len(all) == 0 {
		fmt.Fprintf(c.Out, "Nothing that was printed for %s is kept.\n", line(e.Name))
	}
	for i, f := range all {
		if i > 0 {
			fmt.Fprintln(c.Out)
		}
		fmt.Fprintf(c.Out, "%s\n%s\n", c.paint("==> "+line(f.Name)+": "+line(f.Title)+" <==", text.Bold), strings.TrimRight(Clean(f.Text), "\n"))
	}
}

// Failure prints, beside the progress, why an operation failed and the command
// that goes back.
func (c *Console) Failure(e orchestrator.Environment, d *orchestrator.Diagnosis) {
	fmt.Fprintln(c.Err)
	if d != nil {
		c.diagnosis(c.Err, c.ColorErr, *d)
	}
	if back := orchestrator.GoBack(e); back != "" {
		fmt.Fprintf(c.Err, "To go back to what ran before: berth %s\n", line(back))
	}
}

// diagnosis prints what went wrong, who can mend it and what to type next.
func (c *Console) diagnosis(w io.Writer, color bool, d orchestrator.Diagnosis) {
	who := map[string]string{"developer": "you can mend this", "ops": "ops can mend this", "retry": "trying again may be enough"}
	for _, cause := range d.Causes {
		fmt.Fprintf(w, "%s %s\n", paint(color, "✗", text.FgRed), line(cause.Headline()))
		if cause.Compared != nil {
			fmt.Fprintf(w, "  %s\n", line(cause.Compared.Sentence))
		}
		if cause.Common != nil {
			fmt.Fprintf(w, "  %s\n", line(cause.Common.Sentence))
		}
		if !cause.Canceled() {
			fmt.Fprintf(w, "  Who:  %s\n", who[cause.Who])
		}
		if cause.Next != "" {
			fmt.Fprintf(w, "  Next: %s\n", bot.Commands(line(cause.Next)))
		}
		history(w, cause.History)
	}
	for _, ask := range d.Asks() {
		fmt.Fprintf(w, "\nThe message to ops, ready to be sent on:\n\n%s\n\n", strings.TrimSpace(Clean(ask)))
	}
}

// history prints what is known of a cause from before.
func history(w io.Writer, h *orchestrator.History) {
	if text, command := h.Words(); text != "" {
		if command != "" {
			text += " " + bot.Commands(command) + "."
		}
		fmt.Fprintf(w, "  %s\n", line(text))
	}
	if h != nil && h.Note != nil {
		fmt.Fprintf(w, "  Ops say: %s\n", line(h.Note.Text))
	}
}

// History prints the operations of an environment, newest first.
func (c *Console) History(ops []orchestrator.Operation) {
	var rows []table.Row
	for _, op := range ops {
		took := ""
		if op.StartedAt != nil && op.EndedAt != nil {
			took = op.EndedAt.Sub(*op.StartedAt).Round(100 * time.Millisecond).String()
		}
		rows = append(rows, table.Row{op.CreatedAt.Local().Format("2 Jan 15:04:05"), line(op.Actor), line(op.Text), c.status(string(op.Status)), took, commits(op), op.ID})
	}
	c.table(table.Row{"when", "who", "what", "status", "took", "commits", "operation"}, rows)
}

// commits are what an operation put on servers, as a deploy takes it.
func commits(op orchestrator.Operation) string {
	var out []string
	for _, c := range op.Changes {
		out = append(out, line(c.App)+"="+Short(c.Commit))
	}
	return strings.Join(out, " ")
}

// Tokens prints a table of API tokens.
func (c *Console) Tokens(all []wire.Token) {
	if len(all) == 0 {
		fmt.Fprintln(c.Out, "There are no tokens. Make one: berth token create NAME --person WHO")
		return
	}
	var rows []table.Row
	for _, t := range all {
		state := "in force"
		switch {
		case t.Revoked:
			state = "revoked"
		case t.Expired:
			state = "expired"
		}
		ends := t.Expires
		if ends == "" {
			ends = "when revoked"
		}
		may := "what the person may"
		if t.Ops {
			may = "what ops may"
		}
		rows = append(rows, table.Row{line(t.Name), line(t.Person), state, may, line(t.Created), line(ends), line(t.LastUsed), line(t.ID)})
	}
	c.table(table.Row{"name", "person", "state", "may do", "made", "ends", "last used", "id"}, rows)
}

// Plan prints what env create would make.
func (c *Console) Plan(p orchestrator.Plan) {
	fmt.Fprintf(c.Out, "%s would be made on %s for %s:\n\n", line(p.Name), line(p.Target), lifetime(p.Lifetime))
	var rows []table.Row
	for _, v := range p.Servers {
		rows = append(rows, table.Row{line(p.Name + "/" + v.App), line(v.Branch), Short(v.Commit), line(strings.Join(v.Needs, ", "))})
	}
	c.table(table.Row{"server", "branch", "revision", "needs"}, rows)
	fmt.Fprintf(c.Out, "\nNothing has been changed.\n")
	if p.Note != "" {
		fmt.Fprintln(c.Out, Clean(p.Note))
	}
}

// Log prints one line of what a server printed.
func (c *Console) Log(at time.Time, server, line string) {
	fmt.Fprintf(c.Out, "%s %s %s\n", at.Local().Format("15:04:05"), Clean(server), strings.TrimRight(strings.ReplaceAll(Clean(line), "\n", " "), " \t"))
}

// Error prints an error as every person should get it: what, then what next.
func (c *Console) Error(err error) {
	fmt.Fprintf(c.Err, "%s\n", Clean(err.Error()))
	if e, ok := asError(err); ok && e.Hint != "" {
		fmt.Fprintf(c.Err, "Next: %s\n", Clean(e.Hint))
	}
}

// Short is a commit as people read it.
func Short(commit string) string {
	if len(commit) > 10 {
		return commit[:10]
	}
	if commit == "" {
		return "-"
	}
	return commit
}

// until is how long it is to t, to the nearest unit that says enough.
func (c *Console) until(t time.Time) string {
	d := t.Sub(c.Now())
	switch {
	case d <= 0:
		return "0m"
	case d < 90*time.Second:
		return "1m"
	case d < time.Hour:
		return strconv.Itoa(int(d.Round(time.Minute).Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Round(time.Hour).Hours())) + "h"
	}
	return strconv.Itoa(int((d+12*time.Hour).Hours()/24)) + "d"
}

// lifetime writes a duration as people type it: 3d, 36h.
func lifetime(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil {
		return line(s)
	}
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	out := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(out, zero) {
			out = out[:len(out)-2]
		}
	}
	return out
}
