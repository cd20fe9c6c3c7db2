package branch

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// reference is what a person typed for a branch, read in every way that it
// can be meant.
type reference struct {
	text    string
	names   []string // as a branch: exactly so, then without origin/ or refs/heads/
	commit  string   // lower case, if it can be a commit's ID
	pull    int
	pullOf  string // owner/repository, if it was said
	address *url.URL
}

// wanted is the branch's name that was most likely meant.
func (r reference) wanted() string { return r.names[len(r.names)-1] }

// referenceError is a text that can be no branch.
type referenceError struct{ text, reason string }

func (e *referenceError) Error() string { return fmt.Sprintf("%q: %s", e.text, e.reason) }

func explainReference(app orchestrator.App, err error) error {
	e, ok := err.(*referenceError)
	if !ok {
		return err
	}
	if e.text == "" {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "No branch is named for app %s, and the catalog has none for it.", app.Name).
			WithHint("name one: %s=BRANCH", app.Name)
	}
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s cannot be the branch of app %s: %s.", quoted(e.text), app.Name, e.reason).
		WithHint("name a branch, a commit's ID, or a pull request such as #123")
}

// quoted makes a text that may hold anything fit to be shown on one line.
func quoted(s string) string {
	const most = 120
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return strconv.Quote(withoutPasswords(s))
}

var (
	pullNumber = lazyregexp.New(`^(?:([A-Za-z0-9._-]+/[A-Za-z0-9._-]+))?#([1-9][0-9]{0,8})$`)
	hexID      = lazyregexp.New(`^[0-9a-fA-F]{7,40}$`)
	webAddress = lazyregexp.New(`(?i)^https?://`)
	// bareAddress is an address of GitHub's as people shorten it; also a
	// possible, if unlikely, branch.
	bareAddress = lazyregexp.New(`(?i)^(www\.)?github\.com/[^/]+/[^/]+/(tree|pull|commits?|blob)/`)
)

// parseReference reads what a person typed. It errs, with a *referenceError,
// only for what git would take for no branch's name at all.
func parseReference(text string) (reference, error) {
	text = strings.TrimSpace(text)
	r := reference{text: text}
	if webAddress.MatchString(text) || bareAddress.MatchString(text) {
		full := text
		if !webAddress.MatchString(text) {
			full = "https://" + text
		}
		u, err := url.Parse(full)
		if err != nil || u.Host == "" {
			return r, &referenceError{text, "it is no complete address"}
		}
		r.address = u
		return r, nil
	}
	if reason := invalidBranch(text); reason != "" {
		return r, &referenceError{text, reason}
	}
	r.names = []string{text}
	for _, prefix := range []string{"refs/heads/", "refs/remotes/origin/", "remotes/origin/", "origin/", "heads/"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok && invalidBranch(rest) == "" {
			r.names = append(r.names, rest)
			break
		}
	}
	if m := pullNumber.FindStringSubmatch(text); m != nil {
		r.pullOf, r.pull = m[1], atoi(m[2])
	}
	r.commit, _ = commitID(text)
	return r, nil
}

func commitID(s string) (string, bool) {
	if !hexID.MatchString(s) {
		return "", false
	}
	return strings.ToLower(s), true
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// invalidBranch says why git would refuse name as a branch's, or nothing. The
// rules are those of git check-ref-format --branch, and of what may stand in
// the path of an API.
func invalidBranch(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > 244:
		return "it is longer than git allows"
	case !utf8.ValidString(name):
		return "it is not written in UTF-8"
	case name[0] == '-':
		return "a branch's name cannot begin with a hyphen"
	case strings.Contains(name, ".."):
		return "a branch's name cannot have two dots in a row"
	case strings.Contains(name, "@{"):
		return "a branch's name cannot contain @{"
	case strings.HasSuffix(name, "."):
		return "a branch's name cannot end with a dot"
	}
	for _, r := range name {
		switch {
		case r == ' ':
			return "a branch's name cannot have a space in it"
		case unicode.IsControl(r):
			return "a branch's name cannot have control characters in it"
		case strings.ContainsRune("~^:?*[\\", r):
			return "a branch's name cannot contain " + string(r)
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return "a branch's name cannot begin or end with a slash, or have two in a row"
		case part[0] == '.':
			return "no part of a branch's name can begin with a dot"
		case strings.HasSuffix(part, ".lock"):
			return "no part of a branch's name can end with .lock"
		}
	}
	return ""
}

// The kinds of page that an address can show.
type page int

const (
	pageOther page = iota
	pageTree       // a branch, perhaps with a path below it
	pageCommit
	pagePull
)

// parsePage reads the part of an address that follows the repository's, as
// GitHub, GitLab, Gitea and Bitbucket write it.
func parsePage(rest string) (page, string) {
	rest = strings.Trim(rest, "/")
	rest = strings.TrimPrefix(rest, "-/") // GitLab's
	head, tail, _ := strings.Cut(rest, "/")
	if head == "src" { // Gitea's src/branch/x and src/commit/x; Bitbucket's src/x
		if kind, after, ok := strings.Cut(tail, "/"); ok && (kind == "branch" || kind == "commit") {
			head, tail = kind, after
		}
	}
	if tail == "" {
		return pageOther, ""
	}
	switch head {
	case "tree", "blob", "commits", "src", "branch":
		return pageTree, tail
	case "commit":
		id, _, _ := strings.Cut(tail, "/")
		return pageCommit, id
	case "pull", "pulls", "pull-requests", "merge_requests":
		number, below, _ := strings.Cut(tail, "/")
		// One commit of a pull request is that commit.
		if id, ok := strings.CutPrefix(below, "commits/"); ok && pullNumber.MatchString("#"+number) {
			if id, _, _ = strings.Cut(id, "/"); hexID.MatchString(id) {
				return pageCommit, id
			}
		}
		if pullNumber.MatchString("#" + number) {
			return pagePull, number
		}
	}
	return pageOther, ""
}

// display is an address without secrets.
func display(u *url.URL) string {
	return strings.TrimSuffix(cmp.Or(u.Hostname(), u.Host)+u.Path, "/")
}
