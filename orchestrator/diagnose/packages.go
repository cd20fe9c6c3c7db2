package diagnose

import "strings"

// packageRecords are apt's (and its kin's) texts.
var packageRecords = []record{
	{code: "package_busy", who: retry, text: both, re: later(`Could not get lock|dpkg frontend lock|is another process using it|Waiting for dpkg lock|Unable to acquire the dpkg|Unable to lock (?:the administration )?directory|Existing lock |another app is currently holding|waiting for .*lock to be released|is locked by another|Waiting for cache lock`),
		sentence: `Another installation was running on the server, so the packages could not be installed.`, next: tryAgain},
	{code: "disk_full", who: ops, text: both, re: later(diskFull), sentence: `The server's disk is full: packages could not be installed.`, next: nextDisk},
	{code: "package_mirror_unreachable", who: retry, text: both, re: later(`Temporary failure resolving '(?P<host>[^']+)'|Could not resolve '(?P<h2>[^']+)'|Could not connect to (?P<h3>[^\s:]+)|Cannot initiate the connection to (?P<h4>[^\s:]+)|Failed to fetch \w+://(?P<h5>[^/\s]+)\S*|connect \(\d+: |404\s+Not Found \[IP: (?P<h6>[^\s\]]+)|Connection timed out \[IP: (?P<h7>[^\s\]]+)|Unable to connect to (?P<h8>[^\s:]+)|Hash Sum mismatch|Cannot (?:find a valid baseurl|download repomd|retrieve repository metadata)|Could not resolve host: (?P<h9>\S+)|Some index files failed to download|Failed to download metadata`),
		refine: mirror, sentence: `The package mirror{host} could not be reached or lacks a file: {line}`, next: tryAgain, subject: "{host}"},
	{code: "package_not_found", who: ops, text: both, re: later(`Unable to locate package (?P<pkg>\S+)|Package '?(?P<p2>[^'\s]+)'? has no installation candidate|Version '(?P<ver>[^']+)' for '(?P<p3>[^']+)' was not found|The following package\(s\) were not found, and no possible matches[^:]*: (?P<p4>[^\n]+)|Package '?(?P<p5>[^'\s]+)'? not found \(possible|No package (?P<p6>\S+) available|No match for argument: (?P<p7>\S+)|Couldn't find any package by \w+ '(?P<p8>[^']+)'|unable to select packages:\s+(?P<p9>\S+)|Unable to find a match: (?P<p10>.+)|No candidate version found for (?P<p11>\S+)|No information found for '(?P<p12>[^']+)'`),
		refine: packages, sentence: `The package "{pkg}"{version} is not available to the server.`, next: askOps, subject: "{pkg}"},
	{code: "package_mirror_unreachable", who: ops, text: both, re: later(`NO_PUBKEY|is not signed|GPG error|public key is not available|does not have a Release file|not valid yet|is expired|keyserver`), in: "pkg pkgrepo aptpkg",
		sentence: `The server can't use a package source: {line}`, next: askOps},
	{code: "package_install_failed", who: ops, text: both, re: later(`held broken packages|Sub-process \S*dpkg returned an error|dpkg was interrupted|unmet dependencies|The following packages failed to install/update: (?P<pkg>[^\n]+)|error processing (?:package|archive) (?P<p2>\S+)|Problem encountered (?:installing|removing|upgrading) package|An error was encountered while (?:installing|removing|checking)|Unable to correct problems|The following packages? (?:is|are) set to be installed`),
		refine: installFailed, sentence: `The package{pkg} could not be installed: {line}`, next: askOps, subject: "{name}"},
}

// packageStateRecords are what is left of pkg.*.
var packageStateRecords = []record{
	{code: "package_mirror_unreachable", who: ops, in: "pkgrepo", refine: commentLine, sentence: `The package source "{name}" could not be set up: {line}`, next: askOps, subject: "{name}"},
	{code: "package_install_failed", who: ops, in: "pkg", sentence: `The package{pkg} could not be installed: {line}`, refine: installFailed, next: askOps, subject: "{name}"},
}

func mirror(f *failure, x *finding) {
	h := coalesce(f, "host", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9")
	text := f.comment + "\n" + f.output()
	if h == "" {
		h = hostOf(first(text, `https?://[^\s'"\]]+`))
	}
	f.vars["host"] = ""
	if h != "" {
		f.vars["host"] = ` "` + h + `"`
	}
	l := first(text, `(?m)^.*(?:Temporary failure|Could not (?:resolve|connect)|Failed to fetch|Connection (?:refused|timed out)|404\s+Not Found|Unable to connect|Hash Sum mismatch|Could not resolve host).*$`)
	if l == "" {
		l = telling(text, "")
	}
	f.vars["line"] = strings.TrimPrefix(strings.TrimSpace(re(`^(?:- )?`).ReplaceAllString(l, "")), "E: ")
}

func packages(f *failure, x *finding) {
	pkg := coalesce(f, "pkg", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12")
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
	if v := f.vars["ver"]; v != "" {
		f.vars["version"] = ` in version "` + v + `"`
	}
}

func installFailed(f *failure, x *finding) {
	if re(`(?i)failed to remove|removing package|failed to purge`).MatchString(f.comment) {
		x.sentence = `The package{pkg} could not be removed: {line}`
		if m := re(`failed to (?:remove|purge)[^:]*: ([^\n.]+)`).FindStringSubmatch(f.comment); m != nil {
			f.vars["pkg"] = m[1]
		}
	}
	p := coalesce(f, "pkg", "p2")
	if p == "" {
		if m := re(`(?m)Errors were encountered while processing:\s+(\S+)|error processing package (\S+)`).FindStringSubmatch(f.comment + "\n" + f.output() + "\n" + f.vars["stderr"]); m != nil {
			p = m[1] + m[2]
		}
	}
	if p == "" {
		p = f.vars["name"]
	}
	f.vars["pkg"] = ` "` + strings.TrimSuffix(p, ".") + `"`
	text := re(`(?m)^Problem encountered.*$|^errors:.*$|Running scope as unit: \S+|The following packages failed.*|An error was encountered.*?: ?`).ReplaceAllString(f.comment, "")
	text = re(`(?m)^\s*(?:- )?`).ReplaceAllString(text, "")
	l := telling(text+"\n"+f.output(), "")
	if l == "" {
		l = "the installer did not say why"
	}
	f.vars["line"] = l
}
