package orchestrator

import (
	"fmt"
	"strings"
	"time"
)

// ownCause is a cause that Berth sees for itself, in no program's output. In
// its texts NAME is the environment, {server} the server that it is about and
// {value} what else it tells.
type ownCause struct{ code, who, sentence, next string }

var (
	ownCanceled = ownCause{"interrupted", "developer", "This was canceled before it was done.",
		"go on with berth env retry NAME, or remove it with berth env destroy NAME"}
	// A retry of a destroy destroys, which who has canceled one may not want.
	ownDestroyCanceled = ownCause{"interrupted", "developer", "The destroy was canceled before it was done: some of it may be gone.",
		"berth env deploy NAME keeps it and makes anew what is gone; berth env destroy NAME removes the rest"}
	ownOverdue = ownCause{"timeout", "retry", "This was not done after {value}, the longest that an operation may take, and was stopped.",
		"berth env retry NAME, or berth env destroy NAME"}
	ownSurprise = ownCause{"unknown", "ops", "Something went wrong on Berth's side (operation {value}).",
		"Ask ops to look at operation {value} in Berth's log; then: berth env retry NAME"}
	ownLost = ownCause{"killed", "retry", "The work was interrupted from outside, and Berth cannot tell how far it came.",
		"berth env retry NAME"}
	ownUnknown = ownCause{"unreconciled", "ops", "An earlier attempt was interrupted while it made {value}. Berth cannot see whether that is there now, and makes nothing twice.",
		"ask ops to look in the cloud for what carries this environment's ID, remove what the environment does not know, and say so with: berth state settle NAME; then: berth env retry NAME"}
	ownLeft = ownCause{"left_over", "retry", "It is not gone yet: {value}.",
		"berth env destroy NAME tries again at once; ops see what is left with: berth state list NAME"}
	ownKept = ownCause{"half_made", "retry", "{value} What is there is kept.",
		"berth env retry NAME makes only what is missing; berth env destroy NAME removes what is there"}
	ownGone = ownCause{"machine_gone", "developer", "The machine of {server} is gone: it was removed outside Berth.",
		"berth env repair NAME makes it anew"}
	ownStopped = ownCause{"machine_stopped", "developer", "The machine of {server} does not run: it was stopped outside Berth.",
		"ask ops to start it again, or make it anew with berth env repair NAME"}
	ownNeverHeard = ownCause{"timeout", "retry", "The server {server} was made, but it has not been heard of for {value}.",
		"berth env retry NAME; if it stays silent, ask ops to look at the machine's own log and at its way to Berth; berth diagnose FILE reads /var/log/cloud-init-output.log"}
	ownSilent = ownCause{"timeout", "retry", "The server {server} has fallen silent: it was last heard of {value} ago.",
		"berth env retry NAME; if it stays silent, ask ops whether the machine still runs, what journalctl -u berth-agent says on it, and whether it reaches Berth"}
	ownSlow = ownCause{"timeout", "retry", "{server} has not finished its set-up within {value}.",
		"berth env retry NAME; berth env logs NAME shows how far it came"}
	ownNoReport = ownCause{"unknown", "retry", "{server} failed and left no report.",
		"berth env retry NAME; if it stays, ask ops to look at the machine"}
	ownNoReason = ownCause{"unknown", "ops", "{server} did not come up, and its report does not say why.",
		"send ops this message; berth env logs NAME shows what the server printed"}
)

// of is the cause about a server, if it is about one, in a diagnosis that is
// kept.
func (o ownCause) of(server, value string) Cause {
	fill := strings.NewReplacer("{server}", server, "{value}", value, "NAME", itself).Replace
	return Cause{Code: o.code, Who: o.who, Server: server, Sentence: fill(o.sentence), Next: fill(o.next)}
}

// awaited is the cause about a server that is waited for since then, with what
// is known of it: where it is, and when it was heard of.
func (o ownCause) awaited(v Server, value string, since time.Time) Cause {
	c := o.of(nameOf(v), value)
	heard, where := "never", v.Address
	if v.LastSeen != nil {
		heard = v.LastSeen.UTC().Format(time.RFC3339)
	}
	if where == "" {
		where = "not known"
	} else if where != "127.0.0.1" {
		// The address is another one each time, or may be missing.
		c.Telling = strings.ReplaceAll(c.Sentence, nameOf(v), itself)
		c.Sentence = strings.Replace(c.Sentence, nameOf(v), nameOf(v)+" ("+where+")", 1)
	}
	c.Evidence = fmt.Sprintf("server: %s\naddress: %s\nwaited for since: %s\nlast heard of: %s", v.ID, where, since.UTC().Format(time.RFC3339), heard)
	return c
}

// OwnCauses are examples of the causes that Berth sees for itself, for the list
// of all causes.
func OwnCauses() []Cause {
	var out []Cause
	for _, o := range []ownCause{ownCanceled, ownDestroyCanceled, ownOverdue, ownSurprise, ownLost, ownUnknown, ownLeft, ownKept, ownGone, ownStopped, ownNeverHeard, ownSilent, ownSlow, ownNoReport, ownNoReason} {
		c := o.of("NAME/APP", "…")
		c.Next = named(c.Next, "NAME")
		out = append(out, c)
	}
	return out
}
