// Package jobs runs work in the background that somebody waits for: repairs, onboarding, scans. A few run at a time, the others
// queue; each is a row in a SQLite file of its own, with a transcript beside it.
//
//	Start ─► Pending ─► Running ─┬─► Completed
//	            └───────┬────────┴─► Failed (error, timeout, cancelled, interrupted, panic)
//	                    └ the supervisor ended: settled by the next one
//
// A job that names a folder has it to itself, with all that is below and above it, from Start until its end: two agents that edit
// the same files undo each other's work. Who comes second is refused with a BusyError that names the first.
//
// The package knows neither agents nor services: what a job does is a function.
package jobs
