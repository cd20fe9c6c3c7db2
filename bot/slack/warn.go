package slack

import (
	"context"
	"fmt"
	"strconv"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

// slackTime is a time as Slack's timestamps are.
func slackTime(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64)
}

// Warn tells an owner in their own conversation with Berth that an environment
// ends soon; see orchestrator.Warner.
func (s *Slack) Warn(ctx context.Context, e orchestrator.Environment, ahead time.Duration, end time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	id, ok, err := s.people.find(ctx, e.Owner)
	if err != nil {
		s.trouble("looking up an owner", err)
	}
	if err != nil || !ok {
		return false, err
	}
	// Each warning of an end is one, however late it comes. It is looked for
	// first: it may have been given, and the process killed before that was noted.
	by := mark{key: fmt.Sprintf("warning %s %d %s", e.ID, e.ExpiresAt.UnixMicro(), ahead), since: e.ExpiresAt.Add(-ahead)}
	s.uncertain.again(by.key)
	m := s.render(view.WarningView(e, end, s.Now()))
	err = s.postDirect(ctx, id, m, by)
	if unshowable(err) {
		err = s.postDirect(ctx, id, plain(m), by)
	}
	if elsewhere(err) {
		s.trouble("warning "+e.Owner, err)
		return false, nil // nobody can: an account that is gone
	}
	return err == nil, err
}

// Expiry says where an owner sees that the lifetime of their environment is
// over: in their own conversation with Berth. Whom Slack does not know, or
// cannot be asked about now, sees nothing.
func (s *Slack) Expiry(ctx context.Context, e orchestrator.Environment) orchestrator.Origin {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	id, ok, err := s.people.find(ctx, e.Owner)
	if err != nil {
		s.trouble("looking up an owner", err)
	}
	if err != nil || !ok {
		return orchestrator.Origin{}
	}
	return orchestrator.Origin{Door: Door, Place: place{User: id, At: s.Now()}.json()}
}

// Notify tells an owner in their own conversation with Berth what has befallen
// the machines of an environment; see orchestrator.Notifier.
func (s *Slack) Notify(ctx context.Context, e orchestrator.Environment, n orchestrator.Notice) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	id, ok, err := s.people.find(ctx, e.Owner)
	if err != nil {
		s.trouble("looking up an owner", err)
	}
	if err != nil || !ok {
		return false, err
	}
	by := mark{key: noticeKey(n), since: n.Since}
	s.uncertain.again(by.key)
	m := s.render(view.NoticeView(e, n.Causes))
	err = s.postDirect(ctx, id, m, by)
	if unshowable(err) {
		err = s.postDirect(ctx, id, plain(m), by)
	}
	if elsewhere(err) {
		s.trouble("telling "+e.Owner, err)
		return false, nil // nobody can: an account that is gone
	}
	return err == nil, err
}

// noticeKey is what a notice is found again by.
func noticeKey(n orchestrator.Notice) string { return "machines " + n.Key }

// Withdraw says in the notice itself that it is over; its buttons go. It cannot
// be found as that notice any more, so that the same can be told anew.
func (s *Slack) Withdraw(ctx context.Context, e orchestrator.Environment, n orchestrator.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	id, ok, err := s.people.find(ctx, e.Owner)
	if err != nil || !ok {
		return err
	}
	channel, err := s.direct(ctx, id)
	if elsewhere(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ts, err := s.find(ctx, channel, "", metaAnswer, "key", noticeKey(n), n.Since)
	if err != nil || ts == "" {
		return err
	}
	over := slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: metaAnswer, EventPayload: map[string]any{"key": "over: " + noticeKey(n)}})
	for {
		if wait := s.cards.pace.take(methodUpdate, "", 0); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.After(wait):
				continue
			}
		}
		_, _, _, err = s.api.UpdateMessageContext(ctx, channel, ts, options(s.render(view.OverView(e)), over)...)
		if elsewhere(err) {
			return nil // somebody has removed it
		}
		if !s.limited(methodUpdate, err) {
			return err
		}
	}
}
