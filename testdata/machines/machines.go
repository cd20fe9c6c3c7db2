// Package machines boots a machine for each instance of a stand-in cloud, so
// that tests go all the way from a cloud's answer to an app that answers: a
// Debian root file system (.ci/setup image makes it in BERTH_WORK) in namespaces of its own,
// with the address that the cloud gave it, the real cloud-init on exactly the
// user-data that the cloud was given, real systemd and real Salt.
//
// A package's TestMain calls Run, which runs its tests once more in a sandbox:
// a network, process list and mounts of their own, which end with it, however
// it ends. Nothing of the host's network can be reached from inside. In a
// sandbox a test makes a Lab and lets it follow a Cloud.
//
// It needs root and the right to mount, and says what it lacks otherwise: tests
// that Need machines are skipped, or fail where BERTH_REQUIRE_MACHINES is set.
// systemd-nspawn is no security border: what runs in a machine is trusted as
// much as the test. Linux only.
package machines

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Gateway is the address of the sandbox itself, where machines reach what a
// test listens with. It is one that no cloud gives away (RFC 6598).
var Gateway = netip.MustParseAddr("100.64.0.1")

// Machine is an instance as its cloud knows it.
type Machine struct {
	ID        string     // names it; letters, digits, dots and hyphens
	Host      string     // its host name; empty: the ID
	PrivateIP netip.Addr // where the others reach it
	PublicIP  netip.Addr // another address of the same machine; may be missing
	UserData  []byte     // as the cloud got it, byte for byte
	Stopped   bool       // it is switched off, and keeps its disk
}

// Cloud is what a Lab follows.
type Cloud interface {
	// Machines are those that there are; one that is terminated is none.
	Machines(context.Context) ([]Machine, error)
}

// Lab is a network with machines. It ends with its test, and shows the
// machines' consoles when that failed.
type Lab struct {
	// Prepare changes the file system of a machine before its first boot, when
	// set; root is the folder where it is mounted.
	Prepare func(m Machine, root string) error

	t    testing.TB
	run  string // the folder of this sandbox
	logs string // where consoles of failed tests are kept

	mu    sync.Mutex
	boxes map[string]*box
	work  sync.WaitGroup
}

// New makes a lab without machines.
func New(t testing.TB) *Lab {
	t.Helper()
	Need(t)
	l := &Lab{t: t, run: os.Getenv(runVariable), boxes: map[string]*box{},
		logs: filepath.Join(os.Getenv(workVariable), "log", "machines", strings.ReplaceAll(t.Name(), "/", "-"))}
	t.Cleanup(l.end)
	return l
}

// Follow boots, switches off and removes machines as the cloud has them, until
// the test ends or the returned function is called.
func (l *Lab) Follow(cloud Cloud) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(250 * time.Millisecond)
		defer look.Stop()
		said := ""
		for {
			if err := l.follow(ctx, cloud); err != nil && ctx.Err() == nil && err.Error() != said {
				said = err.Error() // a cloud that is not up yet says the same many times
				l.t.Logf("following the cloud: %v", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
		}
	}()
	l.t.Cleanup(func() { cancel(); <-done })
	return func() { cancel(); <-done }
}

// follow makes the lab's machines those of the cloud.
func (l *Lab) follow(ctx context.Context, cloud Cloud) error {
	want, err := cloud.Machines(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range l.IDs() {
		if !slices.ContainsFunc(want, func(m Machine) bool { return m.ID == id }) {
			errs = append(errs, l.Remove(id))
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, m := range want {
		b := l.box(m.ID)
		if m.Stopped && (b == nil || !b.running()) || !m.Stopped && b != nil && !b.off() {
			continue
		}
		all.Go(func() {
			var err error
			if m.Stopped {
				err = b.powerOff()
			} else {
				err = l.Boot(m)
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Boot starts a machine; one that was switched off starts with the disk that it
// had. It does not wait until the machine is up.
func (l *Lab) Boot(m Machine) error {
	l.mu.Lock()
	b := l.boxes[m.ID]
	isNew := b == nil
	if isNew {
		b = newBox(l, m)
		l.boxes[m.ID] = b
	}
	l.mu.Unlock()
	if isNew {
		if err := b.make(); err != nil {
			return fmt.Errorf("making machine %s: %w", m.ID, err)
		}
	}
	if err := b.powerOn(); err != nil {
		return fmt.Errorf("starting machine %s: %w", m.ID, err)
	}
	return nil
}

// Remove ends a machine and its disk. What its console said is kept.
func (l *Lab) Remove(id string) error {
	b := l.box(id)
	if b == nil {
		return nil
	}
	err := b.remove()
	l.mu.Lock()
	delete(l.boxes, id)
	l.mu.Unlock()
	return err
}

// Exec runs a command in a running machine, as root, and gives what it printed.
func (l *Lab) Exec(ctx context.Context, id string, command ...string) (string, error) {
	b := l.box(id)
	if b == nil {
		return "", fmt.Errorf("there is no machine %s", id)
	}
	return b.exec(ctx, command...)
}

// Console is what a machine has printed since it was made.
func (l *Lab) Console(id string) string {
	raw, _ := os.ReadFile(l.console(id)) // none before its first boot
	return string(raw)
}

// Boots is how often a machine was started, by Boot or by its own reboot.
func (l *Lab) Boots(id string) int {
	if b := l.box(id); b != nil {
		return int(b.boots.Load())
	}
	return 0
}

// Machine is one as it was booted; empty without it.
func (l *Lab) Machine(id string) Machine {
	if b := l.box(id); b != nil {
		return b.m
	}
	return Machine{}
}

// IDs are the machines that there are, in order.
func (l *Lab) IDs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]string, 0, len(l.boxes))
	for id := range l.boxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Until looks again and again whether something is done, for at most the
// given time: machines have no way to tell a test.
func Until(ctx context.Context, most time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		if done() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-look.C:
		}
	}
}

func (l *Lab) box(id string) *box {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.boxes[id]
}

func (l *Lab) console(id string) string {
	return filepath.Join(l.run, "consoles", l.t.Name(), id+".log")
}

// end removes all machines. The consoles of a failed test are kept beside the
// image, and their ends shown.
func (l *Lab) end() {
	for _, id := range l.IDs() {
		if err := l.Remove(id); err != nil {
			l.t.Errorf("removing machine %s: %v", id, err)
		}
	}
	if !l.t.Failed() {
		return
	}
	all, _ := filepath.Glob(filepath.Join(l.run, "consoles", l.t.Name(), "*.log"))
	if len(all) == 0 {
		return
	}
	err := os.RemoveAll(l.logs)
	if err == nil {
		err = os.CopyFS(l.logs, os.DirFS(filepath.Dir(all[0])))
	}
	if err != nil {
		l.t.Logf("keeping the consoles: %v", err)
	}
	for _, name := range all {
		raw, _ := os.ReadFile(name)
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		l.t.Logf("the end of the console of %s (whole: %s):\n%s", strings.TrimSuffix(filepath.Base(name), ".log"),
			filepath.Join(l.logs, filepath.Base(name)), strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}
