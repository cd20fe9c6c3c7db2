package agent

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// reapAll takes adopted children that have ended and writes down those that
// have left everything behind by which they could be known.
func (a *agent) reapAll(ctx context.Context) error {
	for pause(ctx, 5*time.Second) == nil {
		if all, err := processes(); err == nil {
			reapOf(all)
			a.noteStrays(all)
		}
	}
	return nil
}

// noteStrays writes down the sessions of descendants that have changed both
// their session and their environment: once this agent is dead, nothing else
// tells whose they are.
func (a *agent) noteStrays(all []process) {
	table := map[int]process{}
	for _, p := range all {
		table[p.PID] = p
	}
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	known := len(a.record.Strays)
	a.record.Strays = slices.DeleteFunc(a.record.Strays, func(l leader) bool {
		return !slices.ContainsFunc(all, func(p process) bool { return l.holds(p, table) && !p.Zombie })
	})
	changed := len(a.record.Strays) != known
	for _, p := range below(os.Getpid(), all) {
		if p.Zombie || p.marked(serverDirVariable+"="+a.dir) ||
			slices.ContainsFunc(slices.Concat(a.record.Sessions, a.record.Strays, []leader{a.record.Agent}), func(l leader) bool { return l.holds(p, table) }) {
			continue
		}
		l := leader{p.Session, p.Start}
		if head, ok := table[p.Session]; ok {
			l.Start = head.Start
		}
		a.record.Strays, changed = append(a.record.Strays, l), true
	}
	if !changed {
		return
	}
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
}

// start starts a command in a session of its own and writes that down.
func (a *agent) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	p, _ := readProcess(cmd.Process.Pid)
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	a.record.Sessions = append(a.record.Sessions, leader{cmd.Process.Pid, p.Start})
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
	return nil
}

// ended forgets a session when nothing is left in it.
func (a *agent) ended(cmd *exec.Cmd) {
	all, err := processes()
	if err != nil {
		return
	}
	for _, p := range all {
		if p.Session == cmd.Process.Pid && !p.Zombie {
			return
		}
	}
	a.recordMu.Lock()
	defer a.recordMu.Unlock()
	a.record.Sessions = slices.DeleteFunc(a.record.Sessions, func(l leader) bool { return l.PID == cmd.Process.Pid })
	if err := a.saveRecord(); err != nil {
		a.log.Warn("a process was not written down", "error", err)
	}
}

func (a *agent) saveRecord() error {
	return writeJSON(filepath.Join(a.dir, processesFile), a.record)
}

// killSession kills a command and everything below it.
func (a *agent) killSession(session int) error {
	all, err := processes()
	if err != nil {
		return syscall.Kill(-session, syscall.SIGKILL)
	}
	below := map[int]bool{session: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !below[p.PID] && (below[p.Parent] || p.Session == session) {
				below[p.PID], grown = true, true
			}
		}
	}
	all = slices.DeleteFunc(all, func(p process) bool { return !below[p.PID] || p.Zombie })
	signal(all, syscall.SIGKILL)
	return nil
}
