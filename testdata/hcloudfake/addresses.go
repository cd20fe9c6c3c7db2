package hcloudfake

import (
	"fmt"
	"slices"
)

type primaryIP struct {
	meta
	IP           string     `json:"ip"`
	Type         string     `json:"type"`
	Protection   protection `json:"protection"`
	DNSPtr       []dnsPtr   `json:"dns_ptr"`
	AssigneeID   *int64     `json:"assignee_id"`
	AssigneeType string     `json:"assignee_type"`
	AutoDelete   bool       `json:"auto_delete"`
	Blocked      bool       `json:"blocked"`
	Location     *location  `json:"location"`
}

type dnsPtr struct {
	DNSPtr string `json:"dns_ptr"`
	IP     string `json:"ip"`
}

func (p *primaryIP) assign(server int64) { p.AssigneeID = &server }

// newAddress makes one of the ranges for documentation, RFC 5737 and 3849, and
// then of the range for benchmarks, RFC 2544.
func (c *Cloud) newAddress(name, kind string, at *location, labels map[string]string) *primaryIP {
	c.lastIP++
	p := &primaryIP{meta: c.newMeta("primary_ip", name, labels), Type: kind, AssigneeType: "server", Location: at, DNSPtr: []dnsPtr{}}
	n := c.lastIP
	switch {
	case kind == "ipv6":
		p.IP = fmt.Sprintf("2001:db8:%x::/64", n)
	case n < 255:
		p.IP = fmt.Sprintf("203.0.113.%d", n)
	default:
		p.IP = fmt.Sprintf("198.18.%d.%d", n>>8&255, n&255)
	}
	if kind == "ipv4" {
		p.DNSPtr = append(p.DNSPtr, dnsPtr{fmt.Sprintf("static.%d.clients.example.com", p.ID), p.IP})
	}
	c.addresses[p.ID] = p
	return p
}

func (c *Cloud) addressOf(s *server, kind string) *primaryIP {
	for _, p := range c.addresses {
		if p.Type == kind && p.AssigneeID != nil && *p.AssigneeID == s.ID {
			return p
		}
	}
	return nil
}

// assignable reports why a server at a location cannot have an address.
func (c *Cloud) assignable(id int64, kind string, at *location) *Error {
	p, ok := c.addresses[id]
	switch {
	case !ok:
		return notFound("primary IP", id)
	case p.Type != kind:
		return refuse(422, "primary_ip_version_mismatch", "the primary IP has the wrong IP version")
	case p.AssigneeID != nil:
		return refuse(422, "primary_ip_assigned", "the primary IP is already assigned to a server")
	case p.Location != at:
		return refuse(422, "primary_ip_datacenter_mismatch", "the primary IP is in a different location")
	}
	return nil
}

func listAddresses(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, sorted(q.addresses), func(p *primaryIP) meta { return p.meta })
	if e != nil {
		return 0, nil, e
	}
	if ip := q.query.Get("ip"); ip != "" {
		all = slices.DeleteFunc(all, func(p *primaryIP) bool { return p.IP != ip })
	}
	return page(q, "primary_ips", all)
}

func getAddress(q *request, id int64) (int, any, *Error) {
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	return 200, map[string]any{"primary_ip": p}, nil
}

func createAddress(q *request, _ int64) (int, any, *Error) {
	var r struct {
		Name         string            `json:"name"`
		Type         string            `json:"type"`
		Labels       map[string]string `json:"labels"`
		Location     string            `json:"location"`
		AssigneeID   *int64            `json:"assignee_id"`
		AssigneeType string            `json:"assignee_type"`
		AutoDelete   bool              `json:"auto_delete"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := named(r.Name, r.Labels); e != nil {
		return 0, nil, e
	}
	if r.Type != "ipv4" && r.Type != "ipv6" {
		return 0, nil, invalid("type", "must be ipv4 or ipv6")
	}
	at := slices.IndexFunc(locations, func(l *location) bool { return l.Name == r.Location })
	var where *location
	switch {
	case r.AssigneeID == nil && at < 0:
		return 0, nil, invalid("location", "location not found")
	case r.AssigneeID != nil && r.Location != "":
		return 0, nil, invalid("location", "either a location or an assignee")
	case r.AssigneeID == nil:
		where = locations[at]
	default:
		s, ok := q.servers[*r.AssigneeID]
		if !ok {
			return 0, nil, notFound("server", *r.AssigneeID)
		}
		if s.Status != "off" {
			return 0, nil, refuse(422, "server_not_stopped", "server must be stopped for this action")
		}
		if q.addressOf(s, r.Type) != nil {
			return 0, nil, refuse(422, "server_has_"+r.Type, "the server already has an address")
		}
		where = s.Location
	}
	if e := unused(q, "primary_ip", r.Name, q.addresses, func(p *primaryIP) meta { return p.meta }); e != nil {
		return 0, nil, e
	}
	p := q.newAddress(r.Name, r.Type, where, r.Labels)
	p.AutoDelete, p.AssigneeID = r.AutoDelete, r.AssigneeID
	a := q.act("create_primary_ip", nil, nil, reference{p.ID, "primary_ip"})
	return 201, map[string]any{"primary_ip": p, "action": a}, nil
}

func updateAddress(q *request, id int64) (int, any, *Error) {
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	r := struct {
		Name       string             `json:"name"`
		Labels     *map[string]string `json:"labels"`
		AutoDelete *bool              `json:"auto_delete"`
	}{Name: p.Name}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := rename(q, "primary ip", &p.meta, r.Name, r.Labels, q.addresses, func(p *primaryIP) meta { return p.meta }); e != nil {
		return 0, nil, e
	}
	if r.AutoDelete != nil {
		p.AutoDelete = *r.AutoDelete
	}
	return 200, map[string]any{"primary_ip": p}, nil
}

// released refuses to take an address from a server that runs.
func (q *request) released(p *primaryIP) *Error {
	if p.AssigneeID == nil {
		return nil
	}
	if s := q.servers[*p.AssigneeID]; s != nil && s.Status != "off" {
		return refuse(422, "server_not_stopped", "server must be stopped for this action")
	}
	return nil
}

func deleteAddress(q *request, id int64) (int, any, *Error) {
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	if p.Protection.Delete {
		return 0, nil, refuse(423, "protected", "primary IP deletion is protected")
	}
	if e := q.released(p); e != nil {
		return 0, nil, e
	}
	delete(q.addresses, id)
	q.changed()
	return 204, nil, nil
}

func assignAddress(q *request, id int64) (int, any, *Error) {
	var r struct {
		AssigneeID   int64  `json:"assignee_id"`
		AssigneeType string `json:"assignee_type"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	s, ok := q.servers[r.AssigneeID]
	if !ok {
		return 0, nil, notFound("server", r.AssigneeID)
	}
	if e := q.assignable(id, p.Type, s.Location); e != nil {
		return 0, nil, e
	}
	if s.Status != "off" {
		return 0, nil, refuse(422, "server_not_stopped", "server must be stopped for this action")
	}
	if q.addressOf(s, p.Type) != nil {
		return 0, nil, refuse(422, "server_has_"+p.Type, "the server already has an address")
	}
	p.assign(s.ID)
	return 201, map[string]any{"action": q.act("assign_primary_ip", s, nil, reference{id, "primary_ip"})}, nil
}

func unassignAddress(q *request, id int64) (int, any, *Error) {
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	if e := q.released(p); e != nil {
		return 0, nil, e
	}
	p.AssigneeID = nil
	return 201, map[string]any{"action": q.act("unassign_primary_ip", nil, nil, reference{id, "primary_ip"})}, nil
}

func protectAddress(q *request, id int64) (int, any, *Error) {
	p, ok := q.addresses[id]
	if !ok {
		return 0, nil, notFound("primary IP", id)
	}
	wanted := p.Protection
	if e := q.decode(&wanted); e != nil {
		return 0, nil, e
	}
	return 201, map[string]any{"action": q.act("change_protection", nil, func(ok bool) {
		if ok {
			p.Protection = wanted
		}
	}, reference{id, "primary_ip"})}, nil
}
