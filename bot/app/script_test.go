package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
	"github.com/berth-dev/berth/testdata/apps"
	"github.com/berth-dev/berth/testdata/executable"
	"github.com/berth-dev/berth/testdata/ports"
)

// berth is the program under test: the real one, built once. It has to be a
// file of its own, for Terraform and agents start it again.
var berth string

// atOnce is how many scripts run at once, where nobody says otherwise: each
// waits for programs that start, and for apps, more than it computes.
const atOnce = 3

// programVariable names a berth that a test of another user has built already.
const programVariable = "BERTH_TEST_PROGRAM"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The race detector keeps a process for a second at its end, in which
		// only what an ended process does no more could be found. The scripts
		// start hundreds.
		os.Setenv("GORACE", strings.TrimSpace("atexit_sleep_ms=0 "+os.Getenv("GORACE")))
		_ = flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))) // -parallel goes over it
		if berth = os.Getenv(programVariable); berth != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "berth-bin-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		// As root every server runs under a user of its own, who must reach it.
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
		berth = filepath.Join(dir, "berth")
		args := []string{"build", "-o", berth}
		if raceEnabled {
			args = append(args, "-race")
			// As the tests themselves are built: nothing is compiled twice.
			args = append(args, strings.Fields(os.Getenv("BERTH_TEST_BUILD"))...)
		}
		build := exec.Command("go", append(args, "github.com/berth-dev/berth")...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building berth:", err)
			return 1
		}
		return m.Run()
	}())
}

// needSalt skips where there is no Salt, except where CI says there must be.
func needSalt(t *testing.T) {
	t.Helper()
	need(t, "BERTH_SALT_CALL", "Salt")
}

// needTerraform is needSalt for Terraform: make test sets both at once.
func needTerraform(t *testing.T) {
	t.Helper()
	need(t, "BERTH_TERRAFORM", "Terraform")
}

func need(t *testing.T, variable, what string) {
	t.Helper()
	if os.Getenv(variable) == "" {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatalf("%s is not set: run make test", variable)
		}
		t.Skipf("%s is not set: make test installs %s and sets it", variable, what)
	}
}

// TestScripts runs the stories in testdata/scripts against the real program,
// Terraform, Salt and git.
func TestScripts(t *testing.T) {
	needSalt(t)
	t.Parallel()
	noEarlyEnd(t)
	needTools(t)
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("..", "..", "testdata", "scripts"),
		Setup: setupScript,
		// None may have the name of one of testscript's own, which goes first:
		// its stop ends the script, and well.
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": cmdServe, "halt": cmdHalt, "get": cmdGet, "field": cmdField, "push": cmdPush, "processes": cmdProcesses,
			"crash": cmdCrash, "await": cmdAwait, "empty": cmdEmpty, "settled": cmdSettled, "tty": cmdTTY, "session": cmdSession, "status": cmdStatus, "paste": cmdPaste, "valid": cmdValid, "certify": cmdCertify, "until": cmdUntil, "github": cmdGitHub, "private": cmdPrivate, "port": cmdPort,
		},
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "mount":
				return mayMount(), nil
			}
			return false, fmt.Errorf("there is no condition %s", name)
		},
	})
}

// TestOrdinaryUser runs the story of an app that looks around, and with it a
// server's whole life, once more as a user who is not root.
func TestOrdinaryUser(t *testing.T) {
	needSalt(t)
	if os.Getuid() != 0 {
		t.Skip("TestScripts has run as an ordinary user")
	}
	t.Parallel()
	uid := 3_000_000 + os.Getpid()%1_000_000 // two runs of the tests at once must not meet
	dir, err := os.MkdirTemp("", "berth-ordinary-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	// The test's own program lies where only root gets to.
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "app.test")
	executable.Write(t, program, string(raw))
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestScripts$/^isolation$", "-test.v")
	cmd.Env = append(os.Environ(), programVariable+"="+berth, "HOME="+dir, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as user %d: %v\n%s", uid, err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS: TestScripts/isolation")) {
		t.Fatalf("as user %d the story did not run:\n%s", uid, out)
	}
}

// needTools fails where CI says that there must be what some lines of the
// scripts are passed over without.
func needTools(t *testing.T) {
	t.Helper()
	if os.Getenv("BERTH_REQUIRE_TOOLS") == "" {
		return
	}
	for _, name := range []string{"bash", "curl", "fish", "zsh", "setpriv", "git-lfs"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Errorf("there is no %s: make test installs what it can", name)
		}
	}
}

// noEarlyEnd refuses testscript's own stop, which ends a script, and well,
// whatever comes behind it.
func noEarlyEnd(t *testing.T) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join("..", "..", "testdata", "scripts", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range scripts {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(raw), "\n") {
			if words := strings.Fields(line); len(words) > 0 && words[0] == "stop" {
				t.Errorf("%s:%d: stop ends the script here; serve is ended with halt", name, i+1)
			}
		}
	}
}

// mayMount tries whether a file system of its own can be had for a script: not
// by an ordinary user, nor by root in most containers.
func mayMount() bool {
	dir, err := os.MkdirTemp("", "berth-mount-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k") == nil && syscall.Unmount(dir, 0) == nil
}

// unmount takes away what a script has mounted in its folder.
func unmount(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// setupScript gives a script its own Berth: a catalog with the two sample apps
// as real repositories, an empty data folder, and nothing of the caller's.
func setupScript(env *testscript.Env) error {
	variables, err := prepare(env.WorkDir)
	if err != nil {
		return err
	}
	for name, value := range variables {
		env.Setenv(name, value)
	}
	env.Values["serve"] = &served{}
	env.Values["github"] = &githubfake.Hub{}
	env.Defer(func() {
		if h := env.Values["github"].(*githubfake.Hub); h.Server != nil {
			h.Close()
		}
		env.Values["serve"].(*served).end(syscall.SIGKILL)
		unmount(env.WorkDir)
		dirs, _ := filepath.Glob(filepath.Join(env.WorkDir, "data", "servers", "*"))
		for _, dir := range dirs {
			_ = agent.Stop(context.Background(), dir, 0)
		}
	})
	return nil
}

// prepare fills a folder with what a Berth needs, unless it has a catalog
// already, and gives the environment for it.
func prepare(work string) (map[string]string, error) {
	for dir := work; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	variables := map[string]string{
		"HOME": filepath.Join(work, "home"), "BERTH_DATA": filepath.Join(work, "data"), "BERTH_CATALOG": filepath.Join(work, "ops", "berth.hcl"),
		"BERTH_SALT_CALL": os.Getenv("BERTH_SALT_CALL"), "BERTH_TERRAFORM": os.Getenv("BERTH_TERRAFORM"), "NO_COLOR": "1", "GORACE": os.Getenv("GORACE"),
		"PATH": filepath.Dir(berth) + string(os.PathListSeparator) + os.Getenv("PATH"),
		// The repositories belong to whoever runs the tests.
		"GIT_CONFIG_GLOBAL": filepath.Join(work, "gitconfig"),
	}
	if err := os.WriteFile(variables["GIT_CONFIG_GLOBAL"], []byte("[safe]\n\tdirectory = *\n[user]\n\tname = Test\n\temail = test@example.com\n"), 0o644); err != nil {
		return nil, err
	}
	if err := apps.Make(filepath.Join(work, "repos")); err != nil {
		return nil, err
	}
	ops := filepath.Join(work, "ops")
	if _, err := os.Stat(filepath.Join(ops, "berth.hcl")); err != nil {
		if err := os.CopyFS(ops, os.DirFS(filepath.Join(repoRoot(), "testdata", "shop"))); err != nil {
			return nil, err
		}
	}
	return variables, nil
}

func repoRoot() string {
	abs, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		panic(err)
	}
	return abs
}

// served is a script's running serve.
type served struct {
	cmd  *exec.Cmd
	done chan error
}

func (s *served) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	err := <-s.done
	s.cmd = nil
	return err
}

// start starts berth serve in a folder and gives its first line. Then its
// output goes to log, which is closed when serve ends.
func (s *served) start(dir string, env map[string]string, log *os.File, args ...string) (line string, err error) {
	cmd := exec.Command(berth, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, log
	for name, value := range env {
		if value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", err
	}
	s.cmd, s.done = cmd, make(chan error, 1)
	line, err = bufio.NewReader(out).ReadString('\n')
	done := s.done
	go func() {
		_, _ = io.Copy(log, out)
		done <- cmd.Wait()
		log.Close()
	}()
	return line, err
}

// cmdServe starts berth serve and waits until it listens: serve [FLAG…]. Its
// output is in $WORK/serve.log. With !, it must refuse to start.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("serve").(*served)
	if s.cmd != nil {
		ts.Fatalf("serve runs already")
	}
	log, err := os.OpenFile(ts.MkAbs("serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	env := map[string]string{}
	for _, name := range []string{"HOME", "PATH", "BERTH_DATA", "BERTH_CATALOG", "BERTH_SALT_CALL", "BERTH_TERRAFORM", "GIT_CONFIG_GLOBAL", "BERTH_GITHUB_TOKEN", "BERTH_GITHUB_API_URL", "BERTH_GITHUB_APP_ID", "BERTH_GITHUB_APP_KEY_FILE", "TF_HTTP_USERNAME", "TF_HTTP_PASSWORD", "HCLOUD_TOKEN", "HCLOUD_ENDPOINT", "TF_CLI_CONFIG_FILE", "TMPDIR", "GORACE"} {
		env[name] = ts.Getenv(name)
	}
	env["BERTH_RETRY_AFTER"] = "0s" // most failures here are to be seen, not waited for
	line, err := s.start(ts.Getenv("WORK"), env, log, args...)
	if started := err == nil && strings.HasPrefix(line, "listening on "); started == neg {
		raw, _ := os.ReadFile(ts.MkAbs("serve.log"))
		ts.Fatalf("serve said %q, %v\n%s", line, err, raw)
	}
	if neg {
		s.end(syscall.SIGKILL)
	}
}

// cmdHalt ends serve: halt [KILL]. Without KILL it must end well.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("serve").(*served)
	if len(args) == 1 && args[0] == "KILL" {
		_ = s.end(syscall.SIGKILL)
		return
	}
	if err := s.end(syscall.SIGTERM); (err != nil) != neg {
		ts.Fatalf("serve ended with %v", err)
	}
}

// show reads an environment or server as JSON.
func show(ts *testscript.TestScript, noun, name string, v any) {
	out, err := exec.Command(berth, noun, "show", name, "--json", "--data", ts.Getenv("BERTH_DATA")).Output()
	if err != nil {
		ts.Fatalf("berth %s show %s: %v\n%s", noun, name, err, out)
	}
	ts.Check(json.Unmarshal(out, v))
}

// cmdGet fetches a page of a server and prints it: get ENV/APP PATH. With !,
// nothing may answer.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	var v orchestrator.Server
	show(ts, "server", args[0], &v)
	res, err := http.Get(v.URL + args[1])
	if (err != nil) != neg {
		ts.Fatalf("GET %s: %v", v.URL+args[1], err)
	}
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", res.Status, body)
}

// cmdField prints one field of a server: field ENV/APP NAME, as --json has it.
func cmdField(ts *testscript.TestScript, _ bool, args []string) {
	var v map[string]any
	show(ts, "server", args[0], &v)
	fmt.Fprintf(ts.Stdout(), "%v\n", v[args[1]])
}

// cmdPush commits a file to a branch of an app: push APP BRANCH FILE TEXT, or
// @FILE for a file of the script.
func cmdPush(ts *testscript.TestScript, _ bool, args []string) {
	app, branch, file, text := args[0], args[1], args[2], args[3]
	if name, ok := strings.CutPrefix(text, "@"); ok {
		text = ts.ReadFile(name)
	}
	dir := ts.MkAbs(filepath.Join("repos", app))
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+ts.Getenv("GIT_CONFIG_GLOBAL"))
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	from := branch
	if exec.Command("git", "-C", dir, "show-ref", "-q", "--verify", "refs/heads/"+branch).Run() != nil {
		from = "main" // a new branch
	}
	git("checkout", "-q", "-B", branch, from)
	ts.Check(os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o644))
	git("add", "--", file)
	git("commit", "-q", "-m", "change "+file)
	git("checkout", "-q", "main")
}

// cmdProcesses prints the processes that work in this script's folder, but
// for serve itself; with !, there must be none.
func cmdProcesses(ts *testscript.TestScript, neg bool, _ []string) {
	found := processes(ts)
	for pid, line := range found {
		fmt.Fprintf(ts.Stdout(), "%d %s\n", pid, line)
	}
	if (len(found) == 0) != neg {
		ts.Fatalf("%d processes are left", len(found))
	}
}

// processes are those that work in this script's folder, but for serve itself,
// with their command lines.
func processes(ts *testscript.TestScript) map[int]string {
	work := ts.Getenv("WORK") + "/"
	s := ts.Value("serve").(*served)
	entries, err := os.ReadDir("/proc")
	ts.Check(err)
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || s.cmd != nil && pid == s.cmd.Process.Pid {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if strings.Contains(string(line), work) || strings.HasPrefix(cwd+"/", work) {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// cmdCrash kills the processes of this script's folder whose command line has
// TEXT in it, as an accident would: crash TEXT. There has to be one. Without
// TEXT all die, serve too, as when the machine is switched off.
func cmdCrash(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.Join(args, " ")
	if text == "" {
		_ = ts.Value("serve").(*served).end(syscall.SIGKILL)
	}
	// Nobody is to live to see another one's death, and to write it down.
	for still := map[int]bool{}; text == ""; {
		before := len(still)
		for pid := range processes(ts) {
			if syscall.Kill(pid, syscall.SIGSTOP) == nil {
				still[pid] = true
			}
		}
		if len(still) == before {
			break
		}
	}
	killed := 0
	for again := true; again; { // who dies last may have started another one
		again = false
		for pid, line := range processes(ts) {
			if strings.Contains(line, text) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
				again = text == ""
			}
		}
	}
	if killed == 0 {
		ts.Fatalf("there is no process %q", text)
	}
}

// cmdAwait waits until FILE is there: await FILE.
func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	watcher, err := fsnotify.NewWatcher()
	ts.Check(err)
	defer watcher.Close()
	ts.Check(watcher.Add(filepath.Dir(name)))
	over := time.After(time.Minute)
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			ts.Check(err)
		case <-over:
			ts.Fatalf("%s does not come", args[0])
		}
	}
}

// cmdPort keeps a port of this machine for the script, and names it: port NAME.
func cmdPort(ts *testscript.TestScript, _ bool, args []string) {
	port, free, err := ports.Reserve()
	ts.Check(err)
	ts.Defer(free)
	ts.Setenv(args[0], strconv.Itoa(port))
}

// cmdStatus runs a program that has to end with this exit status: status N
// PROGRAM [ARG…].
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if (got == want) == neg {
		ts.Fatalf("exit status %d", got)
	}
}

// cmdPaste gives a shell the command that the last output offers behind TEXT,
// as a person pastes it: paste TEXT. With !, the command must be refused.
func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	said := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	_, rest, ok := strings.Cut(said, args[0])
	if !ok {
		ts.Fatalf("nothing said %q:\n%s", args[0], said)
	}
	command, _, _ := strings.Cut(rest, "\n")
	command, _, _ = strings.Cut(command, "   or: ")
	err := ts.Exec("sh", "-c", strings.TrimSpace(command))
	if (err != nil) != neg {
		ts.Fatalf("%q: %v", command, err)
	}
}

// cmdEmpty checks that no server's folder and no workspace is left.
func cmdEmpty(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"servers", "workspaces"} {
		entries, err := os.ReadDir(filepath.Join(ts.Getenv("BERTH_DATA"), name))
		ts.Check(err)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // a lock of Berth's own
				ts.Fatalf("%s/%s is left", name, e.Name())
			}
		}
	}
}

// cmdSettled waits until nothing runs or waits for an environment: settled ENV.
func cmdSettled(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := client.Socket(socketPath(ts.Getenv("BERTH_DATA")))
	for {
		a, err := c.Do(ctx, "env history "+args[0])
		ts.Check(err)
		i := slices.IndexFunc(*a.History, func(o orchestrator.Operation) bool { return !o.Status.Ended() })
		if i < 0 {
			return
		}
		for seq := int64(0); ; {
			w, err := c.Watch(ctx, (*a.History)[i].ID, seq, 20*time.Second)
			ts.Check(err)
			if w.Operation.Status.Ended() {
				break
			}
			for _, e := range w.Events {
				seq = max(seq, e.Seq)
			}
		}
	}
}

// cmdCertify makes $WORK/NAME.pem and NAME.key, a server's certificate for HOST
// by an authority of the script's own: certify AUTHORITY NAME HOST. The
// authority's certificate is AUTHORITY.pem; with the same name for both the
// certificate is its own.
func cmdCertify(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: certify AUTHORITY NAME HOST")
	}
	authority, name, host := args[0], args[1], args[2]
	template := func(name string) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		ts.Check(err)
		return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	}
	save := func(name string, of, by *x509.Certificate, public any, signer *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, of, by, public, signer)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	}
	saveKey := func(name string) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		der, err := x509.MarshalECPrivateKey(key)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
		return key
	}
	own := template(name)
	if ip := net.ParseIP(host); ip != nil {
		own.IPAddresses = []net.IP{ip}
	} else {
		own.DNSNames = []string{host}
	}
	if authority == name {
		key := saveKey(name)
		save(name, own, own, key.Public(), key)
		return
	}
	if _, err := os.Stat(ts.MkAbs(authority + ".pem")); err != nil {
		ca := template(authority)
		ca.IsCA, ca.KeyUsage, ca.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		key := saveKey(authority)
		save(authority, ca, ca, key.Public(), key)
	}
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(authority+".pem"), ts.MkAbs(authority+".key"))
	ts.Check(err)
	save(name, own, pair.Leaf, saveKey(name).Public(), pair.PrivateKey.(*ecdsa.PrivateKey))
}

// cmdUntil runs a program again whenever something has changed in Berth's
// database or in a server's folder, until it ends well: until PROGRAM [ARG…].
// With !, until it fails.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	watcher, err := fsnotify.NewWatcher()
	ts.Check(err)
	defer watcher.Close()
	data := ts.Getenv("BERTH_DATA")
	ts.Check(watcher.Add(data))
	folders, err := filepath.Glob(filepath.Join(data, "servers", "*"))
	ts.Check(err)
	for _, dir := range folders {
		_ = watcher.Add(dir) // it may be gone meanwhile
	}
	over := time.After(time.Minute)
	for {
		if err := ts.Exec(args[0], args[1:]...); (err != nil) == neg {
			return
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			ts.Check(err)
		case <-over:
			ts.Fatalf("%v: it does not come to that", args)
		}
	}
}

// cmdGitHub is a stand-in for GitHub with the script's repositories as acme/api,
// which was acme/former, acme/web and the private acme/hidden; #5 of acme/api
// is of feature/login, #6 of the fork mallory/api. Its token is ghp_right.
//
//	github          starts it: Berth asks it, git clones from the folders
//	github limit    it refuses everything until $RESET (UTC)
//	github well     it answers again
func cmdGitHub(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value("github").(*githubfake.Hub)
	switch strings.Join(args, " ") {
	case "":
		repos := ts.MkAbs("repos")
		login, err := exec.Command("git", "-c", "safe.directory=*", "-C", filepath.Join(repos, "api"), "rev-parse", "feature/login").Output()
		ts.Check(err)
		commit := strings.TrimSpace(string(login))
		h.Tokens = []string{"ghp_right"}
		h.Repositories = []githubfake.Repository{
			{Name: "acme/api", ID: 1, Dir: filepath.Join(repos, "api"), Was: []string{"acme/former"}, Pulls: map[int]githubfake.Pull{
				5: {Branch: "feature/login", From: "acme/api", Commit: commit}, 6: {Branch: "feature/login", From: "mallory/api", Commit: commit}}},
			{Name: "acme/web", ID: 2, Dir: filepath.Join(repos, "web")},
			{Name: "acme/hidden", ID: 3, Dir: filepath.Join(repos, "web"), Private: true},
		}
		h.Start()
		ts.Setenv("BERTH_GITHUB_API_URL", h.URL+githubfake.API)
		config, err := os.OpenFile(ts.Getenv("GIT_CONFIG_GLOBAL"), os.O_APPEND|os.O_WRONLY, 0)
		ts.Check(err)
		defer config.Close()
		_, err = fmt.Fprintf(config, "[url %q]\n\tinsteadOf = https://github.com/acme/\n", repos+"/")
		ts.Check(err)
	case "limit":
		reset := time.Now().Add(time.Hour).Truncate(time.Second)
		ts.Setenv("RESET", reset.UTC().Format("15:04:05 UTC"))
		h.SetFault(githubfake.Fault{Status: http.StatusForbidden, Body: `{"message":"API rate limit exceeded"}`,
			Headers: map[string]string{"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(reset.Unix(), 10)}})
	case "well":
		h.SetFault(githubfake.Fault{})
	default:
		ts.Fatalf("github cannot be %v", args)
	}
}
