package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Login is what a server shows a repository's host to read one repository: a
// name and a password, or a key for ssh. It is kept in memory alone.
type Login struct {
	// Repository is the address to clone from, the one that the login is for:
	// that of the catalog, unless the login is for another way to the same
	// repository.
	Repository string `json:"repository"`
	Username   string `json:"username,omitempty"`
	Password   string `json:"password,omitempty"`
	// Key is a private key for ssh in PEM form, KnownHosts the lines by which
	// the host is known.
	Key        string `json:"key,omitempty"`
	KnownHosts string `json:"known_hosts,omitempty"`
	// Until is when the host stops taking it; zero: not known.
	Until time.Time `json:"until,omitzero"`
}

// String hides what the login is.
func (l Login) String() string { return "login for " + l.Repository }

// GoString hides it too.
func (l Login) GoString() string { return l.String() }

// LoginRequest is how a server asks for a Login.
type LoginRequest struct {
	// Generation is the server's desired state that the code is for.
	Generation int    `json:"generation"`
	Repository string `json:"repository"`
	// Refused is the SHA-256 (hex) of a password that the host has just
	// refused, so that it is not given out again.
	Refused string `json:"refused,omitempty"`
}

// Logins gives logins for repositories of an app: nil where the server reads
// the repository by itself, an *Error where none can be had.
type Logins interface {
	Login(ctx context.Context, app App, repository, refused string) (*Login, error)
}

// Login gives a server what it needs to read its own repository, and those of
// the submodules that the catalog lists for its app, at its newest desired
// state. For any other repository the answer is CodeNotAllowed, for an older
// state CodeState. nil: the server needs none.
func (f *Fleet) Login(ctx context.Context, serverID string, ask LoginRequest) (*Login, error) {
	v, err := f.Records.Server(ctx, serverID)
	if err != nil {
		return nil, err
	}
	if len(v.Desired) == 0 {
		return nil, Errorf(CodeNotAllowed, "The server %s has nothing to run yet.", v.Name)
	}
	var d Desired
	if err := json.Unmarshal(v.Desired, &d); err != nil {
		return nil, fmt.Errorf("reading the desired state of %s: %w", serverID, err)
	}
	if ask.Generation != v.Generation {
		return nil, Errorf(CodeState, "The server %s is to run something newer than what it asks about.", v.Name)
	}
	a, ok := f.Catalogs.Current().App(v.App)
	switch {
	case !ok:
		return nil, Errorf(CodeAppUnknown, "The catalog has no app %s any more.", v.App)
	case ask.Repository != d.Repository && !slices.Contains(a.Submodules, ask.Repository):
		return nil, Errorf(CodeNotAllowed, "The server %s may not read %s: that is neither its repository nor a submodule that the catalog allows its app.", v.Name, ask.Repository)
	case a.Repository != d.Repository:
		return nil, Errorf(CodeState, "The catalog has another repository for app %s since the server %s was deployed.", v.App, v.Name).
			WithHint("deploy it again")
	}
	if f.Logins == nil {
		return nil, nil
	}
	return f.Logins.Login(ctx, a, ask.Repository, ask.Refused)
}
