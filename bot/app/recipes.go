package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

// recipeTime bounds the compilation of recipes that somebody waits for.
const recipeTime = 2 * time.Minute

// recipes keeps the packed recipes by digest in a folder: a server may fetch
// the ones of its generation at any time, also after a restart. New servers and
// deploys get the folder as it is when its recipes compile, else as it was when
// they last did.
type recipes struct {
	dir string
	log *slog.Logger
	// current is the catalog in force, check whether a catalog's recipes
	// compile.
	current func() *orchestrator.Catalog
	check   func(ctx context.Context, c *orchestrator.Catalog) error

	mu sync.Mutex
	// good and bad are the digests that have been looked at, with what is wrong
	// with the bad ones.
	good map[string]bool
	bad  map[string]error
}

func newRecipes(dir string, log *slog.Logger, current func() *orchestrator.Catalog, check func(context.Context, *orchestrator.Catalog) error) *recipes {
	return &recipes{dir: dir, log: log, current: current, check: check, good: map[string]bool{}, bad: map[string]error{}}
}

// accept packs the recipes of a catalog that is about to be in force, unless
// they do not compile.
func (r *recipes) accept(c *orchestrator.Catalog) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest, err := r.pack(c.Salt.States)
	if err != nil {
		return err
	}
	return r.judge(c, digest)
}

// judge has recipes compiled and remembers what came of it.
func (r *recipes) judge(c *orchestrator.Catalog, digest string) error {
	ctx, cancel := context.WithTimeout(context.Background(), recipeTime)
	defer cancel()
	if err := r.check(ctx, c); err != nil {
		delete(r.good, digest)
		r.bad[digest] = err
		return err
	}
	r.good[digest] = true
	delete(r.bad, digest)
	return r.remember(c.Salt.States, digest)
}

// digest gives the digest under which agents fetch the recipes of a folder:
// those that compile.
func (r *recipes) digest(states string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest, err := r.pack(states)
	if err != nil {
		if last := r.last(states); last != "" {
			r.log.Error("the recipes cannot be packed: servers get those that last could", "error", err)
			return last, nil
		}
		return "", err
	}
	c := r.current()
	if r.good[digest] || states == "" || c.Salt.States != states {
		return digest, nil
	}
	problem := r.bad[digest]
	if problem == nil {
		problem = r.judge(c, digest)
	}
	if problem == nil {
		return digest, nil
	}
	last := r.last(states)
	if last == "" || last == digest {
		r.log.Error("the recipes do not compile, and there are none that did", "error", problem)
		return digest, nil
	}
	r.log.Error("the recipes do not compile: servers get those that last did", "error", problem)
	return last, nil
}

// pack writes the archive of a folder's recipes, if there is none yet.
func (r *recipes) pack(states string) (string, error) {
	tar, digest, err := templates.States(states)
	if err != nil {
		return "", err
	}
	path := r.path(digest)
	if _, err := os.Stat(path); err == nil {
		return digest, nil
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return "", dataError(r.dir, err)
	}
	if err := writeFile(path, string(tar), 0o600); err != nil {
		return "", dataError(r.dir, err)
	}
	return digest, nil
}

func (r *recipes) path(digest string) string {
	return filepath.Join(r.dir, filepath.Base(digest)+".tar")
}

// note is the file that holds the digest of a folder's last good recipes.
func (r *recipes) note(states string) string {
	return filepath.Join(r.dir, fmt.Sprintf("good-%x", sha256.Sum256([]byte(states)))[:21])
}

func (r *recipes) remember(states, digest string) error {
	if err := writeFile(r.note(states), digest, 0o600); err != nil {
		return dataError(r.dir, err)
	}
	return nil
}

// last is the digest of a folder's last good recipes, or empty.
func (r *recipes) last(states string) string {
	raw, err := os.ReadFile(r.note(states))
	if err != nil {
		return ""
	}
	digest := strings.TrimSpace(string(raw))
	if _, err := os.Stat(r.path(digest)); err != nil {
		return ""
	}
	return digest
}

// archive gives the archive with a digest, or fs.ErrNotExist.
func (r *recipes) archive(digest string) ([]byte, error) {
	raw, err := os.ReadFile(r.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	return raw, err
}
