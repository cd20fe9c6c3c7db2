package branch

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	api "github.com/google/go-github/v60/github"

	"github.com/berth-dev/berth/orchestrator"
)

var _ orchestrator.Historian = (*Checker)(nil)

// errNotAfter is a commit that does not come after the other one.
var errNotAfter = errors.New("it does not come after that commit")

// Between tells what came after from, up to and with to: the newest commits, at
// most so many, and the number of all. It asks the repository itself, as the
// branch check does: servers may have no copy of it any more, and an app's
// repository is asked in one way whether it is on GitHub or elsewhere.
func (c *Checker) Between(ctx context.Context, app orchestrator.App, from, to string, most int) ([]orchestrator.Commit, int, error) {
	if !fullID.MatchString(from) || !fullID.MatchString(to) {
		return nil, 0, errNoCommit
	}
	k := c.check(app)
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	commits, total, err := k.between(inner, from, to, most)
	return commits, total, k.finish(ctx, inner, err)
}

func (r *gitRepository) between(ctx context.Context, from, to string, most int) (commits []orchestrator.Commit, total int, err error) {
	dir, err := r.history(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	git := func(args ...string) (string, error) {
		out, _, err := r.git.run(ctx, r.repo, func(string) []string { return append([]string{"-C", dir}, args...) })
		return string(out), err
	}
	if _, err := git("merge-base", "--is-ancestor", from, to); err != nil {
		return nil, 0, errNotAfter
	}
	n, err := git("rev-list", "--count", from+".."+to)
	if err != nil {
		return nil, 0, err
	}
	if total, err = strconv.Atoi(strings.TrimSpace(n)); err != nil {
		return nil, 0, err
	}
	out, err := git("log", "-z", "--no-show-signature", "--max-count="+strconv.Itoa(most), "--format=%H%n%an%n%s", from+".."+to)
	if err != nil {
		return nil, 0, err
	}
	for _, one := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
		if parts := strings.SplitN(one, "\n", 3); len(parts) == 3 {
			commits = append(commits, orchestrator.Commit{ID: parts[0], Author: parts[1], Subject: strings.TrimSpace(parts[2])})
		}
	}
	return commits, total, nil
}

func (r *githubRepository) between(ctx context.Context, from, to string, most int) (commits []orchestrator.Commit, total int, err error) {
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	// The commits come oldest first: the newest are on the last pages.
	const page = 100
	var all []*api.RepositoryCommit
	for n := 1; ; {
		c, _, err := client.Repositories.CompareCommits(ctx, owner, repo, from, to, &api.ListOptions{PerPage: page, Page: n})
		if err != nil {
			return nil, 0, r.moved(ctx, client, err)
		}
		if c.GetStatus() != "ahead" {
			return nil, 0, errNotAfter
		}
		total = c.GetTotalCommits()
		all = append(all, c.Commits...)
		last := (total + page - 1) / page
		if n >= last {
			break
		}
		// The last page may have fewer than are wanted.
		n = max(n+1, last-1)
	}
	for i := len(all) - 1; i >= 0 && len(commits) < most; i-- {
		subject, _, _ := strings.Cut(all[i].GetCommit().GetMessage(), "\n")
		commits = append(commits, orchestrator.Commit{ID: all[i].GetSHA(), Author: all[i].GetCommit().GetAuthor().GetName(), Subject: strings.TrimSpace(subject)})
	}
	return commits, total, nil
}
