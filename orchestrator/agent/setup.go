package agent

import (
	"context"
	"sync"
	"time"
)

// setup installs Salt beside everything else that the agent does, and once more
// after a failure: when Berth asks for something again, or after a pause.
type setup struct {
	install func(ctx context.Context) (saltCall string, err error)
	// again is the pause after a failure.
	again time.Duration
	// mended is called when an attempt succeeds after a failure that somebody
	// has been told of.
	mended func()

	mu       sync.Mutex
	saltCall string
	failed   error
	told     bool          // of a failure
	attempt  chan struct{} // closed when the running attempt ends; nil: none runs
	kick     chan struct{}
}

func newSetup(install func(context.Context) (string, error), mended func()) *setup {
	// The first attempt counts as running from here on: who asks waits for it.
	return &setup{install: install, again: installAgain, mended: mended, attempt: make(chan struct{}), kick: make(chan struct{}, 1)}
}

// run tries until Salt is there or ctx ends.
func (s *setup) run(ctx context.Context) error {
	for {
		path, err := s.install(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		told := s.told
		s.saltCall, s.failed = path, err
		close(s.attempt)
		s.attempt = nil
		s.mu.Unlock()
		if err == nil {
			if told {
				s.mended()
			}
			return nil
		}
		t := time.NewTimer(s.again)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-s.kick:
			t.Stop()
		}
		s.mu.Lock()
		if s.attempt == nil {
			s.attempt = make(chan struct{})
		}
		select {
		case <-s.kick: // it came as the pause ended
		default:
		}
		s.mu.Unlock()
	}
}

// wait gives the path of salt-call when it is there, or why it is not. Once
// somebody has been told of a failure, whoever asks waits for another attempt.
func (s *setup) wait(ctx context.Context) (string, error) {
	s.mu.Lock()
	if s.attempt == nil && s.failed != nil && s.told {
		s.attempt = make(chan struct{})
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	running := s.attempt
	s.mu.Unlock()
	if running != nil {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-running:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		s.told = true
	}
	return s.saltCall, s.failed
}
