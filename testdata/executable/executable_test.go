package executable_test

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-dev/berth/testdata/executable"
)

// TestWrite: a program can be run at once, however many others are begun while
// it is written.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 40 {
				path := filepath.Join(dir, fmt.Sprintf("%d-%d", i, j))
				executable.Write(t, path, "#!/bin/sh\nexit 7\n")
				err := exec.CommandContext(t.Context(), path).Run()
				if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	group.Wait()
}
