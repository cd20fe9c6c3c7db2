package agent

import (
	"path/filepath"

	"github.com/berth-dev/berth/orchestrator"
)

// state is state.json.
type state struct {
	// Handled is the generation whose report has been spooled.
	Handled int `json:"handled"`
	// Dirty says that a run has touched the checkout since what an app runs
	// from it was kept.
	Dirty bool `json:"dirty"`
	// Health is what Berth was told last of the app.
	Health health `json:"health"`
}

func (a *agent) good() (*orchestrator.Desired, error) {
	var d orchestrator.Desired
	if err := readJSON(filepath.Join(a.dir, goodFile), &d); err != nil {
		return nil, err
	}
	return &d, check(&d, a.config.Boot.ServerID)
}

func (a *agent) handled() int {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	return a.state.Handled
}

func (a *agent) dirty() bool {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	return a.state.Dirty
}

func (a *agent) update(change func(*state)) error {
	a.stateMu.Lock()
	defer a.stateMu.Unlock()
	change(&a.state)
	return writeJSON(filepath.Join(a.dir, stateFile), a.state)
}
