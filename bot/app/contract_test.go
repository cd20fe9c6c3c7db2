package app

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The forms of --json, as the design's contracts give them. They are written
// down here again and not taken from the code, which they check.

type object = map[string]any

// checker notes everything that is not as the contract says.
type checker struct{ wrong []string }

func (c *checker) bad(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *checker) text(o object, at, key string, form string) {
	v, ok := o[key].(string)
	if !ok || !regexp.MustCompile(`^(?:`+form+`)$`).MatchString(v) {
		c.bad("%s.%s is %#v, not %s", at, key, o[key], form)
	}
}

func (c *checker) moment(o object, at, key string, nullable bool) {
	v, present := o[key]
	if v == nil && present && nullable {
		return
	}
	text, _ := v.(string)
	if _, err := time.Parse(time.RFC3339, text); err != nil || !strings.HasSuffix(text, "Z") {
		c.bad("%s.%s is %#v, not a time in UTC", at, key, v)
	}
}

const (
	lives      = "creating|ready|deploying|failed|destroying|destroyed"
	identifier = "[a-z][a-z0-9]+"
	anyName    = "[a-z]([a-z0-9-]{0,30}[a-z0-9])?"
)

func (c *checker) environment(v any) {
	o, ok := v.(object)
	if !ok {
		c.bad("the environment is %#v", v)
		return
	}
	for key, form := range map[string]string{"id": identifier, "name": anyName, "owner": ".+", "target": ".+", "status": lives} {
		c.text(o, "environment", key, form)
	}
	c.moment(o, "environment", "expires_at", false)
	servers, ok := o["servers"].([]any)
	if !ok {
		c.bad("servers is %#v", o["servers"])
	}
	for _, s := range servers {
		c.server(s, false)
	}
	if op, present := o["operation"]; !present {
		c.bad("operation is left out")
	} else if op != nil {
		c.operation(op)
	}
	if d, present := o["diagnosis"]; !present {
		c.bad("diagnosis is left out")
	} else if d != nil {
		c.diagnosis(d)
	}
}

func (c *checker) server(v any, alone bool) {
	o, ok := v.(object)
	if !ok {
		c.bad("the server is %#v", v)
		return
	}
	if alone {
		c.text(o, "server", "environment", anyName)
	}
	for key, form := range map[string]string{"name": anyName + "/" + anyName, "app": anyName, "branch": ".+", "revision": "[0-9a-f]{40}|", "status": lives,
		"agent": "online|silent|never", "address": ".*", "url": "(https?://.+)?"} {
		c.text(o, "server", key, form)
	}
	c.moment(o, "server", "last_seen", true)
	needs, ok := o["needs"].(object)
	if !ok {
		c.bad("needs is %#v", o["needs"])
	}
	for key := range needs {
		c.text(needs, "needs", key, "https?://.+")
	}
}

func (c *checker) operation(v any) {
	o, ok := v.(object)
	if !ok {
		c.bad("the operation is %#v", v)
		return
	}
	for key, form := range map[string]string{"id": identifier, "kind": "[a-z-]+", "status": "queued|running|succeeded|failed|canceled"} {
		c.text(o, "operation", key, form)
	}
	c.moment(o, "operation", "started_at", true)
	c.moment(o, "operation", "ended_at", true)
}

func (c *checker) diagnosis(v any) {
	o, ok := v.(object)
	if !ok {
		c.bad("the diagnosis is %#v", v)
		return
	}
	c.text(o, "diagnosis", "outcome", "ok|failed|busy|unreadable")
	causes, ok := o["causes"].([]any)
	if !ok || len(causes) == 0 {
		c.bad("causes is %#v", o["causes"])
	}
	for _, cause := range causes {
		co, _ := cause.(object)
		for key, form := range map[string]string{"code": "[a-z_]+", "who": "developer|ops|retry", "where": "(?s).*", "sentence": "(?s).{1,240}", "next": "(?s).+", "evidence": "(?s).*", "fingerprint": "[a-z2-7]{10}"} {
			c.text(co, "cause", key, form)
		}
	}
	for _, key := range []string{"blocked", "total", "succeeded"} {
		if _, ok := o[key].(float64); !ok {
			c.bad("diagnosis.%s is %#v", key, o[key])
		}
	}
}

func (c *checker) refusal(v any) {
	o, _ := v.(object)
	e, ok := o["error"].(object)
	if !ok || len(o) != 1 {
		c.bad("the error is %#v", v)
		return
	}
	c.text(e, "error", "code", "[a-z_]+")
	c.text(e, "error", "message", "(?s).+")
	c.text(e, "error", "hint", "(?s).+")
	for key := range e {
		if !slices.Contains([]string{"code", "message", "hint", "suggestions"}, key) {
			c.bad("an error has no %s", key)
		}
	}
}

func (c *checker) each(v any, check func(any)) {
	all, ok := v.([]any)
	if !ok {
		c.bad("%#v is no array", v)
	}
	for _, one := range all {
		check(one)
	}
}

// cmdValid checks that the last standard output is one JSON value of a form:
// valid environment|environments|server|servers|operations|diagnosis|error|any
// [PATH VALUE]… where PATH is like servers.0.status and VALUE a regular
// expression for the whole of it.
func cmdValid(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	dec := json.NewDecoder(strings.NewReader(out))
	var v any
	if err := dec.Decode(&v); err != nil {
		ts.Fatalf("no JSON: %v\n%s", err, out)
	}
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("more than one value on standard output:\n%s", out)
	}
	c := &checker{}
	switch args[0] {
	case "environment":
		c.environment(v)
	case "environments":
		c.each(v, c.environment)
	case "server":
		c.server(v, true)
	case "servers":
		c.each(v, func(s any) { c.server(s, true) })
	case "operations":
		c.each(v, c.operation)
	case "diagnosis":
		c.diagnosis(v)
	case "error":
		c.refusal(v)
	case "any":
	default:
		ts.Fatalf("there is no form %s", args[0])
	}
	for i := 1; i+1 < len(args); i += 2 {
		at := v
		for step := range strings.SplitSeq(args[i], ".") {
			switch x := at.(type) {
			case object:
				at = x[step]
			case []any:
				n := -1
				if _, err := fmt.Sscan(step, &n); err == nil && n >= 0 && n < len(x) {
					at = x[n]
				} else {
					at = nil
				}
			default:
				at = nil
			}
		}
		got := fmt.Sprint(at)
		if at == nil {
			got = "null"
		}
		if !regexp.MustCompile(`^(?:` + args[i+1] + `)$`).MatchString(got) {
			c.bad("%s is %s, not %s", args[i], got, args[i+1])
		}
	}
	if (len(c.wrong) == 0) == neg {
		ts.Fatalf("not as the contract says:\n%s\n%s", strings.Join(c.wrong, "\n"), out)
	}
}
