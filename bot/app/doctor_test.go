package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/hcloudfake"
)

// Credentials for a cloud are tried with the real provider before anything is
// made; a line that fails names what lacks, and never a secret.
func TestDoctorTriesClouds(t *testing.T) {
	cloud := hcloudfake.Start(t)
	for _, pair := range cloud.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	if path := os.Getenv("BERTH_TERRAFORM"); path == "" {
		t.Skip("BERTH_TERRAFORM does not name a Terraform.")
	}
	t.Setenv("TMPDIR", t.TempDir()) // others may run a doctor, too
	catalogs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(catalogs, "ours"), 0o700); err != nil {
		t.Fatal(err)
	}
	const ours = `
variable "environment_id" {}
variable "servers" {}
variable "tags" {}
output "servers" { value = {} }
`
	if err := os.WriteFile(filepath.Join(catalogs, "ours", "main.tf"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	hetzner := orchestrator.Target{Name: "hetzner", Module: "hcloud", Environment: []string{"HCLOUD_TOKEN", "HCLOUD_ENDPOINT", "BERTH_TEST_NOT_SET"}}
	c := &orchestrator.Catalog{Dir: catalogs, Targets: []orchestrator.Target{{Name: "local", Module: "local"}, hetzner, {Name: "ours", Module: "./ours"}}}
	data := t.TempDir()
	all := targets(t.Context(), c, data)
	if len(all) != 2 || !all[0].OK || all[0].Found != "its cloud answers (BERTH_TEST_NOT_SET not set)" || !all[1].OK || all[1].Name != "target ours" {
		t.Errorf("%+v", all)
	}
	const wrong = "w0123456789012345678901234567890123456789012345678901234567890ng"
	t.Setenv("HCLOUD_TOKEN", wrong)
	if k := tryTarget(t.Context(), c, hetzner, data); k.OK || !strings.Contains(k.Found, "refused Berth's credentials") || !strings.Contains(k.Next, "BERTH_TEST_NOT_SET") || strings.Contains(k.Found+k.Next, wrong) {
		t.Errorf("a wrong token: %+v", k)
	}
	t.Setenv("HCLOUD_TOKEN", "")
	if k := tryTarget(t.Context(), c, hetzner, data); k.OK || !strings.Contains(k.Next, "set in serve's environment what the target names: HCLOUD_TOKEN") {
		t.Errorf("no token: %+v", k)
	}
	empty := filepath.Join(catalogs, "cli.tfrc")
	if err := os.WriteFile(empty, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", catalogs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", empty)
	if k := tryTarget(t.Context(), c, hetzner, t.TempDir()); k.OK || !strings.Contains(k.Found, "HCLOUD_TOKEN, BERTH_TEST_NOT_SET not set") || !strings.Contains(k.Next, "name a mirror in TF_CLI_CONFIG_FILE") {
		t.Errorf("no provider: %+v", k)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "berth-doctor-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(cloud.Left()) > 0 {
		t.Errorf("made: %v", cloud.Left())
	}
}
