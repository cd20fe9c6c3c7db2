package orchestrator

import (
	"encoding/json"
	"time"
)

// Desired is what a server should be at one generation: the document that its
// agent fetches, applies with Salt and reports about.
type Desired struct {
	Generation int    `json:"generation"`
	ServerID   string `json:"server_id"`
	// Operation is the operation that asked for this generation.
	Operation string `json:"operation"`
	// Stop asks the agent to stop the app and itself.
	Stop bool `json:"stop,omitempty"`
	// Halt asks the agent to give up what it is at: the operation that wanted
	// it is no more. The app goes on as it ran before.
	Halt       bool   `json:"halt,omitempty"`
	Repository string `json:"repository"`
	Branch     string `json:"branch"`
	Commit     string `json:"commit"`
	// Submodules are the repositories of submodules that Berth may be asked a
	// login for; see LoginRequest.
	Submodules []string `json:"submodules,omitempty"`
	// States are the recipes to apply, StatesDigest the SHA-256 (hex) of the
	// tar archive of file_roots, fetched from /agent/v1/states/DIGEST.
	States       []string `json:"states"`
	StatesDigest string   `json:"states_digest"`
	// Pillar is {"berth": {...}} as the contracts give it. The agent fills in
	// berth.root, berth.systemd, berth.env_file, berth.program and berth.app.checkout, which
	// only it knows.
	Pillar json.RawMessage `json:"pillar"`
	// Health is the path to ask, HealthTimeout in seconds (default 60).
	Health        string `json:"health,omitempty"`
	HealthTimeout int    `json:"health_timeout,omitempty"`
	Port          int    `json:"port,omitempty"`
	// Formerly are settings that the server was given before and that are other
	// ones now. They serve to hide them in what it prints and are not sent to it.
	Formerly []map[string]string `json:"formerly,omitempty"`
}

// Pillar is the data that recipes get under the key "berth".
type Pillar struct {
	Server      string            `json:"server"`
	Environment string            `json:"environment"`
	Target      string            `json:"target"`
	Systemd     bool              `json:"systemd"`
	Root        string            `json:"root"`
	App         PillarApp         `json:"app"`
	Settings    map[string]string `json:"settings"`
	// Env is the whole .env: ops' file byte for byte, then the addresses.
	Env string `json:"env"`
	// EnvFile is where the agent has written Env, byte for byte.
	EnvFile string            `json:"env_file"`
	Needs   map[string]string `json:"needs"`
	// Program is berth itself on the server: a unit of systemd starts the app
	// through its "agent exec".
	Program string `json:"program"`
}

// PillarApp is the app's part of Pillar.
type PillarApp struct {
	Name       string `json:"name"`
	Repository string `json:"repository"`
	Branch     string `json:"branch"`
	Revision   string `json:"revision"`
	Checkout   string `json:"checkout"`
	Port       int    `json:"port"`
	Health     string `json:"health"`
	Build      string `json:"build"`
	Start      string `json:"start"`
}

// Report is what an agent sends after Salt ran and the app was checked.
// Stdout is salt-call's standard output as printed, Stderr its standard
// error (at most 64 KiB: the first 16 and the last 48). Exit is as a shell
// sees it (137: killed). A report is idempotent by (server, generation, Run).
type Report struct {
	Generation int       `json:"generation"`
	Run        string    `json:"run"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	Stdout     string    `json:"stdout"`
	Stderr     string    `json:"stderr"`
	Exit       int       `json:"exit"`
	// Problem is set when the agent could not come as far as running Salt
	// (Salt missing, folder unwritable, code unreadable): one plain sentence;
	// Stderr may hold what a program said about it.
	Problem string `json:"problem,omitempty"`
	// Installing says that the problem is the machine's own set-up: Salt could
	// not be installed. Stderr is what the installers printed. The agent goes
	// on trying, and reports again.
	Installing bool `json:"installing,omitempty"`
	// Revision is the commit that the checkout stands at (empty: none).
	Revision string `json:"revision"`
	// Healthy is the result of the health check; HealthDetail says why not.
	Healthy      bool   `json:"healthy"`
	HealthDetail string `json:"health_detail,omitempty"`
	// PortTaken says that another program listens on the app's port.
	PortTaken bool `json:"port_taken,omitempty"`
	// AppLog is the tail of the app's own output (at most 16 KiB).
	AppLog string `json:"app_log,omitempty"`
	// Later marks a report about an app that had been started before and has
	// become healthy or ceased to be: Salt did not run, Stdout is empty.
	Later bool `json:"later,omitempty"`
}

// Progress is one line that an agent streams while it works, or of the app's
// output. Step is booting, installing, configuring, starting, health or log
// (an output line: Source app or salt).
type Progress struct {
	Generation int       `json:"generation"`
	At         time.Time `json:"at"`
	Step       string    `json:"step"`
	Source     string    `json:"source,omitempty"`
	Text       string    `json:"text"`
}

// Boot is what user-data holds: all that a new machine needs to call home.
type Boot struct {
	ServerID    string `json:"server_id"`
	URL         string `json:"url"`   // Berth's address
	Token       string `json:"token"` // enrolment token, dead after use
	SaltVersion string `json:"salt_version"`
	CA          string `json:"ca,omitempty"` // PEM to pin, empty: system roots
}

// The tags that Berth sets, all of them IDs: what a cloud is asked for by the
// one who looks for machines that nobody knows of.
const (
	TagEnvironment  = "berth:environment"
	TagOwner        = "berth:owner"
	TagInstallation = "berth:installation"
)

// Workspace is everything that Terraform's folder is rendered from.
type Workspace struct {
	EnvironmentID string
	Target        Target
	Servers       []WorkspaceServer
	// Tags go on every resource of a cloud; its module brings them into the
	// cloud's alphabet. TagEnvironment and its like are their names.
	Tags map[string]string
	// State is where a new workspace keeps its state; one that is there stays
	// where it is.
	State Backend
}

// WorkspaceServer is one machine of a Workspace. Variables are the size's.
type WorkspaceServer struct {
	ID        string
	App       string
	Variables map[string]any
	UserData  string
	// Port and UID are for the local target: the port that the app gets and
	// the user that it runs as (0: the user that serve runs as).
	Port int
	UID  int
	// NeededBy are the apps of the set that need this one: a cloud lets them in.
	NeededBy []string
}

// Machine is what Terraform says of a server that it made.
type Machine struct {
	Address        string `json:"address"`
	PrivateAddress string `json:"private_address"`
	ProviderID     string `json:"provider_id"`
}

// Thing is something that a target's module has made: a server's machine, or
// something else such as a security group. App is the app of the server that
// it is or belongs to, empty for what belongs to all; Kind says what it is in
// people's words; ID is the cloud's.
type Thing struct {
	Kind string `json:"kind"`
	App  string `json:"app,omitempty"`
	ID   string `json:"id,omitempty"`
}

// String is the thing in words: the server web (i-0abc).
func (t Thing) String() string {
	s := "the " + t.Kind
	switch {
	case t.Kind == "server" && t.App != "":
		s += " " + t.App
	case t.App != "":
		s += " of " + t.App
	}
	if t.ID != "" {
		s += " (" + t.ID + ")"
	}
	return s
}

// Sight is what a look at the cloud has shown: the IDs of the servers whose
// machines are gone or do not run, what carries the environment's tag and is
// not known, and the addresses of resources that were changed outside. Listed
// says that the target's module can list by tag; else Stray cannot be known.
// Recorded are the cloud's IDs of what can be a machine among all that is known
// to have been made and not removed since, nil where that was not read; Nothing
// says that nothing at all is known to be there. Addresses are where people reach
// servers now, where that can change without Berth's doing.
type Sight struct {
	Gone, Stopped []string
	Stray         []Thing
	Changed       []string
	Listed        bool
	Recorded      map[string]bool
	Nothing       bool
	Addresses     map[string]string
}
