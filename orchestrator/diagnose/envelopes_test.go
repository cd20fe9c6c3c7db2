package diagnose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// saltCase is a recorded answer of salt-call: payload is what the server said.
type saltCase struct {
	recordedCase
	payload string
}

// saltCases are those that are one whole document: of testdata, each once if it
// was recorded with two Salts, and of the folder that BERTH_ENVELOPES names.
func saltCases(t *testing.T) []saltCase {
	t.Helper()
	var out []saltCase
	for _, root := range []string{"../../testdata", os.Getenv("BERTH_ENVELOPES")} {
		if root == "" {
			continue
		}
		for _, dir := range find(t, root) {
			if twin, ok := strings.CutSuffix(dir, "-3006"); ok {
				if _, err := os.Stat(twin); err == nil {
					continue
				}
			}
			c := load(t, dir)
			var doc map[string]json.RawMessage
			if len(c.Input) > 64<<10 || json.Unmarshal(c.Input, &doc) != nil || len(doc) != 1 || doc["local"] == nil {
				continue
			}
			out = append(out, saltCase{c, string(bytes.TrimSpace(doc["local"]))})
		}
	}
	if len(out) < 50 {
		t.Fatalf("only %d recorded answers", len(out))
	}
	return out
}

// told is what a diagnosis says, apart from the server's name.
func told(d orchestrator.Diagnosis, server string) []string {
	out := []string{fmt.Sprint(d.Blocked, " of ", d.Total, ", ", d.Succeeded, " well")}
	for _, c := range d.Causes {
		if c.Server == server {
			out = append(out, fmt.Sprintf("%s %s %s: %s %v %d", c.Code, c.Who, c.Where, c.Sentence, c.Blocked, c.BlockedTotal))
		}
	}
	return out
}

// TestEnvelopes: whichever door of Salt an answer comes through, it says the
// same, of the server that the door names.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	const well = `{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","changes":{},"__sls__":"s","__id__":"a","__run_num__":0}}`
	envelopes := map[string]string{ // X: the answer of m1
		"salt":                  `{"m1": X}`,
		"salt, another is well": "{\n \"m0\": " + well + "\n}\n{\n \"m1\": X\n}\n",
		"salt --static":         `{"m0": ` + well + `, "m1": X}`,
		"salt --batch":          "\nExecuting run on ['m1']\n\n{\"retcode\": 1, \"jid\": \"20261124212302912622\", \"m1\": X}\n",
		"salt --verbose":        "Executing job with jid 20261124212248877222\n-------------------------------------------\n\n{\"m1\": X}\n",
		"local":                 `{"return": [{"m1": X}]}`,
		"full return":           `{"return": [{"m1": {"jid": "20261124212302912622", "ret": X, "retcode": 2, "out": "highstate"}}]}`,
		"salt --out=json -v":    `{"m1": {"ret": X, "retcode": 2, "jid": "20261124212302912622"}}`,
		"lookup":                `{"return": [{"outputter": "highstate", "data": {"m1": X}}]}`,
		"list_job":              `{"return": [{"jid": "20261124212302912622", "Function": "state.apply", "Minions": ["m1"], "StartTime": "2026", "Result": {"m1": {"return": X, "retcode": 2, "success": false, "out": "highstate"}}}]}`,
		"salt-run list_job":     `{"jid": "1", "Function": "state.apply", "StartTime": "2026", "Minions": ["m1"], "Result": {"m1": {"return": X, "retcode": 2}}}`,
		"jobs":                  `{"info": [{"jid": "1", "Function": "state.apply", "StartTime": "2026", "Minions": ["m1"], "Result": {"m1": {"return": X, "retcode": 2}}}], "return": [{"m1": X}]}`,
		"jobs without Result":   `{"info": [{"jid": "1", "Minions": ["m1"]}], "return": [{"m1": X}]}`,
		"event":                 `{"fun": "state.apply", "id": "m1", "jid": "1", "retcode": 2, "success": false, "return": X}`,
	}
	around := map[string][2]string{
		"alone":        {"", ""},
		"mark":         {"\ufeff", ""},
		"log":          {"[WARNING ] {'pid': 7} is [odd]\n[ERROR   ] {\"a\": 1}\n", "\n[INFO    ] done {\n"},
		"colours":      {"\x1b[0;31m[ERROR   ] no\x1b[0;0m\n\x1b[0;0m", "\x1b[0;0m\n"},
		"other ends":   {"\r\n", "\r\n"},
		"glued prints": {"printed by a recipe", ""},
	}
	for _, c := range saltCases(t) {
		t.Run(filepath.Base(c.Dir), func(t *testing.T) {
			t.Parallel()
			plain := c.diagnosis
			for name, form := range envelopes {
				input := strings.ReplaceAll(form, "X", "\x00")
				input = strings.ReplaceAll(input, "\x00", c.payload)
				for how, a := range around {
					if how != "alone" && name != "local" {
						continue
					}
					d := Any([]byte(a[0]+input+a[1]), c.Stderr, c.Truth.Exit)
					want := told(plain, "")
					server := "m1"
					if plain.Outcome != orchestrator.OutcomeFailed && len(plain.Causes) > 0 && plain.Causes[0].Server == "" && len(plain.Causes) == 1 {
						want = want[:1] // what is told of the run, not of the server
					}
					got := told(d, server)
					if strings.Contains(form, well) {
						got[0], want[0] = "", "" // one more step went well
					}
					if len(want) == 1 {
						got = got[:1]
					}
					if d.Outcome != plain.Outcome || len(d.Causes) != len(plain.Causes) || !slices.Equal(got, want) {
						if noState(plain) {
							continue
						}
						t.Fatalf("%s, %s: %s\n got %q\nwant %q\n%+v", name, how, d.Outcome, got, want, d.Causes)
					}
				}
			}
		})
	}
}

// noState is a run of which no step failed and that ended badly all the same:
// that is told of the run.
func noState(d orchestrator.Diagnosis) bool {
	return len(d.Causes) == 1 && strings.HasPrefix(d.Causes[0].Sentence, "No step of the setup failed")
}

// TestCutAnywhere: wherever an answer is cut off, nothing is invented: each
// cause is one of the whole answer's, or it is said that the answer was cut;
// and a cut answer is never a good one.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, c := range saltCases(t) {
		t.Run(filepath.Base(c.Dir), func(t *testing.T) {
			t.Parallel()
			known := map[string]bool{}
			for _, cause := range c.diagnosis.Causes {
				known[cause.Where] = true
			}
			end := len(bytes.TrimSpace(c.Input))
			for at := 1; at < end; at += 1 + end/25 {
				d := Any(c.Input[:at], c.Stderr, c.Truth.Exit)
				if d.Outcome == orchestrator.OutcomeOK || len(d.Causes) == 0 {
					t.Fatalf("cut at %d of %d: %+v", at, end, d)
				}
				for _, cause := range d.Causes {
					if cause.Where != "" && !known[cause.Where] && !d.Cut {
						t.Errorf("cut at %d of %d: %q is no root, and it does not say that it was cut", at, end, cause.Where)
					}
				}
			}
		})
	}
}
