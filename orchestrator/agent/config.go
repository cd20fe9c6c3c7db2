package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// ConfigFile is the name of the file by which an agent's folder is known.
const ConfigFile = "agent.json"

// The names in an agent's folder.
const (
	keyFile       = "key"
	enrolledFile  = "enrolled"
	lockFile      = "agent.lock"
	processesFile = "processes.json"
	agentLog      = "agent.log"
	appLog        = "app.log"
	stateFile     = "state.json"
	goodFile      = "good.json"
	envFile       = "env"
	spoolFolder   = "spool"
	notesFolder   = "starter" // the starter recipe makes it
)

// config is agent.json.
type config struct {
	Boot      orchestrator.Boot `json:"boot"`
	SaltCall  string            `json:"salt_call,omitempty"`
	GitConfig string            `json:"git_config,omitempty"`
	Systemd   bool              `json:"systemd,omitempty"`
	// BootFile is the file that user-data has put the Boot in.
	BootFile string `json:"boot_file,omitempty"`
	// GitConfigText stands for a GitConfig that the server's own user may not
	// read.
	GitConfigText string `json:"git_config_text,omitempty"`
}

func (c config) check() error {
	if c.Boot.ServerID == "" {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The agent's configuration names no server.").
			WithHint("Start it with the user-data that Berth rendered for this server.")
	}
	if c.Boot.CA != "" {
		if _, err := authority(c.Boot.CA); err != nil {
			return err
		}
	}
	return CheckURL(c.Boot.URL)
}

// CheckURL refuses an address of Berth over which an agent would carry its token
// and its settings unencrypted beyond this machine.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "Berth's address %q is not an http or https URL.", address)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "Berth's address %s would send this server's secrets unencrypted.", address).
			WithHint("Give Berth a certificate (--tls-cert, --tls-key) and set BERTH_PUBLIC_URL to its https address.")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readConfig(dir string) (config, error) {
	var c config
	raw, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, orchestrator.Errorf(orchestrator.CodeNotFound, "The folder %s holds no agent.", dir).WithHint("berth agent start --dir %s", dir)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The agent's configuration %s is damaged: %v.", filepath.Join(dir, ConfigFile), err)
	}
	return c, c.check()
}

// writeFile replaces a file as a whole, readable by its owner alone.
func writeFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func writeJSON(name string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(name), err)
	}
	return writeFile(name, b.Bytes())
}

func readJSON(name string, v any) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// passedOn are the variables that an agent, its recipes and its app get from
// whoever starts it: where programs are, the language, the way out.
var passedOn = []string{"PATH", "LANG", "LC_ALL", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// ownPassedOn are those that the agent alone gets, and nothing that it starts.
var ownPassedOn []string

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// serverDirVariable marks every process of a server.
const serverDirVariable = "BERTH_SERVER_DIR"

// minimalEnv is all that the agent's children inherit.
func minimalEnv(dir string, lookup func(string) string) []string {
	env := []string{serverDirVariable + "=" + dir}
	for _, name := range passedOn {
		value := lookup(name)
		switch {
		case value != "":
			env = append(env, name+"="+value)
		case name == "PATH":
			env = append(env, "PATH="+defaultPath)
		case name == "LANG":
			env = append(env, "LANG=C.UTF-8")
		}
	}
	return env
}

// setEnv gives env with the variable set, once.
func setEnv(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			out = append(out, kv)
		}
	}
	return append(out, name+"="+value)
}
