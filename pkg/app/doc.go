// Package app wires the parts of the supervisor together. It is the only place that knows all of them.
//
// It decides nothing about services: it makes the parts, fits the small interfaces that they declare onto each other, starts
// them in the order in which they need each other, and ends them in the reverse one.
package app
