// Package processtest holds an honest in-memory process.Keeper for tests of those who use one, and the Suite that this
// fake and the real keeper both pass, so that a test against the fake says something about the truth.
//
// It starts no process and touches no file. Time is the package time's, so that it works within testing/synctest.
package processtest
