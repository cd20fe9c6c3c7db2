# A team's own target: its cloud is a folder, in which each machine is a file.
# The tests' machines follow that folder.

terraform {
  required_version = ">= 1.5.7"
}

variable "environment_id" { type = string }

variable "servers" {
  type = map(object({
    id        = string
    user_data = string
  }))
}

variable "tags" {
  type    = map(string)
  default = {}
}

variable "folder" { type = string }

locals {
  # An address of its own for each server: nobody here gives addresses away.
  addresses = {
    for app, server in var.servers : app => format("10.%d.%d.%d", [
      for at in [0, 2, 4] : parseint(substr(sha256(server.id), at, 2), 16) % 250 + 2
    ]...)
  }
}

resource "terraform_data" "machine" {
  for_each = var.servers

  input            = { path = "${var.folder}/${each.value.id}" }
  triggers_replace = [each.value.id, nonsensitive(sha256(each.value.user_data))]

  provisioner "local-exec" {
    command = "printf '%s' \"$MACHINE\" >\"$FILE.new\" && mv \"$FILE.new\" \"$FILE\""
    environment = {
      FILE    = self.input.path
      MACHINE = jsonencode({ address = local.addresses[each.key], user_data = each.value.user_data })
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "rm -f \"$FILE\""
    environment = { FILE = self.input.path }
  }
}

output "servers" {
  value = {
    for app, machine in terraform_data.machine : var.servers[app].id => {
      address         = local.addresses[app]
      private_address = local.addresses[app]
      provider_id     = machine.id
    }
  }
}
