package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/policy"
)

var shop = &orchestrator.Catalog{
	People: []orchestrator.Person{
		{Name: "maria", OSUser: "mg", Teams: []string{"shop"}}, {Name: "jan", Teams: []string{"shop", "web"}}, {Name: "li", Teams: []string{"data"}},
	},
	Policy: orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, EnvironmentsPerPerson: 2,
		Ops: []string{"olga"}, Create: "all", Deploy: "team", Destroy: "own"},
}

func TestAllow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		actor string
		ops   bool
		verb  orchestrator.Verb
		ok    bool
	}{
		{"maria", false, orchestrator.VerbDestroy, true},
		{"jan", false, orchestrator.VerbDestroy, false},
		{"jan", false, orchestrator.VerbDeploy, true},
		{"li", false, orchestrator.VerbDeploy, false},
		{"li", false, orchestrator.VerbRename, false},
		{"li", false, orchestrator.VerbCreate, true},
		{"li", false, orchestrator.VerbShow, true},
		{"olga", true, orchestrator.VerbDestroy, true},
	} {
		err := policy.Rules{}.Allow(shop, orchestrator.Actor{Name: tt.actor, Ops: tt.ops}, tt.verb, "maria")
		if (err == nil) != tt.ok {
			t.Errorf("%s %s of maria's: %v", tt.actor, tt.verb, err)
		}
		var e *orchestrator.Error
		if err != nil && (!errors.As(err, &e) || e.Code != orchestrator.CodeNotAllowed || !strings.Contains(e.Hint, "maria") || !strings.Contains(e.Hint, "olga")) {
			t.Errorf("%s %s: the refusal does not say who can: %v (%+v)", tt.actor, tt.verb, err, e)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	rules := policy.Rules{}
	if err := rules.Quota(shop, orchestrator.Actor{Name: "jan"}, 1); err != nil {
		t.Error(err)
	}
	if err := rules.Quota(shop, orchestrator.Actor{Name: "jan"}, 2); orchestrator.ExitStatus(err) != 3 {
		t.Errorf("one too many: %v", err)
	}
	if err := rules.Quota(shop, orchestrator.Actor{Name: "olga", Ops: true}, 9); err != nil {
		t.Error(err)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, want time.Duration
		exit        int
		says        string
	}{
		{0, 72 * time.Hour, 0, ""},
		{36 * time.Hour, 36 * time.Hour, 0, ""},
		{14 * 24 * time.Hour, 14 * 24 * time.Hour, 0, ""},
		{-time.Hour, 0, 2, "-1h"},
		{15 * 24 * time.Hour, 0, 3, "14d"},
	} {
		got, err := policy.Rules{}.Lifetime(shop, tt.asked)
		if got != tt.want || orchestrator.ExitStatus(err) != tt.exit || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Lifetime(%s) = %s, %v", tt.asked, got, err)
		}
	}
}

func TestActorFor(t *testing.T) {
	t.Parallel()
	if a := policy.ActorFor(shop, "mg"); a.Name != "maria" || len(a.Teams) != 1 || a.Ops {
		t.Errorf("mg is %+v", a)
	}
	if a := policy.ActorFor(shop, "olga"); !a.Ops {
		t.Errorf("olga is %+v", a)
	}
	if a := policy.ActorFor(shop, "nobody"); a.Name != "nobody" || a.Ops {
		t.Errorf("nobody is %+v", a)
	}
}
