package orchestrator

import (
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// secretKey matches names whose values are secret however short they are.
var secretKey = lazyregexp.New(`(?i)(pass|secret|token|key|credential|private|auth|dsn|salt$)`)

// LooksSecret says whether the value of a setting of that name is secret however
// short it is.
func LooksSecret(key string) bool { return secretKey.MatchString(key) }

// urlPassword matches the password of a URL, which may hold an @ itself,
// urlToken a login that is longer than names are.
var (
	urlPassword = lazyregexp.New(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/"'<>,]+@`)
	urlToken    = lazyregexp.New(`([a-zA-Z][a-zA-Z0-9+.-]*://)[A-Za-z0-9_.~%-]{20,}@`)
)

// What is secret wherever it stands: the tokens that services give out, private
// keys, and what stands where a password does.
var (
	knownToken = lazyregexp.New(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|npm_[A-Za-z0-9]{30,}|dop_v1_[a-f0-9]{32,})`)
	bearer     = lazyregexp.New(`(?i)\b((?:authorization["']?\s*[:=]\s*["']?)?(?:bearer|basic|token)\s+)([A-Za-z0-9+/_.=-]{12,})`)
	keyBlock   = lazyregexp.New(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
	assigned   = lazyregexp.New(`(?i)((?:passw(?:or)?d|passwd|pwd|secret(?:[_-]?key)?|token|api[_-]?key|access[_-]?key|private[_-]?key)(?:\\*["'])?\s*(?:=\s*|:\s*\\*["']))([^\s"'\\,;&]{3,})`)
)

// starts are what knownToken's tokens begin with: to look for these is cheap.
var starts = []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-", "AKIA", "ASIA", "eyJ", "npm_", "dop_v1_"}

const masked = "••••"

// longSecret is the number of bytes from which on every value is hidden,
// aloneBelow that below which one is hidden only where it stands alone.
const (
	longSecret = 8
	aloneBelow = 4
)

// openValues say too little to be secret, whatever their key is called.
var openValues = []string{"true", "false", "yes", "no", "on", "off", "null", "none", "enabled"}

// Masker gives a function that hides, in any text, passwords in URLs, tokens,
// and those values that are secret: every one of eight characters or more and
// every one whose key looks secret, also in the encodings in which programs
// print them. Keys in public are left alone.
func Masker(values map[string]string, public []string) func(string) string {
	return newMask(public, values).text
}

// MaskerOf gives a function that hides an app's settings. They are read again
// when they have changed.
func MaskerOf(settings SettingsReader) func(App) func(string) string {
	m := &masks{}
	return func(a App) func(string) string { return m.of(a, settings).text }
}

// masks keeps masks for as long as what they are made of stays: to make one
// takes long, and a server that prints much needs it many times a second.
type masks struct {
	mu   sync.Mutex
	kept map[string]keptMask // by the app's name
	past map[string]pastMask // by the settings that servers had
}

// pastMask hides what present does, and what settings were before.
type pastMask struct{ present, mask *mask }

// manyPast is how many of them are kept: they are made anew when there are more.
const manyPast = 64

type keptMask struct {
	settings string
	file     fs.FileInfo
	public   []string
	values   map[string]string
	mask     *mask
}

// quiet is how long a file must have been left alone for its time of change to
// tell whether it is the same: file systems count in steps.
const quiet = 2 * time.Second

// noSettings hides what is secret without anybody's settings.
var noSettings = newMask(nil)

// of gives the mask of an app's settings. Settings that cannot be read at the
// moment hide what they hid before; ones that never could hide nothing.
func (m *masks) of(a App, settings SettingsReader) *mask {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present(a, settings).mask
}

// server gives the mask of what a server prints and reports: it hides the
// settings of its app as they are, and those that the server was given, which
// may be older. An app that goes on running prints these.
func (m *masks) server(a App, v Server, settings SettingsReader) *mask {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.present(a, settings)
	var past []map[string]string
	for _, given := range v.given() {
		if old := differing(given, now.values, a.Public); len(old) > 0 {
			past = append(past, old)
		}
	}
	if len(past) == 0 {
		return now.mask
	}
	key, err := json.Marshal(struct {
		App    string
		Public []string
		Past   []map[string]string
	}{a.Name, a.Public, past})
	if err != nil {
		panic(err) // of texts it cannot fail
	}
	if kept, ok := m.past[string(key)]; ok && kept.present == now.mask {
		return kept.mask
	}
	made := newMask(a.Public, append(past, now.values)...)
	if m.past == nil || len(m.past) >= manyPast {
		m.past = map[string]pastMask{}
	}
	m.past[string(key)] = pastMask{now.mask, made}
	return made
}

// differing are the settings in was that are secret and not the same in now.
func differing(was, now map[string]string, public []string) map[string]string {
	out := map[string]string{}
	for key, value := range was {
		if now[key] != value && isSecret(key, value, public) {
			out[key] = value
		}
	}
	return out
}

// given are all settings that the server was given, the newest first.
func (v Server) given() []map[string]string {
	var d Desired
	if len(v.Desired) == 0 || json.Unmarshal(v.Desired, &d) != nil {
		return nil
	}
	return append([]map[string]string{d.settings()}, d.Formerly...)
}

// settings are ops' settings in the document: not the addresses of peers.
func (d Desired) settings() map[string]string {
	var pillar struct {
		Berth struct{ Settings, Needs map[string]string }
	}
	if len(d.Pillar) == 0 || json.Unmarshal(d.Pillar, &pillar) != nil {
		return nil
	}
	for key := range pillar.Berth.Needs {
		delete(pillar.Berth.Settings, key)
	}
	return pillar.Berth.Settings
}

// manyFormer is how many former settings a server's document remembers.
const manyFormer = 10

// formerly are the secrets that next does not have any more and was, or what
// was before it, had: what runs on the server may still print them.
func formerly(was, next Desired) []map[string]string {
	var out []map[string]string
	now := next.settings()
	for _, given := range append([]map[string]string{was.settings()}, was.Formerly...) {
		if old := differing(given, now, nil); len(old) > 0 && len(out) < manyFormer {
			out = append(out, old)
		}
	}
	return out
}

func (m *masks) present(a App, settings SettingsReader) keptMask {
	none := keptMask{mask: noSettings}
	if a.Settings == "" || settings == nil {
		return none
	}
	was := m.kept[a.Name]
	known := was.mask != nil && was.settings == a.Settings && slices.Equal(was.public, a.Public)
	// Before it is read: a change while it is read is then seen the next time.
	file, err := os.Stat(a.Settings)
	if err == nil && known && was.file != nil && os.SameFile(was.file, file) && was.file.ModTime().Equal(file.ModTime()) && was.file.Size() == file.Size() {
		return was
	}
	_, values, err := settings(a.Settings)
	switch {
	case err != nil && known:
		return was
	case err != nil:
		return none
	}
	if file != nil && time.Since(file.ModTime()) < quiet {
		file = nil // look again the next time
	}
	made := keptMask{a.Settings, file, slices.Clone(a.Public), values, newMask(a.Public, values)}
	if m.kept == nil {
		m.kept = map[string]keptMask{}
	}
	m.kept[a.Name] = made
	return made
}
