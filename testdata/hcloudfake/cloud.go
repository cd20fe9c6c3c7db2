// Package hcloudfake is a Hetzner Cloud for tests: one project behind the API of
// https://docs.hetzner.cloud, as far as the provider uses it, that refuses what
// the real one refuses and in its words as far as they are known (the codes are
// those of hcloud-go; where no source tells a message, it is ours).
//
//	cloud := hcloudfake.Start(t)
//	cmd.Env = append(cmd.Env, cloud.Environ()...) // token, address, provider
//	cloud.Inject(hcloudfake.Fault{Method: "POST", Path: "/servers", Skip: 1, Error: hcloudfake.Quota})
//	cloud.Machines()                              // what a lab boots
//
// Time is the cloud's own: a second goes by with each request, and with nothing
// else, so that an action is over after as many requests as it takes seconds.
// Nothing sleeps.
package hcloudfake

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-dev/berth/testdata/mirror"
)

// Require is the variable that makes tests fail, not skip, where the provider is
// not installed.
const Require = "BERTH_REQUIRE_HCLOUD"

// Cloud is one project. It is an http.Handler; the API is below /v1.
type Cloud struct {
	// Token may do everything, ReadOnly only read. Real ones have as many
	// characters.
	Token, ReadOnly string
	// URL is where the API answers, for HCLOUD_ENDPOINT; set by Start.
	URL string

	config string // Terraform's CLI configuration

	mu        sync.Mutex
	now       time.Time
	lastID    map[string]int64
	lastIP    int
	took      int // seconds that an action takes
	limits    map[string]int
	soldOut   map[string]bool // location, or type@location
	images    []*image
	servers   map[int64]*server
	networks  map[int64]*network
	firewalls map[int64]*firewall
	keys      map[int64]*sshKey
	addresses map[int64]*primaryIP
	actions   map[int64]*action
	mails     []string
	faults    []*fault
	calls     []Call
	watchers  map[chan struct{}]bool
}

// New makes a project without anything in it, with the limits of a new account.
func New() *Cloud {
	c := &Cloud{
		Token: strings.Repeat("t", 64), ReadOnly: strings.Repeat("r", 64),
		now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), lastID: map[string]int64{}, took: 1,
		limits:  map[string]int{"server": 10, "primary_ip": 20, "network": 50, "firewall": 50, "ssh_key": 100},
		soldOut: map[string]bool{}, images: systemImages(),
		servers: map[int64]*server{}, networks: map[int64]*network{}, firewalls: map[int64]*firewall{},
		keys: map[int64]*sshKey{}, addresses: map[int64]*primaryIP{}, actions: map[int64]*action{},
		watchers: map[chan struct{}]bool{},
	}
	return c
}

// Start serves a project over HTTP until the test ends. The test is skipped
// where the provider is not installed, unless BERTH_REQUIRE_HCLOUD is set.
func Start(t testing.TB) *Cloud {
	t.Helper()
	config := mirror.Config(t, Require, "hetznercloud/hcloud")
	c := New()
	c.config = config
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL + "/v1"
	return c
}

// Environ is what Terraform needs to get there: the token, the address, and
// where the provider is.
func (c *Cloud) Environ() []string {
	return []string{"HCLOUD_TOKEN=" + c.Token, "HCLOUD_ENDPOINT=" + c.URL, "TF_CLI_CONFIG_FILE=" + c.config}
}

// Machine is a server as a lab sees it. PrivateIP is its first address in a
// network; addresses that it has not are invalid.
type Machine struct {
	ID        int64
	Name      string
	PrivateIP netip.Addr
	PublicIP  netip.Addr
	UserData  string
	Labels    map[string]string
	Running   bool // powered on, and not still being made
}

// Machines lists the servers, by ID.
func (c *Cloud) Machines() []Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Machine
	for _, s := range sorted(c.servers) {
		m := Machine{ID: s.ID, Name: s.Name, UserData: s.userData, Labels: maps.Clone(s.Labels), Running: s.Status == "running"}
		if len(s.PrivateNet) > 0 {
			m.PrivateIP, _ = netip.ParseAddr(s.PrivateNet[0].IP)
		}
		if ip := c.addressOf(s, "ipv4"); ip != nil {
			m.PublicIP, _ = netip.ParseAddr(ip.IP)
		}
		out = append(out, m)
	}
	return out
}

// Watch tells that Machines may have changed: the channel holds one value after
// any number of changes. stop ends it.
func (c *Cloud) Watch() (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, ch)
	}
}

func (c *Cloud) changed() {
	for ch := range c.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Terminate removes a server as somebody does in the console, at once.
func (c *Cloud) Terminate(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.servers[id]; ok {
		c.remove(s)
		c.changed()
	}
}

// Power stops a server, or starts it again, as somebody does in the console, at
// once.
func (c *Cloud) Power(id int64, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.servers[id]; ok {
		s.Status = map[bool]string{true: "running", false: "off"}[on]
		c.changed()
	}
}

// Left lists everything that is in the project, as "kind name".
func (c *Cloud) Left() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []string{}
	for _, x := range sorted(c.servers) {
		out = append(out, "server "+x.Name)
	}
	for _, x := range sorted(c.networks) {
		out = append(out, "network "+x.Name)
	}
	for _, x := range sorted(c.firewalls) {
		out = append(out, "firewall "+x.Name)
	}
	for _, x := range sorted(c.addresses) {
		out = append(out, "primary_ip "+x.Name)
	}
	for _, x := range sorted(c.keys) {
		out = append(out, "ssh_key "+x.Name)
	}
	return out
}

// Unlabelled lists what carries not all of the given labels, as Left does.
// SSH keys are the account's owner's and left out.
func (c *Cloud) Unlabelled(want map[string]string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []string{}
	look := func(kind string, m meta) {
		for k, v := range want {
			if m.Labels[k] != v {
				out = append(out, fmt.Sprintf("%s %s (%s=%q)", kind, m.Name, k, m.Labels[k]))
			}
		}
	}
	for _, x := range sorted(c.servers) {
		look("server", x.meta)
	}
	for _, x := range sorted(c.networks) {
		look("network", x.meta)
	}
	for _, x := range sorted(c.firewalls) {
		look("firewall", x.meta)
	}
	for _, x := range sorted(c.addresses) {
		look("primary_ip", x.meta)
	}
	return out
}

// Mails names the servers whose root password went to the account's owner by
// mail, for they were made without an SSH key.
func (c *Cloud) Mails() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mails)
}

// SetLimit sets how many of a kind ("server", "primary_ip", "network",
// "firewall", "ssh_key") the project may have.
func (c *Cloud) SetLimit(kind string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits[kind] = n
}

// SetActionTime sets how many seconds, and so requests, an action takes; 1 at
// the beginning.
func (c *Cloud) SetActionTime(seconds int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = seconds
}

// SellOut leaves no room for a server type at a location; for an empty type,
// for none.
func (c *Cloud) SellOut(serverType, location string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.soldOut[serverType+"@"+location] = true
}

// AddKey uploads a public key and returns its ID.
func (c *Cloud) AddKey(name, public string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &sshKey{meta: c.newMeta("ssh_key", name, nil), PublicKey: public, Fingerprint: fingerprint(public)}
	c.keys[k.ID] = k
	return k.ID
}

// AddSnapshot makes an image of the project's own ("x86" or "arm") and returns
// its ID.
func (c *Cloud) AddSnapshot(description, architecture string, labels map[string]string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := &image{ID: c.id("image"), Status: "available", Type: "snapshot", Description: description, DiskSize: 5, Created: &c.now,
		OSFlavor: "debian", Architecture: architecture, Labels: nonNil(labels)}
	c.images = append(c.images, i)
	return i.ID
}

// RemoveImage takes an image away, as Hetzner does with old ones.
func (c *Cloud) RemoveImage(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images = slices.DeleteFunc(c.images, func(i *image) bool { return i.ID == id })
}

// Call is a request that was made, in the order in which they came.
type Call struct {
	Method string
	Path   string // without /v1, with IDs as they were
	Status int
	Code   string // of the error that it was answered with
}

// Calls are those made so far.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// meta is what all resources have.
type meta struct {
	ID      int64             `json:"id"`
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Created time.Time         `json:"created"`
}

func (c *Cloud) newMeta(kind, name string, labels map[string]string) meta {
	return meta{ID: c.id(kind), Name: name, Labels: nonNil(labels), Created: c.now}
}

// id numbers each kind for itself, as Hetzner does: a server and a firewall may
// have the same one.
func (c *Cloud) id(kind string) int64 {
	c.lastID[kind]++
	return 1000 + c.lastID[kind]
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

// sorted gives the values by their IDs.
func sorted[T any](m map[int64]*T) []*T {
	out := make([]*T, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}

var _ http.Handler = (*Cloud)(nil)
