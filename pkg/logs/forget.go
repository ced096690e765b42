package logs

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// buriedMark begins the name of a service whose rows are being removed. No service has such a name.
const buriedMark = "\x00"

// Forget removes the rows of a service from the index, once what is in its files so far has been read. They are not found
// from then on, and go in small steps. The places in its files stay: a service that is made again under the name begins
// with what it says itself.
func (s *Store) Forget(service string) {
	s.order(func(f *follower) { f.forgetting[service] = struct{}{} })
}

// Services are the names that have, or have had, rows.
func (s *Store) Services() []string {
	s.names.RLock()
	defer s.names.RUnlock()
	out := make([]string, 0, len(s.names.byName))
	for name := range s.names.byName {
		if !strings.HasPrefix(name, buriedMark) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// forget buries what is to be forgotten and has nothing more to be read.
func (f *follower) forget() error {
	for name := range f.forgetting {
		reading := false
		for key, r := range f.replicas {
			for _, st := range r.streams {
				reading = reading || key.service == name && (st.dirty || st.wake != 0 && !st.adrift)
			}
		}
		if reading {
			continue
		}
		if err := f.bury(name); err != nil {
			return err
		}
		delete(f.forgetting, name)
	}
	return nil
}

// bury gives the rows of a service to a name that nobody asks for, and its files to a new service.
func (f *follower) bury(name string) error {
	f.s.names.RLock()
	old, ok := f.s.names.byName[name]
	f.s.names.RUnlock()
	if !ok {
		return nil
	}
	db, buried, id := f.w.db, buriedMark+strconv.FormatInt(old, 10), int64(0)
	err := db.transaction(func() error {
		if err := db.exec("UPDATE services SET name = ? WHERE id = ?", buried, old); err != nil {
			return err
		}
		if err := db.exec("INSERT INTO services (name) VALUES (?)", name); err != nil {
			return err
		}
		if err := db.one("SELECT id FROM services WHERE name = ?", &id, name); err != nil {
			return err
		}
		return db.exec("UPDATE streams SET service_id = ? WHERE service_id = ?", id, old)
	})
	if err != nil {
		return fmt.Errorf("forget the logs of %s: %w", name, err)
	}
	f.s.setName(id, name)
	f.s.setName(old, buried)
	if svc := f.services[name]; svc != nil {
		svc.id = id
	}
	f.s.stats.forgetService(name)
	f.tidy = true
	return nil
}

// dig removes a portion of the rows that are buried, and tells whether there may be more.
func (f *follower) dig() (bool, error) {
	ids := f.s.buried()
	if len(ids) == 0 {
		return false, nil
	}
	more, err := f.w.expireService(ids[0], math.MaxInt64)
	if err != nil || more {
		return more, err
	}
	if err := f.w.db.exec("DELETE FROM services WHERE id = ?", ids[0]); err != nil {
		return false, fmt.Errorf("forget a service: %w", err)
	}
	f.s.names.Lock()
	defer f.s.names.Unlock()
	delete(f.s.names.byName, f.s.names.byID[ids[0]])
	delete(f.s.names.byID, ids[0])
	return true, nil
}

// buried are the services whose rows are on their way out.
func (s *Store) buried() (ids []int64) {
	s.names.RLock()
	defer s.names.RUnlock()
	for name, id := range s.names.byName {
		if strings.HasPrefix(name, buriedMark) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *stats) forgetService(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missing, name)
}
