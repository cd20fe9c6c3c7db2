package branch

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/berth-dev/berth/orchestrator"
)

// gitHubUser is the name that GitHub takes with any token.
const gitHubUser = "x-access-token"

var _ orchestrator.Logins = (*Checker)(nil)

// Login gives what a server of the app needs to read the repository, which is
// the app's own or one of its submodules': ops' credential for the app, else a
// token of the GitHub App for that repository alone, to read its contents. nil:
// the server reads it by itself. refused is the SHA-256 of a password that the
// host has refused.
func (c *Checker) Login(ctx context.Context, app orchestrator.App, address, refused string) (*orchestrator.Login, error) {
	k := c.check(app)
	k.repo = parseRepository(address)
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	login, err := k.login(inner, refused)
	if err != nil {
		return nil, k.finish(ctx, inner, err)
	}
	return login, nil
}

func (k check) login(ctx context.Context, refused string) (*orchestrator.Login, error) {
	switch own := k.app.Credential; {
	case own != nil && own.GitHubToken:
		return k.gitHubToken()
	case own != nil:
		l, err := k.ownLogin()
		if err != nil {
			return nil, err
		}
		return l.forServer(k)
	case !k.github.has(k.repo) || k.github.app == nil:
		return nil, nil
	}
	address, err := k.overWeb()
	if err != nil {
		return nil, err
	}
	owner, name, _ := k.repo.owner()
	token, until, err := k.github.app.loginFor(ctx, owner, name, refused)
	if err != nil {
		return nil, (&githubRepository{github: k.github, repo: k.repo}).moved(ctx, k.github.client, err)
	}
	return &orchestrator.Login{Repository: address, Username: gitHubUser, Password: token, Until: until}, nil
}

// gitHubToken is Berth's own token, where ops have it handed out.
func (k check) gitHubToken() (*orchestrator.Login, error) {
	switch {
	case k.github.secret == "":
		return nil, orchestrator.Errorf(orchestrator.CodeGitAuth, "The servers of app %s are to read its code with Berth's GitHub token, and Berth has none.", k.app.Name).
			WithHint("ops: set BERTH_GITHUB_TOKEN for berth serve, or take github_token out of the credential %s", k.app.Credential.Name)
	case !k.github.has(k.repo):
		return nil, orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth's GitHub token is for GitHub alone, and %s (app %s) is elsewhere.", k.repo.name, k.app.Name).
			WithHint("ops: give the app another credential in the catalog")
	}
	address, err := k.overWeb()
	if err != nil {
		return nil, err
	}
	return &orchestrator.Login{Repository: address, Username: gitHubUser, Password: k.github.secret}, nil
}

// login is ops' own way to read a repository, on Berth's machine.
type login struct {
	username, password  string
	keyFile, knownHosts string
}

// ownLogin reads the app's credential. It is read each time, so that ops can
// replace it.
func (k check) ownLogin() (*login, error) {
	own := k.app.Credential
	if own.Key != "" {
		return &login{keyFile: own.Key, knownHosts: own.KnownHosts}, nil
	}
	text, err := os.ReadFile(own.Token)
	token := strings.TrimSpace(string(text))
	if err != nil || token == "" || strings.ContainsFunc(token, unicode.IsControl) {
		return nil, k.unreadable(own.Token, err)
	}
	return &login{username: cmp.Or(own.Username, gitHubUser), password: token}, nil
}

func (k check) unreadable(file string, err error) *orchestrator.Error {
	e := orchestrator.Errorf(orchestrator.CodeGitAuth, "Berth cannot read the credential of app %s, so it did not ask %s for its code.", k.app.Name, k.repo.place()).
		WithHint("ops: berth validate says what is wrong with the file %s", file)
	e.Cause = err
	return e
}

// forServer is what a server gets of it.
func (l *login) forServer(k check) (*orchestrator.Login, error) {
	if l.keyFile == "" {
		address, err := k.overWeb()
		if err != nil {
			return nil, err
		}
		return &orchestrator.Login{Repository: address, Username: l.username, Password: l.password}, nil
	}
	key, err := os.ReadFile(l.keyFile)
	if err != nil {
		return nil, k.unreadable(l.keyFile, err)
	}
	hosts, err := os.ReadFile(l.knownHosts)
	if err != nil {
		return nil, k.unreadable(l.knownHosts, err)
	}
	return &orchestrator.Login{Repository: k.repo.url, Key: string(key), KnownHosts: string(hosts)}, nil
}

// ssh is the command that logs in with the key, to hosts that ops know. The
// catalog lets no path through that would mean something to a shell or to ssh.
func (l *login) ssh() string {
	return fmt.Sprintf(`%s -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -i '%s' -o 'UserKnownHostsFile="%s"'`,
		askNobody, l.keyFile, l.knownHosts)
}

// address is a web address with the login in it, which command takes out again.
func (l *login) address(plain string) string {
	u, err := url.Parse(plain)
	if err != nil {
		return plain
	}
	u.User = url.UserPassword(l.username, l.password)
	return u.String()
}

// overWeb is the repository's address for a password: GitHub takes tokens over
// the web alone, whatever address the catalog has.
func (k check) overWeb() (string, error) {
	if k.repo.scheme != "http" && k.repo.scheme != "https" {
		return "https://" + k.repo.host + "/" + k.repo.path + ".git", nil
	}
	u, err := url.Parse(k.repo.url)
	if err != nil {
		return "", orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The repository of app %s has no address that Berth understands.", k.app.Name).
			WithHint("ops: check the app's repository in the catalog")
	}
	u.User = nil
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", orchestrator.Errorf(orchestrator.CodeGitAuth, "The address of %s (app %s) is http, over which everybody on the way could read its password.", k.repo.name, k.app.Name).
			WithHint("ops: give the app's repository an https address in the catalog")
	}
	return u.String(), nil
}
