package hcloudfake_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/testdata/hcloudfake"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// serve gives a project without a provider, and the client of Hetzner's own.
func serve(t *testing.T) (*hcloudfake.Cloud, *hcloud.Client) {
	t.Helper()
	c := hcloudfake.New()
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL + "/v1"
	return c, client(c, c.Token)
}

func client(c *hcloudfake.Cloud, token string) *hcloud.Client {
	return hcloud.NewClient(hcloud.WithToken(token), hcloud.WithEndpoint(c.URL),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(time.Millisecond)}),
		hcloud.WithRetryOpts(hcloud.RetryOpts{BackoffFunc: hcloud.ConstantBackoff(time.Millisecond), MaxRetries: 2}))
}

// call asks without a client.
func call(t *testing.T, c *hcloudfake.Cloud, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	}
	return resp.StatusCode, out
}

// TestClient leads Hetzner's own client through a server's life.
func TestClient(t *testing.T) {
	t.Parallel()
	cloud, c := serve(t)
	ctx := t.Context()
	changed, stop := cloud.Watch()
	defer stop()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, all, err := net.ParseCIDR("10.0.0.0/16")
	must(err)
	n, _, err := c.Network.Create(ctx, hcloud.NetworkCreateOpts{Name: "n", IPRange: all})
	must(err)
	_, part, _ := net.ParseCIDR("10.0.1.0/24")
	a, _, err := c.Network.AddSubnet(ctx, n, hcloud.NetworkAddSubnetOpts{Subnet: hcloud.NetworkSubnet{Type: hcloud.NetworkSubnetTypeCloud, IPRange: part, NetworkZone: hcloud.NetworkZoneEUCentral}})
	must(err)
	must(c.Action.WaitFor(ctx, a))
	_, anywhere, _ := net.ParseCIDR("0.0.0.0/0")
	f, _, err := c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{Name: "f", Rules: []hcloud.FirewallRule{{Direction: hcloud.FirewallRuleDirectionIn, Protocol: hcloud.FirewallRuleProtocolTCP, Port: new("80-90"), SourceIPs: []net.IPNet{*anywhere}}}})
	must(err)
	cloud.SetActionTime(3)
	made, _, err := c.Server.Create(ctx, hcloud.ServerCreateOpts{Name: "one", ServerType: &hcloud.ServerType{Name: "cx23"}, Image: &hcloud.Image{Name: "debian-12"},
		Location: &hcloud.Location{Name: "nbg1"}, Networks: []*hcloud.Network{n}, Firewalls: []*hcloud.ServerCreateFirewall{{Firewall: *f.Firewall}},
		UserData: "#!/bin/sh\n", Labels: map[string]string{"team": "a"}})
	must(err)
	if m := cloud.Machines()[0]; m.Running || made.RootPassword == "" {
		t.Errorf("already %+v, password %q", m, made.RootPassword)
	}
	// As long as an action has it, it is locked.
	if _, _, err := c.Server.Poweroff(ctx, made.Server); !hcloud.IsError(err, hcloud.ErrorCodeLocked) {
		t.Errorf("power off while it is made: %v", err)
	}
	must(c.Action.WaitFor(ctx, append(made.NextActions, made.Action)...))
	m := cloud.Machines()[0]
	if !m.Running || m.PrivateIP.String() != "10.0.1.1" || !m.PublicIP.Is4() || m.UserData != "#!/bin/sh\n" {
		t.Errorf("made %+v", m)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told that a server was made")
	}
	if rules, ok := cloud.Rules(m.ID); !ok || fmt.Sprint(rules) != "[tcp 80-90 from 0.0.0.0/0]" {
		t.Errorf("rules: %q, %v", rules, ok)
	}
	cloud.SetActionTime(1)
	for selector, want := range map[string]int{"team=a": 1, "team==b": 0, "team!=b": 1, "team": 1, "!team": 0, "team in (a, b),other notin (x)": 1, "team notin (a)": 0} {
		got, err := c.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: selector}})
		must(err)
		if len(got) != want {
			t.Errorf("%s selects %d, want %d", selector, len(got), want)
		}
	}
	change := hcloud.ServerChangeTypeOpts{ServerType: &hcloud.ServerType{Name: "cx33"}}
	if _, _, err := c.Server.ChangeType(ctx, made.Server, change); !hcloud.IsError(err, hcloud.ErrorCodeServerNotStopped) {
		t.Errorf("another type while it runs: %v", err)
	}
	a, _, err = c.Server.Poweroff(ctx, made.Server)
	must(err)
	must(c.Action.WaitFor(ctx, a))
	a, _, err = c.Server.ChangeType(ctx, made.Server, change)
	must(err)
	must(c.Action.WaitFor(ctx, a))
	s, _, err := c.Server.Get(ctx, "one")
	must(err)
	if s.ServerType.Name != "cx33" || s.Status != hcloud.ServerStatusRunning || s.PrimaryDiskSize != 40 {
		t.Errorf("after the change: %+v", s)
	}
	_, err = c.Firewall.Delete(ctx, f.Firewall)
	if !hcloud.IsError(err, hcloud.ErrorCodeResourceInUse) {
		t.Errorf("a firewall in use was deleted: %v", err)
	}
	gone, _, err := c.Server.DeleteWithResult(ctx, s)
	must(err)
	must(c.Action.WaitFor(ctx, gone.Action))
	_, err = c.Firewall.Delete(ctx, f.Firewall)
	must(err)
	_, err = c.Network.Delete(ctx, n)
	must(err)
	if left := cloud.Left(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if mails := cloud.Mails(); len(mails) != 1 {
		t.Errorf("mailed %q", mails)
	}
}

// TestRefusals: what is refused before anything is made.
func TestRefusals(t *testing.T) {
	t.Parallel()
	server := func(change string) string {
		s := map[string]any{"name": "one", "server_type": "cx23", "image": "debian-12", "location": "fsn1"}
		if err := json.Unmarshal([]byte(change), &s); err != nil {
			t.Fatal(err)
		}
		out, _ := json.Marshal(s)
		return string(out)
	}
	rule := func(r string) string { return `{"name":"f","rules":[` + r + `]}` }
	for _, c := range []struct {
		what, method, path, body string
		status                   int
		code, field              string
	}{
		{"no host name", "POST", "/servers", server(`{"name":"under_score"}`), 422, "invalid_input", "name"},
		{"a long host name", "POST", "/servers", server(`{"name":"` + strings.Repeat("a", 64) + `"}`), 422, "invalid_input", "name"},
		{"a name that is taken", "POST", "/servers", server(`{"name":"there"}`), 409, "uniqueness_error", ""},
		{"an unknown type", "POST", "/servers", server(`{"server_type":"cx1"}`), 422, "invalid_input", "server_type"},
		{"a retired type", "POST", "/servers", server(`{"server_type":"cx22"}`), 422, "invalid_server_type", ""},
		{"a type that is not there", "POST", "/servers", server(`{"server_type":"cpx11"}`), 422, "invalid_input", "location"},
		{"an unknown image", "POST", "/servers", server(`{"image":"plan9"}`), 422, "invalid_input", "image"},
		{"another machine's image", "POST", "/servers", server(`{"image":114690389}`), 422, "invalid_input", "image"},
		{"an unknown location", "POST", "/servers", server(`{"location":"moon"}`), 422, "invalid_input", "location"},
		{"user-data too long", "POST", "/servers", server(`{"user_data":"` + strings.Repeat("x", 32<<10+1) + `"}`), 422, "invalid_input", "user_data"},
		{"a label's key", "POST", "/servers", server(`{"labels":{"a:b":"c"}}`), 422, "invalid_input", "labels"},
		{"a label's value", "POST", "/servers", server(`{"labels":{"a":"maría"}}`), 422, "invalid_input", "labels"},
		{"a long value", "POST", "/servers", server(`{"labels":{"a":"` + strings.Repeat("x", 64) + `"}}`), 422, "invalid_input", "labels"},
		{"Hetzner's own labels", "POST", "/servers", server(`{"labels":{"hetzner.cloud/a":"b"}}`), 422, "invalid_input", "labels"},
		{"a key that is not there", "POST", "/servers", server(`{"ssh_keys":[1]}`), 404, "not_found", ""},
		{"a network that is not there", "POST", "/servers", server(`{"networks":[1]}`), 404, "not_found", ""},
		{"no address and no network", "POST", "/servers", server(`{"public_net":{"enable_ipv4":false,"enable_ipv6":false}}`), 422, "invalid_input", "public_net"},
		{"a network beyond its zone", "POST", "/servers", server(`{"server_type":"ccx13","location":"ash","networks":[1001]}`), 422, "no_subnet_available", ""},
		{"no JSON", "POST", "/servers", "{", 400, "json_error", ""},
		{"a wrong type of value", "POST", "/servers", server(`{"name":1}`), 422, "invalid_input", "name"},
		{"no such server", "GET", "/servers/1", "", 404, "not_found", ""},
		{"no such path", "GET", "/planets", "", 404, "not_found", ""},
		{"no such method", "DELETE", "/servers", "", 405, "method_not_allowed", ""},
		{"a page too large", "GET", "/servers?per_page=51", "", 422, "invalid_input", "per_page"},
		{"a bad selector", "GET", "/servers?label_selector=a%20b%20c", "", 422, "invalid_input", "label_selector"},
		{"all actions", "GET", "/actions", "", 410, "deprecated_api_endpoint", ""},
		{"a public range", "POST", "/networks", `{"name":"n","ip_range":"8.8.8.0/24"}`, 422, "invalid_input", "ip_range"},
		{"a small range", "POST", "/networks", `{"name":"n","ip_range":"10.0.0.0/25"}`, 422, "invalid_input", "ip_range"},
		{"host bits", "POST", "/networks", `{"name":"n","ip_range":"10.0.0.1/16"}`, 422, "invalid_input", "ip_range"},
		{"a network's name", "POST", "/networks", `{"name":"there","ip_range":"10.0.0.0/16"}`, 409, "uniqueness_error", ""},
		{"a subnet outside", "POST", "/networks/1001/actions/add_subnet", `{"type":"cloud","ip_range":"10.1.0.0/24","network_zone":"eu-central"}`, 422, "invalid_input", "ip_range"},
		{"a subnet that overlaps", "POST", "/networks/1001/actions/add_subnet", `{"type":"cloud","ip_range":"10.0.0.0/25","network_zone":"eu-central"}`, 422, "invalid_input", "ip_range"},
		{"an unknown zone", "POST", "/networks/1001/actions/add_subnet", `{"type":"cloud","ip_range":"10.0.2.0/24","network_zone":"mars"}`, 422, "invalid_input", "network_zone"},
		{"a subnet in use", "POST", "/networks/1001/actions/delete_subnet", `{"ip_range":"10.0.0.0/24"}`, 422, "service_error", ""},
		{"a network twice", "POST", "/servers/1001/actions/attach_to_network", `{"network":1001}`, 422, "server_already_attached", ""},
		{"a port of icmp", "POST", "/firewalls", rule(`{"direction":"in","protocol":"icmp","port":"1","source_ips":["10.0.0.0/8"]}`), 422, "invalid_input", "rules[0]"},
		{"no port of tcp", "POST", "/firewalls", rule(`{"direction":"in","protocol":"tcp","source_ips":["10.0.0.0/8"]}`), 422, "invalid_input", "rules[0]"},
		{"a port too high", "POST", "/firewalls", rule(`{"direction":"in","protocol":"tcp","port":"65536","source_ips":["10.0.0.0/8"]}`), 422, "invalid_input", "rules[0]"},
		{"host bits in a rule", "POST", "/firewalls", rule(`{"direction":"in","protocol":"tcp","port":"1","source_ips":["10.0.0.1/8"]}`), 422, "invalid_input", "rules[0]"},
		{"a rule from nowhere", "POST", "/firewalls", rule(`{"direction":"in","protocol":"tcp","port":"1"}`), 422, "invalid_input", "rules[0]"},
		{"an address of a server that runs", "DELETE", "/primary_ips/1001", "", 422, "server_not_stopped", ""},
		{"an address nowhere", "POST", "/primary_ips", `{"name":"p","type":"ipv4"}`, 422, "invalid_input", "location"},
		{"no key", "POST", "/ssh_keys", `{"name":"k","public_key":"ssh-ed25519 hello"}`, 422, "invalid_input", "public_key"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			cloud, _ := serve(t)
			call(t, cloud, "POST", "/networks", `{"name":"there","ip_range":"10.0.0.0/16","subnets":[{"type":"cloud","ip_range":"10.0.0.0/24","network_zone":"eu-central"}]}`)
			if status, out := call(t, cloud, "POST", "/servers", server(`{"name":"there","networks":[1001]}`)); status != 201 {
				t.Fatalf("%d %v", status, out)
			}
			call(t, cloud, "GET", "/servers", "") // its actions are over
			before := fmt.Sprint(cloud.Left())
			status, out := call(t, cloud, c.method, c.path, c.body)
			e, _ := out["error"].(map[string]any)
			if status != c.status || e["code"] != c.code {
				t.Fatalf("%d %v", status, out)
			}
			if c.field != "" && !strings.Contains(fmt.Sprint(e["details"]), "name:"+c.field+"]") {
				t.Errorf("details %v", e["details"])
			}
			if after := fmt.Sprint(cloud.Left()); after != before {
				t.Errorf("before %s, after %s", before, after)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	cloud, _ := serve(t)
	if _, err := client(cloud, strings.Repeat("x", 64)).Location.All(t.Context()); !hcloud.IsError(err, hcloud.ErrorCodeUnauthorized) {
		t.Errorf("an unknown token: %v", err)
	}
	reader := client(cloud, cloud.ReadOnly)
	if all, err := reader.Location.All(t.Context()); err != nil || len(all) != 6 {
		t.Errorf("a token to read: %v, %v", all, err)
	}
	if _, _, err := reader.SSHKey.Create(t.Context(), hcloud.SSHKeyCreateOpts{Name: "k", PublicKey: "x"}); !hcloud.IsError(err, hcloud.ErrorCodeTokenReadonly) {
		t.Errorf("a token to read, writing: %v", err)
	}
}

// TestTrouble: limits, shortages and faults.
func TestTrouble(t *testing.T) {
	t.Parallel()
	cloud, c := serve(t)
	ctx := t.Context()
	create := func(name string) error {
		_, _, err := c.Server.Create(ctx, hcloud.ServerCreateOpts{Name: name, ServerType: &hcloud.ServerType{Name: "cx23"}, Image: &hcloud.Image{Name: "debian-12"}, Location: &hcloud.Location{Name: "fsn1"}})
		return err
	}
	cloud.SellOut("cx23", "fsn1")
	if err := create("a"); !hcloud.IsError(err, hcloud.ErrorCodeResourceUnavailable) {
		t.Errorf("sold out: %v", err)
	}
	cloud.Heal()
	cloud.SetLimit("server", 1)
	if err := create("a"); err != nil {
		t.Error(err)
	}
	if err := create("b"); !hcloud.IsError(err, hcloud.ErrorCodeResourceLimitExceeded) {
		t.Errorf("one too many: %v", err)
	}
	cloud.Inject(hcloudfake.Fault{Method: "GET", Path: "/servers", Skip: 1, Times: 2, Error: hcloudfake.RateLimited})
	for range 2 { // the second is tried three times
		if _, err := c.Server.All(ctx); err != nil {
			t.Error(err)
		}
	}
	cloud.Inject(hcloudfake.Fault{Path: "/locations", Status: 503})
	if _, err := c.Location.All(ctx); !errors.Is(err, hcloud.ErrStatusCode) {
		t.Errorf("a gateway in trouble: %v", err)
	}
	cloud.Inject(hcloudfake.Fault{Path: "/images", Drop: true})
	if _, err := c.Image.All(ctx); err == nil || hcloud.IsError(err, hcloud.ErrorCodeServerError) {
		t.Errorf("no connection: %v", err)
	}
	cloud.Inject(hcloudfake.Fault{Path: "/servers/*", Method: "DELETE", Times: 1, Action: &hcloudfake.Error{Code: "action_failed", Message: "Action failed"}})
	s := cloud.Machines()[0]
	for _, wants := range []int{1, 0} {
		gone, _, err := c.Server.DeleteWithResult(ctx, &hcloud.Server{ID: s.ID})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Action.WaitFor(ctx, gone.Action); (err != nil) != (wants == 1) {
			t.Errorf("deleting: %v", err)
		}
		if got := len(cloud.Machines()); got != wants {
			t.Errorf("%d servers, want %d", got, wants)
		}
	}
	codes := ""
	for _, call := range cloud.Calls() {
		if call.Code != "" {
			codes += call.Code + " "
		}
	}
	if want := "resource_unavailable resource_limit_exceeded rate_limit_exceeded rate_limit_exceeded "; codes != want {
		t.Errorf("codes %q", codes)
	}
}

// TestPages: lists come in parts, and say so.
func TestPages(t *testing.T) {
	t.Parallel()
	cloud, c := serve(t)
	for i := range 60 {
		cloud.AddKey(fmt.Sprintf("k%02d", i), fmt.Sprintf("ssh-rsa %d", i))
	}
	all, err := c.SSHKey.All(t.Context())
	if err != nil || len(all) != 60 {
		t.Fatalf("%d keys, %v", len(all), err)
	}
	_, out := call(t, cloud, "GET", "/ssh_keys?page=2", "")
	p := out["meta"].(map[string]any)["pagination"].(map[string]any)
	if len(out["ssh_keys"].([]any)) != 25 || p["next_page"] != 3.0 || p["previous_page"] != 1.0 || p["last_page"] != 3.0 || p["total_entries"] != 60.0 {
		t.Errorf("%v", p)
	}
}
