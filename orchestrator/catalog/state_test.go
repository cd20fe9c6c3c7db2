package catalog_test

import (
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator/catalog"
)

// TestStateNeeds: what a backend cannot do without is told with its place, and
// may come by a variable where Terraform takes it from one.
func TestStateNeeds(t *testing.T) {
	t.Parallel()
	const at = "berth.hcl:2: "
	for state, want := range map[string][]string{
		`"s3" {}`: {at + `state "s3" needs bucket. Expected: bucket = "acme-terraform".`,
			at + `state "s3" needs region. Expected: region = "eu-central-1"; or give serve AWS_REGION, and name that in environment = ["AWS_REGION"].`},
		`"s3" { bucket = "" }`: {`needs bucket`, `needs region`},
		"\"s3\" {\n bucket = \"a\"\n environment = [\"AWS_DEFAULT_REGION\"]\n}":                                 nil,
		"\"s3\" {\n bucket = \"a\"\n}\ntarget \"aws\" {\n module = \"aws\"\n environment = [\"AWS_REGION\"]\n}": {`needs region`}, // the other target has none
		`"pg" {}`:                                 {at + `state "pg" needs conn_str. Expected: conn_str = "postgres://db.example.com/berth"; or give serve PG_CONN_STR, and name that in environment = ["PG_CONN_STR"].`},
		`"pg" { environment = ["PG_CONN_STR"] }`:  nil,
		`"pg" { conn_str = "postgres:///berth" }`: nil,
		`"http" {}`:                               {at + `state "http" needs address. Expected: address = "https://states.example.com/berth/{id}".`},
		`"http" { address = "https://x" }`:        nil,
		"\"http\" {\n address = \"https://x\"\n lock_address = \"https://x\"\n}": {at + `state "http" needs unlock_address beside lock_address. Expected: unlock_address = `},
		"\"http\" {\n address = \"https://x\"\n environment = [\"TF_HTTP_PASSWORD\", \"TF_HTTP_LOCK_ADDRESS\"]\n}": {
			`berth.hcl:4: environment: TF_HTTP_LOCK_ADDRESS would be one address for all environments. Leave it out, and write lock_address = "https://…/{id}" into the block state "http"`},
		"\"http\" {\n address = \"https://x\"\n}\ntarget \"x\" {\n module = \"aws\"\n environment = [\n\"TF_HTTP_ADDRESS\"]\n}": {
			`berth.hcl:8: environment: TF_HTTP_ADDRESS would be one address for all environments.`},
		`"gcs" {}`:               {at + `state "gcs" needs bucket.`},
		`"gcs" { bucket = "a" }`: nil,
		`"azurerm" {}`:           {`needs storage_account_name. Expected: storage_account_name = "acmeterraform".`, `needs container_name.`},
		`"consul" {}`:            nil, // on this machine, at its usual port
		`"kubernetes" {}`:        {at + `state "kubernetes" needs one of config_path, config_paths, in_cluster_config and host. Expected: config_path = "/etc/berth/kube/config"; or give serve KUBE_CONFIG_PATH`},
		`"kubernetes" { in_cluster_config = true }`:                                       nil,
		`"oss" { prefix = "{id}" }`:                                                       nil, // not known: Terraform says what lacks
		"\"oss\" {\n prefix = \"{id}\"\n shared_credentials_file = \"/etc/berth/oss\"\n}": nil, // only where it is
		"\"s3\" {\n bucket = \"a\"\n region = \"b\"\n assume_role_with_web_identity = { web_identity_token_file = \"/run/token\" }\n}": nil,
		// {id} that does not tell the states apart, or their locks.
		"\"s3\" {\n bucket = \"a\"\n region = \"b\"\n assume_role = { session_name = \"berth-{id}\" }\n}": {at + `state "s3": key would be one for all environments, since {id} stands elsewhere. Write {id} into key too, or nowhere`},
		"\"s3\" {\n bucket = \"berth-{id}\"\n region = \"b\"\n key = \"state\"\n}":                        nil,
		"\"http\" {\n address = \"https://x/s\"\n lock_address = \"https://x/{id}\"\n unlock_address = \"https://x/{id}\"\n}": {
			`berth.hcl:3: state "http": address would be one for all environments`},
		"\"http\" {\n address = \"https://x/{id}\"\n lock_address = \"https://x/lock\"\n unlock_address = \"https://x/lock\"\n}": {
			`berth.hcl:4: state "http": lock_address would be one for all environments`, `berth.hcl:5: state "http": unlock_address would be`},
		"\"kubernetes\" {\n host = \"https://{id}.example.com\"\n}": {`secret_suffix would be one for all environments`},
		// What is wrong already may be what lacks.
		`"pg" { conn_str = "postgres://a:hunter2@db/x" }`: {`conn_str has a secret in it`},
	} {
		path := write(t, map[string]string{"berth.hcl": local + "state " + state + "\n"})
		_, err := catalog.Load(path)
		if (err == nil) != (len(want) == 0) {
			t.Errorf("%s: %v, want %q", state, err, want)
			continue
		}
		for _, w := range want {
			if !strings.Contains(lines(err), w) {
				t.Errorf("%s: %q is not in\n%v", state, w, err)
			}
		}
		if err == nil {
			continue
		}
		if n := strings.Count(lines(err), "berth.hcl:"); n != len(want) {
			t.Errorf("%s: %d problems, want %d:\n%v", state, n, len(want), err)
		}
	}
}
