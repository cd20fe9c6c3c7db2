package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDemo runs the whole demo, as make demo does.
func TestDemo(t *testing.T) {
	t.Parallel()
	salt, terraform := os.Getenv("BERTH_SALT_CALL"), os.Getenv("BERTH_TERRAFORM")
	if salt == "" || terraform == "" {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatal("BERTH_SALT_CALL or BERTH_TERRAFORM is not set: run make test")
		}
		t.Skip("BERTH_SALT_CALL or BERTH_TERRAFORM is not set: make test installs both and sets them")
	}
	// The servers' users have to get there.
	work, err := os.MkdirTemp("/tmp", "berth-demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	if err := os.Chmod(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]string{{"berth", "../.."}, {"demo", "."}} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(work, "bin", part[0]), part[1]).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", part[0], err, out)
		}
	}
	if err := os.Symlink(filepath.Dir(filepath.Dir(salt)), filepath.Join(work, "salt")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "terraform.path"), []byte(terraform+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	demo := exec.CommandContext(t.Context(), filepath.Join(work, "bin", "demo"), "-work", work)
	demo.Dir = filepath.Join("..", "..")
	out, err := demo.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Nothing is left: no process, no folder, no port.")) {
		t.Errorf("%v\n%s", err, out)
	}
}
