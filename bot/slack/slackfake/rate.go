package slackfake

import (
	"maps"
	"slices"
	"time"
)

// Limit is a method's rate: no more than Calls within any span of Per.
type Limit struct {
	Calls int
	Per   time.Duration
}

// Slack's tiers.
var (
	Tier1 = Limit{1, time.Minute}
	Tier2 = Limit{20, time.Minute}
	Tier3 = Limit{50, time.Minute}
	Tier4 = Limit{100, time.Minute}
)

// Rates by method. Slack names some of them only as special: the figures for
// auth.test, chat.getPermalink and the workspace's messages are on the careful
// side of its words.
var methodLimits = map[string]Limit{
	"api.test":                     Tier4,
	"auth.test":                    {300, time.Minute},
	"apps.connections.open":        {10, time.Minute}, // Tier 1, with a burst for the ten sockets an app may have
	"chat.postMessage":             {300, time.Minute},
	"chat.update":                  Tier3,
	"chat.delete":                  Tier3,
	"chat.postEphemeral":           Tier4,
	"chat.getPermalink":            {300, time.Minute},
	"views.open":                   Tier4,
	"views.update":                 Tier4,
	"views.push":                   Tier4,
	"views.publish":                Tier4,
	"conversations.open":           Tier3,
	"conversations.info":           Tier3,
	"conversations.replies":        Tier3,
	"conversations.history":        Tier3,
	"conversations.list":           Tier2,
	"conversations.members":        Tier4,
	"users.info":                   Tier4,
	"users.lookupByEmail":          Tier3,
	"users.list":                   Tier2,
	"usergroups.list":              Tier2,
	"usergroups.users.list":        Tier2,
	"files.getUploadURLExternal":   Tier4,
	"files.completeUploadExternal": Tier4,
	"reactions.add":                Tier3,
	"reactions.remove":             Tier2,
}

// postPerChannel is chat.postMessage's own limit: one a second for each
// channel, with a short burst.
const (
	postBurst    = 3
	postInterval = time.Second
)

// rates remember what was called when; Server.mu guards them.
type rates struct {
	off    bool
	limits map[string]Limit
	calls  map[string][]time.Time
	// due is when a channel's next message would be on schedule.
	due map[string]time.Time
}

func newRates(o Options) rates {
	limits := maps.Clone(methodLimits)
	maps.Copy(limits, o.Limits)
	return rates{off: o.Unlimited, limits: limits, calls: map[string][]time.Time{}, due: map[string]time.Time{}}
}

// take counts a call and says how long to wait instead, if it is one too many.
// A refused call costs nothing.
func (r *rates) take(method, channel string, now time.Time) (wait time.Duration, ok bool) {
	if r.off {
		return 0, true
	}
	limit, limited := r.limits[method]
	recent := r.calls[method]
	if limited {
		first, _ := slices.BinarySearchFunc(recent, now.Add(-limit.Per), func(t, target time.Time) int {
			if t.After(target) {
				return 1
			}
			return -1
		})
		recent = recent[first:]
		if len(recent) >= limit.Calls {
			r.calls[method] = recent
			return recent[len(recent)-limit.Calls].Add(limit.Per).Sub(now), false
		}
	}
	if method == "chat.postMessage" && channel != "" {
		due := r.due[channel]
		if due.Before(now) {
			due = now
		}
		if early := due.Sub(now); early > (postBurst-1)*postInterval {
			return early - (postBurst-1)*postInterval, false
		}
		r.due[channel] = due.Add(postInterval)
	}
	if limited {
		r.calls[method] = append(recent, now)
	}
	return 0, true
}

// SetLimit changes a method's rate; a zero Limit takes it away.
func (s *Server) SetLimit(method string, l Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Calls == 0 {
		delete(s.rates.limits, method)
		return
	}
	s.rates.limits[method] = l
}
