package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	saltTimeout = 30 * time.Minute
	// hung is how long salt-call may stay after it has printed its result: a
	// child of a step that timed out can keep it for ever.
	hung = 30 * time.Second
)

// commitForm is a full commit, SHA-1 or SHA-256.
var commitForm = lazyregexp.New(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// passwd makes the server's own user known to Salt's Python where the machine
// has no entry for it: Salt asks for its name before it does anything.
const passwd = `import grp, os, pwd
os.environ.pop("PYTHONPATH", None)
_uid, _gid = os.getuid(), os.getgid()
_name = "berth-%d" % _uid
_user = pwd.struct_passwd((_name, "x", _uid, _gid, "Berth", os.environ.get("HOME", "/"), "/bin/sh"))
_group = grp.struct_group((_name, "x", _gid, []))
def _known(real, ours, key):
    def look(asked):
        try:
            return real(asked)
        except KeyError:
            if asked == key:
                return ours
            raise
    return look
pwd.getpwuid = _known(pwd.getpwuid, _user, _uid)
pwd.getpwnam = _known(pwd.getpwnam, _user, _name)
grp.getgrgid = _known(grp.getgrgid, _group, _gid)
grp.getgrnam = _known(grp.getgrnam, _group, _name)
`

// problem is what kept the agent from running Salt, in one plain sentence, and
// what a program said about it.
type problem struct{ text, said string }

func (p problem) Error() string { return p.text }

func problemf(format string, args ...any) error { return problem{text: fmt.Sprintf(format, args...)} }

// result is what salt-call gave.
type result struct {
	stdout, stderr string
	exit           int
}

// check refuses a desired state that could not be meant.
func check(d *orchestrator.Desired, serverID string) error {
	switch {
	case d.ServerID != "" && d.ServerID != serverID:
		return problemf("The desired state is that of another server (%s).", d.ServerID)
	case !commitForm.MatchString(d.Commit):
		return problemf("The desired state names no full commit but %q.", d.Commit)
	case d.Repository == "" || strings.HasPrefix(d.Repository, "-") || strings.Contains(d.Repository, "::"):
		return problemf("The repository %q is not an address that Berth hands to git.", d.Repository)
	case !digestForm.MatchString(d.StatesDigest):
		return problemf("The desired state names no recipes.")
	case d.Port < 0 || d.Port > 65535:
		return problemf("The port %d is none.", d.Port)
	}
	return nil
}

func (a *agent) checkout() string { return filepath.Join(a.dir, "root", "app") }

// prepare brings recipes, pillar, configuration and what is not public of the
// code in place. That last may take its time, and ends with soft.
func (a *agent) prepare(ctx, soft context.Context, d *orchestrator.Desired) error {
	for _, name := range []string{"etc", "salt", "home", "tmp", "states", "pillar", "root", spoolFolder} {
		if err := os.MkdirAll(filepath.Join(a.dir, name), 0o700); err != nil {
			return problemf("The server's folder cannot be written: %v.", err)
		}
	}
	folder := filepath.Join(a.dir, "states", d.StatesDigest)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := a.fetchStates(ctx, d.StatesDigest, folder); err != nil {
			return err
		}
	}
	roots, err := fileRoots(folder)
	if err != nil {
		return problemf("The recipes cannot be read: %v.", err)
	}
	env, pillar, err := a.pillar(d)
	if err != nil {
		return err
	}
	mirrors, err := a.fetchCode(soft, d)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		envFile:                                  env,
		filepath.Join("pillar", "berth.sls"):     pillar,
		filepath.Join("pillar", "top.sls"):       []byte("base:\n  '*': [berth]\n"),
		filepath.Join("etc", "sitecustomize.py"): []byte(passwd),
		"gitconfig":                              a.gitConfig(ctx, d.Repository, mirrors),
	}
	if files[filepath.Join("etc", "minion")], err = a.minion(roots); err != nil {
		return err
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(a.dir, name), content); err != nil {
			return problemf("The server's folder cannot be written: %v.", err)
		}
	}
	if a.config.Systemd {
		// Recipes run git as the app's user. On a machine of its own there are
		// no settings of other people in it.
		if err := os.Chmod(filepath.Join(a.dir, "gitconfig"), 0o644); err != nil {
			return problemf("The server's folder cannot be written: %v.", err)
		}
	}
	return a.unlockGit()
}

func (a *agent) fetchStates(ctx context.Context, digest, folder string) error {
	var archive []byte
	err := retry(ctx, a.warn("fetching the recipes"), func() (err error) {
		archive, err = a.client.states(ctx, digest)
		var refused *statusError
		if errors.As(err, &refused) && refused.Status == 404 {
			return permanent(problemf("Berth does not have the recipes %s any more: deploy again.", digest[:12]))
		}
		return err
	})
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(folder), ".new-*")
	if err != nil {
		return problemf("The server's folder cannot be written: %v.", err)
	}
	defer os.RemoveAll(temp)
	if err := unpack(archive, temp); err != nil {
		return problemf("The recipes cannot be unpacked: %v.", err)
	}
	if err := os.Rename(temp, folder); err != nil {
		return problemf("The server's folder cannot be written: %v.", err)
	}
	return nil
}

// pillar completes Berth's pillar with what only the agent knows, and gives
// the bytes of .env beside it.
func (a *agent) pillar(d *orchestrator.Desired) (env, pillar []byte, err error) {
	bad := problemf("The desired state's pillar cannot be read.")
	var top map[string]any
	decoder := json.NewDecoder(bytes.NewReader(d.Pillar))
	decoder.UseNumber()
	if err := decoder.Decode(&top); err != nil {
		return nil, nil, bad
	}
	berth, ok := top["berth"].(map[string]any)
	if !ok {
		return nil, nil, bad
	}
	app, ok := berth["app"].(map[string]any)
	if !ok {
		return nil, nil, bad
	}
	text, _ := berth["env"].(string)
	berth["env"] = text
	berth["root"] = filepath.Join(a.dir, "root")
	berth["systemd"] = a.config.Systemd
	berth["env_file"] = filepath.Join(a.dir, envFile)
	if berth["program"], err = os.Executable(); err != nil {
		return nil, nil, fmt.Errorf("finding the agent's own program: %w", err)
	}
	app["checkout"] = a.checkout()
	// The desired state's own fields say what is to run.
	app["repository"], app["branch"], app["revision"], app["port"] = d.Repository, d.Branch, d.Commit, d.Port
	for _, key := range []string{"build", "start", "name", "health"} {
		if _, ok := app[key].(string); !ok {
			app[key] = ""
		}
	}
	var out bytes.Buffer
	out.WriteString("#!json\n")
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(top); err != nil {
		return nil, nil, bad
	}
	return []byte(text), out.Bytes(), nil
}

// minion is Salt's configuration, as JSON, which is YAML too.
func (a *agent) minion(roots []string) ([]byte, error) {
	name := fmt.Sprintf("berth-%d", os.Getuid())
	if u, err := user.Current(); err == nil && a.named {
		name = u.Username
	}
	return json.Marshal(map[string]any{
		"id": a.config.Boot.ServerID, "user": name, "file_client": "local",
		"root_dir": filepath.Join(a.dir, "salt"), "pki_dir": "pki", "cachedir": "cache", "sock_dir": "run",
		"pidfile": "minion.pid", "log_file": "minion.log", "conf_file": filepath.Join(a.dir, "etc", "minion"), "log_level_logfile": "quiet",
		"file_roots":   map[string]any{"base": roots},
		"pillar_roots": map[string]any{"base": []string{filepath.Join(a.dir, "pillar")}},
		// Looking up names of addresses can take a minute where no name
		// server answers.
		"enable_fqdns_grains": false, "enable_gpu_grains": false, "grains_cache": true,
		"fileserver_followsymlinks": true, "renderer": "jinja|yaml", "default_include": "minion.d/none",
	})
}

// env is what Salt, its steps and the app inherit.
func (a *agent) env() []string {
	env := minimalEnv(a.dir, os.Getenv)
	home := filepath.Join(a.dir, "home")
	if a.config.Systemd {
		home = "/root"
	} else {
		env = setEnv(env, "TMPDIR", filepath.Join(a.dir, "tmp"))
	}
	env = setEnv(env, "HOME", home)
	env = setEnv(env, "GIT_CONFIG_GLOBAL", filepath.Join(a.dir, "gitconfig"))
	return setEnv(env, "GIT_TERMINAL_PROMPT", "0")
}

// saltCall finds salt-call for this agent.
func (a *agent) saltCall(ctx context.Context) (string, error) {
	if a.setup != nil {
		return a.setup.wait(ctx)
	}
	if name, ok := FindSaltCall(a.config.SaltCall); ok {
		return name, nil
	}
	return "", problemf("Salt is not installed on this server: there is no salt-call on PATH, and BERTH_SALT_CALL is not set.")
}

// FindSaltCall finds salt-call: as configured, else on PATH, else where the
// project's set-up installs it, seen from its berth program.
func FindSaltCall(configured string) (path string, ok bool) {
	if configured != "" {
		return configured, true
	}
	if name, err := exec.LookPath("salt-call"); err == nil {
		return name, true
	}
	if self, err := os.Executable(); err == nil {
		for _, folder := range []string{".berth", "..", "../.berth"} {
			name := filepath.Join(filepath.Dir(self), folder, "salt", "bin", "salt-call")
			if _, err := os.Stat(name); err == nil {
				return name, true
			}
		}
	}
	return "", false
}

// applySalt runs salt-call. Canceling ctx kills it and all that it started.
func (a *agent) applySalt(ctx context.Context, d *orchestrator.Desired, quiet bool) (result, error) {
	program, err := a.saltCall(ctx)
	if err != nil {
		return result{}, err
	}
	states, err := stateList(d.States)
	if err != nil {
		return result{}, problemf("%v.", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, saltTimeout, errors.New("Salt took longer than 30 minutes"))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--local", "-c", filepath.Join(a.dir, "etc"), "state.apply", states,
		"--retcode-passthrough", "--out=json", "--out-indent=-1", "-l", "info")
	// Not below root: an interpreter takes modules from where it is started.
	cmd.Dir = filepath.Join(a.dir, "salt")
	cmd.Env = a.env()
	if !a.named {
		cmd.Env = setEnv(cmd.Env, "PYTHONPATH", filepath.Join(a.dir, "etc"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second
	stdout := &document{}
	stderr := &ends{maxHead: 16 << 10, maxTail: 48 << 10}
	lines := &lineWriter{line: func(line string) {
		if quiet {
			return
		}
		if text, ok := saltStep(line); ok {
			// The starter recipe offers this step to every app.
			if text == "running: make build" && !a.makes("build") {
				return
			}
			if strings.Contains(text, filepath.Join(a.dir, notesFolder)) {
				return // the starter recipe's own notes
			}
			a.stream.add("configuring", "", strings.ReplaceAll(text, filepath.Join(a.dir, "root")+"/", ""))
		} else if troubled.MatchString(line) {
			a.stream.add("log", "salt", line)
		}
	}}
	cmd.Stdout = stdout
	cmd.Stderr = both{stderr, lines}
	cmd.Cancel = func() error { return a.killSession(cmd.Process.Pid) }
	if err := a.start(cmd); err != nil {
		return result{}, problemf("Salt cannot be run: %v.", plainExec(err))
	}
	finished := make(chan struct{})
	go func() {
		if stdout.whole(finished) {
			_ = a.killSession(cmd.Process.Pid)
		}
	}()
	err = cmd.Wait()
	close(finished)
	a.ended(cmd)
	lines.flush()
	if err != nil && cmd.ProcessState == nil {
		return result{}, problemf("Salt cannot be run: %v.", plainExec(err))
	}
	r := result{stdout: stdout.String(), stderr: stderr.String(), exit: exitStatus(cmd.ProcessState)}
	if ctx.Err() != nil {
		r.stderr += fmt.Sprintf("\nThe agent ended salt-call: %v.\n", context.Cause(ctx))
	}
	if !quiet {
		a.stepOutput(r.stdout)
	}
	return r, nil
}

// plainExec is the reason without the call's name.
func plainExec(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// exitStatus is the status as a shell gives it.
func exitStatus(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// stepOutput streams what commands of the recipes printed: Salt gives it only
// in its result.
func (a *agent) stepOutput(stdout string) {
	var doc struct {
		Local map[string]json.RawMessage `json:"local"`
	}
	if json.Unmarshal([]byte(stdout), &doc) != nil {
		return
	}
	for _, raw := range doc.Local {
		var chunk struct {
			Changes map[string]any `json:"changes"`
		}
		if json.Unmarshal(raw, &chunk) != nil {
			continue
		}
		for _, key := range []string{"stdout", "stderr"} {
			text, _ := chunk.Changes[key].(string)
			lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
			if text == "" {
				continue
			}
			for _, line := range lines[max(0, len(lines)-200):] {
				a.stream.add("log", "salt", line)
			}
		}
	}
}

// both writes to two writers that never fail.
type both struct {
	ends  *ends
	lines *lineWriter
}

func (b both) Write(p []byte) (int, error) {
	_, _ = b.ends.Write(p)
	return b.lines.Write(p)
}

// whole waits until the document has been complete for a while; false when
// finished is closed before.
func (d *document) whole(finished <-chan struct{}) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var since time.Time
	for last := -1; ; {
		select {
		case <-finished:
			return false
		case <-tick.C:
		}
		d.mu.Lock()
		n := d.buf.Len()
		if n != last {
			last, since = n, time.Time{}
			if text := bytes.TrimSpace(d.buf.Bytes()); len(text) > 0 && text[len(text)-1] == '}' && json.Valid(text) {
				since = time.Now()
			}
		}
		d.mu.Unlock()
		if !since.IsZero() && time.Since(since) > hung {
			return true
		}
	}
}
