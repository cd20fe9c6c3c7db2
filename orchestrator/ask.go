package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// askLimit bounds a line of the message to ops, in characters: commands can be
// long, and what matters comes first.
const askLimit = 400

// ask gives every cause that ops can mend the message for them: one for all of
// the diagnosis, which whoever reads it can send on as it is. It says what, where
// and by whose wish, and where ops find the rest; it holds no secret that the
// sentences do not hold.
func (d *Diagnosis) ask(e Environment, op Operation, at time.Time) {
	if d == nil || !slices.ContainsFunc(d.Causes, func(c Cause) bool { return c.Who == "ops" }) {
		return
	}
	lines := []string{fmt.Sprintf("Berth needs ops for %s (target %s):", itself, e.Target)}
	var fingerprints []string
	for _, c := range d.Causes {
		if c.Who != "ops" {
			continue
		}
		lines = append(lines, "- "+about(c, e, op))
		if c.Fingerprint != "" && !slices.Contains(fingerprints, c.Fingerprint) {
			fingerprints = append(fingerprints, c.Fingerprint)
		}
	}
	if op.ID != "" {
		lines = append(lines, fmt.Sprintf("Operation %s: %s asked for %q, %s", op.ID, op.Actor, op.Text, at.UTC().Format("2 Jan 2006 15:04 MST")))
	}
	look := "Look at: berth env why " + itself + " --all"
	for _, f := range fingerprints {
		look += ", berth causes show " + f
	}
	lines = append(lines, look)
	for i, l := range lines {
		lines[i] = cut(flat(l), askLimit)
	}
	for i := range d.Causes {
		if d.Causes[i].Who == "ops" {
			d.Causes[i].Ask = strings.Join(lines, "\n")
		}
	}
}

// about is a cause and where it is: the servers, and what was to run there.
func about(c Cause, e Environment, op Operation) string {
	servers := c.Servers
	if len(servers) == 0 {
		servers = []string{c.Server}
	}
	var places []string
	for _, name := range servers {
		i := slices.IndexFunc(e.Servers, func(v Server) bool { return name != "" && (nameOf(v) == name || v.Name == name) })
		if i < 0 {
			continue
		}
		v := e.Servers[i]
		if j := slices.IndexFunc(op.Changes, func(ch Change) bool { return ch.App == v.App }); j >= 0 {
			v.Branch, v.Commit = op.Changes[j].Branch, op.Changes[j].Commit
		}
		places = append(places, fmt.Sprintf("%s, %s@%s", name, v.Branch, v.Commit[:min(len(v.Commit), 10)]))
	}
	if len(places) == 0 {
		return c.Sentence
	}
	return strings.Join(places, "; ") + ": " + c.Sentence
}

// Asks are the messages to ops in a diagnosis, each once.
func (d *Diagnosis) Asks() []string {
	var out []string
	if d != nil {
		for _, c := range d.Causes {
			if c.Ask != "" && !slices.Contains(out, c.Ask) {
				out = append(out, c.Ask)
			}
		}
	}
	return out
}

// flat is a text in one line: what others have written makes no line of its own.
func flat(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// cut is a text of at most n characters; the cut shows.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return strings.TrimRight(string(r[:n-1]), " ,.;:") + "…"
}
