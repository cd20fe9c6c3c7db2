package hcloudfake

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
)

type server struct {
	meta
	Status          string           `json:"status"`
	PublicNet       publicNet        `json:"public_net"`
	PrivateNet      []*privateNet    `json:"private_net"`
	ServerType      *serverType      `json:"server_type"`
	Location        *location        `json:"location"`
	Image           *image           `json:"image"`
	ISO             *struct{}        `json:"iso"`
	RescueEnabled   bool             `json:"rescue_enabled"`
	Locked          bool             `json:"locked"`
	BackupWindow    *string          `json:"backup_window"`
	OutgoingTraffic *int64           `json:"outgoing_traffic"`
	IngoingTraffic  *int64           `json:"ingoing_traffic"`
	IncludedTraffic int64            `json:"included_traffic"`
	Protection      serverProtection `json:"protection"`
	Volumes         []int64          `json:"volumes"`
	PrimaryDiskSize int              `json:"primary_disk_size"`
	PlacementGroup  *struct{}        `json:"placement_group"`
	LoadBalancers   []int64          `json:"load_balancers"`

	userData string
}

type serverProtection struct {
	Delete  bool `json:"delete"`
	Rebuild bool `json:"rebuild"`
}

type publicNet struct {
	IPv4        *publicIP        `json:"ipv4"`
	IPv6        *publicIP        `json:"ipv6"`
	FloatingIPs []int64          `json:"floating_ips"`
	Firewalls   []serverFirewall `json:"firewalls"`
}

type publicIP struct {
	ID      int64  `json:"id"`
	IP      string `json:"ip"`
	Blocked bool   `json:"blocked"`
	DNSPtr  any    `json:"dns_ptr"`
}

type serverFirewall struct {
	ID     int64  `json:"id"`
	Status string `json:"status"`
}

type privateNet struct {
	Network    int64    `json:"network"`
	IP         string   `json:"ip"`
	AliasIPs   []string `json:"alias_ips"`
	MACAddress string   `json:"mac_address"`
}

// idOrName is either, as the API takes types and images.
type idOrName struct {
	id   int64
	name string
}

func (v *idOrName) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &v.id); err == nil {
		return nil
	}
	if err := json.Unmarshal(b, &v.name); err != nil {
		return err
	}
	if id, err := strconv.ParseInt(v.name, 10, 64); err == nil {
		v.id, v.name = id, ""
	}
	return nil
}

func (v idOrName) serverType() *serverType {
	for _, t := range serverTypes {
		if t.ID == v.id || t.Name == v.name {
			return t
		}
	}
	return nil
}

// hostname is what RFC 1123 allows.
var hostname = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)

const maxUserData = 32 << 10

// show puts together what a server's answer tells of others.
func (c *Cloud) show(s *server) *server {
	out := *s
	out.PublicNet = publicNet{FloatingIPs: []int64{}, Firewalls: []serverFirewall{}}
	if ip := c.addressOf(s, "ipv4"); ip != nil {
		out.PublicNet.IPv4 = &publicIP{ID: ip.ID, IP: ip.IP, DNSPtr: ip.DNSPtr[0].DNSPtr}
	}
	if ip := c.addressOf(s, "ipv6"); ip != nil {
		out.PublicNet.IPv6 = &publicIP{ID: ip.ID, IP: ip.IP, DNSPtr: []dnsPtr{}}
	}
	for _, f := range sorted(c.firewalls) {
		if c.covers(f, s) {
			out.PublicNet.Firewalls = append(out.PublicNet.Firewalls, serverFirewall{f.ID, "applied"})
		}
	}
	out.PrivateNet = slices.Clone(s.PrivateNet)
	return &out
}

func listServers(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, sorted(q.servers), func(s *server) meta { return s.meta })
	if e != nil {
		return 0, nil, e
	}
	if status := q.query["status"]; len(status) > 0 {
		all = slices.DeleteFunc(all, func(s *server) bool { return !slices.Contains(status, s.Status) })
	}
	for i := range all {
		all[i] = q.show(all[i])
	}
	return page(q, "servers", all)
}

func getServer(q *request, id int64) (int, any, *Error) {
	s, ok := q.servers[id]
	if !ok {
		return 0, nil, notFound("server", id)
	}
	return 200, map[string]any{"server": q.show(s)}, nil
}

type serverRequest struct {
	Name             string            `json:"name"`
	ServerType       idOrName          `json:"server_type"`
	Image            idOrName          `json:"image"`
	Location         string            `json:"location"`
	SSHKeys          []int64           `json:"ssh_keys"`
	UserData         string            `json:"user_data"`
	StartAfterCreate *bool             `json:"start_after_create"`
	Labels           map[string]string `json:"labels"`
	Networks         []int64           `json:"networks"`
	Firewalls        []struct {
		Firewall int64 `json:"firewall"`
	} `json:"firewalls"`
	PublicNet *struct {
		EnableIPv4 *bool `json:"enable_ipv4"`
		EnableIPv6 *bool `json:"enable_ipv6"`
		IPv4       int64 `json:"ipv4"`
		IPv6       int64 `json:"ipv6"`
	} `json:"public_net"`
}

func createServer(q *request, _ int64) (int, any, *Error) {
	var r serverRequest
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	s, start, e := q.newServer(r)
	if e != nil {
		return 0, nil, e
	}
	// Nothing can fail any more.
	q.servers[s.ID] = s
	status := "off"
	if start {
		status = "running"
	}
	made := q.act("create_server", s, func(ok bool) {
		if !ok {
			s.Status = "off"
		} else if !start {
			s.Status = "off"
		}
	})
	next := []action{}
	if start && q.fails == nil {
		next = append(next, q.act("start_server", s, func(bool) { s.Status = status }))
	}
	var password any
	if len(r.SSHKeys) == 0 {
		password = "zCWbFhnu950dUTko5f40"
		q.mails = append(q.mails, s.Name)
	}
	return 201, map[string]any{"server": q.show(s), "action": made, "next_actions": next, "root_password": password}, nil
}

// newServer checks all that a server is asked for; what goes with it is made
// only when nothing is amiss.
func (q *request) newServer(r serverRequest) (*server, bool, *Error) {
	if !hostname.MatchString(r.Name) || len(r.Name) > 253 {
		return nil, false, invalid("name", "must be a valid hostname")
	}
	if e := checkLabels(r.Labels); e != nil {
		return nil, false, e
	}
	if len(r.UserData) > maxUserData {
		return nil, false, invalid("user_data", "Too long.")
	}
	t := r.ServerType.serverType()
	if t == nil {
		return nil, false, invalid("server_type", "server type not found")
	}
	if t.Deprecation != nil && q.now.After(t.Deprecation.UnavailableAfter) {
		return nil, false, refuse(422, "invalid_server_type", "server type %s is deprecated and can no longer be ordered", t.Name)
	}
	i := q.image(r.Image.id, r.Image.name, t.Architecture)
	switch {
	case i == nil:
		return nil, false, invalid("image", "image not found")
	case i.Architecture != t.Architecture:
		return nil, false, invalid("image", "image architecture does not match the server type")
	case i.DiskSize > float64(t.Disk):
		return nil, false, invalid("image", "image disk is bigger than server type disk")
	}
	if r.Location == "" { // Hetzner chooses
		r.Location = t.Locations[0].Name
	}
	at := slices.IndexFunc(locations, func(l *location) bool { return l.Name == r.Location })
	if at < 0 {
		return nil, false, invalid("location", "location not found")
	}
	where := locations[at]
	if !slices.ContainsFunc(t.Locations, func(l *typeLocation) bool { return l.Name == where.Name }) {
		return nil, false, &Error{Status: 422, Code: "invalid_input", Message: "unsupported location for server type", Fields: []Field{{"location", []string{"unsupported location for server type"}}}}
	}
	if e := unused(q, "server", r.Name, q.servers, func(s *server) meta { return s.meta }); e != nil {
		return nil, false, e
	}
	for _, id := range r.SSHKeys {
		if q.keys[id] == nil {
			return nil, false, notFound("SSH key", id)
		}
	}
	var firewalls []*firewall
	for _, f := range r.Firewalls {
		if q.firewalls[f.Firewall] == nil {
			return nil, false, notFound("firewall", f.Firewall)
		}
		firewalls = append(firewalls, q.firewalls[f.Firewall])
	}
	if len(firewalls) > 5 {
		return nil, false, invalid("firewalls", "at most 5 firewalls")
	}
	s := &server{Status: "initializing", PrivateNet: []*privateNet{}, ServerType: t, Location: where, Image: i,
		Volumes: []int64{}, LoadBalancers: []int64{}, PrimaryDiskSize: t.Disk, userData: r.UserData}
	for _, id := range r.Networks {
		if q.networks[id] == nil {
			return nil, false, notFound("network", id)
		}
		if e := q.attach(s, q.networks[id], attachment{}); e != nil {
			return nil, false, e
		}
	}
	wants := map[string]int64{"ipv4": 0, "ipv6": 0}
	if p := r.PublicNet; p != nil {
		wants = map[string]int64{}
		for _, w := range []struct {
			kind   string
			enable *bool
			id     int64
		}{{"ipv4", p.EnableIPv4, p.IPv4}, {"ipv6", p.EnableIPv6, p.IPv6}} {
			if w.enable == nil || *w.enable {
				wants[w.kind] = w.id
			} else if w.id != 0 {
				return nil, false, invalid("public_net", "an address is given that is not enabled")
			}
		}
	}
	more := 0
	for kind, id := range wants {
		if id == 0 {
			more++
		} else if e := q.assignable(id, kind, where); e != nil {
			return nil, false, e
		}
	}
	if len(q.addresses)+more > q.limits["primary_ip"] {
		return nil, false, refuse(403, "resource_limit_exceeded", "primary ip limit reached")
	}
	start := r.StartAfterCreate == nil || *r.StartAfterCreate
	if len(wants) == 0 && len(r.Networks) == 0 && start {
		return nil, false, invalid("public_net", "a server without public addresses must be in a network or not be started")
	}
	if len(wants) == 0 && len(firewalls) > 0 {
		return nil, false, refuse(422, "private_net_only_server", "firewalls cannot be applied to servers without a public interface")
	}
	if q.soldOut["@"+where.Name] || q.soldOut[t.Name+"@"+where.Name] {
		return nil, false, Capacity
	}
	s.meta = q.newMeta("server", r.Name, r.Labels)
	for _, n := range s.PrivateNet {
		n.MACAddress = macAddress(s.ID)
	}
	for _, kind := range []string{"ipv4", "ipv6"} {
		id, ok := wants[kind]
		switch {
		case !ok:
		case id != 0:
			q.addresses[id].assign(s.ID)
		default:
			ip := q.newAddress(fmt.Sprintf("primary_ip-%d", q.lastIP), kind, where, nil)
			ip.AutoDelete = true
			ip.assign(s.ID)
		}
	}
	for _, f := range firewalls {
		f.servers[s.ID] = true
	}
	return s, start, nil
}

func updateServer(q *request, id int64) (int, any, *Error) {
	s, ok := q.servers[id]
	if !ok {
		return 0, nil, notFound("server", id)
	}
	r := struct {
		Name   string             `json:"name"`
		Labels *map[string]string `json:"labels"`
	}{Name: s.Name}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if !hostname.MatchString(r.Name) {
		return 0, nil, invalid("name", "must be a valid hostname")
	}
	if e := rename(q, "server", &s.meta, r.Name, r.Labels, q.servers, func(s *server) meta { return s.meta }); e != nil {
		return 0, nil, e
	}
	q.changed()
	return 200, map[string]any{"server": q.show(s)}, nil
}

// rename gives a resource another name and other labels.
func rename[T any](_ *request, kind string, m *meta, name string, labels *map[string]string, all map[int64]*T, of func(*T) meta) *Error {
	for _, x := range all {
		if of(x).Name == name && of(x).ID != m.ID {
			return refuse(409, "uniqueness_error", "%s name is already used", kind)
		}
	}
	if labels != nil {
		if e := checkLabels(*labels); e != nil {
			return e
		}
		m.Labels = nonNil(*labels)
	}
	m.Name = name
	return nil
}

func deleteServer(q *request, id int64) (int, any, *Error) {
	s, e := q.unlocked(id)
	if e != nil {
		return 0, nil, e
	}
	if s.Protection.Delete {
		return 0, nil, refuse(423, "protected", "server deletion is protected")
	}
	before := s.Status
	s.Status = "deleting"
	a := q.act("delete_server", s, func(ok bool) {
		if ok {
			q.remove(s)
		} else {
			s.Status = before
		}
	})
	return 200, map[string]any{"action": a}, nil
}

// remove takes a server out of everything.
func (c *Cloud) remove(s *server) {
	delete(c.servers, s.ID)
	for _, f := range c.firewalls {
		delete(f.servers, s.ID)
	}
	for id, ip := range c.addresses {
		if ip.AssigneeID != nil && *ip.AssigneeID == s.ID {
			if ip.AutoDelete {
				delete(c.addresses, id)
			} else {
				ip.AssigneeID = nil
			}
		}
	}
}

// unlocked finds a server that no action has.
func (q *request) unlocked(id int64) (*server, *Error) {
	s, ok := q.servers[id]
	if !ok {
		return nil, notFound("server", id)
	}
	if s.Locked {
		return nil, Locked
	}
	return s, nil
}

// onServer makes a handler for an action of a server.
func onServer(command string, check func(q *request, s *server) (func(), *Error)) handler {
	return func(q *request, id int64) (int, any, *Error) {
		s, e := q.unlocked(id)
		if e != nil {
			return 0, nil, e
		}
		do, e := check(q, s)
		if e != nil {
			return 0, nil, e
		}
		return 201, map[string]any{"action": q.act(command, s, func(ok bool) {
			if ok {
				do()
			}
		})}, nil
	}
}

var powerOn = onServer("start_server", func(_ *request, s *server) (func(), *Error) {
	return func() { s.Status = "running" }, nil
})

var powerOff = onServer("stop_server", func(_ *request, s *server) (func(), *Error) {
	return func() { s.Status = "off" }, nil
})

// changeType copies the disk to another machine and starts it there.
var changeType = onServer("change_server_type", func(q *request, s *server) (func(), *Error) {
	var r struct {
		ServerType  idOrName `json:"server_type"`
		UpgradeDisk bool     `json:"upgrade_disk"`
	}
	if e := q.decode(&r); e != nil {
		return nil, e
	}
	t := r.ServerType.serverType()
	if t == nil {
		return nil, invalid("server_type", "server type not found")
	}
	if s.Status != "off" {
		return nil, refuse(422, "server_not_stopped", "server must be stopped for this action")
	}
	switch {
	case t.Deprecation != nil && q.now.After(t.Deprecation.UnavailableAfter):
		return nil, refuse(422, "invalid_server_type", "server type %s is deprecated and can no longer be ordered", t.Name)
	case t.Architecture != s.ServerType.Architecture:
		return nil, refuse(422, "invalid_server_type", "server type has another architecture")
	case t.Disk < s.PrimaryDiskSize:
		return nil, refuse(422, "invalid_server_type", "server disk is too big for the server type")
	case t == s.ServerType:
		return nil, refuse(422, "invalid_server_type", "server is already of this type")
	case !slices.ContainsFunc(t.Locations, func(l *typeLocation) bool { return l.Name == s.Location.Name }):
		return nil, &Error{Status: 422, Code: "invalid_input", Message: "unsupported location for server type", Fields: []Field{{"server_type", nil}}}
	case q.soldOut["@"+s.Location.Name] || q.soldOut[t.Name+"@"+s.Location.Name]:
		return nil, Capacity
	}
	return func() {
		s.ServerType, s.Status = t, "running"
		if r.UpgradeDisk {
			s.PrimaryDiskSize = t.Disk
		}
	}, nil
})

var protectServer = onServer("change_protection", func(q *request, s *server) (func(), *Error) {
	p := s.Protection
	if e := q.decode(&p); e != nil {
		return nil, e
	}
	if p.Delete != p.Rebuild {
		return nil, invalid("rebuild", "must be the same as delete")
	}
	return func() { s.Protection = p }, nil
})

type attachment struct {
	Network  int64    `json:"network"`
	IP       string   `json:"ip"`
	AliasIPs []string `json:"alias_ips"`
	IPRange  string   `json:"ip_range"`
}

func macAddress(id int64) string {
	return fmt.Sprintf("86:00:00:%02x:%02x:%02x", id>>16&255, id>>8&255, id&255)
}

var attachToNetwork = onServer("attach_to_network", func(q *request, s *server) (func(), *Error) {
	var r attachment
	if e := q.decode(&r); e != nil {
		return nil, e
	}
	n, ok := q.networks[r.Network]
	if !ok {
		return nil, notFound("network", r.Network)
	}
	// Its address is taken from now on.
	return func() {}, q.attach(s, n, r)
})

// attach gives a server an address in a network.
func (c *Cloud) attach(s *server, n *network, r attachment) *Error {
	mine, _ := netip.ParsePrefix(n.IPRange)
	for _, p := range s.PrivateNet {
		if p.Network == n.ID {
			return refuse(422, "server_already_attached", "server is already attached to this network")
		}
		if other, err := netip.ParsePrefix(c.networks[p.Network].IPRange); err == nil && other.Overlaps(mine) {
			return refuse(422, "networks_overlap", "the network overlaps with one that the server is attached to")
		}
	}
	if len(s.PrivateNet) >= 3 {
		return refuse(403, "resource_limit_exceeded", "a server can be attached to at most 3 networks")
	}
	for _, sub := range n.Subnets {
		if sub.NetworkZone != s.Location.NetworkZone || r.IPRange != "" && r.IPRange != sub.IPRange {
			continue
		}
		ip := c.free(n, sub, r.IP)
		if !ip.IsValid() {
			continue
		}
		aliases := append([]string{}, r.AliasIPs...)
		s.PrivateNet = append(s.PrivateNet, &privateNet{Network: n.ID, IP: ip.String(), AliasIPs: aliases, MACAddress: macAddress(s.ID)})
		return nil
	}
	if r.IP != "" {
		return refuse(422, "ip_not_available", "IP is not available")
	}
	return refuse(422, "no_subnet_available", "no subnet available")
}

// free finds an address of a subnet that nobody has: the wanted one, or the
// first. The network's first is the gateway's, and 172.31.1.1 Hetzner's own.
func (c *Cloud) free(n *network, sub *subnet, want string) netip.Addr {
	taken := map[string]bool{n.gateway(): true, "172.31.1.1": true}
	for _, s := range c.servers {
		for _, p := range s.PrivateNet {
			if p.Network == n.ID {
				taken[p.IP] = true
				for _, a := range p.AliasIPs {
					taken[a] = true
				}
			}
		}
	}
	prefix, _ := netip.ParsePrefix(sub.IPRange)
	for ip := prefix.Addr().Next(); prefix.Contains(ip) && prefix.Contains(ip.Next()); ip = ip.Next() {
		if !taken[ip.String()] && (want == "" || want == ip.String()) {
			return ip
		}
	}
	return netip.Addr{}
}

var detachFromNetwork = onServer("detach_from_network", func(q *request, s *server) (func(), *Error) {
	var r attachment
	if e := q.decode(&r); e != nil {
		return nil, e
	}
	at := slices.IndexFunc(s.PrivateNet, func(p *privateNet) bool { return p.Network == r.Network })
	if at < 0 {
		return nil, notFound("network", r.Network)
	}
	return func() {
		s.PrivateNet = slices.DeleteFunc(s.PrivateNet, func(p *privateNet) bool { return p.Network == r.Network })
	}, nil
})

var changeAliasIPs = onServer("change_alias_ips", func(q *request, s *server) (func(), *Error) {
	var r attachment
	if e := q.decode(&r); e != nil {
		return nil, e
	}
	at := slices.IndexFunc(s.PrivateNet, func(p *privateNet) bool { return p.Network == r.Network })
	if at < 0 {
		return nil, notFound("network", r.Network)
	}
	return func() { s.PrivateNet[at].AliasIPs = append([]string{}, r.AliasIPs...) }, nil
})
