package modules_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/modules"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/testdata/hcloudfake"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// hetznerLabels are those of the environment that hetzner makes, in Hetzner's
// alphabet.
var hetznerLabels = map[string]string{"berth-environment": "e1", "berth-owner": "mar-a-m-1", "berth-installation": "b1"}

// hetzner is one environment's workspace, rendered as Berth renders it.
type hetzner struct {
	*testing.T
	cloud *hcloudfake.Cloud
	dir   string
	env   []string
	model orchestrator.Workspace
}

func newHetzner(t *testing.T, variables map[string]any) *hetzner {
	t.Helper()
	cloud := hcloudfake.Start(t)
	w := &hetzner{T: t, cloud: cloud, dir: t.TempDir(), env: cloud.Environ(), model: orchestrator.Workspace{
		EnvironmentID: "e1",
		Target:        orchestrator.Target{Name: "hetzner", Module: "hcloud", Variables: map[string]any{}},
		Tags:          map[string]string{"berth:environment": "e1", "berth:owner": "maría <m#1>", "berth:installation": "b1"},
		Servers: []orchestrator.WorkspaceServer{
			{ID: "s1", App: "api", Port: 8080, UserData: "#cloud-config\n{token: one}\n", Variables: map[string]any{}},
			{ID: "s2", App: "web", Port: 8081, UserData: "#cloud-config\n{token: two}\n", Variables: map[string]any{"server_type": "cx33"}},
		},
	}}
	maps.Copy(w.model.Target.Variables, variables)
	return w
}

// run renders the workspace and has Terraform do something in it; log is its
// JSON log, stderr what init printed when it failed.
func (w *hetzner) run(args ...string) (log, stderr string, err error) {
	w.Helper()
	if err := render.Write(w.dir, w.model, render.Options{}); err != nil {
		w.Fatal(err)
	}
	path := os.Getenv("BERTH_TERRAFORM")
	if path == "" {
		path = "terraform"
	}
	path, err = exec.LookPath(path)
	if err != nil {
		w.Skip("There is no Terraform here.")
	}
	terraform := func(args ...string) (string, error) {
		cmd := exec.Command(path, args...)
		cmd.Dir = w.dir
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "CHECKPOINT_DISABLE=1"}, w.env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if _, err := os.Stat(filepath.Join(w.dir, ".terraform")); err != nil { // init takes a third of the time
		if out, err := terraform("init", "-input=false", "-no-color"); err != nil {
			return "", out, err
		}
	}
	log, err = terraform(append(args, "-input=false", "-json")...)
	return log, "", err
}

// must is run that goes well.
func (w *hetzner) must(args ...string) string {
	w.Helper()
	log, stderr, err := w.run(args...)
	if err != nil {
		w.Fatalf("%v: %v\n%s%s", args, err, log, stderr)
	}
	return log
}

// clean makes sure that a plan has nothing to do.
func (w *hetzner) clean(after string) {
	w.Helper()
	out := w.must("plan")
	if !strings.Contains(out, `"Plan: 0 to add, 0 to change, 0 to destroy."`) || !strings.Contains(out, `"outputs":{"servers":{"sensitive":false,"action":"noop"}}`) {
		w.Errorf("after %s there is something to do:\n%s", after, out)
	}
}

// machines are the servers, by their names.
func (w *hetzner) machines() map[string]hcloudfake.Machine {
	out := map[string]hcloudfake.Machine{}
	for _, m := range w.cloud.Machines() {
		out[m.Name] = m
	}
	return out
}

// output is what Berth reads of an apply's log.
func (w *hetzner) output(log string) map[string]orchestrator.Machine {
	w.Helper()
	var out map[string]orchestrator.Machine
	for line := range strings.Lines(log) {
		var m struct {
			Outputs map[string]struct {
				Value map[string]orchestrator.Machine `json:"value"`
			} `json:"outputs"`
		}
		if json.Unmarshal([]byte(line), &m) == nil && m.Outputs["servers"].Value != nil {
			out = m.Outputs["servers"].Value
		}
	}
	return out
}

// TestHetzner leads an environment through its life, with the real provider;
// what is there is asked of the API with Hetzner's own client.
func TestHetzner(t *testing.T) {
	t.Parallel()
	w := newHetzner(t, map[string]any{"ingress": []any{"198.51.100.0/24", "2001:db8::/32"}, "ssh_keys": []any{"ops"}})
	w.cloud.AddKey("ops", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVuaXF1ZWx5LW5vYm9keXMta2V5LWZvci10ZXN0cyE=")
	client := hcloud.NewClient(hcloud.WithToken(w.cloud.Token), hcloud.WithEndpoint(w.cloud.URL))
	ctx := t.Context()

	made := w.output(w.must("apply", "-auto-approve"))
	servers, err := client.Server.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]*hcloud.Server{}
	for _, s := range servers {
		first[s.Name] = s
		if s.Image.Name != "debian-12" || s.Location.Name != "fsn1" || s.Status != hcloud.ServerStatusRunning || len(s.PrivateNet) != 1 {
			t.Errorf("made %+v", s)
		}
		want := orchestrator.Machine{Address: s.PublicNet.IPv4.IP.String(), PrivateAddress: s.PrivateNet[0].IP.String(), ProviderID: fmt.Sprint(s.ID)}
		if made[s.Name] != want {
			t.Errorf("the output says %+v of %s, which is %+v", made[s.Name], s.Name, want)
		}
	}
	if len(first) != 2 || first["s1"].ServerType.Name != "cx23" || first["s2"].ServerType.Name != "cx33" {
		t.Fatalf("made %v", first)
	}
	if !strings.HasPrefix(made["s1"].PrivateAddress, "10.77.0.") || made["s1"].PrivateAddress == made["s2"].PrivateAddress {
		t.Errorf("addresses: %+v", made)
	}
	if m := w.machines()["s1"]; m.UserData != "#cloud-config\n{token: one}\n" || !m.Running {
		t.Errorf("a lab would boot %+v", m)
	}
	for name, port := range map[string]string{"s1": "8080", "s2": "8081"} {
		rules, ok := w.cloud.Rules(first[name].ID)
		want := []string{"icmp from 192.0.2.0/32", "tcp " + port + " from 198.51.100.0/24", "tcp " + port + " from 2001:db8::/32"}
		if !ok || !slices.Equal(rules, want) {
			t.Errorf("to %s may come %q", name, rules)
		}
	}
	if lacks := w.cloud.Unlabelled(hetznerLabels); len(lacks) > 0 {
		t.Errorf("not labelled: %q", lacks)
	}
	if mails := w.cloud.Mails(); len(mails) > 0 {
		t.Errorf("a root password was mailed for %q", mails)
	}
	// A server that somebody has stopped is passed over by what follows: it
	// neither is started nor changes anything else.
	w.cloud.Power(first["s1"].ID, false)
	w.clean("the first apply")

	// What the catalog says of image, location and keys now is for others; no
	// range may come in any more; one server more, and another size.
	maps.Copy(w.model.Target.Variables, map[string]any{"image": "debian-13", "location": "hel1", "ip_range": "10.9.0.0/16", "ssh_keys": []any{}, "ingress": []any{}})
	w.model.Servers[1].Variables["server_type"] = "ccx13"
	w.model.Servers = append(w.model.Servers, orchestrator.WorkspaceServer{ID: "s3", App: "jobs", UserData: "#cloud-config\n{token: three}\n"})
	w.must("apply", "-auto-approve")
	now := w.machines()
	if len(now) != 3 || now["s1"].ID != first["s1"].ID || now["s2"].ID != first["s2"].ID {
		t.Fatalf("after adding one: %+v", now)
	}
	for name, m := range now {
		s, _, err := client.Server.GetByID(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s.Image.Name != "debian-12" || s.Location.Name != "fsn1" || m.Running != (name != "s1") || name == "s2" && s.ServerType.Name != "ccx13" || s.PrimaryDiskSize > 80 {
			t.Errorf("after adding one: %+v", s)
		}
		if rules, ok := w.cloud.Rules(m.ID); !ok || !slices.Equal(rules, []string{"icmp from 192.0.2.0/32"}) {
			t.Errorf("to %s may come %q", name, rules)
		}
	}
	w.clean("adding a server, and another size")

	// A new token replaces one server, though it stands still; its address stays.
	w.model.Servers[0].UserData = "#cloud-config\n{token: four}\n"
	w.must("apply", "-auto-approve")
	replaced := w.machines()
	if len(replaced) != 3 || replaced["s1"].ID == now["s1"].ID || !replaced["s1"].Running || replaced["s1"].PublicIP != now["s1"].PublicIP || !strings.Contains(replaced["s1"].UserData, "four") ||
		!reflect.DeepEqual(replaced["s2"], now["s2"]) {
		t.Errorf("after replacing one: %+v\nbefore: %+v", replaced, now)
	}
	w.clean("replacing a server")

	// Another one removes its server alone, with all that goes with it.
	w.model.Servers = w.model.Servers[:2]
	w.must("apply", "-auto-approve")
	if left := strings.Join(w.cloud.Left(), " "); strings.Contains(left, "s3") {
		t.Errorf("left of s3: %s", left)
	}

	// An image that is no more is not in the way.
	w.cloud.RemoveImage(114690387)
	w.must("destroy", "-auto-approve")
	if left := w.cloud.Left(); !slices.Equal(left, []string{"ssh_key ops"}) {
		t.Errorf("left: %q", left)
	}
}

// TestHetznerCatalog: the catalog of docs/hcloud.md is good, the table of its
// variables is the module's, and with its values an environment can be made.
func TestHetznerCatalog(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/hcloud.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, rest, _ := strings.Cut(page, "```hcl\n")
	example, _, _ := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "berth.hcl")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := catalog.Verify(t.Context(), path, catalog.Known{Modules: []string{"hcloud", "local"}, ModuleFiles: modules.FS()})
	if err != nil {
		t.Fatal(err)
	}
	declared, err := fs.ReadFile(modules.FS(), "hcloud/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(page, "| variable | |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^variable "(\w+)"`).FindAllStringSubmatch(string(declared), -1) {
		if !slices.Contains([]string{"environment_id", "servers", "tags"}, m[1]) && !strings.Contains(table, "`"+m[1]+"`") {
			t.Errorf("docs/hcloud.md says nothing of the variable %s", m[1])
		}
	}

	w := newHetzner(t, c.Targets[0].Variables)
	w.cloud.AddKey("berth", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVuaXF1ZWx5LW5vYm9keXMta2V5LWZvci10ZXN0cyE=")
	size, ok := c.Size("large")
	if !ok {
		t.Fatal("there is no size large")
	}
	w.model.Servers[1].Variables = size.Variables[c.Targets[0].Name]
	w.must("apply", "-auto-approve")
	if mails := w.cloud.Mails(); len(mails) > 0 {
		t.Errorf("passwords were mailed for %q", mails)
	}
	// The token must do what the page says, and nothing else.
	for _, call := range w.cloud.Calls() {
		kind := strings.Split(call.Path, "/")[1]
		words := map[string]string{"server_types": "server types and images", "images": "server types and images", "ssh_keys": "read SSH keys", "primary_ips": "primary IPs"}
		word := words[kind]
		if word == "" {
			word = kind
		}
		if !strings.Contains(page, word+" |") {
			t.Errorf("%s %s: docs/hcloud.md does not say why", call.Method, call.Path)
		}
	}
}

// TestHetznerAddresses: servers without public addresses, of a snapshot that is
// found by its labels, and with an IPv6 address alone.
func TestHetznerAddresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		variables map[string]any
		address   string
	}{
		"none": {map[string]any{"ipv4": false, "image_selector": "berth=base"}, "10.77.0."},
		"ipv6": {map[string]any{"ipv4": false, "ipv6": true, "ingress": []any{"2001:db8::/32"}}, "2001:db8:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHetzner(t, c.variables)
			w.cloud.AddSnapshot("another", "x86", map[string]string{"berth": "other"})
			snapshot := w.cloud.AddSnapshot("ours", "x86", map[string]string{"berth": "base"})
			for id, m := range w.output(w.must("apply", "-auto-approve")) {
				if !strings.HasPrefix(m.Address, c.address) || !strings.HasPrefix(m.PrivateAddress, "10.77.0.") || !w.machines()[id].Running {
					t.Errorf("%s is at %+v: %+v", id, m, w.machines()[id])
				}
			}
			w.clean("the first apply")
			w.cloud.RemoveImage(snapshot)
			w.clean("the snapshot went")
			w.must("destroy", "-auto-approve")
			if left := w.cloud.Left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
