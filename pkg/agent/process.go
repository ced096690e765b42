package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// markName is the variable by which the processes of an agent are known, also those that left its process group.
	markName = "SUPERVISOR_AGENT_RUN"
	// oomScore makes the kernel take an agent before any service.
	oomScore = "500"
	// niceness leaves the processor to the services.
	niceness = 5
	// stderrKept is how much of the end of its standard error is kept, in bytes.
	stderrKept = 8 << 10
)

// graces are the steps by which an agent is ended.
type graces struct {
	cancel time.Duration // from asking it to cancel to closing its input
	input  time.Duration // from there to SIGTERM
	term   time.Duration // from there to SIGKILL
}

// command is what is to be started.
type command struct {
	path string
	argv []string
	env  []string
	dir  string
	who  account
}

// child is an agent's process, and its tree.
type child struct {
	cmd    *exec.Cmd
	mark   string
	note   string // file that lets the next supervisor find the tree
	stdin  *os.File
	stdout *os.File
	errors *os.File // its standard error, of which stderr keeps the end
	stderr tail
	graces graces

	ending sync.Once
	ended  chan struct{} // closed when the whole tree is gone
}

// start starts an agent. note is a folder for what the next supervisor has to know.
func start(c command, note string, g graces) (*child, error) {
	mark := newMark()
	p := &child{mark: mark, note: filepath.Join(note, mark), graces: g, ended: make(chan struct{})}
	// exec.CommandContext would kill the leader alone, and at once.
	p.cmd = exec.Command(c.path, c.argv...) //nolint:noctx // end ends it, and all of its tree
	p.cmd.Env = append(c.env, markName+"="+mark)
	p.cmd.Dir = c.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.who.credential}
	var ours, theirs []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(ours, theirs...))
			return nil, fmt.Errorf("start the agent: %w", err)
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	// Of the first pipe we write.
	ours[0], theirs[0] = theirs[0], ours[0]
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	// The note is there before the process: a crash between the two leaves a note too many, not a process.
	err := os.WriteFile(p.note, nil, 0o600)
	if err == nil {
		err = p.cmd.Start()
	}
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		_ = os.Remove(p.note)
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	p.stdin, p.stdout, p.errors = ours[0], ours[1], ours[2]
	pid := p.cmd.Process.Pid
	// What cannot be had is only a courtesy.
	_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj"), []byte(oomScore), 0)
	_ = unix.Setpriority(unix.PRIO_PGRP, pid, niceness)
	go func() {
		_, _ = io.Copy(&p.stderr, p.errors) //nolint:errcheck // its end is the end
		_ = p.errors.Close()
	}()
	go p.wait()
	return p, nil
}

// wait reaps the leader, and takes the rest of the tree with it.
func (p *child) wait() {
	_ = p.cmd.Wait() //nolint:errcheck // how it ended is in its state
	killTree(p.mark, 0)
	_ = p.stdin.Close()
	// A process that has shaken off the mark may hold the outputs open for ever.
	soon := time.Now().Add(p.graces.input)
	_ = errors.Join(p.stdout.SetReadDeadline(soon), p.errors.SetReadDeadline(soon)) //nolint:errcheck // pipes have deadlines
	_ = os.Remove(p.note)
	close(p.ended)
}

// end ends the whole tree: by closing its input, by SIGTERM, by SIGKILL. It returns when nothing is left.
func (p *child) end() {
	p.ending.Do(func() {
		_ = p.stdin.Close()
		if p.endedWithin(p.graces.input) {
			return
		}
		signalTree(p.mark, p.cmd.Process.Pid, syscall.SIGTERM)
		if p.endedWithin(p.graces.term) {
			return
		}
		killTree(p.mark, p.cmd.Process.Pid)
	})
	<-p.ended
}

// kill ends the whole tree at once.
func (p *child) kill() {
	p.ending.Do(func() { killTree(p.mark, p.cmd.Process.Pid) })
	// An end that goes on more gently is hurried.
	select {
	case <-p.ended:
	default:
		killTree(p.mark, p.cmd.Process.Pid)
	}
	<-p.ended
}

func (p *child) endedWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

// how says in words how the process ended.
func (p *child) how() string {
	select {
	case <-p.ended:
	default:
		return "it runs"
	}
	return p.cmd.ProcessState.String()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - stderrKept; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// reapLeft kills what agents of an earlier life of the supervisor have left. Their notes are in a folder.
func reapLeft(ctx context.Context, notes string) (found int, err error) {
	entries, err := os.ReadDir(notes)
	if err != nil {
		return 0, fmt.Errorf("look for agents that were left: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if ctx.Err() != nil {
			break
		}
		if killTree(e.Name(), 0) > 0 {
			found++
		}
		errs = append(errs, os.Remove(filepath.Join(notes, e.Name())))
	}
	return found, errors.Join(errs...)
}
