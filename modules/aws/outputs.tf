output "servers" {
  description = "Server ID → where it is."
  value = {
    for app, server in aws_instance.server : var.servers[app].id => {
      address         = coalesce(server.public_ip, server.private_ip)
      private_address = server.private_ip
      provider_id     = server.id
    }
  }
}
