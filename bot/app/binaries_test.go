package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
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
