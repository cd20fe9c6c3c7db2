package branch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// git runs git, never through a shell.
type git struct{ path string }

// gitError is a failed run of git: what it wrote, or why it did not start.
type gitError struct {
	stderr string
	err    error
	moved  string // where the repository is now, if that is the trouble
}

func (e *gitError) Error() string {
	return strings.TrimSpace("git: " + e.err.Error() + ": " + e.stderr)
}
func (e *gitError) Unwrap() error { return e.err }

// passedOn are the variables of serve's that git may have: where its settings
// are, whom it trusts and how it reaches the network. None of Berth's secrets.
var passedOn = []string{
	"HOME", "PATH", "TMPDIR", "USER", "LOGNAME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK",
	"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH",
	"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

// environment is git's whole environment for one repository. Without ssh, git
// takes the ssh command of its own settings.
func environment(ssh string, config ...[2]string) []string {
	env := []string{
		"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh",
		"GIT_NO_LAZY_FETCH=1", // what was not fetched is not asked for one by one
	}
	if ssh != "" {
		env = append(env, "GIT_SSH_COMMAND="+ssh)
	}
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	// Settings that stand in serve's environment stay, ours follow.
	n, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	for i := range n {
		for _, name := range []string{fmt.Sprintf("GIT_CONFIG_KEY_%d", i), fmt.Sprintf("GIT_CONFIG_VALUE_%d", i)} {
			env = append(env, name+"="+os.Getenv(name))
		}
	}
	for _, kv := range config {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, kv[1]))
		n++
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n))
}

// askNobody is the ssh command where ops have chosen none.
const askNobody = "ssh -o BatchMode=yes -o ConnectTimeout=10"

// sshCommand is what git shall start for ssh: serve's own choice, else that of
// git's settings, for which it is empty, since the variable would go before it.
func (g *git) sshCommand(ctx context.Context, repo repository) string {
	if repo.login != nil && repo.login.keyFile != "" {
		return repo.login.ssh()
	}
	if own := os.Getenv("GIT_SSH_COMMAND"); own != "" {
		return own
	}
	if repo.scheme == "ssh" {
		cmd := exec.CommandContext(ctx, g.path, "config", "--get", "core.sshCommand")
		cmd.Dir, cmd.Env = string(filepath.Separator), environment("")
		if set, err := cmd.Output(); err == nil && strings.TrimSpace(string(set)) != "" {
			return ""
		}
	}
	return askNobody
}

// answerLogin is a git credential helper that gives what git's environment
// holds. It is asked only by the host that it stands for, so that a redirect
// carries nothing to another one.
const answerLogin = `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$BERTH_GIT_USERNAME" "$BERTH_GIT_PASSWORD"; }; f`

// command prepares a run of git. Who logs in stays out of the arguments, which
// everybody on the machine can read: args gets the address without it.
func (g *git) command(ctx context.Context, repo repository, args func(address string) []string) *exec.Cmd {
	address := repo.url
	config := [][2]string{{"core.hooksPath", os.DevNull}, {"gc.auto", "0"}, {"maintenance.auto", "false"}}
	var login []string
	if own := repo.login; own != nil && own.password != "" {
		repo.url = own.address(repo.url)
		address = repo.url
	}
	if u, err := url.Parse(address); err == nil && u.User != nil && (repo.scheme == "http" || repo.scheme == "https") {
		name := u.User.Username()
		password, ok := u.User.Password()
		u.User = nil
		address = u.String()
		key := "credential." + u.Scheme + "://" + u.Host + "."
		switch {
		case strings.ContainsFunc(name+password, unicode.IsControl): // no login has these
		case ok:
			login = []string{"BERTH_GIT_USERNAME=" + name, "BERTH_GIT_PASSWORD=" + password}
			// The empty helper takes those of git's settings out.
			config = append(config, [2]string{key + "helper", ""}, [2]string{key + "helper", answerLogin})
		default:
			config = append(config, [2]string{key + "username", name})
		}
	}
	cmd := exec.CommandContext(ctx, g.path, args(address)...)
	cmd.Dir = string(filepath.Separator) // in nobody's repository
	cmd.Env = append(environment(g.sshCommand(ctx, repo), config...), login...)
	// A session of its own: git's helpers end with it, and ssh finds no
	// terminal to ask anything at.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// run gives git's standard output and standard error.
func (g *git) run(ctx context.Context, repo repository, args func(address string) []string) ([]byte, string, error) {
	if repo.failed != nil {
		return nil, "", repo.failed
	}
	cmd := g.command(ctx, repo, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		return nil, "", &gitError{stderr: withoutPasswords(stderr.String()), err: err}
	}
	return stdout.Bytes(), stderr.String(), nil
}

// gitRepository asks git about a repository, and asks its host once.
type gitRepository struct {
	git  *git
	repo repository

	once  sync.Once
	heads []tip
	tags  map[string]bool
	err   error
}

func (r *gitRepository) list(ctx context.Context) error {
	r.once.Do(func() { r.err = r.lsRemote(ctx) })
	return r.err
}

func (r *gitRepository) lsRemote(ctx context.Context) error {
	out, stderr, err := r.git.run(ctx, r.repo, func(address string) []string {
		return []string{"ls-remote", "--heads", "--tags", "--", address}
	})
	if err != nil {
		return err
	}
	if to := movedTo(r.repo, stderr); to != "" {
		return &gitError{err: errors.New("moved"), moved: to}
	}
	r.heads, r.tags = parseRefs(out)
	return nil
}

// parseRefs reads what ls-remote prints: an ID, a tab and a name a line.
func parseRefs(out []byte) (heads []tip, tags map[string]bool) {
	tags = map[string]bool{}
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		if head, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			heads = append(heads, tip{head, id})
		} else if tag, ok := strings.CutPrefix(name, "refs/tags/"); ok {
			tags[strings.TrimSuffix(tag, "^{}")] = true
		}
	}
	return heads, tags
}

func (r *gitRepository) branch(ctx context.Context, name string) (string, bool, error) {
	if err := r.list(ctx); err != nil {
		return "", false, err
	}
	for _, t := range r.heads {
		if t.name == name {
			return t.commit, true, nil
		}
	}
	return "", false, nil
}

func (r *gitRepository) branches(ctx context.Context) ([]tip, error) {
	err := r.list(ctx)
	return r.heads, err
}

func (r *gitRepository) isTag(ctx context.Context, name string) bool {
	return r.list(ctx) == nil && r.tags[name]
}

// commit looks for id among the branches' tips, then in their history.
func (r *gitRepository) commit(ctx context.Context, id, _ string) (string, error) {
	if err := r.list(ctx); err != nil {
		return "", err
	}
	var found oneCommit
	found.prefix = id
	for _, t := range r.heads {
		found.see(t.commit)
	}
	// A short ID that fits a tip may fit an older commit too; twelve characters
	// are beyond chance.
	const unmistakable = 12
	full, err := found.answer()
	if err == nil && len(id) >= unmistakable || errors.Is(err, errAmbiguous) || len(r.heads) == 0 {
		return full, err
	}
	return r.inHistory(ctx, id)
}

// inHistory looks for a commit among all that the branches contain.
func (r *gitRepository) inHistory(ctx context.Context, id string) (full string, err error) {
	dir, err := r.history(ctx)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	// Every commit that a branch contains, and none that none does.
	cmd := r.git.command(ctx, r.repo, func(string) []string { return []string{"-C", dir, "rev-list", "--branches"} })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", &gitError{err: err}
	}
	found := oneCommit{prefix: id}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		found.see(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &gitError{stderr: withoutPasswords(stderr.String()), err: err}
	}
	return found.answer()
}

// history fetches the branches' commits, without files where the host can,
// into a repository that whoever asked removes.
func (r *gitRepository) history(ctx context.Context) (dir string, err error) {
	dir, err = os.MkdirTemp("", "berth-history-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the repository's history: %w", err)
	}
	made := dir
	defer func() {
		if err != nil {
			os.RemoveAll(made)
		}
	}()
	fixed := func(args ...string) func(string) []string { return func(string) []string { return args } }
	if _, _, err := r.git.run(ctx, r.repo, fixed("init", "--quiet", "--bare", "--template=", dir)); err != nil {
		return "", err
	}
	from := r.repo
	if from.scheme == "" && from.host == "" {
		// git keeps no record under a path of what a filter left out, and then
		// misses it.
		from.url = (&url.URL{Scheme: "file", Path: from.url}).String()
	}
	fetch := func(filter ...string) error {
		_, _, err := r.git.run(ctx, from, func(address string) []string {
			args := append([]string{"-C", dir, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"}, filter...)
			return append(args, "--", address, "+refs/heads/*:refs/heads/*")
		})
		return err
	}
	// A path cannot be what git calls a promisor, so a filtered fetch from one
	// ends in missing files; there is no network to spare either.
	var g *gitError
	filtered := r.repo.scheme != ""
	if filtered {
		err = fetch("--filter=tree:0")
	}
	if !filtered || errors.As(err, &g) && cannotFilter.MatchString(g.stderr) {
		err = fetch()
	}
	if err != nil {
		return "", err
	}
	return dir, nil
}

// cannotFilter is what git says when a fetch without files did not work out.
var cannotFilter = lazyregexp.New(`filter|promisor|bad tree object|missing (tree|blob)`)

// oneCommit looks for the one commit whose ID begins with prefix.
type oneCommit struct {
	prefix string
	full   string
	more   bool
}

func (o *oneCommit) see(id string) {
	if !strings.HasPrefix(id, o.prefix) || id == o.full {
		return
	}
	o.more = o.full != ""
	o.full = id
}

func (o *oneCommit) answer() (string, error) {
	switch {
	case o.more:
		return "", errAmbiguous
	case o.full == "":
		return "", errNoCommit
	}
	return o.full, nil
}

func (r *gitRepository) pull(_ context.Context, app orchestrator.App, number int) (pullRequest, error) {
	return pullRequest{}, orchestrator.Errorf(orchestrator.CodeRevisionNotFound,
		"Berth looks up pull requests on GitHub only, and %s (app %s) is not there, so it cannot follow #%d.", r.repo.name, app.Name, number).
		WithHint("name the branch of #%d itself", number)
}

var (
	redirected = lazyregexp.New(`(?m)^warning: redirecting to (\S+)`)
	wasMoved   = lazyregexp.New(`was moved to '?([^\s']+)`) // GitLab's, over ssh
)

// movedTo finds in git's warnings where a repository has gone. A redirect to
// the same path, to https or to a trailing .git, is none.
func movedTo(repo repository, stderr string) string {
	if m := redirected.FindStringSubmatch(stderr); m != nil {
		to := parseRepository(strings.TrimSuffix(strings.TrimRight(m[1], "/"), "/info/refs"))
		if !strings.EqualFold(to.path, repo.path) && !strings.HasSuffix(strings.ToLower(to.path), "/"+strings.ToLower(repo.path)) {
			return to.name
		}
	}
	if m := wasMoved.FindStringSubmatch(stderr); m != nil && !strings.EqualFold(m[1], repo.path) {
		return withoutPasswords(m[1])
	}
	return ""
}

// troubles are what git says, in the order in which they are looked for: ssh
// ends every failure with the same advice, so the causes come first.
var troubles = []struct {
	pattern *lazyregexp.Regexp
	code    orchestrator.Code
	message string // with the place, the repository and the app, as %[1]s, %[2]s and %[3]s
	hint    string
}{
	{lazyregexp.New(`was moved to`), orchestrator.CodeRepoMoved,
		"The repository %[2]s of app %[3]s has moved.", "ops: put its new address into the catalog"},
	{lazyregexp.New(`dubious ownership`), orchestrator.CodeGitAuth,
		"git does not trust the repository %[2]s of app %[3]s, for it belongs to another user of this machine.", "ops: add it to safe.directory in the git configuration of the user that berth serve runs as"},
	{lazyregexp.New(`strange (hostname|pathname|port) '[^\n]*' blocked`), orchestrator.CodeInvalidCatalog,
		"The repository of app %[3]s has an address that git takes for dangerous, since a part of it begins with a hyphen.", "ops: check the app's repository in the catalog"},
	{lazyregexp.New(`transport '[^']*' not allowed`), orchestrator.CodeInvalidCatalog,
		"The repository of app %[3]s has an address of a kind that Berth does not clone from.", "ops: give it an http, https, ssh, git or file address in the catalog"},
	{lazyregexp.New(`returned error: 429|(?i)rate limit|too many requests`), orchestrator.CodeRateLimited,
		"%[1]s refuses for now to answer about app %[3]s, because it was asked too often; it does not say until when.", "try again in a few minutes"},
	{lazyregexp.New(`(?i)host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no matching host key`), orchestrator.CodeGitAuth,
		"Berth does not know the ssh key of %[1]s, so it did not ask it about app %[3]s.", "ops: add the host's key to the known_hosts of the user that berth serve runs as"},
	{lazyregexp.New(`(?i)wrong version number|unexpected(ly)? tls packet|tlsv1 alert|handshake fail|packet length|unknown protocol`), orchestrator.CodeGitUnreachable,
		"%[1]s speaks no TLS that Berth understands, so it did not ask it about app %[3]s.", "ops: check the address of the app's repository in the catalog (https or http, and the port)"},
	{lazyregexp.New(`(?i)certificate|SSL_ERROR|ssl peer|unable to get local issuer`), orchestrator.CodeGitUnreachable,
		"Berth does not trust the TLS certificate of %[1]s, so it did not ask it about app %[3]s.", "ops: give git the right authority (http.sslCAInfo), or mend the host's certificate"},
	{lazyregexp.New(`(?i)repository not found|project you were looking for could not be found|returned error: 404|repository '[^']*' not found|not exported`), orchestrator.CodeRepoNotFound,
		"%[1]s has no repository %[2]s (app %[3]s), or none that Berth may read.", "ops: check the app's repository in the catalog, and what Berth may read"},
	{lazyregexp.New(`(?i)could not read (username|password)|terminal prompts disabled`), orchestrator.CodeGitAuth,
		"%[1]s asks who wants to read %[2]s (app %[3]s), and Berth has no credentials for it: the repository is private, or there is none.", "ops: check the app's repository in the catalog, and give the user that berth serve runs as a git credential helper that may read it"},
	{lazyregexp.New(`(?i)authentication failed|permission denied \(|permission denied, please|access denied|returned error: 40[13]|too many authentication failures|could not open a connection to your authentication`), orchestrator.CodeGitAuth,
		"%[1]s refused Berth's credentials for %[2]s (app %[3]s).", "ops: give the user that berth serve runs as a git credential helper or an ssh key that may read it"},
	{lazyregexp.New(`(?i)could not resolve host|name or service not known|temporary failure in name resolution|nodename nor servname`), orchestrator.CodeGitUnreachable,
		"Berth cannot find the host %[1]s of app %[3]s.", "check that the host's name in the catalog is right; if it is, ops should look at Berth's DNS"},
	{lazyregexp.New(`(?i)connection refused|couldn't connect|failed to connect|no route to host|network is unreachable|timed out|connection reset|connection closed|returned error: 5\d\d|empty reply|hung up unexpectedly`), orchestrator.CodeGitUnreachable,
		"Berth cannot reach %[1]s, where %[2]s (app %[3]s) is.", "try again in a minute; if it stays so, ops should look at the network between Berth and %[1]s"},
	{lazyregexp.New(`(?i)permission denied`), orchestrator.CodeGitAuth,
		"Berth may not read the repository %[2]s of app %[3]s.", "ops: let the user that berth serve runs as read it"},
	{lazyregexp.New(`(?i)does not appear to be a git repository|no such file or directory|does not exist|not a git repository`), orchestrator.CodeRepoNotFound,
		"There is no git repository %[2]s (app %[3]s) at the address in the catalog.", "ops: check the app's repository in the catalog"},
	{lazyregexp.New(`(?i)no space left on device`), orchestrator.CodeInternal,
		"Berth's disk is full, so it cannot look through the history of %[2]s (app %[3]s).", "ops: make room in Berth's temporary folder"},
}

func (e *gitError) explain(app orchestrator.App, repo repository) *orchestrator.Error {
	if e.moved != "" {
		return orchestrator.Errorf(orchestrator.CodeRepoMoved, "The repository %s of app %s has moved: it is now %s.", repo.name, app.Name, e.moved).
			WithHint("ops: change the app's repository in the catalog to %s", e.moved)
	}
	var start *exec.Error
	var path *os.PathError
	if errors.As(e.err, &start) || errors.As(e.err, &path) {
		if errors.Is(e.err, exec.ErrNotFound) || errors.Is(e.err, fs.ErrNotExist) || errors.Is(e.err, fs.ErrPermission) {
			return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "git could not be started where Berth runs, so the branch of app %s could not be checked.", app.Name).
				WithHint("ops: install git, and see that it is in the PATH of berth serve")
		}
		// Too many processes, too little memory: it may pass.
		reason := e.err
		if path != nil {
			reason = path.Err
		}
		return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "git could not be started where Berth runs (%s), so the branch of app %s could not be checked.", reason, app.Name).
			WithHint("try again in a minute; if it stays so, ops should look at what the machine that Berth runs on lacks")
	}
	for _, t := range troubles {
		if t.pattern.MatchString(e.stderr) {
			return &orchestrator.Error{Code: t.code, Message: fill(t.message, repo, app), Hint: fill(t.hint, repo, app)}
		}
	}
	said := "nothing more"
	for line := range strings.Lines(e.stderr) {
		if line = strings.TrimSpace(line); line != "" {
			said = line
			if strings.HasPrefix(line, "fatal: ") {
				break
			}
		}
	}
	return orchestrator.Errorf(orchestrator.CodeGitUnreachable, "git could not read %s (app %s); it said: %s", repo.name, app.Name, withoutPasswords(said)).
		WithHint("ops: run git ls-remote with the repository's address, as the user that berth serve runs as")
}

func fill(text string, repo repository, app orchestrator.App) string {
	return sentence(strings.NewReplacer("%[1]s", repo.place(), "%[2]s", repo.name, "%[3]s", app.Name).Replace(text))
}

// sentence begins one with a capital where it begins with a word of ours; the
// names of hosts and repositories stay as they are.
func sentence(text string) string {
	if strings.HasPrefix(text, "the ") {
		return "T" + text[1:]
	}
	return text
}
