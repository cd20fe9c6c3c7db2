package orchestrator

// Answer is what a command gives back, for any door to show. Exactly one of
// Environment, Environments, Server, Servers, History, Plan and Help is set for
// a read; a change sets Operation and Environment. In JSON it is the door's
// business which part it prints.
type Answer struct {
	Environment  *Environment   `json:"environment,omitempty"`
	Environments *[]Environment `json:"environments,omitempty"`
	Server       *Server        `json:"server,omitempty"`
	Servers      *[]Server      `json:"servers,omitempty"`
	Operation    *Operation     `json:"operation,omitempty"`
	History      *[]Operation   `json:"history,omitempty"`
	Plan         *Plan          `json:"plan,omitempty"`
	// Evidence goes along with an Environment whose failure is to be told in
	// detail.
	Evidence *Evidence `json:"evidence,omitempty"`
	// Note is one plain sentence beside the rest, such as a queue place.
	Note string `json:"note,omitempty"`
}

// Plan is what env create would make; nothing has been changed.
type Plan struct {
	Name      string       `json:"name"`
	Blueprint string       `json:"blueprint,omitempty"`
	Target    string       `json:"target"`
	Size      string       `json:"size,omitempty"`
	Lifetime  string       `json:"lifetime"`
	Servers   []PlanServer `json:"servers"`
	// Note says why env create would be refused now, and what to do.
	Note string `json:"note,omitempty"`
}

// PlanServer is one server of a Plan.
type PlanServer struct {
	App    string   `json:"app"`
	Branch string   `json:"branch"`
	Commit string   `json:"commit"`
	Needs  []string `json:"needs,omitempty"` // "API_URL from api", or "API_URL from the settings"
}

// GoBack is the command that deploys what ran before a failed deploy, or
// empty when every server runs what was asked for or nothing ran before.
func GoBack(e Environment) string {
	text := ""
	for _, s := range e.Servers {
		if s.Status == StatusFailed && s.Revision != "" && s.Revision != s.Commit {
			text += " " + s.App + "=" + s.Revision
		}
	}
	if text == "" {
		return ""
	}
	return "env deploy " + e.Name + text
}
