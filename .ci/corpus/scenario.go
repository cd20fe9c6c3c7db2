package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// scenario is one file: what Salt is to do, and what is true about it.
type scenario struct {
	name string
	note string // the file's comment
	sum  string // of everything that the run depends on
	plan
	files []txtar.File
}

// plan is the part scenario.json of a scenario.
type plan struct {
	// Salt are the series that it is run with; empty means all.
	Salt []string `json:"salt"`
	// Run are salt-call's arguments, state.apply and the recipe app by default.
	Run []string `json:"run"`
	// Kill is a regular expression: when a line on standard error fits, Salt and
	// all that it has started are killed. Cut keeps only so many bytes of
	// standard output; a negative number is counted from its end.
	Kill string `json:"kill"`
	Cut  int    `json:"cut"`
	truth
	// Other holds what another series does otherwise, by its name.
	Other map[string]truth `json:"other"`
}

// truth is what a person says of a run, from what the scenario does.
type truth struct {
	Outcome string  `json:"outcome"`
	Failed  *int    `json:"failed"`
	Blocked *int    `json:"blocked"`
	Causes  []cause `json:"causes"`
}

type cause struct {
	Where   []string `json:"where"`
	Code    string   `json:"code"`
	Who     string   `json:"who"`
	Codes   []string `json:"also_ok_codes"`
	Whos    []string `json:"also_ok_who"`
	Must    []any    `json:"must_mention"`
	MustNot []string `json:"must_not_mention,omitempty"`
	Tags    []string `json:"tags"`
	// Blocks are the steps that this cause keeps from running, where they are
	// told: sls.id, in the order in which they would run.
	Blocks []string `json:"blocks"`
}

// meta is a recorded run's meta.json.
type meta struct {
	Salt    string  `json:"salt"`
	Exit    int     `json:"exit"`
	Outcome string  `json:"outcome"`
	Causes  []cause `json:"causes"`
	Failed  *int    `json:"failed_total"`
	Blocked *int    `json:"blocked_total"`
	Note    string  `json:"note"`
	// Scenario is the digest of what the run was made from.
	Scenario string `json:"scenario"`
}

// series are the Salts, and the folder of set-up's that each is in.
var installed = map[string]string{"3008": "salt", "3006": "salt-3006"}

var nameForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func load(dir string) ([]*scenario, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("corpus: no scenarios in %s (%v)", dir, err)
	}
	var out []*scenario
	var errs []error
	for _, path := range paths {
		s, err := parse(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("corpus: %s: %w", path, err))
			continue
		}
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}

func parse(path string) (*scenario, error) {
	a, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	s := &scenario{name: strings.TrimSuffix(filepath.Base(path), ".txtar"), note: strings.Join(strings.Fields(string(a.Comment)), " ")}
	if !nameForm.MatchString(s.name) {
		return nil, errors.New("its name is not lower-case words with hyphens")
	}
	if s.note == "" {
		return nil, errors.New("it does not say what it shows: the text before the first file is missing")
	}
	found := false
	for _, f := range a.Files {
		if !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("%s is outside the run's folder", f.Name)
		}
		if f.Name != "scenario.json" {
			s.files = append(s.files, f)
			continue
		}
		found = true
		d := json.NewDecoder(bytes.NewReader(f.Data))
		d.DisallowUnknownFields()
		if err := d.Decode(&s.plan); err != nil {
			return nil, fmt.Errorf("scenario.json: %w", err)
		}
	}
	if !found {
		return nil, errors.New("scenario.json is missing")
	}
	if len(s.Run) == 0 {
		s.Run = []string{"state.apply", "app"}
	}
	for _, name := range slices.Concat(s.Salt, keys(s.Other)) {
		if installed[name] == "" {
			return nil, fmt.Errorf("there is no Salt %q here", name)
		}
	}
	for _, series := range s.series() {
		t := s.of(series)
		if !slices.Contains([]string{"ok", "failed", "busy", "unreadable"}, t.Outcome) || (len(t.Causes) == 0) != (t.Outcome == "ok") {
			return nil, fmt.Errorf("Salt %s: the outcome %q with %d causes", series, t.Outcome, len(t.Causes))
		}
		for _, c := range t.Causes {
			if c.Code == "" || !slices.Contains([]string{"developer", "ops", "retry"}, c.Who) {
				return nil, fmt.Errorf("Salt %s: a cause needs a code and who can mend it: %+v", series, c)
			}
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d\n", s.Run, s.Kill, s.Cut)
	for _, f := range s.files {
		fmt.Fprintf(h, "%q %q\n", f.Name, f.Data)
	}
	s.sum = hex.EncodeToString(h.Sum(nil))[:16]
	return s, nil
}

func keys[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func (s *scenario) series() []string {
	if len(s.Salt) > 0 {
		return s.Salt
	}
	return []string{"3008", "3006"}
}

// of is what is true of a run with this Salt.
func (s *scenario) of(series string) truth {
	t, o := s.truth, s.Other[series]
	t.Outcome, t.Failed, t.Blocked = cmp.Or(o.Outcome, t.Outcome), cmp.Or(o.Failed, t.Failed), cmp.Or(o.Blocked, t.Blocked)
	if o.Causes != nil {
		t.Causes = o.Causes
	}
	return t
}

// recorded is the name of the folder with a run.
func (s *scenario) recorded(series string) string {
	if series == "3008" {
		return s.name
	}
	return s.name + "-" + series
}

// meta is what is written beside a run.
func (s *scenario) meta(series, version string, exit int) meta {
	t := s.of(series)
	m := meta{Salt: version, Exit: exit, Outcome: t.Outcome, Causes: []cause{}, Failed: t.Failed, Blocked: t.Blocked, Note: s.note, Scenario: s.sum}
	if s.Cut != 0 {
		m.Failed, m.Blocked = nil, nil // nobody can count what is cut off
	}
	for _, c := range t.Causes {
		if c.Codes == nil {
			c.Codes = []string{}
		}
		if c.Whos == nil {
			c.Whos = []string{}
		}
		if c.Must == nil {
			c.Must = []any{}
		}
		if c.Tags == nil {
			c.Tags = []string{}
		}
		if c.Where == nil {
			c.Where = []string{}
		}
		m.Causes = append(m.Causes, c)
	}
	return m
}

const limit = 3 * time.Minute

// record runs the scenario and writes what came of it.
func (s *scenario) record(ctx context.Context, work, out, series string) (name string, err error) {
	name = s.recorded(series)
	venv := filepath.Join(work, installed[series])
	salt := filepath.Join(venv, "bin", "salt-call")
	if _, err := os.Stat(salt); err != nil {
		return name, fmt.Errorf("Salt %s is not installed (make corpus installs it): %w", series, err)
	}
	root, err := os.MkdirTemp("", "berth-corpus-")
	if err != nil {
		return name, err
	}
	defer func() {
		_ = exec.Command("chattr", "-R", "-i", root).Run() // a scenario may protect files; most do not
		if e := os.RemoveAll(root); err == nil {
			err = e
		}
	}()
	if err := s.lay(root); err != nil {
		return name, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := runner{root: root, salt: salt, kill: s.Kill}
	if err := r.setUp(ctx); err != nil {
		return name, err
	}
	var args []string
	for _, a := range s.Run {
		args = append(args, strings.ReplaceAll(a, "@ROOT@", root))
	}
	stdout, stderr, exit, err := r.run(ctx, args)
	if err != nil {
		return name, err
	}
	version, err := exec.CommandContext(ctx, salt, "--version").Output()
	if err != nil || len(strings.Fields(string(version))) < 2 {
		return name, fmt.Errorf("salt-call --version: %q, %w", version, err)
	}
	m := s.meta(series, strings.Fields(string(version))[1], exit)
	t := s.of(series)
	if err := agrees(stdout, t.Failed, t.Blocked); err != nil {
		return name, fmt.Errorf("%w\n%s\n%s", err, stdout, stderr)
	}
	n := newNormal(root, venv)
	stdout, stderr = n.do(stdout), n.do(stderr)
	if s.Cut > 0 {
		stdout = stdout[:min(s.Cut, len(stdout))]
	} else if s.Cut < 0 {
		stdout = stdout[:max(0, len(stdout)+s.Cut)]
	}
	text, err := m.encode()
	if err != nil {
		return name, err
	}
	dir := filepath.Join(out, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return name, err
	}
	for file, content := range map[string][]byte{"result.json": stdout, "stderr.txt": ends(stderr), "meta.json": text} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			return name, err
		}
	}
	return name, nil
}

func (m meta) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(m)
	return b.Bytes(), err
}

// lay writes the scenario's files. ROOT in a text is the run's folder.
func (s *scenario) lay(root string) error {
	for _, f := range s.files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(f.Name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(f.Data, []byte("@ROOT@"), []byte(root)), mode); err != nil {
			return err
		}
	}
	return nil
}

// runner runs one Salt in one folder.
type runner struct{ root, salt, kill string }

func (r runner) path(parts ...string) string {
	return filepath.Join(append([]string{r.root}, parts...)...)
}

func (r runner) environment() []string {
	return []string{
		"PATH=" + r.path("bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + r.path("home"), "ROOT=" + r.root,
		"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Maria", "GIT_AUTHOR_EMAIL=maria@example.com", "GIT_COMMITTER_NAME=Maria", "GIT_COMMITTER_EMAIL=maria@example.com",
		"GIT_AUTHOR_DATE=2026-01-05T10:00:00Z", "GIT_COMMITTER_DATE=2026-01-05T10:00:00Z", "GIT_TERMINAL_PROMPT=0",
	}
}

const minion = `file_client: local
id: server
root_dir: %[1]s
pki_dir: var/pki
cachedir: var/cache
sock_dir: var/sock
pidfile: var/pid
log_file: var/log
file_roots: {base: [%[1]s/states]}
pillar_roots: {base: [%[1]s/pillar]}
fileserver_backend: [roots]
state_events: false
enable_fqdns_grains: false
`

// setUp makes what is around the scenario's files, and runs its setup.sh.
func (r runner) setUp(ctx context.Context) error {
	for _, dir := range []string{"etc", "home", "states", "pillar", "bin", "var"} {
		if err := os.MkdirAll(r.path(dir), 0o755); err != nil {
			return err
		}
	}
	conf := fmt.Sprintf(minion, r.root)
	if more, err := os.ReadFile(r.path("minion")); err == nil {
		conf += string(more)
	}
	if err := os.WriteFile(r.path("etc", "minion"), []byte(conf), 0o644); err != nil {
		return err
	}
	if _, err := os.Stat(r.path("setup.sh")); err != nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-eu", "setup.sh")
	cmd.Dir, cmd.Env = r.root, r.environment()
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("setup.sh: %w\n%s", err, text)
	}
	return nil
}

// run gives what Salt printed and its exit status as a shell sees it.
func (r runner) run(ctx context.Context, args []string) (stdout, stderr []byte, exit int, err error) {
	args = append([]string{"--local", "-c", r.path("etc"), "--retcode-passthrough", "--out=json", "--log-file-level=quiet"}, args...)
	cmd := exec.CommandContext(ctx, r.salt, args...)
	cmd.Dir, cmd.Env = r.root, r.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = end, time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if r.kill != "" {
		form, err := regexp.Compile(r.kill)
		if err != nil {
			return nil, nil, 0, err
		}
		cmd.Stderr = watched{&errs, form, end}
	}
	err = cmd.Run()
	_ = syscall.Kill(-max(2, pid(cmd)), syscall.SIGKILL) // what the scenario left behind; there may be nothing
	if ctx.Err() != nil {
		return nil, nil, 0, fmt.Errorf("it took longer than %s\n%s", limit, errs.Bytes())
	}
	var status *exec.ExitError
	switch {
	case errors.As(err, &status):
		exit = status.ExitCode()
		if w, ok := status.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			exit = 128 + int(w.Signal())
		}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, nil, 0, err
	}
	return out.Bytes(), errs.Bytes(), exit, nil
}

func pid(cmd *exec.Cmd) int {
	if cmd.Process == nil {
		return 0
	}
	return cmd.Process.Pid
}

// watched kills when a line fits.
type watched struct {
	to   *bytes.Buffer
	form *regexp.Regexp
	kill func() error
}

func (w watched) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if w.form.Match(w.to.Bytes()) {
		_ = w.kill() // it may be gone already
	}
	return n, err
}

// agrees compares what a person counted with what Salt printed, where that is
// one document of steps: a wrong scenario is told before it is written.
func agrees(stdout []byte, wantFailed, wantBlocked *int) error {
	var document struct {
		Local map[string]struct {
			Result  *bool
			Comment any
		}
	}
	if json.Unmarshal(stdout, &document) != nil {
		return nil
	}
	failed, blocked := 0, 0
	for _, step := range document.Local {
		if step.Result != nil && !*step.Result {
			failed++
			if c, ok := step.Comment.(string); ok && strings.HasPrefix(c, "One or more requisite failed") {
				blocked++
			}
		}
	}
	if wantFailed != nil && *wantFailed != failed || wantBlocked != nil && *wantBlocked != blocked {
		return fmt.Errorf("Salt says that %d steps failed, %d of them because of others; the scenario says otherwise", failed, blocked)
	}
	return nil
}

// ends keeps 20 KB: the first 4 and the last 16.
func ends(b []byte) []byte {
	if len(b) <= 20<<10 {
		return b
	}
	return append(append(bytes.Clone(b[:4<<10]), "\n[…]\n"...), b[len(b)-16<<10:]...)
}
