package processtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func TestFake(t *testing.T) {
	processtest.Suite(t, func(*testing.T) process.Keeper {
		f := processtest.NewFake()
		f.Behave(processtest.Interpret)
		return f
	})
}

func TestFakeOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := processtest.NewFake()
		f.SetReachable(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := f.Hello(ctx); !errors.Is(err, process.ErrUnavailable) {
			t.Errorf("hello: %v", err)
		}
		go func() {
			<-time.After(time.Second)
			f.SetReachable(true)
		}()
		if _, err := f.Start(t.Context(), process.Spec{ID: "a", Argv: []string{"x"}}); err != nil {
			t.Errorf("start: %v", err)
		}
	})
}
