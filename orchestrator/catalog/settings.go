package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/dotenv"
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

// Settings reads an app's .env: its bytes as they are, and its values, as
// dotenv.Read gives them. Of a key given twice the last one counts. Errors name
// the place and the key, never a value.
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
	if i := strings.IndexByte(string(raw), 0); i >= 0 {
		return nil, 1 + strings.Count(string(raw[:i]), "\n"), "there is a NUL byte"
	}
	values = map[string]string{}
	for _, l := range dotenv.Read(string(raw)) {
		switch {
		case l.Problem != "" && l.Key != "":
			return nil, l.Number, l.Key + ": " + l.Problem
		case l.Problem != "":
			return nil, l.Number, l.Problem
		}
		values[l.Key] = l.Value
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
