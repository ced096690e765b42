package jobs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// maxLine bounds the text and the data of one line, each, in bytes; maxTranscript a whole transcript.
	maxLine       = 128 << 10
	maxTranscript = 16 << 20
)

// Line is one line of a transcript.
type Line struct {
	// Seq counts from 1 within the job.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Kind says what it is: progress, or what the job chose.
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
	// Data is what else there is to it.
	Data json.RawMessage `json:"data,omitempty"`
}

// transcript is the file of a job that has not ended, and those who read along.
type transcript struct {
	mu      sync.Mutex
	file    *os.File
	size    int64
	seq     uint64
	left    int // lines that did not fit
	limit   int64
	grown   chan struct{} // closed and replaced when something has changed
	lastErr error
}

func transcriptPath(dir, id string) string { return filepath.Join(dir, id+".jsonl") }

// openTranscript opens or makes the file of a job. A line that was cut by a crash is ended, so that the next begins anew.
func openTranscript(dir, id string) (*transcript, error) {
	f, err := os.OpenFile(transcriptPath(dir, id), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the transcript of job %s: %w", id, err)
	}
	t := &transcript{file: f, limit: maxTranscript, grown: make(chan struct{})}
	last := []byte{'\n'}
	err = readLines(f, func(l Line, raw []byte) error {
		t.seq = max(t.seq, l.Seq)
		t.size += int64(len(raw))
		last = raw
		return nil
	})
	if err == nil && last[len(last)-1] != '\n' {
		_, err = f.Write([]byte{'\n'})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the transcript of job %s: %w", id, err), f.Close())
	}
	return t, nil
}

// append writes one line. What does not fit is counted.
func (t *transcript) append(kind, text string, data any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size >= t.limit {
		t.left++
		return nil
	}
	return t.write(kind, text, data)
}

func (t *transcript) write(kind, text string, data any) error {
	l := Line{Seq: t.seq + 1, Time: time.Now(), Kind: kind, Text: cut(text)}
	if data != nil {
		raw, err := json.Marshal(data)
		switch {
		case err != nil:
			return fmt.Errorf("write a line of kind %s: %w", kind, err)
		case len(raw) > maxLine:
			l.Text += fmt.Sprintf(" (%d bytes of details are left out)", len(raw))
		default:
			l.Data = raw
		}
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write a line of kind %s: %w", kind, err)
	}
	if _, err := t.file.Write(append(raw, '\n')); err != nil {
		t.lastErr = err
		return fmt.Errorf("write the transcript: %w", err)
	}
	t.size += int64(len(raw)) + 1
	t.seq = l.Seq
	close(t.grown)
	t.grown = make(chan struct{})
	return nil
}

// cut makes a text fit.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxLine {
		return text
	}
	return strings.ToValidUTF8(text[:maxLine], "") + fmt.Sprintf("… (%d bytes are left out)", len(text)-maxLine)
}

// close ends the transcript, and says what is not in it.
func (t *transcript) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if t.left > 0 {
		err = t.write("note", fmt.Sprintf("%d further lines did not fit and are left out", t.left), nil)
	}
	return errors.Join(err, t.file.Close())
}

// signal returns a channel that is closed when the transcript grows.
func (t *transcript) signal() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grown
}

// readLines calls fn for each line, raw with its end. What is not a line of ours, such as one that was cut by a crash, is skipped
// with a zero Line.
func readLines(r io.Reader, fn func(l Line, raw []byte) error) error {
	buf := bufio.NewReader(r)
	for {
		raw, err := buf.ReadBytes('\n')
		if len(raw) > 0 {
			var l Line
			if json.Unmarshal(bytes.TrimSpace(raw), &l) != nil {
				l = Line{}
			}
			if err := fn(l, raw); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a transcript: %w", err)
		}
	}
}

// reader reads a transcript that may be growing.
type reader struct {
	file *os.File
	part []byte // a line whose end was not there yet
}

// openReader opens a job's transcript; nil when there is none.
func openReader(dir, id string) (*reader, error) {
	f, err := os.Open(transcriptPath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no file is nothing to read, and no error
	}
	if err != nil {
		return nil, fmt.Errorf("read the transcript of job %s: %w", id, err)
	}
	return &reader{file: f}, nil
}

// next calls fn for each whole line that is there by now and that was not read yet.
func (r *reader) next(fn func(Line) error) error {
	return readLines(r.file, func(l Line, raw []byte) error {
		if raw[len(raw)-1] != '\n' {
			r.part = append(r.part, raw...)
			return nil
		}
		if r.part != nil {
			raw, r.part, l = append(r.part, raw...), nil, Line{}
			if json.Unmarshal(raw, &l) != nil {
				return nil //nolint:nilerr // a line that a crash has cut
			}
		}
		if l.Seq == 0 {
			return nil // not a line of ours
		}
		return fn(l)
	})
}

func (r *reader) close() {
	if r != nil {
		_ = r.file.Close() //nolint:errcheck // it was only read
	}
}
