package terraform

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/executable"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	const server = `"resource":{"addr":"module.environment.aws_instance.server[\"web\"]","resource_name":"server","resource_key":"web"}`
	const group = `"resource":{"addr":"module.environment.aws_security_group.env","resource_name":"env","resource_key":null}`
	for line, want := range map[string]string{
		`{"type":"apply_start","hook":{` + server + `,"action":"create"}}`:                         "apply: creating web",
		`{"type":"apply_progress","hook":{` + server + `,"action":"create","elapsed_seconds":10}}`: "apply: still creating web (10 s)",
		`{"type":"apply_complete","hook":{` + group + `,"action":"delete","elapsed_seconds":0}}`:   "apply: removed aws_security_group.env",
		`{"type":"apply_errored","hook":{` + server + `,"action":"update","elapsed_seconds":2}}`:   "apply: changing web failed (2 s)",
		`{"type":"apply_start","hook":{` + server + `,"action":"read"}}`:                           "",
		`{"type":"planned_change","change":{` + server + `,"action":"replace"}}`:                   "plan: web will be replaced",
		`{"type":"planned_change","change":{` + server + `,"action":"create"}}`:                    "",
		`{"type":"change_summary","changes":{"add":1,"change":2,"remove":3,"operation":"plan"}}`:   "plan: 1 to make, 2 to change, 3 to remove",
		`{"type":"change_summary","changes":{"add":1,"change":2,"remove":3,"operation":"apply"}}`:  "apply: 1 made, 2 changed, 3 removed",
		`{"type":"change_summary","changes":{"add":0,"change":0,"remove":0,"operation":"plan"}}`:   "plan: nothing to change",
		`{"type":"change_summary","changes":{"add":2,"change":0,"remove":0,"operation":"plan"}}`:   "plan: 2 to make",
		`{"type":"apply_start"}`:    "",
		`{"type":"change_summary"}`: "",
		`{"type":"planned_change"}`: "",
		`{"type":"version"}`:        "",
	} {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got := ""
		if e, ok := m.event(); ok {
			got = e.Step + ": " + e.Text
		}
		if got != want {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"type":"apply_start","hook":{"resource":{"addr":"a","resource_key":1},"action":"create"}}`))
	f.Add([]byte(`{"type":"outputs","outputs":{"servers":{"value":{"s":{"address":null}}}}}`))
	f.Add([]byte(`{"type":"outputs","outputs":{"servers":{"value":3}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var m message
		if json.Unmarshal(line, &m) != nil {
			return
		}
		if e, ok := m.event(); ok && (e.Step == "" || e.Text == "") {
			t.Errorf("%s: %+v", line, e)
		}
		m.noise()
		m.machines()
	})
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("{\"kind\":\"started\",\"pid\":1}\n{\"kind\":\"progress\",\"step\":\"a\",\"text\":\"b\"}\n{\"kind\":\"res"))
	f.Add([]byte("\n{}\n{\"kind\":\"progress\"}\n{\"kind\":\"result\"}\n{\"kind\":\"result\",\"result\":{\"status\":\"failed\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r := reader{path: path}
		err := r.next(func(e Entry, offset int64) {
			if e.Kind == KindProgress && e.Event == nil || e.Kind == KindResult && e.Result == nil || offset > int64(len(data)) {
				t.Errorf("%+v at %d", e, offset)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestTornJournal: a failed write must not spoil the line after it.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	if err := j.write(Entry{Kind: KindStarted, PID: 1}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := j.f.WriteString(`{"kind":"lo`); err != nil {
		t.Fatal(err)
	}
	j.torn = true
	if err := j.write(Entry{Kind: KindResult, Result: &Result{Status: StatusFailed}}, true); err != nil {
		t.Fatal(err)
	}
	rec, err := load(path)
	if err != nil || !rec.started || rec.result == nil {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	const token = "ABCDEFGHIJKLMNOPQRSTUVWX23"
	userData := "{\"server_id\":\"s0123456789abcdefghijk\",\"token\":\"" + token + "\",\n\"x\":\"<&>\"}"
	var s settings
	if err := json.Unmarshal([]byte(`{"environment_id":"e0123456789abcdefghijk","servers":{"api":{"id":"s0123456789abcdefghijk"}}}`), &s); err != nil {
		t.Fatal(err)
	}
	s.UserData = map[string]string{"api": userData}
	redact := redactor(s)
	once, _ := json.Marshal(userData)
	twice, _ := json.Marshal(string(once))
	for _, text := range []string{userData, string(once), string(twice), quoted(userData, false), token, "a " + token + ".", base64.StdEncoding.EncodeToString([]byte(userData))} {
		got := redact(text)
		if strings.Contains(got, token) || strings.Contains(got, "QUJDREVGR0hJSktM") || !strings.Contains(got, hidden) {
			t.Errorf("%s\nbecame %s", text, got)
		}
	}
	const innocent = "creating s0123456789abcdefghijk of e0123456789abcdefghijk"
	if got := redact(innocent); got != innocent {
		t.Errorf("hid too much: %s", got)
	}
}

// TestSecretsOf: what Terraform is given by variables is hidden by what it is,
// not by how it looks.
func TestSecretsOf(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, value string
		want        []string
	}{
		{"AWS_SECRET_ACCESS_KEY", "/wJalrXUtnFEMI/K7MDENG", []string{"/wJalrXUtnFEMI/K7MDENG"}},
		{"SOME_KEY", file, nil},
		{"AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials", nil},
		{"GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/google.json", nil},
		{"TF_HTTP_ADDRESS", "https://berth:Hasel%zzNuss7@states.test/x", []string{"Hasel%zzNuss7"}},
		{"TF_HTTP_ADDRESS", "https://states.test:8443/x", nil},
		{"AWS_REGION", "eu-central-1", nil},
	} {
		if got := secretsOf([]string{c.name}, map[string]string{c.name: c.value}); !slices.Equal(got, c.want) {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

// TestEmergencyDump: a state that could be written nowhere is kept, and kept
// out of the journal.
func TestEmergencyDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, err := openJournal(filepath.Join(dir, "j"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	w := &worker{paths: paths{dir: dir}, journal: j, redact: func(s string) string { return s }}
	w.line([]byte(`{"@level":"info","@message":"Emergency state dump","state":{"version":4,"secret":"hunter2"}}`))
	state, err := os.ReadFile(filepath.Join(dir, errored))
	if err != nil || !strings.Contains(string(state), "hunter2") {
		t.Errorf("kept %q, %v", state, err)
	}
	said, _ := os.ReadFile(filepath.Join(dir, "j"))
	if strings.Contains(string(said), "hunter2") || !strings.Contains(string(said), "Emergency") {
		t.Errorf("journal: %s", said)
	}
}

// TestEmergencyDumpOnFullDisk: what Terraform could not write is written where
// room was kept for it, also over the beginning that Terraform left.
func TestEmergencyDumpOnFullDisk(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]string{"empty": "", "torn": `{"version":4,"sec`} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, ".berth"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, errored), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(filepath.Join(dir, "j"))
		if err != nil {
			t.Fatal(err)
		}
		defer j.close()
		w := &worker{paths: paths{dir: dir}, journal: j, redact: func(s string) string { return s }}
		if err := reserve(w.reserve()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(w.reserve()); err != nil || info.Size() != reserved {
			t.Errorf("reserved: %v, %v", info, err)
		}
		w.line([]byte(`{"@level":"info","@message":"Emergency state dump","state":{"version":4,"secret":"hunter2"}}`))
		if state, err := os.ReadFile(filepath.Join(dir, errored)); err != nil || string(state) != `{"version":4,"secret":"hunter2"}` {
			t.Errorf("%s: kept %q, %v", name, state, err)
		}
		if _, err := os.Stat(w.reserve()); err == nil {
			t.Errorf("%s: the room was not given back", name)
		}
	}
}

// TestLockGone: that a lock went while it was asked after is no failure of the
// run, whoever says it; that it is held is one.
func TestLockGone(t *testing.T) {
	t.Parallel()
	for detail, gone := range map[string]bool{
		`Error message: 2 errors occurred:\n\t* ConditionalCheckFailedException: The conditional request failed\n\t* unexpected end of JSON input`:                                           true,
		`Error message: 2 errors occurred:\n\t* ConditionalCheckFailedException: The conditional request failed\n\t* no lock info found for: \"states/e1\" within the DynamoDB table: locks`: true,
		`Error message: ConditionalCheckFailedException: The conditional request failed\nLock Info:\n  ID: 7b`:                                                                               false,
	} {
		dir := t.TempDir()
		j, err := openJournal(filepath.Join(dir, "j"))
		if err != nil {
			t.Fatal(err)
		}
		defer j.close()
		w := &worker{paths: paths{dir: dir}, journal: j, redact: func(s string) string { return s }}
		w.line([]byte(`{"@level":"error","type":"diagnostic","diagnostic":{"severity":"error","summary":"Error acquiring the state lock","detail":"` + detail + `"}}`))
		if w.raced != gone || (w.failure == "") != gone {
			t.Errorf("%s: %t, %q", detail, w.raced, w.failure)
		}
	}
}

func TestMaskPath(t *testing.T) {
	t.Parallel()
	parse := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range [][3]string{
		{`{"a":{"b":"x","c":1}}`, `[{"type":"get_attr","value":"a"},{"type":"get_attr","value":"b"}]`, `{"a":{"b":"(sensitive value)","c":1}}`},
		{`{"a":["x","y"]}`, `[{"type":"get_attr","value":"a"},{"type":"index","value":{"value":1,"type":"number"}}]`, `{"a":["x","(sensitive value)"]}`},
		{`{"a":{"value":{"b":"x"},"type":["object",{"b":"string"}]}}`, `[{"type":"get_attr","value":"a"},{"type":"get_attr","value":"b"}]`, `{"a":{"type":["object",{"b":"string"}],"value":{"b":"(sensitive value)"}}}`},
		{`{"a":["x"]}`, `[{"type":"get_attr","value":"a"},{"type":"odd"}]`, `{"a":"(sensitive value)"}`},
		{`{"b":1}`, `[{"type":"get_attr","value":"a"}]`, `{"b":1}`},
	} {
		steps, _ := parse(c[1]).([]any)
		got, err := json.Marshal(maskPath(parse(c[0]), steps))
		if err != nil || string(got) != c[2] {
			t.Errorf("%s at %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// The log of an operation is that of all its runs, and of none where the
// workspace is gone.
func TestLog(t *testing.T) {
	t.Parallel()
	p := New(Options{Workspaces: t.TempDir()})
	for run, line := range map[string]string{"o1": `{"@message":"first"}`, "o1-again": `{"@message":"second"}`, "o2": `{"@message":"other"}`} {
		f := paths{p.Dir("e1"), run}
		if err := f.make(); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(f.journal())
		if err != nil {
			t.Fatal(err)
		}
		if err := j.write(Entry{Kind: KindLog, Line: line}, true); err != nil {
			t.Fatal(err)
		}
		j.f.Close()
	}
	f := paths{p.Dir("e1"), "o3"}
	if err := errors.Join(os.WriteFile(f.journal(), nil, 0o600), os.WriteFile(f.stderr(), []byte("cannot begin\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[[2]string]string{
		{"e1", "o1"}: "{\"@message\":\"first\"}\n{\"@message\":\"second\"}\n", {"e1", "o3"}: "cannot begin\n", {"e1", "o9"}: "", {"e9", "o1"}: "",
	} {
		if got, err := p.Log(id[0], id[1]); err != nil || got != want {
			t.Errorf("%v: %q, %v", id, got, err)
		}
	}
	if _, err := p.Log("e1", "../e2"); err == nil {
		t.Error("a run outside of the workspace is read")
	}
}

// A workspace is not removed under somebody who looks at it.
func TestClearWaitsForLooks(t *testing.T) {
	t.Parallel()
	p := New(Options{Workspaces: t.TempDir()})
	dir := p.Dir("e1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	done, err := p.alone(t.Context(), "e1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Destroy(ctx, "e1", "r1", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("it does not wait: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	done()
	if err := p.Destroy(t.Context(), "e1", "r1", nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestNameless(t *testing.T) {
	t.Parallel()
	of := func(kind, name string) string {
		return `{"version":4,"resources":[{"mode":"managed","type":"` + kind + `","name":"` + name + `","instances":[{"index_key":"api","attributes":{"id":"i-1"}}]}]}`
	}
	for state, want := range map[string]bool{
		"":                             false,
		`{"version":4,"resources":[]}`: false,
		of("acme_machine", "server"):   false,
		of("acme_machine", "box"):      true,
		of("acme_firewall", "server"):  true,
	} {
		inv, err := stored4(state, settings{})
		if err != nil || inv.nameless() != want {
			t.Errorf("%s: %v, %v", state, inv.nameless(), err)
		}
	}
}

// What looks removed that were killed or failed is told by the next one, once.
func TestUntold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	note := func(run string, action Action, result *Result, servers ...string) {
		t.Helper()
		f := paths{dir, run}
		if err := errors.Join(f.make(), writeJSON(f.request(), request{Action: action})); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(f.journal())
		if err != nil {
			t.Fatal(err)
		}
		defer j.close()
		err = j.write(Entry{Kind: KindStarted}, false)
		for _, server := range servers {
			err = errors.Join(err, j.write(Entry{Kind: KindProgress, Event: &Event{Step: "apply", Text: "removing", Server: server}}, false))
		}
		if result != nil {
			err = errors.Join(err, j.write(Entry{Kind: KindResult, Result: result}, false))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	note("r1", ActionApply, &Result{Status: StatusFailed}, "s1")
	note("r2-look", ActionReconcile, nil, "s2", "s2", "")
	note("r2-look-2", ActionReconcile, &Result{Status: StatusFailed}, "s3")
	note("r2-look-3", ActionReconcile, &Result{Status: StatusSucceeded}, "s4")
	note("r2-look-4", ActionReconcile, nil, "s5")
	looks, removed, err := untold(dir, "r2-look-4")
	slices.Sort(looks)
	slices.Sort(removed)
	if err != nil || !slices.Equal(looks, []string{"r2-look", "r2-look-2"}) || !slices.Equal(removed, []string{"s2", "s3"}) {
		t.Errorf("%v, %v, %v", looks, removed, err)
	}
	if err := settle(dir, looks); err != nil {
		t.Fatal(err)
	}
	if looks, removed, err := untold(dir, "r2-look-4"); err != nil || len(looks)+len(removed) != 0 {
		t.Errorf("again: %v, %v, %v", looks, removed, err)
	}
}

// A run whose state was moved before it had its lock touches nothing.
func TestStateMovedUnderARun(t *testing.T) {
	t.Parallel()
	f := paths{t.TempDir(), "r1"}
	now := orchestrator.Backend{Type: "http", Attributes: map[string]any{"address": "https://states.example.com"}}
	if err := errors.Join(f.make(), writeJSON(f.request(), request{Action: ActionApply}), writeJSON(f.backend(), now)); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), RunOptions{Dir: f.dir, Run: "r1", Action: ActionApply}); err != nil {
		t.Fatal(err)
	}
	rec, err := load(f.journal())
	if err != nil || rec.result == nil || rec.result.Code != orchestrator.CodeState {
		t.Errorf("%+v, %v", rec.result, err)
	}
}

// A machine is watched whatever a module calls it, by what it gave as the
// cloud's ID of it; a firewall of the same number is none, nor is what else has
// the server's name.
func TestWatchedMachines(t *testing.T) {
	t.Parallel()
	of := func(kind, name, key, id string) string {
		return `{"module":"module.environment","mode":"managed","type":"` + kind + `","name":"` + name + `","instances":[{"index_key":"` + key + `","attributes":{"id":"` + id + `"}}]}`
	}
	in := func(told string, resources ...string) string {
		return `{"version":4,"outputs":{"servers":{"value":` + told + `}},"resources":[` + strings.Join(resources, ",") + `]}`
	}
	var set settings
	if err := json.Unmarshal([]byte(`{"servers":{"api":{"id":"sapi"},"web":{"id":"sweb"}}}`), &set); err != nil {
		t.Fatal(err)
	}
	const told = `{"sapi":{"address":"192.0.2.1","provider_id":"7"},"sweb":{"address":"192.0.2.2","provider_id":"8"}}`
	for name, c := range map[string]struct {
		state string
		want  []string
	}{
		"called otherwise": {in(told, of("acme_firewall", "box", "api", "7"), of("acme_machine", "box", "api", "7"), of("acme_machine", "box", "web", "8")),
			[]string{`sapi module.environment.acme_machine.box["api"]`, `sweb module.environment.acme_machine.box["web"]`}},
		"a key of the same number": {in(told, of("acme_key", "team", "", "7"), of("acme_machine", "box", "api", "7"), of("acme_machine", "pool", "", "8")),
			[]string{`sapi module.environment.acme_machine.box["api"]`, `sweb module.environment.acme_machine.pool[""]`}},
		"called server": {in(`null`, of("acme_firewall", "server", "api", "7"), of("acme_machine", "server", "api", "9")),
			[]string{`sapi module.environment.acme_machine.server["api"]`}},
		"not the only server": {in(told, of("acme_backup", "server", "api", "1"), of("acme_machine", "server", "api", "7"), of("acme_machine", "server", "web", "9")),
			[]string{`sapi module.environment.acme_machine.server["api"]`, `sweb module.environment.acme_machine.server["web"]`}},
		"not the contract": {in(`["x"]`, of("acme_machine", "server", "web", "9")), []string{`sweb module.environment.acme_machine.server["web"]`}},
	} {
		inv, err := stored4(c.state, set)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, m := range inv.watched() {
			got = append(got, m.server+" "+m.address)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: it watches %q, want %q", name, got, c.want)
		}
	}
	inv, err := stored4(in(`null`, of("acme_firewall", "server", "api", "7")), set)
	if err != nil || inv.has(found{ProviderID: "7", Resource: "acme_machine.server"}) || !inv.has(found{ProviderID: "7", Resource: "acme_firewall.server[0]"}) || inv.recorded()["7"] {
		t.Errorf("the firewall 7 is taken for the machine 7: %+v, %v", inv, err)
	}
}

// What killed processes left goes; what somebody is at work on stays, however
// long that takes.
func TestTidy(t *testing.T) {
	t.Parallel()
	p := New(Options{Workspaces: t.TempDir()})
	f := paths{dir: p.Dir("e1")}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	own := filepath.Dir(f.lock())
	plan, done, err := planFile(own)
	if err != nil {
		t.Fatal(err)
	}
	left := []string{filepath.Join(own, ".plan-1"), filepath.Join(own, "from", "moving.tfstate"), filepath.Join(own, "stray", "terraform.tfstate")}
	backup := filepath.Join(own, "moved-20261128T000000.000.tfstate")
	for _, path := range append(left, backup) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("secret"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{plan, left[0]} {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	tidies := func(want int, stays ...string) {
		t.Helper()
		// What other tests start has copies of this process's locks for a moment.
		for n, deadline := 0, time.Now().Add(20*time.Second); ; {
			more, err := p.Tidy()
			if err != nil {
				t.Fatal(err)
			}
			if n += more; n >= want {
				if n > want {
					t.Errorf("tidied %d, want %d", n, want)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("tidied %d, want %d", n, want)
			}
			runtime.Gosched()
		}
		for _, path := range append([]string{plan, backup}, left...) {
			_, err := os.Stat(path)
			if there := err == nil; there != slices.Contains(stays, path) {
				t.Errorf("%s: there %t", path, there)
			}
		}
	}
	release, err := acquire(t.Context(), f.lock(), "op1")
	if err != nil {
		t.Fatal(err)
	}
	tidies(1, plan, backup, left[1], left[2])
	release()
	tidies(2, plan, backup)
	done()
	tidies(0, backup)
}

// TestProbeNew: a program that somebody still has open for writing is tried
// again until nobody has.
func TestProbeNew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "terraform")
	executable.Write(t, path, "#!/bin/sh\necho Terraform v1.5.7\n")
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	var refused []error
	b, err := probeNew(t.Context(), path, func(err error, _ time.Duration) {
		refused = append(refused, err)
		writer.Close()
	})
	if err != nil || b.Version != "1.5.7" || len(refused) != 1 || !errors.Is(refused[0], syscall.ETXTBSY) {
		t.Errorf("%+v, %v after %v", b, err, refused)
	}
	if _, err := probeNew(t.Context(), path+"-that-is-not", func(err error, _ time.Duration) { t.Errorf("tried again after %v", err) }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a program: %v", err)
	}
}

// What OpenTofu sends beside each request, Berth's own requests send too.
func TestHeadersOfStates(t *testing.T) {
	t.Parallel()
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Team"))
	}))
	defer server.Close()
	b := orchestrator.Backend{Type: "http", Attributes: map[string]any{"address": server.URL, "lock_address": server.URL, "unlock_address": server.URL, "headers": map[string]any{"X-Team": "shop"}}}
	if l, err := lockHTTP(t.Context(), b, "e1", nil); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	if err := removeHTTP(t.Context(), b, "e1", nil); err != nil {
		t.Error(err)
	}
	if want := []string{"LOCK /e1 shop", "UNLOCK /e1 shop", "DELETE /e1 shop"}; !slices.Equal(seen, want) {
		t.Errorf("asked %q, want %q", seen, want)
	}
}
