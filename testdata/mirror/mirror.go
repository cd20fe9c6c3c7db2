// Package mirror gives tests the Terraform providers that `.ci/setup` has put
// into BERTH_WORK/providers: real ones, without a registry. BERTH_PROVIDERS
// names another folder, for a run with other versions.
package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Work is where `.ci/setup` installs: BERTH_WORK, or .berth in the checkout. The
// second is of no use to a test that runs elsewhere, and then "".
func Work(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BERTH_WORK"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".berth")
		}
	}
	return ""
}

// Config writes Terraform's CLI configuration, with which it takes providers
// from the mirror and nowhere else, and returns its path: the value for
// TF_CLI_CONFIG_FILE. The test is skipped where a provider ("hashicorp/aws") is
// not installed, or fails where the variable require is set.
func Config(t testing.TB, require string, providers ...string) string {
	t.Helper()
	dir := filepath.Join(Work(t), "providers")
	if other := os.Getenv("BERTH_PROVIDERS"); other != "" {
		dir = other
	}
	for _, p := range providers {
		if _, err := os.Stat(filepath.Join(dir, "registry.terraform.io", filepath.FromSlash(p))); err != nil {
			Absent(t, require, fmt.Sprintf("The provider %s is not in %s: run `make clouds`, or name the folder that it installed into in BERTH_WORK.", p, dir))
		}
	}
	return configOf(t, dir)
}

// NewerAWS is Config with a provider of AWS that can make spot instances, which
// `.ci/setup` cannot install, but has found on this machine. The test is
// skipped where there is none.
func NewerAWS(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("BERTH_PROVIDERS")
	if dir == "" {
		found, err := os.ReadFile(filepath.Join(Work(t), "aws-newer.path"))
		if err != nil {
			t.Skip("The provider that `make clouds` installs is older than what this needs, and it has found no newer one on this machine: BERTH_PROVIDERS names a folder that has one.")
		}
		dir = strings.TrimSpace(string(found))
	}
	return configOf(t, dir)
}

func configOf(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "terraform.rc")
	config := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\ndisable_checkpoint = true\n", dir)
	if strings.ContainsAny(dir, "$%") { // would be a template
		t.Fatalf("the folder %s cannot be written into Terraform's configuration", dir)
	}
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Absent skips the test because something is not installed, or fails it where
// the variable require is set: in CI.
func Absent(t testing.TB, require, why string) {
	t.Helper()
	if os.Getenv(require) != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
