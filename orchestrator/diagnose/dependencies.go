package diagnose

import (
	"net/url"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// pipRecords are pip's texts.
var pipRecords = []record{
	{code: "python_dependency", who: ops, text: both, re: lazyregexp.New(untrusted + `|invalid peer certificate|UnknownIssuer`), refine: uvIndex,
		sentence: `The server doesn't trust the certificate of the Python package index{index}, so the packages could not be installed.`, next: askOps,
		samples: []sample{
			{step: "pip.installed shop", says: "Error installing 'six': WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1016)'))': /simple/six/\nERROR: Could not find a version that satisfies the requirement six", names: []string{"certificate"}},
			{step: "pip.installed shop", says: "error: Request failed after 3 retries in 6.3s\n  Caused by: Failed to fetch: `https://pypi.acme.io/simple/six/`\n  Caused by: error sending request for url (https://pypi.acme.io/simple/six/)\n  Caused by: client error (Connect)\n  Caused by: invalid peer certificate: UnknownIssuer", names: []string{"certificate", "pypi.acme.io"}}}},
	{code: "python_dependency", who: retry, text: both, re: lazyregexp.New(`NewConnectionError|ConnectTimeoutError|Failed to establish a new connection|Temporary failure in name resolution|Read timed out|ConnectionResetError|ProxyError|SSLError|Max retries exceeded|(?i:5\d\d (?:server|bad gateway|service unavailable))`), refine: pipIndex,
		sentence: `The Python package index{index} can't be reached, so the packages could not be installed.`, next: tryAgain,
		samples: []sample{{step: "pip.installed shop", says: "Error installing 'six': ERROR: Looking in indexes: http://pypi.acme.io/simple\nWARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new connection: [Errno 111] Connection refused'", names: []string{"pypi.acme.io"}}}},
	{code: "python_dependency", who: ops, text: both, re: lazyregexp.New("Could not find a [`'\"]?pip[\\d.]*[`'\"]? (?:binary|command|executable)|No module named pip\\b|virtualenv was not (?:detected|found)"),
		sentence: `pip, which installs Python packages, is not on the server (step "{step}").`, next: askOps,
		samples: []sample{{step: "pip.installed shop", says: "Error installing 'six': Could not find a `pip` binary", names: []string{"pip"}}}},
	{code: "python_dependency", who: retry, text: both, re: lazyregexp.New(`(?m)^error: Request failed after \d+ retr|error sending request for url|client error \(Connect\)|All attempts to connect to (?P<index>\S+) failed`), refine: uvIndex,
		sentence: `The Python package index{index} can't be reached, so the packages could not be installed.`, next: tryAgain,
		samples: []sample{{step: "pip.installed shop", says: "error: Request failed after 3 retries in 6.3s\n  Caused by: Failed to fetch: `http://127.0.0.1:9/simple/six/`\n  Caused by: error sending request for url (http://127.0.0.1:9/simple/six/)\n  Caused by: client error (Connect)", names: []string{"127.0.0.1:9"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`Because there (?:is|are) no versions? of (?P<pkg>\S+?),? (?:and|we)|Because (?P<p2>\S+) was not found in the package registry|depends on (?P<p3>\S+ \([^)\n]+\)) which doesn't match any versions|Could not find a matching version of package (?P<p4>\S+)`), refine: firstPkg,
		sentence: `The Python package "{pkg}" does not exist in that version or under that name.`, next: `Correct it in the app's requirements, push, then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{
			{step: "pip.installed shop", says: "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of six==99 and you require six==99, we can conclude that your requirements are unsatisfiable.", names: []string{"six==99"}},
			{step: "pip.installed shop", says: "Because shop depends on six (99) which doesn't match any versions, version solving failed.", names: []string{"six (99)"}},
		}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`The lockfile at .(?P<path>uv\.lock). needs to be updated|significantly since (?P<p2>poetry\.lock) was last generated|Your (?P<p3>Pipfile\.lock) \(.*\) is out of date`), refine: anyPath,
		sentence: `"{path}" does not fit what the app says it needs.`, next: `Lock the packages again on your machine, commit "{path}", push, then "berth env deploy NAME".`,
		samples: []sample{
			{step: "pip.installed shop", says: "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided. To update the lockfile, run `uv lock`.", names: []string{"uv.lock"}},
			{step: "pip.installed shop", says: "pyproject.toml changed significantly since poetry.lock was last generated. Run `poetry lock` to fix the lock file.", names: []string{"poetry.lock"}},
			{step: "pip.installed shop", says: "Your Pipfile.lock (abc) is out of date. Expected: (83b3).", names: []string{"Pipfile.lock"}},
		}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`(?s)No solution found when resolving dependencies.*?╰─▶ (?P<why>.+)|version solving failed`), refine: uvWhy,
		sentence: `The app's Python requirements contradict each other: {line}`, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "  × No solution found when resolving dependencies:\n  ╰─▶ Because flask==2.0 depends on werkzeug>=2 and you require werkzeug<2, we can conclude that your requirements are unsatisfiable.", names: []string{"flask==2.0", "werkzeug"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`No matching distribution found for (?P<pkg>[^\s]+)|satisfies the requirement (?P<p2>[^\s]+)`), refine: firstPkg,
		sentence: `The Python package "{pkg}" does not exist in that version or under that name.`, next: `Correct it in the app's requirements, push, then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{{step: "pip.installed shop", says: "Failed to install packages: numpy. Error: ERROR: No matching distribution found for numpy==99", names: []string{"numpy==99"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`Cannot install (?P<pkg>.+?) because these package versions have conflicting|ResolutionImpossible`),
		sentence: `The app's Python requirements contradict each other: {line}`, refine: pipLine, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Error: ERROR: Cannot install flask==1.0 and werkzeug==3.0 because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: see the documentation", names: []string{"flask==1.0"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`Could not open requirements file: .*'(?P<path>[^']+)'`), sentence: `The app has no requirements file at "{path}".`, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Unable to process requirements file \"/srv/shop/requirements.txt\" Error: ERROR: Could not open requirements file: [Errno 2] No such file or directory: '/srv/shop/requirements.txt'", names: []string{"/srv/shop/requirements.txt"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`(?i)Invalid requirement: ['"]?(?P<pkg>[^'"\n]+)`), sentence: `The app's requirements have a line that is none: "{pkg}".`, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Error: ERROR: Invalid requirement: 'six=1.0': Expected end or semicolon", names: []string{"six=1.0"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`requires (?:a different Python|Python '?(?P<want>[^'\n;]+))`), sentence: `A Python package does not fit this server's Python: {line}`, refine: pipLine, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Error: ERROR: Package 'shop-lib' requires a different Python: 3.11.7 not in '>=3.99'", names: []string{"shop-lib", "3.99"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`metadata-generation-failed|subprocess-exited-with-error|Failed building wheel|Failed to build|Could not build wheels|did not run successfully|legacy-install-failure`), refine: pipBuild,
		sentence: `The Python package "{pkg}" could not be built: {line}`, next: `Use a version that needs no build, or ask ops for what it needs; then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{{step: "pip.installed shop", says: "Error: Collecting psycopg2\n  error: subprocess-exited-with-error\n  Error: pg_config executable not found.\nerror: metadata-generation-failed", names: []string{"psycopg2", "pg_config"}}}},
	{code: "python_dependency", who: developer, text: both, re: lazyregexp.New(`THESE PACKAGES DO NOT MATCH THE HASHES`), sentence: `A Python package does not match the hash in the app's requirements.`, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Error: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", names: []string{"hash"}}}},
}

// pipStateRecords are what is left of pip.*.
var pipStateRecords = []record{
	{code: "python_dependency", who: developer, in: "pip virtualenv", sentence: `The Python packages of step "{step}" could not be installed: {line}`, refine: pipLine, next: pushAgain,
		samples: []sample{{step: "pip.installed shop", says: "Failed to install packages: six. Error: the wheel house is closed", names: []string{"wheel house"}}}},
}

// nodeRecords are npm's, yarn's and pnpm's texts.
var nodeRecords = []record{
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`can only install with an existing package-lock\.json`),
		sentence: `The app has no package-lock.json (or one of an old kind), and "npm ci" needs it.`, next: `Run npm install on your machine, commit package-lock.json, push, then "berth env deploy NAME".`,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error The `npm ci` command can only install with an existing package-lock.json", names: []string{"package-lock.json"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`(?s)ERR_PNPM_(?P<kind>NO_MATCHING_VERSION|FETCH_404).*?Failed to resolve (?P<pkg>@?[^\s:@]+@[^\s:]+)`), refine: firstPkg,
		sentence: `npm: the package "{pkg}" does not exist in that version, or the server may not see it.`, next: `Correct it in package.json and push, or ask ops for access to the registry; then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error: ERR_PNPM_FETCH_404\n\n  × installing dependencies\n  ├─▶ GET https://registry.npmjs.org/acme-\n  │   nope-tide-1: Not Found - 404\n  │   \n  │   Failed to resolve acme-nope-tide-1@1.0.0\n", names: []string{"acme-nope-tide-1@1.0.0"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`YN0035: │ (?P<pkg>\S+?)(?:@npm:(?P<ver>\S+))?: Package not found|YN0082: │ (?P<p2>\S+): No candidates found|No version matching "(?P<p4>[^"]+)" found for specifier|(?m)^error: GET https?://[^/\s]+/(?P<p3>\S+) - 404`), refine: firstPkg,
		sentence: `npm: the package "{pkg}" does not exist in that version, or the server may not see it.`, next: `Correct it in package.json and push, or ask ops for access to the registry; then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{
			{step: "npm.bootstrap /srv/shop", says: "➤ YN0035: │ acme-nope-tide-1@npm:1.0.0: Package not found", names: []string{"acme-nope-tide-1"}},
			{step: "npm.bootstrap /srv/shop", says: "error: GET https://registry.npmjs.org/acme-nope-tide-1 - 404", names: []string{"acme-nope-tide-1"}},
		}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`(?i)can only install packages when your package\.json and|lock file .*(?:in sync|needs to be updated|not up to date)|ERR_PNPM_OUTDATED_LOCKFILE|Your lockfile needs to be updated|lockfile would have been modified|YN0028|lockfile had changes, but lockfile is frozen`), refine: lockDrift,
		sentence: `package.json and {lock} do not agree{what}.`, next: `Run the install on your machine, commit the lock file, push, then "berth env deploy NAME".`,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.\nnpm error Missing: left-pad@1.3.0 from lock file", names: []string{"package-lock.json", "left-pad@1.3.0"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`No matching version found for (?P<pkg>\S+?)\.?(?:\s|$)|Couldn't find any versions for "(?P<p2>[^"]+)"|ERR_PNPM_NO_MATCHING_VERSION\s+No matching version found for (?P<p3>\S+)`), refine: firstPkg,
		sentence: `npm: there is no version of "{pkg}" that fits.`, next: `Correct it in package.json, push, then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error notarget No matching version found for left-pad@99.0.0.", names: []string{"left-pad@99.0.0"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`'(?P<pkg>[^'\n]+)' (?:could not be found|is not in (?:this|the npm) registry)|404 Not Found - GET \S+/(?P<p2>[^\s/]+) -|Couldn't find package "(?P<p3>[^"]+)"|ERR_PNPM_FETCH_404.*?GET \S+/(?P<p4>[^\s:]+)`), refine: firstPkg,
		sentence: `npm: the package "{pkg}" does not exist, or the server may not see it.`, next: `Correct it in package.json and push, or ask ops for access to the registry; then "berth env deploy NAME".`, subject: "{pkg}",
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error 404 '@shop/tide@1.0.0' is not in this registry.", names: []string{"@shop/tide@1.0.0"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`(?:npm (?:error|ERR!) |^)?(?:code )?ERESOLVE|unable to resolve dependency tree|could not resolve dependency`), refine: peerClash,
		sentence: `npm packages contradict each other: {what}.`, next: `Make the versions in package.json fit, push, then "berth env deploy NAME".`,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error code ERESOLVE\nnpm error Found: react@16.0.0\nnpm error peer react@\"^18.0.0\" from react-dom@18.0.0", names: []string{"react-dom@18.0.0", "react@16.0.0"}}}},
	{code: "node_dependency", who: retry, text: both, re: lazyregexp.New(`npm (?:error|ERR!) (?:code|errno) (?:ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ECONNRESET|EAI_AGAIN|E50\d|ERR_SOCKET_TIMEOUT)|request to (?P<url>\S+) failed, reason: |There appears to be trouble with your network connection`),
		refine: nodeLine, sentence: `The npm registry can't be reached: {line}`, next: tryAgain,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error code ECONNREFUSED\nnpm error request to http://npm.acme.io/left-pad failed, reason: connect ECONNREFUSED", names: []string{"npm.acme.io"}}}},
	{code: "node_dependency", who: ops, text: both, re: lazyregexp.New(`npm (?:error|ERR!) code (?:E401|E403|ENEEDAUTH)|Unable to authenticate, (?:your|need)`),
		refine: nodeLine, sentence: `The npm registry refused the server: {line}`, next: `Ask ops for access to the registry; then "berth env retry NAME".`,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error code E401\nnpm error Unable to authenticate, need: Basic realm=\"acme\"", names: []string{"Unable to authenticate"}}}},
	{code: "node_dependency", who: developer, text: both, re: lazyregexp.New(`(?s)npm (?:error|ERR!) code (?:EINTEGRITY|EBADENGINE|ENOENT|EJSONPARSE|EBADPLATFORM|ETARGET|E404|EUSAGE|EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL|EOVERRIDE)`),
		refine: nodeLine, sentence: `npm could not install the packages of the app: {line}`, next: pushAgain,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': npm error code EBADENGINE\nnpm error Not compatible with your version of node: shop@1.0.0 required: node >=99", names: []string{"Not compatible"}}}},
}

// npmStateRecords are what is left of npm.*.
var npmStateRecords = []record{
	{code: "node_dependency", who: developer, in: "npm yarn bower", re: lazyregexp.New(`Error (?:installing|Bootstrapping) '(?P<pkg>[^'\n]+)': *(?P<why>\S[^\n]*)?`), refine: npmState,
		sentence: `npm could not install the packages of "{pkg}"{why}.`, next: pushAgain, subject: "{pkg}",
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "Error Bootstrapping '/srv/shop': the mast is broken", names: []string{"/srv/shop", "the mast is broken"}}}},
	{code: "node_dependency", who: developer, in: "npm yarn bower", refine: commentLine, sentence: `npm could not install the packages of "{name}": {line}`, next: pushAgain,
		samples: []sample{{step: "npm.bootstrap /srv/shop", says: "npm went overboard", names: []string{"npm went overboard"}}}},
}

// imageRecords are docker's texts.
var imageRecords = []record{
	{code: "service_failed", who: ops, text: both, re: lazyregexp.New(`Cannot connect to the Docker daemon|docker\.sock`), sentence: `Docker does not run on the server, so the step "{step}" failed.`, next: askOps,
		samples: []sample{{step: "docker_image.present shop/app:v9", says: "Encountered error pulling shop/app:v9: Cannot connect to the Docker daemon at unix:///var/run/docker.sock", names: []string{"Docker"}}}},
	{code: "image_not_found", who: ops, text: both, re: lazyregexp.New(`(?i)pull access denied for (?P<i2>[^\s,]+)[^\n]*denied: requested access|unauthorized|no basic auth credentials|authentication required|denied: requested access|403 Forbidden`), refine: image,
		sentence: `The server may not pull the image "{image}".`, next: askOps, subject: "{image}",
		samples: []sample{{step: "docker_image.present shop/app:v9", says: "Encountered error pulling reg.acme.io/shop/app:v9: unauthorized: authentication required", names: []string{"reg.acme.io/shop/app:v9"}}, {step: "docker_image.present api", says: "Error response from daemon: pull access denied for acme/api, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", names: []string{`"acme/api"`}}}},
	{code: "image_not_found", who: developer, text: both, re: lazyregexp.New(`(?i)manifest unknown|manifest for (?P<image>\S+) not found|pull access denied for (?P<i2>[^\s,]+)|repository does not exist|not found: manifest|no such image:? ?(?P<i3>\S*)|failed to resolve reference "(?P<i4>[^"]+)"`), refine: image,
		sentence: `The image "{image}" does not exist, or the server may not see it.`, next: `Correct the image's name and tag, push, then "berth env deploy NAME".`, subject: "{image}",
		samples: []sample{{step: "docker_image.present shop/app:v9", says: "Encountered error pulling shop/app:v9: manifest for shop/app:v9 not found: manifest unknown", names: []string{"shop/app:v9"}}}},
	{code: "image_not_found", who: retry, text: both, re: lazyregexp.New(`Encountered error pulling (?P<image>\S+?): (?s:.*)(?i:timeout|timed out|no such host|connection refused|unreachable)`), refine: image,
		sentence: `The image "{image}" could not be pulled: its registry can't be reached.`, next: tryAgain, subject: "{image}",
		samples: []sample{{step: "docker_image.present shop/app:v9", says: "Encountered error pulling shop/app:v9: Get https://reg.acme.io/v2/: dial tcp: lookup reg.acme.io: no such host", names: []string{"shop/app:v9"}}}},
	{code: "image_not_found", who: developer, text: both, re: lazyregexp.New(`Encountered error (?:pulling|building|loading) (?P<image>\S+?):(?:\s|$)|Error pulling image (?P<i2>\S+)`), refine: image,
		sentence: `The image "{image}" could not be pulled: {line}`, next: `Check the image's name and tag; if they are right, send ops this message. After that: "berth env retry NAME".`, subject: "{image}",
		samples: []sample{{step: "docker_image.present shop/app:v9", says: "Encountered error pulling shop/app:v9: the tide was too low", names: []string{"shop/app:v9", "tide"}}}},
}

func pipIndex(f *failure, _ *finding) {
	f.vars["index"] = ""
	if m := re(`Looking in indexes: (\S+)|host='([^']+)'|HTTPS?ConnectionPool\(host='([^']+)'`).FindStringSubmatch(f.comment + "\n" + f.output()); m != nil {
		f.vars["index"] = ` "` + strings.TrimSuffix(m[1]+m[2]+m[3], ",") + `"`
	}
}

func uvIndex(f *failure, _ *finding) {
	if m := re("(?:request for url \\(|Failed to fetch: `?|All attempts to connect to )(https?://[^/\\s)]+|[\\w.-]+)").FindStringSubmatch(f.comment + "\n" + f.output()); m != nil {
		f.vars["index"] = ` "` + m[1] + `"`
	}
}

func uvWhy(f *failure, _ *finding) {
	if f.vars["why"] != "" {
		f.vars["line"] = oneLine(f.vars["why"])
	} else {
		pipLine(f, nil)
	}
}

func firstPkg(f *failure, _ *finding) {
	p := coalesce(f, "pkg", "p2", "p3", "p4")
	if u, err := url.PathUnescape(p); err == nil {
		p = u
	}
	f.vars["pkg"] = strings.Trim(p, `"'.,`)
}

func pipLine(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	for _, p := range []string{`(?m)^.*ERROR: (.+)$`, `(?m)^\s*(?:error|Error): (.+)$`} {
		if m := re(p).FindStringSubmatch(text); m != nil {
			f.vars["line"] = m[1]
			return
		}
	}
	f.vars["line"] = telling(text, "")
}

// pipBuild finds the package whose build failed: the last one collected before
// the error, unless pip names it; and the line that says why.
func pipBuild(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	f.vars["pkg"] = ""
	if m := re(`(?:Failed (?:to build|building wheel for)|Could not build wheels for) (?:installable wheels for some pyproject\.toml based projects \()?([A-Za-z0-9_.-]+)`).FindStringSubmatch(text); m != nil && m[1] != "installable" {
		f.vars["pkg"] = m[1]
	}
	end := len(text)
	if i := re(`(?m)error: subprocess-exited|did not run successfully|ERROR: Command errored|metadata-generation-failed`).FindStringIndex(text); i != nil {
		end = i[0]
	}
	if f.vars["pkg"] == "" {
		if all := re(`(?m)Collecting ([A-Za-z0-9_.\[\]=<>~!-]+)`).FindAllStringSubmatch(text[:end], -1); len(all) > 0 {
			f.vars["pkg"] = all[len(all)-1][1]
		}
	}
	if f.vars["pkg"] == "" {
		f.vars["pkg"] = f.vars["name"]
	}
	var why []string
	for _, l := range lines(text[end:]) {
		t := strings.TrimSpace(strings.TrimLeft(l, " │"))
		if re(`^(?:\S+: )?(?:fatal |[\w.]+)?[Ee]rror: .+|not found\.?$`).MatchString(t) && !re(`subprocess-exited|metadata-generation|command '.*' failed|legacy-install|generating package`).MatchString(t) {
			why = append(why, t)
		}
	}
	f.vars["line"] = "its build ended with an error"
	if len(why) > 0 {
		f.vars["line"] = why[0]
	}
}

// nodeLine takes the line from the comment where no output was kept.
func nodeLine(f *failure, _ *finding) {
	if f.line() == "" {
		f.vars["line"] = telling(re(`^Error \w+ '[^'\n]*': *`).ReplaceAllString(f.comment, ""), "")
	}
}

func npmState(f *failure, x *finding) {
	why := f.vars["why"]
	f.vars["why"] = ""
	if why == "" {
		why = telling(f.vars["npmlog"], "")
	}
	if why != "" {
		f.vars["why"] = ": " + plain(shorten(oneLine(why), 110))
	}
}

func lockDrift(f *failure, _ *finding) {
	f.vars["what"], f.vars["lock"] = "", "package-lock.json"
	said := f.vars["fullcmd"] + "\n" + f.comment + "\n" + f.output()
	for _, tool := range []struct{ says, lock string }{{`\bpnpm\b|ERR_PNPM_`, "pnpm-lock.yaml"}, {`\byarn\b|YN0028`, "yarn.lock"}, {`(?m)^bun |lockfile is frozen`, "bun.lock"}} {
		if re(tool.says).MatchString(said) {
			f.vars["lock"] = tool.lock
			break
		}
	}
	if m := re(`(Missing|Invalid): (?:lock file's )?([^\n]+)`).FindStringSubmatch(f.output() + f.comment); m != nil {
		f.vars["what"] = ": " + strings.ToLower(m[1]) + " " + m[2]
	}
}

func peerClash(f *failure, _ *finding) {
	text := f.output() + "\n" + f.comment
	want := re(`(?m)\bpeer (?:optional )?(\S+?@"[^"]+") from (\S+)`).FindStringSubmatch(text)
	found := re(`(?m)Found: (\S+)`).FindStringSubmatch(text)
	switch {
	case want != nil && found != nil:
		f.vars["what"] = want[2] + " needs " + strings.ReplaceAll(want[1], `"`, "") + ", but " + found[1] + " is there"
	case want != nil:
		f.vars["what"] = want[2] + " needs " + strings.ReplaceAll(want[1], `"`, "")
	default:
		f.vars["what"] = telling(text, "")
	}
}

func image(f *failure, _ *finding) {
	i := coalesce(f, "image", "i2", "i3", "i4")
	if i == "" {
		i = first(f.comment+"\n"+f.output(), `[\w.-]+(?:/[\w.-]+)+:[\w.-]+`)
	}
	if i == "" {
		i = f.vars["name"]
	}
	f.vars["image"] = strings.Trim(i, `"',.:`)
	f.vars["line"] = telling(re(`^Encountered error pulling \S+: `).ReplaceAllString(f.comment, ""), f.output())
}
