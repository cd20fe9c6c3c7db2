//go:build race

package terraform

// What runs Terraform, and the agents' programs that Terraform starts, would
// each wait for the race detector's second at their end.
func init() { passed = append(passed, "GORACE") }
