package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/testdata/executable"
)

// program answers every question with the same diagnosis.
func program(t *testing.T, sentence string) string {
	t.Helper()
	answer, err := json.Marshal(map[string]any{"outcome": "failed", "blocked": 0, "causes": []map[string]string{
		{"code": "branch_not_found", "who": "developer", "where": "app.code", "sentence": sentence, "next": "Push it."}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "berth")
	script := fmt.Sprintf("#!/bin/sh\ncat >/dev/null\n[ \"$SALT_EXIT\" = 2 ] && [ -f \"$SALT_STDERR\" ] || exit 1\ncat <<'E'\n%s\nE\n", answer)
	executable.Write(t, path, script)
	return path
}

func oneCase(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "set", "1-branch")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"result.json": "{}", "stderr.txt": "",
		"meta.json": `{"exit": 2, "outcome": "failed", "blocked_total": 0, "causes": [{"where": ["app.code"], "code": "branch_not_found", "who": "developer", "must_mention": [["feature/x", "x/feature"]], "must_not_mention": ["hunter22"]}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// The score can fail: a long sentence, a word of the tools, a secret or a
// missing name is a miss.
func TestScore(t *testing.T) {
	t.Parallel()
	recorded := oneCase(t)
	for sentence, right := range map[string]bool{
		`The branch "feature/x" does not exist.`:                            true,
		"The branch does not exist.":                                        false,
		`The branch "feature/x" of the pillar does not exist.`:              false,
		`The branch "feature/x" of the state does not exist.`:               false,
		`The branch "feature/x" does not exist.` + strings.Repeat("x", 210): false,
		`The branch "feature/x" does not exist at u:hunter22@h.`:            false,
	} {
		err := run(t.Context(), options{berth: program(t, sentence), recorded: recorded, min: 98, out: io.Discard})
		if (err == nil) != right {
			t.Errorf("%q: %v", sentence, err)
		}
	}
	if err := run(t.Context(), options{berth: "/bin/false", recorded: recorded, min: 98, out: io.Discard}); err == nil {
		t.Error("a program that fails is right")
	}
	if err := run(t.Context(), options{berth: "/bin/false", recorded: t.TempDir(), min: 98, out: io.Discard}); err == nil {
		t.Error("no case at all is right")
	}
}
