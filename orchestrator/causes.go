package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	Kin string `json:"-"`
	// Outside names what lies outside the servers and was the matter.
	Outside string `json:"-"`
	Code    string `json:"code"`
	Who     string `json:"who"`
	App     string `json:"app,omitempty"`
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

// History is what is known of a cause from before. It is made anew whenever the
// cause is read.
type History struct {
	// Count is how often it was seen since First, this time included; Seen says
	// so in words.
	Count  int        `json:"count"`
	First  time.Time  `json:"first_at"`
	Seen   string     `json:"seen,omitempty"`
	Mended *Mending   `json:"mended,omitempty"`
	Note   *CauseNote `json:"note,omitempty"`
}

// Words say how often a cause was seen and who mended it last. The text ends
// with "with" where the command follows that did it.
func (h *History) Words() (text, command string) {
	switch {
	case h == nil || h.Seen == "":
		return "", ""
	case h.Mended == nil:
		return h.Seen + ".", ""
	case h.Mended.By == Itself:
		return h.Seen + "; the last time it went well when Berth tried again.", ""
	case h.Mended.How == "":
		return h.Seen + ", last mended by " + h.Mended.By + ".", ""
	case strings.HasPrefix(h.Mended.How, string(NounEnv)+" "+string(VerbRetry)+" "):
		return h.Seen + ", last mended by " + h.Mended.By + ", by trying again.", ""
	}
	return h.Seen + ", last mended by " + h.Mended.By + " with", h.Mended.How
}

// Seen says how often something was seen since a time, from the second time on;
// now's location says which day is today.
func Seen(count int, first, now time.Time) string {
	if count < 2 {
		return ""
	}
	first = first.In(now.Location())
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC) }
	since := first.Format("2 January")
	switch ago := int(day(now).Sub(day(first)).Hours() / 24); {
	case ago <= 0:
		return fmt.Sprintf("Seen %d times today", count)
	case ago == 1:
		since = "yesterday"
	case ago < 7:
		since = first.Weekday().String()
	}
	return fmt.Sprintf("Seen %d times since %s", count, since)
}

// recall adds to the causes of diagnoses what is known of them from before.
func (s *Service) recall(ctx context.Context, all ...*Diagnosis) error {
	if err := s.share(ctx, all...); err != nil {
		return err
	}
	if s.Causes == nil {
		return nil
	}
	var prints []string
	for _, d := range all {
		if d == nil {
			continue
		}
		for _, c := range d.Causes {
			if c.Fingerprint != "" && !c.Canceled() {
				prints = append(append(prints, c.Fingerprint), c.Also...)
			}
		}
	}
	if len(prints) == 0 {
		return nil
	}
	known, err := s.Causes.KnownCauses(ctx, CauseFilter{Fingerprints: prints})
	if err != nil {
		return err
	}
	histories := map[string]*History{}
	for _, k := range known {
		h := &History{Count: k.Count, First: k.First, Seen: Seen(k.Count, k.First, s.Now().In(time.Local)), Mended: k.Mended, Note: k.Note}
		if h.Seen != "" || h.Note != nil {
			histories[k.Fingerprint] = h
		}
	}
	for _, d := range all {
		if d == nil {
			continue
		}
		for i := range d.Causes {
			c := &d.Causes[i]
			c.History = histories[c.Fingerprint]
			for _, p := range c.Also {
				c.History = c.History.or(histories[p])
			}
		}
	}
	return nil
}

// or is what is known of either of two causes that are told as one: the first
// one's, and of the second what the first lacks.
func (h *History) or(other *History) *History {
	if h == nil || other == nil || h.Seen == "" && other.Seen != "" {
		h, other = other, h
	}
	if h == nil || other == nil || h.Note != nil {
		return h
	}
	both := *h
	both.Note = other.Note
	return &both
}

// Operation reads one operation, with what is known of its causes from before.
func (s *Service) Operation(ctx context.Context, id string) (Operation, error) {
	op, err := s.Operations.Operation(ctx, id)
	if err == nil {
		err = s.recall(ctx, op.Diagnosis)
	}
	return op, err
}

// EnvironmentByID reads one environment, also one that is gone, with what is
// known from before of what has failed.
func (s *Service) EnvironmentByID(ctx context.Context, id string) (Environment, error) {
	e, err := s.Environments.EnvironmentByID(ctx, id)
	if err == nil {
		err = s.recall(ctx, e.Diagnosis)
	}
	return e, err
}

// clone is d with causes that recall may add to.
func (d *Diagnosis) clone() *Diagnosis {
	c := *d
	c.Causes = slices.Clone(d.Causes)
	return &c
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
		out = append(out, Occurrence{Fingerprint: c.Fingerprint, Kin: c.Kin, Outside: c.Outside, Code: c.Code, Who: c.Who, App: c.app(), EnvironmentID: e.ID, Environment: e.Name,
			Operation: operationID, Server: named(c.Server, e.Name), Where: c.Where, Sentence: named(c.Sentence, e.Name), Evidence: named(c.Evidence, e.Name), At: at})
	}
	return out
}
