package slack

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// method is one of Slack's methods that has a limit of its own.
type method string

const (
	methodPost    method = "chat.postMessage"
	methodUpdate  method = "chat.update"
	methodPublish method = "views.publish"
)

// pace keeps calls within Slack's limits: one message a second in a channel,
// 50 edits a minute in all, of which some are left unused; and it stops a
// method for as long as Slack says when it says so all the same.
type pace struct {
	now     func() time.Time
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	paused  map[method]time.Time
}

// spare are the edits that mere progress leaves for first cards and ends.
const spare = 6

func newPace(now func() time.Time) *pace {
	return &pace{now: now, buckets: map[string]*rate.Limiter{}, paused: map[method]time.Time{}}
}

func (p *pace) bucket(m method, channel string) *rate.Limiter {
	key := string(m)
	// Within any minute, the burst and what is regained are below 50.
	limit, burst := rate.Every(time.Minute/36), 12
	switch m {
	case methodPost:
		key += " " + channel
		limit, burst = rate.Every(1100*time.Millisecond), 1
	case methodPublish:
		limit, burst = rate.Every(time.Minute/80), 10
	}
	b := p.buckets[key]
	if b == nil {
		// Channels come and go: those that are full again are forgotten.
		if len(p.buckets) > 4096 {
			for k, old := range p.buckets {
				if old.TokensAt(p.now()) >= float64(old.Burst()) {
					delete(p.buckets, k)
				}
			}
		}
		b = rate.NewLimiter(limit, burst)
		p.buckets[key] = b
	}
	return b
}

// take takes leave for one call, or answers how long to wait for it. Keep is
// how many more calls must stay possible afterwards.
func (p *pace) take(m method, channel string, keep int) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if until := p.paused[m]; now.Before(until) {
		return until.Sub(now)
	}
	b := p.bucket(m, channel)
	need := float64(1+keep) - b.TokensAt(now)
	if need <= 0 && b.AllowN(now, 1) {
		return 0
	}
	return max(time.Duration(need/float64(b.Limit())*float64(time.Second)), 10*time.Millisecond)
}

// pause stops a method for as long as Slack asked.
func (p *pace) pause(m method, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d <= 0 {
		d = time.Second // Slack may forget to say
	}
	if until := p.now().Add(d); until.After(p.paused[m]) {
		p.paused[m] = until
	}
}
