package diagnose

import (
	"regexp"
	"testing"
)

// What is compiled late must compile all the same.
func TestExpressions(t *testing.T) {
	t.Parallel()
	if len(expressions) < 100 {
		t.Fatalf("only %d expressions are in the tables", len(expressions))
	}
	for _, e := range expressions {
		if _, err := regexp.Compile(e.source); err != nil {
			t.Error(err)
		}
	}
}
