# Servers at Hetzner Cloud: one network an environment, one firewall and one
# address a server. Names are IDs; what somebody calls an environment is in
# none of them.

locals {
  zones = {
    fsn1 = "eu-central", nbg1 = "eu-central", hel1 = "eu-central"
    ash  = "us-east", hil = "us-west", sin = "ap-southeast"
  }

  # Hetzner's alphabet of labels: letters, digits and -_. between them.
  labels = merge({ for key, value in var.tags :
    trim(substr(replace(key, "/[^A-Za-z0-9_.-]+/", "-"), 0, 63), "-_.") =>
    trim(substr(replace(value, "/[^A-Za-z0-9_.-]+/", "-"), 0, 63), "-_.")
  }, { berth-environment = var.environment_id })

  # A set stays together: what its first server is made of and where that is
  # holds for those to come. Before there is one, the catalog may be corrected.
  made     = data.hcloud_servers.made.servers
  location = concat(local.made[*].location, [var.location])[0]
  image    = concat(local.made[*].image, [local.chosen])[0]
  chosen   = var.image_selector == null ? var.image : try(tostring(data.hcloud_images.selected[0].images[0].id), "")
  zone     = coalesce(var.network_zone, lookup(local.zones, local.location, "eu-central"))

  own      = var.network == null || length(data.hcloud_networks.made.networks) > 0
  network  = local.own ? one(hcloud_network.environment[*].id) : var.network
  types    = { for app, s in var.servers : app => coalesce(s.variables.server_type, var.server_type) }
  isPublic = var.ipv4 || var.ipv6
}

# All data are lists, which may be empty: nothing that has gone meanwhile is in
# the way of a destroy.
data "hcloud_servers" "made" {
  with_selector = "berth-environment=${var.environment_id}"
}

data "hcloud_networks" "made" {
  with_selector = "berth-environment=${var.environment_id}"
}

data "hcloud_images" "selected" {
  count         = var.image_selector == null ? 0 : 1
  with_selector = var.image_selector
  with_status   = ["available"]
  most_recent   = true
}

resource "hcloud_network" "environment" {
  count    = local.own ? 1 : 0
  name     = "berth-${var.environment_id}"
  ip_range = var.ip_range
  labels   = local.labels

  lifecycle {
    ignore_changes = [ip_range]
  }
}

resource "hcloud_network_subnet" "environment" {
  count        = local.own ? 1 : 0
  network_id   = hcloud_network.environment[0].id
  type         = "cloud"
  network_zone = local.zone
  ip_range     = hcloud_network.environment[0].ip_range
}

# Hetzner filters what comes over public addresses alone. A firewall without a
# rule for what comes in lets nothing in.
resource "hcloud_firewall" "server" {
  for_each = local.isPublic ? var.servers : {}
  name     = "berth-${each.value.id}"
  labels   = local.labels

  # The provider does not take the last rule away. This one stays, and lets
  # nothing in: an address for documentation alone (RFC 5737).
  rule {
    description = "nobody"
    direction   = "in"
    protocol    = "icmp"
    source_ips  = ["192.0.2.0/32"]
  }

  dynamic "rule" {
    for_each = each.value.port != 0 && length(var.ingress) > 0 ? [each.value.port] : []
    content {
      description = each.value.app
      direction   = "in"
      protocol    = "tcp"
      port        = tostring(rule.value)
      source_ips  = var.ingress
    }
  }
}

# Addresses of their own carry labels, and stay when a server is replaced.
resource "hcloud_primary_ip" "ipv4" {
  for_each    = var.ipv4 ? var.servers : {}
  name        = "berth-${each.value.id}-ipv4"
  type        = "ipv4"
  location    = local.location
  auto_delete = false
  labels      = local.labels
}

resource "hcloud_primary_ip" "ipv6" {
  for_each    = var.ipv6 ? var.servers : {}
  name        = "berth-${each.value.id}-ipv6"
  type        = "ipv6"
  location    = local.location
  auto_delete = false
  labels      = local.labels
}

resource "hcloud_server" "server" {
  for_each     = var.servers
  name         = each.value.id
  server_type  = local.types[each.key]
  image        = local.image
  location     = local.location
  user_data    = each.value.user_data # another one replaces the server
  ssh_keys     = var.ssh_keys
  labels       = local.labels
  firewall_ids = local.isPublic ? [hcloud_firewall.server[each.key].id] : []
  # The disk stays as it is, so that a size can be made smaller again.
  keep_disk = true

  public_net {
    ipv4_enabled = var.ipv4
    ipv4         = var.ipv4 ? hcloud_primary_ip.ipv4[each.key].id : null
    ipv6_enabled = var.ipv6
    ipv6         = var.ipv6 ? hcloud_primary_ip.ipv6[each.key].id : null
  }

  network {
    network_id = local.network
    alias_ips  = [] # left out, every plan would attach the server again
  }

  timeouts {
    create = "20m"
  }

  lifecycle {
    # What a server began with: another one would replace it.
    ignore_changes = [image, location, ssh_keys]
    precondition {
      condition     = local.image != ""
      error_message = "There are no images matching the labels of image_selector."
    }
  }

  depends_on = [hcloud_network_subnet.environment] # what addresses come from
}
