// Package postgres is a PostgreSQL for tests: the real one, on a socket in a
// folder of its own, with passwords demanded. It has no port, so that any
// number of tests run at once.
package postgres

import (
	"bytes"
	"crypto/rand"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Require is the variable that makes tests fail, not skip, where PostgreSQL is
// not installed.
const Require = "BERTH_REQUIRE_POSTGRES"

// Server is a running PostgreSQL with one role, which owns every database.
type Server struct {
	// Password is the role's.
	Password string
	dir      string
	psql     string
}

const role = "berth"

// find looks for a program on the PATH and where Debian hides it.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(all) == 0 {
		return ""
	}
	return slices.Max(all)
}

// Start makes a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	initdb, postgres, psql := find("initdb"), find("postgres"), find("psql")
	if initdb == "" || postgres == "" || psql == "" {
		const how = "PostgreSQL is not installed: apt-get install -y postgresql"
		if os.Getenv(Require) != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	// Not t.TempDir: its name can be too long for a socket, and nobody else
	// may enter it, but PostgreSQL refuses to run as root.
	dir, err := os.MkdirTemp("", "berth-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{Password: rand.Text(), dir: dir, psql: psql}
	attr := &syscall.SysProcAttr{}
	own := func(path string) {}
	if os.Getuid() == 0 {
		uid, gid := nobody(t)
		attr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		own = func(path string) {
			if err := os.Chown(path, int(uid), int(gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	own(dir)
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(s.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	own(secret)
	data := filepath.Join(dir, "data")
	start := func(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	cmd, out := start(initdb, "-D", data, "-U", role, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--no-instructions")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	cmd, out = start(postgres, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // the fast shutdown: clients are sent away
		<-ended
	})
	deadline := time.After(2 * time.Minute)
	for {
		if _, err := s.ask("postgres", "select 1"); err == nil {
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("postgres ended: %v\n%s", err, out)
		case <-deadline:
			t.Fatalf("postgres does not answer:\n%s", out)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// nobody is the user that PostgreSQL runs as for root.
func nobody(t testing.TB) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("the user nobody is %+v", u)
	}
	return uint32(id), uint32(group)
}

// Database makes a database and gives the address that leads to it.
func (s *Server) Database(t testing.TB, name string) string {
	t.Helper()
	if _, err := s.ask("postgres", "create database "+name); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// URL is the address of a database, with the password.
func (s *Server) URL(name string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, s.Password), Path: "/" + name,
		RawQuery: url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode()}
	return u.String()
}

// Query gives the rows of a query, one a line.
func (s *Server) Query(t testing.TB, database, query string) string {
	t.Helper()
	out, err := s.ask(database, query)
	if err != nil {
		t.Fatalf("%s: %v\n%s", query, err, out)
	}
	return out
}

func (s *Server) ask(database, query string) (string, error) {
	cmd := exec.Command(s.psql, "-XAtq", "-h", s.dir, "-U", role, "-d", database, "-c", query)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PGPASSWORD=" + s.Password, "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}
