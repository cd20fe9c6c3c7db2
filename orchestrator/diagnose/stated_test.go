package diagnose_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator/diagnose"
)

// How long a host asks to be left alone is read from what it says, where
// another try can help at all.
func TestStatedWait(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"error: RPC failed; HTTP 429 curl 22 The requested URL returned error: 429\nretry-after: 120":          2 * time.Minute,
		"The requested URL returned error: 503. Please try again in 5 minutes.":                                5 * time.Minute,
		"returned error: 429: slow down, wait for 45s":                                                         45 * time.Second,
		"returned error: 429 {\"Retry-After\": \"7\"}":                                                         7 * time.Second,
		"returned error: 429, retry after 2 hours":                                                             2 * time.Hour,
		"fatal: unable to access: Failed to connect to git.example.org port 443 after 3067 ms: timed out":      0,
		"fatal: Authentication failed, retry after 20 seconds":                                                 0, // another try cannot help
		"fatal: unable to connect to git.example.org: try again in 99999999999999 seconds, connection refused": 0,
	} {
		out, err := json.Marshal(map[string]any{"local": map[string]any{"git_|-src_|-https://git.example.org/web.git_|-latest": map[string]any{
			"result": false, "comment": text, "changes": map[string]any{}, "__run_num__": 0, "__id__": "src", "__sls__": "app", "name": "https://git.example.org/web.git"}}})
		if err != nil {
			t.Fatal(err)
		}
		d := diagnose.Salt(out, nil, 1)
		if len(d.Causes) != 1 || d.Causes[0].Wait != want {
			t.Errorf("%q: %+v, want %s", text, d.Causes, want)
		}
	}
}
