// Package templates holds what Berth puts on servers: the user-data that makes
// a new machine call home, and the starter Salt states. All of it is embedded.
// Values reach user-data as JSON in base64 and the states as pillar; nothing
// here pastes a value into code.
package templates

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

//go:embed salt user-data
var files embed.FS

// header is the line by which cloud-init knows what it has been given.
const header = "#cloud-config\n"

// BootFile is where user-data puts the Boot on a machine.
const BootFile = "/etc/berth/agent.json"

// maxStates limits the archive of recipes: it is held in memory and sent to
// every server.
const maxStates = 64 << 20

// saltVersion is what may follow "salt==" in pip's arguments.
var saltVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?$`)

// cloudConfig is the part of cloud-init's format that Berth uses. It is
// written as JSON, which every YAML reader takes as it is.
type cloudConfig struct {
	WriteFiles []writeFile `json:"write_files"`
	RunCmd     [][]string  `json:"runcmd"`
}

type writeFile struct {
	Path        string `json:"path"`
	Owner       string `json:"owner"`
	Permissions string `json:"permissions"`
	Encoding    string `json:"encoding"`
	Content     string `json:"content"`
}

// UserData renders the user-data of one server: the Boot as a file that only
// root can read, and a script that fetches Berth's agent and starts it. The
// same Boot gives the same bytes.
func UserData(b orchestrator.Boot) (string, error) {
	if err := checkBoot(b); err != nil {
		return "", err
	}
	boot, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("encoding the boot data of %s: %w", b.ServerID, err)
	}
	script, err := files.ReadFile("user-data/install.sh")
	if err != nil {
		return "", err
	}
	unit, err := files.ReadFile("user-data/berth-agent.service")
	if err != nil {
		return "", err
	}
	file := func(name, mode string, content []byte) writeFile {
		return writeFile{Path: name, Owner: "root:root", Permissions: mode, Encoding: "b64", Content: base64.StdEncoding.EncodeToString(content)}
	}
	var out bytes.Buffer
	out.WriteString(header)
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(cloudConfig{
		WriteFiles: []writeFile{
			file(BootFile, "0600", boot),
			file("/etc/berth/install.sh", "0700", script),
			file("/etc/systemd/system/berth-agent.service", "0644", unit),
		},
		RunCmd: [][]string{{"/bin/sh", "/etc/berth/install.sh"}},
	}); err != nil {
		return "", fmt.Errorf("rendering the user-data of %s: %w", b.ServerID, err)
	}
	again, err := ParseUserData(out.String())
	if err != nil {
		return "", fmt.Errorf("the user-data of %s cannot be read back: %w", b.ServerID, err)
	}
	if again != b {
		return "", fmt.Errorf("the user-data of %s reads back as something else", b.ServerID)
	}
	return out.String(), nil
}

// ParseUserData gives the Boot that user-data was rendered from; the local
// target starts its agents with it.
func ParseUserData(text string) (orchestrator.Boot, error) {
	bad := func(format string, args ...any) (orchestrator.Boot, error) {
		return orchestrator.Boot{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "This is not Berth's user-data: "+format, args...).
			WithHint("Give the user-data that Berth rendered for this server, byte for byte.")
	}
	body, ok := strings.CutPrefix(text, header)
	if !ok {
		return bad("it does not begin with %s.", strings.TrimSpace(header))
	}
	var c cloudConfig
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		return bad("%v.", err)
	}
	for _, f := range c.WriteFiles {
		if f.Path != BootFile {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(f.Content)
		if err != nil {
			return bad("%s is not base64.", BootFile)
		}
		return ParseBoot(raw)
	}
	return bad("it has no file %s.", BootFile)
}

// ParseBoot reads a Boot file, as user-data puts it on a machine.
func ParseBoot(raw []byte) (orchestrator.Boot, error) {
	var b orchestrator.Boot
	if err := json.Unmarshal(raw, &b); err != nil {
		return orchestrator.Boot{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The boot data is not valid JSON: %v.", err)
	}
	return b, checkBoot(b)
}

func checkBoot(b orchestrator.Boot) error {
	bad := func(format string, args ...any) error {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, format, args...)
	}
	if b.ServerID == "" || b.Token == "" {
		return bad("The boot data has no server ID or no enrolment token.")
	}
	u, err := url.Parse(b.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return bad("Berth's address %q is not an http or https URL.", b.URL).(*orchestrator.Error).
			WithHint("Set BERTH_PUBLIC_URL to the address at which servers reach Berth, such as https://berth.example.com.")
	}
	if b.SaltVersion != "" && !saltVersion.MatchString(b.SaltVersion) {
		return bad("The Salt version %q is not a version number.", b.SaltVersion).(*orchestrator.Error).
			WithHint(`Write it like salt { version = "3008.3" }.`)
	}
	return nil
}

// Recipes are Berth's starter recipes, as file_roots has them.
func Recipes() fs.FS {
	sub, err := fs.Sub(files, "salt")
	if err != nil {
		panic(err) // only for a malformed name
	}
	return sub
}

// States packs the recipes that servers get: a tar archive with the catalog's
// salt.states folder under 0/ (when there is one) and Berth's starter states
// under 1/, the file_roots in their order. The same files give the same bytes.
// digest is its SHA-256 in hex.
func States(catalogStates string) (archive []byte, digest string, err error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if catalogStates != "" {
		// os.Root keeps every read within the folder, also while somebody
		// changes a link in it.
		root, err := os.OpenRoot(catalogStates)
		if err != nil {
			return nil, "", statesError("The folder of Salt states %s cannot be read.", catalogStates, err)
		}
		defer root.Close()
		if err := pack(w, &out, root.FS(), "0"); err != nil {
			return nil, "", statesError("The folder of Salt states %s cannot be packed: "+plain(err), catalogStates, err)
		}
	}
	if err := pack(w, &out, Recipes(), "1"); err != nil {
		return nil, "", fmt.Errorf("packing the starter states: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(out.Bytes())
	return out.Bytes(), hex.EncodeToString(sum[:]), nil
}

func statesError(format, folder string, cause error) error {
	e := orchestrator.Errorf(orchestrator.CodeInvalidCatalog, format, folder).
		WithHint("Check `states` in the catalog's salt block, and that Berth may read every file in that folder.")
	e.Cause = cause
	return e
}

// plain is the reason without Go's wrapping, safe in a format string.
func plain(err error) string {
	var p *fs.PathError
	text := err.Error()
	if errors.As(err, &p) {
		text = p.Path + ": " + p.Err.Error()
	}
	return strings.ReplaceAll(text, "%", "%%") + "."
}

// pack writes a folder in the order of its names. Times and owners are left
// out, so that only content changes the digest.
func pack(w *tar.Writer, out *bytes.Buffer, fsys fs.FS, top string) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		h := &tar.Header{Name: path.Join(top, name), Mode: 0o644, Format: tar.FormatPAX}
		switch {
		case d.IsDir():
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, h.Name+"/", 0o755
			return w.WriteHeader(h)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(fsys, name)
			if err != nil {
				return err
			}
			if !within(path.Join(top, path.Dir(name)), target, top) {
				return fmt.Errorf("%s is a link to %s, outside the folder", name, target)
			}
			h.Typeflag, h.Linkname = tar.TypeSymlink, target
			return w.WriteHeader(h)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", name)
		}
		content, err := readFile(fsys, name, maxStates-out.Len())
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode()&0o100 != 0 {
			h.Mode = 0o755
		}
		h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
}

func readFile(fsys fs.FS, name string, limit int) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(max(limit, 0))+1))
	if err == nil && len(content) > limit {
		return nil, fmt.Errorf("at %s the folder is larger than %d MiB", name, maxStates>>20)
	}
	return content, err
}

// within reports whether a link in folder dir stays within top.
func within(dir, target, top string) bool {
	if path.IsAbs(target) {
		return false
	}
	to := path.Join(dir, target)
	return to == top || strings.HasPrefix(to, top+"/")
}
