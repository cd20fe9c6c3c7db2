package app

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/testdata/apps"
	"github.com/berth-dev/berth/testdata/browser"
)

var update = flag.Bool("update", false, "write the pictures of the documents anew")

// playing is a running playground.
type playing struct {
	url, data string
	cmd       *exec.Cmd
	done      chan error
}

// startPlayground runs berth playground on the sample apps.
func startPlayground(t *testing.T) *playing {
	t.Helper()
	work := t.TempDir()
	for dir := work; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := apps.Make(filepath.Join(work, "repos")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(work, "ops"), os.DirFS(filepath.Join(repoRoot(), "testdata", "shop"))); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(work, "gitconfig")
	if err := os.WriteFile(config, []byte("[safe]\n\tdirectory = *\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &playing{data: filepath.Join(work, "data"), done: make(chan error, 1)}
	p.cmd = exec.Command(berth, "playground", "--catalog", filepath.Join(work, "ops", "berth.hcl"), "--data", p.data)
	p.cmd.Env = []string{"HOME=" + work, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=" + config, "GORACE=" + os.Getenv("GORACE"),
		"BERTH_SALT_CALL=" + os.Getenv("BERTH_SALT_CALL"), "BERTH_TERRAFORM=" + os.Getenv("BERTH_TERRAFORM")}
	var errs strings.Builder
	p.cmd.Stderr = &errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.data, "playground.log"))
			t.Logf("the playground's log:\n%s", log)
		}
		dirs, _ := filepath.Glob(filepath.Join(p.data, "servers", "*"))
		for _, dir := range dirs {
			_ = agent.Stop(context.Background(), dir, 0)
		}
	})
	lines := bufio.NewReader(out)
	said := ""
	address := regexp.MustCompile(`^Open (http://\S+) in a browser`)
	for p.url == "" {
		line, err := lines.ReadString('\n')
		said += line
		if m := address.FindStringSubmatch(line); m != nil {
			p.url = m[1]
		} else if err != nil {
			go func() { p.done <- p.cmd.Wait() }()
			t.Fatalf("the playground said %q, %v: %s", said, err, errs.String())
		}
	}
	if !regexp.MustCompile(`(?m)^Berth is listening on http://127\.0\.0\.1:\d+, for the berth command\.$`).MatchString(said) {
		t.Errorf("it does not say where Berth is: %q", said)
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		p.done <- p.cmd.Wait()
	}()
	return p
}

// stop ends it as Ctrl-C does.
func (p *playing) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			t.Errorf("after Ctrl-C it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// empty checks that nothing is left of the environments.
func (p *playing) empty(t *testing.T) {
	t.Helper()
	for _, name := range []string{"servers", "workspaces"} {
		entries, err := os.ReadDir(filepath.Join(p.data, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s/%s is left", name, e.Name())
			}
		}
	}
	// What told the end may take a moment more to end itself.
	for pid, line := range p.processes() {
		handle, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 5000)
		if err != nil || n == 0 {
			t.Errorf("this is left: %s (%v)", line, err)
		}
		unix.Close(handle)
	}
	if left := p.processes(); len(left) > 0 {
		t.Errorf("these are left: %v", left)
	}
}

// processes are those that the data folder has, but for the playground itself.
func (p *playing) processes() map[int]string {
	all := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(dir + "/cmdline")
		if strings.Contains(string(line), p.data) && dir != fmt.Sprintf("/proc/%d", p.cmd.Process.Pid) {
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err == nil {
				all[pid] = strings.ReplaceAll(string(line), "\x00", " ")
			}
		}
	}
	return all
}

// closed checks that nothing answers at an address any more.
func closed(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		t.Fatalf("%q is no address: %v", address, err)
	}
	if c, err := net.DialTimeout("tcp", u.Host, time.Second); err == nil {
		c.Close()
		t.Errorf("something still answers at %s", address)
	}
}

// shoot writes a picture for the documents, when that is asked for.
func shoot(b *browser.Tab, name string) {
	if *update {
		b.Resize(1280, 640)
		b.Shot(filepath.Join(repoRoot(), "docs", "images", name))
		b.Resize(1280, 800)
	}
}

// TestPlayground: the whole way of an environment in a browser, as a person
// goes it: the form, the card, the page, the end; and a mistyped branch.
func TestPlayground(t *testing.T) {
	needSalt(t)
	t.Parallel()
	browser.Find(t)
	p := startPlayground(t)
	b := browser.Open(t, 1280, 800)
	b.Go(p.url)
	b.Text("h1", "dev")

	// The composer completes commands and shows how they are used.
	b.Click(".main textarea")
	b.Type("/e")
	b.Text(".composer .choices", "/env")
	b.Type("\t")
	b.Text(".usage", "create")
	b.Type("create\r")

	// The form offers branches as they are typed.
	b.Text("#modal h2", "New environment")
	b.Click(`#modal input[aria-label="Name"]`)
	b.Wait(`() => document.activeElement.value.length > 0`) // a name is suggested
	b.Eval(`document.activeElement.select()`)
	b.Type("qa")
	b.Click(`#modal input[aria-label="Branch of web"]`)
	b.Type("login")
	b.Text("#modal [role=listbox]", "feature/login")
	shoot(b, "form.png")
	b.Type("\r")
	b.Wait(`() => document.querySelector('#modal input[aria-label="Branch of web"]').value === "feature/login"`)
	b.ClickText("#modal footer", "Create")
	b.Gone("#modal")

	// The card moves until the environment is ready.
	card := ".main .message"
	b.Text(card, "env create qa")
	b.Text(card+" h3", "qa is ready")
	b.Text(".replies", "1 reply")
	b.Click(".replies")
	b.Text(".side .message", "@maria")
	shoot(b, "card.png")
	b.Type("\x1b")
	b.Gone(".side")

	// The link leads to the page, which carries the data of its own api.
	link := b.Eval(`[...document.querySelectorAll(".main .message a")].find((a) => a.closest("article").innerText.includes("qa/web") && a.innerText === "Open web")?.href`)
	page := b.Follow(card, "Open web")
	page.Text("body", "web runs feature/login")
	page.Text("body", "Fender: 39 €")
	page.Close()

	// Another person sees the card, and not what only maria does.
	b.Click(".main textarea")
	b.Type("/env list\r")
	b.Text(".message.private", "qa")
	b.ClickText(".people", "Tom")
	b.Text(card+" h3", "qa is ready")
	b.Gone(".message.private")
	b.ClickText(".sidebar", "Berth")
	b.Text(".home", "qa")
	b.ClickText(".people", "Maria")
	b.ClickText(".sidebar", "dev")

	// Destroy asks first, and leaves nothing.
	b.ClickText(card, "Destroy")
	b.Text("#question", "qa")
	b.ClickText("#question footer", "Keep it")
	b.Gone("#question")
	b.ClickText(card, "Destroy")
	b.Text("#question", "qa")
	b.Click("#question footer .danger")
	b.Text(card+" h3", "qa is gone")
	closed(t, link)

	// A mistyped branch is answered with the right one on a button.
	b.Click(".main textarea")
	b.Type("/env create qb web=feature/logn\r")
	b.Text(".message.private", "feature/logn")
	b.Text(".message.private .button", "feature/login")
	b.Click(".message.private .button.primary")
	b.Text(card+" h3", "qb is ready")
	b.Click(".main textarea")
	b.Type("/env destroy qb\r")
	b.Text(".message.private .button.danger", "Destroy")
	b.Click(".message.private .button.danger")
	b.Wait(`() => document.querySelector("#question").open || [...document.querySelectorAll(".main h3")].some((e) => e.innerText.includes("Destroying qb") || e.innerText.includes("qb is gone"))`)
	b.Text(card+" h3", "qb is gone")
	p.empty(t)
	if troubles := b.Troubles(); len(troubles) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(troubles, "\n"))
	}
	p.stop(t)
	closed(t, p.url)
	b.Text("#status", "not there")
}

// TestPlaygroundRefusals: what a playground cannot be, it says.
func TestPlaygroundRefusals(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	shop := filepath.Join(repoRoot(), "testdata", "shop", "berth.hcl")
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"everybody's address", "for this machine alone", []string{"--catalog", shop, "--listen", "0.0.0.0:0"}},
		{"no address", "no address to listen on", []string{"--catalog", shop, "--listen", "8000"}},
		{"a taken port", "choose another with --listen", []string{"--catalog", shop, "--listen", taken.Addr().String()}},
		{"no catalog", "nowhere.hcl", []string{"--catalog", filepath.Join(t.TempDir(), "nowhere.hcl")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, berth, append([]string{"playground", "--data", t.TempDir()}, c.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("it ended with %v and said %q", err, out)
			}
		})
	}
}
