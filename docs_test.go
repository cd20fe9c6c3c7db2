package main_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/app"
	"github.com/berth-dev/berth/modules"
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

// TestTargetExamples checks the catalogs of the pages about clouds, and the
// module and the user-data template that the others show, as berth validate does.
func TestTargetExamples(t *testing.T) {
	t.Parallel()
	block := func(page, kind string, n int) string {
		text, err := os.ReadFile(filepath.Join("docs", page))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(text), "```"+kind+"\n")
		if len(parts) < n+2 {
			t.Fatalf("docs/%s shows fewer than %d blocks of %s", page, n+1, kind)
		}
		example, _, _ := strings.Cut(parts[n+1], "```")
		return example
	}
	const app = "app \"api\" { repository = \"https://github.com/acme/api\" }\n"
	known := catalog.Known{Modules: []string{"aws", "aws-spot", "hcloud", "local"}, ModuleFiles: modules.FS()}
	for name, files := range map[string]map[string]string{
		"aws":    {"berth.hcl": block("aws.md", "hcl", 0)},
		"hcloud": {"berth.hcl": block("hcloud.md", "hcl", 0)},
		"modules": {"berth.hcl": block("modules.md", "hcl", 2) + app,
			"modules/ours/main.tf": block("modules.md", "hcl", 0), "modules/ours/look/main.tf": block("modules.md", "hcl", 1)},
		"user-data": {"berth.hcl": block("user-data.md", "hcl", 0) + app, "templates/user-data.yaml": block("user-data.md", "yaml", 0)},
	} {
		dir := t.TempDir()
		for path, content := range files {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := catalog.Verify(t.Context(), filepath.Join(dir, "berth.hcl"), known); err != nil {
			t.Errorf("%s: %v", name, err)
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
