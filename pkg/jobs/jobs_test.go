package jobs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a manager that runs in a folder, and can be ended and begun anew.
type house struct {
	*Manager
	t       *testing.T
	dir     string
	options Options
	stop    context.CancelFunc
	done    chan struct{}
}

func newHouse(t *testing.T, change func(*Options)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.options = Options{Path: filepath.Join(h.dir, "jobs.db"), Dir: filepath.Join(h.dir, "jobs")}
	if change != nil {
		change(&h.options)
	}
	h.open()
	t.Cleanup(func() { h.end() })
	return h
}

func (h *house) open() {
	h.t.Helper()
	m, err := Open(context.WithoutCancel(h.t.Context()), h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Manager = m
}

func (h *house) run() *house {
	ctx, stop := context.WithCancel(context.WithoutCancel(h.t.Context()))
	h.stop, h.done = stop, make(chan struct{})
	go func() {
		defer close(h.done)
		_ = h.Run(ctx)
	}()
	return h
}

func (h *house) end() {
	if h.stop != nil {
		h.stop()
		<-h.done
		h.stop = nil
	}
	if err := h.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *house) begin(s Spec) string {
	h.t.Helper()
	if s.Kind == "" {
		s.Kind = "fix"
	}
	id, err := h.Start(h.t.Context(), s)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) wait(id string) Job {
	h.t.Helper()
	j, err := h.Wait(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func done(context.Context, *Handle) (any, error) { return "done", nil }

// holds returns a function that runs until its context ends, and a channel that is closed once it has begun.
func holds() (run func(context.Context, *Handle) (any, error), begun chan struct{}) {
	begun = make(chan struct{})
	return func(ctx context.Context, _ *Handle) (any, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}, begun
}

func TestHowAJobEnds(t *testing.T) {
	h := newHouse(t, nil).run()
	held := func(ctx context.Context, _ *Handle) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
	for name, c := range map[string]struct {
		spec       Spec
		status     Status
		reason     Reason
		text       string
		wantResult string
	}{
		"well":        {Spec{Run: func(context.Context, *Handle) (any, error) { return map[string]int{"n": 1}, nil }}, Completed, "", "", `{"n":1}`},
		"nothing":     {Spec{Run: func(context.Context, *Handle) (any, error) { return nil, nil }}, Completed, "", "", ""},
		"badly":       {Spec{Run: func(context.Context, *Handle) (any, error) { return 7, errors.New("no luck") }}, Failed, ReasonError, "no luck", "7"},
		"too late":    {Spec{Run: held, Timeout: time.Millisecond}, Failed, ReasonTimeout, "longer than 1ms", ""},
		"by mistake":  {Spec{Run: func(context.Context, *Handle) (any, error) { panic("oh") }}, Failed, ReasonPanic, "oh", ""}, //nolint:forbidigo // it is what is tested
		"unwritable":  {Spec{Run: func(context.Context, *Handle) (any, error) { return make(chan int), nil }}, Failed, ReasonError, "keep the result", ""},
		"all the way": {Spec{Run: func(_ context.Context, h *Handle) (any, error) { h.Progress("half", .5); return nil, nil }}, Completed, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Name, c.spec.Subject, c.spec.Actor = name, "Service/web", "test"
			j := h.wait(h.begin(c.spec))
			if j.Status != c.status || j.Reason != c.reason || !strings.Contains(j.Error, c.text) || string(j.Result) != c.wantResult {
				t.Errorf("%+v", j)
			}
			if j.StartedAt.IsZero() || j.CompletedAt.IsZero() || j.Duration(time.Now()) < 0 || j.Name != name || j.Actor != "test" {
				t.Errorf("%+v", j)
			}
		})
	}
	jobs, err := h.List(t.Context(), Query{Status: Failed, Kind: "fix", Subject: "Service/web"})
	if err != nil || len(jobs) != 4 {
		t.Errorf("%d failed: %v", len(jobs), err)
	}
	if jobs, err = h.List(t.Context(), Query{Limit: 2, Offset: 1}); err != nil || len(jobs) != 2 {
		t.Errorf("%d on a page: %v", len(jobs), err)
	}
	if _, err := h.Start(t.Context(), Spec{Kind: "fix"}); err == nil {
		t.Error("a job without a function was taken")
	}
}

func TestAFolderHasOneJob(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 4 }).run()
	base := t.TempDir()
	for _, d := range []string{"app/sub", "app2"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(filepath.Join(base, "app"), link); err != nil {
		t.Fatal(err)
	}
	run, begun := holds()
	first := h.begin(Spec{Folder: filepath.Join(base, "app"), Run: run})
	<-begun
	for _, folder := range []string{"app", "app/", "app/sub", "link", "link/sub", "."} {
		_, err := h.Start(t.Context(), Spec{Kind: "onboard", Folder: filepath.Join(base, folder), Run: done})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Job.ID != first || !strings.Contains(err.Error(), first) {
			t.Errorf("%s: %v", folder, err)
		}
	}
	if j := h.wait(h.begin(Spec{Folder: filepath.Join(base, "app2"), Run: done})); j.Status != Completed {
		t.Errorf("beside it: %+v", j)
	}
	if err := h.Cancel(t.Context(), first, "test"); err != nil {
		t.Fatal(err)
	}
	h.wait(first)
	if j := h.wait(h.begin(Spec{Folder: link, Run: done})); j.Status != Completed {
		t.Errorf("after it: %+v", j)
	}
}

func TestCancel(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 }).run()
	run, begun := holds()
	running := h.begin(Spec{Run: run})
	<-begun
	ran := false
	waiting := h.begin(Spec{Run: func(context.Context, *Handle) (any, error) { ran = true; return nil, nil }})
	for _, id := range []string{waiting, running} {
		if err := h.Cancel(t.Context(), id, "me"); err != nil {
			t.Fatal(err)
		}
		if j := h.wait(id); j.Status != Failed || j.Reason != ReasonCancelled || !strings.Contains(j.Error, "by me") {
			t.Errorf("%+v", j)
		}
		if err := h.Cancel(t.Context(), id, "me"); !errors.Is(err, ErrEnded) {
			t.Errorf("again: %v", err)
		}
	}
	h.wait(h.begin(Spec{Run: done})) // the queue has passed the cancelled one
	if ran {
		t.Error("what was cancelled before it began has run")
	}
	if err := h.Cancel(t.Context(), "fix-0", "me"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	// What was finished in spite of all is finished.
	late, lateBegun := make(chan struct{}), make(chan struct{})
	id := h.begin(Spec{Run: func(ctx context.Context, _ *Handle) (any, error) {
		close(lateBegun)
		<-ctx.Done()
		<-late
		return 1, nil
	}})
	<-lateBegun
	if err := h.Cancel(t.Context(), id, "me"); err != nil {
		t.Fatal(err)
	}
	close(late)
	if j := h.wait(id); j.Status != Completed {
		t.Errorf("%+v", j)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Queue = 1 })
	first := h.begin(Spec{Run: done})
	if _, err := h.Start(t.Context(), Spec{Kind: "fix", Folder: h.dir, Run: done}); !errors.Is(err, ErrQueueFull) {
		t.Fatal(err)
	}
	h.run()
	h.wait(first)
	if j := h.wait(h.begin(Spec{Folder: h.dir, Run: done})); j.Status != Completed {
		t.Errorf("the refused job holds its folder: %+v", j)
	}
}

func TestARestartSettlesWhatWasLeft(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	h.run()
	run, begun := holds()
	folder := t.TempDir()
	running := h.begin(Spec{Name: "r", Folder: folder, Run: run})
	<-begun
	waiting := h.begin(Spec{Kind: "scan", Run: done})
	h.end()

	h.open()
	if j, ok, err := h.Get(t.Context(), running); err != nil || !ok || j.Status != Running {
		t.Fatalf("before it is settled: %+v %v", j, err)
	}
	var busy *BusyError
	if _, err := h.Start(t.Context(), Spec{Kind: "fix", Folder: folder, Run: done}); !errors.As(err, &busy) {
		t.Errorf("the folder is free before what was left is settled: %v", err)
	}
	if err := h.Cancel(t.Context(), running, "me"); !errors.Is(err, ErrEnded) {
		t.Errorf("cancel: %v", err)
	}
	var asked []string
	h.OnInterrupted("fix", func(_ context.Context, j Job) string {
		asked = append(asked, j.ID)
		return "its backup is in " + j.Folder
	})
	h.run()
	if j := h.wait(running); j.Status != Failed || j.Reason != ReasonInterrupted || !strings.HasSuffix(j.Error, "while it ran; its backup is in "+folder) {
		t.Errorf("%+v", j)
	}
	if j := h.wait(waiting); j.Reason != ReasonInterrupted || !strings.Contains(j.Error, "before it began") {
		t.Errorf("%+v", j)
	}
	h.wait(h.begin(Spec{Folder: folder, Run: done}))
	h.end()
	h.open()
	h.run()
	h.wait(h.begin(Spec{Run: done}))
	if !slices.Equal(asked, []string{running}) {
		t.Errorf("asked for %v", asked)
	}
}

func TestWhatIsFinishedWhileWeLeaveIsFinished(t *testing.T) {
	h := newHouse(t, nil).run()
	begun := make(chan struct{})
	id := h.begin(Spec{Run: func(ctx context.Context, _ *Handle) (any, error) {
		close(begun)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrLeaving) {
			return nil, context.Cause(ctx)
		}
		return "restored", nil
	}})
	<-begun
	h.end()
	h.open()
	if j := h.wait(id); j.Status != Completed || string(j.Result) != `"restored"` {
		t.Errorf("%+v", j)
	}
}

func TestFollow(t *testing.T) {
	h := newHouse(t, nil).run()
	begun, more := make(chan struct{}), make(chan struct{})
	id := h.begin(Spec{Run: func(_ context.Context, h *Handle) (any, error) {
		h.Log("text", "one", nil)
		h.Progress("two", .25)
		close(begun)
		<-more
		h.Log("tool", "three", map[string]string{"id": "t"})
		return nil, nil
	}})
	<-begun
	var mu sync.Mutex
	read := map[uint64][]string{}
	var all sync.WaitGroup
	seen := make(chan struct{}, 2)
	for _, after := range []uint64{0, 1} {
		all.Go(func() {
			j, err := h.Follow(t.Context(), id, after, func(l Line) error {
				mu.Lock()
				defer mu.Unlock()
				read[after] = append(read[after], l.Kind+" "+l.Text+string(l.Data))
				if l.Seq == 2 {
					seen <- struct{}{}
				}
				return nil
			})
			if err != nil || j.Status != Completed {
				t.Errorf("%+v %v", j, err)
			}
		})
	}
	<-seen
	<-seen
	if j, _, err := h.Get(t.Context(), id); err != nil || j.Step != "two" || j.Fraction != .25 {
		t.Errorf("%+v %v", j, err)
	}
	close(more)
	all.Wait()
	want := []string{"text one", `progress two{"fraction":0.25}`, `tool three{"id":"t"}`}
	if !slices.Equal(read[0], want) || !slices.Equal(read[1], want[1:]) {
		t.Errorf("%v", read)
	}
	var whole bytes.Buffer
	if err := h.Transcript(t.Context(), id, &whole); err != nil || strings.Count(whole.String(), "\n") != 3 {
		t.Errorf("%v %s", err, &whole)
	}
	stop := errors.New("enough")
	if _, err := h.Follow(t.Context(), id, 0, func(Line) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	for _, err := range []error{
		h.Transcript(t.Context(), "fix-0", &whole),
		func() error { _, err := h.Follow(t.Context(), "fix-0", 0, nil); return err }(),
		func() error { _, err := h.Wait(t.Context(), "fix-0"); return err }(),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("unknown: %v", err)
		}
	}
}

func TestTranscriptsAreBounded(t *testing.T) {
	dir := t.TempDir()
	tr, err := openTranscript(dir, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.append("text", strings.Repeat("é", maxLine), strings.Repeat("x", maxLine)); err != nil {
		t.Fatal(err)
	}
	tr.limit = 10
	for range 3 {
		if err := tr.append("text", "more", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.close(); err != nil {
		t.Fatal(err)
	}
	// A line that was cut by a crash.
	f, err := os.OpenFile(transcriptPath(dir, "x"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":9,"te`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if tr, err = openTranscript(dir, "x"); err != nil {
		t.Fatal(err)
	}
	if err := tr.append("text", "after", nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.close(); err != nil {
		t.Fatal(err)
	}
	r, err := openReader(dir, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var lines []Line
	if err := r.next(func(l Line) error { lines = append(lines, l); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 3 || len(lines[0].Text) > maxLine+200 || lines[0].Data != nil || !strings.Contains(lines[0].Text, "left out") ||
		!strings.HasPrefix(lines[1].Text, "3 further lines") || lines[2].Text != "after" || lines[2].Seq != 3 {
		t.Errorf("%d lines, %.300v", len(lines), lines)
	}
}

func TestRetention(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Keep = 2 }).run()
	for range 4 {
		h.wait(h.begin(Spec{Run: func(_ context.Context, h *Handle) (any, error) { h.Log("text", "x", nil); return nil, nil }}))
	}
	other := h.begin(Spec{Kind: "scan", Run: done})
	h.wait(other)
	h.end()
	h.open()
	h.run()
	h.wait(h.begin(Spec{Kind: "last", Run: done})) // Run prunes before it works
	jobs, err := h.List(t.Context(), Query{Kind: "fix"})
	if err != nil || len(jobs) != 2 {
		t.Errorf("%d jobs left: %v", len(jobs), err)
	}
	files, err := filepath.Glob(filepath.Join(h.options.Dir, "fix-*"))
	if err != nil || len(files) != 2 {
		t.Errorf("transcripts: %v %v", files, err)
	}
	if _, ok, err := h.Get(t.Context(), other); !ok || err != nil {
		t.Errorf("another kind was pruned: %v", err)
	}
}

func TestADamagedFileIsSetAside(t *testing.T) {
	h := newHouse(t, nil)
	h.begin(Spec{Run: done})
	h.end()
	if err := os.WriteFile(h.options.Path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open()
	aside, err := filepath.Glob(h.options.Path + ".corrupt-*")
	if err != nil || len(aside) == 0 {
		t.Errorf("%v %v", aside, err)
	}
	h.run()
	h.wait(h.begin(Spec{Run: done}))
}
