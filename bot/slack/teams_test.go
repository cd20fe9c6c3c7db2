package slack_test

import (
	"testing"

	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

const ann = "U0ANN"

func teamOffice(t *testing.T, groups ...slackfake.UserGroup) *office {
	t.Helper()
	return newOffice(t, settings{policy: func(p *orchestrator.PolicySettings) { p.Deploy = "team" },
		fake: slackfake.Options{Groups: groups, Users: []slackfake.User{{ID: ann, Name: "ann", Email: "ann@example.com"}},
			Channels: []slackfake.Channel{{ID: "C0QA", Name: "qa", Members: []string{ann, slackfake.BotUser}}}}})
}

// Who shares a user group with the owner is of the owner's team; the others are
// refused and told who can.
func TestUserGroups(t *testing.T) {
	t.Parallel()
	o := teamOffice(t, slackfake.UserGroup{ID: "S0CHECKOUT", Handle: "checkout", Name: "Checkout", Users: []string{tom, ann}},
		slackfake.UserGroup{ID: "S0OLD", Handle: "old", Name: "Old", Users: []string{tom, maria}, Disabled: true})
	o.ready(tom, dev, "/env create qa", "qa")

	m := o.answered(o.types(maria, dev, "/env deploy qa"))
	mustSay(t, m, "You cannot deploy what belongs to tom", "the team checkout", "olga")
	o.types(ann, "C0QA", "/env deploy qa web=feature/login")
	o.card("C0QA", "Deploying to qa")
	o.ends("qa")
	o.card("C0QA", "qa is deployed and ready")
	// Destroying is for the owner alone: a team does not change that.
	ask := o.types(ann, "C0QA", "/env destroy qa")
	mustSay(t, o.answered(ask), "You cannot destroy what belongs to tom", "olga")

	// Started again, Berth has not heard of the owner yet: that is no reason to
	// refuse the team.
	o.stop()
	o.start(false)
	o.types(ann, "C0QA", "/env deploy qa web=main")
	o.card("C0QA", "Deploying to qa", "web=main")
	o.ends("qa")
}

// A group's handle is a team's name: its members are of the catalog's team of
// that name.
func TestGroupIsTeam(t *testing.T) {
	t.Parallel()
	o := teamOffice(t, slackfake.UserGroup{ID: "S0SHOP", Handle: "shop", Name: "Shop", Users: []string{ann}})
	o.ready(maria, dev, "/env create qa", "qa") // of the team shop in the catalog
	mustSay(t, o.answered(o.types(tom, dev, "/env deploy qa")), "the team shop")
	o.types(ann, "C0QA", "/env deploy qa")
	o.card("C0QA", "Deploying to qa")
	o.ends("qa")
}

// Without the scope there are the catalog's teams alone, and the log says why.
func TestGroupsWithoutScope(t *testing.T) {
	t.Parallel()
	o := teamOffice(t, slackfake.UserGroup{ID: "S0SHOP", Handle: "shop", Name: "Shop", Users: []string{ann}})
	var scopes []string
	for _, s := range slackfake.DefaultScopes {
		if s != "usergroups:read" {
			scopes = append(scopes, s)
		}
	}
	o.fake.SetScopes(scopes...)
	o.ready(maria, dev, "/env create qa", "qa")
	mustSay(t, o.answered(o.types(ann, "C0QA", "/env deploy qa")), "the team shop")
	if !shows(slackfake.Message{Text: o.log.String()}, "usergroups:read") {
		t.Errorf("the log does not name the scope:\n%s", o.log)
	}
}

// Where no rule asks for teams, Slack is not asked for groups.
func TestGroupsNotUsed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.ready(maria, dev, "/env create qa", "qa")
	if n := len(o.fake.Calls("usergroups.list")); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
