package alert

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// queueSize is how many alerts a channel may have waiting; beyond, the oldest are dropped and counted.
	queueSize = 200
	// batchSize is how many waiting alerts go out in one message.
	batchSize = 20
	// attempts and the waits between them (1 s doubling to 5 min, half of it random) span about a quarter of an hour.
	attempts    = 10
	firstWait   = time.Second
	longestWait = 5 * time.Minute
	// burst messages may go out at once, then one each pace.
	burst = 5
	pace  = 10 * time.Second
)

// outbox delivers the alerts of one channel, in order.
type outbox struct {
	channel Channel
	host    string
	client  *http.Client
	log     *slog.Logger
	wake    chan struct{}
	// saved is called when what is pending has become less.
	saved func()

	mu      sync.Mutex
	waiting []Alert
	sending []Alert // the message that is under way
	lost    int     // since the last message that arrived
	stats   ChannelStats
}

// ChannelStats counts what became of a channel's alerts.
type ChannelStats struct {
	Channel            string
	Delivered, Dropped uint64
	Waiting            int
	// LastError is why the last attempt failed; empty when it did not.
	LastError string
}

func newOutbox(c Channel, host string, client *http.Client, log *slog.Logger, saved func()) *outbox {
	return &outbox{
		channel: c, host: host, client: client, log: log.With("channel", c.Name, "form", string(c.Form)),
		wake: make(chan struct{}, 1), saved: saved, stats: ChannelStats{Channel: c.Name},
	}
}

// put never blocks.
func (b *outbox) put(alerts ...Alert) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, alerts...)
	if over := len(b.waiting) - queueSize; over > 0 {
		b.waiting = append([]Alert(nil), b.waiting[over:]...)
		b.lost += over
		b.stats.Dropped += uint64(over)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns what goes out next, or nil.
func (b *outbox) take() *message {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), batchSize)
	if n == 0 {
		return nil
	}
	b.sending = append([]Alert(nil), b.waiting[:n]...)
	b.waiting = append([]Alert(nil), b.waiting[n:]...)
	return &message{host: b.host, alerts: b.sending, lost: b.lost}
}

// run delivers until ctx ends.
func (b *outbox) run(ctx context.Context) {
	tokens, filled := float64(burst), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		for {
			now := time.Now()
			tokens, filled = min(burst, tokens+now.Sub(filled).Seconds()/pace.Seconds()), now
			if tokens < 1 { // what arrives meanwhile goes out together
				if !sleep(ctx, time.Duration((1-tokens)*float64(pace))+time.Millisecond) {
					return
				}
				continue
			}
			m := b.take()
			if m == nil {
				break
			}
			tokens--
			b.deliver(ctx, m)
			if ctx.Err() != nil {
				return // it is still pending
			}
			b.mu.Lock()
			b.sending = nil
			b.mu.Unlock()
			b.saved()
		}
	}
}

// deliver tries until the message is taken, refused for good, or too old.
func (b *outbox) deliver(ctx context.Context, m *message) {
	wait := firstWait
	for try := 1; ; try++ {
		err := post(ctx, b.client, &b.channel, m)
		if ctx.Err() != nil {
			return
		}
		b.note(m, err)
		if err == nil {
			return
		}
		var d *deliveryError
		errors.As(err, &d)
		if d.permanent || try == attempts {
			b.giveUp(m, err, try)
			return
		}
		pause := wait/2 + rand.N(wait/2) //nolint:gosec // nobody gains by guessing it
		if wait = min(2*wait, longestWait); d.after > 0 {
			pause = d.after
		}
		b.log.Warn("an alert was not taken; trying again", "attempt", try, "in", pause.Round(time.Millisecond), "error", err)
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (b *outbox) note(m *message, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.stats.LastError = err.Error()
		return
	}
	b.stats.LastError = ""
	b.stats.Delivered += uint64(len(m.alerts))
	b.lost = max(0, b.lost-m.lost)
}

func (b *outbox) giveUp(m *message, err error, tries int) {
	b.mu.Lock()
	b.lost += len(m.alerts)
	b.stats.Dropped += uint64(len(m.alerts))
	b.mu.Unlock()
	for _, a := range m.alerts {
		b.log.Error("an alert could not be delivered; check the channel with `supervisor alert test`",
			"alert", a.Summary, "status", string(a.Status), "attempts", tries, "error", err)
	}
}

// pending is what has yet to arrive, in order.
func (b *outbox) pending() []Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(append([]Alert(nil), b.sending...), b.waiting...)
}

func (b *outbox) state() ChannelStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Waiting = len(b.sending) + len(b.waiting)
	return s
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
