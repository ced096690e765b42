package logs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrClosed is returned by a Store that was closed.
var ErrClosed = errors.New("the log index is closed")

// Level is how serious an entry is. The zero Level stands for any.
type Level uint8

// The levels that all words for them are reduced to.
const (
	Debug Level = iota + 1
	Info
	Warning
	Error
)

// String is the level as the API writes it.
func (l Level) String() string {
	switch l {
	case Debug:
		return "debug"
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return ""
}

// ParseLevel reads what String writes; the empty string is any level.
func ParseLevel(s string) (Level, error) {
	for l := Level(0); l <= Error; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is no level; use debug, info, warning or error", s)
}

// Stream is one of the two outputs of a program. The empty Stream stands for both.
type Stream string

// The outputs of a program.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Source is a folder that the output of one replica of a service goes to.
type Source struct {
	Service string
	Replica int
	// Dir holds stdout.log and stderr.log, and stdout.log.1 (the newest) and so on. It is made when it is missing.
	Dir string
	// Budget bounds what is stored of the service; the zero Budget means the Store's default.
	Budget Budget
	// Retention is how long rows of the service are kept; zero means the Store's default.
	Retention time.Duration
}

// Budget is how much of a service's output is stored. What is beyond it is counted, and stays in the files.
type Budget struct {
	// Rate is how many lines a second may come in the long run; negative means any number.
	Rate float64
	// Burst is how many lines may come at once.
	Burst int
}

// Row is an entry: a line, or several that belong together, such as a stack trace.
type Row struct {
	// ID grows with each row. It is unique within one database.
	ID      int64
	Service string
	Replica int
	Stream  Stream
	Level   Level
	// Time is when the keeper has read the first line of the entry.
	Time time.Time
	// Text is what was printed, with colours, without the final newline. It may hold any bytes.
	Text string
	// Continued is true when Text goes on where the row before it of the same stream ended, in the middle of a line.
	Continued bool
	// Marker is true for a row that the supervisor has written, about lines that are not there.
	Marker bool
	// Skipped is how many lines a marker stands for; 0 when nobody knows.
	Skipped int64
}

// Cursor is a place between rows. The zero Cursor is before all of them.
type Cursor struct {
	// Epoch tells databases apart: IDs begin anew in a new one.
	Epoch uint32
	ID    int64
	// At is the time of the row in Unix nanoseconds; it finds the place again in another database.
	At int64
}

// IsZero reports whether the cursor is before all rows.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String is the cursor as a client keeps it.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return strconv.FormatUint(uint64(c.Epoch), 36) + "-" + strconv.FormatInt(c.ID, 36) + "-" + strconv.FormatInt(c.At, 36)
}

// ParseCursor reads what String writes.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	bad := fmt.Errorf("%.80q is no cursor of a log; begin without one", s)
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return Cursor{}, bad
	}
	epoch, err := strconv.ParseUint(parts[0], 36, 32)
	if err != nil {
		return Cursor{}, bad
	}
	id, err := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || id < 0 {
		return Cursor{}, bad
	}
	at, err := strconv.ParseInt(parts[2], 36, 64)
	if err != nil {
		return Cursor{}, bad
	}
	return Cursor{Epoch: uint32(epoch), ID: id, At: at}, nil
}
