package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/awsfake"
	"github.com/berth-dev/berth/testdata/hcloudfake"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// cloud is a cloud of the test: what it has, by ID. It is told of by the
// program that the module of testdata/cloud calls, and asked by Terraform.
type cloud struct {
	*httptest.Server
	mu     sync.Mutex
	things map[string]thing
	// refuse has a create of this server refused, or a delete of anything
	// ("delete"); hold keeps a create's answer back until it is closed.
	refuse string
	hold   chan struct{}
	made   chan string
}

type thing struct {
	Environment, Server, Resource string
	Stopped                       bool
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{things: map[string]thing{}, made: make(chan string, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{id}", func(w http.ResponseWriter, r *http.Request) {
		v := thing{Environment: r.FormValue("environment"), Server: r.FormValue("server"), Resource: r.FormValue("resource")}
		c.mu.Lock()
		hold, refused := c.hold, c.refuse != "" && c.refuse == v.Server
		if !refused {
			c.things[r.PathValue("id")] = v
		}
		c.mu.Unlock()
		if refused {
			http.Error(w, "InsufficientInstanceCapacity: there is no room", http.StatusServiceUnavailable)
			return
		}
		c.made <- v.Server
		if hold != nil && v.Server != "" {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	})
	mux.HandleFunc("DELETE /{id}", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refuse == "delete" {
			http.Error(w, "DependencyViolation: it is in use", http.StatusConflict)
			return
		}
		delete(c.things, r.PathValue("id"))
	})
	mux.HandleFunc("GET /found", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		found := []map[string]any{}
		for id, v := range c.things {
			if v.Environment == r.FormValue("environment") {
				found = append(found, map[string]any{"provider_id": id, "server": v.Server, "resource": v.Resource, "stopped": v.Stopped})
			}
		}
		object := []any{"list", []any{"object", map[string]any{"provider_id": "string", "server": "string", "resource": "string", "stopped": "bool"}}}
		_ = json.NewEncoder(w).Encode(map[string]any{"version": 4, "terraform_version": "1.5.7", "serial": 1, "lineage": "x", "resources": []any{},
			"outputs": map[string]any{"found": map[string]any{"value": found, "type": object}}})
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) servers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []string{}
	for _, v := range c.things {
		if v.Server != "" {
			out = append(out, v.Server)
		}
	}
	slices.Sort(out)
	return out
}

func (c *cloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// only gives the ID of what was made for a server.
func (c *cloud) only(t *testing.T, server string) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, v := range c.things {
		if v.Server == server {
			return id
		}
	}
	t.Fatalf("there is no %s in %v", server, c.things)
	return ""
}

// callCloud is what the module calls: create URL ID ENVIRONMENT SERVER
// RESOURCE, or delete URL ID.
func callCloud(args []string) int {
	method, values := http.MethodDelete, url.Values{}
	if args[0] == "create" {
		method = http.MethodPost
		values = url.Values{"environment": {args[3]}, "server": {args[4]}, "resource": {args[5]}}
	}
	req, err := http.NewRequest(method, args[1]+"/"+args[2]+"?"+values.Encode(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text := make([]byte, 200)
		n, _ := res.Body.Read(text)
		fmt.Fprintln(os.Stderr, string(text[:n]))
		return 1
	}
	return 0
}

// logOf is what Terraform said of a failure.
func logOf(err error) string {
	var p *orchestrator.ProvisionError
	if errors.As(err, &p) {
		return p.Log
	}
	return ""
}

// inCloud is a workspace whose servers are in c; without the folder look its
// module cannot list what there is.
func (h *house) inCloud(c *cloud, look bool, apps ...string) orchestrator.Workspace {
	h.Helper()
	h.cloud = c.URL
	if err := os.CopyFS(filepath.Join(h.data, "cloud"), os.DirFS("testdata/cloud")); err != nil && !errors.Is(err, os.ErrExist) {
		h.Fatal(err)
	}
	if !look {
		if err := os.RemoveAll(filepath.Join(h.data, "cloud", "look")); err != nil {
			h.Fatal(err)
		}
	}
	w := workspace(apps...)
	w.Target = orchestrator.Target{Name: "cloud", Module: "./cloud", Variables: map[string]any{"cloud": c.URL}, Environment: []string{"CLOUD_PROGRAM", "CLOUD_ADDRESS"}}
	return w
}

// loses runs an apply that is killed while it makes a server that is there.
func (h *house) loses(c *cloud, w orchestrator.Workspace, run string) {
	h.Helper()
	hold := make(chan struct{})
	for len(c.made) > 0 {
		<-c.made // of earlier runs
	}
	c.set(func() { c.hold = hold })
	first := h.apply(h.Context(), h.p, w, run)
	for made := ""; made == ""; {
		select {
		case made = <-c.made:
		case got := <-first:
			h.Fatalf("it ended: %+v\n%s", got, logOf(got.err))
		case <-time.After(time.Minute):
			h.Fatalf("nothing was made:\n%s", h.heard())
		}
	}
	if _, err := h.p.Look(h.Context(), w.EnvironmentID); !errors.Is(err, orchestrator.ErrBusy) {
		h.Errorf("a look at a run's work gives %v", err)
	}
	if err := syscall.Kill(h.started(run), syscall.SIGKILL); err != nil {
		h.Fatal(err)
	}
	var p *orchestrator.ProvisionError
	if got := <-first; !errors.As(got.err, &p) || !p.Lost {
		h.Fatalf("got %+v", got)
	}
	close(hold)
	c.set(func() { c.hold = nil })
}

// What a lost run has made is found by its tag, removed, and made once; a
// destroy removes what nobody knows of.
func TestLostRunIsReconciled(t *testing.T) {
	h := newHouse(t)
	c := newCloud(t)
	h.p.Rest, h.p.DeepEvery = time.Millisecond, 2
	w := h.inCloud(c, true, "api")
	h.loses(c, w, "r1")
	if got := c.servers(); !slices.Equal(got, []string{"sapi"}) {
		t.Fatalf("after the lost run there is %v", got)
	}
	orphan := c.only(t, "sapi")
	// A look that failed is no answer to the next one of the same operation.
	c.set(func() { c.refuse = "delete" })
	var p *orchestrator.ProvisionError
	if _, err := h.p.Reconcile(t.Context(), "e1", "r2", h.progress); !errors.As(err, &p) || !p.Known {
		t.Fatalf("what is refused: %v", err)
	}
	c.set(func() { c.refuse = "" })
	removed, err := h.p.Reconcile(t.Context(), "e1", "r2", h.progress)
	if err != nil || !slices.Equal(removed, []string{"sapi"}) || len(c.servers()) != 0 {
		t.Fatalf("removed %v, %v; left %v\n%s", removed, err, c.servers(), h.heard())
	}
	if !strings.Contains(h.heard(), "an interrupted attempt left the server api ("+orphan+"): removing it") {
		t.Errorf("told:\n%s", h.heard())
	}
	// Asked again, as after a restart, it answers the same and does nothing.
	if again, err := h.restart().Reconcile(t.Context(), "e1", "r2", h.progress); err != nil || !slices.Equal(again, removed) {
		t.Errorf("again: %v, %v", again, err)
	}
	m, err := h.p.Apply(t.Context(), w, "r2", h.progress)
	if err != nil || len(m) != 1 || len(c.servers()) != 1 {
		t.Fatalf("%v, %v, %v", m, err, c.servers())
	}
	// What has begun is not looked after once more.
	if none, err := h.p.Reconcile(t.Context(), "e1", "r2", h.progress); err != nil || len(none) != 0 {
		t.Errorf("afterwards: %v, %v", none, err)
	}
	h.sees(c, m["sapi"].ProviderID)

	// Lost once more, and destroyed: both go.
	w.Servers = append(w.Servers, workspace("web").Servers[0])
	w.Servers[1].ID, w.Servers[1].App = "sweb", "web"
	h.loses(c, w, "r3")
	h.keepsSecrets()
	if err := h.p.Destroy(t.Context(), "e1", "r4", h.progress); err != nil {
		t.Fatal(err)
	}
	if c.set(func() {}); len(c.things) != 0 {
		t.Errorf("destroyed, and there is %v", c.things)
	}
	if _, err := os.Stat(h.p.Dir("e1")); err == nil {
		t.Error("the workspace is still there")
	}
}

// keepsSecrets looks for tokens in all that Berth keeps of runs and looks, and
// for a plan that a killed process left.
func (h *house) keepsSecrets() {
	h.Helper()
	own := filepath.Join(h.p.Dir("e1"), ".berth")
	old, young := filepath.Join(own, ".plan-1"), filepath.Join(own, "plan-2")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			h.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		h.Fatal(err)
	}
	if n, err := h.p.Tidy(); err != nil || n != 1 {
		h.Errorf("tidied %d, %v", n, err)
	}
	if err := os.Remove(young); err != nil {
		h.Error(err)
	}
	err := filepath.WalkDir(own, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), token) {
			h.Errorf("the token is in %s", path)
		}
		return err
	})
	if err != nil {
		h.Error(err)
	}
}

// sees looks at an environment of api, while its machine is well, stopped and
// gone, and beside a stranger.
func (h *house) sees(c *cloud, id string) {
	h.Helper()
	look := h.look
	if s := look(); !s.Listed || len(s.Gone)+len(s.Stopped)+len(s.Stray)+len(s.Changed) != 0 || !s.Recorded[id] {
		h.Errorf("all is well, and it sees %+v", s)
	}
	was := c.things[id]
	c.set(func() {
		v := was
		v.Stopped = true
		c.things[id] = v
	})
	if s := look(); !slices.Equal(s.Stopped, []string{"sapi"}) || len(s.Gone) != 0 {
		h.Errorf("stopped: %+v", s)
	}
	c.set(func() {
		delete(c.things, id)
		c.things["x-1"] = thing{Environment: "e1", Server: "sapi", Resource: "terraform_data.server"}
	})
	if s := look(); !slices.Equal(s.Gone, []string{"sapi"}) || len(s.Stray) != 1 || s.Stray[0].String() != "the server api (x-1)" {
		h.Errorf("gone: %+v", s)
	}
	c.set(func() {
		delete(c.things, "x-1")
		c.things[id] = was
	})
}

// A module that cannot list: what a lost run had begun is told to ops, nothing
// is repeated, until they say that they have looked.
func TestLostRunThatCannotBeReconciled(t *testing.T) {
	h := newHouse(t)
	c := newCloud(t)
	h.p.Rest, h.p.DeepEvery = time.Millisecond, 2
	w := h.inCloud(c, false, "api")
	h.loses(c, w, "r1")
	unknown := func(err error) {
		t.Helper()
		var p *orchestrator.ProvisionError
		if !errors.As(err, &p) || !slices.Equal(p.Unknown, []string{"api"}) {
			t.Errorf("got %v, %+v", err, p)
		}
	}
	_, err := h.p.Reconcile(t.Context(), "e1", "r2", h.progress)
	unknown(err)
	// What is known goes; that the rest is gone is not said.
	unknown(h.p.Destroy(t.Context(), "e1", "r3", h.progress))
	unknown(h.p.Destroy(t.Context(), "e1", "r4", h.progress))
	if len(c.servers()) != 1 {
		t.Errorf("there is %v", c.servers())
	}
	if n, err := h.p.Looked(h.p.Dir("e1")); err != nil || n != 1 {
		t.Errorf("settled %d, %v", n, err)
	}
	if removed, err := h.p.Reconcile(t.Context(), "e1", "r5", h.progress); err != nil || len(removed) != 0 {
		t.Errorf("after that: %v, %v", removed, err)
	}
	// Nor is it said of what a run has made that could save nothing of it.
	dir := h.p.Dir("e1")
	if err := os.WriteFile(filepath.Join(dir, "errored.tfstate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var p *orchestrator.ProvisionError
	if err := h.p.Destroy(t.Context(), "e1", "r6", h.progress); !errors.As(err, &p) || !slices.Equal(p.Unknown, []string{"something"}) {
		t.Errorf("got %v, %+v", err, p)
	}
	if n, err := h.p.Looked(dir); err != nil || n != 1 {
		t.Errorf("settled %d, %v", n, err)
	}
	if err := h.p.Destroy(t.Context(), "e1", "r7", h.progress); err != nil {
		t.Error(err)
	}
}

// A destroy that emptied the state and failed at what the state does not know
// is not done: the next one asks the cloud again.
func TestDestroyOfAnEmptyState(t *testing.T) {
	h := newHouse(t)
	c := newCloud(t)
	if _, err := h.p.Apply(t.Context(), h.inCloud(c, true, "api"), "r1", h.progress); err != nil {
		t.Fatal(err)
	}
	c.set(func() { c.refuse = "delete" })
	if err := h.p.Destroy(t.Context(), "e1", "r2", h.progress); err == nil {
		t.Fatal("what is refused is gone")
	}
	c.set(func() { c.refuse = "" })
	state := `{"version": 4, "terraform_version": "1.5.7", "serial": 99, "lineage": "x", "resources": [], "outputs": {}}`
	if err := os.WriteFile(filepath.Join(h.p.Dir("e1"), "terraform.tfstate"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.p.Destroy(t.Context(), "e1", "r3", h.progress); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.things) != 0 {
		t.Errorf("it is said to be gone, and there is %v", c.things)
	}
}

// What a refused create leaves is named, kept, and goes with a destroy; one
// that is refused names what is left.
func TestHalfMade(t *testing.T) {
	h := newHouse(t)
	c := newCloud(t)
	w := h.inCloud(c, true, "api", "web")
	c.set(func() { c.refuse = "sweb" })
	_, err := h.p.Apply(t.Context(), w, "r1", h.progress)
	var p *orchestrator.ProvisionError
	if !errors.As(err, &p) || !p.Known || !slices.Equal(p.Made, []string{"sapi"}) || !strings.Contains(p.Log, "InsufficientInstanceCapacity") {
		t.Fatalf("%v %+v", err, p)
	}
	c.set(func() { c.refuse = "" })
	before := c.only(t, "sapi")
	if m, err := h.p.Apply(t.Context(), w, "r2", h.progress); err != nil || m["sapi"].ProviderID != before || !slices.Equal(c.servers(), []string{"sapi", "sweb"}) {
		t.Errorf("%v, %v, %v", m, err, c.servers())
	}
	c.set(func() { c.refuse = "delete" })
	err = h.p.Destroy(t.Context(), "e1", "r3", h.progress)
	if !errors.As(err, &p) || !p.Known {
		t.Fatalf("%v %+v", err, p)
	}
	var left []string
	for _, thing := range p.Left {
		left = append(left, thing.String())
	}
	if slices.Sort(left); !slices.Equal(left, []string{"the server api (" + before + ")", "the server web (" + c.only(t, "sweb") + ")"}) {
		t.Errorf("left: %v", left)
	}
	c.set(func() { c.refuse = "" })
	if err := h.p.Destroy(t.Context(), "e1", "r4", h.progress); err != nil || len(c.things) != 0 {
		t.Errorf("%v, %v", err, c.things)
	}
}

// loseState makes a workspace look as it does when a run was killed that had
// made everything and written down nothing.
func (h *house) loseState(run string) {
	h.Helper()
	dir := h.p.Dir("e1")
	journal := filepath.Join(dir, ".berth", "runs", run+".jsonl")
	data, err := os.ReadFile(journal)
	if err != nil {
		h.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, `"kind":"result"`) {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(journal, []byte(strings.Join(kept, "")), 0o600); err != nil {
		h.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "terraform.tfstate")); err != nil {
		h.Fatal(err)
	}
}

// inRealCloud is a workspace of a module that comes with Berth.
func (h *house) inRealCloud(module string, variables map[string]any, environ []string) orchestrator.Workspace {
	w := workspace("api", "web")
	h.env = map[string]string{}
	w.Target = orchestrator.Target{Name: module, Module: module, Variables: variables}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		h.env[name] = value
		w.Target.Environment = append(w.Target.Environment, name)
	}
	w.Tags = map[string]string{orchestrator.TagEnvironment: "e1", orchestrator.TagOwner: "maria", orchestrator.TagInstallation: "b1"}
	for i := range w.Servers {
		w.Servers[i].Variables = map[string]any{}
	}
	h.p.Rest, h.p.DeepEvery = time.Millisecond, 2
	return w
}

// look looks at e1.
func (h *house) look() orchestrator.Sight {
	h.Helper()
	s, err := h.p.Look(h.Context(), "e1")
	if err != nil {
		h.Fatalf("%v\n%s", err, logOf(err))
	}
	return s
}

// saw compares what a look has shown, all of it but what is recorded.
func (h *house) saw(when string, s orchestrator.Sight, want orchestrator.Sight) {
	h.Helper()
	s.Recorded = nil
	if !reflect.DeepEqual(s, want) {
		h.Errorf("%s, and it sees %+v", when, s)
	}
}

// reconciles has everything of a killed run found and removed, with the real
// provider.
func (h *house) reconciles(api string, want []string, left func() []string) {
	h.Helper()
	removed, err := h.p.Reconcile(h.Context(), "e1", "r2", h.progress)
	if err != nil {
		h.Fatalf("%v\n%s", err, logOf(err))
	}
	if slices.Sort(removed); !slices.Equal(removed, want) || !strings.Contains(h.heard(), "left the server api ("+api+")") {
		h.Errorf("removed %v\n%s", removed, h.heard())
	}
	if all := left(); len(all) != 0 {
		h.Errorf("there is %v", all)
	}
}

// made applies w as r1 and gives the cloud's IDs of its machines, by server.
func (h *house) made(w orchestrator.Workspace) map[string]string {
	h.Helper()
	all, err := h.p.Apply(h.Context(), w, "r1", h.progress)
	if err != nil {
		h.Fatalf("%v\n%s", err, logOf(err))
	}
	out := map[string]string{}
	for server, m := range all {
		out[server] = m.ProviderID
	}
	return out
}

// Machines that vanish or stand still are seen, with the real provider: of a
// team's own module without the folder look by a plan, and with it by a list,
// though a firewall at Hetzner has the number of a machine. Nothing else that
// was changed there is taken for one, and a look changes nothing.
func TestHetznerIsReconciled(t *testing.T) {
	cloud := hcloudfake.Start(t)
	h := newHouse(t)
	if err := os.CopyFS(filepath.Join(h.data, "ours"), os.DirFS("../../modules/hcloud")); err != nil {
		t.Fatal(err)
	}
	look := filepath.Join(h.data, "look")
	if err := os.Rename(filepath.Join(h.data, "ours", "look"), look); err != nil {
		t.Fatal(err)
	}
	id := h.made(h.inRealCloud("./ours", map[string]any{}, cloud.Environ()))
	number := func(server string) int64 {
		n, err := strconv.ParseInt(id[server], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	client := hcloud.NewClient(hcloud.WithToken(cloud.Token), hcloud.WithEndpoint(cloud.URL))
	firewalls, err := client.Firewall.All(t.Context())
	if err != nil || !slices.ContainsFunc(firewalls, func(f *hcloud.Firewall) bool { return f.ID == number("sweb") }) {
		t.Fatalf("no firewall has the number of web's machine: %+v, %v", firewalls, err)
	}
	state := filepath.Join(h.p.Dir("e1"), "terraform.tfstate")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	calls := len(cloud.Calls())

	h.saw("planned, and all is well", h.look(), orchestrator.Sight{})
	cloud.Power(number("sweb"), false)
	for _, f := range firewalls {
		if _, _, err := client.Firewall.Update(t.Context(), f, hcloud.FirewallUpdateOpts{Name: f.Name + "-x"}); err != nil {
			t.Fatal(err)
		}
	}
	s := h.look()
	slices.Sort(s.Changed)
	h.saw("planned, web stands still and firewalls have other names", s, orchestrator.Sight{Stopped: []string{"sweb"},
		Changed: []string{`module.environment.hcloud_firewall.server["api"]`, `module.environment.hcloud_firewall.server["web"]`}})
	for _, f := range firewalls {
		if _, _, err := client.Firewall.Update(t.Context(), f, hcloud.FirewallUpdateOpts{Name: f.Name}); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := filepath.Glob(filepath.Join(h.p.Dir("e1"), "module-*"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("%v, %v", modules, err)
	}
	folder := filepath.Join(modules[0], "look")
	if err := os.Rename(look, folder); err != nil {
		t.Fatal(err)
	}
	h.saw("listed, and web stands still", h.look(), orchestrator.Sight{Listed: true, Stopped: []string{"sweb"}})
	cloud.Terminate(number("sweb"))
	h.saw("listed, and web is gone", h.look(), orchestrator.Sight{Listed: true, Gone: []string{"sweb"}})
	if err := os.Rename(folder, look); err != nil {
		t.Fatal(err)
	}
	h.saw("planned, and web is gone", h.look(), orchestrator.Sight{Gone: []string{"sweb"}})

	if after, err := os.ReadFile(state); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a look has changed what is recorded: %v\n%s", err, after)
	}
	for _, call := range cloud.Calls()[calls:] {
		if call.Method != "GET" && !strings.HasPrefix(call.Path, "/firewalls/") {
			t.Errorf("a look has asked for %s %s", call.Method, call.Path)
		}
	}
	if left, err := filepath.Glob(filepath.Join(h.p.Dir("e1"), ".berth", ".plan-*")); err != nil || len(left) != 0 {
		t.Errorf("of looks is left: %v, %v", left, err)
	}
	if err := os.Rename(look, folder); err != nil {
		t.Fatal(err)
	}
	h.loseState("r1")
	// Web's firewall and its address are left.
	h.reconciles(id["sapi"], []string{"sapi", "sweb"}, cloud.Left)
}

func TestAWSIsReconciled(t *testing.T) {
	cloud := awsfake.Start(t)
	cloud.Enforce(awsfake.PolicyOf(t, "../../docs/aws.md")) // it is enough for this too
	h := newHouse(t)
	variables := cloud.Variables()
	maps.Copy(variables, map[string]any{"image_name": "debian-12-amd64-*", "image_owners": []any{"self"}, "max_retries": 1})
	w := h.inRealCloud("aws", variables, cloud.Environ())
	w.Servers = w.Servers[:1] // its provider takes much time; the rest is tried above
	id := h.made(w)["sapi"]
	cloud.Ask(t, nil, "StopInstances", "InstanceId.1", id)
	h.saw("it stands still", h.look(), orchestrator.Sight{Listed: true, Stopped: []string{"sapi"}})
	// Started again it has another public address.
	cloud.Ask(t, nil, "StartInstances", "InstanceId.1", id)
	var now struct {
		Address string `xml:"reservationSet>item>instancesSet>item>ipAddress"`
	}
	if cloud.Ask(t, &now, "DescribeInstances"); now.Address == "" {
		t.Fatal("it has no public address")
	}
	h.p.DeepEvery = 100 // plans are read at Hetzner
	h.saw("it was started", h.look(), orchestrator.Sight{Listed: true, Addresses: map[string]string{"sapi": now.Address}})
	h.loseState("r1")
	h.reconciles(id, []string{"sapi"}, func() []string {
		var instances struct {
			All []struct {
				ID    string `xml:"instanceId"`
				State string `xml:"instanceState>name"`
			} `xml:"reservationSet>item>instancesSet>item"`
		}
		cloud.Ask(t, &instances, "DescribeInstances")
		var groups struct {
			All []struct {
				Name string `xml:"groupName"`
			} `xml:"securityGroupInfo>item"`
		}
		cloud.Ask(t, &groups, "DescribeSecurityGroups")
		out := []string{}
		for _, v := range instances.All {
			if v.State != "terminated" {
				out = append(out, v.ID+" "+v.State)
			}
		}
		for _, g := range groups.All {
			if g.Name != "default" {
				out = append(out, g.Name)
			}
		}
		return out
	})
}
