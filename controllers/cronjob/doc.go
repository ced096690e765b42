// Package cronjob reconciles the kind CronJob: it sees to it that each scheduled instant of a job has exactly one outcome, and
// that the outcome is on record.
//
//	instant ─► due ─┬─► Pending ──► Running ──┬─► Succeeded
//	                │      │  ▲       (keeper)├─► Failed, TimedOut ──► Pending (next attempt), while retries are left
//	                │      │  └ jitter,       └─► Stopped
//	                │      │    backoff, a free slot, a run that has to end first
//	                │      └─► Skipped    overlap, deadline, paused, replaced
//	                ├─► Skipped           paused
//	                └─► Missed            down, asleep, and not caught up
//
// A request is a name; all that there is to do follows from the ledger's marks, the keeper's runs and the clock. Deciding
// (due.go, plan.go) is pure. What was decided is written before it is done, and what was done is written before the keeper may
// forget it. So a crash at any point is carried on from: an instant is claimed once, by the database's guard; a run is started
// once, by the keeper's; and its exit waits there until it is on record.
//
// The clock may be set, and the machine may sleep. Forward, the instants in between are late, and catch-up decides. Back, what
// did not run and is now to come again is withdrawn from the ledger, and what did run is not run again. Time limits are
// measured by a clock that cannot be set.
package cronjob
