output "servers" {
  description = "Server ID → where it is."
  value = {
    for app, server in hcloud_server.server : var.servers[app].id => {
      address         = var.ipv4 ? server.ipv4_address : var.ipv6 ? server.ipv6_address : one(server.network[*].ip)
      private_address = one(server.network[*].ip)
      provider_id     = server.id
    }
  }
}
