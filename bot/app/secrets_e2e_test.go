package app

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// leakyCatalog is one app whose build goes well and that does not stay up, and
// one whose build fails; a recipe of ops' own has a password in an address.
const leakyCatalog = `target "local" {
  module = "local"
}
salt {
  states = "states"
}
app "api" {
  repository     = "../repos/api"
  port           = 8080
  health         = "/healthz"
  health_timeout = "5s"
  settings       = "api.env"
  build          = "python3 leak.py"
  start          = "python3 leak.py && exit 3"
  public         = ["GREETING"]
}
app "web" {
  repository = "../repos/web"
  states     = ["app", "extra"]
  port       = 8081
  settings   = "api.env"
  build      = "python3 leak.py && exit 4"
  start      = "python3 app.py"
  public     = ["GREETING"]
}
blueprint "shop" {
  apps = ["api", "web"]
}
policy {
  ops = ["maria"]
}
person "maria" {
  slack = "U0MARIA"
}
`

const leakyRecipe = `fetch-of-extra:
  git.latest:
    - name: https://deploy:Gold-Fisch9@127.0.0.1:1/extra.git
    - target: {{ pillar["berth"]["root"] }}/extra
`

// leak prints its settings in every form, on both streams.
const leak = `import base64, json, os, sys, urllib.parse
settings = {k: os.environ[k] for k in ("GREETING", "DATABASE_URL", "API_TOKEN", "PIN_SECRET", "MAIL_NAME") if k in os.environ}
for line in open(".env", encoding="utf-8"):
    key, _, value = line.rstrip("\n").partition("=")
    settings.setdefault(key, value.strip('"'))
for out in (sys.stdout, sys.stderr):
    for key, value in settings.items():
        raw = value.encode()
        print("leak", key, "is", value, "or", urllib.parse.quote(value, safe=""), "or", urllib.parse.quote_plus(value), file=out)
        print("leak", base64.b64encode(raw).decode(), base64.urlsafe_b64encode(b"x:" + raw).decode(), raw.hex(), json.dumps(value), json.dumps({"v": json.dumps(value)}), file=out)
    print("leak cloning https://oauth2:Silver-Otter7@git.test/shop.git with ghp_abcdefghijklmnopqrstuvwxyz0123", file=out)
    print("Error: cannot reach", settings["DATABASE_URL"], file=out)
    out.flush()
`

// TestSecretsStayInside: whatever an app prints and however, no door tells its
// settings: not the short answer, not the evidence, no log, card or file; and
// what was a secret when it was printed stays one when ops have changed it.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false)
	ops := filepath.Join(d.dir, "ops")
	old := map[string]string{"DATABASE_URL": "postgres://shop:Winter-Rose/42@db.test:5432/shop", "API_TOKEN": "zq9xk", "PIN_SECRET": "z7q", "MAIL_NAME": "Blauwal & Söhne"}
	settings := func(values map[string]string) {
		text := "GREETING=welcome-to-all\n"
		for key, value := range values {
			text += key + "=\"" + value + "\"\n"
		}
		d.writes(filepath.Join(ops, "api.env"), text)
	}
	d.writes(filepath.Join(ops, "berth.hcl"), leakyCatalog)
	d.writes(filepath.Join(ops, "states", "extra.sls"), leakyRecipe)
	settings(old)
	for _, app := range []string{"api", "web"} {
		d.writes(filepath.Join(d.dir, "repos", app, "leak.py"), leak)
		d.git(app, "add", "leak.py")
		d.git(app, "commit", "-q", "-m", "leak")
	}
	d.start()

	d.types("/env create qa shop")
	card := d.card("qa: failed")
	d.told(card, "qa failed")
	var all strings.Builder
	see := func(what, text string) {
		fmt.Fprintf(&all, "\n== %s ==\n%s\n", what, text)
	}
	run := func(args ...string) string {
		cmd := exec.Command(berth, append([]string{"--data", filepath.Join(d.dir, "data")}, args...)...)
		cmd.Env = append(os.Environ(), "NO_COLOR=1", "BERTH_TERRAFORM="+d.env["BERTH_TERRAFORM"])
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("berth %v: %v\n%s", args, err, out)
		}
		see("berth "+strings.Join(args, " "), string(out))
		return string(out)
	}
	doors := func() {
		all.Reset()
		run("env", "why", "qa")
		run("env", "why", "qa", "--all")
		raw := run("env", "why", "qa", "--raw")
		for _, must := range []string{"welcome-to-all", "fetch-of-extra", "leak DATABASE_URL is ••••", "leak API_TOKEN is ••••", "leak PIN_SECRET is ••••"} {
			if !strings.Contains(raw, must) {
				t.Errorf("the evidence lacks %q", must)
			}
		}
		for _, flag := range []string{"--json", "--all", "--raw"} {
			run("env", "why", "qa", flag, "--json")
		}
		if log := run("env", "logs", "qa"); !strings.Contains(log, "leak DATABASE_URL is ••••") || !strings.Contains(log, "welcome-to-all") {
			t.Errorf("the log:\n%s", log)
		}
		run("env", "show", "qa", "--json")
		run("server", "show", "qa/api", "--json")
		run("env", "history", "qa", "--json")
		run("causes", "list", "--json")
		run("state", "list", "qa")
		run("state", "show", "qa")
		run("state", "pull", "qa")
		run("state", "plan", "qa")
		d.reads("/env why qa", "qa/api", "qa/web")
		before := len(d.fake.Calls("files.completeUploadExternal"))
		d.types("/env why qa raw")
		d.types("/env logs qa")
		d.until("the files", func() bool { return len(d.fake.Calls("files.completeUploadExternal")) >= before+2 })
		for _, channel := range []string{dev, d.fake.IM(maria)} {
			for _, m := range d.fake.Messages(channel) {
				for _, f := range m.Files {
					see("file "+f.Name, string(f.Content))
				}
			}
		}
		see("what Slack was told", fmt.Sprintf("%+v", d.fake.Transcript()))
		see("serve's log", string(d.logged()))
		for _, dir := range []string{"workspaces", "logs"} {
			err := filepath.WalkDir(filepath.Join(d.dir, "data", dir), func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() || strings.Contains(path, ".terraform"+string(filepath.Separator)) {
					return err
				}
				b, err := os.ReadFile(path)
				see(path, string(b))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(when string, values map[string]string) {
		t.Helper()
		said := all.String()
		pieces := map[string]string{"a password in a recipe's address": "Gold-Fisch9", "a password that is printed": "Silver-Otter7", "a known token": "ghp_abcdefghijklmnop", "what the address holds": "Winter-Rose"}
		for key, v := range values {
			quoted, _ := json.Marshal(v)
			longer := base64.URLEncoding.EncodeToString([]byte("x:" + v))
			if len(v) < 4 { // within others, so few letters are no more than a coincidence
				longer = base64.StdEncoding.EncodeToString([]byte(v))
			}
			for how, form := range map[string]string{"": v, " in a query": url.QueryEscape(v), " in a path": url.PathEscape(v), " in base64": base64.StdEncoding.EncodeToString([]byte(v)), " in hex": hex.EncodeToString([]byte(v)),
				" in JSON": strings.Trim(string(quoted), `"`), " in a longer one": longer} {
				pieces[key+how] = form
			}
		}
		for what, piece := range pieces {
			at := regexp.MustCompile(`(?:^|[^\pL\pN_])` + regexp.QuoteMeta(piece) + `(?:$|[^\pL\pN_])`).FindStringIndex(said)
			if at == nil {
				continue
			}
			door := said[strings.LastIndex(said[:at[0]+1], "\n== "):]
			t.Errorf("%s, %s is told (%q) by %s: …%s…", when, what, piece, strings.SplitN(door, "\n", 3)[1], said[max(0, at[0]-100):min(len(said), at[1]+60)])
		}
	}
	doors()
	check("at first", old)

	// Ops change them; what was printed before tells the old ones.
	settings(map[string]string{"DATABASE_URL": "postgres://shop:Summer-Leaf/43@db.test:5432/shop", "API_TOKEN": "yy8wv", "PIN_SECRET": "y3v", "MAIL_NAME": "Grauwal & Töchter"})
	doors()
	check("after a change of the settings", old)
}

func (d *desk) writes(path, text string) {
	d.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) git(app string, args ...string) {
	d.Helper()
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(d.dir, "repos", app)}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+d.env["GIT_CONFIG_GLOBAL"])
	if out, err := cmd.CombinedOutput(); err != nil {
		d.Fatalf("git %v: %v\n%s", args, err, out)
	}
}
