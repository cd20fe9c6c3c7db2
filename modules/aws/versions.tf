terraform {
  # 1.5.7 is the oldest that is tested.
  required_version = ">= 1.5.7"
  required_providers {
    aws = {
      source = "registry.terraform.io/hashicorp/aws"
      # Only what all of these have is used; 3.39 is what the tests run.
      version = ">= 3.39, < 7.0"
    }
  }
}
