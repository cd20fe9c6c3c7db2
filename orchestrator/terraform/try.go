package terraform

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/berth-dev/berth/orchestrator"
)

// Try signs in at a target's cloud as a run would, in a workspace without
// servers, and makes nothing there: it lists what carries a tag that nothing
// has, or makes a plan where the module cannot list. A failure is a
// *orchestrator.ProvisionError.
func (p *Provisioner) Try(ctx context.Context, t orchestrator.Target) error {
	const id = "doctor"
	f := paths{p.Dir(id), id}
	if err := p.Render(f.dir, orchestrator.Workspace{EnvironmentID: id, Target: t, Tags: map[string]string{
		orchestrator.TagEnvironment: id, orchestrator.TagOwner: id, orchestrator.TagInstallation: id}}); err != nil {
		return err
	}
	if err := errors.Join(f.make(), writeJSON(f.target(), target{t.Environment, t.Module})); err != nil {
		return err
	}
	run, err := p.runner(f.dir, id)
	if err != nil {
		return err
	}
	failed := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		text := run.redact(errorLog(err))
		return &orchestrator.ProvisionError{Log: text, Err: errors.New(firstLine(text))}
	}
	tf, err := run.prepare(ctx, f.dir)
	if err != nil {
		return failed(err)
	}
	_, listed, err := look(ctx, f.dir, filepath.Join(f.dir, ".berth", "sight"), false, run)
	if err == nil && !listed {
		_, err = planned(ctx, tf, filepath.Join(f.dir, ".berth"))
	}
	if err != nil {
		return failed(err)
	}
	return nil
}
