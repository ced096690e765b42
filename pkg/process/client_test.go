package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// desk is the other end of a client's connection, played by the test.
type desk struct {
	t        *testing.T
	dir      string
	listener net.Listener
	conn     net.Conn
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	dir, err := os.MkdirTemp("", "desk") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, process.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: dir, listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		if d.conn != nil {
			_ = d.conn.Close()
		}
		_ = os.RemoveAll(dir)
	})
	return d
}

func (d *desk) client(log func(string)) *process.Client {
	c := process.NewClient(process.ClientOptions{Dir: d.dir, Log: log})
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx) // ends with the context
	}()
	d.t.Cleanup(func() { cancel(); <-done })
	return c
}

// accept takes a connection and plays the handshake.
func (d *desk) accept(hello string) {
	d.t.Helper()
	var err error
	if d.conn, err = d.listener.Accept(); err != nil {
		d.t.Fatal(err)
	}
	f := d.read()
	if f.Verb != process.VerbHello {
		d.t.Fatalf("first request is %q", f.Verb)
	}
	d.write(process.Frame{ID: f.ID, Body: json.RawMessage(hello)}, nil)
}

func (d *desk) read() process.Frame {
	d.t.Helper()
	if err := d.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		d.t.Fatal(err)
	}
	f, err := process.ReadFrame(d.conn)
	if err != nil {
		d.t.Fatal(err)
	}
	return f
}

func (d *desk) write(f process.Frame, body any) {
	d.t.Helper()
	out, err := process.AppendFrame(nil, f, body)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.conn.Write(out); err != nil {
		d.t.Fatal(err)
	}
}

// watch plays the answer to Watch.
func (d *desk) watch(changes ...process.Change) {
	d.t.Helper()
	f := d.read()
	if f.Verb != process.VerbWatch {
		d.t.Fatalf("request is %q, want watch", f.Verb)
	}
	d.write(process.Frame{ID: f.ID}, nil)
	for _, c := range changes {
		d.write(process.Frame{Verb: process.VerbChange}, c)
	}
	d.write(process.Frame{Verb: process.VerbSynced}, nil)
}

const helloNow = `{"protocol":1,"version":"x","pid":1,"bootID":"b","session":"s","field of a later version":[1]}`

func change(seq uint64, id string, state process.State) process.Change {
	return process.Change{Seq: seq, Run: &process.Run{
		ID: process.RunID(id), Owner: "Service/" + id, State: state, StartedAt: time.Unix(int64(seq), 0),
	}}
}

func state(c *process.Client, id string) process.State {
	for _, r := range c.Runs("Service/" + id) {
		return r.State
	}
	return "none"
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestMirrorFollowsAndResyncs(t *testing.T) {
	d := newDesk(t)
	c := d.client(nil)
	told := make(chan string, 100)
	c.OnChange(func(owner string) { told <- owner })
	d.accept(helloNow)
	d.watch(change(1, "a", process.Running), change(2, "b", process.Running))
	<-c.Synced()
	d.write(process.Frame{Verb: process.VerbChange}, change(5, "a", process.Exited))
	d.write(process.Frame{Verb: process.VerbChange}, change(4, "a", process.Stopping)) // late: an older state
	d.write(process.Frame{Verb: "a verb of a later version"}, nil)
	d.write(process.Frame{Verb: process.VerbChange}, change(6, "c", process.Running))
	until(t, "c", func() bool { return state(c, "c") == process.Running })
	if got := state(c, "a"); got != process.Exited {
		t.Errorf("a is %s", got)
	}
	// The connection is lost; meanwhile b was forgotten, and another keeper counts anew.
	_ = d.conn.Close()
	d.accept(helloNow)
	d.watch(change(1, "a", process.Stopping), change(2, "c", process.Running))
	until(t, "b to go", func() bool { return state(c, "b") == "none" })
	if got := state(c, "a"); got != process.Stopping {
		t.Errorf("a is %s after the resync", got)
	}
	d.write(process.Frame{Verb: process.VerbChange}, process.Change{Seq: 9, Forgotten: "a"})
	until(t, "a to go", func() bool { return state(c, "a") == "none" })
	owners := map[string]bool{}
	for len(told) > 0 {
		owners[<-told] = true
	}
	if len(owners) != 3 {
		t.Errorf("told of %v", owners)
	}
}

// The answer is lost with the connection: the same Start is asked again, and the run is in the mirror when it returns.
func TestStartIsAskedAgain(t *testing.T) {
	d := newDesk(t)
	c := d.client(nil)
	d.accept(helloNow)
	d.watch()
	started := make(chan error, 1)
	go func() {
		run, err := c.Start(t.Context(), process.Spec{ID: "a"})
		if err == nil && (run.PID != 5 || state(c, "a") != process.Running) {
			err = errors.New("the run is not in the mirror")
		}
		started <- err
	}()
	first := d.read()
	_ = d.conn.Close()
	d.accept(helloNow)
	d.watch()
	again := d.read()
	if again.Verb != process.VerbStart || string(again.Body) != string(first.Body) {
		t.Fatalf("asked for %s %s", again.Verb, again.Body)
	}
	answer := change(1, "a", process.Running)
	answer.Run.PID = 5
	d.write(process.Frame{ID: again.ID}, answer)
	if err := <-started; err != nil {
		t.Error(err)
	}
}

// A signal may have been sent: it is not sent twice.
func TestSignalIsNotRepeated(t *testing.T) {
	d := newDesk(t)
	c := d.client(nil)
	d.accept(helloNow)
	d.watch()
	sent := make(chan error, 1)
	go func() { sent <- c.Signal(t.Context(), "a", 15, false) }()
	d.read()
	_ = d.conn.Close()
	if err := <-sent; !errors.Is(err, process.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	c := process.NewClient(process.ClientOptions{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	for verb, err := range map[string]error{
		"hello": func() error { _, err := c.Hello(ctx); return err }(),
		"start": func() error { _, err := c.Start(ctx, process.Spec{ID: "a"}); return err }(),
		"stop":  c.Stop(ctx, "a", 15, 0),
	} {
		if !errors.Is(err, process.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	<-done
}

func TestStrangeKeepers(t *testing.T) {
	for name, tt := range map[string]struct{ hello, says string }{
		"of a later protocol": {`{"protocol":99,"pid":3,"version":"9"}`, "upgrade the older of the two"},
		"garbage":             {`[]`, "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			said := make(chan string, 100)
			d.client(func(m string) {
				select {
				case said <- m:
				default:
				}
			})
			d.accept(tt.hello)
			if m := <-said; !strings.Contains(m, tt.says) {
				t.Errorf("said %q", m)
			}
		})
	}
}
