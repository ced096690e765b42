package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFrame bounds one frame's JSON in bytes. The largest is a Start with a whole environment (the kernel's own bound for
// arguments and environment together is about 2 MiB).
const MaxFrame = 4 << 20

// MinProtocol is the oldest version of the frames that is still spoken.
const MinProtocol = 1

// Verbs of requests, and of the two frames that the keeper sends unasked.
const (
	VerbHello    = "hello"
	VerbStart    = "start"
	VerbStop     = "stop"
	VerbSignal   = "signal"
	VerbForget   = "forget"
	VerbWatch    = "watch"
	VerbUpgrade  = "upgrade"
	VerbShutdown = "shutdown"

	VerbChange = "change" // a run changed or was forgotten
	VerbSynced = "synced" // every run that was there at the Watch has been sent
)

// Frame is the one shape on the socket, both ways: a big-endian uint32 length, then this as JSON. A request has an id and
// a verb; its answer has the same id and either a body or an error; an unasked frame has a verb and no id. Unknown fields
// are ignored, so that either side may be newer.
type Frame struct {
	ID    uint64          `json:"id,omitempty"`
	Verb  string          `json:"verb,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error *WireError      `json:"error,omitempty"`
}

// HelloRequest opens a connection: the versions that the caller speaks. The keeper answers with Hello, whose Protocol is
// the highest that both speak.
type HelloRequest struct {
	MinProtocol int    `json:"minProtocol"`
	MaxProtocol int    `json:"maxProtocol"`
	Version     string `json:"version,omitempty"` // of the caller's program, for the keeper's log
}

// StopRequest is the body of VerbStop.
type StopRequest struct {
	ID     RunID `json:"id"`
	Signal int   `json:"signal"`
	Grace  int64 `json:"grace"` // nanoseconds
}

// SignalRequest is the body of VerbSignal.
type SignalRequest struct {
	ID     RunID `json:"id"`
	Signal int   `json:"signal"`
	Tree   bool  `json:"tree,omitempty"`
}

// ForgetRequest is the body of VerbForget.
type ForgetRequest struct {
	ID RunID `json:"id"`
}

// UpgradeRequest is the body of VerbUpgrade: the program that the keeper is to become.
type UpgradeRequest struct {
	Path string `json:"path"`
}

// Change is the body of VerbChange and of the answer to VerbStart. Seq grows with each change within one connection;
// of two Changes of the same run the one with the higher Seq is newer.
type Change struct {
	Seq       uint64 `json:"seq"`
	Run       *Run   `json:"run,omitempty"`
	Forgotten RunID  `json:"forgotten,omitempty"`
}

// WireError is an error on the socket.
type WireError struct {
	Code    string      `json:"code"`
	Message string      `json:"message"`
	Start   *StartError `json:"start,omitempty"`
}

// wireCodes pairs the errors that a caller may tell apart with their names on the socket.
func wireCodes() map[string]error {
	return map[string]error{"slotTaken": ErrSlotTaken, "unknownRun": ErrUnknownRun, "busy": ErrBusy}
}

// remoteError is an error that the keeper sent: its words, and what it Is.
type remoteError struct {
	message string
	is      error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.is }

// ToWire turns an error into its form on the socket.
func ToWire(err error) *WireError {
	var start *StartError
	if errors.As(err, &start) {
		return &WireError{Code: "start", Message: err.Error(), Start: start}
	}
	for code, known := range wireCodes() {
		if errors.Is(err, known) {
			return &WireError{Code: code, Message: err.Error()}
		}
	}
	return &WireError{Code: "other", Message: err.Error()}
}

// Err turns a WireError back into an error that errors.Is and errors.As know.
func (w *WireError) Err() error {
	switch {
	case w == nil:
		return nil
	case w.Start != nil:
		return w.Start
	default:
		return &remoteError{message: w.Message, is: wireCodes()[w.Code]}
	}
}

// AppendFrame appends a frame with the given body (nil for none) to dst.
func AppendFrame(dst []byte, f Frame, body any) ([]byte, error) {
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return dst, fmt.Errorf("encode %s frame: %w", f.Verb, err)
		}
		f.Body = raw
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return dst, fmt.Errorf("encode %s frame: %w", f.Verb, err)
	}
	if len(raw) > MaxFrame {
		return dst, fmt.Errorf("encode %s frame: %d bytes are more than the %d that a frame may have", f.Verb, len(raw), MaxFrame)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(raw)))
	return append(dst, raw...), nil
}

// ReadFrame reads one frame. It returns io.EOF at a clean end, and an error for a frame that is cut off, too long or not
// JSON; the connection is of no use after that.
func ReadFrame(r io.Reader) (Frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return Frame{}, io.EOF
		}
		return Frame{}, fmt.Errorf("read frame length: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return Frame{}, fmt.Errorf("read frame: %d bytes are more than the %d that a frame may have", n, MaxFrame)
	}
	raw, err := readExactly(r, int(n))
	if err != nil {
		return Frame{}, fmt.Errorf("read frame of %d bytes: %w", n, err)
	}
	var f Frame
	if err := json.Unmarshal(raw, &f); err != nil {
		return Frame{}, fmt.Errorf("decode frame: %w", err)
	}
	return f, nil
}

// readExactly grows its buffer with what arrives, so that a length alone costs no memory.
func readExactly(r io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		at := len(buf)
		grow := min(n-at, max(step, at))
		buf = append(buf, make([]byte, grow)...)
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}
