package terraform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"
)

// lookFolder is the folder of a target's module that lists what there is in
// the cloud, by the environment's tag and without the state.
const lookFolder = "look"

// found is one thing in the cloud that carries the environment's tag, as the
// output "found" of a module's folder look gives it.
type found struct {
	ProviderID string `json:"provider_id"`
	// Server is the ID of the server that it is or belongs to, empty for none.
	Server string `json:"server"`
	// Resource is the resource within the module that would have made it, such
	// as aws_instance.server; those of a server are there once for each app.
	Resource string `json:"resource"`
	// Stopped says of a machine that it is there and does not run.
	Stopped bool `json:"stopped"`
	// Address is where people reach a machine, empty where nothing but an apply
	// changes it.
	Address string `json:"address"`
}

// moduleDir is where init has put the target's module, absolute.
func moduleDir(dir string) (string, error) {
	var manifest struct {
		Modules []struct{ Key, Dir string }
	}
	if err := readJSON(filepath.Join(dir, ".terraform", "modules", "modules.json"), &manifest); err != nil {
		return "", err
	}
	for _, m := range manifest.Modules {
		if m.Key == "environment" {
			if !filepath.IsAbs(m.Dir) {
				m.Dir = filepath.Join(dir, m.Dir)
			}
			return m.Dir, nil
		}
	}
	return "", fmt.Errorf("%s knows no module", dir)
}

// inputs are the names of the variables that the Terraform files of a folder
// declare.
func inputs(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil {
		return nil, err
	}
	asJSON, err := filepath.Glob(filepath.Join(dir, "*.tf.json"))
	if err != nil {
		return nil, err
	}
	var names []string
	parser := hclparse.NewParser()
	for _, file := range append(files, asJSON...) {
		parse := parser.ParseHCLFile
		if filepath.Ext(file) == ".json" {
			parse = parser.ParseJSONFile
		}
		f, diags := parse(file)
		if diags.HasErrors() {
			return nil, diags
		}
		content, _, diags := f.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "variable", LabelNames: []string{"name"}}}})
		if diags.HasErrors() {
			return nil, diags
		}
		for _, b := range content.Blocks {
			if !hclsyntax.ValidIdentifier(b.Labels[0]) {
				return nil, fmt.Errorf("%s: %q is no variable's name", file, b.Labels[0])
			}
			names = append(names, b.Labels[0])
		}
	}
	return names, nil
}

// lists are the folders that list what there is, of the module of an
// initialised workspace: look itself, and each within it.
func lists(dir string) []string {
	module, err := moduleDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, pattern := range []string{"*.tf", "*.tf.json", "*/*.tf", "*/*.tf.json"} {
		files, _ := filepath.Glob(filepath.Join(module, lookFolder, pattern))
		for _, file := range files {
			if folder := filepath.Dir(file); !slices.Contains(out, folder) {
				out = append(out, folder)
			}
		}
	}
	return out
}

// nothing is how providers say that a list is empty that they do not want to
// be.
var nothing = lazyregexp.New(`query\s+returned\s+no\s+results|no\s+matching\s+[A-Za-z ]+\s+found`)

// look asks the cloud, by way of the module's folder look, what carries the
// environment's tag: with all everything, else the machines alone where they
// have a folder of their own. scratch is a folder below the workspace for that;
// ok is false when the module has no such folder.
func look(ctx context.Context, dir, scratch string, all bool, run runner) (there []found, ok bool, err error) {
	folders := lists(dir)
	if i := slices.IndexFunc(folders, func(f string) bool { return filepath.Base(f) == "machines" }); i >= 0 && !all {
		folders = folders[i : i+1]
	}
	for _, from := range folders {
		some, err := list(ctx, dir, from, scratch+"-"+filepath.Base(from), run)
		if err != nil {
			return nil, true, err
		}
		there = append(there, some...)
	}
	return there, len(folders) > 0, nil
}

// list asks by way of one folder.
func list(ctx context.Context, dir, from, scratch string, run runner) (all []found, err error) {
	declared, err := inputs(from)
	if err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := readJSON(filepath.Join(dir, "terraform.tfvars.json"), &values); err != nil {
		return nil, err
	}
	var target map[string]json.RawMessage
	if raw, there := values["target"]; there {
		if err := json.Unmarshal(raw, &target); err != nil {
			return nil, err
		}
	}
	// Every value goes by a variable: an expression is made of names alone.
	variables, arguments, given := map[string]any{}, map[string]any{"source": "./" + lookFolder}, map[string]json.RawMessage{}
	for _, name := range declared {
		value, there := values[name]
		if !slices.Contains([]string{"environment_id", "servers", "tags"}, name) {
			value, there = target[name]
		}
		if !there {
			continue // its default, or Terraform says that it lacks
		}
		variables[name] = map[string]any{"type": "any"}
		arguments[name] = "${var." + name + "}"
		given[name] = value
	}
	config := map[string]any{
		"terraform": map[string]any{"backend": map[string]any{"local": map[string]any{}}},
		"module":    map[string]any{lookFolder: arguments},
		"output":    map[string]any{"found": map[string]any{"value": "${module.look.found}"}},
	}
	if len(variables) > 0 {
		config["variable"] = variables
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	if err := link(from, filepath.Join(scratch, lookFolder)); err != nil {
		return nil, err
	}
	if err := errors.Join(copyLock(dir, scratch), writeJSON(filepath.Join(scratch, "main.tf.json"), config),
		writeJSON(filepath.Join(scratch, "terraform.tfvars.json"), given)); err != nil {
		return nil, err
	}
	tf, err := run.prepare(ctx, scratch)
	if err != nil {
		return nil, err
	}
	var said answer
	out := &lineWriter{line: said.line}
	err = tf.ApplyJSON(ctx, out)
	out.flush()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && len(said.errors) == 1 && nothing.MatchString(said.errors[0]):
		return nil, nil
	case err != nil:
		return nil, &orchestrator.ProvisionError{Log: said.log.String(), Err: err}
	}
	if err := json.Unmarshal(said.found, &all); err != nil {
		return nil, fmt.Errorf("reading the output found of %s: %w", from, err)
	}
	return all, nil
}

// answer is what Terraform says of a look.
type answer struct {
	found  json.RawMessage
	errors []string
	log    strings.Builder
}

func (a *answer) line(raw []byte) {
	var m message
	known := json.Unmarshal(raw, &m) == nil
	if len(m.State) > 0 {
		return // a state that could not be saved: it holds secrets, and nothing else
	}
	a.log.Write(raw)
	a.log.WriteByte('\n')
	if !known {
		return
	}
	if m.Type == "outputs" && m.Outputs["found"].Value != nil {
		a.found = m.Outputs["found"].Value
	}
	if m.Diagnostic != nil && m.Diagnostic.Severity == "error" {
		a.errors = append(a.errors, m.Diagnostic.Summary+" "+m.Diagnostic.Detail)
	}
}

// planned makes a plan and reads it; nothing of it stays on the disk, for it
// holds secrets.
func planned(ctx context.Context, tf *tfexec.Terraform, dir string, o ...tfexec.PlanOption) (*tfjson.Plan, error) {
	path, done, err := planFile(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := tf.Plan(ctx, append(o, tfexec.Out(path), tfexec.Lock(false))...); err != nil {
		return nil, err
	}
	return tf.ShowPlanFile(ctx, path)
}

// planFile makes the file for a plan, which done removes. Until then this
// process has a lock on it, however long the plan takes: Terraform writes into
// a file that is there, and keeps its mode.
func planFile(dir string) (path string, done func(), err error) {
	f, err := os.CreateTemp(dir, ".plan-*")
	if err != nil {
		return "", nil, err
	}
	done = func() {
		_ = os.Remove(f.Name()) // Tidy does it otherwise
		_ = f.Close()
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		done()
		return "", nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f.Name(), done, nil
}

// forgotten is how old a plan's file is at least that nobody is at work on any
// more: it has its lock a moment after it was made.
const forgotten = 10 * time.Minute

// tidying is who holds a workspace's lock while it is tidied.
const tidying = "tidy"

// Tidy removes what processes left that were killed and that may hold secrets:
// plans, and the folders of a move of the state and of a removal of what was
// lost. What somebody is at work on stays. It gives how many there were.
func (p *Provisioner) Tidy() (int, error) {
	n := 0
	var errs []error
	for _, name := range []string{"from", "to", "remove", "stray"} {
		folders, err := filepath.Glob(filepath.Join(p.Workspaces, "*", ".berth", name))
		if err != nil {
			return n, err
		}
		for _, folder := range folders {
			release, free, err := take(filepath.Join(filepath.Dir(folder), "lock"), tidying)
			if err == nil && !free {
				continue
			}
			if err == nil {
				err = os.RemoveAll(folder)
				release()
			}
			if errs = append(errs, err); err == nil {
				n++
			}
		}
	}
	for _, pattern := range []string{".plan-*", "plan-*"} {
		files, err := filepath.Glob(filepath.Join(p.Workspaces, "*", ".berth", pattern))
		if err != nil {
			return n, err
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || time.Since(info.ModTime()) < forgotten {
				continue
			}
			if _, _, held := holder(file); held {
				continue
			}
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
				continue
			}
			n++
		}
	}
	return n, errors.Join(errs...)
}

// link makes path a symbolic link to target, whatever was there.
func link(target, path string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// copyLock gives another folder the workspace's choice of providers.
func copyLock(dir, to string) error {
	data, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, ".terraform.lock.hcl"), data, 0o600)
}

// runner prepares folders for Terraform.
type runner struct {
	binary   Binary
	env      map[string]string
	initLock string
	name     string // who holds the lock of init
	wait     time.Duration
	redact   func(string) string
}

// ready is the file that tells what a folder was initialised with.
const ready = ".ready"

// prepare initialises a folder, unless nothing has changed since it last did,
// and gives Terraform for it.
func (r runner) prepare(ctx context.Context, dir string) (*tfexec.Terraform, error) {
	tf, err := newTerraform(dir, r.binary.Path, r.env, r.wait)
	if err != nil {
		return nil, err
	}
	key, err := r.key(dir)
	if err != nil {
		return nil, err
	}
	if done, err := os.ReadFile(filepath.Join(dir, ready)); err == nil && string(done) == key {
		return tf, nil
	}
	release, err := acquire(ctx, r.initLock, r.name)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := tf.Init(ctx, tfexec.Upgrade(false)); err != nil {
		return nil, err
	}
	if key, err = r.key(dir); err != nil {
		return nil, err
	}
	return tf, os.WriteFile(filepath.Join(dir, ready), []byte(key), 0o600)
}

// key digests what init in dir depends on.
func (r runner) key(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, r.binary.Path, r.binary.Version)
	for _, name := range []string{"main.tf.json", "main.tf", ".terraform.lock.hcl"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		fmt.Fprintln(h, name, len(data))
		h.Write(data)
	}
	if to, err := os.Readlink(filepath.Join(dir, lookFolder)); err == nil {
		fmt.Fprintln(h, to) // its name carries its digest
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
