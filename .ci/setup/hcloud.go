package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

var hcloudSource = source{pin: ".ci/hcloud-provider", module: "github.com/hetznercloud/terraform-provider-hcloud",
	set: "/hcloud.Version=VERSION", takes: "one to five minutes"}

// hcloudProvider builds the provider, where no registry of providers need be
// reached, and lays it out as Terraform's filesystem mirror wants it unpacked.
func (t *task) hcloudProvider(ctx context.Context) error {
	version, err := t.version(hcloudSource)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOHOSTOS", "GOHOSTARCH").Output()
	if err != nil {
		return fmt.Errorf("%s: asking go for this machine's kind: %w", t.name, err)
	}
	platform := strings.Join(strings.Fields(string(out)), "_")
	program := t.path("providers", "registry.terraform.io", "hetznercloud", "hcloud", version, platform, "terraform-provider-hcloud_v"+version)
	if _, err := os.Stat(program); err == nil {
		t.say("%s is there", version)
		return nil
	}
	return t.build(ctx, hcloudSource, version, program)
}
