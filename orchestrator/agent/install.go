package agent

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	// installLimit is how long one attempt to install Salt may take, with all
	// that it tries again.
	installLimit = 30 * time.Minute
	// installAgain is when an attempt that failed is followed by the next.
	installAgain = 10 * time.Minute
	// stepLimit is how long a step is tried again that fails with what passes,
	// such as a lock or a mirror out of reach.
	stepLimit = 10 * time.Minute
	// listsLimit is the same for the lists of packages where a mirror does not
	// answer: the others may have all that is wanted.
	listsLimit = time.Minute
	// saltVenv is where Salt is installed when nothing else has it.
	saltVenv = "/opt/berth/salt"
	// saidLines are how many lines of an installation that failed the agent's
	// own log holds; it is tried again every ten minutes.
	saidLines = 100
)

// saltPlaces are where an image may have Salt, before PATH is asked.
var saltPlaces = []string{
	saltVenv + "/bin/salt-call", "/opt/salt/bin/salt-call", "/opt/salt/salt-call", "/opt/saltstack/salt/salt-call", "/opt/saltstack/salt/bin/salt-call",
}

// installer brings Salt, at one version, and what the recipes need beside it,
// onto a machine of its own. What is there already is left as it is, so it can
// be cut off anywhere and called again.
type installer struct {
	version string
	places  []string
	venv    string
	// look finds a program on PATH.
	look func(name string) (string, error)
	// run runs a command and gives what it printed, both ways together.
	run func(ctx context.Context, command []string) (string, error)
	// tell says which way is tried.
	tell  func(text string)
	pause func(ctx context.Context, d time.Duration) error
	now   func() time.Time
	// lock is a file of pip's requirements with hashes for the version; empty:
	// none is known.
	lock string

	said      ends
	refreshed bool // the package manager's lists, in this attempt
	stale     bool // they could not be had just now
}

// failedInstall is why Salt could not be installed, with what was printed.
type failedInstall struct {
	text   string // a sentence
	output string
}

func (e *failedInstall) Error() string { return e.text }

// install gives the path of salt-call at the version: from the image, else from
// the system's packages if they have exactly it, else by pip.
func (i *installer) install(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	i.said, i.refreshed, i.stale = ends{maxHead: 16 << 10, maxTail: 32 << 10}, false, false
	path, err := i.ways(ctx)
	if err == nil {
		return path, nil
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (it took longer than %v)", err, installLimit)
	}
	return "", &failedInstall{"What sets this server up could not be installed: " + strings.TrimSuffix(err.Error(), ".") + ".", i.said.String()}
}

func (i *installer) ways(ctx context.Context) (string, error) {
	m := i.manager()
	if err := i.tools(ctx, m); err != nil {
		return "", err
	}
	if path := i.found(ctx); path != "" {
		i.tell("the image has what sets servers up")
		return path, nil
	}
	if m != nil {
		if path, err := i.packaged(ctx, m); path != "" || err != nil {
			return path, err
		}
	}
	return i.byPip(ctx, m)
}

// found looks where an image may have Salt at the version.
func (i *installer) found(ctx context.Context) string {
	places := i.places
	if path, err := i.look("salt-call"); err == nil {
		places = append(slices.Clip(places), path)
	}
	for _, path := range places {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		switch version, err := i.versionOf(ctx, path); {
		case err != nil:
			i.note("berth: %s does not run: %v", path, err)
		case version == i.version:
			return path
		default:
			i.note("berth: %s has version %s, and %s is wanted", path, version, i.version)
		}
	}
	return ""
}

var saltSays = lazyregexp.New(`(?m)^salt-call (\S+)`)

func (i *installer) versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := i.run(ctx, []string{path, "--version"})
	if m := saltSays.FindStringSubmatch(out); err == nil && m != nil {
		return m[1], nil
	}
	i.say(out)
	if err == nil {
		err = errors.New("it does not say its version")
	}
	return "", err
}

// manager gives the system's package manager; nil: none that is known.
func (i *installer) manager() *manager {
	for n := range managers {
		if _, err := i.look(managers[n].program); err == nil {
			return &managers[n]
		}
	}
	return nil
}

// tools installs what recipes fetch and build code with.
func (i *installer) tools(ctx context.Context, m *manager) error {
	var lack []string
	for _, name := range []string{"git", "make"} {
		if _, err := i.look(name); err != nil {
			lack = append(lack, name)
		}
	}
	switch {
	case len(lack) == 0:
		return nil
	case m == nil:
		return fmt.Errorf("the image has no %s, and no package manager that Berth knows (%s)", strings.Join(lack, " and no "), knownManagers())
	}
	i.tell("installing " + strings.Join(lack, " and "))
	return i.add(ctx, m, append(lack, m.certificates))
}

// packaged installs Salt from the system's packages when they have exactly the
// version: those of the distribution, or the Salt project's where the image or
// the user-data names them as a source. "" without an error: they do not.
func (i *installer) packaged(ctx context.Context, m *manager) (string, error) {
	if !i.refreshed {
		i.refresh(ctx, m)
	}
	out, err := i.run(ctx, m.versions)
	if err != nil {
		return "", nil // no such package
	}
	full := exactly(out, i.version)
	if full == "" {
		return "", nil
	}
	i.tell("installing what sets servers up from the system's packages")
	// Berth runs Salt itself: the service that the package brings would ask a
	// master that there is not.
	if _, err := i.look("systemctl"); err == nil {
		_, _ = i.run(ctx, []string{"systemctl", "mask", "salt-minion.service"})
	}
	var names []string
	for _, name := range m.salt {
		names = append(names, name+m.at+full)
	}
	if err := i.add(ctx, m, names); err != nil {
		i.note("berth: the packages could not be installed, pip is tried: %v", err)
		return "", nil
	}
	return i.found(ctx), nil
}

// exactly finds the version in a list of packages, with what the package
// manager has before and behind it: 1:3008.3-1 or 3008.3+ds-2.
func exactly(list, version string) string {
	m := regexp.MustCompile(`(?m)(?:^|[\s|-])((?:\d+:)?` + regexp.QuoteMeta(version) + `(?:[-+~][^\s|]*)?)(?:[\s|]|$)`).FindStringSubmatch(list)
	if m == nil {
		return ""
	}
	return m[1]
}

// suits asks a Python whether a venv can be made with it and code in C be
// built for it; some of what Salt needs comes as source alone.
const suits = `import ensurepip, os, sys, sysconfig, venv; sys.exit(not (sys.version_info >= (3, 10) and os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))))`

// python gives a Python that suits; "": none.
func (i *installer) python(ctx context.Context) string {
	for _, name := range []string{"python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"} {
		path, err := i.look(name)
		if err != nil {
			continue
		}
		if _, err := i.run(ctx, []string{path, "-c", suits}); err == nil {
			return path
		}
	}
	return ""
}

// byPip installs Salt from the Python package index into a venv of its own.
func (i *installer) byPip(ctx context.Context, m *manager) (string, error) {
	compiler := func() bool {
		_, gcc := i.look("gcc")
		_, cc := i.look("cc")
		return gcc == nil || cc == nil
	}
	python := i.python(ctx)
	if python == "" || !compiler() {
		if m == nil {
			return "", fmt.Errorf("the image has neither it nor a Python 3.10 or later with venv, headers and a C compiler to install it with, and no package manager that Berth knows (%s)", knownManagers())
		}
		i.tell("installing Python's tools and a compiler")
		var err error
		for _, names := range m.python { // the first that there is
			if err = i.add(ctx, m, names); err == nil {
				break
			}
		}
		if err != nil {
			return "", err
		}
		if python = i.python(ctx); python == "" {
			return "", errors.New("the system has no Python 3.10 or later with venv and headers: requires a different Python")
		}
	}
	i.tell("installing what sets servers up with Python's installer; this takes a few minutes")
	// What an attempt that was cut off has left is not trusted.
	if err := os.RemoveAll(i.venv); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(i.venv), 0o755); err != nil {
		return "", err
	}
	if err := i.step(ctx, []string{python, "-m", "venv", i.venv}, mayPass, nil); err != nil {
		return "", err
	}
	command := []string{filepath.Join(i.venv, "bin", "pip"), "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "3", "--timeout", "30"}
	if _, err := i.run(ctx, []string{python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"}); i.lock != "" && err == nil {
		command = append(command, "--require-hashes", "--requirement", i.lock)
	} else {
		command = append(command, "salt=="+i.version)
	}
	if err := i.step(ctx, command, mayPass, nil); err != nil {
		return "", err
	}
	path := filepath.Join(i.venv, "bin", "salt-call")
	version, err := i.versionOf(ctx, path)
	switch {
	case err != nil:
		return "", fmt.Errorf("it was installed and does not run: %w", err)
	case version != i.version:
		return "", fmt.Errorf("it was installed at version %s, and %s is wanted", version, i.version)
	}
	return path, nil
}

// add installs packages.
func (i *installer) add(ctx context.Context, m *manager, names []string) error {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })
	if m.fresh && !i.refreshed { // a cloud image has no lists, or old ones
		i.refresh(ctx, m)
	}
	return i.step(ctx, append(slices.Clone(m.install), names...), func(out string) time.Duration {
		// What there is not may be in a list that is still to come.
		if i.stale {
			return stepLimit
		}
		return mayPass(out)
	}, func(ctx context.Context, out string) {
		if strings.Contains(out, "dpkg was interrupted") {
			_, _ = i.run(ctx, []string{"dpkg", "--configure", "-a", "--force-confold"})
		}
		i.refresh(ctx, m)
	})
}

// refresh fetches the package manager's lists. That one of several sources is
// out of reach does not matter as long as the rest has what is wanted; what was
// wanted from it will say that it is not there.
func (i *installer) refresh(ctx context.Context, m *manager) {
	if m.refresh == nil {
		return
	}
	passing := false
	err := i.step(ctx, m.refresh, func(out string) time.Duration {
		limit := mayPass(out)
		passing = limit > 0
		if i.refreshed || !busy.MatchString(out) { // within another step's tries
			limit = min(limit, listsLimit)
		}
		return limit
	}, nil)
	i.refreshed, i.stale = true, err != nil && passing
}

var (
	// passes is what package managers, pip and git print of what may be over
	// in a moment.
	passes = lazyregexp.New(`(?i)could not get lock|unable to (?:acquire|lock)|is locked|another (?:app|process)|resource temporarily unavailable|lock(?:ed)? (?:by|file)|temporary failure|could ?n[o']t resolve|name or service not known|failed to fetch|some index files failed|failed to download|could(?: not|n[o']t) connect|failed to connect|curl error|status code: 5\d\d|waiting for process|connection (?:refused|reset|timed out|broken)|timed? ?out|newconnectionerror|network is unreachable|no route to host|5\d\d +(?:internal|bad gateway|service|gateway|server error)|cannot (?:download|prepare)|unable to (?:select packages|connect)|hash sum mismatch|remote end closed|incompleteread`)
	// stays is what does not pass, whatever else is printed beside it.
	stays = lazyregexp.New(`CERTIFICATE_VERIFY_FAILED|(?i)certificate verif|no space left on device|do not match the hashes|you do not have any gpg public keys`)
)

// mayPass is how long something that failed with these words is tried again.
func mayPass(out string) time.Duration {
	if passes.MatchString(out) && !stays.MatchString(out) {
		return stepLimit
	}
	return 0
}

// step runs a command until it succeeds: for as long as limit says of what it
// prints, else once more. before is called ahead of each further try.
func (i *installer) step(ctx context.Context, command []string, limit func(out string) time.Duration, before func(ctx context.Context, out string)) error {
	began, wait := i.now(), 5*time.Second
	for try := 1; ; try++ {
		out, err := i.run(ctx, command)
		i.say(out)
		if err == nil {
			return nil
		}
		i.note("berth: %s failed: %v", strings.Join(command[:min(len(command), 3)], " "), err)
		if ctx.Err() != nil {
			return fmt.Errorf("%s did not come to its end", filepath.Base(command[0]))
		}
		most := limit(out)
		if try == 1 {
			most = stepLimit
		}
		if i.now().Sub(began)+wait > most {
			return fmt.Errorf("%s: %w", filepath.Base(command[0]), err)
		}
		if try == 1 || wait >= time.Minute {
			i.tell(waitingFor(out))
		}
		if err := i.pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, time.Minute)
		if before != nil {
			before(ctx, out)
		}
	}
}

var busy = lazyregexp.New(`(?i)\block|another (?:app|process)`)

// waitingFor tells whoever watches why there is a pause.
func waitingFor(out string) string {
	if busy.MatchString(out) {
		return "waiting for another installation on the machine"
	}
	return "trying again what could not be installed"
}

func (i *installer) say(out string) {
	if out != "" {
		_, _ = i.said.Write([]byte(strings.TrimRight(out, "\n") + "\n"))
	}
}

func (i *installer) note(format string, args ...any) { i.say(fmt.Sprintf(format, args...)) }

// manager is a package manager: how it is called, and what it calls things.
type manager struct {
	program string
	// refresh fetches its lists, fresh says that it does not do so by itself.
	refresh []string
	fresh   bool
	install []string
	// versions lists the versions of Salt's package that it can install.
	versions []string
	salt     []string
	at       string // between a package's name and its version
	// certificates is the package of public authorities.
	certificates string
	// python are lists of packages with which pip can install Salt, the
	// preferred first.
	python [][]string
}

// apt waits for its own locks; those of its lists it does not wait for.
var aptOptions = []string{"-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"}

var managers = []manager{
	{program: "apt-get", fresh: true,
		// Without the mode it calls it a success when no list came.
		refresh:  slices.Concat([]string{"apt-get"}, aptOptions, []string{"-o", "APT::Update::Error-Mode=any", "update"}),
		install:  slices.Concat([]string{"apt-get"}, aptOptions, []string{"-y", "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends", "install"}),
		versions: []string{"apt-cache", "madison", "salt-minion"}, salt: []string{"salt-common", "salt-minion"}, at: "=",
		certificates: "ca-certificates",
		python:       [][]string{{"python3-venv", "python3-dev", "gcc", "libc6-dev"}}},
	// dnf's -q keeps to itself what it waits for, and which mirror failed.
	{program: "dnf", install: []string{"dnf", "-y", "--setopt=retries=3", "install"},
		versions: []string{"dnf", "-q", "list", "--showduplicates", "salt-minion"}, salt: []string{"salt-minion"}, at: "-",
		certificates: "ca-certificates",
		python:       [][]string{{"python3.12", "python3.12-devel", "gcc"}, {"python3.11", "python3.11-devel", "gcc"}, {"python3", "python3-devel", "gcc"}}},
	{program: "zypper", refresh: []string{"zypper", "--non-interactive", "refresh"}, install: []string{"zypper", "--non-interactive", "install", "--no-recommends"},
		versions: []string{"zypper", "--non-interactive", "search", "-s", "--match-exact", "salt-minion"}, salt: []string{"salt-minion"}, at: "=",
		certificates: "ca-certificates-mozilla",
		python:       [][]string{{"python311", "python311-devel", "gcc"}, {"python3", "python3-devel", "gcc"}}},
	{program: "apk", refresh: []string{"apk", "update"}, fresh: true, install: []string{"apk", "add", "--no-cache"},
		versions: []string{"apk", "list", "salt-minion"}, salt: []string{"salt-minion"}, at: "=",
		certificates: "ca-certificates",
		python:       [][]string{{"python3", "python3-dev", "gcc", "musl-dev", "linux-headers"}}},
}

func knownManagers() string {
	var names []string
	for _, m := range managers {
		names = append(names, m.program)
	}
	return strings.Join(names, ", ")
}

// newInstaller makes the installer of an agent on a machine of its own.
func (a *agent) newInstaller() *installer {
	return &installer{
		version: a.config.Boot.SaltVersion, places: saltPlaces, venv: saltVenv,
		look: exec.LookPath, run: a.runInstaller, tell: func(text string) { a.stream.add("installing", "", text) },
		pause: pause, now: time.Now, lock: a.saltLock(),
	}
}

// installSalt installs Salt, and says in the agent's own log how that ended: it
// is where ops look on a machine that has lost its way to Berth.
func (a *agent) installSalt(ctx context.Context) (string, error) {
	path, err := a.newInstaller().install(ctx)
	if ctx.Err() == nil {
		sayInstalled(os.Stderr, path, err)
	}
	return path, err
}

const (
	saidInstalled    = "what sets this server up is installed"
	saidNotInstalled = "what sets this server up could not be installed"
)

// sayInstalled writes how an installation ended, and before a failure the end
// of what was printed, line by line, as berth diagnose reads it.
func sayInstalled(w io.Writer, path string, err error) {
	log := slog.New(slog.NewTextHandler(w, nil))
	var failed *failedInstall
	switch {
	case err == nil:
		log.Info(saidInstalled, "program", path)
		return
	case errors.As(err, &failed):
		lines := strings.SplitAfter(failed.output, "\n")
		said := strings.Join(lines[max(0, len(lines)-saidLines):], "")
		fmt.Fprint(w, urlUser.ReplaceAllString(strings.ToValidUTF8(said, "�"), "$1"))
	}
	log.Error(saidNotInstalled, "error", err)
}

// runInstaller runs a command of the installer, streams what it prints and
// gives it.
func (a *agent) runInstaller(ctx context.Context, command []string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = setEnv(setEnv(a.env(), "DEBIAN_FRONTEND", "noninteractive"), "LC_ALL", "C.UTF-8")
	cmd.Dir = "/"
	// In a session of its own, it is found when this agent is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 10 * time.Second
	kept := &ends{maxHead: 16 << 10, maxTail: 32 << 10}
	lines := &lineWriter{line: func(line string) {
		if strings.TrimSpace(line) != "" {
			a.stream.add("log", "salt", dnfPassword.ReplaceAllString(line, "${1}[hidden]"))
		}
	}}
	cmd.Stdout = both{kept, lines}
	cmd.Stderr = cmd.Stdout
	cmd.Cancel = func() error { return a.killSession(cmd.Process.Pid) }
	if err := a.start(cmd); err != nil {
		return "", plainExec(err)
	}
	err := cmd.Wait()
	a.ended(cmd)
	lines.flush()
	var status *exec.ExitError
	if errors.As(err, &status) {
		err = fmt.Errorf("exit status %d", exitStatus(status.ProcessState))
	}
	return dnfPassword.ReplaceAllString(kept.String(), "${1}[hidden]"), err
}

// dnfPassword is in what dnf prints of a source's settings when it refuses a
// package that is not signed.
var dnfPassword = lazyregexp.New(`(?m)^(\s*(?:proxy_)?(?:username|password): )\S.*$`)

//go:embed salt.lock
var lockText []byte

// locked gives pip's requirements for Salt at a version, if they are known: for
// Python 3.11 and later, on every system.
func locked(version string) (text []byte, ok bool) {
	return lockText, version != "" && bytes.Contains(lockText, []byte("\nsalt=="+version+" "))
}

// saltLock writes the list of what pip installs, with hashes, when one for the
// version is known.
func (a *agent) saltLock() string {
	text, ok := locked(a.config.Boot.SaltVersion)
	if !ok {
		return ""
	}
	name := filepath.Join(a.dir, "salt.lock")
	if err := writeFile(name, text); err != nil {
		a.log.Warn("Salt is installed without hashes", "error", err)
		return ""
	}
	return name
}
