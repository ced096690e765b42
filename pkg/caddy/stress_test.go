package caddy

import (
	"errors"
	"sync"
	"testing"

	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
)

// Caddy exchanges its admin API with each change: who calls just then is not told that it is away, and nobody's change is
// lost or made twice.
func TestCallsWhileCaddyChanges(t *testing.T) {
	t.Parallel()
	real := caddytest.Start(t, "")
	const rounds = 60
	var callers sync.WaitGroup
	for _, owner := range []Owner{NewOwner("/one"), NewOwner("/two")} {
		callers.Go(func() {
			c := dial(t, real.Admin)
			way := &APIWay{Client: c, Owner: owner, Bind: []string{"127.0.0.1"}}
			for i := range rounds {
				host := []string{"a.test", "b.test"}[i%2]
				for {
					_, err := way.Put(t.Context(), nil, []Route{to("x", string(owner[11:19])+"."+host, "", real.HTTP, TLSOff)}, false)
					if errors.Is(err, ErrChanged) {
						continue // the other one was faster, often
					}
					if err != nil {
						t.Errorf("round %d: %v", i, err)
					}
					break
				}
			}
		})
	}
	callers.Wait()
	config, _, err := dial(t, real.Admin).Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []Owner{NewOwner("/one"), NewOwner("/two")} {
		if got := ours(config, owner); len(got) != 1 || len(got["x"]) != 1 {
			t.Errorf("%s has %v", owner, got)
		}
	}
}
