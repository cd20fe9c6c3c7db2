package orchestrator

import (
	"context"
	"time"
)

// RememberCauses is how long occurrences are kept.
const RememberCauses = 90 * 24 * time.Hour

// Occurrence is one time that a cause was seen. It is kept for a while, also
// when its environment is gone.
type Occurrence struct {
	Fingerprint string `json:"fingerprint"`
	// Kin is the fingerprint without the app: what befalls several apps for one
	// reason has the same.
	Kin  string `json:"-"`
	Code string `json:"code"`
	Who  string `json:"who"`
	App  string `json:"app,omitempty"`
	// Environment is the name that it had then.
	EnvironmentID string    `json:"environment_id"`
	Environment   string    `json:"environment"`
	Operation     string    `json:"operation"`
	Server        string    `json:"server,omitempty"`
	Where         string    `json:"where,omitempty"`
	Sentence      string    `json:"sentence"`
	Evidence      string    `json:"evidence,omitempty"`
	At            time.Time `json:"at"`
	// Mended is nil as long as nothing has gone well there since.
	Mended *Mending `json:"mended"`
}

// Mending is what went well on an app after it had failed: who did it, with
// which command. Both are empty where it passed by itself.
type Mending struct {
	By  string    `json:"by,omitempty"`
	How string    `json:"how,omitempty"`
	At  time.Time `json:"at"`
}

// CauseNote is what ops say of a cause to whoever meets it.
type CauseNote struct {
	Fingerprint string    `json:"-"`
	Text        string    `json:"text"`
	By          string    `json:"by"`
	At          time.Time `json:"at"`
}

// CauseFilter chooses occurrences; what is zero chooses nothing.
type CauseFilter struct {
	Fingerprints []string
	Kin          string
	App, Code    string
	Since        time.Time
	Limit        int
}

// KnownCause is all occurrences of a fingerprint that a filter chooses. Code,
// Who, App, Where and Sentence are those of the last one. Mended is the last
// time that a person mended it, whatever the filter says.
type KnownCause struct {
	Fingerprint  string     `json:"fingerprint"`
	Code         string     `json:"code"`
	Who          string     `json:"who"`
	App          string     `json:"app,omitempty"`
	Where        string     `json:"where,omitempty"`
	Sentence     string     `json:"sentence"`
	Count        int        `json:"count"`
	Environments int        `json:"environments"`
	First        time.Time  `json:"first_at"`
	Last         time.Time  `json:"last_at"`
	Mended       *Mending   `json:"mended"`
	Note         *CauseNote `json:"note"`
}

// CauseRecords is the memory of what has failed.
type CauseRecords interface {
	// KnownCauses gives what the filter chooses, the most frequent first. Of
	// fingerprints that are asked for also those that have but a note, and of no
	// filter at all every one that has.
	KnownCauses(ctx context.Context, f CauseFilter) ([]KnownCause, error)
	// Occurrences gives them newest first.
	Occurrences(ctx context.Context, f CauseFilter) ([]Occurrence, error)
	// SetCauseNote keeps the note of a fingerprint, or forgets it where the
	// text is empty.
	SetCauseNote(ctx context.Context, n CauseNote) error
}

// History is what is known of a cause from before.
type History struct {
	// Count is how often it was seen, this time included, since First.
	Count  int        `json:"count"`
	First  time.Time  `json:"first_at"`
	Mended *Mending   `json:"mended,omitempty"`
	Note   *CauseNote `json:"note,omitempty"`
}

// occurrences are the causes of a diagnosis that are to be remembered, each
// once: what a person has canceled is none.
func (d *Diagnosis) occurrences(e Environment, operationID string, at time.Time) []Occurrence {
	if d == nil {
		return nil
	}
	var out []Occurrence
	seen := map[string]bool{}
	for _, c := range d.Causes {
		if c.Canceled() || seen[c.Fingerprint] {
			continue
		}
		seen[c.Fingerprint] = true
		out = append(out, Occurrence{Fingerprint: c.Fingerprint, Kin: c.Kin, Code: c.Code, Who: c.Who, App: c.app(), EnvironmentID: e.ID, Environment: e.Name,
			Operation: operationID, Server: named(c.Server, e.Name), Where: c.Where, Sentence: named(c.Sentence, e.Name), Evidence: named(c.Evidence, e.Name), At: at})
	}
	return out
}
