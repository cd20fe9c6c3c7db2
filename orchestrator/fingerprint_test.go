package orchestrator_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-dev/berth/orchestrator"
)

// A telling text with a place for each kind of what changes: the braces name
// the generator that fills it.
var telling = []string{
	"make: *** [Makefile:{n}: build] Error 1",
	"{stamp} ERROR [worker-pool] cannot connect to db.internal:{port} after {took}",
	"{ansi}error{ansi}: src/cart.ts({n},{n}): Type 'string' is not assignable",
	"/tmp/pip-build-env-{random}/overlay/lib: pg_config executable not found",
	"Traceback: File \"/srv/app/stock.py\", line {n}, in load (pid {n})",
	"django: request {uuid} failed in {took}: relation stock does not exist",
	"fatal: bad object {commit} in /var/lib/berth/servers/{server}/checkout",
	"FAILED tests/test_cart.py::test_total - {n} failed, {n} passed in {took}",
	"npm error A complete log of this run can be found in: /root/.npm/_logs/{file}-debug-0.log",
	"operation {operation} of {environment}: nginx[{n}]: unknown directive upstream_x",
	"go-build{random9}/b001/exe: undefined reference to route_all at 0x{hex}",
	"{day} backup: pg_dump: connection to 10.0.0.{n1} refused ({n}/{n} tries, {size})",
	"listen tcp 127.0.0.1:{port}: bind: address already in use",
	"cannot create /tmp/{word}/cart.o: the worker (pid={n}) ended, see /tmp/cc{six}.s",
	"the mirror has been unreachable since {clock}, Running scope as unit: run-r{hex}.scope, port={port}",
	"parse error at line:{n} column:{n}-{n} of schema.graphql in /var/lib/berth/servers/{wordy}/checkout",
	"{time} app.rb:{n}:in `load': no such file config/stock.yml",
}

var hole = regexp.MustCompile(`\{(\w+)\}`)

func draw(t *rapid.T, kind string) string {
	from := func(form string) string { return rapid.StringMatching(form).Draw(t, kind) }
	n := func(low, high int) int { return rapid.IntRange(low, high).Draw(t, kind) }
	stamp := func(form string) string {
		return fmt.Sprintf(form, n(2020, 2030), n(1, 12), n(1, 28), n(0, 23), n(0, 59), n(0, 59), n(0, 999))
	}
	switch kind {
	case "n":
		return fmt.Sprint(n(1, 9999))
	case "n1":
		return "7" // another host is another cause
	case "port":
		return fmt.Sprint(n(1024, 65535))
	case "took":
		return rapid.SampledFrom([]string{fmt.Sprintf("%d ms", n(1, 999)), fmt.Sprintf("%d.%ds", n(0, 99), n(0, 99)), fmt.Sprintf("%dm%ds", n(1, 59), n(1, 59)),
			fmt.Sprintf("%d seconds", n(2, 99)), fmt.Sprintf("%d min", n(1, 99))}).Draw(t, kind)
	case "size":
		return fmt.Sprintf("%d.%d MB", n(0, 900), n(0, 9))
	case "stamp":
		return stamp(rapid.SampledFrom([]string{"%d-%02d-%02dT%02d:%02d:%02d.%03dZ", "%d-%02d-%02d %02d:%02d:%02d,%03d", "%d/%02d/%02d %02d:%02d:%02d.%03d"}).Draw(t, kind))
	case "file":
		return stamp("%d-%02d-%02dT%02d_%02d_%02d_%03dZ")
	case "day":
		return fmt.Sprintf("%s, %d %s %d %02d:%02d:%02d GMT", rapid.SampledFrom([]string{"Mon", "Thu"}).Draw(t, kind), n(1, 28),
			rapid.SampledFrom([]string{"Jan", "May", "Nov"}).Draw(t, kind), n(2020, 2030), n(0, 23), n(0, 59), n(0, 59))
	case "time":
		return fmt.Sprintf("%02d:%02d:%02d", n(0, 23), n(0, 59), n(0, 59))
	case "ansi":
		return rapid.SampledFrom([]string{"", "\x1b[31m", "\x1b[0;1m", "\x1b[K"}).Draw(t, kind)
	case "random":
		return from(`[a-z0-9_]{8}`)
	case "word":
		return from(`[a-z]{3,9}`)
	case "wordy":
		return from(`s[a-z]{12}`)
	case "six":
		return from(`[a-z]{6}`)
	case "clock":
		return fmt.Sprintf("%d:%02d", n(0, 23), n(0, 59))
	case "random9":
		return from(`[0-9]{9}`)
	case "uuid":
		return from(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	case "commit":
		return from(`[0-9a-f]{40}`)
	case "hex":
		return from(`[0-9a-f]{4,12}`)
	case "server", "environment", "operation":
		return kind[:1] + from(`[a-z2-7]{12}`)
	}
	t.Fatalf("nothing makes %q", kind)
	return ""
}

// TestFingerprintIsSteady: what differs between two runs that fail alike makes
// no other cause of it.
func TestFingerprintIsSteady(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(telling).Draw(t, "text")
		once := func() (string, string) {
			ids := []string{draw(t, "environment"), draw(t, "operation"), draw(t, "server")}
			said := hole.ReplaceAllStringFunc(text, func(h string) string {
				switch kind := h[1 : len(h)-1]; kind {
				case "environment":
					return ids[0]
				case "operation":
					return ids[1]
				case "server":
					return ids[2]
				default:
					return draw(t, kind)
				}
			})
			return said, orchestrator.Fingerprint("command_failed", "api", said, ids...)
		}
		a, first := once()
		b, second := once()
		if first != second {
			t.Fatalf("%s and %s:\n%q\n%q", first, second, a, b)
		}
		if !regexp.MustCompile(`^[a-z2-7]{10}$`).MatchString(first) {
			t.Fatalf("%q is no fingerprint", first)
		}
	})
}

// TestFingerprintTells: another package, host, file, app or code is another
// cause.
func TestFingerprintTells(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z]{3,6}[g-z]`)
		words := rapid.SliceOfNDistinct(name, 2, 2, rapid.ID).Draw(t, "words")
		form := rapid.SampledFrom([]string{
			`The package "%s" is not available to the server.`,
			`Could not resolve host: git.%s.internal`,
			`src/%s.py:12: SyntaxError: invalid syntax`,
			`There is no branch "feature/%s-2" in the repository "shop".`,
			`lib%s-dev=1.2.3 has no installation candidate`,
			`%s==4.2.1: no matching distribution found`,
			`/var/lib/%s is not writable`,
		}).Draw(t, "form")
		a, b := fmt.Sprintf(form, words[0]), fmt.Sprintf(form, words[1])
		print := func(code, app, text string) string { return orchestrator.Fingerprint(code, app, text, "e2aaaaaaaaaaa") }
		if print("x", "api", a) == print("x", "api", b) {
			t.Fatalf("the same for\n%s\n%s", a, b)
		}
		if print("x", words[0], a) == print("x", words[1], a) || print(words[0], "api", a) == print(words[1], "api", a) {
			t.Fatal("the app or the code does not count")
		}
	})
	for _, c := range [][2]string{
		{"flask==99.1 does not exist", "flask==98.1 does not exist"},
		{"Python 3.8 is too old", "Python 3.9 is too old"},
		{"image postgres:16 not found", "image postgres:17 not found"},
		{"the image ami-0badc0de0badc0de0 does not exist", "the image ami-0badc0de0badc0de1 does not exist"},
		{"it answered HTTP 404", "it answered HTTP 500"},
		{"exit status 137", "exit status 2"},
		{"connection to 10.0.0.5 refused", "connection to 10.0.0.6 refused"},
		{"error TS2322: wrong type", "error TS2345: wrong type"},
		{"worker-1 died", "worker-2 died"},
	} {
		if a, b := orchestrator.Fingerprint("x", "", c[0]), orchestrator.Fingerprint("x", "", c[1]); a == b {
			t.Errorf("%q and %q are one", c[0], c[1])
		}
	}
}

// FuzzFingerprint: whatever programs print, a fingerprint comes of it, and
// space between words makes no difference.
func FuzzFingerprint(f *testing.F) {
	for _, text := range telling {
		f.Add(text, "qa")
	}
	f.Fuzz(func(t *testing.T, text, known string) {
		a := orchestrator.Fingerprint("x", "api", text, known)
		if len(a) != 10 {
			t.Errorf("%q", a)
		}
		if known == "" && !strings.ContainsAny(text, "\x1b") && a != orchestrator.Fingerprint("x", "api", "  "+text+"\n", known) {
			t.Errorf("space counts in %q", text)
		}
	})
}
