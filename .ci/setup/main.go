// Command setup makes what Berth's demo and tests need beside Go: Salt in a
// virtual environment, from the versions in .ci/salt.lock, and Terraform. The
// older Salt of .ci/salt-3006.lock is only for recording runs (.ci/corpus). Both
// are made at the same time, the first time; after that it takes a moment. The
// tests want Chromium too, and the shells that people complete in (tools); those
// are the distribution's. The clouds' tests want a stand-in for AWS (moto) and
// the providers of AWS and Hetzner Cloud (aws-provider, hcloud-provider), and
// machines to boot in them (image). The tests of package managers (make systems)
// want a root file system that has them (systems).
//
//	go run ./.ci/setup [-work DIR] [-pinned] PART…
//
// It leaves DIR/salt/bin/salt-call, the paths of Terraform and Chromium in
// DIR/terraform.path and DIR/chromium.path, DIR/moto/bin/python, and providers
// in DIR/providers, a mirror that Terraform reads as it is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const terraformVersion = "1.5.7" // the last under the MPL; what CI runs

func main() {
	work := flag.String("work", ".berth", "the folder to install into")
	pinned := flag.Bool("pinned", false, "want Terraform "+terraformVersion+", not just any that will do")
	flag.Parse()
	if err := run(*work, *pinned, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(work string, pinned bool, parts []string) error {
	// Servers run as users of their own when Berth runs as root: all of this
	// must be readable by them, whatever umask the developer has.
	syscall.Umask(0o022)
	work, err := filepath.Abs(work)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(work, "log"), 0o755); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		t := &task{name: part, work: work}
		all.Go(func() {
			switch part {
			case "salt", "salt-3006":
				errs[i] = t.alone(ctx, t.salt)
			case "terraform":
				errs[i] = t.alone(ctx, func(ctx context.Context) error { return t.terraform(ctx, pinned) })
			case "chromium":
				errs[i] = t.alone(ctx, t.chromium)
			case "tools":
				errs[i] = t.alone(ctx, t.tools)
			case "moto":
				errs[i] = t.alone(ctx, t.moto)
			case "aws-provider":
				errs[i] = t.alone(ctx, t.awsProvider)
			case "hcloud-provider":
				errs[i] = t.alone(ctx, t.hcloudProvider)
			case "opentofu":
				errs[i] = t.alone(ctx, t.openTofu)
			case "image":
				errs[i] = t.alone(ctx, t.image)
			case "systems":
				errs[i] = t.alone(ctx, t.systems)
			default:
				errs[i] = fmt.Errorf("setup knows salt, salt-3006, terraform, chromium, tools, moto, aws-provider, hcloud-provider, opentofu, image and systems, not %q", part)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// task is one thing to install; its lines begin with its name.
type task struct{ name, work string }

func (t *task) say(format string, args ...any) {
	fmt.Printf("%-15s %s\n", t.name, fmt.Sprintf(format, args...))
}

func (t *task) path(parts ...string) string {
	return filepath.Join(append([]string{t.work}, parts...)...)
}

// alone runs f while no other set-up installs the same thing.
func (t *task) alone(ctx context.Context, f func(context.Context) error) error {
	lock, err := os.OpenFile(t.path(t.name+".lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.say("waiting for another set-up of it")
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return err
		}
	}
	return f(ctx)
}

// terraform finds Terraform as serve does (BERTH_TERRAFORM, then PATH), and
// otherwise builds it from the Go module proxy. The tests want the pinned one
// and take another only where it cannot be built.
func (t *task) terraform(ctx context.Context, pinned bool) error {
	found := func(path, version string) error {
		t.say("%s at %s", version, path)
		return os.WriteFile(t.path("terraform.path"), []byte(path+"\n"), 0o644)
	}
	if path := os.Getenv("BERTH_TERRAFORM"); path != "" {
		v, err := terraformAt(ctx, path)
		if err != nil {
			return fmt.Errorf("terraform: BERTH_TERRAFORM names %s, which does not run: %w", path, err)
		}
		return found(path, v)
	}
	other, otherVersion := "", ""
	if path, err := exec.LookPath("terraform"); err == nil {
		if v, err := terraformAt(ctx, path); err == nil && atLeast(v, terraformVersion) {
			other, otherVersion = path, v
		}
	}
	if other != "" && (!pinned || otherVersion == terraformVersion) {
		return found(other, otherVersion)
	}
	built := t.path("bin", "terraform")
	if v, err := terraformAt(ctx, built); err == nil && v == terraformVersion {
		return found(built, v)
	}
	start := time.Now()
	t.say("building Terraform %s from source (some minutes, this once)", terraformVersion)
	env := []string{"GOBIN=" + t.path("bin"), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH="}
	err := t.do(ctx, env, "go", "install", "-v", "-ldflags=-s -w", "github.com/hashicorp/terraform@v"+terraformVersion)
	if err != nil {
		if other != "" && ctx.Err() == nil {
			t.say("%v", err)
			t.say("the build failed, so it is tested with the one that this machine has")
			return found(other, otherVersion)
		}
		return err
	}
	v, err := terraformAt(ctx, built)
	if err != nil {
		return fmt.Errorf("terraform: the one just built does not run: %w", err)
	}
	t.say("built (%d s)", int(time.Since(start).Seconds()))
	return found(built, v)
}

// chromium finds the browser as the tests do (BERTH_CHROMIUM, then PATH), and
// otherwise installs Debian's where it may.
func (t *task) chromium(ctx context.Context) error {
	if path := os.Getenv("BERTH_CHROMIUM"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("chromium: BERTH_CHROMIUM names %s: %w", path, err)
		}
		return t.browser(path)
	}
	if path := onPath("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"); path != "" {
		return t.browser(path)
	}
	const lack = "chromium: the tests need a browser, and %s; install Chromium (apt-get install -y chromium, dnf install -y chromium, pacman -S chromium …), or name one in BERTH_CHROMIUM"
	if onPath("apt-get") == "" || os.Getuid() != 0 {
		return fmt.Errorf(lack, "only root can install one here, with apt-get")
	}
	t.say("installing Debian's (about a minute)")
	if err := t.apt(ctx, "chromium", "fonts-dejavu-core"); err != nil {
		return fmt.Errorf(lack, fmt.Sprintf("apt-get did not install one (%v)", err))
	}
	path := onPath("chromium", "chromium-browser")
	if path == "" {
		return fmt.Errorf(lack, "apt-get installed none that is on the PATH")
	}
	return t.browser(path)
}

// aptGet lets one part at a time install: apt-get locks its database.
var aptGet sync.Mutex

// apt installs Debian's packages.
func (t *task) apt(ctx context.Context, packages ...string) error {
	aptGet.Lock()
	defer aptGet.Unlock()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	install := func() error {
		return t.do(ctx, env, "apt-get", append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
	}
	err := install()
	if err != nil && ctx.Err() == nil {
		if err = t.do(ctx, env, "apt-get", "update"); err == nil { // the lists may be old
			err = install()
		}
	}
	return err
}

// tools are programs that the tests use beside Berth's own.
func (t *task) tools(ctx context.Context) error {
	var lacks []string
	for _, tool := range []struct{ program, pkg string }{{"curl", "curl"}, {"zsh", "zsh"}, {"fish", "fish"}, {"ssh", "openssh-client"}, {"git-lfs", "git-lfs"}} {
		if onPath(tool.program) == "" {
			lacks = append(lacks, tool.pkg)
		}
	}
	if hidden, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(hidden) == 0 && onPath("initdb") == "" {
		lacks = append(lacks, "postgresql")
	}
	if len(lacks) == 0 {
		return nil
	}
	names := strings.Join(lacks, " ")
	if onPath("apt-get") == "" || os.Getuid() != 0 {
		return fmt.Errorf("tools: the tests need %s, and only root can install them here, with apt-get: install them (apt-get install -y %s, dnf install -y %s …)", names, names, names)
	}
	t.say("installing Debian's %s", names)
	if err := t.apt(ctx, lacks...); err != nil {
		return fmt.Errorf("tools: the tests need %s, and apt-get did not install them: %w", names, err)
	}
	return nil
}

func (t *task) browser(path string) error {
	t.say("at %s", path)
	return os.WriteFile(t.path("chromium.path"), []byte(path+"\n"), 0o644)
}

// onPath is where the first of these programs is that the PATH has.
func onPath(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func terraformAt(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	var v struct {
		Version string `json:"terraform_version"`
	}
	err = json.Unmarshal(out, &v)
	return v.Version, err
}

// atLeast compares two versions by their numbers.
func atLeast(version, least string) bool {
	a, b := strings.Split(version, "."), strings.Split(least, ".")
	for i := range b {
		if i >= len(a) {
			return false
		}
		digits, _, _ := strings.Cut(a[i], "-")
		x, errX := strconv.Atoi(digits)
		y, errY := strconv.Atoi(b[i])
		if errX != nil || errY != nil || x != y {
			return errX == nil && errY == nil && x > y
		}
	}
	return true
}

// do runs one program with its output in a log, says every ten seconds how far
// it is, and shows the log's end when it fails.
func (t *task) do(ctx context.Context, env []string, name string, args ...string) error {
	path := t.path("log", t.name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return err
	}
	from := info.Size()
	fmt.Fprintln(log, "$", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	written := func() string {
		text, _ := os.ReadFile(path)
		if int64(len(text)) < from {
			return ""
		}
		return string(text[from:])
	}
	for {
		select {
		case err := <-done:
			if err == nil {
				return nil
			}
			lines := strings.Split(strings.TrimSpace(written()), "\n")
			for _, line := range lines[max(0, len(lines)-8):] {
				t.say("| %s", line)
			}
			return fmt.Errorf("%s: %s failed (%v); the whole log is in %s", t.name, filepath.Base(name), err, path)
		case <-tick.C:
			t.say("… %d s%s", int(time.Since(start).Seconds()), counted(written()))
		}
	}
}

// counted says what a Go build's log tells about its progress.
func counted(log string) string {
	down, compiled := 0, 0
	for line := range strings.Lines(log) {
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			down++
		case !strings.HasPrefix(line, "$ ") && !strings.Contains(strings.TrimSpace(line), " "):
			compiled++
		}
	}
	if down+compiled == 0 {
		return ""
	}
	return fmt.Sprintf(", %d modules fetched, %d packages compiled", down, compiled)
}
