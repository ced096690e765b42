// Package desired is the desired set in memory: which objects should be, in which version.
//
// It turns each listing of the manifest directory into the set that is in force, by four rules. A version that is broken
// leaves the last good one in force. What is missing from a listing is removed only when the listing is complete, and when not
// most of the set would go at once. Of two documents that claim one name, port or host, the one in force stays. An object that
// has not changed is not mentioned.
//
// It starts nothing and knows nothing of what runs.
package desired
