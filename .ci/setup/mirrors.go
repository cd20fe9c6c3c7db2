package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsimple"
)

// spotVersions are the AWS providers that can make spot instances
// (modules/aws-spot). None is in a registry that this program reaches.
var spotVersions = version.MustConstraints(version.NewConstraint(">= 5.100, < 7.0"))

// newerAWS looks for a provider that can make spot instances where Terraform
// itself would find one on this machine, and notes down the mirror that has it
// in aws-newer.path.
func (t *task) newerAWS() error {
	path := t.path("aws-newer.path")
	var newest *version.Version
	var mirror string
	for _, dir := range mirrors(os.Getenv) {
		if v := newestAWS(dir); v != nil && (newest == nil || v.GreaterThan(newest)) {
			newest, mirror = v, dir
		}
	}
	if newest == nil {
		t.say("no newer one is on this machine, and spot instances are not tested")
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	t.say("%s in %s, for spot instances", newest, mirror)
	return os.WriteFile(path, []byte(mirror+"\n"), 0o644)
}

// mirrors are the folders in which Terraform looks for providers by itself:
// those of its CLI configuration and the implied ones
// (https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation).
// Images of machines have theirs in /opt, too.
func mirrors(getenv func(string) string) []string {
	home := getenv("HOME")
	dirs := []string{getenv("BERTH_PROVIDERS"), getenv("TF_PLUGIN_CACHE_DIR")}
	config := getenv("TF_CLI_CONFIG_FILE")
	if config == "" {
		config = filepath.Join(home, ".terraformrc")
	}
	dirs = append(dirs, configured(config, getenv)...)
	data := getenv("XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(home, ".local", "share")
	}
	system := getenv("XDG_DATA_DIRS")
	if system == "" {
		system = "/usr/local/share:/usr/share"
	}
	dirs = append(dirs, filepath.Join(home, ".terraform.d", "plugins"))
	for _, dir := range append([]string{data}, filepath.SplitList(system)...) {
		dirs = append(dirs, filepath.Join(dir, "terraform", "plugins"))
	}
	images, _ := filepath.Glob("/opt/*")
	return append(dirs, images...)
}

// configured are the folders that a CLI configuration names. One that cannot be
// read names none: Terraform says what is wrong with it.
func configured(path string, getenv func(string) string) (dirs []string) {
	var config struct {
		Cache     string `hcl:"plugin_cache_dir,optional"`
		Installed []struct {
			Mirrors []struct {
				Path string   `hcl:"path"`
				Rest hcl.Body `hcl:",remain"`
			} `hcl:"filesystem_mirror,block"`
			Rest hcl.Body `hcl:",remain"`
		} `hcl:"provider_installation,block"`
		Rest hcl.Body `hcl:",remain"`
	}
	text, err := os.ReadFile(path)
	if err != nil || hclsimple.Decode("terraformrc.hcl", text, nil, &config) != nil {
		return nil
	}
	if config.Cache != "" {
		dirs = append(dirs, os.Expand(config.Cache, getenv))
	}
	for _, i := range config.Installed {
		for _, m := range i.Mirrors {
			dirs = append(dirs, m.Path)
		}
	}
	return dirs
}

// packed is a provider's archive in a mirror that keeps it so.
var packed = regexp.MustCompile(`^terraform-provider-aws_([^_]+)_`)

// newestAWS is the newest version in a mirror that can make spot instances, of
// those for this machine.
func newestAWS(dir string) (newest *version.Version) {
	if dir == "" {
		return nil
	}
	here, at := filepath.Join(dir, "registry.terraform.io", "hashicorp", "aws"), runtime.GOOS+"_"+runtime.GOARCH
	var found []string
	programs, _ := filepath.Glob(filepath.Join(here, "*", at, "terraform-provider-aws_v*"))
	for _, p := range programs {
		found = append(found, filepath.Base(filepath.Dir(filepath.Dir(p))))
	}
	archives, _ := filepath.Glob(filepath.Join(here, "terraform-provider-aws_*_"+at+".zip"))
	for _, p := range archives {
		if m := packed.FindStringSubmatch(filepath.Base(p)); m != nil {
			found = append(found, m[1])
		}
	}
	for _, text := range found {
		if v, err := version.NewVersion(text); err == nil && spotVersions.Check(v) && (newest == nil || v.GreaterThan(newest)) {
			newest = v
		}
	}
	return newest
}
