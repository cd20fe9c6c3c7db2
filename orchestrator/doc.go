// Package orchestrator is the domain of Berth: environments, servers and
// operations, the rules by which they change, and the ports through which the
// use cases reach the world. It imports the standard library alone; adapters
// (store, branch, terraform, httpapi …) import it, never the reverse.
package orchestrator
