package catalog_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/catalog"
)

// saltCall is the real salt-call, or the test is skipped.
func saltCall(t *testing.T) string {
	t.Helper()
	salt := os.Getenv("BERTH_SALT_CALL")
	if salt == "" {
		salt, _ = filepath.Abs(filepath.Join("..", "..", ".berth", "salt", "bin", "salt-call"))
	}
	if _, err := os.Stat(salt); err != nil {
		if os.Getenv("BERTH_REQUIRE_SALT") != "" {
			t.Fatalf("no Salt: %v", err)
		}
		t.Skipf("no Salt at %s: set BERTH_SALT_CALL, or run make test, which installs it", salt)
	}
	return salt
}

// Recipes that only Salt can judge: what they say is in what they make.
func TestCompile(t *testing.T) {
	t.Parallel()
	salt := saltCall(t)
	const cloud = "target \"cloud\" { module = \"./m\" }\n"
	cases := map[string]struct {
		targets, recipe string
		more            map[string]string
		want, warning   string // in the one error, in the one warning
	}{
		"good":     {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - contents: {{ pillar.berth.settings.A|json }}\n"},
		"starter":  {recipe: "include: [app]\n"},
		"YAML":     {recipe: "y:\n  test.nop: []\nx:\n  test.nop\n    - name: a\n", want: `web.sls:5: the recipe of app APP does not compile for target "local": mapping values are not allowed in this context.`},
		"Jinja":    {recipe: "x:\n  test.nop:\n    - name: {{ foo.bar }}\n", want: `web.sls:3: the recipe of app APP does not compile for target "local": Jinja variable 'foo' is undefined.`},
		"twice":    {recipe: "x:\n  test.nop: []\nx:\n  test.nop: []\n", want: `found conflicting ID 'x'`},
		"include":  {recipe: "include:\n  - nowhere\n", want: `Specified SLS nowhere in saltenv base is not available`},
		"nothing":  {recipe: "{% if pillar.berth.systemd %}\nx:\n  test.nop: []\n{% endif %}\n", want: `web.sls:1: the recipes of app APP (APP.web) give no state for target "local"`},
		"unknown":  {recipe: "x:\n  nosuch.thing: []\n", want: `web.sls:1: the state x uses nosuch.thing, which the Salt of this machine does not have.`},
		"secret":   {recipe: "x:\n  test.nop:\n   - name: a\n  bad {{ pillar['berth']['settings']['A']|string|json }}\n y:\n", want: "does not compile"},
		"inline":   {recipe: "vim: pkg.installed\n", want: `web.sls:1: the recipe uses pkg.installed (state vim)`},
		"names":    {recipe: "a:\n  test.nop: []\n{% set m = 'user' %}\nx:\n  {{ m }}.present:\n    - names: [a, b]\n", want: `web.sls:4: the recipe uses user.present (state x)`},
		"module":   {recipe: "x:\n  module.run:\n    - service.restart:\n      - name: x\n", want: `uses module.run with service.restart (state x)`},
		"program":  {recipe: "#!py\ndef run():\n    print('hello')\n    return {'x': {'service.running': [{'name': 'a'}]}}\n", want: `uses service.running (state x)`},
		"included": {recipe: "include: [{{ '.in' ~ 'ner' }}]\n", more: map[string]string{"inner.sls": "z:\n  cron.present: []\n"}, want: `inner.sls:1: the recipe uses cron.present (state z)`},
		"allowed":  {targets: "target \"local\" {\n module = \"local\"\n allow_system = true\n}\n", recipe: "vim: pkg.installed\n"},
		"cloud":    {targets: cloud, recipe: "vim: pkg.installed\n"},
		"guarded":  {targets: local + cloud, recipe: "x:\n  test.nop: []\n{% if pillar.berth.systemd %}\nvim: pkg.installed\n{% endif %}\n"},
		"cloud alone breaks": {targets: local + cloud, recipe: "x:\n  test.nop: []\n{% if pillar.berth.systemd %}\n{{ foo }}\n{% endif %}\n",
			want: `does not compile for target "cloud"`},

		"macro":           {recipe: "{% macro m(v) %}{{ v }}{% endmacro %}\nx:\n  test.nop:\n    - name: {{ m(salt['config.get']('berth:app:branch')) }}\n", warning: `web.sls:4: a branch is taken for a part of the recipe: write it with |json.`},
		"map":             {recipe: "{% from './map.jinja' import b with context %}\nx:\n  test.nop:\n    - name: {{ b }}\n", more: map[string]string{"map.jinja": "{% set b = pillar.berth.app.branch %}\n"}, warning: `a branch is taken for a part of the recipe`},
		"only a number":   {recipe: "x:\n  test.nop:\n    - name: v{{ '' }}\n    - rev: {{ salt['config.get']('berth:app:branch')|replace('{', '')|replace('\"', '')|replace(\"'\", '')|replace('}', '') }}\n", warning: `With the value "1.10": another state x.`},
		"quoted by hand":  {recipe: "x:\n  test.nop:\n    - name: '{{ salt[\"config.get\"](\"berth:settings:A\") }}'\n", warning: `a setting is taken for a part of the recipe`},
		"program's value": {recipe: "#!jinja|yaml\n{% set k = 'berth:app:branch' %}\n{{ salt['config.get'](k) }}x:\n  test.nop: []\n", warning: `a branch is taken for a part of the recipe`},
		"shell":           {recipe: "x:\n  cmd.run:\n    - name: {{ ('git log ' ~ pillar.berth.app.branch)|json }}\n", warning: `web.sls:1: the state x puts a branch into a command (name)`},
		"shell's unless":  {recipe: "x:\n  cmd.run:\n    - name: 'true'\n    - unless: {{ ('grep ' ~ pillar.berth.settings.A)|json }}\n", warning: `the state x puts a setting into a command (unless)`},
		"shell's env":     {recipe: "x:\n  cmd.run:\n    - name: git log \"$B\"\n    - env:\n      - B: {{ pillar.berth.app.branch|json }}\n"},
		"run again":       {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - template: jinja\n    - contents: {{ pillar.berth.app.branch|json }}\n", warning: `has a branch in contents that are a template`},
		"template": {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - template: jinja\n    - source: salt://{{ slspath }}/conf.j2\n",
			more: map[string]string{"conf.j2": "# a\nlisten {{ pillar.berth.app.port }}\n"}, warning: `conf.j2:2: {{ pillar.berth.app.port }} puts a value from pillar into the file as it is`},
		"outside":     {recipe: "x:\n  file.managed:\n    - name: /etc/motd\n", warning: `the state x writes /etc/motd, which is not below berth.root`},
		"climbs":      {recipe: "x:\n  file.absent:\n    - name: {{ (pillar.berth.root ~ '/../../x')|json }}\n", warning: `the state x writes /x`},
		"sudo":        {recipe: "x:\n  cmd.run:\n    - name: sudo apt-get install x\n", warning: `the state x runs sudo`},
		"at once":     {targets: "target \"local\" {\n module = \"local\"\n allow_system = true\n}\n", recipe: "{% do salt['user.add']('x') %}\nx: test.nop\n", warning: `web.sls:1: salt['user.add'] changes the machine while the recipe is compiled`},
		"no source":   {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - source: salt://nowhere.conf\n", want: `web.sls:1: the state x (file.managed) of app APP would fail: Source file salt://nowhere.conf not found in saltenv 'base'.`},
		"one source":  {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - source:\n      - salt://nowhere.conf\n      - salt://{{ slspath }}/a.conf\n", more: map[string]string{"a.conf": "x"}},
		"elsewhere":   {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - source: /only/on/the/server\n    - user: nosuch\n    - unless: touch {{ (pillar.berth.root ~ '/y')|json }}\n"},
		"no folder":   {recipe: "x:\n  file.recurse:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - source: salt://nowhere\n", want: `web.sls:1: the state x (file.recurse) of app APP would fail: Recurse failed: none of the specified sources were found.`},
		"no script":   {recipe: "a:\n  test.nop: []\nx:\n  cmd.script:\n    - name: salt://nowhere.sh\n", want: `web.sls:3: the state x (cmd.script) of app APP would fail: Source file salt://nowhere.sh not found`},
		"a script":    {recipe: "x:\n  cmd.script:\n    - name: salt://{{ slspath }}/a.sh\n", more: map[string]string{"a.sh": "x"}},
		"no value":    {recipe: "x:\n  file.managed:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n    - template: jinja\n    - source: salt://{{ slspath }}/a.j2\n", more: map[string]string{"a.j2": "# a\nlisten {{ nowhere.port }}\n"}, want: `a.j2:2: the state x (file.managed) of app APP would fail: Jinja variable 'nowhere' is undefined.`},
		"no argument": {recipe: "x:\n  file.symlink:\n    - name: {{ (pillar.berth.root ~ '/x')|json }}\n", want: `web.sls:1: the state x (file.symlink) of app APP would fail: Missing parameter target for state file.symlink.`},
		"an argument": {recipe: "x:\n  cmd.wait:\n    - name: ls\n    - colour: red\ny:\n  test.show_notification:\n    - text: a\n    - colour: red\n"},
		"waits":       {recipe: "x:\n  test.nop:\n    - require:\n      - test: nowhere\n", want: `Referenced state does not exist for requisite [require: (test: nowhere)] in state [x]`},
		"circle":      {recipe: "x:\n  test.nop:\n    - require:\n      - test: y\ny:\n  test.nop:\n    - require:\n      - test: x\n", want: `Recursive requisites were found`},
		"reading":     {recipe: "{% set a = salt['network.ip_addrs']() %}\nx:\n  test.nop: []\n"},
	}
	// Salt takes a second to start: the cases of the same targets share a run,
	// each as an app.
	type suite struct {
		catalog strings.Builder
		files   map[string]string
		cases   map[string]string // recipe → case
	}
	suites := map[string]*suite{}
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		tt := cases[name]
		if tt.targets == "" {
			tt.targets = local
		}
		key := tt.targets
		if strings.Contains(tt.recipe, "{% do") {
			key += "# alone: nothing is compiled beside it\n"
		}
		s := suites[key]
		if s == nil {
			s = &suite{files: map[string]string{"a.env": "A=hush-hush-hush\n", "m/main.tf": ""}, cases: map[string]string{}}
			s.catalog.WriteString(key + "salt { states = \"states\" }\n")
			suites[key] = s
		}
		recipe := fmt.Sprintf("case%d", n)
		s.cases[recipe] = name
		fmt.Fprintf(&s.catalog, "app %q {\n repository = \"https://x.dev/a\"\n states = [%q]\n port = 80\n settings = \"a.env\"\n}\n", recipe, recipe+".web")
		s.files["states/"+recipe+"/web.sls"] = tt.recipe
		for file, text := range tt.more {
			s.files["states/"+recipe+"/"+file] = text
		}
	}
	for key, s := range suites {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			s.files["berth.hcl"] = s.catalog.String()
			_, warnings, err := catalog.Verify(t.Context(), write(t, s.files), catalog.Known{Modules: []string{"local"}, SaltCall: salt})
			var problems []string
			if err != nil {
				problems = strings.Split(strings.TrimPrefix(err.Error(), fmt.Sprintf("The catalog has %d errors:\n", strings.Count(err.Error(), "\n"))), "\n")
			}
			for _, line := range append(slices.Clone(warnings), problems...) {
				if strings.Contains(line, "hush-hush") {
					t.Errorf("a setting's value is told: %s", line)
				}
			}
			for recipe, name := range s.cases {
				tt := cases[name]
				of := func(lines []string) []string {
					return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, "/states/"+recipe+"/") })
				}
				check := func(what string, got []string, want string) {
					if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], strings.ReplaceAll(want, "APP", recipe))) {
						t.Errorf("%s: %s %q, want %q", name, what, got, want)
					}
				}
				check("errors", of(problems), tt.want)
				check("warnings", of(warnings), tt.warning)
			}
		})
	}
}

// Apps that share recipes may give them what another does not have: each is
// tried with what it has.
func TestCompileSharedRecipes(t *testing.T) {
	t.Parallel()
	app := func(name, more string) string {
		return fmt.Sprintf("app %q {\n repository = \"https://x.dev/a\"\n states = [\"web\"]\n%s}\n", name, more)
	}
	for _, key := range []string{"ONE", "TWO"} {
		path := write(t, map[string]string{
			"berth.hcl":      local + "salt { states = \"states\" }\n" + app("a", "") + app("b", " settings = \"b.env\"\n") + app("c", " settings = \"c.env\"\n"),
			"b.env":          "ONE=hush-hush-hush\n",
			"c.env":          "TWO=hush-hush-hush\n",
			"states/web.sls": "x:\n  test.nop:\n    - name: 'x{{ salt['config.get']('berth:settings:" + key + "') }}'\n",
		})
		_, warnings, err := catalog.Verify(t.Context(), path, catalog.Known{Modules: []string{"local"}, SaltCall: saltCall(t)})
		if got := strings.Join(warnings, "\n"); err != nil || strings.Count(got, "a setting is taken for a part of the recipe") != 1 {
			t.Errorf("%s: warnings %q, error %v", key, got, err)
		}
	}
}

func TestCompileWithoutAWorkingSalt(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"berth.hcl": local + "salt { states = \"states\" }\napp \"api\" {\n repository = \"https://x.dev/a\"\n states = [\"web\"]\n}\n", "states/web.sls": "x: test.nop\n"})
	_, warnings, err := catalog.Verify(t.Context(), path, catalog.Known{Modules: []string{"local"}, SaltCall: "/bin/false"})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "not compiled, for Salt (/bin/false) could not be run") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
}

// A recipe that counts on a need fails where a blueprint leaves it to the
// settings.
func TestCompileUnmetNeeds(t *testing.T) {
	t.Parallel()
	catalogText := local + `salt { states = "states" }
app "api" {
  repository = "https://x.dev/a"
  port       = 80
}
app "web" {
  repository = "https://x.dev/w"
  states     = ["web"]
  settings   = "w.env"
  needs      = { API_URL = "api" }
}
blueprint "both" { apps = ["api", "web"] }
blueprint "web" { apps = ["web"] }
`
	for recipe, want := range map[string]string{
		"{{ pillar.berth.needs.API_URL|json }}":    `web.sls:3: the recipe of app web does not compile for target "local", where its environment has no app for API_URL and the settings give it: `,
		"{{ pillar.berth.settings.API_URL|json }}": "",
	} {
		path := write(t, map[string]string{"berth.hcl": catalogText, "w.env": "API_URL=http://127.0.0.1:9\n", "states/web.sls": "x:\n  test.nop:\n    - name: " + recipe + "\n"})
		_, warnings, err := catalog.Verify(t.Context(), path, catalog.Known{Modules: []string{"local"}, SaltCall: saltCall(t)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || len(warnings) > 0 {
			t.Errorf("%s: %v, warnings %q", recipe, err, warnings)
		}
	}
}
