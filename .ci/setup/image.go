package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/testdata/machines"
)

// The image of the machines that tests boot: what a cloud's Debian image with
// Salt baked in has. A change of any of these makes it anew.
const (
	imageRelease = "bookworm"
	imageMirror  = "http://deb.debian.org/debian"

	// A compiler, for some of Salt's parts come as source only.
	imagePackages = "systemd systemd-sysv dbus cloud-init openssh-server iproute2 netbase ca-certificates curl git make " +
		"python3 python3-venv python3-dev procps gcc libc6-dev"

	imageUV = "pip sync --python /opt/salt/bin/python --require-hashes --compile-bytecode /root/setup/salt.lock"
)

// imageFiles are written into the image at the end.
var imageFiles = map[string]string{
	// No metadata service, no disk to grow, no other locale in so small a Debian;
	// the network is there before the machine boots.
	"etc/cloud/cloud.cfg.d/90_machines.cfg": `datasource_list: [NoCloud, None]
locale: C.UTF-8
growpart: {mode: 'off'}
resize_rootfs: false
network: {config: disabled}
manage_etc_hosts: localhost
ssh_genkeytypes: [ed25519]
`,
	// A machine that failed tells why on its console.
	"etc/systemd/journald.conf.d/machines.conf": "[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\n",
	// A name server that nobody reaches costs Salt most of a minute.
	"etc/resolv.conf": "",
	"etc/machine-id":  "", // each machine makes its own
}

// image makes the root file system of the machines that tests boot, in
// DIR/image/current. Where none could be booted it says so and makes none.
func (t *task) image(ctx context.Context) error {
	if onPath("debootstrap") == "" || onPath("systemd-nspawn") == "" || onPath("ip") == "" {
		if os.Getuid() != 0 || onPath("apt-get") == "" {
			return t.imageless(ctx, "it takes debootstrap, systemd-nspawn and ip, which only root can install here, with apt-get")
		}
		t.say("installing Debian's debootstrap, systemd-container and iproute2")
		if err := t.apt(ctx, "debootstrap", "systemd-container", "iproute2"); err != nil {
			return t.imageless(ctx, err.Error())
		}
	}
	if lacks := machines.LacksRight(); lacks != "" {
		return t.imageless(ctx, lacks)
	}
	lock, err := os.ReadFile(".ci/salt.lock")
	if err != nil {
		return err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, imageRelease, imagePackages, imageUV, imageFiles)
	hash.Write(lock)
	digest := hex.EncodeToString(hash.Sum(nil))[:16]
	dir := t.path("image", digest)
	if _, err := os.Stat(dir); err == nil {
		t.say("is there")
		return t.currentImage(digest)
	}
	start := time.Now()
	t.say("making the machines' root file system, Debian with Salt (about two minutes, this once)")
	if err := os.MkdirAll(t.path("image"), 0o755); err != nil {
		return err
	}
	half := t.path("image", "half-made")
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := t.makeImage(ctx, half, lock); err != nil {
		return t.imageless(ctx, err.Error())
	}
	if err := os.Rename(half, dir); err != nil {
		return err
	}
	t.say("made (%d s)", int(time.Since(start).Seconds()))
	return t.currentImage(digest)
}

// imageless ends the task without an image: the tests are skipped, unless
// somebody said that they must run. A container may refuse on the way what it
// seemed to allow.
func (t *task) imageless(ctx context.Context, why string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if os.Getenv("BERTH_REQUIRE_MACHINES") != "" {
		return errors.New("image: no machine can be booted here: " + strings.TrimPrefix(why, "image: "))
	}
	t.say("no machine can be booted here: %s; the tests that need some are skipped", strings.TrimPrefix(why, "image: "))
	return nil
}

// currentImage has image/current lead to this image, and removes those of
// earlier recipes.
func (t *task) currentImage(digest string) error {
	link, temporary := t.path("image", "current"), t.path("image", "next")
	if old, err := os.Readlink(link); err == nil && old == digest {
		return nil
	}
	_ = os.Remove(temporary)
	if err := os.Symlink(digest, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, link); err != nil {
		return err
	}
	entries, err := os.ReadDir(t.path("image"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != digest {
			if err := os.RemoveAll(t.path("image", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *task) makeImage(ctx context.Context, root string, lock []byte) error {
	python, err := t.interpreter(ctx)
	if err != nil {
		return err
	}
	if err := t.uv(ctx, python); err != nil {
		return err
	}
	mirror := imageMirror
	if m := os.Getenv("BERTH_DEBIAN_MIRROR"); m != "" {
		mirror = m
	}
	t.say("Debian")
	if err := t.do(ctx, nil, "debootstrap", "--variant=minbase", imageRelease, root, mirror); err != nil {
		return err
	}
	write := func(name, content string, mode fs.FileMode) error {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		_ = os.Remove(name) // it may be a link out of the image
		return os.WriteFile(name, []byte(content), mode)
	}
	copied := func(name, from string, mode fs.FileMode) error {
		raw, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return write(name, string(raw), mode)
	}
	steps := []error{
		copied("etc/resolv.conf", "/etc/resolv.conf", 0o644),
		write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755), // starts no service
		write("etc/dpkg/dpkg.cfg.d/machines", "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n", 0o644),
		copied("root/setup/uv", t.path("uv", "bin", "uv"), 0o755),
		write("root/setup/salt.lock", string(lock), 0o644),
	}
	inside := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
		"UV_LINK_MODE=copy", "UV_NO_CACHE=1", "UV_PYTHON_DOWNLOADS=never", "UV_NO_CONFIG=1"}
	// The way out, and whom to trust on it, may be known to this machine only.
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if v := os.Getenv(name); v != "" {
			inside = append(inside, name+"="+v)
		}
	}
	if index := os.Getenv("PIP_INDEX_URL"); index != "" {
		inside = append(inside, "UV_DEFAULT_INDEX="+index)
	}
	for _, authorities := range []string{os.Getenv("SSL_CERT_FILE"), os.Getenv("PIP_CERT")} {
		if authorities != "" {
			steps = append(steps, copied("root/setup/authorities.pem", authorities, 0o644))
			inside = append(inside, "SSL_CERT_FILE=/root/setup/authorities.pem")
			break
		}
	}
	if err := errors.Join(steps...); err != nil {
		return err
	}
	// In a mount namespace of its own, so that nothing stays mounted. Salt reads
	// /proc when it is imported.
	within := func(args ...string) error {
		shell := `mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env -i "$@"`
		all := append([]string{"--mount", "--propagation", "private", "sh", "-c", shell, root}, inside...)
		return t.do(ctx, nil, "unshare", append(all, args...)...)
	}
	t.say("systemd, cloud-init and what belongs to them")
	if err := within("apt-get", "update", "-q"); err != nil {
		return err
	}
	if err := within(append([]string{"apt-get", "install", "-qy", "--no-install-recommends"}, strings.Fields(imagePackages)...)...); err != nil {
		return err
	}
	if err := within("apt-get", "clean"); err != nil {
		return err
	}
	t.say("Salt")
	if err := within("/root/setup/uv", "venv", "-q", "--python", "/usr/bin/python3", "/opt/salt"); err != nil {
		return err
	}
	if err := within(append([]string{"/root/setup/uv"}, strings.Fields(imageUV)...)...); err != nil {
		return err
	}
	if err := within("/opt/salt/bin/salt-call", "--version"); err != nil {
		return err
	}
	keys, err := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*")) // each machine makes its own
	if err != nil {
		return err
	}
	for _, name := range append(keys, filepath.Join(root, "root/setup"), filepath.Join(root, "usr/sbin/policy-rc.d")) {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(imageFiles))
	for name := range imageFiles {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := write(name, imageFiles[name], 0o644); err != nil {
			return err
		}
	}
	return os.Symlink("/opt/salt/bin/salt-call", filepath.Join(root, "usr/local/bin/salt-call"))
}
