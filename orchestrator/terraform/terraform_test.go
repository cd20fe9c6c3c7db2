package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/orchestrator/terraform"
)

// The test binary stands in for berth where a process of its own is needed:
// `run` is the real thing, `agent` writes down how it was called.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		os.Exit(run(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "migrate" {
		os.Exit(migrate(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "agent" {
		os.Exit(agent(os.Args[2], os.Args[3:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "cloud" {
		os.Exit(callCloud(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func run(args []string) int {
	var o terraform.RunOptions
	f := flag.NewFlagSet("run", flag.ExitOnError)
	f.StringVar(&o.Dir, "dir", "", "")
	f.StringVar(&o.Run, "run", "", "")
	f.StringVar((*string)(&o.Action), "action", "", "")
	_ = f.Parse(args)
	if err := terraform.Run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// agent obeys files beside the server's folder: fail makes it fail, gate (a
// FIFO) makes start wait.
func agent(verb string, args []string) int {
	dir := args[slices.Index(args, "--dir")+1]
	root := filepath.Dir(dir)
	if verb == "stop" {
		if err := os.RemoveAll(dir); err != nil {
			return 1
		}
		return 0
	}
	if said, err := os.ReadFile(filepath.Join(root, "fail")); err == nil {
		fmt.Fprintln(os.Stderr, string(said), os.Getenv("BERTH_USER_DATA"))
		return 3
	}
	if _, err := os.Stat(filepath.Join(root, "gate")); err == nil {
		f, err := os.Open(filepath.Join(root, "gate"))
		if err != nil {
			return 1
		}
		_, _ = f.Read(make([]byte, 1))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 1
	}
	note, err := json.Marshal(call{args, os.Environ(), os.Getenv("BERTH_USER_DATA"), os.Getpid()})
	if err != nil || os.WriteFile(filepath.Join(dir, "call"), note, 0o600) != nil {
		return 1
	}
	return 0
}

// call is how the agent was called.
type call struct {
	Args, Env []string
	UserData  string
	PID       int
}

// house is a Berth as far as these tests need one.
type house struct {
	*testing.T
	data, servers string
	env           map[string]string // besides the real one
	cloud         string            // its address, where there is one
	serial        int               // of the state that was last looked at
	p             *terraform.Provisioner
	mu            sync.Mutex
	told          []string
	wait          map[string]chan struct{}
}

var binary = sync.OnceValues(func() (terraform.Binary, error) {
	return terraform.Find(context.Background(), terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Offline: true})
})

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return serialHouse(t)
}

// serialHouse is for tests that set the environment.
func serialHouse(t *testing.T) *house {
	t.Helper()
	if _, err := binary(); err != nil {
		t.Fatalf("these tests need the real Terraform; set BERTH_TERRAFORM: %v", err)
	}
	h := &house{T: t, data: t.TempDir(), wait: map[string]chan struct{}{}}
	h.servers = filepath.Join(h.data, "servers")
	if err := os.Mkdir(h.servers, 0o700); err != nil {
		t.Fatal(err)
	}
	h.p = h.restart()
	return h
}

// restart gives a Provisioner that knows nothing of what came before.
func (h *house) restart() *terraform.Provisioner {
	h.Helper()
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	b, _ := binary()
	return terraform.New(terraform.Options{
		Workspaces: filepath.Join(h.data, "workspaces"), Data: h.data, Berth: self,
		Find: terraform.FindOptions{Path: b.Path},
		Render: func(dir string, w orchestrator.Workspace) error {
			return render.Write(dir, w, render.Options{Berth: self, Root: h.servers, SaltCall: "/opt/salt call", CatalogDir: h.data})
		},
		LookupEnv: func(name string) (string, bool) {
			switch name {
			case "CLOUD_TOKEN":
				return "for-terraform-only", true
			case "CLOUD_PROGRAM":
				return self, true
			case "CLOUD_ADDRESS":
				return h.cloud, true
			}
			if v, ok := h.env[name]; ok {
				return v, true
			}
			return os.LookupEnv(name)
		},
		Settle: render.Backend, Place: render.Place,
	})
}

func (h *house) progress(step, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, step+": "+text)
	if c, ok := h.wait[text]; ok {
		close(c)
		delete(h.wait, text)
	}
}

// when gives a channel that closes once text is told.
func (h *house) when(text string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wait[text] = make(chan struct{})
	return h.wait[text]
}

func (h *house) heard() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.told, "\n")
}

func workspace(apps ...string) orchestrator.Workspace {
	w := orchestrator.Workspace{EnvironmentID: "e1", Target: orchestrator.Target{Name: "local", Module: "local"}, Tags: map[string]string{"owner": "maria"}}
	for i, app := range apps {
		w.Servers = append(w.Servers, orchestrator.WorkspaceServer{ID: "s" + app, App: app, Port: 41000 + i, UID: 0, UserData: "#!\n" + token + app, Variables: map[string]any{"size": i}})
	}
	return w
}

// token is what must be seen nowhere but in user-data.
const token = "tok3nABCDEFGHIJKLMNOPQRSTUVW"

func (h *house) call(id string) call {
	h.Helper()
	data, err := os.ReadFile(filepath.Join(h.servers, id, "call"))
	if err != nil {
		h.Fatal(err)
	}
	var c call
	if err := json.Unmarshal(data, &c); err != nil {
		h.Fatal(err)
	}
	return c
}

// gate makes agents wait until open is called.
func (h *house) gate() (open func()) {
	h.Helper()
	path := filepath.Join(h.servers, "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		h.Fatal(err)
	}
	var once sync.Once
	open = func() {
		once.Do(func() {
			// Opened for both, the FIFO never blocks us and keeps what is
			// written for whoever comes.
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				h.Error(err)
				return
			}
			h.Cleanup(func() { f.Close() })
			if _, err := f.WriteString(strings.Repeat("x", 4096)); err != nil {
				h.Error(err)
			}
		})
	}
	h.Cleanup(open)
	return open
}

// leaks looks for the token in all that people or logs could see.
func (h *house) leaks(text string) {
	h.Helper()
	if strings.Contains(text, token) {
		h.Errorf("the token shows:\n%s", text)
	}
}

type outcome struct {
	machines map[string]orchestrator.Machine
	err      error
}

func (h *house) apply(ctx context.Context, p *terraform.Provisioner, w orchestrator.Workspace, run string) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		m, err := p.Apply(ctx, w, run, h.progress)
		c <- outcome{m, err}
	}()
	return c
}

func TestApplyAttachAddDestroy(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	w := workspace("api", "web")
	w.Servers[0].UserData += "${file(\"/etc/passwd\")} %{ if x } \"' \\ $(id) `id`\nsnowman ☃\u2028 <&>\n\n"
	w.Servers[1].UID = os.Getuid()
	m, err := h.p.Apply(ctx, w, "r1", h.progress)
	if err != nil {
		t.Fatal(err)
	}
	if len(m) != 2 || m["sapi"].Address != "127.0.0.1" || m["sweb"].PrivateAddress != "127.0.0.1" || m["sapi"].ProviderID == m["sweb"].ProviderID {
		t.Errorf("machines: %+v", m)
	}
	api, web := h.call("sapi"), h.call("sweb")
	if api.UserData != w.Servers[0].UserData {
		t.Errorf("user-data came as %q", api.UserData)
	}
	want := []string{"--uid", fmt.Sprint(os.Getuid()), "--salt-call", "/opt/salt call", "--dir", filepath.Join(h.servers, "sweb")}
	if !slices.Equal(web.Args, want) {
		t.Errorf("called with %q, want %q", web.Args, want)
	}
	for _, text := range []string{"init: getting ready", "plan: 2 to make", "apply: creating api", "apply: created web", "apply: 2 made"} {
		if !strings.Contains(h.heard(), text) {
			t.Errorf("%q was not told:\n%s", text, h.heard())
		}
	}

	// The same run again, as after a restart: its result, nothing done, nothing told twice.
	told := h.heard()
	again, err := h.restart().Apply(ctx, w, "r1", h.progress)
	if err != nil || !maps.Equal(again, m) {
		t.Errorf("attached to the ended run: %v, %v", again, err)
	}
	if h.heard() != told {
		t.Errorf("told twice:\n%s", h.heard())
	}

	// One server more leaves the others alone, and needs no init.
	h.told = nil
	w.Servers = append(w.Servers, workspace("jobs").Servers...)
	more, err := h.p.Apply(ctx, w, "r2", h.progress)
	if err != nil || len(more) != 3 || more["sapi"] != m["sapi"] || more["sweb"] != m["sweb"] {
		t.Errorf("added one: %+v, %v", more, err)
	}
	if h.call("sapi").PID != api.PID || h.call("sweb").PID != web.PID {
		t.Error("the others were started again")
	}
	if strings.Contains(h.heard(), "init:") {
		t.Errorf("init ran again:\n%s", h.heard())
	}

	// One less: only that one goes. Other user-data: another server.
	h.told = nil
	w.Servers = w.Servers[:2]
	w.Servers[1].UserData += "2"
	fewer, err := h.p.Apply(ctx, w, "r3", h.progress)
	if err != nil || len(fewer) != 2 || fewer["sapi"] != m["sapi"] || fewer["sweb"] == m["sweb"] {
		t.Errorf("took one away: %+v, %v", fewer, err)
	}
	if !strings.Contains(h.heard(), "plan: jobs will be removed") || !strings.Contains(h.heard(), "plan: web will be replaced") {
		t.Errorf("not said beforehand:\n%s", h.heard())
	}
	if _, err := os.Stat(filepath.Join(h.servers, "sjobs")); err == nil {
		t.Error("the agent was not stopped")
	}
	h.inspect(ctx)

	dir := h.p.Dir("e1")
	err = filepath.WalkDir(filepath.Join(dir, ".berth"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		data, readErr := os.ReadFile(path)
		h.leaks(string(data))
		return errors.Join(err, readErr)
	})
	if err != nil {
		t.Error(err)
	}

	// Destroyed without the catalog: a Provisioner that cannot render.
	p := h.restart()
	p.Render = nil
	if err := p.Destroy(ctx, "e1", "r4", h.progress); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(h.servers, "*"))
	if _, err := os.Stat(dir); err == nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := p.Destroy(ctx, "e1", "r4", h.progress); err != nil {
		t.Errorf("destroyed twice: %v", err)
	}
}

// inspect looks into the state that TestApplyAttachAddDestroy made.
func (h *house) inspect(ctx context.Context) {
	h.Helper()
	dir := h.p.Dir("e1")
	list, err := h.p.List(ctx, dir)
	const api = `module.environment.terraform_data.server["api"]`
	if err != nil || len(list) != 2 || list[0].Address != api || list[0].ID == "" {
		h.Errorf("list: %+v, %v", list, err)
	}
	for _, addr := range []string{"", api} {
		shown, err := h.p.Show(ctx, dir, addr, false)
		if err != nil || !json.Valid(shown) || !strings.Contains(string(shown), "sapi") {
			h.Errorf("show %q: %s, %v", addr, shown, err)
		}
	}
	_, err = h.p.Show(ctx, dir, "x.y", false)
	var e *orchestrator.Error
	if !errors.As(err, &e) || e.Code != orchestrator.CodeNotFound || len(e.Suggestions) != 2 {
		h.Errorf("show what is not there: %v", err)
	}
	pulled, err := h.p.Pull(ctx, dir, false)
	if err != nil || !json.Valid(pulled) || !strings.Contains(string(pulled), "terraform_data") {
		h.Errorf("pull: %s, %v", pulled, err)
	}
	plan, err := h.p.Plan(ctx, dir, false)
	if err != nil || len(plan.Changes) != 0 || !strings.Contains(plan.Text, "No changes") {
		h.Errorf("plan: %+v, %v", plan, err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, ".berth", "plan-*")); len(files) > 0 {
		h.Errorf("plans left: %v", files)
	}
	// By hand, as ops would.
	b, _ := binary()
	cmd := exec.CommandContext(ctx, b.Path, "plan", "-no-color", "-detailed-exitcode", "-input=false")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Errorf("terraform plan by hand: %v\n%s", err, out)
	}
	if _, err := h.p.List(ctx, filepath.Join(h.data, "nowhere")); !errors.As(err, &e) || e.Code != orchestrator.CodeNotFound {
		h.Errorf("list of nothing: %v", err)
	}
}

func TestAttachWhileRunning(t *testing.T) {
	h := newHouse(t)
	open := h.gate()
	creating := h.when("creating api")
	ctx, leave := context.WithCancelCause(t.Context())
	shutdown := errors.New("shutting down")
	first := h.apply(ctx, h.p, workspace("api"), "r1")
	<-creating
	leave(shutdown)
	if got := <-first; !errors.Is(got.err, shutdown) {
		t.Fatalf("detached with %v", got.err)
	}
	p := h.restart()
	p.Render = func(string, orchestrator.Workspace) error {
		t.Error("rendered under a running Terraform")
		return nil
	}
	second := h.apply(t.Context(), p, workspace("api"), "r1")
	open()
	if got := <-second; got.err != nil || len(got.machines) != 1 {
		t.Fatalf("attached: %+v", got)
	}
	if n := strings.Count(h.heard(), "creating api"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestLaterRunWaits(t *testing.T) {
	h := newHouse(t)
	open := h.gate()
	creating, waiting := h.when("creating api"), h.when("waiting for the earlier work on this to end")
	first := h.apply(t.Context(), h.p, workspace("api"), "r1")
	<-creating
	second := h.apply(t.Context(), h.restart(), workspace("api", "web"), "r2")
	<-waiting
	open()
	if got := <-first; got.err != nil || len(got.machines) != 1 {
		t.Errorf("first: %+v", got)
	}
	if got := <-second; got.err != nil || len(got.machines) != 2 {
		t.Errorf("second: %+v", got)
	}
}

// started reads a run's process from its journal.
func (h *house) started(run string) int {
	h.Helper()
	data, err := os.ReadFile(filepath.Join(h.p.Dir("e1"), ".berth", "runs", run+".jsonl"))
	if err != nil {
		h.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	var e terraform.Entry
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.PID == 0 {
		h.Fatalf("%q: %v", line, err)
	}
	return e.PID
}

func TestKilledRunIsLost(t *testing.T) {
	h := newHouse(t)
	open := h.gate()
	creating := h.when("creating api")
	first := h.apply(t.Context(), h.p, workspace("api"), "r1")
	<-creating
	if err := syscall.Kill(h.started("r1"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lost := func(got outcome) {
		t.Helper()
		var p *orchestrator.ProvisionError
		if !errors.As(got.err, &p) || !p.Lost || !strings.Contains(p.Log, `"apply_start"`) {
			t.Errorf("got %+v", got)
		}
	}
	lost(<-first)
	lost(<-h.apply(t.Context(), h.restart(), workspace("api"), "r1"))
	// Reconciled by a new run; agents start idempotently.
	open()
	if got := <-h.apply(t.Context(), h.p, workspace("api"), "r2"); got.err != nil || len(got.machines) != 1 {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestCancel(t *testing.T) {
	h := newHouse(t)
	h.gate()
	creating := h.when("creating api")
	ctx, cancel := context.WithCancelCause(t.Context())
	first := h.apply(ctx, h.p, workspace("api"), "r1")
	<-creating
	cancel(orchestrator.ErrCanceled)
	got := <-first
	var p *orchestrator.ProvisionError
	if !errors.As(got.err, &p) || !errors.Is(p, orchestrator.ErrCanceled) || p.Lost {
		t.Fatalf("got %+v", got)
	}
	if !strings.Contains(p.Log, "Interrupt received") && !strings.Contains(p.Log, "interrupt") {
		t.Errorf("Terraform was not interrupted:\n%s", p.Log)
	}
	// Before it began.
	if got := <-h.apply(ctx, h.p, workspace("api"), "r2"); !errors.Is(got.err, orchestrator.ErrCanceled) {
		t.Errorf("canceled beforehand: %+v", got)
	}
	if err := h.p.Destroy(t.Context(), "e1", "r3", h.progress); err != nil {
		t.Errorf("what was half made: %v", err)
	}
}

func TestFailingProvisioner(t *testing.T) {
	h := newHouse(t)
	if err := os.WriteFile(filepath.Join(h.servers, "fail"), []byte("salt-call is missing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.p.Apply(t.Context(), workspace("api", "web"), "r1", h.progress)
	var p *orchestrator.ProvisionError
	if !errors.As(err, &p) || p.Lost || !strings.Contains(p.Log, "salt-call is missing") || !strings.Contains(p.Log, `"diagnostic"`) {
		t.Fatalf("got %v\n%s", err, p.Log)
	}
	h.leaks(p.Log + h.heard())
	for line := range strings.Lines(p.Log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON in the log: %s", line)
		}
	}
	if err := os.Remove(filepath.Join(h.servers, "fail")); err != nil {
		t.Fatal(err)
	}
	if m, err := h.p.Apply(t.Context(), workspace("api", "web"), "r2", h.progress); err != nil || len(m) != 2 {
		t.Errorf("tried again: %v, %v", m, err)
	}
}

func TestMinimalEnvironment(t *testing.T) {
	t.Setenv("BERTH_GITHUB_TOKEN", "hunter2secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2secret")
	h := serialHouse(t)
	p := h.p
	w := workspace("api")
	w.Target.Environment = []string{"CLOUD_TOKEN"}
	if _, err := p.Apply(t.Context(), w, "r1", h.progress); err != nil {
		t.Fatal(err)
	}
	env := strings.Join(h.call("sapi").Env, "\n")
	if strings.Contains(env, "hunter2") {
		t.Errorf("a secret of Berth's got through:\n%s", env)
	}
	if !strings.Contains(env, "CLOUD_TOKEN=for-terraform-only") || !strings.Contains(env, "PATH=") {
		t.Errorf("the target's variable did not:\n%s", env)
	}
	w.Target.Environment = []string{"TF_VAR_x", "TF_LOG"}
	t.Setenv("TF_LOG", "TRACE")
	w.EnvironmentID = "e2"
	var e *orchestrator.Error
	if _, err := p.Apply(t.Context(), w, "r1", h.progress); !errors.As(err, &e) || !strings.Contains(e.Message, "TF_LOG") {
		t.Errorf("a variable that Berth sets: %v", err)
	}
}

func TestUnsavedStateIsRestored(t *testing.T) {
	h := newHouse(t)
	m, err := h.p.Apply(t.Context(), workspace("api"), "r1", h.progress)
	if err != nil {
		t.Fatal(err)
	}
	// As Terraform leaves it when a state could not be saved.
	dir := h.p.Dir("e1")
	if err := os.Rename(filepath.Join(dir, "terraform.tfstate"), filepath.Join(dir, "errored.tfstate")); err != nil {
		t.Fatal(err)
	}
	again, err := h.p.Apply(t.Context(), workspace("api"), "r2", h.progress)
	if err != nil || !maps.Equal(again, m) {
		t.Errorf("made anew: %v, %v\n%s", again, err, h.heard())
	}
}

// A state of which nothing could be saved keeps nobody from going on.
func TestStateOfNothing(t *testing.T) {
	h := newHouse(t)
	if _, err := h.p.Apply(t.Context(), workspace("api"), "r1", h.progress); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.p.Dir("e1"), "errored.tfstate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.p.Apply(t.Context(), workspace("api"), "r2", h.progress); err != nil || !strings.Contains(h.heard(), "could not note down what it had made") {
		t.Errorf("%v\n%s", err, h.heard())
	}
	if err := h.p.Destroy(t.Context(), "e1", "r3", h.progress); err != nil {
		t.Error(err)
	}
}

func TestModuleFailures(t *testing.T) {
	h := newHouse(t)
	module := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(h.data, "mine"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.data, "mine", "main.tf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const inputs = `
variable "environment_id" {}
variable "servers" {}
variable "tags" {}
`
	w := workspace("api")
	w.Target.Module = "./mine"
	w.Target.Variables = nil
	module(inputs + `output "servers" { value = {} }`)
	_, err := h.p.Apply(t.Context(), w, "r1", h.progress)
	var e *orchestrator.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "says nothing of the server for api") {
		t.Errorf("without addresses: %v", err)
	}
	for i, tt := range []struct{ value, says string }{
		{`{ for k, s in var.servers : s.id => { address = "10.0.0.1", private_address = "10.0.0.1" } }`, "gives no provider_id of the server for api"},
		{`{ for k, s in var.servers : s.id => { address = null, private_address = "10.0.0.1", provider_id = "" } }`, "gives no address and no provider_id of the server for api"},
		{`{ for k, s in var.servers : s.id => { address = "10.0.0.1", private_address = null, provider_id = 7 } }`, "in a form that Berth cannot read"},
	} {
		module(inputs + `output "servers" { value = ` + tt.value + ` }`)
		if _, err := h.p.Apply(t.Context(), w, "r1-"+strconv.Itoa(i), h.progress); !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidCatalog || !strings.Contains(e.Message, tt.says) || !strings.Contains(e.Hint, "provider_id") {
			t.Errorf("%s: %v", tt.value, err)
		}
	}
	var p *orchestrator.ProvisionError
	module(inputs + `output "servers" { value = nothing.here }`)
	if _, err = h.p.Apply(t.Context(), w, "r2", h.progress); !errors.As(err, &p) || !strings.Contains(p.Log, "nothing") {
		t.Errorf("with an error: %v", err)
	}
	module(inputs + `terraform {
  required_providers {
    x = { source = "localhost/berth/none", version = "1.0.0" }
  }
}`)
	if _, err = h.p.Apply(t.Context(), w, "r3", h.progress); !errors.As(err, &p) || !strings.Contains(p.Log, "localhost/berth/none") {
		t.Errorf("without its provider: %v", err)
	}
	module(inputs + `
resource "terraform_data" "x" {
  input = { secret = sensitive("hunter2secret"), copy = values(var.servers)[0].user_data, open = "yes", user_data = "plain" }
}
output "servers" { value = { for k, s in var.servers : s.id => { address = "10.0.0.1", private_address = null, provider_id = "i-1" } } }
output "hot" { 
  value     = "hunter2secret"
  sensitive = true
}`)
	m, err := h.p.Apply(t.Context(), w, "r4", h.progress)
	if err != nil || m["sapi"] != (orchestrator.Machine{Address: "10.0.0.1", ProviderID: "i-1"}) {
		t.Fatalf("%v, %v", m, err)
	}
	dir := h.p.Dir("e1")
	for name, look := range map[string]func(bool) ([]byte, error){
		"show": func(s bool) ([]byte, error) { return h.p.Show(t.Context(), dir, "", s) },
		"pull": func(s bool) ([]byte, error) { return h.p.Pull(t.Context(), dir, s) },
	} {
		got, err := look(false)
		if err != nil || !json.Valid(got) || strings.Contains(string(got), "hunter2") || strings.Contains(string(got), token) || strings.Contains(string(got), `"plain"`) || !strings.Contains(string(got), `"yes"`) {
			t.Errorf("%s masked: %v\n%s", name, err, got)
		}
		got, err = look(true)
		if err != nil || !strings.Contains(string(got), "hunter2secret") || !strings.Contains(string(got), token) {
			t.Errorf("%s open: %v\n%s", name, err, got)
		}
	}
}

func TestNothingToDestroy(t *testing.T) {
	h := newHouse(t)
	if err := h.p.Destroy(t.Context(), "e9", "r1", h.progress); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"", "../x", "a/b", ".x", strings.Repeat("x", 65)} {
		if err := h.p.Destroy(t.Context(), id, "r1", h.progress); err == nil {
			t.Errorf("%q was taken for an ID", id)
		}
	}
}

func TestBerthIsGone(t *testing.T) {
	h := newHouse(t)
	h.p.Berth = filepath.Join(h.data, "no-berth")
	var e *orchestrator.Error
	if _, err := h.p.Apply(t.Context(), workspace("api"), "r1", h.progress); !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("got %v", err)
	}
}

// BenchmarkApply is an apply through Berth, BenchmarkBare the same workspace
// by hand: init and apply. Their difference is what Berth adds.
func BenchmarkApply(b *testing.B) { bench(b, false) }
func BenchmarkBare(b *testing.B)  { bench(b, true) }

func bench(b *testing.B, bare bool) {
	found, err := binary()
	if err != nil {
		b.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		data := b.TempDir()
		p := terraform.New(terraform.Options{Workspaces: data, Data: data, Berth: self, Find: terraform.FindOptions{Path: found.Path},
			Render: func(dir string, w orchestrator.Workspace) error {
				return render.Write(dir, w, render.Options{Berth: self, Root: data})
			}})
		if !bare {
			if _, err := p.Apply(b.Context(), workspace("api", "web"), "r1", nil); err != nil {
				b.Fatal(err)
			}
			continue
		}
		if err := p.Render(p.Dir("e1"), workspace("api", "web")); err != nil {
			b.Fatal(err)
		}
		for _, args := range [][]string{{"init", "-input=false"}, {"apply", "-input=false", "-auto-approve"}} {
			cmd := exec.Command(found.Path, args...)
			cmd.Dir = p.Dir("e1")
			cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		}
	}
}
