// Package templates holds what Berth puts on servers: the user-data that makes
// a new machine call home, and the starter Salt states. All of it is embedded.
// Values reach user-data as JSON in base64 and the states as pillar; nothing
// here pastes a value into code.
package templates

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
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
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

//go:embed salt user-data
var files embed.FS

// header is the line by which cloud-init knows what it has been given.
const header = "#cloud-config\n"

// Where user-data puts what Berth gives a machine.
const (
	BootFile  = "/etc/berth/agent.json"
	StartFile = "/etc/berth/start.py"
)

// MaxUserData is the most bytes that user-data may have: AWS takes no more
// (16 KB, before its own base64), other clouds take twice as much and more.
const MaxUserData = 16 << 10

// maxStates limits the archive of recipes: it is held in memory and sent to
// every server.
const maxStates = 64 << 20

// saltVersion is what may follow "salt==" in pip's arguments.
var saltVersion = lazyregexp.New(`^[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?$`)

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

// findPython starts the script with the Python that cloud-init itself runs on
// where it is not on the PATH, as in RHEL 8 and what is made from it.
const findPython = `for p in python3 /usr/libexec/platform-python; do command -v $p >/dev/null && exec $p ` + StartFile + `; done; echo "berth: python3: not found" >&2; exit 1`

// UserData renders the user-data of one server: the Boot as a file that only
// root can read, and a script that fetches Berth's agent and starts it. The
// same Boot gives the same bytes. It refuses what is larger than MaxUserData.
func UserData(b orchestrator.Boot) (string, error) {
	if err := checkBoot(b); err != nil {
		return "", err
	}
	boot, start, err := parts(b)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	out.WriteString(header)
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(cloudConfig{
		WriteFiles: []writeFile{
			{Path: BootFile, Owner: "root:root", Permissions: "0600", Encoding: "gz+b64", Content: boot},
			{Path: StartFile, Owner: "root:root", Permissions: "0644", Encoding: "gz+b64", Content: start},
		},
		RunCmd: [][]string{{"/bin/sh", "-c", findPython}},
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
	return out.String(), checkSize(out.Len(), len(b.CA))
}

// parts are the Boot and the start script as write_files takes them with the
// encoding gz+b64. They are packed for the sake of MaxUserData: an authority's
// certificates are base64 already.
func parts(b orchestrator.Boot) (boot, start string, err error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return "", "", fmt.Errorf("encoding the boot data of %s: %w", b.ServerID, err)
	}
	script, err := files.ReadFile("user-data/start.py")
	if err != nil {
		return "", "", err
	}
	return packed(raw), packed(script), nil
}

func packed(content []byte) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(content)                               // a buffer takes everything
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func unpacked(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, errors.New("it is not packed with gzip")
	}
	out, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, errors.New("it is damaged")
	}
	return out, nil
}

// checkSize refuses user-data that a cloud would not take; ca is the size of
// the pinned authority in it.
func checkSize(size, ca int) error {
	if size <= MaxUserData {
		return nil
	}
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The user-data of a server would have %d bytes; clouds take %d. The authority's certificates are %d bytes of PEM.", size, MaxUserData, ca).
		WithHint("pin fewer certificates: --tls-ca needs the one authority that issued Berth's certificate, not a list of all that a machine knows")
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
		// Before it was packed, it was base64 alone: a local server may have
		// been made then.
		raw, err := base64.StdEncoding.DecodeString(f.Content)
		if f.Encoding == "gz+b64" {
			raw, err = unpacked(f.Content)
		}
		if err != nil {
			return bad("%s in it cannot be read: %v.", BootFile, err)
		}
		b, err := ParseBoot(raw)
		if err == nil && b.Token == "" {
			return bad("it has no enrolment token.")
		}
		return b, err
	}
	return bad("it has no file %s.", BootFile)
}

// ParseBoot reads a Boot file, as user-data puts it on a machine. Its token is
// gone after the first use.
func ParseBoot(raw []byte) (orchestrator.Boot, error) {
	var b orchestrator.Boot
	if err := json.Unmarshal(raw, &b); err != nil {
		return orchestrator.Boot{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The boot data is not valid JSON: %v.", err)
	}
	return b, checkPlace(b)
}

func checkBoot(b orchestrator.Boot) error {
	bad := func(format string, args ...any) error {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, format, args...)
	}
	if b.Token == "" {
		return bad("The boot data has no enrolment token.")
	}
	return checkPlace(b)
}

// checkPlace checks what stays in a Boot.
func checkPlace(b orchestrator.Boot) error {
	bad := func(format string, args ...any) error {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, format, args...)
	}
	if b.ServerID == "" {
		return bad("The boot data has no server ID.")
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
