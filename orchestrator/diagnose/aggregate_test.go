package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/diagnose"
)

// Salt 3008.3's own words for two packages that it installs at once
// (aggregate: True), one of which there is not: both steps fail alike, and a
// third waits for the second.
const aggregated = `{"local": {
 "pkg_|-tree_|-tree_|-installed": {"name": "tree", "result": false, "changes": {}, "__sls__": "app", "__run_num__": 0, "__id__": "tree",
  "comment": "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - E: Unable to locate package berth-no-such-package"},
 "pkg_|-nosuch_|-berth-no-such-package_|-installed": {"name": "berth-no-such-package", "result": false, "changes": {}, "__sls__": "app", "__run_num__": 1, "__id__": "nosuch",
  "comment": "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - E: Unable to locate package berth-no-such-package"},
 "file_|-config_|-/srv/made_|-managed": {"name": "/srv/made", "result": false, "changes": {}, "__state_ran__": false, "__sls__": "app", "__run_num__": 2, "__id__": "config",
  "comment": "One or more requisite failed: app.tree, app.nosuch"}}}`

// What is installed together fails together: told once, by the package that
// there is not, and never by the one that is merely asked for beside it.
func TestAggregated(t *testing.T) {
	t.Parallel()
	d := diagnose.Salt([]byte(aggregated), nil, 1)
	if len(d.Causes) != 1 || d.Blocked != 1 {
		t.Fatalf("%+v", d)
	}
	c := d.Causes[0]
	if c.Code != "package_not_found" || !strings.Contains(c.Sentence, "berth-no-such-package") || strings.Contains(c.Sentence, "tree") || !slices.Equal(c.Blocked, []string{"app.config"}) {
		t.Errorf("%+v", c)
	}
}
