# What carries the environment's labels, whoever knows of it. Names are made of
# servers' IDs, as the module makes them.

terraform {
  required_version = ">= 1.5.7"
  required_providers {
    hcloud = {
      source  = "registry.terraform.io/hetznercloud/hcloud"
      version = ">= 1.60.0, < 2.0.0"
    }
  }
}

variable "tags" {
  type = map(string)
}

locals {
  labels = { for key in ["berth:environment", "berth:installation"] :
    trim(substr(replace(key, "/[^A-Za-z0-9_.-]+/", "-"), 0, 63), "-_.") =>
    trim(substr(replace(var.tags[key], "/[^A-Za-z0-9_.-]+/", "-"), 0, 63), "-_.")
  }
  selector = join(",", [for key, value in local.labels : "${key}=${value}"])
}

data "hcloud_servers" "mine" {
  with_selector = local.selector
}

data "hcloud_firewalls" "mine" {
  with_selector = local.selector
}

data "hcloud_primary_ips" "mine" {
  with_selector = local.selector
}

data "hcloud_networks" "mine" {
  with_selector = local.selector
}

output "found" {
  value = concat(
    [for x in data.hcloud_servers.mine.servers : {
      provider_id = tostring(x.id), server = x.name, resource = "hcloud_server.server", stopped = x.status == "off"
    }],
    [for x in data.hcloud_firewalls.mine.firewalls : {
      provider_id = tostring(x.id), server = trimprefix(x.name, "berth-"), resource = "hcloud_firewall.server", stopped = false
    }],
    [for x in data.hcloud_primary_ips.mine.primary_ips : {
      provider_id = tostring(x.id)
      server      = trimsuffix(trimprefix(x.name, "berth-"), "-${x.type}")
      resource    = "hcloud_primary_ip.${x.type}"
      stopped     = false
    }],
    [for x in data.hcloud_networks.mine.networks : {
      provider_id = tostring(x.id), server = "", resource = "hcloud_network.environment[0]", stopped = false
    }],
  )
}
