package diagnose

import (
	"net/http"
	"strings"

	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

const (
	plainServer = `resource "terraform_data" "server" {
  for_each = toset(["api"])
  input    = each.key
}
`
	hcloudSettings = `terraform {
  required_providers {
    hcloud = { source = "hetznercloud/hcloud" }
  }
}
provider "hcloud" {
  token    = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
  endpoint = "$URL/v1"
}
`
	hcloudServer = hcloudSettings + `resource "hcloud_server" "server" {
  for_each    = toset(["api"])
  name        = "berth-reef-${each.key}"
  server_type = "cx22"
  image       = "debian-12"
  location    = "fsn1"
}
`
	awsSettings = `terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "AKIAIOSFODNN7EXAMPLE"
  secret_key                  = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  max_retries                 = 1
  endpoints {
    ec2 = "$URL"
    sts = "$URL"
    iam = "$URL"
  }
}
`
	awsServer = awsSettings + `resource "aws_instance" "server" {
  for_each      = toset(["api"])
  ami           = "ami-0123456789abcdef0"
  instance_type = "t3.small"
}
`
)

// older gives a configuration the AWS program of 2021, whose messages differ.
func older(config string) string {
	return strings.NewReplacer(`"5.100.0"`, `"3.39.0"`).Replace(config)
}

func tf(config string) map[string]string { return map[string]string{"main.tf": config} }

// launch is a server that AWS refuses.
func launch(name, code, message, want, who string, must ...string) recording {
	status := "400"
	switch code {
	case "InsufficientInstanceCapacity", "InternalError":
		status = "500"
	case "RequestLimitExceeded", "Unavailable":
		status = "503"
	case "UnauthorizedOperation":
		status = "403"
	case "AuthFailure":
		status = "401"
	}
	return recording{name: name, files: tf(awsServer), cloud: amazon(map[string][3]string{"RunInstances": {status, code, message}}),
		code: want, who: who, must: must, note: "The cloud's answer is a stand-in's, worded as AWS documents it."}
}

func order(name string, a answer, want, who string, must ...string) recording {
	return recording{name: name, files: tf(hcloudServer), cloud: hetzner(map[string]answer{"POST /v1/servers": a}),
		code: want, who: who, must: must, note: "The cloud's answer is a stand-in's, in the form of Hetzner's API."}
}

var recordings = []recording{
	// What has to be there before anything runs.
	{name: "init-registry-unreachable", files: map[string]string{"main.tf": hcloudServer, "cli.tfrc": "\n"}, env: []string{"HTTPS_PROXY=http://127.0.0.1:9"},
		code: "provider_missing", who: ops, alsoWho: []string{retry}, must: []string{"hcloud"}},
	{name: "init-version-not-there", files: tf(strings.Replace(hcloudServer, `"hetznercloud/hcloud"`, `"hetznercloud/hcloud", version = ">= 3.0.0"`, 1)),
		code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "init-unknown-source", files: tf(strings.Replace(hcloudServer, `"hetznercloud/hcloud"`, `"harbourcloud/quay"`, 1)),
		code: "provider_missing", who: ops, must: []string{"quay"}},
	{name: "init-checksum-of-lock-file", files: map[string]string{"main.tf": hcloudServer, ".terraform.lock.hcl": "provider \"registry.terraform.io/hetznercloud/hcloud\" {\n  version = \"1.60.1\"\n  hashes = [\"h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]\n}\n"},
		code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "init-lock-file-locks-another", files: map[string]string{"main.tf": strings.Replace(hcloudServer, `"hetznercloud/hcloud"`, `"hetznercloud/hcloud", version = "1.60.1"`, 1), ".terraform.lock.hcl": "provider \"registry.terraform.io/hetznercloud/hcloud\" {\n  version = \"1.50.0\"\n  constraints = \"1.50.0\"\n}\n"},
		code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "apply-without-init", files: tf(hcloudServer), script: "apply", code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "provider-gone-since", files: tf(hcloudServer), script: "init; rm -rf .terraform/providers; apply", code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "provider-no-program", files: map[string]string{"main.tf": hcloudServer, "cli.tfrc": "provider_installation {\n filesystem_mirror { path = \"$DIR/mirror\" }\n}\n", "mirror/registry.terraform.io/hetznercloud/hcloud/1.60.1/linux_amd64/terraform-provider-hcloud_v1.60.1": "#!/bin/sh\nexit 3\n"},
		script: "chmod +x mirror/*/*/*/*/*/*; init; apply", code: "provider_missing", who: ops, alsoCodes: []string{"killed"}, must: []string{"hcloud"}},
	{name: "provider-other-architecture", files: map[string]string{"main.tf": hcloudServer, "cli.tfrc": "provider_installation {\n filesystem_mirror { path = \"$DIR/mirror\" }\n}\n", "mirror/registry.terraform.io/hetznercloud/hcloud/1.60.1/linux_amd64/terraform-provider-hcloud_v1.60.1": "\x7fELF no program\n"},
		script: "chmod +x mirror/*/*/*/*/*/*; init; apply", code: "provider_missing", who: ops, alsoCodes: []string{"killed"}, must: []string{"hcloud"}},
	{name: "terraform-too-old", files: tf("terraform {\n  required_version = \">= 9.0\"\n}\n" + plainServer), code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, must: []string{"9.0"}},
	{name: "module-folder-missing", files: tf("module \"env\" {\n  source = \"./quay\"\n}\n"), code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, must: []string{"quay"}},
	{name: "module-git-unreachable", files: tf("module \"env\" {\n  source = \"git::http://127.0.0.1:9/harbour/quay.git?ref=v2\"\n}\n"), code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, alsoWho: []string{retry}, must: []string{"quay"}},
	{name: "module-git-no-ref", files: tf("module \"env\" {\n  source = \"git::file://$DIR/quay?ref=v9\"\n}\n"), script: "git init -q quay; git -C quay -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m a; init; apply", code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, must: []string{"v9"}},
	{name: "module-registry-unreachable", files: tf("module \"env\" {\n  source  = \"harbour/quay/aws\"\n  version = \"1.0.0\"\n}\n"), env: []string{"HTTPS_PROXY=http://127.0.0.1:9"}, code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, alsoWho: []string{retry}, must: []string{"registry.terraform.io"}},
	{name: "module-not-installed", files: map[string]string{"main.tf": "module \"env\" {\n  source = \"./quay\"\n}\n", "quay/main.tf": plainServer}, script: "apply", code: "module_invalid", alsoCodes: []string{"provider_missing"}, who: ops, must: []string{"env"}},

	// The files that describe the machines.
	{name: "file-unknown-argument", files: map[string]string{"main.tf": "module \"env\" {\n  source = \"./quay\"\n  berths = 3\n}\n", "quay/main.tf": plainServer}, code: "module_invalid", who: ops, must: []string{"berths", "main.tf"}},
	{name: "file-unknown-attribute", files: tf(plainServer + "output \"x\" {\n  value = terraform_data.server[\"api\"].addres\n}\n"), code: "module_invalid", who: ops, must: []string{"addres", "main.tf"}},
	{name: "file-unknown-block", files: tf(plainServer + "resource \"terraform_data\" \"b\" {\n  moorings {}\n}\n"), code: "module_invalid", who: ops, must: []string{"moorings"}},
	{name: "file-argument-missing", files: map[string]string{"main.tf": "module \"env\" {\n  source = \"./quay\"\n}\n", "quay/main.tf": plainServer + "variable \"depth\" {}\n"}, code: "module_invalid", alsoCodes: []string{"variable_missing"}, who: ops, must: []string{"depth"}},
	{name: "file-cycle", files: tf("resource \"terraform_data\" \"bow\" {\n  input = terraform_data.stern.id\n}\nresource \"terraform_data\" \"stern\" {\n  input = terraform_data.bow.id\n}\n"), code: "module_invalid", who: ops, must: []string{"bow", "stern"}},
	{name: "file-function-argument", files: tf(plainServer + "locals {\n  port = tonumber(\"starboard\")\n}\noutput \"p\" {\n  value = local.port\n}\n"), code: "module_invalid", who: ops, must: []string{"starboard", "main.tf"}},
	{name: "file-function-file-missing", files: tf("locals {\n  text = file(\"${path.module}/cloud.yaml\")\n}\noutput \"p\" {\n  value = local.text\n}\n"), code: "module_invalid", who: ops, must: []string{"cloud.yaml"}},
	{name: "file-function-unknown", files: tf("output \"p\" {\n  value = berthdepth(3)\n}\n"), code: "module_invalid", who: ops, must: []string{"berthdepth"}},
	{name: "file-undeclared", files: tf("output \"p\" {\n  value = var.harbour\n}\n"), code: "module_invalid", who: ops, must: []string{"harbour"}},
	{name: "file-undeclared-resource", files: tf("output \"p\" {\n  value = terraform_data.wharf.id\n}\n"), code: "module_invalid", who: ops, must: []string{"wharf"}},
	{name: "file-for-each-unknown", files: tf("resource \"terraform_data\" \"a\" {}\nresource \"terraform_data\" \"b\" {\n  for_each = toset([terraform_data.a.id])\n}\n"), code: "module_invalid", who: ops, must: []string{"for_each", "main.tf"}},
	{name: "file-duplicate", files: tf(plainServer + plainServer), code: "module_invalid", who: ops, must: []string{"server", "main.tf"}},
	{name: "file-index", files: tf(plainServer + "output \"p\" {\n  value = terraform_data.server[\"quay\"].id\n}\n"), code: "module_invalid", who: ops, must: []string{"main.tf"}},
	{name: "file-null-name", files: tf("output \"p\" {\n  value = \"a-${null}\"\n}\n"), code: "module_invalid", who: ops, must: []string{"main.tf"}},
	{name: "file-precondition", files: tf("variable \"size\" {\n  default = \"huge\"\n}\nresource \"terraform_data\" \"server\" {\n  lifecycle {\n    precondition {\n      condition     = var.size == \"small\"\n      error_message = \"The harbour has no berth for this size.\"\n    }\n  }\n}\n"), code: "module_invalid", who: ops, must: []string{"no berth for this size"}},
	{name: "file-unclosed", files: tf(plainServer + "resource \"terraform_data\" \"b\" {\n  input = \"a\n}\n"), code: "module_invalid", who: ops, must: []string{"main.tf"}},
	{name: "file-json", files: map[string]string{"main.tf.json": `{"resource": {"terraform_data": {"a": {}}`}, code: "module_invalid", who: ops, must: []string{"main.tf.json"}},
	{name: "file-unknown-resource", files: tf(hcloudSettings + "resource \"hcloud_sloop\" \"a\" {}\n"), cloud: hetzner(nil), code: "module_invalid", who: ops, must: []string{"hcloud_sloop"}},
	{name: "file-provider-argument", files: tf(strings.Replace(hcloudServer, "server_type", "servertype", 1)), cloud: hetzner(nil), code: "module_invalid", who: ops, must: []string{"servertype"}, more: nil},
	{name: "file-sensitive-for-each", files: tf("variable \"k\" {\n  default   = [\"a\"]\n  sensitive = true\n}\nresource \"terraform_data\" \"b\" {\n  for_each = toset(var.k)\n}\n"), code: "module_invalid", who: ops, must: []string{"for_each", "main.tf"}},

	// Values.
	{name: "value-missing", files: tf(plainServer + "variable \"region\" {\n  type = string\n}\n"), code: "variable_missing", who: ops, must: []string{"region"}},
	{name: "value-two-missing", files: tf(plainServer + "variable \"region\" {\n  type = string\n}\nvariable \"zone\" {\n  type = string\n}\n"), code: "variable_missing", who: ops, must: []string{"region"}, more: []diagnosetest.TrueCause{{Code: "variable_missing", Who: ops, MustMention: []any{"zone"}}}},
	{name: "value-wrong-kind", files: map[string]string{"main.tf": plainServer + "variable \"servers\" {\n  type = map(object({ port = number }))\n}\n", "terraform.tfvars.json": `{"servers": "three"}`}, code: "variable_missing", alsoCodes: []string{"module_invalid"}, who: ops, must: []string{"servers"}},
	{name: "value-refused", files: map[string]string{"main.tf": plainServer + "variable \"size\" {\n  validation {\n    condition     = contains([\"small\"], var.size)\n    error_message = \"The size is small, nothing else.\"\n  }\n}\n", "terraform.tfvars.json": `{"size": "huge"}`}, code: "variable_missing", alsoCodes: []string{"module_invalid"}, who: ops, must: []string{"size is small"}},
	{name: "value-undeclared-in-file", files: map[string]string{"main.tf": plainServer, "terraform.tfvars.json": `{"servers": `}, code: "module_invalid", alsoCodes: []string{"variable_missing"}, who: ops, must: []string{"terraform.tfvars.json"}},

	// The record of the machines.
	{name: "state-corrupt", files: map[string]string{"main.tf": plainServer, "terraform.tfstate": "{\"version\": 4, \"serial\": 3, \"resou"}, code: "state_corrupt", alsoCodes: []string{"state_unreachable"}, who: ops},
	{name: "state-no-json", files: map[string]string{"main.tf": plainServer, "terraform.tfstate": "\x00\x00\x00\x00"}, code: "state_corrupt", alsoCodes: []string{"state_unreachable"}, who: ops},
	{name: "state-newer", files: map[string]string{"main.tf": plainServer, "terraform.tfstate": `{"version": 4, "terraform_version": "9.9.9", "serial": 1, "lineage": "a", "outputs": {}, "resources": []}`}, code: "state_corrupt", alsoCodes: []string{"state_unreachable"}, who: ops, must: []string{"newer"}, script: "init; sed -i 's/\"version\": 4/\"version\": 5/' terraform.tfstate; apply"},
	{name: "state-resource-of-nobody", files: map[string]string{"main.tf": "output \"a\" {\n  value = 1\n}\n", "terraform.tfstate": `{"version":4,"terraform_version":"1.5.7","serial":1,"lineage":"a","outputs":{},"resources":[{"mode":"managed","type":"hcloud_server","name":"a","provider":"provider[\"registry.terraform.io/hetznercloud/hcloud\"]","instances":[{"schema_version":0,"attributes":{"id":"1"}}]}]}`}, script: "apply", code: "provider_missing", who: ops, must: []string{"hcloud"}},
	{name: "state-locked-here", files: tf(plainServer + "resource \"terraform_data\" \"slow\" {\n  provisioner \"local-exec\" {\n    command = \"touch began; while [ ! -e end ]; do sleep 0.05; done\"\n  }\n}\n"),
		script: "init; \"$TF\" apply -auto-approve -input=false >first.txt 2>&1 & until [ -e began ]; do sleep 0.05; done; apply; touch end; wait", code: "state_locked", who: retry, alsoWho: []string{ops}, must: []string{"@runner"}},
	{name: "state-http-locked", files: tf("terraform {\n  backend \"http\" {\n    address        = \"$URL/r\"\n    lock_address   = \"$URL/l\"\n    unlock_address = \"$URL/l\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: stateServer(423, `{"ID":"7b","Operation":"OperationTypeApply","Who":"skipper@pier","Version":"1.11.4","Created":"2026-11-20T08:09:10.1Z","Path":""}`), code: "state_locked", who: ops, alsoWho: []string{retry}},
	{name: "state-http-conflict", files: tf("terraform {\n  backend \"http\" {\n    address        = \"$URL/r\"\n    lock_address   = \"$URL/l\"\n    unlock_address = \"$URL/l\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: stateServer(409, `{"ID":"7b","Operation":"OperationTypeApply","Who":"skipper@pier","Version":"1.11.4","Created":"2026-11-20T08:09:10.1Z","Path":""}`), code: "state_locked", who: ops, alsoWho: []string{retry}},
	{name: "state-http-401", files: tf("terraform {\n  backend \"http\" {\n    address   = \"$URL/r\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: stateServer(401, ""), code: "state_unreachable", alsoCodes: []string{"credentials_invalid"}, who: ops},
	{name: "state-http-500", files: tf("terraform {\n  backend \"http\" {\n    address   = \"$URL/r\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: stateServer(500, ""), code: "state_unreachable", who: ops, alsoWho: []string{retry}},
	{name: "state-http-refused", files: tf("terraform {\n  backend \"http\" {\n    address   = \"http://127.0.0.1:9/r\"\n    retry_max = 0\n  }\n}\n" + plainServer), code: "state_unreachable", who: ops, alsoWho: []string{retry}, must: []string{"127.0.0.1:9"}},
	{name: "state-http-save-refused", files: tf("terraform {\n  backend \"http\" {\n    address   = \"$URL/r\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		http.Error(w, "no", http.StatusInsufficientStorage)
	}), code: "state_unreachable", alsoCodes: []string{"disk_full"}, who: ops},
	{name: "state-http-certificate", files: tf("terraform {\n  backend \"http\" {\n    address   = \"$URL/r\"\n    retry_max = 0\n  }\n}\n" + plainServer), cloud: stateServer(200, ""), tls: true, code: "state_unreachable", who: ops},
	{name: "state-pg-down", files: tf("terraform {\n  backend \"pg\" {\n    conn_str = \"postgres://berth:buoy-and-bell@127.0.0.1:9/berth?sslmode=disable\"\n  }\n}\n" + plainServer), code: "state_unreachable", who: ops, alsoWho: []string{retry}},
	{name: "state-s3-denied", files: tf(s3Backend), cloud: bucket(403, "AccessDenied", "Access Denied"), code: "state_unreachable", alsoCodes: []string{"permission_missing"}, who: ops},
	{name: "state-s3-no-bucket", files: tf(s3Backend), cloud: bucket(404, "NoSuchBucket", "The specified bucket does not exist"), code: "state_unreachable", who: ops, must: []string{"harbour-records"}},
	{name: "state-s3-wrong-key", files: tf(s3Backend), cloud: bucket(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."), code: "credentials_invalid", alsoCodes: []string{"state_unreachable"}, who: ops},
	{name: "state-s3-clock", files: tf(s3Backend), cloud: bucket(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."), code: "credentials_invalid", alsoCodes: []string{"clock_wrong", "state_unreachable"}, who: ops},
	{name: "state-s3-locked", files: tf(strings.Replace(s3Backend, "# lock", "use_lockfile = true", 1)), cloud: lockedBucket(), code: "state_locked", who: retry, alsoWho: []string{ops}, must: []string{"skipper@pier"}},
	{name: "state-backend-changed", files: tf("terraform {\n  backend \"local\" {\n    path = \"a.tfstate\"\n  }\n}\n" + plainServer), script: "init; sed -i s/a.tfstate/b.tfstate/ main.tf; apply", code: "state_unreachable", alsoCodes: []string{"module_invalid"}, who: ops},
	{name: "state-backend-not-initialised", files: tf("terraform {\n  backend \"local\" {\n    path = \"a.tfstate\"\n  }\n}\n" + plainServer), script: "apply", code: "state_unreachable", alsoCodes: []string{"module_invalid", "provider_missing"}, who: ops},
	{name: "state-backend-unknown", files: tf("terraform {\n  backend \"harbour\" {}\n}\n" + plainServer), code: "module_invalid", alsoCodes: []string{"state_unreachable"}, who: ops, must: []string{"harbour"}},
	{name: "state-folder-read-only", files: tf(plainServer), script: "init; mkdir ro; mount -t tmpfs -o size=1m tmpfs ro; cp -r main.tf .terraform* ro/ 2>/dev/null; mount -o remount,ro ro; cd ro; \"$TF\" apply -json -auto-approve -input=false >../result.json 2>>../stderr.txt; echo $? >../exit; cd ..; umount ro", code: "permission_denied", alsoCodes: []string{"state_unreachable"}, who: ops},

	// Broken off.
	{name: "interrupted-once", files: tf(slowServer), script: "init; apply & until [ -e began ]; do sleep 0.05; done; pkill -INT -P $! terraform || kill -INT $(pgrep -f \"$TF apply\" -P $!); sleep 1; touch end; wait", code: "interrupted", who: retry, alsoWho: []string{ops}},
	{name: "interrupted-twice", files: tf(slowServer), script: "init; apply & j=$!; until [ -e began ]; do sleep 0.05; done; pkill -INT -P $j; sleep 1; pkill -INT -P $j; sleep 1; touch end; wait", code: "interrupted", who: retry, alsoWho: []string{ops}},
	{name: "terminated", files: tf(slowServer), script: "init; apply & j=$!; until [ -e began ]; do sleep 0.05; done; pkill -TERM -P $j; sleep 1; touch end; wait", code: "interrupted", who: retry, alsoWho: []string{ops}},
	{name: "killed", files: tf(slowServer), script: "init; apply & j=$!; until [ -e began ]; do sleep 0.05; done; pkill -KILL -P $j; sleep 0.5; touch end; wait", code: "killed", who: retry, alsoWho: []string{ops}},
	{name: "disk-full", files: tf("resource \"terraform_data\" \"server\" {\n  input = join(\"\", [for i in range(1000) : \"fathom-${i}-and-a-half-of-water-below-the-keel-of-the-harbour-master-and-his-dog-who-barks-at-every-gull-${i}\"])\n}\n"), script: "init; mkdir small; mount -t tmpfs -o size=100k tmpfs small; cp -r main.tf .terraform* small/ 2>/dev/null; cd small; \"$TF\" apply -json -auto-approve -input=false >../result.json 2>>../stderr.txt; echo $? >../exit; cd ..; umount small", code: "disk_full", who: ops},
	{name: "program-lost", files: tf(hcloudServer), cloud: hetzner(map[string]answer{"POST /v1/servers": {}}), script: "init; apply & until grep -q apply_start result.json; do sleep 0.1; done; sleep 0.5; pkill -KILL -f $DIR/.terraform/providers; wait", code: "killed", alsoCodes: []string{"provider_crashed"}, who: retry, alsoWho: []string{ops}},

	// Commands of the built-in target.
	{name: "command-fails", files: tf(failingCommand("echo 'berth: port 41007 is taken by process 9' >&2; exit 3")), code: "command_failed", who: ops, must: []string{"port 41007"}},
	{name: "command-not-there", files: tf(failingCommand("/opt/berth/gone start")), code: "command_failed", who: ops, must: []string{"/opt/berth/gone"}},
	{name: "command-interpreter-not-there", files: tf(strings.Replace(failingCommand("start"), "command", "interpreter = [\"/usr/bin/fish-and-ships\"]\n    command", 1)), code: "command_failed", who: ops, must: []string{"fish-and-ships"}},

	// Hetzner.
	order("hetzner-forbidden", hetznerError(403, "forbidden", "insufficient permissions for this request"), "permission_missing", ops),
	order("hetzner-read-only", hetznerError(403, "token_readonly", "this token is only allowed to perform GET requests"), "permission_missing", ops, "read"),
	order("hetzner-server-limit", hetznerError(403, "resource_limit_exceeded", "server limit reached"), "quota_exceeded", ops, "server limit"),
	order("hetzner-core-limit", hetznerError(403, "resource_limit_exceeded", "dedicated core limit exceeded"), "quota_exceeded", ops, "core limit"),
	order("hetzner-placement", hetznerError(412, "placement_error", "error during placement"), "capacity", retry),
	order("hetzner-no-location", hetznerError(422, "invalid_input", "invalid input in field 'location'"), "network_missing", ops),
	order("hetzner-size-gone", hetznerError(422, "invalid_server_type", "server type cx22 is deprecated and can no longer be ordered"), "size_unknown", ops, "cx22"),
	order("hetzner-size-elsewhere", hetznerError(422, "invalid_input", "unsupported location for server type"), "size_unknown", ops, "location"),
	order("hetzner-maintenance", hetznerError(503, "maintenance", "the API is under maintenance"), "cloud_unreachable", retry),
	order("hetzner-locked", hetznerError(423, "locked", "server is locked"), "unknown", retry),
	order("hetzner-no-network", hetznerError(404, "not_found", "network with ID '9174' not found"), "network_missing", ops, "9174"),
	order("hetzner-no-key", hetznerError(404, "not_found", "SSH key not found"), "cloud_resource_missing", ops, "SSH key"),
	order("hetzner-unknown-error", hetznerError(500, "unknown_error", "unknown error"), "unknown", retry),
	order("hetzner-no-addresses", hetznerError(409, "no_subnet_available", "no subnet available"), "quota_exceeded", ops, "no free address"),
	order("hetzner-gateway", answer{502, "<html><head><title>502 Bad Gateway</title></head></html>"}, "cloud_unreachable", retry),
	{name: "hetzner-rate-limited", files: tf(hcloudServer), cloud: hetzner(map[string]answer{"*": hetznerError(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached")}), code: "rate_limited", who: retry},
	{name: "hetzner-token-length", files: tf(strings.Replace(hcloudServer, "abcdefghijklmnopqrstuvwxyzabc", "abc", 1)), cloud: hetzner(nil), code: "credentials_invalid", who: ops},
	{name: "hetzner-token-none", files: tf(strings.Replace(hcloudServer, "  token ", "  poll_interval = \"1s\"\n#", 1)), cloud: hetzner(nil), code: "credentials_invalid", who: ops},
	{name: "hetzner-certificate", files: tf(hcloudServer), cloud: hetzner(nil), tls: true, code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"certificate"}},
	{name: "hetzner-no-answer-in-time", files: tf(hcloudServer), cloud: hetzner(map[string]answer{"POST /v1/servers": hetznerError(504, "timeout", "request timeout")}), code: "timeout", alsoCodes: []string{"cloud_unreachable"}, who: retry},
	{name: "hetzner-proxy", files: tf(strings.Replace(hcloudServer, "$URL", "https://api.hetzner.cloud", 1)), env: []string{"HTTPS_PROXY=http://127.0.0.1:9"}, code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"127.0.0.1:9"}},
	{name: "hetzner-action-failed", files: tf(hcloudServer), cloud: hetzner(map[string]answer{
		"POST /v1/servers": {201, `{"server":{"id":42,"name":"a","status":"initializing","created":"2026-01-30T23:50:00+00:00","public_net":{"ipv4":{"id":1,"ip":"192.0.2.1","blocked":false,"dns_ptr":"x"},"ipv6":null,"floating_ips":[],"firewalls":[]},"private_net":[],"server_type":{"id":1,"name":"cx22"},"datacenter":{"id":1,"name":"fsn1-dc14","location":{"id":1,"name":"fsn1"}},"labels":{},"volumes":[]},"action":{"id":7,"command":"create_server","status":"error","progress":100,"started":"2026-01-30T23:50:00+00:00","finished":"2026-01-30T23:50:01+00:00","resources":[{"id":42,"type":"server"}],"error":{"code":"action_failed","message":"Action failed"}},"next_actions":[],"root_password":"hunter22"}`},
	}), code: "unknown", who: retry, alsoWho: []string{ops}},

	// AWS.
	launch("aws-instances", "InstanceLimitExceeded", "You have requested more instances (2) than your current instance limit of 20 allows for the specified instance type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", "quota_exceeded", ops, "instance limit of 20"),
	launch("aws-spot", "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", "quota_exceeded", ops, "spot"),
	launch("aws-volumes", "VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit of 50 TiB in this region. Please contact AWS Support to request an Elastic Block Store service limit increase.", "quota_exceeded", ops, "storage"),
	launch("aws-pending", "PendingVerification", "Your request for accessing resources in this region is being validated, and you will not be able to launch additional resources in this region until the validation is complete. We will notify you by email once your request has been validated.", "quota_exceeded", ops, "validated"),
	launch("aws-blocked", "Blocked", "This account is currently blocked and not recognized as a valid account. Please contact https://support.console.aws.amazon.com/support if you have questions.", "permission_missing", ops, "blocked"),
	launch("aws-optin", "OptInRequired", "In order to use this AWS Marketplace product you need to accept terms and subscribe. To do so please visit https://aws.amazon.com/marketplace/pp?sku=x", "permission_missing", ops, "subscribe"),
	launch("aws-denied-encoded", "UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/berth is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:eu-central-1:123456789012:instance/* because no identity-based policy allows the ec2:RunInstances action. Encoded authorization failure message: AbCdEf"+strings.Repeat("Gh12", 90), "permission_missing", ops, "ec2:RunInstances"),
	launch("aws-denied-bare", "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf"+strings.Repeat("Gh12", 90), "permission_missing", ops, "RunInstances"),
	launch("aws-image-gone", "InvalidAMIID.NotFound", "The image id '[ami-0123456789abcdef0]' does not exist", "image_not_found", ops, "ami-0123456789abcdef0"),
	launch("aws-image-malformed", "InvalidAMIID.Malformed", "Invalid id: \"ami-debian\" (expecting \"ami-...\")", "image_not_found", ops, "ami-debian"),
	launch("aws-image-unavailable", "InvalidAMIID.Unavailable", "The image ID 'ami-0123456789abcdef0' is not available", "image_not_found", ops, "ami-0123456789abcdef0"),
	launch("aws-size", "InvalidParameterValue", "Invalid value 't9.small' for InstanceType.", "size_unknown", ops, "t9.small"),
	launch("aws-size-zone", "Unsupported", "Your requested instance type (t3.small) is not supported in your requested Availability Zone (eu-central-1c). Please retry your request by not specifying an Availability Zone or choosing eu-central-1a, eu-central-1b.", "size_unknown", ops, "t3.small", "eu-central-1c"),
	launch("aws-size-setup", "Unsupported", "The requested configuration is currently not supported. Please check the documentation for supported configurations.", "size_unknown", ops, "not supported"),
	launch("aws-architecture", "InvalidParameterValue", "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.", "size_unknown", ops, "arm64", "x86_64"),
	launch("aws-key", "InvalidKeyPair.NotFound", "The key pair 'harbour-master' does not exist", "cloud_resource_missing", ops, "harbour-master"),
	launch("aws-group", "InvalidGroup.NotFound", "The security group 'sg-0badc0de0badc0de0' does not exist", "network_missing", ops, "sg-0badc0de0badc0de0"),
	launch("aws-group-other-vpc", "InvalidParameter", "Security group sg-0badc0de0badc0de0 and subnet subnet-0badc0de0badc0de1 belong to different networks.", "network_missing", ops, "sg-0badc0de0badc0de0"),
	launch("aws-subnet", "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0badc0de0badc0de0' does not exist", "network_missing", ops, "subnet-0badc0de0badc0de0"),
	launch("aws-addresses", "InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet 'subnet-0badc0de0badc0de0' to satisfy the requested number of instances.", "quota_exceeded", ops, "subnet-0badc0de0badc0de0"),
	launch("aws-no-default-vpc", "VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.", "network_missing", ops),
	launch("aws-no-default-subnet", "MissingInput", "No subnets found for the default VPC 'vpc-0badc0de0badc0de0'. Please specify a subnet.", "network_missing", ops, "vpc-0badc0de0badc0de0"),
	launch("aws-volume-size", "InvalidBlockDeviceMapping", "Volume of size 4GB is smaller than snapshot 'snap-0badc0de0badc0de0', expect size >= 8GB", "module_invalid", ops, "smaller than snapshot"),
	launch("aws-capacity", "InsufficientInstanceCapacity", "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (eu-central-1a). Our system will be working on provisioning additional capacity. You can currently get t3.small capacity by not specifying an Availability Zone in your request or choosing eu-central-1b, eu-central-1c.", "capacity", retry, "t3.small"),
	launch("aws-requests", "RequestLimitExceeded", "Request limit exceeded.", "rate_limited", retry),
	launch("aws-unavailable", "Unavailable", "The service is unavailable. Please try again shortly.", "unknown", retry),
	launch("aws-auth-clock", "AuthFailure", "AWS was not able to validate the provided access credentials", "credentials_invalid", ops),
	launch("aws-user-data", "InvalidParameterValue", "User data is limited to 16384 bytes", "module_invalid", ops, "start-up data"),
	launch("aws-no-sense", "InvalidParameterCombination", "The t3.small instance type does not support an AMD SEV-SNP CPU option.", "size_unknown", ops, "t3.small"),
	{name: "aws-profile", files: tf(awsServer), cloud: amazon(map[string][3]string{"RunInstances": {"400", "InvalidParameterValue", "Value (pilot) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"}}), env: nil, code: "cloud_resource_missing", who: ops, must: []string{"pilot"}, note: "The cloud's answer is a stand-in's, worded as AWS documents it."},
	{name: "aws-image-by-name", files: tf(awsSettings + "data \"aws_ami\" \"this\" {\n  owners = [\"136693071363\"]\n  filter {\n    name   = \"name\"\n    values = [\"debian-99-*\"]\n  }\n}\n"), cloud: amazon(map[string][3]string{"DescribeImages": {"200", "", `<DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId><imagesSet/></DescribeImagesResponse>`}}), code: "image_not_found", who: ops},
	{name: "aws-vpc-by-default", files: tf(awsSettings + "data \"aws_vpc\" \"this\" {\n  default = true\n}\n"), cloud: amazon(map[string][3]string{"DescribeVpcs": {"200", "", `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId><vpcSet/></DescribeVpcsResponse>`}}), code: "network_missing", who: ops, must: []string{"network"}},
	{name: "aws-group-taken", files: tf(awsSettings + "resource \"aws_security_group\" \"env\" {\n  name = \"berth-reef\"\n}\n"), cloud: amazon(map[string][3]string{"CreateSecurityGroup": {"400", "InvalidGroup.Duplicate", "The security group 'berth-reef' already exists for VPC 'vpc-0badc0de0badc0de0'"}}), code: "name_taken", who: ops, must: []string{"berth-reef"}},
	{name: "aws-key-taken", files: tf(awsSettings + "resource \"aws_key_pair\" \"env\" {\n  key_name   = \"berth-reef\"\n  public_key = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPWdNkVwqDEYJVtRbVFsJ5t0VQ0iXw6Wb5h2o5cA2G5n a\"\n}\n"), cloud: amazon(map[string][3]string{"ImportKeyPair": {"400", "InvalidKeyPair.Duplicate", "The keypair already exists"}}), code: "name_taken", who: ops, must: []string{"env"}},
	{name: "aws-role-taken", files: tf(awsSettings + "resource \"aws_iam_role\" \"env\" {\n  name = \"berth-reef\"\n  assume_role_policy = jsonencode({ Version = \"2012-10-17\", Statement = [] })\n}\n"), cloud: amazon(map[string][3]string{"CreateRole": {"409", "EntityAlreadyExists", "Role with name berth-reef already exists."}}), code: "name_taken", who: ops, must: []string{"berth-reef"}},
	{name: "aws-role-denied", files: tf(awsSettings + "resource \"aws_iam_role\" \"env\" {\n  name = \"berth-reef\"\n  assume_role_policy = jsonencode({ Version = \"2012-10-17\", Statement = [] })\n}\n"), cloud: amazon(map[string][3]string{"CreateRole": {"403", "AccessDenied", "User: arn:aws:iam::123456789012:user/berth is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::123456789012:role/berth-reef because no identity-based policy allows the iam:CreateRole action"}}), code: "permission_missing", who: ops, must: []string{"iam:CreateRole"}},
	{name: "aws-address-limit", files: tf(awsSettings + "resource \"aws_eip\" \"env\" {\n  domain = \"vpc\"\n}\n"), cloud: amazon(map[string][3]string{"AllocateAddress": {"400", "AddressLimitExceeded", "The maximum number of addresses has been reached."}}), code: "quota_exceeded", who: ops, must: []string{"addresses"}},
	{name: "aws-group-limit", files: tf(awsSettings + "resource \"aws_security_group\" \"env\" {\n  name = \"berth-reef\"\n}\n"), cloud: amazon(map[string][3]string{"CreateSecurityGroup": {"400", "SecurityGroupLimitExceeded", "The maximum number of security groups for VPC 'vpc-0badc0de0badc0de0' has been reached."}}), code: "quota_exceeded", who: ops, must: []string{"security groups"}},
	{name: "aws-vpc-unknown", files: tf(awsSettings + "resource \"aws_security_group\" \"env\" {\n  name   = \"berth-reef\"\n  vpc_id = \"vpc-0badc0de0badc0de0\"\n}\n"), cloud: amazon(map[string][3]string{"CreateSecurityGroup": {"400", "InvalidVpcID.NotFound", "The vpc ID 'vpc-0badc0de0badc0de0' does not exist"}}), code: "network_missing", who: ops, must: []string{"vpc-0badc0de0badc0de0"}},
	{name: "aws-token-expired", files: tf(strings.Replace(strings.Replace(awsServer, "  skip_credentials_validation = true\n", "", 1), "  skip_requesting_account_id  = true\n", "", 1)), cloud: amazon(map[string][3]string{"GetCallerIdentity": {"403", "ExpiredToken", "The security token included in the request is expired"}}), code: "credentials_invalid", who: ops, must: []string{"expired"}},
	{name: "aws-token-invalid", files: tf(strings.Replace(strings.Replace(awsServer, "  skip_credentials_validation = true\n", "", 1), "  skip_requesting_account_id  = true\n", "", 1)), cloud: amazon(map[string][3]string{"GetCallerIdentity": {"403", "InvalidClientTokenId", "The security token included in the request is invalid."}}), code: "credentials_invalid", who: ops, must: []string{"invalid"}},
	{name: "aws-clock", files: tf(strings.Replace(strings.Replace(awsServer, "  skip_credentials_validation = true\n", "", 1), "  skip_requesting_account_id  = true\n", "", 1)), cloud: amazon(map[string][3]string{"GetCallerIdentity": {"403", "SignatureDoesNotMatch", "Signature expired: 20261124T184500Z is now earlier than 20261124T185000Z (20261124T190500Z - 15 min.)"}}), code: "credentials_invalid", alsoCodes: []string{"clock_wrong"}, who: ops, must: []string{"clock"}},
	{name: "aws-assume-role", files: tf(strings.Replace(awsServer, "  endpoints {", "  assume_role {\n    role_arn = \"arn:aws:iam::123456789012:role/berth\"\n  }\n  endpoints {", 1)), cloud: amazon(map[string][3]string{"AssumeRole": {"403", "AccessDenied", "User: arn:aws:iam::123456789012:user/x is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/berth"}}), code: "permission_missing", alsoCodes: []string{"credentials_invalid"}, who: ops, must: []string{"sts:AssumeRole"}},
	{name: "aws-no-credentials", files: tf(strings.NewReplacer("  access_key                  = \"AKIAIOSFODNN7EXAMPLE\"\n", "", "  secret_key                  = \"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\"\n", "").Replace(awsServer)), cloud: amazon(nil), env: []string{"AWS_EC2_METADATA_DISABLED=true"}, code: "credentials_invalid", who: ops},
	{name: "aws-no-profile", files: tf(strings.NewReplacer("  access_key                  = \"AKIAIOSFODNN7EXAMPLE\"\n", "  profile = \"harbour\"\n", "  secret_key                  = \"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\"\n", "").Replace(awsServer)), cloud: amazon(nil), env: []string{"AWS_EC2_METADATA_DISABLED=true"}, code: "credentials_invalid", who: ops, must: []string{"harbour"}},
	{name: "aws-region", files: tf(strings.Replace(awsServer, "eu-central-1", "eu-atlantis-1", 1)), cloud: amazon(nil), code: "module_invalid", alsoCodes: []string{"network_missing"}, who: ops, must: []string{"eu-atlantis-1"}},
	{name: "aws-certificate", files: tf(awsServer), cloud: amazon(nil), tls: true, code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"certificate"}},
	{name: "aws-refused", files: tf(awsServer), code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"127.0.0.1:9"}},
	{name: "aws-no-name", files: tf(strings.ReplaceAll(awsServer, "$URL", "http://ec2.harbour.invalid:8443")), code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"ec2.harbour.invalid"}},
	{name: "aws-older-address-limit", files: tf(older(awsSettings) + "resource \"aws_eip\" \"env\" {\n  vpc = true\n}\n"), cloud: amazon(map[string][3]string{"AllocateAddress": {"400", "AddressLimitExceeded", "The maximum number of addresses has been reached."}}), code: "quota_exceeded", who: ops, must: []string{"addresses"}},
	{name: "aws-older-throttled", files: tf(older(awsServer)), cloud: amazon(map[string][3]string{"RunInstances": {"400", "Throttling", "Rate exceeded"}}), code: "rate_limited", who: retry},
	{name: "aws-older-denied-bare", files: tf(older(awsServer)), cloud: amazon(map[string][3]string{"RunInstances": {"403", "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf" + strings.Repeat("Gh12", 90)}}), code: "permission_missing", who: ops},
	{name: "aws-older-size-zone", files: tf(older(awsServer)), cloud: amazon(map[string][3]string{"RunInstances": {"400", "Unsupported", "Your requested instance type (t3.small) is not supported in your requested Availability Zone (eu-central-1c). Please retry your request by not specifying an Availability Zone or choosing eu-central-1a, eu-central-1b."}}), code: "size_unknown", who: ops, must: []string{"t3.small"}},
	{name: "aws-older-key", files: tf(older(awsServer)), cloud: amazon(map[string][3]string{"RunInstances": {"400", "InvalidKeyPair.NotFound", "The key pair 'harbour-master' does not exist"}}), code: "cloud_resource_missing", who: ops, must: []string{"harbour-master"}},
	{name: "aws-older-token-expired", files: tf(strings.Replace(older(awsServer), "  skip_credentials_validation = true\n", "", 1)), cloud: amazon(map[string][3]string{"GetCallerIdentity": {"403", "ExpiredToken", "The security token included in the request is expired"}}), code: "credentials_invalid", who: ops, must: []string{"expired"}},
	{name: "aws-older-certificate", files: tf(older(awsServer)), cloud: amazon(nil), tls: true, code: "cloud_unreachable", who: retry, alsoWho: []string{ops}, must: []string{"certificate"}},
	{name: "aws-older-html", files: tf(older(awsServer)), cloud: hetzner(map[string]answer{"*": {502, "<html><body>Bad Gateway</body></html>"}}), code: "cloud_unreachable", alsoCodes: []string{"unknown"}, who: retry},
}

const s3Backend = `terraform {
  backend "s3" {
    bucket                      = "harbour-records"
    key                         = "reef.tfstate"
    region                      = "eu-central-1"
    access_key                  = "AKIAIOSFODNN7EXAMPLE"
    secret_key                  = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
    use_path_style              = true
    max_retries                 = 1
    endpoints                   = { s3 = "$URL" }
    # lock
  }
}
` + plainServer

const slowServer = `resource "terraform_data" "server" {
  for_each = toset(["api"])
  provisioner "local-exec" {
    command = "trap '' INT TERM; touch began; while [ ! -e end ]; do sleep 0.05; done"
  }
}
resource "terraform_data" "after" {
  input = terraform_data.server["api"].id
}
`

func failingCommand(command string) string {
	return "resource \"terraform_data\" \"server\" {\n  for_each = toset([\"api\"])\n  provisioner \"local-exec\" {\n    command = " + quote(command) + "\n  }\n}\n"
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// stateServer keeps no record: every request is answered alike.
func stateServer(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && (status == 423 || status == 409) {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func bucket(status int, code, message string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>` + message + `</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>`))
	})
}

// lockedBucket has a lock file and nothing else.
func lockedBucket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock := strings.HasSuffix(r.URL.Path, ".tflock")
		switch {
		case r.Method == http.MethodPut && lock:
			bucket(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold").ServeHTTP(w, r)
		case r.Method == http.MethodGet && lock:
			_, _ = w.Write([]byte(`{"ID":"7b6f0cde-5f2a-1b0c-3b5e-2f1f0c6a7e00","Operation":"OperationTypeApply","Info":"","Who":"skipper@pier","Version":"1.11.4","Created":"2026-11-20T08:09:10.1Z","Path":"harbour-records/reef.tfstate"}`))
		case r.URL.Query().Get("list-type") != "" || r.URL.RawQuery == "prefix=env%3A%2F":
			_, _ = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>harbour-records</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>`))
		default:
			bucket(404, "NoSuchKey", "The specified key does not exist.").ServeHTTP(w, r)
		}
	})
}
