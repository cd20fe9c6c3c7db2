package salt

import (
	"sort"
	"strings"
)

// marker begins the comment of a state that another one's failure stopped.
// Neither __state_ran__ nor the exit code tells this in all versions.
const marker = "One or more requisite failed"

// Blocked reports whether the state failed only because another one did.
func (s State) Blocked() bool {
	return s.Outcome == Failed && strings.HasPrefix(s.Comment, marker)
}

// Cause says why a root is one.
type Cause int

// The kinds of root.
const (
	// Own is a state that failed by itself.
	Own Cause = iota
	// Lost is a state that others wait on and that the result does not hold
	// as failed: a filter took it out, or the output is cut. State has only
	// its Key's parts that are known.
	Lost
	// Circle is a ring of states that wait on each other.
	Circle
)

// Root is a failed state that nothing failed before.
type Root struct {
	State State
	Cause Cause
	// Name is the root's key: sls.id.
	Name string
	// Blocks counts the states that wait on it, directly or not.
	Blocks int
}

// Tree is the failure of one server: roots in the order in which they ran.
type Tree struct {
	Roots     []Root
	Failed    int
	Blocked   int
	Succeeded int
	Total     int
}

// Roots finds the roots among a server's states.
func Roots(all []State) Tree {
	t := Tree{Total: len(all)}
	var failed []int
	for i, s := range all {
		switch {
		case s.Outcome == Failed:
			failed = append(failed, i)
			if s.Blocked() {
				t.Blocked++
			}
		case s.Outcome == Succeeded:
			t.Succeeded++
		}
	}
	t.Failed = len(failed)
	g := graph{all: all, byKey: map[string][]int{}}
	for _, i := range failed {
		g.byKey[all[i].Key()] = append(g.byKey[all[i].Key()], i)
		if all[i].SLS == "" {
			g.bare = append(g.bare, i)
		}
	}
	t.Roots = g.roots(failed)
	return t
}

type graph struct {
	all   []State
	byKey map[string][]int
	bare  []int // failed states without an SLS: matched by their ID alone
}

// listed is what a blocked state's comment names: failed states by index, and
// the rest of the text that no failed state explains.
func (g *graph) listed(i int) (next []int, unknown string) {
	rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(g.all[i].Comment, marker), ":"))
	rest = strings.TrimSpace(rest)
	var lost []string
	for rest != "" {
		key := g.longest(rest)
		if key == "" {
			word, more, _ := strings.Cut(rest, ", ")
			matched := false
			for _, b := range g.bare {
				if b != i && strings.HasSuffix(word, "."+g.all[b].ID) {
					next, matched = append(next, b), true
				}
			}
			if !matched {
				lost = append(lost, word)
			}
			rest = more
			continue
		}
		for _, j := range g.byKey[key] {
			if j != i {
				next = append(next, j)
			}
		}
		rest = strings.TrimPrefix(rest[len(key):], ", ")
		if strings.HasPrefix(rest, "\n") {
			rest = ""
		}
	}
	return next, strings.Join(lost, ", ")
}

// longest is the longest known key that rest begins with. IDs may hold ", ",
// and so can begin with one another; more than 16 of them in an ID do not occur,
// and looking further would make long lists slow.
func (g *graph) longest(rest string) string {
	key := ""
	for n, end := 0, 0; n < 17; n++ {
		next := strings.Index(rest[end:], ", ")
		nl := strings.IndexByte(rest[end:], '\n')
		stop := len(rest)
		if next >= 0 {
			stop = end + next
		}
		if nl >= 0 && end+nl < stop {
			stop = end + nl
		}
		if _, ok := g.byKey[rest[:stop]]; ok {
			key = rest[:stop]
		}
		if stop == len(rest) || rest[stop] == '\n' {
			break
		}
		end = stop + 2
	}
	return key
}

func (g *graph) roots(failed []int) []Root {
	edges := make(map[int][]int, len(failed))
	unknown := map[int]string{}
	back := map[int][]int{} // from a state to those that it stops
	for _, i := range failed {
		if !g.all[i].Blocked() {
			continue
		}
		next, lost := g.listed(i)
		edges[i] = next
		if lost != "" {
			unknown[i] = lost
		}
		for _, j := range next {
			back[j] = append(back[j], i)
		}
	}
	var out []Root
	explained := map[int]bool{}
	// spread marks all that wait on the given states and counts them.
	spread := func(from []int) int {
		seen, queue, n := map[int]bool{}, append([]int(nil), from...), 0
		for _, i := range from {
			seen[i], explained[i] = true, true
		}
		for len(queue) > 0 {
			i := queue[0]
			queue = queue[1:]
			for _, j := range back[i] {
				if !seen[j] {
					seen[j], explained[j] = true, true
					n++
					queue = append(queue, j)
				}
			}
		}
		return n
	}
	for _, i := range failed {
		if !g.all[i].Blocked() {
			s := g.all[i]
			out = append(out, Root{State: s, Name: s.Key(), Blocks: spread([]int{i})})
		}
	}
	// What no root explains waits on something that the result does not show.
	byName := map[string][]int{}
	var names []string
	for _, i := range failed {
		if name, ok := unknown[i]; ok && !explained[i] {
			if byName[name] == nil {
				names = append(names, name)
			}
			byName[name] = append(byName[name], i)
		}
	}
	for _, name := range names {
		waiting := byName[name]
		out = append(out, Root{State: State{Order: g.all[waiting[0]].Order}, Name: name, Cause: Lost, Blocks: len(waiting) + spread(waiting)})
	}
	// And what is left goes round in circles.
	for _, i := range failed {
		if !explained[i] {
			s := g.all[i]
			n := spread([]int{i})
			for _, j := range reach(edges, i) {
				if !explained[j] {
					explained[j] = true
					n++
				}
			}
			out = append(out, Root{State: s, Name: s.Key(), Cause: Circle, Blocks: n})
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return out[a].State.Order < out[b].State.Order })
	return out
}

func reach(edges map[int][]int, from int) []int {
	seen, queue := map[int]bool{from: true}, []int{from}
	var out []int
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, j := range edges[i] {
			if !seen[j] {
				seen[j] = true
				out = append(out, j)
				queue = append(queue, j)
			}
		}
	}
	return out
}
