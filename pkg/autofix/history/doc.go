// Package history remembers every repair that was tried: why, by whom, what it changed, what it cost and what became of it; and for
// each folder what was checked out when it last ran well.
//
// It has a SQLite file of its own. When that is damaged it is set aside and begun anew: backups are files, and stay.
package history
