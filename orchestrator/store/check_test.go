package store_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := store.Check(ctx, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no database: %v", err)
	}
	s, err := store.Open(ctx, store.Options{Path: path, Now: time.Now, Enqueue: func(context.Context, *sql.Tx, string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Check(ctx, path); err != nil {
		t.Errorf("a database in use: %v", err)
	}
	if _, err := s.DB().ExecContext(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	told := func(err error, want string) {
		t.Helper()
		var e *orchestrator.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, want) || e.Hint == "" {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	told(store.Check(ctx, path), "newer Berth (its tables are at version 9999")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no database at all, but longer than nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	told(store.Check(ctx, text), "not a Berth database")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told(store.Check(ctx, empty), "not a Berth database")
}
