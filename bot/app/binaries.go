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
	"syscall"

	"github.com/berth-dev/berth/orchestrator"
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
// A file that is none, or that others could have put there, is passed over, and
// is its error when there is no other.
func (b binaries) path(platform string) (string, error) {
	path, bad := b.find(platform)
	if path != "" {
		return path, nil
	}
	return "", bad
}

// find gives the program for a platform, if there is one, and what was passed
// over on the way.
func (b binaries) find(platform string) (path string, bad error) {
	if !slices.Contains(agentPlatforms, platform) {
		return "", fs.ErrNotExist
	}
	for _, folder := range b.folders {
		name := filepath.Join(folder, "berth-"+platform)
		err := isAgent(name, platform)
		if err == nil {
			return name, bad
		}
		if !errors.Is(err, fs.ErrNotExist) {
			bad = errors.Join(bad, err)
		}
	}
	if platform == runtime.GOOS+"-"+runtime.GOARCH {
		return b.self, bad
	}
	if bad == nil {
		bad = fs.ErrNotExist
	}
	return "", bad
}

// isAgent says whether a file is this program, built for a platform from the
// same commit: another one might not understand this Berth.
func isAgent(name, platform string) error {
	if err := onlyOwners(name); err != nil {
		return err
	}
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

// onlyOwners says whether a program can have been put in its place by nobody but
// root, Berth's own user and whoever owns the running program: machines run it
// as root. fs.ErrNotExist: it is not there.
func onlyOwners(name string) error {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	trusted := []uint32{0, uint32(os.Geteuid())}
	if self, err := os.Stat("/proc/self/exe"); err == nil {
		if s, ok := self.Sys().(*syscall.Stat_t); ok {
			trusted = append(trusted, s.Uid)
		}
	}
	looked := map[string]bool{}
	for _, at := range []string{real, filepath.Dir(name)} {
		if at, err = filepath.Abs(at); err != nil {
			return err
		}
		for ; !looked[at]; at = filepath.Dir(at) {
			looked[at] = true
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			// In a folder with the sticky bit everybody has only their own.
			open := info.Mode().Perm()&0o022 != 0 && !(info.IsDir() && info.Mode()&fs.ModeSticky != 0)
			s, ok := info.Sys().(*syscall.Stat_t)
			switch {
			case open:
				return orchestrator.Errorf(orchestrator.CodeNotAllowed, "%s is given to no machine: others than its owner may write %s (mode %#o).", name, at, info.Mode().Perm()).
					WithHint("see that the file is yours, then: chmod go-w %s", forShellText(at))
			case ok && !slices.Contains(trusted, s.Uid):
				return orchestrator.Errorf(orchestrator.CodeNotAllowed, "%s is given to no machine: %s belongs to another user (%d) than root, Berth's own and its program's.", name, at, s.Uid).
					WithHint("see that the file is yours, then: chown root %s", forShellText(at))
			}
		}
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
		path, err := b.find(platform)
		var open *orchestrator.Error
		switch {
		case path == "" && errors.Is(err, fs.ErrNotExist):
			lack = append(lack, platform)
		case path == "" || errors.As(err, &open): // somebody may have meant that it be given
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
