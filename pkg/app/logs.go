package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/logs"
)

const (
	// burstSeconds is how much of a service's budget of lines a second may come at once.
	burstSeconds = 20
	// tailPage is how many rows are read at a time for the last lines.
	tailPage = 1000
)

// logBook fits the index of logs onto the API, and tells it what to follow.
type logBook struct {
	app      *App
	store    *logs.Store
	programs *programs
	gaps     *logGaps

	mu       sync.Mutex
	attached map[string]int // replicas that are followed, by service
}

func (a *App) openLogs(ctx context.Context, p *programs) (*logBook, error) {
	l := &logBook{app: a, programs: p, attached: map[string]int{}}
	l.gaps = newLogGaps(func(service string) { a.loop.Add(v1.Key{Kind: v1.KindService, Name: service}) })
	tell := func(reason, kind, message string) {
		a.store.RecordEvent(v1.Event{Type: v1.EventType(kind), Reason: reason, Actor: "supervisor", Message: message})
	}
	var err error
	l.store, err = logs.Open(ctx, filepath.Join(a.settings.Dir, "logs.db"), logs.Options{
		Cap: a.settings.LogIndexMaxBytes, Retention: a.settings.LogRetention, Budget: budget(a.settings.LogBudget), Log: a.log,
		OnSkipped: l.gaps.skipped,
		OnSetAside: func(aside string, cause error) {
			tell("LogIndexSetAside", string(v1.EventWarning), "the index of logs was damaged ("+cause.Error()+") and is made anew from the files; the old one is "+aside)
		},
		OnDegraded: func(cause error) {
			if cause != nil {
				tell("LogIndexDegraded", string(v1.EventWarning), "lines wait in the files and cannot be searched: "+cause.Error())
				return
			}
			tell("LogIndexRecovered", string(v1.EventNormal), "lines are indexed again")
		},
	})
	return l, err
}

// budget is so many lines a second with a burst; 0 is the default of the index.
func budget(perSecond int) logs.Budget {
	return logs.Budget{Rate: float64(perSecond), Burst: perSecond * burstSeconds}
}

// follow makes the index follow the output of the services that are desired, and of those that were and are being ended.
func (l *logBook) follow(services []v1.Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := l.attached
	l.attached = make(map[string]int, len(services))
	for _, o := range services {
		s, ok := o.(*v1.Service)
		if !ok {
			continue
		}
		name := s.Metadata.Name
		// One that has no replica now has its past.
		n := max(1, s.ReplicaCount())
		for i := range n {
			src := logs.Source{Service: name, Replica: i, Dir: l.programs.logDir(name, i), Retention: s.Spec.Logs.Retention.Or(0)}
			if s.Spec.Logs.LinesPerSecond > 0 {
				src.Budget = budget(s.Spec.Logs.LinesPerSecond)
			}
			l.store.Attach(src)
		}
		for i := n; i < gone[name]; i++ {
			l.store.Detach(name, i)
		}
		delete(gone, name)
		l.attached[name] = n
	}
	for name, n := range gone {
		l.attached[name] = n // until nothing of it is left: see forget
	}
}

// forget ends with a service that is deleted and of which nothing runs any more: its rows go, its files stay.
func (l *logBook) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, _, _, back := l.app.desired.Get(v1.Key{Kind: v1.KindService, Name: name}); !back {
		for i := range l.attached[name] {
			l.store.Detach(name, i)
		}
		delete(l.attached, name)
	}
	l.store.Forget(name)
}

// sweep forgets the services that were deleted while nobody was here.
func (l *logBook) sweep() {
	for _, name := range l.store.Services() {
		key := v1.Key{Kind: v1.KindService, Name: name}
		if _, _, _, ok := l.app.desired.Get(key); !ok && l.app.store.Status(key) == nil {
			l.forget(name)
		}
	}
}

// run follows the files once it is known what to follow.
func (l *logBook) run(ctx context.Context) error {
	select {
	case <-l.app.loaded:
	case <-ctx.Done():
		return nil
	}
	return quiet(l.store.Run(ctx))
}

// inQuery puts the index's errors into the API's.
func inQuery(err error) error {
	if errors.Is(err, logs.ErrQuery) {
		return rest.Errorf(wire.CodeInvalid, "%v", err)
	}
	return err
}

// syncPatience bounds how long a reader waits for lines that are in the files already.
const syncPatience = time.Second

// sync waits until what services have said by now can be found.
func (l *logBook) sync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	if err := l.store.Sync(ctx); err != nil && ctx.Err() == nil {
		l.app.log.Debug("the index of logs lags", "err", err)
	}
}

// Rows implements rest.LogReader.
func (l *logBook) Rows(ctx context.Context, q rest.LogQuery) (rest.LogPage, error) {
	l.sync(ctx)
	f, err := filter(q.Services, q.Stream, q.Level, q.Text, q.Regexp)
	if err != nil {
		return rest.LogPage{}, err
	}
	f.Since, f.Until = q.Since, q.Until
	if f.MaxLevel, err = logs.ParseLevel(q.MaxLevel); err != nil {
		return rest.LogPage{}, rest.Errorf(wire.CodeInvalid, "%v", err)
	}
	query := logs.Query{Filter: f, Limit: q.Limit, Offset: q.Offset}
	if q.Cursor != "" {
		if query.Before, err = logs.ParseCursor(q.Cursor); err != nil {
			return rest.LogPage{}, rest.Errorf(wire.CodeInvalid, "%.60q is no cursor of a page", q.Cursor)
		}
	}
	if q.Cursor == "" && q.Through != "" {
		if query.Before, err = logs.ParseCursor(q.Through); err != nil {
			return rest.LogPage{}, rest.Errorf(wire.CodeInvalid, "%.60q is no cursor of an entry", q.Through)
		}
		query.Before.ID++
	}
	page, err := l.store.Query(ctx, query)
	if err != nil {
		return rest.LogPage{}, inQuery(err)
	}
	out := rest.LogPage{Rows: make([]wire.LogEntry, len(page.Rows)), Partial: page.Partial}
	for i := range page.Rows {
		r := &page.Rows[i]
		out.Rows[i] = wire.LogEntry{
			ID: r.ID, Service: r.Service, Replica: r.Replica, Stream: string(r.Stream), Level: r.Level.String(), Time: r.Time,
			Text: strings.ToValidUTF8(r.Text, "\ufffd"), Marker: r.Marker, Skipped: r.Skipped,
			Cursor: l.store.Cursor(*r).String(),
		}
	}
	if !page.Next.IsZero() {
		out.Next = page.Next.String()
	}
	return out, nil
}

func filter(services []string, stream, level, text, expr string) (logs.Filter, error) {
	f := logs.Filter{Services: services, Stream: logs.Stream(stream), Text: text}
	var err error
	if f.Level, err = logs.ParseLevel(level); err != nil {
		return f, rest.Errorf(wire.CodeInvalid, "%v", err)
	}
	if expr != "" {
		if f.Regexp, err = regexp.Compile(expr); err != nil {
			return f, rest.Errorf(wire.CodeInvalid, "regexp: %v", err)
		}
	}
	return f, nil
}

// place is where a reader of lines is: behind a row, and so many lines into the next.
type place struct {
	after logs.Cursor
	lines int
}

func (p place) String() string { return p.after.String() + "+" + strconv.Itoa(p.lines) }

func parsePlace(s string) (p place, err error) {
	row, lines, ok := strings.Cut(s, "+")
	if p.lines, err = strconv.Atoi(lines); !ok || err != nil || p.lines < 0 {
		return p, errors.New("it has no count of lines")
	}
	if row != "" {
		p.after, err = logs.ParseCursor(row)
	}
	return p, err
}

// Lines implements rest.LogReader.
func (l *logBook) Lines(ctx context.Context, services []string, o wire.LogOptions, fn func(wire.LogLine) error) error {
	if len(services) == 0 {
		return nil
	}
	f, err := filter(services, o.Stream, o.Level, o.Text, o.Regexp)
	if err != nil {
		return err
	}
	f.Since = o.Since
	l.sync(ctx)
	var at place
	switch {
	case o.Resume != "":
		if at, err = parsePlace(o.Resume); err != nil {
			return rest.Errorf(wire.CodeInvalid, "%.60q is no cursor of a log line: %v", o.Resume, err)
		}
		f.Since = time.Time{}
	case o.Tail >= 0:
		if at, err = l.tail(ctx, f, o.Tail, fn); err != nil {
			return inQuery(err)
		}
	}
	rows := l.store.Read
	if o.Follow {
		rows = l.store.Follow
	}
	for r, err := range rows(ctx, f, at.after) {
		if err != nil {
			if ctx.Err() != nil && o.Follow {
				return nil
			}
			return inQuery(err)
		}
		if at, err = l.tell(&r, at, fn); err != nil {
			return err
		}
	}
	return nil
}

// tell calls fn with the lines of a row that were not told yet, and returns the place behind it.
func (l *logBook) tell(r *logs.Row, at place, fn func(wire.LogLine) error) (place, error) {
	text := strings.Split(strings.ToValidUTF8(r.Text, "\ufffd"), "\n")
	next := place{after: l.store.Cursor(*r)}
	entry := next.after.String()
	for i, line := range text {
		if i < at.lines {
			continue
		}
		resume := place{at.after, i + 1}
		if i == len(text)-1 {
			resume = next
		}
		err := fn(wire.LogLine{Service: r.Service, Stream: string(r.Stream), Time: r.Time, Text: line, Cursor: resume.String(), Level: r.Level.String(), Entry: entry})
		if err != nil {
			return at, err
		}
	}
	return next, nil
}

// tail tells the last n lines, and returns the place behind them.
func (l *logBook) tail(ctx context.Context, f logs.Filter, n int, fn func(wire.LogLine) error) (place, error) {
	var rows []logs.Row // newest first
	lines := 0
	q := logs.Query{Filter: f, Limit: min(tailPage, max(1, n))}
	for {
		page, err := l.store.Query(ctx, q)
		if err != nil {
			return place{}, err
		}
		for _, r := range page.Rows {
			if lines >= n && len(rows) > 0 {
				break
			}
			rows = append(rows, r)
			lines += strings.Count(r.Text, "\n") + 1
		}
		if lines >= n || page.Next.IsZero() {
			break
		}
		q.Before = page.Next
	}
	var at place
	if n == 0 && len(rows) > 0 {
		return place{after: l.store.Cursor(rows[0])}, nil
	}
	for i := range slices.Backward(rows) {
		r := &rows[i]
		if extra := lines - n; extra > 0 && i == len(rows)-1 {
			at.lines = extra
		}
		var err error
		if at, err = l.tell(r, at, fn); err != nil {
			return at, err
		}
	}
	return at, nil
}

// Raw implements rest.LogReader.
func (l *logBook) Raw(service string, replica int, stream string, to io.Writer) error {
	dir := l.programs.logDir(service, replica)
	files, err := logs.Files(dir)
	if err != nil {
		return err
	}
	for _, f := range slices.Backward(files) { // the oldest first
		if stream != "" && string(f.Stream) != stream {
			continue
		}
		h, err := logs.OpenFile(dir, f.Name)
		if err != nil {
			continue // it was rotated away meanwhile
		}
		_, err = io.Copy(to, h)
		if err = errors.Join(err, h.Close()); err != nil {
			return fmt.Errorf("send %s: %w", f.Name, err)
		}
	}
	return nil
}

// Stats implements rest.LogReader.
func (l *logBook) Stats(service string) wire.LogStats {
	fig := l.store.Stats()
	out := wire.LogStats{SkippedLines: fig.Services[service], IndexBytes: fig.DiskBytes}
	for _, s := range fig.Streams {
		if s.Service == service {
			out.LagBytes += s.Lag
		}
	}
	key := v1.Key{Kind: v1.KindService, Name: service}
	for _, run := range l.app.keeper.Runs(key.String()) {
		out.DroppedLines += run.Dropped.Lines
		out.DroppedBytes += run.Dropped.Bytes
	}
	if err := l.store.Degraded(); err != nil {
		out.Degraded = err.Error()
	}
	return out
}

var _ rest.LogReader = (*logBook)(nil)
