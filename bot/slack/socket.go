package slack

import (
	"context"
	"errors"
	"sync"
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
// refused tokens, and waits up to five minutes when Slack cannot be reached:
// both are tried again sooner here.
func (s *Slack) connect(ctx context.Context, n int) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, 30*time.Second) {
		started := s.Now()
		err := s.session(ctx, n)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.health.setSocket(n, "the connection failed: "+err.Error())
			s.trouble("keeping the connection", err)
		}
		if s.Now().Sub(started) > time.Minute {
			wait = time.Second
		}
		asked, _ := retryAfter(err)
		select {
		case <-ctx.Done():
		case <-s.After(max(wait, asked)):
		}
	}
}

// session is one run of the library's client, which renews its connection by
// itself. It ends when there is none, and leaves nothing running.
func (s *Slack) session(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	// A client of its own: a late acknowledgement belongs to this connection.
	client := socketmode.New(slackgo.New(s.BotToken, s.apiOptions()...))
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- client.RunContext(ctx) })
	defer wg.Wait()
	defer cancel()
	slots := make(chan struct{}, atOnce)
	for {
		select {
		case err := <-ended:
			return err
		case ev := <-client.Events:
			// Events must always be drained, or the library never reconnects:
			// the work is done beside this loop.
			if err := s.noticed(n, ev); err != nil {
				return err
			}
			e, ok := socketEnvelope(ev)
			if !ok {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			wg.Go(func() {
				defer func() { <-slots }()
				s.answer(ctx, client, ev.Request.EnvelopeID, e)
			})
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

// noticed keeps the health true and logs what ops should see. An error ends the
// session.
func (s *Slack) noticed(n int, ev socketmode.Event) error {
	switch ev.Type {
	case socketmode.EventTypeHello:
		s.health.setSocket(n, "")
		s.doubts()
	case socketmode.EventTypeConnectionError:
		if e, ok := ev.Data.(*slackgo.ConnectionErrorEvent); ok {
			return e.ErrorObj
		}
	case socketmode.EventTypeInvalidAuth:
		return errors.New("invalid_auth")
	case socketmode.EventTypeErrorWriteFailed:
		s.Log.Warn("an acknowledgement was not written; Slack delivers that again")
	case socketmode.EventTypeErrorBadMessage:
		if e, ok := ev.Data.(*socketmode.ErrorBadMessage); ok {
			s.Log.Debug("Slack sent what the client does not know", "error", e.Cause)
		}
	}
	return nil
}
