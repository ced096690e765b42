package jobs

import "sync"

// Handle is what a job's function has of its job. It is safe for concurrent use.
type Handle struct {
	m  *Manager
	id string

	mu  sync.Mutex
	bad bool // a failure to write was told
}

// ID is the job's.
func (h *Handle) ID() string { return h.id }

// Progress says what the job does now, and how far it is, from 0 to 1.
func (h *Handle) Progress(step string, fraction float64) {
	fraction = min(max(fraction, 0), 1)
	h.m.progress(h.id, step, fraction)
	h.Log("progress", step, map[string]float64{"fraction": fraction})
}

// Log puts a line into the transcript, for those who watch and those who look later. kind is a word of the job's own, data becomes
// JSON. A transcript that cannot be written does not stop the work.
func (h *Handle) Log(kind, text string, data any) {
	err := h.m.log(h.id, kind, text, data)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && !h.bad {
		h.bad = true
		h.m.options.Log.Warn("the transcript of a job is not complete", "job", h.id, "err", err)
	}
}
