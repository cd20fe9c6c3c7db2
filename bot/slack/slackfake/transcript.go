package slackfake

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Entry is a line of the transcript: something that passed between the
// stand-in and the app.
type Entry struct {
	Seq  int
	At   time.Time
	Kind string // call, hook, upload, delivery, ack, timeout, connect, disconnect

	Method   string // of a call
	Request  Object // its arguments, without the token
	Status   int    // HTTP
	Err      string // Slack's error code, or what went wrong
	Messages []string
	RetryIn  time.Duration // of a 429

	Delivery string // slash_commands, interactive or events_api
	Envelope string
	Attempt  int // 0 is the first
	Conn     int // the socket's number; 0 in HTTP mode
	Payload  Object
	Latency  time.Duration // of an acknowledgement
	Note     string
}

// String is a line for people.
func (e Entry) String() string {
	line := fmt.Sprintf("%s %s", e.At.Format("15:04:05.000"), e.Kind)
	for _, part := range []string{e.Method, e.Delivery, e.Envelope, e.Err, e.Note} {
		if part != "" {
			line += " " + part
		}
	}
	if e.Attempt > 0 {
		line += fmt.Sprintf(" (attempt %d)", e.Attempt+1)
	}
	if e.Conn > 0 {
		line += fmt.Sprintf(" socket %d", e.Conn)
	}
	for _, m := range e.Messages {
		line += " | " + m
	}
	if e.Request != nil {
		request := encode(e.Request)
		if len(request) > 300 {
			request = append(request[:300:300], "…"...)
		}
		line += " " + string(request)
	}
	return line
}

// Stats count what happened since the start.
type Stats struct {
	Calls         map[string]int // by method
	Errors        map[string]int // by Slack's code
	RateLimited   int            // answers 429
	Deliveries    map[string]int // by kind, first attempts
	Redeliveries  int
	Duplicates    int // second copies that were asked for with DuplicateDeliveries
	Acks          int // in time
	LateAcks      int // after the timer
	StrayAcks     int // for an envelope that this socket was not given, or twice
	DroppedAcks   int // too large
	Timeouts      int // nobody acknowledged in time
	Undeliverable int
	Connects      int
	Pongs         int
	Latencies     []time.Duration // from delivery to acknowledgement
}

// Percentile is the acknowledgement time that the given share (0 to 1) of
// acknowledgements stayed within; zero without any.
func (s Stats) Percentile(share float64) time.Duration {
	if len(s.Latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Latencies))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// transcript keeps the last entries; Server.mu guards it.
type transcript struct {
	keep    int
	entries []Entry
	seq     int
	stats   Stats
}

func newTranscript(keep int) transcript {
	return transcript{keep: keep, stats: Stats{Calls: map[string]int{}, Errors: map[string]int{}, Deliveries: map[string]int{}}}
}

// record adds an entry; mu is held.
func (s *Server) record(e Entry) {
	s.log.seq++
	e.Seq, e.At = s.log.seq, s.clock.Now()
	s.log.entries = append(s.log.entries, e)
	if len(s.log.entries) >= 2*s.log.keep {
		s.log.entries = slices.Clone(s.log.entries[len(s.log.entries)-s.log.keep:])
	}
	if e.Err != "" {
		s.log.stats.Errors[e.Err]++
	}
	s.change(Change{Kind: e.Kind})
}

// Transcript is what passed between the stand-in and the app, oldest first.
func (s *Server) Transcript() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log.entries[max(0, len(s.log.entries)-s.log.keep):])
}

// Calls are the calls of a method, oldest first; of all methods with "".
func (s *Server) Calls(method string) []Entry {
	return slices.DeleteFunc(s.Transcript(), func(e Entry) bool {
		return e.Kind != "call" || method != "" && e.Method != method
	})
}

// Stats are the counters as they stand.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.log.stats
	c.Calls, c.Errors, c.Deliveries = maps.Clone(c.Calls), maps.Clone(c.Errors), maps.Clone(c.Deliveries)
	c.Latencies = slices.Clone(c.Latencies)
	return c
}
