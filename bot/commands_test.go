package bot

import (
	"errors"
	"strings"
	"testing"

	o "github.com/berth-dev/berth/orchestrator"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"env retry qa, or env destroy qa":   "berth env retry qa, or berth env destroy qa",
		"berth env show qa":                 "berth env show qa",
		"the verbs of env are create, list": "the verbs of env are create, list",
		"/env show qa":                      "/env show qa",
		"push, then \"env deploy qa\".":     "push, then \"berth env deploy qa\".",
		"server create APP BRANCH makes it": "berth server create APP BRANCH makes it",
		"an app-env create":                 "an app-env create",
	} {
		if got := Commands(in); got != want {
			t.Errorf("Commands(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHintOfExtend(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"env extend qa 0d", "env extend qa ttl=2"} {
		_, err := Parse(text)
		var e *o.Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, "env extend NAME 2d") {
			t.Errorf("%s: %+v", text, e)
		}
	}
}
