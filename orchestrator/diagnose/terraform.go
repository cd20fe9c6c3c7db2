package diagnose

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// Terraform diagnoses the lines of `terraform apply -json` (or another command
// with -json, or init's text); stderr is what it printed beside them.
func Terraform(log, stderr []byte) orchestrator.Diagnosis { return terraform(log, stderr, -1) }

// event is a line of Terraform's JSON log; only what is looked at.
type event struct {
	Level      string      `json:"@level"`
	Message    string      `json:"@message"`
	Type       string      `json:"type"`
	Diagnostic *diagnostic `json:"diagnostic"`
	Changes    *struct {
		Operation string `json:"operation"`
	} `json:"changes"`
	Hook *struct {
		Resource struct {
			Addr string `json:"addr"`
		} `json:"resource"`
	} `json:"hook"`
}

// diagnostic is one of Terraform's own errors or warnings.
type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *struct {
		Filename string `json:"filename"`
		Start    struct {
			Line int `json:"line"`
		} `json:"start"`
	} `json:"range"`
}

func isTerraform(b []byte) bool {
	head := b[:min(len(b), 16<<10)]
	for _, l := range bytes.Split(head, []byte("\n")) {
		l = bytes.TrimSpace(l)
		if bytes.HasPrefix(l, []byte("{")) && bytes.Contains(l, []byte(`"@level"`)) && bytes.Contains(l, []byte(`"@message"`)) {
			return true
		}
	}
	return bytes.Contains(head, []byte("Initializing the backend")) || bytes.Contains(head, []byte("Initializing provider plugins")) ||
		bytes.Contains(head, []byte("Terraform v")) && bytes.Contains(head, []byte("Error:")) || bytes.HasPrefix(bytes.TrimSpace(head), []byte("╷"))
}

func terraform(log, stderr []byte, exit int) orchestrator.Diagnosis {
	all := string(log) + "\n" + string(stderr)
	m := newMasker(all)
	d := orchestrator.Diagnosis{Outcome: orchestrator.OutcomeOK, Causes: []orchestrator.Cause{}}
	var diags []diagnostic
	var text []string
	summary, planned, applying, began := false, false, false, false
	resources := map[string]bool{}
	for _, l := range bytes.Split(log, []byte("\n")) {
		l = bytes.TrimSpace(l)
		var e event
		if !bytes.HasPrefix(l, []byte("{")) || json.Unmarshal(l, &e) != nil || e.Level == "" && e.Type == "" {
			if len(l) > 0 {
				text = append(text, string(l))
			}
			continue
		}
		began = true
		switch {
		case e.Diagnostic != nil && e.Diagnostic.Severity == "error":
			diags = append(diags, *e.Diagnostic)
		case e.Type == "change_summary" && e.Changes != nil && e.Changes.Operation != "plan":
			summary = true
		case e.Type == "change_summary":
			planned = true
		case e.Type == "apply_start" || e.Type == "apply_progress" || e.Type == "apply_complete":
			applying = true
		}
		switch {
		case e.Hook != nil && e.Hook.Resource.Addr != "":
			resources[e.Hook.Resource.Addr] = true
		}
	}
	d.Total = len(resources)
	if len(diags) == 0 {
		diags = append(diags, plainErrors(strings.Join(text, "\n"))...)
	}
	// The reason of a failed init is in its text; what comes after it only
	// says that it was not run.
	if only := plainErrors(string(stderr)); len(only) > 0 && (len(diags) == 0 || initFirst(diags)) {
		diags = append(only, diags...)
	}
	local := onBerthsMachine(log)
	d.Causes = terraformCauses(diags, m, local)
	if len(d.Causes) > 0 {
		d.Outcome = orchestrator.OutcomeFailed
		return d
	}
	if summary || exit == 0 || planned && !applying && exit < 0 {
		return d
	}
	rest := strings.TrimSpace(strings.Join(text, "\n") + "\n" + string(stderr))
	if !began && rest == "" && exit < 0 {
		d.Outcome = orchestrator.OutcomeUnreadable
	} else {
		d.Outcome = orchestrator.OutcomeFailed
	}
	f := &failure{comment: rest, vars: vars{"line": commentOf(rest)}}
	x := &finding{code: "killed", who: ops, sentence: `The work on the machines was killed before it ended{lost}.`, next: compare}
	if local {
		f.vars["local"] = "yes"
	}
	lost(f, x)
	if began || killedExits[exit] {
		if re(diskFull).MatchString(rest) {
			x = &finding{code: "disk_full", who: ops, sentence: `The disk of Berth's own machine is full.`, next: askOps}
		}
	} else if rest != "" {
		if x = match(machineRecords, f); x == nil {
			x = &finding{code: "unknown", who: ops, sentence: `The work on the machines failed with a message that Berth does not know: {line}`, next: askOps}
		}
	}
	cause := x.cause(f, m, 0)
	cause.Evidence = m.evidence(rest, tail(string(log)))
	d.Causes = append(d.Causes, cause)
	return d
}

func initFirst(diags []diagnostic) bool {
	for _, g := range diags {
		if !re(`Inconsistent dependency lock file|Module not installed|Backend initialization required|Missing required provider|Required plugins are not installed|Invalid|Unsupported|Unterminated|Unclosed`).MatchString(g.Summary) {
			return false
		}
	}
	return true
}

var boxes = regexp.MustCompile(`(?m)^[│╷╵ ]*`)

// plainErrors finds the errors of Terraform's text for people.
func plainErrors(text string) []diagnostic {
	text = ansi.ReplaceAllString(text, "")
	text = strings.NewReplacer("│ ", "", "│", "", "╷", "", "╵", "").Replace(text)
	var out []diagnostic
	for i, part := range regexp.MustCompile(`(?m)^\s*Error: `).Split(text, -1) {
		if i == 0 {
			continue
		}
		summary, detail, _ := strings.Cut(part, "\n")
		g := diagnostic{Severity: "error", Summary: strings.TrimSpace(summary), Detail: strings.TrimSpace(detail)}
		if m := regexp.MustCompile(`(?m)^\s*on (\S+) line (\d+)`).FindStringSubmatch(detail); m != nil {
			g.Detail = strings.TrimSpace(regexp.MustCompile(`(?ms)^\s*on \S+ line \d+.*?\n\n`).ReplaceAllString(detail, ""))
			g.Summary += "\x00" + m[1] + ":" + m[2]
		}
		out = append(out, g)
	}
	return out
}

// terraformCauses finds the causes behind diagnostics: equal ones are folded,
// and what only follows from another is left out.
func terraformCauses(diags []diagnostic, m masker, local bool) []orchestrator.Cause {
	type one struct {
		key, code string
		f         *failure
		x         *finding
		evidence  string
		more      int
		prefer    int
	}
	var found []one
	codes := map[string]bool{}
next:
	for _, g := range diags {
		summary, place, _ := strings.Cut(g.Summary, "\x00")
		comment := strings.TrimSpace(summary + "\n" + g.Detail)
		if len(comment) > 32<<10 {
			comment = clip(comment)
		}
		f := &failure{module: "machine", comment: comment, vars: vars{"summary": summary, "detail": g.Detail, "address": g.Address}}
		if g.Address == "" {
			f.module = "backend"
		}
		if local {
			f.vars["local"] = "yes"
		}
		if g.Range != nil {
			place = g.Range.Filename + ":" + count(g.Range.Start.Line)
		}
		file, ln, _ := strings.Cut(place, ":")
		f.vars["file"], f.vars["place"] = file[strings.LastIndex(file, "/")+1:], ""
		if file != "" {
			f.vars["place"] = ` (file "` + f.vars["file"] + `", line ` + ln + ")"
		}
		f.vars["what"] = resourceName(g.Address)
		f.vars["line"] = oneLine(strings.SplitN(summary, "\n", 2)[0])
		if det := oneLine(g.Detail); det != "" && len(f.vars["line"]) < 60 {
			f.vars["line"] += ": " + det
		}
		x := match(machineRecords, f)
		if x == nil {
			x = &finding{code: "unknown", who: ops, sentence: `The work on {what} failed with a message that Berth does not know: {line}`, next: askOps, subject: "{line}"}
		}
		codes[x.code] = true
		o := one{code: x.code, f: f, x: x, evidence: m.evidence(redactUserData(comment), g.Address)}
		o.key = x.code + "\x00" + fill(x.subject, f.vars, masker{}, 4000)
		if x.code == "module_invalid" && strings.Contains(summary, "Unsupported argument") {
			o.prefer = 1
		}
		for i := range found {
			if found[i].key == o.key {
				if o.prefer > found[i].prefer {
					found[i] = o
				}
				continue next
			}
		}
		found = append(found, o)
	}
	// A full disk, a lost state or an interruption shows in several errors.
	shadowed := map[string]bool{}
	if codes["disk_full"] {
		shadowed["state_unreachable"] = true
	}
	if codes["interrupted"] && len(codes) > 1 {
		delete(shadowed, "interrupted")
	}
	if codes["provider_missing"] {
		shadowed["module_invalid"] = true
	}
	out := []orchestrator.Cause{}
	for _, o := range found {
		if shadowed[o.code] {
			continue
		}
		cause := o.x.cause(o.f, m, o.more)
		cause.Where = m.mask(o.f.vars["address"])
		cause.Evidence = o.evidence
		out = append(out, cause)
	}
	return out
}

// redactUserData takes a machine's start-up data out of an error: it holds the
// enrolment token.
func redactUserData(s string) string {
	return regexp.MustCompile(`(?s)(user_data\b.{0,80}?, got ).*`).ReplaceAllString(s, "${1}(left out)")
}

// resourceName says a resource's address in words: the server "api".
func resourceName(address string) string {
	if m := regexp.MustCompile(`(?:server|instance|vm|machine|droplet)\w*\.[\w-]+\["([^"]+)"\]`).FindStringSubmatch(address); m != nil {
		return `the server "` + m[1] + `"`
	}
	if m := regexp.MustCompile(`\["([^"]+)"\]$`).FindStringSubmatch(address); m != nil {
		return `"` + m[1] + `"`
	}
	if address == "" {
		return "the machines"
	}
	return `"` + address[strings.LastIndex(address[:max(0, strings.LastIndex(address, "."))], ".")+1:] + `"`
}

const (
	askFiles = `Send ops this message, the files that describe the machines are theirs; after that: "berth env retry NAME".`
	// compare is for machines that may have been made and not been noted down.
	compare = `Ask ops to compare what the cloud has with what Berth knows; after that: "berth env retry NAME".`
	goOn    = `Go on with "berth env retry NAME", or "berth env destroy NAME".`
)

// machineRecords are the causes in Terraform's diagnostics, told apart by the
// clouds' own codes first.
var machineRecords = []record{
	{code: "interrupted", who: retry, re: later(`^execution halted`), sentence: `The work on the machines was stopped before it was done; what is there already stays.`, next: goOn},
	{code: "interrupted", who: ops, re: later(`^operation canceled|(?i)context cancell?ed|^Operation interrupted`), sentence: `The work on the machines was broken off at once{lost}.`, refine: lost, next: compare},
	{code: "killed", who: retry, re: later(`Plugin did not respond|plugin (?:crashed|exited)|The plugin6?\.\(\*GRPCProvider\)|Request cancelled|rpc error: code = (?:Unavailable|Canceled)|Failed to load plugin schemas`), sentence: `A helper that talks to the cloud died in the middle of the work on the machines.`, next: tryAgain},
	{code: "disk_full", who: ops, re: later(diskFull), sentence: `The disk of Berth's own machine is full, so it could not note down the machines that it made.`, next: askOps},

	{code: "state_locked", who: ops, re: later(`HTTP remote state (?:already )?locked|423 Locked`), sentence: `The record of these machines is locked by another run, perhaps one that died.`, next: `Ask ops whether that run still works, and to unlock the record if it does not; after that: "berth env retry NAME".`},
	{code: "state_locked", who: retry, re: later(`(?s)Error acquiring the state lock.*resource temporarily unavailable.*Who:\s+(?P<holder>\S+).*Created:\s+(?P<since>\S+ \d\d:\d\d)`), sentence: `Another run works on these machines right now: {holder} since {since} UTC.`, next: tryAgain},
	{code: "state_locked", who: retry, re: later(`Error acquiring the state lock|state (?:is )?(?:already )?locked|Already locked|Workspace is already locked|ConditionalCheckFailed`), sentence: `Another run holds the record of these machines right now.`, next: tryAgain},
	{code: "state_unreachable", who: ops, re: later(`Failed to (?:save|persist|upload|write|read|load|refresh) (?:the )?(?:cached )?state|Error (?:saving|loading|refreshing|reading) (?:the )?state|errored\.tfstate|Error (?:inspecting|configuring|loading) (?:states|the backend|the state)|state data in \S+ does not|Backend (?:initialization required|configuration changed)|Failed to get existing workspaces`), sentence: `The record of these machines could not be saved or read{lost}.`, refine: func(f *failure, x *finding) { f.vars["lost"] = unknownMachines(f) }, next: `Ask ops to check where Berth keeps its records; after that: "berth env retry NAME".`},

	{code: "credentials_invalid", who: ops, re: later(`AuthFailure|InvalidClientTokenId|SignatureDoesNotMatch|ExpiredToken|NoCredentialProviders|no valid credential sources|No valid credential|UnrecognizedClient|InvalidAccessKeyId|RequestExpired|token you have provided is invalid|\(unauthorized\)|Error code: unauthorized|[Ss]tatus [Cc]ode: 401|\b401 Unauthorized|[Ii]nvalid (?:API )?(?:token|credentials|authentication)|could not find default credentials|oauth2: cannot fetch token|invalid_grant|AADSTS\d+|Missing (?:required )?(?:token|credentials)|entered token is invalid|Authentication failed|Unable to authenticate|failed to refresh cached credentials|error validating provider credentials|token must be|cannot be authenticated`), sentence: `The cloud refused Berth's credentials: {line}`, refine: cloudLine, next: askOps},
	{code: "permission_missing", who: ops, re: later(`UnauthorizedOperation|AccessDenied|not authorized to perform|[Ss]tatus [Cc]ode: 403|403 Forbidden|\(forbidden\)|Error code: forbidden|AuthorizationFailed|PERMISSION_DENIED|[Rr]equired '(?P<action>[\w.]+)' permission|insufficient(?:Permissions| permissions)|token_readonly`), refine: action, sentence: `Berth's account at the cloud may not do what is needed{action}.`, next: askOps, subject: "{action}"},
	{code: "quota_exceeded", who: ops, re: later(`LimitExceeded\b(?:.*)|VcpuLimit|QuotaExceeded|[Qq]uota|resource_limit_exceeded|limit (?:of \w+ )?(?:has been )?(?:reached|exceeded)|exceed(?:s|ed|ing)? .{0,60}(?:quota|limit)|MaxSpotInstanceCount|(?i:server limit)`), when: func(f *failure) bool { return !re(`RequestLimitExceeded|rate_limit|Throttl`).MatchString(f.comment) }, sentence: `The cloud account's limit is reached: {line}`, refine: cloudLine, next: `Destroy an environment that nobody needs ("berth env list" shows them), or ask ops to raise the limit; after that: "berth env retry NAME".`},
	{code: "rate_limited", who: retry, re: later(`RequestLimitExceeded|Throttl|rate_limit_exceeded|[Rr]ate limit|Too Many Requests|[Ss]tatus [Cc]ode: 429|TooManyRequests|SlowDown`), sentence: `The cloud is getting too many requests from this account just now.`, next: tryAgain},
	{code: "capacity", who: retry, re: later(`Insufficient(?:Instance|Host|Reserved\w*)?Capacity|do not have sufficient (?P<size>\S+) capacity|resource_unavailable|error during placement|ZONE_RESOURCE_POOL_EXHAUSTED|SkuNotAvailable|AllocationFailed|OverconstrainedAllocation|no available (?:hosts|servers)|out of capacity|Unsupported: Your requested instance type .* is not supported in your requested Availability Zone`), refine: capacity, sentence: `The cloud has no free machine{size} at that place just now.`, next: `Try again later with "berth env retry NAME". Another size takes another environment: "berth env destroy NAME", then create it with size=SIZE.`},
	{code: "image_not_found", who: ops, re: later(`InvalidAMIID\.\w+[^\n]*?'\[?(?P<image>ami-\w+)|[Ii]mage (?:id )?'?\[?(?P<i2>[\w./:-]+)\]?'?(?: for architecture \w+)? (?:not found|does not exist|was not found|could not be found)|Your query returned no results|(?:The resource|image) '?(?P<i3>[^'\s]*images?/[^'\s]+)'? was not found|invalid image(?: id)?:? '?(?P<i4>[^'\s]+)|PlatformImageNotFound`), refine: machineImage, sentence: `The system image{image} that the servers start from does not exist at the cloud.`, next: askOps, subject: "{image}"},
	{code: "size_unknown", who: ops, re: later(`InvalidInstanceType|instance type '?(?P<size>[\w.-]+?)'? (?:does not exist|is not|not)|[Ii]nvalid value '(?P<s2>[^']+)' for InstanceType|[Ss]erver[ _]type '?(?P<s3>[\w.-]+?)'? (?:not found|is not|does not exist|unavailable)|expected instance_type to be|[Ii]nvalid (?:machine|server|instance|size)[ _-]?(?:type|size)?:? '?(?P<s4>[\w.-]+)|size '?(?P<s5>[\w.-]+)'? (?:not found|is not available)|InvalidParameterValue: Invalid value '(?P<s6>[^']+)' for InstanceType|VMSizeNotSupported|machineTypes/(?P<s7>[\w-]+)' was not found`), refine: machineSize, sentence: `The cloud has no machine size{size}.`, next: `Ask ops to correct this size in the catalog; after that: "berth env retry NAME".`, subject: "{size}"},
	{code: "network_missing", who: ops, re: later(`(?:InvalidSubnetID|InvalidVpcID|InvalidSubnet|InvalidGroup|InvalidSecurityGroupID|InvalidNetworkInterfaceID|InvalidAllocationID)\.NotFound[^\n]*?'(?P<net>[^']+)'|(?:subnet|[Nn]etwork|VPC|vpc|security group|firewall)(?: ID)? '?(?P<n2>[\w./-]+)'? (?:does not exist|not found|was not found|could not be found)|no matching (?:\S+ )?(?:VPC|Subnet|Security Group|network)|No default (?:VPC|subnet)|VPCIdNotSpecified|MissingInput: No subnets|DefaultVpc\w*NotFound`), refine: machineNet, sentence: `The network{net} that the servers should join does not exist at the cloud.`, next: askOps, subject: "{net}"},
	{code: "name_taken", who: ops, re: later(`Invalid(?:Group|KeyPair|\w+)\.Duplicate[^\n]*?'(?P<taken>[^']+)'|uniqueness_error|EntityAlreadyExists|AlreadyExists(?:Exception)?\b|already (?:exists|in use|used|taken)|is already used|alreadyExists|DuplicateName|InUseException|409 Conflict`), refine: taken, sentence: `At the cloud the name{taken} is already in use, perhaps by a leftover of an earlier run.`, next: `Ask ops to remove the leftover; after that: "berth env retry NAME".`, subject: "{taker}"},

	{code: "provider_missing", who: ops, re: later(`Failed to (?:query available|install) (?:provider|required)|Inconsistent dependency lock file|no (?:available )?releases match|provider registry\S* (?:does not have|has no)|Required plugins are not installed|[Cc]ould not (?:retrieve|load) (?:the list of available versions for )?plugin|Missing required provider|no package for (?P<p3>\S+)|unavailable provider|Failed to (?:instantiate|obtain) provider|Incompatible provider version|Invalid provider registry host|could not connect to registry|checksum|doesn't match any of the checksums`), refine: providerName, sentence: `Berth lacks the helper{provider} that talks to the cloud, or can't download it.`, next: askOps},
	{code: "provider_missing", who: ops, re: later(`Module not (?:installed|found)|Failed to download module|Could not download module|Unreadable module directory|Unresolvable module|[Mm]odule source .* (?:has changed|not found)|Error accessing remote module registry`), sentence: `The files that describe the machines can't be fetched: {line}`, next: askFiles},
	{code: "variable_missing", who: ops, re: later(`input variable "[^"]+" is not set|No value for required variable|No value for variable "|variable "[^"]+" (?:is required|is not set)`), refine: variable, sentence: `A value that the machines need is not given: "{var}".`, next: `Ask ops to set "{var}" for the target or the size in the catalog; after that: "berth env retry NAME".`, subject: "{var}"},
	{code: "module_invalid", who: ops, re: later(`expected length of user_data|user_data.{0,40}(?:too (?:large|long)|exceed|at most)|[Uu]ser data is limited`), sentence: `The start-up data of a server is larger than the cloud takes.`, next: askFiles, subject: "userdata"},
	{code: "cloud_unreachable", who: retry, in: "machine", re: later(`(?i)dial tcp|connection refused|no such host|i/o timeout|request send failed|RequestError: send request failed|connection reset|TLS handshake|context deadline exceeded|could not connect to|network is unreachable|x509: |EOF$|client\.timeout|bad gateway|service unavailable|StatusCode: 50[234]|status code: 50[24]`), refine: cloudHost, sentence: `The cloud can't be reached{host}.`, next: tryAgain},
	{code: "state_unreachable", who: ops, in: "backend", re: later(`(?i)dial tcp|connection refused|no such host|i/o timeout|pq: |password authentication failed|connection reset|network is unreachable|context deadline exceeded`), refine: cloudHost, sentence: `The place where Berth keeps its record of the machines can't be reached{host}.`, next: askOps},
	{code: "timeout", who: retry, re: later(`(?i)timeout while waiting|timed out|timeout error|deadline exceeded|waiting for .* to become|unexpected state '`), sentence: `The cloud did not finish {what} in time.`, next: tryAgain},
	{code: "unknown", who: retry, re: later(`InternalError|[Ss]tatus [Cc]ode: 50\d|[Ii]nternal [Ss]erver [Ee]rror|ServiceUnavailable|service_error|server_error|Unavailable\b`), sentence: `The cloud had an error of its own while it worked on {what}.`, next: tryAgain},
	{code: "command_failed", who: ops, re: later(`local-exec provisioner error|remote-exec provisioner error|Error running command`), refine: localExec, sentence: `Berth could not start {what} on Berth's machine: {line}`, next: askOps, subject: "{line}"},
	{code: "module_invalid", who: ops, re: later(`^(?:Unsupported (?:argument|attribute|block type|Terraform Core version|operator)|Missing (?:required argument|resource|name|item|attribute|newline|key|close)|Invalid (?:multi-line|character|expression|reference|value|argument|block|function|index|for_each|count|template|resource|operand|number|string|variable|module|default|legacy|type|attribute|quoted|escape|single|provider)|Unterminated|Unclosed|Unexpected|Argument or block definition|Reference to undeclared|Incorrect attribute|Duplicate|Extra characters|Attribute redefined|Error in function call|Call to unknown function|Cycle|Unconfigurable|Invalid$|Inappropriate value|Unknown variable|Not enough|Too many|Variables not allowed|Resource postcondition|Resource precondition|Conflicting (?:configuration )?argument|Self-referential|Module (?:has|is|does)|Provider (?:configuration|produced)|Missing)|expected \w+ to be|expected length of`), refine: moduleLine, sentence: `The files that describe the machines have an error{place}: {line}`, next: askFiles},
}

// onBerthsMachine says whether a log is about servers of the built-in target:
// they are processes on Berth's own machine, and no cloud has any of them.
func onBerthsMachine(log []byte) bool {
	return bytes.Contains(log, []byte("terraform_data.server["))
}

// unknownMachines says what may be left of work that was broken off.
func unknownMachines(f *failure) string {
	if f.vars["local"] != "" {
		return ""
	}
	return "; machines may exist that Berth does not know of"
}

// lost tells what may be left. On Berth's own machine the next run takes up
// whatever is there; elsewhere somebody has to look.
func lost(f *failure, x *finding) {
	f.vars["lost"] = unknownMachines(f)
	if f.vars["local"] != "" {
		x.who, x.next = retry, goOn
	}
}

func cloudLine(f *failure, _ *finding) {
	text := f.comment
	for _, p := range []string{`AuthFailure: [^\n]+`, `no valid credential sources[^\n]*`, `\w*(?:Limit|Quota)\w*Exceeded: [^\n]+`, `(?m)^[^\n]*token you have provided is invalid`} {
		if l := first(text, p); l != "" {
			text = l
			break
		}
	}
	l := re(`^(?:error |Error )?(?:configuring|launching|creating)[^:]{0,60}: `).ReplaceAllString(oneLine(strings.SplitN(text, "\n", 2)[0]), "")
	l = re(`\s*status code: .*$`).ReplaceAllString(l, "")
	// The clouds' own sentences name Terraform; people need not.
	f.vars["line"] = re(`(?i)\bfor Terraform AWS Provider found\b|\bTerraform \w+ Provider\b`).ReplaceAllString(l, "given")
}

func action(f *failure, _ *finding) {
	a := f.vars["action"]
	if a == "" {
		if m := re(`not authorized to perform: ([\w:*-]+)|perform action '([^']+)'|\((?:operation|action):? (\w+)\)|api error (\w+)`).FindStringSubmatch(f.comment); m != nil {
			a = m[1] + m[2] + m[3] + m[4]
		}
	}
	f.vars["action"] = ""
	if a != "" {
		f.vars["action"] = ` ("` + a + `")`
	}
}

func quotedOrNone(f *failure, key string, others ...string) {
	v := coalesce(f, key, others...)
	f.vars[key] = ""
	if v = strings.Trim(v, `'"[].,`); v != "" {
		f.vars[key] = ` "` + v + `"`
	}
}

func capacity(f *failure, _ *finding) {
	if f.vars["size"] == "" {
		if m := re(`(?:do not have sufficient|instance type \(?'?|machineTypes/|size )\s*([a-z]\w*[.-]\w+)`).FindStringSubmatch(f.comment); m != nil {
			f.vars["size"] = m[1]
		}
	}
	if v := f.vars["size"]; v != "" {
		f.vars["size"] = ` of the size "` + v + `"`
	}
}

func machineImage(f *failure, _ *finding) { quotedOrNone(f, "image", "i2", "i3", "i4") }
func machineSize(f *failure, _ *finding) {
	coalesce(f, "size", "s2", "s3", "s4", "s5", "s6", "s7")
	if f.vars["size"] == "" {
		if m := re(`'([a-z]\w*\.\w+)'`).FindStringSubmatch(f.comment); m != nil {
			f.vars["size"] = m[1]
		}
	}
	quotedOrNone(f, "size")
}
func machineNet(f *failure, _ *finding) { quotedOrNone(f, "net", "n2") }

func taken(f *failure, _ *finding) {
	if f.vars["taken"] == "" {
		if m := re(`'([^']+)'[^\n]*already|(?:name|key) "?([\w.-]+)"? (?:is )?already (?:exists|in use|used|taken)`).FindStringSubmatch(f.comment); m != nil && m[2] != "is" {
			f.vars["taken"] = m[1] + m[2]
		}
	}
	v := f.vars["taken"]
	f.vars["taker"], f.vars["taken"] = v, ""
	if v != "" {
		f.vars["taken"] = ` "` + v + `"`
	} else if f.vars["address"] != "" {
		f.vars["taken"] = " of " + f.vars["what"]
	}
}

func providerName(f *failure, _ *finding) {
	f.vars["provider"] = ""
	if m := re(`(?:registry\.\S+?/)?([\w-]+/[\w-]+): (?:required|\n|no available|could not|the)|provider (?:registry\.\S+?/)?([\w-]+/[\w-]+)`).FindStringSubmatch(f.comment); m != nil {
		f.vars["provider"] = ` "` + m[1] + m[2] + `"`
	}
}

func variable(f *failure, _ *finding) {
	if m := re(`variable "([^"]+)"`).FindStringSubmatch(f.comment); m != nil {
		f.vars["var"] = m[1]
	}
}

func cloudHost(f *failure, _ *finding) {
	f.vars["host"] = ""
	if m := re(`lookup ([\w.-]+)|"https?://([^/"]+)|dial tcp ([\d.]+:\d+)|host '?([\w-]+\.[\w.-]+)`).FindStringSubmatch(f.comment); m != nil {
		f.vars["host"] = ` (at "` + m[1] + m[2] + m[3] + m[4] + `")`
	}
}

func localExec(f *failure, _ *finding) {
	text := f.comment
	if _, after, ok := strings.Cut(text, "Output: "); ok && strings.TrimSpace(after) != "" {
		text = after
	}
	if l := telling(text, ""); l != "" {
		f.vars["line"] = l
	}
}

func moduleLine(f *failure, _ *finding) {
	l := oneLine(f.vars["detail"])
	if l == "" {
		l = f.vars["summary"]
	}
	if i := strings.Index(l, ". "); i > 30 {
		l = l[:i]
	}
	f.vars["line"] = l
}
