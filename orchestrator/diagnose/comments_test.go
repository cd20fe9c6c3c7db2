package diagnose

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// TestComments: whatever text a state of Salt 3008.3 or 3006.28 fails with, it
// has a cause in a sentence that names what it is about. The texts were taken
// from Salt's sources and filled in with samples.
func TestComments(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/comments.json")
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	if err := json.Unmarshal(text, &all); err != nil || len(all) < 1000 {
		t.Fatalf("%d texts, %v", len(all), err)
	}
	samples := regexp.MustCompile(`thing7|deploy7|staff7|/srv/x7|db7\.test|x7\.tgz|the gadget is stuck`)
	ordinary := regexp.MustCompile(`(?i)^the word "(?:states?|plans?|providers?)" in `)
	unknown := 0
	for _, c := range all {
		module, function, _ := strings.Cut(c[0], ".")
		name := "thing7"
		if module == "file" || module == "archive" {
			name = "/srv/thing7"
		}
		d := Salt([]byte(chunk(module+"_|-a-step_|-"+name+"_|-"+function, c[1], `{}`)), nil, 2)
		if len(d.Causes) != 1 {
			t.Errorf("%s: %q: %d causes", c[0], c[1], len(d.Causes))
			continue
		}
		cause := d.Causes[0]
		if cause.Code == "unknown" || cause.Code == "unreadable" {
			t.Errorf("%s: %q is %s", c[0], c[1], cause.Code)
		}
		for _, why := range diagnosetest.WellSaid(cause) {
			if ordinary.MatchString(why) { // a usage plan is called so
				continue
			}
			t.Errorf("%s: %q: %s", c[0], c[1], why)
		}
		told := samples.FindAllString(c[1], -1)
		named := slices.ContainsFunc(append(told, "a-step", name), func(s string) bool { return strings.Contains(cause.Sentence, s) })
		if !named {
			t.Errorf("%s: %q names nothing: %s", c[0], c[1], cause.Sentence)
		}
		if strings.Contains(cause.Sentence, "with a message that Berth does not know") {
			unknown++
		}
	}
	if most := len(all) / 12; unknown > most {
		t.Errorf("of %d texts %d are not known, and %d are the most", len(all), unknown, most)
	}
	t.Logf("of %d texts, %d are only quoted", len(all), unknown)
}
