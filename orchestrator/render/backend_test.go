package render_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/render"
)

// stateIn renders a workspace whose state is where b says, and gives main.tf
// without the blanks that align it.
func stateIn(t *testing.T, dir string, b orchestrator.Backend) string {
	t.Helper()
	w := workspace("api", "x")
	w.EnvironmentID, w.State = "eabc", b
	if err := render.Write(dir, w, render.Options{}); err != nil {
		t.Fatal(err)
	}
	return mainIn(t, dir)
}

func mainIn(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, render.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(strings.Fields(string(data)), " "), "{ }", "{}")
}

func TestStateOfAnEnvironment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b    orchestrator.Backend
		want []string
	}{
		"none":             {orchestrator.Backend{}, []string{`backend "local" {}`}},
		"s3":               {orchestrator.Backend{Type: "s3", Attributes: map[string]any{"bucket": "b", "use_lockfile": true}}, []string{`bucket = "b"`, `key = "berth/eabc/terraform.tfstate"`, `use_lockfile = true`}},
		"s3, a prefix":     {orchestrator.Backend{Type: "s3", Attributes: map[string]any{"key": "team/"}}, []string{`key = "team/eabc/terraform.tfstate"`}},
		"s3, a place":      {orchestrator.Backend{Type: "s3", Attributes: map[string]any{"key": "a-{id}.tfstate"}}, []string{`key = "a-eabc.tfstate"`}},
		"s3, an object":    {orchestrator.Backend{Type: "s3", Attributes: map[string]any{"endpoints": map[string]any{"s3": "http://x"}}}, []string{`endpoints = { s3 = "http://x" }`}},
		"pg":               {orchestrator.Backend{Type: "pg"}, []string{`backend "pg" {}`, `terraform.workspace == var.environment_id`}},
		"http":             {orchestrator.Backend{Type: "http", Attributes: map[string]any{"address": "https://x/s", "lock_address": "https://x/l/"}}, []string{`address = "https://x/s/eabc"`, `lock_address = "https://x/l/eabc"`}},
		"http, places":     {orchestrator.Backend{Type: "http", Attributes: map[string]any{"address": "https://x/{id}", "lock_address": "https://x/{id}/lock"}}, []string{`address = "https://x/eabc"`, `lock_address = "https://x/eabc/lock"`}},
		"gcs":              {orchestrator.Backend{Type: "gcs", Attributes: map[string]any{"bucket": "b"}}, []string{`prefix = "berth/eabc"`}},
		"azurerm":          {orchestrator.Backend{Type: "azurerm"}, []string{`key = "berth/eabc.tfstate"`}},
		"consul":           {orchestrator.Backend{Type: "consul", Attributes: map[string]any{"path": "tf"}}, []string{`path = "tf/eabc"`}},
		"kubernetes":       {orchestrator.Backend{Type: "kubernetes"}, []string{`secret_suffix = "berth-eabc"`}},
		"any":              {orchestrator.Backend{Type: "oss", Attributes: map[string]any{"prefix": "x/{id}", "list": []any{"{id}", json.Number("3")}}}, []string{`prefix = "x/eabc"`, `list = ["eabc", 3]`}},
		"text, never code": {orchestrator.Backend{Type: "gcs", Attributes: map[string]any{"bucket": "${file(\"/etc/passwd\")}\n}"}}, []string{`bucket = "$${file(\"/etc/passwd\")}\n}"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			got := stateIn(t, dir, c.b)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			// One that was elsewhere, made to agree, is the same.
			other := t.TempDir()
			for _, from := range []orchestrator.Backend{{}, {Type: "pg"}, {Type: "gcs", Attributes: map[string]any{"bucket": "old", "more": 1}}} {
				stateIn(t, other, from)
				for range 2 {
					if err := render.Backend(other, c.b, "eabc"); err != nil {
						t.Fatal(err)
					}
				}
				if moved := mainIn(t, other); moved != got {
					t.Errorf("moved from %q:\n%s\nwant\n%s", from.Type, moved, got)
				}
			}
		})
	}
}

// The same object of S3 has two names, and Terraform can delete by one of them.
func TestRemovable(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]map[string]any{
		"":                   {"workspace_key_prefix": "berth", "key": "terraform.tfstate"},
		"a/b":                {"workspace_key_prefix": "a/b", "key": "terraform.tfstate"},
		"a/{id}/x/y.tfstate": {"workspace_key_prefix": "a", "key": "x/y.tfstate"},
		"{id}/x":             nil,
		"a-{id}":             nil,
		"a/{id}/{id}":        nil,
	} {
		b := orchestrator.Backend{Type: "s3", Attributes: map[string]any{"key": key}}
		got, workspace, ok := b.Removable("eabc")
		if ok != (want != nil) || ok && (!maps.Equal(got, want) || workspace != "eabc") {
			t.Errorf("%q: %v, %q, %v", key, got, workspace, ok)
		}
	}
	for _, kind := range []string{"", "gcs", "http"} {
		if _, _, ok := (orchestrator.Backend{Type: kind}).Removable("eabc"); ok {
			t.Errorf("%q", kind)
		}
	}
}
