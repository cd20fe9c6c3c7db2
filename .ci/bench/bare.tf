# Three servers on this machine without Berth: what .ci/bench measures it
# against. All three are made at the same time.
variable "script" { type = string }
variable "repos" { type = string }
variable "salt_call" { type = string }
variable "states" { type = string }
variable "ports" { type = map(number) }

resource "terraform_data" "server" {
  for_each = var.ports
  input    = { script = var.script, dir = "${path.module}/${each.key}" }

  provisioner "local-exec" {
    command = "sh ${self.input.script} ${self.input.dir}"
    environment = {
      NAME      = each.key
      PORT      = each.value
      API_PORT  = var.ports["api"]
      REPO      = "${var.repos}/${each.key == "api" ? "api" : "web"}"
      SALT_CALL = var.salt_call
      STATES    = var.states
    }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "kill $(cat ${self.input.dir}/pid)"
  }
}
