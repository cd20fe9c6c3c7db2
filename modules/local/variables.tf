variable "environment_id" {
  description = "The environment's immutable ID."
  type        = string
}

variable "servers" {
  description = "App → server. uid is the user that the server runs as (0: the user that Berth runs as)."
  type = map(object({
    id        = string
    app       = string
    port      = number
    uid       = number
    user_data = string
  }))
}

variable "tags" {
  description = "Tags of the environment. Nothing on this machine carries tags; a cloud's module puts them on every resource."
  type        = map(string)
  default     = {}
}

variable "berth" {
  description = "Path of the berth binary."
  type        = string
}

variable "root" {
  description = "The folder below which each server has a folder of its own, named after its ID."
  type        = string
}

variable "salt_call" {
  description = "Path of salt-call; empty: the agent looks on its PATH."
  type        = string
  default     = ""
}

variable "git_config" {
  description = "Path of the git configuration that servers clone with; empty: git's own."
  type        = string
  default     = ""
}
