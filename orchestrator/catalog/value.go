package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// code is the source text of a range, shortened, for examples in errors.
func (l *loader) code(r hcl.Range) string {
	if r.Start.Byte < 0 || r.End.Byte > len(l.src) || r.Start.Byte >= r.End.Byte {
		return ""
	}
	s := string(l.src[r.Start.Byte:r.End.Byte])
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i] + "…"
	}
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// value evaluates an expression without variables or functions. A null counts
// as left out: ok is false and nothing is reported.
func (l *loader) value(what string, e hclsyntax.Expression) (v cty.Value, ok bool) {
	v, diags := e.Value(nil)
	if diags.HasErrors() {
		switch {
		case hcl.ExprAsKeyword(e) != "":
			l.at(e.Range(), "%s: write %q in quotes.", what, hcl.ExprAsKeyword(e))
		case len(e.Variables()) > 0:
			l.at(e.Range(), "%s: a catalog knows no variables; write the value itself, text in quotes.", what)
		default:
			l.at(e.Range(), "%s: %s", what, sentence(strings.Join(strings.Fields(diags[0].Detail), " ")))
		}
		return cty.NilVal, false
	}
	if v.IsNull() {
		return v, false
	}
	return v, v.IsWhollyKnown()
}

// text reads a string. Numbers are not taken for text: 1.10 would become 1.1.
func (l *loader) text(what string, e hclsyntax.Expression) (string, bool) {
	v, ok := l.value(what, e)
	if !ok {
		return "", false
	}
	if v.Type() != cty.String {
		l.at(e.Range(), "%s must be text in quotes, such as \"%s\".", what, strings.Trim(l.code(e.Range()), `"`))
		return "", false
	}
	return v.AsString(), true
}

// list reads a list of strings with the place of each.
func (l *loader) list(what string, e hclsyntax.Expression) (out []string, places []hcl.Range, ok bool) {
	tuple, isTuple := e.(*hclsyntax.TupleConsExpr)
	if !isTuple {
		v, valid := l.value(what, e)
		if valid {
			example := l.code(e.Range())
			if v.Type() != cty.String {
				example = `"…"`
			}
			l.at(e.Range(), "%s must be a list of text: [%s].", what, example)
		}
		return nil, nil, false
	}
	ok = true
	for _, item := range tuple.Exprs {
		s, valid := l.text("each of "+what, item)
		if !valid {
			ok = false
			continue
		}
		out, places = append(out, s), append(places, item.Range())
	}
	return out, places, ok
}

func (l *loader) integer(what string, e hclsyntax.Expression) (int, bool) {
	if _, ok := l.value(what, e); !ok {
		return 0, false
	}
	var n int
	if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.Number && v.AsBigFloat().IsInt() && !v.AsBigFloat().IsInf() {
		if _, accuracy := v.AsBigFloat().Int64(); accuracy != big.Exact {
			l.at(e.Range(), "%s is too large a number: %s.", what, l.code(e.Range()))
			return 0, false
		}
	}
	if diags := gohcl.DecodeExpression(e, nil, &n); diags.HasErrors() {
		l.at(e.Range(), "%s must be a whole number, not %s.", what, l.code(e.Range()))
		return 0, false
	}
	return n, true
}

func (l *loader) boolean(what string, e hclsyntax.Expression) bool {
	v, ok := l.value(what, e)
	if !ok {
		return false
	}
	if v.Type() != cty.Bool {
		l.at(e.Range(), "%s must be true or false, not %s.", what, l.code(e.Range()))
		return false
	}
	return v.True()
}

// pair is one entry of a map, with its places.
type pair struct {
	key      string
	keyRange hcl.Range
	value    hclsyntax.Expression
}

// pairs reads { KEY = … } without evaluating the values, in the file's order.
func (l *loader) pairs(what string, e hclsyntax.Expression, example string) ([]pair, bool) {
	object, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		if _, valid := l.value(what, e); valid {
			l.at(e.Range(), "%s must be a map: %s.", what, example)
		}
		return nil, false
	}
	var out []pair
	seen := map[string]bool{}
	for _, item := range object.Items {
		v, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
			l.at(item.KeyExpr.Range(), "%s: the key must be a name or text in quotes.", what)
			continue
		}
		key := v.AsString()
		if seen[key] {
			l.at(item.KeyExpr.Range(), "%s names %q twice.", what, key)
			continue
		}
		seen[key] = true
		out = append(out, pair{key, item.KeyExpr.Range(), item.ValueExpr})
	}
	return out, true
}

// object reads a map of any values, for a module's variables, and the places of
// its keys.
func (l *loader) object(what string, e hclsyntax.Expression) (out map[string]any, places map[string]hcl.Range, ok bool) {
	items, ok := l.pairs(what, e, `{ region = "eu-central-1" }`)
	if !ok {
		return nil, nil, false
	}
	places = map[string]hcl.Range{}
	out = map[string]any{}
	for _, p := range items {
		places[p.key] = p.keyRange
		if !hclsyntax.ValidIdentifier(p.key) {
			l.at(p.keyRange, "%s: %q cannot be the name of a Terraform variable.", what, p.key)
			continue
		}
		v, diags := p.value.Value(nil)
		if !diags.HasErrors() && v.IsNull() {
			out[p.key] = nil
			continue
		}
		if v, ok := l.value(what+"."+p.key, p.value); ok {
			if out[p.key] = native(v); !finite(out[p.key]) {
				l.at(p.value.Range(), "%s.%s has a number that is too large.", what, p.key)
			}
		}
	}
	return out, places, true
}

// native turns a value into what encoding/json would give, but whole numbers
// stay whole.
func native(v cty.Value) any {
	if v.IsNull() {
		return nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		if n, accuracy := v.AsBigFloat().Int64(); accuracy == big.Exact {
			return n
		}
		f, _ := v.AsBigFloat().Float64()
		// A number that a float64 cannot hold keeps its digits.
		if again, err := cty.ParseNumberVal(strconv.FormatFloat(f, 'g', -1, 64)); !math.IsInf(f, 0) && (err != nil || again.AsBigFloat().Cmp(v.AsBigFloat()) != 0) {
			if v.AsBigFloat().IsInt() {
				return json.Number(v.AsBigFloat().Text('f', 0))
			}
			return json.Number(v.AsBigFloat().Text('g', -1))
		}
		return f
	case t.IsObjectType() || t.IsMapType():
		out := map[string]any{}
		for k, item := range v.AsValueMap() {
			out[k] = native(item)
		}
		return out
	default:
		out := []any{}
		for _, item := range v.AsValueSlice() {
			out = append(out, native(item))
		}
		return out
	}
}

// finite reports whether no number in v is beyond what JSON can carry.
func finite(v any) bool {
	switch v := v.(type) {
	case float64:
		return !math.IsInf(v, 0)
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !finite(item) })
	case map[string]any:
		for _, item := range v {
			if !finite(item) {
				return false
			}
		}
	}
	return true
}

func (l *loader) duration(what string, e hclsyntax.Expression) (time.Duration, bool) {
	if v, diags := e.Value(nil); !diags.HasErrors() && !v.IsNull() && v.Type() == cty.Number {
		n := "3"
		if v.AsBigFloat().IsInt() && v.AsBigFloat().Sign() > 0 {
			n = l.code(e.Range())
		}
		l.at(e.Range(), "%s must be text with a unit, such as \"%sh\" or \"%sd\".", what, n, n)
		return 0, false
	}
	s, ok := l.text(what, e)
	if !ok {
		return 0, false
	}
	d, err := parseDuration(s)
	if err != nil {
		l.at(e.Range(), "%s: %s.", what, err)
		return 0, false
	}
	return d, true
}

// parseDuration reads 3d, 12h, 90m, 60s and what they add up to, as in 1d12h.
// It answers positive durations only.
func parseDuration(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no duration: expected such as \"3d\", \"12h\", \"90m\" or \"1d12h\"", s)
	var total time.Duration
	for rest := s; rest != ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 0 || i == len(rest) {
			return 0, wrong
		}
		unit, ok := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}[rest[i]]
		if !ok {
			return 0, wrong
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil || n > int64(1<<63-1-total)/int64(unit) {
			return 0, fmt.Errorf("%q is too long a time", s)
		}
		total += time.Duration(n) * unit
		rest = rest[i+1:]
	}
	if total == 0 {
		if s == "" {
			return 0, wrong
		}
		return 0, fmt.Errorf("%q is no time at all: it must be more than zero", s)
	}
	return total, nil
}
