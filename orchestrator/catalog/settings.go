package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
)

// maxSettings bounds a settings file: it travels to every server of its app.
const maxSettings = 1 << 20

func settingsThere(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("is missing")
	case err != nil:
		return fmt.Errorf("cannot be read (%s)", plain(err))
	case !info.Mode().IsRegular():
		return errors.New("is no file")
	}
	return nil
}

// Settings reads an app's .env: its bytes as they are, and its values. Lines
// are KEY=value, "export" before it is allowed; # begins a comment at the start
// of a line or after a space; 'single' quotes keep everything as it is, "double"
// quotes know \n \r \t \" \\ \$ and \`; both may span lines. Nothing is
// expanded. Of a key given twice the last one counts. Errors name the place and
// the key, never a value.
func Settings(path string) (raw []byte, values map[string]string, err error) {
	if err := settingsThere(path); err != nil {
		return nil, nil, orchestrator.Errorf(orchestrator.CodeSettings, "The settings file %s %s.", path, err).
			WithHint("ops own the settings: ask them to write %s", path)
	}
	raw, err = readRegular(path)
	if err != nil {
		e := orchestrator.Errorf(orchestrator.CodeSettings, "The settings file %s cannot be read: %s.", path, plain(err)).
			WithHint("ops own the settings: ask them to make %s readable for Berth", path)
		e.Cause = err
		return nil, nil, e
	}
	values, line, why := parseSettings(raw)
	if why != "" {
		return nil, nil, orchestrator.Errorf(orchestrator.CodeSettings, "%s:%d: %s.", path, line, why).
			WithHint("ops own the settings: ask them to correct %s", filepath.Base(path))
	}
	return raw, values, nil
}

// parseSettings answers the values, or the line and the reason of the first
// thing that is wrong.
func parseSettings(raw []byte) (values map[string]string, line int, why string) {
	if len(raw) > maxSettings {
		return nil, 1, "settings may be at most 1 MiB"
	}
	if !utf8.Valid(raw) {
		return nil, 1 + strings.Count(string(raw[:firstInvalid(raw)]), "\n"), "this is not UTF-8 text"
	}
	s := strings.TrimPrefix(string(raw), "\ufeff")
	if i := strings.IndexByte(s, 0); i >= 0 {
		return nil, 1 + strings.Count(s[:i], "\n"), "there is a NUL byte"
	}
	values = map[string]string{}
	for line = 1; s != ""; {
		text, rest, _ := strings.Cut(s, "\n")
		trimmed := strings.TrimSpace(text)
		if trimmed == "" || trimmed[0] == '#' {
			s = rest
			line++
			continue
		}
		head, _, found := strings.Cut(text, "=")
		key := strings.TrimSpace(head)
		if after, ok := strings.CutPrefix(key, "export"); ok && after != strings.TrimLeft(after, " \t") {
			key = strings.TrimSpace(after)
		}
		if !found {
			return nil, line, "expected KEY=value"
		}
		if !envPattern.MatchString(key) {
			return nil, line, "the key before the equals sign must be letters, digits and underscores, and not begin with a digit"
		}
		value, remaining, why := settingValue(s[len(head)+1:])
		if why != "" {
			return nil, line, key + ": " + why
		}
		values[key] = value
		line += strings.Count(s[:len(s)-len(remaining)], "\n")
		s = remaining
	}
	return values, 0, ""
}

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// settingValue reads what follows the equals sign and gives what follows the
// value's last line.
func settingValue(s string) (value, rest, why string) {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] != '"' && s[0] != '\'' {
		text, rest, _ := strings.Cut(s, "\n")
		for i := range len(text) {
			if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
				text = text[:i]
				break
			}
		}
		return strings.TrimSpace(text), rest, ""
	}
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			tail, rest, _ := strings.Cut(s[i+1:], "\n")
			if t := strings.TrimSpace(tail); t != "" && t[0] != '#' {
				return "", "", "there is text after the closing quote"
			}
			return b.String(), rest, ""
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
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "the quote is never closed"
}
