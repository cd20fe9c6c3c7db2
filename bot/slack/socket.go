package slack

import (
	"context"
	"errors"
	"time"

	slackgo "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// connections is how many sockets are open: while one is renewed, the other
// still hears.
const connections = 2

// atOnce bounds how many requests of a connection are being accepted at the
// same time; more wait in the socket.
const atOnce = 256

// connect keeps one connection alive until ctx ends. The library gives up on
// refused tokens: those are asked again, for ops may mend them.
func (s *Slack) connect(ctx context.Context) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		started := s.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.trouble("keeping the connection", err)
		}
		if s.Now().Sub(started) > time.Minute {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-s.After(wait):
		}
	}
}

// session is one run of the library's client, which reconnects by itself.
func (s *Slack) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A client of its own: a late acknowledgement belongs to this connection.
	client := socketmode.New(slackgo.New(s.BotToken, s.apiOptions()...))
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	slots := make(chan struct{}, atOnce)
	for {
		select {
		case err := <-ended:
			return err
		case ev := <-client.Events:
			// Events must always be drained, or the library never reconnects:
			// the work is done beside this loop.
			s.noticed(ev)
			e, ok := socketEnvelope(ev)
			if !ok {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			go func() {
				defer func() { <-slots }()
				s.answer(ctx, client, ev.Request.EnvelopeID, e)
			}()
		}
	}
}

// socketEnvelope is what Slack asks for in an event of the library, if it asks.
func socketEnvelope(ev socketmode.Event) (envelope, bool) {
	kind := map[socketmode.EventType]string{socketmode.EventTypeSlashCommand: kindCommand,
		socketmode.EventTypeInteractive: kindInteraction, socketmode.EventTypeEventsAPI: kindEvent}[ev.Type]
	if kind == "" || ev.Request == nil {
		return envelope{}, false
	}
	return envelope{kind: kind, payload: ev.Request.Payload, id: ev.Request.EnvelopeID}, true
}

// answer accepts a request and acknowledges it. What could not be kept is not
// acknowledged: Slack delivers it again, or tells the person.
func (s *Slack) answer(ctx context.Context, client *socketmode.Client, envelopeID string, e envelope) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	reply, err := s.take(ctx, e)
	if err != nil {
		s.Log.Error("something from Slack was not accepted", "kind", e.kind, "error", err)
		return
	}
	if err := client.AckCtx(ctx, envelopeID, reply); err != nil {
		s.Log.Warn("an acknowledgement was not sent", "kind", e.kind, "error", err)
	}
}

// noticed keeps the health true and logs what ops should see.
func (s *Slack) noticed(ev socketmode.Event) {
	switch ev.Type {
	case socketmode.EventTypeHello:
		s.health.works()
	case socketmode.EventTypeConnectionError:
		if e, ok := ev.Data.(*slackgo.ConnectionErrorEvent); ok {
			s.health.set("the connection failed: " + e.Error())
			s.Log.Warn("no connection to Slack", "error", e.ErrorObj, "again in", e.Backoff)
		}
	case socketmode.EventTypeInvalidAuth:
		s.trouble("connecting", errors.New("invalid_auth"))
	case socketmode.EventTypeErrorWriteFailed:
		s.Log.Warn("an acknowledgement was not written; Slack delivers that again")
	case socketmode.EventTypeErrorBadMessage:
		if e, ok := ev.Data.(*socketmode.ErrorBadMessage); ok {
			s.Log.Debug("Slack sent what the client does not know", "error", e.Cause)
		}
	}
}
