package orchestrator

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Status is the state of an environment or of a server.
type Status string

// The states of environments and servers, in the contract's words.
const (
	StatusCreating   Status = "creating"
	StatusReady      Status = "ready"
	StatusDeploying  Status = "deploying"
	StatusFailed     Status = "failed"
	StatusDestroying Status = "destroying"
	StatusDestroyed  Status = "destroyed"
)

// OperationStatus is the state of an operation.
type OperationStatus string

// The states of an operation, in the contract's words.
const (
	OperationQueued    OperationStatus = "queued"
	OperationRunning   OperationStatus = "running"
	OperationSucceeded OperationStatus = "succeeded"
	OperationFailed    OperationStatus = "failed"
	OperationCanceled  OperationStatus = "canceled"
)

// Ended reports whether the operation has come to its end.
func (s OperationStatus) Ended() bool {
	return s == OperationSucceeded || s == OperationFailed || s == OperationCanceled
}

// AgentStatus says whether a server's agent is heard.
type AgentStatus string

// The states of an agent, in the contract's words.
const (
	AgentOnline AgentStatus = "online"
	AgentSilent AgentStatus = "silent"
	AgentNever  AgentStatus = "never"
)

// MachineStatus says what is wrong with a server's machine.
type MachineStatus string

// What can be wrong with a machine: it could not be made, it is gone without
// Berth's doing, or it is there and does not run. Empty: nothing is known to be.
const (
	MachineMissing MachineStatus = "missing"
	MachineGone    MachineStatus = "gone"
	MachineStopped MachineStatus = "stopped"
)

// Environment is a named set of servers with one owner, one Terraform
// workspace and one expiry. ID never changes; Name is a label.
type Environment struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Owner     string    `json:"owner"`
	Target    string    `json:"target"`
	Blueprint string    `json:"blueprint,omitempty"`
	Size      string    `json:"size,omitempty"`
	Status    Status    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// ExpirySetAt is when ExpiresAt was decided: at the creation or the last
	// extension.
	ExpirySetAt time.Time  `json:"-"`
	Servers     []Server   `json:"servers"`
	Operation   *Operation `json:"operation"`
	Diagnosis   *Diagnosis `json:"diagnosis"`
}

// Server is one machine that runs one app at one revision. Branch, Commit and
// Needs are what is desired at Generation; Revision is what really runs (empty
// until a report has said so).
type Server struct {
	ID            string      `json:"id"`
	EnvironmentID string      `json:"-"`
	Environment   string      `json:"environment,omitempty"`
	Name          string      `json:"name"` // ENV/APP
	App           string      `json:"app"`
	Repository    string      `json:"repository"`
	Branch        string      `json:"branch"`
	Commit        string      `json:"commit"` // desired, 40 hex
	Revision      string      `json:"revision"`
	Generation    int         `json:"generation"`
	Status        Status      `json:"status"`
	Agent         AgentStatus `json:"agent"`
	LastSeen      *time.Time  `json:"last_seen"`
	Address       string      `json:"address"`
	Port          int         `json:"port,omitempty"`
	URL           string      `json:"url"`
	Needs         Needs       `json:"needs"`
	// Step is what it is at while an operation waits for it, in a few words,
	// such as "installing: …"; set where one environment is asked for.
	Step string `json:"step,omitempty"`
	// Machine is what is wrong with the machine, ProviderID the cloud's name for
	// it.
	Machine    MachineStatus `json:"machine,omitempty"`
	ProviderID string        `json:"provider_id,omitempty"`
	// What the server was made with; never shown.
	UserData string `json:"-"`
	UID      int    `json:"-"`
	// Desired is the document that the agent applies; see package agent.
	Desired []byte `json:"-"`
	// Opening is whom the machine was last made to let in; see opening.
	Opening string `json:"-"`
	// RunningBranch is the branch of Revision.
	RunningBranch string `json:"-"`
}

// Condition is the environment's status in words: a destroy that has failed is
// another trouble than a failed server.
func (e Environment) Condition() string {
	if e.Status == StatusFailed && e.Operation != nil && e.Operation.Kind == KindDestroy {
		return "failed destroying"
	}
	return string(e.Status)
}

// Condition is the server's status in words, with what is wrong with its
// machine.
func (v Server) Condition() string {
	switch v.Machine {
	case MachineMissing:
		return string(v.Status) + ", not made"
	case MachineGone:
		return string(v.Status) + ", its machine is gone"
	case MachineStopped:
		return string(v.Status) + ", its machine is stopped"
	}
	return string(v.Status)
}

// Needs maps a variable to the address that a server gets in it. In JSON it is
// always an object, so that a program need not ask whether it is there.
type Needs map[string]string

// MarshalJSON writes no needs as {}.
func (n Needs) MarshalJSON() ([]byte, error) {
	if n == nil {
		n = Needs{}
	}
	return json.Marshal(map[string]string(n))
}

// Kind is what an operation does.
type Kind string

// The kinds of operation.
const (
	KindCreate        Kind = "create"
	KindServerCreate  Kind = "server-create"
	KindDeploy        Kind = "deploy"
	KindRetry         Kind = "retry"
	KindRepair        Kind = "repair"
	KindDestroy       Kind = "destroy"
	KindServerDestroy Kind = "server-destroy"
	KindExtend        Kind = "extend"
	KindRename        Kind = "rename"
)

// Label reports a kind that changes only what is written down about an
// environment, and nothing on its servers.
func (k Kind) Label() bool { return k == KindExtend || k == KindRename }

// Operation is one requested change. Apps are the apps that it touches;
// empty means all. Position is the place in the queue, 0 when it runs.
type Operation struct {
	ID            string          `json:"id"`
	EnvironmentID string          `json:"-"`
	Kind          Kind            `json:"kind"`
	Status        OperationStatus `json:"status"`
	Actor         string          `json:"actor,omitempty"`
	Text          string          `json:"text,omitempty"` // the canonical command
	Apps          []string        `json:"apps,omitempty"`
	Position      int             `json:"position,omitempty"`
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     *time.Time      `json:"started_at"`
	EndedAt       *time.Time      `json:"ended_at"`
	Diagnosis     *Diagnosis      `json:"-"`
	// Changes are the branch and commit of each app that the operation puts on
	// its server.
	Changes []Change `json:"changes,omitempty"`
	// Tries are the attempts that failed and that Berth repeated by itself.
	Tries []Try `json:"tries,omitempty"`
}

// Change is the desired revision of one app.
type Change struct {
	App    string `json:"app"`
	Branch string `json:"branch"`
	Commit string `json:"commit"`
}

// Event is one step of an operation's progress. Server is empty for the
// environment as a whole.
type Event struct {
	Seq         int64     `json:"seq"`
	OperationID string    `json:"operation"`
	At          time.Time `json:"at"`
	Server      string    `json:"server,omitempty"`
	Step        string    `json:"step"` // queued, init, plan, apply, booting, configuring, health, ready, failed …
	Text        string    `json:"text"`
}

// Words is the event in words. Of the environment as a whole the text says all;
// of a server the step says what the text is about.
func (e Event) Words() string {
	ended := slices.Contains([]string{"ready", "succeeded", "failed", "canceled", "destroyed"}, e.Step)
	if e.Step == "" || e.Server == "" && !ended || strings.HasPrefix(strings.ToLower(e.Text), e.Step) {
		return e.Text
	}
	return e.Step + ": " + e.Text
}

// Outcome says what a diagnosed result was.
type Outcome string

// The outcomes of a diagnosis.
const (
	OutcomeOK         Outcome = "ok"
	OutcomeFailed     Outcome = "failed"
	OutcomeBusy       Outcome = "busy"
	OutcomeUnreadable Outcome = "unreadable"
)

// Diagnosis is what is known about a failure: its causes in the order in which
// they happened. Blocked counts what failed only because something before it
// did; Succeeded what went well; Total all that ran or should have. Cut says
// that the result ended early: there may be causes that it does not show.
type Diagnosis struct {
	Outcome   Outcome `json:"outcome"`
	Causes    []Cause `json:"causes"`
	Blocked   int     `json:"blocked"`
	Total     int     `json:"total"`
	Succeeded int     `json:"succeeded"`
	Cut       bool    `json:"cut,omitempty"`
}

// Cause is one root: Sentence in the developer's words (at most 240
// characters), Who can mend it (developer, ops or retry), Next what to do.
type Cause struct {
	Code   string `json:"code"`
	Who    string `json:"who"`
	Where  string `json:"where"`
	Server string `json:"server,omitempty"`
	// Servers are all that it befell for this one reason, if several did.
	Servers  []string `json:"servers,omitempty"`
	Sentence string   `json:"sentence"`
	Next     string   `json:"next"`
	Evidence string   `json:"evidence"`
	// Blocked names the first hundred steps that did not run because of this
	// cause, in the order in which they would have; BlockedTotal counts all of
	// them. A step that waits on several causes is told at each.
	Blocked      []string `json:"blocked,omitempty"`
	BlockedTotal int      `json:"blocked_total,omitempty"`
	// Fingerprint is the same whenever this fails in the same way; Kin does not
	// tell apps apart. Telling is what both are made of beside the code, as far
	// as it is not Sentence.
	Fingerprint string `json:"fingerprint"`
	// Also are the fingerprints of what is told as one with this.
	Also    []string `json:"also,omitempty"`
	Kin     string   `json:"-"`
	Telling string   `json:"-"`
	// History is what is known of this from before, as of when it is read.
	History *History `json:"history,omitempty"`
	// Outside names what it is about where that lies outside the servers, such
	// as a mirror's host.
	Outside string `json:"-"`
	// Compared tells with which code it went well.
	Compared *Compared `json:"compared,omitempty"`
	// Common tells that several environments have it for one reason.
	Common *Common `json:"common,omitempty"`
	// Ask is the message to ops, ready to be sent on as it is, where they can
	// mend it; several lines.
	Ask string `json:"ask,omitempty"`
	// Wait is how long whoever refused asked to wait, 0 if they did not say.
	Wait time.Duration `json:"-"`
}
