package status

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestSubscribe(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	seq, _ := s.Snapshot()
	live, err := s.Subscribe(testContext(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	s.PutObject(web, "r1")
	s.SetStatus(web, &v1.ServiceStatus{PID: 1})
	id := s.RecordEvent(v1.Event{Key: web, Reason: "Started"})
	s.DeleteObject(web)
	late, err := s.Subscribe(testContext(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	for name, sub := range map[string]<-chan v1.Change{"live": live, "late": late} {
		want := []v1.ChangeKind{v1.ChangeObject, v1.ChangeStatus, v1.ChangeEvent, v1.ChangeObject}
		for i, kind := range want {
			c := <-sub
			if c.Kind != kind || c.Seq != seq+1+uint64(i) {
				t.Errorf("%s: change %d is %s with seq %d, want %s with %d", name, i, c.Kind, c.Seq, kind, seq+1+uint64(i))
			}
			if c.Kind == v1.ChangeEvent && (c.Event.ID != id || c.Seq != id) {
				t.Errorf("%s: the event's ID is %d, its seq %d, want %d", name, c.Event.ID, c.Seq, id)
			}
			if i == 3 && !c.Deleted {
				t.Errorf("%s: deletion is not said", name)
			}
		}
	}
}

func TestSubscribeGap(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	first, _ := s.Snapshot()
	for i := range ringSize {
		s.RecordEvent(v1.Event{Reason: fmt.Sprint(i)})
	}
	if _, err := s.Subscribe(testContext(t), first); err != nil {
		t.Errorf("the oldest place that is kept: %v", err)
	}
	if _, err := s.Subscribe(testContext(t), first-1); !errors.Is(err, v1.ErrGap) {
		t.Errorf("older than what is kept: %v", err)
	}
	if _, err := s.Subscribe(testContext(t), first+ringSize+1); !errors.Is(err, v1.ErrGap) {
		t.Errorf("a number of another life: %v", err)
	}
}

func TestSlowSubscriberIsDropped(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	seq, _ := s.Snapshot()
	slow, err := s.Subscribe(testContext(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	for range subscriberBuffer + 1 {
		s.RecordEvent(v1.Event{Reason: "Noise"})
	}
	last, n := seq, 0
	for c := range slow {
		last, n = c.Seq, n+1
	}
	if n != subscriberBuffer {
		t.Errorf("got %d changes before the end, want %d", n, subscriberBuffer)
	}
	again, err := s.Subscribe(testContext(t), last)
	if err != nil {
		t.Fatal(err)
	}
	if c := <-again; c.Seq != last+1 {
		t.Errorf("resumed at %d after %d", c.Seq, last)
	}
}

func TestSubscriptionEndsWithContextAndStore(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	seq, _ := s.Snapshot()
	ctx, cancel := context.WithCancel(testContext(t))
	one, err := s.Subscribe(ctx, seq)
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Subscribe(testContext(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, open := <-one; open {
		t.Error("a subscription outlives its context")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-two; open {
		t.Error("a subscription outlives the store")
	}
}

func TestEventsFilter(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	job := v1.Key{Kind: v1.KindCronJob, Name: "web"}
	var ids []uint64
	for i, e := range []v1.Event{
		{Key: web, Type: v1.EventNormal},
		{Key: web, Type: v1.EventWarning},
		{Key: job, Type: v1.EventNormal},
		{Key: v1.Key{Kind: v1.KindService, Name: "db"}, Type: v1.EventWarning},
	} {
		e.Reason = fmt.Sprint(i)
		ids = append(ids, s.RecordEvent(e))
	}
	for _, c := range []struct {
		name   string
		filter v1.EventFilter
		want   string
	}{
		{"all", v1.EventFilter{}, "0123"},
		{"object", v1.EventFilter{Key: web}, "01"},
		{"kind", v1.EventFilter{Key: v1.Key{Kind: v1.KindService}}, "013"},
		{"name of any kind", v1.EventFilter{Key: v1.Key{Name: "web"}}, "012"},
		{"type", v1.EventFilter{Types: []v1.EventType{v1.EventWarning}}, "13"},
		{"since", v1.EventFilter{SinceID: ids[1]}, "23"},
		{"newest", v1.EventFilter{Limit: 2}, "23"},
		{"nothing", v1.EventFilter{Key: v1.Key{Kind: "Service", Name: "x"}}, ""},
	} {
		events, err := s.Events(testContext(t), c.filter)
		got := ""
		for _, e := range events {
			got += e.Reason
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestRetention(t *testing.T) {
	s := openAt(t, dbPath(t), Options{Events: Retention{Rows: 50, PerObject: 20, Age: time.Hour}})
	s.RecordEvent(v1.Event{Key: v1.Key{Kind: v1.KindService, Name: "old"}, Time: time.Now().Add(-2 * time.Hour), Reason: "Old"})
	for i := range 3 * cutEvery {
		s.RecordEvent(v1.Event{Key: v1.Key{Kind: v1.KindService, Name: fmt.Sprint("s", i%4)}, Reason: "New"})
		if i%cutEvery == cutEvery-1 {
			if err := s.Durable(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.mu.Lock()
	unread := s.pending.events
	s.mu.Unlock()
	if len(unread) != 0 {
		t.Fatalf("%d events are pending", len(unread))
	}
	if hasEvent(t, s, "Old") {
		t.Error("an event outlived its age")
	}
	all, err := s.Events(testContext(t), v1.EventFilter{Limit: maxPage})
	if err != nil || len(all) > 50+cutEvery || len(all) < 50 {
		t.Errorf("kept %d events (%v), want the newest 50", len(all), err)
	}
}
