package diagnose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// otherNames are names that people give, and that read like something else: as
// a branch, a repository, a package, a file, an account, a step.
var otherNames = []string{
	"error", "failed-jobs", "timeout", "lock-tools", "disk-full", "fix/permission-denied", "not-found", "no-space-left", "connection-refused",
	"überblick", "20250117", "release-2.10.x", "a.b.c-d_e", "checksum", "out-of-memory", "E404", "killed", "denied", "fatal", "Could-not-resolve-host",
}

// namedModules are the modules whose names this test changes: what a command
// prints is a tool's, where a name may well be a word of it.
const namedModules = "git pkg pkgrepo service file archive user group cron ssh_auth mount"

// TestNamesAreData: whatever things are called, the cause, who can mend it and
// what is told of it are the same.
func TestNamesAreData(t *testing.T) {
	t.Parallel()
	dirs := find(t, "../../testdata/salt")
	if root := os.Getenv("BERTH_CORPUS"); root != "" {
		dirs = append(dirs, find(t, root)...)
	}
	tried := 0
	for _, dir := range dirs {
		c := load(t, dir)
		old := namesOf(c.Case)
		if len(c.Input) > 200<<10 || len(old) == 0 || len(diagnosetest.Judge(c.Truth, c.diagnosis)) > 0 {
			continue
		}
		for i := range otherNames {
			// Each of a case's names gets another one, and each name its turn.
			var pairs []string
			for k, n := range old {
				as := otherNames[(i+k*7)%len(otherNames)]
				if !strings.Contains(n, "/") { // only branches and folders have several parts
					as = as[strings.LastIndex(as, "/")+1:]
				}
				if strings.Contains(string(c.Input), as) && as != n || strings.Contains(n, " ") && k > 0 {
					continue
				}
				pairs = append(pairs, n, as)
			}
			if len(pairs) == 0 {
				continue
			}
			renamed, err := rename(c.Case, strings.NewReplacer(pairs...))
			if err != nil {
				t.Fatal(err)
			}
			tried++
			d := Any(renamed.Input, renamed.Stderr, c.Truth.Exit)
			if m := diagnosetest.Judge(renamed.Truth, d); len(m) > 0 {
				t.Errorf("%s with %q: %s", filepath.Base(dir), pairs, m)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d cases with other names", tried)
	}
}

// namesOf finds the names that a case's sentences must mention and that a
// failed step has in its own name, the longest first.
func namesOf(c diagnosetest.Case) []string {
	var doc map[string]map[string]struct {
		Result  *bool
		Comment any
	}
	if json.Unmarshal(c.Input, &doc) != nil {
		return nil
	}
	names := map[string]bool{}
	for _, chunks := range doc {
		for tag, chunk := range chunks {
			module, rest, _ := strings.Cut(tag, "_|-")
			if chunk.Result == nil || *chunk.Result || !inModules(namedModules, module) || !slices.ContainsFunc(c.Truth.Causes, func(x diagnosetest.TrueCause) bool { return slices.Contains(x.Where, tag) }) {
				continue
			}
			for _, x := range c.Truth.Causes {
				if !slices.Contains(x.Where, tag) {
					continue
				}
				for _, m := range x.MustMention {
					for _, option := range asList(m) {
						known := strings.Contains(rest, option) || strings.Contains(fmt.Sprint(chunk.Comment), "'"+option+"'") || strings.Contains(fmt.Sprint(chunk.Comment), "package "+option)
						if known && len(option) > 3 && !strings.ContainsAny(option, `/\" `+"\n") || known && strings.Contains(fmt.Sprint(chunk.Comment), "'"+option+"' exists in the remote") {
							names[option] = true
						}
					}
				}
			}
		}
	}
	out := slices.Collect(maps.Keys(names))
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	// A name within another one would be two at once.
	return slices.DeleteFunc(out, func(n string) bool {
		return slices.ContainsFunc(out, func(o string) bool { return o != n && strings.Contains(o, n) })
	})
}

func asList(m any) []string {
	if list, ok := m.([]any); ok {
		var out []string
		for _, o := range list {
			out = append(out, fmt.Sprint(o))
		}
		return out
	}
	return []string{fmt.Sprint(m)}
}

// rename gives everything in a case its other names, the truth too.
func rename(c diagnosetest.Case, r *strings.Replacer) (diagnosetest.Case, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c.Truth); err != nil {
		return c, err
	}
	c.Truth = diagnosetest.Truth{}
	if err := json.Unmarshal([]byte(r.Replace(b.String())), &c.Truth); err != nil {
		return c, err
	}
	c.Input, c.Stderr = []byte(r.Replace(string(c.Input))), []byte(r.Replace(string(c.Stderr)))
	return c, nil
}

// TestFoldersAreData: a folder may be called like a message.
func TestFoldersAreData(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, folder := range []string{"No space left on device", "Permission denied", "Connection refused", "does not exist", "User x is not available", "hash mismatch", "Jinja variable 'a'", "Out of memory"} {
		r := strings.NewReplacer("/etc/billing", "/srv/"+folder, "/opt/billing", "/opt/"+folder, "/srv/data", "/srv/"+folder+"/data", "/srv/no", "/srv/"+folder)
		for i := range stateRecords {
			of := &stateRecords[i]
			for _, s := range of.samples {
				other := s
				other.step, other.says = r.Replace(s.step), r.Replace(s.says)
				if !inModules("file archive mount", strings.Split(s.step, ".")[0]) || other.step == s.step {
					continue
				}
				tried++
				f, m := other.failure(context{})
				f, x := explainStep(f)
				if x == nil || x.of != of {
					t.Errorf("%q is taken for something else: %+v", other.says, x)
					continue
				}
				if c := x.cause(f, m, 0); strings.ContainsRune(c.Sentence, hiddenName) || strings.Contains(s.says, "/etc/billing/app.toml") && !strings.Contains(c.Sentence, folder) {
					t.Errorf("%q does not name %q", c.Sentence, folder)
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d tried", tried)
	}
}
