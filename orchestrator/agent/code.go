package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Code that is not public is fetched by the agent itself, into mirrors beside
// the checkout, before any recipe runs; recipes, and git within them, get a
// mirror wherever they name its repository. So the login never meets Salt, a
// recipe, the build or the app, which run under the same user as git does in a
// recipe: there is no helper that they could ask and no variable that they
// could inherit. It lives in the memory of the agent and of the git that the
// agent itself has started, for as long as that runs.

// fetchTimeout is how long one repository may take.
const fetchTimeout = 30 * time.Minute

// mirror is a copy on this machine of a repository that needs a login.
type mirror struct {
	address string // as the catalog or the code names it
	ask     string // as Berth is asked about it
	dir     string
}

// shortAddress is git's short form of an ssh address.
var shortAddress = lazyregexp.New(`^[^/:]+:`)

// overNetwork says whether a login can be for an address.
func overNetwork(address string) bool {
	scheme, _, ok := strings.Cut(address, "://")
	if !ok {
		return shortAddress.MatchString(address)
	}
	return slices.Contains([]string{"http", "https", "ssh"}, scheme)
}

// fetchCode mirrors the app's repository, if that needs a login, and those of
// its submodules that Berth gives one for. Others, which everybody may read, are
// left to the recipe.
func (a *agent) fetchCode(ctx context.Context, d *orchestrator.Desired) ([]mirror, error) {
	if !overNetwork(d.Repository) {
		return nil, nil
	}
	m := a.mirrorOf(d.Repository, d.Repository)
	if needed, err := a.fetch(ctx, d, m, d.Branch, d.Commit); err != nil || !needed {
		return nil, err
	}
	all := []mirror{m}
	err := a.fetchSubmodules(ctx, d, m, d.Commit, &all, 0)
	return all, err
}

// fetch brings a commit into a mirror, unless that has it or needs no login.
func (a *agent) fetch(ctx context.Context, d *orchestrator.Desired, m mirror, branch, commit string) (needed bool, err error) {
	if m.has(commit) {
		return true, nil
	}
	login, err := a.login(ctx, d, m.ask, "")
	if login == nil || err != nil {
		return false, err
	}
	a.stream.add("configuring", "", "fetching the code from "+hostOf(login.Repository))
	return true, a.fill(ctx, d, m, login, branch, commit)
}

// login asks Berth for what a repository is read with; nil: nothing is needed.
func (a *agent) login(ctx context.Context, d *orchestrator.Desired, repository, refused string) (login *orchestrator.Login, err error) {
	err = retry(ctx, a.warn("asking for leave to read the code"), func() (err error) {
		login, err = a.client.login(ctx, orchestrator.LoginRequest{Generation: d.Generation, Repository: repository, Refused: refused})
		var no *statusError
		if !errors.As(err, &no) {
			return err
		}
		switch no.Status {
		case 404: // a Berth that knows of no logins
			return nil
		case 403, 409, 422:
			return permanent(problemf("The code of %s could not be fetched: %s", withoutLogin(repository), no.Text))
		}
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = problemf("The code of %s was not fetched: something newer is to be done.", withoutLogin(repository))
	}
	return login, err
}

// withoutLogin is an address for people.
func withoutLogin(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil && strings.Contains(address, "://") {
		u.User = nil
		return u.String()
	}
	return address
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	host, _, _ := strings.Cut(address, ":")
	return host[strings.LastIndex(host, "@")+1:]
}

func (a *agent) mirrorOf(address, ask string) mirror {
	sum := sha256.Sum256([]byte(address))
	return mirror{address, ask, filepath.Join(a.dir, "code", hex.EncodeToString(sum[:8])+".git")}
}

// fetchedFile lists the commits of which a mirror has all.
const fetchedFile = "berth-fetched"

func (m mirror) has(commit string) bool {
	raw, err := os.ReadFile(filepath.Join(m.dir, fetchedFile))
	return err == nil && slices.Contains(strings.Fields(string(raw)), commit)
}

// note writes down that the mirror has a commit.
func (m mirror) note(commit string) error {
	name := filepath.Join(m.dir, fetchedFile)
	raw, _ := os.ReadFile(name) // the first time there is none
	return writeFile(name, append(raw, commit+"\n"...))
}

// configOf is a mirror's whole configuration. It is written before each fetch:
// on the local target the app has the same user and could have changed it.
func configOf(commit string) string {
	text := "[core]\n\trepositoryformatversion = 0\n"
	if len(commit) == 64 {
		text = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
	}
	// A submodule is asked for by its commit, which may be no branch's tip.
	return text + "\tbare = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n"
}

// fill fetches a repository's branches and tags into its mirror, and the large
// files of a commit.
func (a *agent) fill(ctx context.Context, d *orchestrator.Desired, m mirror, login *orchestrator.Login, branch, commit string) error {
	if err := m.make(commit); err != nil {
		return problemf("The server's folder cannot be written: %v.", err)
	}
	l := &loggedIn{a: a, d: d, m: m, login: login}
	fetch := func(what ...string) (string, error) {
		return l.git(ctx, func(login *orchestrator.Login) []string {
			return append([]string{"fetch", "--quiet", "--force", "--no-recurse-submodules", "--no-write-fetch-head", "--", login.Repository}, what...)
		})
	}
	said, err := fetch("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	switch {
	case err != nil && ctx.Err() != nil:
		return problemf("The code of %s was not fetched: something newer is to be done.", withoutLogin(m.address))
	case l.refused != nil:
		return l.refused
	case err != nil:
		return problem{text: fmt.Sprintf("git could not fetch %s with the login that Berth gave it.", withoutLogin(m.address)), said: said}
	}
	a.pointHead(ctx, m, branch)
	if !a.contains(ctx, m, commit) {
		// A submodule's may be no branch's any more.
		_, err := fetch("+" + commit + ":refs/berth/" + commit)
		if err != nil || !a.contains(ctx, m, commit) {
			return nil // gone since it was checked: git says so when it is checked out
		}
	}
	if err := a.fetchLarge(ctx, l, commit); err != nil {
		return err
	}
	if err := m.note(commit); err != nil {
		return problemf("The server's folder cannot be written: %v.", err)
	}
	return nil
}

// loggedIn is work at a mirror with a login, which may end before the work does:
// a token lives for an hour, a large clone takes its time, and a host may take a
// token back.
type loggedIn struct {
	a     *agent
	d     *orchestrator.Desired
	m     mirror
	login *orchestrator.Login
	// refused is why Berth gave no other login.
	refused error
}

// git runs git with the login, and once more with another one where the host
// takes it no more.
func (l *loggedIn) git(ctx context.Context, args func(*orchestrator.Login) []string) (said string, err error) {
	said, err = l.a.withLogin(ctx, l.m.dir, l.login, args(l.login)...)
	if err == nil || l.login.Password == "" || !passwordRefused.MatchString(said) || ctx.Err() != nil {
		return said, err
	}
	sum := sha256.Sum256([]byte(l.login.Password))
	again, e := l.a.login(ctx, l.d, l.m.ask, hex.EncodeToString(sum[:]))
	if e != nil {
		l.refused = e
		return said, err
	}
	if again == nil || again.Password == l.login.Password {
		return said, err
	}
	l.login = again
	return l.a.withLogin(ctx, l.m.dir, l.login, args(l.login)...)
}

func (a *agent) contains(ctx context.Context, m mirror, commit string) bool {
	_, err := a.git(ctx, m.dir, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

// largeFiles says whether a commit has files that git-lfs keeps elsewhere.
func (a *agent) largeFiles(ctx context.Context, dir, commit string) bool {
	_, err := a.git(ctx, dir, "grep", "-q", "-E", `filter=lfs(\s|$)`, commit, "--", ":(glob)**/.gitattributes")
	return err == nil
}

// fetchLarge fetches a commit's large files, which are not in git itself.
func (a *agent) fetchLarge(ctx context.Context, l *loggedIn, commit string) error {
	m := l.m
	if !a.largeFiles(ctx, m.dir, commit) {
		return nil
	}
	if !hasLFS() {
		return problemf("The code of %s has large files in Git LFS, and git-lfs is not installed on this server.", withoutLogin(m.address))
	}
	a.stream.add("configuring", "", "fetching large files from "+hostOf(l.login.Repository))
	said, err := l.git(ctx, func(login *orchestrator.Login) []string {
		return []string{"-c", "remote.origin.url=" + login.Repository, "lfs", "fetch", "origin", commit}
	})
	switch {
	case err != nil && l.refused != nil:
		return l.refused
	case err != nil:
		return problem{text: fmt.Sprintf("git could not fetch the large files (Git LFS) of %s.", withoutLogin(m.address)), said: said}
	}
	return nil
}

func hasLFS() bool {
	_, err := exec.LookPath("git-lfs")
	return err == nil
}

// passwordRefused is what git says when a host did not take a password.
var passwordRefused = lazyregexp.New(`Authentication failed|returned error: 40[13]|Authorization error|Authentication required|told us to quit`)

// make begins a mirror, or brings back what its configuration has to be.
func (m mirror) make(commit string) error {
	for _, name := range []string{"objects", "refs/heads", "refs/tags"} {
		if err := os.MkdirAll(filepath.Join(m.dir, name), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{"config": configOf(commit)}
	if _, err := os.Stat(filepath.Join(m.dir, "HEAD")); err != nil {
		files["HEAD"] = "ref: refs/heads/main\n"
	}
	for name, text := range files {
		if err := writeFile(filepath.Join(m.dir, name), []byte(text)); err != nil {
			return err
		}
		// On a machine of its own the app's user reads it.
		if err := os.Chmod(filepath.Join(m.dir, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pointHead makes HEAD a branch that there is: who clones trips over others.
func (a *agent) pointHead(ctx context.Context, m mirror, branch string) {
	out, err := a.git(ctx, m.dir, "for-each-ref", "--format=%(refname)", "refs/heads")
	all := strings.Fields(out)
	if err != nil || len(all) == 0 {
		return
	}
	for _, name := range []string{branch, "main", "master", strings.TrimPrefix(all[0], "refs/heads/")} {
		if slices.Contains(all, "refs/heads/"+name) {
			if _, err := a.git(ctx, m.dir, "symbolic-ref", "HEAD", "refs/heads/"+name); err != nil {
				a.log.Warn("a mirror's HEAD was not set", "error", err)
			}
			return
		}
	}
}

// withLogin runs git in a mirror so that it, and nothing else, can log in. It
// gives what git wrote to standard error.
func (a *agent) withLogin(ctx context.Context, dir string, login *orchestrator.Login, args ...string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	shown, settings, err := showLogin(login)
	if err != nil {
		return "", problemf("The login for %s could not be handed to git: %v.", hostOf(login.Repository), err)
	}
	defer shown.Close()
	start := a.start
	var keys *keyholder
	if login.Key != "" {
		if keys, err = holdKey(login.Key, login.KnownHosts); err != nil {
			return "", problemf("The key for %s could not be handed to git: %v.", hostOf(login.Repository), err)
		}
		defer keys.close()
	}
	// Without the mirrors in place of what they mirror.
	config := filepath.Join(a.dir, "etc", "gitconfig")
	if err := writeFile(config, []byte(a.givenConfig())); err != nil {
		return "", problemf("The server's folder cannot be written: %v.", err)
	}
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = setEnv(a.env(), "GIT_CONFIG_GLOBAL", config)
	cmd.Env = append(cmd.Env, "GIT_DIR="+dir, "LC_ALL=C", "GIT_ALLOW_PROTOCOL=file:http:https:ssh")
	settings = append(settings, [2]string{"core.hooksPath", os.DevNull}, [2]string{"gc.auto", "0"}, [2]string{"maintenance.auto", "false"})
	cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, kv := range settings {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, kv[1]))
	}
	if keys != nil {
		start = func(cmd *exec.Cmd) error { return keys.start(cmd, a.start) }
		cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+keys.socket(), "GIT_SSH_COMMAND="+keys.command(), "GIT_SSH_VARIANT=ssh")
	}
	cmd.ExtraFiles = []*os.File{shown}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return a.killSession(cmd.Process.Pid) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := start(cmd); err != nil {
		return "", problemf("git cannot be run: %v.", plainExec(err))
	}
	err = cmd.Wait()
	a.ended(cmd)
	said = stderr.String()
	if login.Password != "" { // git says no passwords, but what a host says is anything
		said = strings.ReplaceAll(said, login.Password, "…")
	}
	const most = 8 << 10
	return said[:min(len(said), most)], err
}

// inPlace is the git configuration that has mirrors stand for what they mirror,
// and large files come where git-lfs is installed.
func inPlace(mirrors []mirror) string {
	var b strings.Builder
	here := 0
	for _, m := range mirrors {
		place := m.address // stands for itself
		if m.dir != "" {
			here++
			place = (&url.URL{Scheme: "file", Path: m.dir}).String()
		}
		fmt.Fprintf(&b, "[url %s]\n\tinsteadOf = %s\n", gitQuote(place), gitQuote(m.address))
	}
	if here > 1 {
		// git clones no submodule from a folder otherwise; fetchSubmodules has
		// seen to it that only mirrors are some.
		b.WriteString("[protocol \"file\"]\n\tallow = always\n")
	}
	if hasLFS() {
		b.WriteString("[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n\tprocess = git-lfs filter-process\n\trequired = true\n")
	}
	return b.String()
}
