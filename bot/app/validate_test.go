package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// What init writes is good for validate, by the commands themselves.
func TestInitThenValidate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errw bytes.Buffer
	if status := run(t.Context(), []string{"init", dir}, nil, &out, &errw); status != 0 || !strings.Contains(out.String(), "wrote "+filepath.Join(dir, "berth.hcl")) {
		t.Fatalf("init: %d %s%s", status, &out, &errw)
	}
	out.Reset()
	if status := run(t.Context(), []string{"init", dir}, nil, &out, &errw); status != 2 || !strings.Contains(out.String()+errw.String(), "overwrites nothing") {
		t.Errorf("init again: %d %s%s", status, &out, &errw)
	}
	out.Reset()
	file := filepath.Join(dir, "berth.hcl")
	if status := run(t.Context(), []string{"validate", "--json", "--catalog", file}, nil, &out, &errw); status != 0 {
		t.Fatalf("validate: %d %s%s", status, &out, &errw)
	}
	var v validation
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || !v.OK || v.Apps != 2 || v.Blueprints != 1 || len(v.Warnings) != 0 {
		t.Errorf("validate --json: %s, %v", &out, err)
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "berth.hcl")
	if err := os.WriteFile(file, []byte("target \"local\" { module = \"local\" }\napp \"api\" {\n  repositry = \"x\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errw bytes.Buffer
	status := run(t.Context(), []string{"validate", "--json", "--catalog", file}, nil, &out, &errw)
	var answer struct{ Error orchestrator.Error }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || status != 2 || answer.Error.Code != orchestrator.CodeInvalidCatalog ||
		!strings.Contains(answer.Error.Message, file+":3:3: ") || !strings.Contains(answer.Error.Message, `Did you mean "repository"?`) {
		t.Errorf("validate: %d %s%s", status, &out, &errw)
	}
}

func TestInitQuotesWhatItPrints(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's here")
	var out, errw bytes.Buffer
	if status := run(t.Context(), []string{"init", dir}, nil, &out, &errw); status != 0 {
		t.Fatalf("init: %d %s", status, &errw)
	}
	if want := "berth serve --catalog '" + strings.ReplaceAll(dir, "'", `'\''`) + "/berth.hcl'\n"; !strings.Contains(out.String(), want) {
		t.Errorf("init says %s\nwant %s", &out, want)
	}
}
