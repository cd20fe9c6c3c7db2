package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestMirrors: a newer provider is found where Terraform would find it.
func TestMirrors(t *testing.T) {
	t.Parallel()
	home, at := t.TempDir(), runtime.GOOS+"_"+runtime.GOARCH
	write := func(path, text string) string {
		t.Helper()
		path = filepath.Join(home, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const provider = "/registry.terraform.io/hashicorp/aws/"
	write("named"+provider+"5.100.0/"+at+"/terraform-provider-aws_v5.100.0_x5", "")
	write("named"+provider+"6.2.0/"+at+"/terraform-provider-aws_v6.2.0", "")
	write("named"+provider+"7.0.0/"+at+"/terraform-provider-aws_v7.0.0", "")
	write("named"+provider+"6.3.0/plan9_mips/terraform-provider-aws_v6.3.0", "")
	write(".local/share/terraform/plugins"+provider+"terraform-provider-aws_5.101.0_"+at+".zip", "")
	write(".terraform.d/plugins"+provider+"3.39.0/"+at+"/terraform-provider-aws_v3.39.0_x5", "")
	config := write("cli.tfrc", fmt.Sprintf(`
plugin_cache_dir = "$HOME/cache"
credentials "app.terraform.io" {
  token = "x"
}
provider_installation {
  filesystem_mirror {
    path    = %q
    include = ["*/*"]
  }
  direct {}
}
`, home+"/named"))
	env := map[string]string{"HOME": home, "TF_CLI_CONFIG_FILE": config, "XDG_DATA_DIRS": home + "/system"}
	all := mirrors(func(name string) string { return env[name] })
	for dir, want := range map[string]string{"named": "6.2.0", ".local/share/terraform/plugins": "5.101.0", ".terraform.d/plugins": "<nil>", "cache": "<nil>", "system/terraform/plugins": "<nil>"} {
		dir = filepath.Join(home, dir)
		if got := fmt.Sprint(newestAWS(dir)); !slices.Contains(all, dir) || got != want {
			t.Errorf("%s: %s, want %s; of %v", dir, got, want, all)
		}
	}
	if got := configured(write("broken", "provider_installation {"), os.Getenv); len(got) != 0 {
		t.Errorf("a broken configuration names %v", got)
	}
}
