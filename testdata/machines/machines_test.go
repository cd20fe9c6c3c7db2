package machines_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/testdata/machines"
)

// list is a cloud that a test changes by hand.
type list struct {
	mu  sync.Mutex
	all []machines.Machine
}

func (c *list) Machines(context.Context) ([]machines.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]machines.Machine(nil), c.all...), nil
}

func (c *list) set(all ...machines.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = all
}

// TestLife follows two machines of a cloud through their lives: they boot with
// exactly their user-data, reach the test, one another and no network besides,
// reboot, are switched off and on with their disks, and go.
func TestLife(t *testing.T) {
	t.Parallel()
	lab := machines.New(t)
	calls := make(chan string, 16)
	listener, err := net.Listen("tcp", net.JoinHostPort(machines.Gateway.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- r.URL.Path + " " + strings.Split(r.RemoteAddr, ":")[0] + " " + string(body)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	await := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		select {
		case got := <-calls:
			if got != want {
				t.Fatalf("a machine called %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("no machine called %q", want)
		}
	}

	// The first writes down whether systemd restarts it; the second asks the
	// first for a page.
	userData := func(more string) []byte {
		return fmt.Appendf(nil, `#cloud-config
write_files:
- path: /etc/systemd/system/call.service
  content: |
    [Service]
    Type=oneshot
    ExecStart=/bin/sh -c 'echo again >>/root/boots; curl -sS --retry 9 --retry-all-errors -d "$(wc -l </root/boots)" http://%s/up'
    [Install]
    WantedBy=multi-user.target
runcmd:
- %s
- [systemctl, enable, --now, --no-block, call]
# ünïcode, and no end of line`, listener.Addr(), more)
	}
	one := machines.Machine{ID: "i-one", PrivateIP: netip.MustParseAddr("172.31.5.6"), PublicIP: netip.MustParseAddr("54.1.2.3"),
		UserData: userData("[systemd-run, --collect, python3, -m, http.server, --directory, /etc/cloud]")}
	two := machines.Machine{ID: "i-two", Host: "Web", PrivateIP: netip.MustParseAddr("10.7.0.2"), UserData: userData("[true]")}
	cloud := &list{}
	lab.Follow(cloud)
	cloud.set(one)
	await("/up 172.31.5.6 1")
	cloud.set(one, two)
	await("/up 10.7.0.2 1")

	run := func(id string, command ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := lab.Exec(ctx, id, command...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	if got := run("i-one", "cat", "/var/lib/cloud/instance/user-data.txt"); got != string(one.UserData) {
		t.Errorf("cloud-init got\n%s\nand the cloud\n%s", got, one.UserData)
	}
	if got := run("i-two", "hostname"); got != "web" {
		t.Errorf("the machine is called %q", got)
	}
	if got := run("i-one", "salt-call", "--version"); !strings.HasPrefix(got, "salt-call 3008.3") {
		t.Errorf("Salt is %q", got)
	}
	for _, address := range []string{"172.31.5.6", "54.1.2.3"} {
		if got := run("i-two", "curl", "-sS", "--retry", "9", "--retry-connrefused", "http://"+address+":8000/"); !strings.Contains(got, "cloud.cfg") {
			t.Errorf("from machine to machine: %q", got)
		}
	}
	if out, err := lab.Exec(t.Context(), "i-two", "curl", "-sS", "--max-time", "20", "http://192.0.2.1/"); err == nil || strings.Contains(out, "timed out") {
		t.Errorf("an address of nobody: %v, %q", err, out)
	}

	// systemd asks for the reboot, and services come back.
	run("i-one", "systemctl", "--no-block", "reboot")
	await("/up 172.31.5.6 2")
	if got := lab.Boots("i-one"); got != 2 {
		t.Errorf("it was started %d times", got)
	}

	stopped := one
	stopped.Stopped = true
	cloud.set(stopped, two)
	if !machines.Until(t.Context(), time.Minute, func() bool { _, err := lab.Exec(t.Context(), "i-one", "true"); return err != nil }) {
		t.Error("a machine that was switched off runs")
	}
	cloud.set(one, two)
	await("/up 172.31.5.6 3")

	cloud.set(two)
	if !machines.Until(t.Context(), time.Minute, func() bool { return len(lab.IDs()) == 1 }) {
		t.Errorf("there are %v", lab.IDs())
	}
	if !strings.Contains(lab.Console("i-one"), "Cloud-init") {
		t.Errorf("the console of a machine that is gone says\n%s", lab.Console("i-one"))
	}
	if conn, err := net.DialTimeout("tcp", "172.31.5.6:8000", 5*time.Second); err == nil {
		conn.Close()
		t.Error("a machine that is gone answers")
	}
}

// heldVariable has TestHeld do something.
const heldVariable = "BERTH_MACHINES_HELD"

// TestHeld is a test for TestKilled to kill.
func TestHeld(t *testing.T) {
	if os.Getenv(heldVariable) == "" {
		t.Skip("TestKilled runs it")
	}
	lab := machines.New(t)
	if err := lab.Boot(machines.Machine{ID: "held", PrivateIP: netip.MustParseAddr("10.7.0.3")}); err != nil {
		t.Fatal(err)
	}
	if !machines.Until(t.Context(), time.Minute, func() bool { _, err := lab.Exec(t.Context(), "held", "true"); return err == nil }) {
		t.Fatal("the machine does not run")
	}
	fmt.Println("held in", os.Getenv("BERTH_MACHINES_RUN"))
	<-t.Context().Done()
}

// TestKilled kills tests while a machine of theirs runs: nothing is left.
func TestKilled(t *testing.T) {
	machines.Need(t)
	t.Parallel()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHeld$")
	cmd.Env = append(os.Environ(), heldVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	run, said := "", ""
	for run == "" && lines.Scan() {
		said += lines.Text() + "\n"
		_, run, _ = strings.Cut(lines.Text(), "held in ")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if run == "" || run == os.Getenv("BERTH_MACHINES_RUN") {
		t.Fatalf("the tests to be killed ran in %q:\n%s", run, said)
	}
	left := func() (what []string) {
		if _, err := os.Stat(run); err == nil {
			what = append(what, run)
		}
		_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && e.Name() == filepath.Base(run) {
				what = append(what, path)
			}
			return nil
		})
		return what
	}
	if !machines.Until(t.Context(), time.Minute, func() bool { return len(left()) == 0 }) {
		t.Errorf("left: %v", left())
	}
}
