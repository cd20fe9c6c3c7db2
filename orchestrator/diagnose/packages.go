package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// aptSays is how Salt begins what apt answered.
const aptSays = "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - E: "

// packageRecords are apt's (and its kin's) texts.
var packageRecords = []record{
	{code: "permission_denied", who: ops, text: both, re: lazyregexp.New(`are you root\?|open \(13: Permission denied\)|(?i:must be root)|requested operation requires superuser`),
		sentence: `The server has no permission to install packages: the setup does not run as root.`, next: askOps,
		samples: []sample{{step: "pkg.installed curl", says: aptSays + "Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\n      E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?", names: []string{"permission"}}}},
	{code: "package_busy", who: retry, text: both, re: lazyregexp.New(`Could not get lock|dpkg frontend lock|is another process using it|Waiting for dpkg lock|Unable to acquire the dpkg|Unable to lock (?:the administration )?directory|Existing lock |another app is currently holding|waiting for .*lock to be released|is locked by another|Waiting for cache lock`),
		sentence: `Another installation was running on the server, so the packages could not be installed.`, next: tryAgain,
		samples: []sample{
			{step: "pkg.installed curl", says: aptSays + "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\n      E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?"},
			{step: "pkg.uptodate all", says: "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/"},
		}},
	{code: "disk_full", who: ops, text: both, re: lazyregexp.New(diskFull), sentence: `The server's disk is full: packages could not be installed.`, next: nextDisk,
		samples: []sample{{step: "pkg.installed curl", says: aptSays + "You don't have enough free space in /var/cache/apt/archives/.", names: []string{"disk"}}}},
	{code: "source_missing", who: retry, in: "pkg", re: lazyregexp.New(`(?i:connection refused|timed out|name or service not known|temporary failure in name resolution|unreachable|reset by peer|HTTP 5\d\d)[^\n]* reading (?P<src>\S+)|Failed to cache (?P<s2>\S+): [^\n]*(?i:refused|timed out|not known|temporary failure|unreachable|HTTP 5\d\d)`), refine: source,
		sentence: `The package file "{src}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}",
		samples: []sample{{step: "pkg.installed base-tools", says: "An error was encountered while installing package(s): Error: [Errno 111] Connection refused reading /debs/lamp_3.deb", names: []string{"/debs/lamp_3.deb"}}}},
	{code: "source_missing", who: ops, in: "pkg", re: lazyregexp.New(`Unable to cache (?:source )?(?P<src>\S+?):? (?:for package (?P<for>\S+)|[^\n]+)|HTTP 4\d\d[^\n]* reading (?P<s2>\S+)|(?P<s3>(?:/|salt:|https?:)\S+) does not exist on (?:the )?minion|Package file (?P<s4>\S+) (?:not found|does not exist)`), refine: source,
		sentence: `The package file "{src}" that the step "{step}" installs is missing.`, next: askOpsRecipe, subject: "{src}",
		samples: []sample{
			{step: "pkg.installed base-tools", says: "An error was encountered while installing package(s): Unable to cache source salt://debs/lamp_1.deb for package lamp", names: []string{"debs/lamp_1.deb"}},
			{step: "pkg.installed base-tools", says: "An error was encountered while installing package(s): /opt/debs/lamp_1.deb does not exist on minion", names: []string{"/opt/debs/lamp_1.deb"}},
			{step: "pkg.installed base-tools", says: "An error was encountered while installing package(s): Error: HTTP 404: Not Found reading /debs/lamp_2.deb", names: []string{"/debs/lamp_2.deb"}},
		}},
	{code: "package_mirror_unreachable", who: ops, text: both, re: lazyregexp.New(`NO_PUBKEY|is not signed|GPG error|public key is not available|does not have a Release file|no longer has a Release file|not valid yet|is expired|EXPKEYSIG|BADSIG|unauthenticated packages|cannot be authenticated|changed its '[^']+' value|(?:401|403) +(?:Unauthorized|Forbidden)|40[13] [^\n]*\[IP:`), in: "pkg pkgrepo aptpkg module",
		sentence: `The server can't use a package source{host}: {line}`, refine: sourceRefused, next: askOps, subject: "{host} {line}",
		samples: []sample{
			{step: "pkg.installed curl", says: "An error was encountered while installing package(s): E: The repository 'http://deb.acme.io bookworm Release' does not have a Release file.", names: []string{"deb.acme.io", "Release file"}},
			{step: "pkg.installed curl", says: "An error was encountered while installing package(s): W: GPG error: http://deb.acme.io stable InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 7EA0A9C3F273FCD8\nE: The repository 'http://deb.acme.io stable InRelease' is not signed.", names: []string{"deb.acme.io", "NO_PUBKEY 7EA0A9C3F273FCD8"}},
			{step: "pkg.installed curl", says: "An error was encountered while installing package(s): E: Release file for http://deb.acme.io/dists/stable/InRelease is not valid yet (invalid for another 3h 2min 1s). Updates for this repository will not be applied.", names: []string{"deb.acme.io", "not valid yet"}},
			{step: "pkg.installed curl", says: aptSays + "There were unauthenticated packages and -y was used without --allow-unauthenticated", names: []string{"unauthenticated"}},
			{step: "pkg.installed curl", says: aptSays + "Failed to fetch http://deb.acme.io/pool/w/wick_1_amd64.deb  401  Unauthorized [IP: 10.1.1.1 80]", names: []string{"deb.acme.io", "401"}},
		}},
	{code: "package_mirror_unreachable", who: ops, text: both, re: lazyregexp.New(`Type '[^'\n]+' is not known on line \d+ in source list|Malformed (?:entry|line|stanza) \d+|list of sources could not be read|Conflicting values set for option|(?:Unable to parse|parse) (?:package )?sources? (?:list|file)`), refine: sourceRefused,
		sentence: `The server's list of package sources can't be read: {line}`, next: askOps, subject: "{line}",
		samples: []sample{
			{step: "pkg.installed curl", says: "An error was encountered while installing package(s): E: Type 'debb' is not known on line 1 in source list /etc/apt/sources.list.d/wick.list\nE: The list of sources could not be read.", names: []string{"/etc/apt/sources.list.d/wick.list"}},
			{step: "pkg.installed curl", says: "An error was encountered while installing package(s): E: Conflicting values set for option Signed-By regarding source http://deb.acme.io/ stable: /a.gpg != \nE: The list of sources could not be read.", names: []string{"deb.acme.io"}},
		}},
	{code: "package_mirror_unreachable", who: retry, text: both, re: lazyregexp.New(`Temporary failure resolving '(?P<host>[^']+)'|Could not resolve '(?P<h2>[^']+)'|Could not connect to (?P<h3>[^\s:]+)|Cannot initiate the connection to (?P<h4>[^\s:]+)|Failed to fetch \w+://(?P<h5>[^/\s]+)\S*|connect \(\d+: |404\s+Not Found \[IP: (?P<h6>[^\s\]]+)|Connection timed out \[IP: (?P<h7>[^\s\]]+)|Unable to connect to (?P<h8>[^\s:]+)|Hash Sum mismatch|Cannot (?:find a valid baseurl|download repomd|retrieve repository metadata)|Could not resolve host: (?P<h9>\S+)|Some index files failed to download|Failed to download metadata|Unable to fetch some archives`),
		refine: mirror, sentence: `The package mirror{host} could not be reached or lacks a file: {line}`, next: tryAgain, subject: "{host}",
		samples: []sample{
			{step: "pkg.installed curl", says: aptSays + "Failed to fetch http://deb.acme.io/pool/c/curl_8_amd64.deb  Temporary failure resolving 'deb.acme.io'\n      E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?", names: []string{"deb.acme.io", "Temporary failure"}},
			{step: "pkg.installed curl", says: aptSays + "Failed to fetch http://deb.acme.io/pool/c/curl_8_amd64.deb  Could not connect to deb.acme.io:80 (10.1.1.1). - connect (111: Connection refused)", names: []string{"deb.acme.io", "refused"}},
			{step: "pkg.installed curl", says: aptSays + "Failed to fetch http://deb.acme.io/pool/c/curl_8_amd64.deb  404  Not Found [IP: 10.1.1.1 80]", names: []string{"deb.acme.io", "404"}},
			{step: "pkg.installed curl", says: aptSays + "Failed to fetch http://deb.acme.io/pool/c/curl_8_amd64.deb  Hash Sum mismatch\n         Hashes of expected file:\n          - SHA256:873c", names: []string{"deb.acme.io", "Hash Sum mismatch"}},
		}},
	{code: "package_not_found", who: ops, text: both, re: lazyregexp.New(`Unable to locate package (?P<pkg>\S+)|Package '?(?P<p2>[^'\s]+)'? has no installation candidate|Version '(?P<ver>[^']+)' for '(?P<p3>[^']+)' was not found|No version matching '(?P<p13>[^'=<>!]+)(?P<v2>[^']*)' could be found|The following package\(s\) were not found, and no possible matches[^:]*: (?P<p4>[^\n]+)|Package '?(?P<p5>[^'\s]+)'? not found (?:\(possible|in the repository)|No package (?P<p6>\S+) available|No match for argument: (?P<p7>\S+)|Couldn't find any package by \w+ '(?P<p8>[^']+)'|unable to select packages:\s+(?P<p9>\S+)|Unable to find a match: (?P<p10>.+)|No candidate version found for (?P<p11>\S+)|No information found for '(?P<p12>[^']+)'`),
		refine: packages, sentence: `The package "{pkg}"{version} is not available to the server.`, next: askOps, subject: "{pkg}",
		samples: []sample{
			{step: "pkg.installed base-tools", says: aptSays + "Unable to locate package lock-tools\n      E: Unable to locate package failed-jobs", names: []string{"lock-tools", "failed-jobs"}},
			{step: "pkg.installed base-tools", says: aptSays + "Version '9.9' for 'redis' was not found", names: []string{"redis", "9.9"}},
			{step: "pkg.installed redis", says: "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - No version matching 'redis>=8' could be found (available: 7.0)", names: []string{`"redis"`, "8"}},
			{step: "pkg.installed redis", says: aptSays + "Package 'redis' has no installation candidate", names: []string{"redis"}},
			{step: "pkg.installed base-tools", says: "The following package(s) were not found, and no possible matches were found in the package db: wick, tallow", names: []string{"wick", "tallow"}},
			{step: "pkg.installed base-tools", says: "Package 'wick' not found (possible matches: wick-tools, wick2)", names: []string{"wick"}},
			{step: "pkg.latest redis", says: "No information found for 'redis'.", names: []string{"redis"}},
		}},
	{code: "package_not_found", who: ops, text: both, re: lazyregexp.New(`The value '(?P<rel>[^'\n]+)' is invalid for APT::(?:Default|Target)-Release|Release '(?P<r2>[^'\n]+)' for '(?P<pkg>[^'\n]+)' was not found`), refine: func(f *failure, _ *finding) {
		coalesce(f, "rel", "r2")
		if f.vars["pkg"] == "" {
			f.vars["pkg"] = f.vars["name"]
		}
	}, sentence: `The package "{pkg}" should come from "{rel}", which is none of the server's package sources.`, next: askOps, subject: "{rel}",
		samples: []sample{{step: "pkg.installed redis", says: aptSays + "The value 'bookworm-backports' is invalid for APT::Default-Release as such a release is not available in the sources", names: []string{"redis", "bookworm-backports"}}}},
	{code: "recipe_error", who: ops, in: "pkg pkgrepo", re: lazyregexp.New(`[Oo]nly one of|Invalidly formatted|is not a supported argument|parameter is not supported|not (?:available|supported|implemented) (?:for|on) (?:this|the) platform|You may not use both|keyserver and keyid options required|cannot parse "ppa:"|not a? ?well[- ]formatted|must be the complete repo entry|duplicated packages names|must be formatted as|must be either|required an? keyid|PPA info from argument`), refine: repoLine,
		sentence: `The recipe's step "{step}" for packages is not right: {line}`, next: askOpsRecipe, subject: "{step}",
		samples: []sample{
			{step: "pkg.installed base-tools", says: `Only one of "pkgs" and "sources" is permitted.`, names: []string{"pkgs"}},
			{step: "pkgrepo.managed deb nonsense", says: "Failed to configure repo 'deb nonsense': Name deb nonsense is not valid. This must be the complete repo entry as seen in the sources file", names: []string{"deb nonsense"}},
		}},
	{code: "package_install_failed", who: ops, text: both, re: lazyregexp.New(`held broken packages|Sub-process \S*dpkg returned an error|dpkg was interrupted|[Uu]nmet dependencies|The following (?:targeted )?packages? failed to (?:install/update|update|download|remove|purge)[^:]*: \(?(?P<pkg>[^\n)]+)|The following package\(s\) failed to update: (?P<p3>[^\n]+)|Package (?P<p4>\S+) failed to update|error processing (?:package|archive) (?P<p2>\S+)|Problem encountered (?:installing|removing|upgrading) package|An error was encountered while (?:installing|removing|purging|updating|holding|checking|downloading|parsing)|Unable to correct problems|The following packages? (?:is|are) set to be installed`),
		refine: installFailed, sentence: `The package{pkg} could not be installed: {line}`, next: askOps, subject: "{name} {pkg}",
		samples: []sample{
			{step: "pkg.installed redis", says: aptSays + "Sub-process /usr/bin/dpkg returned an error code (1)", names: []string{"redis", "cannot open /etc/redis.key"},
				stderr: "[ERROR   ] Command 'apt-get' failed with return code: 100\n[ERROR   ] stdout: Unpacking redis (1.0) ...\nSetting up redis (1.0) ...\nredis: cannot open /etc/redis.key\ndpkg: error processing package redis (--configure):\n installed redis package post-installation script subprocess returned error exit status 1\nErrors were encountered while processing:\n redis\n[ERROR   ] stderr: E: Sub-process /usr/bin/dpkg returned an error code (1)\n[ERROR   ] retcode: 100\n"},
			{step: "pkg.installed image-proxy", says: aptSays + "Unable to correct problems, you have held broken packages.", names: []string{"image-proxy", "libtallow9 (>= 9.2)"},
				stderr: "[ERROR   ] Command 'apt-get' failed with return code: 100\n[ERROR   ] stdout: Reading package lists...\nThe following packages have unmet dependencies:\n image-proxy : Depends: libtallow9 (>= 9.2) but it is not installable\n[ERROR   ] stderr: E: Unable to correct problems, you have held broken packages.\n"},
			{step: "pkg.installed redis", says: aptSays + "dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", names: []string{"redis", "dpkg was interrupted"}},
			{step: "pkg.installed redis", says: "The following packages failed to install/update: redis=2.0", names: []string{"redis=2.0"}},
			{step: "pkg.removed redis", says: "The following packages failed to remove: redis.", names: []string{"redis", "removed"}},
			{step: "pkg.latest redis", says: "Package redis failed to update.", names: []string{"redis"}},
		}},
}

// packageStateRecords are what is left of pkg.*.
var packageStateRecords = []record{
	{code: "permission_denied", who: ops, in: "pkgrepo", re: lazyregexp.New(denied), refine: repoLine, sentence: `The server has no permission to set up the package source "{name}": {line}`, next: askOps, subject: "{name}",
		samples: []sample{{step: "pkgrepo.managed deb http://deb.acme.io stable main", says: "Failed to configure repo 'deb http://deb.acme.io stable main': [Errno 13] Permission denied: '/etc/apt/sources.list.d/acme.list'", names: []string{"/etc/apt/sources.list.d/acme.list"}}}},
	{code: "package_mirror_unreachable", who: retry, in: "pkgrepo", re: lazyregexp.New(offline + `|HTTP (?:Error )?5\d\d|keyserver (?:receive failed|timed out)|No keyserver available`), refine: repoLine, sentence: `The package source "{name}" could not be set up, its server can't be reached: {line}`, next: tryAgain, subject: "{name}",
		samples: []sample{
			{step: "pkgrepo.managed deb http://deb.acme.io stable main", says: "Failed to configure repo 'deb http://deb.acme.io stable main': Error: [Errno 111] Connection refused reading /key.gpg", names: []string{"deb.acme.io", "/key.gpg"}},
			{step: "pkgrepo.managed deb http://deb.acme.io stable main", says: "Failed to configure repo 'deb http://deb.acme.io stable main': Error: key retrieval failed: Executing: /tmp/apt-key-gpghome.BYUX2OmbpI/gpg.1.sh --batch --keyserver keys.acme.io --logger-fd 1 --recv-keys ABCDEF1234567890\ngpg: keyserver receive failed: No route to host", names: []string{"deb.acme.io", "keyserver receive failed"}},
		}},
	{code: "package_mirror_unreachable", who: ops, in: "pkgrepo", refine: repoLine, sentence: `The package source "{name}" could not be set up: {line}`, next: askOps, subject: "{name}",
		samples: []sample{{step: "pkgrepo.managed deb http://deb.acme.io stable main", says: "Failed to configure repo 'deb http://deb.acme.io stable main': Error: HTTP 404: Not Found reading /key.gpg", names: []string{"deb.acme.io", "404", "/key.gpg"}}}},
	{code: "package_install_failed", who: ops, in: "pkg", sentence: `The package{pkg} could not be installed: {line}`, refine: installFailed, next: askOps, subject: "{name}",
		samples: []sample{{step: "pkg.held redis", says: "Package redis was not held", names: []string{"redis", "not held"}}}},
}

func mirror(f *failure, _ *finding) {
	h := coalesce(f, "host", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9")
	text := f.comment + "\n" + f.output()
	if h == "" {
		h = hostOf(first(text, `https?://[^\s'"\]]+`))
	}
	f.vars["host"] = ""
	if h != "" {
		f.vars["host"] = ` "` + h + `"`
	}
	f.vars["line"] = aptLine(text, `Temporary failure|Could not (?:resolve|connect)|Failed to fetch|Connection (?:refused|timed out)|404\s+Not Found|Unable to connect|Hash Sum mismatch|Could not resolve host`)
}

// aptLine is the first line of a text that matches, without what apt and Salt
// put before it; else the one that tells most.
func aptLine(text, pattern string) string {
	l := first(text, `(?m)^.*(?:`+pattern+`).*$`)
	if l == "" {
		l = telling(text, "")
	}
	l = re(`^(?:An error was encountered[^:\n]*: )?(?:- )?(?:[EW]: )?`).ReplaceAllString(strings.TrimSpace(l), "")
	return strings.TrimSpace(l)
}

// sourceRefused finds which package source it is about.
func sourceRefused(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	f.vars["line"] = aptLine(text, `E: .*(?:Release file|not signed|not valid|expired|unauthenticated|40[13] |is not known|Malformed|Conflicting|changed its|parse)|GPG error|NO_PUBKEY|cannot be authenticated|40[13] `)
	f.vars["host"] = ""
	if h := hostOf(first(text, `https?://[^\s'"\]]+`)); h != "" && !strings.Contains(f.vars["line"], h) {
		f.vars["host"] = ` "` + h + `"`
	}
}

// repoLine is what was wrong with a package source, without its name again.
func repoLine(f *failure, x *finding) {
	commentLine(f, x)
	if m := re(`(?m)^gpg: (.*failed.*)$`).FindStringSubmatch(f.comment); m != nil {
		f.vars["line"] = m[1]
		return
	}
	l := f.vars["line"]
	for _, lead := range []string{"Failed to configure repo '" + f.vars["name"] + "': ", "Failed to examine repo '" + f.vars["name"] + "': ", "Failed to confirm config of repo '" + f.vars["name"] + "': ", "Error: "} {
		l = strings.TrimPrefix(l, lead)
	}
	f.vars["line"] = l
}

func packages(f *failure, x *finding) {
	pkg := coalesce(f, "pkg", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13")
	seen := map[string]bool{pkg: true}
	all := []string{strings.Trim(pkg, " .'\"")}
	for _, m := range re(`Unable to locate package (\S+)|Package '?([^'\s]+)'? has no installation candidate|No package (\S+) available|Package '?([^'\s]+)'? not found \(possible`).FindAllStringSubmatch(f.comment+"\n"+f.output(), 8) {
		p := m[1] + m[2] + m[3] + m[4]
		if !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	f.vars["pkg"] = strings.Join(all, ", ")
	if len(all) > 1 || strings.Contains(pkg, ", ") {
		x.sentence = `The packages "{pkg}" are not available to the server.`
	}
	f.vars["version"] = ""
	if v := coalesce(f, "ver", "v2"); v != "" {
		f.vars["version"] = ` in version "` + strings.TrimSpace(v) + `"`
	}
}

// installerLog is what the installer printed in the run that a failed step of
// packages was about: Salt leaves it out of the result.
func installerLog(f *failure) string {
	const begin = "Command 'apt-get' failed"
	runs := strings.Split(f.vars["stderr"], begin)
	if len(runs) < 2 {
		return ""
	}
	// Several steps may have failed: the last one that names the package.
	for i := len(runs) - 1; i > 0; i-- {
		if name := f.vars["name"]; name != "" && re(`(?:^|[\s/(])`+quoteMeta(name)+`(?:[\s:(_=]|$)`).MatchString(runs[i]) {
			return runs[i]
		}
	}
	return runs[len(runs)-1]
}

// installReason is why an installation broke, in the installer's own words, and
// the package that it was about.
func installReason(log string) (pkg, why string) {
	if m := re(`(?m)^ (\S+) : ((?:PreDepends|Pre-Depends|Depends|Conflicts|Breaks): .*)$`).FindStringSubmatch(log); m != nil {
		return m[1], strings.Replace(m[2], "Depends: ", "needs ", 1)
	}
	m := re(`(?m)^(.*)\ndpkg: error processing (?:package|archive) (\S+) \(--\w+\):\n (.*)$`).FindStringSubmatch(log)
	if m == nil {
		return "", ""
	}
	pkg, why = m[2], strings.TrimSpace(m[3])
	if pkg = pkg[strings.LastIndex(pkg, "/")+1:]; strings.HasSuffix(pkg, ".deb") {
		pkg, _, _ = strings.Cut(pkg, "_")
	}
	// What the package's own script said comes just before.
	if strings.Contains(why, "script subprocess") && !re(`^(?:Setting up|Unpacking|Preparing|Selecting|Removing|Processing|Purging|\(Reading)`).MatchString(m[1]) && strings.TrimSpace(m[1]) != "" {
		why = strings.TrimSpace(m[1])
	}
	return pkg, why
}

func installFailed(f *failure, x *finding) {
	removing := re(`(?i)failed to remove|removing package|failed to purge`).MatchString(f.comment)
	if removing {
		x.sentence = `The package{pkg} could not be removed: {line}`
		if m := re(`failed to (?:remove|purge)[^:]*: ([^\n.]+)`).FindStringSubmatch(f.comment); m != nil {
			f.vars["pkg"] = m[1]
		}
	}
	p := coalesce(f, "pkg", "p2", "p3", "p4")
	log := installerLog(f)
	at, why := installReason(log)
	if p == "" && !removing {
		p = at
	}
	if p == "" {
		if m := re(`(?m)Errors were encountered while processing:\s+(\S+)|error processing package (\S+)`).FindStringSubmatch(f.comment + "\n" + f.output() + "\n" + log); m != nil {
			p = m[1] + m[2]
		}
	}
	if p == "" {
		p = f.vars["name"]
	}
	f.vars["pkg"] = ` "` + strings.TrimSuffix(strings.TrimSpace(p), ".") + `"`
	text := re(`(?m)^Problem encountered.*$|^errors:.*$|Running scope as unit: \S+|The following (?:targeted )?packages? .*failed.*|An error was encountered[^:\n]*: ?`).ReplaceAllString(f.comment, "")
	text = re(`(?m)^\s*(?:- )?`).ReplaceAllString(text, "")
	l := telling(text+"\n"+f.output(), "")
	if l == "" {
		l = strings.TrimSpace(text)
	}
	if why != "" && re(`Sub-process|held broken packages|[Uu]nmet dependencies|^$`).MatchString(l) {
		l = why
	}
	if l == "" {
		l = "the installer did not say why"
	}
	f.vars["line"] = l
}
