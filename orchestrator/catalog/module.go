package catalog

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/terraform-config-inspect/tfconfig"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// given are what Berth gives every module: the type to declare, and a value
// that shows what comes.
var given = []struct {
	name, declare string
	value         cty.Value
}{
	{"environment_id", "string", cty.StringVal("e4kq2x7")},
	{"servers", "map(object({ id = string, app = string, port = number, user_data = string, needed_by = list(string) }))", serversWith(cty.EmptyObjectVal)},
	{"tags", "map(string)", cty.ObjectVal(map[string]cty.Value{orchestrator.TagEnvironment: cty.StringVal("e4kq2x7")})},
}

// serversWith is a set of one server with a size's variables.
func serversWith(variables cty.Value) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"api": cty.ObjectVal(map[string]cty.Value{
		"id": cty.StringVal("s7dk3mq"), "app": cty.StringVal("api"), "port": cty.NumberIntVal(8080), "uid": cty.NumberIntVal(0),
		"user_data": cty.StringVal("#cloud-config\n{}\n"), "needed_by": cty.TupleVal([]cty.Value{cty.StringVal("web")}), "variables": variables,
	})})
}

// answered are the attributes of each server in a module's output.
var answered = []string{"address", "private_address", "provider_id"}

// modules checks every target's module against what docs/modules.md says of
// it: those within this program and those by path. What lies elsewhere, only
// Terraform can read.
func (v *verifier) modules() {
	for _, t := range v.cat.Targets {
		switch {
		case t.Module == "":
		case !strings.ContainsAny(t.Module, "/.:"):
			if !slices.Contains(v.known.Modules, t.Module) {
				v.at(v.module[t.Name], "module: Berth brings no module %q.%s", t.Module, v.didYouMean(t.Module, v.known.Modules))
			} else if v.known.ModuleFiles != nil {
				if files, err := fs.Sub(v.known.ModuleFiles, t.Module); err == nil {
					v.contract(t, files, "modules/"+t.Module)
				}
			}
		case filepath.IsAbs(t.Module):
			if hasTerraform(t.Module) { // else Load has told
				v.contract(t, os.DirFS(t.Module), t.Module)
			}
		}
	}
}

// moduleName is a module as the catalog may call it.
func (v *verifier) moduleName(t orchestrator.Target) string {
	if rel, err := filepath.Rel(v.cat.Dir, t.Module); err == nil && filepath.IsAbs(t.Module) && filepath.IsLocal(rel) {
		return "./" + rel
	}
	return t.Module
}

// contract checks one module, whose files are shown as below dir.
func (v *verifier) contract(t orchestrator.Target, files fs.FS, dir string) {
	m, diags := tfconfig.LoadModuleFromFilesystem(tfconfig.WrapFS(files), ".")
	for _, d := range diags {
		if d.Severity != tfconfig.DiagError {
			continue
		}
		file, line := dir, 1
		if d.Pos != nil {
			file, line = filepath.Join(dir, d.Pos.Filename), d.Pos.Line
		}
		v.inFileOnce(file, line, "the module cannot be read: %s. %s", strings.TrimRight(d.Summary, "."), d.Detail)
	}
	if diags.HasErrors() {
		return
	}
	place := v.module[t.Name]
	for _, g := range given {
		declared, ok := m.Variables[g.name]
		if !ok {
			v.at(place, "module: %s takes no variable %q, which Berth sets. Declare it: variable %q { type = %s }.", v.moduleName(t), g.name, g.name, g.declare)
			continue
		}
		if why := misfit(declared, g.value); why != "" {
			v.inFileOnce(filepath.Join(dir, declared.Pos.Filename), declared.Pos.Line, "variable %q does not take what Berth gives it: %s. A type that does: %s.", g.name, why, g.declare)
		}
	}
	v.variables(t, m)
	v.sizes(t, m)
	output, ok := m.Outputs["servers"]
	if !ok {
		v.at(place, "module: %s has no output \"servers\". It maps each server's ID to { %s }.", v.moduleName(t), strings.Join(answered, ", "))
		return
	}
	if lacks := lacking(files, output); len(lacks) > 0 {
		v.inFileOnce(filepath.Join(dir, output.Pos.Filename), output.Pos.Line, "output \"servers\" lacks %s: each server's ID maps to { %s }.", quoted(lacks, "and"), strings.Join(answered, ", "))
	}
}

// variables checks what a target gives its module.
func (v *verifier) variables(t orchestrator.Target, m *tfconfig.Module) {
	own := slices.Clone(setByBerth)
	if t.Module == "local" {
		own = append(own, localByBerth...)
	}
	var free []string
	for name := range m.Variables {
		if !slices.Contains(own, name) {
			free = append(free, name)
		}
	}
	slices.Sort(free)
	places := v.variablePlace[t.Name]
	for _, name := range slices.Sorted(maps.Keys(t.Variables)) {
		declared, ok := m.Variables[name]
		switch {
		case slices.Contains(own, name): // Load has told
		case !ok:
			v.at(places[name], "variables: the module %q has no variable %q.%s", v.moduleName(t), name, v.didYouMean(name, free))
		default:
			if why := misfit(declared, value(t.Variables[name])); why != "" {
				v.at(places[name], "variables: %s does not fit: %s.", name, why)
			}
		}
	}
	for _, name := range free {
		if _, ok := t.Variables[name]; !ok && m.Variables[name].Required {
			what := m.Variables[name].Description
			if what != "" {
				what = " (" + strings.TrimRight(what, ".") + ")"
			}
			v.at(v.module[t.Name], "module: %s needs the variable %q%s. Add it to the target's variables.", v.moduleName(t), name, what)
		}
	}
}

// sizes checks what sizes give a target's servers.
func (v *verifier) sizes(t orchestrator.Target, m *tfconfig.Module) {
	servers, ok := m.Variables["servers"]
	if !ok || misfit(servers, serversWith(cty.EmptyObjectVal)) != "" {
		return
	}
	taken, all := sizeVariables(servers)
	for _, z := range v.cat.Sizes {
		for _, name := range slices.Sorted(maps.Keys(z.Variables[t.Name])) {
			place := v.sizePlace[z.Name][t.Name][name]
			if !all && !slices.Contains(taken, name) {
				v.at(place, "size %s: servers of the module %q take no %q.%s", z.Name, v.moduleName(t), name, v.didYouMean(name, taken))
			} else if why := misfit(servers, serversWith(cty.ObjectVal(map[string]cty.Value{name: value(z.Variables[t.Name][name])}))); why != "" {
				if _, rest, ok := strings.Cut(why, "variables."+name+": "); ok {
					why = rest
				}
				v.at(place, "size %s: %s does not fit: %s.", z.Name, name, why)
			}
		}
	}
}

// sizeVariables names what a module takes of each server's variables; all: it
// takes any.
func sizeVariables(servers *tfconfig.Variable) (names []string, all bool) {
	t, _, ok := typeOf(servers)
	if !ok || t == cty.DynamicPseudoType {
		return nil, true
	}
	element := t
	if t.IsCollectionType() {
		element = t.ElementType()
	}
	if !element.IsObjectType() {
		return nil, true
	}
	if !element.HasAttribute("variables") {
		return nil, false
	}
	if t := element.AttributeType("variables"); t.IsObjectType() {
		return slices.Sorted(maps.Keys(t.AttributeTypes())), false
	}
	return nil, true
}

// typeOf reads a variable's type; ok is false where there is none to check.
func typeOf(v *tfconfig.Variable) (t cty.Type, defaults *typeexpr.Defaults, ok bool) {
	if v.Type == "" {
		return cty.DynamicPseudoType, nil, false
	}
	e, diags := hclsyntax.ParseExpression([]byte(v.Type), "", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.DynamicPseudoType, nil, false
	}
	t, defaults, diags = typeexpr.TypeConstraintWithDefaults(e)
	return t, defaults, !diags.HasErrors()
}

// misfit says why a variable does not take a value, or is empty.
func misfit(declared *tfconfig.Variable, val cty.Value) string {
	t, defaults, ok := typeOf(declared)
	if !ok {
		return ""
	}
	if defaults != nil && !val.IsNull() {
		val = defaults.Apply(val)
	}
	_, err := convert.Convert(val, t)
	if err == nil {
		return ""
	}
	var at cty.PathError
	if !errors.As(err, &at) || len(at.Path) == 0 {
		return err.Error()
	}
	var where []string
	for _, step := range at.Path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			where = append(where, s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				where = append(where, s.Key.AsString())
			} else {
				where = append(where, s.Key.AsBigFloat().String())
			}
		}
	}
	return strings.Join(where, ".") + ": " + err.Error()
}

// value makes Terraform's value of one in the catalog.
func value(x any) cty.Value {
	data, err := json.Marshal(x)
	if err != nil {
		return cty.DynamicVal // told elsewhere
	}
	t, err := ctyjson.ImpliedType(data)
	if err != nil {
		return cty.DynamicVal
	}
	val, err := ctyjson.Unmarshal(data, t)
	if err != nil {
		return cty.DynamicVal
	}
	return val
}

// lacking names what an output written as { for … => { … } } leaves out; of
// any other form nobody can say without running it.
func lacking(files fs.FS, output *tfconfig.Output) []string {
	src, err := fs.ReadFile(files, filepath.ToSlash(output.Pos.Filename))
	if err != nil || path.Ext(output.Pos.Filename) != ".tf" {
		return nil
	}
	f, diags := hclsyntax.ParseConfig(src, output.Pos.Filename, hcl.InitialPos)
	if diags.HasErrors() {
		return nil
	}
	var each *hclsyntax.ObjectConsExpr
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		a := b.Body.Attributes["value"]
		if b.Type != "output" || len(b.Labels) != 1 || b.Labels[0] != output.Name || a == nil {
			continue
		}
		if all, ok := a.Expr.(*hclsyntax.ForExpr); ok {
			each, _ = all.ValExpr.(*hclsyntax.ObjectConsExpr)
		}
	}
	if each == nil {
		return nil
	}
	var has []string
	for _, item := range each.Items {
		if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() {
			has = append(has, key.AsString())
		}
	}
	return slices.DeleteFunc(slices.Clone(answered), func(name string) bool { return slices.Contains(has, name) })
}

// registrySource matches NAMESPACE/NAME/PROVIDER, with a host or without:
// https://developer.hashicorp.com/terraform/language/modules/sources.
var registrySource = lazyregexp.New(`^(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/)?[0-9A-Za-z_-]+/[0-9A-Za-z_-]+/[0-9a-z-]+(?://.*)?$`)

var exactVersion = lazyregexp.New(`^=?\s*v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$`)

// twoWords is what Terraform takes for no source at all, and people for a folder.
var twoWords = lazyregexp.New(`^[0-9A-Za-z_-]+/[0-9A-Za-z_-]+/?$`)

// archiveName is the name of a file that Terraform unpacks, archiveSum a checksum
// that go-getter compares with it: https://pkg.go.dev/github.com/hashicorp/go-getter.
// Its other sums can be forged, and file: fetches the sum from elsewhere.
var (
	archiveName = lazyregexp.New(`\.(?:zip|tar\.gz|tgz|tar\.bz2|tbz2|tar\.xz|txz)$`)
	archiveSum  = lazyregexp.New(`^(?:sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$`)
)

// moving are refs that are branches wherever they are met.
var moving = []string{"main", "master", "HEAD", "develop", "trunk"}

// pinned refuses a module from elsewhere that could be another one tomorrow.
func (l *loader) pinned(source, version string, sourceAt, versionAt hcl.Range) {
	bare := !strings.ContainsAny(source, "/.:")
	forced, rest, hasForced := strings.Cut(source, "::")
	host, _, _ := strings.Cut(source, "/")
	git := hasForced && forced == "git" || !hasForced && (host == "github.com" || host == "bitbucket.org" || strings.HasPrefix(source, "git@") ||
		strings.HasPrefix(source, "ssh://") || strings.Contains(source, ".git//") || strings.HasSuffix(strings.SplitN(source, "?", 2)[0], ".git"))
	registry := !git && !bare && !filepath.IsAbs(source) && registrySource.MatchString(source)
	address := source
	if hasForced {
		address = rest
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, password := u.User.Password(); password {
			// The source would stand in the files of every workspace.
			l.at(sourceAt, "module has a password in it. Secrets never stand in the catalog: leave it out, and let the git of serve's user find it, by a credential helper or an ssh key.")
			return
		}
	}
	switch {
	case !git && !registry && twoWords.MatchString(source):
		l.at(sourceAt, "module: %q is nobody's: a registry's has three words (NAMESPACE/NAME/PROVIDER), and a folder begins with ./, as \"./%s\" does.", source, source)
	case registry && version == "":
		l.at(sourceAt, "module: %q is a registry's, and without a version it may be another one tomorrow. Add version = \"1.2.3\" to the target, the one that you have tried.", source)
	case registry && !exactVersion.MatchString(version):
		l.at(versionAt, "version: %q may be another one tomorrow. Name one: version = \"1.2.3\".", version)
	case !registry && version != "":
		l.at(versionAt, "version is for modules of a registry (NAMESPACE/NAME/PROVIDER). Git sources carry theirs: ?ref=v1.2.3; modules by path and Berth's own have none.")
	case git && !hasForced && (strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")):
		l.at(sourceAt, "module: Terraform takes %q for a page that names another source. Write git:: before it.", source)
	case git || hasForced && forced == "hg":
		key := map[bool]string{true: "ref", false: "rev"}[git]
		if !hasForced {
			rest = source
		}
		_, query, _ := strings.Cut(rest, "?")
		values, _ := url.ParseQuery(query)
		ref := values.Get(key)
		join := map[bool]string{true: "&", false: "?"}[query != ""]
		switch {
		case ref == "":
			l.at(sourceAt, "module: %q names no version, so it may be another one tomorrow. Pin it to a tag or a commit: \"%s%s%s=v1.2.3\".", source, source, join, key)
		case slices.Contains(moving, ref):
			l.at(sourceAt, "module: %s=%s is a branch, so the module may be another one tomorrow. Name a tag or a commit: %s=v1.2.3.", key, ref, key)
		}
	case !registry && !bare && !filepath.IsAbs(source) && forced != "file":
		if !hasForced {
			rest = source
		}
		l.pinnedArchive(source, rest, sourceAt)
	}
}

// pinnedArchive refuses an archive without its sum, and an address behind which
// another one may be: Terraform follows what a page says of the way to a module.
func (l *loader) pinnedArchive(source, address string, at hcl.Range) {
	path, query, _ := strings.Cut(address, "?")
	if i := strings.Index(path, "://"); i >= 0 {
		path = path[i+len("://"):]
	}
	path, _, _ = strings.Cut(path, "//")
	values, _ := url.ParseQuery(query)
	name := path
	if kind := values.Get("archive"); kind != "" {
		name = "x." + kind
	}
	join := map[bool]string{true: "&", false: "?"}[query != ""]
	switch sum := values.Get("checksum"); {
	case !archiveName.MatchString(name):
		l.at(at, "module: %q is no archive, so nothing says that it is the same one tomorrow. Name a git source (git::https://…?ref=v1.2.3), a registry's module, or an archive with its checksum (https://…/module.zip?checksum=sha256:…).", source)
	case sum == "":
		l.at(at, "module: %q has no checksum, so it may be another one tomorrow. Add what sha256sum prints of the file: \"%s%schecksum=sha256:…\".", source, source, join)
	case !archiveSum.MatchString(sum):
		l.at(at, "module: checksum=%s does not pin the archive. Expected sha256: and the 64 digits that sha256sum prints, or sha512: and 128.", sum)
	}
}
