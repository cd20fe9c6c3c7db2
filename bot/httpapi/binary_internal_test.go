package httpapi

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-dev/berth/orchestrator/agent"
)

// A checksum is made once, and again when the file is another one, also where
// its size and time are the same.
func TestChecksumOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth-linux-amd64")
	a := &Agents{Binary: func(string) (string, error) { return path, nil }, Log: slog.New(slog.DiscardHandler)}
	ask := func() string {
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, agent.PathBinary+"linux-amd64.sha256", nil))
		return w.Body.String()
	}
	line := func(content string) string {
		return fmt.Sprintf("%x  linux-amd64\n", sha256.Sum256([]byte(content)))
	}
	if err := os.WriteFile(path, []byte("one"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != line("one") {
		t.Errorf("the first: %q", got)
	}
	k := a.sums.known[path]
	k.sum = "kept"
	a.sums.known[path] = k
	if got := ask(); got != "kept  linux-amd64\n" {
		t.Errorf("it was read again: %q", got)
	}
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// As an upgrade does it: another file in its place.
	if err := os.WriteFile(path+".new", []byte("two"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path+".new", was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != line("two") {
		t.Errorf("the second: %q", got)
	}
}
