// Package sdnotify tells the service manager of the machine (systemd, or anything that speaks its protocol) how the
// supervisor is doing: ready, alive, leaving. Where nobody listens, every call does nothing.
//
// It knows nothing of what the supervisor does.
package sdnotify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that start-up is done, and in one line what is being done: "12 services, 3 cron jobs".
func Ready(status string) error { return notify(daemon.SdNotifyReady, statusLine(status)) }

// Status replaces the line that `systemctl status` shows.
func Status(status string) error { return notify(statusLine(status)) }

// Stopping says that the program is about to leave.
func Stopping(status string) error { return notify(daemon.SdNotifyStopping, statusLine(status)) }

// Watchdog says twice per period that the program is alive, for as long as alive holds, until ctx ends. It returns at
// once when no watchdog is set. A program that does not feel alive stays silent, and is restarted for it.
func Watchdog(ctx context.Context, alive func() bool) error {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read the period of the watchdog: %w", err)
	}
	if period <= 0 {
		return nil
	}
	tick := time.NewTicker(period / 2)
	defer tick.Stop()
	for {
		if alive() {
			if err := notify(daemon.SdNotifyWatchdog); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// statusLine keeps to one line, as a second one would be another message.
func statusLine(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

func notify(lines ...string) error {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
