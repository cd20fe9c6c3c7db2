package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// fresh looks once more at what a failure is about, where what was known when
// the operation was asked for may be so no more. Whoever cannot answer leaves
// the causes as they are.
func (r *run) fresh(ctx context.Context, d *Diagnosis) {
	if r.Checker == nil {
		return
	}
	for i := range d.Causes {
		c := &d.Causes[i]
		if c.Code != string(CodeBranchNotFound) && c.Code != string(CodeRevisionNotFound) {
			continue
		}
		j := slices.IndexFunc(r.env.Servers, func(v Server) bool { return nameOf(v) == c.Server })
		if j < 0 {
			continue
		}
		v := r.env.Servers[j]
		if !slices.ContainsFunc(r.op.Changes, func(ch Change) bool { return ch.App == v.App }) {
			continue // its branch was looked at for another operation
		}
		a, ok := r.Catalogs.Current().App(v.App)
		// A recipe may check out other repositories too.
		if !ok || v.Commit == "" || !strings.Contains(c.Sentence, v.Commit[:7]) && !strings.Contains(c.Sentence, `"`+v.Branch+`"`) {
			continue
		}
		r.gone(ctx, c, a, v)
	}
}

// gone says what has become of the branch and commit that a server did not
// find.
func (r *run) gone(ctx context.Context, c *Cause, a App, v Server) {
	branch, commit := cut(flat(v.Branch), 60), v.Commit[:10]
	seen := r.moment(r.op.CreatedAt)
	// What it is now tells it from others of its kind.
	say := func(what, who, sentence, next string) {
		c.Who, c.Sentence, c.Next, c.Telling = who, sentence, next, what+"\n"+c.Telling
	}
	deploy := func(ref string) string {
		return fmt.Sprintf("berth env deploy %s %s=%s", itself, a.Name, plainRef(ref))
	}

	now, err := r.Checker.Resolve(ctx, a, v.Branch)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code == CodeBranchNotFound && e.Subject.RenamedTo != "":
		say("renamed", "developer", fmt.Sprintf(`The branch "%s" of %s was renamed to "%s" after %s, when Berth last saw it.`, branch, a.Name, cut(flat(e.Subject.RenamedTo), 60), seen),
			deploy(e.Subject.RenamedTo))
		return
	case errors.As(err, &e) && e.Code == CodeBranchNotFound:
		say("deleted", "developer", fmt.Sprintf(`The branch "%s" of %s was deleted after %s, when Berth last saw it.`, branch, a.Name, seen),
			fmt.Sprintf("Push it again, then: berth env retry %s; or take another branch: %s", itself, deploy("BRANCH")))
		return
	case errors.As(err, &e) && v.Branch == v.Commit && (e.Code == CodeForkRefused || e.Code == CodeRevisionNotFound):
		say("lost", "developer", fmt.Sprintf(`The commit %s of %s is on no branch any more: it was on one at %s, when Berth last looked.`, commit, a.Name, seen),
			"Push it to a branch again, then: berth env retry "+itself+"; or take a branch: "+deploy("BRANCH"))
		return
	case err != nil || now.Branch != v.Branch:
		return
	}
	if now.Commit != v.Commit {
		_, err := r.Checker.Resolve(ctx, a, v.Commit)
		if errors.As(err, &e) && (e.Code == CodeForkRefused || e.Code == CodeRevisionNotFound) {
			say("rewritten", "developer", fmt.Sprintf(`The branch "%s" of %s was rewritten after %s: the commit %s, which was to be deployed, is on no branch any more.`, branch, a.Name, seen, commit),
				"Deploy what the branch has now: "+deploy(v.Branch))
			return
		}
		if err != nil {
			return
		}
	}
	say("elsewhere", "ops", fmt.Sprintf(`The branch "%s" of %s is there, with the commit %s, but the server does not find it in its repository.`, branch, a.Name, commit),
		"Send ops this message: the server reads another repository than Berth, an older copy of it, or as somebody who may not see the branch; after that: berth env retry "+itself)
}

// moment is a time of day, with the day where that is another one.
func (r *run) moment(t time.Time) string { return clock(t, r.Now()) }

func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04 MST")
	}
	return t.Format("2 Jan 15:04 MST")
}
