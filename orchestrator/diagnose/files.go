package diagnose

import (
	"path"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	fileStep    = "file.managed /etc/billing/app.toml"
	archiveStep = "archive.extracted /opt/billing"
)

// fileRecords are files and folders.
var fileRecords = []record{
	{code: "source_missing", who: retry, in: "file cmd cron", re: lazyregexp.New(`(?i)(?:connection refused|timed out|name or service not known|temporary failure in name resolution|unreachable|reset by peer|no route to host|HTTP 5\d\d[^\n]*) ?(?:\S+ )?reading (?P<src>\S+)|(?:Failed to cache|Unable to cache(?: file)?) (?P<s2>(?:https?|ftp|s3)\S+).*(?i:refused|timed out|not known|temporary failure|unreachable|HTTP 5\d\d)`), refine: source,
		sentence: `The file "{src}" for "{name}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: Failed to cache http://cdn.acme.io/app.toml: Error: [Errno 111] Connection refused reading /app.toml", names: []string{"/app.toml"}},
			{step: fileStep, says: "Unable to manage file: Error: HTTP 502: Bad Gateway reading /rel/app.toml", names: []string{"/rel/app.toml"}},
			{step: fileStep, says: "Unable to manage file: Failed to cache https://cdn.acme.io/app.toml: HTTPSConnectionPool(host='cdn.acme.io', port=443): Read timed out.", names: []string{"cdn.acme.io/app.toml"}},
		}},
	{code: "source_missing", who: ops, in: "file cmd cron", re: lazyregexp.New(`(?i)(?:certificate[^\n]*|SSL[^\n]*|HTTP 40[13][^\n]*) reading (?P<src>\S+)`), refine: func(f *failure, x *finding) {
		source(f, x)
		f.vars["line"] = strings.TrimSpace(re(`^(?:Unable to manage file: )?(?:Failed to cache \S+: )?(?:Error: )?| reading \S+$`).ReplaceAllString(first(f.comment, `(?m)^.*reading .*$`), ""))
	},
		sentence: `The file "{src}" for "{name}" could not be downloaded: {line}`, next: askOps, subject: "{src}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: Error: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992) reading /app.toml", names: []string{"/app.toml", "self-signed certificate"}},
			{step: fileStep, says: "Unable to manage file: Error: HTTP 403: Forbidden reading /app.toml", names: []string{"/app.toml", "403"}},
		}},
	{code: "settings_error", who: ops, in: "file", re: lazyregexp.New(`(?:Pillar|Grain) ['"]?(?P<key>[\w:.-]+)['"]? (?:does not exist|was not found|not found|is missing)|contents_(?:pillar|grains)\S* ['"]?(?P<k2>[\w:.-]+)['"]? (?:not found|does not exist|value would result in empty)|(?P<k3>contents) value would result in empty|Pillar data (?P<k4>not found)`), refine: func(f *failure, x *finding) {
		switch coalesce(f, "key", "k2", "k3", "k4") {
		case "contents", "not found":
			x.sentence = `The file "{name}" needs a setting that has no value (step "{step}").`
		}
	}, sentence: `The file "{name}" needs the setting "{key}", which has no value.`, next: askSettings, subject: "{key}",
		samples: []sample{
			{step: fileStep, says: "Pillar billing:tls:cert does not exist", names: []string{"billing:tls:cert", "/etc/billing/app.toml"}},
			{step: fileStep, says: "Grain datacenter does not exist", names: []string{"datacenter"}},
			{step: fileStep, says: "contents_pillar billing:motd value would result in empty contents. Set allow_empty to True to allow the managed file to be empty.", names: []string{"billing:motd"}},
			{step: "file.decode /etc/billing/key.bin", says: "Pillar data not found.", names: []string{"/etc/billing/key.bin"}},
		}},
	{code: "source_missing", who: ops, in: "file cron", re: lazyregexp.New(`(?i:none of the specified sources? (?:were|was) found)`),
		sentence: `What the step "{step}" copies to "{name}" is missing: none of its sources exists.`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: fileStep, says: "Unable to manage file: none of the specified sources were found", names: []string{"/etc/billing/app.toml"}}}},
	{code: "source_missing", who: ops, in: "file cmd cron ssh_auth", re: lazyregexp.New(`Source file (?P<src>\S+) (?:not found|is missing)|Unable to cache (?:script|file) (?P<s2>\S+)|Unable to find (?:the )?source (?P<s3>\S+)|Source (?P<s4>(?:salt|https?|ftp|s3)://\S+) not found|None of the sources? (?:were|was) found|Unable to (?:cache|retrieve|fetch) (?:file )?(?P<s5>\S+)|(?:HTTP|Error) 4\d\d[^\n]*reading (?P<s6>\S+)|Failed to cache (?:patch file )?(?P<s7>\S+)|Source file "?(?P<s8>[^"\s]+)"? (?:does not exist|is not present)|Local file source (?P<s9>\S+) does not exist|Failed to load template file (?P<s10>\S+)|Source hash file (?P<s11>\S+) not found|No keys detected in (?P<s12>\S+?)\.`), refine: source,
		sentence: `The file or template "{src}" that the step "{step}" copies is missing.`, next: askOpsRecipe, subject: "{src}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: Source file salt://billing/app.toml.jinja not found in saltenv 'base'", names: []string{"billing/app.toml.jinja"}},
			{step: fileStep, says: "Unable to manage file: Local file source /opt/files/app.toml does not exist", names: []string{"/opt/files/app.toml"}},
			{step: "file.append /etc/billing/app.toml", says: "Failed to load template file salt://billing/extra.toml", names: []string{"billing/extra.toml"}},
			{step: "file.copy /srv/out", says: `Source file "/srv/in.txt" is not present`, names: []string{"/srv/in.txt"}},
			{step: "file.cached salt://billing/app.tgz", says: "Failed to cache salt://billing/app.tgz, check minion log for more information", names: []string{"billing/app.tgz"}},
			{step: fileStep, says: "Unable to manage file: Error: HTTP 404: File not found reading /rel/app.toml", names: []string{"/rel/app.toml"}},
			{step: "ssh_auth.present deploy", says: "Failed to add the ssh key. Source file salt://keys/deploy.pub is missing", names: []string{"keys/deploy.pub"}},
		}},
	{code: "checksum_mismatch", who: ops, in: "file", re: lazyregexp.New(`[Ff]ailed checking new file's signature: (?P<why>[^\n]+)`),
		sentence: `A download does not match its signature: "{name}" is not the file that ops meant, or can't be checked ({why}).`, next: askOps, subject: "{name}",
		samples: []sample{{step: fileStep, says: "Failed checking new file's signature: Detached signature file https://cdn.acme.io/app.sig not found", names: []string{"/etc/billing/app.toml", "app.sig"}}}},
	{code: "checksum_mismatch", who: ops, re: lazyregexp.New(`(?i)(?P<p2>\S+) does not match the desired source_hash|Specified (?P<alg>\w+) checksum for (?P<path>.+?) \(.*does not match|hash \([0-9a-f]+\) does not match|does not match (?:the )?(?:actual|specified|expected|desired) (?:check ?sum|hash|source_hash)|(?:checksum|hash) (?:mismatch|did not match)|Hash mismatch|source file's signature|file's signature could not be verified`), refine: checksum,
		sentence: `A download does not match its checksum: "{path}"{for} is not the file that ops meant.`, next: askOps, subject: "{path}",
		samples: []sample{
			{step: fileStep, says: "Specified sha256 checksum for /etc/billing/app.toml (aa) does not match actual checksum (bb). If the 'source_hash' value refers to a remote file with multiple possible matches, then it may be necessary to set 'source_hash_name'.", names: []string{"/etc/billing/app.toml"}},
			{step: archiveStep, says: "File is cached to /var/cache/salt/minion/extrn_files/base/cdn.acme.io/app.tgz, but the hash (aabb) does not match the specified hash (ccdd)", names: []string{"app.tgz", "/opt/billing"}},
			{step: archiveStep, says: "https://cdn.acme.io/app.tgz does not match the desired source_hash deadbeef", names: []string{"app.tgz", "/opt/billing"}},
		}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Unable to verify upstream hash of source file (?P<src>\S+?),|[Ss]ource_hash (?:is )?(?:required|missing|invalid)|Unable to (?:determine|find) (?:upstream|source)_?hash`), refine: source,
		sentence: `The recipe gives no checksum for the download "{src}".`, next: askOpsRecipe, subject: "{src}",
		samples: []sample{{step: fileStep, says: "Unable to manage file: Unable to verify upstream hash of source file http://cdn.acme.io/app.toml, please set source_hash or set skip_verify to True", names: []string{"http://cdn.acme.io/app.toml"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Source hash (?P<hash>\S+) format is invalid|Invalid (?:hash type|length \(\d+\) for hash type) '(?P<h2>[^'\n]+)'|Failed to get source hash from (?P<h3>\S+?)\.?\s`), refine: func(f *failure, _ *finding) { coalesce(f, "hash", "h2", "h3") },
		sentence: `The recipe gives a checksum for "{name}" that is none: "{hash}".`, next: askOpsRecipe, subject: "{hash} {name}",
		samples: []sample{{step: fileStep, says: "Unable to manage file: Unable to manage file: Source hash notahash format is invalid. The supported formats are: 1) a hash, 2) an expression in the format <hash_type>=<hash>", names: []string{"notahash", "/etc/billing/app.toml"}}}},
	{code: "user_missing", who: ops, re: lazyregexp.New("User '?(?P<user>[^'\\n]+?)'? is not available|Group '?(?P<u2>[^'\\n]+?)'? is not available|user [`'](?P<u3>[^'`\\n]+)' unknown|(?i:unknown|invalid) (?:user|group):? ['‘\"]?(?P<u4>[^'’\"\\n]+)|User '?(?P<u5>\\S+?)'? (?:does not exist|not found|is not present)|Group '?(?P<u12>\\S+?)'? (?:does not exist|not found)|name not found: '(?P<u6>[^']+)'|user '(?P<u7>[^']+)' (?:does not exist|is not available|not found)|No such user:? '?(?P<u8>[^'\\n]+)|enforce ownership for user (?P<u9>\\S+) \\(user does not|enforce group ownership for group (?P<u10>\\S+)|identify group for user (?P<u11>\\S+)"), in: "file cron cmd git ssh_auth ssh_known_hosts archive pip virtualenv group npm acl sudo environ mount at", refine: user,
		sentence: `The user or group "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}",
		samples: []sample{
			{step: fileStep, says: "User billing-svc is not available ", names: []string{"billing-svc"}},
			{step: fileStep, says: "Group web is not available", names: []string{"web"}},
			{step: "file.directory /srv/billing", says: "Directory /srv/billing updated\n\nThe following errors were encountered:\n\n- Failed to enforce ownership for user billing-svc (user does not exist)", names: []string{"billing-svc"}},
			{step: "cron.present /opt/trim", says: "Cron /opt/trim for user keeper failed to commit with error \ncrontab:  user `keeper' unknown\n", names: []string{"keeper"}},
			{step: "ssh_auth.present AAAAC3Nz", says: "User 'keeper' does not exist", names: []string{"keeper"}},
			{step: archiveStep, says: "Group keepers does not exist", names: []string{"keepers"}},
		}},
	{code: "user_missing", who: ops, in: "ssh_auth", re: lazyregexp.New(`Failed to add the ssh key|home directory`), sentence: `The SSH key of step "{step}" could not be added: its user or that user's home folder is missing.`, next: askOps,
		samples: []sample{{step: "ssh_auth.present AAAAC3Nz", says: "Failed to add the ssh key. Is the home directory available, and/or does the key file exist?", names: []string{sampleID}}}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(`(?i:Failed to commit change|Unable to manage file|Unable to copy)[^\n]*No such file or directory(?:: '(?P<path>/(?:proc|sys|dev)/[^'\n]+)')?`), in: "file", when: func(f *failure) bool { return re(`^/(?:proc|sys|dev)/`).MatchString(f.vars["name"]) }, refine: func(f *failure, _ *finding) { f.vars["path"] = f.vars["name"] },
		sentence: `The server has no permission to change "{path}": it belongs to the system (step "{step}").`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{{step: "file.managed /proc/version", says: "Failed to commit change: [Errno 2] No such file or directory: '/proc/versionqxhz4uri'", names: []string{"/proc/version"}}}},
	{code: "command_failed", who: ops, in: "file", re: lazyregexp.New(`Unable to check_cmd file|Unable to run command '\[?'?(?P<tool>[^'\s,]+)'?[^\n]*No such file or directory`), refine: func(f *failure, x *finding) {
		if f.vars["tool"] == "" {
			commentLine(f, x)
			x.sentence = `The check of the new file "{name}" could not be run: {line}`
		}
	}, sentence: `The new file "{name}" could not be checked: the program "{tool}" is not on the server.`, next: askOps, subject: "{name}",
		samples: []sample{{step: "file.managed /etc/nginx/nginx.conf", says: "Unable to run command '['nginxx', '-t', '-c', '/tmp/__salt.tmp.wsh1xpof']': [Errno 2] No such file or directory: 'nginxx'", names: []string{"/etc/nginx/nginx.conf", "nginxx"}}}},
	{code: "path_missing", who: ops, re: lazyregexp.New(`Parent directory not present|No directory to create (?P<path>.+?) in\b|(?P<p2>/[^\n]+): file not found|(?:Directory|File|[\w ]+) exists where the (?:symlink|hard link|backup target) (?P<p3>.+?) should (?:be|go)|[Nn]o such file or directory:? '(?P<p4>[^'\n]+)'|Specified (?:location|target|path|file|directory)? ?(?P<p5>/[^\n]+?) (?:does not exist|exists and is)|Target (?P<p15>/[^\n]+?) for hard link does not exist|Directory not present to touch file (?P<p16>/[^\n]+)|special device (?P<p17>\S+) does not exist|target directory (?P<p18>/[^\n]+?) is not present|(?P<p6>/[^\n']+?) does not exist|(?P<p7>/[^\n]+?) (?:is not|exists and is not) a (?:directory|file|fifo pipe|character device|block device)|Path (?P<p8>\S+) (?:does not exist|is not)|File not found:? (?P<p9>\S+)|(?:The )?(?:file|directory|path) (?P<p10>/\S+) (?:is not present|could not be found|not found)|[Uu]nable to (?:open|read) (?:file )?'?(?P<p11>/[^\s']+)|Specified target (?P<p12>/[^\n]+?) is a directory|(?i:mount directory) is not present|Specified path (?P<p13>/[^\n]+) exists$|Directory (?P<p14>/[^\n]+?) for (?:symlink|hard link) is not present|Name provided to \S+ must be a directory|\[Errno 20\] Not a directory: '(?P<p19>[^'\n]+)'|\[Errno 21\] Is a directory: '(?P<p20>[^'\n]+)'|on a binary file: (?P<p21>/[^\n]+)|exists and has a different`), in: "file acl sysctl ini key_value augeas mount disk tls blockdev x509 logrotate",
		refine: filePath, sentence: `"{path}" {state} (step "{step}").`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{
			{step: fileStep, says: "Parent directory not present", names: []string{"/etc/billing", "app.toml"}},
			{step: "file.directory /srv/no/such", says: "No directory to create /srv/no/such in", names: []string{"/srv/no", "such"}},
			{step: "file.replace /etc/my.ini", says: "/etc/my.ini: file not found", names: []string{"/etc/my.ini"}},
			{step: "file.symlink /srv/current", says: "Directory exists where the symlink /srv/current should be", names: []string{"/srv/current", "taken"}},
			{step: "file.symlink /srv/no/link", says: "Directory /srv/no for symlink is not present", names: []string{"/srv/no"}},
			{step: "file.hardlink /srv/b", says: "Target /srv/a for hard link does not exist", names: []string{"/srv/a"}},
			{step: "file.touch /srv/no/stamp", says: "Directory not present to touch file /srv/no/stamp", names: []string{"/srv/no", "stamp"}},
			{step: "file.copy /srv/w/e/out", says: "The target directory /srv/w/e is not present", names: []string{"/srv/w/e"}},
			{step: "file.directory /srv/a", says: "Specified location /srv/a exists and is a file", names: []string{"/srv/a", "something else"}},
			{step: "file.managed /srv/a", says: "Specified target /srv/a is a directory", names: []string{"/srv/a", "something else"}},
			{step: "file.mknod /srv/a", says: "File /srv/a exists and is not a fifo pipe. Refusing to continue", names: []string{"/srv/a", "something else"}},
			{step: "file.missing /srv/lock", says: "Specified path /srv/lock exists", names: []string{"/srv/lock", "must not be"}},
			{step: "file.keyvalue /srv/a.kv", says: "unable to open /srv/a.kv", names: []string{"/srv/a.kv"}},
			{step: "mount.mounted /srv/data", says: "mount: /srv/data: special device /dev/sdq1 does not exist.\n       dmesg(1) may have more information after failed mount system call.", names: []string{"/dev/sdq1"}},
			{step: "mount.mounted /srv/data", says: "Mount directory is not present", names: []string{"/srv/data"}},
			{step: "disk.status /srv/data", says: "Disk mount /srv/data not present. Directory /srv/data does not exist or is not a directory", names: []string{"/srv/data"}},
			{step: "file.retention_schedule /srv/backups", says: "Name provided to file.retention must be a directory", names: []string{"/srv/backups"}},
		}},
	{code: "disk_full", who: ops, in: "disk", re: lazyregexp.New(`Disk (?:available|used) space is (?P<what>below minimum|above maximum)[^\n]*`), sentence: `The server's disk at "{name}" has too little room, by the recipe's own check (step "{step}").`, next: nextDisk, subject: "{name}",
		samples: []sample{{step: "disk.status /srv", says: "Disk used space is above maximum of 80 % at 93.0 %", names: []string{"/srv", "disk"}}}},
	{code: "requisite_missing", who: ops, in: "file", re: lazyregexp.New(`^Orphaned accumulator (?P<acc>\S+)`), sentence: `The text that the step "{step}" collects for a file belongs to no file: no step writes it ("{acc}").`, next: askOpsRecipe, subject: "{acc}", samples: []sample{{step: "file.accumulated banner", says: "Orphaned accumulator banner in app:banner-text", names: []string{"banner"}}}},
	{code: "command_failed", who: ops, in: "file", re: lazyregexp.New(`^check_cmd (?:execution failed|determined the state failed)`), refine: checkCommand,
		sentence: `The check of the new file "{name}" refused it{because}`, next: askOpsRecipe,
		samples: []sample{{step: "file.managed /etc/sudoers.d/billing", says: "check_cmd execution failed\n>>> sudoers: syntax error near line 1 <<<", names: []string{"/etc/sudoers.d/billing", "syntax error"}}}},
	{code: "command_failed", who: ops, in: "file", re: lazyregexp.New(`Patch would not apply cleanly|Failed to apply patch|Patch does not apply`), sentence: `A patch of the recipe does not fit the file "{name}" any more (step "{step}").`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: "file.patch /srv/billing/a.c", says: "Patch would not apply cleanly, no changes made. Results of dry-run are below. Run state again using the reject_file option to save rejects to a persistent file.\n\nHunk #1 FAILED at 1.", names: []string{"/srv/billing/a.c"}}}},
	{code: "recipe_error", who: ops, in: "file", re: lazyregexp.New(`[Pp]attern not found|Expected (?:un)?commented lines not found|Markers were not found|Unterminated marked block|before or after was found|Found (?:more than|less than|no) [^\n]*occurrences|Found more than one line between|Failed to deserialize existing data|to ensure line without knowing|[Nn]o text found to append|(?:re\.)?error: .* at position \d+|nothing to repeat|unterminated (?:subpattern|character set)|missing \), `), refine: editLine,
		sentence: `The file "{name}" does not look as the step "{step}" expects: {line}`, next: askOpsRecipe, subject: "{name} {line}",
		samples: []sample{
			{step: "file.comment /etc/my.ini", says: "zebra: Pattern not found", names: []string{"/etc/my.ini", "zebra"}},
			{step: "file.blockreplace /etc/my.ini", says: "Encountered error managing block: Cannot edit marked block. Markers were not found in file.. See the log for details.", names: []string{"/etc/my.ini", "Markers were not found"}},
			{step: "file.serialize /etc/my.json", says: "Failed to deserialize existing data: Expecting value: line 1 column 1 (char 0)", names: []string{"/etc/my.json", "Expecting value"}},
		}},
	{code: "recipe_error", who: ops, in: "file", re: lazyregexp.New(`is not an absolute path|must be (?:an absolute|provided|set|a |formed as)|Must (?:provide|not specify)|[Oo]nly one of|is not a valid|not both|is required|cannot be used|is not (?:permitted|allowed|supported)|(?:can not|cannot) combine|serializer could not be found|template format \S+ is not supported|Refusing to|Mode was not defined|Unknown mode|(?:Neither|Specify (?:only|either)) |was (?:not )?supplied|not supplied|Content can only be empty|Unable to hard link (?:from|to|into) ?directory|limited to |[Ii]nvalid (?:source|format|re flag|path|mode|option)|On insert either|unknown encoding|is not a string|appears to be binary|Failed to change mode|options are not allowed|Node type unavailable|Cannot specify both|not a salt:|must be a salt:|No text supplied|merge_if_exists`), refine: recipeLine,
		sentence: `The recipe's step "{step}" for "{name}" is not right: {line}`, next: askOpsRecipe,
		samples: []sample{
			{step: "file.managed etc/x.conf", says: "Specified file etc/x.conf is not an absolute path", names: []string{"etc/x.conf"}},
			{step: "file.recurse /srv/site", says: "'mode' is not allowed in 'file.recurse'. Please use 'file_mode' and 'dir_mode'.", names: []string{"/srv/site", "mode"}},
			{step: fileStep, says: "Unable to manage file: Specified template format makoo is not supported", names: []string{"makoo"}},
			{step: "file.absent /", says: `Refusing to make "/" absent`, names: []string{"/"}},
			{step: "file.line /etc/my.ini", says: "Mode was not defined. How to process the file?", names: []string{"/etc/my.ini", "Mode"}},
			{step: "file.serialize /etc/my.json", says: "The jsonn serializer could not be found. It either does not exist or its prerequisites are not installed.", names: []string{"jsonn"}},
			{step: "file.recurse /srv/site", says: "Recurse failed: Invalid source '/srv/x' (must be a salt:// URI)", names: []string{"/srv/x"}},
		}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(denied + `|Failed to change (?:user|group|attributes)|(?:Failed|Unable) to set ownership|but was unable to set ownership|not writable`), in: "file cron archive host hosts user group sysctl ssh_auth ini acl environ timezone locale mount logrotate x509", refine: withLine,
		sentence: `The server has no permission to change "{name}" (step "{step}"){line2}`, next: askOps, subject: "{name}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: [Errno 13] Permission denied", names: []string{"/etc/billing/app.toml", "permission"}},
			{step: fileStep, says: "Failed to change user to billing-svc", names: []string{"/etc/billing/app.toml", "billing-svc"}},
			{step: "sysctl.present kernel.panic", says: "Failed to set kernel.panic to 5: sysctl -w failed: sysctl: permission denied on key \"kernel.panic\"", names: []string{"kernel.panic"}},
			{step: "mount.mounted /srv/data", says: "mount: /srv/data: permission denied.", names: []string{"/srv/data"}},
		}},
}

// templateRecords are templates that cannot be filled in.
var templateRecords = []record{
	{code: "recipe_error", who: ops, in: "file cmd", re: lazyregexp.New(`Jinja variable '[^'\n]*(?:AliasedLoader|LazyLoader)[^'\n]*' has no attribute '(?P<fn>[^'\n]+)'(?:; line (?P<ln>\d+))?`), refine: atLine,
		sentence: `The template of "{name}" calls "{fn}"{at}, which this server does not know.`, next: askOpsRecipe, subject: "{fn} {name}",
		samples: []sample{{step: fileStep, says: "Unable to manage file: Jinja variable 'salt.utils.templates.AliasedLoader object' has no attribute 'vault.read_secrets'; line 3\n\n---\nx    <======================\n---", names: []string{"vault.read_secrets", "line 3", "/etc/billing/app.toml"}}}},
	{code: "template_value_missing", who: ops, re: lazyregexp.New(`Jinja variable (?P<what>.+?)(?:; line (?P<ln>\d+)|\n|$)`), in: "file cmd", refine: templateValue,
		sentence: `The file "{name}" needs the setting "{key}", which has no value{at}.`, next: askSettings, subject: "{key} {name}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: Jinja variable 'smtp_host' is undefined; line 2\n\n---\nx    <======================\n---", names: []string{"smtp_host", "line 2", "/etc/billing/app.toml"}},
			{step: fileStep, says: "Unable to manage file: Jinja variable 'dict object' has no attribute 'smtp_host'; line 2", names: []string{"smtp_host", "line 2"}},
			{step: "file.recurse /srv/site", says: "\n#### /srv/site/page.html ####\nUnable to manage file: Jinja variable 'zone' is undefined; line 3\n\n---\n{{ zone }} <======================\n---", names: []string{"zone", "page.html"}},
		}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Jinja (?:syntax )?error: (?P<reason>[^\n]+?)(?:; line (?P<ln>\d+)|\n|$)`), in: "file cmd cron pkgrepo debconf", refine: jinjaError,
		sentence: `The template of "{name}" has an error: {reason}{at}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{
			{step: fileStep, says: "Unable to manage file: Jinja syntax error: Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'.; line 2\n\n---\nx", names: []string{"/etc/billing/app.toml", "Unexpected end of template", "line 2"}},
			{step: fileStep, says: "Unable to manage file: Jinja error: integer division or modulo by zero\nTraceback (most recent call last):\n  File \"x\", line 1, in y\nZeroDivisionError: integer division or modulo by zero\n\n; line 1\n\n---\nx", names: []string{"/etc/billing/app.toml", "division"}},
			{step: fileStep, says: "Unable to manage file: Jinja error: billing/head.toml\nTraceback (most recent call last):\n  File \"x\", line 1, in y\njinja2.exceptions.TemplateNotFound: billing/head.toml\n\n; line 1\n\n---\nx", names: []string{"/etc/billing/app.toml", `includes "billing/head.toml"`, "missing"}},
		}},
	{code: "recipe_error", who: ops, in: "file", re: lazyregexp.New(`(?i)(?:Failed to render|template) .*error|Unable to manage file: (?:Mako|Undefined)|Problem running salt function in Jinja template: (?P<reason>[^\n]+?)(?:; line (?P<ln>\d+)|$|\n)`), sentence: `The template of "{name}" has an error: {line}{at}`, next: askOpsRecipe, refine: func(f *failure, x *finding) {
		commentLine(f, x)
		atLine(f, x)
		if r := f.vars["reason"]; r != "" {
			f.vars["line"] = r
		}
		f.vars["line"] = strings.TrimPrefix(f.vars["line"], "Unable to manage file: ")
	},
		samples: []sample{{step: fileStep, says: "Unable to manage file: Problem running salt function in Jinja template: Failed to read secret! KeyError: 'vault'; line 1\n\n---\nx", names: []string{"/etc/billing/app.toml", "Failed to read secret"}}}},
}

// archiveRecords are downloads and archives.
var archiveRecords = []record{
	{code: "archive_failed", who: retry, in: "archive", re: lazyregexp.New(`(?i)(?:connection refused|timed out|name or service not known|temporary failure|unreachable|reset by peer|HTTP 5\d\d|no route to host|could not resolve)`), refine: archive,
		sentence: `The archive "{src}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}",
		samples: []sample{{step: archiveStep, says: "Failed to cache https://cdn.acme.io/app.tgz: Error: [Errno 111] Connection refused reading /app.tgz", names: []string{"app.tgz"}}}},
	{code: "archive_failed", who: ops, in: "archive", re: lazyregexp.New(`archive\.(?P<tool>cmd_unzip|unrar|tar) function not available|(?P<t2>tar|rar|unzip) command not available|'(?P<t3>tar)' command not available|install (?P<t4>XZ Utils|xz-utils)[^\n]*\z`), when: func(f *failure) bool { return !strings.Contains(f.comment, "Unable to list contents") }, refine: func(f *failure, _ *finding) {
		f.vars["tool"] = strings.TrimPrefix(coalesce(f, "tool", "t2", "t3", "t4"), "cmd_")
	}, sentence: `The archive for "{name}" could not be unpacked: the server may lack the program for it ({tool}).`, next: askOps, subject: "{tool}",
		samples: []sample{
			{step: archiveStep, says: "archive.cmd_unzip function not available, unzip might not be installed on minion", names: []string{"/opt/billing", "unzip"}},
			{step: archiveStep, says: "tar command not available, it might not be installed on minion", names: []string{"/opt/billing", "tar"}},
		}},
	{code: "archive_failed", who: ops, in: "archive", re: lazyregexp.New(`Archive does not have a single top-level directory`), sentence: `The archive for "{name}"{src} holds more than one folder at its top, and the recipe does not allow that (step "{step}").`, refine: archiveAt, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: archiveStep, says: "Archive does not have a single top-level directory. To allow this archive to be extracted, set 'enforce_toplevel' to False. To avoid a 'tar-bomb' it may also be advisable to set a top-level directory by adding it to the 'name' value (for example, setting 'name' to /opt/billing/some_dir instead of /opt/billing/).", names: []string{"/opt/billing"}}}},
	{code: "recipe_error", who: ops, in: "archive", re: lazyregexp.New(`Invalid archive_format '(?P<kind>[^'\n]*)'`), sentence: `The recipe's step "{step}" unpacks an archive of a kind that there is not: "{kind}".`, next: askOpsRecipe, subject: "{kind}",
		samples: []sample{{step: archiveStep, says: "Invalid archive_format 'rarx'. Either set it to a supported value (tar, rar, zip) or remove this argument and the archive format will be guessed based on file extension.", names: []string{"rarx"}}}},
	{code: "recipe_error", who: ops, in: "archive", re: lazyregexp.New(`is not an absolute path|Could not guess archive_format|[Oo]nly one of|cannot be set to|argument is only|must be (?:set|within|a |True)|Invalid (?:source|value)|needs to be specified|is not supported`), when: func(f *failure) bool {
		return !re(`contents of |Additional info|workarounds must be used`).MatchString(f.comment)
	}, refine: commentLine, sentence: `The recipe's step "{step}" that unpacks to "{name}" is not right: {line}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{
			{step: "archive.extracted opt/billing", says: "opt/billing is not an absolute path", names: []string{"opt/billing"}},
			{step: archiveStep, says: "Could not guess archive_format from the value of the 'source' argument. Please set this archive_format to one of the following: tar, rar, zip", names: []string{"/opt/billing", "archive_format"}},
		}},
	{code: "path_missing", who: ops, in: "archive", re: lazyregexp.New(`^(?P<path>/[^\n]+?) exists and is not a directory`), sentence: `"{path}" is something else than the recipe expects (step "{step}").`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{{step: archiveStep, says: "/opt/billing exists and is not a directory", names: []string{"/opt/billing"}}}},
	{code: "archive_failed", who: ops, in: "archive", re: lazyregexp.New(`are the incorrect type|were the incorrect type`), sentence: `The archive for "{name}" could not be unpacked: files on the server stand where it has folders, or the other way round (step "{step}").`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: archiveStep, says: "The below paths (relative to /opt/billing) exist, but are the incorrect type (file instead of directory, symlink instead of file, etc.). To proceed with extraction, set 'force' to True. Note that this will remove these paths before extracting.\n\n- bin", names: []string{"/opt/billing"}}}},
	{code: "archive_failed", who: ops, in: "archive", re: lazyregexp.New(`(?i)HTTP 40[04]|HTTP 410|source[^\n]* not found|does not exist|Unable to cache|Failed to cache salt://|No such file`), refine: archive,
		sentence: `The archive "{src}" does not exist where the recipe looks for it.`, next: askOps, subject: "{src}",
		samples: []sample{
			{step: archiveStep, says: "Source file '/opt/dl/app.tgz' does not exist", names: []string{"/opt/dl/app.tgz"}},
			{step: archiveStep, says: "Failed to cache salt://dl/app.tgz, check server log for more information", names: []string{"dl/app.tgz"}},
			{step: archiveStep, says: "Failed to cache https://cdn.acme.io/app.tgz: Error: HTTP 404: Not Found reading /app.tgz", names: []string{"app.tgz"}},
		}},
	{code: "archive_failed", who: ops, in: "archive", refine: archive,
		sentence: `The archive "{src}" could not be unpacked: {line}`, next: askOps, subject: "{src}",
		samples: []sample{
			{step: archiveStep, says: "/var/cache/salt/minion/extrn_files/base/cdn.acme.io/app.zip is not a ZIP file", names: []string{"app.zip", "no ZIP file"}},
			{step: archiveStep, says: "Uncaught exception 'Compressed file ended before the end-of-stream marker was reached' when listing contents of /var/cache/salt/minion/extrn_files/base/cdn.acme.io/app.tgz", names: []string{"app.tgz", "Compressed file ended"}},
			{step: archiveStep, says: "Archive https://cdn.acme.io/app.zip is password-protected, but no password was specified. Please set the 'password' argument.", names: []string{"app.zip", "password-protected"}},
		}},
}

// archiveAt names the archive itself, where the comment tells it.
func archiveAt(f *failure, _ *finding) {
	f.vars["src"] = ""
	if u := first(f.comment, `(?:https?|ftp|salt|s3)://[^\s'",]+`); u != "" {
		f.vars["src"] = ` ("` + strings.TrimSuffix(u, ".") + `")`
	}
}

// editLine is why a file could not be edited.
func editLine(f *failure, x *finding) {
	commentLine(f, x)
	l := strings.TrimPrefix(f.vars["line"], "Encountered error managing block: ")
	f.vars["line"] = strings.TrimSuffix(strings.TrimSuffix(l, ". See the log for details."), ".")
}

// recipeLine is why a recipe was refused, without what Salt calls its parts.
func recipeLine(f *failure, x *finding) {
	commentLine(f, x)
	l := f.vars["line"]
	for _, lead := range []string{"Unable to manage file: ", "Unable to manage file: ", "Recurse failed: "} {
		l = strings.TrimPrefix(l, lead)
	}
	f.vars["line"] = strings.ReplaceAll(l, "must be a salt:// URI", "it is none of the recipes' files")
}

// withLine adds what was said, where that is more than that it is forbidden.
func withLine(f *failure, x *finding) {
	commentLine(f, x)
	f.vars["line2"] = "."
	if l := f.vars["line"]; strings.HasPrefix(l, "Failed to ") {
		f.vars["line2"] = ": " + l
	}
}

// jinjaError takes the reason out of a template's error.
func jinjaError(f *failure, x *finding) {
	atLine(f, x)
	if strings.Contains(f.comment, "TemplateNotFound") {
		f.vars["reason"] = missingInclude(f.vars["reason"])
	}
	if ln := first(f.comment, `(?m)^; line \d+`); f.vars["at"] == "" && ln != "" {
		f.vars["at"] = " (" + strings.TrimPrefix(ln, "; ") + ")"
	}
}

func anyPath(f *failure, _ *finding) {
	coalesce(f, "path", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15", "p16", "p17", "p18", "p19", "p20", "p21")
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
	if strings.Contains(f.vars["path"], "://") {
		f.vars["path"], _, _ = strings.Cut(f.vars["path"], "?")
	}
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

func atLine(f *failure, _ *finding) {
	f.vars["at"] = ""
	if f.vars["ln"] != "" {
		f.vars["at"] = " (line " + f.vars["ln"] + ")"
	}
}

func templateValue(f *failure, x *finding) {
	atLine(f, x)
	if all := re(`(?m)^#### (.+) ####$`).FindAllStringSubmatch(f.comment, -1); len(all) == 1 {
		f.vars["name"] = all[0][1] // one file of a folder
	}
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

func source(f *failure, _ *finding) {
	src := coalesce(f, "src", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12")
	src = strings.TrimPrefix(strings.Trim(src, `"',:.`), "salt://")
	src, _, _ = strings.Cut(src, "?saltenv=")
	if src == "" {
		src = f.vars["name"]
	}
	f.vars["src"] = src
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
	case strings.Contains(f.comment, "Directory not present to touch"):
		f.vars["path"] = path.Dir(name)
		f.vars["state"] = `, the folder of "` + path.Base(name) + `", does not exist on the server`
	case re(`exists where the (?:symlink|hard link|backup)`).MatchString(f.comment):
		f.vars["state"] = "is taken: a file or folder stands where a link should be"
	case re(`^Specified path [^\n]+ exists$`).MatchString(f.comment):
		f.vars["state"] = "is on the server, and the recipe says that it must not be"
	case re(`exists and (?:is|has)|must be a directory|on a binary file|Errno 2[01]`).MatchString(f.comment) || re(`^Specified target [^\n]+ is a directory`).MatchString(f.comment) || re(`is not a (?:directory|file)`).MatchString(f.comment):
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
