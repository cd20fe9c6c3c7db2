package orchestrator

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// itself stands for the name of the environment in a diagnosis that is kept:
// the name may have changed when somebody reads it. No text that people or
// programs write has this character.
const itself = "\ue000"

// nameOf is a server's name in a diagnosis that is kept.
func nameOf(v Server) string { return itself + "/" + v.App }

func named(text, environment string) string { return strings.ReplaceAll(text, itself, environment) }

// placeholder stands for the environment in what a Diagnoser says to do next,
// which does not know which one it is about.
var placeholder = lazyregexp.New(`\bNAME\b`)

// unnamed makes a diagnosis one that can be kept.
func (d *Diagnosis) unnamed() {
	for i := range d.Causes {
		d.Causes[i].Next = placeholder.ReplaceAllLiteralString(d.Causes[i].Next, itself)
	}
}

// add takes in the diagnosis of one more server.
func (d *Diagnosis) add(more Diagnosis) {
	d.Causes = append(d.Causes, more.Causes...)
	d.Blocked, d.Total, d.Succeeded = d.Blocked+more.Blocked, d.Total+more.Total, d.Succeeded+more.Succeeded
	d.Cut = d.Cut || more.Cut
}

// Name puts the environment's present name into a diagnosis that was kept.
func (d *Diagnosis) Name(environment string) {
	if d == nil {
		return
	}
	for i := range d.Causes {
		c := &d.Causes[i]
		c.Server, c.Sentence, c.Next, c.Ask = named(c.Server, environment), named(c.Sentence, environment), named(c.Next, environment), named(c.Ask, environment)
		for j, name := range c.Servers {
			c.Servers[j] = named(name, environment)
		}
	}
}

// Canceled reports a cause that is a person's own decision: there is nothing to
// mend.
func (c Cause) Canceled() bool { return c.Code == "interrupted" && c.Who == "developer" }

// Duration writes a duration in at most two units, as people say it: three days
// that began a second ago are still 3 d.
func Duration(d time.Duration) string {
	if d < time.Minute {
		return "less than a minute"
	}
	d = d.Round(time.Minute)
	units := []struct {
		size time.Duration
		word string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}}
	var out []string
	for _, u := range units {
		if n := d / u.size; n > 0 && len(out) < 2 {
			out = append(out, fmt.Sprintf("%d %s", n, u.word))
			d -= n * u.size
		} else if len(out) > 0 {
			break
		}
	}
	return strings.Join(out, " ")
}
