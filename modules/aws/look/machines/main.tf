# The machines that carry the environment's tag, whoever knows of them. Older
# providers call an empty list an error, which Berth understands.

data "aws_instances" "mine" {
  instance_tags        = local.mine
  instance_state_names = ["pending", "running", "stopping", "stopped"]
}

data "aws_instance" "mine" {
  for_each    = toset(data.aws_instances.mine.ids)
  instance_id = each.value
}

output "found" {
  value = [for id, machine in data.aws_instance.mine : {
    provider_id = id
    server      = lookup(machine.tags, "berth:server", "")
    resource    = "aws_instance.server"
    # Another one each time that it was stopped and is started.
    address = machine.public_ip
    stopped = contains(["stopping", "stopped"], machine.instance_state)
  }]
}
