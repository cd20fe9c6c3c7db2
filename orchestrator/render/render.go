// Package render turns an environment's specification into the files of its
// Terraform workspace. It is the only user of hclwrite.
//
// main.tf holds the configuration: a fixed skeleton in which only ops' words
// (the module's source, the names of the target's variables) are set, as
// literals. Every value that a person can influence is data, in
// terraform.tfvars.json, which Terraform never evaluates. Both files are parsed
// again and compared with their sources before they replace what is there.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berth-dev/berth/modules"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// The names of what Write makes; the module's copy is in a folder beside them.
// Terraform reads the values by itself: ops can run `terraform plan` there.
const (
	ConfigFile = "main.tf"
	ValuesFile = "terraform.tfvars.json"
	moduleDir  = "module-"
	lockFile   = ".terraform.lock.hcl"
)

// Options are what a workspace is rendered with besides its specification.
type Options struct {
	// CatalogDir is where relative module paths start.
	CatalogDir string
	// RequiredVersion is the constraint on Terraform (default ">= 1.5.7").
	RequiredVersion string
	// Modules holds the built-in modules (default: those of package modules).
	Modules fs.FS
	// Berth, Root, SaltCall and GitConfig are for the module local: the berth
	// binary, the folder of the servers' folders, and (both may be empty)
	// salt-call and the git configuration that servers clone with.
	Berth, Root, SaltCall, GitConfig string
}

// maxUserData is what fits into one environment variable on Linux, with room
// for its name.
const maxUserData = 120 << 10

// identifier is what may be the key of a server or the name of a variable.
var identifier = lazyregexp.New(`^[a-zA-Z_][a-zA-Z0-9_-]*$`)

// reserved are a module block's own arguments and those that Berth sets.
var reserved = []string{"source", "version", "providers", "count", "for_each", "depends_on", "lifecycle",
	"environment_id", "servers", "tags"}

// skeleton is the part of main.tf that never changes.
const skeleton = `# Written by Berth, and written over at its next change. The values are in
# terraform.tfvars.json: "terraform plan" works here.

terraform {
  backend "local" {}
}

variable "environment_id" {
  type = string
}

variable "servers" {
  type = any
}

variable "user_data" {
  type      = map(string)
  sensitive = true
}

variable "tags" {
  type = map(string)
}

variable "target" {
  type = any
}

module "environment" {
  environment_id = var.environment_id
  servers = { for app, server in var.servers : app => {
    id        = server.id
    app       = server.app
    port      = server.port
    uid       = server.uid
    variables = server.variables
    needed_by = server.needed_by
    user_data = var.user_data[app]
  } }
  tags = var.tags
}

output "servers" {
  value = module.environment.servers
}
`

// guard keeps people from working on another state than the environment's
// where states are told apart by the workspace's name alone.
const guard = `output "workspace" {
  value = var.environment_id
  precondition {
    condition     = terraform.workspace == var.environment_id
    error_message = "This is another workspace than the environment's own: its servers would be made a second time. Select that one with terraform workspace select."
  }
}
`

// skeletonFor is main.tf as far as it does not depend on values.
func skeletonFor(workspace string) string {
	if workspace == "" {
		return skeleton
	}
	return skeleton + "\n" + guard
}

// Write renders w into dir, a folder of mode 0700 that is made if need be;
// files have mode 0600 and each is replaced as a whole. What is already there
// and equal is not touched.
func Write(dir string, w orchestrator.Workspace, opt Options) error {
	if opt.Modules == nil {
		opt.Modules = modules.FS()
	}
	if opt.RequiredVersion == "" {
		opt.RequiredVersion = ">= 1.5.7"
	}
	src, err := resolve(w.Target, opt)
	if err != nil {
		return err
	}
	values, err := valuesOf(w, opt)
	if err != nil {
		return err
	}
	config, err := Config(Source{src.address, w.Target.Version}, opt.RequiredVersion, slices.Sorted(maps.Keys(values.Target)), w.State, w.EnvironmentID)
	if err != nil {
		return err
	}
	data, err := values.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := takeLock(dir, src); err != nil {
		return unwritable(dir, err)
	}
	if src.files != nil {
		if err := copyModule(dir, src); err != nil {
			return unwritable(dir, err)
		}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{ConfigFile, config}, {ValuesFile, data}} {
		if err := writeFile(filepath.Join(dir, f.name), f.data); err != nil {
			return unwritable(dir, err)
		}
	}
	if err := removeModules(dir, src.dir()); err != nil {
		return unwritable(dir, err)
	}
	return nil
}

func unwritable(dir string, err error) error {
	return &orchestrator.Error{Code: orchestrator.CodeInternal, Cause: err,
		Message: fmt.Sprintf("The Terraform workspace %s cannot be written: %v.", dir, err),
		Hint:    "Look at the disk's free space and at the folder's owner, then try again."}
}

// Source is where a module comes from; Version is a registry's, else empty.
type Source struct{ Address, Version string }

// Config renders main.tf: the module's source, the constraint on Terraform, the
// names of the target's variables and where the state is are all that differs
// between workspaces.
func Config(source Source, required string, variables []string, b orchestrator.Backend, environmentID string) ([]byte, error) {
	_, workspace := b.For(environmentID)
	kind, attributes := settingsOf(b, environmentID)
	f, diags := hclwrite.ParseConfig([]byte(skeletonFor(workspace)), ConfigFile, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	f.Body().FirstMatchingBlock("terraform", nil).Body().SetAttributeValue("required_version", cty.StringVal(required))
	if err := setBackend(f, kind, attributes); err != nil {
		return nil, err
	}
	module := f.Body().FirstMatchingBlock("module", []string{"environment"}).Body()
	module.SetAttributeValue("source", cty.StringVal(source.Address))
	if source.Version != "" {
		module.SetAttributeValue("version", cty.StringVal(source.Version))
	}
	for _, name := range variables {
		if err := checkVariable(name); err != nil {
			return nil, err
		}
		module.SetAttributeTraversal(name, hcl.Traversal{
			hcl.TraverseRoot{Name: "var"}, hcl.TraverseAttr{Name: "target"}, hcl.TraverseAttr{Name: name},
		})
	}
	out := hclwrite.Format(f.Bytes())
	if err := compareConfig(out, source, required, variables, b, environmentID); err != nil {
		return nil, err
	}
	return out, nil
}

func checkVariable(name string) error {
	if slices.Contains(reserved, name) {
		return orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target's variable %q is one that Berth sets itself.", name).
			WithHint("Give the module's variable another name.")
	}
	if !identifier.MatchString(name) || !hclsyntax.ValidIdentifier(name) {
		return orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target's variable %q is no name that Terraform takes.", name).
			WithHint("Use letters, digits, - and _, beginning with a letter.")
	}
	return nil
}

// compareConfig parses a rendered main.tf and makes sure that it says what it
// was made from and nothing else.
func compareConfig(out []byte, source Source, required string, variables []string, b orchestrator.Backend, environmentID string) error {
	differs := rendered
	parse := func(b []byte) (*hclsyntax.Body, error) {
		f, diags := hclsyntax.ParseConfig(b, ConfigFile, hcl.InitialPos)
		if diags.HasErrors() {
			return nil, differs(diags.Error())
		}
		return f.Body.(*hclsyntax.Body), nil
	}
	got, err := parse(out)
	if err != nil {
		return err
	}
	_, workspace := b.For(environmentID)
	want, err := parse([]byte(skeletonFor(workspace)))
	if err != nil {
		return err
	}
	if len(got.Attributes) != 0 || len(got.Blocks) != len(want.Blocks) {
		return differs("other blocks")
	}
	literal := func(b *hclsyntax.Body, name string) (string, bool) {
		a, ok := b.Attributes[name]
		if !ok {
			return "", false
		}
		v, diags := a.Expr.Value(nil) // no context: no reference, no function
		if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
			return "", false
		}
		return v.AsString(), true
	}
	for i, block := range got.Blocks {
		w := want.Blocks[i]
		if block.Type != w.Type || !slices.Equal(block.Labels, w.Labels) || len(block.Body.Blocks) != len(w.Body.Blocks) {
			return differs("block " + block.Type)
		}
		names := slices.Collect(maps.Keys(w.Body.Attributes))
		switch block.Type {
		case "terraform":
			names = append(names, "required_version")
			kind, attributes := settingsOf(b, environmentID)
			if err := compareBackend(block.Body.Blocks[0], kind, attributes); err != nil {
				return err
			}
			if s, ok := literal(block.Body, "required_version"); !ok || s != cty.StringVal(required).AsString() {
				return differs("required_version")
			}
		case "module":
			names = append(append(names, "source"), variables...)
			if s, ok := literal(block.Body, "source"); !ok || s != cty.StringVal(source.Address).AsString() {
				return differs("source")
			}
			if source.Version != "" {
				names = append(names, "version")
				if s, ok := literal(block.Body, "version"); !ok || s != cty.StringVal(source.Version).AsString() {
					return differs("version")
				}
			}
			for _, name := range variables {
				a, ok := block.Body.Attributes[name]
				if !ok {
					return differs(name)
				}
				t, diags := hcl.AbsTraversalForExpr(a.Expr)
				if diags.HasErrors() || len(t) != 3 || t.RootName() != "var" || attr(t[1]) != "target" || attr(t[2]) != name {
					return differs(name)
				}
			}
		}
		have := slices.Sorted(maps.Keys(block.Body.Attributes))
		slices.Sort(names)
		if !slices.Equal(have, names) {
			return differs("arguments of " + block.Type)
		}
	}
	return nil
}

// rendered is the error of a main.tf that is not what it should be.
func rendered(what string) error {
	return orchestrator.Errorf(orchestrator.CodeInternal, "The rendered %s differs from what it was made from: %s.", ConfigFile, what).
		WithHint("Nothing was changed. Look at the target and the state in the catalog, and report this.")
}

func attr(t hcl.Traverser) string {
	a, _ := t.(hcl.TraverseAttr)
	return a.Name
}

// values are the workspace's data, as terraform.tfvars.json holds them.
type values struct {
	EnvironmentID string            `json:"environment_id"`
	Servers       map[string]server `json:"servers"`
	UserData      map[string]string `json:"user_data"`
	Tags          map[string]string `json:"tags"`
	Target        map[string]any    `json:"target"`
}

type server struct {
	ID        string         `json:"id"`
	App       string         `json:"app"`
	Port      int            `json:"port"`
	UID       int            `json:"uid"`
	Variables map[string]any `json:"variables"`
	NeededBy  []string       `json:"needed_by"`
}

func valuesOf(w orchestrator.Workspace, opt Options) (values, error) {
	v := values{EnvironmentID: w.EnvironmentID, Servers: map[string]server{}, UserData: map[string]string{},
		Tags: map[string]string{}, Target: map[string]any{}}
	maps.Copy(v.Tags, w.Tags)
	if w.Target.Module == "local" {
		maps.Copy(v.Target, map[string]any{"berth": opt.Berth, "root": opt.Root, "salt_call": opt.SaltCall, "git_config": opt.GitConfig})
	}
	maps.Copy(v.Target, w.Target.Variables)
	for _, s := range w.Servers {
		if _, double := v.Servers[s.App]; double {
			return v, orchestrator.Errorf(orchestrator.CodeInternal, "The environment %s has two servers for the app %q.", w.EnvironmentID, s.App).
				WithHint("Report this: an environment has one server an app.")
		}
		switch {
		case len(s.UserData) > maxUserData:
			return v, orchestrator.Errorf(orchestrator.CodeInternal, "The user-data of %q is %d bytes long; %d is the most.", s.App, len(s.UserData), maxUserData).
				WithHint("Make the user-data template or the pinned authority shorter.")
		case strings.ContainsRune(s.UserData, 0) || !utf8.ValidString(s.UserData):
			return v, orchestrator.Errorf(orchestrator.CodeInternal, "The user-data of %q is no text.", s.App).
				WithHint("User-data holds UTF-8 text without NUL bytes; look at the user-data template.")
		}
		vars := s.Variables
		if vars == nil {
			vars = map[string]any{}
		}
		v.Servers[s.App] = server{ID: s.ID, App: s.App, Port: s.Port, UID: s.UID, Variables: vars, NeededBy: append([]string{}, s.NeededBy...)}
		v.UserData[s.App] = s.UserData
	}
	return v, nil
}

// encode writes the values as JSON, reads them again as Terraform will and
// compares.
func (v values) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, &orchestrator.Error{Code: orchestrator.CodeInvalidCatalog, Cause: err,
			Message: fmt.Sprintf("A value for Terraform cannot be written: %v.", err),
			Hint:    "Look at the target's and the size's variables in the catalog."}
	}
	data := ascii(b.Bytes())
	if err := v.compare(data); err != nil {
		return nil, err
	}
	return data, nil
}

// ascii escapes what is not ASCII. Terraform's reader of JSON goes by what
// people see as one character: a quote beside certain signs would be a part of
// them, and not the end of the text.
func ascii(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for _, r := range string(data) { // encoding/json has made it valid UTF-8
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
