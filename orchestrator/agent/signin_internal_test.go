package agent

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// A machine's way in, from its key to the first request that the key signs.
// make arm64 runs it for that processor, too.
func TestSignIn(t *testing.T) {
	t.Parallel()
	var enrolled atomic.Pointer[Enrollment]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == PathEnroll {
			var e Enrollment
			if err := json.Unmarshal(body, &e); err != nil || e.Token != "a-token" {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			enrolled.Store(&e)
			return
		}
		key, err := enrolled.Load().Key()
		if err == nil {
			err = Verify(r, body, key, time.Now())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(orchestrator.Desired{Generation: 7})
	}))
	defer s.Close()
	dir := t.TempDir()
	if err := writeJSON(filepath.Join(dir, ConfigFile), config{Boot: orchestrator.Boot{ServerID: "s1", URL: s.URL, Token: "a-token", SaltVersion: "3008.3"}}); err != nil {
		t.Fatal(err)
	}
	a, err := newAgent(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.enroll(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := a.client.desired(t.Context(), 6)
	if err != nil || d == nil || d.Generation != 7 {
		t.Fatalf("%+v, %v", d, err)
	}
}
