package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// systemRecords are settings of the machine itself: disks, kernel, time,
// language, names, certificates.
var systemRecords = []record{
	{code: "salt_exception", who: retry, in: "mount", re: lazyregexp.New(offline), refine: mountLine, sentence: `The disk for "{name}" could not be mounted, its server can't be reached: {line}`, next: tryAgain, subject: "{name}",
		samples: []sample{{step: "mount.mounted /srv/data", says: "mount.nfs: Connection timed out", names: []string{"/srv/data", "timed out"}}}},
	{code: "permission_denied", who: ops, in: "mount", re: lazyregexp.New(`access denied|only root can|must be superuser`), refine: mountLine, sentence: `The disk for "{name}" may not be mounted: {line}`, next: askOps, subject: "{name}",
		samples: []sample{{step: "mount.mounted /srv/data", says: "mount.nfs: access denied by server while mounting nas.acme.io:/x", names: []string{"/srv/data", "nas.acme.io"}}}},
	{code: "recipe_error", who: ops, in: "mount", re: lazyregexp.New(`Must provide`), refine: mountLine, sentence: `The recipe's step "{step}" for the disk "{name}" is not right: {line}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: "mount.mounted /srv/data", says: "Must provide fstype to mount.mounted", names: []string{"/srv/data", "fstype"}}}},
	{code: "path_missing", who: ops, in: "mount", re: lazyregexp.New(`Unable to find device with label (?P<path>[^\n]+?)\.?$`), sentence: `There is no disk called "{path}" to be mounted at "{name}".`, next: askOps, subject: "{path}",
		samples: []sample{{step: "mount.mounted /srv/data", says: "Unable to find device with label data.", names: []string{"/srv/data", "data"}}}},
	{code: "salt_exception", who: ops, in: "mount", refine: mountLine, sentence: `The disk for "{name}" could not be mounted or unmounted: {line}`, next: askOps, subject: "{name}",
		samples: []sample{
			{step: "mount.mounted /srv/data", says: "mount: /srv/data: wrong fs type, bad option, bad superblock on /dev/sdq1, missing codepage or helper program, or other error.\n       dmesg(1) may have more information after failed mount system call.", names: []string{"/srv/data", "/dev/sdq1"}},
			{step: "mount.mounted /srv/data", says: "mount: /srv/data: unknown filesystem type 'nfs'.\n       dmesg(1) may have more information after failed mount system call.", names: []string{"/srv/data", "nfs"}},
			{step: "mount.unmounted /srv/data", says: "umount: /srv/data: target is busy.", names: []string{"/srv/data", "busy"}},
			{step: "mount.swap /swapfile", says: "Swap /swapfile failed to activate", names: []string{"/swapfile"}},
		}},
	{code: "recipe_error", who: ops, in: "sysctl timezone locale host hosts acl environ keyboard kmod alternatives", re: lazyregexp.New(`Invalid argument|sysctl \S+ does not exist|[Zz]one (?:does not exist|'?\S+ does not exist)|Unable to compare desired timezone|Failed to set timezone|Locale "?\S+ is not available|Failed to (?:generate locale|set system locale)|[Ii]nvalid (?:locale|IP|value|time zone)|ACL Type|must be string|Invalid or not installed time zone`), refine: commentLine,
		sentence: `The server can't be set to "{name}" as the recipe says (step "{step}"): {line}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{
			{step: "sysctl.present vm.wick", says: "Failed to set vm.wick to 1: sysctl vm.wick does not exist", names: []string{"vm.wick"}},
			{step: "timezone.system Mars/Olympus", says: "Zone does not exist: /usr/share/zoneinfo/Mars/Olympus", names: []string{"Mars/Olympus"}},
			{step: "locale.present xx_XX.UTF-8", says: "Failed to generate locale xx_XX.UTF-8", names: []string{"xx_XX.UTF-8"}},
			{step: "host.present db.acme.io", says: "Invalid IP Address for db.acme.io (10.0.0.999)", names: []string{"db.acme.io", "10.0.0.999"}},
		}},
	{code: "salt_exception", who: ops, in: "sysctl timezone locale host hosts acl environ kmod alternatives keyboard x509 tls network firewalld iptables nftables ufw selinux lvm blockdev logrotate", refine: commentLine,
		sentence: `The server could not be set up with "{name}" (step "{step}"): {line}`, next: askOps, subject: "{name}",
		samples: []sample{
			{step: "host.present db.acme.io", says: "Failed to add host db.acme.io (10.0.0.9)", names: []string{"db.acme.io"}},
			{step: "x509.certificate_managed /etc/billing/tls.crt", says: "Could not load provided source. You need to pass an existing file, (PEM|hex|base64)-encoded string or raw bytes.", names: []string{"/etc/billing/tls.crt", "Could not load"}},
		}},
}

// mountLine is why a disk could not be mounted, without the advice below it.
func mountLine(f *failure, x *finding) {
	text := re(`(?m)^\s*dmesg\(1\).*$`).ReplaceAllString(f.comment, "")
	l := telling(text, "")
	if l == "" {
		l = strings.TrimSpace(text)
	}
	f.vars["line"] = re(`^u?mount: `+quoteMeta(f.vars["name"])+`: `).ReplaceAllString(l, "")
}
