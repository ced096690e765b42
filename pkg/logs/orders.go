package logs

import (
	"path/filepath"
	"time"
)

// obey carries out what was ordered.
func (f *follower) obey() {
	for _, fn := range f.s.takeOrders() {
		fn(f)
	}
}

func (f *follower) attach(src Source) {
	src.Dir = filepath.Clean(src.Dir)
	if src.Budget == (Budget{}) {
		src.Budget = f.s.o.Budget
	}
	key := replicaKey{src.Service, src.Replica}
	r := f.replicas[key]
	if r != nil && r.Dir != src.Dir {
		f.remove(key, r)
		r = nil
	}
	svc := f.services[src.Service]
	if svc == nil {
		svc = &service{name: src.Service}
		f.services[src.Service] = svc
	}
	svc.bucket.budget, svc.saved.budget = src.Budget, src.Budget
	if svc.keep != src.Retention {
		svc.keep = src.Retention
		f.retention = time.Now()
	}
	if r != nil {
		r.Source, r.leaving = src, false
		return
	}
	r = &replica{Source: src}
	svc.refs++
	f.replicas[key], f.byDir[src.Dir] = r, r
	for i, name := range [...]Stream{Stdout, Stderr} {
		st := &stream{name: name, replica: src.Replica, service: svc, path: filepath.Join(src.Dir, string(name)+".log")}
		r.streams[i] = st
		f.byPath[st.path] = st
		f.touch(st)
	}
	// Watched before it is read, so that nothing is missed in between.
	if !f.watch(r) {
		f.unwatch(r)
	}
}

func (f *follower) detach(serviceName string, number int) {
	r := f.replicas[replicaKey{serviceName, number}]
	if r == nil {
		return
	}
	r.leaving = true
	for _, st := range r.streams {
		f.touch(st)
	}
}

// part lets those go that are to be left and have nothing more to read.
func (f *follower) part() {
	for key, r := range f.replicas {
		if r.leaving && !r.streams[0].dirty && !r.streams[1].dirty && r.streams[0].wake == 0 && r.streams[1].wake == 0 {
			f.remove(key, r)
		}
	}
}

func (f *follower) remove(key replicaKey, r *replica) {
	delete(f.replicas, key)
	delete(f.byDir, r.Dir)
	delete(f.unwatched, r.Dir)
	f.s.stats.polled.Store(int64(len(f.unwatched)))
	if f.watcher != nil {
		_ = f.watcher.Remove(r.Dir) // it may be gone
	}
	for _, st := range r.streams {
		closeAll(st.files)
		st.files = nil
		delete(f.byPath, st.path)
		delete(f.waiting, st)
		if st.dirty {
			f.dirty = without(f.dirty, st)
		}
		f.s.stats.forget(st.path)
	}
	svc := f.services[key.service]
	if svc.refs--; svc.refs == 0 {
		delete(f.services, key.service)
	}
}

func without(list []*stream, st *stream) []*stream {
	kept := list[:0]
	for _, x := range list {
		if x != st {
			kept = append(kept, x)
		}
	}
	return kept
}

func (f *follower) setRetention(keep time.Duration) {
	if keep <= 0 || keep == f.keep {
		return
	}
	f.keep = keep
	f.retention = time.Now()
	if f.w != nil {
		f.w.segAge = keep / 16
	}
}
