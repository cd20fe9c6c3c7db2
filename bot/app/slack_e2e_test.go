package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
)

const (
	maria = "U0MARIA"
	dev   = "C0DEV"
)

// desk is a person's Slack in front of the real program, which uses real
// Terraform, Salt and git: only Slack itself is a stand-in.
type desk struct {
	*testing.T
	fake *slackfake.Server
	dir  string
	env  map[string]string
	http bool

	serve *served
	url   string // serve's address
	log   string // serve's
}

func newDesk(t *testing.T, http bool) *desk {
	t.Helper()
	needSalt(t)
	fake, err := slackfake.New(slackfake.Options{
		Users:        []slackfake.User{{ID: maria, Name: "maria", RealName: "Maria", Email: "maria@example.com"}},
		Channels:     []slackfake.Channel{{ID: dev, Name: "dev", Members: []string{maria, slackfake.BotUser}}},
		PingInterval: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, fake: fake, dir: t.TempDir(), http: http, serve: &served{}}
	d.log = filepath.Join(d.dir, "serve.log")
	t.Cleanup(func() {
		_ = d.serve.end(syscall.SIGKILL)
		dirs, _ := filepath.Glob(filepath.Join(d.dir, "data", "servers", "*"))
		for _, dir := range dirs {
			if err := agent.Stop(context.Background(), dir, 0); err != nil {
				t.Error(err)
			}
		}
		fake.Close()
	})
	if d.env, err = prepare(d.dir); err != nil {
		t.Fatal(err)
	}
	d.env["BERTH_SLACK_API_URL"] = fake.APIURL()
	d.env["BERTH_SLACK_BOT_TOKEN"] = fake.BotToken()
	if http {
		d.env["BERTH_SLACK_SIGNING_SECRET"] = fake.SigningSecret()
	} else {
		d.env["BERTH_SLACK_APP_TOKEN"] = fake.AppToken()
	}
	return d
}

// start starts serve and waits until Slack can reach it.
func (d *desk) start() {
	d.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.Fatal(err)
	}
	line, err := d.serve.start(d.dir, d.env, log)
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		d.Fatalf("serve said %q, %v\n%s", line, err, d.logged())
	}
	d.url = url
	if d.http {
		d.fake.SetRequestURL(url)
		if err := d.fake.VerifyURL(d.ctx()); err != nil {
			d.Fatal(err)
		}
		return
	}
	d.until("two connections", func() bool { return d.fake.Connections() == 2 })
}

func (d *desk) logged() []byte {
	raw, _ := os.ReadFile(d.log)
	return raw
}

func (d *desk) ctx() context.Context {
	ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
	d.Cleanup(cancel)
	return ctx
}

func (d *desk) until(what string, cond func() bool) {
	d.Helper()
	if err := d.fake.Wait(d.ctx(), cond); err != nil {
		d.Fatalf("waiting for %s: %v\n%s", what, err, d.logged())
	}
}

func (d *desk) types(text string) *slackfake.Outcome {
	d.Helper()
	command, rest, _ := strings.Cut(text, " ")
	out, err := d.fake.User(maria).Command(d.ctx(), dev, command, rest)
	if err != nil || out.Failure != "" {
		d.Fatalf("%s: %v, Slack shows %q\n%s", text, err, out.Failure, d.logged())
	}
	return out
}

// reads types a command that is answered to the person alone.
func (d *desk) reads(text string, words ...string) slackfake.Message {
	d.Helper()
	return d.answered(d.types(text), words...)
}

func (d *desk) answered(out *slackfake.Outcome, words ...string) slackfake.Message {
	d.Helper()
	m, err := out.Answer(d.ctx())
	if err != nil {
		d.Fatalf("no answer: %v\n%s", err, d.logged())
	}
	if m.EphemeralTo != maria || !shows(m, words...) {
		d.Errorf("want %q for maria alone, not this, to %q:\n%s", words, m.EphemeralTo, m.Shown())
	}
	return m
}

// clicks presses a button; asked is what Slack asks before, if anything.
func (d *desk) clicks(on slackfake.Surface, button string) (out *slackfake.Outcome, asked *slackfake.Confirm) {
	d.Helper()
	out, err := d.fake.User(maria).Click(d.ctx(), on, button)
	if err == nil && out.Confirm != nil {
		asked = out.Confirm
		out, err = out.Yes(d.ctx())
	}
	if err != nil || out.Failure != "" {
		d.Fatalf("%s: %v, Slack shows %q\n%s", button, err, out.Failure, d.logged())
	}
	return out, asked
}

// card waits for the card that shows words.
func (d *desk) card(words ...string) slackfake.Message {
	d.Helper()
	var found slackfake.Message
	d.until("a card that shows "+strings.Join(words, ", "), func() bool {
		for _, m := range d.cards() {
			if shows(m, words...) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// cards are what Berth posted in the channel, without replies.
func (d *desk) cards() []slackfake.Message {
	var out []slackfake.Message
	for _, m := range d.fake.Messages(dev) {
		if m.ThreadTS == "" && !m.Ephemeral() && m.User == d.fake.BotUserID() {
			out = append(out, m)
		}
	}
	return out
}

// told waits until the end was told below a card, and gives it: it is told
// once.
func (d *desk) told(card slackfake.Message, words ...string) slackfake.Message {
	d.Helper()
	replies := func() []slackfake.Message { return d.fake.Thread(dev, card.TS)[1:] }
	d.until("the end below the card", func() bool { return len(replies()) > 0 })
	all := replies()
	if len(all) != 1 || !shows(all[0], append(words, "<@"+maria+">")...) {
		d.Errorf("want %q once, not:", words)
		for _, m := range all {
			d.Errorf("%s", m.Shown())
		}
	}
	return all[0]
}

func shows(m slackfake.Message, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(m.Shown(), w) {
			return false
		}
	}
	return strings.TrimSpace(m.Text) != ""
}

// page fetches what a card's button opens.
func (d *desk) page(card slackfake.Message, button string) string {
	d.Helper()
	link, ok := card.Button(button)
	if !ok || link.URL == "" {
		d.Fatalf("no link %q on the card:\n%s", button, card.Shown())
	}
	res, err := http.Get(link.URL)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		d.Fatalf("%s: %s, %v\n%s", link.URL, res.Status, err, body)
	}
	return string(body)
}

// commits changes a file on a branch of an app.
func (d *desk) commits(app, branch, file string, content []byte) {
	d.Helper()
	repository := filepath.Join(d.dir, "repos", app)
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", repository}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+d.env["GIT_CONFIG_GLOBAL"])
		if out, err := cmd.CombinedOutput(); err != nil {
			d.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("checkout", "-q", branch)
	if err := os.WriteFile(filepath.Join(repository, file), content, 0o644); err != nil {
		d.Fatal(err)
	}
	git("commit", "-q", "-a", "-m", "change "+file)
	git("checkout", "-q", "main")
}

// notes writes a note of the one cause that was seen, as ops do.
func (d *desk) notes(text string) {
	d.Helper()
	run := func(args ...string) []byte {
		cmd := exec.Command(berth, append([]string{"--data", filepath.Join(d.dir, "data")}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			d.Fatalf("berth %v: %v", args, err)
		}
		return out
	}
	var all []orchestrator.KnownCause
	if err := json.Unmarshal(run("causes", "list", "--json"), &all); err != nil || len(all) != 1 {
		d.Fatalf("%+v, %v", all, err)
	}
	run("causes", "note", all[0].Fingerprint[:6], text)
}

// vanishes removes what an app's server of qa runs in.
func (d *desk) vanishes(app string) {
	d.Helper()
	out, err := exec.Command(berth, "--data", filepath.Join(d.dir, "data"), "env", "show", "qa", "--json").Output()
	var e struct {
		Servers []struct{ ID, App string }
	}
	if err != nil || json.Unmarshal(out, &e) != nil {
		d.Fatalf("%v\n%s", err, out)
	}
	for _, v := range e.Servers {
		if v.App != app {
			continue
		}
		// Away first: agents that die are started again.
		away := filepath.Join(d.dir, "away")
		if err := os.Rename(filepath.Join(d.dir, "data", "servers", v.ID), away); err != nil {
			d.Fatal(err)
		}
		if err := agent.Stop(d.ctx(), away, 0); err != nil {
			d.Fatal(err)
		}
	}
}

// whispered waits for a message in maria's own conversation with Berth.
func (d *desk) whispered(words ...string) slackfake.Message {
	d.Helper()
	var found slackfake.Message
	d.until("a message to maria that shows "+strings.Join(words, ", "), func() bool {
		for _, m := range d.fake.DM(maria) {
			if m.User == d.fake.BotUserID() && shows(m, words...) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// gone checks that nothing of any environment is left.
func (d *desk) gone() {
	d.Helper()
	for _, name := range []string{"servers", "workspaces"} {
		entries, err := os.ReadDir(filepath.Join(d.dir, "data", name))
		if err != nil {
			d.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				d.Errorf("%s/%s is left", name, e.Name())
			}
		}
	}
}

// story is what Berth is for: a mistyped branch is answered in one sentence
// with the right name on a button, and pressing it makes the environment, whose
// page is really there.
func (d *desk) story() slackfake.Message {
	d.Helper()
	m := d.reads("/env create qa shop web=feature/logn", "feature/logn", "Did you mean")
	var buttons []slackfake.Element
	for _, e := range m.Elements() {
		if e.Type == "button" {
			buttons = append(buttons, e)
		}
	}
	if len(buttons) != 1 || !strings.Contains(buttons[0].Label, "web=feature/login") {
		d.Fatalf("buttons %+v", buttons)
	}
	if n := len(d.cards()); n != 0 {
		d.Errorf("%d cards before anything was asked for", n)
	}
	d.clicks(m, buttons[0].ActionID)
	first := d.card("Making qa", "<@"+maria+"> asked", "web=feature/login")
	card := d.card("qa is ready", "qa/api", "qa/web", "feature/login")
	if card.TS != first.TS || card.Edits == 0 {
		d.Error("the end stands in another message than the beginning")
	}
	if told := d.told(card, "qa is ready", "http://"); told.Broadcast {
		d.Error("a success is sent to the whole channel")
	}
	page := d.page(card, "Open web")
	for _, want := range []string{"web runs feature/login", "api runs main"} {
		if !strings.Contains(page, want) {
			d.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	return card
}

// ends destroys the environment by typing, which asks first.
func (d *desk) ends() {
	d.Helper()
	ask := d.reads("/env destroy qa", "Destroy qa?", "qa/api", "qa/web", "cannot be undone")
	d.clicks(ask, "Destroy")
	card := d.card("qa is gone")
	d.told(card, "qa is gone")
	d.gone()
}

// Every ability by slash command through Socket Mode, on real parts.
func TestSlackSocket(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false)
	d.start()
	d.story()

	d.reads("/env list", "1 environment", "qa", "ready")
	d.reads("/env show qa", "qa — ready", "qa/api", "qa/web", "feature/login")
	d.reads("/env history qa", "env create qa shop", "succeeded")
	d.reads("/server list", "2 servers", "qa/api", "qa/web")

	// A single server, made and ended.
	d.types("/server create api hotfix/1.2.3 name=lone")
	lone := d.card("lone is ready", "hotfix/1.2.3")
	d.told(lone, "lone is ready")
	d.reads("/server show lone", "lone/api", "hotfix/1.2.3", "less than a minute ago")
	// From the card: Slack itself asks, naming what goes.
	_, asked := d.clicks(lone, "Destroy")
	if asked == nil || !strings.Contains(asked.Text, "lone/api (hotfix/1.2.3)") {
		t.Errorf("Slack asks %+v", asked)
	}
	d.told(d.card("lone is gone"), "lone is gone")

	// A build that fails: one true sentence, who can mend it and what is next.
	d.types("/env deploy qa web=broken-build")
	failed := d.card("qa: failed", "qa/web", "You can mend this.", "Next:")
	if n := strings.Count(failed.Shown(), `The command "make build" failed: SyntaxError: expected ':'`); n != 1 {
		t.Errorf("the cause stands %d times on the card:\n%s", n, failed.Shown())
	}
	if hidden := regexp.MustCompile(`(?i)traceback|requisite|highstate|terraform|\bsls\b`).FindString(failed.Shown()); hidden != "" {
		t.Errorf("the card says %q:\n%s", hidden, failed.Shown())
	}
	if told := d.told(failed, "qa failed", "SyntaxError"); !told.Broadcast {
		t.Error("a failure is not sent to the channel")
	}
	d.reads("/env why qa", "SyntaxError", "env deploy qa web=")
	// The second time the card says so, with what ops say: as text, whatever it
	// looks like.
	d.notes("Ask *olga*, not <!channel> & wait")
	d.types("/env retry qa")
	failed = d.card("env retry qa", "qa: failed", "Seen 2 times ")
	if blocks := fmt.Sprint(failed.Blocks); !strings.Contains(failed.Shown(), "Ops say: Ask") || strings.Contains(blocks, "<!channel>") || !strings.Contains(blocks, "&lt;!channel&gt;") {
		t.Errorf("the note on the card:\n%s\n%s", failed.Shown(), blocks)
	}
	d.reads("/env why qa", "Seen 2 times ", "Ops say: Ask")
	// The branch is mended, and Retry takes its newest commit.
	whole, err := os.ReadFile(filepath.Join(d.dir, "repos", "web", "page.py"))
	if err != nil {
		t.Fatal(err)
	}
	d.commits("web", "broken-build", "page.py", bytes.Replace(whole, []byte(`BRANCH = "main"`), []byte(`BRANCH = "mended"`), 1))
	d.clicks(failed, "Retry")
	again := d.card("env retry qa", "qa is ready")
	if page := d.page(again, "Open web"); !strings.Contains(page, "web runs mended") {
		t.Errorf("the page:\n%s", page)
	}
	d.types("/env extend qa 1d")
	d.card("*qa* now ends")

	// What a server runs in is removed behind Berth's back: its owner is told, in
	// their own conversation, until it is over.
	d.vanishes("api")
	notice := d.whispered("The machine of qa/api is gone: it was removed outside Berth.", "/env repair qa", "makes it anew")
	if b, ok := notice.Button("Repair"); !ok || !strings.Contains(b.Value, "env repair qa") {
		t.Errorf("the button: %+v", b)
	}
	d.ends()
	if over := d.whispered("What was told here is over: qa is gone."); over.TS != notice.TS || len(over.Elements()) != 0 {
		t.Errorf("the end of it is another message, or has buttons:\n%s", over.Shown())
	}
	if n := d.fake.Stats().RateLimited; n != 0 {
		t.Errorf("Slack had to ask Berth to wait %d times", n)
	}
	if err := d.serve.end(syscall.SIGTERM); err != nil {
		t.Errorf("serve ended with %v\n%s", err, d.logged())
	}
}

// get fetches a probe of serve's.
func (d *desk) get(path string) (status int, body string) {
	d.Helper()
	res, err := http.Get(d.url + path)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// probes waits until /readyz answers so.
func (d *desk) probes(status int, words string) {
	d.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := d.ctx(); ; {
		got, body := d.get("/readyz")
		if got == status && strings.Contains(body, words) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.Fatalf("/readyz answers %d %s\n%s", got, body, d.logged())
		}
	}
}

// The same story through signed requests; and the probes say whether Slack
// works.
func TestSlackHTTP(t *testing.T) {
	t.Parallel()
	d := newDesk(t, true)
	d.start()
	d.story()
	d.types("/env deploy qa api=hotfix/1.2.3 web=main")
	d.told(d.card("qa is deployed and ready", "env deploy qa api=hotfix/1.2.3 web=main"), "http://")
	if page := d.page(d.card("qa is deployed and ready"), "Open web"); !strings.Contains(page, "web runs main") || !strings.Contains(page, "api runs hotfix/1.2.3") {
		t.Errorf("the page:\n%s", page)
	}
	ask := d.reads("/server destroy qa/web", "qa/web", "cannot be undone")
	d.clicks(ask, "Destroy")
	d.told(d.card("qa: web removed"), "qa: web removed")

	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": "go_goroutines"} {
		if status, body := d.get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	d.fake.SetBotToken("token_revoked")
	if _, err := d.fake.User(maria).OpenHome(d.ctx()); err != nil {
		t.Fatal(err)
	}
	d.probes(http.StatusServiceUnavailable, "the token was revoked")
	if status, _ := d.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d: nothing is wrong with the process", status)
	}
	d.fake.SetBotToken("")
	d.probes(http.StatusOK, "ready")
	ask = d.reads("/env destroy qa", "Destroy qa?", "qa/api", "cannot be undone")
	d.clicks(ask, "Destroy")
	d.told(d.card("qa is gone"), "qa is gone")
	d.gone()
}

// Serve is killed in the middle of a create: started again, it goes on with the
// same card to its true end and tells the owner once.
func TestSlackKilled(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false)
	// The api's build waits until somebody writes to a pipe.
	gate := filepath.Join(d.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o644); err != nil {
		t.Fatal(err)
	}
	catalog := d.env["BERTH_CATALOG"]
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`build      = "make build"`), fmt.Appendf(nil, "build = %q", "cat "+gate), 1)
	if err := os.WriteFile(catalog, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(gate, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	d.start()
	d.types("/env create qa shop")
	card := d.card("Making qa")
	building := make(chan *os.File)
	go func() {
		f, err := os.OpenFile(gate, os.O_WRONLY, 0) // waits for the build
		if err != nil {
			t.Error(err)
		}
		building <- f
	}()
	var build *os.File
	select {
	case build = <-building:
	case <-d.ctx().Done():
		t.Fatalf("the build did not begin\n%s", d.logged())
	}
	_ = d.serve.end(syscall.SIGKILL)
	if now := d.card("qa/api"); now.TS != card.TS || !shows(now, "Making qa") {
		t.Fatalf("too late for this test:\n%s", now.Shown())
	}
	d.start()
	build.Close()
	end := d.card("qa is ready")
	d.told(end, "qa is ready")
	if end.TS != card.TS || len(d.cards()) != 1 {
		t.Errorf("%d cards", len(d.cards()))
	}
	d.ends()
	called := 0
	for _, n := range d.fake.Notifications() {
		if n.Target == maria && !n.Quiet && shows(n.Message, "qa is ready") {
			called++
		}
	}
	if called != 1 {
		t.Errorf("maria was called %d times", called)
	}
}
