package machines

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	stageVariable = "BERTH_MACHINES_STAGE"
	runVariable   = "BERTH_MACHINES_RUN" // the folder of a sandbox
	workVariable  = "BERTH_WORK"         // the folder of .ci/setup

	bridge = "machines"

	// notMade is the exit status of a sandbox that could not be made.
	notMade = 97
)

// lacking says why no machine can be booted; empty: they can.
var lacking = "its TestMain does not call machines.Run"

// image is the machines' root file system.
func image() string {
	dir, err := filepath.EvalSymlinks(filepath.Join(os.Getenv(workVariable), "image", "current"))
	if err != nil {
		return ""
	}
	return dir
}

// Need skips a test where no machine can be booted, and says why; where
// BERTH_REQUIRE_MACHINES is set it fails.
func Need(t testing.TB) {
	t.Helper()
	if lacking == "" {
		return
	}
	if os.Getenv("BERTH_REQUIRE_MACHINES") != "" {
		t.Fatalf("no machine can be booted here: %s", lacking)
	}
	t.Skipf("no machine can be booted here: %s (make e2e-cloud installs what can be installed)", lacking)
}

// Tests are a package's tests: *testing.M.
type Tests interface{ Run() int }

// Run runs tests in a sandbox and gives the exit status. Where none can be made
// it runs them outside, and those that Need machines are skipped.
func Run(m Tests) int {
	stage := os.Getenv(stageVariable)
	_ = os.Unsetenv(stageVariable) // what a test starts is no stage
	switch stage {
	case "first":
		return runFirst()
	case "sweep":
		return runSweep()
	case "tests":
		lacking = ""
		return m.Run()
	}
	if lacking = Lacks(); lacking != "" {
		return m.Run()
	}
	status, err := sandbox()
	if err != nil {
		lacking = err.Error()
		return m.Run()
	}
	return status
}

// Lacks says what this process would need to boot machines and does not have;
// empty when it has everything.
func Lacks() string {
	if lacks := LacksRight(); lacks != "" {
		return lacks
	}
	if _, err := os.Stat(filepath.Join(image(), "usr/bin/cloud-init")); err != nil {
		return "there is no image of a machine in BERTH_WORK"
	}
	return ""
}

// LacksRight is Lacks but for the image.
func LacksRight() string {
	if os.Geteuid() != 0 {
		return "it takes root"
	}
	const sysAdmin, netAdmin = 21, 12 // linux/capability.h
	for name, bit := range map[string]int{"CAP_SYS_ADMIN": sysAdmin, "CAP_NET_ADMIN": netAdmin} {
		if capabilities()>>bit&1 == 0 {
			return "it takes " + name + ", which root does not have in this container"
		}
	}
	for name, of := range map[string]string{"ip": "iproute2", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"} {
		if _, err := exec.LookPath(name); err != nil {
			return "there is no " + name + " (apt-get install -y " + of + ")"
		}
	}
	bases := cgroupsOf("berth-probe-" + strconv.Itoa(os.Getpid()))
	if len(bases) == 0 {
		return "there is no cgroup file system"
	}
	for _, dir := range bases {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Sprintf("no cgroup can be made (%v)", err)
		}
		_ = os.Remove(dir)
	}
	return ""
}

func capabilities() uint64 {
	raw, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(raw)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return n
		}
	}
	return 0
}

// cgroupsOf are the folders for a sandbox's machines, one in each hierarchy
// that systemd uses: the unified one, and the one named systemd beside it where
// the host mixes both versions.
func cgroupsOf(run string) []string {
	raw, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mounts")
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		prefix := ""
		switch {
		case f[2] == "cgroup2":
			prefix = "0::"
		case f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "name=systemd"):
			prefix = ":name=systemd:"
		default:
			continue
		}
		for own := range strings.Lines(string(raw)) {
			if _, path, ok := strings.Cut(strings.TrimSpace(own), prefix); ok {
				if strings.Contains(path, "..") { // from outside our cgroup namespace
					path = "/"
				}
				dirs = append(dirs, filepath.Join(f[1], path, filepath.Base(run)))
			}
		}
	}
	return dirs
}

// sandbox starts this program again in namespaces of its own and waits for it.
func sandbox() (status int, err error) {
	runs := filepath.Join(os.Getenv(workVariable), "machines")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return 0, err
	}
	sweepDead(runs)
	run, err := os.MkdirTemp(runs, fmt.Sprintf("berth-%d-", os.Getpid()))
	if err != nil {
		return 0, err
	}
	lock, err := lockRun(run)
	if err != nil {
		return 0, err
	}
	if err := serveRegistries(run); err != nil {
		return 0, err
	}
	// Whoever kills this process leaves the cgroups and disks to the sweeper,
	// which waits for this pipe's end in a session of its own.
	self := func(stage string) *exec.Cmd {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), stageVariable+"="+stage, runVariable+"="+run)
		return cmd
	}
	sweeper := self("sweep")
	sweeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	sweeper.ExtraFiles = []*os.File{lock}
	life, err := sweeper.StdinPipe()
	if err == nil {
		err = sweeper.Start()
	}
	lock.Close() // the sweeper holds it
	if err != nil {
		return 0, err
	}
	defer func() {
		life.Close()
		_ = sweeper.Wait()
	}()

	runtime.LockOSThread() // the parent whose death ends the sandbox is this thread
	defer runtime.UnlockOSThread()
	first := self("first")
	first.Stdin, first.Stdout, first.Stderr = os.Stdin, os.Stdout, os.Stderr
	first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := first.Start(); err != nil {
		return 0, fmt.Errorf("namespaces are refused (%w)", err)
	}
	go func() {
		for range signals {
			_ = first.Process.Kill()
		}
	}()
	err = first.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() == notMade:
		why, _ := os.ReadFile(filepath.Join(run, "why"))
		return 0, errors.New(string(why))
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	}
	fmt.Fprintln(os.Stderr, "the sandbox ended:", err)
	return 1, nil
}

// runFirst is the first process of a sandbox: it makes mounts and network, runs
// the tests, and buries what they leave.
func runFirst() int {
	run := os.Getenv(runVariable)
	if err := furnish(run); err != nil {
		_ = os.WriteFile(filepath.Join(run, "why"), []byte(err.Error()), 0o644)
		return notMade
	}
	signal.Ignore(os.Interrupt) // the tests get it too, and end
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env: append(os.Environ(), stageVariable+"=tests"), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the tests:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "waiting for the tests:", err)
			return 1
		}
		if pid == child.Pid && (status.Exited() || status.Signaled()) {
			if status.Exited() {
				return status.ExitStatus()
			}
			return 128 + int(status.Signal())
		}
	}
}

// furnish mounts what a machine's boot needs and makes the bridge.
func furnish(run string) error {
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("mounting %s is refused (%w)", target, err)
		}
		return nil
	}
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"/run/netns", "/run/machines"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := layers(run); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		// By default it takes the lowest address of what is connected, and what
		// the others have noted of it is wrong when that one goes.
		{"link", "add", bridge, "address", "02:00:00:00:00:01", "type", "bridge"},
		{"addr", "add", Gateway.String() + "/32", "dev", bridge},
		{"link", "set", bridge, "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	// Packets to nowhere are refused by this, and not lost: a machine would wait
	// for a name server for a minute.
	for name, value := range map[string]string{"ip_forward": "1", "conf/all/send_redirects": "0", "conf/" + bridge + "/send_redirects": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// layers sees whether the folder's file system can carry the machines' disks;
// where it is a layer itself, as in a container, they are in memory.
func layers(run string) error {
	disks := filepath.Join(run, "disks")
	try := func() error {
		probe := filepath.Join(disks, "probe")
		defer os.RemoveAll(probe)
		for _, name := range []string{"upper", "work", "root"} {
			if err := os.MkdirAll(filepath.Join(probe, name), 0o755); err != nil {
				return err
			}
		}
		err := syscall.Mount("overlay", filepath.Join(probe, "root"), "overlay", 0,
			fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", image(), probe, probe))
		if err != nil {
			return err
		}
		return syscall.Unmount(filepath.Join(probe, "root"), 0)
	}
	if try() == nil {
		return nil
	}
	if err := os.MkdirAll(disks, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", disks, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("no file system for the machines' disks (%w)", err)
	}
	if err := try(); err != nil {
		return fmt.Errorf("overlayfs is refused (%w)", err)
	}
	return nil
}

// runSweep waits until whoever made the sandbox has ended, in whatever way, and
// removes what the kernel leaves.
func runSweep() int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	_, _ = io.Copy(io.Discard, os.Stdin)
	sweep(os.Getenv(runVariable))
	return 0
}

// lockRun takes the lock of a sandbox's folder: it is held while somebody will
// sweep it.
func lockRun(run string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(run, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweepDead removes what sandboxes left whose sweeper was killed as well.
func sweepDead(runs string) {
	entries, _ := os.ReadDir(runs)
	for _, e := range entries {
		run := filepath.Join(runs, e.Name())
		if lock, err := lockRun(run); err == nil {
			sweep(run)
			lock.Close()
		}
	}
}

func sweep(run string) {
	dirs := cgroupsOf(run)
	for over := time.Now().Add(20 * time.Second); len(pids(dirs)) > 0 && time.Now().Before(over); {
		killAll(dirs)
		time.Sleep(50 * time.Millisecond) // they need a moment to die
	}
	for _, dir := range dirs {
		removeCgroup(dir)
	}
	for over := time.Now().Add(20 * time.Second); time.Now().Before(over); time.Sleep(50 * time.Millisecond) {
		if os.RemoveAll(run) == nil { // its mounts end with its last process
			return
		}
	}
}

// removeCgroup removes a cgroup and those below, from below.
func removeCgroup(dir string) {
	for over := time.Now().Add(10 * time.Second); time.Now().Before(over); time.Sleep(20 * time.Millisecond) {
		var all []string
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		slices.Reverse(all)
		for _, one := range all {
			_ = os.Remove(one)
		}
		if _, err := os.Stat(dir); err != nil {
			return
		}
	}
}
