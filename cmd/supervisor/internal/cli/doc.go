// Package cli is the command line of the supervisor: verbs, flags, output, exit codes.
//
// Its habits are kubectl's. All but `run`, `validate` and `install` speak to a running supervisor through api/client. It
// decides nothing about services, and does not know the daemon: that comes in as a function (see Program).
package cli
