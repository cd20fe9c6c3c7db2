package main

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

const environments = 10_000

// fill puts environments with two servers each into the database of a serve
// that does not run.
func (b *bench) fill(ctx context.Context) (err error) {
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(b.data, "berth.db"), Now: time.Now,
		Enqueue: func(context.Context, *sql.Tx, string) error { return nil }})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	now := time.Now()
	for i := range environments {
		name := fmt.Sprintf("many-%05d", i)
		e := orchestrator.Environment{ID: "e" + name, Name: name, Owner: fmt.Sprintf("person%d", i%200), Target: "local", Blueprint: "shop",
			Status: orchestrator.StatusCreating, CreatedAt: now, ExpiresAt: now.Add(72 * time.Hour)}
		op := orchestrator.Operation{ID: "o" + name, EnvironmentID: e.ID, Kind: orchestrator.KindCreate, Actor: e.Owner, Text: "env create " + name, CreatedAt: now}
		sub := orchestrator.Submission{New: true, Environment: e, Operation: op, Event: orchestrator.Event{OperationID: op.ID, At: now, Step: "accepted"}}
		for _, app := range []string{"api", "web"} {
			sub.Servers = append(sub.Servers, orchestrator.Server{ID: "s" + name + app, EnvironmentID: e.ID, App: app, Repository: "repos/" + app,
				Branch: "feature/login", Commit: "7cc2eccc0b0c5b6b8a6f6a0c6b9d7a1e2f3a4b5c", Revision: "7cc2eccc0b0c5b6b8a6f6a0c6b9d7a1e2f3a4b5c",
				Status: orchestrator.StatusReady, Address: "127.0.0.1", Port: 8080, URL: "http://127.0.0.1:8080"})
		}
		if _, err := s.Submit(ctx, sub); err != nil {
			return err
		}
		if err := s.End(ctx, orchestrator.Ending{OperationID: op.ID, Status: orchestrator.OperationSucceeded, At: now, Environment: orchestrator.StatusReady,
			Event: orchestrator.Event{OperationID: op.ID, At: now, Step: "succeeded"}}); err != nil {
			return err
		}
	}
	return nil
}

// list measures the command, as a person would wait for it.
func (b *bench) list(rounds int, args ...string) (p50, p99 time.Duration, err error) {
	var all []time.Duration
	for range rounds {
		cmd := exec.Command(b.berth, append([]string{"env", "list"}, args...)...)
		cmd.Env = b.environment()
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, 0, fmt.Errorf("berth env list: %w", err)
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	// Nearest rank: of 300 runs, 3 may be longer than the 99th percentile.
	return all[(len(all)-1)/2], all[(len(all)*99+99)/100-1], nil
}
