package slack

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
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
}

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
	return blocks.Render(v, blocks.Options{Person: s.people.idOf})
}

// reply answers a person: for them alone, or for everybody in the conversation
// when the view is public.
func (s *Slack) reply(ctx context.Context, p place, v view.View) error {
	m := s.render(v)
	if v.Public && p.Channel != "" && !p.Replace {
		_, err := s.post(ctx, p.Channel, m, inThread(p.Thread)...)
		if err == nil || !cannotPost(err) {
			return err
		}
	}
	if p.ResponseURL != "" && s.Now().Sub(p.At) < responseURLLives {
		err := slackgo.PostWebhookCustomHTTPContext(ctx, p.ResponseURL, s.HTTP, &slackgo.WebhookMessage{Text: m.Text, Blocks: &slackgo.Blocks{BlockSet: m.Blocks},
			ResponseType: slackgo.ResponseTypeEphemeral, ReplaceOriginal: p.Replace})
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
		if err == nil || !cannotPost(err) {
			return err
		}
	}
	_, err := s.postDirect(ctx, p.User, m)
	return err
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

// post sends a message, waiting for its turn, and gives its timestamp.
func (s *Slack) post(ctx context.Context, channel string, m blocks.Message, more ...slackgo.MsgOption) (string, error) {
	for {
		if wait := s.cards.pace.take(methodPost, channel, 0); wait > 0 {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-s.After(wait):
				continue
			}
		}
		_, ts, err := s.api.PostMessageContext(ctx, channel, options(m, more...)...)
		if s.limited(methodPost, err) {
			continue
		}
		return ts, err
	}
}

// limited notes that Slack asks to wait.
func (s *Slack) limited(m method, err error) bool {
	var e *slackgo.RateLimitedError
	if !errors.As(err, &e) {
		return false
	}
	s.Log.Info("Slack asks to wait", "method", m, "for", e.RetryAfter)
	s.cards.pace.pause(m, e.RetryAfter)
	return true
}

// postDirect sends a message to a person's own conversation with Berth.
func (s *Slack) postDirect(ctx context.Context, user string, m blocks.Message, more ...slackgo.MsgOption) (channel string, err error) {
	channel, err = s.direct(ctx, user)
	if err == nil {
		_, err = s.post(ctx, channel, m, more...)
	}
	return channel, err
}

// direct gives the conversation of a person with Berth.
func (s *Slack) direct(ctx context.Context, user string) (string, error) {
	c, _, _, err := s.api.OpenConversationContext(ctx, &slackgo.OpenConversationParameters{Users: []string{user}})
	if err != nil {
		return "", err
	}
	return c.ID, nil
}

// cannotPost reports that Berth may not write where somebody asked: another
// place may do.
func cannotPost(err error) bool {
	return slices.Contains([]string{"not_in_channel", "channel_not_found", "is_archived", "user_not_in_channel", "restricted_action",
		"restricted_action_read_only_channel", "restricted_action_thread_only_channel", "restricted_action_non_threadable_channel",
		"cannot_reply_to_message", "thread_not_found", "messages_tab_disabled", "no_permission", "access_denied", "team_access_not_granted"}, errorCode(err))
}
