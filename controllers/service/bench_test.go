package service

import (
	"context"
	"log/slog"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

type forgetNow struct{ keeper process.Keeper }

func (f forgetNow) Forget(ids ...process.RunID) {
	for _, id := range ids {
		_ = f.keeper.Forget(context.Background(), id) //nolint:forbidigo // A benchmark's own.
	}
}

func benchmarked(b *testing.B, svc *v1.Service) (*Reconciler, *processtest.Fake) {
	b.Helper()
	keeper := processtest.NewFake()
	d := &desired{services: map[string]*v1.Service{"web": svc}}
	r := New(Config{
		Desired: fixed{d, svc.Revision()}, Keeper: keeper, Store: newStore(), Forgetter: forgetNow{keeper},
		Program: func(*v1.Service, int, int) (Program, error) {
			return Program{Spec: process.Spec{Argv: []string{"web"}}, Hash: "h"}, nil
		},
		Track: func(v1.Key, []string) {}, LastLines: func(process.Run, int) []string { return nil }, Enqueue: func(v1.Key) {},
		Session: func(context.Context) (string, error) { return "s", nil }, MaxRestartAttempts: -1, Log: slog.New(slog.DiscardHandler),
	})
	b.Cleanup(r.Close)
	return r, keeper
}

// fixed is a desired set whose revision is known, as that of the real one is.
type fixed struct {
	*desired
	revision string
}

func (f fixed) Service(name string) (*v1.Service, string, bool) {
	return f.services[name], f.revision, true
}

// From the reconcile that sees an exit to the start of the next one, with a keeper that costs nothing.
func BenchmarkExitToStart(b *testing.B) {
	r, keeper := benchmarked(b, service("web", func(s *v1.ServiceSpec) { s.Restart = v1.Restart{Delay: v1.D(0), ResetAfter: v1.D(0)} }))
	look := func() {
		if _, err := r.Reconcile(b.Context(), key("web")); err != nil {
			b.Fatal(err)
		}
	}
	look()
	b.ReportAllocs()
	for b.Loop() {
		keeper.Exit(keeper.Live("")[0], 1)
		look()
	}
	if len(keeper.Live("")) != 1 {
		b.Fatal("it does not run")
	}
}

func BenchmarkIdle(b *testing.B) {
	r, _ := benchmarked(b, service("web"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Reconcile(b.Context(), key("web")); err != nil {
			b.Fatal(err)
		}
	}
}
