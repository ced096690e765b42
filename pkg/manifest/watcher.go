package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// pollInstead is how often the tree is walked when the kernel cannot watch it.
const pollInstead = 2 * time.Second

// Options of a Watcher; the zero value takes the defaults.
type Options struct {
	// Rescan is how often the tree is walked although nothing was reported, for file systems that lose events. Default: 60 s.
	Rescan time.Duration
	Log    *slog.Logger
	// Tracked is called with the keys whose tracked files have changed (see Track). It must not block.
	Tracked func(keys []v1.Key)
}

// Watcher keeps a Listing of a directory current. One goroutine, that of Run, owns all of it.
type Watcher struct {
	root    string
	options Options
	pokes   chan poke

	accepted  map[string]*File      // what is in force, by path
	unsettled map[string]*unsettled // changed files that may not be finished
	missing   map[string]time.Time  // accepted files that are gone, since when
	made      string                // a file that is known to be finished
	problems  []v1.Problem
	complete  bool
	delivered bool

	kernel  *fsnotify.Watcher
	watched map[string]bool
	limited error // why the kernel cannot watch all of it

	trackMu sync.Mutex
	tracked map[v1.Key][]string
	seen    map[string]identity // of tracked files
}

// NewWatcher returns a watcher of the tree below root, which need not exist.
func NewWatcher(root string, o Options) *Watcher {
	if o.Rescan <= 0 {
		o.Rescan = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{
		root: root, options: o, pokes: make(chan poke),
		accepted: map[string]*File{}, unsettled: map[string]*unsettled{}, missing: map[string]time.Time{},
		watched: map[string]bool{}, tracked: map[v1.Key][]string{}, seen: map[string]identity{},
	}
}

// poke asks for a look at once.
type poke struct {
	gone string // a file that is missing because it was meant to be
	made string // a file that is finished, whatever it looks like
	done chan struct{}
}

// Poke looks at the tree at once and returns when deliver has returned for what was found. Whoever has just written a file
// calls it instead of waiting for the event. gone is a file, relative to the root, that the caller has removed: no second
// look is needed to believe that. It may be empty.
func (w *Watcher) Poke(ctx context.Context, gone string) error {
	return w.poke(ctx, poke{gone: gone, done: make(chan struct{})})
}

// PokeFor is Poke for a file that the caller has written whole: it is taken as it is, also when it looks unfinished.
func (w *Watcher) PokeFor(ctx context.Context, made string) error {
	return w.poke(ctx, poke{made: made, done: make(chan struct{})})
}

func (w *Watcher) poke(ctx context.Context, p poke) error {
	select {
	case w.pokes <- p:
	case <-ctx.Done():
		return fmt.Errorf("look at the manifests: %w", ctx.Err())
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("look at the manifests: %w", ctx.Err())
	}
}

// Track asks for Options.Tracked to be called with key when one of the files changes. It replaces what was tracked for key.
func (w *Watcher) Track(key v1.Key, files []string) {
	w.trackMu.Lock()
	defer w.trackMu.Unlock()
	if slices.Equal(w.tracked[key], files) {
		return
	}
	for _, f := range files {
		if _, known := w.seen[f]; !known {
			w.seen[f] = statFile(f)
		}
	}
	if w.tracked[key] = slices.Clone(files); len(files) == 0 {
		delete(w.tracked, key)
	}
	if w.kernel != nil {
		for _, f := range files {
			// A folder that cannot be watched is looked at with each rescan.
			_ = w.kernel.Add(filepath.Dir(f))
		}
	}
}

// Run walks the tree, delivers what it finds, and goes on to deliver each change until ctx ends. deliver is called on Run's
// own goroutine, never twice at once, and must not keep the Listing's slices.
func (w *Watcher) Run(ctx context.Context, deliver func(Listing)) error {
	kernel, err := fsnotify.NewBufferedWatcher(256)
	if err != nil {
		w.limited = err
	} else {
		defer kernel.Close()
		w.trackMu.Lock()
		w.kernel = kernel
		w.trackMu.Unlock()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var events <-chan fsnotify.Event
	var faults <-chan error
	if kernel != nil {
		events, faults = kernel.Events, kernel.Errors
	}
	for {
		var p poke
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-events:
			if !w.drain(e, events) {
				continue
			}
		case err := <-faults:
			w.options.Log.Warn("manifest watch: everything is looked at again", "err", err)
		case p = <-w.pokes:
		case <-timer.C:
		}
		begin := time.Now()
		if p.gone != "" && w.accepted[p.gone] != nil {
			w.missing[p.gone] = begin.Add(-secondLook)
		}
		w.made = p.made
		wait := w.look(begin, deliver)
		if p.done != nil {
			close(p.done)
		}
		wait = min(wait, w.checkTracked())
		// A flood of events must not take more than half of our time.
		wait = max(wait, time.Since(begin))
		timer.Reset(wait)
	}
}

// drain takes all events that are waiting and reports whether one of them may matter.
func (w *Watcher) drain(first fsnotify.Event, events <-chan fsnotify.Event) bool {
	matters := w.matters(first)
	for {
		select {
		case e := <-events:
			matters = matters || w.matters(e)
		default:
			return matters
		}
	}
}

func (w *Watcher) matters(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		// Also sent when a file gets its permissions back.
		return !Ignored(filepath.Base(e.Name))
	}
	if !Ignored(filepath.Base(e.Name)) || w.watched[e.Name] {
		return true
	}
	w.trackMu.Lock()
	_, tracked := w.seen[e.Name]
	w.trackMu.Unlock()
	if tracked {
		return true
	}
	if e.Has(fsnotify.Create) && !strings.HasPrefix(filepath.Base(e.Name), ".") {
		info, err := os.Lstat(e.Name)
		return err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0)
	}
	return false
}

// look walks the tree, takes what is settled, delivers when something changed, and returns when to look again.
func (w *Watcher) look(now time.Time, deliver func(Listing)) time.Duration {
	tree := list(w.root)
	changed := !w.delivered || tree.complete != w.complete
	if w.watch(tree) {
		// Something may have come to a folder before it was watched.
		tree = list(w.root)
	}
	wait := w.options.Rescan
	if w.limited != nil {
		wait = min(wait, pollInstead)
	}
	here := map[string]bool{}
	var fresh []found
	for _, f := range tree.files {
		here[f.path] = true
		delete(w.missing, f.path)
		if old := w.accepted[f.path]; old != nil && old.id == f.id {
			delete(w.unsettled, f.path)
			continue
		}
		fresh = append(fresh, f)
	}
	if w.delivered {
		for _, f := range fresh {
			file, again := w.settle(f, now)
			if file == nil {
				wait = min(wait, again)
				continue
			}
			changed = w.accept(file) || changed
		}
	} else {
		// The first listing is taken as it is, all files side by side: nothing runs yet that could be hurt.
		files, errs := readAll(fresh)
		for i, file := range files {
			if errs[i] != nil {
				tree.complete = false
				wait = min(wait, quiet)
				continue
			}
			if busy, _ := writing(fresh[i].full); busy && !file.valid() {
				tree.complete = false
				wait = min(wait, writerPollMax)
				continue
			}
			w.accept(file)
		}
	}
	for path := range w.accepted {
		if here[path] || !tree.complete {
			continue
		}
		since, known := w.missing[path]
		if !known {
			w.missing[path], since = now, now
		}
		if left := secondLook - now.Sub(since); left > 0 {
			wait = min(wait, left)
			continue
		}
		delete(w.missing, path)
		delete(w.accepted, path)
		changed = true
	}
	for path := range w.unsettled {
		if !here[path] {
			delete(w.unsettled, path)
		}
	}
	problems := tree.problems
	if w.limited != nil {
		problems = append(problems, v1.Problem{Detail: limitDetail(w.limited)})
	}
	if changed || !slices.Equal(problems, w.problems) {
		w.complete, w.problems, w.delivered = tree.complete, problems, true
		deliver(w.listing())
	}
	return wait
}

// accept takes a file and reports whether it says anything else than before.
func (w *Watcher) accept(file *File) bool {
	old := w.accepted[file.Path]
	w.accepted[file.Path] = file
	return old == nil || old.Sum != file.Sum
}

func (w *Watcher) listing() Listing {
	l := Listing{Complete: w.complete, Problems: w.problems, Files: make([]*File, 0, len(w.accepted))}
	for _, f := range w.accepted {
		l.Files = append(l.Files, f)
	}
	slices.SortFunc(l.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	return l
}

// watch makes the kernel watch the folders of the tree, and every folder on the way to the root in which a link could be
// turned or the root replaced. It reports whether a new one is watched.
func (w *Watcher) watch(tree walk) bool {
	if w.kernel == nil {
		return false
	}
	want := map[string]bool{}
	for _, d := range append(tree.dirs, way(w.root)...) {
		want[d] = true
	}
	w.trackMu.Lock()
	for _, files := range w.tracked {
		for _, f := range files {
			want[filepath.Dir(f)] = true
		}
	}
	w.trackMu.Unlock()
	alive := map[string]bool{}
	for _, d := range w.kernel.WatchList() {
		alive[d] = true
		if !want[d] {
			_ = w.kernel.Remove(d)
		}
	}
	w.limited = nil
	added := false
	for d := range want {
		if alive[d] {
			continue
		}
		switch err := w.kernel.Add(d); {
		case err == nil:
			added = true
		case errors.Is(err, fs.ErrNotExist):
		default:
			w.limited = fmt.Errorf("%s: %w", d, err)
		}
	}
	w.watched = want
	return added
}

// way is every folder whose change can make path lead elsewhere: its parent, and the parent of each link on the way.
func way(path string) []string {
	var dirs []string
	seen := map[string]bool{}
	var follow func(path string, depth int)
	follow = func(path string, depth int) {
		if depth > maxDepth || seen[path] {
			return
		}
		seen[path] = true
		for p := path; p != "/" && p != "."; p = filepath.Dir(p) {
			target, err := os.Readlink(p)
			if err != nil {
				if p == path {
					dirs = append(dirs, nearest(filepath.Dir(p)))
				}
				continue
			}
			dirs = append(dirs, filepath.Dir(p))
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(p), target)
			}
			rest, err := filepath.Rel(p, path)
			if err != nil {
				continue
			}
			follow(filepath.Join(target, rest), depth+1)
		}
	}
	follow(filepath.Clean(path), 0)
	return dirs
}

// nearest is path, or the nearest folder above it that exists.
func nearest(path string) string {
	for path != "/" && path != "." {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

func limitDetail(err error) string {
	text := fmt.Sprintf("the manifests cannot be watched (%v); they are looked at every %s instead", err, pollInstead)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EMFILE) {
		text += "; raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl"
	}
	return text
}

// checkTracked calls Options.Tracked for tracked files that have changed and are not being written, and returns when to
// look again.
func (w *Watcher) checkTracked() time.Duration {
	wait := w.options.Rescan
	w.trackMu.Lock()
	changed := map[string]bool{}
	used := map[string]bool{}
	for _, files := range w.tracked {
		for _, f := range files {
			if used[f] {
				continue
			}
			used[f] = true
			now := statFile(f)
			if now == w.seen[f] {
				continue
			}
			if busy, _ := writing(f); busy {
				wait = writerPollMax
				continue
			}
			w.seen[f], changed[f] = now, true
		}
	}
	for f := range w.seen {
		if !used[f] {
			delete(w.seen, f)
		}
	}
	var keys []v1.Key
	for key, files := range w.tracked {
		if slices.ContainsFunc(files, func(f string) bool { return changed[f] }) {
			keys = append(keys, key)
		}
	}
	w.trackMu.Unlock()
	if len(keys) > 0 && w.options.Tracked != nil {
		w.options.Tracked(keys)
	}
	return wait
}
