package diagnose

import (
	"bytes"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// ofStatus is the answer of `cloud-init status --long`.
var ofStatus = lazyregexp.New(`(?m)\A\s*status: (?:error|degraded|done|running|disabled|not (?:run|started|running))\b.*\n(?:.*\n)*?(?:extended_status|boot_status_code|last_update|time|detail|errors|recoverable_errors):`)

// isCloudInit says whether this is a log of a machine's first start, in one of
// its forms. A result of Salt, which may quote one, begins with a brace.
func isCloudInit(b []byte) bool {
	head := b[:min(len(b), 64<<10)]
	if bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")) {
		return false
	}
	for _, mark := range []string{"Cloud-init v. ", "cloud-init[", "cc_scripts_user.py", " - util.py[", "bootstrap-salt.sh"} {
		if bytes.Contains(head, []byte(mark)) {
			return true
		}
	}
	return ofLog.Match(head) || ofAgent.Match(head) || ofStatus.Match(head)
}

var (
	// ofLog is how cloud-init.log begins its lines.
	ofLog = lazyregexp.New(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ - \w+\.py\[[A-Z]+\]: `)
	// ofAgent is the journal of Berth's agent.
	ofAgent = lazyregexp.New(`(?m)^\S[^{\n]* systemd\[1\]: [^{\n]*\bberth-agent\.service\b|^[^{\n]*level=ERROR msg="what sets this server up could not be installed"`)
	// journal is what the journal, the console and syslog put before a line.
	journal = lazyregexp.New(`^(?:\[ *\d+\.\d+\] )?(?:(?:[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.:+Z-]*) \S+ )?(?:[A-Za-z][\w.@-]*\[\d+\]: )?`)
	stamped = lazyregexp.New(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ - [\w.]+\[([A-Z]+)\]: (.*)$`)
	// comesUp is what the start-up scripts say when they are done: what they
	// had to try again before that is no failure.
	comesUp    = lazyregexp.New(`Created symlink \S*/berth-agent\.service|berth: the agent is installed and runs|level=INFO msg="what sets this server up is installed"|\* +INFO: Salt installed!`)
	tellsOfIt  = lazyregexp.New(`(?im)^.*(?:\bERROR\b|\bCRITICAL\b|\bFAIL(?:ED|URE)?\b|Failed to run|failed running|exited with|Traceback|non-zero exit|status: (?:disabled|not (?:run|started))).*$`)
	ofCloud    = lazyregexp.New(`^(?:WARNING: |- )?(?:Cloud-init v\. |Failed (?:to run module|running) |Runparts: |\('|status: |detail: |errors:|Running (?:module|command) )`)
	saltName   = lazyregexp.New(`(^|[\s(])([Ss]alt(?:-\w+)?)([\s:.,)]|$)`)
	starTagged = lazyregexp.New(`^(?:\s*\* +)?(?:ERROR|WARN(?:ING)?): +`)
)

// firstStart gives the lines of a log without what stands before each, without
// what is told for debugging alone, and without what went well in the end.
func firstStart(text string) string {
	var out []string
	warned, on := "", true
	for _, l := range strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		l = ansi.ReplaceAllString(l, "")
		if p := journal.FindString(l); p != "" {
			l = l[len(p):]
		}
		if m := stamped.FindStringSubmatch(l); m != nil {
			switch m[1] {
			case "DEBUG", "INFO":
				// A warning is told once more with the trace that led to it.
				if on = m[2] != "" && m[2] == warned; on {
					continue
				}
			default:
				l, warned, on = m[2], m[2], true
			}
		}
		switch {
		case !on:
		case comesUp.MatchString(l):
			out = out[:0]
		default:
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// CloudInit diagnoses the log of a machine's first start: /var/log/cloud-init.log
// or cloud-init-output.log, with what the start-up script printed, the same from
// the journal, or what "cloud-init status --long" answers.
func CloudInit(log []byte) orchestrator.Diagnosis {
	whole := strings.ToValidUTF8(string(log), "�")
	text := firstStart(whole)
	m := newMasker(whole)
	d := orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK, Causes: []orchestrator.Cause{}}
	f := &failure{vars: vars{"line": quoteSalt(telling(text, "")), "name": "the start-up script"}}
	x := firstStartCause(f, text)
	if x == nil {
		if !tellsOfIt.MatchString(text) {
			return d // nothing in it tells of a failure
		}
		x = &finding{code: "unknown", who: ops, sentence: `The machine's first start failed with a message that Berth does not know: {line}`, next: askOps}
	}
	d.Outcome = orchestrator.OutcomeFailed
	cause := x.cause(f, m, 0)
	cause.Evidence = m.evidence(tail(whole))
	d.Causes = append(d.Causes, cause)
	return d
}

// firstStartCause finds what a first start failed with; nil: nothing that is
// known. It ends at what failed: what stands last weighs more than what may
// have been overcome.
func firstStartCause(f *failure, text string) *finding {
	for _, f.comment = range []string{lastLines(text, 30), text} {
		if x := match(bootRecords, f); x != nil {
			return x
		}
	}
	return nil
}

// lastLines are the last n lines.
func lastLines(text string, n int) string {
	text = strings.TrimRight(text, "\n")
	for i := len(text); ; {
		if i = strings.LastIndexByte(text[:i], '\n'); i < 0 {
			return text
		}
		if n--; n == 0 {
			return text[i+1:]
		}
	}
}

// bootLine quotes the line that the record knew.
func bootLine(f *failure, x *finding) {
	at := x.of.re.FindStringIndex(f.comment)
	if at == nil {
		return
	}
	from := strings.LastIndexByte(f.comment[:at[0]], '\n') + 1
	line, _, _ := strings.Cut(f.comment[from:], "\n")
	if strings.TrimSpace(line) == "" { // it begins with the end of a line
		line, _, _ = strings.Cut(strings.TrimLeft(f.comment[from:], "\n"), "\n")
	}
	line = prefixes.ReplaceAllString(strings.TrimSpace(line), "")
	f.vars["line"] = quoteSalt(strings.TrimSpace(starTagged.ReplaceAllString(line, "")))
}

// quoteSalt marks the names of Salt's programs as names.
func quoteSalt(line string) string { return saltName.ReplaceAllString(line, `$1"$2"$3`) }

// bootOutput quotes what the start-up script said last, not what ran it.
func bootOutput(f *failure, x *finding) {
	var own []string
	said := f.comment
	// What cloud-init itself warned of before is no word of the script's.
	if i := strings.LastIndex(said, "running 'modules:final'"); i >= 0 {
		_, said, _ = strings.Cut(said[i:], "\n")
	}
	for _, l := range lines(said) {
		if !ofCloud.MatchString(strings.TrimSpace(l)) {
			own = append(own, l)
		}
	}
	text := strings.Join(own, "\n")
	if f.vars["line"] = quoteSalt(telling(text, "")); f.vars["line"] == "" {
		f.told = true
		x.sentence = `The machine's start-up script failed and did not say why.`
	}
}

const (
	netAgain = `Try again in a few minutes with "berth env retry NAME"; if it stays, ask ops to check the machine's network, and that the machine can reach Berth.`
	makeAnew = `Make the machine anew: "berth env destroy NAME", then create the environment again; if it stays, send ops this message.`
)

// bootRecords are what a machine's first start and the installation of Salt on
// it can fail with.
var bootRecords = []record{
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The machine's disk was full on its first start.`, next: askOps,
		samples: []sample{
			{says: "tar: salt-3008.3/bin/python3: Cannot write: No space left on device"},
			{says: "E: You don't have enough free space in /var/cache/apt/archives/."},
			{says: "curl: (23) Failure writing output to destination\ncp: error writing '/usr/local/bin/berth': No space left on device"},
		}},
	{code: "out_of_memory", who: ops, re: lazyregexp.New(`Out of memory: Killed process|(?i)cannot allocate memory|\bMemoryError\b|invoked oom-killer|(?m:^Killed$)`), sentence: `The machine had too little memory for its first start.`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`,
		samples: []sample{{says: "[  41.2] Out of memory: Killed process 812 (pip) total-vm:912340kB"}, {says: "fork: Cannot allocate memory"}, {says: "Collecting salt==3008.3\nKilled\nFailed running /var/lib/cloud/instance/scripts/runcmd [137]"}}},
	{code: "clock_wrong", who: ops, re: lazyregexp.New(`is not valid yet \(invalid for|certificate is not (?:yet valid|active)|current time \S+ is before|time is too far from Berth's|not live until`), refine: bootLine,
		sentence: `The machine's clock is wrong, so nothing that it fetches is trusted: {line}`, next: `Ask ops to set the machine's clock (its time service); then "berth env retry NAME".`,
		samples: []sample{
			{says: "E: Release file for http://deb.debian.org/debian/dists/bookworm/InRelease is not valid yet (invalid for another 3h 2min 7s). Updates for this repository will not be applied.", names: []string{"not valid yet", "3h 2min"}},
			{says: "curl: (60) SSL certificate problem: certificate is not yet valid", names: []string{"not yet valid"}},
			{says: `level=WARN msg="trying again" what=enrolling error="Post \"https://berth.acme.io/agent/v1/enroll\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2024-01-01T00:00:09Z is before 2026-11-01T00:00:00Z"`},
			{says: `level=WARN msg="trying again" what="asking for the desired state" error="Berth answered 403 Forbidden: the request's time is too far from Berth's"`, names: []string{"too far"}},
		}},
	{code: "checksum_mismatch", who: ops, re: lazyregexp.New(`(?i)(?:WARNING: \d+ computed checksums? did NOT match|checksum (?:mismatch|did not match|verification failed)|hash sum mismatch|digest verification failed|checksum doesn't match|does not match (?:the )?(?:checksum|hash)|: FAILED$|sha256sum: .*FAILED|BADSIG|THESE PACKAGES DO NOT MATCH THE HASHES|no properly formatted .*checksum lines found)`),
		refine: func(f *failure, x *finding) {
			bootLine(f, x)
			if file := re(`Failed to fetch (\S+)\s+Hash Sum mismatch|Digest verification failed for file '([^'\n]+)'|(\S+\.rpm): Downloading successful, but checksum doesn't match`).FindStringSubmatch(f.comment); file != nil {
				f.vars["file"] = file[1] + file[2] + file[3]
				x.sentence = `A package that the machine downloads on its first start does not match its checksum: {file}`
			}
			if signature := first(f.comment, `GPG error: .*BADSIG.*`); signature != "" {
				f.vars["line"] = signature
				x.sentence = `The package mirror that the machine uses has signed something else than what it gives: {line}`
			}
		},
		sentence: `A program that the machine downloads on its first start does not match its checksum.`, next: askOps,
		samples: []sample{
			{says: "/tmp/tmp.Zk3vQe/berth: FAILED\nsha256sum: WARNING: 1 computed checksum did NOT match"},
			{says: "E: Failed to fetch http://deb.debian.org/debian/pool/main/g/git/git_2.39.5_amd64.deb  Hash Sum mismatch", names: []string{"git_2.39.5_amd64.deb"}},
			{says: "W: GPG error: http://deb.acme.io/debian ./ InRelease: The following signatures were invalid: BADSIG 4A9E8E46F1474E5A mirror", names: []string{"deb.acme.io", "signed"}},
			{says: "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes."},
			{says: "berth: trying again in 30 s: cannot fetch the agent from https://berth.acme.io: the agent's checksum did not match: got 1f, want 2e"},
			{says: "sha256sum: 'standard input': no properly formatted SHA256 checksum lines found"},
		}},
	{code: "enrolment_refused", who: ops, re: lazyregexp.New(`Berth knows the server (?P<name>\S+) by another key|what=enrolling error="?Berth answered (?:40[013]|410)|Berth answered 401 Unauthorized: unknown server|(?i)(?:enrol\w* )?token (?:has )?(?:expired|already used|was used)`),
		sentence: `Berth did not let the machine in: its key for signing in was used already, has run out or belongs to a machine that is gone.`, next: makeAnew,
		samples: []sample{
			{says: `level=WARN msg="trying again" what=enrolling error="Berth answered 403 Forbidden: refused"`},
			{says: "berth: Berth knows the server s-7k2m by another key.\nDestroy the server and create it again."},
			{says: `level=WARN msg="trying again" what="asking for the desired state" error="Berth answered 401 Unauthorized: unknown server"`},
		}},
	{code: "cloud_unreachable", who: ops, re: lazyregexp.New(`x509: |CERTIFICATE_VERIFY_FAILED|(?i:certificate (?:verify|problem|verification failed|has expired)|server certificate|certificate is not trusted)|curl: \((?:35|51|58|60|77|83|90|91)\)`), refine: bootLine,
		sentence: `The machine does not trust the certificate of what it fetches from on its first start: {line}`, next: `Ask ops to check the certificate of that host, Berth's own included, and what the machine trusts; then "berth env retry NAME".`,
		samples: []sample{
			{says: "curl: (60) SSL certificate problem: unable to get local issuer certificate", names: []string{"local issuer"}},
			{says: "berth: giving up after 15 minutes: cannot fetch the agent from https://berth.acme.io: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain (_ssl.c:992)", names: []string{"berth.acme.io"}},
			{says: `level=WARN msg="trying again" what=enrolling error="Post \"https://berth.acme.io/agent/v1/enroll\": tls: failed to verify certificate: x509: certificate signed by unknown authority"`, names: []string{"trying again"}},
			{says: "W: Failed to fetch https://apt.acme.io/dists/bookworm/InRelease  Certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown.", names: []string{"apt.acme.io"}},
		}},
	{code: "download_refused", who: retry, re: lazyregexp.New(`curl: \(22\) The requested URL returned error: (?P<status>5\d\d|429)|ERROR (?P<s2>5\d\d|429): |cannot fetch the agent from \S+: the other side answered (?P<s3>5\d\d|429)`), refine: func(f *failure, _ *finding) { coalesce(f, "status", "s2", "s3") },
		sentence: `A download of the machine's first start failed: the other side answered {status}.`, next: tryAgain,
		samples: []sample{{says: "curl: (22) The requested URL returned error: 503", names: []string{"503"}}, {says: "2026-11-24 10:00:01 ERROR 502: Bad Gateway.", names: []string{"502"}},
			{says: "berth: giving up after 15 minutes: cannot fetch the agent from https://berth.acme.io: the other side answered 503", names: []string{"503"}}}},
	{code: "download_refused", who: ops, re: lazyregexp.New(`curl: \(22\) The requested URL returned error: (?P<status>\d+)|ERROR (?P<s2>4\d\d): |cannot fetch the agent from \S+: the other side answered (?P<s3>\d+)`), refine: func(f *failure, _ *finding) { coalesce(f, "status", "s2", "s3") },
		sentence: `A download of the machine's first start was refused: the other side answered {status}.`, next: askOps,
		samples: []sample{{says: "curl: (22) The requested URL returned error: 404", names: []string{"404"}}, {says: "2026-11-24 10:00:01 ERROR 403: Forbidden.", names: []string{"403"}},
			{says: "berth: trying again in 4 s: cannot fetch the agent from https://berth.acme.io: the other side answered 302", names: []string{"302"}}}},
	{code: "download_refused", who: ops, re: lazyregexp.New(`berth: (?:refusing to fetch the agent from|no agent for) .*|Berth has no agent for linux-\S+`), refine: bootLine,
		sentence: `The machine can't fetch what connects it to Berth: {line}`, next: askOps,
		samples: []sample{
			{says: "berth: refusing to fetch the agent from http://berth.acme.io: not https", names: []string{"http://berth.acme.io"}},
			{says: "berth: no agent for riscv64", names: []string{"riscv64"}},
			{says: "berth: giving up after 15 minutes: cannot fetch the agent from https://berth.acme.io: Berth has no agent for linux-arm64", names: []string{"Berth has no agent for linux-arm64"}},
		}},
	{code: "package_busy", who: retry, re: lazyregexp.New(`Could not get lock|Unable to acquire the dpkg|is another process using it|Waiting for cache lock|Unable to lock (?:the )?(?:directory|database)|System management is locked by|Waiting for process with pid \d+ to finish|can't create transaction lock`), refine: func(f *failure, x *finding) {
		if held := re(`(?:held by process|by the application with pid) \d+ \(([^)\n]+)\)`).FindStringSubmatch(f.comment); held != nil {
			f.vars["holder"] = held[1]
			x.sentence = `Another installation ("{holder}") was running on the machine's first start, so it could not be set up.`
		}
	}, sentence: `Another installation was running on the machine's first start, so it could not be set up.`, next: tryAgain,
		samples: []sample{
			{says: "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?", names: []string{"unattended-upgr"}},
			{says: "E: Unable to lock directory /var/lib/apt/lists/"},
			{says: "System management is locked by the application with pid 296 (zypper).\nClose this application before trying again.", names: []string{"zypper"}},
			{says: "Waiting for process with pid 61 to finish."},
		}},
	{code: "package_mirror_unreachable", who: retry, re: lazyregexp.New(`(?m)(?:E: |Err:\d+ |W: ).*(?:Temporary failure resolving|Could not (?:resolve|connect)|Connection (?:refused|timed out|failed)|404 +Not Found|50[0-4] +\w|Failed to fetch)|Temporary failure resolving '(?P<h>[^']+)'|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Could not fetch URL https?://(?P<host>[^/\s]+)|Cannot initiate the connection to (?P<h2>\S+?):\d+ |Curl error \(\d+\): .*|Status code: (?:404|5\d\d) for .*|(?:Error message: .*\n+)?(?:.*Valid metadata not found at specified URL)`), refine: func(f *failure, x *finding) {
		coalesce(f, "h", "h2")
		bootLine(f, x)
		if why := re(`(?:Failed to establish a new connection: |(?:Connect|Read)TimeoutError\(.*?, ['"])([^'"\n]+)`).FindStringSubmatch(f.vars["line"]); why != nil {
			// pip's own line begins with its objects' names, and has no address.
			f.vars["line"] = strings.TrimRight(why[1], `)'"`)
			if index := re(`(?m)^Looking in indexes: (\S+)`).FindStringSubmatch(f.comment); index != nil {
				f.vars["line"] = index[1] + ": " + f.vars["line"]
			}
			x.sentence = `The machine could not reach Python's package index on its first start: {line}`
		}
	}, sentence: `The machine could not reach the package mirror on its first start: {line}`, next: tryAgain,
		samples: []sample{
			{says: "Err:1 http://deb.debian.org/debian bookworm InRelease\n  Temporary failure resolving 'deb.debian.org'", names: []string{"deb.debian.org"}},
			{says: "E: Failed to fetch http://mirror.acme.io/debian/pool/main/g/git/git_2.39.5_amd64.deb  404  Not Found [IP: 10.0.0.9 80]", names: []string{"mirror.acme.io"}},
			{says: "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/salt/\nERROR: Could not find a version that satisfies the requirement salt==3008.3 (from versions: none)\nERROR: No matching distribution found for salt==3008.3", names: []string{"package index", "name resolution"}},
			{says: "Looking in indexes: http://pypi.acme.io/simple/\nWARNING: Retrying (Retry(total=2, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/salt/", names: []string{"http://pypi.acme.io/simple/", "refused"}},
		}},
	{code: "package_mirror_unreachable", who: ops, re: lazyregexp.New(`E: Release file for \S+ is expired[^\n]*`), refine: bootLine,
		sentence: `The package mirror that the machine uses is out of date, so nothing is installed from it: {line}`, next: `Ask ops to check that mirror and the machine's clock; after that: "berth env retry NAME".`,
		samples: []sample{{says: "E: Release file for http://deb.acme.io/debian/dists/bookworm-updates/InRelease is expired (invalid since 12d 3h 4min 5s). Updates for this repository will not be applied.\nE: Unable to locate package git", names: []string{"deb.acme.io", "12d"}}}},
	{code: "package_install_failed", who: ops, re: lazyregexp.New(`dpkg was interrupted|Sub-process /usr/bin/dpkg returned an error|held broken packages|[Uu]nmet dependencies|NO_PUBKEY \w+|is not signed\.|dpkg: error processing (?:package|archive) \S+|nothing provides .* needed by \S+|GPG check FAILED|you do not have any GPG public keys installed|Package \S+ is not signed|Signature verification failed`), refine: func(f *failure, x *finding) {
		bootLine(f, x)
		if unmet := first(f.comment, `(?m)^ \S+ : (?:Pre-)?Depends: .*$`); unmet != "" && !strings.Contains(f.vars["line"], "dpkg") {
			f.vars["line"] = unmet
		}
		if key := first(f.comment, `GPG error: .*NO_PUBKEY.*`); key != "" && strings.Contains(f.vars["line"], "NO_PUBKEY") {
			f.vars["line"] = key // the line with the address
		}
		if why := first(f.comment, `dpkg: error processing (?:package|archive) .*:\n .*`); why != "" && strings.HasSuffix(f.vars["line"], ":") {
			f.vars["line"] = strings.Join(strings.Fields(why), " ")
		}
	},
		sentence: `A package could not be installed on the machine's first start: {line}`, next: askOps,
		samples: []sample{
			{says: "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", names: []string{"dpkg --configure -a"}},
			{says: "The following packages have unmet dependencies:\n git : Depends: libcurl3-gnutls (>= 99) but 7.88.1-10+deb12u15 is to be installed\nE: Unable to correct problems, you have held broken packages.", names: []string{"git", "libcurl3-gnutls"}},
			{says: "dpkg: error processing package git (--configure):\n installed git package post-installation script subprocess returned error exit status 1", names: []string{"git", "post-installation script"}},
			{says: " Problem: conflicting requests\n  - nothing provides libcurl-minimal >= 99 needed by git-2.43.0-1.noarch", names: []string{"git-2.43.0", "libcurl-minimal"}},
			{says: "W: GPG error: http://apt.acme.io bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 8B48AD6246925553", names: []string{"apt.acme.io"}},
		}},
	{code: "package_not_found", who: ops, re: lazyregexp.New(`Unable to locate package (?P<pkg>\S+)|Package '?(?P<p3>[^'\s]+)'? has no installation candidate|No matching distribution found for (?P<p2>\S+)|Unable to find a match: (?P<p4>.+)|No provider of '(?P<p5>[^']+)' found|(?m:^ +(?P<p6>\S+) \(no such package\):)`), refine: func(f *failure, x *finding) {
		next := x.sentence
		packages(f, x)
		if x.sentence != next {
			x.sentence = `Packages that the machine needs on its first start are not available: "{pkg}".`
		}
	}, sentence: `A package that the machine needs on its first start is not available: "{pkg}".`, next: askOps,
		samples: []sample{
			{says: "E: Unable to locate package python3-venv", names: []string{"python3-venv"}},
			{says: "Error: Unable to find a match: git", names: []string{"git"}},
			{says: "'git' not found in package names. Trying capabilities.\nNo provider of 'git' found.", names: []string{"git"}},
			{says: "ERROR: unable to select packages:\n  git (no such package):\n    required by: world[git]", names: []string{"git"}},
			{says: "E: Unable to locate package gcc\nE: Unable to locate package python3-dev", names: []string{"gcc", "python3-dev"}},
			{says: "ERROR: Could not find a version that satisfies the requirement salt==9999.1 (from versions: 3007.1, 3008.3)\nERROR: No matching distribution found for salt==9999.1", names: []string{"salt==9999.1"}},
		}},
	{code: "python_dependency", who: ops, re: lazyregexp.New(`Failed (?:building wheel|to build) (?:for )?(?P<pkg>[\w.-]+)|error: externally-managed-environment|ensurepip is not available|No module named '?(?:pip|venv|ensurepip)\b|requires a different Python|subprocess-exited-with-error|error: command '\S+' failed`), refine: func(f *failure, x *finding) {
		bootLine(f, x)
		if f.vars["pkg"] != "" {
			x.sentence = `The Python package "{pkg}" could not be built on the machine's first start.`
		}
	}, sentence: `What sets the machine up could not be installed, Python's installer failed: {line}`, next: askOps,
		samples: []sample{
			{says: "  error: command 'gcc' failed: No such file or directory\n  ERROR: Failed building wheel for timelib", names: []string{"gcc"}},
			{says: "  ERROR: Failed building wheel for timelib\nERROR: Failed to build installable wheels for some pyproject.toml based projects (timelib)", names: []string{"timelib"}},
			{says: "error: externally-managed-environment\n\n× This environment is externally managed", names: []string{"externally-managed"}},
			{says: "The virtual environment was not created successfully because ensurepip is not available.", names: []string{"ensurepip"}},
		}},
	{code: "cloud_unreachable", who: retry, re: lazyregexp.New(`Could not resolve host: (?P<host>[^\s"]+)|lookup (?P<h2>\S+?)(?: on \S+)?: (?:no such host|server misbehaving)|unable to resolve host address '(?P<h3>[^']+)'|cannot fetch the agent from https://(?P<h4>[^/:\s]+)[^\n]*(?:Name or service not known|Temporary failure in name resolution|No address associated with hostname)|(?i:Temporary failure in name resolution|Name or service not known|no servers could be reached)`), refine: func(f *failure, x *finding) {
		bootLine(f, x)
		if coalesce(f, "host", "h2", "h3", "h4") != "" {
			f.vars["host"] = strings.TrimRight(f.vars["host"], ".,;")
			x.sentence = `The machine could not find the address of "{host}" on its first start: its name server (DNS) does not answer or does not know it.`
		}
	}, sentence: `The machine's name server (DNS) did not answer on its first start: {line}`, next: netAgain,
		samples: []sample{
			{says: "curl: (6) Could not resolve host: berth.acme.io", names: []string{"berth.acme.io"}},
			{says: `level=WARN msg="trying again" what=enrolling error="Post \"https://berth.acme.io/agent/v1/enroll\": dial tcp: lookup berth.acme.io on 10.0.0.2:53: no such host"`, names: []string{"berth.acme.io"}},
			{says: "wget: unable to resolve host address 'repo.acme.io'", names: []string{"repo.acme.io"}},
			{says: "berth: trying again in 2 s: cannot fetch the agent from https://berth.acme.io:7878: [Errno -2] Name or service not known", names: []string{"berth.acme.io"}},
			{says: "ping: pypi.org: Temporary failure in name resolution", names: []string{"pypi.org"}},
		}},
	{code: "cloud_unreachable", who: retry, re: lazyregexp.New(`(?:curl|wget|cannot fetch the agent)[^\n]*(?:\((?:5|7|28|52|55|56)\)|failed:|timed out|refused)|(?i:no route to host|network is unreachable|connection (?:refused|timed out|reset by peer)|i/o timeout|network-online\.target.*fail|Failed to start .*(?:wait-online|Wait for Network))`), refine: bootLine,
		sentence: `The machine has no way to the network that it needs on its first start: {line}`, next: netAgain,
		samples: []sample{
			{says: "curl: (7) Failed to connect to berth.acme.io port 443 after 3 ms: Couldn't connect to server", names: []string{"berth.acme.io"}},
			{says: "curl: (28) Connection timed out after 30001 milliseconds", names: []string{"timed out"}},
			{says: "berth: giving up after 15 minutes: cannot fetch the agent from https://10.0.0.5:7878: The read operation timed out", names: []string{"10.0.0.5", "timed out"}},
			{says: "connect: Network is unreachable", names: []string{"unreachable"}},
			{says: "Failed to start systemd-networkd-wait-online.service - Wait for Network to be Configured.", names: []string{"Wait for Network"}},
		}},
	{code: "cloud_unreachable", who: retry, re: lazyregexp.New(`what=[^\n]*Berth answered (?P<status>5\d\d|429)`),
		sentence: `Berth could not answer the machine on its first start: the other side answered {status}.`, next: tryAgain,
		samples: []sample{{says: `level=WARN msg="trying again" what=enrolling error="Berth answered 502 Bad Gateway: Bad Gateway"`, names: []string{"502"}}}},
	{code: "start_data_missing", who: ops, re: lazyregexp.New(`Can ?not apply stage \w+, no datasource found|DataSourceNotFoundException|Did not find any data source|No instance datasource found|Used fallback datasource|datasource used was: None|detail:\s+DataSourceNone`),
		sentence: `The machine found no start-up data on its first start, so nothing was set up: its system image does not know this cloud, or the cloud's own service did not answer.`, next: askOps,
		samples: []sample{
			{says: "Can not apply stage final, no datasource found! Likely bad things to come!"},
			{says: "No instance datasource found! Likely bad things to come!"},
			{says: "Used fallback datasource"},
			{says: "cloudinit.sources.DataSourceNotFoundException: Did not find any data source, searched classes: (DataSourceEc2Local)"},
		}},
	{code: "start_data_missing", who: ops, re: lazyregexp.New(`status: (?:disabled|not (?:run|started))|[Cc]loud-init(?: is)? disabled|disabled-by-\S+`),
		sentence: `The machine's start-up script did not run: what runs it (cloud-init) is switched off in its system image.`, next: askOps,
		samples: []sample{{says: "status: disabled\nboot_status_code: disabled-by-marker-file\ndetail: Cloud-init disabled by /etc/cloud/cloud-init.disabled"}, {says: "status: not run\ndetail:"}}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`Failed loading yaml blob|Unhandled non-multipart|empty cloud config|Unrecognized user-data header|Failed at merging in cloud config|Invalid format at line|Failed (?:consuming|decoding) .*user-?data`), refine: bootLine,
		sentence: `The machine's start-up data can't be read: {line}`, next: askOps,
		samples: []sample{
			{says: "Failed loading yaml blob. Invalid format at line 3 column 1: \"could not find expected ':'\"", names: []string{"line 3"}},
			{says: "Unhandled non-multipart (text/x-not-multipart) userdata: 'b'runcmd:''...", names: []string{"non-multipart"}},
			{says: "Failed at merging in cloud config part from part-001: empty cloud config", names: []string{"part-001"}},
		}},
	{code: "salt_missing", who: ops, re: lazyregexp.New(`ERROR: +.*(?:not supported|[Uu]nsupported|unable to detect|end[- ]of[- ]life)|No (?:dependencies )?installation function found|End of life distributions are not supported`), refine: bootLine,
		sentence: `What sets servers up can't be installed on the machine's system: {line}`, next: `Ask ops for a system image that is supported; then "berth env retry NAME".`,
		samples: []sample{
			{says: " * ERROR: No dependencies installation function found. Exiting...", names: []string{"installation function"}},
			{says: " * ERROR: End of life distributions are not supported.", names: []string{"End of life"}},
			{says: " * ERROR: Debian 8 is not supported.", names: []string{"Debian 8"}},
		}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(`(?m)^.*(?:Permission denied|Operation not permitted|Read-only file system|requires root privileges|must be run as root).*$`), refine: bootLine,
		sentence: `The machine's start-up script has no permission for what it does: {line}`, next: askOps,
		samples: []sample{
			{says: "install: cannot create regular file '/usr/local/bin/berth': Read-only file system", names: []string{"/usr/local/bin/berth"}},
			{says: "/var/lib/cloud/instance/scripts/runcmd: 2: /etc/berth/install.sh: Permission denied", names: []string{"/etc/berth/install.sh"}},
			{says: " * ERROR: Salt requires root privileges to install. Please re-run this script as root.", names: []string{"root"}},
		}},
	{code: "salt_missing", who: ops, re: lazyregexp.New(`salt-call: (?:command )?not found|ERROR: +Failed to (?:run|download|install|find|clone)\b.*|ERROR: +salt-\w+ was not found running|bootstrap-salt(?:\.sh)?: .*(?:failed|error)|Failed to (?:install|build) salt`), refine: bootLine,
		sentence: `The program that sets up servers could not be installed on the machine: {line}`, next: askOps,
		samples: []sample{
			{says: " * ERROR: Failed to run install_debian_onedir()!!!", names: []string{"install_debian_onedir"}},
			{says: " * ERROR: salt-minion was not found running", names: []string{"was not found running"}},
			{says: "/etc/berth/install.sh: 40: salt-call: not found"},
		}},
	{code: "service_failed", who: ops, re: lazyregexp.New(`(?:Failed to (?:start|enable)|Unit) .*\bberth-agent\S* ?.*|berth-agent\.service: (?:Failed|Main process exited|Start request repeated).*|System has not been booted with systemd`), refine: bootLine,
		sentence: `What connects the machine to Berth was installed, but could not be started: {line}`, next: askOps,
		samples: []sample{
			{says: "Failed to enable unit: Unit file berth-agent.service does not exist.", names: []string{"berth-agent"}},
			{says: "berth-agent.service: Main process exited, code=exited, status=1/FAILURE", names: []string{"status=1"}},
			{says: "System has not been booted with systemd as init system (PID 1). Can't operate.", names: []string{"systemd"}},
		}},
	{code: "command_failed", who: ops, re: lazyregexp.New(`(?m)^[^\n]*?: (?:line )?\d+: (?P<cmd>[^\s:]+): (?:command )?not found`),
		sentence: `The machine's start-up script needs "{cmd}", which its system image does not have.`, next: askOps,
		samples: []sample{
			{says: "/etc/berth/install.sh: 24: systemctl: not found", names: []string{"systemctl"}},
			{says: "/var/lib/cloud/instance/scripts/runcmd: line 2: docker: command not found", names: []string{"docker"}},
		}},
	{code: "command_failed", who: ops, re: lazyregexp.New(`Failed running \S+ \[-?\d+\]|Runparts: \d+ failures?|Failed to run module scripts-\w+`), refine: bootOutput,
		sentence: `The machine's start-up script failed: {line}`, next: askOps,
		samples: []sample{
			{says: "psql: error: invalid port number: \"x\"\nFailed running /var/lib/cloud/instance/scripts/runcmd [1]\nFailed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)", names: []string{"invalid port number"}},
			{says: "Failed generating key type rsa to file /etc/ssh/ssh_host_rsa_key\nCloud-init v. 22.4.2 running 'modules:final' at Sat, 28 Nov 2026 22:47:34 +0000. Up 3946.33 seconds.\nFailed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)", names: []string{"did not say why"}},
			{says: "status: error\nerrors:\n\t- ('scripts-user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))", names: []string{"did not say why"}},
		}},
	// cloud-init does the rest of what it does not like: it is the cause only
	// where there is no other.
	{code: "module_invalid", who: ops, re: lazyregexp.New(`Invalid cloud-config|[Cc]loud[- ]config (?:failed )?schema|schema errors?|Invalid schema`), refine: bootLine,
		sentence: `The machine's start-up data can't be read: {line}`, next: askOps,
		samples: []sample{
			{says: "Invalid cloud-config provided: Please run 'sudo cloud-init schema --system' to see the schema errors.", names: []string{"Invalid cloud-config"}},
		}},
}
