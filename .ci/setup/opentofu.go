package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

var tofuSource = source{pin: ".ci/opentofu", module: "github.com/opentofu/opentofu", main: "/cmd/tofu",
	set: "/version.dev=no", takes: "five to twenty minutes"}

// openTofu builds OpenTofu, as tofu in the folder bin.
func (t *task) openTofu(ctx context.Context) error {
	version, err := t.version(tofuSource)
	if err != nil {
		return err
	}
	program := t.path("bin", "tofu")
	// Whatever the developer's own settings of Terraform say, it is not asked of
	// them.
	there := exec.CommandContext(ctx, program, "version")
	there.Env = []string{"HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
	if out, err := there.Output(); err == nil && strings.HasPrefix(string(out), "OpenTofu v"+version+"\n") {
		t.say("%s is there", version)
		return nil
	}
	return t.build(ctx, tofuSource, version, program)
}
