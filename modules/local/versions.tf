terraform {
  # terraform_data is built in since 1.4; 1.5.7 is the oldest that is tested.
  required_version = ">= 1.5.7"
}
