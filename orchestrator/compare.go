package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// commitsNamed is how many of the commits between are named.
const commitsNamed = 5

// Commit is one commit of a repository. Author and Subject are what others have
// written.
type Commit struct {
	ID      string `json:"id"`
	Author  string `json:"author"`
	Subject string `json:"subject"`
}

// Historian knows what came between two commits of an app's repository: how
// many commits to has that from has not, and the newest of them, newest first.
// It refuses where to does not come after from.
type Historian interface {
	Between(ctx context.Context, app App, from, to string, most int) (commits []Commit, total int, err error)
}

// Works knows which commits have gone well.
type Works interface {
	// LastGood gives the commit of a branch of an app that was deployed last
	// with success, anywhere; empty for none.
	LastGood(ctx context.Context, app, branch string) (commit string, err error)
	// GoodNow gives the name of another environment whose app is ready at this
	// commit; empty for none.
	GoodNow(ctx context.Context, app, commit, exceptServer string) (environment string, err error)
}

// Compared is what a failure has to do with the code: the commit of the same
// branch that it went well with and what came since; or where the same commit
// goes well.
type Compared struct {
	Worked      string   `json:"worked,omitempty"`
	Commits     []Commit `json:"commits,omitempty"`
	Total       int      `json:"total,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Sentence    string   `json:"sentence"`
}

// ofCode are the codes of failures that the app's own code can be the reason of.
var ofCode = []string{"command_failed", "health_failed", "python_dependency", "node_dependency"}

// compare says of what failed because of the code, as it seems, with which
// commit of the same branch it went well, and what came since. What cannot be
// found out is left out.
func (r *run) compare(ctx context.Context, d *Diagnosis) {
	if r.Works == nil {
		return
	}
	for i := range d.Causes {
		c := &d.Causes[i]
		j := slices.IndexFunc(r.env.Servers, func(v Server) bool { return nameOf(v) == c.Server })
		if c.Who != "developer" || !slices.Contains(ofCode, c.Code) || j < 0 || r.env.Servers[j].Commit == "" {
			continue
		}
		v := r.env.Servers[j]
		a, ok := r.Catalogs.Current().App(v.App)
		if !ok {
			continue
		}
		if where, err := r.Works.GoodNow(ctx, v.App, v.Commit, v.ID); err == nil && where != "" {
			c.Compared = &Compared{Environment: where, Sentence: fmt.Sprintf("The same commit, %s, works in %s: it is likely not the code.", v.Commit[:min(len(v.Commit), 10)], where)}
			continue
		}
		// What the server has is no answer: code that never came up lies there, too.
		worked, err := r.Works.LastGood(ctx, v.App, v.Branch)
		if err != nil {
			continue
		}
		switch worked {
		case "":
			continue
		case v.Commit:
			c.Compared = &Compared{Worked: worked, Sentence: fmt.Sprintf("It worked with the same commit, %s, before: it is likely not the code.", short(worked))}
			continue
		}
		x := &Compared{Worked: worked, Sentence: fmt.Sprintf("It worked with %s of the same branch.", short(worked))}
		if r.History != nil {
			x.Commits, x.Total, _ = r.History.Between(ctx, a, worked, v.Commit, commitsNamed) // a help, and no more
			x.name(r.masks.of(a, r.Settings).text)
		}
		c.Compared = x
	}
}

// name adds the commits between to the sentence.
func (x *Compared) name(mask func(string) string) {
	if x.Total == 0 {
		return
	}
	var said []string
	for i := range x.Commits {
		c := &x.Commits[i]
		c.Author, c.Subject = cut(flat(mask(c.Author)), 40), cut(flat(mask(c.Subject)), 70)
		one := fmt.Sprintf("%s %q", short(c.ID), c.Subject)
		if c.Author != "" {
			one += " (" + c.Author + ")"
		}
		said = append(said, one)
	}
	since := "1 commit since"
	if x.Total > 1 {
		since = fmt.Sprintf("%d commits since", x.Total)
	}
	if x.Total > len(said) {
		since += fmt.Sprintf(", the newest %d", len(said))
	}
	x.Sentence = strings.TrimSuffix(x.Sentence, ".") + "; " + since + ": " + strings.Join(said, ", ") + "."
}

func short(commit string) string { return commit[:min(len(commit), 10)] }
