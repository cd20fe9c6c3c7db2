package app

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// agentPlatforms are the kinds of machine that an agent runs on.
var agentPlatforms = []string{"linux-amd64", "linux-arm64"}

// binaries are the agents that new machines fetch: this same program, built for
// their platform. It is looked for as berth-PLATFORM in folders; for this
// machine's own platform the running program will do.
type binaries struct {
	folders []string
	self    string // path of the running program
}

// agentBinaries are those of a data folder, or that came with this program.
func agentBinaries(data string) (binaries, error) {
	self, err := os.Executable()
	if err != nil {
		return binaries{}, fmt.Errorf("finding Berth's own program: %w", err)
	}
	return binaries{folders: []string{filepath.Join(data, "agents"), filepath.Dir(self)}, self: self}, nil
}

// path gives the program for a platform such as linux-amd64, or fs.ErrNotExist.
// A file that is none is passed over, and is its error when there is no other.
func (b binaries) path(platform string) (string, error) {
	if !slices.Contains(agentPlatforms, platform) {
		return "", fs.ErrNotExist
	}
	var bad error
	for _, folder := range b.folders {
		name := filepath.Join(folder, "berth-"+platform)
		err := isAgent(name, platform)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			bad = errors.Join(bad, err)
		}
	}
	if platform == runtime.GOOS+"-"+runtime.GOARCH {
		return b.self, nil
	}
	if bad != nil {
		return "", bad
	}
	return "", fs.ErrNotExist
}

// isAgent says whether a file is this program, built for a platform from the
// same commit: another one might not understand this Berth.
func isAgent(name, platform string) error {
	info, err := buildinfo.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s is no program of Berth's (%w)", name, err)
	}
	own, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	if info.Main.Path != own.Main.Path {
		return fmt.Errorf("%s is no program of Berth's", name)
	}
	if is := setting(info, "GOOS") + "-" + setting(info, "GOARCH"); is != platform {
		return fmt.Errorf("%s is for %s", name, is)
	}
	if of, ours := setting(info, "vcs.revision"), setting(own, "vcs.revision"); of != ours && of != "" && ours != "" {
		return fmt.Errorf("%s was built from another commit than this Berth (%.10s, not %.10s)", name, of, ours)
	}
	return nil
}

func setting(i *debug.BuildInfo, key string) string {
	for _, s := range i.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// describe says for which machines there is an agent, and fails when a file that
// should be one is none.
func (b binaries) describe() (string, error) {
	var found, lack []string
	for _, platform := range agentPlatforms {
		switch path, err := b.path(platform); {
		case errors.Is(err, fs.ErrNotExist):
			lack = append(lack, platform)
		case err != nil:
			return "", err
		case path == b.self:
			found = append(found, platform+" (this program)")
		default:
			found = append(found, platform+" ("+path+")")
		}
	}
	text := "for machines of " + strings.Join(found, " and ")
	if len(lack) > 0 {
		text += "; none for " + strings.Join(lack, " and ") + ": make agents builds berth-" + lack[0] + ", which belongs into " + b.folders[0]
	}
	return text, nil
}
