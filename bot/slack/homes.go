package slack

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

const (
	// homeEvery is the least time between two publications of homes.
	homeEvery = 2 * time.Second
	// homeFor is how long after its opening a home is kept up to date: Slack
	// does not say when it is left, and every opening publishes it anew.
	homeFor = time.Hour
	// homeAgain is how long to wait after a home could not be published.
	homeAgain = 10 * time.Second
)

// homes keeps the App Homes that people have opened up to date.
type homes struct {
	slack *Slack
	wake  chan struct{}
	mu    sync.Mutex
	// shown is what each person's home shows, asked who waits for theirs.
	shown map[string]shown
	asked map[string]bool
}

// shown is a published home.
type shown struct {
	sum    [sha256.Size]byte
	opened time.Time
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
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-again:
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-h.wake:
			case <-h.slack.After(homeEvery):
			}
		}
		again = nil
		if wait := h.publishAll(ctx); wait > 0 {
			again = h.slack.After(wait)
		}
	}
}

// publishAll publishes what is to be published, those who wait for it first,
// and answers in how long to go on, if not all could be.
func (h *homes) publishAll(ctx context.Context) (wait time.Duration) {
	h.mu.Lock()
	users := slices.Collect(maps.Keys(h.asked))
	for u, s := range h.shown {
		switch {
		case h.asked[u]:
		case h.slack.Now().Sub(s.opened) > homeFor:
			delete(h.shown, u)
		default:
			users = append(users, u)
		}
	}
	h.mu.Unlock()
	// All see the same environments; they are read when somebody needs them.
	list := sync.OnceValues(func() ([]orchestrator.Environment, error) {
		answer, err := h.slack.Doer.Do(ctx, orchestrator.Actor{}, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbList})
		if err != nil {
			return nil, err
		}
		return *answer.Environments, nil
	})
	for _, u := range users {
		wait, err := h.publish(ctx, u, list)
		if err != nil && ctx.Err() == nil {
			h.slack.trouble("publishing a home", err)
		}
		if wait > 0 || ctx.Err() != nil {
			return wait
		}
	}
	return 0
}

// publish publishes a person's home unless it shows that already. It answers
// how long to wait when Slack takes none at the moment.
func (h *homes) publish(ctx context.Context, userID string, list func() ([]orchestrator.Environment, error)) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	home, err := h.home(ctx, userID, list)
	if err != nil {
		return homeAgain, err
	}
	raw, err := json.Marshal(home)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(raw)
	h.mu.Lock()
	was, known := h.shown[userID]
	asked := h.asked[userID]
	h.mu.Unlock()
	if known && was.sum == sum && !asked {
		return 0, nil
	}
	if wait := h.slack.cards.pace.take(methodPublish, "", 0); wait > 0 {
		return wait, nil
	}
	_, err = h.slack.api.PublishViewContext(ctx, slackgo.PublishViewContextRequest{UserID: userID, View: home})
	if h.slack.limited(methodPublish, err) {
		return time.Second, nil
	}
	if err != nil && !refused(err) {
		return homeAgain, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asked, userID)
	if err != nil {
		delete(h.shown, userID) // somebody who is gone has no home: not until they open it
		return 0, err
	}
	if asked {
		was.opened = h.slack.Now()
	}
	was.sum = sum
	h.shown[userID] = was
	return 0, nil
}

// home is what a person sees: theirs, what runs now, everybody's.
func (h *homes) home(ctx context.Context, userID string, list func() ([]orchestrator.Environment, error)) (slackgo.HomeTabViewRequest, error) {
	s := h.slack
	options := s.options()
	actor, err := s.people.actor(ctx, userID)
	var e *orchestrator.Error
	if errors.As(err, &e) {
		return blocks.Home([]view.View{view.ErrorView(err, orchestrator.Command{})}, options), nil
	}
	if err != nil {
		return slackgo.HomeTabViewRequest{}, err
	}
	all, err := list()
	if err != nil {
		return slackgo.HomeTabViewRequest{}, err
	}
	return blocks.Home(view.HomeViews(actor.Name, all), options), nil
}
