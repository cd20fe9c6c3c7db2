package app

import (
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/orchestrator"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// Berth's own authority is made once, and what it shows is believed by who pins
// it, for the hosts that it is for, and is made anew before its end.
func TestAuthority(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	at := time.Now()
	clock := func() time.Time { return at }
	open := func() *authority {
		t.Helper()
		a, err := openAuthority(data, []string{"berth.example.com", "10.0.0.5"}, clock, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := open()
	if again := open(); again.pem() != a.pem() {
		t.Error("the next start makes another authority")
	}
	if raw, err := os.ReadFile(authorityPath(data)); err != nil || string(raw) != a.pem() {
		t.Errorf("the certificate's file holds %q, %v", raw, err)
	}
	if info, err := os.Stat(filepath.Join(data, "tls", authorityKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info.Mode(), err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.pem()))
	believed := func(host string) error {
		shown, err := a.current(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = shown.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at})
		return err
	}
	for _, host := range []string{"berth.example.com", "10.0.0.5"} {
		if err := believed(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := believed("elsewhere.example.com"); err == nil {
		t.Error("it is for any host")
	}
	first, _ := a.current(nil)
	at = at.Add(leafLife - leafRenewal - time.Minute)
	if now, _ := a.current(nil); now != first {
		t.Error("it is renewed too early")
	}
	for range 59 { // all through its ten years
		at = at.Add(60 * 24 * time.Hour)
		if err := believed("berth.example.com"); err != nil {
			t.Fatalf("after %v: %v", at, err)
		}
	}
	at = a.cert.NotAfter
	if _, err := openAuthority(data, nil, clock, quiet); err == nil || !strings.Contains(err.Error(), "come to its end") {
		t.Errorf("after its end: %v", err)
	}
}

func TestAuthorityDamaged(t *testing.T) {
	t.Parallel()
	for _, name := range []string{authorityCert, authorityKey} {
		for what, damage := range map[string]func(string) error{
			"gone": os.Remove, "emptied": func(name string) error { return os.Truncate(name, 0) },
		} {
			data := t.TempDir()
			if _, err := openAuthority(data, []string{"x"}, time.Now, quiet); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(data, "tls", name)); err != nil {
				t.Fatal(err)
			}
			var e *orchestrator.Error
			if _, err := openAuthority(data, []string{"x"}, time.Now, quiet); !errors.As(err, &e) || !strings.Contains(e.Message, name) || !strings.Contains(e.Hint, "backup") {
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
	}
}

func TestOwnHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		public, listen string
		want           string // or a part of what it is refused with
	}{
		{"https://berth.example.com", "0.0.0.0:443", "127.0.0.1 ::1 berth.example.com localhost"},
		{"https://10.0.0.5:7878", "10.0.0.5:7878", "10.0.0.5 127.0.0.1 ::1 localhost"},
		{"https://berth:7878", "[fd00::5]:7878", "127.0.0.1 ::1 berth fd00::5 localhost"},
		{"https://[::]:7878", "[::]:7878", "--public-url"},
		{"https://0.0.0.0", "0.0.0.0:443", "--public-url"},
		{"http://berth.example.com", "0.0.0.0:443", "--public-url"},
	} {
		got, err := ownHosts(c.public, c.listen)
		var e *orchestrator.Error
		if errors.As(err, &e) {
			if !strings.Contains(e.Hint, c.want) {
				t.Errorf("%s on %s: %v", c.public, c.listen, e)
			}
		} else if strings.Join(got, " ") != c.want {
			t.Errorf("%s on %s: %q", c.public, c.listen, got)
		}
	}
}

// Who listens beyond this machine needs no certificate, but Slack would not
// believe Berth's own.
func TestCheckListen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    serveOptions
		own  bool
		want string // a part of what it is refused with
	}{
		{serveOptions{Listen: "127.0.0.1:0"}, false, ""},
		{serveOptions{Listen: "localhost:1"}, false, ""},
		{serveOptions{Listen: "[::1]:1"}, false, ""},
		{serveOptions{Listen: "0.0.0.0:1"}, true, ""},
		{serveOptions{Listen: ":1"}, true, ""},
		{serveOptions{Listen: "10.0.0.5:1"}, true, ""},
		{serveOptions{Listen: "10.0.0.5:1", BehindProxy: true}, false, ""},
		{serveOptions{Listen: "10.0.0.5:1", TLSCert: "a", TLSKey: "b", TLSCA: "c"}, false, ""},
		{serveOptions{Listen: "10.0.0.5:1", TLSCA: "c"}, true, "--tls-ca"},
		{serveOptions{Listen: "10.0.0.5:1", Secrets: secrets{SlackSigningSecret: "x"}}, true, "Slack would call Berth"},
		{serveOptions{Listen: "10.0.0.5:1", Secrets: secrets{SlackSigningSecret: "x", SlackAppToken: "y"}}, true, ""},
		{serveOptions{Listen: "127.0.0.1:0", PublicURL: "http://berth.example.com"}, false, "unencrypted"},
		{serveOptions{Listen: "10.0.0.5:1", PublicURL: "http://10.0.0.9:80", BehindProxy: true}, false, "unencrypted"},
		{serveOptions{Listen: "127.0.0.1:0", PublicURL: "http://127.0.0.1:0"}, false, ""},
		{serveOptions{Listen: "10.0.0.5:1", PublicURL: "https://berth.example.com", BehindProxy: true}, false, ""},
		{serveOptions{Listen: "nowhere"}, false, "no address"},
		{serveOptions{Listen: "127.0.0.1:22x"}, false, "no address"},
		{serveOptions{Listen: "127.0.0.1:65536"}, false, "no address"},
	} {
		err := checkListen(c.o)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
		if c.o.Listen != "nowhere" && ownAuthority(c.o) != c.own {
			t.Errorf("%+v: own authority %v", c.o, !c.own)
		}
	}
}

// A client believes the authority of BERTH_CA, and nobody else then.
func TestClientAuthority(t *testing.T) {
	t.Parallel()
	ours, err := openAuthority(t.TempDir(), []string{"127.0.0.1"}, time.Now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openAuthority(t.TempDir(), []string{"127.0.0.1"}, time.Now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// As serve does it: httptest would show a certificate of its own.
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }),
		TLSConfig: ours.config(), ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError)}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ca, want string }{
		{ours.path, ""},
		{other.path, "cannot prove that it is Berth"},
		{"", "cannot prove that it is Berth"},
		{empty, "holds no certificate"},
		{"/nowhere/ca.pem", "cannot be read"},
	} {
		_, err := client.URL("https://"+listener.Addr().String(), "t", c.ca).Names(t.Context())
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("BERTH_CA=%s: %v", c.ca, err)
		}
	}
}
