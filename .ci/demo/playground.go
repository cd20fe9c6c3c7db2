package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// errStopped says that somebody else ended the playground: who did so cleans up.
var errStopped = errors.New("stopped from elsewhere")

// playground runs berth playground on the demo's applications until ctx ends.
// The environments that people made there are ended by end, as the demo's own.
func (h *harbour) playground(ctx context.Context) error {
	if err := h.prepare(); err != nil {
		return err
	}
	args := []string{"playground", "--catalog", filepath.Join(h.dir, "shop", "berth.hcl"), "--data", h.data}
	if listen := os.Getenv("LISTEN"); listen != "" {
		args = append(args, "--listen", listen)
	}
	cmd := exec.Command(h.berth, args...)
	cmd.Env = h.environment()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Ctrl-C comes to it from here alone, and once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(h.pidFile(), fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	stopped := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stopped()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("berth playground ended: %w", err)
	}
	if ctx.Err() == nil {
		return errStopped
	}
	h.say("Cleaning up: every environment that was made here ends.")
	return nil
}
