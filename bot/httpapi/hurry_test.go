package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/httpapi"
)

// noted is a connection that notes the last and the latest deadline it was given.
type noted struct {
	net.Conn
	mu         sync.Mutex
	last, most time.Time
}

func (c *noted) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = at
	if at.After(c.most) {
		c.most = at
	}
	return c.Conn.SetReadDeadline(at)
}

type noting struct {
	net.Listener
	conns chan *noted
}

func (l *noting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &noted{Conn: conn}
	l.conns <- c
	return c, nil
}

// A body that does not come is given up; one that has come may wait for its
// answer as long as it likes.
func TestHurry(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	slow := httptest.NewServer(httpapi.Hurry(time.Nanosecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	})))
	t.Cleanup(slow.Close)
	conn, err := net.Dial("tcp", slow.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: berth\r\nContent-Length: 10\r\n\r\n12345")
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a body that stopped: %v", err)
	}
	if said, err := io.ReadAll(bufio.NewReader(conn)); err != nil || !strings.Contains(string(said), "Connection: close") {
		t.Errorf("its connection stays open: %s, %v", said, err)
	}

	conns := make(chan *noted, 1)
	server := httptest.NewUnstartedServer(httpapi.Hurry(time.Hour, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c := <-conns
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprint(w, string(body), err, time.Until(c.most) > time.Minute, c.last.IsZero())
	})))
	server.Listener = &noting{server.Listener, conns}
	server.Start()
	t.Cleanup(server.Close)
	response, err := http.Post(server.URL, "text/plain", strings.NewReader("12345"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if said, err := io.ReadAll(response.Body); string(said) != "12345<nil> true true" || err != nil {
		t.Errorf("one that came: %s, %v", said, err)
	}
}
