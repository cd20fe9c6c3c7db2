package slack

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
)

// place is where somebody asked, and so where they are answered.
type place struct {
	Channel string `json:"channel,omitempty"`
	User    string `json:"user"`
	Thread  string `json:"thread,omitempty"`
	// ResponseURL answers five times within half an hour of At.
	ResponseURL string    `json:"response_url,omitempty"`
	At          time.Time `json:"at"`
	// Direct says that Channel is the person's own conversation with Berth.
	Direct bool `json:"direct,omitempty"`
	// Replace says that an answer takes the place of the message whose button
	// was pressed: one that only this person sees.
	Replace bool `json:"-"`
	// Key is the delivery's: an answer is known by it.
	Key string `json:"-"`
}

// mark is what an answer to somebody who asked there is known by.
func (p place) mark() mark { return mark{key: p.Key, since: p.At} }

// responseURLLives is how long Slack takes answers there.
const responseURLLives = 29 * time.Minute

func (p place) json() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a time: they cannot fail
	}
	return b
}

func (s *Slack) render(v view.View) blocks.Message {
	return blocks.Render(v, s.options())
}

// options say how people are called here, and how commands are typed.
func (s *Slack) options() blocks.Options {
	return blocks.Options{Person: s.people.idOf, Env: s.EnvCommand, Server: s.ServerCommand}
}

// reply answers a person: for them alone, or for everybody in the conversation
// when the view is public. What Slack does not take as it looks is said in plain
// text.
func (s *Slack) reply(ctx context.Context, p place, v view.View) error {
	m := s.render(v)
	err := s.say(ctx, p, v.Public, m)
	if unshowable(err) {
		s.Log.Error("Slack does not take an answer as it looks; its text alone is sent", "text", m.Text, "error", err)
		err = s.say(ctx, p, v.Public, plain(m))
	}
	return err
}

// plain is a message without its looks.
func plain(m blocks.Message) blocks.Message { return blocks.Message{Text: blocks.Clip(m.Text, 3000)} }

// say sends an answer by the first way that is open.
func (s *Slack) say(ctx context.Context, p place, public bool, m blocks.Message) error {
	if public && p.Channel != "" && !p.Replace {
		err := s.post(ctx, p.Channel, p.Thread, m, p.mark())
		if !elsewhere(err) {
			return err
		}
	}
	if p.ResponseURL != "" && s.Now().Sub(p.At) < responseURLLives {
		err := s.respondTo(ctx, p.ResponseURL, m, p.Replace)
		if err == nil {
			return nil
		}
		var status slackgo.StatusCodeError
		if !errors.As(err, &status) || status.Code >= 500 || status.Code == 429 {
			return err // it may pass: the delivery is tried again
		}
		// Used up or over: there are other ways.
	}
	if p.Channel != "" && !p.Direct {
		_, err := s.api.PostEphemeralContext(ctx, p.Channel, p.User, options(m, inThread(p.Thread)...)...)
		if !elsewhere(err) {
			return err
		}
	}
	return s.postDirect(ctx, p.User, m, p.mark())
}

// respondTo answers at a response URL, for one person alone.
func (s *Slack) respondTo(ctx context.Context, url string, m blocks.Message, replace bool) error {
	message := &slackgo.WebhookMessage{Text: m.Text, ResponseType: slackgo.ResponseTypeEphemeral, ReplaceOriginal: replace}
	if len(m.Blocks) > 0 {
		message.Blocks = &slackgo.Blocks{BlockSet: m.Blocks}
	}
	return slackgo.PostWebhookCustomHTTPContext(ctx, url, s.HTTP, message)
}

func options(m blocks.Message, more ...slackgo.MsgOption) []slackgo.MsgOption {
	return append([]slackgo.MsgOption{slackgo.MsgOptionText(m.Text, false), slackgo.MsgOptionBlocks(m.Blocks...),
		slackgo.MsgOptionDisableLinkUnfurl(), slackgo.MsgOptionDisableMediaUnfurl()}, more...)
}

// inThread puts a message into a thread, if there is one.
func inThread(ts string) []slackgo.MsgOption {
	if ts == "" {
		return nil
	}
	return []slackgo.MsgOption{slackgo.MsgOptionTS(ts)}
}

// metaAnswer marks what Berth says besides cards and their ends.
const metaAnswer = "berth_answer"

// mark is what a message is found again by: its key, and since when it may have
// been posted. Without a key it is not looked for.
type mark struct {
	key   string
	since time.Time
}

// post sends a message, waiting for its turn. An answer of Slack's that leaves
// open whether it was posted (a call too many may be carried out all the same)
// is cleared up by looking before it is posted again, and so is the death of a
// process in the midst of it.
func (s *Slack) post(ctx context.Context, channel, thread string, m blocks.Message, by mark) error {
	more := inThread(thread)
	if by.key != "" {
		more = append(more, slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: metaAnswer, EventPayload: map[string]any{"key": by.key}}))
	}
	if by.since.IsZero() {
		by.since = s.Now().Add(-giveUpAfter)
	}
	for {
		if wait := s.cards.pace.take(methodPost, channel, 0); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.After(wait):
				continue
			}
		}
		if by.key != "" && s.uncertain.has(by.key) {
			ts, err := s.find(ctx, channel, thread, metaAnswer, "key", by.key, by.since.Add(-time.Minute))
			if err != nil {
				return err
			}
			s.uncertain.forget(by.key)
			if ts != "" {
				return nil
			}
		}
		_, _, err := s.api.PostMessageContext(ctx, channel, options(m, more...)...)
		if err != nil && !refused(err) && by.key != "" {
			s.uncertain.again(by.key)
		}
		if !s.limited(methodPost, err) {
			return err
		}
	}
}

// limited notes that Slack asks to wait.
func (s *Slack) limited(m method, err error) bool {
	wait, ok := retryAfter(err)
	if ok {
		s.Log.Info("Slack asks to wait", "method", m, "for", wait)
		s.cards.pace.pause(m, wait)
	}
	return ok
}

// postDirect sends a message to a person's own conversation with Berth.
func (s *Slack) postDirect(ctx context.Context, user string, m blocks.Message, by mark) error {
	channel, err := s.direct(ctx, user)
	if err != nil {
		return err
	}
	return s.post(ctx, channel, "", m, by)
}

// direct gives the conversation of a person with Berth.
func (s *Slack) direct(ctx context.Context, user string) (string, error) {
	s.people.mu.Lock()
	channel, ok := s.people.directs[user]
	s.people.mu.Unlock()
	if ok {
		return channel, nil
	}
	c, _, _, err := s.api.OpenConversationContext(ctx, &slackgo.OpenConversationParameters{Users: []string{user}})
	if err != nil {
		return "", err
	}
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	s.people.directs[user] = c.ID
	return c.ID, nil
}

// findPages is how many pages of 200 messages are searched.
const findPages = 5

// find looks for a message of Berth's own by its metadata. When Slack does not
// let Berth look, it is none: posted twice beats never.
func (s *Slack) find(ctx context.Context, channel, thread, kind, field, value string, since time.Time) (ts string, err error) {
	oldest, cursor := slackTime(since), ""
	for range findPages {
		var messages []slackgo.Message
		if thread != "" {
			messages, _, cursor, err = s.api.GetConversationRepliesContext(ctx, &slackgo.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread,
				Oldest: oldest, Limit: 200, Cursor: cursor, IncludeAllMetadata: true})
		} else {
			var r *slackgo.GetConversationHistoryResponse
			r, err = s.api.GetConversationHistoryContext(ctx, &slackgo.GetConversationHistoryParameters{ChannelID: channel, Oldest: oldest, Limit: 200, Cursor: cursor,
				IncludeAllMetadata: true})
			if err == nil {
				messages, cursor = r.Messages, r.ResponseMetaData.NextCursor
			}
		}
		if refused(err) {
			s.trouble("looking for a message that may have been posted", err)
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, m := range messages {
			if m.Metadata.EventType == kind && m.Metadata.EventPayload[field] == value {
				return m.Timestamp, nil
			}
		}
		if cursor == "" {
			break
		}
	}
	return "", nil
}
