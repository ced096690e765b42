// Package reconcile is the loop that every kind shares: a queue of names and workers that reconcile one name at a time.
//
// A name says that something about the object may be different, never what. It can be added any number of times, from any
// number of places, and is reconciled at least once after the last of them; never by two workers at once. An error is tried
// again with exponential backoff, a Terminal one is not, a Waiting one after its own time; RequeueAfter asks for a later
// look. The package knows no kind.
package reconcile
