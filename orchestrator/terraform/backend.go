package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// localState is the state of a workspace that keeps it itself.
const localState = "terraform.tfstate"

// defaultWorkspace is what Terraform calls the one that is always there.
const defaultWorkspace = "default"

// stored says where a workspace's state is. What an earlier Berth made has it
// within.
func stored(f paths) (orchestrator.Backend, error) {
	var b orchestrator.Backend
	data, err := os.ReadFile(f.backend())
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return b, d.Decode(&b)
}

// choose says where a workspace's state is to be: where it is, or, before
// anything was begun, where the catalog says.
func choose(f paths, catalog orchestrator.Backend) (orchestrator.Backend, error) {
	b, err := stored(f)
	if err != nil {
		return b, err
	}
	if _, err := os.Stat(f.initKey()); errors.Is(err, fs.ErrNotExist) || samePlace(b, catalog) {
		b = catalog // its variables and patience may be others
	}
	return b, writeJSON(f.backend(), b)
}

func samePlace(a, b orchestrator.Backend) bool {
	x, err1 := json.Marshal(a.Attributes)
	y, err2 := json.Marshal(b.Attributes)
	return a.Type == b.Type && errors.Join(err1, err2) == nil && (bytes.Equal(x, y) || len(a.Attributes)+len(b.Attributes) == 0)
}

// settle makes a workspace's files agree with where its state is, which they
// do not when a move was broken off.
func (p *Provisioner) settle(f paths) (orchestrator.Backend, error) {
	b, err := stored(f)
	if err != nil || p.Settle == nil {
		return b, err
	}
	if !b.Local() {
		// It was moved and compared. Terraform would move it once more.
		if err := setAside(f.dir); err != nil {
			return b, err
		}
	}
	if err := p.Settle(f.dir, b, filepath.Base(f.dir)); err != nil {
		return b, err
	}
	// What Terraform noted down of another place would make it ask.
	var noted struct {
		Backend struct {
			Type string `json:"type"`
		} `json:"backend"`
	}
	path := filepath.Join(f.dir, ".terraform", localState)
	if err := readJSON(path, &noted); b.Local() && err == nil && noted.Backend.Type != "local" {
		return b, os.Remove(path)
	}
	return b, nil
}

// setAside renames a state file that is no longer the state.
func setAside(dir string) error {
	path := filepath.Join(dir, localState)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.Rename(path, path+".moved-"+time.Now().UTC().Format("20060102T150405.000"))
}

// variables names what Terraform may see for a workspace.
func variables(f paths, b orchestrator.Backend) ([]string, error) {
	var t target
	if err := readJSON(f.target(), &t); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range b.Environment {
		if !slices.Contains(t.Environment, name) {
			t.Environment = append(t.Environment, name)
		}
	}
	return t.Environment, nil
}

// Lacks names the variables that the state of the workspace in dir is reached
// by and that lookup does not know.
func Lacks(dir string, lookup func(string) (string, bool)) []string {
	b, err := stored(paths{dir: dir})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(b.Environment), func(name string) bool { v, _ := lookup(name); return v != "" })
}

// lockTimeout is how long to wait for another run's lock.
func lockTimeout(b orchestrator.Backend) time.Duration {
	if b.LockTimeout > 0 {
		return b.LockTimeout
	}
	return orchestrator.DefaultLockTimeout
}

func waitForLock(b orchestrator.Backend) *tfexec.LockTimeoutOption {
	return tfexec.LockTimeout(lockTimeout(b).String())
}

// ownWorkspace is the Terraform workspace that a folder's state is in, selected
// the one that is selected there.
func ownWorkspace(b orchestrator.Backend, dir string) string {
	if _, workspace := b.For(filepath.Base(dir)); workspace != "" {
		return workspace
	}
	return defaultWorkspace
}

func selected(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, ".terraform", "environment"))
	if name := strings.TrimSpace(string(data)); err == nil && name != "" {
		return name
	}
	return defaultWorkspace
}

// initState runs init in a folder, whose state is where b says whatever was
// there before, and selects its workspace.
func initState(ctx context.Context, tf *tfexec.Terraform, dir string, b orchestrator.Backend) error {
	// Selected, one that is not there yet would make init fail.
	if err := os.Remove(filepath.Join(dir, ".terraform", "environment")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := tf.Init(ctx, tfexec.Upgrade(false), tfexec.Reconfigure(!b.Local())); err != nil {
		return err
	}
	if workspace := ownWorkspace(b, dir); workspace != defaultWorkspace {
		return enter(ctx, tf, workspace, lockTimeout(b))
	}
	return nil
}

// enter selects a workspace and makes it if need be. Making one takes a lock
// on the whole database for a moment, for which Terraform does not wait.
func enter(ctx context.Context, tf *tfexec.Terraform, workspace string, patience time.Duration) error {
	if tf.WorkspaceSelect(ctx, workspace) == nil {
		return nil
	}
	deadline := time.Now().Add(patience)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := tf.WorkspaceNew(ctx, workspace, tfexec.LockTimeout(patience.String()))
		if err == nil {
			return nil
		}
		if selectErr := tf.WorkspaceSelect(ctx, workspace); selectErr == nil {
			return nil // made, then broken off
		}
		if !strings.Contains(err.Error(), "locked") || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// scratch is Terraform in a folder that has nothing but a backend.
type scratch struct {
	*tfexec.Terraform
	dir string
}

// scratch makes such a folder below a workspace.
func (p *Provisioner) scratch(ctx context.Context, f paths, name, kind string, attributes map[string]any, env map[string]string) (scratch, error) {
	b, err := p.Terraform(ctx, nil)
	if err != nil {
		return scratch{}, err
	}
	config, err := p.Place(kind, attributes)
	if err != nil {
		return scratch{}, err
	}
	dir := filepath.Join(f.dir, ".berth", name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return scratch{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), config, 0o600); err != nil {
		return scratch{}, err
	}
	tf, err := newTerraform(dir, b.Path, env, p.WaitDelay)
	if err != nil {
		return scratch{}, err
	}
	return scratch{tf, dir}, tf.Init(ctx)
}

// environOf is what Terraform gets to reach a state.
func (p *Provisioner) environOf(f paths, all ...orchestrator.Backend) (env map[string]string, hide func(string) string, err error) {
	var names []string
	for _, b := range all {
		more, err := variables(f, b)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, more...)
	}
	if env, err = environ(names, p.LookupEnv, ""); err != nil {
		return nil, nil, err
	}
	s, err := readSettings(f.dir)
	return env, redactor(s, secretsOf(names, env)...), err
}

// removeState removes the empty state of a destroyed environment, where that
// can be done.
func (p *Provisioner) removeState(ctx context.Context, f paths, b orchestrator.Backend) error {
	if b.Local() || p.Place == nil {
		return nil
	}
	env, hide, err := p.environOf(f, b)
	if err != nil {
		return err
	}
	if b.Type == "http" {
		err = removeHTTP(ctx, b, filepath.Base(f.dir), env)
	} else if attributes, workspace, ok := b.Removable(filepath.Base(f.dir)); ok {
		err = p.deleteWorkspace(ctx, f, b, attributes, workspace, env)
	}
	if err != nil {
		return errors.New(hide(err.Error()))
	}
	return nil
}

func (p *Provisioner) deleteWorkspace(ctx context.Context, f paths, b orchestrator.Backend, attributes map[string]any, workspace string, env map[string]string) error {
	tf, err := p.scratch(ctx, f, "remove", b.Type, attributes, env)
	if err != nil {
		return err
	}
	err = tf.WorkspaceDelete(ctx, workspace, waitForLock(b))
	if err != nil && strings.Contains(err.Error(), "doesn't exist") {
		return nil // an earlier attempt has done it
	}
	if err != nil {
		return fmt.Errorf("removing the workspace %s: %w", workspace, err)
	}
	return nil
}
