package slackfake_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/testdata/browser"
)

// openPage opens a workspace's page, as maria in #dev.
func openPage(t *testing.T, fake *slackfake.Server) *browser.Tab {
	t.Helper()
	fake.Handle("/", fake.Page())
	b := browser.Open(t, 1280, 800)
	b.Go(fake.URL() + "/#" + maria + "/" + dev)
	b.Text("h1", "dev")
	return b
}

// content checks that the browser has nothing to complain of.
func content(t *testing.T, b *browser.Tab) {
	t.Helper()
	if troubles := b.Troubles(); len(troubles) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(troubles, "\n"))
	}
}

// TestPageGuards: the page is for who sits at this machine, and shows each
// person what they may see.
func TestPageGuards(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	fake.Handle("/", fake.Page())
	api := client(fake)
	must(api.PostEphemeral(dev, maria, slack.MsgOptionText("for maria alone", false)))
	must(fake.User(maria).Message(ctxOf(t), secret, "a private word", ""))
	const say = `{"as":"U0MARIA","do":"say","channel":"C0DEV","text":"hello"}`
	for _, c := range []struct {
		name, method, path, host, origin, kind, body string
		status                                       int
		want, not                                    string
	}{
		{name: "the page", method: "GET", path: "/", status: 200, want: "<!doctype html>"},
		{name: "localhost", method: "GET", path: "/", host: "localhost:8000", status: 200},
		{name: "an IPv6 address", method: "GET", path: "/", host: "[::1]:8000", status: 200},
		{name: "somebody else's name", method: "GET", path: "/", host: "evil.example.com", status: 421},
		{name: "a name that begins like this machine's", method: "GET", path: "/", host: "127.0.0.1.evil.example.com", status: 421},
		{name: "no such file", method: "GET", path: "/page.go", status: 404},
		{name: "said", method: "POST", path: "/page/do", kind: "application/json", body: say, status: 200, want: "{}"},
		{name: "another site's page", method: "POST", path: "/page/do", origin: "http://evil.example.com", kind: "application/json", body: say, status: 403},
		{name: "another port's page", method: "POST", path: "/page/do", origin: "http://127.0.0.1:1", kind: "application/json", body: say, status: 403},
		{name: "a form of another site's", method: "POST", path: "/page/do", kind: "text/plain", body: say, status: 415},
		{name: "no JSON", method: "POST", path: "/page/do", kind: "application/json", body: "{", status: 400},
		{name: "no such deed", method: "POST", path: "/page/do", kind: "application/json", body: `{"as":"U0MARIA","do":"fly"}`, status: 200, want: `nobody can \"fly\"`},
		{name: "where one is not", method: "POST", path: "/page/do", kind: "application/json", body: `{"as":"U0JONAS","do":"say","channel":"G0SECRET","text":"x"}`, status: 200, want: "not a member"},
		{name: "what maria sees", method: "GET", path: "/page/events?user=U0MARIA", status: 200, want: "for maria alone"},
		{name: "and jonas does not", method: "GET", path: "/page/events?user=U0JONAS", status: 200, not: "for maria alone"},
		{name: "a private channel", method: "GET", path: "/page/events?user=U0JONAS", status: 200, not: "secret"},
		{name: "nobody", method: "GET", path: "/page/events?user=U0NOBODY", status: 200, want: "event: nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(ctxOf(t))
			defer cancel()
			r := must(http.NewRequestWithContext(ctx, c.method, fake.URL()+c.path, strings.NewReader(c.body)))
			r.Host = c.host
			for k, v := range map[string]string{"Origin": c.origin, "Content-Type": c.kind} {
				if v != "" {
					r.Header.Set(k, v)
				}
			}
			res := must(http.DefaultClient.Do(r))
			defer res.Body.Close()
			if res.StatusCode != c.status {
				t.Fatalf("status %d", res.StatusCode)
			}
			if c.want == "" && c.not == "" {
				return
			}
			// Of an endless answer, the first look: it ends with the modals, or nobody.
			said := ""
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if said += lines.Text() + "\n"; strings.Contains(lines.Text(), `{"stack":`) || lines.Text() == "event: nobody" {
					break
				}
			}
			if !strings.Contains(said, c.want) || c.not != "" && strings.Contains(said, c.not) {
				t.Errorf("it says %s", said)
			}
		})
	}
}

// TestPageMarkup: Slack's markup is drawn as Slack draws it, and nothing else
// is markup.
func TestPageMarkup(t *testing.T) {
	t.Parallel()
	browser.Find(t)
	fake := newFake(t, unlimited)
	b := openPage(t, fake)
	api := client(fake)
	const joiner = "\u2060"
	for _, c := range []struct{ text, want string }{
		{"*bold* and _slanted_ and ~gone~", "<strong>bold</strong> and <em>slanted</em> and <s>gone</s>"},
		{"*bold with _slanted_ inside*", "<strong>bold with <em>slanted</em> inside</strong>"},
		{"snake_case_name 2*3*4 a~b~c", "snake_case_name 2*3*4 a~b~c"},
		{"* not bold * _ nor this _", "* not bold * _ nor this _"},
		{"(*bold*), *bold*.", "(<strong>bold</strong>), <strong>bold</strong>."},
		{"*not\nover lines*", "*not\nover lines*"},
		{"*" + joiner + "kept apart*", "*" + joiner + "kept apart*"},
		{"`code *with* _marks_ &amp; &lt;b&gt;`", "<code>code *with* _marks_ &amp; &lt;b&gt;</code>"},
		{"a `*` b `*` c", "a <code>*</code> b <code>*</code> c"},
		{"&lt;b&gt;not bold&lt;/b&gt; &amp;amp;", "&lt;b&gt;not bold&lt;/b&gt; &amp;amp;"},
		{"<https://example.com/a?b=1&amp;c=2|a *link*>", `<a href="https://example.com/a?b=1&amp;c=2" target="_blank" rel="noopener noreferrer">a *link*</a>`},
		{"*<https://example.com|bold link>*", `<strong><a href="https://example.com/" target="_blank" rel="noopener noreferrer">bold link</a></strong>`},
		{"<javascript:alert(1)|press me>", "<span>press me</span>"},
		{"<data:text/html,x|press me>", "<span>press me</span>"},
		{"<mailto:a@example.com|a@example.com>", `<a href="mailto:a@example.com" target="_blank" rel="noopener noreferrer">a@example.com</a>`},
		{"<script>alert(1)</script><img src=x onerror=alert(1)>", "<span>script</span>alert(1)<span>/script</span><span>img src=x onerror=alert(1)</span>"},
		{"<@U0MARIA> <@U0JONAS> <#C0DEV> <!subteam^S0OPS> <!here>", `<span class="mention me">@maria</span> <span class="mention">@jonas</span> <a class="mention" href="#">#dev</a> <span class="mention">@ops</span> <span class="mention">@here</span>`},
		{"<!date^0^{date_num} {time}|never>", `<time datetime="1970-01-01T00:00:00.000Z">1970-01-01 00:00</time>`},
		{":anchor: stays", ":anchor: stays"},
	} {
		_, ts, err := api.PostMessage(dev, slack.MsgOptionText(c.text, false), slack.MsgOptionDisableLinkUnfurl())
		if err != nil {
			t.Fatal(err)
		}
		b.Wait(`(ts) => document.querySelector('[data-ts="' + ts + '"]') !== null`, ts)
		if got := b.Eval(fmt.Sprintf(`document.querySelector('[data-ts="%s"] .content .text').innerHTML`, ts)); got != c.want {
			t.Errorf("%q is drawn as\n  %s\nand not\n  %s", c.text, got, c.want)
		}
	}
	// Blocks of lines.
	_, ts, err := api.PostMessage(dev, slack.MsgOptionText("before\n```\nif a &lt; b {\n  *x*\n}\n```\nafter\n&gt; quoted\n&gt; twice", false))
	if err != nil {
		t.Fatal(err)
	}
	b.Text(fmt.Sprintf("[data-ts=%q]", ts), "twice")
	want := `<div class="text">before</div><pre tabindex="0"><code>if a &lt; b {` + "\n  *x*\n" + `}</code></pre><div class="text">after</div><blockquote>quoted` + "\ntwice</blockquote>"
	if got := b.Eval(fmt.Sprintf(`document.querySelector('[data-ts="%s"] .content .block').innerHTML`, ts)); got != want {
		t.Errorf("drawn as\n  %s\nand not\n  %s", got, want)
	}
	// What a person types is text too.
	b.Click(".main textarea")
	b.Type("<img src=x onerror=alert(1)> @jonas *no*\r")
	b.Text(".message:last-child .content", "<img src=x onerror=alert(1)> @jonas *no*")
	content(t, b)
}

// TestPageForms: everything that a form can hold is filled in as a person does
// it, and reaches the app.
func TestPageForms(t *testing.T) {
	t.Parallel()
	browser.Find(t)
	fake := newFake(t)
	submitted, acted, closed := make(chan slack.InteractionCallback, 10), make(chan slack.InteractionCallback, 10), make(chan slack.InteractionCallback, 10)
	answers := make(chan any, 10)
	startApp(t, fake, func(a *app, e socketmode.Event) any {
		switch data := e.Data.(type) {
		case slack.SlashCommand:
			f := form("New environment")
			days := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeStatic, plain("Days"), "days",
				slack.NewOptionBlockObject("mo", plain("Monday"), nil), slack.NewOptionBlockObject("tu", plain("Tuesday"), nil), slack.NewOptionBlockObject("we", plain("Wednesday"), nil))
			kind := slack.NewRadioButtonsBlockElement("kind", slack.NewOptionBlockObject("a", plain("First"), nil), slack.NewOptionBlockObject("b", plain("Second"), nil))
			who := slack.NewOptionsSelectBlockElement(slack.OptTypeUser, plain("Who"), "who")
			note := slack.NewPlainTextInputBlockElement(nil, "note").WithMultiline(true)
			kindBlock := slack.NewInputBlock("kind", plain("Kind"), nil, kind)
			kindBlock.DispatchAction = true
			f.Blocks.BlockSet = append(f.Blocks.BlockSet, slack.NewInputBlock("days", plain("Days"), nil, days), kindBlock,
				slack.NewInputBlock("who", plain("Who"), nil, who), slack.NewInputBlock("on", plain("On"), nil, slack.NewDatePickerBlockElement("on")).WithOptional(true),
				slack.NewInputBlock("note", plain("Note"), nil, note).WithOptional(true))
			if _, err := a.OpenView(data.TriggerID, f); err != nil {
				t.Error(err)
			}
		case slack.InteractionCallback:
			switch data.Type {
			case slack.InteractionTypeBlockSuggestion:
				var options []*slack.OptionBlockObject
				for _, name := range []string{"main", "feature/login"} {
					if strings.Contains(name, data.Value) {
						options = append(options, slack.NewOptionBlockObject(name, plain(name), nil))
					}
				}
				return slack.OptionsResponse{Options: options}
			case slack.InteractionTypeBlockActions:
				acted <- data
			case slack.InteractionTypeViewSubmission:
				submitted <- data
				return <-answers
			case slack.InteractionTypeViewClosed:
				closed <- data
			}
		}
		return nil
	})
	b := openPage(t, fake)
	b.Click(".main textarea")
	b.Type("/env create\r")
	b.Text("#modal h2", "New environment")
	b.Wait(`() => document.activeElement.getAttribute("aria-label") === "Name"`) // typing can begin

	// Slack itself refuses what is empty.
	b.ClickText("#modal footer", "Create")
	b.Text(`#modal [data-block="name"] .error`, "required")
	b.Type("qa")
	b.Click(`#modal input[aria-label="Branch"]`)
	b.Text("#modal [role=listbox]", "Type at least 1")
	b.Type("xyz")
	b.Text("#modal [role=listbox]", "Nothing fits")
	b.Type("\b\b\blog")
	b.Text("#modal [role=option]", "feature/login")
	b.Type("\r")
	b.Click(`#modal input[aria-label="Size"]`)
	b.Type("lar\r")
	b.Click(`#modal input[aria-label="Days"]`)
	b.ClickText(`#modal [data-block="days"]`, "Monday")
	b.ClickText(`#modal [data-block="days"]`, "Wednesday")
	b.ClickText(`#modal [data-block="days"]`, "Tuesday")
	b.Type("\x1b") // closes the list, not the form
	b.Gone("#modal [role=listbox]")
	b.Click(`#modal [aria-label="Remove Tuesday"]`)
	b.Click(`#modal [data-block="apps"] label:last-child input`)
	b.Click(`#modal [data-block="kind"] label:last-child input`)
	// A field that says so tells the app at once, with what stands in the others.
	now := receive(t, acted)
	if v := now.View.State.Values; now.ActionCallback.BlockActions[0].SelectedOption.Value != "b" || v["name"]["name"].Value != "qa" || v["branch"]["branch"].SelectedOption.Value != "feature/login" {
		t.Errorf("%+v", now)
	}
	b.Click(`#modal input[aria-label="Who"]`)
	b.Type("jon\r")
	b.Click(`#modal textarea[aria-label="Note"]`)
	b.Type("two\rlines <b>")

	// The app's own word stands at the field, and what was filled in stays.
	answers <- slack.NewErrorsViewSubmissionResponse(map[string]string{"name": "qa is taken"})
	b.ClickText("#modal footer", "Create")
	b.Text(`#modal [data-block="name"] .error`, "qa is taken")
	b.Wait(`() => document.activeElement.getAttribute("aria-label") === "Name" && document.activeElement.getAttribute("aria-invalid") === "true"`)
	first := receive(t, submitted).View.State.Values
	want := map[string]string{"name": "qa", "branch": "feature/login", "size": "l", "days": "mo,we", "apps": "web", "kind": "b", "who": jonas, "on": "", "note": "two\nlines <b>"}
	for block, value := range want {
		if got := filled(first[block][block]); got != value {
			t.Errorf("%s: %q, not %q", block, got, value)
		}
	}
	b.Type("2")
	answers <- slack.NewUpdateViewSubmissionResponse(&slack.ModalViewRequest{Type: slack.VTModal, Title: plain("Checking…"), Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewSectionBlock(plain("Wait."), nil, nil)}}})
	b.Type("\r") // submits from a field
	b.Text("#modal h2", "Checking…")
	again := receive(t, submitted).View.State.Values
	for block, value := range want {
		if block == "name" {
			value = "qa2"
		}
		if got := filled(again[block][block]); got != value {
			t.Errorf("sent again, %s: %q, not %q", block, got, value)
		}
	}
	b.Type("\x1b")
	b.Gone("#modal")

	// Cancelled, the app is told where it asked for that.
	b.Click(".main textarea")
	b.Type("/env create\r")
	b.Text("#modal h2", "New environment")
	b.Type("\x1b")
	b.Gone("#modal")
	if c := receive(t, closed); c.View.CallbackID != "create" || c.IsCleared {
		t.Errorf("%+v", c)
	}
	content(t, b)
}

func receive(t *testing.T, from chan slack.InteractionCallback) slack.InteractionCallback {
	t.Helper()
	select {
	case c := <-from:
		return c
	case <-ctxOf(t).Done():
		t.Fatal("the app was not told")
		return slack.InteractionCallback{}
	}
}

// filled is what a field holds.
func filled(a slack.BlockAction) string {
	var several []string
	for _, o := range a.SelectedOptions {
		several = append(several, o.Value)
	}
	for _, v := range []string{a.Value, a.SelectedOption.Value, a.SelectedUser, a.SelectedDate} {
		if v != "" {
			return v
		}
	}
	return strings.Join(several, ",")
}

// TestPageConversation: people write, answer in threads, invite, and see what
// changes while they look.
func TestPageConversation(t *testing.T) {
	t.Parallel()
	browser.Find(t)
	fake := newFake(t, unlimited)
	acted := make(chan slack.InteractionCallback, 10)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any {
		if data, ok := e.Data.(slack.InteractionCallback); ok {
			acted <- data
		}
		return nil
	})
	b := openPage(t, fake)
	type_ := func(text string) {
		t.Helper()
		b.Click(".main textarea")
		b.Type(text + "\r")
	}

	// A card: every kind of thing to use, told with who used it.
	confirm := slack.NewConfirmationBlockObject(plain("Sure?"), mrkdwn("*All* of it."), plain("Do it"), plain("No"))
	danger := slack.NewButtonBlockElement("end", "qa", plain("End")).WithStyle(slack.StyleDanger).WithConfirm(confirm)
	more := slack.NewOverflowBlockElement("more", slack.NewOptionBlockObject("log", plain("Show log"), nil), slack.NewOptionBlockObject("why", plain("Explain"), nil))
	size := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plain("Size"), "size", slack.NewOptionBlockObject("s", plain("Small"), nil), slack.NewOptionBlockObject("l", plain("Large"), nil))
	blocks := []slack.Block{slack.NewHeaderBlock(plain("qa <b>")), slack.NewSectionBlock(nil, []*slack.TextBlockObject{mrkdwn("*Owner*\n<@U0MARIA>"), mrkdwn("*Ends*\nsoon")}, nil),
		slack.NewDividerBlock(), slack.NewContextBlock("", mrkdwn("12 s so far")), slack.NewActionBlock("do", danger, more, size)}
	_, card, err := a.PostMessage(dev, slack.MsgOptionText("qa", false), slack.MsgOptionBlocks(blocks...))
	if err != nil {
		t.Fatal(err)
	}
	b.Text("h3", "qa <b>")
	b.ClickText(".message", "End")
	b.Text("#question strong", "All")
	b.ClickText("#question", "No")
	b.ClickText(".message", "End")
	b.ClickText("#question", "Do it")
	if c := receive(t, acted); c.ActionCallback.BlockActions[0].Value != "qa" || c.User.ID != maria || c.Message.Timestamp != card {
		t.Errorf("%+v", c)
	}
	b.ClickText(".message", "⋯")
	b.ClickText(".message", "Explain")
	if c := receive(t, acted); c.ActionCallback.BlockActions[0].SelectedOption.Value != "why" {
		t.Errorf("%+v", c)
	}
	b.Click(`.message input[aria-label="Size"]`)
	b.ClickText(".message", "Large")
	if c := receive(t, acted); c.ActionCallback.BlockActions[0].SelectedOption.Value != "l" {
		t.Errorf("%+v", c)
	}

	// It is edited while it is looked at; what has the focus keeps it.
	b.Eval(`document.querySelector('[data-key="do end"]').focus()`)
	if _, _, _, err := a.UpdateMessage(dev, card, slack.MsgOptionText("qa is ready", false), slack.MsgOptionBlocks(append([]slack.Block{slack.NewHeaderBlock(plain("qa is ready"))}, blocks[1:]...)...)); err != nil {
		t.Fatal(err)
	}
	b.Text("h3", "qa is ready")
	b.Text(".by", "(edited)")
	b.Wait(`() => document.activeElement.dataset.key === "do end"`)

	// A thread, with a file in it.
	if _, err := a.UploadFileContext(ctxOf(t), slack.UploadFileParameters{Content: "line 1\nline 2 <b>\n", FileSize: 18, Filename: "qa.log", Title: "Log of qa", Channel: dev, ThreadTimestamp: card}); err != nil {
		t.Fatal(err)
	}
	b.Text(".replies", "1 reply")
	b.Click(".replies")
	b.Text(".side .file", "Log of qa")
	b.Text(".side .file pre", "line 2 <b>")
	b.Wait(`async () => (await (await fetch(document.querySelector(".side .file a[download]").href)).text()).startsWith("line 1")`)
	b.Click(".side textarea")
	b.Type("/env list\r")
	b.Text(".side .message.private", "not supported in threads")
	// What was not sent stays to be mended.
	b.Wait(`() => document.querySelector(".side textarea").value === "/env list"`)
	b.Eval(`document.querySelector(".side textarea").select()`)
	b.Type("thanks\r")
	b.Text(".replies", "2 replies")
	b.Type("\x1b")
	b.Gone(".side")

	// Slack's own words, and its own commands.
	type_("/enx list")
	b.Text(".message.private", "/enx is not a valid command")
	b.Click(".sidebar .item[data-key=open]")
	b.Text("h1", "open")
	type_("@berth hello")
	b.Text(".message.private", "not in this channel")
	type_("/invite @berth")
	b.Text(".message.private", "can read and write here now")
	if i := slices.IndexFunc(fake.Channels(), func(c slackfake.Channel) bool { return c.ID == "C0OPEN" }); !slices.Contains(fake.Channels()[i].Members, fake.BotUserID()) {
		t.Error("berth was not invited")
	}

	// People write to one another, and see what is new.
	b.ClickText(".sidebar", "Jonas")
	b.Text("h1", "Jonas")
	type_("hello")
	b.Text(".message", "hello")
	b.Click(`.face[data-key=U0JONAS]`)
	b.Text(".sidebar .item.unread", "Maria")
	b.ClickText(".sidebar", "Maria, 1 new")
	b.Text(".message", "hello")
	b.Gone(".sidebar .item.unread[data-key=Maria]")
	content(t, b)
}

// TestPageNarrow: on a telephone's width everything is there, one thing at a
// time, and nothing is cut off.
func TestPageNarrow(t *testing.T) {
	t.Parallel()
	browser.Find(t)
	fake := newFake(t, unlimited)
	api := client(fake)
	long := strings.Repeat("a-very-long-name-", 12)
	for i := range 30 {
		_, _, err := api.PostMessage(dev, slack.MsgOptionText(fmt.Sprint("message ", i), false), slack.MsgOptionBlocks(
			slack.NewSectionBlock(mrkdwn(long+" `"+long+"`"), nil, nil), slack.NewContextBlock("", mrkdwn(fmt.Sprint("number ", i)))))
		if err != nil {
			t.Fatal(err)
		}
	}
	b := openPage(t, fake)
	atEnd := `() => { const l = document.querySelector(".main .list"); return l.scrollHeight - l.scrollTop - l.clientHeight < 2; }`
	b.Text(".message", "number 29")
	b.Wait(atEnd)
	b.Resize(390, 640)
	b.Wait(`() => document.body.classList.contains("narrow")`)
	b.Eval(`new Promise(requestAnimationFrame)`)
	b.Wait(atEnd)
	fits := `() => document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll(".main .list")].every((e) => e.scrollWidth <= e.clientWidth)`
	b.Wait(fits)
	b.Gone(".sidebar .item")
	b.Click(".opener")
	b.ClickText(".sidebar", "open")
	b.Text("h1", "open")
	b.Gone(".sidebar .item")
	b.Wait(fits)
	content(t, b)
}

// TestPageGoesOn: a page that lost its server goes on when that is back.
func TestPageGoesOn(t *testing.T) {
	t.Parallel()
	browser.Find(t)
	fake := newFake(t, unlimited)
	b := openPage(t, fake)
	if err := fake.SetOutage(slackfake.Refused); err != nil {
		t.Fatal(err)
	}
	b.Text("#status", "not there")
	if err := fake.SetOutage(slackfake.NoOutage); err != nil {
		t.Fatal(err)
	}
	must(fake.User(jonas).Message(ctxOf(t), dev, "are you back?", ""))
	b.Text(".message", "are you back?")
	b.Gone("#status")
}
