// Package policy decides who may change what, how many environments a person
// may have and how long one lives. It is pure: the catalog's policy block and
// the question go in, nil or the refusal comes out.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// Rules answers from the catalog's policy block.
type Rules struct {
	// TeamsOf gives a person's teams that the catalog does not list, such as
	// Slack's user groups; nil: there are none.
	TeamsOf func(name string) []string
}

var _ orchestrator.Policy = Rules{}

// Allow says whether actor may use verb on what owner owns. Ops may all, and
// everybody may read. Creating and planning go by the rule "create", destroying
// by "destroy", every other change by "deploy".
func (r Rules) Allow(c *orchestrator.Catalog, a orchestrator.Actor, verb orchestrator.Verb, owner string) error {
	rule := ""
	switch verb {
	case orchestrator.VerbCreate, orchestrator.VerbPlan:
		rule = c.Policy.Create
	case orchestrator.VerbDestroy:
		rule = c.Policy.Destroy
	default:
		if (orchestrator.Command{Verb: verb}).Changes() {
			rule = c.Policy.Deploy
		}
	}
	if rule == "" || rule == "all" || a.Ops || a.Name != "" && a.Name == owner {
		return nil
	}
	teams := slices.Clone(teamsOf(c, owner))
	if r.TeamsOf != nil {
		teams = append(teams, r.TeamsOf(owner)...)
	}
	if rule == "team" && slices.ContainsFunc(a.Teams, func(t string) bool { return slices.Contains(teams, t) }) {
		return nil
	}
	who := owner
	if rule == "team" && len(teams) > 0 {
		who += ", the team " + list(teams, "or")
	}
	e := orchestrator.Errorf(orchestrator.CodeNotAllowed, "You cannot %s what belongs to %s: only %s and ops can.", verb, owner, who)
	if ops := opsOf(c); ops != "" {
		return e.WithHint("ask %s or ops (%s)", owner, ops)
	}
	return e.WithHint("ask %s or ops", owner)
}

// Quota refuses another environment to who has as many as one person may; that
// holds for ops as for everybody.
func (Rules) Quota(c *orchestrator.Catalog, _ orchestrator.Actor, count int) error {
	limit := c.Policy.EnvironmentsPerPerson
	if limit <= 0 || count < limit {
		return nil
	}
	have := fmt.Sprintf("%d environments", count)
	if count == 1 {
		have = "1 environment"
	}
	e := orchestrator.Errorf(orchestrator.CodeQuota, "You have %s already, and a person may have %d.", have, limit)
	if ops := opsOf(c); ops != "" {
		return e.WithHint("destroy one, or ask ops (%s) to raise environments_per_person; yours are shown by: berth env list mine", ops)
	}
	return e.WithHint("destroy one, or ask ops to raise environments_per_person; yours are shown by: berth env list mine")
}

// Lifetime gives the lifetime that is asked for, or the default for zero.
func (Rules) Lifetime(c *orchestrator.Catalog, asked time.Duration) (time.Duration, error) {
	switch longest := c.Policy.MaxLifetime; {
	case asked < 0:
		return 0, orchestrator.Errorf(orchestrator.CodeInvalidValue, "A lifetime must be more than zero, not %s.", span(asked)).
			WithHint("ttl=%s", span(c.Policy.Lifetime))
	case asked == 0:
		return c.Policy.Lifetime, nil
	case longest > 0 && asked > longest:
		return 0, orchestrator.Errorf(orchestrator.CodeLifetime, "%s is too long: an environment may live %s at most.", span(asked), span(longest)).
			WithHint("ttl=%s, and later: berth env extend NAME 1d", span(longest))
	}
	return asked, nil
}

// span writes a duration as people type it: 3d, 1d12h, 90m. What remains of a
// minute counts as a whole one, so that just over a limit does not read as the
// limit.
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	const day = 24 * time.Hour
	d = (d + time.Minute - 1).Truncate(time.Minute)
	out := ""
	for _, u := range []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if n := d / u.size; n > 0 {
			out += fmt.Sprintf("%d%s", n, u.name)
			d -= n * u.size
		}
	}
	return out
}

// ActorFor says who an operating-system account is: the person with that
// os_user, or with that name when the catalog gives the person no os_user.
// Everybody else is a developer under the account's name; an account that has
// the name of a person who is known by another account does not become them.
func ActorFor(c *orchestrator.Catalog, osUser string) orchestrator.Actor {
	for _, p := range c.People {
		if p.OSUser != "" && p.OSUser == osUser {
			return person(c, p)
		}
	}
	for _, p := range c.People {
		if p.Name != osUser {
			continue
		}
		if p.OSUser == "" {
			return person(c, p)
		}
		return orchestrator.Actor{Name: osUser + "@os"}
	}
	// Ops may name an account that they did not describe as a person.
	return orchestrator.Actor{Name: osUser, Ops: osUser != "" && slices.Contains(c.Policy.Ops, osUser)}
}

// ActorNamed makes an actor of the name of a person; who is not listed is a
// developer without teams.
func ActorNamed(c *orchestrator.Catalog, name string) orchestrator.Actor {
	for _, p := range c.People {
		if p.Name == name {
			return person(c, p)
		}
	}
	return orchestrator.Actor{Name: name}
}

func person(c *orchestrator.Catalog, p orchestrator.Person) orchestrator.Actor {
	return orchestrator.Actor{Name: p.Name, Ops: slices.Contains(c.Policy.Ops, p.Name), Teams: slices.Clone(p.Teams)}
}

func teamsOf(c *orchestrator.Catalog, name string) []string {
	for _, p := range c.People {
		if p.Name == name {
			return p.Teams
		}
	}
	return nil
}

func opsOf(c *orchestrator.Catalog) string { return list(c.Policy.Ops, "or") }

func list(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + word + " " + names[len(names)-1]
}
