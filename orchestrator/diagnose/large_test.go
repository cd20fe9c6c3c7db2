package diagnose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// TestLarge: however many fail, the result says what it must, and no more than
// anybody reads.
func TestLarge(t *testing.T) {
	t.Parallel()
	for _, l := range diagnosetest.LargeResults(3 << 20) {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			if d, err := diagnosetest.Decode(l.Input); err != nil || len(d["local"]) == 0 {
				t.Fatal(err)
			}
			d := Salt(l.Input, nil, 2)
			if d.Outcome != orchestrator.OutcomeFailed || len(d.Causes) == 0 || len(d.Causes) > maxCauses+1 || d.Cut {
				t.Fatalf("%s with %d causes", d.Outcome, len(d.Causes))
			}
			c := d.Causes[0]
			if l.Causes > 0 && (len(d.Causes) != l.Causes || d.Blocked != l.Blocked || c.BlockedTotal != l.Blocked || len(c.Blocked) != min(l.Blocked, maxBlocked) || !strings.Contains(c.Sentence, "main.ts is broken")) {
				t.Errorf("%d causes; %d blocked, %d of them by %q", len(d.Causes), d.Blocked, c.BlockedTotal, c.Sentence)
			}
			last := d.Causes[len(d.Causes)-1]
			told := map[string]string{
				"5,000 identical roots":               "4999 more like it",
				"5,000 roots with names of their own": "4980 more like it",
				"5,000 roots, no two alike":           fmt.Sprint(5000-maxCauses, " more steps failed"),
			}[l.Name]
			if !strings.Contains(last.Sentence, told) {
				t.Errorf("%q does not say %q", last.Sentence, told)
			}
			for _, m := range wellSaid(last) {
				t.Error(m)
			}
		})
	}
}

// What is only counted is counted rightly.
func TestCounted(t *testing.T) {
	t.Parallel()
	for more, want := range map[int]string{1: "1 more step failed: ", 2: "2 more steps failed, each in its own way: "} {
		var steps []string
		for i := range maxCauses + more {
			steps = append(steps, fmt.Sprintf(`"cmd_|-s%d_|-run %d_|-run":{"name":"run %d","result":false,"comment":"Command \"run %d\" run","changes":{"stderr":"error: part%d.ts is broken","retcode":2},"__sls__":"app","__id__":"s%d","__run_num__":%d}`, i, i, i, i, i, i, i))
		}
		d := Salt([]byte(`{"local":{`+strings.Join(steps, ",")+`}}`), nil, 2)
		if last := d.Causes[len(d.Causes)-1]; len(d.Causes) != maxCauses+1 || !strings.HasPrefix(last.Sentence, want) {
			t.Errorf("%d causes, the last one: %s", len(d.Causes), last.Sentence)
		}
	}
}
