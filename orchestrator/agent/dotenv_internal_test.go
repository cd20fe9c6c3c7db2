package agent

import (
	"slices"
	"strings"
	"testing"
)

func TestDotenv(t *testing.T) {
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
	} {
		got, skipped := dotenv(tt.text)
		if !slices.Equal(got, tt.want) || !slices.Equal(skipped, tt.skipped) {
			t.Errorf("%q: %q, skipped %v; want %q, %v", tt.text, got, skipped, tt.want, tt.skipped)
		}
	}
}

func FuzzDotenv(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\n\ny\"\n'")
	f.Fuzz(func(t *testing.T, text string) {
		pairs, _ := dotenv(text)
		for _, kv := range pairs {
			key, _, ok := strings.Cut(kv, "=")
			if !ok || !isEnvKey(key) || strings.ContainsRune(kv, 0) {
				t.Errorf("%q gives %q", text, kv)
			}
		}
	})
}
