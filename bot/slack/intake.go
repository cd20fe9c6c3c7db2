package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/orchestrator"
)

// The kinds of delivery. Their bodies are the payloads as Slack writes them in
// JSON, alike in both modes.
const (
	kindCommand     = "command"
	kindInteraction = "interaction"
	kindEvent       = "event"
)

// ackWithin is how long the answer to a form may take: Slack waits three
// seconds, and the way there and back takes some of it.
const ackWithin = 2500 * time.Millisecond

// doubleClick is how long the same click by the same person counts as one.
const doubleClick = 3 * time.Second

// envelope is what both modes make of a request: a payload of a kind, and a
// key for it if the payload itself has none.
type envelope struct {
	kind    string
	payload json.RawMessage
	id      string
}

// take accepts one request and gives what goes into its acknowledgement: nil
// for an empty one. An error means that it could not be kept: it must not be
// acknowledged.
func (s *Slack) take(ctx context.Context, e envelope) (reply any, err error) {
	switch e.kind {
	case kindCommand:
		var c slackgo.SlashCommand
		if err := json.Unmarshal(e.payload, &c); err != nil {
			return nil, fmt.Errorf("reading a slash command: %w", err)
		}
		if s.forms.wanted(c) {
			return nil, s.forms.open(ctx, c)
		}
		return nil, s.keep(ctx, e, c.TriggerID)
	case kindInteraction:
		var c slackgo.InteractionCallback
		if err := json.Unmarshal(e.payload, &c); err != nil {
			return nil, fmt.Errorf("reading an interaction: %w", err)
		}
		return s.interaction(ctx, e, c)
	case kindEvent:
		var ev struct {
			EventID string `json:"event_id"`
		}
		if err := json.Unmarshal(e.payload, &ev); err != nil {
			return nil, fmt.Errorf("reading an event: %w", err)
		}
		return nil, s.keep(ctx, e, ev.EventID)
	}
	return nil, fmt.Errorf("Slack sent something of the unknown kind %q", e.kind)
}

// interaction answers at once what Slack waits for and keeps the rest.
func (s *Slack) interaction(ctx context.Context, e envelope, c slackgo.InteractionCallback) (any, error) {
	switch c.Type {
	case slackgo.InteractionTypeBlockSuggestion:
		return s.forms.suggest(ctx, c), nil
	case slackgo.InteractionTypeViewSubmission:
		return s.forms.submitted(ctx, e, c)
	case slackgo.InteractionTypeBlockActions:
		if done, err := s.forms.acted(ctx, c); done || err != nil {
			return nil, err
		}
		if len(c.ActionCallback.BlockActions) == 0 {
			return nil, nil
		}
		a := c.ActionCallback.BlockActions[0]
		click := c.User.ID + " " + c.Container.MessageTs + c.Container.ViewID + " " + a.BlockID + " " + a.ActionID
		if s.clicks.again(click) {
			return nil, nil
		}
		err := s.keep(ctx, e, c.TriggerID)
		if err != nil {
			s.clicks.forget(click) // the next one, or Slack's repetition, must count
		}
		return nil, err
	case slackgo.InteractionTypeShortcut:
		return nil, s.forms.openCreate(ctx, c.TriggerID, c.User.ID, place{User: c.User.ID}, orchestrator.Command{})
	}
	return nil, nil // a closed form, a message action of another app: nothing to do
}

// keep stores a delivery under its own key, once.
func (s *Slack) keep(ctx context.Context, e envelope, key string) error {
	if key == "" {
		key = e.id
	}
	if key == "" {
		sum := sha256.Sum256(e.payload)
		key = hex.EncodeToString(sum[:])
	}
	d := orchestrator.Delivery{Key: Door + ":" + e.kind + ":" + key, Door: Door, Kind: e.kind, Body: e.payload, ReceivedAt: s.Now()}
	fresh, err := s.Inbox.AcceptDelivery(ctx, d)
	if fresh {
		s.fresh.again(d.Key)
	}
	return err
}
