package autofix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// repair is one repair on its way.
type repair struct {
	e      *Engine
	h      *jobs.Handle
	f      history.Fix
	t      Trigger
	target Target

	backup *tree.Backup
	// work is a folder of ours, copy the one in it that the agent works in, base its state before.
	work, copy string
	base       *tree.Snapshot
	set        *tree.ChangeSet
	halted     bool // we have stopped the program
	log        *slog.Logger
}

// Result is what a job that repairs brings.
type Result struct {
	Fix    uint64        `json:"fix_id"`
	State  history.State `json:"state"`
	Files  []string      `json:"files_modified"`
	Reason string        `json:"reason"`
}

// repair carries a repair from where it stands to where it ends, or to a person.
func (e *Engine) repair(ctx context.Context, h *jobs.Handle, id uint64, t Trigger) (any, error) {
	r := &repair{e: e, h: h, t: t, log: e.log.With("fix", id, "object", t.Key.String())}
	var ok bool
	var err error
	if r.f, ok, err = e.store.Get(ctx, id); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("fix %d: %w", id, ErrNoFix))
	}
	defer r.clean()
	for !r.f.State.Ended() && r.f.State != history.Proposed {
		o, err := r.step(ctx)
		if errors.Is(context.Cause(ctx), jobs.ErrLeaving) && !r.f.State.Ended() {
			return nil, jobs.ErrLeaving // the next life of the supervisor finds it as it stands
		}
		r.move(ctx, o, err)
	}
	result := Result{Fix: r.f.ID, State: r.f.State, Files: r.f.Files, Reason: r.f.Reason}
	if r.f.State == history.Applied || r.f.State == history.Proposed {
		return result, nil
	}
	return result, fmt.Errorf("%s: %s", strings.ToLower(string(r.f.State)), r.f.Reason)
}

// step does what the state asks for. Its error says, in words for people, why it went as it did.
func (r *repair) step(ctx context.Context) (outcome, error) {
	switch r.f.State {
	case history.Pending:
		return r.begin()
	case history.Preparing:
		r.h.Progress("backing up "+r.f.Folder, 0.05)
		return r.prepare(ctx)
	case history.Working:
		r.h.Progress("the agent works on a copy", 0.15)
		return r.letWork(ctx)
	case history.Checking:
		r.h.Progress("checking what it changed", 0.6)
		return r.check(ctx)
	case history.Applying:
		r.h.Progress("putting the changes into "+r.f.Folder, 0.75)
		return r.apply(ctx)
	case history.Verifying:
		r.h.Progress("watching the repaired program", 0.8)
		return r.verify(ctx)
	case history.Reverting:
		r.h.Progress("putting "+r.f.Folder+" back", 0.9)
		return r.revert(context.WithoutCancel(ctx))
	}
	return failed, fmt.Errorf("nothing is known to do for a repair that is %s", r.f.State)
}

// move goes to the next state and puts it on record before anything is done in it.
func (r *repair) move(ctx context.Context, o outcome, why error) {
	ctx = context.WithoutCancel(ctx)
	to, err := next(r.f.State, o)
	if err != nil {
		r.log.Error("a repair has lost its way", "err", err)
		to, why = history.Failed, err
	}
	reason := r.f.Reason
	if why != nil {
		reason = why.Error()
	}
	if r.f.State == history.Checking || to.Ended() {
		r.clean() // what is to be made is kept elsewhere
	}
	if !to.Ended() {
		r.f.State, r.f.Reason = to, reason
		if err := r.e.store.Save(ctx, &r.f); err != nil {
			r.log.Error("the state of a repair is not on record", "state", to, "err", err)
		}
		if to == history.Working || to == history.Proposed {
			r.e.tell(&r.f, to)
		}
		return
	}
	r.settle(ctx, to)
	r.e.end(ctx, &r.f, to, reason)
}

// settle leaves things as they should be at the end: a program that was stopped and is meant to run does, and a backup of what was
// not changed is not kept.
func (r *repair) settle(ctx context.Context, to history.State) {
	if r.halted && r.f.Wanted {
		if err := r.e.world.Resume(ctx, r.t.Key); err != nil {
			r.log.Error("the program was not started again", "err", err)
		}
	}
	untouched := to == history.Refused || to == history.Rejected || to == history.Failed && r.f.State != history.Reverting
	if untouched {
		r.e.dropBackup(ctx, &r.f)
	}
}

// dropBackup deletes a backup that nobody needs.
func (e *Engine) dropBackup(_ context.Context, f *history.Fix) {
	if f.Backup == "" {
		return
	}
	if err := os.RemoveAll(f.Backup); err != nil {
		e.log.Warn("a backup that is not needed stays", "backup", f.Backup, "err", err)
	}
	f.Backup = ""
}

// clean removes the copy.
func (r *repair) clean() {
	if r.work == "" {
		return
	}
	if err := os.RemoveAll(r.work); err != nil {
		r.log.Warn("the copy of a repair stays", "folder", r.work, "err", err)
	}
	r.work = ""
}

func (r *repair) begin() (outcome, error) {
	var err error
	if r.target, err = r.e.world.Target(r.t.Key); err != nil {
		return failed, err
	}
	if r.target.Folder != r.f.Folder {
		return failed, fmt.Errorf("it runs in %s now, not in %s", r.target.Folder, r.f.Folder)
	}
	return done, nil
}

// prepare backs the folder up and copies it for the agent.
func (r *repair) prepare(ctx context.Context) (outcome, error) {
	if err := tree.Sweep(r.f.Folder); err != nil {
		return failed, err
	}
	backup, err := r.e.take(ctx, &r.f, nil)
	if err != nil {
		return failed, fmt.Errorf("no repair without a backup: %w", err)
	}
	r.backup = backup
	if r.copy, err = r.makeWork(); err != nil {
		return failed, err
	}
	hide := func(e *tree.Entry) bool { return secretFile(e.Path, r.secretPaths()) }
	if owner := r.owner(); owner != nil && r.target.OwnUser {
		closed := backup.Unreadable(*owner)
		open := hide
		hide = func(e *tree.Entry) bool { return closed(e) || open(e) }
	}
	r.base, err = backup.CopyTo(ctx, r.copy, r.owner(), hide)
	if err != nil {
		return failed, err
	}
	return done, nil
}

// take makes a backup and notes it; earlier, or else the newest of the folder, shares its files.
func (e *Engine) take(ctx context.Context, f *history.Fix, earlier *tree.Backup) (*tree.Backup, error) {
	dir := e.backups(f.Object)
	if earlier == nil {
		if list, err := tree.List(dir); err == nil && len(list) > 0 {
			if b, err := tree.Open(list[len(list)-1]); err == nil && b.Folder == f.Folder {
				earlier = b
			}
		}
	}
	note := fmt.Sprintf("before fix %d", f.ID)
	if f.Cause == history.Restore {
		note = fmt.Sprintf("before fix %d was undone", f.Of)
	}
	e.backingUp.RLock()
	defer e.backingUp.RUnlock()
	b, err := tree.Take(ctx, f.Folder, dir, note, earlier, tree.Limits{Bytes: e.o.MaxBackup})
	if err != nil {
		return nil, err
	}
	f.Backup = b.Path
	if err := e.store.Save(context.WithoutCancel(ctx), f); err != nil {
		return nil, errors.Join(err, b.Remove())
	}
	return b, nil
}

// prune keeps the newest backups, and those that a repair which has not ended needs.
func (e *Engine) prune(ctx context.Context, dir string) {
	ctx = context.WithoutCancel(ctx)
	open, err := e.store.List(ctx, history.Query{Open: true})
	if err != nil {
		e.log.Warn("old backups stay", "err", err)
		return
	}
	var gone []string
	e.backingUp.Lock() // an unfinished backup looks like one that a crash has left
	defer e.backingUp.Unlock()
	err = tree.Prune(dir, e.o.KeepBackups, func(path string) bool {
		needed := slices.ContainsFunc(open, func(f history.Fix) bool { return f.Backup == path })
		if !needed {
			gone = append(gone, path)
		}
		return needed
	})
	for _, path := range gone {
		err = errors.Join(err, e.store.BackupGone(ctx, path))
	}
	if err != nil {
		e.log.Warn("old backups stay", "err", err)
	}
}

// makeWork makes the folder that the agent works in, and returns it. Its name is that of the original, for what asks for it.
func (r *repair) makeWork() (string, error) {
	parent := filepath.Join(r.e.o.Dir, "work")
	other := r.owner() != nil && r.target.UID != os.Geteuid()
	if other {
		parent = r.e.o.Scratch
	} else if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the agent: %w", err)
	}
	var err error
	if r.work, err = os.MkdirTemp(parent, workPrefix+r.e.tag()+"-"); err != nil {
		return "", fmt.Errorf("make a folder for the agent: %w", err)
	}
	// MkdirTemp's own is ours alone; another user has to pass through it, without seeing what is in it.
	if err := os.Chmod(r.work, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("make a folder for the agent: %w", err)
	}
	dir := filepath.Join(r.work, filepath.Base(r.f.Folder))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the agent: %w", err)
	}
	return dir, nil
}

// tag tells our folders from those of other supervisors.
func (e *Engine) tag() string {
	sum := sha256.Sum256([]byte(e.o.Dir))
	return hex.EncodeToString(sum[:4])
}

// workPrefix begins the names of agents' folders.
const workPrefix = "supervisor-fix-"

// owner is whom the copy belongs to; nil when only we could be.
func (r *repair) owner() *tree.Owner {
	if os.Geteuid() != 0 {
		return nil
	}
	return &tree.Owner{UID: r.target.UID, GID: r.target.GID}
}

// secretPaths are the env files of the manifest, as paths of the folder.
func (r *repair) secretPaths() []string {
	var out []string
	for _, path := range r.target.EnvFiles {
		if rel, err := filepath.Rel(r.f.Folder, path); err == nil && filepath.IsLocal(rel) {
			out = append(out, rel)
		}
	}
	return out
}

// letWork lets the agent work on the copy.
func (r *repair) letWork(ctx context.Context) (outcome, error) {
	p := policyOf(r.target.Autofix)
	ev := r.evidence(ctx, p)
	outside := ""
	q := agent.Request{
		Agent: p.agent, Model: p.model, Dir: r.copy, User: r.target.User, Access: agent.AccessEdit, Policy: agent.EditInside(r.copy),
		Limits: agent.Limits{Turn: r.e.o.Timeout},
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.e.o.Timeout, fmt.Errorf("the agent took longer than %s (AUTOFIX_TIMEOUT) and was ended", r.e.o.Timeout))
	defer cancel()
	out, err := r.e.agents.Run(ctx, q, ev.prompt(), func(e agent.Event) {
		if e.Tool != nil && outside == "" {
			outside = escaped(r.copy, e.Tool)
		}
		e = e.Redacted(r.target.Secrets...)
		r.h.Log(string(e.Kind), e.Text, e)
	})
	r.f.Agent, r.f.Model, r.f.Response = out.Agent, out.Model, agent.Redact(out.Text, r.target.Secrets...)
	r.f.InputTokens, r.f.OutputTokens, r.f.CostUSD = out.Usage.InputTokens, out.Usage.OutputTokens, out.Usage.CostUSD
	if outside != "" {
		return refused, refusef("the agent tried to change %s, which is outside of the folder that it was given", outside)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			err = cause
		}
		return failed, err
	}
	if strange, err := r.besides(); err != nil {
		return failed, err
	} else if strange != "" {
		return refused, refusef("the agent wrote %s, which is outside of the folder that it was given", strange)
	}
	return done, nil
}

// besides is what lies beside the copy, where nothing was; empty when nothing is.
func (r *repair) besides() (string, error) {
	entries, err := os.ReadDir(r.work)
	if err != nil {
		return "", fmt.Errorf("look beside the copy: %w", err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(r.copy) || !e.IsDir() {
			return filepath.Join(r.work, e.Name()), nil
		}
	}
	return "", nil
}

func (r *repair) evidence(ctx context.Context, p policy) *evidence {
	ev := &evidence{
		object: r.t.Key.String(), summary: r.t.Summary, trace: r.t.Trace, detail: r.t.Detail, manifest: r.target.Manifest, check: p.check, secrets: r.target.Secrets,
		log: r.e.world.Log(ctx, r.t.Key, r.t.Run, maxLog),
	}
	switch r.t.Cause {
	case history.Hand:
		ev.cause = "A person asked for the repair."
	case history.Errors:
		ev.cause = "It runs, and logs the same error again and again."
	case history.Cron:
		ev.cause = "A run of it has failed."
	default:
		ev.cause = "It has crashed."
	}
	since := ""
	if w, ok, err := r.e.store.GetWell(ctx, r.f.Object); err == nil && ok {
		since, ev.well = w.Revision, w.At.Format("2006-01-02 15:04")
	}
	if Head(r.f.Folder) != "" {
		if ev.changes = gitChanges(ctx, r.f.Folder, since); ev.changes == "" {
			ev.well = ""
		}
	}
	if r.f.Signature != "" {
		past, err := r.e.store.List(ctx, history.Query{Object: r.f.Object, Signature: r.f.Signature, Before: r.f.ID, Repairs: true, Limit: pastShown})
		if err != nil {
			r.log.Debug("earlier repairs are not told", "err", err)
		}
		ev.past = past
	}
	return ev
}

// check finds out what was changed, refuses what no repair needs, and runs the project's own check.
func (r *repair) check(ctx context.Context) (outcome, error) {
	now, err := tree.Scan(ctx, r.copy, r.base, tree.Limits{Bytes: r.e.o.MaxBackup})
	if err != nil {
		return failed, fmt.Errorf("look at what the agent left: %w", err)
	}
	changes := meant(tree.Compare(r.base, now), &r.backup.Snapshot)
	if len(changes) == 0 {
		text := "the agent changed nothing"
		if r.f.Response != "" {
			text += "; it says: " + clip(r.f.Response)
		}
		return failed, errors.New(text)
	}
	r.f.Files = tree.Paths(changes)
	diff, err := tree.Patch(changes, r.backup.Content, tree.Folder(r.copy))
	if err != nil {
		return failed, fmt.Errorf("compare what the agent left: %w", err)
	}
	r.f.Diff = agent.Redact(diff, r.target.Secrets...)
	b := bounds{folder: r.f.Folder, manifests: r.e.o.Manifests, secret: r.secretPaths()}
	if err := b.review(changes); err != nil {
		return refused, err
	}
	if r.set, err = tree.Keep(r.e.changeDir(r.f.ID), changes, tree.Folder(r.copy)); err != nil {
		return failed, err
	}
	if err := r.runCheck(ctx); err != nil {
		return failed, err
	}
	if r.f.Propose {
		return asks, errors.New("it waits for approval")
	}
	return done, nil
}

// runCheck runs the project's check on the copy, with what was left out of it.
func (r *repair) runCheck(ctx context.Context) error {
	command := policyOf(r.target.Autofix).check
	if command == "" {
		return nil
	}
	r.h.Progress("running "+command, 0.65)
	if err := r.lendAll(); err != nil {
		return err
	}
	out, err := r.e.world.Check(ctx, r.t.Key, command, r.copy)
	out = agent.Redact(out, r.target.Secrets...) // it has run with the environment of the program
	r.h.Log("check", out, nil)
	if err != nil {
		return fmt.Errorf("%s: %w%s", command, err, tail(out))
	}
	return nil
}

// lendAll links what the copy lacks into it, such as a virtual environment or an env file, for the check alone.
func (r *repair) lendAll() error {
	// The copy is another user's, who may have put links in it: a Root does not follow them out of it.
	root, err := os.OpenRoot(r.copy)
	if err != nil {
		return fmt.Errorf("prepare the check: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing of it is written
	for _, p := range r.backup.Skipped {
		r.lend(root, string(p))
	}
	for i := range r.backup.Entries {
		if p := r.backup.Entries[i].Path; r.backup.Entries[i].Kind == tree.File && secretFile(p, r.secretPaths()) {
			r.lend(root, string(p))
		}
	}
	return nil
}

func (r *repair) lend(root *os.Root, p string) {
	if _, err := root.Lstat(p); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := root.Symlink(filepath.Join(r.f.Folder, p), p); err != nil {
		r.log.Debug("the check lacks something", "path", p, "err", err)
	}
}

// tail is the end of an output, for a sentence.
func tail(out string) string {
	out = strings.TrimSpace(out)
	if out == "" {
		return ""
	}
	if len(out) > 1000 {
		out = "…" + strings.ToValidUTF8(out[len(out)-1000:], "")
	}
	return "\n" + out
}
