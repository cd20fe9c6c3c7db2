package agent

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/catalog"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		want    []string
		skipped []int
	}{
		{text: ""},
		{text: "A=1\nB=two words\n", want: []string{"A=1", "B=two words"}},
		{text: "A=1\r\nB=2\r\n", want: []string{"A=1", "B=2"}},
		{text: "# no\n\nexport A = 1 # why\nB=a#b\n", want: []string{"A=1", "B=a#b"}},
		{text: `A="x \"y\" \n$HOME" # c`, want: []string{"A=x \"y\" \n$HOME"}},
		{text: `A='x "y" \n'`, want: []string{`A=x "y" \n`}},
		{text: "KEY=\"-----BEGIN\nabc\n-----END\"\nB=2", want: []string{"KEY=-----BEGIN\nabc\n-----END", "B=2"}},
		{text: "A=\"never\nB=2", want: []string{`A="never`, "B=2"}},
		{text: "A=1\nA=2", want: []string{"A=2"}},
		{text: "A=\nURL=postgres://u:p@h/db?x=1", want: []string{"A=", "URL=postgres://u:p@h/db?x=1"}},
		{text: "no\n1A=2\n=3\nA B=4\nC=5", want: []string{"C=5"}, skipped: []int{1, 2, 3, 4}},
		{text: "A=x\x00y\nB=1", want: []string{"B=1"}, skipped: []int{1}},
		{text: "\ufeffA=é", want: []string{"A=é"}},
		{text: "A=#1pass\nB= # none\nC=x\t# why", want: []string{"A=#1pass", "B=", "C=x"}},
		{text: "A=\"x\r\ny\\\r\nz\\w\"\r\nB=1\r\n", want: []string{"A=x\ny\\\nz\\w", "B=1"}},
		{text: "A='x\x00\ny'\nB=1", want: []string{"B=1"}, skipped: []int{1}},
	} {
		got, skipped := variables(tt.text)
		if !slices.Equal(got, tt.want) || !slices.Equal(skipped, tt.skipped) {
			t.Errorf("%q: %q, skipped %v; want %q, %v", tt.text, got, skipped, tt.want, tt.skipped)
		}
	}
}

// What ops are told that their settings say is what the app gets.
func FuzzSettingsAlike(f *testing.F) {
	for _, text := range []string{"A=1\n", "export A = 'x\r\ny' # c\nB=#x\n", "A=\"\\n\\\"\\'\\`\\\r\n\" # c", "\ufeffA=\r\nA=x\t# y", "export=1\nA= 'x' \n", "A.B=1\n", "A=x' #\n'", "A=\\#\v#"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "a.env")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		raw, values, err := catalog.Settings(path)
		if err != nil {
			return // refused before any app could get it
		}
		got := map[string]string{}
		pairs, skipped := variables(string(raw))
		for _, pair := range pairs {
			key, value, _ := strings.Cut(pair, "=")
			got[key] = value
		}
		if !maps.Equal(got, values) || len(pairs) != len(got) || len(skipped) > 0 {
			t.Errorf("%q: the app gets %q (skipped %v), ops are told %q", text, got, skipped, values)
		}
	})
}
