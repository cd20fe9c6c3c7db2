package awsfake_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/testdata/awsfake"
)

// config reads two services, with as few calls as the provider makes.
const config = `
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "url" {}
provider "aws" {
  max_retries = 1
  skip_get_ec2_platforms = true
  endpoints {
    ec2 = var.url
    sts = var.url
  }
}
data "aws_ami" "image" {
  owners = ["self"]
  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}
output "image" { value = data.aws_ami.image.id }
`

type workspace struct {
	t     *testing.T
	dir   string
	cloud *awsfake.Cloud
}

func open(t *testing.T, cloud *awsfake.Cloud, config string) workspace {
	t.Helper()
	w := workspace{t, t.TempDir(), cloud}
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := w.terraform(nil, "init", "-input=false", "-no-color"); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return w
}

func (w workspace) terraform(env []string, args ...string) (string, error) {
	w.t.Helper()
	path := os.Getenv("BERTH_TERRAFORM")
	if path == "" {
		path = "terraform"
	}
	if _, err := exec.LookPath(path); err != nil {
		w.t.Skip("There is no Terraform here.")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = w.dir
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TF_VAR_url=" + w.cloud.URL}, w.cloud.Environ(), env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apply runs one, and wants says in its output what it must, or "" to go well.
func (w workspace) apply(says string, env ...string) {
	w.t.Helper()
	out, err := w.terraform(env, "apply", "-auto-approve", "-input=false", "-no-color")
	if (err == nil) != (says == "") || !strings.Contains(out, says) {
		w.t.Errorf("apply: %v; want %q in:\n%s", err, says, out)
	}
}

// TestCloud: the real provider finds in it what it finds in AWS, and is refused
// what AWS refuses.
func TestCloud(t *testing.T) {
	t.Parallel()
	cloud := awsfake.Start(t)
	w := open(t, cloud, config)
	newer := cloud.AddImage(t, "debian-12-amd64-20260201")
	w.apply("Your query returned more than one result")
	config := strings.Replace(config, "owners =", "most_recent = true\n  owners =", 1)
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud.Calls()
	w.apply("")
	// Made within one second, both are the newest.
	if out, err := w.terraform(nil, "output", "-raw", "image"); err != nil || out != newer && out != cloud.Image {
		t.Errorf("the newest image: %v %s, not %s", err, out, newer)
	}
	var made []string
	for _, c := range cloud.Calls() {
		made = append(made, c.Service+":"+c.Action)
	}
	slices.Sort(made)
	if made = slices.Compact(made); !slices.Equal(made, []string{"ec2:DescribeImages", "sts:GetCallerIdentity"}) {
		t.Errorf("calls: %v", made)
	}

	w.apply("InvalidClientTokenId", "AWS_ACCESS_KEY_ID=AKIANOBODYSKEY000000")
	w.apply("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY=another")
	cloud.Inject(awsfake.Fault{Action: "DescribeImages", Error: awsfake.Denied})
	w.apply("UnauthorizedOperation")

	// Its neighbour has none of its things.
	if other := awsfake.Start(t); other.Image == cloud.Image || other.VPC == cloud.VPC {
		t.Errorf("two accounts have the image %s and the network %s", other.Image, other.VPC)
	}
}
