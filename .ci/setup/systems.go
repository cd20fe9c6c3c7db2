package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// systemsPackages are a Debian with the package managers of other systems, and
// what their repositories are made with. Debian has no apk.
const systemsPackages = "dnf,zypper,createrepo-c,rpm,gnupg,python3-venv,ca-certificates,systemd"

// systems makes the root file system in which the agent installs packages with
// real package managers, in DIR/systems/current.
func (t *task) systems(ctx context.Context) error {
	if onPath("debootstrap") == "" {
		if os.Getuid() != 0 || onPath("apt-get") == "" {
			return errors.New("systems: it takes debootstrap, which only root can install here, with apt-get")
		}
		t.say("installing Debian's debootstrap")
		if err := t.apt(ctx, "debootstrap"); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(imageRelease + systemsPackages))
	digest := hex.EncodeToString(sum[:])[:16]
	dir, half, link := t.path("systems", digest), t.path("systems", "half-made"), t.path("systems", "current")
	if _, err := os.Stat(dir); err == nil {
		t.say("is there")
		return nil
	}
	start := time.Now()
	t.say("making a Debian with %s (about a minute, this once)", strings.ReplaceAll(systemsPackages, ",", ", "))
	if err := errors.Join(os.RemoveAll(t.path("systems")), os.MkdirAll(t.path("systems"), 0o755)); err != nil {
		return err
	}
	mirror := imageMirror
	if m := os.Getenv("BERTH_DEBIAN_MIRROR"); m != "" {
		mirror = m
	}
	if err := t.do(ctx, nil, "debootstrap", "--variant=minbase", "--include="+systemsPackages, imageRelease, half, mirror); err != nil {
		return fmt.Errorf("%w (it takes root and the right to mount)", err)
	}
	// The folder last: that it is there says that all is.
	if err := os.Symlink(digest, link); err != nil {
		return err
	}
	if err := os.Rename(half, dir); err != nil {
		return err
	}
	t.say("made (%d s)", int(time.Since(start).Seconds()))
	return nil
}
