package orchestrator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

func TestMasker(t *testing.T) {
	t.Parallel()
	mask := orchestrator.Masker(map[string]string{"GREETING": "hello", "API_TOKEN": "abc", "DATABASE": "s3cr3t+value/", "LONG": "s3cr3t+value/and-more", "PORT": "80808080"}, []string{"PORT"})
	for in, want := range map[string]string{
		"hello":                                "hello",
		"token abc.":                           "token ••••.",
		"db s3cr3t+value/ ok":                  "db •••• ok",
		"q=s3cr3t%2Bvalue%2F":                  "q=••••",
		"czNjcjN0K3ZhbHVlLw==":                 "••••",
		"s3cr3t+value/and-more":                "••••",
		"port 80808080":                        "port 80808080",
		"https://u:pw@host/x and ssh://git@h/": "https://u:••••@host/x and ssh://git@h/",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}

// However a program encodes a secret, nothing of it that could be read back
// stays.
func TestMaskerEncodings(t *testing.T) {
	t.Parallel()
	const secret = "pä\"ss/<w>ö&rd?%"
	mask := orchestrator.Masker(map[string]string{"PASSWORD": secret, "PEM": "-----BEGIN-----\nMIIEpAIBAAKCAQEA\n-----END-----\n"}, nil)
	upper := url.QueryEscape(secret)
	lower := regexp.MustCompile("%..").ReplaceAllStringFunc(upper, strings.ToLower)
	plain, _ := json.Marshal(secret)
	for _, in := range []string{secret, upper, lower, url.PathEscape(secret), string(plain), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
		base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), "key MIIEpAIBAAKCAQEA."} {
		if got := mask(in); strings.Trim(got, `"`) != "••••" && got != "key ••••." {
			t.Errorf("mask(%q) = %q", in, got)
		}
	}
	for _, before := range []string{"", "u", "u:", "usr", "user:"} {
		for _, after := range []string{"", "x", "xy", "xyz"} {
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				in := e.EncodeToString([]byte(before + secret + after))
				// What is left are the neighbours' characters.
				if got := mask("Basic " + in); !strings.Contains(got, "••••") || len(got) > len("Basic ••••")+14 {
					t.Errorf("%q + secret + %q: %s", before, after, got)
				}
			}
		}
	}
	for in, want := range map[string]string{
		"https://u:p@ss@host/x":                          "https://u:••••@host/x",
		"https://0123456789abcdef01234567@host/x":        "https://••••@host/x",
		"http://127.0.0.1:8080/a@b and http://h:80, a@b": "http://127.0.0.1:8080/a@b and http://h:80, a@b",
		`{"u":"http://h:80","m":"a@b"}`:                  `{"u":"http://h:80","m":"a@b"}`,
		"ssh://git@host/x":                               "ssh://git@host/x",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}

// Wherever and however an app's program prints a secret, it does not pass.
func TestMaskerAdversaries(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN EC PARAMETERS-----\nMHcCAQEEIIGlVmQ4mNL6hJ2b0yB7yqvT3Rk8cWb5xYdZ1FqQo9s0oAoGCCqGSM49\nAwEHoUQDQgAE9f3kx0qJm0m2n0W5H6V7bT8cR1uZ4sYpX2aD3eK5gL7hN8iO9jP0\nkQ1l==\n-----END EC PARAMETERS-----"
	values := map[string]string{
		"DB_URL": "postgres://app:S3cr3t/of+the=day@db.test:5432/shop", "PLAIN": "pä\"ss/<w>ö&rd ?%'x", "MAIN_KEY": pem, "LONG": strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 3),
		"PIN_TOKEN": "42", "ODD_SECRET": "x", "ABC": "abcdefghijkl", "BCD": "ghijklmnopqr", "PRE": "abcdefgh", "AUTH_ON": "true", "NAME": "shop", "PORT": "80808080",
	}
	mask := orchestrator.Masker(values, []string{"PORT"})
	quoted := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	ascii := func(s string) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(s)) {
			if u >= ' ' && u < 0x7f && u != '"' && u != '\\' {
				b.WriteByte(byte(u))
			} else {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		}
		return b.String()
	}
	every := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		return b.String()
	}
	wrap := func(s, with string, n int) string {
		var out []string
		for ; len(s) > n; s = s[n:] {
			out = append(out, s[:n])
		}
		return strings.Join(append(out, s), with)
	}
	base := base64.StdEncoding.EncodeToString
	for key, secret := range values {
		if key == "PIN_TOKEN" || key == "ODD_SECRET" || key == "AUTH_ON" || key == "NAME" || key == "PORT" {
			continue
		}
		bytes := []byte(secret)
		for how, text := range map[string]string{
			"as it is": secret, "in JSON": quoted(secret), "in JSON in JSON": quoted(quoted(secret)), "thrice": quoted(quoted(quoted(secret))), "in ASCII": ascii(secret), "ASCII in JSON": quoted(ascii(secret)),
			"in Go": fmt.Sprintf("%q", secret), "in Go's ASCII": fmt.Sprintf("%+q", secret), "for a shell": "'" + strings.ReplaceAll(secret, "'", `'\''`) + "'", "for printf": regexp.MustCompile(`[^\pL\pN\n]`).ReplaceAllString(secret, `\$0`),
			"in a query": "q=" + url.QueryEscape(secret) + "&x=1", "in a path": url.PathEscape(secret), "by a browser": strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"), "every byte": every(secret), "query in JSON": quoted("?a=" + url.QueryEscape(secret)),
			"in HTML": html.EscapeString(secret), "in hex": fmt.Sprintf("%x", secret), "in base64": base(bytes), "in a longer one": base([]byte("user:" + secret + ":more")), "for URLs": base64.RawURLEncoding.EncodeToString(bytes),
			"wrapped base64": wrap(base(bytes), "\n", 20), "and indented": wrap(base(bytes), "\n    ", 20), "and in JSON": quoted(wrap(base(bytes), "\n", 20)), "wrapped": wrap(secret, "\n", 10), "by Windows": wrap(base(bytes), "\r\n", 20),
			"in a command": `Command "mysql -p` + secret + ` -h db" run`, "in a tag": "cmd_|-echo " + secret + "_|-echo_|-run", "twice": secret + secret,
		} {
			got := mask(text)
			for n := 8; n <= 12 && n <= len(secret); n += 4 {
				for i := 0; i+n <= len(secret); i++ {
					piece := secret[i : i+n]
					if key == "MAIN_KEY" && (strings.Contains(piece, "\n") || strings.ContainsAny(piece, "- ")) {
						continue
					}
					if strings.Contains(got, piece) {
						t.Errorf("%s %s: %q of %q is told:\n%s", key, how, piece, secret, got)
						n = 99
						break
					}
				}
			}
			if !strings.Contains(got, "••••") {
				t.Errorf("%s %s passes: %s", key, how, got)
			}
		}
	}
	for in, want := range map[string]string{
		"abcdefghijklmnopqr": "••••", "xabcdefghy": "x••••y",
		"pin 42, not 420 or a42; (42)": "pin ••••, not 420 or a42; (••••)", "x 42 42 x": "•••• •••• •••• ••••",
		`{"result": true}`: `{"result": true}`, "shop on 80808080": "shop on 80808080", `C:\new\table`: `C:\new\table`, "100%25 &amp; a+b": "100%25 &amp; a+b",
		"begins 0123456789abcdefghij":                                           "begins ••••",
		"begins 0123456789abcdefghij…":                                          "begins ••••…",
		"stuvwxyz0123456789abcdefghijklmnopqrstuvwxyz ends it":                  "•••• ends it",
		"token ghp_abcdefghijklmnopqrstuvwxyz0123":                              "token ••••",
		"Authorization: Bearer abcdefghijklmnop":                                "Authorization: Bearer ••••",
		`DB_PASSWORD=hunter2 {"api_key": "hunter2"}`:                            `DB_PASSWORD=•••• {"api_key": "••••"}`,
		"SyntaxError: Unexpected token: punc":                                   "SyntaxError: Unexpected token: punc",
		"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y": "•••• y",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}

// A large text is looked at in pieces, and no secret passes between them.
func TestMaskerLarge(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("sEcReT-", 9)
	mask := orchestrator.Masker(map[string]string{"A": secret}, nil)
	for before := 256<<10 - 70; before < 256<<10+8; before += 3 {
		text := strings.Repeat(".", before) + secret + strings.Repeat(".", 100)
		if got := mask(text); got != strings.Repeat(".", before)+"••••"+strings.Repeat(".", 100) {
			t.Fatalf("after %d bytes: …%s", before, got[before-10:])
		}
	}
}

// FuzzMasker: a secret that stands in a text is not told, and without one the
// text stays.
func FuzzMasker(f *testing.F) {
	f.Add("before ", "s3cr3t+value/", " after", uint8(0))
	f.Add(`{"a":"\`, "pä\"ss/<w>", "\n…", uint8(5))
	f.Fuzz(func(t *testing.T, before, secret, after string, how uint8) {
		if len(secret) < 8 || len(secret) > 500 || strings.TrimSpace(secret) == "" || strings.ContainsAny(secret, "•\x00") {
			return
		}
		mask := orchestrator.Masker(map[string]string{"A": secret}, nil)
		printed := secret
		switch how % 5 {
		case 1:
			printed = url.QueryEscape(secret)
		case 2:
			if !utf8.ValidString(secret) {
				return
			}
			b, _ := json.Marshal(secret)
			printed = string(b)
		case 3:
			printed = base64.StdEncoding.EncodeToString([]byte(secret))
		case 4:
			printed = fmt.Sprintf("%x", secret)
		}
		if got := mask(before + printed + after); strings.Contains(got, printed) {
			t.Errorf("%q in %q: %q", printed, before+printed+after, got)
		}
	})
}

func BenchmarkMasker(b *testing.B) {
	values := map[string]string{}
	for i := range 40 {
		values[fmt.Sprint("KEY_", i)] = fmt.Sprintf("value-%d-%x", i, i*7919*7919)
	}
	mask := orchestrator.Masker(values, nil)
	text := strings.Repeat(`{"comment":"File /srv/app/x is in the \"correct\" state 100%","name":"x"}`+"\n", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		mask(text)
	}
}

// What a server streams is masked across its lines and the pieces of long ones.
func TestStreamedSecrets(t *testing.T) {
	w := newWorks(t)
	const secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	wrapped := base64.StdEncoding.EncodeToString([]byte(secret))
	dir := t.TempDir()
	settings := filepath.Join(dir, "web.env")
	if err := os.WriteFile(settings, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logs := &printedLines{}
	f := &orchestrator.Fleet{Records: w.Store, Environments: w.Store, Events: w.Store, Catalogs: fixed{&orchestrator.Catalog{Apps: []orchestrator.App{{Name: "web", Settings: settings}}}},
		Settings: func(string) ([]byte, map[string]string, error) { return nil, map[string]string{"A": secret}, nil }, Logs: logs, Watcher: w.Store, Now: w.clock.Now}
	w.submit(storetest.NewEnvironment("qa", "maria", "web"))
	log := func(source, text string) orchestrator.Progress {
		return orchestrator.Progress{Step: "log", Source: source, Text: text}
	}
	for _, batch := range [][]orchestrator.Progress{
		{log("app", wrapped[:40]), log("salt", "in between"), log("app", wrapped[40:])},
		{log("app", "a long line "+secret[:30]+"…"), log("app", "another\n"+secret)},
		{log("app", "cut off "+secret[:31])},
		{log("app", secret[31:]+" goes on"), log("app", "clone https://u:Gold-Fisch9@git.test/x")},
	} {
		if err := f.Progress(t.Context(), "s-qa-web", batch); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"••••", "in between", "••••", "a long line ••••…", "another\n••••", "cut off ••••", "•••• goes on", "clone https://u:••••@git.test/x"}
	if !slices.Equal(logs.texts, want) {
		t.Errorf("%q\nwant %q", logs.texts, want)
	}
}

type printedLines struct{ texts []string }

func (k *printedLines) Append(_, _ string, lines []orchestrator.Progress) error {
	for _, l := range lines {
		k.texts = append(k.texts, l.Text)
	}
	return nil
}
