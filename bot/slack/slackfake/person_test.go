package slackfake_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

func TestEventsOfMessages(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	got := make(chan any, 20)
	a := startApp(t, fake, func(_ *app, e socketmode.Event) any {
		got <- e.Data.(slackevents.EventsAPIEvent).InnerEvent.Data
		return nil
	})
	user := fake.User(maria)
	parent := must(user.Message(ctxOf(t), dev, "nothing for the bot", "")).Message
	must(user.Message(ctxOf(t), dev, "@berth env create qa", parent.TS))
	if e := (<-got).(*slackevents.AppMentionEvent); e.ThreadTimeStamp != parent.TS || e.Channel != dev || e.User != maria || e.Text != "<@"+fake.BotUserID()+"> env create qa" || e.EventTimeStamp == "" || len(e.Blocks.BlockSet) != 1 {
		t.Errorf("%+v", e)
	}
	im := fake.IM(maria)
	must(user.Message(ctxOf(t), im, "env list", ""))
	if e := (<-got).(*slackevents.MessageEvent); !e.IsIM() || e.Channel != im || e.Text != "env list" || e.BotID != "" {
		t.Errorf("%+v", e)
	}
	// The app hears itself there, and its edits.
	_, ts, err := a.PostMessage(im, slack.MsgOptionText("none", false))
	if err != nil {
		t.Fatal(err)
	}
	if e := (<-got).(*slackevents.MessageEvent); e.BotID == "" || e.User != fake.BotUserID() {
		t.Errorf("%+v", e)
	}
	if _, _, _, err := a.UpdateMessage(im, ts, slack.MsgOptionText("one", false)); err != nil {
		t.Fatal(err)
	}
	if e := (<-got).(*slackevents.MessageEvent); e.SubType != "message_changed" || e.Message.Text != "one" || e.PreviousMessage.Text != "none" {
		t.Errorf("%+v", e)
	}
	// Where the app is no member, Slack says so.
	o := must(user.Message(ctxOf(t), "C0OPEN", "@berth help", ""))
	if all := fake.Ephemerals(maria); o.Failure != "not_in_channel" || len(all) != 1 || !strings.Contains(all[0].Text, "not in this channel") {
		t.Error(o, all)
	}
	if err := fake.Join("C0OPEN", slackfake.BotUser); err != nil {
		t.Fatal(err)
	}
	must(user.Message(ctxOf(t), "C0OPEN", "@berth help", ""))
	if e := (<-got).(*slackevents.AppMentionEvent); e.Channel != "C0OPEN" {
		t.Errorf("%+v", e)
	}
	if len(got) != 0 {
		t.Errorf("%d events too many", len(got))
	}
}

func TestWhatPeopleCannotDo(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	if err := fake.Join(dev, "U0OTHER"); err != nil {
		t.Fatal(err)
	}
	ctx := ctxOf(t)
	says := func(o *slackfake.Outcome, err error) string {
		if err != nil {
			return err.Error()
		}
		return o.Failure
	}
	for name, c := range map[string]struct{ got, want string }{
		"unknown command": {says(fake.User(maria).Command(ctx, dev, "/foo", "")), "not a valid command"},
		"in a thread":     {says(fake.User(maria).CommandInThread(ctx, dev, "1", "/env", "")), "not supported in threads"},
		"stranger":        {says(fake.User("U0OTHER").Command(ctx, dev, "/env", "")), "not a valid command"},
		"archived":        {says(fake.User(maria).Command(ctx, "C0OLD", "/env", "")), "archived"},
		"no connection":   {says(fake.User(maria).Command(ctx, dev, "/env", "")), slackfake.DispatchFailed},
		"no member":       {says(fake.User(jonas).Command(ctx, secret, "/env", "")), "not a member"},
		"deactivated":     {says(fake.User("U0GONE").Message(ctx, dev, "x", "")), "deactivated"},
		"nobody":          {says(fake.User("U0NONE").Message(ctx, dev, "x", "")), "no user"},
		"no thread":       {says(fake.User(maria).Message(ctx, dev, "x", "1700000000.000001")), "no message"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

func TestPeopleAndConversations(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	u, err := api.GetUserByEmail("MARIA@example.com")
	if err != nil || u.ID != maria || u.Profile.Email != "maria@example.com" || u.RealName != "Maria" || u.TZ == "" {
		t.Errorf("%+v %v", u, err)
	}
	for email, want := range map[string]string{"gone@example.com": "users_not_found", "other@example.org": "users_not_found", "x@example.com": "users_not_found", "": "users_not_found"} {
		if _, err := api.GetUserByEmail(email); code(err) != want {
			t.Errorf("%s: %v", email, err)
		}
	}
	if u, err := api.GetUserInfo("U0OTHER"); err != nil || !u.IsStranger || u.TeamID != "T0OTHER" || u.Profile.Email != "" {
		t.Errorf("%+v %v", u, err)
	}
	if u, err := api.GetUserInfo("U0GONE"); err != nil || !u.Deleted {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := api.GetUserInfo("U0NONE"); code(err) != "user_not_found" {
		t.Error(err)
	}
	if all, err := api.GetUsers(slack.GetUsersOptionLimit(2)); err != nil || len(all) != 6 {
		t.Error(len(all), err)
	}
	groups, err := api.GetUserGroups(slack.GetUserGroupsOptionIncludeUsers(true))
	if err != nil || len(groups) != 1 || groups[0].Handle != "ops" || groups[0].Users[0] != jonas {
		t.Error(groups, err)
	}
	if ids, err := api.GetUserGroupMembers("S0OPS"); err != nil || len(ids) != 1 {
		t.Error(ids, err)
	}
	if _, err := api.GetUserGroupMembers("S0NONE"); code(err) != "no_such_subteam" {
		t.Error(err)
	}
	open := func(user string) error {
		_, _, _, err := api.OpenConversation(&slack.OpenConversationParameters{Users: []string{user}})
		return err
	}
	ch, _, _, err := api.OpenConversation(&slack.OpenConversationParameters{Users: []string{maria}, ReturnIM: true})
	if err != nil || ch.ID != fake.IM(maria) || !ch.IsIM || ch.User != maria {
		t.Errorf("%+v %v", ch, err)
	}
	if code(open("U0GONE")) != "user_disabled" || code(open("U0NONE")) != "user_not_found" || code(open(fake.BotUserID())) != "cannot_dm_bot" {
		t.Error(open("U0GONE"), open("U0NONE"))
	}
	info := func(id string) (*slack.Channel, error) {
		return api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: id})
	}
	if ch, err := info(dev); err != nil || !ch.IsMember || ch.Name != "dev" || ch.IsPrivate {
		t.Errorf("%+v %v", ch, err)
	}
	if ch, err := info("C0OPEN"); err != nil || ch.IsMember {
		t.Errorf("%+v %v", ch, err)
	}
	if _, err := info(secret); code(err) != "channel_not_found" {
		t.Error("a private channel is seen by its members alone:", err)
	}
	if err := fake.Join(secret, slackfake.BotUser); err != nil {
		t.Fatal(err)
	}
	if ch, err := info(secret); err != nil || !ch.IsPrivate || !ch.IsMember {
		t.Errorf("%+v %v", ch, err)
	}
	all, _, err := api.GetConversations(&slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true})
	if err != nil || len(all) != 3 {
		t.Error(all, err)
	}
	if ids, _, err := api.GetUsersInConversation(&slack.GetUsersInConversationParameters{ChannelID: dev}); err != nil || len(ids) != 3 {
		t.Error(ids, err)
	}
}

func TestSubscribeAndWait(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	sub := fake.Subscribe()
	defer sub.Stop()
	if _, _, err := client(fake).PostMessage(dev, slack.MsgOptionText("t", false)); err != nil {
		t.Fatal(err)
	}
	found := false
	for !found {
		changes, err := sub.Next(ctxOf(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			found = found || c.Kind == "message" && c.Channel == dev && c.TS == fake.Messages(dev)[0].TS
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := fake.Wait(ctx, func() bool { return false })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "chat.postMessage") {
		t.Errorf("it does not tell what happened instead: %v", err)
	}
	calls := fake.Calls("chat.postMessage")
	if len(calls) != 1 || calls[0].Request["text"] != "t" || strings.Contains(calls[0].String(), "xoxb") {
		t.Errorf("%+v", calls)
	}
	sub.Stop()
	if _, err := sub.Next(ctxOf(t)); err == nil {
		t.Error("it goes on after its end")
	}
}
