package autofix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// apply stops the program, takes the backup that counts, now that nothing writes, and makes the changes as one step.
func (r *repair) apply(ctx context.Context) (outcome, error) {
	var err error
	if r.set == nil {
		if r.set, err = tree.LoadChanges(r.e.changeDir(r.f.ID)); err != nil {
			return failed, err
		}
	}
	// On record before it is so: whoever finds the program stopped knows that it should not be.
	r.f.Wanted = r.e.world.Wanted(r.t.Key)
	if err := r.e.store.Save(ctx, &r.f); err != nil {
		return failed, err
	}
	r.halted = true
	if err := r.e.world.Halt(ctx, r.t.Key); err != nil {
		return failed, fmt.Errorf("stop it to change its files: %w", err)
	}
	first, err := tree.Open(r.f.Backup)
	if err != nil {
		return failed, fmt.Errorf("the backup from before the repair is gone: %w", err)
	}
	if r.backup, err = r.e.take(ctx, &r.f, first); err != nil {
		return failed, fmt.Errorf("no repair without a backup: %w", err)
	}
	if err := first.Remove(); err != nil {
		r.log.Warn("a backup that is not needed stays", "backup", first.Path, "err", err)
	}
	if err := ctx.Err(); err != nil {
		return failed, context.Cause(ctx)
	}
	err = r.swap(context.WithoutCancel(ctx), r.set.Changes, r.set.Content)
	if errors.Is(err, tree.ErrChanged) {
		return failed, fmt.Errorf("what the repair changes was changed meanwhile: %w", err)
	}
	if _, half := os.Stat(r.e.journal(r.f.ID)); err != nil && half == nil {
		return interrupt, err // it was begun and cannot be finished: back to the backup
	}
	if err != nil {
		return failed, err
	}
	return done, nil
}

// contentOf opens the content of a file.
type contentOf = func(tree.Name) (io.ReadCloser, error)

// swap changes the folder. A change that was begun is finished.
func (r *repair) swap(ctx context.Context, changes []tree.Change, content contentOf) error {
	return r.e.swap(ctx, &r.f, changes, content)
}

func (e *Engine) swap(ctx context.Context, f *history.Fix, changes []tree.Change, content contentOf) error {
	err := (&tree.Swap{Folder: f.Folder, Changes: changes, Content: content, Journal: e.journal(f.ID)}).Run(ctx)
	if err == nil {
		return nil
	}
	// One that failed after it was decided is tried once more; where there is no journal it was not decided.
	if _, again := tree.Recover(e.journal(f.ID)); again == nil {
		return nil
	} else if !errors.Is(again, fs.ErrNotExist) {
		return errors.Join(err, again)
	}
	return err
}

// verify starts the repaired program and watches it.
func (r *repair) verify(ctx context.Context) (outcome, error) {
	if !r.f.Wanted && r.t.Key.Kind != v1.KindCronJob {
		return done, errors.New("it was not started to see whether it runs, as it is stopped")
	}
	if err := r.e.world.Verify(ctx, r.t.Key); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return failed, fmt.Errorf("the repaired version does not run well: %w", err)
	}
	r.halted = false
	return done, errors.New("the repaired version runs well")
}

// revert puts the folder back to the backup, exactly: also what the repaired version has written while it was watched.
func (r *repair) revert(ctx context.Context) (outcome, error) {
	err := r.e.world.Halt(ctx, r.t.Key)
	if err != nil {
		r.log.Warn("the program is not stopped while its files are put back", "err", err)
	}
	r.halted = true
	if r.backup == nil {
		if r.backup, err = tree.Open(r.f.Backup); err != nil {
			return failed, fmt.Errorf("%s; and the folder could not be put back: %w", r.f.Reason, err)
		}
	}
	if _, err := r.e.restoreTo(ctx, &r.f, r.backup); err != nil {
		return failed, fmt.Errorf("%s; and the folder could not be put back, which can be tried again with: supervisor fixes restore %d: %w", r.f.Reason, r.f.ID, err)
	}
	return done, nil
}

// restoreTo makes a folder be what a backup holds, and returns what had to change.
func (e *Engine) restoreTo(ctx context.Context, f *history.Fix, b *tree.Backup) ([]tree.Change, error) {
	now, err := tree.Scan(ctx, f.Folder, &b.Snapshot, tree.Limits{Bytes: 1 << 62, Entries: 1 << 30})
	if errors.Is(err, fs.ErrNotExist) {
		now, err = &tree.Snapshot{}, nil // the folder itself was deleted
	}
	if err != nil {
		return nil, err
	}
	changes := tree.Compare(now, &b.Snapshot)
	return changes, e.swap(ctx, f, changes, b.Content)
}

// Recover settles what an earlier life of the supervisor left. Nothing may be started or repaired before it has returned. Programs
// whose repair was interrupted are started anew by Run.
func (e *Engine) Recover(ctx context.Context) error {
	open, err := e.store.List(ctx, history.Query{Open: true})
	if err != nil {
		return err
	}
	for i := range open {
		e.recover(ctx, &open[i])
	}
	left, err := e.store.List(ctx, history.Query{Open: true})
	if err != nil {
		return err
	}
	return e.sweep(left)
}

// recover settles one repair. A change that was decided is finished; what has not been seen to run well is undone, but only what the
// repair itself changed: nobody knows for how long the program has been running since.
func (e *Engine) recover(ctx context.Context, f *history.Fix) {
	_, err := tree.Recover(e.journal(f.ID))
	begun := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Error("a change of a folder cannot be finished", "fix", f.ID, "folder", f.Folder, "err", err)
		e.end(ctx, f, history.Failed, fmt.Sprintf("the supervisor ended in the middle of it, and %s cannot be put right: %v", f.Folder, err))
		return
	}
	if err := tree.Sweep(f.Folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("what a repair needed stays", "folder", f.Folder, "err", err)
	}
	if f.Wanted {
		e.restart = append(e.restart, keyOf(f.Object))
	}
	if f.Cause == history.Restore {
		state, reason := history.Failed, "the supervisor ended before the folder was changed"
		if begun {
			state, reason = history.Applied, "finished after the supervisor was started again"
			e.noteRestored(ctx, f.Of)
		}
		e.end(ctx, f, state, reason)
		return
	}
	to, err := next(f.State, interrupt)
	switch {
	case err != nil || to == history.Proposed:
		return
	case to == history.Failed:
		e.dropBackup(ctx, f)
		e.end(ctx, f, to, "the supervisor ended meanwhile; nothing was changed")
	case to == history.Reverting:
		e.undo(ctx, f)
	}
}

// undo takes back what a repair has changed, and leaves alone what others did.
func (e *Engine) undo(ctx context.Context, f *history.Fix) {
	const ended = "the supervisor ended before the repaired version was seen to run well"
	strange, err := e.takeBack(ctx, f)
	switch {
	case err != nil:
		e.log.Error("a repair was interrupted and is not undone", "fix", f.ID, "folder", f.Folder, "err", err)
		e.end(ctx, f, history.Failed, fmt.Sprintf("%s, and it could not be undone; try: supervisor fixes restore %d: %v", ended, f.ID, err))
	case len(strange) > 0:
		e.end(ctx, f, history.Failed, fmt.Sprintf("%s; it was undone but for what was changed since (%s); to go back to the whole backup: supervisor fixes restore %d",
			ended, strings.Join(strange, ", "), f.ID))
	default:
		e.end(ctx, f, history.Reverted, ended+"; it was undone")
	}
}

func (e *Engine) takeBack(ctx context.Context, f *history.Fix) (strange []string, err error) {
	set, err := tree.LoadChanges(e.changeDir(f.ID))
	if err != nil {
		return nil, err
	}
	b, err := tree.Open(f.Backup)
	if err != nil {
		return nil, err
	}
	left, odd, err := tree.Left(f.Folder, tree.Reverse(set.Changes))
	if err != nil {
		return nil, err
	}
	for _, p := range odd {
		strange = append(strange, string(p))
	}
	return strange, e.swap(ctx, f, left, b.Content)
}

var _ Jobs = (*jobs.Manager)(nil)
