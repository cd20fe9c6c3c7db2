# A team's own module under the contract. Its cloud is a server of the test,
# which a program calls; nothing is downloaded. Where both are comes from the
# target's environment, as credentials do: what is destroyed knows only itself.

variable "environment_id" { type = string }
variable "tags" { type = map(string) }
variable "servers" { type = any }
variable "cloud" { type = string }

resource "terraform_data" "firewall" {
  input = var.environment_id

  provisioner "local-exec" {
    command = "exec \"$CLOUD_PROGRAM\" cloud create \"$CLOUD_ADDRESS\" ${self.id} ${var.environment_id} '' terraform_data.firewall"
    quiet   = true
  }
  provisioner "local-exec" {
    when    = destroy
    command = "exec \"$CLOUD_PROGRAM\" cloud delete \"$CLOUD_ADDRESS\" ${self.id}"
    quiet   = true
  }
}

resource "terraform_data" "server" {
  for_each         = var.servers
  triggers_replace = [each.value.id, nonsensitive(sha256(each.value.user_data))]
  depends_on       = [terraform_data.firewall]

  provisioner "local-exec" {
    command     = "exec \"$CLOUD_PROGRAM\" cloud create \"$CLOUD_ADDRESS\" ${self.id} ${var.environment_id} ${each.value.id} terraform_data.server"
    environment = { USER_DATA = each.value.user_data }
    quiet       = true
  }
  provisioner "local-exec" {
    when    = destroy
    command = "exec \"$CLOUD_PROGRAM\" cloud delete \"$CLOUD_ADDRESS\" ${self.id}"
    quiet   = true
  }
}

output "servers" {
  value = { for app, server in terraform_data.server : var.servers[app].id => {
    address = "192.0.2.7", private_address = null, provider_id = server.id
  } }
}
