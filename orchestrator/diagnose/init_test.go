package diagnose

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestInitInTheLog: Berth's own runs put what a failed init has said into the
// log, where it is explained as it is beside one.
func TestInitInTheLog(t *testing.T) {
	t.Parallel()
	n := 0
	for _, dir := range find(t, "../../testdata/terraform") {
		c := load(t, dir)
		if !isInit(string(c.Stderr)) {
			continue
		}
		n++
		want, got := c.diagnosis, Terraform(append([]byte("exit status 1\n\n"), c.Stderr...), nil)
		if len(got.Causes) != len(want.Causes) {
			t.Errorf("%s: %+v, want %+v", filepath.Base(dir), got.Causes, want.Causes)
			continue
		}
		for i, cause := range got.Causes {
			if cause.Sentence != want.Causes[i].Sentence || cause.Code != want.Causes[i].Code {
				t.Errorf("%s: %s %s\nwant %s %s", filepath.Base(dir), cause.Code, cause.Sentence, want.Causes[i].Code, want.Causes[i].Sentence)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d recorded runs failed at their init", n)
	}
	// As Terraform prints it in a workspace, without colours.
	const unboxed = `Initializing the backend...
Initializing modules...
Downloading git::file:///srv/modules/quay?ref=v9 for environment...
exit status 1

Error: Failed to download module

  on main.tf line 1:
   1: module "environment" {

Could not download module "environment" (main.tf:1) source code from
"git::file:///srv/modules/quay?ref=v9": error downloading
'file:///srv/modules/quay?ref=v9': /usr/bin/git exited with 1: error: pathspec
'v9' did not match any file(s) known to git
`
	d := Terraform([]byte(unboxed), nil)
	if len(d.Causes) != 1 || d.Causes[0].Code != "module_invalid" || d.Causes[0].Who != ops ||
		d.Causes[0].Sentence != `The files that describe the machines can't be fetched from "file:///srv/modules/quay?ref=v9": pathspec 'v9' did not match any file(s) known to git.` {
		t.Errorf("%+v", d)
	}
}

func isInit(text string) bool {
	return strings.Contains(text, "Initializing ") && strings.Contains(text, "Error: ")
}
