package slackfake

import (
	"slices"
	"sync"
	"time"
)

// Clock is what time the stand-in goes by.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once d has passed. stop prevents it, and says whether
	// it came in time.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// realClock is the machine's.
type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// ManualClock stands still until a test moves it.
type ManualClock struct {
	turn   sync.Mutex // held by who advances it
	mu     sync.Mutex
	now    time.Time
	timers []*manualTimer
	armed  chan struct{}
}

type manualTimer struct {
	at time.Time
	f  func()
}

// NewManualClock starts at the given time, or now if that is zero. Clients
// check signatures against the machine's clock, so in HTTP mode stay within
// five minutes of it.
func NewManualClock(start time.Time) *ManualClock {
	if start.IsZero() {
		start = time.Now()
	}
	return &ManualClock{now: start, armed: make(chan struct{})}
}

// Now is the time that the clock shows.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f, in the goroutine that advances the clock, when it has
// moved by d.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{at: c.now.Add(d), f: f}
	c.timers = append(c.timers, t)
	close(c.armed)
	c.armed = make(chan struct{})
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.timers, t)
		if i < 0 {
			return false
		}
		c.timers = slices.Delete(c.timers, i, i+1)
		return true
	}
}

// Advance moves the clock by d and runs what falls due, in order, each at its
// own time. Two that advance it at the same time do so one after the other.
func (c *ManualClock) Advance(d time.Duration) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		next := -1
		for i, t := range c.timers {
			if !t.at.After(end) && (next < 0 || t.at.Before(c.timers[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		t := c.timers[next]
		c.timers = slices.Delete(c.timers, next, next+1)
		if t.at.After(c.now) {
			c.now = t.at
		}
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// Armed says how many timers wait, and gives a channel that closes when
// another one is set: a test can wait for the moment in which advancing the
// clock means something.
func (c *ManualClock) Armed() (waiting int, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers), c.armed
}
