package diagnose

import (
	"regexp"
	"strings"
)

const gitNotFound = `ERROR: Repository not found|(?i:repository not found)|repository '[^']*' not found|does not appear to be a git repository|project you were looking for could not be found|remote: Not Found|returned error: 404|did you run git update-server-info|requested repository does not exist|repository not exported|(?m:^fatal: repository '[^']+' does not exist)`

// gitStep is the step of git's samples.
const gitStep = "git.latest git@git.acme.io:shop/billing.git"

// gitRecords are git's texts; git.latest passes them on, and so do commands.
var gitRecords = []record{
	{code: "submodule_failed", who: developer, text: both, re: later(`Failed to update submodules|into submodule path '|No url found for submodule path|in submodule path '|Failed to clone '[^']+'(?: a second time|\. Retry scheduled)`),
		samples: []sample{
			{step: gitStep, says: "Failed to update submodules: Submodule 'vendor/theme' (git@git.acme.io:web/theme.git) registered for path 'vendor/theme'\nfatal: clone of 'git@git.acme.io:web/theme.git' into submodule path '/srv/billing/vendor/theme' failed", names: []string{"vendor/theme", "billing"}},
			{step: gitStep, says: "Failed to update submodules: fatal: No url found for submodule path 'vendor/theme' in .gitmodules", names: []string{"vendor/theme", "billing"}},
		},
		refine: submodule, sentence: `A submodule{path} of "{repo}" could not be fetched: {line}`, next: `Check .gitmodules and who may read the submodule, push, then "berth env deploy NAME".`, subject: "{repo}"},
	{code: "branch_not_found", who: developer, text: both, re: later(`No revision matching '(?P<branch>.+?)' exists in the remote repository|Remote branch (?P<b2>.+?) not found in upstream|couldn't find remote ref (?P<b3>\S+)|Revision '(?P<b4>.+?)' does not exist|pathspec '(?P<b5>[^']+)' did not match any file\(s\) known to git`),
		refine: branchGone, sentence: `There is no branch "{branch}" in the repository "{repo}".`, next: nextBranch, subject: "{repo} {branch}"},
	{code: "branch_not_found", who: developer, re: later(`When 'depth' is used, 'rev' must be set to the name of a branch or tag`),
		refine: branchGone, sentence: `The branch that was asked for does not exist in the repository "{repo}".`, next: nextBranch, subject: "{repo}"},
	{code: "branch_not_found", who: developer, text: both, re: later(`fatal: '(?P<branch>[^']+)' is not a commit and a branch|ambiguous argument '(?P<b2>[^']+)': unknown revision|Could not parse object '(?P<b3>[^']+)'|reference is not a tree: (?P<b4>\S+)|Fetch did not successfully retrieve rev '(?P<b5>[^']+)'|bad object (?P<b6>\S+)|not our ref (?P<b7>[0-9a-f]+)|unadvertised object (?P<b8>[0-9a-f]+)|'(?P<b9>[0-9a-f]{7,40})' did not match any`),
		refine: branchGone, sentence: `There is no branch or commit "{branch}" in the repository "{repo}".`, next: nextBranch, subject: "{repo} {branch}"},
	{code: "disk_full", who: ops, text: both, re: later(diskFull + `|error: unable to write file|fatal: unable to checkout working tree|unable to create temporary file`),
		sentence: `The server's disk is full: "{repo}" could not be checked out.`, next: nextDisk},
	{code: "git_host_unknown", who: ops, text: both, re: later(`Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No (?:\S+ )?host key is known for`),
		sentence: `The server doesn't trust the git host "{host}" (its key is unknown or has changed), so "{repo}" could not be fetched.`, next: askOps, subject: "{host} {repo}"},
	{code: "git_host_unknown", who: ops, text: both, re: later(`server certificate verification failed|SSL certificate problem|certificate verify failed|unable to get local issuer certificate|self[- ]signed certificate`),
		sentence: `The server doesn't trust the certificate of the git host "{host}", so "{repo}" could not be fetched.`, next: askOps, subject: "{host} {repo}"},
	{code: "git_host_unknown", who: ops, text: both, re: later(`detected dubious ownership in repository at '(?P<path>[^']+)'`),
		sentence: `Git refuses the checkout of "{repo}" at "{path}": the folder belongs to another user.`, next: askOps, subject: "{path}"},
	{code: "git_target_occupied", who: ops, text: both, re: later(`Target '(?P<path>[^']+)' exists, is non-empty and is not a git repository|destination path '(?P<p2>[^']+)' already exists and is not an empty directory|Target '(?P<p3>[^']+)' exists and is a file|'(?P<p4>[^']+)' exists and is (?:not a (?:git repository|directory)|a regular file)`),
		refine: anyPath, sentence: `The folder for "{repo}" is taken: "{path}" holds something else already.`, next: askOps, subject: "{path}"},
	{code: "git_diverged", who: ops, re: later(`there are uncommitted changes|[Uu]ncommitted changes|local changes (?:to|would|were)|Local (?:branch )?'?.*'? has been (?:modified|changed)`),
		sentence: `Files of "{repo}" were edited on the server, so it was not brought up to date.`, next: askOps, subject: "{repo}"},
	{code: "git_diverged", who: ops, text: both, re: later(`this is not a fast-forward merge|[Nn]ot possible to fast-forward|non-fast-forward|Failed to fast-forward|fast-forward failed|divergent branches|have diverged`),
		sentence: `The branch of "{repo}" was rewritten, so the server's copy could not follow it.`, next: `Ask ops to let the server take the rewritten branch, then "berth env retry NAME"; or "berth env destroy NAME", and create it anew.`, subject: "{repo}"},
	{code: "git_diverged", who: ops, text: both, re: later(`Your local changes to the following files would be overwritten|untracked working tree files would be overwritten`),
		sentence: `Files of "{repo}" were edited on the server, so it was not brought up to date.`, next: askOps, subject: "{repo}"},
	{code: "git_auth", who: ops, re: later(`identity file\(s\) were not found: (?P<path>[^\n]+)`),
		sentence: `The key "{path}" with which the server should read the repository "{repo}" is not on the server.`, next: askOps, subject: "{path}"},
	{code: "permission_denied", who: ops, text: both, re: later(`could not create (?:leading directories of|work tree dir|directory) '(?P<path>[^'\n]+)':? (?:Permission denied|Read-only file system|Operation not permitted)`),
		sentence: `The server has no permission to put "{repo}" at "{path}".`, next: askOps, subject: "{path}"},
	{code: "path_missing", who: ops, text: both, re: later(`could not create (?:leading directories of|work tree dir|directory) '(?P<path>[^'\n]+)':? (?P<why>[^\n]+)`),
		sentence: `The folder "{path}" for "{repo}" could not be made: {why}`, next: askOpsRecipe, subject: "{path}"},
	{code: "recipe_error", who: ops, in: "git", re: later(`[Tt]arget '(?P<path>[^'\n]*)' is not an absolute path`),
		sentence: `The recipe puts "{repo}" at "{path}", which is no absolute path.`, next: askOpsRecipe, subject: "{path}"},
	{code: "repo_not_found", who: ops, text: both, re: later(`'remote-(?P<kind>[\w+.-]+)' is not a git command|Unable to find remote helper for '(?P<k2>[^'\n]+)'|transport '(?P<k3>[^'\n]+)' not allowed`), refine: func(f *failure, _ *finding) { coalesce(f, "kind", "k2", "k3") },
		sentence: `The repository "{repo}" has an address of a kind ("{kind}") that git on the server does not fetch from.`, next: askOps, subject: "{repo}"},
	{code: "repo_not_found", who: ops, in: "git", text: both, re: later(gitNotFound),
		sentence: `The repository "{repo}" ({url}) does not exist, or the server may not see it.`, next: nextRepo, subject: "{repo}"},
	{code: "repo_not_found", who: developer, text: both, re: later(gitNotFound),
		sentence: `The repository "{repo}" ({url}) does not exist, or the server may not see it.`, next: `Correct its address in the app's own files and push, then "berth env deploy NAME"; if it is right, ask ops to let the server read it.`, subject: "{repo}"},
	{code: "git_auth", who: ops, text: both, re: later(`Permission denied \((?:publickey|password|keyboard|gssapi)|Authentication failed|could not read (?:Username|Password)|returned error: 40[13]|HTTP Basic: Access denied|Permission to \S+ denied|Invalid username or (?:password|token)|terminal prompts disabled|Support for password authentication was removed|Too many authentication failures|You may not have access|Invalid credentials|authorization failed|identity file .{0,200}does not exist|No such identity|invalid format\s*$|Bad credentials|deploy key`),
		sentence: `The server may not read the repository "{repo}": its key or password was refused by "{host}".`, next: `Ask ops to give the server's key access to the repository; then "berth env retry NAME".`, subject: "{host} {repo}"},
	{code: "git_unreachable", who: retry, text: both, re: later(`(?i)could not resolve host|unable to connect to|connection refused|failed to connect to|timed out|network is unreachable|no route to host|connection reset|connection closed by|returned error: (?:5\d\d|429)|temporary failure in name resolution|name or service not known|early EOF|remote end hung up|SSL_ERROR|gnutls_handshake|gnutls recv|kex_exchange_identification|RPC failed|Empty reply from server|Operation too slow|Proxy CONNECT aborted|port \d+: `),
		sentence: `The server can't reach the git host "{host}" to fetch "{repo}": {line}`, refine: gitLine, next: tryAgain, subject: "{host} {repo}"},
	{code: "git_auth", who: ops, re: later(`Unable to authenticate using identity|Could not read from remote repository`), in: "git",
		sentence: `The server can't read the repository "{repo}" at "{host}".`, next: askOps, subject: "{host} {repo}"},
}

// gitStateRecords are what only git.* says and no table of git has.
var gitStateRecords = []record{
	{code: "disk_full", who: ops, re: later(diskFull), sentence: `The server's disk is full: the step "{step}" could not write "{name}".`, next: nextDisk},
}

var hexOnly = regexp.MustCompile(`^[0-9a-f]{40}$`)

func branchGone(f *failure, x *finding) {
	b := coalesce(f, "branch", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9")
	b = re(`[\^~].*$`).ReplaceAllString(b, "")
	b = strings.TrimPrefix(strings.TrimPrefix(b, "refs/heads/"), "origin/")
	f.vars["branch"] = b
	asked := f.vars["asked"]
	switch {
	case hexOnly.MatchString(b):
		x.code = "revision_not_found"
		x.sentence = `The commit "{branch}" is not in the repository "{repo}".`
		if asked != "" {
			f.vars["short"] = b[:10]
			x.sentence = `The commit {short} of the branch "{asked}" was in "{repo}" when Berth checked it and is gone now: the branch was rewritten or deleted.`
			x.next = `Deploy what the branch has now: "berth env deploy NAME".`
		}
	case asked != "" && (b == asked || b == ""):
		f.vars["branch"] = asked
		x.sentence = `The branch "{branch}" was in the repository "{repo}" when Berth checked it, and is gone now: it was deleted or renamed since.`
	}
}

func gitLine(f *failure, _ *finding) {
	text := f.comment
	if f.module != "git" {
		text = f.output()
	}
	if l := first(text, `(?i)[^\n]*(?:could not resolve|unable to connect|connection refused|failed to connect|timed out|unreachable|no route|reset by peer|connection closed|returned error|hung up|handshake|EOF)[^\n]*`); l != "" {
		l = re(`^.*?(?:fatal: |ssh: )`).ReplaceAllString(l, "")
		f.vars["line"] = strings.TrimSpace(re(`^unable to access '[^']*': `).ReplaceAllString(l, ""))
	}
	for _, p := range []string{`Could not resolve host(?:name)?:? ([^\s:,;]+)`, `unable to connect to ([^\s:]+)`, `connect to host (\S+)`, `Failed to connect to (\S+)`} {
		if m := re(`(?i)` + p).FindStringSubmatch(text); m != nil {
			f.vars["host"] = m[1]
		}
	}
}

func submodule(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	f.vars["path"] = ""
	for _, p := range []string{`registered for path '([^']+)'`, `submodule path '([^']+)'`, `Failed to clone '([^']+)'`} {
		if m := re(p).FindStringSubmatch(text); m != nil {
			f.vars["path"] = ` "` + m[1] + `"`
			break
		}
	}
	if l := first(text, `(?im)^.*(?:could not resolve|connection refused|not found|does not appear|permission denied|unable to access|not our ref|No url found).*$`); l != "" {
		f.vars["line"] = l
	} else {
		f.vars["line"] = telling(f.comment, "")
	}
	f.vars["line"] = strings.TrimPrefix(f.vars["line"], "Failed to update submodules: ")
}

// hostOf and repoOf take the parts of a git address that people know.
func hostOf(address string) string {
	a := address
	if i := strings.Index(a, "://"); i >= 0 {
		a = a[i+3:]
		a, _, _ = strings.Cut(a, "/")
		a = a[strings.LastIndex(a, "@")+1:]
		if strings.HasPrefix(a, "[") {
			return a
		}
		a, _, _ = strings.Cut(a, ":")
		return a
	}
	if host, _, ok := strings.Cut(a, ":"); ok && !strings.Contains(host, "/") {
		return host[strings.LastIndex(host, "@")+1:]
	}
	return ""
}

func repoOf(address string) string {
	a := strings.TrimRight(address, "/")
	a, _, _ = strings.Cut(a, "?")
	a, _, _ = strings.Cut(a, ".git@") // pip's way to name a branch
	a = strings.TrimSuffix(a, ".git")
	a = a[strings.LastIndexAny(a, "/:")+1:]
	if a == "" {
		return address
	}
	return a
}
