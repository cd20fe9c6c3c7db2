package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
	"github.com/berth-dev/berth/testdata/executable"
)

func TestSaltStep(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"[INFO    ] Executing state git.latest for [https://github.com/acme/api]": "fetching the code from https://github.com/acme/api",
		"[INFO    ] Executing state cmd.run for [make build]":                     "running: make build",
		"[INFO    ] Executing state cmd.run for [first line":                      "running: first line",
		"[INFO    ] Executing state pkg.installed for [a[1]]":                     "installing a[1]",
		"[INFO    ] Executing state user.present for [x]":                         "user.present: x",
		"[INFO    ] Running state [x] at time 08:24:03.531897":                    "",
		"[ERROR   ] Executing state git.latest for [x]":                           "",
		"Executing state git.latest for [x]":                                      "",
	} {
		if got, _ := saltStep(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzSaltStep(f *testing.F) {
	f.Add("[INFO    ] Executing state cmd.run for [x]")
	f.Fuzz(func(t *testing.T, text string) {
		s := newStream()
		w := &lineWriter{line: func(line string) {
			if step, ok := saltStep(line); ok {
				s.add("configuring", "", step)
			}
		}}
		_, _ = w.Write([]byte(text))
		w.flush()
		for _, p := range s.take() {
			if !utf8.ValidString(p.Text) || len(p.Text) > maxLine+len("…") {
				t.Errorf("%q", p.Text)
			}
		}
	})
}

// Passwords in addresses stay here; lines have an end; old ones go first.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newStream()
	s.at(7)
	s.add("log", "salt", "Cloning https://me:hunter2@host/x and ssh://git@host/y")
	s.add("log", "app", strings.Repeat("é", maxLine))
	got := s.take()
	if len(got) != 2 || got[0].Text != "Cloning https://host/x and ssh://host/y" || got[0].Generation != 7 || !utf8.ValidString(got[1].Text) || len(got[1].Text) > maxLine+4 {
		t.Errorf("%+v", got)
	}
	for range maxPending + 5 {
		s.add("log", "app", "x")
	}
	if len(s.pending) != maxPending || s.dropped != 5 {
		t.Errorf("%d lines wait, %d dropped", len(s.pending), s.dropped)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	e := &ends{maxHead: 4, maxTail: 6}
	for _, part := range []string{"ab", "cdef", "", "ghij", "klmnopqrstuvwxyz"} {
		if n, err := e.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if got := e.String(); got != "abcd\n[…]\nuvwxyz" {
		t.Errorf("%q", got)
	}
	short := &ends{maxHead: 4, maxTail: 6}
	_, _ = io.WriteString(short, "abcdefghij")
	if got := short.String(); got != "abcdefghij" {
		t.Errorf("%q", got)
	}
}

func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	packed, digest, err := templates.States("")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), digest)
	if err := unpack(packed, folder); err != nil {
		t.Fatal(err)
	}
	roots, err := fileRoots(folder)
	if err != nil || !slices.Equal(roots, []string{filepath.Join(folder, "1")}) {
		t.Errorf("file roots %q, %v", roots, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "1", "app", "init.sls")); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{
		"path upwards":    archive(t, tar.Header{Name: "../x", Typeflag: tar.TypeReg}),
		"absolute path":   archive(t, tar.Header{Name: "/tmp/x", Typeflag: tar.TypeReg}),
		"absolute link":   archive(t, tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}),
		"link upwards":    archive(t, tar.Header{Name: "a/x", Typeflag: tar.TypeSymlink, Linkname: "../../y"}),
		"device":          archive(t, tar.Header{Name: "x", Typeflag: tar.TypeChar}),
		"hard link":       archive(t, tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"same name twice": archive(t, tar.Header{Name: "x", Typeflag: tar.TypeReg}, tar.Header{Name: "x", Typeflag: tar.TypeReg}),
		"not an archive":  bytes.Repeat([]byte("x"), 1024),
	} {
		if err := unpack(bad, filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%s: unpacked", name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "0/a.sls", Typeflag: tar.TypeReg}))
	f.Add(archive(f, tar.Header{Name: "0/", Typeflag: tar.TypeDir}, tar.Header{Name: "0/l", Typeflag: tar.TypeSymlink, Linkname: "../../x"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		top := t.TempDir()
		_ = unpack(raw, filepath.Join(top, "in"))
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) > 1 {
			t.Errorf("beside the folder: %v, %v", entries, err)
		}
	})
}

func TestLocalFolders(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"https://github.com/acme/api": nil,
		"git@github.com:acme/api":     nil,
		"relative/path":               nil,
		"file:///srv/git/api.git/":    {"/srv/git/api.git", "/srv/git/api.git/.git", "/srv/git/api.git.git"},
		"/srv/git/api":                {"/srv/git/api", "/srv/git/api/.git", "/srv/git/api.git"},
	} {
		if got := localFolders(address); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// TestForeignCheckout: on a machine of its own the agent is root and the
// checkout is the app's, whose configuration must not make root's git run
// anything.
func TestForeignCheckout(t *testing.T) {
	t.Parallel()
	a := &agent{dir: t.TempDir()}
	trace := filepath.Join(a.dir, "trace")
	for name, text := range map[string]string{
		"HEAD":              "ref: refs/heads/main\n",
		"refs/heads/main":   strings.Repeat("1234567890", 4) + "\n",
		"objects/pack/none": "",
		"config": "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\turl = " + a.checkout() +
			"\n\tpromisor = true\n\tuploadpack = \"touch " + trace + "; git-upload-pack\"\n",
	} {
		name = filepath.Join(a.checkout(), ".git", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if head := a.head(t.Context()); head != "" {
		t.Errorf("head is %q", head)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("the checkout's own configuration has run a command as the agent")
	}
}

// An app that links its own configuration to what only root may read learns
// nothing from the agent: git looks as the checkout's own user.
func TestCheckoutOfAnother(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root has a checkout that is another user's")
	}
	a := &agent{dir: t.TempDir()}
	private := filepath.Join(a.dir, "private")
	head := filepath.Join(private, "HEAD")
	// All but this one file is everybody's to read.
	if err := errors.Join(os.MkdirAll(a.checkout(), 0o755), os.Chmod(a.dir, 0o755), os.Chmod(filepath.Dir(a.dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "--git-dir", private}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "--bare")
	commit := git("commit-tree", git("hash-object", "-t", "tree", "-w", os.DevNull), "-m", "x")
	if err := errors.Join(os.WriteFile(head, []byte(commit+"\n"), 0o644), os.Chmod(head, 0o600), os.Symlink(private, filepath.Join(a.checkout(), ".git")),
		os.WriteFile(filepath.Join(a.dir, "gitconfig"), []byte("[safe]\n\tdirectory = *\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if got := a.head(t.Context()); got != commit {
		t.Errorf("of root's own checkout it is %q, want %s", got, commit)
	}
	if err := os.Lchown(filepath.Join(a.dir, "root"), 3_999_999, 3_999_999); err != nil {
		t.Fatal(err)
	}
	if as := a.owner(); as == nil || as.Uid != 3_999_999 || as.Gid != 3_999_999 || len(as.Groups) > 0 {
		t.Errorf("git would run as %+v", as)
	}
	if got := a.head(t.Context()); got != "" {
		t.Errorf("what only root may read is told: %s", got)
	}
	if err := os.Chmod(head, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := a.head(t.Context()); got != commit {
		t.Errorf("of what its user may read it is %q, want %s", got, commit)
	}
}

// What the agent reads and removes in the checkout is within it, and is a file.
func TestWithinCheckout(t *testing.T) {
	t.Parallel()
	a := &agent{dir: t.TempDir()}
	outside := filepath.Join(a.dir, "outside")
	for name, text := range map[string]string{
		filepath.Join(outside, "passwd.lock"): "root's", filepath.Join(outside, "Makefile"): "run:\n",
		filepath.Join(a.checkout(), ".git", "index.lock"): "", filepath.Join(a.checkout(), ".git", "refs", "heads", "x.lock"): "",
		filepath.Join(a.checkout(), ".git", "none.lock", "file"): "",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool { _, err := os.Lstat(name); return err == nil }
	if err := a.unlockGit(); err != nil || there(filepath.Join(a.checkout(), ".git", "index.lock")) || there(filepath.Join(a.checkout(), ".git", "refs", "heads", "x.lock")) {
		t.Errorf("locks of a git that was killed stay: %v", err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(a.checkout(), ".git")), os.Symlink(outside, filepath.Join(a.checkout(), ".git"))); err != nil {
		t.Fatal(err)
	}
	if err := a.unlockGit(); err != nil || !there(filepath.Join(outside, "passwd.lock")) {
		t.Errorf("a lock behind a link is gone: %v", err)
	}

	makefile := filepath.Join(a.checkout(), "Makefile")
	if err := errors.Join(os.WriteFile(filepath.Join(a.checkout(), "real"), []byte("all:\nrun :\n"), 0o644), os.Symlink("real", makefile)); err != nil {
		t.Fatal(err)
	}
	if !a.makes("run") || a.makes("start") {
		t.Error("a Makefile that is a link within the checkout is not read")
	}
	if err := errors.Join(os.Remove(makefile), os.Symlink(filepath.Join(outside, "Makefile"), makefile)); err != nil {
		t.Fatal(err)
	}
	if a.makes("run") {
		t.Error("a file behind a link that leads out is read")
	}
	if err := errors.Join(os.Remove(makefile), syscall.Mkfifo(makefile, 0o644)); err != nil {
		t.Fatal(err)
	}
	if a.makes("run") { // and it comes back: nobody writes there
		t.Error("a pipe has targets")
	}
}

// What Berth asks for while the agent still comes back is not lost: it is done
// next, and what the agent is at is given up for it.
func TestDeliveredEarly(t *testing.T) {
	t.Parallel()
	a := &agent{mailed: make(chan struct{}, 1)}
	if soft := a.begin(t.Context()); soft.Err() != nil {
		t.Error("nothing has come and it gives up")
	}
	a.deliver(&orchestrator.Desired{Generation: 3})
	if soft := a.begin(t.Context()); soft.Err() == nil {
		t.Error("something has come and it does not give up")
	}
	if d, soft := a.collect(t.Context()); d == nil || d.Generation != 3 || soft.Err() != nil {
		t.Errorf("collected is %v, %v", d, soft.Err())
	}
	soft := a.begin(t.Context())
	if a.deliver(&orchestrator.Desired{Generation: 4}); soft.Err() == nil {
		t.Error("something comes and it does not give up")
	}
}

// A server whose clock is wrong takes Berth's.
func TestClock(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	there := time.Now().Add(48 * time.Hour)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Date", there.UTC().Format(http.TimeFormat))
		switch err := Verify(r, body, public, there); {
		case errors.Is(err, ErrClock):
			w.WriteHeader(http.StatusForbidden)
		case err != nil:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(s.Close)
	c := newClient("s1", private, func() (string, string) { return s.URL, "" })
	var refused *statusError
	if err := c.progress(context.Background(), nil); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("with the wrong clock: %v", err)
	}
	if err := c.progress(context.Background(), []orchestrator.Progress{{Text: "x"}}); err != nil {
		t.Errorf("with Berth's clock: %v", err)
	}
}

// An agent believes the authority that it was told and no other, and learns of
// another one without a restart.
func TestPins(t *testing.T) {
	t.Parallel()
	_, private, _ := ed25519.GenerateKey(nil)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	namesake := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: s.Certificate().Subject, NotBefore: s.Certificate().NotBefore, NotAfter: s.Certificate().NotAfter,
		IsCA: true, BasicConstraintsValid: true}
	other, err := x509.CreateCertificate(rand.Reader, namesake, namesake, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	ca := ""
	c := newClient("s1", private, func() (string, string) { return s.URL, ca })
	for _, try := range []struct {
		name, ca string
		believed bool
	}{
		{"the machine's", "", false}, {"the right one", encode(s.Certificate().Raw), true},
		{"one of the same name", encode(other), false}, {"the right one again", encode(s.Certificate().Raw), true},
	} {
		ca = try.ca
		var unknown *tls.CertificateVerificationError
		if err := c.progress(context.Background(), nil); (err == nil) != try.believed || err != nil && !errors.As(err, &unknown) {
			t.Errorf("%s: %v", try.name, err)
		}
	}
	ca = "no certificate"
	var e *orchestrator.Error
	if err := c.progress(context.Background(), nil); !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
}

// Output does not fill the disk.
func TestOutputRotates(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "app.log")
	lines := 0
	o := newOutput(name, func(string) { lines++ })
	block := bytes.Repeat([]byte(strings.Repeat("x", 1023)+"\n"), 1024)
	for range 12 {
		if _, err := o.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{name, name + ".1"} {
		if info, err := os.Stat(n); err != nil || info.Size() > maxAppLog+int64(len(block)) {
			t.Errorf("%s: %v, %v", n, info, err)
		}
	}
	if lines != 12*1024 || len(o.String()) != appLogTail {
		t.Errorf("%d lines, a tail of %d bytes", lines, len(o.String()))
	}
}

// However often something fails, it is tried again: ever later up to a bound,
// and not by all agents at the same moment.
func TestBackoff(t *testing.T) {
	t.Parallel()
	const most = 30 * time.Second
	a, b := newBackoff(most), newBackoff(most)
	differ, long := 0, 0
	for i := range 100 {
		x, y := a.NextBackOff(), b.NextBackOff()
		if x <= 0 || x > most*3/2 {
			t.Fatalf("the pause number %d is %s", i, x)
		}
		if i == 0 && x > 300*time.Millisecond {
			t.Errorf("the first pause is %s", x)
		}
		if x != y {
			differ++
		}
		if x > most/3 {
			long++
		}
	}
	if differ < 90 || long < 80 {
		t.Errorf("%d of 100 pauses differ, %d are long", differ, long)
	}
}

// In a container a process may have session 0: its leader stands outside. That
// is not the session of an app that has not started yet.
func TestSessionOutside(t *testing.T) {
	t.Parallel()
	p := &app{agent: &agent{}, run: "run"}
	outside := process{PID: math.MaxInt32}
	if p.own(0)(outside, nil) {
		t.Error("a process whose session stands outside is the app's before it has started")
	}
	if outside.Session = 7; !p.own(7)(outside, nil) {
		t.Error("a process of the app's session is none of its own")
	}
}

// An app that keeps ending is told to be unwell once, whatever its pace, and to
// be well when it has run for a while; one that ends now and then stays well.
func TestEndings(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		every  time.Duration
		turns  int // from well to unwell, until it ends no more
		begins time.Duration
	}{
		{every: time.Second, turns: 1, begins: 5 * time.Second},
		{every: 15 * time.Second, turns: 1, begins: 45 * time.Second},
		{every: 97 * time.Second, turns: 1, begins: 295 * time.Second},
		{every: 145 * time.Second, turns: 1, begins: 435 * time.Second},
		{every: 155 * time.Second, turns: 0},
		{every: time.Hour, turns: 0},
	} {
		var e endings
		was, turns, now, ended := false, 0, start, 0
		for ; now.Before(start.Add(3 * time.Hour)); now = now.Add(watchEvery) {
			all := int(now.Sub(start) / c.every)
			is := e.note(now, all-ended)
			if ended = all; is == was {
				continue
			}
			if was, turns = is, turns+1; turns == 1 && now.Sub(start) != c.begins {
				t.Errorf("every %s: unwell after %s, want %s", c.every, now.Sub(start), c.begins)
			}
		}
		if turns != c.turns {
			t.Errorf("every %s: it turned %d times, want %d", c.every, turns, c.turns)
		}
		for calm := time.Duration(0); calm < endsWithin; calm += watchEvery {
			if e.note(now.Add(calm), 0) && calm >= calmFor {
				t.Errorf("every %s: still unwell after %s without an end", c.every, calm)
			}
		}
	}
}

// Of an app that systemd keeps running, systemd knows how often it has ended; a
// moment in which it does not say so counts for nothing.
func TestEndsOfUnit(t *testing.T) {
	bin := t.TempDir()
	says := filepath.Join(bin, "says")
	executable.Write(t, filepath.Join(bin, "systemctl"), `#!/bin/sh
test "$*" = "show --property=NRestarts --value berth-app" && cat '`+says+`'
`)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	a := &agent{config: config{Systemd: true}}
	for _, c := range []struct {
		said *string
		want int
	}{{new("4\n"), 4}, {new("0\n"), 0}, {new("\n"), 7}, {nil, 7}} {
		if c.said == nil {
			if err := os.Remove(says); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(says, []byte(*c.said), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, how := a.ends(t.Context(), nil, 7); got != c.want || how != "ended" {
			t.Errorf("%v: %d, %q; want %d", c.said, got, how, c.want)
		}
	}
	a.config.Systemd = false
	if got, _ := a.ends(t.Context(), nil, -1); got != 0 {
		t.Errorf("nothing supervises it, and it has ended %d times", got)
	}
}

// TestListensInstead: on which port an app listens is told where it is not its own.
func TestListensInstead(t *testing.T) {
	bin := t.TempDir()
	executable.Write(t, filepath.Join(bin, "systemctl"), `#!/bin/sh
test "$*" = "show --property=MainPID --value berth-app" && echo $BERTH_TEST_PID
`)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	app := exec.CommandContext(t.Context(), "python3", "-c", `import socket, sys
s, t = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], t.getsockname()[1], flush=True)
sys.stdin.read()`)
	if _, err := app.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Process.Kill(); _ = app.Wait() })
	var one, other int
	if _, err := fmt.Fscan(out, &one, &other); err != nil {
		t.Fatal(err)
	}
	a := &agent{config: config{Systemd: true}}
	says := fmt.Sprintf("; the app listens on port %d, %d instead", min(one, other), max(one, other))
	for _, c := range []struct {
		main, port int
		want       string
	}{{app.Process.Pid, 1, says}, {app.Process.Pid, one, ""}, {0, 1, ""}} {
		t.Setenv("BERTH_TEST_PID", strconv.Itoa(c.main))
		if got := a.instead(t.Context(), c.port, nil); got != c.want {
			t.Errorf("of process %d and port %d: %q, want %q", c.main, c.port, got, c.want)
		}
	}
	a.config.Systemd = false
	if got := a.instead(t.Context(), 1, nil); got != "" {
		t.Errorf("of nobody: %q", got)
	}
}
