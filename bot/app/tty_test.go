package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for something on the screen.
const patience = 60 * time.Second

// screen is a program on a terminal: what it writes is drawn as a terminal
// would.
type screen struct {
	pty      *os.File
	emulator *vt.SafeEmulator
	done     chan struct{} // closed when the program has written its last

	mu      sync.Mutex
	raw     bytes.Buffer
	changed chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(p)
	n, err := s.emulator.Write(p)
	close(s.changed)
	s.changed = make(chan struct{})
	return n, err
}

// text is what can be read: what has scrolled away, then the screen.
func (s *screen) text() (string, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for y := range s.emulator.ScrollbackLen() {
		var line strings.Builder
		for x := range s.emulator.Width() {
			if c := s.emulator.ScrollbackCellAt(x, y); c != nil {
				line.WriteString(c.Content)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	for line := range strings.Lines(s.emulator.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n", s.changed
}

// expect waits until the screen says want.
func (s *screen) expect(want string) error {
	deadline := time.After(patience)
	for {
		text, changed := s.text()
		if strings.Contains(text, want) {
			return nil
		}
		select {
		case <-changed:
		case <-s.done:
			if text, _ := s.text(); strings.Contains(text, want) {
				return nil
			}
			return fmt.Errorf("the program ended without saying %q", want)
		case <-deadline:
			return fmt.Errorf("the screen did not say %q", want)
		}
	}
}

// startOnTTY starts cmd, in a script's folder and with its environment, on a
// terminal of its own.
func startOnTTY(ts *testscript.TestScript, cmd *exec.Cmd, columns, rows int) *screen {
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "BERTH_DATA", "BERTH_CATALOG", "GIT_CONFIG_GLOBAL", "NO_COLOR", "TERM", "LC_ALL", "GORACE"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	if ts.Getenv("TERM") == "" {
		cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	}
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)})
	ts.Check(err)
	s := &screen{pty: f, emulator: vt.NewSafeEmulator(columns, rows), done: make(chan struct{}), changed: make(chan struct{})}
	go func() { _, _ = io.Copy(f, s.emulator) }() // what the terminal answers to questions
	go func() {
		_, _ = io.Copy(s, f) // ends with EIO when the program does
		close(s.done)
	}()
	return s
}

// cmdTTY runs a program on a terminal: tty [-size 80x24] [-in FILE] [-status N] PROGRAM [ARG…].
// FILE has a line for each thing to do there: expect TEXT, send TEXT (with \t,
// \r and \x03 as in Go), resize 40x24, touch FILE. Standard output is the screen at the end;
// everything that was written is in the file raw.
func cmdTTY(ts *testscript.TestScript, neg bool, args []string) {
	columns, rows, status := 80, 24, 0
	var steps string
	for ; len(args) > 1 && strings.HasPrefix(args[0], "-"); args = args[2:] {
		var err error
		switch args[0] {
		case "-size":
			_, err = fmt.Sscanf(args[1], "%dx%d", &columns, &rows)
		case "-in":
			steps = ts.ReadFile(args[1])
		case "-status":
			status, err = strconv.Atoi(args[1])
		default:
			ts.Fatalf("tty has no option %s", args[0])
		}
		ts.Check(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	if args[0] == "berth" {
		cmd.Path, cmd.Err = berth, nil // whatever stands on this process's own PATH
	}
	s := startOnTTY(ts, cmd, columns, rows)
	f := s.pty
	defer f.Close()
	fail := func(format string, args ...any) {
		_ = cmd.Process.Kill()
		text, _ := s.text()
		ts.Fatalf("%s; the screen:\n%s", fmt.Sprintf(format, args...), text)
	}
	for line := range strings.Lines(steps) {
		do, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch do {
		case "":
		case "expect":
			if err := s.expect(what); err != nil {
				fail("%v", err)
			}
		case "send":
			text, err := strconv.Unquote(`"` + what + `"`)
			ts.Check(err)
			_, err = io.WriteString(f, text)
			ts.Check(err)
		case "touch":
			ts.Check(os.WriteFile(ts.MkAbs(what), nil, 0o644))
		case "resize":
			if _, err := fmt.Sscanf(what, "%dx%d", &columns, &rows); err != nil {
				fail("%q: %v", line, err)
			}
			s.emulator.Resize(columns, rows)
			ts.Check(pty.Setsize(f, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}))
		default:
			fail("tty cannot %q", do)
		}
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		fail("the program did not end")
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	text, _ := s.text()
	fmt.Fprint(ts.Stdout(), text)
	ts.Check(os.WriteFile(ts.MkAbs("raw"), s.raw.Bytes(), 0o644))
	if got := cmd.ProcessState.ExitCode(); (got != status) != neg {
		ts.Fatalf("exit status %d; the screen:\n%s", got, text)
	}
}
