// Package modules holds the Terraform modules that come with Berth, one folder
// a target, embedded into the binary.
//
// Every module keeps one contract, a team's own modules too. Inputs:
// environment_id (string), servers (map of app → object with id, app, port,
// uid, user_data, variables and needed_by, the apps of the set that need this
// one; user_data is sensitive), tags (map of string), and one input for each of the target's variables. Output: servers, a map of
// server ID → {address, private_address, provider_id}. Object attributes that
// a module has no use for can be left out of its type.
package modules

import (
	"embed"
	"io/fs"
)

//go:embed local aws hcloud
var files embed.FS

// FS is the folder of modules: each entry of its root is one module.
func FS() fs.FS { return files }
