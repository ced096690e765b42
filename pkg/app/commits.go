package app

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/worktree"
)

// commit makes a commit of an edited manifest file where that is wished for. The edit is done already: what goes wrong is told, and
// nothing else.
func (a *App) commit(ctx context.Context, path, message, actor string) {
	if !a.settings.ManifestsGitCommit || path == "" {
		return
	}
	err := a.worktree.Commit(context.WithoutCancel(ctx), path, message, actor)
	if err == nil || errors.Is(err, worktree.ErrNone) {
		return
	}
	a.log.Warn("an edit of a manifest is not committed", "file", path, "err", err)
	a.store.RecordEvent(v1.Event{
		Type: v1.EventWarning, Reason: "ManifestNotCommitted", Actor: actor, Message: fmt.Sprintf("the edit of %s is in force, and not committed: %v", path, err),
	})
}
