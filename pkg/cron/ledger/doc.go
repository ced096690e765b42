// Package ledger keeps what became of each scheduled instant of each cron job, in a SQLite file of its own.
//
// An instant has one row: it ran (succeeded, failed, timed out, was stopped), was skipped (overlap, paused, deadline), or was
// missed (the supervisor was down, the machine slept). Retries are further rows of the same instant, with the next attempt
// number. The database itself guards that: UNIQUE (job, instant, attempt).
//
//	        ┌──────────────► Skipped, Missed
//	(due) ──┤                    ▲
//	        └─► Pending ─────────┤
//	               └─► Running ──┴─► Succeeded, Failed, TimedOut, Stopped
//
// A row is claimed as Pending in the transaction that moves the job's Through mark past its instant, before anything is started:
// a crash between two steps leaves either no trace of the instant, and it is looked at again, or its claim, which is carried on.
//
// The store decides nothing and knows neither schedules nor processes.
package ledger
