package render

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// setBackend writes where the state is into the block backend of f.
func setBackend(f *hclwrite.File, kind string, attributes map[string]any) error {
	body := f.Body().FirstMatchingBlock("terraform", nil).Body()
	// A new one: in a block that stands on one line nothing can be set.
	body.RemoveBlock(body.Blocks()[0])
	block := body.AppendNewBlock("backend", []string{kind})
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v, err := literalOf(attributes[name])
		if err != nil || !hclsyntax.ValidIdentifier(name) {
			return orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The attribute %q of state %q cannot be given to Terraform.", name, kind).
				WithHint("Look at the block state in the catalog: text is UTF-8, numbers are finite.")
		}
		block.Body().SetAttributeValue(name, v)
	}
	return nil
}

func settingsOf(b orchestrator.Backend, environmentID string) (kind string, attributes map[string]any) {
	if b.Local() {
		return "local", b.Attributes
	}
	attributes, _ = b.For(environmentID)
	return b.Type, attributes
}

// literalOf is a value of the catalog as HCL has it.
func literalOf(v any) (cty.Value, error) {
	switch v := v.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType), nil
	case string:
		return cty.StringVal(v), nil
	case bool:
		return cty.BoolVal(v), nil
	case []any:
		var out []cty.Value
		for _, item := range v {
			c, err := literalOf(item)
			if err != nil {
				return cty.NilVal, err
			}
			out = append(out, c)
		}
		return cty.TupleVal(out), nil
	case map[string]any:
		out := map[string]cty.Value{}
		for key, item := range v {
			c, err := literalOf(item)
			if err != nil {
				return cty.NilVal, err
			}
			out[key] = c
		}
		return cty.ObjectVal(out), nil
	}
	if n, ok := number(reflect.ValueOf(v)); ok {
		return cty.NumberVal(n), nil
	}
	return cty.NilVal, errors.New("nothing that HCL knows")
}

// compareBackend makes sure that a rendered block says what it was made of, in
// literals, and nothing else.
func compareBackend(block *hclsyntax.Block, kind string, attributes map[string]any) error {
	if block.Type != "backend" || !slices.Equal(block.Labels, []string{kind}) || len(block.Body.Blocks) != 0 || len(block.Body.Attributes) != len(attributes) {
		return rendered("where the state is")
	}
	for name, want := range attributes {
		a, ok := block.Body.Attributes[name]
		if !ok {
			return rendered("where the state is: " + name)
		}
		got, diags := a.Expr.Value(nil) // no context: no reference, no function
		if diags.HasErrors() {
			return rendered("where the state is: " + name)
		}
		if err := same(name, reflect.ValueOf(want), got, false); err != nil {
			return rendered("where the state is: " + err.Error())
		}
	}
	return nil
}

// Backend makes the main.tf in dir say that the state is where b says, and
// touches nothing else of it. Without a main.tf there is nothing to do.
func Backend(dir string, b orchestrator.Backend, environmentID string) error {
	path := filepath.Join(dir, ConfigFile)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unwritable(dir, err)
	}
	kind, attributes := settingsOf(b, environmentID)
	says := func(data []byte) error {
		f, diags := hclsyntax.ParseConfig(data, path, hcl.InitialPos)
		if diags.HasErrors() {
			return rendered(diags.Error())
		}
		for _, block := range f.Body.(*hclsyntax.Body).Blocks {
			if block.Type == "terraform" && len(block.Body.Blocks) == 1 {
				return compareBackend(block.Body.Blocks[0], kind, attributes)
			}
		}
		return rendered("no block terraform with a backend")
	}
	if says(old) == nil {
		return nil
	}
	f, diags := hclwrite.ParseConfig(old, path, hcl.InitialPos)
	if diags.HasErrors() {
		return rendered(diags.Error())
	}
	if top := f.Body().FirstMatchingBlock("terraform", nil); top == nil || len(top.Body().Blocks()) != 1 {
		return rendered("no block terraform with a backend")
	}
	if err := setBackend(f, kind, attributes); err != nil {
		return err
	}
	was := f.Body().FirstMatchingBlock("output", []string{"workspace"})
	_, workspace := b.For(environmentID)
	switch {
	case workspace == "" && was != nil:
		f.Body().RemoveBlock(was)
	case workspace != "" && was == nil:
		g, diags := hclwrite.ParseConfig([]byte(guard), ConfigFile, hcl.InitialPos)
		if diags.HasErrors() {
			return diags
		}
		f.Body().AppendNewline()
		f.Body().AppendBlock(g.Body().Blocks()[0])
	}
	out := hclwrite.Format(f.Bytes())
	if err := says(out); err != nil {
		return err
	}
	if err := writeFile(path, out); err != nil {
		return unwritable(dir, err)
	}
	return nil
}

// Place renders a main.tf that only says where a state is, to look at it or to
// move it: kind is Terraform's name of the backend.
func Place(kind string, attributes map[string]any) ([]byte, error) {
	f, diags := hclwrite.ParseConfig([]byte("terraform {\n  backend \"local\" {}\n}\n"), ConfigFile, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	if err := setBackend(f, kind, attributes); err != nil {
		return nil, err
	}
	out := hclwrite.Format(f.Bytes())
	again, diags := hclsyntax.ParseConfig(out, ConfigFile, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, rendered(diags.Error())
	}
	return out, compareBackend(again.Body.(*hclsyntax.Body).Blocks[0].Body.Blocks[0], kind, attributes)
}
