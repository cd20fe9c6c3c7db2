package slackfake

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Reasons for which Slack disconnects a socket.
const (
	Warning           = "warning"           // it will be closed in ten seconds
	RefreshRequested  = "refresh_requested" // it is closed; open another one
	LinkDisabled      = "link_disabled"     // Socket Mode was turned off
	TooManyWebsockets = "too_many_websockets"
)

// warningLead is how long before its end a socket is warned.
const warningLead = 10 * time.Second

// socket is one connection of Socket Mode.
type socket struct {
	number  int
	conn    *websocket.Conn
	writing sync.Mutex
	leaving bool // told to go: gets nothing more; Server.mu guards it
	broken  bool // about to be cut: what it still carries is lost; as leaving
	stops   []func() bool
	ended   chan struct{}
}

// write sends a message in one frame.
func (c *socket) write(v any) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	return c.conn.WriteMessage(websocket.TextMessage, encode(v))
}

// cut ends the connection without a word, as a broken network does.
func (c *socket) cut() {
	if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset instead of an orderly end
	}
	_ = c.conn.NetConn().Close()
}

func (c *call) openConnection() (Object, *refusal) {
	s := c.s
	if s.socketOff {
		return nil, refuse("socket_mode_not_enabled") // Slack's documentation does not name the code
	}
	ticket := s.secret("ticket-")
	s.tickets[ticket] = true
	s.clock.AfterFunc(30*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.tickets, ticket)
	})
	return Object{"url": "ws" + strings.TrimPrefix(s.URL(), "http") + "/link/?ticket=" + ticket + "&app_id=" + s.opts.AppID}, nil
}

var upgrader = websocket.Upgrader{
	ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
	CheckOrigin: func(*http.Request) bool { return true }, // the ticket is what lets in
}

// serveSocket runs one connection.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	s.mu.Lock()
	valid := s.tickets[ticket] && !s.socketOff
	delete(s.tickets, ticket) // each opens one connection
	s.mu.Unlock()
	if !valid {
		http.Error(w, "invalid ticket", http.StatusNotFound)
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	c := &socket{conn: conn, ended: make(chan struct{}), leaving: true} // nothing comes before hello
	s.mu.Lock()
	full, over := len(s.sockets) >= maxSockets, s.ctx.Err() != nil
	if !full && !over {
		s.log.stats.Connects++
		c.number = s.log.stats.Connects
		s.sockets = append(s.sockets, c)
	}
	number := len(s.sockets)
	s.mu.Unlock()
	switch {
	case over:
		_ = conn.Close()
		return
	case full:
		_ = c.write(s.disconnectJSON(TooManyWebsockets))
		_ = conn.Close()
		return
	}
	life := s.opts.ConnectionLife
	if r.URL.Query().Get("debug_reconnects") == "true" {
		life = 360 * time.Second
	}
	hello := Object{
		"type": "hello", "num_connections": number, "connection_info": Object{"app_id": s.opts.AppID},
		"debug_info": Object{"host": "applink-fake", "build_number": 1, "approximate_connection_time": int(life / time.Second)},
	}
	failed := c.write(hello) != nil
	s.mu.Lock()
	if failed {
		c.cut()
	} else {
		c.leaving = false
		c.stops = append(c.stops,
			s.clock.AfterFunc(life-warningLead, func() { s.tell(c, Warning) }),
			s.clock.AfterFunc(life, func() { s.tell(c, RefreshRequested) }))
		s.record(Entry{Kind: "connect", Conn: c.number})
	}
	s.mu.Unlock()

	s.background(func() { s.ping(c) })
	s.read(c)

	close(c.ended)
	_ = conn.Close()
	s.mu.Lock()
	s.sockets = slices.DeleteFunc(s.sockets, func(o *socket) bool { return o == c })
	for _, stop := range c.stops {
		stop()
	}
	s.record(Entry{Kind: "disconnect", Conn: c.number})
	s.mu.Unlock()
}

// ping keeps a connection alive, and ends one whose other end is silent. It
// goes by the machine's clock, which is the one that the client has.
func (s *Server) ping(c *socket) {
	ticker := time.NewTicker(s.opts.PingInterval)
	defer ticker.Stop()
	for n := 0; ; n++ {
		c.writing.Lock()
		err := c.conn.WriteControl(websocket.PingMessage, fmt.Appendf(nil, "Ping from applink-fake %d", n), time.Now().Add(5*time.Second))
		c.writing.Unlock()
		if err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-c.ended:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// read takes acknowledgements until the connection ends.
func (s *Server) read(c *socket) {
	alive := func() { _ = c.conn.SetReadDeadline(time.Now().Add(3*s.opts.PingInterval + 5*time.Second)) }
	alive()
	c.conn.SetReadLimit(maxRequest)
	c.conn.SetPongHandler(func(string) error {
		alive()
		s.mu.Lock()
		s.log.stats.Pongs++
		s.change(Change{Kind: "socket"})
		s.mu.Unlock()
		return nil
	})
	for {
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		s.took(c, frame)
	}
}

// took handles a frame from the app.
func (s *Server) took(c *socket, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.broken {
		return
	}
	if len(frame) >= maxAckSize { // Slack takes it and does nothing
		s.log.stats.DroppedAcks++
		s.record(Entry{Kind: "ack", Conn: c.number, Err: "dropped", Note: fmt.Sprintf("%d bytes", len(frame))})
		return
	}
	var ack struct {
		Envelope string `json:"envelope_id"`
		Payload  any    `json:"payload"`
	}
	if err := decode(frame, &ack); err != nil || ack.Envelope == "" {
		s.log.stats.StrayAcks++
		s.record(Entry{Kind: "ack", Conn: c.number, Err: "not understood", Note: string(frame[:min(len(frame), 200)])})
		return
	}
	d := s.pending[ack.Envelope]
	switch known := s.deliveries[ack.Envelope]; {
	case d != nil && slices.Contains(d.conns, c.number):
		answer, _ := ack.Payload.(Object)
		if text, ok := ack.Payload.(string); ok && text != "" {
			answer = Object{"text": text}
		}
		s.acknowledge(d, answer)
	case d == nil && known != nil && !known.acked:
		s.log.stats.LateAcks++
		s.record(Entry{Kind: "ack", Conn: c.number, Delivery: known.kind, Envelope: ack.Envelope, Err: "late"})
	default:
		s.log.stats.StrayAcks++
		s.record(Entry{Kind: "ack", Conn: c.number, Envelope: ack.Envelope, Err: "stray"})
	}
}

// overSocket gives a delivery to one of the connections, whichever.
func (s *Server) overSocket(d *delivery) {
	for {
		s.mu.Lock()
		var open []*socket
		for _, c := range s.sockets {
			if !c.leaving && !slices.Contains(d.conns, c.number) {
				open = append(open, c)
			}
		}
		if len(open) == 0 {
			s.missed(d, DispatchFailed, "no open connection")
			s.mu.Unlock()
			return
		}
		s.rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
		c := open[0]
		envelope := Object{"type": d.kind, "envelope_id": d.id, "payload": d.payload, "accepts_response_payload": d.accepts}
		if d.kind == eventsAPI {
			envelope["retry_attempt"], envelope["retry_reason"] = d.attempt, d.reason
		}
		d.conns = append(d.conns, c.number)
		s.arm(d)
		cut := s.faults.cut > 0
		if cut {
			s.faults.cut--
			c.leaving, c.broken = true, true
		}
		var second *socket
		if s.faults.duplicate > 0 {
			s.faults.duplicate--
			s.log.stats.Duplicates++
			second = open[len(open)-1]
			d.conns = append(d.conns, second.number)
		}
		s.record(Entry{Kind: "delivery", Delivery: d.kind, Envelope: d.id, Attempt: d.attempt, Conn: c.number, Payload: d.payload})
		s.mu.Unlock()

		err := c.write(envelope)
		if second != nil {
			_ = second.write(envelope)
		}
		if cut {
			c.cut()
			return
		}
		if err == nil {
			return
		}
		// It never left: another connection may have it.
		c.cut()
		s.mu.Lock()
		if s.pending[d.id] == d && d.stop != nil {
			d.stop()
			delete(s.pending, d.id)
		}
		s.mu.Unlock()
	}
}

func (s *Server) disconnectJSON(reason string) Object {
	return Object{"type": "disconnect", "reason": reason, "debug_info": Object{"host": "applink-fake"}}
}

// tell sends a disconnect message. After a warning the connection lives ten
// seconds more; with any other reason it ends.
func (s *Server) tell(c *socket, reason string) {
	s.mu.Lock()
	c.leaving = true
	s.record(Entry{Kind: "disconnect", Conn: c.number, Note: reason})
	if reason == Warning {
		c.stops = append(c.stops, s.clock.AfterFunc(warningLead, func() { _ = c.conn.Close() }))
	}
	s.mu.Unlock()
	_ = c.write(s.disconnectJSON(reason))
	if reason != Warning {
		_ = c.conn.Close()
	}
}

// Disconnect tells all sockets to go, for that reason.
func (s *Server) Disconnect(reason string) {
	for _, c := range s.open() {
		s.tell(c, reason)
	}
}

// DisconnectOne tells the oldest socket to go. It says whether there was one.
func (s *Server) DisconnectOne(reason string) bool {
	open := s.open()
	if len(open) == 0 {
		return false
	}
	s.tell(open[0], reason)
	return true
}

// DropConnections cuts all sockets without a word.
func (s *Server) DropConnections() {
	for _, c := range s.open() {
		c.cut()
	}
}

// SetSocketMode turns Socket Mode off, which tells all sockets link_disabled,
// or on again.
func (s *Server) SetSocketMode(on bool) {
	s.mu.Lock()
	s.socketOff = !on
	s.mu.Unlock()
	if !on {
		s.Disconnect(LinkDisabled)
	}
}

// Connections is how many sockets are open and may be given something.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.sockets {
		if !c.leaving {
			n++
		}
	}
	return n
}

func (s *Server) open() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sockets)
}
