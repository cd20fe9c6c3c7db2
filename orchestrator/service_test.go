package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/policy"
	"github.com/berth-dev/berth/orchestrator/store"
)

// desk is the use cases over a real store; only repositories and settings are
// the test's own.
type desk struct {
	*orchestrator.Service
	store    *store.Store
	now      time.Time
	catalog  *orchestrator.Catalog
	branches map[string]string // app/branch → commit
	settings map[string]string
	near     map[string][]string // of a missing branch
}

func (d *desk) Current() *orchestrator.Catalog { return d.catalog }

func (d *desk) Resolve(_ context.Context, a orchestrator.App, ref string) (orchestrator.Resolved, error) {
	if c, ok := d.branches[a.Name+"/"+ref]; ok {
		return orchestrator.Resolved{Branch: ref, Commit: c}, nil
	}
	e := orchestrator.Errorf(orchestrator.CodeBranchNotFound, "%s has no branch %s.", a.Name, ref).WithHint("check its spelling")
	if e.Suggestions = d.near[ref]; len(e.Suggestions) > 0 {
		e = e.WithHint("did you mean %s?", strings.Join(e.Suggestions, " or "))
	}
	return orchestrator.Resolved{}, e
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), settings: map[string]string{}, branches: map[string]string{}}
	for _, app := range []string{"api", "web"} {
		for i, b := range []string{"main", "feature/login"} {
			d.branches[app+"/"+b] = strings.Repeat(fmt.Sprint(i+1), 40)
		}
	}
	d.catalog = &orchestrator.Catalog{
		Targets: []orchestrator.Target{{Name: "local", Module: "local"}},
		Apps: []orchestrator.App{{Name: "api", Branch: "main"},
			{Name: "web", Branch: "main", Settings: "web.env", Needs: map[string]string{"API_URL": "api"}}},
		Blueprints: []orchestrator.Blueprint{{Name: "shop", Apps: []string{"api", "web"}}},
		Policy:     orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, Create: "all", Deploy: "all", Destroy: "own"},
	}
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "berth.db"), Now: func() time.Time { return d.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d.store = s
	n := 0
	d.Service = &orchestrator.Service{Submitter: s, Environments: s, Live: s, Operations: s, Catalogs: d, Policy: policy.Rules{}, Checker: d,
		Settings:  func(string) ([]byte, map[string]string, error) { return nil, d.settings, nil },
		Canonical: bot.Canonical, Now: func() time.Time { return d.now },
		NewID: func(prefix string) string { n++; return fmt.Sprintf("%s%d", prefix, n) }}
	return d
}

var maria = orchestrator.Actor{Name: "maria"}

func (d *desk) ask(t *testing.T, actor orchestrator.Actor, text string) (orchestrator.Answer, error) {
	t.Helper()
	p, err := bot.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d.Do(t.Context(), actor, p.Command)
}

func (d *desk) must(t *testing.T, actor orchestrator.Actor, text string) orchestrator.Answer {
	t.Helper()
	a, err := d.ask(t, actor, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return a
}

// end brings the running operation of an environment to its end.
func (d *desk) end(t *testing.T, name string, status orchestrator.OperationStatus, environment orchestrator.Status) {
	t.Helper()
	e, err := d.store.Environment(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Servers {
		if _, err := d.store.UpdateServer(t.Context(), v.ID, func(s *orchestrator.Server) error { s.Status = environment; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.store.End(t.Context(), orchestrator.Ending{OperationID: e.Operation.ID, Status: status, At: d.now, Environment: environment}); err != nil {
		t.Fatal(err)
	}
}

func code(err error) orchestrator.Code {
	var e *orchestrator.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// The same words from the same person within seconds are one wish.
func TestSecondCreate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.must(t, maria, "env create qa web=feature/login")
	d.now = d.now.Add(9 * time.Second)
	if _, err := d.ask(t, maria, "env create qa web=main"); code(err) != orchestrator.CodeNameTaken {
		t.Errorf("another branch: %v", err)
	}
	if _, err := d.ask(t, orchestrator.Actor{Name: "tom"}, "env create qa web=feature/login"); code(err) != orchestrator.CodeNameTaken {
		t.Errorf("another person: %v", err)
	}
	again := d.must(t, maria, "new env qa web=feature/login")
	if again.Operation.ID != first.Operation.ID || again.Note == "" {
		t.Errorf("the same words: %+v, the first was %s", again, first.Operation.ID)
	}
	d.now = d.now.Add(2 * time.Second)
	if _, err := d.ask(t, maria, "env create qa web=feature/login"); code(err) != orchestrator.CodeNameTaken {
		t.Errorf("later: %v", err)
	}
	one := d.must(t, maria, "server create api main")
	if two := d.must(t, maria, "server create api main"); two.Operation.ID != one.Operation.ID {
		t.Errorf("a server twice: %+v", two)
	}
}

// What came with the same delivery is done once, however late it comes again.
func TestSameDelivery(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	from := func(key string) orchestrator.Actor {
		return orchestrator.Actor{Name: "maria", From: orchestrator.Origin{Door: "slack", Key: key, Place: []byte(`{}`)}}
	}
	first := d.must(t, from("k1"), "env create qa")
	d.now = d.now.Add(time.Hour)
	if again := d.must(t, from("k1"), "env create qa"); again.Operation.ID != first.Operation.ID {
		t.Errorf("create: %+v", again)
	}
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	for range 2 {
		a := d.must(t, from("k2"), "env extend qa 1d")
		if want := first.Environment.ExpiresAt.Add(24 * time.Hour); a.Operation != nil || !a.Environment.ExpiresAt.Equal(want) {
			t.Errorf("extend: until %s, want %s", a.Environment.ExpiresAt, want)
		}
	}
	deploy := d.must(t, from("k3"), "env deploy qa")
	if again := d.must(t, from("k3"), "env deploy qa"); again.Operation.ID != deploy.Operation.ID {
		t.Errorf("deploy: %+v", again)
	}
	cards, err := d.store.OpenCards(t.Context(), "slack")
	if err != nil || len(cards) != 2 {
		t.Errorf("cards %+v, %v", cards, err)
	}
}

func TestHistoryKnowsEveryChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa")
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	d.must(t, maria, "env extend qa 2d")
	d.must(t, maria, "env rename qa qb")
	a := d.must(t, maria, "env history qb")
	var got []string
	for _, op := range *a.History {
		got = append(got, fmt.Sprintf("%s %s: %s", op.Actor, op.Status, op.Text))
	}
	want := "maria succeeded: env rename qa qb; maria succeeded: env extend qa 48h; maria succeeded: env create qa"
	if strings.Join(got, "; ") != want {
		t.Errorf("got %s", strings.Join(got, "; "))
	}
	if e := d.must(t, maria, "env show qb").Environment; e.Operation.Kind != orchestrator.KindCreate {
		t.Errorf("the last operation on its servers is %s", e.Operation.Kind)
	}
}

// Each of these is refused before anything is stored.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create busy")
	d.must(t, maria, "env create calm")
	d.end(t, "calm", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	d.now = d.now.Add(time.Minute)
	before, err := d.store.Unended(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text string
		code orchestrator.Code
		says string
	}{
		{"env create qa shopp", orchestrator.CodeBlueprintUnknown, "shopp"},
		{"env create qa wep=main", orchestrator.CodeAppUnknown, "wep"},
		{"env create qa size=huge", orchestrator.CodeSizeUnknown, "huge"},
		{"env create qa target=moon", orchestrator.CodeTargetUnknown, "moon"},
		{"env create qa ttl=15d", orchestrator.CodeLifetime, "14d"},
		{"env create qa web=nope api=nada", orchestrator.CodeBranchNotFound, "nope"},
		{"env create calm", orchestrator.CodeNameTaken, "calm"},
		{"server create web main", orchestrator.CodeNeedsUnmet, "web-main would have no api"},
		{"env create qa ttl=15d", orchestrator.CodeLifetime, "env extend qa 1d"},
		{"server create web main env=calm", orchestrator.CodeNameTaken, "web"},
		{"server create web main env=none", orchestrator.CodeNotFound, "none"},
		{"server destroy calm/api", orchestrator.CodeNeedsUnmet, "calm/web"},
		{"server deploy calm main", orchestrator.CodeNotFound, "calm/api or calm/web"},
		{"server show calm/db", orchestrator.CodeNotFound, "calm/db"},
		{"env deploy calm db=main", orchestrator.CodeAppUnknown, "db"},
		{"env retry calm", orchestrator.CodeState, "ready"},
		{"env cancel calm", orchestrator.CodeState, "calm"},
		{"env extend calm 12d", orchestrator.CodeLifetime, "14d"},
		{"env rename calm busy", orchestrator.CodeNameTaken, "busy"},
		{"env show nobody", orchestrator.CodeNotFound, "nobody"},
	} {
		a, err := d.ask(t, maria, test.text)
		var e *orchestrator.Error
		if code(err) != test.code || !errors.As(err, &e) || !strings.Contains(e.Message+" "+e.Hint, test.says) {
			t.Errorf("%s: got %+v, %v; want %s about %s", test.text, a, err, test.code, test.says)
		}
	}
	if _, err := d.ask(t, orchestrator.Actor{Name: "tom"}, "env destroy calm"); code(err) != orchestrator.CodeNotAllowed {
		t.Errorf("somebody else's: %v", err)
	}
	after, err := d.store.Unended(t.Context())
	if err != nil || len(after) != len(before) {
		t.Errorf("something was stored: %+v, %v", after, err)
	}
}

// Several branches that are missing are each told with their own near names.
func TestSeveralBranchesMissing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.near = map[string][]string{"nope": {"node"}, "nada": {"nadir", "nado"}}
	for _, test := range []struct{ text, hint string }{
		{"env create qa web=nope api=nada", "api: did you mean nadir or nado; web: did you mean node"},
		{"env create qa web=nope api=none", "api: check its spelling; web: did you mean node"},
		{"env create qa web=null api=none", "check its spelling"},
		{"env create qa web=nope", "did you mean node?"},
	} {
		_, err := d.ask(t, maria, test.text)
		var e *orchestrator.Error
		if !errors.As(err, &e) || e.Code != orchestrator.CodeBranchNotFound || e.Hint != test.hint {
			t.Errorf("%s: %+v; want the hint %q", test.text, err, test.hint)
			continue
		}
		raw, err := json.Marshal(e)
		var wire orchestrator.Error
		if err != nil || json.Unmarshal(raw, &wire) != nil || len(wire.All) != len(e.All) || wire.Subject != e.Subject {
			t.Errorf("%s: over the wire it is %s, %v", test.text, raw, err)
		}
		for _, one := range wire.All {
			if one.Subject.App == "" || !strings.Contains(e.Message, one.Message) {
				t.Errorf("%s: %+v is not told whole", test.text, one)
			}
		}
	}
	d.must(t, maria, "env create calm web=feature/login api=feature/login")
	d.end(t, "calm", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	delete(d.branches, "web/feature/login")
	delete(d.branches, "api/feature/login")
	_, err := d.ask(t, maria, "env deploy calm")
	var e *orchestrator.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "env deploy calm web=") || !strings.Contains(e.Hint, "env deploy calm api=") {
		t.Errorf("branches that are gone: %+v", err)
	}
}

// Commands that come at the same time do not pass the quota together.
func TestQuotaAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var ids atomic.Int64
	d.NewID = func(prefix string) string { return fmt.Sprintf("%sx%d", prefix, ids.Add(1)) }
	d.catalog.Policy.EnvironmentsPerPerson = 2
	const all = 6
	var arrived sync.WaitGroup
	arrived.Add(all)
	d.Checker = together{d, &arrived}
	errs := make(chan error, all)
	for i := range all {
		go func() {
			p, err := bot.Parse(fmt.Sprintf("server create api main name=one-%d", i))
			if err == nil {
				_, err = d.Do(t.Context(), maria, p.Command)
			}
			errs <- err
		}()
	}
	made := 0
	for range all {
		if err := <-errs; err == nil {
			made++
		} else if code(err) != orchestrator.CodeQuota {
			t.Error(err)
		}
	}
	if made != 2 {
		t.Errorf("%d environments were made where 2 are allowed", made)
	}
}

// together answers when everybody has asked.
type together struct {
	orchestrator.Checker
	arrived *sync.WaitGroup
}

func (c together) Resolve(ctx context.Context, a orchestrator.App, ref string) (orchestrator.Resolved, error) {
	c.arrived.Done()
	c.arrived.Wait()
	return c.Checker.Resolve(ctx, a, ref)
}

// A plan changes nothing, so a full quota does not refuse it; it says so.
func TestPlanAtFullQuota(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.catalog.Policy.EnvironmentsPerPerson = 1
	if p := d.must(t, maria, "env plan qa").Plan; p.Note != "" {
		t.Errorf("with room: %q", p.Note)
	}
	d.must(t, maria, "env create calm")
	p := d.must(t, maria, "env plan qa").Plan
	if len(p.Servers) != 2 || !strings.Contains(p.Note, "You have 1 environment already") || !strings.Contains(p.Note, "Next: ") {
		t.Errorf("%+v", p)
	}
	if _, err := d.ask(t, maria, "env create qa"); code(err) != orchestrator.CodeQuota {
		t.Errorf("a create: %v", err)
	}
}

// An app that the blueprint lacks is offered with one that has it, else as a
// server of its own, with the branch that was typed.
func TestAppOfAnotherBlueprint(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.catalog.Apps = append(d.catalog.Apps, orchestrator.App{Name: "db", Branch: "main"}, orchestrator.App{Name: "jobs", Branch: "main"})
	d.catalog.Blueprints = append(d.catalog.Blueprints, orchestrator.Blueprint{Name: "full", Apps: []string{"api", "web", "db"}})
	for text, hint := range map[string]string{
		"env create qa shop db=main web=feature/login": "the blueprint full has it: berth env create qa full db=main web=feature/login",
		"env plan qa shop db=main":                     "the blueprint full has it: berth env plan qa full db=main",
		"env create qa shop db=main jobs=main":         "to add it once qa is there: berth server create db main env=qa",
	} {
		var e *orchestrator.Error
		if _, err := d.ask(t, maria, text); code(err) != orchestrator.CodeAppUnknown || !errors.As(err, &e) || e.Hint != hint {
			t.Errorf("%s: %v, %+v", text, err, e)
		}
	}
}

// All the needs that are not met are told at once, with the command that makes
// the server together with what it needs.
func TestUnmetNeeds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "server create api main name=calm")
	d.catalog.Apps = append(d.catalog.Apps, orchestrator.App{Name: "db", Branch: "main"}, orchestrator.App{Name: "jobs", Branch: "main"})
	needs := map[string]string{"A_URL": "db", "B_URL": "jobs", "C_URL": "db", "API_URL": "api"}
	d.catalog.Apps[1].Needs = needs
	says := func(text, message, hint string) {
		t.Helper()
		var e *orchestrator.Error
		if _, err := d.ask(t, maria, text); code(err) != orchestrator.CodeNeedsUnmet || !errors.As(err, &e) || e.Message != message || e.Hint != hint {
			t.Errorf("%s: %v\n%#v", text, err, e)
		}
	}
	const message = "web needs the addresses of api (API_URL), db (A_URL and C_URL) and jobs (B_URL): try-it would have no api, no db and no jobs, and the settings of web name none."
	const ways = "take an environment that has them (env=NAME), or ask ops to put API_URL, A_URL, B_URL and C_URL into the settings of web"
	says("server create web feature/login name=try-it ttl=1d", message, ways)
	d.catalog.Blueprints = append(d.catalog.Blueprints, orchestrator.Blueprint{Name: "full", Apps: []string{"api", "db", "jobs", "web"}})
	says("server create web feature/login name=try-it ttl=1d", message, "berth env create try-it full web=feature/login ttl=24h, or "+ways)
	says("server create web main env=calm",
		"web needs the addresses of db (A_URL and C_URL) and jobs (B_URL): calm has no db and no jobs, and the settings of web name none.",
		"berth server create db main env=calm, then berth server create jobs main env=calm, or ask ops to put A_URL, B_URL and C_URL into the settings of web")
	d.settings["A_URL"], d.settings["C_URL"] = "https://db.example.com", "https://db.example.com"
	says("server create web main env=calm",
		"web needs the address of jobs (B_URL): calm has no jobs, and the settings of web name none.",
		"berth server create jobs main env=calm, or ask ops to put B_URL into the settings of web")
	says("env create qa shop",
		"web needs the address of jobs (B_URL): qa would have no jobs, and the settings of web name none.",
		"take another blueprint, or ask ops to put B_URL into the settings of web")
	d.catalog.Apps[0].Needs = map[string]string{"JOBS": "jobs"}
	says("env create qa shop",
		"api needs the address of jobs (JOBS): qa would have no jobs, and the settings of api name none. web needs the address of jobs (B_URL): qa would have no jobs, and the settings of web name none.",
		"api: take another blueprint, or ask ops to put JOBS into the settings of api; web: take another blueprint, or ask ops to put B_URL into the settings of web")
}

// A need that the environment cannot meet keeps the settings' own value.
func TestNeedFromSettings(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.settings["API_URL"] = "https://api.example.com"
	a := d.must(t, maria, "server create web main")
	if a.Environment.Name != "web-main" || len(a.Environment.Servers) != 1 {
		t.Errorf("%+v", a.Environment)
	}
}

func TestQueueAndCancel(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa")
	first := d.must(t, maria, "env deploy qa web=feature/login")
	second := d.must(t, maria, "env deploy qa api=feature/login")
	if first.Operation.Position != 1 || second.Operation.Position != 2 || !strings.Contains(second.Note, "number 2") {
		t.Errorf("places %d and %d, %q", first.Operation.Position, second.Operation.Position, second.Note)
	}
	canceled := d.must(t, maria, "env cancel qa")
	if canceled.Operation.ID != second.Operation.ID || canceled.Operation.Status != orchestrator.OperationCanceled {
		t.Errorf("the newest that waits goes first: %+v", canceled.Operation)
	}
	// A destroy waits for nobody: what waits is dropped, what runs is asked to stop.
	gone := d.must(t, maria, "env destroy qa")
	if gone.Operation.Kind != orchestrator.KindDestroy || gone.Operation.Status != orchestrator.OperationQueued {
		t.Errorf("%+v", gone.Operation)
	}
	ops := *d.must(t, maria, "env history qa").History
	asked, err := d.store.CancelRequested(t.Context(), ops[len(ops)-1].ID)
	if err != nil || !asked {
		t.Errorf("what runs was not asked to stop: %v, %v", asked, err)
	}
	if op, err := d.store.Operation(t.Context(), first.Operation.ID); err != nil || op.Status != orchestrator.OperationCanceled {
		t.Errorf("what waited is %s, %v", op.Status, err)
	}
	if again := d.must(t, maria, "env destroy qa"); again.Operation.ID != gone.Operation.ID {
		t.Errorf("a second destroy: %+v", again.Operation)
	}
}

// A button cancels the operation that it is about, and a cancel that is
// delivered twice counts once.
func TestCancelOfOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.must(t, maria, "env create qa").Operation.ID
	second := d.must(t, maria, "env deploy qa web=feature/login").Operation.ID
	cancel := orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbCancel, Environment: "qa", Operation: first}
	asked := func(id string) bool {
		t.Helper()
		yes, err := d.store.CancelRequested(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	a, err := d.Do(t.Context(), maria, cancel)
	if err != nil || a.Operation.ID != first || !asked(first) {
		t.Errorf("%+v, %v", a, err)
	}
	if op, err := d.store.Operation(t.Context(), second); err != nil || op.Status != orchestrator.OperationQueued {
		t.Errorf("the one that waits is %s, %v", op.Status, err)
	}
	from := maria
	from.From = orchestrator.Origin{Door: "slack", Key: "k1"}
	cancel.Operation = ""
	for range 2 {
		if a, err := d.Do(t.Context(), from, cancel); err != nil || a.Operation.ID != second {
			t.Errorf("%+v, %v", a.Operation, err)
		}
	}
	d.end(t, "qa", orchestrator.OperationCanceled, orchestrator.StatusFailed)
	cancel.Operation = first
	if _, err := d.Do(t.Context(), maria, cancel); code(err) != orchestrator.CodeState || !strings.Contains(err.Error(), "ended already") {
		t.Errorf("of what has ended: %v", err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa web=feature/login")
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	d.branches["web/feature/login"] = strings.Repeat("9", 40)
	a := d.must(t, maria, "env retry qa")
	op, err := d.store.Operation(t.Context(), a.Operation.ID)
	if err != nil || op.Kind != orchestrator.KindRetry || len(op.Changes) != 2 || op.Changes[1].Commit != strings.Repeat("9", 40) {
		t.Errorf("%+v, %v", op, err)
	}
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	// Its branch is gone: a retry says so, a destroy does not ask.
	delete(d.branches, "web/feature/login")
	for _, text := range []string{"env retry qa", "env deploy qa", "server deploy qa/web"} {
		var e *orchestrator.Error
		if _, err := d.ask(t, maria, text); code(err) != orchestrator.CodeBranchNotFound || !errors.As(err, &e) || !strings.Contains(e.Hint, "deploy another: berth env deploy qa web=BRANCH") {
			t.Errorf("%s: %v, %+v", text, err, e)
		}
	}
	d.must(t, maria, "env destroy qa")
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	if a := d.must(t, maria, "env retry qa"); a.Operation.Kind != orchestrator.KindDestroy {
		t.Errorf("the retry of a destroy is a %s", a.Operation.Kind)
	}
}

// A server that was destroyed is not destroyed once more by a retry of what is
// left.
func TestRetryAfterServerWasDestroyed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa")
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	d.must(t, maria, "server destroy qa/web")
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	if a := d.must(t, maria, "env retry qa"); a.Operation.Kind != orchestrator.KindServerDestroy {
		t.Errorf("the retry of a server's destroy is a %s", a.Operation.Kind)
	}
	for _, v := range d.must(t, maria, "env show qa").Environment.Servers {
		if v.App != "web" {
			continue
		}
		if err := d.store.RemoveServer(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
	}
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusFailed)
	a := d.must(t, maria, "env retry qa")
	if a.Operation.Kind != orchestrator.KindRetry || !slices.Equal(a.Operation.Apps, []string{"api"}) {
		t.Errorf("the retry is a %s of %v", a.Operation.Kind, a.Operation.Apps)
	}
}

// A destroy that fails is tried again by the clock, at growing intervals; a
// person's is not kept waiting, and tries anew.
func TestExpiryIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa")
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	destroys := func() (n int) {
		for _, op := range *d.must(t, maria, "env history qa").History {
			if op.Kind == orchestrator.KindDestroy {
				n++
			}
		}
		return n
	}
	expire := func() {
		t.Helper()
		e, err := d.store.Environment(t.Context(), "qa")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Expire(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	shown := 0
	d.ExpiryFrom = func(context.Context, orchestrator.Environment) orchestrator.Origin {
		shown++
		return orchestrator.Origin{}
	}
	wait := time.Minute
	for n := 1; n <= 12; n++ {
		expire()
		if got := destroys(); got != n {
			t.Fatalf("%d destroys, want %d", got, n)
		}
		d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
		wait = min(2*wait, 6*time.Hour)
		d.now = d.now.Add(wait - time.Second)
		if expire(); destroys() != n {
			t.Errorf("after %d failures it does not wait %s", n, wait)
		}
		d.now = d.now.Add(time.Second)
	}
	if shown != 1 {
		t.Errorf("the owner is shown %d of the tries", shown)
	}
	d.must(t, maria, "env destroy qa")
	if destroys() != 13 {
		t.Error("a person has to wait for the clock")
	}
}

// What a machine lacks is said before anything is stored.
func TestUnable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "server create api main name=qa")
	d.Able = func(_ context.Context, target orchestrator.Target) error {
		return orchestrator.Errorf(orchestrator.CodeState, "Nothing can be made on %s.", target.Name)
	}
	for _, text := range []string{"env create qb", "env plan qb", "server create api main", "server create web main env=qa"} {
		if _, err := d.ask(t, maria, text); err == nil || err.Error() != "Nothing can be made on local." {
			t.Errorf("%s: %v", text, err)
		}
	}
	e := d.must(t, maria, "env show qa").Environment
	if all := *d.must(t, maria, "env list").Environments; len(all) != 1 || len(e.Servers) != 1 {
		t.Errorf("stored: %+v", all)
	}
	d.must(t, maria, "env destroy qa") // that takes nothing
}

// Ops take an app, a target or a person out of the catalog while servers run:
// what runs can be seen and destroyed, and every other refusal says why.
func TestCatalogChangesUnderRunningEnvironments(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(t, maria, "env create qa")
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	refused := func(text string, want orchestrator.Code, message, hint string) {
		t.Helper()
		_, err := d.ask(t, maria, text)
		var e *orchestrator.Error
		if !errors.As(err, &e) || e.Code != want || !strings.Contains(e.Message, message) || !strings.Contains(e.Hint, hint) {
			t.Errorf("%s: %#v, want %s %q, next %q", text, err, want, message, hint)
		}
	}
	whole := *d.catalog
	without := whole
	without.Apps, without.Blueprints = whole.Apps[:1], []orchestrator.Blueprint{{Name: "shop", Apps: []string{"api"}}}
	d.catalog = &without
	for _, text := range []string{"env deploy qa", "env deploy qa web=main", "server deploy qa/web"} {
		refused(text, orchestrator.CodeAppUnknown, "qa/web runs on as it is: its app web is no longer in the catalog", "berth env deploy qa api=main; to remove this one: berth server destroy qa/web")
	}
	refused("env create other web=main", orchestrator.CodeAppUnknown, `There is no app "web" in the catalog.`, "")
	if a := d.must(t, maria, "server list app=web"); len(*a.Servers) != 1 {
		t.Errorf("servers of an app that is gone: %+v", *a.Servers)
	}
	d.must(t, maria, "server show qa/web")
	d.must(t, maria, "env deploy qa api=feature/login")
	d.end(t, "qa", orchestrator.OperationFailed, orchestrator.StatusFailed)
	refused("env retry qa", orchestrator.CodeAppUnknown, "its app web is no longer in the catalog", "berth server destroy qa/web")

	elsewhere := whole
	elsewhere.Targets = []orchestrator.Target{{Name: "here", Module: "local"}}
	d.catalog = &elsewhere
	for _, text := range []string{"env deploy qa", "env retry qa", "env repair qa", "server destroy qa/web"} {
		refused(text, orchestrator.CodeTargetUnknown, "qa runs on as it is: its target local is no longer in the catalog", "berth env destroy qa needs no catalog")
	}
	d.must(t, maria, "env destroy qa")
}
