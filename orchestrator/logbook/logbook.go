// Package logbook keeps what servers print: one file of JSON lines for each
// environment, in two halves so that no log grows without end.
package logbook

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/berth-dev/berth/orchestrator"
)

// maxBytes is the size at which a log starts a new half; the older one is
// kept beside it until the next.
const maxBytes = 8 << 20

// Line is one line of a server's output or of its steps.
type Line struct {
	Server string `json:"server"`
	orchestrator.Progress
}

// Book is a folder of logs. It is safe for concurrent use.
type Book struct {
	dir string

	mu      sync.Mutex
	changed chan struct{}
}

// Open uses dir, which is made when it does not exist.
func Open(dir string) (*Book, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log folder: %w", err)
	}
	return &Book{dir: dir, changed: make(chan struct{})}, nil
}

func (b *Book) path(environmentID string) string {
	return filepath.Join(b.dir, filepath.Base(environmentID)+".jsonl")
}

// Append adds lines to an environment's log.
func (b *Book) Append(environmentID, serverName string, lines []orchestrator.Progress) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := b.path(environmentID)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", environmentID, err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, p := range lines {
		if err := enc.Encode(Line{Server: serverName, Progress: p}); err != nil {
			return fmt.Errorf("writing the log of %s: %w", environmentID, err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the log of %s: %w", environmentID, err)
	}
	if info, err := f.Stat(); err == nil && info.Size() > maxBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return fmt.Errorf("turning the log of %s over: %w", environmentID, err)
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// Changed gives a channel that is closed at the next Append.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Read gives the lines from byte offset on and the offset after them. An
// offset beyond the end (the log was turned over) starts again at 0.
func (b *Book) Read(environmentID string, offset int64) ([]Line, int64, error) {
	f, err := os.Open(b.path(environmentID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the log of %s: %w", environmentID, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("reading the log of %s: %w", environmentID, err)
	}
	if offset < 0 || offset > info.Size() {
		offset = 0
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, 0, fmt.Errorf("reading the log of %s: %w", environmentID, err)
	}
	var lines []Line
	r := bufio.NewReader(f)
	for {
		raw, err := r.ReadBytes('\n')
		if err != nil {
			return lines, offset, nil // the rest is a line still being written
		}
		offset += int64(len(raw))
		var l Line
		if json.Unmarshal(raw, &l) == nil {
			lines = append(lines, l)
		}
	}
}

// Remove deletes an environment's log.
func (b *Book) Remove(environmentID string) error {
	for _, p := range []string{b.path(environmentID), b.path(environmentID) + ".1"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the log of %s: %w", environmentID, err)
		}
	}
	return nil
}
