//go:build race

package agent

// Without it every agent would wait for the race detector's second at its end.
func init() { ownPassedOn = append(ownPassedOn, "GORACE") }
