package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "berth.db")
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a folder? with #1 %41 name", "berth.db")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", "web")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, store.Options{Path: path})
	e, err := again.Environment(t.Context(), "qa")
	if err != nil || len(e.Servers) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	all, err := again.Environments(t.Context(), "")
	if err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database's mode: %v, %v", info.Mode(), err)
	}
}

// told checks that err can be shown to a person.
func told(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *orchestrator.Error", err)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("%q does not say %q", e.Message, w)
		}
	}
	if e.Hint == "" {
		t.Errorf("%q has no hint", e.Message)
	}
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	refuse := func(t *testing.T, path string, words ...string) {
		t.Helper()
		s, err := store.Open(t.Context(), store.Options{Path: path})
		if err == nil {
			s.Close()
		}
		told(t, err, append(words, path)...)
	}
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		open(t, store.Options{Path: path})
		refuse(t, path, "in use by another Berth")
	})
	t.Run("newer", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		s := open(t, store.Options{Path: path})
		if _, err := s.DB().Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "newer Berth", "9999")
	})
	t.Run("no database", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("This is a letter. ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "not a Berth database")
	})
	t.Run("a folder in its place", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "cannot write")
	})
	t.Run("not writable", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, filepath.Join(file, "berth.db"), "cannot write")
	})
	t.Run("locked", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		s := open(t, store.Options{Path: path})
		if _, err := s.DB().Exec(`PRAGMA busy_timeout = 1`); err != nil {
			t.Fatal(err)
		}
		other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		tx, err := other.Begin()
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", "web"))
		told(t, err, "locked by another process", path)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Submit(t.Context(), storetest.NewEnvironment("qa", "maria", "web")); err != nil {
			t.Errorf("when the other has gone: %v", err)
		}
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		s := open(t, store.Options{Path: path})
		// SQLite gives the same answer for its own limit as for a full disk.
		if _, err := s.DB().Exec(`PRAGMA max_page_count = 1`); err != nil {
			t.Fatal(err)
		}
		sub := storetest.NewEnvironment("qa", "maria", "web")
		sub.Event.Text = strings.Repeat("x", 1<<20)
		_, err := s.Submit(t.Context(), sub)
		told(t, err, "full", path)
	})
	t.Run("closed context", func(t *testing.T) {
		t.Parallel()
		s := open(t, store.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Submit(ctx, storetest.NewEnvironment("qa", "maria", "web")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// Ports that something on this machine has are not given to a server.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := port(l)
	s := open(t, store.Options{PortRange: [2]int{taken, taken}})
	sub := storetest.NewEnvironment("qa", "maria", "web")
	sub.NeedPort = true
	_, err = s.Submit(t.Context(), sub)
	told(t, err, fmt.Sprint(taken))
}

const many = 10_000

// fill makes many environments of two servers each, quicker than Submit would.
func fill(b *testing.B, s *store.Store) {
	b.Helper()
	tx, err := s.DB().Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	for i := range many {
		name := fmt.Sprintf("env-%05d", i)
		must := func(_ sql.Result, err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		at := storetest.Start.UnixMicro()
		must(tx.Exec(`INSERT INTO environments (id, name, owner, target, blueprint, size, status, created_at, expires_at, operation_id)
			VALUES (?, ?, ?, 'local', 'shop', 'small', 'ready', ?, ?, ?)`, "e"+name, name, fmt.Sprintf("person-%d", i%300), at, at+1e12, "o"+name))
		must(tx.Exec(`INSERT INTO operations (id, environment_id, kind, status, actor, text, apps, created_at, started_at, ended_at)
			VALUES (?, ?, 'create', 'succeeded', 'maria', ?, '["api","web"]', ?, ?, ?)`, "o"+name, "e"+name, "env create "+name+" shop", at, at, at))
		for _, app := range []string{"api", "web"} {
			must(tx.Exec(`INSERT INTO servers (id, environment_id, app, repository, branch, commit_id, revision, running_branch, generation, status, address, port, url, needs, user_data, created_at)
				VALUES (?, ?, ?, ?, 'main', ?, ?, 'main', 1, 'ready', '127.0.0.1', 8080, 'http://127.0.0.1:8080', '{"API_URL":"http://127.0.0.1:8081"}', ?, ?)`,
				name+app, "e"+name, app, "https://github.com/acme/"+app, strings.Repeat("a", 40), strings.Repeat("a", 40), strings.Repeat("u", 2000), at))
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkList lists ten thousand environments of two servers each.
func BenchmarkList(b *testing.B) {
	path := filepath.Join(b.TempDir(), "berth.db")
	s, err := store.Open(b.Context(), store.Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, s)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	reopen := func() *store.Store {
		s, err := store.Open(b.Context(), store.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	list := func(s *store.Store) {
		all, err := s.Environments(b.Context(), "")
		if err != nil || len(all) != many {
			b.Fatalf("%d environments, %v", len(all), err)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s := reopen()
			list(s)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	s = reopen()
	defer s.Close()
	list(s)
	for _, change := range []bool{false, true} {
		name := "unchanged"
		if change {
			name = "after a change"
		}
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			i := 0
			for b.Loop() {
				if change {
					i++
					if _, err := s.UpdateServer(b.Context(), fmt.Sprintf("env-%05dweb", i%many), func(v *orchestrator.Server) error { v.Generation++; return nil }); err != nil {
						b.Fatal(err)
					}
				}
				start := time.Now()
				list(s)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	b.Run("one by name", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Environment(b.Context(), "env-05000"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one that lacks", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Environment(b.Context(), "env-5000x"); err == nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("submit", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			sub := storetest.NewEnvironment(fmt.Sprintf("new-%d", i), "maria", "api", "web")
			sub.NeedPort = i < 3000
			if _, err := s.Submit(b.Context(), sub); err != nil {
				b.Fatal(err)
			}
		}
	})
}
