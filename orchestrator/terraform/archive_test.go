package terraform_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// An archive of a module is compared with the checksum that the catalog demands
// before anything of it is used.
func TestArchiveIsCompared(t *testing.T) {
	h := newHouse(t)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	f, err := z.Create("aws/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `variable "environment_id" { type = string }
variable "servers" { type = any }
variable "tags" { type = map(string) }
output "servers" { value = {} }
`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive.Bytes()) }))
	defer host.Close()
	w := workspace()
	apply := func(run string, sum [sha256.Size]byte) error {
		w.Target = orchestrator.Target{Name: "away", Module: fmt.Sprintf("%s/m.zip//aws?checksum=sha256:%x", host.URL, sum)}
		_, err := h.p.Apply(t.Context(), w, run, h.progress)
		return err
	}
	if err := apply("r1", sha256.Sum256([]byte("another one"))); err == nil || !strings.Contains(logOf(err), "Checksums did not match") {
		t.Errorf("another archive than the one that was named: %v\n%s", err, logOf(err))
	}
	if err := apply("r2", sha256.Sum256(archive.Bytes())); err != nil {
		t.Errorf("%v\n%s", err, logOf(err))
	}
}
