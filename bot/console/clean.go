package console

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Clean makes text of others safe to show: a branch's name or a line of an
// app's log must not steer the terminal. Escape sequences go as a whole, other
// control characters and those that turn the direction of text around one by
// one. Line breaks and tabs stay.
func Clean(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == unicode.ReplacementChar, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, ansi.Strip(strings.ToValidUTF8(s, "")))
}

// line is Clean on a single line.
func line(s string) string {
	if tidy(s) {
		return s
	}
	return strings.Join(strings.Fields(Clean(s)), " ")
}

// tidy reports whether s is plain words with single spaces between them, as
// nearly all that a long table shows.
func tidy(s string) bool {
	after := byte(' ')
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ' ' && after == ' ' {
			return false
		}
		after = s[i]
	}
	return after != ' ' || s == ""
}

// width is how many columns s takes.
func width(s string) int {
	for i := range len(s) {
		if s[i] > '~' {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

// fit shortens s to at most n columns.
func fit(s string, n int) string {
	if width(s) <= n {
		return s
	}
	return ansi.Truncate(s, max(n, 0), "…")
}
