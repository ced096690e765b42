// Package alert tells people, by webhook, when an object is in trouble and when it is well again.
//
//	Observation (what is so) ──► decide (pure) ──► Alert ──► outbox of each channel ──► HTTP
//	                               ▲    │                    bounded, rate limited,
//	                     state of (rule, object)             retried with backoff
//
// Observations are level-triggered, like everything else: the caller says what is so as often as it likes, and an alert
// goes out once when a rule begins to hold and once when it has ceased to. Nothing polls; one timer waits for the next
// moment at which time alone makes a difference.
//
// The package knows objects by name only. It may not know manifests, the status store or who runs the processes.
package alert
