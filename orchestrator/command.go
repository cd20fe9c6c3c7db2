package orchestrator

import "time"

// Noun is what a command is about.
type Noun string

// The two nouns of the grammar.
const (
	NounEnv    Noun = "env"
	NounServer Noun = "server"
)

// Verb is what a command does.
type Verb string

// The verbs of the grammar.
const (
	VerbCreate  Verb = "create"
	VerbList    Verb = "list"
	VerbShow    Verb = "show"
	VerbWhy     Verb = "why"
	VerbLogs    Verb = "logs"
	VerbHistory Verb = "history"
	VerbPlan    Verb = "plan"
	VerbDeploy  Verb = "deploy"
	VerbRetry   Verb = "retry"
	VerbRepair  Verb = "repair"
	VerbCancel  Verb = "cancel"
	VerbDestroy Verb = "destroy"
	VerbExtend  Verb = "extend"
	VerbRename  Verb = "rename"
	VerbHelp    Verb = "help"
)

// Command is what a person asked for, whichever door they used. It is data:
// nothing in it has been checked against the catalog or the store.
type Command struct {
	Noun Noun `json:"noun"`
	Verb Verb `json:"verb"`
	// Environment is the environment's name, or the lone server's.
	Environment string `json:"environment,omitempty"`
	// App narrows to one server (ENV/APP), names the app of server create,
	// or filters server list.
	App       string `json:"app,omitempty"`
	Blueprint string `json:"blueprint,omitempty"`
	// Branches is app → branch as typed (for server create: its app's).
	// In server deploy without ENV/APP the key may be empty: the lone app's.
	Branches map[string]string `json:"branches,omitempty"`
	TTL      time.Duration     `json:"ttl,omitempty"` // 0: not given
	Size     string            `json:"size,omitempty"`
	Target   string            `json:"target,omitempty"`
	Name     string            `json:"name,omitempty"` // server create name=
	NewName  string            `json:"new_name,omitempty"`
	// Operation narrows cancel to one operation: a button is about that one.
	Operation string `json:"operation,omitempty"`
	Mine      bool   `json:"mine,omitempty"`
	// Detail is how much why tells.
	Detail Detail `json:"detail,omitempty"`
}

// Detail is how much a person wants to be told of a failure.
type Detail string

// The details of why: in short, the whole tree of what failed and what it kept
// from running, and what the programs printed.
const (
	DetailShort Detail = ""
	DetailAll   Detail = "all"
	DetailRaw   Detail = "raw"
)

// Changes reports whether running the command changes anything.
func (c Command) Changes() bool {
	switch c.Verb {
	case VerbCreate, VerbDeploy, VerbRetry, VerbRepair, VerbCancel, VerbDestroy, VerbExtend, VerbRename:
		return true
	}
	return false
}

// Itself is the actor of what Berth does without being asked.
const Itself = "berth"

// Actor is who asks. Ops and Teams come from the catalog, or from the socket's
// peer credentials.
type Actor struct {
	Name  string   `json:"name"`
	Ops   bool     `json:"ops"`
	Teams []string `json:"teams,omitempty"`
	// From is where the command came from.
	From Origin `json:"-"`
}
