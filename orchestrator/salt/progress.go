package salt

import (
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Step is where a state stands.
type Step string

// The steps that salt-call tells of with -l info.
const (
	StepRunning   Step = "running"
	StepExecuting Step = "executing"
	StepCompleted Step = "completed"
)

// Event is one line of progress. Function is known when a state executes,
// Duration when it has completed.
type Event struct {
	Step     Step
	Name     string
	Function string
	Duration time.Duration
}

var (
	running   = lazyregexp.New(`Running state \[(.*)\] at time [0-9:.]+\s*$`)
	executing = lazyregexp.New(`Executing state ([\w.]+) for \[(.*)\]\s*$`)
	completed = lazyregexp.New(`Completed state \[(.*)\] at time [0-9:.]+(?: \(?duration_in_ms=([0-9.]+)\)?)?\s*$`)
)

// ProgressLine reads a line of salt-call's standard error. Lines that tell of
// no state are not for it.
func ProgressLine(line string) (Event, bool) {
	if len(line) > 8192 || !strings.Contains(line, " state ") {
		return Event{}, false
	}
	if m := completed.FindStringSubmatch(line); m != nil {
		ms, err := strconv.ParseFloat(m[2], 64)
		if err != nil || ms < 0 || ms > 1e12 {
			ms = 0
		}
		return Event{Step: StepCompleted, Name: m[1], Duration: time.Duration(ms * float64(time.Millisecond))}, true
	}
	if m := running.FindStringSubmatch(line); m != nil {
		return Event{Step: StepRunning, Name: m[1]}, true
	}
	if m := executing.FindStringSubmatch(line); m != nil {
		return Event{Step: StepExecuting, Name: m[2], Function: m[1]}, true
	}
	return Event{}, false
}
