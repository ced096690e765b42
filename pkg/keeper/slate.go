package keeper

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slate is memory that outlives the keeper: a file beside the FIFOs, mapped. What is read from a pipe goes into one of its
// blocks, by the read itself, and what is done with it is noted in the run's slot before it is done. A keeper that is
// killed at any instruction so leaves all that the next one needs to bring the work to its end, once: see stream.recover.
//
// It needs no sync: it has to survive a process, not the machine, and SIGKILL takes no store back.
//
//	page 0: magic, canary │ blocks, one for each worker │ slots, one for each run
//
// Where no file system in memory is found, or it is full, the memory is private and everything else is the same; then a
// block under way can be lost with the keeper, and the log says so.
type slate struct {
	f      *os.File // nil: private memory
	canary [canarySize]byte
	blocks []byte

	mu    sync.Mutex
	free  []*slot
	found map[slotKey]*slot // of an earlier keeper, and not yet claimed
	end   int64             // of the file, where the next slots go
}

const (
	slateMagic = "supervisor slate 1\n"
	slatePage  = 4096
	slotStart  = slatePage + maxWorkers*blockSize
	// slotChunk is how much is mapped at once for slots, in bytes.
	slotChunk = 32 << 10
	slotSize  = 512
	slotWords = slotSize / 8
	noteWords = 15
	// firstRoom is what a block has at first; it gets all of blockSize once a pipe has more than that.
	firstRoom = 16 << 10
	// canarySize is how many bytes at the end of what a read will fill tell whether it was done.
	canarySize = 16
)

// openSlate maps the slate of a folder, that of an earlier keeper if there is one. Without a path, or when that fails, it
// is private memory.
func openSlate(path string) (*slate, error) {
	s := &slate{found: map[slotKey]*slot{}}
	err := s.open(path)
	if err == nil {
		return s, nil
	}
	if s.f != nil {
		_ = s.f.Close()
	}
	s = &slate{found: map[slotKey]*slot{}}
	if err := s.newCanary(); err != nil {
		return nil, err
	}
	if s.blocks, err = unix.Mmap(-1, 0, maxWorkers*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, fmt.Errorf("get memory: %w", err)
	}
	return s, nil
}

// shared tells whether a later keeper will find what is noted.
func (s *slate) shared() bool { return s.f != nil }

var errNoSlate = errors.New("no folder in memory")

func (s *slate) open(path string) (err error) {
	var fs unix.Statfs_t
	if path == "" || unix.Statfs(filepath.Dir(path), &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
		return errNoSlate
	}
	if s.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
		return err
	}
	head := make([]byte, len(slateMagic)+canarySize)
	known := false
	if n, _ := s.f.ReadAt(head, 0); n == len(head) && string(head[:len(slateMagic)]) == slateMagic {
		known = true
		copy(s.canary[:], head[len(slateMagic):])
	} else if err := s.create(head); err != nil {
		return err
	}
	s.blocks, err = unix.Mmap(int(s.f.Fd()), slatePage, maxWorkers*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map: %w", err)
	}
	s.end = slotStart
	if !known {
		return nil
	}
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	for s.end+slotChunk <= info.Size() {
		slots, err := s.mapSlots()
		if err != nil {
			return err
		}
		for _, sl := range slots {
			if key := sl.key(); key != (slotKey{}) {
				s.found[key] = sl
			} else {
				s.free = append(s.free, sl)
			}
		}
	}
	return nil
}

// create begins a new file. The magic comes last: a file without it is begun anew.
func (s *slate) create(head []byte) error {
	if err := s.newCanary(); err != nil {
		return err
	}
	if err := s.f.Truncate(0); err != nil {
		return err
	}
	if err := unix.Fallocate(int(s.f.Fd()), 0, 0, slatePage); err != nil {
		return err
	}
	if err := s.f.Truncate(slotStart); err != nil {
		return err
	}
	copy(head, slateMagic)
	copy(head[len(slateMagic):], s.canary[:])
	if _, err := s.f.WriteAt(head[len(slateMagic):], int64(len(slateMagic))); err != nil {
		return err
	}
	_, err := s.f.WriteAt(head[:len(slateMagic)], 0)
	return err
}

// newCanary chooses bytes that no text has: none of them occurs in UTF-8.
func (s *slate) newCanary() error {
	const never = "\xc0\xc1\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff"
	if _, err := rand.Read(s.canary[:]); err != nil {
		return err
	}
	for i, c := range s.canary {
		s.canary[i] = never[int(c)%len(never)]
	}
	return nil
}

// mapSlots maps the next slots of the file; those that are not there yet are made.
func (s *slate) mapSlots() ([]*slot, error) {
	var mem []byte
	if s.f == nil {
		mem = make([]byte, slotChunk)
	} else {
		// Reserved first: a file system that is full must refuse this call, not kill us at the first store.
		if err := unix.Fallocate(int(s.f.Fd()), 0, s.end, slotChunk); err != nil {
			return nil, fmt.Errorf("reserve: %w", err)
		}
		var err error
		if mem, err = unix.Mmap(int(s.f.Fd()), s.end, slotChunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return nil, fmt.Errorf("map: %w", err)
		}
	}
	s.end += slotChunk
	slots := make([]*slot, 0, slotChunk/slotSize)
	for at := 0; at < slotChunk; at += slotSize {
		slots = append(slots, &slot{words: (*[slotWords]uint64)(unsafe.Pointer(&mem[at])), mem: mem}) //nolint:gosec // Aligned: at is a multiple of 512.
	}
	return slots, nil
}

// take returns the slot of a run: the one that an earlier keeper has filled, else an empty one. It is nil when there is no
// room; then a later keeper finds no note of the run.
func (s *slate) take(fifo string) *slot {
	key := keyOf(fifo)
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.found[key]; sl != nil {
		delete(s.found, key)
		sl.old = true
		return sl
	}
	if len(s.free) == 0 {
		slots, err := s.mapSlots()
		if err != nil {
			return nil
		}
		s.free = slots
	}
	sl := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	clear(sl.words[2:])
	sl.words[1] = key[1]
	atomic.StoreUint64(&sl.words[0], key[0])
	return sl
}

// put gives a slot back once its run has ended and that is on record.
func (s *slate) put(sl *slot) {
	if sl == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(sl)
}

func (s *slate) putLocked(sl *slot) {
	atomic.StoreUint64(&sl.words[0], 0)
	sl.words[1] = 0
	sl.old = false
	s.free = append(s.free, sl)
}

// sweep frees the slots that belong to no run any more.
func (s *slate) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, sl := range s.found {
		delete(s.found, key)
		s.putLocked(sl)
	}
}

// block is the memory of a worker. grow returns it with room for more than firstRoom bytes, where there is some.
func (s *slate) block(i int) []byte { return s.reserve(i, firstRoom) }
func (s *slate) grow(i int) []byte  { return s.reserve(i, blockSize) }

// at is what lies in a block.
func (s *slate) at(i, n int) []byte {
	if i < 0 || i >= maxWorkers || n < 0 || n > blockSize {
		return nil
	}
	return s.blocks[i*blockSize : i*blockSize+n : (i+1)*blockSize]
}

// reserve returns n bytes of a block; nil when the file system is full.
func (s *slate) reserve(i, n int) []byte {
	if s.f != nil {
		if err := unix.Fallocate(int(s.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, int64(slatePage+i*blockSize), int64(n)); err != nil {
			return nil
		}
	}
	b := s.at(i, n)
	// A read by the kernel must not have to wait for a page: it could be ended in the middle.
	for at := 0; at < n; at += slatePage {
		b[at] = 0
	}
	return b
}

// guard marks the end of what a read is about to fill.
func (s *slate) guard(b []byte) { copy(b[max(0, len(b)-canarySize):], s.canary[:]) }

// filled tells whether the read that was to fill b was done. A read from a pipe is done whole or not at all: what is copied
// is there, and nothing of it waits.
func (s *slate) filled(b []byte) bool {
	tail := b[max(0, len(b)-canarySize):]
	return string(tail) != string(s.canary[:len(tail)])
}

// remove takes the file away.
func (s *slate) remove() {
	if s.f != nil {
		_ = unix.Unlink(s.f.Name())
	}
}

// slotKey is a run's name: the hash of the path of its FIFOs, which no two runs share.
type slotKey [2]uint64

func keyOf(fifo string) slotKey {
	h := fnv.New128a()
	_, _ = h.Write([]byte(fifo)) // a hash takes everything
	var sum [16]byte
	h.Sum(sum[:0])
	key := *(*slotKey)(unsafe.Pointer(&sum)) //nolint:gosec // Two words either way.
	key[0] |= 1                              // 0 is an empty slot
	return key
}

// slot has the notes of a run: for each of its outputs two, of which the one with the higher number holds. The other one is
// written to, and its number last, so that there is a whole one at any moment.
type slot struct {
	words *[slotWords]uint64
	mem   []byte // keeps it
	old   bool   // an earlier keeper has filled it
}

func (sl *slot) key() slotKey { return slotKey{sl.words[0], sl.words[1]} }

// phase is what a stream is at.
type phase uint8

const (
	idle    phase = iota
	reading       // a block is being read, or was read; nothing of it is in a file
	writing       // the block is being written to the file that is named
	closing       // the end of the output is being written
)

// note says how far a stream is.
type note struct {
	phase    phase
	block    int   // the block that is under way
	size     int   // its length
	done     int   // how much of it is in the files already
	at       int64 // when it was read: the time of its lines, Unix nanoseconds
	dev, ino uint64
	base     int64 // size of the file where the rest of the block begins
	limit    int64 // where the file is rotated
	begun    bool  // of the program's line something is in the file
	length   int   // of it
	skip     bool  // its rest is dropped
	mine     bool  // the file ends in the middle of this line
	foreign  bool  // the file ends in the middle of another's line
	pending  dropCount
	total    dropCount
	errno    syscall.Errno // why
}

// dropCount is process.Dropped in words of fixed size.
type dropCount struct{ bytes, lines int64 }

// The flags of a note, in one word with its phase.
const (
	flagBegun = 1 << (8 + iota)
	flagSkip
	flagMine
	flagForeign
)

// write notes n for output i of the run.
func (sl *slot) write(i int, n *note) {
	a := sl.words[2+i*2*noteWords:][:noteWords]
	b := sl.words[2+i*2*noteWords+noteWords:][:noteWords]
	seq := max(a[0], b[0]) + 1
	if a[0] > b[0] {
		a = b
	}
	flags := uint64(n.phase)
	for _, f := range [...]struct {
		set  bool
		flag uint64
	}{{n.begun, flagBegun}, {n.skip, flagSkip}, {n.mine, flagMine}, {n.foreign, flagForeign}} {
		if f.set {
			flags |= f.flag
		}
	}
	a[1] = flags
	a[2] = uint64(n.block)<<32 | uint64(n.size)
	a[3] = uint64(n.at)
	a[4], a[5] = n.dev, n.ino
	a[6], a[7] = uint64(n.base), uint64(n.limit)
	a[8], a[9] = uint64(n.done), uint64(n.length)
	a[10], a[11] = uint64(n.pending.bytes), uint64(n.pending.lines)
	a[12], a[13] = uint64(n.total.bytes), uint64(n.total.lines)
	a[14] = uint64(n.errno)
	atomic.StoreUint64(&a[0], seq)
}

// read returns what was noted of output i.
func (sl *slot) read(i int) note {
	a := sl.words[2+i*2*noteWords:][:noteWords]
	if b := sl.words[2+i*2*noteWords+noteWords:][:noteWords]; b[0] > a[0] {
		a = b
	}
	return note{
		phase: phase(a[1]), block: int(a[2] >> 32), size: int(uint32(a[2])), at: int64(a[3]), dev: a[4], ino: a[5],
		base: int64(a[6]), limit: int64(a[7]), done: int(a[8]), length: int(a[9]),
		begun: a[1]&flagBegun != 0, skip: a[1]&flagSkip != 0, mine: a[1]&flagMine != 0, foreign: a[1]&flagForeign != 0,
		pending: dropCount{int64(a[10]), int64(a[11])}, total: dropCount{int64(a[12]), int64(a[13])}, errno: syscall.Errno(a[14]),
	}
}
