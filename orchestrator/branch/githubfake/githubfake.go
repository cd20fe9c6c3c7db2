// Package githubfake stands in for GitHub in tests: its REST API, and git and
// Git LFS over HTTP, their protocols, refusals and authentication, over real git repositories.
package githubfake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API is the path of the API below the server's address, as GitHub Enterprise
// has it.
const API = "/api/v3/"

// AppID is the GitHub App that Key belongs to.
const AppID = "1234"

// Repository is one repository of GitHub's.
type Repository struct {
	// Name is owner/name, ID what GitHub redirects to after a renaming.
	Name string
	ID   int
	// Dir is the git repository, bare or not.
	Dir string
	// Private repositories are shown to who has a token alone; to all others
	// they do not exist.
	Private bool
	Empty   bool
	// Was are earlier names: GitHub redirects from them.
	Was []string
	// Renamed are branches that have another name now.
	Renamed map[string]string
	// Installed says that the GitHub App may read it.
	Installed bool
	Pulls     map[int]Pull
}

// Pull is a pull request.
type Pull struct {
	// Branch and Commit are its head, From whose repository that is in:
	// owner/name, empty when it is gone.
	Branch, Commit, From string
	Closed, Merged       bool
}

// Hub is GitHub. Set it up before Start; Fault may be set at any time.
type Hub struct {
	*httptest.Server
	Repositories []Repository
	// Tokens are those in force. Without a token only public repositories are
	// shown; a wrong one gets nothing at all, as from GitHub.
	Tokens []string
	// Closed is GitHub Enterprise's private mode: nothing without a token.
	Closed bool
	// Redirects are addresses outside of this server, by repository.
	Redirects map[string]string
	Key       *rsa.PublicKey // of the GitHub App
	Expires   func() time.Time
	Now       func() time.Time
	Bare      bool // no Link to the last page
	// Shown is called with each password that git shows, while git waits.
	Shown func(password string)

	mu        sync.Mutex
	fault     Fault
	faults    int
	requests  []string
	grants    []Grant
	removed   map[string]bool // repositories that the app was taken from
	lacking   bool
	suspended bool
	tiring    bool // see RevokeBeforeLarge
	presented []string
	large     map[string]string // files, by the key of their address
}

// Grant is an installation token that was made, and what for.
type Grant struct {
	Token   string
	Expires time.Time
	Revoked bool
	// Repositories are names without the owner; none: all of the installation.
	Repositories []string
	// Permissions are those asked for; none: all that the app has.
	Permissions map[string]string
}

// Fault is an answer to requests in place of the right one.
type Fault struct {
	Status  int
	Headers map[string]string
	Body    string
	Times   int // for so many requests alone, if set
}

// Start opens the server; the caller closes it.
func (h *Hub) Start() {
	if h.Now == nil {
		h.Now = time.Now
	}
	h.Server = httptest.NewServer(h)
}

// SetFault makes every request fail, or none with Fault{}.
func (h *Hub) SetFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault, h.faults = f, 0
}

// Revoke takes back the installation tokens that were made so far.
func (h *Hub) Revoke() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.grants {
		h.grants[i].Revoked = true
	}
}

// Trust puts a token in force.
func (h *Hub) Trust(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Tokens = append(h.Tokens, token)
}

// RevokeReading takes back those that may read contents alone.
func (h *Hub) RevokeReading() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, g := range h.grants {
		h.grants[i].Revoked = g.Revoked || len(g.Permissions) > 0
	}
}

// RevokeBeforeLarge has tokens of servers end between a clone and what comes
// after it, as in a clone that takes long: once, when large files are asked for.
func (h *Hub) RevokeBeforeLarge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tiring = true
}

// Install puts the app on a repository again that was made with it, or takes it
// away.
func (h *Hub) Install(name string, installed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.removed == nil {
		h.removed = map[string]bool{}
	}
	h.removed[name] = !installed
}

// installed says whether the app is on a repository; the caller holds the lock.
func (h *Hub) installed(repo Repository) bool { return repo.Installed && !h.removed[repo.Name] }

// Lack says whether the app lacks the permission to read contents.
func (h *Hub) Lack(lacking bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lacking = lacking
}

// Suspend says whether the app's installation is suspended.
func (h *Hub) Suspend(suspended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspended = suspended
}

// Minted is how many installation tokens were made.
func (h *Hub) Minted() int { return len(h.Grants()) }

// Grants are the installation tokens that were made, in their order.
func (h *Hub) Grants() []Grant {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.grants)
}

// Presented are the passwords that git showed, each with its repository and
// whether it was let in: "acme/api ghs_1 true".
func (h *Hub) Presented() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.presented)
}

// Asked is how many requests had part in their method and path.
func (h *Hub) Asked(part string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func (h *Hub) faulty(w http.ResponseWriter, r *http.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r.Method+" "+r.URL.EscapedPath())
	if h.fault.Status == 0 || h.fault.Times > 0 && h.faults >= h.fault.Times {
		return false
	}
	h.faults++
	for k, v := range h.fault.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(h.fault.Status)
	fmt.Fprint(w, h.fault.Body)
	return true
}

// allowed says whether a request's token is in force; without one, whether
// none is needed.
func (h *Hub) allowed(bearer string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case bearer == "":
		return !h.Closed
	case slices.Contains(h.Tokens, bearer):
		return true
	}
	g := h.grant(bearer)
	return g != nil && !g.Revoked && !h.suspended && g.Expires.After(h.Now())
}

// grant finds an installation token.
func (h *Hub) grant(token string) *Grant {
	for i := range h.grants {
		if h.grants[i].Token == token {
			return &h.grants[i]
		}
	}
	return nil
}

// sees says whether a token that is in force may read a repository.
func (h *Hub) sees(token string, repo Repository) bool {
	if !repo.Private {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.grant(token)
	if g == nil {
		return token != "" // a person's, who sees all
	}
	_, name, _ := strings.Cut(repo.Name, "/")
	return h.installed(repo) && (len(g.Repositories) == 0 || slices.ContainsFunc(g.Repositories, func(r string) bool { return strings.EqualFold(r, name) }))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone away is nobody's error
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.faulty(w, r) {
		return
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), API)
	if !ok {
		h.serveGit(w, r)
		return
	}
	if r.Header.Get("User-Agent") == "" {
		refuse(w, 403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
		return
	}
	if r.Method != http.MethodGet && !strings.HasSuffix(path, "/access_tokens") {
		refuse(w, 404, "Not Found")
		return
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if strings.HasSuffix(path, "/installation") || strings.HasPrefix(path, "app/") {
		h.serveApp(w, r, path, bearer)
		return
	}
	if !h.allowed(bearer) {
		message := "Bad credentials"
		if bearer == "" {
			message = "Must authenticate to access this API."
		}
		refuse(w, 401, message)
		return
	}
	name, rest := "", ""
	switch f := strings.SplitN(path, "/", 4); {
	case f[0] == "repositories" && len(f) > 1:
		_, rest, _ = strings.Cut(strings.TrimPrefix(path, "repositories/"), "/")
		for _, repo := range h.Repositories {
			if strconv.Itoa(repo.ID) == f[1] {
				name = repo.Name
			}
		}
	case f[0] == "repos" && len(f) > 2:
		name = f[1] + "/" + f[2]
		if len(f) > 3 {
			rest = f[3]
		}
	}
	if to := h.Redirects[name]; to != "" {
		w.Header().Set("Location", to)
		refuse(w, 301, "Moved Permanently")
		return
	}
	for _, repo := range h.Repositories {
		if !h.sees(bearer, repo) {
			continue
		}
		if slices.Contains(repo.Was, strings.ToLower(name)) {
			to := fmt.Sprintf("%s%srepositories/%d", h.URL, API, repo.ID)
			if rest != "" {
				to += "/" + rest
			}
			w.Header().Set("Location", to)
			answer(w, 301, map[string]string{"message": "Moved Permanently", "url": to})
			return
		}
		if strings.EqualFold(repo.Name, name) {
			if h.lacks(bearer) && rest != "" {
				refuse(w, 403, "Resource not accessible by integration")
				return
			}
			h.serveRepository(w, r, repo, rest)
			return
		}
	}
	refuse(w, 404, "Not Found")
}

func (h *Hub) serveRepository(w http.ResponseWriter, r *http.Request, repo Repository, rest string) {
	// As the real one, every answer counts against the limit.
	w.Header().Set("X-RateLimit-Limit", "5000")
	w.Header().Set("X-RateLimit-Remaining", "4999")
	kind, arg, _ := strings.Cut(rest, "/")
	commit := func(id string) map[string]any { return map[string]any{"sha": id} }
	self := map[string]any{"id": repo.ID, "full_name": repo.Name, "default_branch": "main"}
	base := fmt.Sprintf("%s%srepositories/%d/branches", h.URL, API, repo.ID)
	switch {
	case repo.Empty && strings.HasPrefix(rest, "commits/"):
		refuse(w, 409, "Git Repository is empty.")
	case rest == "":
		answer(w, 200, self)
	case rest == "branches":
		heads := repo.heads()
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page = max(page, 1)
		// Small pages, whatever is asked for: the client must follow the links.
		const per = 4
		last := (len(heads) + per - 1) / per
		if page < last {
			link := fmt.Sprintf(`<%s?page=%d>; rel="next"`, base, page+1)
			if !h.Bare {
				link += fmt.Sprintf(`, <%s?page=%d>; rel="last"`, base, last)
			}
			w.Header().Set("Link", link)
		}
		list := []any{}
		for _, t := range heads[min(len(heads), (page-1)*per):min(len(heads), page*per)] {
			list = append(list, map[string]any{"name": t[0], "commit": commit(t[1])})
		}
		answer(w, 200, list)
	case kind == "branches":
		name, _ := url.PathUnescape(arg)
		if to := repo.Renamed[name]; to != "" {
			w.Header().Set("Location", base+"/"+url.PathEscape(to))
			refuse(w, 301, "Moved Permanently")
			return
		}
		for _, t := range repo.heads() {
			if t[0] == name {
				answer(w, 200, map[string]any{"name": name, "commit": commit(t[1])})
				return
			}
		}
		refuse(w, 404, "Branch not found")
	case kind == "commits" && strings.HasSuffix(arg, "/branches-where-head"):
		list := []any{}
		for _, t := range repo.heads() {
			if t[1]+"/branches-where-head" == arg {
				list = append(list, map[string]any{"name": t[0], "commit": commit(t[1])})
			}
		}
		answer(w, 200, list)
	case kind == "commits":
		// Any name and, as the real one, any commit of the network of forks.
		out, err := exec.Command("git", "-C", repo.Dir, "rev-parse", "--verify", "--quiet", "--end-of-options", arg+"^{commit}").Output()
		if err != nil {
			refuse(w, 422, "No commit found for SHA: "+arg)
			return
		}
		answer(w, 200, commit(strings.TrimSpace(string(out))))
	case kind == "compare":
		arg, _ = url.PathUnescape(arg)
		base, head, _ := strings.Cut(arg, "...")
		b, err := exec.Command("git", "-C", repo.Dir, "rev-parse", "--verify", "--quiet", "--end-of-options", base+"^{commit}").Output()
		if err != nil {
			refuse(w, 404, "Not Found")
			return
		}
		m, err := exec.Command("git", "-C", repo.Dir, "merge-base", strings.TrimSpace(string(b)), head).Output()
		if err != nil {
			refuse(w, 404, "No common ancestor")
			return
		}
		baseID, merge := strings.TrimSpace(string(b)), strings.TrimSpace(string(m))
		status := "diverged"
		switch {
		case baseID == head:
			status = "identical"
		case merge == head:
			status = "behind"
		case merge == baseID:
			status = "ahead"
		}
		// Oldest first, in pages, as GitHub gives them.
		out, _ := exec.Command("git", "-C", repo.Dir, "log", "--reverse", "-z", "--format=%H%n%an%n%B", baseID+".."+head).Output()
		list := []any{}
		for _, one := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if parts := strings.SplitN(one, "\n", 3); len(parts) == 3 {
				list = append(list, map[string]any{"sha": parts[0], "commit": map[string]any{"author": map[string]any{"name": parts[1]}, "message": strings.TrimSpace(parts[2])}})
			}
		}
		total := len(list)
		per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		per, page = min(max(per, 1), 100), max(page, 1)
		list = list[min((page-1)*per, total):min(page*per, total)]
		answer(w, 200, map[string]any{"status": status, "total_commits": total, "commits": list, "base_commit": commit(baseID), "merge_base_commit": commit(merge)})
	case strings.HasPrefix(rest, "git/ref/tags/"):
		name, _ := url.PathUnescape(strings.TrimPrefix(rest, "git/ref/"))
		out, err := exec.Command("git", "-C", repo.Dir, "rev-parse", "--verify", "--quiet", "--end-of-options", "refs/"+name).Output()
		if err != nil {
			refuse(w, 404, "Not Found")
			return
		}
		answer(w, 200, map[string]any{"ref": "refs/" + name, "object": commit(strings.TrimSpace(string(out)))})
	case kind == "pulls":
		number, _ := strconv.Atoi(arg)
		pull, ok := repo.Pulls[number]
		if !ok {
			refuse(w, 404, "Not Found")
			return
		}
		var from any
		if pull.From == repo.Name {
			from = self
		} else if pull.From != "" {
			from = map[string]any{"id": repo.ID + 1000, "full_name": pull.From}
		}
		state := "open"
		if pull.Closed {
			state = "closed"
		}
		answer(w, 200, map[string]any{"number": number, "state": state, "merged": pull.Merged,
			"head": map[string]any{"ref": pull.Branch, "sha": pull.Commit, "repo": from},
			"base": map[string]any{"ref": "main", "repo": self}})
	default:
		refuse(w, 404, "Not Found")
	}
}

// serveApp is GitHub's side of an app's authentication.
func (h *Hub) serveApp(w http.ResponseWriter, r *http.Request, path, bearer string) {
	parts := strings.Split(bearer, ".")
	if h.Key == nil || len(parts) != 3 {
		refuse(w, 401, "A JSON web token could not be decoded")
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if rsa.VerifyPKCS1v15(h.Key, crypto.SHA256, digest[:], signature) != nil || json.Unmarshal(text, &claims) != nil ||
		claims.Iss != AppID || claims.Exp-claims.Iat > 600 {
		refuse(w, 401, "A JSON web token could not be decoded")
		return
	}
	// GitHub's clock decides, and not the app's own.
	switch now := h.Now().Unix(); {
	case claims.Iat > now:
		refuse(w, 401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
		return
	case claims.Exp <= now:
		refuse(w, 401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	installed := slices.ContainsFunc(h.Repositories, func(repo Repository) bool {
		return h.installed(repo) && strings.EqualFold(path, "repos/"+repo.Name+"/installation")
	})
	switch {
	case installed:
		answer(w, 200, map[string]any{"id": 99})
	case path == "app/installations/99/access_tokens" && r.Method == http.MethodPost:
		h.mint(w, r)
	default:
		refuse(w, 404, "Not Found")
	}
}

// mint makes an installation token; the caller holds the lock.
func (h *Hub) mint(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Repositories []string          `json:"repositories"`
		Permissions  map[string]string `json:"permissions"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked) // without a body: all
	reaches := func(name string) bool {
		return slices.ContainsFunc(h.Repositories, func(repo Repository) bool {
			_, short, _ := strings.Cut(repo.Name, "/")
			return h.installed(repo) && strings.EqualFold(short, name)
		})
	}
	switch {
	case h.suspended:
		refuse(w, 403, "This installation has been suspended")
		return
	case h.lacking && asked.Permissions["contents"] != "":
		refuse(w, 422, "The permissions requested are not granted to this installation.")
		return
	case slices.ContainsFunc(asked.Repositories, func(name string) bool { return !reaches(name) }):
		refuse(w, 422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		return
	}
	g := Grant{Token: fmt.Sprintf("ghs_%d", len(h.grants)+1), Expires: h.Expires(), Repositories: asked.Repositories, Permissions: asked.Permissions}
	h.grants = append(h.grants, g)
	answer(w, 201, map[string]any{"token": g.Token, "expires_at": g.Expires.Format(time.RFC3339), "permissions": g.Permissions})
}

// lacks says whether a token is the app's while that may not read contents.
func (h *Hub) lacks(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lacking && h.grant(token) != nil
}

// serveGit is git over HTTP, as GitHub's own host has it: a private repository
// does not exist for who shows nothing but a name, and asks for it first.
func (h *Hub) serveGit(w http.ResponseWriter, r *http.Request) {
	if key, ok := strings.CutPrefix(r.URL.Path, "/large/"); ok {
		h.mu.Lock()
		file := h.large[key]
		h.mu.Unlock()
		http.ServeFile(w, r, file)
		return
	}
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 3 {
		refuse(w, 404, "Not Found")
		return
	}
	name := parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	i := slices.IndexFunc(h.Repositories, func(repo Repository) bool { return strings.EqualFold(repo.Name, name) })
	_, token, shown := r.BasicAuth()
	if strings.HasPrefix(parts[2], "info/lfs/") {
		h.mu.Lock()
		tired := h.tiring
		h.tiring = false
		h.mu.Unlock()
		if tired {
			h.RevokeReading()
		}
	}
	in := i >= 0 && (!shown || h.allowed(token)) && h.sees(token, h.Repositories[i]) && !h.lacks(token)
	if shown {
		h.mu.Lock()
		h.presented = append(h.presented, fmt.Sprintf("%s %s %t", name, token, in))
		h.mu.Unlock()
		if h.Shown != nil {
			h.Shown(token)
		}
	}
	switch {
	case in:
	case !shown || !h.allowed(token):
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(w, "Invalid username or token. Password authentication is not supported for Git operations.", http.StatusUnauthorized)
		return
	case h.lacks(token):
		http.Error(w, "Write access to repository not granted.", http.StatusForbidden)
		return
	default:
		http.Error(w, "Repository not found.", http.StatusNotFound)
		return
	}
	dir := h.Repositories[i].Dir
	if strings.HasPrefix(parts[2], "info/lfs/") {
		h.serveLarge(w, r, parts[2], dir)
		return
	}
	if parts[2] != "info/refs" && parts[2] != "git-upload-pack" || strings.Contains(r.URL.RawQuery, "receive-pack") {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	programs, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.URL.Path = "/" + parts[2]
	(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(programs)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + gitFolder(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		InheritEnv: []string{"PATH"},
	}).ServeHTTP(w, r)
}

// serveLarge is Git LFS: what is asked for in a batch is fetched from addresses
// that need no login, each good for one file.
func (h *Hub) serveLarge(w http.ResponseWriter, r *http.Request, path, dir string) {
	var asked struct {
		Objects []struct {
			Oid  string `json:"oid"`
			Size int64  `json:"size"`
		} `json:"objects"`
	}
	if path != "info/lfs/objects/batch" || json.NewDecoder(r.Body).Decode(&asked) != nil {
		refuse(w, 404, "Not Found")
		return
	}
	list := []any{}
	for _, o := range asked.Objects {
		one := map[string]any{"oid": o.Oid, "size": o.Size}
		file := filepath.Join(gitFolder(dir), "lfs", "objects", o.Oid[:2], o.Oid[2:4], o.Oid)
		if _, err := os.Stat(file); err != nil {
			one["error"] = map[string]any{"code": 404, "message": "Object does not exist"}
		} else {
			key := rand.Text()
			h.mu.Lock()
			if h.large == nil {
				h.large = map[string]string{}
			}
			h.large[key] = file
			h.mu.Unlock()
			one["authenticated"] = true
			one["actions"] = map[string]any{"download": map[string]any{"href": h.URL + "/large/" + key, "expires_in": 60}}
		}
		list = append(list, one)
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": list})
}

// gitFolder is where git keeps its own of a repository, bare or not.
func gitFolder(dir string) string {
	if inner := filepath.Join(dir, ".git"); dirExists(inner) {
		return inner
	}
	return dir
}

func dirExists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// heads are the branches, by name, and their commits.
func (r Repository) heads() [][2]string {
	var heads [][2]string
	// A folder without branches has none; one that is no repository neither.
	out, _ := exec.Command("git", "-C", r.Dir, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").Output()
	for line := range strings.Lines(string(out)) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads = append(heads, [2]string{name, id})
	}
	slices.SortFunc(heads, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return heads
}
