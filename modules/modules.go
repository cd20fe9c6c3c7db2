// Package modules holds the Terraform modules that come with Berth, one folder
// a target, embedded into the binary.
//
// Every module keeps one contract, a team's own modules too: docs/modules.md
// has it, and package catalog checks it.
package modules

import (
	"embed"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed local aws aws-spot hcloud
var files embed.FS

// FS is the folder of modules: each entry of its root is one module.
func FS() fs.FS { return overlaid{files} }

// overlays are modules that have another one's files and some of their own.
var overlays = map[string]string{"aws-spot": "aws"}

type overlaid struct{ embed.FS }

// under is the name in the module below, if there is one.
func under(name string) (string, bool) {
	module, rest, _ := strings.Cut(name, "/")
	base, ok := overlays[module]
	return path.Join(base, rest), ok
}

func (o overlaid) Open(name string) (fs.File, error) {
	f, err := o.FS.Open(name)
	if base, ok := under(name); ok && errors.Is(err, fs.ErrNotExist) {
		return o.FS.Open(base)
	}
	return f, err
}

func (o overlaid) ReadFile(name string) ([]byte, error) {
	data, err := o.FS.ReadFile(name)
	if base, ok := under(name); ok && errors.Is(err, fs.ErrNotExist) {
		return o.FS.ReadFile(base)
	}
	return data, err
}

func (o overlaid) ReadDir(name string) ([]fs.DirEntry, error) {
	own, err := o.FS.ReadDir(name)
	base, ok := under(name)
	if !ok {
		return own, err
	}
	all, baseErr := o.FS.ReadDir(base)
	if err != nil && baseErr != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		return slices.ContainsFunc(own, func(o fs.DirEntry) bool { return o.Name() == e.Name() })
	})
	all = append(all, own...)
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}
