package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// What a server's agent says of code that it fetches itself, before any recipe
// runs: in the problem what it was about, on standard error what git said.
const (
	fetchSays      = "git could not fetch https://github.com/shop/billing with the login that Berth gave it."
	fetchKeySays   = "git could not fetch ssh://git.acme.io/shop/billing with the login that Berth gave it."
	fetchLargeSays = "git could not fetch the large files (Git LFS) of https://github.com/shop/billing."

	nextLogin      = `Ask ops to look at how Berth reads the app's code (its GitHub App, or the app's credential in the catalog); then "berth env retry NAME".`
	nextKnownHosts = `Ask ops to compare the host's key with what it publishes, and to put it into the known_hosts of the app's credential; then "berth env retry NAME".`
)

// fetching says whether a problem is git's, and which repository it is about.
func fetching(f *failure) bool {
	m := re(`^git could not fetch (?:the large files \(Git LFS\) of )?(\S+?)(?: with the login that Berth gave it)?\.$`).FindStringSubmatch(f.comment)
	if m == nil {
		return false
	}
	f.vars["url"], f.vars["repo"], f.vars["host"] = m[1], repoOf(m[1]), hostOf(m[1])
	return true
}

func fetchingLarge(f *failure) bool { return fetching(f) && strings.Contains(f.comment, "Git LFS") }

// gitSaid is git's most telling line, without its own words for all failures.
func gitSaid(f *failure, _ *finding) {
	f.told = true
	line := first(f.output(), `(?im)^.*(?:could not|couldn't|cannot|unable|denied|refused|not granted|not allowed|failed|error|timed out|not found|does not exist).*$`)
	if line == "" {
		line = telling(f.stderr, f.stdout)
	}
	line = re(`^(?:remote: |fatal: |error: |ERROR: |batch response: )+`).ReplaceAllString(strings.TrimSpace(line), "")
	f.vars["line"] = strings.TrimSpace(re(`^unable to access '[^']*': `).ReplaceAllString(line, ""))
}

// whyNone leaves out what a refusal says at the door alone.
func whyNone(f *failure, _ *finding) {
	f.vars["why"] = re(`, so the branch of app \S+ could not be checked(?: in \S+)?$`).ReplaceAllString(f.vars["why"], "")
}

// fetchRecords are failures of code that is not public.
var fetchRecords = []record{
	{code: "source_missing", who: developer, when: fetchingLarge, text: output, re: lazyregexp.New(`(?i)object does not exist|returned error: 404|\b404\b|missing on the server`), refine: gitSaid,
		sentence: `Large files of "{repo}" (Git LFS) are not at "{host}": {line}`, next: `Push them ("git lfs push --all origin"), then "berth env retry NAME".`, subject: "{repo}",
		samples: []sample{{says: fetchLargeSays, prints: "[4d7a2146] Object does not exist: [404] Object does not exist\nerror: failed to fetch some objects from 'https://github.com/shop/billing.git/info/lfs'", names: []string{"billing", "github.com", "Object does not exist"}}}},
	{code: "git_auth", who: ops, when: fetchingLarge, text: output, re: lazyregexp.New(`(?i)authentication required|authorization error|credentials for|returned error: 40[13]|\b40[13]\b|Bad credentials|rate limit|over its data quota`), refine: gitSaid,
		sentence: `The server may not read the large files of "{repo}" (Git LFS) at "{host}": {line}`, next: nextLogin, subject: "{host} {repo}",
		samples: []sample{
			{says: fetchLargeSays, prints: "batch response: Authentication required: Authorization error: https://github.com/shop/billing.git/info/lfs/objects/batch\nCheck that you have proper access to the repository", names: []string{"billing", "Authorization error"}},
			{says: fetchLargeSays, prints: "batch response: This repository is over its data quota. Account responsible for LFS bandwidth should purchase more data packs to restore access.", names: []string{"billing", "over its data quota"}},
		}},
	{code: "git_host_unknown", who: ops, when: fetching, text: output, re: lazyregexp.New(`(?i)host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no matching host key`),
		sentence: `The server does not know the ssh key of "{host}", so it did not fetch "{repo}" from there.`, next: nextKnownHosts, subject: "{host}",
		samples: []sample{
			{says: fetchKeySays, prints: "No ED25519 host key is known for git.acme.io and you have requested strict checking.\nHost key verification failed." + gitNoRead, names: []string{"git.acme.io", "billing"}},
			{says: fetchKeySays, prints: "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nIT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!" + gitNoRead, names: []string{"git.acme.io"}},
		}},
	{code: "git_host_unknown", who: ops, when: fetching, text: output, re: lazyregexp.New(`(?i)certificate|SSL certificate problem|unable to get local issuer`), refine: gitSaid,
		sentence: `The server does not trust the certificate of "{host}", so it did not fetch "{repo}" from there: {line}`, next: `Ask ops to give the server the host's authority, or to mend the certificate; then "berth env retry NAME".`, subject: "{host}",
		samples: []sample{{says: fetchSays, prints: "fatal: unable to access 'https://github.com/shop/billing/': SSL certificate problem: unable to get local issuer certificate", names: []string{"github.com", "unable to get local issuer certificate"}}}},
	{code: "git_auth", who: ops, when: fetching, text: output, re: lazyregexp.New(`cannot run ssh|ssh: (?:command )?not found|unable to fork`),
		sentence: `The server has no ssh, with which "{repo}" would be fetched.`, next: `Ask ops to install an ssh client on the server's image; then "berth env retry NAME".`,
		samples: []sample{{says: fetchKeySays, prints: "error: cannot run ssh: No such file or directory\nfatal: unable to fork", names: []string{"no ssh", "billing"}}}},
	{code: "git_auth", who: ops, when: fetching, text: output, re: lazyregexp.New(`(?i)permission denied \(|too many authentication failures|deploy key`),
		sentence: `"{host}" does not take the key with which the server reads "{repo}".`, next: `Ask ops to add the key's public half to the repository as a deploy key, or to replace the key; then "berth env retry NAME".`, subject: "{host} {repo}",
		samples: []sample{{says: fetchKeySays, prints: "git@git.acme.io: Permission denied (publickey)." + gitNoRead, names: []string{"git.acme.io", "billing"}}}},
	{code: "git_auth", who: ops, when: fetching, text: output, re: lazyregexp.New(`Authentication failed|could not read (?:Username|Password)|returned error: 401|Invalid username or (?:password|token)|HTTP Basic: Access denied|Bad credentials`),
		sentence: `"{host}" does not take the login with which the server reads "{repo}": it is wrong, was taken back or has run out.`, next: nextLogin, subject: "{host} {repo}",
		samples: []sample{
			{says: fetchSays, prints: "remote: Invalid username or token. Password authentication is not supported for Git operations.\nfatal: Authentication failed for 'https://github.com/shop/billing/'", names: []string{"github.com", "billing"}},
			{says: fetchSays, prints: "fatal: could not read Username for 'https://github.com': terminal prompts disabled", names: []string{"github.com", "billing"}},
		}},
	{code: "git_auth", who: ops, when: fetching, text: output, re: lazyregexp.New(`returned error: 403|access to repository not granted|SAML SSO|You are not allowed to`), refine: gitSaid,
		sentence: `"{host}" knows the server's login, and does not let it read "{repo}": {line}`, next: nextLogin, subject: "{host} {repo}",
		samples: []sample{{says: fetchSays, prints: "remote: Write access to repository not granted.\nfatal: unable to access 'https://github.com/shop/billing/': The requested URL returned error: 403", names: []string{"github.com", "billing", "not granted"}}}},
	{code: "repo_not_found", who: ops, when: fetching, text: output, re: lazyregexp.New(gitNotFound),
		sentence: `The repository "{repo}" ({url}) does not exist, or the server's login may not see it.`, next: nextLogin, subject: "{repo}",
		samples: []sample{{says: fetchSays, prints: "remote: Repository not found.\nfatal: repository 'https://github.com/shop/billing/' not found", names: []string{"billing", "https://github.com/shop/billing"}}}},
	{code: "disk_full", who: ops, when: fetching, text: output, re: lazyregexp.New(diskFull), sentence: `The server's disk is full: "{repo}" could not be fetched.`, next: nextDisk,
		samples: []sample{{says: fetchSays, prints: "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output", names: []string{"disk", "billing"}}}},
	{code: "git_unreachable", who: retry, when: fetching, text: output, re: lazyregexp.New(gitAway), refine: gitSaid,
		sentence: `The server can't reach the git host "{host}" to fetch "{repo}": {line}`, next: tryAgain, subject: "{host} {repo}",
		samples: []sample{
			{says: fetchSays, prints: "fatal: unable to access 'https://github.com/shop/billing/': Failed to connect to github.com port 443 after 3 ms: Couldn't connect to server", names: []string{"github.com", "billing", "port 443"}},
			{says: fetchKeySays, prints: "ssh: Could not resolve hostname git.acme.io: Name or service not known" + gitNoRead, names: []string{"git.acme.io", "Name or service not known"}},
		}},
	{code: "source_missing", who: developer, when: fetchingLarge, refine: gitSaid,
		sentence: `Large files of "{repo}" (Git LFS) could not be fetched: {line}`, next: `Check that the files were pushed with git LFS; then "berth env retry NAME".`, subject: "{repo}",
		samples: []sample{{says: fetchLargeSays, prints: "error: the keeper of the large files is asleep", names: []string{"billing", "asleep"}}}},
	{code: "git_auth", who: ops, when: fetching, refine: gitSaid, sentence: `The server could not fetch "{repo}" from "{host}": {line}`, next: nextLogin, subject: "{host} {repo}",
		samples: []sample{{says: fetchSays, prints: "fatal: the keeper of this door refused in words unheard of", names: []string{"billing", "github.com", "keeper"}}}},

	// What Berth said in place of a login.
	{code: "rate_limited", who: retry, re: lazyregexp.New(`^The code of \S+ could not be fetched: (?P<why>[^(]*(?:rate limit|asked too often)[^(]*?)\.? *(?:\(|$)`), refine: whyNone,
		sentence: `The server was given no login for its code: {why}.`, next: tryAgain,
		samples: []sample{{says: "The code of https://github.com/shop/billing could not be fetched: GitHub's rate limit for Berth is used up until 12:00:00 UTC, so the branch of app shop could not be checked. (try again after 12:00:00 UTC)", names: []string{"rate limit", "12:00:00"}}}},
	{code: "git_unreachable", who: retry, re: lazyregexp.New(`^The code of \S+ could not be fetched: (?P<why>(?:GitHub is in trouble|Berth cannot (?:reach|find)|\S+ did not answer within|GitHub (?:gave no answer|answered)).*?)\.?(?: \((?P<hint>[^()]*)\))?$`), refine: whyNone,
		sentence: `The server was given no login for its code: {why}.`, next: tryAgain,
		samples: []sample{
			{says: "The code of https://github.com/shop/billing could not be fetched: GitHub is in trouble (it answered 502), so the branch of app shop could not be checked. (try again in a minute; https://www.githubstatus.com tells more)", names: []string{"GitHub is in trouble", "502"}},
			{says: "The code of https://github.com/shop/billing could not be fetched: Berth cannot reach api.github.com, where it asks about shop/billing (app shop). (try again in a minute; if it stays so, ops should look at the network between Berth and api.github.com)", names: []string{"api.github.com"}},
		}},
	{code: "interrupted", who: retry, re: lazyregexp.New(`^The code of \S+ (?:was not fetched: something newer is to be done|could not be fetched: The server \S+ is to run something newer)`),
		sentence: `The server was to run something newer before its code was fetched.`, next: tryAgain,
		samples: []sample{{says: "The code of https://github.com/shop/billing was not fetched: something newer is to be done.", names: []string{"newer"}}}},
	{code: "git_auth", who: ops, re: lazyregexp.New(`^The code of \S+ could not be fetched: (?P<why>.+?)\.?(?: \((?:ops: )?(?P<hint>[^()]*)\))?$`), refine: func(f *failure, x *finding) {
		whyNone(f, x)
		if f.vars["hint"] != "" {
			x.next = `Ask ops to mend that: {hint}; then "berth env retry NAME".`
		}
	}, sentence: `The server was given no login for its code: {why}.`, next: nextLogin,
		samples: []sample{
			{says: "The code of https://github.com/shop/billing could not be fetched: Berth's GitHub App is not installed for shop/billing (app shop), or there is no such repository. (ops: install the app for shop/billing, or mend its name in the catalog)", names: []string{"not installed for shop/billing"}},
			{says: "The code of https://github.com/shop/billing could not be fetched: The server qa/shop may not read https://github.com/shop/billing: that is neither its repository nor a submodule that the catalog allows its app.", names: []string{"neither its repository nor a submodule"}},
			{says: "The code of https://github.com/shop/billing could not be fetched: Berth's GitHub App is suspended where shop/billing (app shop) is. (ops: lift the suspension among the installed GitHub Apps of the repository's owner)", names: []string{"suspended"}},
		}},
	{code: "source_missing", who: ops, re: lazyregexp.New(`^The code of (?P<url>\S+) has large files in Git LFS, and git-lfs is not installed`), refine: func(f *failure, _ *finding) { f.vars["repo"] = repoOf(f.vars["url"]) },
		sentence: `"{repo}" keeps large files in Git LFS, and the server has no git-lfs.`, next: `Ask ops to install git-lfs where the server runs (on the local target, on Berth's own machine); then "berth env retry NAME".`, subject: "{repo}",
		samples: []sample{{says: "The code of https://github.com/shop/billing has large files in Git LFS, and git-lfs is not installed on this server.", names: []string{"billing", "git-lfs"}}}},
	{code: "submodule_failed", who: developer, re: lazyregexp.New(`^The submodule (?P<path>\S+) of (?P<url>\S+) is at (?P<where>.+), a place on the server itself`), refine: func(f *failure, _ *finding) { f.vars["repo"] = repoOf(f.vars["url"]) },
		sentence: `The submodule "{path}" of "{repo}" is at "{where}", a place on the server itself: beside private submodules none may be there.`, next: `Give the submodule an address at a host in .gitmodules, push, then "berth env deploy NAME".`, subject: "{repo}",
		samples: []sample{{says: "The submodule vendor/glass of https://github.com/shop/billing is at /srv/git/glass, a place on the server itself, which Berth does not take beside private ones.", names: []string{"vendor/glass", "billing", "/srv/git/glass"}}}},
	{code: "submodule_failed", who: developer, re: lazyregexp.New(`^The code of (?P<url>\S+) has more submodules than Berth follows`), refine: func(f *failure, _ *finding) { f.vars["repo"] = repoOf(f.vars["url"]) },
		sentence: `"{repo}" has more submodules, or submodules within submodules, than Berth follows.`, next: `Have fewer of them, push, then "berth env deploy NAME".`, subject: "{repo}",
		samples: []sample{{says: "The code of https://github.com/shop/billing has more submodules than Berth follows.", names: []string{"billing"}}}},
}
