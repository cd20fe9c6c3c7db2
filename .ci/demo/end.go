package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// end destroys every environment, stops serve, and checks that nothing is
// left. It starts serve again where that has died, for only serve can destroy.
func (h *harbour) end(ctx context.Context) error {
	if _, err := os.Stat(h.data); err == nil {
		if !h.running() {
			if err := h.serve(ctx); err != nil {
				return err
			}
		}
		if err := h.noteAddresses(); err != nil {
			return err
		}
		var all []environment
		if err := h.json(&all, "env", "list"); err != nil {
			return err
		}
		for _, e := range all {
			if err := h.run(ctx, 0, "env", "destroy", e.Name, "--yes"); err != nil {
				return err
			}
		}
		if err := h.stopServe(); err != nil {
			return err
		}
		if err := h.nothingLeft(); err != nil {
			return err
		}
	}
	return os.RemoveAll(h.dir)
}

// servePID is the process of this demo's serve, 0 when there is none.
func (h *harbour) servePID() int {
	text, err := os.ReadFile(h.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	// The number may be another program's by now.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), h.data) {
		return 0
	}
	return pid
}

func (h *harbour) running() bool { return h.servePID() != 0 }

func (h *harbour) stopServe() error {
	pid := h.servePID()
	if pid == 0 {
		return errors.New("berth serve has died")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	if !within(20*time.Second, func() bool { return h.servePID() == 0 }) {
		return fmt.Errorf("berth serve (process %d) did not stop within 20 s", pid)
	}
	return nil
}

func within(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// nothingLeft looks for what a destroyed environment must not leave: a process
// that belongs to the demo, a server's folder, an open port.
func (h *harbour) nothingLeft() error {
	var left []string
	within(5*time.Second, func() bool { left = h.processes(); return len(left) == 0 })
	for _, dir := range []string{"servers", "workspaces"} {
		entries, err := os.ReadDir(filepath.Join(h.data, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if dir == "servers" || e.IsDir() {
				left = append(left, "folder "+filepath.Join(h.data, dir, e.Name()))
			}
		}
	}
	for address := range h.urls {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		if c, err := net.DialTimeout("tcp", u.Host, time.Second); err == nil {
			c.Close()
			left = append(left, "open port "+u.Host)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("this is left behind:\n  %s", strings.Join(left, "\n  "))
	}
	return nil
}

// processes are those that name the data folder or stand in it.
func (h *harbour) processes() []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			continue // it has ended meanwhile
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		cwd, _ := os.Readlink(dir + "/cwd")
		names := slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, h.data) })
		if filepath.Base(dir) != strconv.Itoa(os.Getpid()) && (names || cwd == h.data || strings.HasPrefix(cwd, h.data+"/")) {
			found = append(found, "process "+filepath.Base(dir)+": "+strings.Join(args, " "))
		}
	}
	return found
}
