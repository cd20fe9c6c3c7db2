// Package dotenv reads .env files, the same for whoever checks them and for
// whoever hands them to an app.
package dotenv

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Line is one setting, or what is wrong in its place.
type Line struct {
	// Number is that of the setting's first line, from 1 on.
	Number     int
	Key, Value string
	// Problem says what is wrong, and never a value; empty: nothing. A line
	// that gives a key all the same can be used as it was probably meant.
	Problem string
}

var key = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsKey reports whether s can be the name of a variable.
func IsKey(s string) bool { return key.MatchString(s) }

// Read reads KEY=value lines. "export" before the key is allowed; # begins a
// comment at the start of a line or after a space; 'single' quotes keep
// everything as it is, "double" quotes know \n \r \t \" \\ \$ and \`; both may
// span lines, which then end with \n. Nothing is expanded. A key given twice
// comes twice: the last one counts.
func Read(text string) []Line {
	var out []Line
	text = strings.TrimPrefix(text, "\ufeff")
	for number := 1; text != ""; {
		row, rest, _ := strings.Cut(text, "\n")
		if trimmed := strings.TrimSpace(row); trimmed == "" || trimmed[0] == '#' {
			text = rest
			number++
			continue
		}
		l := Line{Number: number}
		head, _, found := strings.Cut(row, "=")
		name := strings.TrimSpace(head)
		if after, ok := strings.CutPrefix(name, "export"); ok && after != strings.TrimLeft(after, " \t") {
			name = strings.TrimSpace(after)
		}
		switch {
		case !found:
			l.Problem = "expected KEY=value"
		case !IsKey(name):
			l.Problem = "the key before the equals sign must be letters, digits and underscores, and not begin with a digit"
		default:
			l.Key = name
			l.Value, rest, l.Problem = value(text[len(head)+1:])
			if strings.ContainsRune(l.Value, 0) {
				l.Key, l.Value, l.Problem = "", "", "there is a NUL byte"
			}
		}
		out = append(out, l)
		number += strings.Count(text[:len(text)-len(rest)], "\n")
		text = rest
	}
	return out
}

// value reads what follows the equals sign and gives what follows the value's
// last line.
func value(s string) (read, rest, problem string) {
	row, after, _ := strings.Cut(s, "\n")
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return bare(row), after, ""
	}
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			tail, rest, _ := strings.Cut(s[i+1:], "\n")
			if t := strings.TrimSpace(tail); t != "" && t[0] != '#' {
				return b.String(), rest, "there is text after the closing quote"
			}
			return b.String(), rest, ""
		case c == '\r' && i+1 < len(s) && s[i+1] == '\n':
			// The end of a line in a file from Windows.
		case c == '\\' && quote == '"' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\\', '$', '`':
				b.WriteByte(s[i])
			default:
				b.WriteByte('\\')
				i-- // it stands for itself
			}
		default:
			b.WriteByte(c)
		}
	}
	return bare(row), after, "the quote is never closed"
}

// bare reads a value without quotes.
func bare(row string) string {
	for i := 1; i < len(row); i++ {
		if row[i] == '#' && (row[i-1] == ' ' || row[i-1] == '\t') {
			row = row[:i]
			break
		}
	}
	return strings.TrimSpace(row)
}
