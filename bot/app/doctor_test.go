package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/awsfake"
	"github.com/berth-dev/berth/testdata/hcloudfake"
)

// Credentials for a cloud are tried with the real provider before anything is
// made; a line that fails names what lacks, and never a secret.
func TestDoctorTriesClouds(t *testing.T) {
	cloud := hcloudfake.Start(t)
	for _, pair := range cloud.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	needTerraform(t)
	t.Setenv("TMPDIR", t.TempDir()) // others may run a doctor, too
	catalogs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(catalogs, "ours"), 0o700); err != nil {
		t.Fatal(err)
	}
	const ours = `
variable "environment_id" {}
variable "servers" {}
variable "tags" {}
output "servers" { value = {} }
`
	if err := os.WriteFile(filepath.Join(catalogs, "ours", "main.tf"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	hetzner := orchestrator.Target{Name: "hetzner", Module: "hcloud", Environment: []string{"HCLOUD_TOKEN", "HCLOUD_ENDPOINT", "BERTH_TEST_NOT_SET"}}
	c := &orchestrator.Catalog{Dir: catalogs, Targets: []orchestrator.Target{{Name: "local", Module: "local"}, hetzner, {Name: "ours", Module: "./ours"}}}
	data := t.TempDir()
	all := targets(t.Context(), c, data)
	if len(all) != 2 || !all[0].OK || all[0].Found != "its cloud answers (BERTH_TEST_NOT_SET not set)" || !all[1].OK || all[1].Name != "target ours" {
		t.Errorf("%+v", all)
	}
	const wrong = "w0123456789012345678901234567890123456789012345678901234567890ng"
	t.Setenv("HCLOUD_TOKEN", wrong)
	if k := tryTarget(t.Context(), c, hetzner, data); k.OK || !strings.Contains(k.Found, "refused Berth's credentials") || !strings.Contains(k.Next, "BERTH_TEST_NOT_SET") || strings.Contains(k.Found+k.Next, wrong) {
		t.Errorf("a wrong token: %+v", k)
	}
	t.Setenv("HCLOUD_TOKEN", "")
	if k := tryTarget(t.Context(), c, hetzner, data); k.OK || !strings.Contains(k.Next, "set in serve's environment what the target names: HCLOUD_TOKEN") {
		t.Errorf("no token: %+v", k)
	}
	empty := filepath.Join(catalogs, "cli.tfrc")
	if err := os.WriteFile(empty, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", catalogs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", empty)
	if k := tryTarget(t.Context(), c, hetzner, t.TempDir()); k.OK || !strings.Contains(k.Found, "HCLOUD_TOKEN, BERTH_TEST_NOT_SET not set") || !strings.Contains(k.Next, "name a mirror in TF_CLI_CONFIG_FILE") {
		t.Errorf("no provider: %+v", k)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "berth-doctor-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(cloud.Left()) > 0 {
		t.Errorf("made: %v", cloud.Left())
	}
}

// TestDoctorTriesAWS: what keeps Berth from signing in at AWS is found before
// anything is made, with what to do about it, and no secret.
func TestDoctorTriesAWS(t *testing.T) {
	cloud := awsfake.Start(t)
	needTerraform(t)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // nor credentials of this machine's
	data := t.TempDir()
	const session, wrong = "FwoGZXIvYXdzEsessiontokenQ", "wrongSecretwrongSecretwrongSecretwrongSe"
	secrets := []string{session, wrong}
	for _, tt := range []struct {
		name        string
		environ     []string
		variable    string // of the target; another value
		value       any
		fault       *awsfake.Fault
		policy      *awsfake.Policy
		ok          bool
		found, next string
	}{
		{name: "good", ok: true, found: "its cloud answers"},
		{name: "nothing is set", environ: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="},
			found: "Berth has no credentials", next: "set in serve's environment what the target names: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; and look"},
		{name: "a key that nobody has", environ: []string{"AWS_ACCESS_KEY_ID=AKIANOBODYSKEY000000"}, // InvalidClientTokenId
			found: "refused Berth's credentials: The security token", next: "correct Berth's credentials for the cloud, in serve's environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"},
		{name: "another secret", environ: []string{"AWS_SECRET_ACCESS_KEY=" + wrong}, // SignatureDoesNotMatch
			found: "does not match the signature", next: "correct Berth's credentials for the cloud, in serve's environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"},
		{name: "a session that is over", environ: []string{"AWS_SESSION_TOKEN=" + session}, fault: &awsfake.Fault{Action: "GetCallerIdentity", Error: awsfake.ExpiredToken},
			found: "credentials for the cloud have expired", next: "renew Berth's credentials, in serve's environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"},
		{name: "no right to look", policy: &awsfake.Policy{Statement: []awsfake.Statement{{Effect: "Allow", Action: []string{"sts:GetCallerIdentity", "ec2:DescribeAccountAttributes"}, Resource: []string{"*"}}}},
			found: "ec2:DescribeInstances", next: "give Berth's account at the cloud what the page of its cloud lists"},
		{name: "no such region", variable: "region", value: "eu-atlantis-1",
			found: "eu-atlantis-1", next: "look at the target in the catalog"},
		{name: "no region", variable: "region",
			found: `"region"`, next: `set "region" for the target`},
		{name: "out of reach", variable: "endpoints", value: map[string]any{"ec2": "http://127.0.0.1:9", "sts": "http://127.0.0.1:9"},
			found: `The cloud at "127.0.0.1:9" can't be reached`, next: "look at this machine's way to the cloud"},
	} {
		cloud.Heal()
		for _, pair := range slices.Concat(cloud.Environ(), []string{"AWS_SESSION_TOKEN="}, tt.environ) {
			name, value, _ := strings.Cut(pair, "=")
			t.Setenv(name, value)
			if name == "AWS_SECRET_ACCESS_KEY" && value != "" {
				secrets = append(secrets, value)
			}
		}
		aws := orchestrator.Target{Name: "aws", Module: "aws", Variables: cloud.Variables(), Environment: []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"}}
		if os.Getenv("AWS_SESSION_TOKEN") != "" {
			aws.Environment = append(aws.Environment, "AWS_SESSION_TOKEN")
		}
		if tt.variable != "" {
			aws.Variables[tt.variable] = tt.value
		}
		if tt.fault != nil {
			cloud.Inject(*tt.fault)
		}
		if tt.policy != nil {
			cloud.Enforce(*tt.policy)
		}
		k := tryTarget(t.Context(), &orchestrator.Catalog{Dir: data}, aws, data)
		if k.OK != tt.ok || !strings.Contains(k.Found, tt.found) || !strings.Contains(k.Next, tt.next) || (k.Next == "") != tt.ok {
			t.Errorf("%s: %+v", tt.name, k)
		}
		for _, secret := range secrets {
			if strings.Contains(k.Found+k.Next, secret) {
				t.Errorf("%s: a secret is told: %+v", tt.name, k)
			}
		}
	}
	for _, call := range cloud.Calls() {
		if call.Service == "ec2" && !strings.HasPrefix(call.Action, "Describe") {
			t.Errorf("it called %s", call.Action)
		}
	}
}

// TestDoctorAsksForSalt only where servers run on this machine.
func TestDoctorAsksForSalt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	local, cloud := orchestrator.Target{Name: "here", Module: "local"}, orchestrator.Target{Name: "aws", Module: "aws"}
	for _, tt := range []struct {
		name, path string
		catalog    *orchestrator.Catalog
		ok         bool
	}{
		{name: "only clouds", catalog: &orchestrator.Catalog{Targets: []orchestrator.Target{cloud}}, ok: true},
		{name: "a cloud, but another Salt is named", path: "/nowhere/salt-call", catalog: &orchestrator.Catalog{Targets: []orchestrator.Target{cloud}}},
		{name: "this machine, too", catalog: &orchestrator.Catalog{Targets: []orchestrator.Target{cloud, local}}},
		{name: "no catalog"},
	} {
		t.Setenv("BERTH_SALT_CALL", tt.path)
		if said, err := saltFor(t.Context(), tt.catalog); (err == nil) != tt.ok {
			t.Errorf("%s: %q, %v", tt.name, said, err)
		}
	}
}
