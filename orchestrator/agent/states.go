package agent

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

var digestForm = lazyregexp.New(`^[0-9a-f]{64}$`)

// unpack writes the archive of recipes to folder. os.Root keeps every entry
// within it; links that lead out are refused besides.
func unpack(archive []byte, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive of recipes: %w", err)
		}
		name := path.Clean(h.Name)
		if !filepath.IsLocal(name) || name == "." {
			return fmt.Errorf("the archive of recipes holds %q, which leaves its folder", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o700)
		case tar.TypeSymlink:
			if path.IsAbs(h.Linkname) || !filepath.IsLocal(path.Join(path.Dir(name), h.Linkname)) {
				return fmt.Errorf("the archive of recipes holds a link to %q, which leaves its folder", h.Linkname)
			}
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			if err = root.MkdirAll(path.Dir(name), 0o700); err != nil {
				break
			}
			var f *os.File
			if f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|fs.FileMode(h.Mode)&0o100); err != nil {
				break
			}
			_, err = io.Copy(f, r)
			if e := f.Close(); err == nil {
				err = e
			}
		default:
			return fmt.Errorf("the archive of recipes holds %q, neither file, folder nor link", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// fileRoots are the numbered folders of the recipes, in their order.
func fileRoots(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("the recipes hold no folder 0 or 1")
	}
	slices.Sort(numbers)
	roots := make([]string, 0, len(numbers))
	for _, n := range numbers {
		roots = append(roots, filepath.Join(folder, strconv.Itoa(n)))
	}
	return roots, nil
}

// stateName is what may stand in salt-call's arguments as the name of a
// recipe: no option, no key=value.
var stateName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func stateList(states []string) (string, error) {
	if len(states) == 0 {
		return "app", nil
	}
	for _, s := range states {
		if !stateName.MatchString(s) {
			return "", fmt.Errorf("the recipe %q has a name that Salt does not take", s)
		}
	}
	return strings.Join(states, ","), nil
}
