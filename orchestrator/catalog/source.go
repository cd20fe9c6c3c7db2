package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/berth-dev/berth/orchestrator"
)

// settle is how long the file must have been left alone before it is read:
// editors write in several steps.
const settle = 200 * time.Millisecond

// Source is the catalog in force: the last one that was good.
type Source struct {
	// Check refuses a catalog that is good by itself but not to be used; nil:
	// none is refused. It is set before anybody else uses the Source.
	Check func(*orchestrator.Catalog) error

	path    string
	current atomic.Pointer[orchestrator.Catalog]

	mu   sync.Mutex // one reload at a time
	seen [sha256.Size]byte
}

// Open loads the catalog at path, which must be good.
func Open(path string) (*Source, error) {
	s := &Source{path: path}
	return s, s.Reload()
}

// Current is the catalog in force. Nobody may change it.
func (s *Source) Current() *orchestrator.Catalog { return s.current.Load() }

// Path is the file that the catalog comes from.
func (s *Source) Path() string { return s.path }

// Reload reads the file again. With an error the catalog in force stays.
func (s *Source) Reload() error {
	_, err := s.reload(true)
	return err
}

// reload reads the file; unless forced, only when its bytes have changed.
func (s *Source) reload(force bool) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src, err := readCatalog(s.path)
	if err != nil {
		sum := sha256.Sum256([]byte("error: " + err.Error()))
		changed = force || sum != s.seen
		s.seen = sum
		return changed, err
	}
	sum := sha256.Sum256(src)
	if sum == s.seen && !force {
		return false, nil
	}
	s.seen = sum
	l, err := parse(s.path, src)
	if err != nil {
		return true, err
	}
	if err := l.err(); err != nil {
		return true, err
	}
	if s.Check != nil {
		if err := s.Check(l.cat); err != nil {
			return true, err
		}
	}
	s.current.Store(l.cat)
	return true, nil
}

// Watch follows changes of the file until ctx ends and calls onChange after
// each reload: with nil when the new catalog is in force, else with what is
// wrong with it. It watches the folder, since editors and deployment tools put
// a new file in the old one's place. It answers an error only when it cannot
// watch at all.
func (s *Source) Watch(ctx context.Context, onChange func(error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the catalog: %w", err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("watching the catalog's folder: %w", err)
	}
	s.followLink(w)
	// What happened between the last load and now would go unseen.
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			timer.Reset(settle)
		case _, ok := <-w.Errors:
			// Events were lost: look for ourselves.
			if !ok {
				return nil
			}
			timer.Reset(settle)
		case <-timer.C:
			s.followLink(w)
			if changed, err := s.reload(false); changed {
				onChange(err)
			}
		}
	}
}

// followLink also watches where a linked catalog really is.
func (s *Source) followLink(w *fsnotify.Watcher) {
	real, err := filepath.EvalSymlinks(s.path)
	if err == nil && filepath.Dir(real) != filepath.Dir(s.path) {
		_ = w.Add(filepath.Dir(real)) // best effort: the link's own folder is watched
	}
}
