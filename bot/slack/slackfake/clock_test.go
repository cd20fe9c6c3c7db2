package slackfake_test

import (
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// However many advance the clock at the same time, no time is lost, and it
// never goes back.
func TestClockAdvancesTogether(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := slackfake.NewManualClock(start)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				before := c.Now()
				c.AfterFunc(time.Millisecond, func() {})
				c.Advance(time.Millisecond)
				if c.Now().Before(before) {
					t.Error("the clock went back")
				}
			}
		})
	}
	wg.Wait()
	if got := c.Now().Sub(start); got != 8*time.Second {
		t.Errorf("advanced by %s", got)
	}
}
