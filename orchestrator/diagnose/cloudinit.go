package diagnose

import (
	"bytes"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

func isCloudInit(b []byte) bool {
	head := b[:min(len(b), 64<<10)]
	return bytes.Contains(head, []byte("Cloud-init v. ")) || bytes.Contains(head, []byte("cloud-init[")) ||
		bytes.Contains(head, []byte("cc_scripts_user.py")) || bytes.Contains(head, []byte(" - util.py[")) || bytes.Contains(head, []byte("bootstrap-salt.sh"))
}

// CloudInit diagnoses the log of a machine's first start: /var/log/cloud-init.log
// or cloud-init-output.log, with what the start-up script printed.
func CloudInit(log []byte) orchestrator.Diagnosis {
	text := strings.ToValidUTF8(string(log), "�")
	m := newMasker(text)
	d := orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK, Causes: []orchestrator.Cause{}}
	f := &failure{comment: text, vars: vars{"line": telling(text, ""), "name": "the start-up script"}}
	x := match(bootRecords, f)
	if x == nil {
		if !re(`(?im)^.*(?:\bERROR\b|\bFAIL(?:ED|URE)?\b|Failed to run|failed running|exited with|Traceback|non-zero exit|\* ERROR:).*$`).MatchString(text) {
			return d // nothing in it tells of a failure
		}
		x = &finding{code: "unknown", who: ops, sentence: `The machine's first start failed with a message that Berth does not know: {line}`, next: askOps}
	}
	d.Outcome = orchestrator.OutcomeFailed
	cause := x.cause(f, m, 0)
	cause.Evidence = m.evidence(tail(text))
	d.Causes = append(d.Causes, cause)
	return d
}

// bootRecords are what a machine's first start and the installation of Salt on
// it can fail with.
var bootRecords = []record{
	{code: "disk_full", who: ops, re: later(diskFull), sentence: `The machine's disk was full on its first start.`, next: askOps},
	{code: "package_busy", who: retry, re: later(`Could not get lock|Unable to acquire the dpkg|is another process using it`), sentence: `Another installation was running on the machine's first start, so it could not be set up.`, next: tryAgain},
	{code: "checksum_mismatch", who: ops, re: later(`(?i)(?:WARNING: \d+ computed checksums? did NOT match|checksum (?:mismatch|did not match|verification failed)|hash sum mismatch|does not match (?:the )?(?:checksum|hash)|sha256sum: .*FAILED|BADSIG|THESE PACKAGES DO NOT MATCH THE HASHES)`), sentence: `A program that the machine downloads on its first start does not match its checksum.`, next: askOps},
	{code: "package_mirror_unreachable", who: retry, re: later(`(?m)(?:E: |Err:\d+ |W: ).*(?:Temporary failure resolving|Could not (?:resolve|connect)|Connection (?:refused|timed out)|404 +Not Found|Failed to fetch)|Temporary failure resolving '(?P<h>[^']+)'|NewConnectionError|Could not find a version that satisfies the requirement salt`), sentence: `The machine could not reach the package mirror on its first start: {line}`, next: tryAgain},
	{code: "package_not_found", who: ops, re: later(`Unable to locate package (?P<pkg>\S+)|No matching distribution found for (?P<p2>\S+)`), refine: packages, sentence: `A package that the machine needs on its first start is not available: "{pkg}".`, next: askOps},
	{code: "cloud_unreachable", who: ops, re: later(`(?:curl|wget)[^\n]*(?:\((?:6|7|28|35|56|60)\)|unable to resolve|failed:|timed out|refused)|Could not resolve host: (?P<host>\S+)|(?i:no route to host|network is unreachable)|x509: |certificate (?:verify|problem)`), sentence: `The machine has no way to the network that it needs on its first start: {line}`, next: `Ask ops to check the network, and that the machine can reach Berth; after that: "berth env retry NAME".`},
	{code: "permission_denied", who: ops, re: later(`(?m)^.*(?:Permission denied|Operation not permitted|Read-only file system).*$`), sentence: `The machine's start-up script has no permission for what it does: {line}`, next: askOps},
	{code: "salt_missing", who: ops, re: later(`salt-call: (?:command )?not found|\* ERROR: Failed to run install_|bootstrap-salt(?:\.sh)?: .*(?:failed|error)|Failed to (?:install|build) salt`), sentence: `The program that sets up servers could not be installed on the machine: {line}`, next: askOps},
	{code: "module_invalid", who: ops, re: later(`Failed loading yaml blob|Unhandled non-multipart|empty cloud config|Invalid cloud-config|schema errors?`), sentence: `The machine's start-up data can't be read.`, next: askOps},
}
