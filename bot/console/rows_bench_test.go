package console

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/berth-dev/berth/bot/wire"
)

// BenchmarkRows is what a table of ten thousand environments costs the program
// that prints it.
func BenchmarkRows(b *testing.B) {
	var raw []byte
	for i := range 10000 {
		raw = wire.AppendRow(raw, wire.Row{Name: fmt.Sprintf("many-%05d", i), Status: "ready", Owner: fmt.Sprintf("person%d", i%200), Target: "local", ExpiresAt: time.Now().Add(72 * time.Hour), Servers: "api=feature/login web=feature/login"})
	}
	text := string(raw)
	c := New(io.Discard, io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		rows, err := wire.ParseRows(text)
		if err != nil {
			b.Fatal(err)
		}
		c.Rows(rows, false)
	}
}
