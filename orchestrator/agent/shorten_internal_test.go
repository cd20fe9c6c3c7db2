package agent

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever a build prints, the document stays JSON, the ends of its output
// stay, and the report fits into one request.
func TestDocument(t *testing.T) {
	t.Parallel()
	type chunk struct {
		Comment string `json:"comment"`
		Stdout  string `json:"stdout"`
	}
	for name, line := range map[string]string{
		"plain": strings.Repeat("x", 99) + "\n", "escapes": "\"\\\n\t\"\\", "unicode": "é✓😀\x01\n", "controls": "\x1b\x00\r",
	} {
		var d document
		in := map[string]chunk{"a": {"first", "begin " + strings.Repeat(line, 200_000) + " end"}, "b": {"second", "short"}}
		raw, err := json.Marshal(map[string]any{"local": in})
		if err != nil {
			t.Fatal(err)
		}
		for len(raw) > 0 { // units are cut anywhere
			n := min(7, len(raw))
			if _, err := d.Write(raw[:n]); err != nil {
				t.Fatal(err)
			}
			raw = raw[n:]
		}
		var out struct{ Local map[string]chunk }
		if err := json.Unmarshal([]byte(d.String()), &out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := out.Local["a"]
		if !strings.HasPrefix(got.Stdout, "begin ") || !strings.HasSuffix(got.Stdout, " end") || !strings.Contains(got.Stdout, "bytes left out]") || got.Comment != "first" || out.Local["b"] != in["b"] {
			t.Errorf("%s: not what was printed: %q … %q, %q", name, got.Stdout[:20], got.Stdout[len(got.Stdout)-20:], out.Local["b"])
		}
		if n := len(d.String()); n > 2*longString {
			t.Errorf("%s: %d bytes stay", name, n)
		}
	}
}

// Many long strings share what room there is.
func TestDocumentOfMany(t *testing.T) {
	t.Parallel()
	in := map[string]string{}
	for i := range 300 {
		in[strings.Repeat("k", i+1)] = strings.Repeat("line\n", 20_000)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	_, _ = d.Write(raw)
	if !json.Valid([]byte(d.String())) || len(d.String()) > maxStdout {
		t.Errorf("valid %v, %d bytes", json.Valid([]byte(d.String())), len(d.String()))
	}
	report, err := json.Marshal(d.String())
	if err != nil || len(report) > 7<<20 {
		t.Errorf("a report of %d bytes, %v", len(report), err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"local":{"a":{"changes":{"stdout":"x\"\\ é"}}}}`), 3)
	f.Add([]byte(`["`+strings.Repeat(`\u00e9`, 40_000)+`"]`), 1000)
	f.Add([]byte(`no JSON "at all`), 1)
	f.Fuzz(func(t *testing.T, raw []byte, step int) {
		var d document
		for rest := raw; len(rest) > 0; {
			n := min(max(step, 1), len(rest))
			_, _ = d.Write(rest[:n])
			rest = rest[n:]
		}
		out := d.String()
		if json.Valid(raw) && !json.Valid([]byte(out)) && len(raw) < maxStdout {
			t.Errorf("JSON became %q", out)
		}
		if len(raw) < longString/512 && out != strings.ToValidUTF8(string(raw), "�") {
			t.Errorf("%q became %q", raw, out)
		}
	})
}
