package salt

import (
	"fmt"
	"strings"
	"testing"
)

// failed makes a failed state; the keys that it waits on, if any, stopped it.
func failed(sls, id string, order int, waits ...string) State {
	s := State{Tag: "cmd_|-" + id, Module: "cmd", SLS: sls, ID: id, Order: order, Outcome: Failed, Comment: "no"}
	if waits != nil {
		s.Comment = marker + ": " + strings.Join(waits, ", ")
	}
	return s
}

// told writes a tree as "root/total[the first ones]".
func told(all []State, tree Tree) string {
	var groups [][]int
	for i := range tree.Roots {
		groups = append(groups, []int{i})
	}
	var out []string
	for i, r := range tree.Reach(groups, 3) {
		kind := map[Cause]string{Lost: "lost ", Circle: "circle "}[tree.Roots[i].Cause]
		var names []string
		for _, k := range r.First {
			names = append(names, all[k].Key())
		}
		out = append(out, fmt.Sprintf("%s%s/%d%v", kind, tree.Roots[i].Name, r.Total, names))
	}
	return strings.Join(out, " ")
}

func TestReach(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		all  []State
		want string
	}{
		"a step that waits on two roots is told at each": {[]State{failed("a", "x", 0), failed("a", "y", 1), failed("a", "z", 2, "a.y", "a.x"), failed("a", "end", 3, "a.z")},
			"a.x/2[a.z a.end] a.y/2[a.z a.end]"},
		"a diamond counts once": {[]State{failed("a", "x", 0), failed("a", "l", 1, "a.x"), failed("a", "r", 2, "a.x"), failed("a", "end", 3, "a.l", "a.r")},
			"a.x/3[a.l a.r a.end]"},
		"the number goes on where the names end": {[]State{failed("a", "x", 0), failed("a", "1", 1, "a.x"), failed("a", "2", 2, "a.1"), failed("a", "3", 3, "a.2"), failed("a", "4", 4, "a.3"), failed("a", "5", 5, "a.4")},
			"a.x/5[a.1 a.2 a.3]"},
		"names that share a key": {[]State{failed("a", "x", 0), failed("a", "x", 1), failed("a", "y", 2, "a.x"), failed("a", "x", 3)},
			"a.x/1[a.y] a.x/1[a.y] a.x/0[]"},
		"a prereq's target runs after what waits on it": {[]State{failed("a", "stop", 0, "a.new"), failed("a", "new", 1)},
			"a.new/1[a.stop]"},
		"what names nothing, with one root": {[]State{failed("a", "x", 0), failed("a", "y", 1, "")},
			"a.x/1[a.y]"},
		"what names nothing, with two": {[]State{failed("a", "x", 0), failed("a", "y", 1), failed("a", "z", 2, ""), failed("a", "end", 3, "a.z")},
			"a.x/0[] a.y/0[]"},
		"what names nothing, alone": {[]State{failed("a", "z", 2, ""), failed("a", "end", 3, "a.z")},
			"lost a.z/1[a.end]"},
		"a circle with a tail": {[]State{failed("a", "x", 0, "a.z"), failed("a", "y", 1, "a.x"), failed("a", "z", 2, "a.y"), failed("a", "end", 3, "a.z")},
			"circle a.x/3[a.y a.z a.end]"},
		"two circles, one behind the other": {[]State{failed("a", "p", 0, "a.q", "a.x"), failed("a", "q", 1, "a.p"), failed("a", "x", 2, "a.y"), failed("a", "y", 3, "a.x")},
			"circle a.x/3[a.p a.q a.y]"},
		"a circle that a root explains": {[]State{failed("a", "x", 0), failed("a", "p", 1, "a.q", "a.x"), failed("a", "q", 2, "a.p")},
			"a.x/2[a.p a.q]"},
		"what the result does not hold": {[]State{failed("a", "p", 0, "b.gone"), failed("a", "q", 1, "b.gone", "b.away"), failed("a", "end", 2, "a.q")},
			"lost b.gone/3[a.p a.q a.end] lost b.away/2[a.q a.end]"},
		"an ID of several lines": {[]State{failed("a", "set -e\nmake", 0), failed("a", "y", 1, "a.set -e\nmake")},
			"a.set -e\nmake/1[a.y]"},
		"without an SLS": {[]State{failed("", "x.y, z", 0), failed("a", "y", 1, "b.c.x.y, z", "a.q")},
			"x.y, z/1[a.y]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := told(tt.all, Roots(tt.all)); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// More groups than a word has bits, and groups of several roots.
func TestReachManyGroups(t *testing.T) {
	t.Parallel()
	const roots = 150
	var all []State
	for i := range roots {
		all = append(all, failed("a", fmt.Sprint("r", i), i))
	}
	for i := range roots {
		all = append(all, failed("a", fmt.Sprint("b", i), roots+i, fmt.Sprint("a.r", i)))
	}
	all = append(all, failed("a", "end", 2*roots, "a.b0", "a.b1", "a.b149"))
	tree := Roots(all)
	var groups [][]int
	for i := 0; i < roots; i += 2 {
		groups = append(groups, []int{i, i + 1})
	}
	for i, r := range tree.Reach(groups, 100) {
		want := 2
		if i == 0 || i == 74 { // r0 and r1; r149
			want = 3
		}
		if r.Total != want || len(r.First) != want || r.First[0] != roots+2*i {
			t.Errorf("group %d: %+v, want %d", i, r, want)
		}
	}
}

// TestWork: whatever the shape, finding the roots and what they stopped takes
// steps in proportion to the states and to what their comments name.
func TestWork(t *testing.T) {
	t.Parallel()
	const n = 20_000
	shapes := map[string]func(i int) State{
		"a chain": func(i int) State {
			if i == 0 {
				return failed("a", "s0", 0)
			}
			return failed("a", fmt.Sprint("s", i), i, fmt.Sprint("a.s", i-1))
		},
		"one root before all": func(i int) State {
			if i == 0 {
				return failed("a", "s0", 0)
			}
			return failed("a", fmt.Sprint("s", i), i, "a.s0")
		},
		"one key for all, half of them blocked": func(i int) State {
			if i < n/2 {
				return failed("a", "s", i)
			}
			return failed("a", "s", i, "a.s")
		},
		"a circle of all": func(i int) State {
			return failed("a", fmt.Sprint("s", i), i, fmt.Sprint("a.s", (i+1)%n))
		},
		"lost, each by another name": func(i int) State { return failed("a", fmt.Sprint("s", i), i, fmt.Sprint("b.", i)) },
		"no SLS": func(i int) State {
			if i < n/2 {
				return failed("", fmt.Sprint("s", i), i)
			}
			return failed("a", fmt.Sprint("t", i), i, fmt.Sprint("a.b.c.s", i-n/2))
		},
	}
	for name, make := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []State
			for i := range n {
				all = append(all, make(i))
			}
			tree := Roots(all)
			var groups [][]int
			for i := range tree.Roots {
				if len(groups) < 64 {
					groups = append(groups, []int{i})
				}
			}
			tree.Reach(groups, 100)
			if work := tree.graph.work; work > 40*n {
				t.Errorf("%d steps for %d states", work, n)
			}
			if name == "a chain" {
				if r := tree.Reach([][]int{{0}}, 100)[0]; r.Total != n-1 || len(r.First) != 100 {
					t.Errorf("%d blocked, %d of them named", r.Total, len(r.First))
				}
			}
		})
	}
}
