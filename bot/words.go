package bot

import (
	"cmp"
	"slices"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	nouns = map[string]o.Noun{
		"env": o.NounEnv, "envs": o.NounEnv, "environment": o.NounEnv, "environments": o.NounEnv,
		"server": o.NounServer, "servers": o.NounServer, "machine": o.NounServer, "machines": o.NounServer,
	}
	plurals = set("envs environments servers machines")

	// greetings may stand before noun and verb and mean nothing there. None of
	// them turns a sentence round: "don't" and "never" are not among them.
	greetings = set("hey hi hello please pls plz kindly do can could would will you i we want need to let's lets let us me my our the a an another just ok okay berth give gimme like i'd")
	// wishes say that something is to be made, if no verb does.
	wishes = set("need want give gimme like")
	// fillers mean nothing anywhere; a name that is one needs quotes.
	fillers = set("please pls plz kindly my the our me and thanks thx")
	// prepositions order words; which of them a verb can take is its own matter.
	prepositions = set("to on onto in into for from of by with at using")
	// articles may stand between a verb and its noun.
	articles = set("a an new another")

	// reservedKeys may be no app's name.
	reservedKeys = set("ttl size name env app target")

	// phrases are verbs of two words.
	phrases = map[string]o.Verb{
		"spin up": o.VerbCreate, "set up": o.VerbCreate, "bring up": o.VerbCreate, "stand up": o.VerbCreate,
		"tear down": o.VerbDestroy, "take down": o.VerbDestroy, "get rid": o.VerbDestroy, "roll out": o.VerbDeploy,
		"what's wrong": o.VerbWhy, "whats wrong": o.VerbWhy, "what happened": o.VerbWhy, "what failed": o.VerbWhy,
	}
	// settingVerbs would write what belongs to ops.
	settingVerbs = set("set unset setenv config configure configuration export secret secrets setting settings edit var vars variable variables dotenv .env")
	// unclear verbs could mean either of two; none is guessed.
	unclear = map[string]string{
		"stop": "env cancel stops what is being done, env destroy ends an environment", "halt": "env cancel stops what is being done, env destroy ends an environment",
		"shutdown": "env destroy ends an environment", "start": "env create makes an environment, env deploy deploys to one", "build": "env create makes an environment, env deploy deploys to one",
		"run": "env create makes an environment, env deploy deploys to one", "restart": "env deploy deploys the newest commits again, env retry does again what failed",
		"reboot": "env deploy deploys the newest commits again, env retry does again what failed", "move": "env rename gives another name", "release": "env deploy deploys, env destroy ends",
		"rollback": "env history NAME shows the commits that ran before, env deploy NAME app=COMMIT goes back", "revert": "env history NAME shows the commits that ran before, env deploy NAME app=COMMIT goes back",
		"undo": "env history NAME shows the commits that ran before, env deploy NAME app=COMMIT goes back",
	}
	// terminalFlags belong to the berth program; in a message they are harmless.
	terminalFlags = set("yes y json detach d follow f all")
	// shouted keys are settings of a program and no apps, even without "_".
	shouted = set("PORT DEBUG TOKEN SECRET PASSWORD PASSWD KEY HOST URL DSN PATH USER LANG TZ HOME SHELL")

	// lifetimes are keys that people use for ttl.
	lifetimes = set("lifetime expire expires expiry duration for until")

	mine = set("mine me @me own my")

	// everything would be meant by these; no change takes more than one.
	everything = set("all any every everything everyone mine")
	// turns of a sentence change what it asks for: nothing is offered then.
	turns = set("don't dont not never no nor without except but unless if when only instead tomorrow tonight later after before once until")
)

// reservedName reports whether a new environment may not be called name.
func reservedName(name string) bool {
	if reservedKeys[name] || name == string(o.VerbHelp) {
		return true
	}
	if _, ok := nouns[name]; ok {
		return true
	}
	for _, r := range Records {
		if string(r.Verb) == name {
			return true
		}
	}
	return false
}

// distance is the number of single edits between two words, a swap of
// neighbours counting as one.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, prev, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(y)]
}

// near reports whether word may be a mistyped known: one edit, or two from six
// characters on. Short words are too close to one another to guess.
func near(word, known string) (int, bool) {
	if len(known) < 3 || len(word) < 3 {
		return 0, false
	}
	d := distance(word, known)
	return d, d == 1 || d == 2 && len(word) >= 6
}

// nearestVerbs gives the verbs that word may be a mistyping of: those at the
// smallest distance, without repeats.
func nearestVerbs(word string) []o.Verb {
	best, found := 3, []o.Verb{}
	seen := map[o.Verb]bool{}
	for known, v := range verbs {
		d, ok := near(word, known)
		if !ok || d > best || strings.HasPrefix(known, "-") {
			continue
		}
		if d < best {
			best, found = d, nil
			seen = map[o.Verb]bool{}
		}
		if !seen[v] {
			seen[v] = true
			found = append(found, v)
		}
	}
	// The verbs' own words come before their synonyms.
	slices.SortFunc(found, func(a, b o.Verb) int {
		return cmp.Or(cmp.Compare(distance(word, string(a)), distance(word, string(b))), cmp.Compare(a, b))
	})
	return found
}

func nearestNoun(word string) (o.Noun, bool) {
	best, noun := 3, o.Noun("")
	for known, n := range nouns {
		if d, ok := near(word, known); ok && (d < best || d == best && n < noun) {
			best, noun = d, n
		}
	}
	return noun, noun != ""
}
