// The OpenTofu that `make test-tofu` runs: a module of its own, so that what it
// needs is no concern of Berth's. go.sum pins it. A module's replace lines count
// only in the module that is built: OpenTofu's are repeated here. For another
// version write it here, compare the replace lines with those of its go.mod, then
//
//	go build -mod=mod -o /dev/null github.com/opentofu/opentofu/cmd/tofu
module opentofu
go 1.26.6
require github.com/opentofu/opentofu v1.12.6
replace github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
