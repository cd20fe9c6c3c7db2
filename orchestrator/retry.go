package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Try is an attempt of an operation that failed for reasons that may pass by
// themselves, after which Berth tries again by itself, once. It is kept with
// the operation: whoever takes it up after an interruption knows what has been
// tried, and when to go on.
type Try struct {
	FailedAt time.Time `json:"failed_at"`
	AgainAt  time.Time `json:"again_at"`
	Sentence string    `json:"sentence"`
	// Machines says that the machines could not be made.
	Machines bool `json:"machines,omitempty"`
	// Servers are the generations that failed, by server ID: these servers
	// alone are tried again.
	Servers map[string]int `json:"servers,omitempty"`
}

// How much longer than usual Berth waits for what takes its time to pass, and
// how long at most where somebody has said how long.
const (
	busyWaits    = 2
	limitWaits   = 4
	longestPause = 15 * time.Minute
)

// slowly are the codes whose reasons take their time.
var slowly = map[string]int{
	"salt_busy": busyWaits, "package_busy": busyWaits, "state_locked": busyWaits,
	"rate_limited": limitWaits, "capacity": limitWaits,
}

// unmade are the codes of a cloud that has refused: what it was asked for is
// certainly not there. After anything else that broke off while a machine was
// being made, another try could make it twice.
var unmade = []string{"rate_limited", "capacity", "state_locked"}

// again says whether and when a failed attempt is to be repeated: once, only
// what a repetition can mend and cannot harm, and only while the operation has
// time left for it.
func (r *run) again(f *failure) (Try, bool) {
	if r.RetryAfter <= 0 || len(r.op.Tries) > 0 || f.silent || r.op.Kind == KindDestroy || r.op.Kind == KindServerDestroy || len(f.diagnosis.Causes) == 0 {
		return Try{}, false
	}
	wait := r.RetryAfter
	for _, c := range f.diagnosis.Causes {
		if c.Who != "retry" || f.begun && !slices.Contains(unmade, c.Code) {
			return Try{}, false
		}
		if c.Wait > longestPause {
			return Try{}, false
		}
		wait = max(wait, c.Wait, r.RetryAfter*time.Duration(slowly[c.Code]))
	}
	now := r.Now()
	if now.Add(wait).After(r.began.Add(r.limit() - r.limit()/8)) {
		return Try{}, false
	}
	return Try{FailedAt: now, AgainAt: now.Add(wait), Machines: f.machines, Servers: f.servers,
		Sentence: named(f.diagnosis.Causes[0].Sentence, r.env.Name)}, true
}

// announce is what people read while Berth waits for its second try.
func (r *run) announce(t Try) Event {
	text := "trying again by itself in " + moment(t.AgainAt.Sub(t.FailedAt))
	var who []string
	for _, v := range r.env.Servers {
		if _, ok := t.Servers[v.ID]; ok {
			who = append(who, v.App)
		}
	}
	if len(who) > 0 {
		text += " (" + list(who) + ")"
	}
	text += ": " + t.Sentence
	return Event{OperationID: r.op.ID, At: t.FailedAt, Step: "waiting", Text: text}
}

// pause waits until the second try is due, or ctx ends. Nothing is waited for
// that is over.
func (r *run) pause(ctx context.Context) error {
	if len(r.op.Tries) == 0 {
		return nil
	}
	left := r.op.Tries[len(r.op.Tries)-1].AgainAt.Sub(r.Now())
	if left <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.After(left):
	}
	r.say(ctx, "", "again", "trying again")
	return nil
}

// anew says whether a server is one that failed in the attempt before and has
// not been given another generation since.
func (r *run) anew(v Server) bool {
	if len(r.op.Tries) == 0 || v.Status == StatusReady {
		return false
	}
	generation, failed := r.op.Tries[len(r.op.Tries)-1].Servers[v.ID]
	return failed && generation == v.Generation
}

// provisioning names the attempt to make machines: one that is over keeps its
// result, so another one needs another name.
func (r *run) provisioning() string { return r.attemptName(0) }

// attemptName names the attempt that comes so many later.
func (r *run) attemptName(later int) string {
	name, n := r.op.ID, 1+later
	for _, t := range r.op.Tries {
		if t.Machines {
			n++
		}
	}
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

// tried says in the next steps of what may pass by itself that Berth has tried
// already.
func (r *run) tried(d *Diagnosis, at time.Time) {
	if len(r.op.Tries) == 0 {
		return
	}
	first := r.op.Tries[0].FailedAt.UTC()
	for i := range d.Causes {
		c := &d.Causes[i]
		if c.Who != "retry" {
			continue
		}
		said := fmt.Sprintf("Berth tried twice, at %s and %s UTC", first.Format("15:04"), at.UTC().Format("15:04"))
		if c.Next != "" {
			said += "; " + small(c.Next)
		} else {
			said += "."
		}
		c.Next = said
	}
}

// small begins a sentence within another one.
func small(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if next, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsUpper(r) && !unicode.IsUpper(next) && !strings.HasPrefix(s, "Berth") {
		return string(unicode.ToLower(r)) + s[n:]
	}
	return s
}

// moment is a short duration to the second, for who waits.
func moment(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", max(1, d.Round(time.Second)/time.Second))
	}
	return Duration(d)
}

func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}
