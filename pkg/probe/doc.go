// Package probe asks a program whether it is up, ready and alive: over HTTP, by a TCP connection, or by a command.
//
// A Prober runs the checks of any number of targets, each at its own pace, and tells changes of verdict only. The meaning
// of thresholds and delays is Kubernetes'. The package decides nothing about what a verdict leads to.
package probe
