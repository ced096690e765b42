// Package wire holds the bodies of the HTTP API: what api/rest writes and api/client reads.
//
// It is values only, with the JSON names that the contract fixes. It knows api/v1 and nothing else of ours.
package wire
