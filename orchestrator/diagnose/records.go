package diagnose

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// What to do next, where many causes share it. NAME stands for the environment.
const (
	askOps       = `Send ops this message; after that: "berth env retry NAME".`
	askOpsRecipe = `Send ops this message, the recipe is theirs; after that: "berth env retry NAME".`
	askSettings  = `Send ops this message, the settings are theirs; after that: "berth env retry NAME".`
	tryAgain     = `Try again in a few minutes with "berth env retry NAME"; tell ops if it stays.`
	pushAgain    = `Mend it on the branch, push, then "berth env deploy NAME".`
	nextBranch   = `Push the branch or name another one: "berth env deploy NAME {app}=BRANCH".`
	nextDisk     = `Ask ops to make room on the server's disk or to give it a larger one; then "berth env retry NAME".`
	nextRepo     = `Send ops this message: the repository's address and who may read it are theirs to set; after that: "berth env retry NAME".`
)

// Texts of the operating system, which turn up behind any door.
const (
	diskFull    = `(?i)No space left on device|ENOSPC|Disk quota exceeded|\[Errno 28\]|not enough (?:free )?(?:disk )?space|out of disk space|disk (?:is )?full|You don't have enough free space`
	outOfMemory = `JavaScript heap out of memory|(?i:cannot allocate memory)|\bENOMEM\b|(?m:^MemoryError)|java\.lang\.OutOfMemoryError|(?i:out of memory)|Killed signal terminated program|std::bad_alloc|signal: killed|\(signal: 9, SIGKILL|Allocation failed - `
	portInUse   = `EADDRINUSE|(?i:address already in use)|(?i:port is already allocated)|\[Errno 98\]|Only one usage of each socket address|bind\(\) to \S+ failed \(98`
	denied      = `Permission denied|\bEACCES\b|\bEPERM\b|Operation not permitted|Read-only file system|PermissionError|\[Errno 13\]|AccessDeniedException`
	offline     = `(?i)could not resolve|temporary failure in name resolution|name or service not known|network is unreachable|no route to host|connection refused|connection reset|connection timed out|\bECONNREFUSED\b|\bENOTFOUND\b|\bETIMEDOUT\b|\bECONNRESET\b|\bEAI_AGAIN\b|couldn't connect|failed to connect|NewConnectionError|no such host|i/o timeout|timed out`
)

const gitNotFound = `ERROR: Repository not found|(?i:repository not found)|repository '[^']*' not found|does not appear to be a git repository|project you were looking for could not be found|remote: Not Found|returned error: 404|did you run git update-server-info|requested repository does not exist|repository not exported|(?m:^fatal: repository '[^']+' does not exist)`

// gitRecords are git's texts; git.latest passes them on, and so do commands.
var gitRecords = []record{
	{code: "submodule_failed", who: developer, text: both, re: later(`Failed to update submodules|into submodule path '|No url found for submodule path|in submodule path '|Failed to clone '[^']+'(?: a second time|\. Retry scheduled)`),
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

// stateRecords are what a state says when it fails.
var stateRecords = join(
	[]record{
		// What stops a state before it runs.
		{code: "requisite_cycle", who: ops, re: later(`^Recursive requisite found`), sentence: `Steps of the recipe wait on each other in a circle; "{step}" is one of them.`, next: askOpsRecipe},
		{code: "requisite_missing", who: ops, re: later(`^The following requisites were not found:\s+\w+:\s+(?P<ref>.+)`), refine: missingRefs,
			sentence: `The step "{step}" waits on "{ref}", which no recipe has.`, next: askOpsRecipe, subject: "{ref}"},
		{code: "state_module_missing", who: ops, re: later(`State '(?P<fn>[^']+)' was not found in SLS '[^']*'\s*(?:Reason: (?P<why>[^\n]+))?`), refine: moduleReason,
			sentence: `The recipe's step "{step}" needs "{fn}", which this server does not know{why}.`, next: askOps, subject: "{fn}"},
		{code: "state_module_missing", who: ops, in: "module salt saltutil", re: later(`Unavailable function: (?P<fn>[\w.]+?)\.?(?:\s|$)|[Mm]odule function (?P<f2>\S+) is not available|'?(?P<f3>[\w.]+)'? is not available`), refine: firstFn,
			sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOpsRecipe, subject: "{fn}"},
		{code: "recipe_error", who: ops, re: later(`^Missing parameter (?P<arg>\S+) for state (?P<fn>\S+)`), sentence: `The recipe's step "{step}" ({fn}) lacks its "{arg}".`, next: askOpsRecipe},
		{code: "recipe_error", who: ops, re: later(`'(?P<arg>[^']+)' is an invalid keyword argument for '(?P<fn>[^']+)'`), sentence: `The recipe's step "{step}" gives "{fn}" the argument "{arg}", which it does not take.`, next: askOpsRecipe},
		{code: "no_role", who: ops, re: later(`No Top file or master_tops data matches found|No states found for this minion`), sentence: `Ops have not said yet what this server should be: no recipe is assigned to it.`, next: askOps},
		{code: "recipe_error", who: ops, in: "no", sentence: `The server was given nothing to do: {line}`, next: askOpsRecipe},
		{code: "salt_exception", who: ops, re: later(`Parallel (?:process|cache)|parallel process`), sentence: `The step "{step}" ran beside others and its process was lost before it could say how it ended.`, next: tryAgain},

		// Exceptions: the last line tells which.
		{code: "disk_full", who: ops, re: later(`(?s)Traceback.*(?:No space left|ENOSPC|Errno 28|Disk quota)`), sentence: `The server's disk is full: the step "{step}" could not go on.`, next: nextDisk},
		{code: "permission_denied", who: ops, re: later(`(?s)Traceback.*(?:PermissionError: [^\n:]*|OSError: \[Errno (?:1|13|30)\][^\n:]*)(?:: '(?P<path>[^'\n]+)')?`), sentence: `The step "{step}" has no permission to change "{path}".`, refine: pathOrName, next: askOps, subject: "{path}"},
		{code: "out_of_memory", who: ops, re: later(`(?s)Traceback.*\nMemoryError`), sentence: `The server ran out of memory in the step "{step}".`, next: askOps},
		{code: "user_missing", who: ops, re: later(`(?s)Traceback.*KeyError: ["'].*get(?:pw|gr)nam\(\): name not found: ["\\]*'(?P<user>[^'\\]+)`), sentence: `The user or group "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}"},
		{code: "workdir_missing", who: ops, re: later(`Specified cwd '(?P<path>[^'\n]+)' either not absolute or does not exist`), sentence: `The folder "{path}" that the step "{step}" works in does not exist.`, next: askOps, subject: "{path}"},
		{code: "path_missing", who: ops, in: "file ini key_value augeas acl host cron", re: later(`(?s)An exception occurred in this state: .*\[Errno 2\] No such file or directory: '(?P<path>/[^'\n]+)'`), sentence: `"{path}" can't be written or read: it, or its folder, does not exist on the server (step "{step}").`, next: askOpsRecipe, subject: "{path}"},
		{code: "salt_exception", who: ops, re: later(`(?s)An exception occurred in this state: .*|^Traceback \(most recent call last\)`), refine: exceptionLine,
			sentence: `The recipe's step "{step}" broke while it ran: {line}`, next: askOpsRecipe},

		// Templates.
		{code: "template_value_missing", who: ops, re: later(`Jinja variable (?P<what>.+?)(?:; line (?P<ln>\d+)|\n|$)`), in: "file cmd", refine: templateValue,
			sentence: `The file "{name}" needs the setting "{key}", which has no value{at}.`, next: askSettings, subject: "{key} {name}"},
		{code: "recipe_error", who: ops, re: later(`Jinja (?:syntax )?error: (?P<reason>[^\n]+?)(?:; line (?P<ln>\d+)|\n|$)`), refine: atLine,
			sentence: `The template of "{name}" has an error: {reason}{at}`, next: askOpsRecipe, subject: "{name}"},
		{code: "recipe_error", who: ops, in: "file", re: later(`(?i)(?:Failed to render|template) .*error|Unable to manage file: (?:Mako|Undefined)`), sentence: `The template of "{name}" has an error: {line}`, next: askOpsRecipe, refine: commentLine},
	},
	only("git", gitRecords),
	[]record{
		{code: "disk_full", who: ops, re: later(diskFull), sentence: `The server's disk is full: the step "{step}" could not write "{name}".`, next: nextDisk},
	},
	only("pkg pkgrepo", packageRecords),
	[]record{
		{code: "package_mirror_unreachable", who: ops, in: "pkgrepo", refine: commentLine, sentence: `The package source "{name}" could not be set up: {line}`, next: askOps, subject: "{name}"},
		{code: "package_install_failed", who: ops, in: "pkg", sentence: `The package{pkg} could not be installed: {line}`, refine: installFailed, next: askOps, subject: "{name}"},

		// Services.
		{code: "service_unknown", who: ops, in: "service", re: later(`The named service (?P<svc>.+?) is not available|Unit (?P<s2>\S+?)(?:\.service)? (?:not found|could not be found|is masked|is not loaded)|Unit (?:file )?(?P<s3>\S+?)(?:\.service)? does not exist|[Ss]ervice (?P<s4>\S+) (?:is not present|not found|is not available|does not exist)|Failed to \w+ unit: Unit(?: file)? (?P<s5>\S+?)(?:\.service)? `), refine: service,
			sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}"},
		{code: "service_failed", who: ops, in: "service", re: later(`(?i)failed to (?:die|stop)|is still running|has been disabled, and is running`), refine: service,
			sentence: `The service "{svc}" could not be stopped.`, next: askOps, subject: "{svc}"},
		{code: "service_failed", who: developer, in: "service", refine: service,
			sentence: `The service "{svc}" does not stay up: it stops as soon as it is started.`, next: `Look at its output with "berth env logs NAME"; if it needs a setting, ask ops.`, subject: "{svc}"},

		// Files and folders.
		{code: "source_missing", who: retry, in: "file cmd", re: later(`(?i)(?:connection refused|timed out|name or service not known|temporary failure|unreachable|reset by peer|HTTP 5\d\d[^\n]*) ?(?:\S+ )?reading (?P<src>\S+)|(?:Failed to cache|Unable to cache(?: file)?) (?P<s2>(?:https?|ftp|s3)\S+).*(?i:refused|timed out|not known|temporary failure|unreachable|HTTP 5\d\d)`), refine: source,
			sentence: `The file "{src}" for "{name}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}"},
		{code: "settings_error", who: ops, in: "file", re: later(`Pillar ['"]?(?P<key>[\w:.-]+)['"]? (?:does not exist|was not found|not found|is missing)|contents_pillar\S* ['"]?(?P<k2>[\w:.-]+)['"]? (?:not found|does not exist)`), refine: func(f *failure, _ *finding) { coalesce(f, "key", "k2") },
			sentence: `The file "{name}" needs the setting "{key}", which has no value.`, next: askSettings, subject: "{key}"},
		{code: "source_missing", who: ops, in: "file", re: later(`(?i:none of the specified sources? (?:were|was) found)`),
			sentence: `What the step "{step}" copies to "{name}" is missing: none of its sources exists.`, next: askOpsRecipe, subject: "{name}"},
		{code: "source_missing", who: ops, in: "file cmd", re: later(`Source file (?P<src>\S+) not found|Unable to cache (?:script|file) (?P<s2>\S+)|Unable to find (?:the )?source (?P<s3>\S+)|Source (?P<s4>(?:salt|https?|ftp|s3)://\S+) not found|None of the sources? (?:were|was) found|Unable to (?:cache|retrieve|fetch) (?:file )?(?P<s5>\S+)|(?:HTTP|Error) 404[^\n]*reading (?P<s6>\S+)|Failed to cache (?P<s7>\S+)|Source file "?(?P<s8>[^"\s]+)"? (?:does not exist|is not present)`), refine: source,
			sentence: `The file or template "{src}" that the step "{step}" copies is missing.`, next: askOpsRecipe, subject: "{src}"},
		{code: "checksum_mismatch", who: ops, re: later(`(?i)Specified (?P<alg>\w+) checksum for (?P<path>.+?) \(.*does not match|hash \([0-9a-f]+\) does not match|does not match (?:the )?(?:actual|specified|expected) (?:check ?sum|hash)|(?:checksum|hash) (?:mismatch|did not match)|Hash mismatch`), refine: checksum,
			sentence: `A download does not match its checksum: "{path}"{for} is not the file that ops meant.`, next: askOps, subject: "{path}"},
		{code: "recipe_error", who: ops, re: later(`Unable to verify upstream hash of source file (?P<src>\S+?),|[Ss]ource_hash (?:is )?(?:required|missing|invalid)|Unable to (?:determine|find) (?:upstream|source)_?hash`), refine: source,
			sentence: `The recipe gives no checksum for the download "{src}".`, next: askOpsRecipe, subject: "{src}"},
		{code: "user_missing", who: ops, re: later("User '?(?P<user>[^'\\n]+?)'? is not available|Group '?(?P<u2>[^'\\n]+?)'? is not available|user [`'](?P<u3>[^'`\\n]+)' unknown|(?i:unknown|invalid) (?:user|group):? ['‘\"]?(?P<u4>[^'’\"\\n]+)|User '?(?P<u5>\\S+?)'? (?:does not exist|not found|is not present)|name not found: '(?P<u6>[^']+)'|user '(?P<u7>[^']+)' (?:does not exist|is not available|not found)|No such user:? '?(?P<u8>[^'\\n]+)"), in: "file cron cmd git ssh_auth ssh_known_hosts archive pip virtualenv group npm acl sudo environ", refine: user,
			sentence: `The user or group "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}"},
		{code: "user_missing", who: ops, in: "ssh_auth", re: later(`Failed to add the ssh key|home directory`), sentence: `The SSH key of step "{step}" could not be added: its user or that user's home folder is missing.`, next: askOps},
		{code: "path_missing", who: ops, re: later(`Parent directory not present|No directory to create (?P<path>.+?) in\b|(?P<p2>/[^\n]+): file not found|(?:Directory|File) exists where the symlink (?P<p3>.+?) should be|[Nn]o such file or directory:? '(?P<p4>[^'\n]+)'|Specified (?:location|target|path|file|directory)? ?(?P<p5>/\S+) (?:does not exist|exists and is)|(?P<p6>/\S+) does not exist|(?P<p7>/\S+) (?:is not|exists and is not) a (?:directory|file)|Path (?P<p8>\S+) (?:does not exist|is not)|File not found:? (?P<p9>\S+)|(?:The )?(?:file|directory|path) (?P<p10>/\S+) (?:is not present|could not be found|not found)|[Uu]nable to (?:open|read) (?P<p11>/\S+)|Specified target (?P<p12>/\S+) is a directory|(?i:mount directory) is not present|Specified path (?P<p13>/\S+) exists$|Directory (?P<p14>/\S+) for symlink is not present`), in: "file acl sysctl ini key_value augeas mount",
			refine: filePath, sentence: `"{path}" {state} (step "{step}").`, next: askOpsRecipe, subject: "{path}"},
		{code: "recipe_error", who: ops, in: "file", re: later(`is not an absolute path|must be (?:an absolute|provided|set|a )|Must provide|Only one of|is not a valid|not both|is required|cannot be used|serializer could not be found`), refine: commentLine,
			sentence: `The recipe's step "{step}" is not right: {line}`, next: askOpsRecipe},
		{code: "command_failed", who: ops, in: "file", re: later(`^check_cmd (?:execution failed|determined the state failed)`), refine: checkCommand,
			sentence: `The check of the new file "{name}" refused it{because}`, next: askOpsRecipe},
		{code: "permission_denied", who: ops, re: later(denied), in: "file cron archive host hosts user group sysctl ssh_auth ini acl environ timezone locale mount",
			sentence: `The server has no permission to change "{name}" (step "{step}").`, next: askOps, subject: "{name}"},

		// Accounts.
		{code: "account_setup_failed", who: ops, in: "user group", re: later(`The following group\(s\) are not present: (?P<grp>.+)`), refine: groups, sentence: `The account "{name}" could not be set up: the group "{grp}" does not exist.`, next: askOps, subject: "{grp}"},
		{code: "account_setup_failed", who: ops, in: "user group", re: later(`Group (?P<grp>\S+) is not present but gid (?P<gid>\d+) is already taken by group (?P<other>\S+)`), sentence: `The group "{grp}" could not be made: its number {gid} belongs to the group "{other}".`, next: askOps, subject: "{grp}"},
		{code: "account_setup_failed", who: ops, in: "user group", re: later(`Failed to create new (?:user|group) (?P<user>.+)`), sentence: `The account "{user}" could not be created.`, next: askOps, subject: "{user}"},
		{code: "account_setup_failed", who: ops, in: "user group", refine: commentLine, sentence: `The account "{name}" could not be set up: {line}`, next: askOps, subject: "{name} {line}"},
		{code: "account_setup_failed", who: ops, in: "ssh_auth ssh_known_hosts", refine: commentLine, sentence: `The SSH setup of step "{step}" failed: {line}`, next: askOps},

		{code: "recipe_error", who: ops, in: "cron", re: later(`failed to commit with error\s*\n(?P<line>[^\n]+)`), sentence: `The timed job "{name}" was refused: {line}`, next: askOpsRecipe},

		// Downloads and archives.
		{code: "archive_failed", who: retry, in: "archive", re: later(`(?i)(?:connection refused|timed out|name or service not known|temporary failure|unreachable|reset by peer|HTTP 5\d\d|no route to host|could not resolve)`), refine: archive,
			sentence: `The archive "{src}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}"},
		{code: "archive_failed", who: ops, in: "archive", re: later(`(?i)HTTP 40\d|source[^\n]* not found|does not exist|Unable to cache|Failed to cache salt://|No such file`), refine: archive,
			sentence: `The archive "{src}" does not exist where the recipe looks for it.`, next: askOps, subject: "{src}"},
		{code: "recipe_error", who: ops, in: "archive", re: later(`Invalid archive_format '(?P<kind>[^'\n]*)'`), sentence: `The recipe's step "{step}" unpacks an archive of a kind that there is not: "{kind}".`, next: askOpsRecipe, subject: "{kind}"},
		{code: "path_missing", who: ops, in: "archive", re: later(`^(?P<path>/\S+) exists and is not a directory`), sentence: `"{path}" is something else than the recipe expects (step "{step}").`, next: askOpsRecipe, subject: "{path}"},
		{code: "archive_failed", who: ops, in: "archive", refine: archive,
			sentence: `The archive "{src}" could not be unpacked: {line}`, next: askOps, subject: "{src}"},

		// What the application needs.
		{code: "workdir_missing", who: ops, re: later(`Desired working directory "?(?P<path>[^"\n]+?)"? is not available|cwd (?P<p2>\S+) does not exist`), refine: anyPath,
			sentence: `The folder "{path}" that the command "{cmd}" should run in does not exist.`, next: askOps, subject: "{path}"},
	},
	only("pip virtualenv pip3 venv conda poetry", pipRecords),
	[]record{
		{code: "python_dependency", who: developer, in: "pip virtualenv", sentence: `The Python packages of step "{step}" could not be installed: {line}`, refine: pipLine, next: pushAgain},
	},
	only("npm yarn bower", nodeRecords),
	[]record{
		{code: "node_dependency", who: developer, in: "npm yarn bower", re: later(`Error (?:installing|Bootstrapping) '(?P<pkg>[^'\n]+)': *(?P<why>\S[^\n]*)?`), refine: npmState,
			sentence: `npm could not install the packages of "{pkg}"{why}.`, next: pushAgain, subject: "{pkg}"},
		{code: "node_dependency", who: developer, in: "npm yarn bower", refine: commentLine, sentence: `npm could not install the packages of "{name}": {line}`, next: pushAgain},
	},
	only("docker*", imageRecords),
	[]record{
		// A check of ops' own.
		{code: "settings_error", who: ops, in: "test", re: later(`(?s)Pillar key "?(?P<key>[^"\n]+?)"? (?:is |was not found|must be )`), sentence: `The setting "{key}" is missing or wrong.`, next: askSettings, subject: "{key}"},
		{code: "command_failed", who: ops, in: "test", when: func(f *failure) bool { return f.comment != "" }, refine: commentLine, sentence: `A check that ops wrote stopped the setup: "{name}" ({line})`, next: askOps, subject: "{name}"},
		{code: "command_failed", who: ops, in: "test", sentence: `A check that ops wrote stopped the setup: "{name}"`, next: askOps, subject: "{name}"},
		{code: "command_failed", who: ops, in: "http", re: later(`Status (?P<code>\d+) was not found|Match text .* was not found|(?P<any>.+)`), refine: webCheck,
			sentence: `The address "{name}" did not answer as it should{code}.`, next: tryAgain, subject: "{name}"},

		// Commands.
	},
	commandRecords,
	[]record{
		// What any state can say.
		{code: "port_in_use", who: ops, text: both, re: later(portInUse), refine: findPort, sentence: `A port{port} that the step "{step}" needs is already taken on the server.`, next: askOps},
		{code: "out_of_memory", who: ops, text: both, re: later(outOfMemory), sentence: `The server ran out of memory in the step "{step}".`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`},
		{code: "permission_denied", who: ops, re: later(denied + `|(?i:access denied|not authorized|must be (?:run as )?root)`), refine: commentLine, sentence: `The step "{step}" has no permission for what it does: {line}`, next: askOps},
		{code: "service_failed", who: ops, in: "mysql* postgres* mongodb* redis* influxdb* rabbitmq*", re: later(offline + `|(?i:can't connect|could not connect)`), refine: commentLine, sentence: `The step "{step}" could not reach its database or broker: {line}`, next: askOps},
		{code: "salt_exception", who: retry, re: later(offline), refine: commentLine, sentence: `The step "{step}" could not reach something over the network: {line}`, next: tryAgain},
		{code: "user_missing", who: ops, re: later(`User '?(?P<user>[^'\n]+?)'? (?:is not available|does not exist|not found)`), sentence: `The user "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}"},
		{code: "state_module_missing", who: ops, re: later(`'?(?P<fn>\w+\.\w+)'? is not available`), sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOps, subject: "{fn}"},
		{code: "command_failed", who: ops, re: later(`^check_cmd (?:execution failed|determined the state failed)`), refine: checkCommand, sentence: `The step "{step}" ran, but the check after it did not pass{because}`, next: askOps},
		{code: "salt_exception", who: ops, in: "module salt", refine: commentLine, sentence: `The recipe's step "{step}" called a function that failed: {line}`, next: askOpsRecipe},
	},
)

// pipRecords are pip's texts.
var pipRecords = []record{
	{code: "python_dependency", who: retry, text: both, re: later(`NewConnectionError|ConnectTimeoutError|Failed to establish a new connection|Temporary failure in name resolution|Read timed out|ConnectionResetError|ProxyError|SSLError|Max retries exceeded|(?i:5\d\d (?:server|bad gateway|service unavailable))`), refine: pipIndex,
		sentence: `The Python package index{index} can't be reached, so the packages could not be installed.`, next: tryAgain},
	{code: "disk_full", who: ops, text: both, re: later(diskFull), sentence: `The server's disk is full: Python packages could not be installed.`, next: nextDisk},
	{code: "python_dependency", who: ops, text: both, re: later("Could not find a [`'\"]?pip[\\d.]*[`'\"]? (?:binary|command|executable)|No module named pip\\b|virtualenv was not (?:detected|found)"),
		sentence: `pip, which installs Python packages, is not on the server (step "{step}").`, next: askOps},
	{code: "python_dependency", who: developer, text: both, re: later(`No matching distribution found for (?P<pkg>[^\s]+)|satisfies the requirement (?P<p2>[^\s]+)`), refine: firstPkg,
		sentence: `The Python package "{pkg}" does not exist in that version or under that name.`, next: `Correct it in the app's requirements, push, then "berth env deploy NAME".`, subject: "{pkg}"},
	{code: "python_dependency", who: developer, text: both, re: later(`Cannot install (?P<pkg>.+?) because these package versions have conflicting|ResolutionImpossible`),
		sentence: `The app's Python requirements contradict each other: {line}`, refine: pipLine, next: pushAgain},
	{code: "python_dependency", who: developer, text: both, re: later(`Could not open requirements file: .*'(?P<path>[^']+)'`), sentence: `The app has no requirements file at "{path}".`, next: pushAgain},
	{code: "python_dependency", who: developer, text: both, re: later(`(?i)Invalid requirement: ['"]?(?P<pkg>[^'"\n]+)`), sentence: `The app's requirements have a line that is none: "{pkg}".`, next: pushAgain},
	{code: "python_dependency", who: developer, text: both, re: later(`requires (?:a different Python|Python '?(?P<want>[^'\n;]+))`), sentence: `A Python package does not fit this server's Python: {line}`, refine: pipLine, next: pushAgain},
	{code: "python_dependency", who: developer, text: both, re: later(`metadata-generation-failed|subprocess-exited-with-error|Failed building wheel|Failed to build|Could not build wheels|did not run successfully|legacy-install-failure`), refine: pipBuild,
		sentence: `The Python package "{pkg}" could not be built: {line}`, next: `Use a version that needs no build, or ask ops for what it needs; then "berth env deploy NAME".`, subject: "{pkg}"},
	{code: "python_dependency", who: developer, text: both, re: later(`THESE PACKAGES DO NOT MATCH THE HASHES`), sentence: `A Python package does not match the hash in the app's requirements.`, next: pushAgain},
}

// nodeRecords are npm's, yarn's and pnpm's texts.
var nodeRecords = []record{
	{code: "disk_full", who: ops, text: both, re: later(diskFull), sentence: `The server's disk is full: npm packages could not be installed.`, next: nextDisk},
	{code: "node_dependency", who: developer, text: both, re: later(`can only install with an existing package-lock\.json`),
		sentence: `The app has no package-lock.json (or one of an old kind), and "npm ci" needs it.`, next: `Run npm install on your machine, commit package-lock.json, push, then "berth env deploy NAME".`},
	{code: "node_dependency", who: developer, text: both, re: later(`(?i)can only install packages when your package\.json and|lock file .*(?:in sync|needs to be updated|not up to date)|ERR_PNPM_OUTDATED_LOCKFILE|Your lockfile needs to be updated|lockfile would have been modified`), refine: lockDrift,
		sentence: `package.json and package-lock.json do not agree{what}.`, next: `Run the install on your machine, commit the lock file, push, then "berth env deploy NAME".`},
	{code: "node_dependency", who: developer, text: both, re: later(`No matching version found for (?P<pkg>\S+?)\.?(?:\s|$)|Couldn't find any versions for "(?P<p2>[^"]+)"|ERR_PNPM_NO_MATCHING_VERSION\s+No matching version found for (?P<p3>\S+)`), refine: firstPkg,
		sentence: `npm: there is no version of "{pkg}" that fits.`, next: `Correct it in package.json, push, then "berth env deploy NAME".`, subject: "{pkg}"},
	{code: "node_dependency", who: developer, text: both, re: later(`'(?P<pkg>[^'\n]+)' (?:could not be found|is not in (?:this|the npm) registry)|404 Not Found - GET \S+/(?P<p2>[^\s/]+) -|Couldn't find package "(?P<p3>[^"]+)"|ERR_PNPM_FETCH_404.*?GET \S+/(?P<p4>[^\s:]+)`), refine: firstPkg,
		sentence: `npm: the package "{pkg}" does not exist, or the server may not see it.`, next: `Correct it in package.json and push, or ask ops for access to the registry; then "berth env deploy NAME".`, subject: "{pkg}"},
	{code: "node_dependency", who: developer, text: both, re: later(`(?:npm (?:error|ERR!) |^)?(?:code )?ERESOLVE|unable to resolve dependency tree|could not resolve dependency`), refine: peerClash,
		sentence: `npm packages contradict each other: {what}.`, next: `Make the versions in package.json fit, push, then "berth env deploy NAME".`},
	{code: "node_dependency", who: retry, text: both, re: later(`npm (?:error|ERR!) (?:code|errno) (?:ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ECONNRESET|EAI_AGAIN|E50\d|ERR_SOCKET_TIMEOUT)|request to (?P<url>\S+) failed, reason: |There appears to be trouble with your network connection`),
		sentence: `The npm registry can't be reached: {line}`, next: tryAgain},
	{code: "node_dependency", who: ops, text: both, re: later(`npm (?:error|ERR!) code (?:E401|E403|ENEEDAUTH)|Unable to authenticate, (?:your|need)`),
		sentence: `The npm registry refused the server: {line}`, next: `Ask ops for access to the registry; then "berth env retry NAME".`},
	{code: "node_dependency", who: developer, text: both, re: later(`(?s)npm (?:error|ERR!) code (?:EINTEGRITY|EBADENGINE|ENOENT|EJSONPARSE|EBADPLATFORM|ETARGET|E404|EUSAGE|EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL|EOVERRIDE)`),
		sentence: `npm could not install the packages of the app: {line}`, next: pushAgain},
}

// imageRecords are docker's texts.
var imageRecords = []record{
	{code: "service_failed", who: ops, text: both, re: later(`Cannot connect to the Docker daemon|docker\.sock`), sentence: `Docker does not run on the server, so the step "{step}" failed.`, next: askOps},
	{code: "disk_full", who: ops, text: both, re: later(diskFull), sentence: `The server's disk is full: the image could not be pulled.`, next: nextDisk},
	{code: "image_not_found", who: ops, text: both, re: later(`(?i)unauthorized|no basic auth credentials|authentication required|denied: requested access|403 Forbidden`), refine: image,
		sentence: `The server may not pull the image "{image}".`, next: askOps, subject: "{image}"},
	{code: "image_not_found", who: developer, text: both, re: later(`(?i)manifest unknown|manifest for (?P<image>\S+) not found|pull access denied for (?P<i2>[^\s,]+)|repository does not exist|not found: manifest|no such image:? ?(?P<i3>\S*)|failed to resolve reference "(?P<i4>[^"]+)"`), refine: image,
		sentence: `The image "{image}" does not exist, or the server may not see it.`, next: `Correct the image's name and tag, push, then "berth env deploy NAME".`, subject: "{image}"},
	{code: "image_not_found", who: retry, text: both, re: later(`Encountered error pulling (?P<image>\S+?): (?s:.*)(?i:timeout|timed out|no such host|connection refused|unreachable)`), refine: image,
		sentence: `The image "{image}" could not be pulled: its registry can't be reached.`, next: tryAgain, subject: "{image}"},
	{code: "image_not_found", who: developer, text: both, re: later(`Encountered error (?:pulling|building|loading) (?P<image>\S+?):|Error pulling image (?P<i2>\S+)`), refine: image,
		sentence: `The image "{image}" could not be pulled: {line}`, next: `Check the image's name and tag; if they are right, send ops this message. After that: "berth env retry NAME".`, subject: "{image}"},
}

// commandRecords are failed commands: first what the comment says, then what
// the output tells, and in the end the exit status.
var commandRecords = join(
	[]record{
		{code: "command_timeout", who: retry, in: "cmd", text: both, re: later(`Timed out after (?P<secs>[\d.]+) second`), sentence: `The command "{cmd}" (step "{step}") took too long and was stopped after {secs} seconds.`, next: tryAgain},
		{code: "command_timeout", who: retry, in: "cmd", when: func(f *failure) bool {
			return f.exit == "124" && re(`(?:^|[\s;&|/])timeout\s`).MatchString(f.vars["fullcmd"])
		}, sentence: `The command "{cmd}" (step "{step}") took too long and was stopped.`, next: tryAgain},
		{code: "disk_full", who: ops, in: "cmd module", text: both, re: later(diskFull), sentence: `The server's disk is full: the command "{cmd}" had no space left.`, next: nextDisk},
		{code: "out_of_memory", who: ops, in: "cmd module", text: both, re: later(outOfMemory), sentence: `The command "{cmd}" (step "{step}") ran out of memory.`, next: `Ask ops to give this size more memory, or let the build use less memory; then "berth env retry NAME".`},
		{code: "out_of_memory", who: ops, in: "cmd module", when: func(f *failure) bool { return f.exit == "137" || f.exit == "-9" }, sentence: `The command "{cmd}" (step "{step}") was killed, most likely because the server ran out of memory.`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`},
		{code: "port_in_use", who: ops, in: "cmd module", text: both, re: later(portInUse), refine: findPort, sentence: `The command "{cmd}" failed: the port{port} is already taken on the server.`, next: askOps},
		{code: "command_failed", who: developer, in: "cmd", re: later(`^check_cmd determined the state failed`), refine: checkCommand, sentence: `The command "{cmd}" ran, but the check after it (step "{step}") did not pass{because}`, next: pushAgain},
		{code: "command_failed", who: ops, in: "cmd module", text: output, re: later(`(?m)(?:^|: )(?P<tool>[^\s:]+): (?:command )?not found\s*$|(?i:executable file not found in \$PATH)|(?m)^(?:/usr/bin/)?env: ['‘]?(?P<t2>[^'’:]+)['’]?: No such file`), when: exit("127"), refine: toolMissing,
			sentence: `The command "{cmd}" failed: "{tool}" is not installed on the server.`, next: askOps, subject: "{tool}"},
		{code: "command_failed", who: ops, in: "cmd", text: output, re: later(`(?m)^make(?:\[\d+\])?: (?P<tool>[\w.+-]+): (?:No such file or directory|(?i:command not found))`), refine: commandTool, sentence: `The command "{cmd}" failed: "{tool}" is not installed on the server.`, next: askOps, subject: "{tool}"},
		{code: "permission_denied", who: developer, in: "cmd module", when: exit("126"), refine: notExecutable, sentence: `The command "{cmd}" may not be run: permission denied (it is not executable).`, next: `Make the file executable in the repository (git update-index --chmod=+x), push, then "berth env deploy NAME".`},
	},
	when(usesGit, onlyOutput("cmd", gitRecords)),
	when(usesPackages, onlyOutput("cmd", packageRecords)),
	when(usesPip, onlyOutput("cmd", pipRecords)),
	when(usesNode, onlyOutput("cmd", nodeRecords)),
	when(usesImages, onlyOutput("cmd", imageRecords)),
	[]record{
		{code: "service_unknown", who: ops, in: "cmd", text: output, re: later(`Unit (?P<svc>\S+?)(?:\.service)? (?:not found|could not be found|is masked|not loaded)`), refine: service, sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}"},
		{code: "service_failed", who: developer, in: "cmd", text: output, re: later(`Job for (?P<svc>\S+?)(?:\.service)? failed`), refine: service, sentence: `The service "{svc}" does not start.`, next: `Look at its output with "berth env logs NAME"; if it needs a setting, ask ops.`, subject: "{svc}"},
		{code: "permission_denied", who: ops, in: "cmd module", when: func(f *failure) bool { return re(denied).MatchString(f.line()) }, sentence: `The command "{cmd}" (step "{step}") has no permission for what it does: {line}`, next: askOps},
		{code: "recipe_error", who: ops, in: "cmd", re: later(`^Failed parsing script output! (?P<why>[^\n]+)`), sentence: `The command "{cmd}" (step "{step}") ran, but did not print what the recipe expects of it: {why}`, next: askOpsRecipe},
		{code: "command_failed", who: ops, in: "cmd", when: neverRan, refine: commentLine, sentence: `The command "{cmd}" (step "{step}") could not be run: {line}`, next: askOps},
		{code: "command_failed", who: developer, in: "cmd", when: exit("139", "134", "136", "132", "-11", "-6", "-8", "-4"), refine: signalOf, sentence: `The command "{cmd}" (step "{step}") crashed ({signal}){because}`, next: pushAgain},
		{code: "command_failed", who: retry, in: "cmd", when: exit("-15", "-1", "-2", "143", "129", "130"), refine: signalOf, sentence: `The command "{cmd}" (step "{step}") was stopped from outside ({signal}) before it was done{because}`, next: tryAgain},
		{code: "command_failed", who: developer, in: "cmd", when: silent, refine: commandWho, sentence: `The command "{cmd}" (step "{step}") failed{status} and printed nothing.`, next: pushAgain},
		{code: "command_failed", who: developer, in: "cmd", re: later(`^Command .* (?:run|failed)|^(?s:.*)$`), refine: commandWho, sentence: `The command "{cmd}" (step "{step}") failed: {line}`, next: pushAgain},
	},
)

// families are what is said when no record fits: what kind of thing failed is
// known from the module, what it said is not.
var families = []record{
	{code: "salt_exception", who: ops, in: "git", sentence: `The repository "{repo}" could not be checked out, and Berth does not know why: {line}`, next: askOps, refine: commentLine},
	{code: "salt_exception", who: ops, sentence: `The step "{step}" failed with a message that Berth does not know: {line}`, next: askOps, refine: commentLine},
}

func join(tables ...[]record) []record {
	var out []record
	for _, t := range tables {
		out = append(out, t...)
	}
	return out
}

// only restricts a table to modules; a record's own restriction stays.
func only(modules string, table []record) []record {
	out := make([]record, len(table))
	for i, r := range table {
		if r.in == "" {
			r.in = modules
		}
		out[i] = r
	}
	return out
}

func onlyOutput(modules string, table []record) []record {
	var out []record
	for _, r := range table {
		if r.in == "" && r.text != comment {
			r.in, r.text = modules, output
			out = append(out, r)
		}
	}
	return out
}

func when(cond func(*failure) bool, table []record) []record {
	out := make([]record, len(table))
	for i, r := range table {
		inner := r.when
		r.when = func(f *failure) bool { return cond(f) && (inner == nil || inner(f)) }
		out[i] = r
	}
	return out
}

func exit(codes ...string) func(*failure) bool {
	return func(f *failure) bool {
		for _, c := range codes {
			if f.exit == c {
				return true
			}
		}
		return false
	}
}

func silent(f *failure) bool { return strings.TrimSpace(f.stdout+f.stderr) == "" }

// neverRan is a command whose comment says why it did not come to run.
func neverRan(f *failure) bool {
	return silent(f) && f.exit == "" && f.comment != "" && !re(`^(?:Command ['"](?s:.*)['"] (?:run|failed)|Command (?:run|failed))`).MatchString(f.comment)
}

// These tell which tool's texts may be looked for: a test suite can print
// anything, and only the tool's own words count.
var (
	usesGit      = tool("git", `(?m)\bgit\b`, `(?m)^fatal: |^git@\S+: Permission denied|^remote: `)
	usesPackages = tool("apt", ``, `(?m)^E: |^Err:\d+ `)
	usesPip      = tool("pip", `\bpip[\d.]*\b.*\binstall\b|\buv (?:pip|sync)\b|poetry install|pipenv (?:install|sync)`, `No matching distribution found for|metadata-generation-failed|Could not open requirements file`)
	usesNode     = tool("npm", `\b(?:npm|pnpm|yarn)\b(?:\s+\S+)*?\s+(?:ci|i|install|add)\b|^\S*yarn\s*$`, `npm (?:error|ERR!) code (?:ERESOLVE|ETARGET|E404|EUSAGE|EINTEGRITY)|ERR_PNPM_`)
	usesImages   = tool("docker", `\b(?:docker|docker-compose|podman)\b`, `Error response from daemon`)
)

// tool tells whether a command runs a tool, by its line or its output.
func tool(name, line, out string) func(*failure) bool {
	return func(f *failure) bool {
		if f.module != "cmd" {
			return false
		}
		if known, ok := f.uses[name]; ok {
			return known
		}
		if f.uses == nil {
			f.uses = map[string]bool{}
		}
		f.uses[name] = line != "" && re(line).MatchString(f.vars["fullcmd"]) || re(out).MatchString(f.output())
		return f.uses[name]
	}
}

// ---- refinements

// coalesce gives the first var of several alternatives of one expression.
func coalesce(f *failure, key string, others ...string) string {
	for _, k := range others {
		if v := f.vars[k]; v != "" {
			f.vars[key] = v
			delete(f.vars, k)
		}
	}
	return f.vars[key]
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

// first is the first match of a pattern, trimmed.
func first(s, pattern string) string { return strings.TrimSpace(re(pattern).FindString(s)) }

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

func anyPath(f *failure, _ *finding) {
	coalesce(f, "path", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14")
}

func pathOrName(f *failure, x *finding) {
	anyPath(f, x)
	if f.vars["path"] == "" {
		f.vars["path"] = f.vars["name"]
	}
	f.vars["path"] = strings.TrimPrefix(f.vars["path"], "file://")
}

func checksum(f *failure, x *finding) {
	pathOrName(f, x)
	if m := re(`[Ff]ile (?:\S+ )?is cached to (\S+?),? but`).FindStringSubmatch(f.comment); m != nil {
		f.vars["path"] = uncached(m[1])
	}
	f.vars["for"] = ""
	if f.vars["path"] != f.vars["name"] {
		f.vars["for"] = ` (for "` + f.vars["name"] + `")`
	}
}

// uncached is the name of a download rather than of its copy in Salt's cache.
func uncached(p string) string {
	if i := strings.Index(p, "/extrn_files/"); i >= 0 {
		if parts := strings.SplitN(p[i+1:], "/", 3); len(parts) == 3 {
			// Salt drops the colon before a port, and then nobody knows the host.
			if host, file, ok := strings.Cut(parts[2], "/"); ok && re(`\d\d$`).MatchString(host) {
				return file
			}
			return parts[2]
		}
	}
	return p
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

// knownServices come with the system: an app's developer cannot mend them.
var knownServices = re(`^(?:nginx|apache2?|httpd|caddy|haproxy|traefik|postgres(?:ql)?|pgbouncer|mysqld?|mariadb|mongod?b?|redis|valkey|memcached|rabbitmq|kafka|zookeeper|elasticsearch|opensearch|minio|docker|containerd|podman|sshd?|crond?|ntpd?|chronyd?|rsyslogd?|postfix|exim4?|dovecot|php[\d.]*-fpm|supervisord?|systemd-\w+|ufw|firewalld|fail2ban|varnish|squid|bind9|named|unbound|dnsmasq|keepalived|consul|vault|nomad|telegraf|prometheus|grafana|node_exporter|salt-\w+|tomcat\d*|varnish\w*|logrotate|cups|snapd|NetworkManager|networking)(?:[@.-].*|-server|d)?$`)

func service(f *failure, x *finding) {
	svc := coalesce(f, "svc", "s2", "s3", "s4", "s5")
	if svc == "" || svc == "is" {
		svc = f.vars["name"]
	}
	f.vars["svc"] = strings.TrimSuffix(svc, ".service")
	f.vars["masked"] = ""
	if strings.Contains(f.comment+f.output(), "is masked") {
		f.vars["masked"] = " or has been switched off there (masked)"
	}
	if x.code != "service_failed" {
		return
	}
	if knownServices.MatchString(f.vars["svc"]) {
		x.who, x.next = ops, askOps
	}
	if l := telling(f.vars["applog"], ""); l != "" {
		f.vars["line"] = l
		x.sentence = strings.TrimSuffix(x.sentence, ".") + `. Its last words: {line}`
	}
}

func missingRefs(f *failure, _ *finding) {
	var refs []string
	for _, l := range strings.Split(f.comment, "\n")[1:] {
		if k, v, ok := strings.Cut(strings.TrimSpace(l), ": "); ok && k != "" && v != "" {
			refs = append(refs, k+": "+strings.TrimSpace(v))
		}
	}
	if len(refs) > 0 {
		f.vars["ref"] = strings.Join(refs, ", ")
	}
}

func moduleReason(f *failure, _ *finding) {
	why := f.vars["why"]
	f.vars["why"] = ""
	if _, after, ok := strings.Cut(why, "__virtual__ returned False"); ok {
		if after = strings.Trim(after, ": ."); after != "" {
			f.vars["why"] = " (" + after + ")"
		}
	} else if why != "" && !strings.Contains(why, "'"+f.vars["fn"]+"' is not available") {
		f.vars["why"] = " (" + strings.TrimSuffix(why, ".") + ")"
	}
}

func firstFn(f *failure, _ *finding) { coalesce(f, "fn", "f2", "f3") }

func exceptionLine(f *failure, _ *finding) { f.vars["line"] = lastException(f.comment) }

func atLine(f *failure, _ *finding) {
	f.vars["at"] = ""
	if f.vars["ln"] != "" {
		f.vars["at"] = " (line " + f.vars["ln"] + ")"
	}
}

func templateValue(f *failure, x *finding) {
	atLine(f, x)
	what := f.vars["what"]
	key := ""
	if m := re(`has no attribute '([^']+)'|'([^']+)' is undefined|no item named '([^']+)'`).FindStringSubmatch(what); m != nil {
		key = m[1] + m[2] + m[3]
	}
	if key == "" {
		key = what
	}
	f.vars["key"] = key
}

// commentLine is what a comment tells, in one line.
func commentLine(f *failure, _ *finding) {
	l := telling(f.comment, "")
	if l == "" {
		l = strings.TrimSpace(f.comment)
	}
	if l == "" {
		if l = telling(f.stderr, f.stdout); l == "" {
			l = "(no message)"
		}
	}
	f.vars["line"] = l
}

func source(f *failure, _ *finding) {
	src := coalesce(f, "src", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
	src = strings.TrimPrefix(strings.Trim(src, `"',:.`), "salt://")
	src, _, _ = strings.Cut(src, "?saltenv=")
	if src == "" {
		src = f.vars["name"]
	}
	f.vars["src"] = src
}

func user(f *failure, _ *finding) {
	u := coalesce(f, "user", "u2", "u3", "u4", "u5", "u6", "u7", "u8")
	f.vars["user"] = strings.TrimSpace(strings.Trim(u, `'"`))
}

func filePath(f *failure, x *finding) {
	anyPath(f, x)
	f.vars["state"] = "does not exist on the server"
	name := f.vars["name"]
	switch {
	case strings.Contains(f.comment, "Parent directory not present"):
		f.vars["path"] = path.Dir(name)
		f.vars["state"] = `, the folder of "` + path.Base(name) + `", does not exist on the server`
	case strings.Contains(f.comment, "No directory to create"):
		f.vars["path"] = path.Dir(strings.TrimSuffix(f.vars["path"], "/"))
		f.vars["state"] = `, the folder for "` + path.Base(name) + `", does not exist on the server`
	case strings.Contains(f.comment, "exists where the symlink"):
		f.vars["state"] = "is taken: a file or folder stands where a link should be"
	case re(`^Specified path \S+ exists$`).MatchString(f.comment):
		f.vars["state"] = "is on the server, and the recipe says that it must not be"
	case strings.Contains(f.comment, "exists and is") || re(`^Specified target \S+ is a directory`).MatchString(f.comment) || re(`is not a (?:directory|file)`).MatchString(f.comment):
		f.vars["state"] = "is something else than the recipe expects"
	}
	if f.vars["path"] == "" {
		f.vars["path"] = name
	}
	x.sentence = strings.Replace(x.sentence, `" {state}`, `"{state}`, 1)
	if !strings.HasPrefix(f.vars["state"], ",") {
		f.vars["state"] = " " + f.vars["state"]
	}
}

func groups(f *failure, x *finding) {
	if strings.Contains(f.vars["grp"], ",") {
		f.vars["grp"] = strings.Join(strings.FieldsFunc(f.vars["grp"], func(r rune) bool { return r == ',' || r == ' ' }), ", ")
		x.sentence = `The account "{name}" could not be set up: the groups "{grp}" do not exist.`
	}
}

func checkCommand(f *failure, x *finding) {
	if f.module == "cmd" {
		commandWho(f, x)
	}
	_, rest, _ := strings.Cut(f.comment, "\n")
	l := telling(rest, "")
	if l == "" && f.module != "cmd" {
		l = telling(f.stderr, f.stdout)
	}
	f.vars["because"] = "."
	if l != "" {
		f.vars["because"] = ": " + l
	}
}

func archive(f *failure, x *finding) {
	src := ""
	for _, p := range []string{`(?:https?|ftp|salt|s3)://[^\s'",]+`, `Source file '([^']+)'`, `reading (/\S+)`, `(?:contents of |location:\s+)(\S+\.[A-Za-z0-9]+)`, `(/\S+?) is not a`, `(/\S+\.(?:tar|tgz|zip|gz|xz|bz2|rar|7z)\S*)`} {
		if m := re(p).FindStringSubmatch(f.comment + "\n" + f.output()); m != nil {
			src = m[len(m)-1]
			break
		}
	}
	if strings.Contains(f.vars["name"], "://") && !strings.Contains(src, "://") {
		src = f.vars["name"]
	}
	if src == "" { // the name is where it is unpacked to
		x.sentence = strings.Replace(x.sentence, `The archive "{src}"`, `The archive for "{src}"`, 1)
		src = f.vars["name"]
	}
	src, _, _ = strings.Cut(src, "?")
	src = strings.Trim(src, ".,:")
	src = uncached(src)
	f.vars["src"] = src
	l := telling(re(`(?s)Additional info follows.*`).ReplaceAllString(f.comment, ""), "")
	if i := strings.Index(l, "Uncaught exception '"); i >= 0 {
		l = re(`Uncaught exception '([^']*)'.*`).ReplaceAllString(l, "$1")
	}
	if strings.Contains(l, "Failed to read from tar archive") {
		l = "it is no readable tar archive"
	}
	if strings.Contains(l, "Unable to list contents of") {
		l = "it is no archive that the server can read"
	}
	if strings.Contains(l, "is not a ZIP file") {
		l = "it is no ZIP file"
	}
	if l == "" {
		l = strings.TrimSpace(f.comment)
	}
	f.vars["line"] = l
}

func webCheck(f *failure, _ *finding) {
	if c := f.vars["code"]; c != "" {
		f.vars["code"] = " (status " + c + " was expected)"
	}
}

func pipIndex(f *failure, _ *finding) {
	f.vars["index"] = ""
	if m := re(`Looking in indexes: (\S+)|host='([^']+)'|HTTPS?ConnectionPool\(host='([^']+)'`).FindStringSubmatch(f.comment + "\n" + f.output()); m != nil {
		f.vars["index"] = ` "` + strings.TrimSuffix(m[1]+m[2]+m[3], ",") + `"`
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
	f.vars["what"] = ""
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

func findPort(f *failure, _ *finding) {
	text := f.comment + "\n" + f.output()
	f.vars["port"] = ""
	at := re(portInUse).FindStringIndex(text)
	if at == nil {
		return
	}
	// The port stands on the line that says so, or is told near it by name;
	// else the command may have it.
	line := text[strings.LastIndexByte(text[:at[0]], '\n')+1:]
	line, _, _ = strings.Cut(line, "\n")
	near := text[max(0, at[0]-200):min(len(text), at[1]+500)]
	for _, look := range []struct{ in, pattern string }{
		{line, `(?:[\d\]*.a-z]|::):(\d{2,5})\b`}, {line, `(?i)\bport:? (\d{2,5})`}, {line, `\('[^']*', (\d{2,5})\)`}, {line, `:::?(\d{2,5})\b`},
		{near, `(?i)\bport['"]?[:=]? ?(\d{2,5})`}, {near, `(?:\d\.\d|localhost|\*):(\d{2,5})\b`},
		{f.vars["fullcmd"], `(?i)(?:-p|--port|PORT)[ =]?(\d{2,5})\b`}, {f.vars["fullcmd"], `:(\d{2,5})\b`},
	} {
		if m := re(look.pattern).FindStringSubmatch(look.in); m != nil {
			f.vars["port"] = " " + m[1]
			return
		}
	}
}

// opsCommands set up the machine rather than the app.
var opsCommands = re(`^(?:sudo\s+|/usr/s?bin/|/s?bin/|env\s+\S+=\S+\s+)*(?:nginx|apache2ctl|apachectl|httpd|haproxy|systemctl|service|apt|apt-get|dpkg|yum|dnf|apk|snap|useradd|usermod|groupadd|adduser|addgroup|passwd|chown|chmod|chgrp|mount|umount|mkfs\S*|sysctl|modprobe|iptables|ip6tables|nft|ufw|certbot|mysql|mysqladmin|psql|createdb|createuser|pg_\w+|redis-cli|mongo|mongosh|visudo|sshd|ssh-keygen|ssh-keyscan|salt-\S+|salt://\S*|swapon|mkswap|fallocate|locale-gen|update-\S+|timedatectl|hostnamectl|loginctl|crontab|a2en\w+|a2dis\w+|supervisorctl|openssl|docker\s+(?:network|volume|login|swarm)|lvcreate|hostname)(?:\b|\s|$)`)

func commandWho(f *failure, x *finding) {
	cmd := strings.TrimSpace(f.vars["fullcmd"])
	line := f.line()
	f.vars["status"] = ""
	if f.exit != "" && f.exit != "0" {
		f.vars["status"] = " (exit status " + f.exit + ")"
	}
	switch {
	case opsCommands.MatchString(cmd):
		x.who, x.next = ops, askOps
	case re(offline).MatchString(line) && !isLocalWeb(cmd):
		x.who, x.next = retry, tryAgain
		if re(`(?i)127\.0\.0\.1|localhost|database|postgres|mysql|redis|OperationalError|\bdb\b`).MatchString(line + cmd) {
			x.who, x.next = ops, `Ask ops whether what it connects to runs and is set right; then "berth env retry NAME".`
		}
	case re(`returned error: 50[234]|HTTP(?:/[\d.]+)? 50[234]`).MatchString(line):
		x.who, x.next = retry, tryAgain
	case isLocalWeb(cmd):
		x.next = nextHealth
	}
	if line == "" {
		f.vars["line"] = "it did not say why" + f.vars["status"]
	}
}

// isLocalWeb says whether a command asks the app itself whether it is well.
func isLocalWeb(cmd string) bool {
	return re(`(?:^|[\s;&|(])(?:curl|wget|https?|nc)\s.*(?:127\.0\.0\.1|localhost|\[::1\])`).MatchString(cmd)
}

// toolMissing tells a tool that the server lacks (for ops) from one that the
// app's own build should have brought along.
func toolMissing(f *failure, x *finding) {
	tool := coalesce(f, "tool", "t2")
	if tool == "" {
		tool = strings.Fields(f.vars["fullcmd"] + " it")[0]
	}
	f.vars["tool"] = path.Base(tool)
	cmd := f.vars["fullcmd"]
	if !strings.Contains(cmd, path.Base(tool)) {
		x.who = developer
		x.sentence = `The command "{cmd}" (step "{step}") failed: the tool "{tool}" is not there.`
		x.next = `If the app should bring it along, add it to its dependencies; else ask ops to install it.`
	} else if strings.HasPrefix(tool, "./") || strings.Contains(tool, "node_modules") || strings.Contains(tool, "/venv/") || strings.Contains(tool, "vendor/") {
		x.who = developer
		x.sentence = `The command "{cmd}" failed: "{tool}" is not there.`
		x.next = pushAgain
	}
}

func commandTool(f *failure, _ *finding) { f.vars["tool"] = path.Base(f.vars["tool"]) }

func notExecutable(f *failure, x *finding) {
	if strings.HasPrefix(strings.TrimSpace(f.vars["fullcmd"]), "/") && !strings.Contains(f.vars["fullcmd"], "/src/") {
		x.who, x.next = ops, askOps
	}
}

// signals are what a command's exit status says of the signal that ended it, as
// Python (negative) and shells (128 and more) give it.
var signals = map[string]string{
	"139": "segmentation fault", "-11": "segmentation fault", "134": "aborted", "-6": "aborted", "136": "arithmetic error", "-8": "arithmetic error",
	"132": "illegal instruction", "-4": "illegal instruction", "143": "terminated", "-15": "terminated", "129": "hung up", "-1": "hung up", "130": "interrupted", "-2": "interrupted",
}

func signalOf(f *failure, _ *finding) {
	f.vars["signal"], f.vars["because"] = signals[f.exit], "."
	if l := f.line(); l != "" {
		f.vars["because"] = ": " + l
	}
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
