package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingLeft: the demo's last check sees what it is there to see.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	h := &harbour{data: t.TempDir(), urls: map[string]bool{}}
	if err := h.nothingLeft(); err != nil {
		t.Fatalf("an empty folder: %v", err)
	}
	server := filepath.Join(h.data, "servers", "s1")
	if err := os.MkdirAll(server, 0o755); err != nil {
		t.Fatal(err)
	}
	inside := exec.Command("sleep", "60")
	inside.Dir = server
	named := exec.Command("tail", "-f", os.DevNull, filepath.Join(h.data, "servers"))
	for _, cmd := range []*exec.Cmd{inside, named} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.urls["http://"+l.Addr().String()] = true

	err = h.nothingLeft()
	if err == nil {
		t.Fatal("it sees nothing")
	}
	for _, want := range []string{": sleep 60\n", ": tail -f", "folder " + server, "open port " + l.Addr().String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not see %q:\n%v", want, err)
		}
	}
}
