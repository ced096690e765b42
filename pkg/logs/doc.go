// Package logs keeps an index of what services print: it follows the files that the keeper writes, puts each entry into
// SQLite once, and answers questions about them.
//
// The files are the truth, the database is their index. A position in the files and the rows up to it are committed in one
// transaction, so each line is taken once, whatever is killed in between; a database that is lost is made again from
// the files that are left. Nothing here is in the way of a service: what comes faster than its budget is counted and not
// stored, and while the disk is full the files wait.
//
//	DIR/stdout.log, .1, .2 ──► stream (finds its place in the chain of rotated files)
//	inotify ──► Store.Run ──► scan (lines, levels, entries) ──► merge by time ──► budget ──► one transaction
//	                                                                                              │
//	                 Query, Read, Follow  ◄── segments: rows_N and their full-text index fts_N ◄──┘
//
// Rows lie in segments, which are tables of limited size, so that old ones are dropped whole: keeping a bound costs next
// to nothing, and writing goes on at full speed meanwhile. The full-text index trails the rows by a few thousand, and the
// gap is searched by reading it.
//
// One goroutine, Run, follows and writes. Readers have connections of their own.
//
// The package knows services by name only: it may not know manifests, runs, the keeper or HTTP.
package logs
