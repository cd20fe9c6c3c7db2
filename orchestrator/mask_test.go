package orchestrator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
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
