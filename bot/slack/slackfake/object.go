package slackfake

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Object is a JSON object as Slack's protocol carries it: a block, an element,
// an option, a payload.
type Object = map[string]any

// decode reads JSON, keeping numbers as they were written.
func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("slackfake: %v", err)) // only values of our own making come here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// clone copies a JSON value deeply, so that what is handed out is nobody
// else's.
func clone[T any](v T) T {
	return cloneValue(v).(T)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case Object:
		if v == nil {
			return v
		}
		c := make(Object, len(v))
		for k, e := range v {
			c[k] = cloneValue(e)
		}
		return c
	case []any:
		if v == nil {
			return v
		}
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = cloneValue(e)
		}
		return c
	case []Object:
		if v == nil {
			return v
		}
		c := make([]Object, len(v))
		for i, e := range v {
			c[i] = cloneValue(e).(Object)
		}
		return c
	default:
		return v
	}
}

func str(o Object, key string) string {
	s, _ := o[key].(string)
	return s
}

func obj(o Object, key string) Object {
	v, _ := o[key].(Object)
	return v
}

func list(o Object, key string) []any {
	v, _ := o[key].([]any)
	return v
}

func flag(o Object, key string) bool {
	b, _ := o[key].(bool)
	return b
}

// textOf is the text of a text object.
func textOf(v any) string {
	o, _ := v.(Object)
	return str(o, "text")
}

// objects are those elements of a JSON array that are objects.
func objects(all []any) []Object {
	var out []Object
	for _, v := range all {
		if o, ok := v.(Object); ok {
			out = append(out, o)
		}
	}
	return out
}
