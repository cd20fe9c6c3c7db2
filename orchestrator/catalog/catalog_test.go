package catalog_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
)

// write puts files into a new folder and answers the path of its berth.hcl.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "berth.hcl")
}

const local = "target \"local\" { module = \"local\" }\n"

func TestLoad(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{
		"settings/api.env": "A=1\n", "salt/states/app2.sls": "", "modules/ours/main.tf": "",
		"berth.hcl": `
target "aws" {
  module      = "aws"
  variables   = { region = "eu-central-1", zones = ["a", "b"], disk = 20, ratio = 0.5, nat = false, none = null }
  environment = ["AWS_PROFILE"]
}
target "ours" {
  module       = "./modules/ours"
  allow_system = true
}
target "registry" {
  module  = "acme/servers/hcloud"
  version = "1.4.0"
}
salt {
  states  = "salt/states"
  version = "3006.28"
}
terraform { version = "~> 1.9" }
app "api" {
  repository     = "https://github.com/acme/api"
  branch         = "trunk"
  states         = ["app2", "app"]
  port           = 8080
  health         = "/healthz"
  health_timeout = "1m30s"
  settings       = "settings/api.env"
  build          = "make build"
  start          = "python3 app.py"
  public         = ["LOG_LEVEL"]
}
app "web" {
  repository = "../repos/web.git"
  needs      = { API_URL = "api" }
}
app "db" { repository = "git@example.com:acme/db.git" }
state "s3" {
  bucket       = "states"
  region       = "eu-central-1"
  endpoints    = { s3 = "https://s3.example.com" }
  max_retries  = 3
  environment  = ["AWS_PROFILE"]
  lock_timeout = "5m"
}
blueprint "shop" {
  apps   = ["api", "web"]
  target = "ours"
}
size "small" { aws = { instance_type = "t3.small" } }
person "maria" {
  slack   = "U024BE7LH"
  email   = "maria@example.com"
  os_user = "maria"
  teams   = ["shop"]
}
policy {
  lifetime                = "1d12h"
  max_lifetime            = "30d"
  environments_per_person = 3
  warnings                = ["1h", "1d12h"]
  grace                   = "45m"
  ops                     = ["maria", "jo"]
  deploy                  = "team"
}
`})
	got, err := catalog.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := &orchestrator.Catalog{
		File: path, Dir: dir,
		Targets: []orchestrator.Target{
			{Name: "aws", Module: "aws", Environment: []string{"AWS_PROFILE"},
				Variables: map[string]any{"region": "eu-central-1", "zones": []any{"a", "b"}, "disk": int64(20), "ratio": 0.5, "nat": false, "none": nil}},
			{Name: "ours", Module: filepath.Join(dir, "modules/ours"), AllowSystem: true},
			{Name: "registry", Module: "acme/servers/hcloud", Version: "1.4.0"},
		},
		Salt: orchestrator.Salt{States: filepath.Join(dir, "salt/states"), Version: "3006.28"},
		State: orchestrator.Backend{Type: "s3", Environment: []string{"AWS_PROFILE"}, LockTimeout: 5 * time.Minute,
			Attributes: map[string]any{"bucket": "states", "region": "eu-central-1", "endpoints": map[string]any{"s3": "https://s3.example.com"}, "max_retries": int64(3)}},
		Apps: []orchestrator.App{
			{Name: "api", Repository: "https://github.com/acme/api", Branch: "trunk", States: []string{"app2", "app"}, Port: 8080, Health: "/healthz",
				HealthTimeout: 90 * time.Second, Settings: filepath.Join(dir, "settings/api.env"), Build: "make build", Start: "python3 app.py", Public: []string{"LOG_LEVEL"}},
			{Name: "web", Repository: filepath.Join(dir, "../repos/web.git"), Branch: "main", States: []string{"app"}, HealthTimeout: time.Minute, Needs: map[string]string{"API_URL": "api"}},
			{Name: "db", Repository: "git@example.com:acme/db.git", Branch: "main", States: []string{"app"}, HealthTimeout: time.Minute},
		},
		Blueprints: []orchestrator.Blueprint{{Name: "shop", Apps: []string{"api", "web"}, Target: "ours"}},
		Sizes:      []orchestrator.Size{{Name: "small", Variables: map[string]map[string]any{"aws": {"instance_type": "t3.small"}}}},
		People:     []orchestrator.Person{{Name: "maria", Slack: "U024BE7LH", Email: "maria@example.com", OSUser: "maria", Teams: []string{"shop"}}},
		Policy: orchestrator.PolicySettings{Lifetime: 36 * time.Hour, MaxLifetime: 30 * 24 * time.Hour, EnvironmentsPerPerson: 3, Ops: []string{"maria", "jo"},
			Warnings: []time.Duration{36 * time.Hour, time.Hour}, Grace: 45 * time.Minute, Create: "all", Deploy: "team", Destroy: "own"},
		Terraform: "~> 1.9",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load:\n got %+v\nwant %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load(write(t, map[string]string{"berth.hcl": local}))
	if err != nil {
		t.Fatal(err)
	}
	want := orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, Create: "all", Deploy: "all", Destroy: "own",
		Warnings: []time.Duration{24 * time.Hour, 2 * time.Hour, 30 * time.Minute}, Grace: 30 * time.Minute}
	if !reflect.DeepEqual(c.Policy, want) || c.Salt != (orchestrator.Salt{Version: "3008.3"}) || c.Terraform != "" {
		t.Errorf("defaults: %+v", c)
	}
	// A maximum under the default lifetime is the lifetime.
	c, err = catalog.Load(write(t, map[string]string{"berth.hcl": local + `policy { max_lifetime = "1d" }`}))
	if err != nil || c.Policy.Lifetime != 24*time.Hour {
		t.Errorf("max_lifetime alone: %v, %v", c, err)
	}
	// A maximum under a default warning is no mistake; an empty list turns
	// warnings off.
	c, err = catalog.Load(write(t, map[string]string{"berth.hcl": local + `policy { warnings = [] }`}))
	if err != nil || len(c.Policy.Warnings) != 0 || c.Policy.Grace != 30*time.Minute {
		t.Errorf("no warnings: %v, %v", c, err)
	}
	c, err = catalog.Load(write(t, map[string]string{"berth.hcl": local + `policy { max_lifetime = "2h" }`}))
	if err != nil || len(c.Policy.Warnings) != 3 {
		t.Errorf("short lives: %v, %v", c, err)
	}
}

// Each catalog has one error; the message ends in what is wanted, with its
// place in the file that begins after the first line.
func TestErrors(t *testing.T) {
	t.Parallel()
	const app = "app \"api\" {\n repository = \"https://x.dev/api\"\n port = 80\n"
	for name, tt := range map[string]struct{ text, want string }{
		"unknown block":        {`appp "x" {}`, `:2:1: There is no block "appp". Did you mean "app"?`},
		"unknown attribute":    {"app \"api\" {\n repository = \"https://x.dev/a\"\n prot = 80\n}", `:4:2: app "api" has no attribute "prot". Did you mean "port"?`},
		"far attribute":        {`salt { zzz = 1 }`, `:2:8: salt has no attribute "zzz". Expected "states" or "version".`},
		"outside":              {`repository = "x"`, `:2:1: "repository" stands outside of any block. Expected "target", "state", "salt", `},
		"block for attribute":  {app + "needs { A = \"b\" }\n}", `:5:1: app "api": write needs = { … }, with an equals sign.`},
		"syntax":               {`app "api" {`, `:2:11: Unclosed configuration block.`},
		"unclosed":             {"app \"api\" {\n repository = \"x\n}", `:3:17: Invalid multi-line string.`},
		"no label":             {`app {}`, `:2:1: An app needs one name: app "NAME" { … }.`},
		"label":                {`policy "x" {}`, `:2:8: policy takes no name: policy { … }.`},
		"reserved key":         {`app "ttl" { repository = "https://x.dev/a" }`, `:2:5: An app cannot be called "ttl": that is a key of the commands.`},
		"reserved verb":        {`app "deploy" { repository = "https://x.dev/a" }`, `:2:5: An app cannot be called "deploy": that is a verb of the commands.`},
		"malformed name":       {`app "My_App" { repository = "https://x.dev/a" }`, `Did you mean "my-app"?`},
		"long name":            {`app "a23456789012345678901234567890123" { repository = "https://x.dev/a" }`, `at most 32`},
		"duplicate":            {app + "}\n" + app + "}", `:6:5: There is already a block app "api", at line 2`},
		"two policies":         {"policy {}\npolicy {}", `:3:1: There is already a block policy, at line 2`},
		"no repository":        {`app "api" {}`, `:2:1: app "api" has no repository. Expected: repository = "https://github.com/acme/api"`},
		"password":             {`app "api" { repository = "https://me:hunter2@x.dev/a" }`, `Secrets never stand in the catalog`},
		"option":               {`app "api" { repository = "--upload-pack=x" }`, `git would take for an option`},
		"helper":               {`app "api" { repository = "ext::sh -c id" }`, `would run a program of git's`},
		"scheme":               {`app "api" { repository = "ftp://x.dev/a" }`, `not "ftp"`},
		"variable":             {app + "branch = main\n}", `:5:10: branch: write "main" in quotes.`},
		"interpolation":        {app + "branch = \"${env.X}\"\n}", `:5:10: branch: a catalog knows no variables`},
		"number for text":      {app + "branch = 1.10\n}", `:5:10: branch must be text in quotes, such as "1.10".`},
		"branch":               {app + "branch = \"-x\"\n}", `branch: "-x" cannot be a branch.`},
		"port":                 {`app "api" {` + "\n repository = \"https://x.dev/a\"\n port = 70000\n}", `:4:9: port must be from 1 to 65535, not 70000.`},
		"port text":            {`app "api" {` + "\n repository = \"https://x.dev/a\"\n port = \"http\"\n}", `:4:9: port must be a whole number, not "http".`},
		"port fraction":        {`app "api" {` + "\n repository = \"https://x.dev/a\"\n port = 80.5\n}", `port must be a whole number`},
		"health":               {app + "health = \"healthz\"\n}", `:5:10: health must be a path that begins with a slash`},
		"health without port":  {"app \"api\" {\n repository = \"https://x.dev/a\"\n health = \"/\"\n}", `has a health path but no port`},
		"health timeout":       {app + "health_timeout = \"0s\"\n}", `health_timeout: "0s" is no time at all: it must be more than zero.`},
		"states text":          {app + "states = \"app\"\n}", `:5:10: states must be a list of text: ["app"].`},
		"states empty":         {app + "states = []\n}", `states is empty. Expected at least ["app"]`},
		"state name":           {app + "states = [\"../x\"]\n}", `states: "../x" is no name of a recipe.`},
		"settings missing":     {app + "settings = \"no.env\"\n}", `of app api is missing. Ops own it: ask them to write it`},
		"settings folder":      {app + "settings = \".\"\n}", `is no file`},
		"needs unknown":        {app + "needs = { WEB = \"wob\" }\n}\napp \"web\" {\n repository = \"https://x.dev/w\"\n port = 1\n}", `:5:17: needs.WEB: there is no app "wob". Did you mean "web"?`},
		"needs itself":         {app + "needs = { A = \"api\" }\n}", `needs.A: api cannot need itself.`},
		"needs key":            {app + "needs = { \"a-b\" = \"web\" }\n}\n", `:5:11: needs: "a-b" cannot be the variable that gets an address.`},
		"needs PORT":           {app + "needs = { PORT = \"web\" }\n}\n", `PORT is the app's own`},
		"needs twice":          {app + "needs = { A = \"web\", A = \"web\" }\n}\napp \"web\" {\n repository = \"https://x.dev/w\"\n port = 1\n}", `needs names "A" twice.`},
		"needs text":           {app + "needs = \"web\"\n}\n", `:5:9: needs must be a map: { API_URL = "api" }.`},
		"needs no port":        {app + "needs = { WEB = \"web\" }\n}\napp \"web\" { repository = \"https://x.dev/w\" }", `app web has no port, so it has no address to give`},
		"needs circle":         {app + "needs = { B = \"web\" }\n}\napp \"web\" {\n repository = \"https://x.dev/w\"\n port = 1\n needs = { A = \"api\" }\n}", `:10:16: needs go in a circle: api → web → api.`},
		"public":               {app + "public = [\"a b\"]\n}", `public: "a b" cannot be the name of a setting.`},
		"blueprint unknown":    {app + "}\nblueprint \"b\" { apps = [\"apy\"] }", `:6:25: blueprint "b": there is no app "apy". Did you mean "api"?`},
		"blueprint twice":      {app + "}\nblueprint \"b\" { apps = [\"api\", \"api\"] }", `names app "api" twice`},
		"blueprint empty":      {`blueprint "b" { apps = [] }`, `blueprint "b" has an empty list of apps.`},
		"blueprint none":       {`blueprint "b" {}`, `:2:1: blueprint "b" has no apps.`},
		"blueprint target":     {app + "}\nblueprint \"b\" {\n apps = [\"api\"]\n target = \"locla\"\n}", `:8:11: blueprint "b": there is no target "locla". Did you mean "local"?`},
		"size target":          {`size "small" { awz = {} }`, `:2:16: size "small": there is no target "awz". Expected "local".`},
		"size value":           {`size "small" { local = 3 }`, `:2:24: local must be a map`},
		"module none":          {`target "aws" {}`, `:2:1: target "aws" has no module.`},
		"module missing":       {`target "aws" { module = "./nowhere" }`, `:2:25: module: there is no folder `},
		"module empty folder":  {`target "aws" { module = "./" }`, `has no .tf file`},
		"environment":          {`target "aws" {` + "\n module = \"aws\"\n environment = [\"BERTH_GITHUB_TOKEN\"]\n}", `belongs to Berth and never reaches Terraform`},
		"allow system":         {`target "aws" {` + "\n module = \"aws\"\n allow_system = \"yes\"\n}", `allow_system must be true or false, not "yes".`},
		"salt folder":          {`salt { states = "nowhere" }`, `:2:17: states: there is no folder `},
		"salt version":         {`salt { version = "latest" }`, `:2:18: version: "latest" is no version of Salt. Expected such as "3008.3".`},
		"terraform version":    {`terraform { version = "newest" }`, `:2:23: version: "newest" is no version constraint.`},
		"person name":          {`person "maria lopez" {}`, `:2:8: "maria lopez" cannot name a person`},
		"slack":                {`person "maria" { slack = "@maria" }`, `Expected a Slack member ID such as "U024BE7LH".`},
		"email twice":          {"person \"a\" { email = \"x@y.z\" }\nperson \"b\" { email = \"X@y.z\" }", `:3:22: email: "X@y.z" is already that of person "a".`},
		"duration":             {`policy { lifetime = "3 days" }`, `:2:21: lifetime: "3 days" is no duration: expected such as "3d", "12h", "90m" or "1d12h".`},
		"negative":             {`policy { lifetime = "-3d" }`, `lifetime: "-3d" is no duration`},
		"overflow":             {`policy { lifetime = "99999999999d" }`, `is too long a time`},
		"lifetime over":        {"policy {\n lifetime = \"3d\"\n max_lifetime = \"1d\"\n}", `:3:13: lifetime is longer than max_lifetime (line 4).`},
		"lifetime over none":   {`policy { lifetime = "20d" }`, `Give max_lifetime too.`},
		"warnings text":        {`policy { warnings = "2h" }`, `:2:21: warnings must be a list of durations, such as ["24h", "2h", "30m"], or [] for none.`},
		"warnings number":      {`policy { warnings = [24] }`, `:2:22: each of warnings must be text with a unit, such as "24h" or "24d".`},
		"warning":              {`policy { warnings = ["2h", "soon"] }`, `:2:28: each of warnings: "soon" is no duration`},
		"warning late":         {`policy { warnings = ["30s"] }`, `:2:22: warnings: a warning must come 1m before the end, or earlier.`},
		"warning early":        {"policy {\n warnings = [\"3d\"]\n max_lifetime = \"2d\"\n}", `:3:14: warnings: no environment lives that long`},
		"warning twice":        {`policy { warnings = ["120m", "2h"] }`, `:2:30: warnings names "2h" twice.`},
		"warnings many":        {`policy { warnings = ["1m", "2m", "3m", "4m", "5m", "6m", "7m", "8m", "9m", "10m", "11m"] }`, `:2:21: warnings may be 10 at most`},
		"grace":                {`policy { grace = "0m" }`, `:2:18: grace: "0m" is no time at all`},
		"grace short":          {`policy { grace = "5s" }`, `:2:18: grace must be 1m or more.`},
		"quota":                {`policy { environments_per_person = -1 }`, `environments_per_person must be 1 or more, or 0 for no limit.`},
		"rule":                 {`policy { destroy = "tem" }`, `:2:20: destroy: "tem" is no rule. Did you mean "team"?`},
		"bare text":            {"app \"api\" {\n repository = https://x.dev/a\n}", `:3:20: text stands in quotes: repository = "https://x.dev/a".`},
		"bare secret":          {"app \"api\" {\n repository = https://me:hunter2@x.dev/a\n}", `Missing newline after argument`},
		"token":                {`app "api" { repository = "https://ghp_hunter2@x.dev/a" }`, `repository has a token in it`},
		"token as login":       {`app "api" { repository = "https://hunter2hunter2hunter2hunter2hunter2@x.dev/a" }`, `repository has a token in it`},
		"token in query":       {`app "api" { repository = "https://x.dev/a?t=hunter2" }`, `repository has a token in it`},
		"scp password":         {`app "api" { repository = "me:hunter2@x.dev:a" }`, `repository has a password in it`},
		"scp option":           {`app "api" { repository = "git@-oProxyCommand=x:a" }`, `has a host that begins with a hyphen`},
		"ssh option":           {`app "api" { repository = "ssh://-oProxyCommand=x/a" }`, `has a host that begins with a hyphen`},
		"ssh login option":     {`app "api" { repository = "ssh://-oX@h/a" }`, `has a host that begins with a hyphen`},
		"no host":              {`app "api" { repository = "https:///a" }`, `names no host`},
		"control":              {`app "api" { repository = "https://x.dev/a\u001b" }`, `is no address`},
		"health control":       {app + "health = \"/a\\u0000\"\n}", `health must be a path`},
		"health forever":       {app + "health_timeout = \"31m\"\n}", `:5:18: health_timeout may be 30m at most.`},
		"state twice":          {app + "states = [\"app\", \"app\"]\n}", `:5:18: states names "app" twice.`},
		"duration number":      {`policy { lifetime = 3 }`, `:2:21: lifetime must be text with a unit, such as "3h" or "3d".`},
		"huge":                 {`policy { environments_per_person = 99999999999999999999 }`, `is too large a number`},
		"team":                 {`person "a" { teams = [""] }`, `:2:23: teams: "" cannot name a team`},
		"source":               {"target \"aws\" {\n module = \"aws\"\n variables = { source = 1 }\n}", `:4:16: variables: "source" is set by Berth itself.`},
		"local's root":         {"target \"other\" {\n module = \"local\"\n variables = { root = \"/\" }\n}", `:4:16: variables: the module "local" gets "root" from Berth itself.`},
		"nested lists":         {"target \"aws\" {\n module = \"aws\"\n variables = { a = " + strings.Repeat("[", 300000) + strings.Repeat("]", 300000) + " }\n}", `:4:`},
		"nested templates":     {app + "branch = " + strings.Repeat(`"${`, 100000) + "\n}", `values are nested more than 200 deep here.`},
		"operators":            {`policy { environments_per_person = ` + strings.Repeat("!", 1000000) + "true }", `values are nested more than 200 deep here.`},
		"conditions":           {`policy { environments_per_person = ` + strings.Repeat("true?1:", 300000) + "1 }", `values are nested more than 200 deep here.`},
		"file of 10 MB":        {"# " + strings.Repeat("x", 10<<20), `:1:1: the file has 11 MiB; a catalog has at most 4.`},
		"state of two":         {"state \"s3\" {\n bucket = \"a\"\n region = \"b\"\n}\nstate \"pg\" {\n}", `:6:7: There is already a block state "s3"`},
		"state without a name": {`state {}`, `:2:1: A state needs one name`},
		"state here":           {`state "local" {}`, `:2:7: state: without a block`},
		"state elsewhere":      {`state "remote" {}`, `runs Terraform elsewhere`},
		"state unknown":        {`state "oss" { prefix = "berth" }`, `:2:7: state "oss": Berth does not know how this backend tells states apart. Write {id}`},
		"state with a block":   {"state \"s3\" {\n endpoints {\n }\n}", `:3:2: state "s3": write endpoints = { … }, with an equals sign.`},
		"state password":       {"state \"http\" {\n password = \"hunter2\"\n}", `:3:2: state "http": password would be a secret in a file. Leave it out, give serve TF_HTTP_PASSWORD`},
		"state secret key":     {"state \"s3\" {\n secret_key = \"hunter2\"\n}", `AWS_SECRET_ACCESS_KEY`},
		"state token":          {"state \"cos\" {\n prefix = \"{id}\"\n api_token = \"hunter2\"\n}", `api_token would be a secret in a file.`},
		"state address":        {"state \"pg\" {\n conn_str = \"postgres://a:hunter2@db/x\"\n}", `:3:13: state "pg": conn_str has a secret in it. Leave it out, give serve PG_CONN_STR`},
		"state broken address": {"state \"pg\" {\n conn_str = \"postgres://a:hunter2%@db/x\"\n}", `conn_str has a secret in it`},
		"state words":          {"state \"pg\" {\n conn_str = \"host=db password=hunter2\"\n}", `conn_str has a secret in it`},
		"state query":          {"state \"pg\" {\n conn_str = \"postgres://db/x?password=hunter2\"\n}", `conn_str has a secret in it`},
		"state in an object":   {"state \"s3\" {\n endpoints = { s3 = \"https://a:hunter2@x\" }\n}", `endpoints has a secret in it`},
		"state ssl query":      {"state \"pg\" {\n conn_str = \"postgres://db/x?sslkey=/k&sslpassword=hunter2\"\n}", `conn_str has a secret in it. Leave it out, give serve PG_CONN_STR`},
		"state query token":    {"state \"http\" {\n address = \"https://git.example.com/state?private_token=hunter2\"\n}", `address has a secret in it. Leave it out, give serve TF_HTTP_USERNAME and TF_HTTP_PASSWORD`},
		"state role's token":   {"state \"s3\" {\n assume_role_with_web_identity = { web_identity_token = \"hunter2\" }\n}", `:3:34: state "s3": assume_role_with_web_identity has a secret in it. Leave it out, give serve AWS_WEB_IDENTITY_TOKEN_FILE`},
		"state header":         {"state \"http\" {\n headers = { Authorization = \"Bearer hunter2\" }\n}", `headers has a secret in it`},
		"state header map":     {"state \"http\" {\n headers = { \"Private-Token\" = \"hunter2\" }\n}", `headers has a secret in it`},
		"state key file":       {"state \"gcs\" {\n credentials = \"-----BEGIN PRIVATE KEY hunter2\"\n}", `GOOGLE_CREDENTIALS`},
		"state patience":       {"state \"pg\" {\n lock_timeout = \"31m\"\n}", `:3:17: lock_timeout may be 30m at most.`},
		"state of Berth's":     {"state \"pg\" {\n environment = [\"BERTH_X\"]\n}", `BERTH_X belongs to Berth`},
		"function":             {`policy { destroy = file("x") }`, `destroy: `},
		"infinite":             {`target "aws" {` + "\n module = \"aws\"\n variables = { a = [1e999] }\n}", `variables.a has a number that is too large.`},
		"variables identifier": {`target "aws" {` + "\n module = \"aws\"\n variables = { \"a b\" = 1 }\n}", `"a b" cannot be the name of a Terraform variable.`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, map[string]string{"berth.hcl": local + tt.text + "\n"})
			_, err := catalog.Load(path)
			var e *orchestrator.Error
			if !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidCatalog {
				t.Fatalf("Load = %v, want an invalid catalog", err)
			}
			if e.Hint == "" || !strings.HasPrefix(e.Message, path+":") {
				t.Errorf("message %q, hint %q: want one that begins with the file, and a hint", e.Message, e.Hint)
			}
			want := tt.want
			if strings.HasPrefix(want, ":") {
				want = path + want
			}
			if !strings.Contains(e.Message, want) {
				t.Errorf("message %q\n  lacks %q", e.Message, want)
			}
			if strings.Contains(e.Message, "hunter2") {
				t.Errorf("the message repeats a password: %s", e.Message)
			}
		})
	}
}

func TestErrorsAllAtOnce(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"berth.hcl": `app "ttl" {
  prot = 80
}
blueprint "shop" { apps = ["apu"] }
polcy {}
`})
	_, err := catalog.Load(path)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "The catalog has 5 errors:") {
		t.Fatalf("want five errors in six lines, got:\n%v", err)
	}
	for i, want := range []string{":1:1: ", ":1:5: ", ":2:3: ", ":4:28: ", ":5:1: "} {
		if !strings.HasPrefix(lines[i+1], path+want) {
			t.Errorf("line %d is %q, want it at %s", i+1, lines[i+1], want)
		}
	}
}

func TestLoadNothing(t *testing.T) {
	t.Parallel()
	_, err := catalog.Load(filepath.Join(t.TempDir(), "berth.hcl"))
	if err == nil || !strings.Contains(err.Error(), "There is no catalog at ") {
		t.Errorf("Load = %v", err)
	}
	_, err = catalog.Load(write(t, map[string]string{"berth.hcl": ""}))
	if err == nil || !strings.Contains(err.Error(), "The catalog has no target") {
		t.Errorf("an empty catalog: %v", err)
	}
}

// A pipe that nobody writes to is waited for nowhere.
func TestNoFile(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, read := range map[string]func(string) error{
		"Load":     func(path string) error { _, err := catalog.Load(path); return err },
		"Open":     func(path string) error { _, err := catalog.Open(path); return err },
		"Verify":   func(path string) error { _, _, err := catalog.Verify(t.Context(), path, known); return err },
		"Settings": func(path string) error { _, _, err := catalog.Settings(path); return err },
	} {
		for _, path := range []string{pipe, "/dev/null", t.TempDir()} {
			done := make(chan error, 1)
			go func() { done <- read(path) }()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), path+" is no file.") {
					t.Errorf("%s of %s: %v", what, path, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s waits for %s", what, path)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	const text = "\ufeff# comment\r\n" +
		"A=1\r\n" +
		"export B = two words # not this\n" +
		"  C='it''s'\n"
	path := write(t, map[string]string{"berth.hcl": text})
	if _, _, err := catalog.Settings(path); err == nil || !strings.Contains(err.Error(), ":4: C: there is text after the closing quote") {
		t.Errorf("Settings = %v", err)
	}
	const good = "export A=1\nB=two words # not this\nC='# \\n $X'\nD=\"a\\nb \\\"q\\\" \\$X\"\nE=\nF=a#b\nG=\"x\ny\" # both\nH=a=b\nA=2\nexported=1\n\n"
	path = write(t, map[string]string{"berth.hcl": good})
	raw, values, err := catalog.Settings(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "2", "B": "two words", "C": `# \n $X`, "D": "a\nb \"q\" $X", "E": "", "F": "a#b", "G": "x\ny", "H": "a=b", "exported": "1"}
	if string(raw) != good || !maps.Equal(values, want) {
		t.Errorf("Settings = %q, %q", raw, values)
	}
}

// Errors name the place and never a value, which may be a secret.
func TestSettingsErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"no equals": {"A=1\nhunter2\n", ":2: expected KEY=value"},
		"key":       {"A B=hunter2\n", ":1: the key before the equals sign"},
		"open":      {"A=1\nB=\"hunter2\nC=3\n", ":2: B: the quote is never closed"},
		"lines":     {"A='x\ny'\nB=\"hunter2\n", ":3: B: the quote is never closed"},
		"bytes":     {"A=1\nB=hunter2\xff\n", ":2: this is not UTF-8 text"},
		"nul":       {"A=1\n\nB=hunter2\x00\n", ":3: there is a NUL byte"},
	} {
		path := write(t, map[string]string{"berth.hcl": tt.text})
		_, _, err := catalog.Settings(path)
		var e *orchestrator.Error
		if !errors.As(err, &e) || e.Code != orchestrator.CodeSettings || !strings.Contains(e.Message, path+tt.want) || !strings.Contains(e.Hint, "ops own the settings") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a value is told: %v", name, err)
		}
	}
	_, _, err := catalog.Settings(filepath.Join(t.TempDir(), "api.env"))
	if orchestrator.ExitStatus(err) != 3 || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestStarter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "berth")
	files, err := catalog.WriteStarter(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		rel, _ := filepath.Rel(dir, f)
		names = append(names, filepath.ToSlash(rel))
	}
	slices.Sort(names)
	if want := []string{"berth.hcl", "salt/states/README.md", "settings/api.env", "settings/web.env"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "settings/api.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("settings must be private: %v %v", info.Mode(), err)
	}
	c, warnings, err := catalog.Verify(t.Context(), filepath.Join(dir, "berth.hcl"), known)
	if err != nil || len(warnings) > 0 || len(c.Apps) != 2 || c.Apps[1].Needs["API_URL"] != "api" {
		t.Errorf("the starter: %+v, %v, %v", c, warnings, err)
	}
	// Nothing is overwritten, and nothing else is written beside what is there.
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "berth.hcl"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.WriteStarter(other); err == nil || !strings.Contains(err.Error(), filepath.Join(other, "berth.hcl")) {
		t.Errorf("WriteStarter over a file: %v", err)
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Errorf("something was written: %v", entries)
	}
	// A folder cannot be made: what was made before goes again.
	half := filepath.Join(t.TempDir(), "new", "place")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "settings"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.WriteStarter(half); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("WriteStarter beside a file called settings: %v", err)
	}
	if entries, _ := os.ReadDir(half); len(entries) != 1 {
		t.Errorf("half a starter stays: %v", entries)
	}
}

var known = catalog.Known{Modules: []string{"local", "metal"}}

// userData is a template of ops' own.
const userData = `#cloud-config
write_files:
  - {path: /etc/berth/agent.json, permissions: "0600", encoding: gz+b64, content: "{{ berth.boot }}"}
  - {path: /etc/berth/start.py, encoding: gz+b64, content: "{{ berth.start }}"}
runcmd:
  - [python3, /etc/berth/start.py]
`

func TestVerify(t *testing.T) {
	t.Parallel()
	const apps = "app \"api\" {\n repository = \"https://x.dev/a\"\n states = [\"web\"]\n}\n"
	salt := "salt { states = \"states\" }\n"
	for name, tt := range map[string]struct {
		files   map[string]string
		want    string // in the error, empty: none
		warning string
	}{
		"good":           {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "x:\n  file.managed:\n    - name: {{ pillar['berth']['root']|json }}\n"}, "", ""},
		"init":           {map[string]string{"berth.hcl": local + salt + apps, "states/web/init.sls": "x:\n  test.nop: []\n"}, "", ""},
		"no recipe":      {map[string]string{"berth.hcl": local + salt + apps, "states/wob.sls": ""}, `:5:12: states: there is no recipe "web": not in`, ""},
		"no folder":      {map[string]string{"berth.hcl": local + apps}, `there is no folder of recipes`, ""},
		"user-data":      {map[string]string{"berth.hcl": "target \"x\" {\n module = \"metal\"\n user_data = \"ud.yaml\"\n}\napp \"a\" { repository = \"https://x.dev/a\" }\n", "ud.yaml": userData}, "", ""},
		"user-data bad":  {map[string]string{"berth.hcl": "target \"x\" {\n module = \"metal\"\n user_data = \"ud.yaml\"\n}\n", "ud.yaml": "#cloud-config\n"}, `:3:14: The user-data template `, ""},
		"user-data gone": {map[string]string{"berth.hcl": "target \"x\" {\n module = \"metal\"\n user_data = \"ud.yaml\"\n}\n"}, `:3:14: user_data: there is no file `, ""},
		"user-data here": {map[string]string{"berth.hcl": "target \"x\" {\n module = \"local\"\n user_data = \"ud.yaml\"\n}\n", "ud.yaml": userData}, `:3:14: user_data: servers of the module "local" are no machines of their own`, ""},
		"module":         {map[string]string{"berth.hcl": `target "x" { module = "locl" }`}, `module: Berth brings no module "locl". Did you mean "local"?`, ""},
		"settings":       {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n settings = \"a.env\"\n}", "a.env": "x y"}, `a.env:1: expected KEY=value`, ""},
		"system":         {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "nginx:\n  pkg.installed: []\n"}, `web.sls:2: the recipe uses pkg.installed, which changes the machine itself`, ""},
		"system short":   {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "nginx:\n  service:\n    - running\n"}, `web.sls:2: the recipe uses service`, ""},
		"system call":    {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% do salt['user.add']('x') %}\n"}, `web.sls:1: the recipe uses salt['user.add']`, ""},
		"system allowed": {map[string]string{"berth.hcl": "target \"local\" {\n module = \"local\"\n allow_system = true\n}\n" + salt + apps, "states/web.sls": "nginx:\n  pkg.installed: []\n"}, "", ""},
		"system guarded": {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% if pillar['berth']['systemd'] %}\nnginx:\n  pkg.installed: []\n{% endif %}\n"}, "", ""},
		"system else":    {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% if pillar['berth']['systemd'] %}\na:\n  test.nop: []\n{% else %}\nnginx:\n  pkg.installed: []\n{% endif %}\n"}, `web.sls:6: the recipe uses pkg.installed`, ""},
		"system negated": {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% if not pillar['berth']['systemd'] %}\na:\n  pkg.removed: []\n{% else %}\nnginx:\n  pkg.installed: []\n{% endif %}\n"}, `web.sls:3: the recipe uses pkg.removed`, ""},
		"requisite":      {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "a:\n  test.nop:\n    - require:\n      - pkg: nginx\n    - user: me\n    - group: me\n"}, "", ""},
		"included":       {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "include:\n  - deep.er\n", "states/deep/er.sls": "c:\n  cron.present: []\n"}, `er.sls:2: the recipe uses cron.present`, ""},
		"included near":  {map[string]string{"berth.hcl": local + salt + apps, "states/web/init.sls": "include:\n  - .er\n", "states/web/er.sls": "c:\n  cron.present: []\n"}, `er.sls:2: the recipe uses cron.present`, ""},
		"interpolated":   {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "x:\n  cmd.run:\n    - name: echo {{ pillar['berth']['app']['branch'] }}\n"}, "", `web.sls:3: {{ pillar['berth']['app']['branch'] }} puts a value`},
		"through a name": {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% set app = salt['pillar.get']('berth:app') %}\nx:\n  test.nop:\n    - name: {{ app.branch }}\n"}, "", `web.sls:4: {{ app.branch }} puts`},
		"in a loop":      {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% for k, v in pillar.berth.needs.items() %}\n{{ k|json }}: {{ v }}\n{% endfor %}\n"}, "", `web.sls:2: {{ v }} puts`},
		"half json":      {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "x: {{ pillar.berth.root ~ '/x'|json }}\n"}, "", `web.sls:1: {{ pillar.berth.root`},
		"gathered":       {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "{% set u %}a {{ pillar.berth.root }}{% endset %}\nx: {{ u|json }}\ny: {{ u }}\n"}, "", `web.sls:3: {{ u }} puts`},
		"whole json":     {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "x: {{ (pillar.berth.root ~ '/x')|json }}\n"}, "", ""},
		"program":        {map[string]string{"berth.hcl": local + salt + apps, "states/web.sls": "#!py\ndef run(): return {}\n"}, "", `this recipe is a program`},
		"public":         {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n settings = \"a.env\"\n public = [\"LEVEL\", \"PORT\"]\n}", "a.env": "LEVEL=debugging"}, "", ""},
		"public unknown": {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n settings = \"a.env\"\n public = [\"LEVL\"]\n}", "a.env": "LEVEL=debugging"}, "", `berth.hcl:5: public: the settings of app api have no LEVL, so nothing of it is shown. Did you mean "LEVEL"?`},
		"public nowhere": {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n public = [\"LEVEL\"]\n}"}, "", `berth.hcl:4: public: the settings of app api have no LEVEL`},
		"public secret":  {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n settings = \"a.env\"\n public = [\"API_TOKEN\"]\n}", "a.env": "API_TOKEN=x"}, "", `berth.hcl:5: public: API_TOKEN of app api is called like a secret`},
		"unmet":          {map[string]string{"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n port = 1\n}\napp \"web\" {\n repository = \"https://x.dev/w\"\n needs = { API_URL = \"api\" }\n}\nblueprint \"w\" { apps = [\"web\"] }\n"}, "", `berth.hcl:8: blueprint w has web but not api`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.files)
			c, warnings, err := catalog.Verify(t.Context(), path, known)
			if all := len(warnings); all > 0 && strings.Contains(warnings[all-1], "Salt is not installed here") {
				warnings = warnings[:all-1] // TestCompile does
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got := strings.Join(warnings, "\n"); tt.warning == "" && got != "" || !strings.Contains(got, tt.warning) || len(warnings) > 1 {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
			if err != nil && strings.Contains(err.Error(), "errors:") {
				t.Errorf("more than one error: %v", err)
			}
			if c == nil {
				t.Error("no catalog")
			}
		})
	}
}

// Numbers beyond what a float64 holds come out as they were written.
func TestNumbers(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load(write(t, map[string]string{"berth.hcl": "target \"x\" {\n module = \"x\"\n variables = { a = 18446744073709551617, b = 0.1, c = -5, d = 0.12345678901234567890123, e = 1.5e3 }\n}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(c.Targets[0].Variables)
	if want := `{"a":18446744073709551617,"b":0.1,"c":-5,"d":0.12345678901234567890123,"e":1500}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestVerifyWarnsOfOpsAndReadableSettings(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"a.env": "A=1\n",
		"berth.hcl": local + "app \"api\" {\n repository = \"https://x.dev/a\"\n settings = \"a.env\"\n}\nperson \"maria\" {}\npolicy {\n ops = [\"marai\", \"maria\", \"root\"]\n}\n"})
	for _, open := range []bool{false, true} {
		// The folder of the test's folders is closed to others, or not.
		mode := os.FileMode(0o700)
		if open {
			mode = 0o755
		}
		if err := os.Chmod(filepath.Dir(filepath.Dir(path)), mode); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := catalog.Verify(t.Context(), path, known)
		got := strings.Join(warnings, "\n")
		if err != nil || strings.Count(got, "ops: ") != 1 || !strings.Contains(got, path+`:8: ops: there is no person "marai", so this is taken for an account's name. Did you mean "maria"?`) {
			t.Errorf("warnings %q, error %v", warnings, err)
		}
		if told := strings.Contains(got, "a.env:1: everybody on this machine can read these settings"); told != open {
			t.Errorf("open %v: warnings %q", open, warnings)
		}
	}
}

func TestManyErrorsAreCut(t *testing.T) {
	t.Parallel()
	_, err := catalog.Load(write(t, map[string]string{"berth.hcl": local + strings.Repeat("polcy {}\n", 2000)}))
	if err == nil || !strings.HasPrefix(err.Error(), "The catalog has 2000 errors:\n") || !strings.HasSuffix(err.Error(), "\n… and 1950 more") || strings.Count(err.Error(), "\n") != 51 {
		t.Errorf("got %.300v", err)
	}
}

// Berth's own starter recipe keeps the rules that it asks of others.
func TestVerifyStarterRecipe(t *testing.T) {
	t.Parallel()
	recipe, err := os.ReadFile(filepath.Join("..", "..", "templates", "salt", "app", "init.sls"))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, map[string]string{
		"berth.hcl":           local + "salt { states = \"states\" }\napp \"api\" { repository = \"https://x.dev/a\" }\n",
		"states/app/init.sls": string(recipe),
	})
	if _, warnings, err := catalog.Verify(t.Context(), path, known); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "Salt is not installed here, so the recipes were read but not compiled") {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
}

func FuzzLoad(f *testing.F) {
	starter, err := catalog.Starter.ReadFile("starter/berth.hcl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(starter)
	for _, s := range []string{"", local, "app \"x\" {\n needs = { A = 1, \"${x}\" = [] } }", "size \"s\" { local = { a = [null, { b = 1e999 }] } }", "target {", "policy { lifetime = \"9999999999999999999d\" }", "app \"\" {}", "a = <<E\nE\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		path := filepath.Join(t.TempDir(), "berth.hcl")
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := catalog.Verify(t.Context(), path, known)
		var e *orchestrator.Error
		if err != nil && (!errors.As(err, &e) || e.Code != orchestrator.CodeInvalidCatalog || e.Message == "" || e.Hint == "") {
			t.Fatalf("%q: %#v", src, err)
		}
	})
}

func FuzzSettings(f *testing.F) {
	for _, s := range []string{"A=1\n", "export A='x\ny'\n", "A=\"\\n\\\"\" # c", "\ufeffA=\r\n", "A", "=", "A='", "export=1", "A=\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		path := filepath.Join(t.TempDir(), "api.env")
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		raw, values, err := catalog.Settings(path)
		var e *orchestrator.Error
		if err != nil {
			if !errors.As(err, &e) || e.Code != orchestrator.CodeSettings {
				t.Fatalf("%q: %#v", src, err)
			}
			return
		}
		if string(raw) != string(src) {
			t.Fatalf("%q came back as %q", src, raw)
		}
		for key := range values {
			if key == "" || strings.ContainsAny(key, "= \t\n") {
				t.Fatalf("%q has the key %q", src, key)
			}
		}
	})
}
