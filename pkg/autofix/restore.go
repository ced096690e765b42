package autofix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// Get returns a repair, or ErrNoFix.
func (e *Engine) Get(ctx context.Context, id uint64) (history.Fix, error) {
	f, ok, err := e.store.Get(ctx, id)
	if err == nil && !ok {
		err = ErrNoFix
	}
	return f, err
}

// List returns repairs, the newest first.
func (e *Engine) List(ctx context.Context, q history.Query) ([]history.Fix, error) {
	return e.store.List(ctx, q)
}

// Transcript writes what the agent has said and done: JSON, one line each.
func (e *Engine) Transcript(ctx context.Context, id uint64, to io.Writer) error {
	f, err := e.Get(ctx, id)
	if err != nil {
		return err
	}
	for _, job := range slices.Compact([]string{f.AgentJob, f.Job}) {
		if err := e.jobs.Transcript(ctx, job, to); err != nil && !errors.Is(err, jobs.ErrUnknown) {
			return err
		}
	}
	return nil
}

// Approve makes the changes that a repair proposes, in a job.
func (e *Engine) Approve(ctx context.Context, id uint64, actor string) (job string, err error) {
	e.admission.Lock()
	defer e.admission.Unlock()
	f, err := e.Get(ctx, id)
	if err != nil {
		return "", err
	}
	if f.State != history.Proposed {
		return "", fmt.Errorf("%w: fix %d is %s, and only a proposed one can be approved", ErrState, id, f.State)
	}
	key := keyOf(f.Object)
	target, err := e.world.Target(key)
	if err != nil {
		return "", err
	}
	if target.Folder != f.Folder {
		return "", fmt.Errorf("%w: %s runs in %s now, and the fix is for %s; reject it", ErrState, f.Object, target.Folder, f.Folder)
	}
	job, err = e.enqueue(ctx, &f, "apply fix "+strconv.FormatUint(id, 10)+" of "+f.Object, actor, func(ctx context.Context, h *jobs.Handle) (any, error) {
		return e.goOn(ctx, h, id, actor)
	})
	return job, err
}

// goOn carries out what was approved.
func (e *Engine) goOn(ctx context.Context, h *jobs.Handle, id uint64, actor string) (any, error) {
	f, err := e.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	state, err := next(f.State, approved)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	h.Log("approved", "approved by "+actor, nil)
	f.State, f.Reason = state, "approved by "+actor
	if err := e.store.Save(ctx, &f); err != nil {
		return nil, err
	}
	return e.repair(ctx, h, id, Trigger{Key: keyOf(f.Object), Cause: f.Cause, Run: f.Run})
}

// Reject drops the changes that a repair proposes.
func (e *Engine) Reject(ctx context.Context, id uint64, why, actor string) (history.Fix, error) {
	e.admission.Lock()
	defer e.admission.Unlock()
	f, err := e.Get(ctx, id)
	if err != nil {
		return f, err
	}
	state, err := next(f.State, declined)
	if err != nil {
		return f, fmt.Errorf("%w: fix %d is %s, and only a proposed one can be rejected", ErrState, id, f.State)
	}
	reason := "rejected by " + actor
	if why != "" {
		reason += ": " + why
	}
	e.dropBackup(ctx, &f)
	e.end(ctx, &f, state, reason)
	return f, nil
}

// Restored says what a restore did.
type Restored struct {
	Fix history.Fix
	// Undo is the repair on record whose restore undoes this one; its backup holds what was there.
	Undo history.Fix
	// Changed are the paths that differed.
	Changed []string
}

// Restore puts a folder back to what it was before a repair, exactly, and starts the program again. What is there now is backed up
// first. It returns when that is done.
func (e *Engine) Restore(ctx context.Context, id uint64, actor string) (Restored, error) {
	f, err := e.Get(ctx, id)
	if err != nil {
		return Restored{}, err
	}
	if !f.CanRestore() {
		return Restored{}, fmt.Errorf("%w: %s", ErrState, whyNot(&f))
	}
	undo := history.Fix{
		Object: f.Object, Folder: f.Folder, Cause: history.Restore, Summary: fmt.Sprintf("restored what was before fix %d", id), Actor: actor,
		State: history.Pending, Of: id, CreatedAt: time.Now(),
	}
	if err := e.store.Add(ctx, &undo); err != nil {
		return Restored{}, err
	}
	var changed []string
	job, err := e.enqueue(ctx, &undo, "undo fix "+strconv.FormatUint(id, 10)+" of "+f.Object, actor, func(ctx context.Context, h *jobs.Handle) (any, error) {
		var err error
		changed, err = e.restore(ctx, h, f, &undo)
		return Result{Fix: undo.ID, State: undo.State, Files: changed, Reason: undo.Reason}, err
	})
	if err != nil {
		return Restored{}, errors.Join(err, e.store.Delete(context.WithoutCancel(ctx), undo.ID))
	}
	j, err := e.jobs.Wait(ctx, job)
	if err != nil {
		return Restored{}, fmt.Errorf("the restore goes on as job %s: %w", job, err)
	}
	if j.Status != jobs.Completed {
		return Restored{}, fmt.Errorf("job %s: %s", job, j.Error)
	}
	f, err = e.Get(ctx, id)
	return Restored{Fix: f, Undo: undo, Changed: changed}, err
}

func whyNot(f *history.Fix) string {
	switch {
	case !f.Restored.IsZero():
		return fmt.Sprintf("fix %d was restored already, at %s", f.ID, f.Restored.Format(time.DateTime))
	case f.Backup == "":
		return fmt.Sprintf("fix %d has no backup (any more)", f.ID)
	}
	return fmt.Sprintf("fix %d is %s: the folder was not changed, or is as it was already", f.ID, f.State)
}

// restore does it. The record in undo is this function's.
func (e *Engine) restore(ctx context.Context, h *jobs.Handle, f history.Fix, undo *history.Fix) (changed []string, err error) {
	defer func() {
		if err != nil {
			e.dropBackup(ctx, undo)
			e.end(ctx, undo, history.Failed, err.Error())
		}
	}()
	key := keyOf(f.Object)
	h.Progress("stopping "+f.Object, 0.1)
	undo.Wanted = e.world.Wanted(key)
	if err := e.store.Save(ctx, undo); err != nil {
		return nil, err
	}
	defer func() {
		if !undo.Wanted {
			return
		}
		if startErr := e.world.Resume(context.WithoutCancel(ctx), key); startErr != nil {
			e.log.Error("the program was not started again", "object", f.Object, "err", startErr)
		}
	}()
	if err := e.world.Halt(ctx, key); err != nil && !errors.Is(err, ErrNoObject) {
		return nil, fmt.Errorf("stop it to change its files: %w", err)
	}
	b, err := tree.Open(f.Backup)
	if err != nil {
		return nil, err
	}
	h.Progress("backing up "+f.Folder, 0.3)
	if err := tree.Sweep(f.Folder); err != nil {
		return nil, err
	}
	var now *tree.Backup
	if _, statErr := os.Stat(f.Folder); !errors.Is(statErr, fs.ErrNotExist) {
		if now, err = e.take(ctx, undo, b); err != nil {
			return nil, fmt.Errorf("what is there now cannot be backed up, so it stays: %w", err)
		}
	}
	h.Progress("putting "+f.Folder+" back", 0.6)
	undo.State = history.Applying
	if err := e.store.Save(ctx, undo); err != nil {
		return nil, err
	}
	changes, err := e.restoreTo(context.WithoutCancel(ctx), undo, b)
	if err != nil {
		return nil, err
	}
	undo.Files = tree.Paths(changes)
	if now != nil {
		if diff, err := tree.Patch(changes, now.Content, b.Content); err == nil {
			undo.Diff = agent.Redact(diff)
		}
	}
	e.noteRestored(ctx, f.ID)
	e.end(ctx, undo, history.Applied, fmt.Sprintf("%s is as it was before fix %d", f.Folder, f.ID))
	return undo.Files, nil
}

// noteRestored notes that what a repair did was undone.
func (e *Engine) noteRestored(ctx context.Context, id uint64) {
	ctx = context.WithoutCancel(ctx)
	f, err := e.Get(ctx, id)
	if err == nil {
		f.Restored = time.Now()
		err = e.store.Save(ctx, &f)
	}
	if err != nil {
		e.log.Error("that a repair was undone is not on record", "fix", id, "err", err)
	}
}

// sweep removes the copies and changes that repairs of an earlier life have left, but for those that are open.
func (e *Engine) sweep(open []history.Fix) error {
	var errs []error
	kept, err := filepath.Glob(filepath.Join(e.o.Dir, "changes", "*"))
	errs = append(errs, err)
	for _, path := range kept {
		if !slices.ContainsFunc(open, func(f history.Fix) bool { return e.changeDir(f.ID) == path }) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	for _, dir := range []string{filepath.Join(e.o.Dir, "work"), e.o.Scratch} {
		found, err := filepath.Glob(filepath.Join(dir, workPrefix+e.tag()+"-*"))
		errs = append(errs, err)
		for _, path := range found {
			info, err := os.Lstat(path)
			if st, ok := sysStat(info); err == nil && ok && info.IsDir() && int(st.Uid) == os.Geteuid() { // Scratch is everybody's
				errs = append(errs, os.RemoveAll(path))
			}
		}
	}
	return errors.Join(errs...)
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
