package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// warm measures, with all services running: one more service, a respawn, the idle cost, and the stop of all.
func (b *bench) warm() error {
	d, err := newDaemon(b, b.count)
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.launch(b.count); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.client.Ready(ctx); err != nil {
		return err
	}
	if err := b.idleCost(d); err != nil {
		return fmt.Errorf("idle: %w", err)
	}
	if err := b.drop(d, 50); err != nil {
		return fmt.Errorf("file drop: %w", err)
	}
	if err := b.respawn(d, 100); err != nil {
		return fmt.Errorf("respawn: %w", err)
	}
	if err := b.stopAll(d); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// idleCost is memory and CPU of manager and keeper while nothing happens.
func (b *bench) idleCost(d *daemon) error {
	keeper, err := d.keeperPID()
	if err != nil {
		return err
	}
	d.client.Close()            // an open connection is a caller, and its end is work
	time.Sleep(2 * time.Second) //nolint:forbidigo // The start has to be over; what is measured is time itself.
	manager := d.cmd.Process.Pid
	var before, after [2]cost
	for i, pid := range []int{manager, keeper} {
		if before[i], err = costOf(pid); err != nil {
			return err
		}
	}
	time.Sleep(b.idle) //nolint:forbidigo // What is measured is what a time costs.
	for i, pid := range []int{manager, keeper} {
		if after[i], err = costOf(pid); err != nil {
			return err
		}
	}
	const mib = 1 << 20
	fmt.Fprintf(b.out, "idle with %d, %s: manager %.1f MiB PSS (%.1f RSS), keeper %.1f MiB PSS (%.1f RSS), together %.1f MiB PSS; CPU %s + %s\n",
		b.count, b.idle, float64(after[0].pss)/mib, float64(after[0].rss)/mib, float64(after[1].pss)/mib, float64(after[1].rss)/mib,
		float64(after[0].pss+after[1].pss)/mib, ms(after[0].cpu-before[0].cpu), ms(after[1].cpu-before[1].cpu))
	return nil
}

// drop measures the time from a new file to the exec of its program, one at a time.
func (b *bench) drop(d *daemon, rounds int) error {
	var floors, took []time.Duration
	for i := range rounds {
		f, err := b.floor(1)
		if err != nil {
			return err
		}
		floors = append(floors, f)
		stamps, err := readStamps(d.stamps)
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := d.write(fmt.Sprintf("drop%03d", i)); err != nil {
			return err
		}
		if stamps, err = waitStamps(d.stamps, len(stamps)+1); err != nil {
			return err
		}
		took = append(took, last(stamps).Sub(begin))
	}
	b.report("file drop to exec", took, median(floors))
	return nil
}

// respawn measures the time from kill -9 of a service to the exec of the next one, one at a time, delay 0.
func (b *bench) respawn(d *daemon, rounds int) error {
	stamps, err := readStamps(d.stamps)
	if err != nil {
		return err
	}
	victims := stamps[:min(rounds, len(stamps))]
	var floors, took []time.Duration
	for _, v := range victims {
		f, err := b.floor(1)
		if err != nil {
			return err
		}
		floors = append(floors, f)
		if stamps, err = readStamps(d.stamps); err != nil {
			return err
		}
		begin := time.Now()
		if err := unix.Kill(v.pid, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill %s (pid %d): %w", v.name, v.pid, err)
		}
		if stamps, err = waitStamps(d.stamps, len(stamps)+1); err != nil {
			return err
		}
		took = append(took, last(stamps).Sub(begin))
	}
	b.report("kill -9 to exec", took, median(floors))
	return nil
}

// stopAll measures the time from the order to stop everything until no process is left.
func (b *bench) stopAll(d *daemon) error {
	stamps, err := readStamps(d.stamps)
	if err != nil {
		return err
	}
	var pidfds []int
	for _, s := range stamps {
		if fd, err := unix.PidfdOpen(s.pid, 0); err == nil {
			defer unix.Close(fd)
			pidfds = append(pidfds, fd)
		}
	}
	begin := time.Now()
	done := make(chan error, 1)
	go func() { done <- d.shutdown() }()
	gone, err := waitGone(pidfds, time.Minute)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "stop of %d: %s until the last is gone\n", len(pidfds), ms(gone.Sub(begin)))
	return <-done
}

func (b *bench) report(what string, took []time.Duration, floor time.Duration) {
	fmt.Fprintf(b.out, "%s: p50 %s (%.1fx), p99 %s; floor (launch of the loop and one posix_spawn) %s\n", what,
		ms(median(took)), ratio(median(took), floor), ms(quantile(took, 0.99)), ms(floor))
}
