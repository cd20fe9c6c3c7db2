package templates_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/executable"
)

// The starter recipe compiles with real Salt, and hostile values come out of
// it as they went in: as values.
func TestStarterRecipe(t *testing.T) {
	t.Parallel()
	salt := os.Getenv("BERTH_SALT_CALL")
	if salt == "" {
		salt, _ = filepath.Abs(filepath.Join("..", ".berth", "salt", "bin", "salt-call"))
	}
	if _, err := os.Stat(salt); err != nil {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatalf("no Salt: %v", err)
		}
		t.Skipf("no Salt at %s: set BERTH_SALT_CALL, or run make test, which installs it", salt)
	}
	states, err := filepath.Abs("salt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		systemd bool
		// there is what lies around from before; ops have no settings then.
		there []string
	}{
		{"local", false, nil}, {"systemd", true, nil},
		{"systemd, left unfinished", true, []string{"root/app/.git/berth-env", "root/app/.git/berth-built", "starter/built", "starter/settled"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			systemd, dir, env := c.systemd, t.TempDir(), "A=1\n"
			for _, name := range c.there {
				env = ""
				p := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			pwned := filepath.Join(dir, "pwned")
			// In berth's place: it prints what it is called with, a line each.
			probe := filepath.Join(dir, "it's berth")
			executable.Write(t, probe, "#!/bin/sh\nfor word; do printf '<%s>\\n' \"$word\"; done\n")
			app := orchestrator.PillarApp{
				Name: "web", Repository: "https://example.com/{{salt.cmd.run('touch " + pwned + "')}}\"'\n- x: 1 # ü 😀",
				Branch: "{{salt.cmd.run('touch " + pwned + "')}}", Revision: strings.Repeat("a", 40), Checkout: filepath.Join(dir, "root", "app"), Port: 8080,
				Build: "echo '{% raw %}' \"$HOME\" : { [ & * ! | > % @ `x` \\n\nsecond line", Start: "exec python3 app.py --x='{{ 7*7 }}' # 😀",
			}
			pillar, err := json.Marshal(map[string]any{"berth": orchestrator.Pillar{Systemd: systemd, Root: filepath.Join(dir, "root"), App: app, Env: env, EnvFile: filepath.Join(dir, "env"), Program: probe, Needs: map[string]string{"API_URL": "http://127.0.0.1:9/{{ 7*7 }}'"}}})
			if err != nil {
				t.Fatal(err)
			}
			user, err := exec.Command("id", "-un").Output()
			if err != nil {
				t.Fatal(err)
			}
			minion, err := json.Marshal(map[string]any{
				"id": "t", "user": strings.TrimSpace(string(user)), "root_dir": dir, "pki_dir": "pki", "cachedir": "cache", "sock_dir": "run", "pidfile": "pid", "log_file": "log",
				"file_client": "local", "file_roots": map[string]any{"base": []string{states}}, "pillar_roots": map[string]any{"base": []string{filepath.Join(dir, "pillar")}},
				"enable_fqdns_grains": false,
			})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"etc/minion": string(minion), "pillar/top.sls": "base:\n  '*': [berth]\n", "pillar/berth.sls": "#!json\n" + string(pillar)} {
				p := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(salt, "--local", "-c", filepath.Join(dir, "etc"), "state.show_low_sls", "app", "--retcode-passthrough", "--out=json", "-l", "error").Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var result struct{ Local []map[string]any }
			if err := json.Unmarshal(out, &result); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := map[string]map[string]any{}
			for _, low := range result.Local {
				got[low["__id__"].(string)] = low
			}
			for id, want := range map[string]string{"berth-app-code": app.Repository, "berth-app-build": app.Build} {
				if got[id]["name"] != want {
					t.Errorf("%s is about %q, want %q", id, got[id]["name"], want)
				}
			}
			for _, id := range map[bool][]string{env != "": {"berth-app-env", "berth-app-env-noted"}, env == "": {"berth-app-env-gone", "berth-app-unbuilt", "berth-app-unbuilt-earlier", "berth-app-unfinished"}}[true] {
				if got[id] == nil {
					t.Errorf("there is no %s", id)
				}
			}
			if systemd && env != "" {
				text, _ := got["berth-app-start"]["contents"].(string)
				said, err := exec.Command("/bin/sh", "-c", text).CombinedOutput()
				want := "<agent>\n<exec>\n<--env-file>\n<" + app.Checkout + "/.env>\n<--set>\n<API_URL=http://127.0.0.1:9/{{ 7*7 }}'>\n<--port>\n<8080>\n<-->\n</bin/sh>\n<-c>\n<" + app.Start + ">\n"
				if err != nil || string(said) != want {
					t.Errorf("the start script %q calls %q (%v), want %q", text, said, err, want)
				}
				if text, _ := got["berth-app-unit"]["contents"].(string); strings.Contains(text, "EnvironmentFile") {
					t.Errorf("systemd reads .env in its own way: %q", text)
				}
				if text, _ := got["berth-app-unit"]["contents"].(string); !strings.Contains(text, "ExecStart="+filepath.Join(dir, "starter", "start")+"\n") {
					t.Errorf("the unit is %q", text)
				}
			}
			for id, low := range got {
				if state := fmt.Sprint(low["state"]); !systemd && (state == "user" || state == "service") {
					t.Errorf("%s uses %s without systemd", id, state)
				}
				// The app could lay a link to anything, just then too: what is done
				// below its folder is done as its user, whoever Salt is.
				who := map[string]any{"cmd": low["runas"], "git": low["user"]}[fmt.Sprint(low["state"])]
				if id == "berth-app-root" || id == "berth-app-reload" || !systemd || who == "berth-app" {
					continue
				}
				for _, key := range []string{"name", "target", "cwd", "source"} {
					if name := fmt.Sprint(low[key]); strings.HasPrefix(name, filepath.Join(dir, "root")) || low["state"] == "cmd" || low["state"] == "git" {
						t.Errorf("%s does that to %s as Salt's own user: %v", id, name, low)
					}
				}
			}
			if _, err := os.Stat(pwned); err == nil {
				t.Error("a value was run")
			}
		})
	}
}
