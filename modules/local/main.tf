# Servers on this machine: each is an agent in a folder of its own. An agent
# outlives Terraform; starting one that runs already is no error.

locals {
  options = concat(
    var.salt_call == "" ? [] : ["--salt-call", var.salt_call],
    var.git_config == "" ? [] : ["--git-config", var.git_config],
  )
}

resource "terraform_data" "server" {
  for_each = var.servers

  # What the destroy provisioner needs; it may look at nothing else. A change
  # here updates in place.
  input = {
    berth = var.berth
    dir   = "${var.root}/${each.value.id}"
  }

  # A server is another one when its ID or its user-data is. The digest tells
  # nothing about the token in it.
  triggers_replace = [each.value.id, nonsensitive(sha256(each.value.user_data))]

  # The interpreter is the program itself, the command its last argument: no
  # shell reads either.
  provisioner "local-exec" {
    interpreter = concat([self.input.berth, "agent", "start", "--uid", tostring(each.value.uid)], local.options, ["--dir"])
    command     = self.input.dir
    environment = { BERTH_USER_DATA = each.value.user_data }
    quiet       = true
  }

  # Berth sweeps the folder, the processes and the port afterwards, so a
  # failure here need not keep an environment alive.
  provisioner "local-exec" {
    when        = destroy
    on_failure  = continue
    interpreter = [self.input.berth, "agent", "stop", "--dir"]
    command     = self.input.dir
    quiet       = true
  }
}
