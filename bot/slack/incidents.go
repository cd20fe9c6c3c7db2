package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Incidents is what several environments have for one reason, and what was said
// of it.
type Incidents interface {
	UntoldIncidents(ctx context.Context, log bool) ([]orchestrator.Incident, error)
	NoteIncident(ctx context.Context, i orchestrator.Incident) error
}

// metaIncident is the metadata of a message about an incident.
const metaIncident = "berth_incident"

// incidentsRest is how long incidents wait after a trouble with Slack.
const incidentsRest = 30 * time.Second

var channelID = lazyregexp.New(`^[CG][A-Z0-9]{2,}$`)

// CheckOpsChannel answers nil, or why this cannot be where ops are told.
func CheckOpsChannel(id string) error {
	if id == "" || channelID.MatchString(id) {
		return nil
	}
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is no ID of a Slack channel.", id).
		WithHint("BERTH_SLACK_OPS_CHANNEL takes the ID, which begins with C or G: in Slack, the channel's details show it at their end")
}

// incidentState is what has been shown of an incident; it is kept in its row.
type incidentState struct {
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	// Posting says that the message was about to be posted: whether it was, is
	// to be looked up.
	Posting bool   `json:"posting,omitempty"`
	Text    string `json:"text,omitempty"`
}

// tellOps keeps one message for each incident in the channel of ops, until ctx
// ends.
func (s *Slack) tellOps(ctx context.Context) {
	if s.OpsChannel == "" || s.Incidents == nil {
		return
	}
	changed, stop := s.Reader.Watch()
	defer stop()
	for ctx.Err() == nil {
		wait := s.tellIncidents(ctx)
		select {
		case <-ctx.Done():
		case <-s.After(wait):
		case <-changed:
			select { // many changes are one look
			case <-ctx.Done():
			case <-s.After(min(wait, lookEvery)):
			}
		}
	}
}

// tellIncidents says what was not said yet, and answers how long to wait.
func (s *Slack) tellIncidents(ctx context.Context) time.Duration {
	s.opsRest.mu.Lock()
	until := s.opsRest.until
	s.opsRest.mu.Unlock()
	if left := until.Sub(s.Now()); left > 0 {
		return left
	}
	all, err := s.Incidents.UntoldIncidents(ctx, false)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Error("reading what environments have in common", "error", err)
		}
		return moveEvery
	}
	for _, i := range all {
		wait, err := s.tellIncident(ctx, i)
		switch rest, limited := retryAfter(err); {
		case ctx.Err() != nil:
			return moveEvery
		case wait > 0:
			return wait
		case err == nil:
			continue
		case limited:
			wait = rest
		case elsewhere(err):
			s.Log.Error("Slack does not let Berth tell ops", "channel", s.OpsChannel, "error", err, "do", "invite Berth to that channel, or set BERTH_SLACK_OPS_CHANNEL to another one")
			wait = 10 * incidentsRest
		default:
			s.trouble("telling ops", err)
			wait = incidentsRest
		}
		s.opsRest.mu.Lock()
		s.opsRest.until = s.Now().Add(wait)
		s.opsRest.mu.Unlock()
		return wait
	}
	return moveEvery
}

// tellIncident posts the message about an incident, once, or changes it. It
// answers how long Slack's limits have it wait.
func (s *Slack) tellIncident(ctx context.Context, i orchestrator.Incident) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	var state incidentState
	if err := json.Unmarshal(i.State, &state); err != nil {
		return 0, fmt.Errorf("reading what was shown of an incident: %w", err)
	}
	save := func(told int) error {
		i.Told = told
		doc, err := json.Marshal(state)
		if err != nil {
			return err
		}
		i.State = doc
		return s.Incidents.NoteIncident(context.WithoutCancel(ctx), i)
	}
	told := 1
	if i.Ended != nil {
		told = 2
	}
	if told == 2 && !state.Posting {
		return 0, save(told) // it was over before anybody could be told
	}
	m := s.render(view.IncidentView(i, s.Now()))
	if state.TS == "" {
		if state.Posting {
			ts, err := s.find(ctx, s.OpsChannel, "", metaIncident, "incident", fmt.Sprint(i.ID), i.Since.Add(-time.Minute))
			if err != nil {
				return 0, err
			}
			state.Channel, state.TS = s.OpsChannel, ts
		}
	}
	if state.TS == "" {
		if wait := s.cards.pace.take(methodPost, s.OpsChannel, 0); wait > 0 {
			return wait, nil
		}
		state.Posting = true
		if err := save(0); err != nil {
			return 0, err
		}
		meta := slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: metaIncident, EventPayload: map[string]any{"incident": fmt.Sprint(i.ID)}})
		_, ts, err := s.api.PostMessageContext(ctx, s.OpsChannel, options(m, meta)...)
		if unshowable(err) {
			_, ts, err = s.api.PostMessageContext(ctx, s.OpsChannel, options(plain(m), meta)...)
		}
		if err != nil {
			return 0, err
		}
		state.Channel, state.TS, state.Text = s.OpsChannel, ts, m.Text
		return 0, save(told)
	}
	if state.Text == m.Text && i.Told == told {
		return 0, nil
	}
	if state.Text != m.Text {
		if wait := s.cards.pace.take(methodUpdate, "", spare); wait > 0 {
			return wait, nil
		}
		_, _, _, err := s.api.UpdateMessageContext(ctx, state.Channel, state.TS, options(m)...)
		if unshowable(err) {
			_, _, _, err = s.api.UpdateMessageContext(ctx, state.Channel, state.TS, options(plain(m))...)
		}
		if elsewhere(err) { // somebody has deleted it
			s.Log.Warn("what ops were told cannot be changed any more", "channel", state.Channel, "error", err)
			err = nil
		}
		if err != nil {
			return 0, err
		}
		state.Text = m.Text
	}
	return 0, save(told)
}
