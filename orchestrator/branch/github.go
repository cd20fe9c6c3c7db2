package branch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	api "github.com/google/go-github/v60/github"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	publicAPI = "https://api.github.com/"
	pageSize  = 100
	// mostPages bounds a listing, to 20,000 branches.
	mostPages = 200
	// mostCompared is among how many branches a commit is looked for that
	// stands at the tip of none; each is a request.
	mostCompared = 60
	// atOnce is how many requests one check makes at the same time: GitHub
	// takes many more for an attack.
	atOnce = 5
)

// github asks one base of GitHub's API.
type github struct {
	client *api.Client // without credentials, or with the token
	base   *url.URL
	bad    bool // the base is no address
	app    *installations
	token  bool
	secret string // the token
	now    func() time.Time
}

func newGitHub(o Options) *github {
	g := &github{token: o.Token != "", secret: o.Token, now: o.Now}
	base, err := url.Parse(strings.TrimRight(cmp.Or(o.GitHubAPIURL, publicAPI), "/") + "/")
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		base, g.bad = &url.URL{Scheme: "https", Host: "invalid.", Path: "/"}, true
	}
	g.base = base
	plain := http.Client{}
	if o.HTTPClient != nil {
		plain = *o.HTTPClient
	}
	// A redirect is an answer (the repository was renamed), and following it
	// could carry the token to another host.
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	plain.Transport = &retryablehttp.RoundTripper{Client: twice(plain)}
	g.client = api.NewClient(&plain)
	g.client.BaseURL, g.client.UserAgent = base, "berth"
	switch {
	case o.Token != "":
		g.client = g.client.WithAuthToken(o.Token)
	case o.AppID != "":
		g.app = &installations{client: g.client, id: o.AppID, keyFile: o.AppKeyFile, now: o.Now}
	}
	return g
}

// twice asks once more, a moment later, when GitHub stumbles or the connection
// breaks; never when it says that it is asked too often.
func twice(plain http.Client) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient:   &plain,
		RetryMax:     1,
		RetryWaitMin: 200 * time.Millisecond,
		RetryWaitMax: 200 * time.Millisecond,
		Backoff:      func(wait, _ time.Duration, _ int, _ *http.Response) time.Duration { return wait },
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			var dns *net.DNSError
			if resp != nil && (resp.StatusCode < 500 || resp.Header.Get("Retry-After") != "") || errors.As(err, &dns) && dns.IsNotFound {
				return false, nil
			}
			again, _ := retryablehttp.DefaultRetryPolicy(ctx, resp, err)
			return again, ctx.Err()
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// has says whether a repository is one of GitHub's.
func (g *github) has(r repository) bool {
	if _, _, ok := r.owner(); !ok {
		return false
	}
	switch r.scheme {
	case "http", "https", "ssh", "git":
		host := strings.ToLower(g.base.Hostname())
		return r.host == "github.com" || r.sameHost(g.base.Scheme, host, g.base.Port()) ||
			// As api.github.com is for github.com.
			r.sameHost(g.base.Scheme, strings.TrimPrefix(host, "api."), g.base.Port())
	}
	return false
}

// githubRepository asks GitHub about one repository.
type githubRepository struct {
	github *github
	repo   repository

	mu     sync.Mutex
	listed []tip // all branches, once they were asked for
	client *api.Client
}

// connect gives a client that may read the repository.
func (r *githubRepository) connect(ctx context.Context) (*api.Client, string, string, error) {
	owner, name, _ := r.repo.owner()
	if r.github.bad {
		return nil, "", "", orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The address of GitHub's API that Berth was given is none.").
			WithHint("ops: set BERTH_GITHUB_API_URL to one such as https://github.example.com/api/v3")
	}
	if r.github.app == nil {
		return r.github.client, owner, name, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		client, err := r.github.app.clientFor(ctx, owner, name)
		if err != nil {
			return nil, "", "", r.moved(ctx, r.github.client, err)
		}
		r.client = client
	}
	return r.client, owner, name, nil
}

// status is the HTTP status of GitHub's refusal, or 0.
func status(err error) int {
	var e *api.ErrorResponse
	if errors.As(err, &e) && e.Response != nil {
		return e.Response.StatusCode
	}
	return 0
}

func (r *githubRepository) branch(ctx context.Context, name string) (string, bool, error) {
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return "", false, err
	}
	// go-github's own GetBranch tells no errors apart.
	req, err := client.NewRequest(http.MethodGet, fmt.Sprintf("repos/%s/%s/branches/%s", owner, repo, url.PathEscape(name)), nil)
	if err != nil {
		return "", false, err
	}
	var b api.Branch
	_, err = client.Do(ctx, req, &b)
	switch {
	case status(err) == http.StatusNotFound:
		return "", false, nil // or the repository is: the listing that follows will tell
	case isRedirect(status(err)) && newName(err, name) != "":
		return "", false, &renamedError{newName(err, name)}
	case err != nil:
		return "", false, r.moved(ctx, client, err)
	case b.GetName() != name || !fullID.MatchString(b.GetCommit().GetSHA()):
		return "", false, nil
	}
	return b.GetCommit().GetSHA(), true, nil
}

var fullID = lazyregexp.New(`^[0-9a-f]{40}$`)

func isRedirect(status int) bool { return status >= 300 && status < 400 && status != 304 }

// newName is what a branch is called now, if GitHub's redirect says so; that
// of a renamed repository keeps the branch's name.
func newName(err error, name string) string {
	var e *api.ErrorResponse
	if !errors.As(err, &e) {
		return ""
	}
	to, err := url.Parse(e.Response.Header.Get("Location"))
	if err != nil {
		return ""
	}
	_, escaped, _ := strings.Cut(to.EscapedPath(), "/branches/")
	after, err := url.PathUnescape(escaped)
	if err != nil || after == name || invalidBranch(after) != "" {
		return ""
	}
	return after
}

// branches lists every branch with its tip: the first page alone, the others
// several at a time.
func (r *githubRepository) branches(ctx context.Context) ([]tip, error) {
	r.mu.Lock()
	listed := r.listed
	r.mu.Unlock()
	if listed != nil {
		return listed, nil
	}
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	page := func(n int) ([]tip, *api.Response, error) {
		bs, resp, err := client.Repositories.ListBranches(ctx, owner, repo, &api.BranchListOptions{ListOptions: api.ListOptions{Page: n, PerPage: pageSize}})
		tips := make([]tip, 0, len(bs))
		for _, b := range bs {
			tips = append(tips, tip{b.GetName(), b.GetCommit().GetSHA()})
		}
		return tips, resp, err
	}
	all, resp, err := page(0)
	if err != nil {
		return nil, r.moved(ctx, client, err)
	}
	if last := min(resp.LastPage, mostPages); last > 1 {
		pages, errs := make([][]tip, last-1), make([]error, last-1)
		each(len(pages), func(i int) { pages[i], _, errs[i] = page(i + 2) })
		all = append(all, slices.Concat(pages...)...)
		err = errors.Join(errs...)
	} else {
		for n := resp.NextPage; n > 1 && n <= mostPages && err == nil; n = resp.NextPage {
			var more []tip
			if more, resp, err = page(n); err != nil {
				break
			}
			all = append(all, more...)
		}
	}
	if err != nil {
		return all, r.moved(ctx, client, err)
	}
	r.mu.Lock()
	r.listed = all
	r.mu.Unlock()
	return all, nil
}

// each calls f for 0 to n-1, a few at a time.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}

func (r *githubRepository) isTag(ctx context.Context, name string) bool {
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return false
	}
	ref, _, err := client.Git.GetRef(ctx, owner, repo, "tags/"+name)
	return err == nil && ref.GetRef() == "refs/tags/"+name
}

// commit asks for the commit, then for a branch that contains it: GitHub
// answers for the commits of every fork as if they were the repository's.
func (r *githubRepository) commit(ctx context.Context, id, likely string) (string, error) {
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	found, _, err := client.Repositories.GetCommit(ctx, owner, repo, id, &api.ListOptions{PerPage: 1})
	switch code := status(err); {
	case code == http.StatusUnprocessableEntity && strings.Contains(strings.ToLower(err.Error()), "ambiguous"):
		return "", errAmbiguous
	case code == http.StatusNotFound || code == http.StatusUnprocessableEntity || code == http.StatusConflict: // 409: the repository is empty
		// A repository that is not there is told as such.
		if _, err := r.branches(ctx); err != nil {
			return "", err
		}
		return "", errNoCommit
	case err != nil:
		return "", r.moved(ctx, client, err)
	}
	full := found.GetSHA()
	if !fullID.MatchString(full) || !strings.HasPrefix(full, id) {
		return "", errNoCommit // a tag may look like an ID
	}

	// A hint, worth a request in a repository with many branches; what it says
	// is checked.
	heads, _, err := client.Repositories.ListBranchesHeadCommit(ctx, owner, repo, full)
	if err == nil && len(heads) > 0 {
		if at, ok, err := r.branch(ctx, heads[0].GetName()); err == nil && ok && at == full {
			return full, nil
		}
	}
	tips, err := r.branches(ctx)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(tips, func(t tip) bool { return t.commit == full }) {
		return full, nil
	}
	first := ""
	if info, _, err := client.Repositories.Get(ctx, owner, repo); err == nil {
		first = info.GetDefaultBranch()
	}
	ranked := slices.Clone(tips)
	rank := func(t tip) int {
		switch t.name {
		case first:
			return 0
		case likely:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(ranked, func(a, b tip) int { return rank(a) - rank(b) })
	return full, r.contained(ctx, client, owner, repo, full, ranked)
}

// contained looks for a branch that contains the commit; nil means that there
// is one.
func (r *githubRepository) contained(ctx context.Context, client *api.Client, owner, repo, id string, tips []tip) error {
	if len(tips) == 0 {
		return errStray
	}
	ok, err := r.contains(ctx, client, owner, repo, tips[0], id)
	if ok || err != nil {
		return err
	}
	rest := tips[1:min(len(tips), mostCompared)]
	var mu sync.Mutex
	var found bool
	var failure error
	each(len(rest), func(i int) {
		mu.Lock()
		enough := found || failure != nil
		mu.Unlock()
		if enough {
			return
		}
		ok, err := r.contains(ctx, client, owner, repo, rest[i], id)
		mu.Lock()
		defer mu.Unlock()
		found = found || ok
		if err != nil && failure == nil {
			failure = err
		}
	})
	switch {
	case found:
		return nil
	case failure != nil:
		return failure
	case len(tips) > mostCompared:
		return orchestrator.Errorf(orchestrator.CodeRevisionNotFound, "Commit %s was not found on the %d branches of %s that Berth looked through, of %d.", id, mostCompared, r.repo.name, len(tips)).
			WithHint("name the branch instead")
	}
	return errStray
}

// contains asks whether the commit is an ancestor of the branch's tip.
func (r *githubRepository) contains(ctx context.Context, client *api.Client, owner, repo string, t tip, id string) (bool, error) {
	compare := func(base string) (*api.CommitsComparison, error) {
		c, _, err := client.Repositories.CompareCommits(ctx, owner, repo, base, id, &api.ListOptions{PerPage: 1})
		if code := status(err); code == http.StatusNotFound || code == http.StatusUnprocessableEntity {
			return nil, nil // no common ancestor, or the branch has just gone
		}
		if err != nil {
			return nil, r.moved(ctx, client, err)
		}
		return c, nil
	}
	c, err := compare(t.name)
	if err == nil && c != nil && c.GetBaseCommit().GetSHA() != "" && c.GetBaseCommit().GetSHA() != t.commit {
		// A tag of the branch's name, or the branch moved: ask for what was seen.
		c, err = compare(t.commit)
	}
	if err != nil || c == nil {
		return false, err
	}
	if m := c.GetMergeBaseCommit().GetSHA(); m != "" && m != id {
		return false, nil
	}
	return c.GetStatus() == "behind" || c.GetStatus() == "identical", nil
}

func (r *githubRepository) pull(ctx context.Context, app orchestrator.App, number int) (pullRequest, error) {
	client, owner, repo, err := r.connect(ctx)
	if err != nil {
		return pullRequest{}, err
	}
	p, _, err := client.PullRequests.Get(ctx, owner, repo, number)
	if status(err) == http.StatusNotFound || status(err) == http.StatusGone {
		if _, err := r.branches(ctx); err != nil {
			return pullRequest{}, err
		}
		return pullRequest{}, orchestrator.Errorf(orchestrator.CodeRevisionNotFound, "%s (app %s) has no pull request #%d.", r.repo.name, app.Name, number).
			WithHint("check its number (an issue has one too), or name the branch")
	}
	if err != nil {
		return pullRequest{}, r.moved(ctx, client, err)
	}
	head, base := p.GetHead(), p.GetBase()
	own := head.GetRepo() != nil && strings.EqualFold(head.GetRepo().GetFullName(), base.GetRepo().GetFullName()) && head.GetRepo().GetID() == base.GetRepo().GetID()
	if !own || invalidBranch(head.GetRef()) != "" {
		from := "a fork that is gone"
		if name := head.GetRepo().GetFullName(); name != "" {
			from = "the fork " + name
		}
		return pullRequest{}, orchestrator.Errorf(orchestrator.CodeForkRefused, "Pull request #%d of %s comes from %s, and app %s is built only from branches of %s itself.", number, r.repo.name, from, app.Name, r.repo.name).
			WithHint("ask somebody who may push to %s to review it and push it there as a branch", r.repo.name)
	}
	return pullRequest{branch: head.GetRef(), into: base.GetRef(), open: p.GetState() != "closed", merged: p.GetMerged() || !p.GetMergedAt().IsZero()}, nil
}

// movedError says where a renamed repository is now.
type movedError struct{ to string }

func (e *movedError) Error() string { return "the repository is now " + e.to }

var (
	// withinRepository is the part of an API path that names a repository.
	withinRepository = lazyregexp.New(`^.*/(?:repositories/[0-9]+|repos/([^/]+/[^/]+))`)
)

// moved makes a *movedError of a redirect, and leaves any other error alone.
func (r *githubRepository) moved(ctx context.Context, client *api.Client, err error) error {
	to := ""
	for range 3 {
		var e *api.ErrorResponse
		if !errors.As(err, &e) || e.Response == nil || !isRedirect(e.Response.StatusCode) {
			break
		}
		location, perr := url.Parse(e.Response.Header.Get("Location"))
		if perr != nil {
			return &movedError{}
		}
		if e.Response.Request != nil {
			location = e.Response.Request.URL.ResolveReference(location)
		}
		m := withinRepository.FindStringSubmatch(location.Path)
		if m == nil || location.Host != r.github.base.Host || location.Scheme != r.github.base.Scheme {
			return &movedError{to}
		}
		to = m[1]
		req, rerr := client.NewRequest(http.MethodGet, (&url.URL{Path: m[0]}).EscapedPath(), nil)
		if rerr != nil {
			return &movedError{to}
		}
		var info api.Repository
		if _, err = client.Do(ctx, req, &info); err == nil {
			return &movedError{cmp.Or(info.GetFullName(), to)}
		}
	}
	if to != "" {
		return &movedError{to}
	}
	return err
}

// explain says in one sentence what GitHub refused, or why it was not reached.
func (g *github) explain(app orchestrator.App, repo repository, err error) *orchestrator.Error {
	var (
		moved     *movedError
		primary   *api.RateLimitError
		secondary *api.AbuseRateLimitError
		refused   *api.ErrorResponse
		otp       *api.TwoFactorAuthError
		key       *keyError
		web       *url.Error
		network   net.Error
	)
	switch {
	case errors.As(err, &moved):
		if moved.to == "" {
			return orchestrator.Errorf(orchestrator.CodeRepoMoved, "The repository %s of app %s was renamed or moved.", repo.name, app.Name).
				WithHint("ops: put its new address into the catalog")
		}
		return orchestrator.Errorf(orchestrator.CodeRepoMoved, "The repository %s of app %s was renamed: it is now %s.", repo.name, app.Name, moved.to).
			WithHint("ops: change the app's repository in the catalog to %s", moved.to)
	case errors.As(err, &primary):
		until := primary.Rate.Reset.Time
		if until.IsZero() {
			until = retryAt(primary.Response, g.now())
		}
		return g.limited(app, until)
	case errors.As(err, &secondary):
		until := retryAt(secondary.Response, g.now())
		if until.IsZero() && secondary.RetryAfter != nil {
			until = g.now().Add(*secondary.RetryAfter)
		}
		return g.limited(app, until)
	case errors.As(err, &key):
		return orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth cannot speak to GitHub about app %s: %s.", app.Name, key.what).
			WithHint("ops: check BERTH_GITHUB_APP_ID and BERTH_GITHUB_APP_KEY_FILE")
	case errors.As(err, &otp):
		return g.unauthorized(app, repo)
	case errors.As(err, &refused):
		return g.refusal(app, repo, refused)
	case errors.As(err, &web), errors.As(err, &network):
		return g.unreachable(app, repo, err)
	}
	return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "GitHub gave no answer that Berth understands about %s (app %s).", repo.name, app.Name).
		WithHint("try again in a minute; if it stays so, ops should check BERTH_GITHUB_API_URL")
}

func (g *github) refusal(app orchestrator.App, repo repository, e *api.ErrorResponse) *orchestrator.Error {
	code, said := e.Response.StatusCode, strings.ToLower(e.Message)
	limit := e.Response.Header.Get("X-RateLimit-Remaining") == "0" || strings.Contains(said, "rate limit") || strings.Contains(said, "abuse detection")
	switch {
	case code == http.StatusTooManyRequests, code == http.StatusForbidden && (limit || e.Response.Header.Get("Retry-After") != ""):
		return g.limited(app, retryAt(e.Response, g.now()))
	case code == http.StatusUnauthorized:
		return g.unauthorized(app, repo)
	case strings.Contains(said, "has been suspended"):
		return orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth's GitHub App is suspended where %s (app %s) is.", repo.name, app.Name).
			WithHint("ops: lift the suspension among the installed GitHub Apps of the repository's owner")
	case strings.Contains(said, "permissions requested are not granted"), strings.Contains(said, "not accessible by integration"):
		return orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth's GitHub App lacks the permission to read the contents of %s (app %s).", repo.name, app.Name).
			WithHint("ops: give the app the permission \"Contents: read-only\", and accept the new permission where it is installed")
	case strings.Contains(said, "not accessible to the parent installation"):
		return g.notInstalled(app, repo)
	case code == http.StatusNotFound:
		if e.Response.Request != nil && strings.HasSuffix(e.Response.Request.URL.Path, "/installation") {
			return g.notInstalled(app, repo)
		}
		with := "Berth's GitHub token"
		if g.app != nil {
			with = "Berth's GitHub App"
		} else if !g.token {
			return orchestrator.Errorf(orchestrator.CodeRepoNotFound, "GitHub has no public repository %s (app %s), and Berth has no token that could read a private one.", repo.name, app.Name).
				WithHint("ops: check the repository in the catalog, or set BERTH_GITHUB_TOKEN")
		}
		return orchestrator.Errorf(orchestrator.CodeRepoNotFound, "GitHub has no repository %s (app %s), or %s may not read it.", repo.name, app.Name, with).
			WithHint("ops: check the repository in the catalog, and what %s may read", with)
	case code == http.StatusForbidden, code == http.StatusUnavailableForLegalReasons:
		return orchestrator.Errorf(orchestrator.CodeGitAuth, "GitHub does not let Berth read %s (app %s).", repo.name, app.Name).
			WithHint("ops: give Berth's credentials the right to read the repository's contents and pull requests; an organization with single sign-on must authorize the token")
	case code >= 500:
		return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "GitHub is in trouble (it answered %d), so the branch of app %s could not be checked.", code, app.Name).
			WithHint("try again in a minute; https://www.githubstatus.com tells more")
	}
	return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "GitHub answered %d about %s (app %s), which Berth did not expect.", code, repo.name, app.Name).
		WithHint("try again in a minute; if it stays so, ops should check BERTH_GITHUB_API_URL")
}

func (g *github) notInstalled(app orchestrator.App, repo repository) *orchestrator.Error {
	return orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth's GitHub App is not installed for %s (app %s), or there is no such repository.", repo.name, app.Name).
		WithHint("ops: install the app for %s, or mend its name in the catalog", repo.name)
}

func (g *github) unauthorized(app orchestrator.App, repo repository) *orchestrator.Error {
	what, hint := "token", "ops: give Berth a new BERTH_GITHUB_TOKEN; the old one is wrong or has expired"
	switch {
	case g.app != nil:
		what, hint = "app credentials", "ops: check BERTH_GITHUB_APP_ID, BERTH_GITHUB_APP_KEY_FILE and the machine's clock"
	case !g.token:
		return orchestrator.Errorf(orchestrator.CodeGitAuth, "GitHub answers nobody without a token about %s (app %s), and Berth has none.", repo.name, app.Name).
			WithHint("ops: set BERTH_GITHUB_TOKEN")
	}
	return orchestrator.Errorf(orchestrator.CodeGitAuth, "GitHub refused Berth's %s, so the branch of app %s could not be checked in %s.", what, app.Name, repo.name).
		WithHint("%s", hint)
}

// limited tells until when GitHub refuses to answer.
func (g *github) limited(app orchestrator.App, until time.Time) *orchestrator.Error {
	e := orchestrator.Errorf(orchestrator.CodeRateLimited, "GitHub's rate limit for Berth is used up for now (GitHub does not say until when), so the branch of app %s could not be checked.", app.Name)
	hint := "try again in a few minutes"
	if !until.IsZero() {
		at := clock(g.now(), until)
		e = orchestrator.Errorf(orchestrator.CodeRateLimited, "GitHub's rate limit for Berth is used up until %s, so the branch of app %s could not be checked.", at, app.Name)
		hint = "try again after " + at
	}
	if !g.token && g.app == nil {
		hint += "; ops can raise the limit with BERTH_GITHUB_TOKEN"
	}
	return e.WithHint("%s", hint)
}

// clock is a moment as people say it: the time, and the day if it is another.
func clock(now, t time.Time) string {
	now, t = now.UTC(), t.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

// retryAt reads when GitHub wants to be asked again: Retry-After, in seconds or
// as a date, else the end of the limit.
func retryAt(resp *http.Response, now time.Time) time.Time {
	if resp == nil {
		return time.Time{}
	}
	if v := resp.Header.Get("Retry-After"); v != "" {
		if s, err := strconv.Atoi(v); err == nil && s >= 0 {
			return now.Add(time.Duration(s) * time.Second)
		}
		if t, err := http.ParseTime(v); err == nil {
			return t
		}
	}
	if s, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && s > 0 {
		return time.Unix(s, 0)
	}
	return time.Time{}
}

func (g *github) unreachable(app orchestrator.App, repo repository, err error) *orchestrator.Error {
	host := g.base.Host
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &dns):
		return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "Berth cannot find the host %s, where it asks about %s (app %s).", host, repo.name, app.Name).
			WithHint("try again in a minute; if it stays so, ops should check BERTH_GITHUB_API_URL and Berth's DNS")
	case errors.As(err, &certificate), errors.As(err, &authority):
		return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "Berth does not trust the TLS certificate of %s, so it did not ask it about app %s.", host, app.Name).
			WithHint("ops: add its authority to the machine's, or to SSL_CERT_FILE of berth serve")
	}
	return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "Berth cannot reach %s, where it asks about %s (app %s).", host, repo.name, app.Name).
		WithHint("try again in a minute; if it stays so, ops should look at the network between Berth and %s", host)
}
