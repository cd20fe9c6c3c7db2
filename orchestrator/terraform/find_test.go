package terraform_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/terraform"
	"github.com/berth-dev/berth/testdata/executable"
)

// versioned writes a program that answers `version` with what it is given: as
// much as Find looks at.
func versioned(t *testing.T, path, answer string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	executable.Write(t, path, fmt.Sprintf("#!/bin/sh\ncat <<'X'\n%s\nX\n", answer))
	return path
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	old := versioned(t, at("old/terraform"), "Terraform v1.4.6\non linux_amd64")
	good := versioned(t, at("good/terraform"), "Terraform v1.5.7")
	dev := versioned(t, at("dev/terraform"), "Terraform v1.16.0-dev")
	tofu := versioned(t, at("tofu/tofu"), "OpenTofu v1.6.2")
	versioned(t, at("oldtofu/tofu"), "OpenTofu v1.5.9")
	odd := versioned(t, at("odd/terraform"), "hello")
	plain, noise := at("plain"), at("noise")
	for path, mode := range map[string]os.FileMode{plain: 0o644, noise: 0o755} {
		if err := os.WriteFile(path, []byte("no program"), mode); err != nil {
			t.Fatal(err)
		}
	}
	data := at("data")
	installed := versioned(t, filepath.Join(data, "bin", "terraform"), "Terraform v1.9.0")
	search := func(names ...string) string {
		var dirs []string
		for _, n := range names {
			dirs = append(dirs, at(n))
		}
		return strings.Join(dirs, string(filepath.ListSeparator))
	}
	for name, c := range map[string]struct {
		o    terraform.FindOptions
		want string // the path, or a part of the message
		code orchestrator.Code
	}{
		"named":                   {terraform.FindOptions{Path: good, Search: search("dev")}, good, ""},
		"named, too old":          {terraform.FindOptions{Path: old, Search: search("good")}, "Terraform 1.4.6", orchestrator.CodeInvalidValue},
		"named, not there":        {terraform.FindOptions{Path: at("none"), Search: search("good")}, at("none"), orchestrator.CodeInvalidValue},
		"named, a folder":         {terraform.FindOptions{Path: dir}, "it is a folder", orchestrator.CodeInvalidValue},
		"named, no such file":     {terraform.FindOptions{Path: at("none")}, "there is no such file", orchestrator.CodeInvalidValue},
		"named, not executable":   {terraform.FindOptions{Path: plain}, "its mode forbids", orchestrator.CodeInvalidValue},
		"named, no program":       {terraform.FindOptions{Path: noise}, "no program of this machine", orchestrator.CodeInvalidValue},
		"named, something else":   {terraform.FindOptions{Path: odd}, "does not answer", orchestrator.CodeInvalidValue},
		"an old one in front":     {terraform.FindOptions{Search: search("old", "odd", "good")}, good, ""},
		"a pre-release":           {terraform.FindOptions{Search: search("dev")}, dev, ""},
		"OpenTofu":                {terraform.FindOptions{Search: search("old", "oldtofu", "tofu")}, tofu, ""},
		"narrowed":                {terraform.FindOptions{Search: search("good", "dev"), Constraint: "> 1.6"}, dev, ""},
		"installed before":        {terraform.FindOptions{Search: search("old"), Data: data}, installed, ""},
		"installed, but excluded": {terraform.FindOptions{Search: search("old"), Data: data, Constraint: "> 2.0", Offline: true}, "is Terraform 1.9.0", orchestrator.CodeInternal},
		"no constraint":           {terraform.FindOptions{Search: search("good"), Constraint: "newish"}, "newish", orchestrator.CodeInvalidCatalog},
		"none":                    {terraform.FindOptions{Search: search("empty"), Offline: true}, "No Terraform to be had", orchestrator.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := terraform.Find(t.Context(), c.o)
			if c.code == "" {
				if err != nil || b.Path != c.want || b.OpenTofu != (c.want == tofu) {
					t.Errorf("got %+v, %v", b, err)
				}
				return
			}
			var e *orchestrator.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.want) || e.Hint == "" {
				t.Errorf("got %+v, %v", b, err)
			}
		})
	}
}

// TestNothingToInstall: a mirror that has nothing, and no Go to build with.
func TestNothingToInstall(t *testing.T) {
	mirror := httptest.NewServer(http.NotFoundHandler())
	defer mirror.Close()
	t.Setenv("PATH", t.TempDir())
	var told []string
	_, err := terraform.Find(t.Context(), terraform.FindOptions{Data: t.TempDir(), ReleasesURL: mirror.URL, Progress: func(s string) { told = append(told, s) }})
	var e *orchestrator.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "no Go") || !strings.Contains(e.Hint, "BERTH_TERRAFORM") {
		t.Errorf("got %v", err)
	}
	if len(told) < 2 || told[0] != "downloading what makes the servers" {
		t.Errorf("told %q", told)
	}
}

// TestCanceledSearch: giving up is no finding.
func TestCanceledSearch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	cancel(why)
	path := versioned(t, filepath.Join(t.TempDir(), "terraform"), "Terraform v1.5.7")
	if _, err := terraform.Find(ctx, terraform.FindOptions{Search: filepath.Dir(path), Data: t.TempDir()}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// TestBuild takes minutes, so it has to be asked for.
func TestBuild(t *testing.T) {
	if os.Getenv("BERTH_TEST_TERRAFORM_BUILD") == "" {
		t.Skip("set BERTH_TEST_TERRAFORM_BUILD=1 to build Terraform from the Go module proxy")
	}
	mirror := httptest.NewServer(http.NotFoundHandler())
	defer mirror.Close()
	data := t.TempDir()
	b, err := terraform.Find(t.Context(), terraform.FindOptions{Data: data, Search: data, ReleasesURL: mirror.URL, Progress: func(s string) { t.Log(s) }})
	if err != nil || b.Version != "1.5.7" || b.Path != filepath.Join(data, "bin", "terraform") {
		t.Errorf("got %+v, %v", b, err)
	}
}
