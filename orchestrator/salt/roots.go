package salt

import (
	"math/bits"
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
	// as failed: a filter took it out, or the output is cut. Of State only the
	// Order is known. Where Salt did not even name it, State is the first one
	// that waits.
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

	node int
}

// Tree is the failure of one server: roots in the order in which they ran.
type Tree struct {
	Roots     []Root
	Failed    int
	Blocked   int
	Succeeded int
	Total     int

	graph *graph
}

// Reach is what a group of roots kept from running.
type Reach struct {
	// Total counts the states, each once.
	Total int
	// First are the first of them as indices of the states that Roots was
	// given, in the order in which they would have run.
	First []int
}

// Roots finds the roots among a server's states.
func Roots(all []State) Tree {
	t := Tree{Total: len(all)}
	for _, s := range all {
		switch {
		case s.Outcome == Failed:
			t.Failed++
			if s.Blocked() {
				t.Blocked++
			}
		case s.Outcome == Succeeded:
			t.Succeeded++
		}
	}
	if t.Failed == 0 {
		return t
	}
	t.graph = newGraph(all)
	t.Roots = t.graph.roots()
	return t
}

// Reach says what each group of roots, given as indices of t.Roots, kept from
// running; most bounds First. A state that waits on several groups counts in
// each of them.
func (t Tree) Reach(groups [][]int, most int) []Reach {
	out := make([]Reach, len(groups))
	if t.graph == nil {
		return out
	}
	for from := 0; from < len(groups); from += 64 {
		to := min(from+64, len(groups))
		t.graph.reach(t.Roots, groups[from:to], out[from:to], most)
	}
	return out
}

// graph says what waits on what. Its nodes are the states, then nodes that
// stand for many states with one key, so that a key that a thousand states
// share and another thousand wait on costs two thousand edges, and then what
// the result does not hold.
type graph struct {
	all   []State
	nodes int
	// needs holds the edges from a node to what it waits on: those of node i
	// are needs[first[i]:first[i+1]].
	needs, first []int

	names *segment // the keys of failed states
	ids   *segment // and the IDs of those without an SLS
	lost  []lostName
	// parts holds the nodes that wait on each other in a circle; every other
	// node is a part of its own. What a part waits on has a lower number.
	part  []int
	parts int
	// ordered are the nodes by their part: those of part p are
	// ordered[start[p]:start[p+1]].
	ordered, start []int

	// work counts steps, for the test that holds it to the input's size.
	work int
}

type lostName struct {
	name    string
	node    int
	waiting int // the first state that waits on it
}

// segment is a tree of keys, split at ", ": IDs may hold that, and so can begin
// with one another.
type segment struct {
	next  map[string]*segment
	nodes []keyed // the states that have the key ending here, in order
}

// keyed is a state with its key: node stands for it and all that ran before it
// and have the same key.
type keyed struct{ order, node int }

// deepest bounds how many parts of an ID are looked at.
const deepest = 16

func (s *segment) add(key string) *segment {
	for depth := 0; ; depth++ {
		part, rest, more := strings.Cut(key, ", ")
		if depth == deepest {
			part, more = key, false
		}
		if s.next == nil {
			s.next = map[string]*segment{}
		}
		if s.next[part] == nil {
			s.next[part] = &segment{}
		}
		s = s.next[part]
		if !more {
			return s
		}
		key = rest
	}
}

// longest finds the longest key that text begins with, up to a ", ", a line's
// end or the end of all.
func (s *segment) longest(text string) (found *segment, length int) {
	at := 0
	for depth := 0; depth <= deepest && s.next != nil; depth++ {
		stop, last := len(text), true
		if i := strings.Index(text[at:], ", "); i >= 0 {
			stop, last = at+i, false
		}
		next := s.next[text[at:stop]]
		if next == nil {
			// The list ends with its line, and an ID may have several.
			if i := strings.IndexByte(text[at:stop], '\n'); i >= 0 {
				if n := s.next[text[at:at+i]]; n != nil && n.nodes != nil {
					return n, at + i
				}
			}
			break
		}
		if next.nodes != nil {
			found, length = next, stop
		}
		if last {
			break
		}
		s, at = next, stop+2
	}
	return found, length
}

func newGraph(all []State) *graph {
	g := &graph{all: all, nodes: len(all), names: &segment{}, ids: &segment{}}
	var chain [][2]int // of the nodes behind the states: what they wait on
	add := func(root *segment, key string, i int) {
		s := root.add(key)
		node := i
		if n := len(s.nodes); n > 0 {
			node = g.nodes
			g.nodes++
			chain = append(chain, [2]int{s.nodes[n-1].node, i})
		}
		s.nodes = append(s.nodes, keyed{all[i].Order, node})
	}
	for i := range all {
		if all[i].Outcome != Failed {
			continue
		}
		add(g.names, all[i].Key(), i)
		if all[i].SLS == "" {
			add(g.ids, all[i].ID, i)
		}
	}
	known := g.nodes
	byName := map[string]int{}
	g.first = make([]int, 0, g.nodes+1)
	for i := range all {
		g.first = append(g.first, len(g.needs))
		if all[i].Blocked() {
			g.listed(i, byName)
		}
	}
	for _, both := range chain {
		g.first = append(g.first, len(g.needs))
		g.needs = append(g.needs, both[0], both[1])
	}
	for range g.nodes - known + 1 {
		g.first = append(g.first, len(g.needs))
	}
	g.condense()
	return g
}

// listed adds what a blocked state's comment names: failed states, and names
// that no failed state has.
func (g *graph) listed(i int, byName map[string]int) {
	rest := strings.TrimPrefix(strings.TrimPrefix(g.all[i].Comment, marker), ":")
	rest = strings.TrimPrefix(rest, " ")
	for rest != "" && rest[0] != '\n' {
		g.work++
		s, n := g.names.longest(rest)
		if s == nil {
			s, n = g.bare(rest)
		}
		if s != nil {
			g.needs = append(g.needs, s.before(g.all[i].Order))
		} else {
			if n = strings.Index(rest, ", "); n < 0 {
				n = len(rest)
			}
			if j := strings.IndexByte(rest[:n], '\n'); j >= 0 {
				n = j
			}
			if name := strings.TrimSpace(rest[:n]); name != "" {
				node, ok := byName[name]
				if !ok {
					node = g.nodes
					g.nodes++
					byName[name] = node
					g.lost = append(g.lost, lostName{name, node, i})
				}
				g.needs = append(g.needs, node)
			}
		}
		rest = strings.TrimPrefix(rest[n:], ", ")
	}
}

// bare finds a failed state without an SLS: whatever stands before its ID in
// the comment is its SLS.
func (g *graph) bare(text string) (*segment, int) {
	end := len(text)
	if i := strings.Index(text, ", "); i >= 0 {
		end = i
	}
	for at := 0; len(g.ids.next) > 0; {
		i := strings.IndexByte(text[at:end], '.')
		if i < 0 {
			break
		}
		at += i + 1
		g.work++
		if s, n := g.ids.longest(text[at:]); s != nil {
			return s, at + n
		}
	}
	return nil, 0
}

// before is the node for the states with this key that ran before the one that
// waits on them. What a prereq waits on runs later: then it is all of them.
func (s *segment) before(order int) int {
	n := sort.Search(len(s.nodes), func(k int) bool { return s.nodes[k].order >= order })
	if n == 0 {
		n = len(s.nodes)
		if n > 1 && s.nodes[n-1].order == order { // not on itself
			n--
		}
	}
	return s.nodes[n-1].node
}

// condense finds the circles (Tarjan's algorithm, without recursion: a chain
// may be as long as the result).
func (g *graph) condense() {
	g.part = make([]int, g.nodes)
	index := make([]int, g.nodes) // 0: not seen
	low := make([]int, g.nodes)
	at := make([]int, g.nodes)
	var stack, path []int
	count := 0
	for i := range g.part {
		g.part[i] = -1
	}
	for start := range g.nodes {
		if index[start] != 0 {
			continue
		}
		path = append(path[:0], start)
		for len(path) > 0 {
			v := path[len(path)-1]
			if index[v] == 0 {
				count++
				index[v], low[v], at[v] = count, count, g.first[v]
				stack = append(stack, v)
			}
			g.work++
			if at[v] < g.first[v+1] {
				w := g.needs[at[v]]
				at[v]++
				if index[w] == 0 {
					path = append(path, w)
				} else if g.part[w] < 0 {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				u := path[len(path)-1]
				low[u] = min(low[u], low[v])
			}
			if low[v] == index[v] {
				for {
					w := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					g.part[w] = g.parts
					if w == v {
						break
					}
				}
				g.parts++
			}
		}
	}
}

// eachPart calls f with each part and its nodes, what the part waits on first.
func (g *graph) eachPart(f func(p int, members []int)) {
	if g.ordered == nil {
		g.start = make([]int, g.parts+1)
		for _, p := range g.part {
			g.start[p+1]++
		}
		for p := range g.parts {
			g.start[p+1] += g.start[p]
		}
		g.ordered = make([]int, g.nodes)
		next := append([]int(nil), g.start...)
		for v, p := range g.part {
			g.ordered[next[p]] = v
			next[p]++
		}
	}
	for p := range g.parts {
		f(p, g.ordered[g.start[p]:g.start[p+1]])
	}
}

// spread marks all parts that wait on a marked one.
func (g *graph) spread(marked []bool) {
	g.eachPart(func(p int, members []int) {
		for _, v := range members {
			for _, w := range g.needs[g.first[v]:g.first[v+1]] {
				g.work++
				marked[p] = marked[p] || marked[g.part[w]]
			}
		}
	})
}

// roots gives the states that failed by themselves; for what none of those
// explains, what the result does not hold; and for what is left, the circles.
func (g *graph) roots() []Root {
	var out []Root
	explained := make([]bool, g.parts)
	for i, s := range g.all {
		if s.Outcome == Failed && !s.Blocked() {
			explained[g.part[i]] = true
			out = append(out, Root{State: s, Name: s.Key(), node: i})
		}
	}
	g.spread(explained)
	waits := map[int]bool{} // what the result does not hold and something unexplained waits on
	for i, s := range g.all {
		if s.Blocked() && !explained[g.part[i]] {
			for _, w := range g.needs[g.first[i]:g.first[i+1]] {
				waits[w] = true
			}
		}
	}
	for _, l := range g.lost {
		if waits[l.node] {
			explained[g.part[l.node]] = true
			out = append(out, Root{State: State{Order: g.all[l.waiting].Order}, Name: l.name, Cause: Lost, node: l.node})
		}
	}
	g.spread(explained)
	// A circle comes before what waits on it; the member that ran first stands
	// for it.
	g.eachPart(func(p int, members []int) {
		inside := false
		for _, v := range members {
			for _, w := range g.needs[g.first[v]:g.first[v+1]] {
				explained[p] = explained[p] || explained[g.part[w]]
				inside = inside || g.part[w] == p
			}
		}
		v := members[0]
		if explained[p] || v >= len(g.all) || !g.all[v].Blocked() {
			return
		}
		r := Root{State: g.all[v], Name: g.all[v].Key(), Cause: Circle, node: v}
		if !inside {
			// It names nothing: Salt forgets what a prereq had tried out.
			if len(out) > 0 {
				return
			}
			r.Cause = Lost
		}
		explained[p] = true
		out = append(out, r)
	})
	sort.SliceStable(out, func(a, b int) bool { return out[a].State.Order < out[b].State.Order })
	return out
}

// reach fills out for at most 64 groups, one bit of a word for each.
func (g *graph) reach(roots []Root, groups [][]int, out []Reach, most int) {
	word := make([]uint64, g.parts)
	own := map[int]uint64{}
	for bit, group := range groups {
		for _, r := range group {
			v := roots[r].node
			own[v] |= 1 << bit
			word[g.part[v]] |= 1 << bit
		}
	}
	g.eachPart(func(p int, members []int) {
		for _, v := range members {
			for _, w := range g.needs[g.first[v]:g.first[v+1]] {
				g.work++
				word[p] |= word[g.part[w]]
			}
			if len(roots) == 1 && v < len(g.all) && g.all[v].Blocked() {
				word[p] = 1<<len(groups) - 1 // also what names nothing
			}
		}
	})
	// The numbers of all groups are counted at once: digit k of group b's is
	// bit b of digits[k].
	var digits []uint64
	open := ^uint64(0)
	for i, s := range g.all {
		if !s.Blocked() {
			continue
		}
		w := word[g.part[i]] &^ own[i]
		for k, carry := 0, w; carry != 0; k++ {
			g.work++
			if k == len(digits) {
				digits = append(digits, 0)
			}
			digits[k], carry = digits[k]^carry, digits[k]&carry
		}
		for m := w & open; m != 0; m &= m - 1 {
			b := bits.TrailingZeros64(m)
			if len(out[b].First) >= most {
				open &^= 1 << b
				continue
			}
			out[b].First = append(out[b].First, i)
		}
	}
	for b := range groups {
		for k, d := range digits {
			out[b].Total += int(d>>b&1) << k
		}
	}
}
