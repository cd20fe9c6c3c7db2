# The demo's catalog: what can be built, and by which rules. Ops own this file.
# All paths are relative to it.

target "local" {
  module = "local" # servers on this machine; no account anywhere
}

app "api" {
  repository = "../repos/api" # anything that git can clone
  port       = 8080
  health     = "/healthz"
  settings   = "settings/api.env"
  build      = "make build"
  start      = "python3 app.py"
  public     = ["GREETING"] # may be shown; every other setting is masked
}

app "web" {
  repository = "../repos/web"
  port       = 8081
  health     = "/healthz"
  settings   = "settings/web.env"
  build      = "make build"
  start      = "python3 app.py"
  needs      = { API_URL = "api" } # the address of the same environment's api
}

blueprint "shop" {
  apps = ["api", "web"]
}

policy {
  lifetime                = "3d"
  max_lifetime            = "14d"
  environments_per_person = 3
}
