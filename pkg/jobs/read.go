package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Get returns a job; false when there is none of that ID.
func (m *Manager) Get(ctx context.Context, id string) (Job, bool, error) {
	m.mu.Lock()
	l, ok := m.live[id]
	if ok {
		j := l.job
		m.mu.Unlock()
		return j, true, nil
	}
	m.mu.Unlock()
	return m.store.get(ctx, id)
}

// List returns jobs, newest first.
func (m *Manager) List(ctx context.Context, q Query) ([]Job, error) {
	out, err := m.store.list(ctx, q)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range out {
		if l, ok := m.live[out[i].ID]; ok {
			out[i] = l.job // with its progress
		}
	}
	return out, err
}

// Wait returns a job once it has ended. One that the end of the supervisor interrupts is returned as it stands.
func (m *Manager) Wait(ctx context.Context, id string) (Job, error) {
	m.mu.Lock()
	l, ok := m.live[id]
	m.mu.Unlock()
	if ok {
		select {
		case <-l.ended:
		case <-ctx.Done():
			return Job{}, context.Cause(ctx)
		}
	}
	j, known, err := m.store.get(ctx, id)
	if err == nil && !known {
		err = ErrUnknown
	}
	return j, err
}

// Follow calls fn with each line of a job's transcript that comes after one, until the job has ended, and returns how it ended.
func (m *Manager) Follow(ctx context.Context, id string, after uint64, fn func(Line) error) (Job, error) {
	if _, known, err := m.Get(ctx, id); err != nil {
		return Job{}, err
	} else if !known {
		return Job{}, ErrUnknown
	}
	r, err := openReader(m.options.Dir, id)
	if err != nil {
		return Job{}, err
	}
	defer r.close()
	for {
		m.mu.Lock()
		l, live := m.live[id]
		m.mu.Unlock()
		var grown, ended <-chan struct{}
		if live {
			ended = l.ended
			if l.transcript != nil {
				grown = l.transcript.signal()
			}
		}
		// What is written after the look at the state is told of, or read: nothing is missed.
		if r != nil {
			if err := r.next(func(line Line) error {
				if line.Seq <= after {
					return nil
				}
				return fn(line)
			}); err != nil {
				return Job{}, err
			}
		}
		if !live {
			return m.Wait(ctx, id)
		}
		select {
		case <-grown:
		case <-ended:
		case <-ctx.Done():
			return Job{}, context.Cause(ctx)
		}
	}
}

// Transcript writes what there is of a job's transcript: JSON, one line each.
func (m *Manager) Transcript(ctx context.Context, id string, to io.Writer) error {
	if _, known, err := m.Get(ctx, id); err != nil {
		return err
	} else if !known {
		return ErrUnknown
	}
	f, err := os.Open(transcriptPath(m.options.Dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the transcript of job %s: %w", id, err)
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}
