package branch

import (
	"net"
	"net/url"
	"path"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// repository is where an app's code is.
type repository struct {
	url    string // as the catalog has it
	scheme string // https, http, ssh, git, file; empty for a path
	host   string // lower case, without the port
	port   string
	path   string // without slashes at its ends and without .git
	name   string // short, for people: owner/repository, or a folder's name

	login  *login // ops' own for the app; nil: none
	failed error  // why it cannot be had
}

// scpAddress is [user@]host:path, git's short form of an ssh address.
var scpAddress = lazyregexp.New(`^(?:[^@/\s]+@)?(\[[0-9a-fA-F:.]+\]|[^:/\s]+):([^\s].*)$`)

// parseRepository reads any address that git can clone.
func parseRepository(address string) repository {
	address = strings.TrimSpace(address)
	r := repository{url: address}
	rest := address
	if u, err := url.Parse(address); err == nil && strings.Contains(address, "://") {
		r.scheme, r.host, r.port, rest = strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port(), u.Path
	} else if m := scpAddress.FindStringSubmatch(address); m != nil {
		r.scheme, r.host, rest = "ssh", strings.ToLower(strings.Trim(m[1], "[]")), m[2]
	}
	switch r.host {
	case "www.github.com", "ssh.github.com":
		r.host, r.port = "github.com", ""
	}
	r.path = strings.Trim(rest, "/")
	r.path = strings.TrimRight(strings.TrimSuffix(r.path, ".git"), "/")
	r.name = r.path
	if r.host == "" {
		r.name = path.Base(r.path)
	}
	if r.name == "" || r.name == "." {
		r.name = withoutPasswords(address)
	}
	return r
}

// place is what a person calls the repository's host.
func (r repository) place() string {
	if r.host == "" {
		return "the repository " + r.name
	}
	if r.port != "" {
		return net.JoinHostPort(r.host, r.port)
	}
	return r.host
}

// sameHost compares hosts. Ports count between two web addresses, and for git's
// own protocol; that of ssh says nothing about the web's.
func (r repository) sameHost(scheme, host, port string) bool {
	if !strings.EqualFold(r.host, host) {
		return false
	}
	if r.scheme == "git" {
		return r.port == port
	}
	web := (r.scheme == "http" || r.scheme == "https") && (scheme == "http" || scheme == "https")
	return !web || effectivePort(r.scheme, r.port) == effectivePort(scheme, port) ||
		// http://host and https://host, both without a port, are one place.
		r.port == "" && port == ""
}

func effectivePort(scheme, port string) string {
	switch {
	case port != "":
		return port
	case scheme == "http":
		return "80"
	}
	return "443"
}

// within gives the part of a web address that follows the repository's own
// path, if it is one of this repository.
func (r repository) within(u *url.URL) (string, bool) {
	host := strings.ToLower(u.Hostname())
	if host == "www.github.com" {
		host = "github.com"
	}
	if r.host == "" || !r.sameHost(strings.ToLower(u.Scheme), host, u.Port()) {
		return "", false
	}
	p := strings.TrimLeft(u.Path, "/")
	if len(p) < len(r.path) || !strings.EqualFold(p[:len(r.path)], r.path) {
		return "", false
	}
	rest := strings.TrimPrefix(p[len(r.path):], ".git")
	if rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// owner splits owner/repository; ok is false for any other path.
func (r repository) owner() (owner, name string, ok bool) {
	owner, name, ok = strings.Cut(r.path, "/")
	return owner, name, ok && githubName.MatchString(owner) && githubName.MatchString(name) && strings.Trim(name, ".") != "" && strings.Trim(owner, ".") != ""
}

// githubName is what GitHub allows in the names of owners and repositories.
var githubName = lazyregexp.New(`^[A-Za-z0-9._-]{1,100}$`)

// userInfo is what stands before a host in an address, in any text.
var userInfo = lazyregexp.New(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@'"]*(?:@[^\s/@'"]*)*@`)

// withoutPasswords takes names and passwords out of the addresses in text.
func withoutPasswords(text string) string { return userInfo.ReplaceAllString(text, "$1") }
