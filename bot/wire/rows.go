package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Row is what a table of environments shows.
type Row struct {
	Name, Status, Owner, Target string
	ExpiresAt                   time.Time
	Servers                     string // app=branch, separated by spaces
}

// AppendRow writes a row as a line of fields with tabs in between: ten thousand
// of them are read in a fraction of the time that JSON takes. A field's own
// tabs and line breaks become spaces.
func AppendRow(b []byte, r Row) []byte {
	for _, field := range []string{r.Name, r.Status, r.Owner, r.Target} {
		b = append(appendField(b, field), '\t')
	}
	b = append(strconv.AppendInt(b, r.ExpiresAt.Unix(), 10), '\t')
	return append(appendField(b, r.Servers), '\n')
}

func appendField(b []byte, field string) []byte {
	for i := range len(field) {
		if c := field[i]; c < ' ' {
			b = append(b, ' ')
		} else {
			b = append(b, c)
		}
	}
	return b
}

// ParseRows reads what AppendRow wrote.
func ParseRows(text string) ([]Row, error) {
	rows := make([]Row, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		var f [5]string
		rest := line
		for i := range f {
			var ok bool
			if f[i], rest, ok = strings.Cut(rest, "\t"); !ok {
				return nil, fmt.Errorf("%q is no row", line)
			}
		}
		at, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no time: %w", f[4], err)
		}
		rows = append(rows, Row{Name: f[0], Status: f[1], Owner: f[2], Target: f[3], ExpiresAt: time.Unix(at, 0).UTC(), Servers: rest})
	}
	return rows, nil
}
