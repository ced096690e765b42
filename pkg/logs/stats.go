package logs

import (
	"os"
	"sync"
	"sync/atomic"
)

// stats are the figures that Run keeps.
type stats struct {
	rows, lines, bytes, skipped atomic.Int64
	polled                      atomic.Int64
	degraded                    atomic.Pointer[error]

	mu      sync.Mutex
	places  map[string]place // by path
	missing map[string]int64 // skipped lines by service
}

// place is how far a stream has been read, for those who ask.
type place struct {
	service string
	replica int
	stream  Stream
	off     int64
	inode   uint64
}

// place notes how far a stream has been read.
func (s *stats) place(st *stream, l *logFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == nil {
		s.places = map[string]place{}
	}
	s.places[st.path] = place{service: st.service.name, replica: st.replica, stream: st.name, off: l.off, inode: l.ino}
}

func (s *stats) forget(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.places, path)
}

// skip counts lines that a marker stands for.
func (s *stats) skip(service string, lines int64) {
	s.skipped.Add(lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == nil {
		s.missing = map[string]int64{}
	}
	s.missing[service] += lines
}

// Figures are how the index does. Counters begin with the program.
type Figures struct {
	// Rows and Lines were stored, Bytes of their text; Skipped lines were not.
	Rows, Lines, Bytes, Skipped int64
	// Unwatched is how many folders are looked at every second because the kernel has no watch for them.
	Unwatched int
	// Streams are what is followed.
	Streams []StreamFigures
	// Services are the skipped lines of each service that has any.
	Services map[string]int64
	// DiskBytes is the size of the database's files.
	DiskBytes int64
}

// StreamFigures are those of one output of one replica.
type StreamFigures struct {
	Service string
	Replica int
	Stream  Stream
	// Lag is how many bytes of its current file are not read yet.
	Lag int64
}

// Stats returns the present figures.
func (s *Store) Stats() Figures {
	out := Figures{
		Rows: s.stats.rows.Load(), Lines: s.stats.lines.Load(), Bytes: s.stats.bytes.Load(), Skipped: s.stats.skipped.Load(),
		Unwatched: int(s.stats.polled.Load()), Services: map[string]int64{},
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.path + suffix); err == nil {
			out.DiskBytes += info.Size()
		}
	}
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	for name, n := range s.stats.missing {
		out.Services[name] = n
	}
	for path, p := range s.stats.places {
		out.Streams = append(out.Streams, StreamFigures{Service: p.service, Replica: p.replica, Stream: p.stream, Lag: p.lag(path)})
	}
	return out
}

// lag is how much of the file at the path is not read; all of it, when another one is read yet.
func (p place) lag(path string) int64 {
	id, info, err := identify(os.Stat(path))
	switch {
	case err != nil:
		return 0
	case id.ino != p.inode:
		return info.Size()
	}
	return max(0, info.Size()-p.off)
}
