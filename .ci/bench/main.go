// Command bench measures Berth on this machine, on real parts: how long serve
// takes to be ready and what it holds in memory, and how a cold environment of
// three servers compares with a script that does the same by hand with bare
// Terraform and salt-call.
//
//	go run ./.ci/bench [-work DIR] [-rounds N] [-only slack|list|large] [-seconds N] [-report]
//
// With -only slack it measures the door to Slack alone, which needs no set-up;
// with -only list what listing many environments costs; with -only large what
// diagnosing a large result of Salt costs, which needs no set-up either. It fails when a figure
// is over its limit, unless it is to report alone.
//
// The figures of the database and of Terraform alone are Go benchmarks; make
// bench runs all of them.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"flag"
	"fmt"
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
	"time"

	"github.com/berth-dev/berth/testdata/apps"
)

// What a person without Berth would write.
//
//go:embed bare.tf
var bareModule []byte

//go:embed bare.sh
var bareScript []byte

const catalog = `target "local" {
  module = "local"
}
app "api" {
  repository = "repos/api"
  port       = 8080
  health     = "/healthz"
  settings   = "api.env"
  build      = "make build"
  start      = "python3 app.py"
}
app "web" {
  repository = "repos/web"
  port       = 8081
  health     = "/healthz"
  build      = "make build"
  start      = "python3 app.py"
  needs      = { API_URL = "api" }
}
app "admin" {
  repository = "repos/web"
  port       = 8082
  health     = "/healthz"
  build      = "make build"
  start      = "python3 app.py"
  needs      = { API_URL = "api" }
}
blueprint "shop" {
  apps = ["api", "web", "admin"]
}
`

func main() {
	work := flag.String("work", ".berth", "the folder that set-up filled")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	only := flag.String("only", "", "measure this alone: slack, list or large")
	report := flag.Bool("report", false, "print the figures, whatever they are")
	seconds := flag.Int("seconds", 30, "how long Slack's load lasts")
	app := flag.Bool("answer", false, "be the app of a measurement")
	told := flag.String("slack-door", "", "be the Berth of Slack's load")
	shape := flag.Int("large", -1, "be the measurement of this large result")
	flag.Parse()
	if *shape >= 0 {
		if err := large(*shape); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if *told != "" {
		if err := slackDoor(*told); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if *app {
		fmt.Fprintln(os.Stderr, answer())
		os.Exit(1)
	}
	if err := run(*work, *only, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	for _, line := range missed {
		fmt.Println("over its limit:", line)
	}
	if len(missed) > 0 && !*report {
		os.Exit(1)
	}
}

// missed are the figures that are over their limits.
var missed []string

// limit notes a figure that is over its limit.
func limit(what string, got, most float64, unit string) {
	if got > most {
		missed = append(missed, fmt.Sprintf("%s is %.4g %s, and may be %.4g %s", what, got, unit, most, unit))
	}
}

// bench is one measurement's folder and programs.
type bench struct {
	dir, data, berth, terraform, salt string
	serve                             *exec.Cmd
}

func run(work, only string, rounds, seconds int) (err error) {
	syscall.Umask(0o022)
	work, err = filepath.Abs(work)
	if err != nil {
		return err
	}
	if only == "" || only == "large" {
		if err := largeResults(); err != nil || only == "large" {
			return err
		}
	}
	if only == "slack" {
		dir, err := os.MkdirTemp("", "berth-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		return slackLoad(dir, seconds)
	}
	terraform, err := os.ReadFile(filepath.Join(work, "terraform.path"))
	if err != nil {
		return fmt.Errorf("set-up has not run here (make setup): %w", err)
	}
	dir, err := os.MkdirTemp(work, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Servers have users of their own when this runs as root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := &bench{
		dir: dir, data: filepath.Join(dir, "data"), berth: filepath.Join(work, "bin", "berth"),
		terraform: strings.TrimSpace(string(terraform)), salt: filepath.Join(work, "salt", "bin", "salt-call"),
	}
	if err := b.prepare(); err != nil {
		return err
	}
	fmt.Printf("%s, %d processors, %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), memory())
	if only == "list" {
		if err := b.lists(); err != nil {
			return err
		}
		return b.stop()
	}
	if err := slackLoad(b.dir, seconds); err != nil {
		return err
	}
	var starts []time.Duration
	for i := range 5 {
		if i > 0 {
			if err := b.stop(); err != nil {
				return err
			}
		}
		t, err := b.start()
		if err != nil {
			return err
		}
		starts = append(starts, t)
	}
	ready := median(starts)
	defer func() {
		if stopErr := b.stop(); err == nil {
			err = stopErr
		}
	}()
	// What a start leaves behind in memory is returned within seconds.
	time.Sleep(5 * time.Second)
	idle, err := resident(b.serve.Process.Pid, "VmRSS:")
	if err != nil {
		return err
	}
	limit("serve's start until /readyz", ms(ready), 500, "ms")
	limit("serve's memory when idle", float64(idle>>20), 60, "MB")
	fmt.Printf("serve: ready after %d ms (berth serve … until /readyz, median of 5), %d MB resident when idle (VmRSS)\n", ready.Milliseconds(), idle>>20)

	var withBerth, bare []time.Duration
	var ratios []float64 // of neighbours in time: what else the machine does touches both
	for i := range rounds {
		t, err := b.withBerth(fmt.Sprintf("bench%d", i))
		if err != nil {
			return err
		}
		withBerth = append(withBerth, t)
		if t, err = b.bare(i); err != nil {
			return err
		}
		bare = append(bare, t)
		ratios = append(ratios, withBerth[i].Seconds()/t.Seconds())
	}
	fmt.Printf("a cold environment of three servers, median of %d:\n", rounds)
	fmt.Printf("  %5.2f s  berth env create bench shop\n", median(withBerth).Seconds())
	fmt.Printf("  %5.2f s  terraform init && terraform apply of .ci/bench/bare.tf: salt-call, start and health check by script\n", median(bare).Seconds())
	fmt.Printf("  %5.2f    times as long (median of each round's ratio; from %.2f to %.2f)\n", median(ratios), slices.Min(ratios), slices.Max(ratios))
	limit("a cold environment of three servers", median(ratios), 1.15, "times the time of bare Terraform and salt-call")
	if err := b.stop(); err != nil {
		return err
	}
	salt := b.salt
	off, err := b.withoutSalt(5)
	if err != nil {
		return err
	}
	b.salt = salt
	fmt.Printf("two servers without Salt, from the command to ready: %d ms (median of %d; the checkout and the health check are in it)\n", median(off).Milliseconds(), len(off))
	limit("two servers without Salt, from the command to ready,", ms(median(off)), 500, "ms")
	return b.lists()
}

// lists fills the database of a serve that does not run, and measures what
// listing costs; it leaves a serve that runs.
func (b *bench) lists() error {
	if err := b.fill(context.Background()); err != nil {
		return err
	}
	if _, err := b.start(); err != nil {
		return err
	}
	for _, args := range [][]string{nil, {"--json"}} {
		p50, p99, err := b.list(300, args...)
		if err != nil {
			return err
		}
		limit(strings.Join(append([]string{"berth env list"}, args...), " ")+" (p99)", ms(p99), 50, "ms")
		fmt.Printf("berth env list %v with %d environments of two servers: p50 %d ms, p99 %d ms (300 runs of the whole command)\n", args, environments, p50.Milliseconds(), p99.Milliseconds())
	}
	return nil
}

func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func memory() string {
	text, err := os.ReadFile("/proc/meminfo")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		if kb, err := strconv.Atoi(fields[1]); err == nil {
			return fmt.Sprintf("%d GB", kb>>20)
		}
	}
	return "memory unknown"
}

func (b *bench) prepare() error {
	if err := apps.Make(filepath.Join(b.dir, "repos")); err != nil {
		return err
	}
	states, err := filepath.Abs("templates/salt")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"berth.hcl": []byte(catalog), "api.env": []byte("GREETING=bench\n"),
		"gitconfig": []byte("[safe]\n\tdirectory = *\n"),
		"bare.tf":   bareModule, "bare.sh": bareScript, "states": []byte(states),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) environment(more ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "BERTH_") && !strings.HasPrefix(pair, "GIT_") {
			env = append(env, pair)
		}
	}
	env = append(env, "BERTH_DATA="+b.data, "BERTH_TERRAFORM="+b.terraform, "BERTH_SALT_CALL="+b.salt,
		"GIT_CONFIG_GLOBAL="+filepath.Join(b.dir, "gitconfig"), "CHECKPOINT_DISABLE=1")
	return append(env, more...)
}

// start starts serve and gives the time until it says that it is ready.
func (b *bench) start() (time.Duration, error) {
	free, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", free[0])
	b.serve = exec.Command(b.berth, "serve", "--catalog", filepath.Join(b.dir, "berth.hcl"), "--listen", address)
	b.serve.Env = b.environment()
	log, err := os.Create(filepath.Join(b.dir, "serve.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	b.serve.Stdout, b.serve.Stderr = log, log
	begun := time.Now()
	if err := b.serve.Start(); err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{}, Timeout: time.Second}
	for time.Since(begun) < 30*time.Second {
		res, err := client.Get("http://" + address + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return time.Since(begun), nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return 0, fmt.Errorf("serve was not ready after 30 s:\n%s", text)
}

func (b *bench) stop() error {
	if err := b.serve.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return b.serve.Wait()
}

// resident gives what the kernel says of a process's memory, in bytes.
func resident(pid int, field string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == field {
			kb, err := strconv.Atoi(fields[1])
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell the memory of process %d", pid)
}

// withBerth measures one create and destroys what it made.
func (b *bench) withBerth(name string) (time.Duration, error) {
	begun := time.Now()
	err := command(b.dir, b.environment(), b.berth, "env", "create", name, "shop")
	took := time.Since(begun)
	if endErr := command(b.dir, b.environment(), b.berth, "env", "destroy", name, "--yes"); err == nil {
		err = endErr
	}
	return took, err
}

// bare measures the same by hand.
func (b *bench) bare(round int) (time.Duration, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("bare%d", round))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), bareModule, 0o644); err != nil {
		return 0, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return 0, err
	}
	states, err := os.ReadFile(filepath.Join(b.dir, "states"))
	if err != nil {
		return 0, err
	}
	env := b.environment("TF_IN_AUTOMATION=1", "TF_VAR_script="+filepath.Join(b.dir, "bare.sh"), "TF_VAR_repos="+filepath.Join(b.dir, "repos"),
		"TF_VAR_salt_call="+b.salt, "TF_VAR_states="+string(states),
		fmt.Sprintf(`TF_VAR_ports={"api":%d,"web":%d,"admin":%d}`, ports[0], ports[1], ports[2]))
	begun := time.Now()
	if err := command(dir, env, b.terraform, "init", "-input=false"); err != nil {
		return 0, err
	}
	err = command(dir, env, b.terraform, "apply", "-input=false", "-auto-approve")
	took := time.Since(begun)
	if endErr := command(dir, env, b.terraform, "destroy", "-input=false", "-auto-approve"); err == nil {
		err = endErr
	}
	return took, err
}

// command runs a program and shows what it said only when it failed.
func command(dir string, env []string, name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out.String())
	}
	return nil
}

// freePorts gives ports that nothing listens on at this moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
