package hcloudfake

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

type firewall struct {
	meta
	Rules     []rule     `json:"rules"`
	AppliedTo []resource `json:"applied_to"`

	servers   map[int64]bool
	selectors []string
}

type rule struct {
	Direction      string   `json:"direction"`
	SourceIPs      []string `json:"source_ips"`
	DestinationIPs []string `json:"destination_ips"`
	Protocol       string   `json:"protocol"`
	Port           *string  `json:"port"`
	Description    *string  `json:"description"`
}

type resource struct {
	Type          string         `json:"type"`
	Server        *resourceID    `json:"server,omitempty"`
	LabelSelector *labelSelector `json:"label_selector,omitempty"`
}

type resourceID struct {
	ID int64 `json:"id"`
}

type labelSelector struct {
	Selector string `json:"selector"`
}

// Rules says which rules hold for what comes to a server from the internet, as
// "tcp 8080 from 203.0.113.0/24", sorted. ok is false when no firewall is
// applied to it, so that everything may come.
func (c *Cloud) Rules(id int64) (rules []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[id]
	if s == nil {
		return nil, false
	}
	rules = []string{}
	for _, f := range sorted(c.firewalls) {
		if !c.covers(f, s) {
			continue
		}
		ok = true
		for _, r := range f.Rules {
			if r.Direction != "in" {
				continue
			}
			port := ""
			if r.Port != nil {
				port = " " + *r.Port
			}
			for _, from := range r.SourceIPs {
				rules = append(rules, r.Protocol+port+" from "+from)
			}
		}
	}
	slices.Sort(rules)
	return rules, ok
}

// covers reports whether f is applied to s.
func (c *Cloud) covers(f *firewall, s *server) bool {
	if f.servers[s.ID] {
		return true
	}
	return slices.ContainsFunc(f.selectors, func(text string) bool {
		match, e := parseSelector(text)
		return e == nil && match(s.Labels)
	})
}

func (c *Cloud) showFirewall(f *firewall) *firewall {
	out := *f
	out.AppliedTo = []resource{}
	for _, s := range sorted(c.servers) {
		if f.servers[s.ID] {
			out.AppliedTo = append(out.AppliedTo, resource{Type: "server", Server: &resourceID{s.ID}})
		}
	}
	for _, text := range f.selectors {
		out.AppliedTo = append(out.AppliedTo, resource{Type: "label_selector", LabelSelector: &labelSelector{text}})
	}
	return &out
}

func listFirewalls(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, sorted(q.firewalls), func(f *firewall) meta { return f.meta })
	if e != nil {
		return 0, nil, e
	}
	for i := range all {
		all[i] = q.showFirewall(all[i])
	}
	return page(q, "firewalls", all)
}

func getFirewall(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	return 200, map[string]any{"firewall": q.showFirewall(f)}, nil
}

func createFirewall(q *request, _ int64) (int, any, *Error) {
	var r struct {
		Name    string            `json:"name"`
		Labels  map[string]string `json:"labels"`
		Rules   []rule            `json:"rules"`
		ApplyTo []resource        `json:"apply_to"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := named(r.Name, r.Labels); e != nil {
		return 0, nil, e
	}
	if e := checkRules(r.Rules); e != nil {
		return 0, nil, e
	}
	if e := unused(q, "firewall", r.Name, q.firewalls, func(f *firewall) meta { return f.meta }); e != nil {
		return 0, nil, e
	}
	f := &firewall{Rules: append([]rule{}, r.Rules...), servers: map[int64]bool{}}
	if e := q.apply(f, r.ApplyTo); e != nil {
		return 0, nil, e
	}
	f.meta = q.newMeta("firewall", r.Name, r.Labels)
	q.firewalls[f.ID] = f
	actions := []action{}
	if len(r.Rules) > 0 {
		actions = append(actions, q.act("set_firewall_rules", nil, nil, reference{f.ID, "firewall"}))
	}
	return 201, map[string]any{"firewall": q.showFirewall(f), "actions": actions}, nil
}

// checkRules also fills in what the API shows of rules.
func checkRules(rules []rule) *Error {
	if len(rules) > 50 {
		return invalid("rules", "at most 50 rules")
	}
	for i := range rules {
		r := &rules[i]
		if r.SourceIPs == nil {
			r.SourceIPs = []string{}
		}
		if r.DestinationIPs == nil {
			r.DestinationIPs = []string{}
		}
		field := "rules[" + strconv.Itoa(i) + "]"
		var ips []string
		switch {
		case r.Direction == "in" && len(r.DestinationIPs) == 0:
			ips = r.SourceIPs
		case r.Direction == "out" && len(r.SourceIPs) == 0:
			ips = r.DestinationIPs
		default:
			return invalid(field, "direction and addresses do not fit")
		}
		if len(ips) == 0 || len(ips) > 100 {
			return invalid(field, "between 1 and 100 addresses")
		}
		for _, ip := range ips {
			if p, err := netip.ParsePrefix(ip); err != nil || p != p.Masked() {
				return invalid(field, "'"+ip+"' is not a network in CIDR notation")
			}
		}
		switch r.Protocol {
		case "tcp", "udp":
			if r.Port == nil || !validPort(*r.Port) {
				return invalid(field, "a port or a range of ports is needed")
			}
		case "icmp", "esp", "gre":
			if r.Port != nil {
				return invalid(field, "the protocol has no ports")
			}
		default:
			return invalid(field, "unknown protocol")
		}
	}
	return nil
}

func validPort(text string) bool {
	if text == "any" {
		return true
	}
	from, to, isRange := strings.Cut(text, "-")
	a, err := strconv.Atoi(from)
	if err != nil || a < 1 || a > 65535 {
		return false
	}
	if !isRange {
		return true
	}
	b, err := strconv.Atoi(to)
	return err == nil && b >= a && b <= 65535
}

func (q *request) apply(f *firewall, to []resource) *Error {
	for _, r := range to {
		switch {
		case r.Type == "server" && r.Server != nil:
			s := q.servers[r.Server.ID]
			if s == nil {
				return refuse(422, "firewall_resource_not_found", "server with ID '%d' not found", r.Server.ID)
			}
			if q.addressOf(s, "ipv4") == nil && q.addressOf(s, "ipv6") == nil {
				return refuse(422, "private_net_only_server", "firewalls cannot be applied to servers without a public interface")
			}
			if f.servers[s.ID] {
				return refuse(422, "firewall_already_applied", "firewall is already applied to the server")
			}
			f.servers[s.ID] = true
		case r.Type == "label_selector" && r.LabelSelector != nil:
			if _, e := parseSelector(r.LabelSelector.Selector); e != nil {
				return e
			}
			f.selectors = append(f.selectors, r.LabelSelector.Selector)
		default:
			return invalid("apply_to", "unknown resource")
		}
	}
	return nil
}

func updateFirewall(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	r := struct {
		Name   string             `json:"name"`
		Labels *map[string]string `json:"labels"`
	}{Name: f.Name}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := rename(q, "firewall", &f.meta, r.Name, r.Labels, q.firewalls, func(f *firewall) meta { return f.meta }); e != nil {
		return 0, nil, e
	}
	return 200, map[string]any{"firewall": q.showFirewall(f)}, nil
}

func deleteFirewall(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	if len(f.servers)+len(f.selectors) > 0 {
		return 0, nil, refuse(422, "resource_in_use", "firewall with ID '%d' is still in use", id)
	}
	delete(q.firewalls, id)
	return 204, nil, nil
}

func setRules(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	var r struct {
		Rules []rule `json:"rules"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := checkRules(r.Rules); e != nil {
		return 0, nil, e
	}
	f.Rules = append([]rule{}, r.Rules...)
	return 201, map[string]any{"actions": []action{q.act("set_firewall_rules", nil, nil, reference{id, "firewall"})}}, nil
}

func applyTo(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	var r struct {
		ApplyTo []resource `json:"apply_to"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := q.apply(f, r.ApplyTo); e != nil {
		return 0, nil, e
	}
	return 201, map[string]any{"actions": []action{q.act("apply_firewall", nil, nil, reference{id, "firewall"})}}, nil
}

func removeFrom(q *request, id int64) (int, any, *Error) {
	f, ok := q.firewalls[id]
	if !ok {
		return 0, nil, notFound("firewall", id)
	}
	var r struct {
		RemoveFrom []resource `json:"remove_from"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	for _, x := range r.RemoveFrom {
		switch {
		case x.Server != nil && f.servers[x.Server.ID]:
			delete(f.servers, x.Server.ID)
		case x.LabelSelector != nil && slices.Contains(f.selectors, x.LabelSelector.Selector):
			f.selectors = slices.DeleteFunc(f.selectors, func(s string) bool { return s == x.LabelSelector.Selector })
		default:
			return 0, nil, refuse(422, "firewall_resource_not_found", "the firewall is not applied to this resource")
		}
	}
	return 201, map[string]any{"actions": []action{q.act("remove_firewall", nil, nil, reference{id, "firewall"})}}, nil
}
