package logbook_test

import (
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/logbook"
)

func TestAppendAndRead(t *testing.T) {
	t.Parallel()
	b, err := logbook.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	changed := b.Changed()
	if err := b.Append("e1", "qa/web", []orchestrator.Progress{{Step: "log", Text: "one"}, {Step: "log", Text: "two\nlines"}}); err != nil {
		t.Fatal(err)
	}
	<-changed
	lines, next, err := b.Read("e1", 0)
	if err != nil || len(lines) != 2 || lines[1].Text != "two\nlines" || lines[0].Server != "qa/web" {
		t.Fatalf("Read = %+v, %v", lines, err)
	}
	if more, _, _ := b.Read("e1", next); len(more) != 0 {
		t.Fatalf("nothing was added, but Read gave %+v", more)
	}
	if none, _, err := b.Read("e2", 0); err != nil || none != nil {
		t.Fatalf("an environment without a log: %+v, %v", none, err)
	}
	if err := b.Remove("e1"); err != nil {
		t.Fatal(err)
	}
	if gone, _, _ := b.Read("e1", 0); gone != nil {
		t.Fatalf("removed, but Read gave %+v", gone)
	}
}
