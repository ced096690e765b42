package status

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestEverythingSurvivesAReopen(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	started := time.Now().Round(time.Microsecond)
	st := &v1.ServiceStatus{
		ObservedRevision: "r1", Phase: v1.PhaseRunning, PID: 42, StartedAt: &started,
		Conditions: []v1.Condition{{Type: v1.ConditionReady, Status: v1.ConditionTrue, Reason: "Up", LastTransitionTime: started}},
		LastExit:   &v1.ExitInfo{Code: 1, LastLines: []string{"boom"}},
	}
	in := v1.Intent{Key: web, Verb: v1.IntentStop, ID: "i1", Session: "s1", Time: started}
	good := LastGood{Key: web, File: "web.yaml", Text: []byte("kind: Service\n"), Revision: "r1"}
	s.PutObject(web, "r1")
	s.SetStatus(web, st)
	s.SetPort("Service/web/0", 4711)
	if err := s.PutIntent(testContext(t), in); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLastGood(testContext(t), good); err != nil {
		t.Fatal(err)
	}
	id := s.RecordEvent(v1.Event{Key: web, Type: v1.EventNormal, Reason: "Started", Message: "started with pid 42"})
	number, created, updated, _ := s.ObjectInfo(web)

	s = reopen(t, s)
	if diff := cmp.Diff(st, s.Status(web), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	got, ok := s.Intent(web)
	if diff := cmp.Diff(in, got, cmpopts.EquateApproxTime(0)); !ok || diff != "" {
		t.Errorf("intent: ok %v (-want +got):\n%s", ok, diff)
	}
	if port, ok := s.Port("Service/web/0"); !ok || port != 4711 {
		t.Errorf("port: got %d, %v", port, ok)
	}
	goods, err := s.LoadLastGood(testContext(t))
	if diff := cmp.Diff([]LastGood{good}, goods); err != nil || diff != "" {
		t.Errorf("last good: %v (-want +got):\n%s", err, diff)
	}
	n, c, u, ok := s.ObjectInfo(web)
	if !ok || n != number || !c.Equal(created) || !u.Equal(updated) {
		t.Errorf("object: got %d %s %s, want %d %s %s", n, c, u, number, created, updated)
	}
	events, err := s.Events(testContext(t), v1.EventFilter{Key: web})
	if err != nil || len(events) != 1 || events[0].ID != id || events[0].Message != "started with pid 42" {
		t.Errorf("events: got %+v, %v", events, err)
	}
	if next := s.RecordEvent(v1.Event{Reason: "Later"}); next <= id {
		t.Errorf("event IDs must grow across a reopen: %d after %d", next, id)
	}
}

func TestObjectInfo(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	s.PutObject(web, "r1")
	id, created, updated, _ := s.ObjectInfo(web)
	s.PutObject(web, "r1")
	if _, _, again, _ := s.ObjectInfo(web); !again.Equal(updated) {
		t.Error("the same revision must not move the time of change")
	}
	s.PutObject(web, "r2")
	if n, c, u, _ := s.ObjectInfo(web); n != id || !c.Equal(created) || u.Before(updated) {
		t.Errorf("another revision: got %d %s %s", n, c, u)
	}
	s.DeleteObject(web)
	if _, _, _, ok := s.ObjectInfo(web); ok {
		t.Error("a deleted object must not be known")
	}
	s.PutObject(web, "r2")
	if n, _, _, _ := s.ObjectInfo(web); n == id {
		t.Error("an object that is made again is another one")
	}
	s = reopen(t, s)
	if diff := cmp.Diff([]v1.Key{web}, s.Keys()); diff != "" {
		t.Error(diff)
	}
}

func TestDeleteObjectForgets(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	other := v1.Key{Kind: v1.KindService, Name: "web2"}
	for _, key := range []v1.Key{web, other} {
		s.PutObject(key, "r")
		s.SetStatus(key, &v1.ServiceStatus{Phase: v1.PhaseRunning})
		s.SetPort(key.String()+"/0", 4000)
		if err := s.PutIntent(testContext(t), v1.Intent{Key: key, Verb: v1.IntentStop}); err != nil {
			t.Fatal(err)
		}
	}
	s.DeleteObject(web)
	for range 2 {
		_, intent := s.Intent(web)
		_, port := s.Port("Service/web/0")
		if s.Status(web) != nil || intent || port {
			t.Errorf("left of web: status %v, intent %v, port %v", s.Status(web), intent, port)
		}
		_, intent = s.Intent(other)
		_, port = s.Port("Service/web2/0")
		if s.Status(other) == nil || !intent || !port {
			t.Error("another object was hit")
		}
		s = reopen(t, s)
	}
}

func TestPurgeIntents(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	for _, session := range []string{"old", "new"} {
		in := v1.Intent{Key: v1.Key{Kind: v1.KindService, Name: session}, Session: session}
		if err := s.PutIntent(testContext(t), in); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.PurgeIntents("new"); n != 1 {
		t.Errorf("purged %d, want 1", n)
	}
	s = reopen(t, s)
	_, old := s.Intent(v1.Key{Kind: v1.KindService, Name: "old"})
	_, kept := s.Intent(v1.Key{Kind: v1.KindService, Name: "new"})
	if old || !kept {
		t.Errorf("old there: %v, new there: %v", old, kept)
	}
}

func TestSetStatusCopies(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	st := &v1.ServiceStatus{Phase: v1.PhaseRunning, Conditions: []v1.Condition{{Type: "A"}}, LastExit: &v1.ExitInfo{LastLines: []string{"x"}}}
	s.SetStatus(web, st)
	st.Phase, st.Conditions[0].Type, st.LastExit.LastLines[0] = v1.PhaseFailed, "B", "y"
	got := s.Status(web)
	if got.Phase != v1.PhaseRunning || got.Conditions[0].Type != "A" || got.LastExit.LastLines[0] != "x" {
		t.Errorf("the caller's change shows: %+v", got)
	}
}

func TestSameStatusIsNotWritten(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	s.SetStatus(web, &v1.ServiceStatus{PID: 1, UpdatedAt: time.Unix(1, 0)})
	seq, _ := s.Snapshot()
	s.SetStatus(web, &v1.ServiceStatus{PID: 1, UpdatedAt: time.Unix(2, 0)})
	if again, _ := s.Snapshot(); again != seq {
		t.Error("a status that differs in UpdatedAt only was published")
	}
	s.SetStatus(web, &v1.ServiceStatus{PID: 2, UpdatedAt: time.Unix(2, 0)})
	if again, _ := s.Snapshot(); again != seq+1 {
		t.Error("a changed status was not published")
	}
}

func TestWaitStatus(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	s.SetStatus(web, &v1.ServiceStatus{PID: 1})
	got := make(chan *v1.ServiceStatus, 1)
	go func() {
		st, _ := s.WaitStatus(testContext(t), web, func(st *v1.ServiceStatus) bool { return st != nil && st.PID == 3 }) //nolint:errcheck // nil shows
		got <- st
	}()
	for pid := 2; pid <= 3; pid++ {
		s.SetStatus(web, &v1.ServiceStatus{PID: pid})
	}
	if st := <-got; st == nil || st.PID != 3 {
		t.Errorf("got %+v", st)
	}
	go func() {
		_, err := s.WaitStatus(testContext(t), web, func(st *v1.ServiceStatus) bool { return st == nil })
		if err != nil {
			t.Error(err)
		}
		got <- nil
	}()
	s.DeleteObject(web)
	<-got
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	s.SetStatus(web, &v1.ServiceStatus{PID: 9})
	st, err := s.WaitStatus(ctx, web, func(*v1.ServiceStatus) bool { return false })
	if !errors.Is(err, context.Canceled) || st == nil || st.PID != 9 {
		t.Errorf("cancelled wait: got %+v, %v", st, err)
	}
	if len(s.waiters) != 0 {
		t.Errorf("waiters left: %v", s.waiters)
	}
}

func TestClosedStore(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	s.SetStatus(web, &v1.ServiceStatus{PID: 1})
	if err := s.Durable(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Durable: %v", err)
	}
	if _, err := s.WaitStatus(testContext(t), web, func(*v1.ServiceStatus) bool { return false }); !errors.Is(err, ErrClosed) {
		t.Errorf("WaitStatus: %v", err)
	}
	if _, err := s.Subscribe(testContext(t), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Subscribe: %v", err)
	}
}

func TestDatabaseIsPrivate(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), mode)
		}
	}
}

// The store after any row of writes and reopens is what a map would be.
func TestStoreIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := openAt(t, dbPath(t), Options{})
		defer func() { _ = s.Close() }() //nolint:errcheck // reopen reports it
		pids, ports, intents := map[string]int{}, map[string]int{}, map[string]string{}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"status": func(rt *rapid.T) {
				k := name.Draw(rt, "name")
				n++
				pids[k] = n
				s.PutObject(v1.Key{Kind: "Service", Name: k}, fmt.Sprint(n))
				s.SetStatus(v1.Key{Kind: "Service", Name: k}, &v1.ServiceStatus{PID: n})
			},
			"port": func(rt *rapid.T) {
				k, p := name.Draw(rt, "name"), rapid.IntRange(0, 3).Draw(rt, "port")
				s.SetPort("Service/"+k+"/0", p)
				if ports[k] = p; p == 0 {
					delete(ports, k)
				}
			},
			"intent": func(rt *rapid.T) {
				k := name.Draw(rt, "name")
				n++
				intents[k] = fmt.Sprint(n)
				if err := s.PutIntent(t.Context(), v1.Intent{Key: v1.Key{Kind: "Service", Name: k}, ID: fmt.Sprint(n)}); err != nil {
					rt.Fatal(err)
				}
			},
			"delete": func(rt *rapid.T) {
				k := name.Draw(rt, "name")
				s.DeleteObject(v1.Key{Kind: "Service", Name: k})
				delete(pids, k)
				delete(ports, k)
				delete(intents, k)
			},
			"reopen": func(*rapid.T) { s = reopen(t, s) },
			"": func(rt *rapid.T) {
				for _, k := range []string{"a", "b", "c"} {
					key := v1.Key{Kind: "Service", Name: k}
					pid := 0
					if st := s.Status(key); st != nil {
						pid = st.PID
					}
					port, _ := s.Port("Service/" + k + "/0")
					in, _ := s.Intent(key)
					_, _, _, known := s.ObjectInfo(key)
					if pid != pids[k] || port != ports[k] || in.ID != intents[k] || known != (pids[k] != 0) {
						rt.Fatalf("%s: pid %d port %d intent %q known %v; want %d %d %q", k, pid, port, in.ID, known, pids[k], ports[k], intents[k])
					}
				}
			},
		})
	})
}
