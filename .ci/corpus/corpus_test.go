package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	scenarios = "../../testdata/salt/scenarios"
	recorded  = "../../testdata/salt"
)

// Each scenario has its recorded runs, made from what it says now, and no run
// is left of a scenario that is gone.
func TestRecorded(t *testing.T) {
	t.Parallel()
	all, err := load(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range all {
		for _, series := range s.series() {
			name := s.recorded(series)
			known[name] = true
			got, err := os.ReadFile(filepath.Join(recorded, name, "meta.json"))
			if err != nil {
				t.Errorf("%s was not recorded (make corpus ONLY=%s): %v", name, s.name, err)
				continue
			}
			var m meta
			if err := json.Unmarshal(got, &m); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(m.Salt, series+".") {
				t.Errorf("%s was recorded with Salt %s", name, m.Salt)
			}
			want, err := s.meta(series, m.Salt, m.Exit).encode()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not what its scenario says now (make corpus ONLY=%s):\n%s", name, s.name, want)
			}
		}
	}
	dirs, err := filepath.Glob(filepath.Join(recorded, "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dirs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(filepath.Dir(path)); bytes.Contains(text, []byte(`"scenario": `)) && !known[name] {
			t.Errorf("%s is of no scenario any more", name)
		}
	}
}

// No recorded run tells of the machine that it was recorded on.
func TestNoMachine(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	machine := regexp.MustCompile(`berth-corpus-|/work/|/root\b|\.berth/|` + regexp.QuoteMeta(host))
	paths, err := filepath.Glob(filepath.Join(recorded, "*", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := machine.Find(text); m != nil && filepath.Base(filepath.Dir(path)) != "scenarios" {
			t.Errorf("%s holds %q", path, m)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const good = "A thing.\n-- scenario.json --\n{\"outcome\": \"ok\"}\n"
	for name, text := range map[string]string{
		"":                              good,
		"does not say what it shows":    strings.TrimPrefix(good, "A thing.\n"),
		"scenario.json is missing":      "A thing.\n-- states/app.sls --\n",
		"unknown field":                 strings.Replace(good, "outcome", "outcomes", 1),
		"with 0 causes":                 strings.Replace(good, "ok", "failed", 1),
		"outside the run's folder":      good + "-- ../x --\n",
		"there is no Salt":              strings.Replace(good, "{", `{"salt": ["2016"], `, 1),
		"a cause needs a code":          strings.Replace(good, `"ok"`, `"failed", "causes": [{"who": "ops"}]`, 1),
		`the outcome "" with 0 causes`:  strings.Replace(good, `"ok"`, `""`, 1),
		`Salt 3006: the outcome "busy"`: strings.Replace(good, `"ok"`, `"ok", "other": {"3006": {"outcome": "busy"}}`, 1),
	} {
		path := filepath.Join(t.TempDir(), "a-thing.txtar")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := parse(path)
		if name == "" {
			if err != nil || s.name != "a-thing" || len(s.series()) != 2 || s.recorded("3006") != "a-thing-3006" {
				t.Errorf("%+v, %v", s, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAgrees(t *testing.T) {
	t.Parallel()
	out := []byte(`{"local":{"a":{"result":false,"comment":"x"},"b":{"result":false,"comment":"One or more requisite failed: s.a"},"c":{"result":null}}}`)
	one, two, three := 1, 2, 3
	if err := agrees(out, &two, &one); err != nil {
		t.Error(err)
	}
	if agrees(out, &three, &one) == nil || agrees(out, &two, &two) == nil {
		t.Error("a wrong count passes")
	}
	if err := agrees([]byte("no JSON"), &two, nil); err != nil {
		t.Error(err)
	}
}
