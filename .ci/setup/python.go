package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const uvVersion = "0.13.9" // installs a set in a quarter of pip's time

// environment is a virtual environment, named after its task, that holds what
// the task's lock file names.
type environment struct {
	title   string   // what people call it
	project string   // the line of the lock file that has its version
	takes   string   // how long it takes with uv
	check   []string // a program of its bin, with arguments, that must run
}

func (t *task) salt(ctx context.Context) error {
	return t.python(ctx, environment{title: "Salt", project: "salt", takes: "about a minute", check: []string{"salt-call", "--version"}})
}

// python makes the virtual environment, unless the one that is there was made
// from the same lock file and interpreter.
func (t *task) python(ctx context.Context, e environment) error {
	python, err := t.interpreter(ctx)
	if err != nil {
		return err
	}
	lock, err := os.ReadFile(t.lock())
	if err != nil {
		return err
	}
	version := "?"
	for line := range strings.Lines(string(lock)) {
		name, v, ok := strings.Cut(line, "==")
		if name, _, _ = strings.Cut(name, "["); ok && name == e.project {
			version = strings.Fields(v)[0]
		}
	}
	sum := sha256.Sum256(append([]byte(python+"\n"), lock...))
	want := hex.EncodeToString(sum[:])
	venv, stamp := t.path(t.name), t.path(t.name, "stamp")
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		if _, err := os.Stat(filepath.Join(venv, "bin", e.check[0])); err == nil {
			t.say("%s is there", version)
			return nil
		}
	}
	start := time.Now()
	t.say("installing %s %s with %s (%s)", e.title, version, python, e.takes)
	if err := os.RemoveAll(venv); err != nil {
		return err
	}
	if err := t.withUV(ctx, python, venv); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.say("not with uv (%v); with pip it takes longer", err)
		if err := os.RemoveAll(venv); err != nil {
			return err
		}
		if err := t.do(ctx, nil, python, "-m", "venv", venv); err != nil {
			return err
		}
		if err := t.do(ctx, nil, filepath.Join(venv, "bin", "pip"), "install", "--disable-pip-version-check", "--require-hashes", "-r", t.lock()); err != nil {
			return err
		}
	}
	if err := t.do(ctx, nil, filepath.Join(venv, "bin", e.check[0]), e.check[1:]...); err != nil {
		return err
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		return err
	}
	t.say("%s installed (%d s)", version, int(time.Since(start).Seconds()))
	return nil
}

// interpreter is the Python to install with.
func (t *task) interpreter(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, ".ci/python").Output()
	if err != nil {
		return "", errors.New(t.name + ": no Python to install it with; `make check` says more")
	}
	return strings.TrimSpace(string(out)), nil
}

// lock is the file with the versions to install.
func (t *task) lock() string { return ".ci/" + t.name + ".lock" }

// uv installs uv, and beside it pip, into a virtual environment of their own.
func (t *task) uv(ctx context.Context, python string) error {
	install := func(ctx context.Context) error {
		if out, err := exec.CommandContext(ctx, t.path("uv", "bin", "uv"), "--version").Output(); err == nil && strings.HasPrefix(string(out), "uv "+uvVersion) {
			return nil
		}
		if err := os.RemoveAll(t.path("uv")); err != nil {
			return err
		}
		if err := t.do(ctx, nil, python, "-m", "venv", t.path("uv")); err != nil {
			return err
		}
		return t.do(ctx, nil, t.path("uv", "bin", "pip"), "install", "-q", "--disable-pip-version-check", "uv=="+uvVersion)
	}
	return (&task{name: "uv", work: t.work}).alone(ctx, install)
}

func (t *task) withUV(ctx context.Context, python, venv string) error {
	if err := t.uv(ctx, python); err != nil {
		return err
	}
	// Copies, for links into a cache of the user's may be closed to others; an
	// index that pip is told to use is uv's too.
	env := []string{"UV_LINK_MODE=copy", "UV_PYTHON_DOWNLOADS=never", "UV_NO_CONFIG=1"}
	if index := os.Getenv("PIP_INDEX_URL"); index != "" && os.Getenv("UV_DEFAULT_INDEX") == "" {
		env = append(env, "UV_DEFAULT_INDEX="+index)
	}
	if cert := os.Getenv("PIP_CERT"); cert != "" && os.Getenv("SSL_CERT_FILE") == "" {
		env = append(env, "SSL_CERT_FILE="+cert)
	}
	uv := t.path("uv", "bin", "uv")
	if err := t.do(ctx, env, uv, "venv", "-q", "--python", python, venv); err != nil {
		return err
	}
	return t.do(ctx, env, uv, "pip", "sync", "--python", filepath.Join(venv, "bin", "python"), "--require-hashes", "--compile-bytecode", t.lock())
}
