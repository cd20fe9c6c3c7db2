# A machine an app, in a firewall of its own. Resources carry the servers' IDs,
# never the environment's name, which may change.

provider "aws" {
  region      = var.region
  max_retries = var.max_retries

  dynamic "assume_role" {
    for_each = var.role == null ? [] : [var.role]
    content {
      role_arn     = assume_role.value
      session_name = "berth-${var.environment_id}"
    }
  }
  dynamic "endpoints" {
    for_each = length(var.endpoints) == 0 ? [] : [var.endpoints]
    content {
      ec2 = lookup(endpoints.value, "ec2", null)
      iam = lookup(endpoints.value, "iam", null)
      sts = lookup(endpoints.value, "sts", null)
    }
  }
}

locals {
  # AWS's alphabet for tags.
  tags = { for k, v in var.tags :
    substr(replace(k, "/[^\\pL\\pN\\pZ_.:/=+@-]/", "_"), 0, 128) => substr(replace(v, "/[^\\pL\\pN\\pZ_.:/=+@-]/", "_"), 0, 256)
  }
  server_tags = { for app, s in var.servers : app => merge(local.tags, { Name = s.id, "berth:server" = s.id, "berth:app" = s.app }) }

  # The image that the environment began with, while it is there.
  newest = var.image != null ? [] : data.aws_ami_ids.image[0].ids
  pinned = one(terraform_data.image[*].output)
  image  = var.image != null ? var.image : contains(local.newest, local.pinned) ? local.pinned : try(local.newest[0], local.pinned)

  # Who may reach whom: the servers that need one, at its port.
  peers = merge([for app, s in var.servers : {
    for from in s.needed_by : "${from} to ${app}" => { from = from, to = app } if s.port != 0 && contains(keys(var.servers), from)
  }]...)
  ingress = { for app, s in var.servers : app => s.port if s.port != 0 && length(var.ingress) > 0 }
}

# A list: unlike one image, it is no error when there is none any more, which
# must keep nobody from destroying.
data "aws_ami_ids" "image" {
  count  = var.image == null ? 1 : 0
  owners = var.image_owners
  filter {
    name   = "name"
    values = [var.image_name]
  }
  filter {
    name   = "state"
    values = ["available"]
  }
}

resource "terraform_data" "image" {
  count = var.image == null ? 1 : 0
  input = try(data.aws_ami_ids.image[0].ids[0], "")
  lifecycle {
    ignore_changes = [input]
    postcondition {
      condition     = self.input != ""
      error_message = "There is no image named ${var.image_name} that belongs to ${join(" or ", var.image_owners)} in the region. Correct image_name and image_owners in the target, or set image."
    }
  }
}

data "aws_subnet" "servers" {
  count = var.subnet == null ? 0 : 1
  id    = var.subnet
}

resource "aws_security_group" "firewall" {
  for_each    = var.servers
  name        = "berth-${each.value.id}"
  description = "A server of Berth's"
  vpc_id      = one(data.aws_subnet.servers[*].vpc_id)
  tags        = local.server_tags[each.key]
  lifecycle {
    # A server of another ID: its machine must leave the old one first.
    create_before_destroy = true
  }
}

# Out: code, packages and Berth itself.
resource "aws_security_group_rule" "out" {
  for_each          = var.servers
  security_group_id = aws_security_group.firewall[each.key].id
  type              = "egress"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = ["0.0.0.0/0"]
  ipv6_cidr_blocks  = ["::/0"]
}

resource "aws_security_group_rule" "peer" {
  for_each                 = local.peers
  security_group_id        = aws_security_group.firewall[each.value.to].id
  type                     = "ingress"
  protocol                 = "tcp"
  from_port                = var.servers[each.value.to].port
  to_port                  = var.servers[each.value.to].port
  source_security_group_id = aws_security_group.firewall[each.value.from].id
}

resource "aws_security_group_rule" "range" {
  for_each          = local.ingress
  security_group_id = aws_security_group.firewall[each.key].id
  type              = "ingress"
  protocol          = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_blocks       = [for range in var.ingress : range if !strcontains(range, ":")]
  ipv6_cidr_blocks  = [for range in var.ingress : range if strcontains(range, ":")]
}

# A change here replaces the machine, with every version of the provider.
resource "terraform_data" "user_data" {
  for_each         = var.servers
  triggers_replace = [each.value.id, nonsensitive(sha256(each.value.user_data))]
}

resource "aws_instance" "server" {
  for_each                    = var.servers
  ami                         = local.image
  instance_type               = coalesce(each.value.variables.instance_type, var.instance_type)
  subnet_id                   = var.subnet
  vpc_security_group_ids      = [aws_security_group.firewall[each.key].id]
  iam_instance_profile        = var.instance_profile
  associate_public_ip_address = var.public_ip
  user_data                   = each.value.user_data
  tags                        = local.server_tags[each.key]
  volume_tags                 = local.server_tags[each.key]

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted             = true
    kms_key_id            = var.kms_key
    volume_type           = "gp3"
    volume_size           = coalesce(each.value.variables.disk_gb, var.disk_gb)
    delete_on_termination = true
  }

  lifecycle {
    ignore_changes       = [ami]
    replace_triggered_by = [terraform_data.user_data[each.key]]
  }

  # Its first start needs the way out.
  depends_on = [aws_security_group_rule.out]
}
