package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
	"github.com/berth-dev/berth/templates"
	"github.com/berth-dev/berth/testdata/machines"
)

// First starts that fail are recorded anew, into testdata/first-start, with
//
//	BERTH_WORK=$PWD/.berth go test ./testdata/e2e -run TestRecordFirstStarts -record .
//
// on real machines. What is true of each is written by hand below; package
// diagnose's tests read what was recorded.
var record = flag.String("record", "", "record the first starts whose names match")

// firstStart is a first start that fails, and why it does.
type firstStart struct {
	name, note string
	boot       func(*orchestrator.Boot)                      // changes what the machine is told
	answer     func(http.ResponseWriter, *http.Request) bool // Berth's other answer; false: the usual one
	from       time.Time                                     // since when Berth's certificate holds; zero: since an hour ago
	strange    bool                                          // Berth's certificate is another authority's
	userData   func(string) string                           // what becomes of the user-data
	prepare    func(root string) error                       // changes the machine's disk
	// log is what ops would look at, read in the machine; until says when it is
	// all there. By default cloud-init's output.
	log   []string
	until string

	code, who string
	alsoCodes []string
	must      []any
}

var (
	journalOfAgent = []string{"journalctl", "-b", "--no-pager", "-u", "berth-agent"}
	statusOfCloud  = []string{"sh", "-c", "cloud-init status --long || true"}
	ofCloudInit    = []string{"cat", "/var/log/cloud-init.log"}
)

// mounted adds a mount to the machine.
func mounted(line string) func(string) error {
	return func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, "etc/fstab"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, line)
		if e := f.Close(); err == nil {
			err = e
		}
		return err
	}
}

func status(path string, code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, path) {
			return false
		}
		http.Error(w, http.StatusText(code), code)
		return true
	}
}

var firstStarts = []firstStart{
	{name: "user-data-yaml", note: "a user-data template of the team's own with a slip in it", userData: func(string) string {
		return "#cloud-config\nruncmd:\n- [echo, one\n write_files: {\n"
	}, log: ofCloudInit, until: "Failed loading yaml blob", code: "module_invalid", who: "ops"},
	{name: "user-data-yaml-output", note: "the same, as cloud-init prints it", userData: func(string) string {
		return "#cloud-config\nruncmd:\n- [echo, one\n write_files: {\n"
	}, until: "finished at", code: "module_invalid", who: "ops"},
	{name: "user-data-header", note: "user-data that begins with no word that cloud-init knows", userData: func(string) string {
		return "runcmd:\n- [berth]\n"
	}, until: "finished at", code: "module_invalid", who: "ops"},
	{name: "user-data-command", note: "a user-data template that calls what the image has not", userData: func(string) string {
		return "#cloud-config\nruncmd:\n- docker compose up\n"
	}, until: "finished at", code: "command_failed", who: "ops", must: []any{"docker"}},
	{name: "user-data-script", note: "user-data that is a script, and fails without a word", userData: func(string) string {
		return "#!/bin/sh\nexit 3\n"
	}, until: "finished at", code: "command_failed", who: "ops"},
	{name: "user-data-script-status", note: "the same, by cloud-init status --long", userData: func(string) string {
		return "#!/bin/sh\nexit 3\n"
	}, log: statusOfCloud, until: "status: error", code: "command_failed", who: "ops"},
	{name: "no-data-source", note: "the cloud's metadata service does not answer", prepare: func(root string) error {
		return os.RemoveAll(filepath.Join(root, "var/lib/cloud/seed"))
	}, log: statusOfCloud, until: "DataSourceNone", code: "start_data_missing", who: "ops"},
	{name: "no-data-source-output", note: "the same, as cloud-init prints it", prepare: func(root string) error {
		return os.RemoveAll(filepath.Join(root, "var/lib/cloud/seed"))
	}, until: "finished at", code: "start_data_missing", who: "ops"},
	{name: "cloud-init-disabled", note: "an image in which cloud-init is switched off", prepare: func(root string) error {
		return os.WriteFile(filepath.Join(root, "etc/cloud/cloud-init.disabled"), nil, 0o644)
	}, log: statusOfCloud, until: "status: disabled", code: "start_data_missing", who: "ops"},
	{name: "berth-down", note: "nothing listens at Berth's address", boot: func(b *orchestrator.Boot) {
		b.URL = "https://" + net.JoinHostPort(machines.Gateway.String(), "1")
	}, until: "trying again in 4 s", code: "cloud_unreachable", who: "retry", must: []any{"refused"}},
	{name: "berth-no-way", note: "no way leads to Berth's address", boot: func(b *orchestrator.Boot) { b.URL = "https://192.0.2.7:7878" },
		until: "trying again in 4 s", code: "cloud_unreachable", who: "retry", must: []any{"unreachable"}},
	{name: "berth-unknown-name", note: "no name server knows Berth's name", boot: func(b *orchestrator.Boot) { b.URL = "https://berth.example.com" },
		until: "trying again in 4 s", code: "cloud_unreachable", who: "retry", must: []any{"berth.example.com"}},
	{name: "berth-strange-certificate", note: "Berth, or somebody in between, shows a certificate of another authority", strange: true,
		until: "cannot fetch the agent", code: "cloud_unreachable", who: "ops", must: []any{"certificate"}},
	{name: "berth-certificate-to-come", note: "the machine's clock is behind", from: time.Now().Add(48 * time.Hour),
		until: "cannot fetch the agent", code: "clock_wrong", who: "ops"},
	{name: "berth-busy", note: "a proxy before Berth answers 503", answer: status("/binary/", http.StatusServiceUnavailable),
		until: "trying again in 4 s", code: "download_refused", who: "retry", must: []any{"503"}},
	{name: "berth-no-agent", note: "Berth has no agent for this kind of machine", answer: status("/binary/", http.StatusNotFound),
		until: "trying again in 4 s", code: "download_refused", who: "ops", must: []any{"linux-amd64"}},
	{name: "berth-other-agent", note: "the agent does not match its checksum", answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".sha256") {
			return false
		}
		fmt.Fprintf(w, "%x  berth\n", sha256.Sum256([]byte("another")))
		return true
	}, until: "trying again in 4 s", code: "checksum_mismatch", who: "ops"},
	{name: "disk-full", note: "a disk too small for the agent", prepare: mounted("tmpfs /usr/local/bin tmpfs size=4m 0 0"),
		until: "trying again in 4 s", code: "disk_full", who: "ops"},
	{name: "disk-read-only", note: "an image that lets nobody write programs", prepare: mounted("tmpfs /usr/local/bin tmpfs ro 0 0"),
		until: "trying again in 4 s", code: "permission_denied", who: "ops", must: []any{"/usr/local/bin"}},
	{name: "enrolment-refused", note: "the token was used already", answer: status("/enrol", http.StatusForbidden),
		log: journalOfAgent, until: "trying again", code: "enrolment_refused", who: "ops"},
	{name: "enrolment-busy", note: "Berth falls over after the agent was fetched", answer: status("/enrol", http.StatusBadGateway),
		log: journalOfAgent, until: "trying again", code: "cloud_unreachable", who: "retry"},
}

// TestRecordFirstStarts records what a machine's logs say after a first start
// that failed, and whether it is told truly.
func TestRecordFirstStarts(t *testing.T) {
	if *record == "" {
		t.Skip("-record says which first starts to record")
	}
	match := regexp.MustCompile(*record)
	two := make(chan struct{}, 2) // so many machines at once
	for i, s := range firstStarts {
		if !match.MatchString(s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			s.record(t, netip.AddrFrom4([4]byte{10, 20, 0, byte(i + 2)}))
		})
	}
}

func (s firstStart) record(t *testing.T, at netip.Addr) {
	lab := machines.New(t)
	if s.prepare != nil {
		lab.Prepare = func(_ machines.Machine, root string) error { return s.prepare(root) }
	}
	url, ca := s.berth(t)
	boot := orchestrator.Boot{ServerID: "srecorded", URL: url, Token: "a-token-for-nothing", SaltVersion: "3008.3", CA: ca}
	if s.boot != nil {
		s.boot(&boot)
	}
	userData, err := templates.UserData(boot)
	if err != nil {
		t.Fatal(err)
	}
	if s.userData != nil {
		userData = s.userData(userData)
	}
	if err := lab.Boot(machines.Machine{ID: "web", PrivateIP: at, UserData: []byte(userData)}); err != nil {
		t.Fatal(err)
	}
	read := s.log
	if read == nil {
		read = []string{"cat", "/var/log/cloud-init-output.log"}
	}
	text := ""
	if !machines.Until(t.Context(), patience, func() bool {
		text, err = lab.Exec(t.Context(), "web", read...)
		return err == nil && strings.Contains(text, s.until)
	}) {
		t.Fatalf("its log does not come to %q: %v\n%s", s.until, err, text)
	}
	truth := diagnosetest.Truth{Outcome: orchestrator.OutcomeFailed, Causes: []diagnosetest.TrueCause{{Code: s.code, Who: s.who, AlsoOKCodes: s.alsoCodes, MustMention: s.must}}}
	d := diagnose.Any([]byte(text), nil, 0)
	if wrong := diagnosetest.Judge(truth, d); len(wrong) > 0 {
		t.Errorf("it is told wrongly: %s\n%+v\n%s", wrong, d, text)
	}
	dir := filepath.Join("..", "first-start", s.name)
	meta, err := json.MarshalIndent(struct {
		Causes  []diagnosetest.TrueCause `json:"causes"`
		Exit    int                      `json:"exit"`
		Note    string                   `json:"note"`
		Outcome orchestrator.Outcome     `json:"outcome"`
		Log     string                   `json:"log"`
	}{truth.Causes, 0, s.note, truth.Outcome, strings.Join(read, " ")}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"result.json": text, "stderr.txt": "", "meta.json": string(meta) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// berth is a Berth that gives machines the real agent and nothing more.
func (s firstStart) berth(t *testing.T) (url, ca string) {
	t.Helper()
	since := s.from
	if since.IsZero() {
		since = time.Now().Add(-time.Hour)
	}
	issue := func() (tls.Certificate, string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: since, NotAfter: since.AddDate(1, 0, 0), IPAddresses: []net.IP{machines.Gateway.AsSlice()},
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	shown, ca := issue()
	if s.strange {
		_, ca = issue()
	}
	program, err := os.ReadFile(os.Getenv(programVariable))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(machines.Gateway.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{shown}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case s.answer != nil && s.answer(w, r):
			case strings.HasSuffix(r.URL.Path, ".sha256"):
				fmt.Fprintf(w, "%x  berth\n", sha256.Sum256(program))
			case strings.Contains(r.URL.Path, "/binary/"):
				_, _ = w.Write(program) // a machine that goes away is no failure
			default:
				http.NotFound(w, r)
			}
		})}
	go func() { _ = server.ServeTLS(listener, "", "") }() // until it is closed
	t.Cleanup(func() { server.Close() })
	return "https://" + listener.Addr().String(), ca
}
