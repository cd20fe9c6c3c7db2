package diagnose

import (
	"strings"
	"testing"
)

// noSamples are the records that have no sample yet, by their tables. It may
// only shrink: a new record brings its own.
var noSamples = []struct {
	name  string
	table []record
	n     int
}{
	{"git", gitRecords, 0}, {"git's states", gitStateRecords, 0}, {"packages", packageRecords, 0}, {"packages' states", packageStateRecords, 0},
	{"services", serviceRecords, 0}, {"files", fileRecords, 0}, {"templates", templateRecords, 0}, {"archives", archiveRecords, 0}, {"accounts", accountRecords, 0}, {"the machine", systemRecords, 0},

	{"start", startRecords, 0}, {"exceptions", exceptionRecords, 0}, {"workdir", workdirRecords, 0}, {"pip", pipRecords, 0}, {"pip's states", pipStateRecords, 0},
	{"node", nodeRecords, 0}, {"node's states", npmStateRecords, 0}, {"images", imageRecords, 0}, {"checks", checkRecords, 0}, {"commands", commandRecords, 0},
	{"any", anyRecords, 0}, {"messages", messageRecords, 0}, {"killed", killedRecords, 0}, {"no result", stderrRecords, 0}, {"unknown", families, 0},
	{"health", healthRecords, 0}, {"problems", problemRecords, 0}, {"code", fetchRecords, 0},

	{"machines", machineRecords, 0}, {"first start", bootRecords, 0},
}

// TestSamples: each record explains its samples itself, in plain words.
func TestSamples(t *testing.T) {
	t.Parallel()
	for name, table := range tables() {
		for i := range table {
			r := &table[i]
			for _, s := range r.samples {
				if name == "unknown" {
					if x, _ := s.explain(stateRecords); x != nil {
						t.Errorf("%s: %q is known: %q", name, s.says+s.prints, x.of.sentence)
					}
				}
				x, c := s.explain(table)
				switch {
				case x == nil:
					t.Errorf("%s: no record explains %q", name, s.says+s.prints)
					continue
				case x.of != r:
					t.Errorf("%s: %q belongs to %q, but %q takes it", name, s.says+s.prints, r.sentence, x.of.sentence)
					continue
				}
				code, who := r.code, r.who
				if s.code != "" {
					code = s.code
				}
				if s.who != "" {
					who = s.who
				}
				if c.Code != code || c.Who != who {
					t.Errorf("%s: %s/%s instead of %s/%s: %s", name, c.Code, c.Who, code, who, c.Sentence)
				}
				for _, n := range s.names {
					if !strings.Contains(c.Sentence, n) {
						t.Errorf("%s: %q does not name %q", name, c.Sentence, n)
					}
				}
				for _, m := range wellSaid(c) {
					t.Errorf("%s: %s", name, m)
				}
				if name != "unknown" && ownWords.MatchString(quoted.ReplaceAllString(strings.ReplaceAll(c.Sentence, telling(s.says, s.prints), ""), "")) {
					t.Errorf("%s: our words in %q", name, c.Sentence)
				}
			}
		}
	}
	for _, part := range noSamples {
		without := 0
		for _, r := range part.table {
			if len(r.samples) == 0 && !r.borrowed {
				without++
			}
		}
		if without > part.n {
			t.Errorf("%s: %d records have no sample, and only %d may lack one", part.name, without, part.n)
		}
	}
}

// TestReference: every code means something, and every code that means
// something has an example.
func TestReference(t *testing.T) {
	t.Parallel()
	meant := map[string]bool{}
	for _, group := range kinds {
		for _, k := range group.kinds {
			if meant[k.code] || k.means == "" {
				t.Errorf("%s is listed twice, or without what it means", k.code)
			}
			meant[k.code] = true
		}
	}
	for name, table := range tables() {
		for i := range table {
			for _, c := range table[i].examples(table) {
				if !meant[c.Code] {
					t.Errorf("%s: reference.go does not say what %s means", name, c.Code)
				}
			}
		}
	}
	for _, c := range examples() {
		if !meant[c.Code] {
			t.Errorf("reference.go does not say what %s means", c.Code)
		}
		for _, m := range wellSaid(c) {
			t.Error(m)
		}
	}
}
