package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

const largeResult = 10 << 20 // bytes

// figures are what one shape of a large result costs.
type figures struct {
	// Diagnosed and Decoded are processor times, the garbage collector's on all
	// processors among them: waiting for other programs is not in them. Decoded is encoding/json's into the
	// steps alone, which any program would need.
	Diagnosed, Decoded time.Duration
	// Peak is how much the process grew by, in bytes, beside the result itself.
	Peak int64
}

// largeResults measures each shape in a process of its own, so that what one
// leaves in memory does not hide what the next one takes.
func largeResults() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("a result of %d MB, from its bytes to the diagnosis:\n", largeResult>>20)
	for i, l := range diagnosetest.LargeResults(1 << 10) { // for their names
		cmd := exec.Command(self, "-large", fmt.Sprint(i))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("a result with %s: %w", l.Name, err)
		}
		var f figures
		if err := json.Unmarshal(out, &f); err != nil {
			return err
		}
		// The result's own bytes are in memory too.
		times := float64(f.Peak+largeResult) / largeResult
		own := f.Diagnosed - f.Decoded
		fmt.Printf("  %-36s %4d ms, and decoding alone %4d ms; memory at most %.1f times its size\n", l.Name, f.Diagnosed.Milliseconds(), f.Decoded.Milliseconds(), times)
		limit("diagnosing "+l.Name+", above decoding it,", ms(own), 50, "ms")
		limit("memory for "+l.Name, times, 4, "times its size")
	}
	return nil
}

// large measures one shape and prints its figures.
func large(shape int) error {
	l := diagnosetest.LargeResults(largeResult)[shape]
	input := bytes.Clone(l.Input)
	before, err := reset()
	if err != nil {
		return err
	}
	diagnose.Salt(input, nil, 2)
	after, err := resident(os.Getpid(), "VmHWM:")
	if err != nil {
		return err
	}
	var f figures
	f.Peak = int64(max(0, after-before))
	var diagnosed, decoded []time.Duration
	for range 7 {
		begun := spent()
		diagnose.Salt(input, nil, 2)
		diagnosed = append(diagnosed, spent()-begun)
		begun = spent()
		if _, err := diagnosetest.Decode(input); err != nil {
			return err
		}
		decoded = append(decoded, spent()-begun)
	}
	// The least is what it costs; the rest is what else the machine did.
	f.Diagnosed, f.Decoded = slices.Min(diagnosed), slices.Min(decoded)
	return json.NewEncoder(os.Stdout).Encode(f)
}

// spent is the processor time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // of this process it cannot fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reset gives back what is not used, makes the peak the present and tells it.
func reset() (int, error) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil && !strings.Contains(err.Error(), "permission") {
		return 0, err
	}
	return resident(os.Getpid(), "VmRSS:")
}
