package orchestrator_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// The contract's exit statuses, by code.
func TestExitStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything else"), 1},
		{orchestrator.Errorf(orchestrator.CodeOperationFailed, "it failed"), 1},
		{orchestrator.Errorf(orchestrator.CodeGrammar, "no such verb"), 2},
		{orchestrator.Errorf(orchestrator.CodeInvalidName, "bad name"), 2},
		{orchestrator.Errorf(orchestrator.CodeBranchNotFound, "no branch"), 3},
		{orchestrator.Errorf(orchestrator.CodeQuota, "too many"), 3},
		{orchestrator.Errorf(orchestrator.CodeNoBerth, "nobody there"), 4},
		{fmt.Errorf("wrapped: %w", orchestrator.Errorf(orchestrator.CodeNotAllowed, "no")), 3},
	} {
		if got := orchestrator.ExitStatus(tt.err); got != tt.want {
			t.Errorf("ExitStatus(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}
