package dotenv_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/dotenv"
)

func TestRead(t *testing.T) {
	t.Parallel()
	got := dotenv.Read("# a\nexport A = 'x\n\ny' # b\nno\nB=\"x\" y\nC='open\nD=\\#\t#\n")
	want := []dotenv.Line{
		{Number: 2, Key: "A", Value: "x\n\ny"},
		{Number: 5, Problem: "expected KEY=value"},
		{Number: 6, Key: "B", Value: "x", Problem: "there is text after the closing quote"},
		{Number: 7, Key: "C", Value: "'open", Problem: "the quote is never closed"},
		{Number: 8, Key: "D", Value: `\#`},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\n\ny\"\n'")
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, l := range dotenv.Read(text) {
			if l.Number <= last || l.Number > 1+strings.Count(text, "\n") {
				t.Errorf("%q: line %d after line %d", text, l.Number, last)
			}
			last = l.Number
			if l.Key == "" && (l.Value != "" || l.Problem == "") || l.Key != "" && !dotenv.IsKey(l.Key) || strings.ContainsRune(l.Value, 0) {
				t.Errorf("%q gives %+v", text, l)
			}
		}
	})
}
