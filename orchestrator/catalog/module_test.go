package catalog_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-dev/berth/modules"
	"github.com/berth-dev/berth/orchestrator/catalog"
)

// ours is a module that keeps the contract.
const ours = `variable "environment_id" { type = string }
variable "servers" {
  type = map(object({
    id        = string
    app       = string
    port      = number
    user_data = string
    needed_by = list(string)
    variables = optional(object({
      type = optional(string, "s")
      disk = optional(number)
    }), {})
  }))
}
variable "tags" { type = map(string) }
variable "zone" {
  description = "Where the machines are."
  type        = string
}
variable "zones" {
  type    = list(string)
  default = []
}
output "servers" {
  value = { for app, s in var.servers : s.id => { address = "", private_address = "", provider_id = "" } }
}
`

var column = regexp.MustCompile(`(\.(?:hcl|tf):\d+):\d+: `)

// lines is an error's text without columns.
func lines(err error) string { return column.ReplaceAllString(err.Error(), "$1: ") }

// TestModuleContract: what a target's module lacks, and what it is given that
// it does not take, is told with its place; all at once.
func TestModuleContract(t *testing.T) {
	t.Parallel()
	own := func(module, target string) map[string]string {
		return map[string]string{"m/main.tf": module, "berth.hcl": "target \"ours\" {\n module = \"./m\"\n " + target + "\n}\n"}
	}
	builtin := func(target string) map[string]string {
		return map[string]string{"berth.hcl": "target \"aws\" {\n module = \"aws\"\n " + target + "\n}\n"}
	}
	const zone = `variables = { zone = "a" }`
	without := func(s, with string) string {
		if !strings.Contains(ours, s) {
			t.Fatalf("%q is not in the module", s)
		}
		return strings.Replace(ours, s, with, 1)
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string // none: it is good
	}{
		"good":              {own(ours, zone), nil},
		"good, built in":    {builtin(`variables = { region = "eu-central-1", ingress = ["10.0.0.0/8"] }`), nil},
		"good, local":       {map[string]string{"berth.hcl": local}, nil},
		"types of any kind": {own(without("map(object({\n    id        = string\n    app       = string\n    port      = number\n    user_data = string\n    needed_by = list(string)\n    variables = optional(object({\n      type = optional(string, \"s\")\n      disk = optional(number)\n    }), {})\n  }))", "any"), zone+"\n}\nsize \"big\" {\n ours = { anything = 1 }"), nil},
		"good, in JSON":     {map[string]string{"m/main.tf.json": `{"variable": {"environment_id": {}, "servers": {}, "tags": {}}, "output": {"servers": {"value": {}}}}`, "berth.hcl": "target \"ours\" {\n module = \"./m\"\n}\n"}, nil},
		"unknown variable":  {own(ours, `variables = { zone = "a", zoness = [] }`), []string{`berth.hcl:3: variables: the module "./m" has no variable "zoness". Did you mean "zones"`}},
		"unknown, built in": {builtin(`variables = { regoin = "eu-central-1" }`), []string{`berth.hcl:3: variables: the module "aws" has no variable "regoin". Did you mean "region"?`}},
		"needed variable":   {own(ours, ""), []string{`berth.hcl:2: module: ./m needs the variable "zone" (Where the machines are). Add it`}},
		"wrong type":        {own(ours, `variables = { zone = "a", zones = "b" }`), []string{`berth.hcl:3: variables: zones does not fit: list of string required`}},
		"wrong, built in":   {builtin(`variables = { ingress = [["10.0.0.0/8"]] }`), []string{`berth.hcl:3: variables: ingress does not fit: element 0: string required`}},
		"no tags":           {own(without(`variable "tags" { type = map(string) }`, ""), zone), []string{`berth.hcl:2: module: ./m takes no variable "tags", which Berth sets. Declare it: variable "tags" { type = map(string) }.`}},
		"no output":         {own(ours[:strings.Index(ours, "output")], zone), []string{`has no output "servers". It maps each server's ID to { address, private_address, provider_id }.`}},
		"short output":      {own(without(`provider_id = "" `, ""), zone), []string{`main.tf:24: output "servers" lacks "provider_id"`}},
		"other servers":     {own(without("    port      = number\n", "    size      = string\n"), zone), []string{`main.tf:2: variable "servers" does not take what Berth gives it: element "api": attribute "size" is required.`}},
		"servers in a list": {own(without("map(object", "list(object"), zone), []string{`main.tf:2: variable "servers" does not take`}},
		"unknown size":      {own(ours, zone+"\n}\nsize \"big\" {\n ours = { tpye = \"l\" }"), []string{`berth.hcl:6: size big: servers of the module "./m" take no "tpye". Did you mean "type"?`}},
		"wrong size":        {own(ours, zone+"\n}\nsize \"big\" {\n ours = { disk = \"large\" }"), []string{`berth.hcl:6: size big: disk does not fit: a number is required.`}},
		"size, built in":    {builtin("}\nsize \"big\" {\n aws = { instance_typ = \"t3.large\" }"), []string{`berth.hcl:5: size big: servers of the module "aws" take no "instance_typ". Did you mean "instance_type"?`}},
		"no HCL":            {own("variable \"x\" {\n type =\n}\n", zone), []string{`main.tf:2: the module cannot be read: `}},
		"several at once":   {own(ours[:strings.Index(ours, "output")], `variables = { zonne = "a" }`), []string{`has no variable "zonne"`, `needs the variable "zone"`, `has no output`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := catalog.Verify(t.Context(), write(t, tt.files), catalog.Known{Modules: []string{"aws", "local"}, ModuleFiles: modules.FS()})
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(lines(err), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			if len(tt.want) < 3 && err != nil && strings.Contains(err.Error(), "errors:") {
				t.Errorf("more than one error: %v", err)
			}
		})
	}
}

// TestPinnedModules: a module from elsewhere is the same one tomorrow.
func TestPinnedModules(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0123456789abcdef", 4)
	for target, want := range map[string]string{
		`module = "git::https://git.acme.io/m.git//aws?ref=v1.2.0"`:                              "",
		`module = "git::ssh://git@git.acme.io/m.git?depth=1&ref=1a2b3c4d"`:                       "",
		`module = "github.com/acme/servers?ref=v2"`:                                              "",
		`module = "git@github.com:acme/servers.git?ref=v2"`:                                      "",
		"module = \"acme/servers/aws\"\n version = \"1.2.3\"":                                    "",
		"module = \"tf.acme.io/acme/servers/aws\"\n version = \"= 1.2.3\"":                       "",
		`module = "https://acme.io/servers.zip?checksum=sha256:` + sum + `"`:                     "",
		`module = "https://acme.io/servers?archive=tar.gz&checksum=sha512:` + sum + sum + `"`:    "",
		`module = "s3::https://s3.amazonaws.com/acme/m.tar.xz//aws?checksum=sha256:` + sum + `"`: "",
		`module = "https://acme.io/servers.zip"`:                                                 `berth.hcl:2: module: "https://acme.io/servers.zip" has no checksum, so it may be another one tomorrow. Add what sha256sum prints of the file: "https://acme.io/servers.zip?checksum=sha256:…".`,
		`module = "https://acme.io/servers.zip//aws?archive=zip"`:                                `"https://acme.io/servers.zip//aws?archive=zip&checksum=sha256:…".`,
		`module = "gcs::https://www.googleapis.com/storage/v1/acme/m.zip"`:                       `has no checksum`,
		`module = "s3-eu-west-1.amazonaws.com/acme/m.zip"`:                                       `has no checksum`,
		`module = "https://acme.io/servers.zip?checksum=md5:d41d8cd98f00b204e9800998ecf8427e"`:   `berth.hcl:2: module: checksum=md5:d41d8cd98f00b204e9800998ecf8427e does not pin the archive.`,
		`module = "https://acme.io/servers.zip?checksum=file:https://acme.io/sums"`:              `does not pin the archive`,
		`module = "https://acme.io/servers"`:                                                     `module: "https://acme.io/servers" is no archive, so nothing says that it is the same one tomorrow.`,
		`module = "https://git.acme.io/servers.git?ref=v1"`:                                      `module: Terraform takes "https://git.acme.io/servers.git?ref=v1" for a page that names another source. Write git:: before it.`,
		`module = "git::https://me:hunter2@git.acme.io/m.git?ref=v1"`:                            `berth.hcl:2: module has a password in it.`,
		`module = "https://me:hunter2@acme.io/servers.zip"`:                                      `module has a password in it.`,
		`module = "modules/ours"`:                                                                `as "./modules/ours" does.`,
		`module = "git::https://git.acme.io/m.git//aws"`:                                         `berth.hcl:2: module: "git::https://git.acme.io/m.git//aws" names no version, so it may be another one tomorrow. Pin it to a tag or a commit: "git::https://git.acme.io/m.git//aws?ref=v1.2.3".`,
		`module = "git::https://git.acme.io/m.git?depth=1"`:                                      `"git::https://git.acme.io/m.git?depth=1&ref=v1.2.3".`,
		`module = "github.com/acme/servers"`:                                                     `names no version`,
		`module = "git@github.com:acme/servers.git"`:                                             `names no version`,
		`module = "hg::https://hg.acme.io/servers"`:                                              `?rev=v1.2.3`,
		`module = "git::https://git.acme.io/m.git?ref=main"`:                                     `ref=main is a branch, so the module may be another one tomorrow. Name a tag or a commit: ref=v1.2.3.`,
		`module = "acme/servers/aws"`:                                                            `berth.hcl:2: module: "acme/servers/aws" is a registry's, and without a version it may be another one tomorrow. Add version = "1.2.3" to the target`,
		"module = \"acme/servers/aws\"\n version = \"~> 1.2\"":                                   `berth.hcl:3: version: "~> 1.2" may be another one tomorrow. Name one: version = "1.2.3".`,
		"module = \"local\"\n version = \"1.0.0\"":                                               `berth.hcl:3: version is for modules of a registry`,
		"module = \"git::https://git.acme.io/m?ref=v1\"\n version = \"1.0\"":                     `version is for modules of a registry`,
	} {
		_, err := catalog.Load(write(t, map[string]string{"berth.hcl": "target \"x\" {\n " + target + "\n}\n"}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(lines(err), want)) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}

// TestModulesDocument: the smallest module of docs/modules.md keeps the
// contract, with its look too, and its first target fits it.
func TestModulesDocument(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/modules.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "\n```hcl\n")
	if len(blocks) != 4 {
		t.Fatalf("docs/modules.md shows %d files, want a module, its look and a catalog", len(blocks)-1)
	}
	for i, b := range blocks {
		blocks[i], _, _ = strings.Cut(b, "\n```")
	}
	files := map[string]string{"modules/ours/main.tf": blocks[1], "modules/ours/look/main.tf": blocks[2], "berth.hcl": blocks[3]}
	if _, _, err := catalog.Verify(t.Context(), write(t, files), catalog.Known{}); err != nil {
		t.Error(err)
	}
}
