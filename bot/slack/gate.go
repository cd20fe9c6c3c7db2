package slack

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// gate is the way to Slack's Web API. A method of which Slack said that it was
// called too often is not called again before the time that Slack named,
// whoever wants to: until then the answer is the same, given here. Slack may
// forget to name a time; then it is a second.
type gate struct {
	next http.RoundTripper
	api  string // what the addresses of methods begin with
	now  func() time.Time

	mu     sync.Mutex
	closed map[string]time.Time // by method; there are as many as Berth calls
}

// RoundTrip makes a call unless its method is closed.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	name, ok := strings.CutPrefix(r.URL.String(), g.api)
	if !ok {
		return g.next.RoundTrip(r) // a response URL, an upload: they have no limit in common
	}
	g.mu.Lock()
	wait := g.closed[name].Sub(g.now())
	g.mu.Unlock()
	if wait > 0 {
		if r.Body != nil {
			r.Body.Close()
		}
		return tooMany(r, wait), nil
	}
	res, err := g.next.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusTooManyRequests {
		return res, err
	}
	seconds, parseErr := strconv.Atoi(res.Header.Get("Retry-After"))
	if parseErr != nil || seconds <= 0 {
		seconds = 1
		res.Header.Set("Retry-After", "1")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[name] = g.now().Add(time.Duration(seconds) * time.Second)
	return res, nil
}

// tooMany is Slack's answer to a call too many.
func tooMany(r *http.Request, wait time.Duration) *http.Response {
	const body = `{"ok":false,"error":"ratelimited"}`
	seconds := strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	return &http.Response{Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Retry-After": {seconds}, "Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}
}
