package diagnose

import (
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// answer of a cloud, taken out of what Terraform's programs put around it.
type cloudAnswer struct {
	code string // the cloud's own, such as VcpuLimitExceeded
	said string // its message
	call string // what was asked of it, such as RunInstances
}

var (
	// AWS SDK 2: operation error EC2: RunInstances, https response error
	// StatusCode: 400, RequestID: …, api error Code: message
	awsCall  = lazyregexp.New(`operation error (?:\w[\w ]*): (\w+)`)
	awsNew   = lazyregexp.New(`(?s)api error ([\w.]+): ([^\n]*)`)
	awsTyped = lazyregexp.New(`StatusCode: \d+, RequestID: [^,]*, (\w+): ([^\n]*)`)
	// AWS SDK 1: Code: message, and the status on a line of its own.
	awsOld = lazyregexp.New(`(?s)(?:^|: |\n)([A-Z]\w+(?:\.[A-Z]\w+)?): ([^\n]+)\n\s*status code: \d+`)
	// A machine that was taken and did not come up.
	awsLast = lazyregexp.New(`(?i)last error: (?:Client|Server)\.(\w+)(?:: ([^\n]+))?`)
	// Hetzner's library, and its newer form for people.
	hcloudOld = lazyregexp.New(`(?m)^(.*?) \(([a-z][a-z_]+)(?:, \w+)?\)(?:: \[.*\])?$`)
	hcloudNew = lazyregexp.New(`(?s)^API request failed\n.*?\n\n(.*?)\n\nError code: (\w+)`)
)

// answerOf finds a cloud's own answer in an error.
func answerOf(s string) cloudAnswer {
	var a cloudAnswer
	if m := awsCall.FindAllStringSubmatch(s, -1); m != nil {
		a.call = m[len(m)-1][1]
	}
	if m := awsLast.FindStringSubmatch(s); m != nil {
		a.code, a.said = m[1], m[2]
		if a.said == "" {
			a.said = m[1]
		}
		return a
	}
	for _, form := range []*lazyregexp.Regexp{awsNew, awsTyped, awsOld} {
		if m := form.FindStringSubmatch(s); m != nil {
			a.code, a.said = m[1], m[2]
			if strings.TrimSpace(a.said) == "" {
				a.said = m[1]
			}
			return a
		}
	}
	if m := hcloudNew.FindStringSubmatch(s); m != nil {
		return cloudAnswer{code: m[2], said: m[1]}
	}
	if m := hcloudOld.FindStringSubmatch(s); m != nil {
		return cloudAnswer{code: m[2], said: m[1]}
	}
	return a
}

// answered is for records of a cloud's own codes.
func answered(codes ...string) func(*failure) bool {
	return func(f *failure) bool {
		for _, c := range codes {
			if f.vars["answer"] == c || strings.HasSuffix(c, "*") && strings.HasPrefix(f.vars["answer"], c[:len(c)-1]) {
				return true
			}
		}
		return false
	}
}

var (
	// advice is what clouds add for people who see their console.
	advice  = lazyregexp.New(`(?:^|[.!] +)(?:Please|You can|To do so|We will|Our system|If you have|Contact|Visit|See|For more information|Specify an instance type|If this is|Try again|Version constraints|Make sure|Did you mean)\b.*$|;? ?(?:please )?(?:visit|see|run|contact) (?:https?://|")\S*.*$`)
	encoded = lazyregexp.New(`\s*Encoded authorization failure message: \S+|,? ?request id: \S*|\bRequestID: [^,]*,? ?|https response error StatusCode: \d+,? ?|,? ?\bHostID: [^,]*`)
	// ourTokens are names and addresses that hold a word which people need not
	// know; as names they go into quotation marks.
	ourTokens = lazyregexp.New(`(?i)\b[\w./:-]*(?:terraform|tofu)[\w/:-]*[._/][\w./:\[\]-]*\w|\bterraform_\w+|\b[a-z]+_[a-z0-9_]+(?:\.[\w-]+)*\b`)
	ourWord   = lazyregexp.New(`(?i)\b(root modules?|child modules?|modules?|providers?|terraform|opentofu|states?|plans?|planning|workspaces?|backends?|plug-?ins?|tfstate|saltstack|salt)\b`)
)

var ownTerms = map[string]string{
	"module": "part", "root module": "main part", "child module": "part", "provider": "helper", "terraform": "the tool", "opentofu": "the tool", "state": "record",
	"plan": "preview", "planning": "the preview", "workspace": "folder", "backend": "store", "plugin": "helper", "plug-in": "helper", "tfstate": "record", "salt": "the setup", "saltstack": "the setup",
}

// room is how much of a message stands in a sentence, in characters.
const room = 150

// plainly puts a message of Terraform or a cloud into one short line without
// Terraform's words. Names keep theirs, in quotation marks, which are never cut
// open.
func plainly(s string) string {
	s = oneLine(s)
	s = encoded.ReplaceAllString(s, "")
	if cut := advice.ReplaceAllString(s, ""); len(cut) > 8 {
		s = cut
	}
	var b strings.Builder
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b.WriteString(`"` + part + `"`)
			continue
		}
		part = ourTokens.ReplaceAllString(part, `"$0"`)
		for j, p := range strings.Split(part, `"`) {
			if j%2 == 1 {
				b.WriteString(`"` + p + `"`)
				continue
			}
			b.WriteString(ourWord.ReplaceAllStringFunc(p, func(w string) string {
				low := strings.ToLower(w)
				if t, ok := ownTerms[low]; ok {
					return t
				}
				return ownTerms[strings.TrimSuffix(low, "s")] + "s"
			}))
		}
	}
	out := strings.NewReplacer("The the tool", "The tool", "the the tool", "the tool", "a the tool", "a tool", `""`, `"`, `'"`, `"`, `"'`, `"`).Replace(b.String())
	out = strings.Trim(strings.TrimSpace(out), ".:;, ")
	if cut := shorten(out, room); cut != out {
		if i := strings.LastIndex(cut, " "); i > room/2 {
			cut = cut[:i] + "…"
		}
		if strings.Count(cut, `"`)%2 == 1 {
			cut = strings.TrimRight(cut[:strings.LastIndex(cut, `"`)], " ,(:") + "…"
		}
		out = cut
	} else if strings.Count(out, `"`)%2 == 1 {
		out = strings.ReplaceAll(out, `"`, "")
	}
	return out
}

// holder is who holds the record of the machines, where that is told: pg and
// HTTP show the caller itself.
func holder(f *failure, x *finding) {
	f.vars["holder"] = "Another run"
	f.vars["since"] = ""
	if re(`Workspace is already locked|Already locked for workspace|HTTP remote state (?:already )?locked`).MatchString(f.comment) {
		return
	}
	if m := re(`(?m)^\s*Who:\s+(\S+)`).FindStringSubmatch(f.comment); m != nil {
		f.vars["holder"] += ` (of "` + m[1] + `")`
	}
	m := re(`(?m)^\s*Created:\s+(\d{4}-\d\d-\d\d) (\d\d:\d\d):(\d\d)`).FindStringSubmatch(f.comment)
	if m == nil {
		return
	}
	f.vars["since"] = " since " + m[1] + " " + m[2] + " UTC"
	now, err1 := time.Parse(time.RFC3339, f.vars["now"])
	since, err2 := time.Parse("2006-01-02 15:04:05", m[1]+" "+m[2]+":"+m[3])
	if err1 == nil && err2 == nil && now.Sub(since) > 2*time.Hour {
		x.who, x.next = ops, unlock
	}
}

// unwritten tells what may be left of work whose record was lost.
func unwritten(f *failure, _ *finding) {
	f.vars["lost"] = ""
	if re(`(?i)fail\w* to (?:save|persist|upload|write)|errored\.tfstate|error saving`).MatchString(f.comment) {
		f.vars["lost"] = unknownMachines(f)
	}
	f.vars["said"] = inmost(f)
}

// inmost is the inmost reason of a chain of messages.
func inmost(f *failure) string {
	s := oneLine(f.comment)
	if l := first(s, `(?i)S3 bucket "[^"]+" does not exist`); l != "" {
		return plainly(l)
	}
	if a := answerOf(f.comment); a.said != "" {
		return plainly(a.said)
	}
	for _, p := range []string{`certificate[^;,]*$`, `(?i)(?:dial tcp|lookup) .*$`, `giving up after \d+ attempt\S*.*$`, `pq: .*$`, `(?:endpoint requires auth|invalid auth)`, `(?i)(?:no such file|permission denied|read-only file system).*$`} {
		if l := first(s, p); l != "" {
			return plainly(re(`^giving up after \d+ attempt\S*:? ?`).ReplaceAllString(l, "no answer that it can use"))
		}
	}
	s = re(`(?i)^Error (?:loading|refreshing|inspecting|configuring|reading|saving) (?:the )?(?:state|states|backend)[^:]*: `).ReplaceAllString(s, "")
	return plainly(s)
}

// deniedAction names what Berth's account may not do.
func deniedAction(f *failure, _ *finding) {
	a := f.vars["action"]
	if m := re(`not authorized to perform: ([\w:*-]+)|perform action '([^']+)'|[Rr]equired '([\w.]+)' permission`).FindStringSubmatch(f.comment); a == "" && m != nil {
		a = m[1] + m[2] + m[3]
	}
	if a == "" {
		a = f.vars["call"]
	}
	f.vars["action"] = ""
	if a != "" {
		f.vars["action"] = ` ("` + a + `")`
	} else if f.vars["what"] != "the machines" {
		f.vars["action"] = " for " + f.vars["what"]
	}
}

// profile names the set of credentials that was looked for.
func profile(f *failure, _ *finding) {
	f.vars["profile"] = ""
	if m := re(`(?:shared config profile,?|profile:?) "?([\w.-]+)"?`).FindStringSubmatch(f.comment); m != nil {
		f.vars["profile"] = ` of the profile "` + m[1] + `"`
	}
}

// notReached says at which address, and why.
func notReached(f *failure, _ *finding) {
	f.vars["host"], f.vars["why"] = "", ""
	addr := ""
	for _, p := range []string{`lookup ([\w.-]+)`, `proxyconnect tcp: dial tcp ([\w.:-]+?):? `, `"https?://([^/"]+)`, `dial tcp ([\d.]+:\d+)`, `host '?([\w-]+\.[\w.-]+)`, `Could not connect to ([\w.-]+)`, `could not connect to ([\w.-]+)`} {
		if m := re(p).FindStringSubmatch(f.comment); m != nil {
			addr = m[1]
			break
		}
	}
	if addr != "" {
		f.vars["host"] = ` at "` + addr + `"`
	}
	for _, w := range []struct{ p, why string }{
		{`x509: |certificate|tls: `, "its certificate is not trusted"},
		{`proxyconnect|Proxy Authentication|Proxy`, "the proxy does not let Berth through"},
		{`no such host|server misbehaving|Temporary failure in name resolution`, "the name is not found"},
		{`connection refused`, "the connection is refused"},
		{`network is unreachable|no route to host`, "there is no way to it on the network"},
		{`connection reset|broken pipe|EOF`, "the connection breaks off"},
		{`(?i)timeout|deadline exceeded|Client\.Timeout`, "it does not answer in time"},
		{`(?i)bad gateway|50[0234]\b|unavailable|maintenance`, "it has trouble of its own"},
	} {
		if re(w.p).MatchString(f.comment) {
			f.vars["why"] = ": " + w.why
			if strings.Contains(w.why, "certificate") {
				if l := first(f.comment, `certificate (?:signed by unknown authority|has expired[^\n]{0,60}|is valid for [^\n]{0,80}|is not [^\n]{0,60})`); l != "" {
					f.vars["why"] = ": " + plainly(l)
				}
			}
			break
		}
	}
}

// requirement is the program that a download is for, in short.
func helperName(f *failure, _ *finding) {
	f.vars["helper"], f.vars["why"] = "", ""
	if m := re(`(?:for|provider|installing|obtain)?\s*"?(?:[\w.-]+\.[\w-]+/)?([\w-]+)/([\w-]+)"?(?: v?\d[\w.]*)?(?::|,| was not| required|\s+(?:doesn't|does not|v?\d))`).FindStringSubmatch(re(`https?://\S+|\.terraform/\S+`).ReplaceAllString(oneLine(f.comment), "")); m != nil {
		f.vars["helper"] = ` "` + m[1] + "/" + m[2] + `"`
	}
	text := oneLine(f.comment)
	for _, w := range []struct{ p, why string }{
		{`could not connect to (\S+?):|failed to request discovery document|(?:could not query|error accessing) provider registry|registry service is unreachable|failed to retrieve`, `its registry can't be reached`},
		{`doesn't match any of the checksums|checksum`, "what is there does not match the checksum that was noted down"},
		{`locked provider .* does not match configured version constraint (\S+);`, "the version that was noted down is not the one that is asked for"},
		{`no available releases match the given constraints? ([^;]*?)(?: To see|$)`, "there is no version that fits $1"},
		{`was not found in any of the search locations|does not have a provider named|not available for|no package for`, "it is not where it should be"},
		{`required by this configuration but no version is selected`, "it was never fetched"},
		{`exec format error`, "it is made for another kind of machine"},
		{`permission denied`, "it may not be run"},
		{`Unrecognized remote plugin message|failed to read any lines|handshake`, "it does not start"},
		{`Incompatible API version|protocol`, "it is too old or too new"},
	} {
		if m := re("(?i)" + w.p).FindStringSubmatch(text); m != nil {
			f.vars["why"] = w.why
			if len(m) > 1 {
				f.vars["why"] = strings.ReplaceAll(w.why, "$1", plainly(m[1]))
			}
			f.vars["why"] = ": " + f.vars["why"]
			return
		}
	}
}

// moduleSource says where the files were to come from, and why they did not.
func moduleSource(f *failure, _ *finding) {
	text := oneLine(f.comment)
	f.vars["from"], f.vars["line"] = "", ""
	if m := re(`(?:source code from|module source)\s+"([^"]+)"`).FindStringSubmatch(text); m != nil {
		f.vars["from"] = ` from "` + strings.TrimPrefix(m[1], "git::") + `"`
	} else if m := re(`(?:module|for) "([\w.-]+)"`).FindStringSubmatch(text + " " + f.vars["snippet"]); m != nil {
		f.vars["from"] = ` (the part "` + m[1] + `")`
	}
	for _, p := range []string{`(?:fatal|error|remote): [^:].*$`, `lstat .*$`, `subdir "[^"]+" not found`, `bad response code: \d+`, `could not be read.*$`} {
		l := first(f.comment, `(?m)`+p)
		if l == "" {
			l = first(text, p)
		}
		if i := strings.Index(text, l); l != "" && i >= 0 {
			if whole := re(`^.*?(?:\. |$)`).FindString(text[i:]); len(whole) > len(l) {
				l = whole // it was wrapped
			}
			f.vars["line"] = ": " + plainly(re(`^(?:fatal|error|remote): `).ReplaceAllString(l, ""))
			return
		}
	}
	notReached(f, nil)
	if f.vars["why"] != "" {
		f.vars["line"] = ":" + strings.TrimPrefix(f.vars["host"], " at") + strings.Replace(f.vars["why"], ":", ":", 1)
		if f.vars["host"] != "" {
			f.vars["line"] = ": " + strings.TrimPrefix(f.vars["host"], " at ") + f.vars["why"]
		}
	}
}

// refusedValue names the value and what is wrong with it.
func refusedValue(f *failure, _ *finding) {
	for _, s := range []string{f.vars["detail"], f.vars["snippet"], f.comment} {
		if m := re(`variable\s+"?([\w-]+)"?|var\.([\w-]+)|named "([^"]+)"`).FindStringSubmatch(s); m != nil && m[1]+m[2]+m[3] != "is" {
			f.vars["var"] = m[1] + m[2] + m[3]
			break
		}
	}
	l := strings.TrimSpace(strings.SplitN(f.vars["detail"], "\n\n", 2)[0])
	l = re(`^(?s:.*?)(?:is not suitable|not valid) for var\.\S+ declared at \S+: `).ReplaceAllString(l, "")
	f.vars["line"] = plainly(l)
}

// versions are what the files ask for, and what there is.
func versions(f *failure, _ *finding) {
	f.vars["wants"], f.vars["has"] = "another one", "another"
	if m := re(`required_version\s*=\s*"([^"]+)"`).FindStringSubmatch(f.vars["snippet"]); m != nil {
		f.vars["wants"] = m[1]
	}
	if m := re(`version (\d[\w.-]*\w)`).FindStringSubmatch(f.comment); m != nil {
		f.vars["has"] = m[1]
	}
}

// made is the version that wrote a record which this one can't read.
func made(f *failure, _ *finding) {
	f.vars["by"] = ""
	if m := re(`(?:Terraform|OpenTofu) v?(\d[\w.-]*\w)|format version (\d+)`).FindStringSubmatch(f.comment); m != nil {
		f.vars["by"] = ` ("` + m[1] + m[2] + `")`
	}
}

// removal is what stands in the way of removing something.
func removal(f *failure, _ *finding) {
	if f.vars["said"] == "" {
		f.vars["said"] = f.vars["line"]
	}
}

func cannotFind(f *failure, _ *finding) {
	for _, w := range []struct{ p, name string }{
		{`[Kk]ey ?pair '?([^'\s]+)'? does not exist`, "key pair"}, {`(?i)ssh[ _]key(?:s)?(?: with ID)? ?'?([\w.-]*)'? (?:not found|does not exist)`, "SSH key"},
		{`Value \(([^)]+)\) for parameter iamInstanceProfile`, "instance profile"}, {`[Pp]lacement group '?([^'\s]+)'? `, "placement group"},
		{`[Vv]olume '?([^'\s]+)'? (?:does not exist|not found)`, "volume"}, {`[Ss]napshot '?([^'\s]+)'? (?:does not exist|not found)`, "snapshot"},
	} {
		if m := re(w.p).FindStringSubmatch(f.comment); m != nil {
			f.vars["thing"] = w.name
			if m[1] != "" {
				f.vars["thing"] += ` "` + m[1] + `"`
			}
			return
		}
	}
	f.vars["thing"] = `thing`
}
