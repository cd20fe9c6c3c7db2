package diagnose

import (
	"path"
	"strings"
)

// fileRecords are files and folders.
var fileRecords = []record{
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
}

// templateRecords are templates that cannot be filled in.
var templateRecords = []record{
	{code: "template_value_missing", who: ops, re: later(`Jinja variable (?P<what>.+?)(?:; line (?P<ln>\d+)|\n|$)`), in: "file cmd", refine: templateValue,
		sentence: `The file "{name}" needs the setting "{key}", which has no value{at}.`, next: askSettings, subject: "{key} {name}"},
	{code: "recipe_error", who: ops, re: later(`Jinja (?:syntax )?error: (?P<reason>[^\n]+?)(?:; line (?P<ln>\d+)|\n|$)`), refine: atLine,
		sentence: `The template of "{name}" has an error: {reason}{at}`, next: askOpsRecipe, subject: "{name}"},
	{code: "recipe_error", who: ops, in: "file", re: later(`(?i)(?:Failed to render|template) .*error|Unable to manage file: (?:Mako|Undefined)`), sentence: `The template of "{name}" has an error: {line}`, next: askOpsRecipe, refine: commentLine},
}

// archiveRecords are downloads and archives.
var archiveRecords = []record{
	{code: "archive_failed", who: retry, in: "archive", re: later(`(?i)(?:connection refused|timed out|name or service not known|temporary failure|unreachable|reset by peer|HTTP 5\d\d|no route to host|could not resolve)`), refine: archive,
		sentence: `The archive "{src}" could not be downloaded: its server can't be reached.`, next: tryAgain, subject: "{src}"},
	{code: "archive_failed", who: ops, in: "archive", re: later(`(?i)HTTP 40\d|source[^\n]* not found|does not exist|Unable to cache|Failed to cache salt://|No such file`), refine: archive,
		sentence: `The archive "{src}" does not exist where the recipe looks for it.`, next: askOps, subject: "{src}"},
	{code: "recipe_error", who: ops, in: "archive", re: later(`Invalid archive_format '(?P<kind>[^'\n]*)'`), sentence: `The recipe's step "{step}" unpacks an archive of a kind that there is not: "{kind}".`, next: askOpsRecipe, subject: "{kind}"},
	{code: "path_missing", who: ops, in: "archive", re: later(`^(?P<path>/\S+) exists and is not a directory`), sentence: `"{path}" is something else than the recipe expects (step "{step}").`, next: askOpsRecipe, subject: "{path}"},
	{code: "archive_failed", who: ops, in: "archive", refine: archive,
		sentence: `The archive "{src}" could not be unpacked: {line}`, next: askOps, subject: "{src}"},
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

func source(f *failure, _ *finding) {
	src := coalesce(f, "src", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
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
