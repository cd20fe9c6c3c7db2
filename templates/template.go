package templates

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// placeholder is where a template of ops' own takes what Berth gives.
var placeholder = lazyregexp.New(`\{\{\s*berth\.(\w*)\s*\}\}`)

// UserDataFrom renders the user-data of one server from ops' own template, read
// anew from a file: {{ berth.boot }} and {{ berth.start }} in it become what
// write_files takes with the encoding gz+b64, in which nothing can be mistaken
// for YAML. It refuses a template with which no machine would call home. An
// empty path is Berth's own template.
func UserDataFrom(path string, b orchestrator.Boot) (string, error) {
	if path == "" {
		return UserData(b)
	}
	if err := checkBoot(b); err != nil {
		return "", err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The user-data template %s cannot be read (%v).", path, err).
			WithHint("check `user_data` of the catalog's target, and that Berth may read the file")
	}
	boot, start, err := parts(b)
	if err != nil {
		return "", err
	}
	text, err := fill(string(raw), map[string]string{"boot": boot, "start": start})
	if err == nil {
		err = checkForm(text, map[string]string{BootFile: boot, StartFile: start})
	}
	if err != nil {
		return "", orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The user-data template %s: %v.", path, err).
			WithHint("docs/user-data.md has a template that works; berth validate checks yours")
	}
	return text, checkSize(len(text), len(b.CA))
}

// CheckTemplate says what is wrong with a template of ops' own, as it would be
// for a server that pins Berth's own authority.
func CheckTemplate(path string) error {
	// Like a real one's, the token and the certificate can't be packed: else the
	// size would be found too small.
	const der, token = 448, 32
	noise := make([]byte, der+token)
	for i := 0; i < len(noise); i += sha256.Size {
		sum := sha256.Sum256([]byte{byte(i / sha256.Size)})
		copy(noise[i:], sum[:])
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: noise[:der]})
	_, err := UserDataFrom(path, orchestrator.Boot{ServerID: "s7dk3mq4x2p5w", URL: "https://berth.validate.example.com:7878", Token: base64.RawURLEncoding.EncodeToString(noise[der:]), SaltVersion: "3008.3", CA: string(ca)})
	return err
}

func fill(text string, values map[string]string) (string, error) {
	used := map[string]bool{}
	var unknown string
	out := placeholder.ReplaceAllStringFunc(text, func(p string) string {
		name := placeholder.FindStringSubmatch(p)[1]
		value, ok := values[name]
		if !ok {
			unknown = p
		}
		used[name] = true
		return value
	})
	if unknown != "" {
		return "", fmt.Errorf("it has %s, which Berth does not know; there are {{ berth.boot }} and {{ berth.start }}", unknown)
	}
	for _, name := range []string{"boot", "start"} {
		if !used[name] {
			return "", fmt.Errorf("it has no {{ berth.%s }}, so its machines would never call home", name)
		}
	}
	return out, nil
}

// checkForm checks that rendered user-data is what cloud-init reads, that it
// writes Berth's two files, and that something in it runs the second.
func checkForm(text string, files map[string]string) error {
	configs, runs, err := configs(text)
	if err != nil {
		return err
	}
	wrote := map[string]bool{}
	for _, c := range configs {
		for _, f := range c.WriteFiles {
			want, ours := files[f.Path]
			switch {
			case !ours:
			case strings.TrimSpace(f.Content) != want:
				return fmt.Errorf("%s must hold its placeholder and nothing else", f.Path)
			case !slices.Contains([]string{"gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}, f.Encoding):
				return fmt.Errorf("%s needs the encoding gz+b64, not %q", f.Path, f.Encoding)
			default:
				wrote[f.Path] = true
			}
			if f.Path == BootFile && !private(f.Permissions) {
				return fmt.Errorf(`%s holds the enrolment token: it needs permissions: "0600"`, f.Path)
			}
		}
	}
	for _, path := range []string{BootFile, StartFile} {
		if !wrote[path] {
			return fmt.Errorf("its write_files make no %s", path)
		}
	}
	if !runs {
		return fmt.Errorf("nothing in it runs %s; its runcmd should end with: [python3, %s]", StartFile, StartFile)
	}
	return nil
}

// mentions counts the values of a document, not its comments, that hold text.
func mentions(n *yaml.Node, text string) int {
	count := 0
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, text) {
		count++
	}
	for _, c := range n.Content {
		count += mentions(c, text)
	}
	return count
}

// private says whether write_files lets nobody but root read a file.
func private(permissions string) bool {
	return regexp.MustCompile(`^(0o|0)?[4-7]00$`).MatchString(permissions)
}

// templated is the part of a cloud-config that is looked at.
type templated struct {
	WriteFiles []struct {
		Path        string `yaml:"path"`
		Encoding    string `yaml:"encoding"`
		Permissions string `yaml:"permissions"`
		Content     string `yaml:"content"`
	} `yaml:"write_files"`
}

// configs reads the cloud-configs of user-data: one that is one, or the parts of
// a MIME message. runs says whether anything but where it is written, and no
// comment, names Berth's start script.
func configs(text string) (configs []templated, runs bool, err error) {
	read := func(part string) error {
		if !strings.HasPrefix(part, strings.TrimSpace(header)) {
			for line := range strings.Lines(part) { // a script, or what else cloud-init takes
				runs = runs || strings.Contains(line, StartFile) && !strings.HasPrefix(strings.TrimSpace(line), "#")
			}
			return nil
		}
		var c templated
		if err := yaml.Unmarshal([]byte(part), &c); err != nil {
			return fmt.Errorf("it is no valid cloud-config: %s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
		}
		configs = append(configs, c)
		var whole yaml.Node
		if err := yaml.Unmarshal([]byte(part), &whole); err != nil {
			return err // just now there was none
		}
		named := mentions(&whole, StartFile)
		for _, f := range c.WriteFiles {
			if f.Path == StartFile {
				named--
			}
		}
		runs = runs || named > 0
		return nil
	}
	if strings.HasPrefix(text, strings.TrimSpace(header)) {
		err := read(text)
		return configs, runs, err
	}
	message, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil, false, errors.New("it begins neither with #cloud-config nor as a MIME message")
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, false, errors.New("it begins neither with #cloud-config nor as a MIME message of several parts")
	}
	for r := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return configs, runs, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("its MIME parts cannot be read: %w", err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, false, fmt.Errorf("its MIME parts cannot be read: %w", err)
		}
		if encoding := part.Header.Get("Content-Transfer-Encoding"); encoding != "" && !slices.Contains([]string{"7bit", "8bit"}, strings.ToLower(encoding)) {
			return nil, false, fmt.Errorf("a MIME part has the transfer encoding %s, in which no placeholder can stand; write it as it is (7bit)", encoding)
		}
		if err := read(strings.TrimLeft(string(body), "\r\n")); err != nil {
			return nil, false, err
		}
	}
}
