package app

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestOtherPort: what to do fits why the port cannot be had.
func TestOtherPort(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "stop what uses that port", syscall.EACCES: "from 1024 on", syscall.EADDRNOTAVAIL: "that this machine has",
	} {
		err := fmt.Errorf("starting: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errno)})
		if got := otherPort(err); !strings.Contains(got, want) || !strings.Contains(got, "--listen") {
			t.Errorf("%v: %s", errno, got)
		}
	}
}
