package slack_test

import (
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// The story that Berth is for: a mistyped branch is answered in one sentence,
// seen by nobody else, with the right name on a button; pressing it makes the
// environment.
func TestMistypedBranch(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"socket", "http"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, settings{speed: 4, http: mode == "http"})
			m := o.answered(o.types(maria, dev, "/env create qa shop web=feature/logn"))
			if !m.Ephemeral() || m.EphemeralTo != maria {
				t.Errorf("everybody sees it: %+v", m)
			}
			mustSay(t, m, "feature/logn", "feature/login")
			var buttons []slackfake.Element
			for _, e := range m.Elements() {
				if e.Type == "button" {
					buttons = append(buttons, e)
				}
			}
			if len(buttons) != 1 || !strings.Contains(buttons[0].Label, "web=feature/login") {
				t.Fatalf("buttons %+v", buttons)
			}
			if n := len(o.fake.Messages(dev)); n != 0 {
				t.Errorf("%d messages in the channel already", n)
			}
			o.clicks(maria, m, buttons[0].ActionID)
			card := o.card(dev, "qa", "feature/login", "<@"+maria+">")
			o.say("qa", "qa/web", "configuring", "make build")
			o.card(dev, "make build")
			o.ends("qa")
			card = o.card(dev, "qa is ready", "http://127.0.0.1:")
			if card.Edits == 0 {
				t.Error("another message instead of an edit")
			}
			o.until("the end told", func() bool { return len(o.fake.Thread(dev, card.TS)) == 2 })
			told := o.fake.Thread(dev, card.TS)[1]
			mustSay(t, told, "<@"+maria+">", "qa is ready")
			if told.Broadcast {
				t.Error("a success is sent to the whole channel")
			}
		})
	}
}

// ready makes an environment and waits for its card.
func (o *office) ready(who, channel, command, name string) slackfake.Message {
	o.t.Helper()
	o.types(who, channel, command)
	o.card(channel, "Making "+name)
	o.ends(name)
	return o.card(channel, name+" is ready")
}

// Every ability by slash command: reads are for who asks, changes have a card.
func TestAbilities(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 4})
	card := o.ready(maria, dev, "/env create qa shop web=feature/login ttl=2d", "qa")
	mustSay(t, card, "<@"+maria+">", "env create qa shop web=feature/login ttl=48h", "qa/api", "qa/web", "feature/login")
	for text, words := range map[string][]string{
		"/env list":           {"1 environment", "qa", "ready"},
		"/env":                {"Your environment", "qa"},
		"/env show qa":        {"qa — ready", "qa/web", "feature/login"},
		"/server list":        {"2 servers", "qa/api", "qa/web"},
		"/server show qa/web": {"qa/web", "feature/login"},
		"/env history qa":     {"env create qa shop", "succeeded"},
		"/env why qa":         {"nothing has failed"},
		"/env plan next":      {"Nothing has been changed", "next/web"},
		"/env help":           {"env create NAME", "env destroy NAME"},
		"/server help create": {"server create APP BRANCH"},
		"/env lsit":           {"qa"},
	} {
		m := o.answered(o.types(maria, dev, text))
		if m.EphemeralTo != maria {
			t.Errorf("%s: everybody sees the answer", text)
		}
		mustSay(t, m, words...)
	}
	o.types(maria, dev, "/env deploy qa web=hotfix/1.2.3")
	o.card(dev, "Deploying to qa")
	o.ends("qa")
	o.card(dev, "qa is deployed and ready", "hotfix/1.2.3")

	o.types(maria, dev, "/server create api main name=lone")
	o.card(dev, "Making lone")
	o.ends("lone")
	o.card(dev, "lone is ready")

	// A typed destroy asks first, naming what goes.
	ask := o.answered(o.types(maria, dev, "/server destroy lone"))
	mustSay(t, ask, "lone/api", "cannot be undone")
	o.clicks(maria, ask, "Destroy")
	o.card(dev, "Destroying lone")
	o.ends("lone")
	o.card(dev, "lone is gone")
	ask = o.answered(o.types(maria, dev, "/env destroy qa"))
	mustSay(t, ask, "qa/api", "qa/web")
	o.clicks(maria, ask, "Keep it")
	ask = o.answered(o.types(maria, dev, "/env destroy qa"))
	o.clicks(maria, ask, "Destroy")
	o.card(dev, "Destroying qa")
	o.ends("qa")
	o.card(dev, "qa is gone")
	mustSay(t, o.answered(o.types(maria, dev, "/env list")), "no environments")
}

// A failure says what, who and what next; its end goes to the channel too, and
// the buttons work.
func TestFailure(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 4})
	o.types(maria, dev, "/env create qa")
	o.card(dev, "Making qa")
	o.fails("qa", "make build failed: missing separator.")
	card := o.card(dev, "qa: failed", "missing separator", "You can mend this.", "env deploy qa")
	o.until("the end told", func() bool { return len(o.fake.Thread(dev, card.TS)) == 2 })
	if told := o.fake.Thread(dev, card.TS)[1]; !told.Broadcast || !shows(told, "<@"+maria+">", "missing separator") {
		t.Errorf("told %+v", told)
	}
	o.clicks(maria, card, "Show log")
	o.until("the log below the card", func() bool {
		for _, m := range o.fake.Thread(dev, card.TS) {
			if len(m.Files) == 1 && strings.Contains(string(m.Files[0].Content), "listening") {
				return true
			}
		}
		return false
	})
	o.clicks(maria, card, "Evidence")
	o.until("the evidence below the card, in one message", func() bool {
		for _, m := range o.fake.Thread(dev, card.TS) {
			if len(m.Files) == 2 && m.Files[0].Name == "qa-api-result.json" && m.Files[0].Title == "What Salt answered on qa/api" && string(m.Files[1].Content) == `{"local":{}}` {
				return true
			}
		}
		return false
	})
	o.clicks(maria, card, "Retry")
	o.card(dev, "Trying again on qa")
	// The first card's buttons are old by now.
	m := o.answered(o.clicks(tom, card, "Retry"))
	mustSay(t, m, "Something has happened to qa since", "env retry qa")
	o.ends("qa")
	o.card(dev, "qa is ready")
}

// All that is known of a failure: as a message, as a file when it is long, and
// what programs printed as files.
func TestEvidence(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{speed: 4})
	inOwn := func(name, holds string) func() bool {
		return func() bool {
			for _, m := range o.fake.DM(maria) {
				for _, f := range m.Files {
					if f.Name == name && strings.Contains(string(f.Content), holds) {
						return true
					}
				}
			}
			return false
		}
	}
	for _, name := range []string{"qa", "big", "nothing"} {
		o.types(maria, dev, "/env create "+name)
		o.card(dev, "Making "+name)
		o.fails(name, "make build failed.")
		o.card(dev, name+": failed")
	}
	m := o.answered(o.types(maria, dev, "/env why qa"))
	mustSay(t, m, "make build failed.", "You can mend this.")
	if strings.Contains(m.Shown(), "steps succeeded") {
		t.Errorf("the short answer is long:\n%s", m.Shown())
	}
	mustSay(t, o.answered(o.clicks(maria, m, "All of it")), "qa/web", "3 of 8 steps succeeded, 1 failed, 4 did not run", "make build failed.", "/env deploy qa")
	mustSay(t, o.answered(o.types(maria, dev, "/env why big all")), "All that is known of big", "own conversation")
	o.until("the tree", inOwn("big-why.txt", "much is wrong"))
	mustSay(t, o.answered(o.types(maria, dev, "/env why qa/web raw")), "The files of qa are in your own conversation")
	o.until("the files", inOwn("qa-web-result.json", "local"))
	mustSay(t, o.answered(o.types(maria, dev, "/env why nothing raw")), "Nothing that was printed for nothing is kept")
}

// Whom Berth serves, and what the others are told.
func TestIdentity(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	o.ready(maria, dev, "/env create qa", "qa")
	for _, text := range []string{"/env create other", "/env list"} {
		mustSay(t, o.answered(o.types(guest, dev, text)), "Guests", guest)
	}
	if _, err := o.fake.User(alien).Message(o.ctx(), dev, "@berth create env other", ""); err != nil {
		t.Fatal(err)
	}
	o.until("an answer to a stranger", func() bool {
		all := o.fake.Ephemerals(alien)
		return len(all) == 1 && shows(all[0], "another workspace", alien)
	})
	// Destroying is for the owner: the refusal says who can.
	m := o.answered(o.types(tom, dev, "/env destroy qa"))
	mustSay(t, m, "maria", "olga")
	// Who is not listed is known by the address, in any case of letters.
	o.ready(tom, dev, "/env create toms", "toms")
	e, err := o.store.Environment(t.Context(), "toms")
	if err != nil || e.Owner != "tom@example.com" {
		t.Errorf("owner %q, %v", e.Owner, err)
	}
	// An old button of somebody else's is checked again.
	card := o.card(dev, "qa is ready")
	m = o.answered(o.clicks(tom, card, "Destroy"))
	mustSay(t, m, "maria")
	if e, err := o.store.Environment(t.Context(), "qa"); err != nil || e.Operation.Kind != "create" {
		t.Errorf("%+v, %v", e.Operation, err)
	}
}

// Where Berth cannot post, the card goes to the person's own conversation.
func TestPrivateChannel(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	out := o.types(maria, ops, "/env create qa")
	mustSay(t, o.answered(out), "/invite")
	dm := o.fake.IM(maria)
	o.card(dm, "Making qa")
	o.ends("qa")
	card := o.card(dm, "qa is ready")
	o.until("the end told", func() bool { return len(o.fake.Thread(dm, card.TS)) == 2 })
	// Reads are answered in place all the same.
	mustSay(t, o.answered(o.types(maria, ops, "/env list")), "qa")
}

// Commands by mention, in a thread, and in a direct message.
func TestMessages(t *testing.T) {
	t.Parallel()
	o := newOffice(t, settings{})
	ctx := o.ctx()
	first, err := o.fake.User(tom).Message(ctx, dev, "shall we?", "")
	if err != nil {
		t.Fatal(err)
	}
	thread := first.Message.TS
	if _, err := o.fake.User(maria).Message(ctx, dev, "@berth create env qa with web on feature/login", thread); err != nil {
		t.Fatal(err)
	}
	// A guess starts nothing: what was meant is offered, to her alone.
	var offer slackfake.Message
	o.until("an offer in the thread", func() bool {
		for _, m := range o.fake.Ephemerals(maria) {
			if m.ThreadTS == thread {
				offer = m
				return true
			}
		}
		return false
	})
	o.worked()
	if n := len(o.fake.Calls("chat.postMessage")); n != 0 {
		t.Errorf("%d messages before anything was asked for", n)
	}
	var meant []slackfake.Element
	for _, e := range offer.Elements() {
		if strings.Contains(e.Label, "web=feature/login") {
			meant = append(meant, e)
		}
	}
	if len(meant) != 1 {
		t.Fatalf("the offer: %s", offer.Shown())
	}
	o.clicks(maria, offer, meant[0].ActionID)
	inThread := func(word string) func() bool {
		return func() bool {
			for _, m := range o.fake.Thread(dev, thread) {
				if shows(m, word) {
					return true
				}
			}
			return false
		}
	}
	o.until("the card in the thread", inThread("Making qa"))
	o.ends("qa")
	o.until("the end in the thread", inThread("qa is ready"))
	if _, err := o.fake.User(maria).Message(ctx, o.fake.IM(maria), "list envs", ""); err != nil {
		t.Fatal(err)
	}
	o.until("an answer in the conversation", func() bool {
		for _, m := range o.fake.DM(maria) {
			if m.User == o.fake.BotUserID() && shows(m, "qa", "ready") {
				return true
			}
		}
		return false
	})
	// What somebody changes afterwards is not for Berth, nor is what it writes.
	o.worked()
	o.until("the end told", func() bool { return o.told(dev) == 1 })
	before := len(o.fake.DM(maria))
	wrote, err := o.fake.User(maria).Message(ctx, o.fake.IM(maria), "hello", "")
	if err != nil {
		t.Fatal(err)
	}
	o.until("an answer", func() bool { return len(o.fake.DM(maria)) == before+2 })
	o.worked()
	posted, acks := len(o.fake.Calls("chat.postMessage")), o.fake.Stats().Acks
	if err := o.fake.User(maria).Edit(ctx, wrote.Message, "env create other"); err != nil {
		t.Fatal(err)
	}
	o.until("the edit and the answer to be taken", func() bool { return o.fake.Stats().Acks >= acks+1 })
	o.worked()
	if all := must(o.store.Environments(t.Context(), "")); len(all) != 1 || all[0].Name != "qa" {
		t.Errorf("made %+v", all)
	}
	if n := len(o.fake.Calls("chat.postMessage")) - posted; n != 0 {
		t.Errorf("answered %d times", n)
	}
}
