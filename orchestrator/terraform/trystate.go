package terraform

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// tried is the ID under which TryState writes.
const tried = "berth-doctor"

// TryState writes an empty state where b says, under an ID of its own, reads it
// back and removes it, where that kind of place lets it.
func (p *Provisioner) TryState(ctx context.Context, b orchestrator.Backend) error {
	root, err := os.MkdirTemp("", "berth-state-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	f := paths{dir: filepath.Join(root, tried)}
	if err := f.make(); err != nil {
		return err
	}
	env, hide, err := p.environOf(f, b)
	if err != nil {
		return err
	}
	if err := p.tryState(ctx, f, b, env); err != nil {
		var e *orchestrator.Error
		if errors.As(err, &e) {
			return err
		}
		return errors.New(said(hide(err.Error())))
	}
	return nil
}

func (p *Provisioner) tryState(ctx context.Context, f paths, b orchestrator.Backend, env map[string]string) error {
	attributes, workspace := b.For(tried)
	tf, err := p.scratch(ctx, f, "try", b.Type, attributes, env)
	if err != nil {
		return err
	}
	if workspace != "" {
		if err := enter(ctx, tf.Terraform, workspace, lockTimeout(b)); err != nil {
			return err
		}
	}
	const empty = `{"version": 4, "serial": 1, "lineage": "` + tried + `", "resources": [], "outputs": {}}`
	path := filepath.Join(tf.dir, "empty.tfstate")
	if err := os.WriteFile(path, []byte(empty), 0o600); err != nil {
		return err
	}
	if err := tf.StatePush(ctx, path, waitForLock(b)); err != nil {
		return err
	}
	if _, err := tf.StatePull(ctx); err != nil {
		return err
	}
	return p.removeState(ctx, f, b)
}

// LeftLocks finds the locks on states that Berth's dead runs have left behind,
// by environment ID. It asks only where a run has died.
func (p *Provisioner) LeftLocks(ctx context.Context) (map[string]StateLock, error) {
	journals, err := filepath.Glob(filepath.Join(p.Workspaces, "*", ".berth", "runs", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	out, asked := map[string]StateLock{}, map[string]bool{}
	for _, path := range journals {
		dir := filepath.Dir(filepath.Dir(filepath.Dir(path)))
		f := paths{dir, strings.TrimSuffix(filepath.Base(path), ".jsonl")}
		rec, err := load(path)
		if err != nil || rec.result != nil || asked[dir] {
			continue
		}
		if b, err := stored(f); err != nil || b.Local() {
			continue
		}
		asked[dir] = true
		if l, err := p.StateLock(ctx, dir); err == nil && l != nil && l.Dead {
			out[filepath.Base(dir)] = *l
		}
	}
	return out, ctx.Err()
}
