package diagnose_test

import (
	"encoding/json"
	"testing"

	"github.com/berth-dev/berth/orchestrator/diagnose"
)

// What lies outside the servers and is out of reach is named by its host alone,
// whatever was wanted from there; nothing else is said to be out of reach.
func TestOutside(t *testing.T) {
	t.Parallel()
	state := func(module, function, name, comment string, changes map[string]any) []byte {
		out, err := json.Marshal(map[string]any{"local": map[string]any{module + "_|-s_|-" + name + "_|-" + function: map[string]any{
			"result": false, "comment": comment, "changes": changes, "__run_num__": 0, "__id__": "s", "__sls__": "app", "name": name}}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, tt := range map[string]struct {
		out  []byte
		want string
	}{
		"git":                 {state("git", "latest", "https://git.example.org/shop/web.git", "fatal: unable to access 'https://git.example.org/shop/web.git/': Could not resolve host: git.example.org", nil), "git.example.org"},
		"git, login":          {state("git", "latest", "https://me:hunter2@git.example.org/web.git", "fatal: unable to access 'https://git.example.org/web.git/': Failed to connect to git.example.org port 443: Connection refused", nil), "git.example.org"},
		"git refuses":         {state("git", "latest", "git@git.example.org:web.git", "git@git.example.org: Permission denied (publickey).", nil), ""},
		"mirror":              {state("pkg", "installed", "jq", "E: Failed to fetch http://deb.example.org/debian/pool/j/jq_1.deb  Temporary failure resolving 'deb.example.org'", nil), "deb.example.org"},
		"mirror lacks a file": {state("pkg", "installed", "jq", "E: Failed to fetch http://deb.example.org/debian/pool/j/jq_1.deb  404  Not Found [IP: 192.0.2.1 80]", nil), ""},
		"pip": {state("cmd", "run", "pip install -r requirements.txt", `Command "pip install" run`, map[string]any{"retcode": 1, "stdout": "",
			"stderr": "Looking in indexes: https://pypi.example.org/simple\nWARNING: Retrying after connection broken by 'NewConnectionError': /simple/flask/\nERROR: Could not find a version that satisfies the requirement flask"}), "pypi.example.org"},
		"npm": {state("cmd", "run", "npm ci", `Command "npm ci" run`, map[string]any{"retcode": 1, "stdout": "",
			"stderr": "npm error code ENOTFOUND\nnpm error network request to https://npm.example.org/left-pad failed, reason: getaddrinfo ENOTFOUND npm.example.org"}), "npm.example.org"},
		"a build": {state("cmd", "run", "make build", `Command "make build" run`, map[string]any{"retcode": 2, "stdout": "", "stderr": "make: *** No rule to make target 'all'."}), ""},
	} {
		d := diagnose.Salt(tt.out, nil, 1)
		if len(d.Causes) != 1 || d.Causes[0].Outside != tt.want {
			t.Errorf("%s: %+v, want %q", name, d.Causes, tt.want)
		}
	}
}
