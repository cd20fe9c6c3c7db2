package templates_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

var update = flag.Bool("update", false, "rewrite golden files")

func boot() orchestrator.Boot {
	return orchestrator.Boot{ServerID: "s1", URL: "https://berth.example.com", Token: "t0k\"en<>&", SaltVersion: "3008.3", CA: "-----BEGIN CERTIFICATE-----\nMII=\n"}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	text, err := templates.UserData(boot())
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "user-data.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Packed bytes differ between versions of gzip; what they hold does not.
	packed := regexp.MustCompile(`"H4sI[^"]*"`)
	want, err := os.ReadFile(golden)
	if err != nil || packed.ReplaceAllString(string(want), "…") != packed.ReplaceAllString(text, "…") {
		t.Errorf("user-data differs from %s (%v); run with -update to accept", golden, err)
	}
	if n := len(packed.FindAllString(text, -1)); n != 2 {
		t.Errorf("%d packed files", n)
	}
	if strings.Contains(text, "t0k") {
		t.Error("the token stands in clear text")
	}
	if again, err := templates.ParseUserData(text); err != nil || again != boot() {
		t.Errorf("read back: %+v, %v", again, err)
	}
}

func TestUserDataRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*orchestrator.Boot){
		"no server":            func(b *orchestrator.Boot) { b.ServerID = "" },
		"no token":             func(b *orchestrator.Boot) { b.Token = "" },
		"no address":           func(b *orchestrator.Boot) { b.URL = "" },
		"file address":         func(b *orchestrator.Boot) { b.URL = "file:///etc" },
		"address with a user":  func(b *orchestrator.Boot) { b.URL = "https://a:b@c" },
		"version with options": func(b *orchestrator.Boot) { b.SaltVersion = "3008 --index-url=x" },
	} {
		b := boot()
		change(&b)
		var e *orchestrator.Error
		if _, err := templates.UserData(b); !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidValue {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cloud takes 16 KB: with the longest chain that an authority plausibly has
// there is room left, and what is too much is refused in words.
func TestUserDataSize(t *testing.T) {
	t.Parallel()
	chain := func(n int) string { // certificates with RSA keys of 4096 bits and long names have about 1,600 bytes
		var out strings.Builder
		for range n {
			der := make([]byte, 1600)
			_, _ = rand.Read(der) // never fails
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
		}
		return out.String()
	}
	b := boot()
	b.CA = ""
	bare, err := templates.UserData(b)
	if err != nil {
		t.Fatal(err)
	}
	b.CA = chain(3)
	text, err := templates.UserData(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes; %d with a chain of three", len(bare), len(text))
	if len(bare) > 4<<10 || len(text) > 12<<10 {
		t.Errorf("user-data has %d bytes, %d with a chain", len(bare), len(text))
	}
	b.CA = chain(8)
	var e *orchestrator.Error
	if _, err := templates.UserData(b); !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidValue || !strings.Contains(e.Message, "16384") || !strings.Contains(e.Hint, "--tls-ca") {
		t.Errorf("too much: %v", err)
	}
}

func FuzzParseUserData(f *testing.F) {
	text, err := templates.UserData(boot())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("#cloud-config\n{}")
	f.Add("#cloud-config\nruncmd: []")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := templates.ParseUserData(text)
		if err != nil || len(b.CA) > 4<<10 { // more may be too much
			return
		}
		if _, err := templates.UserData(b); err != nil {
			t.Errorf("what was read cannot be rendered: %v", err)
		}
	})
}

func TestStates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b.sls", "b")
	write("a/init.sls", "a")
	write(".git/config", "no")
	if err := os.Symlink("../b.sls", filepath.Join(dir, "a", "link.sls")); err != nil {
		t.Fatal(err)
	}
	first, digest, err := templates.States(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := templates.States(dir)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("packing twice gives different bytes (%v)", err)
	}
	if sum := sha256.Sum256(first); hex.EncodeToString(sum[:]) != digest {
		t.Error("the digest is not the archive's")
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(first)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	want := []string{"0/", "0/a/", "0/a/init.sls", "0/a/link.sls", "0/b.sls", "1/", "1/app/", "1/app/init.sls"}
	if !slices.Equal(names, want) {
		t.Errorf("archive holds %q, want %q", names, want)
	}
	write("b.sls", "c")
	if _, other, err := templates.States(dir); err != nil || other == digest {
		t.Errorf("changed content keeps the digest (%v)", err)
	}
}

func TestStatesRefusesLinksOutside(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/etc/passwd", "../x", "a/../../x"} {
		dir := t.TempDir()
		if err := os.Symlink(target, filepath.Join(dir, "x.sls")); err != nil {
			t.Fatal(err)
		}
		var e *orchestrator.Error
		if _, _, err := templates.States(dir); !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidCatalog || !strings.Contains(e.Message, "x.sls") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, _, err := templates.States(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing folder is packed")
	}
	if _, _, err := templates.States(""); err != nil {
		t.Errorf("without a catalog's folder: %v", err)
	}
}
