package wire

import "time"

// LogEntry is a line, or several that belong together, such as a stack trace.
type LogEntry struct {
	// ID grows with each entry; it is unique within one index.
	ID      int64  `json:"id"`
	Service string `json:"service"`
	Replica int    `json:"replica"`
	Stream  string `json:"stream"`
	// Level is debug, info, warning or error.
	Level string    `json:"level"`
	Time  time.Time `json:"time"`
	Text  string    `json:"text"`
	// Cursor is that of a page which ends before this entry; with "+0" behind it, a stream resumes after this entry.
	Cursor string `json:"cursor"`
	// Marker is true for an entry that the supervisor has written, about lines that are not there; Skipped is how many.
	Marker  bool  `json:"marker,omitempty"`
	Skipped int64 `json:"skipped,omitempty"`
}

// LogPage is a page of entries, newest first.
type LogPage struct {
	Rows []LogEntry `json:"rows"`
	// Next is the cursor of the next page; empty when there is none. It is stable while entries arrive.
	Next string `json:"next"`
	// Partial is true when the search was ended because it took too long; Next goes on with it.
	Partial bool `json:"partial,omitempty"`
}

// LogStats says how the log of a service does.
type LogStats struct {
	// SkippedLines are in the files and not in the index: they came faster than the service's budget. Since the supervisor began.
	SkippedLines int64 `json:"skipped_lines"`
	// DroppedLines and DroppedBytes could not be written to the files, by the runs that are known.
	DroppedLines int64 `json:"dropped_lines"`
	DroppedBytes int64 `json:"dropped_bytes"`
	// LagBytes are written and not indexed yet.
	LagBytes int64 `json:"lag_bytes"`
	// IndexBytes is the size of the index of all services; Degraded is why it cannot be written, if so.
	IndexBytes int64  `json:"index_bytes"`
	Degraded   string `json:"degraded,omitempty"`
}

// LogSearch selects entries. Its zero value selects the newest ones of every service.
type LogSearch struct {
	// Services are names; none means all.
	Services []string
	// Level, Stream, Text and Regexp narrow the search; empty means all.
	Level, Stream, Text, Regexp string
	// Since is in, Until is out; zero means no bound.
	Since, Until time.Time
	// Cursor continues behind an earlier page.
	Cursor string
	Limit  int
}
