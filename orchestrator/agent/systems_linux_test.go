package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// The installer against real package managers: each case has a root file system
// of its own (.ci/setup systems makes it in BERTH_WORK), a network of its own,
// and repositories of tiny packages that are called as the real ones are. Those
// that fail are recorded anew, into testdata/first-start, with
//
//	make systems RECORD=.
//
// What is true of each is written by hand in systemCases; package diagnose's
// tests read what was recorded.
var recordStarts = flag.String("record", "", "record the failed installations whose names match")

const (
	insideVariable = "BERTH_TEST_SYSTEM"      // the case that a process in its root is to play
	rootVariable   = "BERTH_TEST_SYSTEM_ROOT" // where that root is
	heldWithin     = 2 * time.Minute
)

// systemCase is an installation on a machine's own system.
type systemCase struct {
	name, note string
	program    string // the package manager; the others are taken away
	version    string // of Salt; empty: 3008.2, for which no hashes are known
	prepare    string // what a shell does in the root before
	// holds is what a shell does meanwhile, until the file /srv/go is there; it
	// makes /srv/held when it has begun.
	holds string
	// frees says after how many pauses /srv/go is there; 0: never.
	frees int
	// serves are statuses that the mirror answers with, by the end of a path; 0:
	// it never answers.
	serves map[string]int
	limit  time.Duration // of the whole attempt; 0: the installer's own

	path   string        // what it gives, or what it fails with:
	code   string        //
	who    string        //
	must   []any         //
	told   []string      // what those who watch are told, in order, among other things
	after  string        // what a shell finds true afterwards
	within time.Duration // by its own clock; 0: however long
}

// played is how a case went.
type played struct {
	Path, Problem, Output, Log string
	Told, Called               []string
	Waited                     time.Duration
	After                      string
}

func TestSystems(t *testing.T) {
	if name := os.Getenv(insideVariable); name != "" {
		inside(name)
	}
	root, err := filepath.EvalSymlinks(filepath.Join(os.Getenv("BERTH_WORK"), "systems", "current"))
	switch {
	case os.Getenv("BERTH_REQUIRE_SYSTEMS") != "" && err != nil:
		t.Fatal(err)
	case err != nil:
		t.Skip("BERTH_WORK has no root file system with package managers (make systems makes it and runs this)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	two := make(chan struct{}, 2) // so many at once
	for _, c := range systemCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			disk := t.TempDir()
			answer, end, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, self, "-test.run", "^TestSystems$")
			cmd.Env = []string{insideVariable + "=" + c.name, rootVariable + "=" + root, "BERTH_TEST_SYSTEM_DISK=" + disk,
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
			cmd.ExtraFiles = []*os.File{end}
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			// All that is mounted and started ends with the first process.
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
			if err := cmd.Start(); err != nil {
				t.Skipf("no namespaces can be made here: %v", err)
			}
			end.Close()
			var got played
			bad := json.NewDecoder(answer).Decode(&got)
			if err := cmd.Wait(); err != nil || bad != nil {
				t.Fatalf("%v, %v\n%s", err, bad, said.String())
			}
			c.judge(t, got)
			if t.Failed() || testing.Verbose() {
				t.Logf("called:\n%s\ntold: %q\nafter %v: %s %s\n%s", strings.Join(got.Called, "\n"), got.Told, got.Waited, got.Path, got.Problem, got.Log)
			}
		})
	}
}

func (c systemCase) judge(t *testing.T, got played) {
	if c.path != "" && got.Path != c.path {
		t.Errorf("it gives %q, want %q", got.Path, c.path)
	}
	if c.within > 0 && got.Waited > c.within {
		t.Errorf("it took %v by its own clock", got.Waited)
	}
	if got.After != "" {
		t.Errorf("not true afterwards: %s", got.After)
	}
	told := got.Told
	for _, want := range c.told {
		at := slices.Index(told, want)
		if at < 0 {
			t.Errorf("it does not tell, in its place, %q", want)
			continue
		}
		told = told[at+1:]
	}
	if c.code == "" {
		return
	}
	if got.Problem == "" {
		t.Errorf("it did not fail, but gave %q", got.Path)
		return
	}
	truth := diagnosetest.Truth{Outcome: orchestrator.OutcomeFailed, Causes: []diagnosetest.TrueCause{{Code: c.code, Who: c.who, MustMention: c.must}}}
	r := orchestrator.Report{Installing: true, Problem: got.Problem, Stderr: got.Output}
	for from, d := range map[string]orchestrator.Diagnosis{
		"the report": diagnose.Diagnoser{}.Report(orchestrator.App{Name: "web"}, "main", r, nil),
		"the log":    diagnose.Any([]byte(got.Log), nil, 0),
	} {
		for i := range d.Causes {
			d.Causes[i].Where = "" // the report knows its app, the log none
		}
		if wrong := diagnosetest.Judge(truth, d); len(wrong) > 0 {
			t.Errorf("by %s it is told wrongly: %s\n%+v", from, wrong, d)
		}
	}
	if *recordStarts == "" || !regexp.MustCompile(*recordStarts).MatchString(c.name) {
		return
	}
	dir := filepath.Join("..", "..", "testdata", "first-start", "install-"+c.name)
	meta, err := json.MarshalIndent(struct {
		Causes  []diagnosetest.TrueCause `json:"causes"`
		Exit    int                      `json:"exit"`
		Note    string                   `json:"note"`
		Outcome orchestrator.Outcome     `json:"outcome"`
		Log     string                   `json:"log"`
	}{truth.Causes, 0, c.note, truth.Outcome, "the agent's own"}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"result.json": got.Log, "stderr.txt": "", "meta.json": string(meta) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// inside plays a case as the first process of its namespaces, and ends it.
func inside(name string) {
	at := slices.IndexFunc(systemCases, func(c systemCase) bool { return c.name == name })
	got, err := systemCases[at].play(os.Getenv(rootVariable), os.Getenv("BERTH_TEST_SYSTEM_DISK"))
	if err == nil {
		err = json.NewEncoder(os.NewFile(3, "answer")).Encode(got)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (c systemCase) play(image, disk string) (played, error) {
	if err := enter(image, disk); err != nil {
		return played{}, err
	}
	if err := c.serve(); err != nil {
		return played{}, err
	}
	shell := func(script string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-euc", repositories+script)
		cmd.Dir = "/srv"
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root")
		return cmd
	}
	if out, err := shell("only " + c.program + "\n" + c.prepare).CombinedOutput(); err != nil {
		return played{}, fmt.Errorf("preparing: %w\n%s", err, out)
	}
	if c.holds != "" {
		holder := shell(c.holds)
		holder.Stdout, holder.Stderr = os.Stdout, os.Stderr
		if err := holder.Start(); err != nil {
			return played{}, err
		}
		over, cancel := context.WithTimeout(context.Background(), heldWithin)
		err := appears(over, "/srv/held")
		if cancel(); err != nil {
			return played{}, fmt.Errorf("nothing is held: %w", err)
		}
	}
	if c.version == "" {
		c.version = "3008.2"
	}
	a := &agent{dir: "/var/lib/berth", stream: newStream(), config: config{Boot: orchestrator.Boot{SaltVersion: c.version}, Systemd: true}}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return played{}, err
	}
	var got played
	i := a.newInstaller()
	began, skipped, pauses := time.Now(), time.Duration(0), 0
	i.now = func() time.Time { return time.Now().Add(skipped) }
	// What is waited for passes at once.
	i.pause = func(ctx context.Context, d time.Duration) error {
		skipped += d
		if pauses >= 3 { // nothing new comes of as many tries as it makes
			skipped += time.Minute
		}
		if pauses++; pauses == c.frees {
			if err := os.WriteFile("/srv/go", nil, 0o644); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	i.tell = func(text string) { got.Told = append(got.Told, text) }
	i.run = func(ctx context.Context, command []string) (string, error) {
		got.Called = append(got.Called, strings.Join(command, " "))
		// apt-get waits by itself, in real time.
		const waits, short = "DPkg::Lock::Timeout=120", "DPkg::Lock::Timeout=1"
		command = slices.Clone(command)
		if n := slices.Index(command, waits); n >= 0 {
			command[n] = short
		}
		out, err := a.runInstaller(ctx, command)
		if strings.Contains(out, "Waiting for cache lock") {
			skipped += 119 * time.Second
		}
		return out, err
	}
	ctx := context.Background()
	if c.limit > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, c.limit)
		defer cancel()
	}
	path, err := i.install(ctx)
	got.Path, got.Waited = path, time.Since(began)+skipped
	var log bytes.Buffer
	sayInstalled(&log, path, err)
	got.Log = ofNoRun(log.String())
	if err != nil {
		failed := err.(*failedInstall)
		got.Problem, got.Output = failed.text, failed.output
	}
	if c.after != "" {
		if out, err := shell("set -x\n" + c.after).CombinedOutput(); err != nil {
			got.After = fmt.Sprintf("%v\n%s", err, out)
		}
	}
	return got, nil
}

// appears waits until a file is there, which a shell makes.
func appears(ctx context.Context, path string) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ofNoRun takes out of a log what is this run's alone.
func ofNoRun(log string) string {
	return regexp.MustCompile(`(?m)^time=\S+`).ReplaceAllString(log, "time=2026-11-28T10:00:00.000Z")
}

// enter makes a layer above the image the root of this process.
func enter(image, disk string) error {
	// In memory: overlayfs refuses to lie on another layer, as in a container.
	root := filepath.Join(disk, "root")
	steps := []func() error{
		func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") },
		func() error { return syscall.Mount("tmpfs", disk, "tmpfs", 0, "mode=755") },
		func() error {
			for _, name := range []string{"upper", "work", "root"} {
				if err := os.Mkdir(filepath.Join(disk, name), 0o755); err != nil {
					return err
				}
			}
			return syscall.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", image, disk, disk))
		},
		func() error { return syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, "") },
		func() error { return exec.Command("ip", "link", "set", "lo", "up").Run() },
		func() error { return syscall.Chroot(root) },
		func() error { return os.Chdir("/") },
		func() error { return os.MkdirAll("/srv/mirror", 0o755) },
		func() error {
			return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost deb.acme.io apt.acme.io rpm.acme.io pypi.acme.io\n"), 0o644)
		},
		func() error { return os.WriteFile("/etc/resolv.conf", nil, 0o644) },
	}
	for n, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("entering the root, step %d: %w", n, err)
		}
	}
	return nil
}

// serve is the mirror, at port 80 of a network where nothing else is.
func (c systemCase) serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		return err
	}
	files := http.FileServer(http.Dir("/srv/mirror"))
	go func() { // as long as the process
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for end, status := range c.serves {
				switch {
				case !strings.HasSuffix(r.URL.Path, end):
				case status == 0:
					_ = os.WriteFile("/srv/held", nil, 0o644)
					if appears(r.Context(), "/srv/go") == nil {
						files.ServeHTTP(w, r)
					}
					return
				default:
					http.Error(w, strconv.Itoa(status), status)
					return
				}
			}
			files.ServeHTTP(w, r)
		}))
	}()
	return nil
}
