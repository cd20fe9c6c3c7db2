package diagnose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recorded gives the recorded failures with one true cause that is found as
// one: of testdata, and of the larger set where BERTH_CORPUS names it.
func recorded(t *testing.T) []recordedCase {
	t.Helper()
	var out []recordedCase
	for _, root := range []string{"../../testdata", os.Getenv("BERTH_CORPUS")} {
		if root == "" {
			continue
		}
		for _, dir := range find(t, root) {
			c := load(t, dir)
			if len(c.Truth.Causes) == 1 && len(c.Input) < 1<<20 && len(c.diagnosis.Causes) == 1 {
				out = append(out, c)
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d recorded failures", len(out))
	}
	return out
}

// noise is what another run of the same would have written otherwise.
var noise = []struct{ re, by string }{
	{`\b[0-9a-f]{40}\b`, "83c9d1f0a7b2648e5d1c0f9b7a36e2d4c8b5a190"},
	{`"duration": ?[\d.]+`, `"duration": 98765.4`},
	{`\b\d{2}:\d{2}:\d{2}\.\d+`, "17:41:09.123456"},
	{`\b20\d{2}-\d{2}-\d{2}([T _])`, "2031-08-17$1"},
	{`"pid": ?\d+`, `"pid": 4190173`},
	{`\bPID \d+`, "PID 4190173"},
	{`\bin \d+\.\d+s\b`, "in 77.31s"},
	{`127\.0\.0\.1:\d{4,5}\b`, "127.0.0.1:40404"},
	{`port \d{4,5}\b`, "port 40404"},
	{`after \d+ ms`, "after 917 ms"},
	{`\.tmp\.\w{8}\b`, ".tmp.q7zk2m_1"},
	{`run-[0-9a-f]{32}\.scope|run-r[0-9a-f]+\.scope`, "run-r0f1e2d3c4b5a69788796a5b4c3d2e1f0.scope"},
}

// TestFingerprintOfAnotherRun: the same failure at another time, on another
// commit and with other ports has the same fingerprint.
func TestFingerprintOfAnotherRun(t *testing.T) {
	t.Parallel()
	changed := 0
	var forms []*regexp.Regexp
	for _, n := range noise {
		forms = append(forms, regexp.MustCompile(n.re))
	}
	for _, c := range recorded(t) {
		again := c
		for i, n := range noise {
			re := forms[i]
			again.Input, again.Stderr = re.ReplaceAll(again.Input, []byte(n.by)), re.ReplaceAll(again.Stderr, []byte(n.by))
		}
		if !bytes.Equal(again.Input, c.Input) {
			changed++
		}
		a, b := c.diagnosis.Causes, Any(again.Input, again.Stderr, c.Truth.Exit).Causes
		if len(b) != 1 || a[0].Fingerprint != b[0].Fingerprint || a[0].Fingerprint == "" {
			t.Errorf("%s: another run is another cause:\n%s\n%s", filepath.Base(c.Dir), a[0].Sentence, b[0].Sentence)
		}
	}
	if changed < 10 {
		t.Errorf("only %d runs were changed", changed)
	}
}

// TestFingerprintOfAnotherThing: another package, branch, host or file is
// another cause.
func TestFingerprintOfAnotherThing(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, c := range recorded(t) {
		a := c.diagnosis.Causes[0]
		for _, m := range c.Truth.Causes[0].MustMention {
			word, ok := m.(string)
			if !ok || len(word) < 5 || !strings.Contains(a.Sentence, word) || strings.ContainsAny(word, "<>\"\\ ") {
				continue
			}
			// Letters in its middle: it stays a word of its kind.
			other := word[:len(word)/2] + "zqz" + word[len(word)/2:]
			swap := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(word), []byte(other)) }
			b := Any(swap(c.Input), swap(c.Stderr), c.Truth.Exit).Causes
			if len(b) != 1 || b[0].Code != a.Code || !strings.Contains(b[0].Sentence, other) {
				continue // the word was a part of what is recognised
			}
			tried++
			if a.Fingerprint == b[0].Fingerprint {
				t.Errorf("%s: %q and %q are one cause (%s)", filepath.Base(c.Dir), word, other, a.Sentence)
			}
		}
	}
	if tried < 8 {
		t.Errorf("only %d were tried", tried)
	}
}

// TestFingerprintsOfRecordedRuns: causes that are truly different have
// different fingerprints, unless they are told in the same words (but for the
// line of a file), and a failure that was recorded with two versions of Salt has
// mostly the same.
func TestFingerprintsOfRecordedRuns(t *testing.T) {
	t.Parallel()
	type seen struct{ dir, truth, sentence string }
	line := regexp.MustCompile(`\bline \d+`)
	first := map[string]seen{}
	prints := map[string]map[string]bool{} // by truth
	for _, c := range recorded(t) {
		cause, truth := c.diagnosis.Causes[0], c.Truth.Causes[0]
		about, err := json.Marshal([]any{truth.Code, truth.Where, truth.MustMention})
		if err != nil {
			t.Fatal(err)
		}
		key := string(about)
		if was, ok := first[cause.Fingerprint]; ok && was.truth != key && line.ReplaceAllString(was.sentence, "line") != line.ReplaceAllString(cause.Sentence, "line") {
			t.Errorf("%s and %s are one cause:\n%s\n%s", was.dir, filepath.Base(c.Dir), was.sentence, cause.Sentence)
		}
		first[cause.Fingerprint] = seen{filepath.Base(c.Dir), key, cause.Sentence}
		if len(truth.Where) == 0 { // of Terraform, each recorded once
			key += filepath.Base(c.Dir)
		}
		if prints[key] == nil {
			prints[key] = map[string]bool{}
		}
		prints[key][cause.Fingerprint] = true
	}
	alike, all := 0, 0
	for truth, p := range prints {
		all++
		if len(p) == 1 {
			alike++
		} else {
			t.Logf("%d fingerprints for %s", len(p), truth)
		}
	}
	if alike*10 < all*9 {
		t.Errorf("only %d of %d causes have one fingerprint", alike, all)
	}
}

// TestFingerprintOfAnotherFile: what is said in the same words of another file
// is another cause, wherever the file is named; of another line it is not.
func TestFingerprintOfAnotherFile(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		"  File \"%s.py\", line %d\n    def items(:\n              ^\nSyntaxError: invalid syntax\nmake: *** [Makefile:5: build] Error 1",
		"Traceback (most recent call last):\n  File \"%s.py\", line %d, in <module>\n    main()\nValueError: bad thing",
		"error[E0308]: mismatched types\n --> src/%s.rs:%d:9\n  |\n",
		"PHP Parse error:  syntax error, unexpected end of file in /srv/%s.php on line %d",
		"%s.c:%d:5: error: expected ';' before '}' token",
	} {
		print := func(file string, line int) string {
			out, err := json.Marshal(fmt.Sprintf(output, file, line))
			if err != nil {
				t.Fatal(err)
			}
			run := `{"local":{"cmd_|-build_|-make build_|-run":{"result":false,"comment":"Command \"make build\" run","name":"make build","__id__":"build","__sls__":"app","__run_num__":0,"changes":{"retcode":2,"stdout":"","stderr":` + string(out) + `}}}}`
			d := Any([]byte(run), nil, 2)
			if len(d.Causes) != 1 {
				t.Fatalf("%+v", d)
			}
			return d.Causes[0].Fingerprint
		}
		if a, b := print("stock", 6), print("stock", 114); a != b {
			t.Errorf("another line of one file is another cause: %q", output)
		}
		if a, b := print("stock", 6), print("cart", 6); a == b {
			t.Errorf("another file is the same cause: %q", output)
		}
	}
}
