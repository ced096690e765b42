// Package crontab reads the crontabs of Vixie cron and its descendants into manifests, and says what it could not carry over.
//
// What it makes does what cron did: no time limit, overlapping runs allowed, nothing caught up after downtime. Whoever wants the
// better defaults of a CronJob deletes those lines. A line that cannot be carried over faithfully is left out and named: a job
// that is missing and said to be is better than one that runs at the wrong time.
package crontab
