package branch

import (
	"context"
	"net"
	"net/url"

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
	if !k.github.has(k.repo) || k.github.app == nil {
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
