variable "environment_id" { type = string }
variable "cloud" { type = string }

data "terraform_remote_state" "found" {
  backend = "http"
  config  = { address = "${var.cloud}/found?environment=${var.environment_id}" }
}

output "found" {
  value = data.terraform_remote_state.found.outputs.found
}
