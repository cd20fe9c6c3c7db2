package hcloudfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is an error of the API.
type Error struct {
	Status  int
	Code    string
	Message string
	Fields  []Field // of invalid_input
}

// Field is a field that invalid_input complains of.
type Field struct {
	Name     string   `json:"name"`
	Messages []string `json:"messages"`
}

func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// Errors that the project gives by itself only under circumstances that a test
// has no hand in.
var (
	Quota       = &Error{Status: 403, Code: "resource_limit_exceeded", Message: "server limit reached"}
	CoreQuota   = &Error{Status: 403, Code: "resource_limit_exceeded", Message: "dedicated core limit exceeded"}
	Capacity    = &Error{Status: 412, Code: "resource_unavailable", Message: "error during placement"}
	Placement   = &Error{Status: 422, Code: "placement_error", Message: "error during placement"}
	RateLimited = &Error{Status: 429, Code: "rate_limit_exceeded", Message: "limit of 3600 requests per hour reached"}
	Maintenance = &Error{Status: 503, Code: "maintenance", Message: "the API is under maintenance"}
	ServerError = &Error{Status: 500, Code: "server_error", Message: "internal server error"}
	Forbidden   = &Error{Status: 403, Code: "forbidden", Message: "insufficient permissions for this request"}
	Locked      = &Error{Status: 423, Code: "locked", Message: "server is locked"}
	Conflict    = &Error{Status: 409, Code: "conflict", Message: "the resource has changed during the request, please retry"}
)

// Fault answers chosen calls otherwise than the project would.
type Fault struct {
	Method string // "": any
	Path   string // without /v1, as path.Match has it: "/servers", "/servers/*/actions/poweroff"
	Skip   int    // calls that go well before it
	Times  int    // calls that it hits; 0: all
	// One of these: an error of the API; a bare status, as a gateway before it
	// gives it; a connection that breaks off; an action that is taken and then
	// fails with this error.
	Error  *Error
	Status int
	Drop   bool
	Action *Error
}

type fault struct {
	Fault
	seen int
}

// Inject adds a fault. Of several for a call, the first counts.
func (c *Cloud) Inject(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &fault{Fault: f})
}

// Heal takes all faults away, and what was sold out is to be had again.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
	clear(c.soldOut)
}

func (c *Cloud) faultFor(method, p string) *Fault {
	for _, f := range c.faults {
		if ok, _ := path.Match(f.Path, p); !ok || f.Method != "" && f.Method != method {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			return &f.Fault
		}
	}
	return nil
}

// request is one call at work.
type request struct {
	*Cloud
	method string
	query  url.Values
	body   []byte
	fails  *Error // what the action of this call ends with
}

// ServeHTTP answers the API.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the caller is gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick()
	p, ok := strings.CutPrefix(r.URL.Path, "/v1")
	call := Call{Method: r.Method, Path: p}
	defer func() { c.calls = append(c.calls, call) }()
	f := c.faultFor(r.Method, p)
	if f != nil && f.Drop {
		panic(http.ErrAbortHandler) // closes the connection
	}
	if f != nil && f.Status != 0 {
		call.Status = f.Status
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, "<html><body><h1>%d %s</h1></body></html>\n", f.Status, http.StatusText(f.Status))
		return
	}
	q := &request{Cloud: c, method: r.Method, query: r.URL.Query(), body: body}
	status, out := 0, any(nil)
	e := c.authenticate(r)
	if e == nil && f != nil && f.Error != nil {
		e = f.Error
	}
	if e == nil && !ok {
		e = notFound("path", r.URL.Path)
	}
	if e == nil {
		if f != nil {
			q.fails = f.Action
		}
		status, out, e = q.route(p)
	}
	if e != nil {
		status, call.Code = e.Status, e.Code
		details := any(nil)
		if e.Code == "invalid_input" {
			details = map[string]any{"fields": e.Fields}
		}
		out = map[string]any{"error": map[string]any{"code": e.Code, "message": e.Message, "details": details}}
	}
	call.Status = status
	limit, remaining := 3600, 3599
	if status == http.StatusTooManyRequests {
		remaining = 0
	}
	w.Header().Set("RateLimit-Limit", strconv.Itoa(limit))
	w.Header().Set("RateLimit-Remaining", strconv.Itoa(remaining))
	w.Header().Set("RateLimit-Reset", strconv.FormatInt(c.now.Add(time.Duration(limit-remaining)*time.Second).Unix(), 10))
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	data, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

func (c *Cloud) authenticate(r *http.Request) *Error {
	switch token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case ok && token == c.Token:
		return nil
	case ok && token == c.ReadOnly:
		if r.Method == http.MethodGet {
			return nil
		}
		return &Error{Status: 403, Code: "token_readonly", Message: "this token is only allowed to perform GET requests"}
	}
	return &Error{Status: 401, Code: "unauthorized", Message: "the token you have provided is invalid"}
}

// tick lets a second go by.
func (c *Cloud) tick() {
	c.now = c.now.Add(time.Second)
	for _, a := range sorted(c.actions) {
		if a.Status == "running" && !c.now.Before(a.end) {
			c.finish(a)
		}
	}
}

// route finds what a path stands for.
func (q *request) route(p string) (int, any, *Error) {
	parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
	collection, ok := collections[parts[0]]
	if !ok {
		return 0, nil, notFound("path", p)
	}
	id := int64(0)
	if len(parts) > 1 && parts[1] != "actions" {
		n, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return 0, nil, notFound(collection.name, parts[1])
		}
		id = n
	}
	methods := map[string]handler{}
	switch {
	case len(parts) == 1:
		methods["GET"], methods["POST"] = collection.list, collection.create
	case len(parts) == 2 && id != 0:
		methods["GET"], methods["PUT"], methods["DELETE"] = collection.get, collection.update, collection.remove
	case len(parts) == 4 && parts[2] == "actions" && id != 0:
		methods["POST"] = collection.actions[parts[3]]
		if methods["POST"] == nil {
			return 0, nil, notFound("path", p)
		}
	default:
		return 0, nil, notFound("path", p)
	}
	h := methods[q.method]
	if h == nil {
		return 0, nil, &Error{Status: 405, Code: "method_not_allowed", Message: "method not allowed"}
	}
	return h(q, id)
}

// handler answers a call for the resource id, 0 for the collection.
type handler func(q *request, id int64) (int, any, *Error)

// collection is what is below one path.
type collection struct {
	name                              string
	list, create, get, update, remove handler
	actions                           map[string]handler
}

var collections map[string]collection

func init() { // they call one another
	collections = map[string]collection{
		"locations":    {name: "location", list: listLocations, get: getLocation},
		"server_types": {name: "server type", list: listTypes, get: getType},
		"images":       {name: "image", list: listImages, get: getImage},
		"actions":      {name: "action", list: listActions, get: getAction},
		"servers": {name: "server", list: listServers, create: createServer, get: getServer, update: updateServer, remove: deleteServer,
			actions: map[string]handler{
				"poweron": powerOn, "poweroff": powerOff, "shutdown": powerOff, "change_type": changeType,
				"attach_to_network": attachToNetwork, "detach_from_network": detachFromNetwork, "change_alias_ips": changeAliasIPs,
				"change_protection": protectServer,
			}},
		"networks": {name: "network", list: listNetworks, create: createNetwork, get: getNetwork, update: updateNetwork, remove: deleteNetwork,
			actions: map[string]handler{"add_subnet": addSubnet, "delete_subnet": deleteSubnet, "change_protection": protectNetwork}},
		"firewalls": {name: "firewall", list: listFirewalls, create: createFirewall, get: getFirewall, update: updateFirewall, remove: deleteFirewall,
			actions: map[string]handler{"set_rules": setRules, "apply_to_resources": applyTo, "remove_from_resources": removeFrom}},
		"ssh_keys": {name: "SSH key", list: listKeys, create: createKey, get: getKey, remove: deleteKey},
		"primary_ips": {name: "primary IP", list: listAddresses, create: createAddress, get: getAddress, update: updateAddress, remove: deleteAddress,
			actions: map[string]handler{"assign": assignAddress, "unassign": unassignAddress, "change_protection": protectAddress}},
	}
}

// decode reads the body; nothing stands for an object without anything.
func (q *request) decode(v any) *Error {
	if len(q.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(q.body, v); err != nil {
		if _, ok := err.(*json.UnmarshalTypeError); ok {
			return invalid(err.(*json.UnmarshalTypeError).Field, "invalid type")
		}
		return &Error{Status: 400, Code: "json_error", Message: "invalid JSON in request"}
	}
	return nil
}

func notFound(what string, id any) *Error {
	return &Error{Status: 404, Code: "not_found", Message: fmt.Sprintf("%s with ID '%v' not found", what, id)}
}

func invalid(field, message string) *Error {
	return &Error{Status: 422, Code: "invalid_input", Message: fmt.Sprintf("invalid input in field '%s'", field), Fields: []Field{{field, []string{message}}}}
}

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// page answers a list: the part that was asked for, and where it stands.
func page[T any](q *request, key string, all []T) (int, any, *Error) {
	number := func(name string, byDefault, most int) (int, *Error) {
		text := q.query.Get(name)
		if text == "" {
			return byDefault, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return 0, invalid(name, "not within the allowed range")
		}
		return n, nil
	}
	at, e := number("page", 1, 1<<30)
	if e != nil {
		return 0, nil, e
	}
	size, e := number("per_page", 25, 50)
	if e != nil {
		return 0, nil, e
	}
	last := max(1, (len(all)+size-1)/size)
	from := min((at-1)*size, len(all))
	part := append([]T{}, all[from:min(from+size, len(all))]...)
	pagination := map[string]any{"page": at, "per_page": size, "previous_page": nil, "next_page": nil, "last_page": last, "total_entries": len(all)}
	if at > 1 {
		pagination["previous_page"] = at - 1
	}
	if at < last {
		pagination["next_page"] = at + 1
	}
	return 200, map[string]any{key: part, "meta": map[string]any{"pagination": pagination}}, nil
}

// matching keeps those with the name and the labels that a list asks for.
func matching[T any](q *request, all []T, of func(T) meta) ([]T, *Error) {
	selector, e := parseSelector(q.query.Get("label_selector"))
	if e != nil {
		return nil, e
	}
	name := q.query.Get("name")
	return slices.DeleteFunc(all, func(x T) bool {
		m := of(x)
		return name != "" && m.Name != name || !selector(m.Labels)
	}), nil
}

var (
	// Of hcloud-go's labels.go, which has them of the API's documentation.
	labelKey   = regexp.MustCompile(`^([a-z0-9A-Z]((?:[\-_.]|[a-z0-9A-Z]){0,253}[a-z0-9A-Z])?/)?[a-z0-9A-Z]((?:[\-_.]|[a-z0-9A-Z]|){0,61}[a-z0-9A-Z])?$`)
	labelValue = regexp.MustCompile(`^(([a-z0-9A-Z](?:[\-_.]|[a-z0-9A-Z]){0,61})?[a-z0-9A-Z]$|$)`)
)

func checkLabels(labels map[string]string) *Error {
	for k, v := range labels {
		if !labelKey.MatchString(k) || strings.HasPrefix(k, "hetzner.cloud/") {
			return invalid("labels", fmt.Sprintf("label key '%s' is not valid", k))
		}
		if !labelValue.MatchString(v) {
			return invalid("labels", fmt.Sprintf("label value '%s' is not valid", v))
		}
	}
	return nil
}

var (
	selectSet  = regexp.MustCompile(`^(\S+) +(in|notin) +\(([^()]*)\)$`)
	selectOne  = regexp.MustCompile(`^([^=! ]+) *(==|=|!=) *([^=! ]*)$`)
	selectHas  = regexp.MustCompile(`^(!?)([^=! ]+)$`)
	selectPart = regexp.MustCompile(`[^,(]*(?:\([^)]*\))?[^,(]*`)
)

// parseSelector reads a label selector.
func parseSelector(text string) (func(map[string]string) bool, *Error) {
	var all []func(map[string]string) bool
	for _, part := range selectPart.FindAllString(text, -1) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if m := selectSet.FindStringSubmatch(part); m != nil {
			values := strings.Split(m[3], ",")
			for i := range values {
				values[i] = strings.TrimSpace(values[i])
			}
			all = append(all, func(l map[string]string) bool {
				v, ok := l[m[1]]
				return (ok && slices.Contains(values, v)) == (m[2] == "in")
			})
		} else if m := selectOne.FindStringSubmatch(part); m != nil {
			all = append(all, func(l map[string]string) bool {
				v, ok := l[m[1]]
				return (ok && v == m[3]) == (m[2] != "!=")
			})
		} else if m := selectHas.FindStringSubmatch(part); m != nil {
			all = append(all, func(l map[string]string) bool {
				_, ok := l[m[2]]
				return ok == (m[1] == "")
			})
		} else {
			return nil, invalid("label_selector", "not a valid label selector")
		}
	}
	return func(l map[string]string) bool {
		for _, f := range all {
			if !f(l) {
				return false
			}
		}
		return true
	}, nil
}

// unused refuses a name that another of its kind has, and one too many.
func unused[T any](q *request, kind, name string, all map[int64]*T, of func(*T) meta) *Error {
	for _, x := range all {
		if of(x).Name == name {
			return refuse(409, "uniqueness_error", "%s name is already used", strings.ReplaceAll(kind, "_", " "))
		}
	}
	if len(all) >= q.limits[kind] {
		return refuse(403, "resource_limit_exceeded", "%s limit reached", strings.ReplaceAll(kind, "_", " "))
	}
	return nil
}

// named checks the name and the labels of what is not a server.
func named(name string, labels map[string]string) *Error {
	if n := len(name); n < 1 || n > 128 {
		return invalid("name", "must be between 1 and 128 characters long")
	}
	return checkLabels(labels)
}
