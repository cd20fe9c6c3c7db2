// Package branch checks what a person typed for an app's branch and pins it to
// a commit before anything is stored or made: repositories on GitHub through
// its API, every other one through git itself. A commit is taken only if a
// branch of the repository contains it, and a pull request only if it comes
// from the repository itself: a stranger's code must not meet ops' settings.
package branch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// Options are the settings of a Checker; all may be left out.
type Options struct {
	// GitHubAPIURL is the base of GitHub's API, used as it is. The default is
	// the public one.
	GitHubAPIURL string
	// Token is a GitHub token. Without it AppID and AppKeyFile, the path of a
	// PEM file, make Berth speak as a GitHub App.
	Token      string
	AppID      string
	AppKeyFile string
	// HTTPClient carries the requests to GitHub.
	HTTPClient *http.Client
	// Git is the path of git.
	Git string
	// Timeout bounds each check; the default is 20 s.
	Timeout time.Duration
	Now     func() time.Time
}

// remembered is how long Branches answers from memory: long enough for
// somebody pressing Tab, short enough for a branch that was just pushed.
const remembered = 15 * time.Second

// Checker resolves branches, commits, pull requests and addresses to pinned
// commits. It is safe for use by several goroutines.
type Checker struct {
	github  *github
	git     *git
	timeout time.Duration
	now     func() time.Time

	mu    sync.Mutex
	known map[string]listing
}

type listing struct {
	names []string
	at    time.Time
}

var _ orchestrator.Checker = (*Checker)(nil)

// New makes a Checker. It asks nobody anything yet.
func New(o Options) *Checker {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	return &Checker{
		github:  newGitHub(o),
		git:     &git{path: cmp.Or(o.Git, "git")},
		timeout: o.Timeout,
		now:     o.Now,
		known:   map[string]listing{},
	}
}

// tip is a branch and the commit that it stands at.
type tip struct {
	name   string
	commit string
}

// forge is one repository at its host.
type forge interface {
	// branch looks one branch up by its exact name. It answers a
	// *renamedError if the host knows that the branch has another name now.
	branch(ctx context.Context, name string) (commit string, found bool, err error)
	// branches lists them. With an error it gives those that it has seen.
	branches(ctx context.Context) ([]tip, error)
	// isTag says whether name is a tag; not knowing is no.
	isTag(ctx context.Context, name string) bool
	// commit gives the full ID of a commit that a branch contains. It answers
	// errNoCommit if there is none of that name, errStray if no branch has it.
	commit(ctx context.Context, id, likely string) (string, error)
	// between gives the newest commits that to has and from has not, and how
	// many there are.
	between(ctx context.Context, from, to string, most int) (commits []orchestrator.Commit, total int, err error)
	// pull gives the branch that a pull request asks to merge.
	pull(ctx context.Context, app orchestrator.App, number int) (pullRequest, error)
}

// renamedError is a branch that the host knows under another name now.
type renamedError struct{ to string }

func (e *renamedError) Error() string { return "the branch is now " + e.to }

var (
	errNoCommit  = errors.New("no such commit")
	errStray     = errors.New("no branch contains the commit")
	errAmbiguous = errors.New("several commits begin so")
)

type pullRequest struct {
	branch string
	into   string
	open   bool
	merged bool
}

// check is one question about one app.
type check struct {
	*Checker
	forge
	app     orchestrator.App
	repo    repository
	renamed map[string]string // branches that were asked for, and what they are called now
}

func (c *Checker) check(app orchestrator.App) check {
	repo := parseRepository(app.Repository)
	k := check{Checker: c, app: app, repo: repo, renamed: map[string]string{}}
	switch own := app.Credential; {
	case own != nil && !own.GitHubToken:
		// Asked with what the servers will have, so that what is checked is what
		// they can read.
		k.repo.login, k.repo.failed = k.ownLogin()
		k.forge = &gitRepository{git: c.git, repo: k.repo}
	case c.github.has(repo):
		k.forge = &githubRepository{github: c.github, repo: repo}
	default:
		k.forge = &gitRepository{git: c.git, repo: repo}
	}
	return k
}

// Resolve checks ref, or the catalog's branch if ref is empty, and pins it to a
// commit. The branch that it gives is the real one's name; for a commit it is
// the commit's full ID.
func (c *Checker) Resolve(ctx context.Context, app orchestrator.App, ref string) (orchestrator.Resolved, error) {
	k := c.check(app)
	r, err := parseReference(cmp.Or(strings.TrimSpace(ref), app.Branch))
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err != nil {
		return orchestrator.Resolved{}, k.impossible(inner, err)
	}
	resolved, err := k.resolve(inner, r)
	return resolved, k.finish(ctx, inner, err)
}

// Branches lists the names of an app's branches, for completion. It answers
// from memory for a few seconds.
func (c *Checker) Branches(ctx context.Context, app orchestrator.App) ([]string, error) {
	c.mu.Lock()
	l, ok := c.known[app.Repository]
	c.mu.Unlock()
	if ok && c.now().Sub(l.at) < remembered {
		return slices.Clone(l.names), nil
	}
	k := c.check(app)
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	tips, err := k.branches(inner)
	if err != nil {
		return nil, k.finish(ctx, inner, err)
	}
	names := namesOf(tips)
	slices.Sort(names)
	c.mu.Lock()
	c.known[app.Repository] = listing{names, c.now()}
	c.mu.Unlock()
	return slices.Clone(names), nil
}

func namesOf(tips []tip) []string {
	names := make([]string, len(tips))
	for i, t := range tips {
		names[i] = t.name
	}
	return names
}

func (k check) resolve(ctx context.Context, r reference) (orchestrator.Resolved, error) {
	if r.address != nil {
		return k.byAddress(ctx, r)
	}
	if resolved, found, err := k.byName(ctx, r.names[0]); found || err != nil {
		return resolved, err
	}
	for _, name := range r.names[1:] { // said to be a branch
		commit, found, err := k.look(ctx, name)
		if err != nil {
			return orchestrator.Resolved{}, err
		}
		if found {
			return orchestrator.Resolved{Branch: name, Commit: commit}, nil
		}
	}
	switch {
	case r.pull != 0 && (r.pullOf == "" || strings.EqualFold(r.pullOf, k.repo.name)):
		return k.byPull(ctx, r.pull)
	case r.pull != 0:
		return orchestrator.Resolved{}, k.elsewhere(r.pullOf)
	case r.commit != "":
		return k.byCommit(ctx, r)
	}
	return orchestrator.Resolved{}, k.missing(ctx, r.wanted())
}

// look asks for one branch, and keeps what the host says of its new name.
func (k check) look(ctx context.Context, name string) (commit string, found bool, err error) {
	commit, found, err = k.branch(ctx, name)
	var renamed *renamedError
	if errors.As(err, &renamed) {
		k.renamed[name] = renamed.to
		return "", false, nil
	}
	return commit, found, err
}

// byName takes the branch of exactly that name, if there is one. All of a
// commit's ID is the commit for git, even where a branch is called so: what
// can be meant in two ways is refused.
func (k check) byName(ctx context.Context, name string) (orchestrator.Resolved, bool, error) {
	commit, found, err := k.look(ctx, name)
	if !found || err != nil {
		return orchestrator.Resolved{}, false, err
	}
	if id, ok := commitID(name); ok && len(id) == 40 && id != commit {
		switch _, err := k.commit(ctx, id, k.app.Branch); {
		case err == nil:
			return orchestrator.Resolved{}, false, orchestrator.Errorf(orchestrator.CodeRevisionNotFound,
				"%s (app %s) has both a commit %s and a branch that is called so, at another commit.", k.repo.name, k.app.Name, name).
				WithHint("name the branch as refs/heads/%s, or a branch that has the commit", name)
		case !errors.Is(err, errNoCommit) && !errors.Is(err, errStray):
			return orchestrator.Resolved{}, false, err
		}
	}
	return orchestrator.Resolved{Branch: name, Commit: commit}, true, nil
}

func (k check) byCommit(ctx context.Context, r reference) (orchestrator.Resolved, error) {
	commit, err := k.commit(ctx, r.commit, k.app.Branch)
	switch {
	case errors.Is(err, errNoCommit):
		if k.isTag(ctx, r.text) {
			return orchestrator.Resolved{}, k.missing(ctx, r.text)
		}
		e := orchestrator.Errorf(orchestrator.CodeRevisionNotFound, "%s (app %s) has neither a branch nor a commit %s.", k.repo.name, k.app.Name, r.text)
		tips, _ := k.branches(ctx)
		if e.Suggestions = near(r.text, namesOf(tips)); len(e.Suggestions) > 0 {
			return orchestrator.Resolved{}, e.WithHint("did you mean %s?", either(e.Suggestions))
		}
		hint := "check the commit's ID, and push the branch that has it"
		if len(r.commit) < 40 {
			// GitHub does not say whether it knows none or several.
			hint = "give all 40 characters of the commit's ID, and push the branch that has it"
		}
		return orchestrator.Resolved{}, e.WithHint("%s", hint)
	case errors.Is(err, errStray):
		return orchestrator.Resolved{}, orchestrator.Errorf(orchestrator.CodeForkRefused,
			"Commit %s is on no branch of %s (app %s): it comes from a fork, or its branch is gone.", r.text, k.repo.name, k.app.Name).
			WithHint("push it to a branch of %s, and name that branch", k.repo.name)
	case errors.Is(err, errAmbiguous):
		return orchestrator.Resolved{}, orchestrator.Errorf(orchestrator.CodeRevisionNotFound,
			"More than one commit of %s (app %s) begins with %s.", k.repo.name, k.app.Name, r.text).
			WithHint("give more of its ID, best all 40 characters")
	case err != nil:
		return orchestrator.Resolved{}, err
	}
	return orchestrator.Resolved{Branch: commit, Commit: commit}, nil
}

func (k check) byPull(ctx context.Context, number int) (orchestrator.Resolved, error) {
	p, err := k.pull(ctx, k.app, number)
	if err != nil {
		return orchestrator.Resolved{}, err
	}
	commit, found, err := k.look(ctx, p.branch)
	if err != nil {
		return orchestrator.Resolved{}, err
	}
	if found {
		return orchestrator.Resolved{Branch: p.branch, Commit: commit}, nil
	}
	state := "open, but"
	if p.merged {
		state = "merged into " + p.into + ", and"
	} else if !p.open {
		state = "closed, and"
	}
	e := orchestrator.Errorf(orchestrator.CodeBranchNotFound, "Pull request #%d of %s (app %s) is %s its branch %s is gone.", number, k.repo.name, k.app.Name, state, p.branch)
	if p.merged {
		e.Suggestions = []string{p.into}
		return orchestrator.Resolved{}, e.WithHint("name %s, which has its changes, or restore the branch on the pull request's page", p.into)
	}
	return orchestrator.Resolved{}, e.WithHint("restore the branch on the pull request's page, or name another branch")
}

// byAddress follows an address as a browser shows it.
func (k check) byAddress(ctx context.Context, r reference) (orchestrator.Resolved, error) {
	rest, ok := k.repo.within(r.address)
	if !ok {
		return orchestrator.Resolved{}, k.elsewhere(display(r.address))
	}
	kind, what := parsePage(rest)
	switch kind {
	case pagePull:
		return k.byPull(ctx, atoi(what))
	case pageCommit:
		if id, ok := commitID(what); ok {
			return k.byCommit(ctx, reference{text: what, commit: id})
		}
	case pageTree:
		for _, prefix := range []string{"refs/heads/", "refs/remotes/origin/"} { // as GitHub writes it for some
			if rest, ok := strings.CutPrefix(what, prefix); ok && rest != "" {
				what = rest
			}
		}
		return k.byTree(ctx, what)
	}
	return orchestrator.Resolved{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s is no address of a branch, a commit or a pull request.", display(r.address)).
		WithHint("name the branch of %s itself, such as %s", k.app.Name, cmp.Or(k.app.Branch, "main"))
}

// byTree finds the branch in BRANCH/FOLDER/FILE, both of which may have
// slashes: the longest that there is.
func (k check) byTree(ctx context.Context, path string) (orchestrator.Resolved, error) {
	parts := strings.Split(path, "/")
	// One question each, so only so many; a branch with more parts is looked
	// for among the longest and the shortest.
	const most = 12
	for n := len(parts); n > 0; n-- {
		if n > most && n != len(parts) {
			continue
		}
		name := strings.Join(parts[:n], "/")
		if invalidBranch(name) != "" {
			continue
		}
		if resolved, found, err := k.byName(ctx, name); found || err != nil {
			return resolved, err
		}
	}
	if id, ok := commitID(parts[0]); ok {
		return k.byCommit(ctx, reference{text: parts[0], commit: id})
	}
	if reason := invalidBranch(path); reason != "" {
		return orchestrator.Resolved{}, explainReference(k.app, &referenceError{path, reason})
	}
	return orchestrator.Resolved{}, k.missing(ctx, path)
}

// elsewhere refuses what belongs to another repository than the app's.
func (k check) elsewhere(what string) error {
	return orchestrator.Errorf(orchestrator.CodeForkRefused, "%s does not belong to %s, the one repository that app %s is built from.", what, k.repo.name, k.app.Name).
		WithHint("name a branch of %s, or ask ops for an app of the other repository", k.repo.name)
}

// missing tells that there is no such branch, and what there is instead.
func (k check) missing(ctx context.Context, wanted string) error {
	tips, err := k.branches(ctx)
	if err != nil && len(tips) == 0 {
		return err
	}
	if len(tips) == 0 {
		return orchestrator.Errorf(orchestrator.CodeBranchNotFound, "%s has no branch %s: the repository of app %s is empty.", k.repo.name, wanted, k.app.Name).
			WithHint("push a first commit to it")
	}
	names := namesOf(tips)
	says := fmt.Sprintf("%s (app %s) has no branch %s", k.repo.name, k.app.Name, wanted)
	forOps := ""
	if wanted == k.app.Branch {
		says += ", which the catalog names for it"
		forOps = "; ops: put the right branch of " + k.app.Name + " into the catalog"
	}
	refuse := func(message string, suggestions []string, hint string) *orchestrator.Error {
		return &orchestrator.Error{Code: orchestrator.CodeBranchNotFound, Message: message + ".", Suggestions: suggestions, Hint: hint + forOps}
	}
	likely := func(names []string) string { return "did you mean " + either(names) + "?" }

	if now := k.renamed[wanted]; now != "" {
		e := refuse(says+" any more: it was renamed to "+and([]string{now}), []string{now}, likely([]string{now}))
		e.Subject.RenamedTo = now
		return e
	}
	if same := sameButCase(wanted, names); len(same) > 0 {
		return refuse(says+"; branch names are case-sensitive: there is "+and(same), same, likely(same))
	}
	if same := sameButMarks(wanted, names); len(same) > 0 {
		return refuse(says+"; there is "+and(same)+", with other characters that look or read alike", same, likely(same)+" Keep it in quotes, so that nothing in it is replaced")
	}
	for _, prefix := range []string{"", "refs/tags/", "tags/"} {
		if tag, ok := strings.CutPrefix(wanted, prefix); ok && tag != "" && k.isTag(ctx, tag) {
			// A branch of a similar name is another version: v1.0 for v2.0.
			about := slices.DeleteFunc(near(wanted, names), func(n string) bool { return !strings.Contains(n, tag) })
			return refuse(says+": that is a tag, and Berth deploys branches and the commits on them", about, "name a branch, or the commit that the tag stands at")
		}
	}
	close := near(wanted, names)
	switch {
	case len(close) > 0:
		return refuse(says, close, likely(close))
	case len(names) <= 3:
		return refuse(says, nil, "push the branch first; "+k.repo.name+" has "+and(names))
	}
	return refuse(says, nil, "check its spelling, or push the branch first")
}

// impossible refuses what git would take for no branch's name, unless one of
// the repository's reads so after what people's keyboards and Slack make of
// it: then that one is offered.
func (k check) impossible(ctx context.Context, err error) error {
	var r *referenceError
	if !errors.As(err, &r) || !strings.Contains(r.text, "..") && !strings.HasSuffix(r.text, ".") && !strings.ContainsAny(r.text, "~^:?*[\\") {
		return explainReference(k.app, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tips, _ := k.branches(ctx) // a help, and no more
	if same := sameButMarks(r.text, namesOf(tips)); len(same) > 0 {
		return k.missing(ctx, r.text)
	}
	return explainReference(k.app, err)
}

// finish makes sure that what a person sees is an *orchestrator.Error.
func (k check) finish(outer, inner context.Context, err error) error {
	var e *orchestrator.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(outer.Err(), context.Canceled):
		return context.Cause(outer) // nobody waits for the answer
	case errors.As(err, &e):
		return e
	case inner.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		t := orchestrator.Errorf(orchestrator.CodeGitUnreachable, "%s did not answer within %s, so the branch of app %s could not be checked.", k.repo.place(), k.timeout, k.app.Name).
			WithHint("try again in a minute; if it stays so, ops should look at the network between Berth and %s", k.repo.place())
		t.Message, t.Cause = sentence(t.Message), err
		return t
	}
	if t := k.explain(err); t != nil {
		t.Cause = errors.New(withoutPasswords(err.Error()))
		return t
	}
	return err
}

// explain turns an error of either way of asking into a person's sentence.
func (k check) explain(err error) *orchestrator.Error {
	var g *gitError
	if errors.As(err, &g) {
		return g.explain(k.app, k.repo)
	}
	return k.github.explain(k.app, k.repo, err)
}
