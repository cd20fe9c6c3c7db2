package slackfake

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Storm answers calls with 429 whatever their rate is.
type Storm struct {
	Methods    []string      // only these; all when empty
	Calls      int           // the next so many calls; without a bound when zero
	For        time.Duration // for so long, by the clock; without a bound when zero
	RetryAfter time.Duration // rounded up to seconds; 1 s when zero
	// OmitHeader leaves Retry-After away, as has been seen.
	OmitHeader bool
	// DoAnyway carries the call out although the answer says 429, as has been
	// reported of chat.postMessage.
	DoAnyway bool

	until time.Time
}

// Outage is a way in which Slack is not there.
type Outage int

// The outages.
const (
	NoOutage    Outage = iota
	Unavailable        // every request is answered 503
	Hanging            // requests are taken and never answered
	Refused            // nothing listens, and sockets are cut
)

// faults are what has been asked for; Server.mu guards them.
type faults struct {
	storm     *Storm
	outage    Outage
	ended     chan struct{} // closed when an outage of hanging requests ends
	latency   time.Duration
	cut       int // so many deliveries are followed by a cut
	duplicate int // so many deliveries are sent twice
}

// SetStorm starts a storm, in place of an earlier one; the zero Storm ends it.
func (s *Server) SetStorm(storm Storm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if storm.Calls == 0 && storm.For == 0 && storm.RetryAfter == 0 && len(storm.Methods) == 0 && !storm.OmitHeader && !storm.DoAnyway {
		s.faults.storm = nil
		return
	}
	if storm.For > 0 {
		storm.until = s.clock.Now().Add(storm.For)
	}
	storm.RetryAfter = max(storm.RetryAfter, time.Second)
	s.faults.storm = &storm
}

// stormy says whether a storm hits this call; mu is held.
func (s *Server) stormy(method string) *Storm {
	storm := s.faults.storm
	if storm == nil {
		return nil
	}
	if !storm.until.IsZero() && !s.clock.Now().Before(storm.until) {
		s.faults.storm = nil
		return nil
	}
	if len(storm.Methods) > 0 && !slices.Contains(storm.Methods, method) {
		return nil
	}
	if storm.Calls > 0 {
		if storm.Calls--; storm.Calls == 0 {
			s.faults.storm = nil
		}
	}
	return storm
}

// SetLatency delays every answer by d, by the clock.
func (s *Server) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.latency = d
}

// SetOutage begins an outage, or ends it with NoOutage.
func (s *Server) SetOutage(o Outage) error {
	s.mu.Lock()
	was := s.faults.outage
	s.faults.outage = o
	if s.faults.ended != nil {
		close(s.faults.ended)
		s.faults.ended = nil
	}
	if o == Hanging {
		s.faults.ended = make(chan struct{})
	}
	s.mu.Unlock()
	if was == Refused && o != Refused {
		return s.listen(s.addr)
	}
	if o == Refused && was != Refused {
		s.listening.Lock()
		_ = s.http.Close()
		s.listening.Unlock()
	}
	if o != NoOutage {
		s.DropConnections()
	}
	return nil
}

// CutDeliveries cuts the TCP connection after each of the next n deliveries
// was written, before it can be acknowledged.
func (s *Server) CutDeliveries(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.cut = n
}

// DuplicateDeliveries sends each of the next n deliveries twice, under the
// same envelope, over two sockets where there are two.
func (s *Server) DuplicateDeliveries(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.duplicate = n
}

// faulty puts the outages and the latency before a handler.
func (s *Server) faulty(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		outage, ended, latency := s.faults.outage, s.faults.ended, s.faults.latency
		s.mu.Unlock()
		switch outage {
		case Unavailable:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("<html><body>Slack is having trouble.</body></html>"))
			return
		case Hanging:
			select {
			case <-ended:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		}
		if latency > 0 {
			passed := make(chan struct{})
			stop := s.clock.AfterFunc(latency, func() { close(passed) })
			defer stop()
			select {
			case <-passed:
			case <-r.Context().Done():
				return
			}
		}
		next(w, r)
	}
}

// tooMany answers 429.
func tooMany(w http.ResponseWriter, wait time.Duration, header bool) {
	if header {
		seconds := max(1, int((wait+time.Second-1)/time.Second))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write([]byte(`{"ok":false,"error":"ratelimited"}`))
}
