package diagnose

import "strings"

// accountRecords are users and groups.
var accountRecords = []record{
	{code: "account_setup_failed", who: ops, in: "user group", re: later(`The following group\(s\) are not present: (?P<grp>.+)`), refine: groups, sentence: `The account "{name}" could not be set up: the group "{grp}" does not exist.`, next: askOps, subject: "{grp}"},
	{code: "account_setup_failed", who: ops, in: "user group", re: later(`Group (?P<grp>\S+) is not present but gid (?P<gid>\d+) is already taken by group (?P<other>\S+)`), sentence: `The group "{grp}" could not be made: its number {gid} belongs to the group "{other}".`, next: askOps, subject: "{grp}"},
	{code: "account_setup_failed", who: ops, in: "user group", re: later(`Failed to create new (?:user|group) (?P<user>.+)`), sentence: `The account "{user}" could not be created.`, next: askOps, subject: "{user}"},
	{code: "account_setup_failed", who: ops, in: "user group", refine: commentLine, sentence: `The account "{name}" could not be set up: {line}`, next: askOps, subject: "{name} {line}"},
	{code: "account_setup_failed", who: ops, in: "ssh_auth ssh_known_hosts", refine: commentLine, sentence: `The SSH setup of step "{step}" failed: {line}`, next: askOps},
	{code: "recipe_error", who: ops, in: "cron", re: later(`failed to commit with error\s*\n(?P<line>[^\n]+)`), sentence: `The timed job "{name}" was refused: {line}`, next: askOpsRecipe},
}

func user(f *failure, _ *finding) {
	u := coalesce(f, "user", "u2", "u3", "u4", "u5", "u6", "u7", "u8")
	f.vars["user"] = strings.TrimSpace(strings.Trim(u, `'"`))
}

func groups(f *failure, x *finding) {
	if strings.Contains(f.vars["grp"], ",") {
		f.vars["grp"] = strings.Join(strings.FieldsFunc(f.vars["grp"], func(r rune) bool { return r == ',' || r == ' ' }), ", ")
		x.sentence = `The account "{name}" could not be set up: the groups "{grp}" do not exist.`
	}
}
