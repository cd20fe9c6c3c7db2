package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// moto is a stand-in for AWS: a server in Python.
func (t *task) moto(ctx context.Context) error {
	return t.python(ctx, environment{title: "moto", project: "moto", takes: "half a minute", check: []string{"moto_server", "--help"}})
}

// awsVersion is the newest provider that PyPI has: HashiCorp's own release in
// a wheel, so that no registry of providers need be reached. .ci/aws-provider.lock
// pins the wheel.
const awsVersion = "3.39.0"

// awsProvider lays the provider out as Terraform's filesystem mirror wants it
// unpacked: init then makes a link, and need not copy 177 MB.
func (t *task) awsProvider(ctx context.Context) error {
	if err := t.newerAWS(); err != nil {
		return err
	}
	if at := runtime.GOOS + "_" + runtime.GOARCH; at != "linux_amd64" {
		t.say("is for linux_amd64 alone, and this is %s: its tests are skipped", at)
		return nil
	}
	dir := t.path("providers", "registry.terraform.io", "hashicorp", "aws", awsVersion, "linux_amd64")
	if _, err := os.Stat(dir); err == nil {
		t.say("%s is there", awsVersion)
		return nil
	}
	python, err := t.interpreter(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	t.say("fetching %s (74 MB)", awsVersion)
	if err := t.uv(ctx, python); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(t.work, "aws-provider-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := t.do(ctx, nil, t.path("uv", "bin", "pip"), "install", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
		"--require-hashes", "--target", tmp, "-r", t.lock()); err != nil {
		return err
	}
	unpacked := filepath.Join(tmp, "unpacked")
	if err := unzip(filepath.Join(tmp, "cloudrail", "terraform_plugins", "terraform-provider-aws_"+awsVersion+"_linux_amd64.zip"), unpacked); err != nil {
		return fmt.Errorf("%s: unpacking it: %w", t.name, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Rename(unpacked, dir); err != nil {
		return err
	}
	t.say("%s installed (%d s)", awsVersion, int(time.Since(start).Seconds()))
	return nil
}

// unzip unpacks a provider's archive: programs, all in one folder.
func unzip(path, dir string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, f := range archive.File {
		if err := unzipFile(f, filepath.Join(dir, filepath.Base(f.Name))); err != nil {
			return err
		}
	}
	return nil
}

func unzipFile(f *zip.File, path string) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}
