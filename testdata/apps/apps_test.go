package apps_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-dev/berth/testdata/apps"
)

// TestMake builds every branch with its own Makefile.
func TestMake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := apps.Make(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range apps.Names {
		for _, branch := range append([]string{"main"}, apps.Branches...) {
			t.Run(name+" "+branch, func(t *testing.T) {
				t.Parallel()
				work := t.TempDir()
				if out, err := exec.Command("git", "-c", "safe.directory=*", "clone", "-q", "-b", branch, dir+"/"+name, work+"/x").CombinedOutput(); err != nil {
					t.Fatalf("git clone: %v\n%s", err, out)
				}
				out, err := exec.Command("make", "-C", work+"/x", "build").CombinedOutput()
				if broken := branch == "broken-build"; broken != (err != nil) || broken && !strings.Contains(string(out), "SyntaxError") {
					t.Errorf("make build: %v\n%s", err, out)
				}
			})
		}
	}
}
