package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/crypto/ssh"

	"github.com/berth-dev/berth/orchestrator"
)

// maxSecret is the most that a file with a token, a key or hosts' keys may have.
const maxSecret = 64 << 10

func (l *loader) credential(what string, b *hclsyntax.Block) {
	c := orchestrator.Credential{Name: b.Labels[0]}
	// What is wrong with it is told once: apps that name it name something.
	defer func() { l.cat.Credentials = append(l.cat.Credentials, c) }()
	for name, file := range map[string]string{"token": "token_file", "key": "key_file", "password": "token_file"} {
		if a, ok := b.Body.Attributes[name]; ok {
			l.at(a.Expr.Range(), "%s: secrets never stand in the catalog. Write it into a file that only Berth may read, and name that with %s.", what, file)
			return
		}
	}
	before := len(l.problems)
	get := l.attributes(what, b, "username", "token_file", "key_file", "known_hosts", "github_token")
	misread := len(l.problems) > before // what lacks may be what is misspelled
	ways := 0
	for _, f := range []struct {
		name  string
		to    *string
		check func(string) error
	}{{"token_file", &c.Token, CheckToken}, {"key_file", &c.Key, CheckKey}, {"known_hosts", &c.KnownHosts, CheckKnownHosts}} {
		e := get(f.name)
		if e == nil {
			continue
		}
		s, ok := l.text(f.name, e)
		if !ok {
			misread = true
			continue
		}
		*f.to = l.resolve(s)
		if f.name != "known_hosts" {
			ways++
		}
		if strings.ContainsAny(*f.to, "\"'%\\") || strings.ContainsFunc(*f.to, unicode.IsControl) {
			l.at(e.Range(), "%s: the path %q has a character that ssh reads in its own way. Choose another name for the file or its folder.", f.name, *f.to)
		} else if err := f.check(*f.to); err != nil {
			l.at(e.Range(), "%s: the file %s %s.", f.name, *f.to, err)
		}
	}
	if e := get("github_token"); e != nil {
		if c.GitHubToken = l.boolean("github_token", e); c.GitHubToken {
			ways++
		}
	}
	if e := get("username"); e != nil {
		s, ok := l.text("username", e)
		switch {
		case ok && (s == "" || strings.ContainsFunc(s, blankOrControl)):
			l.at(e.Range(), "username: %q is no name to log in with.", s)
		case get("token_file") == nil && !misread:
			l.at(e.Range(), "username goes with token_file: a key's user stands in the repository's address, as in git@git.example.com:acme/api.")
		}
		c.Username = s
	}
	switch {
	case misread:
	case ways != 1:
		l.at(b.TypeRange, "%s needs one of token_file, key_file and github_token.", what)
	case c.Key != "" && get("known_hosts") == nil:
		l.at(b.TypeRange, "%s has a key_file but no known_hosts: nobody would know whether it is shown to the right host. Write what ssh-keyscan HOST prints into a file, compare it with what the host publishes, and name it with known_hosts.", what)
	case c.Key == "" && get("known_hosts") != nil:
		l.at(get("known_hosts").Range(), "known_hosts goes with key_file.")
	}
}

// credentialOf links an app to its credential, once all blocks are read.
func (l *loader) credentialOf(app string, rng hcl.Range, name string) {
	l.refs = append(l.refs, func() {
		i := slices.IndexFunc(l.cat.Credentials, func(c orchestrator.Credential) bool { return c.Name == name })
		if i < 0 {
			known := make([]string, len(l.cat.Credentials))
			for i, c := range l.cat.Credentials {
				known[i] = c.Name
			}
			l.at(rng, "credential: there is no block credential %q.%s", name, l.didYouMean(name, known))
			return
		}
		c := l.cat.Credentials[i]
		for j := range l.cat.Apps {
			a := &l.cat.Apps[j]
			if a.Name != app {
				continue
			}
			a.Credential = &c
			switch web := overWeb(a.Repository); {
			case c.Key != "" && !overSSH(a.Repository):
				l.at(rng, "credential: %q is a key for ssh, and the repository of app %q has another kind of address. Expected such as git@git.example.com:acme/%s.", name, app, app)
			case c.Token != "" && !web:
				l.at(rng, "credential: %q is a token, and the repository of app %q has no https address. Expected such as https://git.example.com/acme/%s.", name, app, app)
			case c.Token != "" && openHTTP(a.Repository):
				l.at(rng, "credential: the repository of app %q has an http address, over which everybody on the way could read the token. Expected https.", app)
			}
		}
	})
}

// submodules reads which further repositories an app's servers may read as they
// read its own: of the same owner at the same host, so that a line of the catalog
// cannot send a login anywhere else.
func (l *loader) submodules(a *orchestrator.App, e hclsyntax.Expression) {
	names, places, _ := l.list("submodules", e)
	for i, s := range names {
		switch owner := ownerOf(a.Repository); {
		case owner == "":
			l.at(places[i], "submodules are for repositories at a host, and that of app %q is at none.", a.Name)
		case slices.Contains(names[:i], s):
			l.at(places[i], "submodules names %q twice.", s)
		case ownerOf(s) != owner:
			l.at(places[i], "submodules: %q is not of the same owner at the same host as the app's repository: expected an address that begins with %s.", s, owner)
		default:
			a.Submodules = append(a.Submodules, s)
		}
	}
}

// ownerOf is an address up to the last part of its path, empty where that names
// no host and owner.
func ownerOf(address string) string {
	if strings.Contains(address, "..") || strings.ContainsFunc(address, blankOrControl) {
		return ""
	}
	at := strings.LastIndex(strings.TrimRight(address, "/"), "/")
	if at < 0 || !overWeb(address) && !overSSH(address) {
		return ""
	}
	owner := address[:at+1]
	if u, err := url.Parse(owner); strings.Contains(owner, "://") && (err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "") {
		return ""
	}
	return owner
}

func overWeb(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

func overSSH(address string) bool {
	return strings.HasPrefix(address, "ssh://") || !strings.Contains(address, "://") && scpPattern.MatchString(address)
}

// openHTTP says whether an address leads over an open network.
func openHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") && u.Hostname() != "::1"
}

// secretFile reads a file that only its owner, or its group too, may read.
func secretFile(path string, open bool) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("is missing")
	case err != nil:
		return nil, fmt.Errorf("cannot be read (%s)", plain(err))
	case !info.Mode().IsRegular():
		return nil, errors.New("is no file")
	case !open && info.Mode().Perm()&0o027 != 0:
		return nil, fmt.Errorf("can be read or changed by others than its owner (mode %04o): chmod 600 %s", info.Mode().Perm(), path)
	case info.Size() > maxSecret:
		return nil, errors.New("has more than 64 KiB")
	}
	raw, err := readRegular(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read (%s)", plain(err))
	}
	return raw, nil
}

// CheckToken says what is wrong with a file that holds a token: one line.
func CheckToken(path string) error {
	raw, err := secretFile(path, false)
	if err != nil {
		return err
	}
	switch text := strings.TrimSpace(string(raw)); {
	case text == "":
		return errors.New("is empty")
	case strings.ContainsFunc(text, blankOrControl):
		return errors.New("holds more than one word: expected the token and nothing else")
	}
	return nil
}

// CheckKey says what is wrong with a file that holds a private key for ssh.
func CheckKey(path string) error {
	raw, err := secretFile(path, false)
	if err != nil {
		return err
	}
	var passphrase *ssh.PassphraseMissingError
	switch _, err := ssh.ParseRawPrivateKey(raw); {
	case errors.As(err, &passphrase):
		return errors.New("is a key with a passphrase, which nobody is there to type: make one without (ssh-keygen -t ed25519 -N '')")
	case err != nil && bytes.HasPrefix(raw, []byte("ssh-")):
		return errors.New("is the public half of a key: expected the private one")
	case err != nil:
		return errors.New("holds no private key that ssh understands")
	}
	return nil
}

// CheckKnownHosts says what is wrong with a file of hosts' keys, in the form of
// known_hosts in sshd(8).
func CheckKnownHosts(path string) error {
	raw, err := secretFile(path, true)
	if err != nil {
		return err
	}
	found := false
	for rest := raw; len(rest) > 0; {
		_, _, _, _, after, err := ssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.New("has a line that is none of known_hosts")
		}
		found, rest = true, after
	}
	if !found {
		return errors.New("knows no host: expected lines such as ssh-keyscan prints")
	}
	return nil
}
