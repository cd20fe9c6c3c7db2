package policy_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/policy"
)

func people() *orchestrator.Catalog {
	return &orchestrator.Catalog{
		People: []orchestrator.Person{
			{Name: "maria", OSUser: "mlopez", Teams: []string{"shop"}},
			{Name: "jo", Teams: []string{"shop", "data"}},
			{Name: "kim", OSUser: "kim"},
			{Name: "olga", OSUser: "olga"},
		},
		Policy: orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, EnvironmentsPerPerson: 3,
			Ops: []string{"olga", "root"}, Create: "all", Deploy: "team", Destroy: "own"},
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	c := people()
	maria, jo, kim, olga := policy.ActorFor(c, "mlopez"), policy.ActorFor(c, "jo"), policy.ActorFor(c, "kim"), policy.ActorFor(c, "olga")
	nobody := orchestrator.Actor{}
	for _, tt := range []struct {
		who   orchestrator.Actor
		verb  orchestrator.Verb
		owner string
		ok    bool
	}{
		{maria, orchestrator.VerbCreate, "maria", true},
		{kim, orchestrator.VerbPlan, "maria", true},
		{maria, orchestrator.VerbDestroy, "maria", true},
		{jo, orchestrator.VerbDestroy, "maria", false},
		{jo, orchestrator.VerbDeploy, "maria", true},
		{jo, orchestrator.VerbRetry, "maria", true},
		{kim, orchestrator.VerbDeploy, "maria", false},
		{kim, orchestrator.VerbCancel, "maria", false},
		{kim, orchestrator.VerbExtend, "maria", false},
		{kim, orchestrator.VerbRename, "maria", false},
		{jo, orchestrator.VerbDeploy, "kim", false}, // kim has no team
		{maria, orchestrator.VerbDeploy, "somebody@example.com", false},
		{olga, orchestrator.VerbDestroy, "maria", true},
		{kim, orchestrator.VerbShow, "maria", true},
		{kim, orchestrator.VerbList, "", true},
		{kim, orchestrator.VerbLogs, "maria", true},
		{kim, orchestrator.VerbWhy, "maria", true},
		{kim, orchestrator.VerbHistory, "maria", true},
		{nobody, orchestrator.VerbDestroy, "", false}, // no name is nobody's own
	} {
		err := policy.Rules{}.Allow(c, tt.who, tt.verb, tt.owner)
		if (err == nil) != tt.ok {
			t.Errorf("%s may %s what %s owns: %v, want %v", tt.who.Name, tt.verb, tt.owner, err, tt.ok)
		}
		if err != nil && orchestrator.ExitStatus(err) != 3 {
			t.Errorf("exit status of %v", err)
		}
	}
	var e *orchestrator.Error
	err := policy.Rules{}.Allow(c, kim, orchestrator.VerbDeploy, "jo")
	if !errors.As(err, &e) || e.Code != orchestrator.CodeNotAllowed || e.Message != "You cannot deploy what belongs to jo: only jo, the team shop or data and ops can." || e.Hint != "ask jo or ops (olga or root)" {
		t.Errorf("refusal: %#v", err)
	}
	c.Policy.Ops, c.Policy.Create = nil, "own"
	if err := (policy.Rules{}).Allow(c, kim, orchestrator.VerbCreate, "jo"); !errors.As(err, &e) || e.Hint != "ask jo or ops" {
		t.Errorf("refusal without ops: %#v", err)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	c := people()
	for count, ok := range map[int]bool{0: true, 2: true, 3: false, 4: false} {
		err := policy.Rules{}.Quota(c, orchestrator.Actor{Name: "kim"}, count)
		if (err == nil) != ok {
			t.Errorf("with %d: %v", count, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "a person may have 3") || orchestrator.ExitStatus(err) != 3) {
			t.Errorf("with %d: %v", count, err)
		}
	}
	c.Policy.EnvironmentsPerPerson = 0
	if err := (policy.Rules{}).Quota(c, orchestrator.Actor{}, 1000); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, want time.Duration
		code        orchestrator.Code
		message     string
	}{
		{0, 72 * time.Hour, "", ""},
		{time.Hour, time.Hour, "", ""},
		{14 * 24 * time.Hour, 14 * 24 * time.Hour, "", ""},
		{20*24*time.Hour + 12*time.Hour, 0, orchestrator.CodeLifetime, "20d12h is too long: an environment may live 14d at most."},
		{14*24*time.Hour + time.Second, 0, orchestrator.CodeLifetime, "14d1m is too long: an environment may live 14d at most."},
		{-90 * time.Minute, 0, orchestrator.CodeInvalidValue, "A lifetime must be more than zero, not -1h30m."},
		{-time.Second, 0, orchestrator.CodeInvalidValue, "A lifetime must be more than zero, not -1s."},
	} {
		got, err := policy.Rules{}.Lifetime(people(), tt.asked)
		var e *orchestrator.Error
		if got != tt.want || (err != nil) != (tt.code != "") || err != nil && (!errors.As(err, &e) || e.Code != tt.code || e.Message != tt.message || e.Hint == "") {
			t.Errorf("Lifetime(%s) = %s, %#v; want %s, %s %q", tt.asked, got, err, tt.want, tt.code, tt.message)
		}
	}
}

func TestActorFor(t *testing.T) {
	t.Parallel()
	for account, want := range map[string]orchestrator.Actor{
		"mlopez":  {Name: "maria", Teams: []string{"shop"}},
		"maria":   {Name: "maria@os"}, // another account than maria's
		"jo":      {Name: "jo", Teams: []string{"shop", "data"}},
		"olga":    {Name: "olga", Ops: true},
		"root":    {Name: "root", Ops: true},
		"visitor": {Name: "visitor"},
		"":        {},
	} {
		if got := policy.ActorFor(people(), account); !reflect.DeepEqual(got, want) {
			t.Errorf("ActorFor(%q) = %+v, want %+v", account, got, want)
		}
	}
}
