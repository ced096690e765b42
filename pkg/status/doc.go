// Package status keeps what was observed: statuses, intents, chosen ports, the last good manifests, and the history of
// events. Nothing in it says what should run; when it is lost, everything converges again.
//
// Memory is what is read, SQLite is what survives:
//
//	SetStatus, RecordEvent, ...          Status, WaitStatus, Subscribe
//	      │                                      ▲
//	      ▼                                      │
//	   memory ───────────────────────────────────┘
//	      │ a batch, at most one each 10 ms
//	      ▼
//	   writer goroutine ──► supervisor.db ──► Events (history that memory does not hold)
//
// A disk that is full or read-only makes the store Degraded: it goes on from memory and tries again. A database that is
// damaged is set aside as supervisor.db.corrupt-TIME, and a new one is written from memory.
//
// It is the only package, beside logs and metrics, that knows the database; it knows api/v1 and nothing else of ours.
package status
