terraform {
  # terraform_data is built in since 1.4; 1.5.7 is the oldest that is tested.
  required_version = ">= 1.5.7"

  required_providers {
    hcloud = {
      # The location of an address, in place of its datacenter, is since 1.60.
      source  = "registry.terraform.io/hetznercloud/hcloud"
      version = ">= 1.60.0, < 2.0.0"
    }
  }
}
