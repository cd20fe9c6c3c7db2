package catalog_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
)

var _ orchestrator.Catalogs = (*catalog.Source)(nil)

func TestReloadKeepsTheLastGood(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"berth.hcl": local})
	s, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Current()
	replace(t, path, "nonsense")
	if err := s.Reload(); err == nil || s.Current() != first {
		t.Errorf("Reload of nonsense: %v, another catalog: %v", err, s.Current() != first)
	}
	replace(t, path, local+`app "api" { repository = "https://x.dev/a" }`)
	if err := s.Reload(); err != nil || len(s.Current().Apps) != 1 {
		t.Errorf("Reload: %v, %+v", err, s.Current())
	}
}

func TestOpenRefusesABadCatalog(t *testing.T) {
	t.Parallel()
	if _, err := catalog.Open(write(t, map[string]string{"berth.hcl": "app {}"})); err == nil {
		t.Error("a bad catalog was opened")
	}
}

// replace does as editors do: a new file takes the old one's place.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"berth.hcl": local})
	s, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan error, 10), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(err error) { changes <- err }) }()
	next := func(what string) error {
		t.Helper()
		select {
		case err := <-changes:
			return err
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not noticed", what)
			return nil
		}
	}
	// Whether the watch stands already or not, a change is noticed.
	replace(t, path, local+`app "api" { repository = "https://x.dev/a" }`)
	if err := next("a renamed file"); err != nil || len(s.Current().Apps) != 1 {
		t.Errorf("after a rename: %v", err)
	}
	if err := os.WriteFile(path, []byte("app {"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := next("an error"); err == nil || len(s.Current().Apps) != 1 {
		t.Errorf("after an error: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := next("a removal"); err == nil || !strings.Contains(err.Error(), "There is no catalog") {
		t.Errorf("after a removal: %v", err)
	}
	replace(t, path, local)
	if err := next("the file's return"); err != nil || len(s.Current().Apps) != 0 {
		t.Errorf("after its return: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch = %v", err)
	}
}

// A mounted configuration is a link to a folder that is replaced as a whole.
func TestWatchLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"one": local, "two": local + `app "api" { repository = "https://x.dev/a" }`} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "berth.hcl"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"now": "one", "berth.hcl": "now/berth.hcl"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := catalog.Open(filepath.Join(dir, "berth.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan error, 10)
	go func() { _ = s.Watch(t.Context(), func(err error) { changes <- err }) }()
	if err := os.Symlink("two", filepath.Join(dir, "next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "now")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-changes:
		if err != nil || len(s.Current().Apps) != 1 {
			t.Errorf("after the link moved: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the link's move was not noticed")
	}
}
