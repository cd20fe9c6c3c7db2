package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const gitNotFound = `ERROR: Repository not found|(?i:repository not found)|repository '[^']*' not found|does not appear to be a git repository|project you were looking for could not be found|remote: Not Found|returned error: (?:404|410)|did you run git update-server-info|requested repository does not exist|repository (?:\S+ )?does not exist|[Rr]epository not exported|(?m:^fatal: repository '[^']+' does not exist)|Cannot find repository|[Ii]nvalid repository path|project \S+ not found|TF401019|RepositoryDoesNotExist|or it no longer exists|repository has been (?:disabled|removed|deleted)|not valid: is this a git repository|mis-spelled the reponame`

const gitRefused = `Permission denied \(|Permission denied, please try again|Authentication failed|could not read (?:Username|Password)|returned error: 40[13]|HTTP Basic: Access denied|Permission to \S+ denied|Invalid username or (?:password|token)|terminal prompts disabled|Support for password authentication was removed|[Pp]ublic key authentication failed|Too many authentication failures|You (?:may|do) not have (?:access|permission)|You are not allowed to|Invalid credentials|authorization failed|No such identity|invalid format\s*$|error in libcrypto|Bad credentials|[Dd]eploy key|SAML SSO|DENIED by|sftp connections only|[Bb]ad owner or permissions|HTTP code 407|account (?:has been|is) (?:suspended|blocked)|(?i:not authorized)`

const gitAway = `(?i)could not resolve|unable to connect to|couldn't connect|could not connect|connection refused|failed to connect to|timed out|time-?out|network is (?:unreachable|down)|no route to host|connection reset|connection (?:was )?closed|broken pipe|returned error: (?:408|429|5\d\d)|HTTP code 50\d|temporary failure in name resolution|name or service not known|early EOF|remote end hung up|unexpected disconnect|SSL_ERROR|SSL_connect|gnutls_handshake|gnutls recv|TLS connection was non-properly terminated|kex_exchange_identification|ssh_exchange_identification|banner exchange|RPC failed|Empty reply from server|transfer closed|Operation too slow|Proxy CONNECT aborted|maintenance mode|booting up|(?:temporarily|currently) unavailable|service unavailable|internal server error|rate limit|too many requests|port \d+: `

// gitStep is the step of git's samples.
const gitStep = "git.latest git@git.acme.io:shop/billing.git"

const (
	gitSays    = "Failed to check remote refs: "
	gitNoRead  = "\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists."
	nextGitKey = `Ask ops to give the server's key access to the repository; then "berth env retry NAME".`
)

// gitRecords are git's texts; git.latest passes them on, and so do commands.
var gitRecords = []record{
	{code: "submodule_failed", who: developer, text: both, re: lazyregexp.New(`Failed to update submodules|into submodule path '|No url found for submodule path|in submodule path '|Failed to clone '[^']+'(?: a second time|\. Retry scheduled)`),
		refine: submodule, sentence: `A submodule{path} of "{repo}" could not be fetched: {line}`, next: `Check .gitmodules and who may read the submodule, push, then "berth env deploy NAME".`, subject: "{repo}",
		samples: []sample{
			{step: gitStep, says: "Failed to update submodules: Submodule 'vendor/theme' (git@git.acme.io:web/theme.git) registered for path 'vendor/theme'\nCloning into '/srv/billing/vendor/theme'...\ngit@git.acme.io: Permission denied (publickey)." + gitNoRead + "\nfatal: clone of 'git@git.acme.io:web/theme.git' into submodule path '/srv/billing/vendor/theme' failed\nFailed to clone 'vendor/theme'. Retry scheduled", names: []string{"vendor/theme", "billing", "Permission denied"}, who: ops},
			{step: gitStep, says: "Failed to update submodules: Submodule 'vendor/theme' (https://git.acme.io/web/theme.git) registered for path 'vendor/theme'\nCloning into '/srv/billing/vendor/theme'...\nfatal: could not read Username for 'https://git.acme.io': terminal prompts disabled\nfatal: clone of 'https://git.acme.io/web/theme.git' into submodule path '/srv/billing/vendor/theme' failed", names: []string{"vendor/theme", "billing", "needs a login"}, who: ops},
			{step: gitStep, says: "Failed to update submodules: fatal: No url found for submodule path 'vendor/theme' in .gitmodules", names: []string{"vendor/theme", "billing"}},
			{step: gitStep, says: "Failed to update submodules: fatal: transport 'file' not allowed\nfatal: clone of '/srv/git/glass.git' into submodule path '/srv/billing/vendor/glass' failed", names: []string{"vendor/glass", "not allowed"}},
			{step: gitStep, says: "Failed to update submodules: fatal: remote error: upload-pack: not our ref 1234567812345678123456781234567812345678\nfatal: Fetched in submodule path 'vendor/glass', but it did not contain 1234567812345678123456781234567812345678. Direct fetching of that commit failed.", names: []string{"vendor/glass", "not our ref"}},
		}},
	{code: "branch_not_found", who: developer, in: "git", re: lazyregexp.New(`[Cc]loned but is empty, so (?:[^/\s]+/)?(?P<branch>.+?) cannot be checked out|Remote repository is empty, cannot update`),
		refine: branchGone, sentence: `The repository "{repo}" is empty: it has no branch yet.`, next: `Push a branch to it, then "berth env retry NAME".`, subject: "{repo}",
		samples: []sample{
			{step: gitStep, says: "Repository was cloned but is empty, so origin/main cannot be checked out\n\nChanges already made: git@git.acme.io:shop/billing.git cloned to /srv/billing", names: []string{"billing", "empty"}},
			{step: gitStep, says: "Remote repository is empty, cannot update from a non-empty to an empty repository", names: []string{"billing", "empty"}},
		}},
	{code: "branch_not_found", who: developer, in: "git", re: lazyregexp.New(`Remote HEAD refers to a ref that does not exist|HEAD refers to nonexistent (?:branch|ref)`),
		sentence: `The default branch of the repository "{repo}" does not exist: it was renamed or deleted.`, next: `Name a branch: "berth env deploy NAME {app}=BRANCH"; or ask whoever owns the repository to set its default branch.`, subject: "{repo}",
		samples: []sample{
			{step: gitStep, says: "Remote HEAD refers to a ref that does not exist. This can happen when the default branch on the remote repository is renamed or deleted. If you are unable to fix the remote repository, you can work around this by setting the 'branch' argument (which will ensure that the named branch is created if it does not already exist).", names: []string{"billing", "default branch"}},
		}},
	{code: "branch_not_found", who: developer, text: both, re: lazyregexp.New(`No revision matching '(?P<branch>.+?)' exists in the remote repository|Remote branch (?P<b2>.+?) not found in upstream|couldn't find remote ref (?P<b3>\S+)|Revision '(?P<b4>.+?)' does not exist|pathspec '(?P<b5>[^\n]+?)' did not match any file\(s\) known to git`),
		refine: branchGone, sentence: `There is no branch "{branch}" in the repository "{repo}".`, next: nextBranch, subject: "{repo} {branch}",
		samples: []sample{
			{step: gitStep, says: "No revision matching 'feature/permission-denied' exists in the remote repository", names: []string{"feature/permission-denied", "billing"}},
			{step: gitStep, says: "No revision matching 'don't-merge' exists in the remote repository", names: []string{"don't-merge", "billing"}},
			{step: "git.cloned git@git.acme.io:shop/billing.git", says: "Command 'git clone --branch release-9 -- git@git.acme.io:shop/billing.git /srv/billing' failed: Cloning into '/srv/billing'...\nwarning: Could not find remote branch release-9 to clone.\nfatal: Remote branch release-9 not found in upstream origin", names: []string{"release-9", "billing"}},
			{step: "git.cloned git@git.acme.io:shop/billing.git", says: "Failed to change branch to 'release-9': Command 'git checkout release-9' failed: error: pathspec 'release-9' did not match any file(s) known to git", names: []string{"release-9", "billing"}},
			{step: "git.detached git@git.acme.io:shop/billing.git", says: "Revision 'v4.1' does not exist", names: []string{"v4.1", "billing"}},
			{step: gitStep, says: "Revision 'v4.1' does not exist in clone", names: []string{"v4.1", "billing"}},
			{step: gitStep, says: "No revision matching '0123456789012345678901234567890123456789' exists in the remote repository", names: []string{"0123456789012345678901234567890123456789", "billing"}, code: "revision_not_found"},
		}},
	{code: "branch_not_found", who: developer, re: lazyregexp.New(`When 'depth' is used, 'rev' must be set to the name of a branch or tag`),
		refine: branchGone, sentence: `The branch that was asked for does not exist in the repository "{repo}".`, next: nextBranch, subject: "{repo}",
		samples: []sample{{step: gitStep, says: "When 'depth' is used, 'rev' must be set to the name of a branch or tag on the remote repository", names: []string{"billing"}}}},
	{code: "branch_not_found", who: developer, text: both, re: lazyregexp.New(`fatal: '(?P<branch>[^\n]+?)' is not a commit and a branch|ambiguous argument '(?P<b2>[^\n]+?)': unknown revision|Could not parse object '(?P<b3>[^'\n]+)'|reference is not a tree: (?P<b4>\S+)|Fetch did not successfully retrieve rev '(?P<b5>[^\n]+?)' from|bad object (?P<b6>[0-9a-f]{4,40})\b|not our ref (?P<b7>[0-9a-f]+)|unadvertised object (?P<b8>[0-9a-f]+)|'(?P<b9>[0-9a-f]{7,40})' did not match any|[Nn]eeded a single revision`),
		refine: branchGone, sentence: `There is no branch or commit "{branch}" in the repository "{repo}".`, next: nextBranch, subject: "{repo} {branch}",
		samples: []sample{
			{step: gitStep, says: "fatal: 'cafe0042' is not a commit and a branch 'cafe0042' cannot be created from it\n\nChanges already made: git@git.acme.io:shop/billing.git cloned to /srv/billing", names: []string{"cafe0042", "billing"}},
			{step: gitStep, says: "fatal: ambiguous argument '20250117^{commit}': unknown revision or path not in the working tree.\nUse '--' to separate paths from revisions, like this:\n'git <command> [<revision>...] -- [<file>...]'", names: []string{"20250117", "billing"}},
			{step: gitStep, says: "fatal: Could not parse object 'beef12'.", names: []string{"beef12", "billing"}},
			{step: gitStep, says: "Fetch did not successfully retrieve rev 'deadbeef' from git@git.acme.io:shop/billing.git: Command 'git rev-parse deadbeef' failed", names: []string{"deadbeef", "billing"}},
			{step: gitStep, says: "fatal: reference is not a tree: 0123456789012345678901234567890123456789", names: []string{"0123456789012345678901234567890123456789", "billing"}, code: "revision_not_found"},
		}},
	{code: "permission_denied", who: ops, text: both, re: lazyregexp.New(`could not create (?:leading directories of|work tree dir|directory) '(?P<path>[^'\n]+)':? (?:Permission denied|Read-only file system|Operation not permitted)|unable to (?:unlink old|create file) '?(?P<p4>[^':\n]+?)'?:? \(?(?:Permission denied|Read-only file system|Operation not permitted)|(?:cannot open|could not (?:open|lock|write|create)|unable to (?:unlink|create|write|open)|failed to write|cannot mkdir|cannot lock)[^\n]*?(?P<p2>(?:/|\.git/)[^':\n]+)['"]?:? (?:Permission denied|Read-only file system|Operation not permitted)|(?:insufficient permission for adding an object to repository database (?P<p3>\S+))`), refine: anyPath,
		sentence: `The server has no permission to put "{repo}" at "{path}".`, next: askOps, subject: "{path}",
		samples: []sample{
			{step: gitStep, says: "Clone failed: fatal: could not create work tree dir '/opt/billing': Permission denied", names: []string{"/opt/billing", "billing"}},
			{step: gitStep, says: "Fetch failed. Set 'force_fetch' to True to force the fetch if the failure was due to not being able to fast-forward. Output of the fetch command follows:\n\nerror: cannot open '.git/FETCH_HEAD': Permission denied", names: []string{".git/FETCH_HEAD", "billing"}},
			{step: gitStep, says: "error: insufficient permission for adding an object to repository database .git/objects\nfatal: failed to write object", names: []string{".git/objects", "billing"}},
			{step: gitStep, says: "error: unable to unlink old 'config/app.toml': Permission denied\nfatal: Could not reset index file to revision 'abc'.", names: []string{"config/app.toml", "billing"}},
		}},
	{code: "disk_full", who: ops, text: both, re: lazyregexp.New(diskFull + `|error: unable to write file|fatal: unable to checkout working tree|unable to create temporary file`),
		sentence: `The server's disk is full: "{repo}" could not be checked out.`, next: nextDisk,
		samples: []sample{
			{step: gitStep, says: "Clone failed: Cloning into '/srv/billing'...\nerror: unable to write file data/seed.sql\nfatal: unable to checkout working tree\nwarning: Clone succeeded, but checkout failed.", names: []string{"disk", "billing"}},
			{step: gitStep, says: "Clone failed: fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output", names: []string{"disk", "billing"}},
		}},
	{code: "git_host_unknown", who: ops, text: both, re: lazyregexp.New(`Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No (?:\S+ )?host key is known for`),
		sentence: `The server doesn't trust the git host "{host}" (its key is unknown or has changed), so "{repo}" could not be fetched.`, next: askOps, subject: "{host} {repo}",
		samples: []sample{
			{step: gitStep, says: gitSays + "No ED25519 host key is known for git.acme.io and you have requested strict checking.\nHost key verification failed." + gitNoRead, names: []string{"git.acme.io", "billing"}},
			{step: gitStep, says: gitSays + "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nIT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key for git.acme.io has changed and you have requested strict checking.\nHost key verification failed." + gitNoRead, names: []string{"git.acme.io", "billing"}},
		}},
	{code: "git_host_unknown", who: ops, text: both, re: lazyregexp.New(`Unable to negotiate with (?P<addr>\S+)[^\n]*no matching (?P<what>[^\n]+?) found|no mutual signature`),
		sentence: `The server and the git host "{host}" agree on no {what}, so "{repo}" could not be fetched.`, refine: func(f *failure, _ *finding) {
			if f.vars["what"] == "" {
				f.vars["what"] = "kind of key"
			}
		}, next: askOps, subject: "{host} {repo}",
		samples: []sample{{step: gitStep, says: gitSays + "Unable to negotiate with 10.9.8.7 port 22: no matching host key type found. Their offer: ssh-rsa,ssh-dss" + gitNoRead, names: []string{"git.acme.io", "host key type", "billing"}}}},
	{code: "git_host_unknown", who: ops, text: both, re: lazyregexp.New(`server (?:certificate )?verification failed|SSL certificate problem|certificate verify failed|unable to get local issuer certificate|self[- ]signed certificate|certificate (?:has|is) expired|no alternative certificate subject name|certificate subject name|error (?:setting certificate|adding trust anchors)`),
		sentence: `The server doesn't trust the certificate of the git host "{host}", so "{repo}" could not be fetched.`, next: askOps, subject: "{host} {repo}",
		samples: []sample{
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: unable to access 'https://git.acme.io/shop/billing.git/': server certificate verification failed. CAfile: none CRLfile: none", names: []string{"git.acme.io", "billing"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: unable to access 'https://git.acme.io/shop/billing.git/': SSL certificate problem: certificate has expired", names: []string{"git.acme.io", "billing"}},
		}},
	{code: "git_host_unknown", who: ops, text: both, re: lazyregexp.New(`detected dubious ownership in repository at '(?P<path>[^'\n]+)'`),
		sentence: `Git refuses the checkout of "{repo}" at "{path}": the folder belongs to another user.`, next: askOps, subject: "{path}",
		samples: []sample{{step: gitStep, says: "fatal: detected dubious ownership in repository at '/srv/billing'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory /srv/billing", names: []string{"/srv/billing", "billing"}}}},
	{code: "git_target_occupied", who: ops, text: both, re: lazyregexp.New(`Target '(?P<path>[^\n]+?)' exists, is non-empty,? and is not a git repository|destination path '(?P<p2>[^\n]+?)' already exists and is not an empty directory|Target '(?P<p3>[^\n]+?)' exists and is a (?:regular )?file|'(?P<p4>[^'\n]+)' exists and is (?:not a (?:git repository|directory)|a regular file)|cannot mkdir (?P<p5>[^\n]+?): File exists`),
		refine: anyPath, sentence: `The folder for "{repo}" is taken: "{path}" holds something else already.`, next: askOps, subject: "{path}",
		samples: []sample{
			{step: gitStep, says: "Target '/srv/billing' exists, is non-empty and is not a git repository. Set the 'force_clone' option to True to remove this directory's contents and proceed with cloning the remote repository", names: []string{"/srv/billing", "billing"}},
			{step: gitStep, says: "Target '/srv/billing' exists and is a regular file, cannot proceed", names: []string{"/srv/billing", "billing"}},
			{step: "git.present /srv/depot", says: "Target '/srv/depot' exists, is non-empty, and is not a git repository. Set the 'force' option to True to remove this directory's contents and proceed with initializing a repository", names: []string{"/srv/depot"}},
			{step: gitStep, says: "fatal: destination path '/srv/billing' already exists and is not an empty directory.", names: []string{"/srv/billing"}},
		}},
	{code: "path_missing", who: ops, in: "git", when: gitConfig, re: lazyregexp.New(`not in a git directory|not a git repository|not inside a git repository`),
		sentence: `The git setting "{name}" of step "{step}" could not be made: its folder is no git checkout.`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: "git.config_set user.email", says: "Failed to set 'user.email' to 'bot@acme.io': fatal: not in a git directory", names: []string{"user.email"}}}},
	{code: "git_target_occupied", who: ops, in: "git", re: lazyregexp.New(`fatal: not a git repository`),
		sentence: `The folder for "{repo}" is taken: what stands there is no whole git checkout.`, next: askOps, subject: "{repo} {step}",
		samples: []sample{
			{step: "git.cloned git@git.acme.io:shop/billing.git", says: "Command 'git status -z --porcelain' failed: fatal: not a git repository (or any of the parent directories): .git", names: []string{"billing"}},
		}},
	{code: "git_diverged", who: ops, re: lazyregexp.New(`there are uncommitted changes|[Uu]ncommitted changes|local changes (?:to|would|were)|Local (?:branch )?'?.*'? has been (?:modified|changed)`),
		sentence: `Files of "{repo}" were edited on the server, so it was not brought up to date.`, next: askOps, subject: "{repo} {step}",
		samples: []sample{
			{step: gitStep, says: "Repository would be updated from 1a2b3c4 to 5d6e7f8, but there are uncommitted changes. Set 'force_reset' to True to force this update and discard these changes.", names: []string{"billing", "edited"}},
			{step: gitStep, says: "Local branch 'main' has uncommitted changes. Set 'force_checkout' to True to discard them and proceed.", names: []string{"billing", "edited"}},
		}},
	{code: "git_diverged", who: ops, text: both, re: lazyregexp.New(`'(?P<tag>[^'\n]+)' is a tag, but the remote SHA1|would clobber existing tag|\[rejected\]\s+(?P<t2>\S+)\s+->\s+\S+\s+\(would clobber`), refine: func(f *failure, _ *finding) {
		if coalesce(f, "tag", "t2") != "" {
			f.vars["tag"] = ` "` + f.vars["tag"] + `"`
		}
	}, sentence: `A tag{tag} of "{repo}" was moved, so the server's copy could not follow it.`, next: askOps, subject: "{repo} {tag}",
		samples: []sample{
			{step: gitStep, says: "'v2.0' is a tag, but the remote SHA1 for this tag (42f8af6) doesn't match the local SHA1 (932a9ce). Set 'force_reset' to True to force this update.", names: []string{"billing", "v2.0"}},
			{step: gitStep, says: "Fetch failed. Set 'force_fetch' to True to force the fetch if the failure was due to not being able to fast-forward. Output of the fetch command follows:\n\nFrom git.acme.io:shop/billing\n ! [rejected]        v2.0       -> v2.0  (would clobber existing tag)", names: []string{"billing", "tag"}},
		}},
	{code: "git_diverged", who: ops, text: both, re: lazyregexp.New(`this is not a fast-forward merge|[Nn]ot possible to fast-forward|non-fast-forward|Failed to fast-forward|Unable to fast-forward|fast-forward failed|divergent branches|have diverged|forced update`),
		sentence: `The branch of "{repo}" was rewritten, so the server's copy could not follow it.`, next: `Ask ops to let the server take the rewritten branch, then "berth env retry NAME"; or "berth env destroy NAME", and create it anew.`, subject: "{repo}",
		samples: []sample{
			{step: gitStep, says: "Repository would be updated to 5d6e7f8, but this is not a fast-forward merge. Set 'force_reset' to True to force this update.", names: []string{"billing", "rewritten"}},
			{step: gitStep, says: "Fetch failed. Set 'force_fetch' to True to force the fetch if the failure was due to not being able to fast-forward. Output of the fetch command follows:\n\n ! [rejected]        main       -> origin/main  (non-fast-forward)", names: []string{"billing", "rewritten"}},
			{step: gitStep, says: "Unable to fast-forward, HEAD is detached", names: []string{"billing"}},
		}},
	{code: "git_diverged", who: ops, text: both, re: lazyregexp.New(`Your local changes to the following files would be overwritten|untracked working tree files would be overwritten|files would be overwritten by (?:merge|checkout)`),
		sentence: `Files of "{repo}" were edited on the server, so it was not brought up to date.`, next: askOps, subject: "{repo} {step}",
		samples: []sample{{step: gitStep, says: "error: The following untracked working tree files would be overwritten by checkout:\n\tconfig/local.toml\nPlease move or remove them before you switch branches.\nAborting", names: []string{"billing", "edited"}}}},
	{code: "git_diverged", who: ops, text: both, re: lazyregexp.New(`Another git process seems to be running|Unable to create '[^'\n]*\.lock': File exists|cannot lock ref|shallow\.lock`),
		sentence: `The checkout of "{repo}" on the server is locked: another git run works on it, or one was broken off.`, next: tryAgain, subject: "{repo} {step}",
		samples: []sample{{step: gitStep, says: "error: Unable to create '/srv/billing/.git/index.lock': File exists.\n\nAnother git process seems to be running in this repository, e.g.\nan editor opened by 'git commit'.", names: []string{"billing", "locked"}}}},
	{code: "git_diverged", who: ops, text: both, re: lazyregexp.New(`bad object (?:HEAD|refs/)|object file \S+ is empty|loose object \S+ .*is corrupt|index file (?:corrupt|smaller)|bad signature 0x|your current branch appears to be broken|packfile \S+ (?:is|does)|bad config (?:line|file)|object .* is corrupt|unable to read (?:tree|sha1 file)`),
		sentence: `The checkout of "{repo}" on the server is damaged: {line}`, refine: commentLine, next: askOps, subject: "{repo} {step}",
		samples: []sample{{step: gitStep, says: "error: object file .git/objects/2f/9a is empty\nfatal: loose object 2f9a (stored in .git/objects/2f/9a) is corrupt", names: []string{"billing", "object file"}}}},
	{code: "git_auth", who: ops, re: lazyregexp.New(`identity file\(s\) were not found: (?P<path>[^\n]+)|[Ii]dentity (?:file )?'(?P<p2>[^'\n]+)' does not exist`), refine: anyPath,
		sentence: `The key "{path}" with which the server should read the repository "{repo}" is not on the server.`, next: askOps, subject: "{path}",
		samples: []sample{
			{step: gitStep, says: gitSays + "The following identity file(s) were not found: /root/.ssh/deploy_key", names: []string{"/root/.ssh/deploy_key", "billing"}},
			{step: gitStep, says: "identity '/root/.ssh/deploy_key' does not exist.", names: []string{"/root/.ssh/deploy_key", "billing"}},
		}},
	{code: "git_auth", who: ops, re: lazyregexp.New(`Identity file (?P<path>\S+) is passphrase-protected`),
		sentence: `The key "{path}" with which the server should read the repository "{repo}" has a passphrase, which nobody can type there.`, next: askOps, subject: "{path}",
		samples: []sample{{step: gitStep, says: gitSays + "Unable to authenticate using identity file:\n\nIdentity file /root/.ssh/deploy_key is passphrase-protected and cannot be used in a non-interactive command. Using salt-call from the minion will allow a passphrase-protected key to be used.", names: []string{"/root/.ssh/deploy_key", "billing"}}}},
	{code: "git_auth", who: ops, text: both, re: lazyregexp.New(`Permissions \d+ for '(?P<path>[^'\n]+)' are too open|Load key "(?P<p2>[^"\n]+)": (?P<why>[^\n]+)`), refine: func(f *failure, x *finding) {
		anyPath(f, x)
		if w := f.vars["why"]; w != "" && !strings.Contains(w, "permissions") {
			x.sentence = `The key "{path}" with which the server should read the repository "{repo}" can't be used: {why}`
		}
	}, sentence: `The key "{path}" with which the server should read the repository "{repo}" can't be used: other users may read the file.`, next: askOps, subject: "{path}",
		samples: []sample{
			{step: gitStep, says: gitSays + "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\nPermissions 0644 for '/root/.ssh/deploy_key' are too open.\nThis private key will be ignored.\nLoad key \"/root/.ssh/deploy_key\": bad permissions\ngit@git.acme.io: Permission denied (publickey)." + gitNoRead, names: []string{"/root/.ssh/deploy_key", "billing"}},
			{step: gitStep, says: gitSays + "Load key \"/root/.ssh/deploy_key\": error in libcrypto\ngit@git.acme.io: Permission denied (publickey)." + gitNoRead, names: []string{"/root/.ssh/deploy_key", "libcrypto"}},
		}},
	{code: "path_missing", who: ops, text: both, re: lazyregexp.New(`could not create (?:leading directories of|work tree dir|directory) '(?P<path>[^'\n]+)':? (?P<why>[^\n]+)`),
		sentence: `The folder "{path}" for "{repo}" could not be made: {why}`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{{step: gitStep, says: "Clone failed: fatal: could not create leading directories of '/srv/file/billing': Not a directory", names: []string{"/srv/file/billing", "billing"}}}},
	{code: "recipe_error", who: ops, in: "git", re: lazyregexp.New(`(?:[Tt]arget|[Ii]dentity) '(?P<path>[^'\n]*)' is not an absolute path|'target' (?P<rel>path) must be absolute`), refine: func(f *failure, x *finding) {
		switch {
		case f.vars["rel"] != "":
			x.sentence = `The recipe puts "{repo}" at a path that is not absolute (step "{step}").`
		case strings.Contains(strings.ToLower(f.comment), "identity '"):
			x.sentence = `The recipe gives the key for "{repo}" as "{path}", which is no absolute path.`
		}
	}, sentence: `The recipe puts "{repo}" at "{path}", which is no absolute path.`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{
			{step: gitStep, says: "target 'srv/billing' is not an absolute path", names: []string{"srv/billing"}},
			{step: gitStep, says: "identity 'keys/deploy' is not an absolute path", names: []string{"keys/deploy", "billing"}},
			{step: "git.cloned git@git.acme.io:shop/billing.git", says: "'target' path must be absolute", names: []string{"billing"}},
		}},
	{code: "recipe_error", who: ops, in: "git", re: lazyregexp.New(`is not a valid value for the '|'(?:remote|target|rev|branch)' argument is required|must be one of|must be either a|is not compatible with|Invalid 'branch' argument|[Oo]nly one of|require the '\w+' argument|does not contain a section|invalid key:|Section or key is invalid|value_regex|Multivar|set 'all' to True`), refine: commentLine,
		sentence: `The recipe's git step "{step}" is not right: {line}`, next: askOpsRecipe, subject: "{step}",
		samples: []sample{
			{step: gitStep, says: "'rev' is not compatible with the 'mirror' and 'bare' arguments", names: []string{"not compatible"}},
			{step: "git.config_unset user.email", says: "Non-global config options require the 'repo' argument to be set", names: []string{"'repo'"}},
			{step: "git.config_set email", says: "Failed to set 'email' to 'x': error: key does not contain a section: email", names: []string{"email"}},
		}},
	{code: "repo_not_found", who: ops, text: both, re: lazyregexp.New(`'remote-(?P<kind>[\w+.-]+)' is not a git command|Unable to find remote helper for '(?P<k2>[^'\n]+)'|transport '(?P<k3>[^'\n]+)' not allowed`), refine: func(f *failure, _ *finding) { coalesce(f, "kind", "k2", "k3") },
		sentence: `The repository "{repo}" has an address of a kind ("{kind}") that git on the server does not fetch from.`, next: askOps, subject: "{repo}",
		samples: []sample{{step: "git.latest svn://svn.acme.io/shop/billing", says: gitSays + "git: 'remote-svn' is not a git command. See 'git --help'.", names: []string{"svn", "billing"}}}},
	{code: "git_unreachable", who: retry, text: both, re: lazyregexp.New(`(?i)rate limit|too many requests|maintenance mode|abuse detection`),
		sentence: `The git host "{host}" does not answer for now, so "{repo}" could not be fetched: {line}`, refine: gitLine, next: tryAgain, subject: "{host} {repo}",
		samples: []sample{
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "remote: Rate limit exceeded. Please wait.\nfatal: unable to access 'https://git.acme.io/shop/billing.git/': The requested URL returned error: 403", names: []string{"git.acme.io", "billing", "Rate limit"}},
			{step: gitStep, says: gitSays + "remote: GitLab is currently in maintenance mode. Please try again later." + gitNoRead, names: []string{"git.acme.io", "maintenance mode"}},
		}},
	{code: "repo_not_found", who: ops, in: "git", text: both, re: lazyregexp.New(gitNotFound),
		sentence: `The repository "{repo}" ({url}) does not exist, or the server may not see it.`, next: nextRepo, subject: "{repo}",
		samples: []sample{
			{step: gitStep, says: gitSays + "ERROR: Repository not found." + gitNoRead, names: []string{"billing", "git@git.acme.io:shop/billing.git"}},
			{step: gitStep, says: gitSays + "remote: \nremote: ERROR: The project you were looking for could not be found or you don't have permission to view it.\nremote: " + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "conq: repository does not exist." + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "remote: You may not have access to this repository or it no longer exists in this workspace. If you think this repository exists and you have access, make sure you are authenticated." + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "Gitea: Invalid repository path\nCannot find repository: shop/billing" + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "remote: TF401019: The Git repository with name or identifier billing does not exist or you do not have permissions for the operation you are attempting." + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "fatal: project shop/billing not found" + gitNoRead, names: []string{"billing"}},
			{step: "git.latest git://git.acme.io/billing.git", says: gitSays + "fatal: remote error: access denied or repository not exported: /billing.git", names: []string{"billing"}},
			{step: "git.latest /srv/git/billing.git", says: gitSays + "fatal: '/srv/git/billing.git' does not appear to be a git repository" + gitNoRead, names: []string{"billing"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: unable to access 'https://git.acme.io/shop/billing.git/': The requested URL returned error: 410", names: []string{"billing"}},
		}},
	{code: "repo_not_found", who: developer, text: both, re: lazyregexp.New(gitNotFound),
		sentence: `The repository "{repo}" ({url}) does not exist, or the server may not see it.`, next: `Correct its address in the app's own files and push, then "berth env deploy NAME"; if it is right, ask ops to let the server read it.`, subject: "{repo}", borrowed: true},
	{code: "git_auth", who: ops, text: both, re: lazyregexp.New(gitRefused),
		sentence: `The server may not read the repository "{repo}": its key or password was refused by "{host}".`, next: nextGitKey, subject: "{host} {repo}",
		samples: []sample{
			{step: gitStep, says: gitSays + "git@git.acme.io: Permission denied (publickey)." + gitNoRead, names: []string{"billing", "git.acme.io"}},
			{step: gitStep, says: gitSays + "Unable to authenticate using identity file:\n\ngit@git.acme.io: Permission denied (publickey,gssapi-keyex,gssapi-with-mic)." + gitNoRead, names: []string{"billing", "git.acme.io"}},
			{step: gitStep, says: gitSays + "Received disconnect from 10.9.8.7 port 22:2: Too many authentication failures\nDisconnected from 10.9.8.7 port 22" + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "ERROR: Permission to shop/billing.git denied to deploy key" + gitNoRead, names: []string{"billing"}},
			{step: gitStep, says: gitSays + "ERROR: The 'shop' organization has enabled or enforced SAML SSO. To access\nthis repository, you must re-authorize the deploy key." + gitNoRead, names: []string{"billing"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: could not read Username for 'https://git.acme.io': No such device or address", names: []string{"billing", "git.acme.io"}},
			{step: "git.latest https://deploy:Hasel-Nuss7@git.acme.io/shop/billing.git", says: gitSays + "remote: HTTP Basic: Access denied. The provided password or token is incorrect\nfatal: Authentication failed for 'https://<redacted>@git.acme.io/shop/billing.git/'", names: []string{"billing", "git.acme.io"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "remote: You are not allowed to download code from this project.\nfatal: unable to access 'https://git.acme.io/shop/billing.git/': The requested URL returned error: 403", names: []string{"billing"}},
		}},
	{code: "git_unreachable", who: retry, text: both, re: lazyregexp.New(gitAway),
		sentence: `The server can't reach the git host "{host}" to fetch "{repo}": {line}`, refine: gitLine, next: tryAgain, subject: "{host} {repo}",
		samples: []sample{
			{step: gitStep, says: gitSays + "ssh: Could not resolve hostname git.acme.io: Name or service not known" + gitNoRead, names: []string{"billing", "git.acme.io", "Name or service not known"}},
			{step: gitStep, says: gitSays + "Unable to authenticate using identity file:\n\nssh: connect to host git.acme.io port 22: Connection timed out" + gitNoRead, names: []string{"billing", "git.acme.io", "timed out"}},
			{step: gitStep, says: gitSays + "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.9.8.7 port 22" + gitNoRead, names: []string{"billing", "closed"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: unable to access 'https://git.acme.io/shop/billing.git/': Failed to connect to git.acme.io port 443 after 2 ms: Couldn't connect to server", names: []string{"billing", "git.acme.io port 443"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: gitSays + "fatal: unable to access 'https://git.acme.io/shop/billing.git/': The requested URL returned error: 503", names: []string{"billing", "503"}},
			{step: "git.latest git://git.acme.io:9418/shop/billing.git", says: gitSays + "fatal: unable to connect to git.acme.io:\ngit.acme.io[0: 10.9.8.7]: errno=Connection refused", names: []string{"billing", "git.acme.io"}},
			{step: "git.latest https://git.acme.io/shop/billing.git", says: "Clone failed: error: RPC failed; curl 56 GnuTLS recv error (-9): Error decoding the received TLS packet.\nfetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output", names: []string{"billing"}},
			{step: gitStep, says: gitSays + "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later.\nConnection closed by 10.9.8.7 port 22" + gitNoRead, names: []string{"billing"}},
		}},
	{code: "git_auth", who: ops, re: lazyregexp.New(`Unable to authenticate using identity|Could not read from remote repository`), in: "git",
		sentence: `The server can't read the repository "{repo}" at "{host}"{because}.`, refine: gitBecause, next: askOps, subject: "{host} {repo}",
		samples: []sample{
			{step: gitStep, says: gitSays + "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.", names: []string{"billing", "git.acme.io"}},
			{step: gitStep, says: gitSays + "The keeper of this door is asleep" + gitNoRead, names: []string{"billing", "asleep"}},
		}},
	{code: "source_missing", who: developer, text: both, re: lazyregexp.New(`(?i)git[- ]lfs|smudge (?:error|filter)|LFS: `),
		sentence: `Large files of "{repo}" (git LFS) could not be fetched: {line}`, refine: commentLine, next: `Check that the files were pushed with git LFS, and ask ops whether the server has it; then "berth env retry NAME".`, subject: "{repo}",
		samples: []sample{{step: gitStep, says: "Clone failed: git-lfs filter-process: line 1: git-lfs: command not found\nfatal: the external filter 'git-lfs filter-process' failed", names: []string{"billing", "git-lfs"}}}},
}

// gitStateRecords are what only git.* says and no table of git has.
var gitStateRecords = []record{
	{code: "salt_exception", who: ops, in: "git", when: gitConfig, refine: commentLine, sentence: `The git setting "{name}" could not be made: {line}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: "git.config_set user.email", says: "Failed to set 'user.email' to 'bot@acme.io': error: could not lock config file .git/config: File exists", names: []string{"user.email", "File exists"}}}},
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The server's disk is full: the step "{step}" could not write "{name}".`, next: nextDisk,
		samples: []sample{{step: "file.managed /srv/billing/seed.json", says: "Unable to manage file: [Errno 28] No space left on device", names: []string{"disk", "/srv/billing/seed.json"}}}},
}

// gitConfig says whether a step is about a setting of git, whose name is no repository.
func gitConfig(f *failure) bool { return strings.HasPrefix(f.function, "config_") }

// gitBecause is the line by which the other side says why it ended.
func gitBecause(f *failure, _ *finding) {
	f.vars["because"] = ""
	for _, l := range lines(f.comment) {
		l = re(`^(?:Failed to check remote refs|Clone failed|Fetch failed)?:? ?(?:remote: )?(?:ERROR: |FATAL: |fatal: )?`).ReplaceAllString(strings.TrimSpace(l), "")
		if l == "" || re(`(?i)^(?:could not read from remote|please make sure|and the repository|unable to authenticate|=+|@+|fetch failed|output of)`).MatchString(l) {
			continue
		}
		f.vars["because"] = ": " + strings.TrimSuffix(l, ".")
		return
	}
}

var hexOnly = lazyregexp.New(`^[0-9a-f]{40}$`)

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
	l := first(text, `(?i)[^\n]*(?:could not resolve|unable to connect|connection refused|failed to connect|timed out|unreachable|no route|reset by peer|connection closed|rate limit|too many requests|maintenance mode|returned error|hung up|handshake|EOF)[^\n]*`)
	if l == "" {
		l = telling(text, "")
	}
	l = re(`^(?:Failed to check remote refs|Clone failed): `).ReplaceAllString(l, "")
	l = re(`^.*?(?:fatal: |ssh: |remote: )`).ReplaceAllString(l, "")
	f.vars["line"] = strings.TrimSpace(re(`^unable to access '[^']*': `).ReplaceAllString(l, ""))
	for _, p := range []string{`Could not resolve host(?:name)?:? ([^\s:,;]+)`, `unable to connect to ([^\s:]+)`, `connect to host (\S+)`, `Failed to connect to (\S+)`} {
		if m := re(`(?i)` + p).FindStringSubmatch(text); m != nil {
			f.vars["host"] = m[1]
		}
	}
}

func submodule(f *failure, x *finding) {
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
	if l := first(text, `(?m)^.*(?:could not read (?:Username|Password)|Permission denied \(publickey|Authentication failed|returned error: 40[13]).*$`); l != "" {
		f.vars["line"] = strings.TrimPrefix(l, "Failed to update submodules: ")
		x.who = ops
		x.sentence = `A submodule{path} of "{repo}" needs a login that the server has not: {line}`
		x.next = `Ask ops to list the submodule's repository in the "submodules" of the app in the catalog; then "berth env retry NAME".`
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
