package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// normal makes a run's output that of any machine: no path of this one, and no
// times and process numbers that differ each time.
type normal struct{ paths [][2][]byte }

func newNormal(root, venv string) normal {
	host, _ := os.Hostname() // none: nothing to replace
	n := normal{}
	add := func(from, to string) {
		if from != "" {
			n.paths = append(n.paths, [2][]byte{[]byte(from), []byte(to)})
		}
	}
	if real, err := filepath.EvalSymlinks(root); err == nil && real != root {
		add(real, "/srv/berth")
	}
	add(root, "/srv/berth")
	if real, err := filepath.EvalSymlinks(venv); err == nil && real != venv {
		add(real, "/opt/salt")
	}
	add(venv, "/opt/salt")
	if real, err := filepath.EvalSymlinks(filepath.Join(venv, "bin", "python")); err == nil {
		add(filepath.Join(filepath.Dir(filepath.Dir(real)), "lib", "python3"), "/usr/lib/python3")
	}
	if len(host) > 3 {
		add(host, "server")
	}
	return n
}

var (
	started = regexp.MustCompile(`"start_time": "\d\d:\d\d:\d\d\.\d{6}"`)
	lasted  = regexp.MustCompile(`"duration": [\d.e-]+`)
	process = regexp.MustCompile(`("pid"|'pid'): \d+`)
	logged  = regexp.MustCompile(`at time \d\d:\d\d:\d\d\.\d{6}`)
	took    = regexp.MustCompile(`duration_in_ms=[\d.]+`)
	jobID   = regexp.MustCompile(`\b20\d{18}\b`)
	asPID   = regexp.MustCompile(`\bPID \d+`)
	scope   = regexp.MustCompile(`\brun-[0-9a-f]+\.scope`)
	address = regexp.MustCompile(`\b0x[0-9a-f]{8,16}\b`)
)

func (n normal) do(b []byte) []byte {
	for _, p := range n.paths {
		b = bytes.ReplaceAll(b, p[0], p[1])
	}
	at := 0
	b = started.ReplaceAllFunc(b, func([]byte) []byte {
		at++
		return fmt.Appendf(nil, `"start_time": "10:%02d:%02d.000000"`, at/60%60, at%60)
	})
	b = lasted.ReplaceAll(b, []byte(`"duration": 12.5`))
	b = process.ReplaceAll(b, []byte(`$1: 4711`))
	b = logged.ReplaceAll(b, []byte("at time 10:00:00.000000"))
	b = took.ReplaceAll(b, []byte("duration_in_ms=12.5"))
	b = jobID.ReplaceAll(b, []byte("20260105100000000000"))
	b = asPID.ReplaceAll(b, []byte("PID 4711"))
	b = scope.ReplaceAll(b, []byte("run-r0123456789abcdef0123456789abcdef.scope"))
	return address.ReplaceAll(b, []byte("0x7f0123456789"))
}
