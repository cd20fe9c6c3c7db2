package orchestrator

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// secretKey matches names whose values are secret however short they are.
var secretKey = regexp.MustCompile(`(?i)(pass|secret|token|key|credential|private|auth|dsn|salt$)`)

// urlPassword matches the password of a URL, which may hold an @ itself,
// urlToken a login that is longer than names are.
var (
	urlPassword = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/"'<>,]+@`)
	urlToken    = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[A-Za-z0-9_.~%-]{20,}@`)
)

const masked = "••••"

// longSecret is the number of bytes from which on every value is hidden.
const longSecret = 8

// Masker gives a function that hides, in any text, passwords in URLs and those
// values that are secret: every one of eight characters or more and every one
// whose key looks secret, also in the encodings in which programs print them.
// Keys in public are left alone.
func Masker(values map[string]string, public []string) func(string) string {
	var secrets []string
	for key, value := range values {
		if value == "" || slices.Contains(public, key) || len(value) < longSecret && !secretKey.MatchString(key) {
			continue
		}
		secrets = append(secrets, encodings(value)...)
		// Logs show a key of several lines line by line.
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= longSecret {
				secrets = append(secrets, encodings(line)...)
			}
		}
	}
	// The longest first: one secret may be a part of another.
	sort.Slice(secrets, func(i, j int) bool {
		if len(secrets[i]) != len(secrets[j]) {
			return len(secrets[i]) > len(secrets[j])
		}
		return secrets[i] < secrets[j]
	})
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, masked)
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text string) string {
		text = urlPassword.ReplaceAllString(replacer.Replace(text), "$1:"+masked+"@")
		return urlToken.ReplaceAllString(text, "${1}"+masked+"@")
	}
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// encodings are the forms in which a secret may be printed: as it is, in a
// URL, in JSON, in hex, and in base64, also within a longer text in base64.
func encodings(secret string) []string {
	out := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for _, s := range []string{url.QueryEscape(secret), url.PathEscape(secret)} {
		out = append(out, s, percent.ReplaceAllStringFunc(s, strings.ToLower))
	}
	for _, html := range []bool{true, false} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(secret) == nil {
			out = append(out, strings.TrimSuffix(b.String()[1:], "\"\n"))
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		out = append(out, encoding.EncodeToString([]byte(secret)), encoding.WithPadding(base64.NoPadding).EncodeToString([]byte(secret)))
		for before := range 3 {
			// Six bits a character: those that hold bits of the secret alone.
			from, to := (before*8+5)/6, (before+len(secret))*8/6
			if to-from >= longSecret {
				out = append(out, encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))[from:to])
			}
		}
	}
	return out
}

// maskerOf hides an app's settings; settings that cannot be read hide nothing
// but URL passwords.
func maskerOf(a App, settings SettingsReader) func(string) string {
	if a.Settings == "" || settings == nil {
		return Masker(nil, nil)
	}
	_, values, err := settings(a.Settings)
	if err != nil {
		return Masker(nil, nil)
	}
	return Masker(values, a.Public)
}

// masks keeps maskers for as long as what they are made of stays: to make one
// takes long, and a server that prints much needs it many times a second.
type masks struct {
	mu   sync.Mutex
	kept map[string]keptMask // by the app's name
}

type keptMask struct {
	settings string
	file     fs.FileInfo
	public   []string
	mask     func(string) string
}

// quiet is how long a file must have been left alone for its time of change to
// tell whether it is the same: file systems count in steps.
const quiet = 2 * time.Second

// of gives what maskerOf does. Settings that cannot be read at the moment hide
// what they hid before.
func (m *masks) of(a App, settings SettingsReader) func(string) string {
	if a.Settings == "" || settings == nil {
		return Masker(nil, nil)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.kept[a.Name]
	known := was.mask != nil && was.settings == a.Settings && slices.Equal(was.public, a.Public)
	// Before it is read: a change while it is read is then seen the next time.
	file, err := os.Stat(a.Settings)
	if err == nil && known && was.file != nil && os.SameFile(was.file, file) && was.file.ModTime().Equal(file.ModTime()) && was.file.Size() == file.Size() {
		return was.mask
	}
	_, values, err := settings(a.Settings)
	switch {
	case err != nil && known:
		return was.mask
	case err != nil:
		return Masker(nil, nil)
	}
	if file != nil && time.Since(file.ModTime()) < quiet {
		file = nil // look again the next time
	}
	mask := Masker(values, a.Public)
	if m.kept == nil {
		m.kept = map[string]keptMask{}
	}
	m.kept[a.Name] = keptMask{a.Settings, file, slices.Clone(a.Public), mask}
	return mask
}
