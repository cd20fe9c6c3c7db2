package agent

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// submodule is one of a commit's: where it is, and which commit of it is wanted.
type submodule struct{ name, path, address, commit string }

// Submodules of submodules are followed so far, and so many at all.
const deepestSubmodule, mostSubmodules = 10, 200

// fetchSubmodules mirrors the submodules of a mirrored commit that the catalog
// lists. Each other one is noted as standing for itself: a mirror's address may
// be the beginning of its own.
func (a *agent) fetchSubmodules(ctx context.Context, d *orchestrator.Desired, parent mirror, commit string, all *[]mirror, depth int) error {
	for _, s := range a.submodules(ctx, parent, commit) {
		if len(*all) > mostSubmodules || depth > deepestSubmodule {
			return problemf("The code of %s has more submodules than Berth follows.", withoutLogin(d.Repository))
		}
		known := slices.IndexFunc(*all, func(m mirror) bool { return m.address == s.address })
		if known >= 0 && (*all)[known].dir == "" {
			continue
		}
		i := slices.IndexFunc(d.Submodules, func(allowed string) bool { return sameRepository(allowed, s.address) })
		if i < 0 && sameRepository(d.Repository, s.address) {
			continue // the mirror is there
		}
		if i < 0 {
			if !overNetwork(s.address) && len(d.Submodules) > 0 {
				return problemf("The submodule %s of %s is at %s, a place on the server itself, which Berth does not take beside private ones.", s.path, withoutLogin(parent.address), s.address)
			}
			*all = append(*all, mirror{address: s.address})
			continue
		}
		m := a.mirrorOf(s.address, d.Submodules[i])
		needed, err := a.fetch(ctx, d, m, "", s.commit)
		if err != nil {
			return err
		}
		if !needed {
			m.dir = ""
		}
		if known < 0 {
			*all = append(*all, m)
		}
		if needed {
			if err := a.fetchSubmodules(ctx, d, m, s.commit, all, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// submodules are those of a commit that git would fetch.
func (a *agent) submodules(ctx context.Context, m mirror, commit string) []submodule {
	text, err := a.git(ctx, m.dir, "config", "--blob", commit+":.gitmodules", "-z", "--list")
	if err != nil {
		return nil // there is no such file; git tells of a broken one later
	}
	byName := map[string]*submodule{}
	var order []*submodule
	for _, pair := range strings.Split(strings.TrimSuffix(text, "\x00"), "\x00") {
		key, value, _ := strings.Cut(pair, "\n")
		key, ok := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndex(key, ".")
		if !ok || dot < 0 {
			continue
		}
		name := key[:dot]
		s := byName[name]
		if s == nil {
			s = &submodule{name: name}
			byName[name], order = s, append(order, s)
		}
		switch key[dot+1:] {
		case "path":
			s.path = value
		case "url":
			s.address = absolute(m.address, value)
		}
	}
	var out []submodule
	for _, s := range order {
		if s.path == "" || s.address == "" {
			continue
		}
		entry, err := a.git(ctx, m.dir, "ls-tree", "-z", commit, "--", ":(literal)"+s.path)
		fields := strings.Fields(entry)
		if err != nil || len(fields) < 3 || fields[0] != "160000" || !commitForm.MatchString(fields[2]) {
			continue // named, and not in the tree
		}
		s.commit = fields[2]
		out = append(out, *s)
	}
	return out
}

// absolute is a submodule's address as git resolves it against that of the
// repository that has it; see git-submodule(1), add.
func absolute(parent, address string) string {
	if !strings.HasPrefix(address, "./") && !strings.HasPrefix(address, "../") {
		return address
	}
	parent = strings.TrimRight(parent, "/")
	separator := "/"
	for {
		if rest, ok := strings.CutPrefix(address, "./"); ok {
			address = rest
			continue
		}
		rest, ok := strings.CutPrefix(address, "../")
		if !ok {
			break
		}
		i := strings.LastIndexAny(parent, "/:")
		if i < 0 || strings.HasSuffix(parent[:i+1], "//") {
			return address // above the host: git fails with it too
		}
		separator = parent[i : i+1]
		parent, address = parent[:i], rest
	}
	return strings.TrimRight(parent+separator+address, "/")
}

// sameRepository says whether two addresses are ways to one repository.
func sameRepository(a, b string) bool {
	x, y := place(a), place(b)
	return x != "" && x == y
}

// place is an address's host and path; empty where it is on this machine.
func place(address string) string {
	host, path := "", ""
	if u, err := url.Parse(address); err == nil && strings.Contains(address, "://") {
		if host = u.Hostname(); u.Scheme == "http" || u.Scheme == "https" {
			host = u.Host
		}
		path = u.Path
	} else if shortAddress.MatchString(address) {
		host, path, _ = strings.Cut(address, ":")
		host = host[strings.LastIndex(host, "@")+1:]
	}
	if host == "" {
		return ""
	}
	return strings.ToLower(host + "/" + strings.TrimSuffix(strings.Trim(path, "/"), ".git"))
}
