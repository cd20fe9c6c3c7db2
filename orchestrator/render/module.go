package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
)

// source is where a workspace's module comes from: files to be copied into the
// workspace, or an address that Terraform itself fetches.
type source struct {
	address string
	files   map[string][]byte
	lock    []byte // the module's lock file, if it has one
}

// dir is the folder below the workspace that holds the files. It carries their
// digest, so that a changed module never replaces one that main.tf still names.
func (s source) dir() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		fmt.Fprintf(h, "%q %d\n", name, len(s.files[name]))
		h.Write(s.files[name])
	}
	return moduleDir + hex.EncodeToString(h.Sum(nil))[:12]
}

// resolve finds a target's module: built in by its name, a folder by its path
// (from the catalog's folder), anything else is left to Terraform. Folders are
// copied into the workspace, so that it can be destroyed whatever has become
// of them.
func resolve(t orchestrator.Target, opt Options) (source, error) {
	if t.Module == "" {
		return source{}, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target %q names no module.", t.Name).
			WithHint(`Add module = "local", a path that begins with ./, or a source that Terraform understands.`)
	}
	if !strings.ContainsAny(t.Module, "./:") {
		sub, err := fs.Sub(opt.Modules, t.Module)
		if err == nil {
			if _, err = fs.Stat(sub, "."); err == nil {
				return copied(sub)
			}
		}
		e := orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target %q names the module %q, which is not built in.", t.Name, t.Module)
		if entries, err := fs.ReadDir(opt.Modules, "."); err == nil {
			for _, d := range entries {
				e.Suggestions = append(e.Suggestions, d.Name())
			}
		}
		return source{}, e.WithHint("Built in: %s. A module of your own is a path that begins with ./.", strings.Join(e.Suggestions, ", "))
	}
	if !strings.HasPrefix(t.Module, "./") && !strings.HasPrefix(t.Module, "../") && !filepath.IsAbs(t.Module) {
		return source{address: t.Module}, nil
	}
	dir := t.Module
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(opt.CatalogDir, dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return source{}, err
	}
	if files, _ := filepath.Glob(filepath.Join(abs, "*.tf*")); len(files) == 0 {
		return source{}, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target %q names the module %s, where no Terraform files are.", t.Name, abs).
			WithHint("Correct the path in the catalog; it starts at the catalog's folder.")
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return source{}, err
	}
	defer root.Close()
	files := root.FS()
	outside, err := linksOutside(files)
	if err == nil && !outside {
		outside, err = callsOutside(files)
	}
	if err != nil {
		return source{}, err
	}
	if outside {
		// Files of its own are beside it: only in place does it work.
		lock, err := fs.ReadFile(files, lockFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return source{}, err
		}
		return source{address: abs, lock: lock}, nil
	}
	return copied(files)
}

// notCopied are folders that Terraform and git leave in a module's.
var notCopied = []string{".terraform", ".git"}

// linksOutside reports whether a link in a module's folder leads out of it, or
// to a folder, so that copying its files would not give the same module.
func linksOutside(files fs.FS) (outside bool, err error) {
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notCopied, d.Name()):
			return fs.SkipDir
		case d.Type()&fs.ModeSymlink == 0:
			return nil
		}
		to, err := fs.Stat(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's lock is such a link
		}
		if err != nil || to.IsDir() {
			outside = true
			return fs.SkipAll
		}
		return nil
	})
	return outside, err
}

// callsOutside reports whether a module at the root of files calls one beside
// itself, by itself or through a module within it.
func callsOutside(files fs.FS) (bool, error) {
	seen := map[string]bool{}
	for todo := []string{"."}; len(todo) > 0; {
		dir := todo[0]
		todo = todo[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		called, err := calls(files, dir)
		if err != nil {
			return false, err
		}
		for _, at := range called {
			to := path.Join(dir, at)
			if !filepath.IsLocal(to) {
				return true, nil
			}
			todo = append(todo, to)
		}
	}
	return false, nil
}

// calls are the local sources of the modules that the files in dir call.
func calls(files fs.FS, dir string) ([]string, error) {
	var local []string
	parser := hclparse.NewParser()
	for _, kind := range []struct {
		pattern string
		parse   func([]byte, string) (*hcl.File, hcl.Diagnostics)
	}{{"*.tf", parser.ParseHCL}, {"*.tf.json", parser.ParseJSON}} {
		names, err := fs.Glob(files, path.Join(dir, kind.pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			data, err := fs.ReadFile(files, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a link to nothing
			}
			if err != nil {
				return nil, err
			}
			f, diags := kind.parse(data, name)
			if diags.HasErrors() {
				return nil, &orchestrator.Error{Code: orchestrator.CodeInvalidCatalog, Cause: diags,
					Message: fmt.Sprintf("The target's module has an error: %s.", strings.TrimRight(diags[0].Error(), ".")),
					Hint:    "Mend the module; `terraform validate` in its folder shows all of its errors."}
			}
			// What else is wrong, Terraform says better.
			content, _, _ := f.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "module", LabelNames: []string{"name"}}}})
			for _, block := range content.Blocks {
				attributes, _, _ := block.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source"}}})
				a := attributes.Attributes["source"]
				if a == nil {
					continue
				}
				v, diags := a.Expr.Value(nil)
				if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
					continue
				}
				if s := v.AsString(); strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") {
					local = append(local, s)
				}
			}
		}
	}
	return local, nil
}

// copied reads a module's files, without what Terraform and git leave there.
func copied(files fs.FS) (source, error) {
	s := source{files: map[string][]byte{}}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && slices.Contains(notCopied, name) {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := fs.Stat(files, path)
			if err != nil {
				return nil // to nothing; linksOutside has seen the rest
			}
			d = fs.FileInfoToDirEntry(to)
		}
		if !d.Type().IsRegular() || strings.HasSuffix(name, ".tfstate") || strings.HasSuffix(name, ".tfstate.backup") {
			return nil
		}
		data, err := fs.ReadFile(files, path)
		s.files[path] = data
		return err
	})
	s.address, s.lock = "./"+s.dir(), s.files[lockFile]
	return s, err
}

// takenLock is the module's lock file as it was last taken over; the
// workspace's own has what init has added since.
const takenLock = lockFile + ".module"

// takeLock makes the module's lock file the workspace's, when it is another one
// than was taken before: the providers are those that the team has tried.
func takeLock(dir string, s source) error {
	taken := filepath.Join(dir, takenLock)
	if s.lock == nil {
		return nil
	}
	if old, err := os.ReadFile(taken); err == nil && bytes.Equal(old, s.lock) {
		return nil
	}
	if err := writeFile(filepath.Join(dir, lockFile), s.lock); err != nil {
		return err
	}
	return writeFile(taken, s.lock)
}

// copyModule writes the module's folder below dir, as a whole.
func copyModule(dir string, s source) error {
	target := filepath.Join(dir, s.dir())
	if equal(target, s.files) {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, ".module-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for name, data := range s.files {
		path := filepath.Join(tmp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	// Somebody may have changed the copy by hand.
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}

// removeModules removes the copies that main.tf no longer names.
func removeModules(dir, keep string) error {
	old, err := filepath.Glob(filepath.Join(dir, moduleDir+"*"))
	for _, path := range old {
		if filepath.Base(path) != keep {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

func equal(dir string, want map[string][]byte) bool {
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if w, ok := want[filepath.ToSlash(rel)]; !ok || !bytes.Equal(w, data) {
			return fs.ErrInvalid
		}
		n++
		return nil
	})
	return err == nil && n == len(want)
}

// writeFile replaces path with data, mode 0600, unless it is equal.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return os.Chmod(path, 0o600)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
