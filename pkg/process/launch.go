package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// LogName is the keeper's own log within its folder.
const LogName = "keeper.log"

// maxKeeperLog is the size in bytes at which the log is moved aside before a launch.
const maxKeeperLog = 1 << 20

// ReadyVariable names the variable that tells a keeper on which descriptor it reports that its socket answers.
const ReadyVariable = "SUPERVISOR_KEEPER_READY_FD"

// Launch starts the keeper program bin for the folder dir, in a session of its own with nothing of ours open, and returns
// once its socket answers. The keeper outlives us. When another keeper holds the folder already, Launch succeeds as well.
//
// Its working directory is /, its output goes to DIR/keeper.log, its environment is PATH alone: what it starts gets the
// environment of the Spec.
func Launch(ctx context.Context, bin, dir string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return fmt.Errorf("launch keeper: %w", err)
	}
	return LaunchCommand(ctx, []string{bin, "--dir", dir}, nil, dir)
}

// LaunchCommand is Launch for a keeper that is another program's sub-command: argv[0] is the program's path, env is added
// to the environment.
func LaunchCommand(ctx context.Context, argv, env []string, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("launch keeper: make its folder: %w", err)
	}
	path := filepath.Join(dir, LogName)
	if info, err := os.Stat(path); err == nil && info.Size() > maxKeeperLog {
		_ = os.Rename(path, path+".1") // worst case, the log grows on
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("launch keeper: open its log: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("launch keeper: %w", err)
	}
	defer func() { _ = null.Close() }()
	ready, report, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("launch keeper: %w", err)
	}
	defer func() { _ = ready.Close() }()

	proc, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"PATH=" + os.Getenv("PATH"), ReadyVariable + "=3"}, env...),
		Files: []*os.File{null, out, out, report},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	_ = report.Close()
	if err != nil {
		return fmt.Errorf("launch keeper %s: %w", argv[0], err)
	}
	// It is our child as long as we live; should it die first, it must not stay a zombie.
	go func() { _, _ = proc.Wait() }()
	return awaitReady(ctx, ready, argv[0], path)
}

// awaitReady reads the keeper's report: "ready", or the reason why not, then the end of the file.
func awaitReady(ctx context.Context, ready *os.File, bin, log string) error {
	defer context.AfterFunc(ctx, func() { _ = ready.Close() })()
	report, err := io.ReadAll(io.LimitReader(ready, 64<<10))
	report = bytes.TrimSpace(report)
	switch {
	case bytes.Equal(report, []byte("ready")):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("launch keeper %s: not ready in time: %w", bin, context.Cause(ctx))
	case len(report) > 0:
		return fmt.Errorf("launch keeper: %s", report)
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("launch keeper %s: %w", bin, err)
	default:
		return fmt.Errorf("launch keeper %s: it ended before its socket answered; see %s", bin, log)
	}
}
