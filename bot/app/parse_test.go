package app

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// berthParse runs the program with an input and gives what it says.
func berthParse(t *testing.T, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), append([]string{"parse"}, args...), strings.NewReader(in), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"--", "env create qa shop api=main web=feature/login ttl=3d size=small"}, 0, "env create qa shop api=main web=feature/login ttl=72h size=small\n"},
		{[]string{"--", "env", "create", "qa", "--ttl", "3d"}, 0, "env create qa ttl=72h\n"},
		{[]string{"--json", "--", "/env create qa shop api=main web=feature/login ttl=3d size=small"}, 0, `{"ok":true,"canonical":"env create qa shop api=main web=feature/login ttl=72h size=small","changes":true}` + "\n"},
		{[]string{"--json", "--catalog", "nowhere.hcl", "--", "list ENVS"}, 0, `{"ok":true,"canonical":"env list","changes":false}` + "\n"},
		{[]string{"--json", "--", "env lsit"}, 0, `{"ok":true,"canonical":"env list","changes":false,"guess":true}` + "\n"},
		{[]string{"--", "env craete qa"}, 2, ""},
		{[]string{"--", "env create qa A_B=c"}, 3, ""},
		{nil, 2, ""},
		{[]string{"--batch", "--", "env list"}, 2, ""},
	} {
		status, out, errs := berthParse(t, "", row.args...)
		if status != row.status || out != row.out {
			t.Errorf("berth parse %q: exit %d, %q, want %d, %q", row.args, status, out, row.status, row.out)
		}
		if status != 0 && errs == "" {
			t.Errorf("berth parse %q: exit %d without a word", row.args, status)
		}
	}
}

func TestParseJSONFailure(t *testing.T) {
	t.Parallel()
	status, out, errs := berthParse(t, "", "--json", "--", "env craete qa api=main")
	var got parseAnswer
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%q is not one JSON value: %v", out, err)
	}
	if status != 2 || got.OK || got.Suggestion != "env create qa api=main" || !strings.Contains(got.Message, "craete") || errs != "" {
		t.Errorf("exit %d, %+v, %q", status, got, errs)
	}
}

func TestParseBatch(t *testing.T) {
	t.Parallel()
	status, out, _ := berthParse(t, "\"env list\"\n\"env terminte qa\"\nnot json\n\n\"a\\u0000b\"\n\"env show \\u201cqa\\u201d\"", "--batch", "--json")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if status != 0 || len(lines) != 6 {
		t.Fatalf("exit %d, %d lines:\n%s", status, len(lines), out)
	}
	for i, want := range []parseAnswer{{OK: true, Canonical: "env list"}, {Suggestion: "env destroy qa"}, {}, {}, {}, {OK: true, Canonical: "env show qa"}} {
		var got parseAnswer
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("line %d, %q: %v", i+1, lines[i], err)
		}
		if got.OK != want.OK || got.Canonical != want.Canonical || got.Suggestion != want.Suggestion || !got.OK && got.Message == "" {
			t.Errorf("line %d: %+v, want %+v", i+1, got, want)
		}
	}
}

// TestParseBatchHostile: whatever a line is, it gets one answer, and the next
// line its own.
func TestParseBatchHostile(t *testing.T) {
	t.Parallel()
	hostile := []string{
		"", "null", "12", "{}", `["env list"]`, `"env list" "env list"`, `"env list`, "env list", `"\ud800 env destroy qa"`, `"env destroy q\udfffa"`, "\"env destroy \xff\"", "\xff\xfe", "\x00", `"\u0000"`,
		`"` + strings.Repeat("env list ", 1000) + `"`, `"` + strings.Repeat("x", 3<<20) + `"`, strings.Repeat("[", 200_000), `"\u001b[31m env list"`, " \r",
	}
	var in strings.Builder
	for _, line := range hostile {
		in.WriteString(line + "\n\"env list\"\r\n")
	}
	status, out, errs := berthParse(t, in.String(), "--batch")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if status != 0 || errs != "" || len(lines) != 2*len(hostile) {
		t.Fatalf("exit %d, %q, %d lines for %d", status, errs, len(lines), 2*len(hostile))
	}
	for i, line := range lines {
		var got parseAnswer
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%.80q: %v", line, err)
		}
		if i%2 == 1 && got.Canonical != "env list" || i%2 == 0 && (got.OK || got.Message == "" || got.Hint == "") {
			t.Errorf("%.60q is answered with %+v", hostile[i/2], got)
		}
	}
}
