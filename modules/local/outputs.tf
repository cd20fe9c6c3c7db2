output "servers" {
  description = "Server ID → where it is."
  value = {
    for app, server in terraform_data.server : var.servers[app].id => {
      address         = "127.0.0.1"
      private_address = "127.0.0.1"
      provider_id     = server.id
    }
  }
}
