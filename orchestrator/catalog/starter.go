package catalog

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/berth-dev/berth/orchestrator"
)

// Starter is what berth init writes, below the folder "starter".
//
//go:embed starter
var Starter embed.FS

// WriteStarter writes a commented catalog, settings and a folder for recipes
// into dir and answers the files' paths. It overwrites nothing: when a file is
// there already, it is named and nothing is written at all.
func WriteStarter(dir string) ([]string, error) {
	files, err := fs.Sub(Starter, "starter")
	if err != nil {
		return nil, err
	}
	var names []string
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
			return nil, alreadyThere(filepath.Join(dir, filepath.FromSlash(name)))
		}
	}
	var written, folders []string
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return written, err
		}
		mode := fs.FileMode(0o644)
		if filepath.Ext(path) == ".env" {
			mode = 0o600 // settings hold secrets
		}
		folders = append(folders, missing(filepath.Dir(path))...)
		if err := writeNew(path, content, mode); err != nil {
			// Half a starter is worse than none.
			for _, made := range slices.Backward(append(folders, written...)) {
				_ = os.Remove(made)
			}
			return nil, err
		}
		written = append(written, path)
	}
	return written, nil
}

// missing are the folders that have to be made for dir, the outermost first.
func missing(dir string) []string {
	var out []string
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
			slices.Reverse(out)
			return out
		}
		out = append(out, dir)
	}
}

func alreadyThere(path string) error {
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "There is already a file %s: berth init overwrites nothing.", path).
		WithHint("move it away, or name another folder: berth init FOLDER")
}

func writeNew(path string, content []byte, mode fs.FileMode) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err == nil {
			_, err = f.Write(content)
			err = errors.Join(err, f.Close())
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return alreadyThere(path)
	}
	e := orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s cannot be written: %s.", path, plain(err)).
		WithHint("name a folder that you may write to: berth init FOLDER")
	e.Cause = fmt.Errorf("writing the starter: %w", err)
	return e
}
