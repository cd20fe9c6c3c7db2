package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func runDiagnose(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	cmd := newDiagnoseCommand()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.Execute()
	return out.String(), err
}

func TestDiagnoseCommand(t *testing.T) { // not parallel: the environment is part of the command
	const one = `{"local":{"git_|-src_|-git@h:o/shop.git_|-latest":{"result":false,"comment":"No revision matching 'x/y' exists in the remote repository","__sls__":"app","__id__":"src","__run_num__":0,"changes":{}}}}`
	file := filepath.Join(t.TempDir(), "result.json")
	if err := os.WriteFile(file, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("json has the contract's keys", func(t *testing.T) {
		t.Setenv("SALT_EXIT", "2")
		for _, args := range [][]string{{"--json"}, {"--json", "-"}, {"--json", file}} {
			out, err := runDiagnose(t, one, args...)
			if err != nil {
				t.Fatal(err)
			}
			var v map[string]any
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Fatal(err)
			}
			cause := v["causes"].([]any)[0].(map[string]any)
			if v["outcome"] != "failed" || v["blocked"] != 0.0 || v["total"] != 1.0 || v["succeeded"] != 0.0 || len(v) != 5 ||
				cause["code"] != "branch_not_found" || cause["who"] != "developer" || cause["where"] != "app.src" || len(cause["fingerprint"].(string)) != 10 || len(cause) != 7 {
				t.Errorf("%v: %s", args, out)
			}
		}
	})
	t.Run("a good run has an empty list of causes", func(t *testing.T) {
		out, err := runDiagnose(t, strings.Replace(one, "false", "true", 1), "--json")
		if err != nil || !strings.Contains(out, `"causes": []`) {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("text", func(t *testing.T) {
		out, err := runDiagnose(t, one)
		if err != nil || !strings.Contains(out, `There is no branch "x/y" in the repository "shop".`) || !strings.Contains(out, "who:   you") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("standard error and exit status", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "err")
		if err := os.WriteFile(name, []byte("'state.aply' is not available.\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SALT_EXIT", "255")
		t.Setenv("SALT_STDERR", name)
		out, err := runDiagnose(t, "", "--json")
		if err != nil || !strings.Contains(out, "state.aply") || !strings.Contains(out, `"failed"`) {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		if _, err := runDiagnose(t, "", filepath.Join(t.TempDir(), "gone")); err == nil || !strings.Contains(err.Error(), "can't be read: no such file") {
			t.Errorf("%v", err)
		}
		t.Setenv("SALT_EXIT", "two")
		if _, err := runDiagnose(t, one); err == nil || !strings.Contains(err.Error(), "SALT_EXIT") {
			t.Errorf("%v", err)
		}
	})
}
