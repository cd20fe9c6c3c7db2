package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// keepReport stores a report until Berth has taken it, then counts the
// generation as handled.
func (a *agent) keepReport(r orchestrator.Report) error {
	if err := a.spoolReport(r); err != nil {
		return err
	}
	return a.update(func(s *state) { s.Handled = max(s.Handled, r.Generation) })
}

func (a *agent) spoolReport(r orchestrator.Report) error {
	a.spoolMu.Lock()
	defer a.spoolMu.Unlock()
	// In the order in which they were made, also after a restart.
	a.spooled = max(a.spooled+1, time.Now().UnixMilli())
	if err := writeJSON(filepath.Join(a.dir, spoolFolder, fmt.Sprintf("%014d-%s.json", a.spooled, rand.Text())), r); err != nil {
		return err
	}
	select {
	case a.spool <- struct{}{}:
	default:
	}
	return nil
}

// sendReports posts what is in the spool, the oldest first.
func (a *agent) sendReports(ctx context.Context) error {
	for {
		names, err := filepath.Glob(filepath.Join(a.dir, spoolFolder, "*.json"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := a.sendReport(ctx, name); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.spool:
		}
	}
}

func (a *agent) sendReport(ctx context.Context, name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !json.Valid(raw) {
		return os.Rename(name, name+".damaged")
	}
	err = retry(ctx, a.warn("reporting"), func() error {
		err := a.client.report(ctx, json.RawMessage(bytes.TrimSpace(raw)))
		var refused *statusError
		if errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 413 || refused.Status == 422) {
			return permanent(err)
		}
		return err
	})
	var refused *statusError
	switch {
	case errors.As(err, &refused):
		a.log.Error("Berth does not take a report", "file", name, "error", err)
		return a.replaceReport(name, raw, refused)
	case err != nil:
		return err
	}
	return os.Remove(name)
}

// replaceReport puts a short report in the place of one that Berth will never
// take, so that nobody waits for it; of a short one nothing can be made.
func (a *agent) replaceReport(name string, raw []byte, refused *statusError) error {
	var r orchestrator.Report
	if err := json.Unmarshal(raw, &r); err == nil && (r.Stdout != "" || r.Stderr != "" || r.AppLog != "") {
		r.Stdout, r.Stderr, r.AppLog, r.Healthy = "", "", "", false
		r.Problem = fmt.Sprintf("The server ran its recipes, but Berth did not take its report (%d %s).", refused.Status, refused.Text)
		if err := a.spoolReport(r); err != nil {
			return err
		}
	}
	return os.Rename(name, name+".refused")
}
