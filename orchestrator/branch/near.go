package branch

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// sameButCase gives the names that differ from wanted in case only.
func sameButCase(wanted string, names []string) []string {
	var same []string
	for _, n := range names {
		if n != wanted && strings.EqualFold(n, wanted) {
			same = append(same, n)
		}
	}
	slices.Sort(same)
	return same[:min(3, len(same))]
}

// sameButMarks gives the names that differ from wanted only in characters that
// doors replace, since keyboards and Slack put them there: dashes, quotes, full
// width, what is drawn as nothing; and in how accents are written.
func sameButMarks(wanted string, names []string) []string {
	var same []string
	w := simple(wanted)
	for _, n := range names {
		if n != wanted && simple(n) == w {
			same = append(same, n)
		}
	}
	slices.Sort(same)
	return same[:min(3, len(same))]
}

var marks = strings.NewReplacer(
	"\u2010", "-", "\u2011", "-", "\u2012", "-", "\u2013", "-", "\u2014", "--", "\u2015", "--", "\u2212", "-", "\ufe58", "--", "\ufe63", "-",
	"“", `"`, "”", `"`, "„", `"`, "‟", `"`, "«", `"`, "»", `"`, "″", `"`, "〝", `"`, "〞", `"`,
	"‘", "'", "’", "'", "‚", "'", "‛", "'", "′", "'", "‹", "'", "›", "'",
	"。", ".", "、", ",",
)

// simple writes a name with the plainest characters that it can be typed with.
func simple(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return r
	}, marks.Replace(name))
	return norm.NFKC.String(name)
}

// near gives up to three names that wanted was probably meant to be, the
// likeliest first.
func near(wanted string, names []string) []string {
	type scored struct {
		name  string
		score int
	}
	var all []scored
	w := strings.ToLower(wanted)
	for _, n := range names {
		if s, ok := distance(w, strings.ToLower(n)); ok {
			all = append(all, scored{n, s})
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	var best []string
	for _, s := range all[:min(3, len(all))] {
		best = append(best, s.name)
	}
	return best
}

// distance says how far two lower-case names are apart, in half steps of
// typing; ok is false for names that nobody confuses.
func distance(wanted, name string) (score int, ok bool) {
	score, ok = 0, false
	consider := func(s int) {
		if !ok || s < score {
			score, ok = s, true
		}
	}
	if wanted == name {
		return 0, true
	}
	if plain(wanted) == plain(name) {
		consider(1)
	}
	wantedLast, nameLast := last(wanted), last(name)
	if wantedLast == nameLast {
		consider(2)
	}
	if d, close := edits(wanted, name, tolerance(wanted)); close {
		consider(2 * d)
	}
	if wantedLast != wanted || nameLast != name {
		if d, close := edits(wantedLast, nameLast, tolerance(wantedLast)); close {
			consider(2*d + 3)
		}
	}
	// One begins with the other, or has it as its end.
	short, long := wanted, name
	if len(short) > len(long) {
		short, long = long, short
	}
	if utf8.RuneCountInString(short) >= 3 {
		if strings.HasPrefix(long, short) || strings.HasSuffix(long, short) {
			consider(9)
		}
		if p := plain(short); len(p) >= 3 && strings.HasPrefix(plain(long), p) {
			consider(10)
		}
	}
	// Both begin alike for more than half of the shorter one, behind any folder.
	if len(wantedLast) >= 4 && len(nameLast) >= 4 {
		if n := common(wantedLast, nameLast); n >= 4 && 2*n > min(len(wantedLast), len(nameLast)) {
			consider(12)
		}
	}
	return score, ok
}

// tolerance is how many slips of the finger a name of its length allows.
func tolerance(s string) int {
	switch n := utf8.RuneCountInString(s); {
	case n <= 2:
		return 0
	case n <= 4:
		return 1
	case n <= 8:
		return 2
	default:
		return min(n/4+1, 5)
	}
}

func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// plain drops what people use to separate words.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_./ ", r) {
			return -1
		}
		return r
	}, name)
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that make b of a, if there are at most limit.
func edits(a, b string, limit int) (int, bool) {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > limit || -d > limit {
		return 0, false
	}
	// Three rows are enough for swaps: the row above and the one above that.
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(y); j++ {
			change := above[j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit+1 {
			return 0, false
		}
		before, above, row = above, row, before
	}
	d := above[len(y)]
	return d, d <= limit
}

// either joins names with "or", and and with "and". A name that the grammar
// would read differently is put in quotes, as the command needs it.
func either(names []string) string { return list(names, "or") }
func and(names []string) string    { return list(names, "and") }

func list(names []string, word string) string {
	shown := make([]string, len(names))
	for i, n := range names {
		shown[i] = n
		if strings.ContainsFunc(n, func(r rune) bool { return r > 126 || strings.ContainsRune("\"'`=<>|&;,!", r) }) {
			shown[i] = `"` + n + `"`
		}
	}
	if len(shown) < 2 {
		return strings.Join(shown, "")
	}
	return strings.Join(shown[:len(shown)-1], ", ") + " " + word + " " + shown[len(shown)-1]
}
