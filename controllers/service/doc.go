// Package service reconciles the kind Service: it brings the processes that run to what the manifest and the operator want.
//
// A service has slots, one for each replica. A slot holds at most one live run; the keeper guarantees it. For each slot:
//
//	             ┌────────────── nextStart ◄── Backoff ◄─┐
//	             ▼                                       │ exit, and the policy restarts
//	Pending ─► Starting ─► Running ◄─► Unready ──────────┤
//	   ▲                                                 ├─► Complete   exit, and the policy is content
//	   │ edit, start, restart                            └─► Failed     too many in a row
//	   └───────────────── Stopped ◄── Stopping ◄── stop, edit, liveness, scale down
//
// Deciding (plan.go) is pure: desired × observed × memory × now → actions, conditions, the time of the next look. Acting
// (apply.go) has no ifs. What the deciding has to remember between two looks (attempts, backoff, what was given up) is in the
// status, so that a manager that comes back goes on where the one before it stopped.
package service
