// Package testenv runs a whole supervisor in a temporary folder: the real binaries, a real keeper, real programs.
//
// The manager is a process of its own, so that kill -9 is real. Everything that was started is ended with the test, and
// nothing else: processes are found by the environment's own folder, never by name.
package testenv
