package branch

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	api "github.com/google/go-github/v60/github"
)

// installations makes Berth speak as a GitHub App: for each repository a token
// that may read that repository alone, and that lives for an hour. Servers get
// another one, which may read the repository's contents and nothing else.
type installations struct {
	client  *api.Client
	id      string
	keyFile string
	now     func() time.Time

	mu     sync.Mutex
	known  map[string]*installation
	handed map[string]*installation
}

// installation is the token of one repository.
type installation struct {
	mu     sync.Mutex
	client *api.Client
	token  string
	until  time.Time
	again  time.Time // before then no server's word makes another token
}

const (
	// margin is how long before its end a token is not begun with any more.
	margin = 2 * time.Minute
	// cloning is how long a token has to last that a server begins with: a
	// large clone takes its time, and then asks for large files.
	cloning = 20 * time.Minute
	// distrust is how long another token lasts at least, whatever a server says
	// of it: GitHub gives out only so many.
	distrust = time.Minute
)

// keyError is a private key that cannot be used.
type keyError struct{ what string }

func (e *keyError) Error() string { return e.what }

// clientFor gives a client that may read the repository, with the token that
// it has or with a new one.
func (a *installations) clientFor(ctx context.Context, owner, repo string) (*api.Client, error) {
	i := a.of(&a.known, owner, repo)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil && a.now().Add(margin).Before(i.until) {
		return i.client, nil
	}
	token, err := a.mint(ctx, owner, repo, nil)
	if err != nil {
		return nil, err
	}
	until := token.GetExpiresAt().Time
	client := a.client.WithAuthToken(token.GetToken())
	// A token may be taken back before its time: the next check gets another.
	client = forgetting(client, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.until.Equal(until) {
			i.client = nil
		}
	})
	i.client, i.until = client, until
	return i.client, nil
}

// loginFor gives a token for a server: the one that it has given before, unless
// that is near its end or refused is its SHA-256, which counts once a minute.
func (a *installations) loginFor(ctx context.Context, owner, repo, refused string) (token string, until time.Time, err error) {
	i := a.of(&a.handed, owner, repo)
	i.mu.Lock()
	defer i.mu.Unlock()
	now, again := a.now(), i.again
	if i.token != "" && now.Add(cloning).Before(i.until) {
		if refused != hashOf(i.token) || now.Before(i.again) {
			return i.token, i.until, nil
		}
		again = now.Add(distrust)
	}
	read := "read"
	minted, err := a.mint(ctx, owner, repo, &api.InstallationPermissions{Contents: &read})
	if err != nil {
		return "", time.Time{}, err
	}
	i.token, i.until, i.again = minted.GetToken(), minted.GetExpiresAt().Time, again
	return i.token, i.until, nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// of is a repository's place among tokens.
func (a *installations) of(all *map[string]*installation, owner, repo string) *installation {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *all == nil {
		*all = map[string]*installation{}
	}
	id := strings.ToLower(owner + "/" + repo)
	if (*all)[id] == nil {
		(*all)[id] = &installation{}
	}
	return (*all)[id]
}

// mint makes a token for one repository, with the permissions, or with all that
// the app has there.
func (a *installations) mint(ctx context.Context, owner, repo string, may *api.InstallationPermissions) (*api.InstallationToken, error) {
	jwt, err := a.jwt()
	if err != nil {
		return nil, err
	}
	asApp := a.client.WithAuthToken(jwt)
	found, _, err := asApp.Apps.FindRepositoryInstallation(ctx, owner, repo)
	if err != nil {
		return nil, err
	}
	token, _, err := asApp.Apps.CreateInstallationToken(ctx, found.GetID(), &api.InstallationTokenOptions{Repositories: []string{repo}, Permissions: may})
	if err != nil {
		return nil, err
	}
	if token.GetToken() == "" {
		return nil, errors.New("GitHub gave no installation token")
	}
	return token, nil
}

// forgetting calls forget when GitHub refuses the client's credentials.
func forgetting(client *api.Client, forget func()) *api.Client {
	plain := client.Client()
	inner := plain.Transport
	plain.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := inner.RoundTrip(req)
		if err == nil && resp.StatusCode == http.StatusUnauthorized {
			forget()
		}
		return resp, err
	})
	c := api.NewClient(plain)
	c.BaseURL, c.UserAgent = client.BaseURL, client.UserAgent
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// jwt is what the app proves itself with. The key is read each time, so that
// ops can replace it.
func (a *installations) jwt() (string, error) {
	key, err := readKey(a.keyFile)
	if err != nil {
		return "", err
	}
	now := a.now()
	claims, err := json.Marshal(map[string]any{
		"iss": a.id,
		"iat": now.Add(-time.Minute).Unix(), // clocks differ
		"exp": now.Add(9 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", &keyError{"its private key cannot sign"}
	}
	return signed + "." + encode(signature), nil
}

func readKey(file string) (*rsa.PrivateKey, error) {
	if file == "" {
		return nil, &keyError{"it has the ID of a GitHub App but no private key"}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &keyError{fmt.Sprintf("the private key %s cannot be read", file)}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, &keyError{fmt.Sprintf("%s holds no private key in PEM form", file)}
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := any.(*rsa.PrivateKey); err == nil && ok {
		return key, nil
	}
	return nil, &keyError{fmt.Sprintf("%s holds no RSA private key", file)}
}
