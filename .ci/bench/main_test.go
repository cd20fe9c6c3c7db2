package main

import (
	"strings"
	"testing"
)

// What is over its limit is told, and nothing else.
func TestLimit(t *testing.T) {
	missed = nil
	limit("start", 500, 500, "ms")
	limit("memory", 61, 60, "MB")
	limit("list", 49.9, 50, "ms")
	if got := strings.Join(missed, "\n"); got != "memory is 61 MB, and may be 60 MB" {
		t.Errorf("missed: %q", got)
	}
}
