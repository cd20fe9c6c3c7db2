// Package wire holds the JSON that Berth's own clients and its HTTP API
// exchange; it has no behaviour.
package wire

import (
	"encoding/json"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/logbook"
)

// Command is the body of POST /api/v1/commands: Text is a command in the
// grammar, as a person would type it.
type Command struct {
	Text string `json:"text"`
	// Form shapes the answer to env list alone: FormBare is the bare array of
	// environments, FormBrief lines of Rows; otherwise it is an Answer.
	Form string `json:"form,omitempty"`
}

// The forms of a list.
const (
	FormBare  = "bare"
	FormBrief = "brief"
)

// Failure is the body of every answer with a status of 400 and above.
type Failure struct {
	Error orchestrator.Error `json:"error"`
}

// Watch is the answer of GET /api/v1/operations/ID: the operation, its
// environment, and the events after the one that was asked for.
type Watch struct {
	Operation   orchestrator.Operation   `json:"operation"`
	Environment orchestrator.Environment `json:"environment"`
	Events      []orchestrator.Event     `json:"events"`
	Diagnosis   *orchestrator.Diagnosis  `json:"diagnosis,omitempty"`
}

// Logs is the answer of GET /api/v1/environments/NAME/logs; Next is the offset
// to ask for the following lines.
type Logs struct {
	Lines []logbook.Line `json:"lines"`
	Next  int64          `json:"next"`
}

// Names is the answer of GET /api/v1/names: what shells complete.
type Names struct {
	Environments []string `json:"environments"`
	Servers      []string `json:"servers"`
	Apps         []string `json:"apps"`
	Blueprints   []string `json:"blueprints"`
	Sizes        []string `json:"sizes"`
	Targets      []string `json:"targets"`
}

// StateQuery is the body of POST /api/v1/environments/NAME/state: What is path,
// lock, unlock (Lock: that one alone; Force: though its holder may live),
// migrate (Dry: only look),
// list, show, pull or plan, Resource an address for show.
type StateQuery struct {
	What      string `json:"what"`
	Resource  string `json:"resource,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	Lock      string `json:"lock,omitempty"`
	Force     bool   `json:"force,omitempty"`
	Dry       bool   `json:"dry,omitempty"`
}

// State is the answer to a StateQuery: for people, and for programs.
type State struct {
	Text  string          `json:"text"`
	Value json.RawMessage `json:"value"`
}

// CauseNote is the body of PUT /api/v1/causes/FINGERPRINT/note; an empty text
// takes the note away.
type CauseNote struct {
	Text string `json:"text"`
}

// Token is one API token; Secret is only set in the answer to its making.
type Token struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Person   string `json:"person"`
	Ops      bool   `json:"ops"`
	Created  string `json:"created"`
	LastUsed string `json:"last_used,omitempty"`
	// Lifetime is asked for in the token's making: after so many seconds it
	// ends by itself; 0: never.
	Lifetime int64  `json:"lifetime,omitempty"`
	Expires  string `json:"expires,omitempty"`
	Expired  bool   `json:"expired,omitempty"`
	Revoked  bool   `json:"revoked"`
	Secret   string `json:"secret,omitempty"`
}
