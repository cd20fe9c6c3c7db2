package hcloudfake

import (
	"net/netip"
	"slices"
)

type network struct {
	meta
	IPRange               string     `json:"ip_range"`
	Subnets               []*subnet  `json:"subnets"`
	Routes                []struct{} `json:"routes"`
	Servers               []int64    `json:"servers"`
	LoadBalancers         []int64    `json:"load_balancers"`
	Protection            protection `json:"protection"`
	ExposeRoutesToVSwitch bool       `json:"expose_routes_to_vswitch"`
}

type subnet struct {
	Type        string `json:"type"`
	IPRange     string `json:"ip_range"`
	NetworkZone string `json:"network_zone"`
	Gateway     string `json:"gateway"`
}

// gateway is the first address of the network, for all of its subnets.
func (n *network) gateway() string {
	p, _ := netip.ParsePrefix(n.IPRange)
	return p.Addr().Next().String()
}

func (c *Cloud) showNetwork(n *network) *network {
	out := *n
	out.Servers = c.attached(n, "")
	return &out
}

// attached are the servers in a network, or in one range of it.
func (c *Cloud) attached(n *network, within string) []int64 {
	out := []int64{}
	prefix, _ := netip.ParsePrefix(within)
	for _, s := range sorted(c.servers) {
		for _, p := range s.PrivateNet {
			if ip, _ := netip.ParseAddr(p.IP); p.Network == n.ID && (within == "" || prefix.Contains(ip)) {
				out = append(out, s.ID)
			}
		}
	}
	return out
}

func listNetworks(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, sorted(q.networks), func(n *network) meta { return n.meta })
	if e != nil {
		return 0, nil, e
	}
	for i := range all {
		all[i] = q.showNetwork(all[i])
	}
	return page(q, "networks", all)
}

func getNetwork(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	return 200, map[string]any{"network": q.showNetwork(n)}, nil
}

// private are the ranges of RFC 1918.
var private = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

func createNetwork(q *request, _ int64) (int, any, *Error) {
	var r struct {
		Name                  string            `json:"name"`
		Labels                map[string]string `json:"labels"`
		IPRange               string            `json:"ip_range"`
		Subnets               []*subnet         `json:"subnets"`
		ExposeRoutesToVSwitch bool              `json:"expose_routes_to_vswitch"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := named(r.Name, r.Labels); e != nil {
		return 0, nil, e
	}
	p, err := netip.ParsePrefix(r.IPRange)
	if err != nil || p != p.Masked() || p.Bits() > 24 ||
		!slices.ContainsFunc(private, func(all netip.Prefix) bool { return all.Contains(p.Addr()) && all.Bits() <= p.Bits() }) {
		return 0, nil, invalid("ip_range", "must be a range of RFC1918 of at least /24")
	}
	if e := unused(q, "network", r.Name, q.networks, func(n *network) meta { return n.meta }); e != nil {
		return 0, nil, e
	}
	n := &network{IPRange: r.IPRange, Subnets: []*subnet{}, Routes: []struct{}{}, LoadBalancers: []int64{}, ExposeRoutesToVSwitch: r.ExposeRoutesToVSwitch}
	for _, s := range r.Subnets {
		if e := n.add(s); e != nil {
			return 0, nil, e
		}
	}
	n.meta = q.newMeta("network", r.Name, r.Labels)
	q.networks[n.ID] = n
	return 201, map[string]any{"network": q.showNetwork(n)}, nil
}

// add checks a subnet and adds it.
func (n *network) add(s *subnet) *Error {
	whole, _ := netip.ParsePrefix(n.IPRange)
	p, err := netip.ParsePrefix(s.IPRange)
	if err != nil || p != p.Masked() || p.Bits() > 30 || p.Bits() < whole.Bits() || !whole.Contains(p.Addr()) {
		return invalid("ip_range", "must be a part of the network's range of at least /30")
	}
	if s.Type != "cloud" && s.Type != "server" {
		return invalid("type", "must be cloud, server or vswitch")
	}
	if !slices.ContainsFunc(locations, func(l *location) bool { return l.NetworkZone == s.NetworkZone }) {
		return invalid("network_zone", "network zone not found")
	}
	for _, other := range n.Subnets {
		if o, _ := netip.ParsePrefix(other.IPRange); o.Overlaps(p) {
			return invalid("ip_range", "overlaps with another subnet")
		}
	}
	s.Gateway = n.gateway()
	n.Subnets = append(n.Subnets, s)
	return nil
}

func updateNetwork(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	r := struct {
		Name   string             `json:"name"`
		Labels *map[string]string `json:"labels"`
	}{Name: n.Name}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := rename(q, "network", &n.meta, r.Name, r.Labels, q.networks, func(n *network) meta { return n.meta }); e != nil {
		return 0, nil, e
	}
	return 200, map[string]any{"network": q.showNetwork(n)}, nil
}

// deleteNetwork detaches the servers that are in it.
func deleteNetwork(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	if n.Protection.Delete {
		return 0, nil, refuse(423, "protected", "network deletion is protected")
	}
	delete(q.networks, id)
	for _, s := range q.servers {
		s.PrivateNet = slices.DeleteFunc(s.PrivateNet, func(p *privateNet) bool { return p.Network == id })
	}
	q.changed()
	return 204, nil, nil
}

func addSubnet(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	var s subnet
	if e := q.decode(&s); e != nil {
		return 0, nil, e
	}
	if e := n.add(&s); e != nil {
		return 0, nil, e
	}
	return 201, map[string]any{"action": q.act("add_subnet", nil, func(ok bool) {
		if !ok {
			n.Subnets = slices.DeleteFunc(n.Subnets, func(x *subnet) bool { return x == &s })
		}
	}, reference{id, "network"})}, nil
}

func deleteSubnet(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	var r subnet
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	at := slices.IndexFunc(n.Subnets, func(s *subnet) bool { return s.IPRange == r.IPRange })
	if at < 0 {
		return 0, nil, notFound("subnet", r.IPRange)
	}
	if len(q.attached(n, r.IPRange)) > 0 {
		return 0, nil, refuse(422, "service_error", "cannot remove subnet because servers are attached to it")
	}
	s := n.Subnets[at]
	return 201, map[string]any{"action": q.act("delete_subnet", nil, func(ok bool) {
		if ok {
			n.Subnets = slices.DeleteFunc(n.Subnets, func(x *subnet) bool { return x == s })
		}
	}, reference{id, "network"})}, nil
}

func protectNetwork(q *request, id int64) (int, any, *Error) {
	n, ok := q.networks[id]
	if !ok {
		return 0, nil, notFound("network", id)
	}
	p := n.Protection
	if e := q.decode(&p); e != nil {
		return 0, nil, e
	}
	return 201, map[string]any{"action": q.act("change_protection", nil, func(ok bool) {
		if ok {
			n.Protection = p
		}
	}, reference{id, "network"})}, nil
}
