package service

import "github.com/philiporange/supervisor/pkg/process"

// Current reports whether a run was given the program of this hash. When it is not, the reconciler replaces the run.
func Current(run *process.Run, hash string) bool { return run.Labels[labelHash] == hash }

// Replica is which of a service's replicas a run is.
func Replica(run *process.Run) int { return replicaOf(run.Slot) }
