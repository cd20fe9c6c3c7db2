package slackfake_test

import (
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

func TestMessagesOfTheClient(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	_, ts, err := api.PostMessage(dev,
		slack.MsgOptionText("Building qa", false),
		slack.MsgOptionBlocks(slack.NewSectionBlock(mrkdwn("Building *qa*"), nil, nil), slack.NewActionBlock("", slack.NewButtonBlockElement("retry", "qa", plain("Retry")))),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "card", EventPayload: map[string]any{"operation": "op1"}}))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := fake.Message(dev, ts)
	if b, ok := m.Button("Retry"); !ok || b.Value != "qa" || b.BlockID == "" || m.Metadata["event_type"] != "card" || m.User != fake.BotUserID() {
		t.Fatalf("%+v", m)
	}
	if _, _, _, err := api.UpdateMessage(dev, ts, slack.MsgOptionText("qa is ready", false)); err != nil {
		t.Fatal(err)
	}
	if m, _ = fake.Message(dev, ts); len(m.Blocks) != 0 || m.Text != "qa is ready" || m.Edits != 1 || m.EditedTS == "" {
		t.Errorf("text without blocks deletes blocks: %+v", m)
	}
	if _, _, _, err = api.UpdateMessage(dev, ts, slack.MsgOptionText("t", false), slack.MsgOptionBlocks(slack.NewDividerBlock())); err != nil {
		t.Fatal(err)
	}
	_, reply, err := api.PostMessage(dev, slack.MsgOptionText("log", false), slack.MsgOptionTS(ts), slack.MsgOptionBroadcast())
	if err != nil {
		t.Fatal(err)
	}
	replies, more, _, err := api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: dev, Timestamp: ts, IncludeAllMetadata: true})
	if err != nil || more || len(replies) != 2 || replies[1].Timestamp != reply || replies[0].ReplyCount != 1 || replies[0].Metadata.EventType != "card" {
		t.Fatalf("%+v %v", replies, err)
	}
	history, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: dev, Limit: 1})
	if err != nil || len(history.Messages) != 1 || history.Messages[0].Timestamp != reply || !history.HasMore || history.ResponseMetaData.NextCursor == "" {
		t.Fatalf("%+v %v", history, err)
	}
	link, err := api.GetPermalink(&slack.PermalinkParameters{Channel: dev, Ts: ts})
	if err != nil || !strings.HasSuffix(link, "/archives/"+dev+"/p"+strings.ReplaceAll(ts, ".", "")) {
		t.Error(link, err)
	}
	if _, _, err := api.DeleteMessage(dev, reply); err != nil || len(fake.Thread(dev, ts)) != 1 {
		t.Error(err, fake.Thread(dev, ts))
	}
	// A thread whose parent is gone: the message appears outside of it.
	_, _, orphan, err := api.PostMessageWithResponse(dev, slack.MsgOptionText("late", false), slack.MsgOptionTS(reply))
	if err != nil || orphan.ThreadTimestamp != "" {
		t.Error(orphan, err)
	}
	// Of several clients of one second, no two messages are alike.
	seen := map[string]bool{}
	for range 20 {
		_, ts, err := api.PostMessage(dev, slack.MsgOptionText("x", false))
		if err != nil || seen[ts] {
			t.Fatal(ts, err)
		}
		seen[ts] = true
	}
}

func TestWhatMessagesMeet(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	ts := func(channel string) string {
		_, ts, err := api.PostMessage(channel, slack.MsgOptionText("t", false))
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	text := slack.MsgOptionText("t", false)
	post := func(channel string) error { _, _, err := api.PostMessage(channel, text); return err }
	update := func(channel, ts string, o ...slack.MsgOption) error {
		_, _, _, err := api.UpdateMessage(channel, ts, o...)
		return err
	}
	ephemeral := func(channel, user string) error { _, err := api.PostEphemeral(channel, user, text); return err }
	mine := ts(dev)
	theirs := must(fake.User(maria).Message(t.Context(), dev, "hello", "")).Message
	private, err := api.PostEphemeral(dev, maria, text)
	if err != nil || len(fake.Ephemerals(maria)) != 1 || len(fake.Ephemerals(jonas)) != 0 {
		t.Fatal(err)
	}
	if post("C0OPEN") != nil {
		t.Error("chat:write.public does not let post to a public channel")
	}
	fake.SetScopes("chat:write", "channels:read", "im:write")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"public without scope":      {post("C0OPEN"), "not_in_channel"},
		"private":                   {post(secret), "channel_not_found"},
		"unknown":                   {post("C0NONE"), "channel_not_found"},
		"archived":                  {post("C0OLD"), "is_archived"},
		"deactivated":               {post("U0GONE"), "user_disabled"},
		"person":                    {post(jonas), ""},
		"other's message":           {update(dev, theirs.TS, text), "cant_update_message"},
		"no message":                {update(dev, "1700000000.000001", text), "message_not_found"},
		"ephemeral":                 {update(dev, private, text), "message_not_found"},
		"nothing to say":            {update(dev, mine), "no_text"},
		"hidden channel":            {update(secret, mine, text), "channel_not_found"},
		"ephemeral to outsider":     {ephemeral(dev, "U0OTHER"), "user_not_in_channel"},
		"ephemeral to nobody":       {ephemeral(dev, "U0NONE"), "user_not_found"},
		"ephemeral where not there": {ephemeral("C0OPEN", maria), "not_in_channel"},
		"delete other's":            {second(api.DeleteMessage(dev, theirs.TS)), "cant_delete_message"},
		"history without scope":     {last(api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: dev})), "missing_scope"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
	if dm := fake.DM(jonas); len(dm) != 1 {
		t.Errorf("a user's ID stands for their conversation: %v", dm)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }
func last[A any](_ A, err error) error           { return err }

func TestMentions(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	for name, c := range map[string]struct {
		options []slack.MsgOption
		want    string
	}{
		"everybody":     {[]slack.MsgOption{slack.MsgOptionText("<!channel> <!here|here> <!everyone>", false)}, "channel everyone here"},
		"escaped":       {[]slack.MsgOption{slack.MsgOptionText("<!channel> <@"+maria+">", true)}, ""},
		"person":        {[]slack.MsgOption{slack.MsgOptionText("<@"+maria+"> <@U0NONE>", false)}, "user:" + maria},
		"group":         {[]slack.MsgOption{slack.MsgOptionText("<!subteam^S0OPS|@ops>", false)}, "group:S0OPS"},
		"bare":          {[]slack.MsgOption{slack.MsgOptionText("@channel @maria", false)}, ""},
		"linked names":  {[]slack.MsgOption{slack.MsgOptionText("@here @maria @ops", false), slack.MsgOptionLinkNames(true)}, "group:S0OPS here user:" + maria},
		"parsed fully":  {[]slack.MsgOption{slack.MsgOptionText("x @channel", false), slack.MsgOptionParse(true)}, "channel"},
		"block":         {[]slack.MsgOption{slack.MsgOptionText("t", false), slack.MsgOptionBlocks(slack.NewSectionBlock(mrkdwn("<!channel>"), nil, nil))}, "channel"},
		"plain block":   {[]slack.MsgOption{slack.MsgOptionText("t", false), slack.MsgOptionBlocks(slack.NewSectionBlock(plain("<!channel>"), nil, nil))}, ""},
		"rich text":     {[]slack.MsgOption{slack.MsgOptionText("t", false), slack.MsgOptionBlocks(slack.NewRichTextBlock("", slack.NewRichTextSection(slack.NewRichTextSectionBroadcastElement("here"))))}, "here"},
		"date, no ping": {[]slack.MsgOption{slack.MsgOptionText("<!date^1700000000^{date}|then>", false)}, ""},
	} {
		before := len(fake.Notifications())
		_, ts, err := api.PostMessage(dev, c.options...)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := kinds(fake.Notifications()[before:]); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if _, _, _, err := api.UpdateMessage(dev, ts, c.options...); err != nil {
			t.Fatal(name, err)
		}
		for _, n := range fake.Notifications()[before:] {
			if n.Quiet != (n.Message.Edits > 0) {
				t.Errorf("%s: edits call nobody, new messages do: %+v", name, n)
			}
		}
	}
}

func kinds(all []slackfake.Notification) string {
	var out []string
	for _, n := range all {
		k := n.Kind
		if n.Target != "" {
			k += ":" + n.Target
		}
		out = append(out, k)
	}
	return strings.Join(out, " ")
}

func TestFiles(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	api := client(fake)
	_, card, err := api.PostMessage(dev, slack.MsgOptionText("card", false))
	if err != nil {
		t.Fatal(err)
	}
	upload := func(channel string, size int) error {
		_, err := api.UploadFile(slack.UploadFileParameters{
			Channel: channel, ThreadTimestamp: card, Filename: "salt.log", Title: "Salt's log", InitialComment: "The whole log", Content: "line 1\nline 2\n", FileSize: size,
		})
		return err
	}
	if err := upload(dev, 14); err != nil {
		t.Fatal(err)
	}
	thread := fake.Thread(dev, card)
	if len(thread) != 2 || len(thread[1].Files) != 1 || string(thread[1].Files[0].Content) != "line 1\nline 2\n" || thread[1].Text != "The whole log" || thread[1].Files[0].Title != "Salt's log" {
		t.Fatalf("%+v", thread)
	}
	var b strings.Builder
	if err := api.GetFile(thread[1].Files[0].URL, &b); err != nil || b.String() != "line 1\nline 2\n" {
		t.Error(err, b.String())
	}
	if err := upload("C0OPEN", 14); err == nil || !strings.Contains(err.Error(), "not_in_channel") {
		t.Error("files where the bot is not a member:", err)
	}
	if err := upload(dev, 15); err == nil {
		t.Error("another length than announced")
	}
	fake.SetScopes("chat:write")
	if err := upload(dev, 14); err == nil || !strings.Contains(err.Error(), "missing_scope") {
		t.Error(err)
	}
}
