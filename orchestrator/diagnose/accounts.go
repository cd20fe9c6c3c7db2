package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// accountRecords are users and groups.
var accountRecords = []record{
	{code: "account_setup_failed", who: ops, in: "user group", re: lazyregexp.New(`The following group\(s\) are not present: (?P<grp>.+)`), refine: groups, sentence: `The account "{name}" could not be set up: the group "{grp}" does not exist.`, next: askOps, subject: "{grp}",
		samples: []sample{{step: "user.present deploy", says: "The following group(s) are not present: docker-users,web", names: []string{"deploy", "docker-users, web"}}}},
	{code: "account_setup_failed", who: ops, in: "user group", re: lazyregexp.New(`Group (?P<grp>\S+) is not present but gid (?P<gid>\d+) is already taken by group (?P<other>\S+)`), sentence: `The group "{grp}" could not be made: its number {gid} belongs to the group "{other}".`, next: askOps, subject: "{grp}",
		samples: []sample{{step: "group.present web", says: "Group web is not present but gid 33 is already taken by group www-data", names: []string{"web", "33", "www-data"}}}},
	{code: "account_setup_failed", who: ops, in: "user group", re: lazyregexp.New(`Failed to (?P<what>create new|remove) (?:user|group) (?P<user>.+)`), refine: func(f *failure, x *finding) {
		if f.vars["what"] == "remove" {
			x.sentence = `The account "{user}" could not be removed.`
		}
	}, sentence: `The account "{user}" could not be created.`, next: askOps, subject: "{user}",
		samples: []sample{
			{step: "user.present bad name", says: "Failed to create new user bad name", names: []string{"bad name", "created"}},
			{step: "group.absent web", says: "Failed to remove group web", names: []string{"web", "removed"}},
		}},
	{code: "account_setup_failed", who: ops, in: "user group", refine: commentLine, sentence: `The account "{name}" could not be set up: {line}`, next: askOps, subject: "{name} {line}",
		samples: []sample{
			{step: "user.present deploy", says: "Encountered error checking for needed changes. Additional info follows:\n\n- Changing uid (0 -> 77) not permitted, set allow_uid_change to True to force this change. Note that this will not change file ownership.", names: []string{"deploy", "Changing uid"}},
			{step: "user.present deploy", says: "These values could not be changed: {'shell': '/bin/zsh'}", names: []string{"deploy", "/bin/zsh"}},
			{step: "group.present web", says: "Group web has been created but, some changes could not be applied", names: []string{"web"}},
		}},
	{code: "git_host_unknown", who: ops, in: "ssh_known_hosts", re: lazyregexp.New(`Unable to receive remote host keys|none of their fingerprints match|Remote host public keys? (?:not )?found`), refine: commentLine, sentence: `The SSH key of the host "{name}" could not be learned: {line}`, next: askOps, subject: "{name}",
		samples: []sample{
			{step: "ssh_known_hosts.present git.acme.io", says: "Unable to receive remote host keys", names: []string{"git.acme.io"}},
			{step: "ssh_known_hosts.present git.acme.io", says: "Remote host public keys found but none of their fingerprints match the one you have provided", names: []string{"git.acme.io", "fingerprints"}},
		}},
	{code: "recipe_error", who: ops, in: "ssh_auth ssh_known_hosts", re: lazyregexp.New(`If not specifying a|Specify either|Required argument|Invalid public ssh key|Incorrect encryption key type|encryption type \S+ is not supported|fingerprint_hash_type`), refine: commentLine, sentence: `The recipe's step "{step}" for the SSH key of "{name}" is not right: {line}`, next: askOpsRecipe, subject: "{step}",
		samples: []sample{
			{step: "ssh_known_hosts.present git.acme.io", says: `If not specifying a "user", specify an absolute "config".`, names: []string{"git.acme.io", "config"}},
			{step: "ssh_auth.present deploy-key", says: "Incorrect encryption key type 'ssh-foo'.", names: []string{"ssh-foo", sampleID}},
		}},
	{code: "account_setup_failed", who: ops, in: "ssh_auth ssh_known_hosts", refine: commentLine, sentence: `The SSH setup of step "{step}" for "{name}" failed: {line}`, next: askOps,
		samples: []sample{{step: "ssh_known_hosts.present git.acme.io", says: "Failed to hash the known hosts", names: []string{sampleID, "git.acme.io"}}}},
	{code: "permission_denied", who: ops, in: "cron", re: lazyregexp.New(`are not allowed to use this program`), sentence: `The timed job "{name}" was refused: its user may have none (step "{step}").`, next: askOps, subject: "{name}",
		samples: []sample{{step: "cron.present /opt/trim", says: "Cron /opt/trim for user keeper failed to commit with error \nYou (keeper) are not allowed to use this program (crontab)\nSee crontab(1) for more information\n", names: []string{"/opt/trim"}}}},
	{code: "recipe_error", who: ops, in: "cron", re: lazyregexp.New(`failed to commit with error\s*\n?(?P<line>[^\n]+)|Unable to update user \S+ crontab [^\n]*?Error: (?P<line2>[^\n]+)`), refine: func(f *failure, _ *finding) {
		coalesce(f, "line", "line2")
		f.vars["line"] = re(`^"[^"]*":(\d+): `).ReplaceAllString(f.vars["line"], "line $1: ")
	}, sentence: `The timed job "{name}" was refused: {line}`, next: askOpsRecipe,
		samples: []sample{
			{step: "cron.present /opt/trim", says: "Cron /opt/trim for user root failed to commit with error \n\"/tmp/__salt.tmp.abc\":5: bad hour\nerrors in crontab file, can't install.\n", names: []string{"/opt/trim", "bad hour"}},
		}},
}

func user(f *failure, _ *finding) {
	u := coalesce(f, "user", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12")
	f.vars["user"] = strings.TrimSpace(strings.Trim(u, `'"`))
}

func groups(f *failure, x *finding) {
	if strings.Contains(f.vars["grp"], ",") {
		f.vars["grp"] = strings.Join(strings.FieldsFunc(f.vars["grp"], func(r rune) bool { return r == ',' || r == ' ' }), ", ")
		x.sentence = `The account "{name}" could not be set up: the groups "{grp}" do not exist.`
	}
}
