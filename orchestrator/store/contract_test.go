package store_test

import (
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

// What the use cases ask of a store.
var _ interface {
	orchestrator.Submitter
	orchestrator.Environments
	orchestrator.Operations
	orchestrator.Ledger
	orchestrator.Servers
	orchestrator.Watcher
	orchestrator.AgentRecords
	orchestrator.CauseRecords
} = (*store.Store)(nil)
