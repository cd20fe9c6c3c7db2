# What Berth gives every module.

variable "environment_id" {
  description = "The environment's immutable ID."
  type        = string
}

variable "servers" {
  description = "App → server. variables are the size's, over those of the target."
  type = map(object({
    id        = string
    app       = string
    port      = number
    user_data = string
    variables = optional(object({
      server_type = optional(string)
    }), {})
  }))

  validation {
    condition     = alltrue([for s in values(var.servers) : length(base64encode(s.user_data)) <= 43688])
    error_message = "Hetzner takes 32766 bytes of user-data a server; here it is longer. Shorten the user-data template."
  }
}

variable "tags" {
  description = "Labels for everything that can carry one, in any alphabet."
  type        = map(string)
  default     = {}
}

# What the target sets. HCLOUD_TOKEN comes from the environment.

variable "server_type" {
  description = "The type of the servers whose size names none."
  type        = string
  default     = "cx23"
}

variable "location" {
  description = "Where servers are: fsn1, nbg1, hel1, ash, hil or sin. A set stays where its first server was made."
  type        = string
  default     = "fsn1"
}

variable "network_zone" {
  description = "The network zone of a location that is newer than this module."
  type        = string
  default     = null
}

variable "image" {
  description = "The image's name, or the ID of a snapshot. A set keeps the one that its first server was made of."
  type        = string
  default     = "debian-12"
}

variable "image_selector" {
  description = "Instead of image, the labels of snapshots: the newest that has them when the first server of a set is made (\"berth=base\")."
  type        = string
  default     = null
}

variable "ipv4" {
  description = "Whether servers get a public IPv4 address. Without any public address they need a way out through the network."
  type        = bool
  default     = true
}

variable "ipv6" {
  description = "Whether servers get a public IPv6 address."
  type        = bool
  default     = false
}

variable "ingress" {
  description = "Ranges of addresses that may reach the apps' ports from the internet: [\"198.51.100.0/24\", \"2001:db8::/32\"]. The servers of the same set reach one another over their network."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for range in var.ingress : can(cidrhost(range, 0))])
    error_message = "The ranges of ingress are written as 198.51.100.0/24 or 2001:db8::/32."
  }
}

variable "ip_range" {
  description = "The range of an environment's own network, of at least /24. Networks do not know one another, so all may have the same."
  type        = string
  default     = "10.77.0.0/24"
  validation {
    condition     = can(cidrhost(var.ip_range, 1))
    error_message = "The ip_range is written as 10.77.0.0/24."
  }
}

variable "network" {
  description = "The ID of a network that is there, with a subnet in the location's zone, instead of one for each environment made from now on. All that is in it can reach all ports of the servers."
  type        = number
  default     = null
}

variable "ssh_keys" {
  description = "Names or IDs of SSH keys in the project, for the servers made from now on. Without any, Hetzner mails a root password for each server to the project's owner."
  type        = list(string)
  default     = []
}
