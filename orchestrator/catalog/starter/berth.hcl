# The catalog: what Berth may build, for whom, and where. Ops own this file and
# the settings that it names. Paths are relative to this folder.
#
#   berth validate     checks it, and every recipe and module that it names
#   berth reload       a running Berth reads it again (it also notices changes)

# Where servers run. "local" is this machine: no cloud, no account. A cloud's
# module takes variables, and gets only the variables of Berth's environment
# that are named here.
target "local" {
  module = "local"
}

# target "aws" {
#   module      = "aws"
#   variables   = { region = "eu-central-1" }
#   environment = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
# }

# target "hetzner" {
#   module      = "hcloud"
#   variables   = { location = "fsn1" }
#   environment = ["HCLOUD_TOKEN"]
# }

# Where Terraform keeps what it made: left out, beside it on this machine.
# state "s3" {
#   bucket       = "acme-terraform"
#   region       = "eu-central-1"
#   use_lockfile = true
#   environment  = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
# }

# How servers read a repository that is not public, where no GitHub App does
# it: credential = "api" in the app.
# credential "api" {
#   username   = "gitlab+deploy-token-1"
#   token_file = "/etc/berth/api.token"
# }

# Your own Salt recipes. Without this block there is only Berth's starter
# recipe "app": clone, build, write the .env, start.
salt {
  states  = "salt/states"
  version = "3008.3"
}

# terraform {
#   version = "~> 1.9"   # left out: Terraform 1.5.7 or newer, OpenTofu 1.6 or newer
# }

# One block for each repository that can be deployed.
app "api" {
  repository = "https://github.com/acme/api" # anything that git can clone
  branch     = "main"                        # when a command names none
  states     = ["app"]                       # Salt recipes, in their order
  port       = 8080
  health     = "/healthz" # must answer 2xx or 3xx before the server is ready
  settings   = "settings/api.env"
  build      = "make build"     # may be left out
  start      = "python3 app.py" # gets the .env and PORT, stays in the foreground
}

app "web" {
  repository = "https://github.com/acme/web"
  port       = 8081
  settings   = "settings/web.env"
  start      = "python3 app.py"

  # The variable API_URL gets the address of the api of the same environment.
  needs = { API_URL = "api" }
}

# The apps that make a full environment: berth env create NAME shop
blueprint "shop" {
  apps = ["api", "web"]
}

# Sizes give variables to a target's module.
size "small" {
  local = {}
  # aws = { instance_type = "t3.small" }
}

# Who is who. People that are not listed are developers, known by their Slack
# e-mail address or their operating-system account.
person "maria" {
  # slack = "U024BE7LH"
  # email = "maria@example.com"
  os_user = "maria"
  teams   = ["shop"]
}

# How long environments live, how many a person may have, and who may change
# whose: "own" (only one's own), "team" (those of one's team too) or "all".
# Owners are warned in Slack before the end; warnings = [] turns that off. Who
# could not be warned in time gets the grace first.
policy {
  lifetime                = "3d"
  max_lifetime            = "14d"
  environments_per_person = 3
  warnings                = ["24h", "2h", "30m"]
  grace                   = "30m"
  ops                     = ["maria"]
  create                  = "all"
  deploy                  = "team"
  destroy                 = "own"
}
