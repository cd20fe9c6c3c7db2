package modules_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
	"github.com/berth-dev/berth/testdata/hcloudfake"
)

var recordHetzner = flag.Bool("record-hetzner", false, "write what fails at Hetzner to testdata/terraform")

// hetznerFailure is something that goes wrong, and what Berth says of it.
type hetznerFailure struct {
	name      string
	variables map[string]any
	change    func(w *hetzner)
	args      []string // of Terraform; empty: apply
	code      string
	who       string
	mentions  []string
	servers   int  // that are there afterwards
	keep      bool // among the recorded failures
}

// TestHetznerFailures has everything go wrong that can, one after the other in
// one environment, which comes through all of it.
func TestHetznerFailures(t *testing.T) {
	t.Parallel()
	w := newHetzner(t, nil)
	good := slices.Clone(w.env)
	variables := w.model.Target.Variables
	w.model.Servers[1].Variables = nil // no size of its own
	servers := w.model.Servers
	token := func(token string) func(*hetzner) {
		return func(w *hetzner) { w.env = append(w.env, "HCLOUD_TOKEN="+token) }
	}
	inject := func(f hcloudfake.Fault) func(*hetzner) { return func(w *hetzner) { w.cloud.Inject(f) } }
	atCreate := func(e *hcloudfake.Error) func(*hetzner) {
		return inject(hcloudfake.Fault{Method: "POST", Path: "/servers", Error: e})
	}
	for _, f := range []hetznerFailure{
		{name: "token-unknown", change: token(strings.Repeat("x", 64)), code: "credentials_invalid", who: "ops"},
		{name: "token-short", change: token("short"), code: "credentials_invalid", who: "ops", keep: true},
		{name: "token-none", change: func(w *hetzner) {
			w.env = slices.DeleteFunc(slices.Clone(w.env), func(v string) bool { return strings.HasPrefix(v, "HCLOUD_TOKEN") })
		}, code: "credentials_invalid", who: "ops", keep: true},
		{name: "token-reads", change: token(w.cloud.ReadOnly), code: "permission_missing", who: "ops", mentions: []string{"read"}},
		{name: "unreachable", change: func(w *hetzner) { w.env = append(w.env, "HCLOUD_ENDPOINT=http://127.0.0.1:9/v1") }, code: "cloud_unreachable", who: "retry", mentions: []string{"refused"}},
		{name: "range-public", variables: map[string]any{"ip_range": "8.8.8.0/24"}, code: "module_invalid", who: "ops", keep: true},
		{name: "location-unknown", variables: map[string]any{"location": "moon"}, code: "network_missing", who: "ops", mentions: []string{"location"}},
		{name: "ingress-malformed", variables: map[string]any{"ingress": []any{"everywhere"}}, code: "variable_missing", who: "ops", keep: true, mentions: []string{"ingress"}},
		{name: "snapshot-none", variables: map[string]any{"image_selector": "berth=base"}, code: "image_not_found", who: "ops", keep: true},
		{name: "user-data-long", change: func(w *hetzner) {
			w.model.Servers = slices.Clone(servers)
			w.model.Servers[0].UserData = "#cloud-config\n# " + strings.Repeat("the-secret ", 3<<10)
		}, code: "variable_missing", who: "ops", keep: true, mentions: []string{"user-data"}},
		{name: "image-unknown", variables: map[string]any{"image": "plan9"}, code: "image_not_found", who: "ops", mentions: []string{"plan9"}},
		{name: "type-unknown", variables: map[string]any{"server_type": "cx1"}, code: "size_unknown", who: "ops", mentions: []string{"cx1"}},
		{name: "type-retired", variables: map[string]any{"server_type": "cx22"}, code: "size_unknown", who: "ops", keep: true, mentions: []string{"cx22"}},
		{name: "type-elsewhere", variables: map[string]any{"server_type": "cpx11"}, code: "size_unknown", who: "ops", mentions: []string{"location"}},
		{name: "key-missing", variables: map[string]any{"ssh_keys": []any{"ops"}}, code: "cloud_resource_missing", who: "ops", mentions: []string{"SSH key"}},
		{name: "sold-out", change: func(w *hetzner) { w.cloud.SellOut("", "fsn1") }, code: "capacity", who: "retry"},
		{name: "forbidden", change: atCreate(hcloudfake.Forbidden), code: "permission_missing", who: "ops"},
		{name: "gateway", change: inject(hcloudfake.Fault{Method: "POST", Path: "/servers", Status: 503}), code: "cloud_unreachable", who: "retry"},
		{name: "connection-lost", change: inject(hcloudfake.Fault{Method: "POST", Path: "/servers", Drop: true}), code: "cloud_unreachable", who: "retry"},
		{name: "address-limit", change: func(w *hetzner) { w.cloud.SetLimit("primary_ip", 1) }, code: "quota_exceeded", who: "ops", mentions: []string{"primary ip limit"}},
		{name: "limit-midway", change: func(w *hetzner) { w.cloud.SetLimit("primary_ip", 20); w.cloud.SetLimit("server", 1) }, code: "quota_exceeded", who: "ops", mentions: []string{"server limit"}, servers: 1, keep: true},
		{name: "action-failed", change: func(w *hetzner) {
			w.cloud.SetLimit("server", 10)
			w.cloud.Inject(hcloudfake.Fault{Method: "POST", Path: "/servers", Action: &hcloudfake.Error{Code: "action_failed", Message: "Action failed"}})
		}, code: "unknown", who: "retry", servers: 2},
		{name: "destroy-locked", change: inject(hcloudfake.Fault{Method: "DELETE", Path: "/servers/*", Error: hcloudfake.Locked}), args: []string{"destroy", "-auto-approve"}, code: "unknown", who: "retry", mentions: []string{"busy"}, servers: 2},
		{name: "destroy-protected", change: inject(hcloudfake.Fault{Method: "DELETE", Path: "/servers/*", Error: &hcloudfake.Error{Status: 423, Code: "protected", Message: "server deletion is protected"}}),
			args: []string{"destroy", "-auto-approve"}, code: "delete_protected", who: "ops", mentions: []string{"protected"}, servers: 2, keep: true},
	} {
		w.env, w.model.Servers, w.model.Target.Variables = slices.Clone(good), servers, map[string]any{}
		for k, v := range variables {
			w.model.Target.Variables[k] = v
		}
		for k, v := range f.variables {
			w.model.Target.Variables[k] = v
		}
		if f.change != nil {
			f.change(w)
		}
		args := f.args
		if args == nil {
			args = []string{"apply", "-auto-approve"}
		}
		log, stderr, err := w.run(args...)
		w.cloud.Heal()
		if err == nil {
			t.Errorf("%s: it went well", f.name)
			continue
		}
		f.check(t, w, log, stderr)
		if n := len(w.machines()); n != f.servers {
			t.Errorf("%s: %d servers afterwards, want %d", f.name, n, f.servers)
		}
	}
	w.env, w.model.Target.Variables = good, variables
	w.must("apply", "-auto-approve")
	if n := len(w.machines()); n != 2 {
		t.Errorf("%d servers after all that", n)
	}
	w.clean("all that")
	w.must("destroy", "-auto-approve")

	// A network that is not there leaves servers in none; they go as well.
	w.model.Target.Variables = map[string]any{"network": 9174}
	log, stderr, err := w.run("apply", "-auto-approve")
	if err == nil {
		t.Error("there was a network that is not there")
	}
	hetznerFailure{name: "network-missing", code: "network_missing", who: "ops", mentions: []string{"9174"}}.check(t, w, log, stderr)
	w.must("destroy", "-auto-approve")
	if left := w.cloud.Left(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

var ofTerraform = regexp.MustCompile(`(?i)\b(terraform|provider|plan|apply|state|module|salt|minion|pillar|highstate)\b`)

func (f hetznerFailure) check(t *testing.T, w *hetzner, log, stderr string) {
	t.Helper()
	d := diagnose.Terraform([]byte(log), []byte(stderr))
	if len(d.Causes) == 0 {
		t.Errorf("%s: no cause\n%s", f.name, log)
		return
	}
	c := d.Causes[0]
	said := c.Sentence + " " + c.Next
	for _, c := range d.Causes { // one, or one for each server
		if c.Code != f.code || string(c.Who) != f.who {
			t.Errorf("%s: %s for %s, want %s for %s: %s %s", f.name, c.Code, c.Who, f.code, f.who, c.Sentence, c.Next)
		}
	}
	for _, m := range f.mentions {
		if !strings.Contains(said, m) {
			t.Errorf("%s: %q is not in: %s", f.name, m, said)
		}
	}
	if word := ofTerraform.FindString(c.Sentence); word != "" {
		t.Errorf("%s: %q in: %s", f.name, word, c.Sentence)
	}
	for _, secret := range []string{w.cloud.Token, "token: one", "the-secret"} {
		if strings.Contains(fmt.Sprintf("%+v", d), secret) {
			t.Errorf("%s: it tells the secret %q", f.name, secret)
		}
	}
	if *recordHetzner && f.keep {
		f.record(t, w, log, stderr)
	}
}

// record keeps the log among the recorded failures, which package diagnose is
// tested with.
func (f hetznerFailure) record(t *testing.T, w *hetzner, log, stderr string) {
	t.Helper()
	dir := filepath.Join("..", "testdata", "terraform", "hcloud-"+f.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cause := diagnosetest.TrueCause{Code: f.code, Who: f.who}
	for _, m := range f.mentions {
		cause.MustMention = append(cause.MustMention, m)
	}
	meta, err := json.MarshalIndent(map[string]any{"salt": "terraform", "exit": 1, "outcome": "failed", "causes": []diagnosetest.TrueCause{cause},
		"note": "modules/hcloud with the real provider; the cloud's answers are testdata/hcloudfake's."}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(w.dir, "/srv/berth/env", w.cloud.URL, "http://127.0.0.1:35349/v1")
	for name, text := range map[string]string{"result.json": plain.Replace(log), "stderr.txt": plain.Replace(stderr), "meta.json": string(meta) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
