package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/logbook"
)

// A log is given whole, or its end in whole lines that are just longer than what
// is wanted; one app's lines are those of its server.
func TestLogText(t *testing.T) {
	t.Parallel()
	book, err := logbook.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all strings.Builder
	for i := range 100 {
		text := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i))
		if err := book.Append("e1", "qa/web", []orchestrator.Progress{{At: at, Text: text + "\n"}}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "03:04:05 qa/web %s\n", text)
	}
	if err := book.Append("e1", "qa/api", []orchestrator.Progress{{At: at, Text: "hello"}}); err != nil {
		t.Fatal(err)
	}
	h := &house{logs: book}
	for _, bytes := range []int{0, 1, 100, 1000, all.Len() - 1, all.Len(), 1 << 20} {
		got, err := h.logText("e1", "web", bytes)
		if err != nil || !strings.HasSuffix(all.String(), got) || !strings.HasPrefix(got, "03:04:05 qa/web line ") {
			t.Fatalf("%d bytes: %q, %v", bytes, got, err)
		}
		_, rest, _ := strings.Cut(got, "\n")
		if len(got) <= bytes && got != all.String() || len(rest) > bytes {
			t.Errorf("%d bytes: got %d", bytes, len(got))
		}
	}
	if got, err := h.logText("e1", "api", 1000); err != nil || got != "03:04:05 qa/api hello\n" {
		t.Errorf("another app's: %q, %v", got, err)
	}
}
