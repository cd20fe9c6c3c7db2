package slack

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// table is Cards in memory.
type table struct{ rows []orchestrator.Card }

func (t *table) OpenCards(context.Context, string) ([]orchestrator.Card, error) { return t.rows, nil }

func (t *table) Card(context.Context, string) (orchestrator.Card, bool, error) {
	return orchestrator.Card{}, false, nil
}

func (t *table) SaveCard(context.Context, string, []byte, bool) error { return nil }

// What has no row any more is forgotten, also when its row went while a call
// about it ran, and when it could not be read.
func TestCardsForgotten(t *testing.T) {
	t.Parallel()
	done, err := json.Marshal(cardState{TS: "1.2", Final: true, Told: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := &table{rows: []orchestrator.Card{{OperationID: "o1", Place: []byte(`{}`), State: []byte(`{"ts":"1.2"}`)},
		{OperationID: "o2", Place: []byte(`{}`), State: done}, {OperationID: "o3", Place: []byte(`{`), State: []byte(`{}`)}}}
	c := newCards(&Slack{Options: Options{Cards: rows, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}})
	refresh := func(want int) {
		t.Helper()
		if err := c.refresh(t.Context()); err != nil || len(c.known) != want {
			t.Errorf("%d cards are known, want %d, %v", len(c.known), want, err)
		}
	}
	refresh(3)
	c.known["o1"].busy = true
	rows.rows = nil
	refresh(1) // its call knows it still
	k := c.known["o1"]
	k.state.Final, k.state.Told, k.busy = true, true, false
	refresh(0)
}
