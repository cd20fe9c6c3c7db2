package orchestrator

import (
	"sort"
	"strings"
)

// unknown is the refusal of a name that the catalog lacks, with near ones.
func unknown(code Code, what, name string, known []string) *Error {
	e := Errorf(code, "There is no %s %q in the catalog.", what, name)
	e.Suggestions = Near(name, known)
	switch {
	case len(e.Suggestions) > 0:
		return e.WithHint("did you mean %s?", strings.Join(e.Suggestions, " or "))
	case len(known) > 0:
		return e.WithHint("there is %s; ops can add another to the catalog", strings.Join(known, ", "))
	}
	return e.WithHint("ask ops to add it to the catalog")
}

// Near gives up to three of known that are close to name, nearest first: at
// most one edit for short names, two from six characters on, or a shared
// prefix of three.
func Near(name string, known []string) []string {
	type hit struct {
		name string
		d    int
	}
	var hits []hit
	limit := 1
	if len(name) >= 6 {
		limit = 2
	}
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if d <= limit || len(name) >= 3 && strings.HasPrefix(k, name[:3]) {
			hits = append(hits, hit{k, d})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].d < hits[j].d })
	var out []string
	for _, h := range hits[:min(3, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// distance is the number of single-character edits, a swap of neighbours
// counting as one (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
