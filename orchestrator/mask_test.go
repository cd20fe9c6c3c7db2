package orchestrator_test

import (
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
