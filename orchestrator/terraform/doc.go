// Package terraform makes and destroys machines with Terraform or OpenTofu: it
// finds a binary that fits, runs it through terraform-exec, turns its JSON
// events into progress and looks into states.
//
// An apply outlives the process that asked for it. Provisioner starts a small
// detached process (`berth run`, which calls Run) that owns one Terraform run
// in one workspace, and follows the journal which that process writes:
//
//	WORKSPACE/.berth/lock               held while a run lasts; says whose
//	WORKSPACE/.berth/target.json        which variables Terraform may see
//	WORKSPACE/.berth/backend.json       where its state is
//	WORKSPACE/.berth/runs/ID.request.json  what the run is to do
//	WORKSPACE/.berth/runs/ID.jsonl      its journal, one entry a line
//	WORKSPACE/.berth/runs/ID.seen       how far the journal has been reported
//	WORKSPACE/.berth/runs/ID.cancel     somebody wants it to stop
//	WORKSPACE/.berth/runs/ID.log        its standard error
//
// Whoever comes later, after a restart too, attaches to the journal. A run
// whose lock is free and whose journal has no result has died: its outcome is
// uncertain, which is what ProvisionError.Lost says.
package terraform
