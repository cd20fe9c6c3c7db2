// Package policy says who may do what, how many environments a person may
// have and how long they may live. It is pure: everything it knows is in its
// arguments.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// Rules are the rules of the catalog's policy block; they implement
// orchestrator.Policy.
type Rules struct{}

var _ orchestrator.Policy = Rules{}

// rule gives the policy setting that a verb falls under, and the words for it;
// reads fall under none.
func rule(p orchestrator.PolicySettings, verb orchestrator.Verb) (setting, words string) {
	switch verb {
	case orchestrator.VerbCreate, orchestrator.VerbPlan:
		return p.Create, "create environments"
	case orchestrator.VerbDeploy, orchestrator.VerbRetry, orchestrator.VerbCancel, orchestrator.VerbExtend, orchestrator.VerbRename:
		return p.Deploy, "change environments"
	case orchestrator.VerbDestroy:
		return p.Destroy, "destroy environments"
	}
	return "all", ""
}

// Allow answers nil when a may use verb on what owner owns, else an
// orchestrator.Error of code not_allowed that says who can.
func (Rules) Allow(c *orchestrator.Catalog, a orchestrator.Actor, verb orchestrator.Verb, owner string) error {
	setting, words := rule(c.Policy, verb)
	if a.Ops || setting == "all" || a.Name == owner {
		return nil
	}
	mates := teammates(c, owner)
	if setting == "team" && slices.Contains(mates, a.Name) {
		return nil
	}
	able := []string{owner}
	if setting == "team" {
		able = append(able, mates...)
	}
	able = append(able, c.Policy.Ops...)
	slices.Sort(able)
	able = slices.DeleteFunc(slices.Compact(able), func(s string) bool { return s == "" })
	whose := map[string]string{"team": "of people outside their teams", "own": "of others"}[setting]
	e := orchestrator.Errorf(orchestrator.CodeNotAllowed, "%s may not %s %s: this one is %s's.", a.Name, words, whose, owner)
	return e.WithHint("ask %s", strings.Join(able, " or "))
}

// teammates are the people who share a team with name, without name.
func teammates(c *orchestrator.Catalog, name string) []string {
	var teams, out []string
	for _, p := range c.People {
		if p.Name == name {
			teams = p.Teams
		}
	}
	for _, p := range c.People {
		if p.Name != name && slices.ContainsFunc(p.Teams, func(t string) bool { return slices.Contains(teams, t) }) {
			out = append(out, p.Name)
		}
	}
	return out
}

// Quota answers nil when a, who owns count live environments, may have one
// more. Ops have no quota.
func (Rules) Quota(c *orchestrator.Catalog, a orchestrator.Actor, count int) error {
	limit := c.Policy.EnvironmentsPerPerson
	if limit == 0 || a.Ops || count < limit {
		return nil
	}
	return orchestrator.Errorf(orchestrator.CodeQuota, "%s already has %d of %d environments.", a.Name, count, limit).
		WithHint("destroy one that you no longer need (berth env list mine), or ask ops to raise environments_per_person")
}

// Lifetime gives how long an environment lives when asked is wished for (0:
// the catalog's default). Negative ones are invalid, ones over the maximum
// refused by name.
func (Rules) Lifetime(c *orchestrator.Catalog, asked time.Duration) (time.Duration, error) {
	p := c.Policy
	switch {
	case asked == 0:
		return p.Lifetime, nil
	case asked < 0:
		return 0, orchestrator.Errorf(orchestrator.CodeInvalidValue, "A lifetime of %s is less than nothing.", words(asked)).WithHint("ttl=%s", words(p.Lifetime))
	case p.MaxLifetime > 0 && asked > p.MaxLifetime:
		return 0, orchestrator.Errorf(orchestrator.CodeLifetime, "A lifetime of %s is over the maximum of %s.", words(asked), words(p.MaxLifetime)).
			WithHint("ttl=%s at most; ops can raise max_lifetime", words(p.MaxLifetime))
	}
	return asked, nil
}

// words writes a duration as people type one: 3d, 36h, 90m.
func words(d time.Duration) string {
	switch {
	case d != 0 && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// ActorFor is the person whom the operating system knows as osUser: the
// catalog's person with that os_user or, without one, a developer of that name.
func ActorFor(c *orchestrator.Catalog, osUser string) orchestrator.Actor {
	a := orchestrator.Actor{Name: osUser}
	for _, p := range c.People {
		if p.OSUser == osUser {
			a.Name, a.Teams = p.Name, p.Teams
		}
	}
	a.Ops = slices.Contains(c.Policy.Ops, a.Name)
	return a
}
