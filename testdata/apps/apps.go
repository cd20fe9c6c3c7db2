// Package apps holds two small applications, api and web, each with branches
// that differ, and makes git repositories of them: the demo and the tests run
// what a team would run.
package apps

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Each folder is named after a branch, main being the whole and the others
// what they change. all: takes the .gitignore along.
//
//go:embed all:api/main api/feature api/hotfix api/broken-build
//go:embed all:web/main web/feature web/hotfix web/broken-build
var files embed.FS

// Names are the applications.
var Names = []string{"api", "web"}

// Branches are those that each application has beside main; the build of
// broken-build fails.
var Branches = []string{"feature/login", "hotfix/1.2.3", "broken-build"}

// Make makes the repositories dir/api and dir/web, each with main checked out.
// The commits are the same at every making.
func Make(dir string) error {
	for _, name := range Names {
		r := repository(filepath.Join(dir, name))
		if err := r.make(name); err != nil {
			return fmt.Errorf("making the repository of %s: %w", name, err)
		}
	}
	return nil
}

type repository string

func (r repository) make(name string) error {
	if err := os.MkdirAll(string(r), 0o755); err != nil {
		return err
	}
	if err := r.git("init", "-q", "-b", "main"); err != nil {
		return err
	}
	if err := r.commit(name, "main"); err != nil {
		return err
	}
	for _, branch := range Branches {
		if err := r.git("checkout", "-q", "-b", branch, "main"); err != nil {
			return err
		}
		if err := r.commit(name, branch); err != nil {
			return err
		}
	}
	return r.git("checkout", "-q", "main")
}

// commit lays a branch's folder over what is checked out and commits it.
func (r repository) commit(name, branch string) error {
	root := path.Join(name, branch)
	err := fs.WalkDir(files, root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			// Python leaves these where somebody ran an application in place.
			if e != nil && e.Name() == "__pycache__" {
				return fs.SkipDir
			}
			return err
		}
		data, err := files.ReadFile(p)
		if err != nil {
			return err
		}
		to := filepath.Join(string(r), filepath.FromSlash(strings.TrimPrefix(p, root+"/")))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
	if err != nil {
		return err
	}
	if err := r.git("add", "-A"); err != nil {
		return err
	}
	return r.git("commit", "-q", "-m", "The shop's "+name+", "+branch)
}

// git runs apart from the settings of whoever calls: neither hooks nor signing
// keys take part.
func (r repository) git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Dir = string(r)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "GIT_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env,
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Berth", "GIT_AUTHOR_EMAIL=berth@localhost", "GIT_AUTHOR_DATE=2024-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=Berth", "GIT_COMMITTER_EMAIL=berth@localhost", "GIT_COMMITTER_DATE=2024-01-01T00:00:00Z",
	)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
