package catalog

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"
)

//go:embed compile.py
var compileModule []byte

// compileTimeout bounds one run of Salt; a trial takes about a tenth of a
// second.
const compileTimeout = 5 * time.Minute

// trial is one compilation: recipes with the pillar that they would get.
type trial struct {
	States []string       `json:"states"`
	Pillar map[string]any `json:"pillar"`
	// Try asks for a test run of what can be tried without the server.
	Try bool `json:"try,omitempty"`
}

// chunk is one state as Salt would run it.
type chunk map[string]any

func (c chunk) text(key string) string {
	s, _ := c[key].(string)
	return s
}

// compiled is what came of a trial: chunks, or Salt's reasons why not.
type compiled struct {
	chunks []chunk
	errors []string
	// failing are states that a test run fails on; says is why.
	failing []chunk
}

func (c *compiled) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &c.errors) == nil && len(c.errors) > 0 {
		return nil
	}
	c.errors = nil
	if err := json.Unmarshal(raw, &c.chunks); err == nil {
		return nil
	}
	c.chunks, c.errors = nil, []string{string(raw)}
	return nil
}

// compilation is what one run of Salt gave.
type compilation struct {
	Trials  []compiled `json:"trials"`
	Tries   [][]chunk  `json:"tries"`   // of each trial, the states that would fail
	Unknown []string   `json:"unknown"` // used state functions that Salt does not have here
}

// compiler runs Salt without a minion or a master of this machine's: all of
// its folders are temporary ones.
type compiler struct {
	saltCall string
	roots    []string // file_roots
	starter  fs.FS    // Berth's own recipes, the last of file_roots
}

// compile compiles all trials in one run of salt-call.
func (c compiler) compile(ctx context.Context, trials []trial) (compilation, error) {
	var out compilation
	dir, err := os.MkdirTemp("", "berth-validate-*")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	starter := filepath.Join(dir, "starter")
	if err := os.CopyFS(starter, c.starter); err != nil {
		return out, err
	}
	minion, err := json.Marshal(map[string]any{
		"id": "berth-validate", "user": account(), "file_client": "local", "root_dir": filepath.Join(dir, "salt"),
		"pki_dir": "pki", "cachedir": "cache", "sock_dir": "run", "pidfile": "minion.pid", "log_file": "minion.log", "log_level_logfile": "quiet",
		"file_roots":   map[string]any{"base": append(append([]string{}, c.roots...), starter)},
		"pillar_roots": map[string]any{"base": []string{filepath.Join(dir, "pillar")}},
		"module_dirs":  []string{filepath.Join(dir, "modules")}, "enable_fqdns_grains": false, "enable_gpu_grains": false,
		"fileserver_followsymlinks": true, "renderer": "jinja|yaml", "default_include": "minion.d/none",
	})
	if err != nil {
		return out, err
	}
	input, err := json.Marshal(trials)
	if err != nil {
		return out, err
	}
	in := filepath.Join(dir, "trials.json")
	// The trials hold ops' settings: a file, never an argument.
	for name, content := range map[string][]byte{filepath.Join("etc", "minion"): minion, filepath.Join("modules", "berth_validate.py"): compileModule, "trials.json": input} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return out, err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return out, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.saltCall, "--local", "-c", filepath.Join(dir, "etc"), "berth_validate.compile", in, "--out=json", "-l", "critical")
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = dir, &stderr, 5*time.Second
	// Recipes see what they see on a server: nothing of Berth's.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8"}
	runErr := cmd.Run()
	raw, err := os.ReadFile(in + ".out")
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return out, fmt.Errorf("it took longer than %s", compileTimeout)
		case runErr == nil:
			runErr = errors.New("it gave no result")
		}
		if line := lastLine(stderr.Bytes()); line != "" {
			return out, fmt.Errorf("%w: %s", runErr, line)
		}
		return out, runErr
	}
	if err := json.Unmarshal(raw, &out); err != nil || len(out.Trials) != len(trials) || len(out.Tries) != len(trials) {
		return out, errors.New("it gave a result of another form")
	}
	for i, failing := range out.Tries {
		out.Trials[i].failing = failing
	}
	return out, nil
}

func account() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(bytes.TrimSpace(b[bytes.LastIndexByte(b, '\n')+1:]))
}
