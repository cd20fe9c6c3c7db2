package app

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// A lock that comes after it was asked for is one that nobody has said yes to.
func TestUnlockOnlyWhatWasSeen(t *testing.T) {
	berth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q wire.StateQuery
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.What != "lock" {
			t.Errorf("asked for %+v (%v)", q, err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(wire.State{Value: json.RawMessage("null")})
	}))
	t.Cleanup(berth.Close)
	t.Setenv("BERTH_URL", berth.URL)
	t.Setenv("BERTH_TOKEN", "a-token")
	c := newStateUnlockCommand()
	c.SetArgs([]string{"qa"})
	c.SetIn(strings.NewReader(""))
	c.SetOut(io.Discard)
	c.SetErr(io.Discard)
	c.SilenceUsage, c.SilenceErrors = true, true
	var e *orchestrator.Error
	if err := c.ExecuteContext(t.Context()); !errors.As(err, &e) || e.Code != orchestrator.CodeNotFound {
		t.Errorf("no lock was seen, and the answer is %v", err)
	}
}
