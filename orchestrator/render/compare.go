package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/hcl/v2"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/text/unicode/norm"
)

// compare reads data the way Terraform reads a variables file (HCL's JSON
// form, strings taken literally) and compares it with v.
func (v values) compare(data []byte) error {
	f, diags := hcljson.Parse(data, ValuesFile)
	if diags.HasErrors() {
		return differs("", diags.Error())
	}
	attrs, diags := f.Body.JustAttributes()
	if diags.HasErrors() {
		return differs("", diags.Error())
	}
	want := map[string]any{
		"environment_id": v.EnvironmentID, "user_data": v.UserData, "tags": v.Tags, "target": v.Target,
		"servers": map[string]any{},
	}
	for app, s := range v.Servers {
		want["servers"].(map[string]any)[app] = map[string]any{"id": s.ID, "app": s.App, "port": s.Port, "uid": s.UID, "variables": s.Variables, "needed_by": s.NeededBy}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(attrs)), slices.Sorted(maps.Keys(want))) {
		return differs("", "other names")
	}
	for name, a := range attrs {
		got, diags := a.Expr.Value((*hcl.EvalContext)(nil))
		if diags.HasErrors() {
			return differs(name, diags.Error())
		}
		// Terraform brings strings into Unicode's normal form C; user-data
		// must come out byte for byte.
		if err := same(name, reflect.ValueOf(want[name]), got, name == "user_data"); err != nil {
			return err
		}
	}
	return nil
}

func differs(path, what string) error {
	if path != "" {
		what = path + ": " + what
	}
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "A value cannot be given to Terraform as it is: %s.", what).
		WithHint("Look at the target's and the size's variables and the tags: text is UTF-8, numbers are finite.")
}

// same reports how want, a Go value, differs from got, what Terraform reads.
func same(path string, want reflect.Value, got cty.Value, exact bool) error {
	for want.IsValid() && (want.Kind() == reflect.Interface || want.Kind() == reflect.Pointer) && want.Type() != reflect.TypeFor[*big.Float]() {
		if want.IsNil() {
			want = reflect.Value{}
			break
		}
		want = want.Elem()
	}
	if !want.IsValid() || (want.Kind() == reflect.Map || want.Kind() == reflect.Slice) && want.IsNil() {
		if got.IsNull() || want.IsValid() && got.CanIterateElements() && got.LengthInt() == 0 {
			return nil
		}
		return differs(path, "null became a value")
	}
	if got.IsNull() || !got.IsKnown() {
		return differs(path, "a value became null")
	}
	if n, ok := number(want); ok {
		if got.Type() != cty.Number || got.AsBigFloat().Cmp(n) != 0 {
			return differs(path, "another number")
		}
		return nil
	}
	switch want.Kind() {
	case reflect.String:
		s := want.String()
		if !utf8.ValidString(s) {
			return differs(path, "no UTF-8 text")
		}
		if !exact {
			s = norm.NFC.String(s)
		}
		if got.Type() != cty.String || got.AsString() != s {
			return differs(path, "another text")
		}
	case reflect.Bool:
		if got.Type() != cty.Bool || got.True() != want.Bool() {
			return differs(path, "another truth value")
		}
	case reflect.Slice, reflect.Array:
		if !got.CanIterateElements() || got.LengthInt() != want.Len() || got.Type().IsObjectType() {
			return differs(path, "another list")
		}
		for i := range want.Len() {
			if err := same(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(cty.NumberIntVal(int64(i))), exact); err != nil {
				return err
			}
		}
	case reflect.Map:
		if !got.Type().IsObjectType() || got.LengthInt() != want.Len() || want.Type().Key().Kind() != reflect.String {
			return differs(path, "another object")
		}
		iter := want.MapRange()
		for iter.Next() {
			key := norm.NFC.String(iter.Key().String())
			if !utf8.ValidString(key) || !got.Type().HasAttribute(key) {
				return differs(path, fmt.Sprintf("no key %q", key))
			}
			if err := same(path+"."+key, iter.Value(), got.GetAttr(key), exact); err != nil {
				return err
			}
		}
	default:
		return differs(path, "a "+want.Kind().String()+" is nothing that Terraform knows")
	}
	return nil
}

// number gives v's exact value as Terraform reads it from JSON.
func number(v reflect.Value) (*big.Float, bool) {
	var text string
	switch x := v.Interface().(type) {
	case json.Number:
		text = string(x)
	case *big.Float:
		text = x.Text('g', -1)
	default:
		switch {
		case v.CanInt(), v.CanUint(), v.CanFloat():
			b, err := json.Marshal(x)
			if err != nil {
				return nil, false
			}
			text = string(b)
		default:
			return nil, false
		}
	}
	n, err := cty.ParseNumberVal(text)
	if err != nil {
		return nil, false
	}
	return n.AsBigFloat(), true
}
