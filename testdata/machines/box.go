package machines

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// rebooted is how systemd-nspawn with --keep-unit says that the machine wants
// to be started again.
const rebooted = 133

// searchPath is where a machine has its programs.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// box is one machine.
type box struct {
	lab   *Lab
	m     Machine
	short string // names its interface and its network
	disk  string // the layer above the image
	root  string // where both are mounted as one
	boots atomic.Int32

	mu      sync.Mutex // held over a change of what follows
	made    bool
	plugged bool          // it is meant to run
	ended   chan struct{} // closed when it does not any more
}

func newBox(l *Lab, m Machine) *box {
	sum := sha256.Sum256([]byte(l.t.Name() + "\n" + m.ID))
	short := "m" + hex.EncodeToString(sum[:5]) // an interface has 15 letters
	return &box{lab: l, m: m, short: short,
		disk: filepath.Join(l.run, "disks", short), root: filepath.Join("/run/machines", short)}
}

// running reports whether the machine is switched on.
func (b *box) running() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.plugged
}

// off reports whether the machine was switched off by powerOff; one that ended
// by itself, or that could not be made, is not started again.
func (b *box) off() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made && !b.plugged
}

// make gives the machine its disk and its network.
func (b *box) make() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	upper, work := filepath.Join(b.disk, "upper"), filepath.Join(b.disk, "work")
	for _, dir := range []string{upper, work, b.root, filepath.Dir(b.lab.console(b.m.ID))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", image(), upper, work)
	if err := syscall.Mount("overlay", b.root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("mounting its disk: %w", err)
	}
	b.made = true
	host := b.m.Host
	if host == "" {
		host = b.m.ID
	}
	// What a cloud's metadata service would say. cloud-init looks at no DMI in a
	// container, and so would not find the service itself.
	seed := filepath.Join(b.root, "var/lib/cloud/seed/nocloud")
	if err := os.MkdirAll(seed, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(seed, "user-data"), b.m.UserData, 0o600); err != nil {
		return err
	}
	meta := fmt.Sprintf("instance-id: %q\nlocal-hostname: %q\n", b.m.ID, strings.ToLower(host))
	if err := os.WriteFile(filepath.Join(seed, "meta-data"), []byte(meta), 0o644); err != nil {
		return err
	}
	if err := b.network(); err != nil {
		return err
	}
	for _, dir := range b.cgroups() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if b.lab.Prepare != nil {
		return b.lab.Prepare(b.m, b.root)
	}
	return nil
}

// network gives the machine an eth0 that already has its addresses, as DHCP
// would have. Everything goes through the sandbox, which refuses at once what
// leads nowhere.
func (b *box) network() error {
	outside := "v" + b.short
	lines := [][]string{
		{"netns", "add", b.short},
		{"link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", b.short},
		{"link", "set", outside, "master", bridge, "up"},
		{"-n", b.short, "link", "set", "lo", "up"},
		{"-n", b.short, "link", "set", "eth0", "up"},
	}
	for _, a := range []netip.Addr{b.m.PrivateIP, b.m.PublicIP} {
		if a.IsValid() {
			lines = append(lines, []string{"-n", b.short, "addr", "add", a.String() + "/32", "dev", "eth0"},
				[]string{"route", "replace", a.String() + "/32", "dev", bridge})
		}
	}
	// The first is where its own connections come from.
	lines = append(lines, []string{"-n", b.short, "route", "add", "default", "via", Gateway.String(), "dev", "eth0", "onlink", "src", b.m.PrivateIP.String()})
	for _, args := range lines {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *box) cgroups() []string {
	var dirs []string
	for _, base := range cgroupsOf(b.lab.run) {
		dirs = append(dirs, filepath.Join(base, b.short))
	}
	return dirs
}

// powerOn boots the machine, and again whenever it reboots.
func (b *box) powerOn() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.made {
		return errors.New("it could not be made")
	}
	if b.plugged {
		return nil
	}
	console, err := os.OpenFile(b.lab.console(b.m.ID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd, err := b.start(console)
	if err != nil {
		console.Close()
		return err
	}
	b.plugged, b.ended = true, make(chan struct{})
	go func() {
		defer close(b.ended)
		defer console.Close()
		for {
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != rebooted {
				return
			}
			if cmd, err = b.start(console); err != nil {
				fmt.Fprintln(console, "starting again:", err)
				return
			}
		}
	}()
	return nil
}

func (b *box) start(console *os.File) (*exec.Cmd, error) {
	// A cgroup of its own, which systemd-nspawn divides further: with
	// --keep-unit all machines would share one otherwise.
	enter := `for dir in "$@"; do shift; [ "$dir" = -- ] && break; echo 0 >"$dir/cgroup.procs" || exit; done; exec "$@"`
	args := append([]string{"-c", enter, "sh"}, b.cgroups()...)
	args = append(args, "--", "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no",
		"--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only",
		"--network-namespace-path=/run/netns/"+b.short, "--machine="+b.short, "-D", b.root)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.boots.Add(1)
	return cmd, nil
}

func (b *box) powerOff() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end()
}

// end kills everything in the machine; b.mu is held.
func (b *box) end() error {
	if !b.plugged {
		return nil
	}
	dirs := b.cgroups()
	gone := Until(context.Background(), time.Minute, func() bool {
		killAll(dirs)
		select {
		case <-b.ended:
			return len(pids(dirs)) == 0
		default:
			return false
		}
	})
	if !gone {
		return fmt.Errorf("machine %s does not end", b.m.ID)
	}
	b.plugged = false
	return nil
}

func (b *box) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.end(); err != nil {
		return err
	}
	if b.made {
		if !Until(context.Background(), 10*time.Second, func() bool { return syscall.Unmount(b.root, 0) == nil }) {
			_ = syscall.Unmount(b.root, syscall.MNT_DETACH) // it ends with the sandbox at the latest
		}
		b.made = false
	}
	for _, a := range []netip.Addr{b.m.PrivateIP, b.m.PublicIP} {
		if a.IsValid() {
			_ = ip("route", "del", a.String()+"/32", "dev", bridge) // a machine that was half made has none
		}
	}
	_ = ip("netns", "del", b.short)
	for _, dir := range b.cgroups() {
		removeCgroup(dir)
	}
	return os.RemoveAll(b.disk)
}

// exec runs a command in the machine's namespaces, with nothing of the host's
// environment.
func (b *box) exec(ctx context.Context, command ...string) (string, error) {
	leader := 0
	for _, pid := range pids(b.cgroups()) {
		if first(pid) {
			leader = pid
		}
	}
	if leader == 0 {
		return "", fmt.Errorf("machine %s does not run", b.m.ID)
	}
	args := append([]string{"-t", strconv.Itoa(leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", "/usr/bin/env", "-i", "HOME=/root", searchPath}, command...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s in machine %s: %w: %s", strings.Join(command, " "), b.m.ID, err, out)
	}
	return string(out), nil
}

// first reports whether a process is the first of another list of processes
// than ours.
func first(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(numbers)
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// pids are the processes in these cgroups and in those below.
func pids(dirs []string) []int {
	var found []int
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return nil // it went away meanwhile
			}
			raw, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					found = append(found, pid)
				}
			}
			return nil
		})
	}
	return found
}

func killAll(dirs []string) {
	for _, pid := range pids(dirs) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
