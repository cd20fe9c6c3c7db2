package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	hcloudModule = "github.com/hetznercloud/terraform-provider-hcloud"
	// hcloudPin holds the go.mod that names the provider's version and the
	// go.sum that pins it and all that it is made of.
	hcloudPin = ".ci/hcloud-provider"
)

// hcloudProvider builds the provider from the Go module proxy, where no registry
// of providers need be reached, and lays it out as Terraform's filesystem mirror
// wants it unpacked.
func (t *task) hcloudProvider(ctx context.Context) error {
	mod, err := os.ReadFile(filepath.Join(hcloudPin, "go.mod"))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(regexp.QuoteMeta(hcloudModule) + ` v(\S+)`).FindSubmatch(mod)
	if m == nil {
		return fmt.Errorf("%s: %s/go.mod does not name its version", t.name, hcloudPin)
	}
	version := string(m[1])
	out, err := exec.CommandContext(ctx, "go", "env", "GOHOSTOS", "GOHOSTARCH").Output()
	if err != nil {
		return fmt.Errorf("%s: asking go for this machine's kind: %w", t.name, err)
	}
	platform := strings.Join(strings.Fields(string(out)), "_")
	dir := t.path("providers", "registry.terraform.io", "hetznercloud", "hcloud", version, platform)
	program := filepath.Join(dir, "terraform-provider-hcloud_v"+version)
	if _, err := os.Stat(program); err == nil {
		t.say("%s is there", version)
		return nil
	}
	start := time.Now()
	t.say("building %s from source (one to five minutes, this once)", version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Built beside its place and renamed: a half-written program is never found.
	tmp := filepath.Join(t.work, "hcloud-provider.new")
	defer os.Remove(tmp)
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=", "GOWORK=off"}
	if err := t.do(ctx, env, "go", "-C", hcloudPin, "build", "-v", "-mod=readonly", "-trimpath",
		"-ldflags=-s -w -X "+hcloudModule+"/hcloud.Version="+version, "-o", tmp, hcloudModule); err != nil {
		return err
	}
	if err := os.Rename(tmp, program); err != nil {
		return err
	}
	t.say("built (%d s)", int(time.Since(start).Seconds()))
	return nil
}
