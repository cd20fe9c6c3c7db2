// Package diagnosetest judges diagnoses by recorded runs whose true causes are
// known. A case is a folder: result.json (or .gz) is what the program printed,
// stderr.txt what it printed on standard error, meta.json the truth.
package diagnosetest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
)

// SentenceLimit is the contract's length of a sentence, in characters.
const SentenceLimit = 240

// Case is a recorded run.
type Case struct {
	Dir           string
	Input, Stderr []byte
	Truth         Truth
}

// Truth is what really was the cause of a run's failure.
type Truth struct {
	// Exit is the program's exit status as a shell sees it.
	Exit           int                  `json:"exit"`
	Outcome        orchestrator.Outcome `json:"outcome"`
	AlsoOKOutcomes []string             `json:"also_ok_outcomes"`
	// BlockedTotal counts the steps that another one's failure stopped; nil
	// where the output is cut off.
	BlockedTotal *int        `json:"blocked_total"`
	Causes       []TrueCause `json:"causes"`
	// Scenario is there for what make corpus recorded: its causes are in the
	// order in which they happened.
	Scenario string `json:"scenario"`
}

// TrueCause is one cause; the Also fields are accepted as well. Each entry of
// MustMention is a string, or a list of which one is enough.
type TrueCause struct {
	Where          []string `json:"where"`
	Code           string   `json:"code"`
	AlsoOKCodes    []string `json:"also_ok_codes"`
	Who            string   `json:"who"`
	AlsoOKWho      []string `json:"also_ok_who"`
	MustMention    []any    `json:"must_mention"`
	MustNotMention []string `json:"must_not_mention"`
	// Blocks are the steps that it kept from running, in their order; nil where
	// nobody has told.
	Blocks []string `json:"blocks"`
}

// Find gives the folders of all cases below root.
func Find(root string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "meta.json" {
			out = append(out, filepath.Dir(path))
		}
		return err
	})
	slices.Sort(out)
	return out, err
}

// Load reads the case in dir.
func Load(dir string) (Case, error) {
	c := Case{Dir: dir}
	meta, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(meta, &c.Truth); err != nil {
		return c, fmt.Errorf("%s: %w", filepath.Join(dir, "meta.json"), err)
	}
	if c.Stderr, err = os.ReadFile(filepath.Join(dir, "stderr.txt")); err != nil {
		return c, err
	}
	packed, err := os.Open(filepath.Join(dir, "result.json.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		c.Input, err = os.ReadFile(filepath.Join(dir, "result.json"))
		return c, err
	}
	if err != nil {
		return c, err
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		return c, err
	}
	c.Input, err = io.ReadAll(z)
	return c, err
}

// Measures are what is looked at, in the order of printing.
var Measures = []string{"outcome", "blocked", "roots", "code", "who", "sentence"}

// Misses says by measure why a diagnosis is not right; empty: it is.
type Misses map[string]string

func (m Misses) add(measure, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if m[measure] != "" {
		text = m[measure] + "; " + text
	}
	m[measure] = text
}

func (m Misses) String() string {
	var out []string
	for _, measure := range Measures {
		if m[measure] != "" {
			out = append(out, measure+": "+m[measure])
		}
	}
	return strings.Join(out, "; ")
}

// Judge compares what was told with the truth.
func Judge(truth Truth, d orchestrator.Diagnosis) Misses {
	misses := Misses{}
	if d.Outcome != truth.Outcome && !slices.Contains(truth.AlsoOKOutcomes, string(d.Outcome)) {
		misses.add("outcome", "%s instead of %s", d.Outcome, truth.Outcome)
	}
	if truth.BlockedTotal != nil && *truth.BlockedTotal != d.Blocked {
		misses.add("blocked", "%d instead of %d", d.Blocked, *truth.BlockedTotal)
	}
	told := slices.DeleteFunc(slices.Clone(d.Causes), func(c orchestrator.Cause) bool { return c.Code == "none" })
	fits := func(a orchestrator.Cause, t TrueCause) bool {
		return len(t.Where) == 0 || slices.Contains(t.Where, a.Where)
	}
	placed := slices.ContainsFunc(truth.Causes, func(t TrueCause) bool { return len(t.Where) > 0 })
	for _, a := range told {
		if !slices.ContainsFunc(truth.Causes, func(t TrueCause) bool { return fits(a, t) }) {
			misses.add("roots", "%q is not a root (%s)", a.Where, a.Code)
		}
		for _, why := range WellSaid(a) {
			misses.add("sentence", "%s", why)
		}
	}
	if !placed && len(told) != len(truth.Causes) {
		misses.add("roots", "told %d of %d", len(told), len(truth.Causes))
	}
	for _, t := range truth.Causes {
		var mine []orchestrator.Cause
		for _, a := range told {
			if fits(a, t) {
				mine = append(mine, a)
			}
		}
		if len(mine) == 0 {
			misses.add("roots", "%s at %q is not told", t.Code, t.Where)
			for _, measure := range []string{"code", "who", "sentence"} {
				misses.add(measure, "%s is not told", t.Code)
			}
			continue
		}
		check := func(measure string, wrong func(orchestrator.Cause) string) {
			if !slices.ContainsFunc(mine, func(a orchestrator.Cause) bool { return wrong(a) == "" }) {
				misses.add(measure, "%s", wrong(mine[0]))
			}
		}
		check("code", func(a orchestrator.Cause) string {
			if a.Code == t.Code || slices.Contains(t.AlsoOKCodes, a.Code) {
				return ""
			}
			return fmt.Sprintf("%s instead of %s", a.Code, t.Code)
		})
		check("who", func(a orchestrator.Cause) string {
			if a.Who == t.Who || slices.Contains(t.AlsoOKWho, a.Who) {
				return ""
			}
			return fmt.Sprintf("%s: %s instead of %s", a.Code, a.Who, t.Who)
		})
		check("sentence", t.lacks)
		if t.Blocks != nil {
			check("blocked", func(a orchestrator.Cause) string {
				if slices.Equal(a.Blocked, t.Blocks) && a.BlockedTotal == len(t.Blocks) {
					return ""
				}
				return fmt.Sprintf("%q kept %q (%d) from running instead of %q", a.Where, a.Blocked, a.BlockedTotal, t.Blocks)
			})
		}
	}
	if truth.Scenario != "" {
		last := -1
		for _, t := range truth.Causes {
			at := slices.IndexFunc(told, func(a orchestrator.Cause) bool { return len(t.Where) > 0 && fits(a, t) })
			if at >= 0 && at < last {
				misses.add("roots", "%q is told too late", t.Where)
			}
			last = max(last, at)
		}
	}
	// With several true causes at one place, no answer there may fit none.
	for _, a := range told {
		for _, measure := range []string{"code", "who", "sentence"} {
			right, any := false, false
			for _, t := range truth.Causes {
				if !fits(a, t) {
					continue
				}
				any = true
				right = right || measure == "code" && (a.Code == t.Code || slices.Contains(t.AlsoOKCodes, a.Code)) ||
					measure == "who" && (a.Who == t.Who || slices.Contains(t.AlsoOKWho, a.Who)) || measure == "sentence" && t.lacks(a) == ""
			}
			if any && !right && misses[measure] == "" {
				misses.add(measure, "of nothing that is true at %q: %s, %s, %q", a.Where, a.Code, a.Who, a.Sentence)
			}
		}
	}
	return misses
}

// lacks says what the sentence must say and does not, or tells and must not.
func (t TrueCause) lacks(a orchestrator.Cause) string {
	said := strings.ToLower(a.Sentence)
	for _, must := range t.MustMention {
		options, ok := must.([]any)
		if !ok {
			options = []any{must}
		}
		if !slices.ContainsFunc(options, func(o any) bool { return strings.Contains(said, strings.ToLower(fmt.Sprint(o))) }) {
			return fmt.Sprintf("%q lacks %v", a.Sentence, options)
		}
	}
	all, _ := json.Marshal(a)
	for _, secret := range t.MustNotMention {
		if bytes.Contains(all, []byte(secret)) {
			return fmt.Sprintf("a secret is told in %q", a.Sentence)
		}
	}
	return ""
}

// jargon are the tools' own words, which a developer need not know. Files are
// called what they are called, and what stands in quotation marks is a name.
var (
	jargon    = regexp.MustCompile(`(?i)(?:^|[^a-z])(sls|highstates?|minions?|requisites?|pillars?|jinja2?|tracebacks?|states?|plans?|providers?|salt|salt-call|saltenv|grains?|terraform|tfstate|mod_watch|masterless)(?:[^a-z]|$)`)
	fileNames = regexp.MustCompile(`(?i)[\w./-]*\w\.(?:jinja2?|sls)\b|(^|[^\w.])/[\w./-]+`)
	quoted    = regexp.MustCompile(`"[^"]*"|'[^' ]*'`)
	// always are not even allowed in quotation marks.
	always = regexp.MustCompile(`(?i)(?:^|[^a-z])(sls|highstates?|minions?|requisites?|pillars?|jinja2?|tracebacks?)(?:[^a-z]|$)|_\|-|__run_num__`)
	slot   = regexp.MustCompile(`\{\w+\}`)
)

// Jargon gives the first of the tools' own words in a text of ours, or nothing.
func Jargon(text string) string {
	text = fileNames.ReplaceAllString(text, " ")
	if m := always.FindStringSubmatch(text); m != nil {
		return cmp.Or(m[1], m[0])
	}
	if m := jargon.FindStringSubmatch(quoted.ReplaceAllString(text, " ")); m != nil {
		return m[1]
	}
	return ""
}

// WellSaid says what is wrong with how a cause is told, whatever it is.
func WellSaid(c orchestrator.Cause) (wrong []string) {
	if n := utf8.RuneCountInString(c.Sentence); n > SentenceLimit || strings.TrimSpace(c.Sentence) == "" {
		wrong = append(wrong, fmt.Sprintf("a sentence of %d characters", n))
	}
	for _, text := range []string{c.Sentence, c.Next} {
		if word := Jargon(text); word != "" {
			wrong = append(wrong, fmt.Sprintf("the word %q in %q", word, text))
		}
	}
	if strings.ContainsAny(c.Sentence, "\n\r\x1b\x00") || slot.MatchString(quoted.ReplaceAllString(c.Sentence, "")) {
		wrong = append(wrong, fmt.Sprintf("not one line of text: %q", c.Sentence))
	}
	if c.Who != "developer" && c.Who != "ops" && c.Who != "retry" || c.Next == "" || c.Code == "" {
		wrong = append(wrong, fmt.Sprintf("not whole: %+v", c))
	}
	return wrong
}

// Score is how many of a set's cases are right.
type Score struct {
	Cases, Right int
	ByMeasure    map[string]int
}

// Add counts a case.
func (s *Score) Add(m Misses) {
	if s.ByMeasure == nil {
		s.ByMeasure = map[string]int{}
	}
	s.Cases++
	if len(m) == 0 {
		s.Right++
	}
	for _, measure := range Measures {
		if m[measure] == "" {
			s.ByMeasure[measure]++
		}
	}
}

// Percent is how many of the cases are right in everything, in per cent.
func (s Score) Percent() float64 { return percent(s.Right, s.Cases) }

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

func (s Score) String() string {
	var out []string
	for _, measure := range Measures {
		out = append(out, fmt.Sprintf("%s %.1f%%", measure, percent(s.ByMeasure[measure], s.Cases)))
	}
	return fmt.Sprintf("%s  all %.1f%% (n=%d)", strings.Join(out, "  "), s.Percent(), s.Cases)
}
