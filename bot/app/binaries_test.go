package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// Machines of another kind get a program of their own kind, or none.
func TestBinaries(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	own := "linux-" + runtime.GOARCH
	other := "linux-arm64"
	if own == other {
		other = "linux-amd64"
	}
	dir, data := t.TempDir(), t.TempDir()
	for _, name := range []string{dir, data, berth} { // whatever the umask is
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := binaries{folders: []string{data, dir}, self: self}
	if path, err := b.path(own); path != self || err != nil {
		t.Errorf("for this machine's kind: %s, %v", path, err)
	}
	for _, platform := range []string{other, "linux-riscv64", "../../etc/passwd", ""} {
		if path, err := b.path(platform); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("for %q: %s, %v", platform, path, err)
		}
	}
	if text, err := b.describe(); err != nil || !strings.Contains(text, own+" (this program)") || !strings.Contains(text, "none for "+other+": make agents") {
		t.Errorf("described as %q, %v", text, err)
	}

	// What lies there under its name and is not it is told, and never given.
	if err := os.WriteFile(filepath.Join(data, "berth-"+other), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := b.path(other); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a script: %s, %v", path, err)
	}
	link := filepath.Join(dir, "berth-"+other)
	if err := os.Symlink(berth, link); err != nil {
		t.Fatal(err)
	}
	if _, err := b.path(other); err == nil || !strings.Contains(err.Error(), "is for "+own) {
		t.Errorf("this machine's own: %v", err)
	}
	if _, err := b.describe(); err == nil {
		t.Error("it is described as well")
	}

	// A static one for this machine's kind goes before the running program.
	if err := os.Symlink(berth, filepath.Join(data, "berth-"+own)); err != nil {
		t.Fatal(err)
	}
	if path, err := b.path(own); path != filepath.Join(data, "berth-"+own) || err != nil {
		t.Errorf("for this machine's kind, from a file: %s, %v", path, err)
	}
}

// What others than Berth could have put there is told, with what to do, and
// never given: machines run it as root.
func TestBinariesOfOthers(t *testing.T) {
	t.Parallel()
	platform := "linux-" + runtime.GOARCH
	for _, c := range []struct {
		name string
		open func(above, folder, file string) error
		says string // of the path that is open
	}{
		{"the file", func(_, _, file string) error { return os.Chmod(file, 0o775) }, "above/agents/berth-" + platform + " (mode 0775)"},
		{"its folder", func(_, folder, _ string) error { return os.Chmod(folder, 0o777) }, "above/agents (mode 0777)"},
		{"a folder further up", func(above, _, _ string) error { return os.Chmod(above, 0o775) }, "above (mode 0775)"},
		{"the file behind a link", func(above, _, file string) error {
			other := filepath.Join(above, "other")
			return errors.Join(os.Rename(file, other), os.Symlink(other, file), os.Chmod(other, 0o757))
		}, "above/other (mode 0757)"},
		{"another user's", func(_, _, file string) error {
			if os.Getuid() != 0 {
				return errors.ErrUnsupported
			}
			return os.Chown(file, 3_999_999, 0)
		}, "belongs to another user (3999999)"},
		{"in a folder like /tmp", func(_, folder, _ string) error { return os.Chmod(folder, 0o777|os.ModeSticky) }, ""},
	} {
		top := t.TempDir()
		above := filepath.Join(top, "above")
		folder := filepath.Join(above, "agents")
		file := filepath.Join(folder, "berth-"+platform)
		if err := errors.Join(os.Chmod(top, 0o755), os.MkdirAll(folder, 0o755), os.Chmod(above, 0o755), os.Chmod(folder, 0o755)); err != nil {
			t.Fatal(err)
		}
		raw := []byte("what is in it is not looked at")
		if c.says == "" {
			var err error
			if raw, err = os.ReadFile(berth); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(file, raw, 0o755), os.Chmod(file, 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := c.open(above, folder, file); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		b := binaries{folders: []string{folder}, self: "/the/running/program"}
		path, err := b.path(platform)
		text, bad := b.describe()
		if c.says == "" {
			if path != file || err != nil || bad != nil {
				t.Errorf("%s: %s, %v; described as %q, %v", c.name, path, err, text, bad)
			}
			continue
		}
		if path != b.self || err != nil {
			t.Errorf("%s: given is %s, %v", c.name, path, err)
		}
		var e *orchestrator.Error
		if !errors.As(bad, &e) || !strings.Contains(e.Message, file+" is given to no machine: ") || !strings.Contains(e.Message, c.says) || !strings.Contains(e.Hint, "then: ch") {
			t.Errorf("%s: described as %q, %v", c.name, text, bad)
		}
	}
}
