// Command demo shows the whole way of an environment on real parts: real git
// repositories, Terraform, Salt and applications, all on this machine.
//
//	go run ./.ci/demo -work DIR [-keep|-stop|-playground]
//
// It types at the berth program what a developer would, checks each answer,
// and leaves nothing behind. With -playground it only prepares, and leaves the
// typing to whoever opens the playground's page.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/testdata/apps"
)

func main() {
	work := flag.String("work", ".berth", "the folder that set-up filled; the demo's own goes to its folder demo")
	keep := flag.Bool("keep", false, "leave the environment and the server up")
	stop := flag.Bool("stop", false, "end what -keep left up")
	play := flag.Bool("playground", false, "let people use it in a browser until Ctrl-C")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *work, *keep, *stop, *play); err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, work string, keep, stop, play bool) error {
	h, err := newHarbour(work)
	if err != nil {
		return err
	}
	if stop {
		if !h.exists() {
			fmt.Println("There is no demo to stop.")
			return nil
		}
		if err := h.end(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		fmt.Println("The demo is over: no process, no folder and no port is left.")
		return nil
	}
	show := h.show
	if play {
		show = h.playground
	}
	if h.running() {
		return errors.New("one is up already; make demo-stop ends it")
	}
	if h.exists() {
		h.say("An earlier demo did not come to its end: cleaning up after it.")
		if err := h.end(ctx); err != nil {
			return err
		}
	}
	err = show(ctx)
	if errors.Is(err, errStopped) {
		return nil
	}
	if err == nil && keep {
		h.farewell(true)
		return nil
	}
	// Also after a failure or Ctrl-C nothing stays behind.
	if endErr := h.end(context.WithoutCancel(ctx)); endErr != nil {
		return errors.Join(err, endErr)
	}
	if err != nil {
		return err
	}
	h.say("Nothing is left: no process, no folder, no port.")
	if !play {
		h.farewell(false)
	}
	return nil
}

// harbour is one demo: its folder, its berth program and its running serve.
type harbour struct {
	work, dir, data string
	berth           string
	terraform, salt string
	urls            map[string]bool // every address that a server had
}

func newHarbour(work string) (*harbour, error) {
	// Servers have users of their own when this runs as root.
	syscall.Umask(0o022)
	work, err := filepath.Abs(work)
	if err != nil {
		return nil, err
	}
	h := &harbour{
		work: work, dir: filepath.Join(work, "demo"), berth: filepath.Join(work, "bin", "berth"),
		salt: filepath.Join(work, "salt", "bin", "salt-call"), urls: map[string]bool{},
	}
	h.data = filepath.Join(h.dir, "data")
	terraform, err := os.ReadFile(filepath.Join(work, "terraform.path"))
	if err != nil {
		return nil, errors.New("set-up has not run here; make setup does it")
	}
	h.terraform = strings.TrimSpace(string(terraform))
	return h, passable(work)
}

// passable checks that the servers' users can come to dir.
func passable(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&1 == 0 {
			return fmt.Errorf("run as root, Berth gives each server a user of its own, and those cannot enter %s (mode %04o); "+
				"name another folder, such as: make demo BERTH_WORK=/srv/berth", dir, info.Mode().Perm())
		}
	}
	return nil
}

func (h *harbour) say(format string, args ...any) {
	fmt.Printf("\n# %s\n", fmt.Sprintf(format, args...))
}

func (h *harbour) exists() bool {
	_, err := os.Stat(h.dir)
	return err == nil
}

// show is the demo itself.
func (h *harbour) show(ctx context.Context) error {
	h.say("Two applications, api and web, each a git repository with the branches\n# main, %s; and ops' catalog of them.", strings.Join(apps.Branches, ", "))
	if err := h.prepare(); err != nil {
		return err
	}
	if err := h.serve(ctx); err != nil {
		return err
	}

	h.say("A developer wants a full environment, with the login branch on web.")
	start := time.Now()
	if err := h.run(ctx, 0, "env", "create", "qa", "shop", "web=feature/login"); err != nil {
		return err
	}
	h.say("That took %.1f s: two servers, each configured by Salt, each app answering.", time.Since(start).Seconds())
	if err := h.run(ctx, 0, "env", "list"); err != nil {
		return err
	}
	if err := h.run(ctx, 0, "env", "show", "qa"); err != nil {
		return err
	}
	h.say("The page of this environment's web carries the data of its own api.")
	if err := h.page(ctx, "web runs feature/login", "api runs main and says: Ahoy from ops' settings", "Fender: 39 €"); err != nil {
		return err
	}

	h.say("Another branch on the same servers.")
	start = time.Now()
	if err := h.run(ctx, 0, "env", "deploy", "qa", "web=hotfix/1.2.3"); err != nil {
		return err
	}
	h.say("That took %.1f s.", time.Since(start).Seconds())
	if err := h.page(ctx, "web runs hotfix/1.2.3", "api runs main and says: Ahoy", "Fender: 39 € incl. VAT"); err != nil {
		return err
	}

	h.say("A mistyped branch is met before anything is touched (exit status 3).")
	if err := h.run(ctx, 3, "env", "deploy", "qa", "web=feature/logn"); err != nil {
		return err
	}
	if err := h.refusal(ctx); err != nil {
		return err
	}

	h.say("A branch that does not build: the reason, and the way back (exit status 1).")
	if err := h.run(ctx, 1, "env", "deploy", "qa", "api=broken-build"); err != nil {
		return err
	}
	if err := h.run(ctx, 0, "env", "deploy", "qa", "api=main"); err != nil {
		return err
	}
	return h.page(ctx, "api runs main")
}

// prepare makes the repositories, the catalog and the settings.
func (h *harbour) prepare() error {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return err
	}
	if err := apps.Make(filepath.Join(h.dir, "repos")); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(h.dir, "shop"), os.DirFS("testdata/shop")); err != nil {
		return err
	}
	// The repositories belong to whoever runs the demo, and git refuses those of
	// another user unless it is told that they are meant.
	return os.WriteFile(h.gitConfig(), []byte("[safe]\n\tdirectory = *\n"), 0o644)
}

func (h *harbour) gitConfig() string   { return filepath.Join(h.dir, "gitconfig") }
func (h *harbour) pidFile() string     { return filepath.Join(h.dir, "serve.pid") }
func (h *harbour) addressFile() string { return filepath.Join(h.data, "address") }
func (h *harbour) logFile() string     { return filepath.Join(h.dir, "serve.log") }

// environment is what berth gets: the caller's, without settings of another
// Berth's.
func (h *harbour) environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "BERTH_") && !strings.HasPrefix(pair, "GIT_") {
			env = append(env, pair)
		}
	}
	return append(env, "BERTH_DATA="+h.data, "BERTH_TERRAFORM="+h.terraform, "BERTH_SALT_CALL="+h.salt, "GIT_CONFIG_GLOBAL="+h.gitConfig())
}

// serve starts berth serve in a session of its own and waits until it is
// ready.
func (h *harbour) serve(ctx context.Context) error {
	args := []string{"serve", "--catalog", filepath.Join(h.dir, "shop", "berth.hcl"), "--data", h.data, "--listen", "127.0.0.1:0"}
	fmt.Printf("\n$ berth serve --catalog %s --data %s --listen 127.0.0.1:0 &\n", h.short(args[2]), h.short(h.data))
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// One that was killed has left its address.
	if err := os.RemoveAll(h.addressFile()); err != nil {
		return err
	}
	cmd := exec.Command(h.berth, args...)
	cmd.Env = h.environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(h.pidFile(), fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o644); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if address, err := os.ReadFile(h.addressFile()); err == nil {
			fmt.Printf("listening on %s\n", strings.TrimSpace(string(address)))
			return nil
		}
		select {
		case err := <-ended:
			text, _ := os.ReadFile(h.logFile())
			return fmt.Errorf("berth serve ended (%v):\n%s", err, text)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(h.logFile())
			return fmt.Errorf("berth serve was not ready after 30 s:\n%s", text)
		}
	}
}

// short leaves out the folder that every path here begins with.
func (h *harbour) short(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}

// command is berth with the terminal's streams; Ctrl-C reaches it as it would
// in a shell.
func (h *harbour) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.berth, args...)
	cmd.Env = h.environment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	return cmd
}

// run types one command, shows what it says and expects its exit status.
func (h *harbour) run(ctx context.Context, want int, args ...string) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	fmt.Println("\n$ berth", strings.Join(args, " "))
	cmd := h.command(args...)
	err := cmd.Run()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	got := cmd.ProcessState.ExitCode()
	if err != nil && got < 0 {
		return err
	}
	if got != want {
		log, _ := os.ReadFile(h.logFile())
		return fmt.Errorf("berth %s: exit status %d, expected %d\nserve's log ends with:\n%s", strings.Join(args, " "), got, want, tail(log, 15))
	}
	return h.noteAddresses()
}

func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// environment's and server's form in the contract, as far as it is needed.
type environment struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Servers []struct {
		App    string            `json:"app"`
		Status string            `json:"status"`
		URL    string            `json:"url"`
		Needs  map[string]string `json:"needs"`
	} `json:"servers"`
}

func (h *harbour) json(v any, args ...string) error {
	cmd := h.command(append(args, "--json")...)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("berth %s: %w %s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return json.Unmarshal(out, v)
}

// noteAddresses remembers every address, so that the end can check that none
// answers any more.
func (h *harbour) noteAddresses() error {
	var all []environment
	if err := h.json(&all, "env", "list"); err != nil {
		return err
	}
	for _, e := range all {
		for _, s := range e.Servers {
			if s.URL != "" {
				h.urls[s.URL] = true
			}
		}
	}
	return nil
}

// tags is what a browser does not show of a page.
var tags = regexp.MustCompile(`<title>.*</title>|<[^>]*>`)

// page fetches the page of qa's web as a browser would and expects what it
// should carry.
func (h *harbour) page(ctx context.Context, want ...string) error {
	var e environment
	if err := h.json(&e, "env", "show", "qa"); err != nil {
		return err
	}
	web, api, pointed := "", "", ""
	for _, s := range e.Servers {
		switch s.App {
		case "web":
			web, pointed = s.URL, s.Needs["API_URL"]
		case "api":
			api = s.URL
		}
	}
	if pointed == "" || pointed != api {
		return fmt.Errorf("qa's web is pointed at %q, and its api is at %q", pointed, api)
	}
	fmt.Println("\n$ curl", web)
	body, err := get(ctx, web)
	if err != nil {
		return err
	}
	text := html.UnescapeString(tags.ReplaceAllString(body, ""))
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			fmt.Print("  ", line)
		}
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			return fmt.Errorf("the page at %s does not say %q", web, w)
		}
	}
	return nil
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, res.Status, body)
	}
	return string(body), err
}

// refusal checks the form that programs get of the answer to a mistyped
// branch, and that nothing was changed by it.
func (h *harbour) refusal(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, h.berth, "env", "deploy", "qa", "web=feature/logn", "--json")
	cmd.Env = h.environment()
	out, _ := cmd.Output()
	var answer struct {
		Error struct {
			Code        string   `json:"code"`
			Suggestions []string `json:"suggestions"`
		} `json:"error"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("the refusal of a mistyped branch: %w: %s", err, out)
	}
	if answer.Error.Code != "branch_not_found" || len(answer.Error.Suggestions) == 0 || answer.Error.Suggestions[0] != "feature/login" {
		return fmt.Errorf("the refusal of a mistyped branch offers %q: %s", answer.Error.Suggestions, out)
	}
	return nil
}

func (h *harbour) farewell(kept bool) {
	if !kept {
		fmt.Print(`
Where to go next:
  make demo KEEP=1       the same, but it stays up for you to play with
  README.md              how to run Berth for your team
  docs/architecture.md   what happened just now, step by step
`)
		return
	}
	fmt.Printf(`
The environment qa is up, and so is berth serve. Play with it:
  export BERTH_DATA=%s
  %s env show qa
  %s env create try shop api=hotfix/1.2.3
The repositories are in %s: commit there, then berth env deploy qa.
Ops' catalog and settings are in %s.
  make demo-stop         ends it all
`, h.data, h.short(h.berth), h.short(h.berth), h.short(filepath.Join(h.dir, "repos")), h.short(filepath.Join(h.dir, "shop")))
}
