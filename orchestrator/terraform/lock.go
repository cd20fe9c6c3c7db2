package terraform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// acquire takes the lock file at path, waiting as long as ctx allows, and
// writes into it who holds it. The kernel gives it back when the process dies.
func acquire(ctx context.Context, path, who string) (release func(), err error) {
	// flock cannot wait for a context too, so ask again and again.
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		release, free, err := take(path, who)
		if free || err != nil {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// take is acquire where nobody waits; free is false when somebody has the lock.
func take(path, who string) (release func(), free bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		// What it says matters only to cancel; the lock itself is the truth.
		fmt.Fprintf(f, "%s %d\n", who, os.Getpid())
	}
	return func() { f.Close() }, true, nil
}

// holder says who holds the lock at path; held is false when nobody does.
func holder(path string) (who string, pid int, held bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, false
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return "", 0, false
	}
	data, err := io.ReadAll(io.LimitReader(f, 256))
	if err == nil {
		fmt.Sscanf(string(data), "%s %d", &who, &pid)
	}
	return who, pid, true
}
