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
	tofuModule = "github.com/opentofu/opentofu"
	// tofuPin holds the go.mod that names OpenTofu's version and the go.sum that
	// pins it and all that it is made of.
	tofuPin = ".ci/opentofu"
)

// openTofu builds OpenTofu from the Go module proxy, as tofu in the folder bin.
func (t *task) openTofu(ctx context.Context) error {
	mod, err := os.ReadFile(filepath.Join(tofuPin, "go.mod"))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)` + regexp.QuoteMeta(tofuModule) + ` v(\S+)`).FindSubmatch(mod)
	if m == nil {
		return fmt.Errorf("%s: %s/go.mod does not name its version", t.name, tofuPin)
	}
	version, program := string(m[1]), t.path("bin", "tofu")
	// Whatever the developer's own settings of Terraform say, it is not asked of
	// them.
	there := exec.CommandContext(ctx, program, "version")
	there.Env = []string{"HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
	if out, err := there.Output(); err == nil && strings.HasPrefix(string(out), "OpenTofu v"+version+"\n") {
		t.say("%s is there", version)
		return nil
	}
	start := time.Now()
	t.say("building OpenTofu %s from source (five to twenty minutes, this once)", version)
	if err := os.MkdirAll(t.path("bin"), 0o755); err != nil {
		return err
	}
	// Built beside its place and renamed: a half-written program is never run.
	tmp := t.path("bin", "tofu.new")
	defer os.Remove(tmp)
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=", "GOWORK=off"}
	if err := t.do(ctx, env, "go", "-C", tofuPin, "build", "-v", "-mod=readonly", "-trimpath",
		"-ldflags=-s -w -X "+tofuModule+"/version.dev=no", "-o", tmp, tofuModule+"/cmd/tofu"); err != nil {
		return err
	}
	if err := os.Rename(tmp, program); err != nil {
		return err
	}
	t.say("built (%d s)", int(time.Since(start).Seconds()))
	return nil
}
