// Package executable writes programs for tests that run them right afterwards.
package executable

import (
	"os"
	"syscall"
	"testing"
)

// Write makes path a program with this text, which can be run as soon as Write
// has returned. After os.WriteFile it could be "text file busy" for a moment: a
// child that another test begins while the file is open for writing has it open
// too, until it runs its own program (https://go.dev/issue/22315). No child is
// begun while Write has the lock.
func Write(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
