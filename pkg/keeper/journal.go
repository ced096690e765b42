package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// entry is all that is durable of one run. Environment and arguments are not in it: they may hold secrets, and nobody
// needs them again.
type entry struct {
	Run        process.Run     `json:"run"`
	Ticks      uint64          `json:"ticks,omitempty"` // start of the leader, in clock ticks since boot
	StopSignal int             `json:"stopSignal,omitempty"`
	StopGrace  time.Duration   `json:"stopGrace,omitempty"`
	Logs       process.LogSpec `json:"logs"`
	Fifo       string          `json:"fifo,omitempty"`   // the FIFOs are Fifo.out and Fifo.err
	Limits     []string        `json:"limits,omitempty"` // cgroup v1 directories
	Stop       *stopOrder      `json:"stop,omitempty"`
	Earlier    process.Dropped `json:"earlier,omitzero"` // dropped under earlier keepers
	Leader     *process.Exit   `json:"leader,omitempty"` // how the leader ended, while its tree is not yet gone
}

// stopOrder is a Stop under way.
type stopOrder struct {
	Signal   int   `json:"signal"`
	Deadline int64 `json:"deadline"` // nanoseconds since boot: the clock on the wall may jump
}

// record is one line of the journal.
type record struct {
	Op      string        `json:"op"`
	ID      process.RunID `json:"id,omitempty"`
	Boot    string        `json:"boot,omitempty"`
	Session string        `json:"session,omitempty"`
	Entry   *entry        `json:"entry,omitempty"`
	PID     int           `json:"pid,omitempty"`
	Ticks   uint64        `json:"ticks,omitempty"`
	At      time.Time     `json:"at,omitzero"`
	Stop    *stopOrder    `json:"stop,omitempty"`
	Exit    *process.Exit `json:"exit,omitempty"`
}

// Operations in the journal.
const (
	opSession = "session" // first record: boot id and session
	opRun     = "run"     // before the fork, or the whole of a run after compaction
	opPID     = "pid"     // the fork has been done
	opStop    = "stop"    // a Stop was taken
	opLeader  = "leader"  // the leader has ended
	opExit    = "exit"    // nothing of the tree is left
	opForget  = "forget"
)

// journal is an append-only file of records, one write each; a torn or foreign line is skipped when it is read. Nothing
// is synced to disk: the file has to survive the keeper, and a power cut ends the runs as well.
//
// A journal that cannot be written (full disk) refuses nothing: it remembers that it is behind, and the next record that
// can be written is preceded by the whole state.
type journal struct {
	path     string
	snapshot func() []record // the whole state; called with mu held
	log      func(format string, args ...any)

	mu      sync.Mutex
	f       *os.File
	appends int
	behind  bool
	retryAt time.Time
}

const (
	// reserve is disk space in bytes that the journal holds from the start, so that a flood of output that fills the
	// disk leaves it room.
	reserve = 256 << 10
	// compactAfter is the number of records after which the journal is written anew.
	compactAfter = 4096
	// journalRetry is the pause between two attempts to catch up.
	journalRetry = time.Second
)

// loaded is what a journal says.
type loaded struct {
	boot, session string
	entries       []*entry // oldest first
}

// loadJournal reads a journal; one that is not there is empty.
func loadJournal(path string) (loaded, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return loaded{}, nil
	}
	if err != nil {
		return loaded{}, fmt.Errorf("read journal: %w", err)
	}
	return parseJournal(raw), nil
}

func parseJournal(raw []byte) loaded {
	var l loaded
	byID := map[process.RunID]*entry{}
	for line := range bytes.SplitSeq(raw, []byte{'\n'}) {
		var r record
		if json.Unmarshal(line, &r) != nil {
			continue // torn by a crash or a full disk
		}
		switch {
		case r.Op == opSession:
			l = loaded{boot: r.Boot, session: r.Session}
			clear(byID)
		case r.Op == opRun && r.Entry != nil && r.Entry.Run.ID != "":
			if byID[r.Entry.Run.ID] == nil {
				l.entries = append(l.entries, r.Entry)
			}
			byID[r.Entry.Run.ID] = r.Entry
		case byID[r.ID] != nil:
			if r.Op == opForget {
				gone := byID[r.ID]
				delete(byID, r.ID)
				l.entries = slices.DeleteFunc(l.entries, func(e *entry) bool { return e == gone })
				continue
			}
			byID[r.ID].apply(r)
		}
	}
	return l
}

func (e *entry) apply(r record) {
	switch r.Op {
	case opPID:
		e.Run.PID, e.Ticks, e.Run.StartedAt = r.PID, r.Ticks, r.At
	case opStop:
		e.Stop, e.Run.State = r.Stop, process.Stopping
	case opLeader:
		e.Leader = r.Exit
	case opExit:
		e.Run.Exit, e.Run.State = r.Exit, process.Exited
	}
}

// openJournal writes the whole state to a new journal in the place of the old one.
func openJournal(path string, snapshot func() []record, log func(string, ...any)) *journal {
	j := &journal{path: path, snapshot: snapshot, log: log}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rewriteLocked()
	return j
}

// append writes one record. The caller holds the lock that guards the state, so that records are in order.
func (j *journal) append(r record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.behind {
		if time.Now().Before(j.retryAt) {
			return
		}
		j.rewriteLocked() // the state holds what r says already
		return
	}
	j.appends++
	if j.appends > compactAfter {
		j.rewriteLocked()
		return
	}
	raw, err := json.Marshal(r)
	if err == nil {
		_, err = j.f.Write(append(raw, '\n'))
	}
	if err != nil {
		j.fellBehindLocked(err)
		_, _ = j.f.WriteString("\n") // ends what may have been torn
	}
}

func (j *journal) fellBehindLocked(err error) {
	if !j.behind {
		j.log("journal %s cannot be written: %v; runs go on, what changes now is known to this keeper only until there is room again", j.path, err)
	}
	j.behind, j.retryAt = true, time.Now().Add(journalRetry)
}

// rewriteLocked replaces the journal by the present state. When it fails the old file stays.
func (j *journal) rewriteLocked() {
	f, err := j.writeNew()
	if err != nil {
		j.fellBehindLocked(err)
		j.openOldLocked()
		return
	}
	if j.behind {
		j.log("journal %s is complete again", j.path)
	}
	if j.f != nil {
		_ = j.f.Close() // its records are in the new one
	}
	j.f, j.appends, j.behind = f, 0, false
}

// openOldLocked makes sure that there is a file to write to, even if it cannot be written at present.
func (j *journal) openOldLocked() {
	if j.f != nil {
		return
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		f = nil // a nil file refuses every write with an error, which is what we want
	}
	j.f = f
}

func (j *journal) writeNew() (*os.File, error) {
	var buf bytes.Buffer
	for _, r := range j.snapshot() {
		raw, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode record: %w", err)
		}
		buf.Write(raw)
		buf.WriteByte('\n')
	}
	tmp := j.path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, reserve) // not every file system can
	if _, err = f.Write(buf.Bytes()); err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(tmp)
		return nil, err
	}
	return f, nil
}

// bootID names the present boot of the machine.
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(raw))
}

// sinceBoot is the time since boot, sleep included.
func sinceBoot() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

func journalPath(dir string) string { return filepath.Join(dir, "journal") }
