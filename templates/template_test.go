package templates_test

import (
	cryptorand "crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

const ownTemplate = `#cloud-config
packages: [htop]
write_files:
  - path: /etc/berth/agent.json
    permissions: "0600"
    encoding: gz+b64
    content: "{{ berth.boot }}"
  - path: /etc/berth/start.py
    encoding: gz+b64
    content: {{berth.start}}
runcmd:
  - echo ours
  - [python3, /etc/berth/start.py]
`

func ofMIME(config string) string {
	return "Content-Type: multipart/mixed; boundary=\"==b==\"\nMIME-Version: 1.0\n\n--==b==\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: 7bit\n\n" + config +
		"\n--==b==\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho ours\n\n--==b==--\n"
}

func save(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "user-data.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// Ops' own template takes what Berth gives as data, whatever is in it.
func TestTemplate(t *testing.T) {
	t.Parallel()
	own, err := templates.UserData(boot())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cloud-config": ownTemplate, "MIME": ofMIME(ownTemplate)} {
		got, err := templates.UserDataFrom(save(t, text), boot())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, packed := range regexp.MustCompile(`H4sI[A-Za-z0-9+/=]*`).FindAllString(own, -1) {
			if !strings.Contains(got, packed) {
				t.Errorf("%s: it lacks a file of Berth's own user-data:\n%s", name, got)
			}
		}
		if strings.Contains(got, "{{") || !strings.Contains(got, "echo ours") || strings.Contains(got, "t0k") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	if got, err := templates.UserDataFrom("", boot()); err != nil || got != own {
		t.Errorf("without a template: %v", err)
	}
}

func TestTemplateRefuses(t *testing.T) {
	t.Parallel()
	change := func(old, new string) string { return strings.Replace(ownTemplate, old, new, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"no boot":              {change(`"{{ berth.boot }}"`, "x"), "it has no {{ berth.boot }}"},
		"no start":             {change(`{{berth.start}}`, "x"), "it has no {{ berth.start }}"},
		"unknown":              {ownTemplate + "x: {{ berth.token }}\n", "{{ berth.token }}, which Berth does not know"},
		"no YAML":              {change("runcmd:", "runcmd: ["), "it is no valid cloud-config: "},
		"not the file":         {change("/etc/berth/agent.json", "/etc/berth/boot.json"), "its write_files make no /etc/berth/agent.json"},
		"in a comment":         {change("    content: {{berth.start}}", "    # {{berth.start}}"), "/etc/berth/start.py must hold its placeholder"},
		"the wrong encoding":   {change("gz+b64", "b64"), `needs the encoding gz+b64, not "b64"`},
		"open to everybody":    {change(`    permissions: "0600"`+"\n", ""), `needs permissions: "0600"`},
		"more in the file":     {change(`{{ berth.boot }}"`, `{{ berth.boot }}AAAA"`), "must hold its placeholder and nothing else"},
		"never run":            {change("  - [python3, /etc/berth/start.py]\n", ""), "nothing in it runs /etc/berth/start.py"},
		"run in a comment":     {change("  - [python3, /etc/berth/start.py]", "  # - [python3, /etc/berth/start.py]"), "nothing in it runs /etc/berth/start.py"},
		"run in no script":     {strings.Replace(ofMIME(change("  - [python3, /etc/berth/start.py]\n", "")), "echo ours\n\n--", "# python3 /etc/berth/start.py\n\n--", 1), "nothing in it runs /etc/berth/start.py"},
		"a script":             {"#!/bin/sh\necho {{ berth.boot }} {{ berth.start }}\n", "begins neither with #cloud-config nor as a MIME message"},
		"another MIME form":    {"Content-Type: text/plain\n\n{{ berth.boot }} {{ berth.start }}\n", "begins neither with #cloud-config"},
		"MIME in base64":       {strings.Replace(ofMIME(ownTemplate), "7bit", "base64", 1), "transfer encoding base64"},
		"MIME that breaks off": {strings.Replace(ofMIME(ownTemplate), "--==b==--", "", 1), "its MIME parts cannot be read"},
		"too large":            {ownTemplate + "# " + strings.Repeat("x", templates.MaxUserData) + "\n", "clouds take 16384"},
	} {
		var e *orchestrator.Error
		if err := templates.CheckTemplate(save(t, c.text)); !errors.As(err, &e) || e.Hint == "" || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := templates.CheckTemplate("/nowhere/user-data.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere/user-data.yaml cannot be read (no such file or directory)") {
		t.Errorf("no file: %v", err)
	}
}

// What validate takes, a server's own token and a certificate of Berth's do not
// make too large.
func TestTemplateSize(t *testing.T) {
	t.Parallel()
	der := make([]byte, 420)
	_, _ = cryptorand.Read(der) // never fails
	b := orchestrator.Boot{ServerID: "s7dk3mq4x2abcdef", URL: "https://berth.validate.example.com:7878", Token: cryptorand.Text(), SaltVersion: "3008.3",
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	bare, err := templates.UserDataFrom(save(t, ownTemplate), b)
	if err != nil {
		t.Fatal(err)
	}
	// As much of ops' own as fits beside that, byte for byte.
	room := templates.MaxUserData - len(bare) - len("# \n")
	if text, err := templates.UserDataFrom(save(t, ownTemplate+"# "+strings.Repeat("x", room)+"\n"), b); err != nil || len(text) != templates.MaxUserData {
		t.Errorf("%d bytes: %v", len(text), err)
	}
	tooLong := save(t, ownTemplate+"# "+strings.Repeat("x", room+1)+"\n")
	if _, err := templates.UserDataFrom(tooLong, b); err == nil || !strings.Contains(err.Error(), "16385 bytes") {
		t.Errorf("a byte too much: %v", err)
	}
	if err := templates.CheckTemplate(tooLong); err == nil {
		t.Error("validate takes a template with which no server can be made")
	}
}

// The template that the documentation shows works as it stands there.
func TestTemplateOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/user-data.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(#cloud-config\n.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/user-data.md shows no template")
	}
	for _, b := range blocks {
		if err := templates.CheckTemplate(save(t, b[1])); err != nil {
			t.Errorf("%v:\n%s", err, b[1])
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(ownTemplate)
	f.Add(ofMIME(ownTemplate))
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = templates.UserDataFrom(save(t, text), boot())
	})
}
