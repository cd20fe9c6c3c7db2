package diagnose_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// What an agent says of a machine on which Salt could not be installed ends in
// the same sentences as the log of its first start.
func TestInstalling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, says, code, who, sentence string }{
		{"apt is busy", "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\nberth: apt-get -q -o failed: exit status 100", "package_busy", "retry", `Another installation ("unattended-upgr") was running`},
		{"no mirror", "Err:1 http://deb.debian.org/debian bookworm InRelease\n  Temporary failure resolving 'deb.debian.org'\nE: Some index files failed to download.\nberth: apt-get -q -o failed: exit status 100", "package_mirror_unreachable", "retry", "deb.debian.org"},
		{"the disk", "dpkg: error processing archive /var/cache/apt/archives/gcc-12.deb (--unpack):\n cannot copy extracted data: failed to write (No space left on device)\nberth: apt-get -q -o failed: exit status 100", "disk_full", "ops", "disk was full"},
		{"no such version", "ERROR: Could not find a version that satisfies the requirement salt==9999.1 (from versions: 3007.1, 3008.3)\nERROR: No matching distribution found for salt==9999.1", "package_not_found", "ops", "salt==9999.1"},
		{"a bad download", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes.", "checksum_mismatch", "ops", "does not match its checksum"},
		{"another version than wanted", "berth: /opt/salt/salt-call has version 3006.9, and 3008.3 is wanted\n", "salt_missing", "ops", "could not be installed"},
		{"nothing said", "", "salt_missing", "ops", "no git, and no package manager"},
	} {
		d := diagnose.Diagnoser{}.Report(orchestrator.App{Name: "web"}, "main", orchestrator.Report{Installing: true, Stderr: c.says,
			Problem: "What sets this server up could not be installed: the image has no git, and no package manager that Berth knows (apt-get, dnf)."}, nil)
		if len(d.Causes) != 1 || d.Outcome != orchestrator.OutcomeFailed {
			t.Errorf("%s: %+v", c.name, d)
			continue
		}
		got := d.Causes[0]
		if got.Code != c.code || got.Who != c.who || !strings.Contains(got.Sentence, c.sentence) {
			t.Errorf("%s: %s (%s): %s", c.name, got.Code, got.Who, got.Sentence)
		}
		if first, _, _ := strings.Cut(c.says, "\n"); !strings.Contains(got.Evidence, strings.TrimSpace(first)) {
			t.Errorf("%s: the evidence is %q", c.name, got.Evidence)
		}
	}
}

// The card and who runs berth diagnose on the machine are told the same.
func TestInstallingRecorded(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../../testdata/first-start/install-*")
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	for _, dir := range dirs {
		c, err := diagnosetest.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		log, told := diagnose.Any(c.Input, nil, 0), diagnose.Diagnoser{}.Report(orchestrator.App{Name: "web"}, "main", orchestrator.Report{Installing: true, Stderr: string(c.Input),
			Problem: "What sets this server up could not be installed: exit status 100."}, nil)
		if len(log.Causes) != 1 || len(told.Causes) != 1 || log.Causes[0].Code != told.Causes[0].Code || log.Causes[0].Sentence != told.Causes[0].Sentence {
			t.Errorf("%s: the log %+v, the report %+v", filepath.Base(dir), log.Causes, told.Causes)
		}
	}
}
