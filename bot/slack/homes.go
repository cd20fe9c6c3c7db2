package slack

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

// homeEvery is the least time between two publications of homes.
const homeEvery = 2 * time.Second

// homes keeps the App Homes that people have opened up to date.
type homes struct {
	slack *Slack
	wake  chan struct{}
	mu    sync.Mutex
	// shown is what each person's home shows, asked who waits for theirs.
	shown map[string]string
	asked map[string]bool
}

// opened publishes a person's home, soon.
func (h *homes) opened(_ context.Context, userID string) error {
	h.mu.Lock()
	h.asked[userID] = true
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return nil
}

func (h *homes) run(ctx context.Context) {
	changed, stop := h.slack.Reader.Watch()
	defer stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-h.wake:
			case <-h.slack.After(homeEvery):
			}
		}
		h.publishAll(ctx)
	}
}

func (h *homes) publishAll(ctx context.Context) {
	h.mu.Lock()
	users := make([]string, 0, len(h.shown)+len(h.asked))
	for u := range h.asked {
		users = append(users, u)
	}
	for u := range h.shown {
		if !h.asked[u] {
			users = append(users, u)
		}
	}
	h.mu.Unlock()
	for _, u := range users {
		if err := h.publish(ctx, u); err != nil {
			if ctx.Err() != nil {
				return
			}
			h.slack.trouble("publishing a home", err)
		}
	}
}

// publish publishes a person's home unless it shows that already.
func (h *homes) publish(ctx context.Context, userID string) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	home, err := h.home(ctx, userID)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(home)
	if err != nil {
		return err
	}
	h.mu.Lock()
	same := h.shown[userID] == string(raw) && !h.asked[userID]
	h.mu.Unlock()
	if same {
		return nil
	}
	if wait := h.slack.cards.pace.take(methodPublish, "", 0); wait > 0 {
		h.later(wait)
		return nil
	}
	_, err = h.slack.api.PublishViewContext(ctx, slackgo.PublishViewContextRequest{UserID: userID, View: home})
	if h.slack.limited(methodPublish, err) {
		h.later(time.Second)
		return nil
	}
	if err != nil && !refused(err) {
		h.later(10 * time.Second)
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asked, userID)
	h.shown[userID] = string(raw)
	return err
}

// later wakes the publication after a while.
func (h *homes) later(d time.Duration) {
	go func() {
		<-h.slack.After(d)
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}()
}

// home is what a person sees: theirs, what runs now, everybody's.
func (h *homes) home(ctx context.Context, userID string) (slackgo.HomeTabViewRequest, error) {
	s := h.slack
	options := blocks.Options{Person: s.people.idOf}
	actor, err := s.people.actor(ctx, userID)
	var e *orchestrator.Error
	if errors.As(err, &e) {
		return blocks.Home([]view.View{view.ErrorView(err, orchestrator.Command{})}, options), nil
	}
	if err != nil {
		return slackgo.HomeTabViewRequest{}, err
	}
	answer, err := s.Doer.Do(ctx, actor, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbList})
	if err != nil {
		return slackgo.HomeTabViewRequest{}, err
	}
	return blocks.Home(view.HomeViews(actor.Name, *answer.Environments, s.Now()), options), nil
}
