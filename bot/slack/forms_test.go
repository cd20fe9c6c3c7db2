package slack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// form types a bare create and waits for the form.
func (o *office) form(who, channel string) slackfake.View {
	o.t.Helper()
	v, err := o.types(who, channel, "/env create").Modal(o.ctx())
	if err != nil {
		o.t.Fatalf("no form: %v\n%s", err, o.log)
	}
	return v
}

func (o *office) submits(who string, v slackfake.View, values slackfake.Values) *slackfake.Outcome {
	o.t.Helper()
	out, err := o.fake.User(who).FillAndSubmit(o.ctx(), v, values)
	if err != nil {
		o.t.Fatal(err)
	}
	if out.Failure != "" {
		o.t.Fatalf("Slack shows %s\n%s", out.Failure, o.log)
	}
	return out
}

func TestCreateForm(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		t.Run(fmt.Sprint("http ", http), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{http: http})
			v := o.form(maria, dev)
			name, ok := v.Element("name")
			if !ok || !strings.Contains(v.Shown(), "Branch of web") || !strings.Contains(v.Shown(), "Branch of api") {
				t.Fatalf("%+v\n%s", name, v.Shown())
			}
			// The menu of branches comes from the repository, the best first.
			out, err := o.fake.User(maria).SuggestOptions(o.ctx(), v, "app:web", "log")
			if err != nil || len(out.Options) != 1 || out.Options[0].Value != "feature/login" {
				t.Fatalf("suggested %+v, %v", out, err)
			}
			// Errors stand at their fields, and what was filled in stays.
			sent := o.submits(maria, v, slackfake.Values{"name": "Not A Name!", "app:web": "feature/login"})
			if len(sent.Fields) != 1 || sent.Fields["name"] == "" {
				t.Fatalf("fields %+v", sent.Fields)
			}
			o.mu.Lock()
			o.branches["web"] = []string{"main"}
			o.mu.Unlock()
			sent = o.submits(maria, v, slackfake.Values{"name": "qa"})
			if len(sent.Fields) != 1 || !strings.Contains(sent.Fields["app:web"], "feature/login") {
				t.Fatalf("a branch that was deleted meanwhile: %+v", sent.Fields)
			}
			o.mu.Lock()
			o.branches["web"] = []string{"main", "feature/login"}
			o.mu.Unlock()
			if sent = o.submits(maria, v, slackfake.Values{"size": "large", "ttl": "1 d"}); len(sent.Fields) > 0 {
				t.Fatalf("fields %+v", sent.Fields)
			}
			card := o.card(dev, "Making qa")
			mustSay(t, card, "env create qa", "web=feature/login", "ttl=24h", "size=large")
			if o.fake.Modal(maria) != nil {
				t.Error("the form is still open")
			}
			o.ends("qa")
			o.card(dev, "qa is ready")
			if e, err := o.store.Environment(t.Context(), "qa"); err != nil || e.Owner != "maria" || e.Size != "large" {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

// Another blueprint has other apps: the form follows.
func TestFormFollowsBlueprint(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	v := o.form(maria, dev)
	if _, err := o.fake.User(maria).Select(o.ctx(), v, "blueprint", "apionly"); err != nil {
		t.Fatal(err)
	}
	o.until("a form without web", func() bool {
		now := o.fake.Modal(maria)
		return now != nil && !strings.Contains(now.Shown(), "Branch of web")
	})
	v = *o.fake.Modal(maria)
	o.submits(maria, v, slackfake.Values{"name": "qa"})
	o.card(dev, "Making qa", "qa apionly")
	o.ends("qa")
}

// A check that takes longer than Slack waits goes on: the form says so, the
// card comes, and nothing happens twice.
func TestSlowCheck(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		t.Run(fmt.Sprint("http ", http), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{http: http})
			v := o.form(maria, dev)
			release := make(chan struct{})
			o.mu.Lock()
			o.check = release
			o.mu.Unlock()
			out := o.submits(maria, v, slackfake.Values{"name": "qa"})
			if out.Took > 3*time.Second {
				t.Errorf("answered after %s", out.Took)
			}
			o.until("Checking…", func() bool { m := o.fake.Modal(maria); return m != nil && strings.Contains(m.Title, "Checking") })
			close(release)
			o.card(dev, "Making qa")
			o.until("the form's end", func() bool {
				m := o.fake.Modal(maria)
				return m != nil && strings.Contains(m.Title, "On its way")
			})
			o.ends("qa")
			o.card(dev, "qa is ready")
			ops, err := o.store.Operations(t.Context(), must(o.store.Environment(t.Context(), "qa")).ID)
			if err != nil || len(ops) != 1 {
				t.Errorf("%d operations, %v", len(ops), err)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The buttons of a ready environment: deploy and extend by form.
func TestOtherForms(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 4})
	card := o.ready(maria, dev, "/env create qa", "qa")
	v, err := o.clicks(maria, card, "Deploy…").Modal(o.ctx())
	if err != nil {
		t.Fatal(err)
	}
	o.submits(maria, v, slackfake.Values{"app:web": "hotfix/1.2.3"})
	o.card(dev, "Deploying to qa", "web=hotfix/1.2.3")
	o.ends("qa")
	card = o.card(dev, "qa is deployed and ready")
	before := must(o.store.Environment(t.Context(), "qa")).ExpiresAt
	o.clicks(maria, card, "Extend")
	o.card(dev, "now ends")
	if after := must(o.store.Environment(t.Context(), "qa")).ExpiresAt; after.Sub(before) != 24*time.Hour {
		t.Errorf("extended by %s", after.Sub(before))
	}
}

// Home shows mine with buttons, what runs, and everybody's; and it follows.
func TestHome(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 4})
	home := func(who string, words ...string) {
		t.Helper()
		o.until(fmt.Sprint("a home with ", words), func() bool {
			h := o.fake.Home(who)
			if h == nil {
				return false
			}
			for _, w := range words {
				if !strings.Contains(h.Shown(), w) {
					return false
				}
			}
			return true
		})
	}
	if _, err := o.fake.User(maria).OpenHome(o.ctx()); err != nil {
		t.Fatal(err)
	}
	home(maria, "You have no environments.")
	v, err := o.clicks(maria, *o.fake.Home(maria), "New environment").Modal(o.ctx())
	if err != nil {
		t.Fatal(err)
	}
	o.submits(maria, v, slackfake.Values{"name": "qa"})
	o.card(o.fake.IM(maria), "Making qa") // asked for at home: the card is with her
	home(maria, "qa", "creating", "Running now")
	o.ends("qa")
	home(maria, "qa", "ready")
	if _, err := o.fake.User(tom).OpenHome(o.ctx()); err != nil {
		t.Fatal(err)
	}
	home(tom, "You have no environments.", "Everybody else's", "qa")
	o.clicks(maria, *o.fake.Home(maria), "Destroy")
	o.card(o.fake.IM(maria), "Destroying qa")
	o.ends("qa")
	home(maria, "You have no environments.")
	home(tom, "You have no environments.")
}

// listing tells of each list that is asked for.
type listing struct {
	slack.Doer
	asked func()
}

func (l listing) Do(ctx context.Context, a orchestrator.Actor, cmd orchestrator.Command) (orchestrator.Answer, error) {
	if cmd.Verb == orchestrator.VerbList {
		l.asked()
	}
	return l.Doer.Do(ctx, a, cmd)
}

// However many homes are open, the environments are read once for all after a
// change; and time alone changes no home.
func TestManyHomes(t *testing.T) {
	t.Parallel()
	var o *office
	published := func() int { return len(o.fake.Calls("views.publish")) }
	var mu sync.Mutex
	var lists []int // the homes that had been published at each list
	o = newOffice(t, settings{speed: 20, seams: seams{doer: func(d slack.Doer) slack.Doer {
		return listing{d, func() {
			mu.Lock()
			defer mu.Unlock()
			lists = append(lists, published())
		}}
	}}})
	o.ready(tom, dev, "/env create qa", "qa")
	people := []string{maria, tom}
	for i, who := range people {
		if _, err := o.fake.User(who).OpenHome(o.ctx()); err != nil {
			t.Fatal(err)
		}
		o.until("a home", func() bool { return published() == i+1 })
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(lists)
	}
	before := count()
	want := len(people)
	extend := func() {
		t.Helper()
		o.types(tom, dev, "/env extend qa 1d")
		want += len(people)
		o.until("all homes", func() bool { return published() >= want })
	}
	extend()
	was := count()
	o.clock.Advance(10 * time.Minute)
	o.say("qa", "qa/web", "configuring", "make build")
	o.await("the homes to be looked at", func() bool { return count() > was })
	extend()
	if n := published(); n != want {
		t.Errorf("%d homes were published again because time has passed", n-want)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, n := range lists[before:] {
		if n%len(people) != 0 {
			t.Errorf("the environments were read again for another home: %v", lists[before:])
		}
	}
}

// Repositories that answer nothing keep nobody waiting: a form opens, its menus
// answer in time, and the repository is asked once, not at every keystroke.
func TestBranchesHang(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"hanging": false, "unreachable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			o := newOffice(t, settings{speed: 4, seams: seams{branches: func(ctx context.Context, app string) ([]string, error) {
				if app == "web" {
					asked.Add(1)
				}
				if !fails {
					<-ctx.Done()
				}
				return nil, errors.New("cannot be reached")
			}}})
			out := o.types(maria, dev, "/env create")
			v, err := out.Modal(o.ctx())
			if err != nil || out.Took > 2500*time.Millisecond {
				t.Fatalf("the form came after %s, %v", out.Took, err)
			}
			for _, typed := range []string{"l", "lo", "log"} {
				out, err := o.fake.User(maria).SuggestOptions(o.ctx(), v, "app:web", typed)
				if err != nil || out.Failure != "" || out.Took > 2500*time.Millisecond {
					t.Errorf("the menu answered after %s: %+v, %v", out.Took, out, err)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the repository was asked %d times", n)
			}
		})
	}
}

// A warning goes to the owner, and its buttons work.
func TestWarning(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.ready(maria, dev, "/env create qa", "qa")
	e := must(o.store.Environment(t.Context(), "qa"))
	told, err := o.door.Warn(t.Context(), e, 2*time.Hour, time.Now().Add(2*time.Hour+time.Minute))
	if err != nil || !told {
		t.Fatalf("told %v, %v", told, err)
	}
	dm := o.fake.IM(maria)
	m := o.card(dm, "qa", "ends in 2 h")
	o.clicks(maria, m, "Extend by a day")
	o.card(dm, "now ends")
	if after := must(o.store.Environment(t.Context(), "qa")).ExpiresAt; after.Sub(e.ExpiresAt) != 24*time.Hour {
		t.Errorf("extended by %s", after.Sub(e.ExpiresAt))
	}
	e.Owner = "nobody@example.com"
	if told, err := o.door.Warn(context.Background(), e, 2*time.Hour, time.Now()); told || err != nil {
		t.Errorf("nobody: %v, %v", told, err)
	}
}

// Who is not shown a form is told the command that does the same, as it is
// typed here.
func TestFormNotOpened(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.types(maria, dev, "/env create qa")
	o.ends("qa")
	c := o.card(dev, "qa is ready")
	o.fake.SetStorm(slackfake.Storm{Calls: 100, Methods: []string{"views.open"}})
	for _, tt := range []struct {
		out  *slackfake.Outcome
		want string
	}{{o.types(maria, dev, "/env create"), "/env create NAME"}, {o.clicks(maria, c, "Deploy…"), "/env deploy qa"}} {
		m := o.answered(tt.out)
		mustSay(t, m, "Slack did not open the form.", "Next: try again, or type it: "+tt.want)
	}
}

// What a field says goes on with a command that can be typed here.
func TestFieldSaysNext(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.types(maria, dev, "/env create qa")
	o.ends("qa")
	o.card(dev, "qa is ready")
	sent := o.submits(maria, o.form(maria, dev), slackfake.Values{"name": "qa"})
	if len(sent.Fields) != 1 || !strings.Contains(sent.Fields["name"], "Next: choose another name, or look at it with /env show qa") {
		t.Errorf("fields %+v", sent.Fields)
	}
}
