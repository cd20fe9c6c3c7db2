package main_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/app"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/diagnose"
)

var update = flag.Bool("update", false, "write the documents that are made from the code")

// TestCommandsReference: docs/commands.md is what the program's help says.
func TestCommandsReference(t *testing.T) {
	t.Parallel()
	want := app.Reference()
	const path = "docs/commands.md"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the help says (go test . -update makes it again): %v", path, err)
	}
}

// TestFailuresReference: docs/failures.md is what the tables of causes say, and
// every cause in it has an example.
func TestFailuresReference(t *testing.T) {
	t.Parallel()
	want := diagnose.Reference(orchestrator.OwnCauses())
	if strings.Contains(want, "|---|---|---|\n\n") || strings.Contains(want, "TODO") {
		t.Error("a cause has no example, or no meaning")
	}
	const path = "docs/failures.md"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the tables of causes say (go test . -update makes it again): %v", path, err)
	}
}

// TestCatalogReference opens the whole catalog that docs/catalog.md shows, and
// the demo's.
func TestCatalogReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/catalog.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```hcl\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/catalog.md shows no catalog")
	}
	dir := t.TempDir()
	files := map[string]string{"berth.hcl": example, "settings/api.env": "A=b\n", "settings/web.env": ""}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "berth.hcl"), "testdata/shop/berth.hcl"} {
		if _, err := catalog.Open(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

// TestLinks: what the documents point to is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s points to %s: %v", page, m[1], err)
			}
		}
	}
}
