package branch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
)

// What came between two commits is told alike by every kind of host; a commit
// that does not come after the other one is refused.
func TestBetween(t *testing.T) {
	t.Parallel()
	hub := newHub(t, nil)
	server := gitServer(t, "")
	commits := fixture.commits
	for name, c := range map[string]struct {
		options Options
		address string
	}{
		"path":   {Options{}, fixtureRepo()},
		"http":   {Options{}, server.URL + "/acme/api.git"},
		"github": {Options{GitHubAPIURL: hub.URL + "/api/v3", Token: "ghp_right"}, "https://github.com/acme/api"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct {
				from, to string
				most     int
				want     string
				total    int
			}{
				{"a", "c", 5, "c b", 2},
				{"a", "c", 1, "c", 2},
				{"b", "c", 5, "c", 1},
				{"a", "e", 5, "e d", 2},
				{"c", "a", 5, "", 0}, // it went back
				{"d", "c", 5, "", 0}, // it was rewritten
			} {
				got, total, err := New(c.options).Between(t.Context(), app(c.address), commits[tt.from], commits[tt.to], tt.most)
				var said []string
				for _, one := range got {
					said = append(said, one.Subject)
					if one.ID != commits[one.Subject] || one.Author != "T" {
						t.Errorf("%s to %s: %+v", tt.from, tt.to, one)
					}
				}
				if strings.Join(said, " ") != tt.want || total != tt.total || (err == nil) != (tt.want != "") {
					t.Errorf("%s to %s: %v of %d, %v; want %s of %d", tt.from, tt.to, said, total, err, tt.want, tt.total)
				}
			}
			if _, _, err := New(c.options).Between(t.Context(), app(c.address), "--output=/tmp/x", commits["c"], 5); err == nil {
				t.Error("what is no commit was taken")
			}
		})
	}
}

// GitHub gives the oldest first, in pages: the newest are found behind them.
func TestBetweenManyOnGitHub(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	mustGit("/", "", "init", "--quiet", "--bare", "--initial-branch=main", repo)
	var stream strings.Builder
	for i := range 203 {
		subject := fmt.Sprintf("change %d\n\nand why", i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter T <t@example.com> %d +0000\ndata %d\n%s\nM 644 inline f\ndata %d\n%d\n\n", 1700000000+i, len(subject), subject, len(fmt.Sprint(i)), i)
	}
	mustGit(repo, stream.String(), "fast-import", "--quiet")
	hub := newHub(t, func(h *githubfake.Hub) {
		h.Repositories = append(h.Repositories, githubfake.Repository{Name: "acme/many", ID: 99, Dir: repo})
	})
	c := New(Options{GitHubAPIURL: hub.URL + "/api/v3", Token: "ghp_right"})
	from := mustGit(repo, "", "rev-parse", "main~202")
	got, total, err := c.Between(t.Context(), orchestrator.App{Name: "many", Repository: "https://github.com/acme/many"}, from, mustGit(repo, "", "rev-parse", "main"), 5)
	if err != nil || total != 202 || len(got) != 5 || got[0].Subject != "change 202" || got[4].Subject != "change 198" {
		t.Errorf("%d, %+v, %v", total, got, err)
	}
}
