// Package e2e_test takes Berth from a command to an app that answers, with
// nothing in between left out: the real program on a network, real git over
// HTTP, real Terraform with each cloud's module, and for each instance in the
// stand-in cloud a machine that boots from its user-data (package machines).
package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/apps"
	"github.com/berth-dev/berth/testdata/machines"
)

// programVariable names the berth under test, within the sandbox.
const programVariable = "BERTH_TEST_PROGRAM"

// patience is how long something is waited for that must come.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(programVariable) == "" && machines.Lacks() == "" {
			// Machines run the very same file: nothing in it may need a library.
			dir, err := os.MkdirTemp("", "berth-e2e-")
			if err != nil {
				panic(err)
			}
			defer os.RemoveAll(dir)
			program := filepath.Join(dir, "berth")
			build := exec.Command("go", "build", "-o", program, "github.com/berth-dev/berth")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			build.Stderr = os.Stderr
			if err := errors.Join(os.Chmod(dir, 0o755), build.Run(), os.Setenv(programVariable, program)); err != nil {
				fmt.Fprintln(os.Stderr, "building berth:", err)
				return 1
			}
		}
		return machines.Run(m)
	}())
}

// target is where a script's environments run.
type target struct {
	hcl   string         // its block in the catalog
	env   []string       // what serve's environment has for it
	cloud machines.Cloud // nil: this machine
	// terminate ends a machine behind Berth's back.
	terminate func(id string) error
	// prepare changes the disk of each machine; may be nil.
	prepare func(lab *machines.Lab) func(root string) error
	// left is what the cloud still has, besides machines; may be nil.
	left func() []string
}

// story runs the scripts of a folder on a target.
func story(t *testing.T, on target, folder string) {
	lab := machines.New(t)
	if on.prepare != nil {
		prepare := on.prepare(lab)
		lab.Prepare = func(_ machines.Machine, root string) error { return prepare(root) }
	}
	if on.cloud != nil {
		lab.Follow(on.cloud)
	}
	s := &scene{target: on, lab: lab}
	testscript.Run(t, testscript.Params{
		Dir: folder,
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { _ = s.end(syscall.SIGKILL) })
			return s.prepare(t, env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": s.cmdServe, "halt": s.cmdHalt, "page": s.cmdPage, "machines": s.cmdMachines, "until": s.cmdUntil, "reboot": s.cmdReboot, "terminate": s.cmdTerminate,
			"beset": s.cmdBeset, "unharmed": s.cmdUnharmed,
		},
		RequireExplicitExec: true,
	})
}

// scene is what a script has around it.
type scene struct {
	target
	lab  *machines.Lab
	cmd  *exec.Cmd // serve
	done chan error
}

// prepare gives a script a catalog with the two sample apps, whose repositories
// machines reach over the network.
func (s *scene) prepare(t *testing.T, env *testscript.Env) error {
	for dir := env.WorkDir; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // each local server has a user of its own
			return err
		}
	}
	repos := filepath.Join(env.WorkDir, "repos")
	if err := apps.Make(repos); err != nil {
		return err
	}
	gitconfig := filepath.Join(env.WorkDir, "gitconfig")
	if err := os.WriteFile(gitconfig, []byte("[safe]\n\tdirectory = *\n[user]\n\tname = Test\n\temail = test@example.com\n"), 0o644); err != nil {
		return err
	}
	at, err := serveGit(t, repos, gitconfig)
	if err != nil {
		return err
	}
	ops := filepath.Join(env.WorkDir, "ops")
	if err := os.CopyFS(ops, os.DirFS(filepath.Join("..", "shop"))); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(ops, "berth.hcl"))
	if err != nil {
		return err
	}
	_, rest, ok := strings.Cut(string(raw), "app \"api\"") // behind the demo's target
	if !ok {
		return errors.New("the demo's catalog has changed")
	}
	catalog := s.hcl + strings.ReplaceAll("app \"api\""+rest, "../repos/", at+"/")
	if err := os.WriteFile(filepath.Join(ops, "berth.hcl"), []byte(catalog), 0o644); err != nil {
		return err
	}
	// Where the others reach them is up to whoever owns the settings.
	for _, app := range apps.Names {
		name := filepath.Join(ops, "settings", app+".env")
		settings, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, append(settings, "HOST=0.0.0.0\n"...), 0o644); err != nil {
			return err
		}
	}
	program := os.Getenv(programVariable)
	for name, value := range map[string]string{
		"HOME": filepath.Join(env.WorkDir, "home"), "BERTH_DATA": filepath.Join(env.WorkDir, "data"), "BERTH_CATALOG": filepath.Join(ops, "berth.hcl"),
		"BERTH_SALT_CALL": os.Getenv("BERTH_SALT_CALL"), "BERTH_TERRAFORM": os.Getenv("BERTH_TERRAFORM"), "NO_COLOR": "1",
		"PATH": filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL": gitconfig,
	} {
		env.Setenv(name, value)
	}
	return nil
}

// serveGit serves the repositories of a folder with git's own program.
func serveGit(t *testing.T, repos, config string) (url string, err error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(machines.Gateway.String(), "0"))
	if err != nil {
		return "", err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &cgi.Handler{Path: git, Args: []string{"http-backend"},
		Env: []string{"GIT_PROJECT_ROOT=" + repos, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=" + config}}}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String(), nil
}

func (s *scene) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	err := <-s.done
	s.cmd = nil
	return err
}

// cmdServe starts berth serve on the network, under its own authority, and
// waits until it listens. Its output is in $WORK/serve.log.
func (s *scene) cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	log, err := os.OpenFile(ts.MkAbs("serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	cmd := exec.Command(os.Getenv(programVariable), append([]string{"serve", "--listen", net.JoinHostPort(machines.Gateway.String(), "0")}, args...)...)
	cmd.Dir, cmd.Stderr = ts.Getenv("WORK"), log
	for _, name := range []string{"HOME", "PATH", "BERTH_DATA", "BERTH_CATALOG", "BERTH_SALT_CALL", "BERTH_TERRAFORM", "GIT_CONFIG_GLOBAL", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "BERTH_RETRY_AFTER=0s", "BERTH_LOOK_EVERY=1s")
	cmd.Env = append(cmd.Env, s.env...)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	s.cmd, s.done = cmd, make(chan error, 1)
	line, err := bufio.NewReader(out).ReadString('\n')
	done := s.done
	go func() {
		_, _ = io.Copy(log, out)
		done <- cmd.Wait()
		log.Close()
	}()
	if !strings.HasPrefix(line, "listening on https://") {
		raw, _ := os.ReadFile(ts.MkAbs("serve.log"))
		ts.Fatalf("serve said %q, %v\n%s", line, err, raw)
	}
}

// cmdHalt ends serve, well.
func (s *scene) cmdHalt(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(s.end(syscall.SIGTERM))
}

func (s *scene) server(ts *testscript.TestScript, name string) (v orchestrator.Server) {
	cmd := exec.Command(os.Getenv(programVariable), "server", "show", name, "--json", "--data", ts.Getenv("BERTH_DATA"))
	out, err := cmd.Output()
	if err != nil {
		ts.Fatalf("berth server show %s: %v\n%s", name, err, out)
	}
	ts.Check(json.Unmarshal(out, &v))
	return v
}

// cmdPage fetches a page of a server until it says all of that: page ENV/APP
// PATH TEXT….
func (s *scene) cmdPage(ts *testscript.TestScript, _ bool, args []string) {
	client, last := http.Client{Timeout: 10 * time.Second}, ""
	if !machines.Until(context.Background(), patience, func() bool {
		url := s.server(ts, args[0]).URL + args[1]
		resp, err := client.Get(url)
		if err != nil {
			last = err.Error()
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		last = fmt.Sprintf("%s: %s, %v\n%s", url, resp.Status, err, body)
		for _, text := range args[2:] {
			if !strings.Contains(last, text) {
				return false
			}
		}
		return resp.StatusCode == http.StatusOK
	}) {
		ts.Fatalf("%v does not say that: %s", args[0], last)
	}
	fmt.Fprintln(ts.Stdout(), last)
}

// cmdMachines waits until there are as many machines: machines N. On this
// machine they are the folders of servers. With 0, nothing else may be left in
// the cloud either.
func (s *scene) cmdMachines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var got []string
	if !machines.Until(context.Background(), patience, func() bool {
		if got = s.lab.IDs(); s.cloud == nil {
			got, _ = filepath.Glob(filepath.Join(ts.Getenv("BERTH_DATA"), "servers", "[a-z]*"))
		}
		if want == 0 && s.left != nil {
			got = append(got, s.left()...)
		}
		return len(got) == want
	}) {
		ts.Fatalf("there are %v", got)
	}
}

// cmdUntil runs a program again until it ends well and prints a match: until
// PATTERN PROGRAM [ARG…].
func (s *scene) cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	var out []byte
	if !machines.Until(context.Background(), patience, func() bool {
		cmd := exec.Command(args[1], args[2:]...)
		if args[1] == "berth" {
			cmd.Path, cmd.Err = os.Getenv(programVariable), nil
		}
		cmd.Env = append(os.Environ(), "BERTH_DATA="+ts.Getenv("BERTH_DATA"), "NO_COLOR=1")
		var err error
		out, err = cmd.CombinedOutput()
		return err == nil && strings.Contains(string(out), args[0])
	}) {
		ts.Fatalf("%v: it does not come to that\n%s", args, out)
	}
	_, _ = ts.Stdout().Write(out)
}

// machine is the one that a server runs on.
func (s *scene) machine(ts *testscript.TestScript, name string) (id string) {
	address := s.server(ts, name).Address
	for _, id := range s.lab.IDs() {
		if m := s.lab.Machine(id); m.PrivateIP.String() == address || m.PublicIP.String() == address {
			return id
		}
	}
	ts.Fatalf("%s is at %s, where no machine is", name, address)
	return ""
}

// cmdReboot has a server's machine start again, and waits until it does: reboot
// ENV/APP. On this machine all of the server's processes are killed.
func (s *scene) cmdReboot(ts *testscript.TestScript, _ bool, args []string) {
	if s.cloud == nil {
		ts.Check(killServer(s.server(ts, args[0]).ID))
		return
	}
	id := s.machine(ts, args[0])
	before := s.lab.Boots(id)
	// Its answer may be lost with the machine.
	_, _ = s.lab.Exec(context.Background(), id, "systemctl", "--no-block", "reboot")
	if !machines.Until(context.Background(), patience, func() bool { return s.lab.Boots(id) > before }) {
		ts.Fatalf("machine %s does not reboot", id)
	}
}

// cmdTerminate ends a server's machine behind Berth's back: terminate ENV/APP.
// On this machine the server's processes are killed and its folder is removed.
func (s *scene) cmdTerminate(ts *testscript.TestScript, _ bool, args []string) {
	if s.cloud != nil {
		ts.Check(s.terminate(s.machine(ts, args[0])))
		return
	}
	id := s.server(ts, args[0]).ID
	dir := filepath.Join(ts.Getenv("BERTH_DATA"), "servers", id)
	if !machines.Until(context.Background(), patience, func() bool {
		_ = killServer(id) // nothing may be left of it already
		return os.RemoveAll(dir) == nil
	}) {
		ts.Fatalf("%s stays", dir)
	}
}

// besetting is what an app may do in its own folder, hoping that root comes by:
// whatever git runs leaves its user in the file traces.
const besetting = `set -e
cd /var/lib/berth/root
mkdir hooks
for hook in look hooks/post-checkout hooks/reference-transaction; do
	printf '#!/bin/sh\nid -un >>/var/lib/berth/root/traces\n' >$hook
done
echo 'exit 1' >>look # git looks for itself then
chmod +x look hooks/*
git -C app config core.fsmonitor "$PWD/look"
git -C app config core.hooksPath "$PWD/hooks"
rm -f app/.env
ln -s /etc/passwd app/.env
ln -s /etc/passwd app/.git/berth-built`

// cmdBeset has a server's app lay what would have root do something for it:
// beset ENV/APP. On this machine servers have no root.
func (s *scene) cmdBeset(ts *testscript.TestScript, _ bool, args []string) {
	if s.cloud == nil {
		return
	}
	_, err := s.lab.Exec(context.Background(), s.machine(ts, args[0]), "runuser", "-u", "berth-app", "--", "sh", "-c", besetting)
	ts.Check(err)
}

// cmdUnharmed says that nothing came of it: unharmed ENV/APP.
func (s *scene) cmdUnharmed(ts *testscript.TestScript, _ bool, args []string) {
	if s.cloud == nil {
		return
	}
	out, err := s.lab.Exec(context.Background(), s.machine(ts, args[0]), "sh", "-c",
		"sort -u /var/lib/berth/root/traces; find /var/lib/berth/root ! -user berth-app; stat -c '%n %U %a' /etc/passwd; stat -c '%F %U %a' /var/lib/berth/root/app/.env")
	ts.Check(err)
	if want := "berth-app\n/etc/passwd root 644\nregular file berth-app 600\n"; out != want {
		ts.Fatalf("an app had its machine's root do something:\n%swant\n%s", out, want)
	}
}

// killServer kills the processes of a local server.
func killServer(id string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if strings.Contains(string(env), "/servers/"+id+"\x00") && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		return fmt.Errorf("server %s has no process", id)
	}
	return nil
}
