package reconcile

import (
	"errors"
	"time"
)

// errTimeout tells our own timeout from a cancel by whoever runs the loop.
var errTimeout = errors.New("reconcile took too long")

// terminal is an error that no repetition will mend.
type terminal struct{ err error }

func (t terminal) Error() string { return t.err.Error() }
func (t terminal) Unwrap() error { return t.err }

// Terminal marks an error as one that no repetition will mend: the object is looked at again when something changes.
func Terminal(err error) error { return terminal{err} }

// waiting is an error that is expected to pass.
type waiting struct {
	err   error
	after time.Duration
}

func (w waiting) Error() string { return w.err.Error() }
func (w waiting) Unwrap() error { return w.err }

// Waiting marks an error as one that is expected to pass: the object is looked at again after that time, without the
// backoff of other errors and without being counted among them.
func Waiting(err error, after time.Duration) error { return waiting{err, after} }
