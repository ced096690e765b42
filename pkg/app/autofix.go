package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/jobs"
	"github.com/philiporange/supervisor/pkg/logs"
)

// wellAfter is how long a program has to run for its folder to count as one that ran well.
const wellAfter = time.Minute

// repairs is the repair by coding agents: it tells the engine what fails, and fits it onto the API.
type repairs struct {
	app    *App
	world  *patients
	store  *history.Store
	engine *autofix.Engine
}

func (a *App) openRepairs(ctx context.Context, p *programs) (*repairs, error) {
	store, err := history.Open(ctx, filepath.Join(a.settings.Dir, "fixes.db"), a.log)
	if err != nil {
		return nil, err
	}
	r := &repairs{app: a, world: &patients{app: a, programs: p}, store: store}
	r.engine = autofix.New(autofix.Options{
		Enabled: a.settings.AutofixEnabled, Timeout: a.settings.AutofixTimeout, Backups: a.settings.Backups(),
		Dir: filepath.Join(a.settings.Dir, "fixes"), Data: resolved(a.settings.Dir), Manifests: resolved(a.settings.Manifests),
		Scratch: "/var/tmp", MaxBackup: a.settings.AutofixBackupMax,
	}, r.world, a.agents.runner, a.background.jobs, store, a.log)
	a.background.jobs.OnInterrupted(autofix.JobKind, r.interrupted)
	// Before anything is started: a folder that a crash has left half changed must not run.
	if err := r.engine.Recover(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return r, nil
}

// interrupted says what became of a repair that the end of the supervisor interrupted; the engine has settled it by then.
func (r *repairs) interrupted(ctx context.Context, j jobs.Job) string {
	f, ok, err := r.store.ByJob(ctx, j.ID)
	if err != nil || !ok {
		return ""
	}
	return fmt.Sprintf("fix %d: %s", f.ID, f.Reason)
}

// run looks for failures until ctx ends, once what an earlier life left is settled.
func (r *repairs) run(ctx context.Context) error {
	select {
	case <-r.app.loaded:
	case <-ctx.Done():
		return nil
	}
	var watching sync.WaitGroup
	watching.Go(func() { r.watchStatus(ctx) })
	watching.Go(func() { r.watchLogs(ctx) })
	err := r.engine.Run(ctx)
	watching.Wait()
	return quiet(err)
}

// life is what was seen of a service.
type life struct {
	exit    time.Time // of the newest exit that was looked at
	started time.Time
	commit  string // what was checked out when it started
}

// watchStatus tells the engine of crashes.
func (r *repairs) watchStatus(ctx context.Context) {
	lives := map[v1.Key]*life{}
	for ctx.Err() == nil {
		seq, objects := r.app.store.Snapshot()
		changes, err := r.app.store.Subscribe(ctx, seq)
		if errors.Is(err, v1.ErrGap) {
			continue // more has changed between the two calls than is kept
		}
		if err != nil {
			return
		}
		for _, o := range objects {
			r.look(ctx, lives, o.Key, o.Status)
		}
		for c := range changes { // closed when ctx ends, or when we were too slow
			switch {
			case c.Kind == v1.ChangeObject && c.Deleted:
				delete(lives, c.Key)
			case c.Kind == v1.ChangeStatus:
				r.look(ctx, lives, c.Key, c.Status)
			}
		}
	}
}

// look compares a status with what was seen of the service before. What had failed before we began to look is not news.
func (r *repairs) look(ctx context.Context, lives map[v1.Key]*life, key v1.Key, st *v1.ServiceStatus) {
	if st == nil || key.Kind != v1.KindService {
		return
	}
	l := lives[key]
	if l == nil {
		l = &life{exit: r.app.started}
		lives[key] = l
	}
	if e := st.LastExit; e != nil && e.At.After(l.exit) {
		if e.StartedAt.Equal(l.started) && e.At.Sub(e.StartedAt) >= wellAfter {
			r.engine.Well(ctx, key, l.commit, e.At)
		}
		if t, ok := autofix.Crashed(key, st, l.exit); ok {
			r.engine.Report(t)
		}
		l.exit = e.At
	}
	if st.PID != 0 && st.StartedAt != nil && !st.StartedAt.Equal(l.started) {
		l.started, l.commit = *st.StartedAt, ""
		if object, _, _, ok := r.app.desired.Get(key); ok {
			if svc, isService := object.(*v1.Service); isService {
				l.commit = autofix.Head(r.world.programs.workingDir(svc))
			}
		}
	}
}

// watchLogs tells the engine of errors that services log.
func (r *repairs) watchLogs(ctx context.Context) {
	f := logs.Filter{MinLevel: logs.Error, Since: time.Now()}
	for row, err := range r.app.logs.store.Follow(ctx, f, logs.Cursor{}) {
		if err != nil {
			if ctx.Err() == nil {
				r.app.log.Warn("errors in logs are not looked at any more", "err", err)
			}
			return
		}
		if !row.Marker {
			r.engine.Entry(v1.Key{Kind: v1.KindService, Name: row.Service}, row.Text, row.Time)
		}
	}
}

// jobEnded tells whoever wants to know of a run of a cron job that has ended.
func (a *App) jobEnded(j *v1.CronJob, row ledger.Row) {
	a.measuring.jobEnded(j, row)
	a.repairs.jobEnded(j, row)
}

// jobEnded tells the engine of a run of a cron job that failed for good.
func (r *repairs) jobEnded(j *v1.CronJob, row ledger.Row) {
	if row.State != ledger.Failed || row.ExitCode == nil || row.Trigger != ledger.Manual && row.Attempt <= j.Spec.Retries.Limit {
		return
	}
	out, err := r.app.cron.lines(j.Metadata.Name, row.ID, 0)
	if err != nil {
		r.app.log.Debug("the output of a failed run cannot be read", "cronjob", j.Metadata.Name, "err", err)
	}
	r.engine.Report(autofix.JobFailed(j.Key(), row.ID, row.Message, textOf(out)))
}

func textOf(lines []wire.LogLine) string {
	var b []byte
	for i := range lines {
		b = append(append(b, lines[i].Text...), '\n')
	}
	return string(b)
}

// inFixes puts the engine's errors into the API's. impossible is the code of what is not possible now.
func inFixes(impossible wire.Code, err error) error {
	var none *agent.UnavailableError
	var busy *jobs.BusyError
	switch {
	case errors.Is(err, autofix.ErrNoFix), errors.Is(err, autofix.ErrNoObject):
		return rest.Errorf(wire.CodeNotFound, "%v", err)
	case errors.Is(err, autofix.ErrState):
		return rest.Errorf(impossible, "%v", err)
	case errors.As(err, &none):
		return rest.Errorf(wire.CodeUnavailable, "%v", err)
	case errors.As(err, &busy):
		return rest.Errorf(wire.CodeConflict, "%v", busy)
	}
	return err
}

// Fix implements rest.Fixes.
func (r *repairs) Fix(ctx context.Context, key v1.Key, description, actor string) (string, error) {
	job, err := r.engine.Fix(ctx, key, description, actor)
	return job, inFixes(wire.CodeConflict, err)
}

// List implements rest.Fixes.
func (r *repairs) List(ctx context.Context, q rest.FixQuery) ([]wire.FixDetail, error) {
	query := history.Query{Open: q.Open, Repairs: !q.Restores, Before: q.Before, Limit: q.Limit}
	if q.Object.Name != "" {
		query.Object = q.Object.String()
	}
	found, err := r.engine.List(ctx, query)
	out := make([]wire.FixDetail, len(found))
	for i := range found {
		out[i] = r.view(&found[i])
	}
	return out, err
}

// Get implements rest.Fixes.
func (r *repairs) Get(ctx context.Context, id uint64) (wire.FixDetail, error) {
	f, err := r.engine.Get(ctx, id)
	if err != nil {
		return wire.FixDetail{}, inFixes(wire.CodeConflict, err)
	}
	return r.view(&f), nil
}

// Restore implements rest.Fixes. Scripts know 400 for what cannot be restored.
func (r *repairs) Restore(ctx context.Context, id uint64, actor string) (wire.Restored, error) {
	done, err := r.engine.Restore(ctx, id, actor)
	if err != nil {
		return wire.Restored{}, inFixes(wire.CodeInvalid, err)
	}
	key, _ := parseKey(done.Fix.Object)
	return wire.Restored{
		Status: "restored", FixID: id, BackupPath: done.Fix.Backup, Service: key.Name, UndoID: done.Undo.ID, Changed: append([]string{}, done.Changed...),
	}, nil
}

// Approve implements rest.Fixes.
func (r *repairs) Approve(ctx context.Context, id uint64, actor string) (wire.JobStarted, error) {
	job, err := r.engine.Approve(ctx, id, actor)
	if err != nil {
		return wire.JobStarted{}, inFixes(wire.CodeConflict, err)
	}
	f, err := r.engine.Get(ctx, id)
	key, _ := parseKey(f.Object)
	return wire.JobStarted{JobID: job, Status: "started", Service: key.Name}, err
}

// Reject implements rest.Fixes.
func (r *repairs) Reject(ctx context.Context, id uint64, reason, actor string) (wire.FixDetail, error) {
	f, err := r.engine.Reject(ctx, id, reason, actor)
	if err != nil {
		return wire.FixDetail{}, inFixes(wire.CodeConflict, err)
	}
	return r.view(&f), nil
}

// Transcript implements rest.Fixes.
func (r *repairs) Transcript(ctx context.Context, id uint64, to io.Writer) error {
	return inFixes(wire.CodeConflict, r.engine.Transcript(ctx, id, to))
}

func (r *repairs) view(f *history.Fix) wire.FixDetail {
	key, _ := parseKey(f.Object)
	id, _, _, _ := r.app.store.ObjectInfo(key)
	out := wire.FixDetail{
		Fix: wire.Fix{
			ID: f.ID, ServiceID: id, ErrorSummary: f.Summary, RobotResponse: f.Response, Success: f.State == history.Applied,
			FilesModified: append([]string{}, f.Files...), Restored: !f.Restored.IsZero(), CanRestore: f.CanRestore(), Timestamp: f.CreatedAt,
		},
		Object: key, Folder: f.Folder, State: string(f.State), Reason: f.Reason, Cause: string(f.Cause), Detail: f.Detail, Actor: f.Actor, JobID: f.Job,
		Diff: f.Diff, Agent: f.Agent, Model: f.Model, InputTokens: f.InputTokens, OutputTokens: f.OutputTokens, CostUSD: f.CostUSD,
		DurationSeconds: time.Since(f.CreatedAt).Seconds(), ExecutionID: f.Run, UndoesID: f.Of,
	}
	if f.Backup != "" {
		out.BackupPath = &f.Backup
	}
	if !f.EndedAt.IsZero() {
		out.EndedAt = &f.EndedAt
		out.DurationSeconds = f.EndedAt.Sub(f.CreatedAt).Seconds()
	}
	if !f.Restored.IsZero() {
		out.RestoredAt = &f.Restored
	}
	return out
}

var (
	_ rest.Fixes     = (*repairs)(nil)
	_ autofix.Agents = (*agent.Runner)(nil)
)
