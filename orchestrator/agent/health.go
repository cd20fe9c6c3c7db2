package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const (
	healthTimeout = 60 * time.Second
	aliveFor      = 5 * time.Second
	unitName      = "berth-app"
	// takenFor is how long another program may have the port, such as the one
	// that ran before, until nobody waits any more; takenEnded is the same for
	// an app that has ended for it.
	takenFor   = 5 * time.Second
	takenEnded = time.Second
	// nothing begins what is said where nobody has the app's port.
	nothing = "nothing "
)

var prober = &http.Client{
	Timeout: 5 * time.Second,
	// The app is on this machine, whatever proxy leads out of it; and a
	// redirect is an answer.
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func healthLimit(d *orchestrator.Desired) time.Duration {
	if d.HealthTimeout > 0 {
		return time.Duration(d.HealthTimeout) * time.Second
	}
	return healthTimeout
}

// awaitHealth waits until the app is healthy: its path answers 2xx or 3xx;
// without a path its port takes a connection; without a port it has been alive
// for five seconds. p is nil where the agent does not supervise the app. detail
// says why it is not.
func (a *agent) awaitHealth(ctx context.Context, d *orchestrator.Desired, p *app) (healthy bool, detail string) {
	ctx, cancel := context.WithTimeoutCause(ctx, healthLimit(d), context.DeadlineExceeded)
	defer cancel()
	began := time.Now()
	// Most apps answer at once, some take long: ask often at first.
	gap := 20 * time.Millisecond
	var taken time.Time
	for {
		err := a.look(ctx, d, p, began)
		if err == nil {
			return true, ""
		}
		if t := (*portTaken)(nil); !errors.As(err, &t) {
			taken = time.Time{}
		} else if taken.IsZero() {
			taken = time.Now()
		} else if _, ends, _ := p.state(); time.Since(taken) > takenFor || ends > 0 && time.Since(taken) > takenEnded {
			return false, err.Error()
		}
		if ctx.Err() == nil {
			detail = err.Error()
		}
		if pause(ctx, gap) != nil {
			break
		}
		gap = min(gap*3/2, 250*time.Millisecond)
	}
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return false, "a newer change came before the app was healthy"
	}
	if detail == "" {
		detail = "it did not answer"
	}
	if p != nil {
		// Also where a stranger takes connections and never answers; that the
		// app ends for it says nothing more.
		if err := p.displaced(d.Port); err != nil {
			return false, err.Error()
		}
		if _, ends, last := p.state(); ends > 0 {
			return false, endedDetail(ends, last, detail)
		}
	}
	detail = fmt.Sprintf("%s within %s", detail, healthLimit(d))
	if strings.HasPrefix(detail, nothing) {
		detail += a.instead(context.WithoutCancel(ctx), d.Port, p)
	}
	return false, detail
}

// instead says on which ports the app listens, if not on its own: "; the app
// listens on port 3000 instead". It is empty where that cannot be seen.
func (a *agent) instead(ctx context.Context, port int, p *app) string {
	var own []process
	switch {
	case p != nil:
		p.mu.Lock()
		session := p.session
		p.mu.Unlock()
		own, _ = p.processes(session)
	case a.config.Systemd:
		own = inUnit(ctx)
	}
	ports := portsOf(own)
	if len(ports) == 0 || slices.Contains(ports, port) {
		return ""
	}
	text := fmt.Sprintf("; the app listens on port %d", ports[0])
	for _, more := range ports[1:min(len(ports), 4)] {
		text += fmt.Sprintf(", %d", more)
	}
	return text + " instead"
}

// inUnit are the processes of the app where systemd runs it.
func inUnit(ctx context.Context) []process {
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property=MainPID", "--value", unitName).Output()
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || pid == 0 {
		return nil
	}
	all, err := processes()
	if err != nil {
		return nil
	}
	return append(below(pid, all), process{PID: pid})
}

// look says what is wrong with the app now, if anything. began is since when
// it is looked at.
func (a *agent) look(ctx context.Context, d *orchestrator.Desired, p *app, began time.Time) error {
	err := probe(ctx, d)
	switch {
	case d.Port == 0:
		return a.alive(ctx, p, began)
	case p == nil:
		return err
	}
	// Whatever answers on the port must be the app.
	if err := p.displaced(d.Port); err != nil {
		return err
	}
	if since, _, _ := p.state(); err == nil && since.IsZero() {
		return errors.New("the app does not run")
	}
	return err
}

// endedDetail says how the app ended, how often, and what that led to.
func endedDetail(ends int, last, detail string) string {
	text := "the app " + last
	if ends > 1 {
		text += fmt.Sprintf(" (%d times)", ends)
	}
	if last == endedWell {
		text += "; it has to stay in the foreground"
	}
	if detail != "" {
		text += "; " + detail
	}
	return text
}

func probe(ctx context.Context, d *orchestrator.Desired) error {
	if d.Port == 0 {
		return nil
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))
	if d.Health == "" {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf(nothing+"took a connection on port %d", d.Port)
		}
		return conn.Close()
	}
	path := "/" + strings.TrimPrefix(d.Health, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return fmt.Errorf("the health path %q is none", d.Health)
	}
	r.Header.Set("User-Agent", "berth-agent")
	resp, err := prober.Do(r)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf(nothing+"listened on port %d", d.Port)
		}
		return fmt.Errorf("GET %s on port %d gave no answer", path, d.Port)
	}
	resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s answered %d", path, resp.StatusCode)
	}
	return nil
}

// alive reports whether an app without a port has lived long enough.
func (a *agent) alive(ctx context.Context, p *app, began time.Time) error {
	since := began
	if p != nil {
		if since, _, _ = p.state(); since.IsZero() {
			return errors.New("it did not stay alive")
		}
	} else if a.config.Systemd && exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", unitName).Run() != nil {
		return fmt.Errorf("the service %s is not active", unitName)
	}
	if time.Since(since) < aliveFor {
		return errors.New("it did not stay alive")
	}
	return nil
}

// waitForPort waits a little until nobody takes connections on the port.
func (a *agent) waitForPort(ctx context.Context, port int) {
	for deadline := time.Now().Add(3 * time.Second); port != 0 && time.Now().Before(deadline); {
		if probe(ctx, &orchestrator.Desired{Port: port}) != nil || pause(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}
