package agent

import "testing"

func TestLoginIsFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address, protocol, host, path string
		want                          bool
	}{
		{"https://github.com/acme/api", "https", "github.com", "acme/api", true},
		{"https://github.com/acme/api", "https", "github.com", "acme/api.git", true},
		{"https://github.com/acme/api.git", "https", "github.com", "acme/api", true},
		{"https://github.com/acme/api.git", "https", "github.com", "acme/api.git/info/lfs", true},
		{"https://github.com/acme/api", "https", "github.com", "acme/api.git/info/lfs/objects/batch", true},
		{"http://127.0.0.1:4000/acme/api", "http", "127.0.0.1:4000", "acme/api", true},
		{"https://github.com/acme/api", "http", "github.com", "acme/api", false},
		{"https://github.com/acme/api", "https", "github.com.evil.example", "acme/api", false},
		{"https://github.com/acme/api", "https", "github.com:444", "acme/api", false},
		{"https://github.com/acme/api", "https", "github.com", "acme/api-secrets", false},
		{"https://github.com/acme/api", "https", "github.com", "acme/api/info/lfsx", false},
		{"https://github.com/acme/api", "https", "github.com", "acme/api/more", false},
		{"https://github.com/acme/api", "https", "github.com", "acme", false},
		{"https://github.com/acme/api", "https", "github.com", "", false},
		{"git@github.com:acme/api", "https", "github.com", "acme/api", false},
	} {
		if got := isFor(c.address, c.protocol, c.host, c.path); got != c.want {
			t.Errorf("%s for %s://%s/%s: %t", c.address, c.protocol, c.host, c.path, got)
		}
	}
}
