package status

import (
	"fmt"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func BenchmarkSetStatus(b *testing.B) {
	s := openAt(b, dbPath(b), Options{})
	keys := make([]v1.Key, 200)
	for i := range keys {
		keys[i] = v1.Key{Kind: v1.KindService, Name: fmt.Sprint("s", i)}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		s.SetStatus(keys[n%len(keys)], &v1.ServiceStatus{PID: n, Phase: v1.PhaseRunning})
	}
	if err := s.Durable(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPutIntentDurable(b *testing.B) {
	s := openAt(b, dbPath(b), Options{})
	for b.Loop() {
		if err := s.PutIntent(b.Context(), v1.Intent{Key: web, Verb: v1.IntentStop}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecordEvent(b *testing.B) {
	s := openAt(b, dbPath(b), Options{})
	n := 0
	for b.Loop() {
		n++
		s.RecordEvent(v1.Event{Key: web, Type: v1.EventNormal, Reason: "Started", Message: "started with pid 4711"})
		if n%1000 == 0 {
			if err := s.Durable(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpen200(b *testing.B) {
	path := dbPath(b)
	s := openAt(b, path, Options{})
	for i := range 200 {
		key := v1.Key{Kind: v1.KindService, Name: fmt.Sprint("s", i)}
		s.PutObject(key, "r")
		s.SetStatus(key, &v1.ServiceStatus{PID: i, Phase: v1.PhaseRunning})
		for range 20 {
			s.RecordEvent(v1.Event{Key: key, Type: v1.EventNormal, Reason: "Started", Message: "started with pid 4711"})
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(b.Context(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
