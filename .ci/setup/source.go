package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// source is a program that is built from the Go module proxy.
type source struct {
	// pin is the folder with the go.mod that names the module's version and the
	// go.sum that pins it and all that it is made of.
	pin, module string
	main        string // its package, below the module
	set         string // what the linker sets in it, below the module; VERSION is that
	takes       string // how long that is
}

// version is what the source's go.mod names.
func (t *task) version(s source) (string, error) {
	mod, err := os.ReadFile(filepath.Join(s.pin, "go.mod"))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)` + regexp.QuoteMeta(s.module) + ` v(\S+)`).FindSubmatch(mod)
	if m == nil {
		return "", fmt.Errorf("%s: %s/go.mod does not name its version", t.name, s.pin)
	}
	return string(m[1]), nil
}

// build builds a source's program for this machine.
func (t *task) build(ctx context.Context, s source, version, program string) error {
	start := time.Now()
	t.say("building %s from source (%s, this once)", version, s.takes)
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	// Built beside its place and renamed: a half-written program is never found.
	tmp := filepath.Join(t.work, t.name+".new")
	defer os.Remove(tmp)
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=", "GOWORK=off"}
	if err := t.do(ctx, env, "go", "-C", s.pin, "build", "-v", "-mod=readonly", "-trimpath",
		"-ldflags=-s -w -X "+s.module+strings.ReplaceAll(s.set, "VERSION", version), "-o", tmp, s.module+s.main); err != nil {
		return err
	}
	if err := os.Rename(tmp, program); err != nil {
		return err
	}
	t.say("built (%d s)", int(time.Since(start).Seconds()))
	return nil
}
