package process_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/pkg/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramesThereAndBack(t *testing.T) {
	spec := process.Spec{ID: "a", Argv: []string{"x", "\x00ü"}, Env: []string{"A=<b>&"}}
	out, err := process.AppendFrame(nil, process.Frame{ID: 7, Verb: process.VerbStart}, spec)
	if err != nil {
		t.Fatal(err)
	}
	out, err = process.AppendFrame(out, process.Frame{ID: 8, Error: process.ToWire(process.ErrBusy)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(out)
	f, err := process.ReadFrame(r)
	if err != nil || f.ID != 7 || f.Verb != process.VerbStart {
		t.Fatalf("%+v, %v", f, err)
	}
	if f, err = process.ReadFrame(r); err != nil || !errors.Is(f.Error.Err(), process.ErrBusy) {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err = process.ReadFrame(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFrameBounds(t *testing.T) {
	if _, err := process.AppendFrame(nil, process.Frame{}, make([]byte, process.MaxFrame)); err == nil {
		t.Error("a frame that is too long was encoded")
	}
	for name, raw := range map[string][]byte{
		"too long":  binary.BigEndian.AppendUint32(nil, process.MaxFrame+1),
		"cut off":   append(binary.BigEndian.AppendUint32(nil, 10), "{}"...),
		"half head": {0, 0},
		"not JSON":  append(binary.BigEndian.AppendUint32(nil, 2), "{]"...),
	} {
		if _, err := process.ReadFrame(bytes.NewReader(raw)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsOverTheWire(t *testing.T) {
	for _, want := range []error{process.ErrSlotTaken, process.ErrUnknownRun, process.ErrBusy} {
		got := process.ToWire(fmt.Errorf("words: %w", want)).Err()
		if !errors.Is(got, want) || got.Error() != "words: "+want.Error() {
			t.Errorf("%v became %v", want, got)
		}
	}
	var start *process.StartError
	in := &process.StartError{Reason: process.ReasonBadUser, Detail: "no such user"}
	if got := process.ToWire(fmt.Errorf("start: %w", in)).Err(); !errors.As(got, &start) || !cmp.Equal(start, in) {
		t.Errorf("%v became %v", in, got)
	}
	if got := process.ToWire(io.ErrShortWrite).Err(); got.Error() != io.ErrShortWrite.Error() {
		t.Errorf("became %v", got)
	}
}

// Whatever comes over the socket, reading ends with a frame or an error, and takes no more memory than has come.
func FuzzReadFrame(f *testing.F) {
	good, err := process.AppendFrame(nil, process.Frame{ID: 1, Verb: process.VerbStop}, process.StopRequest{ID: "a", Signal: 15})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0x3f, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := process.ReadFrame(bytes.NewReader(raw))
		if err != nil {
			return
		}
		again, err := process.AppendFrame(nil, frame, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := process.ReadFrame(bytes.NewReader(again)); err != nil || got.ID != frame.ID || got.Verb != frame.Verb {
			t.Errorf("%+v became %+v, %v", frame, got, err)
		}
	})
}
