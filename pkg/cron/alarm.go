package cron

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock is the machine's clock. Its alarms are timers of the kernel on the wall clock, so that they ring on time after
// the machine has slept, and at once when the clock is set. Nothing polls.
type SystemClock struct{}

// Now implements Clock. The time has no monotonic part: it is compared with times from the database.
func (SystemClock) Now() time.Time { return time.Now().Round(0) }

// NewAlarm implements Clock.
func (SystemClock) NewAlarm() (Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make alarm: %w", err)
	}
	a := &kernelAlarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd"), rings: make(chan Ring, 1)}
	a.reader.Go(a.read)
	return a, nil
}

// kernelAlarm is a timerfd. Its goroutine sleeps in the poller until the kernel has something to say.
type kernelAlarm struct {
	fd     int
	file   *os.File
	rings  chan Ring
	reader sync.WaitGroup
}

// Set implements Alarm.
func (a *kernelAlarm) Set(at time.Time) error {
	var spec unix.ItimerSpec
	if !at.IsZero() {
		// The kernel refuses negative times, and zero would silence it: what is long past rings at once.
		spec.Value = unix.NsecToTimespec(max(at.UnixNano(), 1))
	}
	err := unix.TimerfdSettime(a.fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil)
	if errors.Is(err, syscall.ECANCELED) {
		a.ring(Ring{Jumped: true}) // the clock was set since it rang last; the timer is armed all the same
		return nil
	}
	if err != nil {
		return fmt.Errorf("set alarm: %w", err)
	}
	return nil
}

// C implements Alarm.
func (a *kernelAlarm) C() <-chan Ring { return a.rings }

// Close implements Alarm.
func (a *kernelAlarm) Close() error {
	err := a.file.Close()
	a.reader.Wait()
	return err
}

func (a *kernelAlarm) read() {
	var expirations [8]byte
	for {
		_, err := a.file.Read(expirations[:])
		switch {
		case err == nil:
			a.ring(Ring{})
		case errors.Is(err, syscall.ECANCELED):
			a.ring(Ring{Jumped: true})
		default:
			return // closed
		}
	}
}

// ring leaves one ring in the channel, and never loses that the clock jumped.
func (a *kernelAlarm) ring(r Ring) {
	for {
		select {
		case a.rings <- r:
			return
		case old := <-a.rings:
			r.Jumped = r.Jumped || old.Jumped
		}
	}
}

var (
	_ Clock = SystemClock{}
	_ Alarm = (*kernelAlarm)(nil)
)
