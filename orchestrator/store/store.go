// Package store keeps environments, servers, operations, their events and the
// agents' reports in a SQLite database.
//
// There is one writing connection, which River shares, and a pool of reading
// ones: SQLite takes one writer at a time anyhow, and a queue in front of it
// answers sooner than a lock that is tried again. Every change is one short
// transaction; nothing is held open while Terraform or Salt works.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/berth-dev/berth/orchestrator"
)

//go:embed migrations/*.sql
var migrations embed.FS

// silentAfter is how long an agent may go unheard before it counts as silent.
const silentAfter = 90 * time.Second

// Options say where the database is and how the rest of Berth takes part.
type Options struct {
	// Path is the database file; it and its folder are made when they lack.
	Path string
	// Enqueue inserts the job of an operation that may run now, in the
	// transaction that made it so. See SetEnqueue.
	Enqueue func(ctx context.Context, tx *sql.Tx, operationID string) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// PortRange is the first and last port that servers get; zero means
	// 24000 to 31999: below 32768, where Linux begins to take the ports of
	// connections from (ip_local_port_range), so that none takes a server's
	// while its app starts anew.
	PortRange [2]int
	// UIDBase is the first user ID that servers get, one each: the server with
	// the n-th port of PortRange has UIDBase+n. 0 means none.
	UIDBase int
	// PortFree says whether a port can be taken on this machine at this
	// moment; nil means to try it.
	PortFree func(port int) bool
}

// Store is an open database. Its methods may be called from any goroutine.
type Store struct {
	path    string
	lock    *flock.Flock
	write   *sql.DB
	read    *sql.DB
	now     func() time.Time
	enqueue func(ctx context.Context, tx *sql.Tx, operationID string) error
	// enqueueDelivery inserts the job of a delivery; see SetEnqueueDelivery.
	enqueueDelivery func(ctx context.Context, tx *sql.Tx, key string) error
	ports           [2]int
	uidBase         int
	free            func(port int) bool

	watch hub
	seen  sightings
	list  listing
}

// Open opens the database, makes it when it lacks and brings its tables up to
// date. One process at a time has it open. Every trouble that a person can
// mend is an *orchestrator.Error.
func Open(ctx context.Context, o Options) (*Store, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("finding the database %s: %w", o.Path, err)
	}
	s := &Store{path: path, now: o.Now, enqueue: o.Enqueue, ports: o.PortRange, uidBase: o.UIDBase, free: o.PortFree}
	if s.now == nil {
		s.now = time.Now
	}
	if s.ports == [2]int{} {
		s.ports = [2]int{24000, 31999}
	}
	if s.free == nil {
		s.free = portFree
	}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return s.notWritable(err)
	}
	s.lock = flock.New(s.path+".lock", flock.SetPermissions(0o600))
	locked, err := s.lock.TryLock()
	if err != nil {
		return s.notWritable(err)
	}
	if !locked {
		return &orchestrator.Error{Code: orchestrator.CodeInternal,
			Message: fmt.Sprintf("The database %s is in use by another Berth.", s.path),
			Hint:    "stop the other berth serve first, or give this one a folder of its own with --data"}
	}
	// SQLite would make the file readable for everybody; the -wal and -shm
	// files take the mode of this one.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return s.notWritable(err)
	}
	if err := f.Close(); err != nil {
		return s.notWritable(err)
	}
	if s.write, err = sql.Open("sqlite", dsn(s.path, "_txlock=immediate")); err != nil {
		return s.fail(err)
	}
	s.write.SetMaxOpenConns(1)
	s.write.SetMaxIdleConns(1)
	if err := s.migrate(ctx); err != nil {
		return s.fail(err)
	}
	// Tables that are up to date were only read: whoever holds the database
	// would be met by the first change.
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(err)
	}
	if err := tx.Rollback(); err != nil {
		return s.fail(err)
	}
	if s.read, err = sql.Open("sqlite", dsn(s.path, "_pragma=query_only(1)")); err != nil {
		return s.fail(err)
	}
	readers := max(4, runtime.NumCPU())
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	s.list.start(s)
	return nil
}

// dsn carries the pragmas, so that every connection of a pool has them.
func dsn(path string, more ...string) string {
	d := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)"
	for _, m := range more {
		d += "&" + m
	}
	return d
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if has > knows {
		return newer(s.path, has, knows)
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the database and lets another process have it. River must have
// been stopped before.
func (s *Store) Close() error {
	s.list.stop()
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close()) // the last one: it folds the WAL in
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// DB is the writing connection, for River. It has one connection: whoever
// holds a transaction on it keeps every other change waiting.
func (s *Store) DB() *sql.DB { return s.write }

// SetEnqueue sets what Options.Enqueue sets, for a job queue that needs the
// database first. It has to be called before the first Submit or End.
func (s *Store) SetEnqueue(enqueue func(ctx context.Context, tx *sql.Tx, operationID string) error) {
	s.enqueue = enqueue
}

// SetEnqueueDelivery sets what inserts the job of a delivery, in the
// transaction that keeps it. It has to be called before the first
// AcceptDelivery.
func (s *Store) SetEnqueueDelivery(enqueue func(ctx context.Context, tx *sql.Tx, key string) error) {
	s.enqueueDelivery = enqueue
}

// Watch gives a channel that has a value whenever something was committed
// since the last receive, until stop is called.
func (s *Store) Watch() (changed <-chan struct{}, stop func()) { return s.watch.add() }

// hub tells any number of watchers that something has changed.
type hub struct {
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

func (h *hub) add() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[chan struct{}]struct{}{}
	}
	h.watchers[c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, c)
	}
}

func (h *hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last change
		}
	}
}

// change is one transaction that writes. It collects which environments have
// changed, for the listing.
type change struct {
	*sql.Tx
	touched []string
	// quiet says that nothing has changed that anybody watches for.
	quiet bool
}

func (c *change) touch(environmentID string) { c.touched = append(c.touched, environmentID) }

// exec runs a statement whose result does not matter.
func (c *change) exec(ctx context.Context, query string, args ...any) error {
	_, err := c.ExecContext(ctx, query, args...)
	return err
}

// count runs a statement and gives the number of rows that it changed.
func (c *change) count(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// change runs f in a transaction, commits it and tells the watchers.
func (s *Store) change(ctx context.Context, f func(c *change) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	c := &change{Tx: tx}
	if err := f(c); err != nil {
		return s.fail(err)
	}
	if err := tx.Commit(); err != nil {
		return s.fail(err)
	}
	s.list.touch(c.touched)
	if !c.quiet {
		s.watch.tell()
	}
	return nil
}

// snapshot runs f in a transaction that reads, so that several queries agree.
func (s *Store) snapshot(ctx context.Context, f func(q querier) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.fail(err)
	}
	defer tx.Rollback() // nothing to keep
	return s.fail(f(tx))
}

// querier is what *sql.DB and *sql.Tx have in common for reading.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// fail turns SQLite's troubles into sentences; other errors pass.
func (s *Store) fail(err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	told := &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		told.Message = fmt.Sprintf("The database %s is locked by another process.", s.path)
		told.Hint = "end whatever else has it open (a backup, a sqlite3 shell), then try again"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return s.notWritable(err)
	case sqlite3.SQLITE_FULL:
		return s.full(err)
	case sqlite3.SQLITE_IOERR:
		// A file that SQLite maps into memory meets a full disk in its own way.
		var disk unix.Statfs_t
		if unix.Statfs(filepath.Dir(s.path), &disk) == nil && disk.Bavail == 0 {
			return s.full(err)
		}
		told.Message = fmt.Sprintf("The disk under the database %s answered with an error; nothing was changed.", s.path)
		told.Hint = "look at the disk, then try again"
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		told.Message = fmt.Sprintf("%s is not a Berth database, or it is damaged.", s.path)
		told.Hint = "restore it from a backup, or move it away to start with an empty one"
	default:
		return fmt.Errorf("database: %w", err)
	}
	return told
}

func (s *Store) full(err error) error {
	return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
		Message: fmt.Sprintf("The disk that holds the database %s is full; nothing was changed.", s.path),
		Hint:    "free some space, then try again"}
}

func (s *Store) notWritable(err error) error {
	return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
		Message: fmt.Sprintf("Berth cannot write to its database %s.", s.path),
		Hint:    "let the user that runs Berth write to that file and its folder, or choose another folder with --data"}
}

// portFree tries a port on the loopback and on every address: an app may
// listen on either.
func portFree(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			return false
		}
	}
	return true
}

// micros is how a time is stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func pointerFromMicros(n int64) *time.Time {
	if n == 0 {
		return nil
	}
	t := fromMicros(n)
	return &t
}

// text is v as JSON, for a column.
func text(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
