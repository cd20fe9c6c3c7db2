package slackfake

import (
	"sync"
	"time"
)

// ackWithin is how long the app has to acknowledge.
const ackWithin = 3 * time.Second

// retryAfter is when events that nobody acknowledged come again: at once,
// after a minute, after five.
var retryAfter = []time.Duration{0, time.Minute, 5 * time.Minute}

// Kinds of deliveries, as Socket Mode names them.
const (
	slashCommands = "slash_commands"
	interactive   = "interactive"
	eventsAPI     = "events_api"
)

// What people see when the app does not answer.
const (
	OperationTimeout = "operation_timeout"
	DispatchFailed   = "dispatch_failed"
)

// delivery is one payload on its way to the app.
type delivery struct {
	id      string // the envelope
	kind    string
	payload Object
	accepts bool // an answer with the acknowledgement
	attempt int
	reason  string // why this is a retry

	sent  time.Time
	conns []int // sockets that were given this attempt
	stop  func() bool

	done    chan struct{}
	once    sync.Once
	acked   bool
	latency time.Duration
	answer  Object // what came with the acknowledgement
	failure string // what the person sees instead

	// onAck acts on the acknowledgement before the person sees it; mu is held.
	// A failure that it returns is what the person sees.
	onAck func(answer Object) (failure string)
	hook  *hook
	// seen is what the person was shown because of it, beside messages.
	fieldErrors map[string]string
}

func (d *delivery) finish() { d.once.Do(func() { close(d.done) }) }

// send hands a delivery to the app; mu is held.
func (s *Server) send(d *delivery) {
	if d.id == "" {
		d.id = s.secret("env-")
	}
	d.done = make(chan struct{})
	s.deliveries[d.id] = d
	if len(s.deliveries) > 2*s.opts.Keep {
		for id, old := range s.deliveries { // those whose end everybody has seen
			select {
			case <-old.done:
				if s.pending[id] == nil && s.clock.Now().Sub(old.sent) > time.Hour {
					delete(s.deliveries, id)
				}
			default:
			}
		}
	}
	s.log.stats.Deliveries[d.kind]++
	s.backgroundLocked(func() { s.try(d) })
}

// try makes one attempt.
func (s *Server) try(d *delivery) {
	s.mu.Lock()
	if d.acked || s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	base := s.requestURL
	d.sent = s.clock.Now()
	d.conns = nil
	if d.attempt > 0 {
		s.log.stats.Redeliveries++
	}
	s.mu.Unlock()
	if base != "" {
		s.post(base, d)
		return
	}
	s.overSocket(d)
}

// acknowledge ends a delivery that the app took; mu is held.
func (s *Server) acknowledge(d *delivery, answer Object) {
	delete(s.pending, d.id)
	if d.stop != nil {
		d.stop()
	}
	d.acked, d.answer = true, answer
	d.latency = s.clock.Now().Sub(d.sent)
	s.log.stats.Acks++
	s.log.stats.Latencies = append(s.log.stats.Latencies, d.latency)
	if d.onAck != nil {
		d.failure = d.onAck(answer)
	}
	s.record(Entry{Kind: "ack", Delivery: d.kind, Envelope: d.id, Attempt: d.attempt, Latency: d.latency, Payload: answer, Err: d.failure})
	d.finish()
}

// missed ends an attempt that failed: events come again, people see an error;
// mu is held.
func (s *Server) missed(d *delivery, failure, reason string) {
	if d.acked {
		return
	}
	delete(s.pending, d.id)
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
	if failure == OperationTimeout {
		s.log.stats.Timeouts++
	} else {
		s.log.stats.Undeliverable++
	}
	s.record(Entry{Kind: "timeout", Delivery: d.kind, Envelope: d.id, Attempt: d.attempt, Err: failure, Note: reason})
	if d.kind == eventsAPI && d.attempt < len(retryAfter) {
		wait := retryAfter[d.attempt]
		d.attempt++
		d.reason = reason
		if wait == 0 {
			s.backgroundLocked(func() { s.try(d) })
			return
		}
		s.clock.AfterFunc(wait, func() { s.background(func() { s.try(d) }) })
		return
	}
	d.failure = failure
	d.finish()
	s.change(Change{Kind: "delivery"})
}

// arm starts the acknowledgement's timer; mu is held.
func (s *Server) arm(d *delivery) {
	attempt := d.attempt
	d.stop = s.clock.AfterFunc(ackWithin, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending[d.id] == d && d.attempt == attempt {
			s.missed(d, OperationTimeout, "timeout")
		}
	})
	s.pending[d.id] = d
}
