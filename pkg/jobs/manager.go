package jobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Options say where jobs are kept, and how many.
type Options struct {
	// Path is the SQLite file, Dir the folder of transcripts.
	Path, Dir string
	// Workers is how many jobs run at a time (2), Queue how many may wait (64).
	Workers, Queue int
	// Keep is how many ended jobs of each kind are kept (200), Retention for how long (90 days).
	Keep      int
	Retention time.Duration
	// Changed is told of each job that was made, has begun or has ended. It must not block.
	Changed func(Job)
	Log     *slog.Logger
}

// Manager runs jobs. It is safe for concurrent use.
type Manager struct {
	options Options
	store   *store
	ready   chan string // jobs that wait for a worker

	mu          sync.Mutex
	live        map[string]*live // all that have not ended
	interrupted map[string]func(context.Context, Job) string
}

// live is a job that has not ended.
type live struct {
	job        Job
	spec       Spec
	transcript *transcript
	ended      chan struct{}
	cancel     context.CancelCauseFunc // of its run; nil while it waits
	cancelled  string                  // who wanted it to end; empty for nobody
	left       bool                    // of an earlier life of the supervisor
}

// Open opens or makes the file and the folder. Jobs that an earlier life of the supervisor left stay as they are until Run.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(Job) {}
	}
	for _, d := range []struct {
		field *int
		def   int
	}{{&o.Workers, 2}, {&o.Queue, 64}, {&o.Keep, 200}} {
		if *d.field <= 0 {
			*d.field = d.def
		}
	}
	if o.Retention <= 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of transcripts: %w", err)
	}
	s, err := openStore(ctx, o.Path, o.Log)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		options: o, store: s, ready: make(chan string, o.Queue), live: map[string]*live{},
		interrupted: map[string]func(context.Context, Job) string{},
	}
	left, err := s.open(ctx)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, j := range left {
		m.live[j.ID] = &live{job: j, left: true, ended: make(chan struct{})}
	}
	return m, nil
}

// Close closes the file, once Run has returned. Jobs that still wait are settled by the next Run.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, l := range m.live {
		if l.transcript != nil {
			errs = append(errs, l.transcript.close())
		}
	}
	clear(m.live)
	return errors.Join(append(errs, m.store.close())...)
}

// OnInterrupted registers, before Run, who looks after jobs of a kind that the end of the supervisor interrupted. It puts right what
// such a job left behind, and may return a sentence for people: what became of it, what they can do. It is called once for each
// job, and again when it was itself interrupted.
func (m *Manager) OnInterrupted(kind string, fn func(ctx context.Context, j Job) (note string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupted[kind] = fn
}

// Run settles what an earlier life of the supervisor left, and then runs jobs until ctx ends. Jobs that run then are told to end,
// with ErrLeaving; those that do not finish their work are settled by the next Run.
func (m *Manager) Run(ctx context.Context) error {
	m.settle(ctx)
	m.prune(ctx)
	var workers sync.WaitGroup
	for range m.options.Workers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case id := <-m.ready:
					if ctx.Err() == nil {
						m.work(ctx, id)
						m.prune(ctx)
					}
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// settle ends the jobs of an earlier life.
func (m *Manager) settle(ctx context.Context) {
	m.mu.Lock()
	var left []*live
	for _, l := range m.live {
		if l.left {
			left = append(left, l)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(left, func(a, b *live) int { return a.job.CreatedAt.Compare(b.job.CreatedAt) })
	for _, l := range left {
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		fn := m.interrupted[l.job.Kind]
		m.mu.Unlock()
		text := "the supervisor ended before it began"
		if !l.job.StartedAt.IsZero() {
			text = "the supervisor ended while it ran"
		}
		if fn != nil {
			if note := fn(ctx, l.job); note != "" {
				text += "; " + note
			}
		}
		if ctx.Err() != nil {
			return // the note may be wrong: the next life asks again
		}
		m.end(ctx, l, nil, ReasonInterrupted, text)
	}
}

// Start puts a job on the queue. It is refused with a BusyError when its folder is taken, and with ErrQueueFull.
func (m *Manager) Start(ctx context.Context, spec Spec) (id string, err error) {
	if spec.Kind == "" || spec.Run == nil {
		return "", errors.New("a job needs a kind and a function")
	}
	if spec.Timeout <= 0 {
		spec.Timeout = DefaultTimeout
	}
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("make an ID: %w", err)
	}
	l := &live{spec: spec, ended: make(chan struct{}), job: Job{
		ID: spec.Kind + "-" + hex.EncodeToString(random[:]), Kind: spec.Kind, Name: spec.Name, Subject: spec.Subject,
		Folder: canonical(spec.Folder), Actor: spec.Actor, Status: Pending, CreatedAt: time.Now(),
	}}
	if err := m.claim(l); err != nil {
		return "", err
	}
	// From here on it is cancelled by Cancel only: whoever asked may go.
	ctx = context.WithoutCancel(ctx)
	if l.transcript, err = openTranscript(m.options.Dir, l.job.ID); err == nil {
		err = m.store.put(ctx, &l.job)
	}
	if err != nil {
		m.drop(l)
		return "", err
	}
	m.options.Changed(l.job)
	select {
	case m.ready <- l.job.ID:
	default:
		m.end(ctx, l, nil, ReasonError, ErrQueueFull.Error())
		return "", ErrQueueFull
	}
	return l.job.ID, nil
}

// claim takes a job's folder.
func (m *Manager) claim(l *live) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.live {
		if overlaps(other.job.Folder, l.job.Folder) {
			return &BusyError{Job: other.job, Folder: l.job.Folder}
		}
	}
	m.live[l.job.ID] = l
	return nil
}

// drop forgets a job that could not be put on record.
func (m *Manager) drop(l *live) {
	m.mu.Lock()
	delete(m.live, l.job.ID)
	m.mu.Unlock()
	if l.transcript != nil {
		_ = l.transcript.close() //nolint:errcheck // it is removed
		_ = os.Remove(transcriptPath(m.options.Dir, l.job.ID))
	}
	close(l.ended)
}

// work runs one job.
func (m *Manager) work(parent context.Context, id string) {
	record := context.WithoutCancel(parent)
	m.mu.Lock()
	l, ok := m.live[id]
	if !ok || l.cancelled != "" {
		m.mu.Unlock()
		return // it was cancelled while it waited
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer cancel(nil)
	l.cancel = cancel
	l.job.Status, l.job.StartedAt = Running, time.Now()
	job := l.job
	m.mu.Unlock()
	defer context.AfterFunc(parent, func() { cancel(ErrLeaving) })()
	if err := m.store.put(record, &job); err != nil {
		m.options.Log.Warn("a job runs and is not on record as running", "job", id, "err", err)
	}
	m.options.Changed(job)

	ctx, stop := context.WithTimeoutCause(ctx, l.spec.Timeout, ErrTimeout)
	defer stop()
	result, reason, err := m.call(ctx, l)
	raw, encodeErr := encode(result)
	if err == nil {
		err = encodeErr
	}
	if err == nil {
		m.end(record, l, raw, "", "")
		return
	}
	text := err.Error()
	switch cause := context.Cause(ctx); {
	case reason == ReasonPanic:
	case errors.Is(cause, ErrLeaving):
		m.leave(record, l, raw)
		return
	case errors.Is(cause, ErrCancelled):
		reason = ReasonCancelled
		m.mu.Lock()
		text = "cancelled by " + l.cancelled
		m.mu.Unlock()
		if own := err.Error(); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrCancelled) {
			text += "; " + own
		}
	case errors.Is(cause, ErrTimeout):
		reason = ReasonTimeout
		text = fmt.Sprintf("it took longer than %s", l.spec.Timeout)
		if own := err.Error(); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
			text += "; " + own
		}
	}
	m.end(record, l, raw, reason, text)
}

// call calls the job's function.
func (m *Manager) call(ctx context.Context, l *live) (result any, reason Reason, err error) {
	defer func() {
		if p := recover(); p != nil {
			m.options.Log.Error("a job made a mistake", "job", l.job.ID, "panic", p, "stack", string(debug.Stack()))
			result, reason, err = nil, ReasonPanic, fmt.Errorf("a mistake in the supervisor: %v; its log has the details", p)
		}
	}()
	result, err = l.spec.Run(ctx, &Handle{m: m, id: l.job.ID})
	return result, ReasonError, err
}

func encode(result any) (json.RawMessage, error) {
	if result == nil {
		return nil, nil
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("keep the result: %w", err)
	}
	return raw, nil
}

// leave lets a job that the supervisor's end interrupted stand as it is: the next life settles it.
func (m *Manager) leave(ctx context.Context, l *live, result json.RawMessage) {
	m.mu.Lock()
	l.job.Result = result
	job := l.job
	delete(m.live, l.job.ID)
	m.mu.Unlock()
	if err := errors.Join(m.store.put(ctx, &job), l.transcript.close()); err != nil {
		m.options.Log.Warn("an interrupted job is not wholly on record", "job", job.ID, "err", err)
	}
	close(l.ended)
}

// end puts the end of a job on record, and frees its folder. An empty reason is a success.
func (m *Manager) end(ctx context.Context, l *live, result json.RawMessage, reason Reason, text string) {
	m.mu.Lock()
	if m.live[l.job.ID] != l || l.job.Status.Ended() {
		m.mu.Unlock()
		return
	}
	l.job.Status, l.job.Reason, l.job.Error, l.job.CompletedAt = Completed, reason, text, time.Now()
	if result != nil {
		l.job.Result = result
	}
	if reason != "" {
		l.job.Status = Failed
	} else {
		l.job.Fraction = 1
	}
	job := l.job
	m.mu.Unlock()
	// It stays live until it is on record: nobody is to see neither.
	if err := m.store.put(ctx, &job); err != nil {
		m.options.Log.Error("the end of a job is not on record; the next start of the supervisor takes it for interrupted", "job", job.ID, "err", err)
	}
	if l.transcript != nil {
		if err := l.transcript.close(); err != nil {
			m.options.Log.Warn("the transcript of a job is not complete", "job", job.ID, "err", err)
		}
	}
	m.mu.Lock()
	delete(m.live, job.ID)
	m.mu.Unlock()
	close(l.ended)
	m.options.Changed(job)
}

// Cancel ends a job. One that runs is told to, and has ended when Wait says so. It fails with ErrUnknown or ErrEnded.
func (m *Manager) Cancel(ctx context.Context, id, actor string) error {
	m.mu.Lock()
	l, ok := m.live[id]
	switch {
	case !ok || l.job.Status.Ended():
		m.mu.Unlock()
		_, known, err := m.store.get(ctx, id)
		switch {
		case err != nil:
			return err
		case known:
			return ErrEnded
		}
		return ErrUnknown
	case l.left:
		m.mu.Unlock()
		return ErrEnded
	}
	if l.cancelled == "" {
		l.cancelled = actor
	}
	cancel := l.cancel
	m.mu.Unlock()
	if cancel != nil {
		cancel(ErrCancelled)
		return nil
	}
	m.end(context.WithoutCancel(ctx), l, nil, ReasonCancelled, "cancelled by "+actor+" before it began")
	return nil
}

func (m *Manager) progress(id, step string, fraction float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.live[id]; ok {
		l.job.Step, l.job.Fraction = step, fraction
	}
}

func (m *Manager) log(id, kind, text string, data any) error {
	m.mu.Lock()
	l, ok := m.live[id]
	m.mu.Unlock()
	if !ok {
		return nil // a function that logs after its end
	}
	return l.transcript.append(kind, text, data)
}

// prune deletes what is too old or too much.
func (m *Manager) prune(ctx context.Context) {
	ids, err := m.store.prune(ctx, m.options.Keep, time.Now().Add(-m.options.Retention))
	if err != nil && ctx.Err() == nil {
		m.options.Log.Warn("old jobs stay", "err", err)
	}
	for _, id := range ids {
		if err := os.Remove(transcriptPath(m.options.Dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			m.options.Log.Warn("the transcript of an old job stays", "job", id, "err", err)
		}
	}
}
