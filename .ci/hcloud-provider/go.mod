// The provider of Hetzner Cloud that tests run: a module of its own, so that
// what it needs is no concern of Berth's. go.sum pins it. The proxy does not
// list its versions; for another one write it here, then
//
//	GONOSUMDB='github.com/hetznercloud/*' go build -mod=mod -o /dev/null github.com/hetznercloud/terraform-provider-hcloud
module hcloud-provider

go 1.26.8

require github.com/hetznercloud/terraform-provider-hcloud v1.68.0
