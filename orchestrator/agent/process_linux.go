package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a process may take to end after SIGTERM.
const grace = 5 * time.Second

// process is one line of the process table. Start is in clock ticks since the
// machine's start: together with the PID it names a process for good.
type process struct {
	PID, Parent, Session int
	Start                uint64
	Zombie               bool
}

// processes reads the process table.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

func readProcess(pid int) (process, bool) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	raw, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return process{}, false
	}
	// The name stands in brackets and may hold anything, brackets too.
	i := bytes.LastIndexByte(raw, ')')
	if i < 0 {
		return process{}, false
	}
	f := strings.Fields(string(raw[i+1:]))
	if len(f) < 20 {
		return process{}, false
	}
	p := process{PID: pid, Zombie: f[0] == "Z" || f[0] == "X"}
	p.Parent, _ = strconv.Atoi(f[1])
	p.Session, _ = strconv.Atoi(f[3])
	p.Start, _ = strconv.ParseUint(f[19], 10, 64)
	return p, true
}

// uid is the process's real UID; -1: it is gone.
func (p process) uid() int {
	// From status: the folder's owner is root for a process that has changed
	// its user.
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "status"))
	if err != nil {
		return -1
	}
	if _, rest, ok := bytes.Cut(status, []byte("\nUid:")); ok {
		if ids := bytes.Fields(rest); len(ids) > 0 {
			if uid, err := strconv.Atoi(string(ids[0])); err == nil {
				return uid
			}
		}
	}
	return -1
}

// marked reports whether a process was started with the variable.
func (p process) marked(variable string) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "environ"))
	if err != nil {
		return false
	}
	for kv := range bytes.SplitSeq(raw, []byte{0}) {
		if string(kv) == variable {
			return true
		}
	}
	return false
}

// below gives the descendants of a process.
func below(pid int, all []process) []process {
	known := map[int]bool{pid: true}
	var out []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !known[p.PID] && known[p.Parent] {
				known[p.PID], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

// listener is a socket that takes connections.
type listener struct{ port, uid int }

// listeners are the sockets of this machine that listen on a TCP port, by their
// names in /proc. Port 0: on any.
func listeners(port int) (map[string]listener, error) {
	out := map[string]listener{}
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		raw, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a machine without IPv6
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(raw)) {
			// sl local_address rem_address st … uid timeout inode
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" {
				continue
			}
			_, hexadecimal, _ := strings.Cut(f[1], ":")
			at, err := strconv.ParseUint(hexadecimal, 16, 16)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
			if port != 0 && int(at) != port {
				continue
			}
			uid, err := strconv.Atoi(f[7])
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
			out["socket:["+f[9]+"]"] = listener{int(at), uid}
		}
	}
	return out, nil
}

// holds reports whether the process has one of the sockets open.
func (p process) holds(sockets map[string]listener) bool { return len(p.held(sockets)) > 0 }

// held are those of the sockets that the process has open.
func (p process) held(sockets map[string]listener) []listener {
	folder := filepath.Join("/proc", strconv.Itoa(p.PID), "fd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var out []listener
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(folder, e.Name()))
		if s, ok := sockets[target]; ok && err == nil {
			out = append(out, s)
		}
	}
	return out
}

// portsOf are the TCP ports on which processes listen, in order.
func portsOf(all []process) []int {
	sockets, err := listeners(0)
	if err != nil {
		return nil
	}
	var ports []int
	for _, p := range all {
		for _, s := range p.held(sockets) {
			ports = append(ports, s.port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// leader is a recorded session: that of a process which the agent started.
type leader struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// holds reports whether p belongs to the session. A session's number is not
// given again while one process is left in it; a leader with another start
// means that it was.
func (l leader) holds(p process, all map[int]process) bool {
	if l.PID <= 1 || p.Session != l.PID || p.Start < l.Start {
		return false
	}
	head, ok := all[l.PID]
	return !ok || head.Start == l.Start
}

// record is processes.json: what a later agent or `agent stop` must find even
// when this agent was killed. It counts only until the machine's next start.
type record struct {
	BootID   string   `json:"boot_id"`
	Agent    leader   `json:"agent"`
	Sessions []leader `json:"sessions"`
	// Strays are sessions that the agent did not start and that do not bear
	// the server's mark any more.
	Strays []leader `json:"strays,omitempty"`
}

func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// readRecord gives the record of a folder, empty when there is none that
// counts.
func readRecord(dir string) record {
	var r record
	raw, err := readStranger(filepath.Join(dir, processesFile))
	if err != nil || json.Unmarshal(raw, &r) != nil || r.BootID != bootID() {
		return record{}
	}
	return r
}

// readStranger reads a file that another user may have put there: no link is
// followed, no pipe is waited for, and there is an end to its size.
func readStranger(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// belongs finds the processes of the server in dir: by its mark, by recorded
// sessions and, where a server has a user of its own, by that. The caller and
// its parents are never among them.
func belongs(dir string, uid int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	table := make(map[int]process, len(all))
	for _, p := range all {
		table[p.PID] = p
	}
	spared := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !spared[pid]; pid = table[pid].Parent {
		spared[pid] = true
	}
	own := os.Getuid()
	r := readRecord(dir)
	var out []process
	for _, p := range all {
		if spared[p.PID] || p.Zombie || p.PID <= 1 {
			continue
		}
		// The folder is the server's own: what it says of another user's
		// processes does not count.
		if own != 0 || uid != 0 {
			if of := p.uid(); own != 0 && of != own || uid != 0 && of != uid {
				continue
			}
		}
		found := uid != 0 || p.marked(serverDirVariable+"="+dir)
		for _, l := range slices.Concat([]leader{r.Agent}, r.Sessions, r.Strays) {
			found = found || l.holds(p, table)
		}
		if found {
			out = append(out, p)
		}
	}
	return out, nil
}

// signal sends to those of ps that still are what they were.
func signal(ps []process, s syscall.Signal) {
	for _, p := range ps {
		if now, ok := readProcess(p.PID); ok && now.Start == p.Start {
			_ = syscall.Kill(p.PID, s)
		}
	}
}

// end stops all processes that find gives: SIGTERM, then after the grace
// SIGKILL, until there are none.
func end(ctx context.Context, find func() ([]process, error)) error {
	ps, err := find()
	if err != nil || len(ps) == 0 {
		return err
	}
	signal(ps, syscall.SIGTERM)
	deadline := time.Now().Add(grace)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		reap()
		if ps, err = find(); err != nil || len(ps) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			signal(ps, syscall.SIGKILL)
		}
	}
}

// adopt makes orphans of this server's processes children of the agent, so
// that none of them is lost.
func adopt() error {
	adopting.Store(true)
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// adopting is set in the agent's own process: another one's children are none
// of reap's business.
var adopting atomic.Bool

// reap takes the results of adopted children that have ended. Those that the
// agent started itself (the leaders of a session) are left to whoever waits
// for them.
func reap() {
	if all, err := processes(); err == nil {
		reapOf(all)
	}
}

func reapOf(all []process) {
	if !adopting.Load() {
		return
	}
	for _, p := range all {
		if p.Zombie && p.Parent == os.Getpid() && p.Session != p.PID {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(p.PID, &status, syscall.WNOHANG, nil)
		}
	}
}

// become gives up root for good: no groups, the UID as its own group, nothing
// that a set-user-ID program could give back.
func become(uid int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	if os.Getuid() != uid || os.Geteuid() != uid || os.Getgid() != uid {
		return errors.New("the user did not change")
	}
	// Every thread needs it, which only a binary without cgo can do here.
	_, _, errno := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno != 0 && errno != syscall.ENOTSUP {
		return errno
	}
	return nil
}
