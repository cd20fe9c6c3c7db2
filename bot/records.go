package bot

import (
	"fmt"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
)

// Record is the help of one verb. The grammar takes verbs and synonyms from
// it, shells their completion, Slack its usage hints.
type Record struct {
	Noun     o.Noun
	Verb     o.Verb
	Synonyms []string
	Usage    string // what follows noun and verb
	Help     string // one line
	OpsOnly  bool
	Examples []string
}

// Records lists every verb of every noun, in the order of help.
var Records = []Record{
	{Noun: o.NounEnv, Verb: o.VerbCreate, Synonyms: []string{"new", "make", "add", "launch", "provision", "up"},
		Usage: "NAME [BLUEPRINT] app=branch… [ttl=3d] [size=small] [target=local]", Help: "Make an environment; apps that are not named take the catalog's branch",
		Examples: []string{"env create qa api=main web=feature/login", "env create qa shop web=#123 ttl=3d size=small", "new environment qa web=feature/login for 2 days"}},
	{Noun: o.NounEnv, Verb: o.VerbList, Synonyms: []string{"ls", "ps", "all"},
		Usage: "[mine]", Help: "List the environments, or only yours",
		Examples: []string{"env list", "env list mine", "list envs"}},
	{Noun: o.NounEnv, Verb: o.VerbShow, Synonyms: []string{"describe", "get", "info", "status", "inspect", "view", "details"},
		Usage: "NAME", Help: "Show an environment with all its servers",
		Examples: []string{"env show qa", "describe env qa"}},
	{Noun: o.NounEnv, Verb: o.VerbWhy, Synonyms: []string{"diagnose", "explain"},
		Usage: "NAME[/APP] [all|raw]", Help: "Say why an environment failed, and what to do",
		Examples: []string{"env why qa", "env why qa all", "env why qa/web raw"}},
	{Noun: o.NounEnv, Verb: o.VerbLogs, Synonyms: []string{"log", "tail", "output"},
		Usage: "NAME[/APP]", Help: "Show what the servers of an environment printed",
		Examples: []string{"env logs qa", "env logs qa/web"}},
	{Noun: o.NounEnv, Verb: o.VerbHistory, Synonyms: []string{"hist", "audit"},
		Usage: "NAME", Help: "List what was done to an environment, and by whom",
		Examples: []string{"env history qa"}},
	{Noun: o.NounEnv, Verb: o.VerbPlan, Synonyms: []string{"preview", "dry-run", "dryrun"},
		Usage: "NAME [BLUEPRINT] app=branch… [ttl=3d] [size=small] [target=local]", Help: "Say what create would make; nothing is changed",
		Examples: []string{"env plan qa shop web=feature/login"}},
	{Noun: o.NounEnv, Verb: o.VerbDeploy, Synonyms: []string{"redeploy", "rollout", "ship", "push", "put", "update", "upgrade"},
		Usage: "NAME [app=branch…]", Help: "Deploy branches; without apps the newest commits of the same branches",
		Examples: []string{"env deploy qa", "env deploy qa api=main web=hotfix/1.2.3", "redeploy env qa web=feature/login"}},
	{Noun: o.NounEnv, Verb: o.VerbRetry, Synonyms: []string{"rerun", "re-run"},
		Usage: "NAME", Help: "Do again what failed",
		Examples: []string{"env retry qa"}},
	{Noun: o.NounEnv, Verb: o.VerbRepair, Synonyms: []string{"heal"},
		Usage: "NAME", Help: "Make anew the servers whose machines are gone; the others stay",
		Examples: []string{"env repair qa"}},
	{Noun: o.NounEnv, Verb: o.VerbCancel, Synonyms: []string{"abort"},
		Usage: "NAME", Help: "Stop what is running or waiting for an environment",
		Examples: []string{"env cancel qa"}},
	{Noun: o.NounEnv, Verb: o.VerbDestroy, Synonyms: []string{"delete", "del", "remove", "rm", "terminate", "kill", "drop", "teardown", "nuke", "down"},
		Usage: "NAME", Help: "Destroy an environment with all its servers",
		Examples: []string{"env destroy qa", "terminate env qa"}},
	{Noun: o.NounEnv, Verb: o.VerbExtend, Synonyms: []string{"prolong", "renew", "lengthen", "postpone"},
		Usage: "NAME 2d", Help: "Let an environment live longer, by that much",
		Examples: []string{"env extend qa 2d", "extend qa by 36 hours"}},
	{Noun: o.NounEnv, Verb: o.VerbRename, Synonyms: []string{"mv"},
		Usage: "NAME NEW", Help: "Give an environment another name; its servers stay",
		Examples: []string{"env rename qa qa-old"}},

	{Noun: o.NounServer, Verb: o.VerbCreate,
		Usage: "APP BRANCH [name=NAME] [env=ENV] [size=small] [target=local] [ttl=3d]", Help: "Make one server, alone or in an environment",
		Examples: []string{"server create web feature/login", "server create web feature/login name=try-it ttl=1d", "server create api main env=qa"}},
	{Noun: o.NounServer, Verb: o.VerbList,
		Usage: "[app=APP] [mine]", Help: "List the servers, or only those of one app",
		Examples: []string{"server list", "server list app=web", "list servers"}},
	{Noun: o.NounServer, Verb: o.VerbShow,
		Usage: "NAME or ENV/APP", Help: "Show one server",
		Examples: []string{"server show web-main", "server show qa/web"}},
	{Noun: o.NounServer, Verb: o.VerbDeploy,
		Usage: "NAME or ENV/APP [BRANCH]", Help: "Deploy a branch to one server; without it the newest commit of the same branch",
		Examples: []string{"server deploy qa/web feature/login", "server deploy web-main", "server deploy web-main web=hotfix/1.2.3"}},
	{Noun: o.NounServer, Verb: o.VerbDestroy,
		Usage: "NAME or ENV/APP", Help: "Destroy one server",
		Examples: []string{"server destroy qa/web", "kill server web-main"}},
}

// keyHelp explains the keys of a verb's usage.
var keyHelp = map[string]string{
	"ttl=":      "how long it lives: 90m, 36h, 3d, 1d12h, 2w",
	"size=":     "a size of the catalog",
	"target=":   "where the servers run: a target of the catalog",
	"name=":     "the name of a server that stands alone",
	"env=":      "the environment that gets the server",
	"[all|raw]": "all: every step that failed and what it kept from running; raw: what the programs printed",
	"app=APP":   "only the servers of this app",
	"BRANCH":    "a branch, commit, #123 or the address of either on GitHub",
	"branch…":   "a branch, commit, #123 or the address of either on GitHub; put odd names in quotes",
}

// HasHelp reports whether noun has that verb, by any of its words.
func HasHelp(noun, verb string) bool {
	_, ok := recordOf(o.Noun(noun), verbs[strings.ToLower(verb)])
	return ok
}

// Help is the help for a verb, or for a noun when verb is empty or unknown, or
// for everything when noun is empty too.
func Help(noun, verb string) string {
	var b strings.Builder
	v := verbs[strings.ToLower(verb)]
	for _, r := range Records {
		if string(r.Noun) == noun && r.Verb == v && v != "" {
			r.write(&b)
			return b.String()
		}
	}
	b.WriteString("Berth gives every branch a place to run.\n")
	for _, n := range []o.Noun{o.NounEnv, o.NounServer} {
		if noun != "" && noun != string(n) {
			continue
		}
		b.WriteByte('\n')
		for _, r := range Records {
			if r.Noun == n {
				fmt.Fprintf(&b, "  %s\n      %s%s\n", strings.TrimSpace(string(r.Noun)+" "+string(r.Verb)+" "+r.Usage), r.Help, r.ops())
			}
		}
	}
	b.WriteString("\nNames are lower-case letters, digits and dashes. A server in an environment is ENV/APP.\n")
	return b.String()
}

func (r Record) ops() string {
	if r.OpsOnly {
		return " (ops only)"
	}
	return ""
}

func (r Record) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s%s.\n\nUsage:\n  %s\n", r.Help, r.ops(), strings.TrimSpace(string(r.Noun)+" "+string(r.Verb)+" "+r.Usage))
	width, rows := 0, [][2]string{}
	for _, key := range []string{"branch…", "BRANCH", "ttl=", "size=", "target=", "name=", "env=", "app=APP", "[all|raw]"} {
		if strings.Contains(r.Usage, key) {
			rows, width = append(rows, [2]string{key, keyHelp[key]}), max(width, len(key))
		}
	}
	if len(rows) > 0 {
		b.WriteByte('\n')
	}
	for _, row := range rows {
		fmt.Fprintf(b, "  %-*s  %s\n", width, row[0], row[1])
	}
	b.WriteString("\nExamples:\n")
	for _, e := range r.Examples {
		fmt.Fprintf(b, "  %s\n", e)
	}
	if s := synonymsOf(r.Verb); len(s) > 0 {
		fmt.Fprintf(b, "\nAlso understood: %s\n", strings.Join(s, ", "))
	}
}

// synonymsOf gives a verb's other words; a verb of both nouns has one set.
func synonymsOf(v o.Verb) []string {
	for _, r := range Records {
		if r.Verb == v && len(r.Synonyms) > 0 {
			return r.Synonyms
		}
	}
	return nil
}

// recordOf finds the record of a verb for a noun.
func recordOf(noun o.Noun, verb o.Verb) (Record, bool) {
	for _, r := range Records {
		if r.Noun == noun && r.Verb == verb {
			return r, true
		}
	}
	return Record{}, false
}

// verbs maps every word for a verb to it.
var verbs = func() map[string]o.Verb {
	m := map[string]o.Verb{"help": o.VerbHelp, "usage": o.VerbHelp, "commands": o.VerbHelp, "-h": o.VerbHelp, "--help": o.VerbHelp}
	for _, r := range Records {
		m[string(r.Verb)] = r.Verb
		for _, s := range r.Synonyms {
			m[s] = r.Verb
		}
	}
	return m
}()

// VerbOf gives the verb that a word stands for, as the grammar takes it.
func VerbOf(word string) (o.Verb, bool) {
	v, ok := verbs[strings.ToLower(strings.TrimSpace(word))]
	return v, ok
}
