package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/logbook"
)

// logs prints what the servers of an environment have printed. With --follow
// it goes on until it is interrupted or the environment is gone; with both
// --follow and --json each line is an object of its own.
func (s *session) logs(ctx context.Context) error {
	// Asked first, so that a server that is not there is refused.
	noun := "env"
	server := ""
	if s.cmd.App != "" {
		noun, server = "server", s.cmd.Environment+"/"+s.cmd.App
	}
	name := s.cmd.Environment
	if server != "" {
		name = server
	}
	if _, err := s.client.Do(ctx, noun+" show "+name); err != nil {
		return s.interrupted(ctx, err, "")
	}
	var wait time.Duration
	all := []logbook.Line{}
	lines := json.NewEncoder(s.console.Out)
	lines.SetEscapeHTML(false)
	for offset := int64(0); ; {
		l, err := s.client.Logs(ctx, s.cmd.Environment, offset, wait)
		if ctx.Err() != nil && s.flags.follow {
			return errSilent{130} // what there was has been printed
		}
		var gone *orchestrator.Error
		if errors.As(err, &gone) && gone.Code == orchestrator.CodeNotFound {
			fmt.Fprintf(s.console.Err, "%s is no more: it has been destroyed or renamed.\n", s.cmd.Environment)
			return nil
		}
		if err != nil {
			return s.interrupted(ctx, err, "")
		}
		for _, line := range l.Lines {
			switch {
			case server != "" && line.Server != server:
			case s.flags.json && s.flags.follow:
				_ = lines.Encode(line) // standard output that has gone away is nobody's error
			case s.flags.json:
				all = append(all, line)
			default:
				s.console.Log(line.At, line.Server, line.Text)
			}
		}
		offset = l.Next
		if !s.flags.follow {
			break
		}
		wait = 20 * time.Second
	}
	if s.flags.json {
		writeJSON(s.console.Out, all)
	}
	return nil
}
