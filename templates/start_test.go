package templates_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/testdata/executable"
)

// depot serves agents as Berth does, over TLS with an authority of its own.
type depot struct {
	*httptest.Server
	ca string

	mu      sync.Mutex
	content string
	answer  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	asked   int
}

func newDepot(t *testing.T) *depot {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	d := &depot{ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), content: "#!/bin/sh\necho the agent\n"}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(d.serve))
	d.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

func (d *depot) requests() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *depot) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.answer != nil && d.answer(w, r) {
		return
	}
	switch r.URL.Path {
	case "/agent/v1/binary/linux-" + runtime.GOARCH:
		_, _ = io.WriteString(w, d.content)
	case "/agent/v1/binary/linux-" + runtime.GOARCH + ".sha256":
		fmt.Fprintf(w, "%x  linux-%s\n", sha256.Sum256([]byte(d.content)), runtime.GOARCH)
	default:
		http.NotFound(w, r)
	}
}

// machine is a folder that stands for a machine's root, with a systemctl that
// only notes how it was called.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T, boot map[string]string) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"etc/berth", "etc/systemd/system", "bin"} {
		if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(boot)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("user-data/start.py")
	if err != nil {
		t.Fatal(err)
	}
	// The same script, below the folder and with a clock that only its own
	// pauses move.
	text := strings.NewReplacer(`"/etc/`, `"`+m.root+`/etc/`, `"/usr/local/`, `"`+m.root+`/usr/local/`, "LIMIT = 15", "_at = [0]\ntime.monotonic = lambda: _at[0]\ntime.sleep = lambda s: _at.__setitem__(0, _at[0] + s)\nLIMIT = 15").Replace(string(script))
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"etc/berth/agent.json": {string(raw), 0o600}, "etc/berth/start.py": {text, 0o644},
	} {
		if err := os.WriteFile(filepath.Join(m.root, name), []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	executable.Write(t, filepath.Join(m.root, "bin/systemctl"), "#!/bin/sh\necho \"systemctl $*\" >>"+m.root+"/calls\n")
	return m
}

// start runs the script as user-data's runcmd does.
func (m *machine) start(args ...string) (said string, ok bool) {
	m.t.Helper()
	cmd := exec.Command("python3", append([]string{filepath.Join(m.root, "etc/berth/start.py")}, args...)...)
	cmd.Env = []string{"PATH=" + filepath.Join(m.root, "bin") + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func (m *machine) read(name string) string {
	raw, _ := os.ReadFile(filepath.Join(m.root, name))
	return string(raw)
}

const program = "usr/local/bin/berth"

// The agent comes from the pinned Berth alone, whole and checked, and is
// started by a unit that a restart of the machine finds too.
func TestStart(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	m := newMachine(t, map[string]string{"url": d.URL, "ca": d.ca})
	said, ok := m.start()
	if !ok || m.read(program) != d.content || !strings.Contains(said, "berth: the agent is installed and runs") {
		t.Fatalf("%v: %s\n%s", ok, said, m.read(program))
	}
	if info, err := os.Stat(filepath.Join(m.root, program)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the program's mode: %v, %v", info, err)
	}
	unit := m.read("etc/systemd/system/berth-agent.service")
	for _, want := range []string{"ExecStartPre=/", "/etc/berth/start.py fetch\n", "ExecStart=" + m.root + "/usr/local/bin/berth agent run --dir /var/lib/berth --boot " + m.root + "/etc/berth/agent.json --systemd\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q:\n%s", want, unit)
		}
	}
	if got := m.read("calls"); got != "systemctl daemon-reload\nsystemctl enable berth-agent.service\nsystemctl restart berth-agent.service\n" {
		t.Errorf("called:\n%s", got)
	}
	// A program that is there is not fetched again, and its unit does not even
	// ask; one of another Berth's is replaced.
	asked := d.requests()
	if said, ok := m.start(); !ok || d.requests() != asked+1 {
		t.Errorf("again: %d requests, %s", d.requests()-asked, said)
	}
	if said, ok := m.start("fetch"); !ok || d.requests() != asked+1 {
		t.Errorf("by its unit: %d requests, %s", d.requests()-asked, said)
	}
	const newer = "#!/bin/sh\necho a newer agent\n"
	d.mu.Lock()
	d.content = newer
	d.mu.Unlock()
	if said, ok := m.start(); !ok || m.read(program) != newer {
		t.Errorf("a newer one: %s", said)
	}
}

func TestStartTrouble(t *testing.T) {
	t.Parallel()
	d, stranger := newDepot(t), newDepot(t)
	once := func(f func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		done := false
		return func(w http.ResponseWriter, r *http.Request) bool {
			was := done
			if !was {
				f(w, r)
			}
			done = true
			return !was
		}
	}
	for _, c := range []struct {
		name   string
		boot   map[string]string
		answer func(http.ResponseWriter, *http.Request) bool
		ok     bool
		says   string
	}{
		{"another authority", map[string]string{"url": stranger.URL, "ca": d.ca}, nil, false, "CERTIFICATE_VERIFY_FAILED"},
		{"another name", map[string]string{"url": strings.Replace(d.URL, "127.0.0.1", "localhost", 1), "ca": d.ca}, nil, false, "CERTIFICATE_VERIFY_FAILED"},
		{"not https", map[string]string{"url": "http://127.0.0.1:1", "ca": d.ca}, nil, false, "refusing to fetch the agent from http://127.0.0.1:1: not https"},
		{"nobody there", map[string]string{"url": "https://127.0.0.1:1", "ca": d.ca}, nil, false, "giving up after 15 minutes: cannot fetch the agent from https://127.0.0.1:1: [Errno 111] Connection refused"},
		{"restarts", map[string]string{"url": d.URL, "ca": d.ca}, once(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), true, "trying again in 1 s: cannot fetch the agent from " + d.URL + ": the other side answered 503"},
		{"no agent", map[string]string{"url": d.URL, "ca": d.ca}, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true }, false, "Berth has no agent for linux-" + runtime.GOARCH},
		{"sends elsewhere", map[string]string{"url": d.URL, "ca": d.ca}, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, stranger.URL+r.URL.Path, http.StatusFound)
			return true
		}, false, "the other side answered 302"},
		{"breaks off", map[string]string{"url": d.URL, "ca": d.ca}, func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, ".sha256") {
				return false
			}
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, "#!/bin/sh\n")
			return true
		}, false, "cannot fetch the agent"},
		{"other bytes", map[string]string{"url": d.URL, "ca": d.ca}, func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, ".sha256") {
				return false
			}
			_, _ = io.WriteString(w, "#!/bin/sh\nrm -rf /\n")
			return true
		}, false, "the agent's checksum did not match"},
		{"no checksum", map[string]string{"url": d.URL, "ca": d.ca}, func(w http.ResponseWriter, _ *http.Request) bool { return true }, false, "cannot fetch the agent"},
	} {
		m := newMachine(t, c.boot)
		d.mu.Lock()
		d.answer = c.answer
		d.mu.Unlock()
		said, ok := m.start()
		if ok != c.ok || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v\n%s", c.name, ok, said)
		}
		if c.ok {
			continue
		}
		if left, _ := os.ReadDir(filepath.Join(m.root, "usr/local/bin")); len(left) > 0 {
			t.Errorf("%s: it left %v", c.name, left)
		}
		// Its unit goes on, and comes back after a restart.
		if calls := m.read("calls"); !strings.Contains(calls, "enable berth-agent.service") || !strings.Contains(calls, "start --no-block berth-agent.service") {
			t.Errorf("%s: called\n%s", c.name, calls)
		}
	}
}
