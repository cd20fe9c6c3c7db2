terraform {
  required_version = ">= 1.5.7"
  required_providers {
    aws = {
      source  = "registry.terraform.io/hashicorp/aws"
      version = ">= 3.39, < 7.0"
    }
  }
}

variable "environment_id" {
  type = string
}

variable "tags" {
  type = map(string)
}

variable "region" {
  type    = string
  default = null
}

variable "role" {
  type    = string
  default = null
}

variable "max_retries" {
  type    = number
  default = 6
}

variable "endpoints" {
  type    = map(string)
  default = {}
}

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
  # What tells this environment of this Berth from all others.
  mine = { for k in ["berth:environment", "berth:installation"] : k => var.tags[k] }
}
