# The firewalls that carry the environment's tag.

data "aws_security_groups" "mine" {
  tags = local.mine
}

data "aws_security_group" "mine" {
  for_each = toset(data.aws_security_groups.mine.ids)
  id       = each.value
}

output "found" {
  value = [for id, group in data.aws_security_group.mine : {
    provider_id = id
    server      = lookup(group.tags, "berth:server", "")
    resource    = "aws_security_group.firewall"
    stopped     = false
  }]
}
