package modules_test

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/berth-dev/berth/modules"
)

// TestOverlay: the module for spot instances has the files of aws and its own.
func TestOverlay(t *testing.T) {
	t.Parallel()
	spot, err := fs.Sub(modules.FS(), "aws-spot")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = fs.WalkDir(spot, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
			_, err = fs.ReadFile(spot, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"main.tf", "outputs.tf", "spot_override.tf", "variables.tf", "versions.tf"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the files %v", want, names)
		}
	}
}
