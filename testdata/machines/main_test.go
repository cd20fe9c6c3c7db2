package machines_test

import (
	"os"
	"testing"

	"github.com/berth-dev/berth/testdata/machines"
)

func TestMain(m *testing.M) { os.Exit(machines.Run(m)) }
