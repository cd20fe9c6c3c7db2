package slackfake_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// form is a modal as an app would open it.
func form(title string) slack.ModalViewRequest {
	branch := slack.NewOptionsSelectBlockElement(slack.OptTypeExternal, plain("Branch"), "branch")
	least := 1
	branch.MinQueryLength = &least
	size := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plain("Size"), "size",
		slack.NewOptionBlockObject("s", plain("Small"), nil), slack.NewOptionBlockObject("l", plain("Large"), nil))
	size.InitialOption = slack.NewOptionBlockObject("s", plain("Small"), nil)
	apps := slack.NewCheckboxGroupsBlockElement("apps", slack.NewOptionBlockObject("api", plain("api"), nil), slack.NewOptionBlockObject("web", plain("web"), nil))
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plain(title), Submit: plain("Create"), Close: plain("Cancel"), CallbackID: "create", PrivateMetadata: "m", NotifyOnClose: true,
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			slack.NewInputBlock("name", plain("Name"), nil, slack.NewPlainTextInputBlockElement(plain("qa"), "name").WithMinLength(2)),
			slack.NewInputBlock("branch", plain("Branch"), nil, branch),
			slack.NewInputBlock("size", plain("Size"), nil, size),
			slack.NewInputBlock("apps", plain("Apps"), nil, apps).WithOptional(true),
		}},
	}
}

func TestModal(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	submissions := make(chan slack.InteractionCallback, 10)
	closed := make(chan slack.InteractionCallback, 10)
	answers := make(chan any, 10)
	startApp(t, fake, func(a *app, e socketmode.Event) any {
		switch data := e.Data.(type) {
		case slack.SlashCommand:
			if _, err := a.OpenView(data.TriggerID, form("New environment")); err != nil {
				t.Error(err)
			}
		case slack.InteractionCallback:
			switch data.Type {
			case slack.InteractionTypeBlockSuggestion:
				var options []*slack.OptionBlockObject
				for _, b := range []string{"main", "feature/login"} {
					if strings.Contains(b, data.Value) {
						options = append(options, slack.NewOptionBlockObject(b, plain(b), nil))
					}
				}
				return slack.OptionsResponse{Options: options}
			case slack.InteractionTypeViewSubmission:
				submissions <- data
				return <-answers
			case slack.InteractionTypeViewClosed:
				closed <- data
			}
		}
		return nil
	})
	user := fake.User(maria)
	open := func() slackfake.View {
		t.Helper()
		o := must(user.Command(ctxOf(t), dev, "/env", "create"))
		return must(o.Modal(ctxOf(t)))
	}
	v := open()
	if v.Title != "New environment" || v.Submit != "Create" || len(v.Elements()) != 4 || v.Hash == "" {
		t.Fatalf("%+v", v)
	}

	// What Slack itself does not let pass never reaches the app.
	o := must(user.FillAndSubmit(ctxOf(t), v, slackfake.Values{"Name": "q"}))
	if o.Fields["name"] == "" || o.Fields["branch"] == "" || o.Fields["size"] != "" || o.Fields["apps"] != "" || len(submissions) != 0 {
		t.Fatalf("%+v, %d submissions", o.Fields, len(submissions))
	}
	s := must(user.SuggestOptions(ctxOf(t), v, "branch", "log"))
	if len(s.Options) != 1 || s.Options[0].Value != "feature/login" {
		t.Fatalf("%+v", s)
	}
	if s = must(user.SuggestOptions(ctxOf(t), v, "branch", "none")); len(s.Options) != 0 || s.Failure != "" {
		t.Errorf("%+v", s)
	}
	if _, err := user.FillAndSubmit(ctxOf(t), v, slackfake.Values{"branch": "nothing"}); err == nil {
		t.Error("chose what was not offered")
	}

	// Errors at fields, shown until the form is sent again.
	answers <- slack.NewErrorsViewSubmissionResponse(map[string]string{"name": "qa is taken"})
	o = must(user.FillAndSubmit(ctxOf(t), v, slackfake.Values{"Name": "qa", "branch": "feature/login", "apps": []string{"api", "web"}}))
	if o.Fields["name"] != "qa is taken" || fake.Modal(maria).Errors["name"] != "qa is taken" {
		t.Fatalf("%+v", o)
	}
	got := <-submissions
	values := got.View.State.Values
	if values["name"]["name"].Value != "qa" || values["branch"]["branch"].SelectedOption.Value != "feature/login" || values["size"]["size"].SelectedOption.Value != "s" ||
		len(values["apps"]["apps"].SelectedOptions) != 2 || got.View.CallbackID != "create" || got.View.PrivateMetadata != "m" || got.TriggerID == "" || got.User.ID != maria {
		t.Fatalf("%+v", got)
	}
	// Errors at what is no field: Slack shows trouble.
	answers <- slack.NewErrorsViewSubmissionResponse(map[string]string{"elsewhere": "no"})
	if o = must(user.Submit(ctxOf(t), v)); o.Failure != slackfake.TroubleConnecting {
		t.Errorf("%+v", o)
	}
	// Another view in its place keeps what was typed.
	next := form("Really?")
	answers <- slack.NewUpdateViewSubmissionResponse(&next)
	o = must(user.Submit(ctxOf(t), v))
	if now := fake.Modal(maria); o.Failure != "" || now.Title != "Really?" || now.ID != v.ID || now.Hash == v.Hash {
		t.Fatalf("%+v %+v", o, now)
	}
	bad := form(strings.Repeat("t", 25))
	answers <- slack.NewUpdateViewSubmissionResponse(&bad)
	if o = must(user.Submit(ctxOf(t), v)); o.Failure != slackfake.TroubleConnecting {
		t.Errorf("a view that Slack refuses: %+v", o)
	}
	// On top of it, up to three.
	for range 2 {
		answers <- slack.NewPushViewSubmissionResponse(&next)
		top := *fake.Modal(maria)
		if o = must(user.FillAndSubmit(ctxOf(t), top, slackfake.Values{"Name": "qa", "branch": "main"})); o.Failure != "" {
			t.Fatalf("%+v", o)
		}
	}
	if stack := fake.Modals(maria); len(stack) != 3 || stack[2].PreviousID != stack[1].ID || stack[2].RootID != stack[0].ID {
		t.Fatalf("%+v", stack)
	}
	answers <- slack.NewPushViewSubmissionResponse(&next)
	if o = must(user.FillAndSubmit(ctxOf(t), *fake.Modal(maria), slackfake.Values{"Name": "qa", "branch": "main"})); o.Failure != slackfake.TroubleConnecting {
		t.Errorf("a fourth view: %+v", o)
	}
	if o = must(user.CloseView(ctxOf(t), *fake.Modal(maria))); o.Failure != "" || len(fake.Modals(maria)) != 2 {
		t.Error(o)
	}
	if c := <-closed; c.IsCleared || c.View.ID == "" {
		t.Errorf("%+v", c)
	}
	answers <- slack.NewClearViewSubmissionResponse()
	if must(user.Submit(ctxOf(t), *fake.Modal(maria))); fake.Modal(maria) != nil {
		t.Error("not cleared")
	}
	// No answer closes the form.
	v = open()
	answers <- nil
	if must(user.FillAndSubmit(ctxOf(t), v, slackfake.Values{"Name": "qa", "branch": "main"})); fake.Modal(maria) != nil {
		t.Error("still open")
	}
	if _, err := user.Submit(ctxOf(t), v); err == nil {
		t.Error("sent a closed form")
	}
}

func TestTriggersAndHashes(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.Clock = clock })
	triggers := make(chan string, 10)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any {
		if cmd, ok := e.Data.(slack.SlashCommand); ok {
			triggers <- cmd.TriggerID
		}
		return nil
	})
	trigger := func() string {
		must(fake.User(maria).Command(ctxOf(t), dev, "/env", ""))
		return <-triggers
	}
	open := func(id string) error { _, err := a.OpenView(id, form("T")); return err }
	late := trigger()
	clock.Advance(3*time.Second + time.Millisecond)
	once := trigger()
	clock.Advance(3 * time.Second)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"late": {open(late), "expired_trigger_id"}, "in time": {open(once), ""}, "twice": {open(once), "exchanged_trigger_id"}, "made up": {open("1.2.3"), "invalid_trigger_id"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
	v := fake.Modal(maria)
	update := func(hash, id string) error { _, err := a.UpdateView(form("U"), "", hash, id); return err }
	if err := update(v.Hash, v.ID); err != nil {
		t.Error(err)
	}
	if err := update(v.Hash, v.ID); code(err) != "hash_conflict" {
		t.Error(err)
	}
	if err := update("", "V0NONE"); code(err) != "not_found" {
		t.Error(err)
	}
	must(fake.User(maria).CloseAll(ctxOf(t), *v))
	if err := update("", v.ID); code(err) != "not_found" {
		t.Error("a closed view:", err)
	}
	if _, err := a.PushView(trigger(), form("P")); code(err) != "not_found" {
		t.Error("pushed on nothing:", err)
	}
}

func TestButtonsOnMessages(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	clicks := make(chan slack.InteractionCallback, 10)
	raws := make(chan json.RawMessage, 10)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any {
		clicks <- e.Data.(slack.InteractionCallback)
		raws <- e.Request.Payload
		return nil
	})
	ask := slack.NewConfirmationBlockObject(plain("Destroy qa?"), mrkdwn("*2 servers* go"), plain("Destroy"), plain("Keep"))
	card := slack.MsgOptionBlocks(
		slack.NewSectionBlock(mrkdwn("qa"), nil, nil),
		slack.NewActionBlock("row",
			slack.NewButtonBlockElement("destroy", "e1/7", plain("Destroy")).WithStyle(slack.StyleDanger).WithConfirm(ask),
			slack.NewButtonBlockElement("open", "", plain("Open")).WithURL("http://127.0.0.1:8080/"),
			slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plain("Extend…"), "extend", slack.NewOptionBlockObject("1d", plain("1 day"), nil)),
			slack.NewOverflowBlockElement("more", slack.NewOptionBlockObject("a", plain("A"), nil), slack.NewOptionBlockObject("b", plain("B"), nil))))
	_, ts, err := a.PostMessage(dev, slack.MsgOptionText("qa", false), card)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := fake.Message(dev, ts)
	user := fake.User(jonas)
	o := must(user.Click(ctxOf(t), m, "Destroy"))
	if o.Confirm == nil || o.Confirm.Title != "Destroy qa?" || o.Confirm.Yes != "Destroy" || o.Confirm.No != "Keep" || len(clicks) != 0 {
		t.Fatalf("not asked first: %+v", o)
	}
	if o = must(o.Yes(ctxOf(t))); o.Failure != "" {
		t.Fatal(o)
	}
	c := <-clicks
	act := c.ActionCallback.BlockActions[0]
	if act.ActionID != "destroy" || act.BlockID != "row" || act.Value != "e1/7" || act.ActionTs == "" || act.Text.Text != "Destroy" || c.User.ID != jonas ||
		c.Channel.ID != dev || c.Message.Timestamp != ts || c.Container.MessageTs != ts || c.Container.IsEphemeral || c.TriggerID == "" || c.ResponseURL == "" || c.APIAppID == "" || c.Team.ID == "" {
		t.Fatalf("%+v", c)
	}
	// The response_url of a message may replace it.
	if err := slack.PostWebhook(c.ResponseURL, &slack.WebhookMessage{Text: "gone", ReplaceOriginal: true}); err != nil {
		t.Fatal(err)
	}
	if now, _ := fake.Message(dev, ts); now.Text != "gone" || len(now.Blocks) != 0 {
		t.Errorf("%+v", now)
	}
	<-raws

	// Old buttons can be clicked as long as somebody sees them.
	if o = must(user.Click(ctxOf(t), m, "Open")); o.Opened != "http://127.0.0.1:8080/" {
		t.Error(o)
	}
	<-clicks
	<-raws
	if _, _, _, err := a.UpdateMessage(dev, ts, slack.MsgOptionText("qa", false), card); err != nil {
		t.Fatal(err)
	}
	m, _ = fake.Message(dev, ts)
	must(user.Select(ctxOf(t), m, "extend", "1 day"))
	c = <-clicks
	if act = c.ActionCallback.BlockActions[0]; act.SelectedOption.Value != "1d" || c.BlockActionState.Values["row"]["extend"].SelectedOption.Value != "1d" {
		t.Errorf("%+v", c)
	}
	<-raws
	must(user.Select(ctxOf(t), m, "more", "b"))
	if c = <-clicks; c.ActionCallback.BlockActions[0].SelectedOption.Value != "b" {
		t.Errorf("%+v", c)
	}
	<-raws
	if _, err := user.Click(ctxOf(t), m, "Explode"); err == nil || !strings.Contains(err.Error(), `"Destroy" (destroy)`) {
		t.Error(err)
	}

	// Only the one person can use what only they see; its content is not sent.
	if _, err := a.PostEphemeral(dev, maria, slack.MsgOptionText("Did you mean main?", false), slack.MsgOptionBlocks(slack.NewActionBlock("", slack.NewButtonBlockElement("run", "x", plain("Run"))))); err != nil {
		t.Fatal(err)
	}
	only := fake.Ephemerals(maria)[0]
	if _, err := user.Click(ctxOf(t), only, "Run"); err == nil {
		t.Error("somebody else clicked")
	}
	must(fake.User(maria).Click(ctxOf(t), only, "Run"))
	c = <-clicks
	if payload := <-raws; !c.Container.IsEphemeral || strings.Contains(string(payload), `"message":`) {
		t.Errorf("%s", payload)
	}
	if err := slack.PostWebhook(c.ResponseURL, &slack.WebhookMessage{Text: "Running", ReplaceOriginal: true, ResponseType: "in_channel"}); err != nil {
		t.Fatal(err)
	}
	if all := fake.Ephemerals(maria); len(all) != 1 || all[0].Text != "Running" || all[0].EphemeralTo != maria {
		t.Errorf("what one person sees never becomes everybody's: %+v", all)
	}
	if err := slack.PostWebhook(c.ResponseURL, &slack.WebhookMessage{DeleteOriginal: true}); err != nil || len(fake.Ephemerals(maria)) != 0 {
		t.Error(err, fake.Ephemerals(maria))
	}
}

func TestResponseURLs(t *testing.T) {
	t.Parallel()
	clock := slackfake.NewManualClock(time.Time{})
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	urls := make(chan string, 10)
	startApp(t, fake, func(_ *app, e socketmode.Event) any { urls <- e.Data.(slack.SlashCommand).ResponseURL; return nil })
	use := func(url string, m slack.WebhookMessage) error { return slack.PostWebhook(url, &m) }
	o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", ""))
	url := <-urls
	if err := use(url, slack.WebhookMessage{Text: "t", Blocks: &slack.Blocks{BlockSet: []slack.Block{slack.NewHeaderBlock(mrkdwn("h"))}}}); err == nil {
		t.Error("blocks that Slack refuses")
	}
	for i := range 4 {
		if err := use(url, slack.WebhookMessage{Text: "t", ReplaceOriginal: i == 1}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.Answers()); n != 4 {
		t.Errorf("%d answers: the slash command's own message cannot be replaced", n)
	}
	if err := use(url, slack.WebhookMessage{Text: "t"}); err == nil {
		t.Error("used six times")
	}
	must(fake.User(maria).Command(ctxOf(t), dev, "/env", ""))
	url = <-urls
	clock.Advance(30 * time.Minute)
	if err := use(url, slack.WebhookMessage{Text: "t"}); err != nil {
		t.Error(err)
	}
	clock.Advance(time.Second)
	if err := use(url, slack.WebhookMessage{Text: "t"}); err == nil {
		t.Error("used after 30 minutes")
	}
	var errs []string
	for _, e := range fake.Transcript() {
		if e.Kind == "hook" && e.Err != "" {
			errs = append(errs, e.Err)
		}
	}
	if strings.Join(errs, " ") != "invalid_blocks used_url expired_url" {
		t.Error(errs)
	}
}

func TestHome(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	events := make(chan any, 10)
	home := func(text string) slack.HomeTabViewRequest {
		return slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: []slack.Block{
			slack.NewSectionBlock(mrkdwn(text), nil, slack.NewAccessory(slack.NewButtonBlockElement("extend", "e1", plain("Extend")))),
		}}}
	}
	a := startApp(t, fake, func(a *app, e socketmode.Event) any {
		switch data := e.Data.(type) {
		case slackevents.EventsAPIEvent:
			opened := data.InnerEvent.Data.(*slackevents.AppHomeOpenedEvent)
			if _, err := a.PublishView(opened.User, home("Nothing yet"), ""); err != nil {
				t.Error(err)
			}
			events <- opened
		case slack.InteractionCallback:
			events <- data
		}
		return nil
	})
	user := fake.User(maria)
	must(user.OpenHome(ctxOf(t)))
	if e := (<-events).(*slackevents.AppHomeOpenedEvent); e.Tab != "home" || e.Channel != fake.IM(maria) || e.View != nil {
		t.Errorf("%+v", e)
	}
	v := fake.Home(maria)
	if v == nil || !strings.Contains(v.Shown(), "Nothing yet") || fake.Home(jonas) != nil {
		t.Fatalf("%+v", v)
	}
	must(user.Click(ctxOf(t), v, "Extend"))
	if c := (<-events).(slack.InteractionCallback); c.View.ID != v.ID || c.Container.ViewID != v.ID || c.View.Type != slack.VTHomeTab || c.ResponseURL != "" {
		t.Errorf("%+v", c)
	}
	if _, err := a.PublishView(maria, home("qa"), v.Hash); err != nil {
		t.Error(err)
	}
	if _, err := a.PublishView(maria, home("old"), v.Hash); code(err) != "hash_conflict" {
		t.Error(err)
	}
	must(user.OpenHome(ctxOf(t)))
	if e := (<-events).(*slackevents.AppHomeOpenedEvent); e.View == nil || e.View.ID != v.ID {
		t.Errorf("%+v", e)
	}
}

func TestShortcuts(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	got := make(chan slack.InteractionCallback, 2)
	a := startApp(t, fake, func(a *app, e socketmode.Event) any { got <- e.Data.(slack.InteractionCallback); return nil })
	must(fake.User(maria).Shortcut(ctxOf(t), "new"))
	if c := <-got; c.Type != slack.InteractionTypeShortcut || c.CallbackID != "new" || c.TriggerID == "" {
		t.Errorf("%+v", c)
	}
	_, ts, err := a.PostMessage(dev, slack.MsgOptionText("t", false))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := fake.Message(dev, ts)
	must(fake.User(maria).MessageAction(ctxOf(t), m, "why"))
	if c := <-got; c.Type != slack.InteractionTypeMessageAction || c.Message.Timestamp != ts || c.MessageTs != ts || c.ResponseURL == "" || c.Channel.ID != dev {
		t.Errorf("%+v", c)
	}
}
