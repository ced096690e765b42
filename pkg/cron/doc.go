// Package cron turns schedule expressions into instants, and instants into wake-ups.
//
// go-cron parses expressions and walks wall-clock times; it is given a calendar without a time zone. What an expression means
// in a zone is decided here, because that is where cron implementations differ:
//
//   - A wall time that does not exist (the clocks go forward) is due once, at the first instant after the gap, however many
//     times of the schedule fell into it. A schedule that runs in every hour has nothing to catch up and ignores the gap.
//   - A wall time that exists twice (the clocks go back) is due once, the first time, when the schedule names fixed times
//     ("30 1 * * *", "0,30 1-3 * * *"). A schedule whose hour, minute or second field begins with "*" is one of intervals
//     ("*/15 * * * *", "30 * * * *") and is due both times, as each interval passes.
//   - "@every 5m" knows no zone: it is due at the multiples of five minutes since 1970-01-01T00:00:00Z. Thus its instants are
//     the same before and after a restart.
//   - Day of month and day of week: when both are restricted, a day matches when either does; a field that begins with "*" is
//     not a restriction, and then both have to match. It is the rule of Vixie cron.
//
// Instants are whole seconds. The time zone database is part of the program, for machines that have none.
//
// The package knows neither jobs nor processes. The history of runs is in its folder ledger, the reading of crontabs in crontab.
package cron
