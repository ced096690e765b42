package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/api/client"
)

// daemon is one supervisor on a folder of its own.
type daemon struct {
	b      *bench
	dir    string
	stamps string
	cmd    *exec.Cmd
	client *client.Client
}

// newDaemon makes a data folder with n manifests of the stamp program.
func newDaemon(b *bench, n int) (*daemon, error) {
	dir, err := os.MkdirTemp(b.work, "d")
	if err != nil {
		return nil, err
	}
	d := &daemon{b: b, dir: dir, stamps: filepath.Join(dir, "stamps")}
	if err := os.MkdirAll(filepath.Join(dir, "manifests"), 0o755); err != nil {
		return nil, err
	}
	for i := range n {
		if err := d.write(fmt.Sprintf("s%03d", i)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// write drops the manifest of one service, the way an editor does: a temporary file, then a rename.
func (d *daemon) write(name string) error {
	text := fmt.Sprintf(`apiVersion: supervisor.dev/v1
kind: Service
metadata:
  name: %s
spec:
  command: %s %s %s
  restart:
    delay: 0s
    maxAttempts: 1000
`, name, d.b.stampBin, d.stamps, name)
	path := filepath.Join(d.dir, "manifests", name+".yaml")
	if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// launch starts the manager and returns the time from its launch to the last of n execs.
func (d *daemon) launch(n int) (time.Duration, error) {
	if err := os.RemoveAll(d.stamps); err != nil {
		return 0, err
	}
	log, err := os.Create(filepath.Join(d.dir, "out"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	d.cmd = exec.Command(d.b.supervisor, "run")
	d.cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + d.dir, "SUPERVISOR_DIR=" + d.dir, "SUPERVISOR_HOST=127.0.0.1", "SUPERVISOR_PORT=0"}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	begin := time.Now()
	if err := d.cmd.Start(); err != nil {
		return 0, err
	}
	stamps, err := waitStamps(d.stamps, n)
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return 0, fmt.Errorf("%w\n%s", err, text)
	}
	d.client, err = client.New(client.Options{Socket: filepath.Join(d.dir, "supervisor.sock"), UserAgent: "bench"})
	if err != nil {
		return 0, err
	}
	return last(stamps).Sub(begin), nil
}

// shutdown stops all services, the manager and the keeper, and waits for the manager.
func (d *daemon) shutdown() error {
	if d.cmd == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := d.client.Ready(ctx); err != nil {
		return err
	}
	if _, err := d.client.Shutdown(ctx); err != nil {
		return err
	}
	err := d.cmd.Wait()
	d.cmd = nil
	return err
}

// stop ends what is left, whatever happened before.
func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	if err := d.shutdown(); err != nil && d.cmd != nil {
		fmt.Fprintln(os.Stderr, "bench: shutdown:", err)
		_ = d.cmd.Process.Signal(unix.SIGINT)
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// keeperPID reads the keeper's process ID from its lock file.
func (d *daemon) keeperPID() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	want := filepath.Join(d.dir, "keeper")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(args), "supervisor-keeper") && strings.Contains(string(args), want) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no keeper of %s found", d.dir)
}

// cost is what processes have used so far.
type cost struct {
	cpu time.Duration // user + system, from schedstat: nanoseconds, where stat has only ticks of 10 ms
	pss int64         // bytes
	rss int64         // bytes
}

func costOf(pid int) (cost, error) {
	var c cost
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return c, err
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		if words := strings.Fields(string(text)); len(words) > 0 {
			ns, _ := strconv.ParseInt(words[0], 10, 64)
			c.cpu += time.Duration(ns)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(words[1], 10, 64)
		switch words[0] {
		case "Pss:":
			c.pss = kb << 10
		case "Rss:":
			c.rss = kb << 10
		}
	}
	return c, nil
}

// waitGone waits until none of the processes is left and returns when the last one went.
func waitGone(pidfds []int, limit time.Duration) (time.Time, error) {
	deadline := time.Now().Add(limit)
	at := time.Now()
	for _, fd := range pidfds {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds())+1)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return at, err
			}
			if n == 0 {
				return at, fmt.Errorf("some processes are still there after %s", limit)
			}
			break
		}
		at = time.Now()
	}
	return at, nil
}
