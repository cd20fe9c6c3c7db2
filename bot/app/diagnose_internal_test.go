package app

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What has no end is not read into memory; everything else is read whole.
func TestReadBounded(t *testing.T) {
	t.Parallel()
	if b, err := readBounded(strings.NewReader("12345678"), 8); err != nil || string(b) != "12345678" {
		t.Errorf("%q, %v", b, err)
	}
	var read int
	endless := readerFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil })
	if _, err := readBounded(endless, 3<<20); err == nil || !strings.Contains(err.Error(), "more than 3 MB") || read > 4<<20 {
		t.Errorf("read %d bytes: %v", read, err)
	}
	if _, err := readBounded(iotest.ErrReader(io.ErrClosedPipe), 8); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
