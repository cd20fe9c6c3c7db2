# What Berth gives every module.

variable "environment_id" {
  description = "The environment's immutable ID."
  type        = string
}

variable "servers" {
  description = "App → server. needed_by are the apps of the set that need this one; variables are the size's, over those of the target."
  type = map(object({
    id        = string
    app       = string
    port      = number
    user_data = string
    needed_by = list(string)
    variables = optional(object({
      instance_type = optional(string)
      disk_gb       = optional(number)
    }), {})
  }))

  # The provider would print the whole user-data. Terraform counts letters; in
  # base64 four stand for three bytes, less one for each "=" at the end.
  validation {
    condition = alltrue([
      for b in [for s in values(var.servers) : base64encode(s.user_data)] :
      length(b) / 4 * 3 - length(regexall("=", b)) <= 16384
    ])
    error_message = "AWS takes 16384 bytes of user-data a server; here it is longer. Shorten the user-data template."
  }
}

variable "tags" {
  description = "Tags for everything that can carry one."
  type        = map(string)
  default     = {}
}

# What the target sets.

variable "region" {
  description = "The region; without it AWS_REGION."
  type        = string
  default     = null
}

variable "instance_type" {
  description = "The type of the machines whose size names none."
  type        = string
  default     = "t3.small"
}

variable "disk_gb" {
  description = "The root volume's size where the size names none, in GiB; no less than the image's."
  type        = number
  default     = 16
}

variable "image" {
  description = "The image's ID, instead of image_name."
  type        = string
  default     = null
  validation {
    condition     = var.image == null || can(regex("^ami-[0-9a-f]+$", var.image))
    error_message = "The image is an ID such as ami-0123456789abcdef0; write a name into image_name."
  }
}

variable "image_name" {
  description = "The image's name, with * for what may differ: the newest one that image_owners have. An environment keeps the image that it began with for as long as that is there."
  type        = string
  default     = "debian-12-amd64-*"
}

variable "image_owners" {
  description = "Account IDs, or self. By default Debian's."
  type        = list(string)
  default     = ["136693071363"]
}

variable "subnet" {
  description = "The ID of the subnet for the machines; without it, the account's default network."
  type        = string
  default     = null
}

variable "public_ip" {
  description = "Whether machines get a public address; without it, as the subnet says."
  type        = bool
  default     = null
}

variable "ingress" {
  description = "Ranges of addresses that may reach the apps' ports, besides the servers of the same set that need them: [\"10.0.0.0/8\", \"2001:db8::/32\"]."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for range in var.ingress : can(cidrhost(range, 0))])
    error_message = "The ranges of ingress are written as 10.0.0.0/8 or 2001:db8::/32."
  }
}

variable "instance_profile" {
  description = "The name of an instance profile, for apps that use AWS themselves. Berth needs none."
  type        = string
  default     = null
}

variable "kms_key" {
  description = "The ARN of the key that encrypts the root volumes; without it, the account's default key."
  type        = string
  default     = null
}

variable "role" {
  description = "The ARN of a role that Berth takes on for its calls: another account's, for example."
  type        = string
  default     = null
}

variable "max_retries" {
  description = "How often a call that AWS refused for the moment is made again, ever more slowly."
  type        = number
  default     = 6
}

variable "endpoints" {
  description = "Where the services ec2, iam and sts are, in place of the region's own addresses: { ec2 = \"https://…\" }."
  type        = map(string)
  default     = {}
}
