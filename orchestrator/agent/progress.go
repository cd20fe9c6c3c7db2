package agent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	maxLine    = 2000 // bytes of one line of progress
	maxPending = 2000 // lines that wait while Berth cannot be reached
	batch      = 200
)

// urlUser matches what stands before the host of a URL: it may be a password.
var urlUser = lazyregexp.New(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@]+@`)

// stream sends progress to Berth in batches. It is for people who watch: what
// cannot be sent in time is dropped, oldest first.
type stream struct {
	mu         sync.Mutex
	pending    []orchestrator.Progress
	dropped    int
	generation int
	sending    bool
	wake       chan struct{}
}

func newStream() *stream { return &stream{wake: make(chan struct{}, 1)} }

// at sets the generation that the lines to come are about.
func (s *stream) at(generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation = generation
}

// add queues one line.
func (s *stream) add(step, source, text string) {
	text = clip(urlUser.ReplaceAllString(strings.ToValidUTF8(text, "�"), "$1"))
	s.mu.Lock()
	s.pending = append(s.pending, orchestrator.Progress{Generation: s.generation, At: time.Now().UTC(), Step: step, Source: source, Text: text})
	if n := len(s.pending) - maxPending; n > 0 {
		s.pending = append(s.pending[:0:0], s.pending[n:]...)
		s.dropped += n
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func clip(text string) string {
	if len(text) <= maxLine {
		return text
	}
	cut := maxLine
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// take gives the next lines to send.
func (s *stream) take() []orchestrator.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.pending[:min(batch, len(s.pending))]
	s.pending = s.pending[len(lines):]
	s.sending = len(lines) > 0
	return lines
}

func (s *stream) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = false
}

func (s *stream) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) == 0 && !s.sending
}

// run sends until ctx ends or the server is gone.
func (s *stream) run(ctx context.Context, send func(context.Context, []orchestrator.Progress) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		// A moment, for lines come in bursts.
		if pause(ctx, 100*time.Millisecond) != nil {
			return nil
		}
		for {
			lines := s.take()
			if len(lines) == 0 {
				break
			}
			wait := newBackoff(5 * time.Second)
			for try := 0; try < 5; try++ {
				err := send(ctx, lines)
				if errors.Is(err, errGone) {
					s.done()
					return err
				}
				var refused *statusError
				if err == nil || errors.As(err, &refused) && refused.Status/100 == 4 && refused.Status != 429 {
					break
				}
				if pause(ctx, wait.NextBackOff()) != nil {
					s.done()
					return nil
				}
			}
			s.done()
		}
	}
}

// drain waits a little until all lines are sent, so that a report does not
// overtake the steps that led to it.
func (s *stream) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for !s.idle() && pause(ctx, 20*time.Millisecond) == nil {
	}
}

// lineWriter gives each line that is written to it to a function; a line
// without end is cut.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		w.rest = append(w.rest, p[:i]...)
		w.line(strings.TrimSuffix(string(w.rest), "\r"))
		w.rest, p = w.rest[:0], p[i+1:]
	}
	w.rest = append(w.rest, p...)
	if len(w.rest) > 4*maxLine {
		w.line(string(w.rest))
		w.rest = w.rest[:0]
	}
	return n, nil
}

// flush gives the last line, if it had no end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = w.rest[:0]
	}
}

// ends keeps the beginning and the end of what is written to it.
type ends struct {
	mu      sync.Mutex
	head    []byte
	tail    []byte
	cut     bool
	maxHead int
	maxTail int
}

func (e *ends) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(p)
	if room := e.maxHead - len(e.head); room > 0 {
		take := min(room, len(p))
		e.head = append(e.head, p[:take]...)
		p = p[take:]
	}
	e.tail = append(e.tail, p...)
	if len(e.tail) > 2*e.maxTail {
		e.trim()
	}
	return n, nil
}

func (e *ends) trim() {
	if over := len(e.tail) - e.maxTail; over > 0 {
		e.cut = true
		e.tail = append(e.tail[:0:0], e.tail[over:]...)
	}
}

func (e *ends) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trim()
	between := ""
	if e.cut && e.maxHead > 0 {
		between = "\n[…]\n"
	}
	return strings.ToValidUTF8(string(e.head)+between+string(e.tail), "�")
}

// ownStep is the first line of the starter recipe's own commands.
const ownStep = "# Berth's own step"

var (
	executing = lazyregexp.New(`^\[INFO {0,4}\] Executing state (\S+) for \[(.*?)\]?$`)
	troubled  = lazyregexp.New(`^\[(WARNING|ERROR|CRITICAL) {0,4}\] (.*)$`)
)

// saltStep reads one line of salt-call's log: what a person would want to know
// of it, if anything.
func saltStep(line string) (text string, ok bool) {
	m := executing.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	function, name := m[1], m[2]
	switch module, _, _ := strings.Cut(function, "."); {
	case module == "git":
		return "fetching the code from " + name, true
	case module == "cmd" && name == ownStep:
		return "", false
	case module == "cmd":
		return "running: " + name, true
	case module == "pkg" || module == "pip":
		return "installing " + name, true
	case module == "service":
		return "starting the service " + name, true
	case module == "file":
		return "writing " + name, true
	}
	return function + ": " + name, true
}
