package slack_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
)

// victimEnv tells the test binary to be the process that gets killed.
const victimEnv = "BERTH_TEST_SLACK_VICTIM"

// victim is where it is to be killed.
type victim struct {
	Path string
	At   address
	// Points are where it stops: the first that it comes to is the one, and
	// whatever else comes to one of them waits there too.
	Points []string
	// Says lets the operation say something, Ends lets it end, when the card's
	// timestamp is saved; Checks lets branch checks wait.
	Says, Ends, Checks bool
}

// stops waits for the end when it comes to one of the points, the n-th of the
// same name being NAME#n.
type stops struct {
	mu     sync.Mutex
	points []string
	seen   map[string]int
}

func (s *stops) at(point string) {
	s.mu.Lock()
	s.seen[point]++
	point = fmt.Sprintf("%s#%d", point, s.seen[point])
	stop := false
	for _, p := range s.points {
		stop = stop || p == point
	}
	s.mu.Unlock()
	if stop {
		fmt.Println("stopped at", point)
		select {}
	}
}

type stoppingInbox struct {
	slack.Inbox
	*stops
}

func (i stoppingInbox) AcceptDelivery(ctx context.Context, d orchestrator.Delivery) (bool, error) {
	fresh, err := i.Inbox.AcceptDelivery(ctx, d)
	i.at("accepted")
	return fresh, err
}

func (i stoppingInbox) Delivery(ctx context.Context, key string) (orchestrator.Delivery, bool, error) {
	i.at("work")
	return i.Inbox.Delivery(ctx, key)
}

func (i stoppingInbox) EndDelivery(ctx context.Context, key string, at time.Time) error {
	i.at("worked")
	return i.Inbox.EndDelivery(ctx, key, at)
}

type stoppingDoer struct {
	slack.Doer
	*stops
}

func (d stoppingDoer) Do(ctx context.Context, a orchestrator.Actor, c orchestrator.Command) (orchestrator.Answer, error) {
	answer, err := d.Doer.Do(ctx, a, c)
	d.at("done")
	return answer, err
}

type stoppingCards struct {
	slack.Cards
	*stops
}

func (c stoppingCards) SaveCard(ctx context.Context, id string, state []byte, done bool) error {
	c.at("before save")
	err := c.Cards.SaveCard(ctx, id, state, done)
	c.at("saved")
	return err
}

func (s *stops) RoundTrip(r *http.Request) (*http.Response, error) {
	method := path.Base(r.URL.Path)
	s.at("before " + method)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		s.at("after " + method)
	}
	return res, err
}

// TestVictim is no test but the process that TestKilled kills.
func TestVictim(t *testing.T) {
	raw := os.Getenv(victimEnv)
	if raw == "" {
		t.Skip("it is started by TestKilled")
	}
	var v victim
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatal(err)
	}
	o := bareOffice(t, v.Path)
	o.at = v.At
	if v.Checks {
		o.check = make(chan struct{}) // and nobody closes it
	}
	s := &stops{points: v.Points, seen: map[string]int{}}
	o.seams = seams{transport: s,
		inbox: func(i slack.Inbox) slack.Inbox { return stoppingInbox{i, s} },
		doer:  func(d slack.Doer) slack.Doer { return stoppingDoer{d, s} },
		cards: func(c slack.Cards) slack.Cards { return stoppingCards{c, s} }}
	o.open(false)
	// Whoever started this may be gone before it kills it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if v.Says || v.Ends {
		o.await("the card", func() bool {
			cards, err := o.store.OpenCards(t.Context(), slack.Door)
			return err == nil && len(cards) == 1 && strings.Contains(string(cards[0].State), `"ts"`)
		})
		if v.Says {
			o.say("qa", "qa/web", "configuring", "make build")
		}
		if v.Ends {
			o.ends("qa")
		}
	}
	select {}
}

// startVictim starts the process, which connects to the office's stand-in.
func (o *office) startVictim(v victim) (stopped <-chan string, kill func()) {
	o.t.Helper()
	v.Path = o.path
	v.At = address{API: o.fake.APIURL(), Bot: o.fake.BotToken(), App: o.fake.AppToken()}
	raw, err := json.Marshal(v)
	if err != nil {
		o.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestVictim$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), victimEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	lines := make(chan string, 64)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if point, ok := strings.CutPrefix(s.Text(), "stopped at "); ok {
				lines <- point
			}
		}
	}()
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			for range lines {
			}
			_ = cmd.Wait() // killed, as it should be
			_ = in.Close()
		})
	}
	o.t.Cleanup(kill)
	o.until("the victim's connections", func() bool { return o.fake.Connections() == 2 })
	return lines, kill
}

// Killed in whatever phase of an operation, Berth brings it to its end: one
// operation, one card that shows the end, one call of who asked.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]victim{
		"accepted, not acknowledged": {Points: []string{"accepted#1", "work#1"}},
		"accepted, not worked":       {Points: []string{"work#1"}},
		"done, no card begun":        {Points: []string{"done#1", "before save#1"}},
		"done, not noted as worked":  {Points: []string{"worked#1"}},
		"before the card":            {Points: []string{"before chat.postMessage#1"}},
		"card posted, not saved":     {Points: []string{"after chat.postMessage#1"}},
		"card saved":                 {Points: []string{"saved#2"}},
		"before progress":            {Points: []string{"before chat.update#1"}, Says: true},
		"after progress":             {Points: []string{"after chat.update#1"}, Says: true},
		"ended, not edited":          {Points: []string{"before chat.update#1", "before chat.postMessage#2"}, Ends: true},
		"edited, not saved":          {Points: []string{"after chat.update#1"}, Ends: true},
		"edited, not told":           {Points: []string{"before chat.postMessage#2"}, Ends: true},
		"told, not saved":            {Points: []string{"after chat.postMessage#2"}, Ends: true},
		"all saved":                  {Points: []string{"saved#5"}, Ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{stopped: true, speed: 4})
			stopped, kill := o.startVictim(v)
			if _, err := o.fake.User(maria).Message(o.ctx(), dev, "@berth env create qa", ""); err != nil {
				t.Fatal(err)
			}
			for range v.Points { // it comes to all of them
				select {
				case _, ok := <-stopped:
					if !ok {
						t.Fatal("the victim has ended by itself")
					}
				case <-o.ctx().Done():
					t.Fatal("the victim does not come where it is to be killed")
				}
				if len(v.Points) > 1 && v.Points[0] == "before chat.update#1" {
					break // both go to one conversation: it comes to one of them
				}
			}
			kill()
			o.start(false)
			o.ends("qa")
			o.once(dev, "qa is ready")
			o.worked()
			o.await("the card to be closed", func() bool { return len(must(o.store.OpenCards(t.Context(), slack.Door))) == 0 })
			o.once(dev, "qa is ready")
			if ops := must(o.store.Operations(t.Context(), must(o.store.Environment(t.Context(), "qa")).ID)); len(ops) != 1 {
				t.Errorf("%d operations", len(ops))
			}
		})
	}
}

// The same of changes of what is there: killed when it is done, when that is not
// noted yet, and when its card is posted, it is done once.
func TestKilledChanging(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		ask              func(o *office, card slackfake.Message) error
		ends             string
		environmentsLeft int
	}{
		"deploy": {func(o *office, _ slackfake.Message) error {
			_, err := o.fake.User(maria).Message(o.ctx(), dev, "@berth env deploy qa web=hotfix/1.2.3", "")
			return err
		}, "qa is deployed and ready", 1},
		"destroy": {func(o *office, card slackfake.Message) error {
			out, err := o.fake.User(maria).Click(o.ctx(), card, "Destroy")
			if err == nil && out.Confirm != nil {
				_, err = out.Yes(o.ctx())
			}
			return err
		}, "qa is gone", 0},
	} {
		for _, point := range []string{"done#1", "worked#1", "after chat.postMessage#1"} {
			t.Run(name+", "+point, func(t *testing.T) {
				t.Parallel()
				o := newOffice(t, settings{speed: 4})
				card := o.ready(maria, dev, "/env create qa", "qa")
				o.until("the end told", func() bool { return o.told(dev) == 1 })
				o.await("the card to be closed", func() bool { return len(must(o.store.OpenCards(t.Context(), slack.Door))) == 0 })
				o.worked()
				id := must(o.store.Environment(t.Context(), "qa")).ID
				o.stop()
				o.until("no connections", func() bool { return o.fake.Connections() == 0 })
				stopped, kill := o.startVictim(victim{Points: []string{point}})
				if err := change.ask(o, card); err != nil {
					t.Fatal(err)
				}
				select {
				case _, ok := <-stopped:
					if !ok {
						t.Fatal("the victim has ended by itself")
					}
				case <-o.ctx().Done():
					t.Fatal("the victim does not come where it is to be killed")
				}
				kill()
				o.start(false)
				o.ends("qa")
				o.card(dev, change.ends)
				o.until("the end told", func() bool { return o.told(dev) == 2 })
				o.worked()
				o.await("the card to be closed", func() bool { return len(must(o.store.OpenCards(t.Context(), slack.Door))) == 0 })
				if cards, told := len(o.cardsOf(dev)), o.told(dev); cards != 2 || told != 2 {
					t.Errorf("%d cards, %d ends told, of 2", cards, told)
				}
				if ops := must(o.store.Operations(t.Context(), id)); len(ops) != 2 {
					t.Errorf("%d operations", len(ops))
				}
				if n := len(must(o.store.Environments(t.Context(), ""))); n != change.environmentsLeft {
					t.Errorf("%d environments", n)
				}
				for _, m := range o.fake.Ephemerals(maria) {
					t.Errorf("told %s", m.Shown())
				}
			})
		}
	}
}

// Killed while a form shows "Checking…": what it asks for is done once, and the
// form says so.
func TestKilledChecking(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{stopped: true})
	_, kill := o.startVictim(victim{Checks: true})
	modal, err := o.types(maria, dev, "/env create").Modal(o.ctx())
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.fake.User(maria).FillAndSubmit(o.ctx(), modal, slackfake.Values{"Name": "qa"})
	if err != nil || out.Failure != "" || len(out.Fields) > 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	o.until("the form to say that it checks", func() bool { m := o.fake.Modal(maria); return m != nil && strings.Contains(m.Title, "Checking") })
	kill()
	o.start(false)
	o.ends("qa")
	o.once(dev, "qa is ready")
	o.until("the form to say so", func() bool { m := o.fake.Modal(maria); return m != nil && strings.Contains(m.Title, "On its way") })
	o.worked()
	if ops := must(o.store.Operations(t.Context(), must(o.store.Environment(t.Context(), "qa")).ID)); len(ops) != 1 {
		t.Errorf("%d operations", len(ops))
	}
}
