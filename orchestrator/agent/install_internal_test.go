package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// system is a machine as the installer sees it: programs on PATH, and answers
// to commands by their beginning. Commands that nobody has foreseen fail.
type system struct {
	t        *testing.T
	programs map[string]bool
	// answers are in order of preference; each answer of a list is given once,
	// the last one from then on.
	answers []*answer
	called  []string
	told    []string
	now     time.Time
	dir     string
}

type answer struct {
	begins string
	out    []string // "!" at the beginning: it fails
	does   func()
}

func (s *system) installer(version string) *installer {
	return &installer{version: version, places: []string{filepath.Join(s.dir, "venv/bin/salt-call"), filepath.Join(s.dir, "opt/salt-call")}, venv: filepath.Join(s.dir, "venv"),
		look: func(name string) (string, error) {
			if s.programs[name] {
				return "/usr/bin/" + name, nil
			}
			return "", errors.New("not found")
		},
		run: s.run, tell: func(text string) { s.told = append(s.told, text) }, now: func() time.Time { return s.now },
		pause: func(_ context.Context, d time.Duration) error { s.now = s.now.Add(d); return nil }}
}

func (s *system) run(_ context.Context, command []string) (string, error) {
	line := strings.ReplaceAll(strings.Join(command, " "), s.dir, "DIR")
	s.called = append(s.called, line)
	for _, a := range s.answers {
		if !strings.HasPrefix(line, a.begins) {
			continue
		}
		out := a.out[0]
		if len(a.out) > 1 {
			a.out = a.out[1:]
		}
		text, failed := strings.CutPrefix(out, "!")
		if failed {
			return text, errors.New("exit status 100")
		}
		if a.does != nil {
			a.does()
		}
		return text, nil
	}
	return "command not foreseen: " + line, errors.New("exit status 127")
}

// has puts a file where the installer looks for Salt.
func (s *system) has(name string) {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) count(begins string) (n int) {
	for _, c := range s.called {
		if strings.HasPrefix(c, begins) {
			n++
		}
	}
	return n
}

const lockBusy = "!E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)"

func TestInstall(t *testing.T) {
	t.Parallel()
	venv := func(s *system) func() { return func() { s.has("venv/bin/salt-call") } }
	for _, c := range []struct {
		name  string
		setup func(s *system)
		path  string // what it gives, or
		fails string // what it says
		want  []string
		never []string
		check func(t *testing.T, s *system)
	}{
		{name: "in the image", setup: func(s *system) {
			s.has("opt/salt-call")
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}}}
		}, path: "opt/salt-call", never: []string{"apt-get", "/usr/bin/python3"}},
		{name: "in the image at another version, then by pip", setup: func(s *system) {
			s.has("opt/salt-call")
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3006.9 (Sulfur)\n"}},
				{begins: "apt-cache madison", out: []string{"salt-minion | 3006.9+ds-1 | http://deb.debian.org/debian bookworm/main amd64 Packages\n"}},
				{begins: "/usr/bin/python3 -m venv", out: []string{""}, does: venv(s)}, {begins: "/usr/bin/python3 -c", out: []string{""}},
				{begins: "DIR/venv/bin/pip install", out: []string{""}}, {begins: "DIR/venv/bin/salt-call", out: []string{"salt-call 3008.3 (Argon)\n"}}}
		}, path: "venv/bin/salt-call", want: []string{"DIR/venv/bin/pip install"}, never: []string{"apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -y"}},
		{name: "packages have exactly the version", setup: func(s *system) {
			s.answers = []*answer{{begins: "apt-cache madison", out: []string{"salt-minion | 3008.4 | https://packages.broadcom.com/artifactory/saltproject-deb stable/main\nsalt-minion | 3008.3 | https://packages.broadcom.com/artifactory/saltproject-deb stable/main\n"}},
				{begins: "systemctl mask", out: []string{""}},
				{begins: "apt-get", out: []string{""}, does: func() { s.has("opt/salt-call") }}, {begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}}}
		}, path: "opt/salt-call", want: []string{"systemctl mask salt-minion.service"}, never: []string{"DIR/venv/bin/pip"}, check: func(t *testing.T, s *system) {
			if !slices.ContainsFunc(s.called, func(c string) bool { return strings.HasSuffix(c, " install salt-common=3008.3 salt-minion=3008.3") }) {
				t.Errorf("called %q", s.called)
			}
		}},
		{name: "git is missing and apt is busy for a while", setup: func(s *system) {
			delete(s.programs, "git")
			s.has("opt/salt-call")
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}},
				{begins: "apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -y", out: []string{lockBusy, lockBusy, lockBusy, ""}},
				{begins: "apt-get", out: []string{""}}}
		}, path: "opt/salt-call", check: func(t *testing.T, s *system) {
			if want := []string{"installing git", "waiting for another installation on the machine", "the image has what sets servers up"}; !slices.Equal(s.told, want) {
				t.Errorf("told %q", s.told)
			}
		}},
		{name: "a source out of reach, and others that have all", setup: func(s *system) {
			delete(s.programs, "git")
			s.has("opt/salt-call")
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}},
				{begins: "apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -y", out: []string{""}},
				{begins: "apt-get", out: []string{"!E: Failed to fetch http://extra.acme.io/InRelease  Could not connect to extra.acme.io:80"}}}
		}, path: "opt/salt-call", check: func(t *testing.T, s *system) {
			if waited := s.now.Sub(time.Time{}); waited > 2*time.Minute {
				t.Errorf("it waited %v", waited)
			}
		}},
		{name: "the mirror with git answers only after minutes", setup: func(s *system) {
			delete(s.programs, "git")
			s.has("opt/salt-call")
			down := "!E: Failed to fetch http://deb.acme.io/InRelease  Could not connect to deb.acme.io:80"
			none := "!E: Unable to locate package git"
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}},
				{begins: "apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -y", out: []string{none, none, none, ""}},
				{begins: "apt-get", out: append(slices.Repeat([]string{down}, 12), "")}}
		}, path: "opt/salt-call", check: func(t *testing.T, s *system) {
			if waited := s.now.Sub(time.Time{}); waited < time.Minute {
				t.Errorf("it waited only %v", waited)
			}
		}},
		{name: "apt stays busy", setup: func(s *system) {
			delete(s.programs, "git")
			s.answers = []*answer{{begins: "apt-get", out: []string{lockBusy}}}
		}, fails: "Could not get lock", check: func(t *testing.T, s *system) {
			if waited := s.now.Sub(time.Time{}); waited < 10*time.Minute || waited > 4*time.Hour {
				t.Errorf("it waited %v", waited)
			}
		}},
		{name: "dpkg was cut off", setup: func(s *system) {
			delete(s.programs, "git")
			s.has("opt/salt-call")
			s.answers = []*answer{{begins: "DIR/opt/salt-call --version", out: []string{"salt-call 3008.3 (Argon)\n"}}, {begins: "dpkg --configure -a", out: []string{""}},
				{begins: "apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -y", out: []string{"!E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", ""}},
				{begins: "apt-get", out: []string{""}}}
		}, path: "opt/salt-call", want: []string{"dpkg --configure -a"}},
		{name: "a package that there is not is not asked for all day", setup: func(s *system) {
			delete(s.programs, "make")
			s.answers = []*answer{{begins: "apt-get", out: []string{"!E: Unable to locate package make"}}}
		}, fails: "Unable to locate package make", check: func(t *testing.T, s *system) {
			if s.now.Sub(time.Time{}) > time.Minute {
				t.Errorf("it waited %v", s.now.Sub(time.Time{}))
			}
		}},
		{name: "a certificate that is not trusted is not tried all day", setup: func(s *system) {
			s.answers = []*answer{{begins: "apt-cache", out: []string{""}}, {begins: "apt-get", out: []string{""}}, {begins: "/usr/bin/python3 -", out: []string{""}},
				{begins: "DIR/venv/bin/pip install", out: []string{"!WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"}}}
		}, fails: "CERTIFICATE_VERIFY_FAILED", check: func(t *testing.T, s *system) {
			if s.now.Sub(time.Time{}) > time.Minute {
				t.Errorf("it waited %v", s.now.Sub(time.Time{}))
			}
		}},
		{name: "no git and no package manager", setup: func(s *system) {
			s.programs = map[string]bool{"make": true}
		}, fails: "the image has no git, and no package manager that Berth knows (apt-get, dnf, zypper, apk)"},
		{name: "another system's older Python", setup: func(s *system) {
			s.programs = map[string]bool{"git": true, "make": true, "dnf": true, "python3": true, "gcc": true}
			s.answers = []*answer{{begins: "dnf -q list --showduplicates", out: []string{"!Error: No matching Packages to list"}},
				{begins: "dnf -y --setopt=retries=3 install python3.12", out: []string{"!Error: Unable to find a match: python3.12 python3.12-devel"}},
				{begins: "dnf -y --setopt=retries=3 install python3.11", out: []string{""}, does: func() { s.programs["python3.11"] = true }},
				{begins: "/usr/bin/python3 -c", out: []string{"!"}}, {begins: "/usr/bin/python3.11 -m venv", out: []string{""}, does: venv(s)}, {begins: "/usr/bin/python3.11 -c", out: []string{""}},
				{begins: "DIR/venv/bin/pip install", out: []string{""}}, {begins: "DIR/venv/bin/salt-call", out: []string{"salt-call 3008.3\n"}}}
		}, path: "venv/bin/salt-call"},
		{name: "half a venv of an attempt that was cut off", setup: func(s *system) {
			s.has("venv/bin/salt-call")
			s.has("venv/left-over")
			broken := "!Traceback (most recent call last):\nModuleNotFoundError: No module named 'salt'\n"
			s.answers = []*answer{{begins: "apt-cache", out: []string{""}}, {begins: "apt-get", out: []string{""}},
				{begins: "/usr/bin/python3 -m venv", out: []string{""}, does: venv(s)}, {begins: "/usr/bin/python3 -c", out: []string{""}},
				{begins: "DIR/venv/bin/pip install", out: []string{""}}, {begins: "DIR/venv/bin/salt-call", out: []string{broken, "salt-call 3008.3\n"}}}
		}, path: "venv/bin/salt-call", check: func(t *testing.T, s *system) {
			if _, err := os.Stat(filepath.Join(s.dir, "venv/left-over")); err == nil {
				t.Error("what the broken attempt left is still there")
			}
		}},
		{name: "the index does not have it", setup: func(s *system) {
			s.answers = []*answer{{begins: "apt-cache", out: []string{""}}, {begins: "apt-get", out: []string{""}}, {begins: "/usr/bin/python3 -", out: []string{""}},
				{begins: "DIR/venv/bin/pip install", out: []string{"!ERROR: Could not find a version that satisfies the requirement salt==3008.3 (from versions: 3007.1)\nERROR: No matching distribution found for salt==3008.3"}}}
		}, fails: "No matching distribution found for salt==3008.3"},
	} {
		s := &system{t: t, dir: t.TempDir(), programs: map[string]bool{"git": true, "make": true, "apt-get": true, "systemctl": true, "python3": true, "gcc": true}}
		c.setup(s)
		path, err := s.installer("3008.3").install(t.Context())
		var failed *failedInstall
		switch {
		case c.fails != "" && (!errors.As(err, &failed) || !strings.Contains(failed.text+"\n"+failed.output, c.fails)):
			t.Errorf("%s: %q, %v; it does not say %q", c.name, path, err, c.fails)
		case c.fails == "" && (err != nil || path != filepath.Join(s.dir, c.path)):
			t.Errorf("%s: %q, %v\ncalled:\n%s", c.name, path, err, strings.Join(s.called, "\n"))
		}
		for _, want := range c.want {
			if s.count(want) == 0 {
				t.Errorf("%s: %s was not called, but\n%s", c.name, want, strings.Join(s.called, "\n"))
			}
		}
		for _, never := range c.never {
			if s.count(never) > 0 {
				t.Errorf("%s: %s was called", c.name, never)
			}
		}
		if c.check != nil {
			c.check(t, s)
		}
	}
}

// A version is the pinned one or it is not; what a package manager writes
// around it does not matter.
func TestExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ list, version, want string }{
		{"salt-minion | 3008.3 | https://x stable/main amd64 Packages", "3008.3", "3008.3"},
		{"salt-minion | 1:3008.3+ds-1~deb12 | https://x", "3008.3", "1:3008.3+ds-1~deb12"},
		{"salt-minion | 3008.31 | https://x", "3008.3", ""},
		{"salt-minion | 13008.3 | https://x", "3008.3", ""},
		{"salt-minion | 3008.3rc1 | https://x", "3008.3", ""},
		{"Available Packages\nsalt-minion.x86_64    3008.3-0    salt-repo-3008-sts", "3008.3", "3008.3-0"},
		{"S | Name | Type | Version | Arch | Repository\n  | salt-minion | package | 3008.3-150500.4.1 | x86_64 | Main", "3008.3", "3008.3-150500.4.1"},
		{"salt-minion-3008.3-r0 x86_64 {salt} (Apache-2.0)", "3008.3", "3008.3-r0"},
		{"", "3008.3", ""},
	} {
		if got := exactly(c.list, c.version); got != c.want {
			t.Errorf("%q: %q, want %q", c.list, got, c.want)
		}
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	if text, ok := locked("3008.3"); !ok || !strings.Contains(string(text), "--hash=sha256:") {
		t.Error("there is no list with hashes for the default version")
	}
	for _, version := range []string{"", "3008", "008.3", "3006.9"} {
		if _, ok := locked(version); ok {
			t.Errorf("%q has one", version)
		}
	}
}

// One who waits is told of a failure once; asked again there is another
// attempt, and what was told is made good when one succeeds.
func TestSetup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	mended := make(chan struct{})
	s := newSetup(func(ctx context.Context) (string, error) {
		select {
		case err := <-results:
			return "salt-call", err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}, func() { close(mended) })
	s.again = time.Hour
	ended := make(chan error)
	go func() { ended <- s.run(ctx) }()

	first := errors.New("apt is busy")
	go func() { results <- first }()
	if _, err := s.wait(ctx); !errors.Is(err, first) {
		t.Fatalf("told %v", err)
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	if _, err := s.wait(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("who does not wait any longer is told %v", err)
	}
	second := fmt.Errorf("again: %w", first)
	answers, enough := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for answers.Err() == nil {
			select {
			case results <- second:
			case <-answers.Done():
			}
		}
	}()
	if _, err := s.wait(ctx); !errors.Is(err, second) {
		t.Fatalf("told %v", err)
	}
	enough()
	<-over
	go func() { results <- nil }()
	if path, err := s.wait(ctx); path != "salt-call" || err != nil {
		t.Fatalf("at last %q, %v", path, err)
	}
	<-mended
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if path, err := s.wait(ctx); path != "salt-call" || err != nil {
		t.Errorf("from then on %q, %v", path, err)
	}
	cancel()
}
