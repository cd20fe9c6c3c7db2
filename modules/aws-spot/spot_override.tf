# What differs from the module aws, whose files are beside this one: every
# machine is a spot instance.

terraform {
  required_providers {
    aws = {
      source = "registry.terraform.io/hashicorp/aws"
      # Older ones lack the argument; 5.100 was tried.
      version = ">= 5.100, < 7.0"
    }
  }
}

resource "aws_instance" "server" {
  instance_market_options {
    market_type = "spot"
  }
  lifecycle {
    # How an instance was bought cannot change; a look at it that fails must
    # replace nothing.
    ignore_changes = [ami, instance_market_options]
  }
}
