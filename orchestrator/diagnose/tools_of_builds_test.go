package diagnose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestToolsOfBuilds: what real tools printed when they failed, and what the
// sentence must hold of it; of a list one is enough. What stands in
// tools-known.json was not recorded: it is written as the tools word it.
func TestToolsOfBuilds(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"tools.json", "tools-known.json"} {
		t.Run(file, func(t *testing.T) { toolsOfBuilds(t, filepath.Join("testdata", file)) })
	}
}

func toolsOfBuilds(t *testing.T, file string) {
	t.Parallel()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var runs []struct {
		Name, Cmd, Stderr, Stdout string
		Exit                      int
		Codes, Who                []string
		Must                      [][]string
	}
	if err := json.Unmarshal(text, &runs); err != nil || len(runs) < 100 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, r := range runs {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			d := Any([]byte(chunk("cmd_|-build_|-"+r.Cmd+"_|-run", `Command "`+r.Cmd+`" run`, printed(r.Exit, r.Stdout, r.Stderr))), nil, 2)
			if len(d.Causes) != 1 {
				t.Fatalf("%+v", d)
			}
			c := d.Causes[0]
			if !slices.Contains(r.Codes, c.Code) || !slices.Contains(r.Who, c.Who) {
				t.Errorf("%s/%s instead of %v/%v: %s", c.Code, c.Who, r.Codes, r.Who, c.Sentence)
			}
			for _, any := range r.Must {
				if !slices.ContainsFunc(any, func(m string) bool { return strings.Contains(strings.ToLower(c.Sentence), strings.ToLower(m)) }) {
					t.Errorf("%q holds none of %q", c.Sentence, any)
				}
			}
		})
	}
}

// TestPassedTestsAreNoCause: a test that is named after a trouble and passed
// is not the trouble.
func TestPassedTestsAreNoCause(t *testing.T) {
	t.Parallel()
	out := "  ✓ tells when the disk is full\n  ✓ survives out of memory\nok 3 - address already in use\ntest_disk.py::test_no_space_left_on_device PASSED\n  ✕ adds the fee\n    Error: expected 3, got 4"
	c := Any([]byte(chunk("cmd_|-t_|-npm test_|-run", `Command "npm test" run`, printed(1, out, ""))), nil, 2).Causes[0]
	if c.Code != "command_failed" || !strings.Contains(c.Sentence, "expected 3, got 4") {
		t.Errorf("%+v", c)
	}
}
